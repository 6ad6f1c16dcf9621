/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_url: the address of a proxy, and the texts in which addresses come and go.  See proxy.h.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/proxy.h"
#include "base/text.h"

/* A scheme as it is written, and the port that is meant without one. */
static const struct scheme {
	const char *name;
	enum proxy_scheme scheme;
	uint16_t port;
} schemes[] = {
	{ "http", PROXY_HTTP, 80 },
	{ "https", PROXY_HTTPS, 443 },
	{ "socks5h", PROXY_SOCKS5, 1080 },
	{ "socks5", PROXY_SOCKS5, 1080 },
};

static int bad(struct err *e, const char *why)
{
	return err_set(e, ERR_INPUT, -EINVAL, "%s", why);
}

void proxy_url_clear(struct proxy_url *u)
{
	if (u->password)
		explicit_bzero(u->password, strlen(u->password));
	free(u->host);
	free(u->user);
	free(u->password);
	*u = (struct proxy_url){ 0 };
}

static int take_scheme(const char **text, const struct scheme **ret, struct err *e)
{
	const char *end = strstr(*text, "://");
	size_t n = end ? (size_t)(end - *text) : 0;

	*ret = &schemes[0];
	if (!end)
		return 0;
	*text = end + strlen("://");
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		if (strlen(schemes[i].name) == n && strncasecmp(schemes[i].name, end - n, n) == 0) {
			*ret = &schemes[i];
			return 0;
		}
	}
	return bad(e, "the scheme of a proxy is http, https, socks5 or socks5h");
}

/* Percent-encoded bytes; none may end a line or a string. */
static int decode(const char *p, size_t n, char **ret, struct err *e)
{
	auto_free char *out = xcalloc(n + 1, 1);
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c == '%') {
			static const char digits[] = "0123456789abcdef";
			const char *hi =
				i + 2 < n ? strchr(digits, tolower((unsigned char)p[i + 1])) : NULL;
			const char *lo =
				i + 2 < n ? strchr(digits, tolower((unsigned char)p[i + 2])) : NULL;

			if (!hi || !lo || !*hi || !*lo)
				return bad(e, "a % in user or password must be written %25");
			c = (unsigned char)((hi - digits) << 4 | (lo - digits));
			i += 2;
		}
		if (c < 0x20 || c == 0x7f)
			return bad(e, "a control character in user or password");
		out[len++] = (char)c;
	}
	if (len > PROXY_LOGIN_MAX)
		return bad(e, "user or password is longer than 255 bytes");
	*ret = steal(&out);
	return 0;
}

static int take_login(const char *p, size_t n, struct proxy_url *u, struct err *e)
{
	const char *colon = memchr(p, ':', n);
	size_t user = colon ? (size_t)(colon - p) : n;
	int r = decode(p, user, &u->user, e);

	if (r == 0 && colon)
		r = decode(colon + 1, n - user - 1, &u->password, e);
	else if (r == 0)
		u->password = xstrdup("");
	if (r == 0 && strchr(u->user, ':'))
		r = bad(e, "a colon in the user's name");
	return r;
}

static bool is_host(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= PROXY_HOST_MAX && s[0] != '.' && s[0] != '-' && !strstr(s, "..") &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == n;
}

static int take_host(const char *p, size_t n, struct proxy_url *u, struct err *e)
{
	bool v6 = n > 0 && p[0] == '[';
	const char *end = v6 ? memchr(p, ']', n) : memchr(p, ':', n);
	size_t len = end ? (size_t)(end - p) : n;
	const char *port = p + len + v6;
	struct in6_addr ignored;
	uint64_t number;

	if (v6 && !end)
		return bad(e, "a [ without ]");
	u->host = xstrndup(p + v6, len - v6);
	for (char *c = u->host; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (v6 ? inet_pton(AF_INET6, u->host, &ignored) != 1 : !is_host(u->host))
		return bad(e, len > v6 ? "its host is neither a name nor an address" : "no host");
	if (port < p + n) {
		auto_free char *digits = xstrndup(port + 1, (size_t)(p + n - port - 1));

		if (*port != ':' || text_u64(digits, UINT16_MAX, &number) < 0 || number == 0)
			return bad(e, "its port is no number from 1 to 65535");
		u->port = (uint16_t)number;
	}
	return 0;
}

int proxy_url_parse(const char *text, struct proxy_url *ret, struct err *e)
{
	struct proxy_url u = { 0 };
	const struct scheme *scheme;
	const char *host, *at;
	size_t n;
	int r;

	if (strlen(text) > PROXY_TEXT_MAX)
		return bad(e, "it is too long");
	r = take_scheme(&text, &scheme, e);
	if (r < 0)
		return r;
	u.scheme = scheme->scheme;
	u.port = scheme->port;
	at = strrchr(text, '@');
	host = at ? at + 1 : text;
	n = strcspn(host, "/?#");
	if (host[n] == '/' ? host[n + 1] != '\0' : host[n] != '\0')
		return bad(e, "there is something behind its host and port");
	r = at ? take_login(text, (size_t)(at - text), &u, e) : 0;
	if (r == 0)
		r = take_host(host, n, &u, e);
	if (r < 0) {
		proxy_url_clear(&u);
		return r;
	}
	*ret = u;
	return 0;
}

static void encode(const char *s, struct buf *out)
{
	for (; *s; s++) {
		if (isalnum((unsigned char)*s) || strchr("-._~", *s))
			buf_putc(out, *s);
		else
			buf_printf(out, "%%%02x", (unsigned)(unsigned char)*s);
	}
}

void proxy_url_text(const struct proxy_url *u, bool with_login, struct buf *out)
{
	bool v6 = strchr(u->host, ':') != NULL;

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		if (schemes[i].scheme == u->scheme) {
			buf_printf(out, "%s://", schemes[i].name);
			break;
		}
	}
	if (with_login && u->user) {
		encode(u->user, out);
		buf_putc(out, ':');
		encode(u->password, out);
		buf_putc(out, '@');
	}
	buf_printf(out, "%s%s%s:%u", v6 ? "[" : "", u->host, v6 ? "]" : "", (unsigned)u->port);
}
