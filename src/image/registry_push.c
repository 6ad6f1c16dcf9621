/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_push: the verb push: an image of the store to a registry.
 *
 * Request: {"host", "repository", "tag", "manifest": digest, "registries"}; descriptor 3 is
 * blobs/sha256, which is only read.  Result: {"digest"}.
 *
 * The blobs go first, those that the registry has already are passed over; the manifest goes last,
 * so that the tag never stands for something incomplete.  Where a blob is to be put is the
 * registry's word (Location): on another origin it gets the bytes and no credentials.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/image_internal.h"
#include "image/registry_internal.h"

enum { ANSWER_MAX = 64 << 10, PROGRESS_STEP = 1 << 20 };

struct push {
	struct registry *r;
	struct http *h;
	struct registry_store store;
	const char *tag;
	const char *manifest;
};

struct upload {
	const struct image_descriptor *d;
	uint64_t told;
};

static void on_sent(uint64_t bytes, void *arg)
{
	struct upload *u = arg;

	if (bytes < u->told + PROGRESS_STEP && bytes > u->told)
		return;
	u->told = bytes;
	registry_tell(u->d, "uploading", bytes);
}

static int bad_answer(const struct push *p, const char *why, struct err *e)
{
	return err_set(e, ERR_INPUT, -EBADMSG, "registry %s: %s", p->r->host, why);
}

/* --- blobs -------------------------------------------------------------------------------------
 */

/* 1: the registry has it. 0: it has not. */
static int is_there(const struct push *p, const struct image_descriptor *d, struct err *e)
{
	auto_free char *path = xasprintf("/v2/%s/blobs/%s", p->r->repository, d->digest);
	struct http_request q = HTTP_REQUEST_INIT;
	auto_http_response resp = { 0 };
	int r;

	q.method = "HEAD";
	q.url = path;
	r = registry_request(p->r, p->h, &q, &resp, e);
	if (r < 0)
		return r;
	if (resp.status == 404)
		return 0;
	return resp.status == 200 ? 1 : registry_failure(p->r, &resp, p->r->repository, e);
}

/* Where the bytes are to go, with the digest that they will have. */
static int begin_upload(const struct push *p, const struct image_descriptor *d, char **ret,
			struct http_response *resp, struct err *e)
{
	auto_free char *path = xasprintf("/v2/%s/blobs/uploads/", p->r->repository);
	auto_free char *base = xasprintf("%s%s", p->r->base, path);
	struct http_request q = HTTP_REQUEST_INIT;
	auto_free char *url = NULL;
	int r;

	q.method = "POST";
	q.url = path;
	q.max = ANSWER_MAX;
	r = registry_request(p->r, p->h, &q, resp, e);
	if (r < 0 || resp->status != 202)
		return r;
	if (!resp->location)
		return bad_answer(p, "it does not say where a blob is to be put", e);
	r = http_resolve(base, resp->location, &url, e);
	if (r == 0)
		r = registry_check_step(p->r, base, url, e);
	if (r == 0)
		*ret = xasprintf("%s%cdigest=%s", url, strchr(url, '?') ? '&' : '?', d->digest);
	return r;
}

/* One try. */
static int upload_once(const struct push *p, const struct image_descriptor *d, int fd,
		       struct http_response *resp, struct err *e)
{
	struct upload u = { .d = d };
	struct http_request q = HTTP_REQUEST_INIT;
	auto_free char *url = NULL;
	int r = begin_upload(p, d, &url, resp, e);

	if (r < 0 || !url)
		return r;
	q.method = "PUT";
	q.url = url;
	q.content_type = "application/octet-stream";
	q.body_fd = fd;
	q.body_size = d->size;
	q.max = ANSWER_MAX;
	q.sent = on_sent;
	q.arg = &u;
	return registry_request(p->r, p->h, &q, resp, e);
}

static int push_blob(const struct push *p, const struct image_descriptor *d, struct err *e)
{
	auto_close int fd =
		fs_open_beneath(p->store.blobs, image_digest_hex(d->digest), O_RDONLY, 0);
	struct registry_retry retry = { .answered = true };
	auto_http_response resp = { 0 };
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0 || (uint64_t)st.st_size != d->size) {
		err_set(e, ERR_CORRUPT, -ENOENT, "template store: %s is missing", d->digest);
		return err_hint(e, "pull or import the template again");
	}
	r = is_there(p, d, e);
	if (r != 0) {
		if (r > 0)
			registry_tell(d, "exists", d->size);
		return r < 0 ? r : 0;
	}
	do {
		r = upload_once(p, d, fd, &resp, e);
	} while (registry_again(&retry, r, &resp, d->digest));
	if (r < 0)
		return r;
	if (resp.status != 201)
		return registry_failure(p->r, &resp, d->digest, e);
	registry_tell(d, "done", d->size);
	return 0;
}

/* --- the manifest ------------------------------------------------------------------------------
 */

static const char *media_type_of(const struct image_manifest *m)
{
	return text_starts(m->config.media_type, "application/vnd.docker.")
		       ? "application/vnd.docker.distribution.manifest.v2+json"
		       : "application/vnd.oci.image.manifest.v1+json";
}

static int push_manifest(const struct push *p, const struct image_manifest *m,
			 const struct buf *text, struct err *e)
{
	auto_free char *path = xasprintf("/v2/%s/manifests/%s", p->r->repository, p->tag);
	auto_free char *what = xasprintf("%s:%s", p->r->repository, p->tag);
	struct registry_retry retry = { .answered = true };
	struct http_request q = HTTP_REQUEST_INIT;
	auto_http_response resp = { 0 };
	int r;

	q.method = "PUT";
	q.url = path;
	q.content_type = media_type_of(m);
	q.body = buf_str(text);
	q.max = ANSWER_MAX;
	do {
		r = registry_request(p->r, p->h, &q, &resp, e);
	} while (registry_again(&retry, r, &resp, what));
	if (r < 0)
		return r;
	if (resp.status != 201)
		return registry_failure(p->r, &resp, what, e);
	if (resp.digest && strcmp(resp.digest, p->manifest) != 0)
		return bad_answer(p, "it took the manifest for another one", e);
	return 0;
}

static int push_image(const struct push *p, struct err *e)
{
	auto_image_manifest m = { 0 };
	auto_buf text = BUF_INIT;
	int r = registry_store_get(&p->store, p->manifest, &text, e);

	if (r == 0)
		r = image_manifest_parse(buf_str(&text), text.len, &m, e);
	if (r == 0)
		r = registry_probe(p->r, p->h, e);
	for (size_t i = 0; r == 0 && i < m.nlayers; i++)
		r = push_blob(p, &m.layers[i], e);
	if (r == 0)
		r = push_blob(p, &m.config, e);
	return r == 0 ? push_manifest(p, &m, &text, e) : r;
}

int registry_push(const struct json *request, struct json **ret, struct err *e)
{
	struct push p = { .store = { .blobs = IMAGE_FD_FIRST } };
	const char *host, *repository;
	int r;

	if (json_get_string(request, "host", &host) < 0 ||
	    json_get_string(request, "repository", &repository) < 0 ||
	    json_get_string(request, "tag", &p.tag) < 0 ||
	    json_get_string(request, "manifest", &p.manifest) < 0 || !image_digest_ok(p.manifest))
		return err_set(e, ERR_SYSTEM, -EINVAL, "registry: the request is malformed");
	r = http_global_init(e);
	if (r == 0)
		r = registry_open(request, host, repository, "pull,push", &p.r, e);
	if (r < 0)
		return r;
	r = registry_confine(&p.store, false, e);
	if (r == 0) {
		p.h = http_new(&p.r->ca);
		r = push_image(&p, e);
		http_free(p.h);
	}
	registry_free(p.r);
	if (r < 0)
		return r;
	*ret = json_object();
	json_set_string(*ret, "digest", p.manifest);
	return 0;
}
