/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err: filling the error object.
 *
 * Texts that do not fit are cut at a character boundary and end in "...".  A message stays one
 * line whatever was formatted into it: control bytes become spaces.  This is a net below the
 * callers, who escape foreign text with text_escaped before it comes here.  errno is kept by every
 * function, so that a caller may still look at it afterwards.
 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[] = {
	[ERR_NONE] = "none",	   [ERR_USAGE] = "usage",     [ERR_NOT_FOUND] = "not-found",
	[ERR_INPUT] = "input",	   [ERR_REFUSED] = "refused", [ERR_CONFLICT] = "conflict",
	[ERR_CORRUPT] = "corrupt", [ERR_HOST] = "host",	      [ERR_SYSTEM] = "system",
};
_Static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == ERR_KIND_MAX, "one name per kind");

const char *err_kind_name(enum err_kind kind)
{
	if ((unsigned)kind >= ERR_KIND_MAX)
		return "unknown";
	return kind_names[kind];
}

/* Cut a text that filled its buffer: step back over a partial UTF-8 character, then add dots. */
static void mark_cut(char *text, size_t size)
{
	size_t at = size - 4;

	while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
		at--;
	memcpy(text + at, "...", 4);
}

__attribute__((format(printf, 3, 0))) static void format(char *text, size_t size, const char *fmt,
							 va_list ap)
{
	int n = vsnprintf(text, size, fmt, ap);

	if (n < 0)
		text[0] = '\0';
	else if ((size_t)n >= size)
		mark_cut(text, size);
}

static void one_line(char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
	}
}

static void append(char *text, size_t size, const char *a, const char *b)
{
	size_t used = strlen(text);
	int n = snprintf(text + used, size - used, "%s%s", a, b);

	if (n < 0 || (size_t)n >= size - used)
		mark_cut(text, size);
}

int err_set(struct err *e, enum err_kind kind, int code, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	code = code > 0 ? -code : code;
	if (e == NULL)
		return code;
	e->code = code;
	e->kind = kind;
	e->hint[0] = '\0';
	va_start(ap, fmt);
	format(e->message, sizeof(e->message), fmt, ap);
	va_end(ap);
	one_line(e->message);
	errno = saved;
	return code;
}

int err_sys(struct err *e, const char *fmt, ...)
{
	/* Zero would read as success to the caller; no system call fails with it. */
	int saved = errno != 0 ? errno : EIO;
	const char *why = strerrordesc_np(saved);
	va_list ap;

	if (e == NULL)
		return -saved;
	e->code = -saved;
	e->kind = ERR_SYSTEM;
	e->hint[0] = '\0';
	va_start(ap, fmt);
	format(e->message, sizeof(e->message), fmt, ap);
	va_end(ap);
	append(e->message, sizeof(e->message), ": ", why != NULL ? why : "unknown error");
	one_line(e->message);
	errno = saved;
	return -saved;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	char old[ERR_MESSAGE_MAX];
	int saved = errno;
	va_list ap;

	/* Without an object the code is unknown, but the caller is on its way out with a failure.
	 */
	if (e == NULL)
		return -EIO;
	memcpy(old, e->message, sizeof(old));
	va_start(ap, fmt);
	format(e->message, sizeof(e->message), fmt, ap);
	va_end(ap);
	append(e->message, sizeof(e->message), ": ", old);
	one_line(e->message);
	errno = saved;
	return e->code;
}

int err_hint(struct err *e, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (e == NULL)
		return -EIO;
	va_start(ap, fmt);
	format(e->hint, sizeof(e->hint), fmt, ap);
	va_end(ap);
	one_line(e->hint);
	errno = saved;
	return e->code;
}
