/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease: what a long build has in hand is not collected, and collecting does not wait for it.
 *
 *	leases/ID        locked by who holds it; its change time is when it began
 *
 * As git keeps recent objects: nothing is collected that was made or touched since the oldest lease
 * began.  What is made is that by itself, by the change time of its inode; what was there before
 *and is used again is touched, with IMAGE_LOCK_CONTENT held shared, so that nobody is collecting at
 * that moment.  All times are those of one file system.  A lease whose holder was killed has no
 * lock, and is removed by the next who looks.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/image.h"

#define LEASES "leases"
enum { ID_BYTES = 16 };

void image_lease_end(struct image_lease *l)
{
	if (l->name) {
		auto_close int dir =
			fs_open_beneath(l->store->fd, LEASES, O_RDONLY | O_DIRECTORY, 0);

		if (dir >= 0)
			(void)unlinkat(dir, l->name, 0);
	}
	fd_closep(&l->fd);
	free(l->name);
	*l = IMAGE_LEASE_INIT;
}

static int make(struct image_lease *l, struct err *e)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	auto_close int dir = -1;
	char id[2 * ID_BYTES + 1];
	int r = fs_mkdirs_at(l->store->fd, LEASES, 0700, NULL, e);

	if (r < 0)
		return r;
	text_random_hex(id, ID_BYTES);
	dir = fs_open_beneath(l->store->fd, LEASES, O_RDONLY | O_DIRECTORY, 0);
	if (dir >= 0)
		l->fd = openat(dir, id, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (l->fd < 0)
		return err_sys(e, "template store: " LEASES);
	l->name = xstrdup(id);
	return fcntl(l->fd, F_OFD_SETLK, &whole) < 0 ? err_sys(e, "template store: " LEASES) : 0;
}

int image_lease_begin(const struct image_store *s, struct image_lease *ret, struct err *e)
{
	struct image_lease l = { .store = s, .fd = -1 };
	auto_close int lock = -1;
	int r = image_store_lock(s, IMAGE_LOCK_CONTENT, false, true, &lock, e);

	if (r == 0)
		r = make(&l, e);
	if (r < 0)
		image_lease_end(&l);
	else
		*ret = l;
	return r;
}

bool image_lease_oldest(const struct image_store *s, struct timespec *ret)
{
	int fd = fs_open_beneath(s->fd, LEASES, O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool any = false;

	while (d && (entry = readdir(d))) {
		auto_close int lease = -1;
		struct stat st;

		if (entry->d_name[0] == '.')
			continue;
		lease = fs_open_beneath(fd, entry->d_name, O_RDWR | O_NONBLOCK, 0);
		if (lease < 0 || fstat(lease, &st) < 0)
			continue;
		if (!fs_is_locked(lease)) {
			(void)unlinkat(fd, entry->d_name, 0);
			continue;
		}
		if (!any || image_time_before(&st.st_ctim, ret))
			*ret = st.st_ctim;
		any = true;
	}
	if (d)
		closedir(d);
	return any;
}

bool image_time_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* --- what is used again ----------------------------------------------------------------------- */

static void touch(int dir, const char *name)
{
	(void)utimensat(dir, name, NULL, AT_SYMLINK_NOFOLLOW);
}

static void touch_blob(const struct image_store *s, const char *digest)
{
	auto_close int dir = fs_open_beneath(s->fd, "blobs/sha256", O_RDONLY | O_DIRECTORY, 0);

	if (dir >= 0 && image_digest_ok(digest))
		touch(dir, image_digest_hex(digest));
}

/* Its directories, whatever ids they are for. */
static void touch_layer(const struct image_store *s, const char *diff_id)
{
	int fd = fs_open_beneath(s->fd, "layers", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (d && (entry = readdir(d))) {
		auto_close int ids = -1;

		if (entry->d_name[0] == '.' || !image_digest_ok(diff_id))
			continue;
		ids = fs_open_beneath(fd, entry->d_name, O_RDONLY | O_DIRECTORY, 0);
		if (ids >= 0)
			touch(ids, image_digest_hex(diff_id));
	}
	if (d)
		closedir(d);
}

void image_lease_layer(const struct image_store *s, const struct image_layer *l)
{
	touch_blob(s, l->digest);
	touch_layer(s, l->diff_id);
}

void image_lease_image(const struct image_store *s, const char *manifest)
{
	auto_image_manifest m = { 0 };
	auto_image_config c = { 0 };

	touch_blob(s, manifest);
	if (image_store_read(s, manifest, &m, &c, NULL) < 0)
		return;
	touch_blob(s, m.config.digest);
	for (size_t i = 0; i < m.nlayers; i++)
		touch_blob(s, m.layers[i].digest);
	for (size_t i = 0; i < c.diff_ids.n; i++)
		touch_layer(s, c.diff_ids.v[i]);
}
