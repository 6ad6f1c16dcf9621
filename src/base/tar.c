/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar: the reader; extended headers are understood by tar_extended.c.
 *
 * A state machine over blocks.  Headers are collected into one block; the data of extended headers
 * into a bounded buffer; the data of files is passed through.  What extended headers say is kept
 * apart ("pending") until the entry that they belong to, and forgotten behind it.
 *
 * The classic hole of tar readers is two opinions on how long an entry is.  Here there is one
 * length: the size of an extended header's own block for that header, and the pax size, else the
 * header's, for the file.  Nothing else moves the position, and no entry type is skipped over.
 *
 * Invariants: left and pad say what is still to come of the current entry; state R_FAILED is final.
 */
#include "base/tar.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/tar_internal.h"
#include "base/text.h"

uint32_t tar_checksum(const struct tar_header *h)
{
	const unsigned char *bytes = (const unsigned char *)h;
	const size_t at = offsetof(struct tar_header, checksum);
	uint32_t sum = 0;

	for (size_t i = 0; i < sizeof(*h); i++)
		sum += i >= at && i < at + sizeof(h->checksum) ? ' ' : bytes[i];
	return sum;
}

static int bad(struct err *e, const char *why)
{
	return err_set(e, ERR_INPUT, EBADMSG, "tar archive: %s", why);
}

struct tar_reader *tar_reader_new(const struct tar_limits *limits)
{
	struct tar_reader *r = xcalloc(1, sizeof(*r));

	r->limits = *limits;
	return r;
}

void tar_reader_free(struct tar_reader *r)
{
	if (r == NULL)
		return;
	buf_free(&r->data);
	for (size_t i = 0; i < KEY_NAMES; i++)
		buf_free(&r->name[i]);
	free(r->sparse.pieces);
	for (size_t i = 0; i < TAR_XATTRS_MAX; i++)
		buf_free(&r->xattr_data[i]);
	free(r);
}

void tar_reader_freep(struct tar_reader **r)
{
	tar_reader_free(*r);
}

/* GNU's binary numbers: the first bit is set, the rest is big-endian; negative ones are refused. */
static int parse_base256(const char *field, size_t size, uint64_t *ret)
{
	uint64_t value = (unsigned char)field[0] & 0x7f;

	if ((field[0] & 0x40) != 0)
		return -EBADMSG;
	for (size_t i = 1; i < size; i++) {
		if (value >> 55 != 0)
			return -EBADMSG;
		value = value << 8 | (unsigned char)field[i];
	}
	*ret = value;
	return 0;
}

/* Spaces, octal digits, then NULs and spaces to the end of the field. An empty field is 0. */
int tar_parse_number(const char *field, size_t size, uint64_t *ret)
{
	uint64_t value = 0;
	size_t i = 0;

	if (((unsigned char)field[0] & 0x80) != 0)
		return parse_base256(field, size, ret);
	while (i < size && field[i] == ' ')
		i++;
	/* Twelve digits are 36 bits: no overflow. */
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
		value = value << 3 | (uint64_t)(field[i] - '0');
	for (; i < size; i++) {
		if (field[i] != ' ' && field[i] != '\0')
			return -EBADMSG;
	}
	*ret = value;
	return 0;
}

/* Append a name field: what is behind its NUL must be NUL too. */
static int add_name(struct buf *out, const char *field, size_t size)
{
	size_t n = strnlen(field, size);

	for (size_t i = n; i < size; i++) {
		if (field[i] != '\0')
			return -EBADMSG;
	}
	buf_add(out, field, n);
	return 0;
}

/* An extended header begins: its size is bounded, and so is how many precede one entry. */
static int begin_meta(struct tar_reader *r, uint64_t size, struct err *e)
{
	char type = r->block.type;

	if (size > TAR_META_MAX)
		return err_set(e, ERR_INPUT, EFBIG, "tar archive: an extended header of %llu bytes",
			       (unsigned long long)size);
	if (type == 'x' && r->had_pax)
		return bad(e, "two extended headers before one entry");
	r->had_pax = r->had_pax || type == 'x';
	/* An endless run of global headers would cost time and tell nothing. */
	if (type == 'g') {
		if (r->limits.entries == 0)
			return err_set(e, ERR_INPUT, EFBIG, "tar archive: too many entries");
		r->limits.entries--;
	}
	r->meta = type;
	buf_reset(&r->data);
	r->left = size;
	r->pad = (size_t)(-size % TAR_BLOCK);
	r->state = R_META;
	return 0;
}

/* The name fields of the header, unless an extended header gave a name. */
static int settle_names(struct tar_reader *r, struct err *e)
{
	const struct tar_header *h = &r->block;
	struct buf *path = &r->name[KEY_PATH];
	struct buf *link = &r->name[KEY_LINK];
	int rc = 0;

	if ((r->set & 1U << KEY_PATH) == 0) {
		buf_reset(path);
		/* GNU's variant has other things where the prefix would be. */
		if (h->magic[5] == '\0' && h->prefix[0] != '\0') {
			rc = add_name(path, h->prefix, sizeof(h->prefix));
			buf_putc(path, '/');
		}
		if (rc == 0)
			rc = add_name(path, h->name, sizeof(h->name));
	}
	if (rc == 0 && (r->set & 1U << KEY_LINK) == 0) {
		buf_reset(link);
		rc = add_name(link, h->link, sizeof(h->link));
	}
	if (rc < 0)
		return bad(e, "bytes behind the end of a name");
	return path->len == 0 ? bad(e, "empty name") : 0;
}

static int type_of(char letter, bool layer, enum tar_type *ret)
{
	static const struct {
		char letter;
		enum tar_type type;
		bool layer; /* in image layers only */
	} types[] = {
		{ '0', TAR_FILE, false },	 { '\0', TAR_FILE, false },
		{ '1', TAR_HARDLINK, false },	 { '2', TAR_SYMLINK, false },
		{ '5', TAR_DIR, false },	 { '3', TAR_CHARACTER, true },
		{ '4', TAR_BLOCK_DEVICE, true }, { '6', TAR_FIFO, true },
		{ 'S', TAR_FILE, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (types[i].letter == letter && (layer || !types[i].layer)) {
			*ret = types[i].type;
			return 0;
		}
	}
	return -ENOTSUP;
}

static int settle_numbers(struct tar_reader *r, uint64_t size, struct tar_entry *entry,
			  struct err *e)
{
	const struct tar_header *h = &r->block;
	uint64_t mode, uid, gid, mtime, device[2] = { 0 };

	if (tar_parse_number(h->mode, sizeof(h->mode), &mode) < 0 ||
	    tar_parse_number(h->uid, sizeof(h->uid), &uid) < 0 ||
	    tar_parse_number(h->gid, sizeof(h->gid), &gid) < 0)
		return bad(e, "invalid number in a header");
	/* A time before 1970 is a negative base-256 number; only pax can say it here. */
	if ((r->set & 1U << KEY_MTIME) == 0) {
		if (tar_parse_number(h->mtime, sizeof(h->mtime), &mtime) < 0 || mtime > INT64_MAX)
			return bad(e, "invalid time in a header");
		r->mtime = (int64_t)mtime;
		r->mtime_ns = 0;
	}
	entry->mode = (uint32_t)mode & 07777;
	entry->uid = (r->set & 1U << KEY_UID) != 0 ? r->number[KEY_UID] : uid;
	entry->gid = (r->set & 1U << KEY_GID) != 0 ? r->number[KEY_GID] : gid;
	entry->size = (r->set & 1U << KEY_SIZE) != 0 ? r->number[KEY_SIZE] : size;
	entry->mtime = r->mtime;
	entry->mtime_ns = r->mtime_ns;
	entry->xattrs = r->xattrs;
	entry->nxattrs = r->nxattrs;
	if (entry->type != TAR_CHARACTER && entry->type != TAR_BLOCK_DEVICE)
		return 0;
	if (tar_parse_number(h->devmajor, sizeof(h->devmajor), &device[0]) < 0 ||
	    tar_parse_number(h->devminor, sizeof(h->devminor), &device[1]) < 0 ||
	    device[0] > UINT32_MAX || device[1] > UINT32_MAX)
		return bad(e, "invalid device number in a header");
	entry->device_major = (uint32_t)device[0];
	entry->device_minor = (uint32_t)device[1];
	return 0;
}

/* Count the entry against what the caller allows. */
static int charge(struct tar_reader *r, const struct tar_entry *entry, uint64_t stored,
		  struct err *e)
{
	const char *why = NULL;

	if (r->limits.entries == 0)
		why = "too many entries";
	else if (entry->size > r->limits.file_size)
		why = "a file is too large";
	else if (stored > r->limits.total_size)
		why = "it is too large in total";
	if (why != NULL)
		return err_set(e, ERR_INPUT, EFBIG, "tar archive: %s", why);
	r->limits.entries--;
	r->limits.total_size -= stored;
	return 0;
}

/* A file with holes: its own size and name in place of those of what is stored. */
static int settle_sparse(struct tar_reader *r, struct tar_entry *entry, struct err *e)
{
	const unsigned pax = 1U << KEY_SPARSE_MAJOR | 1U << KEY_SPARSE_MINOR |
			     1U << KEY_SPARSE_SIZE | 1U << KEY_SPARSE_NAME;
	struct buf *path = &r->name[KEY_PATH];
	int rc;

	if (r->block.type == 'S')
		return (r->set & pax) != 0 ? bad(e, "a sparse file in two ways")
					   : tar_sparse_gnu(r, &entry->size, e);
	if ((r->set & pax) == 0)
		return 0;
	if (entry->type != TAR_FILE)
		return bad(e, "something else as a sparse file");
	rc = tar_sparse_pax(r, &entry->size, e);
	if (rc == 0) {
		buf_reset(path);
		buf_add(path, r->name[KEY_SPARSE_NAME].data, r->name[KEY_SPARSE_NAME].len);
	}
	return rc;
}

static int check_entry(struct tar_reader *r, struct tar_entry *entry, struct err *e)
{
	struct buf *path = &r->name[KEY_PATH];
	bool slash = path->data[path->len - 1] == '/';

	while (path->len > 1 && path->data[path->len - 1] == '/')
		buf_truncate(path, path->len - 1);
	if (slash && entry->type != TAR_DIR)
		return bad(e, "the name of a file ends in a slash");
	if (entry->type != TAR_FILE && entry->size != 0)
		return bad(e, "data behind a directory or a link");
	entry->path = path->data;
	if (entry->type == TAR_SYMLINK || entry->type == TAR_HARDLINK) {
		entry->link = r->name[KEY_LINK].data;
		if (r->name[KEY_LINK].len == 0)
			return bad(e, "a link without target");
	}
	return 0;
}

static int begin_entry(struct tar_reader *r, uint64_t size, struct tar_event *ret, struct err *e)
{
	struct tar_entry *entry = &ret->entry;
	uint64_t stored = 0;
	int rc;

	if (type_of(r->block.type, r->limits.layer, &entry->type) < 0)
		return err_set(e, ERR_INPUT, ENOTSUP,
			       "tar archive: an entry of type 0x%02x is not supported",
			       (unsigned char)r->block.type);
	rc = settle_names(r, e);
	if (rc == 0)
		rc = settle_numbers(r, size, entry, e);
	stored = entry->size;
	if (rc == 0)
		rc = settle_sparse(r, entry, e);
	if (rc == 0)
		rc = charge(r, entry, stored, e);
	if (rc == 0)
		rc = check_entry(r, entry, e);
	if (rc < 0)
		return rc;
	r->meta = '\0';
	r->left = stored;
	r->pad = (size_t)(-stored % TAR_BLOCK);
	r->offset = 0;
	r->state = R_DATA;
	ret->kind = TAR_ENTRY;
	return r->sparse.active ? tar_sparse_begin(r, e) : 0;
}

static bool is_zero_block(const struct tar_header *h)
{
	static const struct tar_header zero;

	return memcmp(h, &zero, sizeof(zero)) == 0;
}

/* A header block is complete. */
static int take_header(struct tar_reader *r, struct tar_event *ret, struct err *e)
{
	const struct tar_header *h = &r->block;
	uint64_t sum, size;

	r->have = 0;
	if (is_zero_block(h)) {
		if (r->set != 0 || r->had_pax || r->nxattrs != 0)
			return bad(e, "an extended header without entry");
		if (r->zero) {
			r->state = R_END;
			ret->kind = TAR_END;
		}
		r->zero = true;
		return 0;
	}
	if (r->zero)
		return bad(e, "a single zero block in the middle");
	if (tar_parse_number(h->checksum, sizeof(h->checksum), &sum) < 0 || sum != tar_checksum(h))
		return bad(e, "bad checksum");
	if (memcmp(h->magic,
		   "ustar\0"
		   "00",
		   8) != 0 &&
	    memcmp(h->magic, "ustar  ", 8) != 0)
		return err_set(e, ERR_INPUT, ENOTSUP, "tar archive: neither ustar, pax nor GNU");
	if (tar_parse_number(h->size, sizeof(h->size), &size) < 0 || size > INT64_MAX)
		return bad(e, "invalid size in a header");
	if (h->type != '\0' && strchr("xgLK", h->type) != NULL)
		return begin_meta(r, size, e);
	return begin_entry(r, size, ret, e);
}

/* Take bytes of a header block. */
static int feed_header(struct tar_reader *r, const char *bytes, size_t n, size_t *used,
		       struct tar_event *ret, struct err *e)
{
	size_t take = TAR_BLOCK - r->have < n ? TAR_BLOCK - r->have : n;

	memcpy((char *)&r->block + r->have, bytes, take);
	r->have += take;
	*used += take;
	return r->have == TAR_BLOCK ? take_header(r, ret, e) : 0;
}

/* Take bytes of an extended header. */
static int feed_meta(struct tar_reader *r, const char *bytes, size_t n, size_t *used, struct err *e)
{
	size_t take = n < r->left ? n : (size_t)r->left;

	buf_add(&r->data, bytes, take);
	*used += take;
	r->left -= take;
	if (r->left != 0)
		return 0;
	r->state = R_PAD;
	return tar_take_extended(r, e);
}

static void feed_data(struct tar_reader *r, const char *bytes, size_t n, size_t *used,
		      struct tar_event *ret)
{
	size_t take = n < r->left ? n : (size_t)r->left;

	if (r->left == 0) {
		r->state = R_PAD;
		tar_forget_extended(r);
		ret->kind = TAR_ENTRY_END;
		return;
	}
	ret->offset = r->offset;
	if (r->sparse.active)
		ret->offset = tar_sparse_place(r, &take);
	*used += take;
	r->left -= take;
	r->offset += take;
	ret->kind = TAR_DATA;
	ret->data = bytes;
	ret->len = take;
}

/* One step; false when it needs bytes and there are none. */
static bool step(struct tar_reader *r, const char *bytes, size_t n, size_t *used,
		 struct tar_event *ret, int *rc, struct err *e)
{
	bool ends = r->left == 0; /* a step that ends something needs no bytes */

	switch (r->state) {
	case R_HEADER:
		if (n == 0)
			return false;
		*rc = feed_header(r, bytes, n, used, ret, e);
		return true;
	case R_META:
		if (n == 0 && !ends)
			return false;
		*rc = feed_meta(r, bytes, n, used, e);
		return true;
	case R_DATA:
		if (n == 0 && !ends)
			return false;
		feed_data(r, bytes, n, used, ret);
		return true;
	case R_SPARSE_BLOCK:
		if (n == 0)
			return false;
		*rc = tar_sparse_feed_block(r, bytes, n, used, e);
		return true;
	case R_SPARSE_TEXT:
		if (n == 0)
			return false;
		*rc = tar_sparse_feed_text(r, bytes, n, used, e);
		return true;
	case R_PAD:
		if (r->pad != 0 && n == 0)
			return false;
		n = n < r->pad ? n : r->pad;
		*used += n;
		r->pad -= n;
		if (r->pad == 0)
			r->state = R_HEADER;
		return true;
	case R_END:
		*used += n;
		ret->kind = TAR_END;
		return true;
	case R_FAILED:
		*rc = bad(e, "it was refused before");
		return true;
	}
	return false;
}

int tar_reader_feed(struct tar_reader *r, const char *bytes, size_t n, size_t *ret_used,
		    struct tar_event *ret, struct err *e)
{
	struct tar_event ev = { .kind = TAR_MORE };
	size_t used = 0;
	int rc = 0;

	while (ev.kind == TAR_MORE && rc == 0 &&
	       step(r, bytes + used, n - used, &used, &ev, &rc, e))
		;
	if (rc < 0) {
		r->state = R_FAILED;
		return rc;
	}
	*ret_used = used;
	*ret = ev;
	return 0;
}

int tar_reader_finish(const struct tar_reader *r, struct err *e)
{
	if (r->state == R_FAILED)
		return bad(e, "it was refused before");
	/* Some tools that make layers leave the two blocks at the end out. */
	if (r->limits.layer && r->state == R_HEADER && r->have == 0 && r->set == 0 && !r->had_pax &&
	    r->nxattrs == 0)
		return 0;
	return r->state == R_END ? 0 : bad(e, "it is truncated");
}
