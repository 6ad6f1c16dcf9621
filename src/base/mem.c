/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem: the allocation wrappers and the cleanup functions.
 *
 * Nothing in here returns NULL.  A request for zero bytes is rounded up to one, so that "NULL"
 * never has a second meaning.  The cleanup functions keep errno, because they run between a failing
 * call and the code that reports it.
 */
#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

/* The one place of the library that writes to stderr and ends the process: it must not allocate. */
void mem_oom(void)
{
	static const char text[] = "ward: out of memory\n";
	ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)ignored;
	abort();
}

void *xmalloc(size_t size)
{
	void *p = malloc(size != 0 ? size : 1);

	if (p == NULL)
		mem_oom();
	return p;
}

void *xcalloc(size_t count, size_t size)
{
	void *p = (count != 0 && size != 0) ? calloc(count, size) : calloc(1, 1);

	if (p == NULL)
		mem_oom();
	return p;
}

void *xrealloc(void *p, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		mem_oom();
	p = realloc(p, bytes != 0 ? bytes : 1);
	if (p == NULL)
		mem_oom();
	return p;
}

char *xstrdup(const char *s)
{
	return xmemdup(s, strlen(s) + 1);
}

char *xstrndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *copy = xmalloc(len + 1);

	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

void *xmemdup(const void *p, size_t n)
{
	void *copy = xmalloc(n);

	if (n != 0)
		memcpy(copy, p, n);
	return copy;
}

char *xasprintf(const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		mem_oom();
	return text;
}

void mem_freep(void *p)
{
	void *value;
	int saved = errno;

	/* p points to a pointer of some type; memcpy reads it without an aliasing cast. */
	memcpy(&value, p, sizeof(value));
	free(value);
	errno = saved;
}

void fd_closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}
