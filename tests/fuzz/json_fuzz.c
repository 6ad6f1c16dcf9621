/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: json_parse. What was accepted must be written as text that is accepted again, and
 * written the same a second time.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json *first = NULL, *second = NULL;
	struct buf a = BUF_INIT, b = BUF_INIT;
	struct err e = ERR_INIT;

	if (json_parse((const char *)data, size, &first, &e) < 0) {
		if (e.code == 0 || e.message[0] == '\0')
			abort();
		return 0;
	}
	json_write(first, true, &a);
	if (json_parse(a.data, a.len, &second, &e) < 0)
		abort();
	json_write(second, true, &b);
	if (a.len != b.len || memcmp(a.data, b.data, a.len) != 0)
		abort();
	json_unref(first);
	json_unref(second);
	buf_free(&a);
	buf_free(&b);
	return 0;
}
