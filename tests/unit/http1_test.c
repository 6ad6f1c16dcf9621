/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of base/http1.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/http1.h"
#include "base/mem.h"

static struct http1_head h;

static void test_request(void **state)
{
	const char *text =
		"POST http://a/b?c HTTP/1.1\r\nHost:  a \r\nX-Y: \r\ncontent-length: 12\r\n"
		"Connection: foo, Close\r\n\r\nbody";

	(void)state;
	for (size_t n = 0; n < strlen(text) - 4; n++)
		assert_int_equal(http1_parse_request(text, n, &h, NULL), 0);
	assert_int_equal(http1_parse_request(text, strlen(text), &h, NULL), 1);
	assert_int_equal(h.size, strlen(text) - 4);
	assert_true(http1_slice_is(h.method, "POST"));
	assert_true(http1_slice_is(h.target, "http://a/b?c"));
	assert_int_equal(h.minor, 1);
	assert_int_equal(h.nheaders, 4);
	assert_true(http1_slice_is(http1_find(&h, "HOST")->value, "a"));
	assert_true(http1_slice_is(http1_find(&h, "x-y")->value, ""));
	assert_null(http1_find(&h, "x"));
	assert_int_equal(h.body, HTTP1_BODY_LENGTH);
	assert_int_equal(h.content_length, 12);
	assert_false(h.keep_alive);
}

static void test_refused_requests(void **state)
{
#define START "GET / HTTP/1.1\r\n"
	static const char nul[] = START "A: \0\r\n\r\n";
	static const char *const bad[] = {
		"GET / HTTP/1.1\n\n",
		" GET / HTTP/1.1\r\n\r\n",
		"\r\nGET / HTTP/1.1\r\n\r\n",
		"GET  / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1 \r\n\r\n",
		"GET /\r\n\r\n",
		"GET /a b HTTP/1.1\r\n\r\n",
		"GET /\x01 HTTP/1.1\r\n\r\n",
		"GET /\xe4 HTTP/1.1\r\n\r\n",
		"GET /#f HTTP/1.1\r\n\r\n",
		"G(T / HTTP/1.1\r\n\r\n",
		"GET / HTTP/2.0\r\n\r\n",
		"GET / http/1.1\r\n\r\n",
		START "A : b\r\n\r\n",
		START ": b\r\n\r\n",
		START "A\r\n\r\n",
		START "A: b\r\n c\r\n\r\n",
		START " A: b\r\n\r\n",
		START "A: b\rc\r\n\r\n",
		START "A: b\n\r\n",
		START "A: \x7f\r\n\r\n",
		START "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
		START "Content-Length: +1\r\n\r\n",
		START "Content-Length: 1, 1\r\n\r\n",
		START "Content-Length: \r\n\r\n",
		START "Content-Length: 0x1\r\n\r\n",
		START "Content-Length: 9223372036854775808\r\n\r\n",
		START "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		START "Transfer-Encoding: gzip, chunked\r\n\r\n",
		START "Transfer-Encoding: identity\r\n\r\n",
		START "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
		START "Host: a\r\nHost: a\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = ERR_INIT;

		if (http1_parse_request(bad[i], strlen(bad[i]), &h, &e) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(e.code, -EBADMSG);
	}
	assert_int_equal(http1_parse_request(nul, sizeof(nul) - 1, &h, NULL), -EBADMSG);
}

static void test_limits(void **state)
{
	auto_buf b = BUF_INIT;

	(void)state;
	buf_puts(&b, "GET /");
	for (int i = 1; i < HTTP1_TARGET_MAX; i++)
		buf_putc(&b, 'a');
	buf_puts(&b, " HTTP/1.1\r\n\r\n");
	assert_int_equal(http1_parse_request(b.data, b.len, &h, NULL), 1);
	buf_reset(&b);
	buf_puts(&b, "GET /");
	for (int i = 0; i < HTTP1_TARGET_MAX; i++)
		buf_putc(&b, 'a');
	buf_puts(&b, " HTTP/1.1\r\n\r\n");
	assert_int_equal(http1_parse_request(b.data, b.len, &h, NULL), -E2BIG);
	buf_reset(&b);
	buf_puts(&b, START);
	for (int i = 0; i < HTTP1_HEADERS_MAX; i++)
		buf_puts(&b, "A: b\r\n");
	buf_puts(&b, "\r\n");
	assert_int_equal(http1_parse_request(b.data, b.len, &h, NULL), 1);
	buf_truncate(&b, b.len - 2);
	buf_puts(&b, "A: b\r\n\r\n");
	assert_int_equal(http1_parse_request(b.data, b.len, &h, NULL), -E2BIG);
	buf_reset(&b);
	buf_puts(&b, START "A: ");
	while (b.len < HTTP1_HEAD_MAX - 1)
		buf_putc(&b, 'x');
	assert_int_equal(http1_parse_request(b.data, b.len, &h, NULL), 0);
	buf_putc(&b, 'x');
	assert_int_equal(http1_parse_request(b.data, b.len, &h, NULL), -E2BIG);
}

static int response(const char *text)
{
	return http1_parse_response(text, strlen(text), &h, NULL);
}

static void test_response(void **state)
{
	(void)state;
	assert_int_equal(response("HTTP/1.1 200 OK fine\r\nTransfer-Encoding: Chunked\r\n\r\n"), 1);
	assert_int_equal(h.status, 200);
	assert_true(http1_slice_is(h.reason, "OK fine"));
	assert_int_equal(h.body, HTTP1_BODY_CHUNKED);
	assert_true(h.keep_alive);
	assert_int_equal(response("HTTP/1.0 204\r\n\r\n"), 1);
	assert_int_equal(h.body, HTTP1_BODY_UNTIL_CLOSE);
	assert_false(h.keep_alive);
	assert_int_equal(response("HTTP/1.0 200 \r\nConnection: Keep-Alive\r\n\r\n"), 1);
	assert_true(h.keep_alive);
	assert_int_equal(response("HTTP/1.1 20 OK\r\n\r\n"), -EBADMSG);
	assert_int_equal(response("HTTP/1.1 2000 OK\r\n\r\n"), -EBADMSG);
	assert_int_equal(response("HTTP/1.1 099 OK\r\n\r\n"), -EBADMSG);
	assert_int_equal(response("HTTP/1.1  200 OK\r\n\r\n"), -EBADMSG);
	assert_int_equal(response("ICY 200 OK\r\n\r\n"), -EBADMSG);
}

static int64_t chunks(const char *text, bool *done)
{
	struct http1_chunked c = { 0 };

	*done = false;
	return http1_chunked_feed(&c, text, strlen(text), done);
}

static void test_chunked(void **state)
{
	static const char *const bad[] = { "\r\n",
					   "g\r\n",
					   "5\n",
					   "5 \r\n",
					   "5;a\n",
					   "1\r\nab",
					   "0\r\nA: b\r\n\r\n",
					   "80000001\r\n",
					   "000000005\r\n",
					   "-1\r\n",
					   "0x5\r\n",
					   "5;\x01\r\n" };
	struct http1_chunked c = { 0 };
	char ext[400] = "1;";
	bool done;

	(void)state;
	assert_int_equal(chunks("5\r\nhello\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\nrest", &done),
			 36);
	assert_true(done);
	assert_int_equal(chunks("80000000\r\nx", &done), 11);
	assert_false(done);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (chunks(bad[i], &done) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
	}
	memset(ext + 2, 'x', 256);
	memcpy(ext + 258, "\r\n", 3);
	assert_int_equal(chunks(ext, &done), 260);
	memset(ext + 2, 'x', 257);
	memcpy(ext + 259, "\r\n", 3);
	assert_int_equal(chunks(ext, &done), -EBADMSG);
	assert_int_equal(http1_chunked_feed(&c, "x", 1, &done), -EBADMSG);
	assert_int_equal(http1_chunked_feed(&c, "0", 1, &done), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request), cmocka_unit_test(test_refused_requests),
		cmocka_unit_test(test_limits),	cmocka_unit_test(test_response),
		cmocka_unit_test(test_chunked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
