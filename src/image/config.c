/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config: the configuration of an image (OCI image-spec, config.md; Docker's is the same).  Pure.
 *
 * A struct image_config is all that an image can say, and all of it is data: what is not read here
 * (ports, volumes, stop signals, health checks, ...) has no effect whatever it says.
 */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/image.h"

enum { ENV_MAX = 4096, WORDS_MAX = 4096, HISTORY_MAX = 4096, USER_NAME_MAX = 32, TIME_MAX = 64 };
#define UID_LIMIT 4294967294ULL /* the one above means "no id" to the kernel */

void image_config_clear(struct image_config *c)
{
	free(c->os);
	free(c->architecture);
	free(c->variant);
	free(c->created);
	strv_free(&c->env);
	free(c->working_dir);
	free(c->user);
	strv_free(&c->entrypoint);
	strv_free(&c->cmd);
	strv_free(&c->shell);
	strv_free(&c->on_build);
	strv_free(&c->diff_ids);
	json_unref(c->labels);
	for (size_t i = 0; i < c->nhistory; i++) {
		free(c->history[i].created);
		free(c->history[i].created_by);
		free(c->history[i].comment);
	}
	free(c->history);
	*c = (struct image_config){ 0 };
}

static int bad(struct err *e, const char *member, const char *why)
{
	return err_set(e, ERR_INPUT, -EINVAL, "image configuration: '%s' %s", member, why);
}

/* A text member that may be missing, null or empty: all of these are NULL. */
static int read_text(const struct json *j, const char *key, char **ret, struct err *e)
{
	const char *s;
	int r = json_get_string(j, key, &s);

	if (r < 0)
		return r == -ENOENT ? 0 : bad(e, key, "is not a text");
	*ret = s[0] ? xstrdup(s) : NULL;
	return 0;
}

static int read_words(const struct json *j, const char *key, size_t max, struct strv *ret,
		      struct err *e)
{
	int r = json_get_strv(j, key, ret);

	if (r < 0)
		return r == -ENOENT ? 0 : bad(e, key, "is not a list of texts");
	return ret->n > max ? bad(e, key, "has too many entries") : 0;
}

/* A variable without '=' would be taken from whoever starts the program: it is dropped. */
static int read_env(const struct json *j, struct strv *ret, struct err *e)
{
	auto_strv all = STRV_INIT;
	int r = read_words(j, "Env", ENV_MAX, &all, e);

	for (size_t i = 0; r == 0 && i < all.n; i++) {
		const char *eq = strchr(all.v[i], '=');

		if (eq && eq != all.v[i])
			strv_add(ret, all.v[i]);
	}
	return r;
}

static bool id_ok(const char *s)
{
	uint64_t id;

	return text_u64(s, UID_LIMIT, &id) == 0;
}

static bool name_ok(const char *s)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
	size_t n = strlen(s);

	if (n == 0 || n > USER_NAME_MAX || !strchr(first, s[0]))
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.-") == n;
}

/* NAME, UID, NAME:GROUP, NAME:GID or UID:GID. */
static bool user_ok(const char *text)
{
	auto_free char *user = xstrdup(text);
	char *group = strchr(user, ':');

	if (group)
		*group++ = '\0';
	if (id_ok(user))
		return !group || id_ok(group);
	return name_ok(user) && (!group || name_ok(group) || id_ok(group));
}

static int read_user(const struct json *j, char **ret, struct err *e)
{
	int r = read_text(j, "User", ret, e);

	if (r == 0 && *ret && !user_ok(*ret))
		return bad(e, "User", "is neither a name nor an id");
	return r;
}

static int read_working_dir(const struct json *j, char **ret, struct err *e)
{
	auto_free char *text = NULL;
	auto_free char *path = NULL;
	int r = read_text(j, "WorkingDir", &text, e);

	if (r < 0 || !text)
		return r;
	path = text[0] == '/' ? steal(&text) : xasprintf("/%s", text);
	if (fs_normalise(path, ret, NULL) < 0)
		return bad(e, "WorkingDir", "is not a plain path");
	if (fs_path_within(*ret, "/proc") || fs_path_within(*ret, "/sys"))
		return bad(e, "WorkingDir", "is in a file system of the kernel");
	return 0;
}

static int check_label(const char *key, struct json *v, void *arg)
{
	(void)key;
	(void)arg;
	return json_str(v) ? 0 : -EINVAL;
}

static int read_labels(const struct json *j, struct json **ret, struct err *e)
{
	struct json *labels = json_get(j, "Labels");

	if (!labels)
		return 0;
	if (!json_is_object(labels) || json_each(labels, check_label, NULL) != 0)
		return bad(e, "Labels", "is not a mapping of texts");
	*ret = json_ref(labels);
	return 0;
}

/* The member "config": how to run a program. */
static int read_run(const struct json *j, struct image_config *c, struct err *e)
{
	int r;

	if (!j)
		return 0;
	if (!json_is_object(j))
		return bad(e, "config", "is not an object");
	r = read_env(j, &c->env, e);
	if (r == 0)
		r = read_words(j, "Entrypoint", WORDS_MAX, &c->entrypoint, e);
	if (r == 0)
		r = read_words(j, "Cmd", WORDS_MAX, &c->cmd, e);
	if (r == 0)
		r = read_words(j, "Shell", WORDS_MAX, &c->shell, e);
	if (r == 0)
		r = read_words(j, "OnBuild", WORDS_MAX, &c->on_build, e);
	if (r == 0)
		r = read_user(j, &c->user, e);
	if (r == 0)
		r = read_working_dir(j, &c->working_dir, e);
	return r == 0 ? read_labels(j, &c->labels, e) : r;
}

static int read_diff_ids(const struct json *j, struct strv *ret, struct err *e)
{
	const char *type;
	int r;

	if (!json_is_object(j) || json_get_string(j, "type", &type) < 0 ||
	    strcmp(type, "layers") != 0 || !json_is_array(json_get(j, "diff_ids")))
		return bad(e, "rootfs", "is not a list of layers");
	r = read_words(j, "diff_ids", IMAGE_LAYERS_MAX, ret, e);
	for (size_t i = 0; r == 0 && i < ret->n; i++)
		r = image_digest_check("image configuration: layer", ret->v[i], e);
	return r;
}

static int read_history(const struct json *list, struct image_config *c, struct err *e)
{
	size_t n = json_len(list);

	if (!list)
		return 0;
	if (!json_is_array(list) || n > HISTORY_MAX)
		return bad(e, "history", "is not a list, or it is too long");
	c->history = xcalloc(n ? n : 1, sizeof(*c->history));
	for (size_t i = 0; i < n; i++) {
		struct image_history *h = &c->history[c->nhistory++];
		const struct json *j = json_at(list, i);
		int r = json_is_object(j) ? 0 : bad(e, "history", "has an entry that is no object");

		if (r == 0)
			r = read_text(j, "created", &h->created, e);
		if (r == 0)
			r = read_text(j, "created_by", &h->created_by, e);
		if (r == 0)
			r = read_text(j, "comment", &h->comment, e);
		if (r < 0)
			return r;
		(void)json_get_bool(j, "empty_layer", &h->empty_layer);
	}
	return 0;
}

static int read_platform(const struct json *j, struct image_config *c, struct err *e)
{
	int r = read_text(j, "os", &c->os, e);

	if (r == 0)
		r = read_text(j, "architecture", &c->architecture, e);
	if (r == 0)
		r = read_text(j, "variant", &c->variant, e);
	if (r == 0)
		r = read_text(j, "created", &c->created, e);
	if (r < 0)
		return r;
	if (!c->os || !c->architecture)
		return bad(e, "architecture", "or 'os' is missing");
	if (strcmp(c->os, "linux") != 0)
		return bad(e, "os", "is not linux");
	if (c->created && strlen(c->created) > TIME_MAX)
		return bad(e, "created", "is too long");
	return 0;
}

int image_config_parse(const char *text, size_t n, struct image_config *ret, struct err *e)
{
	auto_image_config c = { 0 };
	auto_json j = NULL;
	int r;

	if (n > IMAGE_DOCUMENT_MAX)
		return err_set(e, ERR_INPUT, -EFBIG, "image configuration: larger than %d MiB",
			       IMAGE_DOCUMENT_MAX >> 20);
	r = json_parse(text, n, &j, e);
	if (r < 0) {
		if (e)
			e->kind = ERR_INPUT;
		return err_prefix(e, "image configuration");
	}
	if (!json_is_object(j))
		return err_set(e, ERR_INPUT, -EINVAL, "image configuration: not a JSON object");
	r = read_platform(j, &c, e);
	if (r == 0)
		r = read_run(json_get(j, "config"), &c, e);
	if (r == 0)
		r = read_diff_ids(json_get(j, "rootfs"), &c.diff_ids, e);
	if (r == 0)
		r = read_history(json_get(j, "history"), &c, e);
	if (r < 0)
		return r;
	*ret = c;
	c = (struct image_config){ 0 };
	return 0;
}
