/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusals_fuzz: messages about refusals, one behind each 0xff: lists are bounded, lines printable.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "supervise/supervise_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct refusals r = { 0 };
	auto_buf out = BUF_INIT;
	auto_json list = NULL;

	for (size_t at = 0; at < size;) {
		const uint8_t *end = memchr(data + at, 0xff, size - at);
		size_t n = end ? (size_t)(end - data) - at : size - at;

		refusals_take(&r, 1, (const char *)data + at, n);
		at += n + 1;
	}
	refusals_lines(&r, "\n", &out);
	for (size_t i = 0; i < out.len; i++) {
		if ((unsigned char)out.data[i] < 0x20 && out.data[i] != '\n')
			abort();
	}
	list = refusals_to_json(&r);
	if (r.n > REFUSALS_MAX || json_len(list) != r.n)
		abort();
	refusals_clear(&r);
	return 0;
}
