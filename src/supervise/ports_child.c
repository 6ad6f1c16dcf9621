/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports_child: the ward-ports of a box.
 *
 * It is started with the first published port, and gets: a socket to init, which makes its
 * connections inside, the cookie of the box's network namespace, by which it checks them, and
 * listeners.  This process never sees a byte of those connections.  A ward-ports that dies is
 * replaced with a growing pause; connections are lost, the listeners are not.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

enum { PAUSE_MS = 100, PAUSE_MAX_MS = 60000, WINDOW_MS = 60000 };
#define NAME "ward-ports"

static int give(struct supervisor *sup, const struct port_listen *l, uint16_t port)
{
	if (sup->ports.retry)
		return 0; /* its successor gets it */
	return wire_send(sup->ports.wire_fd, PORTS_WIRE_LISTEN, l->id, &port, sizeof(port), l->fds,
			 l->n);
}

static int give_listeners(struct supervisor *sup, size_t i)
{
	return give(sup, &sup->ports.v[i], sup->ports.list.v[i].port);
}

/* Those of browser.c. */
static int give_callbacks(struct supervisor *sup)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < BROWSER_CALLBACKS_MAX; i++) {
		const struct callback *c = &sup->browser.callbacks[i];

		if (c->listen.n)
			r = give(sup, &c->listen, c->port);
	}
	return r;
}

/* One end of a new socket to init, which leaves its earlier one. */
static int give_box(struct supervisor *sup)
{
	uint64_t cookie;
	socklen_t n = sizeof(cookie);
	struct err e = ERR_INIT;
	int pair[2];
	int r;

	/* Of a socket that was made inside before any program ran there. */
	if (getsockopt(sup->box.listen_fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &n) < 0)
		return -errno;
	r = wire_pair(pair, &e);
	if (r < 0)
		return r;
	r = supervisor_tell_init(sup, INIT_WIRE_PORTS, 0, NULL, 0, &pair[1], 1);
	if (r == 0)
		r = wire_send(sup->ports.wire_fd, PORTS_WIRE_BOX, 0, &cookie, sizeof(cookie),
			      &pair[0], 1);
	close(pair[0]);
	close(pair[1]);
	return r;
}

static void lost(struct supervisor *sup);

static void on_message(int fd, uint32_t events, void *arg)
{
	struct supervisor *sup = arg;
	auto_free struct wire_msg *m = xcalloc(1, sizeof(*m));
	struct err e = ERR_INIT;
	int r = wire_recv(fd, m);

	(void)events;
	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r != 1) {
		supervisor_note(sup, NAME " ended; connections to published ports are cut");
		lost(sup);
		return;
	}
	if (m->h.type == PORTS_WIRE_READY) {
		sup->ports.ready = true;
	} else if (m->h.type == PORTS_WIRE_FAILED) {
		helper_child_failed(m, NAME, &e);
		supervisor_note(sup, "%s", e.message);
	}
	wire_msg_clear(m);
}

static int start(struct supervisor *sup, struct err *e)
{
	struct ports *ports = &sup->ports;
	int r = helper_child_start(NAME, ports->exe_fd, &ports->pid, &ports->wire_fd, e);

	if (r < 0)
		return r;
	r = give_box(sup);
	for (size_t i = 0; r == 0 && i < ports->list.n; i++)
		r = give_listeners(sup, i);
	if (r == 0)
		r = give_callbacks(sup);
	if (r == 0)
		r = wire_send(ports->wire_fd, PORTS_WIRE_GO, 0, NULL, 0, NULL, 0);
	if (r < 0)
		err_set(e, ERR_SYSTEM, r, NAME ": %s", strerror(-r));
	if (r == 0 && fcntl(ports->wire_fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		r = err_sys(e, NAME);
	if (r == 0)
		r = loop_add(sup->loop, ports->wire_fd, EPOLLIN, on_message, sup, &ports->source,
			     e);
	if (r < 0)
		helper_child_end(&ports->pid, &ports->wire_fd);
	return r;
}

static void on_retry(void *arg)
{
	struct supervisor *sup = arg;
	struct err e = ERR_INIT;

	sup->ports.retry = NULL;
	if (start(sup, &e) == 0)
		return;
	supervisor_note(sup, "%s", e.message);
	lost(sup);
}

static void lost(struct supervisor *sup)
{
	struct ports *ports = &sup->ports;
	uint64_t now = loop_now(sup->loop), pause;

	loop_remove(sup->loop, ports->source);
	ports->source = NULL;
	helper_child_end(&ports->pid, &ports->wire_fd);
	ports->ready = false;
	if (now - ports->window_start > WINDOW_MS) {
		ports->window_start = now;
		ports->restarts = 0;
	}
	pause = (uint64_t)PAUSE_MS * ports->restarts * ports->restarts;
	ports->restarts++;
	ports->total_restarts++;
	ports->retry =
		loop_after(sup->loop, pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS, on_retry, sup);
}

int ports_child_open(struct supervisor *sup, struct err *e)
{
	sup->ports.exe_fd = open(sup->params.ports_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return sup->ports.exe_fd < 0 ? err_sys(e, "%s", sup->params.ports_path) : 0;
}

int ports_child_start(struct supervisor *sup, struct err *e)
{
	return sup->ports.list.n ? start(sup, e) : 0;
}

int ports_child_add(struct supervisor *sup, const struct port_listen *l, uint16_t port,
		    struct err *e)
{
	int r;

	if (sup->ports.wire_fd < 0 && !sup->ports.retry)
		return start(sup, e);
	r = give(sup, l, port);
	return r < 0 ? err_set(e, ERR_SYSTEM, r, NAME ": %s", strerror(-r)) : 0;
}

void ports_child_drop(struct supervisor *sup, uint32_t id)
{
	/* One that does not listen to that any more would go on accepting. */
	if (sup->ports.wire_fd >= 0 &&
	    wire_send(sup->ports.wire_fd, PORTS_WIRE_CLOSE, id, NULL, 0, NULL, 0) < 0)
		lost(sup);
}

void ports_child_stop(struct supervisor *sup)
{
	helper_child_end(&sup->ports.pid, &sup->ports.wire_fd);
}
