/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules: a set of rules, and the two decisions made with it.
 *
 * policy_decide looks at what the box asked for, policy_decide_address at where that leads.  Both
 * start from "no" and need a rule to say yes.  Order within a set does not matter: any deny that
 * matches wins, otherwise the first allow that matches is the one reported.  A set that audits lets
 * public names pass that no rule allows (as the preset open would), and says so in the verdict; its
 * deny rules and everything about addresses count as always.
 *
 * Special addresses (address.c) are reachable only through a rule that lies within their special
 * block: 10.0.0.0/8 opens 10.1.2.3, while 0.0.0.0/0 or a name does not.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "policy/policy_internal.h"

struct policy_rules *policy_rules_new(void)
{
	return xcalloc(1, sizeof(struct policy_rules));
}

void policy_rules_free(struct policy_rules *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].text);
		free(r->v[i].origin);
	}
	free(r->v);
	free(r);
}

size_t policy_rules_count(const struct policy_rules *r)
{
	return r == NULL ? 0 : r->n;
}

struct policy_rule_view policy_rules_at(const struct policy_rules *r, size_t i)
{
	const struct rule *rule = &r->v[i];

	return (struct policy_rule_view){ rule->allow, rule->text, rule->origin };
}

bool policy_rules_audit(const struct policy_rules *r)
{
	return r != NULL && r->audit;
}

int policy_rule_canonical(bool allow, const char *pattern, char ret[static POLICY_RULE_MAX],
			  struct err *e)
{
	struct rule_pattern ignored;

	return rule_pattern_parse(pattern, allow, &ignored, ret, e);
}

bool policy_rule_has_request(const char *text)
{
	return strchr(text, ' ') != NULL;
}

/* An origin is shown to people and lives on one line of the text form. */
static bool origin_is_clean(const char *origin)
{
	for (const char *p = origin; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	}
	return text_is_utf8(origin, strlen(origin));
}

/* At most RULE_ORIGIN_MAX - 1 bytes, cut between characters. */
static char *origin_copy(const char *origin)
{
	size_t n = strnlen(origin, RULE_ORIGIN_MAX);

	if (n == RULE_ORIGIN_MAX) {
		n--;
		while (n > 0 && ((unsigned char)origin[n] & 0xc0) == 0x80)
			n--;
	}
	return xstrndup(origin, n);
}

int policy_rules_add(struct policy_rules *r, bool allow, const char *pattern, const char *origin,
		     struct err *e)
{
	struct rule rule = { .allow = allow };
	char text[RULE_TEXT_MAX];
	int err;

	if (r->n >= POLICY_RULES_MAX)
		return err_set(e, ERR_INPUT, EINVAL, "rule '%s': more than %d rules", pattern,
			       POLICY_RULES_MAX);
	if (!origin_is_clean(origin))
		return err_set(e, ERR_INPUT, EINVAL, "rule '%s': its origin is not plain text",
			       pattern);
	err = rule_pattern_parse(pattern, allow, &rule.pattern, text, e);
	if (err != 0)
		return err;
	if (r->n == r->cap) {
		r->cap = r->cap == 0 ? 16 : r->cap * 2;
		r->v = xrealloc(r->v, r->cap, sizeof(*r->v));
	}
	rule.text = xstrdup(text);
	rule.origin = origin_copy(origin);
	r->v[r->n++] = rule;
	return 0;
}

void policy_rules_write(const struct policy_rules *r, struct buf *out)
{
	if (policy_rules_audit(r))
		buf_puts(out, "audit\n");
	for (size_t i = 0; i < policy_rules_count(r); i++)
		buf_printf(out, "%s %s\t%s\n", r->v[i].allow ? "allow" : "deny", r->v[i].text,
			   r->v[i].origin);
}

static int bad_line(size_t number, const char *why, struct err *e)
{
	return err_set(e, ERR_INPUT, EINVAL, "rule set, line %zu: %s", number, why);
}

/* One line without its newline. */
static int read_line(struct policy_rules *r, const char *line, size_t n, size_t number,
		     struct err *e)
{
	auto_free char *copy = NULL;
	char *pattern, *tab;
	bool allow;
	int err;

	if (memchr(line, '\0', n) != NULL)
		return bad_line(number, "a NUL byte", e);
	copy = xstrndup(line, n);
	if (strcmp(copy, "audit") == 0) {
		r->audit = true;
		return 0;
	}
	allow = text_starts(copy, "allow ");
	if (!allow && !text_starts(copy, "deny "))
		return bad_line(number, "begins with neither 'allow' nor 'deny'", e);
	pattern = copy + (allow ? strlen("allow ") : strlen("deny "));
	tab = strchr(pattern, '\t');
	if (tab == NULL)
		return bad_line(number, "no origin", e);
	*tab = '\0';
	if (strlen(tab + 1) >= RULE_ORIGIN_MAX)
		return bad_line(number, "the origin is too long", e);
	err = policy_rules_add(r, allow, pattern, tab + 1, e);
	if (err != 0)
		err_prefix(e, "rule set, line %zu", number);
	return err;
}

int policy_rules_read(const char *text, size_t n, struct policy_rules **ret, struct err *e)
{
	struct policy_rules *r;
	size_t number = 1;

	if (n > POLICY_TEXT_MAX)
		return err_set(e, ERR_INPUT, EINVAL, "rule set: more than %d bytes",
			       POLICY_TEXT_MAX);
	r = policy_rules_new();
	for (size_t i = 0; i < n; number++) {
		const char *end = memchr(text + i, '\n', n - i);
		int err = end == NULL ? bad_line(number, "no newline at its end", e)
				      : read_line(r, text + i, (size_t)(end - text) - i, number, e);

		if (err != 0) {
			policy_rules_free(r);
			return err;
		}
		i = (size_t)(end - text) + 1;
	}
	*ret = r;
	return 0;
}

static bool port_matches(const struct rule_pattern *p, uint16_t port)
{
	if (p->web_ports)
		return port == 80 || port == 443;
	return port >= p->lo && port <= p->hi;
}

/* Labels in front of the suffix: 0 when name is not below it. */
static size_t labels_below(const char *name, const char *suffix)
{
	size_t n = strlen(name), s = strlen(suffix), labels = 1;

	if (n < s + 2 || name[n - s - 1] != '.' || memcmp(name + n - s, suffix, s) != 0)
		return 0;
	for (size_t i = 0; i < n - s - 1; i++)
		labels += name[i] == '.';
	return labels;
}

static bool name_matches(const struct rule_pattern *p, const char *name)
{
	switch (p->kind) {
	case RULE_NAME:
		return strcmp(p->name, name) == 0;
	case RULE_ONE:
		return labels_below(name, p->name) == 1;
	case RULE_DEEP:
		return labels_below(name, p->name) >= 1;
	case RULE_ANY:
		return policy_name_is_public(name);
	case RULE_HOST:
		return policy_name_is_alias(name);
	case RULE_NET:
	case RULE_KIND_MAX:
		break;
	}
	return false;
}

static bool net_matches(const struct rule_pattern *p, const uint8_t addr[static 16])
{
	return p->kind == RULE_NET && address_in(addr, p->addr, p->prefix);
}

static void host_bytes(const struct policy_host *host, uint8_t ret[static 16])
{
	if (host->kind == POLICY_HOST_V4)
		address_from_v4(host->addr, ret);
	else
		memcpy(ret, host->addr, 16);
}

static void verdict_of(const struct rule *rule, bool allow, struct policy_verdict *ret)
{
	*ret = (struct policy_verdict){ .allow = allow };
	snprintf(ret->rule, sizeof(ret->rule), "%s", rule->text);
	snprintf(ret->origin, sizeof(ret->origin), "%s", rule->origin);
	if (allow)
		snprintf(ret->reason, sizeof(ret->reason), "allowed by a rule of %s", rule->origin);
	else
		snprintf(ret->reason, sizeof(ret->reason), "denied by a rule of %s", rule->origin);
}

static void refuse(struct policy_verdict *ret, const char *reason)
{
	*ret = (struct policy_verdict){ .allow = false };
	snprintf(ret->reason, sizeof(ret->reason), "%s", reason);
}

/* The first rule of that sign which matches an address and the port. */
static const struct rule *find_net(const struct policy_rules *r, bool allow,
				   const uint8_t addr[static 16], uint16_t port,
				   const struct policy_request *q)
{
	int special = address_special_prefix(addr);

	for (size_t i = 0; i < policy_rules_count(r); i++) {
		const struct rule *rule = &r->v[i];

		if (rule->allow != allow || !net_matches(&rule->pattern, addr) ||
		    !port_matches(&rule->pattern, port) || !rule_matches_request(rule, q))
			continue;
		/* A block wider than the special one was not written with it in mind. */
		if (allow && special >= 0 && rule->pattern.prefix < (unsigned)special)
			continue;
		return rule;
	}
	return NULL;
}

/* Deny rules also see through translators: 64:ff9b::/96 is no way around "deny 198.51.100.0/24". */
static const struct rule *find_net_deny(const struct policy_rules *r, const uint8_t addr[static 16],
					uint16_t port, const struct policy_request *q)
{
	const struct rule *rule = find_net(r, false, addr, port, q);
	uint8_t inner[2][16];
	size_t n = address_embedded(addr, inner);

	for (size_t i = 0; rule == NULL && i < n; i++)
		rule = find_net(r, false, inner[i], port, q);
	return rule;
}

static void decide_literal(const struct policy_rules *r, const uint8_t addr[static 16],
			   uint16_t port, const struct policy_request *q,
			   struct policy_verdict *ret)
{
	const struct rule *rule = find_net_deny(r, addr, port, q);
	bool allow = rule == NULL;

	if (allow)
		rule = find_net(r, true, addr, port, q);
	if (rule != NULL)
		verdict_of(rule, allow, ret);
	else if (address_special_prefix(addr) >= 0)
		refuse(ret, "a private or otherwise special address that no rule names");
	else
		refuse(ret, "no rule allows it");
}

/* Why no rule allows a name, from the nearest miss. */
static void refuse_name(const struct rule *near, uint16_t port, const struct policy_request *q,
			struct policy_verdict *ret)
{
	refuse(ret, "no rule allows it");
	if (near == NULL)
		return;
	if (!port_matches(&near->pattern, port))
		snprintf(ret->reason, sizeof(ret->reason),
			 "no rule allows port %u there, only other ports", (unsigned)port);
	else if (q == NULL)
		snprintf(ret->reason, sizeof(ret->reason),
			 "a rule allows some requests there, but this connection is not looked "
			 "into");
	else
		snprintf(ret->reason, sizeof(ret->reason),
			 "a rule allows other requests there, not this method and path");
}

static void decide_name(const struct policy_rules *r, const char *name, uint16_t port,
			const struct policy_request *q, struct policy_verdict *ret)
{
	const struct rule *yes = NULL, *near = NULL;

	for (size_t i = 0; i < policy_rules_count(r); i++) {
		const struct rule *rule = &r->v[i];

		if (!name_matches(&rule->pattern, name))
			continue;
		if (!port_matches(&rule->pattern, port) || !rule_matches_request(rule, q)) {
			/* A miss by the request is nearer than one by the port. */
			if (rule->allow && (near == NULL || port_matches(&rule->pattern, port)))
				near = rule;
		} else if (!rule->allow) {
			verdict_of(rule, false, ret);
			return;
		} else if (yes == NULL) {
			yes = rule;
		}
	}
	if (yes != NULL) {
		verdict_of(yes, true, ret);
		ret->host_service = yes->pattern.kind == RULE_HOST;
		return;
	}
	refuse_name(near, port, q, ret);
	if (policy_rules_audit(r) && policy_name_is_public(name))
		ret->allow = ret->would_deny = true;
}

void policy_decide(const struct policy_rules *r, const struct policy_host *host, uint16_t port,
		   const struct policy_request *q, struct policy_verdict *ret)
{
	uint8_t addr[16];

	if (port == 0) {
		refuse(ret, "port 0 does not exist");
	} else if (host->kind != POLICY_HOST_NAME) {
		host_bytes(host, addr);
		decide_literal(r, addr, port, q, ret);
	} else if (policy_name_is_localhost(host->name)) {
		refuse(ret, "localhost is the sandbox itself; services of the host are reached "
			    "as " POLICY_HOST_ALIAS);
	} else {
		decide_name(r, host->name, port, q, ret);
	}
}

/* Is there a port of the pattern that no deny rule takes away, whatever the request? */
static bool open_port(const struct policy_rules *r, const char *name, unsigned port,
		      const struct rule_pattern *p)
{
	if (port == 0 || port > UINT16_MAX || !port_matches(p, (uint16_t)port))
		return false;
	for (size_t i = 0; i < policy_rules_count(r); i++) {
		const struct rule *rule = &r->v[i];

		if (!rule->allow && name_matches(&rule->pattern, name) &&
		    port_matches(&rule->pattern, (uint16_t)port) &&
		    !policy_rule_has_request(rule->text))
			return false;
	}
	return true;
}

static bool has_open_port(const struct policy_rules *r, const char *name,
			  const struct rule_pattern *p)
{
	if (open_port(r, name, p->web_ports ? 80 : p->lo, p) ||
	    open_port(r, name, p->web_ports ? 443 : p->hi, p))
		return true;
	/* What is left of a range begins or ends next to one that is denied. */
	for (size_t i = 0; i < policy_rules_count(r); i++) {
		const struct rule_pattern *not = &r->v[i].pattern;

		if (!r->v[i].allow && name_matches(not, name) &&
		    (open_port(r, name, not ->hi + 1U, p) || open_port(r, name, not ->lo - 1U, p)))
			return true;
	}
	return false;
}

void policy_decide_lookup(const struct policy_rules *r, const struct policy_host *host,
			  struct policy_verdict *ret)
{
	static const struct rule_pattern every_port = { .lo = 1, .hi = UINT16_MAX };
	const char *name = host->name;

	if (host->kind != POLICY_HOST_NAME) {
		refuse(ret, "not a name");
		return;
	}
	for (size_t i = 0; i < policy_rules_count(r); i++) {
		const struct rule *rule = &r->v[i];

		if (rule->allow && name_matches(&rule->pattern, name) &&
		    has_open_port(r, name, &rule->pattern)) {
			verdict_of(rule, true, ret);
			ret->host_service = rule->pattern.kind == RULE_HOST;
			return;
		}
	}
	policy_decide(r, host, 443, NULL, ret);
	ret->allow = ret->would_deny = policy_rules_audit(r) && policy_name_is_public(name) &&
				       has_open_port(r, name, &every_port);
}

void policy_decide_address(const struct policy_rules *r, const struct policy_host *host,
			   uint16_t port, const struct policy_request *q,
			   const struct sockaddr *addr, struct policy_verdict *ret)
{
	struct policy_verdict by_name;
	const struct rule *rule;
	uint8_t bytes[16], listed[16];

	policy_decide(r, host, port, q, &by_name);
	if (!by_name.allow) {
		*ret = by_name;
		return;
	}
	if (!address_bytes(addr, bytes)) {
		refuse(ret, "not an IPv4 or IPv6 address");
		return;
	}
	if (by_name.host_service) {
		static const uint8_t loopback4[16] = { [10] = 0xff, 0xff, 127, 0, 0, 1 };
		static const uint8_t loopback6[16] = { [15] = 1 };

		*ret = by_name;
		if (memcmp(bytes, loopback4, 16) != 0 && memcmp(bytes, loopback6, 16) != 0)
			refuse(ret, "a service of the host is on its loopback address only");
		return;
	}
	if (host->kind != POLICY_HOST_NAME) {
		host_bytes(host, listed);
		*ret = by_name;
		if (memcmp(bytes, listed, 16) != 0)
			refuse(ret, "not the address that was asked for");
		return;
	}
	rule = find_net_deny(r, bytes, port, q);
	if (rule != NULL) {
		verdict_of(rule, false, ret);
	} else if (address_special_prefix(bytes) < 0) {
		*ret = by_name;
	} else {
		rule = find_net(r, true, bytes, port, q);
		if (rule != NULL) {
			verdict_of(rule, true, ret);
			ret->would_deny = by_name.would_deny;
			if (ret->would_deny)
				memcpy(ret->reason, by_name.reason, sizeof(ret->reason));
		} else {
			refuse(ret, "the name leads to a private or otherwise special address that "
				    "no rule names");
		}
	}
}

void policy_decide_own_address(const struct policy_rules *r, uint16_t port,
			       const struct policy_request *q, const struct sockaddr *addr,
			       struct policy_verdict *ret)
{
	uint8_t bytes[16];

	if (address_bytes(addr, bytes)) {
		for (size_t i = 0; i < policy_rules_count(r); i++) {
			const struct rule *rule = &r->v[i];

			if (rule->allow && net_matches(&rule->pattern, bytes) &&
			    rule->pattern.prefix == 128 && port_matches(&rule->pattern, port) &&
			    rule_matches_request(rule, q)) {
				verdict_of(rule, true, ret);
				return;
			}
		}
	}
	refuse(ret, "an address of the host itself that no rule names");
}
