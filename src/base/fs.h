/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs: files by descriptor.
 *
 * Paths that we did not create are opened once, with openat2 and RESOLVE_* flags, and used by fd
 * from then on.  Every fd is O_CLOEXEC.  `dirfd` may be AT_FDCWD where stated.  Reads are bounded.
 */
#ifndef WARD_BASE_FS_H
#define WARD_BASE_FS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* Raw openat2(2) with O_CLOEXEC added; returns the fd or -errno. resolve: RESOLVE_* of
 * linux/openat2.h */
int fs_openat2(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve);
/* Below dirfd, no symlink in any component, no magic links, no crossing out. fd or -errno. */
int fs_open_beneath(int dirfd, const char *path, int flags, mode_t mode);
/* As if dirfd were the root directory: symlinks are followed but cannot leave it. fd or -errno. */
int fs_open_in_root(int dirfd, const char *path, int flags, mode_t mode);

/* Absolute path without symlinks, "." or ".." (realpath(3)); owned by the caller. */
int fs_canonical(const char *path, char **ret, struct err *e);
/* Path that /proc/self/fd/FD points to; owned by the caller. -ENOENT when it has none (a pipe, a
 * removed file). */
int fs_fd_path(int fd, char **ret, struct err *e);
/* "a" + "/" + "b" with one slash between; owned by the caller. */
char *fs_join(const char *a, const char *b);
/* Is `path` equal to `top` or below it? Both absolute and normalised. */
bool fs_path_within(const char *path, const char *top);
/*
 * Lexical normalisation of an absolute path: no "//", "/./", trailing slash; ".." is refused with
 * -EINVAL, also NUL, control characters are allowed. Owned by the caller.
 */
int fs_normalise(const char *path, char **ret, struct err *e);

/*
 * Read a regular file of at most max bytes (O_NOFOLLOW | O_NONBLOCK, type checked by fstat);
 * a larger one is -EFBIG. The bytes are appended to *out, which is unchanged on failure.
 * fs_read_fd reads from the current offset to the end, whatever the type of the file.
 */
int fs_read_at(int dirfd, const char *path, size_t max, struct buf *out, struct err *e);
int fs_read_fd(int fd, size_t max, struct buf *out, struct err *e);
/* write(2) until all is written; 0 or -errno. */
int fs_write_all(int fd, const void *bytes, size_t n);
/*
 * Descriptors 0, 1 and 2 exist afterwards. One that the caller of this program had closed would
 * otherwise be the next file that is opened, and results would be written into it. What is filled
 * in is read as empty and refuses to be written to. The first call of a program.
 */
void fs_fill_stdio(void);
/*
 * Replace dirfd/name atomically: temporary file beside it, write, [fsync file and directory when
 * sync], rename. `name` is one component; the mode is exact (no umask). A crash may leave the
 * temporary file behind: its name is ".ward-" and 16 hex digits and ".tmp".
 */
int fs_replace_at(int dirfd, const char *name, const void *bytes, size_t n, mode_t mode, bool sync,
		  struct err *e);
/* Remove such files that were left behind that long ago: nobody is writing them any more. */
void fs_clear_temporaries(int dirfd, int64_t seconds);

/* Does somebody hold a lock of the whole file that excludes others (an open-file-description lock)?
 * It is asked about without being taken. */
bool fs_is_locked(int fd);

/* mkdir -p below dirfd, each component by fd without symlinks; existing directories stay as they
 * are. Leading slashes mean nothing; ".." is -EINVAL; the umask applies to what is made. Returns an
 * O_PATH|O_DIRECTORY fd of the last one in *ret_fd (which may be NULL). */
int fs_mkdirs_at(int dirfd, const char *path, mode_t mode, int *ret_fd, struct err *e);
/* mkdir -p of an absolute path of our own (state directories): parents 0700. */
int fs_mkdirs(const char *path, mode_t mode, struct err *e);

/* Remove dirfd/name and everything below it, by fd, never following a symlink or crossing a mount.
 * Missing is success. Directories without permission bits are made accessible first. Any depth,
 * with a bounded number of open descriptors. -EXDEV at a mount, -EBUSY while others keep adding. */
int fs_remove_tree_at(int dirfd, const char *name, struct err *e);

/* A directory of ours: exists, is a directory and no symlink, owned by `uid`, not writable by
 * others. Opens it (O_RDONLY|O_DIRECTORY) into *ret_fd. */
int fs_open_private_dir(const char *path, uid_t uid, int *ret_fd, struct err *e);

/* Bytes on disk (st_blocks*512) and inodes below dirfd (itself included), by fd, not crossing
 * mounts; a file with several names counts once. Entries that vanish meanwhile are skipped. */
int fs_disk_usage(int dirfd, uint64_t *ret_bytes, uint64_t *ret_inodes, struct err *e);

/* A memfd with the bytes, sealed against every change; fd or -errno in e. */
int fs_sealed_memfd(const char *name, const void *bytes, size_t n, int *ret_fd, struct err *e);
/* Check that fd is a memfd sealed against write, grow and shrink, at most max bytes, and read it.
 */
int fs_read_sealed(int fd, size_t max, struct buf *out, struct err *e);
/* A sealed memfd copy of a file (for executing ourselves), from an open fd. */
int fs_seal_copy(int fd, const char *name, int *ret_fd, struct err *e);

#endif
