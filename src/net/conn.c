/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn: one connection of a program in the box.
 *
 *   HEAD --CONNECT--> DIAL --> TUNNEL
 *     ^  \--GET http://..--> DIAL --> EXCHANGE --\
 *     |                        \--(denied)--> EXCHANGE with our own answer
 *     \-------------------------- kept alive ----/--> LINGER --> gone
 *
 * Every request is decided anew and has its own connection to the origin.  While one is under way
 * nothing further is read from the client than what belongs to it: pipelined requests wait in `in`.
 *
 * A tunnel to port 443, and any other whose first byte is that of a TLS record, must begin with a
 * ClientHello for the host that was asked for.  On other ports bytes pass as they are (ssh).
 *
 * Invariants: `up` is open only in EXCHANGE and TUNNEL; a connection is freed in conn_free only,
 * and nothing touches it after a call that may free it (those return false or are last).
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "net/net_internal.h"

enum {
	HEAD_MS = 30000,	/* a request head, from its first byte (or from the start) */
	KEEP_ALIVE_MS = 600000, /* between requests */
	HELLO_MS = 10000,
	HALF_CLOSED_MS = 600000, /* a tunnel that only one side still uses, without a byte */
	LINGER_MS = 5000,
	QUOTE_MAX = 200,
	PUMP_ROUNDS = 4, /* chunks per event: others want their turn */
};

static void on_client(int fd, uint32_t events, void *arg);
static void on_up(int fd, uint32_t events, void *arg);
static void conn_step(struct conn *c);

/* --- life ------------------------------------------------------------------------------------ */

static void tune(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },    { IPPROTO_TCP, TCP_KEEPIDLE, 60 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 30 }, { IPPROTO_TCP, TCP_KEEPCNT, 5 },
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
	};

	/* Failing only loses speed, or notice of a dead peer. */
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

static void on_timer(void *arg);

static void set_deadline(struct conn *c, uint64_t ms)
{
	uint64_t deadline = ms == 0 ? 0 : loop_now(c->proxy->loop) + ms;

	/* A timer that fires too early is armed again; only an earlier end needs a new one. */
	if (deadline != 0 && (c->timer == NULL || deadline < c->deadline || c->deadline == 0)) {
		loop_remove(c->proxy->loop, c->timer);
		c->timer = loop_after(c->proxy->loop, ms, on_timer, c);
	}
	c->deadline = deadline;
}

struct conn *conn_new(struct proxy *p, int fd)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->proxy = p;
	c->client.fd = fd;
	c->up.fd = -1;
	c->state = CONN_HEAD;
	c->first = true;
	c->active = loop_now(p->loop);
	tune(fd);
	set_deadline(c, HEAD_MS);
	end_want(p->loop, &c->client, EPOLLIN, on_client, c);
	return c;
}

static void conn_free(struct conn *c)
{
	struct proxy *p = c->proxy;

	dial_cancel(c->dial);
	loop_remove(p->loop, c->timer);
	end_close(p->loop, &c->client);
	end_close(p->loop, &c->up);
	buf_free(&c->in);
	buf_free(&c->head);
	buf_free(&c->response);
	flow_free(&c->to_up);
	flow_free(&c->to_client);
	proxy_conn_gone(p, c);
	free(c);
}

/* --- records --------------------------------------------------------------------------------- */

static void record(struct conn *c, const char *verdict, const char *reason)
{
	struct record r = {
		.what = c->req.connect ? "connect" : "http",
		.host = c->target_known ? c->req.host.name : "",
		.port = c->target_known ? c->req.port : 0,
		.verdict = verdict,
		.rule = c->verdict.rule,
		.origin = c->verdict.origin,
		.reason = reason,
		.bytes_up = c->to_up.bytes,
		.bytes_down = c->to_client.bytes,
		.duration_ms = loop_now(c->proxy->loop) - c->started,
	};

	log_record(c->proxy->log, &r);
	c->started = 0;
}

static bool under_way(const struct conn *c)
{
	return c->started != 0;
}

void conn_abort(struct conn *c, const char *verdict, const char *reason)
{
	if (under_way(c))
		record(c, verdict, reason);
	conn_free(c);
}

/* --- our own answers ------------------------------------------------------------------------- */

static void begin_request(struct conn *c)
{
	c->started = loop_now(c->proxy->loop);
	c->target_known = false;
	c->got_head = false;
	c->up_shut = false;
	c->verdict = (struct policy_verdict){ 0 };
	c->to_up.bytes = 0;
	c->to_client.bytes = 0;
	flow_begin(&c->to_up, HTTP1_BODY_NONE, 0);
	flow_begin(&c->to_client, HTTP1_BODY_NONE, 0);
}

static bool has_no_body(const struct forward *f)
{
	return f->body == HTTP1_BODY_NONE ||
	       (f->body == HTTP1_BODY_LENGTH && f->content_length == 0);
}

/* The rest of the exchange is writing this out. May free c. */
static void answer(struct conn *c, const struct reply *what)
{
	struct buf out = BUF_INIT;
	struct reply r = *what;

	/* A body that was announced may still come: where it ends nobody will look. */
	c->keep = c->keep && !c->req.connect && has_no_body(&c->req);
	r.keep = c->keep;
	r.json = c->req.wants_json;
	r.head = c->req.head;
	log_reply(&r, &out);
	flow_put(&c->to_client, out.data, out.len);
	buf_free(&out);
	end_close(c->proxy->loop, &c->up);
	c->to_up.done = true;
	c->to_client.done = true;
	buf_free(&c->to_up.pending);
	c->state = CONN_EXCHANGE;
	set_deadline(c, HEAD_MS);
	conn_step(c);
}

static void answer_bad(struct conn *c, int status, const char *message)
{
	c->keep = false;
	record(c, status == 403 ? "deny" : "bad-request", message);
	answer(c, &(struct reply){ .status = status,
				   .error = status == 403 ? "denied" : "bad request",
				   .message = message,
				   .rule = "" });
}

static void answer_denied(struct conn *c)
{
	struct buf target = BUF_INIT, hint = BUF_INIT;

	log_target(&c->req.host, c->req.port, &target);
	log_hint(&c->req.host, c->req.port, &c->verdict, &hint);
	record(c, "deny", c->verdict.reason);
	proxy_notice(c->proxy, buf_str(&target), c->verdict.reason);
	answer(c, &(struct reply){ .status = 403,
				   .error = "denied",
				   .target = buf_str(&target),
				   .message = c->verdict.reason,
				   .rule = c->verdict.rule,
				   .hint = buf_str(&hint) });
	buf_free(&target);
	buf_free(&hint);
}

static void answer_failed(struct conn *c, int status, const char *reason)
{
	struct buf target = BUF_INIT;

	log_target(&c->req.host, c->req.port, &target);
	record(c, "error", reason);
	answer(c, &(struct reply){ .status = status,
				   .error = "cannot reach",
				   .target = buf_str(&target),
				   .message = reason,
				   .rule = c->verdict.rule });
	buf_free(&target);
}

/* --- requests -------------------------------------------------------------------------------- */

static void on_dialled(const struct dial_result *r, void *arg);

static void start_dial(struct conn *c)
{
	c->target_known = true;
	c->state = CONN_DIAL;
	set_deadline(c, 0);
	end_want(c->proxy->loop, &c->client, 0, on_client, c);
	c->dial = dial_start(c->proxy, &c->req.host, c->req.port, on_dialled, c);
}

/* Parse what is in `in`. May free c. */
static void take_head(struct conn *c)
{
	struct http1_head head;
	struct err e = ERR_INIT;
	int status = 400, r;

	r = c->in.len == 0 ? 0 : http1_parse_request(c->in.data, c->in.len, &head, &e);
	if (r == 0)
		return;
	begin_request(c);
	c->req = (struct forward){ 0 };
	c->first = false;
	if (r < 0) {
		answer_bad(c, r == -E2BIG ? 431 : 400, e.message);
		return;
	}
	buf_reset(&c->head);
	r = forward_request(&head, &c->req, &c->head, &status, &e);
	c->keep = c->req.keep_alive;
	buf_consume(&c->in, head.size);
	if (r != 0) {
		answer_bad(c, status, e.message);
		return;
	}
	start_dial(c);
}

static void read_head(struct conn *c)
{
	struct proxy *p = c->proxy;
	ssize_t n = recv(c->client.fd, p->scratch, sizeof(p->scratch), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* a part of a head is not a request */
		conn_free(c);
		return;
	}
	c->active = loop_now(p->loop);
	if (c->in.len == 0)
		set_deadline(c, HEAD_MS);
	buf_add(&c->in, p->scratch, (size_t)n);
	/* A head ends with a line; looking at every byte again would be quadratic. */
	if (memchr(p->scratch, '\n', (size_t)n) != NULL || c->in.len > HTTP1_HEAD_MAX)
		take_head(c);
}

/* The exchange is over: the next request, or the end. May free c. */
static void next_request(struct conn *c)
{
	if (under_way(c))
		record(c, "allow", c->verdict.reason);
	end_close(c->proxy->loop, &c->up);
	buf_free(&c->response);
	if (!c->keep) {
		c->state = CONN_LINGER;
		set_deadline(c, LINGER_MS);
		shutdown(c->client.fd, SHUT_WR);
		end_want(c->proxy->loop, &c->client, EPOLLIN, on_client, c);
		return;
	}
	c->state = CONN_HEAD;
	if (c->in.len == 0)
		buf_free(&c->in);
	set_deadline(c, c->in.len > 0 ? HEAD_MS : KEEP_ALIVE_MS);
	end_want(c->proxy->loop, &c->client, EPOLLIN, on_client, c);
	take_head(c);
}

/* --- connected ------------------------------------------------------------------------------- */

static void begin_tunnel(struct conn *c)
{
	static const char established[] = "HTTP/1.1 200 Connection established\r\n\r\n";

	c->state = CONN_TUNNEL;
	c->up_shut = c->client_shut = false;
	flow_begin(&c->to_up, HTTP1_BODY_UNTIL_CLOSE, 0);
	flow_begin(&c->to_client, HTTP1_BODY_UNTIL_CLOSE, 0);
	flow_put(&c->to_client, established, strlen(established));
	c->hello_pending = true;
	set_deadline(c, c->req.port == 443 ? HELLO_MS : 0);
}

static void begin_exchange(struct conn *c)
{
	c->state = CONN_EXCHANGE;
	c->hello_pending = false;
	flow_begin(&c->to_up, c->req.body, c->req.content_length);
	flow_begin(&c->to_client, HTTP1_BODY_UNTIL_CLOSE, 0);
	flow_put(&c->to_up, c->head.data, c->head.len);
	buf_free(&c->head);
}

static int outcome_status(enum dial_outcome outcome)
{
	return outcome == DIAL_TIMEOUT ? 504 : 502;
}

static void on_dialled(const struct dial_result *r, void *arg)
{
	struct conn *c = arg;

	c->dial = NULL;
	c->verdict = r->verdict;
	c->active = loop_now(c->proxy->loop);
	if (r->outcome == DIAL_CONNECTED) {
		c->up = (struct end){ .fd = r->fd };
		c->peer = r->peer;
		tune(r->fd);
		/* The rules may have changed on the way. */
		if (!dial_still_allowed(c->proxy, &c->req.host, c->req.port, &c->peer,
					&c->verdict)) {
			answer_denied(c);
			return;
		}
		if (c->req.connect)
			begin_tunnel(c);
		else
			begin_exchange(c);
		conn_step(c);
	} else if (r->outcome == DIAL_DENIED) {
		answer_denied(c);
	} else {
		answer_failed(c, outcome_status(r->outcome), r->reason);
	}
}

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

/* Close a tunnel whose first flight is not what was allowed. Frees c. */
static void refuse_tunnel(struct conn *c, const char *reason)
{
	/* A fatal access_denied alert: clients then say so instead of "unexpected end". */
	static const uint8_t alert[] = { 21, 3, 1, 0, 2, 2, 49 };
	struct buf target = BUF_INIT;
	ssize_t sent;

	log_target(&c->req.host, c->req.port, &target);
	proxy_notice(c->proxy, buf_str(&target), reason);
	buf_free(&target);
	record(c, "deny", reason);
	if (c->to_client.pending.len == 0 && c->to_client.bytes == 0) {
		sent = send(c->client.fd, alert, sizeof(alert), MSG_NOSIGNAL);
		(void)sent;
	}
	end_close(c->proxy->loop, &c->up);
	buf_free(&c->in);
	buf_free(&c->to_client.pending);
	c->keep = false;
	next_request(c);
}

/*
 * Look at the first flight in `in`. 1: go on and pass it. 0: wait for more. -1: refused, c is not a
 * tunnel any more.
 */
static int check_hello(struct conn *c)
{
	const uint8_t *bytes = (const uint8_t *)c->in.data;
	struct tls_hello hello;
	const char *why = "the first bytes are not a TLS ClientHello";
	int r;

	if (c->in.len == 0)
		return 0;
	if (c->req.port != 443 && bytes[0] != 0x16)
		return 1;
	if (c->deadline == 0)
		set_deadline(c, HELLO_MS);
	r = tls_hello_parse(bytes, c->in.len, &hello);
	if (r == 0)
		return 0;
	if (r == 1)
		why = hello_refusal(c, &hello);
	if (why == NULL)
		return 1;
	refuse_tunnel(c, why);
	return -1;
}

/* --- moving bytes ---------------------------------------------------------------------------- */

/* Every function below returns false when c was freed or changed its state. */

/* What was read from the client -> the origin. */
static bool feed_up(struct conn *c, const char *bytes, size_t n)
{
	int64_t taken = flow_take(&c->to_up, c->up.fd, bytes, n);

	if (taken == -EBADMSG) {
		static const char why[] = "broken chunks in the body of a request";

		if (c->got_head)
			conn_abort(c, "bad-request", why);
		else
			answer_bad(c, 400, why);
		return false;
	}
	if (taken < 0) {
		/* The origin does not listen any more, but may have answered. */
		if (c->state == CONN_EXCHANGE) {
			c->to_up.done = true;
			buf_free(&c->to_up.pending);
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
		set_deadline(c, 0);
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
	if (c->hello_pending && (c->req.port == 443 || c->in.len > 0)) {
		refuse_tunnel(c, "the client closed the connection before its ClientHello");
		return false;
	}
	c->to_up.done = true;
	if (c->deadline == 0)
		set_deadline(c, HALF_CLOSED_MS);
	return true;
}

static bool read_client(struct conn *c)
{
	struct proxy *p = c->proxy;
	size_t want = sizeof(p->scratch);
	ssize_t n;

	for (int i = 0; i < PUMP_ROUNDS && flow_wants(&c->to_up); i++) {
		if (c->to_up.frame == HTTP1_BODY_LENGTH && c->to_up.left < want)
			want = (size_t)c->to_up.left;
		n = recv(c->client.fd, p->scratch, want, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n < 0) {
			conn_abort(c, "allow", "the client reset the connection");
			return false;
		}
		if (n == 0)
			return client_ended(c);
		c->active = loop_now(p->loop);
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
	if ((h->status == 101 && !c->req.websocket) ||
	    (body == HTTP1_BODY_CHUNKED && c->req.minor == 0)) {
		answer_failed(c, 502, "the response is not one that the request allows");
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
	while (!c->got_head && c->response.len > 0) {
		struct http1_head head;
		struct err e = ERR_INIT;
		int r = http1_parse_response(c->response.data, c->response.len, &head, &e);

		if (r == 0)
			return true;
		if (r < 0) {
			answer_failed(c, 502, "the response is not valid HTTP");
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
		answer_failed(c, 502,
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
		set_deadline(c, HALF_CLOSED_MS);
	return true;
}

static bool read_up(struct conn *c)
{
	struct proxy *p = c->proxy;

	for (int i = 0; i < PUMP_ROUNDS && c->up.fd >= 0 && flow_wants(&c->to_client); i++) {
		ssize_t n = recv(c->up.fd, p->scratch, sizeof(p->scratch), 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n <= 0)
			return up_ended(c, n < 0 ? errno : 0);
		c->active = loop_now(p->loop);
		if (!feed_client(c, p->scratch, (size_t)n))
			return false;
	}
	return true;
}

static bool flush_both(struct conn *c)
{
	if (c->up.fd >= 0 && flow_flush(&c->to_up, c->up.fd) < 0) {
		buf_free(&c->to_up.pending);
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
		next_request(c);
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

	if (flow_wants(&c->to_up))
		client |= EPOLLIN;
	if (c->to_client.pending.len > 0)
		client |= EPOLLOUT;
	if (flow_wants(&c->to_client))
		up |= EPOLLIN;
	if (c->to_up.pending.len > 0)
		up |= EPOLLOUT;
	end_want(c->proxy->loop, &c->client, client, on_client, c);
	end_want(c->proxy->loop, &c->up, up, on_up, c);
}

/* After anything happened in EXCHANGE or TUNNEL. May free c. */
static void conn_step(struct conn *c)
{
	if (!flush_both(c) || !feed_waiting(c) || !settle(c))
		return;
	update_wants(c);
}

/* --- events ---------------------------------------------------------------------------------- */

static void drain_client(struct conn *c)
{
	struct proxy *p = c->proxy;
	ssize_t n = recv(c->client.fd, p->scratch, sizeof(p->scratch), 0);

	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	conn_free(c);
}

static void on_client(int fd, uint32_t events, void *arg)
{
	struct conn *c = arg;
	bool dead = (events & (EPOLLERR | EPOLLHUP)) != 0;

	(void)fd;
	switch (c->state) {
	case CONN_HEAD:
		read_head(c);
		return;
	case CONN_LINGER:
		drain_client(c);
		return;
	case CONN_DIAL:
		if (dead)
			conn_abort(c, "allow", "the client went away");
		return;
	case CONN_EXCHANGE:
	case CONN_TUNNEL:
		break;
	}
	if (dead && c->client.want == 0) {
		/* A reset, or both directions closed while bytes for the origin wait. */
		if (c->state == CONN_EXCHANGE || (events & EPOLLERR) != 0)
			conn_abort(c, "allow", "the client went away");
		else
			end_unwatch(c->proxy->loop, &c->client);
		return;
	}
	if ((events & ~(uint32_t)EPOLLOUT) != 0 && (c->client.want & EPOLLIN) != 0 &&
	    !read_client(c))
		return;
	conn_step(c);
}

static void on_up(int fd, uint32_t events, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	if (c->up.want == 0) {
		end_unwatch(c->proxy->loop, &c->up);
		return;
	}
	if ((events & ~(uint32_t)EPOLLOUT) != 0 && (c->up.want & EPOLLIN) != 0 && !read_up(c))
		return;
	conn_step(c);
}

static void on_timer(void *arg)
{
	struct conn *c = arg;
	uint64_t now = loop_now(c->proxy->loop);

	c->timer = NULL;
	if (c->deadline == 0)
		return;
	if (c->state == CONN_TUNNEL && !c->hello_pending)
		c->deadline = c->active + HALF_CLOSED_MS;
	if (now < c->deadline) {
		c->timer = loop_after(c->proxy->loop, c->deadline - now, on_timer, c);
		return;
	}
	if (c->state == CONN_HEAD && c->in.len > 0) {
		begin_request(c);
		c->req = (struct forward){ 0 };
		answer_bad(c, 408, "the request head did not arrive in time");
	} else if (c->state == CONN_TUNNEL && c->hello_pending) {
		refuse_tunnel(c, "no TLS ClientHello arrived in time");
	} else {
		conn_abort(c, "allow", "nothing happened for too long");
	}
}

void conn_recheck(struct conn *c)
{
	if (c->up.fd < 0 || !under_way(c) ||
	    dial_still_allowed(c->proxy, &c->req.host, c->req.port, &c->peer, &c->verdict))
		return;
	conn_abort(c, "deny", "the rules changed");
}
