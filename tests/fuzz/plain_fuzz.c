/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain_fuzz: whatever was recorded, no control character comes out, and cutting the input anywhere
 * changes nothing.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/text.h"
#include "cli/cli_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct plain whole = { 0 }, cut = { 0 };
	auto_buf a = BUF_INIT, b = BUF_INIT;

	plain_feed(&whole, text, size, &a);
	plain_finish(&whole, &a);
	for (size_t i = 0; i < size; i++)
		plain_feed(&cut, text + i, 1, &b);
	plain_finish(&cut, &b);
	if (a.len != b.len || (a.len && memcmp(a.data, b.data, a.len) != 0))
		__builtin_trap();
	for (size_t i = 0; i < a.len; i++) {
		unsigned char c = (unsigned char)a.data[i];

		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
			__builtin_trap();
	}
	if (!text_is_utf8(buf_str(&a), a.len))
		__builtin_trap();
	return 0;
}
