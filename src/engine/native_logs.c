/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_logs: sessions and what they wrote, from the supervisor while it runs and from the log
 * directory afterwards.
 *
 * The supervisor writes log/<session>.log (rotated to .log.1 and .log.2), log/<session>.json, and
 * an empty log/<session>.unseen for an agent that ended while nobody was attached. Everything read
 * here is bounded and was written by our own supervisor, but holds bytes that the box chose.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/engine_internal.h"
#include "supervise/supervise.h"

enum { META_MAX = 1 << 20, FOLLOW_MS = 50, SESSIONS_MAX = 100000 };

/* Session numbers with a file of that ending in the log directory, ascending; *ret is owned by the
 * caller. */
static int recorded(const struct sandbox *s, const char *ending, uint32_t **ret, size_t *ret_n,
		    struct err *e)
{
	uint32_t *ids = NULL;
	size_t n = 0;
	struct dirent *d;
	DIR *dh;
	int fd = fs_open_beneath(s->dirfd, "log", O_RDONLY | O_DIRECTORY, 0);

	if (fd == -ENOENT) {
		*ret = NULL;
		*ret_n = 0;
		return 0;
	}
	if (fd < 0)
		return err_set(e, ERR_SYSTEM, fd, "sandbox %s: log: %s", s->id, strerror(-fd));
	dh = fdopendir(fd);
	if (!dh) {
		close(fd);
		return err_sys(e, "sandbox %s: log", s->id);
	}
	while (n < SESSIONS_MAX && (d = readdir(dh))) {
		auto_free char *stem = xstrdup(d->d_name);
		uint64_t id = 0;

		if (!text_ends(stem, ending))
			continue;
		stem[strlen(stem) - strlen(ending)] = '\0';
		if (text_u64(stem, UINT32_MAX, &id) < 0 || id == 0)
			continue;
		ids = xrealloc(ids, n + 1, sizeof(*ids));
		ids[n++] = (uint32_t)id;
		for (size_t i = n - 1; i > 0 && ids[i - 1] > ids[i]; i--) {
			uint32_t swap = ids[i];

			ids[i] = ids[i - 1];
			ids[i - 1] = swap;
		}
	}
	closedir(dh);
	*ret = ids;
	*ret_n = n;
	return 0;
}

static struct json *read_meta(const struct sandbox *s, uint32_t id)
{
	auto_free char *path = xasprintf("log/%u.json", id);
	auto_buf b = BUF_INIT;
	struct json *j = NULL;

	if (fs_read_at(s->dirfd, path, META_MAX, &b, NULL) < 0 ||
	    json_parse(b.data, b.len, &j, NULL) < 0)
		return NULL;
	return j;
}

static bool listed(const struct json *list, uint32_t id)
{
	for (size_t i = 0; i < json_len(list); i++) {
		uint64_t other = 0;

		if (json_get_uint(json_at(list, i), "id", &other) == 0 && other == id)
			return true;
	}
	return false;
}

int native_sessions(struct engine_context *c, const struct sandbox *s, struct json **ret,
		    struct err *e)
{
	struct json *list = NULL;
	uint32_t *ids = NULL;
	size_t n = 0;
	int r;

	(void)c;
	if (state_is_running(s)) {
		auto_close int conn = -1;

		r = control_connect(s, &conn, e);
		if (r == 0)
			r = control_sessions(conn, &list, e);
		/* It may have ended between the two calls; its records are on disk then. */
		if (r < 0 && state_is_running(s))
			return r;
	}
	r = recorded(s, ".json", &ids, &n, e);
	if (r < 0) {
		json_unref(list);
		return r;
	}
	if (!list)
		list = json_array();
	for (size_t i = 0; i < n; i++) {
		struct json *meta = listed(list, ids[i]) ? NULL : read_meta(s, ids[i]);

		if (!meta)
			continue;
		json_set_bool(meta, "running", false);
		json_append(list, meta);
	}
	free(ids);
	*ret = list;
	return 0;
}

int native_take_ended(struct engine_context *c, const struct sandbox *s, struct json **ret,
		      struct err *e)
{
	struct json *list = json_array();
	uint32_t *ids = NULL;
	size_t n = 0;
	int fd;
	int r;

	(void)c;
	r = recorded(s, "." SUPERVISE_UNSEEN, &ids, &n, e);
	if (r < 0) {
		json_unref(list);
		return r;
	}
	fd = n ? fs_open_beneath(s->dirfd, "log", O_RDONLY | O_DIRECTORY, 0) : -1;
	for (size_t i = 0; fd >= 0 && i < n; i++) {
		auto_free char *name = xasprintf("%u." SUPERVISE_UNSEEN, ids[i]);
		struct json *meta;

		/* Who takes the mark away tells of it. */
		if (unlinkat(fd, name, 0) < 0)
			continue;
		meta = read_meta(s, ids[i]);
		if (meta)
			json_append(list, meta);
	}
	if (fd >= 0)
		close(fd);
	free(ids);
	*ret = list;
	return 0;
}

static int copy_from(int fd, off_t *offset, int out, struct err *e)
{
	char block[16384];
	ssize_t n;

	while ((n = pread(fd, block, sizeof(block), *offset)) > 0) {
		int r = fs_write_all(out, block, (size_t)n);

		if (r < 0)
			return err_set(e, ERR_SYSTEM, r, "write: %s", strerror(-r));
		*offset += n;
	}
	return n < 0 ? err_sys(e, "read log") : 0;
}

static bool session_runs(const struct sandbox *s, uint32_t id)
{
	auto_json list = NULL;

	if (!state_is_running(s) || native_sessions(NULL, s, &list, NULL) < 0)
		return false;
	for (size_t i = 0; i < json_len(list); i++) {
		uint64_t other = 0;
		bool running = false;

		if (json_get_uint(json_at(list, i), "id", &other) == 0 && other == id)
			return json_get_bool(json_at(list, i), "running", &running) == 0 && running;
	}
	return false;
}

static int open_log(const struct sandbox *s, uint32_t id, const char *suffix)
{
	auto_free char *path = xasprintf("log/%u.log%s", id, suffix);

	return fs_open_beneath(s->dirfd, path, O_RDONLY | O_NOFOLLOW, 0);
}

/* Copy what is there and then what comes, over a rotation, until the session has ended. */
static int follow_log(const struct sandbox *s, uint32_t id, int fd, off_t offset, int out,
		      struct err *e)
{
	auto_close int log = fd;

	for (;;) {
		bool runs = session_runs(s, id);
		struct stat here;
		struct stat there;
		int next;
		int r = copy_from(log, &offset, out, e);

		if (r < 0 || !runs)
			return r;
		next = open_log(s, id, "");
		if (next >= 0 && fstat(log, &here) == 0 && fstat(next, &there) == 0 &&
		    here.st_ino != there.st_ino) {
			close(log);
			log = next;
			offset = 0;
			continue;
		}
		if (next >= 0)
			close(next);
		nanosleep(&(struct timespec){ .tv_nsec = FOLLOW_MS * 1000000L }, NULL);
	}
}

int native_logs(struct engine_context *c, const struct sandbox *s, uint32_t id, bool follow,
		int out, struct err *e)
{
	static const char *const older[] = { ".2", ".1" };
	uint32_t *ids = NULL;
	size_t n = 0;
	off_t offset = 0;
	int fd;
	int r;

	(void)c;
	if (id == 0) {
		r = recorded(s, ".json", &ids, &n, e);
		if (r < 0)
			return r;
		id = n ? ids[n - 1] : 0;
		free(ids);
		if (id == 0)
			return err_set(e, ERR_NOT_FOUND, -ENOENT,
				       "nothing ran in this sandbox yet");
	}
	for (size_t i = 0; i < ARRAY_SIZE(older); i++) {
		auto_close int old = open_log(s, id, older[i]);
		off_t at = 0;

		r = old < 0 ? 0 : copy_from(old, &at, out, e);
		if (r < 0)
			return r;
	}
	fd = open_log(s, id, "");
	if (fd < 0)
		return err_set(e, ERR_NOT_FOUND, -ENOENT, "no session %u in this sandbox", id);
	if (follow)
		return follow_log(s, id, fd, 0, out, e);
	r = copy_from(fd, &offset, out, e);
	close(fd);
	return r;
}
