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
 *
 * Where the user's company has a proxy, it is told the name once that is allowed, and resolves it:
 * there is no address here to decide on.  A literal address is decided on as ever, and those that
 * mean this machine or its cable are not what another machine would reach by them.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "net/net_internal.h"

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
	struct connecting *connecting;
	struct upstream_dial *upstream;
	struct sockaddr_storage addr[DNS_ADDRESSES_MAX];
	size_t naddr;
	struct dial_result result;
};

void dial_cancel(struct dial *d)
{
	if (d == NULL)
		return;
	resolve_cancel(d->lookup);
	loop_remove(d->proxy->loop, d->timer);
	connect_cancel(d->connecting);
	upstream_dial_cancel(d->upstream);
	free(d);
}

static void finish(struct dial *d, enum dial_outcome outcome, int fd, const char *reason)
{
	struct dial_result result = d->result;
	dial_fn *fn = d->fn;
	void *arg = d->arg;

	result.outcome = outcome;
	result.fd = fd;
	snprintf(result.reason, sizeof(result.reason), "%s", reason);
	dial_cancel(d);
	fn(&result, arg);
}

static void on_denied(void *arg)
{
	struct dial *d = arg;

	d->timer = NULL;
	finish(d, DIAL_DENIED, -1, d->result.verdict.reason);
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

/* By name alone, as far as it is one. *addr: the literal's, else AF_UNSPEC. */
static void decide_unresolved(const struct proxy *p, const struct policy_host *host, uint16_t port,
			      const struct policy_request *q, struct sockaddr_storage *addr,
			      struct policy_verdict *ret)
{
	*addr = (struct sockaddr_storage){ .ss_family = AF_UNSPEC };
	if (host->kind == POLICY_HOST_NAME) {
		policy_decide(p->rules, host, port, q, ret);
		return;
	}
	connect_address(host->kind == POLICY_HOST_V6, host->addr, port, addr);
	decide_dialled(p, host, port, q, addr, ret);
}

bool dial_still_allowed(const struct proxy *p, const struct policy_host *host, uint16_t port,
			const struct policy_request *q, const struct sockaddr_storage *peer,
			struct policy_verdict *ret)
{
	struct sockaddr_storage literal;

	if (peer->ss_family == AF_UNSPEC)
		decide_unresolved(p, host, port, q, &literal, ret);
	else
		decide_dialled(p, host, port, q, peer, ret);
	return ret->allow;
}

static void on_connected(int fd, const struct sockaddr_storage *addr, int error, void *arg)
{
	struct dial *d = arg;
	char reason[128] = "";

	d->connecting = NULL;
	if (error == 0)
		d->result.peer = *addr;
	else
		snprintf(reason, sizeof(reason), "cannot connect: %s", strerror(error));
	finish(d,
	       error == 0	    ? DIAL_CONNECTED
	       : error == ETIMEDOUT ? DIAL_TIMEOUT
				    : DIAL_FAILED,
	       fd, reason);
}

static void connect_to(struct dial *d)
{
	if (d->naddr > 0)
		d->connecting = connect_start(d->proxy->loop, d->addr, d->naddr, on_connected, d);
	else
		d->timer = loop_after(d->proxy->loop, 0, on_denied, d);
}

/* Keep an address when the policy lets it pass; otherwise remember why not. */
static void offer(struct dial *d, bool v6, const uint8_t *bytes)
{
	struct sockaddr_storage addr;
	struct policy_verdict verdict;

	if (d->naddr == DNS_ADDRESSES_MAX)
		return;
	connect_address(v6, bytes, d->port, &addr);
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

		finish(d, r == -ETIMEDOUT ? DIAL_TIMEOUT : DIAL_NO_NAME, -1, why);
		return;
	}
	for (size_t i = 0; i < answer->count; i++)
		offer(d, answer->addr[i].v6, answer->addr[i].bytes);
	connect_to(d);
}

/* --- through the company's proxy ------------------------------------------------------------- */

static void on_upstream(enum dial_outcome outcome, int fd, const char *reason, void *arg)
{
	struct dial *d = arg;

	d->upstream = NULL;
	finish(d, outcome, fd, reason);
}

/* Loopback and link-local addresses, and the host's own. */
static bool is_near(const struct proxy *p, const struct sockaddr_storage *addr)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	if (addr->ss_family == AF_UNSPEC)
		return false;
	memcpy(&in6, addr, sizeof(in6));
	memcpy(&in, addr, sizeof(in));
	if (addr->ss_family == AF_INET ? (ntohl(in.sin_addr.s_addr) >> 24 == 127 ||
					  ntohl(in.sin_addr.s_addr) >> 16 == 0xa9fe)
				       : (IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) ||
					  IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr)))
		return true;
	return own_address_is(p->routes, (const struct sockaddr *)addr);
}

/* False: it is for nobody but ourselves to connect. */
static bool through_upstream(struct dial *d, bool forward)
{
	const struct policy_request *q = d->looked_into ? &d->request : NULL;
	const struct upstream_way *way = upstream_for(d->proxy->upstream, &d->host, d->port, q);
	struct sockaddr_storage addr;

	if (way == NULL)
		return false;
	decide_unresolved(d->proxy, &d->host, d->port, q, &addr, &d->result.verdict);
	if (!d->result.verdict.allow) {
		d->result.peer = addr;
		d->timer = loop_after(d->proxy->loop, 0, on_denied, d);
		return true;
	}
	if (is_near(d->proxy, &addr))
		return false;
	d->result.via = way;
	d->result.forward = forward && q != NULL && upstream_forwards(way);
	d->upstream = upstream_dial_start(d->proxy, way, &d->host, d->port, d->result.forward,
					  on_upstream, d);
	return true;
}

struct dial *dial_start(struct proxy *p, const struct policy_host *host, uint16_t port,
			const struct policy_request *q, bool forward, dial_fn *fn, void *arg)
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
	policy_decide(p->rules, host, port, q, &d->result.verdict);
	if (!d->result.verdict.allow) {
		d->timer = loop_after(p->loop, 0, on_denied, d);
	} else if (d->result.verdict.host_service) {
		offer(d, false, loopback4);
		offer(d, true, loopback6);
		connect_to(d);
	} else if (through_upstream(d, forward)) {
		return d;
	} else if (host->kind == POLICY_HOST_NAME) {
		d->lookup = resolve_start(p->resolver, host->name, on_resolved, d);
	} else {
		offer(d, host->kind == POLICY_HOST_V6, host->addr);
		connect_to(d);
	}
	return d;
}
