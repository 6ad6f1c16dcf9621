/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_image: the layers of an image as directories that a box can have below its root.
 *
 *	templates/layers/IDS/HEX/fs          the layer whose uncompressed digest is HEX, its files
 *	                                     owned by the ids that IDS names
 *	templates/layers/IDS/HEX/layer.json  what unpacking it said
 *
 * The rename to HEX says that the layer is complete, see native_unpack.c.
 *
 * Invariants: the caller holds IMAGE_LOCK_CONTENT shared, or a lease under which the image is used,
 *so nothing is collected meanwhile; HEX is never changed once it has its name.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "engine/native_unpack.h"

/* "range-100000.1000.101000-100000.1000.101000": what owns the files. The sizes of the extents
 * follow from the mode. */
static char *ids_key(const struct box_ids *ids)
{
	auto_buf b = BUF_INIT;

	buf_puts(&b, box_id_mode_name((enum box_id_mode)ids->mode));
	for (uint32_t i = 0; i < ids->nuid; i++)
		buf_printf(&b, "%c%" PRIu32, i ? '.' : '-', ids->uid[i].outside);
	for (uint32_t i = 0; i < ids->ngid; i++)
		buf_printf(&b, "%c%" PRIu32, i ? '.' : '-', ids->gid[i].outside);
	return buf_steal(&b);
}

/* --- the layers of an image ------------------------------------------------------------------- */

static int read_layers(const struct image_store *s, const char *digest,
		       struct image_manifest *manifest, struct image_config *config, struct err *e)
{
	int r = image_store_read(s, digest, manifest, config, e);

	if (r == 0 && manifest->nlayers != config->diff_ids.n)
		r = err_set(e, ERR_INPUT, -EINVAL,
			    "image: its manifest has %zu layers and its configuration %zu",
			    manifest->nlayers, config->diff_ids.n);
	if (r == 0 && manifest->nlayers == 0)
		r = err_set(e, ERR_INPUT, -EINVAL, "image: it has no layers");
	return r;
}

void native_image_close(struct native_image *m)
{
	image_manifest_clear(&m->manifest);
	image_config_clear(&m->config);
	free(m->helper);
	if (m->dir > 0)
		close(m->dir);
	*m = (struct native_image){ 0 };
}

static int open_layers(const struct image_store *s, const struct box_ids *ids, int *ret,
		       struct err *e)
{
	auto_free char *key = ids_key(ids);
	auto_free char *path = fs_join("layers", key);
	int r = fs_mkdirs_at(s->fd, path, 0700, NULL, e);
	int fd;

	if (r < 0)
		return r;
	fd = fs_open_beneath(s->fd, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "template store: %s", path);
	}
	*ret = fd;
	return 0;
}

int native_image_open(const struct image_store *s, const char *digest, const struct box_ids *ids,
		      struct native_image *ret, struct err *e)
{
	int r;

	*ret = (struct native_image){ 0 };
	r = read_layers(s, digest, &ret->manifest, &ret->config, e);
	if (r == 0)
		r = native_helper("ward-image", &ret->helper, e);
	if (r == 0)
		r = open_layers(s, ids, &ret->dir, e);
	for (size_t i = 0; r == 0 && i < ret->manifest.nlayers; i++) {
		const struct native_layer l = { .store = s,
						.ids = ids,
						.helper = ret->helper,
						.blob = ret->manifest.layers[i].digest,
						.size = ret->manifest.layers[i].size,
						.diff_id = ret->config.diff_ids.v[i],
						.dir = ret->dir };
		bool twice = false;

		for (size_t k = 0; k < ret->nmissing; k++)
			twice |= strcmp(ret->missing[k].diff_id, l.diff_id) == 0;
		if (!twice && !native_layer_is_there(&l))
			ret->missing[ret->nmissing++] = l;
	}
	if (r < 0)
		native_image_close(ret);
	return r;
}

int native_image_unpack(struct engine_context *c, const char *digest, const struct box_ids *ids,
			struct err *e)
{
	auto_image_store s = { .fd = -1 };
	auto_free struct native_image *m = xcalloc(1, sizeof(*m));
	int r = image_store_open(c->paths.data, &s, e);

	if (r == 0)
		r = native_image_open(&s, digest, ids, m, e);
	if (r == 0 && m->nmissing > 0 && c->say) {
		auto_free char *text = xasprintf("unpacking %zu layer%s", m->nmissing,
						 m->nmissing == 1 ? "" : "s");

		c->say(c->say_arg, ENGINE_SAY_PROGRESS, text);
	}
	if (r == 0)
		r = native_layer_unpack(m->missing, m->nmissing, e);
	native_image_close(m);
	return r;
}

int native_image_ready(struct engine_context *c, const struct spec *s, struct err *e)
{
	auto_image_store store = { .fd = -1 };
	auto_close int lock = -1;
	struct box_ids ids;
	int r;

	if (s->tmpl.kind != SPEC_TEMPLATE_IMAGE)
		return 0;
	r = box_ids_detect(getuid(), getgid(), &ids, e);
	if (r == 0)
		r = image_store_open(c->paths.data, &store, e);
	if (r == 0)
		r = image_store_lock(&store, IMAGE_LOCK_CONTENT, false, true, &lock, e);
	if (r == 0)
		r = native_image_unpack(c, s->tmpl.digest, &ids, e);
	return r < 0 ? err_prefix(e, "template %s", s->tmpl.ref) : 0;
}

/* Does the layer hide all that is below it? An overlay does not look for the mark on a layer's top.
 */
static bool is_opaque(const struct image_store *s, const char *layer)
{
	auto_free char *path = fs_join(layer, NATIVE_LAYER_INFO);
	auto_buf text = BUF_INIT;
	auto_json j = NULL;
	bool opaque = false;

	return fs_read_at(s->fd, path, NATIVE_LAYER_INFO_MAX, &text, NULL) == 0 &&
	       json_parse(buf_str(&text), text.len, &j, NULL) == 0 &&
	       json_get_bool(j, "opaque_root", &opaque) == 0 && opaque;
}

int native_image_layers(struct engine_context *c, const char *digest, const struct box_ids *ids,
			struct strv *ret, struct err *e)
{
	auto_image_store s = { .fd = -1 };
	auto_free char *key = ids_key(ids);
	auto_image_manifest manifest = { 0 };
	auto_image_config config = { 0 };
	int r = image_store_open(c->paths.data, &s, e);

	if (r == 0)
		r = read_layers(&s, digest, &manifest, &config, e);
	for (size_t i = config.diff_ids.n; r == 0 && i > 0; i--) {
		const char *hex = image_digest_hex(config.diff_ids.v[i - 1]);
		auto_free char *layer = xasprintf("layers/%s/%s", key, hex);

		strv_addf(ret, "%s/%s/fs", s.dir, layer);
		if (is_opaque(&s, layer))
			break;
	}
	return r;
}
