/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_filter: confine this process to a list of system calls (seccomp(2)).
 *
 * For our own helpers, which handle bytes of strangers; what a box gets is box/seccomp.c.  What no
 * table names answers EPERM.  The same for all of them, whatever their tables say:
 *
 *   mmap, mprotect   allowed without PROT_EXEC: there is no new executable memory
 *   clone3           ENOSYS: its flags are behind a pointer; the C library takes clone then
 *   calls that are never a mistake of ours (starting programs, looking into other processes,
 *   namespaces, mounts, keys, ...) and those of another architecture end the process with SIGSYS
 */
#ifndef WARD_BASE_CALL_FILTER_H
#define WARD_BASE_CALL_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Allowed when (the low 32 bits of the argument & mask) == equal. */
struct call_check {
	int nr;
	unsigned arg; /* 0 to 5 */
	uint32_t mask;
	uint32_t equal;
};
struct call_table {
	const int *calls; /* SYS_*, allowed whatever their arguments are */
	size_t ncalls;
	const struct call_check *checks; /* a call may have several: each of them allows it */
	size_t nchecks;
};

/*
 * In force for this thread and those that it starts later; with `all_threads` also for those that
 * are there.  Needs no_new_privs (or CAP_SYS_ADMIN).
 */
int call_filter_enforce(const struct call_table *tables, size_t n, bool all_threads, struct err *e);

#endif
