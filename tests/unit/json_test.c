/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of base/json.c and base/json_read.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

static struct json *parsed(const char *text)
{
	struct json *j = NULL;
	struct err e = ERR_INIT;

	if (json_parse(text, strlen(text), &j, &e) < 0)
		fail_msg("%s: %s", text, e.message);
	return j;
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"[",
		"[1",
		"[1,]",
		"{,}",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{a:1}",
		"{'a':1}",
		"[1 2]",
		"1 2",
		"nul",
		"True",
		"NaN",
		"Infinity",
		"-",
		"+1",
		"01",
		"1.",
		".5",
		"1e",
		"0x1",
		"--1",
		"\"",
		"\"\\x\"",
		"\"\\u12\"",
		"\"\\ud800\"",
		"\"\\ud800\\u0041\"",
		"\"\\udc00\"",
		"\"\n\"",
		"\"\xff\"",
		"\"\xc0\xaf\"",
		"/* c */ 1",
		"1 // c",
		"{\"a\":1,\"a\":2}",
		"{\"a\":1,\"\\u0061\":2}",
		"{\"a\":null,\"a\":2}",
		"{\"\\u0000\":1}",
		"\xef\xbb\xbf{}",
		"]",
		"}",
		"[}",
		"{]",
		"1e999",
		"111111111111111111111111111111111111111111111111111111111111111111",
	};
	struct json *j = (struct json *)0;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (json_parse(bad[i], strlen(bad[i]), &j, &e) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
		assert_null(j);
	}
	assert_int_equal(json_parse("1\0", 2, &j, &e), -EBADMSG);
	assert_int_equal(json_parse("[1,\n 2,\n x]", 11, &j, &e), -EBADMSG);
	assert_string_equal(e.message, "JSON, line 3, column 2: a value was expected");
}

static void test_depth(void **state)
{
	char text[2 * JSON_DEPTH_MAX + 3] = "";
	struct json *j = NULL;

	(void)state;
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	json_unref(parsed(text));
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_int_equal(json_parse(text, 2 * JSON_DEPTH_MAX + 2, &j, NULL), -EBADMSG);
}

static void test_values(void **state)
{
	auto_json j = parsed(
		" {\"i\":-9223372036854775808, \"u\":18446744073709551615, \"z\":0,\n"
		"\"s\":\"a\\u00e9\\ud83d\\ude00\\n\\/\", \"n\":null, \"t\":true, \"d\":1.50,\n"
		"\"l\":[\"x\",\"y\"], \"m\":[\"x\",1], \"nul\":\"a\\u0000b\", \"e\":[], "
		"\"o\":{}}");
	auto_strv list = STRV_INIT;
	const char *s;
	int64_t i;
	uint64_t u;
	bool b;

	(void)state;
	assert_int_equal(json_get_int(j, "i", &i), 0);
	assert_true(i == INT64_MIN);
	assert_int_equal(json_get_uint(j, "i", &u), -ERANGE);
	assert_int_equal(json_get_uint(j, "u", &u), 0);
	assert_true(u == UINT64_MAX);
	assert_int_equal(json_get_int(j, "u", &i), -ERANGE);
	assert_int_equal(json_get_string(j, "s", &s), 0);
	assert_string_equal(s, "a\xc3\xa9\xf0\x9f\x98\x80\n/");
	assert_int_equal(json_get_string(j, "n", &s), -ENOENT);
	assert_int_equal(json_get_string(j, "missing", &s), -ENOENT);
	assert_int_equal(json_get_string(j, "z", &s), -EINVAL);
	assert_int_equal(json_get_string(j, "nul", &s), -EINVAL);
	assert_int_equal(json_get_int(j, "s", &i), -EINVAL);
	assert_int_equal(json_get_int(j, "d", &i), -EINVAL);
	assert_int_equal(json_get_bool(j, "t", &b), 0);
	assert_true(b);
	assert_int_equal(json_get_bool(j, "z", &b), -EINVAL);
	assert_true(json_has(j, "n") && !json_has(j, "missing"));
	assert_int_equal(json_get_strv(j, "l", &list), 0);
	assert_int_equal(json_get_strv(j, "l", &list), 0);
	assert_int_equal(list.n, 2);
	assert_int_equal(json_get_strv(j, "m", &list), -EINVAL);
	assert_int_equal(list.n, 2);
	assert_int_equal(json_len(json_get(j, "l")), 2);
	assert_null(json_at(json_get(j, "l"), 2));
	assert_int_equal(json_len(j), 0);
	assert_null(json_get(json_get(j, "l"), "x"));
	assert_null(json_get(NULL, "x"));
	assert_true(json_is_object(json_get(j, "o")) && json_is_array(json_get(j, "e")));
	assert_null(parsed("null"));
}

static void test_write(void **state)
{
	auto_json o = json_object();
	auto_strv list = STRV_INIT;
	auto_buf out = BUF_INIT;

	(void)state;
	json_set_string(o, "s", "a\"\\/\n\x01\xc3\xa4");
	json_set_string(o, "bad", "x\xffy\xc3");
	json_set_string(o, "n", NULL);
	json_set_uint(o, "u", UINT64_MAX);
	json_set_int(o, "i", INT64_MIN);
	json_set_bool(o, "b", false);
	strv_add(&list, "x");
	json_set_strv(o, "l", &list);
	json_set_int(o, "i", -1);
	json_write(o, false, &out);
	assert_string_equal(buf_str(&out), "{\"s\":\"a\\\"\\\\/\\n\\u0001\xc3\xa4\","
					   "\"bad\":\"x\xef\xbf\xbdy\xef\xbf\xbd\",\"n\":null,"
					   "\"u\":18446744073709551615,\"i\":-1,\"b\":false,"
					   "\"l\":[\"x\"]}");
}

static void test_write_pretty(void **state)
{
	auto_json j = parsed("{\"a\":[1,2.50],\"b\":{\"c\":\"x\"}}");
	auto_buf out = BUF_INIT;

	(void)state;
	json_write(j, true, &out);
	assert_string_equal(buf_str(&out), "{\n  \"a\": [\n    1,\n    2.50\n  ],\n  \"b\": {\n"
					   "    \"c\": \"x\"\n  }\n}\n");
}

static int visit(const char *key, struct json *v, void *arg)
{
	buf_puts(arg, key);
	return v == NULL ? 7 : 0;
}

static void test_each(void **state)
{
	auto_json j = parsed("{\"z\":1,\"a\":2,\"n\":null,\"q\":3}");
	auto_buf keys = BUF_INIT;

	(void)state;
	assert_int_equal(json_each(j, visit, &keys), 7);
	assert_string_equal(buf_str(&keys), "zan");
	assert_int_equal(json_each(NULL, visit, &keys), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),	     cmocka_unit_test(test_depth),
		cmocka_unit_test(test_values),	     cmocka_unit_test(test_write),
		cmocka_unit_test(test_write_pretty), cmocka_unit_test(test_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
