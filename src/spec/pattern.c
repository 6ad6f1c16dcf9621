/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern: the regular expressions of kits' arguments.
 *
 * Authors write them in the dialect that most tools share (RE2, PCRE); regcomp(3) reads POSIX
 * extended expressions.  The two differ silently: `\d` is a letter d to POSIX, and a backslash
 * inside brackets is itself.  So a pattern is translated, and what POSIX cannot say is refused
 * instead of meaning something else.
 *
 * A pattern comes from a kit, that is from elsewhere, and regcomp's memory grows with the product
 * of nested repetitions: length, nesting and that product are bounded before it sees anything.
 * There are no back references, so matching takes time proportional to the value.
 */
#include <errno.h>
#include <regex.h>

#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

enum { PATTERN_MAX = 512, PATTERN_GROUPS_MAX = 32, PATTERN_REPEAT_MAX = 1000 };

/* Classes by letter, as the inside of a bracket expression. */
static const struct {
	char letter;
	const char *members;
} classes[] = {
	{ 'd', "0-9" },
	{ 'w', "A-Za-z0-9_" },
	{ 's', "[:space:]" },
};

static const char *class_of(char letter)
{
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		if (classes[i].letter == letter)
			return classes[i].members;
	}
	return NULL;
}

struct pattern_reader {
	const char *at;
	struct buf *out;
	unsigned groups;
	unsigned open;	   /* groups that are not closed yet */
	uint64_t repeated; /* product of the upper bounds of all {m,n} */
};

static bool is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static const char *take_escape(struct pattern_reader *p)
{
	char c = p->at[1];
	const char *members = class_of(c);

	if (c == '\0')
		return "it ends in a backslash";
	if (members)
		buf_printf(p->out, "[%s]", members);
	else if (is_letter_or_digit(c))
		return "of escapes only \\d, \\w and \\s are known";
	else
		buf_printf(p->out, "\\%c", c);
	p->at += 2;
	return NULL;
}

/* One member of a bracket expression; `-` and `]` are put aside, to go where POSIX wants them. */
static const char *take_member(struct pattern_reader *p, struct buf *members, bool *hyphen,
			       bool *bracket)
{
	const char *named;
	char c = *p->at;

	if (c == '[' && (p->at[1] == ':' || p->at[1] == '.' || p->at[1] == '=')) {
		const char *end = p->at[1] == ':' ? strstr(p->at + 2, ":]") : NULL;

		if (!end)
			return "of classes only [:name:] are known";
		buf_add(members, p->at, (size_t)(end + 2 - p->at));
		p->at = end + 2;
		return NULL;
	}
	if (c != '\\') {
		buf_putc(members, c);
		p->at++;
		return NULL;
	}
	c = p->at[1];
	named = class_of(c);
	if (named)
		buf_puts(members, named);
	else if (c == '-')
		*hyphen = true;
	else if (c == ']')
		*bracket = true;
	else if (c == '\0' || is_letter_or_digit(c) || c == '^')
		return "of escapes in brackets only \\d, \\w, \\s and punctuation are known";
	else
		buf_putc(members, c);
	p->at += 2;
	return NULL;
}

static const char *take_brackets(struct pattern_reader *p)
{
	auto_buf members = BUF_INIT;
	bool negated = p->at[1] == '^';
	bool hyphen = false, bracket = false;
	const char *why = NULL;

	p->at += negated ? 2 : 1;
	if (*p->at == ']')
		return "a bracket expression begins with ']': write \\]";
	while (!why && *p->at && *p->at != ']')
		why = take_member(p, &members, &hyphen, &bracket);
	if (why)
		return why;
	if (*p->at++ != ']')
		return "a bracket is not closed";
	/* `^` would negate, were it first; `]` must be first, `-` last. */
	if (members.len && members.data[0] == '^' && !negated && !bracket)
		return "'^' must not be first after '['";
	buf_printf(p->out, "[%s%s%s%s]", negated ? "^" : "", bracket ? "]" : "", buf_str(&members),
		   hyphen ? "-" : "");
	return NULL;
}

/* {m}, {m,} or {m,n} */
static const char *take_repeat(struct pattern_reader *p)
{
	const char *end = strchr(p->at, '}');
	auto_free char *text = end ? xstrndup(p->at + 1, (size_t)(end - p->at - 1)) : NULL;
	char *comma = text ? strchr(text, ',') : NULL;
	uint64_t low, high;

	if (!text)
		return "a brace is not closed";
	if (comma)
		*comma++ = '\0';
	if (text_u64(text, PATTERN_REPEAT_MAX, &low) < 0)
		return "a repetition must be {m}, {m,} or {m,n} of at most 1000";
	high = low ? low : 1;
	if (comma && *comma && (text_u64(comma, PATTERN_REPEAT_MAX, &high) < 0 || high < low))
		return "a repetition must be {m}, {m,} or {m,n} of at most 1000";
	p->repeated *= high ? high : 1;
	if (p->repeated > PATTERN_REPEAT_MAX)
		return "its repetitions multiply to more than 1000";
	buf_add(p->out, p->at, (size_t)(end + 1 - p->at));
	p->at = end + 1;
	return NULL;
}

static const char *take_open(struct pattern_reader *p)
{
	if (++p->groups > PATTERN_GROUPS_MAX)
		return "it has too many groups";
	p->open++;
	buf_putc(p->out, '(');
	p->at++;
	if (*p->at != '?')
		return NULL;
	if (p->at[1] != ':')
		return "of groups only (...) and (?:...) are known";
	p->at += 2;
	return NULL;
}

static const char *take_next(struct pattern_reader *p)
{
	switch (*p->at) {
	case '\\':
		return take_escape(p);
	case '[':
		return take_brackets(p);
	case '{':
		return take_repeat(p);
	case '(':
		return take_open(p);
	case ')':
		/* One more would close the group that the whole pattern is put into. */
		if (p->open-- == 0)
			return "a group is closed that was not opened";
		break;
	case '*':
	case '+':
	case '?':
		/* `*?` is lazy elsewhere; as the whole value is matched, it would mean the same. */
		if (p->at[1] == '?' || p->at[1] == '+' || p->at[1] == '*')
			return "a repetition follows a repetition";
		break;
	default:
		break;
	}
	buf_putc(p->out, *p->at++);
	return NULL;
}

const char *spec_pattern_match(const char *pattern, const char *value, bool *ret)
{
	auto_buf out = BUF_INIT;
	struct pattern_reader p = { .at = pattern, .out = &out, .repeated = 1 };
	const char *why = NULL;
	regex_t re;

	if (strlen(pattern) > PATTERN_MAX)
		return "it is longer than 512 bytes";
	buf_puts(&out, "^(");
	while (!why && *p.at)
		why = take_next(&p);
	if (!why && p.open)
		why = "a group is not closed";
	if (why)
		return why;
	buf_puts(&out, ")$");
	if (regcomp(&re, buf_str(&out), REG_EXTENDED | REG_NOSUB) != 0)
		return "it is not a regular expression";
	*ret = regexec(&re, value, 0, NULL, 0) == 0;
	regfree(&re);
	return NULL;
}
