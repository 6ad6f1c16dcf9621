/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_ports: list, publish and withdraw the ports of a sandbox.
 */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

static const char *const heads[] = { "HOST IP", "HOST PORT", "SANDBOX PORT", "PROTOCOL" };

/* Calls f for every address that a port is on. */
static void each_address(const struct spec_ports *ports,
			 void (*f)(const struct spec_port *p, const char *ip, void *arg), void *arg)
{
	for (size_t i = 0; i < ports->n; i++) {
		const struct spec_port *p = &ports->v[i];

		f(p, p->ip ? p->ip : "127.0.0.1", arg);
		if (!p->ip)
			f(p, "::1", arg);
	}
}

static void add_json(const struct spec_port *p, const char *ip, void *arg)
{
	struct json *j = json_object();
	uint16_t host = spec_port_host(p);

	json_set_string(j, "host_ip", ip);
	json_set(j, "host_port", host ? json_uint(host) : NULL);
	json_set_uint(j, "sandbox_port", p->port);
	json_set_string(j, "protocol", "tcp");
	json_set_bool(j, "ephemeral", p->host == 0);
	json_set_string(j, "name", p->name);
	json_append(arg, j);
}

struct json *cli_ports_json(const struct spec_ports *ports)
{
	struct json *list = json_array();

	each_address(ports, add_json, list);
	return list;
}

void cli_ports_text(const struct spec_ports *ports, struct buf *out)
{
	for (size_t i = 0; i < ports->n; i++) {
		if (i)
			buf_puts(out, ", ");
		spec_port_shown(&ports->v[i], out);
	}
}

void cli_say_ports(struct cli *c, const struct sandbox *s)
{
	struct spec_ports ports = { 0 };

	if (c->ops->ports(&c->engine, s, &ports, NULL) < 0)
		return;
	for (size_t i = 0; i < ports.n; i++) {
		const struct spec_port *p = &ports.v[i];
		auto_buf text = BUF_INIT;

		spec_port_shown(p, &text);
		if (spec_port_is_public(p))
			term_warn("port %s: every computer that reaches this one reaches the "
				  "sandbox there",
				  buf_str(&text));
		else if (p->host == 0)
			term_note(c, "port %s", buf_str(&text));
	}
	spec_ports_clear(&ports);
}

static void add_row(const struct spec_port *p, const char *ip, void *arg)
{
	struct term_table *t = arg;
	auto_free char *host =
		spec_port_host(p) ? xasprintf("%u", (unsigned)spec_port_host(p)) : xstrdup("-");
	auto_free char *port = xasprintf("%u", (unsigned)p->port);

	term_table_cell(t, ip);
	term_table_cell(t, host);
	term_table_cell(t, port);
	term_table_cell(t, "tcp");
}

static int print_table(const struct spec_ports *ports, struct err *e)
{
	struct term_table t = { .columns = ARRAY_SIZE(heads) };
	auto_buf b = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		term_table_cell(&t, heads[i]);
	each_address(ports, add_row, &t);
	term_table_write(&t, &b);
	term_table_clear(&t);
	return term_out(&b, e);
}

int cli_parse_ports(const struct strv *texts, const char *option, struct spec_ports *ret,
		    struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < texts->n; i++) {
		struct spec_port p;

		r = spec_port_parse(texts->v[i], &p, e);
		if (r == 0)
			r = spec_ports_add(ret, &p, e);
	}
	if (r == 0)
		return 0;
	e->kind = ERR_USAGE;
	return err_prefix(e, "option --%s", option);
}

/* What was asked for, one after the other; *ports: how it is then. */
static int change(struct cli *c, const struct sandbox *s, const struct spec_ports *list,
		  bool publish, struct spec_ports *ports, struct buf *done, struct err *e)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct spec_port *p = &list->v[i];
		int r;

		spec_ports_clear(ports);
		r = c->ops->ports_change(&c->engine, s, publish ? p : NULL, publish ? NULL : p,
					 ports, e);
		if (r < 0)
			return r;
		if (!publish)
			continue;
		spec_port_shown(&ports->v[ports->n - 1], done);
		buf_putc(done, '\n');
		if (spec_port_is_public(p))
			term_warn("port %u: every computer that reaches this one reaches the "
				  "sandbox there",
				  (unsigned)spec_port_host(&ports->v[ports->n - 1]));
	}
	return 0;
}

static int ports(struct cli *c, const struct sandbox *s, const struct spec_ports *publish,
		 const struct spec_ports *unpublish, struct err *e)
{
	struct spec_ports now = { 0 };
	auto_buf done = BUF_INIT;
	auto_json list = NULL;
	int r;

	if (publish->n + unpublish->n == 0)
		r = c->ops->ports(&c->engine, s, &now, e);
	else
		r = change(c, s, unpublish, false, &now, &done, e);
	if (r == 0)
		r = change(c, s, publish, true, &now, &done, e);
	if (r == 0 && cli_wants_json(c)) {
		list = cli_ports_json(&now);
		r = term_out_json(list, e);
	} else if (publish->n + unpublish->n == 0) {
		r = r < 0 ? r : print_table(&now, e);
	} else if (done.len) {
		struct err ignored = ERR_INIT;

		/* Also what was done before something failed. */
		term_out(&done, r < 0 ? &ignored : e);
	}
	spec_ports_clear(&now);
	return r;
}

int cmd_ports(struct cli *c, struct err *e)
{
	struct spec_ports publish = { 0 }, unpublish = { 0 };
	struct sandbox *s = NULL;
	struct spec *spec = NULL;
	int r = cli_parse_ports(&c->v.publish, "publish", &publish, e);

	if (r == 0)
		r = cli_parse_ports(&c->v.unpublish, "unpublish", &unpublish, e);
	if (r == 0)
		r = cli_find(c, c->operands.v.v[0], &s, e);
	if (r == 0)
		r = cli_spec(s, &spec, e);
	if (r == 0)
		r = ports(c, s, &publish, &unpublish, e);
	spec_free(spec);
	sandbox_free(s);
	spec_ports_clear(&publish);
	spec_ports_clear(&unpublish);
	return r;
}
