/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of base/proxy_url.c, base/proxies.c and base/no_proxy.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/proxy.h"

static void test_url(void **state)
{
	static const struct {
		const char *text, *canonical;
	} good[] = {
		{ "http://proxy.example.com:3128", "http://proxy.example.com:3128" },
		{ "proxy:8080", "http://proxy:8080" },
		{ "PROXY.Example.com", "http://proxy.example.com:80" },
		{ "HTTPS://proxy/", "https://proxy:443" },
		{ "socks5h://[2001:DB8::1]", "socks5h://[2001:db8::1]:1080" },
		{ "socks5://192.0.2.1:1", "socks5h://192.0.2.1:1" },
		{ "http://me:p%40ss%3a@proxy:1", "http://me:p%40ss%3a@proxy:1" },
		{ "http://DOM%5cme:a@b/c@proxy:1/", "http://DOM%5cme:a%40b%2fc@proxy:1" },
		{ "me@proxy", "http://me:@proxy:80" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct proxy_url u = { 0 };
		auto_buf out = BUF_INIT;

		assert_int_equal(proxy_url_parse(good[i].text, &u, NULL), 0);
		proxy_url_text(&u, true, &out);
		assert_string_equal(buf_str(&out), good[i].canonical);
		proxy_url_clear(&u);
	}
}

static void test_bad_url(void **state)
{
	static const char *const bad[] = {
		"",
		"http://",
		"ftp://proxy",
		"socks4://proxy",
		"http://proxy:0",
		"http://proxy:65536",
		"http://proxy:",
		"http://proxy:80/path",
		"http://proxy?x",
		"http://pro xy",
		"http://[::1",
		"http://[::g]",
		"http://secret:secret%zz@proxy",
		"http://secret:secret%0a@proxy",
		"http://secret:secret@",
		"http://secret:secret@a..b",
		"http://a%3ab:secret@proxy",
		"http://secret%2",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct proxy_url u = { 0 };
		struct err e = ERR_INIT;

		assert_int_equal(proxy_url_parse(bad[i], &u, &e), -EINVAL);
		assert_null(strstr(e.message, "secret"));
		assert_null(u.host);
	}
}

static void assert_url(const struct proxies *p, enum proxy_use use, const char *expected)
{
	auto_buf out = BUF_INIT;

	if (p->v[use].scheme != PROXY_NONE)
		proxy_url_text(&p->v[use], true, &out);
	assert_string_equal(buf_str(&out), expected);
}

static void test_env(void **state)
{
	char *const env[] = { (char[]){ "HTTPS_PROXY=http://upper" },
			      (char[]){ "https_proxy=http://lower" },
			      (char[]){ "HTTP_PROXY=http://cgi" }, (char[]){ "NO_PROXY=a\nb" },
			      NULL };
	char *const all[] = { (char[]){ "ALL_PROXY=socks5://s" }, (char[]){ "https_proxy=" },
			      (char[]){ "http_proxy=http://u:p@h" }, NULL };
	char *const bad[] = { (char[]){ "https_proxy=ftp://me:secret@x" }, NULL };
	struct err e = ERR_INIT;
	auto_proxies p = { 0 };
	auto_proxies q = { 0 };
	auto_buf text = BUF_INIT;
	auto_strv out = STRV_INIT;

	(void)state;
	assert_int_equal(proxies_from_env(env, &p, &e), 0);
	assert_url(&p, PROXY_FOR_HTTP, "");
	assert_url(&p, PROXY_FOR_TLS, "http://lower:80");
	assert_url(&p, PROXY_FOR_OTHER, "http://lower:80");
	proxies_write(&p, &text);
	assert_int_equal(proxies_read(buf_str(&text), text.len, &q, &e), 0);
	assert_string_equal(q.no_proxy, "a,b");
	assert_url(&q, PROXY_FOR_TLS, "http://lower:80");
	proxies_clear(&p);
	proxies_clear(&q);

	assert_int_equal(proxies_from_env(all, &p, &e), 0);
	assert_url(&p, PROXY_FOR_HTTP, "http://u:p@h:80");
	assert_url(&p, PROXY_FOR_TLS, "");
	assert_url(&p, PROXY_FOR_OTHER, "socks5h://s:1080");
	assert_true(proxies_any(&p));
	assert_false(proxies_need_tls(&p));
	strv_env_set(&out, "HTTPS_PROXY", "x");
	proxies_to_env(&p, &out);
	assert_null(strv_env_get(&out, "HTTPS_PROXY"));
	assert_null(strv_env_get(&out, "https_proxy"));
	assert_string_equal(strv_env_get(&out, "http_proxy"), "http://u:p@h:80");
	proxies_clear(&p);

	assert_int_equal(proxies_from_env(bad, &p, &e), -EINVAL);
	assert_non_null(strstr(e.message, "https_proxy: "));
	assert_null(strstr(e.message, "secret"));
	assert_int_equal(proxies_from_url("none", &p, &e), 0);
	assert_false(proxies_any(&p));
	assert_int_equal(proxies_from_url("https://h", &p, &e), 0);
	assert_true(proxies_need_tls(&p));
	assert_int_equal(proxies_read("tls", 3, &q, &e), -EINVAL);
	assert_int_equal(proxies_read("what is", 7, &q, &e), -EINVAL);
}

static void test_exempt(void **state)
{
	static const struct {
		const char *list, *host;
		uint16_t port;
		bool exempt;
	} cases[] = {
		{ "example.com", "example.com", 443, true },
		{ "example.com", "a.example.com", 443, true },
		{ "example.com", "notexample.com", 443, false },
		{ ".example.com", "example.com", 443, true },
		{ "*.Example.com.", "a.example.com", 443, true },
		{ "a, example.com:8443 b", "example.com", 8443, true },
		{ "a, example.com:8443 b", "example.com", 443, false },
		{ "*", "example.com", 1, true },
		{ "*:22", "example.com", 22, true },
		{ "*:22", "example.com", 443, false },
		{ "10.0.0.0/8", "10.1.2.3", 80, true },
		{ "10.0.0.0/8", "11.1.2.3", 80, false },
		{ "10.0.0.0/8:80", "10.1.2.3", 80, true },
		{ "10.0.0.0/33", "10.1.2.3", 80, false },
		{ "10.1.2.0/31", "10.1.2.1", 80, true },
		{ "10.1.2.0/31", "10.1.2.2", 80, false },
		{ "0.0.0.0/0", "example.com", 80, false },
		{ "2.3", "10.1.2.3", 80, false },
		{ "10.1.2.3", "10.1.2.3", 80, true },
		{ "::1", "::1", 80, true },
		{ "[::1]", "::1", 80, true },
		{ "[::1]:81", "::1", 80, false },
		{ "[::1]:80", "::1", 80, true },
		{ "fd00::/8", "fd12::1", 80, true },
		{ "0.0.0.0/0", "fd12::1", 80, false },
		{ ",, .", "example.com", 80, false },
		{ ":80 [ ] []:1 /8", "example.com", 80, false },
		{ "", "example.com", 80, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(proxy_exempt(cases[i].list, cases[i].host, cases[i].port),
				 cases[i].exempt);
	assert_false(proxy_exempt(NULL, "example.com", 80));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_url),
		cmocka_unit_test(test_bad_url),
		cmocka_unit_test(test_env),
		cmocka_unit_test(test_exempt),
	};

	return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
