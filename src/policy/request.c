/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request: the part of a rule behind its host: methods and a path.
 *
 *   HOST[:PORT] [METHOD[,METHOD...]] [/PATH]
 *
 * In a path, * stands for any bytes within one segment and ** for any bytes at all; the query of a
 * request is not looked at.  What counts is the normal form of a path (RFC 3986, 6.2.2): encoded
 * letters decoded, the rest of the encodings in capitals.  A path that servers read in different
 * ways (dot segments, //, encoded slashes, backslashes) has none: no allow rule with a path matches
 * it, and every deny rule does.  The same holds for a connection that is not looked into at all,
 * such as TLS: what cannot be seen is not allowed by a rule about it, and is denied by one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "policy/policy_internal.h"

enum { METHODS_MAX = 128, PATTERN_PATH_MAX = 256, PATH_MAX_LOOKED_AT = 2048 };

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool is_unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

/* "", ".", "..", and what some servers make of "..;x". The last segment may be empty. */
static bool segment_is_ambiguous(const char *s, size_t n, bool last)
{
	size_t dots = 0;

	while (dots < n && s[dots] == '.')
		dots++;
	return (n == 0 && !last) || (dots > 0 && dots <= 2 && (dots == n || s[dots] == ';'));
}

static bool segments_are_clear(const char *path, size_t n)
{
	for (size_t i = 1, start = 1; i <= n; i++) {
		if (i < n && path[i] != '/')
			continue;
		if (segment_is_ambiguous(path + start, i - start, i == n))
			return false;
		start = i + 1;
	}
	return true;
}

/* The normal form in out, of at most max - 1 bytes; false when there is none. */
static bool normalise(const char *path, size_t n, char *out, size_t max)
{
	size_t len = 0;

	if (n == 0 || path[0] != '/' || n >= max)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)path[i];
		int hi, lo;

		if (c <= 0x20 || c >= 0x7f || c == '\\' || c == '#' || c == '?')
			return false;
		if (c != '%') {
			out[len++] = (char)c;
			continue;
		}
		hi = i + 2 < n ? hex(path[i + 1]) : -1;
		lo = i + 2 < n ? hex(path[i + 2]) : -1;
		if (hi < 0 || lo < 0)
			return false;
		c = (unsigned char)(hi << 4 | lo);
		if (c == '/' || c == '\\' || c == '\0' || c == '%')
			return false;
		i += 2;
		if (is_unreserved(c)) {
			out[len++] = (char)c;
			continue;
		}
		out[len++] = '%';
		out[len++] = "0123456789ABCDEF"[c >> 4];
		out[len++] = "0123456789ABCDEF"[c & 15];
	}
	out[len] = '\0';
	return segments_are_clear(out, len);
}

/* Only the last star of each kind can still give way: * never crosses the slash that ** may. */
static bool glob(const char *pattern, const char *path)
{
	const char *deep = NULL, *deep_at = NULL, *star = NULL, *star_at = NULL;

	for (;;) {
		if (pattern[0] == '*' && pattern[1] == '*') {
			deep = pattern += 2;
			deep_at = path;
			star = NULL;
		} else if (pattern[0] == '*') {
			star = ++pattern;
			star_at = path;
		} else if (pattern[0] == *path) {
			if (*path == '\0')
				return true;
			pattern++;
			path++;
		} else if (star != NULL && *star_at != '\0' && *star_at != '/') {
			pattern = star;
			path = ++star_at;
		} else if (deep != NULL && *deep_at != '\0') {
			pattern = deep;
			path = ++deep_at;
			star = NULL;
		} else {
			return false;
		}
	}
}

static bool method_listed(const char *list, size_t n, const char *method, size_t len)
{
	for (size_t i = 0; i < n;) {
		const char *comma = memchr(list + i, ',', n - i);
		size_t one = comma == NULL ? n - i : (size_t)(comma - list) - i;

		if (one == len && memcmp(list + i, method, len) == 0)
			return true;
		i += one + 1;
	}
	return false;
}

bool rule_matches_request(const struct rule *rule, const struct policy_request *q)
{
	const struct rule_pattern *p = &rule->pattern;
	char path[PATH_MAX_LOOKED_AT];

	if (p->methods_len == 0 && p->path_at == 0)
		return true;
	if (q == NULL)
		return !rule->allow;
	if (p->methods_len > 0 &&
	    !method_listed(rule->text + p->methods_at, p->methods_len, q->method, q->method_len))
		return false;
	if (p->path_at == 0)
		return true;
	if (!normalise(q->path, q->path_len, path, sizeof(path)))
		return !rule->allow;
	return glob(rule->text + p->path_at, path);
}

/* --- the text of a rule ---------------------------------------------------------------------- */

static bool is_method_list(const char *word, size_t n)
{
	bool begins = true; /* a method */

	if (n == 0 || n >= METHODS_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = word[i];

		if (!(c >= 'A' && c <= 'Z') && !(!begins && (c == ',' || c == '-')))
			return false;
		begins = c == ',';
	}
	return !begins;
}

static size_t skip_blanks(const char *s)
{
	return strspn(s, " ");
}

const char *rule_request_parse(const char *text, struct rule_request *ret)
{
	struct rule_request q = { 0 };
	size_t n;

	text += skip_blanks(text);
	n = strcspn(text, " ");
	if (n > 0 && text[0] != '/') {
		if (!is_method_list(text, n))
			return "behind the host come methods in capitals, as GET or GET,HEAD, and "
			       "a path that begins with a slash";
		memcpy(q.methods, text, n);
		text += n;
		text += skip_blanks(text);
		n = strcspn(text, " ");
	}
	if (n > 0) {
		if (n >= PATTERN_PATH_MAX || text[0] != '/' ||
		    !normalise(text, n, q.path, sizeof(q.path)))
			return "the path is too long, or servers would read it in different ways; "
			       "write it as /repos/**";
		if (strstr(q.path, "***") != NULL)
			return "three stars in the path; * is within one segment, ** is any depth";
		text += n;
	}
	if (text[skip_blanks(text)] != '\0')
		return "something is behind the path";
	*ret = q;
	return NULL;
}
