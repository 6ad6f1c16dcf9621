/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import: `ward-image import`: an image from a directory or an archive into the blob store.
 *
 * Request: {"tag", "platform": "os/architecture[/variant]"}.  Descriptor 3 is the source, 4 and 5
 * are the store's blobs/sha256 and blobs/partial.  Result: {"digest", "media_type", "manifest",
 * "name"}: what the source names, this machine's manifest in it, and what the source calls it.
 *
 * Which format it is shows: a file oci-layout makes it an OCI layout (image-layout.md), a
 * manifest.json what `docker save` writes.  Of the latter an OCI manifest is made, whose layers are
 * the archive's files as they are.  Everything is copied with its digest verified; a document is
 * read only from what was verified.
 */

#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/helper_confine.h"
#include "image/image_internal.h"
#include "image/import_internal.h"

enum { SOURCE_FD = IMAGE_FD_FIRST, BLOBS_FD, PARTIAL_FD, TAGS_SHOWN = 10 };

#define REF_NAME       "org.opencontainers.image.ref.name"
#define MANIFEST_MEDIA "application/vnd.oci.image.manifest.v1+json"
#define CONFIG_MEDIA   "application/vnd.oci.image.config.v1+json"

struct import {
	struct import_source *source;
	struct import_store store;
	struct image_platform platform;
	const char *tag; /* or NULL */
};

/* --- choosing --------------------------------------------------------------------------------- */

#define IMAGE_NAME "io.containerd.image.name"

static const char *tag_of(const struct json *entry)
{
	const char *name;

	return json_get_string(json_get(entry, "annotations"), REF_NAME, &name) == 0 ? name : NULL;
}

/* "TAG", or a whole reference that ends with it, as some tools write. */
static bool has_tag(const char *name, const char *tag)
{
	auto_free char *end = xasprintf(":%s", tag);

	return name && (strcmp(name, tag) == 0 || text_ends(name, end));
}

static int which_tag(const struct json *entries, const char *tag, struct err *e)
{
	auto_buf there = BUF_INIT;
	size_t shown = 0;

	for (size_t i = 0; i < json_len(entries) && shown < TAGS_SHOWN; i++) {
		const char *name = tag_of(json_at(entries, i));

		if (!name)
			continue;
		buf_puts(&there, shown++ ? ", " : "");
		text_escape(&there, name, strlen(name), 100);
	}
	if (tag) {
		auto_free char *text = text_escaped(tag);

		err_set(e, ERR_NOT_FOUND, -ENOENT, "no image in it has the tag '%s'", text);
	} else {
		err_set(e, ERR_NOT_FOUND, -ENOENT,
			"several images are in it, and none is 'latest'");
	}
	if (shown)
		err_hint(e, "it has: %s", buf_str(&there));
	return -ENOENT;
}

int import_choose(const char *text, size_t n, const char *tag, struct buf *ret, struct err *e)
{
	struct json *list, *chosen;
	enum image_media media;
	auto_json index = NULL;
	const char *only = NULL;
	bool several = false;
	int r = image_document_media(text, n, NULL, &media, e);

	if (r == 0 && media != IMAGE_MEDIA_INDEX)
		r = err_set(e, ERR_INPUT, -EINVAL, "index.json is no index");
	if (r == 0)
		r = json_parse(text, n, &index, e);
	if (r < 0)
		return r;
	list = json_get(index, "manifests");
	for (size_t i = 0; i < json_len(list); i++) {
		const char *name = tag_of(json_at(list, i));

		several |= only && name && strcmp(only, name) != 0;
		only = name ? name : only;
	}
	if (!tag && several)
		tag = "latest";
	chosen = json_array();
	for (size_t i = 0; i < json_len(list) && i < IMAGE_INDEX_MAX; i++) {
		struct json *entry = json_at(list, i);

		if (!tag || has_tag(tag_of(entry), tag))
			json_append(chosen, json_ref(entry));
	}
	if (json_len(chosen) == 0) {
		json_unref(chosen);
		return which_tag(list, several && strcmp(tag, "latest") == 0 ? NULL : tag, e);
	}
	json_set(index, "manifests", chosen);
	buf_reset(ret);
	json_write(index, false, ret);
	return 0;
}

/* --- OCI layouts ------------------------------------------------------------------------------ */

static int find_blob(struct import *im, const char *digest, struct import_file *ret, struct err *e)
{
	auto_free char *name = xasprintf("blobs/sha256/%s", image_digest_hex(digest));

	return import_source_find(im->source, name, ret, e);
}

static int copy_blob(struct import *im, const struct image_descriptor *d, struct err *e)
{
	struct import_file f;
	int r = find_blob(im, d->digest, &f, e);

	if (r < 0)
		return r;
	r = import_copy(&im->store, &f, d, NULL, e);
	import_file_clear(&f);
	return r;
}

/* A document that is in the store now. */
static int read_stored(struct import *im, const char *digest, struct buf *out, struct err *e)
{
	buf_reset(out);
	return fs_read_at(im->store.blobs, image_digest_hex(digest), IMAGE_DOCUMENT_MAX, out, e);
}

static int copy_manifest(struct import *im, const struct buf *text, struct err *e)
{
	auto_image_manifest m = { 0 };
	int r = image_manifest_parse(buf_str(text), text->len, &m, e);

	if (r == 0)
		r = copy_blob(im, &m.config, e);
	for (size_t i = 0; i < m.nlayers && r == 0; i++)
		r = copy_blob(im, &m.layers[i], e);
	return r;
}

static struct json *result_of(const char *digest, const char *media_type, const char *manifest)
{
	struct json *j = json_object();

	json_set_string(j, "digest", digest);
	json_set_string(j, "media_type", media_type);
	json_set_string(j, "manifest", manifest);
	return j;
}

/* The name that an index, of one image, gives it: the whole one, else the tag. */
static void add_name(const struct buf *index, struct json *result)
{
	auto_json j = NULL;
	const struct json *names;
	const char *name;

	if (json_parse(buf_str(index), index->len, &j, NULL) < 0)
		return;
	names = json_get(json_at(json_get(j, "manifests"), 0), "annotations");
	if (json_get_string(names, IMAGE_NAME, &name) == 0 ||
	    json_get_string(names, REF_NAME, &name) == 0)
		json_set_string(result, "name", name);
}

static int import_layout(struct import *im, struct json **ret, struct err *e)
{
	struct image_descriptor top = { 0 }, d = { 0 };
	struct import_file f;
	auto_buf text = BUF_INIT;
	auto_buf chosen = BUF_INIT;
	int r = import_source_find(im->source, "index.json", &f, e);

	if (r < 0)
		return r;
	r = import_read(&f, &text, e);
	import_file_clear(&f);
	if (r == 0)
		r = import_choose(buf_str(&text), text.len, im->tag, &chosen, e);
	if (r == 0)
		r = image_index_choose(buf_str(&chosen), chosen.len, &im->platform, &d, e);
	for (int depth = 0; r == 0; depth++) {
		struct image_descriptor next = { 0 };
		enum image_media media;

		r = copy_blob(im, &d, e);
		if (r == 0)
			r = read_stored(im, d.digest, &text, e);
		if (r == 0)
			r = image_document_media(buf_str(&text), text.len, d.media_type, &media, e);
		if (r == 0 && media == IMAGE_MEDIA_MANIFEST) {
			r = copy_manifest(im, &text, e);
			if (r == 0)
				*ret = result_of(top.digest ? top.digest : d.digest,
						 top.digest ? top.media_type : d.media_type,
						 d.digest);
			break;
		}
		if (r == 0 && depth == IMAGE_INDEX_DEPTH_MAX)
			r = err_set(e, ERR_INPUT, -ELOOP, "an index in an index in an index");
		if (r == 0)
			r = image_index_choose(buf_str(&text), text.len, &im->platform, &next, e);
		if (!top.digest)
			top = d;
		else
			image_descriptor_clear(&d);
		d = next;
	}
	if (r == 0)
		add_name(&chosen, *ret);
	image_descriptor_clear(&top);
	image_descriptor_clear(&d);
	return r;
}

/* --- docker save ------------------------------------------------------------------------------ */

static bool is_tagged(const struct json *image, const char *tag)
{
	const struct json *tags = json_get(image, "RepoTags");

	for (size_t i = 0; i < json_len(tags); i++) {
		const char *name = json_str(json_at(tags, i));

		if (has_tag(name, tag))
			return true;
	}
	return false;
}

static const struct json *choose_saved(const struct json *list, const char *tag, struct err *e)
{
	const struct json *found = NULL;

	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *image = json_at(list, i);

		if (tag ? is_tagged(image, tag)
			: json_len(list) == 1 || is_tagged(image, "latest")) {
			found = image;
			break;
		}
	}
	if (!found && tag) {
		auto_free char *text = text_escaped(tag);

		err_set(e, ERR_NOT_FOUND, -ENOENT, "no image in it has the tag '%s'", text);
	} else if (!found) {
		err_set(e, ERR_NOT_FOUND, -ENOENT,
			"several images are in it, and none is 'latest'");
	}
	return found;
}

static int copy_named(struct import *im, const char *name, struct image_descriptor *ret,
		      struct err *e)
{
	struct import_file f;
	int r = import_source_find(im->source, name, &f, e);

	if (r < 0)
		return r;
	r = import_copy(&im->store, &f, NULL, ret, e);
	import_file_clear(&f);
	return r;
}

static struct json *descriptor_json(const struct image_descriptor *d, const char *media_type)
{
	struct json *j = json_object();

	json_set_string(j, "mediaType", media_type);
	json_set_string(j, "digest", d->digest);
	json_set_uint(j, "size", d->size);
	return j;
}

/* Config and layers into the store, and a manifest of them. */
static int copy_saved(struct import *im, const struct json *image, struct json *manifest,
		      struct err *e)
{
	const struct json *layers = json_get(image, "Layers");
	struct image_descriptor d = { 0 };
	struct json *list = json_array();
	const char *config;
	int r;

	json_set_uint(manifest, "schemaVersion", 2);
	json_set_string(manifest, "mediaType", MANIFEST_MEDIA);
	json_set(manifest, "layers", list);
	if (json_get_string(image, "Config", &config) < 0 || !json_is_array(layers) ||
	    json_len(layers) > IMAGE_LAYERS_MAX)
		return err_set(e, ERR_INPUT, -EINVAL, "manifest.json: no image as Docker saves it");
	r = copy_named(im, config, &d, e);
	if (r < 0)
		return r;
	json_set(manifest, "config", descriptor_json(&d, CONFIG_MEDIA));
	image_descriptor_clear(&d);
	for (size_t i = 0; i < json_len(layers); i++) {
		const char *name = json_str(json_at(layers, i));

		r = name ? copy_named(im, name, &d, e)
			 : err_set(e, ERR_INPUT, -EINVAL, "manifest.json: a layer without name");
		if (r < 0)
			return r;
		json_append(list, descriptor_json(&d, d.media_type));
		image_descriptor_clear(&d);
	}
	return 0;
}

static int import_saved(struct import *im, struct json **ret, struct err *e)
{
	auto_json list = NULL;
	auto_json manifest = json_object();
	auto_buf text = BUF_INIT;
	const struct json *image;
	struct import_file f;
	char digest[72];
	int r = import_source_find(im->source, "manifest.json", &f, e);

	if (r < 0)
		return r;
	r = import_read(&f, &text, e);
	import_file_clear(&f);
	if (r == 0)
		r = json_parse(buf_str(&text), text.len, &list, e);
	if (r < 0)
		return err_prefix(e, "manifest.json");
	image = choose_saved(list, im->tag, e);
	if (!image)
		return -ENOENT;
	r = copy_saved(im, image, manifest, e);
	if (r < 0)
		return r;
	buf_reset(&text);
	json_write(manifest, false, &text);
	r = import_put(&im->store, text.data, text.len, digest, e);
	if (r == 0)
		*ret = result_of(digest, MANIFEST_MEDIA, digest);
	if (r == 0)
		json_set_string(*ret, "name", json_str(json_at(json_get(image, "RepoTags"), 0)));
	return r;
}

/* --- the verb --------------------------------------------------------------------------------- */

static int confine(struct err *e)
{
	const uint64_t store = HELPER_READ_FILE | HELPER_MAKE_FILE;
	const struct helper_rule rules[] = { { SOURCE_FD, HELPER_READ_FILE },
					     { BLOBS_FD, store },
					     { PARTIAL_FD, store } };
	const struct helper_confine c = { .rules = rules,
					  .nrules = ARRAY_SIZE(rules),
					  .last_fd = PARTIAL_FD,
					  .root_fd = -1,
					  .file_size = IMAGE_BLOB_MAX * 2 };

	return helper_confine(&c, e);
}

int import_verb(const struct json *request, struct json **ret, struct err *e)
{
	struct import im = { .store = { .blobs = BLOBS_FD, .partial = PARTIAL_FD } };
	const char *platform;
	int r;

	if (json_get_string(request, "platform", &platform) < 0)
		return err_set(e, ERR_INPUT, -EINVAL, "ward-image import: malformed request");
	if (json_get_string(request, "tag", &im.tag) < 0)
		im.tag = NULL;
	r = image_platform_parse(platform, &im.platform, e);
	if (r == 0)
		r = confine(e);
	if (r == 0)
		r = import_source_open(SOURCE_FD, PARTIAL_FD, &im.source, e);
	if (r == 0) {
		if (import_source_has(im.source, "oci-layout"))
			r = import_layout(&im, ret, e);
		else if (import_source_has(im.source, "manifest.json"))
			r = import_saved(&im, ret, e);
		else
			r = err_set(e, ERR_INPUT, -EINVAL,
				    "neither an OCI layout nor what `docker save` writes");
	}
	import_source_free(im.source);
	image_platform_clear(&im.platform);
	return r;
}
