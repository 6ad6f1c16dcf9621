/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config: box_config as a value: made, freed, and carried to the supervisor as JSON.
 *
 * The JSON travels in a sealed memfd between two runs of this same program, and is parsed as
 * strictly as if it came from elsewhere: a missing or wrongly typed member names itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "box/box_internal.h"

enum { CONFIG_ITEMS_MAX = 65536 };

struct box_config *box_config_new(void)
{
	return xcalloc(1, sizeof(struct box_config));
}

void box_config_free(struct box_config *c)
{
	if (!c)
		return;
	spec_free(c->spec);
	free(c->dir);
	strv_free(&c->layers);
	for (size_t i = 0; i < c->nbinds; i++) {
		free(c->binds[i].source);
		free(c->binds[i].target);
	}
	free(c->binds);
	for (size_t i = 0; i < c->nfiles; i++) {
		free(c->files[i].path);
		free(c->files[i].content);
	}
	free(c->files);
	for (size_t i = 0; i < c->nlinks; i++) {
		free(c->links[i].path);
		free(c->links[i].target);
	}
	free(c->links);
	for (size_t i = 0; i < c->nvolumes; i++)
		free(c->volumes[i].path);
	free(c->volumes);
	free(c->hostname);
	free(c->docker_socket);
	free(c->home);
	free(c);
}

/* --- to JSON ------------------------------------------------------------------------------------
 */

static struct json *extents_to_json(const struct box_extent *x, uint32_t n)
{
	struct json *j = json_array();

	for (uint32_t i = 0; i < n; i++) {
		struct json *o = json_object();

		json_set_uint(o, "inside", x[i].inside);
		json_set_uint(o, "outside", x[i].outside);
		json_set_uint(o, "count", x[i].count);
		json_append(j, o);
	}
	return j;
}

struct json *box_ids_to_json(const struct box_ids *ids)
{
	struct json *j = json_object();

	json_set_uint(j, "mode", ids->mode);
	json_set(j, "uid", extents_to_json(ids->uid, ids->nuid));
	json_set(j, "gid", extents_to_json(ids->gid, ids->ngid));
	json_set_uint(j, "agent_uid", ids->agent_uid);
	json_set_uint(j, "agent_gid", ids->agent_gid);
	json_set_uint(j, "host_uid", ids->host_uid);
	json_set_uint(j, "host_gid", ids->host_gid);
	return j;
}

static struct json *binds_to_json(const struct box_config *c)
{
	struct json *j = json_array();

	for (size_t i = 0; i < c->nbinds; i++) {
		struct json *o = json_object();

		json_set_string(o, "source", c->binds[i].source);
		json_set_string(o, "target", c->binds[i].target);
		json_set_bool(o, "readonly", c->binds[i].readonly);
		json_set_bool(o, "optional", c->binds[i].optional);
		json_set_bool(o, "system", c->binds[i].system);
		json_set_bool(o, "yield", c->binds[i].yield);
		json_append(j, o);
	}
	return j;
}

static struct json *files_to_json(const struct box_config *c)
{
	struct json *j = json_array();

	for (size_t i = 0; i < c->nfiles; i++) {
		struct json *o = json_object();

		json_set_string(o, "path", c->files[i].path);
		json_set_string(o, "content", c->files[i].content);
		json_set_uint(o, "mode", c->files[i].mode);
		json_set_bool(o, "agent_owned", c->files[i].agent_owned);
		json_set_bool(o, "only_if_missing", c->files[i].only_if_missing);
		json_set_bool(o, "append", c->files[i].append);
		json_append(j, o);
	}
	return j;
}

static struct json *links_to_json(const struct box_config *c)
{
	struct json *j = json_array();

	for (size_t i = 0; i < c->nlinks; i++) {
		struct json *o = json_object();

		json_set_string(o, "path", c->links[i].path);
		json_set_string(o, "target", c->links[i].target);
		json_set_bool(o, "replace", c->links[i].replace);
		json_append(j, o);
	}
	return j;
}

static struct json *volumes_to_json(const struct box_config *c)
{
	struct json *j = json_array();

	for (size_t i = 0; i < c->nvolumes; i++) {
		struct json *o = json_object();

		json_set_string(o, "path", c->volumes[i].path);
		json_set_bool(o, "tmpfs", c->volumes[i].tmpfs);
		json_set_uint(o, "size", c->volumes[i].size);
		json_set_uint(o, "mode", c->volumes[i].mode);
		json_append(j, o);
	}
	return j;
}

struct json *box_config_to_json(const struct box_config *c)
{
	struct json *j = json_object();

	json_set(j, "spec", c->spec ? spec_to_json(c->spec) : NULL);
	json_set(j, "ids", box_ids_to_json(&c->ids));
	json_set_string(j, "dir", c->dir);
	json_set_strv(j, "layers", &c->layers);
	json_set(j, "binds", binds_to_json(c));
	json_set(j, "files", files_to_json(c));
	json_set(j, "links", links_to_json(c));
	json_set(j, "volumes", volumes_to_json(c));
	json_set_string(j, "hostname", c->hostname);
	json_set_string(j, "docker_socket", c->docker_socket);
	json_set_string(j, "home", c->home);
	json_set_bool(j, "fill_home", c->fill_home);
	json_set_uint(j, "proxy_port", c->proxy_port);
	json_set_bool(j, "build", c->build);
	return j;
}

/* --- from JSON ----------------------------------------------------------------------------------
 */

static int bad_member(const char *key, struct err *e)
{
	return err_set(e, ERR_INPUT, EINVAL, "box configuration: %s: missing or wrong", key);
}

static int read_string(const struct json *j, const char *key, char **ret, struct err *e)
{
	const char *s;

	if (json_get_string(j, key, &s) < 0)
		return bad_member(key, e);
	*ret = xstrdup(s);
	return 0;
}

static int read_u32(const struct json *j, const char *key, uint32_t max, uint32_t *ret,
		    struct err *e)
{
	uint64_t v;

	if (json_get_uint(j, key, &v) < 0 || v > max)
		return bad_member(key, e);
	*ret = (uint32_t)v;
	return 0;
}

static int read_flag(const struct json *j, const char *key, bool *ret, struct err *e)
{
	return json_get_bool(j, key, ret) < 0 ? bad_member(key, e) : 0;
}

/* The array `key`, or NULL with *r set. */
static struct json *read_array(const struct json *j, const char *key, size_t max, int *r,
			       struct err *e)
{
	struct json *a = json_get(j, key);

	if (!a || !json_is_array(a) || json_len(a) > max) {
		*r = bad_member(key, e);
		return NULL;
	}
	return a;
}

static int read_extents(const struct json *j, const char *key, struct box_extent *x, uint32_t *n,
			struct err *e)
{
	int r = 0;
	struct json *a = read_array(j, key, BOX_EXTENTS_MAX, &r, e);

	for (size_t i = 0; r == 0 && i < json_len(a); i++) {
		struct json *o = json_at(a, i);

		r = read_u32(o, "inside", UINT32_MAX, &x[i].inside, e);
		if (r == 0)
			r = read_u32(o, "outside", UINT32_MAX, &x[i].outside, e);
		if (r == 0)
			r = read_u32(o, "count", UINT32_MAX, &x[i].count, e);
	}
	if (r == 0)
		*n = (uint32_t)json_len(a);
	return r;
}

int box_ids_from_json(const struct json *j, struct box_ids *ids, struct err *e)
{
	const struct {
		const char *key;
		uint32_t max;
		uint32_t *to;
	} numbers[] = {
		{ "mode", BOX_ID_MODE_MAX - 1, &ids->mode },
		{ "agent_uid", UINT32_MAX, &ids->agent_uid },
		{ "agent_gid", UINT32_MAX, &ids->agent_gid },
		{ "host_uid", UINT32_MAX, &ids->host_uid },
		{ "host_gid", UINT32_MAX, &ids->host_gid },
	};
	int r;

	if (!j || !json_is_object(j))
		return bad_member("ids", e);
	r = read_extents(j, "uid", ids->uid, &ids->nuid, e);
	if (r == 0)
		r = read_extents(j, "gid", ids->gid, &ids->ngid, e);
	for (size_t i = 0; i < ARRAY_SIZE(numbers) && r == 0; i++)
		r = read_u32(j, numbers[i].key, numbers[i].max, numbers[i].to, e);
	return r;
}

static int read_binds(const struct json *j, struct box_config *c, struct err *e)
{
	int r = 0;
	struct json *a = read_array(j, "binds", CONFIG_ITEMS_MAX, &r, e);

	if (r < 0)
		return r;
	c->binds = xcalloc(json_len(a) + 1, sizeof(*c->binds));
	for (size_t i = 0; i < json_len(a) && r == 0; i++) {
		struct json *o = json_at(a, i);
		struct box_bind *b = &c->binds[c->nbinds++];

		r = read_string(o, "source", &b->source, e);
		if (r == 0)
			r = read_string(o, "target", &b->target, e);
		if (r == 0)
			r = read_flag(o, "readonly", &b->readonly, e);
		if (r == 0)
			r = read_flag(o, "optional", &b->optional, e);
		if (r == 0)
			r = read_flag(o, "system", &b->system, e);
		if (r == 0)
			r = read_flag(o, "yield", &b->yield, e);
	}
	return r;
}

static int read_files(const struct json *j, struct box_config *c, struct err *e)
{
	int r = 0;
	struct json *a = read_array(j, "files", CONFIG_ITEMS_MAX, &r, e);

	if (r < 0)
		return r;
	c->files = xcalloc(json_len(a) + 1, sizeof(*c->files));
	for (size_t i = 0; i < json_len(a) && r == 0; i++) {
		struct json *o = json_at(a, i);
		struct box_file *f = &c->files[c->nfiles++];

		r = read_string(o, "path", &f->path, e);
		if (r == 0)
			r = read_string(o, "content", &f->content, e);
		if (r == 0)
			r = read_u32(o, "mode", 07777, &f->mode, e);
		if (r == 0)
			r = read_flag(o, "agent_owned", &f->agent_owned, e);
		if (r == 0)
			r = read_flag(o, "only_if_missing", &f->only_if_missing, e);
		if (r == 0)
			r = read_flag(o, "append", &f->append, e);
	}
	return r;
}

static int read_links(const struct json *j, struct box_config *c, struct err *e)
{
	int r = 0;
	struct json *a = read_array(j, "links", CONFIG_ITEMS_MAX, &r, e);

	if (r < 0)
		return r;
	c->links = xcalloc(json_len(a) + 1, sizeof(*c->links));
	for (size_t i = 0; i < json_len(a) && r == 0; i++) {
		struct json *o = json_at(a, i);
		struct box_link *l = &c->links[c->nlinks++];

		r = read_string(o, "path", &l->path, e);
		if (r == 0)
			r = read_string(o, "target", &l->target, e);
		if (r == 0)
			r = read_flag(o, "replace", &l->replace, e);
	}
	return r;
}

static int read_volumes(const struct json *j, struct box_config *c, struct err *e)
{
	int r = 0;
	struct json *a = read_array(j, "volumes", CONFIG_ITEMS_MAX, &r, e);

	if (r < 0)
		return r;
	c->volumes = xcalloc(json_len(a) + 1, sizeof(*c->volumes));
	for (size_t i = 0; i < json_len(a) && r == 0; i++) {
		struct json *o = json_at(a, i);
		struct box_volume *v = &c->volumes[c->nvolumes++];

		r = read_string(o, "path", &v->path, e);
		if (r == 0)
			r = read_flag(o, "tmpfs", &v->tmpfs, e);
		if (r == 0 && json_get_uint(o, "size", &v->size) < 0)
			r = bad_member("size", e);
		if (r == 0)
			r = read_u32(o, "mode", 07777, &v->mode, e);
	}
	return r;
}

static int read_config(const struct json *j, struct box_config *c, struct err *e)
{
	uint32_t port = 0;
	int r = spec_from_json(json_get(j, "spec"), &c->spec, e);

	if (r == 0)
		r = box_ids_from_json(json_get(j, "ids"), &c->ids, e);
	if (r == 0)
		r = read_string(j, "dir", &c->dir, e);
	if (r == 0 && json_get_strv(j, "layers", &c->layers) < 0)
		r = bad_member("layers", e);
	if (r == 0)
		r = read_binds(j, c, e);
	if (r == 0)
		r = read_files(j, c, e);
	if (r == 0)
		r = read_links(j, c, e);
	if (r == 0)
		r = read_volumes(j, c, e);
	if (r == 0)
		r = read_string(j, "hostname", &c->hostname, e);
	if (r == 0 && json_get(j, "docker_socket"))
		r = read_string(j, "docker_socket", &c->docker_socket, e);
	if (r == 0)
		r = read_string(j, "home", &c->home, e);
	if (r == 0)
		r = read_flag(j, "fill_home", &c->fill_home, e);
	if (r == 0)
		r = read_u32(j, "proxy_port", UINT16_MAX, &port, e);
	if (r == 0)
		r = read_flag(j, "build", &c->build, e);
	c->proxy_port = (uint16_t)port;
	return r;
}

int box_config_from_json(const struct json *j, struct box_config **ret, struct err *e)
{
	struct box_config *c = box_config_new();
	int r = j && json_is_object(j) && json_get(j, "spec") ? read_config(j, c, e)
							      : bad_member("spec", e);

	if (r < 0) {
		box_config_free(c);
		return r;
	}
	*ret = c;
	return 0;
}
