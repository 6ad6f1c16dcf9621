/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dockerignore: which files of a context are left out.
 *
 * The patterns are Docker's: those of Go's filepath.Match (*, ?, [a-z], [^a], a backslash in front
 * of what is meant as it is), none of which matches a slash, and `**` for any number of
 * directories. A pattern that matches a directory covers what is in it.  The last pattern that
 * matches decides; one with ! in front brings back.
 *
 * Matching is a walk over pairs of positions with one point of return for `*` and one for `**`
 * (the last of each; trying earlier ones cannot find more), so its time is bounded by the product
 * of the lengths, squared at worst, and nothing recurses.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "image/dockerfile.h"

/* --- one pattern ------------------------------------------------------------------------------ */

/* One character of the pattern that is not a star, against one of the path; *p is advanced. */
static bool match_one(const char **p, char c)
{
	bool negated, found = false;

	switch (**p) {
	case '?':
		(*p)++;
		return c != '/';
	case '\\':
		if ((*p)[1])
			(*p)++;
		break;
	case '[':
		(*p)++;
		negated = **p == '^';
		*p += negated;
		for (bool first = true; **p && (first || **p != ']'); first = false) {
			unsigned char low, high;

			*p += **p == '\\' && (*p)[1];
			low = high = (unsigned char)*(*p)++;
			if (**p == '-' && (*p)[1] && (*p)[1] != ']') {
				(*p)++;
				*p += **p == '\\' && (*p)[1];
				high = (unsigned char)*(*p)++;
			}
			found |= low <= (unsigned char)c && (unsigned char)c <= high;
		}
		if (!**p)
			return false; /* it is not closed */
		(*p)++;
		return found != negated && c != '/';
	default:
		break;
	}
	return *(*p)++ == c;
}

/* `**` with what is around it: at the front of a component, and the whole of one. */
static const char *double_star(const char *pattern, const char *p)
{
	if (p[0] != '*' || p[1] != '*' || (p != pattern && p[-1] != '/'))
		return NULL;
	p += 2;
	while (*p == '*')
		p++;
	return *p == '/' || !*p ? p : NULL;
}

bool dockerignore_glob(const char *pattern, const char *path)
{
	const char *p = pattern;
	const char *s = path;
	const char *star = NULL, *star_at = NULL; /* behind the last `*`; where it stops */
	const char *deep = NULL, *deep_at = NULL; /* the same of `**` */

	for (;;) {
		const char *behind = double_star(pattern, p);
		const char *next = p;

		if (behind && !*behind)
			return *s != '\0' || p == pattern;
		if (behind) { /* first as no directory at all */
			deep = p = behind + 1;
			deep_at = s;
			star = NULL;
			continue;
		}
		if (*p == '*') {
			while (*p == '*')
				p++;
			star = p;
			star_at = s;
			continue;
		}
		if (!*p && !*s)
			return true;
		if (*p && *s && match_one(&next, *s)) {
			p = next;
			s++;
			continue;
		}
		if (star && *star_at && *star_at != '/') {
			s = ++star_at;
			p = star;
			continue;
		}
		/* One directory more. */
		deep_at = deep ? strchr(deep_at, '/') : NULL;
		if (!deep_at)
			return false;
		s = ++deep_at;
		p = deep;
		star = NULL;
	}
}

/* --- the file --------------------------------------------------------------------------------- */

void dockerignore_clear(struct dockerignore *d)
{
	strv_free(&d->patterns);
}

/* Without "." and doubled slashes; ".." takes the component before it away. */
static void clean(const char *p, struct buf *out)
{
	size_t start = out->len;

	while (*p) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.') {
			while (out->len > start && out->data[out->len - 1] != '/')
				out->len--;
			if (out->len > start)
				out->len--;
			out->data[out->len] = '\0';
		} else if (n && !(n == 1 && *p == '.')) {
			if (out->len > start)
				buf_putc(out, '/');
			buf_add(out, p, n);
		}
		p += n;
		p += *p == '/';
	}
}

/* Is every range closed, and nothing behind the last backslash missing? */
static bool well_formed(const char *p)
{
	for (; *p; p++) {
		if (*p == '\\' && !*++p)
			return false;
		if (*p != '[')
			continue;
		p++;
		p += *p == '^';
		for (bool first = true; first || *p != ']'; first = false) {
			if (*p == '\\')
				p++;
			if (!*p++)
				return false;
		}
	}
	return true;
}

static int add_line(struct dockerignore *d, const char *p, size_t n, unsigned line, struct err *e)
{
	auto_buf out = BUF_INIT;
	auto_free char *text = NULL;
	const char *at;
	size_t front;

	while (n && strchr(" \t\r", p[n - 1]))
		n--;
	while (n && strchr(" \t", *p)) {
		p++;
		n--;
	}
	if (!n || *p == '#')
		return 0;
	text = xstrndup(p, n);
	at = text;
	buf_puts(&out, "");
	if (*at == '!') {
		buf_putc(&out, '!');
		at += 1 + strspn(at + 1, " \t");
		if (!*at)
			return err_set(e, ERR_INPUT, -EINVAL, ".dockerignore:%u: '!' alone", line);
	}
	front = out.len;
	clean(at, &out);
	if (out.len == front) /* "." or "/": the context itself is never left out */
		return 0;
	if (!well_formed(buf_str(&out) + front)) {
		auto_free char *shown = text_escaped(text);

		return err_set(e, ERR_INPUT, -EINVAL, ".dockerignore:%u: '%.100s' is no pattern",
			       line, shown);
	}
	if (d->patterns.n == DOCKERIGNORE_PATTERNS_MAX)
		return err_set(e, ERR_INPUT, -E2BIG, ".dockerignore: more than %d patterns",
			       DOCKERIGNORE_PATTERNS_MAX);
	strv_add(&d->patterns, buf_str(&out));
	return 0;
}

int dockerignore_parse(const char *text, size_t n, struct dockerignore *ret, struct err *e)
{
	struct dockerignore d = { 0 };
	const char *p = text, *end = text + n;
	int r = 0;

	if (n > DOCKERFILE_BYTES_MAX)
		return err_set(e, ERR_INPUT, -EFBIG, ".dockerignore: larger than 1 MiB");
	if (n && !text_is_utf8(text, n))
		return err_set(e, ERR_INPUT, -EINVAL, ".dockerignore: it is not text (UTF-8)");
	if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
		p += 3;
	for (unsigned line = 1; r == 0 && p < end; line++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));

		r = add_line(&d, p, (size_t)((nl ? nl : end) - p), line, e);
		p = nl ? nl + 1 : end;
	}
	if (r < 0)
		dockerignore_clear(&d);
	else
		*ret = d;
	return r;
}

/* The path, or one of the directories that it is in. */
static bool covers(const char *pattern, const char *path)
{
	auto_free char *copy = NULL;
	char *slash;

	if (dockerignore_glob(pattern, path))
		return true;
	copy = xstrdup(path);
	while ((slash = strrchr(copy, '/'))) {
		*slash = '\0';
		if (dockerignore_glob(pattern, copy))
			return true;
	}
	return false;
}

bool dockerignore_matches(const struct dockerignore *d, const char *path)
{
	for (size_t i = d->patterns.n; i > 0; i--) {
		const char *p = d->patterns.v[i - 1];
		bool exception = *p == '!';

		if (covers(p + exception, path))
			return !exception;
	}
	return false;
}

bool dockerignore_looks_into(const struct dockerignore *d, const char *dir)
{
	(void)dir;
	/* Which files a pattern could still match is not worth guessing. */
	for (size_t i = 0; i < d->patterns.n; i++) {
		if (d->patterns.v[i][0] == '!')
			return true;
	}
	return false;
}
