/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gitdir: what git needs besides the workspace when its `.git` is a file, and which objects of it
 * lie elsewhere.
 *
 * In a linked worktree (git-worktree(1)) `.git` names REPOSITORY/worktrees/NAME, where index and
 * HEAD are; objects and branches are in REPOSITORY.  In a submodule (gitsubmodules(7)) it names
 * SUPERPROJECT/.git/modules/NAME, which is a whole repository; `git clone --separate-git-dir` makes
 * the same at any place.  None of it lies in the workspace.
 *
 * A file of the workspace must never choose what is shown of the machine: it may come from a
 * stranger. So what it names is only a candidate, and is taken when the repository, which the
 * workspace cannot write, names the workspace in return (`gitdir` of a worktree, core.worktree of a
 * submodule), all of it belongs to the workspace's owner, and no symbolic link is on the way.  git
 * itself is not asked: it would read the workspace's files.
 *
 * Of a worktree's REPOSITORY everything is shown read-only and, writable, what a commit writes to.
 * A submodule's directory is shown writable, because git makes files at its top (index.lock).  In
 * both, what the user's own git would run or follow stays read-only: configuration, hooks, `info`,
 * `commondir`, `gitdir`, also of the submodules of submodules, and the file `.git` itself.  What of
 * these does not exist could be made from inside, so a repository without them is refused.
 * `commondir` no submodule has, and git would follow one to any configuration: one is
 * made that says ".", which is where git is anyway.
 *
 * Invariant: only directories and files below the repository are shown, each opened without links
 * by who mounts it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

enum { LINK_FILE_MAX = 8192, CONFIG_MAX = 1 << 20, NESTED_MAX = 64 };

/* Why a candidate is not taken; said about ".git". */
#define WHY_LINK     "is a symbolic link that leads out of the workspace"
#define WHY_TYPE     "is neither a directory nor a file"
#define WHY_FORM     "is not a file as git writes it"
#define WHY_MISSING  "names a directory that does not exist"
#define WHY_INDIRECT "names its repository by way of a symbolic link"
#define WHY_COLON    "names a path with a colon in it"
#define WHY_OWNER    "names a repository of another user"
#define WHY_BACK     "names a repository that does not name this directory in return"
#define WHY_BARE     "names a repository in which a part that must be protected is missing"

struct place {
	char *gitdir;
	char *repository; /* of a linked worktree; else NULL: gitdir is all of it */
};

static void place_clear(struct place *p)
{
	free(p->gitdir);
	free(p->repository);
}

/* A small file; false when it is none, or too big. */
static bool read_small(const char *dir, const char *name, size_t max, struct buf *out)
{
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && fs_read_at(fd, name, max, out, NULL) == 0;
}

/* The one line of a small file, after `prefix`; NULL when it is not of that form. */
static char *read_line(const char *dir, const char *name, const char *prefix)
{
	auto_buf text = BUF_INIT;
	const char *s;
	size_t n;

	if (!read_small(dir, name, LINK_FILE_MAX, &text))
		return NULL;
	s = buf_str(&text);
	n = strcspn(s, "\n");
	if (strlen(s) != text.len || n == 0 || (s[n] == '\n' && s[n + 1]) ||
	    !text_starts(s, prefix))
		return NULL;
	return xstrndup(s + strlen(prefix), n - strlen(prefix));
}

/* The path as seen from `base`, without "." and ".."; right where no symbolic link is. */
static char *lexical(const char *base, const char *path)
{
	auto_free char *joined = path[0] == '/' ? xstrdup(path) : fs_join(base, path);
	auto_buf out = BUF_INIT;

	for (const char *p = joined + strspn(joined, "/"); *p; p += strspn(p, "/")) {
		size_t n = strcspn(p, "/");

		if (n == 2 && memcmp(p, "..", 2) == 0) {
			const char *slash = strrchr(buf_str(&out), '/');

			buf_truncate(&out, slash ? (size_t)(slash - out.data) : 0);
		} else if (n != 1 || *p != '.') {
			buf_putc(&out, '/');
			buf_add(&out, p, n);
		}
		p += n;
	}
	if (out.len == 0)
		buf_putc(&out, '/');
	return buf_steal(&out);
}

static bool is_canonical(const char *path)
{
	auto_free char *real = NULL;

	return fs_canonical(path, &real, NULL) == 0 && strcmp(real, path) == 0;
}

/* A directory of that owner, reached without a symbolic link. */
static bool is_own(const char *path, uid_t owner)
{
	struct stat st;

	return is_canonical(path) && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_uid == owner;
}

static bool has(const char *dir, const char *name, mode_t type)
{
	auto_free char *path = fs_join(dir, name);
	struct stat st;

	return lstat(path, &st) == 0 && (st.st_mode & S_IFMT) == type;
}

/* --- which directory -------------------------------------------------------------------------- */

static bool worktree_points_back(const char *gitdir, const char *workspace)
{
	auto_free char *want = fs_join(workspace, ".git");
	auto_free char *back = read_line(gitdir, "gitdir", "");

	return back && strcmp(back, want) == 0;
}

/* core.worktree, which is relative to the directory that it stands in. */
static bool module_points_back(const char *gitdir, const char *workspace)
{
	auto_buf text = BUF_INIT;
	auto_free char *value = NULL;
	auto_free char *back = NULL;

	if (!read_small(gitdir, "config", CONFIG_MAX, &text) ||
	    gitconfig_get(buf_str(&text), text.len, "core", "worktree", &value, NULL) < 0 ||
	    !value || !*value)
		return false;
	back = lexical(gitdir, value);
	return strcmp(back, workspace) == 0;
}

/* REPOSITORY of a gitdir REPOSITORY/worktrees/NAME; NULL when it is not one. */
static char *repository_of(const char *gitdir)
{
	const char *name = strrchr(gitdir, '/');
	static const char middle[] = "/worktrees";
	size_t n;

	if (!name || !name[1])
		return NULL;
	n = (size_t)(name - gitdir);
	if (n <= strlen(middle) || memcmp(name - strlen(middle), middle, strlen(middle)) != 0)
		return NULL;
	return xstrndup(gitdir, n - strlen(middle));
}

/* NULL: trusted as said above, or nothing to do, and then ret stays empty. */
static const char *judge_named(const struct spec_workspace *w, const char *named, uid_t owner,
			       struct place *ret)
{
	auto_free char *path = lexical(w->path, named);
	auto_free char *real = NULL;
	auto_free char *repository = repository_of(path);

	if (fs_canonical(path, &real, NULL) < 0)
		return WHY_MISSING;
	if (strcmp(real, path) != 0)
		return WHY_INDIRECT;
	if (fs_path_within(path, w->path))
		return NULL; /* it is there anyway */
	if (strchr(path, ':'))
		return WHY_COLON; /* which separates the parts of a volume */
	if (!is_own(path, owner))
		return WHY_OWNER;
	if (repository && worktree_points_back(path, w->path)) {
		if (!is_own(repository, owner))
			return WHY_OWNER;
		if (fs_path_within(repository, w->path))
			return NULL;
		ret->repository = steal(&repository);
	} else if (!module_points_back(path, w->path)) {
		return WHY_BACK;
	}
	ret->gitdir = steal(&path);
	return NULL;
}

static const char *judge(const struct spec_workspace *w, struct place *ret)
{
	auto_free char *dotgit = fs_join(w->path, ".git");
	auto_free char *real = NULL;
	auto_free char *named = NULL;
	struct stat top, st;

	if (lstat(w->path, &top) < 0 || lstat(dotgit, &st) < 0 || S_ISDIR(st.st_mode))
		return NULL;
	if (S_ISLNK(st.st_mode))
		return fs_canonical(dotgit, &real, NULL) == 0 && fs_path_within(real, w->path)
			       ? NULL
			       : WHY_LINK;
	if (!S_ISREG(st.st_mode))
		return WHY_TYPE;
	named = read_line(w->path, ".git", "gitdir: ");
	return named ? judge_named(w, named, top.st_uid, ret) : WHY_FORM;
}

/* --- what is shown of it ---------------------------------------------------------------------- */

#define COMMON "commondir"
static const char common_here[] = ".\n";

/* What git outside would run or follow, so that it must not be changed from inside. */
struct guarded {
	const char *name;
	mode_t type;
};
static const struct guarded module_guarded[] = {
	{ "config", S_IFREG }, { "hooks", S_IFDIR }, { "info", S_IFDIR }, { COMMON, S_IFREG }
};
static const struct guarded worktree_guarded[] = { { COMMON, S_IFREG }, { "gitdir", S_IFREG } };
static const char worktree_config[] = "config.worktree";

static bool is_off(const char *value)
{
	static const char *const words[] = { "", "false", "no", "off", "0" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcasecmp(value, words[i]) == 0)
			return true;
	return false;
}

/* Does git read config.worktree there? Only where the configuration proper says so. */
static bool reads_worktree_config(const char *repository)
{
	auto_buf text = BUF_INIT;
	auto_free char *value = NULL;

	if (!read_small(repository, "config", CONFIG_MAX, &text) ||
	    gitconfig_get(buf_str(&text), text.len, "extensions", "worktreeConfig", &value, NULL) <
		    0)
		return true;
	return value && !is_off(value);
}

/* Does the common directory of a submodule's repository lie elsewhere? One without the file gets
 * one that says ".". */
static bool is_elsewhere(const char *gitdir)
{
	auto_free char *path = fs_join(gitdir, COMMON);
	auto_free char *line = read_line(gitdir, COMMON, "");
	struct stat st;

	return lstat(path, &st) == 0 && !(line && strcmp(line, ".") == 0);
}

/* The first name that is not there as it should be, or NULL. */
static const char *unguarded(const char *gitdir, const char *repository)
{
	const struct guarded *g = repository ? worktree_guarded : module_guarded;
	size_t n = repository ? ARRAY_SIZE(worktree_guarded) : ARRAY_SIZE(module_guarded);

	if (!repository && is_elsewhere(gitdir))
		return COMMON;
	for (size_t i = 0; i < n; i++)
		if (!has(gitdir, g[i].name, g[i].type) &&
		    (repository || strcmp(g[i].name, COMMON) != 0))
			return g[i].name;
	if (!has(gitdir, worktree_config, S_IFREG) &&
	    reads_worktree_config(repository ? repository : gitdir))
		return worktree_config;
	return NULL;
}

struct list {
	const struct spec_paths *paths;
	struct spec_git *git;
	bool make; /* what a submodule's repository lacks */
};

static int add(struct list *l, const char *dir, const char *name, bool readonly, struct err *e)
{
	auto_free char *path = name ? fs_join(dir, name) : xstrdup(dir);
	auto_free char *text = NULL;
	struct spec_git *g = l->git;
	struct spec_volume v = { 0 };
	int r;

	if (!is_canonical(path))
		return 0;
	text = xasprintf("%s:%s%s", path, path, readonly ? ":ro" : "");
	r = spec_volume_parse(text, l->paths, &v, e);
	if (r < 0)
		return r;
	g->volumes = xrealloc(g->volumes, g->nvolumes + 1, sizeof(*g->volumes));
	g->volumes[g->nvolumes++] = v;
	return 0;
}

/* Made by whoever shows it, like a mount point; it belongs to the repository's owner. */
static int make_common(const char *gitdir, struct err *e)
{
	auto_close int dir = fs_openat2(AT_FDCWD, gitdir, O_PATH | O_DIRECTORY, 0,
					RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	struct stat st;
	int r;

	if (has(gitdir, COMMON, S_IFREG))
		return 0;
	if (dir < 0 || fstat(dir, &st) < 0)
		return err_sys(e, "%s", gitdir);
	r = fs_replace_at(dir, COMMON, common_here, strlen(common_here), 0644, false, e);
	if (r == 0 && st.st_uid != geteuid() &&
	    fchownat(dir, COMMON, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		r = err_sys(e, COMMON);
	return r < 0 ? err_prefix(e, "%s", gitdir) : 0;
}

static int add_guarded(struct list *l, const char *gitdir, bool worktree, struct err *e)
{
	const struct guarded *g = worktree ? worktree_guarded : module_guarded;
	size_t n = worktree ? ARRAY_SIZE(worktree_guarded) : ARRAY_SIZE(module_guarded);
	int r = worktree || !l->make ? 0 : make_common(gitdir, e);

	if (r == 0)
		r = add(l, gitdir, worktree_config, true, e);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add(l, gitdir, g[i].name, true, e);
	return r;
}

static void push_directories(const char *dir, struct strv *todo)
{
	DIR *d = opendir(dir);
	struct dirent *ent;

	while (d && todo->n <= NESTED_MAX && (ent = readdir(d)))
		if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0 &&
		    !strchr(ent->d_name, ':') && has(dir, ent->d_name, S_IFDIR))
			strv_take(todo, fs_join(dir, ent->d_name));
	if (d)
		closedir(d);
}

/* Submodules below: modules/NAME, where NAME may have slashes, and modules of these. */
static int guard_nested(struct list *l, const char *gitdir, struct err *e)
{
	auto_strv todo = STRV_INIT;
	int r = 0;

	if (!has(gitdir, "modules", S_IFDIR))
		return 0;
	strv_take(&todo, fs_join(gitdir, "modules"));
	for (size_t i = 0; r == 0 && i < todo.n; i++) {
		auto_free char *dir = xstrdup(todo.v[i]);

		if (todo.n > NESTED_MAX) /* none of them can be worked in then */
			return add(l, gitdir, "modules", true, e);
		if (!has(dir, "HEAD", S_IFREG)) {
			push_directories(dir, &todo);
			continue;
		}
		if (unguarded(dir, NULL)) {
			r = add(l, dir, NULL, true, e);
			continue;
		}
		r = add_guarded(l, dir, false, e);
		if (has(dir, "modules", S_IFDIR))
			strv_take(&todo, fs_join(dir, "modules"));
	}
	return r;
}

static int add_place(struct list *l, const struct spec_workspace *w, const struct place *p,
		     struct err *e)
{
	static const char *const written[] = { "objects", "refs", "logs" };
	int r = add(l, w->path, ".git", true, e);

	if (r == 0 && p->repository)
		r = add(l, p->repository, NULL, true, e);
	if (r == 0 && w->readonly)
		return p->repository ? 0 : add(l, p->gitdir, NULL, true, e);
	for (size_t i = 0; r == 0 && p->repository && i < ARRAY_SIZE(written); i++)
		r = add(l, p->repository, written[i], false, e);
	if (r == 0)
		r = add(l, p->gitdir, NULL, false, e);
	if (r == 0)
		r = add_guarded(l, p->gitdir, p->repository != NULL, e);
	return r < 0 ? r : guard_nested(l, p->gitdir, e);
}

/* --- alternates ------------------------------------------------------------------------------- */

enum { ALTERNATES_FILE_MAX = 65536, ALTERNATES_MAX = 16 };

/*
 * The object directories that a repository borrows from (gitrepository-layout(5)), and those that
 * these borrow from, appended to `ret`. Written by whoever writes the repository, so they are only
 * good for being told to the user.
 */
static void collect_alternates(const char *objects, struct strv *ret)
{
	auto_free char *info = fs_join(objects, "info");
	auto_buf text = BUF_INIT;

	if (!is_canonical(info) || !read_small(info, "alternates", ALTERNATES_FILE_MAX, &text) ||
	    !text_is_utf8(buf_str(&text), text.len))
		return;
	for (const char *p = buf_str(&text); *p && ret->n < ALTERNATES_MAX;
	     p += strcspn(p, "\n"), p += *p == '\n') {
		auto_free char *line = xstrndup(p, strcspn(p, "\n"));
		auto_free char *path = NULL;

		if (!*line || *line == '#' || *line == '"')
			continue;
		path = lexical(objects, line);
		if (!strv_contains(ret, path) && has(path, "pack", S_IFDIR))
			strv_take(ret, steal(&path));
	}
}

static void find_alternates(const struct spec_workspace *w, const struct place *p, struct strv *ret)
{
	auto_free char *inside = fs_join(w->path, ".git/objects");
	auto_free char *outside =
		p->gitdir ? fs_join(p->repository ? p->repository : p->gitdir, "objects") : NULL;
	size_t first = ret->n;

	collect_alternates(outside ? outside : inside, ret);
	for (size_t i = first; i < ret->n; i++)
		collect_alternates(ret->v[i], ret);
}

/* --- all of it -------------------------------------------------------------------------------- */

int spec_git_look(const struct spec_workspace *w, const struct spec_paths *paths, bool make,
		  struct spec_git *ret, struct err *e)
{
	struct spec_git g = { 0 };
	struct list l = { paths, &g, make };
	struct place p = { 0 };
	const char *missing = NULL;
	int r = 0;

	g.refused = judge(w, &p);
	if (p.gitdir && !w->readonly)
		missing = unguarded(p.gitdir, p.repository);
	if (missing) {
		g.refused = WHY_BARE;
		g.missing = fs_join(p.gitdir, missing);
	} else if (p.gitdir) {
		r = add_place(&l, w, &p, e);
	}
	if (r == 0)
		find_alternates(w, &p, &g.alternates);
	place_clear(&p);
	if (r < 0)
		spec_git_clear(&g);
	else
		*ret = g;
	return r;
}

void spec_git_clear(struct spec_git *g)
{
	for (size_t i = 0; i < g->nvolumes; i++)
		spec_volume_clear(&g->volumes[i]);
	free(g->volumes);
	strv_free(&g->alternates);
	free(g->missing);
	*g = (struct spec_git){ 0 };
}
