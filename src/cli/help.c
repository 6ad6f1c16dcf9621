/* SPDX-License-Identifier: Apache-2.0 */
/*
 * help: what `ward`, `ward help VERB` and `ward VERB --help` print, made from the tables.
 */
#include <string.h>

#include "base/mem.h"
#include "cli/cli_internal.h"

enum { HELP_WIDTH = 80, HELP_OPTION_COLUMN = 30 };

/* Words of one paragraph, broken at `width`, each line indented. */
static void wrap(struct buf *out, const char *text, size_t n, unsigned indent, unsigned column)
{
	const char *end = text + n;

	while (text < end) {
		size_t word = strcspn(text, " ");

		if (word > (size_t)(end - text))
			word = (size_t)(end - text);
		if (column > indent && column + 1 + word > HELP_WIDTH) {
			buf_putc(out, '\n');
			column = 0;
		}
		if (column < indent) {
			buf_printf(out, "%*s", (int)(indent - column), "");
			column = indent;
		} else if (column > indent) {
			buf_putc(out, ' ');
			column++;
		}
		buf_add(out, text, word);
		column += (unsigned)word;
		text += word;
		while (text < end && *text == ' ')
			text++;
	}
	buf_putc(out, '\n');
}

static void paragraphs(struct buf *out, const char *text)
{
	while (*text) {
		const char *end = strstr(text, "\n\n");
		size_t n = end ? (size_t)(end - text) : strlen(text);

		wrap(out, text, n, 0, 0);
		text += n;
		if (*text) {
			text += 2;
			buf_putc(out, '\n');
		}
	}
}

static void option_line(struct buf *out, const struct option *o)
{
	auto_buf left = BUF_INIT;
	const char *value = o->choices ? o->choices : o->arg;

	if (o->letter)
		buf_printf(&left, "  -%c, --%s", o->letter, o->name);
	else
		buf_printf(&left, "      --%s", o->name);
	if (o->type != OPTION_FLAG)
		buf_printf(&left, " %s", value);
	buf_puts(out, buf_str(&left));
	if (left.len + 2 > HELP_OPTION_COLUMN) {
		buf_putc(out, '\n');
		wrap(out, o->help, strlen(o->help), HELP_OPTION_COLUMN, 0);
	} else {
		wrap(out, o->help, strlen(o->help), HELP_OPTION_COLUMN, (unsigned)left.len);
	}
}

static void exits_and_examples(const char *program, const struct verb *v, struct buf *out)
{
	buf_puts(out, "\nExit codes:\n");
	for (const struct exit_text *x = cli_exit_texts(v->exits); x->what; x++)
		buf_printf(out, "  %-7s %s\n", x->code, x->what);
	if (v->nexamples)
		buf_puts(out, "\nExamples:\n");
	for (size_t i = 0; i < v->nexamples; i++)
		buf_printf(out, "  %s %s\n      %s\n", program, v->examples[i].command,
			   v->examples[i].what);
}

void cli_help_verb(const char *program, const struct verb *v, struct buf *out)
{
	buf_printf(out, "Usage: %s %s [OPTIONS]%s%s\n", program, v->name, *v->operands ? " " : "",
		   v->operands);
	if (v->alias)
		buf_printf(out, "       %s %s [OPTIONS]%s%s\n", program, v->alias,
			   *v->operands ? " " : "", v->operands);
	buf_printf(out, "\n%s.\n\n", v->summary);
	paragraphs(out, v->text);
	buf_puts(out, "\nOptions:\n");
	for (size_t i = 0; i < v->noptions; i++)
		option_line(out, &v->options[i]);
	exits_and_examples(program, v, out);
}

void cli_help(const char *program, struct buf *out)
{
	buf_printf(out, "Usage: %s COMMAND [OPTIONS] [ARG...]\n\n", program);
	buf_puts(out, "Ward runs AI coding agents in isolated sandboxes. The agent sees the\n"
		      "directory that you start it in, at its own path, and nothing else of\n"
		      "this machine.\n\nCommands:\n");
	for (size_t i = 0; i < cli_nverbs; i++)
		buf_printf(out, "  %-12s%s\n", cli_verbs[i].name, cli_verbs[i].summary);
	buf_puts(out, "\nOptions:\n"
		      "  -h, --help      Show this help, or that of a command\n"
		      "      --version   Print the version\n\n"
		      "Start with:\n");
	buf_printf(out, "  %s run claude     the agent claude on the current directory\n", program);
	buf_printf(out, "  %s run shell      a shell in a sandbox of the current directory\n",
		   program);
	buf_printf(out, "\n'%s help COMMAND' tells more about a command.\n", program);
}
