/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli: find the verb, parse its options, call it, say what went wrong.
 *
 * A verb returns an exit code (>= 0) or -errno with the error filled in; this file prints errors,
 * once, and is the only place that maps them to exit codes.
 */
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

bool cli_wants_json(const struct cli *c)
{
	return c->v.json || (c->v.format && strcmp(c->v.format, "json") == 0);
}

int cli_run_action(struct cli *c, const struct cli_action *actions, size_t n, struct err *e)
{
	const char *word = c->operands.v.v[0];
	size_t given = c->operands.v.n - 1;
	auto_buf shown = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(actions[i].name, word) != 0)
			continue;
		if (given < actions[i].min || given > actions[i].max)
			return err_set(e, ERR_USAGE, -EINVAL, "%s %s: expected is %s",
				       c->verb->name, word, actions[i].operands);
		return actions[i].run(c, e);
	}
	text_escape(&shown, word, strlen(word), 80);
	return err_set(e, ERR_USAGE, -EINVAL, "%s: '%s' is none of %s", c->verb->name,
		       buf_str(&shown), c->verb->words);
}

int cli_exit_code(const struct cli *c, const struct err *e)
{
	if (e->kind == ERR_USAGE)
		return CLI_EXIT_USAGE;
	if (e->kind == ERR_NOT_FOUND && c->verb->exits != VERB_EXITS_PROGRAM)
		return CLI_EXIT_NOT_FOUND;
	return CLI_EXIT_FAILED;
}

/* --- sandboxes named on the command line ------------------------------------------------------ */

bool cli_could_be_name(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > 63 || strstr(s, ".."))
		return false;
	for (size_t i = 0; i < n; i++) {
		bool alnum = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
			     (s[i] >= '0' && s[i] <= '9');

		if (!alnum && (i == 0 || !strchr("._-", s[i])))
			return false;
	}
	return true;
}

int cli_find(struct cli *c, const char *name, struct sandbox **ret, struct err *e)
{
	auto_buf shown = BUF_INIT;

	if (cli_could_be_name(name))
		return state_find(&c->engine.paths, name, ret, e);
	text_escape(&shown, name, strlen(name), 80);
	return err_set(e, ERR_USAGE, -EINVAL, "'%s' cannot be the name of a sandbox",
		       buf_str(&shown));
}

int cli_spec(const struct sandbox *s, struct spec **ret, struct err *e)
{
	int r;

	if (!s->spec) {
		err_set(e, ERR_CORRUPT, -EBADMSG, "sandbox %.12s: %s", s->id,
			s->problem ? s->problem : "its record cannot be read");
		return err_hint(e, "ward rm -f %.12s", s->id);
	}
	r = spec_from_json(s->spec, ret, e);
	if (r < 0) {
		if (e)
			e->kind = ERR_CORRUPT;
		err_prefix(e, "sandbox %.12s", s->id);
		return err_hint(e, "ward rm -f %.12s", s->id);
	}
	return 0;
}

const char *cli_sandbox_name(const struct sandbox *s)
{
	const char *name;

	return s->spec && json_get_string(s->spec, "name", &name) == 0 ? name : s->id;
}

bool cli_confirm(const char *question)
{
	auto_buf b = BUF_INIT;
	char answer[16] = "";
	ssize_t n;

	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return true;
	buf_printf(&b, "%s [y/N] ", question);
	if (write(STDERR_FILENO, buf_str(&b), b.len) < 0)
		return false;
	n = read(STDIN_FILENO, answer, sizeof(answer) - 1);
	return n > 0 && (answer[0] == 'y' || answer[0] == 'Y');
}

/* --- dispatch --------------------------------------------------------------------------------- */

static int print(const struct buf *b)
{
	struct err e = ERR_INIT;

	if (term_out(b, &e) < 0) {
		term_error(&e);
		return CLI_EXIT_FAILED;
	}
	return CLI_EXIT_OK;
}

/* An unknown verb: the nearest one; or the word is an agent and `run` was forgotten. */
static int unknown_verb(const char *program, const char *word)
{
	auto_buf shown = BUF_INIT;
	auto_free const char **names = xcalloc(cli_nverbs, sizeof(*names));
	struct err e = ERR_INIT;
	struct kit *kit = NULL;
	const char *nearest;

	for (size_t i = 0; i < cli_nverbs; i++)
		names[i] = cli_verbs[i].name;
	text_escape(&shown, word, strlen(word), 80);
	if (kit_load(word, NULL, NULL, &kit, NULL) == 0) {
		err_set(&e, ERR_USAGE, -EINVAL, "'%s' is an agent, not a command", buf_str(&shown));
		err_hint(&e, "%s run %s", program, kit->name);
		kit_free(kit);
	} else if (cli_foreign(program, NULL, word, &e) == -ENOENT) {
		err_set(&e, ERR_USAGE, -EINVAL, "unknown command '%s'", buf_str(&shown));
		nearest = text_nearest(word, names, cli_nverbs);
		if (nearest)
			err_hint(&e, "did you mean '%s %s'?", program, nearest);
		else
			err_hint(&e, "%s help", program);
	}
	term_error(&e);
	return CLI_EXIT_USAGE;
}

static int check_operands(const struct cli *c, struct err *e)
{
	const struct verb *v = c->verb;
	size_t n = c->operands.v.n;

	if (n < v->min)
		return err_set(e, ERR_USAGE, -EINVAL, "%s: too few arguments: %s", v->name,
			       v->operands);
	if (n > v->max) {
		auto_buf shown = BUF_INIT;
		const char *extra = c->operands.v.v[v->max];

		text_escape(&shown, extra, strlen(extra), 80);
		return err_set(e, ERR_USAGE, -EINVAL, "%s: unexpected '%s'", v->name,
			       buf_str(&shown));
	}
	return 0;
}

/* An option that is unknown here may be one of Docker's: then say what Ward has for it. */
static void foreign_option(const struct cli *c, char *const *args, size_t n, struct err *e)
{
	for (size_t i = 0; i < n && strcmp(args[i], "--") != 0; i++) {
		auto_free char *name = xstrndup(args[i], strcspn(args[i], "="));

		if (text_starts(name, "--") &&
		    cli_foreign(c->program, c->verb->name, name + 2, e) != -ENOENT)
			return;
	}
}

/* What the engine tells while a program waits to be started. */
static void on_say(void *arg, enum engine_say what, const char *text)
{
	const struct cli *c = arg;

	if (what == ENGINE_SAY_OUTPUT)
		term_warn("| %s", text);
	else
		term_note(c, "%s", text);
}

static int run_verb(struct cli *c, char **args, size_t n, struct err *e)
{
	int r = options_parse(c->verb->options, c->verb->noptions, c->verb->stop_at_operand, args,
			      n, &c->v, &c->operands, e);

	if (r < 0) {
		if (r == -ENOPROTOOPT)
			foreign_option(c, args, n, e);
		if (!e->hint[0])
			err_hint(e, "%s %s --help", c->program, c->verb->name);
		return r;
	}
	if (c->v.help) {
		auto_buf b = BUF_INIT;

		cli_help_verb(c->program, c->verb, &b);
		return term_out(&b, e);
	}
	r = check_operands(c, e);
	if (r < 0)
		return err_hint(e, "%s %s --help", c->program, c->verb->name);
	if (!c->verb->no_engine) {
		r = engine_context_init(&c->engine, e);
		if (r < 0)
			return r;
		c->ops = &engine_native;
		c->engine.say = on_say;
		c->engine.say_arg = c;
	}
	r = c->verb->run(c, e);
	if (!c->verb->no_engine)
		engine_context_clear(&c->engine);
	return r;
}

static int dispatch(const char *program, const struct verb *v, char **args, size_t n)
{
	struct cli c = { .program = program, .verb = v };
	struct err e = ERR_INIT;
	int r = run_verb(&c, args, n, &e);

	if (r < 0) {
		term_error(&e);
		r = cli_exit_code(&c, &e);
	}
	options_operands_clear(&c.operands);
	options_clear(v->options, v->noptions, &c.v);
	return r;
}

/* --- hidden commands, used by the build and by completion scripts
 * ----------------------------- */

static int hidden_man(const char *name)
{
	auto_buf b = BUF_INIT;
	const struct verb *v = name ? cli_verb_find(name) : NULL;

	if (name && !v)
		return CLI_EXIT_USAGE;
	cli_man(v, &b);
	return print(&b);
}

void cli_names(const char *what, struct strv *ret, void *unused)
{
	struct engine_context c = { 0 };
	struct sandbox **list = NULL;
	auto_strv names = STRV_INIT;
	size_t n = 0;
	bool all = strcmp(what, "all") == 0;

	(void)unused;
	if (engine_context_init(&c, NULL) < 0)
		return;
	if (all || strcmp(what, "agents") == 0)
		(void)kit_names(c.paths.config, &names, NULL);
	if ((all || strcmp(what, "sandboxes") == 0) && state_list(&c.paths, &list, &n, NULL) == 0) {
		for (size_t i = 0; i < n; i++)
			strv_add(&names, cli_sandbox_name(list[i]));
		state_list_free(list, n);
	}
	for (size_t i = 0; i < names.n; i++) {
		if (cli_could_be_name(names.v[i]))
			strv_add(ret, names.v[i]);
	}
	engine_context_clear(&c);
}

/* For completion scripts: one name a line. */
static int hidden_complete(const char *what)
{
	auto_strv names = STRV_INIT;
	auto_buf b = BUF_INIT;

	if (what)
		cli_names(what, &names, NULL);
	for (size_t i = 0; i < names.n; i++)
		buf_printf(&b, "%s\n", names.v[i]);
	return print(&b);
}

int cli_run(const char *program, int argc, char **argv)
{
	auto_buf b = BUF_INIT;
	const char *word = argc > 0 ? argv[0] : "help";
	const struct verb *v;

	/* A reader that went away is an error of write(2), reported like every other. */
	signal(SIGPIPE, SIG_IGN);
	term_called_as(program);
	if (strcmp(word, "__man") == 0)
		return hidden_man(argc > 1 ? argv[1] : NULL);
	if (strcmp(word, "__complete") == 0)
		return hidden_complete(argc > 1 ? argv[1] : NULL);
	if (argc == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
		cli_help(program, &b);
		return print(&b);
	}
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
		word = "version";
	v = cli_verb_find(word);
	if (v)
		return dispatch(program, v, argv + 1, (size_t)argc - 1);
	v = cli_foreign_verb(word);
	if (v)
		return dispatch(program, v, argv, (size_t)argc);
	if (word[0] == '-') {
		auto_buf shown = BUF_INIT;
		struct err e = ERR_INIT;

		text_escape(&shown, word, strlen(word), 80);
		err_set(&e, ERR_USAGE, -EINVAL, "unknown option '%s' before the command",
			buf_str(&shown));
		err_hint(&e, "%s help", program);
		term_error(&e);
		return CLI_EXIT_USAGE;
	}
	return unknown_verb(program, word);
}

int cli_main(int argc, char **argv)
{
	fs_fill_stdio();
	return cli_run("ward", argc > 0 ? argc - 1 : 0, argv + 1);
}
