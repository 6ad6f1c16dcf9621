/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns: the messages of a stub resolver (RFC 1035, RFC 3596, RFC 6891).  Pure.
 *
 * Only what a lookup of addresses needs: a query for A or AAAA, and the addresses of its answer,
 * CNAMEs followed within that answer.  The answer comes from the network: every length is checked,
 * compression pointers must go backwards and are followed a bounded number of times, records that
 * do not belong to the name that was asked are ignored.
 */
#include "net/net_internal.h"

#include <errno.h>
#include <string.h>

enum {
	HEADER = 12,
	FLAG_QR = 0x8000,
	FLAG_TC = 0x0200,
	FLAG_RD = 0x0100,
	OPCODE_MASK = 0x7800,
	RCODE_MASK = 0x000f,
	CLASS_IN = 1,
	TYPE_CNAME = 5,
	TYPE_OPT = 41,
	EDNS_UDP_SIZE = 1232, /* what fits one packet on every path (DNS flag day 2020) */
	NAME_JUMPS_MAX = 32,
	CNAME_CHAIN_MAX = 8,
	RECORDS_MAX = 128,
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

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

int dns_query_build(uint16_t id, const char *name, uint16_t type, uint8_t out[static DNS_QUERY_MAX],
		    size_t *ret_n)
{
	static const uint8_t opt[] = {
		0, 0, TYPE_OPT, EDNS_UDP_SIZE >> 8, EDNS_UDP_SIZE & 0xff, 0, 0, 0, 0, 0, 0
	};
	size_t len = strlen(name), at = HEADER;

	if (len == 0 || len > POLICY_HOST_MAX)
		return -EINVAL;
	memset(out, 0, HEADER);
	put16(out, id);
	put16(out + 2, FLAG_RD);
	put16(out + 4, 1);  /* questions */
	put16(out + 10, 1); /* additional: OPT */
	while (*name != '\0') {
		size_t label = strcspn(name, ".");

		if (label == 0 || label > 63)
			return -EINVAL;
		out[at++] = (uint8_t)label;
		memcpy(out + at, name, label);
		at += label;
		name += label + (name[label] == '.');
	}
	out[at++] = 0;
	put16(out + at, type);
	put16(out + at + 2, CLASS_IN);
	memcpy(out + at + 4, opt, sizeof(opt));
	*ret_n = at + 4 + sizeof(opt);
	return 0;
}

size_t dns_read_name(const uint8_t *msg, size_t n, size_t at, char out[static DNS_NAME_MAX])
{
	size_t len = 0, end = 0;
	unsigned jumps = 0;

	for (;;) {
		size_t label;

		if (at >= n)
			return 0;
		label = msg[at];
		if ((label & 0xc0) == 0xc0) {
			size_t to;

			if (at + 2 > n || ++jumps > NAME_JUMPS_MAX)
				return 0;
			to = get16(msg + at) & 0x3fff;
			if (end == 0)
				end = at + 2;
			if (to >= at)
				return 0;
			at = to;
			continue;
		}
		if (label > 63 || at + 1 + label > n)
			return 0;
		if (label == 0)
			break;
		if (len + label + 2 > DNS_NAME_MAX)
			return 0;
		if (len > 0)
			out[len++] = '.';
		for (size_t i = 0; i < label; i++) {
			uint8_t c = msg[at + 1 + i];

			if (c == '.' || c == '\0')
				return 0;
			out[len++] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
		}
		at += 1 + label;
	}
	out[len] = '\0';
	return end != 0 ? end : at + 1;
}

struct rr {
	char owner[DNS_NAME_MAX];
	unsigned type, class;
	uint32_t ttl;
	size_t data, data_len, next;
};

static bool read_record(const uint8_t *msg, size_t n, size_t at, struct rr *ret)
{
	size_t p = dns_read_name(msg, n, at, ret->owner);

	if (p == 0 || n - p < 10)
		return false;
	ret->type = get16(msg + p);
	ret->class = get16(msg + p + 2);
	ret->ttl = get32(msg + p + 4);
	ret->data_len = get16(msg + p + 8);
	ret->data = p + 10;
	if (ret->data_len > n - ret->data)
		return false;
	ret->next = ret->data + ret->data_len;
	return true;
}

static void add_address(struct dns_answer *a, const uint8_t *data, unsigned type)
{
	struct dns_address *to;

	if (a->count == DNS_ADDRESSES_MAX)
		return;
	to = &a->addr[a->count++];
	to->v6 = type == DNS_TYPE_AAAA;
	memcpy(to->bytes, data, to->v6 ? 16 : 4);
}

/*
 * One pass over the answer section: addresses of `owner`, and where its CNAME leads.  Servers send
 * a chain in order, but need not, hence one pass for every link.
 */
static int answer_pass(const uint8_t *msg, size_t n, size_t at, unsigned records, unsigned type,
		       const char *owner, struct dns_answer *a, char next[static DNS_NAME_MAX])
{
	struct rr rr;

	next[0] = '\0';
	for (unsigned i = 0; i < records; i++) {
		if (!read_record(msg, n, at, &rr))
			return -EBADMSG;
		at = rr.next;
		if (rr.class != CLASS_IN || strcmp(rr.owner, owner) != 0)
			continue;
		if (rr.type == type) {
			if (rr.data_len != (type == DNS_TYPE_AAAA ? 16U : 4U))
				return -EBADMSG;
			add_address(a, msg + rr.data, type);
		} else if (rr.type == TYPE_CNAME && next[0] == '\0') {
			if (dns_read_name(msg, rr.next, rr.data, next) != rr.next)
				return -EBADMSG;
		} else {
			continue;
		}
		if (rr.ttl < a->ttl)
			a->ttl = rr.ttl;
	}
	return 0;
}

int dns_answer_parse(const uint8_t *msg, size_t n, uint16_t id, const char *name, uint16_t type,
		     struct dns_answer *ret)
{
	struct dns_answer a = { .ttl = UINT32_MAX };
	char owner[DNS_NAME_MAX], next[DNS_NAME_MAX];
	unsigned flags, records;
	size_t at;

	if (n < HEADER || get16(msg) != id)
		return -EBADMSG;
	flags = get16(msg + 2);
	records = get16(msg + 6);
	if ((flags & FLAG_QR) == 0 || (flags & OPCODE_MASK) != 0 || get16(msg + 4) != 1)
		return -EBADMSG;
	at = dns_read_name(msg, n, HEADER, owner);
	if (at == 0 || n - at < 4 || strcmp(owner, name) != 0 || get16(msg + at) != type ||
	    get16(msg + at + 2) != CLASS_IN)
		return -EBADMSG;
	at += 4;
	a.rcode = flags & RCODE_MASK;
	a.truncated = (flags & FLAG_TC) != 0;
	if (records > RECORDS_MAX)
		return -EBADMSG;
	for (unsigned link = 0; !a.truncated && a.rcode == 0 && link <= CNAME_CHAIN_MAX; link++) {
		int r = answer_pass(msg, n, at, records, type, owner, &a, next);

		if (r != 0)
			return r;
		if (a.count > 0 || next[0] == '\0')
			break;
		memcpy(owner, next, sizeof(owner));
	}
	*ret = a;
	return 0;
}
