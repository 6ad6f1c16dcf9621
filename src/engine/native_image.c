/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_image: the layers of an image as directories that a box can have below its root.
 *
 *	templates/layers/IDS/HEX/fs          the layer whose uncompressed digest is HEX, its files
 *	                                     owned by the ids that IDS names
 *	templates/layers/IDS/HEX/layer.json  what unpacking it said
 *	templates/layers/IDS/HEX.part/       the same while it is being unpacked
 *	templates/layers/IDS/HEX.lock        held (flock) by who unpacks it
 *
 * A layer is unpacked by ward-image as root of a user namespace with the box's ids, so the files
 * belong to the ids that the box has.  Its rename to HEX says that it is complete and that its
 * digest was right; everything else is a leftover, removed by the next who unpacks it or by
 * image_store_gc.  Layers are unpacked side by side, each by a process of its own.
 *
 * Invariants: the caller holds IMAGE_LOCK_CONTENT shared, so nothing is collected meanwhile; HEX is
 * never changed once it has its name.
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
#include "base/text.h"
#include "engine/engine_internal.h"
#include "image/image.h"

enum { WORKERS_MAX = 8, LAYER_ENTRIES_MAX = 4000000, LAYER_SECONDS_MAX = 3600, INFO_MAX = 4096 };
/* What a layer may be: 64 GiB of files, and an archive of 200 times its compressed size. */
#define LAYER_BYTES_MAX	 ((uint64_t)64 << 30)
#define LAYER_STREAM_MIN ((uint64_t)256 << 20)
#define LAYER_RATIO_MAX	 200
#define LAYER_INFO	 "layer.json"

/* "range-100000.1000.101000-100000.1000.101000": what owns the files. The sizes of the extents
 * follow from the mode. */
static char *ids_key(const struct box_ids *ids)
{
	auto_buf b = BUF_INIT;

	buf_puts(&b, box_id_mode_name((enum box_id_mode)ids->mode));
	for (uint32_t i = 0; i < ids->nuid; i++)
		buf_printf(&b, "%c%" PRIu32, i ? '.' : '-', ids->uid[i].outside);
	for (uint32_t i = 0; i < ids->ngid; i++)
		buf_printf(&b, "%c%" PRIu32, i ? '.' : '-', ids->gid[i].outside);
	return buf_steal(&b);
}

/* --- one layer -------------------------------------------------------------------------------- */

struct layer {
	const struct image_store *store;
	const struct box_ids *ids;
	const char *helper; /* ward-image */
	const char *blob;   /* digests */
	const char *diff_id;
	int dir; /* templates/layers/IDS */
};

/* In a child that is root of the box's ids: what it got, and a file for what it says. */
struct placing {
	const struct layer *layer;
	uint64_t blob_size;
	int blob;
	int root;
	int helper;
	int result; /* memory file */
};

static struct json *request_of(const struct placing *p)
{
	const uint64_t ratio = p->blob_size * LAYER_RATIO_MAX;
	struct json *j = json_object();
	struct json *max = json_object();

	json_set_string(j, "diff_id", p->layer->diff_id);
	json_set_uint(j, "blob_size", p->blob_size);
	json_set_uint(j, "ids", p->layer->ids->mode == BOX_ID_SINGLE ? 1 : BOX_IDS);
	json_set_uint(max, "bytes", LAYER_BYTES_MAX);
	json_set_uint(max, "entries", LAYER_ENTRIES_MAX);
	json_set_uint(max, "stream", ratio < LAYER_STREAM_MIN ? LAYER_STREAM_MIN : ratio);
	json_set_uint(max, "seconds", LAYER_SECONDS_MAX);
	json_set(j, "max", max);
	return j;
}

static int place(void *arg, struct err *e)
{
	const struct placing *p = arg;
	/* The program too is a descriptor: its path may lead through directories of ids that this
	 * namespace does not have. */
	const int fds[] = { p->blob, p->root, p->helper };
	auto_json request = request_of(p);
	auto_json result = NULL;
	auto_buf text = BUF_INIT;
	const struct image_job job = { .helper = "/proc/self/fd/5",
				       .verb = "unpack",
				       .request = request,
				       .fds = fds,
				       .nfds = ARRAY_SIZE(fds) };
	int r;

	if (fchown(p->root, 0, 0) < 0 || fchmod(p->root, 0755) < 0)
		return err_sys(e, "layer: its directory");
	r = image_helper_run(&job, &result, e);
	if (r < 0)
		return r;
	json_write(result, false, &text);
	r = fs_write_all(p->result, text.data, text.len);
	if (r < 0) {
		errno = -r;
		return err_sys(e, "layer: its result");
	}
	return 0;
}

/* Into the directory `part`, which is there and has an empty fs. */
static int fill(const struct layer *l, int part, struct err *e)
{
	auto_close int blob = -1, root = -1, helper = -1, result = -1;
	struct placing p = { .layer = l };
	auto_buf info = BUF_INIT;
	int r = image_store_blob(l->store, l->blob, &blob, &p.blob_size, e);

	if (r < 0)
		return r;
	root = fs_open_beneath(part, "fs", O_RDONLY | O_DIRECTORY, 0);
	helper = open(l->helper, O_PATH | O_CLOEXEC);
	result = memfd_create("layer", MFD_CLOEXEC);
	if (root < 0 || helper < 0 || result < 0)
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
		r = fs_read_fd(result, INFO_MAX, &info, e);
	if (r == 0)
		r = fs_replace_at(part, LAYER_INFO, info.data, info.len, 0600, false, e);
	/* A name that survives a loss of power must not stand for less than was written. */
	if (r == 0 && syncfs(part) < 0)
		r = err_sys(e, "layer: write it to disk");
	return r;
}

static bool is_there(const struct layer *l)
{
	return faccessat(l->dir, image_digest_hex(l->diff_id), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The lock of a layer; its file is removed with the lock held, so one that is not there any more
 * when the lock is had is nobody's. */
static int lock_layer(const struct layer *l, const char *name, int *ret, struct err *e)
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
		if (fstat(fd, &mine) == 0 &&
		    fstatat(l->dir, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
		    mine.st_ino == now.st_ino) {
			*ret = steal_fd(&fd);
			return 0;
		}
	}
}

static int unpack_locked(const struct layer *l, const char *part_name, struct err *e)
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

static int unpack_layer(const struct layer *l, struct err *e)
{
	const char *hex = image_digest_hex(l->diff_id);
	auto_free char *lock_name = xasprintf("%s.lock", hex);
	auto_free char *part_name = xasprintf("%s.part", hex);
	auto_close int lock = -1;
	int r = lock_layer(l, lock_name, &lock, e);

	if (r < 0)
		return r;
	if (!is_there(l))
		r = unpack_locked(l, part_name, e);
	(void)unlinkat(l->dir, lock_name, 0);
	return r;
}

/* --- all of them, side by side ---------------------------------------------------------------- */

struct worker {
	pid_t pid;
	int report; /* a struct err comes out of it when it failed */
};

static int start_worker(const struct layer *l, struct worker *ret, struct err *e)
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
	*ret = (struct worker){ pid, fds[0] };
	return 0;
}

/* Reaps it. */
static int finish_worker(struct worker *w, struct err *e)
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

static size_t processors(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (size_t)n;
}

/* The first failure is told; what has begun is let finish, because it is of use later. */
static int unpack_layers(const struct layer *layers, size_t n, struct err *e)
{
	struct worker running[WORKERS_MAX] = { 0 };
	const size_t max = processors();
	size_t first = 0, last = 0; /* of a ring */
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (last - first == max)
			r = finish_worker(&running[first++ % max], e);
		if (r == 0)
			r = start_worker(&layers[i], &running[last % max], e);
		if (r == 0)
			last++;
	}
	while (first < last) {
		int rw = finish_worker(&running[first++ % max], r == 0 ? e : NULL);

		r = r < 0 ? r : rw;
	}
	return r;
}

/* --- the layers of an image ------------------------------------------------------------------- */

struct image_layers {
	struct image_manifest manifest;
	struct image_config config;
};

static void image_layers_clear(struct image_layers *m)
{
	image_manifest_clear(&m->manifest);
	image_config_clear(&m->config);
}

static int read_layers(const struct image_store *s, const char *digest, struct image_layers *ret,
		       struct err *e)
{
	int r = image_store_read(s, digest, &ret->manifest, &ret->config, e);

	if (r == 0 && ret->manifest.nlayers != ret->config.diff_ids.n)
		r = err_set(e, ERR_INPUT, -EINVAL,
			    "image: its manifest has %zu layers and its configuration %zu",
			    ret->manifest.nlayers, ret->config.diff_ids.n);
	if (r == 0 && ret->manifest.nlayers == 0)
		r = err_set(e, ERR_INPUT, -EINVAL, "image: it has no layers");
	return r;
}

int native_image_unpack(struct engine_context *c, const char *digest, const struct box_ids *ids,
			struct err *e)
{
	auto_image_store s = { .fd = -1 };
	auto_free char *helper = NULL;
	auto_free char *key = ids_key(ids);
	auto_free char *path = fs_join("layers", key);
	auto_close int dir = -1;
	struct image_layers m = { 0 };
	struct layer missing[IMAGE_LAYERS_MAX];
	size_t n = 0;
	int r = image_store_open(c->paths.data, &s, e);

	if (r == 0)
		r = read_layers(&s, digest, &m, e);
	if (r == 0)
		r = native_helper("ward-image", &helper, e);
	if (r == 0)
		r = fs_mkdirs_at(s.fd, path, 0700, NULL, e);
	if (r == 0) {
		r = dir = fs_open_beneath(s.fd, path, O_RDONLY | O_DIRECTORY, 0);
		if (r < 0) {
			errno = -r;
			r = err_sys(e, "template store: %s", path);
		}
	}
	for (size_t i = 0; r >= 0 && i < m.manifest.nlayers; i++) {
		const struct layer l = { .store = &s,
					 .ids = ids,
					 .helper = helper,
					 .blob = m.manifest.layers[i].digest,
					 .diff_id = m.config.diff_ids.v[i],
					 .dir = dir };
		bool twice = false;

		for (size_t k = 0; k < n; k++)
			twice |= strcmp(missing[k].diff_id, l.diff_id) == 0;
		if (!twice && !is_there(&l))
			missing[n++] = l;
	}
	if (r >= 0 && n > 0 && c->say) {
		auto_free char *text = xasprintf("unpacking %zu layer%s", n, n == 1 ? "" : "s");

		c->say(c->say_arg, ENGINE_SAY_PROGRESS, text);
	}
	if (r >= 0)
		r = unpack_layers(missing, n, e);
	image_layers_clear(&m);
	return r;
}

int native_image_ready(struct engine_context *c, const struct spec *s, struct err *e)
{
	auto_image_store store = { .fd = -1 };
	auto_close int lock = -1;
	struct box_ids ids;
	int r;

	if (s->tmpl.kind != SPEC_TEMPLATE_IMAGE)
		return 0;
	r = box_ids_detect(getuid(), getgid(), &ids, e);
	if (r == 0)
		r = image_store_open(c->paths.data, &store, e);
	if (r == 0)
		r = image_store_lock(&store, IMAGE_LOCK_CONTENT, false, true, &lock, e);
	if (r == 0)
		r = native_image_unpack(c, s->tmpl.digest, &ids, e);
	return r < 0 ? err_prefix(e, "template %s", s->tmpl.ref) : 0;
}

/* Does the layer hide all that is below it? An overlay does not look for the mark on a layer's top.
 */
static bool is_opaque(const struct image_store *s, const char *layer)
{
	auto_free char *path = fs_join(layer, LAYER_INFO);
	auto_buf text = BUF_INIT;
	auto_json j = NULL;
	bool opaque = false;

	return fs_read_at(s->fd, path, INFO_MAX, &text, NULL) == 0 &&
	       json_parse(buf_str(&text), text.len, &j, NULL) == 0 &&
	       json_get_bool(j, "opaque_root", &opaque) == 0 && opaque;
}

int native_image_layers(struct engine_context *c, const char *digest, const struct box_ids *ids,
			struct strv *ret, struct err *e)
{
	auto_image_store s = { .fd = -1 };
	auto_free char *key = ids_key(ids);
	struct image_layers m = { 0 };
	int r = image_store_open(c->paths.data, &s, e);

	if (r == 0)
		r = read_layers(&s, digest, &m, e);
	for (size_t i = m.config.diff_ids.n; r == 0 && i > 0; i--) {
		const char *hex = image_digest_hex(m.config.diff_ids.v[i - 1]);
		auto_free char *layer = xasprintf("layers/%s/%s", key, hex);

		strv_addf(ret, "%s/%s/fs", s.dir, layer);
		if (is_opaque(&s, layer))
			break;
	}
	image_layers_clear(&m);
	return r;
}
