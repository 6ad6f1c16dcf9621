/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: text_escape. The result must be valid UTF-8 without control characters, and escaping
 * is not lossy enough to make long of short: at most ten bytes for one.
 */
#include <stdlib.h>

#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t max = size / 2; max <= size + 1; max += size / 2 + 1) {
		struct buf out = BUF_INIT;

		text_escape(&out, (const char *)data, size, max);
		if (!text_is_utf8(buf_str(&out), out.len) || out.len > 10 * size + 3)
			abort();
		for (size_t i = 0; i < out.len; i++) {
			unsigned char c = (unsigned char)out.data[i];

			if (c < 0x20 || c == 0x7f)
				abort();
			if (c == 0xc2 && (unsigned char)out.data[i + 1] < 0xa0)
				abort();
		}
		buf_free(&out);
	}
	return 0;
}
