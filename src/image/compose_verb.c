/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compose_verb: `ward-image compose`: an image out of another one, layers of the store, and changes
 * of its configuration.
 *
 * Request: {"base": manifest or null, "platform", "created", "layers": [{"digest", "diff_id",
 * "size"}], "history": [...], "config": {...} or null}.  Descriptors 3 and 4 are the store's
 * blobs/sha256 and blobs/partial.  Result: as of import.
 *
 * The base's configuration is changed as a document, so what Ward does not know of it stays. Layers
 * and history are brought to the same number, which some tools insist on: of what a base does not
 * tell how it came to be, it is said that it was added.
 */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "image/helper_confine.h"
#include "image/image_internal.h"
#include "image/import_internal.h"

enum { BLOBS_FD = IMAGE_FD_FIRST, PARTIAL_FD };

#define OCI	       "application/vnd.oci.image."
#define MANIFEST_MEDIA OCI "manifest.v1+json"

static const char *const layer_types[IMAGE_MEDIA_MAX] = {
	[IMAGE_MEDIA_LAYER_TAR] = OCI "layer.v1.tar",
	[IMAGE_MEDIA_LAYER_GZIP] = OCI "layer.v1.tar+gzip",
	[IMAGE_MEDIA_LAYER_ZSTD] = OCI "layer.v1.tar+zstd",
};

static int malformed(struct err *e)
{
	return err_set(e, ERR_INPUT, -EINVAL, "ward-image compose: malformed request");
}

/* --- the configuration ------------------------------------------------------------------------ */

/* The member, which is made when it is missing or something else. */
static struct json *need(struct json *j, const char *key, bool array)
{
	struct json *v = json_get(j, key);

	if (v && (array ? json_is_array(v) : json_is_object(v)))
		return v;
	v = array ? json_array() : json_object();
	json_set(j, key, v);
	return v;
}

static int empty_config(const struct json *request, struct json **ret, struct err *e)
{
	struct image_platform p = { 0 };
	struct json *j, *rootfs = json_object();
	const char *platform;
	int r = json_get_string(request, "platform", &platform) < 0
			? malformed(e)
			: image_platform_parse(platform, &p, e);

	if (r < 0) {
		json_unref(rootfs);
		return r;
	}
	j = json_object();
	json_set_string(j, "architecture", p.architecture);
	json_set_string(j, "os", p.os);
	if (p.variant)
		json_set_string(j, "variant", p.variant);
	json_set(j, "config", json_object());
	json_set_string(rootfs, "type", "layers");
	json_set(rootfs, "diff_ids", json_array());
	json_set(j, "rootfs", rootfs);
	json_set(j, "history", json_array());
	image_platform_clear(&p);
	*ret = j;
	return 0;
}

/* Entries that stand for a layer. */
static size_t count_layers(const struct json *history)
{
	size_t n = 0;

	for (size_t i = 0; i < json_len(history); i++) {
		bool empty = false;

		(void)json_get_bool(json_at(history, i), "empty_layer", &empty);
		n += !empty;
	}
	return n;
}

static void fill_history(struct json *history, size_t nlayers, const char *created)
{
	for (size_t n = count_layers(history); n < nlayers; n++) {
		struct json *j = json_object();

		json_set_string(j, "created", created);
		json_set_string(j, "comment", "layer was added");
		json_append(history, j);
	}
}

static int replace_member(const char *key, struct json *v, void *arg)
{
	json_set(arg, key, json_ref(v));
	return 0;
}

int compose_config(struct json *base, const struct json *request, struct json **ret, struct err *e)
{
	const struct json *layers = json_get(request, "layers");
	const struct json *entries = json_get(request, "history");
	const struct json *patch = json_get(request, "config");
	struct json *ids, *history;
	auto_json j = base ? json_ref(base) : NULL;
	const char *created;
	int r = base ? 0 : empty_config(request, &j, e);

	if (r < 0)
		return r;
	if (json_get_string(request, "created", &created) < 0 || !json_is_array(layers) ||
	    !json_is_array(entries) || (patch && json_len(patch) > 0 && !json_is_object(patch)))
		return malformed(e);
	json_set_string(j, "created", created);
	if (patch)
		(void)json_each(patch, replace_member, need(j, "config", false));
	ids = need(need(j, "rootfs", false), "diff_ids", true);
	history = need(j, "history", true);
	fill_history(history, json_len(ids), created);
	for (size_t i = 0; i < json_len(layers); i++) {
		const char *diff_id;

		if (json_get_string(json_at(layers, i), "diff_id", &diff_id) < 0 ||
		    !image_digest_ok(diff_id))
			return malformed(e);
		json_append(ids, json_string(diff_id));
	}
	for (size_t i = 0; i < json_len(entries); i++)
		json_append(history, json_ref(json_at(entries, i)));
	fill_history(history, json_len(ids), created);
	*ret = steal(&j);
	return 0;
}

/* --- the documents ---------------------------------------------------------------------------- */

static struct json *descriptor(const char *media_type, const char *digest, uint64_t size)
{
	struct json *j = json_object();

	json_set_string(j, "mediaType", media_type);
	json_set_string(j, "digest", digest);
	json_set_uint(j, "size", size);
	return j;
}

static int read_stored(const char *digest, struct buf *out, struct err *e)
{
	buf_reset(out);
	return fs_read_at(BLOBS_FD, image_digest_hex(digest), IMAGE_DOCUMENT_MAX, out, e);
}

/* The base's layers into the list, and its configuration. */
static int read_base(const char *digest, struct json *list, struct json **ret, struct err *e)
{
	auto_image_manifest m = { 0 };
	auto_image_config c = { 0 };
	auto_buf text = BUF_INIT;
	int r = image_digest_check("base image", digest, e);

	if (r == 0)
		r = read_stored(digest, &text, e);
	if (r == 0)
		r = image_manifest_parse(buf_str(&text), text.len, &m, e);
	if (r == 0)
		r = read_stored(m.config.digest, &text, e);
	if (r == 0)
		r = image_config_parse(buf_str(&text), text.len, &c, e);
	if (r == 0 && c.diff_ids.n != m.nlayers)
		r = err_set(e, ERR_INPUT, -EINVAL,
			    "image: its manifest has %zu layers and its configuration %zu",
			    m.nlayers, c.diff_ids.n);
	for (size_t i = 0; r == 0 && i < m.nlayers; i++) {
		const struct image_descriptor *l = &m.layers[i];
		const char *type = layer_types[image_media_of(l->media_type)];

		json_append(list, descriptor(type ? type : l->media_type, l->digest, l->size));
	}
	return r == 0 ? json_parse(buf_str(&text), text.len, ret, e) : r;
}

static int add_layers(const struct json *layers, struct json *list, struct err *e)
{
	for (size_t i = 0; i < json_len(layers); i++) {
		const struct json *l = json_at(layers, i);
		const char *digest;
		uint64_t size;

		if (json_get_string(l, "digest", &digest) < 0 || !image_digest_ok(digest) ||
		    json_get_uint(l, "size", &size) < 0)
			return malformed(e);
		json_append(list, descriptor(layer_types[IMAGE_MEDIA_LAYER_GZIP], digest, size));
	}
	if (json_len(list) <= IMAGE_LAYERS_MAX)
		return 0;
	return err_set(e, ERR_INPUT, -EFBIG, "image: more than %d layers", IMAGE_LAYERS_MAX);
}

static int put_json(const struct json *j, char ret_digest[72], uint64_t *ret_size, struct err *e)
{
	const struct import_store store = { .blobs = BLOBS_FD, .partial = PARTIAL_FD };
	auto_buf text = BUF_INIT;

	json_write(j, false, &text);
	if (text.len > IMAGE_DOCUMENT_MAX)
		return err_set(e, ERR_INPUT, -EFBIG, "image: a document larger than %d MiB",
			       IMAGE_DOCUMENT_MAX >> 20);
	*ret_size = text.len;
	return import_put(&store, text.data, text.len, ret_digest, e);
}

static int compose(const struct json *request, struct json **ret, struct err *e)
{
	auto_json manifest = json_object();
	auto_json base_config = NULL;
	auto_json config = NULL;
	struct json *list = json_array();
	const char *base = NULL;
	char digest[72];
	uint64_t size;
	int r = 0;

	json_set_uint(manifest, "schemaVersion", 2);
	json_set_string(manifest, "mediaType", MANIFEST_MEDIA);
	if (json_get_string(request, "base", &base) == 0)
		r = read_base(base, list, &base_config, e);
	if (r == 0)
		r = add_layers(json_get(request, "layers"), list, e);
	if (r == 0)
		r = compose_config(base_config, request, &config, e);
	if (r == 0)
		r = put_json(config, digest, &size, e);
	if (r < 0) {
		json_unref(list);
		return r;
	}
	json_set(manifest, "config", descriptor(OCI "config.v1+json", digest, size));
	json_set(manifest, "layers", list);
	r = put_json(manifest, digest, &size, e);
	if (r < 0)
		return r;
	*ret = json_object();
	json_set_string(*ret, "digest", digest);
	json_set_string(*ret, "media_type", MANIFEST_MEDIA);
	json_set_string(*ret, "manifest", digest);
	return 0;
}

/* --- the verb --------------------------------------------------------------------------------- */

int compose_verb(const struct json *request, struct json **ret, struct err *e)
{
	const uint64_t store = HELPER_READ_FILE | HELPER_MAKE_FILE;
	const struct helper_rule rules[] = { { BLOBS_FD, store }, { PARTIAL_FD, store } };
	const struct helper_confine c = { .rules = rules,
					  .nrules = ARRAY_SIZE(rules),
					  .last_fd = PARTIAL_FD,
					  .root_fd = -1,
					  .file_size = IMAGE_BLOB_MAX };
	int r = helper_confine(&c, e);

	return r == 0 ? compose(request, ret, e) : r;
}
