/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text: strict parsing of small texts, and escaping of foreign ones.  Pure functions.
 */
#ifndef WARD_BASE_TEXT_H
#define WARD_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Decimal digits only (no sign, space, prefix or leading zeros beyond "0"), at most `max`.
 * Returns 0 or -EINVAL / -ERANGE; *ret is written only on success. This is the only parser of
 * numbers from text in the project.
 */
int text_u64(const char *s, uint64_t max, uint64_t *ret);
/* Bytes with an optional suffix b, k, m, g, t or KiB/MiB/... (powers of 1024), as Docker: "512m".
 */
int text_size(const char *s, uint64_t *ret);
/* Durations "90s", "10m", "168h", "7d" or a combination "1h30m", in seconds. */
int text_duration(const char *s, uint64_t *ret_seconds);

bool text_starts(const char *s, const char *prefix);
bool text_ends(const char *s, const char *suffix);
/*
 * The UTF-8 character at the front of n bytes: its length, 1..4, and its number in *ret; 0 when
 * there is none (n == 0, an overlong or truncated form, a surrogate, above U+10FFFF).
 */
size_t text_utf8_next(const char *s, size_t n, uint32_t *ret);
/* True when s is valid UTF-8 without NUL. */
bool text_is_utf8(const char *s, size_t n);

/*
 * A name that a sandbox, volume or kit may have: [a-z0-9][a-z0-9._-]{0,62}, no "..".  On failure
 * -EINVAL and a message naming the thing ("sandbox name 'x y': ...").
 */
int text_check_name(const char *what, const char *name, struct err *e);

/*
 * Append foreign text for a terminal or a log line: C0 (the tab too), DEL, C1 (also as
 * UTF-8), invalid UTF-8, line separators and bidirectional or other invisible format characters
 * (U+200B..F, U+2028..E, U+2060..F, U+FEFF, U+061C, tags) become \xNN or \u{NNNN}; backslash
 * becomes \\.  At most `max` bytes of input are taken, then "..." is added.
 */
void text_escape(struct buf *out, const char *s, size_t n, size_t max);
/* The same as a new string (max 4096 bytes of input); for messages. */
char *text_escaped(const char *s);

/* Append a word so that a POSIX shell reads it as it is: in quotes when it needs them. */
void text_shell_word(struct buf *out, const char *s);
/* The candidate nearest to `word` (edit distance <= max(1, len/3)), or NULL. */
const char *text_nearest(const char *word, const char *const *candidates, size_t n);

/* RFC 3339 UTC with seconds, "2026-01-02T03:04:05Z", from seconds since the epoch. */
void text_rfc3339(int64_t t, char out[static 32]);
int text_parse_rfc3339(const char *s, int64_t *ret);
/* "3 minutes ago", as docker ls prints ages; now and then in seconds since the epoch. */
void text_ago(int64_t then, int64_t now, char out[static 32]);

/* n random bytes as 2n lower-case hex digits plus NUL (getrandom). */
void text_random_hex(char *out, size_t n);
/* FNV-1a, 64 bit; for names and indexes, not for security. */
uint64_t text_fnv1a(const void *p, size_t n);

#endif
