/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine: what a program loses before it becomes a program of the box.
 *
 * PID 1 calls confine_make_inner() once.  It makes the inner user namespace, in which every program
 * runs, and puts PID 1 itself into a Landlock domain that handles no file or network right and only
 * scopes signals and abstract sockets.  The domain is PID 1's, and not one per program, because
 * programs of different sessions must be able to signal each other: processes of sibling domains
 * cannot.  It is inherited by everything in the box and still allows mount(2).  It doubles what the
 * PID namespace (signals) and the network namespace (abstract sockets) bound already; kernels
 * before 6.12 have Landlock without scopes, and the two namespaces alone bound both there.  The
 * session keyring is PID 1's for a like reason as the domain.
 *
 * confine_enter() runs in each fresh child of PID 1, one system call after the other, each checked.
 * The order is forced by what each step needs:
 *   - OOM score: the child's uid 0, owner of its files in /proc;
 *   - securebits and bounding set: CAP_SETPCAP;
 *   - seccomp without no_new_privs (which would disarm sudo): CAP_SYS_ADMIN in the user namespace;
 *   - groups, gid, uid: CAP_SETGID and CAP_SETUID, and the filter lets them through;
 *   - capabilities last.
 * Then everything that can be read back is read back, and compared.
 *
 * Invariants: no program is executed with a layer missing; a failure names its layer.  The child
 * stays non-dumpable until execve makes it dumpable again: until then it holds a copy of PID 1's
 * memory and PID 1's close-on-exec descriptors, which a program of the same uid must not reach.
 * No memory is allocated in confine_enter.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/fs.h"
#include "base/mem.h"
#include "box/box.h"

#define BIT(cap) (1ULL << (cap))

#define KEYRING "ward"

enum {
	CAPS_MAX = 64,
	SIGNAL_SET_BYTES = 8,
	OOM_SCORE_ADJ = 500,
	/* root keeps its meaning for sudo; ambient capabilities stay impossible */
	SECUREBITS = SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
		     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED
};

/* linux/landlock.h of Debian 12 ends before `scoped`. */
struct landlock_ruleset {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

/* Set by PID 1 when it enters the Landlock domain; its children inherit memory and domain together.
 */
static enum { SCOPE_NOT_TRIED, SCOPE_ENTERED, SCOPE_UNKNOWN_TO_KERNEL } scope;

uint64_t confine_bounding_set(void)
{
	return BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) |
	       BIT(CAP_KILL) | BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETPCAP) |
	       BIT(CAP_SETFCAP) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SYS_CHROOT) |
	       BIT(CAP_AUDIT_WRITE);
}

/* A nested box makes namespaces and mounts: all of it still inside the inner user namespace. */
static uint64_t bounding_set(bool nested)
{
	uint64_t more = BIT(CAP_SYS_ADMIN) | BIT(CAP_NET_ADMIN) | BIT(CAP_SYS_PTRACE);

	return confine_bounding_set() | (nested ? more : 0);
}

/* --- PID 1: the inner user namespace and the Landlock domain -------------------------------- */

static int landlock_scope(struct err *e)
{
	struct landlock_ruleset r = { .scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET |
						LANDLOCK_SCOPE_SIGNAL };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	auto_close int fd = -1;

	if (abi < 1) {
		err_set(e, ERR_HOST, ENOTSUP,
			"landlock: this kernel has it not, or not switched on");
		return err_hint(e, "boot with landlock in the kernel's list of security modules "
				   "(lsm=landlock,...)");
	}
	if (abi < CONFINE_LANDLOCK_ABI_SCOPE) {
		/* Nothing to enter; `inspect` says so. */
		scope = SCOPE_UNKNOWN_TO_KERNEL;
		return 0;
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &r, sizeof(r), 0);
	if (fd < 0)
		return err_sys(e, "landlock: create a ruleset");
	/* No no_new_privs: CAP_SYS_ADMIN in the user namespace is enough. */
	if (syscall(SYS_landlock_restrict_self, fd, 0) != 0)
		return err_sys(e, "landlock: enter the domain");
	scope = SCOPE_ENTERED;
	return 0;
}

/* Is the session keyring the one that we made? Its description ends in our name. */
static bool own_keyring(void)
{
	static const char name[] = ";" KEYRING;
	char text[128] = "";
	long n = syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, text, sizeof(text));
	size_t len;

	if (n < 0)
		return errno == ENOSYS; /* a kernel without keys has none to protect */
	text[sizeof(text) - 1] = '\0';
	len = strlen(text);
	return len >= strlen(name) && strcmp(text + len - strlen(name), name) == 0;
}

/*
 * A key in the user's session keyring can be read from inside every namespace.  PID 1 leaves it for
 * an empty one, which its children inherit: one for the box and not one a program, because a user
 * may own only 200 keys.
 */
static int leave_keyring(struct err *e)
{
	int r;

	if (own_keyring() || syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, KEYRING) >= 0)
		return 0;
	r = err_sys(e, "session keyring");
	if (r == -EDQUOT)
		(void)err_hint(e, "this user owns too many keys: see /proc/key-users");
	return r;
}

static int write_proc(pid_t pid, const char *name, const char *text, size_t n, struct err *e)
{
	char path[64];
	auto_close int fd = -1;
	ssize_t r;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open %s", path);
	/* The kernel takes a map in one write or not at all. */
	r = write(fd, text, n);
	if (r != (ssize_t)n)
		return err_sys(e, "write %s", path);
	return 0;
}

static int write_maps(const struct box_ids *ids, pid_t pid, struct err *e)
{
	auto_buf uid = BUF_INIT;
	auto_buf gid = BUF_INIT;
	int r;

	box_ids_inner_map(ids->uid, ids->nuid, &uid);
	box_ids_inner_map(ids->gid, ids->ngid, &gid);
	r = write_proc(pid, "uid_map", buf_str(&uid), uid.len, e);
	return r < 0 ? r : write_proc(pid, "gid_map", buf_str(&gid), gid.len, e);
}

/* In the helper child: make the namespace, say so, and live until the other end is closed. */
static _Noreturn void inner_helper(int fd)
{
	char byte;
	int r = unshare(CLONE_NEWUSER) == 0 ? 0 : errno;

	if (write(fd, &r, sizeof(r)) == (ssize_t)sizeof(r))
		while (read(fd, &byte, 1) < 0 && errno == EINTR)
			;
	_exit(0);
}

static int map_inner(const struct box_ids *ids, pid_t pid, int sock, int *ret_fd, struct err *e)
{
	char path[64];
	auto_close int fd = -1;
	int why = EPROTO;
	int r;

	while (read(sock, &why, sizeof(why)) < 0 && errno == EINTR)
		;
	if (why != 0) {
		errno = why;
		return err_sys(e, "unshare");
	}
	r = write_maps(ids, pid, e);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open %s", path);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int confine_make_inner(const struct box_ids *ids, int *ret_fd, struct err *e)
{
	int pair[2];
	auto_close int ns = -1;
	pid_t pid;
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return err_sys(e, "inner user namespace: socketpair");
	pid = fork();
	if (pid == 0) {
		(void)close(pair[0]);
		inner_helper(pair[1]);
	}
	(void)close(pair[1]);
	if (pid < 0)
		r = err_sys(e, "fork");
	else
		r = map_inner(ids, pid, pair[0], &ns, e);
	(void)close(pair[0]);
	if (pid > 0)
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	if (r < 0)
		return err_prefix(e, "inner user namespace");
	r = leave_keyring(e);
	if (r == 0)
		r = landlock_scope(e);
	if (r < 0)
		return r;
	*ret_fd = steal_fd(&ns);
	return 0;
}

/* --- a program's child ---------------------------------------------------------------------- */

/* Dispositions and mask are inherited through execve: a program of the box starts with neither
 * ignored nor blocked signals.  By raw calls, because the C library hides two signals. */
static int reset_signals(struct err *e)
{
	const uint64_t none = 0;
	const unsigned char defaults[64] = { 0 }; /* any kernel's sigaction: SIG_DFL, no flags */

	for (int s = 1; s <= 64; s++) {
		if (s == SIGKILL || s == SIGSTOP)
			continue;
		if (syscall(SYS_rt_sigaction, s, defaults, NULL, SIGNAL_SET_BYTES) != 0)
			return err_sys(e, "signals: default of %d", s);
	}
	if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, SIGNAL_SET_BYTES) != 0)
		return err_sys(e, "signals: mask");
	return 0;
}

/* The kernel should kill a runaway program of the box before anything of the host. */
static int raise_oom_score(struct err *e)
{
	static const char path[] = "/proc/self/oom_score_adj";
	char text[16];
	int n = snprintf(text, sizeof(text), "%d\n", OOM_SCORE_ADJ);
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "OOM score: open %s", path);
	if (write(fd, text, (size_t)n) != n)
		return err_sys(e, "OOM score: write %s", path);
	return 0;
}

/*
 * No core file, and no crash handler of the host: a core_pattern that names a program runs it as
 * the host's root for a limit of 0 too, but never for a limit of 1 (fs/coredump.c keeps that value
 * for it).  A limit that is 0 already cannot be raised and stays.
 */
static int no_core(struct err *e)
{
	struct rlimit now;
	struct rlimit one = { .rlim_cur = 1, .rlim_max = 1 };

	if (getrlimit(RLIMIT_CORE, &now) != 0)
		return err_sys(e, "core limit");
	if (now.rlim_max == 0)
		return 0;
	return setrlimit(RLIMIT_CORE, &one) == 0 ? 0 : err_sys(e, "core limit");
}

static int drop_bounding(uint64_t keep, struct err *e)
{
	if (prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0) != 0)
		return err_sys(e, "securebits");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
		return err_sys(e, "ambient capabilities");
	for (int cap = 0; cap < CAPS_MAX; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (has < 0)
			break; /* beyond the kernel's last one */
		if (has == 0 || (keep & BIT(cap)) != 0)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			return err_sys(e, "bounding set: capability %d", cap);
	}
	return 0;
}

static int install_filter(const struct confine *c, struct err *e)
{
	struct sock_fprog prog;

	seccomp_program(c->ids.mode == BOX_ID_SINGLE, c->nested, &prog);
	/* SPEC_ALLOW: what kernels since 5.16 do anyway; older ones would slow every program. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &prog) !=
	    0)
		return err_sys(e, "seccomp");
	return 0;
}

static int set_ids(const struct confine *c, struct err *e)
{
	gid_t groups[ARRAY_SIZE(c->groups)];

	if (c->ngroups > ARRAY_SIZE(groups))
		return err_set(e, ERR_INPUT, EINVAL, "groups: %u are too many", c->ngroups);
	for (uint32_t i = 0; i < c->ngroups; i++)
		groups[i] = c->groups[i];
	/* With one id the kernel refuses setgroups for good, and the filter pretends. */
	if (syscall(SYS_setgroups, c->ngroups, groups) != 0)
		return err_sys(e, "setgroups");
	if (syscall(SYS_setresgid, c->gid, c->gid, c->gid) != 0)
		return err_sys(e, "setresgid %u", c->gid);
	if (syscall(SYS_setresuid, c->uid, c->uid, c->uid) != 0)
		return err_sys(e, "setresuid %u", c->uid);
	return 0;
}

struct caps {
	uint64_t effective;
	uint64_t permitted;
	uint64_t inheritable;
};

static int caps_call(long nr, struct caps *c)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = {
		{ (uint32_t)c->effective, (uint32_t)c->permitted, (uint32_t)c->inheritable },
		{ (uint32_t)(c->effective >> 32), (uint32_t)(c->permitted >> 32),
		  (uint32_t)(c->inheritable >> 32) },
	};

	if (syscall(nr, &h, d) != 0)
		return -errno;
	c->effective = d[0].effective | (uint64_t)d[1].effective << 32;
	c->permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
	c->inheritable = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
	return 0;
}

/* A kernel may know fewer capabilities than the mask: what it does not know cannot be held. */
static struct caps wanted_caps(const struct confine *c)
{
	uint64_t set = c->uid == 0 ? bounding_set(c->nested) : 0;

	return (struct caps){ .effective = set, .permitted = set };
}

static int set_caps(const struct confine *c, struct err *e)
{
	struct caps want = wanted_caps(c);

	if (caps_call(SYS_capset, &want) != 0)
		return err_sys(e, "capabilities");
	/* Every change of ids or capabilities may have put the host's fs.suid_dumpable there. */
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : err_sys(e, "non-dumpable");
}

static int mismatch(const char *layer, struct err *e)
{
	return err_set(e, ERR_SYSTEM, EPROTO, "%s: not in force after it was set", layer);
}

/* --- reading back --------------------------------------------------------------------------- */

static int check_caps(const struct confine *c, struct err *e)
{
	struct caps want = wanted_caps(c);
	struct caps have = { 0 };

	if (caps_call(SYS_capget, &have) != 0)
		return err_sys(e, "capabilities");
	if (memcmp(&want, &have, sizeof(want)) != 0)
		return mismatch("capabilities", e);
	for (int cap = 0; cap < CAPS_MAX; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (has < 0)
			break;
		if (has == 1 && (bounding_set(c->nested) & BIT(cap)) == 0)
			return mismatch("bounding set", e);
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) != 0)
			return mismatch("ambient capabilities", e);
	}
	if (prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) != SECUREBITS)
		return mismatch("securebits", e);
	return 0;
}

static int check_ids(const struct confine *c, struct err *e)
{
	uid_t uid[3];
	gid_t gid[3];
	gid_t groups[ARRAY_SIZE(c->groups)];
	int n;

	if (getresuid(&uid[0], &uid[1], &uid[2]) != 0 || getresgid(&gid[0], &gid[1], &gid[2]) != 0)
		return err_sys(e, "ids");
	for (int i = 0; i < 3; i++) {
		if (uid[i] != c->uid || gid[i] != c->gid)
			return mismatch("ids", e);
	}
	if (c->ids.mode == BOX_ID_SINGLE)
		return 0; /* the user's own groups cannot be given up there */
	n = getgroups(ARRAY_SIZE(groups), groups);
	if (n != (int)c->ngroups)
		return mismatch("groups", e);
	return 0;
}

static int check_confined(const struct confine *c, struct err *e)
{
	int r;

	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER)
		return mismatch("seccomp", e);
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return mismatch("non-dumpable", e);
	r = check_caps(c, e);
	return r < 0 ? r : check_ids(c, e);
}

static int enter_namespace(int inner_fd, struct err *e)
{
	if (scope == SCOPE_NOT_TRIED)
		return err_set(e, ERR_SYSTEM, EPROTO, "landlock: PID 1 has not entered its domain");
	if (!own_keyring())
		return err_set(e, ERR_SYSTEM, EPROTO, "session keyring: not the box's own");
	if (setns(inner_fd, CLONE_NEWUSER) != 0)
		return err_sys(e, "inner user namespace: setns");
	return 0;
}

int confine_enter(const struct confine *c, int inner_fd, struct err *e)
{
	int r = raise_oom_score(e);

	/* The order is explained above. */
	if (r == 0)
		r = enter_namespace(inner_fd, e);
	if (r == 0)
		r = no_core(e);
	if (r == 0)
		r = reset_signals(e);
	if (r == 0)
		r = drop_bounding(bounding_set(c->nested), e);
	if (r == 0)
		r = install_filter(c, e);
	if (r == 0)
		r = set_ids(c, e);
	if (r == 0)
		r = set_caps(c, e);
	if (r == 0)
		r = check_confined(c, e);
	if (r < 0)
		return err_prefix(e, "confinement");
	(void)umask(022);
	return 0;
}
