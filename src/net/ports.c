/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports: published ports, from listeners of this machine to services in a box.
 *
 *   accepted --ask init--> ASKED --socket--> CONNECTING --connected--> RELAY --> gone
 *                            ^                   |
 *                            \--(refused: ::1)---/ (refused there too: reset)
 *
 * The listeners are the supervisor's.  The other end is a socket that init, inside, has made and
 * connected to the box's own 127.0.0.1 or ::1, so that whatever listens there is reached.  Nothing
 * that is said is parsed; this process makes and connects no socket, opens no file, and can reach
 * nothing but what it was handed (confine.c).
 *
 * Invariants: a socket of init's is used only if it is a TCP socket of the box's network namespace
 * (check_socket): then its other end is there as well.  A full relay leaves connections in the
 * listeners' queues.  A connection is freed in conn_free only, and nothing touches it after a call
 * that may free it.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/wire.h"
#include "net/net.h"
#include "net/net_internal.h"

enum {
	CONNS_MAX = 512,
	ACCEPT_BATCH = 16,
	ACCEPT_RETRY_MS = 100,
	CONNECT_MS = 10000,
	ROUNDS = 4, /* chunks per event: others want their turn */
	ENTRY_LISTENERS_MAX = 2,
};

struct relay;

struct entry { /* a published port */
	struct entry *next;
	struct relay *relay;
	uint32_t id;
	uint16_t port; /* inside */
	struct end listeners[ENTRY_LISTENERS_MAX];
	size_t nlisteners;
};

struct link { /* a connection */
	struct link *prev, *next;
	struct relay *relay;
	uint32_t id;	/* of its entry */
	uint32_t token; /* by which init's answer finds it */
	struct ports_target target;
	enum { LINK_WAITING, LINK_ASKED, LINK_CONNECTING, LINK_RELAY } state;
	struct end host, box;
	struct flow to_box, to_host;
	bool box_shut, host_shut;
	struct loop_source *timer; /* until it is connected */
};

struct relay {
	struct loop *loop;
	int wire;
	struct end init;
	uint64_t cookie;
	struct entry *entries;
	struct link *links;
	size_t nlinks;
	uint32_t next_token;
	struct loop_source *accept_timer;
	char scratch[FLOW_CHUNK];
};

static void on_listener(int fd, uint32_t events, void *arg);
static void on_host(int fd, uint32_t events, void *arg);
static void on_box(int fd, uint32_t events, void *arg);

static void watch_listeners(struct relay *r, bool on)
{
	for (struct entry *n = r->entries; n; n = n->next) {
		for (size_t i = 0; i < n->nlisteners; i++)
			end_want(r->loop, &n->listeners[i], on ? EPOLLIN : 0, on_listener, n);
	}
}

/* --- life of a connection -------------------------------------------------------------------- */

static void tune(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 60 },
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

static void link_free(struct link *l)
{
	struct relay *r = l->relay;

	loop_remove(r->loop, l->timer);
	end_close(r->loop, &l->host);
	end_close(r->loop, &l->box);
	flow_free(&l->to_box);
	flow_free(&l->to_host);
	if (l->prev)
		l->prev->next = l->next;
	else
		r->links = l->next;
	if (l->next)
		l->next->prev = l->prev;
	free(l);
	if (r->nlinks-- == CONNS_MAX)
		watch_listeners(r, true);
}

/* Both ends see a reset: nobody takes a part for the whole. */
static void link_abort(struct link *l)
{
	const struct linger reset = { .l_onoff = 1 };

	setsockopt(l->host.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (l->box.fd >= 0)
		setsockopt(l->box.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	link_free(l);
}

static void on_timer(void *arg)
{
	struct link *l = arg;

	l->timer = NULL;
	link_abort(l);
}

/* --- asking init ----------------------------------------------------------------------------- */

/* A full socket: the answers that are on their way bring the next try. */
static void ask(struct link *l)
{
	int r = wire_send(l->relay->init.fd, PORTS_INIT_CONNECT, l->token, &l->target,
			  sizeof(l->target), NULL, 0);

	l->state = r == 0 ? LINK_ASKED : LINK_WAITING;
}

static void ask_waiting(struct relay *r)
{
	for (struct link *l = r->links; l; l = l->next) {
		if (l->state != LINK_WAITING)
			continue;
		ask(l);
		if (l->state == LINK_WAITING)
			return;
	}
}

static void begin(struct entry *n, int fd)
{
	struct relay *r = n->relay;
	struct link *l = xcalloc(1, sizeof(*l));

	*l = (struct link){ .relay = r,
			    .id = n->id,
			    .token = r->next_token++,
			    .target = { .family = AF_INET, .port = n->port },
			    .host = { .fd = fd },
			    .box = { .fd = -1 },
			    .next = r->links };
	if (l->next)
		l->next->prev = l;
	r->links = l;
	r->nlinks++;
	tune(fd);
	l->timer = loop_after(r->loop, CONNECT_MS, on_timer, l);
	end_want(r->loop, &l->host, 0, on_host, l);
	ask(l);
}

/* Nothing listens there. */
static void refused(struct link *l)
{
	if (l->target.family == AF_INET6) {
		link_abort(l);
		return;
	}
	end_close(l->relay->loop, &l->box);
	l->target.family = AF_INET6;
	l->token = l->relay->next_token++;
	ask(l);
}

static bool option_is(int fd, int option, uint64_t value)
{
	uint64_t have = 0; /* an int option fills the low half, see confine.c */
	socklen_t n = option == SO_NETNS_COOKIE ? sizeof(uint64_t) : sizeof(int);

	return getsockopt(fd, SOL_SOCKET, option, &have, &n) == 0 && have == value;
}

/* What init sent is treated as if a program of the box had sent it. */
static bool check_socket(const struct link *l, int fd)
{
	return option_is(fd, SO_DOMAIN, l->target.family) && option_is(fd, SO_TYPE, SOCK_STREAM) &&
	       option_is(fd, SO_PROTOCOL, IPPROTO_TCP) && option_is(fd, SO_ACCEPTCONN, 0) &&
	       option_is(fd, SO_NETNS_COOKIE, l->relay->cookie) &&
	       fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0;
}

static void take_answer(struct relay *r, struct wire_msg *m)
{
	auto_close int fd = wire_take_fd(m, 0);
	struct link *l = r->links;

	while (l && (l->state != LINK_ASKED || l->token != m->h.arg))
		l = l->next;
	if (!l || m->h.type != PORTS_INIT_SOCKET)
		return;
	if (fd < 0) {
		refused(l);
		return;
	}
	if (!check_socket(l, fd)) {
		link_abort(l);
		return;
	}
	tune(fd);
	l->box.fd = steal_fd(&fd);
	l->state = LINK_CONNECTING;
	end_want(r->loop, &l->box, EPOLLOUT, on_box, l);
}

static void on_init(int fd, uint32_t events, void *arg)
{
	static struct wire_msg m;
	struct relay *r = arg;
	int n = wire_recv(fd, &m);

	(void)events;
	if (n == -EAGAIN || n == -EINTR || n == -EBADMSG)
		return;
	if (n <= 0) { /* the box is ending */
		loop_stop(r->loop, 0);
		return;
	}
	take_answer(r, &m);
	wire_msg_clear(&m);
	ask_waiting(r);
}

/* --- moving bytes ---------------------------------------------------------------------------- */

/* Nobody takes these bytes any more; the other direction may still have something to say. */
static void give_up(struct flow *f, bool *shut)
{
	f->done = true;
	buf_free(&f->pending);
	*shut = true;
}

/* From one end to the other, as far as there is room; false: the connection was freed. */
static bool pump(struct link *l, struct end *from, struct end *to, struct flow *f, bool *to_shut)
{
	struct relay *r = l->relay;

	for (int i = 0; i < ROUNDS && flow_wants(f); i++) {
		ssize_t n = recv(from->fd, r->scratch, sizeof(r->scratch), 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n < 0) {
			link_abort(l);
			return false;
		}
		if (n == 0)
			f->done = true;
		else if (flow_take(f, to->fd, r->scratch, (size_t)n) < 0)
			give_up(f, to_shut);
	}
	return true;
}

static void pass_end(const struct flow *f, const struct end *to, bool *shut)
{
	if (!flow_drained(f) || *shut)
		return;
	*shut = true;
	shutdown(to->fd, SHUT_WR);
}

static uint32_t wants(const struct flow *from, const struct flow *to)
{
	return (flow_wants(from) ? EPOLLIN : 0) | (to->pending.len > 0 ? EPOLLOUT : 0);
}

/* After anything happened in RELAY. May free l. */
static void step(struct link *l)
{
	struct relay *r = l->relay;

	if (flow_flush(&l->to_box, l->box.fd) < 0)
		give_up(&l->to_box, &l->box_shut);
	if (flow_flush(&l->to_host, l->host.fd) < 0)
		give_up(&l->to_host, &l->host_shut);
	pass_end(&l->to_box, &l->box, &l->box_shut);
	pass_end(&l->to_host, &l->host, &l->host_shut);
	if (l->box_shut && l->host_shut) {
		link_free(l);
		return;
	}
	end_want(r->loop, &l->host, wants(&l->to_box, &l->to_host), on_host, l);
	end_want(r->loop, &l->box, wants(&l->to_host, &l->to_box), on_box, l);
}

static void on_end(struct link *l, struct end *from, struct end *to, struct flow *f, bool *to_shut,
		   uint32_t events)
{
	if (from->want == 0) {
		/* Only a dead peer speaks up now. What it said before is still passed on. */
		if (events & EPOLLERR)
			link_abort(l);
		else
			end_unwatch(l->relay->loop, from);
		return;
	}
	if ((events & ~(uint32_t)EPOLLOUT) && (from->want & EPOLLIN) &&
	    !pump(l, from, to, f, to_shut))
		return;
	step(l);
}

static void on_host(int fd, uint32_t events, void *arg)
{
	struct link *l = arg;

	(void)fd;
	if (l->state != LINK_RELAY)
		link_abort(l); /* reset while the box is asked */
	else
		on_end(l, &l->host, &l->box, &l->to_box, &l->box_shut, events);
}

static void on_connected(struct link *l)
{
	int error = 0;
	socklen_t n = sizeof(error);

	if (getsockopt(l->box.fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 || error) {
		refused(l);
		return;
	}
	loop_remove(l->relay->loop, l->timer);
	l->timer = NULL;
	l->state = LINK_RELAY;
	flow_begin(&l->to_box, HTTP1_BODY_UNTIL_CLOSE, 0);
	flow_begin(&l->to_host, HTTP1_BODY_UNTIL_CLOSE, 0);
	step(l);
}

static void on_box(int fd, uint32_t events, void *arg)
{
	struct link *l = arg;

	(void)fd;
	if (l->state == LINK_CONNECTING)
		on_connected(l);
	else
		on_end(l, &l->box, &l->host, &l->to_host, &l->host_shut, events);
}

/* --- listeners ------------------------------------------------------------------------------- */

static void on_accept_again(void *arg)
{
	struct relay *r = arg;

	r->accept_timer = NULL;
	watch_listeners(r, r->nlinks < CONNS_MAX);
}

static void on_listener(int fd, uint32_t events, void *arg)
{
	struct entry *n = arg;
	struct relay *r = n->relay;

	(void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int client;

		if (r->nlinks >= CONNS_MAX) {
			watch_listeners(r, false);
			return;
		}
		client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client >= 0) {
			begin(n, client);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			   errno == ENOMEM) {
			watch_listeners(r, false);
			if (!r->accept_timer)
				r->accept_timer =
					loop_after(r->loop, ACCEPT_RETRY_MS, on_accept_again, r);
			return;
		}
		/* Every other error belongs to one connection that is gone already. */
	}
}

static void entry_free(struct entry *n)
{
	for (size_t i = 0; i < n->nlisteners; i++)
		end_close(n->relay->loop, &n->listeners[i]);
	free(n);
}

/* No connection outlives its port. */
static void close_entry(struct relay *r, uint32_t id)
{
	for (struct entry **at = &r->entries; *at; at = &(*at)->next) {
		struct entry *n = *at;

		if (n->id != id)
			continue;
		*at = n->next;
		entry_free(n);
		break;
	}
	for (struct link *l = r->links, *next; l; l = next) {
		next = l->next;
		if (l->id == id)
			link_abort(l);
	}
}

/* --- the supervisor -------------------------------------------------------------------------- */

static int take_listen(struct relay *r, struct wire_msg *m, struct err *e)
{
	struct entry *n;
	uint16_t port;

	if (m->len != sizeof(port) || m->nfds == 0 || m->nfds > ENTRY_LISTENERS_MAX)
		return err_set(e, ERR_SYSTEM, -EBADMSG, "a port without its listeners");
	memcpy(&port, m->data, sizeof(port));
	n = xcalloc(1, sizeof(*n));
	*n = (struct entry){ .relay = r, .id = m->h.arg, .port = port, .next = r->entries };
	n->nlisteners = m->nfds;
	for (size_t i = 0; i < n->nlisteners; i++) {
		n->listeners[i].fd = wire_take_fd(m, i);
		if (!option_is(n->listeners[i].fd, SO_ACCEPTCONN, 1) ||
		    fcntl(n->listeners[i].fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0) {
			entry_free(n);
			return err_set(e, ERR_SYSTEM, -EBADMSG, "a listener does not listen");
		}
	}
	r->entries = n;
	watch_listeners(r, r->nlinks < CONNS_MAX);
	return 0;
}

static int take_box(struct relay *r, struct wire_msg *m, struct err *e)
{
	if (m->len != sizeof(r->cookie) || m->nfds != 1 || r->init.fd >= 0)
		return err_set(e, ERR_SYSTEM, -EBADMSG, "not one box");
	memcpy(&r->cookie, m->data, sizeof(r->cookie));
	r->init.fd = wire_take_fd(m, 0);
	if (fcntl(r->init.fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return err_sys(e, "init's socket");
	return 0;
}

/* 1: the last message of the start. */
static int take_message(struct relay *r, struct wire_msg *m, struct err *e)
{
	switch (m->h.type) {
	case PORTS_WIRE_BOX:
		return take_box(r, m, e);
	case PORTS_WIRE_LISTEN:
		return take_listen(r, m, e);
	case PORTS_WIRE_CLOSE:
		close_entry(r, m->h.arg);
		return 0;
	case PORTS_WIRE_GO:
		return 1;
	default:
		return err_set(e, ERR_SYSTEM, -EPROTO, "unknown message %u", m->h.type);
	}
}

static void say_failed(struct relay *r, const struct err *e)
{
	wire_send(r->wire, PORTS_WIRE_FAILED, 0, e, sizeof(*e), NULL, 0);
}

static void on_wire(int fd, uint32_t events, void *arg)
{
	static struct wire_msg m; /* too large for the stack's taste */
	struct relay *r = arg;
	struct err e = ERR_INIT;
	int n = wire_recv(fd, &m);

	(void)events;
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n <= 0) {
		loop_stop(r->loop, 0);
		return;
	}
	if (take_message(r, &m, &e) < 0)
		say_failed(r, &e);
	wire_msg_clear(&m);
}

static int start(struct relay *r, struct err *e)
{
	auto_free struct wire_msg *m = xmalloc(sizeof(*m));
	int n = loop_new(&r->loop, e);

	while (n == 0) {
		n = wire_recv(r->wire, m);
		if (n == 0)
			return err_set(e, ERR_SYSTEM, -EPIPE, "the supervisor is gone");
		if (n < 0)
			return err_set(e, ERR_SYSTEM, n, "start: %s", strerror(-n));
		n = take_message(r, m, e);
		wire_msg_clear(m);
	}
	if (n > 0 && r->init.fd < 0)
		n = err_set(e, ERR_SYSTEM, -EPROTO, "no box");
	if (n > 0)
		n = confine_final(CONFINE_PORTS, e);
	if (n == 0 && fcntl(r->wire, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		n = err_sys(e, "the supervisor's socket");
	if (n == 0)
		n = loop_add(r->loop, r->wire, EPOLLIN, on_wire, r, NULL, e);
	if (n == 0)
		n = loop_add(r->loop, r->init.fd, EPOLLIN, on_init, r, &r->init.source, e);
	return n < 0 ? n : wire_send(r->wire, PORTS_WIRE_READY, 0, NULL, 0, NULL, 0);
}

int net_ports_serve(int wire_fd, struct err *e)
{
	struct relay *r = xcalloc(1, sizeof(*r));
	int n;

	r->wire = wire_fd;
	r->init.fd = -1;
	n = confine_early(wire_fd, e);
	if (n == 0)
		n = start(r, e);
	if (n < 0)
		say_failed(r, e);
	/* Everything else goes with the process. */
	return n < 0 ? n : loop_run(r->loop);
}
