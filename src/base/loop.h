/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop: a small epoll event loop with timers.  One per process, single-threaded.
 *
 * A handler may remove any source, its own included, while it runs: removal is deferred until the
 * current batch is done, and a removed source is never called again.
 */
#ifndef WARD_BASE_LOOP_H
#define WARD_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct loop;
struct loop_source; /* owned by the loop */

/* events: EPOLL* bits that are ready. */
typedef void loop_fd_fn(int fd, uint32_t events, void *arg);
typedef void loop_timer_fn(void *arg);

int loop_new(struct loop **ret, struct err *e);
void loop_free(struct loop *l); /* takes NULL; closes no fd that was added */
/* Add fd (level-triggered); the loop does not own the fd. */
int loop_add(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg,
	     struct loop_source **ret, struct err *e);
void loop_modify(struct loop *l, struct loop_source *s, uint32_t events);
void loop_remove(struct loop *l,
		 struct loop_source *s); /* takes NULL; call before closing the fd */
/* One-shot timer on CLOCK_MONOTONIC. */
struct loop_source *loop_after(struct loop *l, uint64_t ms, loop_timer_fn *fn, void *arg);
/* Run until loop_stop; returns the value given to it, or -errno. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l, int value);
/* Milliseconds of CLOCK_MONOTONIC at the start of the current batch. */
uint64_t loop_now(const struct loop *l);

#endif
