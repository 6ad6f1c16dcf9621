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

enum { CHUNK = 256 << 10 };

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

void layer_emit_xattrs(struct layer_emit *m, int fd)
{
	m->stats.xattrs += layer_xattrs_read(&m->xattrs, fd);
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
	layer_xattrs_clear(&m->xattrs);
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
		.xattrs = m->xattrs.v,
		.nxattrs = m->xattrs.n,
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

	if (layer_pieces_find(fd, st, m->pieces, &m->npieces)) {
		entry->pieces = m->pieces;
		entry->npieces = m->npieces;
	}
	stored = layer_pieces_size(m->pieces, m->npieces);
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
