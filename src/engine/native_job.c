/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_job: a helper of images in other namespaces.
 *
 * It runs in a child of box_run_mapped or box_run_on_tree, which has nothing to answer with but
 * success or an error; so what the helper said goes through a file that both have.
 */
#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "engine/engine_internal.h"

enum { RESULT_MAX = 64 << 10 };

int native_job_run(const struct image_job *job, int result_fd, struct err *e)
{
	auto_json result = NULL;
	auto_buf text = BUF_INIT;
	int r = image_helper_run(job, &result, e);

	if (r < 0)
		return r;
	json_write(result, false, &text);
	r = fs_write_all(result_fd, text.data, text.len);
	if (r < 0) {
		errno = -r;
		return err_sys(e, "%s: its result", job->verb);
	}
	return 0;
}

int native_job_result(int result_fd, struct json **ret, struct err *e)
{
	auto_buf text = BUF_INIT;
	int r = lseek(result_fd, 0, SEEK_SET) < 0 ? err_sys(e, "result of a helper")
						  : fs_read_fd(result_fd, RESULT_MAX, &text, e);

	return r == 0 ? json_parse(buf_str(&text), text.len, ret, e) : r;
}
