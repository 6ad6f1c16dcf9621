/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kit: the definition of an agent, kit format version 2.
 *
 * The tables below are the format: every field, what reads it and where it goes.  Fields whose
 * `offset` is FIELD_DROP are checked and have no effect yet; fields that would change what runs,
 * and that this release cannot honour, are refused by name, because a kit that silently loses a
 * part is worse than one that does not load.  After the fields come the checks that need more than
 * one of them.
 *
 * A kit is data from elsewhere: none of its texts may hold control characters, file paths are
 * absolute or below ~ and never climb, its network patterns are those of the policy.
 */
#include <errno.h>
#include <stddef.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

#define FIELDS(id, shown, table, type, check)                                                      \
	static const struct fields id = {                                                          \
		.what = shown, .v = table, .n = ARRAY_SIZE(table), .size = type, .finish = check   \
	}
#define KIT(member)  .offset = offsetof(struct kit, member)
#define PART(member) .offset = offsetof(struct kit_part, member)
#define DROP	     .offset = FIELD_DROP
#define LIST(member)                                                                               \
	.offset = offsetof(struct kit, member), .count = offsetof(struct kit, n##member)

static const char *const schema_versions[] = { "2", NULL };
static const char *const kinds[] = { "sandbox", "mixin", NULL };
static const char *const schemes[] = { "bearer", "basic", NULL };
static const char *const protocols[] = { "tcp", "udp", NULL };
static const char *const volume_types[] = { "", "tmpfs", NULL };
enum { STICKY_MODE_MAX = 01777, CPU_MAX = 1000000 };

/* Prefixes of variables that belong to the sandbox's own set-up, Docker's and Ward's. */
static const char *const reserved_env[] = { "DASH_", "SBX_", "DOCKER_", "WARD_" };

/*
 * A path inside: absolute or below ~, no ".." and no empty or "." component, so that what is shown
 * is what is meant.
 */
static int check_inside_path(const struct field_reader *r, const struct yaml_node *v,
			     const char *path)
{
	auto_free char *normal = NULL;
	auto_free char *shown = text_escaped(path);
	const char *absolute = text_starts(path, "~/") ? path + 1 : path;

	if (absolute[0] != '/')
		return field_error(r, v, "path '%s' must be absolute or begin with ~/", shown);
	if (fs_normalise(absolute, &normal, NULL) < 0 || strcmp(normal, absolute) != 0 ||
	    strcmp(normal, "/") == 0)
		return field_error(r, v, "path '%s' must be plain, without '..', '.' or '//'",
				   shown);
	return 0;
}

static int env_name(const struct field_reader *r, const struct yaml_node *v, const char *name)
{
	auto_free char *shown = text_escaped(name);

	if (!spec_env_name_ok(name, strlen(name)))
		return field_error(r, v, "'%s' cannot name an environment variable", shown);
	for (size_t i = 0; i < ARRAY_SIZE(reserved_env); i++) {
		if (text_starts(name, reserved_env[i]))
			return field_error(r, v, "variable '%s': the prefix %s is reserved", shown,
					   reserved_env[i]);
	}
	return 0;
}

/* environment.variables: field_env, without the reserved names. */
static FIELD_READER(read_variables)
{
	int ret = field_env(r, f, v, out);

	for (size_t i = 0; ret == 0 && i < v->n; i++)
		ret = env_name(r, v->keys[i], v->keys[i]->text);
	return ret;
}

static FIELD_READER(read_env_name)
{
	int ret = field_text(r, f, v, NULL);

	if (ret == 0)
		ret = env_name(r, v, v->text);
	return ret < 0 ? ret : field_text(r, f, v, out);
}

static FIELD_READER(read_inside_path)
{
	int ret = field_text(r, f, v, NULL);

	if (ret == 0)
		ret = check_inside_path(r, v, v->text);
	return ret < 0 ? ret : field_text(r, f, v, out);
}

/* A number or name of a user inside. */
static FIELD_READER(read_user)
{
	int ret = field_text(r, f, v, NULL);

	if (ret < 0)
		return ret;
	if (v->text[strspn(v->text, "abcdefghijklmnopqrstuvwxyz0123456789_-")] != '\0' ||
	    v->text[0] == '-' || strlen(v->text) > 32)
		return field_error(r, v, "'user' must be a user's name or number");
	return field_text(r, f, v, out);
}

/* The one line of setup.install[].command, for a shell. */
static FIELD_READER(read_shell_command)
{
	struct strv *argv = out;
	char *text = NULL;
	int ret = field_body(r, f, v, &text);

	if (ret < 0)
		return ret;
	if (argv) {
		strv_add(argv, "sh");
		strv_add(argv, "-c");
		strv_take(argv, steal(&text));
	}
	free(text);
	return 0;
}

static int check_program(const struct field_reader *r, const struct field *f,
			 const struct yaml_node *v)
{
	if (v->n == 0 || v->items[0]->text[0] == '\0')
		return field_error(r, v, "'%s' must name a program first", f->name);
	return 0;
}

static FIELD_READER(read_entrypoint)
{
	int ret = field_texts(r, f, v, out);

	return ret < 0 ? ret : check_program(r, f, v);
}

/* setup.startup[].command: a list of words, or a line for a shell. */
static FIELD_READER(read_startup_command)
{
	int ret;

	if (v->kind == YAML_SCALAR)
		return read_shell_command(r, f, v, out);
	ret = field_bodies(r, f, v, out);
	return ret < 0 ? ret : check_program(r, f, v);
}

/* Neither as an agent's login nor as its configuration. */
static int check_not_key(const struct field_reader *r, const struct yaml_node *v, const char *path)
{
	auto_free char *shown = text_escaped(path);

	if (text_starts(path, "~/") && kit_credential_refused(path + 2))
		return field_error(
			r, v, "'%s' holds keys of the user: it is never given to a sandbox", shown);
	return 0;
}

/* oauth.credentialFile.path */
static FIELD_READER(read_credential_path)
{
	int ret = read_inside_path(r, f, v, NULL);

	if (ret == 0)
		ret = check_not_key(r, v, v->text);
	return ret < 0 ? ret : field_text(r, f, v, out);
}

/* A path below the home, written without ~/: "." and ".." would mean other files. */
static FIELD_READER(read_home_file)
{
	auto_free char *path = NULL;
	int ret = field_text(r, f, v, NULL);

	if (ret < 0)
		return ret;
	path = xasprintf("~/%s", v->text);
	ret = check_inside_path(r, v, path);
	if (ret == 0)
		ret = check_not_key(r, v, path);
	return ret < 0 ? ret : field_text(r, f, v, out);
}

static FIELD_READER(read_home_files)
{
	int ret = field_texts(r, f, v, NULL);

	for (size_t i = 0; ret == 0 && i < v->n; i++)
		ret = read_home_file(r, f, v->items[i], NULL);
	return ret < 0 ? ret : field_texts(r, f, v, out);
}

/* A plain file name: it is looked for in directories that others choose. */
static FIELD_READER(read_program)
{
	int ret = field_text(r, f, v, NULL);

	if (ret < 0)
		return ret;
	if (v->text[0] == '\0' || v->text[0] == '.' || strchr(v->text, '/'))
		return field_error(r, v, "'%s' must be a program's name without a directory",
				   f->name);
	return field_text(r, f, v, out);
}

/* A package as registries of npm name it, without a version: it becomes a word of a command. */
static FIELD_READER(read_npm_package)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyz0123456789-._";
	int ret = field_text(r, f, v, NULL);
	const char *name;
	size_t scope, n;

	if (ret < 0)
		return ret;
	name = v->text;
	if (name[0] == '@') {
		scope = strspn(name + 1, chars);
		name += scope > 0 && name[1 + scope] == '/' ? scope + 2 : 0;
	}
	n = strspn(name, chars);
	if (n == 0 || name[n] != '\0' || strchr("-._", name[0]))
		return field_error(r, v, "'%s' must be the name of a package, such as @scope/name",
				   f->name);
	return field_text(r, f, v, out);
}

/* Processors: "2", "1.5" or "500m". */
static FIELD_READER(read_cpu)
{
	uint64_t whole;
	uint64_t milli = 0;
	auto_free char *text = NULL;
	char *dot;
	int ret = field_text(r, f, v, NULL);

	if (ret < 0)
		return ret;
	text = xstrdup(v->text);
	if (text_ends(text, "m")) {
		text[strlen(text) - 1] = '\0';
		ret = text_u64(text, CPU_MAX, &milli);
	} else {
		dot = strchr(text, '.');
		if (dot)
			*dot++ = '\0';
		ret = text_u64(text, CPU_MAX / 1000, &whole);
		for (uint64_t unit = 100; ret == 0 && dot && *dot; dot++, unit /= 10) {
			if (*dot < '0' || *dot > '9')
				ret = -EINVAL;
			milli += (uint64_t)(*dot - '0') * unit;
		}
		if (ret == 0)
			milli += whole * 1000;
	}
	if (ret < 0 || milli == 0)
		return field_error(r, v,
				   "'%s' must be a number of processors such as 2, 1.5 or 500m",
				   f->name);
	if (out)
		*(uint64_t *)out = milli;
	return 0;
}

/* Composition */

/* Other kits are found by name; places elsewhere are not fetched. */
static FIELD_READER(read_kit_name)
{
	int ret = field_text(r, f, v, NULL);

	if (ret < 0)
		return ret;
	if (text_check_name("kit", v->text, NULL) < 0) {
		auto_free char *shown = text_escaped(v->text);

		field_error(r, v, "'%s': '%s' is not the name of a kit", f->name, shown);
		return err_hint(r->e, "put it into the kits directory of your configuration and "
				      "name it here");
	}
	return field_text(r, f, v, out);
}

static FIELD_READER(read_kit_names)
{
	int ret = field_texts(r, f, v, NULL);

	for (size_t i = 0; ret == 0 && i < v->n; i++)
		ret = read_kit_name(r, f, v->items[i], NULL);
	return ret < 0 ? ret : field_texts(r, f, v, out);
}

/* "sandbox.image", "credentials[service=x]": names of fields, joined by dots. */
static FIELD_READER(read_locked)
{
	int ret = field_texts(r, f, v, NULL);

	for (size_t i = 0; ret == 0 && i < v->n; i++) {
		if (!kit_path_ok(v->items[i]->text)) {
			auto_free char *shown = text_escaped(v->items[i]->text);

			return field_error(r, v->items[i],
					   "'%s': '%s' is not the path of a field such as "
					   "sandbox.image or credentials[service=x]",
					   f->name, shown);
		}
	}
	return ret < 0 ? ret : field_texts(r, f, v, out);
}

static const struct field requires_v[] = { { "agent", field_name, KIT(requires_agent) } };
FIELDS(requires_fields, "requires", requires_v, 0, NULL);

/* sandbox */

static const struct field command_v[] = {
	{ "default", field_texts, KIT(command_default) },
	{ "interactive", field_texts, KIT(command_interactive) },
};
FIELDS(command_fields, "sandbox.command", command_v, 0, NULL);

static const struct field resources_v[] = {
	{ "cpu", read_cpu, KIT(cpu_milli) },
	{ "memory", field_size, KIT(memory) },
	{ "gpu", field_text, DROP },
};
FIELDS(resources_fields, "sandbox.resources", resources_v, 0, NULL);

/* The two lists, or one that counts for both. */
static FIELD_READER(read_launch)
{
	struct kit_part *p = out;

	if (v->kind == YAML_LIST) {
		p->has_default = p->has_interactive = true;
		strv_free(&p->kit.command_interactive);
		return field_texts(r, f, v, &p->kit.command_default) < 0
			       ? -EINVAL
			       : field_texts(r, f, v, &p->kit.command_interactive);
	}
	p->has_default = yaml_node_get(v, "default") != NULL;
	p->has_interactive = yaml_node_get(v, "interactive") != NULL;
	return fields_read(r, f->sub, v, out);
}

static const struct field sandbox_v[] = {
	{ "image", field_text, KIT(image) },
	{ "build", field_refused, DROP,
	  .reason = "is not supported: build the image first and name it in 'image'" },
	{ "entrypoint", read_entrypoint, KIT(entrypoint) },
	{ "command", read_launch, .sub = &command_fields },
	{ "resources", field_section, .sub = &resources_fields },
};
FIELDS(sandbox_fields, "sandbox", sandbox_v, 0, NULL);

static const struct field instructions_v[] = {
	{ "filename", field_text, KIT(instructions_file) },
	{ "content", field_body, KIT(instructions) },
};
FIELDS(instructions_fields, "agentInstructions", instructions_v, 0, NULL);

/* credentials */

#define CREDENTIAL(member) .offset = offsetof(struct kit_credential, member)

static const struct field inject_v[] = {
	{ "domain", field_text, DROP, .required = true },
	{ "header", field_text, DROP },
	{ "format", field_text, DROP },
	{ "scheme", field_choice, DROP, .values = schemes },
	{ "username", field_text, DROP },
};
FIELDS(inject_fields, "inject", inject_v, 0, NULL);

static const struct field api_key_v[] = {
	{ "name", read_env_name, CREDENTIAL(env_name), .required = true },
	{ "proxyManaged", field_bool, CREDENTIAL(proxy_managed) },
	{ "inject", field_objects, DROP, .sub = &inject_fields },
};
FIELDS(api_key_fields, "apiKey", api_key_v, 0, NULL);

static const struct field endpoint_v[] = {
	{ "host", field_text, DROP, .required = true },
	{ "path", field_text, DROP },
};
FIELDS(endpoint_fields, "oauth.tokenEndpoint", endpoint_v, 0, NULL);

static const struct field credential_file_v[] = {
	{ "path", read_credential_path, CREDENTIAL(credential_file), .required = true },
	{ "structure", field_any, DROP },
	{ "template", field_body, DROP },
};
FIELDS(credential_file_fields, "oauth.credentialFile", credential_file_v, 0, NULL);

static const struct field oauth_v[] = {
	{ "tokenEndpoint", field_section, .sub = &endpoint_fields },
	{ "sentinels", field_any, DROP },
	{ "credentialFile", field_section, .sub = &credential_file_fields },
	{ "resourceHosts", field_allow, DROP },
	{ "responseFields", field_any, DROP },
	{ "passthrough", field_any, DROP },
	{ "passthroughReason", field_text, DROP },
	{ "skipIfEnv", field_texts, DROP },
};
FIELDS(oauth_fields, "oauth", oauth_v, 0, NULL);

static const struct field credential_v[] = {
	{ "service", field_name, CREDENTIAL(service), .required = true },
	{ "description", field_text, CREDENTIAL(description) },
	{ "provider", field_text, DROP },
	{ "required", field_bool, CREDENTIAL(required) },
	{ "apiKey", field_section, .sub = &api_key_fields },
	{ "oauth", field_section, .sub = &oauth_fields },
};

static int finish_credential(const struct field_reader *r, const struct yaml_node *v, void *object)
{
	struct kit_credential *c = object;

	(void)r;
	if (c)
		c->raw = yaml_node_to_json(v);
	return 0;
}
FIELDS(credential_fields, "a credential", credential_v, sizeof(struct kit_credential),
       finish_credential);

/* permissions, ports, environment */

static const struct field network_v[] = {
	{ "allow", field_allow, KIT(net_allow) },
	{ "deny", field_deny, KIT(net_deny) },
};
FIELDS(network_fields, "permissions.network", network_v, 0, NULL);

static const struct field permissions_v[] = {
	{ "network", field_section, .sub = &network_fields },
};
FIELDS(permissions_fields, "permissions", permissions_v, 0, NULL);

#define PORT(member) .offset = offsetof(struct kit_port, member)

static const struct field port_v[] = {
	{ "container", field_uint, PORT(container), .min = 1, .max = 65535, .required = true },
	{ "protocol", field_choice, PORT(protocol), .values = protocols },
	{ "name", field_text, PORT(name) },
};

static int finish_port(const struct field_reader *r, const struct yaml_node *v, void *object)
{
	struct kit_port *p = object;

	(void)r;
	(void)v;
	if (p && !p->protocol)
		p->protocol = xstrdup("tcp");
	return 0;
}
FIELDS(port_fields, "a port", port_v, sizeof(struct kit_port), finish_port);

static const struct field environment_v[] = {
	{ "variables", read_variables, KIT(env) },
};
FIELDS(environment_fields, "environment", environment_v, 0, NULL);

/* setup */

#define COMMAND(member) .offset = offsetof(struct kit_command, member)

static int default_user(struct kit_command *c, const char *user)
{
	if (c && !c->user)
		c->user = xstrdup(user);
	return 0;
}

static int finish_install(const struct field_reader *r, const struct yaml_node *v, void *object)
{
	(void)r;
	(void)v;
	return default_user(object, "0");
}

static int finish_startup(const struct field_reader *r, const struct yaml_node *v, void *object)
{
	(void)r;
	(void)v;
	return default_user(object, "1000");
}

static const struct field install_v[] = {
	{ "command", read_shell_command, COMMAND(argv), .required = true },
	{ "user", read_user, COMMAND(user) },
	{ "description", field_text, DROP },
};
FIELDS(install_fields, "setup.install", install_v, sizeof(struct kit_command), finish_install);

static const struct field startup_v[] = {
	{ "command", read_startup_command, COMMAND(argv), .required = true },
	{ "user", read_user, COMMAND(user) },
	{ "background", field_bool, COMMAND(background) },
	{ "description", field_text, DROP },
};
FIELDS(startup_fields, "setup.startup", startup_v, sizeof(struct kit_command), finish_startup);

#define FILE_AT(member) .offset = offsetof(struct kit_file, member)

static const struct field file_v[] = {
	{ "path", read_inside_path, FILE_AT(path), .required = true },
	{ "content", field_body, FILE_AT(content), .required = true },
	{ "mode", field_mode, FILE_AT(mode) },
	{ "onlyIfMissing", field_bool, FILE_AT(only_if_missing) },
	{ "description", field_text, DROP },
};

static int finish_file(const struct field_reader *r, const struct yaml_node *v, void *object)
{
	struct kit_file *f = object;

	(void)r;
	(void)v;
	if (f && f->mode == 0)
		f->mode = 0644;
	return 0;
}
FIELDS(file_fields, "setup.files", file_v, sizeof(struct kit_file), finish_file);

static const struct field setup_v[] = {
	{ "install", field_objects, LIST(install), .sub = &install_fields },
	{ "startup", field_objects, LIST(startup), .sub = &startup_fields },
	{ "files", field_objects, LIST(files), .sub = &file_fields },
};
FIELDS(setup_fields, "setup", setup_v, 0, NULL);

/* volumes */

#define VOLUME(member) .offset = offsetof(struct kit_volume, member)

static const struct field volume_v[] = {
	{ "path", read_inside_path, VOLUME(path), .required = true },
	{ "type", field_choice, VOLUME(type), .values = volume_types },
	{ "size", field_size, VOLUME(size) },
	{ "mode", field_mode, VOLUME(mode), .max = STICKY_MODE_MAX },
};

static int finish_volume(const struct field_reader *r, const struct yaml_node *v, void *object)
{
	struct kit_volume *vol = object;

	(void)r;
	(void)v;
	if (vol && !vol->type)
		vol->type = xstrdup("");
	return 0;
}
FIELDS(volume_fields, "a volume", volume_v, sizeof(struct kit_volume), finish_volume);

/* security, ward */

static FIELD_READER(read_privileged)
{
	bool yes = false;
	int ret = field_bool(r, f, v, &yes);

	(void)out;
	if (ret == 0 && yes)
		return field_error(r, v, "'%s' is refused: no sandbox gets privileges on the host",
				   f->name);
	return ret;
}

static const struct field security_v[] = { { "privileged", read_privileged, DROP } };
FIELDS(security_fields, "security", security_v, 0, NULL);

#define CONFIG(member) .offset = offsetof(struct kit_user_config, member)

static const struct field user_config_v[] = {
	{ "path", read_home_file, CONFIG(path), .required = true },
	{ "keys", field_texts, CONFIG(keys) },
};
static const struct fields user_config_fields = {
	.what = "ward.userConfig",
	.v = user_config_v,
	.n = ARRAY_SIZE(user_config_v),
	.size = sizeof(struct kit_user_config),
	.bare = &user_config_v[0],
};

static const struct field ward_v[] = {
	{ "binary", read_program, KIT(binary) },
	{ "credentialFiles", read_home_files, KIT(credential_files) },
	{ "installHint", field_text, KIT(install_hint) },
	{ "npm", read_npm_package, KIT(npm) },
	{ "userConfig", field_objects, LIST(user_config), .sub = &user_config_fields },
};
FIELDS(ward_fields, "ward", ward_v, 0, NULL);

static const struct field kit_v[] = {
	{ "schemaVersion", field_choice, DROP, .values = schema_versions, .required = true },
	{ "kind", field_choice, KIT(kind), .values = kinds, .required = true },
	{ "name", field_name, KIT(name), .required = true },
	{ "version", field_text, KIT(version) },
	{ "displayName", field_text, KIT(display_name) },
	{ "description", field_body, KIT(description) },
	{ "sourceURL", field_text, DROP },
	{ "licenses", field_texts, DROP },
	{ "locked", read_locked, PART(locked) },
	{ "extends", read_kit_name, KIT(extends) },
	{ "requires", field_section, .sub = &requires_fields },
	{ "mixins", read_kit_names, PART(mixins) },
	{ "args", field_any, DROP }, /* kit_args.c */
	{ "sandbox", field_section, .sub = &sandbox_fields },
	{ "agentInstructions", field_section, .sub = &instructions_fields },
	{ "credentials", field_objects, LIST(credentials), .sub = &credential_fields },
	{ "permissions", field_section, .sub = &permissions_fields },
	{ "ports", field_objects, LIST(ports), .sub = &port_fields },
	{ "environment", field_section, .sub = &environment_fields },
	{ "setup", field_section, .sub = &setup_fields },
	{ "volumes", field_objects, LIST(volumes), .sub = &volume_fields },
	{ "security", field_section, .sub = &security_fields },
	{ "ward", field_section, .sub = &ward_fields },
};

/* What one kind of kit cannot have. */
static const struct {
	const char *kind;
	const char *section; /* NULL: at the top */
	const char *field;
	const char *why;
} forbidden[] = {
	{ "mixin", NULL, "sandbox", "a mixin cannot change how the agent is launched" },
	{ "mixin", NULL, "extends", "a mixin cannot extend another kit" },
	{ "mixin", NULL, "mixins", "a mixin cannot bring other mixins" },
	{ "mixin", "ward", "binary", "a mixin cannot change how the agent is launched" },
	{ "mixin", "ward", "installHint", "a mixin cannot change how the agent is launched" },
	{ "mixin", "ward", "npm", "a mixin cannot change how the agent is launched" },
	{ "mixin", "ward", "userConfig", "a mixin cannot show more of the user's home" },
	{ "mixin", "ward", "credentialFiles", "a mixin cannot say where the agent's login is" },
	{ "sandbox", NULL, "requires", "it is for mixins: a sandbox is an agent itself" },
};

static int finish_kit(const struct field_reader *r, const struct yaml_node *v, void *object)
{
	struct kit_part *p = object;
	struct kit *k = &p->kit;
	const char *slash;
	const char *program;

	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
		const struct yaml_node *in =
			forbidden[i].section ? yaml_node_get(v, forbidden[i].section) : v;
		const struct yaml_node *bad = yaml_node_get(in, forbidden[i].field);

		if (bad && strcmp(k->kind, forbidden[i].kind) == 0)
			return field_error(r, bad, "'%s': %s", forbidden[i].field,
					   forbidden[i].why);
	}
	if (strcmp(k->kind, "sandbox") != 0)
		return 0;
	if (k->entrypoint.n == 0 && !k->extends)
		return field_error(r, v, "a kit of kind 'sandbox' needs sandbox.entrypoint");
	if (!k->binary && k->entrypoint.n) {
		slash = strrchr(k->entrypoint.v[0], '/');
		program = slash ? slash + 1 : k->entrypoint.v[0];
		if (program[0] == '\0' || program[0] == '.')
			return field_error(r, v, "sandbox.entrypoint must begin with a program");
		k->binary = xstrdup(program);
	}
	return 0;
}
FIELDS(kit_fields, "a kit", kit_v, sizeof(struct kit_part), finish_kit);

_Static_assert(offsetof(struct kit_part, kit) == 0, "one table fills a part and the kit in it");

int kit_part_parse(const char *text, size_t n, const char *origin, struct kit_given *given,
		   struct kit_part **ret, struct err *e)
{
	struct field_reader reader = { .origin = origin, .e = e };
	struct kit_part *p = xcalloc(1, sizeof(*p));
	int r = yaml_tree_read(text, n, origin, &p->tree, e);

	p->kit.origin = xstrdup(origin);
	if (r == 0 && !yaml_tree_root(p->tree))
		r = err_set(e, ERR_INPUT, -EINVAL, "%s:1: the file is empty", origin);
	if (r == 0)
		r = kit_args_apply(&reader, p->tree, given, &p->args);
	if (r == 0)
		r = fields_read(&reader, &kit_fields, yaml_tree_root(p->tree), p);
	if (r < 0) {
		kit_part_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

int kit_parse(const char *text, size_t n, const char *origin, struct kit **ret, struct err *e)
{
	struct kit_part *p = NULL;
	int r = kit_part_parse(text, n, origin, NULL, &p, e);

	if (r == 0)
		*ret = kit_part_finish(p);
	return r;
}
