/* SPDX-License-Identifier: Apache-2.0 */
/* layer_gzip_zlib: a member of a gzip file by zlib, where ISA-L is not there. */
#include <errno.h>
#define ZLIB_CONST
#include <zlib.h>

#include "base/mem.h"
#include "image/layer_internal.h"

enum { GZIP_WINDOW = 15 + 16 };

struct layer_gzip {
	z_stream z;
};

struct layer_gzip *layer_gzip_new(void)
{
	struct layer_gzip *g = xcalloc(1, sizeof(*g));

	if (inflateInit2(&g->z, GZIP_WINDOW) != Z_OK)
		mem_oom();
	return g;
}

void layer_gzip_free(struct layer_gzip *g)
{
	if (!g)
		return;
	inflateEnd(&g->z);
	free(g);
}

void layer_gzip_reset(struct layer_gzip *g)
{
	(void)inflateReset(&g->z);
}

int layer_gzip_step(struct layer_gzip *g, const char **in, size_t *n, char *out, size_t cap,
		    size_t *ret_n)
{
	int r;

	g->z.next_in = (const Bytef *)*in;
	g->z.avail_in = (uInt)*n;
	g->z.next_out = (Bytef *)out;
	g->z.avail_out = (uInt)cap;
	r = inflate(&g->z, Z_NO_FLUSH);
	*in += *n - g->z.avail_in;
	*n = g->z.avail_in;
	*ret_n = cap - g->z.avail_out;
	if (r == Z_STREAM_END)
		return 1;
	return r == Z_OK || r == Z_BUF_ERROR ? 0 : -EBADMSG;
}
