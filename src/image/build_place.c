/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_place: `ward-image place`: an archive of `collect` in the tree of an image.
 *
 * Request: {"dest", "dir": bool, "chown": "USER[:GROUP]" or null, "chmod": number or null, "ids"}.
 * Descriptor 3 is the root of the tree, 4 the archive.  dest is absolute.  dir: it is a directory,
 * made when it is missing; else it is the name of the archive's only file, unless a directory has
 * that name.
 *
 * The tree is an image's, and may hold any symbolic link.  Links on the way to a directory are
 * followed as if the tree were the root, as a program in it would; this process has nothing else,
 * because it is in a chroot of the tree.  What is made is made by its last component, exclusively:
 * a file or a link in its place is replaced, never written through.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/tar.h"
#include "base/text.h"
#include "image/build_internal.h"
#include "image/helper_confine.h"
#include "image/image_internal.h"

enum {
	CHUNK = 256 << 10,
	ROOT_FD = IMAGE_FD_FIRST,
	ARCHIVE_FD,
	PASSWD_MAX = 1 << 20,
	ID_MAX = 65535,
	NOBODY = 65534,
	KEEP = -1,
};

struct place {
	const char *dest;
	bool dir;
	int64_t uid, gid; /* KEEP: as in the archive */
	int64_t mode;
	uint64_t ids;
	char *rename; /* the only file's name, or NULL */
	char *base;   /* directory that the names of the archive are below; absolute */
	/* the file that is being written */
	int file;
	struct tar_entry entry;
};

static int fail(const char *path, int code, const char *why, struct err *e)
{
	auto_free char *shown = text_escaped(path);

	return err_set(e, ERR_INPUT, code, "'%.200s': %s", shown, why);
}

static int fail_errno(const char *path, struct err *e)
{
	auto_free char *shown = text_escaped(path);

	return err_sys(e, "'%.200s'", shown);
}

/* --- owners ----------------------------------------------------------------------------------- */

/* The number in the third field of the line whose first one is `name`. */
static int lookup(const char *file, const char *name, int64_t *ret, struct err *e)
{
	auto_close int fd = fs_open_in_root(ROOT_FD, file, O_RDONLY | O_NONBLOCK, 0);
	auto_buf text = BUF_INIT;
	auto_free char *shown = text_escaped(name);
	size_t n = strlen(name);
	uint64_t id;

	if (text_u64(name, ID_MAX, &id) == 0) {
		*ret = (int64_t)id;
		return 0;
	}
	if (fd >= 0 && fs_read_fd(fd, PASSWD_MAX, &text, e) < 0)
		return err_prefix(e, "/%s", file);
	for (const char *p = buf_str(&text); *p;) {
		size_t line = strcspn(p, "\n");
		const char *second = line > n && p[n] == ':' && memcmp(p, name, n) == 0
					     ? memchr(p + n + 1, ':', line - n - 1)
					     : NULL;

		if (second) {
			auto_free char *number = xstrndup(second + 1, strcspn(second + 1, ":\n"));

			if (text_u64(number, ID_MAX, &id) == 0) {
				*ret = (int64_t)id;
				return 0;
			}
		}
		p += line;
		p += *p == '\n';
	}
	return err_set(e, ERR_INPUT, -EINVAL, "no '%.100s' in the image's /%s", shown, file);
}

/* "USER[:GROUP]"; without a group the user's number is the group's, too. */
static int read_owner(struct place *p, const char *text, struct err *e)
{
	size_t n = strcspn(text, ":");
	auto_free char *user = xstrndup(text, n);
	int r = lookup("etc/passwd", user, &p->uid, e);

	if (r < 0)
		return err_prefix(e, "--chown");
	p->gid = p->uid;
	if (text[n])
		r = lookup("etc/group", text + n + 1, &p->gid, e);
	return r < 0 ? err_prefix(e, "--chown") : 0;
}

static uint32_t owner(int64_t wanted, uint64_t archived)
{
	uint64_t id = wanted == KEEP ? archived : (uint64_t)wanted;

	return id <= ID_MAX ? (uint32_t)id : NOBODY;
}

static int settle(const struct place *p, int fd, const struct tar_entry *t, const char *path,
		  struct err *e)
{
	if (p->ids > 1 && fchown(fd, owner(p->uid, t->uid), owner(p->gid, t->gid)) < 0)
		return fail_errno(path, e);
	if (fchmod(fd, p->mode == KEEP ? t->mode : (mode_t)p->mode) < 0)
		return fail_errno(path, e);
	return 0;
}

/* --- directories ------------------------------------------------------------------------------ */

static int open_dir(const char *path)
{
	return fs_open_in_root(ROOT_FD, path, O_RDONLY | O_DIRECTORY, 0);
}

/* mkdir -p, each directory that is new with the owner. Returns it, open. */
static int need_dirs(const struct place *p, const char *path, struct err *e)
{
	const struct tar_entry fresh = { .mode = 0755 };
	auto_free char *prefix = xstrdup(path);
	int fd = open_dir("/");

	for (char *at = prefix + 1; fd >= 0 && *at;) {
		char *slash = strchr(at, '/');
		int next;

		if (slash)
			*slash = '\0';
		next = open_dir(prefix);
		if (next == -ENOENT && mkdirat(fd, at, 0755) == 0) {
			next = fs_open_beneath(fd, at, O_RDONLY | O_DIRECTORY, 0);
			if (next >= 0 && settle(p, next, &fresh, prefix, e) < 0) {
				close(next);
				close(fd);
				return e->code;
			}
		} else if (next == -ENOENT && errno == EEXIST) {
			next = -ELOOP; /* a link that leads nowhere */
		}
		close(fd);
		fd = next;
		if (!slash)
			break;
		*slash = '/';
		at = slash + 1;
	}
	if (fd == -ENOTDIR || fd == -ELOOP)
		return fail(path, fd, "something that is no directory is in the way", e);
	if (fd < 0) {
		errno = -fd;
		return fail_errno(path, e);
	}
	return fd;
}

/* The directory and last component of a place in the tree. */
static int parent(const struct place *p, const char *path, const char **ret_last, struct err *e)
{
	const char *slash = strrchr(path, '/');
	auto_free char *dir = slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));

	*ret_last = slash + 1;
	return need_dirs(p, dir, e);
}

static int clear(int dir, const char *last, const char *path, struct err *e)
{
	if (unlinkat(dir, last, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno == EISDIR || errno == EPERM)
		return fail(path, -EISDIR, "a directory is in the place of a file", e);
	return fail_errno(path, e);
}

/* --- entries ---------------------------------------------------------------------------------- */

static int put_dir(const struct place *p, const struct tar_entry *t, const char *path,
		   struct err *e)
{
	auto_close int fd = open_dir(path);
	bool there = fd >= 0;

	if (!there)
		fd = need_dirs(p, path, e);
	if (fd < 0)
		return fd;
	return there ? 0 : settle(p, fd, t, path, e);
}

static void set_time(int dir, const char *last, const struct tar_entry *t)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
					   { t->mtime, (long)t->mtime_ns } };

	(void)utimensat(dir, last, times, AT_SYMLINK_NOFOLLOW);
}

static int put_other(struct place *p, const struct tar_entry *t, const char *path, struct err *e)
{
	const char *last;
	auto_close int dir = parent(p, path, &last, e);
	int r = dir < 0 ? dir : clear(dir, last, path, e);

	if (r < 0)
		return r;
	if (t->type == TAR_SYMLINK) {
		if (symlinkat(t->link, dir, last) < 0 ||
		    (p->ids > 1 && fchownat(dir, last, owner(p->uid, t->uid), owner(p->gid, t->gid),
					    AT_SYMLINK_NOFOLLOW) < 0))
			return fail_errno(path, e);
		set_time(dir, last, t);
		return 0;
	}
	p->file = openat(dir, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (p->file < 0)
		return fail_errno(path, e);
	p->entry = (struct tar_entry){ .mode = t->mode,
				       .uid = t->uid,
				       .gid = t->gid,
				       .mtime = t->mtime,
				       .mtime_ns = t->mtime_ns };
	return 0;
}

static int begin(struct place *p, const struct tar_entry *t, struct err *e)
{
	auto_free char *raw = fs_join(p->base, p->rename ? p->rename : t->path);
	auto_free char *path = NULL;
	int r = fs_normalise(raw, &path, e);

	if (r < 0)
		return r;
	switch (t->type) {
	case TAR_DIR:
		return put_dir(p, t, path, e);
	case TAR_FILE:
	case TAR_SYMLINK:
		return put_other(p, t, path, e);
	case TAR_HARDLINK:
	case TAR_FIFO:
	case TAR_CHARACTER:
	case TAR_BLOCK_DEVICE:
	case TAR_TYPE_MAX:
		break;
	}
	return fail(path, -ENOTSUP, "an entry of an unknown type", e);
}

static int end(struct place *p, struct err *e)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
					   { p->entry.mtime, (long)p->entry.mtime_ns } };
	auto_close int fd = steal_fd(&p->file);
	int r = settle(p, fd, &p->entry, "file", e);

	(void)futimens(fd, times);
	return r;
}

static int on_event(struct place *p, const struct tar_event *ev, struct err *e)
{
	int r = 0;

	if (ev->kind == TAR_ENTRY)
		return begin(p, &ev->entry, e);
	if (ev->kind == TAR_DATA && p->file >= 0)
		r = fs_write_all(p->file, ev->data, ev->len);
	if (r < 0) {
		errno = -r;
		return err_sys(e, "write");
	}
	return ev->kind == TAR_ENTRY_END && p->file >= 0 ? end(p, e) : 0;
}

static int unpack(struct place *p, struct err *e)
{
	const struct tar_limits limits = { .entries = 4000000,
					   .file_size = IMAGE_BLOB_MAX,
					   .total_size = IMAGE_BLOB_MAX };
	auto_tar_reader reader = tar_reader_new(&limits);
	auto_free char *chunk = xmalloc(CHUNK);
	struct tar_event ev = { .kind = TAR_MORE };

	while (ev.kind != TAR_END) {
		ssize_t n = read(ARCHIVE_FD, chunk, CHUNK);
		const char *at = chunk;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "archive");
		if (n == 0)
			return tar_reader_finish(reader, e);
		do {
			size_t used = 0;
			int r = tar_reader_feed(reader, at, (size_t)n, &used, &ev, e);

			if (r == 0)
				r = on_event(p, &ev, e);
			if (r < 0)
				return r;
			at += used;
			n -= (ssize_t)used;
		} while (ev.kind != TAR_MORE && ev.kind != TAR_END);
	}
	return 0;
}

/* Where the archive's names are, and that the directory is there. */
static int find_base(struct place *p, struct err *e)
{
	auto_close int fd = open_dir(p->dest);
	const char *slash = strrchr(p->dest, '/');

	if (fd >= 0 || p->dir) {
		p->base = xstrdup(p->dest);
		fd_closep(&fd);
		fd = need_dirs(p, p->dest, e);
		return fd < 0 ? fd : 0;
	}
	p->base = slash == p->dest ? xstrdup("/") : xstrndup(p->dest, (size_t)(slash - p->dest));
	p->rename = xstrdup(slash + 1);
	return 0;
}

static int read_request(const struct json *j, struct place *ret, struct err *e)
{
	if (json_get_string(j, "dest", &ret->dest) < 0 || ret->dest[0] != '/' ||
	    json_get_bool(j, "dir", &ret->dir) < 0 || json_get_uint(j, "ids", &ret->ids) < 0 ||
	    (json_get(j, "chmod") &&
	     (json_get_int(j, "chmod", &ret->mode) < 0 || ret->mode < 0 || ret->mode > 07777)))
		return err_set(e, ERR_INPUT, -EINVAL, "ward-image place: malformed request");
	return 0;
}

int build_place_verb(const struct json *request, struct json **ret, struct err *e)
{
	const struct helper_rule rule = { ROOT_FD, HELPER_MAKE_TREE | HELPER_READ_FILE };
	const struct helper_confine confine = { .rules = &rule,
						.nrules = 1,
						.last_fd = ARCHIVE_FD,
						.root_fd = ROOT_FD,
						.file_size = IMAGE_BLOB_MAX };
	struct place p = { .uid = KEEP, .gid = KEEP, .mode = KEEP, .file = -1 };
	const char *chown = json_str(json_get(request, "chown"));
	int r = read_request(request, &p, e);

	if (r == 0)
		r = helper_confine(&confine, e);
	if (r == 0 && chown)
		r = read_owner(&p, chown, e);
	if (r == 0)
		r = find_base(&p, e);
	if (r == 0)
		r = unpack(&p, e);
	if (p.file >= 0)
		close(p.file);
	free(p.base);
	free(p.rename);
	if (r == 0)
		*ret = json_object();
	return r;
}
