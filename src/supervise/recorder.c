/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recorder: what a session wrote, kept on disk within a bound.
 *
 * <id>.log holds the newest bytes as they came; at RECORDER_FILE_MAX it becomes .log.1 and that
 * becomes .log.2, the older one is dropped.  A full disk loses output of the log, never of the
 * session.  Only the newest RECORDS_KEPT sessions have files: each new one takes away those of the
 * one that many numbers before it.  <id>.json describes the session; its texts came from outside
 * and are JSON-escaped.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

enum { NAME_BYTES = 32, RECORDS_KEPT = 200 };

uint32_t recorder_next_id(int log_dirfd)
{
	int fd = openat(log_dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	uint64_t newest = 0;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return 1;
	}
	while ((entry = readdir(d))) {
		char stem[NAME_BYTES];
		const char *dot = strchr(entry->d_name, '.');
		uint64_t id;

		if (!dot || (size_t)(dot - entry->d_name) >= sizeof(stem))
			continue;
		memcpy(stem, entry->d_name, (size_t)(dot - entry->d_name));
		stem[dot - entry->d_name] = '\0';
		if (text_u64(stem, UINT32_MAX - 1, &id) == 0 && id > newest)
			newest = id;
	}
	closedir(d);
	return (uint32_t)newest + 1;
}

static int open_file(const struct recorder *r)
{
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), "%u.log", r->id);
	return openat(r->dirfd, name,
		      O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static void forget(int log_dirfd, uint32_t id)
{
	static const char *const endings[] = { "json", "log", "log.1", "log.2", SUPERVISE_UNSEEN };

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		char name[NAME_BYTES];

		snprintf(name, sizeof(name), "%u.%s", id, endings[i]);
		unlinkat(log_dirfd, name, 0);
	}
}

int recorder_open(struct recorder *r, int log_dirfd, uint32_t id, struct err *e)
{
	if (id > RECORDS_KEPT)
		forget(log_dirfd, id - RECORDS_KEPT);
	*r = (struct recorder){ .dirfd = log_dirfd, .fd = -1, .id = id };
	r->fd = open_file(r);
	return r->fd < 0 ? err_sys(e, "log of session %u", id) : 0;
}

static void rotate(struct recorder *r)
{
	char name[3][NAME_BYTES];

	close(r->fd);
	snprintf(name[0], sizeof(name[0]), "%u.log", r->id);
	snprintf(name[1], sizeof(name[1]), "%u.log.1", r->id);
	snprintf(name[2], sizeof(name[2]), "%u.log.2", r->id);
	renameat(r->dirfd, name[1], r->dirfd, name[2]);
	if (renameat(r->dirfd, name[0], r->dirfd, name[1]) < 0)
		unlinkat(r->dirfd, name[0], 0);
	r->fd = open_file(r);
	r->written = 0;
}

void recorder_write(struct recorder *r, const char *bytes, size_t n)
{
	if (r->fd < 0)
		return;
	if (r->written + n > RECORDER_FILE_MAX)
		rotate(r);
	if (r->fd >= 0 && fs_write_all(r->fd, bytes, n) == 0)
		r->written += n;
}

void recorder_describe(const struct recorder *r, const struct json *j)
{
	auto_buf text = BUF_INIT;
	char name[NAME_BYTES];

	if (r->fd < 0)
		return;
	snprintf(name, sizeof(name), "%u.json", r->id);
	json_write(j, true, &text);
	(void)fs_replace_at(r->dirfd, name, text.data, text.len, 0600, false, NULL);
}

void recorder_mark_unseen(const struct recorder *r)
{
	char name[NAME_BYTES];
	int fd;

	if (r->fd < 0)
		return;
	snprintf(name, sizeof(name), "%u." SUPERVISE_UNSEEN, r->id);
	fd = openat(r->dirfd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
}

void recorder_close(struct recorder *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}
