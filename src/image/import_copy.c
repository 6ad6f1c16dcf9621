/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_copy: bytes into the blob store.
 *
 * A blob is written to a file in blobs/partial while its digest is computed, and renamed to its
 * digest when that is the one it must have; so no name in blobs/sha256 ever stands for anything
 * else.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/import_internal.h"

enum { CHUNK = 256 << 10, NAME_BYTES = 8 };

int import_read(const struct import_file *f, struct buf *out, struct err *e)
{
	auto_free char *chunk = xmalloc(CHUNK);

	buf_reset(out);
	if (f->size > IMAGE_DOCUMENT_MAX)
		return err_set(e, ERR_INPUT, -EFBIG, "a document larger than %d MiB",
			       IMAGE_DOCUMENT_MAX >> 20);
	while (out->len < f->size) {
		size_t want = f->size - out->len < CHUNK ? (size_t)f->size - out->len : CHUNK;
		ssize_t n = pread(f->fd, chunk, want, f->offset + (off_t)out->len);

		if (n < 0)
			return err_sys(e, "read");
		if (n == 0)
			return err_set(e, ERR_INPUT, -EBADMSG, "it is truncated");
		buf_add(out, chunk, (size_t)n);
	}
	return 0;
}

/* A file on its way into the store. */
struct incoming {
	const struct import_store *store;
	char name[8 + 2 * NAME_BYTES + 1]; /* in partial; "" when there is none */
	int fd;
	EVP_MD_CTX *digest;
	uint64_t size;
	char first[4];
};

static int incoming_open(struct incoming *in, const struct import_store *s, struct err *e)
{
	*in = (struct incoming){ .store = s, .fd = -1, .digest = EVP_MD_CTX_new() };
	if (!in->digest || EVP_DigestInit_ex(in->digest, EVP_sha256(), NULL) != 1)
		return err_set(e, ERR_SYSTEM, -EIO, "SHA-256 is not available");
	memcpy(in->name, "import.", 7);
	text_random_hex(in->name + 7, NAME_BYTES);
	in->fd = openat(s->partial, in->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);
	if (in->fd < 0) {
		in->name[0] = '\0';
		return err_sys(e, "template store: make a file");
	}
	return 0;
}

static void incoming_close(struct incoming *in)
{
	if (in->fd >= 0)
		close(in->fd);
	if (in->name[0])
		(void)unlinkat(in->store->partial, in->name, 0);
	EVP_MD_CTX_free(in->digest);
}

static int incoming_add(struct incoming *in, const char *bytes, size_t n, struct err *e)
{
	int r;

	for (size_t i = 0; i < n && in->size + i < sizeof(in->first); i++)
		in->first[in->size + i] = bytes[i];
	in->size += n;
	if (EVP_DigestUpdate(in->digest, bytes, n) != 1)
		return err_set(e, ERR_SYSTEM, -EIO, "the digest cannot be computed");
	r = fs_write_all(in->fd, bytes, n);
	if (r == 0)
		return 0;
	errno = -r;
	return err_sys(e, "template store: write");
}

/* Give it its name, when the digest is `want` (NULL: any). */
static int incoming_commit(struct incoming *in, const char *want, char ret_digest[72],
			   struct err *e)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_DigestFinal_ex(in->digest, sum, &n) != 1 || n != 32)
		return err_set(e, ERR_SYSTEM, -EIO, "the digest cannot be computed");
	memcpy(ret_digest, "sha256:", 8);
	for (unsigned i = 0; i < n; i++)
		snprintf(ret_digest + 7 + 2 * (size_t)i, 3, "%02x", sum[i]);
	if (want && strcmp(want, ret_digest) != 0)
		return err_set(e, ERR_INPUT, -EBADMSG, "%s: its content is %s", want, ret_digest);
	if (fdatasync(in->fd) < 0 || fchmod(in->fd, 0400) < 0 ||
	    renameat(in->store->partial, in->name, in->store->blobs, image_digest_hex(ret_digest)) <
		    0)
		return err_sys(e, "template store: name a file");
	in->name[0] = '\0';
	return 0;
}

static bool is_there(const struct import_store *s, const struct image_descriptor *want)
{
	struct stat st;

	return want &&
	       fstatat(s->blobs, image_digest_hex(want->digest), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && (uint64_t)st.st_size == want->size;
}

static const char *layer_media(const char first[static 4])
{
	if (first[0] == '\x1f' && first[1] == '\x8b')
		return "application/vnd.oci.image.layer.v1.tar+gzip";
	if (memcmp(first, "\x28\xb5\x2f\xfd", 4) == 0)
		return "application/vnd.oci.image.layer.v1.tar+zstd";
	return "application/vnd.oci.image.layer.v1.tar";
}

static int copy(struct incoming *in, const struct import_file *f, struct err *e)
{
	auto_free char *chunk = xmalloc(CHUNK);

	while (in->size < f->size) {
		size_t want = f->size - in->size < CHUNK ? (size_t)(f->size - in->size) : CHUNK;
		ssize_t n = pread(f->fd, chunk, want, f->offset + (off_t)in->size);
		int r;

		if (n < 0)
			return err_sys(e, "read");
		if (n == 0)
			return err_set(e, ERR_INPUT, -EBADMSG, "it is truncated");
		r = incoming_add(in, chunk, (size_t)n, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int import_copy(const struct import_store *s, const struct import_file *f,
		const struct image_descriptor *want, struct image_descriptor *ret, struct err *e)
{
	struct incoming in;
	char digest[72];
	int r;

	if (is_there(s, want))
		return 0;
	if (f->size > IMAGE_BLOB_MAX)
		return err_set(e, ERR_INPUT, -EFBIG, "a layer of more than 64 GiB");
	if (want && f->size != want->size)
		return err_set(e, ERR_INPUT, -EBADMSG, "%s: it has %llu bytes and not %llu",
			       want->digest, (unsigned long long)f->size,
			       (unsigned long long)want->size);
	r = incoming_open(&in, s, e);
	if (r == 0)
		r = copy(&in, f, e);
	if (r == 0)
		r = incoming_commit(&in, want ? want->digest : NULL, digest, e);
	if (r == 0 && ret)
		*ret = (struct image_descriptor){ .media_type = xstrdup(layer_media(in.first)),
						  .digest = xstrdup(digest),
						  .size = in.size };
	incoming_close(&in);
	return r;
}

int import_put(const struct import_store *s, const char *bytes, size_t n, char ret_digest[72],
	       struct err *e)
{
	struct incoming in;
	int r = incoming_open(&in, s, e);

	if (r == 0)
		r = incoming_add(&in, bytes, n, e);
	if (r == 0)
		r = incoming_commit(&in, NULL, ret_digest, e);
	incoming_close(&in);
	return r;
}
