/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_internal: what the files of policy/ share.
 *
 * A rule is kept in two shapes: the canonical text (what people see, and what is written to the
 * proxy) and the compiled pattern (what is matched).  The text always parses back to the same
 * pattern.
 */
#ifndef WARD_POLICY_POLICY_INTERNAL_H
#define WARD_POLICY_POLICY_INTERNAL_H

#include "policy/policy.h"

enum rule_kind {
	RULE_NAME, /* exactly this name */
	RULE_ONE,  /* *.name: one label more */
	RULE_DEEP, /* **.name: one or more labels more */
	RULE_ANY,  /* **: every public name */
	RULE_NET,  /* an address or a CIDR block */
	RULE_HOST, /* localhost:PORT: a service of the host */
	RULE_KIND_MAX
};

struct rule_pattern {
	enum rule_kind kind;
	bool web_ports;	 /* no port was written and the rule is an allow of a name: 80 and 443 */
	uint16_t lo, hi; /* when !web_ports; 1-65535 when any port will do */
	char name[POLICY_HOST_MAX + 1]; /* RULE_NAME, RULE_ONE, RULE_DEEP: without the stars */
	uint8_t addr[16];		/* RULE_NET: v4 as v4-mapped, so that one comparison does */
	unsigned prefix;		/* RULE_NET: leading bits of addr, 0-128 */
	/* Parts of the canonical text; 0: none, so that every request matches. */
	uint16_t methods_at, methods_len;
	uint16_t path_at; /* to the end of the text */
};

enum { RULE_TEXT_MAX = POLICY_RULE_MAX, RULE_ORIGIN_MAX = 64 };

struct rule {
	bool allow;
	struct rule_pattern pattern;
	char *text;
	char *origin;
};

struct policy_rules {
	struct rule *v;
	size_t n;
	size_t cap;
	bool audit; /* public names that no rule allows are let pass, and marked */
};

/* Bytes to text for an error message: escaped, cut off; n is what the caller had. */
char *policy_quote(const char *bytes, size_t n);
/* "1".."65535", decimal digits only. -EINVAL. */
int policy_port_parse(const char *bytes, size_t n, uint16_t *ret);
/* Exactly four decimal parts without leading zeros. */
bool policy_v4_parse(const char *bytes, size_t n, uint8_t ret[static 4]);
/* RFC 4291 text without brackets or a zone. */
bool policy_v6_parse(const char *bytes, size_t n, uint8_t ret[static 16]);
bool policy_name_is_alias(const char *name);
bool policy_name_is_public(const char *name);

/* Pattern text -> compiled pattern and canonical text of at most RULE_TEXT_MAX bytes with NUL. */
int rule_pattern_parse(const char *text, bool allow, struct rule_pattern *ret,
		       char ret_text[static RULE_TEXT_MAX], struct err *e);

/* What is behind the host of a rule, canonical; "" for what is not there. */
struct rule_request {
	char methods[128];
	char path[256];
};
/* NULL, or why the text is none. */
const char *rule_request_parse(const char *text, struct rule_request *ret);
/* q NULL: the connection is not looked into. */
bool rule_matches_request(const struct rule *rule, const struct policy_request *q);

/* A sockaddr as 16 bytes, v4 as v4-mapped. False for other families. */
bool address_bytes(const struct sockaddr *addr, uint8_t ret[static 16]);
void address_from_v4(const uint8_t v4[static 4], uint8_t ret[static 16]);
bool address_in(const uint8_t addr[static 16], const uint8_t net[static 16], unsigned prefix);
/*
 * Length of the special block that holds the address itself or an address embedded in it, or -1
 * when it is an ordinary public address.
 */
int address_special_prefix(const uint8_t addr[static 16]);
/* The v4 addresses embedded in a v6 one (NAT64, 6to4, Teredo), as v4-mapped; returns how many. */
size_t address_embedded(const uint8_t addr[static 16], uint8_t ret[static 2][16]);

#endif
