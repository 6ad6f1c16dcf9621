/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1: message heads (RFC 9112 sections 2 to 7) and chunked bodies.
 *
 * Two steps: find where the head ends, then parse it line by line.  Only the first is repeated when
 * bytes come one at a time, and it is a memchr per line.  Wherever two readers of HTTP could
 * disagree about the length of a message, it is refused; see the list in the header.
 */
#include "base/http1.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

enum { METHOD_MAX = 32, CHUNK_DIGITS_MAX = 8, CHUNK_EXT_MAX = 256 };
#define CHUNK_MAX (UINT64_C(1) << 31)

static int bad(struct err *e, const char *why)
{
	return err_set(e, ERR_INPUT, EBADMSG, "HTTP message: %s", why);
}

static int large(struct err *e, const char *why)
{
	return err_set(e, ERR_INPUT, E2BIG, "HTTP message: %s", why);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "tchar" of RFC 9110, section 5.6.2. */
static bool is_token_char(char c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct http1_slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_token_char(s.p[i]))
			return false;
	}
	return s.n > 0;
}

/* Field values and reason phrases: visible bytes, space, tab, and above ASCII. */
static bool is_text(struct http1_slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static bool is_visible_ascii(struct http1_slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
			return false;
	}
	return s.n > 0;
}

/*
 * Where does the head end? 1: *ret_size is its length with the empty line. 0: not here yet. Line
 * ends are checked already, so that a bare LF is refused at once instead of waiting for more.
 */
static int find_end(const char *bytes, size_t n, size_t *ret_size, struct err *e)
{
	size_t limit = n < HTTP1_HEAD_MAX ? n : HTTP1_HEAD_MAX;
	size_t at = 0;

	if (n > 0 && !is_token_char(bytes[0]))
		return bad(e, "it does not begin with a method or a version");
	for (;;) {
		const char *lf = memchr(bytes + at, '\n', limit - at);
		size_t end;

		if (lf == NULL)
			break;
		end = (size_t)(lf - bytes);
		if (end == at || lf[-1] != '\r')
			return bad(e, "line feed without carriage return");
		if (end == at + 1) {
			*ret_size = end + 1;
			return 1;
		}
		at = end + 1;
	}
	if (at == 0 && limit > HTTP1_TARGET_MAX + METHOD_MAX + 16)
		return large(e, "the first line is too long");
	if (n >= HTTP1_HEAD_MAX)
		return large(e, "the head is larger than 64 KiB");
	return 0;
}

/* Cut a line off the front of the head, which is known to have it; without its CRLF. */
static struct http1_slice next_line(const char **p, const char *end)
{
	const char *lf = memchr(*p, '\n', (size_t)(end - *p));
	struct http1_slice line = { .p = *p, .n = (size_t)(lf - *p) - 1 };

	*p = lf + 1;
	return line;
}

static struct http1_slice cut_at(struct http1_slice *s, char c)
{
	const char *at = s->n != 0 ? memchr(s->p, c, s->n) : NULL;
	struct http1_slice front = *s;

	if (at == NULL) {
		s->p += s->n;
		s->n = 0;
		return front;
	}
	front.n = (size_t)(at - s->p);
	s->p = at + 1;
	s->n -= front.n + 1;
	return front;
}

static struct http1_slice trim(struct http1_slice s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static int parse_version(struct http1_slice s, int *ret_minor, struct err *e)
{
	if (http1_slice_is(s, "HTTP/1.1"))
		*ret_minor = 1;
	else if (http1_slice_is(s, "HTTP/1.0"))
		*ret_minor = 0;
	else
		return bad(e, "the version is neither HTTP/1.0 nor HTTP/1.1");
	return 0;
}

static int parse_request_line(struct http1_slice line, struct http1_head *h, struct err *e)
{
	h->method = cut_at(&line, ' ');
	h->target = cut_at(&line, ' ');
	if (!is_token(h->method) || h->method.n > METHOD_MAX)
		return bad(e, "invalid method");
	if (h->target.n > HTTP1_TARGET_MAX)
		return large(e, "the request target is longer than 8 KiB");
	if (!is_visible_ascii(h->target) || memchr(h->target.p, '#', h->target.n) != NULL)
		return bad(e, "invalid request target");
	return parse_version(line, &h->minor, e);
}

static int parse_status_line(struct http1_slice line, struct http1_head *h, struct err *e)
{
	struct http1_slice version = cut_at(&line, ' ');
	struct http1_slice status = cut_at(&line, ' ');
	int r = parse_version(version, &h->minor, e);

	if (r < 0)
		return r;
	if (status.n != 3 || !is_digit(status.p[0]) || !is_digit(status.p[1]) ||
	    !is_digit(status.p[2]) || status.p[0] == '0')
		return bad(e, "invalid status code");
	h->status = (status.p[0] - '0') * 100 + (status.p[1] - '0') * 10 + (status.p[2] - '0');
	if (!is_text(line))
		return bad(e, "control byte in the reason");
	h->reason = line;
	return 0;
}

static int parse_field(struct http1_slice line, struct http1_head *h, struct err *e)
{
	struct http1_header *f = &h->headers[h->nheaders];

	if (h->nheaders == HTTP1_HEADERS_MAX)
		return large(e, "more than 100 header fields");
	if (line.p[0] == ' ' || line.p[0] == '\t')
		return bad(e, "folded header field");
	if (memchr(line.p, ':', line.n) == NULL)
		return bad(e, "header field without a colon");
	f->name = cut_at(&line, ':');
	if (!is_token(f->name))
		return bad(e, "invalid header field name");
	if (!is_text(line))
		return bad(e, "control byte in a header field");
	f->value = trim(line);
	h->nheaders++;
	return 0;
}

/* The only field of that name into *ret (NULL: there is none); a second one is refused. */
static int find_single(const struct http1_head *h, const char *name,
		       const struct http1_header **ret, struct err *e)
{
	*ret = NULL;
	for (size_t i = 0; i < h->nheaders; i++) {
		if (!http1_slice_is_nocase(h->headers[i].name, name))
			continue;
		if (*ret != NULL)
			return err_set(e, ERR_INPUT, EBADMSG, "HTTP message: more than one %s",
				       name);
		*ret = &h->headers[i];
	}
	return 0;
}

static int parse_length(struct http1_slice s, uint64_t *ret, struct err *e)
{
	char text[24];

	if (s.n == 0 || s.n >= sizeof(text))
		return bad(e, "invalid Content-Length");
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (memchr(text, '\0', s.n) != NULL || text_u64(text, INT64_MAX, ret) < 0)
		return bad(e, "invalid Content-Length");
	return 0;
}

/* What the head says about the body, and about the connection (RFC 9112, sections 6 and 9.3). */
static int frame(struct http1_head *h, bool request, struct err *e)
{
	const struct http1_header *length, *encoding, *host;
	bool close = false, keep = false;

	if (find_single(h, "Content-Length", &length, e) < 0 ||
	    find_single(h, "Transfer-Encoding", &encoding, e) < 0)
		return -EBADMSG;
	if (request && find_single(h, "Host", &host, e) < 0)
		return -EBADMSG;
	if (length != NULL && encoding != NULL)
		return bad(e, "both Content-Length and Transfer-Encoding");
	h->body = request ? HTTP1_BODY_NONE : HTTP1_BODY_UNTIL_CLOSE;
	if (encoding != NULL) {
		if (!http1_slice_is_nocase(encoding->value, "chunked"))
			return bad(e, "a Transfer-Encoding other than chunked");
		if (h->minor == 0)
			return bad(e, "Transfer-Encoding in HTTP/1.0");
		h->body = HTTP1_BODY_CHUNKED;
	}
	if (length != NULL) {
		if (parse_length(length->value, &h->content_length, e) < 0)
			return -EBADMSG;
		h->body = HTTP1_BODY_LENGTH;
	}
	for (size_t i = 0; i < h->nheaders; i++) {
		if (!http1_slice_is_nocase(h->headers[i].name, "Connection"))
			continue;
		close = close || http1_list_has(h->headers[i].value, "close");
		keep = keep || http1_list_has(h->headers[i].value, "keep-alive");
	}
	h->keep_alive = !close && (h->minor == 1 || keep);
	return 0;
}

static int parse(const char *bytes, size_t n, bool request, struct http1_head *ret, struct err *e)
{
	struct http1_head h = { 0 };
	struct http1_slice line;
	const char *p = bytes;
	const char *end;
	int r = find_end(bytes, n, &h.size, e);

	if (r <= 0)
		return r;
	end = bytes + h.size;
	line = next_line(&p, end);
	r = request ? parse_request_line(line, &h, e) : parse_status_line(line, &h, e);
	while (r == 0) {
		line = next_line(&p, end);
		if (line.n == 0)
			break;
		r = parse_field(line, &h, e);
	}
	if (r == 0)
		r = frame(&h, request, e);
	if (r < 0)
		return r;
	*ret = h;
	return 1;
}

int http1_parse_request(const char *bytes, size_t n, struct http1_head *ret, struct err *e)
{
	return parse(bytes, n, true, ret, e);
}

int http1_parse_response(const char *bytes, size_t n, struct http1_head *ret, struct err *e)
{
	return parse(bytes, n, false, ret, e);
}

const struct http1_header *http1_find(const struct http1_head *h, const char *name)
{
	for (size_t i = 0; i < h->nheaders; i++) {
		if (http1_slice_is_nocase(h->headers[i].name, name))
			return &h->headers[i];
	}
	return NULL;
}

bool http1_slice_is(struct http1_slice s, const char *text)
{
	return strlen(text) == s.n && (s.n == 0 || memcmp(s.p, text, s.n) == 0);
}

static char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool http1_slice_is_nocase(struct http1_slice s, const char *text)
{
	if (strlen(text) != s.n)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (fold(s.p[i]) != fold(text[i]))
			return false;
	}
	return true;
}

bool http1_list_has(struct http1_slice value, const char *token)
{
	while (value.n > 0) {
		if (http1_slice_is_nocase(trim(cut_at(&value, ',')), token))
			return true;
	}
	return false;
}

/* Where a chunked body stands; CHUNK_FIRST is 0, so that a zeroed struct is a fresh one. */
enum chunk_state {
	CHUNK_FIRST,   /* the first digit of a size */
	CHUNK_SIZE,    /* further digits, an extension, or the end of the line */
	CHUNK_EXT,     /* inside of an extension */
	CHUNK_SIZE_LF, /* the LF of a size line */
	CHUNK_DATA,    /* `left` bytes of data */
	CHUNK_DATA_CR, /* the CR behind the data */
	CHUNK_DATA_LF, /* its LF */
	CHUNK_LAST_CR, /* behind the size 0: the CR of the empty trailer section */
	CHUNK_LAST_LF, /* its LF */
	CHUNK_DONE,
	CHUNK_BAD,
};

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	c = fold(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One digit of a size; `ext` counts the digits until the extension begins. */
static enum chunk_state chunk_digit(struct http1_chunked *c, int digit)
{
	if (digit < 0 || c->ext++ == CHUNK_DIGITS_MAX)
		return CHUNK_BAD;
	c->left = c->left << 4 | (uint64_t)digit;
	return c->left > CHUNK_MAX ? CHUNK_BAD : CHUNK_SIZE;
}

static enum chunk_state chunk_ext(struct http1_chunked *c, char byte)
{
	if (byte == '\r')
		return CHUNK_SIZE_LF;
	if (((unsigned char)byte < 0x20 && byte != '\t') || byte == 0x7f ||
	    c->ext++ == CHUNK_EXT_MAX)
		return CHUNK_BAD;
	return CHUNK_EXT;
}

/* Every state but CHUNK_DATA takes one byte. */
static enum chunk_state chunk_byte(struct http1_chunked *c, char byte)
{
	switch ((enum chunk_state)c->state) {
	case CHUNK_FIRST:
		c->left = 0;
		c->ext = 0;
		return chunk_digit(c, hex_value(byte));
	case CHUNK_SIZE:
		if (byte == '\r')
			return CHUNK_SIZE_LF;
		if (byte != ';')
			return chunk_digit(c, hex_value(byte));
		c->ext = 0;
		return CHUNK_EXT;
	case CHUNK_EXT:
		return chunk_ext(c, byte);
	case CHUNK_SIZE_LF:
		if (byte != '\n')
			return CHUNK_BAD;
		return c->left != 0 ? CHUNK_DATA : CHUNK_LAST_CR;
	case CHUNK_DATA_CR:
		return byte == '\r' ? CHUNK_DATA_LF : CHUNK_BAD;
	case CHUNK_DATA_LF:
		return byte == '\n' ? CHUNK_FIRST : CHUNK_BAD;
	case CHUNK_LAST_CR:
		return byte == '\r' ? CHUNK_LAST_LF : CHUNK_BAD;
	case CHUNK_LAST_LF:
		return byte == '\n' ? CHUNK_DONE : CHUNK_BAD;
	case CHUNK_DATA:
	case CHUNK_DONE:
	case CHUNK_BAD:
		break;
	}
	return CHUNK_BAD;
}

int64_t http1_chunked_feed(struct http1_chunked *c, const char *bytes, size_t n, bool *ret_done)
{
	size_t i = 0;

	while (i < n && c->state != CHUNK_DONE && c->state != CHUNK_BAD) {
		if (c->state == CHUNK_DATA) {
			uint64_t take = n - i < c->left ? n - i : c->left;

			i += take;
			c->left -= take;
			if (c->left == 0)
				c->state = CHUNK_DATA_CR;
		} else {
			c->state = (int)chunk_byte(c, bytes[i++]);
		}
	}
	if (c->state == CHUNK_BAD)
		return -EBADMSG;
	*ret_done = c->state == CHUNK_DONE;
	return (int64_t)i;
}
