/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_template_agent: `template build AGENT[@VERSION]`: the agent's template out of this machine's
 * own package sources, under the name that the choice of a template finds.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

/* --- Ctrl-C: the boxes are removed before the end ------------------------------------------- */

static volatile sig_atomic_t stopped_by;

static void on_signal(int signo)
{
	stopped_by = signo;
}

static bool is_stopped(void)
{
	return stopped_by != 0;
}

static void watch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = on_signal };

	(void)sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)sigaction(signals[i], &sa, NULL);
}

/* --- the agent -------------------------------------------------------------------------------- */

/* What npm takes as a version or a tag; it becomes a word of a command. */
static bool version_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= 64 && s[0] != '-' &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-+_") == n;
}

static int not_in_npm(const struct kit *k, struct err *e)
{
	err_set(e, ERR_REFUSED, -EOPNOTSUPP,
		"template build %s: templates are made of what apt and npm have, and npm does not "
		"have this agent",
		k->name);
	return err_hint(e, "install it (%s) and use it with: ward run -t host %s", k->install_hint,
			k->name);
}

static void say_left_out(const struct engine_packages *p)
{
	for (size_t i = 0; i < p->left_out.n; i++)
		term_warn("%s", p->left_out.v[i]);
}

/* What the new template replaced, and documents that were used on the way. While somebody pulls, it
 * waits for the next time. */
static void collect(struct cli *c)
{
	auto_image_store s = { .fd = -1 };

	if (image_store_open(c->engine.paths.data, &s, NULL) == 0)
		(void)template_gc(c, &s, IMAGE_GC_KEEP_PARTIAL, false, NULL, NULL);
}

static int make(struct cli *c, const struct kit *k, const char *version, char **ret_digest,
		struct err *e)
{
	auto_engine_packages packages = { 0 };
	auto_free char *name = template_agent_name(k->name);
	auto_free char *base = NULL;
	auto_image_ref ref = { 0 };
	auto_free char *reference = NULL;
	int r = image_ref_parse(name, &ref, e);

	if (r == 0)
		r = engine_packages_find(&c->engine, &packages, e);
	if (r < 0)
		return err_prefix(e, "template build %s", k->name);
	reference = image_ref_canonical(&ref);
	base = xasprintf("localhost/ward/base:%s", packages.codename);
	say_left_out(&packages);
	watch_signals();
	r = engine_template_make(&c->engine,
				 &(struct engine_make){ .packages = &packages,
							.agent = k->name,
							.npm = k->npm,
							.version = version,
							.binary = k->binary,
							.reference = reference,
							.base = base,
							.anew = c->v.no_cache,
							.interrupted = is_stopped },
				 ret_digest, e);
	collect(c);
	if (r < 0)
		return err_prefix(e, "template build %s", k->name);
	term_note(c, "%s was built; 'ward run %s' takes it from now on", name, k->name);
	return 0;
}

int template_build_agent(struct cli *c, const char *word, struct err *e)
{
	const char *at = strchr(word, '@');
	auto_free char *agent = at ? xstrndup(word, (size_t)(at - word)) : xstrdup(word);
	const char *version = at ? at + 1 : NULL;
	auto_free char *digest = NULL;
	auto_buf out = BUF_INIT;
	struct kit *k = NULL;
	int r;

	if (version && !version_ok(version)) {
		auto_free char *shown = text_escaped(version);

		return err_set(e, ERR_USAGE, -EINVAL, "template build: '%s' is no version", shown);
	}
	r = run_kit_load(c, agent, NULL, NULL, &k, e);
	if (r < 0)
		return r;
	/* Without a way to install it, a kit's program is one of the usual ones. */
	if (!k->npm && k->install_hint)
		r = not_in_npm(k, e);
	else
		r = make(c, k, version, &digest, e);
	kit_free(k);
	if (r == -EINTR && stopped_by) {
		term_error(e);
		return 128 + (int)stopped_by;
	}
	if (r < 0)
		return r;
	buf_printf(&out, "%s\n", digest);
	return term_out(&out, e);
}
