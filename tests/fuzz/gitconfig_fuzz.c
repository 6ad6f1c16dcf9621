/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gitconfig_fuzz: the configuration file of a repository.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "spec/spec_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *value = NULL;

	if (gitconfig_get((const char *)data, size, "core", "worktree", &value, NULL) < 0 && value)
		abort();
	if (value && strlen(value) > size + strlen("true"))
		abort();
	return 0;
}
