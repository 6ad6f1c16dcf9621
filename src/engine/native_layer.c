/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_layer: directories that a box has filled, as a layer of the store.
 *
 * Their files belong to ids that only the box has, so ward-image reads them as root of a user
 * namespace with the same ids.  It gets the directories and an open file of the store; the blob is
 * named here.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "base/mem.h"
#include "engine/engine_internal.h"
#include "image/image.h"

/* In a child that is root of the box's ids. */
struct packing {
	const struct json *request;
	const int *fds; /* the last one is the program */
	size_t nfds;
	int result; /* memory file */
};

static int run_packing(void *arg, struct err *e)
{
	const struct packing *p = arg;
	/* Its path may lead through directories of ids that this namespace does not have. */
	auto_free char *helper = xasprintf("/proc/self/fd/%zu", 3 + p->nfds - 1);

	return native_job_run(&(struct image_job){ .helper = helper,
						   .verb = "pack",
						   .request = p->request,
						   .fds = p->fds,
						   .nfds = p->nfds },
			      p->result, e);
}

int native_layer_pack(const struct image_store *s, const struct box_ids *ids,
		      const struct image_tree *trees, size_t n, struct image_layer *ret,
		      struct err *e)
{
	auto_image_pack file = { .fd = -1 };
	auto_free char *helper = NULL;
	auto_close int program = -1, memory = -1;
	auto_json request = image_pack_request(trees, n);
	auto_json result = NULL;
	int fds[IMAGE_TREES_MAX + 2];
	struct packing p = { .request = request, .fds = fds, .nfds = n + 2 };
	int r = native_helper("ward-image", &helper, e);

	if (r == 0)
		r = image_pack_begin(s, &file, e);
	if (r < 0)
		return r;
	program = open(helper, O_PATH | O_CLOEXEC);
	memory = p.result = memfd_create("layer", MFD_CLOEXEC);
	if (program < 0 || memory < 0)
		return err_sys(e, "layer");
	fds[0] = file.fd;
	for (size_t i = 0; i < n; i++)
		fds[i + 1] = trees[i].fd;
	fds[n + 1] = program;
	r = box_run_mapped(ids, run_packing, &p, e);
	if (r == 0)
		r = native_job_result(memory, &result, e);
	return r == 0 ? image_pack_commit(&file, result, ret, e) : r;
}
