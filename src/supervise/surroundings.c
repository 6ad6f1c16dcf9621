/* SPDX-License-Identifier: Apache-2.0 */
/*
 * surroundings: the caller's terminal type and language, as far as the box knows them.
 *
 * Both are names of files that come with a system, and the box may have another system than its
 * user. A terminal without a description leaves full-screen programs without a screen, a language
 * without a locale makes every perl and bash complain. So a name that is not known here is replaced
 * by one that is.  Called in init's child, with the rights of the user, inside.
 *
 * The archive of locales is read as glibc writes it (locale/locarchive.h): a head of 32-bit
 * numbers, of which the 6th and 7th are offset and length of the names, each with its NUL.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

static const char common_terminal[] = "xterm-256color";
static const char common_locale[] = "C.UTF-8";
static const char locale_dir[] = "/usr/lib/locale";

enum { ARCHIVE_STRINGS = 5, ARCHIVE_WORDS = 8, ARCHIVE_PREFIX = 1 << 20 };
#define LOCALE_MAGIC 0xde020109U

/* --- terminal types (term(5)) ----------------------------------------------------------------- */

static bool has_terminal(const char *term)
{
	static const char *const dirs[] = { "/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo",
					    "/usr/lib/terminfo", "/usr/local/share/terminfo" };

	if (!*term || strchr(term, '/'))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		auto_free char *letter = xasprintf("%s/%c/%s", dirs[i], *term, term);
		auto_free char *number =
			xasprintf("%s/%02x/%s", dirs[i], (unsigned char)*term, term);

		if (access(letter, R_OK) == 0 || access(number, R_OK) == 0)
			return true;
	}
	return false;
}

/* --- locales ---------------------------------------------------------------------------------- */

char *locale_normalised(const char *name)
{
	const char *dot = strchr(name, '.');
	const char *end = dot ? dot + strcspn(dot, "@") : NULL;
	bool digits = true;
	auto_buf set = BUF_INIT;

	if (!dot)
		return xstrdup(name);
	for (const char *p = dot + 1; p < end; p++) {
		if (!isalnum((unsigned char)*p))
			continue;
		digits = digits && isdigit((unsigned char)*p);
		buf_putc(&set, (char)tolower((unsigned char)*p));
	}
	return xasprintf("%.*s.%s%s%s", (int)(dot - name), name, digits ? "iso" : "", buf_str(&set),
			 end);
}

bool locale_archive_has(const void *bytes, size_t n, const char *name)
{
	uint32_t head[ARCHIVE_WORDS];
	size_t len = strlen(name) + 1;
	const char *p, *end;

	if (n < sizeof(head))
		return false;
	memcpy(head, bytes, sizeof(head));
	if (head[0] != LOCALE_MAGIC || head[ARCHIVE_STRINGS] > n ||
	    head[ARCHIVE_STRINGS + 1] > n - head[ARCHIVE_STRINGS])
		return false;
	p = (const char *)bytes + head[ARCHIVE_STRINGS];
	end = p + head[ARCHIVE_STRINGS + 1];
	while (p < end) {
		const char *nul = memchr(p, '\0', (size_t)(end - p));

		if (!nul)
			return false;
		if ((size_t)(nul - p) + 1 == len && memcmp(p, name, len) == 0)
			return true;
		p = nul + 1;
	}
	return false;
}

static bool in_archive(const char *name)
{
	auto_free char *path = fs_join(locale_dir, "locale-archive");
	auto_free char *bytes = NULL;
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return false;
	bytes = xmalloc(ARCHIVE_PREFIX);
	n = pread(fd, bytes, ARCHIVE_PREFIX, 0);
	return n > 0 && locale_archive_has(bytes, (size_t)n, name);
}

static bool has_locale(const char *name)
{
	static const char *const always[] = { "C", "POSIX", "C.UTF-8", "C.utf8" };
	auto_free char *normal = locale_normalised(name);
	auto_free char *as_given = fs_join(locale_dir, name);
	auto_free char *as_stored = fs_join(locale_dir, normal);

	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		if (strcmp(name, always[i]) == 0)
			return true;
	if (!*name || strchr(name, '/'))
		return false;
	return access(as_given, X_OK) == 0 || access(as_stored, X_OK) == 0 || in_archive(normal);
}

/* --- both ------------------------------------------------------------------------------------- */

const char *surroundings_fit(const char *name, const char *value)
{
	if (strcmp(name, "TERM") == 0)
		return has_terminal(value) || !has_terminal(common_terminal) ? value
									     : common_terminal;
	if (strcmp(name, "LANG") == 0 || text_starts(name, "LC_"))
		return has_locale(value) ? value : common_locale;
	return value;
}
