/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: policy.yaml and its changes. A change that succeeds leaves a file that parses, adds
 * or removes exactly one rule, and adding and removing come back to the same rules; one that fails
 * leaves the text as it was.
 */
#include <stdlib.h>
#include <string.h>

#include "spec/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count(const struct buf *text)
{
	struct spec_policy p = { 0 };
	size_t n;

	if (spec_policy_parse(buf_str(text), text->len, "f", &p, NULL) < 0)
		abort();
	n = p.allow.n + p.deny.n;
	spec_policy_clear(&p);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char rule[] = "fuzz.example.com:8443 GET /a/\"b\"/**";
	auto_buf text = BUF_INIT;
	struct spec_policy p = { 0 };
	struct err e = ERR_INIT;
	bool changed = false;
	size_t before;

	if (size == 0)
		return 0;
	if (spec_policy_parse((const char *)data, size, "f", &p, &e) < 0) {
		if (e.message[0] == '\0')
			abort();
		return 0;
	}
	before = p.allow.n + p.deny.n;
	spec_policy_clear(&p);
	buf_add(&text, data, size);
	if (spec_policy_edit(&text, "f", SPEC_POLICY_ALLOW, rule, &changed, &e) < 0) {
		if (text.len != size || memcmp(text.data, data, size) != 0)
			abort();
		return 0;
	}
	if (count(&text) != before + changed)
		abort();
	if (changed && (spec_policy_edit(&text, "f", SPEC_POLICY_REMOVE, rule, &changed, &e) < 0 ||
			!changed || count(&text) != before))
		abort();
	return 0;
}
