/* SPDX-License-Identifier: Apache-2.0 */
/*
 * templates: the store of templates as the command line sees it: finding one by what was written,
 * and who uses it.
 */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

int template_ref(const char *text, struct image_ref *ret, struct err *e)
{
	auto_image_ref ref = { 0 };
	auto_free char *path = NULL;
	int r = image_ref_parse(text, &ref, e);

	if (r < 0)
		return r;
	/* The same file has one name, wherever the command was given. */
	if (ref.path && fs_canonical(ref.path, &path, NULL) == 0) {
		free(ref.path);
		ref.path = steal(&path);
	}
	*ret = ref;
	ref = (struct image_ref){ 0 };
	return 0;
}

char *template_agent_name(const char *agent)
{
	return xasprintf("localhost/ward/%s:latest", agent);
}

static bool is_hex(const char *s)
{
	size_t n = strlen(s);

	return n >= 4 && n <= IMAGE_HEX_LEN && strspn(s, "0123456789abcdef") == n;
}

static bool has_prefix(const struct image_record *r, const char *hex)
{
	return !r->problem && (text_starts(image_digest_hex(r->digest), hex) ||
			       text_starts(image_digest_hex(r->manifest), hex));
}

/* By the beginning of a digest, when exactly one template has it. */
static int find_by_digest(const struct image_store *s, const char *hex, struct image_record *ret,
			  struct err *e)
{
	struct image_record *v = NULL;
	size_t n = 0, found = 0, at = 0;
	int r = image_store_list(s, &v, &n, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (has_prefix(&v[i], hex)) {
			at = i;
			found++;
		}
	}
	if (found == 1) {
		*ret = v[at];
		v[at] = (struct image_record){ 0 };
	} else if (found > 1) {
		r = err_set(e, ERR_CONFLICT, -EEXIST, "template '%s': several begin with it", hex);
		r = err_hint(e, "write its name: ward template ls");
	} else {
		r = -ENOENT;
	}
	image_record_list_free(v, n);
	return r;
}

int template_find(const struct image_store *s, const char *text, struct image_record *ret,
		  struct err *e)
{
	auto_image_ref ref = { 0 };
	auto_free char *reference = NULL;
	auto_free char *shown = NULL;
	/* As `template ls -q` writes it, or shorter. */
	const char *hex = text_starts(text, "sha256:") ? text + strlen("sha256:") : text;
	int r = template_ref(text, &ref, e);

	if (r < 0)
		return r;
	reference = image_ref_canonical(&ref);
	r = image_store_lookup(s, reference, ret, e);
	if (r == -ENOENT && is_hex(hex))
		r = find_by_digest(s, hex, ret, e);
	if (r != -ENOENT)
		return r;
	shown = image_ref_familiar(&ref);
	err_set(e, ERR_NOT_FOUND, -ENOENT, "no template '%s'", shown);
	if (hex != text)
		return err_hint(e, "ward template ls");
	return err_hint(e, "ward template ls, or: ward template pull %s", shown);
}

int template_ready(struct cli *c, struct spec_template *t, enum engine_pull pull, struct err *e)
{
	struct progress progress;
	int r;

	progress_begin(&progress, c->v.quiet);
	c->engine.transfer = progress_event;
	c->engine.transfer_arg = &progress;
	r = c->ops->template(&c->engine, t, pull, e);
	c->engine.transfer = NULL;
	progress_end(&progress);
	return r;
}

int template_users(struct cli *c, struct template_users *ret, struct err *e)
{
	struct sandbox **all = NULL;
	size_t n = 0;
	int r = state_list(&c->engine.paths, &all, &n, e);

	*ret = (struct template_users){ 0 };
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct spec *s = NULL;

		/* A damaged record names no template that could be kept for it. */
		if (cli_spec(all[i], &s, NULL) < 0)
			continue;
		if (s->tmpl.kind == SPEC_TEMPLATE_IMAGE && s->tmpl.digest) {
			strv_add(&ret->names, s->name);
			strv_add(&ret->manifests, s->tmpl.digest);
		}
		spec_free(s);
	}
	state_list_free(all, n);
	return r;
}

void template_users_clear(struct template_users *u)
{
	strv_free(&u->names);
	strv_free(&u->manifests);
}

void template_users_of(const struct template_users *u, const char *manifest, struct strv *names)
{
	for (size_t i = 0; i < u->names.n; i++) {
		if (strcmp(u->manifests.v[i], manifest) == 0)
			strv_add(names, u->names.v[i]);
	}
}

int template_gc(struct cli *c, const struct image_store *s, unsigned flags, bool wait,
		struct image_gc *ret, struct err *e)
{
	struct template_users users = { 0 };
	auto_close int lock = -1;
	int r = image_store_lock(s, IMAGE_LOCK_CONTENT, true, false, &lock, e);

	if (r == -EWOULDBLOCK && wait) {
		term_note(c, "waiting for another command that is at work in the template store");
		*e = ERR_INIT;
		r = image_store_lock(s, IMAGE_LOCK_CONTENT, true, true, &lock, e);
	}

	/* Who uses what is asked under the lock: a sandbox that is being made holds it too. */
	if (r == 0)
		r = template_users(c, &users, e);
	if (r == 0)
		r = image_store_gc(s, &users.manifests, flags, engine_remove_layer, ret, e);
	template_users_clear(&users);
	return r;
}
