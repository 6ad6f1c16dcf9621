/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of base/buf.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

static void test_buf(void **state)
{
	auto_buf b = BUF_INIT;
	char *s;

	(void)state;
	assert_string_equal(buf_str(&b), "");
	buf_reset(&b);
	buf_consume(&b, 3);
	buf_add(&b, "", 0);
	buf_puts(&b, "abc");
	buf_putc(&b, 'd');
	buf_printf(&b, "%s-%d", "e", 5);
	assert_string_equal(buf_str(&b), "abcde-5");
	buf_consume(&b, 2);
	assert_string_equal(buf_str(&b), "cde-5");
	buf_truncate(&b, 3);
	buf_truncate(&b, 9);
	assert_string_equal(buf_str(&b), "cde");
	buf_add(&b, "\0x", 2);
	assert_int_equal(b.len, 5);
	buf_consume(&b, 99);
	assert_int_equal(b.len, 0);
	buf_printf(&b, "%*s|", 5000, "");
	assert_int_equal(b.len, 5001);
	assert_int_equal(b.data[5000], '|');
	s = buf_steal(&b);
	assert_int_equal(strlen(s), 5001);
	assert_null(b.data);
	free(s);
	s = buf_steal(&b);
	assert_string_equal(s, "");
	free(s);
	for (int i = 0; i < 10000; i++)
		buf_putc(&b, 'x');
	assert_int_equal(strlen(buf_str(&b)), 10000);
}

static void test_strv(void **state)
{
	auto_strv a = STRV_INIT, b = STRV_INIT;

	(void)state;
	assert_null(strv_argv(&a)[0]);
	strv_add(&a, "x");
	strv_take(&a, xstrdup("y"));
	strv_addf(&a, "%d", 3);
	assert_null(a.v[3]);
	strv_extend(&b, &a);
	strv_extend(&b, &b);
	assert_int_equal(b.n, 6);
	assert_string_equal(b.v[5], "3");
	assert_true(strv_contains(&b, "y"));
	assert_false(strv_contains(&b, "z"));
	for (int i = 0; i < 100; i++)
		strv_add(&b, "many");
	assert_null(strv_argv(&b)[106]);
}

static void test_env(void **state)
{
	auto_strv e = STRV_INIT;

	(void)state;
	strv_env_set(&e, "A", "1");
	strv_env_set(&e, "AB", "2");
	strv_env_set(&e, "A", "3");
	strv_add(&e, "AB=again");
	assert_int_equal(e.n, 3);
	assert_string_equal(strv_env_get(&e, "A"), "3");
	assert_string_equal(strv_env_get(&e, "AB"), "2");
	assert_null(strv_env_get(&e, "B"));
	strv_env_unset(&e, "AB");
	assert_null(strv_env_get(&e, "AB"));
	assert_int_equal(e.n, 1);
	assert_null(e.v[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf),
		cmocka_unit_test(test_strv),
		cmocka_unit_test(test_env),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
