/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_internal: the system call table and the compiler of the filter, for box and its tests.
 */
#ifndef WARD_BOX_SECCOMP_INTERNAL_H
#define WARD_BOX_SECCOMP_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

enum seccomp_arch { SECCOMP_X86_64, SECCOMP_ARM64, SECCOMP_ARCH_MAX };

/* What a row asks for.  The first three are answers; the others look at arguments or at the
 * variant of the filter. */
enum seccomp_rule {
	SECCOMP_ENOSYS,
	SECCOMP_EPERM,
	SECCOMP_ALLOW,
	SECCOMP_NESTED,	     /* EPERM; allowed in a nested box */
	SECCOMP_CLONE,	     /* new namespaces: as NESTED */
	SECCOMP_UNSHARE,     /* likewise; has CLONE_NEWTIME, which clone does not */
	SECCOMP_SOCKET,	     /* families and protocols that the box has a use for */
	SECCOMP_IOCTL,	     /* all but a few terminal and file system requests */
	SECCOMP_PRCTL,	     /* all but PR_SET_MM */
	SECCOMP_PRLIMIT,     /* not of PID 1 */
	SECCOMP_PERSONALITY, /* Linux itself and what debuggers set */
	SECCOMP_MKNOD,	     /* no devices */
	SECCOMP_MKNODAT,
	SECCOMP_CHOWN, /* these: pretended in single-id mode, else allowed */
	SECCOMP_CHOWNAT,
	SECCOMP_SETGROUPS,
	SECCOMP_SETID1, /* named for the number of ids among the arguments */
	SECCOMP_SETID2,
	SECCOMP_SETID3,
	SECCOMP_RULE_MAX
};

struct seccomp_row {
	char name[24];
	int16_t nr[SECCOMP_ARCH_MAX]; /* -1: this architecture lacks it */
	uint8_t rule;		      /* enum seccomp_rule */
};

enum {
	SECCOMP_NR_LAST = 470, /* the newest call that we know (Linux 6.19) */
	SECCOMP_PROGRAM_MAX = 256
};

extern const struct seccomp_row seccomp_rows[];
extern const size_t seccomp_nrows;

struct seccomp_variant {
	enum seccomp_arch arch;
	_Bool pretend; /* single-id mode: chown and set*id to other ids succeed without effect */
	_Bool nested;  /* namespaces and mounts of its own inside */
};

/*
 * Compile the table for one variant into out[0..cap).  Pure; returns the number of instructions,
 * or -EOVERFLOW when the program does not fit its bounds (which a unit test rules out).
 */
struct sock_filter;
int seccomp_compile(const struct seccomp_variant *v, struct sock_filter *out, size_t cap);

#endif
