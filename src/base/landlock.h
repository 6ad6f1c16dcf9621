/* SPDX-License-Identifier: Apache-2.0 */
/*
 * landlock: confine this process to a few files (Linux, Documentation/userspace-api/landlock.rst).
 *
 * Everything that the kernel's Landlock can deny is denied, but what was allowed: file access, TCP
 * bind, signals to and abstract sockets of other domains.  Rights that a kernel does not know yet
 * are left out by its ABI number; a kernel without Landlock is an error with the cure.
 */
#ifndef WARD_BASE_LANDLOCK_H
#define WARD_BASE_LANDLOCK_H

#include <stdint.h>

#include "base/err.h"

struct landlock {
	int fd;	     /* the rule set; -1: none */
	uint64_t fs; /* rights over files that it handles */
};
void landlock_close(struct landlock *l);
#define auto_landlock __attribute__((cleanup(landlock_close))) struct landlock

int landlock_begin(struct landlock *l, struct err *e);
/* access: LANDLOCK_ACCESS_FS_*; those that mean nothing for a file or to this kernel are left out.
 * A path that is not there is no rule. */
int landlock_allow_path(struct landlock *l, const char *path, uint64_t access, struct err *e);
int landlock_allow_fd(struct landlock *l, int fd, uint64_t access, struct err *e);
/* Needs no_new_privs (or CAP_SYS_ADMIN). Holds for threads that are started later. */
int landlock_enforce(struct landlock *l, struct err *e);

#endif
