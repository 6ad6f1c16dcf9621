/* SPDX-License-Identifier: Apache-2.0 */
/*
 * browser_url_fuzz: what is shown is printable, and a port is never a privileged one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *url = xstrndup((const char *)data, size);
	size_t n = strlen(url);
	uint16_t port = 0;

	if (browser_judge(url, n, &port) < 0)
		return 0;
	if (n > BROWSER_URL_MAX || (port && port < 1024) || strncasecmp(url, "http", 4) != 0)
		abort();
	for (size_t i = 0; i < n; i++) {
		if (url[i] < '!' || url[i] > '~')
			abort();
	}
	return 0;
}
