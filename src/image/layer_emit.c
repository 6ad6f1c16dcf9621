/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_emit: the entries of a new layer: owners and attributes, whiteouts, and the data of files
 * with their holes.
 *
 * Where an entry is, layer_pack.c has decided; here nothing but descriptors is looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "image/layer_internal.h"

enum {
	CHUNK = 256 << 10,
	XATTR_NAMES_MAX = 64 << 10,
	XATTR_DATA_MAX = 96 << 10,
	HOLE_MIN = 64 << 10, /* a smaller one is written as zeros */
};

#define OPAQUE_NAME    ".wh..wh..opq"
#define OVERLAY_OPAQUE "user.overlay.opaque"

int layer_emit_fail(const struct layer_emit *m, enum err_kind kind, int code, const char *why,
		    struct err *e)
{
	auto_free char *shown = text_escaped(buf_str(m->path));

	return err_set(e, kind, code, "layer: '/%.200s': %s", shown, why);
}

int layer_emit_errno(const struct layer_emit *m, struct err *e)
{
	auto_free char *shown = text_escaped(buf_str(m->path));

	return err_sys(e, "layer: '/%.200s'", shown);
}

int layer_emit_changed(const struct layer_emit *m, struct err *e)
{
	return layer_emit_fail(m, ERR_CONFLICT, -EAGAIN, "it changed while it was read", e);
}

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

int layer_emit_check_time(const struct layer_emit *m, struct err *e)
{
	if (now() <= m->deadline)
		return 0;
	return err_set(e, ERR_INPUT, -ETIME, "layer: writing it takes longer than %u seconds",
		       m->q->seconds);
}

/* --- attributes ------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void layer_emit_sort(struct strv *v)
{
	if (v->n > 1)
		qsort(v->v, v->n, sizeof(*v->v), by_name);
}

/* One attribute into the space behind `used`; its bytes, or 0 when it is left out. */
static size_t take_xattr(struct layer_emit *m, int fd, const char *name, size_t used)
{
	enum layer_xattr class = layer_xattr_class(name);
	char *at = m->xattr_data + used;
	size_t n = strlen(name) + 1;
	ssize_t len;

	if (class == LAYER_XATTR_DROP || m->nxattrs == TAR_XATTRS_MAX || strchr(name, '=') ||
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
	m->xattrs[m->nxattrs++] =
		(struct tar_xattr){ .name = at, .value = at + n, .len = (size_t)len };
	return n + (size_t)len;
}

/* Those that a layer may have, sorted. A file system without attributes is none. */
void layer_emit_xattrs(struct layer_emit *m, int fd)
{
	ssize_t n = flistxattr(fd, m->xattr_names, XATTR_NAMES_MAX);
	auto_strv names = STRV_INIT;
	size_t used = 0;

	m->nxattrs = 0;
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(m->xattr_names + at) + 1)
		strv_add(&names, m->xattr_names + at);
	layer_emit_sort(&names);
	for (size_t i = 0; i < names.n; i++) {
		size_t took = take_xattr(m, fd, names.v[i], used);

		if (took == 0 && !text_starts(names.v[i], "user.overlay."))
			m->stats.xattrs++;
		used += took;
	}
}

char layer_emit_overlay_mark(int fd, const char *name)
{
	char value = '\0';

	return fgetxattr(fd, name, &value, 1) == 1 ? value : '\0';
}

/* --- writing ---------------------------------------------------------------------------------- */

static int put(struct layer_emit *m, const struct buf *b, struct err *e)
{
	return layer_deflate_add(m->out, b->data, b->len, e);
}

int layer_emit_begin(struct layer_emit *m, const struct layer_pack_request *q, int out_fd,
		     const struct buf *path, struct err *e)
{
	*m = (struct layer_emit){ .q = q, .path = path, .owner = -1 };
	m->deadline = now() + q->seconds;
	m->chunk = xmalloc(CHUNK);
	m->xattr_names = xmalloc(XATTR_NAMES_MAX);
	m->xattr_data = xmalloc(XATTR_DATA_MAX);
	m->pieces = xcalloc(TAR_PIECES_MAX, sizeof(*m->pieces));
	return layer_deflate_new(out_fd, &m->out, e);
}

int layer_emit_finish(struct layer_emit *m, struct layer_blob *ret, struct err *e)
{
	int r;

	buf_reset(&m->header);
	tar_write_end(&m->header);
	r = put(m, &m->header, e);
	return r == 0 ? layer_deflate_finish(m->out, ret, e) : r;
}

void layer_emit_clear(struct layer_emit *m)
{
	layer_deflate_free(m->out);
	buf_free(&m->header);
	free(m->chunk);
	free(m->xattr_names);
	free(m->xattr_data);
	free(m->pieces);
}

struct tar_entry layer_emit_describe(const struct layer_emit *m, enum tar_type type,
				     const char *path, const struct stat *st)
{
	const bool owned = m->owner >= 0;

	return (struct tar_entry){
		.type = type,
		.path = path,
		.mode = st->st_mode & 07777,
		.uid = owned ? (uint64_t)m->owner : st->st_uid,
		.gid = owned ? (uint64_t)m->owner : st->st_gid,
		.mtime = st->st_mtim.tv_sec,
		.mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
		.xattrs = m->xattrs,
		.nxattrs = m->nxattrs,
	};
}

int layer_emit_entry(struct layer_emit *m, const struct tar_entry *entry, struct err *e)
{
	int r;

	if (++m->stats.entries > m->q->entries)
		return err_set(e, ERR_INPUT, -EFBIG, "layer: more than %" PRIu64 " files",
			       m->q->entries);
	buf_reset(&m->header);
	r = tar_write_header(&m->header, entry, e);
	if (r < 0) {
		auto_free char *shown = text_escaped(entry->path);

		return err_prefix(e, "layer: '/%.200s'", shown);
	}
	return put(m, &m->header, e);
}

/* An entry that stands for something of the layers below: an empty file. */
int layer_emit_mark(struct layer_emit *m, const char *dir, size_t dir_len, const char *prefix,
		    const char *name, struct err *e)
{
	auto_free char *path =
		xasprintf("%.*s%s%s%s", (int)dir_len, dir, dir_len ? "/" : "", prefix, name);
	const struct tar_entry entry = { .type = TAR_FILE, .path = path };

	if (strlen(prefix) + strlen(name) > LAYER_COMPONENT_MAX)
		return layer_emit_fail(m, ERR_INPUT, -ENAMETOOLONG,
				       "a removed file whose name is too long for a layer", e);
	return layer_emit_entry(m, &entry, e);
}

int layer_emit_dir(struct layer_emit *m, const char *path, int fd, struct err *e)
{
	struct tar_entry entry;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return layer_emit_errno(m, e);
	layer_emit_xattrs(m, fd);
	entry = layer_emit_describe(m, TAR_DIR, path, &st);
	r = layer_emit_entry(m, &entry, e);
	if (r == 0 && layer_emit_overlay_mark(fd, OVERLAY_OPAQUE) == 'y')
		r = layer_emit_mark(m, path, strlen(path), "", OPAQUE_NAME, e);
	return r;
}

/* --- the data of a file ----------------------------------------------------------------------- */

static uint64_t pieces_size(const struct layer_emit *m)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < m->npieces; i++)
		sum += m->pieces[i].size;
	return sum;
}

/* The pieces between holes of at least `min` bytes. 0; 1: there are too many; -errno. */
static int find_pieces(struct layer_emit *m, int fd, off_t size, off_t min)
{
	off_t at = 0;

	m->npieces = 0;
	while (at < size) {
		struct tar_piece *before = m->npieces ? &m->pieces[m->npieces - 1] : NULL;
		off_t data = lseek(fd, at, SEEK_DATA);

		if (data < 0 || data >= size)
			return data < 0 && errno != ENXIO ? -errno : 0;
		at = lseek(fd, data, SEEK_HOLE);
		at = at < 0 || at > size ? size : at;
		if (before && data - (off_t)(before->offset + before->size) < min) {
			before->size = (uint64_t)at - before->offset;
			continue;
		}
		if (m->npieces == TAR_PIECES_MAX)
			return 1;
		m->pieces[m->npieces++] =
			(struct tar_piece){ (uint64_t)data, (uint64_t)(at - data) };
	}
	return 0;
}

/* Where the file has data, when writing it with holes is worth while. */
static void look_for_holes(struct layer_emit *m, int fd, const struct stat *st,
			   struct tar_entry *entry)
{
	const uint64_t size = (uint64_t)st->st_size;
	int r = 1;

	if ((uint64_t)st->st_blocks * 512 < size) {
		for (off_t min = HOLE_MIN; r == 1; min *= 4)
			r = find_pieces(m, fd, st->st_size, min);
		if (r == 0 && size - pieces_size(m) >= HOLE_MIN) {
			entry->pieces = m->pieces;
			entry->npieces = m->npieces;
			return;
		}
	}
	m->pieces[0] = (struct tar_piece){ 0, size };
	m->npieces = 1;
}

static int put_range(struct layer_emit *m, int fd, uint64_t offset, uint64_t size, struct err *e)
{
	while (size > 0) {
		size_t want = size < CHUNK ? (size_t)size : CHUNK;
		ssize_t n = pread(fd, m->chunk, want, (off_t)offset);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return layer_emit_errno(m, e);
		if (n == 0)
			return layer_emit_changed(m, e);
		r = layer_deflate_add(m->out, m->chunk, (size_t)n, e);
		if (r == 0)
			r = layer_emit_check_time(m, e);
		if (r < 0)
			return r;
		offset += (uint64_t)n;
		size -= (uint64_t)n;
	}
	return 0;
}

int layer_emit_data(struct layer_emit *m, int fd, struct tar_entry *entry, const struct stat *st,
		    struct err *e)
{
	uint64_t stored;
	int r;

	look_for_holes(m, fd, st, entry);
	stored = pieces_size(m);
	m->stats.bytes += stored;
	if (entry->size > m->q->bytes || m->stats.bytes > m->q->bytes)
		return layer_emit_fail(m, ERR_INPUT, -EFBIG, "too large for a layer", e);
	r = layer_emit_entry(m, entry, e);
	for (size_t i = 0; r == 0 && i < m->npieces; i++)
		r = put_range(m, fd, m->pieces[i].offset, m->pieces[i].size, e);
	if (r < 0)
		return r;
	buf_reset(&m->header);
	tar_write_padding(&m->header, stored);
	return put(m, &m->header, e);
}
