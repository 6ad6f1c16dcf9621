/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin_complete: completion in the way of Docker's command line.
 *
 * For `docker sandbox WORD...<TAB>` the Docker CLI calls the plugin with `__complete sandbox
 * WORD...`; the last word is the one being typed and may be empty.  The answer is one candidate a
 * line, with a tab and a description behind it, and a last line ":N" that tells the shell what it
 * may offer besides.  Which candidates there are comes from the tables; only the names of agents
 * and sandboxes are looked up, by the caller.
 *
 * Pure but for that call.
 */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

/* The bits of the last line. */
enum directive { OFFER_FILES = 0, OFFER_NOTHING_ELSE = 4, OFFER_DIRS = 16 };

struct completion {
	const char *typed; /* the beginning of the word */
	names_fn *names;
	void *arg;
	struct buf *out;
	enum directive directive;
};

static void offer(struct completion *c, const char *word, const char *what)
{
	if (!text_starts(word, c->typed))
		return;
	buf_puts(c->out, word);
	if (what)
		buf_printf(c->out, "\t%s", what);
	buf_putc(c->out, '\n');
}

static void offer_choices(struct completion *c, const char *choices)
{
	for (const char *at = choices; *at;) {
		size_t n = strcspn(at, "|");
		auto_free char *word = xstrndup(at, n);

		offer(c, word, NULL);
		at += n + (at[n] == '|');
	}
}

static void offer_verbs(struct completion *c)
{
	for (size_t i = 0; i < cli_nverbs; i++)
		offer(c, cli_verbs[i].name, cli_verbs[i].summary);
}

static void offer_kind(struct completion *c, enum complete kind)
{
	static const char *const what[COMPLETE_MAX] = {
		[COMPLETE_SANDBOX] = "sandboxes",
		[COMPLETE_AGENT] = "agents",
		[COMPLETE_AGENT_OR_SANDBOX] = "all",
	};
	auto_strv names = STRV_INIT;

	if (kind == COMPLETE_FILE)
		c->directive = OFFER_FILES;
	if (kind == COMPLETE_DIR)
		c->directive = OFFER_DIRS;
	if (kind == COMPLETE_VERB)
		offer_verbs(c);
	if (!what[kind])
		return;
	c->names(what[kind], &names, c->arg);
	for (size_t i = 0; i < names.n; i++)
		offer(c, names.v[i], NULL);
}

static void offer_options(struct completion *c, const struct verb *v)
{
	for (size_t i = 0; i < v->noptions; i++) {
		auto_free char *word = xasprintf("--%s", v->options[i].name);

		offer(c, word, v->options[i].help);
	}
}

static void offer_value(struct completion *c, const struct option *o)
{
	if (o->choices)
		offer_choices(c, o->choices);
	else
		offer_kind(c, o->complete);
}

/* The option of a complete word whose value comes in the next one, or NULL. */
static const struct option *awaits_value(const struct verb *v, const char *word)
{
	for (size_t i = 0; i < v->noptions; i++) {
		const struct option *o = &v->options[i];

		if (o->type == OPTION_FLAG || word[0] != '-')
			continue;
		if (word[1] == '-' ? strcmp(word + 2, o->name) == 0
				   : o->letter && word[1] == o->letter && !word[2])
			return o;
	}
	return NULL;
}

/* --name=VALUE being typed. */
static const struct option *has_value(struct completion *c, const struct verb *v)
{
	size_t n = strcspn(c->typed, "=");

	for (size_t i = 0; text_starts(c->typed, "--") && c->typed[n] && i < v->noptions; i++) {
		const struct option *o = &v->options[i];

		if (o->type != OPTION_FLAG && strlen(o->name) == n - 2 &&
		    memcmp(o->name, c->typed + 2, n - 2) == 0) {
			c->typed += n + 1;
			return o;
		}
	}
	return NULL;
}

/* last: the operand before the one that is typed, or NULL. */
static void offer_operand(struct completion *c, const struct verb *v, size_t before,
			  const char *last)
{
	if (before == 1 && v->agent_after && options_is_choice(v->agent_after, last))
		offer_kind(c, COMPLETE_AGENT);
	else if (v->words && before == 0)
		offer_choices(c, v->words);
	else if (before == 0 ||
		 (v->max > 2 && v->complete == COMPLETE_SANDBOX && !v->stop_at_operand))
		offer_kind(c, v->complete);
	else if (v->complete == COMPLETE_AGENT || v->complete == COMPLETE_AGENT_OR_SANDBOX)
		offer_kind(c, COMPLETE_DIR); /* workspaces */
	else if (v->max > before)
		offer_kind(c, COMPLETE_FILE);
}

void cli_plugin_complete(char *const *words, size_t n, names_fn *names, void *arg, struct buf *out)
{
	struct completion c = { .typed = n ? words[n - 1] : "",
				.names = names,
				.arg = arg,
				.out = out,
				.directive = OFFER_NOTHING_ELSE };
	const struct verb *v = n > 1 ? cli_verb_find(words[0]) : NULL;
	const struct option *o = NULL;
	const char *last = NULL;
	size_t operands = 0;
	bool options = true;

	for (size_t i = 1; v && i + 1 < n; i++) {
		bool value = o != NULL;

		o = !value && options ? awaits_value(v, words[i]) : NULL;
		if (value || o)
			continue;
		if (options && strcmp(words[i], "--") == 0) {
			options = false;
		} else if (!options || words[i][0] != '-' || !words[i][1]) {
			last = words[i];
			operands++;
		}
		if (operands && v->stop_at_operand)
			options = false;
	}
	if (n < 2)
		offer_verbs(&c);
	else if (v && !o && options)
		o = has_value(&c, v);
	if (v && o)
		offer_value(&c, o);
	else if (v && options && c.typed[0] == '-')
		offer_options(&c, v);
	else if (v)
		offer_operand(&c, v, operands, last);
	buf_printf(out, ":%d\n", (int)c.directive);
}
