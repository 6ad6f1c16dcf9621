/* SPDX-License-Identifier: Apache-2.0 */
/* import_fuzz: a tag, a newline, and the index.json of a layout. What is chosen is an index again,
 * and nothing else is chosen from it. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "image/import_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	auto_free char *tag = end ? xstrndup((const char *)data, (size_t)(end - data)) : NULL;
	auto_buf once = BUF_INIT, twice = BUF_INIT;
	size_t n;

	if (!end)
		return 0;
	n = size - (size_t)(end + 1 - data);
	if (import_choose((const char *)end + 1, n, *tag ? tag : NULL, &once, NULL) < 0)
		return 0;
	if (import_choose(buf_str(&once), once.len, *tag ? tag : NULL, &twice, NULL) < 0 ||
	    once.len != twice.len || memcmp(buf_str(&once), buf_str(&twice), once.len) != 0)
		__builtin_trap();
	return 0;
}
