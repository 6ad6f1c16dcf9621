/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: .dockerignore.  The first line is a path, the rest the file.  Whatever the patterns,
 * the same question has the same answer, and what is in a directory that is left out, without any
 * exception, is left out too.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/dockerfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nl = memchr(data, '\n', size);
	size_t n = nl ? (size_t)(nl - data) : size;
	auto_free char *path = xstrndup((const char *)data, n < 300 ? n : 300);
	auto_free char *rest = nl && size - n - 1 < 4096 ? xmemdup(nl + 1, size - n) : xstrdup("");
	auto_free char *below = xasprintf("%s/below", path);
	struct dockerignore d = { 0 };
	struct err e = ERR_INIT;

	if (dockerignore_parse(rest, *rest ? size - n - 1 : 0, &d, &e) < 0) {
		if (e.code == 0 || strchr(e.message, '\n') || strchr(e.message, '\x1b'))
			abort();
		return 0;
	}
	if (*path && dockerignore_matches(&d, path) && !dockerignore_looks_into(&d, path) &&
	    !dockerignore_matches(&d, below))
		abort();
	dockerignore_clear(&d);
	return 0;
}
