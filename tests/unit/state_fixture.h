/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private data directory for each test of state/: made in setup, removed in teardown.
 */
#ifndef WARD_TESTS_STATE_FIXTURE_H
#define WARD_TESTS_STATE_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "state/state_internal.h"

struct fixture {
	char top[64];
	struct state_paths paths;
	struct err e;
};

static inline char *in(const struct fixture *f, const char *rest)
{
	return xasprintf("%s/%s", f->top, rest);
}

static inline void set_env(const struct fixture *f, const char *name, const char *rest)
{
	auto_free char *v = in(f, rest);

	assert_int_equal(setenv(name, v, 1), 0);
}

static inline int fixture_make(struct fixture **ret)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	auto_free char *run = NULL;

	snprintf(f->top, sizeof(f->top), "/tmp/ward-state.XXXXXX");
	assert_non_null(mkdtemp(f->top));
	run = in(f, "runtime");
	assert_int_equal(mkdir(run, 0700), 0);
	set_env(f, "HOME", "");
	set_env(f, "XDG_DATA_HOME", "data");
	set_env(f, "XDG_CONFIG_HOME", "config");
	set_env(f, "XDG_RUNTIME_DIR", "runtime");
	*ret = f;
	return 0;
}

static inline int setup(void **state)
{
	struct fixture *f;

	fixture_make(&f);
	if (state_paths_init(&f->paths, &f->e) < 0)
		fail_msg("%s", f->e.message);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;
	auto_close int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(fs_remove_tree_at(tmp, f->top + strlen("/tmp/"), &f->e), 0);
	state_paths_clear(&f->paths);
	free(f);
	return 0;
}

/* 32 hex digits that end in n. */
static inline void make_id(unsigned int n, char out[static STATE_ID_LEN + 1])
{
	snprintf(out, STATE_ID_LEN + 1, "%08x%024x", n * 2654435761u, n);
}

static inline struct json *make_spec(unsigned int n, const char *name, const char *agent,
				     const char *path)
{
	struct json *spec = json_object(), *list = json_array(), *ws = json_object();
	char id[STATE_ID_LEN + 1];

	make_id(n, id);
	json_set_string(ws, "path", path);
	json_set_uint(ws, "dev", 42);
	json_set_uint(ws, "ino", 4711);
	json_append(list, ws);
	json_set_string(spec, "id", id);
	json_set_string(spec, "name", name);
	json_set_string(spec, "agent", agent);
	json_set_int(spec, "created_at", 1000 + (int64_t)n);
	json_set(spec, "workspaces", list);
	return spec;
}

/* Create a sandbox that must succeed; its name does not come from its workspace. */
static inline struct sandbox *make(struct fixture *f, unsigned int n, const char *name)
{
	auto_json spec = make_spec(n, name, "shell", "/srv/elsewhere");
	struct sandbox *s = NULL;

	json_set_bool(spec, "named", true);
	if (state_create(&f->paths, spec, NULL, NULL, &s, &f->e) < 0)
		fail_msg("%s", f->e.message);
	assert_non_null(s);
	assert_null(s->problem);
	return s;
}

static inline void make_and_forget(struct fixture *f, unsigned int n, const char *name)
{
	sandbox_free(make(f, n, name));
}

static inline void write_file(const char *path, const char *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, n), 0);
	close(fd);
}

static inline bool exists(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Names of the data directory's links, by a plain readlink. */
static inline char *link_target(const char *path)
{
	char target[256];
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	return n < 0 ? NULL : xstrndup(target, (size_t)n);
}

#define state_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
