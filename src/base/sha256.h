/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sha256: FIPS 180-4 for texts of our own, so that `ward` need not load a library to name a few of
 * them.  Content is digested by the helpers, with OpenSSL.
 */
#ifndef WARD_BASE_SHA256_H
#define WARD_BASE_SHA256_H

#include <stddef.h>

enum { SHA256_HEX = 64 };
/* 64 lower-case digits and a NUL. */
void sha256_hex(const void *bytes, size_t n, char ret[static SHA256_HEX + 1]);

#endif
