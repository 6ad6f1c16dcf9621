/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys_fuzz: no byte of the user is lost, doubled or reordered by looking for the detach keys.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = memchr(data, '\0', size);
	const char *bytes = nul ? (const char *)nul + 1 : (const char *)data;
	size_t n = nul ? size - (size_t)(nul + 1 - data) : size;
	auto_free char *text = nul ? xstrndup((const char *)data, (size_t)(nul - data)) : NULL;
	struct buf out = BUF_INIT;
	struct keys k;
	bool found = false;

	if (keys_parse(text, &k) < 0)
		return 0;
	for (size_t i = 0; i < n && !found; i++) {
		found = keys_feed(&k, bytes + i, 1, &out);
		if (k.nheld > KEYS_HELD_MAX || k.matched > k.n)
			abort();
	}
	if (!found)
		keys_flush(&k, &out);
	if (out.len > n || (out.len && memcmp(out.data, bytes, out.len) != 0) ||
	    (!found && out.len != n))
		abort();
	buf_free(&out);
	return 0;
}
