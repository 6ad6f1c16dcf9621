/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_ca: certificate authorities of the user's company, inside.
 *
 * A proxy that looks into TLS signs with an authority of its own, which programs inside must trust
 * as those outside do.  When the configuration or the user's environment names such a file, the box
 * gets one with the template's own authorities and those, read-only, and the variables by which
 * OpenSSL, curl, git, Node, Python and others find it.  Nothing but certificates is taken of a
 * file.  It lies in the sandbox's directory, not in its layer, and so in no template.
 *
 * What a box changed in its own bundle counts: it comes from its layer, whose links lead nowhere
 * out of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/certs.h"
#include "base/fs.h"
#include "base/mem.h"
#include "engine/engine_internal.h"

#define CA_FILE "ca.pem"

static const char *const variables[] = {
	/* Those that are asked outside, too. */
	"SSL_CERT_FILE",
	"NODE_EXTRA_CA_CERTS",
	"REQUESTS_CA_BUNDLE",
	"CURL_CA_BUNDLE",
	"GIT_SSL_CAINFO",
	/* Set only. */
	"PIP_CERT",
	"CARGO_HTTP_CAINFO",
	"AWS_CA_BUNDLE",
	"DENO_CERT",
};
enum { VARIABLES_ASKED = 5, SOURCES_MAX = VARIABLES_ASKED + 3 };

/* Files that were read, so that none is twice. */
struct sources {
	struct {
		dev_t dev;
		ino_t ino;
	} v[SOURCES_MAX];
	size_t n;
};

static bool seen(struct sources *s, const struct stat *st)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i].dev == st->st_dev && s->v[i].ino == st->st_ino)
			return true;
	}
	if (s->n < SOURCES_MAX) {
		s->v[s->n].dev = st->st_dev;
		s->v[s->n++].ino = st->st_ino;
	}
	return false;
}

/* The certificates of an open file, which is closed. */
static int take(struct sources *s, int fd, struct buf *out, struct err *e)
{
	auto_close int own = fd;
	size_t before = out->len;
	auto_buf text = BUF_INIT;
	struct stat st;
	int r;

	if (fstat(own, &st) < 0)
		return err_sys(e, "certificates");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INPUT, -EINVAL, "not a file");
	if (seen(s, &st))
		return 0;
	r = fs_read_fd(own, CERTS_FILE_MAX, &text, e);
	if (r < 0)
		return r;
	certs_add(buf_str(&text), text.len, out);
	return out->len > before ? 0
				 : err_set(e, ERR_INPUT, -EINVAL, "there is no certificate in it");
}

static int open_source(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* A bundle below a directory with a root's files; false: it has none. */
static bool take_below(struct sources *s, const char *root, struct buf *out)
{
	auto_close int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; dir >= 0 && certs_system[i]; i++) {
		int fd = fs_open_in_root(dir, certs_system[i], O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
		size_t before = out->len;

		if (fd >= 0)
			(void)take(s, fd, out, NULL);
		if (out->len > before)
			return true;
	}
	return false;
}

/* What the template trusts by itself, or this machine, where it has nothing. */
static void take_own(struct sources *s, const char *dir, const struct strv *layers, struct buf *out)
{
	auto_free char *upper = dir ? fs_join(dir, "upper") : NULL;

	if (upper && take_below(s, upper, out))
		return;
	for (size_t i = 0; i < layers->n; i++) {
		if (take_below(s, layers->v[i], out))
			return;
	}
	(void)take_below(s, "/", out);
}

static bool is_wanted(const struct engine_context *c)
{
	for (size_t i = 0; i < VARIABLES_ASKED; i++) {
		const char *path = getenv(variables[i]);

		if (path && path[0] == '/' && access(path, R_OK) == 0)
			return true;
	}
	return c->config->ca != NULL;
}

int native_ca_bundle(const struct engine_context *c, const char *dir, const struct strv *layers,
		     struct buf *ret, struct err *e)
{
	struct sources s = { .n = 0 };
	int fd, r;

	if (!is_wanted(c))
		return 0;
	take_own(&s, dir, layers, ret);
	for (size_t i = 0; i < VARIABLES_ASKED; i++) {
		const char *path = getenv(variables[i]);

		/* One that is not there harms no program outside either. */
		fd = path && path[0] == '/' ? open_source(path) : -1;
		if (fd >= 0)
			(void)take(&s, fd, ret, NULL);
	}
	if (!c->config->ca)
		return 0;
	fd = open_source(c->config->ca);
	if (fd < 0)
		r = err_sys(e, "certificates");
	else
		r = take(&s, fd, ret, e);
	return r < 0 ? err_prefix(e, "config.yaml: ca %s", c->config->ca) : 0;
}

/* Into the sandbox's directory; or none there. */
static int write_file(const char *dir, const struct buf *bundle, struct err *e)
{
	auto_close int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_buf old = BUF_INIT;

	if (fd < 0)
		return err_sys(e, "%s", dir);
	if (bundle->len == 0) {
		if (unlinkat(fd, CA_FILE, 0) < 0 && errno != ENOENT)
			return err_sys(e, "%s/" CA_FILE, dir);
		return 0;
	}
	if (fs_read_at(fd, CA_FILE, bundle->len, &old, NULL) == 0 && old.len == bundle->len &&
	    memcmp(old.data, bundle->data, old.len) == 0)
		return 0;
	return fs_replace_at(fd, CA_FILE, bundle->data, bundle->len, 0444, false, e);
}

int native_ca(const struct engine_context *c, struct box_config *b, bool starts, struct err *e)
{
	auto_free char *file = fs_join(b->dir, CA_FILE);
	auto_buf bundle = BUF_INIT;
	int r = starts ? native_ca_bundle(c, b->dir, &b->layers, &bundle, e) : 0;

	if (r == 0 && starts)
		r = write_file(b->dir, &bundle, e);
	if (r < 0)
		return r;
	if (starts ? bundle.len > 0 : is_wanted(c)) {
		b->binds = xrealloc(b->binds, b->nbinds + 1, sizeof(*b->binds));
		b->binds[b->nbinds++] = (struct box_bind){ .source = steal(&file),
							   .target = xstrdup(NATIVE_CA),
							   .readonly = true };
	}
	return 0;
}

void native_ca_set(const char *path, struct strv *env)
{
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		if (!strv_env_get(env, variables[i]))
			strv_env_set(env, variables[i], path);
	}
}

void native_ca_env(const struct engine_context *c, const struct spec *s, struct strv *env)
{
	auto_free char *file =
		s->id ? xasprintf("%s/sandboxes/%s/" CA_FILE, c->paths.data, s->id) : NULL;

	if (file && faccessat(AT_FDCWD, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		native_ca_set(NATIVE_CA, env);
}
