/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_follow: where a path leads to, over the directories that become one layer.
 *
 * The kernel resolves links within one directory; a box sees the home and the rest of its system as
 * one tree, and an absolute link of the home leads from there.  So here a path is taken component
 * by component, each in the tree that holds it.  Nothing but descriptors of links is opened, and
 * none is followed by the kernel.
 *
 * What lies in no tree is a directory of the layers below: nothing in it can be written.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/layer_internal.h"

enum { LINKS_MAX = 40 };

/* The tree that holds the path, and where it is there. */
static const struct layer_tree *holder(const struct layer_pack_request *q, const char *path,
				       const char **ret)
{
	const struct layer_tree *best = NULL;
	size_t len = 0;

	for (size_t i = 0; i < q->ntrees; i++) {
		const struct layer_tree *t = &q->trees[i];
		size_t n = strlen(t->prefix);
		bool within = n == 0 ||
			      (text_starts(path, t->prefix) && (path[n] == '/' || path[n] == '\0'));

		if (within && (!best || n > len)) {
			best = t;
			len = n;
		}
	}
	path += len;
	path += len > 0 && *path == '/';
	*ret = *path ? path : ".";
	return best;
}

/* The target of the link at the path: its length, or -1 when it is no link. */
static ssize_t read_link(const struct layer_pack_request *q, const char *path, char *target,
			 size_t size)
{
	const char *at;
	const struct layer_tree *t = holder(q, path, &at);
	auto_close int fd = t ? fs_open_beneath(t->fd, at, O_PATH | O_NOFOLLOW, 0) : -1;
	ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", target, size);

	return n >= (ssize_t)size ? -1 : n;
}

static void go_up(struct buf *path)
{
	const char *slash = path->len ? strrchr(path->data, '/') : NULL;

	buf_truncate(path, slash ? (size_t)(slash - path->data) : 0);
}

/* One component of a path without links, which becomes one again. */
static bool enter(const struct layer_pack_request *q, struct buf *path, const char *name, size_t n,
		  char **rest, unsigned *links)
{
	char target[TAR_NAME_MAX + 1];
	size_t before = path->len;
	ssize_t len;
	char *joined;

	if (n == 0 || (n == 1 && name[0] == '.'))
		return true;
	if (n == 2 && name[0] == '.' && name[1] == '.') {
		go_up(path);
		return true;
	}
	if (path->len + n >= TAR_NAME_MAX)
		return false;
	if (path->len)
		buf_putc(path, '/');
	buf_add(path, name, n);
	len = read_link(q, buf_str(path), target, sizeof(target));
	if (len < 0)
		return true;
	if (++*links > LINKS_MAX)
		return false;
	buf_truncate(path, target[0] == '/' ? 0 : before);
	joined = xasprintf("%.*s/%s", (int)len, target, *rest);
	free(*rest);
	*rest = joined;
	return true;
}

const struct layer_tree *layer_follow(const struct layer_pack_request *q,
				      const struct layer_tree *from, const char *path,
				      struct buf *ret)
{
	auto_free char *start = xasprintf("%s%s%s", from->prefix, *from->prefix ? "/" : "", path);
	auto_free char *rest = xstrdup(start);
	unsigned links = 0;
	const char *at;

	buf_reset(ret);
	while (*rest) {
		size_t n = strcspn(rest, "/");
		auto_free char *name = xstrndup(rest, n);
		char *left = xstrdup(rest + n + (rest[n] == '/'));

		free(rest);
		rest = left;
		if (!enter(q, ret, name, n, &rest, &links))
			return NULL;
	}
	if (ret->len == 0 || (text_starts(start, buf_str(ret)) && start[ret->len] == '/'))
		return NULL;
	return holder(q, buf_str(ret), &at);
}
