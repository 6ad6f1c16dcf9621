/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward: HTTP heads on their way through the proxy (RFC 9110, RFC 9112).  Pure.
 *
 * A request head is never passed on as it came: a new one is written from what was understood, so
 * that the origin cannot read something else in it than the policy did.  The origin gets
 * origin-form, our Host, our framing, and no field that is meant for the next hop only.
 *
 * Decisions:
 *   - every request has its own connection to the origin ("Connection: close"), so that nothing of
 *     one exchange can be taken for a part of another;
 *   - "Upgrade: websocket" of a GET is passed on, any other Upgrade (h2c above all) is dropped;
 *   - TRACE is refused: it only shows what intermediaries added;
 *   - a request that is not for a proxy ("GET /"), https:// in absolute-form, user names in an
 *     authority, fragments, a Host that differs from the target: 400.
 */
#include "net/net_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

static const char *const hop_by_hop[] = {
	"Connection", "Keep-Alive", "TE",     "Trailer",	"Transfer-Encoding",
	"Upgrade",    "Host",	    "Expect", "Content-Length", "HTTP2-Settings",
};

static bool starts_nocase(struct http1_slice s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.n >= n && strncasecmp(s.p, prefix, n) == 0;
}

/* Is the field named by a Connection field of the same head? */
static bool is_nominated(const struct http1_head *h, struct http1_slice name)
{
	char token[64];

	if (name.n >= sizeof(token))
		return false;
	memcpy(token, name.p, name.n);
	token[name.n] = '\0';
	for (size_t i = 0; i < h->nheaders; i++) {
		if (http1_slice_is_nocase(h->headers[i].name, "Connection") &&
		    http1_list_has(h->headers[i].value, token))
			return true;
	}
	return false;
}

static bool is_for_next_hop(const struct http1_head *h, struct http1_slice name)
{
	for (size_t i = 0; i < ARRAY_SIZE(hop_by_hop); i++) {
		if (http1_slice_is_nocase(name, hop_by_hop[i]))
			return true;
	}
	return starts_nocase(name, "Proxy-") || is_nominated(h, name);
}

static void put_header(struct buf *out, const struct http1_header *h)
{
	buf_add(out, h->name.p, h->name.n);
	buf_puts(out, ": ");
	buf_add(out, h->value.p, h->value.n);
	buf_puts(out, "\r\n");
}

static void put_end_to_end(const struct http1_head *h, struct buf *out)
{
	for (size_t i = 0; i < h->nheaders; i++) {
		if (!is_for_next_hop(h, h->headers[i].name))
			put_header(out, &h->headers[i]);
	}
}

static int bad(int status, int *ret_status, struct err *e, const char *why)
{
	*ret_status = status;
	return err_set(e, ERR_INPUT, EINVAL, "%s", why);
}

/* An address in another spelling was understood, and is refused: 403 rather than 400. */
static int bad_authority(int *ret_status, struct err *e, int r)
{
	*ret_status = e->kind == ERR_REFUSED ? 403 : 400;
	return r;
}

/* Every Host must mean the target; *ret_seen: there was one. */
static int check_host(const struct http1_head *h, const struct forward *f, bool *ret_seen,
		      int *ret_status, struct err *e)
{
	struct policy_host host;
	uint16_t port;

	*ret_seen = false;
	for (size_t i = 0; i < h->nheaders; i++) {
		struct http1_slice v = h->headers[i].value;

		if (!http1_slice_is_nocase(h->headers[i].name, "Host"))
			continue;
		if (*ret_seen)
			return bad(400, ret_status, e, "more than one Host");
		*ret_seen = true;
		if (policy_authority_parse(v.p, v.n, f->connect ? f->port : 80, &host, &port, e) !=
			    0 ||
		    host.kind != f->host.kind || strcmp(host.name, f->host.name) != 0 ||
		    port != f->port)
			return bad(400, ret_status, e,
				   "Host differs from the target of the request");
	}
	return 0;
}

static int check_connect(const struct http1_head *h, struct forward *ret, int *ret_status,
			 struct err *e)
{
	bool seen;
	int r;

	if (h->body != HTTP1_BODY_NONE && (h->body != HTTP1_BODY_LENGTH || h->content_length != 0))
		return bad(400, ret_status, e, "CONNECT with a body");
	r = policy_authority_parse(h->target.p, h->target.n, 0, &ret->host, &ret->port, e);
	if (r != 0)
		return bad_authority(ret_status, e, r);
	ret->connect = true;
	ret->body = HTTP1_BODY_NONE;
	return check_host(h, ret, &seen, ret_status, e);
}

/* Visible ASCII only, and no fragment: what is sent must mean the same to everybody. */
static bool target_is_clean(struct http1_slice t)
{
	for (size_t i = 0; i < t.n; i++) {
		if (t.p[i] <= 0x20 || t.p[i] >= 0x7f || t.p[i] == '#' || t.p[i] == '\\')
			return false;
	}
	return true;
}

static void put_host(struct buf *out, const struct forward *f)
{
	bool v6 = f->host.kind == POLICY_HOST_V6;

	buf_printf(out, "Host: %s%s%s", v6 ? "[" : "", f->host.name, v6 ? "]" : "");
	if (f->port != 80)
		buf_printf(out, ":%u", (unsigned)f->port);
	buf_puts(out, "\r\n");
}

static void put_framing(struct buf *out, enum http1_body body, uint64_t length)
{
	if (body == HTTP1_BODY_CHUNKED)
		buf_puts(out, "Transfer-Encoding: chunked\r\n");
	else if (body == HTTP1_BODY_LENGTH)
		buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)length);
}

static void put_request(const struct http1_head *h, const struct forward *f,
			struct http1_slice path, bool expect, struct buf *out)
{
	buf_add(out, h->method.p, h->method.n);
	buf_putc(out, ' ');
	if (path.n == 0 && http1_slice_is(h->method, "OPTIONS"))
		buf_putc(out, '*');
	else if (path.n == 0 || path.p[0] != '/')
		buf_putc(out, '/');
	buf_add(out, path.p, path.n);
	/* An HTTP/1.0 client could not read what an HTTP/1.1 answer may contain. */
	buf_printf(out, " HTTP/1.%d\r\n", h->minor);
	put_host(out, f);
	put_end_to_end(h, out);
	put_framing(out, f->body, f->content_length);
	if (expect)
		buf_puts(out, "Expect: 100-continue\r\n");
	buf_puts(out, f->websocket ? "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
				   : "Connection: close\r\n\r\n");
}

static bool wants_websocket(const struct http1_head *h)
{
	const struct http1_header *upgrade = http1_find(h, "Upgrade");
	static const char name[] = "Upgrade";

	return h->minor == 1 && h->body == HTTP1_BODY_NONE && upgrade != NULL &&
	       http1_slice_is(h->method, "GET") &&
	       http1_slice_is_nocase(upgrade->value, "websocket") &&
	       is_nominated(h, (struct http1_slice){ name, strlen(name) });
}

static int check_expect(const struct http1_head *h, bool *ret_expect, int *ret_status,
			struct err *e)
{
	const struct http1_header *expect = http1_find(h, "Expect");

	*ret_expect = false;
	if (expect == NULL || h->minor == 0)
		return 0; /* HTTP/1.0 has no Expect: ignored, as RFC 9110 says */
	if (!http1_slice_is_nocase(expect->value, "100-continue"))
		return bad(417, ret_status, e, "Expect is not 100-continue");
	*ret_expect = true;
	return 0;
}

static int check_absolute(const struct http1_head *h, struct forward *ret, struct buf *ret_head,
			  int *ret_status, struct err *e)
{
	static const char scheme[] = "http://";
	struct http1_slice rest = h->target, authority;
	bool seen, expect;
	size_t n = 0;
	int r;

	if (starts_nocase(h->target, "https://"))
		return bad(400, ret_status, e, "https goes through CONNECT, not through a request");
	if (!starts_nocase(h->target, scheme))
		return bad(400, ret_status, e,
			   "this is a proxy: the target of a request is http://HOST/... or CONNECT "
			   "HOST:PORT");
	if (!target_is_clean(h->target))
		return bad(400, ret_status, e, "a byte that does not belong into a target");
	if (http1_slice_is(h->method, "TRACE"))
		return bad(405, ret_status, e, "TRACE is not passed on");
	rest.p += strlen(scheme);
	rest.n -= strlen(scheme);
	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	authority = (struct http1_slice){ rest.p, n };
	r = policy_authority_parse(authority.p, authority.n, 80, &ret->host, &ret->port, e);
	if (r != 0)
		return bad_authority(ret_status, e, r);
	r = check_host(h, ret, &seen, ret_status, e);
	if (r != 0)
		return r;
	if (!seen && h->minor == 1)
		return bad(400, ret_status, e, "no Host");
	r = check_expect(h, &expect, ret_status, e);
	if (r != 0)
		return r;
	ret->websocket = wants_websocket(h);
	put_request(h, ret, (struct http1_slice){ rest.p + n, rest.n - n }, expect, ret_head);
	return 0;
}

/* What a request tells about itself, wherever it goes. */
static void describe(const struct http1_head *h, struct forward *ret)
{
	const struct http1_header *accept = http1_find(h, "Accept");

	*ret = (struct forward){
		.minor = h->minor,
		.head = http1_slice_is(h->method, "HEAD"),
		.keep_alive = h->keep_alive,
		.wants_json = accept != NULL && http1_list_has(accept->value, "application/json"),
		.body = h->body,
		.content_length = h->content_length,
	};
}

int forward_origin_request(const struct http1_head *h, const struct policy_host *host,
			   uint16_t port, struct forward *ret, struct buf *ret_head,
			   int *ret_status, struct err *e)
{
	static const char other_host[] =
		"the request is for another host than the connection was made to";
	struct http1_slice path = h->target;
	bool seen, expect;
	int r;

	describe(h, ret);
	ret->host = *host;
	ret->port = port;
	*ret_status = 0;
	if (http1_slice_is(h->method, "CONNECT") || http1_slice_is(h->method, "TRACE"))
		return bad(405, ret_status, e, "CONNECT and TRACE are not passed on");
	if (starts_nocase(h->target, "http://")) {
		r = check_absolute(h, ret, ret_head, ret_status, e);
		if (r == 0 && (ret->host.kind != host->kind || ret->port != port ||
			       strcmp(ret->host.name, host->name) != 0))
			r = bad(403, ret_status, e, other_host);
		return r;
	}
	if (http1_slice_is(h->method, "OPTIONS") && path.n == 1 && path.p[0] == '*')
		path.n = 0;
	else if (path.n == 0 || path.p[0] != '/' || !target_is_clean(path))
		return bad(400, ret_status, e, "the target of the request is not a path");
	r = check_host(h, ret, &seen, ret_status, e);
	if (r != 0)
		return bad(403, ret_status, e, other_host);
	if (!seen && h->minor == 1)
		return bad(400, ret_status, e, "no Host");
	r = check_expect(h, &expect, ret_status, e);
	if (r != 0)
		return r;
	ret->websocket = wants_websocket(h);
	put_request(h, ret, path, expect, ret_head);
	return 0;
}

int forward_request(const struct http1_head *h, struct forward *ret, struct buf *ret_head,
		    int *ret_status, struct err *e)
{
	describe(h, ret);
	*ret_status = 0;
	if (http1_slice_is(h->method, "CONNECT"))
		return check_connect(h, ret, ret_status, e);
	return check_absolute(h, ret, ret_head, ret_status, e);
}

enum http1_body forward_response_body(const struct http1_head *h, const struct forward *f)
{
	if (f->head || h->status == 204 || h->status == 304 || h->status < 200)
		return HTTP1_BODY_NONE;
	if (h->body == HTTP1_BODY_NONE)
		return HTTP1_BODY_UNTIL_CLOSE; /* a response without framing lasts until the end */
	if (h->body == HTTP1_BODY_LENGTH && h->content_length == 0)
		return HTTP1_BODY_NONE;
	return h->body;
}

void forward_response(const struct http1_head *h, const struct forward *f, bool keep,
		      struct buf *out)
{
	buf_printf(out, "HTTP/1.%d %d ", f->minor, h->status);
	buf_add(out, h->reason.p, h->reason.n);
	buf_puts(out, "\r\n");
	put_end_to_end(h, out);
	/* A response to HEAD and a 304 may tell the framing of a body that does not come. */
	if (h->status >= 200 && h->status != 204)
		put_framing(out, h->body, h->content_length);
	if (h->status == 101)
		buf_puts(out, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
	else if (h->status >= 200)
		buf_puts(out, keep ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
	buf_puts(out, "\r\n");
}
