/* SPDX-License-Identifier: Apache-2.0 */
/*
 * no_proxy: which hosts are reached without a proxy.  See proxy.h.
 *
 * Nobody has written down what no_proxy is; this takes what curl, Go and requests have in common.
 * Names are compared with names and addresses with addresses: nothing is looked up for it.
 */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/proxy.h"
#include "base/text.h"

struct address {
	int family; /* 0: none */
	uint8_t bytes[16];
};

static struct address parse_address(const char *text)
{
	struct address a = { .family = AF_INET };

	if (inet_pton(AF_INET, text, a.bytes) == 1)
		return a;
	a.family = inet_pton(AF_INET6, text, a.bytes) == 1 ? AF_INET6 : 0;
	return a;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	return memcmp(a, b, whole) == 0 && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

/* text: an address or a block, without port. */
static bool matches_address(char *text, const struct address *host)
{
	char *slash = strchr(text, '/');
	uint64_t bits, max = host->family == AF_INET ? 32 : 128;
	struct address a;

	bits = max;
	if (slash) {
		*slash = '\0';
		if (text_u64(slash + 1, max, &bits) < 0)
			return false;
	}
	a = parse_address(text);
	return a.family == host->family && same_bits(a.bytes, host->bytes, (unsigned)bits);
}

/* The name itself and everything below it. */
static bool matches_name(const char *text, const char *host)
{
	size_t n, all = strlen(host);

	text += text_starts(text, "*.") ? 2 : *text == '.';
	n = strlen(text);
	if (n > 0 && text[n - 1] == '.')
		n--;
	return n > 0 && n <= all && strncasecmp(text, host + all - n, n) == 0 &&
	       (n == all || host[all - n - 1] == '.');
}

/* Take ":PORT" off the end; false: there is one, and it is another. An address of IPv6 without
 * brackets has colons of its own. */
static bool port_matches(char *entry, uint16_t port)
{
	char *colon = strrchr(entry, ':');
	uint64_t number;

	if (!colon || (entry[0] != '[' && strchr(entry, ':') != colon) ||
	    (entry[0] == '[' && colon[-1] != ']'))
		return true;
	if (text_u64(colon + 1, UINT16_MAX, &number) < 0 || number != port)
		return false;
	*colon = '\0';
	return true;
}

static bool matches(char *entry, const char *host, const struct address *address, uint16_t port)
{
	size_t n;

	if (!port_matches(entry, port))
		return false;
	n = strlen(entry);
	if (n >= 2 && entry[0] == '[' && entry[n - 1] == ']') {
		entry[n - 1] = '\0';
		entry++;
	}
	if (strcmp(entry, "*") == 0)
		return true;
	return address->family ? matches_address(entry, address) : matches_name(entry, host);
}

bool proxy_exempt(const char *no_proxy, const char *host, uint16_t port)
{
	static const char between[] = ", \t\r\n";
	const struct address address = parse_address(host);

	while (no_proxy && *no_proxy) {
		size_t n = strcspn(no_proxy, between);
		char entry[PROXY_HOST_MAX + 16];

		if (n > 0 && n < sizeof(entry)) {
			memcpy(entry, no_proxy, n);
			entry[n] = '\0';
			if (matches(entry, host, &address, port))
				return true;
		}
		no_proxy += n;
		no_proxy += strspn(no_proxy, between);
	}
	return false;
}
