/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_pack: `ward-image pack`: directories that a box has filled, as a layer.
 *
 * Request: {"trees": [{"prefix", "leave_out", "secret", "if_filled", "owner"}], "max": {"bytes",
 * "entries", "seconds"}}.  Descriptor 3 is the file to write, those behind it are the trees'
 * directories.  Result: the blob's digest, size and diff_id, and the members of struct
 * layer_packed.
 *
 * A tree is the upper directory of an overlay with `userxattr`, or a directory of its own (the
 * home).  Whiteouts there are character devices 0:0, opaque directories have user.overlay.opaque;
 * here they become .wh.NAME and .wh..wh..opq.  The entries of a directory are sorted, so the same
 * tree gives the same layer.
 *
 * Every byte of a tree may come from an attacker.  Names are read, never resolved: one directory is
 * open at a time, its entries are reached by their last component without following links, and back
 * up it goes by the path from the tree's own descriptor.  What is too deep, too long or too large
 * for a layer is refused; what a layer cannot hold (sockets, names that begin with .wh.) is left
 * out and counted.
 *
 * Secret paths are left out under whatever name, and so is what they lead to by symbolic links,
 * which layer_follow.c resolves: the inodes are remembered before anything is written.
 *
 * Invariants: memory is bounded by constants: of a directory too large for its share of NAMES_MAX
 * the smallest names are kept, and the rest is read again later; every loop ends with the tree or
 * with a limit.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/layer_internal.h"

enum {
	NAMES_MAX = 16 << 20, /* bytes of names that are kept at a time, unless the request says */
	NAMES_PART = 512,     /* one directory gets this part of it at least */
	NAME_COST = 32,	      /* of each, besides its bytes */
};

#define WHITEOUT_PREFIX	 ".wh."
#define OVERLAY_OPAQUE	 "user.overlay.opaque"
#define OVERLAY_WHITEOUT "user.overlay.whiteout"

/* A directory on the way down. */
struct level {
	size_t path_len;   /* of its path in pack.path */
	struct strv names; /* of its entries, sorted; those from `next` on are still to come */
	size_t next;
	size_t cost;  /* of the names, against NAMES_MAX */
	char *last;   /* more names follow behind this one, which must be read again; or NULL */
	bool pending; /* its own entry is written when something below it is */
	bool has_xwhiteouts; /* whiteouts may be attributes of files */
};

struct pack {
	struct layer_emit emit;
	const struct layer_tree *tree;
	struct layer_links *links;
	bool marking;	   /* remember secret files, and write nothing */
	struct buf path;   /* of the entry, as the layer has it */
	int dir;	   /* the top level's directory */
	size_t tree_depth; /* components of the tree's prefix */
	struct level levels[LAYER_DEPTH_MAX + 1];
	size_t depth;
	size_t cost; /* of all names */
};

static const char *in_tree(const struct pack *p, const char *path)
{
	size_t n = strlen(p->tree->prefix);

	path += n;
	path += n > 0 && *path == '/';
	return *path ? path : ".";
}

static bool is_listed(const struct strv *list, const struct pack *p)
{
	return strv_contains(list, in_tree(p, buf_str(&p->path)));
}

/* The same, where "NAME*" is every path that begins with NAME. */
static bool is_matched(const struct strv *list, const struct pack *p)
{
	const char *path = in_tree(p, buf_str(&p->path));

	for (size_t i = 0; i < list->n; i++) {
		size_t n = strlen(list->v[i]);

		if (strcmp(list->v[i], path) == 0 ||
		    (n > 0 && list->v[i][n - 1] == '*' && strncmp(list->v[i], path, n - 1) == 0))
			return true;
	}
	return false;
}

static int put_pending(struct pack *p, struct err *e)
{
	for (size_t i = 0; i < p->depth; i++) {
		struct level *l = &p->levels[i];
		auto_free char *path = NULL;
		auto_close int fd = -1;
		int r;

		if (!l->pending)
			continue;
		path = xstrndup(p->path.data, l->path_len);
		fd = fs_open_beneath(p->tree->fd, in_tree(p, path), O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0)
			return layer_emit_changed(&p->emit, e);
		l->pending = false;
		r = layer_emit_dir(&p->emit, path, fd, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- entries ---------------------------------------------------------------------------------- */

static int put_regular(struct pack *p, const char *name, struct err *e)
{
	auto_close int fd = openat(p->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const struct level *top = &p->levels[p->depth - 1];
	struct tar_entry entry;
	const char *first;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT || errno == ELOOP ? layer_emit_changed(&p->emit, e)
							 : layer_emit_errno(&p->emit, e);
	if (!S_ISREG(st.st_mode))
		return layer_emit_changed(&p->emit, e);
	if (top->has_xwhiteouts && st.st_size == 0 && fgetxattr(fd, OVERLAY_WHITEOUT, NULL, 0) >= 0)
		return layer_emit_mark(&p->emit, p->path.data, top->path_len, WHITEOUT_PREFIX, name,
				       e);
	p->emit.xattrs.n = 0;
	if (st.st_nlink > 1 && layer_links_find(p->links, st.st_dev, st.st_ino, &first)) {
		entry = layer_emit_describe(&p->emit, TAR_HARDLINK, buf_str(&p->path), &st);
		entry.link = first;
		return layer_emit_entry(&p->emit, &entry, e);
	}
	if (st.st_nlink > 1)
		layer_links_add(p->links, st.st_dev, st.st_ino, buf_str(&p->path));
	layer_emit_xattrs(&p->emit, fd);
	entry = layer_emit_describe(&p->emit, TAR_FILE, buf_str(&p->path), &st);
	entry.size = (uint64_t)st.st_size;
	return layer_emit_data(&p->emit, fd, &entry, &st, e);
}

static int put_symlink(struct pack *p, const char *name, const struct stat *st, struct err *e)
{
	char target[TAR_NAME_MAX + 1];
	ssize_t n = readlinkat(p->dir, name, target, sizeof(target));
	struct tar_entry entry;

	if (n < 0)
		return layer_emit_errno(&p->emit, e);
	if ((size_t)n >= sizeof(target))
		return layer_emit_fail(&p->emit, ERR_INPUT, -ENAMETOOLONG,
				       "a link with a target too long", e);
	target[n] = '\0';
	p->emit.xattrs.n = 0;
	entry = layer_emit_describe(&p->emit, TAR_SYMLINK, buf_str(&p->path), st);
	entry.mode = 0777;
	entry.link = target;
	return layer_emit_entry(&p->emit, &entry, e);
}

static int put_other(struct pack *p, const char *name, const struct stat *st, struct err *e)
{
	const struct level *top = &p->levels[p->depth - 1];
	struct tar_entry entry;

	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
		return put_regular(p, name, e);
	case S_IFLNK:
		return put_symlink(p, name, st, e);
	case S_IFIFO:
		p->emit.xattrs.n = 0;
		entry = layer_emit_describe(&p->emit, TAR_FIFO, buf_str(&p->path), st);
		return layer_emit_entry(&p->emit, &entry, e);
	case S_IFCHR:
		if (st->st_rdev == 0)
			return layer_emit_mark(&p->emit, p->path.data, top->path_len,
					       WHITEOUT_PREFIX, name, e);
		p->emit.stats.devices++;
		return 0;
	default:
		p->emit.stats.devices++;
		return 0;
	}
}

/* --- directories ------------------------------------------------------------------------------ */

static size_t cost_of(const char *name)
{
	return strlen(name) + NAME_COST;
}

/* Keep the smallest names, up to `budget`. */
static void trim(struct level *l, size_t budget)
{
	size_t n = 0;

	layer_emit_sort(&l->names);
	l->cost = 0;
	while (n < l->names.n && (n == 0 || l->cost + cost_of(l->names.v[n]) <= budget))
		l->cost += cost_of(l->names.v[n++]);
	if (n == l->names.n)
		return;
	free(l->last);
	l->last = xstrdup(l->names.v[n - 1]);
	while (l->names.n > n)
		free(l->names.v[--l->names.n]);
	l->names.v[n] = NULL;
}

/* The next names of the top level's directory, behind those that were there last time. */
static int read_names(struct pack *p, struct level *l, struct err *e)
{
	const size_t max = p->emit.q->names_max ? p->emit.q->names_max : NAMES_MAX;
	const size_t left = max - (p->cost < max ? p->cost : max);
	const size_t budget = left / 2 > max / NAMES_PART ? left / 2 : max / NAMES_PART;
	auto_free char *from = steal(&l->last);
	struct dirent *d;
	int fd = openat(p->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int r = 0;

	strv_free(&l->names);
	l->next = l->cost = 0;
	if (!dir) {
		r = layer_emit_errno(&p->emit, e);
		fd_closep(&fd);
		return r;
	}
	while (r == 0 && (errno = 0, d = readdir(dir))) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
		    (from && strcmp(d->d_name, from) <= 0) ||
		    (l->last && strcmp(d->d_name, l->last) > 0))
			continue;
		strv_add(&l->names, d->d_name);
		l->cost += cost_of(d->d_name);
		if (l->cost > 2 * budget)
			trim(l, budget);
	}
	if (errno != 0)
		r = layer_emit_errno(&p->emit, e);
	closedir(dir);
	trim(l, budget);
	p->cost += l->cost;
	return r;
}

/* Go into the directory fd, which is at the path. Takes fd. */
static int push(struct pack *p, int fd, struct err *e)
{
	struct level *l = &p->levels[p->depth];
	char mark = layer_emit_overlay_mark(fd, OVERLAY_OPAQUE);
	int r = 0;

	*l = (struct level){ .path_len = p->path.len,
			     .pending = mark != 'y' && is_listed(&p->tree->if_filled, p),
			     .has_xwhiteouts = mark == 'x' };
	/* The layer's own top has no entry: it is not the box's to change. */
	if (!p->marking && !l->pending && p->path.len > 0) {
		r = put_pending(p, e);
		if (r == 0)
			r = layer_emit_dir(&p->emit, buf_str(&p->path), fd, e);
	}
	fd_closep(&p->dir);
	p->dir = fd;
	p->depth++;
	return r == 0 ? read_names(p, l, e) : r;
}

/* Back to the directory above. */
static int pop(struct pack *p, struct err *e)
{
	struct level *l = &p->levels[--p->depth];

	p->cost -= l->cost;
	strv_free(&l->names);
	free(l->last);
	fd_closep(&p->dir);
	p->dir = -1;
	if (p->depth == 0)
		return 0;
	buf_truncate(&p->path, p->levels[p->depth - 1].path_len);
	p->dir = fs_open_beneath(p->tree->fd, in_tree(p, buf_str(&p->path)), O_RDONLY | O_DIRECTORY,
				 0);
	return p->dir < 0 ? layer_emit_changed(&p->emit, e) : 0;
}

/* Overlay gives all whiteouts one inode. */
static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

static int mark_inode(struct pack *p, const struct stat *st, struct err *e)
{
	if (is_whiteout(st) || layer_links_add(p->links, st->st_dev, st->st_ino, ""))
		return 0;
	return err_set(e, ERR_INPUT, -EFBIG, "layer: too many files that must be left out");
}

/* That a secret was removed is none. */
static bool is_left_out(const struct pack *p, const struct stat *st)
{
	return is_matched(&p->tree->leave_out, p) ||
	       (!is_whiteout(st) && (is_listed(&p->tree->secret, p) ||
				     layer_links_is_secret(p->links, st->st_dev, st->st_ino)));
}

/* The entry `name` of the top level; its path is in p->path. */
static int visit(struct pack *p, const char *name, struct err *e)
{
	struct stat st;
	int r;

	if (p->path.len >= TAR_NAME_MAX || p->tree_depth + p->depth > LAYER_DEPTH_MAX)
		return layer_emit_fail(&p->emit, ERR_INPUT, -ENAMETOOLONG,
				       "nested too deep for a layer (256 directories, 4096 bytes)",
				       e);
	if (fstatat(p->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? layer_emit_changed(&p->emit, e)
				       : layer_emit_errno(&p->emit, e);
	if (p->marking && !S_ISDIR(st.st_mode))
		return st.st_nlink > 1 ? mark_inode(p, &st, e) : 0;
	if (!p->marking && is_left_out(p, &st))
		return 0;
	if (!p->marking && text_starts(name, WHITEOUT_PREFIX)) {
		p->emit.stats.names++;
		return 0;
	}
	if (S_ISDIR(st.st_mode)) {
		int fd = openat(p->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		return fd < 0 ? layer_emit_errno(&p->emit, e) : push(p, fd, e);
	}
	r = put_pending(p, e);
	return r == 0 ? put_other(p, name, &st, e) : r;
}

static int step(struct pack *p, struct err *e)
{
	struct level *l = &p->levels[p->depth - 1];
	const char *name;
	size_t depth = p->depth;
	int r;

	if (l->next == l->names.n && !l->last)
		return pop(p, e);
	if (l->next == l->names.n) {
		p->cost -= l->cost;
		return read_names(p, l, e);
	}
	name = l->names.v[l->next++];
	if (p->path.len)
		buf_putc(&p->path, '/');
	buf_puts(&p->path, name);
	r = visit(p, name, e);
	if (r == 0 && p->depth == depth)
		buf_truncate(&p->path, l->path_len);
	return r == 0 ? layer_emit_check_time(&p->emit, e) : r;
}

/* Everything below fd, which is at the path. Takes fd. */
static int walk(struct pack *p, int fd, struct err *e)
{
	int r = push(p, fd, e);

	while (r == 0 && p->depth > 0)
		r = step(p, e);
	return r;
}

/* --- secrets ---------------------------------------------------------------------------------- */

static void choose_tree(struct pack *p, const struct layer_tree *t)
{
	p->tree = t;
	p->tree_depth = t->prefix[0] != '\0';
	for (const char *s = t->prefix; *s; s++)
		p->tree_depth += *s == '/';
}

/* What a secret path is, and leads to; of a directory, everything in it that has other names. */
static int mark(struct pack *p, const char *path, struct err *e)
{
	auto_buf found = BUF_INIT;
	auto_close int fd = -1;
	const struct layer_tree *t = layer_follow(p->emit.q, p->tree, path, &found);
	struct stat st;
	int r;

	if (!t)
		return 0;
	choose_tree(p, t);
	fd = fs_open_beneath(t->fd, in_tree(p, buf_str(&found)), O_PATH | O_NOFOLLOW, 0);
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	r = mark_inode(p, &st, e);
	if (r < 0 || !S_ISDIR(st.st_mode))
		return r;
	fd_closep(&fd);
	fd = fs_open_beneath(t->fd, in_tree(p, buf_str(&found)), O_RDONLY | O_DIRECTORY, 0);
	buf_reset(&p->path);
	buf_puts(&p->path, buf_str(&found));
	if (fd < 0)
		return layer_emit_changed(&p->emit, e);
	p->marking = true;
	r = walk(p, steal_fd(&fd), e);
	p->marking = false;
	return r;
}

static int pack_tree(struct pack *p, const struct layer_tree *t, struct err *e)
{
	int fd = openat(t->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "layer: its directory");
	choose_tree(p, t);
	p->emit.owner = t->owner;
	buf_reset(&p->path);
	buf_puts(&p->path, t->prefix);
	return walk(p, fd, e);
}

/* --- all of it ------------------------------------------------------------------------------ */

static int run(struct pack *p, struct layer_blob *ret, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < p->emit.q->ntrees && r == 0; i++) {
		const struct layer_tree *t = &p->emit.q->trees[i];

		for (size_t k = 0; k < t->secret.n && r == 0; k++) {
			choose_tree(p, t);
			r = mark(p, t->secret.v[k], e);
		}
	}
	for (size_t i = 0; i < p->emit.q->ntrees && r == 0; i++)
		r = pack_tree(p, &p->emit.q->trees[i], e);
	return r == 0 ? layer_emit_finish(&p->emit, ret, e) : r;
}

int layer_pack(const struct layer_pack_request *q, int out_fd, struct layer_blob *ret_blob,
	       struct layer_packed *ret, struct err *e)
{
	struct pack *p = xcalloc(1, sizeof(*p));
	int r;

	p->dir = -1;
	p->links = layer_links_new();
	r = layer_emit_begin(&p->emit, q, out_fd, &p->path, e);
	if (r == 0)
		r = run(p, ret_blob, e);
	while (p->depth > 0) {
		struct level *l = &p->levels[--p->depth];

		strv_free(&l->names);
		free(l->last);
	}
	*ret = p->emit.stats;
	layer_emit_clear(&p->emit);
	fd_closep(&p->dir);
	layer_links_free(p->links);
	buf_free(&p->path);
	free(p);
	return r;
}
