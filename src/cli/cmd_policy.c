/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_policy: network rules in files, and the sandboxes that they are for.
 *
 * A change is committed to the file first, then every running sandbox that it concerns is asked to
 * look; all are asked before the first answer is waited for.  A sandbox that cannot take it is
 * named, and keeps the rules that it has.
 *
 * Words of Docker's `sbx policy` work too: "allow network a,b", "rm network --resource a", presets
 * called allow-all and deny-all, set-default.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

/* --- whom it is for --------------------------------------------------------------------------- */

/* The sandbox of --sandbox; *ret is NULL without. */
static int scope(struct cli *c, struct sandbox **ret, struct err *e)
{
	*ret = NULL;
	if (c->v.sandbox && c->v.global)
		return err_set(e, ERR_USAGE, -EINVAL,
			       "options --sandbox and --global: one of them, not both");
	return c->v.sandbox ? cli_find(c, c->v.sandbox, ret, e) : 0;
}

static const char *scope_dir(const struct cli *c, const struct sandbox *box)
{
	return box ? box->dir : c->engine.paths.config;
}

int policy_effective(struct cli *c, const struct sandbox *box, struct policy_rules **ret,
		     struct err *e)
{
	auto_free char *text = NULL;
	int r = box ? c->ops->rules(&c->engine, box, &text, e)
		    : engine_policy_text(&c->engine, NULL, NULL, NULL, &text, e);

	return r < 0 ? r : policy_rules_read(text, strlen(text), ret, e);
}

/* --- telling running sandboxes ---------------------------------------------------------------- */

struct told { /* a running sandbox */
	const char *name;
	int fd;
	int r;
	struct err e;
};

static void ask(struct cli *c, const struct sandbox *box, struct told *t, size_t *n)
{
	struct told *one = &t[*n];

	*one = (struct told){ .name = cli_sandbox_name(box), .fd = -1 };
	one->r = c->ops->policy_ask(&c->engine, box, &one->fd, &one->e);
	/* One that is just ending, or not yet there, reads the files when it starts. */
	if (one->r != -ENOTCONN)
		(*n)++;
}

static void answer(struct cli *c, struct told *t)
{
	if (t->r == 0)
		t->r = c->ops->policy_answer(&c->engine, t->fd, &t->e);
	if (t->fd >= 0)
		close(t->fd);
	/* It ended meanwhile. */
	if (t->r == -EPIPE || t->r == -ENOTCONN)
		t->r = 0;
}

static struct json *told_json(const struct told *t, size_t n)
{
	struct json *list = json_array();

	for (size_t i = 0; i < n; i++) {
		struct json *j = json_object();

		json_set_string(j, "name", t[i].name);
		json_set_bool(j, "in_force", t[i].r == 0);
		json_set(j, "problem", t[i].r < 0 ? json_string(t[i].e.message) : NULL);
		json_append(list, j);
	}
	return list;
}

static int say_told(const struct cli *c, const struct told *t, size_t n)
{
	auto_buf names = BUF_INIT;
	int code = CLI_EXIT_OK;

	for (size_t i = 0; i < n; i++) {
		struct err e = t[i].e;

		if (t[i].r == 0) {
			buf_printf(&names, "%s%s", names.len ? ", " : "", t[i].name);
			continue;
		}
		err_prefix(&e, "sandbox '%s' keeps the rules that it has", t[i].name);
		term_error(&e);
		code = CLI_EXIT_FAILED;
	}
	if (names.len)
		term_note(c, "in force in %s", buf_str(&names));
	return code;
}

/* *ret_list (may be NULL): who was told. Returns an exit code or -errno. */
static int tell(struct cli *c, const struct sandbox *box, struct json **ret_list, struct err *e)
{
	struct sandbox **all = NULL;
	auto_free struct told *t = NULL;
	size_t nall = 0, n = 0;
	int r = box ? 0 : state_list(&c->engine.paths, &all, &nall, e);

	if (r < 0)
		return r;
	t = xcalloc(nall + 1, sizeof(*t));
	if (box)
		ask(c, box, t, &n);
	for (size_t i = 0; i < nall; i++) {
		if (all[i]->dirfd >= 0)
			ask(c, all[i], t, &n);
	}
	for (size_t i = 0; i < n; i++)
		answer(c, &t[i]);
	if (ret_list)
		*ret_list = told_json(t, n);
	r = say_told(c, t, n);
	state_list_free(all, nall);
	return r;
}

/* --- changes ---------------------------------------------------------------------------------- */

static int print_change(const char *dir, const struct strv *done, struct json *told, struct err *e)
{
	auto_free char *path = fs_join(dir, SPEC_POLICY_FILE);
	auto_json j = json_object();

	json_set_string(j, "file", path);
	json_set_strv(j, "changed", done);
	json_set(j, "sandboxes", told);
	return term_out_json(j, e);
}

int policy_change(struct cli *c, struct sandbox *box, const struct engine_policy_change *change,
		  struct err *e)
{
	const char *dir = scope_dir(c, box);
	struct json *told = NULL;
	auto_strv done = STRV_INIT;
	int r = engine_policy_change(dir, change, &done, e);
	int code;

	if (r < 0)
		return r;
	if (done.n == 0)
		term_note(c, "nothing to change in %s/" SPEC_POLICY_FILE, dir);
	code = tell(c, box, cli_wants_json(c) ? &told : NULL, e);
	if (code >= 0 && cli_wants_json(c)) {
		r = print_change(dir, &done, told, e);
		return r < 0 ? r : code;
	}
	return code;
}

static int usage_rule(struct err *e)
{
	e->kind = ERR_USAGE;
	return e->code;
}

/* A rule as the user wrote it, with --method and --path, in its canonical form. */
static int add_rule(struct cli *c, bool allow, const char *text, struct strv *ret, struct err *e)
{
	char canonical[POLICY_RULE_MAX];
	auto_buf b = BUF_INIT;
	int r;

	if ((c->v.method || c->v.path) && strchr(text, ' '))
		return err_set(e, ERR_USAGE, -EINVAL,
			       "rule '%s': it has methods or a path already, besides --method and "
			       "--path",
			       text);
	buf_puts(&b, text);
	for (const char *p = c->v.method ? c->v.method : ""; *p; p++) {
		if (p == c->v.method)
			buf_putc(&b, ' ');
		buf_putc(&b, *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p);
	}
	if (c->v.path)
		buf_printf(&b, " %s", c->v.path);
	r = policy_rule_canonical(allow, buf_str(&b), canonical, e);
	if (r < 0)
		return usage_rule(e);
	if (!strv_contains(ret, canonical))
		strv_add(ret, canonical);
	return 0;
}

/* The operands behind the action: each a rule or several with commas between. */
static int rules_of(struct cli *c, bool allow, struct strv *ret, struct err *e)
{
	const struct strv *o = &c->operands.v;
	size_t first = o->n > 1 && strcmp(o->v[1], "network") == 0 ? 2 : 1;
	auto_strv words = STRV_INIT;
	int r = 0;

	for (size_t i = first; i < o->n; i++)
		strv_add(&words, o->v[i]);
	strv_extend(&words, &c->v.resource);
	if (words.n == 0) {
		err_set(e, ERR_USAGE, -EINVAL, "policy %s: a rule is expected", o->v[0]);
		return err_hint(e, "%s policy %s HOST[:PORT]", c->program, o->v[0]);
	}
	for (size_t i = 0; r == 0 && i < words.n; i++) {
		const char *at = words.v[i];
		bool list = !strchr(at, ' '); /* the commas of GET,HEAD are its own */

		do {
			size_t n = list ? strcspn(at, ",") : strlen(at);
			auto_free char *word = xstrndup(at, n);

			r = add_rule(c, allow, word, ret, e);
			at += n + (at[n] == ',');
		} while (r == 0 && *at);
	}
	return r;
}

/* What a rule does not do, though one may think so. */
static void say_limits(const struct cli *c, const struct sandbox *box, bool allow,
		       const struct strv *rules)
{
	struct policy_rules *now = NULL;

	for (size_t i = 0; i < rules->n; i++) {
		if (policy_rule_has_request(rules->v[i]) && allow)
			term_note(c,
				  "'%s' counts for plain HTTP; connections with TLS are not looked "
				  "into",
				  rules->v[i]);
		else if (policy_rule_has_request(rules->v[i]))
			term_note(c,
				  "'%s' denies every connection with TLS there: they are not "
				  "looked into",
				  rules->v[i]);
	}
	if (!allow || policy_effective((struct cli *)(uintptr_t)c, box, &now, NULL) < 0)
		return;
	for (size_t i = 0; i < policy_rules_count(now); i++) {
		struct policy_rule_view v = policy_rules_at(now, i);

		if (!v.allow && strv_contains(rules, v.text))
			term_warn("'%s' stays denied by a rule of %s: a denial beats a permission",
				  v.text, v.origin);
	}
	policy_rules_free(now);
}

static int change_rules(struct cli *c, enum spec_policy_change what, struct err *e)
{
	struct engine_policy_change change = { .what = what };
	bool allow = what == SPEC_POLICY_ALLOW;
	struct sandbox *box = NULL;
	int r = rules_of(c, allow, &change.values, e);

	if (r == 0)
		r = scope(c, &box, e);
	if (r == 0)
		r = policy_change(c, box, &change, e);
	if (r >= 0 && what != SPEC_POLICY_REMOVE)
		say_limits(c, box, allow, &change.values);
	strv_free(&change.values);
	sandbox_free(box);
	return r;
}

static int policy_allow(struct cli *c, struct err *e)
{
	return change_rules(c, SPEC_POLICY_ALLOW, e);
}

static int policy_deny(struct cli *c, struct err *e)
{
	return change_rules(c, SPEC_POLICY_DENY, e);
}

/* --- rm --------------------------------------------------------------------------------------- */

/* Where else the rule is, if it is not in the file. */
static int not_there(struct cli *c, const struct sandbox *box, const char *rule, struct err *e)
{
	struct policy_rules *now = NULL;
	auto_buf word = BUF_INIT;
	const char *origin = NULL;
	int r = policy_effective(c, box, &now, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < policy_rules_count(now) && !origin; i++) {
		if (strcmp(policy_rules_at(now, i).text, rule) == 0)
			origin = policy_rules_at(now, i).origin;
	}
	text_shell_word(&word, rule);
	err_set(e, ERR_NOT_FOUND, -ENOENT, "no rule '%s' in %s/" SPEC_POLICY_FILE, rule,
		scope_dir(c, box));
	if (box && origin && strcmp(origin, POLICY_ORIGIN_USER) == 0)
		err_hint(e, "%s policy rm %s", c->program, buf_str(&word));
	else if (origin)
		err_hint(e, "it is a rule of %s; to take it away: %s policy deny %s", origin,
			 c->program, buf_str(&word));
	else
		err_hint(e, "%s policy ls%s%s", c->program, box ? " " : "",
			 box ? cli_sandbox_name(box) : "");
	policy_rules_free(now);
	return e->code;
}

static bool has_rule(const struct spec_policy *p, const char *rule)
{
	char text[POLICY_RULE_MAX];

	for (size_t i = 0; i < p->allow.n + p->deny.n; i++) {
		bool allow = i < p->allow.n;
		const char *written = allow ? p->allow.v[i] : p->deny.v[i - p->allow.n];

		if (policy_rule_canonical(allow, written, text, NULL) == 0 &&
		    strcmp(text, rule) == 0)
			return true;
	}
	return false;
}

static int policy_rm(struct cli *c, struct err *e)
{
	struct engine_policy_change change = { .what = SPEC_POLICY_REMOVE };
	struct spec_policy file = { 0 };
	struct sandbox *box = NULL;
	/* Read as denials, which may be wider. */
	int r = rules_of(c, false, &change.values, e);

	if (r == 0)
		r = scope(c, &box, e);
	if (r == 0)
		r = spec_policy_read(scope_dir(c, box), &file, e);
	for (size_t i = 0; r == 0 && i < change.values.n; i++) {
		if (!has_rule(&file, change.values.v[i]))
			r = not_there(c, box, change.values.v[i], e);
	}
	if (r == 0)
		r = policy_change(c, box, &change, e);
	spec_policy_clear(&file);
	strv_free(&change.values);
	sandbox_free(box);
	return r;
}

/* --- init, reset ------------------------------------------------------------------------------ */

/* By our name, or by Docker's. */
static int preset_of(const char *word, const char **ret, struct err *e)
{
	static const struct {
		const char *docker, *ours;
	} names[] = { { "allow-all", "open" }, { "deny-all", "locked" } };
	enum policy_preset p;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(word, names[i].docker) == 0)
			word = names[i].ours;
	}
	if (policy_preset_parse(word, &p) < 0) {
		auto_free char *shown = text_escaped(word);

		return err_set(e, ERR_USAGE, -EINVAL,
			       "policy init: '%s' is none of open|balanced|locked|audit", shown);
	}
	*ret = policy_preset_name(p);
	return 0;
}

static int policy_init(struct cli *c, struct err *e)
{
	struct engine_policy_change change = { .what = SPEC_POLICY_PRESET };
	struct sandbox *box = NULL;
	const char *preset = "balanced";
	int r = c->operands.v.n > 1 ? preset_of(c->operands.v.v[1], &preset, e) : 0;

	if (r == 0)
		r = scope(c, &box, e);
	if (r == 0) {
		strv_add(&change.values, preset);
		r = policy_change(c, box, &change, e);
	}
	strv_free(&change.values);
	sandbox_free(box);
	return r;
}

static int policy_reset(struct cli *c, struct err *e)
{
	struct sandbox *box = NULL;
	auto_buf question = BUF_INIT;
	bool removed = false;
	int r = scope(c, &box, e);

	if (r < 0)
		return r;
	buf_printf(&question, "Remove %s/" SPEC_POLICY_FILE "?", scope_dir(c, box));
	/* -f means to follow in `policy log`, and is what Docker's reset calls --force. */
	if (!c->v.force && !c->v.follow && !cli_confirm(buf_str(&question)))
		r = err_set(e, ERR_REFUSED, -ECANCELED, "nothing was removed");
	if (r == 0)
		r = engine_policy_reset(scope_dir(c, box), &removed, e);
	if (r == 0 && !removed)
		term_note(c, "there is no %s/" SPEC_POLICY_FILE, scope_dir(c, box));
	if (r == 0)
		r = tell(c, box, NULL, e);
	sandbox_free(box);
	return r;
}

static const struct cli_action actions[] = {
	{ "init", 0, 1, "[PRESET]", policy_init },
	{ "set-default", 1, 1, "PRESET", policy_init },
	{ "allow", 0, SIZE_MAX, "RULE...", policy_allow },
	{ "deny", 0, SIZE_MAX, "RULE...", policy_deny },
	{ "rm", 0, SIZE_MAX, "RULE...", policy_rm },
	{ "remove", 0, SIZE_MAX, "RULE...", policy_rm },
	{ "ls", 0, 1, "[SANDBOX]", policy_ls },
	{ "list", 0, 1, "[SANDBOX]", policy_ls },
	{ "check", 1, 2, "HOST[:PORT]", policy_check },
	{ "log", 0, 1, "[SANDBOX]", policy_log },
	{ "learn", 1, 1, "SANDBOX", policy_learn },
	{ "reset", 0, 0, "no operand", policy_reset },
};

int cmd_policy(struct cli *c, struct err *e)
{
	return cli_run_action(c, actions, ARRAY_SIZE(actions), e);
}
