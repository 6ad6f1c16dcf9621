/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dockerfile: the text of a Dockerfile as a list of instructions.
 *
 * One pass over the lines.  Directives (`# escape=`) count above everything else only.  A comment
 * is a line that begins with #, also in the middle of a continued instruction; empty lines there
 * mean nothing either.  When an instruction is complete, the markers of here-documents in it are
 * found, and the following lines up to each delimiter are theirs, whatever they hold.
 */
#include "image/dockerfile.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

enum { SHOWN_MAX = 60, FLAG_TEXT_MAX = 256 };

/* --- tables ----------------------------------------------------------------------------------- */

struct kind_info {
	const char *name;
	const char *flags; /* "a|b": those that Ward knows */
	bool heredocs;
	bool json; /* args may be a JSON array */
};
static const struct kind_info kinds[] = {
	[DOCKERFILE_FROM] = { "FROM", "platform" },
	[DOCKERFILE_RUN] = { "RUN", "", .heredocs = true, .json = true },
	[DOCKERFILE_COPY] = { "COPY", "from|chown|chmod|link", .heredocs = true, .json = true },
	[DOCKERFILE_ADD] = { "ADD", "chown|chmod|link", .heredocs = true, .json = true },
	[DOCKERFILE_ENV] = { "ENV" },
	[DOCKERFILE_ARG] = { "ARG" },
	[DOCKERFILE_WORKDIR] = { "WORKDIR" },
	[DOCKERFILE_USER] = { "USER" },
	[DOCKERFILE_SHELL] = { "SHELL", .json = true },
	[DOCKERFILE_LABEL] = { "LABEL" },
	[DOCKERFILE_ENTRYPOINT] = { "ENTRYPOINT", .json = true },
	[DOCKERFILE_CMD] = { "CMD", .json = true },
};
_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == DOCKERFILE_KIND_MAX, "every kind has a row");

/* Flags that may stand without a value. */
static const char switches[] = "link";

/* What the language has besides, and what to do about it. */
static const struct {
	const char *name;
	const char *hint;
} refused[] = {
	{ "EXPOSE", "remove the line: ports are published with ward run -p" },
	{ "VOLUME", "remove the line: volumes are given with ward run -v" },
	{ "HEALTHCHECK", "remove the line: a sandbox has no health check" },
	{ "STOPSIGNAL", "remove the line: programs of a sandbox get SIGTERM" },
	{ "ONBUILD", "write the instruction into the Dockerfile that it is for" },
	{ "MAINTAINER", "LABEL org.opencontainers.image.authors=\"NAME\"" },
};

const char *dockerfile_kind_name(enum dockerfile_kind k)
{
	return k < DOCKERFILE_KIND_MAX ? kinds[k].name : "?";
}

static void instruction_clear(struct dockerfile_instruction *i)
{
	free(i->text);
	free(i->args);
	strv_free(&i->words);
	for (size_t k = 0; k < i->nflags; k++) {
		free(i->flags[k].name);
		free(i->flags[k].value);
	}
	for (size_t k = 0; k < i->nheredocs; k++) {
		free(i->heredocs[k].name);
		free(i->heredocs[k].content);
	}
}

void dockerfile_free(struct dockerfile *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n; i++)
		instruction_clear(&d->v[i]);
	free(d->v);
	free(d);
}

const char *dockerfile_flag(const struct dockerfile_instruction *i, const char *name)
{
	for (size_t k = 0; k < i->nflags; k++) {
		if (strcmp(i->flags[k].name, name) == 0)
			return i->flags[k].value ? i->flags[k].value : "";
	}
	return NULL;
}

/* --- lines ------------------------------------------------------------------------------------ */

struct parser {
	const char *name;
	const char *p;
	const char *end;
	unsigned line; /* of p, from 1 */
	struct dockerfile *d;
	unsigned first; /* line of the present instruction */
};

struct line {
	const char *p;
	size_t n; /* without the end of the line */
};

static int bad(const struct parser *ps, enum err_kind kind, const char *why, const char *what,
	       struct err *e)
{
	auto_buf shown = BUF_INIT;

	if (what)
		text_escape(&shown, what, strlen(what), SHOWN_MAX);
	return err_set(e, kind, -EINVAL, "%s:%u: %s%s%s%s", ps->name, ps->first, why,
		       what ? " '" : "", buf_str(&shown), what ? "'" : "");
}

static bool next_line(struct parser *ps, struct line *ret)
{
	const char *nl;

	if (ps->p >= ps->end)
		return false;
	nl = memchr(ps->p, '\n', (size_t)(ps->end - ps->p));
	ret->p = ps->p;
	ret->n = (size_t)((nl ? nl : ps->end) - ps->p);
	ps->p = nl ? nl + 1 : ps->end;
	ps->line++;
	if (ret->n && ret->p[ret->n - 1] == '\r')
		ret->n--;
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct line trimmed(struct line l)
{
	while (l.n && is_blank(*l.p)) {
		l.p++;
		l.n--;
	}
	while (l.n && is_blank(l.p[l.n - 1]))
		l.n--;
	return l;
}

/* Does the line go on? Then the escape and the blanks behind it are taken from *l. */
static bool continues(const struct parser *ps, struct line *l)
{
	size_t n = l->n;

	while (n && is_blank(l->p[n - 1]))
		n--;
	if (!n || l->p[n - 1] != ps->d->escape)
		return false;
	l->n = n - 1;
	return true;
}

/* `# key=value` above everything else. False: the line is no directive. */
static bool directive(struct parser *ps, struct line l, int *ret, struct err *e)
{
	auto_free char *text = NULL;
	char *key, *eq;
	size_t n;

	*ret = 0;
	l = trimmed(l);
	if (!l.n || *l.p != '#')
		return false;
	text = xstrndup(l.p + 1, l.n - 1);
	key = text + strspn(text, " \t");
	eq = strchr(key, '=');
	if (!eq)
		return false;
	n = strcspn(key, " \t=");
	if (key + n + strspn(key + n, " \t") != eq)
		return false;
	key[n] = '\0';
	eq += 1 + strspn(eq + 1, " \t");
	if (strcasecmp(key, "syntax") == 0 || strcasecmp(key, "check") == 0)
		return true;
	if (strcasecmp(key, "escape") != 0)
		return false;
	if (strcmp(eq, "\\") != 0 && strcmp(eq, "`") != 0)
		*ret = bad(ps, ERR_INPUT, "escape is \\ or `, and not", eq, e);
	else
		ps->d->escape = *eq;
	return true;
}

static int directives(struct parser *ps, struct err *e)
{
	for (;;) {
		struct parser before = *ps;
		struct line l;
		int r = 0;

		ps->first = ps->line;
		if (!next_line(ps, &l))
			return 0;
		if (!directive(ps, l, &r, e)) {
			*ps = before;
			return 0;
		}
		if (r < 0)
			return r;
	}
}

/* The next instruction with its continuations joined; false at the end of the file. */
static bool logical_line(struct parser *ps, struct buf *out)
{
	bool more = false;
	struct line l;

	buf_reset(out);
	for (;;) {
		unsigned line = ps->line;
		struct line t;

		if (!next_line(ps, &l))
			return out->len > 0;
		t = trimmed(l);
		if (!t.n || *t.p == '#')
			continue;
		if (!more) {
			ps->first = line;
			l.n -= (size_t)(t.p - l.p);
			l.p = t.p;
		}
		more = continues(ps, &l);
		buf_add(out, l.p, l.n);
		if (!more)
			return true;
	}
}

/* --- here-documents ----------------------------------------------------------------------------
 */

static int add_marker(struct parser *ps, struct dockerfile_instruction *i, const char *p, size_t n,
		      bool chomp, struct err *e)
{
	struct dockerfile_heredoc *h = &i->heredocs[i->nheredocs];
	char quote = n >= 2 && (*p == '"' || *p == '\'') && p[n - 1] == *p ? *p : '\0';
	auto_buf content = BUF_INIT;
	struct line l;

	if (i->nheredocs == DOCKERFILE_HEREDOCS_MAX)
		return bad(ps, ERR_INPUT, "too many here-documents", NULL, e);
	if (quote) {
		p++;
		n -= 2;
	}
	*h = (struct dockerfile_heredoc){ .name = xstrndup(p, n), .expand = !quote };
	i->nheredocs++;
	while (next_line(ps, &l)) {
		while (chomp && l.n && *l.p == '\t') {
			l.p++;
			l.n--;
		}
		if (l.n == n && memcmp(l.p, p, n) == 0) {
			h->content = buf_steal(&content);
			if (!h->content)
				h->content = xstrdup("");
			return 0;
		}
		buf_add(&content, l.p, l.n);
		buf_putc(&content, '\n');
	}
	return bad(ps, ERR_INPUT, "the file ends within the here-document", h->name, e);
}

/* The end of the word that begins at p: a blank outside of quotes. */
static const char *word_end(const char *p, char escape)
{
	char quote = '\0';

	for (; *p; p++) {
		if (*p == escape && quote != '\'' && p[1])
			p++;
		else if (quote ? *p == quote : (*p == '"' || *p == '\''))
			quote = quote ? '\0' : *p;
		else if (!quote && is_blank(*p))
			break;
	}
	return p;
}

/* Words of the shape [DIGITS]<<[-]NAME. */
static int heredocs(struct parser *ps, struct dockerfile_instruction *i, struct err *e)
{
	for (const char *p = i->args + strspn(i->args, " \t"); *p; p += strspn(p, " \t")) {
		const char *end = word_end(p, ps->d->escape);
		const char *at = p + strspn(p, "0123456789");
		bool chomp;
		int r;

		p = end;
		if (at[0] != '<' || at[1] != '<')
			continue;
		at += 2;
		chomp = *at == '-';
		at += chomp;
		if (at >= end || memchr(at, '<', (size_t)(end - at)))
			continue;
		r = add_marker(ps, i, at, (size_t)(end - at), chomp, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- instructions ------------------------------------------------------------------------------
 */

static int unknown(const struct parser *ps, const char *word, struct err *e)
{
	const char *names[DOCKERFILE_KIND_MAX + 1];
	auto_free char *upper = xstrndup(word, SHOWN_MAX);
	const char *near;

	for (char *p = upper; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		if (strcmp(refused[i].name, upper) == 0) {
			(void)err_set(e, ERR_REFUSED, -EOPNOTSUPP,
				      "%s:%u: %s is not an instruction that Ward builds", ps->name,
				      ps->first, upper);
			return err_hint(e, "%s", refused[i].hint), -EOPNOTSUPP;
		}
	}
	for (size_t i = 0; i < DOCKERFILE_KIND_MAX; i++)
		names[i] = kinds[i].name;
	near = text_nearest(upper, names, DOCKERFILE_KIND_MAX);
	(void)bad(ps, ERR_INPUT, "unknown instruction", word, e);
	if (near)
		(void)err_hint(e, "did you mean %s?", near);
	return -EINVAL;
}

static bool is_one_of(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = list ? list : ""; *p; p += strcspn(p, "|"), p += *p == '|') {
		if (strcspn(p, "|") == n && memcmp(p, name, n) == 0)
			return true;
	}
	return false;
}

/* --NAME[=VALUE] in front of the arguments. */
static int take_flags(const struct parser *ps, struct dockerfile_instruction *i, const char **at,
		      struct err *e)
{
	const char *p = *at;

	while (p[0] == '-' && p[1] == '-' && kinds[i->kind].flags) {
		const char *end = word_end(p, ps->d->escape);
		const char *eq = memchr(p, '=', (size_t)(end - p));
		auto_free char *name = xstrndup(p + 2, (size_t)((eq ? eq : end) - p - 2));

		if (!*name) /* "--" ends them */
			break;
		if (!is_one_of(kinds[i->kind].flags, name)) {
			auto_free char *shown = text_escaped(name);

			return err_set(e, ERR_REFUSED, -EOPNOTSUPP,
				       "%s:%u: %s --%.60s: Ward does not have it", ps->name,
				       ps->first, kinds[i->kind].name, shown),
			       err_hint(e, "remove --%.60s", shown), -EOPNOTSUPP;
		}
		if (i->nflags == DOCKERFILE_FLAGS_MAX || dockerfile_flag(i, name))
			return bad(ps, ERR_INPUT, "given twice:", name, e);
		if (eq ? eq + 1 == end : !is_one_of(switches, name))
			return bad(ps, ERR_INPUT, "a value is missing:", name, e);
		i->flags[i->nflags].value =
			eq ? xstrndup(eq + 1, (size_t)(end - eq - 1)) : xstrdup("true");
		i->flags[i->nflags++].name = steal(&name);
		p = end + strspn(end, " \t");
	}
	*at = p;
	return 0;
}

/* A JSON array of strings, or it is the shell's form. */
static void take_json(struct dockerfile_instruction *i)
{
	auto_json j = NULL;

	if (i->args[0] != '[' || json_parse(i->args, strlen(i->args), &j, NULL) < 0 ||
	    !json_is_array(j) || json_len(j) > DOCKERFILE_WORDS_MAX)
		return;
	for (size_t k = 0; k < json_len(j); k++) {
		if (!json_str(json_at(j, k)))
			return;
	}
	for (size_t k = 0; k < json_len(j); k++)
		strv_add(&i->words, json_str(json_at(j, k)));
	i->exec = true;
}

static int check(const struct parser *ps, const struct dockerfile_instruction *i, struct err *e)
{
	const char *name = kinds[i->kind].name;

	if (!i->args[0] && i->kind != DOCKERFILE_CMD && i->kind != DOCKERFILE_ENTRYPOINT)
		return bad(ps, ERR_INPUT, "nothing follows the instruction", name, e);
	if (i->kind == DOCKERFILE_SHELL && (!i->exec || i->words.n == 0))
		return bad(ps, ERR_INPUT,
			   "SHELL takes a JSON array, as in SHELL [\"/bin/bash\", \"-c\"], and not",
			   i->args, e);
	if (i->kind == DOCKERFILE_RUN && i->exec && i->words.n == 0)
		return bad(ps, ERR_INPUT, "nothing follows the instruction", name, e);
	return 0;
}

static bool has_from(const struct dockerfile *d)
{
	for (size_t i = 0; i < d->n; i++) {
		if (d->v[i].kind == DOCKERFILE_FROM)
			return true;
	}
	return false;
}

static int fill(struct parser *ps, const struct buf *text, struct dockerfile_instruction *i,
		struct err *e)
{
	const char *p = buf_str(text);
	size_t n = strcspn(p, " \t");
	auto_free char *word = xstrndup(p, n);
	size_t len;
	int r;

	i->line = ps->first;
	while (i->kind < DOCKERFILE_KIND_MAX && strcasecmp(kinds[i->kind].name, word) != 0)
		i->kind++;
	if (i->kind == DOCKERFILE_KIND_MAX) {
		i->kind = 0;
		return unknown(ps, word, e);
	}
	p += n;
	p += strspn(p, " \t");
	i->text = xasprintf("%s %s", kinds[i->kind].name, p);
	r = take_flags(ps, i, &p, e);
	if (r < 0)
		return r;
	len = strlen(p);
	while (len && is_blank(p[len - 1]))
		len--;
	i->args = xstrndup(p, len);
	if (kinds[i->kind].json)
		take_json(i);
	if (kinds[i->kind].heredocs && !i->exec)
		r = heredocs(ps, i, e);
	if (r == 0)
		r = check(ps, i, e);
	if (r == 0 && i->kind != DOCKERFILE_FROM && i->kind != DOCKERFILE_ARG && !has_from(ps->d))
		r = bad(ps, ERR_INPUT, "only ARG may stand before FROM, and not",
			kinds[i->kind].name, e);
	return r;
}

int dockerfile_parse(const char *name, const char *text, size_t n, struct dockerfile **ret,
		     struct err *e)
{
	struct dockerfile *d = xcalloc(1, sizeof(*d));
	struct parser ps = {
		.name = name, .p = text, .end = text + n, .line = 1, .d = d, .first = 1
	};
	auto_buf line = BUF_INIT;
	int r = 0;

	d->escape = '\\';
	if (n > DOCKERFILE_BYTES_MAX)
		r = err_set(e, ERR_INPUT, -EFBIG, "%s: larger than 1 MiB", name);
	else if (n && !text_is_utf8(text, n))
		r = err_set(e, ERR_INPUT, -EINVAL, "%s: it is not text (UTF-8)", name);
	/* A byte order mark means nothing. */
	if (r == 0 && n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		ps.p += 3;
	if (r == 0)
		r = directives(&ps, e);
	while (r == 0 && logical_line(&ps, &line)) {
		if (d->n == DOCKERFILE_INSTRUCTIONS_MAX) {
			r = bad(&ps, ERR_INPUT, "more than 1000 instructions", NULL, e);
			break;
		}
		d->v = xrealloc(d->v, d->n + 1, sizeof(*d->v));
		memset(&d->v[d->n], 0, sizeof(*d->v));
		r = fill(&ps, &line, &d->v[d->n], e);
		d->n++;
	}
	if (r == 0 && !has_from(d)) {
		ps.first = ps.line;
		r = bad(&ps, ERR_INPUT, "there is no FROM", NULL, e);
	}
	if (r < 0) {
		dockerfile_free(d);
		return r;
	}
	*ret = d;
	return 0;
}
