/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_fuzz: a client's packet: the table, and for what passes it the document it would carry.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "supervise/supervise_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_header h;
	struct spec_session s = { 0 };
	struct start_request r;
	struct err e = ERR_INIT;
	struct json *j = NULL;
	struct buf request = BUF_INIT;

	if (size < sizeof(h))
		return 0;
	memcpy(&h, data, sizeof(h));
	if (control_check(h.type, size - sizeof(h), h.flags % (WIRE_FDS_MAX + 1)) == 0 &&
	    (h.type == 0 || h.type >= CONTROL_REQUEST_MAX))
		abort();
	if (json_parse((const char *)data + sizeof(h), size - sizeof(h), &j, &e) < 0)
		return 0;
	if (spec_session_from_json(j, &s, &e) == 0) {
		/* What the supervisor passes on, init must be able to read or refuse. */
		start_request_write(&s, START_EXEC, &request);
		if (start_request_parse(request.data, request.len, &r, &e) == 0)
			start_request_clear(&r);
		spec_session_clear(&s);
	}
	buf_free(&request);
	json_unref(j);
	return 0;
}
