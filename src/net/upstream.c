/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream: the proxies of the user's company: which connection takes which, and the way through
 * one.
 *
 *   its address is looked up -> connected -> TLS, if it speaks that (upstream_tls.c)
 *   -> question and answer until the tunnel is open (upstream_talk.c), or nothing more for a
 *      request that it is to read itself
 *
 * The user named the proxy, so that the policy has no say in where it is.  What it is asked for is
 * what the policy allowed, by name.  Its password is in this process only, and in what is sent to
 * it; names of proxies in records and messages come without.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "net/net_internal.h"

enum { ANSWER_MS = 60000 }; /* it connects meanwhile */

struct upstream_way {
	const struct proxy_url *url;
	struct policy_host host;
	char *name; /* without user and password */
	const struct upstream *owner;
};
struct upstream {
	struct proxies proxies;
	struct upstream_way ways[PROXY_USE_MAX];
	struct upstream_tls *tls; /* NULL: none of them speaks it */
};

/* --- which ----------------------------------------------------------------------------------- */

void upstream_free(struct upstream *u)
{
	if (u == NULL)
		return;
	for (size_t i = 0; i < PROXY_USE_MAX; i++)
		free(u->ways[i].name);
	upstream_tls_free(u->tls);
	proxies_clear(&u->proxies);
	free(u);
}

static int add_way(struct upstream *u, enum proxy_use use, struct err *e)
{
	struct upstream_way *w = &u->ways[use];
	auto_buf name = BUF_INIT;
	auto_buf host = BUF_INIT;

	w->url = &u->proxies.v[use];
	w->owner = u;
	if (w->url->scheme == PROXY_NONE)
		return 0;
	proxy_url_text(w->url, false, &name);
	w->name = buf_steal(&name);
	buf_printf(&host, strchr(w->url->host, ':') != NULL ? "[%s]" : "%s", w->url->host);
	return policy_host_parse(buf_str(&host), host.len, &w->host, e);
}

int upstream_new(const char *text, size_t n, struct upstream **ret, struct err *e)
{
	struct upstream *u = xcalloc(1, sizeof(*u));
	int r = proxies_read(text, n, &u->proxies, e);

	for (size_t i = 0; r == 0 && i < PROXY_USE_MAX; i++)
		r = add_way(u, (enum proxy_use)i, e);
	if (r == 0 && proxies_need_tls(&u->proxies))
		r = upstream_tls_new(u->proxies.ca, &u->tls, e);
	if (r != 0) {
		upstream_free(u);
		return r;
	}
	*ret = u;
	return 0;
}

const struct upstream_way *upstream_for(const struct upstream *u, const struct policy_host *host,
					uint16_t port, const struct policy_request *q)
{
	enum proxy_use use = q != NULL	   ? PROXY_FOR_HTTP
			     : port == 443 ? PROXY_FOR_TLS
					   : PROXY_FOR_OTHER;

	if (u == NULL || u->proxies.v[use].scheme == PROXY_NONE ||
	    proxy_exempt(u->proxies.no_proxy, host->name, port))
		return NULL;
	return &u->ways[use];
}

bool upstream_resolves(const struct upstream *u, const struct policy_host *host)
{
	/* An entry with a port exempts that port only, and 0 is none. */
	return u != NULL && proxies_any(&u->proxies) &&
	       !proxy_exempt(u->proxies.no_proxy, host->name, 0);
}

const char *upstream_name(const struct upstream_way *w)
{
	return w->name;
}

bool upstream_forwards(const struct upstream_way *w)
{
	return w->url->scheme != PROXY_SOCKS5;
}

void upstream_request(const struct upstream_way *w, const struct policy_host *host, uint16_t port,
		      const struct buf *head, struct buf *out)
{
	upstream_forward_head(w->url, host, port, head, out);
}

/* --- the way through one --------------------------------------------------------------------- */

struct upstream_dial {
	struct proxy *proxy;
	const struct upstream_way *way;
	struct policy_host host;
	struct upstream_talk talk;
	bool forward;
	upstream_fn *fn;
	void *arg;
	struct lookup *lookup;
	struct connecting *connecting;
	struct upstream_handshake *handshake;
	struct loop_source *timer;
	struct end end;
	struct buf out, in;
};

void upstream_dial_cancel(struct upstream_dial *d)
{
	if (d == NULL)
		return;
	resolve_cancel(d->lookup);
	connect_cancel(d->connecting);
	upstream_tls_cancel(d->handshake);
	loop_remove(d->proxy->loop, d->timer);
	end_close(d->proxy->loop, &d->end);
	if (d->out.len > 0)
		explicit_bzero(d->out.data, d->out.len);
	buf_free(&d->out);
	buf_free(&d->in);
	free(d);
}

static void finish(struct upstream_dial *d, enum dial_outcome outcome, const char *why)
{
	upstream_fn *fn = d->fn;
	void *arg = d->arg;
	char reason[200] = "";
	int fd = -1;

	if (outcome == DIAL_CONNECTED) {
		end_unwatch(d->proxy->loop, &d->end);
		fd = steal_fd(&d->end.fd);
	} else {
		snprintf(reason, sizeof(reason), "the proxy %.100s %s", d->way->name, why);
	}
	upstream_dial_cancel(d);
	fn(outcome, fd, reason, arg);
}

static void on_silence(void *arg)
{
	struct upstream_dial *d = arg;

	d->timer = NULL;
	finish(d, DIAL_TIMEOUT, "does not answer");
}

static void on_talk(int fd, uint32_t events, void *arg);

/* Write what is to be said; then listen. May free d. */
static void say(struct upstream_dial *d)
{
	ssize_t n = send(d->end.fd, d->out.data, d->out.len, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		finish(d, DIAL_FAILED, "ended the connection");
		return;
	}
	if (n > 0) {
		explicit_bzero(d->out.data, (size_t)n);
		buf_consume(&d->out, (size_t)n);
	}
	end_want(d->proxy->loop, &d->end, d->out.len > 0 ? EPOLLOUT : EPOLLIN, on_talk, d);
}

/*
 * Of what is there to be read, only answers to us: the rest stays in the socket.  1: the tunnel is
 * open.  0: wait.  -1: d is gone.
 */
static int listen_to(struct upstream_dial *d)
{
	char bytes[4096];
	size_t before = d->in.len;
	ssize_t n = recv(d->end.fd, bytes, sizeof(bytes), MSG_PEEK);
	int taken;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		finish(d, DIAL_FAILED, "ended the connection");
		return -1;
	}
	buf_add(&d->in, bytes, (size_t)n);
	taken = upstream_hear(&d->talk, d->in.data, d->in.len);
	if (taken < 0) {
		finish(d, taken == -ETIMEDOUT ? DIAL_TIMEOUT : DIAL_FAILED, d->talk.reason);
		return -1;
	}
	/* Earlier parts were read for good, and were no whole answer. */
	if (taken > 0)
		n = taken - (ssize_t)before;
	if (recv(d->end.fd, bytes, (size_t)n, 0) != n) {
		finish(d, DIAL_FAILED, "ended the connection");
		return -1;
	}
	if (taken == 0)
		return 0;
	buf_reset(&d->in);
	if (d->talk.step == UPSTREAM_OPEN)
		return 1;
	if (upstream_forwards(d->way)) /* an interim answer */
		return 0;
	upstream_say(&d->talk, &d->out);
	return 0;
}

static void on_talk(int fd, uint32_t events, void *arg)
{
	struct upstream_dial *d = arg;
	int r = 0;

	(void)fd;
	(void)events;
	if (d->out.len == 0)
		r = listen_to(d);
	if (r > 0)
		finish(d, DIAL_CONNECTED, "");
	else if (r == 0 && d->out.len > 0)
		say(d);
}

/* There is a way for bytes to the proxy. */
static void begin_talk(struct upstream_dial *d, int fd)
{
	d->end = (struct end){ .fd = fd };
	if (d->forward) {
		finish(d, DIAL_CONNECTED, "");
		return;
	}
	upstream_talk_begin(&d->talk, d->way->url, &d->host, d->talk.port);
	upstream_say(&d->talk, &d->out);
	say(d);
}

static void on_handshake(int fd, const char *why, void *arg)
{
	struct upstream_dial *d = arg;

	d->handshake = NULL;
	if (fd >= 0)
		begin_talk(d, fd);
	else
		finish(d, DIAL_FAILED, why);
}

static void on_connected(int fd, const struct sockaddr_storage *addr, int error, void *arg)
{
	struct upstream_dial *d = arg;
	char why[100];

	(void)addr;
	d->connecting = NULL;
	if (error != 0) {
		snprintf(why, sizeof(why), "cannot be reached: %s", strerror(error));
		finish(d, error == ETIMEDOUT ? DIAL_TIMEOUT : DIAL_FAILED, why);
		return;
	}
	d->timer = loop_after(d->proxy->loop, ANSWER_MS, on_silence, d);
	if (d->way->url->scheme == PROXY_HTTPS)
		d->handshake = upstream_tls_start(d->proxy->loop, d->way->owner->tls,
						  d->way->url->host, fd, on_handshake, d);
	else
		begin_talk(d, fd);
}

static void on_resolved(int r, const struct dns_answer *answer, void *arg)
{
	struct upstream_dial *d = arg;
	struct sockaddr_storage addr[DNS_ADDRESSES_MAX];

	d->lookup = NULL;
	if (r != 0) {
		finish(d, r == -ETIMEDOUT ? DIAL_TIMEOUT : DIAL_FAILED,
		       "cannot be reached: its name is not known here");
		return;
	}
	for (size_t i = 0; i < answer->count; i++)
		connect_address(answer->addr[i].v6, answer->addr[i].bytes, d->way->url->port,
				&addr[i]);
	d->connecting = connect_start(d->proxy->loop, addr, answer->count, on_connected, d);
}

struct upstream_dial *upstream_dial_start(struct proxy *p, const struct upstream_way *way,
					  const struct policy_host *host, uint16_t port,
					  bool forward, upstream_fn *fn, void *arg)
{
	static const uint8_t loopback4[4] = { 127, 0, 0, 1 };
	static const uint8_t loopback6[16] = { [15] = 1 };
	struct upstream_dial *d = xcalloc(1, sizeof(*d));
	struct sockaddr_storage addr[2];

	d->proxy = p;
	d->way = way;
	d->host = *host;
	d->talk.port = port;
	d->forward = forward;
	d->fn = fn;
	d->arg = arg;
	d->end.fd = -1;
	if (policy_name_is_localhost(way->host.name)) {
		connect_address(false, loopback4, way->url->port, &addr[0]);
		connect_address(true, loopback6, way->url->port, &addr[1]);
		d->connecting = connect_start(p->loop, addr, 2, on_connected, d);
	} else if (way->host.kind == POLICY_HOST_NAME) {
		d->lookup = resolve_start(p->resolver, way->host.name, on_resolved, d);
	} else {
		connect_address(way->host.kind == POLICY_HOST_V6, way->host.addr, way->url->port,
				&addr[0]);
		d->connecting = connect_start(p->loop, addr, 1, on_connected, d);
	}
	return d;
}
