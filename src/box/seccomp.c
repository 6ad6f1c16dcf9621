/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp: compile the system call table into the box's filter.
 *
 * The program has three parts: a check of the architecture (32-bit entry points answer ENOSYS), a
 * balanced binary tree over ranges of system call numbers that end in the same place, and the
 * blocks where they end: an answer, or a check of arguments.  x32 numbers and numbers above the
 * table fall off the right end of the tree into ENOSYS.  The tree keeps both loading (the kernel
 * runs every number through the program once for its cache) and checked calls short.
 *
 * Blocks are written as data in `steps`: an assembler with symbolic labels, where a label is the
 * name of a block.  Conditional jumps of classic BPF reach 255 instructions, so the whole program
 * stays below that; seccomp_compile refuses anything longer and seccomp_test compiles every
 * variant.
 *
 * Arguments are compared by their low 32 bits, because that is what the kernel uses of them: a
 * request number with high bits set is the same request.  Nothing behind a pointer can be checked
 * here; calls whose flags are behind a pointer (clone3) answer ENOSYS.
 */
#include <endian.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "box/box.h"
#include "box/seccomp_internal.h"

/* Where the tree and the blocks lead.  The first ones are answers, the others checks. */
enum block {
	NEXT, /* as a label: the following step */
	ALLOW,
	NO_PERMISSION,
	NO_CALL,
	PRETEND, /* 0, without doing anything */
	NO_FAMILY,
	NO_PROTOCOL,
	NO_TYPE,
	CLONE,
	UNSHARE,
	SOCKET,
	SOCKET_NETLINK,
	SOCKET_INET,
	SOCKET_INET_PROTOCOL,
	IOCTL,
	PRCTL,
	PRLIMIT,
	PERSONALITY,
	MKNODAT,
	MKNOD,
	MKNOD_MODE,
	IDS_012, /* argument 0, 1 and 2 are ids */
	IDS_12,
	IDS_2,
	IDS_01,
	IDS_1,
	IDS_23,
	IDS_3,
	IDS_0,
	BLOCK_MAX
};

static const uint32_t answers[] = {
	[ALLOW] = SECCOMP_RET_ALLOW,
	[NO_PERMISSION] = SECCOMP_RET_ERRNO | EPERM,
	[NO_CALL] = SECCOMP_RET_ERRNO | ENOSYS,
	[PRETEND] = SECCOMP_RET_ERRNO | 0,
	[NO_FAMILY] = SECCOMP_RET_ERRNO | EAFNOSUPPORT,
	[NO_PROTOCOL] = SECCOMP_RET_ERRNO | EPROTONOSUPPORT,
	[NO_TYPE] = SECCOMP_RET_ERRNO | ESOCKTNOSUPPORT,
};
#define FIRST_CHECK ARRAY_SIZE(answers)
_Static_assert(FIRST_CHECK == (size_t)CLONE, "answers come first");

enum op {
	ARG,  /* load the low half of argument k */
	MASK, /* keep the bits of k */
	IS,   /* if equal to k, go to the label */
	ANY,  /* if any bit of k is set */
	GO    /* to the label */
};

struct step {
	enum block block; /* the block that starts here, or NEXT inside of one */
	enum op op;
	uint32_t k;
	enum block to;
};

/* Kernel numbers that Debian 12's C library does not have under every name. */
enum {
	CLONE_NEW_ANY = 0x7E020000, /* every CLONE_NEW* of clone(2) */
	CLONE_NEW_TIME = 0x80,	    /* part of the exit signal in clone(2), a flag in unshare(2) */
	TYPE_MASK = 0xf,	    /* of socket(2): SOCK_NONBLOCK and _CLOEXEC are above */
	UNCHANGED = 0xffffffff	    /* (uid_t)-1: leave as it is */
};

/*
 * Single-id mode: an argument that names the one id, or none, is the kernel's business and gets a
 * truthful answer; any other id cannot exist here, and the call succeeds without effect.
 */
#define CHECK_ID(start, arg, then)                                                                 \
	{ start, ARG, arg, NEXT }, { NEXT, IS, 0, then }, { NEXT, IS, UNCHANGED, then },           \
	{                                                                                          \
		NEXT, GO, 0, PRETEND                                                               \
	}

/* clang-format off */
static const struct step steps[] = {
	{ CLONE, ARG, 0, NEXT },
	{ NEXT, ANY, CLONE_NEW_ANY, NO_PERMISSION },
	{ NEXT, GO, 0, ALLOW },

	{ UNSHARE, ARG, 0, NEXT },
	{ NEXT, ANY, CLONE_NEW_ANY | CLONE_NEW_TIME, NO_PERMISSION },
	{ NEXT, GO, 0, ALLOW },

	/* EAFNOSUPPORT, because programs take it for "not in this kernel" and go on without: an
	 * audit or uevent socket that answered EPERM would be an error to them. */
	{ SOCKET, ARG, 0, NEXT },
	{ NEXT, IS, AF_UNIX, ALLOW },
	{ NEXT, IS, AF_INET, SOCKET_INET },
	{ NEXT, IS, AF_INET6, SOCKET_INET },
	{ NEXT, IS, AF_NETLINK, SOCKET_NETLINK },
	{ NEXT, GO, 0, NO_FAMILY },
	{ SOCKET_NETLINK, ARG, 2, NEXT },
	{ NEXT, IS, NETLINK_ROUTE, ALLOW },
	{ NEXT, GO, 0, NO_FAMILY },
	/* Raw sockets answer what the kernel answers a user without CAP_NET_RAW.  SOCK_PACKET is
	 * AF_PACKET by another name. */
	{ SOCKET_INET, ARG, 1, NEXT },
	{ NEXT, MASK, TYPE_MASK, NEXT },
	{ NEXT, IS, SOCK_STREAM, SOCKET_INET_PROTOCOL },
	{ NEXT, IS, SOCK_DGRAM, SOCKET_INET_PROTOCOL },
	{ NEXT, IS, SOCK_RAW, NO_PERMISSION },
	{ NEXT, GO, 0, NO_TYPE },
	/* An allowlist: SCTP, DCCP, L2TP, UDP-Lite, SMC and MPTCP are code that the box has no use
	 * for.  Go takes EPROTONOSUPPORT for "no MPTCP here" and uses TCP. */
	{ SOCKET_INET_PROTOCOL, ARG, 2, NEXT },
	{ NEXT, IS, 0, ALLOW },
	{ NEXT, IS, IPPROTO_TCP, ALLOW },
	{ NEXT, IS, IPPROTO_UDP, ALLOW },
	{ NEXT, IS, IPPROTO_ICMP, ALLOW },
	{ NEXT, IS, IPPROTO_ICMPV6, ALLOW },
	{ NEXT, GO, 0, NO_PROTOCOL },

	{ IOCTL, ARG, 1, NEXT },
	{ NEXT, IS, TIOCSTI, NO_PERMISSION },	 /* type into the terminal */
	{ NEXT, IS, 0x541C, NO_PERMISSION },	 /* TIOCLINUX: likewise, on a console */
	{ NEXT, IS, TIOCCONS, NO_PERMISSION },	 /* take over console output */
	{ NEXT, IS, TIOCSETD, NO_PERMISSION },	 /* load a line discipline */
	{ NEXT, IS, FIFREEZE, NO_PERMISSION },
	{ NEXT, IS, FITHAW, NO_PERMISSION },
	{ NEXT, GO, 0, ALLOW },

	{ PRCTL, ARG, 0, NEXT },
	{ NEXT, IS, PR_SET_MM, NO_PERMISSION },
	{ NEXT, GO, 0, ALLOW },

	/* The kernel asks only for the same ids outside, not for the same user namespace: root
	 * inside could take init's descriptors or its processor time, and with them the sweep. */
	{ PRLIMIT, ARG, 0, NEXT },
	{ NEXT, IS, 1, NO_PERMISSION },
	{ NEXT, GO, 0, ALLOW },

	/* ADDR_NO_RANDOMIZE is what gdb and the sanitizers set. */
	{ PERSONALITY, ARG, 0, NEXT },
	{ NEXT, IS, PER_LINUX, ALLOW },
	{ NEXT, IS, PER_LINUX32, ALLOW },
	{ NEXT, IS, UNAME26, ALLOW },
	{ NEXT, IS, UNAME26 | PER_LINUX32, ALLOW },
	{ NEXT, IS, ADDR_NO_RANDOMIZE, ALLOW },
	{ NEXT, IS, 0xffffffff, ALLOW },
	{ NEXT, GO, 0, NO_PERMISSION },

	{ MKNODAT, ARG, 2, NEXT },
	{ NEXT, GO, 0, MKNOD_MODE },
	{ MKNOD, ARG, 1, NEXT },
	{ MKNOD_MODE, MASK, S_IFMT, NEXT },
	{ NEXT, IS, S_IFCHR, NO_PERMISSION },
	{ NEXT, IS, S_IFBLK, NO_PERMISSION },
	{ NEXT, GO, 0, ALLOW },

	CHECK_ID(IDS_012, 0, IDS_12),
	CHECK_ID(IDS_12, 1, IDS_2),
	CHECK_ID(IDS_2, 2, ALLOW),
	CHECK_ID(IDS_01, 0, IDS_1),
	CHECK_ID(IDS_1, 1, ALLOW),
	CHECK_ID(IDS_23, 2, IDS_3),
	CHECK_ID(IDS_3, 3, ALLOW),
	CHECK_ID(IDS_0, 0, ALLOW),
};
/* clang-format on */

static const uint32_t audit_arch[] = {
	[SECCOMP_X86_64] = AUDIT_ARCH_X86_64,
	[SECCOMP_ARM64] = AUDIT_ARCH_AARCH64,
};
_Static_assert(ARRAY_SIZE(audit_arch) == SECCOMP_ARCH_MAX, "every architecture has its number");

/* The block of a rule, by what the variant says. */
struct choice {
	enum block plain;
	enum block nested;
	enum block pretend;
};
static const struct choice choices[] = {
	[SECCOMP_ENOSYS] = { NO_CALL, NO_CALL, NO_CALL },
	[SECCOMP_EPERM] = { NO_PERMISSION, NO_PERMISSION, NO_PERMISSION },
	[SECCOMP_ALLOW] = { ALLOW, ALLOW, ALLOW },
	[SECCOMP_NESTED] = { NO_PERMISSION, ALLOW, NO_PERMISSION },
	[SECCOMP_CLONE] = { CLONE, ALLOW, CLONE },
	[SECCOMP_UNSHARE] = { UNSHARE, ALLOW, UNSHARE },
	[SECCOMP_SOCKET] = { SOCKET, SOCKET, SOCKET },
	[SECCOMP_IOCTL] = { IOCTL, IOCTL, IOCTL },
	[SECCOMP_PRCTL] = { PRCTL, PRCTL, PRCTL },
	[SECCOMP_PRLIMIT] = { PRLIMIT, PRLIMIT, PRLIMIT },
	[SECCOMP_PERSONALITY] = { PERSONALITY, PERSONALITY, PERSONALITY },
	[SECCOMP_MKNOD] = { MKNOD, MKNOD, MKNOD },
	[SECCOMP_MKNODAT] = { MKNODAT, MKNODAT, MKNODAT },
	[SECCOMP_CHOWN] = { ALLOW, ALLOW, IDS_12 },
	[SECCOMP_CHOWNAT] = { ALLOW, ALLOW, IDS_23 },
	[SECCOMP_SETGROUPS] = { ALLOW, ALLOW, PRETEND },
	[SECCOMP_SETID1] = { ALLOW, ALLOW, IDS_0 },
	[SECCOMP_SETID2] = { ALLOW, ALLOW, IDS_01 },
	[SECCOMP_SETID3] = { ALLOW, ALLOW, IDS_012 },
};
_Static_assert(ARRAY_SIZE(choices) == SECCOMP_RULE_MAX, "every rule has its blocks");

static enum block rule_block(const struct seccomp_variant *v, unsigned rule)
{
	const struct choice *c = &choices[rule];

	/* No rule depends on both. */
	if (v->nested && c->nested != c->plain)
		return c->nested;
	return v->pretend ? c->pretend : c->plain;
}

/* Numbers from .first up to the next range's go to .block. */
struct range {
	uint16_t first;
	uint8_t block;
};

/* Expand the table by number and join neighbours that agree.  Returns the number of ranges. */
static size_t make_ranges(const struct seccomp_variant *v, struct range *out)
{
	uint8_t by_nr[SECCOMP_NR_LAST + 2];
	size_t n = 0;

	/* What the table does not know does not exist, and so does everything above it. */
	memset(by_nr, NO_CALL, sizeof(by_nr));
	for (size_t i = 0; i < seccomp_nrows; i++) {
		int nr = seccomp_rows[i].nr[v->arch];

		if (nr >= 0 && nr <= SECCOMP_NR_LAST)
			by_nr[nr] = (uint8_t)rule_block(v, seccomp_rows[i].rule);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(by_nr); i++) {
		if (n > 0 && out[n - 1].block == by_nr[i])
			continue;
		out[n++] = (struct range){ .first = (uint16_t)i, .block = by_nr[i] };
	}
	return n;
}

/* The program while it is written.  Jumps to blocks are filled in when the blocks have places. */
struct writer {
	struct sock_filter *out;
	size_t cap;
	size_t n;
	bool overflow;
	uint8_t to_true[SECCOMP_PROGRAM_MAX]; /* block that the jump leads to; NEXT: settled */
	uint8_t to_false[SECCOMP_PROGRAM_MAX];
	size_t place[BLOCK_MAX];
};

static size_t put(struct writer *w, uint16_t code, uint32_t k, enum block t, enum block f)
{
	size_t at = w->n;

	if (at >= w->cap || at >= SECCOMP_PROGRAM_MAX) {
		w->overflow = true;
		return 0;
	}
	w->out[at] = (struct sock_filter){ .code = code, .k = k };
	w->to_true[at] = (uint8_t)t;
	w->to_false[at] = (uint8_t)f;
	w->n++;
	return at;
}

static uint8_t distance(struct writer *w, size_t from, size_t to)
{
	size_t d = to - from - 1;

	if (to <= from || d > UINT8_MAX)
		w->overflow = true;
	return (uint8_t)d;
}

/*
 * The tree, in preorder: each node asks "is nr >= the first number of the upper half?".  The stack
 * holds the halves still to write and the instruction whose jump leads there; its depth is the
 * tree's, at most log2 of the number of ranges plus one.
 */
static void put_tree(struct writer *w, const struct range *r, size_t n)
{
	struct {
		size_t lo, hi, from;
		bool if_true;
	} stack[16], job;
	size_t depth = 0;

	stack[depth++] = (__typeof__(job)){ 0, n, SIZE_MAX, false };
	while (depth > 0 && !w->overflow) {
		size_t mid, at;

		job = stack[--depth];
		mid = job.lo + (job.hi - job.lo) / 2;
		if (job.hi - job.lo == 1) {
			if (job.if_true)
				w->to_true[job.from] = r[job.lo].block;
			else /* an unconditional jump that is filled in like the others */
				w->to_false[job.from] = r[job.lo].block;
			continue;
		}
		at = put(w, BPF_JMP | BPF_JGE | BPF_K, r[mid].first, NEXT, NEXT);
		if (job.from != SIZE_MAX && job.if_true)
			w->out[job.from].jt = distance(w, job.from, at);
		else if (job.from != SIZE_MAX)
			w->out[job.from].jf = distance(w, job.from, at);
		if (depth + 2 > ARRAY_SIZE(stack)) {
			w->overflow = true;
			return;
		}
		stack[depth++] = (__typeof__(job)){ mid, job.hi, at, true };
		stack[depth++] = (__typeof__(job)){ job.lo, mid, at, false };
	}
}

static void put_step(struct writer *w, const struct step *s)
{
	/* The low half of a 64-bit argument, whatever the byte order. */
	uint32_t low = __BYTE_ORDER == __LITTLE_ENDIAN ? 0 : sizeof(uint32_t);

	switch (s->op) {
	case ARG:
		put(w, BPF_LD | BPF_W | BPF_ABS,
		    (uint32_t)offsetof(struct seccomp_data, args) + s->k * 8 + low, NEXT, NEXT);
		break;
	case MASK:
		put(w, BPF_ALU | BPF_AND | BPF_K, s->k, NEXT, NEXT);
		break;
	case IS:
		put(w, BPF_JMP | BPF_JEQ | BPF_K, s->k, s->to, NEXT);
		break;
	case ANY:
		put(w, BPF_JMP | BPF_JSET | BPF_K, s->k, s->to, NEXT);
		break;
	case GO:
		if ((size_t)s->to < FIRST_CHECK)
			put(w, BPF_RET | BPF_K, answers[s->to], NEXT, NEXT);
		else /* an unconditional jump that is filled in like the others */
			put(w, BPF_JMP | BPF_JEQ | BPF_K, 0, s->to, s->to);
		break;
	}
}

/* Checks in the order of the table, then the answers: jumps only lead forward. */
static void put_blocks(struct writer *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		if (steps[i].block != NEXT)
			w->place[steps[i].block] = w->n;
		put_step(w, &steps[i]);
	}
	for (unsigned b = ALLOW; b < FIRST_CHECK; b++) {
		w->place[b] = w->n;
		put(w, BPF_RET | BPF_K, answers[b], NEXT, NEXT);
	}
}

int seccomp_compile(const struct seccomp_variant *v, struct sock_filter *out, size_t cap)
{
	struct writer w = { .out = out, .cap = cap };
	struct range ranges[SECCOMP_NR_LAST + 2];

	put(&w, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), NEXT, NEXT);
	put(&w, BPF_JMP | BPF_JEQ | BPF_K, audit_arch[v->arch], NEXT, NO_CALL);
	put(&w, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), NEXT, NEXT);
	put_tree(&w, ranges, make_ranges(v, ranges));
	put_blocks(&w);
	for (size_t i = 0; i < w.n; i++) {
		if (w.to_true[i] != NEXT)
			out[i].jt = distance(&w, i, w.place[w.to_true[i]]);
		if (w.to_false[i] != NEXT)
			out[i].jf = distance(&w, i, w.place[w.to_false[i]]);
	}
	return w.overflow ? -EOVERFLOW : (int)w.n;
}

void seccomp_program(bool pretend, bool nested, struct sock_fprog *ret)
{
	static struct sock_filter program[2][2][SECCOMP_PROGRAM_MAX];
	static unsigned short length[2][2];
	struct seccomp_variant v = {
#if defined(__x86_64__)
		.arch = SECCOMP_X86_64,
#elif defined(__aarch64__)
		.arch = SECCOMP_ARM64,
#else
#error "Ward's system call table knows x86-64 and arm64"
#endif
		.pretend = pretend,
		.nested = nested,
	};

	if (length[pretend][nested] == 0) {
		int n = seccomp_compile(&v, program[pretend][nested], SECCOMP_PROGRAM_MAX);

		/* A length of zero: seccomp(2) refuses it, and nothing starts without a filter. */
		length[pretend][nested] = (unsigned short)(n < 0 ? 0 : n);
	}
	ret->len = length[pretend][nested];
	ret->filter = program[pretend][nested];
}
