/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: dns_answer_parse, and the two files of the resolver with the same bytes. */
#include <stdlib.h>

#include "net/net_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = { DNS_TYPE_A, DNS_TYPE_AAAA };
	struct resolv_conf conf;
	struct dns_answer a;

	for (size_t i = 0; i < 2; i++) {
		if (dns_answer_parse(data, size, 0x1234, "a.test", types[i], &a) != 0)
			continue;
		if (a.count > DNS_ADDRESSES_MAX || (a.count > 0 && a.truncated))
			abort();
		for (size_t k = 0; k < a.count; k++) {
			if (a.addr[k].v6 != (types[i] == DNS_TYPE_AAAA))
				abort();
		}
	}
	if (hosts_lookup((const char *)data, size, "a.test", &a) > DNS_ADDRESSES_MAX)
		abort();
	resolv_conf_parse((const char *)data, size, &conf);
	if (conf.n == 0 || conf.n > RESOLV_SERVERS_MAX)
		abort();
	return 0;
}
