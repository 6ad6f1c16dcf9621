/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: policy_host_parse and policy_authority_parse. A canonical host parses back to
 * itself and holds only the bytes that a host may hold.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct policy_host *h)
{
	char text[POLICY_HOST_MAX + 3];
	size_t n = strlen(h->name);
	struct policy_host again;

	if (n == 0 || n > POLICY_HOST_MAX)
		abort();
	if (strspn(h->name, "abcdefghijklmnopqrstuvwxyz0123456789-_.:") != n)
		abort();
	if (h->kind == POLICY_HOST_V6) {
		text[0] = '[';
		memcpy(text + 1, h->name, n);
		text[n + 1] = ']';
		n += 2;
	} else {
		memcpy(text, h->name, n);
	}
	if (policy_host_parse(text, n, &again, NULL) != 0 || again.kind != h->kind ||
	    strcmp(again.name, h->name) != 0 || memcmp(again.addr, h->addr, 16) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = ERR_INIT;
	struct policy_verdict v;
	struct policy_host h;
	uint16_t port;

	if (policy_host_parse((const char *)data, size, &h, &e) == 0) {
		check(&h);
		policy_decide(NULL, &h, 443, NULL, &v);
		if (v.allow)
			abort();
	} else if (e.message[0] == '\0') {
		abort();
	}
	if (policy_authority_parse((const char *)data, size, 80, &h, &port, NULL) == 0) {
		check(&h);
		if (port == 0)
			abort();
	}
	return 0;
}
