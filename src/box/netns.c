/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netns: what a box's network namespace holds: `lo`, listeners, and what leads to them.
 *
 * There is no other interface, so nothing leaves that is not taken to a listener: connections by
 * the proxy variables to the explicit one, all others by the routes and rules of capture.c to the
 * transparent one and to the resolver.  The sockets are made here, inside, and leave as
 * descriptors; the proxy that serves them lives outside.
 *
 * Capture is no layer of isolation: where the kernel refuses it, programs reach the explicit
 * listener and nothing else, and the box says so.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "box/box_internal.h"

enum { LISTEN_BACKLOG = 4096 };

int netns_loopback_up(struct err *e)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { .ifr_name = "lo" };

	if (fd < 0)
		return err_sys(e, "socket");
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		return err_sys(e, "lo up");
	return 0;
}

/* A socket on a port of the loopback address, listening if it is a stream. */
static int bind_loopback(int family, int type, uint16_t port, int *ret_fd, struct err *e)
{
	const struct sockaddr_in in = { .sin_family = AF_INET,
					.sin_port = htons(port),
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
					  .sin6_port = htons(port),
					  .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	const char *name = family == AF_INET6 ? "[::1]" : "127.0.0.1";
	auto_close int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return err_sys(e, "socket");
	if (family == AF_INET6)
		r = bind(fd, (const struct sockaddr *)&in6, sizeof(in6));
	else
		r = bind(fd, (const struct sockaddr *)&in, sizeof(in));
	if (r < 0)
		return err_sys(e, "bind %s:%u", name, (unsigned)port);
	if (type == SOCK_STREAM && listen(fd, LISTEN_BACKLOG) < 0)
		return err_sys(e, "listen on %s:%u", name, (unsigned)port);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int netns_listen(uint16_t port, int *ret_fd, struct err *e)
{
	return bind_loopback(AF_INET, SOCK_STREAM, port, ret_fd, e);
}

/* --- capture --------------------------------------------------------------------------------- */

static int listen_family(int family, int fds[static BOX_NET_SOCKETS], struct err *e)
{
	static const struct {
		int type;
		uint16_t port;
	} sockets[BOX_NET_SOCKETS] = {
		[BOX_NET_TCP] = { SOCK_STREAM, BOX_NET_TCP_PORT },
		[BOX_NET_DNS_UDP] = { SOCK_DGRAM, BOX_NET_DNS_PORT },
		[BOX_NET_DNS_TCP] = { SOCK_STREAM, BOX_NET_DNS_PORT },
	};
	int r = 0;

	for (size_t i = 0; i < BOX_NET_SOCKETS && r == 0; i++)
		r = bind_loopback(family, sockets[i].type, sockets[i].port, &fds[i], e);
	return r;
}

static void close_family(int fds[static BOX_NET_SOCKETS])
{
	for (size_t i = 0; i < BOX_NET_SOCKETS; i++) {
		fd_closep(&fds[i]);
		fds[i] = -1;
	}
}

/* Send a batch; the kernel answers before send returns: an error, or as many assents as expected.
 */
static int ask_kernel(int protocol, const struct buf *batch, unsigned assents, const char *what,
		      struct err *e)
{
	auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	union {
		struct nlmsghdr header;
		char bytes[8192];
	} reply;

	if (fd < 0)
		return err_sys(e, "%s", what);
	if (send(fd, batch->data, batch->len, 0) != (ssize_t)batch->len)
		return err_sys(e, "%s", what);
	for (;;) {
		ssize_t got = recv(fd, &reply, sizeof(reply), 0);
		size_t left = got < 0 ? 0 : (size_t)got;
		struct nlmsghdr *h = &reply.header;

		if (left == 0)
			break;
		for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			struct nlmsgerr answer;

			if (h->nlmsg_type != NLMSG_ERROR ||
			    h->nlmsg_len < NLMSG_LENGTH(sizeof(answer)))
				continue;
			memcpy(&answer, NLMSG_DATA(h), sizeof(answer));
			if (answer.error != 0)
				return err_set(e, ERR_HOST, answer.error, "%s: %s", what,
					       strerror(-answer.error));
			assents -= assents > 0;
		}
	}
	if (assents > 0)
		return err_set(e, ERR_HOST, EPROTO, "%s: the kernel did not answer", what);
	return 0;
}

static int set_routes(bool v6, struct err *e)
{
	auto_buf batch = BUF_INIT;
	unsigned answers = capture_routes(v6, if_nametoindex("lo"), &batch);

	return ask_kernel(NETLINK_ROUTE, &batch, answers, v6 ? "IPv6 routes" : "routes", e);
}

static int set_rules(struct err *e)
{
	auto_buf batch = BUF_INIT;
	unsigned answers = capture_rules(BOX_NET_TCP_PORT, BOX_NET_DNS_PORT, &batch);

	return ask_kernel(NETLINK_NETFILTER, &batch, answers, "nf_tables", e);
}

static void set_reason(struct box_net *n, const struct err *e)
{
	memcpy(n->reason, e->message, strnlen(e->message, sizeof(n->reason) - 1));
}

void netns_capture(struct box_net *ret)
{
	struct err e = ERR_INIT;
	int r = listen_family(AF_INET, ret->v4, &e);

	if (r == 0)
		r = set_rules(&e);
	if (r == 0)
		r = set_routes(false, &e);
	if (r != 0) {
		close_family(ret->v4);
		set_reason(ret, &e);
		return;
	}
	/* A kernel without IPv6 has no way that could be missed. */
	r = listen_family(AF_INET6, ret->v6, &e);
	if (r == 0)
		r = set_routes(true, &e);
	if (r != 0) {
		close_family(ret->v6);
		set_reason(ret, &e);
	}
}
