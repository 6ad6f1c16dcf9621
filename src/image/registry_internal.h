/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_internal: the files of ward-registry, the program that talks to registries.
 *
 *   registry_challenge.c  WWW-Authenticate, and which realm may see credentials; pure
 *   registry_config.c     Docker's config.json; pure
 *   registry_login.c      whose credentials, from files and credential helpers
 *   registry_http.c       one request over libcurl, without redirects
 *   registry_client.c     a registry: transport, tokens, redirects, retries
 *   registry_blob.c       downloading blobs, several at a time, resumed
 *   registry_fetch.c      the verb fetch
 *   registry_push.c       the verb push
 *   registry_confine.c    what it gives up before it connects
 *
 * Protocol: OCI distribution-spec 1.1; tokens as Docker's registry documents them.
 */
#ifndef WARD_IMAGE_REGISTRY_INTERNAL_H
#define WARD_IMAGE_REGISTRY_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "image/image.h"

/* --- registry_challenge.c: pure ----------------------------------------------------------------
 */

enum registry_scheme { REGISTRY_ANONYMOUS, REGISTRY_BASIC, REGISTRY_BEARER, REGISTRY_SCHEME_MAX };

struct registry_challenge {
	enum registry_scheme scheme;
	char *realm; /* bearer: where tokens are made; never NULL then */
	char *service;
};
void registry_challenge_clear(struct registry_challenge *c);
/*
 * Take the value of one WWW-Authenticate header into *c: RFC 9110, section 11.6.1.  A bearer
 * challenge is preferred to a basic one; schemes that we do not know are passed over.  -EBADMSG for
 * what is malformed or has control characters; *c is as it was then.
 */
int registry_challenge_parse(const char *value, struct registry_challenge *c);
/*
 * May credentials for the registry at `base` ("https://host[:port]") be sent to `realm`?  Over
 * https to whom the registry names; over http only when the registry is spoken to in that way, and
 * on the same host.
 */
bool registry_realm_ok(const char *realm, const char *base);
/* Scheme, host and port of both are the same. */
bool registry_same_origin(const char *url, const char *base);
/* "localhost", 127.0.0.0/8 or [::1], with or without a port. */
bool registry_is_loopback(const char *host);

/* --- registry_config.c: pure -------------------------------------------------------------------
 */

struct registry_login {
	char *user; /* NULL: none */
	char *secret;
	char *token; /* an identity token in place of both; NULL: none */
};
void registry_login_clear(struct registry_login *l);
/*
 * What config.json says about a host ("docker.io", "localhost:5000"): *ret_helper is the name of a
 * credential helper to ask first (owned) or NULL, *ret what stands in the file itself.
 */
int registry_config_find(const char *text, size_t n, const char *host, char **ret_helper,
			 struct registry_login *ret, struct err *e);
/* The answer of a credential helper. */
int registry_helper_answer(const char *text, size_t n, struct registry_login *ret, struct err *e);
/* The name under which credentials of a host are kept. Borrowed. */
const char *registry_login_key(const char *host);

/* --- registry_login.c --------------------------------------------------------------------------
 */

/* From $DOCKER_CONFIG or ~/.docker. Nothing configured is no error. */
int registry_login_find(const char *host, struct registry_login *ret, struct err *e);

/* --- registry_http.c ---------------------------------------------------------------------------
 */

struct http; /* a connection cache; one for each thread */
int http_global_init(struct err *e);
/* ca: certificates in PEM that are trusted besides the system's, or NULL; borrowed. */
struct http *http_new(const struct buf *ca);
void http_free(struct http *h);

struct http_response {
	long status;
	char *content_type;
	char *digest; /* Docker-Content-Digest */
	char *location;
	char *content_range;
	uint64_t retry_after;	/* seconds; 0: not said */
	struct strv challenges; /* WWW-Authenticate */
	struct buf body;	/* of errors, and where the request has no sink */
};
void http_response_clear(struct http_response *r);
#define auto_http_response __attribute__((cleanup(http_response_clear))) struct http_response

struct http_request {
	const char *method;
	const char *url;
	const char *authorization; /* NULL: none */
	const char *accept;	   /* NULL: anything */
	const char *content_type;  /* of the body */
	uint64_t from;		   /* Range: bytes=from- */
	const char *body;	   /* NULL: none */
	int body_fd;		   /* with a body of body_size bytes from offset 0; -1: none */
	uint64_t body_size;
	size_t max; /* bytes of the answer that are kept; more is -EFBIG */
	/* Bytes of a 2xx answer, in place of response.body. `resp` has its head. */
	int (*sink)(const struct http_response *resp, const void *bytes, size_t n, void *arg,
		    struct err *e);
	void (*sent)(uint64_t bytes, void *arg); /* progress of the body */
	void *arg;
};
#define HTTP_REQUEST_INIT ((struct http_request){ .method = "GET", .body_fd = -1 })

/*
 * One request and its answer, whatever its status.  Failures: -EAGAIN: the connection broke,
 * another try may help; -ECONNREFUSED, -EHOSTUNREACH: there is nobody; -EPROTO: no TLS is spoken
 * there; -EKEYREJECTED: its certificate is not trusted; what the sink said; -ECANCELED: http_stop.
 */
int http_perform(struct http *h, const struct http_request *q, struct http_response *ret,
		 struct err *e);
/* The absolute URL of a Location. -EINVAL for what is no http or https URL. */
int http_resolve(const char *base, const char *location, char **ret, struct err *e);
char *http_escape(const char *s); /* for a query; owned by the caller */
/* End all requests of this process, and every wait. */
void http_stop(void);
void http_resume(void); /* forget that, when no thread is left */
bool http_stopped(void);
/* Wait, or until http_stop. */
void http_wait(uint64_t ms);

/* --- registry_client.c -------------------------------------------------------------------------
 */

struct registry {
	char *host; /* the name in references, for credentials and messages */
	char *base; /* "https://host:port" */
	char *repository;
	char *actions;	 /* "pull", "pull,push" */
	bool any_scheme; /* http may be tried */
	bool probed;
	struct buf ca;
	struct registry_login login;
	pthread_mutex_t lock; /* for what follows */
	char *authorization;  /* header that worked last; NULL: none was asked for */
	unsigned generation;  /* of authorization */
};

/* The configuration of one registry, from the request of `ward`. */
struct registry_config {
	const char *host;
	bool insecure;
	const char *ca;		/* file */
	const char *company_ca; /* another one, for every registry */
};
/* Before the process is confined: reads certificates and credentials. */
int registry_new(const struct registry_config *c, const char *repository, const char *actions,
		 struct registry **ret, struct err *e);
/* The entry of a host in the list "registries" of a request, or NULL. */
const struct json *registry_config_of(const struct json *registries, const char *host);
/* The same with what a request says about the host: its list "registries", and "ca". */
int registry_open(const struct json *request, const char *host, const char *repository,
		  const char *actions, struct registry **ret, struct err *e);
void registry_free(struct registry *r);
/* Find out which transport it speaks, if there is a choice. */
int registry_probe(struct registry *r, struct http *h, struct err *e);
/*
 * A request to `path` of the registry ("/v2/..."; or an absolute URL that it named), with tokens as
 * it wants and redirects followed: credentials go to its own origin only.  Once, without retries.
 */
int registry_request(struct registry *r, struct http *h, struct http_request *q,
		     struct http_response *ret, struct err *e);
/* May a request go on from one address to the next? Not from https to http. */
int registry_check_step(const struct registry *r, const char *from, const char *to, struct err *e);
/* What an answer that is not 2xx means; never 0. `what` is the thing that was asked for. */
int registry_failure(const struct registry *r, const struct http_response *resp, const char *what,
		     struct err *e);

struct registry_retry {
	unsigned tries; /* in vain, one after the other */
	bool answered;	/* it was there before: that it cannot be reached may pass */
};
/* After a failure (r < 0) or an answer: wait and return true when another try makes sense. */
bool registry_again(struct registry_retry *t, int r, const struct http_response *resp,
		    const char *what);

/* --- registry_blob.c ---------------------------------------------------------------------------
 */

struct registry_store { /* from `ward` */
	int blobs;	/* blobs/sha256 */
};
bool registry_store_has(const struct registry_store *s, const char *digest, uint64_t size);
/* Commit a document whose digest was checked. */
int registry_store_put(const struct registry_store *s, const char *digest, const struct buf *text,
		       struct err *e);
/* Read a document of the store. */
int registry_store_get(const struct registry_store *s, const char *digest, struct buf *out,
		       struct err *e);
/* "sha256:…" of some bytes. */
void registry_digest(const void *bytes, size_t n, char out[static IMAGE_DIGEST_LEN + 1]);
/* Tell `ward` how a blob is getting on: an event "blob". */
void registry_tell(const struct image_descriptor *d, const char *state, uint64_t have);
/* Download what is missing; every blob is complete and verified afterwards, or it is an error. */
int registry_blobs(struct registry *r, const struct registry_store *s,
		   const struct image_descriptor *v, size_t n, uint64_t *ret_bytes, struct err *e);

/* --- registry_confine.c ------------------------------------------------------------------------
 */

int registry_confine(const struct registry_store *s, bool writes, struct err *e);

/* --- verbs -------------------------------------------------------------------------------------
 */

int registry_fetch(const struct json *request, struct json **ret, struct err *e);
int registry_push(const struct json *request, struct json **ret, struct err *e);

#endif
