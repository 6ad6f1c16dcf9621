/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: indexes, manifests and configurations of images. What was accepted keeps the
 * promises of image.h: digests are digests, sizes and counts are within bounds, no variable lacks
 * its value.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_descriptor(const struct image_descriptor *d)
{
	if (!image_digest_ok(d->digest) || d->size > IMAGE_BLOB_MAX)
		abort();
}

static void check_manifest(const struct image_manifest *m, enum image_media is)
{
	if (is != IMAGE_MEDIA_MANIFEST || m->nlayers > IMAGE_LAYERS_MAX)
		abort();
	check_descriptor(&m->config);
	for (size_t i = 0; i < m->nlayers; i++)
		check_descriptor(&m->layers[i]);
}

static void check_config(const struct image_config *c)
{
	for (size_t i = 0; i < c->env.n; i++) {
		if (c->env.v[i][0] == '=' || !strchr(c->env.v[i], '='))
			abort();
	}
	for (size_t i = 0; i < c->diff_ids.n; i++) {
		if (!image_digest_ok(c->diff_ids.v[i]))
			abort();
	}
	if (c->working_dir && (c->working_dir[0] != '/' || strstr(c->working_dir, "/../")))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image_platform want = { 0 };
	struct image_descriptor d = { 0 };
	auto_image_manifest m = { 0 };
	auto_image_config c = { 0 };
	const char *text = (const char *)data;
	enum image_media is = IMAGE_MEDIA_UNKNOWN;
	struct err e = ERR_INIT;

	if (image_document_media(text, size, NULL, &is, &e) < 0 && e.code == 0)
		abort();
	if (image_manifest_parse(text, size, &m, &e) == 0)
		check_manifest(&m, is);
	if (image_platform_parse("linux/arm64/v8", &want, &e) == 0 &&
	    image_index_choose(text, size, &want, &d, &e) == 0) {
		if (is != IMAGE_MEDIA_INDEX)
			abort();
		check_descriptor(&d);
	}
	if (image_config_parse(text, size, &c, &e) == 0)
		check_config(&c);
	if (strchr(e.message, '\n') || strchr(e.message, '\x1b'))
		abort();
	image_descriptor_clear(&d);
	image_platform_clear(&want);
	return 0;
}
