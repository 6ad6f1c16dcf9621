/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_confine: what ward-registry gives up before it connects to anybody.
 *
 *   no_new_privs, no capability, bounded memory, descriptors and files
 *   Landlock: it reads what name resolution and TLS need, reads and writes the blob directory, and
 *             starts no program; no signal and no abstract socket outside
 *   seccomp:  the system calls of files, threads and connections; no program, no other process, no
 *             new executable memory, no socket but IPv4 and IPv6
 *
 * Without Unix sockets no service of this machine can be talked to: a bus of the user's session
 * starts programs. Name services that are reached by one (nscd, systemd-resolved's own) are not
 * asked; where they are configured, the C library goes on to DNS.
 *
 * What a kernel's Landlock does not know yet is left out by its ABI number, but Landlock itself
 * must be there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/call_filter.h"
#include "base/compat.h"
#include "base/landlock.h"
#include "base/mem.h"
#include "image/registry_internal.h"

enum { DESCRIPTORS_MAX = 256 };
#define MEMORY_MAX ((rlim_t)1 << 30)

/* Of the resolver and its modules, of TLS, and of the C library. */
static const char *const readable[] = {
	"/etc/resolv.conf",
	"/etc/hosts",
	"/etc/nsswitch.conf",
	"/etc/host.conf",
	"/etc/gai.conf",
	"/etc/services",
	"/etc/protocols",
	"/etc/ld.so.cache",
	"/etc/ssl",
	"/etc/pki",
	"/etc/ca-certificates",
	"/etc/crypto-policies",
	"/etc/localtime",
	"/lib",
	"/lib64",
	"/usr/lib",
	"/usr/lib64",
	"/usr/local/lib",
	"/usr/share/ca-certificates",
	"/usr/share/zoneinfo",
	"/usr/local/share/ca-certificates",
	"/run/systemd/resolve",
	"/run/NetworkManager",
	"/run/resolvconf",
	"/run/nscd",
	"/dev/urandom",
	"/dev/null",
};

static int limits(struct err *e)
{
	const struct {
		int resource;
		rlim_t value;
	} table[] = {
		{ RLIMIT_DATA, MEMORY_MAX },
		{ RLIMIT_NOFILE, DESCRIPTORS_MAX },
		{ RLIMIT_FSIZE, IMAGE_BLOB_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct rlimit l;

		if (getrlimit((__rlimit_resource_t)table[i].resource, &l) != 0)
			return err_sys(e, "registry: limits");
		if (l.rlim_max > table[i].value)
			l.rlim_max = table[i].value;
		l.rlim_cur = l.rlim_max;
		if (setrlimit((__rlimit_resource_t)table[i].resource, &l) != 0)
			return err_sys(e, "registry: limits");
	}
	signal(SIGXFSZ, SIG_IGN);
	return 0;
}

static int drop_capabilities(struct err *e)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
	    syscall(SYS_capset, &header, none) != 0)
		return err_sys(e, "registry: cannot drop capabilities");
	return 0;
}

static int landlock(const struct registry_store *s, bool writes, struct err *e)
{
	const uint64_t reads = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	const uint64_t adds = reads | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
			      LANDLOCK_ACCESS_FS_REMOVE_FILE | WARD_LANDLOCK_FS_TRUNCATE;
	auto_landlock l = { .fd = -1 };
	int r = landlock_begin(&l, e);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(readable); i++)
		r = landlock_allow_path(&l, readable[i], reads, e);
	if (r == 0)
		r = landlock_allow_fd(&l, s->blobs, writes ? adds : reads, e);
	return r == 0 ? landlock_enforce(&l, e) : r;
}

/* --- system calls ------------------------------------------------------------------------------
 */

/* Allowed whatever their arguments are. Which files and flags is for Landlock to say. */
static const int calls[] = {
	/* Memory, time, threads, the end. */
	SYS_brk,
	SYS_clock_gettime,
	SYS_clock_nanosleep,
	SYS_exit,
	SYS_exit_group,
	SYS_futex,
	SYS_getpid,
	SYS_getrandom,
	SYS_gettid,
	SYS_gettimeofday,
	SYS_madvise,
	SYS_mremap,
	SYS_munmap,
	SYS_nanosleep,
	SYS_restart_syscall,
	SYS_rseq,
	SYS_rt_sigaction,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_sched_yield,
	SYS_set_robust_list,
	SYS_sysinfo,
	SYS_tgkill,
	/* Who we are: the C library asks before it believes the environment, and for our domain. */
	SYS_getegid,
	SYS_geteuid,
	SYS_getgid,
	SYS_getuid,
	SYS_uname,
	/* Files. */
	SYS_close,
	SYS_faccessat,
	SYS_faccessat2,
	SYS_fchmod,
	SYS_fcntl,
	SYS_fdatasync,
	SYS_fstat,
	SYS_fsync,
	SYS_ftruncate,
	SYS_getdents64,
	SYS_lseek,
	SYS_newfstatat,
	SYS_openat,
	SYS_openat2,
	SYS_pread64,
	SYS_read,
	SYS_readlinkat,
	SYS_readv,
	SYS_renameat,
	SYS_renameat2,
	SYS_statx,
	SYS_sync_file_range,
	SYS_unlinkat,
	SYS_write,
	SYS_writev,
	/* Connections. */
	SYS_connect,
	SYS_epoll_create1,
	SYS_epoll_ctl,
	SYS_epoll_pwait,
	SYS_eventfd2,
	SYS_getpeername,
	SYS_getsockname,
	SYS_getsockopt,
	SYS_pipe2,
	SYS_ppoll,
	SYS_pselect6,
	SYS_recvfrom,
	SYS_recvmsg,
	SYS_sendmmsg,
	SYS_sendmsg,
	SYS_sendto,
	SYS_setsockopt,
	SYS_shutdown,
	SYS_socketpair,
/* The older ones, which not every architecture has. */
#ifdef SYS_open
	SYS_access,
	SYS_epoll_wait,
	SYS_lstat,
	SYS_open,
	SYS_pipe,
	SYS_poll,
	SYS_readlink,
	SYS_rename,
	SYS_select,
	SYS_stat,
	SYS_time,
	SYS_unlink,
#endif
};

/* clone(2) makes a thread of this process, in the namespaces that it is in. */
#define CLONE_IS_THREAD (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)
#define CLONE_NEW_ANY                                                                              \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

static const struct call_check checks[] = {
	{ SYS_clone, 0, CLONE_IS_THREAD | CLONE_NEW_ANY, CLONE_IS_THREAD },
	{ SYS_socket, 0, UINT32_MAX, AF_INET },
	{ SYS_socket, 0, UINT32_MAX, AF_INET6 },
	/* How large an answer is. */
	{ SYS_ioctl, 1, UINT32_MAX, FIONREAD },
	{ SYS_ioctl, 1, UINT32_MAX, FIONBIO },
};

static int filter(struct err *e)
{
	const struct call_table table = { .calls = calls,
					  .ncalls = ARRAY_SIZE(calls),
					  .checks = checks,
					  .nchecks = ARRAY_SIZE(checks) };

	return call_filter_enforce(&table, 1, true, e);
}

int registry_confine(const struct registry_store *s, bool writes, struct err *e)
{
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_sys(e, "registry: cannot give up new privileges");
	r = limits(e);
	if (r == 0)
		r = landlock(s, writes, e);
	if (r == 0)
		r = drop_capabilities(e);
	return r == 0 ? filter(e) : r;
}
