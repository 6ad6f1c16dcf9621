/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passwd_fuzz: a user name, passwd and group of a hostile image, separated by NUL.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *first = memchr(data, '\0', size);
	const uint8_t *passwd = first ? first + 1 : NULL;
	const uint8_t *end = data + size;
	const uint8_t *second = passwd ? memchr(passwd, '\0', (size_t)(end - passwd)) : NULL;
	auto_free char *user = NULL;
	struct passwd_user u;
	struct err e = ERR_INIT;

	if (!second)
		return 0;
	user = xstrndup((const char *)data, (size_t)(first - data));
	if (passwd_resolve(user, (const char *)passwd, (size_t)(second - passwd),
			   (const char *)second + 1, (size_t)(end - second - 1), &u, &e) < 0)
		return 0;
	if (u.uid == UINT32_MAX || u.gid == UINT32_MAX || u.ngroups > PASSWD_GROUPS_MAX)
		abort();
	return 0;
}
