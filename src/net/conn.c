/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn: one connection of a program in the box.
 *
 *                     FIRST --TLS--> DIAL --> TUNNEL
 *                       |
 *                       v HTTP
 *   HEAD --CONNECT--> DIAL --> TUNNEL       (before a refusal: WAIT, see program.c)
 *     ^  \--GET http://..--> DIAL --> EXCHANGE --\
 *     |                        \--(denied)--> EXCHANGE with our own answer
 *     \-------------------------- kept alive ----/--> LINGER --> gone
 *
 * Every request is decided anew and has its own connection to the origin.  While one is under way
 * nothing further is read from the client than what belongs to it: pipelined requests wait in `in`.
 * The bytes of a tunnel or an exchange are moved in relay.c.
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
#include "net/net_internal.h"

enum {
	HEAD_MS = 30000,	/* a request head, from its first byte (or from the start) */
	KEEP_ALIVE_MS = 600000, /* between requests */
	LINGER_MS = 5000,
};

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
static void on_program(const struct program *who, void *arg);

void conn_set_deadline(struct conn *c, uint64_t ms)
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
	conn_set_deadline(c, HEAD_MS);
	end_want(p->loop, &c->client, EPOLLIN, conn_on_client, c);
	c->ask = program_ask(p, fd, NULL, on_program, c);
	return c;
}

void conn_account(struct conn *c)
{
	size_t held = c->in.cap + c->head.cap + c->response.cap + c->to_up.pending.cap +
		      c->to_client.pending.cap;

	c->proxy->held += held - c->held;
	c->held = held;
}

static void conn_free(struct conn *c)
{
	struct proxy *p = c->proxy;

	p->held -= c->held;
	dial_cancel(c->dial);
	program_forget(c->ask);
	loop_remove(p->loop, c->timer);
	end_close(p->loop, &c->client);
	end_close(p->loop, &c->up);
	buf_free(&c->in);
	buf_free(&c->head);
	buf_free(&c->response);
	flow_free(&c->to_up);
	flow_free(&c->to_client);
	free(c->program.exe);
	if (c->original != NULL && c->original->named)
		names_release(p->names, c->original->number);
	free(c->original);
	proxy_conn_gone(p, c);
	free(c);
}

/* --- records --------------------------------------------------------------------------------- */

void conn_record(struct conn *c, const char *verdict, const char *reason)
{
	struct record r = {
		.what = !c->req.connect	      ? "http"
			: c->original != NULL ? "tcp"
					      : "connect",
		.host = c->target_known ? c->req.host.name : "",
		.port = c->target_known ? c->req.port : 0,
		.verdict = c->verdict.would_deny && strcmp(verdict, "allow") == 0 ? "would-deny"
										  : verdict,
		.addr = (const struct sockaddr *)&c->peer,
		.rule = c->verdict.rule,
		.origin = c->verdict.origin,
		.reason = reason,
		.via = c->via != NULL ? upstream_name(c->via) : NULL,
		.bytes_up = c->to_up.bytes,
		.bytes_down = c->to_client.bytes,
		.duration_ms = loop_now(c->proxy->loop) - c->started,
		.program = &c->program,
		.ask = c->ask,
	};

	log_record(c->proxy, &r);
	c->started = 0;
}

static bool under_way(const struct conn *c)
{
	return c->started != 0;
}

void conn_abort(struct conn *c, const char *verdict, const char *reason)
{
	if (under_way(c))
		conn_record(c, verdict, reason);
	conn_free(c);
}

void conn_reset(struct conn *c, const char *verdict, const char *reason)
{
	const struct linger now = { .l_onoff = 1 };

	setsockopt(c->client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	conn_abort(c, verdict, reason);
}

/* --- the program ----------------------------------------------------------------------------- */

static void on_program(const struct program *who, void *arg)
{
	struct conn *c = arg;

	c->ask = NULL;
	if (who != NULL)
		c->program = (struct program){ who->pid, xstrndup(who->exe, who->exe_len),
					       who->exe_len };
	if (c->state == CONN_WAIT)
		c->then(c);
}

bool conn_wait(struct conn *c, void (*then)(struct conn *c))
{
	if (c->ask == NULL || c->state == CONN_WAIT)
		return false;
	c->state = CONN_WAIT;
	c->then = then;
	conn_set_deadline(c, 0);
	end_want(c->proxy->loop, &c->client, 0, conn_on_client, c);
	end_want(c->proxy->loop, &c->up, 0, conn_on_up, c);
	return true;
}

/* A line for people, where the program gets none. */
static void notice(struct conn *c, const char *reason)
{
	struct buf target = BUF_INIT;

	log_target(&c->req.host, c->req.port, &target);
	proxy_notice(c->proxy, buf_str(&target), reason, "");
	buf_free(&target);
}

/* What was refused, and the command that would allow it; people are told. */
static void describe_denied(const struct conn *c, struct buf *target, struct buf *hint)
{
	log_target(&c->req.host, c->req.port, target);
	policy_hint(&c->req.host, c->req.port, &c->verdict, (const struct sockaddr *)&c->peer,
		    c->proxy->sandbox, hint);
	proxy_notice(c->proxy, buf_str(target), c->verdict.reason, buf_str(hint));
}

void conn_reset_denied(struct conn *c)
{
	struct buf target = BUF_INIT, hint = BUF_INIT;

	if (conn_wait(c, conn_reset_denied))
		return;
	describe_denied(c, &target, &hint);
	buf_free(&target);
	buf_free(&hint);
	conn_reset(c, "deny", c->verdict.reason);
}

/* --- our own answers ------------------------------------------------------------------------- */

void conn_begin_request(struct conn *c)
{
	c->started = loop_now(c->proxy->loop);
	c->target_known = false;
	c->got_head = false;
	c->up_shut = false;
	c->verdict = (struct policy_verdict){ 0 };
	c->via = NULL;
	c->forwarded = false;
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
	flow_drop(&c->to_up);
	c->state = CONN_EXCHANGE;
	conn_set_deadline(c, HEAD_MS);
	conn_step(c);
}

void conn_answer_bad(struct conn *c, int status, const char *message)
{
	c->keep = false;
	conn_record(c, status == 403 ? "deny" : "bad-request", message);
	answer(c, &(struct reply){ .status = status,
				   .error = status == 403 ? "denied" : "bad request",
				   .message = message,
				   .rule = "" });
}

static void answer_denied(struct conn *c)
{
	struct buf target = BUF_INIT, hint = BUF_INIT;

	if (conn_wait(c, answer_denied))
		return;
	describe_denied(c, &target, &hint);
	conn_record(c, "deny", c->verdict.reason);
	answer(c, &(struct reply){ .status = 403,
				   .error = "denied",
				   .target = buf_str(&target),
				   .message = c->verdict.reason,
				   .rule = c->verdict.rule,
				   .hint = buf_str(&hint) });
	buf_free(&target);
	buf_free(&hint);
}

void conn_refuse_full(struct conn *c)
{
	static const char why[] = "too many bytes of other connections wait in the proxy";

	if (c->original != NULL && c->state == CONN_FIRST) {
		conn_reset(c, "error", why);
		return;
	}
	if (!under_way(c)) {
		conn_begin_request(c);
		c->req = (struct forward){ 0 };
	}
	c->keep = false;
	conn_record(c, "error", why);
	answer(c, &(struct reply){ .status = 503, .error = "busy", .message = why, .rule = "" });
}

void conn_answer_failed(struct conn *c, int status, const char *reason)
{
	struct buf target = BUF_INIT;

	log_target(&c->req.host, c->req.port, &target);
	conn_record(c, "error", reason);
	answer(c, &(struct reply){ .status = status,
				   .error = "cannot reach",
				   .target = buf_str(&target),
				   .message = reason,
				   .rule = c->verdict.rule });
	buf_free(&target);
}

/* --- requests -------------------------------------------------------------------------------- */

static void on_dialled(const struct dial_result *r, void *arg);

/* What the rules may look at, from the first line of the head that the origin gets. */
static const struct policy_request *request_of(const struct conn *c, struct policy_request *ret)
{
	const char *method = c->head.data, *path;

	if (c->req.connect || c->head.len == 0)
		return NULL;
	path = strchr(method, ' ') + 1;
	*ret = (struct policy_request){ method, (size_t)(path - method) - 1, path,
					strcspn(path, " ?") };
	return ret;
}

void conn_start_dial(struct conn *c)
{
	struct policy_request q;

	c->target_known = true;
	c->state = CONN_DIAL;
	conn_set_deadline(c, 0);
	end_want(c->proxy->loop, &c->client, 0, conn_on_client, c);
	/* Proxies drop an Upgrade from what they read. */
	c->dial = dial_start(c->proxy, &c->req.host, c->req.port, request_of(c, &q),
			     !c->req.websocket, on_dialled, c);
}

/* A program that looked the name up itself asks for its synthetic address: the name is meant. */
static void name_behind(const struct proxy *p, struct policy_host *host)
{
	const char *name = NULL;
	uint32_t number;

	if (host->kind != POLICY_HOST_NAME &&
	    names_number(host->kind == POLICY_HOST_V6, host->addr, &number))
		name = names_find(p->names, number);
	if (name != NULL)
		(void)policy_host_parse(name, strlen(name), host, NULL); /* it is canonical */
}

/* Parse what is in `in`. May free c. */
void conn_take_head(struct conn *c)
{
	struct http1_head head;
	struct err e = ERR_INIT;
	int status = 400, r;

	r = c->in.len == 0 ? 0 : http1_parse_request(c->in.data, c->in.len, &head, &e);
	if (r == 0)
		return;
	conn_begin_request(c);
	c->req = (struct forward){ 0 };
	c->first = false;
	if (r < 0) {
		conn_answer_bad(c, r == -E2BIG ? 431 : 400, e.message);
		return;
	}
	buf_reset(&c->head);
	if (c->original != NULL)
		r = forward_origin_request(&head, &c->original->host, c->original->port, &c->req,
					   &c->head, &status, &e);
	else
		r = forward_request(&head, &c->req, &c->head, &status, &e);
	c->keep = c->req.keep_alive;
	buf_consume(&c->in, head.size);
	if (r != 0) {
		conn_answer_bad(c, status, e.message);
		return;
	}
	if (c->req.connect)
		name_behind(c->proxy, &c->req.host);
	conn_start_dial(c);
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
		conn_set_deadline(c, HEAD_MS);
	buf_add(&c->in, p->scratch, (size_t)n);
	conn_account(c);
	if (p->held > PROXY_HELD_MAX) {
		conn_refuse_full(c);
		return;
	}
	/* A head ends with a line; looking at every byte again would be quadratic. */
	if (memchr(p->scratch, '\n', (size_t)n) != NULL || c->in.len > HTTP1_HEAD_MAX)
		conn_take_head(c);
}

/* The exchange is over: the next request, or the end. May free c. */
void conn_next_request(struct conn *c)
{
	if (under_way(c))
		conn_record(c, "allow", c->verdict.reason);
	end_close(c->proxy->loop, &c->up);
	buf_free(&c->response);
	buf_free(&c->head);
	if (!c->keep) {
		c->state = CONN_LINGER;
		conn_set_deadline(c, LINGER_MS);
		shutdown(c->client.fd, SHUT_WR);
		end_want(c->proxy->loop, &c->client, EPOLLIN, conn_on_client, c);
		return;
	}
	c->state = CONN_HEAD;
	if (c->in.len == 0)
		buf_free(&c->in);
	conn_set_deadline(c, c->in.len > 0 ? HEAD_MS : KEEP_ALIVE_MS);
	end_want(c->proxy->loop, &c->client, EPOLLIN, conn_on_client, c);
	conn_take_head(c);
}

/* --- connected ------------------------------------------------------------------------------- */

/* A redirected connection is one: nobody waits to be told, and FIRST saw the first flight. */
static bool is_redirected_tunnel(const struct conn *c)
{
	return c->original != NULL && c->req.connect;
}

static void begin_tunnel(struct conn *c)
{
	static const char established[] = "HTTP/1.1 200 Connection established\r\n\r\n";

	c->state = CONN_TUNNEL;
	c->up_shut = c->client_shut = false;
	flow_begin(&c->to_up, HTTP1_BODY_UNTIL_CLOSE, 0);
	flow_begin(&c->to_client, HTTP1_BODY_UNTIL_CLOSE, 0);
	if (!is_redirected_tunnel(c))
		flow_put(&c->to_client, established, strlen(established));
	c->hello_pending = c->in.len == 0 || !is_redirected_tunnel(c);
	conn_set_deadline(c, c->hello_pending && c->req.port == 443 ? CONN_HELLO_MS : 0);
}

/* All that the rules look at again; a head may be long, and an exchange too. */
static void keep_first_line(struct buf *head)
{
	struct buf line = BUF_INIT;

	buf_add(&line, head->data, strcspn(head->data, "\r\n"));
	buf_free(head);
	*head = line;
}

static void begin_exchange(struct conn *c)
{
	c->state = CONN_EXCHANGE;
	c->hello_pending = false;
	flow_begin(&c->to_up, c->req.body, c->req.content_length);
	flow_begin(&c->to_client, HTTP1_BODY_UNTIL_CLOSE, 0);
	if (c->forwarded) {
		auto_buf head = BUF_INIT;

		upstream_request(c->via, &c->req.host, c->req.port, &c->head, &head);
		flow_put(&c->to_up, head.data, head.len);
	} else {
		flow_put(&c->to_up, c->head.data, c->head.len);
	}
	keep_first_line(&c->head);
}

static int outcome_status(enum dial_outcome outcome)
{
	return outcome == DIAL_TIMEOUT ? 504 : 502;
}

static void on_denied(struct conn *c)
{
	if (is_redirected_tunnel(c))
		conn_reset_denied(c);
	else
		answer_denied(c);
}

static void on_dialled(const struct dial_result *r, void *arg)
{
	struct conn *c = arg;
	struct policy_request q;

	c->dial = NULL;
	c->verdict = r->verdict;
	c->peer = r->peer;
	c->via = r->via;
	c->forwarded = r->forward;
	c->active = loop_now(c->proxy->loop);
	if (r->outcome == DIAL_CONNECTED) {
		c->up = (struct end){ .fd = r->fd };
		tune(r->fd);
		/* The rules may have changed on the way. */
		if (!dial_still_allowed(c->proxy, &c->req.host, c->req.port, request_of(c, &q),
					&c->peer, &c->verdict)) {
			on_denied(c);
			return;
		}
		if (c->req.connect)
			begin_tunnel(c);
		else
			begin_exchange(c);
		conn_step(c);
	} else if (r->outcome == DIAL_DENIED) {
		on_denied(c);
	} else if (is_redirected_tunnel(c)) {
		if (c->via != NULL)
			notice(c, r->reason);
		conn_reset(c, "error", r->reason);
	} else {
		conn_answer_failed(c, outcome_status(r->outcome), r->reason);
	}
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

void conn_on_client(int fd, uint32_t events, void *arg)
{
	struct conn *c = arg;
	bool dead = (events & (EPOLLERR | EPOLLHUP)) != 0;

	(void)fd;
	switch (c->state) {
	case CONN_FIRST:
		transparent_read(c);
		return;
	case CONN_HEAD:
		read_head(c);
		return;
	case CONN_LINGER:
		drain_client(c);
		return;
	case CONN_WAIT:
		if (dead)
			c->then(c);
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
	    !conn_read_client(c))
		return;
	conn_step(c);
}

void conn_on_up(int fd, uint32_t events, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	if (c->up.want == 0) {
		end_unwatch(c->proxy->loop, &c->up);
		return;
	}
	if ((events & ~(uint32_t)EPOLLOUT) != 0 && (c->up.want & EPOLLIN) != 0 && !conn_read_up(c))
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
		c->deadline = c->active + CONN_HALF_CLOSED_MS;
	if (now < c->deadline) {
		c->timer = loop_after(c->proxy->loop, c->deadline - now, on_timer, c);
		return;
	}
	if (c->state == CONN_FIRST) {
		conn_reset(c, "allow", "the client sent nothing that tells what it wants");
	} else if (c->state == CONN_HEAD && c->in.len > 0) {
		conn_begin_request(c);
		c->req = (struct forward){ 0 };
		conn_answer_bad(c, 408, "the request head did not arrive in time");
	} else if (c->state == CONN_TUNNEL && c->hello_pending) {
		conn_refuse_tunnel(c, "no TLS ClientHello arrived in time");
	} else {
		conn_abort(c, "allow", "nothing happened for too long");
	}
}

void conn_recheck(struct conn *c)
{
	struct policy_request q;

	if (c->up.fd < 0 || !under_way(c) ||
	    dial_still_allowed(c->proxy, &c->req.host, c->req.port, request_of(c, &q), &c->peer,
			       &c->verdict))
		return;
	conn_abort(c, "deny", "the rules changed");
}
