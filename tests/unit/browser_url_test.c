/* SPDX-License-Identifier: Apache-2.0 */
/*
 * browser_url_test: which addresses are shown, and which port a login comes back to.
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

#define LOGIN "https://login.example.com/authorize?client_id=1&"

static void test_shown(void **state)
{
	static const struct {
		const char *url;
		unsigned port;
	} shown[] = {
		{ "https://example.com", 0 },
		{ "HTTP://example.com:8080/a?b=c#d", 0 },
		{ LOGIN "redirect_uri=http%3A%2F%2Flocalhost%3A54545%2Fcallback&state=x", 54545 },
		{ LOGIN "redirect_uri=http://127.0.0.1:1024", 1024 },
		{ LOGIN "redirect_uri=http%3a%2f%2f%5B::1%5d:8080%3Fa", 8080 },
		{ "https://example.com?redirect_uri=http://LOCALHOST:4000/#x", 4000 },
		/* The first one counts, and only in the query. */
		{ LOGIN "redirect_uri=http://a.example/&redirect_uri=http://localhost:4000/", 0 },
		{ "https://example.com/#?redirect_uri=http://localhost:4000/", 0 },
		{ LOGIN "xredirect_uri=http://localhost:4000/", 0 },
		/* Not a port of ours to give. */
		{ LOGIN "redirect_uri=http://localhost:1023/", 0 },
		{ LOGIN "redirect_uri=http://localhost:65536/", 0 },
		{ LOGIN "redirect_uri=http://localhost:080800/", 0 },
		{ LOGIN "redirect_uri=http://localhost:4000.example.com/", 0 },
		{ LOGIN "redirect_uri=http://localhost.example.com:4000/", 0 },
		{ LOGIN "redirect_uri=https://localhost:4000/", 0 },
		{ LOGIN "redirect_uri=http://localhost/", 0 },
		{ LOGIN "redirect_uri=http://0.0.0.0:4000/", 0 },
		{ LOGIN "redirect_uri=http://localhost:4000%0", 0 },
		{ LOGIN "redirect_uri=http://localhost:4000%00", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		uint16_t port = 1;

		assert_int_equal(browser_judge(shown[i].url, strlen(shown[i].url), &port), 0);
		assert_int_equal(port, shown[i].port);
	}
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"example.com",
		"file:///etc/passwd",
		"javascript:alert(1)",
		"vscode://x",
		"https:/example.com",
		"https://",
		"https:///path",
		"https://bank.example@evil.example/",
		"https://a\\@b/",
		"https://example.com/ a",
		"https://example.com/\033[2J",
		"https://ex\xc3\xa4mple.com/",
		"https://example.com/\r\nx",
	};
	auto_free char *lengthy = xcalloc(1, BROWSER_URL_MAX + 2);
	uint16_t port = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(browser_judge(bad[i], strlen(bad[i]), &port) < 0);
	assert_int_equal(browser_judge("https://a\0b", 11, &port), -EINVAL);
	memset(lengthy, 'a', BROWSER_URL_MAX + 1);
	memcpy(lengthy, "https://", 8);
	assert_int_equal(browser_judge(lengthy, BROWSER_URL_MAX + 1, &port), -EINVAL);
	lengthy[BROWSER_URL_MAX] = '\0';
	assert_int_equal(port, 7);
	assert_int_equal(browser_judge(lengthy, BROWSER_URL_MAX, &port), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shown),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
