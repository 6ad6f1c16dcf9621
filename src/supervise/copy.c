/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy: the confined end of `ward cp`, a tar packer and unpacker that runs as a program of the box.
 *
 * No path chosen by the box is ever resolved on the host: this code has the rights of a program
 * inside and nothing else, so all it can reach is what the user of the box could reach.  It needs
 * no tar program in the template.
 *
 * Pack: entries are named after the last component of PATH ("." for "/" and for PATH ending in
 * "/."), hard links become copies, sockets, FIFOs and devices are left out with a note on fd 2.
 * Unpack: PATH is an existing directory; entries with "..", absolute ones, and ones that would go
 * through a symlink are refused; as root inside, what is made gets the owner of PATH; set-id bits
 * are not restored; directories get their mode and time at the end.  With `missing`, nothing that
 * exists is touched, and an entry whose place is behind a link or a file is passed over.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/tar.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

enum { COPY_DEPTH = 256, COPY_BLOCK = 65536, COPY_MODE = 01777 };

/* --- pack ------------------------------------------------------------------------------------ */

struct pack {
	int out_fd;
	DIR *stack[COPY_DEPTH];
	size_t end[COPY_DEPTH]; /* length of name before that level's entries */
	size_t depth;
	struct buf name;  /* of the entry in the archive */
	struct buf block; /* bytes on their way out */
};

static int flush_block(struct pack *p, struct err *e)
{
	int r = fs_write_all(p->out_fd, p->block.data, p->block.len);

	buf_reset(&p->block);
	return r < 0 ? err_set(e, ERR_SYSTEM, r, "archive: %s", strerror(-r)) : 0;
}

static int name_error(const struct pack *p, struct err *e, const char *what)
{
	auto_free char *shown = NULL;
	int code = errno;

	shown = text_escaped(buf_str(&p->name));
	return err_set(e, ERR_INPUT, -code, "%s: %s: %s", shown, what, strerror(code));
}

static void note(const struct pack *p, const char *what)
{
	auto_free char *shown = text_escaped(buf_str(&p->name));

	dprintf(2, "%s: %s\n", shown, what);
}

/* Exactly size bytes: a file that shrank meanwhile is filled with zeros, as tar programs do. */
static int pack_data(struct pack *p, int fd, uint64_t size, struct err *e)
{
	auto_free char *bytes = xmalloc(COPY_BLOCK);
	uint64_t left = size;

	while (left) {
		size_t want = left < COPY_BLOCK ? (size_t)left : COPY_BLOCK;
		ssize_t n = read(fd, bytes, want);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return name_error(p, e, "read");
		if (n == 0) {
			memset(bytes, 0, want);
			n = (ssize_t)want;
		}
		buf_add(&p->block, bytes, (size_t)n);
		left -= (uint64_t)n;
		r = p->block.len >= COPY_BLOCK ? flush_block(p, e) : 0;
		if (r < 0)
			return r;
	}
	tar_write_padding(&p->block, size);
	return 0;
}

static int pack_file(struct pack *p, int dirfd, const char *name, struct tar_entry *entry,
		     struct err *e)
{
	auto_close int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return name_error(p, e, "open");
	if (!S_ISREG(st.st_mode)) {
		note(p, "changed while it was copied, left out");
		return 0;
	}
	entry->size = (uint64_t)st.st_size;
	r = tar_write_header(&p->block, entry, e);
	return r < 0 ? r : pack_data(p, fd, entry->size, e);
}

static int pack_link(struct pack *p, int dirfd, const char *name, struct tar_entry *entry,
		     struct err *e)
{
	char target[TAR_NAME_MAX + 1];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target));

	if (n < 0)
		return name_error(p, e, "read link");
	if (n == 0 || (size_t)n == sizeof(target)) {
		note(p, "link target is too long, left out");
		return 0;
	}
	target[n] = '\0';
	entry->link = target;
	return tar_write_header(&p->block, entry, e);
}

static int push(struct pack *p, int dirfd, const char *name, struct err *e)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d;

	if (fd < 0)
		return name_error(p, e, "open");
	if (p->depth == COPY_DEPTH) {
		close(fd);
		errno = ENAMETOOLONG;
		return name_error(p, e, "directories are too deep");
	}
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return name_error(p, e, "open");
	}
	p->end[p->depth] = p->name.len;
	p->stack[p->depth++] = d;
	return 0;
}

static int pack_one(struct pack *p, int dirfd, const char *name, struct err *e)
{
	struct stat st;
	struct tar_entry entry = { .path = buf_str(&p->name) };
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return name_error(p, e, "stat");
	entry.mode = st.st_mode & 07777;
	entry.uid = st.st_uid;
	entry.gid = st.st_gid;
	entry.mtime = st.st_mtim.tv_sec;
	entry.mtime_ns = (uint32_t)st.st_mtim.tv_nsec;
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		entry.type = TAR_FILE;
		return pack_file(p, dirfd, name, &entry, e);
	case S_IFLNK:
		entry.type = TAR_SYMLINK;
		return pack_link(p, dirfd, name, &entry, e);
	case S_IFDIR:
		entry.type = TAR_DIR;
		r = tar_write_header(&p->block, &entry, e);
		return r < 0 ? r : push(p, dirfd, name, e);
	default:
		note(p, "not a file, directory or link, left out");
		return 0;
	}
}

static void cut_name(struct pack *p, size_t len)
{
	p->name.len = len;
	if (p->name.data)
		p->name.data[len] = '\0';
}

static int pack_below(struct pack *p, struct err *e)
{
	while (p->depth) {
		DIR *dir = p->stack[p->depth - 1];
		struct dirent *d = readdir(dir);
		int r;

		cut_name(p, p->end[p->depth - 1]);
		if (!d) {
			closedir(dir);
			p->depth--;
			continue;
		}
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		buf_putc(&p->name, '/');
		buf_puts(&p->name, d->d_name);
		r = pack_one(p, dirfd(dir), d->d_name, e);
		if (r == 0 && p->block.len >= COPY_BLOCK)
			r = flush_block(p, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int copy_pack(const char *path, int out_fd, struct err *e)
{
	auto_free char *copy = xstrdup(path);
	auto_close int parent = -1;
	struct pack p = { .out_fd = out_fd };
	size_t n = strlen(copy);
	char *slash;
	const char *name;
	int r;

	while (n > 1 && copy[n - 1] == '/')
		copy[--n] = '\0';
	slash = strrchr(copy, '/');
	if (!slash)
		return err_set(e, ERR_INPUT, -EINVAL, "the path is not absolute");
	name = slash[1] ? slash + 1 : ".";
	if (strcmp(name, "..") == 0)
		return err_set(e, ERR_INPUT, -EINVAL, "the path ends in ..");
	*slash = '\0';
	buf_puts(&p.name, name);
	parent = open(copy[0] ? copy : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = parent < 0 ? name_error(&p, e, "open") : pack_one(&p, parent, name, e);
	if (r == 0)
		r = pack_below(&p, e);
	while (p.depth)
		closedir(p.stack[--p.depth]);
	if (r == 0) {
		tar_write_end(&p.block);
		r = flush_block(&p, e);
	}
	buf_free(&p.name);
	buf_free(&p.block);
	return r;
}

/* --- unpack ---------------------------------------------------------------------------------- */

struct late { /* a directory whose mode and time are set at the end */
	char *path;
	uint32_t mode;
	struct timespec mtime;
};

struct unpack {
	int base;
	bool give; /* as root inside: what is made gets the owner of PATH */
	bool missing;
	char *partial; /* missing: the file being written, which must not be left half-made */
	uid_t uid;
	gid_t gid;
	int fd; /* the file being written */
	struct tar_entry entry;
	struct late *late;
	size_t nlate;
};

static const struct tar_limits limits = { .entries = 10000000,
					  .file_size = 1ULL << 42,
					  .total_size = 1ULL << 44 };

/* The entry's name without "." components, or NULL when it leaves the directory. "" is PATH. */
static char *clean_name(const char *path)
{
	auto_buf b = BUF_INIT;
	const char *p = path;

	if (*p == '/')
		return NULL;
	while (*p) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.')
			return NULL;
		if (n && !(n == 1 && p[0] == '.')) {
			if (b.len)
				buf_putc(&b, '/');
			buf_add(&b, p, n);
		}
		p += n;
		p += strspn(p, "/");
	}
	return b.len ? buf_steal(&b) : xstrdup("");
}

static int entry_error(const char *path, struct err *e, int code)
{
	auto_free char *shown = text_escaped(path);

	return err_set(e, ERR_INPUT, code, "%s: %s", shown,
		       code == -EXDEV || code == -ELOOP ? "would leave the directory"
							: strerror(-code));
}

/* Parent directory (made when missing) and last component of a clean name. */
static int parent_of(struct unpack *u, const char *path, int *ret_fd, const char **ret_name,
		     struct err *e)
{
	const char *slash = strrchr(path, '/');
	auto_free char *dir = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
	int r = 0;

	if (slash)
		r = fs_mkdirs_at(u->base, dir, 0755, ret_fd, e);
	else if ((*ret_fd = fcntl(u->base, F_DUPFD_CLOEXEC, 3)) < 0)
		r = err_sys(e, "open");
	if (r == 0)
		*ret_name = slash ? slash + 1 : path;
	return r;
}

/* Owner, mode and time of what was just made. */
static int dress(struct unpack *u, int dirfd, const char *name, const struct tar_entry *t)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
				     { .tv_sec = t->mtime, .tv_nsec = t->mtime_ns } };

	if (u->give && fchownat(dirfd, name, u->uid, u->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int make_dir(struct unpack *u, int parent, const char *name, const char *path,
		    const struct tar_entry *t)
{
	struct late *l;

	if (mkdirat(parent, name, 0700) < 0) {
		struct stat st;

		if (errno != EEXIST || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		return S_ISDIR(st.st_mode) ? 0 : -EEXIST; /* its mode is its own */
	}
	u->late = xrealloc(u->late, u->nlate + 1, sizeof(*u->late));
	l = &u->late[u->nlate++];
	*l = (struct late){ .path = xstrdup(path),
			    .mode = t->mode & COPY_MODE,
			    .mtime = { .tv_sec = t->mtime, .tv_nsec = t->mtime_ns } };
	if (u->give && fchownat(parent, name, u->uid, u->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int make_hardlink(struct unpack *u, int parent, const char *name, const char *link,
			 struct err *e)
{
	auto_free char *target = clean_name(link);
	auto_close int dir = -1;
	const char *last;
	int r;

	if (!target || !target[0])
		return entry_error(link, e, -EXDEV);
	r = parent_of(u, target, &dir, &last, e);
	if (r == 0 && linkat(dir, last, parent, name, 0) < 0)
		r = entry_error(link, e, -errno);
	return r;
}

static bool exists(int dir, const char *name)
{
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int begin_entry(struct unpack *u, const struct tar_entry *t, struct err *e)
{
	auto_free char *path = clean_name(t->path);
	auto_close int parent = -1;
	const char *name;
	int r;

	if (!path)
		return entry_error(t->path, e, -EXDEV);
	if (!path[0])
		return t->type == TAR_DIR ? 0 : entry_error(t->path, e, -EISDIR);
	r = parent_of(u, path, &parent, &name, e);
	if (u->missing && (r == -ELOOP || r == -ENOTDIR || r == -EXDEV))
		return 0;
	if (r < 0)
		return r;
	if (u->missing && exists(parent, name))
		return 0;
	if (t->type == TAR_DIR) {
		r = make_dir(u, parent, name, path, t);
		return r < 0 ? entry_error(path, e, r) : 0;
	}
	/* Replace, never write through what is there. */
	if (unlinkat(parent, name, 0) < 0 && errno != ENOENT)
		return entry_error(path, e, -errno);
	if (t->type == TAR_HARDLINK)
		return make_hardlink(u, parent, name, t->link, e);
	if (t->type == TAR_SYMLINK) {
		r = symlinkat(t->link, parent, name) < 0 ? -errno : dress(u, parent, name, t);
		return r < 0 ? entry_error(path, e, r) : 0;
	}
	u->fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (u->fd < 0 || (u->give && fchown(u->fd, u->uid, u->gid) < 0))
		return entry_error(path, e, -errno);
	u->entry = *t;
	if (u->missing)
		u->partial = steal(&path);
	return 0;
}

static int end_entry(struct unpack *u, struct err *e)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
				     { .tv_sec = u->entry.mtime, .tv_nsec = u->entry.mtime_ns } };
	int r = 0;

	if (u->fd < 0)
		return 0;
	if (fchmod(u->fd, u->entry.mode & COPY_MODE) < 0 || futimens(u->fd, times) < 0)
		r = err_sys(e, "mode and time");
	close(u->fd);
	u->fd = -1;
	free(steal(&u->partial));
	return r;
}

/* The next time it would be taken for the user's own. */
static void remove_partial(struct unpack *u)
{
	auto_close int parent = -1;
	const char *name;

	if (u->partial && parent_of(u, u->partial, &parent, &name, NULL) == 0)
		(void)unlinkat(parent, name, 0);
	free(steal(&u->partial));
}

static int on_event(struct unpack *u, const struct tar_event *ev, struct err *e)
{
	int r;

	switch (ev->kind) {
	case TAR_ENTRY:
		return begin_entry(u, &ev->entry, e);
	case TAR_DATA:
		r = u->fd >= 0 ? fs_write_all(u->fd, ev->data, ev->len) : 0;
		return r < 0 ? err_set(e, ERR_SYSTEM, r, "write: %s", strerror(-r)) : 0;
	case TAR_ENTRY_END:
		return end_entry(u, e);
	case TAR_MORE:
	case TAR_END:
		break;
	}
	return 0;
}

static int feed(struct unpack *u, struct tar_reader *reader, const char *bytes, size_t n,
		struct err *e)
{
	struct tar_event ev;

	do {
		size_t used = 0;
		int r = tar_reader_feed(reader, bytes, n, &used, &ev, e);

		if (r == 0)
			r = on_event(u, &ev, e);
		if (r < 0)
			return r;
		bytes += used;
		n -= used;
	} while (ev.kind != TAR_MORE && ev.kind != TAR_END);
	return 0;
}

static int read_all(struct unpack *u, int in_fd, struct err *e)
{
	auto_tar_reader reader = tar_reader_new(&limits);
	auto_free char *block = xmalloc(COPY_BLOCK);

	for (;;) {
		ssize_t n = read(in_fd, block, COPY_BLOCK);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "archive");
		if (n == 0)
			return tar_reader_finish(reader, e);
		r = feed(u, reader, block, (size_t)n, e);
		if (r < 0)
			return r;
	}
}

/* Deepest last in, first out: a parent loses its write permission after its children. */
static void finish_dirs(struct unpack *u)
{
	while (u->nlate) {
		struct late *l = &u->late[--u->nlate];
		struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, l->mtime };
		auto_close int fd = fs_open_beneath(u->base, l->path, O_RDONLY | O_DIRECTORY, 0);

		if (fd >= 0 && (futimens(fd, times) < 0 || fchmod(fd, l->mode) < 0))
			dprintf(2, "a directory keeps mode 0700\n");
		free(l->path);
	}
	free(u->late);
}

int copy_unpack(const char *path, bool missing, int in_fd, struct err *e)
{
	auto_free char *shown = text_escaped(path);
	struct unpack u = { .fd = -1, .missing = missing };
	struct stat st;
	int r;

	u.base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (u.base < 0 || fstat(u.base, &st) < 0)
		return err_sys(e, "%s", shown);
	u.give = geteuid() == 0;
	u.uid = st.st_uid;
	u.gid = st.st_gid;
	r = read_all(&u, in_fd, e);
	remove_partial(&u);
	if (u.fd >= 0)
		close(u.fd);
	finish_dirs(&u);
	close(u.base);
	return r;
}
