/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_confine: what ward-registry gives up before it connects to anybody.
 *
 *   no_new_privs, no capability, bounded memory, descriptors and files
 *   Landlock: it reads what name resolution and TLS need, reads and writes the blob directory, and
 *             starts no program; no signal and no abstract socket outside
 *
 * What a kernel's Landlock does not know yet is left out by its ABI number, but Landlock itself
 * must be there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

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

int registry_confine(const struct registry_store *s, bool writes, struct err *e)
{
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_sys(e, "registry: cannot give up new privileges");
	r = limits(e);
	if (r == 0)
		r = landlock(s, writes, e);
	return r == 0 ? drop_capabilities(e) : r;
}
