/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of net/upstream_talk.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "net/net_internal.h"

static struct proxy_url url;
static struct policy_host host;

static void begin(struct upstream_talk *t, const char *address, const char *name)
{
	proxy_url_clear(&url);
	assert_int_equal(proxy_url_parse(address, &url, NULL), 0);
	assert_int_equal(policy_host_parse(name, strlen(name), &host, NULL), 0);
	upstream_talk_begin(t, &url, &host, 443);
}

static void assert_says(const struct upstream_talk *t, const char *bytes, size_t n)
{
	auto_buf out = BUF_INIT;

	upstream_say(t, &out);
	assert_int_equal(out.len, n);
	assert_memory_equal(out.data, bytes, n);
}

static void test_connect(void **state)
{
	static const char with_login[] = "CONNECT [2001:db8::1]:443 HTTP/1.1\r\n"
					 "Host: [2001:db8::1]:443\r\n"
					 "Proxy-Authorization: Basic dTpwQHM=\r\n\r\n";
	static const char plain[] = "CONNECT x.test:443 HTTP/1.1\r\nHost: x.test:443\r\n\r\n";
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nrest";
	static const char no[] = "HTTP/1.1 403 no \xff"
				 "way\r\n\r\n";
	struct upstream_talk t;

	(void)state;
	begin(&t, "http://u:p%40s@h", "[2001:db8::1]");
	assert_says(&t, with_login, strlen(with_login));
	begin(&t, "http://h", "x.test");
	assert_says(&t, plain, strlen(plain));
	assert_int_equal(upstream_hear(&t, answer, 10), 0);
	assert_int_equal(t.step, UPSTREAM_CONNECT);
	assert_int_equal(upstream_hear(&t, answer, strlen(answer)), strlen(answer) - 4);
	assert_int_equal(t.step, UPSTREAM_OPEN);
	begin(&t, "http://h", "x.test");
	assert_int_equal(upstream_hear(&t, no, strlen(no)), -ECONNREFUSED);
	assert_string_equal(t.reason, "refuses it: 403 no \\xffway");
	assert_int_equal(upstream_hear(&t, "HTTP/1.1 504\r\n\r\n", 16), -ETIMEDOUT);
	assert_int_equal(upstream_hear(&t, "SSH-2.0\r\n\r\n", 11), -EPROTO);
}

static void test_socks(void **state)
{
	struct upstream_talk t;

	(void)state;
	begin(&t, "socks5://h", "x.test");
	assert_says(&t, "\x05\x01\x00", 3);
	begin(&t, "socks5://u:pw@h", "x.test");
	assert_says(&t, "\x05\x02\x00\x02", 4);
	assert_int_equal(upstream_hear(&t, "\x05", 1), 0);
	assert_int_equal(upstream_hear(&t, "\x05\x02", 2), 2);
	assert_says(&t, "\x01\x01u\x02pw", 6);
	assert_int_equal(upstream_hear(&t, "\x01\x00", 2), 2);
	assert_says(&t, "\x05\x01\x00\x03\x06x.test\x01\xbb", 13);
	assert_int_equal(upstream_hear(&t, "\x05\x00\x00\x01\x7f\x00\x00\x01\x00", 9), 0);
	assert_int_equal(t.step, UPSTREAM_CONNECT);
	assert_int_equal(upstream_hear(&t, "\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50more", 14), 10);
	assert_int_equal(t.step, UPSTREAM_OPEN);
	begin(&t, "socks5://h", "192.0.2.1");
	assert_int_equal(upstream_hear(&t, "\x05\x00", 2), 2);
	assert_says(&t, "\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb", 10);
	assert_int_equal(upstream_hear(&t, "\x05\x06", 2), -ETIMEDOUT);
	assert_int_equal(upstream_hear(&t, "\x05\xee", 2), -ECONNREFUSED);
	assert_string_equal(t.reason, "failed");
	assert_int_equal(upstream_hear(&t, "\x05\x00\x00\x02\x00", 5), -EPROTO);
}

static void test_forward(void **state)
{
	static const struct {
		const char *head, *forwarded;
	} cases[] = {
		{ "GET /a?b HTTP/1.1\r\nHost: x.test:443\r\n\r\n",
		  "GET http://x.test:443/a?b HTTP/1.1\r\nProxy-Authorization: Basic dTpw\r\n"
		  "Host: x.test:443\r\n\r\n" },
		{ "OPTIONS * HTTP/1.1\r\nHost: x.test:443\r\n\r\n",
		  "OPTIONS http://x.test:443 HTTP/1.1\r\nProxy-Authorization: Basic dTpw\r\n"
		  "Host: x.test:443\r\n\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_buf head = BUF_INIT;
		auto_buf out = BUF_INIT;
		struct upstream_talk t;

		begin(&t, "http://u:p@h", "x.test");
		buf_puts(&head, cases[i].head);
		upstream_forward_head(&url, &host, 443, &head, &out);
		assert_string_equal(buf_str(&out), cases[i].forwarded);
	}
	proxy_url_clear(&url);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_socks),
		cmocka_unit_test(test_forward),
	};

	return cmocka_run_group_tests_name("net_upstream", tests, NULL, NULL);
}
