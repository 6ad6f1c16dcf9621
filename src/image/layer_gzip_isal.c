/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_gzip_isal: a member of a gzip file by ISA-L, which inflates twice as fast as zlib.
 *
 * It holds at most 64 bits of input back, and eight bytes of CRC and length follow the compressed
 * data: what it has taken at the end of a member is the member's.
 */
#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <string.h>

#include "base/mem.h"
#include "image/layer_internal.h"

struct layer_gzip {
	struct inflate_state s;
};

struct layer_gzip *layer_gzip_new(void)
{
	struct layer_gzip *g = xcalloc(1, sizeof(*g));

	isal_inflate_init(&g->s);
	g->s.crc_flag = ISAL_GZIP;
	return g;
}

void layer_gzip_free(struct layer_gzip *g)
{
	free(g);
}

void layer_gzip_reset(struct layer_gzip *g)
{
	isal_inflate_reset(&g->s);
	g->s.crc_flag = ISAL_GZIP;
}

int layer_gzip_step(struct layer_gzip *g, const char **in, size_t *n, char *out, size_t cap,
		    size_t *ret_n)
{
	int r;

	/* It only reads them. */
	memcpy(&g->s.next_in, in, sizeof(g->s.next_in));
	g->s.avail_in = (uint32_t)*n;
	g->s.next_out = (uint8_t *)out;
	g->s.avail_out = (uint32_t)cap;
	r = isal_inflate(&g->s);
	*in += *n - g->s.avail_in;
	*n = g->s.avail_in;
	*ret_n = cap - g->s.avail_out;
	if (r != ISAL_DECOMP_OK && r != ISAL_END_INPUT && r != ISAL_OUT_OVERFLOW)
		return -EBADMSG;
	return g->s.block_state == ISAL_BLOCK_FINISH;
}
