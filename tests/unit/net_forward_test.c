/* SPDX-License-Identifier: Apache-2.0 */
/* Heads on their way through the proxy: what the origin and the client get to see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "net/net_internal.h"

/* 0 or the status that is answered. */
static int forward(const char *request, struct forward *ret, struct buf *out)
{
	static struct http1_head h;
	struct err e = ERR_INIT;
	int status = 0;

	buf_reset(out);
	if (http1_parse_request(request, strlen(request), &h, &e) != 1)
		return 400; /* some of what is wrong is seen there already */
	if (forward_request(&h, ret, out, &status, &e) == 0)
		return 0;
	assert_true(e.message[0] != '\0');
	return status;
}

static void requests(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "GET http://A.test HTTP/1.1\r\nHost: a.test\r\n\r\n",
		  "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n" },
		{ "GET http://a.test?q=1 HTTP/1.1\r\nHost: a.test:80\r\n\r\n",
		  "GET /?q=1 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n" },
		{ "GET HTTP://[::1]:81/x HTTP/1.0\r\n\r\n",
		  "GET /x HTTP/1.0\r\nHost: [::1]:81\r\nConnection: close\r\n\r\n" },
		{ "OPTIONS http://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n",
		  "OPTIONS * HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n" },
		{ "POST http://a.test/ HTTP/1.1\r\nX: 1\r\nHost: a.test\r\nConnection: x-gone\r\n"
		  "X-Gone: 1\r\ncontent-length: 3\r\nProxy-Foo: 1\r\nExpect: 100-Continue\r\n\r\n",
		  "POST / HTTP/1.1\r\nHost: a.test\r\nX: 1\r\nContent-Length: 3\r\n"
		  "Expect: 100-continue\r\nConnection: close\r\n\r\n" },
		{ "PUT http://a.test/ HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n"
		  "TE: trailers\r\nTrailer: X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
		  "PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n"
		  "Connection: close\r\n\r\n" },
		{ "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nUpgrade: WebSocket\r\n"
		  "Connection: Upgrade\r\nSec-WebSocket-Key: k\r\n\r\n",
		  "GET / HTTP/1.1\r\nHost: a.test\r\nSec-WebSocket-Key: k\r\n"
		  "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" },
	};
	struct buf out = BUF_INIT;
	struct forward f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(forward(cases[i].in, &f, &out), 0);
		assert_string_equal(buf_str(&out), cases[i].out);
	}
	buf_free(&out);
}

static void refusals(void **state)
{
	static const struct {
		const char *in;
		int status;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", 400 },
		{ "GET http://a.test/ HTTP/1.1\r\n\r\n", 400 },
		{ "GET http://a.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", 400 },
		{ "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n", 400 },
		{ "GET http://a.test/ HTTP/1.1\r\nHost:\r\n\r\n", 400 },
		{ "GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400 },
		{ "GET http://u@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400 },
		{ "GET http://a.test/#f HTTP/1.1\r\nHost: a.test\r\n\r\n", 400 },
		{ "GET http:///x HTTP/1.1\r\nHost: a.test\r\n\r\n", 400 },
		{ "GET http://127.1/ HTTP/1.1\r\nHost: 127.1\r\n\r\n", 403 },
		{ "TRACE http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 405 },
		{ "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nExpect: x\r\n\r\n", 417 },
		{ "CONNECT a.test HTTP/1.1\r\n\r\n", 400 },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: b.test\r\n\r\n", 400 },
		{ "CONNECT a.test:443 HTTP/1.1\r\nContent-Length: 1\r\n\r\n", 400 },
		{ "CONNECT http://a.test:443 HTTP/1.1\r\n\r\n", 400 },
	};
	struct buf out = BUF_INIT;
	struct forward f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (forward(cases[i].in, &f, &out) != cases[i].status)
			fail_msg("%s", cases[i].in);
	}
	buf_free(&out);
}

static void connects(void **state)
{
	struct buf out = BUF_INIT;
	struct forward f;

	(void)state;
	assert_int_equal(forward("CONNECT A.test:443 HTTP/1.0\r\n\r\n", &f, &out), 0);
	assert_true(f.connect);
	assert_string_equal(f.host.name, "a.test");
	assert_int_equal(f.port, 443);
	assert_int_equal(forward("CONNECT [::1]:22 HTTP/1.1\r\nHost: [::1]:22\r\n\r\n", &f, &out),
			 0);
	assert_int_equal(forward("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n", &f, &out),
			 0);
	assert_int_equal(out.len, 0);
	buf_free(&out);
}

static void responses(void **state)
{
	static const struct {
		const char *in;
		bool head;
		enum http1_body body;
		const char *out;
	} cases[] = {
		{ "HTTP/1.0 200 OK\r\nX: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: x\r\n\r\n",
		  false, HTTP1_BODY_UNTIL_CLOSE,
		  "HTTP/1.1 200 OK\r\nX: 1\r\nConnection: keep-alive\r\n\r\n" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close, X\r\nX: 1\r\n\r\n",
		  false, HTTP1_BODY_LENGTH,
		  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, HTTP1_BODY_NONE,
		  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n" },
		{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, HTTP1_BODY_NONE,
		  "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nConnection: keep-alive\r\n"
		  "\r\n" },
		{ "HTTP/1.1 204 No Content\r\n\r\n", false, HTTP1_BODY_NONE,
		  "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n" },
		{ "HTTP/1.1 100 Continue\r\n\r\n", false, HTTP1_BODY_NONE,
		  "HTTP/1.1 100 Continue\r\n\r\n" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false,
		  HTTP1_BODY_CHUNKED,
		  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n"
		  "\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		static struct http1_head h;
		struct forward f = { .minor = 1, .head = cases[i].head };
		struct buf out = BUF_INIT;

		assert_int_equal(http1_parse_response(cases[i].in, strlen(cases[i].in), &h, NULL),
				 1);
		assert_int_equal(forward_response_body(&h, &f), cases[i].body);
		forward_response(&h, &f, true, &out);
		assert_string_equal(buf_str(&out), cases[i].out);
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(refusals),
		cmocka_unit_test(connects),
		cmocka_unit_test(responses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
