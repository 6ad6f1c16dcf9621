/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host: from the bytes with which a box named a host to one canonical spelling.
 *
 * Everything later (matching, resolving, SNI comparison, the log) uses the canonical form only, so
 * there is exactly one place where spellings are reconciled.  Bytes are counted, never treated as a
 * C string before the grammar has been checked: a NUL in the middle cannot shorten a name.
 *
 * What another resolver would read as an IPv4 address (0x7f.1, 0177.0.0.1, 2130706433, 127.1) is
 * refused instead of being interpreted: a last label that is a number is never a public name.
 * Such spellings fail with ERR_REFUSED, everything else with ERR_INPUT.
 */
#include "policy/policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "policy/policy_internal.h"

enum { LABEL_MAX = 63, QUOTE_MAX = 80, PORT_DIGITS_MAX = 5, V6_TEXT_MAX = 45 };

char *policy_quote(const char *bytes, size_t n)
{
	struct buf b = BUF_INIT;

	text_escape(&b, bytes, n, QUOTE_MAX);
	return buf_steal(&b);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Fails with a quoted copy of the bytes. */
static int bad_host(const char *bytes, size_t n, enum err_kind kind, const char *why, struct err *e)
{
	auto_free char *quoted = policy_quote(bytes, n);

	return err_set(e, kind, EINVAL, "host '%s': %s", quoted, why);
}

int policy_port_parse(const char *bytes, size_t n, uint16_t *ret)
{
	char digits[PORT_DIGITS_MAX + 1];
	uint64_t port;

	if (n == 0 || n > PORT_DIGITS_MAX || memchr(bytes, '\0', n) != NULL)
		return -EINVAL;
	memcpy(digits, bytes, n);
	digits[n] = '\0';
	if (text_u64(digits, UINT16_MAX, &port) != 0 || port == 0)
		return -EINVAL;
	*ret = (uint16_t)port;
	return 0;
}

bool policy_v4_parse(const char *bytes, size_t n, uint8_t ret[static 4])
{
	uint8_t addr[4];
	size_t i = 0;

	for (size_t part = 0; part < 4; part++) {
		unsigned value = 0;
		size_t start = i;

		if (part > 0 && (i >= n || bytes[i++] != '.'))
			return false;
		if (part > 0)
			start = i;
		while (i < n && is_digit(bytes[i]) && i - start < 3)
			value = value * 10 + (unsigned)(bytes[i++] - '0');
		if (i == start || value > 255 || (i - start > 1 && bytes[start] == '0'))
			return false;
		addr[part] = (uint8_t)value;
	}
	if (i != n)
		return false;
	memcpy(ret, addr, sizeof(addr));
	return true;
}

bool policy_v6_parse(const char *bytes, size_t n, uint8_t ret[static 16])
{
	char text[V6_TEXT_MAX + 1];
	struct in6_addr addr;

	if (n < 2 || n > V6_TEXT_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!is_hex(bytes[i]) && bytes[i] != ':' && bytes[i] != '.')
			return false;
	}
	memcpy(text, bytes, n);
	text[n] = '\0';
	if (inet_pton(AF_INET6, text, &addr) != 1)
		return false;
	memcpy(ret, &addr, 16);
	return true;
}

/* Would some resolver read the last label as a number? Digits only, or 0x and hexadecimal digits.
 */
static bool label_is_number(const char *label, size_t n)
{
	bool decimal = true, hex = n >= 2 && label[0] == '0' && label[1] == 'x';

	for (size_t i = 0; i < n; i++)
		decimal = decimal && is_digit(label[i]);
	for (size_t i = 2; hex && i < n; i++)
		hex = is_hex(label[i]);
	return decimal || hex;
}

/* One label in lower case; NULL when it is good, else what is wrong with it. */
static const char *label_check(const char *label, size_t n)
{
	if (n == 0)
		return "empty label";
	if (n > LABEL_MAX)
		return "a label is longer than 63 bytes";
	if (label[0] == '-' || label[n - 1] == '-')
		return "a label begins or ends with a hyphen";
	for (size_t i = 0; i < n; i++) {
		char c = label[i];

		if (!is_digit(c) && !(c >= 'a' && c <= 'z') && c != '-' && c != '_')
			return "only letters, digits, hyphens and dots may appear in a name "
			       "(write international names as xn--...)";
	}
	return NULL;
}

static int parse_name(const char *bytes, size_t n, struct policy_host *ret, struct err *e)
{
	struct policy_host host = { .kind = POLICY_HOST_NAME };
	size_t len = n, start = 0;

	if (len > 0 && bytes[len - 1] == '.')
		len--;
	if (len == 0)
		return bad_host(bytes, n, ERR_INPUT, "empty name", e);
	if (len > POLICY_HOST_MAX)
		return bad_host(bytes, n, ERR_INPUT, "longer than 253 bytes", e);
	for (size_t i = 0; i < len; i++) {
		char c = bytes[i];

		host.name[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	for (size_t i = 0; i <= len; i++) {
		const char *why;

		if (i < len && host.name[i] != '.')
			continue;
		why = label_check(host.name + start, i - start);
		if (why != NULL)
			return bad_host(bytes, n, ERR_INPUT, why, e);
		if (i == len && label_is_number(host.name + start, i - start))
			return bad_host(bytes, n, ERR_REFUSED,
					"looks like an address that is not written as four decimal "
					"numbers",
					e);
		start = i + 1;
	}
	*ret = host;
	return 0;
}

int policy_host_parse(const char *bytes, size_t n, struct policy_host *ret, struct err *e)
{
	struct policy_host host = { 0 };

	if (n >= 2 && bytes[0] == '[' && bytes[n - 1] == ']') {
		if (!policy_v6_parse(bytes + 1, n - 2, host.addr))
			return bad_host(bytes, n, ERR_INPUT, "not an IPv6 address", e);
		host.kind = POLICY_HOST_V6;
		inet_ntop(AF_INET6, host.addr, host.name, sizeof(host.name));
		*ret = host;
		return 0;
	}
	if (policy_v4_parse(bytes, n, host.addr)) {
		host.kind = POLICY_HOST_V4;
		inet_ntop(AF_INET, host.addr, host.name, sizeof(host.name));
		*ret = host;
		return 0;
	}
	return parse_name(bytes, n, ret, e);
}

void policy_host_literal(bool v6, const uint8_t *addr, struct policy_host *ret)
{
	*ret = (struct policy_host){ .kind = v6 ? POLICY_HOST_V6 : POLICY_HOST_V4 };
	memcpy(ret->addr, addr, v6 ? 16 : 4);
	inet_ntop(v6 ? AF_INET6 : AF_INET, addr, ret->name, sizeof(ret->name));
}

int policy_authority_parse(const char *bytes, size_t n, uint16_t default_port,
			   struct policy_host *ret_host, uint16_t *ret_port, struct err *e)
{
	const char *colon = memrchr(bytes, ':', n);
	uint16_t port = default_port;
	struct policy_host host;
	int r;

	/* The last colon of a bare "[v6]" is inside the brackets. */
	if (n > 0 && bytes[n - 1] == ']')
		colon = NULL;
	if (colon != NULL) {
		size_t used = (size_t)(colon - bytes) + 1;

		if (policy_port_parse(colon + 1, n - used, &port) != 0)
			return bad_host(bytes, n, ERR_INPUT,
					"the port is not a number from 1 to 65535", e);
		n = used - 1;
	} else if (default_port == 0) {
		return bad_host(bytes, n, ERR_INPUT, "no port", e);
	}
	r = policy_host_parse(bytes, n, &host, e);
	if (r != 0)
		return r;
	*ret_host = host;
	*ret_port = port;
	return 0;
}

bool policy_name_is_localhost(const char *name)
{
	return strcmp(name, "localhost") == 0 || strcmp(name, "localhost.localdomain") == 0 ||
	       text_ends(name, ".localhost");
}

bool policy_name_is_alias(const char *name)
{
	return strcmp(name, POLICY_HOST_ALIAS) == 0 || strcmp(name, POLICY_HOST_ALIAS_DOCKER) == 0;
}

/* Endings that belong to private networks (RFC 6762, RFC 8375, ICANN's .internal). */
bool policy_name_is_public(const char *name)
{
	static const char *const private_endings[] = { ".localhost", ".localdomain", ".local",
						       ".internal", ".home.arpa" };

	if (strchr(name, '.') == NULL)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(private_endings); i++) {
		if (text_ends(name, private_endings[i]))
			return false;
	}
	return true;
}
