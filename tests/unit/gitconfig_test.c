/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One variable of a git configuration file: what git-config(1) says, and what is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "spec/spec_internal.h"

static const struct {
	const char *text;
	const char *value; /* NULL: there is none */
} good[] = {
	{ "", NULL },
	{ "[core]\n\tbare = false\n\tworktree = ../../../sub\n", "../../../sub" },
	{ "[core] worktree=/a", "/a" },
	{ "[CORE]\nWorkTree = /a\n", "/a" },
	{ "[core]\r\n\tworktree = /a\r\n", "/a" },
	{ "# x\n; y\n[core] # z\n worktree = /a # b\n", "/a" },
	{ "[core]\nworktree = /a ; b\n", "/a" },
	{ "[core]\nworktree = \" /a # b \"\n", " /a # b " },
	{ "[core]\nworktree = /a\\\nb\n", "/ab" },
	{ "[core]\nworktree = \"/a\\\"\\\\\\tb\"\n", "/a\"\\\tb" },
	{ "[core]\nworktree = /a b  \t \n", "/a b" },
	{ "[core]\nworktree\n", "true" },
	{ "[core]\nworktree =\n", "" },
	{ "[core]\nworktree = /a\n[core]\nworktree = /b\n", "/b" },
	/* Others of that name. */
	{ "[core \"x\"]\nworktree = /a\n", NULL },
	{ "[core.x]\nworktree = /a\n", NULL },
	{ "[score]\nworktree = /a\n[core]\nworktreex = /a\n", NULL },
	{ "[remote \"a]\\\"b\"]\nurl = x\n[core]\nworktree = /a\n", "/a" },
	{ "[core]\n# worktree = /a\n", NULL },
	{ "[alias]\nx = \"!f() { \\\nworktree = /a; }\"\n[core]\n", NULL },
	/* Not followed. */
	{ "[include]\npath = /a\n[core]\nbare\n", NULL },
};

static const char *const bad[] = {
	"worktree = /a\n", /* in no section */
	"[core\nworktree = /a\n",    "[]\nworktree = /a\n",
	"[core \"x]\nworktree=1\n",  "[core x]\n",
	"[core]\nworktree /a\n",     "[core]\n= /a\n",
	"[core]\nworktree = \"/a\n", "[core]\nworktree = /a\\x\n",
	"[core]\nworktree = /a\\",   "[core]\n1x = 2\n",
	"[core \"a\" ]\n",	     "\xef\xbb\xbf[core]\n",
};

static void test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		auto_free char *value = NULL;

		assert_int_equal(gitconfig_get(good[i].text, strlen(good[i].text), "core",
					       "worktree", &value, NULL),
				 0);
		if (good[i].value) {
			assert_non_null(value);
			assert_string_equal(value, good[i].value);
		} else {
			assert_null(value);
		}
	}
}

static void test_refused(void **state)
{
	char untouched[] = "x";
	struct err e = ERR_INIT;
	char *value = untouched;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(
			gitconfig_get(bad[i], strlen(bad[i]), "core", "worktree", &value, &e),
			-EINVAL);
	assert_int_equal(gitconfig_get("[core]\0", 7, "core", "worktree", &value, &e), -EINVAL);
	assert_ptr_equal(value, untouched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
