/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_unpack: `ward-image unpack`: one layer from the blob to a directory.
 *
 * Request: {"diff_id", "blob_size", "ids", "max": {"bytes", "entries", "stream", "seconds"}}.
 * Descriptor 3 is the blob, whose own digest was verified when it came into the store; 4 the empty
 * directory.  Result: the members of struct layer_stats, and the most memory that it took.
 *
 * One pass: read, inflate, digest, parse, place.  The digest of the uncompressed archive is
 * compared at the end, whatever followed the archive in the stream included; the caller gives the
 * directory its name only then.
 *
 * Invariants: memory is bounded by constants; every loop ends with the input, whose size is bounded
 * by the blob's and by stream_max.
 */
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "image/helper_confine.h"
#include "image/image_internal.h"
#include "image/layer_internal.h"

enum { CHUNK = 256 << 10, BLOB_FD = IMAGE_FD_FIRST, ROOT_FD = IMAGE_FD_FIRST + 1 };

struct unpack {
	const struct layer_request *q;
	struct layer_inflate *inflate;
	struct tar_reader *reader;
	struct layer_place *place;
	EVP_MD_CTX *digest;
	uint64_t stream; /* uncompressed bytes so far */
	time_t deadline;
	char *in;
	char *out;
};

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static int feed_tar(struct unpack *u, const char *bytes, size_t n, struct err *e)
{
	struct tar_event ev;

	do {
		size_t used = 0;
		int r = tar_reader_feed(u->reader, bytes, n, &used, &ev, e);

		if (r == 0)
			r = layer_place_event(u->place, &ev, e);
		if (r < 0)
			return r;
		bytes += used;
		n -= used;
	} while (ev.kind != TAR_MORE && ev.kind != TAR_END);
	return 0;
}

/* A piece of the uncompressed archive. */
static int take(struct unpack *u, const char *bytes, size_t n, struct err *e)
{
	u->stream += n;
	if (u->stream > u->q->stream_max)
		return err_set(e, ERR_INPUT, -EFBIG,
			       "layer: more than %" PRIu64 " bytes out of %" PRIu64
			       " compressed ones",
			       u->q->stream_max, u->q->blob_size);
	if (now() > u->deadline)
		return err_set(e, ERR_INPUT, -ETIME,
			       "layer: unpacking takes longer than %u seconds", u->q->seconds);
	if (EVP_DigestUpdate(u->digest, bytes, n) != 1)
		return err_set(e, ERR_SYSTEM, -EIO, "layer: the digest cannot be computed");
	return feed_tar(u, bytes, n, e);
}

static int inflate_all(struct unpack *u, const char *in, size_t n, struct err *e)
{
	size_t got;
	int r;

	do {
		r = layer_inflate(u->inflate, &in, &n, u->out, CHUNK, &got, e);
		if (r == 0 && got > 0)
			r = take(u, u->out, got, e);
	} while (r == 0 && got > 0);
	return r;
}

static int read_blob(struct unpack *u, int fd, struct err *e)
{
	for (;;) {
		ssize_t n = read(fd, u->in, CHUNK);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "layer: read");
		if (n == 0)
			return 0;
		r = inflate_all(u, u->in, (size_t)n, e);
		if (r < 0)
			return r;
	}
}

static int compare(struct unpack *u, struct err *e)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	char text[sizeof(u->q->diff_id)] = "sha256:";
	unsigned n = 0;

	if (EVP_DigestFinal_ex(u->digest, sum, &n) != 1 || n != 32)
		return err_set(e, ERR_SYSTEM, -EIO, "layer: the digest cannot be computed");
	for (unsigned i = 0; i < n; i++)
		snprintf(text + 7 + 2 * i, 3, "%02x", sum[i]);
	if (strcmp(text, u->q->diff_id) == 0)
		return 0;
	return err_set(e, ERR_INPUT, -EBADMSG,
		       "layer: its content is %s and not %s, which the image's configuration says",
		       text, u->q->diff_id);
}

static int run(struct unpack *u, int blob_fd, struct layer_stats *ret, struct err *e)
{
	int r;

	if (!u->digest || EVP_DigestInit_ex(u->digest, EVP_sha256(), NULL) != 1)
		return err_set(e, ERR_SYSTEM, -EIO, "layer: SHA-256 is not available");
	r = read_blob(u, blob_fd, e);
	if (r == 0)
		r = layer_inflate_finish(u->inflate, e);
	if (r == 0)
		r = tar_reader_finish(u->reader, e);
	if (r == 0)
		r = compare(u, e);
	if (r == 0)
		layer_place_finish(u->place, ret);
	return r;
}

int layer_unpack(const struct layer_request *q, int blob_fd, int root_fd, struct layer_stats *ret,
		 struct err *e)
{
	struct unpack u = { .q = q,
			    .inflate = layer_inflate_new(),
			    .reader = tar_reader_new(&q->limits),
			    .place = layer_place_new(root_fd, q->ids, q->limits.entries),
			    .digest = EVP_MD_CTX_new(),
			    .deadline = now() + q->seconds,
			    .in = xmalloc(CHUNK),
			    .out = xmalloc(CHUNK) };
	int r = run(&u, blob_fd, ret, e);

	free(u.in);
	free(u.out);
	EVP_MD_CTX_free(u.digest);
	layer_place_free(u.place);
	tar_reader_free(u.reader);
	layer_inflate_free(u.inflate);
	return r;
}

static int read_request(const struct json *j, struct layer_request *ret, struct err *e)
{
	const struct json *max = json_get(j, "max");
	const char *diff_id = NULL;
	uint64_t ids = 0, seconds = 0;

	ret->limits.layer = true;
	if (json_get_string(j, "diff_id", &diff_id) < 0 ||
	    strlen(diff_id) >= sizeof(ret->diff_id) || json_get_uint(j, "ids", &ids) < 0 ||
	    ids == 0 || ids > UINT32_MAX || json_get_uint(j, "blob_size", &ret->blob_size) < 0 ||
	    json_get_uint(max, "bytes", &ret->limits.total_size) < 0 ||
	    json_get_uint(max, "entries", &ret->limits.entries) < 0 ||
	    json_get_uint(max, "stream", &ret->stream_max) < 0 ||
	    json_get_uint(max, "seconds", &seconds) < 0 || seconds > UINT32_MAX)
		return err_set(e, ERR_INPUT, -EINVAL, "ward-image unpack: malformed request");
	ret->limits.file_size = ret->limits.total_size;
	ret->ids = (uint32_t)ids;
	ret->seconds = (unsigned)seconds;
	memcpy(ret->diff_id, diff_id, strlen(diff_id) + 1);
	return 0;
}

static int confine(const struct layer_request *q, struct err *e)
{
	const struct helper_rule rule = { ROOT_FD, HELPER_MAKE_TREE };
	const struct helper_confine c = { .rules = &rule,
					  .nrules = 1,
					  .last_fd = ROOT_FD,
					  .root_fd = ROOT_FD,
					  .file_size = q->limits.file_size };

	return helper_confine(&c, e);
}

int layer_unpack_verb(const struct json *request, struct json **ret, struct err *e)
{
	struct layer_request q = { 0 };
	struct layer_stats stats = { 0 };
	struct rusage usage;
	struct json *j;
	int r = read_request(request, &q, e);

	if (r == 0)
		r = confine(&q, e);
	if (r == 0)
		r = layer_unpack(&q, BLOB_FD, ROOT_FD, &stats, e);
	if (r < 0)
		return r;
	j = json_object();
	json_set_uint(j, "bytes", stats.bytes);
	json_set_uint(j, "entries", stats.entries);
	json_set_uint(j, "devices", stats.devices);
	json_set_uint(j, "xattrs", stats.xattrs);
	json_set_uint(j, "owners", stats.owners);
	json_set_bool(j, "opaque_root", stats.opaque_root);
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		json_set_uint(j, "memory_kib", (uint64_t)usage.ru_maxrss);
	*ret = j;
	return 0;
}
