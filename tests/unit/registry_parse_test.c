/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry demands, to whom credentials may go, and where they are found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "image/registry_internal.h"

static void challenges(void **state)
{
	static const struct {
		const char *value;
		enum registry_scheme scheme;
		const char *realm, *service;
	} cases[] = {
		{ "Basic realm=\"r\"", REGISTRY_BASIC, "r", NULL },
		{ "basic", REGISTRY_BASIC, NULL, NULL },
		{ "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull\"",
		  REGISTRY_BEARER, "https://a/t", "s" },
		{ "BEARER  Realm = \"https://a/t\" , service=s", REGISTRY_BEARER, "https://a/t",
		  "s" },
		{ "Bearer realm=\"a\\\"b,c=d\"", REGISTRY_BEARER, "a\"b,c=d", NULL },
		{ "Basic realm=\"x\", Bearer realm=\"y\"", REGISTRY_BEARER, "y", NULL },
		{ "Bearer realm=\"y\", Basic realm=\"x\"", REGISTRY_BEARER, "y", NULL },
		{ "Bearer realm=\"y\",realm=\"z\"", REGISTRY_BEARER, "y", NULL },
		{ "Negotiate abc==, Basic realm=\"x\"", REGISTRY_BASIC, "x", NULL },
		{ "Bearer service=\"s\"", REGISTRY_ANONYMOUS, NULL, NULL },
		{ "Digest realm=\"x\", nonce=\"y\"", REGISTRY_ANONYMOUS, NULL, NULL },
		{ "", REGISTRY_ANONYMOUS, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct registry_challenge c = { 0 };

		assert_int_equal(registry_challenge_parse(cases[i].value, &c), 0);
		assert_int_equal(c.scheme, cases[i].scheme);
		if (c.scheme == REGISTRY_BEARER)
			assert_string_equal(c.realm, cases[i].realm);
		if (cases[i].service)
			assert_string_equal(c.service, cases[i].service);
		else
			assert_null(c.service);
		registry_challenge_clear(&c);
	}
}

static void bad_challenges(void **state)
{
	static const char *const cases[] = {
		"Bearer realm=\"x",
		"Bearer realm=\"x\\",
		"Bearer realm=\"a\nb\"",
		"Bearer realm=(x)",
		"\"x\"",
		"Bearer realm=\"a\x7f\"",
		"Bearer realm=\"x\" (",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct registry_challenge c = { 0 };

		assert_int_equal(registry_challenge_parse(cases[i], &c), -EBADMSG);
		assert_int_equal(c.scheme, REGISTRY_ANONYMOUS);
	}
}

static void realms(void **state)
{
	static const struct {
		const char *realm, *base;
		bool ok;
	} cases[] = {
		{ "https://auth.example/token", "https://r.example", true },
		{ "http://r.example/token", "https://r.example", false },
		{ "http://r.example:81/token", "http://r.example", true },
		{ "http://other.example/token", "http://r.example", false },
		{ "http://127.0.0.1:1/t", "http://127.0.0.1:2", true },
		{ "http://127.0.0.1:1/t", "http://localhost:2", false },
		{ "http://r.example@evil.example/", "http://r.example", false },
		{ "http://r.example\\@evil.example/", "http://r.example", false },
		{ "https://user:pw@a.example/", "https://r.example", false },
		{ "http://r.example%2fx/", "http://r.example", false },
		{ "https:///t", "https://r.example", false },
		{ "ftp://r.example/t", "https://r.example", false },
		{ "/token", "https://r.example", false },
		{ "https://a:99999/t", "https://r.example", false },
		{ "HTTPS://a/t", "https://r.example", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (registry_realm_ok(cases[i].realm, cases[i].base) != cases[i].ok)
			fail_msg("%s for %s", cases[i].realm, cases[i].base);
	}
}

static void origins(void **state)
{
	(void)state;
	assert_true(registry_same_origin("https://a.b/x?y", "https://A.b:443"));
	assert_true(registry_same_origin("http://[::1]:5000/x", "http://[::1]:5000"));
	assert_false(registry_same_origin("https://a.b:444/x", "https://a.b"));
	assert_false(registry_same_origin("http://a.b/x", "https://a.b"));
	assert_false(registry_same_origin("https://a.b.evil/x", "https://a.b"));
	assert_false(registry_same_origin("https://a.b@evil/x", "https://a.b"));
	assert_true(registry_is_loopback("localhost:5000"));
	assert_true(registry_is_loopback("127.1.2.3"));
	assert_true(registry_is_loopback("[::1]:5000"));
	assert_false(registry_is_loopback("localhost.example"));
	assert_false(registry_is_loopback("127.0.0.1.example:5000"));
	assert_false(registry_is_loopback("10.0.0.1"));
}

static const char config[] =
	"{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"dTpwOnE=\"},"
	"\"h.io:5000\":{\"username\":\"a\",\"password\":\"b\"},"
	"\"https://t.io/v2/\":{\"identitytoken\":\"tok\"},\"bad.io\":{\"auth\":\"%%%%\"},"
	"\"nocolon.io\":{\"auth\":\"YWJj\"},\"line.io\":{\"auth\":\"dTpwCnE=\"}},"
	"\"credHelpers\":{\"c.io\":\"pass\",\"e.io\":\"../evil\"}}";

static void credentials(void **state)
{
	static const struct {
		const char *host, *user, *secret, *token, *helper;
		int r;
	} cases[] = {
		{ "docker.io", "u", "p:q", NULL, NULL, 0 },
		{ "h.io:5000", "a", "b", NULL, NULL, 0 },
		{ "h.io", NULL, NULL, NULL, NULL, 0 },
		{ "t.io", NULL, NULL, "tok", NULL, 0 },
		{ "c.io", NULL, NULL, NULL, "pass", 0 },
		{ "e.io", NULL, NULL, NULL, NULL, -EINVAL },
		{ "bad.io", NULL, NULL, NULL, NULL, -EINVAL },
		{ "nocolon.io", NULL, NULL, NULL, NULL, -EINVAL },
		{ "line.io", NULL, NULL, NULL, NULL, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct registry_login l = { 0 };
		auto_free char *helper = NULL;
		struct err e = ERR_INIT;

		assert_int_equal(registry_config_find(config, strlen(config), cases[i].host,
						      &helper, &l, &e),
				 cases[i].r);
		assert_string_equal(l.user ? l.user : "", cases[i].user ? cases[i].user : "");
		assert_string_equal(l.secret ? l.secret : "",
				    cases[i].secret ? cases[i].secret : "");
		assert_string_equal(l.token ? l.token : "", cases[i].token ? cases[i].token : "");
		assert_string_equal(helper ? helper : "", cases[i].helper ? cases[i].helper : "");
		registry_login_clear(&l);
	}
}

static int answer(const char *text, struct registry_login *l)
{
	struct err e = ERR_INIT;

	return registry_helper_answer(text, strlen(text), l, &e);
}

static void helper_answers(void **state)
{
	struct registry_login l = { 0 };

	(void)state;
	assert_int_equal(answer("{\"Username\":\"u\",\"Secret\":\"s\"}", &l), 0);
	assert_string_equal(l.secret, "s");
	registry_login_clear(&l);
	assert_int_equal(answer("{\"Username\":\"<token>\",\"Secret\":\"s\"}", &l), 0);
	assert_string_equal(l.token, "s");
	registry_login_clear(&l);
	assert_int_equal(answer("{\"Username\":\"u\",\"Secret\":\"s\\r\\nX: y\"}", &l), -EINVAL);
	assert_int_equal(answer("not found", &l), -EINVAL);
	assert_string_equal(registry_login_key("docker.io"), "https://index.docker.io/v1/");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(challenges),  cmocka_unit_test(bad_challenges),
		cmocka_unit_test(realms),      cmocka_unit_test(origins),
		cmocka_unit_test(credentials), cmocka_unit_test(helper_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
