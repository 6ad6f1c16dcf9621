/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ls: the list of sandboxes with their status, and --filter.
 *
 * A record that cannot be read is an entry of its own with the status "broken": one bad record
 * hides nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

static void listed_fill(struct sandbox *s, struct listed *l)
{
	struct err e = ERR_INIT;

	*l = (struct listed){ .sandbox = s };
	if (cli_spec(s, &l->spec, &e) < 0) {
		l->status = "broken";
		l->problem = xstrdup(e.message);
		return;
	}
	l->status = state_is_running(s) ? "running" : "stopped";
}

/* --- filters: each is a pure predicate over an entry and the value behind the = --------------- */

static bool by_name(const struct listed *l, const char *value)
{
	return l->spec && strstr(l->spec->name, value);
}

static bool by_id(const struct listed *l, const char *value)
{
	return text_starts(l->sandbox->id, value);
}

static bool by_agent(const struct listed *l, const char *value)
{
	return l->spec && strcmp(l->spec->agent, value) == 0;
}

static bool by_status(const struct listed *l, const char *value)
{
	return strcmp(l->status, value) == 0;
}

static bool by_workspace(const struct listed *l, const char *value)
{
	auto_free char *path = NULL;

	/* A workspace that is gone can still be asked for by its absolute path. */
	if (fs_canonical(value, &path, NULL) < 0)
		path = xstrdup(value);
	for (size_t i = 0; l->spec && i < l->spec->nworkspaces; i++) {
		if (strcmp(l->spec->workspaces[i].path, path) == 0)
			return true;
	}
	return false;
}

static bool by_label(const struct listed *l, const char *value)
{
	size_t n = strcspn(value, "=");
	auto_free char *key = xstrndup(value, n);
	auto_strv labels = STRV_INIT;
	const char *have;

	if (!l->spec)
		return false;
	strv_extend(&labels, &l->spec->labels);
	run_labels(l->spec, &labels);
	have = strv_env_get(&labels, key);
	return have && (value[n] == '\0' || strcmp(have, value + n + 1) == 0);
}

static const struct filter {
	const char *key;
	bool (*match)(const struct listed *l, const char *value);
} filters[] = {
	{ "name", by_name },	       { "id", by_id },
	{ "agent", by_agent },	       { "status", by_status },
	{ "workspace", by_workspace }, { "label", by_label },
};

static const struct filter *filter_of(const char *text, const char **ret_value)
{
	size_t n = strcspn(text, "=");

	for (size_t i = 0; text[n] == '=' && i < ARRAY_SIZE(filters); i++) {
		if (strlen(filters[i].key) == n && memcmp(filters[i].key, text, n) == 0) {
			*ret_value = text + n + 1;
			return &filters[i];
		}
	}
	return NULL;
}

static int check_filters(const struct strv *given, struct err *e)
{
	for (size_t i = 0; i < given->n; i++) {
		auto_buf shown = BUF_INIT;
		const char *value;

		if (filter_of(given->v[i], &value))
			continue;
		text_escape(&shown, given->v[i], strlen(given->v[i]), 80);
		err_set(e, ERR_USAGE, -EINVAL, "option --filter: '%s' is no filter",
			buf_str(&shown));
		return err_hint(e, "name=, id=, agent=, status=, workspace= or label=");
	}
	return 0;
}

/* Different keys must all match; of one key, any value. */
static bool passes(const struct listed *l, const struct strv *given)
{
	for (size_t k = 0; k < ARRAY_SIZE(filters); k++) {
		bool asked = false, matched = false;

		for (size_t i = 0; i < given->n; i++) {
			const char *value;

			if (filter_of(given->v[i], &value) != &filters[k])
				continue;
			asked = true;
			matched = matched || filters[k].match(l, value);
		}
		if (asked && !matched)
			return false;
	}
	return true;
}

static void listed_clear(struct listed *l)
{
	spec_free(l->spec);
	free(l->problem);
}

int cli_list(struct cli *c, struct listing *ret, struct err *e)
{
	struct listing l = { 0 };
	int r = check_filters(&c->v.filter, e);

	if (r == 0)
		r = state_list(&c->engine.paths, &l.all, &l.nall, e);
	if (r < 0)
		return r;
	l.v = xcalloc(l.nall + 1, sizeof(*l.v));
	for (size_t i = 0; i < l.nall; i++) {
		listed_fill(l.all[i], &l.v[l.n]);
		if (passes(&l.v[l.n], &c->v.filter))
			l.n++;
		else
			listed_clear(&l.v[l.n]);
	}
	*ret = l;
	return 0;
}

void cli_list_clear(struct listing *l)
{
	for (size_t i = 0; i < l->n; i++)
		listed_clear(&l->v[i]);
	free(l->v);
	if (l->all)
		state_list_free(l->all, l->nall);
	*l = (struct listing){ 0 };
}
