/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: the facade over json-c; json.c is the only file that includes it.
 *
 * Values are reference-counted trees behind `struct json`.  json_parse is strict (one value,
 * UTF-8, no comments, depth <= JSON_DEPTH_MAX, duplicate keys refused).  The getters never
 * return foreign types by accident: a missing or wrongly typed member is -ENOENT / -EINVAL.
 */
#ifndef WARD_BASE_JSON_H
#define WARD_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct json; /* opaque */
enum { JSON_DEPTH_MAX = 32 };

void json_unref(struct json *j); /* takes NULL */
void json_unrefp(struct json **j);
struct json *json_ref(struct json *j);
#define auto_json __attribute__((cleanup(json_unrefp))) struct json *

/*
 * A null is a NULL pointer here: *ret of the text "null" is NULL.  Numbers that are no 64-bit
 * integers are kept as written, but no getter returns them.
 */
int json_parse(const char *text, size_t n, struct json **ret, struct err *e);
/* Serialise; pretty: two-space indentation and a final newline. */
void json_write(const struct json *j, bool pretty, struct buf *out);

struct json *json_object(void);
struct json *json_array(void);
struct json *json_string(const char *s); /* NULL gives null; invalid UTF-8 is escaped to U+FFFD */
struct json *json_string_n(const char *s, size_t n);
struct json *json_int(int64_t i);
struct json *json_uint(uint64_t u);
struct json *json_bool(bool b);
struct json *json_real(double value, const char *text); /* written as text */
/* Take ownership of v; v == NULL sets null. */
void json_set(struct json *object, const char *key, struct json *v);
void json_append(struct json *array, struct json *v);
/* Shorthands. */
void json_set_string(struct json *object, const char *key, const char *s);
void json_set_int(struct json *object, const char *key, int64_t i);
void json_set_uint(struct json *object, const char *key, uint64_t u);
void json_set_bool(struct json *object, const char *key, bool b);
void json_set_strv(struct json *object, const char *key, const struct strv *s);

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
enum json_kind json_kind_of(const struct json *j);
bool json_is_object(const struct json *j);
bool json_is_array(const struct json *j);
bool json_is_string(const struct json *j);
/* Borrowed member, or NULL when missing or null. */
struct json *json_get(const struct json *object, const char *key);
/* Is there such a member, be it null? */
bool json_has(const struct json *object, const char *key);
size_t json_len(const struct json *array); /* 0 for everything else */
struct json *json_at(const struct json *array, size_t i);
/* Borrowed string of a string value, else NULL. Strings with embedded NUL are refused (NULL). */
const char *json_str(const struct json *j);
/*
 * Members by key; *ret written only on success.  -ENOENT: missing or null; -EINVAL: another type;
 * -ERANGE: an integer that does not fit.  json_get_strv replaces what *ret held.
 */
int json_get_string(const struct json *object, const char *key, const char **ret); /* borrowed */
int json_get_int(const struct json *object, const char *key, int64_t *ret);
int json_get_uint(const struct json *object, const char *key, uint64_t *ret);
int json_get_bool(const struct json *object, const char *key, bool *ret);
int json_get_strv(const struct json *object, const char *key, struct strv *ret);
/* Iterate an object: call f for every member in order; stops at the first non-zero return. */
int json_each(const struct json *object, int (*f)(const char *key, struct json *v, void *arg),
	      void *arg);

#endif
