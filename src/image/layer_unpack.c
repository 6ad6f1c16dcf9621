/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_unpack: `ward-image unpack`: one layer from the blob to a directory.
 *
 * Request: {"diff_id", "blob_size", "ids", "growing", "max": {"bytes", "entries", "stream",
 * "seconds"}}.  Descriptor 3 is the blob; 4 the empty directory; 5, with "growing", the counter of
 * layer_unpack_new: the blob is still being downloaded then.  Result: the members of struct
 * layer_stats, and the most memory that it took.
 *
 * Three threads: one reads and inflates, one computes the digest of the uncompressed archive, this
 * one parses it and places files.  The digest is compared at the end, whatever followed the archive
 * in the stream included, and not before the blob's own digest is known to be right; the caller
 * gives the directory its name only then.
 *
 * Invariants: memory is bounded by constants; every loop ends with the input, whose size is bounded
 * by the blob's and by stream_max.  The threads are made before the filter of system calls, which
 * allows none, and touch no byte of the blob before layer_unpack_run.  Which failure is told does
 * not depend on who was faster: the reader of the archive first reads all that came before one of
 * inflating.
 */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <openssl/evp.h>
#include <pthread.h>
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

enum { BLOB_FD = IMAGE_FD_FIRST, ROOT_FD, COUNTER_FD };
enum { THREADS = 2, STACK_SIZE = 256 << 10 };

struct layer_unpack {
	const struct layer_request *q;
	int blob;
	int counter; /* -1: all of the blob is there */
	struct layer_inflate *inflate;
	struct layer_ring *ring;
	struct tar_reader *reader;
	struct layer_place *place;
	EVP_MD_CTX *digest;
	char *in;
	uint64_t have;	 /* what the counter said */
	uint64_t at;	 /* bytes of the blob that were read */
	uint64_t stream; /* uncompressed bytes so far */
	time_t deadline;
	int made; /* how inflating went */
	struct err made_e;
	/* the threads wait for the start */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t threads[THREADS];
	size_t nthreads;
	size_t ready;
	bool go;
	bool leave; /* without doing anything */
};

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* --- the thread that inflates ----------------------------------------------------------------- */

/* Until there is more of a blob that is being downloaded. */
static int wait_for_more(struct layer_unpack *u, struct err *e)
{
	const time_t begin = now();
	uint64_t more;
	ssize_t n;

	do {
		n = read(u->counter, &more, sizeof(more));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, "layer: its download");
	if (n != sizeof(more) || more > u->q->blob_size + 1 - u->have)
		return err_set(e, ERR_SYSTEM, -ECANCELED, "layer: its download failed");
	u->have += more;
	u->deadline += now() - begin;
	return 0;
}

/* *ret_n == 0: all of the blob was read, and it is what it should be. */
static int read_blob(struct layer_unpack *u, size_t *ret_n, struct err *e)
{
	uint64_t left;
	ssize_t n;

	while (u->have <= u->at) {
		int r = wait_for_more(u, e);

		if (r < 0)
			return r;
	}
	left = (u->have < u->q->blob_size ? u->have : u->q->blob_size) - u->at;
	*ret_n = 0;
	if (left == 0)
		return 0;
	do {
		n = read(u->blob, u->in, left < LAYER_CHUNK ? (size_t)left : LAYER_CHUNK);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, "layer: read");
	if (n == 0)
		return err_set(e, ERR_CORRUPT, -EBADMSG, "layer: its blob is too short");
	u->at += (uint64_t)n;
	*ret_n = (size_t)n;
	return 0;
}

static int charge(struct layer_unpack *u, size_t n, struct err *e)
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
	return 0;
}

static int inflate_all(struct layer_unpack *u, const char *in, size_t n, struct err *e)
{
	size_t got;
	int r;

	do {
		char *room = layer_ring_room(u->ring);

		if (!room)
			return -ECANCELED;
		r = layer_inflate(u->inflate, &in, &n, room, LAYER_CHUNK, &got, e);
		if (r == 0 && got > 0)
			r = charge(u, got, e);
		if (r == 0 && got > 0)
			layer_ring_filled(u->ring, got);
	} while (r == 0 && got > 0);
	return r;
}

static int make(struct layer_unpack *u, struct err *e)
{
	for (;;) {
		size_t n;
		int r = read_blob(u, &n, e);

		if (r == 0 && n == 0)
			return layer_inflate_finish(u->inflate, e);
		if (r == 0)
			r = inflate_all(u, u->in, n, e);
		if (r < 0)
			return r;
	}
}

/* --- threads ---------------------------------------------------------------------------------- */

/* False: there is nothing to do. */
static bool wait_for_start(struct layer_unpack *u)
{
	bool leave;

	pthread_mutex_lock(&u->lock);
	u->ready++;
	pthread_cond_broadcast(&u->changed);
	while (!u->go)
		pthread_cond_wait(&u->changed, &u->lock);
	leave = u->leave;
	pthread_mutex_unlock(&u->lock);
	return !leave;
}

static void *make_thread(void *arg)
{
	struct layer_unpack *u = arg;

	if (!wait_for_start(u))
		return NULL;
	u->made = make(u, &u->made_e);
	layer_ring_end(u->ring);
	return NULL;
}

static void *digest_thread(void *arg)
{
	struct layer_unpack *u = arg;
	const char *bytes;
	size_t n;

	if (!wait_for_start(u))
		return NULL;
	while ((bytes = layer_ring_next(u->ring, LAYER_READER_DIGEST, &n))) {
		if (EVP_DigestUpdate(u->digest, bytes, n) != 1)
			mem_oom();
		layer_ring_used(u->ring, LAYER_READER_DIGEST);
	}
	return NULL;
}

static int start_threads(struct layer_unpack *u, struct err *e)
{
	static void *(*const mains[THREADS])(void *) = { make_thread, digest_thread };
	pthread_attr_t attr;
	int r = 0;

	/* An arena for each thread would reserve more addresses than are allowed. */
	(void)mallopt(M_ARENA_MAX, 1);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	while (u->nthreads < THREADS && r == 0) {
		r = pthread_create(&u->threads[u->nthreads], &attr, mains[u->nthreads], u);
		if (r == 0)
			u->nthreads++;
	}
	pthread_attr_destroy(&attr);
	/* What the C library does for a new thread is over then. */
	pthread_mutex_lock(&u->lock);
	while (u->ready < u->nthreads)
		pthread_cond_wait(&u->changed, &u->lock);
	pthread_mutex_unlock(&u->lock);
	errno = r;
	return r == 0 ? 0 : err_sys(e, "layer: cannot start a thread");
}

static void go(struct layer_unpack *u, bool leave)
{
	pthread_mutex_lock(&u->lock);
	u->go = true;
	u->leave = leave;
	pthread_cond_broadcast(&u->changed);
	pthread_mutex_unlock(&u->lock);
}

static void join(struct layer_unpack *u)
{
	for (size_t i = 0; i < u->nthreads; i++)
		pthread_join(u->threads[i], NULL);
	u->nthreads = 0;
}

int layer_unpack_new(const struct layer_request *q, int blob_fd, int counter, int root_fd,
		     struct layer_unpack **ret, struct err *e)
{
	/* Directories that archives leave out; some archives list no directory at all. */
	const uint64_t dirs = q->limits.entries;
	struct layer_unpack *u = xcalloc(1, sizeof(*u));
	int r;

	*u = (struct layer_unpack){ .q = q,
				    .blob = blob_fd,
				    .counter = counter,
				    .inflate = layer_inflate_new(),
				    .ring = layer_ring_new(),
				    .reader = tar_reader_new(&q->limits),
				    .place = layer_place_new(root_fd, q->ids, dirs),
				    .digest = EVP_MD_CTX_new(),
				    .in = xmalloc(LAYER_CHUNK),
				    .have = counter < 0 ? q->blob_size + 1 : 0,
				    .made_e = ERR_INIT };
	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->changed, NULL);
	if (!u->digest || EVP_DigestInit_ex(u->digest, EVP_sha256(), NULL) != 1)
		r = err_set(e, ERR_SYSTEM, -EIO, "layer: SHA-256 is not available");
	else
		r = start_threads(u, e);
	if (r < 0) {
		layer_unpack_free(u);
		return r;
	}
	*ret = u;
	return 0;
}

void layer_unpack_free(struct layer_unpack *u)
{
	if (!u)
		return;
	go(u, true);
	join(u);
	EVP_MD_CTX_free(u->digest);
	layer_place_free(u->place);
	tar_reader_free(u->reader);
	layer_ring_free(u->ring);
	layer_inflate_free(u->inflate);
	pthread_cond_destroy(&u->changed);
	pthread_mutex_destroy(&u->lock);
	free(u->in);
	free(u);
}

/* --- this thread ------------------------------------------------------------------------------ */

static int feed_tar(struct layer_unpack *u, const char *bytes, size_t n, struct err *e)
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

static int place_all(struct layer_unpack *u, struct err *e)
{
	const char *bytes;
	size_t n;

	while ((bytes = layer_ring_next(u->ring, LAYER_READER_PLACE, &n))) {
		int r = feed_tar(u, bytes, n, e);

		layer_ring_used(u->ring, LAYER_READER_PLACE);
		if (r < 0)
			return r;
	}
	return 0;
}

static int compare(struct layer_unpack *u, struct err *e)
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

int layer_unpack_run(struct layer_unpack *u, struct layer_stats *ret, struct err *e)
{
	int r;

	u->deadline = now() + (time_t)u->q->seconds;
	go(u, false);
	r = place_all(u, e);
	if (r < 0)
		layer_ring_stop(u->ring);
	join(u);
	if (r == 0 && u->made < 0) {
		if (e)
			*e = u->made_e;
		r = u->made;
	}
	if (r == 0)
		r = tar_reader_finish(u->reader, e);
	if (r == 0)
		r = compare(u, e);
	if (r == 0)
		layer_place_finish(u->place, ret);
	return r;
}

/* --- the verb --------------------------------------------------------------------------------- */

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

/* What is started before the filter of system calls comes into force. */
struct starting {
	const struct layer_request *q;
	int counter;
	struct layer_unpack **ret;
};

static int start(void *arg, struct err *e)
{
	const struct starting *s = arg;

	return layer_unpack_new(s->q, BLOB_FD, s->counter, ROOT_FD, s->ret, e);
}

static int confine(const struct layer_request *q, bool growing, struct layer_unpack **ret,
		   struct err *e)
{
	struct starting s = { q, growing ? COUNTER_FD : -1, ret };
	const struct helper_rule rule = { ROOT_FD, HELPER_MAKE_TREE };
	const struct helper_confine c = { .rules = &rule,
					  .nrules = 1,
					  .last_fd = growing ? COUNTER_FD : ROOT_FD,
					  .root_fd = ROOT_FD,
					  .file_size = q->limits.file_size,
					  .start = start,
					  .arg = &s };

	return helper_confine(&c, e);
}

int layer_unpack_verb(const struct json *request, struct json **ret, struct err *e)
{
	struct layer_request q = { 0 };
	struct layer_unpack *u = NULL;
	struct layer_stats stats = { 0 };
	bool growing = false;
	struct rusage usage;
	struct json *j;
	int r = read_request(request, &q, e);

	(void)json_get_bool(request, "growing", &growing);
	if (r == 0)
		r = confine(&q, growing, &u, e);
	/* A failure of confining ends the process, threads that wait included. */
	if (r < 0 || !u)
		return r;
	r = layer_unpack_run(u, &stats, e);
	layer_unpack_free(u);
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
