/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy: which names, addresses and ports a box may reach.  Pure: no fds, no clock, no resolver.
 *
 * The order of a decision, the same for every entry into the proxy:
 *   bytes -> policy_host_parse (canonical or refused) -> policy_decide -> resolve (by the caller,
 * only when allowed) -> policy_decide_address for every address -> dial exactly that address.
 *
 * Invariants: an empty or absent rule set denies everything; deny beats allow; a name is compared
 * on label boundaries in lower case without a trailing dot; private, loopback, link-local, metadata
 * and other special addresses are refused unless a rule names that address or a block that lies
 * within the special one, never because of a wildcard or a name.
 */
#ifndef WARD_POLICY_POLICY_H
#define WARD_POLICY_POLICY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum policy_preset {
	POLICY_LOCKED,
	POLICY_BALANCED,
	POLICY_OPEN,
	POLICY_AUDIT, /* allows what open does, and marks what balanced would not */
	POLICY_PRESET_MAX
};
const char *policy_preset_name(enum policy_preset p);
int policy_preset_parse(const char *s, enum policy_preset *ret); /* -EINVAL */

enum {
	POLICY_HOST_MAX = 253,
	POLICY_RULE_MAX = POLICY_HOST_MAX + 32 + 128 + 256, /* text of a rule, with its NUL */
	POLICY_RULES_MAX = 4096,
	POLICY_TEXT_MAX = 1 << 20
};

/* A host as the box named it, canonical. */
struct policy_host {
	enum { POLICY_HOST_NAME, POLICY_HOST_V4, POLICY_HOST_V6 } kind;
	char name[POLICY_HOST_MAX +
		  1];	  /* lower case, no trailing dot; the literal's text for addresses */
	uint8_t addr[16]; /* v4 uses the first four bytes */
};
/*
 * Length-counted bytes -> canonical host. LDH labels (underscore allowed inside names), A-labels
 * only; [..] around IPv6; IPv4 in any spelling other than four decimal parts (hex, octal, short,
 * one number) is refused, not interpreted. -EINVAL with e, whose kind is ERR_REFUSED for such
 * spellings of an address and ERR_INPUT for everything else.
 */
int policy_host_parse(const char *bytes, size_t n, struct policy_host *ret, struct err *e);
/* An address (4 or 16 bytes) as a host. */
void policy_host_literal(bool v6, const uint8_t *addr, struct policy_host *ret);
/* "host:port" or "[v6]:port"; a missing port is default_port (0: refuse). */
int policy_authority_parse(const char *bytes, size_t n, uint16_t default_port,
			   struct policy_host *ret_host, uint16_t *ret_port, struct err *e);

struct policy_rules; /* an ordered set; opaque */

struct policy_rules *policy_rules_new(void);
void policy_rules_free(struct policy_rules *r); /* takes NULL */
/*
 * Add one rule. pattern: host[:port|:lo-hi|:*], *.host (exactly one label more), **.host (host
 * itself is not matched; any depth), ** (every public name), IP or CIDR [:port], localhost:PORT (a
 * service of the host itself, reached inside as host.ward.internal:PORT and
 * host.docker.internal:PORT). Without a port: 80 and 443 for names, any for addresses; a deny
 * without a port means every port. Behind it, after a blank, may be methods (GET,HEAD) and then a
 * path with stars, see request.c: such an allow rule counts only where requests are looked into,
 * such a deny rule also denies what is not. origin says where the rule comes from ("kit claude",
 * "--allow-host", "preset balanced") and is shown to users. Public suffixes such as *.com are
 * refused. -EINVAL with e naming the pattern.
 */
int policy_rules_add(struct policy_rules *r, bool allow, const char *pattern, const char *origin,
		     struct err *e);
/* Add the rules of a preset (LOCKED adds none). */
int policy_rules_add_preset(struct policy_rules *r, enum policy_preset p, struct err *e);
size_t policy_rules_count(const struct policy_rules *r);
struct policy_rule_view { /* borrowed from the set */
	bool allow;
	const char *text; /* canonical */
	const char *origin;
};
struct policy_rule_view policy_rules_at(const struct policy_rules *r, size_t i);
/* The canonical text of one rule; -EINVAL as policy_rules_add. */
int policy_rule_canonical(bool allow, const char *pattern, char ret[static POLICY_RULE_MAX],
			  struct err *e);
/* Does the rule name methods or a path? */
bool policy_rule_has_request(const char *text);
bool policy_rules_audit(const struct policy_rules *r);
/* Text form, one rule a line: "allow|deny PATTERN\tORIGIN\n", and "audit\n" for a set that audits;
 * read is strict and refuses the whole. */
void policy_rules_write(const struct policy_rules *r, struct buf *out);
int policy_rules_read(const char *text, size_t n, struct policy_rules **ret, struct err *e);

/* What is known of an HTTP request. A NULL in its place: the connection is not looked into. */
struct policy_request {
	const char *method; /* borrowed, length-counted */
	size_t method_len;
	const char *path; /* of the target, without its query */
	size_t path_len;
};

struct policy_verdict {
	bool allow;
	bool would_deny;   /* allowed by an audit only; rule, origin and reason are of the denial */
	bool host_service; /* dial 127.0.0.1 (then ::1) on the host: a localhost:PORT rule matched
			    */
	char rule[POLICY_RULE_MAX]; /* the deciding rule's text, or "" (nothing matched) */
	char origin[64];
	char reason[160]; /* one clause for people: "no rule allows it", "denied by ..." */
};
/* Decide on the canonical host and port alone. Total: always fills *ret. */
void policy_decide(const struct policy_rules *r, const struct policy_host *host, uint16_t port,
		   const struct policy_request *q, struct policy_verdict *ret);
/*
 * May the box look this name up: is there a port on which policy_decide allows it? For a name that
 * may not, *ret tells why.
 */
void policy_decide_lookup(const struct policy_rules *r, const struct policy_host *host,
			  struct policy_verdict *ret);
/*
 * Decide on one address that the name resolved to (or the literal). addr: AF_INET or AF_INET6.
 * Special addresses need a rule that names an address range containing them.
 */
void policy_decide_address(const struct policy_rules *r, const struct policy_host *host,
			   uint16_t port, const struct policy_request *q,
			   const struct sockaddr *addr, struct policy_verdict *ret);
/*
 * Decide on an address that turned out to be one of the host's own (the caller asks the kernel): it
 * needs a rule with exactly this address, whatever policy_decide_address said.
 */
void policy_decide_own_address(const struct policy_rules *r, uint16_t port,
			       const struct policy_request *q, const struct sockaddr *addr,
			       struct policy_verdict *ret);
/* Is the address one that no wildcard may reach? v4-mapped, NAT64, 6to4 and Teredo are unwrapped.
 */
bool policy_address_special(const struct sockaddr *addr);

/* Is `name` localhost, localhost.localdomain, or below .localhost? Such names mean the box itself.
 */
bool policy_name_is_localhost(const char *name);

/*
 * Append the command that would allow what was refused, or what stands in the way. addr: the
 * address that the name led to and that was denied, or NULL. sandbox: its name, or "" for every
 * sandbox.
 */
void policy_hint(const struct policy_host *host, uint16_t port, const struct policy_verdict *v,
		 const struct sockaddr *addr, const char *sandbox, struct buf *out);

/* Origins of rules that people can change: what refuses says how. */
#define POLICY_ORIGIN_USER	"policy.yaml"
#define POLICY_ORIGIN_SANDBOX	"policy.yaml of the sandbox"
#define POLICY_ORIGIN_DENY_HOST "--deny-host"

/* Names under which a box reaches services of the host. */
#define POLICY_HOST_ALIAS	 "host.ward.internal"
#define POLICY_HOST_ALIAS_DOCKER "host.docker.internal"

#endif
