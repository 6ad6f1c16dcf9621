/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kit_merge: joining kits.
 *
 * A kit that extends another one, and a mixin that is added to an agent, go through the same few
 * rules, which docs/kits.md states field by field: single values replace, lists of commands and
 * network patterns append, lists of things that have a key (a path, a service, a port) append, and
 * replace what has the same key; variables merge by name; instructions append.  A mixin takes part
 * only in what does not belong to the launch.
 *
 * Parts give their members away: a pointer is moved, never shared, so that every kit is freed by
 * itself.
 */
#include <errno.h>
#include <stddef.h>

#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

/* --- what a kit is made of ------------------------------------------------------------------- */

static void credential_clear(void *object)
{
	struct kit_credential *c = object;

	free(c->service);
	free(c->description);
	free(c->env_name);
	free(c->credential_file);
	json_unref(c->raw);
}

static void command_clear(void *object)
{
	struct kit_command *c = object;

	strv_free(&c->argv);
	free(c->user);
}

static void file_clear(void *object)
{
	struct kit_file *f = object;

	free(f->path);
	free(f->content);
}

static void volume_clear(void *object)
{
	struct kit_volume *v = object;

	free(v->path);
	free(v->type);
}

static void port_clear(void *object)
{
	struct kit_port *p = object;

	free(p->protocol);
	free(p->name);
}

static void user_config_clear(void *object)
{
	struct kit_user_config *u = object;

	free(u->path);
	strv_free(&u->keys);
}

static bool same_credential(const void *a, const void *b)
{
	const struct kit_credential *x = a, *y = b;

	return strcmp(x->service, y->service) == 0;
}

static bool same_file(const void *a, const void *b)
{
	const struct kit_file *x = a, *y = b;

	return strcmp(x->path, y->path) == 0;
}

static bool same_volume(const void *a, const void *b)
{
	const struct kit_volume *x = a, *y = b;

	return strcmp(x->path, y->path) == 0;
}

static bool same_port(const void *a, const void *b)
{
	const struct kit_port *x = a, *y = b;

	return x->container == y->container && strcmp(x->protocol, y->protocol) == 0;
}

static bool same_user_config(const void *a, const void *b)
{
	const struct kit_user_config *x = a, *y = b;

	return strcmp(x->path, y->path) == 0;
}

/* A list of objects: where it is in the kit, and when two of them are the same thing. */
#define OBJECTS(member, type, is_same, clear_one)                                                  \
	{                                                                                          \
		offsetof(struct kit, member), offsetof(struct kit, n##member), sizeof(type),       \
			is_same, clear_one                                                         \
	}
static const struct object_list {
	size_t array;
	size_t count;
	size_t size;
	bool (*same)(const void *a, const void *b); /* NULL: never */
	void (*clear)(void *object);
} object_lists[] = {
	OBJECTS(credentials, struct kit_credential, same_credential, credential_clear),
	OBJECTS(install, struct kit_command, NULL, command_clear),
	OBJECTS(startup, struct kit_command, NULL, command_clear),
	OBJECTS(files, struct kit_file, same_file, file_clear),
	OBJECTS(volumes, struct kit_volume, same_volume, volume_clear),
	OBJECTS(ports, struct kit_port, same_port, port_clear),
	OBJECTS(user_config, struct kit_user_config, same_user_config, user_config_clear),
};

enum rule {
	RULE_OWN,     /* of this kit alone */
	RULE_REPLACE, /* a given one replaces that of the kit it extends */
	RULE_APPEND,  /* behind those of the kit it extends or is mixed into */
	RULE_ENV,     /* "K=V": by name */
};
#define MEMBER(name, rule_of)                                                                      \
	{                                                                                          \
		offsetof(struct kit, name), rule_of                                                \
	}
struct member {
	size_t offset;
	enum rule rule;
};

static const struct member texts[] = {
	MEMBER(origin, RULE_REPLACE),	    MEMBER(kind, RULE_OWN),
	MEMBER(name, RULE_REPLACE),	    MEMBER(version, RULE_REPLACE),
	MEMBER(display_name, RULE_REPLACE), MEMBER(description, RULE_REPLACE),
	MEMBER(image, RULE_REPLACE),	    MEMBER(extends, RULE_REPLACE),
	MEMBER(requires_agent, RULE_OWN),   MEMBER(instructions_file, RULE_REPLACE),
	MEMBER(instructions, RULE_APPEND),  MEMBER(binary, RULE_REPLACE),
	MEMBER(install_hint, RULE_REPLACE), MEMBER(npm, RULE_REPLACE),
};

static const struct member lists[] = {
	MEMBER(entrypoint, RULE_REPLACE),
	MEMBER(command_default, RULE_OWN), /* may be given and empty: see kit_part_extend */
	MEMBER(command_interactive, RULE_OWN),
	MEMBER(net_allow, RULE_APPEND),
	MEMBER(net_deny, RULE_APPEND),
	MEMBER(env, RULE_ENV),
	MEMBER(credential_files, RULE_APPEND),
	MEMBER(bases, RULE_OWN),
	MEMBER(mixins, RULE_OWN),
};

static void *at(struct kit *k, size_t offset)
{
	return (char *)k + offset;
}

static void kit_clear(struct kit *k)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free(*(char **)at(k, texts[i].offset));
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		strv_free(at(k, lists[i].offset));
	for (size_t i = 0; i < ARRAY_SIZE(object_lists); i++) {
		char *array = *(char **)at(k, object_lists[i].array);
		size_t n = *(size_t *)at(k, object_lists[i].count);

		for (size_t j = 0; j < n; j++)
			object_lists[i].clear(array + j * object_lists[i].size);
		free(array);
	}
	for (size_t i = 0; i < k->trees.n; i++)
		strv_free(&k->tree_args[i]);
	free(k->tree_args);
	strv_free(&k->trees);
}

void kit_free(struct kit *k)
{
	if (k)
		kit_clear(k);
	free(k);
}

void kit_part_free(struct kit_part *p)
{
	if (!p)
		return;
	kit_clear(&p->kit);
	yaml_tree_free(p->tree);
	strv_free(&p->mixins);
	strv_free(&p->locked);
	strv_free(&p->args);
	free(p);
}

void kit_add_tree(struct kit *k, const char *dir, const struct strv *args)
{
	k->tree_args = xrealloc(k->tree_args, k->trees.n + 1, sizeof(*k->tree_args));
	k->tree_args[k->trees.n] = STRV_INIT;
	strv_extend(&k->tree_args[k->trees.n], args);
	strv_add(&k->trees, dir);
}

/* --- joining ---------------------------------------------------------------------------------- */

static void replace_text(char **to, char **from)
{
	if (!*from)
		return;
	free(*to);
	*to = steal(from);
}

static void append_text(char **to, char **from)
{
	char *both;

	if (!*to || !*from) {
		replace_text(to, from);
		return;
	}
	both = xasprintf("%s%s\n%s", *to, text_ends(*to, "\n") ? "" : "\n", *from);
	free(*to);
	*to = both;
}

static void replace_list(struct strv *to, struct strv *from)
{
	strv_free(to);
	*to = *from;
	*from = STRV_INIT;
}

static void append_new(struct strv *to, const struct strv *from)
{
	for (size_t i = 0; i < from->n; i++) {
		if (!strv_contains(to, from->v[i]))
			strv_add(to, from->v[i]);
	}
}

static void merge_env(struct strv *to, const struct strv *from)
{
	for (size_t i = 0; i < from->n; i++) {
		auto_free char *name = xstrndup(from->v[i], strcspn(from->v[i], "="));

		strv_env_set(to, name, from->v[i] + strlen(name) + 1);
	}
}

/* Move the objects over: in place of the same thing, or to the end. */
static void merge_objects(const struct object_list *l, struct kit *base, struct kit *over)
{
	char **to = at(base, l->array), **from = at(over, l->array);
	size_t *nto = at(base, l->count), *nfrom = at(over, l->count);

	if (*nfrom)
		*to = xrealloc(*to, *nto + *nfrom, l->size);
	for (size_t i = 0; i < *nfrom; i++) {
		char *object = *from + i * l->size;
		size_t place = 0;

		while (place < *nto && !(l->same && l->same(*to + place * l->size, object)))
			place++;
		if (place < *nto)
			l->clear(*to + place * l->size);
		else
			++*nto;
		memcpy(*to + place * l->size, object, l->size);
	}
	free(*from);
	*from = NULL;
	*nfrom = 0;
}

/* Everything but the launch. */
static void merge_shared(struct kit_part *base, struct kit_part *over)
{
	struct kit *k = &base->kit, *o = &over->kit;

	append_text(&k->instructions, &o->instructions);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		if (lists[i].rule == RULE_APPEND)
			append_new(at(k, lists[i].offset), at(o, lists[i].offset));
		else if (lists[i].rule == RULE_ENV)
			merge_env(at(k, lists[i].offset), at(o, lists[i].offset));
	}
	for (size_t i = 0; i < ARRAY_SIZE(object_lists); i++)
		merge_objects(&object_lists[i], k, o);
	for (size_t i = 0; i < o->trees.n; i++)
		kit_add_tree(k, o->trees.v[i], &o->tree_args[i]);
	append_new(&base->locked, &over->locked);
}

/* What only a kit that extends another one may change. */
static void merge_launch(struct kit_part *base, struct kit_part *over)
{
	struct kit *k = &base->kit, *o = &over->kit;
	auto_strv bases = STRV_INIT;

	strv_add(&bases, k->name);
	strv_extend(&bases, &k->bases);
	replace_list(&k->bases, &bases);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (texts[i].rule == RULE_REPLACE)
			replace_text(at(k, texts[i].offset), at(o, texts[i].offset));
	}
	if (o->entrypoint.n)
		replace_list(&k->entrypoint, &o->entrypoint);
	if (over->has_default)
		replace_list(&k->command_default, &o->command_default);
	if (over->has_interactive)
		replace_list(&k->command_interactive, &o->command_interactive);
	base->has_default = base->has_default || over->has_default;
	base->has_interactive = base->has_interactive || over->has_interactive;
	k->cpu_milli = o->cpu_milli ? o->cpu_milli : k->cpu_milli;
	k->memory = o->memory ? o->memory : k->memory;
	append_new(&base->mixins, &over->mixins);
}

int kit_part_extend(struct kit_part *base, struct kit_part *over, struct err *e)
{
	int r = kit_check_locked(base, over, e);

	if (r == 0) {
		merge_launch(base, over);
		merge_shared(base, over);
	}
	kit_part_free(over);
	return r;
}

int kit_part_mix(struct kit_part *base, struct kit_part *over, struct err *e)
{
	int r = kit_check_locked(base, over, e);

	if (r == 0) {
		strv_add(&base->kit.mixins, over->kit.name);
		for (size_t i = 0; i < over->kit.ncredentials; i++)
			over->kit.credentials[i].mixed = true;
		merge_shared(base, over);
	}
	kit_part_free(over);
	return r;
}

struct kit *kit_part_finish(struct kit_part *p)
{
	struct kit *k = xmalloc(sizeof(*k));

	/* One of the two stands for the other when that was not given; empty is given. */
	if (!p->has_interactive)
		strv_extend(&p->kit.command_interactive, &p->kit.command_default);
	else if (!p->has_default)
		strv_extend(&p->kit.command_default, &p->kit.command_interactive);
	*k = p->kit;
	p->kit = (struct kit){ 0 };
	kit_part_free(p);
	return k;
}
