/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attack: what a hostile program inside a box would try, one verb per attack.
 *
 * The program is one static binary that the tests copy into a workspace and start in the box, as the
 * agent and as root, and outside for the positive control.  It prints what it got; whether that is
 * an escape is decided by the test, from what it finds on the host.  It works without arguments of
 * the test's making where possible, tries every spelling of an attack, and goes on after a failure.
 */
#ifndef WARD_TESTS_HOSTILE_ATTACK_H
#define WARD_TESTS_HOSTILE_ATTACK_H

#include <stdio.h>

struct attack {
	const char *name;
	const char *usage;
	int (*run)(int argc, char **argv); /* argv[0] is the verb; returns the exit status */
};

extern const struct attack calls_attacks[]; /* each ends with a NULL name */
extern const struct attack process_attacks[];
extern const struct attack file_attacks[];
extern const struct attack device_attacks[];

/* "ok", or the name of the error. */
const char *answer(long result);
/* Print "WHAT: answer" and return whether it worked. */
int report(const char *what, long result);
/* Run f(arg) in a child, so that its success has no lasting effect; its result with errno. -1 and
 * EINTR when the child was killed. */
long in_child(long (*f)(const void *arg), const void *arg);

#endif
