/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_ahead: the layers of an image are unpacked while they are being downloaded.
 *
 * ward-registry says when the manifest and the configuration are in the store, and from then on how
 * much of each blob is.  A layer of which something is there gets a process that unpacks it, as
 * many at a time as there are processors; it reads the file that is being written, and an event
 * counter tells it how far.  It gives the layer its name only after the counter has said that the
 * blob is complete and its digest right, and its own digest of what is in it is right, too.
 *
 * All of this is only to save time.  Whatever goes wrong here is not told: the layer is unpacked
 * again from the store, and then its error is.  A download that begins anew is not followed any
 * further.
 *
 * Invariants: IMAGE_LOCK_CONTENT is held, shared, as long as a process may be running; told <=
 * have; a counter that was told `size` + 1 gets nothing more.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "engine/native_unpack.h"

/* More than any blob has: its download failed. */
#define CANCELLED (UINT64_MAX / 2)

struct following {
	struct native_worker worker; /* pid 0: not begun, or over */
	uint64_t have;		     /* bytes that are there */
	uint64_t told;		     /* of them, and of the one that says that it is complete */
	int counter;
	bool complete;
	bool begun;
	bool lost; /* the download began anew, or nobody can unpack it */
};

struct native_ahead {
	const struct image_store *store;
	image_event_fn *event;
	void *arg;
	int lock;
	char *manifest; /* NULL: not known yet */
	struct box_ids ids;
	struct native_image image;
	struct following layers[IMAGE_LAYERS_MAX]; /* of image.missing */
	size_t running;
	bool failed; /* nothing more is begun */
};

struct native_ahead *native_ahead_new(const struct image_store *s, image_event_fn *event, void *arg)
{
	struct native_ahead *a = xcalloc(1, sizeof(*a));

	*a = (struct native_ahead){ .store = s, .event = event, .arg = arg, .lock = -1 };
	return a;
}

/* --- one layer -------------------------------------------------------------------------------- */

static void tell(struct following *f, uint64_t size)
{
	uint64_t more = f->have + f->complete - f->told;

	if (!f->worker.pid || more == 0 || f->told > size)
		return;
	if (write(f->counter, &more, sizeof(more)) == sizeof(more))
		f->told += more;
}

static void cancel(struct following *f, uint64_t size)
{
	const uint64_t more = CANCELLED;

	f->lost = true;
	if (!f->worker.pid || f->told > size)
		return;
	if (write(f->counter, &more, sizeof(more)) == sizeof(more))
		f->told = size + 1;
}

/* The file that the blob is in, or is written to. */
static int open_blob(const struct native_ahead *a, const char *digest)
{
	auto_free char *partial = xasprintf("blobs/sha256/%s.partial", image_digest_hex(digest));
	auto_free char *whole = xasprintf("blobs/sha256/%s", image_digest_hex(digest));
	int fd = fs_open_beneath(a->store->fd, partial, O_RDONLY | O_NONBLOCK, 0);

	return fd >= 0 ? fd : fs_open_beneath(a->store->fd, whole, O_RDONLY | O_NONBLOCK, 0);
}

static void begin(struct native_ahead *a, size_t i)
{
	struct following *f = &a->layers[i];
	struct native_layer l = a->image.missing[i];
	auto_close int blob = open_blob(a, l.blob);

	f->begun = true;
	f->counter = eventfd(0, EFD_CLOEXEC);
	l.growing = blob;
	l.counter = f->counter;
	if (blob < 0 || f->counter < 0 || native_layer_start(&l, &f->worker, NULL) < 0) {
		fd_closep(&f->counter);
		f->lost = true;
		return;
	}
	a->running++;
	tell(f, l.size);
}

static void end(struct native_ahead *a, struct following *f)
{
	if (native_layer_finish(&f->worker, NULL) < 0)
		a->failed = true;
	fd_closep(&f->counter);
	a->running--;
}

/* --- all of them ------------------------------------------------------------------------------ */

/* Those that are over make room for others. */
static void reap(struct native_ahead *a)
{
	for (size_t i = 0; i < a->image.nmissing; i++) {
		struct following *f = &a->layers[i];
		struct pollfd fd = { .fd = f->worker.report, .events = POLLIN };

		if (f->worker.pid && poll(&fd, 1, 0) > 0)
			end(a, f);
	}
}

static void begin_some(struct native_ahead *a)
{
	for (size_t i = 0; i < a->image.nmissing; i++) {
		const struct following *f = &a->layers[i];

		if (a->failed || a->running >= native_layer_workers())
			return;
		if (!f->begun && !f->lost && (f->have > 0 || f->complete))
			begin(a, i);
	}
}

static void take_blob(struct native_ahead *a, const struct json *j)
{
	const char *digest, *state;
	uint64_t have;

	if (json_get_string(j, "digest", &digest) < 0 || json_get_string(j, "state", &state) < 0 ||
	    json_get_uint(j, "have", &have) < 0)
		return;
	for (size_t i = 0; i < a->image.nmissing; i++) {
		const struct native_layer *l = &a->image.missing[i];
		struct following *f = &a->layers[i];

		if (strcmp(l->blob, digest) != 0 || f->complete)
			continue;
		f->complete = strcmp(state, "done") == 0 || strcmp(state, "exists") == 0;
		if (f->complete)
			have = l->size;
		else if (strcmp(state, "downloading") != 0)
			continue;
		if (have < f->have || have > l->size)
			cancel(f, l->size);
		f->have = have;
		if (!f->lost)
			tell(f, l->size);
	}
}

static void stop_following(struct native_ahead *a)
{
	a->failed = true;
	for (size_t i = 0; i < a->image.nmissing; i++)
		cancel(&a->layers[i], a->image.missing[i].size);
}

/* Another registry may be asked after this, for the same image or another one of that name. */
static void take_manifest(struct native_ahead *a, const struct json *j)
{
	const char *digest;

	if (json_get_string(j, "digest", &digest) < 0 || !image_digest_ok(digest))
		return;
	if (a->manifest) {
		if (strcmp(a->manifest, digest) != 0)
			stop_following(a);
		return;
	}
	a->manifest = xstrdup(digest);
	if (box_ids_detect(getuid(), getgid(), &a->ids, NULL) < 0 ||
	    image_store_lock(a->store, IMAGE_LOCK_CONTENT, false, false, &a->lock, NULL) < 0 ||
	    native_image_open(a->store, digest, &a->ids, &a->image, NULL) < 0)
		a->failed = true;
}

int native_ahead_event(const char *event, const struct json *j, void *ahead, struct err *e)
{
	struct native_ahead *a = ahead;

	if (strcmp(event, "manifest") == 0)
		take_manifest(a, j);
	if (strcmp(event, "blob") == 0)
		take_blob(a, j);
	reap(a);
	begin_some(a);
	return a->event ? a->event(event, j, a->arg, e) : 0;
}

/* A report of nothing, too, is the end of a process. */
static void wait_for_one(const struct native_ahead *a)
{
	struct pollfd fds[NATIVE_LAYER_WORKERS_MAX];
	nfds_t n = 0;

	for (size_t i = 0; i < a->image.nmissing && n < NATIVE_LAYER_WORKERS_MAX; i++) {
		if (a->layers[i].worker.pid)
			fds[n++] = (struct pollfd){ .fd = a->layers[i].worker.report,
						    .events = POLLIN };
	}
	while (poll(fds, n, -1) < 0 && errno == EINTR)
		;
}

void native_ahead_finish(struct native_ahead *a, bool well)
{
	if (!well)
		stop_following(a);
	begin_some(a);
	if (a->running > 0 && a->event)
		(void)a->event("unpacking", NULL, a->arg, NULL);
	while (a->running > 0) {
		wait_for_one(a);
		reap(a);
		begin_some(a);
	}
}

void native_ahead_free(struct native_ahead *a)
{
	if (!a)
		return;
	native_image_close(&a->image);
	fd_closep(&a->lock);
	free(a->manifest);
	free(a);
}
