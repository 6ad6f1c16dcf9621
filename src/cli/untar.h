/* SPDX-License-Identifier: Apache-2.0 */
/*
 * untar: put a tar stream that a sandbox made below a directory of the host.
 */
#ifndef WARD_CLI_UNTAR_H
#define WARD_CLI_UNTAR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/tar.h"

struct untar;

/*
 * Where the first entry, the root of the tree, goes: *ret_dirfd (handed over) and *ret_name
 * (owned), one component, or "" when the directory itself stands for the root.  Called once, when
 * the type of the root is known.
 */
typedef int untar_place_fn(enum tar_type root, void *arg, int *ret_dirfd, char **ret_name,
			   struct err *e);

struct untar *untar_new(untar_place_fn *place, void *arg);
void untar_free(struct untar *u); /* takes NULL */
int untar_feed(struct untar *u, const char *bytes, size_t n, struct err *e);
/* The stream is over. -EBADMSG when it was cut off; -ENODATA when it was empty. */
int untar_finish(struct untar *u, struct err *e);
/* Links that were left out because they point out of the tree. */
size_t untar_skipped(const struct untar *u);

/*
 * The path of an entry below the root entry's name: "" for the root itself, else a relative path of
 * plain components.  NULL when the name is absolute, holds ".." or is not below the root. Pure; the
 * result points into path.
 */
const char *untar_relative(const char *root, const char *path);
/* Does a link at `path` (relative, plain) with this target stay within the tree? Pure. */
bool untar_link_stays(const char *path, const char *target);

#endif
