/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files: mounts, masks, device nodes, races on paths.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "attack.h"

/* --- mounts ------------------------------------------------------------------------------------
 */

struct mount_try {
	const char *what;
	const char *source, *target, *type;
	unsigned long flags;
};

static long try_mount(const void *arg)
{
	const struct mount_try *t = arg;

	return mount(t->source, t->target, t->type, t->flags, NULL);
}

static long try_umount(const void *arg)
{
	return umount2(arg, MNT_DETACH);
}

static long try_pivot(const void *arg)
{
	return syscall(SYS_pivot_root, arg, arg);
}

/* The new interface, step by step: a detached tmpfs would be enough to go on. */
static long try_fsopen(const void *arg)
{
	long fs = syscall(430, arg, 0);

	if (fs < 0 || syscall(431, fs, 6, 0, 0, 0) < 0)
		return -1;
	return syscall(432, fs, 0, 0);
}

static long try_open_tree(const void *arg)
{
	return syscall(428, AT_FDCWD, arg, 1);
}

/* The classic way out of a chroot: root moves its root below its directory. */
static long try_chroot(const void *arg)
{
	struct stat root;

	if (mkdir("/tmp/.attack-root", 0700) != 0 && errno != EEXIST)
		return -1;
	if (chroot("/tmp/.attack-root") != 0)
		return -1;
	for (int i = 0; i < 64; i++)
		if (chdir("..") != 0)
			return -1;
	if (chroot(".") != 0)
		return -1;
	if (stat(arg, &root) == 0) {
		printf("found %s by chroot\n", (const char *)arg);
		fflush(stdout);
		return 0;
	}
	errno = ENOENT;
	return -1;
}

static int mounts(int argc, char **argv)
{
	static const struct mount_try tries[] = {
		{ "mount tmpfs", "x", "/tmp", "tmpfs", 0 },
		{ "mount proc", "x", "/tmp", "proc", 0 },
		{ "bind", "/", "/tmp", NULL, MS_BIND | MS_REC },
		{ "remount /sys", NULL, "/sys", NULL, MS_REMOUNT | MS_BIND },
		{ "remount /proc/sys", NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND },
		{ "remount /", NULL, "/", NULL, MS_REMOUNT | MS_BIND },
		{ "move /proc", "/proc", "/tmp", NULL, MS_MOVE },
		{ "share /", NULL, "/", NULL, MS_SHARED | MS_REC },
	};
	static const char *const targets[] = { "/proc",	    "/sys",	     "/proc/kcore",
					       "/proc/sys", "/sys/firmware", "/dev/pts",
					       "/dev" };
	char what[64];
	int worked = 0;

	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
		worked += report(tries[i].what, in_child(try_mount, &tries[i]));
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		(void)snprintf(what, sizeof(what), "umount %s", targets[i]);
		worked += report(what, in_child(try_umount, targets[i]));
	}
	worked += report("pivot_root", in_child(try_pivot, "."));
	worked += report("fsopen", in_child(try_fsopen, "tmpfs"));
	worked += report("open_tree", in_child(try_open_tree, "/"));
	if (argc > 1)
		worked += report("chroot", in_child(try_chroot, argv[1]));
	return worked > 0 ? 0 : 1;
}

/* --- masks: what the host's kernel would tell or take --------------------------------------------
 */

static void try_read(const char *path)
{
	char some[64];
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, some, sizeof(some));

	if (n > 0)
		printf("read %s: content\n", path);
	else
		printf("read %s: %s\n", path, n == 0 ? "empty" : answer(-1));
	if (fd >= 0)
		close(fd);
}

static void try_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	printf("write %s: %s\n", path, answer(n));
	if (fd >= 0)
		close(fd);
}

static int masks(int argc, char **argv)
{
	static const char *const secret[] = {
		"/proc/kcore",
		"/proc/keys",
		"/proc/timer_list",
		"/proc/sched_debug",
		"/proc/latency_stats",
		"/proc/kpagecount",
		"/proc/kmsg",
		"/proc/acpi",
		"/proc/scsi/scsi",
		"/sys/firmware/dmi/tables/DMI",
		"/sys/kernel/debug/sleep_time",
		"/sys/kernel/tracing/trace",
		"/dev/kmsg",
		"/dev/mem",
		"/sys/kernel/security/lsm",
		"/sys/devices/virtual/dmi/id/product_uuid",
	};
	static const struct {
		const char *path, *text;
	} writes[] = {
		{ "/proc/sys/kernel/core_pattern", "|/bin/attack" },
		{ "/proc/sys/kernel/modprobe", "/bin/attack" },
		{ "/proc/sys/kernel/hotplug", "/bin/attack" },
		{ "/proc/sys/kernel/hostname", "attacked" },
		{ "/proc/sys/vm/drop_caches", "0" },
		{ "/proc/sys/user/max_user_namespaces", "100" },
		{ "/proc/sys/fs/binfmt_misc/register", ":x:M::x::/bin/attack:" },
		{ "/proc/sysrq-trigger", "?" },
		{ "/sys/kernel/uevent_helper", "/bin/attack" },
		{ "/sys/fs/cgroup/cgroup.procs", "0" },
		{ "/sys/fs/cgroup/release_agent", "/bin/attack" },
	};

	(void)argc;
	(void)argv;
	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
		try_read(secret[i]);
	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++)
		try_write(writes[i].path, writes[i].text);
	return 0;
}

/* --- nodes ---------------------------------------------------------------------------------------
 */

static int nodes(int argc, char **argv)
{
	static const struct {
		const char *name;
		mode_t type;
		unsigned major, minor;
	} kinds[] = {
		{ "mem", S_IFCHR, 1, 1 },   { "kmsg", S_IFCHR, 1, 11 }, { "disk", S_IFBLK, 8, 0 },
		{ "vda", S_IFBLK, 254, 0 }, { "null", S_IFCHR, 1, 3 },
	};
	char path[512], what[64];
	int worked = 0;

	if (argc < 2)
		return 2;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/attack-%s", argv[1], kinds[i].name);
		(void)snprintf(what, sizeof(what), "mknod %s", kinds[i].name);
		worked += report(what, mknod(path, kinds[i].type | 0600,
					     makedev(kinds[i].major, kinds[i].minor)));
		if (access(path, F_OK) == 0) {
			int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);

			report("open it", fd);
			if (fd >= 0)
				close(fd);
		}
		unlink(path);
	}
	(void)snprintf(path, sizeof(path), "%s/attack-fifo", argv[1]);
	report("mkfifo", mkfifo(path, 0600));
	unlink(path);
	return worked > 0 ? 0 : 1;
}

/* Is PATH this character device, and nothing else? */
static int is_device(int argc, char **argv)
{
	struct stat st;
	unsigned want[2] = { 0, 0 };

	if (argc < 3 || sscanf(argv[2], "%u:%u", &want[0], &want[1]) != 2)
		return 2;
	if (lstat(argv[1], &st) != 0) {
		report(argv[1], -1);
		return 1;
	}
	printf("%s: %s %u:%u\n", argv[1], S_ISCHR(st.st_mode) ? "char" : "other", major(st.st_rdev),
	       minor(st.st_rdev));
	return S_ISCHR(st.st_mode) && major(st.st_rdev) == want[0] && minor(st.st_rdev) == want[1]
		       ? 0
		       : 1;
}

/* --- swap: exchange two names until told to stop
 * -------------------------------------------------- */

static int swap(int argc, char **argv)
{
	unsigned long n = 0;

	if (argc < 4)
		return 2;
	while (access(argv[3], F_OK) != 0) {
		if (syscall(SYS_renameat2, AT_FDCWD, argv[1], AT_FDCWD, argv[2], 2) != 0)
			return 1;
		n++;
	}
	/* An even number leaves both where they were. */
	if (n % 2 != 0)
		syscall(SYS_renameat2, AT_FDCWD, argv[1], AT_FDCWD, argv[2], 2);
	printf("swapped: %lu\n", n);
	return 0;
}

const struct attack file_attacks[] = {
	{ "mounts", "mounts [PATH]                change mounts, leave the root", mounts },
	{ "masks", "masks                        read and write the kernel's files", masks },
	{ "nodes", "nodes DIR                    make device nodes in DIR", nodes },
	{ "is-device", "is-device PATH MAJOR:MINOR   is it that character device?", is_device },
	{ "swap", "swap A B STOP                exchange A and B until STOP exists", swap },
	{ NULL, NULL, NULL },
};
