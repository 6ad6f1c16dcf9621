/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_tree: removing and measuring whole trees that somebody else has filled.
 *
 * Such a tree may be deeper than any path or descriptor limit, so both walks keep a stack of at
 * most WALK_DEPTH open directories and never use a path of more than one component.
 *
 * Removing: a directory that would be deeper is moved up into the top of the tree, where a later
 * pass finds it; everything goes away anyhow, so its place does not matter.  A directory is scanned
 * again until rmdir succeeds, because readdir promises nothing about a directory that changes.
 *
 * Measuring must not change the tree: the shallowest directory is closed and its position kept; on
 * the way back it is reached through ".." and must be the same inode as before.
 *
 * Invariant: a directory is entered with RESOLVE_NO_XDEV and RESOLVE_NO_SYMLINKS, so neither a
 * symlink put in its place nor a mount (bind mounts of the same device included) leads out.
 */
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/compat.h"
#include "base/mem.h"
#include "base/text.h"

enum {
	WALK_DEPTH = 32,
	/* Scans of one directory that others keep filling. */
	SCAN_TRIES = 64,
	/* Inodes with several names that are remembered; beyond, each name counts. */
	LINKS_MAX = 1 << 20,
};

static const uint64_t enter_resolve =
	RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* One open directory of the removal stack. */
struct level {
	DIR *dir;
	int scans;
	char name[NAME_MAX + 1]; /* in the level above */
};

struct removal {
	struct level *stack;
	size_t depth;
	uint64_t serial; /* for the names of what is moved to the top */
	bool moved;	 /* something was, since the top was last read to its end */
};

/* Give the owner all rights on a directory that cannot be opened as it is; 0 or -errno. */
static int make_accessible(int dirfd, const char *name)
{
	auto_close int fd = fs_openat2(dirfd, name, O_PATH | O_DIRECTORY, 0, enter_resolve);
	char link[32];

	if (fd < 0)
		return fd;
	/* fchmod refuses O_PATH; the magic link leads to the inode that was opened. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return chmod(link, 0700) < 0 ? -errno : 0;
}

/* Open the directory dirfd/name with all rights of its owner; fd or -errno. */
static int enter(int dirfd, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK;
	auto_close int fd = fs_openat2(dirfd, name, flags, 0, enter_resolve);
	struct stat st;

	if (fd == -EACCES) {
		int r = make_accessible(dirfd, name);

		if (r < 0)
			return r;
		fd = fs_openat2(dirfd, name, flags, 0, enter_resolve);
	}
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	/* Best effort: what may not be changed shows when its entries are unlinked. */
	if ((st.st_mode & 0700) != 0700 && fchmod(fd, 0700) < 0 && errno != EPERM)
		return -errno;
	return steal_fd(&fd);
}

static int push(struct removal *rm, int dirfd, const char *name)
{
	struct level *next = &rm->stack[rm->depth];
	auto_close int fd = enter(dirfd, name);

	if (fd < 0)
		return fd;
	next->dir = fdopendir(fd);
	if (next->dir == NULL)
		return -errno;
	(void)steal_fd(&fd);
	next->scans = 0;
	snprintf(next->name, sizeof(next->name), "%s", name);
	rm->depth++;
	return 0;
}

/* Move the directory fd/name into the top of the tree, under a name that is free there. */
static int move_up(struct removal *rm, int fd, const char *name)
{
	int top = dirfd(rm->stack[0].dir);
	char fresh[48];

	for (;;) {
		snprintf(fresh, sizeof(fresh), ".ward-removed-%llu",
			 (unsigned long long)rm->serial++);
		rm->moved = true;
		if (renameat2(fd, name, top, fresh, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno == EACCES) {
			/* ".." of the directory changes, so its own write bit is needed. */
			int r = make_accessible(fd, name);

			if (r < 0)
				return r;
			if (renameat2(fd, name, top, fresh, RENAME_NOREPLACE) == 0)
				return 0;
		}
		if (errno != EEXIST)
			return -errno;
	}
}

/* Remove fd/name, or descend into it. */
static int remove_entry(struct removal *rm, int fd, const char *name, bool maybe_dir)
{
	int r;

	if (!maybe_dir) {
		if (unlinkat(fd, name, 0) == 0 || errno == ENOENT)
			return 0;
		if (errno != EISDIR)
			return -errno;
	}
	if (unlinkat(fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno == ENOTDIR)
		return unlinkat(fd, name, 0) == 0 || errno == ENOENT ? 0 : -errno;
	/* A directory in the way of others is EBUSY: entering it tells that it is a mount. */
	if (errno != ENOTEMPTY && errno != EEXIST && errno != EBUSY && errno != EACCES)
		return -errno;
	r = rm->depth < WALK_DEPTH ? push(rm, fd, name) : move_up(rm, fd, name);
	return r == -ENOENT ? 0 : r;
}

/* The top of the stack was read to its end: remove it, or scan again what is left in it. */
static int pop(struct removal *rm, int above)
{
	struct level *done = &rm->stack[rm->depth - 1];
	int parent = rm->depth > 1 ? dirfd(rm->stack[rm->depth - 2].dir) : above;

	if (unlinkat(parent, done->name, AT_REMOVEDIR) < 0 && errno != ENOENT) {
		if (errno != ENOTEMPTY && errno != EEXIST)
			return -errno;
		/* What we moved into the top ourselves is a reason for another pass, any number. */
		if (rm->depth == 1 && rm->moved)
			rm->moved = false;
		else if (done->scans++ > SCAN_TRIES)
			return -EBUSY;
		rewinddir(done->dir);
		return 0;
	}
	closedir(done->dir);
	rm->depth--;
	return 0;
}

static int remove_walk(struct removal *rm, int above)
{
	while (rm->depth > 0) {
		DIR *dir = rm->stack[rm->depth - 1].dir;
		struct dirent *d;
		int r;

		errno = 0;
		d = readdir(dir);
		if (d == NULL && errno != 0)
			return -errno;
		if (d == NULL)
			r = pop(rm, above);
		else if (is_dot(d->d_name))
			r = 0;
		else
			r = remove_entry(rm, dirfd(dir), d->d_name, d->d_type == DT_DIR);
		if (r < 0)
			return r;
	}
	return 0;
}

int fs_remove_tree_at(int dirfd, const char *name, struct err *e)
{
	struct removal rm = { 0 };
	auto_free char *shown = NULL;
	int r;

	if (name[0] == '\0' || is_dot(name) || strchr(name, '/') != NULL || strlen(name) > NAME_MAX)
		r = -EINVAL;
	else if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	else
		r = errno == EISDIR ? 0 : -errno;
	if (r == 0) {
		rm.stack = xcalloc(WALK_DEPTH, sizeof(*rm.stack));
		r = remove_entry(&rm, dirfd, name, true);
		if (r == 0)
			r = remove_walk(&rm, dirfd);
		while (rm.depth > 0)
			closedir(rm.stack[--rm.depth].dir);
		free(rm.stack);
	}
	if (r == 0)
		return 0;
	shown = text_escaped(name);
	errno = -r;
	return err_sys(e, "cannot remove '%s'", shown);
}

/* Inodes with several names that were counted: open addressing, a power of two; 0 is free. */
struct links {
	uint64_t *slots;
	size_t cap;
	size_t used;
};

static bool links_insert(uint64_t *slots, size_t cap, uint64_t ino)
{
	size_t i = (size_t)text_fnv1a(&ino, sizeof(ino)) & (cap - 1);

	while (slots[i] != 0 && slots[i] != ino)
		i = (i + 1) & (cap - 1);
	if (slots[i] == ino)
		return false;
	slots[i] = ino;
	return true;
}

/* True the first time that the inode is seen. */
static bool links_first(struct links *l, uint64_t ino)
{
	if (l->used >= LINKS_MAX)
		return true;
	if (2 * l->used >= l->cap) {
		size_t cap = l->cap != 0 ? 2 * l->cap : 256;
		uint64_t *slots = xcalloc(cap, sizeof(*slots));

		for (size_t i = 0; i < l->cap; i++) {
			if (l->slots[i] != 0)
				links_insert(slots, cap, l->slots[i]);
		}
		free(l->slots);
		l->slots = slots;
		l->cap = cap;
	}
	if (!links_insert(l->slots, l->cap, ino))
		return false;
	l->used++;
	return true;
}

/* A directory being measured; dir is NULL while it is closed to save a descriptor. */
struct place {
	DIR *dir;
	long pos;
	dev_t dev;
	ino_t ino;
};

struct measure {
	struct place *stack;
	size_t depth;
	size_t cap;
	struct links links;
	uint64_t bytes;
	uint64_t inodes;
};

static int measure_push(struct measure *m, int *fd, const struct stat *st)
{
	struct place *p;

	if (m->depth == m->cap) {
		m->cap = m->cap != 0 ? 2 * m->cap : WALK_DEPTH;
		m->stack = xrealloc(m->stack, m->cap, sizeof(*m->stack));
	}
	p = &m->stack[m->depth];
	*p = (struct place){ .dir = fdopendir(*fd), .dev = st->st_dev, .ino = st->st_ino };
	if (p->dir == NULL)
		return -errno;
	(void)steal_fd(fd);
	m->depth++;
	if (m->depth > WALK_DEPTH) {
		struct place *far = &m->stack[m->depth - 1 - WALK_DEPTH];

		/* On the way back from the depth only the nearest one was opened again. */
		if (far->dir != NULL) {
			far->pos = telldir(far->dir);
			closedir(far->dir);
			far->dir = NULL;
		}
	}
	return 0;
}

/* Leave the top of the stack; its parent is opened again if it was closed. */
static int measure_pop(struct measure *m)
{
	struct place *done = &m->stack[--m->depth];
	struct place *parent = m->depth > 0 ? done - 1 : NULL;
	auto_close int fd = -1;
	struct stat st;
	int r = 0;

	if (parent != NULL && parent->dir == NULL) {
		fd = openat(dirfd(done->dir), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) < 0)
			r = -errno;
		else if (st.st_dev != parent->dev || st.st_ino != parent->ino)
			r = -ESTALE; /* somebody moved the directory that we are in */
		else if ((parent->dir = fdopendir(fd)) == NULL)
			r = -errno;
		if (r == 0) {
			(void)steal_fd(&fd);
			seekdir(parent->dir, parent->pos);
		}
	}
	closedir(done->dir);
	return r;
}

static int measure_entry(struct measure *m, int fd, const char *name)
{
	auto_close int child = -1;
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISDIR(st.st_mode)) {
		if (st.st_nlink > 1 && !links_first(&m->links, st.st_ino))
			return 0;
		m->bytes += (uint64_t)st.st_blocks * 512;
		m->inodes++;
		return 0;
	}
	child = fs_openat2(fd, name, O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0, enter_resolve);
	if (child == -ENOENT || child == -ENOTDIR || child == -ELOOP || child == -EXDEV)
		return 0;
	m->bytes += (uint64_t)st.st_blocks * 512;
	m->inodes++;
	/* What we may not read counts for itself only. */
	if (child == -EACCES)
		return 0;
	return child < 0 ? child : measure_push(m, &child, &st);
}

static int measure_walk(struct measure *m)
{
	while (m->depth > 0) {
		DIR *dir = m->stack[m->depth - 1].dir;
		struct dirent *d;
		int r;

		errno = 0;
		d = readdir(dir);
		if (d == NULL && errno != 0)
			return -errno;
		if (d == NULL)
			r = measure_pop(m);
		else if (is_dot(d->d_name))
			r = 0;
		else
			r = measure_entry(m, dirfd(dir), d->d_name);
		if (r < 0)
			return r;
	}
	return 0;
}

int fs_disk_usage(int dirfd, uint64_t *ret_bytes, uint64_t *ret_inodes, struct err *e)
{
	auto_close int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct measure m = { 0 };
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "cannot measure a directory");
	m.bytes = (uint64_t)st.st_blocks * 512;
	m.inodes = 1;
	r = measure_push(&m, &fd, &st);
	if (r == 0)
		r = measure_walk(&m);
	while (m.depth > 0) {
		struct place *p = &m.stack[--m.depth];

		if (p->dir != NULL)
			closedir(p->dir);
	}
	free(m.stack);
	free(m.links.slots);
	if (r < 0) {
		errno = -r;
		return err_sys(e, "cannot measure a directory");
	}
	*ret_bytes = m.bytes;
	*ret_inodes = m.inodes;
	return 0;
}
