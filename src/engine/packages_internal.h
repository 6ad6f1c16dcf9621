/* SPDX-License-Identifier: Apache-2.0 */
/* packages_internal: the configuration of apt and of npm, read.  Pure. */
#ifndef WARD_ENGINE_PACKAGES_INTERNAL_H
#define WARD_ENGINE_PACKAGES_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum { APT_SOURCES_MAX = 1024, APT_NAME_MAX = 4096 };

/* --- apt_sources.c -----------------------------------------------------------------------------
 */

/* One repository of sources.list(5): a type `deb`, one URI, one suite. */
struct apt_source {
	char *uri;
	char *suite;
	struct strv components;
	char *key;	/* Signed-By: an absolute path; or NULL */
	char *key_text; /* Signed-By: the key itself; or NULL */
};
struct apt_sources {
	struct apt_source *v;
	size_t n; /* at most APT_SOURCES_MAX */
};
void apt_sources_clear(struct apt_sources *s);
#define auto_apt_sources __attribute__((cleanup(apt_sources_clear))) struct apt_sources
/* Append what a file says: deb822 (NAME.sources), or one line for each (NAME.list). What is no
 * repository of binaries, is disabled or is not understood is left out. */
void apt_sources_parse(const char *text, size_t n, bool deb822, struct apt_sources *s);
/* Is it one of the distribution's own of that release, and not somebody else's? */
bool apt_source_is_of(const struct apt_source *s, const char *codename);
/* The value of `key` in what `apt-config dump` prints, or NULL. Owned by the caller. */
char *apt_config_value(const char *dump, const char *key);

/* --- npm_config.c ------------------------------------------------------------------------------
 */

/* What of npm's configuration says where packages come from: never who asks. */
struct npm_config {
	char *registry;	    /* http or https, with a slash at the end; NULL: npm's own */
	struct strv scopes; /* "@scope:registry=URL" */
	char *cafile;
	char *ca; /* certificates, PEM */
	char *https_proxy;
	bool insecure;	 /* strict-ssl=false */
	struct strv bad; /* what is left out because there is a password in it: names of keys */
};
void npm_config_clear(struct npm_config *c);
#define auto_npm_config __attribute__((cleanup(npm_config_clear))) struct npm_config
/* Add what an npmrc file says; what is set already stays. ${NAME} is taken from `env` ("K=V"). */
void npm_config_parse(const char *text, size_t n, char *const *env, struct npm_config *c);
/* The same for variables npm_config_KEY. */
void npm_config_env(char *const *env, struct npm_config *c);

/* --- urls --------------------------------------------------------------------------------------
 */

/* "HOST:PORT" of an http or https URL without user, password and query; NULL: it is none. Owned. */
char *package_url_rule(const char *url);

#endif
