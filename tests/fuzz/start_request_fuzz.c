/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start_request_fuzz: what init is told to start, and what a user name then means.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "supervise/supervise_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct start_request r;
	struct passwd_user u;
	struct err e = ERR_INIT;

	if (start_request_parse(data, size, &r, &e) < 0)
		return 0;
	if (r.argv[r.argc] || r.env[r.envc] || r.caller[r.callerc] || r.cwd[0] != '/')
		abort();
	if (r.argc ? !r.argv[0][0] : r.op != START_EXEC)
		abort();
	for (uint32_t i = 0; i < r.envc; i++) {
		if (!strchr(r.env[i], '='))
			abort();
	}
	for (uint32_t i = 0; i < r.callerc; i++) {
		if (!strchr(r.caller[i], '='))
			abort();
	}
	if (r.argc)
		(void)passwd_resolve(r.user, r.argv[0], strlen(r.argv[0]), r.cwd, strlen(r.cwd), &u,
				     &e);
	start_request_clear(&r);
	return 0;
}
