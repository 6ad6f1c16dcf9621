/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_rm: stop, rm and prune.
 *
 * Several sandboxes are done one after the other; a failure is reported and the rest goes on, and
 * the exit code is the worst of all.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

enum { STOP_SECONDS = 10, STOP_SECONDS_MAX = 24 * 3600 };

int cli_worse(int a, int b)
{
	/* 125 (Ward failed) above 2 (usage) above 1 (no such sandbox) above 0. */
	return a > b ? a : b;
}

typedef int target_fn(struct cli *c, struct sandbox *s, void *arg, struct err *e);

static int print_line(const char *name, struct err *e)
{
	auto_buf b = BUF_INIT;

	text_escape(&b, name, strlen(name), strlen(name));
	buf_putc(&b, '\n');
	return term_out(&b, e);
}

/* Do it and print the name, as Docker's commands do. */
static int one_target(struct cli *c, struct sandbox *s, target_fn *fn, void *arg)
{
	auto_free char *name = xstrdup(cli_sandbox_name(s));
	struct err e = ERR_INIT;
	int r = fn(c, s, arg, &e);

	if (r == 0)
		r = print_line(name, &e);
	if (r == 0)
		return CLI_EXIT_OK;
	term_error(&e);
	return cli_exit_code(c, &e);
}

static int each_operand(struct cli *c, target_fn *fn, void *arg)
{
	int code = CLI_EXIT_OK;

	for (size_t i = 0; i < c->operands.v.n; i++) {
		struct err e = ERR_INIT;
		struct sandbox *s = NULL;

		if (cli_find(c, c->operands.v.v[i], &s, &e) < 0) {
			/* -f: what is gone already is as wanted. */
			if (c->v.force && e.kind == ERR_NOT_FOUND)
				continue;
			term_error(&e);
			code = cli_worse(code, cli_exit_code(c, &e));
			continue;
		}
		code = cli_worse(code, one_target(c, s, fn, arg));
		sandbox_free(s);
	}
	return code;
}

/* --- stop ------------------------------------------------------------------------------------- */

static int stop_one(struct cli *c, struct sandbox *s, void *arg, struct err *e)
{
	const unsigned *grace_ms = arg;

	return c->ops->stop(&c->engine, s, *grace_ms, e);
}

int cmd_stop(struct cli *c, struct err *e)
{
	uint64_t seconds = STOP_SECONDS;
	unsigned grace_ms;

	if (c->v.timeout && text_u64(c->v.timeout, STOP_SECONDS_MAX, &seconds) < 0)
		return err_set(e, ERR_USAGE, -EINVAL,
			       "option --timeout: a number of seconds is expected");
	grace_ms = (unsigned)seconds * 1000;
	return each_operand(c, stop_one, &grace_ms);
}

/* --- rm --------------------------------------------------------------------------------------- */

static int remove_one(struct cli *c, struct sandbox *s, void *arg, struct err *e)
{
	const bool *force = arg;

	return c->ops->remove(&c->engine, s, *force, e);
}

static int remove_all(struct cli *c, struct err *e)
{
	struct sandbox **list = NULL;
	size_t n = 0;
	bool force = c->v.force;
	int code = CLI_EXIT_OK;
	int r = state_list(&c->engine.paths, &list, &n, e);

	if (r < 0)
		return r;
	if (n && !force) {
		auto_free char *question = xasprintf("Delete %zu sandbox%s and all in %s?", n,
						     n == 1 ? "" : "es", n == 1 ? "it" : "them");

		if (!cli_confirm(question)) {
			state_list_free(list, n);
			return err_set(e, ERR_REFUSED, -ECANCELED, "nothing was deleted");
		}
	}
	for (size_t i = 0; i < n; i++)
		code = cli_worse(code, one_target(c, list[i], remove_one, &force));
	state_list_free(list, n);
	return code;
}

int cmd_rm(struct cli *c, struct err *e)
{
	bool force = c->v.force;

	if (c->v.all && c->operands.v.n)
		return err_set(e, ERR_USAGE, -EINVAL,
			       "option --all: no names may be given with it");
	if (c->v.all)
		return remove_all(c, e);
	if (c->operands.v.n == 0) {
		err_set(e, ERR_USAGE, -EINVAL, "rm: too few arguments: %s", c->verb->operands);
		return err_hint(e, "%s rm --help", c->program);
	}
	return each_operand(c, remove_one, &force);
}

/* --- prune ------------------------------------------------------------------------------------ */

/* When somebody last started or stopped it; its creation when nobody did. */
static int64_t last_used(const struct listed *l)
{
	struct stat st;

	if (fstatat(l->sandbox->dirfd, "state.json", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_mtime > l->spec->created_at)
		return st.st_mtime;
	return l->spec->created_at;
}

static int prune_age(struct cli *c, uint64_t *ret_seconds, struct err *e)
{
	*ret_seconds = 0;
	for (size_t i = 0; i < c->v.filter.n; i++) {
		const char *text = c->v.filter.v[i];
		auto_free char *shown = text_escaped(text);

		if (!text_starts(text, "until=") ||
		    text_duration(text + strlen("until="), ret_seconds) < 0) {
			err_set(e, ERR_USAGE, -EINVAL, "option --filter: '%s' is no age", shown);
			return err_hint(e, "--filter until=168h");
		}
	}
	strv_free(&c->v.filter); /* consumed: it is no filter of the list */
	return 0;
}

static bool prunable(const struct listed *l, uint64_t age)
{
	int64_t now = (int64_t)time(NULL);

	return l->spec && strcmp(l->status, "stopped") == 0 &&
	       (age == 0 || now - last_used(l) >= (int64_t)age);
}

static int prune_list(struct cli *c, const struct listing *l, uint64_t age, struct err *e)
{
	bool force = false; /* one that was started meanwhile stays */
	int code = CLI_EXIT_OK;
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += prunable(&l->v[i], age);
	if (n && !c->v.dry_run && !c->v.force) {
		auto_free char *question = xasprintf("Delete %zu stopped sandbox%s and all in %s?",
						     n, n == 1 ? "" : "es", n == 1 ? "it" : "them");

		if (!cli_confirm(question))
			return err_set(e, ERR_REFUSED, -ECANCELED, "nothing was deleted");
	}
	for (size_t i = 0; i < l->n; i++) {
		if (!prunable(&l->v[i], age))
			continue;
		if (!c->v.dry_run) {
			code = cli_worse(code, one_target(c, l->v[i].sandbox, remove_one, &force));
		} else {
			int r = print_line(l->v[i].spec->name, e);

			if (r < 0)
				return r;
		}
	}
	return code;
}

/* What a killed pull left, and layers of templates that are gone. Somebody who is pulling now is
 * not disturbed. */
static void prune_templates(struct cli *c)
{
	auto_free char *dir = fs_join(c->engine.paths.data, "templates");
	auto_image_store s = { .fd = -1 };

	if (access(dir, F_OK) == 0 && image_store_open(c->engine.paths.data, &s, NULL) == 0)
		(void)template_gc(c, &s, 0, false, NULL, NULL);
}

int cmd_prune(struct cli *c, struct err *e)
{
	struct listing l = { 0 };
	uint64_t age = 0;
	int r = prune_age(c, &age, e);

	if (r == 0)
		r = state_gc(&c->engine.paths, e);
	if (r == 0)
		r = cli_list(c, &l, e);
	if (r == 0)
		r = prune_list(c, &l, age, e);
	cli_list_clear(&l);
	if (r == CLI_EXIT_OK && !c->v.dry_run)
		prune_templates(c);
	return r;
}
