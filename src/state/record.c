/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: one sandbox directory: its specification, its life lock, its run-time record.
 *
 * Everything is read as if a stranger had written it: opened without following links and without
 * blocking on a FIFO, checked to be a regular file of this user, bounded, parsed strictly.  What
 * fails becomes `problem` of that one sandbox and is nobody else's trouble.
 *
 * The life lock is an open-file-description lock on <id>/lock.  It lasts as long as any copy of the
 * descriptor, like flock(2), but unlike flock it can be asked about without being taken
 * (F_OFD_GETLK), so `ls` never makes a starter believe that the sandbox runs.
 *
 * <id>/run is a link to the runtime directory of the box that runs or ran last.  A client with
 * another XDG_RUNTIME_DIR (cron, su, ssh) finds the control socket through it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "state/state_internal.h"

#define STATE_BUSY "busy"
enum { BUSY_MAX = 256 };

void sandbox_free(struct sandbox *s)
{
	if (!s)
		return;
	free(s->id);
	free(s->dir);
	free(s->run_dir);
	free(s->problem);
	fd_closep(&s->dirfd);
	json_unref(s->spec);
	free(s);
}

bool record_is_id(const char *s)
{
	return strspn(s, "0123456789abcdef") == STATE_ID_LEN && s[STATE_ID_LEN] == '\0';
}

/*
 * Read and parse a JSON record of ours. -ENOENT when the file does not exist; every other failure
 * says what is wrong with the file.
 */
static int read_record(int dirfd, const char *name, struct json **ret, struct err *e)
{
	auto_close int fd = -1;
	auto_buf text = BUF_INIT;
	struct json *j = NULL;
	struct stat st;
	int r;

	fd = fs_open_beneath(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (fd == -ENOENT)
		return -ENOENT;
	if (fd == -ELOOP)
		return err_set(e, ERR_CORRUPT, ELOOP, "%s: a symbolic link", name);
	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "%s", name);
	}
	if (fstat(fd, &st) < 0)
		return err_sys(e, "%s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_CORRUPT, EBADMSG, "%s: not a regular file", name);
	if (st.st_uid != geteuid())
		return err_set(e, ERR_CORRUPT, EPERM, "%s: belongs to uid %u", name,
			       (unsigned int)st.st_uid);
	if (st.st_size > STATE_RECORD_MAX)
		return err_set(e, ERR_CORRUPT, EFBIG, "%s: larger than %d bytes", name,
			       STATE_RECORD_MAX);
	r = fs_read_fd(fd, STATE_RECORD_MAX, &text, e);
	if (r < 0)
		return err_prefix(e, "%s", name), r;
	r = json_parse(buf_str(&text), text.len, &j, e);
	if (r < 0) {
		if (e)
			e->kind = ERR_CORRUPT;
		return err_prefix(e, "%s", name), r;
	}
	if (!json_is_object(j)) {
		json_unref(j);
		return err_set(e, ERR_CORRUPT, EBADMSG, "%s: not an object", name);
	}
	*ret = j;
	return 0;
}

/* What the folder itself needs from a specification; the rest is spec's to judge. */
static int check_spec(const struct json *spec, const char *id, struct err *e)
{
	const char *v = NULL;

	if (json_get_string(spec, "id", &v) < 0 || strcmp(v, id) != 0)
		return err_set(e, ERR_CORRUPT, EBADMSG,
			       "spec.json: its id is not that of its "
			       "directory");
	if (json_get_string(spec, "name", &v) < 0)
		return err_set(e, ERR_CORRUPT, EBADMSG, "spec.json: no name");
	if (text_check_name("spec.json: name", v, e) < 0)
		return -EBADMSG;
	if (json_get_string(spec, "agent", &v) < 0)
		return err_set(e, ERR_CORRUPT, EBADMSG, "spec.json: no agent");
	return 0;
}

static void set_problem(struct sandbox *s, const char *why)
{
	free(s->problem);
	s->problem = text_escaped(why);
	json_unref(s->spec);
	s->spec = NULL;
}

/*
 * Where this sandbox's runtime directory is: what <id>/run says when that is a private directory of
 * ours with the right last component, else below the runtime directory of this process.
 */
static char *find_run_dir(const struct store *st, int dirfd, const char *id)
{
	char target[PATH_MAX];
	auto_close int fd = -1;
	ssize_t n = -1;

	if (dirfd >= 0)
		n = readlinkat(dirfd, "run", target, sizeof(target) - 1);
	if (n > STATE_ID_LEN + 1 && target[0] == '/') {
		target[n] = '\0';
		if (target[n - STATE_ID_LEN - 1] == '/' &&
		    strcmp(target + n - STATE_ID_LEN, id) == 0 &&
		    fs_open_private_dir(target, geteuid(), &fd, NULL) == 0)
			return xstrdup(target);
	}
	return fs_join(st->paths->runtime, id);
}

static int open_dir(const struct store *st, struct sandbox *s, struct err *e)
{
	struct stat sb;
	int fd = fs_open_beneath(st->sandboxes, s->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	if (fd == -ENOENT || fd == -EMFILE || fd == -ENFILE) {
		errno = -fd;
		return fd == -ENOENT ? fd : err_sys(e, "sandbox %s", s->id);
	}
	if (fd < 0) {
		set_problem(s, fd == -ELOOP ? "its directory is a symbolic link"
					    : "its directory cannot be opened");
		return 0;
	}
	s->dirfd = fd;
	if (fstat(fd, &sb) == 0 && sb.st_uid != geteuid()) {
		auto_free char *why =
			xasprintf("its directory belongs to uid %u", (unsigned int)sb.st_uid);

		set_problem(s, why);
	}
	return 0;
}

int record_open(const struct store *st, const char *id, struct sandbox **ret, struct err *e)
{
	struct sandbox *s = xcalloc(1, sizeof(*s));
	auto_free char *top = fs_join(st->paths->data, "sandboxes");
	struct err why = ERR_INIT;
	int r;

	s->dirfd = -1;
	s->id = xstrdup(id);
	s->dir = fs_join(top, id);
	r = open_dir(st, s, e);
	if (r == 0 && !s->problem) {
		r = read_record(s->dirfd, "spec.json", &s->spec, &why);
		if (r == 0)
			r = check_spec(s->spec, id, &why);
		if (r < 0 && r != -ENOENT) {
			set_problem(s, why.message);
			r = 0;
		}
	}
	if (r < 0) {
		sandbox_free(s);
		return r;
	}
	s->run_dir = find_run_dir(st, s->dirfd, id);
	*ret = s;
	return 0;
}

const char *record_name(const struct sandbox *s)
{
	const char *name = NULL;

	if (s->spec && json_get_string(s->spec, "name", &name) == 0)
		return name;
	return NULL;
}

int64_t record_created_at(const struct sandbox *s)
{
	const char *text;
	struct stat sb;
	int64_t t = 0;

	if (s->spec && json_get_int(s->spec, "created_at", &t) == 0)
		return t;
	if (s->spec && json_get_string(s->spec, "created_at", &text) == 0 &&
	    text_parse_rfc3339(text, &t) == 0)
		return t;
	if (s->dirfd >= 0 && fstat(s->dirfd, &sb) == 0)
		return sb.st_mtim.tv_sec;
	return 0;
}

bool record_key_of(const struct json *spec, struct record_key *ret)
{
	const struct json *ws = json_at(json_get(spec, "workspaces"), 0);
	struct record_key k = { 0 };
	const char *name = NULL;
	bool named;

	if (!ws || json_get_string(spec, "agent", &k.agent) < 0 ||
	    json_get_string(spec, "name", &name) < 0 || json_get_string(ws, "path", &k.path) < 0 ||
	    json_get_uint(ws, "dev", &k.dev) < 0 || json_get_uint(ws, "ino", &k.ino) < 0)
		return false;
	if (json_get_bool(spec, "named", &named) < 0)
		named = !record_name_is_made(name, k.agent, k.path);
	if (named)
		return false;
	*ret = k;
	return true;
}

bool record_key_equal(const struct record_key *a, const struct record_key *b)
{
	return a->dev == b->dev && a->ino == b->ino && strcmp(a->agent, b->agent) == 0 &&
	       strcmp(a->path, b->path) == 0;
}

/* --- the life lock -------------------------------------------------------------------------- */

static int gone(const struct sandbox *s, struct err *e)
{
	err_set(e, ERR_NOT_FOUND, ENOENT, "sandbox %s: it was removed", s->id);
	return err_hint(e, "ward ls"), -ENOENT;
}

int record_open_lock(const struct sandbox *s, int *ret_fd, struct err *e)
{
	struct stat st;
	int fd;

	if (s->dirfd < 0)
		return err_set(e, ERR_CORRUPT, EBADMSG, "sandbox %s: %s", s->id,
			       s->problem ? s->problem : "no directory");
	fd = fs_open_beneath(s->dirfd, "lock", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (fd == -ENOENT)
		fd = fs_open_beneath(s->dirfd, "lock",
				     O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
	if (fd == -ENOENT) /* the directory itself was removed */
		return gone(s, e);
	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "sandbox %s: lock", s->id);
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid()) {
		close(fd);
		return err_set(e, ERR_CORRUPT, EBADMSG, "sandbox %s: lock: not a file of ours",
			       s->id);
	}
	*ret_fd = fd;
	return 0;
}

int state_lock(const struct sandbox *s, int *ret_fd, struct err *e)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	auto_close int fd = -1;
	struct stat st;
	int r = record_open_lock(s, &fd, e);

	if (r < 0)
		return r;
	if (fcntl(fd, F_OFD_SETLK, &whole) < 0) {
		if (errno == EAGAIN || errno == EACCES)
			return err_set(e, ERR_CONFLICT, EWOULDBLOCK, "sandbox %s: it is in use",
				       s->id);
		return err_sys(e, "sandbox %s: lock", s->id);
	}
	/* Whoever removed it held the lock until now: then this file has no name any more. */
	if (fstat(fd, &st) < 0 || st.st_nlink == 0 ||
	    (!s->problem && faccessat(s->dirfd, "spec.json", F_OK, AT_SYMLINK_NOFOLLOW) < 0))
		return gone(s, e);
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Open a file of the sandbox's that somebody holds a lock of; else -1. */
static int open_locked(const struct sandbox *s, const char *name)
{
	auto_close int fd = -1;
	struct stat st;

	if (s->dirfd < 0)
		return -1;
	fd = fs_open_beneath(s->dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !fs_is_locked(fd))
		return -1;
	return steal_fd(&fd);
}

bool state_is_running(const struct sandbox *s)
{
	auto_close int lock = open_locked(s, "lock");

	return lock >= 0 && !state_busy(s, NULL);
}

int state_busy_begin(const struct sandbox *s, const char *what, int *ret_fd, struct err *e)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	auto_close int fd = -1;
	int r = fs_replace_at(s->dirfd, STATE_BUSY, what, strlen(what), 0600, false, e);

	if (r < 0)
		return err_prefix(e, "sandbox %s", s->id);
	fd = fs_open_beneath(s->dirfd, STATE_BUSY, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &whole) < 0)
		return err_sys(e, "sandbox %s: " STATE_BUSY, s->id);
	*ret_fd = steal_fd(&fd);
	return 0;
}

void state_busy_end(const struct sandbox *s, int *fd)
{
	if (*fd >= 0)
		(void)unlinkat(s->dirfd, STATE_BUSY, 0);
	fd_closep(fd);
	*fd = -1;
}

bool state_busy(const struct sandbox *s, char **ret_what)
{
	auto_close int fd = open_locked(s, STATE_BUSY);
	auto_buf what = BUF_INIT;

	if (fd < 0)
		return false;
	if (ret_what && fs_read_fd(fd, BUSY_MAX, &what, NULL) == 0)
		*ret_what = text_escaped(buf_str(&what));
	else if (ret_what)
		*ret_what = xstrdup("in use");
	return true;
}

/* --- the run-time record -------------------------------------------------------------------- */

static int need_dir(const struct sandbox *s, struct err *e)
{
	if (s->dirfd >= 0)
		return 0;
	return err_set(e, ERR_CORRUPT, EBADMSG, "sandbox %s: %s", s->id,
		       s->problem ? s->problem : "no directory");
}

int state_write(const struct sandbox *s, const struct json *record, struct err *e)
{
	auto_buf text = BUF_INIT;
	int r = need_dir(s, e);

	if (r < 0)
		return r;
	json_write(record, true, &text);
	if (text.len > STATE_RECORD_MAX)
		return err_set(e, ERR_INPUT, EFBIG, "sandbox %s: state.json: larger than %d bytes",
			       s->id, STATE_RECORD_MAX);
	/* Worthless after a power failure, so it is not synced. */
	r = fs_replace_at(s->dirfd, "state.json", buf_str(&text), text.len, 0600, false, e);
	return r < 0 ? (err_prefix(e, "sandbox %s", s->id), r) : 0;
}

int state_read(const struct sandbox *s, struct json **ret, struct err *e)
{
	int r = need_dir(s, e);

	if (r == 0)
		r = read_record(s->dirfd, "state.json", ret, e);
	if (r < 0 && r != -ENOENT)
		err_prefix(e, "sandbox %s", s->id);
	return r;
}

int state_sync(const struct sandbox *s, struct err *e)
{
	auto_close int spec = -1;
	auto_close int parent = -1;
	int r = need_dir(s, e);

	if (r < 0)
		return r;
	spec = fs_open_beneath(s->dirfd, "spec.json", O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (spec < 0 || fsync(spec) < 0 || fsync(s->dirfd) < 0) {
		if (spec < -1)
			errno = -spec;
		return err_sys(e, "sandbox %s: fsync", s->id);
	}
	/* A supervisor that has confined itself cannot open it; the usual file systems make a
	 * file's ancestors durable together with the file. */
	parent = openat(s->dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent >= 0 && fsync(parent) < 0)
		return err_sys(e, "sandbox %s: fsync", s->id);
	return 0;
}

/* Leave <id>/run for clients with another XDG_RUNTIME_DIR; only a convenience. */
static void note_run_dir(const struct sandbox *s)
{
	if (s->dirfd < 0)
		return;
	unlinkat(s->dirfd, "run", 0);
	if (symlinkat(s->run_dir, s->dirfd, "run") < 0)
		errno = 0;
}

int state_run_dir(const struct sandbox *s, int *ret_dirfd, struct err *e)
{
	auto_free char *parent = xstrdup(s->run_dir);
	auto_close int top = -1;
	char *slash = strrchr(parent, '/');
	int fd, r;

	*slash = '\0';
	r = fs_mkdirs(parent, 0700, e);
	if (r < 0)
		return r;
	r = fs_open_private_dir(parent, geteuid(), &top, e);
	if (r < 0)
		return r;
	r = fs_remove_tree_at(top, s->id, e);
	if (r < 0)
		return r;
	if (mkdirat(top, s->id, 0700) < 0)
		return err_sys(e, "runtime directory '%s'", s->run_dir);
	fd = fs_open_beneath(top, s->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "runtime directory '%s'", s->run_dir);
	}
	note_run_dir(s);
	*ret_dirfd = fd;
	return 0;
}
