/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_fuzz: what is taken for a published port means the same when it is written and read again,
 * as text and as JSON.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "spec/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = xstrndup((const char *)data, size);
	struct spec_ports list = { 0 }, again = { 0 };
	struct spec_port p, q;
	auto_buf out = BUF_INIT;
	auto_json j = NULL;

	if (spec_port_parse(text, &p, NULL) < 0)
		return 0;
	spec_port_text(&p, &out);
	if (spec_port_parse(buf_str(&out), &q, NULL) < 0 || !spec_port_equal(&p, &q) ||
	    !spec_port_matches(&p, &q))
		abort();
	spec_port_clear(&q);
	if (spec_ports_add(&list, &p, NULL) < 0)
		abort();
	j = spec_ports_to_json(&list);
	if (spec_ports_from_json(j, &again, NULL) < 0 || !spec_port_equal(list.v, again.v))
		abort();
	spec_ports_clear(&list);
	spec_ports_clear(&again);
	return 0;
}
