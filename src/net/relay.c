/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay: the bytes of a connection, once it has an origin.
 *
 * A tunnel to port 443, and any other whose first byte is that of a TLS record, must begin with a
 * ClientHello for the host that was asked for; until it is whole it waits in `in`.  On other ports
 * bytes pass as they are (ssh).  An exchange passes one request body and one response, each to its
 * end and not a byte further.
 *
 * After an event: read what there is room for, then conn_step writes, passes ends of streams on,
 * and tells the loop what to wait for.  Functions that return bool return false when the connection
 * was freed or went into another state; their caller then leaves it alone.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "net/net_internal.h"

enum {
	PUMP_ROUNDS = 4, /* chunks per event: others want their turn */
};

/* --- the first flight of a tunnel ------------------------------------------------------------ */

/* NULL when the tunnel may go on. */
static const char *hello_refusal(const struct conn *c, const struct tls_hello *hello)
{
	struct policy_host sni;

	if (c->req.host.kind != POLICY_HOST_NAME)
		return NULL; /* the rule named an address, and that is what was reached */
	if (hello->ech)
		return "encrypted ClientHello (switch it off in the client)";
	if (hello->sni_len == 0)
		return "TLS without a server name";
	if (policy_host_parse(hello->sni, hello->sni_len, &sni, NULL) != 0 ||
	    sni.kind != POLICY_HOST_NAME || strcmp(sni.name, c->req.host.name) != 0)
		return "the TLS server name is not the host that was asked for";
	return NULL;
}

int conn_check_hello(const struct conn *c, const char **ret_why)
{
	struct tls_hello hello;
	int r = tls_hello_parse((const uint8_t *)c->in.data, c->in.len, &hello);

	if (r == 0)
		return 0;
	*ret_why = r == 1 ? hello_refusal(c, &hello) : "the first bytes are not a TLS ClientHello";
	return *ret_why == NULL ? 1 : -1;
}

static void refuse_now(struct conn *c)
{
	const char *reason = c->refusal;
	/* A fatal access_denied alert: clients then say so instead of "unexpected end". */
	static const uint8_t alert[] = { 21, 3, 1, 0, 2, 2, 49 };
	struct buf target = BUF_INIT;
	ssize_t sent;

	log_target(&c->req.host, c->req.port, &target);
	/* A client that only opened a connection in advance did nothing to tell people about. */
	if (c->in.len > 0)
		proxy_notice(c->proxy, buf_str(&target), reason, "");
	buf_free(&target);
	conn_record(c, "deny", reason);
	if (!flow_pending(&c->to_client) && c->to_client.bytes == 0) {
		sent = send(c->client.fd, alert, sizeof(alert), MSG_NOSIGNAL);
		(void)sent;
	}
	end_close(c->proxy->loop, &c->up);
	buf_free(&c->in);
	flow_drop(&c->to_client);
	c->keep = false;
	conn_next_request(c);
}

/* Close a tunnel whose first flight is not what was allowed; reason is static. May free c. */
void conn_refuse_tunnel(struct conn *c, const char *reason)
{
	c->refusal = reason;
	if (!conn_wait(c, refuse_now))
		refuse_now(c);
}

/*
 * Look at the first flight in `in`. 1: go on and pass it. 0: wait for more. -1: refused, c is not a
 * tunnel any more.
 */
static int check_hello(struct conn *c)
{
	const char *why;
	int r;

	if (c->in.len == 0)
		return 0;
	if (c->req.port != 443 && c->in.data[0] != TLS_HELLO_FIRST_BYTE)
		return 1;
	if (c->deadline == 0)
		conn_set_deadline(c, CONN_HELLO_MS);
	r = conn_check_hello(c, &why);
	if (r < 0)
		conn_refuse_tunnel(c, why);
	return r;
}

/* --- moving bytes ---------------------------------------------------------------------------- */

/*
 * Read from a socket: bytes into scratch, or, of a tunnel's bulk, straight on to the other side,
 * and *ret_spliced is set. *ret_error: -errno of writing there.
 */
static ssize_t read_some(struct conn *c, struct flow *f, int from, int to, size_t want,
			 bool *ret_spliced, int *ret_error)
{
	struct proxy *p = c->proxy;
	ssize_t n;

	*ret_error = 0;
	*ret_spliced = c->state == CONN_TUNNEL && !c->hello_pending && flow_splices(f, &p->pipes);
	if (*ret_spliced)
		return flow_splice(f, from, to, ret_error);
	n = recv(from, p->scratch, want, 0);
	f->bulk = n == (ssize_t)sizeof(p->scratch);
	return n;
}

/* What was read from the client -> the origin. */
static bool feed_up(struct conn *c, const char *bytes, size_t n)
{
	int64_t taken = flow_take(&c->to_up, c->up.fd, bytes, n);

	if (taken == -EBADMSG) {
		static const char why[] = "broken chunks in the body of a request";

		if (c->got_head)
			conn_abort(c, "bad-request", why);
		else
			conn_answer_bad(c, 400, why);
		return false;
	}
	if (taken < 0) {
		/* The origin does not listen any more, but may have answered. */
		if (c->state == CONN_EXCHANGE) {
			c->to_up.done = true;
			flow_drop(&c->to_up);
			c->keep = false;
			return true;
		}
		conn_abort(c, "allow", "the other side closed the connection");
		return false;
	}
	if ((size_t)taken < n)
		buf_add(&c->in, bytes + taken, n - (size_t)taken);
	return true;
}

/* Use what is in `in`. */
static bool feed_waiting(struct conn *c)
{
	struct buf in = c->in;
	bool ok;

	if (c->state == CONN_TUNNEL && c->hello_pending) {
		int r = check_hello(c);

		if (r <= 0)
			return r == 0;
		c->hello_pending = false;
		conn_set_deadline(c, 0);
		in = c->in;
	}
	if (in.len == 0 || c->to_up.done)
		return true;
	c->in = BUF_INIT;
	ok = feed_up(c, in.data, in.len);
	buf_free(&in);
	return ok;
}

static bool client_ended(struct conn *c)
{
	if (c->state == CONN_EXCHANGE) {
		conn_abort(c, "bad-request", "the client closed the connection inside its request");
		return false;
	}
	if (c->hello_pending && c->in.len == 0 && c->req.port == 443) {
		conn_abort(c, "allow", "the client closed the connection before it sent anything");
		return false;
	}
	if (c->hello_pending && c->in.len > 0) {
		conn_refuse_tunnel(c, "the client closed the connection before its ClientHello");
		return false;
	}
	c->to_up.done = true;
	if (c->deadline == 0)
		conn_set_deadline(c, CONN_HALF_CLOSED_MS);
	return true;
}

/* How much to read: as much as may have to be kept, if the other side does not take it. */
static size_t read_size(const struct proxy *p)
{
	return p->held < PROXY_HELD_SOFT ? sizeof(p->scratch) : PROXY_READ_SMALL;
}

bool conn_read_client(struct conn *c)
{
	struct proxy *p = c->proxy;
	size_t want = read_size(p);
	bool spliced;
	int error;
	ssize_t n;

	for (int i = 0; i < PUMP_ROUNDS && flow_wants(&c->to_up); i++) {
		if (c->to_up.frame == HTTP1_BODY_LENGTH && c->to_up.left < want)
			want = (size_t)c->to_up.left;
		n = read_some(c, &c->to_up, c->client.fd, c->up.fd, want, &spliced, &error);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n < 0) {
			conn_abort(c, "allow", "the client reset the connection");
			return false;
		}
		if (n == 0)
			return client_ended(c);
		c->active = loop_now(p->loop);
		if (error < 0) {
			conn_abort(c, "allow", "the other side closed the connection");
			return false;
		}
		if (spliced)
			continue;
		if (c->state == CONN_TUNNEL && c->hello_pending) {
			buf_add(&c->in, p->scratch, (size_t)n);
			if (!feed_waiting(c))
				return false;
		} else if (!feed_up(c, p->scratch, (size_t)n)) {
			return false;
		}
	}
	return true;
}

/* A complete response head at the front of `response`: pass it on. */
static bool take_response_head(struct conn *c, const struct http1_head *h)
{
	enum http1_body body = forward_response_body(h, &c->req);
	struct buf out = BUF_INIT;

	if (h->status < 200 && h->status != 101) {
		/* Interim answers: an HTTP/1.0 client does not know them. */
		if (c->req.minor == 1) {
			forward_response(h, &c->req, true, &out);
			flow_put(&c->to_client, out.data, out.len);
			buf_free(&out);
		}
		return true;
	}
	if (h->status == 407 && c->forwarded) {
		auto_buf why = BUF_INIT;

		/* No program in the box has credentials for it. */
		buf_printf(&why, "the proxy %s wants other credentials than it was given: 407",
			   upstream_name(c->via));
		conn_answer_failed(c, 502, buf_str(&why));
		return false;
	}
	if ((h->status == 101 && !c->req.websocket) ||
	    (body == HTTP1_BODY_CHUNKED && c->req.minor == 0)) {
		conn_answer_failed(c, 502, "the response is not one that the request allows");
		return false;
	}
	c->keep = c->keep && body != HTTP1_BODY_UNTIL_CLOSE;
	/* After an early answer nobody knows where the request ends. */
	c->keep = c->keep && c->to_up.done;
	forward_response(h, &c->req, c->keep, &out);
	flow_put(&c->to_client, out.data, out.len);
	buf_free(&out);
	c->got_head = true;
	if (h->status == 101) {
		c->state = CONN_TUNNEL;
		c->hello_pending = false;
		c->keep = false;
		flow_begin(&c->to_up, HTTP1_BODY_UNTIL_CLOSE, 0);
		body = HTTP1_BODY_UNTIL_CLOSE;
	}
	flow_begin(&c->to_client, body, h->content_length);
	return true;
}

/* Bytes of the origin before its final head was seen. */
static bool feed_response_head(struct conn *c, const char *bytes, size_t n)
{
	buf_add(&c->response, bytes, n);
	conn_account(c);
	if (c->proxy->held > PROXY_HELD_MAX) {
		conn_refuse_full(c);
		return false;
	}
	while (!c->got_head && c->response.len > 0) {
		struct http1_head head;
		struct err e = ERR_INIT;
		int r = http1_parse_response(c->response.data, c->response.len, &head, &e);

		if (r == 0)
			return true;
		if (r < 0) {
			conn_answer_failed(c, 502, "the response is not valid HTTP");
			return false;
		}
		if (!take_response_head(c, &head))
			return false;
		buf_consume(&c->response, head.size);
	}
	if (c->got_head) {
		struct buf rest = c->response;
		int64_t taken;

		c->response = BUF_INIT;
		taken = flow_take(&c->to_client, c->client.fd, buf_str(&rest), rest.len);
		buf_free(&rest);
		if (taken < 0) {
			conn_abort(c, "error", "broken chunks in the body of a response");
			return false;
		}
	}
	return true;
}

static bool feed_client(struct conn *c, const char *bytes, size_t n)
{
	int64_t taken;

	if (c->state == CONN_EXCHANGE && !c->got_head)
		return feed_response_head(c, bytes, n);
	taken = flow_take(&c->to_client, c->client.fd, bytes, n);
	if (taken < 0) {
		conn_abort(c, "allow",
			   taken == -EBADMSG ? "broken chunks in the body of a response"
					     : "the client closed the connection");
		return false;
	}
	return true; /* what follows the end of a response is nobody's */
}

static bool up_ended(struct conn *c, int error)
{
	if (c->state == CONN_EXCHANGE && !c->got_head) {
		conn_answer_failed(c, 502,
				   error != 0 ? strerror(error)
					      : "the connection ended before a response came");
		return false;
	}
	if (error != 0 ||
	    (c->state == CONN_EXCHANGE && c->to_client.frame != HTTP1_BODY_UNTIL_CLOSE)) {
		/* The client must not take a part for the whole. */
		conn_abort(c, "allow", "the other side ended the connection early");
		return false;
	}
	c->to_client.done = true;
	if (c->state == CONN_TUNNEL && c->deadline == 0)
		conn_set_deadline(c, CONN_HALF_CLOSED_MS);
	return true;
}

bool conn_read_up(struct conn *c)
{
	struct proxy *p = c->proxy;

	for (int i = 0; i < PUMP_ROUNDS && c->up.fd >= 0 && flow_wants(&c->to_client); i++) {
		bool spliced;
		int error;
		ssize_t n = read_some(c, &c->to_client, c->up.fd, c->client.fd, read_size(p),
				      &spliced, &error);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n <= 0)
			return up_ended(c, n < 0 ? errno : 0);
		c->active = loop_now(p->loop);
		if (error < 0) {
			conn_abort(c, "allow", "the client closed the connection");
			return false;
		}
		if (!spliced && !feed_client(c, p->scratch, (size_t)n))
			return false;
	}
	return true;
}

static bool flush_both(struct conn *c)
{
	if (c->up.fd >= 0 && flow_flush(&c->to_up, c->up.fd) < 0) {
		flow_drop(&c->to_up);
		c->to_up.done = true;
		c->keep = false;
		c->up_shut = true;
	}
	if (flow_flush(&c->to_client, c->client.fd) < 0) {
		conn_abort(c, "allow", "the client closed the connection");
		return false;
	}
	return true;
}

/* Pass the ends of the streams on; true while there is something left to do. */
static bool settle(struct conn *c)
{
	if (c->state == CONN_EXCHANGE) {
		if (!flow_drained(&c->to_client))
			return true;
		/* An answer before the end of the request: the rest is not wanted. */
		c->keep = c->keep && flow_drained(&c->to_up);
		conn_next_request(c);
		return false;
	}
	if (flow_drained(&c->to_up) && !c->up_shut) {
		c->up_shut = true;
		shutdown(c->up.fd, SHUT_WR);
	}
	if (flow_drained(&c->to_client) && !c->client_shut) {
		c->client_shut = true;
		shutdown(c->client.fd, SHUT_WR);
	}
	if (c->up_shut && c->client_shut) {
		conn_abort(c, "allow", c->verdict.reason);
		return false;
	}
	return true;
}

static void update_wants(struct conn *c)
{
	uint32_t client = 0, up = 0;

	conn_account(c);
	if (flow_wants(&c->to_up))
		client |= EPOLLIN;
	if (flow_pending(&c->to_client))
		client |= EPOLLOUT;
	if (flow_wants(&c->to_client))
		up |= EPOLLIN;
	if (flow_pending(&c->to_up))
		up |= EPOLLOUT;
	end_want(c->proxy->loop, &c->client, client, conn_on_client, c);
	end_want(c->proxy->loop, &c->up, up, conn_on_up, c);
}

/* After anything happened in EXCHANGE or TUNNEL. May free c. */
void conn_step(struct conn *c)
{
	if (!flush_both(c) || !feed_waiting(c) || !settle(c))
		return;
	update_wants(c);
}
