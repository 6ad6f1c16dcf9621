/* SPDX-License-Identifier: Apache-2.0 */
/*
 * account: rewriting of passwd, group and shadow.  Pure.
 *
 * The template's files are foreign bytes.  They are treated as lines with ':' between fields and
 * are otherwise not interpreted: a line is dropped when its name is the account's, and the
 * account's line is put before the first line with the same id, so that lookups by id give the
 * account's name.  Lines that make no sense are kept as they are; NUL bytes end up in the output
 * as they came.
 */
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "box/box_internal.h"

struct field {
	const char *p;
	size_t n;
};

/* The i-th field of a line; false when the line has fewer. */
static bool get_field(const char *line, size_t n, unsigned i, struct field *ret)
{
	const char *end = line + n;

	for (;;) {
		const char *colon = memchr(line, ':', (size_t)(end - line));

		if (i == 0) {
			ret->p = line;
			ret->n = (size_t)((colon ? colon : end) - line);
			return true;
		}
		if (!colon)
			return false;
		line = colon + 1;
		i--;
	}
}

static bool field_is_number(struct field f, uint32_t want)
{
	char digits[16];
	uint64_t v;

	if (f.n >= sizeof(digits) || memchr(f.p, '\0', f.n))
		return false;
	memcpy(digits, f.p, f.n);
	digits[f.n] = '\0';
	return text_u64(digits, UINT32_MAX, &v) == 0 && v == want;
}

static void add_entry(enum account_file kind, const struct account *a, struct buf *out)
{
	switch (kind) {
	case ACCOUNT_PASSWD:
		buf_printf(out, "%s:x:%" PRIu32 ":%" PRIu32 "::%s:%s\n", a->name, a->uid, a->gid,
			   a->home, a->shell);
		break;
	case ACCOUNT_GROUP:
		buf_printf(out, "%s:x:%" PRIu32 ":\n", a->name, a->gid);
		break;
	case ACCOUNT_SHADOW:
		/* No password matches "*", and the account is not locked: sudo's account check
		 * passes. */
		buf_printf(out, "%s:*:19000:0:99999:7:::\n", a->name);
		break;
	case ACCOUNT_FILE_KINDS:
		break;
	}
}

void account_rewrite(enum account_file kind, const char *text, size_t n, const struct account *a,
		     struct buf *out)
{
	const char *end = text + n;
	uint32_t id = kind == ACCOUNT_GROUP ? a->gid : a->uid;
	bool placed = false;

	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t len = (size_t)((nl ? nl : end) - text);
		struct field f;
		bool drop = get_field(text, len, 0, &f) && f.n == strlen(a->name) &&
			    memcmp(f.p, a->name, f.n) == 0;

		if (!drop && !placed && kind != ACCOUNT_SHADOW && get_field(text, len, 2, &f) &&
		    field_is_number(f, id)) {
			add_entry(kind, a, out);
			placed = true;
		}
		if (!drop) {
			buf_add(out, text, len);
			buf_putc(out, '\n');
		}
		text = nl ? nl + 1 : end;
	}
	if (!placed)
		add_entry(kind, a, out);
}
