/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apt_sources: the repositories that apt uses on this machine, as sources.list(5) describes them.
 *
 * Only what a system of the same distribution is made from is of interest, so options that choose
 * architectures, languages or targets are passed over.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "engine/packages_internal.h"

static void source_clear(struct apt_source *s)
{
	free(s->uri);
	free(s->suite);
	free(s->key);
	free(s->key_text);
	strv_free(&s->components);
}

void apt_sources_clear(struct apt_sources *s)
{
	for (size_t i = 0; i < s->n; i++)
		source_clear(&s->v[i]);
	free(s->v);
	*s = (struct apt_sources){ 0 };
}

/* What is written once and means every combination. */
struct entry {
	struct strv types;
	struct strv uris;
	struct strv suites;
	struct strv components;
	char *key;
	char *key_text;
	bool disabled;
};

static void entry_clear(struct entry *d)
{
	strv_free(&d->types);
	strv_free(&d->uris);
	strv_free(&d->suites);
	strv_free(&d->components);
	free(d->key);
	free(d->key_text);
	*d = (struct entry){ 0 };
}

static void add_entry(const struct entry *d, struct apt_sources *s)
{
	if (d->disabled || !strv_contains(&d->types, "deb"))
		return;
	for (size_t u = 0; u < d->uris.n; u++) {
		for (size_t i = 0; i < d->suites.n && s->n < APT_SOURCES_MAX; i++) {
			struct apt_source *new;

			s->v = xrealloc(s->v, s->n + 1, sizeof(*s->v));
			new = &s->v[s->n++];
			*new = (struct apt_source){ .uri = xstrdup(d->uris.v[u]),
						    .suite = xstrdup(d->suites.v[i]) };
			strv_extend(&new->components, &d->components);
			new->key = d->key ? xstrdup(d->key) : NULL;
			new->key_text = d->key_text ? xstrdup(d->key_text) : NULL;
		}
	}
}

/* The next word of *at, or NULL. Owned by the caller. */
static char *next_word(const char **at)
{
	const char *from = *at + strspn(*at, " \t\n");
	size_t n = strcspn(from, " \t\n");

	*at = from + n;
	return n ? xstrndup(from, n) : NULL;
}

static void add_words(const char *text, struct strv *ret)
{
	char *word;

	while ((word = next_word(&text)))
		strv_take(ret, word);
}

/* Paths and fingerprints, separated by commas or blanks: the first path. */
static void set_key(struct entry *d, const char *value)
{
	const char *path = value[0] == '/' ? value : strstr(value, ",/");

	if (d->key || !path)
		return;
	path += path[0] == ',';
	d->key = xstrndup(path, strcspn(path, ", \t\n"));
}

/* --- one line for each ------------------------------------------------------------------------ */

/* deb [NAME=VALUE ...] URI SUITE COMPONENT... */
static void parse_line(const char *line, struct apt_sources *s)
{
	struct entry d = { 0 };
	const char *at = line;
	char *type = next_word(&at);
	char *word;

	if (!type)
		return;
	strv_take(&d.types, type);
	at += strspn(at, " \t");
	if (*at == '[') {
		const char *end = strchr(at, ']');
		auto_free char *options = end ? xstrndup(at + 1, (size_t)(end - at - 1)) : NULL;
		const char *o = options;

		at = end ? end + 1 : "";
		while (o && (word = next_word(&o))) {
			if (strncasecmp(word, "signed-by=", 10) == 0)
				set_key(&d, word + 10);
			free(word);
		}
	}
	if ((word = next_word(&at)))
		strv_take(&d.uris, word);
	if ((word = next_word(&at)))
		strv_take(&d.suites, word);
	add_words(at, &d.components);
	add_entry(&d, s);
	entry_clear(&d);
}

/* --- deb822 ----------------------------------------------------------------------------------- */

/* Lines that go on begin with a blank; a lone dot stands for an empty one. */
static void add_key_text(struct entry *d, const char *value)
{
	auto_buf text = BUF_INIT;

	for (const char *at = value; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		size_t n = strcspn(at, "\n");
		size_t skip = strspn(at, " \t");

		skip = skip < n ? skip : n;
		if (n - skip != 1 || at[skip] != '.')
			buf_add(&text, at + skip, n - skip);
		buf_putc(&text, '\n');
	}
	d->key_text = buf_steal(&text);
}

static void set_field(struct entry *d, const char *name, const char *value)
{
	const char *from = value + strspn(value, " \t\n");

	if (strcasecmp(name, "types") == 0)
		add_words(value, &d->types);
	else if (strcasecmp(name, "uris") == 0)
		add_words(value, &d->uris);
	else if (strcasecmp(name, "suites") == 0)
		add_words(value, &d->suites);
	else if (strcasecmp(name, "components") == 0)
		add_words(value, &d->components);
	else if (strcasecmp(name, "enabled") == 0)
		d->disabled = strncasecmp(from, "no", 2) == 0 || strncasecmp(from, "fal", 3) == 0;
	else if (strcasecmp(name, "signed-by") == 0 && text_starts(from, "-----BEGIN"))
		add_key_text(d, from);
	else if (strcasecmp(name, "signed-by") == 0)
		set_key(d, from);
}

/* The lines of one field, gathered until the next one begins. */
static void end_field(struct entry *d, struct buf *field)
{
	char *colon = field->len ? strchr(field->data, ':') : NULL;

	if (colon) {
		*colon = '\0';
		set_field(d, field->data, colon + 1);
	}
	buf_reset(field);
}

static void parse_deb822(const char *text, struct apt_sources *s)
{
	struct entry d = { 0 };
	auto_buf field = BUF_INIT;

	for (const char *at = text; *at;) {
		size_t n = strcspn(at, "\n");
		bool empty = strspn(at, " \t") >= n;

		if (at[0] != '#' && (empty || !isblank((unsigned char)at[0])))
			end_field(&d, &field);
		if (empty) {
			add_entry(&d, s);
			entry_clear(&d);
		} else if (at[0] != '#') {
			buf_add(&field, at, n);
			buf_putc(&field, '\n');
		}
		at += n + (at[n] == '\n');
	}
	end_field(&d, &field);
	add_entry(&d, s);
	entry_clear(&d);
}

void apt_sources_parse(const char *text, size_t n, bool deb822, struct apt_sources *s)
{
	auto_free char *copy = xstrndup(text, n); /* ends at a NUL byte */

	if (deb822) {
		parse_deb822(copy, s);
		return;
	}
	for (char *at = copy; at && *at;) {
		char *end = strchr(at, '\n');

		if (end)
			*end = '\0';
		at[strcspn(at, "#")] = '\0';
		parse_line(at, s);
		at = end ? end + 1 : NULL;
	}
}

/* --- which ones ------------------------------------------------------------------------------- */

bool apt_source_is_of(const struct apt_source *s, const char *codename)
{
	static const char *const pockets[] = { "",	   "-updates",	 "-security",
					       "/updates", "-backports", "-backports-sloppy",
					       "-lts" };
	size_t n = strlen(codename);

	if (strncmp(s->suite, codename, n) != 0 || !strv_contains(&s->components, "main"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(pockets); i++)
		if (strcmp(s->suite + n, pockets[i]) == 0)
			return true;
	return false;
}

char *apt_config_value(const char *dump, const char *key)
{
	size_t n = strlen(key);

	for (const char *at = dump; at && *at; at = strchr(at, '\n'), at += at != NULL) {
		const char *end = at + strcspn(at, "\n");

		if (strncasecmp(at, key, n) != 0 || !text_starts(at + n, " \"") || end - at < 4 ||
		    end[-1] != ';' || end[-2] != '"')
			continue;
		at += n + 2;
		return end - 2 > at ? xstrndup(at, (size_t)(end - 2 - at)) : NULL;
	}
	return NULL;
}
