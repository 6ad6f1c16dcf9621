/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dial: the only way from a name to a connection.
 *
 * The order never varies: decide on the canonical name; only then resolve; decide on every address;
 * ask the kernel whether an address is one of this host's own, and decide on that; connect to
 * exactly the addresses that passed, one after the other.  A name is resolved once per connection,
 * and what was checked is what is dialled, so that a name server cannot change its mind in between.
 *
 * A service of the host (a localhost:PORT rule) is dialled on 127.0.0.1, then on ::1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/net_internal.h"

enum { CONNECT_MS = 10000 };

struct dial {
	struct proxy *proxy;
	struct policy_host host;
	uint16_t port;
	bool looked_into;
	struct policy_request request; /* borrowed; when looked_into */
	dial_fn *fn;
	void *arg;
	struct lookup *lookup;
	struct loop_source *timer;
	struct end end;
	struct sockaddr_storage addr[DNS_ADDRESSES_MAX];
	size_t naddr, next;
	int error; /* of the last address that was tried */
	struct dial_result result;
};

static socklen_t addr_size(const struct sockaddr_storage *ss)
{
	return ss->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static void make_addr(bool v6, const uint8_t *bytes, uint16_t port, struct sockaddr_storage *ret)
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

void dial_cancel(struct dial *d)
{
	if (d == NULL)
		return;
	resolve_cancel(d->lookup);
	loop_remove(d->proxy->loop, d->timer);
	end_close(d->proxy->loop, &d->end);
	free(d);
}

static void finish(struct dial *d, enum dial_outcome outcome, const char *reason)
{
	struct dial_result result = d->result;
	dial_fn *fn = d->fn;
	void *arg = d->arg;

	result.outcome = outcome;
	result.fd = -1;
	if (outcome == DIAL_CONNECTED) {
		end_unwatch(d->proxy->loop, &d->end);
		result.fd = steal_fd(&d->end.fd);
	}
	snprintf(result.reason, sizeof(result.reason), "%s", reason);
	dial_cancel(d);
	fn(&result, arg);
}

static void on_denied(void *arg)
{
	struct dial *d = arg;

	d->timer = NULL;
	finish(d, DIAL_DENIED, d->result.verdict.reason);
}

static void decide_dialled(const struct proxy *p, const struct policy_host *host, uint16_t port,
			   const struct policy_request *q, const struct sockaddr_storage *addr,
			   struct policy_verdict *ret)
{
	const struct sockaddr *sa = (const struct sockaddr *)addr;
	struct policy_verdict own;

	policy_decide_address(p->rules, host, port, q, sa, ret);
	/* The host's loopback and private addresses were named by the rule that let them pass. */
	if (ret->allow && !ret->host_service && !policy_address_special(sa) &&
	    own_address_is(p->routes, sa)) {
		policy_decide_own_address(p->rules, port, q, sa, &own);
		if (!own.allow || !ret->would_deny)
			*ret = own;
	}
}

bool dial_still_allowed(const struct proxy *p, const struct policy_host *host, uint16_t port,
			const struct policy_request *q, const struct sockaddr_storage *peer,
			struct policy_verdict *ret)
{
	decide_dialled(p, host, port, q, peer, ret);
	return ret->allow;
}

static void try_next(struct dial *d);

static void on_connect_timeout(void *arg)
{
	struct dial *d = arg;

	d->timer = NULL;
	d->error = ETIMEDOUT;
	end_close(d->proxy->loop, &d->end);
	try_next(d);
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
	struct dial *d = arg;
	socklen_t size = sizeof(d->error);

	(void)events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &d->error, &size) != 0)
		d->error = errno;
	if (d->error == 0 && !peer_is(fd, &d->addr[d->next - 1]))
		d->error = ECONNABORTED;
	if (d->error == 0) {
		d->result.peer = d->addr[d->next - 1];
		finish(d, DIAL_CONNECTED, "");
		return;
	}
	end_close(d->proxy->loop, &d->end);
	try_next(d);
}

static void try_next(struct dial *d)
{
	struct loop *loop = d->proxy->loop;

	loop_remove(loop, d->timer);
	d->timer = NULL;
	while (d->next < d->naddr) {
		const struct sockaddr_storage *addr = &d->addr[d->next++];

		d->end.fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (d->end.fd >= 0 &&
		    (connect(d->end.fd, (const struct sockaddr *)addr, addr_size(addr)) == 0 ||
		     errno == EINPROGRESS)) {
			end_want(loop, &d->end, EPOLLOUT, on_connected, d);
			d->timer = loop_after(loop, CONNECT_MS, on_connect_timeout, d);
			return;
		}
		d->error = errno;
		end_close(loop, &d->end);
	}
	{
		char reason[128];

		snprintf(reason, sizeof(reason), "cannot connect: %s", strerror(d->error));
		finish(d, d->error == ETIMEDOUT ? DIAL_TIMEOUT : DIAL_FAILED, reason);
	}
}

static void on_start(void *arg)
{
	struct dial *d = arg;

	d->timer = NULL;
	try_next(d);
}

/* Keep an address when the policy lets it pass; otherwise remember why not. */
static void offer(struct dial *d, bool v6, const uint8_t *bytes)
{
	struct sockaddr_storage addr;
	struct policy_verdict verdict;

	if (d->naddr == DNS_ADDRESSES_MAX)
		return;
	make_addr(v6, bytes, d->port, &addr);
	decide_dialled(d->proxy, &d->host, d->port, d->looked_into ? &d->request : NULL, &addr,
		       &verdict);
	if (verdict.allow)
		d->addr[d->naddr++] = addr;
	if (verdict.allow || d->naddr == 0) {
		d->result.verdict = verdict;
		d->result.peer = addr; /* for the hint, when it stays denied */
	}
}

static void on_resolved(int r, const struct dns_answer *answer, void *arg)
{
	struct dial *d = arg;

	d->lookup = NULL;
	if (r != 0) {
		const char *why = r == -ENOENT	  ? "no such name"
				  : r == -ENODATA ? "the name has no address"
						  : "the name servers do not answer";

		finish(d, r == -ETIMEDOUT ? DIAL_TIMEOUT : DIAL_NO_NAME, why);
		return;
	}
	for (size_t i = 0; i < answer->count; i++)
		offer(d, answer->addr[i].v6, answer->addr[i].bytes);
	if (d->naddr == 0)
		finish(d, DIAL_DENIED, d->result.verdict.reason);
	else
		try_next(d);
}

struct dial *dial_start(struct proxy *p, const struct policy_host *host, uint16_t port,
			const struct policy_request *q, dial_fn *fn, void *arg)
{
	static const uint8_t loopback4[4] = { 127, 0, 0, 1 };
	static const uint8_t loopback6[16] = { [15] = 1 };
	struct dial *d = xcalloc(1, sizeof(*d));

	d->proxy = p;
	d->host = *host;
	d->port = port;
	d->looked_into = q != NULL;
	if (q != NULL)
		d->request = *q;
	d->fn = fn;
	d->arg = arg;
	d->end.fd = -1;
	policy_decide(p->rules, host, port, q, &d->result.verdict);
	if (!d->result.verdict.allow) {
		d->timer = loop_after(p->loop, 0, on_denied, d);
		return d;
	}
	if (!d->result.verdict.host_service && host->kind == POLICY_HOST_NAME) {
		d->lookup = resolve_start(p->resolver, host->name, on_resolved, d);
		return d;
	}
	if (d->result.verdict.host_service) {
		offer(d, false, loopback4);
		offer(d, true, loopback6);
	} else {
		offer(d, host->kind == POLICY_HOST_V6, host->addr);
	}
	d->timer = loop_after(p->loop, 0, d->naddr > 0 ? on_start : on_denied, d);
	return d;
}
