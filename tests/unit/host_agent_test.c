/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_agent_test: which directories of the host an agent's installation makes visible.
 *
 * Each case builds a small home in a temporary directory and checks both that what the program
 * needs is shown and that nothing beside it is.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/mem.h"
#include "engine/engine_internal.h"

static char home[] = "/tmp/host-agent-test.XXXXXX";

static int set_up(void **state)
{
	(void)state;
	memcpy(home + sizeof(home) - 7, "XXXXXX", 7);
	if (!mkdtemp(home))
		return -1;
	return setenv("PATH", "/nonexistent", 1);
}

static int tear_down(void **state)
{
	auto_close int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	return fs_remove_tree_at(tmp, strrchr(home, '/') + 1, NULL);
}

static char *at(const char *rel)
{
	return fs_join(home, rel);
}

static void make_dirs_for(const char *path)
{
	auto_free char *parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	struct err e = ERR_INIT;

	if (fs_mkdirs(parent, 0755, &e) < 0)
		fail_msg("%s", e.message);
}

static void make_program(const char *rel, const char *text)
{
	auto_free char *path = at(rel);
	int fd;

	make_dirs_for(path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static void make_link(const char *rel, const char *target)
{
	auto_free char *path = at(rel);

	make_dirs_for(path);
	assert_int_equal(symlink(target, path), 0);
}

/* Resolve what is found for `binary` and expect exactly one bind, `rel` below the home. */
static void expect_bind(const char *binary, const char *rel)
{
	struct kit k = { .binary = (char *)(uintptr_t)binary };
	auto_free char *found = engine_find_host_agent(&k, home, NULL);
	auto_free char *want = at(rel);
	struct host_program p = { 0 };
	struct err e = ERR_INIT;

	assert_non_null(found);
	if (host_program_resolve(found, home, NULL, &p, &e) < 0)
		fail_msg("%s", e.message);
	assert_int_equal(p.binds.n, 1);
	assert_string_equal(p.binds.v[0], want);
	host_program_clear(&p);
}

static void absent(void **state)
{
	struct kit k = { .binary = (char *)(uintptr_t) "no-such-agent" };

	(void)state;
	assert_null(engine_find_host_agent(&k, home, NULL));
}

static void vendor_installer(void **state)
{
	(void)state;
	make_program(".local/share/agent/versions/1.2.3", "x");
	make_link(".local/bin/agent", "../share/agent/versions/1.2.3");
	expect_bind("agent", ".local/share/agent/versions");
}

static void lone_file_in_a_shared_directory(void **state)
{
	(void)state;
	make_program(".local/bin/agent", "x");
	make_program(".local/bin/private-tool", "x");
	expect_bind("agent", ".local/bin/agent");
}

static void cargo_directory_is_never_shown(void **state)
{
	(void)state;
	make_program(".cargo/bin/agent", "x");
	make_program(".cargo/credentials.toml", "secret");
	expect_bind("agent", ".cargo/bin/agent");
}

static void global_npm_package_only(void **state)
{
	(void)state;
	make_program(".npm-global/lib/node_modules/@vendor/agent/bin/agent", "x");
	make_program(".npm-global/lib/node_modules/other/bin/other", "x");
	make_link(".npm-global/bin/agent", "../lib/node_modules/@vendor/agent/bin/agent");
	expect_bind("agent", ".npm-global/lib/node_modules/@vendor/agent");
}

static void local_npm_tree_whole(void **state)
{
	(void)state;
	make_program("node_modules/agent/cli", "x");
	make_program("node_modules/agent-linux-x64/agent", "x");
	make_program("node_modules/.package-lock.json", "{}");
	make_link("node_modules/.bin/agent", "../agent/cli");
	expect_bind("agent", "node_modules");
}

static void newest_nvm_version_with_its_node(void **state)
{
	struct kit k = { .binary = (char *)(uintptr_t) "agent" };
	auto_free char *found = NULL;
	auto_free char *node = at(".nvm/versions/node/v20.10.0/bin/node");
	auto_free char *package = at(".nvm/versions/node/v20.10.0/lib/node_modules/agent");
	struct host_program p = { 0 };

	(void)state;
	make_program(".nvm/versions/node/v20.9.0/bin/agent", "x");
	make_program(".nvm/versions/node/v20.10.0/bin/node", "x");
	make_program(".nvm/versions/node/v20.10.0/lib/node_modules/agent/cli.js",
		     "#!/usr/bin/env node\n");
	make_link(".nvm/versions/node/v20.10.0/bin/agent", "../lib/node_modules/agent/cli.js");
	found = engine_find_host_agent(&k, home, NULL);
	assert_non_null(found);
	assert_int_equal(host_program_resolve(found, home, NULL, &p, NULL), 0);
	assert_int_equal(p.binds.n, 2);
	assert_true(strv_contains(&p.binds, package));
	assert_true(strv_contains(&p.binds, node));
	assert_string_equal(p.interpreter, node);
	host_program_clear(&p);
}

static void own_prefix_of_a_tool(void **state)
{
	(void)state;
	make_program(".local/share/uv/tools/agent/bin/agent", "x");
	make_link(".local/bin/agent", "../share/uv/tools/agent/bin/agent");
	expect_bind("agent", ".local/share/uv/tools/agent");
}

static void system_program_needs_nothing(void **state)
{
	struct host_program p = { 0 };

	(void)state;
	assert_int_equal(host_program_resolve("/bin/sh", home, NULL, &p, NULL), 0);
	assert_int_equal(p.binds.n, 0);
	host_program_clear(&p);
}

static void relative_path_entries_are_ignored(void **state)
{
	struct kit k = { .binary = (char *)(uintptr_t) "agent" };

	(void)state;
	make_program("evil/agent", "x");
	assert_int_equal(chdir(home), 0);
	setenv("PATH", "evil:./evil:", 1);
	assert_null(engine_find_host_agent(&k, home, NULL));
	assert_int_equal(chdir("/"), 0);
}

/* What the agent left in its workspace does not choose what is shown of the rest. */
static void links_out_of_a_workspace_are_ignored(void **state)
{
	struct kit k = { .binary = (char *)(uintptr_t) "agent" };
	auto_free char *bin = at("project/.venv/bin");
	auto_free char *genuine = at("project/.venv/bin/agent");
	auto_free char *found = NULL;
	struct spec *s = spec_new();

	(void)state;
	s->workspaces = xcalloc(1, sizeof(*s->workspaces));
	s->nworkspaces = 1;
	s->workspaces[0].path = at("project");
	make_program("private/keys/script", "x");
	make_link("project/.venv/bin/agent", "../../../private/keys/script");
	setenv("PATH", bin, 1);
	assert_null(engine_find_host_agent(&k, home, s));
	assert_int_equal(unlink(genuine), 0);
	make_program("project/.venv/bin/agent", "x");
	found = engine_find_host_agent(&k, home, s);
	assert_non_null(found);
	assert_string_equal(found, genuine);
	spec_free(s);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(absent),
		CASE(vendor_installer),
		CASE(lone_file_in_a_shared_directory),
		CASE(cargo_directory_is_never_shown),
		CASE(global_npm_package_only),
		CASE(local_npm_tree_whole),
		CASE(newest_nvm_version_with_its_node),
		CASE(own_prefix_of_a_tool),
		CASE(system_program_needs_nothing),
		CASE(relative_path_entries_are_ignored),
		CASE(links_out_of_a_workspace_are_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
