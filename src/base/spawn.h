/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn: helper programs by absolute path, with a clean environment and exactly the given fds.
 */
#ifndef WARD_BASE_SPAWN_H
#define WARD_BASE_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* First existing executable of the NULL-terminated list of absolute paths, or NULL. */
const char *spawn_find(const char *const *paths);

struct spawn {
	const char *path;  /* absolute */
	char *const *argv; /* NULL-terminated */
	char *const *env;  /* NULL-terminated; NULL: empty environment */
	const char *cwd;   /* NULL: "/" */
	const void *input; /* bytes for its stdin; NULL: /dev/null */
	size_t input_len;
	size_t output_max;   /* stdout and stderr are each cut off here */
	unsigned timeout_ms; /* 0: none; then it is killed and -ETIMEDOUT returned */
};

/*
 * Run to the end. *ret_status is the wait status; stdout and stderr are appended to out and err_out
 * (either may be NULL: dropped). Returns 0 when the program was started and reaped.
 */
int spawn_run(const struct spawn *s, struct buf *out, struct buf *err_out, int *ret_status,
	      struct err *e);

/*
 * Die with the parent: killed when it ends.  pipe_fd: the writing end of a pipe that only the
 * parent reads; when it ended before this call, which no signal tells, this process ends here.
 * Executing keeps it, a change of ids undoes it.
 */
void spawn_die_with_parent(int pipe_fd);

#endif
