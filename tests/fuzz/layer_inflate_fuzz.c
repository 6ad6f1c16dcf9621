/* SPDX-License-Identifier: Apache-2.0 */
/* layer_inflate_fuzz: a compressed archive. Fed at once and byte by byte it gives the same bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/text.h"
#include "image/layer_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUTPUT_MAX = 1 << 20 };

struct outcome {
	bool failed;
	struct buf out;
};

static struct outcome run(const char *p, size_t size, size_t step)
{
	struct layer_inflate *f = layer_inflate_new_archive();
	struct outcome o = { 0 };
	int r = 0;

	for (size_t at = 0; at < size && r == 0; at += step) {
		const char *in = p + at;
		size_t n = size - at < step ? size - at : step;
		size_t got = 0;

		do {
			char piece[4096];

			r = layer_inflate(f, &in, &n, piece, sizeof(piece), &got, NULL);
			if (got > sizeof(piece) || in > p + size)
				abort();
			buf_add(&o.out, piece, got);
		} while (r == 0 && got > 0 && o.out.len < OUTPUT_MAX);
		if (o.out.len >= OUTPUT_MAX)
			break;
	}
	o.failed = r < 0 || layer_inflate_finish(f, NULL) < 0;
	layer_inflate_free(f);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome a = run((const char *)data, size, size ? size : 1);
	struct outcome b = run((const char *)data, size, 1);

	if (a.out.len < OUTPUT_MAX && b.out.len < OUTPUT_MAX) {
		if (a.failed != b.failed)
			abort();
		/* What came before damage was found may differ. */
		if (!a.failed &&
		    (a.out.len != b.out.len || text_fnv1a(buf_str(&a.out), a.out.len) !=
						       text_fnv1a(buf_str(&b.out), b.out.len)))
			abort();
	}
	buf_free(&a.out);
	buf_free(&b.out);
	return 0;
}
