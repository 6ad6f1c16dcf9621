/* SPDX-License-Identifier: Apache-2.0 */
/* archive_head_fuzz: would ADD unpack a file that begins so? Whatever the reader takes for an entry
 * is an archive. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "image/build_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct tar_limits limits = {
		.entries = 1, .file_size = UINT32_MAX, .total_size = UINT32_MAX, .layer = true
	};
	struct tar_reader *r;
	struct tar_event ev;
	size_t used = 0;
	bool is_tar;

	if (size < TAR_BLOCK)
		return 0;
	is_tar = build_is_tar((const char *)data);
	r = tar_reader_new(&limits);
	if (tar_reader_feed(r, (const char *)data, TAR_BLOCK, &used, &ev, NULL) == 0 &&
	    ev.kind == TAR_ENTRY && !is_tar)
		abort();
	tar_reader_free(r);
	return 0;
}
