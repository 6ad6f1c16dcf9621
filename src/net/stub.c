/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stub: the name server of a box, over datagrams and streams.
 *
 * A query is answered from the policy first.  A name that no rule allows does not exist
 * (NXDOMAIN: of all refusals the one that no resolver library asks again about), and nobody outside
 * hears of it.  One that is allowed is looked up on the host, only to learn whether it exists; what
 * the box gets is the synthetic address of that name (names.c), which leads the connection back
 * here.  Types other than A and AAAA have no records: no HTTPS record tells of encrypted hellos or
 * other ports.
 *
 * Limits: PENDING_MAX lookups and STREAMS_MAX streams, each with one query at a time.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/net_internal.h"

enum {
	PENDING_MAX = 256,
	STREAMS_MAX = 32,
	STREAM_IDLE_MS = 10000,
	DATAGRAMS_BATCH = 32,
	MESSAGE_MAX = 4096, /* of a query */
	TTL = 60,
	HTTPS_PORT = 443,
	DENIALS = 16,
	DENIAL_AGAIN_MS = 10000,
};

struct stream {
	struct stub *stub;
	struct stream *prev, *next;
	struct end end;
	struct buf in, out;
	struct loop_source *timer;
	struct pending *pending;
};

/* A query whose name is being looked up, or one that is refused, as soon as its program is known.
 */
struct pending {
	struct stub *stub;
	struct pending *prev, *next;
	struct lookup *lookup;
	struct program_ask *ask;
	char *why;
	struct dns_question question;
	struct stream *stream; /* NULL: a datagram */
	int fd;
	struct sockaddr_storage from;
	socklen_t from_size;
};

struct stub {
	struct proxy *proxy;
	struct pending *pending;
	size_t npending;
	struct stream *streams; /* newest first */
	size_t nstreams;
	struct { /* lately refused, so that A and AAAA make one record */
		char *name;
		uint64_t at;
	} denied[DENIALS];
	size_t next_denied;
};

struct stub *stub_new(struct proxy *p)
{
	struct stub *s = xcalloc(1, sizeof(*s));

	s->proxy = p;
	return s;
}

/* --- decisions ------------------------------------------------------------------------------- */

static bool denied_lately(struct stub *s, const char *name)
{
	uint64_t now = loop_now(s->proxy->loop);

	for (size_t i = 0; i < DENIALS; i++) {
		if (s->denied[i].name != NULL && now - s->denied[i].at < DENIAL_AGAIN_MS &&
		    strcmp(s->denied[i].name, name) == 0)
			return true;
	}
	free(s->denied[s->next_denied].name);
	s->denied[s->next_denied].name = xstrdup(name);
	s->denied[s->next_denied].at = now;
	s->next_denied = (s->next_denied + 1) % DENIALS;
	return false;
}

static void tell_denied(struct stub *s, const struct policy_host *host,
			const struct policy_verdict *v, struct program_ask *ask)
{
	struct buf hint = BUF_INIT;
	const struct record r = { .what = "dns",
				  .host = host->name,
				  .verdict = "deny",
				  .rule = v->rule,
				  .origin = v->origin,
				  .reason = v->reason,
				  .ask = ask };

	log_record(s->proxy, &r);
	/* The port that it is for is not known yet. */
	policy_hint(host, HTTPS_PORT, v, NULL, s->proxy->sandbox, &hint);
	proxy_notice(s->proxy, host->name, v->reason, buf_str(&hint));
	buf_free(&hint);
}

static bool is_own_name(const struct stub *s, const char *name)
{
	return policy_name_is_localhost(name) ||
	       (s->proxy->hostname != NULL && strcasecmp(name, s->proxy->hostname) == 0);
}

static bool address_type(uint16_t type)
{
	return type == DNS_TYPE_A || type == DNS_TYPE_AAAA;
}

/* The loopback address. */
static void answer_own(const struct dns_question *q, struct dns_reply *r, struct dns_address *a)
{
	static const uint8_t loopback4[4] = { 127, 0, 0, 1 };

	if (!address_type(q->type))
		return;
	*a = (struct dns_address){ .v6 = q->type == DNS_TYPE_AAAA };
	if (a->v6)
		a->bytes[15] = 1;
	else
		memcpy(a->bytes, loopback4, sizeof(loopback4));
	r->address = a;
}

static void answer_reverse(const struct stub *s, const struct dns_question *q, struct dns_reply *r)
{
	static const uint8_t loopback6[16] = { [15] = 1 };
	struct dns_address a;
	uint32_t number;

	r->rcode = DNS_RCODE_NXDOMAIN;
	if (!dns_reverse_parse(q->name, &a))
		return;
	if (a.v6 ? memcmp(a.bytes, loopback6, 16) == 0 : a.bytes[0] == 127)
		r->name = "localhost";
	else if (names_number(a.v6, a.bytes, &number))
		r->name = names_find(s->proxy->names, number);
	if (r->name != NULL)
		r->rcode = 0;
}

/* The synthetic address of a name that exists. */
static void answer_name(const struct stub *s, const struct dns_question *q, const char *name,
			struct dns_reply *r, struct dns_address *a)
{
	uint32_t number;

	if (q->type == DNS_TYPE_AAAA && !s->proxy->v6)
		return;
	if (names_give(s->proxy->names, name, &number) != 0) {
		r->rcode = DNS_RCODE_SERVFAIL;
		return;
	}
	a->v6 = q->type == DNS_TYPE_AAAA;
	names_address(number, a->v6, a->bytes);
	r->address = a;
	r->ttl = TTL;
}

/*
 * What can be said at once; false: the name has to be looked up first. *ret_host: its canonical
 * form.  The reply may lead to *why and *a.
 */
static bool answer_now(struct stub *s, const struct dns_question *q, struct dns_reply *r,
		       struct dns_address *a, struct policy_verdict *why,
		       struct policy_host *ret_host)
{
	if (q->edns_version != 0) {
		r->rcode = DNS_RCODE_BADVERS;
	} else if (q->class != DNS_CLASS_IN || q->type == DNS_TYPE_AXFR ||
		   q->type == DNS_TYPE_IXFR) {
		r->rcode = DNS_RCODE_REFUSED;
	} else if (q->type == DNS_TYPE_PTR) {
		answer_reverse(s, q, r);
	} else if (is_own_name(s, q->name)) {
		answer_own(q, r, a);
	} else if (policy_host_parse(q->name, strlen(q->name), ret_host, NULL) != 0 ||
		   ret_host->kind != POLICY_HOST_NAME) {
		r->rcode = DNS_RCODE_NXDOMAIN;
	} else {
		policy_decide_lookup(s->proxy->rules, ret_host, why);
		if (!why->allow) {
			r->rcode = DNS_RCODE_NXDOMAIN;
			r->why = why->reason;
		} else if (address_type(q->type)) {
			/* A company's proxy looks up what it is asked for; often nobody else can.
			 */
			if (!why->host_service && !upstream_resolves(s->proxy->upstream, ret_host))
				return false;
			answer_name(s, q, ret_host->name, r, a);
		}
	}
	return true;
}

/* --- answering ------------------------------------------------------------------------------- */

static void on_stream(int fd, uint32_t events, void *arg);

static void stream_free(struct stream *t);

static void send_reply(const struct dns_question *q, const struct dns_reply *r, int fd,
		       const struct sockaddr_storage *from, socklen_t from_size,
		       struct stream *stream)
{
	uint8_t msg[DNS_REPLY_MAX], prefix[2];
	size_t n = dns_reply_build(q, r, msg);
	ssize_t sent;

	if (stream == NULL) {
		/* The asker may be gone, or its buffer full: it asks again. */
		sent = sendto(fd, msg, n, MSG_NOSIGNAL, (const struct sockaddr *)from, from_size);
		(void)sent;
		return;
	}
	prefix[0] = (uint8_t)(n >> 8);
	prefix[1] = (uint8_t)n;
	buf_add(&stream->out, prefix, sizeof(prefix));
	buf_add(&stream->out, msg, n);
}

static void pending_free(struct pending *x)
{
	struct stub *s = x->stub;

	resolve_cancel(x->lookup);
	program_forget(x->ask);
	if (x->prev != NULL)
		x->prev->next = x->next;
	else
		s->pending = x->next;
	if (x->next != NULL)
		x->next->prev = x->prev;
	if (x->stream != NULL)
		x->stream->pending = NULL;
	s->npending--;
	free(x->why);
	free(x);
}

static void stream_step(struct stream *t);

static void on_resolved(int r, const struct dns_answer *answer, void *arg)
{
	struct pending *x = arg;
	struct stream *stream = x->stream;
	struct dns_reply reply = { 0 };
	struct dns_address a = { 0 };
	struct policy_host host;

	(void)answer;
	x->lookup = NULL;
	if (r == 0 &&
	    policy_host_parse(x->question.name, strlen(x->question.name), &host, NULL) == 0)
		answer_name(x->stub, &x->question, host.name, &reply, &a);
	else if (r == -ENOENT)
		reply.rcode = DNS_RCODE_NXDOMAIN;
	else if (r != -ENODATA)
		reply.rcode = DNS_RCODE_SERVFAIL;
	send_reply(&x->question, &reply, x->fd, &x->from, x->from_size, stream);
	pending_free(x);
	if (stream != NULL)
		stream_step(stream);
}

static struct pending *pending_new(struct stub *s, const struct dns_question *q, int fd,
				   const struct sockaddr_storage *from, socklen_t from_size,
				   struct stream *stream)
{
	struct pending *x = xcalloc(1, sizeof(*x));

	x->stub = s;
	x->question = *q;
	x->fd = fd;
	if (from != NULL)
		x->from = *from;
	x->from_size = from_size;
	x->stream = stream;
	if (stream != NULL)
		stream->pending = x;
	x->next = s->pending;
	if (x->next != NULL)
		x->next->prev = x;
	s->pending = x;
	s->npending++;
	return x;
}

static void on_program(const struct program *who, void *arg)
{
	struct pending *x = arg;
	struct stream *stream = x->stream;
	const struct dns_reply reply = { .rcode = DNS_RCODE_NXDOMAIN, .why = x->why };

	(void)who; /* the record has it */
	x->ask = NULL;
	send_reply(&x->question, &reply, x->fd, &x->from, x->from_size, stream);
	pending_free(x);
	if (stream != NULL)
		stream_step(stream);
}

/* A refused name: record it, once. True when the answer waits for the program to be known. */
static bool refuse(struct stub *s, const struct dns_question *q, const struct policy_host *host,
		   const struct policy_verdict *why, int fd, const struct sockaddr_storage *from,
		   socklen_t from_size, struct stream *stream)
{
	struct pending *x;

	if (denied_lately(s, host->name))
		return false;
	if (s->npending == PENDING_MAX) {
		tell_denied(s, host, why, NULL);
		return false;
	}
	x = pending_new(s, q, fd, from, from_size, stream);
	x->why = xstrdup(why->reason);
	x->ask = program_ask(s->proxy, stream != NULL ? stream->end.fd : -1, from, on_program, x);
	tell_denied(s, host, why, x->ask);
	if (x->ask != NULL)
		return true;
	pending_free(x);
	return false;
}

static void take_query(struct stub *s, const uint8_t *msg, size_t n, int fd,
		       const struct sockaddr_storage *from, socklen_t from_size,
		       struct stream *stream)
{
	struct dns_question q;
	struct dns_reply reply = { 0 };
	struct dns_address a = { 0 };
	struct policy_verdict why;
	struct policy_host host;
	struct pending *x;
	int r = dns_question_parse(msg, n, &q);

	if (r == -ENOMSG)
		return;
	if (r != 0) {
		reply.rcode = r == -EOPNOTSUPP ? DNS_RCODE_NOTIMP : DNS_RCODE_FORMERR;
	} else if (!answer_now(s, &q, &reply, &a, &why, &host)) {
		if (s->npending < PENDING_MAX) {
			x = pending_new(s, &q, fd, from, from_size, stream);
			x->lookup = resolve_start(s->proxy->resolver, host.name, on_resolved, x);
			return;
		}
		reply.rcode = DNS_RCODE_SERVFAIL;
	} else if (reply.why != NULL && refuse(s, &q, &host, &why, fd, from, from_size, stream)) {
		return;
	}
	send_reply(&q, &reply, fd, from, from_size, stream);
}

/* --- datagrams ------------------------------------------------------------------------------- */

static void on_datagrams(int fd, uint32_t events, void *arg)
{
	struct stub *s = arg;

	(void)events;
	for (int i = 0; i < DATAGRAMS_BATCH; i++) {
		uint8_t msg[MESSAGE_MAX];
		struct sockaddr_storage from = { 0 };
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(fd, msg, sizeof(msg), 0, (struct sockaddr *)&from, &size);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n >= 0)
			take_query(s, msg, (size_t)n, fd, &from, size, NULL);
	}
}

/* --- streams --------------------------------------------------------------------------------- */

static void stream_free(struct stream *t)
{
	struct stub *s = t->stub;

	if (t->pending != NULL)
		pending_free(t->pending);
	loop_remove(s->proxy->loop, t->timer);
	end_close(s->proxy->loop, &t->end);
	buf_free(&t->in);
	buf_free(&t->out);
	if (t->prev != NULL)
		t->prev->next = t->next;
	else
		s->streams = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	s->nstreams--;
	free(t);
}

static void on_stream_idle(void *arg)
{
	struct stream *t = arg;

	t->timer = NULL;
	stream_free(t);
}

static void stream_active(struct stream *t)
{
	struct loop *loop = t->stub->proxy->loop;

	loop_remove(loop, t->timer);
	t->timer = loop_after(loop, STREAM_IDLE_MS, on_stream_idle, t);
}

/* Take one query if there is a whole one. False: the stream was freed. */
static bool stream_take(struct stream *t, bool *ret_taken)
{
	const uint8_t *in = (const uint8_t *)t->in.data;
	size_t n;

	*ret_taken = false;
	if (t->pending != NULL || t->out.len > 0 || t->in.len < 2)
		return true;
	n = (size_t)in[0] << 8 | in[1];
	if (n > MESSAGE_MAX) {
		stream_free(t);
		return false;
	}
	if (t->in.len < n + 2)
		return true;
	take_query(t->stub, in + 2, n, -1, NULL, 0, t);
	buf_consume(&t->in, n + 2);
	*ret_taken = true;
	return true;
}

static bool stream_flush(struct stream *t)
{
	ssize_t sent;

	if (t->out.len == 0)
		return true;
	sent = send(t->end.fd, t->out.data, t->out.len, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN) {
		stream_free(t);
		return false;
	}
	if (sent > 0)
		buf_consume(&t->out, (size_t)sent);
	return true;
}

/* Answer what is there, write what can be written, and wait for the rest. May free t. */
static void stream_step(struct stream *t)
{
	bool taken;

	do {
		if (!stream_flush(t) || !stream_take(t, &taken))
			return;
	} while (taken);
	end_want(t->stub->proxy->loop, &t->end,
		 t->out.len > 0	      ? EPOLLOUT
		 : t->pending != NULL ? 0
				      : EPOLLIN,
		 on_stream, t);
}

static void on_stream(int fd, uint32_t events, void *arg)
{
	struct stream *t = arg;

	if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
		stream_free(t);
		return;
	}
	if ((events & EPOLLIN) != 0) {
		char bytes[MESSAGE_MAX];
		ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

		if (n == 0 || (n < 0 && errno != EAGAIN)) {
			stream_free(t);
			return;
		}
		if (n > 0) {
			buf_add(&t->in, bytes, (size_t)n);
			stream_active(t);
		}
	}
	stream_step(t);
}

static void on_connections(int fd, uint32_t events, void *arg)
{
	struct stub *s = arg;
	struct stream *t;
	int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (client < 0)
		return;
	if (s->nstreams == STREAMS_MAX) {
		for (t = s->streams; t->next != NULL; t = t->next)
			;
		stream_free(t);
	}
	t = xcalloc(1, sizeof(*t));
	t->stub = s;
	t->end.fd = client;
	t->next = s->streams;
	if (t->next != NULL)
		t->next->prev = t;
	s->streams = t;
	s->nstreams++;
	stream_active(t);
	end_want(s->proxy->loop, &t->end, EPOLLIN, on_stream, t);
}

void stub_watch(struct stub *s, struct end *end, bool datagrams)
{
	end_want(s->proxy->loop, end, EPOLLIN, datagrams ? on_datagrams : on_connections, s);
}

void stub_free(struct stub *s)
{
	if (s == NULL)
		return;
	while (s->streams != NULL)
		stream_free(s->streams);
	while (s->pending != NULL)
		pending_free(s->pending);
	for (size_t i = 0; i < DENIALS; i++)
		free(s->denied[i].name);
	free(s);
}
