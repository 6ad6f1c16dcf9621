/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gitdir: what a linked git worktree needs besides its own directory.
 *
 * In a linked worktree (git-worktree(1)) `.git` is a file that names REPOSITORY/worktrees/NAME,
 * where index and HEAD are; objects and branches are in REPOSITORY.  Neither lies in the workspace.
 *
 * A file of the workspace must never choose what is shown of the machine: it may come from a
 * stranger. So what it names is only a candidate, and is taken when the repository, which the
 * workspace cannot write, names the workspace as its worktree, all of it belongs to the workspace's
 * owner, and no symbolic link is on the way.  git itself is not asked: it would read the
 * workspace's files.
 *
 * Shown are REPOSITORY read-only (configuration and hooks are programs that the user's own git
 * would start) and, writable, what a commit writes to.  `commondir` and `gitdir` stay read-only,
 * because they tell git outside where to look.
 *
 * Invariant: only directories and files below REPOSITORY are shown, each opened without links by
 * who mounts it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

enum { LINK_FILE_MAX = 8192 };

/* The one line of a small file, after `prefix`; NULL when it is not of that form. */
static char *read_line(const char *dir, const char *name, const char *prefix)
{
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_buf text = BUF_INIT;
	const char *s;
	size_t n;

	if (fd < 0 || fs_read_at(fd, name, LINK_FILE_MAX, &text, NULL) < 0)
		return NULL;
	s = buf_str(&text);
	n = strcspn(s, "\n");
	if (strlen(s) != text.len || n == 0 || (s[n] == '\n' && s[n + 1]) ||
	    !text_starts(s, prefix))
		return NULL;
	return xstrndup(s + strlen(prefix), n - strlen(prefix));
}

/* A directory of that owner, reached without a symbolic link. */
static bool is_own(const char *path, uid_t owner)
{
	auto_free char *real = NULL;
	struct stat st;

	return fs_canonical(path, &real, NULL) == 0 && strcmp(real, path) == 0 &&
	       lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == owner;
}

static bool points_back(const char *gitdir, const char *workspace)
{
	auto_free char *want = fs_join(workspace, ".git");
	auto_free char *back = read_line(gitdir, "gitdir", "");

	return back && strcmp(back, want) == 0;
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

static int add(const char *dir, const char *name, bool readonly, const struct spec_paths *paths,
	       struct spec_volume **list, size_t *n, struct err *e)
{
	auto_free char *path = name ? fs_join(dir, name) : xstrdup(dir);
	auto_free char *real = NULL;
	auto_free char *text = NULL;
	struct spec_volume v = { 0 };
	int r;

	if (fs_canonical(path, &real, NULL) < 0 || strcmp(real, path) != 0)
		return 0;
	text = xasprintf("%s:%s%s", path, path, readonly ? ":ro" : "");
	r = spec_volume_parse(text, paths, &v, e);
	if (r < 0)
		return r;
	*list = xrealloc(*list, *n + 1, sizeof(**list));
	(*list)[(*n)++] = v;
	return 0;
}

/* The gitdir of a linked worktree that is trusted as said above, else NULL. */
static char *trusted_gitdir(const struct spec_workspace *w, char **ret_repository)
{
	auto_free char *named = read_line(w->path, ".git", "gitdir: ");
	auto_free char *joined = NULL;
	auto_free char *gitdir = NULL;
	auto_free char *repository = NULL;
	struct stat st;

	if (!named || lstat(w->path, &st) < 0)
		return NULL;
	joined = named[0] == '/' ? xstrdup(named) : fs_join(w->path, named);
	/* A colon separates the parts of a volume. */
	if (fs_canonical(joined, &gitdir, NULL) < 0 || strchr(gitdir, ':'))
		return NULL;
	repository = repository_of(gitdir);
	if (!repository || fs_path_within(repository, w->path) || !is_own(gitdir, st.st_uid) ||
	    !is_own(repository, st.st_uid) || !points_back(gitdir, w->path))
		return NULL;
	*ret_repository = steal(&repository);
	return steal(&gitdir);
}

int spec_git_volumes(const struct spec_workspace *w, const struct spec_paths *paths,
		     struct spec_volume **list, size_t *n, struct err *e)
{
	static const char *const written[] = { "objects", "refs", "logs" };
	static const char *const fixed[] = { "commondir", "gitdir", "config.worktree" };
	auto_free char *repository = NULL;
	auto_free char *gitdir = trusted_gitdir(w, &repository);
	int r;

	if (!gitdir)
		return 0;
	r = add(repository, NULL, true, paths, list, n, e);
	for (size_t i = 0; r == 0 && !w->readonly && i < ARRAY_SIZE(written); i++)
		r = add(repository, written[i], false, paths, list, n, e);
	if (r == 0 && !w->readonly)
		r = add(gitdir, NULL, false, paths, list, n, e);
	for (size_t i = 0; r == 0 && !w->readonly && i < ARRAY_SIZE(fixed); i++)
		r = add(gitdir, fixed[i], true, paths, list, n, e);
	return r;
}
