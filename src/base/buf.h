/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf: growing byte strings and string vectors.
 *
 * A buf is always NUL-terminated behind its `len` bytes (data may be NULL while it is empty; use
 * buf_str).  It may hold NUL bytes.  A strv is a NULL-terminated array of owned strings, ready for
 * execve.
 */
#ifndef WARD_BASE_BUF_H
#define WARD_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data;
	size_t len;
	size_t cap;
};
#define BUF_INIT ((struct buf){ 0 })

void buf_free(struct buf *b);  /* takes NULL; leaves an empty buf */
void buf_reset(struct buf *b); /* len = 0, keeps the memory */
void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_consume(struct buf *b, size_t n);    /* drop n bytes from the front */
void buf_truncate(struct buf *b, size_t len); /* drop what is behind len, if anything */
const char *buf_str(const struct buf *b);     /* never NULL */
char *buf_steal(struct buf *b);		      /* the string, owned by the caller; b becomes empty */
#define auto_buf __attribute__((cleanup(buf_free))) struct buf

struct strv {
	char **v; /* v[n] == NULL once anything was added; NULL before */
	size_t n;
	size_t cap;
};
#define STRV_INIT ((struct strv){ 0 })

void strv_free(struct strv *s);
void strv_add(struct strv *s, const char *str); /* copies */
void strv_take(struct strv *s, char *str);	/* owns */
void strv_addf(struct strv *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strv_extend(struct strv *s, const struct strv *more);
bool strv_contains(const struct strv *s, const char *str);
/* Environment vectors ("K=V"): replace or add; look up the value or NULL; remove. */
void strv_env_set(struct strv *s, const char *key, const char *value);
const char *strv_env_get(const struct strv *s, const char *key);
void strv_env_unset(struct strv *s, const char *key);
char **strv_argv(struct strv *s); /* never NULL: a NULL-terminated array, still owned by s */
#define auto_strv __attribute__((cleanup(strv_free))) struct strv

#endif
