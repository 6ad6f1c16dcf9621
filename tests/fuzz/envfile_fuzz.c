/* SPDX-License-Identifier: Apache-2.0 */
/* envfile_fuzz: environment files; what is accepted is NAME=VALUE in UTF-8. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char given[] = "GIVEN=value";
	static char *const inherit[] = { given, NULL };
	auto_strv env = STRV_INIT;
	struct err e = ERR_INIT;

	if (envfile_parse((const char *)data, size, "FILE", inherit, &env, &e) < 0)
		return 0;
	for (size_t i = 0; i < env.n; i++) {
		const char *equals = strchr(env.v[i], '=');

		if (!equals || equals == env.v[i] || !text_is_utf8(env.v[i], strlen(env.v[i])))
			__builtin_trap();
	}
	return 0;
}
