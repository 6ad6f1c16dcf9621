/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context: what every operation of an engine starts from: the directories and the configuration.
 *
 * Invariant: a context is either completely filled or all zero.
 */
#include <unistd.h>

#include "engine/engine.h"

int engine_context_init(struct engine_context *ret, struct err *e)
{
	struct engine_context c = { 0 };
	int r;

	r = state_paths_init(&c.paths, e);
	if (r < 0)
		return r;
	r = spec_config_read(c.paths.config, &c.config, e);
	if (r < 0) {
		engine_context_clear(&c);
		return r;
	}
	*ret = c;
	return 0;
}

void engine_release_template(struct engine_context *c)
{
	if (c->template_lock > 0)
		close(c->template_lock);
	c->template_lock = 0;
}

void engine_context_clear(struct engine_context *c)
{
	state_paths_clear(&c->paths);
	spec_config_free(c->config);
	engine_release_template(c);
	*c = (struct engine_context){ 0 };
}
