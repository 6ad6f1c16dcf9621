/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential_rules_test: every combination of what the two copies of a credential file may be, and
 * what a box may renew of the host's own.
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

/* Contents by letter: - absent, ? damaged, ! unusable, others equal when the letter is. The base: -
 * none. A damaged store is like an unusable one. */
struct row {
	const char *what; /* home, store, base */
	enum credential_action volume, volume_start, host, host_start;
};

#define NOTHING	     CREDENTIAL_NOTHING
#define SAME	     CREDENTIAL_SAME
#define TO_STORE     CREDENTIAL_TO_STORE
#define TO_HOME	     CREDENTIAL_TO_HOME
#define REMOVE_STORE CREDENTIAL_REMOVE_STORE
#define REMOVE_HOME  CREDENTIAL_REMOVE_HOME
#define RENEW	     CREDENTIAL_RENEW

/* clang-format off: a table. */
static const struct row rows[] = {
	{ "---", SAME, SAME, SAME, SAME },
	{ "--a", SAME, SAME, SAME, SAME },
	{ "-b-", TO_HOME, TO_HOME, TO_HOME, TO_HOME },
	{ "-aa", REMOVE_STORE, TO_HOME, NOTHING, TO_HOME },
	{ "-ba", TO_HOME, TO_HOME, TO_HOME, TO_HOME },
	{ "-!-", NOTHING, NOTHING, NOTHING, NOTHING },
	{ "-!a", NOTHING, NOTHING, NOTHING, NOTHING },
	{ "b--", TO_STORE, TO_STORE, NOTHING, NOTHING },
	{ "a-a", REMOVE_HOME, REMOVE_HOME, REMOVE_HOME, REMOVE_HOME },
	{ "b-a", TO_STORE, TO_STORE, NOTHING, NOTHING },
	{ "bb-", SAME, SAME, SAME, SAME },
	{ "aaa", SAME, SAME, SAME, SAME },
	{ "bba", SAME, SAME, SAME, SAME },
	{ "bc-", TO_STORE, TO_HOME, TO_HOME, TO_HOME },
	{ "aba", TO_HOME, TO_HOME, TO_HOME, TO_HOME },
	{ "baa", TO_STORE, TO_STORE, RENEW, RENEW },
	{ "bca", TO_STORE, TO_HOME, TO_HOME, TO_HOME },
	{ "b!-", TO_STORE, TO_STORE, NOTHING, NOTHING },
	{ "a!a", TO_STORE, TO_STORE, NOTHING, NOTHING },
	{ "b!a", TO_STORE, TO_STORE, NOTHING, NOTHING },
	{ "!--", NOTHING, NOTHING, NOTHING, NOTHING },
	{ "!-a", NOTHING, NOTHING, NOTHING, NOTHING },
	{ "!b-", NOTHING, NOTHING, NOTHING, NOTHING },
	{ "!aa", NOTHING, NOTHING, NOTHING, NOTHING },
	{ "!ba", NOTHING, NOTHING, NOTHING, NOTHING },
	{ "!!-", NOTHING, NOTHING, NOTHING, NOTHING },
	{ "!!a", NOTHING, NOTHING, NOTHING, NOTHING },
};
/* clang-format on */

static enum credential_state state_of(char c)
{
	return c == '-' ? CREDENTIAL_ABSENT : c == '!' ? CREDENTIAL_UNUSABLE : CREDENTIAL_CONTENT;
}

static struct credential_view view_of(const char *what, bool starting, bool host)
{
	bool home = state_of(what[0]) == CREDENTIAL_CONTENT;
	bool store = state_of(what[1]) == CREDENTIAL_CONTENT;

	return (struct credential_view){ .home = state_of(what[0]),
					 .store = state_of(what[1]),
					 .equal = home && store && what[0] == what[1],
					 .home_is_base = home && what[0] == what[2],
					 .store_is_base = store && what[1] == what[2],
					 .settled = true,
					 .starting = starting,
					 .host = host };
}

static void test_every_combination(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const enum credential_action want[] = { rows[i].volume, rows[i].volume_start,
							rows[i].host, rows[i].host_start };

		for (int k = 0; k < 4; k++) {
			struct credential_view v = view_of(rows[i].what, k & 1, k & 2);

			if (credential_decide(&v) != want[k])
				fail_msg("%s, column %d: %d instead of %d", rows[i].what, k,
					 credential_decide(&v), want[k]);
			if (v.store == CREDENTIAL_UNUSABLE) {
				v.store = CREDENTIAL_DAMAGED;
				assert_int_equal(credential_decide(&v), want[k]);
			}
			/* What has not come to rest is left alone. */
			v.settled = false;
			assert_int_equal(credential_decide(&v), CREDENTIAL_NOTHING);
		}
	}
}

/* The table above is complete: every view that can be is one of its rows. */
static void test_table_is_complete(void **state)
{
	static const char contents[] = "-?!abc";
	static const char bases[] = "-a";

	(void)state;
	for (const char *h = contents; *h; h++) {
		for (const char *s = contents; *s; s++) {
			for (const char *b = bases; *b; b++) {
				const char what[] = { *h, *s == '?' ? '!' : *s, *b, '\0' };
				struct credential_view v = view_of(what, false, false);
				bool found = false;

				for (size_t i = 0; i < ARRAY_SIZE(rows) && !found; i++) {
					struct credential_view w =
						view_of(rows[i].what, false, false);

					found = memcmp(&v, &w, sizeof(v)) == 0 &&
						(rows[i].what[2] == '-') == (*b == '-');
				}
				if (!found)
					fail_msg("no row like %s", what);
			}
		}
	}
}

/* A file that the kit writes is no login: it neither goes out nor takes one away. */
static void test_seeds(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (int k = 0; k < 4; k++) {
			struct credential_view v = view_of(rows[i].what, k & 1, k & 2);
			enum credential_action got;

			if (v.home != CREDENTIAL_CONTENT)
				continue;
			v.seed = true;
			got = credential_decide(&v);
			if (v.equal)
				assert_int_equal(got, CREDENTIAL_SAME);
			else
				assert_int_equal(got, v.store == CREDENTIAL_CONTENT
							      ? CREDENTIAL_TO_HOME
							      : CREDENTIAL_NOTHING);
		}
	}
}

/* --- renewal ------------------------------------------------------------------------------------
 */

static int renewal(const char *old, const char *new, struct buf *out)
{
	buf_reset(out);
	return credential_renewal(old, strlen(old), new, strlen(new), out);
}

#define CLAUDE(access, refresh, expires, scope)                                                    \
	"{\"claudeAiOauth\":{\"accessToken\":" access ",\"refreshToken\":" refresh                 \
	",\"expiresAt\":" expires ",\"scopes\":[\"user:inference\"," scope                         \
	"],\"subscriptionType\":\"max\"}}"
#define OLD CLAUDE("\"a\"", "\"r\"", "1", "\"s\"")

static void test_renewed(void **state)
{
	auto_buf out = BUF_INIT;

	(void)state;
	assert_int_equal(renewal(OLD, CLAUDE("\"b\"", "\"q\"", "2", "\"s\""), &out), 0);
	assert_string_equal(buf_str(&out), CLAUDE("\"b\"", "\"q\"", "2", "\"s\""));
	assert_int_equal(renewal(OLD, CLAUDE("\"a\"", "\"r\"", "2", "\"s\""), &out), 0);
	/* Another order and other blanks are the same document. */
	assert_int_equal(renewal("{\"x\":1,\"access_token\":\"a\"}",
				 " { \"access_token\" : \"b\", \"x\" : 1 } ", &out),
			 0);
	/* Written as the host's own was: on one line, or on many. */
	assert_null(strchr(buf_str(&out), '\n'));
	assert_int_equal(renewal("{\n\"token\":\"a\"}", "{\"token\":\"b\"}", &out), 0);
	assert_non_null(strchr(buf_str(&out), '\n'));
	assert_int_equal(renewal("{\"tokens\":{\"id_token\":\"a.b-_c\"},\"last_refresh\":"
				 "\"2026-01-01T00:00:00.1Z\"}",
				 "{\"tokens\":{\"id_token\":\"d.e-_f\"},\"last_refresh\":"
				 "\"2026-01-02T00:00:00.1Z\"}",
				 &out),
			 0);
	/* Tokens in a list. */
	assert_int_equal(renewal("{\"TOKENS\":[\"a\",\"b\"]}", "{\"TOKENS\":[\"a\",\"c\"]}", &out),
			 0);
	assert_int_equal(renewal(OLD, OLD, &out), -EALREADY);
	assert_int_equal(renewal(OLD, " " OLD, &out), -EALREADY);
	assert_int_equal(out.len, 0);
}

static void test_not_renewed(void **state)
{
	static const char *const bad[][2] = {
		{ OLD, CLAUDE("\"a\"", "\"r\"", "1", "\"other\"") },
		{ OLD, CLAUDE("\"a\"", "\"r\"", "\"1\"", "\"s\"") },
		{ OLD, CLAUDE("[\"a\"]", "\"r\"", "1", "\"s\"") },
		{ OLD, CLAUDE("null", "\"r\"", "1", "\"s\"") },
		{ OLD, CLAUDE("\"\"", "\"r\"", "1", "\"s\"") },
		{ OLD, CLAUDE("\"a\\nb\"", "\"r\"", "1", "\"s\"") },
		{ OLD, CLAUDE("\"a\\u0000b\"", "\"r\"", "1", "\"s\"") },
		{ OLD, CLAUDE("\"\\u00e4\"", "\"r\"", "1", "\"s\"") },
		{ OLD, CLAUDE("\"https://evil.example\"", "\"r\"", "1", "\"s\"") },
		{ OLD, CLAUDE("\"a\"", "\"r\"", "1", "\"s\",\"t\"") },
		{ OLD, "{\"claudeAiOauth\":{}}" },
		{ OLD, "{}" },
		{ OLD, "[]" },
		{ OLD, "null" },
		{ "{\"token\":\"a\"}", "{\"token\":\"b\",\"hooks\":{}}" },
		{ "{\"token\":\"a\",\"x\":1}", "{\"token\":\"b\"}" },
		{ "{\"token\":\"a\",\"x\":1}", "{\"token\":\"b\",\"y\":1}" },
		{ "{\"token\":\"a\",\"x\":null}", "{\"token\":\"b\",\"y\":null}" },
		{ "{\"token\":true}", "{\"token\":false}" },
		{ "{\"token_uri\":\"a\"}", "{\"token_uri\":\"b\"}" },
		{ "{\"tokenEndpoint\":\"a\"}", "{\"tokenEndpoint\":\"b\"}" },
		{ "{\"token_type\":\"a\"}", "{\"token_type\":\"b\"}" },
		{ "{\"refreshCommand\":\"a\"}", "{\"refreshCommand\":\"b\"}" },
		{ "{\"token_helper\":\"a\"}", "{\"token_helper\":\"b\"}" },
		{ "{\"apiKeyHelper\":\"a\"}", "{\"apiKeyHelper\":\"b\"}" },
		{ "{\"OPENAI_API_KEY\":\"a\"}", "{\"OPENAI_API_KEY\":\"b\"}" },
		{ "{\"tokens\":{\"account_id\":\"a\"}}", "{\"tokens\":{\"account_id\":\"b\"}}" },
		{ "\"a\"", "\"b\"" },
	};
	static const char *const broken[][2] = {
		{ OLD, "" },	  { OLD, "{" }, { OLD, "{\"a\":1,\"a\":2}" },
		{ OLD, "{} {}" }, { "", OLD },	{ "x", OLD },
	};
	auto_buf out = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (renewal(bad[i][0], bad[i][1], &out) != -EPERM)
			fail_msg("taken: %s", bad[i][1]);
		assert_int_equal(out.len, 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++)
		assert_int_equal(renewal(broken[i][0], broken[i][1], &out), -EBADMSG);
}

static void test_complete(void **state)
{
	static const char *const good[] = { "{}", "[]", "{\"a\":{\"b\":[1,null]}}\n" };
	static const char *const bad[] = { "", "{", "{\"a\":", "{}x", "null", "1", "\"\"", "nul" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_null(credential_check("a/b.json", good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_non_null(credential_check("b.json", bad[i], strlen(bad[i])));
	assert_null(credential_check("token", "x", 1));
	assert_non_null(credential_check("token", "", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_combination),
		cmocka_unit_test(test_table_is_complete),
		cmocka_unit_test(test_seeds),
		cmocka_unit_test(test_renewed),
		cmocka_unit_test(test_not_renewed),
		cmocka_unit_test(test_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
