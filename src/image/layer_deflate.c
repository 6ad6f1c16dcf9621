/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_deflate: the bytes of a new layer: digest, gzip, digest, file.
 *
 * Whoever reads the layer refuses one that grows to more than LAYER_RATIO times its size
 * (compression bombs); files of zeros do that to an honest one.  So what is compressed too well is
 * stored from then on, until the proportion is right again.
 *
 * The gzip header has no time and no name, so the same tree gives the same blob.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

#include "base/fs.h"
#include "base/mem.h"
#include "image/layer_internal.h"

enum {
	CHUNK = 256 << 10,
	/* Half again as large as at 6, in a third of the time. */
	LEVEL = 3,
	GZIP_WINDOW = 15 + 16,
	MEMORY_LEVEL = 8,
	/* Well below what readers bear, and from a size on that they bear anyway. */
	RATIO = 100,
	RATIO_FROM = 64 << 20,
};

struct layer_deflate {
	int fd;
	z_stream z;
	bool storing;
	EVP_MD_CTX *diff_id; /* of what comes in */
	EVP_MD_CTX *digest;  /* of what goes out */
	uint64_t in, out;
	char *piece;
};

int layer_deflate_new(int fd, struct layer_deflate **ret, struct err *e)
{
	struct layer_deflate *d = xcalloc(1, sizeof(*d));

	d->fd = fd;
	d->piece = xmalloc(CHUNK);
	d->diff_id = EVP_MD_CTX_new();
	d->digest = EVP_MD_CTX_new();
	if (deflateInit2(&d->z, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) !=
	    Z_OK)
		mem_oom();
	*ret = d;
	if (!d->diff_id || !d->digest || EVP_DigestInit_ex(d->diff_id, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestInit_ex(d->digest, EVP_sha256(), NULL) != 1) {
		layer_deflate_free(d);
		return err_set(e, ERR_SYSTEM, -EIO, "layer: SHA-256 is not available");
	}
	return 0;
}

void layer_deflate_free(struct layer_deflate *d)
{
	if (!d)
		return;
	deflateEnd(&d->z);
	EVP_MD_CTX_free(d->diff_id);
	EVP_MD_CTX_free(d->digest);
	free(d->piece);
	free(d);
}

/* What the compressor has for the file. */
static int emit(struct layer_deflate *d, size_t n, struct err *e)
{
	int r;

	d->out += n;
	if (EVP_DigestUpdate(d->digest, d->piece, n) != 1)
		return err_set(e, ERR_SYSTEM, -EIO, "layer: the digest cannot be computed");
	r = fs_write_all(d->fd, d->piece, n);
	if (r == 0)
		return 0;
	errno = -r;
	return err_sys(e, "layer: write");
}

/* All of the input, and with Z_FINISH all of the output. */
static int run(struct layer_deflate *d, int flush, struct err *e)
{
	int z;

	do {
		int r;

		d->z.next_out = (Bytef *)d->piece;
		d->z.avail_out = CHUNK;
		z = deflate(&d->z, flush);
		if (z == Z_STREAM_ERROR)
			return err_set(e, ERR_SYSTEM, -EIO, "layer: compression failed");
		r = emit(d, CHUNK - d->z.avail_out, e);
		if (r < 0)
			return r;
	} while (d->z.avail_out == 0 || (flush == Z_FINISH && z != Z_STREAM_END));
	return 0;
}

/* Compress or store from here on. */
static int choose(struct layer_deflate *d, struct err *e)
{
	const bool store = d->in > RATIO_FROM && d->in / RATIO > d->out;
	int r;

	if (store == d->storing)
		return 0;
	/* A change of level needs an empty buffer. */
	r = run(d, Z_BLOCK, e);
	if (r < 0)
		return r;
	d->z.next_out = (Bytef *)d->piece;
	d->z.avail_out = CHUNK;
	if (deflateParams(&d->z, store ? 0 : LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
		return err_set(e, ERR_SYSTEM, -EIO, "layer: compression failed");
	d->storing = store;
	return emit(d, CHUNK - d->z.avail_out, e);
}

int layer_deflate_add(struct layer_deflate *d, const char *bytes, size_t n, struct err *e)
{
	while (n > 0) {
		size_t take = n < CHUNK ? n : CHUNK;
		int r = choose(d, e);

		if (r < 0)
			return r;
		if (EVP_DigestUpdate(d->diff_id, bytes, take) != 1)
			return err_set(e, ERR_SYSTEM, -EIO, "layer: the digest cannot be computed");
		d->z.next_in = (const Bytef *)bytes;
		d->z.avail_in = (uInt)take;
		d->in += take;
		r = run(d, Z_NO_FLUSH, e);
		if (r < 0)
			return r;
		bytes += take;
		n -= take;
	}
	return 0;
}

static int digest_text(EVP_MD_CTX *ctx, char out[static IMAGE_DIGEST_LEN + 1], struct err *e)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_DigestFinal_ex(ctx, sum, &n) != 1 || n != IMAGE_HEX_LEN / 2)
		return err_set(e, ERR_SYSTEM, -EIO, "layer: the digest cannot be computed");
	memcpy(out, "sha256:", 8);
	for (unsigned i = 0; i < n; i++)
		snprintf(out + 7 + 2 * (size_t)i, 3, "%02x", sum[i]);
	return 0;
}

int layer_deflate_finish(struct layer_deflate *d, struct layer_blob *ret, struct err *e)
{
	int r = run(d, Z_FINISH, e);

	if (r == 0)
		r = digest_text(d->diff_id, ret->diff_id, e);
	if (r == 0)
		r = digest_text(d->digest, ret->digest, e);
	ret->size = d->out;
	ret->stream = d->in;
	return r;
}
