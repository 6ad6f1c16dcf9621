/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_config: from a spec and a kit to what the box, the proxy and the first program get.
 *
 * Everything is computed again at each start from the stored spec, the kit and this machine, so
 * that a restart has the same layers as a first start.  Files in the agent's home are seeds:
 * written when they are missing.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/text.h"
#include "engine/engine_internal.h"

#ifndef WARD_LIBEXECDIR
#define WARD_LIBEXECDIR "/usr/local/libexec/ward"
#endif

/* Relative to the directory of this executable: an installed tree that was moved, then a build
 * tree. */
static const char *const helper_places[] = { "../libexec/ward", "supervise", "net", "image" };

int native_helper(const char *name, char **ret, struct err *e)
{
	const char *env = secure_getenv("WARD_LIBEXEC");
	auto_free char *exe = NULL;
	auto_free char *path = NULL;

	if (env && env[0] == '/') {
		path = fs_join(env, name);
		if (access(path, X_OK) == 0)
			goto found;
	}
	if (fs_canonical("/proc/self/exe", &exe, NULL) == 0) {
		*strrchr(exe, '/') = '\0';
		for (size_t i = 0; i < ARRAY_SIZE(helper_places); i++) {
			free(path);
			path = xasprintf("%s/%s/%s", exe, helper_places[i], name);
			if (access(path, X_OK) == 0)
				goto found;
		}
	}
	free(path);
	path = fs_join(WARD_LIBEXECDIR, name);
	if (access(path, X_OK) == 0)
		goto found;
	err_set(e, ERR_HOST, -ENOENT, "%s is missing: it belongs in %s", name, WARD_LIBEXECDIR);
	return err_hint(e, "install Ward completely: make install");
found:
	return fs_canonical(path, ret, e);
}

int engine_helper(const char *name, char **ret, struct err *e)
{
	return native_helper(name, ret, e);
}

static void add_bind(struct box_config *b, const char *source, const char *target)
{
	b->binds = xrealloc(b->binds, b->nbinds + 1, sizeof(*b->binds));
	b->binds[b->nbinds++] = (struct box_bind){ .source = xstrdup(source),
						   .target = xstrdup(target),
						   .readonly = true };
}

static void add_link(struct box_config *b, const char *name, const char *target)
{
	b->links = xrealloc(b->links, b->nlinks + 1, sizeof(*b->links));
	b->links[b->nlinks++] =
		(struct box_link){ .path = xasprintf("%s/%s", NATIVE_LINK_DIR, name),
				   .target = xstrdup(target) };
}

/* Takes path and content. */
static void add_seed(struct box_config *b, char *path, char *content, uint32_t mode,
		     bool only_if_missing)
{
	b->files = xrealloc(b->files, b->nfiles + 1, sizeof(*b->files));
	b->files[b->nfiles++] = (struct box_file){ .path = path,
						   .content = content,
						   .mode = mode,
						   .agent_owned = fs_path_within(path, NATIVE_HOME),
						   .only_if_missing = only_if_missing };
}

static int add_host_agent(struct box_config *b, const struct kit *k, const struct spec *s,
			  const char *home, struct err *e)
{
	auto_free char *path = engine_find_host_agent(k, home, s);
	struct host_program p = { 0 };
	int r;

	if (!path)
		return 0; /* starting the agent will say that its program is not there */
	r = host_program_resolve(path, home, s, &p, e);
	if (r < 0)
		return err_prefix(e, "agent %s", k->name);
	for (size_t i = 0; i < p.binds.n; i++)
		add_bind(b, p.binds.v[i], p.binds.v[i]);
	add_link(b, k->binary, p.real);
	if (p.interpreter)
		add_link(b, "node", p.interpreter);
	host_program_clear(&p);
	return 0;
}

enum { IDENTITY_MAX = 4096 };

/* A value is data: what could mean anything else to a program or a terminal is not taken. */
static bool is_plain(const char *value)
{
	for (const char *p = value; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	return *value != '\0';
}

/* Where else than below the home git looks for the user's configuration. */
static const char *const git_places[] = { "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL" };

/*
 * The invoking user's global name and address, as `git config -z` prints them: "user.name\nVALUE"
 * and a NUL byte each.  Empty when git says nothing.
 */
static void git_identity(const char *git, const char *home, struct buf *out)
{
	auto_free char *home_env = xasprintf("HOME=%s", home);
	const char *const argv[] = { "git",
				     "config",
				     "--global",
				     "--includes",
				     "-z",
				     "--get-regexp",
				     "^user[.](name|email)$",
				     NULL };
	auto_strv env = STRV_INIT;
	struct spawn s = { .path = git,
			   .argv = (char *const *)(uintptr_t)argv,
			   .output_max = IDENTITY_MAX,
			   .timeout_ms = 2000 };
	int status = 0;

	strv_add(&env, home_env);
	for (size_t i = 0; i < ARRAY_SIZE(git_places); i++) {
		const char *value = getenv(git_places[i]);

		if (value && value[0] == '/')
			strv_take(&env, xasprintf("%s=%s", git_places[i], value));
	}
	s.env = env.v;
	if (spawn_run(&s, out, NULL, &status, NULL) < 0 || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 0)
		buf_reset(out);
}

/* git-config(1), "Values": in double quotes, with \ and " escaped and newline and tab as \n and \t.
 */
static void gitconfig_value(struct buf *out, const char *key, const char *value)
{
	buf_printf(out, "\t%s = \"", key);
	for (; *value; value++) {
		if (*value == '\n')
			buf_puts(out, "\\n");
		else if (*value == '\t')
			buf_puts(out, "\\t");
		else {
			if (*value == '"' || *value == '\\')
				buf_putc(out, '\\');
			buf_putc(out, *value);
		}
	}
	buf_puts(out, "\"\n");
}

/* The user's identity (of a key given twice the last one holds, as in git), and trust in the
 * workspaces whatever id owns them inside. */
static char *gitconfig_seed(const struct spec *s, const char *home)
{
	static const char *const gits[] = { "/usr/bin/git", "/usr/local/bin/git", "/bin/git",
					    NULL };
	const char *git = spawn_find(gits);
	auto_buf identity = BUF_INIT;
	auto_buf out = BUF_INIT;

	if (git)
		git_identity(git, home, &identity);
	for (size_t at = 0; at < identity.len; at += strlen(identity.data + at) + 1) {
		char *value = strchr(identity.data + at, '\n');

		if (!value || !is_plain(value + 1))
			continue;
		*value = '\0';
		buf_puts(&out, "[user]\n");
		gitconfig_value(&out, strchr(identity.data + at, '.') + 1, value + 1);
		*value = ' ';
	}
	buf_puts(&out, "[safe]\n");
	for (size_t i = 0; i < s->nworkspaces; i++)
		gitconfig_value(&out, "directory", s->workspaces[i].path);
	return buf_steal(&out);
}

static int add_volumes(struct box_config *b, const struct kit *k, struct err *e)
{
	b->volumes = xcalloc(k->nvolumes + 1, sizeof(*b->volumes));
	for (size_t i = 0; i < k->nvolumes; i++) {
		const struct kit_volume *v = &k->volumes[i];
		struct box_volume *to = &b->volumes[b->nvolumes++];
		int r;

		*to = (struct box_volume){ .path = kit_path(v->path, NATIVE_HOME),
					   .tmpfs = strcmp(v->type, "tmpfs") == 0,
					   .size = v->size,
					   .mode = v->mode };
		r = spec_target_check(to->path, e);
		if (r < 0)
			return err_prefix(e, "kit %s", k->name);
	}
	return 0;
}

/* The user's own file at the place of a seed is what the agent gets; of some only a part. */
static void add_kit_file(struct box_config *b, const struct kit_file *f,
			 const struct kit_vars *vars, const struct user_config *u)
{
	auto_free char *path = kit_path(f->path, NATIVE_HOME);
	auto_free char *content = kit_file_render(f, vars);
	const struct user_config_item *own = user_config_at(u, path);
	char *merged;

	if (own && own->way != USER_CONFIG_MERGED)
		return;
	merged = own ? user_config_merged(own, content) : NULL;
	add_seed(b, steal(&path), merged ? merged : steal(&content), f->mode,
		 f->only_if_missing || merged);
}

static bool has_file(const struct box_config *b, const char *path)
{
	for (size_t i = 0; i < b->nfiles; i++) {
		if (strcmp(b->files[i].path, path) == 0)
			return true;
	}
	return false;
}

void native_kit_files(struct box_config *b, const struct spec *s, const struct kit *k,
		      const struct user_config *u)
{
	auto_strv env = STRV_INIT;
	auto_strv keys = STRV_INIT;
	struct kit_vars vars = { .workdir = s->workspaces[0].path,
				 .home = NATIVE_HOME,
				 .env = &env };

	/* The first of a name holds. */
	strv_extend(&env, &s->env);
	if (s->credentials == SPEC_CREDENTIALS_HOST)
		engine_host_keys(k, &keys);
	strv_extend(&env, &keys);
	for (size_t i = 0; i < k->nfiles; i++)
		add_kit_file(b, &k->files[i], &vars, u);
	for (size_t i = 0; i < u->n; i++) {
		const struct user_config_item *own = &u->v[i];
		char *merged = own->way == USER_CONFIG_MERGED && !has_file(b, own->target)
				       ? user_config_merged(own, NULL)
				       : NULL;

		if (merged)
			add_seed(b, xstrdup(own->target), merged, 0600, true);
	}
	if (u->instructions) {
		struct kit_file f = { .path = u->instructions, .content = k->instructions };
		auto_free char *text = kit_file_render(&f, &vars);

		add_seed(b, xstrdup(u->instructions), user_config_notes(u, text), 0644, true);
	}
}

/* What the user has for this agent: files for the home, and read-only mounts in it. */
static int add_user_config(struct engine_context *c, struct box_config *b, const struct spec *s,
			   const struct kit *k, struct err *e)
{
	struct user_config u;
	int r = 0;

	user_config_find(c, s, k, &u);
	if (k->instructions && !u.instructions)
		r = err_set(e, ERR_INPUT, -EINVAL,
			    "kit %s: agentInstructions: filename must lie below the home", k->name);
	for (size_t i = 0; i < u.n; i++) {
		if (u.v[i].way != USER_CONFIG_BOUND)
			continue;
		add_bind(b, u.v[i].source, u.v[i].target);
		b->binds[b->nbinds - 1].yield = true;
		b->binds[b->nbinds - 1].optional = true;
	}
	native_kit_files(b, s, k, &u);
	user_config_clear(&u);
	return r;
}

static void add_seeds(struct box_config *b, const struct spec *s, const char *dir, const char *home)
{
	auto_free char *gitconfig = fs_join(dir, "home/.gitconfig");

	/* Asking git costs processes, so only a new home is given the identity. */
	if (faccessat(AT_FDCWD, gitconfig, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		add_seed(b, xstrdup(NATIVE_HOME "/.gitconfig"), gitconfig_seed(s, home), 0644,
			 true);
}

/* A deep copy by way of JSON, the one description of a spec's members. */
static int copy_spec(const struct spec *s, struct spec **ret, struct err *e)
{
	auto_json j = spec_to_json(s);

	return spec_from_json(j, ret, e);
}

static bool needs_filling(const char *dir)
{
	auto_free char *mark = fs_join(dir, NATIVE_UNFILLED);

	return faccessat(AT_FDCWD, mark, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int native_config(struct engine_context *c, const struct spec *s, const struct kit *k,
		  const char *dir, bool starts, struct box_config **ret, struct err *e)
{
	struct box_config *b = box_config_new();
	struct stat st;
	int r;

	if (stat(s->workspaces[0].path, &st) < 0) {
		r = err_sys(e, "workspace %s", s->workspaces[0].path);
		goto fail;
	}
	r = box_ids_detect(st.st_uid, st.st_gid, &b->ids, e);
	if (r < 0)
		goto fail;
	r = copy_spec(s, &b->spec, e);
	if (r < 0)
		goto fail;
	b->dir = xstrdup(dir);
	if (s->docker_socket)
		r = engine_docker_socket(c->paths.home, &b->docker_socket, e);
	if (r < 0) {
		err_prefix(e, "--mount-docker-socket");
		goto fail;
	}
	b->hostname = xstrdup(s->name);
	b->home = xstrdup(NATIVE_HOME);
	b->proxy_port = NATIVE_PROXY_PORT;
	switch (s->tmpl.kind) {
	case SPEC_TEMPLATE_HOST:
		r = box_host_binds(b, e);
		if (r == 0)
			r = add_host_agent(b, k, s, c->paths.home, e);
		break;
	case SPEC_TEMPLATE_DIR:
		strv_add(&b->layers, s->tmpl.path);
		break;
	case SPEC_TEMPLATE_IMAGE:
		r = native_image_layers(c, s->tmpl.digest, &b->ids, &b->layers, e);
		b->fill_home = needs_filling(dir);
		if (r < 0)
			err_prefix(e, "template %s", s->tmpl.ref);
		break;
	case SPEC_TEMPLATE_KIND_MAX:
	default:
		r = err_set(e, ERR_CORRUPT, -EINVAL, "template: unknown kind");
		break;
	}
	if (r < 0)
		goto fail;
	r = native_ca(c, b, starts, e);
	if (r == 0)
		r = add_volumes(b, k, e);
	if (r < 0)
		goto fail;
	r = add_user_config(c, b, s, k, e);
	if (r < 0)
		goto fail;
	add_seeds(b, s, dir, c->paths.home);
	r = native_shell(c, b, s, k, e);
	if (r < 0)
		goto fail;
	*ret = b;
	return 0;
fail:
	box_config_free(b);
	return r;
}

struct env_entry {
	const char *key;
	const char *value;
};

static void env_default(struct strv *env, const char *key, const char *value)
{
	if (!strv_env_get(env, key))
		strv_env_set(env, key, value);
}

#define NATIVE_PROXY_URL "http://127.0.0.1:3128"
_Static_assert(NATIVE_PROXY_PORT == 3128, "the proxy variables name the port");

static const struct env_entry base_env[] = {
	{ "PATH", NATIVE_PATH },
	/* bash reads it when it runs a script or `-c`; see native_shell.c. */
	{ "BASH_ENV", NATIVE_PERSISTENT },
	{ "IS_SANDBOX", "1" },
	{ "HTTP_PROXY", NATIVE_PROXY_URL },
	{ "HTTPS_PROXY", NATIVE_PROXY_URL },
	{ "ALL_PROXY", NATIVE_PROXY_URL },
	{ "NO_PROXY", "localhost,127.0.0.1,::1,[::1]" },
	{ "http_proxy", NATIVE_PROXY_URL },
	{ "https_proxy", NATIVE_PROXY_URL },
	{ "all_proxy", NATIVE_PROXY_URL },
	{ "no_proxy", "localhost,127.0.0.1,::1,[::1]" },
	/* No key of the user is inside, and an agent that cannot commit is of no use: not even the
	 * repository's own settings, which only this place outranks, make git sign. */
	{ "GIT_CONFIG_COUNT", "2" },
	{ "GIT_CONFIG_KEY_0", "commit.gpgSign" },
	{ "GIT_CONFIG_VALUE_0", "false" },
	{ "GIT_CONFIG_KEY_1", "tag.gpgSign" },
	{ "GIT_CONFIG_VALUE_1", "false" },
	{ "BROWSER", NATIVE_LINK_DIR "/xdg-open" },
	/* Node's fetch and http ignore the variables above unless told. */
	{ "NODE_USE_ENV_PROXY", "1" },
	{ "NODE_OPTIONS", "--require=" NATIVE_NODE_QUIET },
};

int native_session_env(struct engine_context *c, const struct spec *s, struct spec_session *session,
		       struct err *e)
{
	const struct strv *defaults[] = { &s->env, c->config ? &c->config->env : NULL };
	struct strv *env = &session->env;
	bool root = session->user &&
		    (strcmp(session->user, "root") == 0 || strcmp(session->user, "0") == 0);
	int r;

	for (size_t d = 0; d < ARRAY_SIZE(defaults); d++) {
		for (size_t i = 0; defaults[d] && i < defaults[d]->n; i++) {
			const char *eq = strchr(defaults[d]->v[i], '=');
			auto_free char *key =
				eq ? xstrndup(defaults[d]->v[i], (size_t)(eq - defaults[d]->v[i]))
				   : NULL;

			if (key)
				env_default(env, key, eq + 1);
		}
	}
	native_ca_env(c, s, env);
	r = native_image_env(c, s, env, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(base_env); i++)
		env_default(env, base_env[i].key, base_env[i].value);
	if (s->tmpl.kind == SPEC_TEMPLATE_HOST)
		/* The system's own prefix is read-only there: global packages go to the home. */
		env_default(env, "NPM_CONFIG_PREFIX", NATIVE_HOME "/.local");
	if (s->docker_socket)
		env_default(env, "DOCKER_HOST", "unix://" BOX_DOCKER_SOCKET);
	env_default(env, "WORKSPACE_DIR", s->workspaces[0].path);
	env_default(env, "WARD_SANDBOX", s->name);
	/* Names, and another user's home, come from the box's own password file, which init reads.
	 */
	if (!session->user || root)
		env_default(env, "HOME", root ? "/root" : NATIVE_HOME);
	return 0;
}
