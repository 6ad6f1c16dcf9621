/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_learn: `policy learn`: rules for what a sandbox was refused, or used under open or audit.
 *
 * Names are proposed as they were asked for.  Several siblings become one *.PARENT, unless anybody
 * can get a name below that parent.  What a deny rule refused is not proposed: somebody meant it.
 * What leads into this machine or its networks is shown and never applied: a program inside chose
 * those names.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

enum { SIBLINGS_MIN = 3, WANTED_MAX = 2000 };

struct wanted {
	struct strv rules;   /* of public names and addresses */
	struct strv private; /* of this machine and its networks */
};

struct learner {
	struct policy_rules *rules; /* what would count without open */
	struct wanted w;
};

static void want(struct strv *list, const char *rule)
{
	char text[POLICY_RULE_MAX];

	if (list->n < WANTED_MAX && policy_rule_canonical(true, rule, text, NULL) == 0 &&
	    !strv_contains(list, text))
		strv_add(list, text);
}

static bool to_sockaddr(const char *text, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		memcpy(ret, &in, sizeof(in));
	else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
		memcpy(ret, &in6, sizeof(in6));
	else
		return false;
	return true;
}

static void want_target(struct learner *l, const struct policy_host *host, uint16_t port)
{
	char rule[POLICY_HOST_MAX + 16];
	struct sockaddr_storage ss;

	if (host->kind == POLICY_HOST_NAME && (strcmp(host->name, POLICY_HOST_ALIAS) == 0 ||
					       strcmp(host->name, POLICY_HOST_ALIAS_DOCKER) == 0)) {
		snprintf(rule, sizeof(rule), "localhost:%u", (unsigned)port);
		want(&l->w.private, rule);
	} else if (host->kind == POLICY_HOST_NAME) {
		if (port == 80 || port == 443)
			snprintf(rule, sizeof(rule), "%s", host->name);
		else
			snprintf(rule, sizeof(rule), "%s:%u", host->name, (unsigned)port);
		want(strchr(host->name, '.') ? &l->w.rules : &l->w.private, rule);
	} else if (to_sockaddr(host->name, port, &ss)) {
		snprintf(rule, sizeof(rule), host->kind == POLICY_HOST_V6 ? "[%s]:%u" : "%s:%u",
			 host->name, (unsigned)port);
		want(policy_address_special((struct sockaddr *)&ss) ? &l->w.private : &l->w.rules,
		     rule);
	}
}

/* The name is allowed, and leads to an address that is not. */
static void want_address(struct learner *l, const char *address, uint16_t port)
{
	char rule[64];

	snprintf(rule, sizeof(rule), strchr(address, ':') ? "[%s]:%u" : "%s:%u", address,
		 (unsigned)port);
	want(&l->w.private, rule);
}

static int learn_record(void *arg, const struct json *j, struct err *e)
{
	struct learner *l = arg;
	const char *name = "", *address = "", *verdict = "";
	struct policy_verdict v;
	struct policy_host host;
	struct sockaddr_storage ss;
	uint64_t port = 443; /* of a lookup: nothing else is known */

	(void)e;
	if (!j || json_get_string(j, "host", &name) < 0 ||
	    policy_host_parse(name, strlen(name), &host, NULL) < 0)
		return 0;
	(void)json_get_uint(j, "port", &port);
	(void)json_get_string(j, "address", &address);
	(void)json_get_string(j, "verdict", &verdict);
	/* What is wrong with a request is not a question of rules. */
	if (port == 0 || port > UINT16_MAX || strcmp(verdict, "bad-request") == 0)
		return 0;
	policy_decide(l->rules, &host, (uint16_t)port, NULL, &v);
	if (!v.allow && v.rule[0] == '\0') {
		want_target(l, &host, (uint16_t)port);
	} else if (v.allow && strcmp(verdict, "deny") == 0 &&
		   to_sockaddr(address, (uint16_t)port, &ss)) {
		policy_decide_address(l->rules, &host, (uint16_t)port, NULL, (struct sockaddr *)&ss,
				      &v);
		if (!v.allow && v.rule[0] == '\0')
			want_address(l, address, (uint16_t)port);
	}
	return 0;
}

/* --- joining ---------------------------------------------------------------------------------- */

/* Below these, names belong to whoever comes. */
static bool is_shared(const char *parent)
{
	static const char *const shared[] = {
		"amazonaws.com",     "appspot.com",    "azureedge.net",	   "azurewebsites.net",
		"blogspot.com",	     "cloudfront.net", "core.windows.net", "firebaseapp.com",
		"fly.dev",	     "github.io",      "gitlab.io",	   "herokuapp.com",
		"netlify.app",	     "ngrok.io",       "ngrok-free.app",   "onrender.com",
		"pages.dev",	     "readthedocs.io", "run.app",	   "surge.sh",
		"trycloudflare.com", "vercel.app",     "web.app",	   "workers.dev",
	};

	for (size_t i = 0; i < ARRAY_SIZE(shared); i++) {
		auto_free char *dotted = xasprintf(".%s", shared[i]);

		if (strcmp(parent, shared[i]) == 0 || text_ends(parent, dotted))
			return true;
	}
	return false;
}

/* "*.PARENT[:PORT]" of a rule for a name, or NULL. */
static char *parent_rule(const char *rule)
{
	const char *dot = strchr(rule, '.');
	auto_free char *star = NULL;
	auto_free char *parent = NULL;
	char text[POLICY_RULE_MAX];
	struct policy_host host;
	size_t n;

	if (!dot || rule[0] == '*' || rule[0] == '[')
		return NULL;
	n = strcspn(rule, ":");
	parent = xstrndup(dot + 1, n > (size_t)(dot + 1 - rule) ? n - (size_t)(dot + 1 - rule) : 0);
	if (policy_host_parse(rule, n, &host, NULL) < 0 || host.kind != POLICY_HOST_NAME ||
	    is_shared(parent))
		return NULL;
	star = xasprintf("*%s", dot);
	return policy_rule_canonical(true, star, text, NULL) == 0 ? xstrdup(text) : NULL;
}

static size_t siblings(const struct strv *rules, const char *parent)
{
	size_t n = 0;

	for (size_t i = 0; i < rules->n; i++) {
		auto_free char *p = parent_rule(rules->v[i]);

		n += p && strcmp(p, parent) == 0;
	}
	return n;
}

static void join_siblings(struct strv *rules)
{
	auto_strv joined = STRV_INIT;

	for (size_t i = 0; i < rules->n; i++) {
		auto_free char *parent = parent_rule(rules->v[i]);
		const char *rule =
			parent && siblings(rules, parent) >= SIBLINGS_MIN ? parent : rules->v[i];

		if (!strv_contains(&joined, rule))
			strv_add(&joined, rule);
	}
	strv_free(rules);
	strv_extend(rules, &joined);
}

/* --- the verb --------------------------------------------------------------------------------- */

static void put_command(struct buf *out, const struct cli *c, const char *sandbox,
			const struct strv *rules)
{
	buf_printf(out, "%s policy allow --sandbox ", c->program);
	text_shell_word(out, sandbox);
	for (size_t i = 0; i < rules->n; i++) {
		buf_putc(out, ' ');
		text_shell_word(out, rules->v[i]);
	}
	buf_putc(out, '\n');
}

static int print_learned(struct cli *c, const char *sandbox, const struct wanted *w, struct err *e)
{
	auto_buf out = BUF_INIT;
	auto_json j = NULL;

	if (cli_wants_json(c)) {
		j = json_object();
		json_set_strv(j, "allow", &w->rules);
		json_set_strv(j, "by_hand", &w->private);
		return term_out_json(j, e);
	}
	if (w->rules.n)
		put_command(&out, c, sandbox, &w->rules);
	if (w->private.n) {
		buf_puts(&out,
			 "# services of this machine and of its networks: only if you mean it\n");
		put_command(&out, c, sandbox, &w->private);
	}
	if (!out.len)
		term_note(c, "nothing to allow: nothing was refused that no rule denies");
	return term_out(&out, e);
}

static int apply(struct cli *c, struct sandbox *box, struct wanted *w, struct err *e)
{
	struct engine_policy_change change = { .what = SPEC_POLICY_ALLOW };
	int r;

	strv_extend(&change.values, &w->rules);
	r = w->rules.n ? policy_change(c, box, &change, e) : CLI_EXIT_OK;
	for (size_t i = 0; r >= 0 && i < w->rules.n; i++)
		term_note(c, "allowed %s", w->rules.v[i]);
	for (size_t i = 0; r >= 0 && i < w->private.n; i++)
		term_note(c, "left to you: '%s' leads into this machine or its networks",
			  w->private.v[i]);
	strv_free(&change.values);
	return r;
}

/* The rules that would count with balanced in place of open, and without letting pass. */
static int strict_rules(struct cli *c, const struct sandbox *box, struct policy_rules **ret,
			struct err *e)
{
	struct policy_rules *now = NULL, *strict = policy_rules_new();
	bool open = false;
	int r = policy_effective(c, box, &now, e);

	for (size_t i = 0; r == 0 && i < policy_rules_count(now); i++) {
		struct policy_rule_view v = policy_rules_at(now, i);

		if (strcmp(v.origin, "preset open") == 0)
			open = true;
		else
			r = policy_rules_add(strict, v.allow, v.text, v.origin, e);
	}
	if (r == 0 && open)
		r = policy_rules_add_preset(strict, POLICY_BALANCED, e);
	policy_rules_free(now);
	if (r == 0)
		*ret = steal(&strict);
	policy_rules_free(strict);
	return r;
}

int policy_learn(struct cli *c, struct err *e)
{
	struct learner l = { 0 };
	struct sandbox *box = NULL;
	int r = cli_find(c, c->operands.v.v[1], &box, e);

	if (r == 0 && c->v.follow)
		r = err_set(e, ERR_USAGE, -EINVAL, "policy learn: --follow is for policy log");
	if (r == 0)
		r = strict_rules(c, box, &l.rules, e);
	if (r == 0)
		r = policy_records(c, &box, 1, learn_record, &l, e);
	if (r == 0) {
		join_siblings(&l.w.rules);
		r = c->v.apply ? apply(c, box, &l.w, e)
			       : print_learned(c, cli_sandbox_name(box), &l.w, e);
	}
	policy_rules_free(l.rules);
	strv_free(&l.w.rules);
	strv_free(&l.w.private);
	sandbox_free(box);
	return r;
}
