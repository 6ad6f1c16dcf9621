/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_config: Docker's config.json and the answers of credential helpers.  Pure.
 *
 * A helper for the host (credHelpers) comes before the general one (credsStore), and that before
 * what stands in the file (auths).  The keys of auths are hosts, sometimes dressed as URLs.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "image/registry_internal.h"

enum { SECRET_MAX = 64 << 10, HELPER_NAME_MAX = 64 };

#define DOCKER_HOST "docker.io"
#define DOCKER_KEY  "https://index.docker.io/v1/"

void registry_login_clear(struct registry_login *l)
{
	if (l->secret)
		explicit_bzero(l->secret, strlen(l->secret));
	if (l->token)
		explicit_bzero(l->token, strlen(l->token));
	free(l->user);
	free(l->secret);
	free(l->token);
	*l = (struct registry_login){ 0 };
}

const char *registry_login_key(const char *host)
{
	return strcmp(host, DOCKER_HOST) == 0 ? DOCKER_KEY : host;
}

static int bad(struct err *e, const char *why)
{
	return err_set(e, ERR_INPUT, -EINVAL, "registry credentials: %s", why);
}

/* The host of a key of auths: without scheme and path. */
static bool key_is(const char *key, const char *host)
{
	const char *p = key;
	size_t n;

	if (text_starts(p, "https://"))
		p += strlen("https://");
	else if (text_starts(p, "http://"))
		p += strlen("http://");
	n = strcspn(p, "/");
	if (strcmp(host, DOCKER_HOST) == 0 && n == strlen("index.docker.io") &&
	    strncmp(p, "index.docker.io", n) == 0)
		return true;
	return n == strlen(host) && strncmp(p, host, n) == 0;
}

/* "user:secret" in base64. */
static int decode(const char *text, struct registry_login *ret, struct err *e)
{
	size_t n = strlen(text);
	auto_free unsigned char *plain = NULL;
	const char *colon;
	int len;

	if (n == 0 || n % 4 != 0 || n > SECRET_MAX)
		return bad(e, "'auth' in config.json is no base64");
	plain = xcalloc(1, n + 1);
	len = EVP_DecodeBlock(plain, (const unsigned char *)text, (int)n);
	if (len < 0)
		return bad(e, "'auth' in config.json is no base64");
	/* Padding comes out as zeros. */
	colon = strchr((const char *)plain, ':');
	if (!colon)
		return bad(e, "'auth' in config.json has no colon");
	ret->user = xstrndup((const char *)plain, (size_t)(colon - (const char *)plain));
	ret->secret = xstrdup(colon + 1);
	explicit_bzero(plain, n);
	return 0;
}

/* A header is made of these: none may end its line. */
static bool clean(const char *s)
{
	for (; s && *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	}
	return true;
}

static int check(struct registry_login *l, struct err *e)
{
	if (clean(l->user) && clean(l->secret) && clean(l->token))
		return 0;
	registry_login_clear(l);
	return bad(e, "they hold a control character");
}

static int read_auth(const struct json *entry, struct registry_login *ret, struct err *e)
{
	const char *user, *secret, *text;
	int r = 0;

	if (json_get_string(entry, "identitytoken", &text) == 0 && text[0])
		ret->token = xstrdup(text);
	if (json_get_string(entry, "auth", &text) == 0 && text[0]) {
		r = decode(text, ret, e);
	} else if (json_get_string(entry, "username", &user) == 0 &&
		   json_get_string(entry, "password", &secret) == 0 && user[0]) {
		ret->user = xstrdup(user);
		ret->secret = xstrdup(secret);
	}
	return r == 0 ? check(ret, e) : r;
}

struct search {
	const char *host;
	const struct json *entry;
};

static int match_key(const char *key, struct json *v, void *arg)
{
	struct search *s = arg;

	if (!key_is(key, s->host))
		return 0;
	s->entry = v;
	return 1;
}

static bool helper_name_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= HELPER_NAME_MAX && s[0] != '.' &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

int registry_config_find(const char *text, size_t n, const char *host, char **ret_helper,
			 struct registry_login *ret, struct err *e)
{
	struct search per_host = { .host = host };
	struct search auth = { .host = host };
	struct registry_login login = { 0 };
	const char *helper = NULL;
	auto_json j = NULL;
	int r = json_parse(text, n, &j, e);

	if (r < 0)
		return err_prefix(e, "registry credentials: config.json");
	if (!json_is_object(j))
		return bad(e, "config.json is no JSON object");
	if (json_is_object(json_get(j, "credHelpers")))
		json_each(json_get(j, "credHelpers"), match_key, &per_host);
	if (per_host.entry)
		helper = json_str(per_host.entry);
	else
		(void)json_get_string(j, "credsStore", &helper);
	if (helper && helper[0] && !helper_name_ok(helper))
		return bad(e, "the name of a credential helper in config.json is malformed");
	if (json_is_object(json_get(j, "auths")))
		json_each(json_get(j, "auths"), match_key, &auth);
	if (auth.entry && json_is_object(auth.entry)) {
		r = read_auth(auth.entry, &login, e);
		if (r < 0) {
			registry_login_clear(&login);
			return r;
		}
	}
	*ret = login;
	*ret_helper = helper && helper[0] ? xstrdup(helper) : NULL;
	return 0;
}

int registry_helper_answer(const char *text, size_t n, struct registry_login *ret, struct err *e)
{
	struct registry_login login = { 0 };
	const char *user, *secret;
	auto_json j = NULL;
	int r;

	if (n > SECRET_MAX || json_parse(text, n, &j, NULL) < 0 ||
	    json_get_string(j, "Username", &user) < 0 || json_get_string(j, "Secret", &secret) < 0)
		return bad(e, "the answer of the credential helper is malformed");
	if (strcmp(user, "<token>") == 0) {
		login.token = xstrdup(secret);
	} else {
		login.user = xstrdup(user);
		login.secret = xstrdup(secret);
	}
	r = check(&login, e);
	if (r == 0)
		*ret = login;
	return r;
}
