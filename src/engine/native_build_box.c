/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_build_box: the box of a step of a build, and the program in it.
 *
 * The box is a sandbox's in every respect but that it has no record: it lives in the step's
 * directory, and no other command sees it.  Its program's output goes to standard error; of a quiet
 * build only lines that begin with "I: " are told, and its end when it fails.
 */
#include <errno.h>
#include <string.h>

#include "base/boxnet.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/build_internal.h"

#define CA_FILE "/dev/ward-ca.pem"
enum { LOG_MAX = 4 << 20, GRACE_SECONDS = 2 };
enum { WAIT_MS = 250, TAIL_BYTES = 8192, TAIL_LINES = 15 };

int build_interrupted(const struct build *b, struct err *e)
{
	if (!b->interrupted || !b->interrupted())
		return 0;
	return err_set(e, ERR_CONFLICT, -EINTR, "interrupted");
}

static void add_file(struct box_config *c, const char *path, const char *content)
{
	c->files = xrealloc(c->files, c->nfiles + 1, sizeof(*c->files));
	c->files[c->nfiles++] = (struct box_file){ .path = xstrdup(path),
						   .content = xstrdup(content),
						   .mode = 0755 };
}

struct spec *build_box_spec(const struct build *b, const struct build_step *p)
{
	struct spec *s = spec_new();

	s->id = xstrdup(p->box.id);
	s->name = xstrdup("build");
	s->agent = xstrdup("shell");
	s->tmpl.ref = xstrdup("build"); /* its layers are the configuration's */
	s->credentials = SPEC_CREDENTIALS_NONE;
	s->network = b->q->network;
	s->network_default = b->q->network_default;
	strv_extend(&s->allow_hosts, b->q->allow_hosts);
	strv_extend(&s->deny_hosts, b->q->deny_hosts);
	/* A spec has one; a box that builds mounts none. */
	s->workspaces = xcalloc(1, sizeof(*s->workspaces));
	s->workspaces[0].path = xstrdup(p->box.dir);
	s->nworkspaces = 1;
	return s;
}

/* Over the layers of the stage; script: what is to be in BUILD_STEP_FILE, or NULL. */
static struct box_config *config_of(const struct build *b, const struct build_step *p,
				    const char *script, const struct buf *ca)
{
	struct box_config *c = box_config_new();

	c->build = true;
	c->ids = b->ids;
	c->spec = build_box_spec(b, p);
	c->dir = xstrdup(p->box.dir);
	c->hostname = xstrdup("build");
	c->home = xstrdup("/root");
	c->proxy_port = NATIVE_PROXY_PORT;
	strv_extend(&c->layers, &p->layers);
	if (script)
		add_file(c, BUILD_STEP_FILE, script);
	if (ca->len)
		add_file(c, CA_FILE, buf_str(ca));
	if (b->ids.mode == BOX_ID_SINGLE)
		add_file(c, BUILD_APT_FILE, "APT::Sandbox::User \"root\";\n");
	return c;
}

int build_box_start(const struct build *b, const struct build_step *p, const struct box_config *c,
		    struct err *e)
{
	struct spec_rules_base rules = { 0 };
	auto_free char *init = NULL;
	auto_free char *proxy = NULL;
	auto_proxies proxies = { 0 };
	auto_free char *relay = NULL;
	auto_close int lock = -1;
	const struct spec_ports ports = { 0 }; /* none is published */
	struct kit *k = NULL;
	int r = kit_load("shell", b->c->paths.config, NULL, &k, e);

	if (r == 0)
		r = spec_rules_base(c->spec, k, &rules, e);
	if (r == 0)
		r = native_helper("ward-init", &init, e);
	if (r == 0)
		r = engine_proxies(b->c, &proxies, e);
	if (r == 0)
		r = native_helper(proxies_need_tls(&proxies) ? "ward-proxy-tls" : "ward-proxy",
				  &proxy, e);
	if (r == 0)
		r = native_helper("ward-ports", &relay, e);
	if (r == 0)
		r = state_lock(&p->box, &lock, e);
	if (r == 0)
		r = supervise_start(&(struct supervise_params){ .sandbox = &p->box,
								.config = c,
								.rules = &rules,
								.config_dir = b->c->paths.config,
								.name = c->spec->name,
								.init_path = init,
								.proxy_path = proxy,
								.proxies = &proxies,
								.ports_path = relay,
								.ports = &ports,
								.grace_seconds = GRACE_SECONDS },
				    lock, e);
	kit_free(k);
	spec_rules_base_clear(&rules);
	return r;
}

/* What it wanted to reach and was not allowed to: each name once. */
static void tell_denials(const struct build *b, const struct build_step *p)
{
	auto_buf text = BUF_INIT;
	auto_strv told = STRV_INIT;

	if (fs_read_at(p->box.dirfd, "log/network.jsonl", LOG_MAX, &text, NULL) < 0)
		return;
	for (const char *at = buf_str(&text); *at; at += strcspn(at, "\n"), at += *at == '\n') {
		auto_json j = NULL;
		const char *verdict, *host;
		uint64_t port = 0;
		auto_free char *line = NULL;

		if (json_parse(at, strcspn(at, "\n"), &j, NULL) < 0 ||
		    json_get_string(j, "verdict", &verdict) < 0 || strcmp(verdict, "deny") != 0 ||
		    json_get_string(j, "host", &host) < 0)
			continue;
		(void)json_get_uint(j, "port", &port);
		line = port ? xasprintf("%s:%u", host, (unsigned)port) : xstrdup(host);
		if (strv_contains(&told, line))
			continue;
		strv_add(&told, line);
		build_say(b, "the network policy refused %s (--allow-host %s)", line, host);
	}
}

static int stop_box(const struct build_step *p, struct err *e)
{
	auto_close int conn = -1;
	int r = control_connect(&p->box, &conn, e);

	if (r == -ENOTCONN) {
		*e = ERR_INIT;
		return 0;
	}
	return r < 0 ? r : control_stop(conn, 0, false, e);
}

/* --- its program ------------------------------------------------------------------------------ */

/* The last line of the output that begins with "I: ", once. */
static void say_news(const struct build *b, const struct buf *tail, char **said)
{
	const char *last = NULL;
	auto_free char *line = NULL;

	for (const char *at = buf_str(tail); at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (text_starts(at, "I: ") && strchr(at, '\n') && !text_starts(at, "I: skipping") &&
		    !text_starts(at, "I: using "))
			last = at;
	}
	if (!last)
		return;
	line = xstrndup(last + 3, strcspn(last + 3, "\n"));
	if (*said && strcmp(*said, line) == 0)
		return;
	free(*said);
	build_say(b, "%s", line);
	*said = steal(&line);
}

static void show_tail(const struct build *b, const struct buf *tail)
{
	const char *text = buf_str(tail);
	const char *from = text + tail->len;
	int lines = 0;

	while (from > text && lines < TAIL_LINES + 1) {
		from--;
		lines += *from == '\n';
	}
	for (from += from > text; *from && b->c->say; from += strspn(from, "\n")) {
		auto_free char *line = xstrndup(from, strcspn(from, "\n"));

		b->c->say(b->c->say_arg, ENGINE_SAY_OUTPUT, line);
		from += strlen(line);
	}
}

/* Of a quiet build: what is new, and the end of the output when it fails. */
static int wait_program(const struct build *b, int conn, int *ret_code, struct err *e)
{
	auto_buf tail = BUF_INIT;
	auto_free char *said = NULL;
	int r;

	do {
		if (build_interrupted(b, e) < 0)
			return -EINTR;
		r = control_wait(conn, TAIL_BYTES, WAIT_MS, &tail, ret_code, e);
		say_news(b, &tail, &said);
	} while (r == -ETIMEDOUT);
	if (r < 0 || *ret_code != 0)
		show_tail(b, &tail);
	return r;
}

static int relay_program(int conn, int *ret_code, struct err *e)
{
	const struct relay_options o = { .to_stderr = true, .detach_keys = "" };
	struct relay_result result = { 0 };
	int r = relay_run(conn, &o, &result, e);

	if (r < 0)
		return r;
	json_unref(result.refused);
	if (result.end == RELAY_HUNG_UP)
		return err_set(e, ERR_CONFLICT, -EINTR, "it was interrupted");
	if (result.end != RELAY_EXITED)
		return err_set(e, ERR_CONFLICT, -EPIPE, "its box ended");
	*ret_code = result.exit_code;
	return 0;
}

static int run_program(const struct build *b, const struct build_step *p,
		       struct spec_session *session, int *ret_code, struct err *e)
{
	auto_close int conn = -1;
	uint32_t id;
	int r = control_connect(&p->box, &conn, e);

	if (r == 0)
		r = control_start(conn, session, false, &id, e);
	if (r < 0)
		return r;
	return b->quiet ? wait_program(b, conn, ret_code, e) : relay_program(conn, ret_code, e);
}

int build_box_program(const struct build *b, const struct build_step *p,
		      struct spec_session *session, struct err *e)
{
	struct err why = ERR_INIT;
	int code = 0, stopped;
	int r = run_program(b, p, session, &code, e);

	if (r < 0 || code != 0)
		tell_denials(b, p);
	stopped = stop_box(p, &why);
	if (r < 0)
		return r;
	if (code > 128)
		return err_set(e, ERR_INPUT, -ECANCELED, "the command exited with %d (signal %d)",
			       code, code - 128);
	if (code != 0)
		return err_set(e, ERR_INPUT, -ECANCELED, "the command exited with %d", code);
	if (stopped < 0)
		*e = why;
	return stopped;
}

int build_box_run(const struct build *b, const struct build_step *p, const char *script,
		  struct spec_session *session, struct err *e)
{
	struct box_config *c;
	auto_buf ca = BUF_INIT;
	int r = native_ca_bundle(b->c, NULL, &p->layers, &ca, e);

	if (r < 0)
		return r;
	if (ca.len)
		native_ca_set(CA_FILE, &session->env);
	c = config_of(b, p, script, &ca);
	r = build_box_start(b, p, c, e);
	box_config_free(c);
	return r < 0 ? r : build_box_program(b, p, session, e);
}
