/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of base/text.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

static void test_u64(void **state)
{
	static const struct {
		const char *s;
		uint64_t max;
		int r;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 0, 0 },
		{ "18446744073709551615", UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999x", UINT64_MAX, -EINVAL, 0 },
		{ "256", 255, -ERANGE, 0 },
		{ "", 9, -EINVAL, 0 },
		{ "+1", 9, -EINVAL, 0 },
		{ "-1", 9, -EINVAL, 0 },
		{ " 1", 9, -EINVAL, 0 },
		{ "1 ", 9, -EINVAL, 0 },
		{ "01", 9, -EINVAL, 0 },
		{ "0x1", 9, -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t v = 77;

		assert_int_equal(text_u64(cases[i].s, cases[i].max, &v), cases[i].r);
		assert_int_equal(v, cases[i].r == 0 ? cases[i].value : 77);
	}
}

static void test_size_and_duration(void **state)
{
	uint64_t v = 0;

	(void)state;
	assert_int_equal(text_size("512m", &v), 0);
	assert_int_equal(v, 512 << 20);
	assert_int_equal(text_size("1KiB", &v), 0);
	assert_int_equal(v, 1024);
	assert_int_equal(text_size("2GB", &v), 0);
	assert_int_equal(v, 2ULL << 30);
	assert_int_equal(text_size("7b", &v), 0);
	assert_int_equal(v, 7);
	assert_int_equal(text_size("7", &v), 0);
	assert_int_equal(text_size("7bb", &v), -EINVAL);
	assert_int_equal(text_size("7kk", &v), -EINVAL);
	assert_int_equal(text_size("1.5g", &v), -EINVAL);
	assert_int_equal(text_size("m", &v), -EINVAL);
	assert_int_equal(text_size("16777216t", &v), -ERANGE);
	assert_int_equal(text_duration("90s", &v), 0);
	assert_int_equal(v, 90);
	assert_int_equal(text_duration("1h30m", &v), 0);
	assert_int_equal(v, 5400);
	assert_int_equal(text_duration("7d", &v), 0);
	assert_int_equal(v, 7 * 86400);
	assert_int_equal(text_duration("30m1h", &v), -EINVAL);
	assert_int_equal(text_duration("1h1h", &v), -EINVAL);
	assert_int_equal(text_duration("", &v), -EINVAL);
	assert_int_equal(text_duration("5", &v), -EINVAL);
	assert_int_equal(text_duration("18446744073709551615d", &v), -ERANGE);
}

static void test_utf8(void **state)
{
	static const char *const bad[] = { "\x80",	   "\xc0\xaf",	       "\xc1\xbf",
					   "\xe0\x80\xaf", "\xed\xa0\x80",     "\xf4\x90\x80\x80",
					   "\xc3",	   "\xf0\x9f\x98",     "\xf5\x80\x80\x80",
					   "\xe2\x28\xa1", "\xf0\x80\x80\x80", "a\xff" };

	(void)state;
	assert_true(text_is_utf8("", 0));
	assert_true(text_is_utf8("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf", 14));
	assert_false(text_is_utf8("a\0b", 3));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(text_is_utf8(bad[i], strlen(bad[i])));
}

static void test_names(void **state)
{
	struct err e = ERR_INIT;
	static const char *const bad[] = { "",	"-a",	".a",  "_a",	  "a b",
					   "A", "a..b", "a/b", "\xc3\xa4" };
	char text[65];

	(void)state;
	assert_int_equal(text_check_name("x", "a", &e), 0);
	assert_int_equal(text_check_name("x", "0a.b_c-d", &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(text_check_name("x", bad[i], &e), -EINVAL);
	memset(text, 'a', sizeof(text));
	text[63] = '\0';
	assert_int_equal(text_check_name("x", text, &e), 0);
	text[63] = 'a';
	text[64] = '\0';
	assert_int_equal(text_check_name("x", text, &e), -EINVAL);
	assert_int_equal(text_check_name("sandbox name", "a\x1b", &e), -EINVAL);
	assert_non_null(strstr(e.message, "sandbox name 'a\\x1b': "));
}

static void escaped(const char *in, size_t n, size_t max, const char *want)
{
	auto_buf out = BUF_INIT;

	text_escape(&out, in, n, max);
	assert_string_equal(buf_str(&out), want);
}

static void test_escape(void **state)
{
	(void)state;
	escaped("a\\b\n\t\x7f", 6, 99, "a\\\\b\\x0a\\x09\\x7f");
	escaped("\0x", 2, 99, "\\x00x");
	escaped("\xc2\x9b", 2, 99, "\\u{009b}");
	escaped("\xe2\x80\xae!", 4, 99, "\\u{202e}!");
	escaped("\xf3\xa0\x80\x81", 4, 99, "\\u{e0001}");
	escaped("\xff\xc3", 2, 99, "\\xff\\xc3");
	escaped("\xc3\xa4\xf0\x9f\x98\x80", 6, 99, "\xc3\xa4\xf0\x9f\x98\x80");
	escaped("abcdef", 6, 3, "abc...");
	escaped("abc", 3, 3, "abc");
	escaped("ab\xc3\xa4", 4, 3, "ab...");
}

static void test_nearest(void **state)
{
	static const char *const verbs[] = { "run", "create", "exec", "ls", "inspect", "stop" };
	const size_t n = ARRAY_SIZE(verbs);

	(void)state;
	assert_string_equal(text_nearest("rnu", verbs, n), "run");
	assert_string_equal(text_nearest("insepct", verbs, n), "inspect");
	assert_string_equal(text_nearest("craete", verbs, n), "create");
	assert_string_equal(text_nearest("stop", verbs, n), "stop");
	assert_null(text_nearest("zzzzzz", verbs, n));
	assert_null(text_nearest("", verbs, n));
	assert_null(text_nearest("x", verbs, n));
}

static void test_dates(void **state)
{
	static const struct {
		int64_t t;
		const char *s;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00Z" },
		{ -1, "1969-12-31T23:59:59Z" },
		{ 951782400, "2000-02-29T00:00:00Z" },
		{ 1767323045, "2026-01-02T03:04:05Z" },
		{ 4107542399, "2100-02-28T23:59:59Z" },
		{ 4107542400, "2100-03-01T00:00:00Z" },
		{ -62167219200, "0000-01-01T00:00:00Z" },
		{ 253402300799, "9999-12-31T23:59:59Z" },
	};
	static const char *const bad[] = {
		"",
		"2026-01-02",
		"2026-13-02T03:04:05Z",
		"2026-02-29T03:04:05Z",
		"2026-01-02T24:04:05Z",
		"2026-01-02T03:04:60Z",
		"2026-01-02T03:04:05",
		"2026-01-02T03:04:05Z ",
		"2026-00-02T03:04:05Z",
		"2026-01-00T03:04:05Z",
		"2026-01-02t03:04:05z",
	};
	char out[32];
	int64_t t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		text_rfc3339(cases[i].t, out);
		assert_string_equal(out, cases[i].s);
		assert_int_equal(text_parse_rfc3339(out, &t), 0);
		assert_int_equal(t, cases[i].t);
	}
	for (int64_t day = -800000; day < 2900000; day += 97) {
		text_rfc3339(day * 86400 + 3661, out);
		if (day >= -719528 && day * 86400 < 253402300799) {
			assert_int_equal(text_parse_rfc3339(out, &t), 0);
			assert_int_equal(t, day * 86400 + 3661);
		}
	}
	text_rfc3339(INT64_MAX, out);
	assert_string_equal(out, "9999-12-31T23:59:59Z");
	text_rfc3339(INT64_MIN, out);
	assert_string_equal(out, "0000-01-01T00:00:00Z");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(text_parse_rfc3339(bad[i], &t), -EINVAL);
}

static void test_ago(void **state)
{
	static const struct {
		int64_t age;
		const char *s;
	} cases[] = {
		{ -5, "Less than a second ago" }, { 1, "1 second ago" },
		{ 59, "59 seconds ago" },	  { 60, "About a minute ago" },
		{ 180, "3 minutes ago" },	  { 3600, "About an hour ago" },
		{ 7200, "2 hours ago" },	  { 172800, "2 days ago" },
		{ 14 * 86400, "2 weeks ago" },	  { 60 * 86400, "2 months ago" },
		{ 730 * 86400, "2 years ago" },
	};
	char out[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		text_ago(1000, 1000 + cases[i].age, out);
		assert_string_equal(out, cases[i].s);
	}
	text_ago(INT64_MIN, INT64_MAX, out);
	assert_non_null(strstr(out, "years ago"));
}

static void test_rest(void **state)
{
	char a[33], b[33];

	(void)state;
	assert_true(text_starts("abc", "ab") && !text_starts("a", "ab"));
	assert_true(text_ends("abc", "bc") && !text_ends("c", "bc"));
	text_random_hex(a, 16);
	text_random_hex(b, 16);
	assert_int_equal(strspn(a, "0123456789abcdef"), 32);
	assert_string_not_equal(a, b);
	assert_true(text_fnv1a("a", 1) == 0xaf63dc4c8601ec8cULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u64),    cmocka_unit_test(test_size_and_duration),
		cmocka_unit_test(test_utf8),   cmocka_unit_test(test_names),
		cmocka_unit_test(test_escape), cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_dates),  cmocka_unit_test(test_ago),
		cmocka_unit_test(test_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
