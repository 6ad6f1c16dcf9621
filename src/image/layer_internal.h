/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_internal: unpacking a layer and writing one, for `ward-image`.
 *
 *   layer_name.c     names, whiteouts and attributes: what an entry means; pure
 *   layer_inflate.c  gzip, zstd or neither
 *   layer_gzip_*.c   one member of a gzip file, by ISA-L or by zlib
 *   layer_more.c     one stream of bzip2 or xz
 *   layer_place.c    makes the files, below one directory and nowhere else
 *   layer_ring.c     the uncompressed archive, from the thread that inflates to those that read
 *   layer_unpack.c   blob -> inflate -> digest, and tar -> place, within budgets
 *   layer_pack.c     directories that a box has filled -> tar, within the same budgets
 *   layer_emit.c     its entries
 *   layer_attr.c     owners, modes, times, attributes and holes, of both directions
 *   layer_follow.c   where a path leads to, over all directories
 *   layer_links.c    inodes that must be known again
 *   layer_deflate.c  tar -> digest -> gzip -> digest -> file
 *
 * The tar reader is base/tar with its dialect for layers, not libarchive's: it is one of the two
 * parsers of hostile archives that the project has to trust anyway, it has one opinion on how long
 * an entry is, it refuses where libarchive guesses or repairs, and its memory is bounded.
 */
#ifndef WARD_IMAGE_LAYER_INTERNAL_H
#define WARD_IMAGE_LAYER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/tar.h"
#include "image/image.h"

/* --- layer_name.c: pure ----------------------------------------------------------------------- */

enum { LAYER_COMPONENT_MAX = 255, LAYER_DEPTH_MAX = 256 };

enum layer_name_kind {
	LAYER_NAME_ROOT,     /* the layer's own top directory */
	LAYER_NAME_PLAIN,    /* something at `path` */
	LAYER_NAME_WHITEOUT, /* `path` of the layers below is not there */
	LAYER_NAME_OPAQUE,   /* directory `path` (which may be "") hides what is below it */
	LAYER_NAME_IGNORED,  /* aufs' own book-keeping */
	LAYER_NAME_KIND_MAX
};
struct layer_name {
	enum layer_name_kind kind;
	struct buf path; /* relative, components separated by single slashes; "" is the root */
};
/*
 * What an entry's name means.  Leading slashes and "." mean nothing; "..", a component that is too
 * long, too many of them, a whiteout of nothing, of "." or of "..", and a whiteout that is not the
 * last component are refused: -EINVAL, ERR_INPUT.  ret->path is overwritten.
 */
int layer_name_parse(const char *name, struct layer_name *ret, struct err *e);

enum layer_xattr {
	LAYER_XATTR_KEEP,
	LAYER_XATTR_CAPABILITY, /* security.capability: written as layer_capability() says */
	LAYER_XATTR_DROP,	/* not ours to set: overlay's own, trusted, labels, ACLs */
};
enum layer_xattr layer_xattr_class(const char *name);
enum { LAYER_CAPABILITY_SIZE = 20 };
/* File capabilities of revision 2 or 3 as revision 2, to which the kernel adds the namespace's own
 * root. -EINVAL for anything else. */
int layer_capability(const char *value, size_t n, char ret[static LAYER_CAPABILITY_SIZE]);
/* The owner inside of an id in the archive, of `count` ids that there are: those beyond are
 * nobody's (65534). -EINVAL for what is no id. */
int layer_owner(uint64_t id, uint32_t count, uint32_t *ret);

/* --- layer_attr.c -----------------------------------------------------------------------------
 */

struct layer_xattrs {
	struct tar_xattr v[TAR_XATTRS_MAX];
	size_t n;
	char *names, *data;
};
void layer_xattrs_clear(struct layer_xattrs *x);
/* The attributes of an open file that a layer may have, sorted, until the next call; a file system
 * without attributes is none.  Returns how many are left out. */
uint64_t layer_xattrs_read(struct layer_xattrs *x, int fd);
/*
 * Where a file has data: true when there are holes that are worth while, else *ret_n is one piece,
 * the whole.  pieces: TAR_PIECES_MAX of them.
 */
bool layer_pieces_find(int fd, const struct stat *st, struct tar_piece *pieces, size_t *ret_n);
uint64_t layer_pieces_size(const struct tar_piece *pieces, size_t n);

/* What a file that is being placed shall be. */
struct layer_meta {
	uint32_t uid, gid, mode;
	struct timespec mtime;
	bool has_capability;
	char capability[LAYER_CAPABILITY_SIZE];
};
/* ids: see layer_owner, as for the error. */
int layer_meta_of(const struct tar_entry *entry, uint32_t ids, struct layer_meta *ret);
/* Set the attributes that the file may have at once; its capabilities are kept for
 * layer_meta_settle. -errno; those that cannot be set are counted. */
int layer_meta_xattrs(struct layer_meta *m, int fd, const struct tar_entry *entry,
		      uint64_t *left_out);
/* Owner, mode and capabilities, in this order, and behind the data: a change of owner or of content
 * takes set-id bits and capabilities away. -errno. */
int layer_meta_settle(const struct layer_meta *m, int fd, bool owners, uint64_t *left_out);
void layer_meta_time(const struct layer_meta *m, int dir, const char *name);
void layer_meta_file_time(const struct layer_meta *m, int fd);
/* Times of directories come last, because every entry in them changes them. -EFBIG. */
int layer_times_add(struct buf *times, const char *path, const struct layer_meta *m);
void layer_times_set(struct buf *times, int root, int (*open_dir)(int root, const char *path));

/* --- layer_inflate.c -------------------------------------------------------------------------- */

struct layer_inflate; /* opaque */
/* By the first bytes: gzip, zstd or nothing. What comes out is pinned by its digest, so a wrong
 * media type does no harm. */
struct layer_inflate *layer_inflate_new(void);
/* An archive of somebody's, not a layer: bzip2 and xz, too. */
struct layer_inflate *layer_inflate_new_archive(void);
void layer_inflate_free(struct layer_inflate *f); /* takes NULL */
/*
 * Take bytes from *in (advanced) and fill at most `cap` bytes of out. *ret_n == 0: all input was
 * taken and nothing is pending. -EBADMSG for a damaged stream, -ENOTSUP for what Ward was built
 * without, -EFBIG when it would take too much memory.
 */
int layer_inflate(struct layer_inflate *f, const char **in, size_t *in_n, char *out, size_t cap,
		  size_t *ret_n, struct err *e);
/* The input is over: 0, or -EBADMSG when the compressed stream is not. */
int layer_inflate_finish(const struct layer_inflate *f, struct err *e);

/* --- layer_gzip_isal.c, layer_gzip_zlib.c: one of them -----------------------------------------
 */

struct layer_gzip; /* opaque; one member of a gzip file, checked against its CRC and length */
struct layer_gzip *layer_gzip_new(void);
void layer_gzip_free(struct layer_gzip *g); /* takes NULL */
/* Another member begins. */
void layer_gzip_reset(struct layer_gzip *g);
/* Take bytes from *in (advanced; *n is how many are left) and fill at most cap bytes of out.
 * 1: the member is over; 0: it goes on; -EBADMSG: it is damaged. */
int layer_gzip_step(struct layer_gzip *g, const char **in, size_t *n, char *out, size_t cap,
		    size_t *ret_n);

/* --- layer_more.c ----------------------------------------------------------------------------- */

enum layer_more_kind { LAYER_MORE_NONE, LAYER_MORE_BZIP2, LAYER_MORE_XZ };
/* Was Ward built with it? */
bool layer_more_is_there(enum layer_more_kind kind);
struct layer_more; /* opaque; as struct layer_gzip, of a kind that is there */
struct layer_more *layer_more_new(enum layer_more_kind kind);
void layer_more_free(struct layer_more *m); /* takes NULL */
void layer_more_reset(struct layer_more *m);
/* As layer_gzip_step; -EFBIG: it would take too much memory. */
int layer_more_step(struct layer_more *m, const char **in, size_t *n, char *out, size_t cap,
		    size_t *ret_n);

/* --- layer_place.c ---------------------------------------------------------------------------- */

struct layer_stats {
	uint64_t bytes;	  /* of file data */
	uint64_t entries; /* in the archive */
	uint64_t devices; /* device nodes that were left out */
	uint64_t xattrs;  /* attributes that were left out */
	uint64_t owners;  /* entries whose owner does not exist here: nobody's now */
	bool opaque_root; /* nothing of the layers below is visible */
};
struct layer_place; /* opaque */
/* root_fd: the directory, empty; borrowed. ids: how many ids there are; 1: owners are not set.
 * dirs: how many directories may be made on the way. */
struct layer_place *layer_place_new(int root_fd, uint32_t ids, uint64_t dirs);
void layer_place_free(struct layer_place *p); /* takes NULL */
int layer_place_event(struct layer_place *p, const struct tar_event *ev, struct err *e);
/* Everything is there: times of directories. */
void layer_place_finish(struct layer_place *p, struct layer_stats *ret);

/* --- layer_ring.c ----------------------------------------------------------------------------- */

enum { LAYER_CHUNK = 256 << 10 };
enum layer_reader { LAYER_READER_DIGEST, LAYER_READER_PLACE, LAYER_READERS };
struct layer_ring; /* opaque */
struct layer_ring *layer_ring_new(void);
void layer_ring_free(struct layer_ring *r); /* takes NULL; no thread uses it any more */
/* Where the maker puts the next bytes, LAYER_CHUNK at most; waits for it. NULL: stopped. */
char *layer_ring_room(struct layer_ring *r);
void layer_ring_filled(struct layer_ring *r, size_t n);
void layer_ring_end(struct layer_ring *r);
/* The next bytes for a reader, until it says that it is done with them. NULL: no more, or stopped.
 */
const char *layer_ring_next(struct layer_ring *r, enum layer_reader who, size_t *ret_n);
void layer_ring_used(struct layer_ring *r, enum layer_reader who);
/* Everybody who waits, or will, gets NULL. */
void layer_ring_stop(struct layer_ring *r);

/* --- layer_unpack.c --------------------------------------------------------------------------- */

struct layer_request {
	char diff_id[72]; /* "sha256:HEX" */
	uint64_t blob_size;
	uint32_t ids;
	struct tar_limits limits;
	uint64_t stream_max; /* bytes of the uncompressed archive */
	unsigned seconds;    /* without those of waiting for the blob */
};
struct layer_unpack; /* opaque */
/*
 * Get ready to unpack the blob into the directory, and start the threads for it, which wait.
 * counter: -1, or an event counter whose sum says how many bytes of the blob are there, one more
 * when that is all of it and its own digest is right, and even more when it will never be; no
 * byte beyond is read.  The descriptors are borrowed.
 */
int layer_unpack_new(const struct layer_request *q, int blob_fd, int counter, int root_fd,
		     struct layer_unpack **ret, struct err *e);
void layer_unpack_free(struct layer_unpack *u); /* takes NULL */
/* Do it, once, and compare the digest.  On failure the directory holds anything; it is the caller's
 * to remove. */
int layer_unpack_run(struct layer_unpack *u, struct layer_stats *ret, struct err *e);

/* `ward-image unpack`: an image_verb_fn. */
int layer_unpack_verb(const struct json *request, struct json **ret, struct err *e);

/* --- layer_deflate.c -------------------------------------------------------------------------- */

struct layer_blob {
	char digest[IMAGE_DIGEST_LEN + 1];
	char diff_id[IMAGE_DIGEST_LEN + 1];
	uint64_t size;	 /* of the blob */
	uint64_t stream; /* of the archive in it */
};
struct layer_deflate; /* opaque */
/* Into fd, which is borrowed. */
int layer_deflate_new(int fd, struct layer_deflate **ret, struct err *e);
void layer_deflate_free(struct layer_deflate *d); /* takes NULL */
int layer_deflate_add(struct layer_deflate *d, const char *bytes, size_t n, struct err *e);
int layer_deflate_finish(struct layer_deflate *d, struct layer_blob *ret, struct err *e);

/* --- layer_links.c ---------------------------------------------------------------------------- */

struct layer_links; /* opaque */
struct layer_links *layer_links_new(void);
void layer_links_free(struct layer_links *l); /* takes NULL */
/* Remember an inode by its first name, or "" for one that is secret; one that is known stays what
 * it is. False when there are too many. */
bool layer_links_add(struct layer_links *l, uint64_t dev, uint64_t ino, const char *name);
/* Its first name, borrowed until the next one is added. */
bool layer_links_find(const struct layer_links *l, uint64_t dev, uint64_t ino, const char **ret);
bool layer_links_is_secret(const struct layer_links *l, uint64_t dev, uint64_t ino);

/* --- layer_pack.c ----------------------------------------------------------------------------- */

struct layer_tree { /* see struct image_tree */
	int fd;
	char *prefix;
	struct strv leave_out;
	struct strv secret;
	struct strv if_filled;
	int64_t owner; /* -1: as it is */
};
struct layer_pack_request {
	struct layer_tree trees[IMAGE_TREES_MAX];
	size_t ntrees;
	uint64_t bytes;	  /* of file data, and of a file with its holes */
	uint64_t entries; /* in the archive */
	unsigned seconds;
	size_t names_max; /* bytes of names that are kept at a time; 0: what is sensible */
};
struct layer_packed {
	uint64_t entries;
	uint64_t bytes;	  /* of file data */
	uint64_t devices; /* sockets and devices that were left out */
	uint64_t names;	  /* entries that a layer would take for a whiteout */
	uint64_t xattrs;  /* attributes that were left out */
};
/* Write the trees as a layer into a file. On failure it holds anything. */
int layer_pack(const struct layer_pack_request *q, int out_fd, struct layer_blob *ret_blob,
	       struct layer_packed *ret, struct err *e);

/* --- layer_follow.c --------------------------------------------------------------------------- */

/*
 * Where a path of a tree leads to when symbolic links are followed as a program in the box follows
 * them, from one tree into another too.  *ret: its path in the layer, without links.  Returns the
 * tree that it is in; NULL when it leads nowhere, round in a circle, or to a directory that the
 * path itself is in.
 */
const struct layer_tree *layer_follow(const struct layer_pack_request *q,
				      const struct layer_tree *from, const char *path,
				      struct buf *ret);

/* --- layer_emit.c ----------------------------------------------------------------------------- */

struct layer_emit {
	const struct layer_pack_request *q;
	const struct buf *path; /* where we are, for messages */
	int64_t owner;		/* of everything; -1: as it is */
	struct layer_packed stats;
	struct layer_deflate *out;
	time_t deadline;
	struct buf header;
	char *chunk;
	struct layer_xattrs xattrs; /* of the next entry */
	struct tar_piece *pieces;
	size_t npieces;
};
int layer_emit_begin(struct layer_emit *m, const struct layer_pack_request *q, int out_fd,
		     const struct buf *path, struct err *e);
int layer_emit_finish(struct layer_emit *m, struct layer_blob *ret, struct err *e);
void layer_emit_clear(struct layer_emit *m);
/* An error about the path: this one, errno's, or that it is not what it was a moment ago. */
int layer_emit_fail(const struct layer_emit *m, enum err_kind kind, int code, const char *why,
		    struct err *e);
int layer_emit_errno(const struct layer_emit *m, struct err *e);
int layer_emit_changed(const struct layer_emit *m, struct err *e);
int layer_emit_check_time(const struct layer_emit *m, struct err *e);
void layer_emit_sort(struct strv *v);
/* The attributes of a file that a layer may have, for the next entry. */
void layer_emit_xattrs(struct layer_emit *m, int fd);
/* A mark of overlay's on a file: 'y', 'x', or NUL without. */
char layer_emit_overlay_mark(int fd, const char *name);
/* The entry of a file, with the attributes that were read. */
struct tar_entry layer_emit_describe(const struct layer_emit *m, enum tar_type type,
				     const char *path, const struct stat *st);
int layer_emit_entry(struct layer_emit *m, const struct tar_entry *entry, struct err *e);
/* An entry that stands for something of the layers below: the empty file dir/PREFIXname. */
int layer_emit_mark(struct layer_emit *m, const char *dir, size_t dir_len, const char *prefix,
		    const char *name, struct err *e);
/* A directory, and that it is opaque. */
int layer_emit_dir(struct layer_emit *m, const char *path, int fd, struct err *e);
/* A regular file. */
int layer_emit_data(struct layer_emit *m, int fd, struct tar_entry *entry, const struct stat *st,
		    struct err *e);

/* `ward-image pack`: an image_verb_fn. */
int layer_pack_verb(const struct json *request, struct json **ret, struct err *e);

#endif
