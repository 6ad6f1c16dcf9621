/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_main: the verbs of ward-image, the helper that reads layers and has no network.
 */
#include "image/image_internal.h"
#include "image/layer_internal.h"

const struct image_verb image_verbs[] = {
	{ "unpack", layer_unpack_verb },
	{ NULL, NULL },
};
