/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output_filter_fuzz: what comes out is the same however the input was cut, does not change when it
 * is filtered again (ASCII), and holds none of the bytes that must never come out.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "supervise/supervise_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void filter(const char *bytes, size_t n, size_t step, struct buf *out)
{
	struct output_filter f;

	output_filter_init(&f);
	for (size_t i = 0; i < n; i += step)
		output_filter_feed(&f, bytes + i, n - i < step ? n - i : step, out);
	output_filter_clear(&f);
}

static void check_bytes(const struct buf *out)
{
	for (size_t i = 0; i < out->len; i++) {
		unsigned char c = (unsigned char)out->data[i];
		unsigned char next = i + 1 < out->len ? (unsigned char)out->data[i + 1] : 0;

		if (c == 0x05 || (c == 0xc2 && next >= 0x80 && next < 0xa0))
			abort();
		if (c == 0x1b && next != 0 && strchr("PX^_kZ", next))
			abort();
	}
}

static bool ascii(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] >= 0x80)
			return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data;
	struct buf whole = BUF_INIT;
	struct buf cut = BUF_INIT;
	struct buf again = BUF_INIT;

	filter(bytes, size, size ? size : 1, &whole);
	filter(bytes, size, 1, &cut);
	if (whole.len != cut.len || (cut.len && memcmp(whole.data, cut.data, cut.len) != 0))
		abort();
	check_bytes(&whole);
	filter(whole.data, whole.len, 7, &again);
	/* Broken UTF-8 is left alone; what a dropped byte separated may then be a character. */
	if (ascii(data, size) && (again.len != whole.len ||
				  (again.len && memcmp(whole.data, again.data, again.len) != 0)))
		abort();
	buf_free(&whole);
	buf_free(&cut);
	buf_free(&again);
	return 0;
}
