/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output_filter: what a program inside may tell the user's terminal.
 *
 * Interactive programs need nearly all of a terminal: colours, cursor, alternate screen, titles,
 * links, mouse, bracketed paste, queries for size and position.  A hostile one could also write the
 * clipboard (OSC 52), make the terminal type text of its choosing at the next prompt (title
 * reports, DECRQSS, answerback, screen checksums), print, define macros, or hide behind strings
 * that only some terminals know.  Those are dropped.
 *
 * It is a pure incremental state machine over bytes: a control sequence is held back until its end
 * is seen and then passed on or dropped as a whole, so that the terminal never sees half of one.
 * OSC commands are an allow list.  8-bit control characters are dropped, raw and as UTF-8.  Strings
 * are bounded: one that does not end is given up after FILTER_STRING_MAX bytes.
 *
 * Invariants: no byte of a dropped sequence reaches the output; text outside of sequences is never
 * changed, except for ENQ and 8-bit controls.
 */
#include <string.h>

#include "base/text.h"
#include "supervise/supervise_internal.h"

enum state {
	GROUND,
	UTF8,
	ESCAPE,
	ESCAPE_INTERMEDIATE,
	CSI,
	OSC,
	STRING, /* DCS, SOS, PM, APC: dropped */
};
enum { C_ENQ = 0x05, C_BEL = 0x07, C_CAN = 0x18, C_SUB = 0x1a, C_ESC = 0x1b, C_DEL = 0x7f };

/* OSC commands that only change how things look. */
static const uint16_t osc_allowed[] = {
	0,   1,	  2,			   /* titles */
	4,   5,	  104, 105,		   /* palette */
	8,				   /* hyperlinks */
	9,				   /* notification, progress */
	10,  11,  12,  13,  14,	 17,  19,  /* colours of text, ground, cursor */
	110, 111, 112, 113, 114, 117, 119, /* and back */
	22,				   /* pointer shape */
	133,				   /* marks of the prompt */
};

struct mode_bit {
	uint32_t mode;
	uint32_t bit;
	bool inverse; /* the troublesome state is "reset" */
};
static const struct mode_bit private_modes[] = {
	{ 1, FILTER_APP_KEYS, false },	    { 6, FILTER_MARGINS, false },
	{ 7, FILTER_NO_WRAP, true },	    { 9, FILTER_MOUSE, false },
	{ 25, FILTER_CURSOR_HIDDEN, true }, { 47, FILTER_ALT_SCREEN, false },
	{ 66, FILTER_KEYPAD, false },	    { 69, FILTER_MARGINS, false },
	{ 1000, FILTER_MOUSE, false },	    { 1001, FILTER_MOUSE, false },
	{ 1002, FILTER_MOUSE, false },	    { 1003, FILTER_MOUSE, false },
	{ 1004, FILTER_FOCUS, false },	    { 1005, FILTER_MOUSE, false },
	{ 1006, FILTER_MOUSE, false },	    { 1015, FILTER_MOUSE, false },
	{ 1016, FILTER_MOUSE, false },	    { 1047, FILTER_ALT_SCREEN, false },
	{ 1049, FILTER_ALT_SCREEN, false }, { 2004, FILTER_PASTE, false },
	{ 2026, FILTER_SYNC, false },
};

void output_filter_init(struct output_filter *f)
{
	*f = (struct output_filter){ .state = GROUND };
}

void output_filter_clear(struct output_filter *f)
{
	buf_free(&f->pending);
}

static void hold(struct output_filter *f, char c)
{
	if (f->pending.len >= FILTER_SEQUENCE_MAX)
		f->drop = true;
	else
		buf_putc(&f->pending, c);
}

static void begin(struct output_filter *f, enum state state)
{
	f->state = (int)state;
	f->drop = false;
	f->dropped = 0;
	f->escape_in_string = false;
}

static void end(struct output_filter *f, bool pass, struct buf *out)
{
	if (pass && !f->drop)
		buf_add(out, f->pending.data, f->pending.len);
	buf_reset(&f->pending);
	begin(f, GROUND);
}

/* --- CSI ------------------------------------------------------------------------------------- */

struct csi {
	char prefix; /* one of <=>? or 0 */
	char intermediate;
	char final;
	uint32_t arg[16];
	size_t n;
};

static void parse_csi(const struct buf *b, struct csi *c)
{
	*c = (struct csi){ .n = 1 };
	for (size_t i = 2; i < b->len; i++) {
		unsigned char ch = (unsigned char)b->data[i];

		if (ch >= '<' && ch <= '?') {
			c->prefix = (char)ch;
		} else if (ch >= '0' && ch <= '9') {
			uint32_t *a = &c->arg[c->n - 1];

			*a = *a < 100000 ? *a * 10 + (ch - '0') : *a;
		} else if (ch == ';' || ch == ':') {
			/* The last slot takes what does not fit: no argument hides behind others.
			 */
			if (c->n < 16)
				c->n++;
			else
				c->arg[15] = 0;
		} else if (ch >= 0x20 && ch <= 0x2f) {
			c->intermediate = (char)ch;
		} else {
			c->final = (char)ch;
		}
	}
}

static void note_modes(struct output_filter *f, const struct csi *c)
{
	bool set = c->final == 'h';

	for (size_t i = 0; i < c->n; i++) {
		for (size_t k = 0; k < sizeof(private_modes) / sizeof(private_modes[0]); k++) {
			const struct mode_bit *m = &private_modes[k];

			if (m->mode != c->arg[i])
				continue;
			if (set != m->inverse)
				f->modes |= m->bit;
			else
				f->modes &= ~m->bit;
		}
	}
}

/* Does it make the terminal send something that a program chose, or act beyond the screen? */
static bool csi_refused(const struct csi *c)
{
	if (c->final == 'i') /* print */
		return true;
	if (c->final == 't' && c->prefix == 0 && c->intermediate == 0) {
		for (size_t i = 0; i < c->n; i++) {
			if (c->arg[i] == 20 || c->arg[i] == 21)
				return true;
		}
	}
	/* Checksums of the screen, macros, and locators of old terminals. */
	if (c->intermediate == '*' && (c->final == 'y' || c->final == 'z'))
		return true;
	return c->intermediate == '\'' && (c->final == '|' || c->final == 'w');
}

/* Does the terminal answer it? */
static bool csi_query(const struct csi *c)
{
	switch (c->final) {
	case 'n':
	case 'c':
	case 'x':
		return c->intermediate == 0 || c->intermediate == '*';
	case 't':
		return c->prefix == 0 && c->intermediate == 0 && c->arg[0] >= 11 && c->arg[0] <= 19;
	case 'p':
		return c->intermediate == '$';
	case 'q':
		return c->prefix == '>';
	case 'u':
	case 'm':
		return c->prefix == '?';
	default:
		return false;
	}
}

static void note_csi(struct output_filter *f, const struct csi *c)
{
	if ((c->final == 'h' || c->final == 'l') && c->prefix == '?')
		note_modes(f, c);
	if (c->final == 'm' && c->prefix == 0) {
		if (c->n == 1 && c->arg[0] == 0)
			f->modes &= ~(uint32_t)FILTER_SGR;
		else
			f->modes |= FILTER_SGR;
	}
	if (c->final == 'm' && c->prefix == '>')
		f->modes |= FILTER_MODIFY_KEYS;
	if (c->final == 'u' && (c->prefix == '>' || c->prefix == '='))
		f->modes |= FILTER_KITTY_KEYS;
	if (c->final == 'r' && c->prefix == 0)
		f->modes |= FILTER_MARGINS;
}

static void feed_csi(struct output_filter *f, unsigned char c, struct buf *out)
{
	struct csi seq;
	bool query;

	if (c < 0x20) { /* acts at once in the middle of a sequence */
		if (c != C_ENQ)
			buf_putc(out, (char)c);
		return;
	}
	if (c >= C_DEL) {
		if (c > C_DEL)
			end(f, false, out);
		return;
	}
	hold(f, (char)c);
	if (c < 0x40)
		return;
	parse_csi(&f->pending, &seq);
	query = csi_query(&seq);
	if (f->drop || csi_refused(&seq) || (query && f->no_queries)) {
		end(f, false, out);
		return;
	}
	f->queries += query;
	note_csi(f, &seq);
	end(f, true, out);
}

/* --- OSC and the strings --------------------------------------------------------------------- */

/* No 8-bit control in it, which some terminals would take for the end of the string. */
static bool clean_utf8(const struct buf *b)
{
	for (size_t i = 0; i + 1 < b->len; i++) {
		if ((unsigned char)b->data[i] == 0xc2 && (unsigned char)b->data[i + 1] < 0xa0)
			return false;
	}
	return text_is_utf8(b->data, b->len);
}

static bool osc_passes(struct output_filter *f)
{
	uint32_t number = 0;
	size_t i = 2;

	for (; i < f->pending.len && f->pending.data[i] >= '0' && f->pending.data[i] <= '9'; i++) {
		if (number > 10000)
			return false;
		number = number * 10 + (uint32_t)(f->pending.data[i] - '0');
	}
	if (i == 2 || i == f->pending.len || !clean_utf8(&f->pending))
		return false;
	if (f->pending.data[i] != ';' && f->pending.data[i] != C_BEL && f->pending.data[i] != C_ESC)
		return false;
	for (size_t k = 0; k < sizeof(osc_allowed) / sizeof(osc_allowed[0]); k++) {
		if (osc_allowed[k] != number)
			continue;
		if (number < 4 || number == 8 || number == 9 ||
		    !memchr(f->pending.data, '?', f->pending.len))
			return true;
		f->queries++;
		return !f->no_queries;
	}
	return false;
}

/* Bytes of a string. True when it ended. */
static bool string_byte(struct output_filter *f, unsigned char c)
{
	if (f->escape_in_string)
		return true;
	if (c == C_ESC) {
		f->escape_in_string = true;
		return false;
	}
	return c == C_CAN || c == C_SUB || ++f->dropped > FILTER_STRING_MAX;
}

static void feed_byte(struct output_filter *f, unsigned char c, struct buf *out);

static void feed_osc(struct output_filter *f, unsigned char c, struct buf *out)
{
	bool was_escape = f->escape_in_string;

	if (was_escape && c != '\\') { /* another sequence cuts it off */
		end(f, false, out);
		buf_putc(&f->pending, C_ESC);
		begin(f, ESCAPE);
		feed_byte(f, c, out);
		return;
	}
	if (c == C_BEL || was_escape) {
		hold(f, (char)c);
		end(f, osc_passes(f), out);
		return;
	}
	if (string_byte(f, c)) {
		end(f, false, out);
		return;
	}
	if (c != C_ESC && (c < 0x20 || c == C_DEL))
		f->drop = true; /* terminals differ in what they make of it */
	hold(f, (char)c);
}

static void feed_string(struct output_filter *f, unsigned char c, struct buf *out)
{
	if (f->escape_in_string && c != '\\') {
		end(f, false, out);
		buf_putc(&f->pending, C_ESC);
		begin(f, ESCAPE);
		feed_byte(f, c, out);
		return;
	}
	if (string_byte(f, c))
		end(f, false, out);
}

/* --- escapes --------------------------------------------------------------------------------- */

static void end_escape(struct output_filter *f, unsigned char c, struct buf *out)
{
	switch (c) {
	case 'c': /* full reset */
		f->modes = 0;
		break;
	case '=':
		f->modes |= FILTER_KEYPAD;
		break;
	case '>':
		f->modes &= ~(uint32_t)FILTER_KEYPAD;
		break;
	case 'n':
	case 'o':
	case '|':
	case '}':
	case '~':
		f->modes |= FILTER_CHARSET;
		break;
	default:
		break;
	}
	/* DECID is an old query, ESC \ ends a string that is gone. */
	end(f, c != 'Z' && c != '\\', out);
}

static void feed_escape(struct output_filter *f, unsigned char c, struct buf *out)
{
	if (c < 0x20) {
		if (c != C_ENQ)
			buf_putc(out, (char)c);
		return;
	}
	if (c >= C_DEL) {
		end(f, false, out);
		return;
	}
	hold(f, (char)c);
	switch (c) {
	case '[':
		begin(f, CSI);
		return;
	case ']':
		begin(f, OSC);
		return;
	case 'P':
	case 'X':
	case '^':
	case '_':
	case 'k': /* title of screen(1): a string there, text elsewhere */
		buf_reset(&f->pending);
		begin(f, STRING);
		return;
	default:
		break;
	}
	if (c < 0x30)
		f->state = ESCAPE_INTERMEDIATE;
	else
		end_escape(f, c, out);
}

static void feed_intermediate(struct output_filter *f, unsigned char c, struct buf *out)
{
	if (c < 0x20) {
		if (c != C_ENQ)
			buf_putc(out, (char)c);
		return;
	}
	if (c >= C_DEL) {
		end(f, false, out);
		return;
	}
	hold(f, (char)c);
	if (c < 0x30)
		return;
	if (f->pending.len == 3 && strchr("()*+-./", f->pending.data[1]) && c != 'B')
		f->modes |= FILTER_CHARSET;
	end(f, true, out);
}

/* --- text ------------------------------------------------------------------------------------ */

static void feed_ground(struct output_filter *f, unsigned char c, struct buf *out)
{
	if (c == C_ENQ || (c >= 0x80 && c < 0xa0))
		return;
	if (c >= 0xc2 && c <= 0xf4) {
		f->state = UTF8;
		f->utf8_left = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
		f->utf8_value = c < 0xe0 ? c & 0x1f : c < 0xf0 ? c & 0x0f : c & 0x07;
		f->utf8_min = c < 0xe0 ? 0x80 : c < 0xf0 ? 0x800 : 0x10000;
		f->drop = false;
		buf_putc(&f->pending, (char)c);
		return;
	}
	if (c == 0x0e)
		f->modes |= FILTER_CHARSET;
	else if (c == 0x0f)
		f->modes &= ~(uint32_t)FILTER_CHARSET;
	buf_putc(out, (char)c);
}

static void feed_utf8(struct output_filter *f, unsigned char c, struct buf *out)
{
	if ((c & 0xc0) != 0x80) {
		/* Not UTF-8 after all: old one-byte text is left alone, except for C1. */
		for (size_t i = 0; i < f->pending.len; i++) {
			if ((unsigned char)f->pending.data[i] >= 0xa0)
				buf_putc(out, f->pending.data[i]);
		}
		end(f, false, out);
		feed_byte(f, c, out);
		return;
	}
	buf_putc(&f->pending, (char)c);
	f->utf8_value = f->utf8_value << 6 | (c & 0x3f);
	if (--f->utf8_left)
		return;
	end(f, f->utf8_value >= f->utf8_min && f->utf8_value >= 0xa0 && f->utf8_value <= 0x10ffff,
	    out);
}

/* ESC, CAN and SUB end whatever sequence was being read, except inside strings. */
static bool interrupts(struct output_filter *f, unsigned char c, struct buf *out)
{
	if (f->state == OSC || f->state == STRING || f->state == UTF8)
		return false;
	if (c == C_ESC) {
		end(f, false, out);
		buf_putc(&f->pending, C_ESC);
		begin(f, ESCAPE);
		return true;
	}
	if ((c == C_CAN || c == C_SUB) && f->state != GROUND) {
		end(f, false, out);
		return true;
	}
	return false;
}

static void feed_byte(struct output_filter *f, unsigned char c, struct buf *out)
{
	if (interrupts(f, c, out))
		return;
	switch ((enum state)f->state) {
	case GROUND:
		feed_ground(f, c, out);
		break;
	case UTF8:
		feed_utf8(f, c, out);
		break;
	case ESCAPE:
		feed_escape(f, c, out);
		break;
	case ESCAPE_INTERMEDIATE:
		feed_intermediate(f, c, out);
		break;
	case CSI:
		feed_csi(f, c, out);
		break;
	case OSC:
		feed_osc(f, c, out);
		break;
	case STRING:
		feed_string(f, c, out);
		break;
	}
}

void output_filter_feed(struct output_filter *f, const char *bytes, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		feed_byte(f, (unsigned char)bytes[i], out);
}

void output_filter_reset(uint32_t modes, struct buf *out)
{
	static const struct {
		uint32_t bits;
		const char *text;
	} table[] = {
		{ FILTER_SYNC, "\033[?2026l" },
		{ FILTER_KITTY_KEYS, "\033[=0u\033[<8u" },
		{ FILTER_MODIFY_KEYS, "\033[>4;0m" },
		{ FILTER_MOUSE, "\033[?9;1000;1001;1002;1003;1005;1006;1015;1016l" },
		{ FILTER_FOCUS, "\033[?1004l" },
		{ FILTER_PASTE, "\033[?2004l" },
		{ FILTER_APP_KEYS, "\033[?1l" },
		{ FILTER_KEYPAD, "\033>" },
		{ FILTER_MARGINS, "\0337\033[?6;69l\033[r\0338" },
		{ FILTER_CHARSET, "\017\033(B" },
		{ FILTER_NO_WRAP, "\033[?7h" },
		{ FILTER_ALT_SCREEN, "\033[?1049l" },
		{ FILTER_SGR, "\033[0m" },
		{ FILTER_CURSOR_HIDDEN, "\033[?25h" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (modes & table[i].bits)
			buf_puts(out, table[i].text);
	}
}
