/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_agent: an agent that is installed on this machine, and the least of the host that it needs.
 *
 * The `host` template shows the system directories.  An agent installed under the user's home (an
 * npm prefix, nvm, ~/.local, a vendor's installer) is shown by binding just its own directory
 * read-only at its own path, because programs find their files relative to their resolved path.
 * Never a whole home, never a directory that also holds other things of the user, such as
 * ~/.local/bin or ~/.cargo.
 *
 * Invariant: every path in host_program.binds is canonical and lies outside the system directories.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/engine_internal.h"

/* Directories that the host template shows anyway. */
static const char *const system_dirs[] = {
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store",
};

/* Where there is no PATH at all, as in a service or a job. */
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

/* Below the home, after PATH: where installers put programs. A trailing star is one level of any
 * name. */
static const char *const usual_dirs[] = {
	".local/bin",
	".claude/local",
	".npm-global/bin",
	".npm-packages/bin",
	".nvm/versions/node/*/bin",
	".volta/bin",
	".bun/bin",
	".opencode/bin",
	".amp/bin",
	".cargo/bin",
	"go/bin",
	".docker/cli-plugins",
	"bin",
	"node_modules/.bin",
};

static bool in_system(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(system_dirs); i++)
		if (fs_path_within(path, system_dirs[i]))
			return true;
	return false;
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool leads_out(const char *from, const char *to, const char *top)
{
	return fs_path_within(from, top) && !fs_path_within(to, top);
}

/*
 * Does something at `from`, where programs of a sandbox may write, name `to`, where they may not?
 * What the agent left in a workspace says nothing about this machine: it would choose which
 * directory of the host is shown at the next start.
 */
static bool leads_out_of_box(const struct spec *s, const char *from, const char *to)
{
	for (size_t i = 0; s && i < s->nworkspaces; i++)
		if (leads_out(from, to, s->workspaces[i].path))
			return true;
	for (size_t i = 0; s && i < s->nvolumes; i++)
		if (leads_out(from, to, s->volumes[i].source))
			return true;
	return false;
}

/* A symbolic link that a sandbox may have made, such as one in a workspace's node_modules/.bin. */
static bool is_untrusted(const char *candidate, const struct spec *s)
{
	auto_free char *dir = xstrndup(candidate, (size_t)(strrchr(candidate, '/') - candidate));
	auto_free char *real_dir = NULL;
	auto_free char *real = NULL;

	if (!s)
		return false;
	if (fs_canonical(dir, &real_dir, NULL) < 0 || fs_canonical(candidate, &real, NULL) < 0)
		return true;
	return leads_out_of_box(s, real_dir, real);
}

static char *find_in_path(const char *binary, const struct spec *s)
{
	const char *path = getenv("PATH");

	if (!path)
		path = DEFAULT_PATH;
	while (*path) {
		const char *end = strchrnul(path, ':');
		auto_free char *dir = xstrndup(path, (size_t)(end - path));
		auto_free char *candidate = fs_join(dir, binary);

		/* Relative entries would let the current directory choose the program. */
		if (dir[0] == '/' && is_program(candidate) && !is_untrusted(candidate, s))
			return steal(&candidate);
		path = *end ? end + 1 : end;
	}
	return NULL;
}

/* dir/STAR/rest/binary, the greatest name first (nvm: the newest version, as text). */
static char *find_in_star(const char *dir, const char *rest, const char *binary)
{
	auto_free char *best = NULL;
	struct dirent *d;
	DIR *dh = opendir(dir);

	if (!dh)
		return NULL;
	while ((d = readdir(dh))) {
		auto_free char *sub = NULL;
		char *candidate;

		if (d->d_name[0] == '.')
			continue;
		sub = xasprintf("%s/%s%s/%s", dir, d->d_name, rest, binary);
		if (!is_program(sub) || (best && strverscmp(best, sub) >= 0))
			continue;
		candidate = steal(&sub);
		free(best);
		best = candidate;
	}
	closedir(dh);
	return steal(&best);
}

static char *find_usual(const char *binary, const char *home, const struct spec *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(usual_dirs); i++) {
		auto_free char *dir = fs_join(home, usual_dirs[i]);
		auto_free char *candidate = NULL;
		char *star = strstr(dir, "/*");

		if (star) {
			*star = '\0';
			candidate = find_in_star(dir, star + 2, binary);
			if (candidate && !is_untrusted(candidate, s))
				return steal(&candidate);
			continue;
		}
		candidate = fs_join(dir, binary);
		if (is_program(candidate) && !is_untrusted(candidate, s))
			return steal(&candidate);
	}
	return NULL;
}

char *engine_find_host_agent(const struct kit *k, const char *home, const struct spec *s)
{
	char *found;

	if (!k->binary)
		return NULL;
	found = find_in_path(k->binary, s);
	return found ? found : find_usual(k->binary, home, s);
}

/* In or beside a node_modules whose packages need each other: npm's local installations, and what
 * Yarn, pnpm and Bun make of global ones. */
static const char *const hoisting_marks[] = {
	".package-lock.json", ".yarn-integrity", ".modules.yaml", "../bun.lock", "../bun.lockb",
};

static bool is_hoisted(const char *modules)
{
	for (size_t i = 0; i < ARRAY_SIZE(hoisting_marks); i++) {
		auto_free char *mark = fs_join(modules, hoisting_marks[i]);

		if (access(mark, F_OK) == 0)
			return true;
	}
	return false;
}

/*
 * The directory of an npm package that `real` lies in: .../node_modules/[@scope/]name of the
 * outermost node_modules.  Where the package's dependencies are hoisted beside it, the whole
 * node_modules is needed.
 */
static char *npm_root(const char *real)
{
	static const char marker[] = "/node_modules/";
	const char *at = strstr(real, marker);
	auto_free char *modules = NULL;
	const char *p;

	if (!at)
		return NULL;
	modules = xstrndup(real, (size_t)(at - real) + sizeof(marker) - 2);
	if (is_hoisted(modules))
		return steal(&modules);
	p = at + sizeof(marker) - 1;
	if (*p == '@') {
		p = strchr(p, '/');
		if (!p)
			return NULL;
		p++;
	}
	p = strchr(p, '/');
	return p ? xstrndup(real, (size_t)(p - real)) : NULL;
}

/*
 * What to show for a program that is in no npm package: DIR for DIR/bin/program when DIR is the
 * program's own (deeper than one level below the home), the directory of a versioned file, else the
 * file alone.
 */
static char *own_dir(const char *real, const char *home)
{
	auto_free char *parent = xstrndup(real, (size_t)(strrchr(real, '/') - real));
	const char *below;

	if (!fs_path_within(parent, home) || strcmp(parent, home) == 0)
		return xstrdup(real);
	below = parent + strlen(home) + 1;
	if (text_ends(parent, "/bin")) {
		char *slash = strrchr(parent, '/');

		*slash = '\0';
		/* ~/.local/bin, ~/.cargo/bin, ~/bin: shared places; the file alone is enough. */
		if (strlen(parent) <= strlen(home) || !strchr(parent + strlen(home) + 1, '/'))
			return xstrdup(real);
		return steal(&parent);
	}
	return strchr(below, '/') ? steal(&parent) : xstrdup(real);
}

/* What follows "#!" in the first line of a script; false when it is none. */
static bool read_shebang(const char *path, char *line, size_t size)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, line, size - 1);
	if (n < 4 || line[0] != '#' || line[1] != '!')
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	memmove(line, line + 2, strlen(line + 2) + 1);
	return true;
}

static bool names_node(const char *shebang)
{
	return text_ends(shebang, "/node") || text_ends(shebang, " node") ||
	       strstr(shebang, "node ");
}

static void add_bind(struct host_program *p, char *path)
{
	auto_free char *owned = path;

	if (!in_system(owned) && !strv_contains(&p->binds, owned))
		strv_take(&p->binds, steal(&owned));
}

void host_program_clear(struct host_program *p)
{
	free(p->real);
	free(p->interpreter);
	strv_free(&p->binds);
	*p = (struct host_program){ 0 };
}

/* Node is looked up by name, so it is also linked to where the box looks. */
static void add_node(struct host_program *p, const char *home, const struct spec *s)
{
	auto_free char *node = find_in_path("node", s);
	auto_free char *real = NULL;

	if (!node)
		node = find_usual("node", home, s);
	if (!node || fs_canonical(node, &real, NULL) < 0 || in_system(real))
		return;
	add_bind(p, xstrdup(real));
	p->interpreter = steal(&real);
}

/*
 * An interpreter below the home that the script names by its path, such as the Python of a virtual
 * environment: a link in the environment, which is shown, to an installation elsewhere (uv, pyenv).
 */
static void add_interpreter(struct host_program *p, const char *shebang, const char *home,
			    const struct spec *s)
{
	auto_free char *path = xstrndup(shebang, strcspn(shebang, " "));
	auto_free char *real = NULL;

	if (!fs_path_within(path, home) || fs_canonical(path, &real, NULL) < 0 ||
	    !fs_path_within(real, home) || !is_program(real) || leads_out_of_box(s, p->real, real))
		return;
	add_bind(p, own_dir(real, home));
}

int host_program_resolve(const char *path, const char *home, const struct spec *s,
			 struct host_program *ret, struct err *e)
{
	struct host_program p = { 0 };
	auto_free char *root = NULL;
	char shebang[256];
	int r;

	r = fs_canonical(path, &p.real, e);
	if (r < 0)
		return r;
	if (!in_system(p.real)) {
		root = npm_root(p.real);
		add_bind(&p, root ? steal(&root) : own_dir(p.real, home));
	}
	if (read_shebang(p.real, shebang, sizeof(shebang))) {
		if (names_node(shebang))
			add_node(&p, home, s);
		else
			add_interpreter(&p, shebang, home, s);
	}
	*ret = p;
	return 0;
}
