/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boxnet: the numbers of a box's own network.  box/ sets it up, net/ answers in it.
 *
 * Nothing outside a box ever sees them: 198.18.0.0/15 is for benchmarks (RFC 2544) and
 * fd77:6172:64::/48 a unique local prefix (RFC 4193).
 *
 *   198.18.0.1, fd77:6172:64::1        the box's addresses on `lo`
 *   198.18.0.2                         the name server that resolv.conf names
 *   198.18.1.0 ..., and the same with  names: the resolver gives each that it knows an address,
 *   fd77:6172:64::198.18.1.0 ...       and the connection to it comes back with that address
 */
#ifndef WARD_BASE_BOXNET_H
#define WARD_BASE_BOXNET_H

#include <stdint.h>

#define BOXNET_NAMESERVER "198.18.0.2"

enum {
	BOXNET_PREFIX4 = 0xc6120000, /* 198.18.0.0, host order */
	BOXNET_SELF = 1,	     /* the box's own address, behind either prefix */
	BOXNET_NAMES_FROM = 256,     /* first and */
	BOXNET_NAMES_TO = 0x1ffff,   /* one past the last number of a name behind PREFIX4 */
};

/* The leading 96 bits of IPv6 addresses; the rest is the IPv4 address, or BOXNET_SELF. */
static const uint8_t boxnet_prefix6[12] = { 0xfd, 0x77, 0x61, 0x72, 0, 0x64 };

#endif
