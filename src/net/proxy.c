/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy: listeners, the supervisor's messages, and the limits of a box.
 *
 * Start: LISTEN, RULES, LOG, HOSTNAME, INIT and UPSTREAM in any order, then GO.  Up to there the
 * process reads nothing that the box could have written; after GO it confines itself, answers READY
 * and accepts. Later only RULES and LOG may come.  A new set of rules replaces the old one as a
 * whole, and connections that it does not allow are ended; a set that does not parse changes
 * nothing. Each is answered, with TAKEN when it is in force or with FAILED.
 *
 * Limits: CONNS_MAX connections; of those PENDING_MAX that have not sent a request yet, beyond
 * which the oldest of them makes room.  A full box's connections wait in the listener's queue.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/wire.h"
#include "net/net.h"
#include "net/net_internal.h"

enum {
	ACCEPT_BATCH = 16,
	ACCEPT_RETRY_MS = 100,
	IDLE_MS = 600000,
};

static void on_listener(int fd, uint32_t events, void *arg);

/* --- the supervisor -------------------------------------------------------------------------- */

static void say_failed(struct proxy *p, const struct err *e)
{
	wire_send(p->wire, PROXY_WIRE_FAILED, 0, e, sizeof(*e), NULL, 0);
}

static int take_rules(struct proxy *p, struct wire_msg *m, struct err *e)
{
	auto_close int fd = wire_take_fd(m, 0);
	struct policy_rules *rules;
	struct buf text = BUF_INIT;
	int r;

	if (fd < 0)
		return err_set(e, ERR_SYSTEM, EBADMSG, "proxy: rules without a descriptor");
	r = fs_read_sealed(fd, POLICY_TEXT_MAX, &text, e);
	if (r == 0)
		r = policy_rules_read(buf_str(&text), text.len, &rules, e);
	buf_free(&text);
	if (r != 0)
		return err_prefix(e, "proxy");
	policy_rules_free(p->rules);
	p->rules = rules;
	for (struct conn *c = p->conns, *next; c != NULL; c = next) {
		next = c->next;
		conn_recheck(c);
	}
	return 0;
}

static int take_upstream(struct proxy *p, struct wire_msg *m, struct err *e)
{
	auto_close int fd = wire_take_fd(m, 0);
	auto_buf text = BUF_INIT;
	int r;

	if (fd < 0 || p->upstream != NULL)
		return err_set(e, ERR_SYSTEM, EBADMSG, "proxy: not one set of upstream proxies");
	r = fs_read_sealed(fd, 4 * PROXY_TEXT_MAX, &text, e);
	if (r == 0)
		r = upstream_new(buf_str(&text), text.len, &p->upstream, e);
	if (text.len > 0)
		explicit_bzero(text.data, text.len);
	return r;
}

/* What kind of socket it is; streams must listen. */
static int check_socket(int fd, enum proxy_entry entry, struct listener *ret, struct err *e)
{
	int type = 0, listening = 0, domain = 0;
	socklen_t size = sizeof(int);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0)
		return err_set(e, ERR_SYSTEM, EBADMSG, "proxy: a listener is no socket");
	ret->entry = entry;
	ret->datagrams = entry == PROXY_ENTRY_DNS && type == SOCK_DGRAM;
	ret->v6 = domain == AF_INET6;
	if (!ret->datagrams && listening == 0)
		return err_set(e, ERR_SYSTEM, EBADMSG, "proxy: the listener does not listen");
	return 0;
}

static int take_listener(struct proxy *p, struct wire_msg *m, struct err *e)
{
	auto_close int fd = wire_take_fd(m, 0);
	struct listener l = { .end.fd = -1 };
	int flags, r;

	if (m->h.arg >= PROXY_ENTRY_MAX)
		return err_set(e, ERR_SYSTEM, EPROTO, "proxy: unknown entry %u", m->h.arg);
	if (p->nlisteners == PROXY_LISTENERS_MAX)
		return err_set(e, ERR_SYSTEM, EPROTO, "proxy: more than %d listeners",
			       PROXY_LISTENERS_MAX);
	r = check_socket(fd, (enum proxy_entry)m->h.arg, &l, e);
	if (r != 0)
		return r;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
		return err_sys(e, "proxy: cannot make the listener non-blocking");
	p->v6 = p->v6 || (l.entry == PROXY_ENTRY_TRANSPARENT && l.v6);
	l.end.fd = steal_fd(&fd);
	p->listeners[p->nlisteners++] = l;
	return 0;
}

static int take_init(struct proxy *p, struct wire_msg *m, struct err *e)
{
	if (p->init_fd >= 0)
		return err_set(e, ERR_SYSTEM, EPROTO, "proxy: a second socket to init");
	p->init_fd = wire_take_fd(m, 0);
	return 0;
}

static int take_hostname(struct proxy *p, const struct wire_msg *m, struct err *e)
{
	if (m->len == 0 || m->len > POLICY_HOST_MAX || memchr(m->data, '\0', m->len) != NULL)
		return err_set(e, ERR_SYSTEM, EBADMSG, "proxy: not a host name");
	free(p->hostname);
	p->hostname = xstrndup(m->data, m->len);
	return 0;
}

static int take_log(struct proxy *p, struct wire_msg *m, struct err *e)
{
	int fd = wire_take_fd(m, 0);
	struct stat st;

	if (fd < 0)
		return err_set(e, ERR_SYSTEM, EBADMSG, "proxy: a log without a descriptor");
	if (p->log >= 0)
		close(p->log);
	p->log = fd;
	p->log_full = false;
	p->log_bytes = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	snprintf(p->sandbox, sizeof(p->sandbox), "%.63s", m->data);
	return 0;
}

/* One message of the start. *ret_go: it was the last one. */
static int take_message(struct proxy *p, struct wire_msg *m, bool *ret_go, struct err *e)
{
	switch (m->h.type) {
	case PROXY_WIRE_LISTEN:
		return take_listener(p, m, e);
	case PROXY_WIRE_RULES:
		return take_rules(p, m, e);
	case PROXY_WIRE_LOG:
		return take_log(p, m, e);
	case PROXY_WIRE_HOSTNAME:
		return take_hostname(p, m, e);
	case PROXY_WIRE_INIT:
		return take_init(p, m, e);
	case PROXY_WIRE_UPSTREAM:
		return take_upstream(p, m, e);
	case PROXY_WIRE_GO:
		*ret_go = true;
		return 0;
	default:
		return err_set(e, ERR_SYSTEM, EPROTO, "proxy: unknown message %u", m->h.type);
	}
}

/*
 * Everything up to GO. 1: go. 0: the supervisor is gone.  After an error the rest is read all the
 * same: a socket that is closed with packets in it takes our answer with it.
 */
static int take_start(struct proxy *p, struct wire_msg *m, struct err *e)
{
	bool go = false;
	int first = 0;

	while (!go) {
		struct err later = ERR_INIT;
		int r = wire_recv(p->wire, m);

		if (r == 0)
			return first;
		if (r < 0)
			return err_set(e, ERR_SYSTEM, r, "proxy: cannot read the start messages");
		r = take_message(p, m, &go, first == 0 ? e : &later);
		wire_msg_clear(m);
		if (first == 0)
			first = r;
	}
	return first == 0 ? 1 : first;
}

static void on_wire(int fd, uint32_t events, void *arg)
{
	static struct wire_msg m; /* too large for the stack's taste */
	struct proxy *p = arg;
	struct err e = ERR_INIT;
	int r = wire_recv(fd, &m);

	(void)events;
	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r <= 0) {
		loop_stop(p->loop, 0);
		return;
	}
	if (m.h.type == PROXY_WIRE_RULES)
		r = take_rules(p, &m, &e);
	else if (m.h.type == PROXY_WIRE_LOG)
		r = take_log(p, &m, &e);
	else
		r = err_set(&e, ERR_SYSTEM, EPROTO, "proxy: message %u after the start", m.h.type);
	wire_msg_clear(&m);
	if (r != 0)
		say_failed(p, &e);
	else
		wire_send(p->wire, PROXY_WIRE_TAKEN, m.h.type, NULL, 0, NULL, 0);
}

/* --- accepting ------------------------------------------------------------------------------- */

static void watch_listeners(struct proxy *p, bool on)
{
	for (size_t i = 0; i < p->nlisteners; i++) {
		struct listener *l = &p->listeners[i];

		if (l->entry == PROXY_ENTRY_DNS)
			stub_watch(p->stub, &l->end, l->datagrams);
		else
			end_want(p->loop, &l->end, on ? EPOLLIN : 0, on_listener, p);
	}
}

/* Make room for a new connection when there are many. */
static void evict(struct proxy *p)
{
	uint64_t now = loop_now(p->loop);
	struct conn *oldest_pending = NULL, *idlest = NULL;
	size_t pending = 0;

	for (struct conn *c = p->conns; c != NULL; c = c->next) {
		if ((c->state == CONN_HEAD || c->state == CONN_FIRST) && c->first) {
			pending++;
			oldest_pending = c; /* the list begins with the newest */
		}
		if (idlest == NULL || c->active < idlest->active)
			idlest = c;
	}
	if (pending >= PROXY_PENDING_MAX)
		conn_abort(oldest_pending, "error", "too many connections without a request");
	else if (idlest != NULL && p->nconns >= PROXY_CONNS_MAX && now - idlest->active >= IDLE_MS)
		conn_abort(idlest, "error", "idle, and another connection needed the place");
}

static void on_accept_again(void *arg)
{
	struct proxy *p = arg;

	p->accept_timer = NULL;
	watch_listeners(p, true);
}

static void pause_accepting(struct proxy *p)
{
	watch_listeners(p, false);
	if (p->accept_timer == NULL)
		p->accept_timer = loop_after(p->loop, ACCEPT_RETRY_MS, on_accept_again, p);
}

static bool is_transparent(const struct proxy *p, int fd)
{
	for (size_t i = 0; i < p->nlisteners; i++) {
		if (p->listeners[i].end.fd == fd)
			return p->listeners[i].entry == PROXY_ENTRY_TRANSPARENT;
	}
	return false;
}

static void add_conn(struct proxy *p, int fd, bool transparent)
{
	struct conn *c = conn_new(p, fd);

	c->next = p->conns;
	if (c->next != NULL)
		c->next->prev = c;
	p->conns = c;
	p->nconns++;
	if (transparent)
		transparent_begin(c);
}

void proxy_conn_gone(struct proxy *p, struct conn *c)
{
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		p->conns = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	p->nconns--;
}

static void on_listener(int fd, uint32_t events, void *arg)
{
	struct proxy *p = arg;
	bool transparent = is_transparent(p, fd);

	(void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int client;

		evict(p);
		if (p->nconns >= PROXY_CONNS_MAX) {
			pause_accepting(p);
			return;
		}
		client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client >= 0) {
			add_conn(p, client, transparent);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			   errno == ENOMEM) {
			pause_accepting(p);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
		/* Every other error belongs to one connection that is gone already. */
	}
}

/* --- running --------------------------------------------------------------------------------- */

static int start(struct proxy *p, struct err *e)
{
	struct wire_msg *m = xmalloc(sizeof(*m));
	int r = take_start(p, m, e);

	free(m);
	if (r <= 0)
		return r;
	r = loop_new(&p->loop, e);
	if (r == 0)
		r = resolver_new(p->loop, &p->resolver, e);
	if (r == 0)
		r = own_address_open(&p->routes, e);
	if (r == 0)
		r = confine_final(CONFINE_PROXY, e);
	if (r == 0 && fcntl(p->wire, F_SETFL, O_RDWR | O_NONBLOCK) != 0)
		r = err_sys(e, "proxy: cannot make the supervisor's socket non-blocking");
	if (r == 0)
		r = loop_add(p->loop, p->wire, EPOLLIN, on_wire, p, NULL, e);
	if (r != 0)
		return r;
	p->names = names_new();
	p->stub = stub_new(p);
	if (p->init_fd >= 0) {
		p->programs = programs_new(p, p->init_fd);
		programs_watch(p->programs);
	}
	p->notices = notices_new(p);
	watch_listeners(p, true);
	r = wire_send(p->wire, PROXY_WIRE_READY, 0, NULL, 0, NULL, 0);
	return r == 0 ? 1 : err_set(e, ERR_SYSTEM, r, "proxy: the supervisor does not answer");
}

static void stop(struct proxy *p)
{
	programs_free(p->programs);
	p->programs = NULL;
	while (p->conns != NULL)
		conn_abort(p->conns, "allow", "the sandbox was stopped");
	for (size_t i = 0; i < p->nlisteners; i++)
		end_close(p->loop, &p->listeners[i].end);
	pipes_free(&p->pipes);
	stub_free(p->stub);
	notices_free(p->notices);
	names_free(p->names);
	free(p->hostname);
	upstream_free(p->upstream);
	resolver_free(p->resolver);
	loop_free(p->loop);
	policy_rules_free(p->rules);
	if (p->log >= 0)
		close(p->log);
	if (p->routes >= 0)
		close(p->routes);
	free(p);
}

int net_proxy_serve(int wire_fd, struct err *e)
{
	struct proxy *p = xcalloc(1, sizeof(*p));
	int r;

	p->wire = wire_fd;
	p->log = -1;
	p->routes = -1;
	p->init_fd = -1;
	r = confine_early(wire_fd, e);
	if (r == 0)
		r = start(p, e);
	if (r < 0)
		say_failed(p, e);
	if (r > 0)
		r = loop_run(p->loop);
	stop(p);
	return r;
}
