/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_edit: one change of the text of a policy.yaml.  Pure.
 *
 * People write comments into such files and put rules into an order of their own, so that the text
 * is not written anew: lines are added, removed or replaced, and nothing else is touched.  The
 * parser tells where; the result is parsed again and must mean what was meant, or it is refused and
 * the file stays as it is.  A list that does not have one rule a line is left to its author.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

static const char first_lines[] =
	"# Network rules of Ward: hosts that programs in sandboxes may reach, and may not.\n"
	"# \"ward policy allow|deny|rm\" change this file and keep what you write into it.\n";

/* Text as lines; the last one may lack its newline. */
struct lines {
	const char *text;
	size_t n;
};

/* Where line `number` (from 1) begins; the end of the text for one that there is not. */
static size_t line_start(const struct lines *l, unsigned number)
{
	size_t at = 0;

	for (unsigned i = 1; i < number && at < l->n; i++) {
		const char *end = memchr(l->text + at, '\n', l->n - at);

		at = end ? (size_t)(end - l->text) + 1 : l->n;
	}
	return at;
}

static char *line_text(const struct lines *l, unsigned number)
{
	size_t start = line_start(l, number), end = line_start(l, number + 1);

	while (end > start && (l->text[end - 1] == '\n' || l->text[end - 1] == '\r'))
		end--;
	return xstrndup(l->text + start, end - start);
}

/* text[0, from) + the insertion + text[to, n) */
static void splice(const struct lines *l, size_t from, size_t to, const char *insert,
		   struct buf *out)
{
	buf_add(out, l->text, from);
	if (from > 0 && l->text[from - 1] != '\n')
		buf_putc(out, '\n');
	buf_puts(out, insert);
	buf_add(out, l->text + to, l->n - to);
}

static void put_item(struct buf *out, const char *indent, size_t n, const char *rule)
{
	buf_add(out, indent, n);
	buf_puts(out, "- \"");
	for (; *rule; rule++) {
		if (*rule == '"')
			buf_putc(out, '\\');
		buf_putc(out, *rule);
	}
	buf_puts(out, "\"\n");
}

/* The blanks in front of "- ", or SIZE_MAX for a line that is no item. */
static size_t item_indent(const char *line)
{
	size_t n = strspn(line, " ");

	return line[n] == '-' && line[n + 1] == ' ' ? n : SIZE_MAX;
}

static int not_by_lines(const char *origin, unsigned line, const char *key, const char *rule,
			struct err *e)
{
	err_set(e, ERR_REFUSED, -EINVAL,
		"%s:%u: '%s' is not written with one rule a line; it is left as it is", origin,
		line, key);
	return err_hint(e, "write each rule on a line of its own: - \"%s\"", rule);
}

/* A line "KEY:" or "KEY: []", perhaps with a comment behind it. */
static bool is_empty_list(const char *line, const char *key, const char **ret_comment)
{
	size_t n = strlen(key);

	if (strncmp(line, key, n) != 0 || line[n] != ':')
		return false;
	line += n + 1;
	line += strspn(line, " \t");
	if (*line == '[') {
		line++;
		line += strspn(line, " \t");
		if (*line++ != ']')
			return false;
		line += strspn(line, " \t");
	}
	*ret_comment = line;
	return *line == '\0' || *line == '#';
}

static void add_list(const struct lines *l, const char *key, const char *rule, struct buf *out)
{
	auto_buf insert = BUF_INIT;

	buf_printf(&insert, "%s:\n", key);
	put_item(&insert, "  ", 2, rule);
	splice(l, l->n, l->n, buf_str(&insert), out);
}

static int add_rule(const struct lines *l, const struct yaml_node *root, const char *origin,
		    const char *key, const char *rule, struct buf *out, struct err *e)
{
	const struct yaml_node *v = yaml_node_get(root, key);
	auto_buf insert = BUF_INIT;
	auto_free char *line = NULL;
	const char *comment;
	unsigned at = 0;

	if (!v) {
		add_list(l, key, rule, out);
		return 0;
	}
	for (size_t i = 0; i < root->n; i++) {
		if (root->items[i] == v)
			at = root->keys[i]->line;
	}
	if (v->n > 0) {
		at = v->items[v->n - 1]->line;
		line = line_text(l, at);
		if (item_indent(line) == SIZE_MAX)
			return not_by_lines(origin, at, key, rule, e);
		put_item(&insert, line, item_indent(line), rule);
		splice(l, line_start(l, at + 1), line_start(l, at + 1), buf_str(&insert), out);
		return 0;
	}
	line = line_text(l, at);
	if (!is_empty_list(line, key, &comment))
		return not_by_lines(origin, at, key, rule, e);
	buf_printf(&insert, "%s:%s%s\n", key, *comment ? " " : "", comment);
	put_item(&insert, "  ", 2, rule);
	splice(l, line_start(l, at), line_start(l, at + 1), buf_str(&insert), out);
	return 0;
}

static bool same_rule(bool allow, const char *written, const char *rule)
{
	char text[POLICY_RULE_MAX];

	return policy_rule_canonical(allow, written, text, NULL) == 0 && strcmp(text, rule) == 0;
}

/* Remove the first line of the list that holds the rule. 1: removed; 0: there is none. */
static int remove_rule(const struct lines *l, const struct yaml_node *root, const char *origin,
		       const char *key, const char *rule, struct buf *out, struct err *e)
{
	const struct yaml_node *v = yaml_node_get(root, key);

	for (size_t i = 0; v && i < v->n; i++) {
		unsigned at = v->items[i]->line;
		auto_free char *line = line_text(l, at);

		if (!same_rule(strcmp(key, "allow") == 0, v->items[i]->text, rule))
			continue;
		if (item_indent(line) == SIZE_MAX)
			return not_by_lines(origin, at, key, rule, e);
		splice(l, line_start(l, at), line_start(l, at + 1), "", out);
		return 1;
	}
	return 0;
}

static void set_preset(const struct lines *l, const struct yaml_node *root, const char *preset,
		       struct buf *out)
{
	const struct yaml_node *v = yaml_node_get(root, "preset");
	auto_free char *line = NULL;
	auto_buf insert = BUF_INIT;
	const char *comment;
	size_t at;

	buf_printf(&insert, "preset: %s", preset);
	if (v) {
		line = line_text(l, v->line);
		comment = strstr(line, " #");
		buf_printf(&insert, "%s\n", comment ? comment : "");
		splice(l, line_start(l, v->line), line_start(l, v->line + 1), buf_str(&insert),
		       out);
		return;
	}
	buf_putc(&insert, '\n');
	at = root && root->n > 0 ? line_start(l, root->keys[0]->line) : l->n;
	splice(l, at, at, buf_str(&insert), out);
}

/* --- the change and its proof ---------------------------------------------------------------- */

static bool has_rule(const struct strv *list, bool allow, const char *rule)
{
	for (size_t i = 0; i < list->n; i++) {
		if (same_rule(allow, list->v[i], rule))
			return true;
	}
	return false;
}

/* Is `now` what `before` becomes by the change? */
static bool is_as_meant(const struct spec_policy *before, const struct spec_policy *now,
			enum spec_policy_change what, const char *value)
{
	size_t allow = before->allow.n, deny = before->deny.n;

	if (what == SPEC_POLICY_PRESET)
		return now->allow.n == allow && now->deny.n == deny && now->has_preset &&
		       strcmp(policy_preset_name(now->preset), value) == 0;
	if (now->has_preset != before->has_preset || now->preset != before->preset)
		return false;
	if (what == SPEC_POLICY_REMOVE)
		return now->allow.n + now->deny.n + 1 == allow + deny;
	return now->allow.n == allow + (what == SPEC_POLICY_ALLOW) &&
	       now->deny.n == deny + (what == SPEC_POLICY_DENY) &&
	       has_rule(what == SPEC_POLICY_ALLOW ? &now->allow : &now->deny,
			what == SPEC_POLICY_ALLOW, value);
}

static int change(const struct lines *l, const struct yaml_node *root, const char *origin,
		  enum spec_policy_change what, const char *value, struct buf *out, struct err *e)
{
	int r = 0;

	switch (what) {
	case SPEC_POLICY_ALLOW:
	case SPEC_POLICY_DENY:
		return add_rule(l, root, origin, what == SPEC_POLICY_ALLOW ? "allow" : "deny",
				value, out, e);
	case SPEC_POLICY_REMOVE:
		r = remove_rule(l, root, origin, "allow", value, out, e);
		if (r == 0)
			r = remove_rule(l, root, origin, "deny", value, out, e);
		return r < 0 ? r : 0;
	case SPEC_POLICY_PRESET:
		set_preset(l, root, value, out);
		break;
	}
	return r;
}

static bool is_so_already(const struct spec_policy *p, enum spec_policy_change what,
			  const char *value)
{
	switch (what) {
	case SPEC_POLICY_ALLOW:
		return has_rule(&p->allow, true, value);
	case SPEC_POLICY_DENY:
		return has_rule(&p->deny, false, value);
	case SPEC_POLICY_REMOVE:
		return !has_rule(&p->allow, true, value) && !has_rule(&p->deny, false, value);
	case SPEC_POLICY_PRESET:
		return p->has_preset && strcmp(policy_preset_name(p->preset), value) == 0;
	}
	return false;
}

int spec_policy_edit(struct buf *text, const char *origin, enum spec_policy_change what,
		     const char *value, bool *ret_changed, struct err *e)
{
	struct spec_policy before = { 0 }, now = { 0 };
	struct yaml_tree *y = NULL;
	auto_buf out = BUF_INIT;
	struct lines l;
	int r;

	if (text->len == 0)
		buf_puts(text, first_lines);
	l = (struct lines){ buf_str(text), text->len };
	r = spec_policy_parse(l.text, l.n, origin, &before, e);
	if (r == 0 && is_so_already(&before, what, value)) {
		*ret_changed = false;
		spec_policy_clear(&before);
		return 0;
	}
	if (r == 0)
		r = yaml_tree_read(l.text, l.n, origin, &y, e);
	if (r == 0)
		r = change(&l, yaml_tree_root(y), origin, what, value, &out, e);
	if (r == 0 && (spec_policy_parse(buf_str(&out), out.len, origin, &now, NULL) < 0 ||
		       !is_as_meant(&before, &now, what, value))) {
		err_set(e, ERR_REFUSED, -EINVAL,
			"%s: it is written in a way that cannot be changed safely", origin);
		r = err_hint(e, "change it by hand, or write one rule a line below allow: and "
				"deny:");
	}
	if (r == 0) {
		buf_reset(text);
		buf_add(text, out.data, out.len);
		*ret_changed = true;
	}
	yaml_tree_free(y);
	spec_policy_clear(&before);
	spec_policy_clear(&now);
	return r;
}
