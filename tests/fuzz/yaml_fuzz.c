/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the YAML reader. A tree keeps its bounds and can be said as JSON, which is valid.
 */
#include <stdlib.h>

#include "spec/spec_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct yaml_tree *y = NULL;
	struct err e = ERR_INIT;

	if (yaml_tree_read((const char *)data, size, "f", &y, &e) < 0) {
		if (y || e.code == 0 || e.message[0] == '\0')
			abort();
		return 0;
	}
	if (yaml_tree_root(y)) {
		auto_json j = yaml_node_to_json(yaml_tree_root(y));
		auto_json back = NULL;
		auto_buf text = BUF_INIT;

		json_write(j, false, &text);
		if (json_parse(buf_str(&text), text.len, &back, &e) < 0)
			abort();
	}
	yaml_tree_free(y);
	return 0;
}
