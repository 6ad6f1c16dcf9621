/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_cache: which layer a step of a build has made.
 *
 * cache/KEY is a small record; KEY is a digest of everything that the step depended on.  It is made
 * by rename after the layer's blob is there, and touched when it is used, so that image_store_gc
 * can drop what nobody has used for long.  A record whose blob is gone, or that is damaged, is a
 * miss.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "image/image.h"

enum { RECORD_MAX = 4096 };

static int open_dir(const struct image_store *s, struct err *e)
{
	auto_close int fd = -1;
	int r = fs_mkdirs_at(s->fd, IMAGE_CACHE_DIR, 0700, NULL, e);

	if (r < 0)
		return r;
	fd = fs_open_beneath(s->fd, IMAGE_CACHE_DIR, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "template store: " IMAGE_CACHE_DIR);
	}
	return steal_fd(&fd);
}

int image_cache_read(int dirfd, const char *key, struct image_layer *ret, char **ret_created)
{
	auto_image_layer l = { 0 };
	auto_buf text = BUF_INIT;
	auto_json j = NULL;
	const char *digest, *diff_id, *created;

	if (fs_read_at(dirfd, key, RECORD_MAX, &text, NULL) < 0 ||
	    json_parse(buf_str(&text), text.len, &j, NULL) < 0 ||
	    json_get_string(j, "digest", &digest) < 0 || !image_digest_ok(digest) ||
	    json_get_string(j, "diff_id", &diff_id) < 0 || !image_digest_ok(diff_id) ||
	    json_get_string(j, "created", &created) < 0 || json_get_uint(j, "size", &l.size) < 0 ||
	    json_get_uint(j, "entries", &l.entries) < 0)
		return -ENOENT;
	l.digest = xstrdup(digest);
	l.diff_id = xstrdup(diff_id);
	if (ret_created)
		*ret_created = xstrdup(created);
	*ret = l;
	l = (struct image_layer){ 0 };
	return 0;
}

int image_cache_find(const struct image_store *s, const char *key, struct image_layer *ret,
		     char **ret_created)
{
	auto_close int dir = open_dir(s, NULL);
	auto_image_layer l = { 0 };
	auto_free char *created = NULL;

	if (dir < 0 || image_cache_read(dir, key, &l, &created) < 0 ||
	    !image_store_has(s, l.digest, l.size))
		return -ENOENT;
	(void)utimensat(dir, key, NULL, AT_SYMLINK_NOFOLLOW);
	*ret = l;
	*ret_created = steal(&created);
	l = (struct image_layer){ 0 };
	return 0;
}

int image_cache_add(const struct image_store *s, const char *key, const struct image_layer *l,
		    const char *created, struct err *e)
{
	auto_close int dir = open_dir(s, e);
	auto_json j = json_object();
	auto_buf text = BUF_INIT;

	if (dir < 0)
		return dir;
	json_set_string(j, "digest", l->digest);
	json_set_string(j, "diff_id", l->diff_id);
	json_set_string(j, "created", created);
	json_set_uint(j, "size", l->size);
	json_set_uint(j, "entries", l->entries);
	json_write(j, false, &text);
	return fs_replace_at(dir, key, text.data, text.len, 0600, false, e);
}
