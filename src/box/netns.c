/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netns: what a box's network namespace holds: `lo`, up, and one listener.
 *
 * There is no other interface and no route, so nothing has to be filtered.  The listening socket is
 * made here, inside, and leaves as a descriptor; the proxy that accepts on it lives outside.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
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

int netns_listen(uint16_t port, int *ret_fd, struct err *e)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(e, "socket");
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return err_sys(e, "bind 127.0.0.1:%u", (unsigned)port);
	if (listen(fd, LISTEN_BACKLOG) < 0)
		return err_sys(e, "listen on 127.0.0.1:%u", (unsigned)port);
	*ret_fd = steal_fd(&fd);
	return 0;
}
