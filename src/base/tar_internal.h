/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar_internal: the header block, shared by the reader (tar.c) and the writer (tar_write.c).
 */
#ifndef WARD_BASE_TAR_INTERNAL_H
#define WARD_BASE_TAR_INTERNAL_H

#include "base/tar.h"

/* POSIX pax, "ustar Interchange Format". Numbers are octal text; names end at NUL or field end. */
struct tar_header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[8]; /* and version */
	char uname[32];
	char gname[32];
	char devmajor[8];
	char devminor[8];
	char prefix[155];
	char pad[12];
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "a header is one block");

/* Sum of the bytes of the block, with the checksum field taken as spaces. */
uint32_t tar_checksum(const struct tar_header *h);

#endif
