/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idmap_test: id maps, subordinate id files, account files and mount tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "box/box_internal.h"

static void range_map(void **state)
{
	struct box_extent x[BOX_EXTENTS_MAX];
	auto_buf text = BUF_INIT;
	auto_buf inner = BUF_INIT;
	uint32_t n = idmap_range(x, 100000, 1001);
	uint64_t total = 0;

	(void)state;
	idmap_text(x, n, &text);
	assert_string_equal(buf_str(&text), "0 100000 1000\n1000 1001 1\n1001 101000 64535\n");
	box_ids_inner_map(x, n, &inner);
	assert_string_equal(buf_str(&inner), "0 0 1000\n1000 1000 1\n1001 1001 64535\n");
	for (uint32_t i = 0; i < n; i++)
		total += x[i].count;
	assert_int_equal(total, BOX_IDS);
	/* The last id used is still in a range of BOX_IDS. */
	assert_int_equal(idmap_outside(x, n, 65535), 165534);
	assert_int_equal(idmap_outside(x, n, 1000), 1001);
	assert_int_equal(idmap_outside(x, n, 999), 100999);
	assert_int_equal(idmap_outside(x, n, 65536), -1);
}

static void other_maps(void **state)
{
	struct box_extent x[BOX_EXTENTS_MAX];
	auto_buf text = BUF_INIT;
	uint32_t n = idmap_single(x, 1002);

	(void)state;
	idmap_text(x, n, &text);
	n = idmap_root(x, BOX_ROOT_BASE);
	idmap_text(x, n, &text);
	assert_string_equal(buf_str(&text), "0 1002 1\n0 1879048192 65536\n");
	assert_string_equal(box_id_mode_name(BOX_ID_SINGLE), "single");
	assert_string_equal(box_id_mode_name((enum box_id_mode)77), "unknown");
}

static int find(const char *text, uint32_t *start)
{
	return idmap_find_subid(text, strlen(text), "u", 1001, BOX_IDS, start);
}

static void subid_files(void **state)
{
	static const struct {
		const char *text;
		int want;
		uint32_t start;
	} cases[] = {
		{ "u:100000:65536\n", 0, 100000 },
		{ "u:100000:65536", 0, 100000 },
		{ "1001:200000:65536\n", 0, 200000 },
		{ "x:100000:65536\nu:165536:65536\n", 0, 165536 },
		{ "u:100000:65535\nu:300000:70000\n", 0, 300000 },
		{ "# comment\n\nu:100000:65536\n", 0, 100000 },
		{ "", -ENOENT, 0 },
		{ "uu:100000:65536\n", -ENOENT, 0 },
		{ "u:100000:65535\n", -ENOENT, 0 },
		{ "u:100000\n", -ENOENT, 0 },
		{ "u:100000:65536:1\n", -ENOENT, 0 },
		{ "u: 100000:65536\n", -ENOENT, 0 },
		{ "u:-1:65536\n", -ENOENT, 0 },
		{ "u:0:65536\n", -ENOENT, 0 },
		{ "u:4294901760:65536\n", -ENOENT, 0 }, /* would reach (uid_t)-1 */
		{ "u:4294967296:65536\n", -ENOENT, 0 },
		{ "01001:100000:65536\n", -ENOENT, 0 },
		{ "u:100000:99999999999\n", -ENOENT, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t start = 0;

		assert_int_equal(find(cases[i].text, &start), cases[i].want);
		assert_int_equal(start, cases[i].start);
	}
}

static char *rewrite(enum account_file kind, const char *text)
{
	const struct account a = {
		.name = "agent", .uid = 1000, .gid = 1000, .home = "/home/agent", .shell = "/bin/sh"
	};
	struct buf out = BUF_INIT;

	account_rewrite(kind, text, strlen(text), &a, &out);
	return buf_steal(&out);
}

static void accounts(void **state)
{
#define AGENT "agent:x:1000:1000::/home/agent:/bin/sh\n"
	static const struct {
		enum account_file kind;
		const char *text;
		const char *want;
	} cases[] = {
		{ ACCOUNT_PASSWD, "", AGENT },
		{ ACCOUNT_PASSWD, "root:x:0:0::/root:/bin/sh\n",
		  "root:x:0:0::/root:/bin/sh\n" AGENT },
		{ ACCOUNT_PASSWD, "node:x:1000:1000::/home/node:/bin/bash",
		  AGENT "node:x:1000:1000::/home/node:/bin/bash\n" },
		{ ACCOUNT_PASSWD, "agent:x:7:7::/:/bin/false\nx:x:1000:7:::\n",
		  AGENT "x:x:1000:7:::\n" },
		{ ACCOUNT_PASSWD, AGENT, AGENT },
		{ ACCOUNT_PASSWD, "junk\n:::\nagent\n", "junk\n:::\n" AGENT },
		{ ACCOUNT_GROUP, "sudo:x:27:agent\nnode:x:1000:\n",
		  "sudo:x:27:agent\nagent:x:1000:\nnode:x:1000:\n" },
		{ ACCOUNT_SHADOW, "root:*:1::::::\nx:!:1000:::::\n",
		  "root:*:1::::::\nx:!:1000:::::\nagent:*:19000:0:99999:7:::\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *once = rewrite(cases[i].kind, cases[i].text);
		auto_free char *twice = rewrite(cases[i].kind, once);

		assert_string_equal(once, cases[i].want);
		assert_string_equal(twice, once);
	}
}

static int check(const char *text, struct err *e)
{
	struct mount_list l = { 0 };
	int r;

	mount_list_add(&l, 67, false);
	mount_list_add(&l, 68, true);
	r = mount_check_info(text, strlen(text), &l, e);
	mount_list_free(&l);
	return r;
}

static void mount_tables(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(check("67 42 0:41 / / rw - overlay overlay rw\n", &e), 0);
	/* What came along below a recursive bind belongs to it, at any depth. */
	assert_int_equal(check("67 1 0:1 / / rw - o o rw\n68 67 8:1 / /usr ro - e e rw\n"
			       "90 68 8:2 / /usr/x ro - e e rw\n91 90 8:2 / /usr/x/y ro - e e rw\n",
			       &e),
			 0);
	assert_int_equal(check("67 1 0:1 / / rw - o o rw\n90 67 8:2 / /leak rw - e e rw\n", &e),
			 -EXDEV);
	assert_non_null(strstr(e.message, "/leak"));
	assert_int_equal(check("garbage\n", &e), -EBADMSG);
	assert_int_equal(check("99999999999999999999999 1 x\n", &e), -EBADMSG);
	assert_int_equal(check("67", &e), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(range_map),	cmocka_unit_test(other_maps),
		cmocka_unit_test(subid_files),	cmocka_unit_test(accounts),
		cmocka_unit_test(mount_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
