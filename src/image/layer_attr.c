/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_attr: what a file is besides its bytes: attributes, holes, owner, mode and times, read from
 * a tree for an archive and set in a tree as an archive says.
 *
 * Reading and setting go by descriptor.  Which attributes count is layer_xattr_class's to say.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "image/layer_internal.h"

enum {
	XATTR_NAMES_MAX = 64 << 10,
	XATTR_DATA_MAX = 96 << 10,
	HOLE_MIN = 64 << 10, /* a smaller one is written as zeros */
	/* Names and times of directories that are kept until the end; some 300,000 of them. */
	TIMES_MAX = 24 << 20,
};

/* --- reading attributes ----------------------------------------------------------------------- */

void layer_xattrs_clear(struct layer_xattrs *x)
{
	free(x->names);
	free(x->data);
	*x = (struct layer_xattrs){ 0 };
}

/* One attribute into the space behind `used`; its bytes, or 0 when it is left out. */
static size_t take_xattr(struct layer_xattrs *x, int fd, const char *name, size_t used)
{
	enum layer_xattr class = layer_xattr_class(name);
	char *at = x->data + used;
	size_t n = strlen(name) + 1;
	ssize_t len;

	if (class == LAYER_XATTR_DROP || x->n == TAR_XATTRS_MAX || strchr(name, '=') ||
	    n + LAYER_CAPABILITY_SIZE > XATTR_DATA_MAX - used)
		return 0;
	memcpy(at, name, n);
	len = fgetxattr(fd, name, at + n, XATTR_DATA_MAX - used - n);
	if (len < 0)
		return 0;
	if (class == LAYER_XATTR_CAPABILITY) {
		char value[LAYER_CAPABILITY_SIZE];

		if (layer_capability(at + n, (size_t)len, value) < 0)
			return 0;
		memcpy(at + n, value, sizeof(value));
		len = sizeof(value);
	}
	x->v[x->n++] = (struct tar_xattr){ .name = at, .value = at + n, .len = (size_t)len };
	return n + (size_t)len;
}

uint64_t layer_xattrs_read(struct layer_xattrs *x, int fd)
{
	auto_strv names = STRV_INIT;
	uint64_t left_out = 0;
	size_t used = 0;
	ssize_t n;

	if (!x->names) {
		x->names = xmalloc(XATTR_NAMES_MAX);
		x->data = xmalloc(XATTR_DATA_MAX);
	}
	x->n = 0;
	n = flistxattr(fd, x->names, XATTR_NAMES_MAX);
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(x->names + at) + 1)
		strv_add(&names, x->names + at);
	layer_emit_sort(&names);
	for (size_t i = 0; i < names.n; i++) {
		size_t took = take_xattr(x, fd, names.v[i], used);

		left_out += took == 0 && !text_starts(names.v[i], "user.overlay.");
		used += took;
	}
	return left_out;
}

/* --- holes ------------------------------------------------------------------------------------ */

uint64_t layer_pieces_size(const struct tar_piece *pieces, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += pieces[i].size;
	return sum;
}

/* The pieces between holes of at least `min` bytes. 0; 1: there are too many; -errno. */
static int find_pieces(int fd, off_t size, off_t min, struct tar_piece *pieces, size_t *ret_n)
{
	size_t n = 0;

	for (off_t at = 0; at < size;) {
		struct tar_piece *before = n ? &pieces[n - 1] : NULL;
		off_t data = lseek(fd, at, SEEK_DATA);

		if (data < 0 && errno != ENXIO)
			return -errno;
		if (data < 0 || data >= size)
			break;
		at = lseek(fd, data, SEEK_HOLE);
		at = at < 0 || at > size ? size : at;
		if (before && data - (off_t)(before->offset + before->size) < min) {
			before->size = (uint64_t)at - before->offset;
			continue;
		}
		if (n == TAR_PIECES_MAX)
			return 1;
		pieces[n++] = (struct tar_piece){ (uint64_t)data, (uint64_t)(at - data) };
	}
	*ret_n = n;
	return 0;
}

bool layer_pieces_find(int fd, const struct stat *st, struct tar_piece *pieces, size_t *ret_n)
{
	const uint64_t size = (uint64_t)st->st_size;
	int r = 1;

	if ((uint64_t)st->st_blocks * 512 < size) {
		for (off_t min = HOLE_MIN; r == 1; min *= 4)
			r = find_pieces(fd, st->st_size, min, pieces, ret_n);
		if (r == 0 && size - layer_pieces_size(pieces, *ret_n) >= HOLE_MIN)
			return true;
	}
	pieces[0] = (struct tar_piece){ 0, size };
	*ret_n = 1;
	return false;
}

/* --- setting ---------------------------------------------------------------------------------- */

int layer_meta_of(const struct tar_entry *entry, uint32_t ids, struct layer_meta *ret)
{
	*ret = (struct layer_meta){
		.mode = entry->mode, .mtime = { .tv_sec = entry->mtime, .tv_nsec = entry->mtime_ns }
	};
	if (layer_owner(entry->uid, ids, &ret->uid) < 0 ||
	    layer_owner(entry->gid, ids, &ret->gid) < 0)
		return -EINVAL;
	return 0;
}

int layer_meta_xattrs(struct layer_meta *m, int fd, const struct tar_entry *entry,
		      uint64_t *left_out)
{
	for (size_t i = 0; i < entry->nxattrs; i++) {
		const struct tar_xattr *x = &entry->xattrs[i];
		enum layer_xattr class = layer_xattr_class(x->name);

		if (class == LAYER_XATTR_CAPABILITY && entry->type == TAR_FILE &&
		    layer_capability(x->value, x->len, m->capability) == 0) {
			m->has_capability = true;
			continue;
		}
		if (class == LAYER_XATTR_KEEP && fsetxattr(fd, x->name, x->value, x->len, 0) == 0)
			continue;
		/* A file system without them, or a file that may not have them. */
		if (class == LAYER_XATTR_KEEP && errno != EOPNOTSUPP && errno != EPERM)
			return -errno;
		++*left_out;
	}
	return 0;
}

int layer_meta_settle(const struct layer_meta *m, int fd, bool owners, uint64_t *left_out)
{
	if (owners && fchown(fd, m->uid, m->gid) < 0)
		return -errno;
	if (fchmod(fd, m->mode) < 0)
		return -errno;
	if (!m->has_capability ||
	    fsetxattr(fd, "security.capability", m->capability, sizeof(m->capability), 0) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EPERM)
		return -errno;
	++*left_out;
	return 0;
}

/* --- times ------------------------------------------------------------------------------------ */

/* A time that the file system cannot hold is no loss. */
void layer_meta_time(const struct layer_meta *m, int dir, const char *name)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, m->mtime };

	(void)utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
}

void layer_meta_file_time(const struct layer_meta *m, int fd)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, m->mtime };

	(void)futimens(fd, times);
}

struct dir_time {
	int64_t seconds;
	uint32_t nanoseconds;
	uint32_t length; /* of the name that follows, with its NUL */
};

int layer_times_add(struct buf *times, const char *path, const struct layer_meta *m)
{
	const struct dir_time t = { m->mtime.tv_sec, (uint32_t)m->mtime.tv_nsec,
				    (uint32_t)strlen(path) + 1 };

	if (times->len + sizeof(t) + t.length > TIMES_MAX)
		return -EFBIG;
	buf_add(times, &t, sizeof(t));
	buf_add(times, path, t.length);
	return 0;
}

void layer_times_set(struct buf *times, int root, int (*open_dir)(int root, const char *path))
{
	for (size_t at = 0; at < times->len;) {
		struct dir_time t;
		const char *path = times->data + at + sizeof(t);
		auto_close int fd = -1;

		memcpy(&t, times->data + at, sizeof(t));
		at += sizeof(t) + t.length;
		/* A later entry may have put something else in its place. */
		fd = open_dir(root, path);
		if (fd >= 0)
			layer_meta_file_time(
				&(struct layer_meta){ .mtime = { .tv_sec = t.seconds,
								 .tv_nsec = t.nanoseconds } },
				fd);
	}
	buf_reset(times);
}
