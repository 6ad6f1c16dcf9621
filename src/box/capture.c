/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture: the netlink messages that lead every connection of a box to its proxy.  Pure.
 *
 * Two batches, each sent with one system call (netns.c):
 *
 *   routes  `lo` gets two global addresses (base/boxnet.h), from which programs connect, and
 *           without which resolvers think that there is no network.  A table of its
 *           own says that every address is a local one ("AnyIP"); rules send TCP there, and UDP to
 *           port 53.  Whatever else a program sends finds no route: ENETUNREACH at once, from
 *           the system call itself.
 *   rules   one nftables chain turns those packets to the listeners on loopback:
 *             to 127.0.0.0/8, ::1             stays (services of the box)
 *             UDP and TCP to port 53          -> the resolver
 *             to the two addresses above      stays (a service of the box, by the box's address)
 *             TCP                             -> the transparent entry
 *
 * The addresses that the resolver hands out are no addresses of the box: they need no entry here.
 */
#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "base/boxnet.h"
#include "base/mem.h"
#include "box/box_internal.h"

enum { TABLE = 100, PRIORITY_RULE = 100, DNS_PORT = 53 };

struct own {
	uint8_t v4[4], v6[16];
};

static void own_addresses(struct own *ret)
{
	const uint32_t v4 = htonl((uint32_t)BOXNET_PREFIX4 | BOXNET_SELF);
	const uint32_t last = htonl(BOXNET_SELF);

	memcpy(ret->v4, &v4, sizeof(v4));
	memcpy(ret->v6, boxnet_prefix6, sizeof(boxnet_prefix6));
	memcpy(ret->v6 + sizeof(boxnet_prefix6), &last, sizeof(last));
}

/* --- netlink messages (netlink(7)) ----------------------------------------------------------- */

/* Append n bytes, and zeros up to the next multiple of four. */
static void put(struct buf *b, const void *bytes, size_t n)
{
	static const char zeros[NLMSG_ALIGNTO] = { 0 };

	buf_add(b, bytes, n);
	buf_add(b, zeros, NLMSG_ALIGN(b->len) - b->len);
}

/* Begin a message with its family's header; returns where it is, for end_message. */
static size_t begin_message(struct buf *b, uint16_t type, uint16_t flags, const void *header,
			    size_t n)
{
	size_t at = b->len;
	struct nlmsghdr h = { .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags };

	put(b, &h, sizeof(h));
	put(b, header, n);
	return at;
}

static void end_message(struct buf *b, size_t at)
{
	uint32_t length = (uint32_t)(b->len - at);

	memcpy(b->data + at + offsetof(struct nlmsghdr, nlmsg_len), &length, sizeof(length));
}

static void attr(struct buf *b, uint16_t type, const void *bytes, size_t n)
{
	struct rtattr a = { .rta_len = (uint16_t)RTA_LENGTH(n), .rta_type = type };

	put(b, &a, sizeof(a));
	put(b, bytes, n);
}

static void attr_text(struct buf *b, uint16_t type, const char *text)
{
	attr(b, type, text, strlen(text) + 1);
}

static void attr_u32(struct buf *b, uint16_t type, uint32_t value)
{
	attr(b, type, &value, sizeof(value));
}

/* nf_tables has its numbers in network order. */
static void attr_be32(struct buf *b, uint16_t type, uint32_t value)
{
	attr_u32(b, type, htonl(value));
}

static size_t begin_nest(struct buf *b, uint16_t type)
{
	size_t at = b->len;

	attr(b, type | NLA_F_NESTED, NULL, 0);
	return at;
}

static void end_nest(struct buf *b, size_t at)
{
	uint16_t length = (uint16_t)(b->len - at);

	memcpy(b->data + at + offsetof(struct rtattr, rta_len), &length, sizeof(length));
}

/* --- routes ---------------------------------------------------------------------------------- */

static void add_address(struct buf *b, uint8_t family, unsigned lo, const uint8_t *addr, size_t n)
{
	/* No duplicate address detection: until that is over an address cannot be used. */
	const struct ifaddrmsg m = { .ifa_family = family,
				     .ifa_prefixlen = (uint8_t)(8 * n),
				     .ifa_flags = IFA_F_PERMANENT | IFA_F_NODAD,
				     .ifa_scope = RT_SCOPE_UNIVERSE,
				     .ifa_index = lo };
	size_t at =
		begin_message(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &m, sizeof(m));

	attr(b, IFA_LOCAL, addr, n);
	attr(b, IFA_ADDRESS, addr, n);
	end_message(b, at);
}

static void add_any_route(struct buf *b, uint8_t family, unsigned lo, const uint8_t *source,
			  size_t n)
{
	const struct rtmsg m = { .rtm_family = family,
				 .rtm_table = TABLE,
				 .rtm_protocol = RTPROT_STATIC,
				 .rtm_scope = RT_SCOPE_HOST,
				 .rtm_type = RTN_LOCAL };
	size_t at = begin_message(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &m,
				  sizeof(m));

	attr_u32(b, RTA_OIF, lo);
	attr(b, RTA_PREFSRC, source, n);
	end_message(b, at);
}

/* "ip rule add ipproto PROTOCOL [dport PORT] lookup TABLE" */
static void add_rule(struct buf *b, uint8_t family, uint8_t protocol, uint16_t port)
{
	const struct fib_rule_hdr m = { .family = family, .table = TABLE, .action = FR_ACT_TO_TBL };
	const struct fib_rule_port_range range = { port, port };
	size_t at =
		begin_message(b, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &m, sizeof(m));

	attr_u32(b, FRA_PRIORITY, PRIORITY_RULE);
	attr(b, FRA_IP_PROTO, &protocol, sizeof(protocol));
	if (port != 0)
		attr(b, FRA_DPORT_RANGE, &range, sizeof(range));
	end_message(b, at);
}

unsigned capture_routes(bool v6, unsigned lo, struct buf *out)
{
	uint8_t family = v6 ? AF_INET6 : AF_INET;
	struct own all;
	const uint8_t *own = v6 ? all.v6 : all.v4;
	size_t n = v6 ? sizeof(all.v6) : sizeof(all.v4);

	own_addresses(&all);
	add_address(out, family, lo, own, n);
	add_any_route(out, family, lo, own, n);
	add_rule(out, family, IPPROTO_TCP, 0);
	add_rule(out, family, IPPROTO_UDP, DNS_PORT);
	return 4;
}

/* --- rules ----------------------------------------------------------------------------------- */

static const char table_name[] = "ward";
static const char chain_name[] = "capture";

static size_t begin_nft(struct buf *b, uint8_t type, uint16_t flags)
{
	const struct nfgenmsg m = { .nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0 };

	return begin_message(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, &m, sizeof(m));
}

static void batch_mark(struct buf *b, uint16_t type)
{
	const struct nfgenmsg m = { .nfgen_family = AF_UNSPEC,
				    .version = NFNETLINK_V0,
				    .res_id = htons(NFNL_SUBSYS_NFTABLES) };

	end_message(b, begin_message(b, type, 0, &m, sizeof(m)));
}

/* An expression of a rule: its name, and what belongs to it up to end_expr. */
struct expr {
	size_t element, data;
};

static struct expr begin_expr(struct buf *b, const char *name)
{
	struct expr x;

	x.element = begin_nest(b, NFTA_LIST_ELEM);
	attr_text(b, NFTA_EXPR_NAME, name);
	x.data = begin_nest(b, NFTA_EXPR_DATA);
	return x;
}

static void end_expr(struct buf *b, struct expr x)
{
	end_nest(b, x.data);
	end_nest(b, x.element);
}

static void put_value(struct buf *b, uint16_t type, const void *bytes, size_t n)
{
	size_t at = begin_nest(b, type);

	attr(b, NFTA_DATA_VALUE, bytes, n);
	end_nest(b, at);
}

static void load_meta(struct buf *b, enum nft_meta_keys key)
{
	struct expr x = begin_expr(b, "meta");

	attr_be32(b, NFTA_META_DREG, NFT_REG_1);
	attr_be32(b, NFTA_META_KEY, key);
	end_expr(b, x);
}

static void load_payload(struct buf *b, enum nft_payload_bases base, uint32_t offset, uint32_t n)
{
	struct expr x = begin_expr(b, "payload");

	attr_be32(b, NFTA_PAYLOAD_DREG, NFT_REG_1);
	attr_be32(b, NFTA_PAYLOAD_BASE, base);
	attr_be32(b, NFTA_PAYLOAD_OFFSET, offset);
	attr_be32(b, NFTA_PAYLOAD_LEN, n);
	end_expr(b, x);
}

static void compare(struct buf *b, const void *bytes, size_t n)
{
	struct expr x = begin_expr(b, "cmp");

	attr_be32(b, NFTA_CMP_SREG, NFT_REG_1);
	attr_be32(b, NFTA_CMP_OP, NFT_CMP_EQ);
	put_value(b, NFTA_CMP_DATA, bytes, n);
	end_expr(b, x);
}

static void match_meta(struct buf *b, enum nft_meta_keys key, uint8_t value)
{
	load_meta(b, key);
	compare(b, &value, sizeof(value));
}

static void accept_it(struct buf *b)
{
	struct expr x = begin_expr(b, "immediate");
	size_t data, verdict;

	attr_be32(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = begin_nest(b, NFTA_IMMEDIATE_DATA);
	verdict = begin_nest(b, NFTA_DATA_VERDICT);
	attr_be32(b, NFTA_VERDICT_CODE, NF_ACCEPT);
	end_nest(b, verdict);
	end_nest(b, data);
	end_expr(b, x);
}

/* To this port of the loopback address of the packet's family. */
static void redirect(struct buf *b, uint16_t port)
{
	const uint16_t wire_port = htons(port);
	struct expr x = begin_expr(b, "immediate");

	attr_be32(b, NFTA_IMMEDIATE_DREG, NFT_REG_1);
	put_value(b, NFTA_IMMEDIATE_DATA, &wire_port, sizeof(wire_port));
	end_expr(b, x);
	x = begin_expr(b, "redir");
	attr_be32(b, NFTA_REDIR_REG_PROTO_MIN, NFT_REG_1);
	end_expr(b, x);
}

struct rule_place {
	size_t message, expressions;
};

static struct rule_place begin_rule(struct buf *b, uint16_t flags)
{
	struct rule_place p;

	p.message = begin_nft(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | flags);
	attr_text(b, NFTA_RULE_TABLE, table_name);
	attr_text(b, NFTA_RULE_CHAIN, chain_name);
	p.expressions = begin_nest(b, NFTA_RULE_EXPRESSIONS);
	return p;
}

static void end_rule(struct buf *b, struct rule_place p)
{
	end_nest(b, p.expressions);
	end_message(b, p.message);
}

enum { V4_DESTINATION = 16, V6_DESTINATION = 24 }; /* offsets in their headers */

/* Packets to exactly this address, or for v4 to its first n bytes, stay as they are. */
static void stay4(struct buf *b, const uint8_t *addr, uint32_t n)
{
	struct rule_place p = begin_rule(b, 0);

	match_meta(b, NFT_META_NFPROTO, NFPROTO_IPV4);
	load_payload(b, NFT_PAYLOAD_NETWORK_HEADER, V4_DESTINATION, n);
	compare(b, addr, n);
	accept_it(b);
	end_rule(b, p);
}

static void stay6(struct buf *b, const uint8_t *addr)
{
	struct rule_place p = begin_rule(b, 0);

	match_meta(b, NFT_META_NFPROTO, NFPROTO_IPV6);
	load_payload(b, NFT_PAYLOAD_NETWORK_HEADER, V6_DESTINATION, 16);
	compare(b, addr, 16);
	accept_it(b);
	end_rule(b, p);
}

/* Packets of this protocol (to this port, 0: any) go to a port of loopback. */
static void turn(struct buf *b, uint8_t protocol, uint16_t port, uint16_t to, uint16_t flags)
{
	const uint16_t wire_port = htons(port);
	struct rule_place p = begin_rule(b, flags);

	match_meta(b, NFT_META_L4PROTO, protocol);
	if (port != 0) {
		load_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, sizeof(wire_port));
		compare(b, &wire_port, sizeof(wire_port));
	}
	redirect(b, to);
	end_rule(b, p);
}

static void add_chain(struct buf *b)
{
	const uint32_t priority = (uint32_t)-100; /* where destinations are translated */
	size_t at = begin_nft(b, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	size_t hook;

	attr_text(b, NFTA_TABLE_NAME, table_name);
	end_message(b, at);
	at = begin_nft(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	attr_text(b, NFTA_CHAIN_TABLE, table_name);
	attr_text(b, NFTA_CHAIN_NAME, chain_name);
	hook = begin_nest(b, NFTA_CHAIN_HOOK);
	attr_be32(b, NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_OUT);
	attr_be32(b, NFTA_HOOK_PRIORITY, priority);
	end_nest(b, hook);
	attr_be32(b, NFTA_CHAIN_POLICY, NF_ACCEPT);
	attr_text(b, NFTA_CHAIN_TYPE, "nat");
	end_message(b, at);
}

unsigned capture_rules(uint16_t tcp_port, uint16_t dns_port, struct buf *out)
{
	static const uint8_t loopback4[1] = { 127 };
	static const uint8_t loopback6[16] = { [15] = 1 };
	struct own own;

	own_addresses(&own);
	batch_mark(out, NFNL_MSG_BATCH_BEGIN);
	add_chain(out);
	stay4(out, loopback4, sizeof(loopback4));
	stay6(out, loopback6);
	turn(out, IPPROTO_UDP, DNS_PORT, dns_port, 0);
	turn(out, IPPROTO_TCP, DNS_PORT, dns_port, 0);
	stay4(out, own.v4, sizeof(own.v4));
	stay6(out, own.v6);
	turn(out, IPPROTO_TCP, 0, tcp_port, NLM_F_ACK);
	batch_mark(out, NFNL_MSG_BATCH_END);
	return 1;
}
