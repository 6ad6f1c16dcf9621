/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes of agents: where a file lies, what is listed, and that emptying removes every file,
 * follows no link and keeps the directories.
 */
#include "state_fixture.h"

static char *put(struct fixture *f, const char *agent, const char *file, const char *text)
{
	char *path = NULL;
	int fd;

	assert_int_equal(state_volume_file(&f->paths, agent, file, &path, &f->e), 0);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

static void test_list(void **state)
{
	struct fixture *f = *state;
	auto_free char *a = put(f, "tool", ".tool/auth.json", "1234");
	auto_free char *b = put(f, "tool", ".config/tool/x/y", "12");
	auto_free char *c = put(f, "agent", "z", "");
	auto_free char *empty = NULL;
	auto_free char *dir = xasprintf("%s/volumes/tool/.tool", f->paths.data);
	struct state_volume *v = NULL;
	struct stat st;
	size_t n = 0;

	assert_true(a && b && c);
	assert_int_equal(state_volume_file(&f->paths, "none", "x", &empty, &f->e), 0);
	assert_int_equal(state_volumes(&f->paths, &v, &n, &f->e), 0);
	assert_int_equal(n, 2);
	assert_string_equal(v[0].agent, "agent");
	assert_string_equal(v[1].agent, "tool");
	assert_int_equal(v[1].files, 2);
	assert_int_equal(v[1].size, 6);
	assert_true(v[1].modified > 0);
	state_volumes_free(v, n);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_true(text_starts(a, dir));
}

static void test_none(void **state)
{
	struct fixture *f = *state;
	struct state_volume *v = NULL;
	uint64_t removed = 7;
	char *path = NULL;
	size_t n = 1;

	assert_int_equal(state_volumes(&f->paths, &v, &n, &f->e), 0);
	assert_int_equal(n, 0);
	assert_int_equal(state_volume_clear(&f->paths, "tool", &removed, &f->e), 0);
	assert_int_equal(removed, 0);
	assert_int_equal(state_volume_clear(&f->paths, "../x", &removed, &f->e), -EINVAL);
	assert_int_equal(state_volume_file(&f->paths, "../x", "y", &path, &f->e), -EINVAL);
}

static void test_clear(void **state)
{
	struct fixture *f = *state;
	auto_free char *a = put(f, "tool", ".tool/auth.json", "1234");
	auto_free char *b = put(f, "tool", ".tool/.ward-auth.json.tmp", "12");
	auto_free char *other = put(f, "other", "auth.json", "stays");
	auto_free char *link = xasprintf("%s/volumes/tool/link", f->paths.data);
	auto_free char *dir_link = xasprintf("%s/volumes/tool/.tool/dir", f->paths.data);
	auto_free char *target = xasprintf("%s/volumes/other", f->paths.data);
	auto_free char *dir = xasprintf("%s/volumes/tool/.tool", f->paths.data);
	uint64_t removed = 0;

	assert_int_equal(symlink(other, link), 0);
	assert_int_equal(symlink(target, dir_link), 0);
	assert_int_equal(state_volume_clear(&f->paths, "tool", &removed, &f->e), 0);
	assert_int_equal(removed, 4);
	assert_int_not_equal(access(a, F_OK), 0);
	assert_int_not_equal(access(b, F_OK), 0);
	assert_int_equal(access(other, F_OK), 0);
	assert_int_equal(access(dir, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clear, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
