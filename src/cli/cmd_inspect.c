/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_inspect: everything about sandboxes as JSON; docs/json.md documents the members.
 *
 * What was asked for comes from the spec; "sessions" and "enforcement" come from the running
 * sandbox and are what it measured.  Values of variables that look like secrets are not printed:
 * the output of inspect ends up in bug reports.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

static const char *const secret_words[] = {
	"KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "AUTH", "COOKIE",
};

static bool looks_secret(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(secret_words); i++) {
		if (strcasestr(name, secret_words[i]))
			return true;
	}
	return false;
}

static struct json *env_json(const struct strv *env)
{
	struct json *list = json_array();

	for (size_t i = 0; i < env->n; i++) {
		auto_free char *name = xstrndup(env->v[i], strcspn(env->v[i], "="));
		auto_free char *hidden = xasprintf("%s=***", name);

		json_append(list, json_string(looks_secret(name) ? hidden : env->v[i]));
	}
	return list;
}

static struct json *template_json(const struct spec_template *t)
{
	struct json *j = json_object();

	json_set_string(j, "ref", t->ref);
	json_set_string(j, "digest", t->digest);
	return j;
}

static struct json *mount_json(const char *type, const char *source, const char *target,
			       bool readonly)
{
	struct json *j = json_object();

	json_set_string(j, "type", type);
	json_set_string(j, "source", source);
	json_set_string(j, "target", target);
	json_set_bool(j, "readonly", readonly);
	return j;
}

static struct json *mounts_json(const struct spec *s)
{
	struct json *list = json_array();

	for (size_t i = 0; i < s->nworkspaces; i++)
		json_append(list, mount_json("workspace", s->workspaces[i].path,
					     s->workspaces[i].path, s->workspaces[i].readonly));
	for (size_t i = 0; i < s->nvolumes; i++)
		json_append(list, mount_json("volume", s->volumes[i].source, s->volumes[i].target,
					     s->volumes[i].readonly));
	for (size_t i = 0; i < s->hide.n; i++)
		json_append(list, mount_json("hidden", NULL, s->hide.v[i], true));
	return list;
}

static struct json *workspace_json(const struct spec *s)
{
	struct json *j = json_object();

	json_set_string(j, "path", s->workspaces[0].path);
	json_set_uint(j, "dev", s->workspaces[0].dev);
	json_set_uint(j, "inode", s->workspaces[0].ino);
	return j;
}

static struct json *network_json(const struct spec *s)
{
	struct json *j = json_object();

	json_set_string(j, "preset", policy_preset_name(s->network));
	json_set_strv(j, "allow", &s->allow_hosts);
	json_set_strv(j, "deny", &s->deny_hosts);
	return j;
}

/* null: the default, no limit of the sandbox's own. */
static void set_limit(struct json *j, const char *key, uint64_t value)
{
	json_set(j, key, value ? json_uint(value) : NULL);
}

static struct json *limits_json(const struct spec_limits *l)
{
	struct json *j = json_object();

	set_limit(j, "cpu_milli", l->cpu_milli);
	set_limit(j, "memory", l->memory);
	set_limit(j, "pids", l->pids);
	set_limit(j, "disk", l->disk);
	return j;
}

static struct json *labels_json(const struct spec *s)
{
	auto_strv labels = STRV_INIT;
	struct json *j = json_object();

	strv_extend(&labels, &s->labels);
	run_labels(s, &labels);
	for (size_t i = 0; i < labels.n; i++) {
		size_t n = strcspn(labels.v[i], "=");
		auto_free char *key = xstrndup(labels.v[i], n);

		json_set_string(j, key, labels.v[i][n] ? labels.v[i] + n + 1 : "");
	}
	return j;
}

/* Those that follow, as the agent knows them; none when the kit is gone. */
static struct json *credential_files_json(struct cli *c, const struct sandbox *box,
					  const struct spec *s)
{
	struct json *list = json_array();
	struct kit_extras extras = { 0 };
	struct kit *kit = NULL;
	auto_strv files = STRV_INIT;

	kit_extras_of(s, box->dir, &extras);
	if (kit_load(s->agent, c->engine.paths.config, &extras, &kit, NULL) == 0)
		engine_credential_files(s, kit, c->engine.paths.home, &files);
	for (size_t i = 0; i < files.n; i++) {
		auto_free char *shown = fs_join("~", files.v[i]);

		json_append(list, json_string(shown));
	}
	kit_free(kit);
	kit_extras_clear(&extras);
	return list;
}

static int inspect_one(struct cli *c, const char *name, struct json *list, struct err *e)
{
	struct sandbox *box = NULL;
	struct spec *s = NULL;
	struct json *sessions = NULL, *enforcement = NULL, *j;
	struct spec_ports ports = { 0 };
	char created[32];
	int r = cli_find(c, name, &box, e);

	if (r == 0)
		r = cli_spec(box, &s, e);
	if (r == 0)
		r = cli_sessions(c, box, &sessions, e);
	if (r == 0)
		r = c->ops->stats(&c->engine, box, &enforcement, e);
	if (r == 0)
		r = c->ops->ports(&c->engine, box, &ports, e);
	if (r == 0) {
		j = json_object();
		text_rfc3339(s->created_at, created);
		json_set_string(j, "id", s->id);
		json_set_string(j, "name", s->name);
		json_set_string(j, "agent", s->agent);
		json_set_string(j, "created_at", created);
		json_set_string(j, "status", state_is_running(box) ? "running" : "stopped");
		json_set(j, "template", template_json(&s->tmpl));
		json_set(j, "workspace", workspace_json(s));
		json_set(j, "mounts", mounts_json(s));
		json_set(j, "env", env_json(&s->env));
		json_set_strv(j, "kits", &s->kits);
		json_set(j, "kit_args", env_json(&s->kit_args));
		json_set_string(j, "credentials", spec_credentials_name(s->credentials));
		json_set(j, "credential_files", credential_files_json(c, box, s));
		json_set_string(j, "agent_config", spec_agent_config_name(s->agent_config));
		json_set_bool(j, "docker_socket", s->docker_socket);
		json_set(j, "network", network_json(s));
		json_set(j, "limits", limits_json(&s->limits));
		json_set(j, "ports", cli_ports_json(&ports));
		json_set(j, "sessions", steal(&sessions));
		json_set(j, "enforcement", steal(&enforcement));
		json_set(j, "labels", labels_json(s));
		json_append(list, j);
	}
	json_unref(sessions);
	json_unref(enforcement);
	spec_ports_clear(&ports);
	spec_free(s);
	sandbox_free(box);
	return r;
}

int cmd_inspect(struct cli *c, struct err *e)
{
	auto_json list = json_array();
	int code = CLI_EXIT_OK;
	int r;

	for (size_t i = 0; i < c->operands.v.n; i++) {
		struct err problem = ERR_INIT;

		if (inspect_one(c, c->operands.v.v[i], list, &problem) < 0) {
			term_error(&problem);
			code = cli_worse(code, cli_exit_code(c, &problem));
		}
	}
	r = term_out_json(list, e);
	return r < 0 ? r : code;
}
