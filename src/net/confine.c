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
 *             executable memory, no socket but IPv4 and IPv6 and pairs of its own
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
#include <linux/capability.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/call_filter.h"
#include "base/compat.h"
#include "base/fs.h"
#include "base/landlock.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/net_internal.h"

/* Two per connection (four when there is TLS to a company's proxy) and two per pipe, those of
 * lookups (three each at most), and some. */
enum { NOFILE_MAX = 4 * PROXY_CONNS_MAX + 2 * PIPES_MAX + 1024 };

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

static const struct call_check proxy_checks[] = {
	{ SYS_socket, 0, UINT32_MAX, AF_INET },
	{ SYS_socket, 0, UINT32_MAX, AF_INET6 },
	{ SYS_socketpair, 0, UINT32_MAX, AF_UNIX },
};

static int filter_calls(enum confine_role role, struct err *e)
{
	static const struct call_table tables[] = {
		{ .calls = plain_calls, .ncalls = ARRAY_SIZE(plain_calls) },
		/* The proxy's alone. */
		{ .calls = proxy_calls,
		  .ncalls = ARRAY_SIZE(proxy_calls),
		  .checks = proxy_checks,
		  .nchecks = ARRAY_SIZE(proxy_checks) },
	};

	return call_filter_enforce(tables, role == CONFINE_PROXY ? 2 : 1, false, e);
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
