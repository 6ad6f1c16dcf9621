/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native: the engine that makes boxes on this machine.
 *
 * It joins the pieces: state (directories and locks), box (ids, plan), supervise (the running end).
 * A start is decided by the life lock alone: whoever gets it starts the supervisor, everybody else
 * waits for the control socket or for the lock to come free again.
 *
 * Invariants: a sandbox whose ids changed since its files were made is not started (its files would
 * belong to strangers); nothing is removed while the life lock is held by somebody else.
 */
#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/engine_internal.h"
#include "supervise/supervise.h"

enum {
	START_WAIT_MS = 30000,
	START_POLL_MS = 5,
	BUSY_POLL_MS = 50,
	REMOVE_GRACE_MS = 2000,
	IDS_FILE_MAX = 4096
};
#define IDS_FILE "ids.json"

void native_loaded_clear(struct native_loaded *l)
{
	spec_free(l->spec);
	kit_free(l->kit);
}

int native_load(struct engine_context *c, const struct sandbox *s, struct native_loaded *ret,
		struct err *e)
{
	struct kit_extras extras = { 0 };
	struct native_loaded l = { 0 };
	int r;

	if (!s->spec) {
		err_set(e, ERR_CORRUPT, -EUCLEAN, "sandbox %s: %s", s->id,
			s->problem ? s->problem : "no spec");
		return err_hint(e, "ward rm -f %s", s->id);
	}
	r = spec_from_json(s->spec, &l.spec, e);
	if (r < 0)
		return err_prefix(e, "sandbox %s", s->id);
	kit_extras_of(l.spec, s->dir, &extras);
	r = kit_load(l.spec->agent, c->paths.config, &extras, &l.kit, e);
	kit_extras_clear(&extras);
	if (r < 0) {
		native_loaded_clear(&l);
		return r;
	}
	*ret = l;
	return 0;
}

static int native_probe(struct engine_context *c, struct err *e)
{
	auto_free char *path = NULL;
	int r;

	(void)c;
	r = box_probe(e);
	if (r < 0)
		return r;
	r = native_helper("ward-init", &path, e);
	if (r < 0)
		return r;
	free(steal(&path));
	return native_helper("ward-proxy", &path, e);
}

static struct json *rules_json(const char *rules)
{
	struct json *list = json_array();

	while (*rules) {
		const char *end = strchrnul(rules, '\n');

		if (end != rules)
			json_append(list, json_string_n(rules, (size_t)(end - rules)));
		rules = *end ? end + 1 : end;
	}
	return list;
}

static int native_plan(struct engine_context *c, const struct spec *s, const struct kit *k,
		       struct json **ret, struct err *e)
{
	auto_free char *dir = xasprintf("%s/sandboxes/%s", c->paths.data, s->id ? s->id : "NEW");
	auto_free char *rules = NULL;
	struct box_config *b = NULL;
	struct box_plan plan = { 0 };
	struct json *j;
	int r;

	r = engine_policy_text(c, s, k, dir, &rules, e);
	if (r < 0)
		return r;
	r = native_config(c, s, k, dir, false, &b, e);
	if (r < 0)
		return r;
	r = box_plan_make(b, &plan, e);
	if (r == 0) {
		j = json_object();
		json_set(j, "spec", spec_to_json(s));
		json_set_string(j, "id_mode", box_id_mode_name((enum box_id_mode)b->ids.mode));
		json_set(j, "operations", box_plan_to_json(&plan));
		json_set(j, "rules", rules_json(rules));
		*ret = j;
	}
	box_plan_clear(&plan);
	box_config_free(b);
	return r;
}

/* What is in a new sandbox from the beginning. */
struct beginning {
	struct kit_bundle *const *kits;
	size_t nkits;
	bool unfilled;
};

static int write_beginning(int dirfd, void *arg, struct err *e)
{
	const struct beginning *b = arg;
	int r = b->unfilled ? fs_replace_at(dirfd, NATIVE_UNFILLED, "", 0, 0600, false, e) : 0;

	for (size_t i = 0; r == 0 && i < b->nkits; i++)
		r = kit_bundle_write(b->kits[i], dirfd, e);
	return r;
}

static int native_create(struct engine_context *c, struct spec *s, struct kit_bundle *const *kits,
			 struct sandbox **ret, struct err *e)
{
	struct beginning beginning = { .kits = kits,
				       .nkits = s->kits.n,
				       .unfilled = s->tmpl.kind == SPEC_TEMPLATE_IMAGE };
	auto_json j = NULL;
	int r;

	if (!s->id) {
		s->id = xmalloc(33);
		text_random_hex(s->id, 16);
	}
	if (!s->created_at)
		s->created_at = (int64_t)time(NULL);
	j = spec_to_json(s);
	r = state_create(&c->paths, j, write_beginning, &beginning, ret, e);
	/* From now on the sandbox itself keeps its template. */
	if (r == 0)
		engine_release_template(c);
	return r;
}

int native_ids_read(const struct sandbox *s, struct box_ids *ret, struct err *e)
{
	auto_buf b = BUF_INIT;
	auto_json j = NULL;
	struct box_ids ids = { 0 };
	int r;

	r = fs_read_at(s->dirfd, IDS_FILE, IDS_FILE_MAX, &b, e);
	if (r < 0)
		return r;
	r = json_parse(buf_str(&b), b.len, &j, e);
	if (r == 0)
		r = box_ids_from_json(j, &ids, e);
	if (r < 0)
		return err_prefix(e, "sandbox %s: " IDS_FILE, s->id);
	*ret = ids;
	return 0;
}

static int ids_write(const struct sandbox *s, const struct box_ids *ids, struct err *e)
{
	auto_json j = box_ids_to_json(ids);
	auto_buf b = BUF_INIT;

	json_write(j, false, &b);
	return fs_replace_at(s->dirfd, IDS_FILE, b.data, b.len, 0600, false, e);
}

/* The files of a sandbox belong to the ids of its first start; other ids must not be let in. */
static int check_ids(const struct sandbox *s, const struct box_ids *now, struct err *e)
{
	struct box_ids then;
	int r = native_ids_read(s, &then, e);

	if (r == -ENOENT)
		return ids_write(s, now, e);
	if (r < 0)
		return r;
	if (memcmp(&then, now, sizeof(then)) == 0)
		return 0;
	err_set(e, ERR_CONFLICT, -ESTALE,
		"the user ids of this sandbox were %s and are %s now: its files would belong to "
		"others",
		box_id_mode_name((enum box_id_mode)then.mode),
		box_id_mode_name((enum box_id_mode)now->mode));
	return err_hint(
		e, "restore the ranges in /etc/subuid and /etc/subgid, or run with --recreate");
}

static int check_workspace(const struct spec_workspace *w, struct err *e)
{
	struct stat st;

	if (stat(w->path, &st) < 0) {
		err_sys(e, "workspace %s", w->path);
		return err_hint(e, "restore the directory, or remove the sandbox: ward rm");
	}
	if (!S_ISDIR(st.st_mode) || st.st_dev != w->dev || st.st_ino != w->ino) {
		err_set(e, ERR_CONFLICT, -ESTALE,
			"workspace %s: this is another directory than the one the sandbox was made "
			"for",
			w->path);
		return err_hint(e, "run with --recreate to make a new sandbox for it");
	}
	return 0;
}

/* Start with the lock in hand. */
static int start_locked(struct engine_context *c, const struct sandbox *s, int lock_fd,
			struct err *e)
{
	struct native_loaded l = { 0 };
	struct box_config *b = NULL;
	struct spec_rules_base rules = { 0 };
	auto_free char *init_path = NULL;
	auto_free char *proxy_path = NULL;
	auto_free char *ports_path = NULL;
	struct spec_ports ports = { 0 };
	struct supervise_credentials credentials = { 0 };
	auto_proxies proxies = { 0 };
	struct supervise_params p;
	int r;

	r = native_load(c, s, &l, e);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < l.spec->nworkspaces; i++)
		r = check_workspace(&l.spec->workspaces[i], e);
	if (r == 0)
		r = spec_rules_base(l.spec, l.kit, &rules, e);
	if (r == 0)
		r = native_image_ready(c, l.spec, e);
	if (r == 0)
		r = native_config(c, l.spec, l.kit, s->dir, true, &b, e);
	if (r == 0)
		r = check_ids(s, &b->ids, e);
	if (r == 0)
		r = native_helper("ward-init", &init_path, e);
	if (r == 0)
		r = engine_proxies(c, &proxies, e);
	if (r == 0)
		r = native_helper(proxies_need_tls(&proxies) ? "ward-proxy-tls" : "ward-proxy",
				  &proxy_path, e);
	if (r == 0)
		r = native_helper("ward-ports", &ports_path, e);
	if (r == 0)
		r = supervise_ports_read(s, &l.spec->ports, &ports, e);
	if (r == 0)
		r = native_provision_begin(s, l.spec, l.kit, e);
	if (r == 0)
		r = native_credentials(c, l.spec, l.kit, &credentials, e);
	if (r == 0) {
		p = (struct supervise_params){ .sandbox = s,
					       .config = b,
					       .rules = &rules,
					       .config_dir = c->paths.config,
					       .name = l.spec->name,
					       .init_path = init_path,
					       .proxy_path = proxy_path,
					       .proxies = &proxies,
					       .ports_path = ports_path,
					       .ports = &ports,
					       .grace_seconds = c->config->grace_seconds,
					       .credentials = credentials };
		r = supervise_start(&p, lock_fd, e);
		if (r == 0 && b->fill_home)
			(void)unlinkat(s->dirfd, NATIVE_UNFILLED, 0);
		if (r == -EADDRINUSE)
			native_ports_explain(c, s, &ports, e);
	}
	spec_ports_clear(&ports);
	supervise_credentials_clear(&credentials);
	spec_rules_base_clear(&rules);
	box_config_free(b);
	native_loaded_clear(&l);
	return r;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

/* As the user calls it. */
static const char *native_name(const struct sandbox *s)
{
	const char *name;

	return s->spec && json_get_string(s->spec, "name", &name) == 0 ? name : s->id;
}

/* Does the lock's holder something that may take long? Then waiting for it has no end, and is said
 * once. */
static bool is_busy(struct engine_context *c, const struct sandbox *s, bool *said)
{
	auto_free char *what = NULL;
	auto_free char *text = NULL;

	if (!state_busy(s, &what))
		return false;
	if (!*said && c->say) {
		text = xasprintf("waiting: sandbox '%s' is %s", native_name(s), what);
		c->say(c->say_arg, ENGINE_SAY_PROGRESS, text);
	}
	*said = true;
	pause_ms(BUSY_POLL_MS);
	return true;
}

static int native_start(struct engine_context *c, const struct sandbox *s, bool *ret_started,
			struct err *e)
{
	uint64_t deadline = now_ms() + START_WAIT_MS;
	bool said = false;

	for (;;) {
		auto_close int lock = -1;
		auto_close int conn = -1;
		struct err ignored = ERR_INIT;
		int r = state_lock(s, &lock, e);

		if (r == 0) {
			r = start_locked(c, s, lock, e);
			if (r == 0)
				*ret_started = true;
			return r;
		}
		if (r != -EWOULDBLOCK)
			return r;
		/* It runs, or somebody is starting or stopping it at this moment. */
		if (control_connect(s, &conn, &ignored) == 0) {
			*ret_started = false;
			return 0;
		}
		if (is_busy(c, s, &said)) {
			deadline = now_ms() + START_WAIT_MS;
			continue;
		}
		if (now_ms() > deadline) {
			err_set(e, ERR_CONFLICT, -EBUSY,
				"sandbox %s is locked, but nothing answers: %s", s->id,
				ignored.message);
			return err_hint(e, "ward stop %s", s->id);
		}
		pause_ms(START_POLL_MS);
	}
}

static int relay(int conn, const struct engine_term *t, struct engine_result *ret, struct err *e)
{
	struct relay_options o = { .tty = t->tty,
				   .interactive = t->interactive,
				   .raw_tty = t->raw_tty,
				   .quiet = t->quiet,
				   .detach_keys = t->detach_keys };
	struct relay_result result = { 0 };
	int r = relay_run(conn, &o, &result, e);

	if (r < 0)
		return r;
	*ret = (struct engine_result){ .detached = result.end == RELAY_DETACHED,
				       .hung_up = result.end == RELAY_HUNG_UP,
				       .lost = result.end == RELAY_LOST,
				       .output_error = result.output_error,
				       .refused = result.refused,
				       .exit_code = result.exit_code };
	return 0;
}

static int native_exec(struct engine_context *c, const struct sandbox *s,
		       struct spec_session *session, bool detach, const struct engine_term *t,
		       uint32_t *ret_id, struct engine_result *ret, struct err *e)
{
	auto_close int conn = -1;
	struct spec *spec = NULL;
	int r;

	r = spec_from_json(s->spec, &spec, e);
	if (r < 0)
		return err_prefix(e, "sandbox %s", s->id);
	r = native_session_env(c, spec, session, e);
	if (r < 0) {
		spec_free(spec);
		return r;
	}
	if (!session->cwd)
		session->cwd = xstrdup(spec->workspaces[0].path);
	spec_free(spec);
	r = native_provision(c, s, e);
	if (r == 0)
		r = control_connect(s, &conn, e);
	if (r < 0)
		return r;
	r = control_start(conn, session, detach, ret_id, e);
	if (r < 0 || detach)
		return r;
	return relay(conn, t, ret, e);
}

static int native_attach(struct engine_context *c, const struct sandbox *s, uint32_t id,
			 const struct engine_term *t, struct engine_result *ret, struct err *e)
{
	auto_close int conn = -1;
	int r;

	(void)c;
	r = control_connect(s, &conn, e);
	if (r == 0)
		r = control_attach(conn, id, &id, e);
	return r < 0 ? r : relay(conn, t, ret, e);
}

static int native_signal(struct engine_context *c, const struct sandbox *s, uint32_t id, int signo,
			 struct err *e)
{
	auto_close int conn = -1;
	int r;

	(void)c;
	r = control_connect(s, &conn, e);
	return r < 0 ? r : control_signal(conn, id, signo, e);
}

static int native_stats(struct engine_context *c, const struct sandbox *s, struct json **ret,
			struct err *e)
{
	auto_close int conn = -1;
	int r;

	(void)c;
	if (!state_is_running(s)) {
		*ret = NULL;
		return 0;
	}
	r = control_connect(s, &conn, e);
	return r < 0 ? r : control_info(conn, ret, e);
}

static int native_copy(const struct sandbox *s, const char *path, int tar_fd, bool out,
		       struct err *e)
{
	auto_close int conn = -1;
	int r = control_connect(s, &conn, e);

	if (r < 0)
		return r;
	/* As root inside, like `docker cp`: the user owns the sandbox and may see all of it. */
	return out ? control_copy_out(conn, path, COPY_AS_ROOT, tar_fd, e)
		   : control_copy_in(conn, path, COPY_AS_ROOT, tar_fd, e);
}

static int native_copy_out(struct engine_context *c, const struct sandbox *s, const char *path,
			   int tar_fd, struct err *e)
{
	(void)c;
	return native_copy(s, path, tar_fd, true, e);
}

static int native_copy_in(struct engine_context *c, const struct sandbox *s, const char *path,
			  int tar_fd, struct err *e)
{
	(void)c;
	return native_copy(s, path, tar_fd, false, e);
}

/* only_idle: -EBUSY when anything runs in it. */
static int stop(const struct sandbox *s, unsigned grace_ms, bool only_idle, struct err *e)
{
	uint64_t deadline = now_ms() + grace_ms + START_WAIT_MS;
	auto_close int conn = -1;
	int r;

	while (state_is_running(s)) {
		r = control_connect(s, &conn, e);
		if (r == 0)
			return control_stop(conn, grace_ms, only_idle, e);
		if (r != -ENOTCONN)
			return r;
		if (now_ms() > deadline)
			return err_prefix(
				e, "sandbox %s is locked, but its supervisor does not answer",
				s->id);
		pause_ms(START_POLL_MS);
	}
	return 0;
}

static int native_stop(struct engine_context *c, const struct sandbox *s, unsigned grace_ms,
		       struct err *e)
{
	(void)c;
	return stop(s, grace_ms, false, e);
}

static int native_remove(struct engine_context *c, struct sandbox *s, bool force, struct err *e)
{
	auto_close int lock = -1;
	bool said = false;
	struct box_ids ids;
	int r;

	if (s->dirfd < 0) /* something else has its place: there is no lock, and no file of a box */
		return state_remove(&c->paths, s, e);
	r = state_lock(s, &lock, e);
	if (r == -EWOULDBLOCK) {
		r = stop(s, REMOVE_GRACE_MS, !force, e);
		if (r == -EBUSY) {
			err_set(e, ERR_CONFLICT, -EBUSY, "sandbox '%s' is running", native_name(s));
			return err_hint(e, "ward stop %s, or ward rm -f %s", native_name(s),
					native_name(s));
		}
		for (uint64_t end = now_ms() + START_WAIT_MS; r == 0 && now_ms() < end;
		     pause_ms(START_POLL_MS)) {
			r = state_lock(s, &lock, e);
			if (r != -EWOULDBLOCK)
				break;
			r = 0;
			if (is_busy(c, s, &said))
				end = now_ms() + START_WAIT_MS;
		}
	}
	if (r < 0)
		return r;
	if (lock < 0)
		return err_set(e, ERR_CONFLICT, -EBUSY, "sandbox %s does not stop", s->id);
	r = native_ids_read(s, &ids, e);
	if (r == 0) {
		r = box_remove_files(&ids, s->dirfd, e);
		if (r < 0)
			return err_prefix(e, "sandbox %s", s->id);
	} else if (r != -ENOENT) {
		return r;
	}
	return state_remove(&c->paths, s, e);
}

static int native_log_out(struct engine_context *c, const struct sandbox *s, struct err *e)
{
	auto_close int lock = -1;
	struct native_loaded l = { 0 };
	struct box_ids ids;
	int r;

	/* A kit that is gone is no reason to stay logged in. */
	(void)native_load(c, s, &l, NULL);
	r = native_has_credentials(s, l.kit) ? state_lock(s, &lock, e) : 0;
	if (r == -EWOULDBLOCK) {
		r = -EAGAIN;
	} else if (r == 0 && lock >= 0) {
		r = native_ids_read(s, &ids, e);
		r = r == 0 ? native_remove_credentials(s, l.kit, &ids, e) : r == -ENOENT ? 0 : r;
	}
	native_loaded_clear(&l);
	return r < 0 && r != -EAGAIN ? err_prefix(e, "sandbox '%s'", native_name(s)) : r;
}

const struct engine_ops engine_native = {
	.name = "native",
	.capabilities = ENGINE_CAP_TEMPLATE_HOST | ENGINE_CAP_TEMPLATE_DIR |
			ENGINE_CAP_TEMPLATE_IMAGE | ENGINE_CAP_READONLY_WORKSPACE |
			ENGINE_CAP_DETACH | ENGINE_CAP_COPY | ENGINE_CAP_NETWORK_RULES |
			ENGINE_CAP_PORTS,
	.probe = native_probe,
	.plan = native_plan,
	.template = native_template,
	.create = native_create,
	.start = native_start,
	.exec = native_exec,
	.attach = native_attach,
	.signal = native_signal,
	.sessions = native_sessions,
	.take_ended = native_take_ended,
	.logs = native_logs,
	.stats = native_stats,
	.ports = native_ports,
	.ports_change = native_ports_change,
	.copy_out = native_copy_out,
	.copy_in = native_copy_in,
	.stop = native_stop,
	.log_out = native_log_out,
	.save = native_save,
	.rules = native_rules,
	.policy_ask = native_policy_ask,
	.policy_answer = native_policy_answer,
	.remove = native_remove,
};
