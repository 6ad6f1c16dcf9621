/* SPDX-License-Identifier: Apache-2.0 */
/*
 * account_fuzz: passwd, group and shadow files of a template.  The account is in the result exactly
 * once, and rewriting the result changes nothing.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "box/box_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct account a = {
		.name = "agent", .uid = 1000, .gid = 1000, .home = "/h", .shell = "/s"
	};
	auto_buf once = BUF_INIT;
	auto_buf twice = BUF_INIT;
	enum account_file kind;

	if (n == 0)
		return 0;
	kind = (enum account_file)(data[0] % ACCOUNT_FILE_KINDS);
	account_rewrite(kind, (const char *)data + 1, n - 1, &a, &once);
	account_rewrite(kind, buf_str(&once), once.len, &a, &twice);
	if (once.len == 0 || once.len != twice.len || memcmp(once.data, twice.data, once.len) != 0)
		abort();
	return 0;
}
