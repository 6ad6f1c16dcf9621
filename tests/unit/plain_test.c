/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain_test: recorded terminal output as plain text, whole and cut at every byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

static const struct {
	const char *in;
	const char *out;
} cases[] = {
	{ "", "" },
	{ "plain\ttext\n", "plain\ttext\n" },
	{ "a\r\nb\r\n", "a\nb\n" },
	{ "one\rtwo\n", "one\ntwo\n" },
	{ "\r\r\n", "\n" },
	{ "end\r", "end\n" },
	{ "\033[31mred\033[0m", "red" },
	{ "\033[?1049h\033[2J\033[1;1Hx", "x" },
	{ "\033]0;title\007x", "x" },
	{ "\033]52;c;aGk=\033\\x", "x" },
	{ "\033P1$r0m\033\\x", "x" },
	{ "\033_apc\033\\\033^pm\033\\\033Xsos\033\\x", "x" },
	{ "\033(Bx\0337y\033=z", "xyz" },
	{ "\033\033[1mx", "x" },
	{ "\033[1\033[2mx", "x" },
	{ "\033]never closed\nnext", "next" },
	{ "\033]half\033[1mx", "x" },
	{ "bell\007 back\b del\177 nul", "bell back del nul" },
	{ "caf\xc3\xa9 \xe2\x9c\x93 \xf0\x9f\x98\x80",
	  "caf\xc3\xa9 \xe2\x9c\x93 \xf0\x9f\x98\x80" },
	{ "\xff\xfe", "\\xff\\xfe" },
	{ "\xc3", "\\xc3" },
	{ "\xe2\x9cx", "\\xe2\\x9cx" },
	{ "back\\slash", "back\\slash" },
};

static bool has_control(const struct buf *b)
{
	for (size_t i = 0; i < b->len; i++) {
		unsigned char c = (unsigned char)b->data[i];

		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
			return true;
	}
	return !text_is_utf8(buf_str(b), b->len);
}

static void whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct plain p = { 0 };
		auto_buf out = BUF_INIT;

		plain_feed(&p, cases[i].in, strlen(cases[i].in), &out);
		plain_finish(&p, &out);
		assert_string_equal(buf_str(&out), cases[i].out);
		assert_false(has_control(&out));
	}
}

static void cut_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct plain p = { 0 };
		auto_buf out = BUF_INIT;

		for (const char *c = cases[i].in; *c; c++)
			plain_feed(&p, c, 1, &out);
		plain_finish(&p, &out);
		assert_string_equal(buf_str(&out), cases[i].out);
	}
}

/* C1 controls, also written as UTF-8, and invisible format characters never come out. */
static void hostile_characters(void **state)
{
	static const char *const in[] = { "\x9b"
					  "31m",
					  "\xc2\x9b"
					  "31m",
					  "\xc2\x85",
					  "\xe2\x80\xae",
					  "\xe2\x80\x8b",
					  "\xef\xbb\xbf" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(in); i++) {
		struct plain p = { 0 };
		auto_buf out = BUF_INIT;

		plain_feed(&p, in[i], strlen(in[i]), &out);
		plain_finish(&p, &out);
		assert_true(out.len > 0 && out.data[0] == '\\');
		assert_false(has_control(&out));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(hostile_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
