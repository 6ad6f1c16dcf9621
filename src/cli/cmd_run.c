/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_run: run and create.
 *
 *   word -> agent (a kit) or existing sandbox
 *        -> find the sandbox of workspace and agent, or of that name
 *        -> missing: make it; there: say which options keep their old value
 *        -> start it if it is stopped -> start the agent and relay its terminal
 *
 * Two runs that make the same sandbox at the same moment: one makes it, the other one is told by
 * state that it exists, and finds it in the next round.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

enum { CREATE_ROUNDS = 10, ID_BYTES = 16, SHOWN_MAX = 4096, POLICY_BYTES_MAX = 1 << 20 };

struct launch {
	struct run_request q;
	struct sandbox *sandbox; /* NULL while there is none */
	struct spec *spec;	 /* of the sandbox */
	bool by_name;		 /* the operand named a sandbox, not an agent */
	bool created;
};

static void launch_clear(struct launch *l)
{
	run_request_clear(&l->q);
	sandbox_free(l->sandbox);
	spec_free(l->spec);
}

static void set_sandbox(struct launch *l, struct sandbox *s, struct spec *spec)
{
	sandbox_free(l->sandbox);
	spec_free(l->spec);
	l->sandbox = s;
	l->spec = spec;
}

/* --- which agent, which sandbox --------------------------------------------------------------- */

static int nothing_of_that_name(struct cli *c, const char *word, struct err *e)
{
	auto_strv names = STRV_INIT;
	auto_buf shown = BUF_INIT;
	struct sandbox **list = NULL;
	const char *nearest;
	size_t n = 0;

	(void)kit_names(c->engine.paths.config, &names, NULL);
	if (state_list(&c->engine.paths, &list, &n, NULL) == 0) {
		for (size_t i = 0; i < n; i++)
			strv_add(&names, cli_sandbox_name(list[i]));
		state_list_free(list, n);
	}
	text_escape(&shown, word, strlen(word), 80);
	if (!cli_could_be_name(word)) {
		err_set(e, ERR_USAGE, -EINVAL, "'%s' cannot be the name of an agent or a sandbox",
			buf_str(&shown));
		return err_hint(e, "%s run AGENT [WORKSPACE...]; 'ward kit ls' lists the agents",
				c->program);
	}
	err_set(e, ERR_NOT_FOUND, -ENOENT, "no agent and no sandbox named '%s'", buf_str(&shown));
	nearest = text_nearest(word, (const char *const *)strv_argv(&names), names.n);
	if (nearest)
		return err_hint(e, "did you mean '%s'? 'ward kit ls' lists the agents", nearest);
	return err_hint(e, "'ward kit ls' lists the agents, 'ward ls' the sandboxes");
}

/* The operand is the name or id of a sandbox; its agent comes from its record. */
static int use_sandbox(struct cli *c, struct launch *l, struct sandbox *s, struct err *e)
{
	const struct strv *o = &c->operands.v;
	struct spec *spec = NULL;
	size_t first = 1;
	int r;

	l->sandbox = s;
	l->by_name = true;
	r = cli_spec(s, &spec, e);
	if (r < 0)
		return r;
	l->spec = spec;
	if (c->v.workspace || c->v.name)
		return err_set(e, ERR_USAGE, -EINVAL,
			       "option --%s: sandbox '%s' exists already and keeps its %s",
			       c->v.name ? "name" : "workspace", spec->name,
			       c->v.name ? "name" : "workspace");
	r = run_kit_load(c, spec->agent, s, spec, &l->q.kit, e);
	if (r < 0)
		return err_prefix(e, "sandbox '%s'", spec->name);
	run_request_workspaces_of(&l->q, spec);
	if (o->n > first && strcmp(o->v[first], "--") == 0)
		first++;
	for (size_t i = first; i < o->n; i++)
		strv_add(&l->q.agent_args, o->v[i]);
	return cli_check_args(&l->q.agent_args, e);
}

/* A sandbox of the given --name must be that of this agent and workspace. */
static int check_named(const struct cli *c, const struct launch *l, const struct spec *spec,
		       struct err *e)
{
	const struct spec_workspace *w = &l->q.workspaces[0];

	if (strcmp(spec->agent, c->operands.v.v[0]) == 0 &&
	    strcmp(spec->workspaces[0].path, w->path) == 0)
		return 0;
	err_set(e, ERR_CONFLICT, -EEXIST, "sandbox '%s': it exists already, for %s in %s",
		spec->name, spec->agent, spec->workspaces[0].path);
	return err_hint(e, "choose another --name, or: ward run %s", spec->name);
}

/* Find the sandbox that this command line means; l->sandbox stays NULL when there is none. */
static int find_existing(struct cli *c, struct launch *l, struct err *e)
{
	const struct spec_workspace *w = &l->q.workspaces[0];
	struct err problem = ERR_INIT;
	struct sandbox *s = NULL;
	struct spec *spec = NULL;
	int r;

	if (c->v.name)
		r = state_find(&c->engine.paths, c->v.name, &s, &problem);
	else
		r = state_find_key(&c->engine.paths, c->operands.v.v[0], w->path, w->dev, w->ino,
				   &s, &problem);
	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		*e = problem;
		return r;
	}
	r = cli_spec(s, &spec, e);
	/* state_find also takes an id: that is not the name that was asked for. */
	if (r == 0 && c->v.name && strcmp(spec->name, c->v.name) != 0) {
		spec_free(spec);
		sandbox_free(s);
		return 0;
	}
	if (r == 0 && c->v.name)
		r = check_named(c, l, spec, e);
	if (r < 0) {
		spec_free(spec);
		sandbox_free(s);
		return r;
	}
	set_sandbox(l, s, spec);
	return 0;
}

/* The sandbox that is there knows its agent better than this command line does. */
static int use_own_kits(struct cli *c, struct launch *l, struct err *e)
{
	struct kit *k = NULL;
	int r;

	if (c->v.kit.n + c->v.kit_arg.n + l->spec->kits.n + l->spec->kit_args.n == 0 && l->q.kit)
		return 0;
	r = run_kit_load(c, l->spec->agent, l->sandbox, l->spec, &k, e);
	if (r < 0)
		return err_prefix(e, "sandbox '%s'", l->spec->name);
	kit_free(l->q.kit);
	l->q.kit = k;
	return 0;
}

/* The word is no agent to this command line; a sandbox of it in this workspace may have the kit. */
static bool identify_by_own_kits(struct cli *c, bool agents_only, struct launch *l)
{
	struct err ignored = ERR_INIT;

	if (c->v.recreate || text_check_name("", c->operands.v.v[0], NULL) < 0)
		return false;
	if (run_request_operands(c, agents_only, &l->q, &ignored) == 0 &&
	    find_existing(c, l, &ignored) == 0 && l->sandbox && use_own_kits(c, l, &ignored) == 0)
		return true;
	launch_clear(l);
	*l = (struct launch){ 0 };
	return false;
}

static int identify(struct cli *c, bool agents_only, struct launch *l, struct err *e)
{
	const char *word = c->operands.v.v[0];
	struct sandbox *s = NULL;
	struct err ignored = ERR_INIT;
	int r = run_kit_load(c, word, NULL, NULL, &l->q.kit, e);

	if (r == 0)
		return run_request_operands(c, agents_only, &l->q, e);
	if (e->kind != ERR_NOT_FOUND) /* there is such a kit, or one of --kit, and it is bad */
		return identify_by_own_kits(c, agents_only, l) ? 0 : r;
	if (!agents_only) {
		r = state_find(&c->engine.paths, word, &s, &ignored);
		if (r == 0)
			return use_sandbox(c, l, s, e);
		if (ignored.kind != ERR_NOT_FOUND) {
			*e = ignored;
			return r;
		}
	}
	if (identify_by_own_kits(c, agents_only, l))
		return 0;
	return nothing_of_that_name(c, word, e);
}

/* --- making it -------------------------------------------------------------------------------- */

static int give_name(struct cli *c, struct spec *s, struct err *e)
{
	int r;

	if (s->name)
		return 0;
	if (c->v.name) {
		r = text_check_name("option --name: sandbox name", c->v.name, e);
		if (r < 0) {
			e->kind = ERR_USAGE;
			return r;
		}
		s->name = xstrdup(c->v.name);
		s->named = true;
		return 0;
	}
	return state_free_name(&c->engine.paths, s->agent, s->workspaces[0].path, &s->name, e);
}

/* A spec is complete only with these. */
static void give_id(struct spec *s)
{
	if (s->id)
		return;
	s->id = xcalloc(1, 2 * ID_BYTES + 1);
	text_random_hex(s->id, ID_BYTES);
	s->created_at = (int64_t)time(NULL);
}

/* What is stored must be readable again: a value that is not is refused now. */
static int check_readable(const struct spec *s, struct err *e)
{
	auto_json j = NULL;
	struct spec *again = NULL;
	int r;

	j = spec_to_json(s);
	r = spec_from_json(j, &again, e);
	spec_free(again);
	return r;
}

static int create(struct cli *c, struct launch *l, struct spec *s, struct err *e)
{
	struct sandbox *box = NULL;
	int r = give_name(c, s, e);

	if (r == 0) {
		give_id(s);
		r = check_readable(s, e);
	}
	if (r == 0)
		r = c->ops->create(&c->engine, s, l->q.kits.v, &box, e);
	if (r < 0) {
		spec_free(s);
		return r;
	}
	term_debug(c, "made sandbox %s in %s", s->name, box->dir);
	set_sandbox(l, box, s);
	l->created = true;
	return 0;
}

/* --recreate: everything is checked before the old one goes, and the new one has its name. */
static int recreate(struct cli *c, struct launch *l, struct err *e)
{
	struct spec *s = NULL;
	auto_buf policy = BUF_INIT;
	int r;

	/* Rules that were given since belong to it like the settings that stay. */
	(void)fs_read_at(l->sandbox->dirfd, SPEC_POLICY_FILE, POLICY_BYTES_MAX, &policy, NULL);
	if (l->by_name)
		r = run_spec_override(c, &l->q, l->sandbox, &s, e);
	else
		r = run_spec_build(c, &l->q, &s, e);
	if (r < 0)
		return r;
	if (!s->name) {
		s->name = xstrdup(l->spec->name);
		s->named = l->spec->named;
	}
	r = c->ops->remove(&c->engine, l->sandbox, true, e);
	if (r < 0) {
		spec_free(s);
		return r;
	}
	term_debug(c, "removed sandbox %s to make it anew", s->name);
	r = create(c, l, s, e);
	if (r == 0 && policy.len)
		r = fs_replace_at(l->sandbox->dirfd, SPEC_POLICY_FILE, policy.data, policy.len,
				  0600, false, e);
	return r;
}

static int report_difference(struct cli *c, struct launch *l, struct err *e)
{
	auto_buf names = BUF_INIT;
	int r = run_spec_difference(c, &l->q, l->sandbox, l->spec, &names, e);

	if (r == 0 && names.len)
		term_warn("sandbox '%s' keeps what it was made with for %s (--recreate applies the "
			  "new "
			  "values)",
			  l->spec->name, buf_str(&names));
	return r;
}

static int use_existing(struct cli *c, struct launch *l, struct err *e)
{
	int r = use_own_kits(c, l, e);

	return r < 0 ? r : report_difference(c, l, e);
}

static int make(struct cli *c, struct launch *l, struct err *e)
{
	for (int round = 0;; round++) {
		struct spec *s = NULL;
		int r = l->sandbox ? 0 : find_existing(c, l, e);

		if (r < 0)
			return r;
		if (l->sandbox && c->v.recreate && !l->created)
			return recreate(c, l, e);
		if (l->sandbox)
			return l->created ? 0 : use_existing(c, l, e);
		r = run_spec_build(c, &l->q, &s, e);
		if (r == 0)
			r = create(c, l, s, e);
		/* Somebody was faster: look again. */
		if (r != -EEXIST || round == CREATE_ROUNDS)
			return r;
		*e = ERR_INIT;
	}
}

/* --- dry run ---------------------------------------------------------------------------------- */

/* The agent's command. n: how many were not found in the sandbox before; false: there is no other.
 */
static bool agent_argv(const struct cli *c, const struct launch *l, const struct spec *s, bool tty,
		       unsigned n, struct strv *argv)
{
	const struct kit *k = l->q.kit;
	const struct strv *command = tty ? &k->command_interactive : &k->command_default;

	/* A kit may state only one of the two. */
	if (command->n == 0)
		command = tty ? &k->command_default : &k->command_interactive;
	if (!run_entrypoint(c, s, k, n, argv))
		return false;
	strv_extend(argv, command);
	strv_extend(argv, &l->q.agent_args);
	return true;
}

static void print_text(struct buf *out, const char *text)
{
	text_escape(out, text, strlen(text), SHOWN_MAX);
}

static void print_strings(struct buf *out, const char *title, const struct json *list)
{
	buf_printf(out, "  %s\n", title);
	for (size_t i = 0; i < json_len(list); i++) {
		auto_free char *text = xstrdup(json_str(json_at(list, i)));
		char *tab = strchr(text, '\t'); /* a rule: PATTERN, then where it comes from */

		if (tab)
			*tab = '\0';
		buf_puts(out, "    ");
		print_text(out, text);
		if (tab) {
			buf_puts(out, "  (");
			print_text(out, tab + 1);
			buf_putc(out, ')');
		}
		buf_putc(out, '\n');
	}
}

/* "bind /usr <- /usr (ro, nodev)": the members that tell one operation from another. */
static void print_operation(struct buf *out, const struct json *op)
{
	auto_strv flags = STRV_INIT;
	const char *text;

	buf_puts(out, "    ");
	if (json_get_string(op, "op", &text) == 0)
		print_text(out, text);
	if (json_get_string(op, "target", &text) == 0) {
		buf_putc(out, ' ');
		print_text(out, text);
	}
	if (json_get_string(op, "source", &text) == 0) {
		buf_puts(out, " <- ");
		print_text(out, text);
	}
	(void)json_get_strv(op, "flags", &flags);
	for (size_t i = 0; i < flags.n; i++) {
		buf_puts(out, i ? ", " : " (");
		print_text(out, flags.v[i]);
	}
	buf_puts(out, flags.n ? ")\n" : "\n");
}

static void print_words(struct buf *out, const char *title, const struct strv *words)
{
	if (words->n)
		buf_printf(out, "\n  %-11s", title);
	for (size_t i = 0; i < words->n; i++) {
		buf_puts(out, i ? ", " : "");
		print_text(out, words->v[i]);
	}
}

static int print_plan(struct cli *c, const struct spec *s, struct json *plan, struct err *e)
{
	const struct json *operations;
	auto_buf b = BUF_INIT;

	if (cli_wants_json(c))
		return term_out_json(plan, e);
	buf_printf(&b, "sandbox %s\n  agent      %s\n  template   ", s->name, s->agent);
	print_text(&b, s->tmpl.ref ? s->tmpl.ref : "");
	for (size_t i = 0; i < s->nworkspaces; i++) {
		buf_puts(&b, "\n  workspace  ");
		print_text(&b, s->workspaces[i].path);
		buf_puts(&b, s->workspaces[i].readonly ? " (read-only)" : "");
	}
	print_words(&b, "kits", &s->kits);
	print_words(&b, "kit args", &s->kit_args);
	buf_printf(&b, "\n  network    %s\n  settings   %s\n", policy_preset_name(s->network),
		   spec_agent_config_name(s->agent_config));
	print_strings(&b, "command", json_get(plan, "command"));
	print_strings(&b, "rules", json_get(plan, "rules"));
	buf_puts(&b, "  operations\n");
	operations = json_get(plan, "operations");
	for (size_t i = 0; i < json_len(operations); i++)
		print_operation(&b, json_at(operations, i));
	return term_out(&b, e);
}

static int dry_run(struct cli *c, struct launch *l, struct err *e)
{
	auto_strv argv = STRV_INIT;
	auto_json plan = NULL;
	struct spec *made = NULL;
	const struct spec *s;
	int r = l->sandbox ? 0 : find_existing(c, l, e);

	if (r == 0 && l->sandbox && !c->v.recreate)
		r = use_existing(c, l, e);
	else if (r == 0 && l->by_name)
		r = run_spec_override(c, &l->q, l->sandbox, &made, e);
	else if (r == 0)
		r = run_spec_build(c, &l->q, &made, e);
	if (r == 0 && made && !made->name && l->spec)
		made->name = xstrdup(l->spec->name);
	if (r == 0 && made)
		r = give_name(c, made, e);
	if (r == 0 && made)
		give_id(made);
	s = made ? made : l->spec;
	if (r == 0)
		r = c->ops->plan(&c->engine, s, l->q.kit, &plan, e);
	if (r == 0) {
		(void)agent_argv(c, l, s, isatty(STDIN_FILENO) && isatty(STDOUT_FILENO), 0, &argv);
		json_set_strv(plan, "command", &argv);
		r = print_plan(c, s, plan, e);
	}
	spec_free(made);
	return r;
}

/* --- running the agent ------------------------------------------------------------------------ */

/* The message that scripts and people know from Docker's command. */
static int missing_agent(struct cli *c, const struct launch *l, const struct strv *argv,
			 const struct err *cause)
{
	struct err e = ERR_INIT;
	auto_free char *program = text_escaped(argv->v[0]);
	bool missing = cause->code == -ENOENT;

	if (missing)
		err_set(&e, ERR_NOT_FOUND, -ENOENT,
			"the %s binary was not found in the sandbox; please check this is the "
			"correct template for this agent",
			l->q.kit->binary ? l->q.kit->binary : program);
	else
		e = *cause;
	if (missing && l->spec->tmpl.kind == SPEC_TEMPLATE_HOST && l->q.kit->install_hint)
		err_hint(&e, "%s", l->q.kit->install_hint);
	else if (missing)
		err_hint(&e, "choose a template that has it: %s run --recreate -t TEMPLATE %s",
			 c->program, l->by_name ? l->spec->name : l->q.kit->name);
	term_error(&e);
	return missing ? CLI_EXIT_NO_PROGRAM : CLI_EXIT_CANNOT_EXECUTE;
}

static int remove_after(struct cli *c, struct launch *l, int code)
{
	struct err e = ERR_INIT;

	if (c->ops->remove(&c->engine, l->sandbox, true, &e) < 0) {
		term_error(&e);
		return code ? code : CLI_EXIT_FAILED;
	}
	return code;
}

/* A shell that the template lacks is made up for by another one. */
static int exec_agent(struct cli *c, const struct launch *l, struct spec_session *session,
		      const struct engine_term *term, uint32_t *ret_id,
		      struct engine_result *result, struct err *e)
{
	for (unsigned n = 1;; n++) {
		auto_strv next = STRV_INIT;
		int r = cli_exec(c, l->sandbox, session, c->v.detach, term, ret_id, result, e);

		if (!cli_program_failed(r, e) || e->code != -ENOENT ||
		    !agent_argv(c, l, l->spec, session->tty, n, &next))
			return r;
		*e = ERR_INIT;
		strv_free(&session->argv);
		strv_extend(&session->argv, &next);
	}
}

static int run_agent(struct cli *c, struct launch *l, struct err *e)
{
	struct spec_session session = { .kind = SPEC_SESSION_AGENT, .interactive = true };
	struct engine_term term = { .interactive = true,
				    .raw_tty = c->v.raw_tty,
				    .quiet = c->v.quiet,
				    .detach_keys = c->v.detach_keys };
	struct engine_result result = { 0 };
	bool detached = c->v.detach;
	uint32_t id = 0;
	int r;

	session.tty = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	term.tty = session.tty;
	cli_session_size(&session);
	cli_caller_env(&session.caller_env);
	(void)agent_argv(c, l, l->spec, session.tty, 0, &session.argv);
	r = cli_session_env(c, l->spec, l->q.kit, &session.env, e);
	if (r == 0 && session.argv.n == 0)
		r = err_set(e, ERR_INPUT, -EINVAL, "agent %s: its kit names no command",
			    l->q.kit->name);
	if (r == 0)
		r = exec_agent(c, l, &session, &term, &id, &result, e);
	if (cli_program_failed(r, e))
		r = missing_agent(c, l, &session.argv, e);
	else if (r == 0 && !detached)
		r = cli_session_end(c, l->sandbox, id, &result);
	detached = detached || result.detached;
	spec_session_clear(&session);
	if (c->v.rm && l->created && !detached) {
		if (r < 0) {
			term_error(e);
			return remove_after(c, l, cli_exit_code(c, e));
		}
		return remove_after(c, l, r);
	}
	if (c->v.rm && !l->created)
		term_warn("sandbox '%s' existed before this run: --rm does not remove it",
			  l->spec->name);
	return r;
}

static int print_name(const struct launch *l, struct err *e)
{
	auto_buf b = BUF_INIT;

	buf_printf(&b, "%s\n", l->spec->name);
	return term_out(&b, e);
}

/* What was made of the options; only when nothing went wrong, so that an error stands alone. */
static void say_made(struct cli *c, const struct launch *l)
{
	auto_strv given = STRV_INIT;

	if (l->created && l->q.note.len)
		term_note(c, "made sandbox '%s' with %s", l->spec->name, buf_str(&l->q.note));
	for (size_t i = 0; l->created && i < l->q.git_notes.n; i++)
		term_note(c, "%s", l->q.git_notes.v[i]);
	if (l->created)
		engine_user_config_notes(&c->engine, l->spec, l->q.kit, &given);
	for (size_t i = 0; i < given.n; i++)
		term_note(c, "%s", given.v[i]);
}

static int start_and_run(struct cli *c, struct launch *l, struct err *e)
{
	bool started = false;
	int r = cli_start(c, l->sandbox, &started, e);

	if (r < 0) {
		/* A sandbox that never started is of no use to anybody. */
		if (l->created && c->ops->remove(&c->engine, l->sandbox, true, NULL) == 0)
			term_debug(c, "removed sandbox %s again", l->spec->name);
		return r;
	}
	term_debug(c, "sandbox %s %s", l->spec->name, started ? "started" : "was running");
	say_made(c, l);
	cli_say_credentials(c, l->spec, l->q.kit);
	cli_tell_ended(c, l->sandbox, l->spec, 0);
	r = run_agent(c, l, e);
	return r == 0 && c->v.detach ? print_name(l, e) : r;
}

static int check_options(struct cli *c, struct err *e)
{
	struct err local = ERR_INIT;

	if (c->v.rm && c->v.detach)
		return err_set(e, ERR_USAGE, -EINVAL,
			       "options --rm and --detach: one of them, not both");
	if (cli_wants_json(c) && !c->v.dry_run) {
		err_set(e, ERR_USAGE, -EINVAL, "option --json: it needs --dry-run here");
		return err_hint(e, "'ward inspect' tells about a sandbox as JSON");
	}
	if (c->v.name && text_check_name("option --name: sandbox name", c->v.name, &local) < 0) {
		local.kind = ERR_USAGE;
		*e = local;
		return local.code;
	}
	return 0;
}

int cmd_run(struct cli *c, struct err *e)
{
	struct launch l = { 0 };
	int r = check_options(c, e);

	if (r == 0)
		r = identify(c, false, &l, e);
	if (r == 0 && c->v.dry_run)
		r = dry_run(c, &l, e);
	else if (r == 0) {
		r = make(c, &l, e);
		if (r == 0)
			r = start_and_run(c, &l, e);
	}
	launch_clear(&l);
	return r;
}

int cmd_create(struct cli *c, struct err *e)
{
	struct launch l = { 0 };
	int r = check_options(c, e);

	if (r == 0)
		r = identify(c, true, &l, e);
	if (r == 0 && c->v.dry_run)
		r = dry_run(c, &l, e);
	else if (r == 0) {
		r = make(c, &l, e);
		if (r == 0 && !l.created)
			term_note(c, "sandbox '%s' exists already", l.spec->name);
		else if (r == 0)
			say_made(c, &l);
		if (r == 0)
			r = print_name(&l, e);
	}
	launch_clear(&l);
	return r;
}
