/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the ZIP reader. An archive that is accepted has names that stay below the directory,
 * each once, and what unpacks has just the size that was said.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "spec/spec_internal.h"

enum { ENTRIES_MAX = 64, SIZE_MAX_EACH = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_entry(const struct zip *z, size_t i)
{
	const struct zip_entry *entry = zip_at(z, i);
	auto_buf out = BUF_INIT;
	struct err e = ERR_INIT;
	size_t n = strlen(entry->name);

	if (zip_name_problem(entry->name, n) || entry->is_dir != (entry->name[n - 1] == '/'))
		abort();
	for (size_t k = 0; k < i; k++) {
		if (strcmp(zip_at(z, k)->name, entry->name) == 0)
			abort();
	}
	if (zip_extract(z, i, SIZE_MAX_EACH, &out, &e) == 0 ? out.len != entry->size
							    : out.len != 0 || e.code == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zip *z = NULL;
	struct err e = ERR_INIT;

	if (zip_open(data, size, ENTRIES_MAX, &z, &e) < 0) {
		if (z || e.code == 0 || strchr(e.message, '\n'))
			abort();
		return 0;
	}
	if (zip_count(z) > ENTRIES_MAX)
		abort();
	for (size_t i = 0; i < zip_count(z); i++)
		check_entry(z, i);
	zip_close(z);
	return 0;
}
