/* SPDX-License-Identifier: Apache-2.0 */
/*
 * untar: see untar.h.
 *
 * The stream was made inside a sandbox and is hostile.  base/tar parses it; here it is placed:
 *
 *   - every name is taken apart lexically; absolute names and ".." end the copy
 *   - every parent directory is opened beneath the destination without following any symbolic link,
 *     also links that were there before and links that the stream made a moment ago
 *   - a file is written under a temporary name and renamed, so nothing is ever written through an
 *     existing file, link, FIFO or device
 *   - modes lose the set-id and sticky bits and what the umask takes; owners are not kept
 *   - a symbolic link that points out of the tree is left out; hard links stay within the tree
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/untar.h"

enum { UNTAR_ENTRIES_MAX = 20 * 1000 * 1000, TEMPORARY_BYTES = 8 };

struct untar {
	struct tar_reader *reader;
	untar_place_fn *place;
	void *arg;
	char *root;  /* name of the first entry in the stream; NULL before it */
	int top;     /* the destination directory */
	char *name;  /* of the root in it, or "" */
	mode_t mask; /* umask */
	size_t skipped;
	/* the file that is being written */
	int file;
	int parent;
	char *temporary;
	char *final;
	struct timespec mtime;
	mode_t mode;
};

/* --- names: pure ------------------------------------------------------------------------------ */

/* Components other than "", "." and "..", separated by single slashes. */
static bool is_plain(const char *path)
{
	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 0 || (n == 1 && path[0] == '.') ||
		    (n == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += n;
		if (*path == '/' && *++path == '\0')
			return false;
	}
	return true;
}

const char *untar_relative(const char *root, const char *path)
{
	size_t n = strlen(root);

	if (strcmp(path, root) == 0)
		return path + n;
	if (strcmp(root, ".") == 0) {
		path += text_starts(path, "./") ? 2 : 0;
	} else {
		if (!text_starts(path, root) || path[n] != '/')
			return NULL;
		path += n + 1;
	}
	return *path && is_plain(path) ? path : NULL;
}

bool untar_link_stays(const char *path, const char *target)
{
	size_t depth = 0;
	bool named = false;

	if (!*path || target[0] == '/')
		return false;
	for (const char *c = path; *c; c++)
		depth += *c == '/';
	while (*target) {
		size_t n = strcspn(target, "/");

		if (n == 2 && target[0] == '.' && target[1] == '.') {
			/* Behind a name, which may be a link itself, ".." is anywhere. */
			if (depth == 0 || named)
				return false;
			depth--;
		} else if (n > 0 && !(n == 1 && target[0] == '.')) {
			named = true;
		}
		target += n;
		while (*target == '/')
			target++;
	}
	return true;
}

/* --- placing ---------------------------------------------------------------------------------- */

static int fail(struct err *e, int code, const char *path, const char *why)
{
	auto_free char *shown = text_escaped(path);

	return err_set(e, ERR_SYSTEM, code, "%s: %s", *shown ? shown : ".", why);
}

static int fail_errno(struct err *e, const char *path)
{
	int code = -errno;

	return fail(e, code, path, strerror(-code));
}

/* Path below `top` of an entry: the root's name in front. */
static char *below_top(const struct untar *u, const char *relative)
{
	if (!*u->name)
		return xstrdup(relative);
	return *relative ? fs_join(u->name, relative) : xstrdup(u->name);
}

/* Open the directory that holds the last component of path; *ret_last points into path. */
static int open_parent(const struct untar *u, const char *path, const char **ret_last,
		       struct err *e)
{
	const char *slash = strrchr(path, '/');
	auto_free char *dir = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
	int fd = fs_open_beneath(u->top, dir, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return fail(e, fd, path,
			    fd == -ELOOP ? "a symbolic link is in the way" : strerror(-fd));
	*ret_last = slash ? slash + 1 : path;
	return fd;
}

static mode_t plain_mode(const struct untar *u, uint32_t mode)
{
	return (mode_t)(mode & 0777) & ~u->mask;
}

static int put_dir(struct untar *u, const char *path, const struct tar_entry *entry, struct err *e)
{
	const char *last;
	auto_close int parent = -1;
	struct stat st;

	if (!*path)
		return 0; /* the destination itself; its mode is the user's business */
	parent = open_parent(u, path, &last, e);
	if (parent < 0)
		return parent;
	/* Its owner must be able to fill it. */
	if (mkdirat(parent, last, plain_mode(u, entry->mode) | 0700) == 0)
		return 0;
	if (errno != EEXIST)
		return fail_errno(e, path);
	if (fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		return 0;
	return fail(e, -ENOTDIR, path, "something that is no directory is in the way");
}

/* A name that no other process uses, beside the final one: rename does not cross file systems. */
static char *temporary_name(void)
{
	char hex[2 * TEMPORARY_BYTES + 1];

	text_random_hex(hex, TEMPORARY_BYTES);
	return xasprintf(".ward-cp-%s", hex);
}

static int start_file(struct untar *u, const char *path, const struct tar_entry *entry,
		      struct err *e)
{
	const char *last;
	auto_close int parent = -1;
	auto_free char *temporary = temporary_name();

	parent = open_parent(u, path, &last, e);
	if (parent < 0)
		return parent;
	u->file = openat(parent, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			 0600);
	if (u->file < 0)
		return fail_errno(e, path);
	u->parent = steal_fd(&parent);
	u->temporary = steal(&temporary);
	u->final = xstrdup(last);
	u->mode = plain_mode(u, entry->mode);
	u->mtime = (struct timespec){ .tv_sec = entry->mtime, .tv_nsec = entry->mtime_ns };
	return 0;
}

static void drop_file(struct untar *u)
{
	if (u->file >= 0)
		close(u->file);
	if (u->temporary)
		(void)unlinkat(u->parent, u->temporary, 0);
	if (u->parent >= 0)
		close(u->parent);
	u->file = u->parent = -1;
	free(steal(&u->temporary));
	free(steal(&u->final));
}

static int finish_file(struct untar *u, struct err *e)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, u->mtime };

	if (fchmod(u->file, u->mode) < 0)
		return fail_errno(e, u->final);
	(void)futimens(u->file, times); /* a time that the file system cannot hold is no loss */
	if (renameat(u->parent, u->temporary, u->parent, u->final) < 0)
		return fail_errno(e, u->final);
	free(steal(&u->temporary));
	drop_file(u);
	return 0;
}

/* Remove what a link would replace; a directory stays and is an error. */
static int clear_way(int parent, const char *last, const char *path, struct err *e)
{
	if (unlinkat(parent, last, 0) < 0 && errno != ENOENT)
		return fail_errno(e, path);
	return 0;
}

static int put_symlink(struct untar *u, const char *path, const char *relative,
		       const struct tar_entry *entry, struct err *e)
{
	const char *last;
	auto_close int parent = -1;
	int r;

	if (!*relative) {
		auto_free char *link = text_escaped(entry->link);

		fail(e, -ELOOP, path, "it is a symbolic link");
		return err_hint(e, "copy what it points to: %s", link);
	}
	if (!untar_link_stays(relative, entry->link)) {
		u->skipped++;
		return 0;
	}
	parent = open_parent(u, path, &last, e);
	if (parent < 0)
		return parent;
	r = clear_way(parent, last, path, e);
	if (r == 0 && symlinkat(entry->link, parent, last) < 0)
		r = fail_errno(e, path);
	return r;
}

static int put_hardlink(struct untar *u, const char *path, const struct tar_entry *entry,
			struct err *e)
{
	const char *relative = untar_relative(u->root, entry->link);
	auto_free char *from = relative && *relative ? below_top(u, relative) : NULL;
	auto_close int from_dir = -1, to_dir = -1;
	const char *from_last, *to_last;
	struct stat st;
	int r;

	if (!from)
		return fail(e, -EBADMSG, path, "a hard link that points out of the tree");
	from_dir = open_parent(u, from, &from_last, e);
	if (from_dir < 0)
		return from_dir;
	to_dir = open_parent(u, path, &to_last, e);
	if (to_dir < 0)
		return to_dir;
	if (fstatat(from_dir, from_last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(e, from);
	if (!S_ISREG(st.st_mode))
		return fail(e, -EBADMSG, path, "a hard link to something that is no file");
	r = clear_way(to_dir, to_last, path, e);
	if (r == 0 && linkat(from_dir, from_last, to_dir, to_last, 0) < 0)
		r = fail_errno(e, path);
	return r;
}

static int first_entry(struct untar *u, const struct tar_entry *entry, struct err *e)
{
	const char *name = entry->path;

	while (text_starts(name, "./"))
		name += 2;
	if (strcmp(name, ".") != 0 && (name[0] == '/' || !is_plain(name) || strchr(name, '/')))
		return fail(e, -EBADMSG, entry->path, "not the name of a tree");
	u->root = xstrdup(*name ? name : ".");
	return u->place(entry->type, u->arg, &u->top, &u->name, e);
}

static int put(struct untar *u, const struct tar_entry *entry, struct err *e)
{
	auto_free char *path = NULL;
	const char *relative;
	int r = u->root ? 0 : first_entry(u, entry, e);

	if (r < 0)
		return r;
	relative = untar_relative(u->root, entry->path);
	if (!relative)
		return fail(e, -EBADMSG, entry->path, "a name that leads out of the tree");
	path = below_top(u, relative);
	if (!*path && entry->type != TAR_DIR)
		return fail(e, -EBADMSG, entry->path, "no directory where one belongs");
	switch (entry->type) {
	case TAR_DIR:
		return put_dir(u, path, entry, e);
	case TAR_FILE:
		return start_file(u, path, entry, e);
	case TAR_SYMLINK:
		return put_symlink(u, path, relative, entry, e);
	case TAR_HARDLINK:
		return put_hardlink(u, path, entry, e);
	case TAR_FIFO: /* in image layers only */
	case TAR_CHARACTER:
	case TAR_BLOCK_DEVICE:
	case TAR_TYPE_MAX:
		break;
	}
	return fail(e, -ENOTSUP, path, "an entry of an unknown type");
}

static int event(struct untar *u, const struct tar_event *ev, struct err *e)
{
	int r = 0;

	if (ev->kind == TAR_ENTRY) {
		r = put(u, &ev->entry, e);
	} else if (ev->kind == TAR_DATA && u->file >= 0) {
		r = fs_write_all(u->file, ev->data, ev->len);
		if (r < 0)
			return fail(e, r, u->final, strerror(-r));
	} else if (ev->kind == TAR_ENTRY_END && u->file >= 0) {
		r = finish_file(u, e);
	}
	return r;
}

/* --- the object ------------------------------------------------------------------------------- */

struct untar *untar_new(untar_place_fn *place, void *arg)
{
	static const struct tar_limits limits = { .entries = UNTAR_ENTRIES_MAX,
						  .file_size = 1ULL << 52,
						  .total_size = 1ULL << 52 };
	struct untar *u = xcalloc(1, sizeof(*u));

	u->reader = tar_reader_new(&limits);
	u->place = place;
	u->arg = arg;
	u->top = u->file = u->parent = -1;
	u->mask = umask(077);
	umask(u->mask);
	return u;
}

void untar_free(struct untar *u)
{
	if (!u)
		return;
	drop_file(u);
	tar_reader_free(u->reader);
	if (u->top >= 0)
		close(u->top);
	free(u->root);
	free(u->name);
	free(u);
}

size_t untar_skipped(const struct untar *u)
{
	return u->skipped;
}

int untar_feed(struct untar *u, const char *bytes, size_t n, struct err *e)
{
	struct tar_event ev;

	do {
		size_t used = 0;
		int r = tar_reader_feed(u->reader, bytes, n, &used, &ev, e);

		if (r == 0)
			r = event(u, &ev, e);
		if (r < 0)
			return r;
		bytes += used;
		n -= used;
	} while (ev.kind != TAR_MORE && ev.kind != TAR_END);
	return 0;
}

int untar_finish(struct untar *u, struct err *e)
{
	if (!u->root)
		return err_set(e, ERR_INPUT, -ENODATA, "neither a file nor a directory");
	return tar_reader_finish(u->reader, e);
}
