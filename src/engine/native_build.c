/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_build: an image from a Dockerfile.
 *
 * First the stages that the wanted one needs are found; the others are not built.  Then each
 * instruction of theirs changes its stage: most only what the configuration will say, RUN, COPY,
 * ADD and WORKDIR also by a layer.  A layer's key in the cache is made of the key before it and of
 * all that the step depends on, so a step is run again when anything before it changed.
 *
 * Times: an image's is that of its newest layer, and a layer's is that of its making, which the
 * cache remembers.  So a build of the same thing gives the same digest.
 *
 * Invariants: a lease on the store is held from the beginning to the end, and what is used of it is
 * touched under IMAGE_LOCK_CONTENT; the reference is written last, and only then is there a
 * template.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/build_internal.h"

enum { STEP_SHOWN = 200 };

/* --- instructions that only change the configuration ------------------------------------------ */

typedef int instruction_fn(struct build *b, struct build_stage *s,
			   const struct dockerfile_instruction *i, struct err *e);

static int do_env(struct build *b, struct build_stage *s, const struct dockerfile_instruction *i,
		  struct err *e)
{
	auto_strv vars = STRV_INIT;

	build_vars(s, &vars);
	return dockerfile_pairs(i, b->file->escape, &vars, &s->env, e);
}

static int do_label(struct build *b, struct build_stage *s, const struct dockerfile_instruction *i,
		    struct err *e)
{
	auto_strv vars = STRV_INIT;
	auto_strv pairs = STRV_INIT;
	auto_buf text = BUF_INIT;
	struct json *labels = NULL;
	int r;

	build_vars(s, &vars);
	r = dockerfile_pairs(i, b->file->escape, &vars, &pairs, e);
	/* Other stages may have the same object. */
	if (r == 0 && s->labels) {
		json_write(s->labels, false, &text);
		r = json_parse(buf_str(&text), text.len, &labels, e);
	}
	if (r < 0)
		return r;
	labels = labels ? labels : json_object();
	for (size_t k = 0; k < pairs.n; k++) {
		const char *eq = strchr(pairs.v[k], '=');
		auto_free char *key = xstrndup(pairs.v[k], (size_t)(eq - pairs.v[k]));

		json_set_string(labels, key, eq + 1);
	}
	json_unref(s->labels);
	s->labels = labels;
	return 0;
}

/* The value of --build-arg, which is used now. */
static const char *given_arg(struct build *b, const char *name)
{
	const char *value = strv_env_get(b->q->args, name);

	if (value)
		strv_env_unset(&b->unused, name);
	return value;
}

/* NAME or NAME=DEFAULT. s NULL: before the first FROM. */
static int take_arg(struct build *b, struct build_stage *s, const char *word, struct err *e)
{
	const char *eq = strchr(word, '=');
	auto_free char *name = xstrndup(word, eq ? (size_t)(eq - word) : strlen(word));
	auto_free char *fallback = NULL;
	const char *value;
	int r = 0;

	if (!*name)
		return err_set(e, ERR_INPUT, -EINVAL, "ARG without a name");
	if (eq && s)
		r = build_expand(b, s, eq + 1, &fallback, e);
	else if (eq)
		r = dockerfile_expand(eq + 1, b->file->escape, DOCKERFILE_WORD, &b->globals,
				      &fallback, e);
	if (r < 0)
		return r;
	value = given_arg(b, name);
	if (!value)
		value = fallback;
	if (!value && s)
		value = strv_env_get(&b->globals, name);
	if (value)
		strv_env_set(s ? &s->args : &b->globals, name, value);
	return 0;
}

static int do_arg(struct build *b, struct build_stage *s, const struct dockerfile_instruction *i,
		  struct err *e)
{
	auto_strv words = STRV_INIT;
	int r = dockerfile_split(i->args, b->file->escape, &words, e);

	for (size_t k = 0; r == 0 && k < words.n; k++)
		r = take_arg(b, s, words.v[k], e);
	return r;
}

static int do_user(struct build *b, struct build_stage *s, const struct dockerfile_instruction *i,
		   struct err *e)
{
	auto_free char *user = NULL;
	int r = build_expand(b, s, i->args, &user, e);

	if (r == 0 && (!*user || strpbrk(user, " \t/")))
		r = err_set(e, ERR_INPUT, -EINVAL, "USER takes NAME|UID[:GROUP|GID]");
	if (r == 0) {
		free(s->user);
		s->user = steal(&user);
	}
	return r;
}

/* Words of the JSON form, or the text for the stage's shell. */
static void program(const struct build_stage *s, const struct dockerfile_instruction *i,
		    struct strv *ret)
{
	strv_free(ret);
	*ret = STRV_INIT;
	if (i->exec) {
		strv_extend(ret, &i->words);
	} else if (i->args[0]) {
		if (s->shell.n) {
			strv_extend(ret, &s->shell);
		} else {
			strv_add(ret, "/bin/sh");
			strv_add(ret, "-c");
		}
		strv_add(ret, i->args);
	}
}

static int do_shell(struct build *b, struct build_stage *s, const struct dockerfile_instruction *i,
		    struct err *e)
{
	(void)b;
	(void)e;
	program(s, i, &s->shell);
	return 0;
}

static int do_cmd(struct build *b, struct build_stage *s, const struct dockerfile_instruction *i,
		  struct err *e)
{
	(void)b;
	(void)e;
	program(s, i, &s->cmd);
	s->own_cmd = true;
	return 0;
}

/* The base's CMD were arguments for the base's ENTRYPOINT. */
static int do_entrypoint(struct build *b, struct build_stage *s,
			 const struct dockerfile_instruction *i, struct err *e)
{
	(void)b;
	(void)e;
	program(s, i, &s->entrypoint);
	if (!s->own_cmd) {
		strv_free(&s->cmd);
		s->cmd = STRV_INIT;
	}
	return 0;
}

static const struct {
	instruction_fn *run;
	bool layer; /* it writes its own line in the history */
} instructions[] = {
	[DOCKERFILE_FROM] = { NULL },
	[DOCKERFILE_RUN] = { build_run, true },
	[DOCKERFILE_COPY] = { build_copy, true },
	[DOCKERFILE_ADD] = { build_copy, true },
	[DOCKERFILE_ENV] = { do_env },
	[DOCKERFILE_ARG] = { do_arg },
	[DOCKERFILE_WORKDIR] = { build_workdir, true },
	[DOCKERFILE_USER] = { do_user },
	[DOCKERFILE_SHELL] = { do_shell },
	[DOCKERFILE_LABEL] = { do_label },
	[DOCKERFILE_ENTRYPOINT] = { do_entrypoint },
	[DOCKERFILE_CMD] = { do_cmd },
};
_Static_assert(ARRAY_SIZE(instructions) == DOCKERFILE_KIND_MAX, "every instruction has a row");

/* --- which stages ----------------------------------------------------------------------------- */

static int at_line(const struct build *b, const struct dockerfile_instruction *i, struct err *e)
{
	return err_prefix(e, "%s:%u: %s", b->q->name, i->line, dockerfile_kind_name(i->kind));
}

/* IMAGE [AS NAME]. */
static int read_from(struct build *b, const struct dockerfile_instruction *i,
		     struct build_stage *ret, struct err *e)
{
	auto_strv raw = STRV_INIT;
	const char *platform = dockerfile_flag(i, "platform");
	int r = dockerfile_split(i->args, b->file->escape, &raw, e);

	for (size_t k = 0; r == 0 && k < raw.n; k++) {
		char *word = NULL;

		r = dockerfile_expand(raw.v[k], b->file->escape, DOCKERFILE_WORD, &b->globals,
				      &word, e);
		if (r == 0)
			strv_take(&ret->words, word);
	}
	if (r == 0 && ret->words.n != 1 &&
	    !(ret->words.n == 3 && strcasecmp(ret->words.v[1], "AS") == 0))
		r = err_set(e, ERR_INPUT, -EINVAL, "it takes IMAGE [AS NAME]");
	if (r == 0 && !*ret->words.v[0])
		r = err_set(e, ERR_INPUT, -EINVAL, "the image's name is empty");
	if (r == 0 && platform) {
		auto_free char *wanted = NULL;

		r = dockerfile_expand(platform, b->file->escape, DOCKERFILE_WORD, &b->globals,
				      &wanted, e);
		if (r == 0 && *wanted &&
		    strcmp(wanted, strv_env_get(&b->globals, "BUILDPLATFORM")) != 0)
			r = err_set(e, ERR_REFUSED, -EOPNOTSUPP,
				    "--platform: images are built for this machine only");
	}
	if (r < 0)
		return at_line(b, i, e);
	ret->base_ref = ret->words.v[0];
	ret->name = ret->words.n == 3 ? xstrdup(ret->words.v[2]) : NULL;
	return 0;
}

/* By name or, with `number`, by its place. */
static struct build_stage *find_stage(const struct build *b, size_t before, const char *name,
				      bool number)
{
	uint64_t n;

	for (size_t i = before; i > 0; i--) {
		if (b->stages[i - 1].name && strcasecmp(b->stages[i - 1].name, name) == 0)
			return &b->stages[i - 1];
	}
	return number && before && text_u64(name, before - 1, &n) == 0 ? &b->stages[n] : NULL;
}

static int find_stages(struct build *b, struct err *e)
{
	const struct dockerfile *d = b->file;

	b->stages = xcalloc(d->n, sizeof(*b->stages));
	for (size_t i = 0; i < d->n; i++) {
		struct build_stage *s = &b->stages[b->nstages];
		int r = 0;

		if (d->v[i].kind == DOCKERFILE_FROM) {
			b->nstages++;
			s->first = s->end = i + 1;
			r = read_from(b, &d->v[i], s, e);
		} else if (b->nstages) {
			b->stages[b->nstages - 1].end = i + 1;
		} else {
			r = do_arg(b, NULL, &d->v[i], e);
			r = r < 0 ? at_line(b, &d->v[i], e) : 0;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* From the wanted stage down: those that it is made from and copies from. */
static int find_needed(struct build *b, struct build_stage **ret, struct err *e)
{
	struct build_stage *target = &b->stages[b->nstages - 1];

	if (b->q->target) {
		auto_free char *shown = text_escaped(b->q->target);

		target = find_stage(b, b->nstages, b->q->target, true);
		if (!target)
			return err_set(e, ERR_INPUT, -ENOENT, "%s: no stage '%.100s'", b->q->name,
				       shown);
	}
	target->needed = true;
	for (size_t i = (size_t)(target - b->stages) + 1; i > 0; i--) {
		struct build_stage *s = &b->stages[i - 1];
		struct build_stage *from = find_stage(b, i - 1, s->base_ref, false);

		if (!s->needed)
			continue;
		if (from)
			from->needed = true;
		b->steps += s->end - s->first + 1;
		for (size_t k = s->first; k < s->end; k++) {
			const char *name = dockerfile_flag(&b->file->v[k], "from");

			from = name ? find_stage(b, i - 1, name, true) : NULL;
			if (from)
				from->needed = true;
		}
	}
	*ret = target;
	return 0;
}

/* --- running ---------------------------------------------------------------------------------- */

static int run_instruction(struct build *b, struct build_stage *s,
			   const struct dockerfile_instruction *i, struct err *e)
{
	int r = instructions[i->kind].run(b, s, i, e);

	if (r == 0 && !instructions[i->kind].layer && i->kind != DOCKERFILE_ARG)
		build_history(s, i, true);
	return r;
}

/* One of the base's ONBUILD. */
static int run_trigger(struct build *b, struct build_stage *s, const char *text, struct err *e)
{
	auto_free char *shown = text_escaped(text);
	auto_free char *whole = xasprintf("FROM scratch\n%s\n", text);
	struct dockerfile *d = NULL;
	int r;

	build_say(b, "ONBUILD %.*s", STEP_SHOWN, shown);
	r = dockerfile_parse("ONBUILD", whole, strlen(whole), &d, e);
	if (r == 0 && (d->n != 2 || d->v[1].kind == DOCKERFILE_FROM))
		r = err_set(e, ERR_REFUSED, -EINVAL, "'%.60s' is not one instruction", shown);
	if (r == 0)
		r = run_instruction(b, s, &d->v[1], e);
	dockerfile_free(d);
	if (r == 0)
		return 0;
	(void)err_hint(e, "the base image asks for it");
	return err_prefix(e, "ONBUILD of %s", s->base_ref);
}

static int begin_stage(struct build *b, struct build_stage *s, struct err *e)
{
	const struct dockerfile_instruction *i = &b->file->v[s->first - 1];
	const struct build_stage *from = find_stage(b, (size_t)(s - b->stages), s->base_ref, false);
	int r = 0;

	build_say(b, "[%zu/%zu] %.*s", ++b->step, b->steps, STEP_SHOWN, i->text);
	if (from)
		build_stage_inherit(s, from);
	else if (strcmp(s->base_ref, "scratch") == 0)
		sha256_hex("scratch", strlen("scratch"), s->key);
	else
		r = build_from_image(b, s->base_ref, s, e);
	for (size_t k = 0; r == 0 && k < s->on_build.n; k++)
		r = run_trigger(b, s, s->on_build.v[k], e);
	return r < 0 ? at_line(b, i, e) : 0;
}

static int run_stage(struct build *b, struct build_stage *s, struct err *e)
{
	int r = begin_stage(b, s, e);

	for (size_t k = s->first; r == 0 && k < s->end; k++) {
		const struct dockerfile_instruction *i = &b->file->v[k];

		build_say(b, "[%zu/%zu] %.*s", ++b->step, b->steps, STEP_SHOWN, i->text);
		r = run_instruction(b, s, i, e);
		if (r < 0)
			return at_line(b, i, e);
	}
	s->done = r == 0;
	return r;
}

static void add_globals(struct build *b)
{
	struct image_platform p = { 0 };
	auto_free char *text = NULL;

	if (image_platform_parse(NULL, &p, NULL) < 0)
		return;
	text = image_platform_text(&p);
	for (int k = 0; k < 2; k++) {
		const char *who = k ? "TARGET" : "BUILD";

		strv_addf(&b->globals, "%sPLATFORM=%s", who, text);
		strv_addf(&b->globals, "%sOS=%s", who, p.os);
		strv_addf(&b->globals, "%sARCH=%s", who, p.architecture);
		strv_addf(&b->globals, "%sVARIANT=%s", who, p.variant ? p.variant : "");
	}
	image_platform_clear(&p);
}

int build_open(struct build *b, struct err *e)
{
	int r = image_store_open(b->c->paths.data, &b->store, e);

	if (r == 0)
		r = image_lease_begin(&b->store, &b->lease, e);
	if (r == 0)
		r = box_ids_detect(getuid(), getgid(), &b->ids, e);
	if (r == 0)
		r = native_helper("ward-image", &b->image_helper, e);
	return r;
}

void build_close(struct build *b)
{
	image_lease_end(&b->lease);
	image_store_close(&b->store);
	free(b->image_helper);
}

static int prepare(struct build *b, struct err *e)
{
	int r = dockerfile_parse(b->q->name, b->q->text, b->q->text_len, &b->file, e);

	if (r == 0 && b->q->ignore)
		r = dockerignore_parse(b->q->ignore, b->q->ignore_len, &b->ignore, e);
	if (r == 0)
		r = build_open(b, e);
	strv_extend(&b->unused, b->q->args);
	add_globals(b);
	return r == 0 ? find_stages(b, e) : r;
}

static int run_all(struct build *b, char **ret_digest, struct err *e)
{
	struct build_stage *target = NULL;
	auto_image_record rec = { 0 };
	int r = find_needed(b, &target, e);

	if (r < 0 || !target)
		return r;
	for (size_t i = 0; r == 0 && i < b->nstages; i++) {
		if (b->stages[i].needed)
			r = run_stage(b, &b->stages[i], e);
	}
	if (r == 0 && !target->base && target->nlayers == 0)
		r = err_set(e, ERR_INPUT, -EINVAL, "%s: the image would be empty", b->q->name);
	if (r == 0)
		r = build_manifest(b, target, b->q->reference, &rec, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < b->unused.n; i++) {
		auto_free char *name = xstrndup(b->unused.v[i], strcspn(b->unused.v[i], "="));

		build_say(b, "--build-arg %s: no ARG asks for it", name);
	}
	*ret_digest = xstrdup(rec.manifest);
	return 0;
}

int engine_build(struct engine_context *c, const struct engine_build *q, char **ret_digest,
		 struct err *e)
{
	struct build b = BUILD_INIT(c, q);
	int r = prepare(&b, e);

	if (r == 0)
		r = run_all(&b, ret_digest, e);
	for (size_t i = 0; i < b.nstages; i++)
		build_stage_clear(&b.stages[i]);
	free(b.stages);
	dockerfile_free(b.file);
	dockerignore_clear(&b.ignore);
	build_close(&b);
	strv_free(&b.globals);
	strv_free(&b.unused);
	return r;
}
