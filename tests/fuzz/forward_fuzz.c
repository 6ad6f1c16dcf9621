/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a request head through http1 and forward. What would be sent to the origin parses
 * again as one request with the same body, one Host, and no field for the next hop.
 */
#include <stdlib.h>
#include <string.h>

#include "net/net_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct forward *f, const struct buf *out)
{
	static struct http1_head h;
	struct policy_host host;
	size_t hosts = 0;
	uint16_t port;

	if (http1_parse_request(out->data, out->len, &h, NULL) != 1 || h.size != out->len)
		abort();
	if (h.body != f->body ||
	    (h.body == HTTP1_BODY_LENGTH && h.content_length != f->content_length))
		abort();
	if (h.target.p[0] != '/' && !http1_slice_is(h.target, "*"))
		abort();
	for (size_t i = 0; i < h.nheaders; i++) {
		struct http1_slice name = h.headers[i].name, value = h.headers[i].value;

		if (name.n > 6 && strncasecmp(name.p, "proxy-", 6) == 0)
			abort();
		if (http1_slice_is_nocase(name, "Upgrade") && !f->websocket)
			abort();
		if (!http1_slice_is_nocase(name, "Host"))
			continue;
		if (policy_authority_parse(value.p, value.n, 80, &host, &port, NULL) != 0 ||
		    strcmp(host.name, f->host.name) != 0 || port != f->port)
			abort();
		hosts++;
	}
	if (hosts != 1)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http1_head head;
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	struct forward f;
	int status = 0;

	if (http1_parse_request((const char *)data, size, &head, &e) != 1)
		return 0;
	if (forward_request(&head, &f, &out, &status, &e) != 0) {
		if (status < 400 || status > 499)
			abort();
	} else if (!f.connect) {
		check(&f, &out);
	}
	buf_free(&out);
	return 0;
}
