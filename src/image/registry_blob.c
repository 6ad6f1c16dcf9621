/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_blob: blobs from a registry into the store.
 *
 * Each blob is downloaded into HEX.partial and renamed to HEX when its size and digest are right.
 * A partial file is locked by who is at it, so a second pull of the same blob waits and then finds
 * it done; what a killed pull left is hashed again and continued with a Range request.  Nothing is
 * believed of a continued file: a digest that is wrong then is no error yet, the blob is fetched
 * once more from the beginning.
 *
 * Several threads take blobs from one list; the first failure ends them all.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/image_internal.h"
#include "image/registry_internal.h"

enum {
	THREADS_MAX = 4,
	LOCK_POLL_MS = 100,
	PROGRESS_MS = 100,
	READ_CHUNK = 1 << 18,
	WRITEBACK = 8 << 20, /* bytes after which the kernel may begin to write */
};

/* --- digests and documents ---------------------------------------------------------------------
 */

static void write_hex(const unsigned char *digest, char out[static IMAGE_DIGEST_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	char *p = out + strlen("sha256:");

	memcpy(out, "sha256:", strlen("sha256:"));
	for (size_t i = 0; i < IMAGE_HEX_LEN / 2; i++) {
		*p++ = digits[digest[i] >> 4];
		*p++ = digits[digest[i] & 15];
	}
	*p = '\0';
}

void registry_digest(const void *bytes, size_t n, char out[static IMAGE_DIGEST_LEN + 1])
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	if (EVP_Digest(bytes, n, digest, NULL, EVP_sha256(), NULL) != 1)
		mem_oom();
	write_hex(digest, out);
}

bool registry_store_has(const struct registry_store *s, const char *digest, uint64_t size)
{
	struct stat st;

	return fstatat(s->blobs, image_digest_hex(digest), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

int registry_store_put(const struct registry_store *s, const char *digest, const struct buf *text,
		       struct err *e)
{
	if (registry_store_has(s, digest, text->len))
		return 0;
	return fs_replace_at(s->blobs, image_digest_hex(digest), text->data, text->len, 0400, true,
			     e);
}

int registry_store_get(const struct registry_store *s, const char *digest, struct buf *out,
		       struct err *e)
{
	return fs_read_at(s->blobs, image_digest_hex(digest), IMAGE_DOCUMENT_MAX, out, e);
}

/* --- one blob ----------------------------------------------------------------------------------
 */

struct download {
	struct registry *r;
	struct http *h;
	const struct registry_store *s;
	const struct image_descriptor *d;
	const char *name;    /* of the blob */
	const char *partial; /* until it is complete; beside it, because Landlock's first version
				forbids to rename into another directory */
	int fd;		     /* of the partial file, locked */
	EVP_MD_CTX *hash;    /* of the first `have` bytes */
	uint64_t have;
	uint64_t fetched; /* over the network, in all */
	bool resumed;	  /* `have` began with what somebody else wrote */
	bool headed;	  /* the head of this answer was looked at */
	uint64_t told_ms; /* when progress was last told */
	uint64_t flushed;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void registry_tell(const struct image_descriptor *d, const char *state, uint64_t have)
{
	struct json *j = json_object();

	json_set_string(j, "digest", d->digest);
	json_set_uint(j, "size", d->size);
	json_set_uint(j, "have", have);
	json_set_string(j, "state", state);
	image_event_send("blob", j);
}

static int disk_failure(const char *what, struct err *e)
{
	int code = errno;
	int r = err_sys(e, "template store: %s", what);

	if (code == ENOSPC || code == EDQUOT)
		err_hint(e, "make room: ward template prune");
	return r;
}

static void hash_begin(struct download *d)
{
	if (EVP_DigestInit_ex(d->hash, EVP_sha256(), NULL) != 1)
		mem_oom();
	d->have = 0;
}

static int start_over(struct download *d, struct err *e)
{
	if (ftruncate(d->fd, 0) < 0 || lseek(d->fd, 0, SEEK_SET) < 0)
		return disk_failure("cannot begin a download again", e);
	hash_begin(d);
	d->resumed = false;
	d->flushed = 0;
	return 0;
}

/* Hash what is there already. */
static int take_up(struct download *d, struct err *e)
{
	auto_free char *chunk = xmalloc(READ_CHUNK);
	struct stat st;

	hash_begin(d);
	if (fstat(d->fd, &st) < 0)
		return disk_failure("cannot examine a download", e);
	if ((uint64_t)st.st_size > d->d->size)
		return start_over(d, e);
	for (;;) {
		ssize_t n = pread(d->fd, chunk, READ_CHUNK, (off_t)d->have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return disk_failure("cannot read a download", e);
		if (n == 0)
			break;
		if (EVP_DigestUpdate(d->hash, chunk, (size_t)n) != 1)
			mem_oom();
		d->have += (uint64_t)n;
	}
	d->resumed = d->have > 0;
	return 0;
}

/* "bytes FROM-TO/SIZE" continues where we stand. */
static bool continues(const struct download *d, const char *range)
{
	auto_free char *expected =
		xasprintf("bytes %llu-%llu/%llu", (unsigned long long)d->have,
			  (unsigned long long)d->d->size - 1, (unsigned long long)d->d->size);

	return range && strcmp(range, expected) == 0;
}

static int on_bytes(const struct http_response *resp, const void *bytes, size_t n, void *arg,
		    struct err *e)
{
	struct download *d = arg;

	if (!d->headed) {
		d->headed = true;
		/* A server that knows no ranges, or another one than was asked for. */
		if (d->have > 0 && resp->status != 206) {
			int r = start_over(d, e);

			if (r < 0)
				return r;
		} else if (d->have > 0 && !continues(d, resp->content_range)) {
			return err_set(e, ERR_INPUT, -EBADMSG,
				       "%s: it sends another range than was asked for",
				       d->d->digest);
		}
	}
	if (n > d->d->size - d->have)
		return err_set(e, ERR_INPUT, -EFBIG, "%s: it is larger than its %llu bytes",
			       d->d->digest, (unsigned long long)d->d->size);
	if (fs_write_all(d->fd, bytes, n) < 0)
		return disk_failure("cannot write", e);
	if (EVP_DigestUpdate(d->hash, bytes, n) != 1)
		mem_oom();
	d->have += n;
	d->fetched += n;
	if (d->have - d->flushed >= WRITEBACK) {
		/* So that little is left to wait for when it is complete. */
		(void)sync_file_range(d->fd, (off_t)d->flushed, (off_t)(d->have - d->flushed),
				      SYNC_FILE_RANGE_WRITE);
		d->flushed = d->have;
	}
	/* That all of it is here is of use to who reads it already; a sync may take its time. */
	if (now_ms() - d->told_ms >= PROGRESS_MS || d->have == d->d->size) {
		d->told_ms = now_ms();
		registry_tell(d->d, "downloading", d->have);
	}
	return 0;
}

static int request_rest(struct download *d, struct http_response *resp, struct err *e)
{
	auto_free char *path = xasprintf("/v2/%s/blobs/%s", d->r->repository, d->d->digest);
	struct http_request q = HTTP_REQUEST_INIT;

	q.url = path;
	q.from = d->have;
	q.sink = on_bytes;
	q.arg = d;
	d->headed = false;
	if (lseek(d->fd, (off_t)d->have, SEEK_SET) < 0)
		return disk_failure("cannot write", e);
	return registry_request(d->r, d->h, &q, resp, e);
}

/* A whole answer that is not the whole blob: worth another try only when it brought us on. */
static int short_of(const struct download *d, bool progress, struct err *e)
{
	return err_set(e, ERR_INPUT, progress ? -EAGAIN : -ENODATA,
		       "registry %s: %s: it ended after %llu of %llu bytes", d->r->host,
		       d->d->digest, (unsigned long long)d->have, (unsigned long long)d->d->size);
}

/* Until all bytes are there. */
static int fetch_rest(struct download *d, struct err *e)
{
	struct registry_retry retry = { .answered = true };

	while (d->have < d->d->size) {
		auto_http_response resp = { 0 };
		uint64_t before = d->have;
		int r = request_rest(d, &resp, e);

		if (d->have > before)
			retry.tries = 0;
		if (r == -EBADMSG && d->have > 0)
			r = start_over(d, e);
		if (r == 0 && resp.status == 416 && d->have > 0)
			r = start_over(d, e);
		else if (r == 0 && resp.status / 100 == 2 && d->have < d->d->size)
			r = short_of(d, d->have > before, e);
		else if (r == 0 && resp.status / 100 == 2)
			return 0;
		if (r == 0 && resp.status == 416 && before > 0)
			continue;
		if (!registry_again(&retry, r, &resp, d->d->digest))
			return r < 0 ? r : registry_failure(d->r, &resp, d->d->digest, e);
	}
	return 0;
}

static int check_digest(struct download *d, bool *ret_ok)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[IMAGE_DIGEST_LEN + 1];

	if (EVP_DigestFinal_ex(d->hash, digest, NULL) != 1)
		mem_oom();
	write_hex(digest, text);
	*ret_ok = strcmp(text, d->d->digest) == 0;
	return 0;
}

static int commit(struct download *d, struct err *e)
{
	struct stat st;

	/* What was hashed is what was received; that it is also what the file has is for its size
	 * to tell. */
	if (fstat(d->fd, &st) < 0 || (uint64_t)st.st_size != d->d->size)
		return err_set(e, ERR_SYSTEM, -EIO, "template store: %s: written wrongly",
			       d->d->digest);
	if (fdatasync(d->fd) < 0 || fchmod(d->fd, 0400) < 0)
		return disk_failure("cannot write", e);
	if (renameat(d->s->blobs, d->partial, d->s->blobs, d->name) < 0)
		return disk_failure("cannot commit a blob", e);
	return 0;
}

static int fetch_and_verify(struct download *d, struct err *e)
{
	int r = take_up(d, e);

	for (;;) {
		bool ok = false;
		bool resumed;

		if (r == 0)
			r = fetch_rest(d, e);
		resumed = d->resumed;
		if (r == 0)
			r = check_digest(d, &ok);
		if (r < 0)
			return r;
		if (ok)
			return commit(d, e);
		if (!resumed)
			break;
		r = start_over(d, e);
	}
	(void)unlinkat(d->s->blobs, d->partial, 0);
	return err_set(e, ERR_INPUT, -EBADMSG,
		       "registry %s: %s: what was sent has another digest, it is not used",
		       d->r->host, d->d->digest);
}

/* --- the lock ----------------------------------------------------------------------------------
 */

/* Is the file that we locked still the one with this name? Who was before us renamed it. */
static bool still_there(const struct download *d)
{
	struct stat a, b;

	return fstat(d->fd, &a) == 0 &&
	       fstatat(d->s->blobs, d->partial, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* 1: locked. 0: somebody else is at it. */
static int try_lock(struct download *d, struct err *e)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	fd_closep(&d->fd);
	d->fd = openat(d->s->blobs, d->partial,
		       O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (d->fd < 0)
		return disk_failure("cannot begin a download", e);
	if (fcntl(d->fd, F_OFD_SETLK, &whole) < 0) {
		if (errno == EAGAIN || errno == EACCES)
			return 0;
		return disk_failure("cannot lock a download", e);
	}
	return still_there(d);
}

static int fetch_blob(struct download *d, struct err *e)
{
	bool waited = false;
	int r;

	for (;;) {
		if (registry_store_has(d->s, d->d->digest, d->d->size)) {
			if (d->fd >= 0) /* the empty file that the wait may have made */
				(void)unlinkat(d->s->blobs, d->partial, 0);
			registry_tell(d->d, "exists", d->d->size);
			return 0;
		}
		r = try_lock(d, e);
		if (r < 0)
			return r;
		if (r > 0 && !registry_store_has(d->s, d->d->digest, d->d->size))
			break;
		if (r > 0)
			continue;
		if (!waited)
			registry_tell(d->d, "waiting", 0);
		waited = true;
		fd_closep(&d->fd);
		http_wait(LOCK_POLL_MS);
		if (http_stopped())
			return err_set(e, ERR_SYSTEM, -ECANCELED, "stopped");
	}
	r = fetch_and_verify(d, e);
	if (r == 0)
		registry_tell(d->d, "done", d->d->size);
	return r;
}

/* --- several -----------------------------------------------------------------------------------
 */

struct batch {
	struct registry *r;
	const struct registry_store *s;
	const struct image_descriptor *v;
	size_t n;
	pthread_mutex_t lock;
	size_t next;
	uint64_t fetched;
	int failed;
	struct err e;
};

/* The same layer may be there twice. */
static bool seen_before(const struct batch *b, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (strcmp(b->v[k].digest, b->v[i].digest) == 0)
			return true;
	}
	return false;
}

static const struct image_descriptor *take(struct batch *b)
{
	const struct image_descriptor *d = NULL;

	pthread_mutex_lock(&b->lock);
	while (b->next < b->n && !d && !b->failed) {
		if (!seen_before(b, b->next))
			d = &b->v[b->next];
		b->next++;
	}
	pthread_mutex_unlock(&b->lock);
	return d;
}

static void done(struct batch *b, uint64_t fetched, int r, const struct err *e)
{
	pthread_mutex_lock(&b->lock);
	b->fetched += fetched;
	if (r < 0 && !b->failed) {
		b->failed = r;
		b->e = *e;
		http_stop();
	}
	pthread_mutex_unlock(&b->lock);
}

static void *work(void *arg)
{
	struct batch *b = arg;
	struct http *h = http_new(&b->r->ca);
	const struct image_descriptor *v;

	while ((v = take(b))) {
		struct err e = ERR_INIT;
		auto_free char *partial = xasprintf("%s.partial", image_digest_hex(v->digest));
		struct download d = { .r = b->r,
				      .h = h,
				      .s = b->s,
				      .d = v,
				      .name = image_digest_hex(v->digest),
				      .partial = partial,
				      .fd = -1,
				      .hash = EVP_MD_CTX_new() };
		int r;

		if (!d.hash)
			mem_oom();
		r = fetch_blob(&d, &e);
		EVP_MD_CTX_free(d.hash);
		fd_closep(&d.fd);
		done(b, d.fetched, r, &e);
	}
	http_free(h);
	return NULL;
}

int registry_blobs(struct registry *r, const struct registry_store *s,
		   const struct image_descriptor *v, size_t n, uint64_t *ret_bytes, struct err *e)
{
	struct batch b = { .r = r, .s = s, .v = v, .n = n, .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_t threads[THREADS_MAX];
	size_t started = 0;

	/* Who watches learns how much there is before the first byte of it. */
	for (size_t i = 0; i < n; i++) {
		if (!seen_before(&b, i))
			registry_tell(&v[i], "queued", 0);
	}
	while (started < THREADS_MAX && started < n &&
	       pthread_create(&threads[started], NULL, work, &b) == 0)
		started++;
	if (started == 0 && n > 0)
		return err_set(e, ERR_SYSTEM, -EAGAIN, "registry: cannot start a thread");
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	if (b.failed) {
		*e = b.e;
		return b.failed;
	}
	if (fsync(s->blobs) < 0)
		return disk_failure("cannot sync", e);
	*ret_bytes += b.fetched;
	return 0;
}
