/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kit_store: where kits come from, and what their seed files become in a sandbox.
 *
 * A kit is found by name: first the user's, <config>/kits/NAME/spec.yaml, then those embedded at
 * build time.  Both go through the same parser.
 *
 * Seed files may hold variables.  In a .json or .toml file a value lands inside a double-quoted
 * string, so it is escaped as such: the escapes used (\" \\ \b \t \n \f \r \uXXXX) mean the same in
 * both formats.  A value never ends the string that it stands in, whatever the name of a directory
 * holds.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

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

static char *user_kit_path(const char *config_dir, const char *name)
{
	return xasprintf("%s/kits/%s/spec.yaml", config_dir, name);
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

/* A kit in a place that is looked up by name must be what that name promises. */
static int check_found(const struct kit *k, const char *name, struct err *e)
{
	if (strcmp(k->name, name) != 0)
		return err_set(e, ERR_INPUT, -EINVAL, "%s: the kit's name is '%s', not '%s'",
			       k->origin, k->name, name);
	if (strcmp(k->kind, "sandbox") != 0)
		return err_set(e, ERR_INPUT, -EINVAL,
			       "%s: a mixin adds to an agent and cannot be run alone", k->origin);
	return 0;
}

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

int kit_load(const char *name, const char *config_dir, const struct kit_extras *extras,
	     struct kit **ret, struct err *e)
{
	const struct kit_embedded *embedded;
	auto_free char *path = NULL;
	auto_buf text = BUF_INIT;
	struct kit *k = NULL;
	int r = -ENOENT;

	(void)extras;
	/* The name becomes part of a path: no other name can be a kit's. */
	if (text_check_name("agent", name, NULL) < 0)
		return unknown_agent(name, config_dir, e);
	if (config_dir) {
		path = user_kit_path(config_dir, name);
		r = spec_read_file(path, &text, e);
		if (r < 0 && r != -ENOENT && r != -ENOTDIR)
			return r;
	}
	embedded = find_embedded(name);
	if (r == 0)
		r = kit_parse(buf_str(&text), text.len, path, &k, e);
	else if (embedded)
		r = kit_parse(embedded->text, embedded->n, "built-in", &k, e);
	else
		return unknown_agent(name, config_dir, e);
	if (r == 0)
		r = check_found(k, name, e);
	if (r < 0) {
		kit_free(k);
		return r;
	}
	if (e)
		*e = ERR_INIT; /* looking for the user's own may have left a message */
	*ret = k;
	return 0;
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
		path = user_kit_path(config_dir, d->d_name);
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

/* Bytes as the inside of a double-quoted string of JSON or TOML. */
static void add_quoted(struct buf *out, const char *s, size_t n)
{
	static const char plain[] = "\b\t\n\f\r\"\\";
	static const char letter[] = "btnfr\"\\";
	bool utf8 = text_is_utf8(s, n);

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		const char *at = c ? strchr(plain, c) : NULL;

		if (at)
			buf_printf(out, "\\%c", letter[at - plain]);
		else if (c < 0x20 || c == 0x7f)
			buf_printf(out, "\\u%04x", c);
		else if (c >= 0x80 && !utf8)
			buf_puts(out, "\\ufffd"); /* neither format can say the byte itself */
		else
			buf_putc(out, (char)c);
	}
}

enum { TAIL_BYTES = 20 };

/* One variable of a seed: the text after its prefix, and where its value goes. */
struct seed_variable {
	const char *prefix;
	bool takes_text; /* else the prefix is all there is */
	void (*value)(const char *text, const struct kit_vars *v, struct buf *out);
};

static const char *env_value(const char *name, const struct kit_vars *v)
{
	const char *value = v->env ? strv_env_get(v->env, name) : NULL;

	return value ? value : "";
}

static void value_workdir(const char *text, const struct kit_vars *v, struct buf *out)
{
	(void)text;
	buf_puts(out, v->workdir);
}

static void value_home(const char *text, const struct kit_vars *v, struct buf *out)
{
	(void)text;
	buf_puts(out, v->home);
}

/* NAME or NAME:-TEXT for when it is unset or empty. */
static void value_env(const char *text, const struct kit_vars *v, struct buf *out)
{
	const char *otherwise = strstr(text, ":-");
	auto_free char *name =
		otherwise ? xstrndup(text, (size_t)(otherwise - text)) : xstrdup(text);
	const char *value = env_value(name, v);

	buf_puts(out, *value || !otherwise ? value : otherwise + 2);
}

static void value_tail(const char *text, const struct kit_vars *v, struct buf *out)
{
	const char *value = env_value(text, v);
	size_t n = strlen(value);

	buf_puts(out, n > TAIL_BYTES ? value + n - TAIL_BYTES : value);
}

/* NAME=TEXT,NAME=TEXT,TEXT: the text of the first variable that is set and not empty. */
static void value_when(const char *text, const struct kit_vars *v, struct buf *out)
{
	for (;;) {
		const char *end = strchrnul(text, ',');
		const char *eq = memchr(text, '=', (size_t)(end - text));
		auto_free char *name = eq ? xstrndup(text, (size_t)(eq - text)) : NULL;

		if (!name || *env_value(name, v)) {
			text = eq ? eq + 1 : text;
			buf_add(out, text, (size_t)(end - text));
			return;
		}
		if (!*end)
			return;
		text = end + 1;
	}
}

static const struct seed_variable seed_variables[] = {
	{ "WORKDIR", false, value_workdir }, { "HOME", false, value_home },
	{ "ENV:", true, value_env },	     { "ENV_TAIL20:", true, value_tail },
	{ "WHEN:", true, value_when },
};

/* The value of ${text}, or false when it is none of ours. */
static bool seed_value(const char *text, const struct kit_vars *v, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(seed_variables); i++) {
		const struct seed_variable *s = &seed_variables[i];
		size_t n = strlen(s->prefix);

		if (s->takes_text ? text_starts(text, s->prefix) : strcmp(text, s->prefix) == 0) {
			s->value(text + n, v, out);
			return true;
		}
	}
	return false;
}

char *kit_file_render(const struct kit_file *f, const struct kit_vars *v)
{
	bool quoted = text_ends(f->path, ".json") || text_ends(f->path, ".toml");
	const char *p = f->content;
	auto_buf out = BUF_INIT;

	while (*p) {
		const char *open = strstr(p, "${");
		const char *close = open ? strchr(open, '}') : NULL;
		auto_free char *name = NULL;
		auto_buf value = BUF_INIT;

		if (!close)
			break;
		buf_add(&out, p, (size_t)(open - p));
		name = xstrndup(open + 2, (size_t)(close - open - 2));
		if (!seed_value(name, v, &value)) { /* not ours: the text stays, and what is inside
						       it is looked at */
			buf_puts(&out, "${");
			p = open + 2;
			continue;
		}
		if (quoted)
			add_quoted(&out, buf_str(&value), value.len);
		else
			buf_add(&out, buf_str(&value), value.len);
		p = close + 1;
	}
	buf_puts(&out, p);
	return buf_steal(&out);
}

char *kit_path(const char *path, const char *home)
{
	return text_starts(path, "~/") ? fs_join(home, path + 2) : xstrdup(path);
}
