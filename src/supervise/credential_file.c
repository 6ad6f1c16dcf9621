/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential_file: one copy of a credential file, in a directory that a box may fill as it likes.
 *
 * Reading: the path is resolved by the kernel below the given directory without any link; what is
 * taken is a regular file of the expected owner with one name and a bounded size, complete by its
 * own format, and unchanged while it was read.
 *
 * Writing: a complete temporary file beside it changes places with what was seen, in one step.
 * Whoever wrote at the same moment is found in the temporary's place, and gets its own back: the
 * box's writer and Ward never lose each other's file.  The temporary has a fixed name, so that what
 * a crash leaves is replaced by the next one and found by `ward volume rm`.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

enum { SURE_MS = 50 /* more than a tick of the file system's clock */ };

const char *credential_check(const char *name, const char *bytes, size_t n)
{
	auto_json j = NULL;

	if (n == 0)
		return "it is empty";
	if (!text_ends(name, ".json"))
		return NULL;
	if (json_parse(bytes, n, &j, NULL) < 0 || (!json_is_object(j) && !json_is_array(j)))
		return "it is not a complete JSON document";
	return NULL;
}

/* --- reading ------------------------------------------------------------------------------------
 */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* The same file with the same bytes; a rename changes only the other time. */
static bool same_bytes(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       same_time(&a->st_mtim, &b->st_mtim);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return same_bytes(a, b) && same_time(&a->st_ctim, &b->st_ctim) &&
	       a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_nlink == b->st_nlink;
}

/* Times are as coarse as the kernel's tick: a younger file may change and show the same ones. */
static bool is_old(const struct stat *st)
{
	struct timespec now;
	int64_t ms;

	clock_gettime(CLOCK_REALTIME, &now);
	ms = ((int64_t)now.tv_sec - st->st_ctim.tv_sec) * 1000 +
	     (now.tv_nsec - st->st_ctim.tv_nsec) / 1000000;
	return ms > SURE_MS;
}

static const char *why_not_open(int r)
{
	switch (r) {
	case -ELOOP:
		return "a symbolic link leads to it";
	case -EACCES:
	case -EPERM:
		return "it cannot be read";
	case -ENXIO:
		return "it is no regular file";
	default:
		return strerrordesc_np(-r);
	}
}

static const char *why_not_taken(const struct stat *st, uid_t uid)
{
	if (!S_ISREG(st->st_mode))
		return "it is no regular file";
	if (st->st_uid != uid)
		return "it belongs to another user";
	if (st->st_nlink != 1)
		return "it has a second name";
	if (st->st_size > CREDENTIAL_BYTES_MAX)
		return "it is too large";
	return NULL;
}

static const char *read_bytes(int fd, const char *name, const struct stat *st, struct buf *out)
{
	struct stat after;
	int r;

	buf_reset(out);
	r = fs_read_fd(fd, CREDENTIAL_BYTES_MAX, out, NULL);
	if (r < 0)
		return r == -EFBIG ? "it is too large" : "it cannot be read";
	if (fstat(fd, &after) < 0 || !same_file(st, &after))
		return "it is being written";
	return credential_check(name, buf_str(out), out->len);
}

void credential_read(const struct credential_place *p, struct credential_copy *c, bool *ret_changed)
{
	auto_close int fd =
		fs_open_beneath(p->top, p->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	enum credential_state before = c->state;
	struct stat st = { 0 };

	if (fd < 0 || fstat(fd, &st) < 0) {
		c->state = fd == -ENOENT ? CREDENTIAL_ABSENT : CREDENTIAL_UNUSABLE;
		c->why = fd == -ENOENT ? NULL : why_not_open(fd < 0 ? fd : -errno);
		c->sure = false;
		c->st = st;
		buf_reset(&c->bytes);
		*ret_changed = c->state != before;
		return;
	}
	*ret_changed = c->state == CREDENTIAL_ABSENT || !same_file(&c->st, &st);
	if (!*ret_changed && c->sure)
		return;
	c->sure = is_old(&st);
	c->st = st;
	c->why = why_not_taken(&st, p->uid);
	c->state = c->why ? CREDENTIAL_UNUSABLE : CREDENTIAL_DAMAGED;
	if (!c->why)
		c->why = read_bytes(fd, p->path, &st, &c->bytes);
	if (!c->why)
		c->state = CREDENTIAL_CONTENT;
	else
		buf_reset(&c->bytes);
	c->hash = text_fnv1a(buf_str(&c->bytes), c->bytes.len);
}

/* --- writing ------------------------------------------------------------------------------------
 */

/* The directory of the file, made when it is missing; O_PATH fd or -errno. */
static int open_parent(const struct credential_place *p, bool make, const char **ret_name)
{
	auto_close int dir = fs_open_beneath(p->top, ".", O_PATH | O_DIRECTORY, 0);
	const char *at = p->path;

	for (const char *slash; dir >= 0 && (slash = strchr(at, '/')); at = slash + 1) {
		auto_free char *name = xstrndup(at, (size_t)(slash - at));
		bool made = make && mkdirat(dir, name, 0700) == 0;
		int next = fs_open_beneath(dir, name, O_PATH | O_DIRECTORY, 0);

		if (next >= 0 && made && p->uid != geteuid() &&
		    fchownat(next, "", p->uid, p->gid, AT_EMPTY_PATH) < 0) {
			int r = -errno;

			close(next);
			return r;
		}
		close(dir);
		dir = next;
	}
	*ret_name = at;
	return steal_fd(&dir);
}

char *supervise_credential_temporary(const char *file)
{
	const char *slash = strrchr(file, '/');
	int dir = slash ? (int)(slash + 1 - file) : 0;

	return xasprintf("%.*s.ward-%s.tmp", dir, file, file + dir);
}

static int write_temporary(const struct credential_place *p, int dir, const char *temp,
			   const struct credential_copy *seen, const void *bytes, size_t n)
{
	mode_t mode = seen->state == CREDENTIAL_CONTENT ? seen->st.st_mode & 0700 : 0600;
	auto_close int fd = -1;
	int r;

	if (unlinkat(dir, temp, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fs_write_all(fd, bytes, n);
	if (r == 0 && fchmod(fd, mode | 0600) < 0)
		r = -errno;
	if (r == 0 && p->uid != geteuid() && fchown(fd, p->uid, p->gid) < 0)
		r = -errno;
	return r;
}

static bool is_still(int dir, const char *name, const struct credential_copy *seen)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && same_bytes(&st, &seen->st);
}

/* Put the temporary in the place of what was seen there. */
static int change_places(int dir, const char *temp, const char *name,
			 const struct credential_copy *seen)
{
	switch (seen->state) {
	case CREDENTIAL_ABSENT:
		return renameat2(dir, temp, dir, name, RENAME_NOREPLACE) == 0 ? 0 : -errno;
	case CREDENTIAL_CONTENT:
	case CREDENTIAL_DAMAGED:
		if (renameat2(dir, temp, dir, name, RENAME_EXCHANGE) < 0)
			break;
		if (is_still(dir, temp, seen))
			return unlinkat(dir, temp, 0) == 0 ? 0 : -errno;
		return renameat2(dir, temp, dir, name, RENAME_EXCHANGE) == 0 ? -EAGAIN : -errno;
	case CREDENTIAL_UNUSABLE:
	case CREDENTIAL_STATE_MAX:
		return renameat(dir, temp, dir, name) == 0 ? 0 : -errno;
	}
	/* A network file system, where only the host's own files can lie. */
	return errno == EINVAL && renameat(dir, temp, dir, name) == 0 ? 0 : -errno;
}

int credential_put(const struct credential_place *p, const struct credential_copy *seen,
		   const void *bytes, size_t n)
{
	const char *name;
	auto_close int dir = open_parent(p, true, &name);
	auto_free char *temp = NULL;
	int r;

	if (dir < 0)
		return dir;
	temp = supervise_credential_temporary(name);
	r = write_temporary(p, dir, temp, seen, bytes, n);
	if (r == 0)
		r = change_places(dir, temp, name, seen);
	if (r < 0)
		unlinkat(dir, temp, 0);
	return r == -EEXIST || r == -ENOENT ? -EAGAIN : r;
}

int credential_remove(const struct credential_place *p, const struct credential_copy *seen)
{
	const char *name;
	auto_close int dir = open_parent(p, false, &name);
	auto_free char *temp = NULL;

	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	temp = supervise_credential_temporary(name);
	if (unlinkat(dir, temp, 0) < 0 && errno != ENOENT)
		return -errno;
	if (renameat2(dir, name, dir, temp, RENAME_NOREPLACE) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!is_still(dir, temp, seen) && renameat2(dir, temp, dir, name, RENAME_NOREPLACE) == 0)
		return -EAGAIN;
	return unlinkat(dir, temp, 0) == 0 ? 0 : -errno;
}
