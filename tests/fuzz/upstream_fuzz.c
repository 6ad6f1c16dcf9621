/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_fuzz: what a company's proxy answers.  The first byte chooses what it is asked; the rest
 * comes in parts, and whole: both must mean the same, and no more is taken than is there.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/net_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left behind all answers, or -errno; `step` bytes become known at a time. */
static int hear_all(const struct proxy_url *url, const char *bytes, size_t n, size_t step)
{
	static const struct policy_host host = { .kind = POLICY_HOST_NAME, .name = "x.test" };
	struct upstream_talk t;
	size_t known = 0;

	upstream_talk_begin(&t, url, &host, 443);
	while (t.step != UPSTREAM_OPEN) {
		auto_buf said = BUF_INIT;
		int r = upstream_hear(&t, bytes, known);

		if (r < 0)
			return r;
		if ((size_t)r > known)
			abort();
		upstream_say(&t, &said);
		bytes += r;
		n -= (size_t)r;
		known -= (size_t)r;
		if (r > 0)
			continue;
		if (known == n)
			return -1;
		known = n - known < step ? n : known + step;
	}
	return (int)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char user[] = "u", password[] = "p";
	struct proxy_url url = { .scheme = PROXY_HTTP };
	auto_free char *copy = NULL;

	if (size == 0 || size > 4096)
		return 0;
	if (data[0] & 1)
		url.scheme = PROXY_SOCKS5;
	if (data[0] & 2) {
		url.user = user;
		url.password = password;
	}
	copy = xmalloc(size);
	memcpy(copy, data + 1, size - 1);
	if (hear_all(&url, copy, size - 1, size) != hear_all(&url, copy, size - 1, 1))
		abort();
	return 0;
}
