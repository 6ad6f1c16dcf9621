/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci: media types, platforms, indexes and manifests.  Pure.
 *
 * Formats: OCI image-spec 1.1 (image-index.md, manifest.md, descriptor.md) and Docker's image
 * manifest schema 2, which have the same members and other media types.  Every byte may come from
 * an attacker: sizes and counts are bounded, digests are sha256 only, and what a document is must
 * be beyond doubt, because a registry and a verifier that read one document in two ways is
 * CVE-2021-41190.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

#include "base/mem.h"
#include "base/text.h"
#include "image/image.h"

enum { MEDIA_TYPE_MAX = 255, PLATFORM_TEXT_MAX = 100 };

#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."

static const struct {
	const char *name;
	enum image_media media;
} media_types[] = {
	{ OCI "index.v1+json", IMAGE_MEDIA_INDEX },
	{ DOCKER "distribution.manifest.list.v2+json", IMAGE_MEDIA_INDEX },
	{ OCI "manifest.v1+json", IMAGE_MEDIA_MANIFEST },
	{ DOCKER "distribution.manifest.v2+json", IMAGE_MEDIA_MANIFEST },
	{ OCI "config.v1+json", IMAGE_MEDIA_CONFIG },
	{ DOCKER "container.image.v1+json", IMAGE_MEDIA_CONFIG },
	{ OCI "layer.v1.tar", IMAGE_MEDIA_LAYER_TAR },
	{ OCI "layer.v1.tar+gzip", IMAGE_MEDIA_LAYER_GZIP },
	{ OCI "layer.v1.tar+zstd", IMAGE_MEDIA_LAYER_ZSTD },
	{ DOCKER "image.rootfs.diff.tar", IMAGE_MEDIA_LAYER_TAR },
	{ DOCKER "image.rootfs.diff.tar.gzip", IMAGE_MEDIA_LAYER_GZIP },
	{ DOCKER "image.rootfs.diff.tar.zstd", IMAGE_MEDIA_LAYER_ZSTD },
	{ DOCKER "image.rootfs.foreign.diff.tar", IMAGE_MEDIA_FOREIGN },
	{ DOCKER "image.rootfs.foreign.diff.tar.gzip", IMAGE_MEDIA_FOREIGN },
	{ OCI "layer.nondistributable.v1.tar", IMAGE_MEDIA_FOREIGN },
	{ OCI "layer.nondistributable.v1.tar+gzip", IMAGE_MEDIA_FOREIGN },
	{ OCI "layer.nondistributable.v1.tar+zstd", IMAGE_MEDIA_FOREIGN },
	{ DOCKER "distribution.manifest.v1+json", IMAGE_MEDIA_SCHEMA1 },
	{ DOCKER "distribution.manifest.v1+prettyjws", IMAGE_MEDIA_SCHEMA1 },
};

/* A media type is compared without its parameters ("; charset=utf-8") and the case of letters. */
enum image_media image_media_of(const char *media_type)
{
	size_t n = media_type ? strcspn(media_type, "; \t") : 0;

	for (size_t i = 0; n > 0 && i < ARRAY_SIZE(media_types); i++) {
		if (strlen(media_types[i].name) == n &&
		    strncasecmp(media_types[i].name, media_type, n) == 0)
			return media_types[i].media;
	}
	return IMAGE_MEDIA_UNKNOWN;
}

static int bad(struct err *e, const char *what, const char *why)
{
	return err_set(e, ERR_INPUT, -EINVAL, "%s: %s", what, why);
}

/* The object that a document is. */
static int read_object(const char *what, const char *text, size_t n, struct json **ret,
		       struct err *e)
{
	auto_json j = NULL;
	int r;

	if (n > IMAGE_DOCUMENT_MAX)
		return err_set(e, ERR_INPUT, -EFBIG, "%s: larger than %d MiB", what,
			       IMAGE_DOCUMENT_MAX >> 20);
	r = json_parse(text, n, &j, e);
	if (r < 0) {
		if (e)
			e->kind = ERR_INPUT;
		return err_prefix(e, "%s", what);
	}
	if (!json_is_object(j))
		return bad(e, what, "not a JSON object");
	*ret = steal(&j);
	return 0;
}

/* --- what a document is ------------------------------------------------------------------------
 */

static const char *const media_words[] = {
	[IMAGE_MEDIA_UNKNOWN] = "something unknown",
	[IMAGE_MEDIA_INDEX] = "an index",
	[IMAGE_MEDIA_MANIFEST] = "a manifest",
	[IMAGE_MEDIA_CONFIG] = "a configuration",
	[IMAGE_MEDIA_LAYER_TAR] = "a layer",
	[IMAGE_MEDIA_LAYER_GZIP] = "a layer",
	[IMAGE_MEDIA_LAYER_ZSTD] = "a layer",
	[IMAGE_MEDIA_FOREIGN] = "a layer",
	[IMAGE_MEDIA_SCHEMA1] = "a manifest of schema 1",
};
_Static_assert(ARRAY_SIZE(media_words) == IMAGE_MEDIA_MAX, "a word for every media type");

static int schema1(struct err *e)
{
	err_set(e, ERR_INPUT, -ENOTSUP,
		"manifest: the image has Docker's old manifest format (schema 1)");
	return err_hint(e, "push the image again with a present version of its tool");
}

static int check_claim(const char *who, enum image_media claimed, enum image_media is,
		       struct err *e)
{
	if (claimed == IMAGE_MEDIA_UNKNOWN || claimed == is)
		return 0;
	return err_set(e, ERR_INPUT, -EINVAL, "manifest: %s says that it is %s, but it is %s", who,
		       media_words[claimed], media_words[is]);
}

static int object_media(const struct json *j, const char *declared, enum image_media *ret,
			struct err *e)
{
	bool index = json_has(j, "manifests");
	bool manifest = json_has(j, "layers") || json_has(j, "config");
	enum image_media is = index ? IMAGE_MEDIA_INDEX : IMAGE_MEDIA_MANIFEST;
	const char *own = NULL;
	uint64_t version;
	int r;

	if (image_media_of(declared) == IMAGE_MEDIA_SCHEMA1 || json_has(j, "fsLayers") ||
	    (json_get_uint(j, "schemaVersion", &version) == 0 && version == 1))
		return schema1(e);
	if (json_get_uint(j, "schemaVersion", &version) < 0 || version != 2)
		return bad(e, "manifest", "'schemaVersion' is not 2");
	if (index && manifest)
		return bad(e, "manifest", "it has the members of an index and of a manifest");
	if (!index && !manifest)
		return bad(e, "manifest", "it has neither 'manifests' nor 'layers'");
	if (json_has(j, "mediaType")) {
		if (json_get_string(j, "mediaType", &own) < 0 ||
		    image_media_of(own) == IMAGE_MEDIA_UNKNOWN)
			return bad(e, "manifest", "'mediaType' is unknown");
		r = check_claim("its mediaType", image_media_of(own), is, e);
		if (r < 0)
			return r;
	}
	r = check_claim("who sent it", image_media_of(declared), is, e);
	if (r == 0)
		*ret = is;
	return r;
}

int image_document_media(const char *text, size_t n, const char *declared, enum image_media *ret,
			 struct err *e)
{
	auto_json j = NULL;
	int r = read_object("manifest", text, n, &j, e);

	return r < 0 ? r : object_media(j, declared, ret, e);
}

/* Read a document that must be of one kind. */
static int read_media(const char *what, const char *text, size_t n, enum image_media want,
		      struct json **ret, struct err *e)
{
	auto_json j = NULL;
	enum image_media is;
	int r = read_object(what, text, n, &j, e);

	if (r == 0)
		r = object_media(j, NULL, &is, e);
	if (r < 0)
		return r;
	if (is != want)
		return err_set(e, ERR_INPUT, -EINVAL, "%s: it is %s", what, media_words[is]);
	*ret = steal(&j);
	return 0;
}

/* --- descriptors -------------------------------------------------------------------------------
 */

void image_descriptor_clear(struct image_descriptor *d)
{
	free(d->media_type);
	free(d->digest);
	*d = (struct image_descriptor){ 0 };
}

static bool media_type_clean(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= MEDIA_TYPE_MAX &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-_/") ==
		       n;
}

static int read_descriptor(const char *what, const struct json *j, uint64_t max,
			   struct image_descriptor *ret, struct err *e)
{
	const char *media_type, *digest;
	uint64_t size;
	int r;

	if (!json_is_object(j) || json_get_string(j, "mediaType", &media_type) < 0 ||
	    json_get_string(j, "digest", &digest) < 0 || json_get_uint(j, "size", &size) < 0)
		return bad(e, what, "not a descriptor (mediaType, digest and size)");
	if (!media_type_clean(media_type))
		return bad(e, what, "its mediaType is malformed");
	r = image_digest_check(what, digest, e);
	if (r < 0)
		return r;
	if (size > max)
		return err_set(e, ERR_INPUT, -EFBIG,
			       "%s: %llu bytes are more than the %llu that are allowed", what,
			       (unsigned long long)size, (unsigned long long)max);
	*ret = (struct image_descriptor){ .media_type = xstrdup(media_type),
					  .digest = xstrdup(digest),
					  .size = size };
	return 0;
}

/* --- manifests ---------------------------------------------------------------------------------
 */

void image_manifest_clear(struct image_manifest *m)
{
	image_descriptor_clear(&m->config);
	for (size_t i = 0; i < m->nlayers; i++)
		image_descriptor_clear(&m->layers[i]);
	free(m->layers);
	json_unref(m->annotations);
	*m = (struct image_manifest){ 0 };
}

static int read_layer(const struct json *j, size_t number, struct image_descriptor *ret,
		      struct err *e)
{
	struct image_descriptor d = { 0 };
	auto_free char *what = xasprintf("layer %zu", number + 1);
	enum image_media media;
	int r = read_descriptor(what, j, IMAGE_BLOB_MAX, &d, e);

	if (r < 0)
		return r;
	media = image_media_of(d.media_type);
	if (media == IMAGE_MEDIA_FOREIGN || json_len(json_get(j, "urls")) > 0)
		r = bad(e, what, "its content is elsewhere (a foreign layer), which is refused");
	else if (media != IMAGE_MEDIA_LAYER_TAR && media != IMAGE_MEDIA_LAYER_GZIP &&
		 media != IMAGE_MEDIA_LAYER_ZSTD)
		r = err_set(e, ERR_INPUT, -ENOTSUP, "%s: '%s' is no layer of an image", what,
			    d.media_type);
	if (r < 0) {
		image_descriptor_clear(&d);
		return r;
	}
	*ret = d;
	return 0;
}

static int read_layers(const struct json *j, struct image_manifest *m, struct err *e)
{
	const struct json *layers = json_get(j, "layers");
	size_t n = json_len(layers);
	uint64_t total = 0;

	if (!json_is_array(layers))
		return bad(e, "manifest", "'layers' is not a list");
	if (n > IMAGE_LAYERS_MAX)
		return err_set(e, ERR_INPUT, -E2BIG, "manifest: %zu layers are more than %d", n,
			       IMAGE_LAYERS_MAX);
	m->layers = xcalloc(n ? n : 1, sizeof(*m->layers));
	for (size_t i = 0; i < n; i++) {
		int r = read_layer(json_at(layers, i), i, &m->layers[i], e);

		if (r < 0)
			return r;
		m->nlayers = i + 1;
		total += m->layers[i].size; /* at most 127 times IMAGE_BLOB_MAX */
	}
	if (total > IMAGE_BLOB_MAX)
		return err_set(e, ERR_INPUT, -EFBIG, "manifest: its layers are larger than %d GiB",
			       (int)(IMAGE_BLOB_MAX >> 30));
	return 0;
}

int image_manifest_parse(const char *text, size_t n, struct image_manifest *ret, struct err *e)
{
	auto_image_manifest m = { 0 };
	auto_json j = NULL;
	int r = read_media("manifest", text, n, IMAGE_MEDIA_MANIFEST, &j, e);

	if (r == 0)
		r = read_descriptor("configuration", json_get(j, "config"), IMAGE_DOCUMENT_MAX,
				    &m.config, e);
	if (r < 0)
		return r;
	if (image_media_of(m.config.media_type) != IMAGE_MEDIA_CONFIG)
		return err_set(e, ERR_INPUT, -ENOTSUP,
			       "manifest: it is no image to run (its configuration is '%s')",
			       m.config.media_type);
	r = read_layers(j, &m, e);
	if (r < 0)
		return r;
	if (json_is_object(json_get(j, "annotations")))
		m.annotations = json_ref(json_get(j, "annotations"));
	*ret = m;
	m = (struct image_manifest){ 0 };
	return 0;
}

/* --- platforms ---------------------------------------------------------------------------------
 */

void image_platform_clear(struct image_platform *p)
{
	free(p->os);
	free(p->architecture);
	free(p->variant);
	*p = (struct image_platform){ 0 };
}

/* Names as people and uname write them, and Go's, which images have. */
static const struct {
	const char *name, *architecture;
} architectures[] = {
	{ "amd64", "amd64" },
	{ "x86_64", "amd64" },
	{ "arm64", "arm64" },
	{ "aarch64", "arm64" },
};

static const char *architecture_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(architectures); i++) {
		if (strcmp(architectures[i].name, name) == 0)
			return architectures[i].architecture;
	}
	return NULL;
}

static bool variant_ok(const char *s)
{
	return s[0] == 'v' && s[1] >= '1' && s[1] <= '9' && s[2] == '\0';
}

int image_platform_parse(const char *text, struct image_platform *ret, struct err *e)
{
	auto_free char *copy = NULL;
	const char *architecture = NULL;
	const char *variant = NULL;
	struct utsname machine;
	auto_buf shown = BUF_INIT;
	char *slash;

	if (!text) {
		if (uname(&machine) < 0)
			return err_sys(e, "cannot tell what machine this is");
		text = machine.machine;
	}
	copy = xstrdup(text);
	architecture = text_starts(copy, "linux/") ? copy + strlen("linux/") : copy;
	slash = strchr(architecture, '/');
	if (slash) {
		*slash = '\0';
		variant = slash + 1;
	}
	architecture = architecture_of(architecture);
	if (!architecture || (variant && !variant_ok(variant))) {
		text_escape(&shown, text, strlen(text), PLATFORM_TEXT_MAX);
		err_set(e, ERR_USAGE, -EINVAL, "platform '%s': not one that Ward runs on",
			buf_str(&shown));
		return err_hint(e,
				"linux/amd64 or linux/arm64, perhaps with a variant such as /v8");
	}
	*ret = (struct image_platform){ .os = xstrdup("linux"),
					.architecture = xstrdup(architecture),
					.variant = variant ? xstrdup(variant) : NULL };
	return 0;
}

char *image_platform_text(const struct image_platform *p)
{
	return xasprintf("%s/%s%s%s", p->os, p->architecture, p->variant ? "/" : "",
			 p->variant ? p->variant : "");
}

/* --- indexes -----------------------------------------------------------------------------------
 */

/* How well an entry fits: 0 not at all. The variant that every machine of the architecture runs is
 * better than one that only newer ones do. */
static unsigned fit(const struct json *platform, const struct image_platform *want)
{
	const char *os, *architecture;
	const char *variant = "";
	const char *basic = strcmp(want->architecture, "arm64") == 0 ? "v8" : "v1";

	if (json_get_string(platform, "os", &os) < 0 ||
	    json_get_string(platform, "architecture", &architecture) < 0 ||
	    strcmp(os, want->os) != 0 || strcmp(architecture, want->architecture) != 0)
		return 0;
	(void)json_get_string(platform, "variant", &variant);
	if (want->variant) {
		if (strcmp(variant, want->variant) == 0)
			return 2;
		return variant[0] == '\0' && strcmp(want->variant, basic) == 0 ? 1 : 0;
	}
	return variant[0] == '\0' || strcmp(variant, basic) == 0 ? 2 : 1;
}

static void name_platform(struct buf *out, const struct json *platform)
{
	const char *os, *architecture, *variant;

	if (json_get_string(platform, "os", &os) < 0 ||
	    json_get_string(platform, "architecture", &architecture) < 0 ||
	    strcmp(os, "unknown") == 0 || out->len > 300) /* attestations say "unknown" */
		return;
	if (out->len > 0)
		buf_puts(out, ", ");
	text_escape(out, os, strlen(os), 20);
	buf_putc(out, '/');
	text_escape(out, architecture, strlen(architecture), 20);
	if (json_get_string(platform, "variant", &variant) == 0) {
		buf_putc(out, '/');
		text_escape(out, variant, strlen(variant), 20);
	}
}

static int no_platform(const struct json *entries, const struct image_platform *want, struct err *e)
{
	auto_free char *wanted = image_platform_text(want);
	auto_buf there = BUF_INIT;

	for (size_t i = 0; i < json_len(entries); i++)
		name_platform(&there, json_get(json_at(entries, i), "platform"));
	return err_set(e, ERR_NOT_FOUND, -ENOENT, "the image is not there for %s%s%s", wanted,
		       there.len > 0 ? "; it is for " : "", buf_str(&there));
}

/* The entry that fits best; else the only one, when it tells no platform. */
static const struct json *choose(const struct json *entries, const struct image_platform *want)
{
	const struct json *best = NULL;
	unsigned best_fit = 0;

	for (size_t i = 0; i < json_len(entries); i++) {
		const struct json *entry = json_at(entries, i);
		unsigned f = fit(json_get(entry, "platform"), want);

		if (f > best_fit) {
			best = entry;
			best_fit = f;
		}
	}
	if (!best && json_len(entries) == 1 && !json_has(json_at(entries, 0), "platform"))
		best = json_at(entries, 0);
	return best;
}

int image_index_choose(const char *text, size_t n, const struct image_platform *want,
		       struct image_descriptor *ret, struct err *e)
{
	struct image_descriptor d = { 0 };
	const struct json *entries, *entry;
	enum image_media media;
	auto_json j = NULL;
	int r = read_media("index", text, n, IMAGE_MEDIA_INDEX, &j, e);

	if (r < 0)
		return r;
	entries = json_get(j, "manifests");
	if (!json_is_array(entries))
		return bad(e, "index", "'manifests' is not a list");
	if (json_len(entries) > IMAGE_INDEX_MAX)
		return err_set(e, ERR_INPUT, -E2BIG, "index: more than %d entries",
			       IMAGE_INDEX_MAX);
	entry = choose(entries, want);
	if (!entry)
		return no_platform(entries, want, e);
	r = read_descriptor("index entry", entry, IMAGE_DOCUMENT_MAX, &d, e);
	if (r < 0)
		return r;
	media = image_media_of(d.media_type);
	if (media != IMAGE_MEDIA_MANIFEST && media != IMAGE_MEDIA_INDEX) {
		image_descriptor_clear(&d);
		return bad(e, "index entry", "it is neither a manifest nor an index");
	}
	*ret = d;
	return 0;
}
