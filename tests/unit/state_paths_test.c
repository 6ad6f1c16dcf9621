/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where state lives, and which places are refused.
 */
#include "state_fixture.h"

static int bare_setup(void **state)
{
	struct fixture *f;

	fixture_make(&f);
	*state = f;
	return 0;
}

static int init(struct fixture *f)
{
	f->e = ERR_INIT;
	return state_paths_init(&f->paths, &f->e);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void test_made_private(void **state)
{
	struct fixture *f = *state;
	auto_free char *data = in(f, "data/ward");
	auto_free char *run = in(f, "runtime/ward");
	auto_free char *config = in(f, "config/ward");

	umask(0);
	assert_int_equal(init(f), 0);
	umask(022);
	assert_string_equal(f->paths.data, data);
	assert_string_equal(f->paths.runtime, run);
	assert_string_equal(f->paths.config, config);
	assert_string_equal(f->paths.home, f->top);
	assert_int_equal(mode_of(data), 0700);
	assert_int_equal(mode_of(run), 0700);
	assert_false(exists(config));
}

static void test_existing_is_closed(void **state)
{
	struct fixture *f = *state;
	auto_free char *top = in(f, "data");
	auto_free char *data = in(f, "data/ward");

	assert_int_equal(mkdir(top, 0755), 0);
	assert_int_equal(mkdir(data, 0755), 0);
	assert_int_equal(init(f), 0);
	assert_int_equal(mode_of(data), 0700);
}

static void test_defaults(void **state)
{
	struct fixture *f = *state;
	auto_free char *data = in(f, ".local/share/ward");
	auto_free char *run = in(f, ".local/share/ward/run");
	auto_free char *config = in(f, ".config/ward");

	unsetenv("XDG_DATA_HOME");
	unsetenv("XDG_RUNTIME_DIR");
	setenv("XDG_CONFIG_HOME", "relative/counts/as/unset", 1);
	assert_int_equal(init(f), 0);
	assert_string_equal(f->paths.data, data);
	assert_string_equal(f->paths.runtime, run);
	assert_string_equal(f->paths.config, config);
}

static void test_runtime_of_another_user(void **state)
{
	struct fixture *f = *state;
	auto_free char *theirs = in(f, "runtime");
	auto_free char *run = in(f, "data/ward/run");

	if (geteuid() == 0)
		assert_int_equal(chown(theirs, 12345, 12345), 0);
	else
		setenv("XDG_RUNTIME_DIR", "/", 1);
	assert_int_equal(init(f), 0);
	assert_string_equal(f->paths.runtime, run);
}

static void test_missing_runtime(void **state)
{
	struct fixture *f = *state;
	auto_free char *run = in(f, "data/ward/run");

	set_env(f, "XDG_RUNTIME_DIR", "absent");
	assert_int_equal(init(f), 0);
	assert_string_equal(f->paths.runtime, run);
}

static void test_writable_by_others(void **state)
{
	struct fixture *f = *state;
	auto_free char *top = in(f, "data");
	auto_free char *data = in(f, "data/ward");

	assert_int_equal(mkdir(top, 0755), 0);
	assert_int_equal(mkdir(data, 0700), 0);
	assert_int_equal(chmod(data, 0777), 0);
	assert_true(init(f) < 0);
	assert_non_null(strstr(f->e.message, data));
	assert_true(f->e.hint[0] != '\0');
}

static void test_ancestor_writable_by_others(void **state)
{
	struct fixture *f = *state;
	auto_free char *top = in(f, "data");

	assert_int_equal(mkdir(top, 0700), 0);
	assert_int_equal(chmod(top, 0777), 0);
	assert_true(init(f) < 0);
	assert_int_equal(f->e.kind, ERR_REFUSED);
	assert_non_null(strstr(f->e.hint, "chmod o-w"));
	/* with the sticky bit nobody else can rename */
	assert_int_equal(chmod(top, 01777), 0);
	assert_int_equal(init(f), 0);
}

static void test_own_symlink_is_followed(void **state)
{
	struct fixture *f = *state;
	auto_free char *top = in(f, "data");
	auto_free char *disk = in(f, "disk");
	auto_free char *data = in(f, "data/ward");

	assert_int_equal(mkdir(top, 0700), 0);
	assert_int_equal(mkdir(disk, 0700), 0);
	assert_int_equal(symlink(disk, data), 0);
	assert_int_equal(init(f), 0);
	assert_string_equal(f->paths.data, disk);
}

static void test_planted_symlink(void **state)
{
	struct fixture *f = *state;
	auto_free char *top = in(f, "data");
	auto_free char *disk = in(f, "disk");
	auto_free char *data = in(f, "data/ward");

	if (geteuid() != 0)
		skip(); /* nobody else can be played */
	assert_int_equal(mkdir(top, 0700), 0);
	assert_int_equal(mkdir(disk, 0700), 0);
	assert_int_equal(symlink(disk, data), 0);
	assert_int_equal(lchown(data, 12345, 12345), 0);
	assert_true(init(f) < 0);
	assert_int_equal(f->e.kind, ERR_REFUSED);
	assert_non_null(strstr(f->e.message, "symbolic link"));
}

static void test_foreign_owner(void **state)
{
	struct fixture *f = *state;
	auto_free char *top = in(f, "data");
	auto_free char *data = in(f, "data/ward");

	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(top, 0755), 0);
	assert_int_equal(mkdir(data, 0700), 0);
	assert_int_equal(chown(data, 12345, 12345), 0);
	assert_true(init(f) < 0);
	assert_true(f->e.hint[0] != '\0');
}

static void test_not_a_directory(void **state)
{
	struct fixture *f = *state;
	auto_free char *top = in(f, "data");
	auto_free char *data = in(f, "data/ward");

	assert_int_equal(mkdir(top, 0700), 0);
	write_file(data, "x", 1);
	assert_true(init(f) < 0);
	assert_non_null(strstr(f->e.message, data));
}

static void test_no_home(void **state)
{
	struct fixture *f = *state;

	set_env(f, "HOME", "absent");
	assert_true(init(f) < 0);
	assert_non_null(strstr(f->e.message, "home directory"));
	assert_true(f->e.hint[0] != '\0');
}

#define bare_test(f) cmocka_unit_test_setup_teardown(f, bare_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		bare_test(test_made_private),
		bare_test(test_existing_is_closed),
		bare_test(test_defaults),
		bare_test(test_runtime_of_another_user),
		bare_test(test_missing_runtime),
		bare_test(test_writable_by_others),
		bare_test(test_ancestor_writable_by_others),
		bare_test(test_own_symlink_is_followed),
		bare_test(test_planted_symlink),
		bare_test(test_foreign_owner),
		bare_test(test_not_a_directory),
		bare_test(test_no_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
