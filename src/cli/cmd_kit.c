/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_kit: the agent definitions that there are.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

enum { KIT_FILE_MAX = 1 << 20 };

static struct json *kit_json(const struct kit *k)
{
	struct json *j = json_object();
	struct json *services = json_array();

	for (size_t i = 0; i < k->ncredentials; i++)
		json_append(services, json_string(k->credentials[i].service));
	json_set_string(j, "name", k->name);
	json_set_string(j, "kind", k->kind);
	json_set_string(j, "version", k->version);
	json_set_string(j, "display_name", k->display_name);
	json_set_string(j, "description", k->description);
	json_set_string(j, "origin", k->origin);
	json_set_string(j, "image", k->image);
	json_set_string(j, "binary", k->binary);
	json_set_strv(j, "entrypoint", &k->entrypoint);
	json_set_strv(j, "command_default", &k->command_default);
	json_set_strv(j, "command_interactive", &k->command_interactive);
	json_set_strv(j, "network_allow", &k->net_allow);
	json_set_strv(j, "network_deny", &k->net_deny);
	json_set(j, "credentials", services);
	json_set_string(j, "install_hint", k->install_hint);
	return j;
}

static void kit_row(struct term_table *t, const struct kit *k)
{
	term_table_cell(t, k->name);
	term_table_cell(t, k->kind ? k->kind : "-");
	term_table_cell(t, k->origin ? k->origin : "-");
	term_table_cell(t, k->display_name ? k->display_name : "-");
}

static int kit_ls(struct cli *c, struct err *e)
{
	static const char *const heads[] = { "NAME", "KIND", "ORIGIN", "AGENT" };
	struct term_table t = { .columns = ARRAY_SIZE(heads) };
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
		if (kit_load(names.v[i], c->engine.paths.config, NULL, &k, &problem) < 0) {
			term_error(&problem);
			continue;
		}
		kit_row(&t, k);
		json_append(list, kit_json(k));
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
	int r = kit_load(c->operands.v.v[1], c->engine.paths.config, NULL, &k, e);

	if (r < 0)
		return r;
	j = kit_json(k);
	kit_free(k);
	return term_out_json(j, e);
}

static int kit_validate(struct cli *c, struct err *e)
{
	auto_free char *path = xstrdup(c->operands.v.v[1]);
	auto_free char *shown = NULL;
	auto_close int fd = -1;
	auto_buf text = BUF_INIT;
	struct kit *k = NULL;
	struct stat st;
	int r;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		char *file = fs_join(path, "spec.yaml");

		free(path);
		path = file;
	}
	shown = text_escaped(path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return err_sys(e, "%s", shown);
	r = fs_read_fd(fd, KIT_FILE_MAX, &text, e);
	if (r < 0)
		return err_prefix(e, "%s", shown);
	r = kit_parse(buf_str(&text), text.len, shown, &k, e);
	if (r < 0)
		return r;
	buf_reset(&text);
	buf_printf(&text, "%s: kit %s is valid\n", shown, k->name);
	kit_free(k);
	return term_out(&text, e);
}

static const struct {
	const char *name;
	size_t operands;
	int (*run)(struct cli *c, struct err *e);
} actions[] = {
	{ "ls", 1, kit_ls },
	{ "list", 1, kit_ls },
	{ "inspect", 2, kit_inspect },
	{ "validate", 2, kit_validate },
};

int cmd_kit(struct cli *c, struct err *e)
{
	const char *word = c->operands.v.v[0];
	auto_buf shown = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (strcmp(actions[i].name, word) != 0)
			continue;
		if (c->operands.v.n != actions[i].operands)
			return err_set(e, ERR_USAGE, -EINVAL, "kit %s: %zu operand%s expected",
				       word, actions[i].operands - 1,
				       actions[i].operands == 2 ? " is" : "s are");
		return actions[i].run(c, e);
	}
	text_escape(&shown, word, strlen(word), 80);
	return err_set(e, ERR_USAGE, -EINVAL, "kit: '%s' is none of %s", buf_str(&shown),
		       c->verb->words);
}
