/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve: names to addresses without blocking.
 *
 * /etc/hosts comes first, then the servers of /etc/resolv.conf; both are read again when they
 * change.  There is no NSS: it would load the host's libraries into the process that parses hostile
 * bytes.  Search domains are not applied, and a name without a dot is looked for in /etc/hosts
 * only, so that a name means the same wherever the host is.
 *
 * A lookup asks for A and AAAA at once over one connected UDP socket (a fresh one for every
 * attempt: the kernel picks its port at random), goes from server to server, twice around, and
 * takes an answer over TCP when it was cut off.  Once there are IPv4 addresses, IPv6 ones are
 * waited for only a moment.  Answers are kept for their time to live, at most CACHE_SECONDS_MAX.
 *
 * Invariants: the caller's function is called exactly once unless the lookup was cancelled, never
 * from within resolve_start; a lookup owns its sockets and its timer.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "net/net_internal.h"

enum {
	ATTEMPT_MS = 2000,
	LATER_ATTEMPT_MS = 4000,
	OTHER_FAMILY_MS = 250,
	ROUNDS = 2,
	CACHE_SIZE = 64,
	CACHE_SECONDS_MAX = 300,
	CONFIG_MAX = 1 << 20,
	UDP_MAX = 4096,
	TCP_MAX = 65535,
};

struct cached {
	char *name; /* NULL: free */
	uint64_t until;
	struct dns_answer answer;
};

/* A file that is read again when it changed. */
struct config {
	const char *path;
	struct stat seen;
	struct buf text;
};

struct resolver {
	struct loop *loop;
	struct config hosts, conf;
	struct resolv_conf servers;
	struct cached cache[CACHE_SIZE];
	size_t cache_next;
};

/* One of the two questions of a lookup. */
struct question {
	struct lookup *lookup;
	uint16_t type, id;
	bool done;   /* answered: answer counts (perhaps without addresses) */
	bool failed; /* not by this server */
	struct dns_answer answer;
	struct end tcp;
	struct buf tcp_in;
	bool tcp_sent;
};

struct lookup {
	struct resolver *resolver;
	char name[POLICY_HOST_MAX + 1];
	resolve_fn *fn;
	void *arg;
	struct loop_source *timer;
	struct end udp;
	size_t attempt;
	bool hurry; /* the timer is the one that waits for the other family */
	int ready;  /* result of a lookup that needed no server */
	struct dns_answer answer;
	struct question q[2];
};

static void start_attempt(struct lookup *l);

/* --- configuration --------------------------------------------------------------------------- */

/* True when the text is new. A file that cannot be read leaves the old text. */
static bool config_reload(struct config *c)
{
	struct stat st;
	auto_close int fd = -1;
	struct buf text = BUF_INIT;

	if (stat(c->path, &st) != 0 ||
	    (st.st_ino == c->seen.st_ino && st.st_size == c->seen.st_size &&
	     st.st_mtim.tv_sec == c->seen.st_mtim.tv_sec &&
	     st.st_mtim.tv_nsec == c->seen.st_mtim.tv_nsec))
		return false;
	c->seen = st;
	fd = open(c->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fs_read_fd(fd, CONFIG_MAX, &text, NULL) != 0) {
		buf_free(&text);
		return false;
	}
	buf_free(&c->text);
	c->text = text;
	return true;
}

static void load_servers(struct resolver *r)
{
	if (config_reload(&r->conf))
		resolv_conf_parse(buf_str(&r->conf.text), r->conf.text.len, &r->servers);
}

int resolver_new(struct loop *loop, struct resolver **ret, struct err *e)
{
	struct resolver *r = xcalloc(1, sizeof(*r));

	(void)e;
	r->loop = loop;
	r->hosts.path = "/etc/hosts";
	r->conf.path = "/etc/resolv.conf";
	resolv_conf_parse("", 0, &r->servers);
	load_servers(r);
	config_reload(&r->hosts);
	*ret = r;
	return 0;
}

void resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < CACHE_SIZE; i++)
		free(r->cache[i].name);
	buf_free(&r->hosts.text);
	buf_free(&r->conf.text);
	free(r);
}

/* --- cache ----------------------------------------------------------------------------------- */

static const struct dns_answer *cache_find(struct resolver *r, const char *name)
{
	for (size_t i = 0; i < CACHE_SIZE; i++) {
		if (r->cache[i].name != NULL && r->cache[i].until > loop_now(r->loop) &&
		    strcmp(r->cache[i].name, name) == 0)
			return &r->cache[i].answer;
	}
	return NULL;
}

static void cache_add(struct resolver *r, const char *name, const struct dns_answer *answer)
{
	uint32_t ttl = answer->ttl < CACHE_SECONDS_MAX ? answer->ttl : CACHE_SECONDS_MAX;
	struct cached *c = &r->cache[r->cache_next];

	if (ttl == 0 || answer->count == 0)
		return;
	r->cache_next = (r->cache_next + 1) % CACHE_SIZE;
	free(c->name);
	c->name = xstrdup(name);
	c->until = loop_now(r->loop) + (uint64_t)ttl * 1000;
	c->answer = *answer;
}

/* --- the end of a lookup --------------------------------------------------------------------- */

static void close_sockets(struct lookup *l)
{
	struct loop *loop = l->resolver->loop;

	end_close(loop, &l->udp);
	for (size_t i = 0; i < 2; i++) {
		end_close(loop, &l->q[i].tcp);
		buf_free(&l->q[i].tcp_in);
		l->q[i].tcp_sent = false;
	}
}

static void set_timer(struct lookup *l, uint64_t ms, loop_timer_fn *fn)
{
	loop_remove(l->resolver->loop, l->timer);
	l->timer = loop_after(l->resolver->loop, ms, fn, l);
}

void resolve_cancel(struct lookup *l)
{
	if (l == NULL)
		return;
	loop_remove(l->resolver->loop, l->timer);
	close_sockets(l);
	free(l);
}

static void finish(struct lookup *l, int r, const struct dns_answer *answer)
{
	struct dns_answer copy = *answer;
	resolve_fn *fn = l->fn;
	void *arg = l->arg;

	resolve_cancel(l);
	fn(r, &copy, arg);
}

/* Both questions are answered, or one is and the other will not be. */
static void finish_answered(struct lookup *l)
{
	struct dns_answer all = { .ttl = UINT32_MAX };
	bool no_such_name = false, complete = true;

	for (size_t i = 0; i < 2; i++) {
		const struct dns_answer *a = &l->q[i].answer;

		complete = complete && l->q[i].done;
		if (!l->q[i].done)
			continue;
		no_such_name = no_such_name || a->rcode == DNS_RCODE_NXDOMAIN;
		for (size_t k = 0; k < a->count && all.count < DNS_ADDRESSES_MAX; k++)
			all.addr[all.count++] = a->addr[k];
		if (a->count > 0 && a->ttl < all.ttl)
			all.ttl = a->ttl;
	}
	if (complete)
		cache_add(l->resolver, l->name, &all);
	finish(l, all.count > 0 ? 0 : no_such_name ? -ENOENT : -ENODATA, &all);
}

/* --- asking ---------------------------------------------------------------------------------- */

static void next_attempt(struct lookup *l)
{
	const struct dns_answer none = { 0 };

	close_sockets(l);
	if (++l->attempt < l->resolver->servers.n * ROUNDS)
		start_attempt(l);
	else if (l->q[0].answer.count + l->q[1].answer.count > 0)
		finish_answered(l);
	else
		finish(l, -ETIMEDOUT, &none);
}

static void on_timeout(void *arg)
{
	struct lookup *l = arg;

	l->timer = NULL;
	if (l->hurry)
		finish_answered(l);
	else
		next_attempt(l);
}

/* What to do after an answer or a failure. The lookup may be gone afterwards. */
static void advance(struct lookup *l)
{
	const struct question *a = &l->q[0], *aaaa = &l->q[1];

	if (a->done && aaaa->done) {
		finish_answered(l);
	} else if ((a->done || a->failed) && (aaaa->done || aaaa->failed)) {
		if (a->answer.count + aaaa->answer.count > 0)
			finish_answered(l);
		else
			next_attempt(l);
	} else if (a->done && a->answer.count > 0 && !l->hurry) {
		l->hurry = true;
		set_timer(l, OTHER_FAMILY_MS, on_timeout);
	}
}

static socklen_t server_size(const struct sockaddr_storage *ss)
{
	return ss->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static const struct sockaddr_storage *server_of(const struct lookup *l)
{
	const struct resolv_conf *s = &l->resolver->servers;

	return &s->server[l->attempt % s->n];
}

static void question_take(struct question *q, const struct dns_answer *answer)
{
	if (answer->rcode == 0 || answer->rcode == DNS_RCODE_NXDOMAIN) {
		q->answer = *answer;
		q->done = true;
	} else {
		q->failed = true;
	}
}

static int tcp_read(struct question *q)
{
	struct buf *in = &q->tcp_in;
	struct dns_answer answer;
	char bytes[2048];
	size_t need;

	for (;;) {
		ssize_t n = recv(q->tcp.fd, bytes, sizeof(bytes), 0);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		if (n == 0)
			return -EPIPE;
		buf_add(in, bytes, (size_t)n);
		if (in->len < 2)
			continue;
		need = (size_t)(uint8_t)in->data[0] << 8 | (uint8_t)in->data[1];
		if (in->len > TCP_MAX + 2)
			return -EBADMSG;
		if (in->len < need + 2)
			continue;
		if (dns_answer_parse((const uint8_t *)in->data + 2, need, q->id, q->lookup->name,
				     q->type, &answer) != 0 ||
		    answer.truncated)
			return -EBADMSG;
		question_take(q, &answer);
		return 1;
	}
}

static int tcp_send(struct question *q)
{
	uint8_t msg[2 + DNS_QUERY_MAX];
	size_t n;

	if (dns_query_build(q->id, q->lookup->name, q->type, msg + 2, &n) != 0)
		return -EINVAL;
	msg[0] = (uint8_t)(n >> 8);
	msg[1] = (uint8_t)n;
	/* It is the first thing on the connection and small: it fits the socket's buffer whole. */
	return send(q->tcp.fd, msg, n + 2, MSG_NOSIGNAL) == (ssize_t)(n + 2) ? 0 : -EPIPE;
}

static void on_tcp(int fd, uint32_t events, void *arg)
{
	struct question *q = arg;
	struct lookup *l = q->lookup;
	int r = 0;

	(void)fd;
	if (!q->tcp_sent) {
		r = (events & EPOLLOUT) != 0 ? tcp_send(q) : -EPIPE;
		q->tcp_sent = true;
		if (r == 0)
			end_want(l->resolver->loop, &q->tcp, EPOLLIN, on_tcp, q);
	} else {
		r = tcp_read(q);
	}
	if (r == 0)
		return;
	q->failed = q->failed || r < 0;
	end_close(l->resolver->loop, &q->tcp);
	advance(l);
}

static void start_tcp(struct question *q)
{
	const struct sockaddr_storage *to = server_of(q->lookup);

	q->tcp.fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (q->tcp.fd < 0 ||
	    (connect(q->tcp.fd, (const struct sockaddr *)to, server_size(to)) != 0 &&
	     errno != EINPROGRESS)) {
		q->failed = true;
		end_close(q->lookup->resolver->loop, &q->tcp);
		return;
	}
	end_want(q->lookup->resolver->loop, &q->tcp, EPOLLOUT, on_tcp, q);
}

/* A datagram belongs to the question whose id, name and type it repeats, or to nobody. */
static void take_datagram(struct lookup *l, const uint8_t *msg, size_t n)
{
	for (size_t i = 0; i < 2; i++) {
		struct question *q = &l->q[i];
		struct dns_answer answer;

		if (q->done || q->failed || q->tcp.fd >= 0 ||
		    dns_answer_parse(msg, n, q->id, l->name, q->type, &answer) != 0)
			continue;
		if (answer.truncated)
			start_tcp(q);
		else
			question_take(q, &answer);
		return;
	}
}

static void on_udp(int fd, uint32_t events, void *arg)
{
	struct lookup *l = arg;
	uint8_t msg[UDP_MAX];

	(void)events;
	for (;;) {
		ssize_t n = recv(fd, msg, sizeof(msg), 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0) { /* nobody listens there */
			for (size_t i = 0; i < 2; i++)
				l->q[i].failed = l->q[i].failed || !l->q[i].done;
			break;
		}
		take_datagram(l, msg, (size_t)n);
	}
	advance(l);
}

static bool send_question(struct lookup *l, struct question *q)
{
	uint8_t msg[DNS_QUERY_MAX];
	size_t n;

	if (getrandom(&q->id, sizeof(q->id), 0) != sizeof(q->id) ||
	    dns_query_build(q->id, l->name, q->type, msg, &n) != 0)
		return false;
	return send(l->udp.fd, msg, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static void on_attempt_failed(void *arg)
{
	struct lookup *l = arg;

	l->timer = NULL;
	next_attempt(l);
}

static void start_attempt(struct lookup *l)
{
	const struct sockaddr_storage *to = server_of(l);
	bool first_round = l->attempt < l->resolver->servers.n;
	bool sent = false;

	l->hurry = false;
	l->udp.fd = socket(to->ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->udp.fd >= 0 &&
	    connect(l->udp.fd, (const struct sockaddr *)to, server_size(to)) == 0) {
		sent = true;
		for (size_t i = 0; i < 2; i++) {
			l->q[i].failed = false;
			if (!l->q[i].done)
				sent = send_question(l, &l->q[i]) && sent;
		}
	}
	if (!sent) {
		set_timer(l, 1, on_attempt_failed);
		return;
	}
	end_want(l->resolver->loop, &l->udp, EPOLLIN, on_udp, l);
	set_timer(l, first_round ? ATTEMPT_MS : LATER_ATTEMPT_MS, on_timeout);
}

static void on_ready(void *arg)
{
	struct lookup *l = arg;

	l->timer = NULL;
	finish(l, l->ready, &l->answer);
}

struct lookup *resolve_start(struct resolver *r, const char *name, resolve_fn *fn, void *arg)
{
	struct lookup *l = xcalloc(1, sizeof(*l));
	const struct dns_answer *known;

	l->resolver = r;
	l->fn = fn;
	l->arg = arg;
	l->udp.fd = -1;
	memcpy(l->name, name, strnlen(name, POLICY_HOST_MAX));
	for (size_t i = 0; i < 2; i++)
		l->q[i] = (struct question){ .lookup = l,
					     .type = i == 0 ? DNS_TYPE_A : DNS_TYPE_AAAA,
					     .tcp.fd = -1 };
	load_servers(r);
	config_reload(&r->hosts);
	known = cache_find(r, name);
	if (hosts_lookup(buf_str(&r->hosts.text), r->hosts.text.len, name, &l->answer) > 0) {
		l->timer = loop_after(r->loop, 0, on_ready, l);
	} else if (strchr(name, '.') == NULL) {
		l->ready = -ENOENT;
		l->timer = loop_after(r->loop, 0, on_ready, l);
	} else if (known != NULL) {
		l->answer = *known;
		l->timer = loop_after(r->loop, 0, on_ready, l);
	} else {
		start_attempt(l);
	}
	return l;
}
