/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request_test: the START request, and the table of client messages.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

static void fill(struct spec_session *s)
{
	*s = (struct spec_session){ .tty = true, .cwd = xstrdup("/w") };
	strv_add(&s->argv, "sh");
	strv_add(&s->argv, "");
	strv_add(&s->env, "A=b=c");
	strv_add(&s->env, "EMPTY=");
}

static void test_round_trip(void **state)
{
	struct spec_session s;
	struct start_request r;
	struct err e = ERR_INIT;
	auto_buf b = BUF_INIT;

	(void)state;
	fill(&s);
	s.user = xstrdup("root:adm");
	start_request_write(&s, START_TAR_IN, &b);
	assert_int_equal(start_request_parse(b.data, b.len, &r, &e), 0);
	assert_int_equal(r.op, START_TAR_IN);
	assert_true(r.tty);
	assert_string_equal(r.user, "root:adm");
	assert_string_equal(r.cwd, "/w");
	assert_int_equal(r.argc, 2);
	assert_string_equal(r.argv[1], "");
	assert_null(r.argv[2]);
	assert_string_equal(r.env[0], "A=b=c");
	assert_null(r.env[2]);
	start_request_clear(&r);
	/* Every shorter one is refused, and one that is longer. */
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(start_request_parse(b.data, n, &r, &e), -EBADMSG);
	buf_putc(&b, 'x');
	assert_int_equal(start_request_parse(b.data, b.len, &r, &e), -EBADMSG);
	spec_session_clear(&s);
}

static void test_login_and_caller(void **state)
{
	struct spec_session s = { .login = true, .cwd = xstrdup("/") };
	struct start_request r;
	struct err e = ERR_INIT;
	auto_buf b = BUF_INIT;
	auto_buf other = BUF_INIT;

	(void)state;
	strv_add(&s.env, "A=b");
	strv_add(&s.caller_env, "TERM=xterm");
	strv_add(&s.caller_env, "LANG=C");
	start_request_write(&s, START_EXEC, &b);
	assert_int_equal(start_request_parse(b.data, b.len, &r, &e), 0);
	assert_int_equal(r.argc, 0);
	assert_null(r.argv[0]);
	assert_int_equal(r.envc, 1);
	assert_int_equal(r.callerc, 2);
	assert_string_equal(r.caller[1], "LANG=C");
	assert_null(r.caller[2]);
	start_request_clear(&r);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(start_request_parse(b.data, n, &r, &e), -EBADMSG);
	/* Only a program is started so, and not one that has a name. */
	start_request_write(&s, START_TAR_OUT, &other);
	assert_int_equal(start_request_parse(other.data, other.len, &r, &e), -EBADMSG);
	buf_reset(&other);
	strv_add(&s.argv, "sh");
	start_request_write(&s, START_EXEC, &other);
	assert_int_equal(start_request_parse(other.data, other.len, &r, &e), -EBADMSG);
	buf_reset(&other);
	strv_free(&s.argv);
	strv_add(&s.caller_env, "LANG");
	start_request_write(&s, START_EXEC, &other);
	assert_int_equal(start_request_parse(other.data, other.len, &r, &e), -EBADMSG);
	spec_session_clear(&s);
}

static void refuse(struct spec_session *s)
{
	struct start_request r;
	auto_buf b = BUF_INIT;

	start_request_write(s, START_EXEC, &b);
	assert_int_equal(start_request_parse(b.data, b.len, &r, NULL), -EBADMSG);
	spec_session_clear(s);
}

static void test_refused(void **state)
{
	struct spec_session s;
	struct start_request r;
	auto_buf b = BUF_INIT;

	(void)state;
	fill(&s);
	strv_add(&s.env, "HOST_SECRET");
	refuse(&s);
	fill(&s);
	strv_add(&s.env, "=x");
	refuse(&s);
	fill(&s);
	free(s.cwd);
	s.cwd = xstrdup("relative");
	refuse(&s);
	fill(&s);
	strv_free(&s.argv);
	refuse(&s);
	fill(&s);
	start_request_write(&s, START_EXEC, &b);
	for (size_t i = 0; i < 12; i++) { /* mark, op, flags */
		char old = b.data[i];

		b.data[i] = (char)0x7f;
		assert_int_equal(start_request_parse(b.data, b.len, &r, NULL), -EBADMSG);
		b.data[i] = old;
	}
	spec_session_clear(&s);
}

static void test_control_table(void **state)
{
	(void)state;
	assert_int_equal(control_check(CONTROL_START, 0, 1), 0);
	assert_int_equal(control_check(CONTROL_START, 0, 0), -EBADMSG);
	assert_int_equal(control_check(CONTROL_INPUT, 10, 0), 0);
	assert_int_equal(control_check(CONTROL_INPUT, 10, 1), -EBADMSG);
	assert_int_equal(control_check(CONTROL_INPUT, 0, 0), -EBADMSG);
	assert_int_equal(control_check(CONTROL_RESIZE, 4, 0), 0);
	assert_int_equal(control_check(CONTROL_RESIZE, 3, 0), -EBADMSG);
	assert_int_equal(control_check(CONTROL_COPY_IN, 5000, 0), -EBADMSG);
	assert_int_equal(control_check(0, 0, 0), -EBADMSG);
	assert_int_equal(control_check(CONTROL_OUTPUT, 0, 0), -EBADMSG);
	assert_int_equal(control_check(65535, 0, 0), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_login_and_caller),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_control_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
