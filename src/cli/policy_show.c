/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_show: `policy ls` and `policy check`: which rules count, and what they say about a host.
 *
 * Both read the files as they are now.  A running sandbox has just these rules, unless a file is
 * bad: then the command fails with its place, and the sandbox keeps what it had.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

/* --- ls --------------------------------------------------------------------------------------- */

static bool is_preset(const struct policy_rule_view *v)
{
	return text_starts(v->origin, "preset ");
}

static struct json *rules_json(const struct policy_rules *rules)
{
	struct json *list = json_array();

	for (size_t i = 0; i < policy_rules_count(rules); i++) {
		struct policy_rule_view v = policy_rules_at(rules, i);
		struct json *j = json_object();

		json_set_string(j, "decision", v.allow ? "allow" : "deny");
		json_set_string(j, "rule", v.text);
		json_set_string(j, "origin", v.origin);
		json_append(list, j);
	}
	return list;
}

static int print_rules(struct cli *c, const struct policy_rules *rules, struct err *e)
{
	static const char *const heads[] = { "DECISION", "RULE", "ORIGIN" };
	struct term_table t = { .columns = ARRAY_SIZE(heads) };
	auto_buf b = BUF_INIT;
	size_t hidden = 0;
	const char *preset = "";
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		term_table_cell(&t, heads[i]);
	for (size_t i = 0; i < policy_rules_count(rules); i++) {
		struct policy_rule_view v = policy_rules_at(rules, i);

		if (is_preset(&v) && !c->v.all) {
			preset = v.origin;
			hidden++;
			continue;
		}
		term_table_cell(&t, v.allow ? "allow" : "deny");
		term_table_cell(&t, v.text);
		term_table_cell(&t, v.origin);
	}
	term_table_write(&t, &b);
	term_table_clear(&t);
	r = term_out(&b, e);
	if (r == 0 && hidden)
		term_note(c, "and %zu rule%s of the %s (--all shows them)", hidden,
			  hidden == 1 ? "" : "s", preset);
	if (r == 0 && policy_rules_audit(rules))
		term_note(c, "an audit: what no rule allows passes all the same, as with the "
			     "preset open, and is marked in the log");
	return r;
}

int policy_ls(struct cli *c, struct err *e)
{
	const char *name = c->operands.v.n > 1 ? c->operands.v.v[1] : c->v.sandbox;
	struct sandbox *box = NULL;
	struct policy_rules *rules = NULL;
	int r = name ? cli_find(c, name, &box, e) : 0;

	if (r == 0)
		r = policy_effective(c, box, &rules, e);
	if (r == 0 && cli_wants_json(c)) {
		auto_json list = rules_json(rules);

		r = term_out_json(list, e);
	} else if (r == 0) {
		r = print_rules(c, rules, e);
	}
	policy_rules_free(rules);
	sandbox_free(box);
	return r;
}

/* --- check ------------------------------------------------------------------------------------ */

struct target {
	struct policy_host host;
	uint16_t port;
	bool looked_into;
	struct policy_request request;
	char method[32];
};

/* HOST[:PORT], or a URL. The path is borrowed from text. */
static int parse_target(const struct cli *c, const char *text, struct target *ret, struct err *e)
{
	struct target t = { 0 };
	const char *authority = text, *path = NULL;
	uint16_t port = 443;
	bool plain = text_starts(text, "http://");
	int r;

	if (plain || text_starts(text, "https://")) {
		port = plain ? 80 : 443;
		authority = strstr(text, "://") + 3;
		path = strchr(authority, '/');
	}
	r = policy_authority_parse(authority, path ? (size_t)(path - authority) : strlen(authority),
				   port, &t.host, &t.port, e);
	if (r < 0) {
		e->kind = ERR_USAGE;
		return r;
	}
	/* Programs inside reach services of the host under another name. */
	if (t.host.kind == POLICY_HOST_NAME && strcmp(t.host.name, "localhost") == 0)
		snprintf(t.host.name, sizeof(t.host.name), "%s", POLICY_HOST_ALIAS);
	t.looked_into = plain || c->v.method || c->v.path;
	snprintf(t.method, sizeof(t.method), "%s", c->v.method ? c->v.method : "GET");
	for (char *p = t.method; *p; p++) {
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
	}
	if (c->v.path)
		path = c->v.path;
	t.request.path = path ? path : "/";
	t.request.path_len = strcspn(t.request.path, "?#");
	t.request.method_len = strlen(t.method);
	*ret = t;
	return 0;
}

static const char *verdict_name(const struct policy_verdict *v)
{
	return !v->allow ? "deny" : v->would_deny ? "would-deny" : "allow";
}

static struct json *verdict_json(const struct target *t, const struct policy_verdict *v,
				 const char *hint)
{
	struct json *j = json_object();

	json_set_string(j, "host", t->host.name);
	json_set_uint(j, "port", t->port);
	json_set(j, "method", t->looked_into ? json_string(t->method) : NULL);
	json_set(j, "path",
		 t->looked_into ? json_string_n(t->request.path, t->request.path_len) : NULL);
	json_set_string(j, "verdict", verdict_name(v));
	json_set(j, "rule", v->rule[0] ? json_string(v->rule) : NULL);
	json_set(j, "origin", v->rule[0] ? json_string(v->origin) : NULL);
	json_set_string(j, "reason", v->reason);
	json_set(j, "hint", hint[0] ? json_string(hint) : NULL);
	return j;
}

static int print_verdict(struct cli *c, const struct target *t, const struct policy_verdict *v,
			 const char *hint, struct err *e)
{
	auto_buf b = BUF_INIT;
	bool v6 = t->host.kind == POLICY_HOST_V6;

	if (cli_wants_json(c)) {
		auto_json j = verdict_json(t, v, hint);

		return term_out_json(j, e);
	}
	buf_printf(&b, "%s %s%s%s:%u", v->allow ? "allow" : "deny", v6 ? "[" : "", t->host.name,
		   v6 ? "]" : "", (unsigned)t->port);
	if (t->looked_into) {
		buf_printf(&b, " %s ", t->method);
		text_escape(&b, t->request.path, t->request.path_len, 200);
	}
	if (v->rule[0])
		buf_printf(&b, ": rule '%s' of %s\n", v->rule, v->origin);
	else
		buf_printf(&b, ": %s%s\n", v->reason,
			   v->would_deny ? " (an audit lets it pass)" : "");
	if (hint[0])
		buf_printf(&b, "hint: %s\n", hint);
	return term_out(&b, e);
}

int policy_check(struct cli *c, struct err *e)
{
	const struct strv *o = &c->operands.v;
	/* As Docker's words go: "check network HOST". */
	const char *text = o->n > 2 && strcmp(o->v[1], "network") == 0 ? o->v[2] : o->v[1];
	struct sandbox *box = NULL;
	struct policy_rules *rules = NULL;
	struct policy_verdict v = { 0 };
	struct target t;
	auto_buf hint = BUF_INIT;
	int r = o->n > 2 && text == o->v[1]
			? err_set(e, ERR_USAGE, -EINVAL, "policy check: one host is expected")
			: parse_target(c, text, &t, e);

	if (r == 0 && c->v.sandbox)
		r = cli_find(c, c->v.sandbox, &box, e);
	if (r == 0)
		r = policy_effective(c, box, &rules, e);
	if (r == 0) {
		t.request.method = t.method;
		policy_decide(rules, &t.host, t.port, t.looked_into ? &t.request : NULL, &v);
		if (!v.allow || v.would_deny)
			policy_hint(&t.host, t.port, &v, NULL, box ? cli_sandbox_name(box) : "",
				    &hint);
		r = print_verdict(c, &t, &v, buf_str(&hint), e);
	}
	policy_rules_free(rules);
	sandbox_free(box);
	return r < 0 ? r : v.allow ? CLI_EXIT_OK : CLI_EXIT_NOT_FOUND;
}
