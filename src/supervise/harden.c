/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harden: what the supervisor takes from itself once the box runs.
 *
 * Landlock leaves it: writing below the sandbox's directory and its runtime directory; the box's
 * devpts; reading and executing system directories, which only a replaced proxy needs (its loader,
 * libraries, resolver configuration and certificates).  The user's home, other sandboxes and
 * everything else on the host are out of reach, for the proxy's successors as well.  no_new_privs
 * goes with it.
 *
 * Not possible here: network rules (the proxy's successors inherit the domain and must dial) and
 * the signal scope (init was started before).  A kernel without Landlock has been refused by
 * box_probe.
 */
#include <errno.h>
#include <fcntl.h>
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

int supervisor_harden(struct supervisor *sup, struct err *e)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = HANDLED };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	auto_close int ruleset = -1;
	const struct {
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
	};

	if (abi < 1)
		return err_set(e, ERR_HOST, -ENOSYS, "Landlock: not available");
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return err_sys(e, "Landlock");
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		if (add_rule(ruleset, own[i].fd, own[i].access) < 0)
			return err_sys(e, "Landlock: %s", own[i].name);
	}
	if (allow_system(ruleset, e) < 0)
		return e->code;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_sys(e, "Landlock");
	sup->landlock = xasprintf("fs, abi %ld", abi);
	return 0;
}
