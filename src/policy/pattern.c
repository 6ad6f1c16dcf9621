/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern: the text of a rule -> what it matches, and its canonical spelling.
 *
 *   name | *.name | **.name | **  [:port | :lo-hi | :*]
 *   a.b.c.d[/n][:port]   [v6][:port]   [v6/n][:port]   v6[/n]   localhost:port
 *
 * each with methods and a path behind it (request.c).
 *
 * The canonical text parses back to the same pattern.  Patterns come from users, kits and project
 * files, so that every message says what to write instead.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "policy/policy_internal.h"

static int bad(const char *text, const char *why, struct err *e)
{
	auto_free char *quoted = policy_quote(text, strlen(text));

	return err_set(e, ERR_INPUT, EINVAL, "rule '%s': %s", quoted, why);
}

/* A pattern cut into its host and its port; slices of the text. */
struct parts {
	const char *host;
	size_t host_len;
	const char *port; /* NULL: none written */
	size_t port_len;
	bool bracketed;
};

static bool split(const char *text, struct parts *ret)
{
	size_t n = strlen(text);
	const char *colon = strrchr(text, ':');
	struct parts p = { .host = text, .host_len = n };

	if (text[0] == '[') {
		const char *end = strchr(text, ']');

		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return false;
		p = (struct parts){ .host = text + 1,
				    .host_len = (size_t)(end - text) - 1,
				    .bracketed = true };
		colon = end[1] == ':' ? end + 1 : NULL;
	} else if (colon != NULL && strchr(text, ':') != colon) {
		colon = NULL; /* a bare IPv6 address, which has no port */
	} else if (colon != NULL) {
		p.host_len = (size_t)(colon - text);
	}
	if (colon != NULL) {
		p.port = colon + 1;
		p.port_len = strlen(colon + 1);
	}
	*ret = p;
	return true;
}

static bool parse_ports(const char *s, size_t n, uint16_t *ret_lo, uint16_t *ret_hi)
{
	const char *dash = memchr(s, '-', n);
	uint16_t lo, hi;

	if (n == 1 && s[0] == '*') {
		*ret_lo = 1;
		*ret_hi = UINT16_MAX;
		return true;
	}
	if (policy_port_parse(s, dash == NULL ? n : (size_t)(dash - s), &lo) != 0)
		return false;
	hi = lo;
	if (dash != NULL && policy_port_parse(dash + 1, n - (size_t)(dash - s) - 1, &hi) != 0)
		return false;
	if (hi < lo)
		return false;
	*ret_lo = lo;
	*ret_hi = hi;
	return true;
}

/* True when the text is an address or a block; *ret_bad is set when it is one, but a wrong one. */
static bool parse_net(const struct parts *p, struct rule_pattern *ret, const char **ret_bad)
{
	const char *slash = memchr(p->host, '/', p->host_len);
	size_t n = slash == NULL ? p->host_len : (size_t)(slash - p->host);
	unsigned max, base = 0;
	uint16_t bits;
	uint8_t v4[4];

	if (policy_v4_parse(p->host, n, v4)) {
		address_from_v4(v4, ret->addr);
		base = 96;
		max = 32;
	} else if (policy_v6_parse(p->host, n, ret->addr)) {
		max = 128;
	} else {
		if (slash != NULL || p->bracketed || memchr(p->host, ':', p->host_len) != NULL)
			*ret_bad = "not an address or a block of addresses";
		return slash != NULL || *ret_bad != NULL;
	}
	ret->kind = RULE_NET;
	ret->prefix = base + max;
	if (slash != NULL) {
		size_t len = p->host_len - n - 1;

		/* The port grammar has no 0, so that /0 is its own case. */
		if (len == 1 && slash[1] == '0')
			bits = 0;
		else if (policy_port_parse(slash + 1, len, &bits) != 0 || bits > max)
			*ret_bad = "the prefix length does not fit";
		else
			*ret_bad = NULL;
		ret->prefix = base + (*ret_bad == NULL ? bits : 0);
	}
	for (unsigned i = ret->prefix; *ret_bad == NULL && i < 128; i++) {
		if ((ret->addr[i / 8] >> (7 - i % 8) & 1) != 0)
			*ret_bad = "bits are set behind the prefix";
	}
	return true;
}

/*
 * Could anybody register a name there?  Without the public suffix list: every single label, and
 * under a country's two letters the usual second levels.
 */
static bool is_public_suffix(const char *name)
{
	static const char *const second_levels[] = { "ac",  "co", "com", "edu", "gob", "gov",
						     "go",  "id", "ltd", "mil", "ne",  "net",
						     "nom", "or", "org", "plc", "sch", "web" };
	const char *dot = strchr(name, '.');

	if (dot == NULL)
		return true;
	if (strchr(dot + 1, '.') != NULL || strlen(dot + 1) != 2)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(second_levels); i++) {
		if (strlen(second_levels[i]) == (size_t)(dot - name) &&
		    memcmp(second_levels[i], name, (size_t)(dot - name)) == 0)
			return true;
	}
	return false;
}

static int parse_host(const char *text, const struct parts *p, bool allow, struct rule_pattern *ret,
		      struct err *e)
{
	const char *host = p->host;
	size_t n = p->host_len;
	struct policy_host parsed;
	int r;

	ret->kind = RULE_NAME;
	if (n == 2 && memcmp(host, "**", 2) == 0) {
		ret->kind = RULE_ANY;
		return 0;
	}
	if (n > 3 && memcmp(host, "**.", 3) == 0)
		ret->kind = RULE_DEEP;
	else if (n > 2 && memcmp(host, "*.", 2) == 0)
		ret->kind = RULE_ONE;
	if (ret->kind != RULE_NAME) {
		host += ret->kind == RULE_DEEP ? 3 : 2;
		n = p->host_len - (size_t)(host - p->host);
	}
	if (memchr(host, '*', n) != NULL)
		return bad(text, "a star may only stand in front, as *.NAME, **.NAME or **", e);
	r = policy_host_parse(host, n, &parsed, e);
	if (r != 0) {
		err_prefix(e, "rule");
		return r;
	}
	if (ret->kind != RULE_NAME && parsed.kind != POLICY_HOST_NAME)
		return bad(text, "a star needs a name behind it, not an address", e);
	if (ret->kind != RULE_NAME && allow && is_public_suffix(parsed.name))
		return bad(text,
			   "anybody can register a name there; name the domain itself "
			   "(or ** for every public name)",
			   e);
	memcpy(ret->name, parsed.name, sizeof(ret->name));
	return 0;
}

/* Services of the host need one port each: all of them at once would be the host itself. */
static int parse_host_service(const char *text, const struct parts *p, struct rule_pattern *ret,
			      struct err *e)
{
	if (p->port == NULL || (p->port_len == 1 && p->port[0] == '*'))
		return bad(text, "write the port of the host's service, as localhost:8080", e);
	ret->kind = RULE_HOST;
	ret->name[0] = '\0';
	return 0;
}

static void format_ports(const struct rule_pattern *p, char *out, size_t size)
{
	if (p->lo == 1 && p->hi == UINT16_MAX)
		snprintf(out, size, ":*");
	else if (p->lo == p->hi)
		snprintf(out, size, ":%u", (unsigned)p->lo);
	else
		snprintf(out, size, ":%u-%u", (unsigned)p->lo, (unsigned)p->hi);
}

static void format_host(const struct rule_pattern *p, bool with_port,
			char out[static RULE_TEXT_MAX])
{
	char ports[16] = "", addr[INET6_ADDRSTRLEN], bits[8] = "";
	static const uint8_t mapped[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	bool v4 = p->kind == RULE_NET && p->prefix >= 96 && address_in(p->addr, mapped, 96);

	if (with_port)
		format_ports(p, ports, sizeof(ports));
	switch (p->kind) {
	case RULE_ANY:
		snprintf(out, RULE_TEXT_MAX, "**%s", ports);
		break;
	case RULE_HOST:
		snprintf(out, RULE_TEXT_MAX, "localhost%s", ports);
		break;
	case RULE_NET:
		if (p->prefix < 128)
			snprintf(bits, sizeof(bits), "/%u", v4 ? p->prefix - 96 : p->prefix);
		if (v4)
			inet_ntop(AF_INET, p->addr + 12, addr, sizeof(addr));
		else
			inet_ntop(AF_INET6, p->addr, addr, sizeof(addr));
		snprintf(out, RULE_TEXT_MAX, v4 ? "%s%s%s" : "[%s%s]%s", addr, bits, ports);
		break;
	case RULE_NAME:
	case RULE_ONE:
	case RULE_DEEP:
	case RULE_KIND_MAX:
		snprintf(out, RULE_TEXT_MAX, "%s%s%s",
			 p->kind == RULE_DEEP  ? "**."
			 : p->kind == RULE_ONE ? "*."
					       : "",
			 p->name, ports);
		break;
	}
}

/* text: the rule without methods and path. */
static int parse_target(const char *text, bool allow, struct rule_pattern *ret,
			char ret_text[static RULE_TEXT_MAX], struct err *e)
{
	struct rule_pattern p = { .lo = 1, .hi = UINT16_MAX };
	const char *wrong = NULL;
	struct parts parts;
	int r;

	if (!split(text, &parts) || parts.host_len == 0)
		return bad(text, "write HOST, HOST:PORT, *.HOST, **.HOST, an address or a block",
			   e);
	if (parts.port != NULL && !parse_ports(parts.port, parts.port_len, &p.lo, &p.hi))
		return bad(text, "the port is not a number from 1 to 65535, a range LO-HI or *", e);
	if (parse_net(&parts, &p, &wrong)) {
		if (wrong != NULL)
			return bad(text, wrong, e);
	} else {
		r = parse_host(text, &parts, allow, &p, e);
		if (r != 0)
			return r;
		if (p.kind == RULE_NAME &&
		    (policy_name_is_localhost(p.name) || policy_name_is_alias(p.name))) {
			r = parse_host_service(text, &parts, &p, e);
			if (r != 0)
				return r;
		}
		/* A deny without a port means the whole host: less would surprise. */
		p.web_ports = parts.port == NULL && allow;
	}
	format_host(&p, parts.port != NULL, ret_text);
	*ret = p;
	return 0;
}

static void format_request(const struct rule_request *q, struct rule_pattern *p,
			   char out[static RULE_TEXT_MAX])
{
	size_t n = strlen(out);

	if (q->methods[0] != '\0') {
		p->methods_at = (uint16_t)(n + 1);
		p->methods_len = (uint16_t)strlen(q->methods);
		n += (size_t)snprintf(out + n, RULE_TEXT_MAX - n, " %s", q->methods);
	}
	if (q->path[0] != '\0') {
		p->path_at = (uint16_t)(n + 1);
		snprintf(out + n, RULE_TEXT_MAX - n, " %s", q->path);
	}
}

int rule_pattern_parse(const char *text, bool allow, struct rule_pattern *ret,
		       char ret_text[static RULE_TEXT_MAX], struct err *e)
{
	struct rule_request request;
	auto_free char *target = NULL;
	const char *wrong;
	size_t n;
	int r;

	if (strlen(text) >= RULE_TEXT_MAX)
		return bad(text, "too long", e);
	n = strcspn(text, " ");
	wrong = rule_request_parse(text + n, &request);
	if (wrong != NULL)
		return bad(text, wrong, e);
	target = xstrndup(text, n);
	r = parse_target(target, allow, ret, ret_text, e);
	if (r == 0)
		format_request(&request, ret, ret_text);
	return r;
}
