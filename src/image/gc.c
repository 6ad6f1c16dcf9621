/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gc: what of the store is in use, how large it is, and removing the rest.
 *
 * Live is what a record or a sandbox leads to: the document that the reference stood for, the
 * manifest, the configuration, the layers and their unpacked directories.  Everything else in the
 * store's directories is garbage: a layer of a removed template, what a killed pull left.  A record
 * whose documents cannot be read keeps what can be found; it never makes the collection fail.
 * What was made or touched since the oldest lease began is in use, too (lease.c).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/image.h"

enum { LAYER_INFO_MAX = 64 << 10, CACHE_SECONDS = 14 * 24 * 3600 };

struct live {
	struct strv blobs;  /* hexadecimal digits */
	struct strv layers; /* of diff ids */
};

static void live_clear(struct live *l)
{
	strv_free(&l->blobs);
	strv_free(&l->layers);
}
#define auto_live __attribute__((cleanup(live_clear))) struct live

static void keep(struct strv *v, const char *digest)
{
	if (image_digest_ok(digest) && !strv_contains(v, image_digest_hex(digest)))
		strv_add(v, image_digest_hex(digest));
}

static void keep_manifest(const struct image_store *s, const char *digest, struct live *l)
{
	auto_image_manifest m = { 0 };
	auto_image_config c = { 0 };

	keep(&l->blobs, digest);
	if (image_store_read(s, digest, &m, NULL, NULL) < 0)
		return;
	keep(&l->blobs, m.config.digest);
	for (size_t i = 0; i < m.nlayers; i++)
		keep(&l->blobs, m.layers[i].digest);
	if (image_store_read(s, digest, NULL, &c, NULL) < 0)
		return;
	for (size_t i = 0; i < c.diff_ids.n; i++)
		keep(&l->layers, c.diff_ids.v[i]);
}

static bool is_fresh(int dirfd, const char *name, const void *arg)
{
	struct stat st;

	(void)arg;
	return name[0] != '.' && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_mtim.tv_sec > time(NULL) - CACHE_SECONDS;
}

/* Layers of builds that were made or used not long ago. */
static void keep_cache(const struct image_store *s, struct live *l)
{
	int fd = fs_open_beneath(s->fd, IMAGE_CACHE_DIR, O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (d && (entry = readdir(d))) {
		auto_image_layer layer = { 0 };

		if (!is_fresh(fd, entry->d_name, NULL) ||
		    image_cache_read(fd, entry->d_name, &layer, NULL) < 0)
			continue;
		keep(&l->blobs, layer.digest);
		keep(&l->layers, layer.diff_id);
	}
	if (d)
		closedir(d);
}

static int find_live(const struct image_store *s, const struct strv *in_use, unsigned flags,
		     struct live *l, struct err *e)
{
	struct image_record *v = NULL;
	size_t n = 0;
	int r = image_store_list(s, &v, &n, e);

	for (size_t i = 0; r == 0 && i < n; i++) {
		if (v[i].problem)
			continue;
		keep(&l->blobs, v[i].digest);
		keep_manifest(s, v[i].manifest, l);
	}
	for (size_t i = 0; r == 0 && i < in_use->n; i++)
		keep_manifest(s, in_use->v[i], l);
	image_record_list_free(v, n);
	if (r == 0 && !(flags & IMAGE_GC_DROP_CACHE))
		keep_cache(s, l);
	return r;
}

/* --- removing ----------------------------------------------------------------------------------
 */

/* What unpacking a layer said: nobody else can look into directories of a box's ids. */
static uint64_t layer_size(int dirfd)
{
	auto_buf text = BUF_INIT;
	auto_json j = NULL;
	uint64_t bytes = 0;

	if (fs_read_at(dirfd, "layer.json", LAYER_INFO_MAX, &text, NULL) == 0 &&
	    json_parse(buf_str(&text), text.len, &j, NULL) == 0)
		(void)json_get_uint(j, "bytes", &bytes);
	return bytes;
}

static uint64_t size_of(int dirfd, const char *name)
{
	auto_close int fd = -1;
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (!S_ISDIR(st.st_mode))
		return (uint64_t)st.st_blocks * 512;
	fd = fs_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
	return fd >= 0 ? layer_size(fd) : 0;
}

struct sweep {
	const struct image_store *s;
	unsigned flags;
	image_remove_fn *remove;
	struct image_gc *sum;
	bool leased; /* what has changed since then stays */
	struct timespec since;
};

typedef bool keep_fn(int dirfd, const char *name, const void *arg);

static int remove_entry(const struct sweep *w, int dirfd, const char *name, size_t *count,
			struct err *e)
{
	uint64_t bytes = size_of(dirfd, name);
	int r = 0;

	if (!(w->flags & IMAGE_GC_DRY_RUN))
		r = w->remove(dirfd, name, e);
	if (r < 0)
		return err_prefix(e, "template store");
	(*count)++;
	w->sum->bytes += bytes;
	return 0;
}

static bool is_leased(const struct sweep *w, int dirfd, const char *name)
{
	struct stat st;

	return w->leased && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       !image_time_before(&st.st_ctim, &w->since);
}

/* Every entry of a directory that `wanted` does not want. A missing directory is an empty one. */
static int sweep_dir(const struct sweep *w, int at, const char *path, keep_fn *wanted,
		     const void *arg, size_t *count, struct err *e)
{
	int fd = fs_open_beneath(at, path, O_RDONLY | O_DIRECTORY, 0);
	auto_strv names = STRV_INIT;
	struct dirent *entry;
	DIR *d;
	int r = 0;

	if (fd == -ENOENT)
		return 0;
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		errno = fd < 0 ? -fd : errno;
		return err_sys(e, "template store: cannot list %s", path);
	}
	while ((entry = readdir(d))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			strv_add(&names, entry->d_name);
	}
	for (size_t i = 0; i < names.n && r == 0; i++) {
		if (!wanted(fd, names.v[i], arg) && !is_leased(w, fd, names.v[i]))
			r = remove_entry(w, fd, names.v[i], count, e);
	}
	closedir(d);
	return r;
}

static bool is_live(int dirfd, const char *name, const void *arg)
{
	(void)dirfd;
	return strv_contains(arg, name);
}

static bool is_partial(const char *name)
{
	return text_ends(name, ".partial");
}

static bool is_live_or_partial(int dirfd, const char *name, const void *arg)
{
	return is_partial(name) || is_live(dirfd, name, arg);
}

/* Everything but the downloads that nobody is at. */
static bool is_no_left_partial(int dirfd, const char *name, const void *arg)
{
	auto_close int fd = -1;

	(void)arg;
	if (!is_partial(name))
		return true;
	fd = fs_open_beneath(dirfd, name, O_RDWR | O_NONBLOCK, 0);
	return fd >= 0 && fs_is_locked(fd);
}

/* The box of a build that was killed may live for a moment more: it holds the lock of its
 * directory.
 */
static bool is_running(int dirfd, const char *name, const void *arg)
{
	auto_free char *path = fs_join(name, "lock");
	auto_close int fd = fs_open_beneath(dirfd, path, O_RDWR | O_NONBLOCK, 0);

	(void)arg;
	return fd >= 0 && fs_is_locked(fd);
}

/* An import holds IMAGE_LOCK_CONTENT: none is under way. */
static bool is_wanted_by_nobody(int dirfd, const char *name, const void *arg)
{
	(void)dirfd;
	(void)name;
	(void)arg;
	return false;
}

static bool is_record(int dirfd, const char *name, const void *arg)
{
	(void)dirfd;
	(void)arg;
	return name[0] != '.';
}

/* layers/IDS/DIFFID: each mapping of ids has a directory of its own. */
static int sweep_layers(const struct sweep *w, const struct strv *live, struct err *e)
{
	auto_close int fd = fs_open_beneath(w->s->fd, "layers", O_RDONLY | O_DIRECTORY, 0);
	struct dirent *entry;
	int r = 0;
	DIR *d;

	if (fd < 0)
		return 0;
	d = fdopendir(dup(fd));
	if (!d)
		return err_sys(e, "template store: cannot list its layers");
	while (r == 0 && (entry = readdir(d))) {
		if (entry->d_name[0] != '.')
			r = sweep_dir(w, fd, entry->d_name, is_live, live, &w->sum->layers, e);
	}
	closedir(d);
	return r;
}

int image_store_gc(const struct image_store *s, const struct strv *in_use, unsigned flags,
		   image_remove_fn *remove_layer, struct image_gc *ret, struct err *e)
{
	struct image_gc sum = { 0 };
	struct sweep w = { .s = s, .flags = flags, .remove = fs_remove_tree_at, .sum = &sum };
	auto_live live = { 0 };
	size_t records = 0;
	int r = find_live(s, in_use, flags, &live, e);

	w.leased = image_lease_oldest(s, &w.since);
	if (r == 0)
		r = sweep_dir(&w, s->fd, "blobs/sha256", is_live_or_partial, &live.blobs,
			      &sum.blobs, e);
	if (r == 0 && !(flags & IMAGE_GC_KEEP_PARTIAL))
		r = sweep_dir(&w, s->fd, "blobs/sha256", is_no_left_partial, NULL, &sum.partials,
			      e);
	if (r == 0)
		r = sweep_dir(&w, s->fd, "blobs/partial", is_wanted_by_nobody, NULL, &sum.partials,
			      e);
	if (r == 0)
		r = sweep_dir(&w, s->fd, "refs", is_record, NULL, &records, e);
	if (r == 0)
		r = sweep_dir(&w, s->fd, IMAGE_CACHE_DIR,
			      flags & IMAGE_GC_DROP_CACHE ? is_wanted_by_nobody : is_fresh, NULL,
			      &records, e);
	if (remove_layer)
		w.remove = remove_layer;
	if (r == 0)
		r = sweep_dir(&w, s->fd, IMAGE_BUILDS_DIR, is_running, NULL, &sum.builds, e);
	if (r == 0)
		r = sweep_layers(&w, &live.layers, e);
	if (r == 0 && ret)
		*ret = sum;
	return r;
}

/* --- size --------------------------------------------------------------------------------------
 */

static uint64_t size_in(const struct image_store *s, const char *dir, const struct strv *names)
{
	auto_close int fd = fs_open_beneath(s->fd, dir, O_RDONLY | O_DIRECTORY, 0);
	uint64_t sum = 0;

	for (size_t i = 0; fd >= 0 && i < names->n; i++)
		sum += size_of(fd, names->v[i]);
	return sum;
}

uint64_t image_store_size(const struct image_store *s, const struct image_record *rec)
{
	auto_live live = { 0 };
	struct dirent *entry;
	uint64_t sum;
	int fd;
	DIR *d;

	keep(&live.blobs, rec->digest);
	keep_manifest(s, rec->manifest, &live);
	sum = size_in(s, "blobs/sha256", &live.blobs);
	fd = fs_open_beneath(s->fd, "layers", O_RDONLY | O_DIRECTORY, 0);
	d = fd < 0 ? NULL : fdopendir(fd);
	while (d && (entry = readdir(d))) {
		auto_free char *path = xasprintf("layers/%s", entry->d_name);

		if (entry->d_name[0] != '.')
			sum += size_in(s, path, &live.layers);
	}
	if (d)
		closedir(d);
	return sum;
}
