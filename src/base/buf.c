/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf: growing byte strings and string vectors.
 *
 * Capacities double, so that a string built byte by byte costs linear time.  Invariants: data is
 * NULL exactly when cap is 0; otherwise len < cap and data[len] is NUL.  A vector holds n + 1
 * pointers when anything was ever added, the last of them NULL.
 */
#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { BUF_FIRST = 64, STRV_FIRST = 8 };

void buf_free(struct buf *b)
{
	if (b == NULL)
		return;
	free(b->data);
	*b = BUF_INIT;
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

/* Room for n more bytes and the NUL. */
static void buf_grow(struct buf *b, size_t n)
{
	size_t need, cap;

	if (__builtin_add_overflow(b->len, n, &need) || need > SIZE_MAX / 4)
		mem_oom();
	need++;
	if (need <= b->cap)
		return;
	cap = b->cap != 0 ? b->cap : BUF_FIRST;
	while (cap < need)
		cap *= 2;
	b->data = xrealloc(b->data, cap, 1);
	b->cap = cap;
}

void buf_add(struct buf *b, const void *bytes, size_t n)
{
	buf_grow(b, n);
	if (n != 0)
		memcpy(b->data + b->len, bytes, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void buf_puts(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
	buf_grow(b, 1);
	b->data[b->len++] = c;
	b->data[b->len] = '\0';
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	size_t room;
	va_list again;
	int n;

	buf_grow(b, BUF_FIRST - 1);
	room = b->cap - b->len;
	va_copy(again, ap);
	n = vsnprintf(b->data + b->len, room, fmt, ap);
	/* Only an encoding error or a result above INT_MAX gets here: treated as exhaustion. */
	if (n < 0)
		mem_oom();
	if ((size_t)n >= room) {
		buf_grow(b, (size_t)n);
		n = vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
		if (n < 0)
			mem_oom();
	}
	va_end(again);
	b->len += (size_t)n;
}

void buf_consume(struct buf *b, size_t n)
{
	if (n >= b->len) {
		buf_reset(b);
		return;
	}
	if (n == 0)
		return;
	b->len -= n;
	memmove(b->data, b->data + n, b->len + 1);
}

void buf_truncate(struct buf *b, size_t len)
{
	if (len >= b->len)
		return;
	b->len = len;
	b->data[len] = '\0';
}

const char *buf_str(const struct buf *b)
{
	return b->data != NULL ? b->data : "";
}

char *buf_steal(struct buf *b)
{
	char *s = b->data != NULL ? b->data : xstrdup("");

	*b = BUF_INIT;
	return s;
}

void strv_free(struct strv *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = STRV_INIT;
}

/* Room for n more strings and the NULL. */
static void strv_grow(struct strv *s, size_t n)
{
	size_t need = s->n + n + 1;
	size_t cap = s->cap != 0 ? s->cap : STRV_FIRST;

	if (need <= s->cap)
		return;
	while (cap < need)
		cap *= 2;
	s->v = xrealloc(s->v, cap, sizeof(*s->v));
	s->cap = cap;
	s->v[s->n] = NULL;
}

void strv_add(struct strv *s, const char *str)
{
	strv_take(s, xstrdup(str));
}

void strv_take(struct strv *s, char *str)
{
	strv_grow(s, 1);
	s->v[s->n++] = str;
	s->v[s->n] = NULL;
}

void strv_addf(struct strv *s, const char *fmt, ...)
{
	char *str;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&str, fmt, ap);
	va_end(ap);
	if (n < 0)
		mem_oom();
	strv_take(s, str);
}

void strv_extend(struct strv *s, const struct strv *more)
{
	/* The count is read once, so that a vector may be appended to itself. */
	size_t n = more->n;

	if (n == 0)
		return;
	strv_grow(s, n);
	for (size_t i = 0; i < n; i++)
		strv_add(s, more->v[i]);
}

bool strv_contains(const struct strv *s, const char *str)
{
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->v[i], str) == 0)
			return true;
	}
	return false;
}

/* Index of the entry "key=...", or n. */
static size_t env_find(const struct strv *s, const char *key)
{
	size_t len = strlen(key);
	size_t i;

	for (i = 0; i < s->n; i++) {
		if (strncmp(s->v[i], key, len) == 0 && s->v[i][len] == '=')
			break;
	}
	return i;
}

void strv_env_set(struct strv *s, const char *key, const char *value)
{
	size_t i = env_find(s, key);
	char *entry = xasprintf("%s=%s", key, value);

	if (i == s->n) {
		strv_take(s, entry);
		return;
	}
	free(s->v[i]);
	s->v[i] = entry;
}

const char *strv_env_get(const struct strv *s, const char *key)
{
	size_t i = env_find(s, key);

	return i < s->n ? s->v[i] + strlen(key) + 1 : NULL;
}

void strv_env_unset(struct strv *s, const char *key)
{
	size_t i;

	/* Every one: a duplicate that stayed behind would take its place. */
	while ((i = env_find(s, key)) < s->n) {
		free(s->v[i]);
		memmove(s->v + i, s->v + i + 1, (s->n - i) * sizeof(*s->v));
		s->n--;
	}
}

char **strv_argv(struct strv *s)
{
	strv_grow(s, 0);
	return s->v;
}
