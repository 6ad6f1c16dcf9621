/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_internal: what COPY and ADD of an image's build do with files, for `ward-image collect` and
 * `ward-image place`.
 *
 *   build_match.c    which names of a tree the patterns of an instruction mean
 *   build_collect.c  files of a context, or of another stage, as a tar archive
 *   build_place.c    such an archive in the tree of the image that is being built
 *   build_put.c      its entries there
 *   build_unpack.c   archives that ADD unpacks: which they are, and their entries
 */
#ifndef WARD_IMAGE_BUILD_INTERNAL_H
#define WARD_IMAGE_BUILD_INTERNAL_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "image/dockerfile.h"
#include "image/layer_internal.h"

/* --- build_match.c ---------------------------------------------------------------------------- */

enum { BUILD_MATCHES_MAX = 65536, BUILD_DEPTH_MAX = 256, BUILD_LINKS_MAX = 40 };

struct build_tree {
	int fd;
	/* Links are followed as if the tree were the root (a stage); else a link that leads out of
	 * it is refused (a context). */
	bool is_root;
	struct dockerignore ignore;
};
/* Open a path of the tree; links on the way and at its end are followed within it. */
int build_tree_open(const struct build_tree *t, const char *path, int flags, struct err *e);
/* Where a path of the tree leads, without links; "" is the tree itself. Owned by the caller. */
int build_tree_real(const struct build_tree *t, const char *path, char **ret, struct err *e);
/*
 * What a source of COPY means: clean relative paths, sorted; "." is the tree itself.  Without
 * wildcards that is the path itself, whether or not it exists.  ".." is ERR_REFUSED, a pattern that
 * matches nothing -ENOENT.
 */
int build_match(const struct build_tree *t, const char *pattern, struct strv *ret, struct err *e);
/* The names in a directory, sorted. */
int build_names(int dir, struct strv *ret, struct err *e);

/* --- build_put.c ------------------------------------------------------------------------------ */

enum { BUILD_KEEP = -1 };
struct build_put {
	int root;	  /* what names begin at; borrowed */
	uint32_t ids;	  /* 1: owners are not set */
	int64_t uid, gid; /* BUILD_KEEP: as in the archive */
	int64_t mode;	  /* likewise */
	uint64_t devices; /* that were left out */
	uint64_t xattrs;  /* likewise */
	struct buf times; /* of directories */
	/* the file that is being written */
	int file; /* -1: none */
	uint64_t size, at;
	struct layer_meta meta;
};
#define BUILD_PUT_INIT                                                                             \
	((struct build_put){ .root = -1,                                                           \
			     .uid = BUILD_KEEP,                                                    \
			     .gid = BUILD_KEEP,                                                    \
			     .mode = BUILD_KEEP,                                                   \
			     .file = -1 })
void build_put_clear(struct build_put *p);
/* mkdir -p of an absolute path, each directory that is new with the owner. Returns it, open. */
int build_put_dirs(struct build_put *p, const char *path, struct err *e);
/* An entry at an absolute path; link: where a hard link's other name is. Its data follow. */
int build_put_entry(struct build_put *p, const struct tar_entry *t, const char *path,
		    const char *link, struct err *e);
/* TAR_DATA and TAR_ENTRY_END of it; others mean nothing. */
int build_put_data(struct build_put *p, const struct tar_event *ev, struct err *e);
/* Everything is there: times of directories. */
void build_put_finish(struct build_put *p);

/* --- build_unpack.c --------------------------------------------------------------------------- */

/* The attribute, which no file can have, of an entry of `collect` that `place` unpacks. */
#define BUILD_UNPACK_XATTR "ward.unpack"
/* Is this the first block of a tar archive? Pure. */
bool build_is_tar(const char head[static TAR_BLOCK]);
/* Would ADD unpack the file? -ENOTSUP, -EFBIG: see layer_inflate. */
int build_is_archive(int fd, bool *ret, struct err *e);
struct build_unpack; /* opaque */
/* An archive of `size` bytes, whose entries go into put's root; put is borrowed. */
struct build_unpack *build_unpack_new(uint64_t size, struct build_put *put);
void build_unpack_free(struct build_unpack *u); /* takes NULL */
int build_unpack_feed(struct build_unpack *u, const char *bytes, size_t n, struct err *e);
int build_unpack_finish(struct build_unpack *u, struct err *e);

/* Image verbs. */
int build_collect_verb(const struct json *request, struct json **ret, struct err *e);
int build_place_verb(const struct json *request, struct json **ret, struct err *e);

#endif
