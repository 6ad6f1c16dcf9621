/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options: see options.h.
 *
 * The cursor `struct parse` walks over the arguments; long and short spellings meet in store(), the
 * only place that writes a value.  Text of the command line is escaped before it enters a message,
 * because it may have come from a file name.
 */
#include "cli/options.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

struct parse {
	const struct option *table;
	size_t ntable;
	char *const *args;
	size_t n;
	size_t at; /* the next argument */
	char *values;
};

void options_operands_clear(struct options_operands *o)
{
	strv_free(&o->v);
	o->dashes = false;
	o->before_dashes = 0;
}

bool options_is_choice(const char *choices, const char *s)
{
	size_t n = strlen(s);

	for (const char *p = choices; p; p = strchr(p, '|')) {
		if (*p == '|')
			p++;
		if (strcspn(p, "|") == n && memcmp(p, s, n) == 0)
			return n > 0;
	}
	return false;
}

static const struct option *by_name(const struct parse *p, const char *name, size_t n)
{
	for (size_t i = 0; i < p->ntable; i++) {
		const char *candidate = p->table[i].name;

		if (strlen(candidate) == n && memcmp(candidate, name, n) == 0)
			return &p->table[i];
	}
	return NULL;
}

static const struct option *by_letter(const struct parse *p, char letter)
{
	for (size_t i = 0; i < p->ntable; i++) {
		if (p->table[i].letter && p->table[i].letter == letter)
			return &p->table[i];
	}
	return NULL;
}

static int unknown_long(const struct parse *p, const char *name, size_t n, struct err *e)
{
	auto_free char *word = xstrndup(name, n);
	auto_free char *shown = text_escaped(word);
	auto_free const char **names = xcalloc(p->ntable + 1, sizeof(*names));
	const char *nearest;

	for (size_t i = 0; i < p->ntable; i++)
		names[i] = p->table[i].name;
	err_set(e, ERR_USAGE, -ENOPROTOOPT, "unknown option '--%s'", shown);
	nearest = text_nearest(word, names, p->ntable);
	if (nearest)
		err_hint(e, "did you mean --%s?", nearest);
	return -ENOPROTOOPT;
}

static int store_flag(const struct option *o, bool *field, const char *value, struct err *e)
{
	auto_free char *shown = NULL;

	if (!value || strcmp(value, "true") == 0 || strcmp(value, "1") == 0) {
		*field = true;
		return 0;
	}
	if (strcmp(value, "false") == 0 || strcmp(value, "0") == 0) {
		*field = false;
		return 0;
	}
	shown = text_escaped(value);
	return err_set(e, ERR_USAGE, -EINVAL, "option --%s: '%s' is neither true nor false",
		       o->name, shown);
}

/* Offsets come from offsetof in the tables, so the casts restore the types that were erased. */
static int store(const struct parse *p, const struct option *o, const char *value, struct err *e)
{
	void *field = p->values + o->offset;

	if (o->type == OPTION_FLAG)
		return store_flag(o, field, value, e);
	if (o->choices && !options_is_choice(o->choices, value)) {
		auto_free char *shown = text_escaped(value);

		return err_set(e, ERR_USAGE, -EINVAL, "option --%s: '%s' is none of %s", o->name,
			       shown, o->choices);
	}
	if (o->type == OPTION_LIST)
		strv_add(field, value);
	else
		*(const char **)field = value;
	return 0;
}

/* The value of an option that needs one: attached text, or the next argument. */
static int take_value(struct parse *p, const struct option *o, const char *attached,
		      const char **ret, struct err *e)
{
	if (attached) {
		*ret = attached;
		return 0;
	}
	if (p->at >= p->n)
		return err_set(e, ERR_USAGE, -EINVAL, "option --%s: needs a value (%s)", o->name,
			       o->arg);
	*ret = p->args[p->at++];
	return 0;
}

static int parse_long(struct parse *p, const char *arg, struct err *e)
{
	size_t n = strcspn(arg, "=");
	const char *value = arg[n] == '=' ? arg + n + 1 : NULL;
	const struct option *o = by_name(p, arg, n);
	int r;

	if (!o)
		return unknown_long(p, arg, n, e);
	if (o->type != OPTION_FLAG) {
		r = take_value(p, o, value, &value, e);
		if (r < 0)
			return r;
	}
	return store(p, o, value, e);
}

/* "-abc": flags up to the first option that takes a value; the rest of the word is that value. */
static int parse_short(struct parse *p, const char *arg, struct err *e)
{
	for (const char *c = arg; *c; c++) {
		const struct option *o = by_letter(p, *c);
		const char *value = NULL;
		int r;

		if (!o) {
			auto_free char *shown = text_escaped(arg);

			if (c == arg && !c[1])
				return err_set(e, ERR_USAGE, -EINVAL, "unknown option '-%s'",
					       shown);
			return err_set(e, ERR_USAGE, -EINVAL, "unknown option: letter %zu of '-%s'",
				       (size_t)(c - arg) + 1, shown);
		}
		if (o->type == OPTION_FLAG) {
			r = store(p, o, NULL, e);
			if (r < 0)
				return r;
			continue;
		}
		value = c[1] == '=' ? c + 2 : c + 1;
		r = take_value(p, o, c[1] ? value : NULL, &value, e);
		return r < 0 ? r : store(p, o, value, e);
	}
	return 0;
}

static void take_rest(struct parse *p, struct options_operands *o)
{
	while (p->at < p->n)
		strv_add(&o->v, p->args[p->at++]);
}

int options_parse(const struct option *table, size_t ntable, bool stop_at_operand,
		  char *const *args, size_t n, void *values, struct options_operands *ret,
		  struct err *e)
{
	struct parse p = {
		.table = table, .ntable = ntable, .args = args, .n = n, .values = values
	};
	struct options_operands o = { 0 };
	int r = 0;

	while (p.at < p.n && r == 0) {
		const char *arg = p.args[p.at++];

		if (strcmp(arg, "--") == 0) {
			o.dashes = true;
			o.before_dashes = o.v.n;
			take_rest(&p, &o);
		} else if (arg[0] == '-' && arg[1] == '-') {
			r = parse_long(&p, arg + 2, e);
		} else if (arg[0] == '-' && arg[1]) {
			r = parse_short(&p, arg + 1, e);
		} else {
			strv_add(&o.v, arg);
			if (stop_at_operand)
				take_rest(&p, &o);
		}
	}
	if (r < 0) {
		options_operands_clear(&o);
		return r;
	}
	if (!o.dashes)
		o.before_dashes = o.v.n;
	*ret = o;
	return 0;
}

void options_clear(const struct option *table, size_t ntable, void *values)
{
	for (size_t i = 0; i < ntable; i++) {
		if (table[i].type == OPTION_LIST)
			strv_free((struct strv *)(void *)((char *)values + table[i].offset));
	}
}
