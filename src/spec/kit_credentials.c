/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kit_credentials: which files hold an agent's login.
 *
 * A kit names them twice, below `ward:` and as an OAuth credential's file.  They follow between the
 * agent's sandboxes and, with --credentials host, come from the user's own home, so a kit must not
 * be able to name the keys that a user has for other things, nor a directory that holds them.
 */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

/* Below the home: nobody's login at an agent. */
static const char *const key_stores[] = {
	".ssh",
	".gnupg",
	".pki",
	".password-store",
	".local/share/keyrings",
	".local/share/kwalletd",
	".netrc",
	".git-credentials",
	".config/git/credentials",
	".mozilla",
	".config/google-chrome",
	".config/chromium",
	".config/ward",
	".local/share/ward",
};

bool kit_credential_refused(const char *path)
{
	auto_free char *absolute = xasprintf("/%s", path);

	for (size_t i = 0; i < ARRAY_SIZE(key_stores); i++) {
		auto_free char *top = xasprintf("/%s", key_stores[i]);

		if (fs_path_within(absolute, top) || fs_path_within(top, absolute))
			return true;
	}
	return false;
}

/* "~/x" or "<home>/x" as "x"; NULL when it is elsewhere. */
static const char *below_home(const char *path, const char *home)
{
	size_t n = strlen(home);

	if (text_starts(path, "~/"))
		return path + 2;
	return strncmp(path, home, n) == 0 && path[n] == '/' ? path + n + 1 : NULL;
}

/* One that lies below another one, or above, cannot be a file as well. */
static bool overlaps(const struct strv *list, const char *path)
{
	auto_free char *absolute = xasprintf("/%s", path);

	for (size_t i = 0; i < list->n; i++) {
		auto_free char *other = xasprintf("/%s", list->v[i]);

		if (fs_path_within(absolute, other) || fs_path_within(other, absolute))
			return true;
	}
	return false;
}

static void add_file(struct strv *list, const char *path)
{
	/* An absolute path could not be judged when the kit was read: the home was not known. */
	if (list->n < KIT_CREDENTIAL_FILES_MAX && !overlaps(list, path) &&
	    !kit_credential_refused(path))
		strv_add(list, path);
}

void kit_credential_files(const struct kit *k, const char *home, bool host, struct strv *ret)
{
	for (size_t i = 0; i < k->credential_files.n; i++)
		add_file(ret, k->credential_files.v[i]);
	for (size_t i = 0; i < k->ncredentials; i++) {
		const char *file = k->credentials[i].credential_file;
		const char *path = file ? below_home(file, home) : NULL;

		if (path && !(host && k->credentials[i].mixed))
			add_file(ret, path);
	}
}
