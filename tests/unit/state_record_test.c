/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sandbox directory: damaged records, the life lock, the run-time record.
 */
#include <signal.h>

#include "state_fixture.h"

/* Three sandboxes; the middle one's record is damaged by each test. */
struct three {
	struct sandbox *s[3];
	char *record;
};

static void make_three(struct fixture *f, struct three *t)
{
	t->s[0] = make(f, 1, "first");
	t->s[1] = make(f, 2, "bad");
	t->s[2] = make(f, 3, "last");
	t->record = xasprintf("%s/spec.json", t->s[1]->dir);
}

/*
 * Whatever was done to the record: the other two are whole and found, the bad one is listed with a
 * reason, found by id and by name, and goes away when it is removed.
 */
static void check_isolated(struct fixture *f, struct three *t, const char *reason)
{
	struct sandbox **list = NULL, *s = NULL;
	size_t n = 0, bad = 0, i;

	alarm(20); /* a reader that hangs fails the test */
	assert_int_equal(state_list(&f->paths, &list, &n, &f->e), 0);
	assert_int_equal(n, 3);
	for (i = 0; i < n; i++) {
		if (strcmp(list[i]->id, t->s[1]->id) == 0) {
			assert_null(list[i]->spec);
			assert_non_null(list[i]->problem);
			if (!strstr(list[i]->problem, reason))
				fail_msg("'%s' is not in: %s", reason, list[i]->problem);
			bad++;
		} else {
			assert_null(list[i]->problem);
			assert_non_null(list[i]->spec);
		}
	}
	assert_int_equal(bad, 1);
	state_list_free(list, n);

	assert_int_equal(state_find(&f->paths, "first", &s, &f->e), 0);
	sandbox_free(s);
	assert_int_equal(state_find(&f->paths, t->s[1]->id, &s, &f->e), 0);
	assert_non_null(s->problem);
	sandbox_free(s);
	assert_int_equal(state_find(&f->paths, "bad", &s, &f->e), 0);
	assert_non_null(s->problem);
	/* its name stays taken */
	{
		auto_json spec = make_spec(9, "bad", "shell", "/srv/elsewhere");
		struct sandbox *other = NULL;

		json_set_bool(spec, "named", true);
		assert_int_equal(state_create(&f->paths, spec, NULL, NULL, &other, &f->e), -EEXIST);
	}
	assert_int_equal(state_remove(&f->paths, s, &f->e), 0);
	sandbox_free(s);
	assert_false(exists(t->s[1]->dir));
	assert_int_equal(state_find(&f->paths, "bad", &s, &f->e), -ENOENT);
	assert_int_equal(state_find(&f->paths, "last", &s, &f->e), 0);
	sandbox_free(s);
	alarm(0);
	for (i = 0; i < 3; i++)
		sandbox_free(t->s[i]);
	free(t->record);
}

static void test_truncated(void **state)
{
	struct fixture *f = *state;
	struct three t;

	make_three(f, &t);
	assert_int_equal(truncate(t.record, 17), 0);
	check_isolated(f, &t, "spec.json");
}

static void test_empty(void **state)
{
	struct fixture *f = *state;
	struct three t;

	make_three(f, &t);
	assert_int_equal(truncate(t.record, 0), 0);
	check_isolated(f, &t, "spec.json");
}

static void test_garbage(void **state)
{
	static const char bytes[] = "\x7f"
				    "ELF\0\xff\xfe\x1b]0;x\a{{{[[[\"";
	struct fixture *f = *state;
	struct three t;

	make_three(f, &t);
	write_file(t.record, bytes, sizeof(bytes));
	check_isolated(f, &t, "spec.json");
}

static void test_not_an_object(void **state)
{
	struct fixture *f = *state;
	struct three t;

	make_three(f, &t);
	write_file(t.record, "[1]", 3);
	check_isolated(f, &t, "not an object");
}

static void test_huge(void **state)
{
	struct fixture *f = *state;
	struct three t;

	make_three(f, &t);
	assert_int_equal(truncate(t.record, (off_t)1 << 40), 0);
	check_isolated(f, &t, "larger than");
}

static void test_deep(void **state)
{
	struct fixture *f = *state;
	auto_buf b = BUF_INIT;
	struct three t;
	int i;

	for (i = 0; i < 100000; i++)
		buf_putc(&b, '[');
	make_three(f, &t);
	write_file(t.record, b.data, b.len);
	check_isolated(f, &t, "spec.json");
}

static void test_symlink(void **state)
{
	struct fixture *f = *state;
	auto_free char *aside = in(f, "aside.json");
	struct three t;

	/* It leads to a record that would be good if it were followed. */
	make_three(f, &t);
	assert_int_equal(rename(t.record, aside), 0);
	assert_int_equal(symlink(aside, t.record), 0);
	check_isolated(f, &t, "symbolic link");
	assert_true(exists(aside));
}

static void test_fifo(void **state)
{
	struct fixture *f = *state;
	struct three t;

	make_three(f, &t);
	assert_int_equal(unlink(t.record), 0);
	assert_int_equal(mkfifo(t.record, 0600), 0);
	check_isolated(f, &t, "not a regular file");
}

static void test_directory(void **state)
{
	struct fixture *f = *state;
	struct three t;

	make_three(f, &t);
	assert_int_equal(unlink(t.record), 0);
	assert_int_equal(mkdir(t.record, 0700), 0);
	check_isolated(f, &t, "not a regular file");
}

static void test_foreign_owner(void **state)
{
	struct fixture *f = *state;
	struct three t;

	if (geteuid() != 0)
		skip(); /* files cannot be given away */
	make_three(f, &t);
	assert_int_equal(chown(t.record, 12345, 12345), 0);
	check_isolated(f, &t, "belongs to uid 12345");
}

static void test_unreadable(void **state)
{
	struct fixture *f = *state;
	struct three t;

	if (geteuid() == 0)
		skip(); /* root reads everything */
	make_three(f, &t);
	assert_int_equal(chmod(t.record, 0), 0);
	check_isolated(f, &t, "spec.json");
}

static void test_id_of_another(void **state)
{
	struct fixture *f = *state;
	auto_json spec = make_spec(77, "bad", "shell", "/srv");
	auto_buf b = BUF_INIT;
	struct three t;

	make_three(f, &t);
	json_write(spec, true, &b);
	write_file(t.record, b.data, b.len);
	check_isolated(f, &t, "its id");
}

static void test_name_that_is_a_path(void **state)
{
	struct fixture *f = *state;
	auto_json spec = make_spec(2, "../../etc", "shell", "/srv");
	auto_buf b = BUF_INIT;
	struct three t;

	make_three(f, &t);
	json_write(spec, true, &b);
	write_file(t.record, b.data, b.len);
	check_isolated(f, &t, "name");
}

static void test_directory_is_a_symlink(void **state)
{
	struct fixture *f = *state;
	auto_free char *aside = in(f, "aside");
	struct sandbox **list = NULL, *s = make(f, 2, "bad");
	size_t n = 0;

	make_and_forget(f, 1, "good");
	assert_int_equal(rename(s->dir, aside), 0);
	assert_int_equal(symlink(aside, s->dir), 0);
	assert_int_equal(state_list(&f->paths, &list, &n, &f->e), 0);
	assert_int_equal(n, 2);
	assert_non_null(list[0]->problem ? list[0]->problem : list[1]->problem);
	state_list_free(list, n);
	sandbox_free(s);
	assert_int_equal(state_find(&f->paths, "bad", &s, &f->e), 0);
	assert_int_equal(s->dirfd, -1);
	assert_false(state_is_running(s));
	/* only the link goes, not what it leads to */
	assert_int_equal(state_remove(&f->paths, s, &f->e), 0);
	assert_false(exists(s->dir));
	assert_true(exists(aside));
	sandbox_free(s);
}

/* --- the life lock --------------------------------------------------------------------------- */

static void test_lock(void **state)
{
	struct fixture *f = *state;
	struct sandbox *s = make(f, 1, "one"), *again = NULL;
	int fd = -1, copy, other = -1;

	assert_int_equal(state_find(&f->paths, "one", &again, &f->e), 0);
	assert_false(state_is_running(s));
	assert_int_equal(state_lock(s, &fd, &f->e), 0);
	assert_true(state_is_running(again));
	assert_true(state_is_running(s));
	assert_int_equal(state_lock(again, &other, &f->e), -EWOULDBLOCK);
	assert_int_equal(other, -1);
	/* opening and closing the file elsewhere does not release it */
	assert_true(state_is_running(again));
	/* it lives as long as any copy of the descriptor */
	copy = dup(fd);
	close(fd);
	assert_true(state_is_running(again));
	close(copy);
	assert_false(state_is_running(again));
	assert_int_equal(state_lock(again, &other, &f->e), 0);
	close(other);
	sandbox_free(s);
	sandbox_free(again);
}

static void test_lock_dies_with_its_holder(void **state)
{
	struct fixture *f = *state;
	struct sandbox *s = make(f, 1, "one");
	int ready[2], status;
	char c;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = -1;

		if (state_lock(s, &fd, NULL) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_true(state_is_running(s));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(state_is_running(s));
	close(ready[0]);
	sandbox_free(s);
}

static void test_lock_of_a_removed_one(void **state)
{
	struct fixture *f = *state;
	struct sandbox *s = make(f, 1, "one"), *again = NULL;
	int fd = -1, other = -1;

	assert_int_equal(state_find(&f->paths, "one", &again, &f->e), 0);
	assert_int_equal(state_lock(s, &fd, &f->e), 0);
	assert_int_equal(state_remove(&f->paths, s, &f->e), 0);
	close(fd);
	assert_int_equal(state_lock(again, &other, &f->e), -ENOENT);
	assert_int_equal(f->e.kind, ERR_NOT_FOUND);
	assert_int_equal(other, -1);
	sandbox_free(s);
	sandbox_free(again);
}

static void test_planted_lock(void **state)
{
	struct fixture *f = *state;
	struct sandbox *s = make(f, 1, "one");
	auto_free char *lock = xasprintf("%s/lock", s->dir);
	auto_free char *canary = in(f, "canary");
	int fd = -1;

	alarm(20);
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(mkfifo(lock, 0600), 0);
	assert_true(state_lock(s, &fd, &f->e) < 0);
	assert_false(state_is_running(s));
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(symlink(canary, lock), 0);
	assert_true(state_lock(s, &fd, &f->e) < 0);
	assert_false(state_is_running(s));
	assert_false(exists(canary));
	assert_int_equal(fd, -1);
	/* without any lock file it is made again */
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(state_lock(s, &fd, &f->e), 0);
	close(fd);
	alarm(0);
	sandbox_free(s);
}

/* --- run-time record and directory ------------------------------------------------------------ */

static void test_runtime_record(void **state)
{
	struct fixture *f = *state;
	struct sandbox *s = make(f, 1, "one");
	auto_free char *path = xasprintf("%s/state.json", s->dir);
	auto_json record = json_object();
	struct json *back = NULL;
	int64_t v = 0;
	struct stat st;

	assert_int_equal(state_read(s, &back, &f->e), -ENOENT);
	assert_null(back);
	json_set_int(record, "supervisor", 17);
	assert_int_equal(state_write(s, record, &f->e), 0);
	json_set_int(record, "supervisor", 18);
	assert_int_equal(state_write(s, record, &f->e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(state_read(s, &back, &f->e), 0);
	assert_int_equal(json_get_int(back, "supervisor", &v), 0);
	assert_int_equal(v, 18);
	json_unref(back);
	back = NULL;
	write_file(path, "{", 1);
	assert_true(state_read(s, &back, &f->e) < 0);
	assert_int_equal(f->e.kind, ERR_CORRUPT);
	assert_null(back);
	assert_int_equal(state_sync(s, &f->e), 0);
	sandbox_free(s);
}

static void test_run_dir(void **state)
{
	struct fixture *f = *state;
	struct sandbox *s = make(f, 1, "one"), *elsewhere = NULL;
	auto_free char *left = xasprintf("%s/control", s->run_dir);
	struct state_paths other = { 0 };
	struct stat st;
	int fd = -1;

	assert_int_equal(state_run_dir(s, &fd, &f->e), 0);
	close(fd);
	assert_int_equal(stat(s->run_dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	/* the next life starts with an empty one */
	write_file(left, "x", 1);
	assert_int_equal(state_run_dir(s, &fd, &f->e), 0);
	close(fd);
	assert_false(exists(left));

	/* a client without XDG_RUNTIME_DIR finds the same directory */
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(state_paths_init(&other, &f->e), 0);
	assert_string_not_equal(other.runtime, f->paths.runtime);
	assert_int_equal(state_find(&other, "one", &elsewhere, &f->e), 0);
	assert_string_equal(elsewhere->run_dir, s->run_dir);
	sandbox_free(elsewhere);

	/* but a link that leads anywhere else is not believed */
	{
		auto_free char *link = xasprintf("%s/run", s->dir);
		auto_free char *planted = xasprintf("/tmp/%s", s->id);
		auto_free char *own = xasprintf("%s/%s", other.runtime, s->id);

		assert_int_equal(unlink(link), 0);
		assert_int_equal(symlink(planted, link), 0);
		assert_int_equal(state_find(&other, "one", &elsewhere, &f->e), 0);
		assert_string_equal(elsewhere->run_dir, own);
		sandbox_free(elsewhere);
	}
	state_paths_clear(&other);
	sandbox_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		state_test(test_truncated),
		state_test(test_empty),
		state_test(test_garbage),
		state_test(test_not_an_object),
		state_test(test_huge),
		state_test(test_deep),
		state_test(test_symlink),
		state_test(test_fifo),
		state_test(test_directory),
		state_test(test_foreign_owner),
		state_test(test_unreadable),
		state_test(test_id_of_another),
		state_test(test_name_that_is_a_path),
		state_test(test_directory_is_a_symlink),
		state_test(test_lock),
		state_test(test_lock_dies_with_its_holder),
		state_test(test_lock_of_a_removed_one),
		state_test(test_planted_lock),
		state_test(test_runtime_record),
		state_test(test_run_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
