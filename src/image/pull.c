/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pull: between a registry and the store, through ward-registry: what it is asked, and the record
 * of what it brought.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/fs.h"
#include "base/mem.h"
#include "image/image.h"

/* What the helper gets of our environment: where credentials and certificates are, and what
 * credential helpers need to find a keyring. Proxies come on their own. */
static const char *const passed_env[] = {
	"HOME",
	"PATH",
	"USER",
	"LOGNAME",
	"LANG",
	"LC_ALL",
	"DOCKER_CONFIG",
	"SSL_CERT_FILE",
	"DISPLAY",
	"GNUPGHOME",
	"GPG_TTY",
	"PASSWORD_STORE_DIR",
	"WAYLAND_DISPLAY",
	"XDG_DATA_HOME",
	"XDG_CONFIG_HOME",
	"XDG_RUNTIME_DIR",
	"DBUS_SESSION_BUS_ADDRESS",
};

static int run(const struct image_store *s, const char *verb, struct json *request,
	       const struct image_registry *how, struct json **ret, struct err *e)
{
	auto_close int blobs = fs_open_beneath(s->fd, "blobs/sha256", O_RDONLY | O_DIRECTORY, 0);
	auto_strv env = STRV_INIT;

	if (blobs < 0) {
		errno = -blobs;
		return err_sys(e, "template store: cannot open its blobs");
	}
	for (size_t i = 0; i < ARRAY_SIZE(passed_env); i++) {
		if (getenv(passed_env[i]))
			strv_env_set(&env, passed_env[i], getenv(passed_env[i]));
	}
	proxies_to_env(how->proxies, &env);
	if (how->proxies->ca)
		json_set_string(request, "ca", how->proxies->ca);
	json_set(request, "registries", how->registries ? json_ref(how->registries) : json_array());
	return image_helper_run(&(struct image_job){ .helper = how->helper,
						     .verb = verb,
						     .request = request,
						     .env = strv_argv(&env),
						     .fds = &blobs,
						     .nfds = 1,
						     .event = how->event,
						     .arg = how->arg },
				ret, e);
}

/* Is all of a template there, and for this platform? */
static bool is_complete(const struct image_store *s, const struct image_record *r,
			const struct image_platform *p)
{
	auto_image_manifest m = { 0 };
	auto_image_config c = { 0 };

	if (image_store_read(s, r->manifest, &m, &c, NULL) < 0 ||
	    strcmp(c.architecture, p->architecture) != 0)
		return false;
	for (size_t i = 0; i < m.nlayers; i++) {
		if (!image_store_has(s, m.layers[i].digest, m.layers[i].size))
			return false;
	}
	return true;
}

int image_record_of(const struct json *result, const char *reference, struct image_record *ret,
		    struct err *e)
{
	const char *digest, *media_type, *manifest;

	if (json_get_string(result, "digest", &digest) < 0 ||
	    json_get_string(result, "media_type", &media_type) < 0 ||
	    json_get_string(result, "manifest", &manifest) < 0 || !image_digest_ok(digest) ||
	    !image_digest_ok(manifest))
		return err_set(e, ERR_SYSTEM, -EBADMSG,
			       "image helper: it said something malformed");
	*ret = (struct image_record){ .reference = xstrdup(reference),
				      .digest = xstrdup(digest),
				      .media_type = xstrdup(media_type),
				      .manifest = xstrdup(manifest),
				      .pulled_at = (int64_t)time(NULL) };
	return 0;
}

static int pull_locked(const struct image_store *s, const struct image_ref *ref,
		       const struct image_registry *how, struct image_record *ret,
		       bool *ret_changed, struct err *e)
{
	auto_free char *reference = image_ref_canonical(ref);
	struct image_platform p = { 0 };
	auto_free char *platform = NULL;
	auto_json request = json_object();
	auto_json result = NULL;
	auto_image_record old = { 0 };
	auto_image_record rec = { 0 };
	bool unchanged = false;
	bool known;
	int r = image_platform_parse(how->platform, &p, e);

	if (r < 0)
		return r;
	platform = image_platform_text(&p);
	known = image_store_lookup(s, reference, &old, NULL) == 0 && is_complete(s, &old, &p);
	image_platform_clear(&p);
	json_set_string(request, "host", ref->host);
	json_set_string(request, "repository", ref->repository);
	json_set_string(request, "tag", ref->tag);
	json_set_string(request, "digest", ref->digest);
	json_set_string(request, "platform", platform);
	json_set_string(request, "known", known ? old.digest : NULL);
	r = run(s, "fetch", request, how, &result, e);
	if (r < 0)
		return r;
	(void)json_get_bool(result, "unchanged", &unchanged);
	if (unchanged && known) {
		rec = old;
		old = (struct image_record){ 0 };
	} else {
		r = image_record_of(result, reference, &rec, e);
		if (r == 0)
			r = image_store_tag(s, &rec, e);
		if (r < 0)
			return r;
	}
	if (ret_changed)
		*ret_changed = !unchanged;
	*ret = rec;
	rec = (struct image_record){ 0 };
	return 0;
}

int image_pull(const struct image_store *s, const struct image_ref *ref,
	       const struct image_registry *how, struct image_record *ret, bool *ret_changed,
	       struct err *e)
{
	auto_close int lock = -1;
	int r = image_store_lock(s, IMAGE_LOCK_CONTENT, false, true, &lock, e);

	return r < 0 ? r : pull_locked(s, ref, how, ret, ret_changed, e);
}

int image_push(const struct image_store *s, const char *manifest, const struct image_ref *to,
	       const struct image_registry *how, struct err *e)
{
	auto_json request = json_object();
	auto_close int lock = -1;
	int r = image_store_lock(s, IMAGE_LOCK_CONTENT, false, true, &lock, e);

	json_set_string(request, "host", to->host);
	json_set_string(request, "repository", to->repository);
	json_set_string(request, "tag", to->tag);
	json_set_string(request, "manifest", manifest);
	return r < 0 ? r : run(s, "push", request, how, NULL, e);
}
