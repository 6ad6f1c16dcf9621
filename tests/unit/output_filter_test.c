/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output_filter_test: what passes to the user's terminal and what does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

struct row {
	const char *in;
	const char *out; /* NULL: the same */
};

static void check(const struct row *row, size_t step, bool no_queries)
{
	struct output_filter f;
	auto_buf out = BUF_INIT;
	const char *want = row->out ? row->out : row->in;
	size_t n = strlen(row->in);

	output_filter_init(&f);
	f.no_queries = no_queries;
	for (size_t i = 0; i < n; i += step)
		output_filter_feed(&f, row->in + i, n - i < step ? n - i : step, &out);
	assert_string_equal(buf_str(&out), want);
	output_filter_clear(&f);
}

static void check_all(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		check(&rows[i], 1, false);
		check(&rows[i], 3, false);
		check(&rows[i], 4096, false);
	}
}

static void test_passes(void **state)
{
	static const struct row rows[] = {
		{ "plain text\r\n\ttab \a\b\x0b\x0c", NULL },
		{ "Gr\xc3\xbc\xc3\x9f\xe2\x82\xac \xf0\x9f\x98\x80", NULL },
		{ "\033[1;31mred\033[0m\033[38:2::1:2:3m", NULL },
		{ "\033[2J\033[H\033[10;20H\033[K\033[?25l\033[?1049h\033[?2004h", NULL },
		{ "\033]0;title\007\033]2;other\033\\", NULL },
		{ "\033]8;id=1;https://example.org/\033\\link\033]8;;\033\\", NULL },
		{ "\033]11;?\033\\\033]10;?\007\033]4;1;?\007", NULL },
		{ "\033]133;A\007\033]9;4;1;50\007", NULL },
		{ "\033[6n\033[c\033[>c\033[5n\033[?2026$p\033[18t\033[14t", NULL },
		{ "\033[22;0t\033[23;0t\033[8;24;80t", NULL },
		{ "\033[>1u\033[<u\033[?u\033[>4;2m", NULL },
		{ "\033(0lqk\033(B\033=\033>\0337\0338\033M", NULL },
		{ "\033[5 q\033[!p", NULL },
		{ "latin-1 \xfc\xdf text", NULL },
	};

	(void)state;
	check_all(rows, ARRAY_SIZE(rows));
}

static void test_drops(void **state)
{
	static const struct row rows[] = {
		{ "a\033]52;c;aGk=\007b\033]52;c;?\033\\c", "abc" },
		{ "a\033]052;c;aGk=\007b", "ab" },
		{ "a\033]1337;Copy=:aGk=\007b\033]50;?\007c\033]777;notify;x;y\007d", "abcd" },
		{ "a\033]7;file://h/p\007b", "ab" },
		{ "a\033[21tb\033[20tc\033[021td\033[0;21te\033[21;0tf", "abcdef" },
		{ "a\033P$q\"p\033\\b\033P+q544e\033\\c\033Pq#0;~\033\\d", "abcd" },
		{ "a\033_Gi=1;AAAA\033\\b\033^pm\033\\c\033Xsos\033\\d\033ktitle\033\\e", "abcde" },
		{ "a\005b\033[5ic\033[1;1;1;1;1;1*yd\033[1*ze\033Zf", "abcdef" },
		{ "a\x9b"
		  "21tb\x90$q\x9c"
		  "c\x9d"
		  "52;c;x\x9c",
		  "a21tb$qc52;c;x" },
		{ "a\xc2\x9b"
		  "21tb\xc2\x9d"
		  "52;c;x\007",
		  "a21tb52;c;x\007" },
		{ "a\xe0\x80\x9b"
		  "b\xc0\x9b"
		  "c",
		  "ab\xc0"
		  "c" },
		/* a sequence that is cut off by another one */
		{ "a\033]52;c;AA\033[31mb", "a\033[31mb" },
		{ "a\033]0;title\033[31mb", "a\033[31mb" },
		{ "a\033[1;2\033[31mb\033[3\030c\033]0;x\032d", "a\033[31mbcd" },
		{ "a\033P1;2\033[0mb", "a\033[0mb" },
		{ "a\033]0;x\033\033P$q\033\\b", "ab" },
		{ "a\033P0;x\033\033[21tb", "ab" },
		/* controls inside a sequence act at once, as in a terminal */
		{ "a\033[2\n1tb", "a\nb" },
		{ "a\033[3\n1mb", "a\n\033[31mb" },
		/* a title with a control in it */
		{ "a\033]0;x\ny\007b\033]0;\x9b"
		  "31m\007c\033]0;\xc2\x9c\007d",
		  "abcd" },
		/* unterminated */
		{ "a\033]0;never ends", "a" },
		{ "a\033[38;5", "a" },
		{ "a\033]\007b\033];x\007c\033]x;y\007d", "abcd" },
	};

	(void)state;
	check_all(rows, ARRAY_SIZE(rows));
}

static void test_no_queries(void **state)
{
	static const struct row rows[] = {
		{ "a\033[6nb\033[cc\033]11;?\007d\033[18te\033[?ug", "abcdeg" },
		{ "a\033[31mb\033]0;t\007c\033]8;;http://x/?q\033\\d", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(&rows[i], 1, true);
}

static void test_long_sequences(void **state)
{
	struct output_filter f;
	auto_buf in = BUF_INIT;
	auto_buf out = BUF_INIT;

	(void)state;
	output_filter_init(&f);
	buf_puts(&in, "\033]0;");
	for (int i = 0; i < FILTER_SEQUENCE_MAX + 10; i++)
		buf_putc(&in, 'x');
	buf_puts(&in, "\007after");
	output_filter_feed(&f, in.data, in.len, &out);
	assert_string_equal(buf_str(&out), "after");
	assert_true(f.pending.cap <= 4 * FILTER_SEQUENCE_MAX);

	/* A string that never ends is given up at some point: output comes back. */
	buf_reset(&in);
	buf_reset(&out);
	buf_puts(&in, "\033P");
	for (int i = 0; i < FILTER_STRING_MAX + 2; i++)
		buf_putc(&in, 'x');
	buf_puts(&in, "visible");
	output_filter_feed(&f, in.data, in.len, &out);
	assert_non_null(strstr(buf_str(&out), "visible"));
	output_filter_clear(&f);
}

static void test_modes(void **state)
{
	static const struct {
		const char *text;
		uint32_t modes;
	} rows[] = {
		{ "\033[?1049h", FILTER_ALT_SCREEN },
		{ "\033[?1049h\033[?1049l", 0 },
		{ "\033[?25l", FILTER_CURSOR_HIDDEN },
		{ "\033[?25l\033[?25h", 0 },
		{ "\033[?1000;1006h", FILTER_MOUSE },
		{ "\033[?2004h\033[?1004h", FILTER_PASTE | FILTER_FOCUS },
		{ "\033[31m", FILTER_SGR },
		{ "\033[31m\033[m", 0 },
		{ "\033[>1u", FILTER_KITTY_KEYS },
		{ "\033[?1049h\033[31m\033c", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct output_filter f;
		auto_buf out = BUF_INIT;
		auto_buf reset = BUF_INIT;

		output_filter_init(&f);
		output_filter_feed(&f, rows[i].text, strlen(rows[i].text), &out);
		assert_int_equal(f.modes, rows[i].modes);
		output_filter_reset(f.modes, &reset);
		assert_true((reset.len == 0) == (rows[i].modes == 0));
		output_filter_clear(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passes),	   cmocka_unit_test(test_drops),
		cmocka_unit_test(test_no_queries), cmocka_unit_test(test_long_sequences),
		cmocka_unit_test(test_modes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
