/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the directory of templates: opening it, its locks, and reading blobs.
 *
 * Blobs were verified by who committed them (the directory is the user's alone), so reading one is
 * an open and no hash.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "image/image.h"

#define BLOBS "blobs/sha256"

static const char *const directories[] = { BLOBS, "blobs/partial", "refs", "layers" };

static const char *const lock_files[] = {
	[IMAGE_LOCK_REFS] = "lock",
	[IMAGE_LOCK_CONTENT] = "content.lock",
};

int image_store_open(const char *data_dir, struct image_store *ret, struct err *e)
{
	auto_image_store s = { .fd = -1 };
	int r;

	s.dir = fs_join(data_dir, "templates");
	r = fs_mkdirs(s.dir, 0700, e);
	if (r == 0)
		r = fs_open_private_dir(s.dir, geteuid(), &s.fd, e);
	for (size_t i = 0; i < ARRAY_SIZE(directories) && r == 0; i++)
		r = fs_mkdirs_at(s.fd, directories[i], 0700, NULL, e);
	if (r < 0)
		return err_prefix(e, "template store");
	*ret = s;
	s = (struct image_store){ .fd = -1 };
	return 0;
}

void image_store_close(struct image_store *s)
{
	free(s->dir);
	s->dir = NULL;
	fd_closep(&s->fd);
}

int image_store_lock(const struct image_store *s, enum image_lock which, bool exclusive, bool wait,
		     int *ret_fd, struct err *e)
{
	struct flock whole = { .l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET };
	auto_close int fd = fs_open_beneath(s->fd, lock_files[which], O_RDWR | O_CREAT, 0600);
	int r;

	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "template store: cannot open its lock");
	}
	do {
		r = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &whole);
	} while (r < 0 && errno == EINTR);
	if (r < 0 && (errno == EAGAIN || errno == EACCES))
		return err_set(e, ERR_CONFLICT, -EWOULDBLOCK,
			       "template store: another command is at work in it");
	if (r < 0)
		return err_sys(e, "template store: cannot lock it");
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* The path of a blob below the store. A digest that is none (a damaged record) never becomes one.
 */
static int blob_path(const char *digest, char out[static sizeof(BLOBS) + 1 + IMAGE_HEX_LEN],
		     struct err *e)
{
	int r = image_digest_check("template store", digest, e);

	if (r < 0)
		return r;
	memcpy(out, BLOBS "/", sizeof(BLOBS));
	memcpy(out + sizeof(BLOBS), image_digest_hex(digest), IMAGE_HEX_LEN + 1);
	return 0;
}

bool image_store_has(const struct image_store *s, const char *digest, uint64_t size)
{
	char path[sizeof(BLOBS) + 1 + IMAGE_HEX_LEN];
	struct stat st;

	return blob_path(digest, path, NULL) == 0 &&
	       fstatat(s->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       (size == 0 || (uint64_t)st.st_size == size);
}

int image_store_blob(const struct image_store *s, const char *digest, int *ret_fd,
		     uint64_t *ret_size, struct err *e)
{
	char path[sizeof(BLOBS) + 1 + IMAGE_HEX_LEN];
	auto_close int fd = -1;
	struct stat st;
	int r = blob_path(digest, path, e);

	if (r < 0)
		return r;
	fd = fs_open_beneath(s->fd, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd == -ENOENT) {
		err_set(e, ERR_CORRUPT, -ENOENT, "template store: %s is missing", digest);
		return err_hint(e, "pull the template again: ward template pull TEMPLATE");
	}
	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "template store: cannot open %s", digest);
	}
	if (fstat(fd, &st) < 0)
		return err_sys(e, "template store: %s", digest);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_CORRUPT, -EINVAL, "template store: %s is no file", digest);
	if (ret_size)
		*ret_size = (uint64_t)st.st_size;
	*ret_fd = steal_fd(&fd);
	return 0;
}

int image_store_document(const struct image_store *s, const char *digest, struct buf *out,
			 struct err *e)
{
	auto_close int fd = -1;
	int r = image_store_blob(s, digest, &fd, NULL, e);

	buf_reset(out);
	if (r == 0)
		r = fs_read_fd(fd, IMAGE_DOCUMENT_MAX, out, e);
	return r;
}

int image_store_read(const struct image_store *s, const char *manifest_digest,
		     struct image_manifest *m, struct image_config *c, struct err *e)
{
	auto_image_manifest manifest = { 0 };
	auto_buf text = BUF_INIT;
	int r = image_store_document(s, manifest_digest, &text, e);

	if (r == 0)
		r = image_manifest_parse(buf_str(&text), text.len, &manifest, e);
	if (r == 0 && c) {
		r = image_store_document(s, manifest.config.digest, &text, e);
		if (r == 0)
			r = image_config_parse(buf_str(&text), text.len, c, e);
	}
	if (r == 0 && m) {
		*m = manifest;
		manifest = (struct image_manifest){ 0 };
	}
	return r;
}
