/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options_test: the option parser with a table of its own, and the tables of the verbs.
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
#include "cli/options.h"

struct values {
	bool all;
	bool quiet;
	const char *name;
	const char *mode;
	struct strv env;
};

static const struct option table[] = {
	{ .name = "all",
	  .letter = 'a',
	  .type = OPTION_FLAG,
	  .offset = offsetof(struct values, all) },
	{ .name = "quiet",
	  .letter = 'q',
	  .type = OPTION_FLAG,
	  .offset = offsetof(struct values, quiet) },
	{ .name = "name",
	  .letter = 'n',
	  .type = OPTION_STRING,
	  .offset = offsetof(struct values, name),
	  .arg = "NAME" },
	{ .name = "mode",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct values, mode),
	  .arg = "MODE",
	  .choices = "open|locked" },
	{ .name = "env",
	  .letter = 'e',
	  .type = OPTION_LIST,
	  .offset = offsetof(struct values, env),
	  .arg = "K=V" },
};

static struct values v;
static struct options_operands o;
static struct err e;

static int tear_down(void **state)
{
	(void)state;
	options_clear(table, ARRAY_SIZE(table), &v);
	options_operands_clear(&o);
	v = (struct values){ 0 };
	e = ERR_INIT;
	return 0;
}

static int parse(bool stop, const char *const *args)
{
	size_t n = 0;

	tear_down(NULL);
	while (args[n])
		n++;
	return options_parse(table, ARRAY_SIZE(table), stop, (char *const *)(uintptr_t)args, n, &v,
			     &o, &e);
}
#define PARSE(stop, ...) parse(stop, (const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void long_and_short_spellings(void **state)
{
	(void)state;
	assert_int_equal(PARSE(false, "--all", "--name=x", "--env", "A=1", "-eB=2", "-e=C=3"), 0);
	assert_true(v.all);
	assert_false(v.quiet);
	assert_string_equal(v.name, "x");
	assert_int_equal(v.env.n, 3);
	assert_string_equal(v.env.v[0], "A=1");
	assert_string_equal(v.env.v[1], "B=2");
	assert_string_equal(v.env.v[2], "C=3");
	assert_int_equal(PARSE(false, "-aqn", "y"), 0);
	assert_true(v.all && v.quiet);
	assert_string_equal(v.name, "y");
	assert_int_equal(PARSE(false, "-qnz"), 0);
	assert_string_equal(v.name, "z");
	assert_int_equal(PARSE(false, "--name="), 0);
	assert_string_equal(v.name, "");
	assert_int_equal(PARSE(false, "--name", "-x", "--name", "--"), 0);
	assert_string_equal(v.name, "--");
	assert_int_equal(o.v.n, 0);
}

static void flags_take_booleans(void **state)
{
	(void)state;
	assert_int_equal(PARSE(false, "--all=true", "--quiet", "--quiet=false"), 0);
	assert_true(v.all);
	assert_false(v.quiet);
	assert_int_equal(PARSE(false, "--all=yes"), -EINVAL);
	assert_int_equal(e.kind, ERR_USAGE);
}

static void operands_and_dashes(void **state)
{
	(void)state;
	assert_int_equal(PARSE(false, "one", "-a", "two", "--", "-q", "--"), 0);
	assert_int_equal(o.v.n, 4);
	assert_int_equal(o.before_dashes, 2);
	assert_true(o.dashes);
	assert_string_equal(o.v.v[2], "-q");
	assert_string_equal(o.v.v[3], "--");
	assert_true(v.all);
	assert_false(v.quiet);
	assert_int_equal(PARSE(false, "-", ""), 0);
	assert_int_equal(o.v.n, 2);
}

static void the_first_operand_ends_the_options(void **state)
{
	(void)state;
	assert_int_equal(PARSE(true, "-a", "claude", "-q", "--", "--name", "x"), 0);
	assert_true(v.all);
	assert_false(v.quiet);
	assert_null(v.name);
	assert_int_equal(o.v.n, 5);
	assert_string_equal(o.v.v[1], "-q");
	assert_string_equal(o.v.v[2], "--");
	assert_int_equal(PARSE(true, "--", "-a", "b"), 0);
	assert_false(v.all);
	assert_string_equal(o.v.v[0], "-a");
}

static void wrong_command_lines(void **state)
{
	static const struct {
		const char *args[3];
		const char *message;
		const char *hint;
	} cases[] = {
		{ { "--nmae=x" }, "unknown option '--nmae'", "did you mean --name?" },
		{ { "--\033[31m" }, "unknown option '--\\x1b[31m'", "" },
		{ { "-x" }, "unknown option '-x'", "" },
		{ { "-ax" }, "unknown option: letter 2 of '-ax'", "" },
		{ { "-\001" }, "unknown option '-\\x01'", "" },
		{ { "--name" }, "option --name: needs a value (NAME)", "" },
		{ { "-an" }, "option --name: needs a value (NAME)", "" },
		{ { "--mode", "shut" }, "option --mode: 'shut' is none of open|locked", "" },
		{ { "--mode=" }, "option --mode: '' is none of open|locked", "" },
		{ { "--mode=ope" }, "option --mode: 'ope' is none of open|locked", "" },
		{ { "--mode=open|locked" },
		  "option --mode: 'open|locked' is none of open|locked",
		  "" },
		{ { "--all=\n" }, "option --all: '\\x0a' is neither true nor false", "" },
		{ { "--=x" }, "unknown option '--'", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool unknown = strncmp(cases[i].message, "unknown option '--", 18) == 0;

		assert_int_equal(parse(false, cases[i].args), unknown ? -ENOPROTOOPT : -EINVAL);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_string_equal(e.message, cases[i].message);
		assert_string_equal(e.hint, cases[i].hint);
		assert_int_equal(o.v.n, 0);
	}
}

static void choices(void **state)
{
	(void)state;
	assert_true(options_is_choice("a|bc|d", "a"));
	assert_true(options_is_choice("a|bc|d", "bc"));
	assert_true(options_is_choice("a|bc|d", "d"));
	assert_false(options_is_choice("a|bc|d", "b"));
	assert_false(options_is_choice("a|bc|d", ""));
	assert_false(options_is_choice("a|bc|d", "a|bc"));
}

/* What the parser, help and completion rely on. */
static void the_tables_of_the_verbs_are_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < cli_nverbs; i++) {
		const struct verb *verb = &cli_verbs[i];

		assert_non_null(verb->run);
		assert_non_null(verb->text);
		assert_non_null(verb->see_also);
		assert_ptr_equal(cli_verb_find(verb->name), verb);
		for (size_t k = 0; k < verb->noptions; k++) {
			const struct option *a = &verb->options[k];

			assert_non_null(a->help);
			assert_true((a->type == OPTION_FLAG) == (a->arg == NULL));
			assert_true(a->offset < sizeof(struct cli_values));
			for (size_t m = 0; m < k; m++) {
				const struct option *b = &verb->options[m];

				assert_string_not_equal(a->name, b->name);
				assert_false(a->letter && a->letter == b->letter);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(long_and_short_spellings, tear_down),
		cmocka_unit_test_teardown(flags_take_booleans, tear_down),
		cmocka_unit_test_teardown(operands_and_dashes, tear_down),
		cmocka_unit_test_teardown(the_first_operand_ends_the_options, tear_down),
		cmocka_unit_test_teardown(wrong_command_lines, tear_down),
		cmocka_unit_test(choices),
		cmocka_unit_test(the_tables_of_the_verbs_are_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
