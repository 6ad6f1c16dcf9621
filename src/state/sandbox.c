/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox: creating, finding, listing and forgetting sandboxes.
 *
 * The order of a creation: store lock, directory with its parts, what the caller adds, index links,
 * spec.json by rename (the commit), stamp.  The order of a removal: store lock, spec.json away (the
 * commit), the rest, links, stamp.  So whatever is killed wherever, a sandbox is wholly there or
 * not at all, and what is left of it is found by state_gc.
 *
 * Nothing here is synced to disk: a sandbox that never ran is no loss.  state_sync makes it durable
 * once its box runs.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "state/state_internal.h"

enum {
	NAME_MAX_LEN = 63,
	NAME_MADE_MAX = 56, /* leaves room for "-NNNNN" */
	NAME_NUMBER_MAX = 99999,
	ID_PREFIX_MIN = 4
};

/* --- names ---------------------------------------------------------------------------------- */

/* Append text as name characters: lower case, runs of anything else as one '-'. */
static void add_name_chars(struct buf *b, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		char last = b->len ? b->data[b->len - 1] : '-';

		if (c >= 'A' && c <= 'Z')
			c = (unsigned char)(c - 'A' + 'a');
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')
			buf_putc(b, (char)c);
		else if (last != '-' && last != '.')
			buf_putc(b, c == '.' ? '.' : '-');
	}
}

char *record_made_name(const char *agent, const char *workspace)
{
	const char *slash = strrchr(workspace, '/');
	auto_buf b = BUF_INIT;

	add_name_chars(&b, agent);
	buf_putc(&b, '-');
	add_name_chars(&b, slash ? slash + 1 : workspace);
	if (b.len > NAME_MADE_MAX)
		b.len = NAME_MADE_MAX;
	while (b.len > 0 && strchr("-._", b.data[b.len - 1]))
		b.len--;
	b.data[b.len] = '\0';
	return buf_steal(&b);
}

bool record_name_is_made(const char *name, const char *agent, const char *workspace)
{
	auto_free char *made = record_made_name(agent, workspace);
	uint64_t number;

	if (!text_starts(name, made))
		return false;
	name += strlen(made);
	return *name == '\0' || (*name == '-' && text_u64(name + 1, NAME_NUMBER_MAX, &number) == 0);
}

static int name_is_free(const struct store *st, const char *name, bool locked, struct err *e)
{
	struct sandbox *s = NULL;
	int r = index_find_name(st, name, locked, &s, e);

	sandbox_free(s);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : -EEXIST;
}

int state_free_name(const struct state_paths *p, const char *agent, const char *workspace,
		    char **ret, struct err *e)
{
	auto_free char *made = record_made_name(agent, workspace);
	auto_store st = STORE_INIT;
	int i, r;

	r = store_open(p, &st, e);
	if (r < 0)
		return r;
	for (i = 1; i <= NAME_NUMBER_MAX; i++) {
		auto_free char *name = i == 1 ? xstrdup(made) : xasprintf("%s-%d", made, i);

		r = text_check_name("sandbox name", name, e);
		if (r == 0)
			r = name_is_free(&st, name, false, e);
		if (r == 0)
			*ret = steal(&name);
		if (r != -EEXIST)
			return r;
	}
	return err_set(e, ERR_CONFLICT, EEXIST, "sandbox name '%s': all numbers are taken", made);
}

/* --- create --------------------------------------------------------------------------------- */

static int check_new_spec(const struct json *spec, const char **ret_id, const char **ret_name,
			  struct err *e)
{
	const struct json *ws = json_at(json_get(spec, "workspaces"), 0);
	const char *agent, *path;
	int r;

	if (json_get_string(spec, "id", ret_id) < 0 || !record_is_id(*ret_id))
		return err_set(e, ERR_INPUT, EINVAL, "sandbox: its id is not 32 hex digits");
	if (json_get_string(spec, "name", ret_name) < 0)
		return err_set(e, ERR_INPUT, EINVAL, "sandbox: no name");
	r = text_check_name("sandbox name", *ret_name, e);
	if (r < 0)
		return r;
	if (json_get_string(spec, "agent", &agent) < 0)
		return err_set(e, ERR_INPUT, EINVAL, "sandbox '%s': no agent", *ret_name);
	if (!ws || json_get_string(ws, "path", &path) < 0 || path[0] != '/')
		return err_set(e, ERR_INPUT, EINVAL, "sandbox '%s': no workspace", *ret_name);
	return 0;
}

/* Under the lock: neither the name nor the workspace may have a sandbox already. */
static int check_free(const struct store *st, const struct json *spec, const char *name,
		      struct err *e)
{
	struct sandbox *other = NULL;
	struct record_key key;
	int r = name_is_free(st, name, true, e);

	if (r == -EEXIST) {
		err_set(e, ERR_CONFLICT, EEXIST, "sandbox '%s': it exists already", name);
		return err_hint(e, "ward run %s, or choose another --name", name), -EEXIST;
	}
	if (r < 0 || !record_key_of(spec, &key))
		return r;
	r = index_find_key(st, &key, true, &other, e);
	if (r == -ENOENT)
		return 0;
	if (r == 0) {
		const char *its = record_name(other);

		r = err_set(e, ERR_CONFLICT, EEXIST,
			    "sandbox '%s': this workspace has one for %s already: '%s'", name,
			    key.agent, its ? its : other->id);
		err_hint(e, "ward run %s, or choose a --name for a further one",
			 its ? its : other->id);
		sandbox_free(other);
	}
	return r;
}

static int make_parts(int dirfd, struct err *e)
{
	static const struct {
		const char *name;
		mode_t mode;
	} parts[] = {
		/* upper's mode is that of "/" inside; the directory above keeps others out. */
		{ "upper", 0755 },
		{ "work", 0700 },
		{ "home", 0700 },
		{ "log", 0700 },
	};
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(parts); i++)
		if (mkdirat(dirfd, parts[i].name, 0700) < 0 ||
		    fchmodat(dirfd, parts[i].name, parts[i].mode, 0) < 0)
			return err_sys(e, "%s", parts[i].name);
	fd = openat(dirfd, "lock", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, "lock");
	close(fd);
	return 0;
}

static int fill(const struct store *st, const char *id, const struct json *spec, state_fill *more,
		void *arg, struct err *e)
{
	auto_buf text = BUF_INIT;
	auto_close int fd = -1;
	int r;

	fd = fs_open_beneath(st->sandboxes, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0) {
		errno = -fd;
		fd = -1;
		return err_sys(e, "open");
	}
	json_write(spec, true, &text);
	if (text.len > STATE_RECORD_MAX)
		return err_set(e, ERR_INPUT, EFBIG, "specification: larger than %d bytes",
			       STATE_RECORD_MAX);
	r = make_parts(fd, e);
	if (r == 0 && more)
		r = more(fd, arg, e);
	if (r == 0)
		r = index_add(st, id, spec, e);
	if (r == 0)
		r = fs_replace_at(fd, "spec.json", buf_str(&text), text.len, 0600, false, e);
	return r;
}

int state_create(const struct state_paths *p, struct json *spec, state_fill *more, void *arg,
		 struct sandbox **ret, struct err *e)
{
	const char *id = NULL, *name = NULL;
	struct sandbox doomed = { .dirfd = -1 };
	auto_store st = STORE_INIT;
	auto_close int lock = -1;
	int r;

	r = check_new_spec(spec, &id, &name, e);
	if (r == 0)
		r = store_open(p, &st, e);
	if (r == 0)
		r = store_lock(&st, &lock, e);
	if (r == 0)
		r = check_free(&st, spec, name, e);
	if (r < 0)
		return r;
	if (mkdirat(st.sandboxes, id, 0700) < 0)
		return err_sys(e, "sandbox '%s': directory", name);
	r = fill(&st, id, spec, more, arg, e);
	if (r == 0) {
		index_stamp(&st);
		r = record_open(&st, id, ret, e);
	}
	if (r < 0) {
		err_prefix(e, "sandbox '%s'", name);
		doomed.id = xstrdup(id);
		doomed.spec = spec;
		fs_remove_tree_at(st.sandboxes, id, NULL);
		index_drop(&st, &doomed);
		index_stamp(&st);
		free(doomed.id);
	}
	return r;
}

/* --- find and list -------------------------------------------------------------------------- */

static int no_such(const char *what, struct err *e)
{
	auto_free char *shown = text_escaped(what);

	err_set(e, ERR_NOT_FOUND, ENOENT, "no sandbox named '%s'", shown);
	return err_hint(e, "ward ls"), -ENOENT;
}

/* The one id that starts with the prefix. */
static int find_by_prefix(const struct store *st, const char *prefix, struct sandbox **ret,
			  struct err *e)
{
	int dup_fd = openat(st->sandboxes, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = dup_fd < 0 ? NULL : fdopendir(dup_fd);
	struct sandbox *found = NULL;
	struct dirent *de;
	int r = 0;

	if (!d)
		return err_sys(e, "'%s/sandboxes'", st->paths->data);
	while (r == 0 && (de = readdir(d)) != NULL) {
		struct sandbox *s = NULL;

		if (!record_is_id(de->d_name) || !text_starts(de->d_name, prefix))
			continue;
		r = record_open(st, de->d_name, &s, e);
		if (r == -ENOENT) {
			r = 0;
		} else if (r == 0 && found) {
			sandbox_free(s);
			r = err_set(e, ERR_INPUT, ENOTUNIQ,
				    "'%s': several sandboxes have an id "
				    "that starts so",
				    prefix);
			err_hint(e, "ward ls");
		} else if (r == 0) {
			found = s;
		}
	}
	closedir(d);
	if (r == 0 && !found)
		return -ENOENT;
	if (r < 0)
		sandbox_free(found);
	else
		*ret = found;
	return r;
}

int state_find(const struct state_paths *p, const char *name_or_id, struct sandbox **ret,
	       struct err *e)
{
	size_t len = strlen(name_or_id);
	auto_store st = STORE_INIT;
	int r;

	/* Every name and id has the shape of a name; anything else would only be a path. */
	if (text_check_name("sandbox name", name_or_id, NULL) < 0)
		return no_such(name_or_id, e);
	r = store_open(p, &st, e);
	if (r < 0)
		return r;
	r = record_is_id(name_or_id) ? record_open(&st, name_or_id, ret, e) : -ENOENT;
	if (r == -ENOENT)
		r = index_find_name(&st, name_or_id, false, ret, e);
	if (r == -ENOENT && len >= ID_PREFIX_MIN && len < STATE_ID_LEN &&
	    strspn(name_or_id, "0123456789abcdef") == len)
		r = find_by_prefix(&st, name_or_id, ret, e);
	return r == -ENOENT ? no_such(name_or_id, e) : r;
}

int state_find_key(const struct state_paths *p, const char *agent, const char *workspace,
		   uint64_t dev, uint64_t ino, struct sandbox **ret, struct err *e)
{
	struct record_key key = { .agent = agent, .path = workspace, .dev = dev, .ino = ino };
	struct sandbox *s = NULL;
	auto_store st = STORE_INIT;
	int r;

	r = store_open(p, &st, e);
	if (r == 0)
		r = index_find_key(&st, &key, false, &s, e);
	if (r < 0)
		return r;
	if (s->problem) { /* making a new one would hide what is in this one */
		err_set(e, ERR_CORRUPT, EBADMSG, "sandbox %s of this workspace: %s", s->id,
			s->problem);
		err_hint(e, "ward rm -f %s", s->id);
		sandbox_free(s);
		return -EBADMSG;
	}
	*ret = s;
	return 0;
}

int state_list(const struct state_paths *p, struct sandbox ***ret, size_t *ret_n, struct err *e)
{
	auto_store st = STORE_INIT;
	int r = store_open(p, &st, e);

	return r < 0 ? r : index_scan(&st, ret, ret_n, e);
}

/* --- remove --------------------------------------------------------------------------------- */

/* The runtime directory of a sandbox that does not run. */
static int drop_run_dir(const struct sandbox *s, struct err *e)
{
	auto_free char *parent = xstrdup(s->run_dir);
	auto_close int top = -1;

	*strrchr(parent, '/') = '\0';
	if (fs_open_private_dir(parent, geteuid(), &top, NULL) < 0)
		return 0;
	return fs_remove_tree_at(top, s->id, e);
}

int state_remove(const struct state_paths *p, struct sandbox *s, struct err *e)
{
	auto_store st = STORE_INIT;
	auto_close int lock = -1;
	int r;

	r = store_open(p, &st, e);
	if (r == 0)
		r = store_lock(&st, &lock, e);
	if (r < 0)
		return r;
	if (s->dirfd >= 0) {
		r = fs_remove_tree_at(s->dirfd, "spec.json", e);
		if (r < 0)
			return err_prefix(e, "sandbox %s", s->id), r;
	}
	index_drop(&st, s);
	r = drop_run_dir(s, e);
	if (r == 0)
		r = fs_remove_tree_at(st.sandboxes, s->id, e);
	index_stamp(&st);
	return r < 0 ? (err_prefix(e, "sandbox %s", s->id), r) : 0;
}

/* --- garbage -------------------------------------------------------------------------------- */

/* A directory without spec.json that is old enough and that nobody holds. */
static bool is_orphan(const struct store *st, const char *id)
{
	auto_close int fd = -1;
	struct sandbox probe = { .dirfd = -1 };
	struct stat sb;

	fd = fs_open_beneath(st->sandboxes, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0 || fstat(fd, &sb) < 0)
		return false;
	if (faccessat(fd, "spec.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
		return false;
	probe.dirfd = fd;
	return sb.st_mtim.tv_sec < time(NULL) - STATE_ORPHAN_SECONDS && !state_is_running(&probe);
}

static int each_id(int dirfd, struct strv *ret, struct err *e)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d) {
		fd_closep(&fd);
		return err_sys(e, "state directory");
	}
	while ((de = readdir(d)) != NULL)
		if (record_is_id(de->d_name))
			strv_add(ret, de->d_name);
	closedir(d);
	return 0;
}

/* Runtime directories whose sandbox is gone or stopped. The life lock is held while one goes, so
 * that no starter finds its directory taken away. */
static int gc_run_dirs(const struct store *st, const char *path, struct err *e)
{
	auto_strv ids = STRV_INIT;
	auto_close int top = -1;
	size_t i;
	int r;

	if (fs_open_private_dir(path, geteuid(), &top, NULL) < 0)
		return 0;
	r = each_id(top, &ids, e);
	for (i = 0; r == 0 && i < ids.n; i++) {
		struct sandbox *s = NULL;
		auto_close int life = -1;

		r = record_open(st, ids.v[i], &s, e);
		if (r == 0 && state_lock(s, &life, NULL) == 0)
			r = fs_remove_tree_at(top, ids.v[i], e);
		else if (r == -ENOENT)
			r = fs_remove_tree_at(top, ids.v[i], e);
		sandbox_free(s);
	}
	return r;
}

int state_gc(const struct state_paths *p, struct err *e)
{
	auto_free char *fallback = fs_join(p->data, "run");
	auto_store st = STORE_INIT;
	auto_close int lock = -1;
	auto_strv ids = STRV_INIT;
	struct sandbox **list = NULL;
	size_t i, n = 0;
	int r, first = 0;

	r = store_open(p, &st, e);
	if (r == 0)
		r = store_lock(&st, &lock, e);
	if (r == 0)
		r = each_id(st.sandboxes, &ids, e);
	if (r < 0)
		return r;
	for (i = 0; i < ids.n; i++) {
		if (!is_orphan(&st, ids.v[i]))
			continue;
		r = fs_remove_tree_at(st.sandboxes, ids.v[i], first ? NULL : e);
		first = first ? first : r; /* one that resists must not save the others */
	}
	r = index_scan(&st, &list, &n, first ? NULL : e);
	if (r == 0) {
		r = index_rebuild(&st, list, n, first ? NULL : e);
		state_list_free(list, n);
	}
	first = first ? first : r;
	r = gc_run_dirs(&st, p->runtime, first ? NULL : e);
	first = first ? first : r;
	if (strcmp(fallback, p->runtime) != 0) {
		r = gc_run_dirs(&st, fallback, first ? NULL : e);
		first = first ? first : r;
	}
	return first;
}
