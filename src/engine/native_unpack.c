/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_unpack: one layer as a directory, and several side by side.
 *
 *	templates/layers/IDS/HEX.part/       a layer while it is being unpacked
 *	templates/layers/IDS/HEX.lock        held (flock) by who unpacks it
 *
 * A layer is unpacked by ward-image as root of a user namespace with the box's ids, so the files
 * belong to the ids that the box has.  Its rename to HEX says that it is complete and that its
 * digest was right; everything else is a leftover, removed by the next who unpacks it or by
 * image_store_gc.  Layers are unpacked side by side, each by a process of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/mem.h"
#include "engine/native_unpack.h"

enum { LAYER_SECONDS_MAX = 3600 };

/* In a child that is root of the box's ids: what it got, and a file for what it says. */
struct placing {
	const struct native_layer *layer;
	uint64_t blob_size;
	int blob;
	int root;
	int helper;
	int result; /* memory file */
};

static struct json *request_of(const struct placing *p)
{
	struct json *j = json_object();
	struct json *max = json_object();

	json_set_string(j, "diff_id", p->layer->diff_id);
	json_set_uint(j, "blob_size", p->blob_size);
	json_set_bool(j, "growing", p->layer->growing > 0);
	json_set_uint(j, "ids", p->layer->ids->mode == BOX_ID_SINGLE ? 1 : BOX_IDS);
	json_set_uint(max, "bytes", IMAGE_BLOB_MAX);
	json_set_uint(max, "entries", IMAGE_ENTRIES_MAX);
	json_set_uint(max, "stream", image_stream_max(p->blob_size));
	json_set_uint(max, "seconds", LAYER_SECONDS_MAX);
	json_set(j, "max", max);
	return j;
}

static int place(void *arg, struct err *e)
{
	const struct placing *p = arg;
	/* The program too is a descriptor: its path may lead through directories of ids that this
	 * namespace does not have. */
	const bool growing = p->layer->growing > 0;
	const int fds[] = { p->blob, p->root, growing ? p->layer->counter : p->helper, p->helper };
	auto_json request = request_of(p);
	const struct image_job job = { .helper = growing ? "/proc/self/fd/6" : "/proc/self/fd/5",
				       .name = "ward-image",
				       .verb = "unpack",
				       .request = request,
				       .fds = fds,
				       .nfds = growing ? 4 : 3 };

	if (fchown(p->root, 0, 0) < 0 || fchmod(p->root, 0755) < 0)
		return err_sys(e, "layer: its directory");
	return native_job_run(&job, p->result, e);
}

/* Into the directory `part`, which is there and has an empty fs. */
static int fill(const struct native_layer *l, int part, struct err *e)
{
	auto_close int blob = -1, root = -1, helper = -1, result = -1;
	struct placing p = { .layer = l };
	auto_buf info = BUF_INIT;
	int r = 0;

	if (l->growing > 0) {
		blob = fcntl(l->growing, F_DUPFD_CLOEXEC, 0);
		p.blob_size = l->size;
	} else {
		r = image_store_blob(l->store, l->blob, &blob, &p.blob_size, e);
	}
	if (r < 0)
		return r;
	root = fs_open_beneath(part, "fs", O_RDONLY | O_DIRECTORY, 0);
	helper = open(l->helper, O_PATH | O_CLOEXEC);
	result = memfd_create("layer", MFD_CLOEXEC);
	if (blob < 0 || root < 0 || helper < 0 || result < 0)
		return err_sys(e, "layer");
	/* Real root hands the directory over; others have the ids from inside. */
	if (l->ids->mode == BOX_ID_ROOT &&
	    fchown(root, l->ids->uid[0].outside, l->ids->gid[0].outside) < 0)
		return err_sys(e, "layer: its directory");
	p.blob = blob;
	p.root = root;
	p.helper = helper;
	p.result = result;
	r = box_run_mapped(l->ids, place, &p, e);
	if (r == 0 && lseek(result, 0, SEEK_SET) < 0)
		r = err_sys(e, "layer: its result");
	if (r == 0)
		r = fs_read_fd(result, NATIVE_LAYER_INFO_MAX, &info, e);
	if (r == 0)
		r = fs_replace_at(part, NATIVE_LAYER_INFO, info.data, info.len, 0600, false, e);
	/* A name that survives a loss of power must not stand for less than was written. */
	if (r == 0 && syncfs(part) < 0)
		r = err_sys(e, "layer: write it to disk");
	return r;
}

bool native_layer_is_there(const struct native_layer *l)
{
	return faccessat(l->dir, image_digest_hex(l->diff_id), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The lock of a layer; its file is removed with the lock held, so one that is not there any more
 * when the lock is had is nobody's. */
static int lock_layer(const struct native_layer *l, const char *name, int *ret, struct err *e)
{
	for (;;) {
		auto_close int fd = fs_open_beneath(l->dir, name, O_RDWR | O_CREAT, 0600);
		struct stat mine, now;

		if (fd < 0) {
			errno = -fd;
			return err_sys(e, "layer: its lock");
		}
		while (flock(fd, LOCK_EX) < 0)
			if (errno != EINTR)
				return err_sys(e, "layer: its lock");
		/* One that a kill left is old, and would be collected under a build's lease. */
		(void)futimens(fd, NULL);
		if (fstat(fd, &mine) == 0 &&
		    fstatat(l->dir, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
		    mine.st_ino == now.st_ino) {
			*ret = steal_fd(&fd);
			return 0;
		}
	}
}

static int unpack_locked(const struct native_layer *l, const char *part_name, struct err *e)
{
	const char *hex = image_digest_hex(l->diff_id);
	auto_close int part = -1;
	int r = box_remove_tree(l->ids, l->dir, part_name, e);

	if (r < 0)
		return r;
	if (mkdirat(l->dir, part_name, 0700) < 0)
		return err_sys(e, "layer: make its directory");
	part = fs_open_beneath(l->dir, part_name, O_RDONLY | O_DIRECTORY, 0);
	if (part < 0 || mkdirat(part, "fs", 0755) < 0)
		return err_sys(e, "layer: make its directory");
	r = fill(l, part, e);
	if (r == 0 && renameat(l->dir, part_name, l->dir, hex) < 0)
		r = err_sys(e, "layer: name it");
	if (r < 0)
		(void)box_remove_tree(l->ids, l->dir, part_name, NULL);
	return r;
}

static int unpack_layer(const struct native_layer *l, struct err *e)
{
	const char *hex = image_digest_hex(l->diff_id);
	auto_free char *lock_name = xasprintf("%s.lock", hex);
	auto_free char *part_name = xasprintf("%s.part", hex);
	auto_close int lock = -1;
	int r = lock_layer(l, lock_name, &lock, e);

	if (r < 0)
		return r;
	if (!native_layer_is_there(l))
		r = unpack_locked(l, part_name, e);
	(void)unlinkat(l->dir, lock_name, 0);
	return r;
}

/* --- all of them, side by side ---------------------------------------------------------------- */

int native_layer_start(const struct native_layer *l, struct native_worker *ret, struct err *e)
{
	const pid_t parent = getpid();
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, "layer: pipe");
	pid = fork();
	if (pid == 0) {
		struct err failure = ERR_INIT;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		if (unpack_layer(l, &failure) == 0)
			_exit(0);
		(void)fs_write_all(fds[1], &failure, sizeof(failure));
		_exit(1);
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return err_sys(e, "layer: fork");
	}
	*ret = (struct native_worker){ pid, fds[0] };
	return 0;
}

int native_layer_finish(struct native_worker *w, struct err *e)
{
	struct err failure;
	ssize_t n;
	int status = 0;

	do {
		n = read(w->report, &failure, sizeof(failure));
	} while (n < 0 && errno == EINTR);
	close(w->report);
	while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
		;
	w->pid = 0;
	if (n == (ssize_t)sizeof(failure)) {
		if (e)
			*e = failure;
		return failure.code < 0 ? failure.code : -EIO;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(e, ERR_SYSTEM, -ECHILD, "layer: unpacking it ended unexpectedly");
	return 0;
}

size_t native_layer_workers(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > NATIVE_LAYER_WORKERS_MAX ? NATIVE_LAYER_WORKERS_MAX : (size_t)n;
}

int native_layer_unpack(const struct native_layer *layers, size_t n, struct err *e)
{
	struct native_worker running[NATIVE_LAYER_WORKERS_MAX] = { 0 };
	const size_t max = native_layer_workers();
	size_t first = 0, last = 0; /* of a ring */
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (last - first == max)
			r = native_layer_finish(&running[first++ % max], e);
		if (r == 0)
			r = native_layer_start(&layers[i], &running[last % max], e);
		if (r == 0)
			last++;
	}
	while (first < last) {
		int rw = native_layer_finish(&running[first++ % max], r == 0 ? e : NULL);

		r = r < 0 ? r : rw;
	}
	return r;
}
