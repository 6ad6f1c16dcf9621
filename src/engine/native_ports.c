/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_ports: the published ports of a sandbox, running or not.
 *
 * Of a running one the supervisor has the list; of a stopped one it is its record, which is changed
 * with the life lock in hand.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "engine/engine_internal.h"

enum { POLL_MS = 5, WAIT_MS = 30000 };

int native_ports(struct engine_context *c, const struct sandbox *s, struct spec_ports *ret,
		 struct err *e)
{
	struct spec *spec = NULL;
	int r;

	(void)c;
	/* The supervisor keeps the record up to date: nobody needs to be asked. */
	r = spec_from_json(s->spec, &spec, e);
	if (r == 0)
		r = supervise_ports_read(s, &spec->ports, ret, e);
	spec_free(spec);
	return r < 0 ? err_prefix(e, "sandbox %s", s->id) : 0;
}

/* The name of the running sandbox that has this port of the host, or NULL. Caller frees. */
static char *holder(struct engine_context *c, const struct sandbox *except, uint16_t host)
{
	struct sandbox **list = NULL;
	char *name = NULL;
	size_t n = 0;

	if (state_list(&c->paths, &list, &n, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < n && !name; i++) {
		struct spec_ports ports = { 0 };
		const char *text;

		if (!list[i]->spec || strcmp(list[i]->id, except->id) == 0 ||
		    !state_is_running(list[i]) || native_ports(c, list[i], &ports, NULL) < 0)
			continue;
		for (size_t k = 0; k < ports.n && !name; k++) {
			if (spec_port_host(&ports.v[k]) == host &&
			    json_get_string(list[i]->spec, "name", &text) == 0)
				name = xstrdup(text);
		}
		spec_ports_clear(&ports);
	}
	state_list_free(list, n);
	return name;
}

int native_ports_explain(struct engine_context *c, const struct sandbox *s,
			 const struct spec_ports *ports, struct err *e)
{
	const char *name = s->id;

	if (!e || e->code != -EADDRINUSE || e->kind != ERR_CONFLICT)
		return e ? e->code : -EADDRINUSE;
	(void)json_get_string(s->spec, "name", &name);
	for (size_t i = 0; i < ports->n; i++) {
		const struct spec_port *p = &ports->v[i];
		auto_free char *other = NULL;
		auto_free char *where = xasprintf(":%u of this machine", (unsigned)p->host);

		if (!p->host || !strstr(e->message, where))
			continue;
		other = holder(c, s, p->host);
		err_prefix(e, "sandbox '%s'", name);
		if (other)
			return err_hint(e,
					"sandbox '%s' has it: ward ports %s; or take another: "
					"ward ports %s --unpublish %u:%u --publish %u",
					other, other, name, (unsigned)p->host, (unsigned)p->port,
					(unsigned)p->port);
		return err_hint(e,
				"ss -ltnp 'sport = :%u' shows who listens; or take another: ward "
				"ports %s --unpublish %u:%u --publish %u",
				(unsigned)p->host, name, (unsigned)p->host, (unsigned)p->port,
				(unsigned)p->port);
	}
	return e->code;
}

static int change(struct spec_ports *list, const struct spec_port *publish,
		  const struct spec_port *unpublish, struct err *e)
{
	struct spec_port copy;
	struct spec_ports one = { 0 };
	int r;

	if (unpublish)
		return spec_ports_remove(list, unpublish) ? 0
							  : supervise_ports_unknown(unpublish, e);
	copy = *publish;
	spec_ports_copy(&(struct spec_ports){ .v = &copy, .n = 1 }, &one);
	r = spec_ports_add(list, &one.v[0], e);
	spec_ports_clear(&one);
	return r;
}

static int change_recorded(struct engine_context *c, const struct sandbox *s,
			   const struct spec_port *publish, const struct spec_port *unpublish,
			   struct spec_ports *ret, struct err *e)
{
	struct spec_ports list = { 0 };
	int r = native_ports(c, s, &list, e);

	if (r == 0)
		r = change(&list, publish, unpublish, e);
	if (r == 0)
		r = supervise_ports_write(s, &list, e);
	if (r < 0) {
		spec_ports_clear(&list);
		return r;
	}
	*ret = list;
	return 0;
}

int native_ports_change(struct engine_context *c, const struct sandbox *s,
			const struct spec_port *publish, const struct spec_port *unpublish,
			struct spec_ports *ret, struct err *e)
{
	for (int waited = 0;; waited += POLL_MS) {
		auto_close int lock = -1;
		auto_close int conn = -1;
		int r = state_lock(s, &lock, e);

		if (r == 0)
			return change_recorded(c, s, publish, unpublish, ret, e);
		if (r != -EWOULDBLOCK)
			return r;
		/* It runs, or somebody is starting or stopping it at this moment. */
		r = control_connect(s, &conn, e);
		if (r == 0)
			r = control_ports(conn, publish, unpublish, ret, e);
		if (r == -EADDRINUSE && publish) {
			struct spec_port copy = *publish;

			return native_ports_explain(c, s,
						    &(struct spec_ports){ .v = &copy, .n = 1 }, e);
		}
		if ((r != -ENOTCONN && r != -EPIPE) || waited >= WAIT_MS)
			return r;
		nanosleep(&(struct timespec){ .tv_nsec = POLL_MS * 1000000L }, NULL);
		*e = ERR_INIT;
	}
}
