/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: image_ref_parse. What was accepted parses back to itself in both ways of writing,
 * and a name of a registry holds only bytes that can stand in a URL and a file name.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const char *text, const char *canonical)
{
	auto_image_ref again = { 0 };
	auto_free char *c = NULL;

	if (image_ref_parse(text, &again, NULL) != 0)
		abort();
	c = image_ref_canonical(&again);
	if (strcmp(c, canonical) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = xstrndup((const char *)data, size);
	auto_image_ref r = { 0 };
	struct err e = ERR_INIT;
	auto_free char *canonical = NULL;
	auto_free char *familiar = NULL;

	if (image_ref_parse(text, &r, &e) != 0) {
		if (e.code == 0 || strchr(e.message, '\n') || strchr(e.message, '\x1b'))
			abort();
		return 0;
	}
	canonical = image_ref_canonical(&r);
	familiar = image_ref_familiar(&r);
	same(canonical, canonical);
	same(familiar, canonical);
	if (r.host && (strstr(canonical, "/.") || strpbrk(canonical, " %?#\\+")))
		abort();
	return 0;
}
