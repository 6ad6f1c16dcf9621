/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_client: a registry: its transport, what it demands, redirects and retries.
 *
 * Where credentials go, all of it: to the registry's own origin (basic), or to the realm that the
 * registry's own origin named in a challenge (bearer), when registry_realm_ok() agrees; the token
 * that comes back goes to the registry's own origin.  Never elsewhere: a request that is redirected
 * to another origin carries no Authorization and a challenge from there is not answered.  Nothing
 * of it goes over http, but to this machine itself.
 */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>

#include "base/certs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/image_internal.h"
#include "image/registry_internal.h"

enum {
	REDIRECTS_MAX = 5,
	TOKEN_ANSWER_MAX = 64 << 10,
	TOKEN_MAX = 32 << 10,
	TRIES_MAX = 6,
	BACKOFF_MS = 500,
	RETRY_AFTER_MAX = 60, /* seconds */
};

#define DOCKER_HOST "docker.io"

/* --- making one --------------------------------------------------------------------------------
 */

static int add_file(const char *path, struct buf *out, struct err *e)
{
	int r = certs_read_file(path, out, e);

	if (r == 0)
		buf_putc(out, '\n');
	return r;
}

static int read_ca(const struct registry_config *c, struct buf *out, struct err *e)
{
	auto_free char *docker = xasprintf("/etc/docker/certs.d/%s/ca.crt", c->host);
	const char *env = getenv("SSL_CERT_FILE");
	int r = 0;

	if (c->ca)
		r = add_file(c->ca, out, e);
	if (r == 0 && c->company_ca)
		r = add_file(c->company_ca, out, e);
	if (r == 0)
		(void)add_file(docker, out, NULL);
	if (r == 0 && env && env[0])
		r = add_file(env, out, e);
	if (r == 0 && out->len > 0 && !(env && env[0])) {
		/* Others come in the place of the system's, which are to count as well. */
		for (size_t i = 0; certs_system[i]; i++) {
			if (add_file(certs_system[i], out, NULL) == 0)
				break;
		}
	}
	return r;
}

static char *base_of(const char *host)
{
	/* Docker's own name is not where its registry is. */
	if (strcmp(host, DOCKER_HOST) == 0)
		return xstrdup("https://registry-1." DOCKER_HOST);
	return xasprintf("https://%s", host);
}

int registry_new(const struct registry_config *c, const char *repository, const char *actions,
		 struct registry **ret, struct err *e)
{
	struct registry *r = xcalloc(1, sizeof(*r));
	int code;

	r->host = xstrdup(c->host);
	r->repository = xstrdup(repository);
	r->actions = xstrdup(actions);
	r->base = base_of(c->host);
	r->any_scheme = c->insecure || registry_is_loopback(c->host);
	pthread_mutex_init(&r->lock, NULL);
	code = read_ca(c, &r->ca, e);
	if (code == 0)
		code = registry_login_find(c->host, &r->login, e);
	if (code < 0) {
		registry_free(r);
		return code;
	}
	*ret = r;
	return 0;
}

const struct json *registry_config_of(const struct json *registries, const char *host)
{
	for (size_t i = 0; i < json_len(registries); i++) {
		const struct json *j = json_at(registries, i);
		const char *name;

		if (json_get_string(j, "host", &name) == 0 && strcmp(name, host) == 0)
			return j;
	}
	return NULL;
}

int registry_open(const struct json *request, const char *host, const char *repository,
		  const char *actions, struct registry **ret, struct err *e)
{
	const struct json *j = registry_config_of(json_get(request, "registries"), host);
	struct registry_config c = { .host = host };

	(void)json_get_bool(j, "insecure", &c.insecure);
	(void)json_get_string(j, "ca", &c.ca);
	(void)json_get_string(request, "ca", &c.company_ca);
	return registry_new(&c, repository, actions, ret, e);
}

void registry_free(struct registry *r)
{
	if (!r)
		return;
	free(r->host);
	free(r->base);
	free(r->repository);
	free(r->actions);
	free(r->authorization);
	buf_free(&r->ca);
	registry_login_clear(&r->login);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* --- messages ----------------------------------------------------------------------------------
 */

static int transport_failure(const struct registry *r, int code, struct err *e)
{
	err_prefix(e, "registry %s", r->host);
	switch (code) {
	case -EKEYREJECTED:
		return err_hint(e,
				"if it has a certificate authority of its own: registries: {%s: "
				"{ca: FILE}} in config.yaml",
				r->host);
	case -ECONNREFUSED:
	case -EHOSTUNREACH:
		return err_hint(e, "check the name, the network and https_proxy");
	default:
		return code;
	}
}

/* The first message of {"errors":[{"message":…}]}, escaped, or "". */
static void registry_message(const struct http_response *resp, struct buf *out)
{
	const char *message;
	auto_json j = NULL;

	if (json_parse(buf_str(&resp->body), resp->body.len, &j, NULL) < 0 ||
	    json_get_string(json_at(json_get(j, "errors"), 0), "message", &message) < 0)
		return;
	buf_puts(out, " (");
	text_escape(out, message, strlen(message), 200);
	buf_putc(out, ')');
}

static int denied(const struct registry *r, const char *what, const char *said, struct err *e)
{
	bool known = r->login.user || r->login.token;
	bool docker = strcmp(r->host, DOCKER_HOST) == 0;

	err_set(e, ERR_REFUSED, -EACCES, "registry %s: %s: access denied%s%s", r->host, what,
		known ? "" : ", or there is no such image", said);
	return err_hint(e, "docker login%s%s", docker ? "" : " ", docker ? "" : r->host);
}

int registry_failure(const struct registry *r, const struct http_response *resp, const char *what,
		     struct err *e)
{
	auto_buf said = BUF_INIT;

	registry_message(resp, &said);
	switch (resp->status) {
	case 401:
	case 403:
		return denied(r, what, buf_str(&said), e);
	case 404:
		return err_set(e, ERR_NOT_FOUND, -ENOENT, "registry %s: %s: not found%s", r->host,
			       what, buf_str(&said));
	case 429:
		err_set(e, ERR_HOST, -EBUSY, "registry %s: %s: too many requests%s", r->host, what,
			buf_str(&said));
		return err_hint(e, "wait, or log in: docker login");
	default:
		return err_set(e, resp->status >= 500 ? ERR_HOST : ERR_INPUT, -EPROTO,
			       "registry %s: %s: it answered %ld%s", r->host, what, resp->status,
			       buf_str(&said));
	}
}

/* --- retries -----------------------------------------------------------------------------------
 */

static bool worth_it(const struct registry_retry *t, int r, const struct http_response *resp)
{
	if (r == -ECONNREFUSED || r == -EHOSTUNREACH)
		return t->answered;
	if (r < 0)
		return r == -EAGAIN;
	return resp->status == 408 || resp->status == 429 ||
	       (resp->status >= 500 && resp->status != 501 && resp->status != 505);
}

static void note_retry(const char *what, uint64_t ms)
{
	struct json *j = json_object();
	auto_free char *text = xasprintf("%s: trying again in %.1f s", what, (double)ms / 1000);

	json_set_string(j, "text", text);
	image_event_send("note", j);
}

bool registry_again(struct registry_retry *t, int r, const struct http_response *resp,
		    const char *what)
{
	uint64_t ms = (uint64_t)BACKOFF_MS << t->tries;
	unsigned char jitter = 0;

	if (!worth_it(t, r, resp) || t->tries + 1 >= TRIES_MAX || http_stopped())
		return false;
	/* So that clients which were refused together do not come back together. */
	if (getrandom(&jitter, 1, 0) == 1)
		ms += ms * jitter / 1024;
	if (r == 0 && resp->retry_after > 0)
		ms = (resp->retry_after < RETRY_AFTER_MAX ? resp->retry_after : RETRY_AFTER_MAX) *
		     1000;
	t->tries++;
	note_retry(what, ms);
	http_wait(ms);
	return !http_stopped();
}

/* --- credentials -------------------------------------------------------------------------------
 */

/* INV: nothing secret over http, but to this machine. */
static bool may_send(const struct registry *r, const char *url)
{
	return text_starts(url, "https://") || registry_is_loopback(r->host);
}

static char *basic(const struct registry_login *l)
{
	auto_free char *plain = xasprintf("%s:%s", l->user, l->secret);
	size_t n = strlen(plain);
	auto_free char *text = xcalloc(1, 4 * ((n + 2) / 3) + 1);

	EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)plain, (int)n);
	explicit_bzero(plain, n);
	return xasprintf("Basic %s", text);
}

static bool token_ok(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > TOKEN_MAX)
		return false;
	for (; *s; s++) {
		if ((unsigned char)*s <= 0x20 || (unsigned char)*s >= 0x7f)
			return false;
	}
	return true;
}

static int read_token(const struct http_response *resp, char **ret, struct err *e)
{
	const char *token;
	auto_json j = NULL;

	if (json_parse(buf_str(&resp->body), resp->body.len, &j, NULL) < 0 ||
	    (json_get_string(j, "token", &token) < 0 &&
	     json_get_string(j, "access_token", &token) < 0) ||
	    !token_ok(token))
		return err_set(e, ERR_INPUT, -EBADMSG, "its token service answered something else");
	*ret = xasprintf("Bearer %s", token);
	return 0;
}

/* Name and value for a query or a form. */
static void add_field(struct buf *b, const char *name, const char *value)
{
	auto_free char *escaped = value ? http_escape(value) : NULL;

	if (escaped)
		buf_printf(b, "%s%s=%s", b->len > 0 ? "&" : "", name, escaped);
}

/* Ask the realm for a token (Docker's token authentication; OAuth2 for identity tokens). */
static int get_token(const struct registry *r, struct http *h, const struct registry_challenge *c,
		     char **ret, struct err *e)
{
	auto_free char *scope = xasprintf("repository:%s:%s", r->repository, r->actions);
	auto_free char *authorization = NULL;
	auto_free char *url = NULL;
	auto_http_response resp = { 0 };
	struct http_request q = HTTP_REQUEST_INIT;
	auto_buf fields = BUF_INIT;
	bool send = may_send(r, c->realm) && may_send(r, r->base);
	int code;

	add_field(&fields, "service", c->service);
	add_field(&fields, "scope", scope);
	q.max = TOKEN_ANSWER_MAX;
	if (send && r->login.token) {
		add_field(&fields, "grant_type", "refresh_token");
		add_field(&fields, "client_id", "ward");
		add_field(&fields, "refresh_token", r->login.token);
		q.method = "POST";
		q.content_type = "application/x-www-form-urlencoded";
		q.body = buf_str(&fields);
		q.url = c->realm;
	} else {
		if (send && r->login.user) {
			add_field(&fields, "account", r->login.user);
			authorization = basic(&r->login);
		}
		url = xasprintf("%s%c%s", c->realm, strchr(c->realm, '?') ? '&' : '?',
				buf_str(&fields));
		q.url = url;
		q.authorization = authorization;
	}
	code = http_perform(h, &q, &resp, e);
	if (code < 0)
		return err_prefix(e, "its token service");
	if (resp.status != 200)
		return registry_failure(r, &resp, "token", e);
	return read_token(&resp, ret, e);
}

/* What the challenge demands, as a header; NULL when we have nothing to give. */
static int answer_challenge(const struct registry *r, struct http *h,
			    const struct registry_challenge *c, char **ret, struct err *e)
{
	switch (c->scheme) {
	case REGISTRY_BEARER:
		if (!registry_realm_ok(c->realm, r->base)) {
			auto_free char *shown = text_escaped(c->realm);

			return err_set(e, ERR_REFUSED, -EACCES,
				       "it sends for a token to '%.200s', which is neither "
				       "https nor the registry's host",
				       shown);
		}
		return get_token(r, h, c, ret, e);
	case REGISTRY_BASIC:
		if (r->login.user && may_send(r, r->base))
			*ret = basic(&r->login);
		return 0;
	case REGISTRY_ANONYMOUS:
	case REGISTRY_SCHEME_MAX:
	default:
		return 0;
	}
}

/*
 * A 401 of the registry's own origin: get a header for the next try.  Threads that were refused
 * together share one: `generation` is that of the header which was refused.
 */
static int authenticate(struct registry *r, struct http *h, const struct http_response *resp,
			unsigned generation, bool *ret_again, struct err *e)
{
	struct registry_challenge c = { 0 };
	char *header = NULL;
	int code = 0;

	for (size_t i = 0; i < resp->challenges.n; i++)
		(void)registry_challenge_parse(resp->challenges.v[i], &c);
	pthread_mutex_lock(&r->lock);
	if (r->generation == generation) {
		code = answer_challenge(r, h, &c, &header, e);
		if (code == 0 && header) {
			free(r->authorization);
			r->authorization = header;
			r->generation++;
		}
	}
	*ret_again = code == 0 && r->generation != generation;
	pthread_mutex_unlock(&r->lock);
	registry_challenge_clear(&c);
	return code;
}

/* --- requests ----------------------------------------------------------------------------------
 */

static char *current_authorization(struct registry *r, unsigned *ret_generation)
{
	char *copy;

	pthread_mutex_lock(&r->lock);
	copy = r->authorization ? xstrdup(r->authorization) : NULL;
	*ret_generation = r->generation;
	pthread_mutex_unlock(&r->lock);
	return copy;
}

/* To one origin, answering one challenge when it is the registry's own. */
static int request_origin(struct registry *r, struct http *h, struct http_request *q,
			  struct http_response *ret, struct err *e)
{
	bool own = registry_same_origin(q->url, r->base);

	for (int tries = 0;; tries++) {
		auto_free char *authorization = NULL;
		unsigned generation = 0;
		bool again = false;
		int code;

		if (own)
			authorization = current_authorization(r, &generation);
		q->authorization = authorization;
		code = http_perform(h, q, ret, e);
		q->authorization = NULL;
		if (code < 0 || ret->status != 401 || !own || tries > 0)
			return code;
		code = authenticate(r, h, ret, generation, &again, e);
		if (code < 0 || !again)
			return code;
	}
}

static bool is_redirect(const struct http_response *resp)
{
	return resp->location &&
	       (resp->status == 301 || resp->status == 302 || resp->status == 303 ||
		resp->status == 307 || resp->status == 308);
}

/* From https to http is a step down that nobody takes for us. */
int registry_check_step(const struct registry *r, const char *from, const char *to, struct err *e)
{
	if (text_starts(to, "https://") || (text_starts(from, "http://") && r->any_scheme))
		return 0;
	return err_set(e, ERR_REFUSED, -EACCES, "registry %s: it redirects from https to http",
		       r->host);
}

int registry_request(struct registry *r, struct http *h, struct http_request *q,
		     struct http_response *ret, struct err *e)
{
	bool reads = strcmp(q->method, "GET") == 0 || strcmp(q->method, "HEAD") == 0;
	auto_free char *url =
		q->url[0] == '/' ? xasprintf("%s%s", r->base, q->url) : xstrdup(q->url);
	const char *asked = q->url;
	int code;

	for (int redirects = 0;; redirects++) {
		char *next = NULL;

		q->url = url;
		code = request_origin(r, h, q, ret, e);
		q->url = asked;
		if (code < 0)
			return code == -ECANCELED || code == -EFBIG ? code
								    : transport_failure(r, code, e);
		if (!reads || !is_redirect(ret))
			return 0;
		if (redirects >= REDIRECTS_MAX)
			return err_set(e, ERR_INPUT, -ELOOP, "registry %s: too many redirects",
				       r->host);
		code = http_resolve(url, ret->location, &next, e);
		if (code == 0)
			code = registry_check_step(r, url, next, e);
		if (code < 0) {
			free(next);
			return code;
		}
		free(url);
		url = next;
	}
}

int registry_probe(struct registry *r, struct http *h, struct err *e)
{
	auto_free char *url = xasprintf("%s/v2/", r->base);
	struct http_request q = HTTP_REQUEST_INIT;
	auto_http_response resp = { 0 };
	int code;

	if (!r->any_scheme || r->probed)
		return 0;
	q.url = url;
	q.max = TOKEN_ANSWER_MAX;
	code = http_perform(h, &q, &resp, e);
	if (code == -EKEYREJECTED || code == -ECANCELED)
		return transport_failure(r, code, e);
	if (code < 0) {
		char *plain = xasprintf("http%s", r->base + strlen("https"));

		free(r->base);
		r->base = plain;
	}
	r->probed = true;
	return 0;
}
