/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy: the HTTP or SOCKS proxy of the user's company: its address, which one is for what, and
 * which hosts need none.  Pure.
 *
 * Addresses hold passwords.  No message of these functions quotes one, and proxy_url_text leaves
 * user and password out unless it is asked for them.
 */
#ifndef WARD_BASE_PROXY_H
#define WARD_BASE_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum proxy_scheme {
	PROXY_NONE, /* no proxy */
	PROXY_HTTP,
	PROXY_HTTPS,  /* TLS to the proxy itself */
	PROXY_SOCKS5, /* also for socks5h: names are always resolved by the proxy */
	PROXY_SCHEME_MAX
};

enum { PROXY_HOST_MAX = 253, PROXY_LOGIN_MAX = 255, PROXY_TEXT_MAX = 64 << 10 };

struct proxy_url {
	enum proxy_scheme scheme;
	char *host; /* lower case, without brackets */
	uint16_t port;
	char *user, *password; /* decoded; both NULL: none */
};
/*
 * "[SCHEME://][USER[:PASSWORD]@]HOST[:PORT][/]"; without a scheme http.  -EINVAL with e, which says
 * what is wrong and not what stands there.
 */
int proxy_url_parse(const char *text, struct proxy_url *ret, struct err *e);
void proxy_url_clear(struct proxy_url *u);
/* Canonical, with its port. */
void proxy_url_text(const struct proxy_url *u, bool with_login, struct buf *out);

/* Which connections a proxy is for. */
enum proxy_use {
	PROXY_FOR_HTTP,	 /* requests of plain HTTP */
	PROXY_FOR_TLS,	 /* tunnels to port 443 */
	PROXY_FOR_OTHER, /* tunnels to other ports */
	PROXY_USE_MAX
};
struct proxies {
	struct proxy_url v[PROXY_USE_MAX];
	char *no_proxy; /* NULL: every host needs it */
	char *ca;	/* a file whose certificates may sign that of the proxy, or NULL */
};
void proxies_clear(struct proxies *p);
#define auto_proxies __attribute__((cleanup(proxies_clear))) struct proxies
bool proxies_any(const struct proxies *p);
/* Does one of them speak TLS? */
bool proxies_need_tls(const struct proxies *p);
/*
 * From the variables of an environment, as curl reads them: http_proxy (in lower case only),
 * https_proxy, all_proxy and no_proxy; of two spellings the one in lower case.  -EINVAL with e,
 * which names the variable.
 */
int proxies_from_env(char *const *env, struct proxies *ret, struct err *e);
/* One for everything; url "none": none, whatever the environment says. -EINVAL with e. */
int proxies_from_url(const char *url, struct proxies *ret, struct err *e);
/* As variables that programs of ours get (libcurl); unset where there is no proxy. */
void proxies_to_env(const struct proxies *p, struct strv *env);
/* The text form that ward-proxy gets, passwords included, and back. */
void proxies_write(const struct proxies *p, struct buf *out);
int proxies_read(const char *text, size_t n, struct proxies *ret, struct err *e);

/*
 * Does the list exempt the host?  Entries, with commas or blanks between: NAME (and all below it;
 * a dot or "*." in front changes nothing), ADDRESS, BLOCK/BITS, "*", each with an optional :PORT.
 * What does not parse matches nothing.  host: a canonical name, or an address without brackets.
 */
bool proxy_exempt(const char *no_proxy, const char *host, uint16_t port);

#endif
