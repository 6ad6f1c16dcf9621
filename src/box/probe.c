/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe: can this machine make boxes for this user, and if not, what cures it.
 *
 * A machine can forbid user namespaces in four ways: the limit user.max_user_namespaces, Debian's
 * older kernel.unprivileged_userns_clone, Ubuntu's AppArmor restriction, and a kernel without them.
 * clone3 tells only EPERM, ENOSPC or EINVAL; the switches that are readable tell which it was.
 * box_start makes the namespaces anyway and uses the same explanations, so the probe only reads
 * files.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "box/box_internal.h"

/* First character of a sysctl file, or 0 when there is none. */
static int read_switch(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char c = 0;

	return fd >= 0 && read(fd, &c, 1) == 1 ? c : 0;
}

static const struct {
	const char *path;
	char bad;
	bool for_root;
	const char *why;
	const char *cure;
} switches[] = {
	{ "/proc/sys/user/max_user_namespaces", '0', true,
	  "user namespaces: switched off (user.max_user_namespaces is 0)",
	  "sudo sysctl -w user.max_user_namespaces=15000" },
	{ "/proc/sys/kernel/unprivileged_userns_clone", '0', false,
	  "user namespaces: forbidden for ordinary users (kernel.unprivileged_userns_clone is 0)",
	  "sudo sysctl -w kernel.unprivileged_userns_clone=1" },
	{ "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", '1', false,
	  "user namespaces: restricted by AppArmor "
	  "(kernel.apparmor_restrict_unprivileged_userns is 1)",
	  "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" },
};

static int check_switches(struct err *e)
{
	bool root = geteuid() == 0;

	for (size_t i = 0; i < ARRAY_SIZE(switches); i++) {
		if (root && !switches[i].for_root)
			continue;
		if (read_switch(switches[i].path) == switches[i].bad) {
			err_set(e, ERR_HOST, EPERM, "%s", switches[i].why);
			return err_hint(e, "%s", switches[i].cure);
		}
	}
	return 0;
}

int probe_explain_userns(int code, struct err *e)
{
	if (check_switches(e) < 0)
		return e ? e->code : -code;
	switch (code) {
	case EPERM:
		err_set(e, ERR_HOST, EPERM, "user namespaces: not permitted here");
		return err_hint(e, "inside a container or a chroot, run Ward on the host instead");
	case ENOSPC:
		err_set(e, ERR_HOST, ENOSPC, "user namespaces: the limit is reached");
		return err_hint(e, "sudo sysctl -w user.max_user_namespaces=15000");
	case EAGAIN:
		err_set(e, ERR_HOST, EAGAIN, "process limit: this user has too many processes");
		return err_hint(e, "ulimit -u, or end some programs");
	case EINVAL:
	case ENOSYS:
		err_set(e, ERR_HOST, code, "user namespaces: this kernel has none");
		return err_hint(e, "use a kernel built with CONFIG_USER_NS");
	default:
		errno = code;
		return err_sys(e, "user namespaces");
	}
}

enum { KERNEL_MAJOR = 5, KERNEL_MINOR = 15 };

/* The number that *p begins with; 0 when there is none. */
static uint64_t leading_number(const char **p)
{
	size_t n = strspn(*p, "0123456789");
	auto_free char *digits = xstrndup(*p, n);
	uint64_t v = 0;

	*p += n;
	return text_u64(digits, UINT32_MAX, &v) == 0 ? v : 0;
}

static int check_kernel(struct err *e)
{
	struct utsname u;
	const char *p = u.release;
	uint64_t major;
	uint64_t minor;

	if (uname(&u) < 0)
		return err_sys(e, "kernel version");
	major = leading_number(&p);
	minor = *p == '.' ? (p++, leading_number(&p)) : 0;
	if (major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR))
		return 0;
	err_set(e, ERR_HOST, ENOSYS, "kernel: %s is too old, %d.%d is needed", u.release,
		KERNEL_MAJOR, KERNEL_MINOR);
	return err_hint(e, "upgrade the kernel");
}

static int check_seccomp(struct err *e)
{
	uint32_t action = SECCOMP_RET_ERRNO;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0)
		return 0;
	err_set(e, ERR_HOST, ENOSYS, "seccomp: this kernel has no system call filters");
	return err_hint(e, "use a kernel built with CONFIG_SECCOMP_FILTER");
}

static int check_landlock(struct err *e)
{
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1)
		return 0;
	err_set(e, ERR_HOST, ENOSYS, "landlock: this kernel has it not, or not switched on");
	return err_hint(e, "boot with landlock in the kernel's list of security modules "
			   "(lsm=landlock,...)");
}

/* Overlay may be a module that is loaded on the first mount; only its complete absence is told. */
static int check_namespaces(struct err *e)
{
	static const char *const names[] = { "user", "pid", "mnt", "net", "ipc", "uts", "cgroup" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
		if (access(path, F_OK) < 0) {
			err_set(e, ERR_HOST, ENOSYS, "namespaces: this kernel has no %s namespace",
				names[i]);
			return err_hint(e, "use a kernel built with all namespaces, and mount "
					   "/proc");
		}
	}
	return 0;
}

int box_probe(struct err *e)
{
	int r = check_kernel(e);

	if (r == 0)
		r = check_namespaces(e);
	if (r == 0)
		r = check_switches(e);
	if (r == 0)
		r = check_seccomp(e);
	if (r == 0)
		r = check_landlock(e);
	return r;
}
