/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: policy_rules_read. What is read is written in one canonical form, which reads back
 * to the same; no set of allow rules opens a special address by a name.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_host metadata = { .kind = POLICY_HOST_NAME, .name = "metadata.test" };
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct policy_rules *r, *again;
	struct buf first = BUF_INIT, second = BUF_INIT;
	struct policy_verdict v;
	struct err e = ERR_INIT;

	if (policy_rules_read((const char *)data, size, &r, &e) != 0) {
		if (e.message[0] == '\0')
			abort();
		return 0;
	}
	policy_rules_write(r, &first);
	if (policy_rules_read(buf_str(&first), first.len, &again, &e) != 0)
		abort();
	policy_rules_write(again, &second);
	if (first.len != second.len || memcmp(buf_str(&first), buf_str(&second), first.len) != 0 ||
	    policy_rules_count(r) != policy_rules_count(again))
		abort();
	in.sin_addr.s_addr = htonl(0xa9fea9fe);
	policy_decide_address(r, &metadata, 80, NULL, (struct sockaddr *)&in, &v);
	if (v.allow && strncmp(v.rule, "169.254.", 8) != 0)
		abort();
	/* Looking into a connection never gives more than is allowed without: unless a rule says
	 * so. */
	policy_decide_address(r, &metadata, 80, &(struct policy_request){ "GET", 3, "/a/b", 4 },
			      (struct sockaddr *)&in, &v);
	if (v.allow && strncmp(v.rule, "169.254.", 8) != 0)
		abort();
	buf_free(&first);
	buf_free(&second);
	policy_rules_free(r);
	policy_rules_free(again);
	return 0;
}
