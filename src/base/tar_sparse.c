/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar_sparse: files with holes, in image layers: GNU's type 'S' (up to four pieces in the header,
 * the others in blocks behind it) and version 1.0 of its pax form (the map is text in front of the
 * data).
 *
 * Both become the same list of pieces, which must be in order, within the file and together exactly
 * as long as what is stored; so the place of every byte is beyond doubt before the first one is
 * handed on.  The older pax forms are refused.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/tar_internal.h"

enum {
	HEADER_PIECES = 4,
	BLOCK_PIECES = 21,
	HEADER_AT = 386,
	HEADER_MORE = 482,
	HEADER_REAL = 483,
	BLOCK_MORE = 504,
	FIELD = 12,
	PIECE = 2 * FIELD,
};

static int bad(struct err *e, const char *why)
{
	return err_set(e, ERR_INPUT, EBADMSG, "tar archive: sparse file: %s", why);
}

static int add_piece(struct tar_reader *r, uint64_t offset, uint64_t size, struct err *e)
{
	struct tar_sparse *s = &r->sparse;
	uint64_t end = 0;

	if (s->n > 0)
		end = s->pieces[s->n - 1].offset + s->pieces[s->n - 1].size;
	if (offset < end || offset > s->real_size || size > s->real_size - offset)
		return bad(e, "its pieces overlap or are out of bounds");
	if (s->n == TAR_PIECES_MAX)
		return err_set(e, ERR_INPUT, EFBIG, "tar archive: sparse file: too many pieces");
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 16;
		s->pieces = xrealloc(s->pieces, s->cap, sizeof(*s->pieces));
	}
	s->pieces[s->n++] = (struct tar_piece){ offset, size };
	s->stored += size;
	return 0;
}

/* The map is complete. */
static int finish(struct tar_reader *r, struct err *e)
{
	if (r->sparse.stored != r->left)
		return bad(e, "its pieces are not as long as what is stored");
	r->state = R_DATA;
	return 0;
}

/* Pieces in fixed fields, up to the first empty one. */
static int take_fields(struct tar_reader *r, const char *at, size_t max, struct err *e)
{
	for (size_t i = 0; i < max && at[i * PIECE + FIELD] != '\0'; i++) {
		uint64_t offset, size;
		int rc;

		if (tar_parse_number(at + i * PIECE, FIELD, &offset) < 0 ||
		    tar_parse_number(at + i * PIECE + FIELD, FIELD, &size) < 0)
			return bad(e, "invalid number");
		rc = add_piece(r, offset, size, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void start(struct tar_reader *r, uint64_t real_size)
{
	struct tar_sparse *s = &r->sparse;

	s->active = true;
	s->real_size = real_size;
	s->n = s->piece = 0;
	s->stored = s->used = 0;
	s->number = s->numbers = s->digits = 0;
	s->map_bytes = 0;
	s->counted = false;
}

int tar_sparse_gnu(struct tar_reader *r, uint64_t *ret_size, struct err *e)
{
	const char *block = (const char *)&r->block;
	uint64_t real;
	int rc;

	if (tar_parse_number(block + HEADER_REAL, FIELD, &real) < 0 || real > INT64_MAX)
		return bad(e, "invalid size");
	start(r, real);
	rc = take_fields(r, block + HEADER_AT, HEADER_PIECES, e);
	if (rc < 0)
		return rc;
	*ret_size = real;
	r->sparse.more = block[HEADER_MORE] != '\0';
	return 0;
}

int tar_sparse_pax(struct tar_reader *r, uint64_t *ret_size, struct err *e)
{
	const unsigned want = 1U << KEY_SPARSE_MAJOR | 1U << KEY_SPARSE_MINOR |
			      1U << KEY_SPARSE_SIZE | 1U << KEY_SPARSE_NAME;

	if ((r->set & want) != want || r->number[KEY_SPARSE_MAJOR] != 1 ||
	    r->number[KEY_SPARSE_MINOR] != 0)
		return err_set(e, ERR_INPUT, ENOTSUP,
			       "tar archive: sparse files of this version are not supported");
	start(r, r->number[KEY_SPARSE_SIZE]);
	r->sparse.text = true;
	*ret_size = r->sparse.real_size;
	return 0;
}

int tar_sparse_begin(struct tar_reader *r, struct err *e)
{
	if (r->sparse.text)
		r->state = R_SPARSE_TEXT;
	else if (r->sparse.more)
		r->state = R_SPARSE_BLOCK;
	else
		return finish(r, e);
	r->have = 0;
	return 0;
}

int tar_sparse_feed_block(struct tar_reader *r, const char *bytes, size_t n, size_t *used,
			  struct err *e)
{
	char *block = (char *)&r->block;
	size_t take = TAR_BLOCK - r->have < n ? TAR_BLOCK - r->have : n;
	int rc;

	memcpy(block + r->have, bytes, take);
	r->have += take;
	*used += take;
	if (r->have < TAR_BLOCK)
		return 0;
	r->have = 0;
	rc = take_fields(r, block, BLOCK_PIECES, e);
	if (rc < 0 || block[BLOCK_MORE] != '\0')
		return rc;
	return finish(r, e);
}

/* A line of the map: how many pieces there are, then offset and size of each. */
static int take_line(struct tar_reader *r, struct err *e)
{
	struct tar_sparse *s = &r->sparse;
	uint64_t value = s->number;

	if (s->digits == 0)
		return bad(e, "an empty line in its map");
	s->number = s->digits = 0;
	if (!s->counted) {
		if (value > TAR_PIECES_MAX)
			return bad(e, "too many pieces");
		s->counted = true;
		s->numbers = 2 * value;
		return 0;
	}
	s->numbers--;
	if (s->numbers % 2 == 1) {
		s->offset = value;
		return 0;
	}
	return add_piece(r, s->offset, value, e);
}

int tar_sparse_feed_text(struct tar_reader *r, const char *bytes, size_t n, size_t *used,
			 struct err *e)
{
	struct tar_sparse *s = &r->sparse;

	for (size_t i = 0; i < n; i++) {
		const bool complete = s->counted && s->numbers == 0;

		/* Padding up to the next block, and then data. */
		if (complete && s->map_bytes % TAR_BLOCK == 0)
			return finish(r, e);
		if (r->left == 0)
			return bad(e, "its map is longer than what is stored");
		r->left--;
		s->map_bytes++;
		++*used;
		if (complete)
			continue;
		if (bytes[i] == '\n') {
			int rc = take_line(r, e);

			if (rc < 0)
				return rc;
		} else if (bytes[i] >= '0' && bytes[i] <= '9' && s->digits < 18) {
			s->number = s->number * 10 + (uint64_t)(bytes[i] - '0');
			s->digits++;
		} else {
			return bad(e, "its map is malformed");
		}
	}
	if (s->counted && s->numbers == 0 && s->map_bytes % TAR_BLOCK == 0)
		return finish(r, e);
	return 0;
}

/* Where the next byte belongs, and how many belong there together. */
uint64_t tar_sparse_place(struct tar_reader *r, size_t *n)
{
	struct tar_sparse *s = &r->sparse;
	uint64_t offset, left;

	while (s->piece < s->n && s->used == s->pieces[s->piece].size) {
		s->piece++;
		s->used = 0;
	}
	/* finish() has compared the lengths: there is a piece for every byte. */
	offset = s->pieces[s->piece].offset + s->used;
	left = s->pieces[s->piece].size - s->used;
	if (*n > left)
		*n = (size_t)left;
	s->used += *n;
	return offset;
}
