/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index: finding a sandbox by its name or by its workspace without reading all of them.
 *
 * names/<name> and keys/<hash> are symlinks whose target is an id.  They are hints: a hit is
 * believed only after the record itself says the same.  A miss is believed only while the index is
 * known to be complete, which the symlink `index` tells: its target holds the inode numbers and
 * modification times of sandboxes/, names/ and keys/ as the last change of ours left them.  Without
 * a stamp that says the same, a miss reads every record and makes the links anew.
 *
 * Writers hold the store lock, take the stamp away before they touch a link, make links before they
 * commit spec.json and stamp the index last: one that is killed in the middle leaves no stamp, and
 * none of this rests on the resolution of a file system's clock.  Only what other hands change here
 * is told by the times.  Readers take no lock: one that overlaps with a writer sees no stamp, waits
 * for the lock and looks again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "state/state_internal.h"

enum { STAMP_MAX = 512, KEY_LEN = 16, KEEP_FREE_FDS = 256 };

/* --- the store ------------------------------------------------------------------------------ */

void store_close(struct store *st)
{
	fd_closep(&st->data);
	fd_closep(&st->sandboxes);
	fd_closep(&st->names);
	fd_closep(&st->keys);
}

static int open_part(int data, const char *name, int *ret, struct err *e)
{
	int fd = fs_open_beneath(data, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	if (fd == -ENOENT) {
		if (mkdirat(data, name, 0700) < 0 && errno != EEXIST)
			return err_sys(e, "state directory '%s'", name);
		fd = fs_open_beneath(data, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	}
	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "state directory '%s'", name);
	}
	*ret = fd;
	return 0;
}

int store_open(const struct state_paths *p, struct store *ret, struct err *e)
{
	struct store st = STORE_INIT;
	int r;

	st.paths = p;
	r = fs_open_private_dir(p->data, geteuid(), &st.data, e);
	if (r == 0)
		r = open_part(st.data, "sandboxes", &st.sandboxes, e);
	if (r == 0)
		r = open_part(st.data, "names", &st.names, e);
	if (r == 0)
		r = open_part(st.data, "keys", &st.keys, e);
	if (r < 0) {
		store_close(&st);
		return r;
	}
	*ret = st;
	return 0;
}

int store_lock(const struct store *st, int *ret_fd, struct err *e)
{
	auto_close int fd = fs_open_beneath(
		st->data, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
	struct stat sb;

	if (fd < 0) {
		errno = -fd;
		fd = -1;
		return err_sys(e, "'%s/lock'", st->paths->data);
	}
	if (fstat(fd, &sb) < 0 || !S_ISREG(sb.st_mode) || sb.st_uid != geteuid()) {
		err_set(e, ERR_CORRUPT, EBADMSG, "'%s/lock': not a file of ours", st->paths->data);
		return err_hint(e, "rm '%s/lock'", st->paths->data), -EBADMSG;
	}
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(e, "'%s/lock'", st->paths->data);
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* --- scanning ------------------------------------------------------------------------------- */

static int by_age(const void *pa, const void *pb)
{
	struct sandbox *const *a = pa;
	struct sandbox *const *b = pb;
	int64_t ta = record_created_at(*a), tb = record_created_at(*b);

	if (ta != tb)
		return ta < tb ? -1 : 1;
	return strcmp((*a)->id, (*b)->id);
}

/* A second handle on the directory, read from its start. */
static DIR *open_dir_again(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !d)
		close(fd);
	return d;
}

/* Each listed sandbox holds a descriptor: room for many of them. */
static void make_room_for_fds(size_t n)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= n + KEEP_FREE_FDS)
		return;
	l.rlim_cur = n + KEEP_FREE_FDS < l.rlim_max ? n + KEEP_FREE_FDS : l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) < 0)
		errno = 0;
}

static int scan_ids(const struct store *st, struct strv *ids, struct err *e)
{
	DIR *d = open_dir_again(st->sandboxes);
	struct dirent *de;

	if (!d)
		return err_sys(e, "'%s/sandboxes'", st->paths->data);
	while ((de = readdir(d)) != NULL)
		if (record_is_id(de->d_name))
			strv_add(ids, de->d_name);
	closedir(d);
	return 0;
}

int index_scan(const struct store *st, struct sandbox ***ret, size_t *ret_n, struct err *e)
{
	auto_strv ids = STRV_INIT;
	struct sandbox **list;
	size_t i, n = 0;
	int r = scan_ids(st, &ids, e);

	if (r < 0)
		return r;
	make_room_for_fds(ids.n);
	list = xcalloc(ids.n + 1, sizeof(*list));
	for (i = 0; i < ids.n; i++) {
		r = record_open(st, ids.v[i], &list[n], e);
		if (r == 0) {
			n++;
		} else if (r != -ENOENT) {
			state_list_free(list, n);
			return r;
		}
	}
	qsort(list, n, sizeof(*list), by_age);
	*ret = list;
	*ret_n = n;
	return 0;
}

void state_list_free(struct sandbox **list, size_t n)
{
	size_t i;

	if (!list)
		return;
	for (i = 0; i < n; i++)
		sandbox_free(list[i]);
	free(list);
}

/* --- stamp ---------------------------------------------------------------------------------- */

static int make_stamp(const struct store *st, char out[static STAMP_MAX])
{
	const int fds[] = { st->sandboxes, st->names, st->keys };
	size_t at = 0, i;
	struct stat sb;

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		if (fstat(fds[i], &sb) < 0)
			return -errno;
		at += (size_t)snprintf(out + at, STAMP_MAX - at, "%s%" PRIx64 ":%" PRIx64 ".%lx",
				       i ? "-" : "", (uint64_t)sb.st_ino,
				       (uint64_t)sb.st_mtim.tv_sec,
				       (unsigned long)sb.st_mtim.tv_nsec);
	}
	return 0;
}

/* The links are about to change: until the next stamp nobody may believe a miss. */
static void unstamp(const struct store *st)
{
	unlinkat(st->data, "index", 0);
}

void index_stamp(const struct store *st)
{
	char stamp[STAMP_MAX];

	/* Without a stamp every miss is a scan: slow, never wrong. */
	if (make_stamp(st, stamp) < 0)
		return;
	unstamp(st);
	if (symlinkat(stamp, st->data, "index") < 0)
		errno = 0;
}

static bool stamp_is_current(const struct store *st)
{
	char want[STAMP_MAX], have[STAMP_MAX];
	ssize_t n = readlinkat(st->data, "index", have, sizeof(have) - 1);

	if (n <= 0 || make_stamp(st, want) < 0)
		return false;
	have[n] = '\0';
	return strcmp(have, want) == 0;
}

/* --- links ---------------------------------------------------------------------------------- */

static void key_text(const struct record_key *k, char out[static KEY_LEN + 1])
{
	auto_buf b = BUF_INIT;

	buf_add(&b, k->agent, strlen(k->agent) + 1);
	buf_add(&b, k->path, strlen(k->path) + 1);
	buf_printf(&b, "%" PRIu64 ":%" PRIu64, k->dev, k->ino);
	snprintf(out, KEY_LEN + 1, "%016" PRIx64, text_fnv1a(b.data, b.len));
}

static bool read_link(int dirfd, const char *name, char id[static STATE_ID_LEN + 1])
{
	char target[STATE_ID_LEN + 2];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target));

	if (n != STATE_ID_LEN)
		return false;
	target[n] = '\0';
	if (!record_is_id(target))
		return false;
	memcpy(id, target, STATE_ID_LEN + 1);
	return true;
}

/* Replace whatever has this name. */
static int set_link(int dirfd, const char *name, const char *id, struct err *e)
{
	int r = fs_remove_tree_at(dirfd, name, e);

	if (r < 0)
		return r;
	if (symlinkat(id, dirfd, name) < 0)
		return err_sys(e, "index link '%s'", name);
	return 0;
}

int index_add(const struct store *st, const char *id, const struct json *spec, struct err *e)
{
	char key[KEY_LEN + 1];
	struct record_key k;
	const char *name;
	int r;

	r = json_get_string(spec, "name", &name);
	if (r < 0)
		return err_set(e, ERR_INPUT, EINVAL, "sandbox: no name");
	unstamp(st);
	r = set_link(st->names, name, id, e);
	if (r == 0 && record_key_of(spec, &k)) {
		key_text(&k, key);
		r = set_link(st->keys, key, id, e);
	}
	return r;
}

/* Remove every link in this directory that leads to the id. */
static void drop_links_to(int dirfd, const char *id)
{
	char target[STATE_ID_LEN + 1];
	DIR *d = open_dir_again(dirfd);
	struct dirent *de;

	if (!d)
		return;
	while ((de = readdir(d)) != NULL)
		if (read_link(dirfd, de->d_name, target) && strcmp(target, id) == 0)
			unlinkat(dirfd, de->d_name, 0);
	closedir(d);
}

void index_drop(const struct store *st, const struct sandbox *s)
{
	char key[KEY_LEN + 1], target[STATE_ID_LEN + 1];
	const char *name = record_name(s);
	struct record_key k;

	unstamp(st);
	if (!name) { /* a bad record does not tell its name */
		drop_links_to(st->names, s->id);
		drop_links_to(st->keys, s->id);
		return;
	}
	if (read_link(st->names, name, target) && strcmp(target, s->id) == 0)
		unlinkat(st->names, name, 0);
	if (!record_key_of(s->spec, &k))
		return;
	key_text(&k, key);
	if (read_link(st->keys, key, target) && strcmp(target, s->id) == 0)
		unlinkat(st->keys, key, 0);
}

/* --- rebuilding ----------------------------------------------------------------------------- */

static const struct sandbox *by_id(struct sandbox *const *list, size_t n, const char *id)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(list[i]->id, id) == 0)
			return list[i];
	return NULL;
}

/*
 * Empty a directory of links, except those that lead to a bad record: the link is then the only
 * thing that still knows its name.
 */
static int wipe_links(int dirfd, struct sandbox *const *list, size_t n, struct err *e)
{
	char target[STATE_ID_LEN + 1];
	auto_strv doomed = STRV_INIT;
	DIR *d = open_dir_again(dirfd);
	struct dirent *de;
	size_t i;

	if (!d)
		return err_sys(e, "index");
	while ((de = readdir(d)) != NULL) {
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (read_link(dirfd, de->d_name, target)) {
			const struct sandbox *s = by_id(list, n, target);

			if (s && s->problem)
				continue;
		}
		strv_add(&doomed, de->d_name);
	}
	closedir(d);
	for (i = 0; i < doomed.n; i++) {
		int r = fs_remove_tree_at(dirfd, doomed.v[i], e);

		if (r < 0)
			return r;
	}
	return 0;
}

int index_rebuild(const struct store *st, struct sandbox *const *list, size_t n, struct err *e)
{
	int r;

	unstamp(st);
	r = wipe_links(st->names, list, n, e);
	if (r == 0)
		r = wipe_links(st->keys, list, n, e);
	/* From the newest to the oldest: of two that claim a name the oldest has it in the end. */
	while (r == 0 && n-- > 0)
		if (!list[n]->problem)
			r = index_add(st, list[n]->id, list[n]->spec, e);
	if (r == 0)
		index_stamp(st);
	return r;
}

/* --- lookup --------------------------------------------------------------------------------- */

struct want {
	const char *name; /* or NULL: by key */
	const struct record_key *key;
};

static bool matches(const struct want *w, const struct sandbox *s)
{
	struct record_key k;

	if (!s->spec)
		return false;
	if (w->name)
		return strcmp(record_name(s), w->name) == 0;
	return record_key_of(s->spec, &k) && record_key_equal(&k, w->key);
}

/*
 * The slow way: read everything, repair the links, and pick. A bad record is taken when a link
 * gives it that name and no good record has it.
 */
static int find_by_scan(const struct store *st, const struct want *w, int links, const char *link,
			struct sandbox **ret, struct err *e)
{
	char id[STATE_ID_LEN + 1] = "";
	struct sandbox **list = NULL, *found = NULL, *bad = NULL;
	struct err ignored = ERR_INIT;
	size_t i, n = 0;
	int r = index_scan(st, &list, &n, e);

	if (r < 0)
		return r;
	/* A full disk must not keep anybody from finding a sandbox. */
	index_rebuild(st, list, n, &ignored);
	read_link(links, link, id);
	for (i = 0; i < n && !found; i++) {
		if (matches(w, list[i]))
			found = steal(&list[i]);
		else if (list[i]->problem && strcmp(list[i]->id, id) == 0)
			bad = list[i];
	}
	for (i = 0; i < n && !found && bad; i++)
		if (list[i] == bad)
			found = steal(&list[i]);
	state_list_free(list, n);
	if (!found)
		return -ENOENT;
	*ret = found;
	return 0;
}

static int find(const struct store *st, const struct want *w, int links, const char *link,
		bool locked, struct sandbox **ret, struct err *e)
{
	auto_close int lock = -1;
	char id[STATE_ID_LEN + 1];
	struct stat sb;
	int r;

	if (read_link(links, link, id)) {
		struct sandbox *s = NULL;

		r = record_open(st, id, &s, e);
		if (r == 0 && (s->problem || matches(w, s))) {
			*ret = s;
			return 0;
		}
		if (r == 0)
			sandbox_free(s);
		else if (r != -ENOENT)
			return r;
	} else if (fstatat(links, link, &sb, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT &&
		   stamp_is_current(st)) {
		return -ENOENT;
	}
	if (!locked) {
		r = store_lock(st, &lock, e);
		if (r < 0)
			return r;
	}
	return find_by_scan(st, w, links, link, ret, e);
}

int index_find_name(const struct store *st, const char *name, bool locked, struct sandbox **ret,
		    struct err *e)
{
	struct want w = { .name = name };

	return find(st, &w, st->names, name, locked, ret, e);
}

int index_find_key(const struct store *st, const struct record_key *key, bool locked,
		   struct sandbox **ret, struct err *e)
{
	struct want w = { .key = key };
	char text[KEY_LEN + 1];

	key_text(key, text);
	return find(st, &w, st->keys, text, locked, ret, e);
}
