/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem: allocation that cannot fail, and scope-bound owners.
 *
 * Running out of memory aborts in one place (mem_oom).  Sizes that depend on input are bounded by
 * the caller before they come here.  auto_* declare a local that is released when it goes out of
 * scope; steal() and steal_fd() hand the value on.  A child after fork ends with _exit or execve
 * only, so a cleanup never runs in two processes.
 */
#ifndef WARD_BASE_MEM_H
#define WARD_BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void mem_oom(void);
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t count, size_t size); /* aborts on count*size overflow */
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
void *xmemdup(const void *p, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* free(*p) / close(*p), keeping errno; for the cleanup attribute. */
void mem_freep(void *p);
void fd_closep(int *fd);

#define auto_free  __attribute__((cleanup(mem_freep)))
#define auto_close __attribute__((cleanup(fd_closep)))

static inline int steal_fd(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

#define steal(p)                                                                                   \
	__extension__({                                                                            \
		__typeof__(*(p)) *steal_p_ = (p);                                                  \
		__typeof__(*(p)) steal_v_ = *steal_p_;                                             \
		*steal_p_ = NULL;                                                                  \
		steal_v_;                                                                          \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
