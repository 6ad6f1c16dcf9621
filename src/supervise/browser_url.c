/* SPDX-License-Identifier: Apache-2.0 */
/*
 * browser_url: what a program inside asks to open in a browser.  Pure.
 *
 * Only http and https, only printable ASCII (as RFC 3986 has it), no user name in front of the
 * host, which could make it look like another one.  A login that comes back to the program names a
 * loopback address and a port in redirect_uri (RFC 8252, section 7.3).
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

enum { REDIRECT_MAX = 512, PORT_MIN = 1024 };

/* The authority and what follows it, or NULL when the scheme is another one. */
static const char *after_scheme(const char *url)
{
	static const char *const schemes[] = { "https://", "http://" };

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		if (strncasecmp(url, schemes[i], strlen(schemes[i])) == 0)
			return url + strlen(schemes[i]);
	}
	return NULL;
}

static int hex(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* The value of a query's member, decoded once; false: too long, or not decodable. */
static bool decode(const char *s, size_t n, char out[static REDIRECT_MAX])
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (len == REDIRECT_MAX - 1)
			return false;
		if (c == '%') {
			if (n - i < 3 || hex(s[i + 1]) < 0 || hex(s[i + 2]) < 0)
				return false;
			c = (char)(hex(s[i + 1]) * 16 + hex(s[i + 2]));
			i += 2;
		}
		if (c == '\0')
			return false;
		out[len++] = c;
	}
	out[len] = '\0';
	return true;
}

/* The port of http://LOOPBACK:PORT..., else 0. */
static uint16_t loopback_port(const char *s)
{
	static const char *const fronts[] = { "http://localhost:", "http://127.0.0.1:",
					      "http://[::1]:" };
	char digits[6] = "";
	uint64_t port;
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(fronts); i++) {
		if (strncasecmp(s, fronts[i], strlen(fronts[i])) != 0)
			continue;
		s += strlen(fronts[i]);
		n = strspn(s, "0123456789");
		if (n >= sizeof(digits) || (s[n] && !strchr("/?#", s[n])))
			return 0;
		memcpy(digits, s, n);
		return text_u64(digits, UINT16_MAX, &port) == 0 && port >= PORT_MIN ? (uint16_t)port
										    : 0;
	}
	return 0;
}

/* Of the first redirect_uri in the query. */
static uint16_t callback_port(const char *url)
{
	static const char name[] = "redirect_uri=";
	const char *end = url + strcspn(url, "#");
	const char *p = memchr(url, '?', (size_t)(end - url));
	char value[REDIRECT_MAX];

	while (p && p < end) {
		size_t n;

		p++;
		n = strcspn(p, "&#");
		if (strncmp(p, name, strlen(name)) == 0)
			return decode(p + strlen(name), n - strlen(name), value)
				       ? loopback_port(value)
				       : 0;
		p = p[n] == '&' ? p + n : NULL;
	}
	return 0;
}

int browser_judge(const char *url, size_t n, uint16_t *ret_port)
{
	const char *authority;
	size_t len;

	if (n == 0 || n > BROWSER_URL_MAX || memchr(url, '\0', n))
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (url[i] <= ' ' || url[i] > '~')
			return -EINVAL;
	}
	authority = after_scheme(url);
	if (!authority)
		return -EPERM;
	len = strcspn(authority, "/?#");
	if (len == 0 || memchr(authority, '@', len) || memchr(authority, '\\', len))
		return -EINVAL;
	*ret_port = callback_port(url);
	return 0;
}
