/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_unpack: an archive that ADD unpacks: what is one, and its entries in the destination.
 *
 * As with Docker, the content of a file decides: what is a tar archive once gzip, bzip2, xz or zstd
 * is taken away.  Everything else is copied as it is.
 *
 * Every byte comes from a context that somebody else may have made.  It is read by the reader of
 * layers, within the bounds of layers: entries, bytes, and how much may come out of how little.  A
 * name with "..", or one that a layer would take for a whiteout, is refused.  Where the entries go
 * is build_put's business, whose root is the destination.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "image/build_internal.h"

enum { CHUNK = 64 << 10, LOOK_MAX = 8 << 20, SECONDS_MAX = 3600 };

/* --- is it one? ------------------------------------------------------------------------------- */

/* The field of an octal number, as it stands in the header of any tar archive. */
static bool read_sum(const char *field, size_t n, uint64_t *ret)
{
	uint64_t sum = 0;
	size_t i = 0, digits = 0;

	while (i < n && field[i] == ' ')
		i++;
	for (; i < n && field[i] >= '0' && field[i] <= '7'; i++, digits++)
		sum = sum * 8 + (uint64_t)(field[i] - '0');
	*ret = sum;
	return digits > 0 && (i == n || field[i] == ' ' || field[i] == '\0');
}

bool build_is_tar(const char head[static TAR_BLOCK])
{
	enum { SUM_AT = 148, SUM_LEN = 8 };
	uint64_t unsigned_sum = 0, want;
	int64_t signed_sum = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++) {
		bool in_sum = i >= SUM_AT && i < SUM_AT + SUM_LEN;

		unsigned_sum += in_sum ? ' ' : (unsigned char)head[i];
		signed_sum += in_sum ? ' ' : (signed char)head[i];
	}
	return read_sum(head + SUM_AT, SUM_LEN, &want) &&
	       (want == unsigned_sum || (signed_sum >= 0 && want == (uint64_t)signed_sum));
}

/* The first block of what is in the file: TAR_BLOCK bytes, or *ret_n fewer. */
static int read_head(int fd, char head[static TAR_BLOCK], size_t *ret_n, struct err *e)
{
	struct layer_inflate *f = layer_inflate_new_archive();
	auto_free char *chunk = xmalloc(CHUNK);
	size_t have = 0;
	int r = 0;

	for (off_t at = 0; r == 0 && have < TAR_BLOCK && at < LOOK_MAX;) {
		ssize_t n = pread(fd, chunk, CHUNK, at);
		const char *in = chunk;
		size_t left, got;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = err_sys(e, "read");
		if (n <= 0)
			break;
		at += n;
		left = (size_t)n;
		do {
			r = layer_inflate(f, &in, &left, head + have, TAR_BLOCK - have, &got, e);
			have += r == 0 ? got : 0;
		} while (r == 0 && got > 0 && have < TAR_BLOCK);
	}
	layer_inflate_free(f);
	*ret_n = have;
	return r;
}

int build_is_archive(int fd, bool *ret, struct err *e)
{
	char head[TAR_BLOCK];
	struct err why = ERR_INIT;
	size_t n = 0;
	int r = read_head(fd, head, &n, &why);

	/* What is damaged from its beginning on is no archive. */
	if (r < 0 && r != -EBADMSG) {
		if (e)
			*e = why;
		return r;
	}
	*ret = r == 0 && n == TAR_BLOCK && build_is_tar(head);
	return 0;
}

/* --- unpacking -------------------------------------------------------------------------------- */

struct build_unpack {
	struct layer_inflate *inflate;
	struct tar_reader *reader;
	struct build_put *put;
	struct layer_name name, link;
	char *chunk;
	uint64_t stream, stream_max;
	time_t deadline;
};

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

struct build_unpack *build_unpack_new(uint64_t size, struct build_put *put)
{
	static const struct tar_limits limits = { .entries = IMAGE_ENTRIES_MAX,
						  .file_size = IMAGE_BLOB_MAX,
						  .total_size = IMAGE_BLOB_MAX,
						  .layer = true };
	struct build_unpack *u = xcalloc(1, sizeof(*u));

	*u = (struct build_unpack){ .inflate = layer_inflate_new_archive(),
				    .reader = tar_reader_new(&limits),
				    .put = put,
				    .chunk = xmalloc(CHUNK),
				    .stream_max = image_stream_max(size),
				    .deadline = now() + SECONDS_MAX };
	return u;
}

void build_unpack_free(struct build_unpack *u)
{
	if (!u)
		return;
	layer_inflate_free(u->inflate);
	tar_reader_free(u->reader);
	buf_free(&u->name.path);
	buf_free(&u->link.path);
	free(u->chunk);
	free(u);
}

/* A name of the archive as a path below the destination. */
static int read_name(const char *name, struct layer_name *ret, char **ret_path, struct err *e)
{
	auto_free char *shown = text_escaped(name);
	int r = layer_name_parse(name, ret, e);

	if (r < 0)
		return r;
	if (ret->kind != LAYER_NAME_PLAIN && ret->kind != LAYER_NAME_ROOT)
		return err_set(e, ERR_INPUT, -EINVAL,
			       "'%.200s': a layer cannot hold names that begin with .wh.", shown);
	*ret_path = xasprintf("/%s", buf_str(&ret->path));
	return 0;
}

static int put_entry(struct build_unpack *u, const struct tar_entry *t, struct err *e)
{
	auto_free char *path = NULL;
	auto_free char *link = NULL;
	int r = read_name(t->path, &u->name, &path, e);

	if (r == 0 && t->type == TAR_HARDLINK)
		r = read_name(t->link, &u->link, &link, e);
	/* The destination itself is what it is. */
	if (r < 0 || (u->name.kind == LAYER_NAME_ROOT && t->type == TAR_DIR))
		return r;
	if (u->name.kind == LAYER_NAME_ROOT)
		return err_set(e, ERR_INPUT, -ENOTDIR, "the archive's top is no directory");
	return build_put_entry(u->put, t, path, link, e);
}

static int feed_tar(struct build_unpack *u, const char *bytes, size_t n, struct err *e)
{
	struct tar_event ev;

	do {
		size_t used = 0;
		int r = tar_reader_feed(u->reader, bytes, n, &used, &ev, e);

		if (r == 0)
			r = ev.kind == TAR_ENTRY ? put_entry(u, &ev.entry, e)
						 : build_put_data(u->put, &ev, e);
		if (r < 0)
			return r;
		bytes += used;
		n -= used;
	} while (ev.kind != TAR_MORE && ev.kind != TAR_END);
	return 0;
}

int build_unpack_feed(struct build_unpack *u, const char *bytes, size_t n, struct err *e)
{
	size_t got;
	int r;

	do {
		r = layer_inflate(u->inflate, &bytes, &n, u->chunk, CHUNK, &got, e);
		u->stream += r == 0 ? got : 0;
		if (r == 0 && u->stream > u->stream_max)
			r = err_set(e, ERR_INPUT, -EFBIG,
				    "archive: far more bytes than its size tells");
		if (r == 0 && now() > u->deadline)
			r = err_set(e, ERR_INPUT, -ETIME, "archive: unpacking it takes too long");
		if (r == 0 && got > 0)
			r = feed_tar(u, u->chunk, got, e);
	} while (r == 0 && got > 0);
	return r;
}

int build_unpack_finish(struct build_unpack *u, struct err *e)
{
	int r = layer_inflate_finish(u->inflate, e);

	if (r == 0)
		r = tar_reader_finish(u->reader, e);
	if (r == 0)
		build_put_finish(u->put);
	return r;
}
