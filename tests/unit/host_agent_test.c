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

/* Bun and Yarn put the package of the platform beside the agent's. */
static void hoisted_global_tree_whole(void **state)
{
	(void)state;
	make_program(".bun/install/global/node_modules/@vendor/agent/bin/agent", "x");
	make_program(".bun/install/global/node_modules/@vendor/agent-linux-x64/agent", "x");
	make_program(".bun/install/global/bun.lock", "{}");
	make_program(".bun/install/cache/private", "x");
	make_link(".bun/bin/agent", "../install/global/node_modules/@vendor/agent/bin/agent");
	expect_bind("agent", ".bun/install/global/node_modules");
}

/* The wrapper's package has the package of the platform inside: a global installation of npm. */
static void wrapper_and_its_platform_package(void **state)
{
	(void)state;
	make_program(".npm-global/lib/node_modules/agent/bin/agent.js", "x");
	make_program(".npm-global/lib/node_modules/agent/node_modules/agent-linux-x64/agent", "x");
	make_link(".npm-global/lib/node_modules/agent/bin/agent",
		  "../node_modules/agent-linux-x64/agent");
	make_link(".npm-global/bin/agent", "../lib/node_modules/agent/bin/agent");
	expect_bind("agent", ".npm-global/lib/node_modules/agent");
}

static void vendor_directory_of_its_own(void **state)
{
	(void)state;
	make_program(".opencode/bin/agent", "x");
	make_program(".opencode/private", "x");
	expect_bind("agent", ".opencode/bin/agent");
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

/* A virtual environment with a Python that is neither in it nor the system's. */
static void python_tool_with_its_interpreter(void **state)
{
	struct kit k = { .binary = (char *)(uintptr_t) "agent" };
	auto_free char *shebang = NULL;
	auto_free char *found = NULL;
	auto_free char *tool = at(".local/share/uv/tools/agent");
	auto_free char *python = at(".local/share/uv/python/cpython-3.12");
	struct host_program p = { 0 };

	(void)state;
	shebang = xasprintf("#!%s/bin/python -E\n", tool);
	make_program(".local/share/uv/python/cpython-3.12/bin/python3.12", "x");
	make_program(".local/share/uv/tools/agent/bin/agent", shebang);
	make_link(".local/share/uv/tools/agent/bin/python",
		  "../../../python/cpython-3.12/bin/python3.12");
	make_link(".local/bin/agent", "../share/uv/tools/agent/bin/agent");
	found = engine_find_host_agent(&k, home, NULL);
	assert_non_null(found);
	assert_int_equal(host_program_resolve(found, home, NULL, &p, NULL), 0);
	assert_int_equal(p.binds.n, 2);
	assert_true(strv_contains(&p.binds, tool));
	assert_true(strv_contains(&p.binds, python));
	host_program_clear(&p);
}

/* The system's Python is there anyway. */
static void python_tool_with_the_systems(void **state)
{
	auto_free char *tool = at(".local/share/pipx/venvs/agent");
	auto_free char *shebang = NULL;

	(void)state;
	shebang = xasprintf("#!%s/bin/python\n", tool);
	make_program(".local/share/pipx/venvs/agent/bin/agent", shebang);
	make_link(".local/share/pipx/venvs/agent/bin/python", "/bin/sh");
	make_link(".local/bin/agent", "../share/pipx/venvs/agent/bin/agent");
	expect_bind("agent", ".local/share/pipx/venvs/agent");
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

/* Nor does the first line of a script there. */
static void interpreter_outside_of_a_workspace_is_not_shown(void **state)
{
	auto_free char *script = at("project/.venv/bin/agent");
	auto_free char *outside = at("private/keys");
	auto_free char *shebang = NULL;
	struct spec *s = spec_new();
	struct host_program p = { 0 };

	(void)state;
	s->workspaces = xcalloc(1, sizeof(*s->workspaces));
	s->nworkspaces = 1;
	s->workspaces[0].path = at("project");
	shebang = xasprintf("#!%s/script\n", outside);
	make_program("private/keys/script", "x");
	make_program("project/.venv/bin/agent", shebang);
	assert_int_equal(host_program_resolve(script, home, s, &p, NULL), 0);
	assert_false(strv_contains(&p.binds, outside));
	host_program_clear(&p);
	/* Without a sandbox that could have written it, it is. */
	assert_int_equal(host_program_resolve(script, home, NULL, &p, NULL), 0);
	assert_true(strv_contains(&p.binds, outside));
	host_program_clear(&p);
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
		CASE(hoisted_global_tree_whole),
		CASE(wrapper_and_its_platform_package),
		CASE(vendor_directory_of_its_own),
		CASE(newest_nvm_version_with_its_node),
		CASE(own_prefix_of_a_tool),
		CASE(python_tool_with_its_interpreter),
		CASE(python_tool_with_the_systems),
		CASE(system_program_needs_nothing),
		CASE(relative_path_entries_are_ignored),
		CASE(links_out_of_a_workspace_are_ignored),
		CASE(interpreter_outside_of_a_workspace_is_not_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
