/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_match: names in a context or in another stage's tree.
 *
 * Every path is opened from the tree's descriptor; a symbolic link leads nowhere but into the tree.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/build_internal.h"

int build_tree_open(const struct build_tree *t, const char *path, int flags, struct err *e)
{
	int fd = fs_openat2(t->fd, *path ? path : ".", flags, 0,
			    RESOLVE_NO_MAGICLINKS |
				    (t->is_root ? RESOLVE_IN_ROOT : RESOLVE_BENEATH));
	auto_free char *shown = fd < 0 ? text_escaped(path) : NULL;

	if (fd >= 0)
		return fd;
	if (fd == -EXDEV)
		return err_set(e, ERR_REFUSED, -EXDEV, "'%.200s': it leads out of the context",
			       shown);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return err_set(e, ERR_INPUT, -ENOENT, "'%.200s': there is no such file %s", shown,
			       t->is_root ? "in that image" : "in the context");
	errno = -fd;
	return err_sys(e, "'%.200s'", shown);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int build_names(int dir, struct strv *ret, struct err *e)
{
	int again = fs_open_beneath(dir, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	struct dirent *entry;

	if (!d)
		return err_sys(e, "directory");
	while ((entry = readdir(d))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (ret->n == BUILD_MATCHES_MAX) {
			closedir(d);
			return err_set(e, ERR_INPUT, -E2BIG, "more than %d files in one directory",
				       BUILD_MATCHES_MAX);
		}
		strv_add(ret, entry->d_name);
	}
	closedir(d);
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), compare);
	return 0;
}

static bool has_wildcard(const char *s)
{
	return strpbrk(s, "*?[\\") != NULL;
}

static char *below(const char *dir, const char *name)
{
	return *dir ? fs_join(dir, name) : xstrdup(name);
}

static void replace(char **s, char *by)
{
	free(*s);
	*s = by;
}

int build_tree_real(const struct build_tree *t, const char *path, char **ret, struct err *e)
{
	auto_free char *done = xstrdup("");
	auto_free char *rest = xstrdup(path);
	unsigned links = 0;

	while (*rest) {
		size_t n = strcspn(rest, "/");
		auto_free char *name = xstrndup(rest, n);
		auto_free char *later = xstrdup(rest + n + (rest[n] == '/'));
		auto_free char *at = below(done, name);
		char target[PATH_MAX];
		char *slash;
		ssize_t got;

		if (n == 0 || strcmp(name, ".") == 0) {
			replace(&rest, steal(&later));
			continue;
		}
		if (strcmp(name, "..") == 0) {
			slash = strrchr(done, '/');
			*(slash ? slash : done) = '\0';
			replace(&rest, steal(&later));
			continue;
		}
		got = readlinkat(t->fd, at, target, sizeof(target) - 1);
		if (got < 0) {
			replace(&done, steal(&at));
			replace(&rest, steal(&later));
			continue;
		}
		target[got] = '\0';
		if (++links > BUILD_LINKS_MAX)
			return err_set(e, ERR_INPUT, -ELOOP, "too many links");
		if (target[0] == '/')
			done[0] = '\0';
		replace(&rest, xasprintf("%s/%s", target, later));
	}
	*ret = steal(&done);
	return 0;
}

/* One component more, of each of the directories in *paths. */
static int descend(const struct build_tree *t, const char *component, struct strv *paths,
		   struct err *e)
{
	auto_strv next = STRV_INIT;

	for (size_t i = 0; i < paths->n; i++) {
		auto_strv names = STRV_INIT;
		auto_close int dir = -1;
		int r;

		if (!has_wildcard(component)) {
			strv_take(&next, below(paths->v[i], component));
			continue;
		}
		dir = build_tree_open(t, paths->v[i], O_RDONLY | O_DIRECTORY, e);
		if (dir == -ENOENT)
			continue;
		r = dir < 0 ? dir : build_names(dir, &names, e);
		for (size_t k = 0; r == 0 && k < names.n; k++) {
			auto_free char *path = below(paths->v[i], names.v[k]);

			if (!dockerignore_glob(component, names.v[k]) ||
			    dockerignore_matches(&t->ignore, path))
				continue;
			if (next.n == BUILD_MATCHES_MAX)
				return err_set(e, ERR_INPUT, -E2BIG, "more than %d matches",
					       BUILD_MATCHES_MAX);
			strv_add(&next, path);
		}
		if (r < 0)
			return r;
	}
	strv_free(paths);
	*paths = next;
	next = STRV_INIT;
	return 0;
}

int build_match(const struct build_tree *t, const char *pattern, struct strv *ret, struct err *e)
{
	auto_free char *shown = text_escaped(pattern);
	auto_strv paths = STRV_INIT;
	int r = 0;

	strv_add(&paths, "");
	for (const char *p = pattern; r == 0 && *p;) {
		size_t n = strcspn(p, "/");
		auto_free char *component = xstrndup(p, n);

		if (strcmp(component, "..") == 0)
			return err_set(e, ERR_REFUSED, -EXDEV, "'%.200s': it leads out of the %s",
				       shown, t->is_root ? "image" : "context");
		if (n && strcmp(component, ".") != 0)
			r = descend(t, component, &paths, e);
		p += n;
		p += *p == '/';
	}
	if (r == 0 && has_wildcard(pattern)) { /* what follows a wildcard need not exist */
		auto_strv there = STRV_INIT;

		for (size_t i = 0; i < paths.n; i++) {
			auto_close int fd = build_tree_open(t, paths.v[i], O_PATH, NULL);

			if (fd >= 0)
				strv_add(&there, paths.v[i]);
		}
		if (there.n == 0)
			return err_set(e, ERR_INPUT, -ENOENT, "'%.200s': it matches no file",
				       shown);
		strv_extend(ret, &there);
		return 0;
	}
	if (r == 0)
		strv_extend(ret, &paths);
	return r;
}
