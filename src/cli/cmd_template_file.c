/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_template_file: save and load: a sandbox as a template, and templates that travel by file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

/* Beside FILE under another name until it is complete. */
static int save_to(const struct image_store *s, const struct image_record *rec, const char *file,
		   struct err *e)
{
	auto_free char *shown = text_escaped(file);
	auto_free char *part = xasprintf("%s.part", file);
	auto_close int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
	int r;

	if (fd < 0)
		return err_sys(e, "template save: %s", shown);
	r = image_save(s, rec, fd, e);
	if (r == 0 && rename(part, file) < 0)
		r = err_sys(e, "template save: %s", shown);
	if (r < 0)
		(void)unlink(part);
	return r;
}

static int save_file(const struct image_store *s, const struct image_record *rec, const char *file,
		     struct err *e)
{
	if (strcmp(file, "-") != 0)
		return save_to(s, rec, file, e);
	if (isatty(STDOUT_FILENO))
		return err_set(e, ERR_USAGE, -EINVAL,
			       "template save: standard output is a terminal");
	return image_save(s, rec, STDOUT_FILENO, e);
}

/* --- of a sandbox ------------------------------------------------------------------------------
 */

static int saved_name(const char *text, struct image_ref *ret, struct err *e)
{
	int r = image_ref_parse(text, ret, e);

	if (r < 0)
		return r;
	if (ret->source == IMAGE_REGISTRY && ret->tag)
		return 0;
	err_set(e, ERR_USAGE, -EINVAL, "template save: '%s' is no name for a template", text);
	return err_hint(e, "write a name as of images: ward template save SANDBOX NAME:TAG");
}

static struct json *saved_json(const struct engine_saved *saved)
{
	const struct image_layer *l = &saved->layer;
	struct json *j = json_object(), *left = json_object(), *layer = NULL;

	json_set_string(j, "reference", saved->record.reference);
	json_set_string(j, "digest", saved->record.digest);
	if (l->entries > 0) {
		layer = json_object();
		json_set_string(layer, "digest", l->digest);
		json_set_string(layer, "diff_id", l->diff_id);
		json_set_uint(layer, "size", l->size);
		json_set_uint(layer, "entries", l->entries);
		json_set_uint(layer, "bytes", l->bytes);
	}
	json_set(j, "layer", layer);
	json_set_uint(left, "sockets", l->devices);
	json_set_uint(left, "whiteout_names", l->names);
	json_set_uint(left, "attributes", l->xattrs);
	json_set(j, "left_out", left);
	return j;
}

static int print_saved(struct cli *c, const struct image_ref *ref, const struct engine_saved *saved,
		       struct err *e)
{
	const struct image_layer *l = &saved->layer;
	auto_free char *shown = image_ref_familiar(ref);
	auto_json j = saved_json(saved);
	auto_buf b = BUF_INIT;
	char size[16];

	cli_human_size(l->size, size);
	if (l->entries == 0)
		term_note(c, "%s was saved: nothing was changed in the sandbox", shown);
	else
		term_note(c, "%s was saved, with a layer of %s (%llu files)", shown, size,
			  (unsigned long long)l->entries);
	if (l->names > 0)
		term_note(c,
			  "left out: %llu names that begin with .wh., which mean something else "
			  "in an image",
			  (unsigned long long)l->names);
	/* Standard output is the archive's. */
	if (c->v.output && strcmp(c->v.output, "-") == 0)
		return 0;
	if (cli_wants_json(c))
		return term_out_json(j, e);
	buf_printf(&b, "%s\n", saved->record.digest);
	return term_out(&b, e);
}

static int save_sandbox(struct cli *c, const struct image_store *s, struct err *e)
{
	auto_free char *reference = NULL;
	auto_image_ref ref = { 0 };
	struct engine_saved saved = { 0 };
	struct sandbox *box = NULL;
	int r = saved_name(c->operands.v.v[2], &ref, e);

	if (r == 0)
		r = cli_find(c, c->operands.v.v[1], &box, e);
	if (r < 0)
		return r;
	reference = image_ref_canonical(&ref);
	r = c->ops->save(&c->engine, box, reference, &saved, e);
	if (r == 0 && c->v.output)
		r = save_file(s, &saved.record, c->v.output, e);
	if (r == 0)
		r = print_saved(c, &ref, &saved, e);
	engine_saved_clear(&saved);
	sandbox_free(box);
	return r;
}

/* --- the actions -------------------------------------------------------------------------------
 */

/* SANDBOX NAME [-o FILE], or -o FILE TEMPLATE. */
int template_save(struct cli *c, struct err *e)
{
	auto_image_store s = { .fd = -1 };
	auto_image_record rec = { 0 };
	auto_close int lock = -1;
	int r = image_store_open(c->engine.paths.data, &s, e);

	if (r == 0 && c->operands.v.n > 2)
		return save_sandbox(c, &s, e);
	if (r == 0 && !c->v.output) {
		err_set(e, ERR_USAGE, -EINVAL,
			"template save: a name for the template, or -o FILE is missing");
		r = err_hint(e, "ward template save SANDBOX NAME:TAG, or: ward template save -o "
				"FILE TEMPLATE");
	}
	if (r == 0)
		r = image_store_lock(&s, IMAGE_LOCK_CONTENT, false, true, &lock, e);
	if (r == 0)
		r = template_find(&s, c->operands.v.v[1], &rec, e);
	return r == 0 ? save_file(&s, &rec, c->v.output, e) : r;
}

int template_load(struct cli *c, struct err *e)
{
	const char *name = c->operands.v.n > 1 ? c->operands.v.v[1] : NULL;
	auto_free char *reference = NULL;
	auto_buf out = BUF_INIT;
	int r;

	if (!c->v.input)
		return err_set(e, ERR_USAGE, -EINVAL, "template load: -i FILE is missing");
	r = engine_template_load(&c->engine, c->v.input, name, &reference, e);
	if (r < 0)
		return r;
	text_escape(&out, reference, strlen(reference), SIZE_MAX);
	buf_putc(&out, '\n');
	return term_out(&out, e);
}
