/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kit_locked: fields that a kit keeps others from setting.
 *
 * A path is that of a field in spec.yaml: names joined by dots, and LIST[KEY=VALUE] for one item of
 * a list.  It is looked up in the tree of the kit that comes on top, so that a field counts as set
 * when it is written there, whatever its value.
 */
#include <errno.h>

#include "base/mem.h"
#include "spec/spec_internal.h"

static bool is_word(const char *s, size_t n)
{
	if (n == 0 || n > 64)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      strchr("._-/~", c)))
			return false;
	}
	return true;
}

/* One step of a path: NAME or NAME[KEY=VALUE]; its length, or 0. */
static size_t step_length(const char *path, size_t *ret_name, const char **ret_key,
			  const char **ret_value)
{
	size_t name = strcspn(path, ".[");
	const char *close;

	*ret_name = name;
	*ret_key = *ret_value = NULL;
	if (!is_word(path, name))
		return 0;
	if (path[name] != '[')
		return name;
	*ret_key = path + name + 1;
	close = strchr(*ret_key, ']');
	*ret_value = strchr(*ret_key, '=');
	if (!close || !*ret_value || *ret_value > close ||
	    !is_word(*ret_key, (size_t)(*ret_value - *ret_key)) ||
	    !is_word(*ret_value + 1, (size_t)(close - *ret_value - 1)))
		return 0;
	(*ret_value)++;
	return (size_t)(close + 1 - path);
}

/* The node that a step leads to. */
static const struct yaml_node *step(const struct yaml_node *v, const char *path, size_t name,
				    const char *key, const char *value)
{
	auto_free char *field = xstrndup(path, name);
	auto_free char *which = key ? xstrndup(key, (size_t)(value - 1 - key)) : NULL;
	auto_free char *what = value ? xstrndup(value, strcspn(value, "]")) : NULL;
	const struct yaml_node *list = yaml_node_get(v, field);

	if (!key || !list)
		return list;
	for (size_t i = 0; list->kind == YAML_LIST && i < list->n; i++) {
		const struct yaml_node *id = yaml_node_get(list->items[i], which);

		if (id && id->kind == YAML_SCALAR && strcmp(id->text, what) == 0)
			return list->items[i];
	}
	return NULL;
}

/* The node at a path; v NULL: only whether it is one (then *ret_ok). */
static const struct yaml_node *at_path(const struct yaml_node *v, const char *path, bool *ret_ok)
{
	for (;;) {
		const char *key, *value;
		size_t name;
		size_t n = step_length(path, &name, &key, &value);

		*ret_ok = n > 0;
		if (n == 0)
			return NULL;
		v = v ? step(v, path, name, key, value) : NULL;
		if (path[n] == '\0')
			return v;
		*ret_ok = path[n] == '.';
		if (!*ret_ok)
			return NULL;
		path += n + 1;
	}
}

bool kit_path_ok(const char *path)
{
	bool ok = false;

	(void)at_path(NULL, path, &ok);
	return ok;
}

int kit_check_locked(const struct kit_part *base, const struct kit_part *over, struct err *e)
{
	struct field_reader r = { .origin = over->kit.origin, .e = e };

	for (size_t i = 0; i < base->locked.n; i++) {
		bool ok;
		const struct yaml_node *v =
			at_path(yaml_tree_root(over->tree), base->locked.v[i], &ok);

		if (v)
			return field_error(&r, v, "'%s' is locked by kit '%s'", base->locked.v[i],
					   base->kit.name);
	}
	return 0;
}
