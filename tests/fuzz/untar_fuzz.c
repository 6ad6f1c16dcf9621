/* SPDX-License-Identifier: Apache-2.0 */
/* untar_fuzz: names and link targets of entries, split at the first newlines: root, path, target.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "cli/untar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Is the path one that stays below wherever it is resolved? */
static void check_plain(const char *path)
{
	auto_free char *padded = xasprintf("/%s/", path);

	if (path[0] == '/' || strstr(padded, "/../") || strstr(padded, "/./") || strstr(path, "//"))
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = size ? xstrndup((const char *)data, size) : xstrdup("");
	char *path = strchr(text, '\n');
	char *target = path ? strchr(path + 1, '\n') : NULL;
	const char *relative;

	if (!target)
		return 0;
	*path++ = '\0';
	*target++ = '\0';
	relative = untar_relative(text, path);
	if (!relative)
		return 0;
	check_plain(relative);
	if (untar_link_stays(relative, target) && (target[0] == '/' || !*relative))
		__builtin_trap();
	return 0;
}
