/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain: recorded terminal output as plain text for a terminal or a file.
 *
 * ECMA-48 control sequences are left out (CSI, OSC, DCS, APC, PM, SOS and two-byte escapes),
 * CR LF becomes LF, a lone CR starts a new line, backspace and other controls are left out, and
 * bytes that are not UTF-8 or that are C1 controls are shown as escapes.  Incremental: a sequence
 * may be cut anywhere between two calls.  The recorded bytes are hostile.
 */
#include <string.h>

#include "base/text.h"
#include "cli/cli_internal.h"

enum plain_state {
	PLAIN_TEXT,
	PLAIN_CR,	 /* a carriage return was seen */
	PLAIN_ESC,	 /* ESC */
	PLAIN_ESC_MORE,	 /* ESC and intermediate bytes 0x20..0x2f */
	PLAIN_CSI,	 /* ESC [ ... until 0x40..0x7e */
	PLAIN_STRING,	 /* OSC, DCS, APC, PM, SOS: until BEL or ESC \ */
	PLAIN_STRING_ESC /* ESC within such a string */
};

/* Bytes of a UTF-8 character that starts with c; 1 for everything invalid. */
static size_t utf8_length(unsigned char c)
{
	if (c >= 0xc2 && c <= 0xdf)
		return 2;
	if (c >= 0xe0 && c <= 0xef)
		return 3;
	if (c >= 0xf0 && c <= 0xf4)
		return 4;
	return 1;
}

static void flush_tail(struct plain *p, struct buf *out)
{
	if (p->ntail)
		text_escape(out, (const char *)p->tail, p->ntail, sizeof(p->tail));
	p->ntail = 0;
}

/* Collect a character; hand it to text_escape when it is whole or cannot become whole. */
static void text_byte(struct plain *p, unsigned char c, struct buf *out)
{
	if (p->ntail && (c & 0xc0) != 0x80)
		flush_tail(p, out);
	if (c == '\n' || c == '\t' || c == '\\') {
		buf_putc(out, (char)c);
		return;
	}
	if (c < 0x20 || c == 0x7f)
		return;
	p->tail[p->ntail++] = c;
	if (p->ntail >= utf8_length(p->tail[0]))
		flush_tail(p, out);
}

static int after_escape(unsigned char c)
{
	if (c == '[')
		return PLAIN_CSI;
	if (memchr("]PX^_", c, 5))
		return PLAIN_STRING;
	if (c >= 0x20 && c <= 0x2f)
		return PLAIN_ESC_MORE;
	return c == 0x1b ? PLAIN_ESC : PLAIN_TEXT;
}

static int plain_text_byte(struct plain *p, unsigned char c, struct buf *out)
{
	if (p->state == PLAIN_CR && c != '\r')
		buf_putc(out, '\n');
	if (p->state == PLAIN_CR && c == '\n')
		return PLAIN_TEXT;
	if (c == 0x1b || c == '\r') {
		flush_tail(p, out);
		return c == '\r' ? PLAIN_CR : PLAIN_ESC;
	}
	text_byte(p, c, out);
	return PLAIN_TEXT;
}

static int plain_next(struct plain *p, unsigned char c, struct buf *out)
{
	switch ((enum plain_state)p->state) {
	case PLAIN_TEXT:
	case PLAIN_CR:
		return plain_text_byte(p, c, out);
	case PLAIN_ESC:
		return after_escape(c);
	case PLAIN_ESC_MORE:
		return c >= 0x20 && c <= 0x2f ? PLAIN_ESC_MORE : PLAIN_TEXT;
	case PLAIN_CSI:
		if (c == 0x1b)
			return PLAIN_ESC;
		/* A control byte within a sequence breaks it off here; a terminal would execute it.
		 */
		return (c >= 0x40 && c <= 0x7e) || c < 0x20 ? PLAIN_TEXT : PLAIN_CSI;
	case PLAIN_STRING:
		if (c == 0x1b)
			return PLAIN_STRING_ESC;
		/* A line end closes a string that its program never closed. */
		return c == 0x07 || c == '\n' ? PLAIN_TEXT : PLAIN_STRING;
	case PLAIN_STRING_ESC:
		return c == '\\' ? PLAIN_TEXT : after_escape(c);
	}
	return PLAIN_TEXT;
}

void plain_feed(struct plain *p, const char *bytes, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		p->state = plain_next(p, (unsigned char)bytes[i], out);
}

void plain_finish(struct plain *p, struct buf *out)
{
	flush_tail(p, out);
	if (p->state == PLAIN_CR)
		buf_putc(out, '\n');
	p->state = PLAIN_TEXT;
}
