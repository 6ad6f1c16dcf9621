/* SPDX-License-Identifier: Apache-2.0 */
/* The netlink batches: every length fits into what it lies in, and the counts are right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "box/box_internal.h"

enum { TCP_PORT = 1011, DNS_PORT = 1012 };

/* Attributes fill the space; nested ones are looked into. Returns how many of that type there are
 * anywhere. */
static unsigned count_attributes(const char *p, size_t left, unsigned type, unsigned depth)
{
	unsigned found = 0;

	assert_true(depth < 8);
	while (left > 0) {
		struct rtattr a;

		assert_true(left >= sizeof(a));
		memcpy(&a, p, sizeof(a));
		assert_true(a.rta_len >= sizeof(a) && RTA_ALIGN(a.rta_len) <= left);
		found += (a.rta_type & NLA_TYPE_MASK) == type;
		if ((a.rta_type & NLA_F_NESTED) != 0)
			found += count_attributes(p + sizeof(a), RTA_ALIGN(a.rta_len) - sizeof(a),
						  type, depth + 1);
		p += RTA_ALIGN(a.rta_len);
		left -= RTA_ALIGN(a.rta_len);
	}
	return found;
}

struct counts {
	unsigned messages, assents, of_type;
};

/* type: of the messages that are counted; header: size of what precedes the attributes. */
static struct counts walk(const struct buf *b, unsigned type, size_t header)
{
	struct counts c = { 0 };
	size_t at = 0;

	while (at < b->len) {
		struct nlmsghdr h;

		assert_true(b->len - at >= sizeof(h));
		memcpy(&h, b->data + at, sizeof(h));
		assert_true(h.nlmsg_len >= sizeof(h) && h.nlmsg_len <= b->len - at);
		assert_int_equal(h.nlmsg_len % NLMSG_ALIGNTO, 0);
		assert_true((h.nlmsg_flags & NLM_F_REQUEST) != 0);
		c.messages++;
		c.assents += (h.nlmsg_flags & NLM_F_ACK) != 0;
		c.of_type += h.nlmsg_type == type;
		if (h.nlmsg_type == type)
			count_attributes(b->data + at + sizeof(h) + NLMSG_ALIGN(header),
					 h.nlmsg_len - sizeof(h) - NLMSG_ALIGN(header), 0, 0);
		at += h.nlmsg_len;
	}
	assert_int_equal(at, b->len);
	return c;
}

static void rules(void **state)
{
	auto_buf b = BUF_INIT;
	unsigned assents = capture_rules(TCP_PORT, DNS_PORT, &b);
	struct counts c =
		walk(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE, sizeof(struct nfgenmsg));

	(void)state;
	/* begin, table, chain, seven rules, end */
	assert_int_equal(c.messages, 11);
	assert_int_equal(c.of_type, 7);
	assert_int_equal(c.assents, assents);
	assert_non_null(memmem(b.data, b.len, "redir", 6));
	assert_non_null(memmem(b.data, b.len, "\x03\xf3", 2)); /* the port, in network order */
	assert_non_null(memmem(b.data, b.len, "\x03\xf4", 2));
}

static void routes(void **state)
{
	static const uint8_t four[] = { 198, 18, 0, 1 };
	static const uint8_t six[] = { 0xfd, 0x77, 0x61, 0x72, 0, 0x64, [15] = 1 };

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		auto_buf b = BUF_INIT;
		unsigned assents = capture_routes(v6, 1, &b);
		struct counts c;

		assert_int_equal(walk(&b, RTM_NEWADDR, sizeof(struct ifaddrmsg)).of_type, 1);
		assert_int_equal(walk(&b, RTM_NEWROUTE, sizeof(struct rtmsg)).of_type, 1);
		c = walk(&b, RTM_NEWRULE, sizeof(struct fib_rule_hdr));
		assert_int_equal(c.of_type, 2);
		assert_int_equal(c.assents, assents);
		assert_non_null(memmem(b.data, b.len, v6 ? six : four, v6 ? 16 : 4));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(rules), cmocka_unit_test(routes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
