/* SPDX-License-Identifier: Apache-2.0 */
/* packages: sources of apt and configurations of npm, well and badly written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/certs.h"
#include "base/mem.h"
#include "engine/packages_internal.h"

static struct apt_sources sources(const char *text, bool deb822)
{
	struct apt_sources s = { 0 };

	apt_sources_parse(text, strlen(text), deb822, &s);
	return s;
}

static void test_lines(void **state)
{
	struct apt_sources s = sources("# deb http://no.example/debian bookworm main\n"
				       "deb http://deb.example/debian bookworm main contrib # why\n"
				       "\tdeb [ arch=amd64  signed-by=/a/k.gpg,/b.gpg ]  "
				       "https://x.example/d  bookworm-updates  main\n"
				       "deb-src http://src.example/debian bookworm main\n"
				       "deb [signed-by=0123ABCD] http://y.example/ flat/\n"
				       "deb [unfinished http://z.example/ bookworm main\n"
				       "deb\n",
				       false);

	(void)state;
	assert_int_equal(s.n, 3);
	assert_string_equal(s.v[0].uri, "http://deb.example/debian");
	assert_string_equal(s.v[0].suite, "bookworm");
	assert_int_equal(s.v[0].components.n, 2);
	assert_null(s.v[0].key);
	assert_string_equal(s.v[1].uri, "https://x.example/d");
	assert_string_equal(s.v[1].suite, "bookworm-updates");
	assert_string_equal(s.v[1].key, "/a/k.gpg");
	assert_string_equal(s.v[2].suite, "flat/");
	assert_null(s.v[2].key);
	apt_sources_clear(&s);
}

static void test_deb822(void **state)
{
	struct apt_sources s =
		sources("Types: deb deb-src\n"
			"# a remark\n"
			"URIs: http://a.example/d\n"
			" http://b.example/d\n"
			"Suites: bookworm bookworm-updates\n"
			"Components: main\n"
			"Signed-By: /usr/share/keyrings/k.gpg\n"
			"   \n"
			"Types: deb\nEnabled: no\nURIs: http://off.example\nSuites: x\n"
			"\n"
			"types: deb\nURIs: http://c.example\nSuites: bookworm\n"
			"components: main\n"
			"Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
			" -----END PGP PUBLIC KEY BLOCK-----\n",
			true);

	(void)state;
	assert_int_equal(s.n, 5);
	assert_string_equal(s.v[0].uri, "http://a.example/d");
	assert_string_equal(s.v[3].uri, "http://b.example/d");
	assert_string_equal(s.v[3].suite, "bookworm-updates");
	assert_string_equal(s.v[3].key, "/usr/share/keyrings/k.gpg");
	assert_string_equal(s.v[4].uri, "http://c.example");
	assert_null(s.v[4].key);
	assert_string_equal(s.v[4].key_text, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n"
					     "-----END PGP PUBLIC KEY BLOCK-----\n");
	apt_sources_clear(&s);
}

static void test_which(void **state)
{
	struct apt_sources s = sources("deb http://a/ bookworm main\n"
				       "deb http://a/ bookworm-security main\n"
				       "deb http://a/ bookworm/updates main\n"
				       "deb http://a/ bookworm stable\n"
				       "deb http://a/ bookworm-pgdg main\n"
				       "deb http://a/ bookwormish main\n"
				       "deb http://a/ nodistro main\n",
				       false);
	static const bool expected[] = { true, true, true, false, false, false, false };

	(void)state;
	assert_int_equal(s.n, ARRAY_SIZE(expected));
	for (size_t i = 0; i < s.n; i++)
		assert_int_equal(apt_source_is_of(&s.v[i], "bookworm"), expected[i]);
	apt_sources_clear(&s);
}

static void test_apt_config(void **state)
{
	static const char dump[] = "Acquire::http \"\";\n"
				   "Acquire::http::Proxy::x.example \"http://no\";\n"
				   "Acquire::HTTP::Proxy \"http://cache.example:3142/\";\n"
				   "Acquire::https::Proxy \"\";";
	auto_free char *http = apt_config_value(dump, "Acquire::http::Proxy");

	(void)state;
	assert_string_equal(http, "http://cache.example:3142/");
	assert_null(apt_config_value(dump, "Acquire::https::Proxy"));
	assert_null(apt_config_value("", "Acquire::https::Proxy"));
	assert_null(apt_config_value("Acquire::https::Proxy \"", "Acquire::https::Proxy"));
}

static void test_npm(void **state)
{
	char *const env[] = { (char[]){ "HOST=npm.example" }, NULL };
	char *const more[] = { (char[]){ "npm_config_strict_ssl=false" },
			       (char[]){ "NPM_CONFIG_REGISTRY=http://later.example" }, NULL };
	static const char text[] = "; registry=http://no.example/\n"
				   "registry = \"https://${HOST}/npm\"\r\n"
				   "registry=https://second.example/\n"
				   "//npm.example/npm/:_authToken=secret\n"
				   "_auth=secret\n"
				   "@a:registry=https://a.example/x/\n"
				   "@b:registry=https://me:secret@b.example/\n"
				   "@c:registry=https://c.example/`id`\n"
				   "proxy=null\n"
				   "https-proxy=http://proxy.example:3128\n"
				   "cafile=/etc/ca.pem\n"
				   "ca[]=\"-----BEGIN\\nx\"\n"
				   "email=me@example.org";
	struct npm_config c = { 0 };

	(void)state;
	npm_config_parse(text, strlen(text), env, &c);
	npm_config_env(more, &c);
	assert_string_equal(c.registry, "https://npm.example/npm/");
	assert_int_equal(c.scopes.n, 1);
	assert_string_equal(c.scopes.v[0], "@a:registry=https://a.example/x/");
	assert_int_equal(c.bad.n, 2);
	assert_string_equal(c.bad.v[0], "@b:registry");
	assert_string_equal(c.bad.v[1], "@c:registry");
	assert_string_equal(c.https_proxy, "http://proxy.example:3128/");
	assert_string_equal(c.cafile, "/etc/ca.pem");
	assert_string_equal(c.ca, "-----BEGIN\nx\n");
	assert_true(c.insecure);
	npm_config_clear(&c);
}

static void test_certificates(void **state)
{
#define CERTIFICATE(x) "-----BEGIN CERTIFICATE-----\n" x "\n-----END CERTIFICATE-----"
	static const char text[] = "subject=/CN=a\n" CERTIFICATE(
		"AAAA") "\n-----BEGIN PRIVATE KEY-----\n"
			"SECRET\n-----END PRIVATE KEY-----\n" CERTIFICATE(
				"BBBB") "\n-----BEGIN CERTIFICATE-----\nhalf";
	struct buf out = BUF_INIT;

	(void)state;
	certs_add(text, strlen(text), &out);
	assert_string_equal(buf_str(&out), CERTIFICATE("AAAA") "\n" CERTIFICATE("BBBB") "\n");
	buf_free(&out);
	certs_add("", 0, &out);
	assert_int_equal(out.len, 0);
}

static void test_url_rule(void **state)
{
	static const struct {
		const char *url;
		const char *rule;
	} cases[] = {
		{ "http://a.example/x", "a.example:80" },
		{ "HTTPS://a.example", "a.example:443" },
		{ "http://a.example:3142/", "a.example:3142" },
		{ "http://[::1]:80/", "[::1]:80" },
		{ "http://[::1]/", "[::1]:80" },
		{ "http://u:p@a.example/", NULL },
		{ "https://a.example/npm/?token=secret", NULL },
		{ "https://a.example?token=secret", NULL },
		{ "http://", NULL },
		{ "http:///x", NULL },
		{ "http://a b/", NULL },
		{ "http://$(id)/", NULL },
		{ "file:///srv/mirror", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *rule = package_url_rule(cases[i].url);

		if (cases[i].rule)
			assert_string_equal(rule, cases[i].rule);
		else
			assert_null(rule);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),	 cmocka_unit_test(test_deb822),
		cmocka_unit_test(test_which),	 cmocka_unit_test(test_apt_config),
		cmocka_unit_test(test_npm),	 cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_url_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
