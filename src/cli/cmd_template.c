/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_template: images as templates: pull, push, ls, inspect, rm, prune; save and load are in
 * cmd_template_file.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

enum { SHORT_DIGEST = 12 };

/* --- pull --------------------------------------------------------------------------------------
 */

static int bring(struct cli *c, const struct image_store *s, const struct image_ref *ref,
		 struct image_record *ret, bool *ret_changed, struct err *e)
{
	struct progress progress;
	int r;

	progress_begin(&progress, c->v.quiet);
	c->engine.transfer = progress_event;
	c->engine.transfer_arg = &progress;
	r = engine_template_pull(&c->engine, s, ref, c->v.platform, ret, ret_changed, e);
	c->engine.transfer = NULL;
	progress_end(&progress);
	return r;
}

/* From a registry, and unpacked, so that the first sandbox starts at once. */
static int pull_registry(struct cli *c, const struct image_store *s, const struct image_ref *ref,
			 struct buf *digest, struct err *e)
{
	struct spec_template t = { .kind = SPEC_TEMPLATE_IMAGE, .ref = image_ref_canonical(ref) };
	auto_free char *shown = image_ref_familiar(ref);
	auto_image_record rec = { 0 };
	bool changed = false;
	int r = bring(c, s, ref, &rec, &changed, e);

	if (r == 0 && !c->v.platform) {
		r = template_ready(c, &t, ENGINE_PULL_NEVER, e);
		engine_release_template(&c->engine);
		if (r < 0 && e->kind == ERR_INPUT)
			(void)image_store_untag(s, rec.reference, NULL);
	}
	spec_template_clear(&t);
	/* Of an image that is wrong nothing stays; what a broken connection left is continued. */
	if (r < 0 && e->kind == ERR_INPUT)
		(void)template_gc(c, s, 0, false, NULL, NULL);
	if (r < 0)
		return r;
	term_note(c, "%s %s", shown, changed ? "was pulled" : "is up to date");
	buf_printf(digest, "%s\n", rec.digest);
	return 0;
}

/* From a file of this machine. */
static int pull_local(struct cli *c, const struct image_ref *ref, struct buf *digest, struct err *e)
{
	struct spec_template t = { .kind = SPEC_TEMPLATE_IMAGE, .ref = image_ref_canonical(ref) };
	auto_free char *shown = image_ref_familiar(ref);
	int r;

	if (c->v.platform)
		r = err_set(e, ERR_USAGE, -EINVAL,
			    "option --platform: it is for images of registries");
	else
		r = template_ready(c, &t, ENGINE_PULL_ALWAYS, e);
	if (r == 0) {
		term_note(c, "%s was imported", shown);
		buf_printf(digest, "%s\n", t.digest);
	}
	spec_template_clear(&t);
	return r;
}

static int no_image(const struct image_ref *ref, struct err *e)
{
	auto_free char *shown = image_ref_familiar(ref);

	err_set(e, ERR_USAGE, -EINVAL,
		"template pull '%s': a directory is used as it is, and needs no pull", shown);
	return err_hint(e, "-t %s", shown);
}

static int template_pull(struct cli *c, struct err *e)
{
	auto_image_store s = { .fd = -1 };
	auto_image_ref ref = { 0 };
	auto_buf digest = BUF_INIT;
	int r = template_ref(c->operands.v.v[1], &ref, e);

	if (r == 0)
		r = image_store_open(c->engine.paths.data, &s, e);
	if (r < 0)
		return r;
	if (ref.source == IMAGE_REGISTRY)
		r = pull_registry(c, &s, &ref, &digest, e);
	else if (ref.source == IMAGE_DIR)
		r = no_image(&ref, e);
	else
		r = pull_local(c, &ref, &digest, e);
	return r < 0 ? r : term_out(&digest, e);
}

/* --- push --------------------------------------------------------------------------------------
 */

/* What goes to a registry. */
struct transfer {
	struct image_registry how;
	struct proxies proxies;
	struct progress progress;
	char *helper;
};

static int transfer_begin(struct cli *c, struct transfer *t, struct err *e)
{
	int r;

	*t = (struct transfer){ 0 };
	r = engine_proxies(&c->engine, &t->proxies, e);
	if (r == 0)
		r = engine_helper("ward-registry", &t->helper, e);
	if (r < 0) {
		proxies_clear(&t->proxies);
		return r;
	}
	t->how = (struct image_registry){ .helper = t->helper,
					  .registries = c->engine.config->registries,
					  .proxies = &t->proxies,
					  .event = progress_event,
					  .arg = &t->progress };
	progress_begin(&t->progress, c->v.quiet);
	return 0;
}

static void transfer_end(struct transfer *t)
{
	progress_end(&t->progress);
	free(t->helper);
	proxies_clear(&t->proxies);
}

static int template_push(struct cli *c, struct err *e)
{
	const char *to = c->operands.v.v[c->operands.v.n - 1];
	auto_image_store s = { .fd = -1 };
	auto_image_ref ref = { 0 };
	auto_image_record rec = { 0 };
	auto_free char *shown = NULL;
	auto_buf digest = BUF_INIT;
	struct transfer t;
	int r = template_ref(to, &ref, e);

	if (r < 0)
		return r;
	if (ref.source != IMAGE_REGISTRY || !ref.tag) {
		err_set(e, ERR_USAGE, -EINVAL, "template push: the name to push as needs a tag");
		return err_hint(e, "ward template push TEMPLATE HOST/NAME:TAG");
	}
	r = image_store_open(c->engine.paths.data, &s, e);
	if (r == 0)
		r = template_find(&s, c->operands.v.v[1], &rec, e);
	if (r == 0)
		r = transfer_begin(c, &t, e);
	if (r < 0)
		return r;
	r = image_push(&s, rec.manifest, &ref, &t.how, e);
	transfer_end(&t);
	if (r < 0)
		return r;
	shown = image_ref_familiar(&ref);
	term_note(c, "%s was pushed", shown);
	buf_printf(&digest, "%s\n", rec.manifest);
	return term_out(&digest, e);
}

/* --- ls ----------------------------------------------------------------------------------------
 */

/* What ls and inspect tell of one template. */
struct described {
	const struct image_record *rec;
	struct image_manifest manifest;
	struct image_config config;
	struct image_ref ref;
	struct strv users;
	uint64_t size;
	int64_t created; /* 0: unknown */
	char *problem;
};

static void described_clear(struct described *d)
{
	image_manifest_clear(&d->manifest);
	image_config_clear(&d->config);
	image_ref_clear(&d->ref);
	strv_free(&d->users);
	free(d->problem);
}

static void describe(const struct image_store *s, const struct template_users *users,
		     const struct image_record *rec, struct described *d)
{
	struct err e = ERR_INIT;
	char second[32];

	*d = (struct described){ .rec = rec };
	if (rec->problem || image_store_read(s, rec->manifest, &d->manifest, &d->config, &e) < 0) {
		d->problem = xstrdup(rec->problem ? rec->problem : e.message);
		return;
	}
	(void)image_ref_parse(rec->reference, &d->ref, &e);
	template_users_of(users, rec->manifest, &d->users);
	d->size = image_store_size(s, rec);
	/* Builders write fractions of a second. */
	if (d->config.created && strlen(d->config.created) >= 19) {
		(void)snprintf(second, sizeof(second), "%.19sZ", d->config.created);
		(void)text_parse_rfc3339(second, &d->created);
	}
}

/* What is typed to mean it, without the tag. */
static char *repository(const struct image_ref *ref)
{
	struct image_ref bare = *ref;

	bare.tag = NULL;
	return ref->source == IMAGE_REGISTRY ? image_ref_name(ref, true)
					     : image_ref_familiar(&bare);
}

static void set_time(struct json *j, const char *key, int64_t t)
{
	char text[32];

	if (t != 0)
		text_rfc3339(t, text);
	json_set_string(j, key, t != 0 ? text : NULL);
}

static struct json *to_json(const struct described *d)
{
	struct json *j = json_object();
	auto_free char *name = d->ref.path || d->ref.host ? repository(&d->ref) : NULL;

	json_set_string(j, "reference", d->rec->reference);
	json_set_string(j, "repository", name);
	json_set_string(j, "tag", d->ref.tag);
	json_set_string(j, "digest", d->rec->digest);
	json_set_string(j, "manifest", d->rec->manifest);
	json_set_string(j, "media_type", d->rec->media_type);
	json_set_uint(j, "size", d->size);
	set_time(j, "created_at", d->created);
	set_time(j, "pulled_at", d->rec->pulled_at);
	json_set_strv(j, "in_use", &d->users);
	json_set_string(j, "problem", d->problem);
	return j;
}

static void add_row(struct term_table *t, const struct described *d)
{
	auto_free char *name = NULL;
	auto_free char *digest = NULL;
	char size[16], age[32];

	if (d->problem) {
		term_table_cell(t, d->rec->reference);
		for (size_t i = 1; i < t->columns; i++)
			term_table_cell(t, "-");
		return;
	}
	name = repository(&d->ref);
	digest = xstrndup(image_digest_hex(d->rec->digest), SHORT_DIGEST);
	cli_human_size(d->size, size);
	text_ago(d->created, (int64_t)time(NULL), age);
	term_table_cell(t, name);
	term_table_cell(t, d->ref.tag ? d->ref.tag : "-");
	term_table_cell(t, digest);
	term_table_cell(t, size);
	term_table_cell(t, d->created != 0 ? age : "-");
	if (d->users.n > 1) {
		auto_free char *count = xasprintf("%zu sandboxes", d->users.n);

		term_table_cell(t, count);
	} else {
		term_table_cell(t, d->users.n == 1 ? d->users.v[0] : "-");
	}
}

static int print_list(struct cli *c, const struct described *v, size_t n, struct err *e)
{
	static const char *const heads[] = { "REPOSITORY", "TAG",     "DIGEST",
					     "SIZE",	   "CREATED", "IN USE" };
	struct term_table t = { .columns = ARRAY_SIZE(heads) };
	auto_json list = json_array();
	auto_buf b = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		term_table_cell(&t, heads[i]);
	for (size_t i = 0; i < n; i++) {
		add_row(&t, &v[i]);
		json_append(list, to_json(&v[i]));
		if (c->v.quiet && !v[i].problem)
			buf_printf(&b, "%s\n", v[i].rec->digest);
		if (v[i].problem)
			term_warn("template %s: %s", v[i].rec->reference, v[i].problem);
	}
	if (!c->v.quiet && !cli_wants_json(c))
		term_table_write(&t, &b);
	term_table_clear(&t);
	return cli_wants_json(c) ? term_out_json(list, e) : term_out(&b, e);
}

static int template_ls(struct cli *c, struct err *e)
{
	auto_image_store s = { .fd = -1 };
	struct template_users users = { 0 };
	struct image_record *v = NULL;
	struct described *d = NULL;
	size_t n = 0;
	int r = image_store_open(c->engine.paths.data, &s, e);

	if (r == 0)
		r = template_users(c, &users, e);
	if (r == 0)
		r = image_store_list(&s, &v, &n, e);
	if (r == 0) {
		d = xcalloc(n ? n : 1, sizeof(*d));
		for (size_t i = 0; i < n; i++)
			describe(&s, &users, &v[i], &d[i]);
		r = print_list(c, d, n, e);
		for (size_t i = 0; i < n; i++)
			described_clear(&d[i]);
		free(d);
	}
	template_users_clear(&users);
	image_record_list_free(v, n);
	return r;
}

/* --- inspect -----------------------------------------------------------------------------------
 */

static struct json *layers_json(const struct described *d)
{
	struct json *list = json_array();

	for (size_t i = 0; i < d->manifest.nlayers; i++) {
		const struct image_descriptor *l = &d->manifest.layers[i];
		struct json *j = json_object();

		json_set_string(j, "digest", l->digest);
		json_set_string(j, "media_type", l->media_type);
		json_set_uint(j, "size", l->size);
		json_set_string(j, "diff_id",
				i < d->config.diff_ids.n ? d->config.diff_ids.v[i] : NULL);
		json_append(list, j);
	}
	return list;
}

static struct json *config_json(const struct image_config *c)
{
	struct json *j = json_object();

	json_set_strv(j, "env", &c->env);
	json_set_string(j, "working_dir", c->working_dir);
	json_set_string(j, "user", c->user);
	json_set_strv(j, "entrypoint", &c->entrypoint);
	json_set_strv(j, "cmd", &c->cmd);
	json_set(j, "labels", c->labels ? json_ref(c->labels) : json_object());
	return j;
}

static struct json *history_json(const struct image_config *c)
{
	struct json *list = json_array();

	for (size_t i = 0; i < c->nhistory; i++) {
		struct json *j = json_object();

		json_set_string(j, "created_at", c->history[i].created);
		json_set_string(j, "created_by", c->history[i].created_by);
		json_set_string(j, "comment", c->history[i].comment);
		json_set_bool(j, "empty_layer", c->history[i].empty_layer);
		json_append(list, j);
	}
	return list;
}

static struct json *inspect_json(const struct described *d)
{
	struct json *j = to_json(d);
	auto_free char *platform = NULL;

	if (d->problem)
		return j;
	platform = image_platform_text(&(struct image_platform){
		.os = d->config.os,
		.architecture = d->config.architecture,
		.variant = d->config.variant,
	});
	json_set_string(j, "platform", platform);
	json_set(j, "layers", layers_json(d));
	json_set(j, "config", config_json(&d->config));
	json_set(j, "history", history_json(&d->config));
	return j;
}

static int template_inspect(struct cli *c, struct err *e)
{
	auto_image_store s = { .fd = -1 };
	struct template_users users = { 0 };
	auto_json list = json_array();
	int code = CLI_EXIT_OK;
	int r = image_store_open(c->engine.paths.data, &s, e);

	if (r == 0)
		r = template_users(c, &users, e);
	for (size_t i = 1; r == 0 && i < c->operands.v.n; i++) {
		auto_image_record rec = { 0 };
		struct err why = ERR_INIT;
		struct described d;

		if (template_find(&s, c->operands.v.v[i], &rec, &why) < 0) {
			term_error(&why);
			code = cli_worse(code, cli_exit_code(c, &why));
			continue;
		}
		describe(&s, &users, &rec, &d);
		json_append(list, inspect_json(&d));
		described_clear(&d);
	}
	template_users_clear(&users);
	if (r == 0)
		r = term_out_json(list, e);
	return r < 0 ? r : code;
}

/* --- rm and prune ------------------------------------------------------------------------------
 */

/* Under the lock: nobody begins to use it meanwhile. */
static int remove_one(const struct image_store *s, const struct template_users *users,
		      const char *text, struct err *e)
{
	auto_image_record rec = { 0 };
	auto_strv names = STRV_INIT;
	auto_buf list = BUF_INIT;
	int r = template_find(s, text, &rec, e);

	if (r < 0 && e->kind != ERR_CORRUPT)
		return r;
	if (r == 0) {
		template_users_of(users, rec.manifest, &names);
	} else { /* a damaged record goes by its name */
		auto_image_ref ref = { 0 };

		r = template_ref(text, &ref, e);
		if (r < 0)
			return r;
		rec.reference = image_ref_canonical(&ref);
	}
	for (size_t i = 0; i < names.n; i++)
		buf_printf(&list, "%s%s", i ? " " : "", names.v[i]);
	if (names.n > 0) {
		err_set(e, ERR_CONFLICT, -EBUSY, "template '%s': in use by %s", rec.reference,
			buf_str(&list));
		return err_hint(e, "ward rm %s", buf_str(&list));
	}
	r = image_store_untag(s, rec.reference, e);
	if (r == 0) {
		buf_reset(&list);
		buf_printf(&list, "%s\n", rec.reference);
		r = term_out(&list, e);
	}
	return r;
}

static int template_rm(struct cli *c, struct err *e)
{
	auto_image_store s = { .fd = -1 };
	struct template_users users = { 0 };
	auto_close int lock = -1;
	int code = CLI_EXIT_OK;
	int r = image_store_open(c->engine.paths.data, &s, e);

	if (r == 0)
		r = image_store_lock(&s, IMAGE_LOCK_REFS, true, true, &lock, e);
	if (r == 0)
		r = template_users(c, &users, e);
	for (size_t i = 1; r == 0 && i < c->operands.v.n; i++) {
		struct err why = ERR_INIT;

		if (remove_one(&s, &users, c->operands.v.v[i], &why) < 0) {
			term_error(&why);
			code = cli_worse(code, cli_exit_code(c, &why));
		}
	}
	template_users_clear(&users);
	/* While somebody pulls, the content waits for the next time. */
	if (r == 0)
		(void)template_gc(c, &s, IMAGE_GC_KEEP_PARTIAL, false, NULL, NULL);
	return r < 0 ? r : code;
}

static int template_prune(struct cli *c, struct err *e)
{
	auto_image_store s = { .fd = -1 };
	struct image_gc sum = { 0 };
	auto_buf b = BUF_INIT;
	char size[16];
	int r = image_store_open(c->engine.paths.data, &s, e);

	if (r == 0)
		r = template_gc(c, &s, IMAGE_GC_DROP_CACHE | (c->v.dry_run ? IMAGE_GC_DRY_RUN : 0),
				true, &sum, e);
	if (r < 0)
		return r;
	cli_human_size(sum.bytes, size);
	buf_printf(&b, "%s %s: %zu blob%s, %zu unfinished download%s, %zu unpacked layer%s\n", size,
		   c->v.dry_run ? "would be freed" : "freed", sum.blobs, sum.blobs == 1 ? "" : "s",
		   sum.partials, sum.partials == 1 ? "" : "s", sum.layers,
		   sum.layers == 1 ? "" : "s");
	return term_out(&b, e);
}

/* --- build --------------------------------------------------------------------------------------
 */

static int template_build(struct cli *c, struct err *e)
{
	const char *word = c->operands.v.v[1];

	/* Without a name for the result, and when it cannot be a directory, it is an agent. */
	if (c->v.tag || c->v.file || word[0] == '.' || word[0] == '-' || strchr(word, '/'))
		return template_build_file(c, e);
	return template_build_agent(c, word, e);
}

/* --- the verb ----------------------------------------------------------------------------------
 */

static const struct cli_action actions[] = {
	{ "pull", 1, 1, "IMAGE", template_pull },
	{ "push", 1, 2, "TEMPLATE [IMAGE]", template_push },
	{ "ls", 0, 0, "no operand", template_ls },
	{ "list", 0, 0, "no operand", template_ls },
	{ "inspect", 1, SIZE_MAX, "TEMPLATE...", template_inspect },
	{ "rm", 1, SIZE_MAX, "TEMPLATE...", template_rm },
	{ "prune", 0, 0, "no operand", template_prune },
	{ "build", 1, 1, "AGENT, or -t NAME CONTEXT", template_build },
	{ "save", 1, 2, "SANDBOX NAME, or -o FILE TEMPLATE", template_save },
	{ "load", 0, 1, "[NAME]", template_load },
};

int cmd_template(struct cli *c, struct err *e)
{
	return cli_run_action(c, actions, ARRAY_SIZE(actions), e);
}
