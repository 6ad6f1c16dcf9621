/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subid_fuzz: /etc/subuid and mountinfo texts.  A range that is found never reaches id 0 or
 * (uid_t)-1.
 */
#include <stdint.h>
#include <stdlib.h>

#include "box/box_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct mount_list l = { 0 };
	struct err e = ERR_INIT;
	uint32_t start = 0;

	if (idmap_find_subid((const char *)data, n, "u", 1001, BOX_IDS, &start) == 0 &&
	    (start == 0 || start > UINT32_MAX - BOX_IDS))
		abort();
	mount_list_add(&l, 1, true);
	mount_check_info((const char *)data, n, &l, &e);
	mount_list_free(&l);
	return 0;
}
