/* SPDX-License-Identifier: Apache-2.0 */
/*
 * helper_confine: what ward-image gives up before it reads a byte of an image.
 */
#ifndef WARD_IMAGE_HELPER_CONFINE_H
#define WARD_IMAGE_HELPER_CONFINE_H

#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define HELPER_READ_FILE LANDLOCK_ACCESS_FS_READ_FILE
#define HELPER_READ_TREE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* Files in a directory: making, writing, removing, moving to another one with this right. */
#define HELPER_MAKE_FILE                                                                           \
	(LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE |                            \
	 LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REFER)
/* A whole tree, without reading files of it. */
#define HELPER_MAKE_TREE                                                                           \
	(HELPER_MAKE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SYM |            \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_CHAR |                             \
	 LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_READ_DIR)

struct helper_rule {
	int fd;
	uint64_t access; /* HELPER_* */
};
struct helper_confine {
	const struct helper_rule *rules;
	size_t nrules;
	int last_fd; /* those behind it are closed */
	int root_fd; /* becomes "/"; -1: the root stays */
	uint64_t file_size;
	/* Called before the filter of system calls, which allows no new thread, comes into force
	 * for all threads; everything else is in force then.  May be NULL. */
	int (*start)(void *arg, struct err *e);
	void *arg;
};
/* All of it, or an error. */
int helper_confine(const struct helper_confine *c, struct err *e);

#endif
