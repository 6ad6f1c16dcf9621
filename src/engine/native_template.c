/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_template: an image as the template of a sandbox: found or brought into the store, unpacked
 * for the ids of this user, and what its configuration means in the box.
 *
 * A sandbox keeps the digest of the manifest, so it stays what it was when a tag moves.  From
 * looking the template up until the sandbox is stored, the context holds IMAGE_LOCK_CONTENT, so
 * that nothing of it is collected in between.
 *
 * Of the configuration only the environment reaches a program, below everything else; the agent is
 * always uid 1000 and starts in the workspace, so User and WorkingDir are checked and not used.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/native_unpack.h"

/* --- local sources ---------------------------------------------------------------------------- */

/* The path of a local source, made absolute, so that the reference means the same everywhere. */
static int resolve_path(struct image_ref *ref, struct err *e)
{
	auto_free char *path = NULL;
	int r = fs_canonical(ref->path, &path, e);

	if (r < 0)
		return r;
	free(ref->path);
	ref->path = steal(&path);
	return 0;
}

/* A file of this machine, or what an engine sends: *ret_tag is the image in it that is meant. */
static int open_source(struct engine_context *c, const struct image_ref *ref, int spool_dir,
		       int *ret, const char **ret_tag, struct err *e)
{
	if (ref->source == IMAGE_DOCKER_DAEMON) {
		*ret_tag = NULL;
		return native_docker_image(c, ref, spool_dir, ret, e);
	}
	*ret_tag = ref->tag;
	*ret = open(ref->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return *ret < 0 ? err_sys(e, "open") : 0;
}

static int run_import(struct engine_context *c, const struct image_store *s,
		      const struct image_ref *ref, struct json **ret, struct err *e)
{
	auto_close int source = -1;
	auto_close int blobs = fs_open_beneath(s->fd, "blobs/sha256", O_RDONLY | O_DIRECTORY, 0);
	auto_close int partial = fs_open_beneath(s->fd, "blobs/partial", O_RDONLY | O_DIRECTORY, 0);
	int fds[] = { -1, blobs, partial };
	struct image_platform here = { 0 };
	auto_free char *platform = NULL;
	auto_free char *helper = NULL;
	auto_json request = json_object();
	struct image_job job = {
		.verb = "import", .request = request, .fds = fds, .nfds = ARRAY_SIZE(fds)
	};
	const char *tag;
	int r;

	if (blobs < 0 || partial < 0)
		return err_set(e, ERR_SYSTEM, blobs < 0 ? blobs : partial,
			       "template store: cannot open its directories");
	r = open_source(c, ref, partial, &source, &tag, e);
	fds[0] = source;
	if (r == 0)
		r = image_platform_parse(NULL, &here, e);
	if (r == 0)
		r = native_helper("ward-image", &helper, e);
	if (r == 0) {
		platform = image_platform_text(&here);
		json_set_string(request, "platform", platform);
		json_set_string(request, "tag", tag);
		job.helper = helper;
		r = image_helper_run(&job, ret, e);
	}
	image_platform_clear(&here);
	return r;
}

static int import_local(struct engine_context *c, const struct image_store *s,
			const struct image_ref *ref, const char *canonical,
			struct image_record *ret, struct err *e)
{
	auto_image_record rec = { 0 };
	auto_json result = NULL;
	int r = run_import(c, s, ref, &result, e);

	if (r == 0)
		r = image_record_of(result, canonical, &rec, e);
	if (r == 0)
		r = image_store_tag(s, &rec, e);
	if (r < 0)
		return r;
	*ret = rec;
	rec = (struct image_record){ 0 };
	return 0;
}

/* A tag alone is no name: "latest" would be an image of Docker's library. */
static int name_of(const struct json *result, const char *given, struct image_ref *ret,
		   struct err *e)
{
	const char *name = given;
	int r;

	if (!name && json_get_string(result, "name", &name) < 0)
		name = NULL;
	if (!name || (!given && !strpbrk(name, ":/@"))) {
		err_set(e, ERR_USAGE, -EINVAL, "the archive does not name its image");
		return err_hint(e, "give it a name: ward template load -i FILE NAME");
	}
	r = image_ref_parse(name, ret, e);
	if (r == 0 && ret->source != IMAGE_REGISTRY)
		r = err_set(e, ERR_USAGE, -EINVAL, "image '%s': not a name as registries have it",
			    name);
	return r;
}

int engine_template_load(struct engine_context *c, const char *file, const char *name,
			 char **ret_reference, struct err *e)
{
	struct image_ref source = { .source = IMAGE_OCI_ARCHIVE };
	auto_free char *shown = text_escaped(file);
	auto_free char *reference = NULL;
	auto_image_store s = { .fd = -1 };
	auto_image_ref ref = { 0 };
	auto_image_record rec = { 0 };
	auto_image_config config = { 0 };
	auto_json result = NULL;
	auto_close int lock = -1;
	int r = image_store_open(c->paths.data, &s, e);

	if (r == 0)
		r = image_store_lock(&s, IMAGE_LOCK_CONTENT, false, true, &lock, e);
	if (r < 0)
		return r;
	source.path = xstrdup(file);
	r = run_import(c, &s, &source, &result, e);
	image_ref_clear(&source);
	if (r == 0)
		r = name_of(result, name, &ref, e);
	if (r == 0) {
		reference = image_ref_canonical(&ref);
		r = image_record_of(result, reference, &rec, e);
	}
	if (r == 0)
		r = image_store_read(&s, rec.manifest, NULL, &config, e);
	if (r == 0)
		r = image_store_tag(&s, &rec, e);
	if (r < 0)
		return err_prefix(e, "template load: %s", shown);
	*ret_reference = steal(&reference);
	return 0;
}

/* --- registries ------------------------------------------------------------------------------- */

int engine_template_pull(struct engine_context *c, const struct image_store *s,
			 const struct image_ref *ref, const char *platform,
			 struct image_record *ret, bool *ret_changed, struct err *e)
{
	struct native_ahead *ahead = native_ahead_new(s, c->transfer, c->transfer_arg);
	auto_free char *helper = NULL;
	auto_proxies proxies = { 0 };
	struct image_registry how = { .registries = c->config->registries,
				      .proxies = &proxies,
				      .platform = platform,
				      .event = c->transfer,
				      .arg = c->transfer_arg };
	int r = native_helper("ward-registry", &helper, e);

	if (r == 0)
		r = engine_proxies(c, &proxies, e);
	how.helper = helper;
	/* What is not for this machine is not unpacked. */
	if (!platform) {
		how.event = native_ahead_event;
		how.arg = ahead;
	}
	if (r == 0)
		r = image_pull(s, ref, &how, ret, ret_changed, e);
	native_ahead_finish(ahead, r == 0);
	native_ahead_free(ahead);
	return r;
}

/* --- looking up ------------------------------------------------------------------------------- */

static int not_here(const char *shown, struct err *e)
{
	err_set(e, ERR_NOT_FOUND, -ENOENT, "template '%s': it is not on this machine", shown);
	return err_hint(e, "ward template pull %s", shown);
}

static int find(struct engine_context *c, const struct image_store *s, struct image_ref *ref,
		enum engine_pull pull, struct image_record *ret, struct err *e)
{
	auto_free char *canonical = NULL;
	auto_free char *shown = NULL;
	bool local = ref->source == IMAGE_OCI_DIR || ref->source == IMAGE_OCI_ARCHIVE ||
		     ref->source == IMAGE_DOCKER_ARCHIVE;
	int r;

	if (local) {
		r = resolve_path(ref, e);
		if (r < 0)
			return r;
	}
	canonical = image_ref_canonical(ref);
	shown = image_ref_familiar(ref);
	/* A file may have changed since: only its digests tell. */
	if (local && pull != ENGINE_PULL_NEVER)
		return import_local(c, s, ref, canonical, ret, e);
	/* An engine's image is large, and asked for once, as a registry's. */
	if (ref->source == IMAGE_DOCKER_DAEMON && pull == ENGINE_PULL_ALWAYS)
		return import_local(c, s, ref, canonical, ret, e);
	if (ref->source == IMAGE_REGISTRY && pull == ENGINE_PULL_ALWAYS)
		return engine_template_pull(c, s, ref, NULL, ret, NULL, e);
	r = image_store_lookup(s, canonical, ret, e);
	if (r != -ENOENT)
		return r;
	if (ref->source == IMAGE_REGISTRY && pull == ENGINE_PULL_MISSING) {
		if (e)
			*e = ERR_INIT;
		return engine_template_pull(c, s, ref, NULL, ret, NULL, e);
	}
	if (ref->source == IMAGE_DOCKER_DAEMON && pull == ENGINE_PULL_MISSING)
		return import_local(c, s, ref, canonical, ret, e);
	return not_here(shown, e);
}

int native_template(struct engine_context *c, struct spec_template *t, enum engine_pull pull,
		    struct err *e)
{
	auto_image_ref ref = { 0 };
	auto_image_record rec = { 0 };
	auto_image_store s = { .fd = -1 };
	auto_image_config config = { 0 };
	struct box_ids ids;
	int r = image_ref_parse(t->ref, &ref, e);

	if (r == 0)
		r = image_store_open(c->paths.data, &s, e);
	if (r == 0 && c->template_lock == 0)
		r = image_store_lock(&s, IMAGE_LOCK_CONTENT, false, true, &c->template_lock, e);
	if (r < 0)
		return r;
	r = find(c, &s, &ref, pull, &rec, e);
	if (r == 0)
		r = image_store_read(&s, rec.manifest, NULL, &config, e);
	if (r == 0)
		r = box_ids_detect(getuid(), getgid(), &ids, e);
	if (r == 0)
		r = native_image_unpack(c, rec.manifest, &ids, e);
	if (r < 0) {
		auto_free char *shown = text_escaped(t->ref);

		return e && text_starts(e->message, "template ")
			       ? r
			       : err_prefix(e, "template '%s'", shown);
	}
	free(t->ref);
	free(t->digest);
	t->ref = image_ref_canonical(&ref);
	t->digest = steal(&rec.manifest);
	return 0;
}

int engine_remove_layer(int dirfd, const char *name, struct err *e)
{
	struct box_ids ids;
	int r = box_ids_detect(getuid(), getgid(), &ids, e);

	return r < 0 ? r : box_remove_tree(&ids, dirfd, name, e);
}

/* --- what the configuration means ------------------------------------------------------------- */

/* Variables that say how the box is, not the image; with a star, what begins so. */
static const char *const box_variables[] = {
	"HOME",	      "USER",	       "LOGNAME",
	"PWD",	      "OLDPWD",	       "HOSTNAME",
	"TERM",	      "HTTP_PROXY",    "HTTPS_PROXY",
	"ALL_PROXY",  "NO_PROXY",      "FTP_PROXY",
	"http_proxy", "https_proxy",   "all_proxy",
	"no_proxy",   "ftp_proxy",     "NODE_USE_ENV_PROXY",
	"IS_SANDBOX", "WORKSPACE_DIR", "BASH_ENV",
	"ENV",	      "GIT_CONFIG_*",  "WARD_*",
};

static bool is_box_variable(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(box_variables); i++) {
		size_t n = strlen(box_variables[i]) - 1;

		if (box_variables[i][n] == '*' ? strncmp(key, box_variables[i], n) == 0
					       : strcmp(key, box_variables[i]) == 0)
			return true;
	}
	return false;
}

/* An image's PATH, and what every system has behind it: its shell is found whatever the image says.
 */
static char *path_of(const char *image)
{
	static const char *const standard[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
						"/usr/bin",	   "/sbin",	     "/bin" };
	auto_buf path = BUF_INIT;

	buf_printf(&path, NATIVE_PATH_FRONT ":%s", image);
	for (size_t i = 0; i < ARRAY_SIZE(standard); i++) {
		const size_t n = strlen(standard[i]);
		bool there = false;

		for (const char *p = image; *p && !there; p += strcspn(p, ":"), p += *p == ':')
			there = strcspn(p, ":") == n && memcmp(p, standard[i], n) == 0;
		if (!there)
			buf_printf(&path, ":%s", standard[i]);
	}
	return buf_steal(&path);
}

void native_image_merge_env(const struct strv *image, struct strv *env)
{
	for (size_t i = 0; i < image->n; i++) {
		const char *eq = strchr(image->v[i], '=');
		auto_free char *key = eq ? xstrndup(image->v[i], (size_t)(eq - image->v[i])) : NULL;

		if (!key || !*key || is_box_variable(key) || strv_env_get(env, key))
			continue;
		if (strcmp(key, "PATH") == 0 && eq[1]) {
			auto_free char *path = path_of(eq + 1);

			strv_env_set(env, key, path);
		} else if (strcmp(key, "PATH") != 0) {
			strv_env_set(env, key, eq + 1);
		}
	}
}

int native_image_env(struct engine_context *c, const struct spec *s, struct strv *env,
		     struct err *e)
{
	auto_image_store store = { .fd = -1 };
	auto_image_config config = { 0 };
	int r;

	if (s->tmpl.kind != SPEC_TEMPLATE_IMAGE)
		return 0;
	r = image_store_open(c->paths.data, &store, e);
	if (r == 0)
		r = image_store_read(&store, s->tmpl.digest, NULL, &config, e);
	if (r < 0)
		return err_prefix(e, "template %s", s->tmpl.ref);
	native_image_merge_env(&config.env, env);
	return 0;
}
