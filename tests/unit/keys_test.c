/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys_test: detach keys, as text and in the byte stream.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

static void test_parse(void **state)
{
	static const char *const good[] = { "ctrl-p,ctrl-q",  "a,b",	"ctrl-a",  "x",
					    "ctrl-@",	      "ctrl-[", "ctrl-\\", "ctrl-]",
					    "ctrl-^",	      "ctrl-_", "ctrl-P",  "",
					    "a,b,c,d,e,f,g,h" };
	static const char *const bad[] = {
		"ctrl-", "ctrl-1", "ctrl-pp",		",",	   "a,", ",a",		 "ab",
		"a,,b",	 "\x01",   "a,b,c,d,e,f,g,h,i", "shift-a", " ",	 "ctrl-p ctrl-q"
	};
	struct keys k;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(relay_check_keys(good[i]), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(relay_check_keys(bad[i]), -EINVAL);
	assert_int_equal(keys_parse(NULL, &k), 0);
	assert_int_equal(k.n, 2);
	assert_int_equal(k.key[0], 0x10);
	assert_int_equal(k.key[1], 0x11);
	assert_int_equal(keys_parse("", &k), 0);
	assert_int_equal(k.n, 0);
}

static void check(const char *keys, const char *in, bool detach, const char *forwarded)
{
	for (int bytewise = 0; bytewise < 2; bytewise++) {
		struct keys k;
		auto_buf out = BUF_INIT;
		bool found = false;
		size_t n = strlen(in);

		assert_int_equal(keys_parse(keys, &k), 0);
		if (!bytewise)
			found = keys_feed(&k, in, n, &out);
		for (size_t i = 0; bytewise && i < n && !found; i++)
			found = keys_feed(&k, in + i, 1, &out);
		assert_int_equal(found, detach);
		assert_string_equal(buf_str(&out), forwarded);
	}
}

static void test_feed(void **state)
{
	(void)state;
	check(NULL, "hello", false, "hello");
	check(NULL, "a\x10\x11", true, "a");
	check(NULL, "a\x10", false, "a");
	check(NULL,
	      "a\x10"
	      "b",
	      false,
	      "a\x10"
	      "b");
	check(NULL, "\x10\x10\x11", true, "\x10");
	check(NULL, "\x11\x10", false, "\x11");
	check("", "\x10\x11", false, "\x10\x11");
	check("a,b,c", "abd", false, "abd");
	check("a,b,c", "ababc", true, "ab");
	check("x", "yx", true, "y");
}

static void test_long_form(void **state)
{
	struct keys k;
	auto_buf out = BUF_INIT;
	static const char both[] = "\033[112;5u\033[113;5u";
	static const char other[] = "\033[112;5u\033[A";

	(void)state;
	keys_parse(NULL, &k);
	assert_true(keys_feed(&k, both, strlen(both), &out));
	assert_int_equal(out.len, 0);
	keys_parse(NULL, &k);
	assert_false(keys_feed(&k, other, strlen(other), &out));
	assert_string_equal(buf_str(&out), other);
	buf_reset(&out);
	/* the Escape key alone is not kept back */
	assert_false(keys_feed(&k, "\033", 1, &out));
	assert_string_equal(buf_str(&out), "\033");
}

static void test_flush(void **state)
{
	struct keys k;
	auto_buf out = BUF_INIT;

	(void)state;
	keys_parse(NULL, &k);
	assert_false(keys_feed(&k, "\x10", 1, &out));
	assert_int_equal(out.len, 0);
	keys_flush(&k, &out);
	assert_string_equal(buf_str(&out), "\x10");
	assert_false(keys_feed(&k, "\x11", 1, &out));
	assert_string_equal(buf_str(&out), "\x10\x11");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_feed),
		cmocka_unit_test(test_long_form),
		cmocka_unit_test(test_flush),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
