/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address: which addresses are special, and address arithmetic.
 *
 * Inside this file an address is 16 bytes, IPv4 as v4-mapped IPv6 (::ffff:0:0/96), so that a v4
 * address and its mapped spelling are the same thing.  An IPv6 address that carries an IPv4 address
 * to somebody else's translator (NAT64, 6to4, Teredo) is as special as the one that it carries.
 *
 * The table follows the IANA special-purpose registries.  The documentation blocks are left out on
 * purpose: no host answers there, and test networks use them as stand-ins for public ones.
 */
#include <arpa/inet.h>
#include <string.h>

#include "base/mem.h"
#include "policy/policy_internal.h"

struct block {
	uint8_t net[16];
	uint8_t prefix;
};

#define V4_BLOCK(a, b, c, d, bits)                                                                 \
	{                                                                                          \
		{ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d }, 96 + (bits)              \
	}

static const struct block special_blocks[] = {
	V4_BLOCK(0, 0, 0, 0, 8),
	V4_BLOCK(10, 0, 0, 0, 8),
	V4_BLOCK(100, 64, 0, 0, 10),
	V4_BLOCK(127, 0, 0, 0, 8),
	V4_BLOCK(169, 254, 0, 0, 16), /* with the metadata services of clouds */
	V4_BLOCK(172, 16, 0, 0, 12),
	V4_BLOCK(192, 0, 0, 0, 24),
	V4_BLOCK(192, 168, 0, 0, 16),
	V4_BLOCK(198, 18, 0, 0, 15),
	V4_BLOCK(224, 0, 0, 0, 3),	       /* multicast, reserved, broadcast */
	{ { 0 }, 96 },			       /* ::, ::1, the old v4-compatible form */
	{ { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48 }, /* local-use NAT64 */
	{ { 0x01, 0 }, 64 },		       /* discard-only */
	{ { 0xfc }, 7 },		       /* unique local, with fd00:ec2::254 */
	{ { 0xfe, 0x80 }, 10 },
	{ { 0xfe, 0xc0 }, 10 }, /* the former site-local */
	{ { 0xff }, 8 },
};

/* Where an IPv4 address sits inside an IPv6 one. */
static const struct {
	struct block block;
	uint8_t offset;
	uint8_t mask; /* xor-ed onto each byte */
} embeddings[] = {
	{ { { 0, 0x64, 0xff, 0x9b }, 96 }, 12, 0 }, /* NAT64, RFC 6052 */
	{ { { 0x20, 0x02 }, 16 }, 2, 0 },	    /* 6to4, RFC 3056 */
	{ { { 0x20, 0x01, 0, 0 }, 32 }, 4, 0 },	    /* Teredo server, RFC 4380 */
	{ { { 0x20, 0x01, 0, 0 }, 32 }, 12, 0xff }, /* Teredo client */
};

void address_from_v4(const uint8_t v4[static 4], uint8_t ret[static 16])
{
	memset(ret, 0, 10);
	memset(ret + 10, 0xff, 2);
	memcpy(ret + 12, v4, 4);
}

bool address_bytes(const struct sockaddr *addr, uint8_t ret[static 16])
{
	if (addr->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, addr, sizeof(in));
		address_from_v4((const uint8_t *)&in.sin_addr, ret);
		return true;
	}
	if (addr->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, addr, sizeof(in6));
		memcpy(ret, &in6.sin6_addr, 16);
		return true;
	}
	return false;
}

bool address_in(const uint8_t addr[static 16], const uint8_t net[static 16], unsigned prefix)
{
	size_t whole = prefix / 8;
	unsigned rest = prefix % 8;

	if (memcmp(addr, net, whole) != 0)
		return false;
	return rest == 0 || ((addr[whole] ^ net[whole]) >> (8 - rest)) == 0;
}

size_t address_embedded(const uint8_t addr[static 16], uint8_t ret[static 2][16])
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(embeddings) && n < 2; i++) {
		uint8_t v4[4];

		if (!address_in(addr, embeddings[i].block.net, embeddings[i].block.prefix))
			continue;
		for (size_t k = 0; k < 4; k++)
			v4[k] = addr[embeddings[i].offset + k] ^ embeddings[i].mask;
		address_from_v4(v4, ret[n++]);
	}
	return n;
}

static int special_prefix_of(const uint8_t addr[static 16])
{
	for (size_t i = 0; i < ARRAY_SIZE(special_blocks); i++) {
		if (address_in(addr, special_blocks[i].net, special_blocks[i].prefix))
			return special_blocks[i].prefix;
	}
	return -1;
}

int address_special_prefix(const uint8_t addr[static 16])
{
	uint8_t inner[2][16];
	size_t n = address_embedded(addr, inner);
	int prefix = special_prefix_of(addr);

	/* A translated special address may be listed only as itself. */
	for (size_t i = 0; prefix < 0 && i < n; i++)
		prefix = special_prefix_of(inner[i]) < 0 ? -1 : 128;
	return prefix;
}

bool policy_address_special(const struct sockaddr *addr)
{
	uint8_t bytes[16];

	/* What is neither IPv4 nor IPv6 is nothing that a box may reach. */
	return !address_bytes(addr, bytes) || address_special_prefix(bytes) >= 0;
}
