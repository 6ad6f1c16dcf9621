/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: tls_hello_parse. A hello that is whole asks for more when it is cut short, and is
 * never found earlier.
 */
#include <stdlib.h>
#include <string.h>

#include "net/net_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_hello h, shorter;
	int r = tls_hello_parse(data, size, &h);

	if (r == 0 && size >= TLS_HELLO_MAX)
		abort(); /* nobody would ever stop waiting */
	if (r != 1)
		return 0;
	if (h.sni_len >= sizeof(h.sni) || h.sni[h.sni_len] != '\0')
		abort();
	/* A part of it is never bad: a slow sender is no different from a fast one. */
	for (size_t n = size < 64 ? size : 64; n-- > 0;) {
		if (tls_hello_parse(data, n, &shorter) < 0)
			abort();
	}
	return 0;
}
