/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_internal: what ward-registry and ward-image share.  Nothing here is linked into `ward`.
 */
#ifndef WARD_IMAGE_IMAGE_INTERNAL_H
#define WARD_IMAGE_IMAGE_INTERNAL_H

#include "base/err.h"
#include "base/json.h"
#include "image/image.h"

enum { IMAGE_REQUEST_MAX = 1 << 20, IMAGE_FD_FIRST = 3 };

/* image_main.c: write one event; a reader that is gone ends this process. Takes the object. */
void image_event_send(const char *event, struct json *j);

/* The verbs of a program. The request is what `ward` wrote; *ret is the body of the result event.
 * Each confines itself before it reads a byte from outside. */
typedef int image_verb_fn(const struct json *request, struct json **ret, struct err *e);
struct image_verb {
	const char *name;
	image_verb_fn *run;
};
/* Each program has its own; the last one has no name. */
extern const struct image_verb image_verbs[];

#endif
