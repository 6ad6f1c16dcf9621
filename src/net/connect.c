/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect: a connection to the first of some addresses that takes one, one after the other.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fs.h"
#include "base/mem.h"
#include "net/net_internal.h"

enum { CONNECT_MS = 10000 };

struct connecting {
	struct loop *loop;
	connect_fn *fn;
	void *arg;
	struct sockaddr_storage addr[DNS_ADDRESSES_MAX];
	size_t naddr, next;
	int error; /* of the last address that was tried */
	struct end end;
	struct loop_source *timer;
};

void connect_address(bool v6, const uint8_t *bytes, uint16_t port, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (v6) {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

		memcpy(&in6.sin6_addr, bytes, 16);
		memcpy(ret, &in6, sizeof(in6));
	} else {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

		memcpy(&in.sin_addr, bytes, 4);
		memcpy(ret, &in, sizeof(in));
	}
}

static socklen_t addr_size(const struct sockaddr_storage *ss)
{
	return ss->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

void connect_cancel(struct connecting *c)
{
	if (c == NULL)
		return;
	loop_remove(c->loop, c->timer);
	end_close(c->loop, &c->end);
	free(c);
}

static void finish(struct connecting *c)
{
	struct sockaddr_storage addr = c->addr[c->next - 1];
	connect_fn *fn = c->fn;
	void *arg = c->arg;
	int error = c->error, fd;

	end_unwatch(c->loop, &c->end);
	fd = steal_fd(&c->end.fd);
	connect_cancel(c);
	fn(fd, &addr, error, arg);
}

static void on_failed(void *arg)
{
	struct connecting *c = arg;

	c->timer = NULL;
	finish(c);
}

static void try_next(struct connecting *c);

static void on_timeout(void *arg)
{
	struct connecting *c = arg;

	c->timer = NULL;
	c->error = ETIMEDOUT;
	end_close(c->loop, &c->end);
	try_next(c);
}

/* The kernel agrees that we are where we were allowed to go. */
static bool peer_is(int fd, const struct sockaddr_storage *addr)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t size = sizeof(peer);

	if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0 ||
	    peer.ss_family != addr->ss_family)
		return false;
	if (addr->ss_family == AF_INET)
		return memcmp(&peer, addr, offsetof(struct sockaddr_in, sin_zero)) == 0;
	return memcmp(&((struct sockaddr_in6 *)&peer)->sin6_addr,
		      &((const struct sockaddr_in6 *)addr)->sin6_addr, 16) == 0;
}

static void on_connected(int fd, uint32_t events, void *arg)
{
	struct connecting *c = arg;
	socklen_t size = sizeof(c->error);

	(void)events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &c->error, &size) != 0)
		c->error = errno;
	if (c->error == 0 && !peer_is(fd, &c->addr[c->next - 1]))
		c->error = ECONNABORTED;
	if (c->error == 0) {
		finish(c);
		return;
	}
	end_close(c->loop, &c->end);
	try_next(c);
}

static void try_next(struct connecting *c)
{
	loop_remove(c->loop, c->timer);
	c->timer = NULL;
	while (c->next < c->naddr) {
		const struct sockaddr_storage *addr = &c->addr[c->next++];

		c->end.fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (c->end.fd >= 0 &&
		    (connect(c->end.fd, (const struct sockaddr *)addr, addr_size(addr)) == 0 ||
		     errno == EINPROGRESS)) {
			end_want(c->loop, &c->end, EPOLLOUT, on_connected, c);
			c->timer = loop_after(c->loop, CONNECT_MS, on_timeout, c);
			return;
		}
		c->error = errno;
		end_close(c->loop, &c->end);
	}
	c->timer = loop_after(c->loop, 0, on_failed, c);
}

struct connecting *connect_start(struct loop *loop, const struct sockaddr_storage *addr, size_t n,
				 connect_fn *fn, void *arg)
{
	struct connecting *c = xcalloc(1, sizeof(*c));

	c->loop = loop;
	c->fn = fn;
	c->arg = arg;
	c->end.fd = -1;
	c->naddr = n;
	memcpy(c->addr, addr, n * sizeof(*addr));
	try_next(c);
	return c;
}
