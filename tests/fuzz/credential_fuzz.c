/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential_fuzz: what a box writes as its login. The input is the host's document, a NUL byte and
 * the box's. What would be written to the host is JSON, and the same document for the next look.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
	const char *old = (const char *)data;
	size_t n = nul ? (size_t)(nul - data) : size;
	const char *new = nul ? old + n + 1 : old;
	size_t new_len = nul ? size - n - 1 : n;
	auto_buf out = BUF_INIT;
	auto_buf again = BUF_INIT;

	(void)credential_check("x.json", new, new_len);
	if (credential_renewal(old, n, new, new_len, &out) < 0) {
		if (out.len)
			__builtin_trap();
		return 0;
	}
	if (credential_renewal(out.data, out.len, new, new_len, &again) != -EALREADY ||
	    credential_renewal(old, n, out.data, out.len, &again) != 0 || again.len != out.len ||
	    memcmp(again.data, out.data, out.len) != 0)
		__builtin_trap();
	return 0;
}
