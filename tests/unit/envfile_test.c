/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envfile_test: -e values and --env-file texts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli_internal.h"

static char *const caller[] = { (char[]){ "GIVEN=here" }, (char[]){ "EMPTY=" },
				(char[]){ "BAD=\xff" }, NULL };

static int parse(const char *text, size_t n, struct strv *env, struct err *e)
{
	return envfile_parse(text, n, "FILE", caller, env, e);
}

static void lines(void **state)
{
	static const char text[] =
		"# a comment\n\nA=1\n  B=two words # kept\r\nGIVEN\nABSENT\nEMPTY\n"
		"Q=\"quoted\"\nE=\nA=2\n\t#x\nLAST=end";
	auto_strv env = STRV_INIT;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(parse(text, sizeof(text) - 1, &env, &e), 0);
	assert_string_equal(strv_env_get(&env, "A"), "2");
	assert_string_equal(strv_env_get(&env, "B"), "two words # kept");
	assert_string_equal(strv_env_get(&env, "GIVEN"), "here");
	assert_string_equal(strv_env_get(&env, "EMPTY"), "");
	assert_string_equal(strv_env_get(&env, "Q"), "\"quoted\"");
	assert_string_equal(strv_env_get(&env, "E"), "");
	assert_string_equal(strv_env_get(&env, "LAST"), "end");
	assert_null(strv_env_get(&env, "ABSENT"));
	assert_int_equal(env.n, 7);
}

static void nothing_at_all(void **state)
{
	auto_strv env = STRV_INIT;

	(void)state;
	assert_int_equal(parse("", 0, &env, NULL), 0);
	assert_int_equal(parse("\n", 1, &env, NULL), 0);
	assert_int_equal(env.n, 0);
}

static void bad_lines_are_named(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *message;
	} cases[] = {
		{ "A=1\n=x\n", 7, "FILE:2: '' is not the name of a variable" },
		{ "1A=x", 4, "FILE:1: '1A' is not the name of a variable" },
		{ "A B=x", 5, "FILE:1: 'A B' is not the name of a variable" },
		{ "\033[m=x", 5, "FILE:1: '\\x1b[m' is not the name of a variable" },
		{ "A=\0x", 4, "FILE: holds a NUL byte" },
		{ "A=\xff\n", 4, "FILE:1: variable A: its value is not UTF-8" },
		{ "\n\nBAD\n", 6, "FILE:3: variable BAD: its value is not UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_strv env = STRV_INIT;
		struct err e = ERR_INIT;

		assert_true(parse(cases[i].text, cases[i].n, &env, &e) < 0);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_string_equal(e.message, cases[i].message);
	}
}

static void one_option(void **state)
{
	auto_strv env = STRV_INIT;

	(void)state;
	assert_int_equal(envfile_parse_one("PEM=a\nb\n", caller, &env, NULL), 0);
	assert_string_equal(strv_env_get(&env, "PEM"), "a\nb\n");
	assert_int_equal(envfile_parse_one("X=a=b", caller, &env, NULL), 0);
	assert_string_equal(strv_env_get(&env, "X"), "a=b");
	assert_int_equal(envfile_parse_one("GIVEN", NULL, &env, NULL), 0);
	assert_null(strv_env_get(&env, "GIVEN"));
	assert_int_equal(envfile_parse_one("", caller, &env, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(nothing_at_all),
		cmocka_unit_test(bad_lines_are_named),
		cmocka_unit_test(one_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
