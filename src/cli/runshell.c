/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runshell: which shell the agent `shell` is: that of the image, if its own command is one, else
 * bash, else sh.
 */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

static const char *const shells[] = { "bash", "zsh", "fish", "ash", "dash", "sh" };
/* More in the image's command than these makes it a program that the shell runs. */
static const char *const options[] = { "-l", "-i", "-il", "-li", "--login", "--interactive" };

static bool is_one_of(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(word, list[i]) == 0)
			return true;
	}
	return false;
}

bool run_image_shell(const struct image_config *config, struct strv *ret)
{
	auto_strv command = STRV_INIT;
	const char *slash;

	strv_extend(&command, &config->entrypoint);
	strv_extend(&command, &config->cmd);
	if (command.n == 0)
		return false;
	slash = strrchr(command.v[0], '/');
	/* Relative to a directory that is not the workspace. */
	if (slash && command.v[0][0] != '/')
		return false;
	if (!is_one_of(slash ? slash + 1 : command.v[0], shells, ARRAY_SIZE(shells)))
		return false;
	for (size_t i = 1; i < command.n; i++) {
		if (!is_one_of(command.v[i], options, ARRAY_SIZE(options)))
			return false;
	}
	strv_extend(ret, &command);
	return true;
}

static bool is_shell(const struct kit *k)
{
	return k->entrypoint.n == 1 && strcmp(k->entrypoint.v[0], "bash") == 0 && k->binary &&
	       strcmp(k->binary, "bash") == 0;
}

static bool of_image(const struct cli *c, const struct spec *s, struct strv *ret)
{
	auto_image_store store = { .fd = -1 };
	auto_image_config config = { 0 };

	return s->tmpl.kind == SPEC_TEMPLATE_IMAGE && s->tmpl.digest &&
	       image_store_open(c->engine.paths.data, &store, NULL) == 0 &&
	       image_store_read(&store, s->tmpl.digest, NULL, &config, NULL) == 0 &&
	       run_image_shell(&config, ret);
}

bool run_entrypoint(const struct cli *c, const struct spec *s, const struct kit *k, unsigned n,
		    struct strv *ret)
{
	if (!is_shell(k)) {
		if (n == 0)
			strv_extend(ret, &k->entrypoint);
		return n == 0;
	}
	if (of_image(c, s, ret)) {
		if (n == 0)
			return true;
		strv_free(ret);
		n--;
	}
	if (n < 2)
		strv_add(ret, n == 0 ? "bash" : "sh");
	return n < 2;
}
