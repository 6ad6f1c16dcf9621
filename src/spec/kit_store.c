/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kit_store: what the seed files of a kit become in a sandbox.
 *
 * Seed files may hold variables.  In a .json or .toml file a value lands inside a double-quoted
 * string, so it is escaped as such: the escapes used (\" \\ \b \t \n \f \r \uXXXX) mean the same in
 * both formats.  A value never ends the string that it stands in, whatever the name of a directory
 * holds.
 */
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

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
