/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: http1_parse_response. The verdict may not depend on what follows the head, and every
 * slice must lie inside of it.
 */
#include <stdlib.h>

#include "base/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct http1_slice s, const char *from, const char *to)
{
	if (s.n != 0 && (s.p < from || s.p + s.n > to))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http1_head h, again;
	const char *p = (const char *)data;
	struct err e = ERR_INIT;
	int r = http1_parse_response(p, size, &h, &e);

	if (r < 0 && (e.code != r || e.message[0] == '\0'))
		abort();
	if (r != 1)
		return 0;
	if (h.size > size || h.size > HTTP1_HEAD_MAX || h.nheaders > HTTP1_HEADERS_MAX)
		abort();
	inside(h.method, p, p + h.size);
	inside(h.target, p, p + h.size);
	inside(h.reason, p, p + h.size);
	for (size_t i = 0; i < h.nheaders; i++) {
		inside(h.headers[i].name, p, p + h.size);
		inside(h.headers[i].value, p, p + h.size);
		http1_list_has(h.headers[i].value, "close");
	}
	if (http1_parse_response(p, h.size, &again, &e) != 1 || again.size != h.size)
		abort();
	if (http1_parse_response(p, h.size - 1, &again, &e) != 0)
		abort();
	return 0;
}
