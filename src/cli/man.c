/* SPDX-License-Identifier: Apache-2.0 */
/*
 * man: manual pages in roff (man macros, see groff_man(7)), made from the tables at build time.
 */
#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli_internal.h"

/*
 * Text for roff: backslashes and hyphens escaped, a leading dot or quote protected, and every '-'
 * written as \- so that options can be copied from the page.
 */
static void roff_n(struct buf *out, const char *s, size_t n)
{
	bool line_start = out->len == 0 || out->data[out->len - 1] == '\n';

	for (size_t i = 0; i < n; i++) {
		if (line_start && (s[i] == '.' || s[i] == '\''))
			buf_puts(out, "\\&");
		line_start = s[i] == '\n';
		if (s[i] == '\\')
			buf_puts(out, "\\e");
		else if (s[i] == '-')
			buf_puts(out, "\\-");
		else if (s[i] == '~')
			buf_puts(out, "\\(ti");
		else if (s[i] == '\'')
			buf_puts(out, "\\(aq");
		else
			buf_putc(out, s[i]);
	}
}

static void roff(struct buf *out, const char *s)
{
	roff_n(out, s, strlen(s));
}

static void paragraphs(struct buf *out, const char *text)
{
	while (*text) {
		const char *end = strstr(text, "\n\n");
		size_t n = end ? (size_t)(end - text) : strlen(text);

		buf_puts(out, ".PP\n");
		roff_n(out, text, n);
		buf_putc(out, '\n');
		text += n;
		if (*text)
			text += 2;
	}
}

static void option_item(struct buf *out, const struct option *o)
{
	buf_puts(out, ".TP\n");
	if (o->letter)
		buf_printf(out, "\\fB\\-%c\\fR, ", o->letter);
	buf_puts(out, "\\fB\\-\\-");
	roff(out, o->name);
	buf_puts(out, "\\fR");
	if (o->type != OPTION_FLAG) {
		buf_puts(out, " \\fI");
		roff(out, o->choices ? o->choices : o->arg);
		buf_puts(out, "\\fR");
	}
	buf_putc(out, '\n');
	roff(out, o->help);
	buf_puts(out, o->type == OPTION_LIST ? ". May be given several times.\n" : ".\n");
}

static void heading(struct buf *out, const char *name)
{
	buf_puts(out, ".TH ");
	for (const char *c = name; *c; c++)
		buf_putc(out, (char)toupper((unsigned char)*c));
	buf_puts(out, " 1 \"\" \"ward " WARD_VERSION "\" \"Ward\"\n.SH NAME\n");
}

static void exits(struct buf *out, enum verb_exits x)
{
	buf_puts(out, ".SH EXIT STATUS\n");
	for (const struct exit_text *t = cli_exit_texts(x); t->what; t++) {
		buf_printf(out, ".TP\n\\fB%s\\fR\n", t->code);
		roff(out, t->what);
		buf_puts(out, ".\n");
	}
}

static void examples(struct buf *out, const struct verb *v)
{
	if (v->nexamples)
		buf_puts(out, ".SH EXAMPLES\n");
	for (size_t i = 0; i < v->nexamples; i++) {
		buf_puts(out, ".TP\n\\fBward ");
		roff(out, v->examples[i].command);
		buf_puts(out, "\\fR\n");
		roff(out, v->examples[i].what);
		buf_puts(out, ".\n");
	}
}

static void see_also(struct buf *out, const struct verb *v)
{
	const char *s = v->see_also ? v->see_also : "";

	buf_puts(out, ".SH SEE ALSO\n\\fBward\\fR(1)");
	while (*s) {
		size_t n = strcspn(s, " ");

		buf_puts(out, ",\n\\fBward\\-");
		roff_n(out, s, n);
		buf_puts(out, "\\fR(1)");
		s += n;
		while (*s == ' ')
			s++;
	}
	buf_putc(out, '\n');
}

static void man_verb(const struct verb *v, struct buf *out)
{
	auto_free char *title = xasprintf("ward-%s", v->name);

	heading(out, title);
	buf_printf(out, "ward\\-%s \\- ", v->name);
	roff(out, v->summary);
	buf_printf(out, "\n.SH SYNOPSIS\n\\fBward %s\\fR [\\fIOPTIONS\\fR]", v->name);
	if (*v->operands) {
		buf_puts(out, " \\fI");
		roff(out, v->operands);
		buf_puts(out, "\\fR");
	}
	if (v->alias)
		buf_printf(out, "\n.br\n\\fBward %s\\fR ...", v->alias);
	buf_puts(out, "\n.SH DESCRIPTION\n");
	paragraphs(out, v->text);
	buf_puts(out, ".SH OPTIONS\n");
	for (size_t i = 0; i < v->noptions; i++)
		option_item(out, &v->options[i]);
	exits(out, v->exits);
	examples(out, v);
	see_also(out, v);
}

static const struct {
	const char *path;
	const char *what;
} files[] = {
	{ "$XDG_DATA_HOME/ward (~/.local/share/ward)", "sandboxes and what belongs to them" },
	{ "$XDG_CONFIG_HOME/ward/config.yaml (~/.config/ward/config.yaml)", "defaults" },
	{ "$XDG_CONFIG_HOME/ward/kits/NAME/spec.yaml", "agents of your own" },
	{ "$XDG_RUNTIME_DIR/ward", "sockets of running sandboxes" },
};

static void man_top(struct buf *out)
{
	heading(out, "ward");
	buf_puts(out, "ward \\- run AI coding agents in isolated sandboxes\n.SH SYNOPSIS\n"
		      "\\fBward\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR] [\\fIARG\\fR...]\n"
		      ".SH DESCRIPTION\n");
	roff(out,
	     "Ward starts an agent inside a sandbox that sees the workspace at its own absolute "
	     "path and nothing else of this machine. It needs no daemon, no root and no "
	     "container engine. The same commands work as docker sandbox COMMAND when Ward is "
	     "installed as a plugin of the Docker command line.");
	buf_puts(out, "\n.SH COMMANDS\n");
	for (size_t i = 0; i < cli_nverbs; i++) {
		buf_printf(out, ".TP\n\\fBward\\-%s\\fR(1)\n", cli_verbs[i].name);
		roff(out, cli_verbs[i].summary);
		buf_puts(out, ".\n");
	}
	exits(out, VERB_EXITS_PROGRAM);
	buf_puts(out, ".SH ENVIRONMENT\n.TP\n\\fBNO_COLOR\\fR\nNo colours when it is set and not "
		      "empty.\n.TP\n\\fBhttps_proxy\\fR, \\fBhttp_proxy\\fR, \\fBall_proxy\\fR, "
		      "\\fBno_proxy\\fR\nThe proxy of the user's company, through which sandboxes "
		      "and downloads of templates reach the network.\n.SH FILES\n");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		buf_puts(out, ".TP\n");
		roff(out, files[i].path);
		buf_putc(out, '\n');
		roff(out, files[i].what);
		buf_puts(out, ".\n");
	}
}

void cli_man(const struct verb *v, struct buf *out)
{
	if (v)
		man_verb(v, out);
	else
		man_top(out);
}
