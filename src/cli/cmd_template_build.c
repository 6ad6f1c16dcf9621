/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_template_build: `template build -t NAME CONTEXT`: the files that it names, read once; the
 * building is the engine's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"
#include "image/dockerfile.h"

/* What the command line names. */
struct sources {
	struct buf text;
	struct buf ignore;
	bool has_ignore;
	char *name; /* of the Dockerfile, for messages */
	int context;
};

static void sources_clear(struct sources *s)
{
	buf_free(&s->text);
	buf_free(&s->ignore);
	free(s->name);
	if (s->context >= 0)
		close(s->context);
}

/* A file that the user names, wherever its links lead. */
static int read_file(int dirfd, const char *path, struct buf *out, struct err *e)
{
	auto_close int fd = openat(dirfd, path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
	auto_free char *shown = text_escaped(path);

	if (fd < 0)
		return err_sys(e, "template build: %s", shown);
	/* One byte more, so that the parser says what is too large. */
	return fs_read_fd(fd, DOCKERFILE_BYTES_MAX + 1, out, e) < 0
		       ? err_prefix(e, "template build: %s", shown)
		       : 0;
}

/* Beside the Dockerfile with its name in front, else the context's own. */
static int read_ignore(const char *file, struct sources *s, struct err *e)
{
	auto_free char *own = file ? xasprintf("%s.dockerignore", file) : NULL;
	int r;

	if (own && access(own, F_OK) == 0)
		r = read_file(AT_FDCWD, own, &s->ignore, e);
	else if (!own && s->context >= 0 &&
		 faccessat(s->context, "Dockerfile.dockerignore", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		r = read_file(s->context, "Dockerfile.dockerignore", &s->ignore, e);
	else if (s->context >= 0 &&
		 faccessat(s->context, ".dockerignore", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		r = read_file(s->context, ".dockerignore", &s->ignore, e);
	else
		return 0;
	s->has_ignore = r == 0;
	return r;
}

static int read_sources(struct cli *c, struct sources *s, struct err *e)
{
	const char *context = c->operands.v.v[1];
	const char *file = c->v.file;
	auto_free char *shown = text_escaped(context);
	bool in = (file && strcmp(file, "-") == 0) || strcmp(context, "-") == 0;
	int r;

	if (file && in && strcmp(file, "-") != 0)
		return err_set(e, ERR_USAGE, -EINVAL,
			       "template build: -f, and '-' as the context, name two Dockerfiles");
	if (strcmp(context, "-") != 0) {
		s->context = open(context, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (s->context < 0) {
			(void)err_sys(e, "template build: context '%s'", shown);
			return err_hint(e, "CONTEXT is a directory: ward template build -t NAME .");
		}
	}
	if (in) {
		s->name = xstrdup("Dockerfile");
		r = fs_read_fd(STDIN_FILENO, DOCKERFILE_BYTES_MAX + 1, &s->text, e);
	} else if (file) {
		s->name = text_escaped(file);
		r = read_file(AT_FDCWD, file, &s->text, e);
	} else {
		s->name = xstrdup("Dockerfile");
		r = read_file(s->context, "Dockerfile", &s->text, e);
		if (r == -ENOENT)
			(void)err_hint(e, "name it: -f FILE");
	}
	return r < 0 ? r : read_ignore(in ? NULL : file, s, e);
}

/* Docker's own: NAME alone means the variable of the caller. */
static int read_args(const struct cli *c, struct strv *ret, struct err *e)
{
	for (size_t i = 0; i < c->v.build_arg.n; i++) {
		const char *arg = c->v.build_arg.v[i];
		const char *eq = strchr(arg, '=');
		auto_free char *name = eq ? xstrndup(arg, (size_t)(eq - arg)) : xstrdup(arg);
		const char *value = eq ? eq + 1 : getenv(name);

		if (!*name)
			return err_set(e, ERR_USAGE, -EINVAL, "option --build-arg: NAME=VALUE");
		if (value)
			strv_env_set(ret, name, value);
	}
	return 0;
}

static int build(struct cli *c, const struct sources *s, const struct image_ref *ref,
		 char **ret_digest, struct err *e)
{
	struct spec *network = spec_new();
	auto_free char *reference = image_ref_canonical(ref);
	auto_strv args = STRV_INIT;
	struct progress progress;
	int r = read_args(c, &args, e);

	if (r == 0)
		r = run_network(c, network, e);
	if (r == 0) {
		progress_begin(&progress, c->v.quiet);
		c->engine.transfer = progress_event;
		c->engine.transfer_arg = &progress;
		r = engine_build(
			&c->engine,
			&(struct engine_build){
				.reference = reference,
				.name = s->name,
				.text = buf_str(&s->text),
				.text_len = s->text.len,
				.ignore = s->has_ignore ? buf_str(&s->ignore) : NULL,
				.ignore_len = s->ignore.len,
				.context = s->context,
				.args = &args,
				.target = c->v.target,
				.no_cache = c->v.no_cache,
				.pull = c->v.pull ? ENGINE_PULL_ALWAYS : ENGINE_PULL_MISSING,
				.network = network->network,
				.network_default = network->network_default,
				.allow_hosts = &network->allow_hosts,
				.deny_hosts = &network->deny_hosts,
			},
			ret_digest, e);
		c->engine.transfer = NULL;
		progress_end(&progress);
	}
	spec_free(network);
	return r;
}

int template_build_file(struct cli *c, struct err *e)
{
	struct sources s = { .context = -1 };
	auto_image_ref ref = { 0 };
	auto_free char *digest = NULL;
	auto_free char *shown = NULL;
	auto_buf out = BUF_INIT;
	int r;

	if (!c->v.tag) {
		(void)err_set(e, ERR_USAGE, -EINVAL, "template build: -t NAME is missing");
		return err_hint(e, "ward template build -t NAME CONTEXT");
	}
	r = template_ref(c->v.tag, &ref, e);
	if (r < 0)
		return r;
	if (ref.source != IMAGE_REGISTRY || !ref.tag)
		return err_set(e, ERR_USAGE, -EINVAL,
			       "template build: -t takes a name as registries have it, with a tag");
	r = read_sources(c, &s, e);
	if (r == 0)
		r = build(c, &s, &ref, &digest, e);
	sources_clear(&s);
	if (r < 0)
		return r;
	shown = image_ref_familiar(&ref);
	term_note(c, "%s was built", shown);
	buf_printf(&out, "%s\n", digest);
	return term_out(&out, e);
}
