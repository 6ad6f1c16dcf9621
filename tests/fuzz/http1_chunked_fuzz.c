/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: http1_chunked_feed. Bytes fed one by one must give the verdict and the length of
 * bytes fed at once.
 */
#include <stdlib.h>

#include "base/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http1_chunked whole = { 0 }, single = { 0 };
	const char *p = (const char *)data;
	bool whole_done = false, single_done = false;
	int64_t total = http1_chunked_feed(&whole, p, size, &whole_done);
	int64_t sum = 0;

	for (size_t i = 0; i < size && !single_done; i++) {
		int64_t n = http1_chunked_feed(&single, p + i, 1, &single_done);

		if (n < 0) {
			sum = n;
			break;
		}
		sum += n;
	}
	if (sum != total || whole_done != single_done || total > (int64_t)size)
		abort();
	return 0;
}
