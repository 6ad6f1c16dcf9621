/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runkit: --kit and --kit-arg of run and create.
 *
 * A sandbox keeps its own copy of every kit that it was made with, and its arguments.  So there are
 * two places that say what an agent is: this command line, for a sandbox that is made now, and the
 * sandbox's directory, for one that is there.
 */
#include <errno.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

void run_kits_clear(struct run_kits *k)
{
	for (size_t i = 0; i < k->n; i++)
		kit_bundle_free(k->v[i]);
	free(k->v);
	*k = (struct run_kits){ 0 };
}

static int read_bundles(const struct strv *paths, struct run_kits *ret, struct err *e)
{
	struct run_kits k = { .v = xcalloc(paths->n + 1, sizeof(*k.v)) };
	int r = 0;

	for (size_t i = 0; r == 0 && i < paths->n; i++) {
		r = kit_bundle_read(paths->v[i], &k.v[i], e);
		k.n += r == 0;
	}
	if (r < 0) {
		run_kits_clear(&k);
		return r;
	}
	*ret = k;
	return 0;
}

/* What this command line says, and behind it what the sandbox was made with (may be NULL). */
static void extras_of(const struct cli *c, const struct sandbox *box, const struct spec *spec,
		      struct kit_extras *ret)
{
	struct kit_extras stored = { 0 };

	if (box)
		kit_extras_of(spec, box->dir, &stored);
	strv_extend(&ret->dirs, c->v.kit.n ? &c->v.kit : &stored.dirs);
	strv_extend(&ret->args, c->v.kit_arg.n ? &c->v.kit_arg : &stored.args);
	kit_extras_clear(&stored);
}

int run_kit_load(const struct cli *c, const char *agent, const struct sandbox *box,
		 const struct spec *spec, struct kit **ret, struct err *e)
{
	struct kit_extras extras = { 0 };
	int r;

	if (box && !c->v.recreate)
		kit_extras_of(spec, box->dir, &extras);
	else
		extras_of(c, box, spec, &extras);
	r = kit_load(agent, c->engine.paths.config, &extras, ret, e);
	kit_extras_clear(&extras);
	return r;
}

int run_kits_read(const struct cli *c, const struct sandbox *box, const struct spec *old,
		  struct run_kits *kits, struct spec *s, struct err *e)
{
	struct kit_extras extras = { 0 };
	struct run_kits read = { 0 };
	int r;

	extras_of(c, box, old, &extras);
	r = read_bundles(&extras.dirs, &read, e);
	if (r == 0) {
		run_kits_clear(kits);
		*kits = read;
		strv_free(&s->kits);
		strv_free(&s->kit_args);
		for (size_t i = 0; i < kits->n; i++)
			strv_add(&s->kits, kit_bundle_name(kits->v[i]));
		strv_extend(&s->kit_args, &extras.args);
	}
	kit_extras_clear(&extras);
	return r;
}

int run_kits_differ(const struct cli *c, const struct sandbox *box, const struct spec *old,
		    bool *ret, struct err *e)
{
	struct kit_extras stored = { 0 };
	struct run_kits given = { 0 }, kept = { 0 };
	int r;

	*ret = false;
	if (c->v.kit.n == 0)
		return 0;
	kit_extras_of(old, box->dir, &stored);
	r = read_bundles(&c->v.kit, &given, e);
	if (r == 0) {
		/* A copy that cannot be read any more is not what was given. */
		*ret = given.n != stored.dirs.n || read_bundles(&stored.dirs, &kept, NULL) < 0;
		for (size_t i = 0; !*ret && i < given.n; i++)
			*ret = strcmp(kit_bundle_name(given.v[i]), old->kits.v[i]) != 0 ||
			       !kit_bundle_equal(given.v[i], kept.v[i]);
	}
	run_kits_clear(&given);
	run_kits_clear(&kept);
	kit_extras_clear(&stored);
	return r;
}
