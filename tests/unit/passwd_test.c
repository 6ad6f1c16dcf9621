/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passwd_test: user names of a box against its own, foreign, account files.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
			     "broken:x:12\n"
			     "evil:x:-1:0::/:/bin/sh\n"
			     "evil2:x:0x0:0::/:/bin/sh\n"
			     "evil3:x:4294967295:0::/:/bin/sh\n"
			     "evil4:x: 5:0::/:/bin/sh\n"
			     "node:x:1000:1000::/home/node:/bin/sh\n"
			     "1abc:x:7:7::/:/bin/sh\n"
			     "42:x:9:9::/:/bin/sh\n"
			     "last:x:8:8::/:/bin/sh";
static const char group[] = "root:x:0:\nadm:x:4:node,root\nsudo:x:27:other,node\nbad:x:x:node\n"
			    "docker:x:999:nodes\nnode:x:1000:\n";

static int resolve(const char *user, struct passwd_user *u)
{
	struct err e = ERR_INIT;

	*u = (struct passwd_user){ 0 };
	return passwd_resolve(user, passwd, strlen(passwd), group, strlen(group), u, &e);
}

static void test_good(void **state)
{
	static const struct {
		const char *user;
		uint32_t uid;
		uint32_t gid;
		uint32_t ngroups;
	} rows[] = {
		{ "root", 0, 0, 1 },
		{ "node", 1000, 1000, 2 },
		{ "1000", 1000, 1000, 2 },
		{ "node:adm", 1000, 4, 0 },
		{ "node:0", 1000, 0, 0 },
		{ "5", 5, 0, 0 },
		{ "5:6", 5, 6, 0 },
		{ "last", 8, 8, 0 },
		{ "1abc", 7, 7, 0 },
		{ "0:0", 0, 0, 0 },
		{ "42", 42, 0, 0 }, /* a number is an id */
		{ "4294967294", 4294967294U, 0, 0 },
	};
	struct passwd_user u;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(resolve(rows[i].user, &u), 0);
		assert_int_equal(u.uid, rows[i].uid);
		assert_int_equal(u.gid, rows[i].gid);
		assert_int_equal(u.ngroups, rows[i].ngroups);
	}
	resolve("node", &u);
	assert_int_equal(u.groups[0], 4);
	assert_int_equal(u.groups[1], 27);
	assert_string_equal(u.home, "/home/node");
}

static void test_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"nobody",
		"-1",
		"0x0",
		"4294967295",
		"4294967296",
		"1abcd",
		":",
		":0",
		"root:",
		"root:-1",
		"root:1abc",
		"root:nogroup",
		"evil",
		"evil2",
		"evil3",
		"evil4",
		"broken",
		"01",
		" 0",
		"root:0:0",
		"../../etc/passwd",
	};
	struct passwd_user u;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(resolve(rows[i], &u), -EINVAL);
}

static void test_many_groups(void **state)
{
	auto_buf b = BUF_INIT;
	struct passwd_user u;
	struct err e = ERR_INIT;

	(void)state;
	for (int i = 0; i < 200; i++)
		buf_printf(&b, "g%d:x:%d:node\n", i, 2000 + i);
	assert_int_equal(passwd_resolve("node", passwd, strlen(passwd), b.data, b.len, &u, &e), 0);
	assert_int_equal(u.ngroups, PASSWD_GROUPS_MAX);
}

/* What an image may put in place of /etc/passwd: it must neither hang nor leave the root. */
static void test_files(void **state)
{
	char dir[] = "/tmp/ward-passwd-XXXXXX";
	struct box_ids ids = { .agent_uid = 1000, .agent_gid = 1000 };
	struct passwd_user u;
	struct err e = ERR_INIT;
	int root;

	(void)state;
	assert_non_null(mkdtemp(dir));
	root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(passwd_lookup(root, "", &ids, &u, &e), 0); /* no files at all */
	assert_int_equal(u.uid, 1000);
	assert_int_equal(mkdirat(root, "etc", 0700), 0);
	assert_int_equal(symlinkat("/etc/passwd", root, "etc/passwd"), 0);
	assert_true(passwd_lookup(root, "root", &ids, &u, &e) < 0);
	unlinkat(root, "etc/passwd", 0);
	assert_int_equal(mkfifoat(root, "etc/passwd", 0600), 0);
	assert_true(passwd_lookup(root, "root", &ids, &u, &e) < 0);
	unlinkat(root, "etc/passwd", 0);
	unlinkat(root, "etc", AT_REMOVEDIR);
	close(root);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_many_groups),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
