/* SPDX-License-Identifier: Apache-2.0 */
/*
 * helper_confine: see helper_confine.h.
 *
 *   chroot, where the job has a directory of its own: nothing else has a name any more
 *   Landlock (from ABI 2 on, which knows links between directories): what the rules say; no
 *     executing, no sockets, no devices
 *   capabilities: those over owners, modes and file capabilities of the namespace's own ids
 *   no_new_privs; seccomp: the system calls of reading and placing files, no sockets, no processes,
 *     no new executable memory
 *   limits of memory, descriptors and file size
 */
#include "image/helper_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/call_filter.h"
#include "base/compat.h"
#include "base/mem.h"

enum { MEMORY_MAX = 192 << 20, DESCRIPTORS_MAX = 128 };

static int limits(const struct helper_confine *c, struct err *e)
{
	const struct {
		int resource;
		rlim_t value;
	} table[] = {
		{ RLIMIT_AS, MEMORY_MAX },
		{ RLIMIT_NOFILE, DESCRIPTORS_MAX },
		{ RLIMIT_FSIZE, c->file_size },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct rlimit l = { table[i].value, table[i].value };

		if (setrlimit((__rlimit_resource_t)table[i].resource, &l) != 0)
			return err_sys(e, "ward-image: limits");
	}
	signal(SIGXFSZ, SIG_IGN);
	return 0;
}

static int enter(int root_fd, struct err *e)
{
	umask(0);
	if (root_fd >= 0 && (fchdir(root_fd) != 0 || chroot(".") != 0))
		return err_sys(e, "ward-image: cannot enter the directory");
	return 0;
}

static int landlock(const struct helper_confine *c, struct err *e)
{
	/* Everything that ABI 2 knows: its rights are the lowest bits. */
	const struct landlock_ruleset_attr attr = { .handled_access_fs =
							    (LANDLOCK_ACCESS_FS_REFER << 1) - 1 };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	auto_close int ruleset = -1;

	/* ABI 1 forbids every link into another directory. */
	if (abi < 2)
		return 0;
	ruleset =
		(int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
	if (ruleset < 0)
		return err_sys(e, "ward-image: Landlock");
	for (size_t i = 0; i < c->nrules; i++) {
		const struct landlock_path_beneath_attr rule = { .allowed_access =
									 c->rules[i].access,
								 .parent_fd = c->rules[i].fd };

		if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) !=
		    0)
			return err_sys(e, "ward-image: Landlock rule");
	}
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		return err_sys(e, "ward-image: Landlock");
	return 0;
}

static int capabilities(struct err *e)
{
	static const unsigned kept[] = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID,
					 CAP_SETFCAP };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	uint32_t mask[2] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		mask[kept[i] / 32] |= 1U << kept[i] % 32;
	if (syscall(SYS_capget, &header, data) != 0)
		return err_sys(e, "ward-image: capabilities");
	for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
		data[i].permitted &= mask[i];
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data) != 0)
		return err_sys(e, "ward-image: capabilities");
	return 0;
}

/* --- system calls ----------------------------------------------------------------------------- */

static const int calls[] = {
	SYS_brk,	SYS_clock_gettime,   SYS_close,	       SYS_exit,	   SYS_exit_group,
	SYS_faccessat,	SYS_faccessat2,	     SYS_fchmod,       SYS_fchmodat,	   SYS_fdatasync,
	SYS_pread64,	SYS_renameat,	     SYS_renameat2,    SYS_fchown,	   SYS_fchownat,
	SYS_fcntl,	SYS_fsetxattr,	     SYS_fstat,	       SYS_ftruncate,	   SYS_futex,
	SYS_getdents64, SYS_getpid,	     SYS_getrandom,    SYS_getrusage,	   SYS_gettid,
	SYS_linkat,	SYS_lseek,	     SYS_madvise,      SYS_mkdirat,	   SYS_mknodat,
	SYS_mremap,	SYS_munmap,	     SYS_newfstatat,   SYS_openat,	   SYS_openat2,
	SYS_read,	SYS_restart_syscall, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,
	SYS_statx,	SYS_symlinkat,	     SYS_tgkill,       SYS_unlinkat,	   SYS_utimensat,
	SYS_write,	SYS_fgetxattr,	     SYS_flistxattr,   SYS_readlinkat,
};

static int filter(struct err *e)
{
	const struct call_table table = { .calls = calls, .ncalls = ARRAY_SIZE(calls) };

	return call_filter_enforce(&table, 1, true, e);
}

int helper_confine(const struct helper_confine *c, struct err *e)
{
	int r;

	/* Its configuration file has no name afterwards. */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    syscall(SYS_close_range, (unsigned)c->last_fd + 1, ~0U, 0U) != 0)
		return err_sys(e, "ward-image: cannot confine itself");
	r = limits(c, e);
	if (r == 0)
		r = enter(c->root_fd, e);
	if (r == 0)
		r = landlock(c, e);
	if (r == 0)
		r = capabilities(e);
	if (r == 0 && c->start)
		r = c->start(c->arg, e);
	return r == 0 ? filter(e) : r;
}
