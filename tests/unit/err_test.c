/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of base/err.c and base/mem.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>

#include "base/err.h"
#include "base/mem.h"

static void test_set(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(err_set(&e, ERR_INPUT, EINVAL, "file '%s': bad", "x"), -EINVAL);
	assert_int_equal(e.code, -EINVAL);
	assert_string_equal(e.message, "file 'x': bad");
	assert_int_equal(err_hint(&e, "try %d", 1), -EINVAL);
	assert_string_equal(e.hint, "try 1");
	assert_int_equal(err_prefix(&e, "sandbox '%s'", "s"), -EINVAL);
	assert_string_equal(e.message, "sandbox 's': file 'x': bad");
	assert_int_equal(err_set(&e, ERR_HOST, -ENOENT, "new"), -ENOENT);
	assert_string_equal(e.hint, "");
}

static void test_sys(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	errno = ENOENT;
	assert_int_equal(err_sys(&e, "cannot open '%s'", "f"), -ENOENT);
	assert_string_equal(e.message, "cannot open 'f': No such file or directory");
	assert_int_equal(errno, ENOENT);
	errno = 0;
	assert_true(err_sys(&e, "x") < 0);
}

static void test_without_object(void **state)
{
	(void)state;
	errno = EPERM;
	assert_int_equal(err_sys(NULL, "x"), -EPERM);
	assert_int_equal(err_set(NULL, ERR_INPUT, EIO, "x"), -EIO);
	assert_true(err_prefix(NULL, "x") < 0);
	assert_true(err_hint(NULL, "x") < 0);
}

static void test_one_line_and_cut(void **state)
{
	struct err e = ERR_INIT;
	char text[ERR_MESSAGE_MAX + 10];

	(void)state;
	err_set(&e, ERR_INPUT, EINVAL, "a\nb\x1b[c");
	assert_string_equal(e.message, "a b [c");
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	err_set(&e, ERR_INPUT, EINVAL, "%s", text);
	assert_int_equal(strlen(e.message), ERR_MESSAGE_MAX - 1);
	assert_string_equal(e.message + ERR_MESSAGE_MAX - 4, "...");
	/* A cut inside of a character takes the whole character away. */
	for (size_t i = 0; i + 1 < sizeof(text) - 1; i += 2)
		memcpy(text + i, "\xc3\xa4", 2);
	err_set(&e, ERR_INPUT, EINVAL, "%s", text);
	assert_true(strlen(e.message) >= ERR_MESSAGE_MAX - 6);
	assert_int_equal((unsigned char)e.message[strlen(e.message) - 4], 0xa4);
	errno = EIO;
	err_sys(&e, "%s", text);
	assert_string_equal(e.message + strlen(e.message) - 3, "...");
}

static void test_kinds(void **state)
{
	(void)state;
	for (int i = 0; i < ERR_KIND_MAX; i++)
		assert_non_null(err_kind_name((enum err_kind)i));
	assert_string_equal(err_kind_name(ERR_NOT_FOUND), "not-found");
	assert_string_equal(err_kind_name(ERR_KIND_MAX), "unknown");
}

static void test_owners(void **state)
{
	int seen;

	(void)state;
	{
		auto_close int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		auto_free char *s = xasprintf("%d", 7);
		auto_free char *none = NULL;
		char *moved = steal(&s);

		(void)none;
		assert_null(s);
		assert_string_equal(moved, "7");
		free(moved);
		seen = fd;
		errno = EXDEV;
	}
	assert_int_equal(errno, EXDEV);
	assert_int_equal(fcntl(seen, F_GETFD), -1);
	seen = 5;
	assert_int_equal(steal_fd(&seen), 5);
	assert_int_equal(seen, -1);
}

static void test_copies(void **state)
{
	auto_free char *a = xstrndup("abc", 2);
	auto_free char *b = xstrndup("abc", 9);
	auto_free void *c = xmemdup("", 0);
	auto_free void *d = xcalloc(0, 8);

	(void)state;
	assert_string_equal(a, "ab");
	assert_string_equal(b, "abc");
	assert_non_null(c);
	assert_non_null(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_sys),
		cmocka_unit_test(test_without_object),
		cmocka_unit_test(test_one_line_and_cut),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
