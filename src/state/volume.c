/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume: an agent's login outside of its sandboxes, <data>/volumes/AGENT.
 *
 * The files lie there under the same names as in the agent's home.  The supervisors of running
 * boxes hold these directories open and watch them, so a volume is emptied, never removed.  Whoever
 * changes a file holds a flock(2) on its directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "state/state_internal.h"

#define VOLUMES "volumes"

enum { VOLUME_DEPTH = 32, LOCK_TRIES = 400, LOCK_PAUSE_MS = 5 };

int state_volume_file(const struct state_paths *p, const char *agent, const char *file, char **ret,
		      struct err *e)
{
	auto_free char *path = xasprintf("%s/" VOLUMES "/%s/%s", p->data, agent, file);
	auto_free char *dir = xasprintf(VOLUMES "/%s/%s", agent, file);
	auto_close int data = open(p->data, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = text_check_name("agent", agent, e);

	if (r < 0)
		return r;
	if (data < 0)
		return err_sys(e, "%s", p->data);
	*strrchr(dir, '/') = '\0';
	r = fs_mkdirs_at(data, dir, 0700, NULL, e);
	if (r < 0)
		return err_prefix(e, "volume of %s", agent);
	*ret = steal(&path);
	return 0;
}

/* --- walking ------------------------------------------------------------------------------------
 */

typedef int visit_fn(int dirfd, const char *name, const struct stat *st, void *arg);

struct walk {
	DIR *stack[VOLUME_DEPTH];
	size_t depth;
	bool lock;
};

static int lock_dir(int fd)
{
	for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
		if (errno != EWOULDBLOCK || tries == LOCK_TRIES)
			return -errno;
		nanosleep(&(struct timespec){ .tv_nsec = LOCK_PAUSE_MS * 1000000L }, NULL);
	}
	return 0;
}

static int enter(struct walk *w, int dirfd, const char *name)
{
	auto_close int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : 0;

	if (r == 0 && w->depth == VOLUME_DEPTH)
		r = -ENAMETOOLONG;
	if (r == 0 && w->lock)
		r = lock_dir(fd);
	if (r < 0)
		return r;
	w->stack[w->depth] = fdopendir(fd);
	if (!w->stack[w->depth])
		return -errno;
	steal_fd(&fd);
	w->depth++;
	return 0;
}

static int walk_on(struct walk *w, visit_fn *visit, void *arg)
{
	DIR *dir = w->stack[w->depth - 1];
	struct dirent *d = readdir(dir);
	struct stat st;

	if (!d) {
		closedir(dir);
		w->depth--;
		return 0;
	}
	if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
		return 0;
	if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return S_ISDIR(st.st_mode) ? enter(w, dirfd(dir), d->d_name)
				   : visit(dirfd(dir), d->d_name, &st, arg);
}

/* Everything in the volume that is no directory. */
static int walk(const struct state_paths *p, const char *agent, bool lock, visit_fn *visit,
		void *arg, struct err *e)
{
	auto_free char *path = xasprintf("%s/" VOLUMES "/%s", p->data, agent);
	struct walk w = { .lock = lock };
	int r = enter(&w, AT_FDCWD, path);

	while (r == 0 && w.depth)
		r = walk_on(&w, visit, arg);
	while (w.depth)
		closedir(w.stack[--w.depth]);
	if (r < 0 && r != -ENOENT)
		return err_set(e, ERR_SYSTEM, r, "volume of %s: %s", agent, strerror(-r));
	return 0;
}

/* --- listing ------------------------------------------------------------------------------------
 */

static int count(int dirfd, const char *name, const struct stat *st, void *arg)
{
	struct state_volume *v = arg;

	(void)dirfd;
	(void)name;
	v->files++;
	v->size += (uint64_t)st->st_size;
	if (st->st_mtime > v->modified)
		v->modified = st->st_mtime;
	return 0;
}

static int by_agent(const void *a, const void *b)
{
	const struct state_volume *x = a;
	const struct state_volume *y = b;

	return strcmp(x->agent, y->agent);
}

int state_volumes(const struct state_paths *p, struct state_volume **ret, size_t *ret_n,
		  struct err *e)
{
	auto_free char *path = fs_join(p->data, VOLUMES);
	DIR *dir = opendir(path);
	struct state_volume *list = NULL;
	struct dirent *d;
	size_t n = 0;
	int r = 0;

	if (!dir && errno != ENOENT)
		return err_sys(e, "%s", path);
	while (r == 0 && dir && (d = readdir(dir)) != NULL) {
		struct state_volume v = { 0 };

		if (text_check_name("agent", d->d_name, NULL) < 0)
			continue;
		r = walk(p, d->d_name, false, count, &v, e);
		if (r < 0 || v.files == 0)
			continue;
		v.agent = xstrdup(d->d_name);
		list = xrealloc(list, n + 1, sizeof(*list));
		list[n++] = v;
	}
	if (dir)
		closedir(dir);
	if (r < 0) {
		state_volumes_free(list, n);
		return r;
	}
	if (n)
		qsort(list, n, sizeof(*list), by_agent);
	*ret = list;
	*ret_n = n;
	return 0;
}

void state_volumes_free(struct state_volume *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i].agent);
	free(list);
}

/* --- emptying -----------------------------------------------------------------------------------
 */

static int drop(int dirfd, const char *name, const struct stat *st, void *arg)
{
	uint64_t *removed = arg;

	(void)st;
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	++*removed;
	return 0;
}

int state_volume_clear(const struct state_paths *p, const char *agent, uint64_t *ret_removed,
		       struct err *e)
{
	uint64_t removed = 0;
	int r = text_check_name("agent", agent, e);

	if (r == 0)
		r = walk(p, agent, true, drop, &removed, e);
	if (r == 0)
		*ret_removed = removed;
	return r;
}
