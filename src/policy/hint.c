/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hint: what to type so that a refused connection is allowed.
 *
 * The command is complete: pasted into a shell it makes exactly this work, for this sandbox only.
 * Where no command can do that (a kit denies it, or an option that stays), the text says so.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "policy/policy_internal.h"

static void put_scope(struct buf *out, const char *sandbox)
{
	if (sandbox[0] != '\0') {
		buf_puts(out, "--sandbox ");
		text_shell_word(out, sandbox);
		buf_putc(out, ' ');
	}
}

/* A rule is in the way. */
static void undo(const struct policy_verdict *v, const char *sandbox, struct buf *out)
{
	bool own = strcmp(v->origin, POLICY_ORIGIN_SANDBOX) == 0;

	if (own || strcmp(v->origin, POLICY_ORIGIN_USER) == 0) {
		buf_puts(out, "ward policy rm ");
		if (own)
			put_scope(out, sandbox);
		text_shell_word(out, v->rule);
	} else {
		buf_printf(out, "the rule 'deny %s' of %s decides; no other rule can allow it",
			   v->rule, v->origin);
	}
}

static void put_rule(struct buf *out, const struct policy_host *host, uint16_t port)
{
	char rule[POLICY_HOST_MAX + 16];

	if (host->kind == POLICY_HOST_NAME &&
	    (policy_name_is_localhost(host->name) || policy_name_is_alias(host->name)))
		snprintf(rule, sizeof(rule), "localhost:%u", (unsigned)port);
	else if (host->kind == POLICY_HOST_NAME && (port == 80 || port == 443))
		snprintf(rule, sizeof(rule), "%s", host->name);
	else
		snprintf(rule, sizeof(rule), host->kind == POLICY_HOST_V6 ? "[%s]:%u" : "%s:%u",
			 host->name, (unsigned)port);
	text_shell_word(out, rule);
}

static void put_address(struct buf *out, const struct sockaddr *addr, uint16_t port)
{
	char text[INET6_ADDRSTRLEN], rule[INET6_ADDRSTRLEN + 16];
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	if (addr->sa_family == AF_INET) {
		memcpy(&in, addr, sizeof(in));
		inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
		snprintf(rule, sizeof(rule), "%s:%u", text, (unsigned)port);
	} else {
		memcpy(&in6, addr, sizeof(in6));
		inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text));
		snprintf(rule, sizeof(rule), "[%s]:%u", text, (unsigned)port);
	}
	buf_putc(out, ' ');
	text_shell_word(out, rule);
}

void policy_hint(const struct policy_host *host, uint16_t port, const struct policy_verdict *v,
		 const struct sockaddr *addr, const char *sandbox, struct buf *out)
{
	if (v->rule[0] != '\0') {
		undo(v, sandbox, out);
		return;
	}
	buf_puts(out, "ward policy allow ");
	put_scope(out, sandbox);
	put_rule(out, host, port);
	if (host->kind == POLICY_HOST_NAME && addr != NULL &&
	    (addr->sa_family == AF_INET || addr->sa_family == AF_INET6))
		put_address(out, addr, port);
}
