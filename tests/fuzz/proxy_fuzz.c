/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_fuzz: what is taken for the addresses of proxies means the same when it is written and read
 * again, and no list of exceptions is too odd.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_proxies p = { 0 };
	auto_proxies q = { 0 };
	auto_buf first = BUF_INIT;
	auto_buf second = BUF_INIT;

	if (proxies_read((const char *)data, size, &p, NULL) < 0)
		return 0;
	(void)proxy_exempt(p.no_proxy, "a.example.com", 443);
	(void)proxy_exempt(p.no_proxy, "10.1.2.3", 80);
	(void)proxy_exempt(p.no_proxy, "2001:db8::1", 22);
	proxies_write(&p, &first);
	if (proxies_read(buf_str(&first), first.len, &q, NULL) < 0)
		abort();
	proxies_write(&q, &second);
	if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
		abort();
	return 0;
}
