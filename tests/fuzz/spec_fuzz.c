/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: spec_from_json and spec_session_from_json. What was accepted is written as JSON that
 * is accepted again and written the same.
 */
#include <stdlib.h>
#include <string.h>

#include "spec/spec_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct json *a, const struct json *b)
{
	auto_buf x = BUF_INIT;
	auto_buf y = BUF_INIT;

	json_write(a, false, &x);
	json_write(b, false, &y);
	if (strcmp(buf_str(&x), buf_str(&y)) != 0)
		abort();
}

static void try_spec(const struct json *j)
{
	struct spec *first = NULL, *second = NULL;
	struct err e = ERR_INIT;

	if (spec_from_json(j, &first, &e) < 0) {
		if (first || e.code == 0 || e.message[0] == '\0')
			abort();
		return;
	}
	auto_json a = spec_to_json(first);
	if (spec_from_json(a, &second, &e) < 0)
		abort();
	auto_json b = spec_to_json(second);
	check_same(a, b);
	spec_free(first);
	spec_free(second);
}

static void try_session(const struct json *j)
{
	struct spec_session first = { 0 }, second = { 0 };
	struct err e = ERR_INIT;

	if (spec_session_from_json(j, &first, &e) < 0)
		return;
	auto_json a = spec_session_to_json(&first);
	if (spec_session_from_json(a, &second, &e) < 0)
		abort();
	auto_json b = spec_session_to_json(&second);
	check_same(a, b);
	spec_session_clear(&first);
	spec_session_clear(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json j = NULL;

	if (json_parse((const char *)data, size, &j, NULL) < 0)
		return 0;
	try_spec(j);
	try_session(j);
	return 0;
}
