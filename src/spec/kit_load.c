/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kit_load: from a name to a whole kit.
 *
 * A name is looked for on three levels, the nearest first: kits given with --kit, the user's kits
 * directory, the built-in ones.  A kit may extend another one, which may extend a third: the chain
 * is read from the top and joined from the bottom.  A kit that extends its own name means the one
 * on the next level, so that a user's `claude` can be the built-in one with changes.  Then the
 * mixins are added: those that kits of the chain name, and those of --kit.
 *
 * Nothing given is without effect: a kit of --kit that was not needed and an argument that no kit
 * has are errors.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

enum { CHAIN_MAX = 8 };
enum level { LEVEL_GIVEN, LEVEL_USER, LEVEL_BUILTIN, LEVEL_MAX };

struct given_kit {
	struct kit_part *part; /* NULL once it is used */
	char *path;	       /* as on the command line */
	char *name;
};

struct loader {
	const char *config_dir; /* may be NULL */
	struct kit_given args;
	struct strv known; /* "KIT.NAME" of every argument that was seen */
	struct given_kit *given;
	size_t ngiven;
	struct err *e;
};

/* --- names ------------------------------------------------------------------------------------ */

int spec_read_file(const char *path, struct buf *out, struct err *e)
{
	/* Not to hang on a FIFO that somebody put there; fs_read_fd checks the type. */
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	auto_free char *shown = text_escaped(path);
	int r;

	if (fd < 0)
		return err_sys(e, "%s", shown);
	r = fs_read_fd(fd, YAML_BYTES_MAX, out, e);
	return r < 0 ? err_prefix(e, "%s", shown) : 0;
}

static char *user_kit_dir(const char *config_dir, const char *name)
{
	return xasprintf("%s/kits/%s", config_dir, name);
}

static const struct kit_embedded *find_embedded(const char *name)
{
	for (size_t i = 0; i < kit_embedded_n; i++) {
		if (strcmp(kit_embedded[i].name, name) == 0)
			return &kit_embedded[i];
	}
	return NULL;
}

static int unknown_agent(const char *name, const char *config_dir, struct err *e)
{
	auto_free char *shown = text_escaped(name);
	auto_strv names = STRV_INIT;
	auto_buf list = BUF_INIT;
	const char *nearest = NULL;

	if (kit_names(config_dir, &names, NULL) == 0)
		nearest = text_nearest(name, (const char *const *)names.v, names.n);
	for (size_t i = 0; i < names.n; i++)
		buf_printf(&list, "%s%s", i ? ", " : "", names.v[i]);
	err_set(e, ERR_NOT_FOUND, -ENOENT, "no agent named '%s'", shown);
	if (nearest)
		return err_hint(e, "did you mean '%s'?", nearest);
	return err_hint(e, "the agents are: %s", buf_str(&list));
}

static int add_user_kits(const char *config_dir, struct strv *names, struct err *e)
{
	auto_free char *dir = xasprintf("%s/kits", config_dir);
	struct dirent *d;
	DIR *dh = opendir(dir);

	if (!dh)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys(e, "%s", dir);
	while ((d = readdir(dh))) {
		auto_free char *path = NULL;

		if (text_check_name("kit", d->d_name, NULL) < 0 || strv_contains(names, d->d_name))
			continue;
		path = xasprintf("%s/%s/spec.yaml", dir, d->d_name);
		if (access(path, F_OK) == 0)
			strv_add(names, d->d_name);
	}
	closedir(dh);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int kit_names(const char *config_dir, struct strv *ret, struct err *e)
{
	auto_strv names = STRV_INIT;
	int r = 0;

	for (size_t i = 0; i < kit_embedded_n; i++)
		strv_add(&names, kit_embedded[i].name);
	if (config_dir)
		r = add_user_kits(config_dir, &names, e);
	if (r < 0)
		return r;
	if (names.n > 1)
		qsort(names.v, names.n, sizeof(*names.v), compare_names);
	strv_extend(ret, &names);
	return 0;
}

/* --- the extras ------------------------------------------------------------------------------- */

void kit_extras_clear(struct kit_extras *x)
{
	strv_free(&x->dirs);
	strv_free(&x->args);
}

void kit_extras_of(const struct spec *s, const char *sandbox_dir, struct kit_extras *ret)
{
	for (size_t i = 0; i < s->kits.n; i++)
		strv_addf(&ret->dirs, "%s/kits/%s", sandbox_dir, s->kits.v[i]);
	strv_extend(&ret->args, &s->kit_args);
}

/* --- single kits ------------------------------------------------------------------------------ */

/* dir NULL: a kit without files. */
static int parse_part(struct loader *l, const struct buf *text, const char *origin, const char *dir,
		      struct kit_part **ret)
{
	struct kit_part *p = NULL;
	int r = kit_part_parse(buf_str(text), text->len, origin, &l->args, &p, l->e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < p->args.n; i++) {
		auto_free char *name = xasprintf("%s.%.*s", p->kit.name,
						 (int)strcspn(p->args.v[i], "="), p->args.v[i]);

		if (!strv_contains(&l->known, name))
			strv_take(&l->known, steal(&name));
	}
	if (dir)
		kit_add_tree(&p->kit, dir, &p->args);
	*ret = p;
	return 0;
}

/* Of a directory only the spec.yaml is wanted here, of anything else the bundle tells. */
static int read_given(struct loader *l, const char *path, struct kit_part **ret)
{
	auto_free char *shown = text_escaped(path);
	auto_free char *origin = NULL;
	auto_free char *dir = NULL;
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_buf text = BUF_INIT;
	struct kit_bundle *b = NULL;
	int r;

	if (fd >= 0) {
		origin = fs_join(shown, "spec.yaml");
		r = fs_canonical(path, &dir, l->e);
		if (r == 0)
			r = fs_read_at(fd, "spec.yaml", YAML_BYTES_MAX, &text, l->e);
		if (r < 0)
			return err_prefix(l->e, "kit %s", shown);
		return parse_part(l, &text, origin, dir, ret);
	}
	r = kit_bundle_read(path, &b, l->e);
	if (r == 0)
		r = parse_part(l, kit_bundle_spec(b), shown, NULL, ret);
	kit_bundle_free(b);
	return r;
}

static int add_given(struct loader *l, const char *path)
{
	struct given_kit *g;
	struct kit_part *p = NULL;
	int r = read_given(l, path, &p);

	if (r < 0)
		return r;
	for (size_t i = 0; i < l->ngiven; i++) {
		if (strcmp(l->given[i].name, p->kit.name) != 0)
			continue;
		r = err_set(l->e, ERR_INPUT, -EEXIST, "%s: kit '%s' is given twice", path,
			    p->kit.name);
		kit_part_free(p);
		return r;
	}
	l->given = xrealloc(l->given, l->ngiven + 1, sizeof(*l->given));
	for (size_t i = 0; i < p->kit.nuser_config; i++)
		p->kit.user_config[i].given = true;
	g = &l->given[l->ngiven++];
	*g = (struct given_kit){ .part = p, .path = xstrdup(path), .name = xstrdup(p->kit.name) };
	return 0;
}

/* -ENOENT, without a message that counts: the user has none of this name. */
static int read_user(struct loader *l, const char *name, struct kit_part **ret)
{
	auto_free char *dir = user_kit_dir(l->config_dir, name);
	auto_free char *path = fs_join(dir, "spec.yaml");
	auto_buf text = BUF_INIT;
	int r = spec_read_file(path, &text, l->e);

	if (r == -ENOENT || r == -ENOTDIR)
		return -ENOENT;
	return r < 0 ? r : parse_part(l, &text, path, dir, ret);
}

static int read_builtin(struct loader *l, const char *name, struct kit_part **ret)
{
	const struct kit_embedded *embedded = find_embedded(name);
	auto_buf text = BUF_INIT;

	if (!embedded)
		return -ENOENT;
	buf_add(&text, embedded->text, embedded->n);
	return parse_part(l, &text, "built-in", NULL, ret);
}

/* A kit of that kind among those of --kit, which are used once. */
static struct kit_part *take_given(struct loader *l, const char *name, const char *kind)
{
	for (size_t i = 0; i < l->ngiven; i++) {
		struct given_kit *g = &l->given[i];

		if (g->part && strcmp(g->name, name) == 0 &&
		    (!kind || strcmp(g->part->kit.kind, kind) == 0))
			return steal(&g->part);
	}
	return NULL;
}

static int wrong_kind(struct loader *l, const struct kit_part *p, const char *kind)
{
	if (strcmp(kind, "sandbox") == 0)
		return err_set(l->e, ERR_INPUT, -EINVAL,
			       "%s: a mixin adds to an agent and cannot be run alone",
			       p->kit.origin);
	return err_set(l->e, ERR_INPUT, -EINVAL, "%s: kit '%s' is an agent, not a mixin",
		       p->kit.origin, p->kit.name);
}

/*
 * The nearest kit of that name and kind (NULL: of any), from a level on; *ret_level is where it
 * was.  -ENOENT, without a message that counts, when there is none.
 */
static int find_part(struct loader *l, const char *name, const char *kind, enum level from,
		     struct kit_part **ret, enum level *ret_level)
{
	struct kit_part *p = from == LEVEL_GIVEN ? take_given(l, name, kind) : NULL;
	enum level level = LEVEL_GIVEN;
	int r = p ? 0 : -ENOENT;

	if (r == -ENOENT && from <= LEVEL_USER && l->config_dir) {
		level = LEVEL_USER;
		r = read_user(l, name, &p);
	}
	if (r == -ENOENT) {
		level = LEVEL_BUILTIN;
		r = from <= LEVEL_BUILTIN ? read_builtin(l, name, &p) : -ENOENT;
	}
	if (r < 0)
		return r;
	/* A kit in a place that is looked up by name must be what that name promises. */
	if (strcmp(p->kit.name, name) != 0)
		r = err_set(l->e, ERR_INPUT, -EINVAL, "%s: the kit's name is '%s', not '%s'",
			    p->kit.origin, p->kit.name, name);
	else if (kind && strcmp(p->kit.kind, kind) != 0)
		r = wrong_kind(l, p, kind);
	if (r < 0) {
		kit_part_free(p);
		return r;
	}
	*ret = p;
	*ret_level = level;
	return 0;
}

/* --- the chain -------------------------------------------------------------------------------- */

struct chain {
	struct kit_part *v[CHAIN_MAX + 1]; /* [0] is the kit itself, the last one extends nothing */
	enum level level[CHAIN_MAX + 1];
	size_t n;
};

static void chain_clear(struct chain *c)
{
	for (size_t i = 0; i < c->n; i++)
		kit_part_free(c->v[i]);
}

static int chain_error(struct loader *l, const struct chain *c, const char *why)
{
	const struct kit_part *last = c->v[c->n - 1];
	struct field_reader r = { .origin = last->kit.origin, .e = l->e };
	auto_buf names = BUF_INIT;

	for (size_t i = 0; i < c->n; i++)
		buf_printf(&names, "%s -> ", c->v[i]->kit.name);
	return field_error(&r, yaml_node_get(yaml_tree_root(last->tree), "extends"),
			   "'extends': %s: %s%s", why, buf_str(&names), last->kit.extends);
}

/* Read what the last kit of the chain extends. */
static int chain_next(struct loader *l, struct chain *c)
{
	const char *name = c->v[c->n - 1]->kit.extends;
	bool own = strcmp(name, c->v[c->n - 1]->kit.name) == 0;
	enum level from = own ? c->level[c->n - 1] + 1 : LEVEL_GIVEN;
	int r;

	if (c->n > CHAIN_MAX)
		return chain_error(l, c, "more than 8 kits");
	for (size_t i = 0; i < c->n && !own; i++) {
		if (strcmp(c->v[i]->kit.name, name) == 0)
			return chain_error(l, c, "a kit that extends itself");
	}
	r = find_part(l, name, "sandbox", from, &c->v[c->n], &c->level[c->n]);
	if (r == -ENOENT)
		return chain_error(l, c, "there is no such kit");
	if (r == 0)
		c->n++;
	return r;
}

static int load_chain(struct loader *l, const char *name, struct kit_part **ret)
{
	struct chain c = { 0 };
	struct kit_part *whole;
	int r = find_part(l, name, "sandbox", LEVEL_GIVEN, &c.v[0], &c.level[0]);

	if (r == -ENOENT)
		return unknown_agent(name, l->config_dir, l->e);
	if (r < 0)
		return r;
	c.n = 1;
	while (r == 0 && c.v[c.n - 1]->kit.extends)
		r = chain_next(l, &c);
	if (r < 0) {
		chain_clear(&c);
		return r;
	}
	whole = c.v[--c.n];
	while (r == 0 && c.n > 0)
		r = kit_part_extend(whole, c.v[--c.n], l->e);
	if (r < 0) {
		chain_clear(&c);
		kit_part_free(whole);
		return r;
	}
	*ret = whole;
	return 0;
}

/* --- mixins ----------------------------------------------------------------------------------- */

/* p is consumed. */
static int mix(struct loader *l, struct kit_part *agent, struct kit_part *p)
{
	const char *only = p->kit.requires_agent;

	if (only && strcmp(only, agent->kit.name) != 0 && !strv_contains(&agent->kit.bases, only)) {
		err_set(l->e, ERR_INPUT, -EINVAL, "%s: mixin '%s' is for %s, not for %s",
			p->kit.origin, p->kit.name, only, agent->kit.name);
		kit_part_free(p);
		return -EINVAL;
	}
	return kit_part_mix(agent, p, l->e);
}

static int add_mixins(struct loader *l, struct kit_part *agent)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < agent->mixins.n; i++) {
		const char *name = agent->mixins.v[i];
		struct kit_part *p = NULL;
		enum level level;

		r = find_part(l, name, "mixin", LEVEL_GIVEN, &p, &level);
		if (r == -ENOENT)
			return err_set(l->e, ERR_INPUT, -ENOENT,
				       "%s: 'mixins': there is no kit named '%s'",
				       agent->kit.origin, name);
		if (r == 0)
			r = mix(l, agent, p);
	}
	for (size_t i = 0; r == 0 && i < l->ngiven; i++) {
		struct given_kit *g = &l->given[i];

		if (g->part && strcmp(g->part->kit.kind, "mixin") == 0)
			r = mix(l, agent, steal(&g->part));
	}
	return r;
}

/* --- all of it -------------------------------------------------------------------------------- */

static void loader_clear(struct loader *l)
{
	for (size_t i = 0; i < l->ngiven; i++) {
		kit_part_free(l->given[i].part);
		free(l->given[i].path);
		free(l->given[i].name);
	}
	free(l->given);
	free(l->args.used);
	strv_free(&l->known);
}

/* "NAME=VALUE" or "KIT.NAME=VALUE"; names of arguments hold no dot, names of kits may. */
static bool is_argument(const char *text)
{
	auto_free char *name = xstrndup(text, strcspn(text, "="));
	char *dot = strrchr(name, '.');

	if (!strchr(text, '='))
		return false;
	if (!dot)
		return kit_arg_name_ok(name);
	*dot = '\0';
	return kit_arg_name_ok(dot + 1) && text_check_name("kit", name, NULL) == 0;
}

static int begin(struct loader *l, const struct kit_extras *x)
{
	static const struct strv none = { 0 };
	int r = 0;

	l->args.args = x ? &x->args : &none;
	l->args.placeholders = x && x->placeholders;
	l->args.used = xcalloc(l->args.args->n + 1, sizeof(bool));
	for (size_t i = 0; i < l->args.args->n; i++) {
		if (!is_argument(l->args.args->v[i])) {
			auto_free char *shown = text_escaped(l->args.args->v[i]);

			return err_set(l->e, ERR_USAGE, -EINVAL,
				       "option --kit-arg: '%s' is not NAME=VALUE or KIT.NAME=VALUE",
				       shown);
		}
	}
	for (size_t i = 0; r == 0 && x && i < x->dirs.n; i++)
		r = add_given(l, x->dirs.v[i]);
	return r;
}

/* What was given and had no effect. */
static int check_used(struct loader *l)
{
	auto_buf known = BUF_INIT;

	for (size_t i = 0; i < l->ngiven; i++) {
		if (!l->given[i].part)
			continue;
		err_set(l->e, ERR_USAGE, -EINVAL,
			"option --kit: '%s' defines the agent %s, which is not the one to be run",
			l->given[i].path, l->given[i].name);
		return err_hint(l->e, "ward run --kit %s %s", l->given[i].path, l->given[i].name);
	}
	for (size_t i = 0; i < l->args.args->n; i++) {
		auto_free char *shown = NULL;

		if (l->args.used[i])
			continue;
		shown = xstrndup(l->args.args->v[i], strcspn(l->args.args->v[i], "="));
		for (size_t k = 0; k < l->known.n; k++)
			buf_printf(&known, "%s%s", k ? ", " : "", l->known.v[k]);
		err_set(l->e, ERR_USAGE, -EINVAL,
			"option --kit-arg: no kit here has an argument '%s'", shown);
		return known.len ? err_hint(l->e, "there are: %s", buf_str(&known)) : -EINVAL;
	}
	return 0;
}

static int load(struct loader *l, const char *name, bool any_kind, struct kit_part **ret)
{
	struct kit_part *p = NULL;
	enum level level;
	int r;

	/* The name becomes part of a path: no other name can be a kit's. */
	if (text_check_name("agent", name, NULL) < 0)
		return unknown_agent(name, l->config_dir, l->e);
	if (any_kind) {
		r = find_part(l, name, NULL, LEVEL_GIVEN, &p, &level);
		if (r == -ENOENT)
			return unknown_agent(name, l->config_dir, l->e);
		if (r < 0)
			return r;
		if (strcmp(p->kit.kind, "mixin") == 0) {
			*ret = p;
			return 0;
		}
		/* An agent: once more, with what it extends. */
		if (level == LEVEL_GIVEN) {
			for (size_t i = 0; i < l->ngiven; i++) {
				if (!l->given[i].part && strcmp(l->given[i].name, name) == 0)
					l->given[i].part = steal(&p);
			}
		}
		kit_part_free(p);
		p = NULL;
	}
	r = load_chain(l, name, &p);
	if (r == 0)
		r = add_mixins(l, p);
	if (r < 0) {
		kit_part_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

static int load_kit(const char *name, const char *config_dir, const struct kit_extras *extras,
		    bool any_kind, struct kit **ret, struct err *e)
{
	struct err local = ERR_INIT;
	struct loader l = { .config_dir = config_dir, .e = e ? e : &local };
	struct kit_part *p = NULL;
	int r = begin(&l, extras);

	if (r == 0)
		r = load(&l, name, any_kind, &p);
	if (r == 0) {
		r = check_used(&l);
		if (r < 0)
			kit_part_free(p);
	}
	loader_clear(&l);
	if (r < 0)
		return r;
	*l.e = ERR_INIT; /* looking for the user's own may have left a message */
	*ret = kit_part_finish(p);
	return 0;
}

int kit_load(const char *name, const char *config_dir, const struct kit_extras *extras,
	     struct kit **ret, struct err *e)
{
	return load_kit(name, config_dir, extras, false, ret, e);
}

int kit_load_any(const char *name, const char *config_dir, const struct kit_extras *extras,
		 struct kit **ret, struct err *e)
{
	return load_kit(name, config_dir, extras, true, ret, e);
}

int kit_tree_text(const struct kit *k, size_t tree, const char *path, const char *bytes, size_t n,
		  struct buf *out, struct err *e)
{
	auto_free char *text = NULL;
	auto_free char *bad = NULL;
	auto_free char *shown = NULL;

	if (!text_is_utf8(bytes, n)) {
		buf_add(out, bytes, n);
		return 0;
	}
	text = xstrndup(bytes, n);
	if (kit_args_replace(text, &k->tree_args[tree], out, &bad) == 0)
		return 0;
	shown = text_escaped(bad);
	return err_set(e, ERR_INPUT, -EINVAL, "%s/%s: '${{%s}}': there is no such argument",
		       k->trees.v[tree], path, shown);
}
