/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_build_stage: the image of a stage of a build: where it begins, what its instructions see
 * of it, and its documents in the store.
 */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/build_internal.h"

void build_stage_clear(struct build_stage *s)
{
	free(s->name);
	strv_free(&s->words);
	free(s->base);
	for (size_t i = 0; i < s->nlayers; i++)
		image_layer_clear(&s->layers[i]);
	free(s->layers);
	for (size_t i = 0; i < s->nhistory; i++) {
		free(s->history[i].created);
		free(s->history[i].created_by);
		free(s->history[i].comment);
	}
	free(s->history);
	free(s->created);
	strv_free(&s->args);
	strv_free(&s->env);
	strv_free(&s->shell);
	strv_free(&s->entrypoint);
	strv_free(&s->cmd);
	free(s->workdir);
	free(s->user);
	json_unref(s->labels);
	strv_free(&s->on_build);
}

static char *copy_text(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

/* FROM another stage: its image, as it is at its end. */
void build_stage_inherit(struct build_stage *s, const struct build_stage *from)
{
	s->base = copy_text(from->base);
	s->layers = xcalloc(from->nlayers + 1, sizeof(*s->layers));
	for (; s->nlayers < from->nlayers; s->nlayers++) {
		s->layers[s->nlayers] = from->layers[s->nlayers];
		s->layers[s->nlayers].digest = xstrdup(from->layers[s->nlayers].digest);
		s->layers[s->nlayers].diff_id = xstrdup(from->layers[s->nlayers].diff_id);
	}
	s->history = xcalloc(from->nhistory + 1, sizeof(*s->history));
	for (; s->nhistory < from->nhistory; s->nhistory++) {
		const struct image_history *h = &from->history[s->nhistory];

		s->history[s->nhistory] =
			(struct image_history){ .created = copy_text(h->created),
						.created_by = copy_text(h->created_by),
						.comment = copy_text(h->comment),
						.empty_layer = h->empty_layer };
	}
	s->created = copy_text(from->created);
	memcpy(s->key, from->key, sizeof(s->key));
	strv_extend(&s->env, &from->env);
	strv_extend(&s->shell, &from->shell);
	strv_extend(&s->entrypoint, &from->entrypoint);
	strv_extend(&s->cmd, &from->cmd);
	s->workdir = copy_text(from->workdir);
	s->user = copy_text(from->user);
	s->labels = from->labels ? json_ref(from->labels) : NULL;
}

int build_from_image(struct build *b, const char *ref, struct build_stage *ret, struct err *e)
{
	struct spec_template t = { .kind = SPEC_TEMPLATE_IMAGE, .ref = xstrdup(ref) };
	auto_image_config config = { 0 };
	auto_buf key = BUF_INIT;
	int r = native_template(b->c, &t, b->q->pull, e);

	if (r == 0)
		image_lease_image(&b->store, t.digest);
	engine_release_template(b->c);
	if (r == 0)
		r = image_store_read(&b->store, t.digest, NULL, &config, e);
	if (r == 0) {
		build_key_add(&key, "image", t.digest);
		sha256_hex(key.data, key.len, ret->key);
		ret->base = steal(&t.digest);
		ret->created = copy_text(config.created);
		strv_extend(&ret->env, &config.env);
		strv_extend(&ret->shell, &config.shell);
		strv_extend(&ret->entrypoint, &config.entrypoint);
		strv_extend(&ret->cmd, &config.cmd);
		strv_extend(&ret->on_build, &config.on_build);
		ret->workdir = copy_text(config.working_dir);
		ret->user = copy_text(config.user);
		ret->labels = config.labels ? json_ref(config.labels) : NULL;
	}
	spec_template_clear(&t);
	return r;
}

static void set_list(struct json *j, const char *key, const struct strv *list)
{
	if (list->n)
		json_set_strv(j, key, list);
	else
		json_set(j, key, NULL);
}

int build_manifest(struct build *b, const struct build_stage *s, const char *reference,
		   struct image_record *ret, struct err *e)
{
	auto_json config = json_object();
	struct image_composition c = { .helper = b->image_helper,
				       .base = s->base,
				       .layers = s->layers,
				       .nlayers = s->nlayers,
				       .history = s->history,
				       .nhistory = s->nhistory,
				       .created = s->created ? s->created : "1970-01-01T00:00:00Z",
				       .config = config };

	auto_close int lock = -1;
	int r;

	if (!reference && s->nlayers == 0) { /* there is nothing to write down */
		*ret = (struct image_record){ .manifest = copy_text(s->base) };
		return 0;
	}
	set_list(config, "Env", &s->env);
	set_list(config, "Entrypoint", &s->entrypoint);
	set_list(config, "Cmd", &s->cmd);
	if (s->shell.n)
		json_set_strv(config, "Shell", &s->shell);
	if (s->workdir)
		json_set_string(config, "WorkingDir", s->workdir);
	if (s->user)
		json_set_string(config, "User", s->user);
	if (s->labels)
		json_set(config, "Labels", json_ref(s->labels));
	json_set(config, "OnBuild", NULL); /* they were run */
	r = image_store_lock(&b->store, IMAGE_LOCK_CONTENT, false, true, &lock, e);
	if (r == 0)
		r = image_compose(&b->store, &c, reference, ret, e);
	if (r == 0)
		image_lease_image(&b->store, ret->manifest);
	return r;
}

/* --- variables and paths ---------------------------------------------------------------------- */

void build_vars(const struct build_stage *s, struct strv *ret)
{
	strv_extend(ret, &s->args);
	for (size_t i = 0; i < s->env.n; i++) {
		const char *eq = strchr(s->env.v[i], '=');
		auto_free char *key = xstrndup(s->env.v[i], (size_t)(eq - s->env.v[i]));

		strv_env_set(ret, key, eq + 1);
	}
}

int build_expand(const struct build *b, const struct build_stage *s, const char *text, char **ret,
		 struct err *e)
{
	auto_strv vars = STRV_INIT;

	build_vars(s, &vars);
	return dockerfile_expand(text, b->file->escape, DOCKERFILE_WORD, &vars, ret, e);
}

char *build_path(const struct build_stage *s, const char *path)
{
	auto_free char *joined =
		*path == '/' ? xstrdup(path) : fs_join(s->workdir ? s->workdir : "/", path);
	auto_buf out = BUF_INIT;

	for (const char *p = joined; *p;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.') {
			char *slash = out.len ? strrchr(out.data, '/') : NULL;

			if (slash)
				buf_truncate(&out, (size_t)(slash - out.data));
		} else if (n && !(n == 1 && *p == '.')) {
			buf_putc(&out, '/');
			buf_add(&out, p, n);
		}
		p += n;
		p += *p == '/';
	}
	return out.len ? buf_steal(&out) : xstrdup("/");
}
