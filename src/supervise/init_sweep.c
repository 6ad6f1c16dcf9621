/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init_sweep: what programs left in the workspaces is made harmless and removable.
 *
 * Set-user-id and set-group-id bits of regular files would act with the user's own rights on the
 * host; they are taken off.  With a range of ids, files that programs made as root inside (or any
 * other id of the box) are given to the agent, who is the user outside: without that the user could
 * not remove them.
 *
 * It runs as root of the outer user namespace, inside the box's mounts, from descriptors that were
 * opened before any program could move directories about.  The walk goes by
 * descriptor, follows no symlink, crosses no mount, and is bounded in depth, entries and time; what
 * it did not look at is said in the last line.  Depth ends nothing: what is too deep is passed
 * over, so that one deep directory does not keep the rest from being examined.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

enum { SWEEP_DEPTH = 4096, SWEEP_ENTRIES = 2000000, SWEEP_SECONDS = 8, SWEEP_LINES = 64 };
enum { SWEEP_REPORT_MAX = 24576, UNMAPPED = 65534 };

struct sweep {
	const struct box_ids *ids;
	bool give; /* nobody inside uses the files any more */
	struct buf *report;
	struct timespec end;
	uint64_t entries;
	uint64_t set_id;
	uint64_t owned;
	uint64_t failed;
	unsigned lines;
	bool cut;  /* no time left, or too many entries */
	bool deep; /* something was passed over, the rest was examined */
	DIR *stack[SWEEP_DEPTH];
	size_t name_end[SWEEP_DEPTH]; /* length of path for that level */
	size_t depth;
	struct buf path; /* for the report only */
};

static bool out_of_time(struct sweep *s)
{
	struct timespec now;

	if (s->entries >= SWEEP_ENTRIES)
		return true;
	if (s->entries % 256)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec >= s->end.tv_sec;
}

static void say(struct sweep *s, const char *what, const char *name)
{
	if (s->lines >= SWEEP_LINES || s->report->len > SWEEP_REPORT_MAX)
		return;
	s->lines++;
	buf_printf(s->report, "%s ", what);
	text_escape(s->report, s->path.data, s->path.len, 1024);
	buf_putc(s->report, '/');
	text_escape(s->report, name, strlen(name), 256);
	buf_putc(s->report, '\n');
}

static void strip(struct sweep *s, int dirfd, const char *name, const struct stat *seen)
{
	auto_close int fd = fs_openat2(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0,
				       RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_ino != seen->st_ino || !S_ISREG(st.st_mode) ||
	    fchmod(fd, st.st_mode & 01777) < 0) {
		s->failed++;
		say(s, "set-id bit could not be removed:", name);
		return;
	}
	s->set_id++;
	say(s, "set-id bit removed:", name);
}

static void give_back(struct sweep *s, int dirfd, const char *name, const struct stat *st)
{
	bool uid = st->st_uid != s->ids->agent_uid && st->st_uid != UNMAPPED;
	bool gid = st->st_gid != s->ids->agent_gid && st->st_gid != UNMAPPED;

	if (!uid && !gid)
		return;
	if (fchownat(dirfd, name, uid ? s->ids->agent_uid : (uid_t)-1,
		     gid ? s->ids->agent_gid : (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0) {
		s->failed++;
		return;
	}
	s->owned++;
	say(s, "now the user's:", name);
}

static void push(struct sweep *s, int fd, const char *name)
{
	DIR *d;

	if (s->depth == SWEEP_DEPTH) {
		s->deep = true;
		close(fd);
		return;
	}
	d = fdopendir(fd);
	if (!d) {
		s->deep = true;
		close(fd);
		return;
	}
	if (s->depth)
		buf_putc(&s->path, '/');
	buf_puts(&s->path, name);
	s->name_end[s->depth] = s->path.len;
	s->stack[s->depth++] = d;
}

static void pop(struct sweep *s)
{
	closedir(s->stack[--s->depth]);
	s->path.len = s->depth ? s->name_end[s->depth - 1] : 0;
	if (s->path.data)
		s->path.data[s->path.len] = '\0';
}

static void visit(struct sweep *s, int dirfd, const char *name)
{
	struct stat st;
	int fd;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (s->give && s->ids->mode != BOX_ID_SINGLE)
		give_back(s, dirfd, name, &st);
	if (S_ISREG(st.st_mode) && (st.st_mode & (S_ISUID | S_ISGID)))
		strip(s, dirfd, name, &st);
	if (!S_ISDIR(st.st_mode))
		return;
	fd = fs_openat2(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
			RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	if (fd >= 0)
		push(s, fd, name);
	else if (fd != -EXDEV && fd != -ENOENT && fd != -ENOTDIR && fd != -ELOOP)
		s->deep = true; /* mounts are directories of their own in the list */
}

static void walk(struct sweep *s, const struct sweep_dir *top)
{
	int fd = fs_openat2(top->fd, ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH);

	buf_reset(&s->path);
	s->depth = 0;
	if (fd >= 0)
		push(s, fd, top->path);
	else
		s->deep = true;
	while (s->depth && !s->cut) {
		struct dirent *d = readdir(s->stack[s->depth - 1]);

		if (!d) {
			pop(s);
			continue;
		}
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		s->entries++;
		if (out_of_time(s))
			s->cut = true;
		else
			visit(s, dirfd(s->stack[s->depth - 1]), d->d_name);
	}
	while (s->depth)
		pop(s);
}

void init_sweep(const struct sweep_dir *dirs, size_t n, const struct box_ids *ids, bool give,
		struct buf *report)
{
	struct sweep s = { .ids = ids, .give = give, .report = report };

	clock_gettime(CLOCK_MONOTONIC, &s.end);
	s.end.tv_sec += SWEEP_SECONDS;
	for (size_t i = 0; i < n; i++)
		walk(&s, &dirs[i]);
	buf_free(&s.path);
	if (s.set_id || s.owned || s.failed || s.cut || s.deep)
		buf_printf(report,
			   "%llu set-id bits removed, %llu files given to the user, "
			   "%llu could not be changed%s\n",
			   (unsigned long long)s.set_id, (unsigned long long)s.owned,
			   (unsigned long long)s.failed,
			   s.cut || s.deep ? ", not everything was examined" : "");
}
