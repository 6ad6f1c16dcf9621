/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxies: which proxy is for what, from an environment or a configuration, and as text.  See
 * proxy.h.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/proxy.h"
#include "base/text.h"

/*
 * Variables in the order in which they are asked, by use.  HTTP_PROXY is what a CGI program gets
 * from a request's "Proxy:" field, so that nobody reads it in upper case.  Tunnels to other ports
 * take the proxy for TLS, where there is no other: programs that know nothing of proxies have no
 * way of their own.
 */
enum { NAMES_EACH = 6 };
static const char *const names[PROXY_USE_MAX][NAMES_EACH + 1] = {
	[PROXY_FOR_HTTP] = { "http_proxy", "all_proxy", "ALL_PROXY" },
	[PROXY_FOR_TLS] = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" },
	[PROXY_FOR_OTHER] = { "all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY" },
};
static const char *const words[] = { "http", "tls", "other" };
_Static_assert(ARRAY_SIZE(words) == PROXY_USE_MAX, "a word for each use");

void proxies_clear(struct proxies *p)
{
	for (size_t i = 0; i < PROXY_USE_MAX; i++)
		proxy_url_clear(&p->v[i]);
	free(p->no_proxy);
	free(p->ca);
	*p = (struct proxies){ 0 };
}

bool proxies_any(const struct proxies *p)
{
	for (size_t i = 0; i < PROXY_USE_MAX; i++) {
		if (p->v[i].scheme != PROXY_NONE)
			return true;
	}
	return false;
}

bool proxies_need_tls(const struct proxies *p)
{
	for (size_t i = 0; i < PROXY_USE_MAX; i++) {
		if (p->v[i].scheme == PROXY_HTTPS)
			return true;
	}
	return false;
}

static const char *value_of(char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (; env && *env; env++) {
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return *env + n + 1;
	}
	return NULL;
}

/* The first that is set; an empty one says that there is no proxy. */
static const char *first_of(char *const *env, const char *const *list, const char **ret_name)
{
	for (; *list; list++) {
		const char *value = value_of(env, *list);

		if (value) {
			*ret_name = *list;
			return value;
		}
	}
	return NULL;
}

int proxies_from_env(char *const *env, struct proxies *ret, struct err *e)
{
	static const char *const exceptions[] = { "no_proxy", "NO_PROXY", NULL };
	auto_proxies p = { 0 };
	const char *name, *value;

	for (size_t i = 0; i < PROXY_USE_MAX; i++) {
		value = first_of(env, names[i], &name);
		if (value && *value && proxy_url_parse(value, &p.v[i], e) < 0)
			return err_prefix(e, "%s", name);
	}
	value = first_of(env, exceptions, &name);
	if (value && strlen(value) > PROXY_TEXT_MAX)
		return err_set(e, ERR_INPUT, -EINVAL, "%s: it is too long", name);
	p.no_proxy = value && *value ? xstrdup(value) : NULL;
	*ret = p;
	p = (struct proxies){ 0 };
	return 0;
}

int proxies_from_url(const char *url, struct proxies *ret, struct err *e)
{
	auto_proxies p = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && strcmp(url, "none") != 0 && i < PROXY_USE_MAX; i++)
		r = proxy_url_parse(url, &p.v[i], e);
	if (r < 0)
		return r;
	*ret = p;
	p = (struct proxies){ 0 };
	return 0;
}

void proxies_to_env(const struct proxies *p, struct strv *env)
{
	static const char *const to[] = { "http_proxy", "https_proxy", "all_proxy" };
	_Static_assert(ARRAY_SIZE(to) == PROXY_USE_MAX, "a variable for each use");

	strv_env_unset(env, "HTTPS_PROXY");
	strv_env_unset(env, "ALL_PROXY");
	strv_env_unset(env, "NO_PROXY");
	for (size_t i = 0; i < PROXY_USE_MAX; i++) {
		auto_buf url = BUF_INIT;

		strv_env_unset(env, to[i]);
		if (p->v[i].scheme == PROXY_NONE)
			continue;
		proxy_url_text(&p->v[i], true, &url);
		strv_env_set(env, to[i], buf_str(&url));
	}
	strv_env_unset(env, "no_proxy");
	if (p->no_proxy)
		strv_env_set(env, "no_proxy", p->no_proxy);
}

/* A line "WORD VALUE" for each; what is between entries of no_proxy means the same as a comma. */
void proxies_write(const struct proxies *p, struct buf *out)
{
	for (size_t i = 0; i < PROXY_USE_MAX; i++) {
		if (p->v[i].scheme == PROXY_NONE)
			continue;
		buf_printf(out, "%s ", words[i]);
		proxy_url_text(&p->v[i], true, out);
		buf_putc(out, '\n');
	}
	if (p->no_proxy) {
		buf_puts(out, "no_proxy ");
		for (const char *s = p->no_proxy; *s; s++)
			buf_putc(out, *s == '\n' ? ',' : *s);
		buf_putc(out, '\n');
	}
	if (p->ca)
		buf_printf(out, "ca %s\n", p->ca);
}

static int read_line(const char *line, struct proxies *p, struct err *e)
{
	const char *value = strchr(line, ' ');
	size_t n = value ? (size_t)(value - line) : 0;

	for (size_t i = 0; n > 0 && i < PROXY_USE_MAX; i++) {
		if (strlen(words[i]) == n && strncmp(words[i], line, n) == 0) {
			proxy_url_clear(&p->v[i]);
			return proxy_url_parse(value + 1, &p->v[i], e);
		}
	}
	if (text_starts(line, "no_proxy ")) {
		free(p->no_proxy);
		p->no_proxy = xstrdup(value + 1);
	} else if (text_starts(line, "ca ")) {
		free(p->ca);
		p->ca = xstrdup(value + 1);
	} else {
		return err_set(e, ERR_INPUT, -EINVAL, "an unknown line");
	}
	return 0;
}

int proxies_read(const char *text, size_t n, struct proxies *ret, struct err *e)
{
	auto_free char *copy = xstrndup(text, n);
	const size_t size = strlen(copy); /* before it is cut into lines */
	auto_proxies p = { 0 };
	int r = 0;

	for (char *line = copy, *end; r == 0 && *line; line = end) {
		end = line + strcspn(line, "\n");
		if (*end)
			*end++ = '\0';
		r = read_line(line, &p, e);
	}
	explicit_bzero(copy, size);
	if (r < 0)
		return err_prefix(e, "proxies");
	*ret = p;
	p = (struct proxies){ 0 };
	return 0;
}
