/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gitconfig: one variable of a git configuration file (git-config(1), "Syntax").  Pure.
 *
 * The bytes are foreign.  Nothing is interpreted but sections, names and values: `[include]` is a
 * section like any other, and what it names is not read.  A file that git would refuse is refused,
 * and what git understands but nobody needs here (a name outside of every section) is, too.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "spec/spec_internal.h"

struct reader {
	const char *p;
	const char *end;
};

enum { END = -1 };

/* A line may end as on Windows. */
static int next_char(struct reader *r)
{
	if (r->p == r->end)
		return END;
	if (*r->p == '\r' && r->end - r->p > 1 && r->p[1] == '\n')
		r->p++;
	return (unsigned char)*r->p++;
}

static bool is_alpha(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_name(int c)
{
	return is_alpha(c) || (c >= '0' && c <= '9') || c == '-';
}

static bool is_blank(int c)
{
	return c == ' ' || c == '\t';
}

static void skip_line(struct reader *r)
{
	int c;

	do
		c = next_char(r);
	while (c != '\n' && c != END);
}

/* After '['. *ret_match: it is the section asked for, without a subsection. */
static int read_section(struct reader *r, const char *section, bool *ret_match)
{
	auto_buf name = BUF_INIT;
	int c = next_char(r);

	for (; is_name(c) || c == '.'; c = next_char(r))
		buf_putc(&name, (char)c);
	if (name.len == 0)
		return -EINVAL;
	*ret_match = c == ']' && strcasecmp(buf_str(&name), section) == 0;
	if (c == ']')
		return 0;
	while (is_blank(c))
		c = next_char(r);
	if (c != '"')
		return -EINVAL;
	while ((c = next_char(r)) != '"') {
		if (c == '\\')
			c = next_char(r);
		if (c == '\n' || c == END)
			return -EINVAL;
	}
	return next_char(r) == ']' ? 0 : -EINVAL;
}

/* What `\` and c mean in a value; 0: nothing. A newline is a line that goes on. */
static int unescape(int c)
{
	switch (c) {
	case 't':
		return '\t';
	case 'b':
		return '\b';
	case 'n':
		return '\n';
	case '\\':
	case '"':
	case '\n':
		return c;
	default:
		return 0;
	}
}

/* After '='. Blanks around a value are not part of it, unless quoted. */
static int read_value(struct reader *r, struct buf *out)
{
	bool quoted = false;
	size_t keep = 0; /* the length without blanks that may be trailing */

	for (;;) {
		int c = next_char(r);

		if (c == '\n' || c == END) {
			buf_truncate(out, keep);
			return quoted ? -EINVAL : 0;
		}
		if (!quoted && (c == '#' || c == ';')) {
			skip_line(r);
			buf_truncate(out, keep);
			return 0;
		}
		if (!quoted && is_blank(c)) {
			if (out->len)
				buf_putc(out, (char)c);
			continue;
		}
		if (c == '"') {
			quoted = !quoted;
			keep = out->len;
			continue;
		}
		if (c == '\\') {
			int escaped = next_char(r);

			c = unescape(escaped);
			if (c == 0)
				return -EINVAL;
			if (escaped == '\n')
				continue;
		}
		buf_putc(out, (char)c);
		keep = out->len;
	}
}

/* A variable that begins with c. *ret_match: it is the one asked for, with its value in out. */
static int read_variable(struct reader *r, int c, const char *name, struct buf *out,
			 bool *ret_match)
{
	auto_buf found = BUF_INIT;

	for (; is_name(c); c = next_char(r))
		buf_putc(&found, (char)c);
	*ret_match = strcasecmp(buf_str(&found), name) == 0;
	while (is_blank(c))
		c = next_char(r);
	if (c == '\n' || c == END) {
		buf_puts(out, "true"); /* git-config(1): a name alone */
		return 0;
	}
	return c == '=' ? read_value(r, out) : -EINVAL;
}

int gitconfig_get(const char *text, size_t n, const char *section, const char *name, char **ret,
		  struct err *e)
{
	struct reader r = { text, text + n };
	auto_free char *last = NULL;
	bool any = false; /* in a section */
	bool in = false;  /* in the one asked for */
	int c;

	if (n && memchr(text, '\0', n))
		goto bad;
	while ((c = next_char(&r)) != END) {
		auto_buf value = BUF_INIT;
		bool match = false;

		if (is_blank(c) || c == '\n')
			continue;
		if (c == '#' || c == ';') {
			skip_line(&r);
			continue;
		}
		if (c == '[') {
			if (read_section(&r, section, &in) < 0)
				goto bad;
			any = true;
			continue;
		}
		if (!any || !is_alpha(c) || read_variable(&r, c, name, &value, &match) < 0)
			goto bad;
		if (in && match) {
			free(last);
			last = buf_steal(&value);
		}
	}
	*ret = steal(&last);
	return 0;
bad:
	return err_set(e, ERR_INPUT, -EINVAL, "no configuration file of git");
}
