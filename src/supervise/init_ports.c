/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init_ports: connections to services of the box, made for ward-ports.
 *
 * A socket belongs to the network namespace in which it was made, and only init can make one here
 * for a process outside.  What it connects to is the box's own loopback address and nothing else;
 * the outcome is for who gets the socket: nothing here waits.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

static int connect_loopback(const struct ports_target *t)
{
	const struct sockaddr_in v4 = { .sin_family = AF_INET,
					.sin_port = htons(t->port),
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
					 .sin6_port = htons(t->port),
					 .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	auto_close int fd = -1;
	int r;

	if (t->family != AF_INET && t->family != AF_INET6)
		return -1;
	fd = socket(t->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	r = t->family == AF_INET ? connect(fd, (const struct sockaddr *)&v4, sizeof(v4))
				 : connect(fd, (const struct sockaddr *)&v6, sizeof(v6));
	return r == 0 || errno == EINPROGRESS ? steal_fd(&fd) : -1;
}

void init_ports_adopt(int *ports_fd, struct wire_msg *m)
{
	int fd = wire_take_fd(m, 0);

	if (*ports_fd >= 0)
		close(*ports_fd);
	*ports_fd = fd;
	/* It never makes init wait. */
	if (fd >= 0 && fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		fd_closep(ports_fd);
}

void init_ports_answer(int *ports_fd, struct wire_msg *m)
{
	struct ports_target t;
	auto_close int fd = -1;
	int r = wire_recv(*ports_fd, m);

	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r <= 0) {
		fd_closep(ports_fd);
		*ports_fd = -1;
		return;
	}
	if (m->h.type == PORTS_INIT_CONNECT && m->len == sizeof(t)) {
		memcpy(&t, m->data, sizeof(t));
		fd = connect_loopback(&t);
		/* Who asks for more than it takes is not answered. */
		(void)wire_send(*ports_fd, PORTS_INIT_SOCKET, m->h.arg, NULL, 0, &fd, fd >= 0);
	}
	wire_msg_clear(m);
}
