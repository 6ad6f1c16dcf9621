/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_ls: the table of sandboxes.
 */
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

enum { SHORT_ID = 12 };

static const char *const heads[] = {
	"SANDBOX ID", "NAME", "AGENT", "STATUS", "PORTS", "WORKSPACE", "CREATED",
};

/* Ids as they are shown: their beginning is enough everywhere. */
static char *shown_id(const struct cli *c, const struct listed *l)
{
	return xstrndup(l->sandbox->id, c->v.no_trunc ? strlen(l->sandbox->id) : SHORT_ID);
}

/* A record that cannot be read has none to show. */
static struct spec_ports ports_of(struct cli *c, const struct listed *l)
{
	struct spec_ports ports = { 0 };

	if (l->spec)
		(void)c->ops->ports(&c->engine, l->sandbox, &ports, NULL);
	return ports;
}

/* Those that can be reached now. */
static char *shown_ports(struct cli *c, const struct listed *l)
{
	struct spec_ports ports = ports_of(c, l);
	auto_buf text = BUF_INIT;

	if (strcmp(l->status, "running") == 0)
		cli_ports_text(&ports, &text);
	spec_ports_clear(&ports);
	return xstrdup(text.len ? buf_str(&text) : "-");
}

static void row(struct cli *c, struct term_table *t, const struct listed *l, int64_t now)
{
	auto_free char *id = shown_id(c, l);
	auto_free char *ports = shown_ports(c, l);
	const struct spec *s = l->spec;
	char age[32] = "-";

	if (s)
		text_ago(s->created_at, now, age);
	term_table_cell(t, id);
	term_table_cell(t, s ? s->name : "-");
	term_table_cell(t, s ? s->agent : "-");
	term_table_cell(t, l->status);
	term_table_cell(t, ports);
	term_table_cell(t, s && s->nworkspaces ? s->workspaces[0].path : "-");
	term_table_cell(t, age);
}

static struct json *entry_json(struct cli *c, const struct listed *l)
{
	struct spec_ports ports = ports_of(c, l);
	struct json *j = json_object();
	const struct spec *s = l->spec;
	char created[32];

	json_set_string(j, "id", l->sandbox->id);
	json_set_string(j, "name", s ? s->name : NULL);
	json_set_string(j, "agent", s ? s->agent : NULL);
	json_set_string(j, "status", l->status);
	json_set(j, "ports", cli_ports_json(&ports));
	spec_ports_clear(&ports);
	json_set_string(j, "workspace", s && s->nworkspaces ? s->workspaces[0].path : NULL);
	if (s) {
		text_rfc3339(s->created_at, created);
		json_set_string(j, "created_at", created);
	} else {
		json_set(j, "created_at", NULL);
	}
	json_set_string(j, "problem", l->problem);
	return j;
}

static int print_json(struct cli *c, const struct listing *l, struct err *e)
{
	auto_json list = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_append(list, entry_json(c, &l->v[i]));
	return term_out_json(list, e);
}

static int print_ids(const struct cli *c, const struct listing *l, struct err *e)
{
	auto_buf b = BUF_INIT;

	for (size_t i = 0; i < l->n; i++) {
		auto_free char *id = shown_id(c, &l->v[i]);

		buf_printf(&b, "%s\n", id);
	}
	return term_out(&b, e);
}

static int print_table(struct cli *c, const struct listing *l, struct err *e)
{
	struct term_table t = { .columns = ARRAY_SIZE(heads) };
	auto_buf b = BUF_INIT;
	int64_t now = (int64_t)time(NULL);

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		term_table_cell(&t, heads[i]);
	for (size_t i = 0; i < l->n; i++)
		row(c, &t, &l->v[i], now);
	term_table_write(&t, &b);
	term_table_clear(&t);
	return term_out(&b, e);
}

int cmd_ls(struct cli *c, struct err *e)
{
	struct listing l = { 0 };
	int r = cli_list(c, &l, e);

	if (r < 0)
		return r;
	if (c->v.quiet)
		r = print_ids(c, &l, e);
	else if (cli_wants_json(c))
		r = print_json(c, &l, e);
	else
		r = print_table(c, &l, e);
	for (size_t i = 0; i < l.n; i++) {
		if (l.v[i].problem)
			term_warn("%s", l.v[i].problem);
		cli_tell_ended(c, l.v[i].sandbox, l.v[i].spec, 0);
	}
	cli_list_clear(&l);
	return r;
}
