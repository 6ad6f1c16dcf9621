/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: config.json and answers of credential helpers. What is found can stand in a header
 * and in the name of a program.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/registry_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct registry_login *l)
{
	const char *const all[] = { l->user, l->secret, l->token };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (all[i] && strpbrk(all[i], "\r\n"))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct registry_login l = { 0 };
	auto_free char *helper = NULL;

	if (registry_config_find((const char *)data, size, "h.io", &helper, &l, NULL) == 0) {
		check(&l);
		if (helper && (strchr(helper, '/') || helper[0] == '.'))
			abort();
	}
	registry_login_clear(&l);
	if (registry_helper_answer((const char *)data, size, &l, NULL) == 0)
		check(&l);
	registry_login_clear(&l);
	return 0;
}
