/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dockerfile_words: words, quotes and variables of a Dockerfile's instructions, by the rules of a
 * shell as far as they go.
 *
 * Invariants: what is put out is at most DOCKERFILE_VALUE_MAX bytes, however variables multiply it;
 * the words within ${X:-word} nest DOCKERFILE_NESTING_MAX deep.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "image/dockerfile.h"

static int no_quote(struct err *e)
{
	return err_set(e, ERR_INPUT, -EINVAL, "a quote is not closed");
}

int dockerfile_split(const char *text, char escape, struct strv *ret, struct err *e)
{
	const char *p = text + strspn(text, " \t");

	while (*p) {
		const char *start = p;
		char quote = '\0';

		for (; *p && (quote || (*p != ' ' && *p != '\t')); p++) {
			if (*p == escape && quote != '\'' && p[1])
				p++;
			else if (quote ? *p == quote : (*p == '"' || *p == '\''))
				quote = quote ? '\0' : *p;
		}
		if (quote)
			return no_quote(e);
		if (ret->n == DOCKERFILE_WORDS_MAX)
			return err_set(e, ERR_INPUT, -E2BIG, "more than %d words",
				       DOCKERFILE_WORDS_MAX);
		strv_take(ret, xstrndup(start, (size_t)(p - start)));
		p += strspn(p, " \t");
	}
	return 0;
}

struct expansion {
	char escape;
	enum dockerfile_expand how;
	const struct strv *vars;
	struct buf out;
};

static int put(struct expansion *x, const char *bytes, size_t n, struct err *e)
{
	if (n > DOCKERFILE_VALUE_MAX - x->out.len)
		return err_set(e, ERR_INPUT, -E2BIG, "longer than %d KiB with its variables",
			       DOCKERFILE_VALUE_MAX >> 10);
	buf_add(&x->out, bytes, n);
	return 0;
}

static size_t name_length(const char *p, const char *end)
{
	size_t n = 0;

	if (p < end && (isalpha((unsigned char)*p) || *p == '_'))
		while (p + n < end && (isalnum((unsigned char)p[n]) || p[n] == '_'))
			n++;
	return n;
}

/* The brace that closes what begins behind p. */
static const char *closing(const char *p, const char *end, char escape)
{
	unsigned depth = 1;

	for (; p < end; p++) {
		if (*p == escape && p + 1 < end)
			p++;
		else if (p + 1 < end && p[0] == '$' && p[1] == '{')
			depth++;
		else if (*p == '}' && --depth == 0)
			return p;
	}
	return NULL;
}

static int expand(struct expansion *x, const char *p, const char *end, unsigned depth,
		  struct err *e);

/* ${NAME} and ${NAME:OPERATOR WORD}; p is behind the brace, end at the closing one. */
static int braces(struct expansion *x, const char *p, const char *end, unsigned depth,
		  struct err *e)
{
	size_t n = name_length(p, end);
	auto_free char *name = xstrndup(p, n);
	const char *value = n ? strv_env_get(x->vars, name) : NULL;
	bool colon;

	if (!n)
		return err_set(e, ERR_INPUT, -EINVAL, "${…} without the name of a variable");
	p += n;
	if (p == end)
		return value ? put(x, value, strlen(value), e) : 0;
	colon = *p == ':';
	p += colon;
	if (colon && value && !*value)
		value = NULL;
	switch (p < end ? *p : '\0') {
	case '-':
		return value ? put(x, value, strlen(value), e) : expand(x, p + 1, end, depth, e);
	case '+':
		return value ? expand(x, p + 1, end, depth, e) : 0;
	case '?': {
		auto_free char *why = xstrndup(p + 1, (size_t)(end - p - 1));
		auto_free char *shown = text_escaped(why);

		if (value)
			return put(x, value, strlen(value), e);
		return err_set(e, ERR_INPUT, -EINVAL, "variable %.100s: %.200s", name,
			       *shown ? shown : "it is not set");
	}
	default:
		err_set(e, ERR_REFUSED, -EOPNOTSUPP,
			"${%.100s…}: only :-, -, :+, + and :? may follow the name", name);
		return err_hint(e, "let a RUN do it: the shell knows more"), -EOPNOTSUPP;
	}
}

/* *at is at the dollar sign. */
static int variable(struct expansion *x, const char **at, const char *end, unsigned depth,
		    struct err *e)
{
	const char *p = *at + 1;
	size_t n = name_length(p, end);

	if (n) {
		auto_free char *name = xstrndup(p, n);
		const char *value = strv_env_get(x->vars, name);

		*at = p + n;
		return value ? put(x, value, strlen(value), e) : 0;
	}
	if (p < end && *p == '{') {
		const char *close = closing(p + 1, end, x->escape);

		if (!close)
			return err_set(e, ERR_INPUT, -EINVAL, "${ is not closed");
		if (depth == DOCKERFILE_NESTING_MAX)
			return err_set(e, ERR_INPUT, -E2BIG, "variables nested too deep");
		*at = close + 1;
		return braces(x, p + 1, close, depth + 1, e);
	}
	*at = p;
	return put(x, "$", 1, e);
}

/* Within double quotes, and in here-documents, the escape means something in front of few. */
static bool escapes(char quote, enum dockerfile_expand how, char escape, char next)
{
	if (how == DOCKERFILE_HEREDOC)
		return next == '$' || next == escape;
	return !quote || next == '"' || next == '$' || next == escape;
}

/* Its depth is bounded: see variable(). */
static int expand(struct expansion *x, const char *p, const char *end, unsigned depth,
		  struct err *e)
{
	bool word = x->how == DOCKERFILE_WORD;
	char quote = '\0';
	int r = 0;

	while (r == 0 && p < end) {
		if (quote == '\'') {
			if (*p == '\'')
				quote = '\0';
			else
				r = put(x, p, 1, e);
			p++;
		} else if (*p == x->escape && p + 1 < end) {
			bool taken = escapes(quote, x->how, x->escape, p[1]);

			r = put(x, taken ? p + 1 : p, taken ? 1 : 2, e);
			p += 2;
		} else if (word && (*p == '"' || *p == '\'') && (!quote || quote == *p)) {
			quote = quote ? '\0' : *p;
			p++;
		} else if (*p == '$') {
			r = variable(x, &p, end, depth, e);
		} else {
			r = put(x, p++, 1, e);
		}
	}
	return r == 0 && quote ? no_quote(e) : r;
}

int dockerfile_expand(const char *text, char escape, enum dockerfile_expand how,
		      const struct strv *vars, char **ret, struct err *e)
{
	struct expansion x = { .escape = escape, .how = how, .vars = vars };
	int r = expand(&x, text, text + strlen(text), 0, e);

	if (r == 0)
		*ret = x.out.len ? buf_steal(&x.out) : xstrdup("");
	buf_free(&x.out);
	return r;
}

static int add_pair(struct strv *ret, const char *key, const char *value, struct err *e)
{
	auto_free char *shown = text_escaped(key);

	if (!*key || strchr(key, '='))
		return err_set(e, ERR_INPUT, -EINVAL, "'%.60s': not a name", shown);
	strv_env_set(ret, key, value);
	return 0;
}

int dockerfile_pairs(const struct dockerfile_instruction *i, char escape, const struct strv *vars,
		     struct strv *ret, struct err *e)
{
	auto_strv words = STRV_INIT;
	int r = dockerfile_split(i->args, escape, &words, e);

	if (r == 0 && words.n && !strchr(words.v[0], '=')) {
		const char *rest = i->args + strlen(words.v[0]);
		auto_free char *value = NULL;

		if (words.n == 1)
			return err_set(e, ERR_INPUT, -EINVAL, "%s must have two arguments",
				       dockerfile_kind_name(i->kind));
		rest += strspn(rest, " \t");
		r = dockerfile_expand(rest, escape, DOCKERFILE_WORD, vars, &value, e);
		return r < 0 ? r : add_pair(ret, words.v[0], value, e);
	}
	for (size_t k = 0; r == 0 && k < words.n; k++) {
		const char *eq = strchr(words.v[k], '=');
		auto_free char *raw = eq ? xstrndup(words.v[k], (size_t)(eq - words.v[k])) : NULL;
		auto_free char *key = NULL;
		auto_free char *value = NULL;
		auto_free char *shown = text_escaped(words.v[k]);

		if (!eq)
			return err_set(e, ERR_INPUT, -EINVAL, "'%.60s': not NAME=VALUE", shown);
		r = dockerfile_expand(raw, escape, DOCKERFILE_WORD, vars, &key, e);
		if (r == 0)
			r = dockerfile_expand(eq + 1, escape, DOCKERFILE_WORD, vars, &value, e);
		if (r == 0)
			r = add_pair(ret, key, value, e);
	}
	return r;
}
