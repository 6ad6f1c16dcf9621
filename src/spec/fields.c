/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fields: from a YAML tree into a struct, along const tables.
 *
 * A table names the fields of one mapping: what reads each, and where its value goes.  A key that
 * no table knows is an error with its line and the nearest name, so that a misspelt field is never
 * silently without effect.  The recursion follows the tables, whose depth is fixed, not the input.
 *
 * Invariants: a reader writes only what passed its check; an object is complete enough to be freed
 * at every moment (zeroed memory, counted before it is filled).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"
#include "policy/policy.h"
#include "spec/spec_internal.h"

int field_error(const struct field_reader *r, const struct yaml_node *v, const char *fmt, ...)
{
	char why[ERR_MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return err_set(r->e, ERR_INPUT, -EINVAL, "%s:%u: %s", r->origin, v->line, why);
}

bool spec_text_is_clean(const char *s, bool lines)
{
	const unsigned char *p = (const unsigned char *)s;

	for (; *p; p++) {
		if ((*p < 0x20 && !(lines && (*p == '\n' || *p == '\t'))) || *p == 0x7f)
			return false;
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) /* C1 in UTF-8 */
			return false;
	}
	return true;
}

bool spec_env_name_ok(const char *name, size_t n)
{
	if (n == 0 || n > 256 || (name[0] >= '0' && name[0] <= '9'))
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = name[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      c == '_'))
			return false;
	}
	return true;
}

static int unknown_field(const struct field_reader *r, const struct fields *t,
			 const struct yaml_node *key)
{
	auto_free char *shown = text_escaped(key->text);
	auto_free const char **names = xcalloc(t->n, sizeof(*names));
	auto_buf known = BUF_INIT;
	const char *nearest;

	for (size_t i = 0; i < t->n; i++) {
		names[i] = t->v[i].name;
		buf_printf(&known, "%s%s", i ? ", " : "", names[i]);
	}
	nearest = text_nearest(key->text, names, t->n);
	if (nearest)
		return field_error(r, key, "unknown field '%s', did you mean '%s'?", shown,
				   nearest);
	field_error(r, key, "unknown field '%s'", shown);
	return err_hint(r->e, "%s may have: %s", t->what, buf_str(&known));
}

static const struct field *find_field(const struct fields *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++) {
		if (strcmp(t->v[i].name, name) == 0)
			return &t->v[i];
	}
	return NULL;
}

static int check_required(const struct field_reader *r, const struct fields *t,
			  const struct yaml_node *v)
{
	for (size_t i = 0; i < t->n; i++) {
		bool given = false;

		if (!t->v[i].required)
			continue;
		for (size_t k = 0; k < v->n && !given; k++)
			given = strcmp(v->keys[k]->text, t->v[i].name) == 0;
		if (!given)
			return field_error(r, v, "%s lacks '%s'", t->what, t->v[i].name);
	}
	return 0;
}

int fields_read(const struct field_reader *r, const struct fields *t, const struct yaml_node *v,
		void *object)
{
	int ret;

	if (v->kind != YAML_MAPPING)
		return field_error(r, v, "%s must be a mapping of fields", t->what);
	for (size_t i = 0; i < v->n; i++) {
		const struct field *f = find_field(t, v->keys[i]->text);
		void *out = NULL;

		if (!f)
			return unknown_field(r, t, v->keys[i]);
		if (object && f->offset != FIELD_DROP)
			out = (char *)object + f->offset;
		if (f->read == field_section || f->read == field_objects)
			out = object; /* they place their parts themselves */
		ret = f->read(r, f, v->items[i], out);
		if (ret < 0)
			return ret;
	}
	ret = check_required(r, t, v);
	if (ret == 0 && t->finish)
		ret = t->finish(r, v, object);
	return ret;
}

/* The text of a scalar, checked; the caller copies. */
static int scalar_text(const struct field_reader *r, const char *name, const struct yaml_node *v,
		       bool lines, const char **ret)
{
	size_t max = lines ? FIELD_BODY_MAX : FIELD_TEXT_MAX;

	if (v->kind != YAML_SCALAR)
		return field_error(r, v, "'%s' must be a text", name);
	if (yaml_node_is_null(v))
		return field_error(r, v, "'%s' has no value", name);
	if (strlen(v->text) > max)
		return field_error(r, v, "'%s' is longer than %zu bytes", name, max);
	if (!spec_text_is_clean(v->text, lines))
		return field_error(r, v, "'%s' holds a control character", name);
	*ret = v->text;
	return 0;
}

static void keep_text(void *out, const char *s)
{
	if (out)
		*(char **)out = xstrdup(s);
}

FIELD_READER(field_text)
{
	const char *s;
	int ret = scalar_text(r, f->name, v, false, &s);

	if (ret == 0)
		keep_text(out, s);
	return ret;
}

FIELD_READER(field_body)
{
	const char *s;
	int ret = scalar_text(r, f->name, v, true, &s);

	if (ret == 0)
		keep_text(out, s);
	return ret;
}

FIELD_READER(field_name)
{
	const char *s;
	int ret = scalar_text(r, f->name, v, false, &s);

	if (ret < 0)
		return ret;
	ret = text_check_name(f->name, s, r->e);
	if (ret < 0)
		return err_prefix(r->e, "%s:%u", r->origin, v->line);
	keep_text(out, s);
	return 0;
}

FIELD_READER(field_choice)
{
	auto_free char *shown = NULL;
	auto_buf known = BUF_INIT;
	const char *s;
	int ret = scalar_text(r, f->name, v, false, &s);

	if (ret < 0)
		return ret;
	for (size_t i = 0; f->values[i]; i++) {
		if (strcmp(f->values[i], s) == 0) {
			keep_text(out, s);
			return 0;
		}
		buf_printf(&known, "%s'%s'", i ? ", " : "", f->values[i]);
	}
	shown = text_escaped(s);
	return field_error(r, v, "'%s' is '%s'; it can be %s", f->name, shown, buf_str(&known));
}

FIELD_READER(field_bool)
{
	bool yes = v->kind == YAML_SCALAR && v->plain && strcmp(v->text, "true") == 0;
	bool no = v->kind == YAML_SCALAR && v->plain && strcmp(v->text, "false") == 0;

	if (!yes && !no)
		return field_error(r, v, "'%s' must be true or false", f->name);
	if (out)
		*(bool *)out = yes;
	return 0;
}

FIELD_READER(field_uint)
{
	const char *s;
	uint64_t u;
	int ret = scalar_text(r, f->name, v, false, &s);

	if (ret < 0)
		return ret;
	if (text_u64(s, f->max, &u) < 0 || u < f->min)
		return field_error(r, v, "'%s' must be a whole number from %llu to %llu", f->name,
				   (unsigned long long)f->min, (unsigned long long)f->max);
	if (out)
		*(uint64_t *)out = u;
	return 0;
}

FIELD_READER(field_size)
{
	const char *s;
	uint64_t u;
	int ret = scalar_text(r, f->name, v, false, &s);

	if (ret < 0)
		return ret;
	if (text_size(s, &u) < 0)
		return field_error(r, v, "'%s' must be a size such as 512m or 2g", f->name);
	if (out)
		*(uint64_t *)out = u;
	return 0;
}

FIELD_READER(field_duration)
{
	const char *s;
	uint64_t u;
	int ret = scalar_text(r, f->name, v, false, &s);

	if (ret < 0)
		return ret;
	if (text_duration(s, &u) < 0)
		return field_error(r, v, "'%s' must be a duration such as 90s, 10m or 1h30m",
				   f->name);
	if (out)
		*(uint64_t *)out = u;
	return 0;
}

FIELD_READER(field_mode)
{
	const char *s;
	uint64_t max = f->max ? f->max : 0777;
	unsigned mode = 0;
	size_t n;
	int ret = scalar_text(r, f->name, v, false, &s);

	if (ret < 0)
		return ret;
	n = strlen(s);
	for (size_t i = 0; i < n && n <= 4 && s[i] >= '0' && s[i] <= '7'; i++)
		mode = mode * 8 + (unsigned)(s[i] - '0');
	if ((n != 3 && n != 4) || strspn(s, "01234567") != n || mode > max)
		return field_error(r, v, "'%s' must be three octal digits such as 644 or 0600",
				   f->name);
	if (out)
		*(unsigned *)out = mode;
	return 0;
}

/* Items of a list of texts, each through `check` (may be NULL), into a strv. */
static int read_texts(const struct field_reader *r, const struct field *f,
		      const struct yaml_node *v, bool lines, struct strv *out,
		      int (*check)(const struct field_reader *r, const struct yaml_node *item,
				   const char *s))
{
	if (v->kind != YAML_LIST)
		return field_error(r, v, "'%s' must be a list", f->name);
	if (v->n > FIELD_LIST_MAX)
		return field_error(r, v, "'%s' has more than %d entries", f->name, FIELD_LIST_MAX);
	for (size_t i = 0; i < v->n; i++) {
		const char *s;
		int ret = scalar_text(r, f->name, v->items[i], lines, &s);

		if (ret == 0 && check)
			ret = check(r, v->items[i], s);
		if (ret < 0)
			return ret;
		if (out)
			strv_add(out, s);
	}
	return 0;
}

FIELD_READER(field_texts)
{
	return read_texts(r, f, v, false, out, NULL);
}

FIELD_READER(field_bodies)
{
	return read_texts(r, f, v, true, out, NULL);
}

static int check_pattern(const struct field_reader *r, const struct yaml_node *item, bool allow,
			 const char *s)
{
	/* Only the check is wanted; the set that counts is put together per sandbox. */
	struct policy_rules *scratch = policy_rules_new();
	int ret = policy_rules_add(scratch, allow, s, "kit", r->e);

	policy_rules_free(scratch);
	return ret < 0 ? err_prefix(r->e, "%s:%u", r->origin, item->line) : 0;
}

static int check_allow(const struct field_reader *r, const struct yaml_node *item, const char *s)
{
	return check_pattern(r, item, true, s);
}

static int check_deny(const struct field_reader *r, const struct yaml_node *item, const char *s)
{
	return check_pattern(r, item, false, s);
}

FIELD_READER(field_allow)
{
	return read_texts(r, f, v, false, out, check_allow);
}

FIELD_READER(field_deny)
{
	return read_texts(r, f, v, false, out, check_deny);
}

FIELD_READER(field_env)
{
	if (v->kind != YAML_MAPPING)
		return field_error(r, v, "'%s' must be a mapping of NAME: value", f->name);
	if (v->n > FIELD_LIST_MAX)
		return field_error(r, v, "'%s' has more than %d entries", f->name, FIELD_LIST_MAX);
	for (size_t i = 0; i < v->n; i++) {
		const char *name = v->keys[i]->text;
		auto_free char *shown = text_escaped(name);
		const char *s;
		int ret;

		if (!spec_env_name_ok(name, strlen(name)))
			return field_error(r, v->keys[i],
					   "'%s' cannot name an environment variable", shown);
		ret = scalar_text(r, name, v->items[i], false, &s);
		if (ret < 0)
			return ret;
		if (out)
			strv_env_set(out, name, s);
	}
	return 0;
}

FIELD_READER(field_section)
{
	return fields_read(r, f->sub, v, out);
}

static int read_object(const struct field_reader *r, const struct fields *t,
		       const struct yaml_node *v, char *object)
{
	if (t->bare && v->kind == YAML_SCALAR)
		return t->bare->read(r, t->bare, v, object ? object + t->bare->offset : NULL);
	return fields_read(r, t, v, object);
}

FIELD_READER(field_objects)
{
	bool keep = out && f->offset != FIELD_DROP;
	char *array = NULL;

	if (v->kind != YAML_LIST)
		return field_error(r, v, "'%s' must be a list", f->name);
	if (v->n > FIELD_LIST_MAX)
		return field_error(r, v, "'%s' has more than %d entries", f->name, FIELD_LIST_MAX);
	if (keep && v->n > 0) {
		array = xcalloc(v->n, f->sub->size);
		memcpy((char *)out + f->offset, &array, sizeof(array));
		memcpy((char *)out + f->count, &v->n, sizeof(v->n));
	}
	for (size_t i = 0; i < v->n; i++) {
		int ret = read_object(r, f->sub, v->items[i],
				      array ? array + i * f->sub->size : NULL);

		if (ret < 0)
			return ret;
	}
	return 0;
}

FIELD_READER(field_any)
{
	(void)r;
	(void)f;
	(void)v;
	(void)out;
	return 0;
}

FIELD_READER(field_refused)
{
	(void)out;
	return field_error(r, v, "'%s' %s", f->name, f->reason);
}
