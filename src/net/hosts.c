/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hosts: the two configuration files of a stub resolver, hosts(5) and resolv.conf(5).  Pure.
 *
 * The files belong to the host, but a broken line must not take the others with it: what does not
 * parse is skipped, as every resolver does.  Options and search domains are not used: the proxy
 * gets complete names.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "net/net_internal.h"

enum { TOKEN_MAX = 256, DNS_PORT = 53 };

struct line {
	const char *p;
	size_t n;
};

/* The next line without its comment. */
static bool next_line(const char **p, const char *end, const char *comments, struct line *ret)
{
	const char *nl;

	if (*p >= end)
		return false;
	nl = memchr(*p, '\n', (size_t)(end - *p));
	ret->p = *p;
	ret->n = (size_t)((nl == NULL ? end : nl) - *p);
	*p = nl == NULL ? end : nl + 1;
	for (size_t i = 0; i < ret->n; i++) {
		if (strchr(comments, ret->p[i]) != NULL && ret->p[i] != '\0') {
			ret->n = i;
			break;
		}
	}
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next word, NUL-terminated; over-long ones come out empty. False at the end of the line. */
static bool next_word(struct line *l, char out[static TOKEN_MAX])
{
	size_t n = 0;

	while (l->n > 0 && is_blank(*l->p)) {
		l->p++;
		l->n--;
	}
	if (l->n == 0)
		return false;
	while (n < l->n && !is_blank(l->p[n]))
		n++;
	out[0] = '\0';
	if (n < TOKEN_MAX && memchr(l->p, '\0', n) == NULL) {
		memcpy(out, l->p, n);
		out[n] = '\0';
	}
	l->p += n;
	l->n -= n;
	return true;
}

static bool parse_address(const char *text, struct dns_address *ret)
{
	struct dns_address a = { 0 };

	if (inet_pton(AF_INET, text, a.bytes) != 1) {
		if (inet_pton(AF_INET6, text, a.bytes) != 1)
			return false;
		a.v6 = true;
	}
	*ret = a;
	return true;
}

/* "host." and "host" are the same name here. */
static bool same_name(char *word, const char *name)
{
	size_t n = strlen(word);

	if (n > 0 && word[n - 1] == '.')
		word[n - 1] = '\0';
	return strcasecmp(word, name) == 0;
}

size_t hosts_lookup(const char *text, size_t n, const char *name, struct dns_answer *ret)
{
	const char *p = text, *end = text + n;
	char word[TOKEN_MAX];
	struct line line;

	*ret = (struct dns_answer){ .ttl = UINT32_MAX };
	while (ret->count < DNS_ADDRESSES_MAX && next_line(&p, end, "#", &line)) {
		struct dns_address addr;

		if (!next_word(&line, word) || !parse_address(word, &addr))
			continue;
		while (next_word(&line, word)) {
			if (same_name(word, name)) {
				ret->addr[ret->count++] = addr;
				break;
			}
		}
	}
	return ret->count;
}

static void add_server(struct resolv_conf *conf, const struct dns_address *a)
{
	struct sockaddr_storage *ss = &conf->server[conf->n++];

	memset(ss, 0, sizeof(*ss));
	if (a->v6) {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(DNS_PORT) };

		memcpy(&in6.sin6_addr, a->bytes, 16);
		memcpy(ss, &in6, sizeof(in6));
	} else {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(DNS_PORT) };

		memcpy(&in.sin_addr, a->bytes, 4);
		memcpy(ss, &in, sizeof(in));
	}
}

void resolv_conf_parse(const char *text, size_t n, struct resolv_conf *ret)
{
	const char *p = text, *end = text + n;
	struct resolv_conf conf = { 0 };
	struct dns_address addr;
	char word[TOKEN_MAX];
	struct line line;

	while (conf.n < RESOLV_SERVERS_MAX && next_line(&p, end, "#;", &line)) {
		if (next_word(&line, word) && strcmp(word, "nameserver") == 0 &&
		    next_word(&line, word) && parse_address(word, &addr))
			add_server(&conf, &addr);
	}
	if (conf.n == 0) {
		addr = (struct dns_address){ .bytes = { 127, 0, 0, 1 } };
		add_server(&conf, &addr);
	}
	*ret = conf;
}
