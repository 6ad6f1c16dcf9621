/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_talk: what is said to a proxy of the user's company, and what its answers mean.  Pure.
 *
 * HTTP: CONNECT (RFC 9110, section 9.3.6), Basic authentication (RFC 7617).  SOCKS 5: RFC 1928,
 * user and password RFC 1929; names go as names.  Requests of plain HTTP go to an HTTP proxy in
 * absolute-form (RFC 9112, section 3.2.2), because many refuse CONNECT to port 80.
 *
 * Its answers are foreign bytes.  No more of them are taken than belong to an answer: the rest is
 * what the other end of the tunnel says.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "net/net_internal.h"

enum { REASON_PHRASE_MAX = 60 };

enum { SOCKS_VERSION = 5, SOCKS_LOGIN_VERSION = 1, SOCKS_CONNECT = 1 };
enum { SOCKS_NO_LOGIN = 0, SOCKS_LOGIN = 2 };
enum { SOCKS_V4 = 1, SOCKS_NAME = 3, SOCKS_V6 = 4 };

/* --- saying ---------------------------------------------------------------------------------- */

static void base64(const char *s, size_t n, struct buf *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)(unsigned char)s[i] << 16;

		if (i + 1 < n)
			v |= (uint32_t)(unsigned char)s[i + 1] << 8;
		if (i + 2 < n)
			v |= (unsigned char)s[i + 2];
		buf_putc(out, digits[v >> 18]);
		buf_putc(out, digits[v >> 12 & 63]);
		buf_putc(out, i + 1 < n ? digits[v >> 6 & 63] : '=');
		buf_putc(out, i + 2 < n ? digits[v & 63] : '=');
	}
}

static void put_login(const struct proxy_url *u, struct buf *out)
{
	auto_buf plain = BUF_INIT;

	if (u->user == NULL)
		return;
	buf_printf(&plain, "%s:%s", u->user, u->password);
	buf_puts(out, "Proxy-Authorization: Basic ");
	base64(plain.data, plain.len, out);
	buf_puts(out, "\r\n");
	explicit_bzero(plain.data, plain.len);
}

static void say_connect(const struct upstream_talk *t, struct buf *out)
{
	auto_buf target = BUF_INIT;

	log_target(t->host, t->port, &target);
	buf_printf(out, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", buf_str(&target), buf_str(&target));
	put_login(t->url, out);
	buf_puts(out, "\r\n");
}

static void put_string(const char *s, struct buf *out)
{
	size_t n = strlen(s); /* names and logins have at most 255 bytes */

	buf_putc(out, (char)n);
	buf_add(out, s, n);
}

static void say_socks(const struct upstream_talk *t, struct buf *out)
{
	const char port[2] = { (char)(t->port >> 8), (char)t->port };

	switch (t->step) {
	case UPSTREAM_METHODS:
		buf_putc(out, SOCKS_VERSION);
		buf_putc(out, t->url->user != NULL ? 2 : 1);
		buf_putc(out, SOCKS_NO_LOGIN);
		if (t->url->user != NULL)
			buf_putc(out, SOCKS_LOGIN);
		break;
	case UPSTREAM_LOGIN:
		buf_putc(out, SOCKS_LOGIN_VERSION);
		put_string(t->url->user, out);
		put_string(t->url->password, out);
		break;
	case UPSTREAM_CONNECT:
		buf_putc(out, SOCKS_VERSION);
		buf_putc(out, SOCKS_CONNECT);
		buf_putc(out, 0);
		if (t->host->kind == POLICY_HOST_NAME) {
			buf_putc(out, SOCKS_NAME);
			put_string(t->host->name, out);
		} else {
			bool v6 = t->host->kind == POLICY_HOST_V6;

			buf_putc(out, v6 ? SOCKS_V6 : SOCKS_V4);
			buf_add(out, t->host->addr, v6 ? 16 : 4);
		}
		buf_add(out, port, sizeof(port));
		break;
	case UPSTREAM_OPEN:
		break;
	}
}

void upstream_talk_begin(struct upstream_talk *t, const struct proxy_url *url,
			 const struct policy_host *host, uint16_t port)
{
	*t = (struct upstream_talk){ .url = url,
				     .host = host,
				     .port = port,
				     .step = url->scheme == PROXY_SOCKS5 ? UPSTREAM_METHODS
									 : UPSTREAM_CONNECT };
}

void upstream_say(const struct upstream_talk *t, struct buf *out)
{
	if (t->url->scheme == PROXY_SOCKS5)
		say_socks(t, out);
	else
		say_connect(t, out);
}

/* --- hearing --------------------------------------------------------------------------------- */

static int refused(struct upstream_talk *t, int code, const char *text)
{
	snprintf(t->reason, sizeof(t->reason), "%s", text);
	return code;
}

static int refused_status(struct upstream_talk *t, const struct http1_head *h)
{
	auto_buf phrase = BUF_INIT;
	const char *what = h->status == 407   ? "wants other credentials than it was given"
			   : h->status >= 500 ? "could not reach it"
					      : "refuses it";

	text_escape(&phrase, h->reason.p, h->reason.n, REASON_PHRASE_MAX);
	snprintf(t->reason, sizeof(t->reason), "%s: %d%s%.100s", what, h->status,
		 phrase.len > 0 ? " " : "", buf_str(&phrase));
	return h->status == 504 ? -ETIMEDOUT : -ECONNREFUSED;
}

static int hear_connect(struct upstream_talk *t, const char *bytes, size_t n)
{
	struct http1_head head;
	int r = http1_parse_response(bytes, n, &head, NULL);

	if (r == 0)
		return 0;
	if (r < 0)
		return refused(t, -EPROTO, "does not answer in HTTP");
	if (head.status == 101 || head.status >= 300)
		return refused_status(t, &head);
	if (head.status >= 200)
		t->step = UPSTREAM_OPEN;
	return (int)head.size;
}

static int hear_methods(struct upstream_talk *t, const uint8_t *b, size_t n)
{
	if (n < 2)
		return 0;
	if (b[1] == SOCKS_NO_LOGIN)
		t->step = UPSTREAM_CONNECT;
	else if (b[1] == SOCKS_LOGIN && t->url->user != NULL)
		t->step = UPSTREAM_LOGIN;
	else
		return refused(t, -ECONNREFUSED,
			       t->url->user != NULL ? "takes no user and password"
						    : "wants a user and a password");
	return 2;
}

static int hear_login(struct upstream_talk *t, const uint8_t *b, size_t n)
{
	if (n < 2)
		return 0;
	if (b[1] != 0)
		return refused(t, -ECONNREFUSED, "wants other credentials than it was given");
	t->step = UPSTREAM_CONNECT;
	return 2;
}

static int hear_socks_reply(struct upstream_talk *t, const uint8_t *b, size_t n)
{
	static const char *const replies[] = {
		[1] = "failed",
		[2] = "refuses it by its rules",
		[3] = "could not reach its network",
		[4] = "could not reach it",
		[5] = "was refused by it",
		[6] = "could not reach it in time",
		[7] = "cannot make connections",
		[8] = "does not know such addresses",
	};
	size_t size;

	if (n < 2)
		return 0;
	if (b[1] != 0)
		return refused(t, b[1] == 6 ? -ETIMEDOUT : -ECONNREFUSED,
			       b[1] < ARRAY_SIZE(replies) ? replies[b[1]] : "failed");
	if (n < 5)
		return 0;
	size = 6;
	if (b[3] == SOCKS_V4)
		size += 4;
	else if (b[3] == SOCKS_V6)
		size += 16;
	else if (b[3] == SOCKS_NAME)
		size += 1 + (size_t)b[4];
	else
		return refused(t, -EPROTO, "does not answer as SOCKS 5 says");
	if (n < size)
		return 0;
	t->step = UPSTREAM_OPEN;
	return (int)size;
}

int upstream_hear(struct upstream_talk *t, const char *bytes, size_t n)
{
	const uint8_t *b = (const uint8_t *)bytes;
	uint8_t version = t->step == UPSTREAM_LOGIN ? SOCKS_LOGIN_VERSION : SOCKS_VERSION;

	if (t->url->scheme != PROXY_SOCKS5)
		return hear_connect(t, bytes, n);
	if (n > 0 && b[0] != version)
		return refused(t, -EPROTO, "does not answer as SOCKS 5 says");
	switch (t->step) {
	case UPSTREAM_METHODS:
		return hear_methods(t, b, n);
	case UPSTREAM_LOGIN:
		return hear_login(t, b, n);
	case UPSTREAM_CONNECT:
		return hear_socks_reply(t, b, n);
	case UPSTREAM_OPEN:
		break;
	}
	return 0;
}

/* --- requests -------------------------------------------------------------------------------- */

void upstream_forward_head(const struct proxy_url *url, const struct policy_host *host,
			   uint16_t port, const struct buf *head, struct buf *out)
{
	/* forward.c wrote it: "METHOD /PATH HTTP/1.x", and a line end. */
	const char *path = head->data + strcspn(head->data, " ") + 1;
	const char *fields = path + strcspn(path, "\n") + 1;

	buf_add(out, head->data, (size_t)(path - head->data));
	buf_puts(out, "http://");
	log_target(host, port, out);
	if (port == 80) /* the scheme says so; lists of a company may know the short form only */
		buf_truncate(out, out->len - strlen(":80"));
	if (*path == '*') /* OPTIONS of the server as a whole has no path */
		path++;
	buf_add(out, path, (size_t)(fields - path));
	put_login(url, out);
	buf_add(out, fields, (size_t)(head->data + head->len - fields));
}
