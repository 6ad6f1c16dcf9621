/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: kit_parse. An error says where; a kit that was accepted has a name and a kind, and
 * its files have paths that do not climb and can be rendered.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_strv env = STRV_INIT;
	struct kit_vars vars = { .workdir = "/w\"\\\n", .home = "/h", .env = &env };
	struct kit *k = NULL;
	struct err e = ERR_INIT;

	strv_env_set(&env, "K", "v\"");
	if (kit_parse((const char *)data, size, "f", &k, &e) < 0) {
		if (k || e.code == 0 || !text_starts(e.message, "f:") || strchr(e.message, '\n') ||
		    strchr(e.message, '\x1b'))
			abort();
		return 0;
	}
	if (!k->name || !k->kind || text_check_name("kit", k->name, NULL) < 0)
		abort();
	for (size_t i = 0; i < k->nfiles; i++) {
		auto_free char *path = kit_path(k->files[i].path, vars.home);
		auto_free char *text = kit_file_render(&k->files[i], &vars);

		if (path[0] != '/' || strstr(path, "/../") || text_ends(path, "/..") || !text)
			abort();
	}
	kit_free(k);
	return 0;
}
