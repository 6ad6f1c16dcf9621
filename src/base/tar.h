/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar: a small codec for archives of files, directories and links.  Pure: bytes in, events out; no
 * descriptors, no clock, no recursion.
 *
 * Every byte that is read may come from an attacker.  The reader accepts ustar, pax extended
 * headers (path, linkpath, size, mtime, uid, gid; other keys are ignored), GNU long names ('L',
 * 'K') and base-256 numbers.  It refuses: archives of other families (v7), a bad checksum, sparse
 * files, types other than file, directory, symlink and hard link, data behind anything but a file,
 * an empty name, a name above TAR_NAME_MAX, NUL inside a name, a name that is given twice (two
 * extended headers before one entry, a key twice), extended headers above TAR_META_MAX, and
 * whatever exceeds the limits of the caller.  Names are handed on as they are: absolute, with "..",
 * or not UTF-8.  Placing them safely is the business of who creates the files (fs_open_beneath).
 *
 * Of an image layer (struct tar_limits) it also reads FIFOs, device nodes, extended attributes and
 * files with holes.
 *
 * The writer emits ustar headers, with a pax extended header in front when a name, a size or a
 * number does not fit or a name is not ASCII, for attributes (SCHILY.xattr.*) and for files with
 * holes (GNU's pax form, version 1.0).
 */
#ifndef WARD_BASE_TAR_H
#define WARD_BASE_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { TAR_BLOCK = 512, TAR_NAME_MAX = 4096, TAR_META_MAX = 128 * 1024 };

enum { TAR_XATTRS_MAX = 32, TAR_XATTR_NAME_MAX = 255, TAR_XATTR_VALUE_MAX = 65536 };
enum { TAR_PIECES_MAX = 16384 };

enum tar_type {
	TAR_FILE,
	TAR_DIR,
	TAR_SYMLINK,
	TAR_HARDLINK,
	/* in image layers only */
	TAR_FIFO,
	TAR_CHARACTER,
	TAR_BLOCK_DEVICE,
	TAR_TYPE_MAX
};

struct tar_xattr {
	const char *name;
	const char *value; /* `len` bytes, any */
	size_t len;
};

struct tar_piece { /* of a file with holes */
	uint64_t offset;
	uint64_t size;
};

struct tar_entry {
	enum tar_type type;
	const char *path; /* 1..TAR_NAME_MAX bytes; directories without trailing slashes */
	const char *link; /* target of a link, 1..TAR_NAME_MAX bytes; else NULL */
	uint64_t size;	  /* of the file; 0 unless a file */
	uint32_t mode;	  /* 07777 */
	uint64_t uid;
	uint64_t gid;
	int64_t mtime; /* seconds since the epoch */
	uint32_t mtime_ns;
	/* in image layers only */
	uint32_t device_major;
	uint32_t device_minor;
	const struct tar_xattr *xattrs;
	size_t nxattrs;
	/* writing only: where a file with holes has data, in order; NULL: everywhere */
	const struct tar_piece *pieces;
	size_t npieces;
};

/* What an archive may hold; 0 means "none allowed", not "no limit". */
struct tar_limits {
	uint64_t entries;
	uint64_t file_size;
	uint64_t total_size; /* sum of all sizes */
	/* An image layer: it may also hold FIFOs, device nodes and extended attributes (pax keys
	 * SCHILY.xattr.*), and may end without the blocks that mark the end. */
	bool layer;
};

enum tar_event_kind {
	TAR_MORE,      /* all bytes were taken, nothing to tell: feed more */
	TAR_ENTRY,     /* `entry` begins; its strings live until the next call */
	TAR_DATA,      /* `data`, `len`: the next bytes of the file, inside of what was fed */
	TAR_ENTRY_END, /* the entry is complete (comes for every entry, also without data) */
	TAR_END,       /* the archive is complete; further bytes are taken and ignored */
};

struct tar_event {
	enum tar_event_kind kind;
	struct tar_entry entry;
	const char *data;
	size_t len;
	uint64_t offset; /* of data in the file; what lies between is a hole */
};

struct tar_reader; /* opaque */
struct tar_reader *tar_reader_new(const struct tar_limits *limits);
void tar_reader_free(struct tar_reader *r); /* takes NULL */
void tar_reader_freep(struct tar_reader **r);
#define auto_tar_reader __attribute__((cleanup(tar_reader_freep))) struct tar_reader *

/*
 * Feed bytes. *ret_used (<= n) were taken; call again with the rest, until TAR_MORE, also when the
 * rest is empty: an event may be pending.  0, or -EBADMSG (malformed), -EFBIG (a limit), -ENOTSUP
 * (well-formed, but not for us) with e; after a failure every call fails.
 *
 *	do {
 *		if (tar_reader_feed(r, p, n, &used, &ev, e) < 0) return ...;
 *		p += used; n -= used;
 *		switch (ev.kind) ...
 *	} while (ev.kind != TAR_MORE && ev.kind != TAR_END);
 */
int tar_reader_feed(struct tar_reader *r, const char *bytes, size_t n, size_t *ret_used,
		    struct tar_event *ret, struct err *e);
/* The input is over: 0 when the archive was complete, else -EBADMSG ("truncated"). */
int tar_reader_finish(const struct tar_reader *r, struct err *e);

/*
 * Append the header of an entry.  A file's `size` bytes of data follow from the caller, of one with
 * holes those of its pieces only, then tar_write_padding of what was written.  -EINVAL for what
 * tar_reader_feed would refuse (names, a size on a link, pieces out of order).
 */
int tar_write_header(struct buf *out, const struct tar_entry *entry, struct err *e);
/* Append the zeros that fill the last block of `size` bytes of data. */
void tar_write_padding(struct buf *out, uint64_t size);
/* Append the end of the archive. */
void tar_write_end(struct buf *out);

#endif
