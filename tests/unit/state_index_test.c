/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links that lie, links that are missing, and the stamp that makes a miss cheap.
 */
#include "state_fixture.h"

static char *name_link(const struct fixture *f, const char *name)
{
	return xasprintf("%s/names/%s", f->paths.data, name);
}

static void find_must(struct fixture *f, const char *name, unsigned int n)
{
	struct sandbox *s = NULL;
	char id[STATE_ID_LEN + 1];

	make_id(n, id);
	f->e = ERR_INIT;
	if (state_find(&f->paths, name, &s, &f->e) < 0)
		fail_msg("%s", f->e.message);
	assert_string_equal(s->id, id);
	sandbox_free(s);
}

static void find_must_not(struct fixture *f, const char *name)
{
	struct sandbox *s = NULL;

	f->e = ERR_INIT;
	assert_int_equal(state_find(&f->paths, name, &s, &f->e), -ENOENT);
	assert_null(s);
	assert_int_equal(f->e.kind, ERR_NOT_FOUND);
	assert_string_equal(f->e.hint, "ward ls");
}

static void point(const struct fixture *f, const char *name, const char *target)
{
	auto_free char *link = name_link(f, name);

	unlink(link);
	assert_int_equal(symlink(target, link), 0);
}

/* What a test did to the links, somebody else did at another moment than the last change of ours:
 * clocks of file systems may be coarse. */
static void by_hand(const struct fixture *f)
{
	auto_free char *names = xasprintf("%s/names", f->paths.data);
	const struct timespec later[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 4000000000 } };

	assert_int_equal(utimensat(AT_FDCWD, names, later, 0), 0);
}

static void test_link_to_another(void **state)
{
	struct fixture *f = *state;
	char id[STATE_ID_LEN + 1];
	auto_free char *link = name_link(f, "a");
	char *target;

	make_and_forget(f, 1, "a");
	make_and_forget(f, 2, "b");
	make_id(2, id);
	point(f, "a", id);
	find_must(f, "a", 1);
	/* and it was put right */
	target = link_target(link);
	make_id(1, id);
	assert_string_equal(target, id);
	free(target);
}

static void test_link_to_nothing(void **state)
{
	struct fixture *f = *state;
	char id[STATE_ID_LEN + 1];

	make_and_forget(f, 1, "a");
	make_id(99, id);
	point(f, "a", id);
	find_must(f, "a", 1);
	point(f, "b", id);
	find_must_not(f, "b");
}

static void test_link_that_is_a_path(void **state)
{
	struct fixture *f = *state;
	auto_free char *canary = in(f, "canary");

	make_and_forget(f, 1, "a");
	write_file(canary, "x", 1);
	point(f, "a", "../../canary");
	find_must(f, "a", 1);
	point(f, "a", canary);
	find_must(f, "a", 1);
	point(f, "zzz", canary);
	find_must_not(f, "zzz");
	assert_true(exists(canary));
}

static void test_link_that_is_no_link(void **state)
{
	struct fixture *f = *state;
	auto_free char *link = name_link(f, "a");
	auto_free char *inner = xasprintf("%s/x", link);

	make_and_forget(f, 1, "a");
	alarm(20);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(mkfifo(link, 0600), 0);
	by_hand(f);
	find_must(f, "a", 1);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(mkdir(link, 0700), 0);
	write_file(inner, "x", 1);
	by_hand(f);
	find_must(f, "a", 1);
	alarm(0);
}

static void test_missing_link(void **state)
{
	struct fixture *f = *state;
	auto_free char *link = name_link(f, "a");

	make_and_forget(f, 1, "a");
	assert_int_equal(unlink(link), 0);
	by_hand(f);
	find_must(f, "a", 1);
	assert_true(exists(link));
}

/* Whoever is killed between changing the links and stamping leaves no stamp, whatever the clock. */
static void test_killed_writer(void **state)
{
	struct fixture *f = *state;
	auto_free char *link = name_link(f, "a");
	auto_free char *index = xasprintf("%s/index", f->paths.data);
	auto_store st = STORE_INIT;
	auto_close int lock = -1;
	auto_json spec = make_spec(2, "b", "claude", "/srv/b");
	char id[STATE_ID_LEN + 1];

	make_and_forget(f, 1, "a");
	assert_true(exists(index));
	assert_int_equal(store_open(&f->paths, &st, &f->e), 0);
	assert_int_equal(store_lock(&st, &lock, &f->e), 0);
	make_id(2, id);
	assert_int_equal(index_add(&st, id, spec, &f->e), 0);
	assert_false(exists(index));
	assert_int_equal(unlink(link), 0);
	fd_closep(&lock);
	find_must(f, "a", 1);
	assert_true(exists(index));
}

static void test_missing_directories(void **state)
{
	struct fixture *f = *state;
	auto_close int data = open(f->paths.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	make_and_forget(f, 1, "a");
	assert_int_equal(fs_remove_tree_at(data, "names", &f->e), 0);
	assert_int_equal(fs_remove_tree_at(data, "keys", &f->e), 0);
	assert_int_equal(unlinkat(data, "index", 0), 0);
	find_must(f, "a", 1);
	find_must_not(f, "b");
}

/* A miss must not read records: a record that is damaged behind our back stays undiscovered. */
static void test_miss_is_cheap(void **state)
{
	struct fixture *f = *state;
	auto_free char *index = xasprintf("%s/index", f->paths.data);
	struct stat before, after;
	struct sandbox *s = NULL;

	make_and_forget(f, 1, "a");
	find_must_not(f, "b");
	assert_int_equal(lstat(index, &before), 0);
	find_must_not(f, "b");
	assert_int_equal(state_find_key(&f->paths, "shell", "/srv/x", 1, 2, &s, &f->e), -ENOENT);
	/* a scan would have stamped the index anew */
	assert_int_equal(lstat(index, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
}

static void test_lying_stamp(void **state)
{
	struct fixture *f = *state;
	auto_free char *index = xasprintf("%s/index", f->paths.data);
	auto_free char *link = name_link(f, "a");

	make_and_forget(f, 1, "a");
	assert_int_equal(unlink(link), 0);
	assert_int_equal(unlink(index), 0);
	assert_int_equal(symlink("0:0.0-0:0.0-0:0.0", index), 0);
	find_must(f, "a", 1);
}

static struct json *own_spec(unsigned int n, const char *name, const char *path)
{
	struct json *spec = make_spec(n, name, "claude", path);

	json_set_bool(spec, "named", false);
	return spec;
}

static void test_key(void **state)
{
	struct fixture *f = *state;
	auto_json spec = own_spec(1, "claude-app", "/srv/app");
	struct sandbox *s = NULL;

	assert_int_equal(state_create(&f->paths, spec, NULL, NULL, &s, &f->e), 0);
	sandbox_free(s);
	s = NULL;
	assert_int_equal(state_find_key(&f->paths, "claude", "/srv/app", 42, 4711, &s, &f->e), 0);
	assert_string_equal(record_name(s), "claude-app");
	sandbox_free(s);
	s = NULL;
	/* every part of the key counts; no message for what is no error */
	f->e = ERR_INIT;
	assert_int_equal(state_find_key(&f->paths, "codex", "/srv/app", 42, 4711, &s, &f->e),
			 -ENOENT);
	assert_int_equal(state_find_key(&f->paths, "claude", "/srv/ap", 42, 4711, &s, &f->e),
			 -ENOENT);
	assert_int_equal(state_find_key(&f->paths, "claude", "/srv/app", 43, 4711, &s, &f->e),
			 -ENOENT);
	assert_int_equal(state_find_key(&f->paths, "claude", "/srv/app", 42, 4712, &s, &f->e),
			 -ENOENT);
	assert_null(s);
	assert_string_equal(f->e.message, "");
}

static void test_lying_key(void **state)
{
	struct fixture *f = *state;
	auto_json one = own_spec(1, "claude-app", "/srv/app");
	auto_json two = own_spec(2, "claude-lib", "/srv/lib");
	struct record_key k;
	struct sandbox *s = NULL;
	auto_store st = STORE_INIT;
	char id[STATE_ID_LEN + 1];

	assert_int_equal(state_create(&f->paths, one, NULL, NULL, &s, &f->e), 0);
	sandbox_free(s);
	assert_int_equal(state_create(&f->paths, two, NULL, NULL, &s, &f->e), 0);
	sandbox_free(s);
	/* both keys lead to the second */
	make_id(2, id);
	assert_int_equal(store_open(&f->paths, &st, &f->e), 0);
	assert_true(record_key_of(one, &k));
	{
		auto_json lie = own_spec(2, "claude-app", "/srv/app");

		json_set_string(lie, "id", id);
		assert_int_equal(index_add(&st, id, lie, &f->e), 0);
	}
	assert_int_equal(state_find_key(&f->paths, "claude", "/srv/app", 42, 4711, &s, &f->e), 0);
	make_id(1, id);
	assert_string_equal(s->id, id);
	sandbox_free(s);
}

static void test_key_of_a_bad_record(void **state)
{
	struct fixture *f = *state;
	auto_json spec = own_spec(1, "claude-app", "/srv/app");
	auto_free char *record = NULL;
	struct sandbox *s = NULL;

	assert_int_equal(state_create(&f->paths, spec, NULL, NULL, &s, &f->e), 0);
	record = xasprintf("%s/spec.json", s->dir);
	sandbox_free(s);
	s = NULL;
	write_file(record, "{", 1);
	assert_int_equal(state_find_key(&f->paths, "claude", "/srv/app", 42, 4711, &s, &f->e),
			 -EBADMSG);
	assert_null(s);
	assert_int_equal(f->e.kind, ERR_CORRUPT);
	assert_non_null(strstr(f->e.hint, "ward rm -f"));
}

static void test_two_claim_a_name(void **state)
{
	struct fixture *f = *state;
	auto_json thief = make_spec(7, "a", "shell", "/srv");
	auto_free char *record = NULL;
	auto_buf b = BUF_INIT;
	struct sandbox *s;
	auto_free char *link = name_link(f, "a");

	make_and_forget(f, 1, "a");
	s = make(f, 7, "b");
	record = xasprintf("%s/spec.json", s->dir);
	json_write(thief, true, &b);
	write_file(record, b.data, b.len);
	sandbox_free(s);
	assert_int_equal(unlink(link), 0);
	by_hand(f);
	find_must(f, "a", 1); /* the older one */
	assert_int_equal(state_gc(&f->paths, &f->e), 0);
	find_must(f, "a", 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		state_test(test_link_to_another),     state_test(test_link_to_nothing),
		state_test(test_link_that_is_a_path), state_test(test_link_that_is_no_link),
		state_test(test_missing_link),	      state_test(test_killed_writer),
		state_test(test_missing_directories), state_test(test_miss_is_cheap),
		state_test(test_lying_stamp),	      state_test(test_key),
		state_test(test_lying_key),	      state_test(test_key_of_a_bad_record),
		state_test(test_two_claim_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
