/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar_internal: the header block, shared by the reader and the writer (tar_write.c), and the
 * reader's own parts: tar.c walks over blocks, tar_extended.c understands extended headers.
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

/* --- the reader ------------------------------------------------------------------------------ */

enum tar_state {
	R_HEADER,	/* collecting a header block */
	R_META,		/* collecting the data of an extended header */
	R_DATA,		/* passing on the data of a file */
	R_SPARSE_BLOCK, /* collecting a block of a sparse file's map */
	R_SPARSE_TEXT,	/* reading a map that is text */
	R_PAD,		/* dropping the rest of the last block */
	R_END,
	R_FAILED,
};

/* The extended values that may precede an entry. */
enum tar_key {
	KEY_PATH,
	KEY_LINK,
	KEY_SPARSE_NAME,
	KEY_NAMES, /* those before it are names */
	KEY_SIZE = KEY_NAMES,
	KEY_MTIME,
	KEY_UID,
	KEY_GID,
	KEY_SPARSE_SIZE, /* from here on in image layers only, like KEY_SPARSE_NAME */
	KEY_SPARSE_MAJOR,
	KEY_SPARSE_MINOR,
	KEY_MAX
};

struct tar_sparse {
	bool active;
	bool text; /* the map is text in front of the data */
	bool more; /* the map goes on in another block */
	bool counted;
	struct tar_piece *pieces;
	size_t n, cap;
	uint64_t real_size;
	uint64_t stored; /* sum of the pieces */
	size_t piece;	 /* where we are */
	uint64_t used;	 /* bytes of it that were handed on */
	/* the text */
	uint64_t number, numbers, offset;
	uint64_t map_bytes;
	unsigned digits;
};

struct tar_reader {
	struct tar_limits limits; /* what is left of them */
	enum tar_state state;
	struct tar_header block;
	size_t have;	 /* bytes of block that are there */
	bool zero;	 /* the last block was a zero block */
	uint64_t left;	 /* bytes of data still to come */
	size_t pad;	 /* bytes of padding behind them */
	uint64_t offset; /* bytes of data that were handed on */
	char meta;	 /* type of the extended header being collected; 0: an entry */
	bool had_pax;	 /* an 'x' came before this entry */
	struct buf data;
	unsigned set; /* bit per key: pending */
	struct buf name[KEY_NAMES];
	uint64_t number[KEY_MAX];
	int64_t mtime;
	uint32_t mtime_ns;
	struct tar_xattr xattrs[TAR_XATTRS_MAX]; /* of an image layer; pointers into xattr_data */
	size_t nxattrs;
	struct buf xattr_data[TAR_XATTRS_MAX]; /* NAME, NUL, VALUE each */
	struct tar_sparse sparse;
};

/* A number field of a header: octal or GNU's base 256; -EBADMSG. */
int tar_parse_number(const char *field, size_t size, uint64_t *ret);
/* tar_sparse.c: a sparse file begins, by its header or by its pax keys; *ret_size is its size with
 * holes. Then the map; then the place of each byte. */
int tar_sparse_gnu(struct tar_reader *r, uint64_t *ret_size, struct err *e);
int tar_sparse_pax(struct tar_reader *r, uint64_t *ret_size, struct err *e);
int tar_sparse_begin(struct tar_reader *r, struct err *e);
int tar_sparse_feed_block(struct tar_reader *r, const char *bytes, size_t n, size_t *used,
			  struct err *e);
int tar_sparse_feed_text(struct tar_reader *r, const char *bytes, size_t n, size_t *used,
			 struct err *e);
uint64_t tar_sparse_place(struct tar_reader *r, size_t *n);
/* An extended header is complete in r->data: keep what it says for the entry that follows. */
int tar_take_extended(struct tar_reader *r, struct err *e);
/* The entry is over: what belonged to it alone is forgotten. */
void tar_forget_extended(struct tar_reader *r);

/* Sum of the bytes of the block, with the checksum field taken as spaces. */
uint32_t tar_checksum(const struct tar_header *h);

#endif
