/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registries: the section `registries` of config.yaml, as the list that ward-registry is given.
 *
 *	registries:
 *	  registry.example.com:5000: {insecure: true, ca: /etc/ssl/example.pem}
 *	  docker.io: {mirrors: [mirror.example.com]}
 */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

enum { HOST_MAX = 255, REGISTRIES_MAX = 256, MIRRORS_MAX = 7 };

struct settings {
	bool insecure;
	char *ca;
	struct strv mirrors;
};

#define SETTING(member) .offset = offsetof(struct settings, member)

static const struct field settings_v[] = {
	{ "insecure", field_bool, SETTING(insecure) },
	{ "ca", field_text, SETTING(ca) },
	{ "mirrors", field_texts, SETTING(mirrors) },
};
static const struct fields settings_fields = { .what = "a registry",
					       .v = settings_v,
					       .n = ARRAY_SIZE(settings_v) };

static bool host_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= HOST_MAX &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.-:[]") == n;
}

static int check(const struct field_reader *r, const struct yaml_node *v, const struct settings *s)
{
	if (s->ca && s->ca[0] != '/')
		return field_error(r, v, "'ca' must be an absolute path");
	if (s->mirrors.n > MIRRORS_MAX)
		return field_error(r, v, "'mirrors' has more than %d entries", MIRRORS_MAX);
	for (size_t i = 0; i < s->mirrors.n; i++) {
		if (!host_ok(s->mirrors.v[i]))
			return field_error(r, v, "a mirror must be HOST or HOST:PORT");
	}
	return 0;
}

static int read_one(const struct field_reader *r, const struct yaml_node *key,
		    const struct yaml_node *v, struct json *list)
{
	struct settings s = { 0 };
	struct json *j;
	int ret;

	if (!host_ok(key->text))
		return field_error(r, key, "a registry must be HOST or HOST:PORT, in lower case");
	ret = fields_read(r, &settings_fields, v, &s);
	if (ret == 0)
		ret = check(r, v, &s);
	if (ret == 0) {
		j = json_object();
		json_set_string(j, "host", key->text);
		json_set_bool(j, "insecure", s.insecure);
		if (s.ca)
			json_set_string(j, "ca", s.ca);
		json_set_strv(j, "mirrors", &s.mirrors);
		json_append(list, j);
	}
	free(s.ca);
	strv_free(&s.mirrors);
	return ret;
}

FIELD_READER(field_registries)
{
	auto_json list = json_array();
	int ret = 0;

	if (v->kind != YAML_MAPPING)
		return field_error(r, v, "'%s' must be a mapping of hosts", f->name);
	if (v->n > REGISTRIES_MAX)
		return field_error(r, v, "'%s' has more than %d entries", f->name, REGISTRIES_MAX);
	for (size_t i = 0; i < v->n && ret == 0; i++)
		ret = read_one(r, v->keys[i], v->items[i], list);
	if (ret == 0 && out)
		*(struct json **)out = steal(&list);
	return ret;
}
