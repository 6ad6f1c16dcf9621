/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_internal: what COPY and ADD of an image's build do with files, for `ward-image collect` and
 * `ward-image place`.
 *
 *   build_match.c    which names of a tree the patterns of an instruction mean
 *   build_collect.c  files of a context, or of another stage, as a tar archive
 *   build_place.c    such an archive in the tree of the image that is being built
 */
#ifndef WARD_IMAGE_BUILD_INTERNAL_H
#define WARD_IMAGE_BUILD_INTERNAL_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "image/dockerfile.h"

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

/* Image verbs. */
int build_collect_verb(const struct json *request, struct json **ret, struct err *e);
int build_place_verb(const struct json *request, struct json **ret, struct err *e);

#endif
