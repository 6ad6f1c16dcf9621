/* SPDX-License-Identifier: Apache-2.0 */
/*
 * locale_fuzz: a locale's name, then, behind a newline, the beginning of an archive.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nl = memchr(data, '\n', size);
	auto_free char *name = NULL;
	auto_free char *normal = NULL;

	if (!nl)
		return 0;
	name = xstrndup((const char *)data, (size_t)(nl - data));
	normal = locale_normalised(name);
	if (strlen(normal) > strlen(name) + strlen("iso"))
		abort();
	(void)locale_archive_has(nl + 1, size - (size_t)(nl + 1 - data), normal);
	return 0;
}
