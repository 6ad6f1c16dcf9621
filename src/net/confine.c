/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine: what the proxy and the relay of ports take away from themselves before they read a byte
 * that a box wrote.
 *
 *   no_new_privs, not dumpable, no core, dies with the supervisor, no other descriptor
 *   no capability, a bounded number of descriptors
 *   Landlock: no file but the resolver's configuration, no signal and no abstract socket outside,
 *             no TCP bind
 *   seccomp:  the system calls of an event loop over sockets; no program, no process, no new
 *             executable memory, no socket but IPv4 and IPv6
 *
 * The relay of ports has no file at all, and neither socket() nor connect(): it has the sockets
 * that it was handed, and cannot turn one of them to another peer.
 *
 * Every layer or no start.  What a kernel's Landlock does not know yet is left out by its ABI
 * number, but Landlock itself must be there.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/fs.h"
#include "base/landlock.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/net_internal.h"

/* Two per connection and per pipe, those of lookups (three each at most), and some. */
enum { NOFILE_MAX = 2 * PROXY_CONNS_MAX + 2 * PIPES_MAX + 1024 };

int confine_early(int wire_fd, struct err *e)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		return err_sys(e, "cannot tie its life to the supervisor's");
	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		return err_sys(e, "cannot become non-dumpable");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_sys(e, "cannot give up new privileges");
	/* splice(2) to a socket that is closed knows no MSG_NOSIGNAL. */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return err_sys(e, "cannot ignore SIGPIPE");
	if (setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }) != 0)
		return err_sys(e, "cannot forbid core files");
	if (syscall(SYS_close_range, (unsigned)wire_fd + 1, ~0U, 0U) != 0)
		return err_sys(e, "cannot close inherited descriptors");
	if (fcntl(wire_fd, F_SETFD, FD_CLOEXEC) != 0)
		return err_sys(e, "no supervisor on descriptor %d", wire_fd);
	return 0;
}

static int limit_descriptors(struct err *e)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return err_sys(e, "cannot read the limit of descriptors");
	if (limit.rlim_max > NOFILE_MAX)
		limit.rlim_max = NOFILE_MAX;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		return err_sys(e, "cannot limit descriptors");
	return 0;
}

static int drop_capabilities(struct err *e)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
	    syscall(SYS_capset, &header, none) != 0)
		return err_sys(e, "cannot drop capabilities");
	return 0;
}

/* --- Landlock -------------------------------------------------------------------------------- */

/*
 * The resolver's file.  A manager below /run replaces it by renaming, so that a rule for today's
 * inode would not let tomorrow's be read: there its directory is the rule.
 */
static int allow_resolver_file(struct landlock *l, const char *path, struct err *e)
{
	auto_free char *real = realpath(path, NULL);
	char *slash;

	if (real == NULL)
		return 0;
	slash = strrchr(real, '/');
	if (text_starts(real, "/run/") && slash > real + strlen("/run"))
		*slash = '\0';
	return landlock_allow_path(l, real, LANDLOCK_ACCESS_FS_READ_FILE, e);
}

static int landlock(enum confine_role role, struct err *e)
{
	auto_landlock l = { .fd = -1 };
	int r = landlock_begin(&l, e);

	if (r == 0 && role == CONFINE_PROXY)
		r = allow_resolver_file(&l, "/etc/resolv.conf", e);
	if (r == 0 && role == CONFINE_PROXY)
		r = allow_resolver_file(&l, "/etc/hosts", e);
	if (r == 0)
		r = landlock_enforce(&l, e);
	return r;
}

/* --- seccomp --------------------------------------------------------------------------------- */

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#else
#error "no seccomp filter for this architecture"
#endif

/* Allowed whatever their arguments are: an event loop over sockets that are there already. */
static const int plain_calls[] = {
	SYS_accept4,	   SYS_brk,
	SYS_clock_gettime, SYS_close,
	SYS_epoll_ctl,	   SYS_epoll_pwait,
	SYS_exit,	   SYS_exit_group,
	SYS_fcntl,	   SYS_futex,
	SYS_getpid,	   SYS_getrandom,
	SYS_getsockopt,	   SYS_gettid,
	SYS_madvise,	   SYS_mremap,
	SYS_munmap,	   SYS_read,
	SYS_readv,	   SYS_recvfrom,
	SYS_recvmsg,	   SYS_restart_syscall,
	SYS_rt_sigaction,  SYS_rt_sigprocmask,
	SYS_rt_sigreturn,  SYS_sendmsg,
	SYS_sendto,	   SYS_setsockopt,
	SYS_pipe2,	   SYS_splice,
	SYS_shutdown,	   SYS_tgkill,
	SYS_write,	   SYS_writev,
#ifdef SYS_epoll_wait
	SYS_epoll_wait,
#endif
};

/* The proxy's alone: connecting, and reading the resolver's configuration. */
static const int proxy_calls[] = {
	SYS_connect, SYS_fstat,	     SYS_getpeername, SYS_getsockname,
	SYS_lseek,   SYS_newfstatat, SYS_openat,      SYS_pread64,
#ifdef SYS_open
	SYS_open,
#endif
#ifdef SYS_stat
	SYS_stat,
#endif
};

/* Allowed when an argument passes a test on its low 32 bits. */
static const struct checked_call {
	int nr;
	unsigned arg;
	uint32_t mask;	   /* of these bits */
	uint32_t equal[2]; /* the argument is one of the two */
} checked_calls[] = {
	{ SYS_mmap, 2, PROT_EXEC, { 0, 0 } },
	{ SYS_mprotect, 2, PROT_EXEC, { 0, 0 } },
	/* The proxy's alone, and so the last one. */
	{ SYS_socket, 0, UINT32_MAX, { AF_INET, AF_INET6 } },
};

enum {
	FILTER_MAX = 8 + 2 * (ARRAY_SIZE(plain_calls) + ARRAY_SIZE(proxy_calls)) +
		     8 * ARRAY_SIZE(checked_calls)
};

struct program {
	struct sock_filter code[FILTER_MAX];
	unsigned short n;
};

static void emit(struct program *p, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	p->code[p->n++] = (struct sock_filter){ .code = code, .jt = jt, .jf = jf, .k = k };
}

static void load(struct program *p, size_t offset)
{
	emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void give(struct program *p, uint32_t action)
{
	emit(p, BPF_RET | BPF_K, action, 0, 0);
}

static void allow(struct program *p, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i], 0, 1);
		give(p, SECCOMP_RET_ALLOW);
	}
}

static void allow_checked(struct program *p, const struct checked_call *c)
{
	/* The low word comes first on the little-endian machines that we build for. */
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)c->nr, 0, 6);
	load(p, offsetof(struct seccomp_data, args) + 8 * c->arg);
	emit(p, BPF_ALU | BPF_AND | BPF_K, c->mask, 0, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, c->equal[0], 2, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, c->equal[1], 1, 0);
	give(p, SECCOMP_RET_ERRNO | EPERM);
	give(p, SECCOMP_RET_ALLOW);
}

/* A list of comparisons: the set is small, and sockets spend their time elsewhere. */
static void build_filter(struct program *p, enum confine_role role)
{
	size_t checked = ARRAY_SIZE(checked_calls) - (role == CONFINE_PROXY ? 0 : 1);

	load(p, offsetof(struct seccomp_data, arch));
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 1, 0);
	give(p, SECCOMP_RET_KILL_PROCESS);
	load(p, offsetof(struct seccomp_data, nr));
	allow(p, plain_calls, ARRAY_SIZE(plain_calls));
	if (role == CONFINE_PROXY)
		allow(p, proxy_calls, ARRAY_SIZE(proxy_calls));
	for (size_t i = 0; i < checked; i++)
		allow_checked(p, &checked_calls[i]);
	/* Starting a program is never a mistake of ours. */
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 1, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 0, 1);
	give(p, SECCOMP_RET_KILL_PROCESS);
	give(p, SECCOMP_RET_ERRNO | EPERM);
}

static int filter_calls(enum confine_role role, struct err *e)
{
	struct program p = { .n = 0 };
	struct sock_fprog prog = { .filter = p.code };

	build_filter(&p, role);
	prog.len = p.n;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) != 0)
		return err_sys(e, "cannot install its system call filter");
	return 0;
}

int confine_final(enum confine_role role, struct err *e)
{
	int r = limit_descriptors(e);

	if (r == 0)
		r = landlock(role, e);
	if (r == 0)
		r = drop_capabilities(e);
	return r == 0 ? filter_calls(role, e) : r;
}
