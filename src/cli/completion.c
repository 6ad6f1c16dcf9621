/* SPDX-License-Identifier: Apache-2.0 */
/*
 * completion: scripts for bash, zsh and fish, made from the tables.
 *
 * The scripts ask `ward __complete sandboxes|agents` for names; everything else is written into
 * them.  Texts of the tables are put into single quotes, with the characters escaped that the shell
 * in question would interpret.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

/* "a|b|c" as "a b c". */
static void add_words(struct buf *out, const char *choices)
{
	for (const char *c = choices; *c; c++)
		buf_putc(out, *c == '|' ? ' ' : *c);
}

/* --- bash ------------------------------------------------------------------------------------- */

/* What bash runs to offer values of a kind; indexed by enum complete. */
static const char *const bash_actions[COMPLETE_MAX] = {
	[COMPLETE_NONE] = ":",
	[COMPLETE_FILE] = "_ward_files -f",
	[COMPLETE_DIR] = "_ward_files -d",
	[COMPLETE_SANDBOX] = "_ward_words \"$(ward __complete sandboxes 2>/dev/null)\"",
	[COMPLETE_AGENT] = "_ward_words \"$(ward __complete agents 2>/dev/null)\"",
	[COMPLETE_AGENT_OR_SANDBOX] = "_ward_words \"$(ward __complete all 2>/dev/null)\"",
	[COMPLETE_VERB] = "_ward_words \"$verbs\"",
};

static const char bash_head[] =
	"# bash completion for ward\n"
	"_ward_words() {\n"
	"\tmapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\")\n"
	"}\n"
	"_ward_files() {\n"
	"\tcompopt -o filenames\n"
	"\tmapfile -t COMPREPLY < <(compgen \"$1\" -- \"$cur\")\n"
	"}\n"
	"_ward() {\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= i\n"
	"\tCOMPREPLY=()\n"
	"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	"\t\tif [[ ${COMP_WORDS[i]} != -* ]]; then\n"
	"\t\t\tverb=${COMP_WORDS[i]}\n"
	"\t\t\tbreak\n"
	"\t\tfi\n"
	"\tdone\n";

static void bash_option_values(struct buf *out, const struct verb *v)
{
	for (size_t i = 0; i < v->noptions; i++) {
		const struct option *o = &v->options[i];

		if (o->type == OPTION_FLAG)
			continue;
		buf_printf(out, "\t%s,--%s", v->name, o->name);
		if (o->letter)
			buf_printf(out, " | %s,-%c", v->name, o->letter);
		buf_puts(out, ") ");
		if (o->choices) {
			buf_puts(out, "_ward_words \"");
			add_words(out, o->choices);
			buf_putc(out, '"');
		} else {
			buf_puts(out, bash_actions[o->complete]);
		}
		buf_puts(out, "; return ;;\n");
	}
}

static void bash_verb(struct buf *out, const struct verb *v)
{
	buf_printf(out, "\t%s", v->name);
	if (v->alias)
		buf_printf(out, " | %s", v->alias);
	buf_puts(out, ")\n\t\tif [[ $cur == -* ]]; then\n\t\t\t_ward_words \"");
	for (size_t i = 0; i < v->noptions; i++)
		buf_printf(out, "%s--%s", i ? " " : "", v->options[i].name);
	buf_puts(out, "\"\n\t\telse\n\t\t\t");
	if (v->agent_after)
		buf_printf(out, "[[ $prev =~ ^(%s)$ ]] && %s ||\n\t\t\t", v->agent_after,
			   bash_actions[COMPLETE_AGENT]);
	if (v->words) {
		buf_puts(out, "_ward_words \"");
		add_words(out, v->words);
		buf_putc(out, '"');
	} else {
		buf_puts(out, bash_actions[v->complete]);
	}
	buf_puts(out, "\n\t\tfi\n\t\t;;\n");
}

static void bash(struct buf *out)
{
	buf_puts(out, bash_head);
	buf_puts(out, "\tlocal verbs=\"");
	for (size_t i = 0; i < cli_nverbs; i++)
		buf_printf(out, "%s%s", i ? " " : "", cli_verbs[i].name);
	buf_puts(out, "\"\n\tif [[ -z $verb ]]; then\n\t\t_ward_words \"$verbs --help --version\"\n"
		      "\t\treturn\n\tfi\n\tcase $verb,$prev in\n");
	for (size_t i = 0; i < cli_nverbs; i++)
		bash_option_values(out, &cli_verbs[i]);
	buf_puts(out, "\tesac\n\tcase $verb in\n");
	for (size_t i = 0; i < cli_nverbs; i++)
		bash_verb(out, &cli_verbs[i]);
	buf_puts(out, "\tesac\n}\ncomplete -F _ward ward\n");
}

/* --- zsh -------------------------------------------------------------------------------------- */

static const char *const zsh_actions[COMPLETE_MAX] = {
	[COMPLETE_NONE] = " ",
	[COMPLETE_FILE] = "_files",
	[COMPLETE_DIR] = "_files -/",
	[COMPLETE_SANDBOX] = "_ward_names sandboxes",
	[COMPLETE_AGENT] = "_ward_names agents",
	[COMPLETE_AGENT_OR_SANDBOX] = "_ward_names all",
	[COMPLETE_VERB] = "_ward_verbs",
};

/* Inside '...' of an _arguments specification. */
static void zsh_text(struct buf *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '\'')
			buf_puts(out, "'\\''");
		else if (strchr("[]:\\", *s))
			buf_printf(out, "\\%c", *s);
		else
			buf_putc(out, *s);
	}
}

static void zsh_option(struct buf *out, const struct option *o)
{
	buf_puts(out, "\t\t\t'");
	if (o->type == OPTION_LIST)
		buf_putc(out, '*');
	else if (o->letter)
		buf_printf(out, "(-%c --%s)", o->letter, o->name);
	if (o->letter)
		buf_printf(out, "'{-%c,--%s}'[", o->letter, o->name);
	else
		buf_printf(out, "--%s[", o->name);
	zsh_text(out, o->help);
	buf_putc(out, ']');
	if (o->type != OPTION_FLAG) {
		buf_putc(out, ':');
		zsh_text(out, o->arg);
		buf_putc(out, ':');
		if (o->choices) {
			buf_putc(out, '(');
			add_words(out, o->choices);
			buf_putc(out, ')');
		} else {
			buf_puts(out, zsh_actions[o->complete]);
		}
	}
	buf_puts(out, "' \\\n");
}

static void zsh_verb(struct buf *out, const struct verb *v)
{
	buf_printf(out, "\t\t%s", v->name);
	if (v->alias)
		buf_printf(out, "|%s", v->alias);
	buf_puts(out, ")\n\t\t\t_arguments \\\n");
	for (size_t i = 0; i < v->noptions; i++)
		zsh_option(out, &v->options[i]);
	if (v->words) {
		buf_puts(out, "\t\t\t'1:word:(");
		add_words(out, v->words);
		buf_puts(out, ")'");
		if (v->agent_after)
			buf_printf(out,
				   " \\\n\t\t\t'2:name:{[[ $words[CURRENT-1] == (%s) ]] && %s}'",
				   v->agent_after, zsh_actions[COMPLETE_AGENT]);
		buf_putc(out, '\n');
	} else if (v->stop_at_operand) {
		buf_printf(out, "\t\t\t'1:name:%s' '*::argument:_files'\n",
			   zsh_actions[v->complete]);
	} else {
		buf_printf(out, "\t\t\t'*:name:%s'\n", zsh_actions[v->complete]);
	}
	buf_puts(out, "\t\t\t;;\n");
}

static void zsh(struct buf *out)
{
	buf_puts(out, "#compdef ward\n"
		      "_ward_names() {\n"
		      "\tlocal -a names\n"
		      "\tnames=(${(f)\"$(ward __complete $1 2>/dev/null)\"})\n"
		      "\tcompadd -a names\n"
		      "}\n"
		      "_ward_verbs() {\n"
		      "\tlocal -a verbs\n"
		      "\tverbs=(\n");
	for (size_t i = 0; i < cli_nverbs; i++) {
		buf_printf(out, "\t\t'%s:", cli_verbs[i].name);
		zsh_text(out, cli_verbs[i].summary);
		buf_puts(out, "'\n");
	}
	buf_puts(out, "\t)\n"
		      "\t_describe command verbs\n"
		      "}\n"
		      "_ward() {\n"
		      "\tlocal curcontext=$curcontext state line\n"
		      "\t_arguments -C '1: :_ward_verbs' '*:: :->rest'\n"
		      "\t[[ $state == rest ]] || return\n"
		      "\tcase $words[1] in\n");
	for (size_t i = 0; i < cli_nverbs; i++)
		zsh_verb(out, &cli_verbs[i]);
	buf_puts(out, "\tesac\n}\n_ward \"$@\"\n");
}

/* --- fish ------------------------------------------------------------------------------------- */

static const char *const fish_actions[COMPLETE_MAX] = {
	[COMPLETE_NONE] = "",
	[COMPLETE_FILE] = "-F",
	[COMPLETE_DIR] = "-a '(__fish_complete_directories)'",
	[COMPLETE_SANDBOX] = "-a '(ward __complete sandboxes 2>/dev/null)'",
	[COMPLETE_AGENT] = "-a '(ward __complete agents 2>/dev/null)'",
	[COMPLETE_AGENT_OR_SANDBOX] = "-a '(ward __complete all 2>/dev/null)'",
	[COMPLETE_VERB] = "-a '(__ward_verbs)'",
};

static void fish_text(struct buf *out, const char *s)
{
	buf_putc(out, '\'');
	for (; *s; s++) {
		if (*s == '\'' || *s == '\\')
			buf_putc(out, '\\');
		buf_putc(out, *s);
	}
	buf_putc(out, '\'');
}

static void fish_condition(struct buf *out, const struct verb *v)
{
	buf_printf(out, "complete -c ward -n '__fish_seen_subcommand_from %s%s%s' ", v->name,
		   v->alias ? " " : "", v->alias ? v->alias : "");
}

static void fish_verb(struct buf *out, const struct verb *v)
{
	buf_printf(out, "complete -c ward -n __fish_use_subcommand -a %s -d ", v->name);
	fish_text(out, v->summary);
	buf_putc(out, '\n');
	fish_condition(out, v);
	if (v->words) {
		buf_puts(out, "-a '");
		add_words(out, v->words);
		buf_putc(out, '\'');
	} else {
		buf_puts(out, *fish_actions[v->complete] ? fish_actions[v->complete] : "-f");
	}
	buf_putc(out, '\n');
	if (v->agent_after) {
		buf_printf(out,
			   "complete -c ward -n '__fish_seen_subcommand_from %s; and "
			   "__fish_seen_subcommand_from ",
			   v->name);
		add_words(out, v->agent_after);
		buf_printf(out, "' %s\n", fish_actions[COMPLETE_AGENT]);
	}
	for (size_t i = 0; i < v->noptions; i++) {
		const struct option *o = &v->options[i];

		fish_condition(out, v);
		if (o->letter)
			buf_printf(out, "-s %c ", o->letter);
		buf_printf(out, "-l %s ", o->name);
		if (o->type != OPTION_FLAG)
			buf_puts(out, "-r ");
		if (o->choices) {
			buf_puts(out, "-a '");
			add_words(out, o->choices);
			buf_puts(out, "' ");
		} else if (o->type != OPTION_FLAG && *fish_actions[o->complete]) {
			buf_printf(out, "%s ", fish_actions[o->complete]);
		}
		buf_puts(out, "-d ");
		fish_text(out, o->help);
		buf_putc(out, '\n');
	}
}

static void fish(struct buf *out)
{
	buf_puts(out, "# fish completion for ward\n"
		      "function __ward_verbs\n");
	for (size_t i = 0; i < cli_nverbs; i++)
		buf_printf(out, "\techo %s\n", cli_verbs[i].name);
	buf_puts(out, "end\ncomplete -c ward -f\n");
	for (size_t i = 0; i < cli_nverbs; i++)
		fish_verb(out, &cli_verbs[i]);
}

static const struct {
	const char *name;
	void (*write)(struct buf *out);
} shells[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };

int cli_completion(const char *shell, struct buf *out, struct err *e)
{
	auto_free char *shown = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		if (strcmp(shells[i].name, shell) == 0) {
			shells[i].write(out);
			return 0;
		}
	}
	shown = text_escaped(shell);
	err_set(e, ERR_USAGE, -EINVAL, "no completion for the shell '%s'", shown);
	return err_hint(e, "bash, zsh and fish are supported");
}
