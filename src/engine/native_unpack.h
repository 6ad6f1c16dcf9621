/* SPDX-License-Identifier: Apache-2.0 */
/* native_unpack: layers of images as directories; for the files of the engine that unpack images.
 */
#ifndef WARD_ENGINE_NATIVE_UNPACK_H
#define WARD_ENGINE_NATIVE_UNPACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/engine_internal.h"
#include "image/image.h"

#define NATIVE_LAYER_INFO "layer.json" /* what unpacking said */
enum { NATIVE_LAYER_INFO_MAX = 4096, NATIVE_LAYER_WORKERS_MAX = 8 };

/* All of it is borrowed. */
struct native_layer {
	const struct image_store *store;
	const struct box_ids *ids;
	const char *helper; /* ward-image */
	const char *blob;   /* digests */
	const char *diff_id;
	uint64_t size; /* of the blob */
	int dir;       /* templates/layers/IDS */
	/* Of a blob that is not in the store yet; both are 0 when it is. */
	int growing; /* the file that it is written to */
	int counter; /* see layer_unpack_new */
};
bool native_layer_is_there(const struct native_layer *l);

/* --- side by side ----------------------------------------------------------------------------- */

struct native_worker {
	pid_t pid;  /* 0: none */
	int report; /* a struct err comes out of it when it failed */
};
/* How many are of use at once. */
size_t native_layer_workers(void);
/* Unpack a layer in a process of its own; if somebody else is at it, that waits. */
int native_layer_start(const struct native_layer *l, struct native_worker *ret, struct err *e);
/* Wait for its end. */
int native_layer_finish(struct native_worker *w, struct err *e);
/* All of them.  The first failure is told; what has begun is let finish, because it is of use
 * later. */
int native_layer_unpack(const struct native_layer *layers, size_t n, struct err *e);

/* --- native_image.c: the layers of an image --------------------------------------------------- */

struct native_image {
	struct image_manifest manifest;
	struct image_config config;
	char *helper;
	int dir;				       /* templates/layers/IDS */
	struct native_layer missing[IMAGE_LAYERS_MAX]; /* each one once, the lowest first */
	size_t nmissing;
};
/* Which layers of a manifest have to be unpacked. `s`, `ids` and *ret must stay where they are. */
int native_image_open(const struct image_store *s, const char *digest, const struct box_ids *ids,
		      struct native_image *ret, struct err *e);
void native_image_close(struct native_image *m); /* takes what was never opened: all zero */

/* --- native_ahead.c --------------------------------------------------------------------------- */

/*
 * An image is unpacked while it is being downloaded: an image_event_fn for image_pull that hands on
 * every event.  That nothing comes of it is never an error; what was not unpacked is left to
 * native_image_unpack.
 */
struct native_ahead; /* opaque */
struct native_ahead *native_ahead_new(const struct image_store *s, image_event_fn *event,
				      void *arg);
int native_ahead_event(const char *event, const struct json *j, void *ahead, struct err *e);
/* The download is over: wait for what has begun; when it was well, for all layers. */
void native_ahead_finish(struct native_ahead *a, bool well);
void native_ahead_free(struct native_ahead *a);

#endif
