/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_internal: images from files, for `ward-image import`.
 *
 *   import_source.c  a directory, or an archive as if it were one
 *   import_copy.c    bytes of it into the blob store, digested on the way
 *   import.c         which image: OCI layouts, and what `docker save` writes
 *   compose_verb.c   an image out of another one
 */
#ifndef WARD_IMAGE_IMPORT_INTERNAL_H
#define WARD_IMAGE_IMPORT_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "image/image.h"

/* --- import_source.c -------------------------------------------------------------------------- */

struct import_source; /* opaque */
/*
 * fd: a directory, or a tar archive, which may be compressed; borrowed. spool_dir: where a
 * decompressed copy may lie, without a name. An archive is read once to learn what is in it.
 */
int import_source_open(int fd, int spool_dir, struct import_source **ret, struct err *e);
void import_source_free(struct import_source *s); /* takes NULL */
struct import_file {
	int fd;
	bool owned; /* close it: import_file_clear */
	off_t offset;
	uint64_t size;
};
/* A regular file by its relative name. ERR_INPUT when it is not there. */
int import_source_find(struct import_source *s, const char *name, struct import_file *ret,
		       struct err *e);
bool import_source_has(struct import_source *s, const char *name);
void import_file_clear(struct import_file *f);

/* --- import_copy.c ---------------------------------------------------------------------------- */

struct import_store { /* directories of the store */
	int blobs;
	int partial;
};
/* All of it, at most IMAGE_DOCUMENT_MAX bytes. */
int import_read(const struct import_file *f, struct buf *out, struct err *e);
/*
 * Copy into the store. want: the digest and size that it must have (size as in the descriptor), or
 * NULL; *ret (may be NULL) is what it has, with a layer's media type by its first bytes.
 */
int import_copy(const struct import_store *s, const struct import_file *f,
		const struct image_descriptor *want, struct image_descriptor *ret, struct err *e);
/* Bytes of our own. */
int import_put(const struct import_store *s, const char *bytes, size_t n, char ret_digest[72],
	       struct err *e);

/* --- import.c --------------------------------------------------------------------------------- */

/*
 * The entries of an index that have a tag, as an index of their own. tag NULL: the only ones there
 * are, or "latest". ERR_NOT_FOUND lists what there is. Pure.
 */
int import_choose(const char *text, size_t n, const char *tag, struct buf *ret, struct err *e);
/* `ward-image import`: an image_verb_fn. */
int import_verb(const struct json *request, struct json **ret, struct err *e);

/* --- compose_verb.c --------------------------------------------------------------------------- */

/*
 * The configuration of an image with `base` (NULL: none; a verified document) below it.  request:
 * as compose_verb's.  Pure.
 */
int compose_config(struct json *base, const struct json *request, struct json **ret, struct err *e);
/* `ward-image compose`: an image_verb_fn. */
int compose_verb(const struct json *request, struct json **ret, struct err *e);

#endif
