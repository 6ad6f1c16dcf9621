/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports: the published ports of a running box.
 *
 * The listeners are opened here, before the box is built, so that a port that is taken is told
 * before anything else happens; ward-ports (ports_child.c) accepts on them.  They stay here too:
 * when ward-ports dies, connections wait for its successor.
 *
 * A port without an address is on 127.0.0.1 and ::1 or on neither: what calls itself `localhost`
 * would otherwise lead to this box or to another program, as the caller's resolver likes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

enum { BACKLOG = 4096, FREE_TRIES = 16 };

static const char *const loopbacks[] = { "127.0.0.1", "::1" };

/* A listener on ip; *port 0 becomes the one that was found. Its descriptor or -errno. */
static int listen_on(const char *ip, uint16_t *port)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a = { 0 };
	socklen_t len = sizeof(a);
	bool v6 = strchr(ip, ':');
	const int on = 1;
	auto_close int fd =
		socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (v6) {
		a.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(*port) };
		inet_pton(AF_INET6, ip, &a.v6.sin6_addr);
		len = sizeof(a.v6);
	} else {
		a.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(*port) };
		inet_pton(AF_INET, ip, &a.v4.sin_addr);
		len = sizeof(a.v4);
	}
	/* Connections of an earlier life that linger do not count; who listens does. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
	    bind(fd, &a.any, len) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, &a.any, &len) < 0)
		return -errno;
	*port = ntohs(v6 ? a.v6.sin6_port : a.v4.sin_port);
	return steal_fd(&fd);
}

static void close_all(struct port_listen *l)
{
	while (l->n > 0)
		close(l->fds[--l->n]);
}

/* On every address with the same number. *ret_ip: where it failed. */
static int try_port(const char *const *ips, size_t n, uint16_t *port, struct port_listen *l,
		    const char **ret_ip)
{
	uint16_t want = *port;

	for (size_t i = 0; i < n; i++) {
		int fd = listen_on(ips[i], &want);

		/* A machine without IPv6: nobody can mistake ::1 there. */
		if (i > 0 && (fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT))
			continue;
		if (fd < 0) {
			*ret_ip = ips[i];
			close_all(l);
			return fd;
		}
		l->fds[l->n++] = fd;
	}
	*port = want;
	return 0;
}

static int cannot(const struct spec_port *p, const char *ip, int code, struct err *e)
{
	auto_buf where = BUF_INIT;

	spec_port_address(ip, p->host, &where);
	switch (code) {
	case -EADDRINUSE:
		return err_set(
			e, ERR_CONFLICT, code,
			"port %u of the sandbox cannot be published: %s of this machine is taken",
			(unsigned)p->port, buf_str(&where));
	case -EADDRNOTAVAIL:
		return err_set(
			e, ERR_INPUT, code,
			"port %u of the sandbox cannot be published: %s is no address of this "
			"machine",
			(unsigned)p->port, ip);
	case -EACCES:
		err_set(e, ERR_REFUSED, code,
			"port %u of the sandbox cannot be published: port %u of this machine needs "
			"root",
			(unsigned)p->port, (unsigned)p->host);
		return err_hint(e, "take one from 1024 on");
	default:
		return err_set(e, ERR_SYSTEM, code,
			       "port %u of the sandbox cannot be published on %s: %s",
			       (unsigned)p->port, buf_str(&where), strerror(-code));
	}
}

static int open_port(const struct supervisor *sup, struct spec_port *p, struct port_listen *l,
		     struct err *e)
{
	const char *const *ips = p->ip ? (const char *const *)&p->ip : loopbacks;
	size_t n = p->ip ? 1 : ARRAY_SIZE(loopbacks);
	const char *ip = ips[0];
	uint16_t port = spec_port_host(p);
	int r;

	/* Others of this machine would get what the box may reach. */
	if (p->port == sup->params.config->proxy_port)
		return err_set(
			e, ERR_REFUSED, -EPERM,
			"port %u of the sandbox cannot be published: its proxy listens there",
			(unsigned)p->port);
	r = try_port(ips, n, &port, l, &ip);
	/* The one of last time is taken, or half of the one that was found. */
	for (int i = 0; r == -EADDRINUSE && p->host == 0 && i < FREE_TRIES; i++) {
		port = 0;
		r = try_port(ips, n, &port, l, &ip);
	}
	if (r < 0)
		return cannot(p, ip, r, e);
	if (p->host == 0)
		p->assigned = port;
	return 0;
}

/* --- the list -------------------------------------------------------------------------------- */

int ports_open(struct supervisor *sup, struct err *e)
{
	struct ports *ports = &sup->ports;
	const struct spec_ports *wanted = &sup->params.ports;
	bool changed = false;

	ports->v = xcalloc(SPEC_PORTS_MAX, sizeof(*ports->v));
	spec_ports_copy(wanted, &ports->list);
	for (size_t i = 0; i < ports->list.n; i++) {
		int r = open_port(sup, &ports->list.v[i], &ports->v[i], e);

		if (r < 0)
			return r;
		ports->v[i].id = ports->next_id++;
		changed = changed || ports->list.v[i].assigned != wanted->v[i].assigned;
	}
	return changed ? supervise_ports_write(&sup->params.sandbox, &ports->list, e) : 0;
}

int ports_publish(struct supervisor *sup, struct spec_port *p, struct err *e)
{
	struct ports *ports = &sup->ports;
	struct spec_ports *list = &ports->list;
	struct port_listen *l = &ports->v[list->n];
	int r = spec_ports_add(list, p, e);

	if (r < 0)
		return r;
	*l = (struct port_listen){ .id = ports->next_id++ };
	r = open_port(sup, &list->v[list->n - 1], l, e);
	if (r == 0)
		r = supervise_ports_write(&sup->params.sandbox, list, e);
	if (r == 0)
		r = ports_child_add(sup, l, list->v[list->n - 1].port, e);
	if (r < 0) {
		close_all(l);
		spec_port_clear(&list->v[--list->n]);
		/* What was not done is not remembered either. */
		(void)supervise_ports_write(&sup->params.sandbox, list, NULL);
	}
	return r;
}

int ports_unpublish(struct supervisor *sup, const struct spec_port *pattern, struct err *e)
{
	struct ports *ports = &sup->ports;
	size_t kept = 0, n = ports->list.n;

	for (size_t i = 0; i < n; i++) {
		if (!spec_port_matches(&ports->list.v[i], pattern)) {
			ports->v[kept++] = ports->v[i];
			continue;
		}
		close_all(&ports->v[i]);
		ports_child_drop(sup, ports->v[i].id);
	}
	if (spec_ports_remove(&ports->list, pattern) == 0)
		return supervise_ports_unknown(pattern, e);
	return supervise_ports_write(&sup->params.sandbox, &ports->list, e);
}

int ports_forward(struct supervisor *sup, uint16_t port, struct port_listen *ret)
{
	const char *ip;
	uint16_t bound = port;
	int r;

	*ret = (struct port_listen){ .id = sup->ports.next_id++ };
	r = try_port(loopbacks, ARRAY_SIZE(loopbacks), &bound, ret, &ip);
	if (r < 0)
		return r;
	r = ports_child_add(sup, ret, port, NULL);
	if (r < 0)
		close_all(ret);
	return r;
}

void ports_forward_end(struct supervisor *sup, struct port_listen *l)
{
	close_all(l);
	ports_child_drop(sup, l->id);
}

void ports_close(struct supervisor *sup)
{
	for (size_t i = 0; sup->ports.v && i < sup->ports.list.n; i++)
		close_all(&sup->ports.v[i]);
}
