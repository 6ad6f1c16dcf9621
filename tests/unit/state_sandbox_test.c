/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating, finding, removing and collecting sandboxes; races; names.
 */
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "state_fixture.h"

static void test_layout(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name;
		mode_t mode;
	} parts[] = {
		{ "spec.json", 0600 }, { "lock", 0600 }, { "upper", 0755 },
		{ "work", 0700 },      { "home", 0700 }, { "log", 0700 },
	};
	struct sandbox *s;
	struct stat st;
	size_t i;

	umask(077);
	s = make(f, 1, "one");
	umask(022);
	assert_int_equal(stat(s->dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		assert_int_equal(fstatat(s->dirfd, parts[i].name, &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(st.st_mode & 07777, parts[i].mode);
	}
	assert_true(fcntl(s->dirfd, F_GETFD) & FD_CLOEXEC);
	sandbox_free(s);
}

static void expect_refused(struct fixture *f, struct json *spec, int code)
{
	struct sandbox *s = NULL;
	struct sandbox **list = NULL;
	size_t before = 0, after = 0;

	assert_int_equal(state_list(&f->paths, &list, &before, &f->e), 0);
	state_list_free(list, before);
	f->e = ERR_INIT;
	assert_int_equal(state_create(&f->paths, spec, NULL, NULL, &s, &f->e), code);
	assert_null(s);
	assert_true(f->e.message[0] != '\0');
	assert_int_equal(state_list(&f->paths, &list, &after, &f->e), 0);
	state_list_free(list, after);
	assert_int_equal(before, after);
}

static void test_names_refused(void **state)
{
	static const char *const names[] = { "",    ".",   "..",     "-rf",	"a/b", "a b",
					     "a\n", "A",   "a..b",   "../../x", "_a",  "\xc3\xa9",
					     "a$b", "a;b", "\x1b[m", "a\x7f" };
	struct fixture *f = *state;
	char longest[301];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		auto_json spec = make_spec(1, names[i], "shell", "/srv");

		expect_refused(f, spec, -EINVAL);
	}
	memset(longest, 'a', 300);
	longest[300] = '\0';
	{
		auto_json spec = make_spec(1, longest, "shell", "/srv");

		expect_refused(f, spec, -EINVAL);
	}
	longest[63] = '\0';
	make_and_forget(f, 1, longest);
}

static void test_bad_specs_refused(void **state)
{
	static const char *const bad[] = { "id", "name", "agent", "workspaces" };
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_json spec = make_spec(1, "one", "shell", "/srv");

		json_set_int(spec, bad[i], 5);
		expect_refused(f, spec, -EINVAL);
	}
	{
		auto_json spec = make_spec(1, "one", "shell", "/srv");

		json_set_string(spec, "id", "../../../../../../../../../tmp/x");
		expect_refused(f, spec, -EINVAL);
	}
}

static void test_taken(void **state)
{
	struct fixture *f = *state;
	auto_json same_name = make_spec(2, "one", "shell", "/srv");
	auto_json same_id = make_spec(1, "two", "shell", "/srv");

	make_and_forget(f, 1, "one");
	json_set_bool(same_name, "named", true);
	json_set_bool(same_id, "named", true);
	expect_refused(f, same_name, -EEXIST);
	expect_refused(f, same_id, -EEXIST);
}

static void test_one_per_workspace(void **state)
{
	struct fixture *f = *state;
	auto_json first = make_spec(1, "shell-app", "shell", "/srv/app");
	auto_json second = make_spec(2, "shell-app-2", "shell", "/srv/app");
	auto_json named = make_spec(3, "shell-app-3", "shell", "/srv/app");
	auto_json other = make_spec(4, "mine", "shell", "/srv/app");
	struct sandbox *s = NULL;

	assert_int_equal(state_create(&f->paths, first, NULL, NULL, &s, &f->e), 0);
	sandbox_free(s);
	expect_refused(f, second, -EEXIST);
	f->e = ERR_INIT;
	assert_int_equal(state_create(&f->paths, second, NULL, NULL, &s, &f->e), -EEXIST);
	assert_int_equal(f->e.kind, ERR_CONFLICT);
	assert_non_null(strstr(f->e.message, "shell-app"));
	/* a name that the user chose makes a further one */
	json_set_bool(named, "named", true);
	assert_int_equal(state_create(&f->paths, named, NULL, NULL, &s, &f->e), 0);
	sandbox_free(s);
	assert_int_equal(state_create(&f->paths, other, NULL, NULL, &s, &f->e), 0);
	sandbox_free(s);
	/* which is not the workspace's own */
	assert_int_equal(state_find_key(&f->paths, "shell", "/srv/app", 42, 4711, &s, &f->e), 0);
	assert_string_equal(record_name(s), "shell-app");
	sandbox_free(s);
}

static void test_find(void **state)
{
	struct fixture *f = *state;
	char id[STATE_ID_LEN + 1], prefix[STATE_ID_LEN + 1];
	struct sandbox *s = NULL;

	make_and_forget(f, 1, "one");
	make_and_forget(f, 2, "two");
	make_id(2, id);
	assert_int_equal(state_find(&f->paths, id, &s, &f->e), 0);
	assert_string_equal(record_name(s), "two");
	sandbox_free(s);
	snprintf(prefix, sizeof(prefix), "%.4s", id);
	assert_int_equal(state_find(&f->paths, prefix, &s, &f->e), 0);
	assert_string_equal(record_name(s), "two");
	sandbox_free(s);
	s = NULL;
	prefix[3] = '\0'; /* too short */
	assert_int_equal(state_find(&f->paths, prefix, &s, &f->e), -ENOENT);
	/* a name goes before an id that starts so */
	snprintf(prefix, sizeof(prefix), "%.6s", id);
	make_and_forget(f, 3, prefix);
	assert_int_equal(state_find(&f->paths, prefix, &s, &f->e), 0);
	assert_string_equal(record_name(s), prefix);
	sandbox_free(s);
}

static void test_ambiguous_prefix(void **state)
{
	struct fixture *f = *state;
	auto_json one = make_spec(1, "one", "shell", "/srv/1");
	auto_json two = make_spec(2, "two", "shell", "/srv/2");
	struct sandbox *s = NULL;

	json_set_string(one, "id", "abcdef00000000000000000000000001");
	json_set_string(two, "id", "abcdef00000000000000000000000002");
	assert_int_equal(state_create(&f->paths, one, NULL, NULL, &s, &f->e), 0);
	sandbox_free(s);
	assert_int_equal(state_create(&f->paths, two, NULL, NULL, &s, &f->e), 0);
	sandbox_free(s);
	s = NULL;
	assert_true(state_find(&f->paths, "abcdef", &s, &f->e) < 0);
	assert_null(s);
	assert_non_null(strstr(f->e.message, "several"));
	assert_int_equal(state_find(&f->paths, "abcdef00000000000000000000000002", &s, &f->e), 0);
	sandbox_free(s);
}

static void test_find_escapes(void **state)
{
	static const char *const words[] = { "", "..", "../../etc", "a b", "\x1b[31mred", "x\ny" };
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		struct sandbox *s = NULL;

		f->e = ERR_INIT;
		assert_int_equal(state_find(&f->paths, words[i], &s, &f->e), -ENOENT);
		assert_int_equal(f->e.kind, ERR_NOT_FOUND);
		assert_null(strchr(f->e.message, '\x1b'));
		assert_null(strchr(f->e.message, '\n'));
	}
}

static void test_list_order(void **state)
{
	struct fixture *f = *state;
	struct sandbox **list = NULL;
	size_t n = 0;

	make_and_forget(f, 3, "third");
	make_and_forget(f, 1, "first");
	make_and_forget(f, 2, "second");
	assert_int_equal(state_list(&f->paths, &list, &n, &f->e), 0);
	assert_int_equal(n, 3);
	assert_string_equal(record_name(list[0]), "first");
	assert_string_equal(record_name(list[1]), "second");
	assert_string_equal(record_name(list[2]), "third");
	state_list_free(list, n);
}

static void test_remove(void **state)
{
	struct fixture *f = *state;
	struct sandbox *s = make(f, 1, "one"), *none = NULL;
	auto_free char *link = xasprintf("%s/names/one", f->paths.data);
	int fd = -1, life = -1;

	make_and_forget(f, 2, "two");
	assert_int_equal(state_lock(s, &life, &f->e), 0);
	assert_int_equal(state_run_dir(s, &fd, &f->e), 0);
	close(fd);
	assert_int_equal(state_remove(&f->paths, s, &f->e), 0);
	assert_false(exists(s->dir));
	assert_false(exists(s->run_dir));
	assert_false(exists(link));
	close(life);
	sandbox_free(s);
	assert_int_equal(state_find(&f->paths, "one", &none, &f->e), -ENOENT);
	make_and_forget(f, 1, "one"); /* name and id are free again */
}

/* --- races ----------------------------------------------------------------------------------- */

enum { RACERS = 8 };

/* Start RACERS children at once; how many of them succeeded, how many met -EEXIST. */
static void race(struct fixture *f, bool by_name, int *ret_won, int *ret_lost)
{
	int gate[2], i, won = 0, lost = 0;
	pid_t pids[RACERS];

	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	for (i = 0; i < RACERS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			const char *path = "/srv/app";
			char name[32], c;
			struct json *spec;
			struct sandbox *s = NULL;
			int r;

			close(gate[1]);
			if (read(gate[0], &c, 1) != 0)
				_exit(9);
			snprintf(name, sizeof(name), "shell-app-%d", by_name ? 1 : i + 1);
			spec = make_spec((unsigned int)i + 1, name, "shell", path);
			json_set_bool(spec, "named", by_name);
			r = state_create(&f->paths, spec, NULL, NULL, &s, NULL);
			_exit(r == 0 ? 0 : r == -EEXIST ? 1 : 2);
		}
	}
	close(gate[0]);
	close(gate[1]);
	for (i = 0; i < RACERS; i++) {
		int status = 0;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		won += WEXITSTATUS(status) == 0;
		lost += WEXITSTATUS(status) == 1;
	}
	*ret_won = won;
	*ret_lost = lost;
}

static void test_race_for_a_name(void **state)
{
	struct fixture *f = *state;
	struct sandbox **list = NULL;
	int won, lost;
	size_t n = 0;

	race(f, true, &won, &lost);
	assert_int_equal(won, 1);
	assert_int_equal(lost, RACERS - 1);
	assert_int_equal(state_list(&f->paths, &list, &n, &f->e), 0);
	assert_int_equal(n, 1);
	state_list_free(list, n);
}

static void test_race_for_a_workspace(void **state)
{
	struct fixture *f = *state;
	struct sandbox *s = NULL;
	int won, lost;

	race(f, false, &won, &lost);
	assert_int_equal(won, 1);
	assert_int_equal(lost, RACERS - 1);
	assert_int_equal(state_find_key(&f->paths, "shell", "/srv/app", 42, 4711, &s, &f->e), 0);
	sandbox_free(s);
}

/* Creators that are killed anywhere: whatever is there afterwards is whole, and names are usable.
 */
static void test_killed_creators(void **state)
{
	struct fixture *f = *state;
	struct sandbox **list = NULL, *s;
	size_t n = 0, i;
	int round;

	for (round = 0; round < 40; round++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			struct itimerval t = { .it_value = { 0, 20 + round * 25 } };
			struct json *spec =
				make_spec((unsigned int)round + 1, "same", "shell", "/srv");

			json_set_bool(spec, "named", true);
			signal(SIGALRM, SIG_DFL);
			setitimer(ITIMER_REAL, &t, NULL);
			for (;;) {
				s = NULL;
				if (state_create(&f->paths, spec, NULL, NULL, &s, NULL) == 0)
					state_remove(&f->paths, s, NULL);
				sandbox_free(s);
			}
		}
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_int_equal(state_list(&f->paths, &list, &n, &f->e), 0);
		for (i = 0; i < n; i++)
			assert_null(list[i]->problem);
		state_list_free(list, n);
		s = NULL;
		if (n == 1) {
			assert_int_equal(state_find(&f->paths, "same", &s, &f->e), 0);
			assert_int_equal(state_remove(&f->paths, s, &f->e), 0);
			sandbox_free(s);
		} else {
			assert_int_equal(n, 0);
			assert_int_equal(state_find(&f->paths, "same", &s, &f->e), -ENOENT);
		}
	}
}

/* --- garbage --------------------------------------------------------------------------------- */

static void age(const char *path, long seconds)
{
	struct timespec t[2] = { { .tv_sec = time(NULL) - seconds },
				 { .tv_sec = time(NULL) - seconds } };

	assert_int_equal(utimensat(AT_FDCWD, path, t, AT_SYMLINK_NOFOLLOW), 0);
}

static void test_gc(void **state)
{
	struct fixture *f = *state;
	struct sandbox *orphan = make(f, 1, "orphan"), *fresh = make(f, 2, "fresh");
	struct sandbox *held = make(f, 3, "held"), *good = make(f, 4, "good");
	auto_free char *stale = xasprintf("%s/names/stale", f->paths.data);
	auto_free char *foreign = xasprintf("%s/keep-me", f->paths.runtime);
	struct sandbox *all[] = { orphan, fresh, held };
	int life = -1, running = -1, fd = -1;
	char id[STATE_ID_LEN + 1];
	size_t i;

	assert_int_equal(state_lock(held, &life, &f->e), 0);
	assert_int_equal(state_run_dir(orphan, &fd, &f->e), 0);
	close(fd);
	assert_int_equal(state_run_dir(good, &fd, &f->e), 0);
	close(fd);
	for (i = 0; i < ARRAY_SIZE(all); i++)
		assert_int_equal(unlinkat(all[i]->dirfd, "spec.json", 0), 0);
	age(orphan->dir, 2 * STATE_ORPHAN_SECONDS);
	age(held->dir, 2 * STATE_ORPHAN_SECONDS);
	age(good->dir, 2 * STATE_ORPHAN_SECONDS);
	make_id(77, id);
	assert_int_equal(symlink(id, stale), 0);
	assert_int_equal(mkdir(foreign, 0700), 0);

	assert_int_equal(state_gc(&f->paths, &f->e), 0);
	assert_false(exists(orphan->dir));
	assert_true(exists(fresh->dir)); /* perhaps it is being made */
	assert_true(exists(held->dir));	 /* somebody is at it */
	assert_true(exists(good->dir));
	assert_false(exists(stale));
	assert_false(exists(orphan->run_dir));
	assert_false(exists(good->run_dir)); /* it does not run */
	assert_true(exists(foreign));

	/* of a running one nothing is touched */
	assert_int_equal(state_lock(good, &running, &f->e), 0);
	assert_int_equal(state_run_dir(good, &fd, &f->e), 0);
	close(fd);
	assert_int_equal(state_gc(&f->paths, &f->e), 0);
	assert_true(exists(good->run_dir));
	close(life);
	close(running);
	for (i = 0; i < ARRAY_SIZE(all); i++)
		sandbox_free(all[i]);
	sandbox_free(good);
}

/* --- names ----------------------------------------------------------------------------------- */

static void expect_free_name(struct fixture *f, const char *agent, const char *ws, const char *want)
{
	auto_free char *name = NULL;

	f->e = ERR_INIT;
	if (state_free_name(&f->paths, agent, ws, &name, &f->e) < 0)
		fail_msg("%s", f->e.message);
	assert_int_equal(text_check_name("name", name, &f->e), 0);
	if (want)
		assert_string_equal(name, want);
	assert_true(record_name_is_made(name, agent, ws));
}

static void test_free_name(void **state)
{
	struct fixture *f = *state;
	char longest[300] = "/srv/";

	expect_free_name(f, "claude", "/srv/app", "claude-app");
	expect_free_name(f, "claude", "/srv/My Project", "claude-my-project");
	expect_free_name(f, "claude", "/srv/.config", "claude-config");
	expect_free_name(f, "claude", "/srv/a..b", "claude-a.b");
	expect_free_name(f, "claude", "/srv/\xc3\xa9t\xc3\xa9", "claude-t");
	expect_free_name(f, "claude", "/srv/\x1b[m\n", "claude-m");
	expect_free_name(f, "claude", "/srv/---", "claude");
	expect_free_name(f, "claude", "/", "claude");
	memset(longest + 5, 'x', 200);
	expect_free_name(f, "claude", longest, NULL);

	make_and_forget(f, 1, "claude-app");
	expect_free_name(f, "claude", "/srv/app", "claude-app-2");
	make_and_forget(f, 2, "claude-app-2");
	expect_free_name(f, "claude", "/srv/app", "claude-app-3");
}

static void test_made_names(void **state)
{
	(void)state;
	assert_true(record_name_is_made("claude-app", "claude", "/srv/app"));
	assert_true(record_name_is_made("claude-app-17", "claude", "/srv/app"));
	assert_false(record_name_is_made("claude-app-x", "claude", "/srv/app"));
	assert_false(record_name_is_made("claude-apps", "claude", "/srv/app"));
	assert_false(record_name_is_made("claude", "claude", "/srv/app"));
	assert_false(record_name_is_made("mine", "claude", "/srv/app"));
}

/* Hundreds of them: found at once, listed with a low limit of descriptors. */
static void test_many(void **state)
{
	struct fixture *f = *state;
	struct sandbox **list = NULL, *s = NULL;
	unsigned int i;
	size_t n = 0;

	for (i = 1; i <= 300; i++) {
		auto_free char *name = xasprintf("box-%u", i);

		make_and_forget(f, i, name);
	}
	assert_int_equal(state_find(&f->paths, "box-299", &s, &f->e), 0);
	sandbox_free(s);
	assert_int_equal(state_list(&f->paths, &list, &n, &f->e), 0);
	assert_int_equal(n, 300);
	state_list_free(list, n);
}

/* Makes a directory in the sandbox that is being made, then does as `arg` says. */
static int add_more(int dirfd, void *arg, struct err *e)
{
	assert_int_equal(mkdirat(dirfd, "more", 0700), 0);
	assert_int_equal(faccessat(dirfd, "spec.json", F_OK, 0), -1); /* not committed yet */
	return *(int *)arg ? err_set(e, ERR_INPUT, *(int *)arg, "no more") : 0;
}

static void test_filled_by_the_caller(void **state)
{
	struct fixture *f = *state;
	auto_json spec = make_spec(1, "one", "shell", "/srv");
	struct sandbox *s = NULL;
	int result = -EPERM;

	assert_int_equal(state_create(&f->paths, spec, add_more, &result, &s, &f->e), -EPERM);
	assert_null(s);
	assert_int_equal(state_find(&f->paths, "one", &s, &f->e), -ENOENT);
	result = 0;
	assert_int_equal(state_create(&f->paths, spec, add_more, &result, &s, &f->e), 0);
	assert_int_equal(faccessat(s->dirfd, "more", F_OK, 0), 0);
	sandbox_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		state_test(test_layout),
		state_test(test_names_refused),
		state_test(test_bad_specs_refused),
		state_test(test_taken),
		state_test(test_filled_by_the_caller),
		state_test(test_one_per_workspace),
		state_test(test_find),
		state_test(test_ambiguous_prefix),
		state_test(test_find_escapes),
		state_test(test_list_order),
		state_test(test_remove),
		state_test(test_race_for_a_name),
		state_test(test_race_for_a_workspace),
		state_test(test_killed_creators),
		state_test(test_gc),
		state_test(test_free_name),
		state_test(test_made_names),
		state_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
