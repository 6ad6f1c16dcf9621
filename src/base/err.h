/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err: the error object.
 *
 * Every function that can fail takes a `struct err *e` as its last parameter and returns 0 or
 * -errno.  The object is flat and smaller than PIPE_BUF, so that a child process reports a failure
 * to its parent with one write(2).  Library code fills it; only main, the verbs and the child
 * between clone and exec print it or end the process.
 *
 * Invariants: message and hint are NUL-terminated; a message is one line without a trailing full
 * stop, worded "WHAT: WHY" from the outside in; a hint is a command or an action that cures it.
 */
#ifndef WARD_BASE_ERR_H
#define WARD_BASE_ERR_H

#include <limits.h>

enum err_kind {
	ERR_NONE,
	ERR_USAGE,     /* the command line is wrong: exit code 2 */
	ERR_NOT_FOUND, /* no such sandbox, session, template, agent */
	ERR_INPUT,     /* a file, kit, image or name that we were given is bad */
	ERR_REFUSED,   /* understood, and refused for safety */
	ERR_CONFLICT,  /* exists already, or somebody else is at it */
	ERR_CORRUPT,   /* our own state on disk is damaged */
	ERR_HOST,      /* this machine lacks something that we need */
	ERR_SYSTEM,    /* a system call failed */
	ERR_KIND_MAX
};

enum { ERR_MESSAGE_MAX = 1024, ERR_HINT_MAX = 512 };

struct err {
	int code; /* -errno; 0 while nothing failed */
	enum err_kind kind;
	char message[ERR_MESSAGE_MAX];
	char hint[ERR_HINT_MAX];
};

_Static_assert(sizeof(struct err) < PIPE_BUF, "an error must fit one atomic pipe write");

#define ERR_INIT ((struct err){ 0 })

/* Name of a kind for JSON and tests ("usage", "not-found", ...); never NULL. */
const char *err_kind_name(enum err_kind kind);

/* Fill *e (which may be NULL) and return `code`, made negative if it was not. */
int err_set(struct err *e, enum err_kind kind, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Like err_set with ERR_SYSTEM and the current errno; ": <strerror>" is appended. Returns -errno.
 */
int err_sys(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Put "context: " in front of the message. Returns e->code, for `return err_prefix(...)`. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Set the hint, replacing an earlier one. Returns e->code. */
int err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
