/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_main: the verbs of ward-image, the helper that reads and makes images and has no network.
 */
#include "image/build_internal.h"
#include "image/image_internal.h"
#include "image/import_internal.h"
#include "image/layer_internal.h"

const struct image_verb image_verbs[] = {
	{ "collect", build_collect_verb },
	{ "place", build_place_verb },
	{ "compose", compose_verb },
	{ "import", import_verb },
	{ "pack", layer_pack_verb },
	{ "unpack", layer_unpack_verb },
	{ NULL, NULL },
};
