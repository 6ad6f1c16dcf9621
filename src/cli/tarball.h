/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tarball: a file or directory of the host as a tar stream.
 */
#ifndef WARD_CLI_TARBALL_H
#define WARD_CLI_TARBALL_H

#include <stddef.h>

#include "base/err.h"

/*
 * Write the tree at path to fd, its root under the name `root` (one component, or "." for the
 * contents of a directory).  The last component of path is not followed when it is a link. Sockets,
 * FIFOs and devices are left out; *ret_skipped counts them.  Owners are not written: what arrives
 * belongs to whoever unpacks.
 */
int tarball_write(const char *path, const char *root, int fd, size_t *ret_skipped, struct err *e);

#endif
