/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec.json and sessions: what is written is read back the same, and what is damaged is refused
 * with the member's name.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"
#include "spec/spec_internal.h"

static const char full[] =
	"{\"version\":1,\"id\":\"0123456789abcdef0123456789abcdef\",\"name\":\"claude-x\","
	"\"named\":true,\"agent\":\"claude\",\"created_at\":1700000000,\"hide\":[\"/w/.env\"],"
	"\"env\":[\"A=1\",\"B=\"],\"credentials\":\"host\","
	"\"agent_config\":\"copy\",\"kits\":[\"lint\"],\"kit_args\":[\"n=1\"],\"docker_socket\":"
	"true,"
	"\"network\":\"locked\",\"network_default\":true,"
	"\"allow_hosts\":[\"example.org:443\"],\"deny_hosts\":[\"**.example.com\"],"
	"\"labels\":[\"com.docker.sandbox.agent=claude\"],"
	"\"template\":{\"kind\":\"dir\",\"ref\":\"dir:/srv/r\",\"path\":\"/srv/"
	"r\",\"digest\":null},"
	"\"workspaces\":[{\"path\":\"/w\",\"dev\":2049,\"ino\":18446744073709551615,"
	"\"readonly\":false},{\"path\":\"/w two\",\"dev\":1,\"ino\":2,\"readonly\":true}],"
	"\"volumes\":[{\"source\":\"/s\",\"target\":\"/t\",\"readonly\":true,\"is_dir\":false,"
	"\"dev\":3,\"ino\":4}],"
	"\"ports\":[{\"ip\":null,\"host\":8080,\"port\":3000,\"assigned\":0,\"name\":null}],"
	"\"limits\":{\"cpu_milli\":1500,\"memory\":1073741824,\"pids\":100,\"disk\":0}}";

static struct spec *read_spec(const char *text, struct err *e)
{
	struct json *j = NULL;
	struct spec *s = NULL;

	assert_int_equal(json_parse(text, strlen(text), &j, e), 0);
	(void)spec_from_json(j, &s, e);
	json_unref(j);
	return s;
}

static void test_round_trip(void **state)
{
	struct err e = ERR_INIT;
	struct spec *s = read_spec(full, &e);
	auto_buf out = BUF_INIT;
	struct json *j;

	(void)state;
	if (!s)
		fail_msg("%s", e.message);
	assert_true(s->named);
	assert_int_equal(s->credentials, SPEC_CREDENTIALS_HOST);
	assert_int_equal(s->network, POLICY_LOCKED);
	assert_true(s->network_default);
	assert_int_equal(s->nworkspaces, 2);
	assert_true(s->workspaces[0].ino == UINT64_MAX);
	assert_true(s->workspaces[1].readonly);
	assert_int_equal(s->limits.cpu_milli, 1500);
	assert_string_equal(s->env.v[1], "B=");
	j = spec_to_json(s);
	json_write(j, false, &out);
	assert_string_equal(buf_str(&out), full);
	json_unref(j);
	spec_free(s);
}

static void test_unknown_member(void **state)
{
	auto_free char *text = xasprintf("{\"future\":{\"x\":[]},%s", full + 1);
	struct err e = ERR_INIT;
	struct spec *s = read_spec(text, &e);

	(void)state;
	assert_non_null(s);
	spec_free(s);
}

/* `full` with one text in it replaced. */
static char *replaced(const char *from, const char *to)
{
	const char *at = strstr(full, from);

	assert_non_null(at);
	return xasprintf("%.*s%s%s", (int)(at - full), full, to, at + strlen(from));
}

static void test_damaged(void **state)
{
	static const struct {
		const char *from, *to, *member;
	} cases[] = {
		{ "\"version\":1", "\"version\":2", "'version'" },
		{ "\"version\":1", "\"version\":\"1\"", "'version'" },
		{ "0123456789abcdef0123456789abcdef", "../../../etc", "'id'" },
		{ "0123456789abcdef0123456789abcdef", "0123456789ABCDEF0123456789abcdef", "'id'" },
		{ "\"name\":\"claude-x\"", "\"name\":\"../x\"", "'name'" },
		{ "\"name\":\"claude-x\"", "\"name\":7", "'name'" },
		{ "\"name\":\"claude-x\",", "", "'name'" },
		{ "\"agent\":\"claude\"", "\"agent\":null", "'agent'" },
		{ "\"named\":true", "\"named\":1", "'named'" },
		{ "1700000000", "-1", "'created_at'" },
		{ "1700000000", "9223372036854775808", "'created_at'" },
		{ "[\"/w/.env\"]", "[\"w/.env\"]", "'hide'" },
		{ "[\"/w/.env\"]", "[\"/w/../x\"]", "'hide'" },
		{ "[\"/w/.env\"]", "\"/w/.env\"", "'hide'" },
		{ "[\"/w/.env\"]", "[1]", "'hide'" },
		{ "\"B=\"", "\"B\"", "'env'" },
		{ "\"B=\"", "\"1B=\"", "'env'" },
		{ "\"B=\"", "\"=\"", "'env'" },
		{ "\"host\"", "\"none \"", "'credentials'" },
		{ "\"host\"", "0", "'credentials'" },
		{ "\"locked\"", "\"shut\"", "'network'" },
		{ "example.org:443", "example.org:0", "example.org:0" },
		{ "com.docker.sandbox.agent=", "", "'labels'" },
		{ "\"kind\":\"dir\"", "\"kind\":\"vm\"", "'kind'" },
		{ "\"path\":\"/srv/r\"", "\"path\":null", "'path'" },
		{ "\"path\":\"/srv/r\"", "\"path\":\"srv\"", "'path'" },
		{ "\"path\":\"/w\"", "\"path\":\"/w/\"", "'path'" },
		{ "\"dev\":2049", "\"dev\":\"2049\"", "'dev'" },
		{ "18446744073709551615", "-1", "'ino'" },
		{ "\"is_dir\":false,", "", "'is_dir'" },
		{ "\"target\":\"/t\"", "\"target\":\"t\"", "'target'" },
		{ "\"pids\":100", "\"pids\":1.5", "'pids'" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *text = replaced(cases[i].from, cases[i].to);
		struct err e = ERR_INIT;
		struct spec *s;

		s = read_spec(text, &e);
		if (s || !strstr(e.message, cases[i].member))
			fail_msg("%s -> %s: '%s'", cases[i].from, cases[i].to, e.message);
	}
}

static void test_no_workspace(void **state)
{
	const char *at = strstr(full, "\"workspaces\":[");
	const char *end = strstr(full, "\"volumes\"");
	auto_free char *text = xasprintf("%.*s%s", (int)(at - full), full, end);
	struct err e = ERR_INIT;

	(void)state;
	assert_null(read_spec(text, &e));
	assert_non_null(strstr(e.message, "'workspaces'"));
}

static void test_not_an_object(void **state)
{
	static const char *const texts[] = { "[]", "1", "\"x\"", "{}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct err e = ERR_INIT;

		assert_null(read_spec(texts[i], &e));
		assert_int_equal(e.code, -EINVAL);
		assert_int_equal(e.kind, ERR_CORRUPT);
	}
}

static void test_any_bytes(void **state)
{
	struct spec_session s = { .kind = SPEC_SESSION_EXEC,
				  .cwd = xstrdup("/w"),
				  .tty = true,
				  .rows = 24,
				  .cols = 65535 };
	struct spec_session back = { 0 };
	struct err e = ERR_INIT;
	auto_buf text = BUF_INIT;
	struct json *j, *parsed = NULL;

	(void)state;
	strv_add(&s.argv, "printf");
	strv_add(&s.argv, "\xff\x01 {\"hex\":\"41\"}");
	strv_add(&s.argv, "");
	strv_add(&s.env, "A=\xc3\x28");
	strv_add(&s.env, "B=\xc3\xa4\n");
	j = spec_session_to_json(&s);
	json_write(j, false, &text);
	assert_int_equal(json_parse(buf_str(&text), text.len, &parsed, &e), 0);
	if (spec_session_from_json(parsed, &back, &e) < 0)
		fail_msg("%s", e.message);
	assert_int_equal(back.kind, SPEC_SESSION_EXEC);
	assert_int_equal(back.argv.n, 3);
	assert_string_equal(back.argv.v[1], s.argv.v[1]);
	assert_string_equal(back.argv.v[2], "");
	assert_string_equal(back.env.v[0], s.env.v[0]);
	assert_string_equal(back.env.v[1], s.env.v[1]);
	assert_null(back.user);
	assert_true(back.tty);
	assert_false(back.interactive);
	assert_int_equal(back.cols, 65535);
	json_unref(j);
	json_unref(parsed);
	spec_session_clear(&s);
	spec_session_clear(&back);
}

static void test_bad_sessions(void **state)
{
	static const char *const texts[] = {
		"{\"kind\":\"exec\",\"argv\":[],\"cwd\":\"/\"}",
		"{\"kind\":\"exec\",\"cwd\":\"/\"}",
		"{\"kind\":\"other\",\"argv\":[\"x\"],\"cwd\":\"/\"}",
		"{\"kind\":\"exec\",\"argv\":[\"x\"],\"cwd\":\"rel\"}",
		"{\"kind\":\"exec\",\"argv\":[\"x\"],\"cwd\":\"/\",\"rows\":65536}",
		"{\"kind\":\"exec\",\"argv\":[{\"hex\":\"4\"}],\"cwd\":\"/\"}",
		"{\"kind\":\"exec\",\"argv\":[{\"hex\":\"4100\"}],\"cwd\":\"/\"}",
		"{\"kind\":\"exec\",\"argv\":[{\"hex\":\"zz\"}],\"cwd\":\"/\"}",
		"{\"kind\":\"exec\",\"argv\":[\"x\"],\"env\":[\"NOEQ\"],\"cwd\":\"/\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct spec_session s = { 0 };
		struct err e = ERR_INIT;
		struct json *j = NULL;

		assert_int_equal(json_parse(texts[i], strlen(texts[i]), &j, &e), 0);
		assert_int_equal(spec_session_from_json(j, &s, &e), -EINVAL);
		assert_null(s.argv.v);
		json_unref(j);
	}
}

static void test_credentials(void **state)
{
	enum spec_credentials c = SPEC_CREDENTIALS_MAX;

	(void)state;
	for (unsigned i = 0; i < SPEC_CREDENTIALS_MAX; i++) {
		const char *name = spec_credentials_name((enum spec_credentials)i);

		assert_int_equal(spec_credentials_parse(name, &c), 0);
		assert_int_equal(c, i);
	}
	assert_int_equal(spec_credentials_parse("Host", &c), -EINVAL);
	assert_int_equal(spec_credentials_parse("", &c), -EINVAL);
}

static void test_free_null(void **state)
{
	(void)state;
	spec_free(NULL);
	spec_free(spec_new());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_unknown_member),
		cmocka_unit_test(test_damaged),	      cmocka_unit_test(test_no_workspace),
		cmocka_unit_test(test_not_an_object), cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_bad_sessions),  cmocka_unit_test(test_credentials),
		cmocka_unit_test(test_free_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
