/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packages: where this machine installs packages from, for templates that are made here: the
 * repositories of its own distribution and release with their keys, certificates that it trusts
 * besides the usual ones, and npm's registry.
 *
 * Nothing that says who asks gets in: repositories and registries whose address holds a password
 * are left out, and said so; tokens are never read.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/certs.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/text.h"
#include "engine/engine_internal.h"
#include "engine/packages_internal.h"

enum { FILE_BYTES_MAX = 1 << 20, FILES_MAX = 200, DUMP_MAX = 4 << 20, DUMP_MS = 20000 };

#define KEYRINGS "/etc/apt/keyrings"
#define TRUSTED	 "/etc/apt/trusted.gpg.d"
#define CA_DIR	 "/usr/local/share/ca-certificates"
#define NPM_CA	 "/usr/local/etc/npm-ca.pem"
#define NPMRC	 "/usr/local/etc/npmrc"
/* Where npm goes when nobody says otherwise. */
#define NPM_DEFAULT "**.npmjs.org"

void engine_packages_clear(struct engine_packages *p)
{
	free(p->codename);
	free(p->sources);
	free(p->registry);
	free(p->apt_options);
	strv_free(&p->env);
	strv_free(&p->allow);
	strv_free(&p->left_out);
	for (size_t i = 0; i < p->nfiles; i++) {
		free(p->files[i].path);
		buf_free(&p->files[i].content);
	}
	free(p->files);
	*p = (struct engine_packages){ 0 };
}

static struct buf *add_file(struct engine_packages *p, const char *path)
{
	p->files = xrealloc(p->files, p->nfiles + 1, sizeof(*p->files));
	p->files[p->nfiles] = (struct engine_package_file){ .path = xstrdup(path) };
	return &p->files[p->nfiles++].content;
}

static bool has_file(const struct engine_packages *p, const char *path)
{
	for (size_t i = 0; i < p->nfiles; i++)
		if (strcmp(p->files[i].path, path) == 0)
			return true;
	return false;
}

static void allow(struct engine_packages *p, const char *rule)
{
	if (!strv_contains(&p->allow, rule))
		strv_add(&p->allow, rule);
}

/* Links are followed: these are the machine's own directories. */
static int read_file(const char *path, struct buf *out, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	return fd < 0 ? err_sys(e, "%s", path) : fs_read_fd(fd, FILE_BYTES_MAX, out, e);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Paths of the files in a directory that may be missing, in the order of their names. */
static void list_files(const char *dir, struct strv *ret)
{
	struct dirent **v = NULL;
	int n = scandir(dir, &v, NULL, by_name);

	for (int i = 0; i < n; i++) {
		if (v[i]->d_name[0] != '.' && ret->n < FILES_MAX)
			strv_take(ret, fs_join(dir, v[i]->d_name));
		free(v[i]);
	}
	free(v);
}

/* --- the distribution ------------------------------------------------------------------------- */

static int no_apt(struct err *e)
{
	err_set(e, ERR_HOST, -ENOTSUP,
		"this machine is neither Debian nor Ubuntu: templates for agents are made with its "
		"apt and mmdebstrap");
	return err_hint(e, "take an image: ward run -t IMAGE AGENT");
}

static int find_codename(char **ret, struct err *e)
{
	static const char *const keys[] = { "\nUBUNTU_CODENAME=", "\nVERSION_CODENAME=" };
	auto_buf text = BUF_INIT;

	buf_putc(&text, '\n');
	if (access("/usr/bin/apt-get", X_OK) < 0 || read_file("/etc/os-release", &text, NULL) < 0)
		return no_apt(e);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *at = strstr(buf_str(&text), keys[i]);
		size_t n;

		if (!at)
			continue;
		at += strlen(keys[i]);
		at += *at == '"';
		n = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789-");
		if (n) {
			*ret = xstrndup(at, n);
			return 0;
		}
	}
	return no_apt(e);
}

/* --- apt -------------------------------------------------------------------------------------- */

static void read_sources(struct apt_sources *s)
{
	auto_strv files = STRV_INIT;

	strv_add(&files, "/etc/apt/sources.list");
	list_files("/etc/apt/sources.list.d", &files);
	for (size_t i = 0; i < files.n; i++) {
		bool deb822 = text_ends(files.v[i], ".sources");
		auto_buf text = BUF_INIT;

		if ((deb822 || text_ends(files.v[i], ".list")) &&
		    read_file(files.v[i], &text, NULL) == 0)
			apt_sources_parse(buf_str(&text), text.len, deb822, s);
	}
}

/* The key of a source becomes a file of the template. *ret: its place there; owned, or NULL. */
static int add_key(struct engine_packages *p, const struct apt_source *s, char **ret, struct err *e)
{
	auto_free char *path = NULL;
	auto_buf text = BUF_INIT;
	int r;

	if (s->key_text) {
		path = xasprintf(KEYRINGS "/ward-%016llx.asc",
				 (unsigned long long)text_fnv1a(s->key_text, strlen(s->key_text)));
		buf_puts(&text, s->key_text);
	} else if (s->key) {
		path = xasprintf(KEYRINGS "/%s", strrchr(s->key, '/') + 1);
		r = read_file(s->key, &text, e);
		if (r < 0)
			return err_prefix(e, "the key of %s", s->uri);
	}
	if (path && !has_file(p, path))
		buf_add(add_file(p, path), text.data, text.len);
	*ret = steal(&path);
	return 0;
}

/* deb [signed-by=KEY] URI SUITE COMPONENT... */
static int add_source(struct engine_packages *p, const struct apt_source *s, struct buf *lines,
		      bool *ret_trusted, struct err *e)
{
	auto_free char *rule = package_url_rule(s->uri);
	auto_free char *key = NULL;
	int r;

	if (!rule) {
		auto_free char *host = text_escaped(
			strpbrk(s->uri, "@?") ? "its address has a password or a query" : s->uri);

		strv_addf(&p->left_out, "apt: a source of %s is left out: %s", s->suite, host);
		return 0;
	}
	r = add_key(p, s, &key, e);
	if (r < 0)
		return r;
	*ret_trusted |= !key;
	allow(p, rule);
	buf_puts(lines, "deb ");
	if (key)
		buf_printf(lines, "[signed-by=%s] ", key);
	buf_printf(lines, "%s %s", s->uri, s->suite);
	for (size_t i = 0; i < s->components.n; i++)
		buf_printf(lines, " %s", s->components.v[i]);
	buf_putc(lines, '\n');
	return 0;
}

static int add_sources(struct engine_packages *p, struct err *e)
{
	auto_apt_sources all = { 0 };
	auto_buf lines = BUF_INIT;
	bool trusted = false;
	auto_strv keys = STRV_INIT;
	int r = 0;

	read_sources(&all);
	for (size_t i = 0; r == 0 && i < all.n; i++)
		if (apt_source_is_of(&all.v[i], p->codename))
			r = add_source(p, &all.v[i], &lines, &trusted, e);
	if (r < 0)
		return r;
	if (lines.len == 0) {
		err_set(e, ERR_HOST, -ENOENT,
			"no source of apt is one of %s with the component main and an http address",
			p->codename);
		return err_hint(e, "look at /etc/apt/sources.list.d; apt-get update must work");
	}
	/* Without Signed-By, any key that the machine trusts will do. */
	if (trusted)
		list_files(TRUSTED, &keys);
	for (size_t i = 0; i < keys.n; i++) {
		auto_buf text = BUF_INIT;

		if (read_file(keys.v[i], &text, NULL) == 0)
			buf_add(add_file(p, keys.v[i]), text.data, text.len);
	}
	p->sources = buf_steal(&lines);
	return 0;
}

/* A proxy of this machine, as a box reaches it: what listens here only has a name there. Owned;
 * NULL when there is none. */
static char *proxy_inside(struct engine_packages *p, const char *what, const char *url)
{
	auto_free char *rule = url ? package_url_rule(url) : NULL;
	const char *colon;

	if (!url || strcmp(url, "DIRECT") == 0)
		return NULL;
	if (!rule) {
		strv_addf(&p->left_out, "%s: its proxy is left out: no plain http address", what);
		return NULL;
	}
	colon = strrchr(rule, ':');
	if (!text_starts(rule, "127.") && !text_starts(rule, "localhost:")) {
		allow(p, rule);
		return xasprintf("http://%s", rule);
	}
	strv_addf(&p->allow, "localhost%s", colon);
	return xasprintf("http://host.ward.internal%s", colon);
}

static void add_apt_proxies(struct engine_packages *p)
{
	static const char *const schemes[] = { "http", "https" };
	auto_buf dump = BUF_INIT;
	auto_buf options = BUF_INIT;
	char *argv[] = { (char[]){ "apt-config" }, (char[]){ "dump" }, NULL };
	int status = 0;

	if (spawn_run(&(struct spawn){ .path = "/usr/bin/apt-config",
				       .argv = argv,
				       .output_max = DUMP_MAX,
				       .timeout_ms = DUMP_MS },
		      &dump, NULL, &status, NULL) < 0 ||
	    status != 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		auto_free char *key = xasprintf("Acquire::%s::Proxy", schemes[i]);
		auto_free char *url = apt_config_value(buf_str(&dump), key);
		auto_free char *proxy = proxy_inside(p, "apt", url);

		if (proxy)
			buf_printf(&options, "%s-o%s=%s", options.len ? " " : "", key, proxy);
	}
	p->apt_options = options.len ? buf_steal(&options) : NULL;
}

/* --- certificates ----------------------------------------------------------------------------- */

static void add_certificates(struct engine_packages *p)
{
	auto_strv files = STRV_INIT;

	list_files(CA_DIR, &files);
	for (size_t i = 0; i < files.n; i++) {
		auto_buf text = BUF_INIT;

		if (!text_ends(files.v[i], ".crt") || read_file(files.v[i], &text, NULL) < 0)
			continue;
		certs_add(buf_str(&text), text.len, add_file(p, files.v[i]));
		p->own_ca = true;
	}
}

/* --- npm -------------------------------------------------------------------------------------- */

static void read_npmrc(const char *path, struct npm_config *c)
{
	auto_buf text = BUF_INIT;

	if (path && read_file(path, &text, NULL) == 0)
		npm_config_parse(buf_str(&text), text.len, environ, c);
}

static void read_npm_config(const char *home, struct npm_config *c)
{
	static const char *const global[] = { "/etc/npmrc", "/usr/etc/npmrc",
					      "/usr/local/etc/npmrc" };
	auto_free char *own = fs_join(home, ".npmrc");
	const char *user = getenv("NPM_CONFIG_USERCONFIG");

	npm_config_env(environ, c);
	read_npmrc(user ? user : own, c);
	read_npmrc(getenv("NPM_CONFIG_GLOBALCONFIG"), c);
	for (size_t i = 0; i < ARRAY_SIZE(global); i++)
		read_npmrc(global[i], c);
}

/* What goes into the template's own npmrc. */
static int add_npm(struct engine_packages *p, const char *home, struct err *e)
{
	auto_npm_config c = { 0 };
	auto_free char *proxy = NULL;
	auto_free char *rule = NULL;
	auto_buf text = BUF_INIT;
	auto_buf ca = BUF_INIT;
	int r = 0;

	read_npm_config(home, &c);
	p->registry = c.registry ? xstrdup(c.registry) : NULL;
	rule = c.registry ? package_url_rule(c.registry) : xstrdup(NPM_DEFAULT);
	allow(p, rule);
	if (c.registry)
		buf_printf(&text, "registry=%s\n", c.registry);
	for (size_t i = 0; i < c.scopes.n; i++) {
		auto_free char *of = package_url_rule(strchr(c.scopes.v[i], '=') + 1);

		allow(p, of);
		buf_printf(&text, "%s\n", c.scopes.v[i]);
	}
	if (c.cafile)
		r = read_file(c.cafile, &ca, e);
	if (r < 0)
		return err_prefix(e, "npm's cafile");
	if (c.ca)
		buf_puts(&ca, c.ca);
	if (ca.len) {
		buf_printf(&text, "cafile=" NPM_CA "\n");
		certs_add(buf_str(&ca), ca.len, add_file(p, NPM_CA));
	}
	if (c.insecure)
		buf_puts(&text, "strict-ssl=false\n");
	buf_add(add_file(p, NPMRC), text.data, text.len);
	proxy = proxy_inside(p, "npm", c.https_proxy);
	if (proxy)
		strv_env_set(&p->env, "npm_config_https_proxy", proxy);
	for (size_t i = 0; i < c.bad.n; i++) {
		auto_free char *key = text_escaped(c.bad.v[i]);

		strv_addf(&p->left_out,
			  "npm: '%s' is left out: it has a password or a query, or is no http "
			  "address",
			  key);
	}
	return 0;
}

int engine_packages_find(const struct engine_context *c, struct engine_packages *ret, struct err *e)
{
	struct engine_packages p = { 0 };
	int r = find_codename(&p.codename, e);

	if (r == 0 && access("/usr/bin/mmdebstrap", X_OK) < 0) {
		err_set(e, ERR_HOST, -ENOENT, "mmdebstrap is not installed on this machine");
		r = err_hint(e, "sudo apt-get install mmdebstrap");
	}
	if (r == 0)
		r = add_sources(&p, e);
	if (r == 0)
		r = add_npm(&p, c->paths.home, e);
	if (r < 0) {
		engine_packages_clear(&p);
		return r;
	}
	add_apt_proxies(&p);
	add_certificates(&p);
	*ret = p;
	return 0;
}
