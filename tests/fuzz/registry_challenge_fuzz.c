/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: WWW-Authenticate and realms. A bearer challenge has a realm; what is accepted as a
 * realm of a registry without TLS is https or on that registry's host.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "image/registry_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = xstrndup((const char *)data, size);
	struct registry_challenge c = { 0 };
	const char *realm = text;

	if (registry_challenge_parse(text, &c) == 0 && c.scheme == REGISTRY_BEARER) {
		if (!c.realm)
			abort();
		realm = c.realm;
	} else if (c.realm && c.scheme == REGISTRY_ANONYMOUS) {
		abort();
	}
	if (registry_realm_ok(realm, "http://h.io:5000") &&
	    strncasecmp(realm, "https://", 8) != 0 && strncasecmp(realm, "http://h.io", 11) != 0)
		abort();
	if (registry_realm_ok(realm, "https://h.io") && strncasecmp(realm, "https://", 8) != 0)
		abort();
	registry_challenge_clear(&c);
	return 0;
}
