/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the patterns of kits' arguments, "PATTERN\nVALUE". Either the pattern is refused
 * with a reason, whatever the value is, or there is an answer.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "spec/spec_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *pattern = xstrndup((const char *)data, size);
	char *value = strchr(pattern, '\n');
	const char *why, *again;
	bool yes = false, no = false;

	if (value)
		*value++ = '\0';
	why = spec_pattern_match(pattern, value ? value : "", &yes);
	again = spec_pattern_match(pattern, "", &no);
	if ((why == NULL) != (again == NULL) || (why && (yes || no)))
		abort();
	return 0;
}
