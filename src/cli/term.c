/* SPDX-License-Identifier: Apache-2.0 */
/*
 * term: what people see.  Results go to stdout, remarks and errors to stderr.
 *
 * Invariant: no control character that came from a file, a sandbox or the network reaches a
 * terminal through these functions; whatever is printed here was escaped, or is our own text.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

enum { TERM_CELL_MAX = 4096, TERM_COLUMN_MAX = 80 };

bool term_colour(int fd)
{
	const char *no = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return (!no || !*no) && term && strcmp(term, "dumb") != 0 && isatty(fd);
}

void term_escape_message(struct buf *out, const char *s)
{
	/* Names inside a message were escaped where it was made: a backslash is kept as it is. */
	while (*s) {
		size_t n = strcspn(s, "\\");

		text_escape(out, s, n, n);
		s += n;
		if (*s == '\\') {
			buf_putc(out, '\\');
			s++;
		}
	}
}

/* How this program was called. */
static const char *program = "ward";

void term_called_as(const char *name)
{
	program = name;
}

/*
 * Every layer writes commands as "ward VERB", and only this place knows how people can type them.
 */
static void add_message(struct buf *out, const char *message)
{
	static const char ours[] = "ward ";
	const char *from = message;
	const char *p = message;

	while (strcmp(program, "ward") != 0 && (p = strstr(p, ours))) {
		const char *word = p + strlen(ours);
		auto_free char *verb = xstrndup(word, strspn(word, "abcdefghijklmnopqrstuvwxyz"));

		if ((p == message || strchr(" '(", p[-1])) && cli_verb_find(verb)) {
			auto_free char *before = xstrndup(from, (size_t)(p - from));

			term_escape_message(out, before);
			buf_printf(out, "%s ", program);
			from = word;
		}
		p = word;
	}
	term_escape_message(out, from);
}

/* One write for one message, so that lines of two processes do not mix. */
static void to_stderr(const struct buf *b)
{
	(void)fs_write_all(STDERR_FILENO, buf_str(b), b->len);
}

void term_error(const struct err *e)
{
	auto_buf b = BUF_INIT;
	bool colour = term_colour(STDERR_FILENO);

	buf_puts(&b, colour ? "\033[31mward:\033[0m " : "ward: ");
	add_message(&b, e->message);
	buf_putc(&b, '\n');
	if (e->hint[0]) {
		buf_puts(&b, colour ? "\033[1mhint:\033[0m " : "hint: ");
		add_message(&b, e->hint);
		buf_putc(&b, '\n');
	}
	to_stderr(&b);
}

static void remark(const char *prefix, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
static void remark(const char *prefix, const char *fmt, va_list ap)
{
	auto_buf text = BUF_INIT;
	auto_buf b = BUF_INIT;

	buf_vprintf(&text, fmt, ap);
	buf_puts(&b, prefix);
	add_message(&b, buf_str(&text));
	buf_putc(&b, '\n');
	to_stderr(&b);
}

void term_newline(void)
{
	(void)fs_write_all(STDERR_FILENO, "\n", 1);
}

void term_note(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	if (c->v.quiet)
		return;
	va_start(ap, fmt);
	remark("ward: ", fmt, ap);
	va_end(ap);
}

void term_hint(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	if (c->v.quiet)
		return;
	va_start(ap, fmt);
	remark("hint: ", fmt, ap);
	va_end(ap);
}

void term_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	remark("ward: ", fmt, ap);
	va_end(ap);
}

void term_debug(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	if (!c->v.debug)
		return;
	va_start(ap, fmt);
	remark("debug: ", fmt, ap);
	va_end(ap);
}

int term_out(const struct buf *b, struct err *e)
{
	int r = fs_write_all(STDOUT_FILENO, buf_str(b), b->len);

	if (r < 0)
		return err_set(e, ERR_SYSTEM, r, "standard output: %s", strerror(-r));
	return 0;
}

/* Characters that act on a terminal or hide text, as text_escape has them; all have 2 or 3 bytes.
 */
static bool acts(unsigned c)
{
	return (c >= 0x7f && c <= 0x9f) || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

/*
 * JSON text may carry any character beyond ASCII as it is. Those that act are written as \u
 * escapes: the same value for a program, harmless for a terminal. They can only be inside strings.
 */
void term_escape_json(struct buf *out, const char *text, size_t n)
{
	const unsigned char *s = (const unsigned char *)text;

	for (size_t i = 0; i < n; i++) {
		unsigned c = s[i];
		size_t more = 0;

		if (c >= 0xc0 && c < 0xe0 && i + 1 < n) {
			c = (c & 0x1fU) << 6 | (s[i + 1] & 0x3fU);
			more = 1;
		} else if (c >= 0xe0 && c < 0xf0 && i + 2 < n) {
			c = (c & 0x0fU) << 12 | (s[i + 1] & 0x3fU) << 6 | (s[i + 2] & 0x3fU);
			more = 2;
		}
		if (acts(c))
			buf_printf(out, "\\u%04x", c);
		else
			buf_add(out, text + i, more + 1);
		i += more;
	}
}

int term_out_json(const struct json *j, struct err *e)
{
	auto_buf raw = BUF_INIT, b = BUF_INIT;

	json_write(j, true, &raw);
	term_escape_json(&b, buf_str(&raw), raw.len);
	return term_out(&b, e);
}

void term_table_cell(struct term_table *t, const char *foreign)
{
	auto_buf b = BUF_INIT;

	text_escape(&b, foreign, strlen(foreign), TERM_CELL_MAX);
	strv_take(&t->cells, buf_steal(&b));
}

/* Columns that a UTF-8 text takes, counting characters; good enough for names and paths. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void term_table_write(const struct term_table *t, struct buf *out)
{
	size_t widths[TERM_COLUMNS_MAX] = { 0 };

	for (size_t i = 0; i < t->cells.n; i++) {
		size_t w = width(t->cells.v[i]);

		/* One very long path does not push the columns of all other rows away. */
		if (w > widths[i % t->columns] && w <= TERM_COLUMN_MAX)
			widths[i % t->columns] = w;
	}
	for (size_t i = 0; i < t->cells.n; i++) {
		size_t column = i % t->columns;
		size_t w = width(t->cells.v[i]);

		buf_puts(out, t->cells.v[i]);
		if (column + 1 == t->columns)
			buf_putc(out, '\n');
		else
			buf_printf(out, "%*s",
				   (int)(w < widths[column] ? widths[column] - w : 0) + 3, "");
	}
}

void term_table_clear(struct term_table *t)
{
	strv_free(&t->cells);
}
