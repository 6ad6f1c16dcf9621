/* SPDX-License-Identifier: Apache-2.0 */
/* Methods and paths in rules, and the set that audits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "policy/policy.h"

static struct policy_verdict decide(bool allow, const char *rule, const char *method,
				    const char *path)
{
	struct policy_rules *r = policy_rules_new();
	struct policy_host h;
	struct policy_verdict v;
	struct err e = ERR_INIT;
	struct policy_request q = { method, method ? strlen(method) : 0, path,
				    path ? strlen(path) : 0 };

	/* With a deny, everything else is allowed. */
	if (!allow)
		assert_int_equal(policy_rules_add(r, true, "a.test", "test", NULL), 0);
	if (policy_rules_add(r, allow, rule, "test", &e) != 0)
		fail_msg("%s", e.message);
	assert_int_equal(policy_host_parse("a.test", 6, &h, NULL), 0);
	policy_decide(r, &h, 80, method ? &q : NULL, &v);
	policy_rules_free(r);
	return v;
}

static void methods_and_paths(void **state)
{
	static const struct {
		const char *rule, *method, *path;
		bool matches;
	} cases[] = {
		{ "a.test GET", "GET", "/", true },
		{ "a.test GET", "GET", "/any/../thing", true }, /* the path is not looked at */
		{ "a.test GET", "POST", "/", false },
		{ "a.test GET", "get", "/", false },
		{ "a.test GET", "GE", "/", false },
		{ "a.test GET", "GETX", "/", false },
		{ "a.test GET,HEAD", "HEAD", "/", true },
		{ "a.test GET,HEAD", "GET,HEAD", "/", false },
		{ "a.test /repos/**", "PUT", "/repos/", true },
		{ "a.test /repos/**", "PUT", "/repos/a/b", true },
		{ "a.test /repos/**", "PUT", "/repos", false },
		{ "a.test /repos/**", "PUT", "/reposX/a", false },
		{ "a.test GET /repos/*/tags", "GET", "/repos/a/tags", true },
		{ "a.test GET /repos/*/tags", "GET", "/repos/a/b/tags", false },
		{ "a.test GET /repos/*/tags", "GET", "/repos//tags", false },
		{ "a.test GET /repos/*/tags", "POST", "/repos/a/tags", false },
		{ "a.test /**/x", "GET", "/a/b/x", true },
		{ "a.test /**/x", "GET", "/a/b/x/y", false },
		{ "a.test /a*c*/**/z", "GET", "/abcd/e/f/z", true },
		{ "a.test /a*c*/**/z", "GET", "/abd/e/f/z", false },
		{ "a.test /**a*b/c", "GET", "/xa/ab/c", true },
		{ "a.test /v1/%7Euser", "GET", "/v1/~user", true },
		{ "a.test /v1/~user", "GET", "/v1/%7euser", true },
		{ "a.test /v1/a%20b", "GET", "/v1/a%20b", true },
		{ "a.test /", "GET", "/", true },
		{ "a.test /", "GET", "/x", false },
		{ "a.test /**", "GET", "/", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (decide(true, cases[i].rule, cases[i].method, cases[i].path).allow !=
		    cases[i].matches)
			fail_msg("allow %s: %s %s", cases[i].rule, cases[i].method, cases[i].path);
		if (decide(false, cases[i].rule, cases[i].method, cases[i].path).allow ==
			    cases[i].matches &&
		    strstr(cases[i].path, "//") == NULL)
			fail_msg("deny %s: %s %s", cases[i].rule, cases[i].method, cases[i].path);
	}
}

/* What servers may read in two ways is allowed by no rule about paths, and denied by every one. */
static void ambiguous_paths(void **state)
{
	static const char *const paths[] = {
		"/repos/../secret",
		"/repos/./x",
		"/repos/..",
		"/repos/.",
		"/repos//x",
		"//repos/x",
		"/repos/%2e%2e/x",
		"/repos/%2E./x",
		"/repos/a%2fb",
		"/repos/a%5cb",
		"/repos/a\\b",
		"/repos/%00",
		"/repos/%zz",
		"/repos/%2",
		"/repos/%",
		"/repos/%252e/x",
		"/repos/..;a/x",
		"/repos/.;/x",
		"repos/x",
		"*",
		"",
		"/repos/\xc3\xbc",
		"/repos/a b",
	};

	(void)state;
	assert_true(decide(true, "a.test /repos/**", "GET", "/repos/x").allow);
	assert_true(decide(false, "a.test /other/**", "GET", "/repos/x").allow);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		if (decide(true, "a.test /**", "GET", paths[i]).allow)
			fail_msg("allowed: %s", paths[i]);
		if (decide(false, "a.test /other/**", "GET", paths[i]).allow)
			fail_msg("not denied: %s", paths[i]);
		/* another method is another request, however it is read */
		assert_true(decide(false, "a.test PUT /other/**", "GET", paths[i]).allow);
	}
}

static void what_is_not_looked_into(void **state)
{
	struct policy_verdict v = decide(true, "a.test GET", NULL, NULL);

	(void)state;
	assert_false(v.allow);
	assert_non_null(strstr(v.reason, "not looked into"));
	assert_false(decide(false, "a.test GET", NULL, NULL).allow);
	v = decide(true, "a.test GET", "POST", "/");
	assert_non_null(strstr(v.reason, "other requests"));
}

static void canonical_text(void **state)
{
	static const struct {
		const char *rule, *canonical; /* NULL: refused */
	} cases[] = {
		{ "A.test", "a.test" },
		{ "a.test  GET,HEAD  /x", "a.test GET,HEAD /x" },
		{ "a.test get", NULL },
		{ "a.test:8080 /x/%7ey ", "a.test:8080 /x/~y" },
		{ "a.test /x/%c3%bc", "a.test /x/%C3%BC" },
		{ "10.0.0.0/8:80 GET", "10.0.0.0/8:80 GET" },
		{ "localhost:8080 M-SEARCH", "localhost:8080 M-SEARCH" },
		{ "a.test GET,", NULL },
		{ "a.test ,GET", NULL },
		{ "a.test GET POST", NULL },
		{ "a.test /x GET", NULL },
		{ "a.test x/y", NULL },
		{ "a.test /x?y", NULL },
		{ "a.test /x/../y", NULL },
		{ "a.test /x/***", NULL },
		{ "a.test /\t", NULL },
		{ " a.test", NULL },
		{ "GET", "get" }, /* a host */
	};
	char text[POLICY_RULE_MAX], long_path[400] = "a.test /";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = ERR_INIT;
		int r = policy_rule_canonical(true, cases[i].rule, text, &e);

		if (!cases[i].canonical)
			assert_int_equal(r, -EINVAL);
		else if (r != 0 || strcmp(text, cases[i].canonical) != 0)
			fail_msg("%s: %s %s", cases[i].rule, text, e.message);
		if (r == 0)
			assert_int_equal(policy_rule_has_request(text),
					 strchr(cases[i].canonical, ' ') != NULL);
	}
	memset(long_path + strlen(long_path), 'x', 300);
	assert_int_equal(policy_rule_canonical(true, long_path, text, NULL), -EINVAL);
}

static struct policy_verdict audited(const struct policy_rules *r, const char *host, uint16_t port)
{
	struct policy_verdict v;
	struct policy_host h;

	assert_int_equal(policy_host_parse(host, strlen(host), &h, NULL), 0);
	policy_decide(r, &h, port, NULL, &v);
	return v;
}

static void an_audit_lets_pass_what_open_would(void **state)
{
	struct policy_rules *r = policy_rules_new(), *again = NULL;
	struct policy_verdict v;
	struct buf text = BUF_INIT;

	(void)state;
	assert_int_equal(policy_rules_add_preset(r, POLICY_AUDIT, NULL), 0);
	assert_int_equal(policy_rules_add(r, false, "bad.test", "--deny-host", NULL), 0);
	policy_rules_write(r, &text);
	assert_int_equal(policy_rules_read(text.data, text.len, &again, NULL), 0);
	assert_true(policy_rules_audit(again));
	v = audited(again, "python.org", 443);
	assert_true(v.allow && !v.would_deny);
	assert_string_equal(v.origin, "preset balanced");
	v = audited(again, "unknown.test", 22);
	assert_true(v.allow && v.would_deny);
	assert_string_equal(v.reason, "no rule allows it");
	assert_string_equal(v.rule, "");
	assert_false(audited(again, "bad.test", 443).allow);
	assert_false(audited(again, "192.0.2.1", 443).allow); /* as with open */
	assert_false(audited(again, "printer.local", 443).allow);
	assert_false(audited(again, "host.ward.internal", 443).allow);
	policy_rules_free(r);
	policy_rules_free(again);
	buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(methods_and_paths),
		cmocka_unit_test(ambiguous_paths),
		cmocka_unit_test(what_is_not_looked_into),
		cmocka_unit_test(canonical_text),
		cmocka_unit_test(an_audit_lets_pass_what_open_would),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
