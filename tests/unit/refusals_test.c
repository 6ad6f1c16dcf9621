/* SPDX-License-Identifier: Apache-2.0 */
/* What the user is told of refusals: bounds, what counts as the same, escaping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "supervise/supervise_internal.h"

#define TAKE(r, count, text) refusals_take(r, count, text, sizeof(text))

static void messages_are_checked(void **state)
{
	static char large[REFUSAL_BYTES_MAX + 1];
	struct refusals r = { 0 };

	(void)state;
	memset(large, 'x', sizeof(large));
	large[1] = large[2] = large[sizeof(large) - 1] = '\0';
	assert_false(refusal_check(large, sizeof(large)));
	assert_true(refusal_check(large + 1, 0) == false);
	assert_true(refusal_check("a\0b\0c", 6));
	assert_true(refusal_check("a\0\0", 4));
	assert_false(refusal_check("\0b\0c", 5));
	assert_false(refusal_check("a\0b\0c", 5));
	assert_false(refusal_check("a\0b", 4));
	assert_false(refusal_check("a\0b\0c\0d", 8));
	refusals_take(&r, 1, "a", 2);
	refusals_take(&r, 1, "", 0);
	assert_int_equal(r.n, 0);
	assert_null(refusals_to_json(&r));
}

static void each_is_shown_once(void **state)
{
	struct refusals r = { 0 };
	auto_buf out = BUF_INIT;
	auto_json list = NULL;
	uint64_t count;

	(void)state;
	TAKE(&r, 1, "a.test\0no rule\0ward policy allow a.test");
	refusals_lines(&r, "\r\n", &out);
	assert_string_equal(buf_str(&out), "ward: denied: a.test: no rule\r\n");
	buf_reset(&out);
	/* The same command is the same thing, whichever port it was. */
	TAKE(&r, 2, "a.test:443\0no rule\0ward policy allow a.test");
	TAKE(&r, 1, "b.test:443\0no SNI\0");
	TAKE(&r, 1, "b.test:443\0other name\0");
	TAKE(&r, 1, "b.test:443\0no SNI\0");
	refusals_lines(&r, "\n", &out);
	assert_string_equal(buf_str(&out), "ward: denied: b.test:443: no SNI\n"
					   "ward: denied: b.test:443: other name\n");
	buf_reset(&out);
	refusals_lines(&r, "\n", &out);
	assert_int_equal(out.len, 0);
	list = refusals_to_json(&r);
	assert_int_equal(json_len(list), 3);
	assert_int_equal(json_get_uint(json_at(list, 0), "count", &count), 0);
	assert_int_equal(count, 3);
	refusals_clear(&r);
}

static void hostile_names_are_escaped(void **state)
{
	struct refusals r = { 0 };
	auto_buf out = BUF_INIT;

	(void)state;
	TAKE(&r, 1, "a\033]0;x\007\r\n\342\200\256\xff\0why\033[2J\0");
	refusals_lines(&r, "\n", &out);
	assert_string_equal(buf_str(&out), "ward: denied: a\\x1b]0;x\\x07\\x0d\\x0a\\u{202e}\\xff: "
					   "why\\x1b[2J\n");
	refusals_clear(&r);
}

static void many_are_bounded(void **state)
{
	struct refusals r = { 0 };

	(void)state;
	for (int i = 0; i < 10 * REFUSALS_MAX; i++) {
		char text[32];
		int n = snprintf(text, sizeof(text), "h%d.test%cwhy%c", i, 0, 0);

		refusals_take(&r, 1, text, (size_t)n + 1);
	}
	assert_int_equal(r.n, REFUSALS_MAX);
	assert_int_equal(r.unshown, REFUSALS_MAX);
	assert_int_equal(r.more, 9 * REFUSALS_MAX);
	refusals_clear(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_checked),
		cmocka_unit_test(each_is_shown_once),
		cmocka_unit_test(hostile_names_are_escaped),
		cmocka_unit_test(many_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
