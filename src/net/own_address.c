/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_address: is an address one of this host's own?  The kernel's routing table knows
 * (rtnetlink(7), RTM_GETROUTE): the route to such an address is a local one.
 *
 * The socket is opened before the process confines itself, which forbids further ones of its kind;
 * without capabilities it can only ask.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/net_internal.h"

struct route_request {
	struct nlmsghdr header;
	struct rtmsg route;
	struct rtattr attr;
	uint8_t addr[16];
};

int own_address_open(int *ret_fd, struct err *e)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0)
		return err_sys(e, "proxy: cannot ask the kernel for routes");
	*ret_fd = fd;
	return 0;
}

static size_t make_request(const struct sockaddr *addr, uint32_t sequence,
			   struct route_request *ret)
{
	bool v6 = addr->sa_family == AF_INET6;
	size_t n = v6 ? 16 : 4;

	*ret = (struct route_request){
		.header = { .nlmsg_type = RTM_GETROUTE,
			    .nlmsg_flags = NLM_F_REQUEST,
			    .nlmsg_seq = sequence },
		.route = { .rtm_family = (unsigned char)addr->sa_family,
			   .rtm_dst_len = (unsigned char)(8 * n) },
		.attr = { .rta_len = (unsigned short)RTA_LENGTH(n), .rta_type = RTA_DST },
	};
	if (v6)
		memcpy(ret->addr, &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr, n);
	else
		memcpy(ret->addr, &((const struct sockaddr_in *)(const void *)addr)->sin_addr, n);
	ret->header.nlmsg_len = (uint32_t)(offsetof(struct route_request, addr) + n);
	return ret->header.nlmsg_len;
}

bool own_address_is(int fd, const struct sockaddr *addr)
{
	static uint32_t sequence;
	struct route_request request;
	union {
		struct nlmsghdr header;
		char bytes[4096];
	} reply;
	struct rtmsg route;
	size_t n = make_request(addr, ++sequence, &request);

	if (send(fd, &request, n, 0) != (ssize_t)n)
		return true; /* who cannot ask must not assume the best */
	/* The answer is there when send returns; older ones are skipped. */
	for (;;) {
		ssize_t got = recv(fd, &reply, sizeof(reply), 0);

		if (got < (ssize_t)sizeof(reply.header))
			return true;
		if (reply.header.nlmsg_seq != sequence)
			continue;
		if (reply.header.nlmsg_type == NLMSG_ERROR)
			return false; /* no route: connecting will fail and say so */
		if (reply.header.nlmsg_type != RTM_NEWROUTE ||
		    got < (ssize_t)NLMSG_LENGTH(sizeof(route)))
			return true;
		memcpy(&route, NLMSG_DATA(&reply.header), sizeof(route));
		return route.rtm_type != RTN_UNICAST;
	}
}
