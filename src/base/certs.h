/* SPDX-License-Identifier: Apache-2.0 */
/* certs: certificates of authorities in files, as PEM. */
#ifndef WARD_BASE_CERTS_H
#define WARD_BASE_CERTS_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum { CERTS_FILE_MAX = 4 << 20 };

/* Where distributions keep the authorities that they trust, in one file: absolute paths, up to a
 * NULL. The first that is there counts. */
extern const char *const certs_system[];

/* Append a whole file. Links are followed: the path is the user's or the system's. */
int certs_read_file(const char *path, struct buf *out, struct err *e);
/*
 * Append the certificates of a PEM text, and nothing else of it: bundles may hold a private key.
 */
void certs_add(const char *text, size_t n, struct buf *out);

#endif
