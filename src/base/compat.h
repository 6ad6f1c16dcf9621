/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compat: kernel constants and system calls that Debian 12's headers lack.  Nothing else defines
 * such numbers.
 */
#ifndef WARD_BASE_COMPAT_H
#define WARD_BASE_COMPAT_H

#include <linux/landlock.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <stdint.h>
#include <sys/syscall.h>

#ifndef LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
#define LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define LANDLOCK_SCOPE_SIGNAL		    (1ULL << 1)
#endif

/* Rights that came with Landlock ABI 3, 5 and 4. */
#define WARD_LANDLOCK_FS_TRUNCATE  (1ULL << 14)
#define WARD_LANDLOCK_FS_IOCTL_DEV (1ULL << 15)
#define WARD_LANDLOCK_NET_BIND_TCP (1ULL << 0)

/* Permissions of a key, keyctl_setperm(3): no kernel header for programs has them. */
#define WARD_KEY_POS_ALL    0x3f000000UL
#define WARD_KEY_USR_VIEW   0x00010000UL
#define WARD_KEY_USR_READ   0x00020000UL
#define WARD_KEY_USR_SEARCH 0x00080000UL
#define WARD_KEY_USR_LINK   0x00100000UL

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#endif
