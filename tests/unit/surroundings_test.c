/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of locales, and the archive that they are looked up in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

static void test_names(void **state)
{
	static const char *const cases[][2] = {
		{ "C", "C" },
		{ "de_DE", "de_DE" },
		{ "de_DE.UTF-8", "de_DE.utf8" },
		{ "de_DE.utf8", "de_DE.utf8" },
		{ "de_DE.ISO-8859-15@euro", "de_DE.iso885915@euro" },
		{ "de_DE.8859-1", "de_DE.iso88591" },
		{ "de_DE@euro", "de_DE@euro" },
		{ ".", ".iso" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *name = locale_normalised(cases[i][0]);

		assert_string_equal(name, cases[i][1]);
	}
}

static void make_archive(struct buf *out, const char *strings, uint32_t offset, uint32_t n)
{
	const uint32_t head[8] = { 0xde020109U, 1, 32, 0, 0, offset, n, n };

	buf_add(out, head, sizeof(head));
	buf_add(out, strings, n);
}

static void test_archive(void **state)
{
	static const char names[] = "de_DE.utf8\0en_US.utf8";
	auto_buf good = BUF_INIT;
	auto_buf bad = BUF_INIT;

	(void)state;
	make_archive(&good, names, 32, sizeof(names));
	assert_true(locale_archive_has(good.data, good.len, "de_DE.utf8"));
	assert_true(locale_archive_has(good.data, good.len, "en_US.utf8"));
	assert_false(locale_archive_has(good.data, good.len, "en_US"));
	assert_false(locale_archive_has(good.data, good.len, "US.utf8"));
	assert_false(locale_archive_has(good.data, good.len, ""));
	for (size_t n = 0; n < good.len; n++)
		assert_false(locale_archive_has(good.data, n, "en_US.utf8"));
	good.data[0] ^= 1;
	assert_false(locale_archive_has(good.data, good.len, "en_US.utf8"));
	/* Offsets that lead elsewhere, and a last name without its end. */
	make_archive(&bad, names, UINT32_MAX, sizeof(names));
	assert_false(locale_archive_has(bad.data, bad.len, "en_US.utf8"));
	buf_reset(&bad);
	make_archive(&bad, names, 33, sizeof(names));
	assert_false(locale_archive_has(bad.data, bad.len, "en_US.utf8"));
	buf_reset(&bad);
	make_archive(&bad, names, 32, sizeof(names) - 1);
	assert_false(locale_archive_has(bad.data, bad.len, "en_US.utf8"));
}

static void test_other_variables(void **state)
{
	(void)state;
	assert_string_equal(surroundings_fit("COLORTERM", "truecolor"), "truecolor");
	assert_string_equal(surroundings_fit("TZ", "Asia/Tokyo"), "Asia/Tokyo");
	assert_string_equal(surroundings_fit("LANG", "C.UTF-8"), "C.UTF-8");
	assert_string_equal(surroundings_fit("LC_ALL", "POSIX"), "POSIX");
	assert_string_equal(surroundings_fit("LC_ALL", "xx_XX.UTF-8"), "C.UTF-8");
	assert_string_equal(surroundings_fit("LANG", "../x"), "C.UTF-8");
	assert_string_equal(surroundings_fit("LANG", ""), "C.UTF-8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_archive),
		cmocka_unit_test(test_other_variables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
