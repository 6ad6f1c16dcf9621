/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kit_json: a whole kit as JSON, for people and scripts; docs/json.md names the members.
 *
 * Contents of files are not printed, only where they go: what a kit means is wanted here, and its
 * files can be looked at where they are.
 */
#include <stdio.h>

#include "spec/spec_internal.h"

static struct json *credentials_json(const struct kit *k)
{
	struct json *list = json_array();

	for (size_t i = 0; i < k->ncredentials; i++) {
		const struct kit_credential *c = &k->credentials[i];
		struct json *j = json_object();

		json_set_string(j, "service", c->service);
		json_set_string(j, "description", c->description);
		json_set_bool(j, "required", c->required);
		json_set_string(j, "env", c->env_name);
		json_set_bool(j, "proxy_managed", c->proxy_managed);
		json_set_string(j, "credential_file", c->credential_file);
		json_append(list, j);
	}
	return list;
}

static struct json *commands_json(const struct kit_command *c, size_t n)
{
	struct json *list = json_array();

	for (size_t i = 0; i < n; i++) {
		struct json *j = json_object();

		json_set_strv(j, "argv", &c[i].argv);
		json_set_string(j, "user", c[i].user);
		json_set_bool(j, "background", c[i].background);
		json_append(list, j);
	}
	return list;
}

static void set_mode(struct json *j, unsigned mode)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%04o", mode);
	json_set_string(j, "mode", mode ? text : NULL);
}

/* null: not given. */
static void set_amount(struct json *j, const char *key, uint64_t value)
{
	json_set(j, key, value ? json_uint(value) : NULL);
}

static struct json *files_json(const struct kit *k)
{
	struct json *list = json_array();

	for (size_t i = 0; i < k->nfiles; i++) {
		struct json *j = json_object();

		json_set_string(j, "path", k->files[i].path);
		set_mode(j, k->files[i].mode);
		json_set_bool(j, "only_if_missing", k->files[i].only_if_missing);
		json_append(list, j);
	}
	return list;
}

static struct json *volumes_json(const struct kit *k)
{
	struct json *list = json_array();

	for (size_t i = 0; i < k->nvolumes; i++) {
		struct json *j = json_object();

		json_set_string(j, "path", k->volumes[i].path);
		json_set_string(j, "type", k->volumes[i].type);
		set_amount(j, "size", k->volumes[i].size);
		set_mode(j, k->volumes[i].mode);
		json_append(list, j);
	}
	return list;
}

static struct json *ports_json(const struct kit *k)
{
	struct json *list = json_array();

	for (size_t i = 0; i < k->nports; i++) {
		struct json *j = json_object();

		json_set_uint(j, "container", k->ports[i].container);
		json_set_string(j, "protocol", k->ports[i].protocol);
		json_set_string(j, "name", k->ports[i].name);
		json_append(list, j);
	}
	return list;
}

static struct json *user_config_json(const struct kit *k)
{
	struct json *list = json_array();

	for (size_t i = 0; i < k->nuser_config; i++) {
		struct json *j = json_object();

		json_set_string(j, "path", k->user_config[i].path);
		json_set_strv(j, "keys", &k->user_config[i].keys);
		json_append(list, j);
	}
	return list;
}

struct json *kit_to_json(const struct kit *k)
{
	struct json *j = json_object();

	json_set_string(j, "name", k->name);
	json_set_string(j, "kind", k->kind);
	json_set_string(j, "version", k->version);
	json_set_string(j, "display_name", k->display_name);
	json_set_string(j, "description", k->description);
	json_set_string(j, "origin", k->origin);
	json_set_strv(j, "extends", &k->bases);
	json_set_strv(j, "mixins", &k->mixins);
	json_set_string(j, "requires_agent", k->requires_agent);
	json_set_string(j, "image", k->image);
	json_set_string(j, "binary", k->binary);
	json_set_strv(j, "entrypoint", &k->entrypoint);
	json_set_strv(j, "command_default", &k->command_default);
	json_set_strv(j, "command_interactive", &k->command_interactive);
	set_amount(j, "cpu_milli", k->cpu_milli);
	set_amount(j, "memory", k->memory);
	json_set_string(j, "instructions_file", k->instructions_file);
	json_set_string(j, "instructions", k->instructions);
	json_set(j, "credentials", credentials_json(k));
	json_set_strv(j, "network_allow", &k->net_allow);
	json_set_strv(j, "network_deny", &k->net_deny);
	json_set(j, "ports", ports_json(k));
	json_set_strv(j, "env", &k->env);
	json_set(j, "install", commands_json(k->install, k->ninstall));
	json_set(j, "startup", commands_json(k->startup, k->nstartup));
	json_set(j, "files", files_json(k));
	json_set_strv(j, "trees", &k->trees);
	json_set(j, "volumes", volumes_json(k));
	json_set(j, "user_config", user_config_json(k));
	json_set_strv(j, "credential_files", &k->credential_files);
	json_set_string(j, "install_hint", k->install_hint);
	json_set_string(j, "npm", k->npm);
	return j;
}
