/* SPDX-License-Identifier: Apache-2.0 */
/*
 * landlock: rule sets for the helpers that read what strangers wrote.
 */
#include "base/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/mem.h"

/* Debian 12's struct ends after the first member; the kernel takes any size that it knows. */
struct landlock_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

/* What each ABI added. */
static const struct {
	int abi;
	uint64_t fs, net, scoped;
} rights[] = {
	{ 1, (1ULL << 13) - 1, 0, 0 },
	{ 2, LANDLOCK_ACCESS_FS_REFER, 0, 0 },
	{ 3, WARD_LANDLOCK_FS_TRUNCATE, 0, 0 },
	{ 4, 0, WARD_LANDLOCK_NET_BIND_TCP, 0 },
	{ 5, WARD_LANDLOCK_FS_IOCTL_DEV, 0, 0 },
	{ 6, 0, 0, LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL },
};

/* Those that a file which is no directory can have. */
static const uint64_t file_rights = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
				    LANDLOCK_ACCESS_FS_READ_FILE | WARD_LANDLOCK_FS_TRUNCATE |
				    WARD_LANDLOCK_FS_IOCTL_DEV;

void landlock_close(struct landlock *l)
{
	fd_closep(&l->fd);
}

int landlock_begin(struct landlock *l, struct err *e)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_attr attr = { 0 };
	size_t size;

	if (abi < 1) {
		err_sys(e, "Landlock is not available");
		return err_hint(e, "boot with landlock in the kernel's list of security modules "
				   "(lsm=landlock,...)");
	}
	for (size_t i = 0; i < ARRAY_SIZE(rights); i++) {
		if (rights[i].abi > abi)
			break;
		attr.handled_access_fs |= rights[i].fs;
		attr.handled_access_net |= rights[i].net;
		attr.scoped |= rights[i].scoped;
	}
	size = abi >= 6	  ? sizeof(attr)
	       : abi >= 4 ? offsetof(struct landlock_attr, scoped)
			  : offsetof(struct landlock_attr, handled_access_net);
	l->fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	l->fs = attr.handled_access_fs;
	return l->fd < 0 ? err_sys(e, "Landlock: cannot make a rule set") : 0;
}

int landlock_allow_fd(struct landlock *l, int fd, uint64_t access, struct err *e)
{
	struct landlock_path_beneath_attr attr = { .allowed_access = access & l->fs,
						   .parent_fd = fd };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "Landlock: cannot examine a file");
	if (!S_ISDIR(st.st_mode))
		attr.allowed_access &= file_rights;
	if (attr.allowed_access == 0)
		return 0;
	if (syscall(SYS_landlock_add_rule, l->fd, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) != 0)
		return err_sys(e, "Landlock: cannot add a rule");
	return 0;
}

int landlock_allow_path(struct landlock *l, const char *path, uint64_t access, struct err *e)
{
	auto_close int fd = open(path, O_PATH | O_CLOEXEC);
	int r = fd < 0 ? 0 : landlock_allow_fd(l, fd, access, e);

	return r < 0 ? err_prefix(e, "%s", path) : 0;
}

int landlock_enforce(struct landlock *l, struct err *e)
{
	if (syscall(SYS_landlock_restrict_self, l->fd, 0) != 0)
		return err_sys(e, "Landlock: cannot confine this process");
	return 0;
}
