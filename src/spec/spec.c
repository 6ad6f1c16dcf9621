/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec: making, freeing and the names of a spec's values.  spec_json.c has its JSON form.
 */
#include <errno.h>

#include "base/mem.h"
#include "spec/spec_internal.h"

static const char *const credentials_names[] = {
	[SPEC_CREDENTIALS_SANDBOX] = "sandbox",
	[SPEC_CREDENTIALS_HOST] = "host",
	[SPEC_CREDENTIALS_NONE] = "none",
};
_Static_assert(ARRAY_SIZE(credentials_names) == SPEC_CREDENTIALS_MAX, "a name for every value");

const char *spec_credentials_name(enum spec_credentials c)
{
	return c < SPEC_CREDENTIALS_MAX ? credentials_names[c] : "?";
}

int spec_credentials_parse(const char *s, enum spec_credentials *ret)
{
	for (unsigned i = 0; i < SPEC_CREDENTIALS_MAX; i++) {
		if (strcmp(credentials_names[i], s) == 0) {
			*ret = (enum spec_credentials)i;
			return 0;
		}
	}
	return -EINVAL;
}

static const char *const agent_config_names[] = {
	[SPEC_AGENT_CONFIG_READONLY] = "readonly",
	[SPEC_AGENT_CONFIG_COPY] = "copy",
	[SPEC_AGENT_CONFIG_OFF] = "off",
};
_Static_assert(ARRAY_SIZE(agent_config_names) == SPEC_AGENT_CONFIG_MAX, "a name for every mode");

const char *spec_agent_config_name(enum spec_agent_config c)
{
	return c < SPEC_AGENT_CONFIG_MAX ? agent_config_names[c] : "?";
}

int spec_agent_config_parse(const char *s, enum spec_agent_config *ret)
{
	for (unsigned i = 0; i < SPEC_AGENT_CONFIG_MAX; i++) {
		if (strcmp(agent_config_names[i], s) == 0) {
			*ret = (enum spec_agent_config)i;
			return 0;
		}
	}
	return -EINVAL;
}

struct spec *spec_new(void)
{
	struct spec *s = xcalloc(1, sizeof(*s));

	s->network = POLICY_BALANCED;
	return s;
}

void spec_template_clear(struct spec_template *t)
{
	free(t->ref);
	free(t->path);
	free(t->digest);
	*t = (struct spec_template){ 0 };
}

void spec_workspace_clear(struct spec_workspace *w)
{
	free(w->path);
	*w = (struct spec_workspace){ 0 };
}

void spec_volume_clear(struct spec_volume *v)
{
	free(v->source);
	free(v->target);
	*v = (struct spec_volume){ 0 };
}

void spec_session_clear(struct spec_session *s)
{
	strv_free(&s->argv);
	strv_free(&s->env);
	strv_free(&s->caller_env);
	free(s->cwd);
	free(s->user);
	*s = (struct spec_session){ 0 };
}

void spec_free(struct spec *s)
{
	if (!s)
		return;
	free(s->id);
	free(s->name);
	free(s->agent);
	spec_template_clear(&s->tmpl);
	for (size_t i = 0; i < s->nworkspaces; i++)
		spec_workspace_clear(&s->workspaces[i]);
	free(s->workspaces);
	for (size_t i = 0; i < s->nvolumes; i++)
		spec_volume_clear(&s->volumes[i]);
	free(s->volumes);
	spec_ports_clear(&s->ports);
	strv_free(&s->kits);
	strv_free(&s->kit_args);
	strv_free(&s->hide);
	strv_free(&s->env);
	strv_free(&s->allow_hosts);
	strv_free(&s->deny_hosts);
	strv_free(&s->labels);
	free(s);
}
