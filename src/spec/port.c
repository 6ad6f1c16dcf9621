/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port: which ports of a box can be reached on this machine.
 *
 * [[IP:]HOSTPORT:]PORT[/PROTOCOL], as Docker's commands write it.  Without IP both loopback
 * addresses are meant, because `localhost` may be either; with /tcp4 or /tcp6 one of them.  Without
 * HOSTPORT (or with 0) any port that is free will do, and the one that was taken is remembered.
 * Only TCP: a box has no other way in or out.
 *
 * Pure.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

enum { PORT_TEXT_MAX = 128 };

void spec_port_clear(struct spec_port *p)
{
	free(p->ip);
	free(p->name);
	*p = (struct spec_port){ 0 };
}

void spec_ports_clear(struct spec_ports *p)
{
	for (size_t i = 0; i < p->n; i++)
		spec_port_clear(&p->v[i]);
	free(p->v);
	*p = (struct spec_ports){ 0 };
}

static struct spec_port port_copy(const struct spec_port *p)
{
	struct spec_port copy = *p;

	copy.ip = p->ip ? xstrdup(p->ip) : NULL;
	copy.name = p->name ? xstrdup(p->name) : NULL;
	return copy;
}

void spec_ports_copy(const struct spec_ports *from, struct spec_ports *ret)
{
	ret->n = from->n;
	ret->v = xcalloc(from->n + 1, sizeof(*ret->v));
	for (size_t i = 0; i < from->n; i++)
		ret->v[i] = port_copy(&from->v[i]);
}

/* --- reading --------------------------------------------------------------------------------- */

static int bad(const char *text, const char *why, struct err *e)
{
	auto_free char *shown = text_escaped(text);

	err_set(e, ERR_INPUT, -EINVAL, "port '%s': %s", shown, why);
	return err_hint(e, "[[IP:]HOSTPORT:]PORT[/tcp], such as 8080:3000");
}

static bool parse_number(const char *s, bool zero, uint16_t *ret)
{
	uint64_t n;

	if (text_u64(s, UINT16_MAX, &n) < 0 || (n == 0 && !zero))
		return false;
	*ret = (uint16_t)n;
	return true;
}

int spec_port_check_ip(const char *ip)
{
	char canonical[INET6_ADDRSTRLEN];
	uint8_t bytes[16];
	int family = strchr(ip, ':') ? AF_INET6 : AF_INET;

	return inet_pton(family, ip, bytes) == 1 &&
			       inet_ntop(family, bytes, canonical, sizeof(canonical)) &&
			       strcmp(canonical, ip) == 0
		       ? 0
		       : -EINVAL;
}

/* The address in front, with brackets or without, as the kernel writes it; NULL: it is none. */
static char *parse_ip(char *s)
{
	char canonical[INET6_ADDRSTRLEN];
	uint8_t bytes[16];
	size_t n = strlen(s);
	int family = AF_INET;

	if (n >= 2 && s[0] == '[' && s[n - 1] == ']') {
		s[n - 1] = '\0';
		s++;
		family = AF_INET6;
	}
	if (inet_pton(family, s, bytes) != 1 ||
	    !inet_ntop(family, bytes, canonical, sizeof(canonical)))
		return NULL;
	return xstrdup(canonical);
}

/* The protocol behind the slash; sets *ret_ip for the families. */
static const char *parse_protocol(const char *s, char **ip)
{
	static const struct {
		const char *name, *loopback;
		char digit; /* that an address of the other family has */
	} families[] = { { "tcp4", "127.0.0.1", ':' }, { "tcp6", "::1", '.' } };

	if (strcmp(s, "tcp") == 0)
		return NULL;
	if (strncmp(s, "udp", 3) == 0)
		return "UDP is not published, only TCP";
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		if (strcmp(s, families[i].name) != 0)
			continue;
		if (*ip && strchr(*ip, families[i].digit))
			return "the address is of the other family";
		if (!*ip)
			*ip = xstrdup(families[i].loopback);
		return NULL;
	}
	return "the protocol is not tcp";
}

int spec_port_parse(const char *text, struct spec_port *ret, struct err *e)
{
	auto_free char *copy = xstrdup(text);
	auto_free char *ip = NULL;
	struct spec_port p = { 0 };
	char *slash = strchr(copy, '/');
	char *colon;
	const char *why;

	if (strlen(text) > PORT_TEXT_MAX)
		return bad(text, "it is too long", e);
	if (slash)
		*slash++ = '\0';
	if (strchr(copy, '-'))
		return bad(text, "ranges are not supported; give each port by itself", e);
	colon = strrchr(copy, ':');
	if (!parse_number(colon ? colon + 1 : copy, false, &p.port))
		return bad(text, "the port in the sandbox is not a number from 1 to 65535", e);
	if (colon) {
		char *host = copy;

		*colon = '\0';
		colon = strrchr(copy, ':');
		if (colon) {
			*colon = '\0';
			host = colon + 1;
			ip = parse_ip(copy);
			if (!ip)
				return bad(text,
					   "what is in front is no IP address (an IPv6 address "
					   "goes into brackets)",
					   e);
		}
		/* Docker's IP::PORT. */
		if (!(ip && *host == '\0') && !parse_number(host, true, &p.host))
			return bad(text, "the port of this machine is not a number from 0 to 65535",
				   e);
	}
	why = slash ? parse_protocol(slash, &ip) : NULL;
	if (why)
		return bad(text, why, e);
	p.ip = steal(&ip);
	*ret = p;
	return 0;
}

/* --- writing --------------------------------------------------------------------------------- */

uint16_t spec_port_host(const struct spec_port *p)
{
	return p->host ? p->host : p->assigned;
}

void spec_port_address(const char *ip, uint16_t port, struct buf *out)
{
	buf_printf(out, strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, (unsigned)port);
}

void spec_port_text(const struct spec_port *p, struct buf *out)
{
	if (p->ip) {
		spec_port_address(p->ip, spec_port_host(p), out);
		buf_putc(out, ':');
	} else if (spec_port_host(p)) {
		buf_printf(out, "%u:", (unsigned)spec_port_host(p));
	}
	buf_printf(out, "%u", (unsigned)p->port);
}

void spec_port_shown(const struct spec_port *p, struct buf *out)
{
	spec_port_address(p->ip ? p->ip : "127.0.0.1", spec_port_host(p), out);
	buf_printf(out, "->%u/tcp", (unsigned)p->port);
}

bool spec_port_is_public(const struct spec_port *p)
{
	return p->ip && (strcmp(p->ip, "0.0.0.0") == 0 || strcmp(p->ip, "::") == 0);
}

/* --- lists ----------------------------------------------------------------------------------- */

static bool same_ip(const struct spec_port *a, const struct spec_port *b)
{
	return !a->ip || !b->ip ? a->ip == b->ip : strcmp(a->ip, b->ip) == 0;
}

bool spec_port_matches(const struct spec_port *p, const struct spec_port *pattern)
{
	return p->port == pattern->port && (!pattern->ip || same_ip(p, pattern)) &&
	       (pattern->host == 0 || pattern->host == spec_port_host(p));
}

bool spec_port_equal(const struct spec_port *a, const struct spec_port *b)
{
	return a->port == b->port && a->host == b->host && same_ip(a, b);
}

int spec_ports_add(struct spec_ports *list, struct spec_port *p, struct err *e)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct spec_port *o = &list->v[i];
		bool taken = p->host && p->host == spec_port_host(o) && same_ip(p, o);

		if (!taken && !spec_port_equal(p, o))
			continue;
		if (p->port != o->port)
			err_set(e, ERR_CONFLICT, -EEXIST,
				"port %u of this machine leads to port %u of this sandbox already",
				(unsigned)p->host, (unsigned)o->port);
		else
			err_set(e, ERR_CONFLICT, -EEXIST,
				"port %u of the sandbox is published like that already",
				(unsigned)p->port);
		spec_port_clear(p);
		return e ? e->code : -EEXIST;
	}
	if (list->n == SPEC_PORTS_MAX) {
		spec_port_clear(p);
		return err_set(e, ERR_REFUSED, -E2BIG, "more than %d published ports",
			       SPEC_PORTS_MAX);
	}
	list->v = xrealloc(list->v, list->n + 1, sizeof(*list->v));
	list->v[list->n++] = *p;
	*p = (struct spec_port){ 0 };
	return 0;
}

size_t spec_ports_remove(struct spec_ports *list, const struct spec_port *pattern)
{
	size_t kept = 0, n = list->n;

	for (size_t i = 0; i < n; i++) {
		if (spec_port_matches(&list->v[i], pattern))
			spec_port_clear(&list->v[i]);
		else
			list->v[kept++] = list->v[i];
	}
	list->n = kept;
	return n - kept;
}

void spec_ports_of_kit(const struct kit *k, struct spec_ports *list)
{
	for (size_t i = 0; i < k->nports; i++) {
		struct spec_port p = { .port = (uint16_t)k->ports[i].container };
		bool given = false;

		/* -p has said where it shall be. */
		for (size_t n = 0; n < list->n; n++)
			given = given || list->v[n].port == p.port;
		if (given || (k->ports[i].protocol && strcmp(k->ports[i].protocol, "tcp") != 0))
			continue;
		p.name = k->ports[i].name ? xstrdup(k->ports[i].name) : NULL;
		(void)spec_ports_add(list, &p, NULL);
	}
}
