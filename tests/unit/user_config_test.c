/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_config_test: which members of a user's settings reach the agent, where a kit's instructions
 * go, and which of the user's files are given in which way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/engine_internal.h"

static void merged_is(const char *theirs, const char *seed, const char *want)
{
	struct strv keys = STRV_INIT;
	auto_free char *got = NULL;

	strv_add(&keys, "model");
	strv_add(&keys, "theme");
	got = user_config_merge(theirs, strlen(theirs), &keys, seed);
	strv_free(&keys);
	if (!want) {
		assert_null(got);
		return;
	}
	assert_non_null(got);
	assert_string_equal(got, want);
}

static void merge(void **state)
{
	(void)state;
	merged_is("{\"model\": \"m\", \"hooks\": {\"model\": 1}, \"env\": {}}", NULL,
		  "{\n  \"model\": \"m\"\n}\n");
	/* The kit's own members win, and stay in front. */
	merged_is("{\"theme\": [1, {\"a\": null}], \"model\": \"theirs\", \"x\": 1}",
		  "{\"model\": \"own\"}",
		  "{\n  \"model\": \"own\",\n  \"theme\": [\n    1,\n    {\n      \"a\": null\n"
		  "    }\n  ]\n}\n");
	merged_is("{\"theme\": null}", NULL, "{\n  \"theme\": null\n}\n");
	merged_is("{}", "{}", "{\n}\n");
	merged_is("[1]", NULL, NULL);
	merged_is("{\"model\": \"m\"", NULL, NULL);
	merged_is("{\"model\": \"m\"} // c", NULL, NULL);
	merged_is("", NULL, NULL);
	merged_is("{}", "model = 1", NULL);
}

/* --- a home and a kit ------------------------------------------------------------------------- */

struct fixture {
	char dir[64];
	char *home;
	struct engine_context c;
	struct spec *spec;
	struct kit *kit;
};

static const char kit_text[] = "schemaVersion: \"2\"\n"
			       "kind: sandbox\n"
			       "name: tool\n"
			       "sandbox: {entrypoint: [tool]}\n"
			       "agentInstructions: {filename: NOTES.md, content: be kind}\n"
			       "setup:\n"
			       "  files:\n"
			       "    - {path: ~/.tool/themes/own.json, content: x}\n"
			       "ward:\n"
			       "  credentialFiles: [.tool/auth.json]\n"
			       "  userConfig:\n"
			       "    - path: .tool/TOOL.md\n"
			       "    - path: .tool/skills\n"
			       "    - path: .tool/themes\n"
			       "    - path: .tool/absent\n"
			       "    - path: .tool/keys\n"
			       "    - path: .tool/login\n"
			       "    - path: .tool/fifo\n"
			       "    - path: .tool/broken.json\n"
			       "      keys: [model]\n"
			       "    - path: .tool/settings.json\n"
			       "      keys: [model]\n";

static char *in_home(const struct fixture *f, const char *path)
{
	return fs_join(f->home, path);
}

static void put(const struct fixture *f, const char *path, const char *text)
{
	auto_free char *full = in_home(f, path);
	auto_close int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

static void make_link(const struct fixture *f, const char *target, const char *path)
{
	auto_free char *full = in_home(f, path);

	assert_int_equal(symlink(target, full), 0);
}

static int set_up(void **state)
{
	static const char *const dirs[] = { "",		".tool",	   ".tool/themes",
					    "dotfiles", "dotfiles/skills", ".ssh" };
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err e = ERR_INIT;

	memcpy(f->dir, "/tmp/ward-user-config.XXXXXX", sizeof("/tmp/ward-user-config.XXXXXX"));
	assert_non_null(mkdtemp(f->dir));
	f->home = fs_join(f->dir, "home");
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		auto_free char *path = in_home(f, dirs[i]);

		assert_int_equal(mkdir(path, 0700), 0);
	}
	put(f, ".tool/TOOL.md", "my rules");
	put(f, ".tool/auth.json", "{}");
	put(f, ".tool/broken.json", "{");
	put(f, ".tool/settings.json", "{\"model\": \"m\", \"secret\": 1}");
	make_link(f, "../dotfiles/skills", ".tool/skills");
	make_link(f, "../.ssh", ".tool/keys");
	make_link(f, "auth.json", ".tool/login");
	auto_free char *fifo = in_home(f, ".tool/fifo");

	assert_int_equal(mkfifo(fifo, 0600), 0);
	f->c.paths.home = f->home;
	f->c.paths.data = fs_join(f->dir, "data");
	f->c.paths.runtime = fs_join(f->dir, "run");
	f->c.paths.config = fs_join(f->dir, "config");
	f->spec = spec_new();
	assert_int_equal(kit_parse(kit_text, strlen(kit_text), "test", &f->kit, &e), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	auto_close int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(fs_remove_tree_at(tmp, f->dir + sizeof("/tmp"), NULL), 0);
	free(f->home);
	free(f->c.paths.data);
	free(f->c.paths.runtime);
	free(f->c.paths.config);
	spec_free(f->spec);
	kit_free(f->kit);
	free(f);
	return 0;
}

static int way_of(const struct user_config *u, const char *target)
{
	const struct user_config_item *i = user_config_at(u, target);

	return i ? (int)i->way : -1;
}

/* A kit that was only named on the command line lists what it likes. */
static void given(void **state)
{
	struct fixture *f = *state;
	struct user_config u;

	f->kit->user_config[0].given = true;
	user_config_find(&f->c, f->spec, f->kit, &u);
	assert_null(user_config_at(&u, "/home/agent/.tool/TOOL.md"));
	assert_non_null(user_config_at(&u, "/home/agent/.tool/skills"));
	assert_true(text_ends(u.refused.v[0],
			      ".tool/TOOL.md': a kit of --kit cannot show more of your home"));
	user_config_clear(&u);
}

static void ways(void **state)
{
	struct fixture *f = *state;
	struct user_config u;
	auto_free char *skills = in_home(f, "dotfiles/skills");
	auto_free char *merged = NULL;

	user_config_find(&f->c, f->spec, f->kit, &u);
	assert_int_equal(u.n, 4);
	assert_int_equal(way_of(&u, "/home/agent/.tool/TOOL.md"), USER_CONFIG_NOTED);
	/* A link of the user's is followed here and now. */
	assert_int_equal(way_of(&u, "/home/agent/.tool/skills"), USER_CONFIG_BOUND);
	assert_string_equal(user_config_at(&u, "/home/agent/.tool/skills")->source, skills);
	/* The kit brings a file for it. */
	assert_int_equal(way_of(&u, "/home/agent/.tool/themes"), USER_CONFIG_COPIED);
	assert_int_equal(way_of(&u, "/home/agent/.tool/settings.json"), USER_CONFIG_MERGED);
	merged = user_config_merged(user_config_at(&u, "/home/agent/.tool/settings.json"), NULL);
	assert_string_equal(merged, "{\n  \"model\": \"m\"\n}\n");
	/* Keys, a login, a FIFO, and what cannot be read in part. */
	assert_int_equal(u.refused.n, 4);
	assert_non_null(strstr(u.refused.v[0], "it holds credentials"));
	assert_non_null(strstr(u.refused.v[1], "it holds the agent's login"));
	assert_non_null(strstr(u.refused.v[2], "neither a file nor a directory"));
	assert_non_null(strstr(u.refused.v[3], "it holds no JSON object"));
	user_config_clear(&u);
	f->spec->agent_config = SPEC_AGENT_CONFIG_COPY;
	user_config_find(&f->c, f->spec, f->kit, &u);
	assert_int_equal(way_of(&u, "/home/agent/.tool/skills"), USER_CONFIG_COPIED);
	assert_int_equal(way_of(&u, "/home/agent/.tool/settings.json"), USER_CONFIG_MERGED);
	user_config_clear(&u);
	f->spec->agent_config = SPEC_AGENT_CONFIG_OFF;
	user_config_find(&f->c, f->spec, f->kit, &u);
	assert_int_equal(u.n, 0);
	assert_int_equal(u.refused.n, 0);
	user_config_clear(&u);
}

static void somebody_elses_place(void **state)
{
	struct fixture *f = *state;
	struct user_config u;

	f->spec->volumes = xcalloc(1, sizeof(*f->spec->volumes));
	f->spec->nvolumes = 1;
	f->spec->volumes[0].source = xstrdup("/srv/x");
	f->spec->volumes[0].target = xstrdup("/home/agent/.tool/skills/one");
	user_config_find(&f->c, f->spec, f->kit, &u);
	assert_int_equal(way_of(&u, "/home/agent/.tool/skills"), -1);
	user_config_clear(&u);
}

static void instructions(void **state)
{
	static const struct {
		const char *file;
		const char *target;
		const char *text;
	} cases[] = {
		{ "NOTES.md", "/home/agent/.tool/TOOL.md", "my rules\n\nbe kind" },
		{ NULL, "/home/agent/.tool/TOOL.md", "my rules\n\nbe kind" },
		{ ".tool/rules/kit.md", "/home/agent/.tool/rules/kit.md", "be kind" },
		{ "~/.tool/x.md", "/home/agent/.tool/x.md", "be kind" },
		{ "../x/y.md", NULL, NULL },
		{ "a/../../y.md", NULL, NULL },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct user_config u;

		free(f->kit->instructions_file);
		f->kit->instructions_file = cases[i].file ? xstrdup(cases[i].file) : NULL;
		user_config_find(&f->c, f->spec, f->kit, &u);
		if (cases[i].target) {
			auto_free char *text = user_config_notes(&u, f->kit->instructions);

			assert_string_equal(u.instructions, cases[i].target);
			assert_string_equal(text, cases[i].text);
		} else {
			assert_null(u.instructions);
		}
		user_config_clear(&u);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(merge),
		cmocka_unit_test_setup_teardown(ways, set_up, tear_down),
		cmocka_unit_test_setup_teardown(given, set_up, tear_down),
		cmocka_unit_test_setup_teardown(somebody_elses_place, set_up, tear_down),
		cmocka_unit_test_setup_teardown(instructions, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
