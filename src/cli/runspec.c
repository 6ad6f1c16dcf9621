/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runspec: the command line of `run` and `create` becomes a spec.
 *
 * Values come from the command line, then config.yaml, then the defaults.  What a value may be is
 * decided by spec/ and policy/; here they are only collected, and a wrong one is a usage error that
 * names its option.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

void run_request_clear(struct run_request *q)
{
	kit_free(q->kit);
	run_kits_clear(&q->kits);
	for (size_t i = 0; i < q->nworkspaces; i++)
		spec_workspace_clear(&q->workspaces[i]);
	free(q->workspaces);
	strv_free(&q->agent_args);
	buf_free(&q->note);
	strv_free(&q->git_notes);
	*q = (struct run_request){ 0 };
}

struct spec_paths run_spec_paths(const struct cli *c)
{
	return (struct spec_paths){ .home = c->engine.paths.home,
				    .data = c->engine.paths.data,
				    .runtime = c->engine.paths.runtime,
				    .config = c->engine.paths.config };
}

/* A value of the command line that cannot be: exit code 2, and the option's name in front. */
static int bad_option(const char *option, struct err *e)
{
	if (e && e->kind == ERR_INPUT)
		e->kind = ERR_USAGE;
	return err_prefix(e, "option --%s", option);
}

/* --- workspaces ------------------------------------------------------------------------------- */

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_workspace(const char *arg)
{
	auto_free char *path = xstrdup(arg);

	if (arg[0] == '-' || arg[0] == '\0')
		return false;
	if (is_directory(path))
		return true;
	if (!text_ends(path, ":ro"))
		return false;
	path[strlen(path) - strlen(":ro")] = '\0';
	return is_directory(path);
}

static int add_workspace(struct cli *c, struct run_request *q, const char *text, struct err *e)
{
	struct spec_paths paths = run_spec_paths(c);
	struct spec_workspace w = { 0 };
	int r = spec_workspace_parse(text, &paths, &w, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < q->nworkspaces; i++) {
		if (strcmp(q->workspaces[i].path, w.path) == 0) {
			spec_workspace_clear(&w); /* named twice: -w . and . */
			return 0;
		}
	}
	q->workspaces = xrealloc(q->workspaces, q->nworkspaces + 1, sizeof(*q->workspaces));
	q->workspaces[q->nworkspaces++] = w;
	return 0;
}

/* Something that reads like a path but is no directory goes to the agent; say so. */
static void remark_path(const struct cli *c, const char *arg)
{
	auto_free char *shown = NULL;

	if (!text_starts(arg, "./") && !text_starts(arg, "../") && !text_starts(arg, "~/") &&
	    !text_ends(arg, ":ro"))
		return;
	shown = text_escaped(arg);
	term_note(c, "'%s' is no directory here: it is passed to the agent", shown);
}

int run_request_operands(struct cli *c, bool all_workspaces, struct run_request *q, struct err *e)
{
	const struct strv *o = &c->operands.v;
	size_t i = 1;
	int r = 0;

	if (c->v.workspace)
		r = add_workspace(c, q, c->v.workspace, e);
	for (; r == 0 && i < o->n && (all_workspaces || is_workspace(o->v[i])); i++)
		r = add_workspace(c, q, o->v[i], e);
	if (r == 0 && q->nworkspaces == 0)
		r = add_workspace(c, q, ".", e);
	if (r < 0)
		return r;
	if (i < o->n && strcmp(o->v[i], "--") == 0)
		i++;
	else if (i < o->n)
		remark_path(c, o->v[i]);
	for (; i < o->n; i++)
		strv_add(&q->agent_args, o->v[i]);
	return cli_check_args(&q->agent_args, e);
}

/* --- the parts of a spec ---------------------------------------------------------------------- */

/* What lies in a workspace is the agent's to change: no link there chooses what is mounted. */
static int check_volume_links(const struct run_request *q, const char *text,
			      const struct spec_volume *v, struct err *e)
{
	auto_free char *given = xstrndup(text, strcspn(text, ":"));
	auto_free char *normal = NULL;
	const char *path = fs_normalise(given, &normal, NULL) < 0 ? given : normal;

	for (size_t i = 0; i < q->nworkspaces; i++) {
		auto_free char *shown = NULL;
		auto_free char *real = NULL;

		if (!fs_path_within(path, q->workspaces[i].path) || strcmp(path, v->source) == 0)
			continue;
		shown = text_escaped(given);
		real = text_escaped(v->source);
		err_set(e, ERR_REFUSED, -ELOOP,
			"volume '%s': a symbolic link in the workspace leads elsewhere", shown);
		return err_hint(e, "give the real path: %s", real);
	}
	return 0;
}

static int add_volumes(struct cli *c, const struct run_request *q, struct spec *s, struct err *e)
{
	struct spec_paths paths = run_spec_paths(c);

	for (size_t i = 0; i < c->v.volume.n; i++) {
		struct spec_volume v = { 0 };
		int r = spec_volume_parse(c->v.volume.v[i], &paths, &v, e);

		if (r == 0) {
			r = check_volume_links(q, c->v.volume.v[i], &v, e);
			if (r < 0)
				spec_volume_clear(&v);
		}
		if (r < 0)
			return bad_option("volume", e);
		s->volumes = xrealloc(s->volumes, s->nvolumes + 1, sizeof(*s->volumes));
		s->volumes[s->nvolumes++] = v;
	}
	return 0;
}

/* --hide PATH, relative to the first workspace, must lie within a workspace. */
static int add_hidden(struct cli *c, const struct run_request *q, struct strv *ret, struct err *e)
{
	for (size_t i = 0; i < c->v.hide.n; i++) {
		const char *text = c->v.hide.v[i];
		auto_free char *shown = text_escaped(text);
		auto_free char *joined = NULL;
		auto_free char *path = NULL;
		size_t k;

		while (text_starts(text, "./"))
			text += 2;
		joined = text[0] == '/' ? xstrdup(text) : fs_join(q->workspaces[0].path, text);
		if (!*text || fs_normalise(joined, &path, NULL) < 0)
			return err_set(e, ERR_USAGE, -EINVAL,
				       "option --hide: '%s' is not a path below the workspace",
				       shown);
		for (k = 0; k < q->nworkspaces; k++) {
			const char *top = q->workspaces[k].path;

			if (strcmp(path, top) != 0 && fs_path_within(path, top))
				break;
		}
		if (k == q->nworkspaces)
			return err_set(e, ERR_USAGE, -EINVAL,
				       "option --hide: '%s' is in none of the workspaces", shown);
		strv_take(ret, steal(&path));
	}
	return 0;
}

static int check_rules(const struct strv *patterns, bool allow, const char *option, struct err *e)
{
	struct policy_rules *rules = policy_rules_new();
	int r = 0;

	for (size_t i = 0; r == 0 && i < patterns->n; i++)
		r = policy_rules_add(rules, allow, patterns->v[i], option, e);
	policy_rules_free(rules);
	return r < 0 ? bad_option(option, e) : 0;
}

int run_network(struct cli *c, struct spec *s, struct err *e)
{
	const char *preset = c->v.network;
	int r;

	if (!preset && c->engine.config)
		preset = c->engine.config->network;
	s->network = POLICY_BALANCED;
	s->network_default = !c->v.network;
	if (preset && policy_preset_parse(preset, &s->network) < 0) {
		auto_free char *shown = text_escaped(preset);

		return err_set(e, ERR_INPUT, -EINVAL, "config.yaml: network '%s' is no preset",
			       shown);
	}
	r = check_rules(&c->v.allow_host, true, "allow-host", e);
	if (r == 0)
		r = check_rules(&c->v.deny_host, false, "deny-host", e);
	if (r < 0)
		return r;
	strv_extend(&s->allow_hosts, &c->v.allow_host);
	strv_extend(&s->deny_hosts, &c->v.deny_host);
	return 0;
}

/* The kit's ports are wherever one is free, if the command line does not place them. */
static int set_ports(struct cli *c, const struct run_request *q, struct spec *s, struct err *e)
{
	int r = cli_parse_ports(&c->v.publish, "publish", &s->ports, e);

	if (r == 0)
		spec_ports_of_kit(q->kit, &s->ports);
	return r;
}

static int set_credentials(struct cli *c, struct spec *s, struct err *e)
{
	const char *mode = c->v.credentials;

	if (!mode && c->engine.config)
		mode = c->engine.config->credentials;
	s->credentials = SPEC_CREDENTIALS_SANDBOX;
	if (mode && spec_credentials_parse(mode, &s->credentials) < 0) {
		auto_free char *shown = text_escaped(mode);

		return err_set(e, ERR_INPUT, -EINVAL, "config.yaml: credentials '%s' is no mode",
			       shown);
	}
	return 0;
}

static int set_agent_config(struct cli *c, struct spec *s, struct err *e)
{
	const char *mode = c->v.agent_config;
	auto_free char *shown = NULL;

	if (!mode && c->engine.config)
		mode = c->engine.config->agent_config;
	if (!mode || spec_agent_config_parse(mode, &s->agent_config) == 0)
		return 0;
	shown = text_escaped(mode);
	return err_set(e, ERR_INPUT, -EINVAL, "config.yaml: agentConfig '%s' is no mode", shown);
}

/* --- template --------------------------------------------------------------------------------- */

static bool template_supported(const struct cli *c, enum spec_template_kind kind)
{
	static const uint32_t needs[] = {
		[SPEC_TEMPLATE_HOST] = ENGINE_CAP_TEMPLATE_HOST,
		[SPEC_TEMPLATE_DIR] = ENGINE_CAP_TEMPLATE_DIR,
		[SPEC_TEMPLATE_IMAGE] = ENGINE_CAP_TEMPLATE_IMAGE,
	};
	_Static_assert(ARRAY_SIZE(needs) == SPEC_TEMPLATE_KIND_MAX, "a need for every kind");

	return (c->ops->capabilities & needs[kind]) != 0;
}

static int parse_template(struct cli *c, const char *text, struct spec_template *ret, struct err *e)
{
	struct spec_template t = { 0 };
	int r = spec_template_parse(text, &t, e);

	if (r < 0)
		return r;
	if (!template_supported(c, t.kind)) {
		auto_free char *shown = text_escaped(text);

		spec_template_clear(&t);
		err_set(e, ERR_REFUSED, -ENOTSUP,
			"template '%s': images are not supported by the %s engine", shown,
			c->ops->name);
		return err_hint(e, "use -t host, or -t dir:PATH with a root file system");
	}
	*ret = t;
	return 0;
}

static enum engine_pull pull_choice(const struct cli *c)
{
	/* Looking brings nothing here. */
	if (c->v.dry_run)
		return ENGINE_PULL_NEVER;
	static const char *const names[ENGINE_PULL_MAX] = {
		[ENGINE_PULL_ALWAYS] = "always", [ENGINE_PULL_NEVER] = "never"
	};

	for (unsigned i = 0; c->v.pull_template && i < ENGINE_PULL_MAX; i++)
		if (names[i] && strcmp(names[i], c->v.pull_template) == 0)
			return (enum engine_pull)i;
	return ENGINE_PULL_MISSING;
}

/* When it is an image, make it ready. On failure it is cleared. */
static int ready_template(struct cli *c, enum engine_pull pull, struct spec_template *t,
			  struct err *e)
{
	int r = t->kind == SPEC_TEMPLATE_IMAGE ? template_ready(c, t, pull, e) : 0;

	if (r < 0)
		spec_template_clear(t);
	return r;
}

static int prepare_template(struct cli *c, const char *text, enum engine_pull pull,
			    struct spec_template *ret, struct err *e)
{
	int r = parse_template(c, text, ret, e);

	return r < 0 ? r : ready_template(c, pull, ret, e);
}

/* A template that is here for the agent: the one that was built for it, else the image that its kit
 * names. */
static int choose_local(struct cli *c, const struct kit *k, struct spec_template *ret,
			struct buf *note, struct err *e)
{
	auto_free char *built = template_agent_name(k->name);
	int r = prepare_template(c, built, ENGINE_PULL_NEVER, ret, e);

	if (r == 0)
		buf_printf(note, "template %s, which was built for %s", built, k->name);
	/* Not every name of a kit can be one of an image. */
	if (r < 0 && e->kind == ERR_USAGE)
		r = -ENOENT;
	if (r != -ENOENT || !k->image)
		return r;
	r = prepare_template(c, k->image, ENGINE_PULL_NEVER, ret, e);
	if (r == 0)
		buf_printf(note, "template %s, the image for %s", k->image, k->name);
	return r;
}

static int no_template(const struct kit *k, struct err *e)
{
	err_set(e, ERR_NOT_FOUND, -ENOENT,
		"no template was found for %s: it is not installed on this machine", k->name);
	if (k->npm && k->install_hint)
		return err_hint(e,
				"%s, or: ward template build %s, or give an image that has it: "
				"-t IMAGE",
				k->install_hint, k->name);
	if (k->install_hint)
		return err_hint(e, "%s, or give an image that has it: -t IMAGE", k->install_hint);
	return err_hint(e, "install %s, or give an image that has it: -t IMAGE",
			k->binary ? k->binary : k->name);
}

/* An image that its kit names and that is not here. */
static int choose_remote(struct cli *c, const struct kit *k, struct spec_template *ret,
			 struct buf *note, struct err *e)
{
	auto_free char *why = NULL;
	int r;

	if (!k->image || pull_choice(c) == ENGINE_PULL_NEVER)
		return no_template(k, e);
	r = prepare_template(c, k->image, pull_choice(c), ret, e);
	if (r == 0) {
		buf_printf(note, "template %s, the image for %s", k->image, k->name);
		return 0;
	}
	why = xstrdup(e->message);
	no_template(k, e);
	return err_set(e, e->kind, r,
		       "no template was found for %s: it is not installed on this machine, and its "
		       "image cannot be pulled: %s",
		       k->name, why);
}

int run_template_choose(struct cli *c, const struct kit *k, struct spec_template *ret,
			struct buf *note, struct err *e)
{
	const struct spec_config *config = c->engine.config;
	auto_free char *program = NULL;
	int r;

	if (c->v.template) {
		r = parse_template(c, c->v.template, ret, e);
		return r < 0 ? bad_option("template", e)
			     : ready_template(c, pull_choice(c), ret, e);
	}
	if (config && config->template) {
		r = prepare_template(c, config->template, pull_choice(c), ret, e);
		if (r == 0)
			buf_printf(note, "template %s, from config.yaml", config->template);
		return r < 0 ? err_prefix(e, "config.yaml: template") : 0;
	}
	r = choose_local(c, k, ret, note, e);
	if (r != -ENOENT)
		return r;
	program = engine_find_host_agent(k, c->engine.paths.home, NULL);
	if (program) {
		r = parse_template(c, "host", ret, e);
		if (r == 0)
			buf_printf(note, "template host, where %s is %s", k->name, program);
		return r;
	}
	return choose_remote(c, k, ret, note, e);
}

/* --- all of it -------------------------------------------------------------------------------- */

void run_labels(const struct spec *s, struct strv *labels)
{
	if (!strv_env_get(labels, "com.docker.sandbox.agent"))
		strv_env_set(labels, "com.docker.sandbox.agent", s->agent);
	if (s->nworkspaces && !strv_env_get(labels, "com.docker.sandbox.workingDirectory"))
		strv_env_set(labels, "com.docker.sandbox.workingDirectory", s->workspaces[0].path);
}

static struct spec_workspace *copy_workspaces(const struct spec_workspace *from, size_t n)
{
	struct spec_workspace *copy = xcalloc(n, sizeof(*copy));

	for (size_t i = 0; i < n; i++) {
		copy[i] = from[i];
		copy[i].path = xstrdup(from[i].path);
	}
	return copy;
}

void run_request_workspaces_of(struct run_request *q, const struct spec *s)
{
	q->workspaces = copy_workspaces(s->workspaces, s->nworkspaces);
	q->nworkspaces = s->nworkspaces;
}

/* Everything but the template, which the caller may not need. */
static int build_settings(struct cli *c, struct run_request *q, struct spec *s, struct err *e)
{
	int r = add_volumes(c, q, s, e);

	if (r == 0)
		r = run_git_volumes(c, q, s, e);
	if (r == 0)
		r = add_hidden(c, q, &s->hide, e);
	if (r == 0)
		r = run_network(c, s, e);
	if (r == 0)
		r = set_ports(c, q, s, e);
	if (r == 0)
		r = set_credentials(c, s, e);
	if (r == 0)
		r = set_agent_config(c, s, e);
	if (r == 0)
		r = cli_given_env(c, &s->env, e);
	if (r == 0 && c->v.docker_socket) {
		auto_free char *path = NULL; /* found again at every start */

		s->docker_socket = true;
		r = engine_docker_socket(c->engine.paths.home, &path, e);
		if (r < 0)
			err_prefix(e, "--mount-docker-socket");
	}
	return r;
}

int run_spec_build(struct cli *c, struct run_request *q, struct spec **ret, struct err *e)
{
	struct spec *s = spec_new();
	int r;

	s->agent = xstrdup(q->kit->name);
	s->workspaces = copy_workspaces(q->workspaces, q->nworkspaces);
	s->nworkspaces = q->nworkspaces;
	r = build_settings(c, q, s, e);
	if (r == 0)
		r = run_kits_read(c, NULL, NULL, &q->kits, s, e);
	if (r == 0)
		r = run_template_choose(c, q->kit, &s->tmpl, &q->note, e);
	if (r < 0) {
		spec_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

#define SWAP(a, b)                                                                                 \
	do {                                                                                       \
		__typeof__(a) swap_ = (a);                                                         \
		(a) = (b);                                                                         \
		(b) = swap_;                                                                       \
	} while (0)

int run_spec_override(struct cli *c, struct run_request *q, const struct sandbox *box,
		      struct spec **ret, struct err *e)
{
	const struct cli_values *v = &c->v;
	struct spec_template t = { 0 };
	struct spec *s = NULL;
	struct spec *given = spec_new();
	int r = spec_from_json(box->spec, &s, e);

	if (r == 0)
		r = build_settings(c, q, given, e);
	/* Now: its copies go with the sandbox. */
	if (r == 0)
		r = run_kits_read(c, box, s, &q->kits, s, e);
	if (r == 0 && v->template) {
		r = run_template_choose(c, q->kit, &t, &q->note, e);
		if (r == 0)
			SWAP(s->tmpl, t);
	}
	if (r == 0) {
		free(steal(&s->id));
		s->created_at = 0;
		if (v->volume.n) {
			SWAP(s->volumes, given->volumes);
			SWAP(s->nvolumes, given->nvolumes);
		}
		if (v->hide.n)
			SWAP(s->hide, given->hide);
		if (v->network) {
			s->network = given->network;
			s->network_default = false;
		}
		if (v->allow_host.n)
			SWAP(s->allow_hosts, given->allow_hosts);
		if (v->deny_host.n)
			SWAP(s->deny_hosts, given->deny_hosts);
		if (v->publish.n)
			SWAP(s->ports, given->ports);
		if (v->credentials)
			s->credentials = given->credentials;
		if (v->agent_config)
			s->agent_config = given->agent_config;
		if (v->docker_socket)
			s->docker_socket = true;
		if (given->env.n)
			SWAP(s->env, given->env);
		*ret = steal(&s);
	}
	spec_template_clear(&t);
	spec_free(given);
	spec_free(s);
	return r;
}

/* --- settings are fixed at creation ----------------------------------------------------------- */

static bool same_strings(const struct strv *a, const struct strv *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (!strv_contains(b, a->v[i]))
			return false;
	}
	return true;
}

static bool same_volumes(const struct spec *a, const struct spec *b)
{
	if (a->nvolumes != b->nvolumes)
		return false;
	for (size_t i = 0; i < a->nvolumes; i++) {
		const struct spec_volume *x = &a->volumes[i], *y = &b->volumes[i];

		if (strcmp(x->source, y->source) != 0 || strcmp(x->target, y->target) != 0 ||
		    x->readonly != y->readonly)
			return false;
	}
	return true;
}

/* Is it published now as the command line wants it? */
static bool same_ports(struct cli *c, const struct sandbox *box)
{
	struct spec_ports given = { 0 }, have = { 0 };
	bool same = cli_parse_ports(&c->v.publish, "publish", &given, NULL) == 0 &&
		    c->ops->ports(&c->engine, box, &have, NULL) == 0;

	for (size_t i = 0; same && i < given.n; i++) {
		size_t k = 0;

		while (k < have.n && !spec_port_equal(&given.v[i], &have.v[k]))
			k++;
		same = k < have.n;
	}
	spec_ports_clear(&given);
	spec_ports_clear(&have);
	return same;
}

/* A plain `run` in the first workspace asks for nothing about the others. */
static bool same_workspaces(const struct run_request *q, const struct spec *s)
{
	if (q->nworkspaces == 1)
		return !q->workspaces[0].readonly || s->workspaces[0].readonly;
	if (q->nworkspaces != s->nworkspaces)
		return false;
	for (size_t i = 0; i < q->nworkspaces; i++) {
		if (strcmp(q->workspaces[i].path, s->workspaces[i].path) != 0 ||
		    q->workspaces[i].readonly != s->workspaces[i].readonly)
			return false;
	}
	return true;
}

static bool same_template(const struct spec_template *a, const struct spec_template *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == SPEC_TEMPLATE_DIR)
		return a->path && b->path && strcmp(a->path, b->path) == 0;
	return a->ref && b->ref && strcmp(a->ref, b->ref) == 0;
}

static void add_name(struct buf *out, bool differs, const char *name)
{
	if (differs)
		buf_printf(out, "%s%s", out->len ? ", " : "", name);
}

/* As same_template compares it: the reference of an image in full, as far as it is known here. */
static int known_template(struct cli *c, const char *text, struct spec_template *ret, struct err *e)
{
	int r = prepare_template(c, text, ENGINE_PULL_NEVER, ret, e);

	engine_release_template(&c->engine);
	if (r != -ENOENT)
		return r;
	*e = ERR_INIT;
	return parse_template(c, text, ret, e);
}

int run_spec_difference(struct cli *c, struct run_request *q, const struct sandbox *box,
			const struct spec *old, struct buf *out, struct err *e)
{
	const struct cli_values *v = &c->v;
	struct spec_template t = { 0 };
	struct spec *s = spec_new();
	bool other_kits = false;
	int r = build_settings(c, q, s, e);

	if (r == 0)
		r = run_kits_differ(c, box, old, &other_kits, e);
	if (r == 0 && v->template) {
		r = known_template(c, v->template, &t, e);
		if (r < 0)
			bad_option("template", e);
	}
	if (r == 0) {
		/* Only what was asked for can be disappointed. -e reaches the session anyway. */
		add_name(out, v->template && !same_template(&t, &old->tmpl), "--template");
		add_name(out, !same_workspaces(q, old), "workspaces");
		add_name(out, v->volume.n && !same_volumes(s, old), "--volume");
		add_name(out, v->hide.n && !same_strings(&s->hide, &old->hide), "--hide");
		add_name(out, v->network && s->network != old->network, "--network");
		add_name(out, v->allow_host.n && !same_strings(&s->allow_hosts, &old->allow_hosts),
			 "--allow-host");
		add_name(out, v->deny_host.n && !same_strings(&s->deny_hosts, &old->deny_hosts),
			 "--deny-host");
		add_name(out, v->publish.n && !same_ports(c, box), "--publish");
		add_name(out, v->docker_socket && !old->docker_socket, "--mount-docker-socket");
		add_name(out, v->credentials && s->credentials != old->credentials,
			 "--credentials");
		add_name(out, v->agent_config && s->agent_config != old->agent_config,
			 "--agent-config");
		add_name(out, other_kits, "--kit");
		add_name(out, v->kit_arg.n && !same_strings(&v->kit_arg, &old->kit_args),
			 "--kit-arg");
	}
	spec_template_clear(&t);
	spec_free(s);
	return r;
}
