/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: values, their members, and writing them.
 *
 * `struct json` is json-c's object under another name, so that no other file depends on the
 * library.  Reading text is ours (json_read.c).  Strings are valid UTF-8 from the moment that they
 * become values; so is everything that is written.
 */
#include "base/json.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

/* The library has types with the names of two of our functions: they get other names here. */
#define json_object jsonc_object
#define json_bool   jsonc_bool
#include <json-c/json.h>
#undef json_object
#undef json_bool

/* json-c reads through pointers that it does not declare const; nothing here writes through them.
 */
static struct jsonc_object *object_of(const struct json *j)
{
	return (struct jsonc_object *)(uintptr_t)j;
}

static struct json *value_of(struct jsonc_object *o)
{
	return (struct json *)o;
}

/* json-c answers NULL to a constructor only when memory ran out. */
static struct json *made(struct jsonc_object *o)
{
	if (o == NULL)
		mem_oom();
	return value_of(o);
}

void json_unref(struct json *j)
{
	json_object_put(object_of(j));
}

void json_unrefp(struct json **j)
{
	int saved = errno;

	json_unref(*j);
	errno = saved;
}

struct json *json_ref(struct json *j)
{
	return value_of(json_object_get(object_of(j)));
}

void json_write(const struct json *j, bool pretty, struct buf *out)
{
	int flags = JSON_C_TO_STRING_NOSLASHESCAPE;
	const char *text;
	size_t n;

	if (pretty)
		flags |= JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
	text = json_object_to_json_string_length(object_of(j), flags, &n);
	if (text == NULL)
		mem_oom();
	buf_add(out, text, n);
	if (pretty)
		buf_putc(out, '\n');
}

struct json *json_object(void)
{
	return made(json_object_new_object());
}

struct json *json_array(void)
{
	return made(json_object_new_array());
}

struct json *json_string(const char *s)
{
	return s != NULL ? json_string_n(s, strlen(s)) : NULL;
}

/* Length of the valid UTF-8 at the front. */
static size_t valid_prefix(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n) {
		uint32_t c;
		size_t len = text_utf8_next(s + i, n - i, &c);

		if (len == 0)
			break;
		i += len;
	}
	return i;
}

struct json *json_string_n(const char *s, size_t n)
{
	size_t good = valid_prefix(s, n);
	auto_buf clean = BUF_INIT;

	if (n > INT_MAX / 4)
		mem_oom();
	if (good == n)
		return made(json_object_new_string_len(s, (int)n));
	for (;;) {
		buf_add(&clean, s, good);
		if (good == n)
			break;
		buf_puts(&clean, "\xef\xbf\xbd");
		s += good + 1;
		n -= good + 1;
		good = valid_prefix(s, n);
	}
	return made(json_object_new_string_len(clean.data, (int)clean.len));
}

struct json *json_int(int64_t i)
{
	return made(json_object_new_int64(i));
}

struct json *json_uint(uint64_t u)
{
	return made(u <= INT64_MAX ? json_object_new_int64((int64_t)u) : json_object_new_uint64(u));
}

struct json *json_bool(bool b)
{
	return made(json_object_new_boolean(b));
}

struct json *json_real(double value, const char *text)
{
	return made(json_object_new_double_s(value, text));
}

void json_set(struct json *object, const char *key, struct json *v)
{
	if (json_object_object_add(object_of(object), key, object_of(v)) < 0)
		mem_oom();
}

void json_append(struct json *array, struct json *v)
{
	if (json_object_array_add(object_of(array), object_of(v)) < 0)
		mem_oom();
}

void json_set_string(struct json *object, const char *key, const char *s)
{
	json_set(object, key, json_string(s));
}

void json_set_int(struct json *object, const char *key, int64_t i)
{
	json_set(object, key, json_int(i));
}

void json_set_uint(struct json *object, const char *key, uint64_t u)
{
	json_set(object, key, json_uint(u));
}

void json_set_bool(struct json *object, const char *key, bool b)
{
	json_set(object, key, json_bool(b));
}

void json_set_strv(struct json *object, const char *key, const struct strv *s)
{
	struct json *list = json_array();

	for (size_t i = 0; i < s->n; i++)
		json_append(list, json_string(s->v[i]));
	json_set(object, key, list);
}

enum json_kind json_kind_of(const struct json *j)
{
	switch (json_object_get_type(object_of(j))) {
	case json_type_boolean:
		return JSON_BOOL;
	case json_type_double:
	case json_type_int:
		return JSON_NUMBER;
	case json_type_string:
		return JSON_STRING;
	case json_type_array:
		return JSON_ARRAY;
	case json_type_object:
		return JSON_OBJECT;
	case json_type_null:
	default:
		return JSON_NULL;
	}
}

bool json_is_object(const struct json *j)
{
	return json_object_is_type(object_of(j), json_type_object);
}

bool json_is_array(const struct json *j)
{
	return json_object_is_type(object_of(j), json_type_array);
}

bool json_is_string(const struct json *j)
{
	return json_object_is_type(object_of(j), json_type_string);
}

bool json_has(const struct json *object, const char *key)
{
	return json_is_object(object) && json_object_object_get_ex(object_of(object), key, NULL);
}

struct json *json_get(const struct json *object, const char *key)
{
	struct jsonc_object *v = NULL;

	if (json_is_object(object))
		json_object_object_get_ex(object_of(object), key, &v);
	return value_of(v);
}

size_t json_len(const struct json *array)
{
	return json_is_array(array) ? json_object_array_length(object_of(array)) : 0;
}

struct json *json_at(const struct json *array, size_t i)
{
	if (i >= json_len(array))
		return NULL;
	return value_of(json_object_array_get_idx(object_of(array), i));
}

const char *json_str(const struct json *j)
{
	const char *s;

	if (!json_is_string(j))
		return NULL;
	s = json_object_get_string(object_of(j));
	return strlen(s) == (size_t)json_object_get_string_len(object_of(j)) ? s : NULL;
}

/* The member, of the given type; 0, -ENOENT or -EINVAL. */
static int member(const struct json *object, const char *key, enum json_type type,
		  struct jsonc_object **ret)
{
	struct json *v = json_get(object, key);

	if (v == NULL)
		return object != NULL && !json_is_object(object) ? -EINVAL : -ENOENT;
	if (!json_object_is_type(object_of(v), type))
		return -EINVAL;
	*ret = object_of(v);
	return 0;
}

int json_get_string(const struct json *object, const char *key, const char **ret)
{
	struct jsonc_object *v;
	const char *s;
	int r = member(object, key, json_type_string, &v);

	if (r < 0)
		return r;
	s = json_str(value_of(v));
	if (s == NULL)
		return -EINVAL;
	*ret = s;
	return 0;
}

int json_get_int(const struct json *object, const char *key, int64_t *ret)
{
	struct jsonc_object *v;
	int r = member(object, key, json_type_int, &v);

	if (r < 0)
		return r;
	/* Either conversion stops at its limit, so the other one tells what does not fit. */
	if (json_object_get_uint64(v) > INT64_MAX)
		return -ERANGE;
	*ret = json_object_get_int64(v);
	return 0;
}

int json_get_uint(const struct json *object, const char *key, uint64_t *ret)
{
	struct jsonc_object *v;
	int r = member(object, key, json_type_int, &v);

	if (r < 0)
		return r;
	if (json_object_get_int64(v) < 0)
		return -ERANGE;
	*ret = json_object_get_uint64(v);
	return 0;
}

int json_get_bool(const struct json *object, const char *key, bool *ret)
{
	struct jsonc_object *v;
	int r = member(object, key, json_type_boolean, &v);

	if (r < 0)
		return r;
	*ret = json_object_get_boolean(v);
	return 0;
}

int json_get_strv(const struct json *object, const char *key, struct strv *ret)
{
	auto_strv list = STRV_INIT;
	struct jsonc_object *v;
	int r = member(object, key, json_type_array, &v);

	if (r < 0)
		return r;
	for (size_t i = 0; i < json_len(value_of(v)); i++) {
		const char *s = json_str(json_at(value_of(v), i));

		if (s == NULL)
			return -EINVAL;
		strv_add(&list, s);
	}
	strv_free(ret);
	*ret = list;
	list = STRV_INIT;
	return 0;
}

int json_each(const struct json *object, int (*f)(const char *key, struct json *v, void *arg),
	      void *arg)
{
	struct lh_entry *next;

	if (!json_is_object(object))
		return 0;
	for (struct lh_entry *at = json_object_get_object(object_of(object))->head; at != NULL;
	     at = next) {
		int r;

		/* The callback may replace or remove the member that it is called for. */
		next = at->next;
		r = f(lh_entry_k(at), lh_entry_v(at), arg);
		if (r != 0)
			return r;
	}
	return 0;
}
