/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_read: JSON text (RFC 8259) to values, strictly.
 *
 * Our own reader instead of json-c's: it refuses duplicate members, invalid UTF-8, lone surrogates,
 * unescaped control characters and every extension of the grammar, in one pass.  It works through
 * the facade, and with a stack of JSON_DEPTH_MAX open containers instead of recursion.
 *
 * Invariants: a container is put into its parent when it opens, so that the root owns everything
 * and one unref of it cleans up; the stack only borrows.
 */
#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum { NUMBER_MAX = 64 };

struct reader {
	const char *start;
	const char *p;
	const char *end;
	struct json *root;
	struct json *stack[JSON_DEPTH_MAX];
	size_t depth;
	struct buf key;	    /* of the member whose value comes next */
	struct buf scratch; /* a string with its escapes resolved */
	struct err *e;
};

static int bad(const struct reader *rd, const char *why)
{
	size_t line = 1, column = 1;

	for (const char *p = rd->start; p < rd->p; p++) {
		column++;
		if (*p == '\n') {
			line++;
			column = 1;
		}
	}
	return err_set(rd->e, ERR_INPUT, EBADMSG, "JSON, line %zu, column %zu: %s", line, column,
		       why);
}

static void skip_space(struct reader *rd)
{
	while (rd->p < rd->end &&
	       (*rd->p == ' ' || *rd->p == '\n' || *rd->p == '\t' || *rd->p == '\r'))
		rd->p++;
}

/* The next byte without taking it; NUL at the end, which is no token either. */
static char peek(const struct reader *rd)
{
	return rd->p < rd->end ? *rd->p : '\0';
}

/* Put a finished value, or a container that just opened, where it belongs. */
static void put(struct reader *rd, struct json *v)
{
	struct json *top = rd->depth > 0 ? rd->stack[rd->depth - 1] : NULL;

	if (top == NULL)
		rd->root = v;
	else if (json_is_object(top))
		json_set(top, buf_str(&rd->key), v);
	else
		json_append(top, v);
}

static int hex4(struct reader *rd, uint32_t *ret)
{
	uint32_t value = 0;

	if (rd->end - rd->p < 4)
		return bad(rd, "incomplete \\u escape");
	for (int i = 0; i < 4; i++) {
		char c = rd->p[i];
		uint32_t digit;

		if (c >= '0' && c <= '9')
			digit = (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return bad(rd, "invalid \\u escape");
		value = value << 4 | digit;
	}
	rd->p += 4;
	*ret = value;
	return 0;
}

static void put_utf8(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_putc(out, (char)c);
		return;
	}
	if (c < 0x800) {
		buf_putc(out, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			buf_putc(out, (char)(0xe0 | c >> 12));
		} else {
			buf_putc(out, (char)(0xf0 | c >> 18));
			buf_putc(out, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		buf_putc(out, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	buf_putc(out, (char)(0x80 | (c & 0x3f)));
}

/* What follows "\u": one code unit, or a pair of surrogates. */
static int read_unicode(struct reader *rd)
{
	uint32_t c, low;
	int r = hex4(rd, &c);

	if (r < 0)
		return r;
	if (c >= 0xdc00 && c <= 0xdfff)
		return bad(rd, "lone surrogate");
	if (c >= 0xd800 && c <= 0xdbff) {
		if (rd->end - rd->p < 2 || rd->p[0] != '\\' || rd->p[1] != 'u')
			return bad(rd, "lone surrogate");
		rd->p += 2;
		r = hex4(rd, &low);
		if (r < 0)
			return r;
		if (low < 0xdc00 || low > 0xdfff)
			return bad(rd, "lone surrogate");
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	put_utf8(&rd->scratch, c);
	return 0;
}

static int read_escape(struct reader *rd)
{
	static const char names[] = "\"\\/bfnrt";
	static const char values[] = "\"\\/\b\f\n\r\t";
	char c = peek(rd);
	const char *at = c != '\0' ? strchr(names, c) : NULL;

	if (c != 'u' && at == NULL)
		return bad(rd, "invalid escape in a string");
	rd->p++;
	if (c == 'u')
		return read_unicode(rd);
	buf_putc(&rd->scratch, values[at - names]);
	return 0;
}

/* The bytes up to the next quote or backslash; *ret_n of them are plain text. */
static int read_plain(struct reader *rd, size_t *ret_n)
{
	const char *p = rd->p;

	while (p < rd->end && *p != '"' && *p != '\\') {
		uint32_t c = 0;
		size_t len = text_utf8_next(p, (size_t)(rd->end - p), &c);

		if (len == 0 || c < 0x20) {
			rd->p = p;
			return bad(rd, len == 0 ? "invalid UTF-8 in a string"
						: "control character in a string");
		}
		p += len;
	}
	if (p == rd->end)
		return bad(rd, "a string does not end");
	*ret_n = (size_t)(p - rd->p);
	return 0;
}

/*
 * A string, from its opening quote; *ret points into the text when it has no escapes, else into
 * scratch.
 */
static int read_string(struct reader *rd, const char **ret, size_t *ret_n)
{
	bool escaped = false;

	rd->p++;
	buf_reset(&rd->scratch);
	for (;;) {
		const char *from = rd->p;
		size_t n = 0;
		int r = read_plain(rd, &n);

		if (r < 0)
			return r;
		rd->p += n;
		if (*rd->p == '"' && !escaped) {
			*ret = from;
			*ret_n = n;
			break;
		}
		buf_add(&rd->scratch, from, n);
		if (*rd->p == '"') {
			*ret = buf_str(&rd->scratch);
			*ret_n = rd->scratch.len;
			break;
		}
		escaped = true;
		rd->p++;
		r = read_escape(rd);
		if (r < 0)
			return r;
	}
	rd->p++;
	return 0;
}

static size_t digits(const char *p)
{
	return strspn(p, "0123456789");
}

/* Length of the number at the front of a NUL-terminated text by the grammar; 0: none. */
static size_t number_length(const char *s, bool *ret_integer)
{
	const char *p = s + (*s == '-');
	size_t n = digits(p);

	if (n == 0 || (n > 1 && *p == '0'))
		return 0;
	p += n;
	*ret_integer = true;
	if (*p == '.') {
		n = digits(p + 1);
		if (n == 0)
			return 0;
		p += 1 + n;
		*ret_integer = false;
	}
	if (*p == 'e' || *p == 'E') {
		p++;
		p += *p == '+' || *p == '-';
		n = digits(p);
		if (n == 0)
			return 0;
		p += n;
		*ret_integer = false;
	}
	return (size_t)(p - s);
}

static int read_number(struct reader *rd)
{
	char text[NUMBER_MAX + 2];
	size_t have = (size_t)(rd->end - rd->p);
	bool integer = false;
	uint64_t u;
	double d;
	size_t n;

	have = have <= NUMBER_MAX ? have : NUMBER_MAX + 1;
	memcpy(text, rd->p, have);
	text[have] = '\0';
	n = number_length(text, &integer);
	if (n == 0)
		return bad(rd, "invalid number");
	if (n > NUMBER_MAX)
		return bad(rd, "a number is too long");
	text[n] = '\0';
	if (integer && text[0] != '-' && text_u64(text, UINT64_MAX, &u) == 0) {
		put(rd, json_uint(u));
	} else if (integer && text[0] == '-' &&
		   text_u64(text + 1, (uint64_t)INT64_MAX + 1, &u) == 0) {
		put(rd, json_int((int64_t)(0 - u)));
	} else {
		d = strtod(text, NULL);
		if (!isfinite(d))
			return bad(rd, "a number is out of range");
		put(rd, json_real(d, text));
	}
	rd->p += n;
	return 0;
}

static int read_word(struct reader *rd)
{
	static const char *const words[] = { "null", "true", "false" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(rd->end - rd->p) < n || memcmp(rd->p, words[i], n) != 0)
			continue;
		rd->p += n;
		put(rd, i == 0 ? NULL : json_bool(i == 1));
		return 0;
	}
	return bad(rd, rd->p == rd->end ? "a value is missing" : "a value was expected");
}

/* A member's name and its colon. */
static int read_key(struct reader *rd)
{
	const char *s;
	size_t n;
	int r;

	skip_space(rd);
	if (peek(rd) != '"')
		return bad(rd, "a member name was expected");
	r = read_string(rd, &s, &n);
	if (r < 0)
		return r;
	if (memchr(s, '\0', n) != NULL)
		return bad(rd, "NUL in a member name");
	buf_reset(&rd->key);
	buf_add(&rd->key, s, n);
	if (json_has(rd->stack[rd->depth - 1], rd->key.data))
		return bad(rd, "duplicate member name");
	skip_space(rd);
	if (peek(rd) != ':')
		return bad(rd, "a colon was expected");
	rd->p++;
	return 0;
}

/*
 * A scalar, or the opening of a container. *ret_open: a container opened and is not empty, so that
 * its first value comes next.
 */
static int read_value(struct reader *rd, bool *ret_open)
{
	struct json *v;
	const char *s;
	size_t n;
	char c;
	int r;

	skip_space(rd);
	c = peek(rd);
	*ret_open = false;
	if (c == '"') {
		r = read_string(rd, &s, &n);
		if (r == 0)
			put(rd, json_string_n(s, n));
		return r;
	}
	if (c == '-' || (c >= '0' && c <= '9'))
		return read_number(rd);
	if (c != '{' && c != '[')
		return read_word(rd);
	if (rd->depth == JSON_DEPTH_MAX)
		return bad(rd, "values are nested too deep");
	rd->p++;
	v = c == '{' ? json_object() : json_array();
	put(rd, v);
	rd->stack[rd->depth++] = v;
	skip_space(rd);
	if (peek(rd) == (c == '{' ? '}' : ']')) {
		rd->p++;
		rd->depth--;
		return 0;
	}
	*ret_open = true;
	return c == '{' ? read_key(rd) : 0;
}

/* After a value: close what ends here, up to a comma. *ret_done: the root is complete. */
static int read_after(struct reader *rd, bool *ret_done)
{
	while (rd->depth > 0) {
		bool in_object = json_is_object(rd->stack[rd->depth - 1]);
		char c;

		skip_space(rd);
		c = peek(rd);
		if (c == ',') {
			rd->p++;
			return in_object ? read_key(rd) : 0;
		}
		if (c != (in_object ? '}' : ']'))
			return bad(rd, in_object ? "',' or '}' was expected"
						 : "',' or ']' was expected");
		rd->p++;
		rd->depth--;
	}
	skip_space(rd);
	if (rd->p != rd->end)
		return bad(rd, "text behind the value");
	*ret_done = true;
	return 0;
}

int json_parse(const char *text, size_t n, struct json **ret, struct err *e)
{
	struct reader rd = { .start = text, .p = text, .end = text + n, .e = e };
	bool done = false;
	int r = 0;

	while (r == 0 && !done) {
		bool open = false;

		r = read_value(&rd, &open);
		if (r == 0 && !open)
			r = read_after(&rd, &done);
	}
	buf_free(&rd.key);
	buf_free(&rd.scratch);
	if (r < 0) {
		json_unref(rd.root);
		return r;
	}
	*ret = rd.root;
	return 0;
}
