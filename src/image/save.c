/* SPDX-License-Identifier: Apache-2.0 */
/*
 * save: a template as an OCI layout in a tar archive, with the very blobs that are in the store, so
 * that digests stay.
 *
 * The archive names the template twice, as tools expect it: the tag in
 * org.opencontainers.image.ref.name and the whole reference in io.containerd.image.name, by which
 * loading it gives it its name back.
 */
#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/tar.h"
#include "image/image.h"

enum { SEND_MAX = 1 << 30 };

struct archive {
	const struct image_store *store;
	int fd;
	struct strv done; /* digests */
};

static int put_bytes(struct archive *a, const struct buf *b, struct err *e)
{
	int r = fs_write_all(a->fd, buf_str(b), b->len);

	if (r == 0)
		return 0;
	errno = -r;
	return err_sys(e, "write the archive");
}

static int put_header(struct archive *a, enum tar_type type, const char *path, uint64_t size,
		      struct err *e)
{
	const struct tar_entry entry = {
		.type = type, .path = path, .size = size, .mode = type == TAR_DIR ? 0755 : 0644
	};
	auto_buf b = BUF_INIT;
	int r = tar_write_header(&b, &entry, e);

	return r < 0 ? r : put_bytes(a, &b, e);
}

static int put_padding(struct archive *a, uint64_t size, struct err *e)
{
	auto_buf b = BUF_INIT;

	tar_write_padding(&b, size);
	return put_bytes(a, &b, e);
}

static int put_text(struct archive *a, const char *path, const struct buf *text, struct err *e)
{
	int r = put_header(a, TAR_FILE, path, text->len, e);

	if (r == 0)
		r = put_bytes(a, text, e);
	return r == 0 ? put_padding(a, text->len, e) : r;
}

static int put_blob(struct archive *a, const char *digest, struct err *e)
{
	auto_free char *path = xasprintf("blobs/sha256/%s", image_digest_hex(digest));
	auto_close int fd = -1;
	uint64_t size = 0, left;
	int r;

	if (strv_contains(&a->done, digest))
		return 0;
	strv_add(&a->done, digest);
	r = image_store_blob(a->store, digest, &fd, &size, e);
	if (r == 0)
		r = put_header(a, TAR_FILE, path, size, e);
	for (left = size; r == 0 && left > 0;) {
		ssize_t n = sendfile(a->fd, fd, NULL, left < SEND_MAX ? (size_t)left : SEND_MAX);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "write the archive");
		if (n == 0)
			return err_set(e, ERR_CORRUPT, -EIO, "template store: %s is truncated",
				       digest);
		left -= (uint64_t)n;
	}
	return r == 0 ? put_padding(a, size, e) : r;
}

static int put_index(struct archive *a, const struct image_record *rec, const struct image_ref *ref,
		     struct err *e)
{
	struct json *entry = json_object(), *names = json_object(), *list = json_array();
	auto_json index = json_object();
	auto_close int fd = -1;
	auto_buf text = BUF_INIT;
	uint64_t size = 0;
	int r = image_store_blob(a->store, rec->digest, &fd, &size, e);

	json_set_string(entry, "mediaType", rec->media_type);
	json_set_string(entry, "digest", rec->digest);
	json_set_uint(entry, "size", size);
	/* What came from a file has no name but the file's. */
	if (ref->source == IMAGE_REGISTRY)
		json_set_string(names, "io.containerd.image.name", rec->reference);
	if (ref->tag)
		json_set_string(names, "org.opencontainers.image.ref.name", ref->tag);
	json_set(entry, "annotations", names);
	json_append(list, entry);
	json_set_uint(index, "schemaVersion", 2);
	json_set(index, "manifests", list);
	json_write(index, false, &text);
	return r == 0 ? put_text(a, "index.json", &text, e) : r;
}

int image_save(const struct image_store *s, const struct image_record *rec, int fd, struct err *e)
{
	struct archive a = { .store = s, .fd = fd };
	auto_image_manifest m = { 0 };
	auto_image_ref ref = { 0 };
	auto_buf text = BUF_INIT;
	int r = image_store_read(s, rec->manifest, &m, NULL, e);

	if (r == 0)
		r = image_ref_parse(rec->reference, &ref, e);
	buf_puts(&text, "{\"imageLayoutVersion\":\"1.0.0\"}");
	if (r == 0)
		r = put_text(&a, "oci-layout", &text, e);
	if (r == 0)
		r = put_index(&a, rec, &ref, e);
	if (r == 0)
		r = put_header(&a, TAR_DIR, "blobs", 0, e);
	if (r == 0)
		r = put_header(&a, TAR_DIR, "blobs/sha256", 0, e);
	if (r == 0)
		r = put_blob(&a, rec->digest, e);
	if (r == 0)
		r = put_blob(&a, rec->manifest, e);
	if (r == 0)
		r = put_blob(&a, m.config.digest, e);
	for (size_t i = 0; r == 0 && i < m.nlayers; i++)
		r = put_blob(&a, m.layers[i].digest, e);
	if (r == 0) {
		buf_reset(&text);
		tar_write_end(&text);
		r = put_bytes(&a, &text, e);
	}
	strv_free(&a.done);
	return r;
}
