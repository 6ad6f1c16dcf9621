/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_inflate: gzip, zstd or neither, and of archives bzip2 and xz, as a stream with bounded
 * memory.
 *
 * A gzip file may consist of several members (pigz, stargz), so may one of bzip2 and xz, and a zstd
 * file of several frames, skippable ones included; all of them count.  Zeros behind the last member
 * are padding; anything else there is damage.  A zstd window above 32 MiB is refused.
 */
#include <errno.h>
#include <string.h>
#include <zstd.h>

#include "base/mem.h"
#include "image/layer_internal.h"

enum { MAGIC_SIZE = 4, WINDOW_LOG_MAX = 25 };

enum method {
	METHOD_UNKNOWN,
	METHOD_NONE,
	METHOD_GZIP,
	METHOD_MORE,
	METHOD_ZSTD,
};

struct layer_inflate {
	bool archive;
	enum method method;
	char magic[MAGIC_SIZE]; /* the first bytes, until the method is known; then given out first
				 */
	size_t have;
	size_t given;
	struct layer_gzip *gzip;
	struct layer_more *more;
	bool between; /* gzip and more: a member is over and no other has begun */
	ZSTD_DStream *zs;
	size_t zs_wants; /* zstd: 0 at the end of a frame */
	bool padding;
};

static const char *what(const struct layer_inflate *f)
{
	return f->archive ? "archive" : "layer";
}

static int damaged(const struct layer_inflate *f, const char *why, struct err *e)
{
	return err_set(e, ERR_INPUT, EBADMSG, "%s: %s", what(f), why);
}

struct layer_inflate *layer_inflate_new(void)
{
	return xcalloc(1, sizeof(struct layer_inflate));
}

struct layer_inflate *layer_inflate_new_archive(void)
{
	struct layer_inflate *f = layer_inflate_new();

	f->archive = true;
	return f;
}

void layer_inflate_free(struct layer_inflate *f)
{
	if (!f)
		return;
	layer_gzip_free(f->gzip);
	layer_more_free(f->more);
	ZSTD_freeDStream(f->zs);
	free(f);
}

static int choose_more(struct layer_inflate *f, struct err *e)
{
	static const unsigned char bzip2[] = { 'B', 'Z', 'h' }, xz[] = { 0xfd, '7', 'z', 'X' };
	enum layer_more_kind kind = LAYER_MORE_NONE;

	if (memcmp(f->magic, bzip2, sizeof(bzip2)) == 0 && f->magic[3] >= '1' && f->magic[3] <= '9')
		kind = LAYER_MORE_BZIP2;
	else if (memcmp(f->magic, xz, sizeof(xz)) == 0)
		kind = LAYER_MORE_XZ;
	if (kind == LAYER_MORE_NONE) {
		f->method = METHOD_NONE;
		return 0;
	}
	if (!layer_more_is_there(kind))
		return err_set(e, ERR_REFUSED, -ENOTSUP, "archive: this Ward was built without %s",
			       kind == LAYER_MORE_XZ ? "xz" : "bzip2");
	f->method = METHOD_MORE;
	f->more = layer_more_new(kind);
	return 0;
}

static int choose(struct layer_inflate *f, struct err *e)
{
	static const unsigned char gzip[] = { 0x1f, 0x8b }, zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };
	static const unsigned char skippable[] = { 0x2a, 0x4d, 0x18 };

	if (f->have >= sizeof(gzip) && memcmp(f->magic, gzip, sizeof(gzip)) == 0) {
		f->method = METHOD_GZIP;
		f->gzip = layer_gzip_new();
	} else if (f->have == MAGIC_SIZE &&
		   (memcmp(f->magic, zstd, sizeof(zstd)) == 0 ||
		    ((f->magic[0] & 0xf0) == 0x50 &&
		     memcmp(f->magic + 1, skippable, sizeof(skippable)) == 0))) {
		f->method = METHOD_ZSTD;
		f->zs = ZSTD_createDStream();
		if (!f->zs)
			mem_oom();
		if (ZSTD_isError(
			    ZSTD_DCtx_setParameter(f->zs, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
			return damaged(f, "zstd cannot be set up", e);
		f->zs_wants = 1;
	} else if (f->archive && f->have == MAGIC_SIZE) {
		return choose_more(f, e);
	} else {
		f->method = METHOD_NONE;
	}
	return 0;
}

/* Of gzip, bzip2 or xz. */
static int step_member(struct layer_inflate *f, const char **in, size_t *n, char *out, size_t cap,
		       size_t *ret, struct err *e)
{
	int r;

	if (f->between && *n > 0 && **in == '\0')
		f->padding = true;
	if (f->padding) {
		for (; *n > 0; ++*in, --*n)
			if (**in != '\0')
				return damaged(f, "data behind the end of the compressed stream",
					       e);
		return 0;
	}
	if (f->between && *n == 0)
		return 0;
	if (f->between && f->gzip)
		layer_gzip_reset(f->gzip);
	else if (f->between)
		layer_more_reset(f->more);
	r = f->gzip ? layer_gzip_step(f->gzip, in, n, out, cap, ret)
		    : layer_more_step(f->more, in, n, out, cap, ret);
	f->between = r > 0;
	if (r == -EFBIG)
		return err_set(e, ERR_INPUT, -EFBIG,
			       "archive: unpacking it takes more than 80 MiB of memory");
	return r < 0 ? damaged(f, f->gzip ? "the gzip stream is damaged" : "the stream is damaged",
			       e)
		     : 0;
}

static int step_zstd(struct layer_inflate *f, const char **in, size_t *n, char *out, size_t cap,
		     size_t *ret, struct err *e)
{
	ZSTD_inBuffer from = { .src = *in, .size = *n };
	ZSTD_outBuffer to = { .dst = out, .size = cap };
	size_t r;

	/* At the end of a frame a call without input would begin another one. */
	if (*n == 0 && f->zs_wants == 0)
		return 0;
	r = ZSTD_decompressStream(f->zs, &to, &from);
	if (ZSTD_isError(r))
		return err_set(e, ERR_INPUT, EBADMSG, "%s: the zstd stream is damaged: %s", what(f),
			       ZSTD_getErrorName(r));
	f->zs_wants = r;
	*in += from.pos;
	*n -= from.pos;
	*ret = to.pos;
	return 0;
}

static int step(struct layer_inflate *f, const char **in, size_t *n, char *out, size_t cap,
		size_t *ret, struct err *e)
{
	size_t take;

	switch (f->method) {
	case METHOD_GZIP:
	case METHOD_MORE:
		return step_member(f, in, n, out, cap, ret, e);
	case METHOD_ZSTD:
		return step_zstd(f, in, n, out, cap, ret, e);
	case METHOD_NONE:
		take = *n < cap ? *n : cap;
		memcpy(out, *in, take);
		*in += take;
		*n -= take;
		*ret = take;
		return 0;
	case METHOD_UNKNOWN:
		break;
	}
	return damaged(f, "no method", e);
}

int layer_inflate(struct layer_inflate *f, const char **in, size_t *in_n, char *out, size_t cap,
		  size_t *ret_n, struct err *e)
{
	int r;

	*ret_n = 0;
	if (f->method == METHOD_UNKNOWN) {
		while (f->have<MAGIC_SIZE && * in_n> 0) {
			f->magic[f->have++] = *(*in)++;
			--*in_n;
		}
		if (f->have < MAGIC_SIZE)
			return 0;
		r = choose(f, e);
		if (r < 0)
			return r;
	}
	while (*ret_n == 0) {
		size_t before = *in_n;

		if (f->given < f->have) {
			const char *first = f->magic + f->given;
			size_t left = f->have - f->given;

			r = step(f, &first, &left, out, cap, ret_n, e);
			f->given = f->have - left;
		} else {
			r = step(f, in, in_n, out, cap, ret_n, e);
			if (r == 0 && *ret_n == 0 && (*in_n == 0 || *in_n == before))
				return 0;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int layer_inflate_finish(const struct layer_inflate *f, struct err *e)
{
	bool complete = f->method == METHOD_NONE ||
			((f->method == METHOD_GZIP || f->method == METHOD_MORE) && f->between) ||
			(f->method == METHOD_ZSTD && f->zs_wants == 0) ||
			(f->method == METHOD_UNKNOWN && f->have == 0);

	return complete ? 0 : damaged(f, "the compressed stream is truncated", e);
}
