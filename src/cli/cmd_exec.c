/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_exec: exec, attach and sessions.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

bool cli_program_failed(int r, const struct err *e)
{
	return r < 0 &&
	       ((e->kind == ERR_NOT_FOUND && r == -ENOENT) || r == -EACCES || r == -ENOEXEC);
}

/* --- exec ------------------------------------------------------------------------------------- */

/* Where COMMAND is among the operands; behind them when there is none. */
static size_t command_at(const struct cli *c)
{
	const struct strv *o = &c->operands.v;

	return o->n > 1 && strcmp(o->v[1], "--") == 0 ? 2 : 1;
}

static int check_options(const struct cli *c, struct err *e)
{
	const struct strv *o = &c->operands.v;
	size_t first = command_at(c);

	/* Without a command a person at a terminal, or whoever pipes commands in, wants a shell. */
	if (first < o->n ? !*o->v[first] : !c->v.tty && !c->v.interactive) {
		auto_free char *name = text_escaped(o->v[0]);

		err_set(e, ERR_USAGE, -EINVAL, "exec: too few arguments: %s", c->verb->operands);
		return err_hint(e, "'%s exec -it %s' opens a shell", c->program, name);
	}
	if (c->v.workspace && c->v.workspace[0] != '/')
		return err_set(e, ERR_USAGE, -EINVAL,
			       "option --workdir: a path inside the sandbox begins with /");
	if (!c->v.tty || !c->v.interactive || c->v.detach || isatty(STDIN_FILENO))
		return 0;
	err_set(e, ERR_USAGE, -ENOTTY, "option --tty: standard input is not a terminal");
	return err_hint(e, "leave out -t");
}

/* *ret_kit is NULL when there is none. */
static int fill_session(struct cli *c, const struct sandbox *box, const struct spec *spec,
			struct spec_session *s, struct kit **ret_kit, struct err *e)
{
	const struct strv *o = &c->operands.v;
	struct kit_extras extras = { 0 };
	size_t first = command_at(c);
	int r;

	s->login = first == o->n;
	for (size_t i = first; i < o->n; i++)
		strv_add(&s->argv, o->v[i]);
	r = cli_check_args(&s->argv, e);
	if (r < 0)
		return r;
	s->cwd = c->v.workspace ? xstrdup(c->v.workspace) : NULL;
	s->user = c->v.user ? xstrdup(c->v.user) : NULL;
	s->tty = c->v.tty;
	s->interactive = c->v.interactive;
	cli_session_size(s);
	cli_caller_env(&s->caller_env);
	/* A kit that is gone or broken must not keep anybody from looking into the sandbox. */
	kit_extras_of(spec, box->dir, &extras);
	if (kit_load(spec->agent, c->engine.paths.config, &extras, ret_kit, NULL) < 0)
		term_debug(c, "no kit for agent %s", spec->agent);
	kit_extras_clear(&extras);
	return cli_session_env(c, spec, *ret_kit, &s->env, e);
}

static int exec_failed(const struct strv *argv, int code, const struct err *cause)
{
	struct err e = *cause;
	auto_free char *program = text_escaped(argv->n ? argv->v[0] : "login shell");

	if (code == -ENOENT)
		err_set(&e, ERR_NOT_FOUND, code, "'%s' was not found in the sandbox", program);
	term_error(&e);
	return code == -ENOENT ? CLI_EXIT_NO_PROGRAM : CLI_EXIT_CANNOT_EXECUTE;
}

static int exec_in(struct cli *c, struct sandbox *box, const struct spec *spec,
		   const struct kit *kit, struct spec_session *session, struct err *e)
{
	struct engine_term term = { .tty = session->tty && isatty(STDIN_FILENO) &&
					   isatty(STDOUT_FILENO),
				    .interactive = session->interactive,
				    .raw_tty = c->v.raw_tty,
				    .quiet = c->v.quiet,
				    .detach_keys = c->v.detach_keys };
	struct engine_result result = { 0 };
	auto_buf b = BUF_INIT;
	bool started = false;
	uint32_t id = 0;
	int r = cli_start(c, box, &started, e);

	if (r < 0)
		return r;
	if (started && kit)
		cli_say_credentials(c, spec, kit);
	r = cli_exec(c, box, session, c->v.detach, &term, &id, &result, e);
	if (cli_program_failed(r, e))
		return exec_failed(&session->argv, r, e);
	if (r < 0)
		return r;
	if (!c->v.detach)
		return cli_session_end(c, box, id, &result);
	buf_printf(&b, "%u\n", (unsigned)id);
	return term_out(&b, e);
}

int cmd_exec(struct cli *c, struct err *e)
{
	struct spec_session session = { .kind = SPEC_SESSION_EXEC };
	struct sandbox *box = NULL;
	struct spec *spec = NULL;
	struct kit *kit = NULL;
	int r = check_options(c, e);

	if (r == 0)
		r = cli_find(c, c->operands.v.v[0], &box, e);
	if (r == 0)
		r = cli_spec(box, &spec, e);
	if (r == 0)
		r = fill_session(c, box, spec, &session, &kit, e);
	if (r == 0)
		r = exec_in(c, box, spec, kit, &session, e);
	kit_free(kit);
	spec_session_clear(&session);
	spec_free(spec);
	sandbox_free(box);
	return r;
}

/* --- attach ----------------------------------------------------------------------------------- */

int cli_session_id(const char *text, uint32_t *ret, struct err *e)
{
	uint64_t id = 0;

	if (text_u64(text, UINT32_MAX, &id) < 0 || id == 0) {
		auto_buf shown = BUF_INIT;

		text_escape(&shown, text, strlen(text), 40);
		return err_set(e, ERR_USAGE, -EINVAL, "'%s' is not the number of a session",
			       buf_str(&shown));
	}
	*ret = (uint32_t)id;
	return 0;
}

static bool flag(const struct json *j, const char *key)
{
	bool b = false;

	return json_get_bool(j, key, &b) == 0 && b;
}

static const char *kind_of(const struct json *session)
{
	const char *kind = "";

	(void)json_get_string(session, "kind", &kind);
	return kind;
}

static uint64_t session_number(const struct json *s)
{
	uint64_t id = 0;

	(void)json_get_uint(s, "id", &id);
	return id;
}

static bool is_agent(const struct json *session)
{
	return strcmp(kind_of(session), "agent") == 0;
}

/* Rather attach to a than to b, when no number was given? */
static bool is_better(const struct json *a, const struct json *b)
{
	if (flag(a, "running") != flag(b, "running"))
		return flag(a, "running");
	if (is_agent(a) != is_agent(b))
		return is_agent(a);
	return session_number(a) > session_number(b);
}

/*
 * The session to attach to: the one asked for, else the newest agent that runs, else the newest
 * program that runs, else the newest agent that ended.
 */
static const struct json *choose(const struct json *list, uint32_t id)
{
	const struct json *best = NULL;

	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *s = json_at(list, i);

		if (id && session_number(s) == id)
			return s;
		if (!id && (flag(s, "running") || is_agent(s)) && (!best || is_better(s, best)))
			best = s;
	}
	return best;
}

/* What a session wrote at its end, and how it ended; as if one had been attached. */
static int show_ended(struct cli *c, struct sandbox *box, const struct spec *spec,
		      const struct json *session, struct err *e)
{
	auto_buf text = BUF_INIT;
	int64_t code = 0;
	int r = cli_print_recent(c, box, (uint32_t)session_number(session), e);

	if (r < 0)
		return r;
	cli_tell_ended(c, box, spec, (uint32_t)session_number(session));
	cli_end_text(session, is_agent(session) ? spec->agent : "exec", spec->name, &text);
	term_note(c, "%s", buf_str(&text));
	return json_get_int(session, "exit_code", &code) == 0 ? (int)(code & 0xff)
							      : CLI_EXIT_FAILED;
}

static int attach_to(struct cli *c, struct sandbox *box, const struct spec *spec, uint32_t id,
		     struct err *e)
{
	struct engine_term term = { .interactive = true,
				    .raw_tty = c->v.raw_tty,
				    .quiet = c->v.quiet,
				    .detach_keys = c->v.detach_keys };
	struct engine_result result = { 0 };
	const struct json *session;
	auto_json list = NULL;
	int r = c->ops->sessions(&c->engine, box, &list, e);

	if (r < 0)
		return r;
	session = choose(list, id);
	if (!session && id) {
		err_set(e, ERR_NOT_FOUND, -ENOENT, "sandbox '%s': no session %u", spec->name,
			(unsigned)id);
		return err_hint(e, "ward sessions %s", spec->name);
	}
	if (!session) {
		err_set(e, ERR_NOT_FOUND, -ENOENT, "sandbox '%s': nothing runs in it", spec->name);
		return err_hint(e, "ward run %s", spec->name);
	}
	if (!flag(session, "running"))
		return show_ended(c, box, spec, session, e);
	id = (uint32_t)session_number(session);
	cli_tell_ended(c, box, spec, 0);
	term.tty = flag(session, "tty") && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	r = c->ops->attach(&c->engine, box, id, &term, &result, e);
	return r < 0 ? r : cli_session_end(c, box, id, &result);
}

int cmd_attach(struct cli *c, struct err *e)
{
	struct sandbox *box = NULL;
	struct spec *spec = NULL;
	uint32_t id = 0;
	int r = 0;

	if (c->operands.v.n > 1)
		r = cli_session_id(c->operands.v.v[1], &id, e);
	if (r == 0)
		r = cli_find(c, c->operands.v.v[0], &box, e);
	if (r == 0)
		r = cli_spec(box, &spec, e);
	if (r == 0)
		r = attach_to(c, box, spec, id, e);
	spec_free(spec);
	sandbox_free(box);
	return r;
}

/* --- sessions --------------------------------------------------------------------------------- */

static void status_text(const struct json *s, struct buf *out)
{
	int64_t code = 0, attached = 0; /* how many look at it */

	(void)json_get_int(s, "attached", &attached);
	if (flag(s, "running"))
		buf_puts(out, attached > 0 ? "attached" : "running");
	else if (json_get_int(s, "exit_code", &code) == 0)
		buf_printf(out, "exited (%d)", (int)code);
	else
		buf_puts(out, "ended");
}

/* started_at is written as RFC 3339 text; a number of seconds is understood as well. */
static void age_text(const struct json *s, char out[static 32])
{
	const char *text = NULL;
	int64_t at = 0;

	out[0] = '\0';
	if (json_get_string(s, "started_at", &text) == 0) {
		if (text_parse_rfc3339(text, &at) < 0)
			return;
	} else if (json_get_int(s, "started_at", &at) < 0) {
		return;
	}
	text_ago(at, (int64_t)time(NULL), out);
}

enum { COMMAND_SHOWN = 60 };

/* The engine tells running sessions and recorded ones apart; people want them in order. */
static int by_number(const void *a, const void *b)
{
	uint64_t x = session_number(*(struct json *const *)a);
	uint64_t y = session_number(*(struct json *const *)b);

	return (x > y) - (x < y);
}

int cli_sessions(struct cli *c, const struct sandbox *s, struct json **ret, struct err *e)
{
	auto_json list = NULL;
	auto_free struct json **sorted = NULL;
	struct json *result;
	size_t n;
	int r = c->ops->sessions(&c->engine, s, &list, e);

	if (r < 0)
		return r;
	n = json_len(list);
	sorted = xcalloc(n + 1, sizeof(struct json *));
	for (size_t i = 0; i < n; i++)
		sorted[i] = json_at(list, i);
	qsort(sorted, n, sizeof(struct json *), by_number);
	result = json_array();
	for (size_t i = 0; i < n; i++)
		json_append(result, json_ref(sorted[i]));
	*ret = result;
	return 0;
}

static void session_row(struct term_table *t, const struct json *s)
{
	auto_strv argv = STRV_INIT;
	auto_buf number = BUF_INIT, status = BUF_INIT, command = BUF_INIT, shown = BUF_INIT;
	char age[32];

	(void)json_get_strv(s, "argv", &argv);
	buf_printf(&number, "%u", (unsigned)session_number(s));
	if (argv.n == 0)
		strv_add(&argv, "login shell");
	status_text(s, &status);
	age_text(s, age);
	for (size_t i = 0; i < argv.n; i++)
		buf_printf(&command, "%s%s", i ? " " : "", argv.v[i]);
	term_table_cell(t, buf_str(&number));
	term_table_cell(t, kind_of(s));
	term_table_cell(t, buf_str(&status));
	term_table_cell(t, flag(s, "tty") ? "yes" : "no");
	term_table_cell(t, age);
	text_escape(&shown, buf_str(&command), command.len, COMMAND_SHOWN);
	strv_add(&t->cells, buf_str(&shown));
}

int cmd_sessions(struct cli *c, struct err *e)
{
	static const char *const heads[] = { "SESSION", "KIND",	   "STATUS",
					     "TTY",	"STARTED", "COMMAND" };
	struct term_table t = { .columns = ARRAY_SIZE(heads) };
	struct sandbox *box = NULL;
	auto_json list = NULL;
	auto_buf b = BUF_INIT;
	int r = cli_find(c, c->operands.v.v[0], &box, e);

	if (r == 0)
		r = cli_sessions(c, box, &list, e);
	if (r == 0 && cli_wants_json(c)) {
		r = term_out_json(list, e);
	} else if (r == 0) {
		for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
			term_table_cell(&t, heads[i]);
		for (size_t i = 0; i < json_len(list); i++)
			session_row(&t, json_at(list, i));
		term_table_write(&t, &b);
		r = term_out(&b, e);
	}
	term_table_clear(&t);
	sandbox_free(box);
	return r;
}
