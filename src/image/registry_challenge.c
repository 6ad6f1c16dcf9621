/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_challenge: what a registry demands (WWW-Authenticate), and to whom credentials may go.
 * Pure.
 *
 * The header is a list of challenges, each a scheme with parameters, and the comma that separates
 * challenges also separates parameters: a word that is followed by '=' is a parameter, one that is
 * not begins a challenge.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "image/registry_internal.h"

enum { VALUE_MAX = 4096, HOST_LEN_MAX = 320 };

void registry_challenge_clear(struct registry_challenge *c)
{
	free(c->realm);
	free(c->service);
	*c = (struct registry_challenge){ 0 };
}

static bool is_token(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static size_t token_len(const char *s)
{
	size_t n = 0;

	while (is_token(s[n]))
		n++;
	return n;
}

static const char *skip(const char *s, const char *set)
{
	return s + strspn(s, set);
}

/* A token or a quoted string, as a new string; *s moves behind it. */
static int read_value(const char **s, char **ret)
{
	auto_buf b = BUF_INIT;
	const char *p = *s;

	if (*p != '"') {
		size_t n = token_len(p);

		if (n == 0)
			return -EBADMSG;
		*ret = xstrndup(p, n);
		*s = p + n;
		return 0;
	}
	for (p++; *p != '"'; p++) {
		if (*p == '\\')
			p++;
		if (*p == '\0')
			return -EBADMSG;
		buf_putc(&b, *p);
	}
	*ret = xstrdup(buf_str(&b));
	*s = p + 1;
	return 0;
}

/* Put a challenge that is complete in the place of one that is less wanted. */
static void settle(struct registry_challenge *found, struct registry_challenge *best)
{
	if (found->scheme == REGISTRY_BEARER && !found->realm)
		found->scheme = REGISTRY_ANONYMOUS;
	if (found->scheme > best->scheme) {
		registry_challenge_clear(best);
		*best = *found;
		*found = (struct registry_challenge){ 0 };
	}
	registry_challenge_clear(found);
}

static void begin(const char *name, size_t n, struct registry_challenge *found)
{
	if (n == strlen("bearer") && strncasecmp(name, "bearer", n) == 0)
		found->scheme = REGISTRY_BEARER;
	else if (n == strlen("basic") && strncasecmp(name, "basic", n) == 0)
		found->scheme = REGISTRY_BASIC;
}

static void keep(char **slot, char **value)
{
	if (!*slot) /* the first one counts */
		*slot = steal(value);
}

/* Is a parameter here (a word and '='), as opposed to a scheme or the padding of a token68? */
static bool at_param(const char *s, size_t n)
{
	const char *p = skip(s + n, " \t");

	return *p == '=' && p[1] != '=' && p[1] != ',' && p[1] != '\0';
}

static int parse(const char *s, struct registry_challenge *found, struct registry_challenge *best)
{
	for (s = skip(s, " \t,"); *s; s = skip(s, " \t,")) {
		size_t n = token_len(s);
		auto_free char *value = NULL;
		const char *name = s;

		if (n == 0)
			return -EBADMSG;
		if (!at_param(s, n)) {
			settle(found, best);
			begin(s, n, found);
			s += n;
			/* Credentials in one word, which only other schemes have. */
			if (*s == '/' || *s == '=')
				s += strcspn(s, " \t,");
			continue;
		}
		s = skip(s + n, " \t");
		s = skip(s + 1, " \t");
		if (read_value(&s, &value) < 0)
			return -EBADMSG;
		if (n == strlen("realm") && strncasecmp(name, "realm", n) == 0)
			keep(&found->realm, &value);
		else if (n == strlen("service") && strncasecmp(name, "service", n) == 0)
			keep(&found->service, &value);
	}
	settle(found, best);
	return 0;
}

int registry_challenge_parse(const char *value, struct registry_challenge *c)
{
	struct registry_challenge found = { 0 };
	struct registry_challenge best = { 0 };
	int r;

	if (strlen(value) > VALUE_MAX)
		return -EBADMSG;
	for (const char *p = value; *p; p++) {
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			return -EBADMSG;
	}
	r = parse(value, &found, &best);
	if (r == 0)
		settle(&best, c);
	registry_challenge_clear(&found);
	registry_challenge_clear(&best);
	return r;
}

/* --- URLs --------------------------------------------------------------------------------------
 */

struct origin {
	bool tls;
	char host[HOST_LEN_MAX]; /* lower case; IPv6 in brackets */
	uint64_t port;
};

/* Strict: what a lenient reader could take for another host is none. */
static int parse_origin(const char *url, struct origin *ret)
{
	bool tls = strncasecmp(url, "https://", 8) == 0;
	const char *host = url + (tls ? 8 : 7);
	size_t authority, n;

	if (!tls && strncasecmp(url, "http://", 7) != 0)
		return -EINVAL;
	authority = strcspn(host, "/?#");
	if (strcspn(host, "@\\ %") < authority)
		return -EINVAL;
	n = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
	if (n == 0 || n > authority || n >= sizeof(ret->host))
		return -EINVAL;
	ret->port = tls ? 443 : 80;
	if (host[n] == ':') {
		auto_free char *port = xstrndup(host + n + 1, authority - n - 1);

		if (text_u64(port, 65535, &ret->port) < 0)
			return -EINVAL;
	} else if (n != authority) {
		return -EINVAL;
	}
	for (size_t i = 0; i < n; i++) {
		char c = host[i];

		if ((unsigned char)c <= 0x20 || (unsigned char)c >= 0x7f)
			return -EINVAL;
		ret->host[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	ret->host[n] = '\0';
	ret->tls = tls;
	return 0;
}

bool registry_same_origin(const char *url, const char *base)
{
	struct origin a, b;

	return parse_origin(url, &a) == 0 && parse_origin(base, &b) == 0 && a.tls == b.tls &&
	       a.port == b.port && strcmp(a.host, b.host) == 0;
}

bool registry_realm_ok(const char *realm, const char *base)
{
	struct origin to, from;

	if (parse_origin(realm, &to) < 0 || parse_origin(base, &from) < 0)
		return false;
	return to.tls || (!from.tls && strcmp(to.host, from.host) == 0);
}

bool registry_is_loopback(const char *host)
{
	auto_free char *name = NULL;
	struct in_addr v4;

	if (text_starts(host, "[::1]"))
		return host[5] == '\0' || host[5] == ':';
	name = xstrndup(host, strcspn(host, ":"));
	if (strcasecmp(name, "localhost") == 0)
		return true;
	return inet_pton(AF_INET, name, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}
