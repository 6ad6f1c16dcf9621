/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_serve: the messages of a name server (RFC 1035, RFC 6891, RFC 8914).  Pure.
 *
 * A query comes from a program in the box and may be anything.  An answer repeats its question byte
 * for byte (the case of letters included, which some clients check), has at most one record, and
 * fits 512 bytes always: nothing is ever truncated.
 */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "net/net_internal.h"

enum {
	HEADER = 12,
	FLAG_QR = 0x8000,
	FLAG_RD = 0x0100,
	FLAG_RA = 0x0080,
	OPCODE_MASK = 0x7800,
	TYPE_OPT = 41,
	OPT_EDE = 15,	  /* extended DNS error */
	EDE_BLOCKED = 15, /* by the policy of whoever runs the server */
	OPT_FIXED = 11,
	UDP_SIZE = 1232,
	RECORD_FIXED = 12,
	POINTER_TO_QUESTION = 0xc000 | HEADER,
};

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* --- queries --------------------------------------------------------------------------------- */

/* The additional section of a query: nothing, or one OPT record and perhaps a signature. */
static int parse_additional(const uint8_t *msg, size_t n, size_t at, unsigned records,
			    struct dns_question *q)
{
	char owner[DNS_NAME_MAX];

	for (unsigned i = 0; i < records; i++) {
		size_t p = dns_read_name(msg, n, at, owner);
		size_t length;

		if (p == 0 || n - p < 10)
			return -EBADMSG;
		length = get16(msg + p + 8);
		if (length > n - p - 10)
			return -EBADMSG;
		if (get16(msg + p) == TYPE_OPT) {
			if (q->edns || owner[0] != '\0')
				return -EBADMSG;
			q->edns = true;
			q->edns_version = msg[p + 5];
		}
		at = p + 10 + length;
	}
	return at == n ? 0 : -EBADMSG;
}

int dns_question_parse(const uint8_t *msg, size_t n, struct dns_question *ret)
{
	struct dns_question q = { 0 };
	size_t at;
	int r;

	if (n < HEADER || (get16(msg + 2) & FLAG_QR) != 0)
		return -ENOMSG;
	q.id = (uint16_t)get16(msg);
	q.flags = (uint16_t)get16(msg + 2);
	*ret = q;
	if ((q.flags & OPCODE_MASK) != 0)
		return -EOPNOTSUPP;
	/* One question, no answers, no authorities; signatures and options at most. */
	if (get16(msg + 4) != 1 || get16(msg + 6) != 0 || get16(msg + 8) != 0 ||
	    get16(msg + 10) > 4)
		return -EBADMSG;
	at = dns_read_name(msg, n, HEADER, q.name);
	/* Without compression a name takes a byte more than its text at each end. */
	if (at == 0 || at != HEADER + strlen(q.name) + (q.name[0] != '\0' ? 2 : 1) || n - at < 4)
		return -EBADMSG;
	q.type = (uint16_t)get16(msg + at);
	q.class = (uint16_t)get16(msg + at + 2);
	at += 4;
	r = parse_additional(msg, n, at, get16(msg + 10), &q);
	if (r != 0)
		return r;
	q.size = at - HEADER;
	memcpy(q.bytes, msg + HEADER, q.size);
	*ret = q;
	return 0;
}

/* --- answers --------------------------------------------------------------------------------- */

/* A name as labels; canonical, so that it fits. */
static size_t put_name(uint8_t *out, const char *name)
{
	size_t at = 0;

	while (*name != '\0') {
		size_t label = strcspn(name, ".");

		out[at++] = (uint8_t)label;
		memcpy(out + at, name, label);
		at += label;
		name += label + (name[label] == '.');
	}
	out[at++] = 0;
	return at;
}

static size_t put_record(uint8_t *out, const struct dns_question *q, const struct dns_reply *r)
{
	size_t length;

	put16(out, POINTER_TO_QUESTION);
	put16(out + 2, q->type);
	put16(out + 4, q->class);
	put16(out + 6, r->ttl >> 16);
	put16(out + 8, r->ttl & 0xffff);
	if (r->name != NULL) {
		length = put_name(out + RECORD_FIXED, r->name);
	} else {
		length = r->address->v6 ? 16 : 4;
		memcpy(out + RECORD_FIXED, r->address->bytes, length);
	}
	put16(out + 10, (unsigned)length);
	return RECORD_FIXED + length;
}

/* Our side of EDNS: how much we take, and why a name was refused, for those who look (dig does). */
static size_t put_opt(uint8_t *out, const struct dns_reply *r)
{
	size_t why = r->why == NULL ? 0 : strnlen(r->why, DNS_WHY_MAX);

	memset(out, 0, OPT_FIXED);
	put16(out + 1, TYPE_OPT);
	put16(out + 3, UDP_SIZE);
	out[5] = (uint8_t)(r->rcode >> 4);
	if (why == 0)
		return OPT_FIXED;
	put16(out + 9, (unsigned)(6 + why));
	put16(out + OPT_FIXED, OPT_EDE);
	put16(out + OPT_FIXED + 2, (unsigned)(2 + why));
	put16(out + OPT_FIXED + 4, EDE_BLOCKED);
	memcpy(out + OPT_FIXED + 6, r->why, why);
	return OPT_FIXED + 6 + why;
}

size_t dns_reply_build(const struct dns_question *q, const struct dns_reply *r,
		       uint8_t out[static DNS_REPLY_MAX])
{
	bool record = r->address != NULL || r->name != NULL;
	size_t at = HEADER;

	memset(out, 0, HEADER);
	put16(out, q->id);
	put16(out + 2, FLAG_QR | FLAG_RA | (q->flags & (OPCODE_MASK | FLAG_RD)) | (r->rcode & 0xf));
	put16(out + 4, q->size > 0);
	put16(out + 6, record);
	put16(out + 10, q->edns);
	memcpy(out + at, q->bytes, q->size);
	at += q->size;
	if (record)
		at += put_record(out + at, q, r);
	if (q->edns)
		at += put_opt(out + at, r);
	return at;
}

/* --- reverse names --------------------------------------------------------------------------- */

/* "1.0.0.127.in-addr.arpa", without the suffix. */
static bool reverse4(const char *text, size_t n, struct dns_address *ret)
{
	size_t at = 0;

	for (int i = 3; i >= 0; i--) {
		char part[4] = "";
		size_t digits = 0;
		uint64_t value;

		while (at + digits < n && text[at + digits] != '.')
			digits++;
		if (digits == 0 || digits > 3)
			return false;
		memcpy(part, text + at, digits);
		if (text_u64(part, 255, &value) != 0)
			return false;
		ret->bytes[i] = (uint8_t)value;
		at += digits + (i > 0);
		if (i > 0 && (at > n || text[at - 1] != '.'))
			return false;
	}
	ret->v6 = false;
	return at == n;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool reverse6(const char *text, size_t n, struct dns_address *ret)
{
	if (n != 63)
		return false;
	for (size_t i = 0; i < 16; i++) {
		const char *p = text + 4 * (15 - i); /* "L.H." */
		int low = nibble(p[0]), high = nibble(p[2]);

		if (low < 0 || high < 0 || p[1] != '.' || (i > 0 && p[3] != '.'))
			return false;
		ret->bytes[i] = (uint8_t)(high << 4 | low);
	}
	ret->v6 = true;
	return true;
}

bool dns_reverse_parse(const char *name, struct dns_address *ret)
{
	static const char suffix4[] = ".in-addr.arpa", suffix6[] = ".ip6.arpa";
	size_t n = strlen(name);
	struct dns_address a = { 0 };
	bool ok;

	if (text_ends(name, suffix4))
		ok = reverse4(name, n - strlen(suffix4), &a);
	else if (text_ends(name, suffix6))
		ok = reverse6(name, n - strlen(suffix6), &a);
	else
		return false;
	if (ok)
		*ret = a;
	return ok;
}
