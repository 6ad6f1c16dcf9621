/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec_json: a spec and a session as JSON, and back.
 *
 * One table per struct names every member, its type and its place; writing and reading go along the
 * same table, so that the two cannot disagree.  spec.json is our own file, but it is read back
 * after crashes, upgrades and editors: every value is checked as strictly as when it was made, and
 * an unknown member (from a newer Ward) is no error.
 *
 * Texts may be any bytes but NUL.  JSON holds only UTF-8, so other texts become {"hex": "..."}.
 */
#include <errno.h>
#include <stddef.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

enum { SPEC_ITEMS_MAX = 4096, SPEC_MOUNTS_MAX = 256, SPEC_ID_LEN = 32, SPEC_TEXT_MAX = 1 << 20 };

static const char *const template_kinds[] = {
	[SPEC_TEMPLATE_HOST] = "host",
	[SPEC_TEMPLATE_DIR] = "dir",
	[SPEC_TEMPLATE_IMAGE] = "image",
};
_Static_assert(ARRAY_SIZE(template_kinds) == SPEC_TEMPLATE_KIND_MAX, "a name for every kind");

static const char *const session_kinds[] = {
	[SPEC_SESSION_AGENT] = "agent",
	[SPEC_SESSION_EXEC] = "exec",
	[SPEC_SESSION_SETUP] = "setup",
};
_Static_assert(ARRAY_SIZE(session_kinds) == SPEC_SESSION_KIND_MAX, "a name for every kind");

static const char *template_kind_name(unsigned i)
{
	return template_kinds[i];
}

static const char *credentials_name(unsigned i)
{
	return spec_credentials_name((enum spec_credentials)i);
}

static const char *agent_config_name(unsigned i)
{
	return spec_agent_config_name((enum spec_agent_config)i);
}

static const char *network_name(unsigned i)
{
	return policy_preset_name((enum policy_preset)i);
}

const char *spec_session_kind_name(enum spec_session_kind k)
{
	return k < SPEC_SESSION_KIND_MAX ? session_kinds[k] : "?";
}

static const char *session_kind_name(unsigned i)
{
	return spec_session_kind_name((enum spec_session_kind)i);
}

/* Members */

enum member_type {
	MEMBER_TEXT,   /* char * */
	MEMBER_STRV,   /* struct strv */
	MEMBER_INT,    /* int64_t, not negative */
	MEMBER_UINT,   /* uint64_t */
	MEMBER_UINT16, /* uint16_t */
	MEMBER_BOOL,   /* bool */
	MEMBER_ENUM,   /* an enum, by name */
};
_Static_assert(sizeof(enum spec_template_kind) == sizeof(unsigned) &&
		       sizeof(enum spec_credentials) == sizeof(unsigned) &&
		       sizeof(enum spec_agent_config) == sizeof(unsigned) &&
		       sizeof(enum policy_preset) == sizeof(unsigned) &&
		       sizeof(enum spec_session_kind) == sizeof(unsigned),
	       "enums are moved as unsigned");

struct member {
	const char *name;
	enum member_type type;
	size_t offset;
	bool optional;		     /* may be missing or null: the default */
	int (*check)(const char *s); /* texts and every item of a strv; 0 or -EINVAL */
	const char *(*enum_name)(unsigned i);
	unsigned enum_max;
};

struct members {
	const char *what;
	const struct member *v;
	size_t n;
};
#define MEMBERS(what, table)                                                                       \
	{                                                                                          \
		(what), (table), ARRAY_SIZE(table)                                                 \
	}
#define ENUM(fn, max) .enum_name = (fn), .enum_max = (max)

static int check_id(const char *s)
{
	return strlen(s) == SPEC_ID_LEN && strspn(s, "0123456789abcdef") == SPEC_ID_LEN ? 0
											: -EINVAL;
}

static int check_name(const char *s)
{
	return text_check_name("name", s, NULL);
}

static int check_pair(const char *s) /* "K=V" with a variable's name */
{
	const char *eq = strchr(s, '=');

	return eq && spec_env_name_ok(s, (size_t)(eq - s)) ? 0 : -EINVAL;
}

static int check_label(const char *s)
{
	return strchr(s, '=') && s[0] != '=' && spec_text_is_clean(s, false) ? 0 : -EINVAL;
}

static int check_path(const char *s)
{
	auto_free char *normal = NULL;

	return s[0] == '/' && fs_normalise(s, &normal, NULL) == 0 && strcmp(normal, s) == 0
		       ? 0
		       : -EINVAL;
}

static const struct member spec_members_v[] = {
	{ "id", MEMBER_TEXT, offsetof(struct spec, id), .check = check_id },
	{ "name", MEMBER_TEXT, offsetof(struct spec, name), .check = check_name },
	{ "named", MEMBER_BOOL, offsetof(struct spec, named), true },
	{ "agent", MEMBER_TEXT, offsetof(struct spec, agent), .check = check_name },
	{ "created_at", MEMBER_INT, offsetof(struct spec, created_at) },
	{ "hide", MEMBER_STRV, offsetof(struct spec, hide), true, check_path },
	{ "env", MEMBER_STRV, offsetof(struct spec, env), true, check_pair },
	{ "credentials", MEMBER_ENUM, offsetof(struct spec, credentials),
	  ENUM(credentials_name, SPEC_CREDENTIALS_MAX) },
	{ "agent_config", MEMBER_ENUM, offsetof(struct spec, agent_config), true,
	  ENUM(agent_config_name, SPEC_AGENT_CONFIG_MAX) },
	{ "kits", MEMBER_STRV, offsetof(struct spec, kits), true, check_name },
	{ "kit_args", MEMBER_STRV, offsetof(struct spec, kit_args), true, check_label },
	{ "docker_socket", MEMBER_BOOL, offsetof(struct spec, docker_socket), true },
	{ "network", MEMBER_ENUM, offsetof(struct spec, network),
	  ENUM(network_name, POLICY_PRESET_MAX) },
	{ "network_default", MEMBER_BOOL, offsetof(struct spec, network_default), true },
	{ "allow_hosts", MEMBER_STRV, offsetof(struct spec, allow_hosts), true },
	{ "deny_hosts", MEMBER_STRV, offsetof(struct spec, deny_hosts), true },
	{ "labels", MEMBER_STRV, offsetof(struct spec, labels), true, check_label },
};
static const struct members spec_members = MEMBERS("spec", spec_members_v);

static const struct member template_members_v[] = {
	{ "kind", MEMBER_ENUM, offsetof(struct spec_template, kind),
	  ENUM(template_kind_name, SPEC_TEMPLATE_KIND_MAX) },
	{ "ref", MEMBER_TEXT, offsetof(struct spec_template, ref) },
	{ "path", MEMBER_TEXT, offsetof(struct spec_template, path), true, check_path },
	{ "digest", MEMBER_TEXT, offsetof(struct spec_template, digest), true },
};
static const struct members template_members = MEMBERS("template", template_members_v);

static const struct member workspace_members_v[] = {
	{ "path", MEMBER_TEXT, offsetof(struct spec_workspace, path), .check = check_path },
	{ "dev", MEMBER_UINT, offsetof(struct spec_workspace, dev) },
	{ "ino", MEMBER_UINT, offsetof(struct spec_workspace, ino) },
	{ "readonly", MEMBER_BOOL, offsetof(struct spec_workspace, readonly), true },
};
static const struct members workspace_members = MEMBERS("workspace", workspace_members_v);

static const struct member volume_members_v[] = {
	{ "source", MEMBER_TEXT, offsetof(struct spec_volume, source), .check = check_path },
	{ "target", MEMBER_TEXT, offsetof(struct spec_volume, target), .check = check_path },
	{ "readonly", MEMBER_BOOL, offsetof(struct spec_volume, readonly), true },
	{ "is_dir", MEMBER_BOOL, offsetof(struct spec_volume, is_dir) },
	{ "dev", MEMBER_UINT, offsetof(struct spec_volume, dev) },
	{ "ino", MEMBER_UINT, offsetof(struct spec_volume, ino) },
};
static const struct members volume_members = MEMBERS("volume", volume_members_v);

static int check_port_name(const char *s)
{
	return spec_text_is_clean(s, false) ? 0 : -EINVAL;
}

static const struct member port_members_v[] = {
	{ "ip", MEMBER_TEXT, offsetof(struct spec_port, ip), true, spec_port_check_ip },
	{ "host", MEMBER_UINT16, offsetof(struct spec_port, host), true },
	{ "port", MEMBER_UINT16, offsetof(struct spec_port, port) },
	{ "assigned", MEMBER_UINT16, offsetof(struct spec_port, assigned), true },
	{ "name", MEMBER_TEXT, offsetof(struct spec_port, name), true, check_port_name },
};
static const struct members port_members = MEMBERS("port", port_members_v);

static const struct member limits_members_v[] = {
	{ "cpu_milli", MEMBER_UINT, offsetof(struct spec_limits, cpu_milli), true },
	{ "memory", MEMBER_UINT, offsetof(struct spec_limits, memory), true },
	{ "pids", MEMBER_UINT, offsetof(struct spec_limits, pids), true },
	{ "disk", MEMBER_UINT, offsetof(struct spec_limits, disk), true },
};
static const struct members limits_members = MEMBERS("limits", limits_members_v);

static const struct member session_members_v[] = {
	{ "kind", MEMBER_ENUM, offsetof(struct spec_session, kind),
	  ENUM(session_kind_name, SPEC_SESSION_KIND_MAX) },
	{ "argv", MEMBER_STRV, offsetof(struct spec_session, argv) },
	{ "env", MEMBER_STRV, offsetof(struct spec_session, env), true, check_pair },
	{ "caller_env", MEMBER_STRV, offsetof(struct spec_session, caller_env), true, check_pair },
	{ "login", MEMBER_BOOL, offsetof(struct spec_session, login), true },
	{ "cwd", MEMBER_TEXT, offsetof(struct spec_session, cwd), .check = check_path },
	{ "user", MEMBER_TEXT, offsetof(struct spec_session, user), true },
	{ "tty", MEMBER_BOOL, offsetof(struct spec_session, tty), true },
	{ "interactive", MEMBER_BOOL, offsetof(struct spec_session, interactive), true },
	{ "rows", MEMBER_UINT16, offsetof(struct spec_session, rows), true },
	{ "cols", MEMBER_UINT16, offsetof(struct spec_session, cols), true },
};
static const struct members session_members = MEMBERS("session", session_members_v);

/* Writing */

static struct json *text_to_json(const char *s)
{
	auto_buf hex = BUF_INIT;
	struct json *j;

	if (text_is_utf8(s, strlen(s)))
		return json_string(s);
	for (; *s; s++)
		buf_printf(&hex, "%02x", (unsigned char)*s);
	j = json_object();
	json_set_string(j, "hex", buf_str(&hex));
	return j;
}

static struct json *strv_to_json(const struct strv *s)
{
	struct json *j = json_array();

	for (size_t i = 0; i < s->n; i++)
		json_append(j, text_to_json(s->v[i]));
	return j;
}

static struct json *member_to_json(const struct member *m, const void *at)
{
	switch (m->type) {
	case MEMBER_TEXT:
		return *(char *const *)at ? text_to_json(*(char *const *)at) : NULL;
	case MEMBER_STRV:
		return strv_to_json(at);
	case MEMBER_INT:
		return json_int(*(const int64_t *)at);
	case MEMBER_UINT:
		return json_uint(*(const uint64_t *)at);
	case MEMBER_UINT16:
		return json_uint(*(const uint16_t *)at);
	case MEMBER_BOOL:
		return json_bool(*(const bool *)at);
	case MEMBER_ENUM: {
		unsigned i;

		memcpy(&i, at, sizeof(i));
		return json_string(i < m->enum_max ? m->enum_name(i) : NULL);
	}
	default:
		return NULL;
	}
}

static void write_members(const struct members *t, const void *object, struct json *j)
{
	for (size_t i = 0; i < t->n; i++)
		json_set(j, t->v[i].name,
			 member_to_json(&t->v[i], (const char *)object + t->v[i].offset));
}

static struct json *object_to_json(const struct members *t, const void *object)
{
	struct json *j = json_object();

	write_members(t, object, j);
	return j;
}

static struct json *array_to_json(const struct members *t, const void *array, size_t n, size_t size)
{
	struct json *j = json_array();

	for (size_t i = 0; i < n; i++)
		json_append(j, object_to_json(t, (const char *)array + i * size));
	return j;
}

struct json *spec_to_json(const struct spec *s)
{
	struct json *j = json_object();

	json_set_int(j, "version", SPEC_VERSION);
	write_members(&spec_members, s, j);
	json_set(j, "template", object_to_json(&template_members, &s->tmpl));
	json_set(j, "workspaces",
		 array_to_json(&workspace_members, s->workspaces, s->nworkspaces,
			       sizeof(*s->workspaces)));
	json_set(j, "volumes",
		 array_to_json(&volume_members, s->volumes, s->nvolumes, sizeof(*s->volumes)));
	json_set(j, "ports", spec_ports_to_json(&s->ports));
	json_set(j, "limits", object_to_json(&limits_members, &s->limits));
	return j;
}

struct json *spec_ports_to_json(const struct spec_ports *p)
{
	return array_to_json(&port_members, p->v, p->n, sizeof(*p->v));
}

struct json *spec_session_to_json(const struct spec_session *s)
{
	return object_to_json(&session_members, s);
}

/* Reading */

static int bad_member(const struct members *t, const struct member *m, const char *why,
		      struct err *e)
{
	return err_set(e, ERR_CORRUPT, -EINVAL, "%s: member '%s' %s", t->what, m->name, why);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *text_from_hex(const char *hex)
{
	size_t n = strlen(hex) / 2;
	auto_free char *s = NULL;

	if (strlen(hex) % 2 != 0)
		return NULL;
	s = xcalloc(n + 1, 1);
	for (size_t i = 0; i < n; i++) {
		int hi = hex_digit(hex[2 * i]), lo = hex_digit(hex[2 * i + 1]);

		if (hi < 0 || lo < 0 || (hi | lo) == 0)
			return NULL;
		s[i] = (char)(hi * 16 + lo);
	}
	return steal(&s);
}

/* A text in either form, or NULL. */
static char *text_from_json(const struct json *j)
{
	const char *s = json_str(j);

	if (!s && json_is_object(j)) {
		s = json_str(json_get(j, "hex"));
		return s && strlen(s) <= SPEC_TEXT_MAX ? text_from_hex(s) : NULL;
	}
	return s && strlen(s) <= SPEC_TEXT_MAX ? xstrdup(s) : NULL;
}

static int read_text(const struct members *t, const struct member *m, const struct json *j,
		     char **at, struct err *e)
{
	auto_free char *s = text_from_json(j);

	if (!s)
		return bad_member(t, m, "is no text", e);
	if (m->check && m->check(s) < 0)
		return bad_member(t, m, "has a value that is not allowed", e);
	*at = steal(&s);
	return 0;
}

static int read_strv(const struct members *t, const struct member *m, const struct json *j,
		     struct strv *at, struct err *e)
{
	if (!json_is_array(j))
		return bad_member(t, m, "is no list", e);
	if (json_len(j) > SPEC_ITEMS_MAX)
		return bad_member(t, m, "has too many entries", e);
	for (size_t i = 0; i < json_len(j); i++) {
		char *s = NULL;
		int r = read_text(t, m, json_at(j, i), &s, e);

		if (r < 0)
			return r;
		strv_take(at, s);
	}
	return 0;
}

static int read_enum(const struct members *t, const struct member *m, const struct json *j,
		     void *at, struct err *e)
{
	const char *s = json_str(j);

	for (unsigned i = 0; s && i < m->enum_max; i++) {
		if (strcmp(m->enum_name(i), s) == 0) {
			memcpy(at, &i, sizeof(i));
			return 0;
		}
	}
	return bad_member(t, m, "has an unknown value", e);
}

static int read_number(const struct members *t, const struct member *m, const struct json *object,
		       void *at, struct err *e)
{
	uint64_t u, max = UINT64_MAX;

	if (m->type == MEMBER_INT)
		max = INT64_MAX;
	else if (m->type == MEMBER_UINT16)
		max = UINT16_MAX;
	if (json_get_uint(object, m->name, &u) < 0 || u > max)
		return bad_member(t, m, "is no whole number in its range", e);
	if (m->type == MEMBER_INT)
		*(int64_t *)at = (int64_t)u;
	else if (m->type == MEMBER_UINT16)
		*(uint16_t *)at = (uint16_t)u;
	else
		*(uint64_t *)at = u;
	return 0;
}

static int read_member(const struct members *t, const struct member *m, const struct json *object,
		       void *at, struct err *e)
{
	const struct json *j = json_get(object, m->name);

	if (!j)
		return m->optional ? 0 : bad_member(t, m, "is missing", e);
	switch (m->type) {
	case MEMBER_TEXT:
		return read_text(t, m, j, at, e);
	case MEMBER_STRV:
		return read_strv(t, m, j, at, e);
	case MEMBER_INT:
	case MEMBER_UINT:
	case MEMBER_UINT16:
		return read_number(t, m, object, at, e);
	case MEMBER_BOOL:
		return json_get_bool(object, m->name, at) < 0
			       ? bad_member(t, m, "is neither true nor false", e)
			       : 0;
	case MEMBER_ENUM:
		return read_enum(t, m, j, at, e);
	default:
		return -EINVAL;
	}
}

static int read_members(const struct members *t, const struct json *j, void *object, struct err *e)
{
	if (!json_is_object(j))
		return err_set(e, ERR_CORRUPT, -EINVAL, "%s: not an object", t->what);
	for (size_t i = 0; i < t->n; i++) {
		int r = read_member(t, &t->v[i], j, (char *)object + t->v[i].offset, e);

		if (r < 0)
			return r;
	}
	return 0;
}

/* A list of objects (NULL: an empty one) into a new array, which is in *ret and counted also when
 * this fails. */
static int read_array(const struct members *t, const struct json *j, const char *name, size_t size,
		      void *ret, size_t *ret_n, struct err *e)
{
	size_t n = json_len(j);
	char *array;

	if (j && !json_is_array(j))
		return err_set(e, ERR_CORRUPT, -EINVAL, "spec: member '%s' is no list", name);
	if (n > SPEC_MOUNTS_MAX)
		return err_set(e, ERR_CORRUPT, -EINVAL, "spec: member '%s' has too many entries",
			       name);
	if (n == 0)
		return 0;
	array = xcalloc(n, size);
	memcpy(ret, &array, sizeof(array));
	*ret_n = n;
	for (size_t i = 0; i < n; i++) {
		int r = read_members(t, json_at(j, i), array + i * size, e);

		if (r < 0)
			return r;
	}
	return 0;
}

/* What several members say together. */
static int check_spec(const struct spec *s, struct err *e)
{
	if (s->nworkspaces == 0)
		return err_set(e, ERR_CORRUPT, -EINVAL, "spec: member 'workspaces' is empty");
	if (s->tmpl.kind == SPEC_TEMPLATE_DIR && !s->tmpl.path)
		return err_set(e, ERR_CORRUPT, -EINVAL, "template: member 'path' is missing");
	if (s->tmpl.kind == SPEC_TEMPLATE_IMAGE && !s->tmpl.digest)
		return err_set(e, ERR_CORRUPT, -EINVAL, "template: member 'digest' is missing");
	return 0;
}

static int check_patterns(const struct strv *patterns, bool allow, struct err *e)
{
	struct policy_rules *scratch = policy_rules_new();
	int r = 0;

	for (size_t i = 0; r == 0 && i < patterns->n; i++)
		r = policy_rules_add(scratch, allow, patterns->v[i], "spec", e);
	policy_rules_free(scratch);
	return r;
}

int spec_ports_from_json(const struct json *j, struct spec_ports *ret, struct err *e)
{
	struct spec_ports p = { 0 };
	int r = read_array(&port_members, j, "ports", sizeof(*p.v), &p.v, &p.n, e);

	for (size_t i = 0; r == 0 && i < p.n; i++) {
		if (p.v[i].port == 0)
			r = err_set(e, ERR_CORRUPT, -EINVAL, "port: member 'port' is 0");
	}
	if (r == 0 && p.n > SPEC_PORTS_MAX)
		r = err_set(e, ERR_CORRUPT, -EINVAL, "ports: too many entries");
	if (r < 0) {
		spec_ports_clear(&p);
		return r;
	}
	*ret = p;
	return 0;
}

int spec_from_json(const struct json *j, struct spec **ret, struct err *e)
{
	struct spec *s = spec_new();
	int64_t version;
	int r = read_members(&spec_members, j, s, e);

	if (r == 0 && (json_get_int(j, "version", &version) < 0 || version != SPEC_VERSION)) {
		r = err_set(e, ERR_CORRUPT, -EINVAL, "spec: member 'version' is not %d",
			    SPEC_VERSION);
		err_hint(e, "it was made by another version of ward");
	}
	if (r == 0)
		r = read_members(&template_members, json_get(j, "template"), &s->tmpl, e);
	if (r == 0)
		r = read_array(&workspace_members, json_get(j, "workspaces"), "workspaces",
			       sizeof(*s->workspaces), &s->workspaces, &s->nworkspaces, e);
	if (r == 0)
		r = read_array(&volume_members, json_get(j, "volumes"), "volumes",
			       sizeof(*s->volumes), &s->volumes, &s->nvolumes, e);
	if (r == 0)
		r = spec_ports_from_json(json_get(j, "ports"), &s->ports, e);
	if (r == 0 && json_get(j, "limits"))
		r = read_members(&limits_members, json_get(j, "limits"), &s->limits, e);
	if (r == 0)
		r = check_spec(s, e);
	if (r == 0)
		r = check_patterns(&s->allow_hosts, true, e);
	if (r == 0)
		r = check_patterns(&s->deny_hosts, false, e);
	if (r < 0) {
		spec_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

int spec_session_from_json(const struct json *j, struct spec_session *ret, struct err *e)
{
	struct spec_session s = { 0 };
	int r = read_members(&session_members, j, &s, e);

	if (r == 0 && (s.argv.n == 0) != s.login)
		r = err_set(e, ERR_INPUT, -EINVAL, "session: member 'argv' is %sempty",
			    s.login ? "not " : "");
	if (r < 0) {
		spec_session_clear(&s);
		return r;
	}
	*ret = s;
	return 0;
}
