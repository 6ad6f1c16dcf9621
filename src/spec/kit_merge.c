/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kit_merge: what a kit is made of: freeing it.
 */
#include "base/mem.h"
#include "spec/spec_internal.h"

static void commands_free(struct kit_command *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		strv_free(&c[i].argv);
		free(c[i].user);
	}
	free(c);
}

static void credentials_free(struct kit_credential *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(c[i].service);
		free(c[i].description);
		free(c[i].env_name);
		free(c[i].credential_file);
		json_unref(c[i].raw);
	}
	free(c);
}

static void free_texts(struct kit *k)
{
	char *const texts[] = { k->origin,	  k->kind,	   k->name,
				k->version,	  k->display_name, k->description,
				k->image,	  k->binary,	   k->instructions_file,
				k->instructions,  k->install_hint, k->extends,
				k->requires_agent };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free(texts[i]);
}

void kit_free(struct kit *k)
{
	if (!k)
		return;
	free_texts(k);
	strv_free(&k->entrypoint);
	strv_free(&k->command_default);
	strv_free(&k->command_interactive);
	strv_free(&k->net_allow);
	strv_free(&k->net_deny);
	strv_free(&k->env);
	strv_free(&k->credential_files);
	credentials_free(k->credentials, k->ncredentials);
	commands_free(k->install, k->ninstall);
	commands_free(k->startup, k->nstartup);
	for (size_t i = 0; i < k->nfiles; i++) {
		free(k->files[i].path);
		free(k->files[i].content);
	}
	free(k->files);
	for (size_t i = 0; i < k->nvolumes; i++) {
		free(k->volumes[i].path);
		free(k->volumes[i].type);
	}
	free(k->volumes);
	strv_free(&k->trees);
	for (size_t i = 0; i < k->nports; i++) {
		free(k->ports[i].protocol);
		free(k->ports[i].name);
	}
	free(k->ports);
	for (size_t i = 0; i < k->nuser_config; i++) {
		free(k->user_config[i].path);
		strv_free(&k->user_config[i].keys);
	}
	free(k->user_config);
	free(k);
}
