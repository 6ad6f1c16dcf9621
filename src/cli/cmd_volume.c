/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_volume: the agents' logins, which outlive sandboxes.
 *
 * rm logs an agent out everywhere: it empties the volume, removes the files from stopped sandboxes,
 * and waits until the running ones have lost theirs; what an agent wrote at that very moment is
 * removed again.  A box that goes on writing is named, and stays as it is.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

enum { RM_WAIT_MS = 5000, RM_POLL_MS = 20, SIZE_UNIT = 1024 };

/* How many sandboxes use the volume of the agent. */
static size_t used_by(const struct listing *l, const char *agent)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct spec *s = l->v[i].spec;

		n += s && s->credentials == SPEC_CREDENTIALS_SANDBOX &&
		     strcmp(s->agent, agent) == 0;
	}
	return n;
}

/* --- ls --------------------------------------------------------------------------------------- */

static void size_text(uint64_t bytes, struct buf *out)
{
	if (bytes < SIZE_UNIT)
		buf_printf(out, "%u B", (unsigned)bytes);
	else
		buf_printf(out, "%.1f KiB", (double)bytes / SIZE_UNIT);
}

static void volume_row(struct term_table *t, const struct state_volume *v, size_t used)
{
	auto_buf files = BUF_INIT;
	auto_buf size = BUF_INIT;
	auto_buf sandboxes = BUF_INIT;
	char age[32];

	buf_printf(&files, "%u", (unsigned)v->files);
	size_text(v->size, &size);
	text_ago(v->modified, (int64_t)time(NULL), age);
	buf_printf(&sandboxes, "%zu sandbox%s", used, used == 1 ? "" : "es");
	term_table_cell(t, v->agent);
	term_table_cell(t, buf_str(&files));
	term_table_cell(t, buf_str(&size));
	term_table_cell(t, age);
	term_table_cell(t, buf_str(&sandboxes));
}

static struct json *volume_json(const struct state_volume *v, size_t used)
{
	struct json *j = json_object();
	char modified[32];

	text_rfc3339(v->modified, modified);
	json_set_string(j, "agent", v->agent);
	json_set_uint(j, "files", v->files);
	json_set_uint(j, "size", v->size);
	json_set_string(j, "modified_at", modified);
	json_set_uint(j, "sandboxes", used);
	return j;
}

static int print_volumes(struct cli *c, const struct state_volume *v, size_t n,
			 const struct listing *l, struct err *e)
{
	static const char *const heads[] = { "AGENT", "FILES", "SIZE", "MODIFIED", "USED BY" };
	struct term_table t = { .columns = ARRAY_SIZE(heads) };
	auto_json list = json_array();
	auto_buf b = BUF_INIT;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		term_table_cell(&t, heads[i]);
	for (size_t i = 0; i < n; i++) {
		volume_row(&t, &v[i], used_by(l, v[i].agent));
		json_append(list, volume_json(&v[i], used_by(l, v[i].agent)));
	}
	if (cli_wants_json(c)) {
		r = term_out_json(list, e);
	} else {
		term_table_write(&t, &b);
		r = term_out(&b, e);
	}
	term_table_clear(&t);
	return r;
}

static int volume_ls(struct cli *c, struct err *e)
{
	struct listing l = { 0 };
	struct state_volume *v = NULL;
	size_t n = 0;
	int r = state_volumes(&c->engine.paths, &v, &n, e);

	if (r == 0)
		r = cli_list(c, &l, e);
	if (r == 0)
		r = print_volumes(c, v, n, &l, e);
	cli_list_clear(&l);
	state_volumes_free(v, n);
	return r;
}

/* --- rm --------------------------------------------------------------------------------------- */

/* One round; *ret_left is a sandbox that still has a file (borrowed), or NULL. */
static int log_out_round(struct cli *c, const char *agent, const struct listing *l,
			 const struct listed **ret_left, struct err *e)
{
	*ret_left = NULL;
	for (size_t i = 0; i < l->n; i++) {
		const struct listed *x = &l->v[i];
		int r;

		if (!x->spec || x->spec->credentials != SPEC_CREDENTIALS_SANDBOX ||
		    strcmp(x->spec->agent, agent) != 0)
			continue;
		r = c->ops->log_out(&c->engine, x->sandbox, e);
		if (r == -EAGAIN)
			*ret_left = x;
		else if (r < 0)
			return r;
	}
	return 0;
}

static int log_out(struct cli *c, const char *agent, const struct listing *l, bool *ret_found,
		   struct err *e)
{
	const struct listed *left = NULL;

	for (int waited = 0; waited < RM_WAIT_MS; waited += RM_POLL_MS) {
		uint64_t removed = 0;
		int r = state_volume_clear(&c->engine.paths, agent, &removed, e);

		*ret_found = *ret_found || removed;
		if (r == 0)
			r = log_out_round(c, agent, l, &left, e);
		if (r < 0)
			return r;
		*ret_found = *ret_found || left;
		/* Nothing anywhere: also what the boxes were about to put back has come and gone.
		 */
		if (!removed && !left)
			return 0;
		nanosleep(&(struct timespec){ .tv_nsec = RM_POLL_MS * 1000000L }, NULL);
	}
	if (!left)
		return err_set(e, ERR_CONFLICT, -EBUSY,
			       "volume '%s': a sandbox writes the login again and again", agent);
	err_set(e, ERR_CONFLICT, -EBUSY, "volume '%s': sandbox '%s' still has the login", agent,
		left->spec->name);
	return err_hint(e, "ward stop %s, and once more", left->spec->name);
}

static int rm_one(struct cli *c, const char *agent, const struct listing *l, struct err *e)
{
	auto_buf b = BUF_INIT;
	bool found = false;
	int r;

	if (!cli_could_be_name(agent)) {
		text_escape(&b, agent, strlen(agent), 80);
		return err_set(e, ERR_USAGE, -EINVAL, "'%s' cannot be the name of an agent",
			       buf_str(&b));
	}
	r = log_out(c, agent, l, &found, e);
	if (r < 0)
		return r;
	if (!found && !c->v.force) {
		err_set(e, ERR_NOT_FOUND, -ENOENT, "no volume of an agent '%s'", agent);
		return err_hint(e, "ward volume ls");
	}
	if (!found)
		return 0;
	buf_printf(&b, "%s\n", agent);
	return term_out(&b, e);
}

static int volume_rm(struct cli *c, struct err *e)
{
	const struct strv *o = &c->operands.v;
	struct listing l = { 0 };
	auto_buf question = BUF_INIT;
	int code = CLI_EXIT_OK;
	int r;

	buf_puts(&question, "Log out of ");
	for (size_t i = 1; i < o->n; i++) {
		buf_puts(&question, i > 1 ? ", " : "");
		text_escape(&question, o->v[i], strlen(o->v[i]), 80);
	}
	buf_puts(&question, " in every sandbox?");
	if (!c->v.force && !cli_confirm(buf_str(&question)))
		return err_set(e, ERR_REFUSED, -ECANCELED, "nothing was deleted");
	r = cli_list(c, &l, e);
	for (size_t i = 1; r == 0 && i < o->n; i++) {
		struct err problem = ERR_INIT;

		if (rm_one(c, o->v[i], &l, &problem) == 0)
			continue;
		term_error(&problem);
		code = cli_worse(code, cli_exit_code(c, &problem));
	}
	cli_list_clear(&l);
	return r < 0 ? r : code;
}

static const struct cli_action actions[] = {
	{ "ls", 0, 0, "no operand", volume_ls },
	{ "list", 0, 0, "no operand", volume_ls },
	{ "rm", 1, SIZE_MAX, "AGENT...", volume_rm },
};

int cmd_volume(struct cli *c, struct err *e)
{
	return cli_run_action(c, actions, ARRAY_SIZE(actions), e);
}
