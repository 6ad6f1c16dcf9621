/* SPDX-License-Identifier: Apache-2.0 */
/* Canonical hosts: every spelling that must be refused, and what the good ones become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "policy/policy.h"

static void names_become_canonical(void **state)
{
	static const struct {
		const char *bytes, *name;
	} cases[] = {
		{ "example.com", "example.com" },
		{ "EXAMPLE.Com", "example.com" },
		{ "example.com.", "example.com" },
		{ "a_b.example.com", "a_b.example.com" },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example" },
		{ "1and1.com", "1and1.com" },
		{ "3.example", "3.example" },
		{ "single", "single" },
		{ "192.0.2.1", "192.0.2.1" },
		{ "[2001:DB8:0::1]", "2001:db8::1" },
		{ "[::ffff:127.0.0.1]", "::ffff:127.0.0.1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_host h;
		struct err e = ERR_INIT;

		assert_int_equal(policy_host_parse(cases[i].bytes, strlen(cases[i].bytes), &h, &e),
				 0);
		assert_string_equal(h.name, cases[i].name);
	}
}

static void kinds(void **state)
{
	static const uint8_t v4[4] = { 192, 0, 2, 1 };
	struct policy_host h;

	(void)state;
	assert_int_equal(policy_host_parse("192.0.2.1", 9, &h, NULL), 0);
	assert_int_equal(h.kind, POLICY_HOST_V4);
	assert_memory_equal(h.addr, v4, 4);
	assert_int_equal(policy_host_parse("[::1]", 5, &h, NULL), 0);
	assert_int_equal(h.kind, POLICY_HOST_V6);
	assert_int_equal(h.addr[15], 1);
}

static void garbage_is_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} cases[] = {
#define CASE(s) { s, sizeof(s) - 1 }
		CASE(""),
		CASE("."),
		CASE(".."),
		CASE("a..b"),
		CASE(".a"),
		CASE("a.b.."),
		CASE("a\0.b"),
		CASE("allowed.test\0.evil.test"),
		CASE("a\rb"),
		CASE("a\nb"),
		CASE("a b"),
		CASE("a\tb"),
		CASE("a%00b"),
		CASE("u@a"),
		CASE("a\\b"),
		CASE("a/b"),
		CASE("a:80"),
		CASE("b\xc3\xbc"
		     "cher.example"),
		CASE("a\x80"),
		CASE("-a.example"),
		CASE("a-.example"),
		CASE("*.example.com"),
		CASE("::1"),
		CASE("[::1"),
		CASE("::1]"),
		CASE("[]"),
		CASE("[1.2.3.4]"),
		CASE("[fe80::1%eth0]"),
		CASE("[::1]x"),
		CASE("[:::1]"),
#undef CASE
	};
	char longest[256];
	struct policy_host h;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = ERR_INIT;

		assert_int_equal(policy_host_parse(cases[i].bytes, cases[i].n, &h, &e), -EINVAL);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_null(strpbrk(e.message, "\r\n\t"));
	}
	memset(longest, 'a', sizeof(longest));
	assert_int_equal(policy_host_parse(longest, 64, &h, NULL), -EINVAL);
	assert_int_equal(policy_host_parse(longest, 63, &h, NULL), 0);
	for (size_t i = 63; i < sizeof(longest); i += 64)
		longest[i] = '.';
	assert_int_equal(policy_host_parse(longest, 253, &h, NULL), 0);
	assert_int_equal(policy_host_parse(longest, 254, &h, NULL), -EINVAL);
}

static void odd_addresses_are_refused(void **state)
{
	static const char *const cases[] = {
		"127.1",	"127.0.1",    "2130706433",   "0x7f000001",  "0x7f.0.0.1",
		"0177.0.0.1",	"127.0.0.01", "127.0.0.0x1",  "0",	     "0x",
		"1.2.3.4.5",	"256.0.0.1",  "1.2.3.999",    "00.0.0.0",    "127.0.0.1.",
		"017700000001", "0X7F000001", "example.0x10", "example.123",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_host h;
		struct err e = ERR_INIT;

		if (policy_host_parse(cases[i], strlen(cases[i]), &h, &e) != -EINVAL)
			fail_msg("%s was taken", cases[i]);
		assert_int_equal(e.kind, ERR_REFUSED);
	}
}

static void authorities(void **state)
{
	struct policy_host h;
	uint16_t port;
	static const char *const bad[] = { "a:",     "a:0",    "a:65536", "a:080",    "a:+80",
					   "a: 80",  "a:80 ",  ":80",	  "a:443abc", "[::1]:",
					   "::1:80", "a:b:80", "[::1]80" };

	(void)state;
	assert_int_equal(policy_authority_parse("a.test:8080", 11, 0, &h, &port, NULL), 0);
	assert_string_equal(h.name, "a.test");
	assert_int_equal(port, 8080);
	assert_int_equal(policy_authority_parse("a.test", 6, 80, &h, &port, NULL), 0);
	assert_int_equal(port, 80);
	assert_int_equal(policy_authority_parse("a.test", 6, 0, &h, &port, NULL), -EINVAL);
	assert_int_equal(policy_authority_parse("[::1]:65535", 11, 0, &h, &port, NULL), 0);
	assert_int_equal(port, 65535);
	assert_int_equal(policy_authority_parse("[::1]", 5, 80, &h, &port, NULL), 0);
	assert_int_equal(h.kind, POLICY_HOST_V6);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(
			policy_authority_parse(bad[i], strlen(bad[i]), 80, &h, &port, NULL),
			-EINVAL);
	assert_int_equal(policy_authority_parse("a:8\0", 4, 80, &h, &port, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_become_canonical),
		cmocka_unit_test(kinds),
		cmocka_unit_test(garbage_is_refused),
		cmocka_unit_test(odd_addresses_are_refused),
		cmocka_unit_test(authorities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
