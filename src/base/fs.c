/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs: opening, reading and replacing files.
 *
 * Two ways to open a path that somebody else may control: beneath a directory without symlinks, or
 * with the directory as root.  The kernel does the resolution in both cases; there is no check
 * before use.  Files are replaced by rename of a complete temporary file, so a reader or a crash
 * sees the old bytes or the new ones.  What works on whole trees is in fs_tree.c.
 */
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <time.h>

#include "base/compat.h"
#include "base/mem.h"
#include "base/text.h"

enum {
	/* openat2 gives up with EAGAIN when a rename anywhere raced with it. */
	OPEN_TRIES = 128,
	READ_CHUNK = 16384,
	SEALS = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK,
};

int fs_openat2(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.mode = mode,
		.resolve = resolve,
	};

	for (int i = 0; i < OPEN_TRIES; i++) {
		long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return -EAGAIN;
}

int fs_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
	return fs_openat2(dirfd, path, flags, mode,
			  RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

int fs_open_in_root(int dirfd, const char *path, int flags, mode_t mode)
{
	return fs_openat2(dirfd, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* "cannot VERB 'path'" with the path made safe to print; the error is errno. */
static int path_sys(struct err *e, const char *verb, const char *path)
{
	int saved = errno;
	auto_free char *shown = text_escaped(path);

	errno = saved;
	return err_sys(e, "cannot %s '%s'", verb, shown);
}

int fs_canonical(const char *path, char **ret, struct err *e)
{
	char *real = realpath(path, NULL);

	if (real == NULL)
		return path_sys(e, "resolve", path);
	*ret = real;
	return 0;
}

int fs_fd_path(int fd, char **ret, struct err *e)
{
	char link[32], path[PATH_MAX];
	struct stat st;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path));
	if (n < 0)
		return err_sys(e, "cannot find the path of descriptor %d", fd);
	if (n == (ssize_t)sizeof(path))
		return err_set(e, ERR_SYSTEM, ENAMETOOLONG, "path of descriptor %d: too long", fd);
	path[n] = '\0';
	if (fstat(fd, &st) < 0)
		return err_sys(e, "cannot find the path of descriptor %d", fd);
	/* A pipe, or something outside of our root; or a name that is gone. */
	if (path[0] != '/' || st.st_nlink == 0)
		return err_set(e, ERR_SYSTEM, ENOENT, "descriptor %d: it has no path", fd);
	*ret = xstrdup(path);
	return 0;
}

char *fs_join(const char *a, const char *b)
{
	size_t n = strlen(a);
	size_t m = strlen(b);
	char *path = xmalloc(n + m + 2);

	while (n > 0 && a[n - 1] == '/')
		n--;
	while (*b == '/') {
		b++;
		m--;
	}
	memcpy(path, a, n);
	path[n] = '/';
	memcpy(path + n + 1, b, m + 1);
	return path;
}

bool fs_path_within(const char *path, const char *top)
{
	size_t n = strlen(top);

	/* The root is the only normalised path that ends in a slash. */
	if (n == 1 && top[0] == '/')
		return path[0] == '/';
	return strncmp(path, top, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

int fs_normalise(const char *path, char **ret, struct err *e)
{
	auto_free char *out = NULL;
	size_t len = 0;

	if (path[0] != '/' || strlen(path) >= PATH_MAX) {
		auto_free char *shown = text_escaped(path);

		return err_set(e, ERR_INPUT, EINVAL, "path '%s': %s", shown,
			       path[0] != '/' ? "it is not absolute" : "it is too long");
	}
	out = xmalloc(strlen(path) + 2);
	while (*path != '\0') {
		size_t n = strcspn(path, "/");

		if (n == 2 && path[0] == '.' && path[1] == '.') {
			return err_set(e, ERR_INPUT, EINVAL,
				       "path with \"..\": not allowed here, as it depends on "
				       "symbolic links");
		}
		if (n != 0 && !(n == 1 && path[0] == '.')) {
			out[len++] = '/';
			memcpy(out + len, path, n);
			len += n;
		}
		path += n + (path[n] == '/');
	}
	if (len == 0)
		out[len++] = '/';
	out[len] = '\0';
	*ret = steal(&out);
	return 0;
}

static int too_large(struct err *e, size_t max)
{
	return err_set(e, ERR_INPUT, EFBIG, "cannot read: it is larger than %zu bytes", max);
}

int fs_read_fd(int fd, size_t max, struct buf *out, struct err *e)
{
	size_t start = out->len;
	char chunk[READ_CHUNK];

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int r = err_sys(e, "cannot read");

			buf_truncate(out, start);
			return r;
		}
		if (n == 0)
			return 0;
		if ((size_t)n > max - (out->len - start)) {
			buf_truncate(out, start);
			return too_large(e, max);
		}
		buf_add(out, chunk, (size_t)n);
	}
}

int fs_read_at(int dirfd, const char *path, size_t max, struct buf *out, struct err *e)
{
	auto_close int fd =
		openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	auto_free char *shown = NULL;
	struct stat st;
	int r;

	if (fd < 0)
		return path_sys(e, "open", path);
	if (fstat(fd, &st) < 0)
		return path_sys(e, "examine", path);
	if (!S_ISREG(st.st_mode)) {
		shown = text_escaped(path);
		return err_set(e, ERR_INPUT, S_ISDIR(st.st_mode) ? EISDIR : EINVAL,
			       "cannot read '%s': it is not a regular file", shown);
	}
	if (st.st_size > 0 && (uint64_t)st.st_size > max)
		r = too_large(e, max);
	else
		r = fs_read_fd(fd, max, out, e);
	if (r < 0) {
		shown = text_escaped(path);
		return e != NULL ? err_prefix(e, "file '%s'", shown) : r;
	}
	return 0;
}

void fs_fill_stdio(void)
{
	int fd;

	/* The lowest free number is given, so the first above 2 ends the search. */
	do {
		fd = open("/dev/null", O_RDONLY);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

bool fs_is_locked(int fd)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

int fs_write_all(int fd, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

static bool is_component(const char *name)
{
	return name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       strchr(name, '/') == NULL;
}

/* Make `temp` complete; the caller removes it when this fails. */
static int write_temp(int dirfd, const char *temp, const void *bytes, size_t n, mode_t mode,
		      bool sync)
{
	auto_close int fd =
		openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = fs_write_all(fd, bytes, n);
	/* The mode is set last and by hand, so that the umask has no say. */
	if (r == 0 && mode != 0600 && fchmod(fd, mode) < 0)
		r = -errno;
	if (r == 0 && sync && fsync(fd) < 0)
		r = -errno;
	return r;
}

/* O_PATH descriptors cannot be synced, so the directory is opened again. */
static int sync_dir(int dirfd)
{
	auto_close int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int fs_replace_at(int dirfd, const char *name, const void *bytes, size_t n, mode_t mode, bool sync,
		  struct err *e)
{
	char temp[48] = ".ward-";
	int r;

	if (!is_component(name)) {
		errno = EINVAL;
		return path_sys(e, "write", name);
	}
	text_random_hex(temp + 6, 8);
	memcpy(temp + 22, ".tmp", 5);
	r = write_temp(dirfd, temp, bytes, n, mode, sync);
	if (r == 0 && renameat(dirfd, temp, dirfd, name) < 0)
		r = -errno;
	if (r < 0 && r != -EEXIST)
		unlinkat(dirfd, temp, 0);
	if (r == 0 && sync)
		r = sync_dir(dirfd);
	if (r < 0) {
		errno = -r;
		return path_sys(e, "write", name);
	}
	return 0;
}

static bool is_temporary(const char *name)
{
	return text_starts(name, ".ward-") && strspn(name + 6, "0123456789abcdef") == 16 &&
	       strcmp(name + 22, ".tmp") == 0;
}

void fs_clear_temporaries(int dirfd, int64_t seconds)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	int64_t now = (int64_t)time(NULL);
	struct dirent *d;

	if (!dir && fd >= 0)
		close(fd);
	while (dir && (d = readdir(dir))) {
		struct stat st;

		if (is_temporary(d->d_name) &&
		    fstatat(dirfd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && now - st.st_mtime >= seconds)
			(void)unlinkat(dirfd, d->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

/* Open the directory `name`, made first when it is missing; O_PATH fd or -errno. */
static int enter_dir(int dirfd, const char *name, mode_t mode)
{
	const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dirfd, name, flags);

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
			return -errno;
		fd = openat(dirfd, name, flags);
	}
	return fd < 0 ? -errno : fd;
}

int fs_mkdirs_at(int dirfd, const char *path, mode_t mode, int *ret_fd, struct err *e)
{
	auto_close int at = openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *p = path;

	if (at < 0)
		return err_sys(e, "cannot open the directory above '%s'", path);
	while (*p != '\0') {
		char name[NAME_MAX + 1];
		size_t n = strcspn(p, "/");
		int next;

		if (n > NAME_MAX || (n == 2 && memcmp(p, "..", 2) == 0)) {
			errno = n > NAME_MAX ? ENAMETOOLONG : EINVAL;
			return path_sys(e, "make directory", path);
		}
		if (n != 0 && !(n == 1 && p[0] == '.')) {
			memcpy(name, p, n);
			name[n] = '\0';
			next = enter_dir(at, name, mode);
			if (next < 0) {
				errno = -next;
				return path_sys(e, "make directory", path);
			}
			close(at);
			at = next;
		}
		p += n + (p[n] == '/');
	}
	if (ret_fd != NULL)
		*ret_fd = steal_fd(&at);
	return 0;
}

int fs_mkdirs(const char *path, mode_t mode, struct err *e)
{
	auto_free char *copy = xstrdup(path);
	struct stat st;

	if (path[0] != '/') {
		errno = EINVAL;
		return path_sys(e, "make directory", path);
	}
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	for (char *p = copy + 1; *p != '\0'; p++) {
		if (*p != '/' || p[1] == '/' || p[1] == '\0')
			continue;
		*p = '\0';
		/* A file in the way, or a parent that we may not enter, shows at the next step. */
		if (mkdir(copy, 0700) < 0 && errno != EEXIST && errno != EACCES && errno != EROFS)
			return path_sys(e, "make directory", copy);
		*p = '/';
	}
	if (mkdir(copy, mode) == 0)
		return 0;
	if (errno == EEXIST) {
		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			return 0;
		errno = ENOTDIR;
	}
	return path_sys(e, "make directory", path);
}

int fs_open_private_dir(const char *path, uid_t uid, int *ret_fd, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_free char *shown = NULL;
	struct stat st;

	if (fd < 0)
		return path_sys(e, "open directory", path);
	if (fstat(fd, &st) < 0)
		return path_sys(e, "examine", path);
	shown = text_escaped(path);
	if (st.st_uid != uid) {
		err_set(e, ERR_REFUSED, EPERM, "directory '%s': it belongs to user %u, not to %u",
			shown, st.st_uid, uid);
		err_hint(e, "move it away or give it back with: chown %u '%s'", uid, shown);
		return -EPERM;
	}
	if ((st.st_mode & 022) != 0) {
		err_set(e, ERR_REFUSED, EPERM, "directory '%s': other users may write to it",
			shown);
		err_hint(e, "chmod go-w '%s'", shown);
		return -EPERM;
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* A new memfd; `flags` are those that only newer kernels know. */
static int new_memfd(const char *name, unsigned flags, struct err *e)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? err_sys(e, "cannot make a memory file") : fd;
}

int fs_sealed_memfd(const char *name, const void *bytes, size_t n, int *ret_fd, struct err *e)
{
	auto_close int fd = new_memfd(name, MFD_NOEXEC_SEAL, e);
	int r;

	if (fd < 0)
		return fd;
	r = fs_write_all(fd, bytes, n);
	if (r < 0) {
		errno = -r;
		return err_sys(e, "cannot write a memory file");
	}
	if (fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0)
		return err_sys(e, "cannot seal a memory file");
	*ret_fd = steal_fd(&fd);
	return 0;
}

int fs_read_sealed(int fd, size_t max, struct buf *out, struct err *e)
{
	int seals = fcntl(fd, F_GET_SEALS);
	size_t start = out->len;
	struct stat st;
	off_t off = 0;

	if (seals < 0 || (seals & SEALS) != SEALS)
		return err_set(e, ERR_REFUSED, EBADMSG, "received file: it is not sealed");
	if (fstat(fd, &st) < 0)
		return err_sys(e, "cannot examine a received file");
	if ((uint64_t)st.st_size > max)
		return too_large(e, max);
	/* By position: the other end holds the same open file and may move its offset. */
	while (off < st.st_size) {
		char chunk[READ_CHUNK];
		ssize_t n = pread(fd, chunk, sizeof(chunk), off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n < 0 ? errno : EIO;
			buf_truncate(out, start);
			return err_sys(e, "cannot read a received file");
		}
		buf_add(out, chunk, (size_t)n);
		off += n;
	}
	return 0;
}

int fs_seal_copy(int fd, const char *name, int *ret_fd, struct err *e)
{
	auto_close int copy = new_memfd(name, MFD_EXEC, e);
	struct stat st;
	off_t off = 0;

	if (copy < 0)
		return copy;
	if (fstat(fd, &st) < 0)
		return err_sys(e, "cannot examine a program");
	while (off < st.st_size) {
		ssize_t n = sendfile(copy, fd, &off, (size_t)(st.st_size - off));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n < 0 ? errno : EIO;
			return err_sys(e, "cannot copy a program into memory");
		}
	}
	if (fcntl(copy, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0)
		return err_sys(e, "cannot seal a memory file");
	*ret_fd = steal_fd(&copy);
	return 0;
}
