/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_more: bzip2 and xz, which images' layers never are, but archives that people ADD: through
 * libbz2 and liblzma, where Ward was built with them.
 *
 * One stream at a time, as layer_gzip does a member.  What xz asks for is bounded: `xz -9` needs
 * 65 MiB, and more is refused.
 */
#include <errno.h>
#include <stdlib.h>
#if WARD_BZIP2
#include <bzlib.h>
#endif
#if WARD_LZMA
#include <lzma.h>
#endif

#include "base/mem.h"
#include "image/layer_internal.h"

#define XZ_MEMORY_MAX ((uint64_t)80 << 20)

struct layer_more {
	enum layer_more_kind kind;
#if WARD_BZIP2
	bz_stream bz;
#endif
#if WARD_LZMA
	lzma_stream xz;
#endif
};

bool layer_more_is_there(enum layer_more_kind kind)
{
	return kind == LAYER_MORE_XZ ? WARD_LZMA : WARD_BZIP2;
}

static void end(struct layer_more *m)
{
#if WARD_BZIP2
	if (m->kind == LAYER_MORE_BZIP2)
		(void)BZ2_bzDecompressEnd(&m->bz);
#endif
#if WARD_LZMA
	if (m->kind == LAYER_MORE_XZ)
		lzma_end(&m->xz);
#endif
	(void)m;
}

static void begin(struct layer_more *m)
{
#if WARD_BZIP2
	m->bz = (bz_stream){ 0 };
	if (m->kind == LAYER_MORE_BZIP2 && BZ2_bzDecompressInit(&m->bz, 0, 0) != BZ_OK)
		mem_oom();
#endif
#if WARD_LZMA
	m->xz = (lzma_stream)LZMA_STREAM_INIT;
	if (m->kind == LAYER_MORE_XZ && lzma_stream_decoder(&m->xz, XZ_MEMORY_MAX, 0) != LZMA_OK)
		mem_oom();
#endif
	(void)m;
}

struct layer_more *layer_more_new(enum layer_more_kind kind)
{
	struct layer_more *m = xcalloc(1, sizeof(*m));

	m->kind = kind;
	begin(m);
	return m;
}

void layer_more_free(struct layer_more *m)
{
	if (!m)
		return;
	end(m);
	free(m);
}

void layer_more_reset(struct layer_more *m)
{
	end(m);
	begin(m);
}

#if WARD_BZIP2
static int step_bzip2(bz_stream *z, const char **in, size_t *n, char *out, size_t cap,
		      size_t *ret_n)
{
	int r;

	z->next_in = (char *)(uintptr_t)*in;
	z->avail_in = (unsigned)*n;
	z->next_out = out;
	z->avail_out = (unsigned)cap;
	r = BZ2_bzDecompress(z);
	*in += *n - z->avail_in;
	*n = z->avail_in;
	*ret_n = cap - z->avail_out;
	if (r == BZ_STREAM_END)
		return 1;
	if (r == BZ_MEM_ERROR)
		mem_oom();
	return r == BZ_OK ? 0 : -EBADMSG;
}
#endif

#if WARD_LZMA
static int step_xz(lzma_stream *z, const char **in, size_t *n, char *out, size_t cap, size_t *ret_n)
{
	lzma_ret r;

	z->next_in = (const uint8_t *)*in;
	z->avail_in = *n;
	z->next_out = (uint8_t *)out;
	z->avail_out = cap;
	r = lzma_code(z, LZMA_RUN);
	*in += *n - z->avail_in;
	*n = z->avail_in;
	*ret_n = cap - z->avail_out;
	if (r == LZMA_STREAM_END)
		return 1;
	if (r == LZMA_MEM_ERROR)
		mem_oom();
	if (r == LZMA_MEMLIMIT_ERROR)
		return -EFBIG;
	/* LZMA_BUF_ERROR: it needs more input or more room. */
	return r == LZMA_OK || r == LZMA_BUF_ERROR ? 0 : -EBADMSG;
}
#endif

int layer_more_step(struct layer_more *m, const char **in, size_t *n, char *out, size_t cap,
		    size_t *ret_n)
{
	*ret_n = 0;
#if WARD_BZIP2
	if (m->kind == LAYER_MORE_BZIP2)
		return step_bzip2(&m->bz, in, n, out, cap, ret_n);
#endif
#if WARD_LZMA
	if (m->kind == LAYER_MORE_XZ)
		return step_xz(&m->xz, in, n, out, cap, ret_n);
#endif
	(void)m, (void)in, (void)n, (void)out, (void)cap;
	return -ENOTSUP;
}
