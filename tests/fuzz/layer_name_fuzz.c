/* SPDX-License-Identifier: Apache-2.0 */
/* layer_name_fuzz: the name of an entry of a layer. What is accepted stays below the layer's root
 * and means the same when it is read again. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "image/layer_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct layer_name *n)
{
	const char *path = buf_str(&n->path);
	auto_free char *padded = xasprintf("/%s/", path);
	struct layer_name again = { 0 };

	if (path[0] == '/' || strstr(padded, "/../") || strstr(padded, "/./") ||
	    (path[0] && strstr(padded, "//")))
		__builtin_trap();
	if ((n->kind == LAYER_NAME_ROOT) && path[0])
		__builtin_trap();
	/* Only a plain name is one again: a whiteout's target may itself look like a whiteout. */
	if (n->kind == LAYER_NAME_PLAIN &&
	    (layer_name_parse(path, &again, NULL) < 0 || again.kind != n->kind ||
	     strcmp(buf_str(&again.path), path) != 0))
		__builtin_trap();
	buf_free(&again.path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *name = size ? xstrndup((const char *)data, size) : xstrdup("");
	struct layer_name n = { 0 };

	if (layer_name_parse(name, &n, NULL) == 0 && n.kind != LAYER_NAME_IGNORED)
		check(&n);
	buf_free(&n.path);
	return 0;
}
