/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envfile: environment variables from -e and --env-file.  Pure functions.
 *
 * A file has one variable a line: NAME=VALUE, or NAME, which is taken from the caller's environment
 * when it is set there; empty lines and lines that begin with # are skipped.  Everything behind the
 * first = belongs to the value: there are no quotes and no escapes, as in Docker's files.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

enum { ENV_SHOWN_MAX = 60 };

static bool valid_name(const char *s, size_t n)
{
	if (n == 0 || (s[0] >= '0' && s[0] <= '9'))
		return false;
	for (size_t i = 0; i < n; i++) {
		bool word = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
			    (s[i] >= '0' && s[i] <= '9') || s[i] == '_';

		if (!word && s[i] != '.' && s[i] != '-')
			return false;
	}
	return true;
}

static const char *inherited(char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (; env && *env; env++) {
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return *env + n + 1;
	}
	return NULL;
}

int envfile_parse_one(const char *text, char *const *inherit, struct strv *ret, struct err *e)
{
	size_t n = strcspn(text, "=");
	auto_free char *name = xstrndup(text, n);
	const char *value = text[n] == '=' ? text + n + 1 : inherited(inherit, name);

	if (!valid_name(text, n)) {
		auto_buf shown = BUF_INIT;

		text_escape(&shown, text, n, ENV_SHOWN_MAX);
		return err_set(e, ERR_USAGE, -EINVAL, "'%s' is not the name of a variable",
			       buf_str(&shown));
	}
	if (!value)
		return 0;
	/* Passed on as JSON, which is UTF-8: anything else would arrive changed. */
	if (!text_is_utf8(value, strlen(value)))
		return err_set(e, ERR_USAGE, -EILSEQ, "variable %s: its value is not UTF-8", name);
	strv_env_set(ret, name, value);
	return 0;
}

int envfile_parse(const char *text, size_t n, const char *origin, char *const *inherit,
		  struct strv *ret, struct err *e)
{
	size_t at = 0;
	unsigned line = 0;

	if (memchr(text, '\0', n))
		return err_set(e, ERR_USAGE, -EINVAL, "%s: holds a NUL byte", origin);
	while (at < n) {
		const char *start = text + at;
		const char *end = memchr(start, '\n', n - at);
		size_t length = end ? (size_t)(end - start) : n - at;
		auto_free char *row = NULL;
		int r;

		at += length + 1;
		line++;
		if (length && start[length - 1] == '\r')
			length--;
		while (length && (*start == ' ' || *start == '\t')) {
			start++;
			length--;
		}
		if (length == 0 || *start == '#')
			continue;
		row = xstrndup(start, length);
		r = envfile_parse_one(row, inherit, ret, e);
		if (r < 0) {
			err_prefix(e, "%s:%u", origin, line);
			return r;
		}
	}
	return 0;
}
