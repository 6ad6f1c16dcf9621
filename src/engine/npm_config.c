/* SPDX-License-Identifier: Apache-2.0 */
/*
 * npm_config: where npm of this machine gets packages from, as npmrc files and variables say it.
 *
 * An allow-list: tokens, passwords and user names are other keys and are never read; an address
 * that has one in it is left out and named.
 */
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "engine/packages_internal.h"

void npm_config_clear(struct npm_config *c)
{
	free(c->registry);
	free(c->cafile);
	free(c->ca);
	free(c->https_proxy);
	strv_free(&c->scopes);
	strv_free(&c->bad);
	*c = (struct npm_config){ 0 };
}

char *package_url_rule(const char *url)
{
	const char *host, *end, *colon;
	const char *port = NULL;

	if (strncasecmp(url, "http://", 7) == 0) {
		host = url + 7;
		port = "80";
	} else if (strncasecmp(url, "https://", 8) == 0) {
		host = url + 8;
		port = "443";
	} else {
		return NULL;
	}
	end = host + strcspn(host, "/?#");
	if (strpbrk(end, "?#") || end == host || memchr(host, '@', (size_t)(end - host)))
		return NULL;
	for (const char *p = host; p < end; p++)
		if (*p <= ' ' || *p > '~' || strchr("\"'\\`$,", *p))
			return NULL;
	colon = memrchr(host, ':', (size_t)(end - host));
	if (colon && !memchr(colon, ']', (size_t)(end - colon)))
		return xstrndup(host, (size_t)(end - host));
	return xasprintf("%.*s:%s", (int)(end - host), host, port);
}

/* ${NAME} from env; an unknown one stays, as with npm. */
static char *expand(const char *value, char *const *env)
{
	auto_buf out = BUF_INIT;

	while (*value) {
		const char *end = text_starts(value, "${") ? strchr(value, '}') : NULL;
		size_t n = end ? (size_t)(end - value) - 2 : 0;
		const char *found = NULL;

		for (char *const *v = env; end && v && *v && !found; v++)
			if (strncmp(*v, value + 2, n) == 0 && (*v)[n] == '=')
				found = *v + n + 1;
		if (found) {
			buf_puts(&out, found);
			value = end + 1;
		} else {
			buf_putc(&out, *value++);
		}
	}
	return xstrdup(buf_str(&out));
}

static void add_bad(struct npm_config *c, const char *key)
{
	if (!strv_contains(&c->bad, key))
		strv_add(&c->bad, key);
}

static void set_url(struct npm_config *c, const char *key, const char *value, char **member)
{
	auto_free char *rule = package_url_rule(value);

	if (*member)
		return;
	if (!rule || strpbrk(value, " \t\n\"'\\`$;&|<>()"))
		add_bad(c, key);
	else
		*member = xasprintf("%s%s", value, text_ends(value, "/") ? "" : "/");
}

static void set_scope(struct npm_config *c, const char *key, const char *value)
{
	auto_free char *start = xasprintf("%s=", key);
	char *url = NULL;

	for (size_t i = 0; i < c->scopes.n; i++)
		if (text_starts(c->scopes.v[i], start))
			return;
	set_url(c, key, value, &url);
	if (url)
		strv_addf(&c->scopes, "%s%s", start, url);
	free(url);
}

/* "\n" in a quoted value. */
static void add_certificate(struct npm_config *c, const char *value)
{
	auto_buf text = BUF_INIT;

	if (c->ca)
		buf_puts(&text, c->ca);
	for (; *value; value++) {
		if (value[0] == '\\' && value[1] == 'n') {
			buf_putc(&text, '\n');
			value++;
		} else {
			buf_putc(&text, *value);
		}
	}
	buf_putc(&text, '\n');
	free(c->ca);
	c->ca = buf_steal(&text);
}

static void set_value(struct npm_config *c, const char *key, const char *value)
{
	if (value[0] == '\0' || strcmp(value, "null") == 0)
		return;
	if (strcmp(key, "registry") == 0)
		set_url(c, key, value, &c->registry);
	else if (key[0] == '@' && text_ends(key, ":registry") && !strpbrk(key, " \t\"'\\`$"))
		set_scope(c, key, value);
	else if (strcmp(key, "https-proxy") == 0)
		set_url(c, key, value, &c->https_proxy);
	else if (strcmp(key, "cafile") == 0 && !c->cafile)
		c->cafile = xstrdup(value);
	else if (strcmp(key, "ca") == 0 || strcmp(key, "ca[]") == 0)
		add_certificate(c, value);
	else if (strcmp(key, "strict-ssl") == 0 && strcmp(value, "false") == 0)
		c->insecure = true;
}

static char *trimmed(const char *from, size_t n)
{
	while (n && strchr(" \t\r", from[n - 1]))
		n--;
	while (n && strchr(" \t", *from)) {
		from++;
		n--;
	}
	if (n >= 2 && (*from == '"' || *from == '\'') && from[n - 1] == *from) {
		from++;
		n -= 2;
	}
	return xstrndup(from, n);
}

void npm_config_parse(const char *text, size_t n, char *const *env, struct npm_config *c)
{
	auto_free char *copy = xstrndup(text, n);

	for (const char *at = copy; *at; at += *at == '\n') {
		size_t len = strcspn(at, "\n");
		const char *eq = memchr(at, '=', len);

		if (eq && *at != ';' && *at != '#') {
			auto_free char *key = trimmed(at, (size_t)(eq - at));
			auto_free char *raw = trimmed(eq + 1, len - (size_t)(eq + 1 - at));
			auto_free char *value = expand(raw, env);

			set_value(c, key, value);
		}
		at += len;
	}
}

void npm_config_env(char *const *env, struct npm_config *c)
{
	static const char prefix[] = "npm_config_";

	for (; env && *env; env++) {
		const char *eq = strchr(*env, '=');
		auto_free char *key = NULL;

		if (!eq || strncasecmp(*env, prefix, strlen(prefix)) != 0)
			continue;
		key = xstrndup(*env + strlen(prefix), (size_t)(eq - *env) - strlen(prefix));
		for (char *p = key; *p; p++) {
			*p = *p == '_' ? '-' : *p;
			if (*p >= 'A' && *p <= 'Z')
				*p = (char)(*p - 'A' + 'a');
		}
		set_value(c, key, eq + 1);
	}
}
