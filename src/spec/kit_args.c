/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kit_args: the arguments of a kit, and ${{ kit.args.NAME }} in its texts.
 *
 * A kit declares what it can be told; --kit-arg tells it.  References are replaced in the parsed
 * tree, in values only: whatever a value holds, it stays the text (or a part of the text) of one
 * scalar and can never become a key, a list or another field.  What the text may be is then decided
 * by the field, as if it had been written there.
 *
 * Any other ${{ ... }} stays as it is: files of other tools use the same brackets.
 */
#include <errno.h>

#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

enum { ARGS_MAX = 64, ARG_NAME_MAX = 64 };

struct arg_decl {
	char *otherwise; /* default; NULL: none */
	bool required;
	struct strv choices;
	char *pattern;
	char *description;
};

#define DECL(member) .offset = offsetof(struct arg_decl, member)

static const struct field decl_v[] = {
	{ "default", field_text, DECL(otherwise) },
	{ "required", field_bool, DECL(required) },
	{ "enum", field_texts, DECL(choices) },
	{ "pattern", field_text, DECL(pattern) },
	{ "description", field_body, DECL(description) },
};

static int finish_decl(const struct field_reader *r, const struct yaml_node *v, void *object)
{
	const struct arg_decl *d = object;
	bool ignored;
	const char *why;

	if ((d->otherwise != NULL) == d->required)
		return field_error(r, v, "an argument has either 'default' or 'required: true'");
	if (d->choices.n && d->pattern)
		return field_error(r, v, "an argument has at most one of 'enum' and 'pattern'");
	if (d->otherwise && strstr(d->otherwise, "${{"))
		return field_error(r, v, "a default cannot refer to other arguments");
	why = d->pattern ? spec_pattern_match(d->pattern, "", &ignored) : NULL;
	if (why)
		return field_error(r, v, "'pattern': %s", why);
	return 0;
}

static const struct fields decl_fields = {
	.what = "an argument",
	.v = decl_v,
	.n = ARRAY_SIZE(decl_v),
	.size = sizeof(struct arg_decl),
	.finish = finish_decl,
};

static void decl_clear(struct arg_decl *d)
{
	free(d->otherwise);
	strv_free(&d->choices);
	free(d->pattern);
	free(d->description);
}

bool kit_arg_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > ARG_NAME_MAX || (name[0] >= '0' && name[0] <= '9') || name[0] == '-')
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = name[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      c == '_' || c == '-'))
			return false;
	}
	return true;
}

/* What the user said for an argument of this kit: KIT.NAME=VALUE beats NAME=VALUE, the last of each
 * counts. All that mean it are marked. */
static const char *given_value(struct kit_given *g, const char *kit, const char *name)
{
	auto_free char *own = xasprintf("%s.%s=", kit, name);
	auto_free char *any = xasprintf("%s=", name);
	const char *value = NULL;
	bool specific = false;

	for (size_t i = 0; g && i < g->args->n; i++) {
		const char *text = g->args->v[i];

		if (text_starts(text, own)) {
			value = text + strlen(own);
			specific = true;
		} else if (text_starts(text, any)) {
			value = specific ? value : text + strlen(any);
		} else {
			continue;
		}
		g->used[i] = true;
	}
	return value;
}

/* Does the value fit its declaration? `given`: it was the user who said it. */
static int check_value(const struct field_reader *r, const struct yaml_node *v,
		       const struct arg_decl *d, const char *name, const char *value, bool given)
{
	auto_free char *shown = text_escaped(value);
	auto_buf known = BUF_INIT;
	const char *why = NULL;
	bool fits = true;

	if (d->choices.n) {
		fits = strv_contains(&d->choices, value);
		for (size_t i = 0; i < d->choices.n; i++)
			buf_printf(&known, "%s'%s'", i ? ", " : "it can be ", d->choices.v[i]);
		why = buf_str(&known);
	} else if (d->pattern) {
		auto_free char *pattern = text_escaped(d->pattern);

		(void)spec_pattern_match(d->pattern, value, &fits);
		buf_printf(&known, "it must match %s", pattern);
		why = buf_str(&known);
	}
	if (!fits && !given)
		return field_error(r, v, "argument '%s' is '%s'; %s", name, shown, why);
	if (!fits)
		return err_set(r->e, ERR_USAGE, -EINVAL, "option --kit-arg: %s is '%s'; %s", name,
			       shown, why);
	if (given && (strlen(value) > FIELD_TEXT_MAX || !spec_text_is_clean(value, false) ||
		      !text_is_utf8(value, strlen(value))))
		return err_set(r->e, ERR_USAGE, -EINVAL,
			       "option --kit-arg: %s must be one line of at most %d bytes", name,
			       FIELD_TEXT_MAX);
	return 0;
}

static int read_decl(const struct field_reader *r, const char *kit, const struct yaml_node *key,
		     const struct yaml_node *v, struct kit_given *g, struct strv *values)
{
	struct arg_decl d = { 0 };
	const char *value;
	int ret;

	if (!kit_arg_name_ok(key->text)) {
		auto_free char *shown = text_escaped(key->text);

		return field_error(r, key, "'%s' cannot name an argument", shown);
	}
	ret = fields_read(r, &decl_fields, v, &d);
	if (ret == 0) {
		value = given_value(g, kit, key->text);
		if (!value && d.required && g && g->placeholders)
			d.otherwise = xstrdup(d.choices.n ? d.choices.v[0] : key->text);
		if (value || d.otherwise)
			ret = check_value(r, v, &d, key->text, value ? value : d.otherwise,
					  value != NULL);
		else
			ret = field_error(r, v, "argument '%s' needs a value", key->text);
		if (ret == 0)
			strv_env_set(values, key->text, value ? value : d.otherwise);
		else if (!value && !d.otherwise)
			err_hint(r->e, "--kit-arg %s.%s=VALUE", kit, key->text);
	}
	decl_clear(&d);
	return ret;
}

/* "kit.args.NAME" between the brackets: its value. NULL with *ret_ours: of ours, and wrong. */
static const char *reference(const char *inside, const struct strv *values, bool *ret_ours)
{
	auto_free char *text = xstrdup(inside);
	char *word = text + strspn(text, " ");
	size_t n = strlen(word);

	while (n > 0 && word[n - 1] == ' ')
		word[--n] = '\0';
	*ret_ours = text_starts(word, "kit.");
	if (!text_starts(word, "kit.args.") || !kit_arg_name_ok(word + strlen("kit.args.")))
		return NULL;
	return strv_env_get(values, word + strlen("kit.args."));
}

int kit_args_replace(const char *text, const struct strv *values, struct buf *out, char **ret_bad)
{
	const char *p = text;

	for (;;) {
		const char *open = strstr(p, "${{");
		const char *close = open ? strstr(open, "}}") : NULL;
		auto_free char *inside = NULL;
		const char *value;
		bool ours = false;

		if (!close)
			break;
		inside = xstrndup(open + 3, (size_t)(close - open - 3));
		value = reference(inside, values, &ours);
		if (ours && !value) {
			*ret_bad = steal(&inside);
			return -EINVAL;
		}
		buf_add(out, p, (size_t)(open - p));
		if (value)
			buf_puts(out, value);
		else
			buf_add(out, open, (size_t)(close + 2 - open));
		p = close + 2;
	}
	buf_puts(out, p);
	return 0;
}

struct filling {
	const struct field_reader *r;
	const struct strv *values;
	size_t total; /* bytes written */
};

static int fill_scalar(void *arg, const struct yaml_node *v, char **ret)
{
	struct filling *f = arg;
	auto_buf out = BUF_INIT;
	auto_free char *bad = NULL;

	if (!strstr(v->text, "${{"))
		return 0;
	if (kit_args_replace(v->text, f->values, &out, &bad) < 0) {
		auto_free char *shown = text_escaped(bad);

		return field_error(f->r, v, "'${{%s}}': there is no such argument", shown);
	}
	/* A few bytes of reference can stand for a long value, many times. */
	f->total += out.len;
	if (f->total > YAML_BYTES_MAX)
		return field_error(f->r, v, "its arguments make it larger than %d bytes",
				   YAML_BYTES_MAX);
	*ret = buf_steal(&out);
	return 0;
}

int kit_args_apply(const struct field_reader *r, struct yaml_tree *y, struct kit_given *given,
		   struct strv *values)
{
	const struct yaml_node *root = yaml_tree_root(y);
	const struct yaml_node *args = yaml_node_get(root, "args");
	const struct yaml_node *name = yaml_node_get(root, "name");
	const char *kit = name && name->kind == YAML_SCALAR ? name->text : "";
	struct filling f = { .r = r, .values = values };

	if (args && args->kind != YAML_MAPPING)
		return field_error(r, args, "'args' must be a mapping of NAME: {default: ...}");
	if (args && args->n > ARGS_MAX)
		return field_error(r, args, "'args' has more than %d entries", ARGS_MAX);
	if (strstr(kit, "${{"))
		return field_error(r, name, "'name' cannot depend on arguments");
	for (size_t i = 0; args && i < args->n; i++) {
		int ret = read_decl(r, kit, args->keys[i], args->items[i], given, values);

		if (ret < 0)
			return ret;
	}
	return yaml_tree_fill(y, fill_scalar, &f);
}
