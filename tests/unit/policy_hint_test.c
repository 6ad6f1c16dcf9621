/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that a refusal names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "policy/policy.h"

static void commands(void **state)
{
	static const struct {
		const char *host, *rule, *origin, *sandbox;
		uint16_t port;
		const char *addr, *hint;
	} cases[] = {
		{ "a.test", "", "", "box", 443, NULL, "ward policy allow --sandbox box a.test" },
		{ "a.test", "", "", "", 80, NULL, "ward policy allow a.test" },
		{ "a.test", "", "", "box", 22, NULL, "ward policy allow --sandbox box a.test:22" },
		{ "192.0.2.1", "", "", "b", 443, NULL,
		  "ward policy allow --sandbox b 192.0.2.1:443" },
		{ "[2001:db8::1]", "", "", "b", 80, NULL,
		  "ward policy allow --sandbox b '[2001:db8::1]:80'" },
		{ "host.ward.internal", "", "", "b", 80, NULL,
		  "ward policy allow --sandbox b localhost:80" },
		{ "localhost", "", "", "b", 3000, NULL,
		  "ward policy allow --sandbox b localhost:3000" },
		{ "db.test", "", "", "b", 5432, "10.1.2.3",
		  "ward policy allow --sandbox b db.test:5432 10.1.2.3:5432" },
		{ "db.test", "", "", "b", 80, "fd00::1",
		  "ward policy allow --sandbox b db.test '[fd00::1]:80'" },
		{ "a.test", "**.test", POLICY_ORIGIN_USER, "b", 80, NULL,
		  "ward policy rm '**.test'" },
		{ "a.test", "a.test GET /x/**", POLICY_ORIGIN_SANDBOX, "b", 80, NULL,
		  "ward policy rm --sandbox b 'a.test GET /x/**'" },
		{ "a.test", "a.test", "kit x", "b", 80, NULL,
		  "the rule 'deny a.test' of kit x decides; no other rule can allow it" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_verdict v = { .allow = false };
		struct sockaddr_in in = { .sin_family = AF_INET };
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
		const struct sockaddr *addr = NULL;
		struct policy_host h;
		struct buf out = BUF_INIT;

		snprintf(v.rule, sizeof(v.rule), "%s", cases[i].rule);
		snprintf(v.origin, sizeof(v.origin), "%s", cases[i].origin);
		assert_int_equal(policy_host_parse(cases[i].host, strlen(cases[i].host), &h, NULL),
				 0);
		if (cases[i].addr && inet_pton(AF_INET, cases[i].addr, &in.sin_addr) == 1)
			addr = (const struct sockaddr *)&in;
		else if (cases[i].addr && inet_pton(AF_INET6, cases[i].addr, &in6.sin6_addr) == 1)
			addr = (const struct sockaddr *)&in6;
		policy_hint(&h, cases[i].port, &v, addr, cases[i].sandbox, &out);
		assert_string_equal(buf_str(&out), cases[i].hint);
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(commands) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
