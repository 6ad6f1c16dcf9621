/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transparent: the beginning of a connection that a program made to some address, and that was
 * redirected to us.
 *
 * The kernel still knows that address (SO_ORIGINAL_DST).  When the box's name server gave it out it
 * stands for a name, and the connection is to that name; otherwise it is a literal address, and
 * needs a rule that names addresses.  What comes then is what CONNECT does, with one difference:
 * where the port tells what the client begins with, that is read before anybody is contacted.
 *
 *   443    a TLS ClientHello for exactly that name
 *   80     the same, or HTTP: the request is taken as the explicit proxy's are, and Host must be
 *          that name; a refusal is an HTTP answer
 *   other  connected at once, because the server may be the one to begin; should the client begin
 *          with TLS, the name is checked as well (relay.c)
 *
 * Refused is reset, so that the program notices at once.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/net_internal.h"

/* linux/netfilter_ipv4.h, and under another name netfilter_ipv6; neither can be included here. */
enum { ORIGINAL_DST = 80 };

enum { FIRST_MS = 30000, HTTP_PORT = 80, HTTPS_PORT = 443 };

bool transparent_original(int fd, struct sockaddr_storage *ret)
{
	struct sockaddr_storage local = { 0 };
	socklen_t size = sizeof(local), to_size = sizeof(*ret);
	bool v6;

	*ret = (struct sockaddr_storage){ 0 };
	if (getsockname(fd, (struct sockaddr *)&local, &size) != 0)
		return false;
	v6 = local.ss_family == AF_INET6;
	return getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, ORIGINAL_DST, ret, &to_size) == 0;
}

/* The same as the policy and the names take it. */
static bool original_destination(int fd, struct dns_address *ret, uint16_t *ret_port)
{
	struct sockaddr_storage to;
	const struct sockaddr_in *in = (const void *)&to;
	const struct sockaddr_in6 *in6 = (const void *)&to;

	if (!transparent_original(fd, &to))
		return false;
	*ret = (struct dns_address){ .v6 = to.ss_family == AF_INET6 };
	memcpy(ret->bytes, ret->v6 ? (const void *)&in6->sin6_addr : (const void *)&in->sin_addr,
	       ret->v6 ? 16 : 4);
	*ret_port = ntohs(ret->v6 ? in6->sin6_port : in->sin_port);
	return true;
}

/* The target as the policy sees it; NULL or why there is none. */
static const char *find_target(struct proxy *p, int fd, struct original *o)
{
	struct dns_address addr;
	const char *name;

	if (!original_destination(fd, &addr, &o->port))
		return "nothing was redirected here";
	if (names_number(addr.v6, addr.bytes, &o->number)) {
		name = names_find(p->names, o->number);
		if (name == NULL || policy_host_parse(name, strlen(name), &o->host, NULL) != 0)
			return "the name behind this address is forgotten: look it up again";
		o->named = true;
		names_hold(p->names, o->number);
		return NULL;
	}
	policy_host_literal(addr.v6, addr.bytes, &o->host);
	if (names_is_box_network(addr.v6, addr.bytes))
		return "an address of the sandbox's own network";
	if (addr.v6 ? IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)(const void *)addr.bytes)
		    : addr.bytes[0] == 127)
		return "nothing was redirected here";
	return NULL;
}

void transparent_begin(struct conn *c)
{
	struct original *o = xcalloc(1, sizeof(*o));
	const char *why;

	c->original = o;
	why = find_target(c->proxy, c->client.fd, o);
	conn_begin_request(c);
	c->req = (struct forward){ .connect = true, .host = o->host, .port = o->port };
	c->target_known = why == NULL || o->host.name[0] != '\0';
	if (why != NULL) {
		conn_reset(c, "deny", why);
		return;
	}
	if (o->port == HTTP_PORT || o->port == HTTPS_PORT) {
		policy_decide(c->proxy->rules, &o->host, o->port, NULL, &c->verdict);
		if (!c->verdict.allow && o->port != HTTP_PORT) {
			conn_reset_denied(c);
			return;
		}
		c->state = CONN_FIRST;
		conn_set_deadline(c, FIRST_MS);
		return;
	}
	c->first = false;
	conn_start_dial(c);
}

/* What a client on port 80 begins with, which is not TLS. */
static void begin_http(struct conn *c)
{
	c->state = CONN_HEAD;
	conn_take_head(c);
}

/* May free c. */
static void look(struct conn *c)
{
	const char *why;
	int r;

	if (c->original->port == HTTP_PORT && c->in.data[0] != TLS_HELLO_FIRST_BYTE) {
		begin_http(c);
		return;
	}
	if (!c->verdict.allow) {
		conn_reset_denied(c);
		return;
	}
	r = conn_check_hello(c, &why);
	if (r < 0)
		conn_refuse_tunnel(c, why);
	if (r <= 0)
		return;
	c->first = false;
	conn_start_dial(c);
}

void transparent_read(struct conn *c)
{
	struct proxy *p = c->proxy;
	ssize_t n = recv(c->client.fd, p->scratch, sizeof(p->scratch), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_abort(c, c->verdict.allow ? "allow" : "deny",
			   c->in.len == 0
				   ? "the client closed the connection before it sent anything"
				   : "the client closed the connection in its first flight");
		return;
	}
	c->active = loop_now(p->loop);
	if (c->in.len == 0)
		conn_set_deadline(c, CONN_HELLO_MS);
	buf_add(&c->in, p->scratch, (size_t)n);
	conn_account(c);
	if (p->held > PROXY_HELD_MAX)
		conn_refuse_full(c);
	else
		look(c);
}
