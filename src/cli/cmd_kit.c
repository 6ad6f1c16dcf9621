/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_kit: the agent definitions that there are.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

static int load(struct cli *c, const char *name, struct kit **ret, struct err *e)
{
	struct kit_extras extras = { .args = c->v.kit_arg };

	return kit_load_any(name, c->engine.paths.config, &extras, ret, e);
}

/* "built-in", "user", or the file of a kit that is neither. */
static void kit_row(struct cli *c, struct term_table *t, const struct kit *k)
{
	auto_free char *own = fs_join(c->engine.paths.config, "kits");

	term_table_cell(t, k->name);
	term_table_cell(t, k->kind);
	term_table_cell(t, fs_path_within(k->origin, own) ? "user" : k->origin);
	term_table_cell(t, k->display_name ? k->display_name : "-");
}

static int kit_ls(struct cli *c, struct err *e)
{
	static const char *const heads[] = { "NAME", "KIND", "ORIGIN", "AGENT" };
	struct term_table t = { .columns = ARRAY_SIZE(heads) };
	const struct kit_extras extras = { .placeholders = true };
	auto_strv names = STRV_INIT;
	auto_json list = json_array();
	auto_buf b = BUF_INIT;
	int r = kit_names(c->engine.paths.config, &names, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		term_table_cell(&t, heads[i]);
	for (size_t i = 0; i < names.n; i++) {
		struct err problem = ERR_INIT;
		struct kit *k = NULL;

		/* One bad kit does not hide the others. */
		if (kit_load_any(names.v[i], c->engine.paths.config, &extras, &k, &problem) < 0) {
			term_error(&problem);
			continue;
		}
		kit_row(c, &t, k);
		json_append(list, kit_to_json(k));
		kit_free(k);
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

static int kit_inspect(struct cli *c, struct err *e)
{
	struct kit *k = NULL;
	auto_json j = NULL;
	int r = load(c, c->operands.v.v[1], &k, e);

	if (r < 0)
		return r;
	j = kit_to_json(k);
	kit_free(k);
	return term_out_json(j, e);
}

/* A kit that is not among those that are found by name, with what it extends and mixes in. */
static int load_path(struct cli *c, const char *path, struct kit **ret, struct err *e)
{
	struct kit_extras extras = { .args = c->v.kit_arg };
	struct kit_bundle *b = NULL;
	int r = kit_bundle_read(path, &b, e);

	if (r < 0)
		return r;
	strv_add(&extras.dirs, path);
	r = kit_load_any(kit_bundle_name(b), c->engine.paths.config, &extras, ret, e);
	strv_free(&extras.dirs);
	kit_bundle_free(b);
	return r;
}

static int kit_validate(struct cli *c, struct err *e)
{
	const char *what = c->operands.v.v[1];
	auto_free char *shown = text_escaped(what);
	auto_buf text = BUF_INIT;
	struct kit *k = NULL;
	struct stat st;
	int r;

	/* A word that could be a name is a path when there is something of that name here. */
	if (strchr(what, '/') || stat(what, &st) == 0 || text_check_name("", what, NULL) < 0)
		r = load_path(c, what, &k, e);
	else
		r = load(c, what, &k, e);
	if (r < 0)
		return r;
	buf_printf(&text, "%s: kit %s is valid\n", shown, k->name);
	kit_free(k);
	return term_out(&text, e);
}

static int kit_new(struct cli *c, struct err *e)
{
	const char *name = c->operands.v.v[1];
	const char *dir = c->operands.v.n > 2 ? c->operands.v.v[2] : name;
	auto_free char *own = fs_join(c->engine.paths.config, "kits");
	auto_buf text = BUF_INIT;
	int r = 0;

	/* The place for the user's kits is made; elsewhere a misspelt path is found out. */
	if (fs_path_within(dir, own))
		r = fs_mkdirs(own, 0700, e);
	if (r == 0)
		r = cli_kit_new(name, dir, e);
	if (r < 0)
		return r;
	text_escape(&text, dir, strlen(dir), strlen(dir));
	buf_puts(&text, "/spec.yaml\n");
	return term_out(&text, e);
}

static const struct cli_action actions[] = {
	{ "ls", 0, 0, "no operand", kit_ls },
	{ "list", 0, 0, "no operand", kit_ls },
	{ "inspect", 1, 1, "NAME", kit_inspect },
	{ "validate", 1, 1, "DIR|FILE|ZIP|NAME", kit_validate },
	{ "new", 1, 2, "NAME [DIR]", kit_new },
};

int cmd_kit(struct cli *c, struct err *e)
{
	return cli_run_action(c, actions, ARRAY_SIZE(actions), e);
}
