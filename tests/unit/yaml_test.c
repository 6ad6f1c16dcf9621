/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The YAML subset: what a tree looks like, and everything that is refused, with its line.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"
#include "spec/spec_internal.h"

static struct yaml_tree *parse(const char *text)
{
	struct yaml_tree *y = NULL;
	struct err e = ERR_INIT;

	if (yaml_tree_read(text, strlen(text), "f.yaml", &y, &e) < 0)
		fail_msg("%s", e.message);
	return y;
}

static void test_tree(void **state)
{
	struct yaml_tree *y = parse("# a comment\n"
				    "name: x\n"
				    "list:\n"
				    "  - one\n"
				    "  - \"two\\n\"\n"
				    "map: {a: 1, b: ~}\n"
				    "text: |\n"
				    "  line one\n"
				    "  line two\n");
	const struct yaml_node *root = yaml_tree_root(y);

	(void)state;
	assert_int_equal(root->kind, YAML_MAPPING);
	assert_int_equal(root->n, 4);
	assert_string_equal(root->keys[0]->text, "name");
	assert_int_equal(root->keys[0]->line, 2);
	assert_true(root->items[0]->plain);
	assert_int_equal(root->items[1]->kind, YAML_LIST);
	assert_int_equal(root->items[1]->n, 2);
	assert_string_equal(root->items[1]->items[1]->text, "two\n");
	assert_false(root->items[1]->items[1]->plain);
	assert_int_equal(root->items[1]->items[1]->line, 5);
	assert_true(yaml_node_is_null(root->items[2]->items[1]));
	assert_string_equal(root->items[3]->text, "line one\nline two\n");
	yaml_tree_free(y);
}

static void test_empty(void **state)
{
	static const char *const texts[] = { "", "# only a comment\n", "---\n", "---\n...\n",
					     "~\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct yaml_tree *y = parse(texts[i]);

		assert_null(yaml_tree_root(y));
		yaml_tree_free(y);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} cases[] = {
		{ "a: &x 1\n", "f.yaml:1: anchors ('&') are not supported" },
		{ "a: &x\n  b: 1\n", "f.yaml:1: anchors ('&') are not supported" },
		{ "a: &x [1]\n", "f.yaml:1: anchors ('&') are not supported" },
		{ "b: 1\na: *x\n", "f.yaml:2: aliases ('*') are not supported" },
		{ "a: !!str 1\n", "f.yaml:1: tags ('!') are not supported" },
		{ "a: ! 1\n", "f.yaml:1: tags ('!') are not supported" },
		{ "a: !x {b: 1}\n", "f.yaml:1: tags ('!') are not supported" },
		{ "a: !!set [1]\n", "f.yaml:1: tags ('!') are not supported" },
		{ "a: 1\n<<: {b: 2}\n", "f.yaml:2: merge keys ('<<') are not supported" },
		{ "a: 1\n---\nb: 1\n", "f.yaml:2: a second document follows" },
		{ "%YAML 1.1\n---\na: 1\n", "f.yaml:1: directives ('%') are not supported" },
		{ "%TAG ! x:\n---\na: 1\n", "f.yaml:1: directives ('%') are not supported" },
		{ "a: 1\nb: 2\na: 3\n", "f.yaml:3: 'a' is given twice, first in line 1" },
		{ "a: 1\n\"a\": 3\n", "f.yaml:2: 'a' is given twice, first in line 1" },
		{ "[a]: 1\n", "f.yaml:1: a key must be a word, not a list or a mapping" },
		{ "? {a: 1}\n: 2\n", "f.yaml:1: a key must be a word, not a list or a mapping" },
		{ "a: \"x\\0y\"\n", "f.yaml:1: a text holds a NUL byte" },
		{ "a: \xff\n", "f.yaml: not a text file in UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct yaml_tree *y = NULL;
		struct err e = ERR_INIT;
		const char *t = cases[i].text;

		assert_int_equal(yaml_tree_read(t, strlen(t), "f.yaml", &y, &e), -EINVAL);
		assert_null(y);
		assert_string_equal(e.message, cases[i].message);
		assert_int_equal(e.kind, ERR_INPUT);
	}
}

static void test_broken(void **state)
{
	static const char *const texts[] = {
		"a: [1\n",	 "a: \"x\n", "a: b: c\n", "\ta: 1\n",
		"a: 1\n b: 2\n", "{",	     "a: \x01\n", "- a\nb: 1\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct yaml_tree *y = NULL;
		struct err e = ERR_INIT;

		assert_int_equal(yaml_tree_read(texts[i], strlen(texts[i]), "f.yaml", &y, &e),
				 -EINVAL);
		assert_null(y);
		assert_non_null(strstr(e.message, "not valid YAML"));
		assert_int_equal(strncmp(e.message, "f.yaml:", 7), 0);
	}
}

static int read_buf(struct buf *text, struct err *e)
{
	struct yaml_tree *y = NULL;
	int r = yaml_tree_read(buf_str(text), text->len, "f.yaml", &y, e);

	yaml_tree_free(y);
	return r;
}

static void test_depth(void **state)
{
	(void)state;
	for (int depth = YAML_DEPTH_MAX; depth <= YAML_DEPTH_MAX + 1; depth++) {
		auto_buf text = BUF_INIT;
		struct err e = ERR_INIT;

		for (int i = 0; i < depth; i++)
			buf_putc(&text, '[');
		for (int i = 0; i < depth; i++)
			buf_putc(&text, ']');
		if (depth == YAML_DEPTH_MAX) {
			assert_int_equal(read_buf(&text, &e), 0);
		} else {
			assert_int_equal(read_buf(&text, &e), -EINVAL);
			assert_string_equal(e.message, "f.yaml:1: nested too deeply");
		}
	}
}

static void test_nodes(void **state)
{
	(void)state;
	for (int n = YAML_NODES_MAX - 1; n <= YAML_NODES_MAX; n++) {
		auto_buf text = BUF_INIT;
		struct err e = ERR_INIT;

		for (int i = 0; i < n; i++)
			buf_puts(&text, "- a\n");
		if (n < YAML_NODES_MAX) {
			assert_int_equal(read_buf(&text, &e), 0);
		} else {
			assert_int_equal(read_buf(&text, &e), -EINVAL);
			assert_non_null(strstr(e.message, "too many values"));
		}
	}
}

static void test_bytes(void **state)
{
	auto_buf text = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	buf_puts(&text, "a: 1\n#");
	while (text.len < YAML_BYTES_MAX)
		buf_putc(&text, 'x');
	assert_int_equal(read_buf(&text, &e), 0);
	buf_putc(&text, 'x');
	assert_int_equal(read_buf(&text, &e), -EFBIG);
}

static void test_json(void **state)
{
	struct yaml_tree *y =
		parse("a: true\nb: 'true'\nc: 12\nd: ~\ne: [x, {f: 1}, []]\ng: {}\nh: -1\n");
	struct json *j = yaml_node_to_json(yaml_tree_root(y));
	auto_buf out = BUF_INIT;

	(void)state;
	json_write(j, false, &out);
	assert_string_equal(buf_str(&out), "{\"a\":true,\"b\":\"true\",\"c\":12,\"d\":null,"
					   "\"e\":[\"x\",{\"f\":1},[]],\"g\":{},\"h\":\"-1\"}");
	json_unref(j);
	yaml_tree_free(y);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree),	cmocka_unit_test(test_empty),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_broken),
		cmocka_unit_test(test_depth),	cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_bytes),	cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
