/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tarball: a file or directory of the host as a tar stream.
 */
#ifndef WARD_BASE_TARBALL_H
#define WARD_BASE_TARBALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct tarball_limits {
	uint64_t entries; /* files and directories */
	uint64_t bytes;	  /* of the files */
	bool no_links;	  /* symbolic links are left out, and counted; none leads to the tree */
	/* What a file becomes: append to *out. path: below the root. NULL: what it is. */
	int (*change)(void *arg, const char *path, const struct buf *bytes, struct buf *out,
		      struct err *e);
	void *arg;
};

/*
 * Write the tree at path to fd, its root under the name `root` (a relative path, or "." for the
 * contents of a directory). limits: -EFBIG beyond them; NULL: none.  The last component of path is
 * not followed when it is a link. Sockets, FIFOs and devices are left out; *ret_skipped counts
 * them.  Owners are not written: what arrives belongs to whoever unpacks.
 */
int tarball_write(const char *path, const char *root, const struct tarball_limits *limits, int fd,
		  size_t *ret_skipped, struct err *e);

#endif
