/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harden: what the supervisor takes from itself once the box runs.
 *
 * Capabilities: none for an ordinary user's; as real root only what its work needs, to give a pty
 * or pipe to an id of the box and to signal its processes, to publish a port below 1024, what a
 * replaced proxy needs to drop the rest itself, and with credential files to follow, to reach them
 * in the agent's home.
 *
 * Seccomp: a list of what neither it nor a proxy ever calls: other processes' memory, namespaces,
 * mounts, keys, modules, io_uring.  A list of refusals, because the proxy's successors inherit it
 * and bring a list of permissions of their own.
 *
 * Landlock leaves it: writing below the sandbox's directory and its runtime directory; replacing
 * files in the directories that hold the agent's credential files; reading files of Ward's
 * configuration directory, for the network rules; the box's devpts; reading and
 * executing system directories, which only a replaced proxy needs (its loader, libraries, resolver
 * configuration and certificates).  The user's home, other sandboxes and everything else on the
 * host are out of reach, for the proxy's successors as well.  no_new_privs goes with it.
 *
 * Not possible here: network rules (the proxy's successors inherit the domain and must dial) and
 * the signal scope (init was started before).  A kernel without Landlock has been refused by
 * box_probe.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/mem.h"
#include "supervise/supervise_internal.h"

#define READ_ACCESS                                                                                \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE)
#define WRITE_ACCESS                                                                               \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |                              \
	 LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |                          \
	 LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                             \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK)
/* Where credential files are kept: replacing them, and no directory or socket. */
#define STORE_ACCESS                                                                               \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |                              \
	 LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |                          \
	 LANDLOCK_ACCESS_FS_MAKE_REG)
#define FILE_ACCESS                                                                                \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE)
/* Everything of the first ABI: sixth to thirteenth are the kinds of files that can be made. */
#define HANDLED ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static const struct {
	const char *path;
	uint64_t access;
} system_paths[] = {
	{ "/usr", READ_ACCESS },
	{ "/lib", READ_ACCESS },
	{ "/lib64", READ_ACCESS },
	{ "/bin", READ_ACCESS },
	{ "/etc", READ_ACCESS },
	{ "/run/systemd", READ_ACCESS },
	{ "/run/resolvconf", READ_ACCESS },
	{ "/nix/store", READ_ACCESS },
	{ "/proc", READ_ACCESS },
	{ "/dev/null", FILE_ACCESS },
	{ "/dev/urandom", FILE_ACCESS },
};

/* --- Landlock -------------------------------------------------------------------------------- */

static int add_rule(int ruleset, int fd, uint64_t access)
{
	struct landlock_path_beneath_attr a = { .allowed_access = access, .parent_fd = fd };

	return (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &a, 0);
}

static int allow_system(int ruleset, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(system_paths); i++) {
		auto_close int fd = open(system_paths[i].path, O_PATH | O_CLOEXEC);

		if (fd < 0)
			continue; /* absent here: nothing to allow */
		if (add_rule(ruleset, fd, system_paths[i].access) < 0)
			return err_sys(e, "Landlock: %s", system_paths[i].path);
	}
	return 0;
}

static int landlock(struct supervisor *sup, struct err *e)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = HANDLED };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	auto_close int ruleset = -1;
	const struct { /* those with -1 are not there */
		int fd;
		uint64_t access;
		const char *name;
	} own[] = {
		{ SUPERVISOR_FD_DIR, WRITE_ACCESS, "sandbox directory" },
		{ SUPERVISOR_FD_RUN, WRITE_ACCESS, "runtime directory" },
		{ sup->box.devpts_fd, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE,
		  "devpts" },
		{ sup->proxy.exe_fd, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE,
		  "proxy" },
		{ sup->policy.config_fd, LANDLOCK_ACCESS_FS_READ_FILE, "configuration directory" },
		{ sup->policy.target_fd, LANDLOCK_ACCESS_FS_READ_FILE, "policy file" },
		{ sup->ports.exe_fd, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE,
		  "ward-ports" },
	};

	if (abi < 1)
		return err_set(e, ERR_HOST, -ENOSYS, "Landlock: not available");
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return err_sys(e, "Landlock");
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		if (own[i].fd >= 0 && add_rule(ruleset, own[i].fd, own[i].access) < 0)
			return err_sys(e, "Landlock: %s", own[i].name);
	}
	for (size_t i = 0; credentials_store_fd(sup, i) >= 0; i++) {
		if (add_rule(ruleset, credentials_store_fd(sup, i), STORE_ACCESS) < 0)
			return err_sys(e, "Landlock: credentials");
	}
	if (allow_system(ruleset, e) < 0)
		return e->code;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_sys(e, "Landlock");
	sup->landlock_abi = abi;
	sup->landlock = xasprintf("fs, abi %ld", abi);
	return 0;
}

int harden_no_files(struct err *e)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = HANDLED };
	auto_close int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

	if (ruleset < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_sys(e, "Landlock");
	return 0;
}

/* --- capabilities ---------------------------------------------------------------------------- */

int harden_capabilities(uint32_t keep, struct err *e)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { 0 };

	if (geteuid() != 0)
		keep = 0;
	/* The bounding set can be cut by root only; for others no_new_privs makes it void. */
	for (int cap = 0; keep && cap < 64; cap++) {
		if ((cap >= 32 || !(keep & 1U << cap)) &&
		    prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return err_sys(e, "capabilities");
	}
	d[0].permitted = d[0].effective = keep;
	if (syscall(SYS_capset, &h, d) < 0)
		return err_sys(e, "capabilities");
	return 0;
}

static int drop_capabilities(const struct supervisor *sup, struct err *e)
{
	static const int kept[] = { CAP_CHOWN, CAP_KILL, CAP_SETPCAP, CAP_NET_BIND_SERVICE };
	uint32_t keep = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		keep |= 1U << kept[i];
	/* The homes' files belong to ids of the box; Landlock bounds which files that can be. */
	if (sup->credentials)
		keep |= 1U << CAP_DAC_OVERRIDE;
	return harden_capabilities(keep, e);
}

/* --- seccomp --------------------------------------------------------------------------------- */

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#else
#error "no seccomp filter for this architecture"
#endif

static const int refused[] = {
	SYS_ptrace,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_pidfd_getfd,
	SYS_kcmp,
	SYS_unshare,
	SYS_setns,
	SYS_mount,
	SYS_umount2,
	SYS_pivot_root,
	SYS_chroot,
	SYS_fsopen,
	SYS_fsconfig,
	SYS_fsmount,
	SYS_fspick,
	SYS_open_tree,
	SYS_move_mount,
	SYS_mount_setattr,
	SYS_bpf,
	SYS_perf_event_open,
	SYS_userfaultfd,
	SYS_io_uring_setup,
	SYS_io_uring_enter,
	SYS_io_uring_register,
	SYS_add_key,
	SYS_keyctl,
	SYS_request_key,
	SYS_init_module,
	SYS_finit_module,
	SYS_delete_module,
	SYS_kexec_load,
	SYS_swapon,
	SYS_swapoff,
	SYS_reboot,
	SYS_acct,
	SYS_quotactl,
	SYS_syslog,
	SYS_settimeofday,
	SYS_clock_settime,
	SYS_open_by_handle_at,
	SYS_fanotify_init,
	SYS_sethostname,
	SYS_setdomainname,
	SYS_personality,
};
enum { FILTER_FIXED = 6, X32_BIT = 0x40000000 };

static int filter(struct err *e)
{
	struct sock_filter code[ARRAY_SIZE(refused) + FILTER_FIXED] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 0, ARRAY_SIZE(refused) + 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, ARRAY_SIZE(refused) + 1, 0),
	};
	size_t n = 4;
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		uint8_t to_refusal = (uint8_t)(ARRAY_SIZE(refused) - i);

		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							 (uint32_t)refused[i], to_refusal, 0);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return err_sys(e, "seccomp");
	return 0;
}

int supervisor_harden(struct supervisor *sup, struct err *e)
{
	int r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? err_sys(e, "no_new_privs") : 0;

	if (r == 0)
		r = landlock(sup, e);
	if (r == 0)
		r = drop_capabilities(sup, e);
	if (r == 0)
		r = filter(e);
	return r < 0 ? err_prefix(e, "supervisor") : 0;
}
