/* SPDX-License-Identifier: Apache-2.0 */
/* policy.yaml: reading, the changes that commands make to it, and how the sources are joined. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "spec/spec.h"

static int parse(const char *text, struct spec_policy *ret, struct err *e)
{
	return spec_policy_parse(text, strlen(text), "p.yaml", ret, e);
}

static void reading(void **state)
{
	struct spec_policy p = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(parse("preset: locked\nallow:\n  - a.test # why\n  - \"*.b.test:8443\"\n"
			       "deny: [ads.test, '**.c.test GET /x/**']\n",
			       &p, &e),
			 0);
	assert_true(p.has_preset && p.preset == POLICY_LOCKED);
	assert_int_equal(p.allow.n, 2);
	assert_string_equal(p.allow.v[1], "*.b.test:8443");
	assert_string_equal(p.deny.v[1], "**.c.test GET /x/**");
	spec_policy_clear(&p);
	assert_int_equal(parse("", &p, &e), 0);
	assert_false(p.has_preset);
	assert_int_equal(parse("# nothing\nallow:\ndeny: []\n", &p, &e), 0);
	assert_int_equal(p.allow.n + p.deny.n, 0);
	spec_policy_clear(&p);
}

static void bad_files(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "allow:\n  - a.test\n  - \"*.com\"\n", "p.yaml:3: rule '*.com'" },
		{ "alow:\n  - a.test\n", "p.yaml:1: unknown field 'alow', did you mean 'allow'?" },
		{ "allow: a.test\n", "p.yaml:1: 'allow' must be a list" },
		{ "preset: shut\n", "p.yaml:1: 'preset' is 'shut'" },
		{ "\n- a.test\n", "p.yaml:2: a policy must be a mapping" },
		{ "allow:\n  - a.test\n  - [b.test]\n", "p.yaml:3:" },
		{ "allow:\n  - a.test get\n", "p.yaml:2: rule 'a.test get'" },
		{ "allow:\n  - *.b.test\n", "p.yaml:2:" },
	};
	struct spec_policy p = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = ERR_INIT;

		assert_int_equal(parse(cases[i].text, &p, &e), -EINVAL);
		if (strncmp(e.message, cases[i].message, strlen(cases[i].message)) != 0)
			fail_msg("%s: %s", cases[i].text, e.message);
		if (strchr(cases[i].text, '*') && !strchr(cases[i].text, '"'))
			assert_non_null(strstr(e.hint, "quotes"));
	}
}

static void changes(void **state)
{
	static const struct {
		const char *before;
		enum spec_policy_change what;
		const char *value, *after; /* NULL: refused, and unchanged */
	} cases[] = {
		{ "# mine\n", SPEC_POLICY_ALLOW, "a.test", "# mine\nallow:\n  - \"a.test\"\n" },
		{ "# no newline", SPEC_POLICY_ALLOW, "a.test",
		  "# no newline\nallow:\n  - \"a.test\"\n" },
		{ "allow:\n- a.test # one\n# two\n- b.test\n\n# last\ndeny:\n- c.test\n",
		  SPEC_POLICY_ALLOW, "d.test",
		  "allow:\n- a.test # one\n# two\n- b.test\n- \"d.test\"\n\n# last\ndeny:\n"
		  "- c.test\n" },
		{ "allow:\n    - a.test\ndeny: []  # none\n", SPEC_POLICY_DENY, "**.b.test",
		  "allow:\n    - a.test\ndeny: # none\n  - \"**.b.test\"\n" },
		{ "deny:\npreset: open\n", SPEC_POLICY_DENY, "b.test GET /\"x\"",
		  "deny:\n  - \"b.test GET /\\\"x\\\"\"\npreset: open\n" },
		{ "allow:\n  - a.test\n", SPEC_POLICY_ALLOW, "a.test", "allow:\n  - a.test\n" },
		{ "allow:\n  - A.test.\n", SPEC_POLICY_ALLOW, "a.test", "allow:\n  - A.test.\n" },
		{ "allow: [a.test]\n", SPEC_POLICY_ALLOW, "b.test", NULL },
		{ "{allow: []}\n", SPEC_POLICY_ALLOW, "b.test", NULL },
		{ "allow:\n  - a.test\n...\n", SPEC_POLICY_DENY, "b.test", NULL },
		{ "allow:\n  - a.test\n  # between\n  - B.TEST # bee\n  - c.test\n",
		  SPEC_POLICY_REMOVE, "b.test", "allow:\n  - a.test\n  # between\n  - c.test\n" },
		{ "allow:\n  - a.test\n", SPEC_POLICY_REMOVE, "a.test", "allow:\n" },
		{ "deny:\n  - \"*.com\"", SPEC_POLICY_REMOVE, "*.com", "deny:\n" },
		{ "allow: [a.test, b.test]\n", SPEC_POLICY_REMOVE, "a.test", NULL },
		{ "allow:\n  - a.test\n", SPEC_POLICY_REMOVE, "b.test", "allow:\n  - a.test\n" },
		{ "# top\n\nallow:\n  - a.test\n", SPEC_POLICY_PRESET, "open",
		  "# top\n\npreset: open\nallow:\n  - a.test\n" },
		{ "allow:\n  - a.test\npreset: open # why\n", SPEC_POLICY_PRESET, "locked",
		  "allow:\n  - a.test\npreset: locked # why\n" },
		{ "preset:\n  open\n", SPEC_POLICY_PRESET, "locked", NULL },
		{ "alow: []\n", SPEC_POLICY_PRESET, "locked", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_buf text = BUF_INIT;
		struct err e = ERR_INIT;
		bool changed = false;
		int r;

		buf_puts(&text, cases[i].before);
		r = spec_policy_edit(&text, "p.yaml", cases[i].what, cases[i].value, &changed, &e);
		if ((r == 0) != (cases[i].after != NULL))
			fail_msg("case %zu: %d %s", i, r, e.message);
		if (strcmp(buf_str(&text), cases[i].after ? cases[i].after : cases[i].before) != 0)
			fail_msg("case %zu:\n%s", i, buf_str(&text));
		if (r == 0)
			assert_int_equal(changed, strcmp(cases[i].before, cases[i].after) != 0);
		else
			assert_int_equal(strncmp(e.message, "p.yaml", 6), 0);
	}
}

static void a_new_file_says_what_it_is(void **state)
{
	auto_buf text = BUF_INIT;
	struct spec_policy p = { 0 };
	bool changed = false;

	(void)state;
	assert_int_equal(
		spec_policy_edit(&text, "p.yaml", SPEC_POLICY_PRESET, "audit", &changed, NULL), 0);
	assert_true(changed && text.data[0] == '#');
	assert_int_equal(
		spec_policy_edit(&text, "p.yaml", SPEC_POLICY_DENY, "a.test", &changed, NULL), 0);
	assert_int_equal(parse(buf_str(&text), &p, NULL), 0);
	assert_true(p.preset == POLICY_AUDIT && p.deny.n == 1 && p.allow.n == 0);
	spec_policy_clear(&p);
}

static void sources_are_joined(void **state)
{
	struct spec_policy user = { .has_preset = true, .preset = POLICY_OPEN };
	struct spec_policy own = { 0 };
	char fixed[] = "allow kit.test\tkit x\n";
	struct spec_rules_base b = { .preset = POLICY_LOCKED, .fixed = fixed };
	auto_buf out = BUF_INIT;

	(void)state;
	strv_add(&user.allow, "u.test");
	strv_add(&own.deny, "u.test");
	assert_int_equal(spec_rules_join(&b, &user, &own, &out, NULL), 0);
	/* An option counts more than the user's file. */
	assert_string_equal(buf_str(&out), "allow u.test\tpolicy.yaml\n"
					   "deny u.test\tpolicy.yaml of the sandbox\n"
					   "allow kit.test\tkit x\n");
	b.preset_default = true;
	assert_int_equal(spec_rules_preset(&b, &user, &own), POLICY_OPEN);
	own.has_preset = true;
	own.preset = POLICY_BALANCED;
	assert_int_equal(spec_rules_preset(&b, &user, &own), POLICY_BALANCED);
	b.preset_default = false;
	assert_int_equal(spec_rules_preset(&b, &user, &own), POLICY_BALANCED);
	own.preset = POLICY_AUDIT;
	buf_reset(&out);
	assert_int_equal(spec_rules_join(&b, &user, &own, &out, NULL), 0);
	assert_non_null(strstr(buf_str(&out), "\naudit\n"));
	spec_policy_clear(&user);
	spec_policy_clear(&own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading),
		cmocka_unit_test(bad_files),
		cmocka_unit_test(changes),
		cmocka_unit_test(a_new_file_says_what_it_is),
		cmocka_unit_test(sources_are_joined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
