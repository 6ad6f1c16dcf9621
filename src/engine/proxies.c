/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxies: what of the user's surroundings says how this machine reaches the network.
 *
 * It is read anew at every start, because people carry their machine from the office home.  The
 * passwords in it go to the processes that use them through sealed memory or an environment of
 * their own, and into no file.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "engine/engine.h"

int engine_proxies(const struct engine_context *c, struct proxies *ret, struct err *e)
{
	const struct spec_config *config = c->config;
	auto_proxies p = { 0 };
	auto_proxies env = { 0 };
	int r;

	if (config->ca && config->ca[0] != '/')
		return err_set(e, ERR_INPUT, -EINVAL, "config.yaml: 'ca' must be an absolute path");
	if (config->proxy) {
		r = proxies_from_url(config->proxy, &p, e);
		if (r < 0)
			return err_prefix(e, "config.yaml: proxy");
		/* What needs none is often known to the environment only. */
		if (!config->no_proxy && proxies_from_env(environ, &env, NULL) == 0)
			p.no_proxy = steal(&env.no_proxy);
	} else {
		r = proxies_from_env(environ, &p, e);
		if (r < 0) {
			err_prefix(e, "the proxy of this machine");
			return err_hint(e, "correct that variable, or set proxy in config.yaml");
		}
	}
	if (config->no_proxy) {
		free(p.no_proxy);
		p.no_proxy = xstrdup(config->no_proxy);
	}
	p.ca = config->ca ? xstrdup(config->ca) : NULL;
	*ret = p;
	p = (struct proxies){ 0 };
	return 0;
}
