/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kits that are built in: each one loads, and keeps what every agent's kit promises.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "spec/spec.h"

/* Members of an agent's settings that run programs, open doors or hold keys: never the user's. */
static const char *const dangerous_keys[] = {
	"hooks",	"env",	      "apiKeyHelper", "statusLine", "mcpServers", "mcp",
	"permissions",	"permission", "plugin",	      "plugins",    "provider",	  "providers",
	"customModels", "security",   "tools",	      "command",    "extensions", "lsp",
};

/* JSON files that hold nothing else than what they are named after. */
static const char *const harmless_files[] = {
	".claude/keybindings.json",
	".aider.model.metadata.json",
};

static bool is_harmless(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(harmless_files); i++)
		if (strcmp(path, harmless_files[i]) == 0)
			return true;
	return false;
}

static void check_seeds(const struct kit *k)
{
	auto_strv env = STRV_INIT;
	struct kit_vars v = { .workdir = "/w/a\"b", .home = "/home/agent", .env = &env };
	struct err e = ERR_INIT;

	for (size_t i = 0; i < k->nfiles; i++) {
		auto_free char *text = kit_file_render(&k->files[i], &v);
		auto_json j = NULL;

		assert_true(k->files[i].only_if_missing);
		if (text_ends(k->files[i].path, ".json") &&
		    json_parse(text, strlen(text), &j, &e) < 0)
			fail_msg("%s: %s: %s", k->name, k->files[i].path, e.message);
	}
}

static void check_user_config(const struct kit *k)
{
	for (size_t i = 0; i < k->nuser_config; i++) {
		const struct kit_user_config *u = &k->user_config[i];

		/* Neither a login nor a directory that holds one. */
		for (size_t c = 0; c < k->credential_files.n; c++)
			if (fs_path_within(k->credential_files.v[c], u->path))
				fail_msg("%s: %s is a credential", k->name, u->path);
		for (size_t d = 0; d < ARRAY_SIZE(dangerous_keys); d++)
			if (strv_contains(&u->keys, dangerous_keys[d]))
				fail_msg("%s: %s: %s", k->name, u->path, dangerous_keys[d]);
		if (text_ends(u->path, ".json") && u->keys.n == 0 && !is_harmless(u->path))
			fail_msg("%s: %s: which members?", k->name, u->path);
	}
}

/* What every agent's kit has, so that it can be found, reached and installed. */
static void check_agent(const struct kit *k)
{
	if (!k->binary || !k->display_name || !k->description || !k->install_hint)
		fail_msg("%s: no program, name, description or way to install it", k->name);
	if (k->net_allow.n == 0)
		fail_msg("%s: no hosts", k->name);
	if (k->ncredentials == 0 && k->credential_files.n == 0)
		fail_msg("%s: no way to sign in", k->name);
	for (size_t i = 0; i < k->ncredentials; i++)
		if (!k->credentials[i].env_name)
			fail_msg("%s: %s: no variable", k->name, k->credentials[i].service);
	check_seeds(k);
	check_user_config(k);
}

static void test_builtin(void **state)
{
	static const char *const expected[] = {
		"aider", "amp",	   "claude",   "cline",	       "codex", "continue", "copilot",
		"crush", "cursor", "devin",    "docker-agent", "droid", "gemini",   "goose",
		"kilo",	 "kiro",   "opencode", "pi",	       "qwen",	"shell",
	};
	auto_strv names = STRV_INIT;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(kit_names(NULL, &names, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_true(strv_contains(&names, expected[i]));
	for (size_t i = 0; i < names.n; i++) {
		struct kit *k = NULL;

		if (i > 0)
			assert_true(strcmp(names.v[i - 1], names.v[i]) < 0);
		if (kit_load(names.v[i], NULL, NULL, &k, &e) < 0)
			fail_msg("%s: %s", names.v[i], e.message);
		assert_string_equal(k->name, names.v[i]);
		assert_string_equal(k->origin, "built-in");
		assert_true(k->entrypoint.n > 0);
		if (strcmp(k->name, "shell") != 0)
			check_agent(k);
		kit_free(k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_builtin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
