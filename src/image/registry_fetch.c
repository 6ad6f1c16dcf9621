/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_fetch: the verb fetch: an image from a registry into the store.
 *
 * Request: {"host", "repository", "tag" or "digest", "platform": {"os", "architecture", "variant"},
 * "known": digest of what the store has under this name or null, "registries": [{"host",
 * "insecure", "ca", "mirrors": [...]}]}; descriptor 3 is blobs/sha256. Result: {"digest",
 * "media_type", "manifest", "fetched"}; with "unchanged": true nothing was to do.
 *
 * Mirrors of the host are asked first, in their order, each with its own credentials; whatever goes
 * wrong with one, the next is asked.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "image/image_internal.h"
#include "image/registry_internal.h"

enum { ENDPOINTS_MAX = 8 };

#define ACCEPT                                                                                     \
	"application/vnd.oci.image.index.v1+json, "                                                \
	"application/vnd.oci.image.manifest.v1+json, "                                             \
	"application/vnd.docker.distribution.manifest.list.v2+json, "                              \
	"application/vnd.docker.distribution.manifest.v2+json"

struct fetch {
	const char *repository;
	const char *tag;    /* NULL: digest is given */
	const char *digest; /* NULL: tag is given */
	const char *known;  /* or NULL */
	struct image_platform platform;
	struct registry_store store;
	struct registry *endpoints[ENDPOINTS_MAX]; /* the last one is the host itself */
	size_t nendpoints;
};

static int bad_request(struct err *e)
{
	return err_set(e, ERR_SYSTEM, -EINVAL, "registry: the request is malformed");
}

/* --- endpoints ---------------------------------------------------------------------------------
 */

static int add_endpoint(struct fetch *f, const struct json *request, const char *host,
			struct err *e)
{
	int r;

	if (f->nendpoints == ENDPOINTS_MAX)
		return err_set(e, ERR_INPUT, -E2BIG, "registry: more than %d mirrors",
			       ENDPOINTS_MAX - 1);
	r = registry_open(request, host, f->repository, "pull", &f->endpoints[f->nendpoints], e);
	if (r == 0)
		f->nendpoints++;
	return r;
}

static int read_request(const struct json *j, struct fetch *f, struct err *e)
{
	const struct json *registries = json_get(j, "registries");
	auto_strv mirrors = STRV_INIT;
	const char *host, *platform;
	int r;

	if (json_get_string(j, "host", &host) < 0 ||
	    json_get_string(j, "repository", &f->repository) < 0 ||
	    json_get_string(j, "platform", &platform) < 0)
		return bad_request(e);
	(void)json_get_string(j, "tag", &f->tag);
	(void)json_get_string(j, "digest", &f->digest);
	(void)json_get_string(j, "known", &f->known);
	if (f->digest ? !image_digest_ok(f->digest) : !f->tag)
		return bad_request(e);
	r = image_platform_parse(platform, &f->platform, e);
	if (r < 0)
		return r;
	(void)json_get_strv(registry_config_of(registries, host), "mirrors", &mirrors);
	for (size_t i = 0; i < mirrors.n && r == 0; i++)
		r = add_endpoint(f, j, mirrors.v[i], e);
	return r == 0 ? add_endpoint(f, j, host, e) : r;
}

static void fetch_clear(struct fetch *f)
{
	for (size_t i = 0; i < f->nendpoints; i++)
		registry_free(f->endpoints[i]);
	image_platform_clear(&f->platform);
}

/* --- documents ---------------------------------------------------------------------------------
 */

/* One document, verified when its digest is known before. */
struct document {
	char *digest;
	char *media_type; /* as it was sent, without parameters */
	enum image_media media;
	struct buf text;
};

static void document_clear(struct document *d)
{
	free(d->digest);
	free(d->media_type);
	buf_free(&d->text);
	*d = (struct document){ 0 };
}
#define auto_document __attribute__((cleanup(document_clear))) struct document

static int request_manifest(struct registry *r, struct http *h, const char *method,
			    const char *name, struct http_response *resp, struct err *e)
{
	auto_free char *path = xasprintf("/v2/%s/manifests/%s", r->repository, name);
	auto_free char *what =
		xasprintf("%s%c%s", r->repository, text_starts(name, "sha256:") ? '@' : ':', name);
	struct registry_retry retry = { 0 };
	struct http_request q = HTTP_REQUEST_INIT;
	int code;

	q.method = method;
	q.url = path;
	q.accept = ACCEPT;
	q.max = IMAGE_DOCUMENT_MAX;
	do {
		code = registry_request(r, h, &q, resp, e);
	} while (registry_again(&retry, code, resp, what));
	if (code < 0)
		return code == -EFBIG ? err_prefix(e, "registry %s: %s: manifest", r->host, what)
				      : code;
	return resp->status == 200 ? 0 : registry_failure(r, resp, what, e);
}

static int wrong_digest(const struct registry *r, const char *wanted, const char *got,
			struct err *e)
{
	return err_set(e, ERR_INPUT, -EBADMSG,
		       "registry %s: it sent a manifest with the digest %s, not %s", r->host, got,
		       wanted);
}

/* `wanted`: the digest that it must have, or NULL. */
static int get_manifest(struct registry *r, struct http *h, const char *name, const char *wanted,
			struct document *ret, struct err *e)
{
	auto_http_response resp = { 0 };
	char digest[IMAGE_DIGEST_LEN + 1];
	int code = request_manifest(r, h, "GET", name, &resp, e);

	if (code < 0)
		return code;
	registry_digest(resp.body.data, resp.body.len, digest);
	if (wanted && strcmp(wanted, digest) != 0)
		return wrong_digest(r, wanted, digest, e);
	/* The registry's own word must be true as well. */
	if (resp.digest && image_digest_ok(resp.digest) && strcmp(resp.digest, digest) != 0)
		return wrong_digest(r, resp.digest, digest, e);
	code = image_document_media(buf_str(&resp.body), resp.body.len, resp.content_type,
				    &ret->media, e);
	if (code < 0)
		return err_prefix(e, "registry %s", r->host);
	ret->digest = xstrdup(digest);
	ret->media_type = resp.content_type && image_media_of(resp.content_type) == ret->media
				  ? xstrndup(resp.content_type, strcspn(resp.content_type, "; \t"))
				  : xstrdup(ret->media == IMAGE_MEDIA_INDEX
						    ? "application/vnd.oci.image.index.v1+json"
						    : "application/vnd.oci.image.manifest.v1+json");
	ret->text = resp.body;
	resp.body = BUF_INIT;
	return 0;
}

/* From an index down to the manifest for the platform; `doc` is replaced. */
static int descend(const struct fetch *f, struct registry *r, struct http *h, struct document *doc,
		   struct err *e)
{
	for (int depth = 0; doc->media == IMAGE_MEDIA_INDEX; depth++) {
		struct image_descriptor d = { 0 };
		auto_document next = { 0 };
		int code;

		if (depth >= IMAGE_INDEX_DEPTH_MAX)
			return err_set(e, ERR_INPUT, -ELOOP,
				       "registry %s: an index within an index, too many times",
				       r->host);
		code = image_index_choose(buf_str(&doc->text), doc->text.len, &f->platform, &d, e);
		if (code == 0)
			code = get_manifest(r, h, d.digest, d.digest, &next, e);
		if (code == 0 && next.text.len != d.size)
			code = err_set(e, ERR_INPUT, -EBADMSG,
				       "registry %s: %s has %zu bytes, not %llu", r->host, d.digest,
				       next.text.len, (unsigned long long)d.size);
		if (code == 0 && next.media != image_media_of(d.media_type))
			code = err_set(e, ERR_INPUT, -EBADMSG,
				       "registry %s: %s is not what the index says", r->host,
				       d.digest);
		image_descriptor_clear(&d);
		if (code == 0)
			code = registry_store_put(&f->store, next.digest, &next.text, e);
		if (code < 0)
			return code;
		document_clear(doc);
		*doc = next;
		next = (struct document){ 0 };
	}
	return 0;
}

/* --- the image ---------------------------------------------------------------------------------
 */

static int check_config(const struct fetch *f, const struct image_manifest *m, struct err *e)
{
	auto_image_config c = { 0 };
	auto_buf text = BUF_INIT;
	int r = registry_store_get(&f->store, m->config.digest, &text, e);

	if (r == 0)
		r = image_config_parse(buf_str(&text), text.len, &c, e);
	if (r < 0)
		return r;
	if (c.diff_ids.n != m->nlayers)
		return err_set(e, ERR_INPUT, -EINVAL,
			       "image configuration: it tells of %zu layers, the manifest of %zu",
			       c.diff_ids.n, m->nlayers);
	if (strcmp(c.architecture, f->platform.architecture) != 0) {
		auto_free char *shown = text_escaped(c.architecture);

		return err_set(e, ERR_NOT_FOUND, -ENOENT,
			       "the image is for linux/%.40s, not for linux/%s", shown,
			       f->platform.architecture);
	}
	return 0;
}

/* Manifest and configuration are in the store; the layers come now. */
static void tell_manifest(const char *digest)
{
	struct json *j = json_object();

	json_set_string(j, "digest", digest);
	image_event_send("manifest", j);
}

static int get_blobs(const struct fetch *f, struct registry *r, const char *digest,
		     const struct image_manifest *m, uint64_t *ret_fetched, struct err *e)
{
	auto_free struct image_descriptor *v = xcalloc(m->nlayers + 1, sizeof(*v));
	int code;

	/* Borrowed. The configuration first: what is wrong with it is known early. */
	v[0] = m->config;
	code = registry_blobs(r, &f->store, v, 1, ret_fetched, e);
	if (code == 0)
		code = check_config(f, m, e);
	if (code < 0)
		return code;
	tell_manifest(digest);
	for (size_t i = 0; i < m->nlayers; i++)
		v[i] = m->layers[i];
	return registry_blobs(r, &f->store, v, m->nlayers, ret_fetched, e);
}

/* Does the name still stand for what we have? One HEAD, which registries do not count. */
static bool is_unchanged(const struct fetch *f, struct registry *r, struct http *h)
{
	auto_http_response resp = { 0 };

	return f->known && f->tag && request_manifest(r, h, "HEAD", f->tag, &resp, NULL) == 0 &&
	       resp.digest && strcmp(resp.digest, f->known) == 0;
}

static struct json *result(const char *digest, const char *media_type, const char *manifest,
			   uint64_t fetched)
{
	struct json *j = json_object();

	json_set_string(j, "digest", digest);
	json_set_string(j, "media_type", media_type);
	json_set_string(j, "manifest", manifest);
	json_set_uint(j, "fetched", fetched);
	return j;
}

static int fetch_from(const struct fetch *f, struct registry *r, struct http *h, struct json **ret,
		      struct err *e)
{
	auto_image_manifest m = { 0 };
	auto_document doc = { 0 };
	auto_free char *digest = NULL;
	auto_free char *media_type = NULL;
	uint64_t fetched = 0;
	int code = registry_probe(r, h, e);

	if (code < 0)
		return code;
	if (is_unchanged(f, r, h)) {
		*ret = json_object();
		json_set_bool(*ret, "unchanged", true);
		return 0;
	}
	code = get_manifest(r, h, f->digest ? f->digest : f->tag, f->digest, &doc, e);
	if (code == 0)
		code = registry_store_put(&f->store, doc.digest, &doc.text, e);
	if (code < 0)
		return code;
	digest = xstrdup(doc.digest);
	media_type = xstrdup(doc.media_type);
	code = descend(f, r, h, &doc, e);
	if (code == 0)
		code = image_manifest_parse(buf_str(&doc.text), doc.text.len, &m, e);
	if (code == 0)
		code = get_blobs(f, r, doc.digest, &m, &fetched, e);
	if (code == 0)
		*ret = result(digest, media_type, doc.digest, fetched);
	return code;
}

static void next_endpoint(const struct err *e, const struct registry *next)
{
	struct json *j = json_object();
	auto_free char *text = xasprintf("%s; asking %s", e->message, next->host);

	json_set_string(j, "text", text);
	image_event_send("note", j);
	http_resume();
}

static int fetch_any(const struct fetch *f, struct json **ret, struct err *e)
{
	int code = -ENOENT;

	for (size_t i = 0; i < f->nendpoints; i++) {
		struct registry *r = f->endpoints[i];
		struct http *h = http_new(&r->ca);

		code = fetch_from(f, r, h, ret, e);
		http_free(h);
		if (code == 0 || i + 1 == f->nendpoints)
			break;
		if (e->kind == ERR_SYSTEM) /* of this machine */
			break;
		next_endpoint(e, f->endpoints[i + 1]);
	}
	return code;
}

int registry_fetch(const struct json *request, struct json **ret, struct err *e)
{
	struct fetch f = { .store = { .blobs = IMAGE_FD_FIRST } };
	int r = http_global_init(e);

	if (r == 0)
		r = read_request(request, &f, e);
	if (r == 0)
		r = registry_confine(&f.store, true, e);
	if (r == 0)
		r = fetch_any(&f, ret, e);
	fetch_clear(&f);
	return r;
}

const struct image_verb image_verbs[] = {
	{ "fetch", registry_fetch },
	{ "push", registry_push },
	{ 0 },
};
