/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zip: a strict reader of ZIP archives that lie in memory.
 *
 * A ZIP describes every file twice, in front of its bytes and in the central directory at the end,
 * and readers that believe different halves see different archives.  Here the central directory is
 * the truth and everything else must agree with it: the local headers repeat it, and the entries
 * tile the file from its first byte to the central directory, without gap or overlap.  What a kit
 * has no use for is refused instead of being understood: encryption, ZIP64, several disks, links
 * and devices, methods other than stored and deflate, second names in extra fields.
 *
 * It is this and not a library for archives because what is needed is so little: zlib does the
 * decompression, which is all of it that is hard, and adds one small library to the program.
 *
 * Sources: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.16, 4.4 and 4.5.
 */
#define ZLIB_CONST
#include <errno.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

enum {
	LOCAL_SIZE = 30,
	CENTRAL_SIZE = 46,
	END_SIZE = 22,
	VERSION_MAX = 20, /* deflate, directories; what needs more is refused */
	METHOD_STORED = 0,
	METHOD_DEFLATED = 8,
	HOST_UNIX = 3,
	DOS_DIRECTORY = 0x10,
	FLAG_DESCRIPTOR = 1 << 3, /* sizes follow the bytes */
	/* Compression effort and UTF-8 names: nothing depends on them. */
	FLAGS_IGNORED = 1 << 1 | 1 << 2 | 1 << 11,
	EXTRA_ZIP64 = 0x0001,
	EXTRA_UNICODE_PATH = 0x7075,
	NAME_LENGTH_MAX = 1024,
	COMPONENT_MAX = 255,
	DEPTH_MAX = 32,
};
static const uint32_t local_signature = 0x04034b50;
static const uint32_t central_signature = 0x02014b50;
static const uint32_t end_signature = 0x06054b50;
static const uint32_t descriptor_signature = 0x08074b50;

struct zip_item {
	struct zip_entry entry; /* first: the caller sees this */
	uint16_t flags;
	uint16_t method;
	uint32_t crc;
	uint32_t packed;
	uint32_t offset; /* of the local header */
	size_t data;	 /* of the bytes */
	size_t end;	 /* behind the bytes and what belongs to them */
};

struct zip {
	const unsigned char *p; /* borrowed */
	size_t n;
	size_t central; /* where the central directory begins */
	struct zip_item *items;
	size_t nitems;
};

static uint16_t get16(const unsigned char *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int bad(struct err *e, const char *why)
{
	return err_set(e, ERR_INPUT, -EINVAL, "not a ZIP file that can be used: %s", why);
}

static int bad_entry(struct err *e, const struct zip_item *it, const char *why)
{
	auto_free char *shown = text_escaped(it->entry.name);

	return err_set(e, ERR_INPUT, -EINVAL, "'%s': %s", shown, why);
}

/* --- names ------------------------------------------------------------------------------------ */

const char *zip_name_problem(const char *name, size_t n)
{
	size_t start = 0;
	unsigned depth = 0;

	if (n == 0 || n > NAME_LENGTH_MAX)
		return "its name is empty or too long";
	if (!text_is_utf8(name, n))
		return "its name is not UTF-8";
	for (size_t i = 0; i <= n; i++) {
		size_t length = i - start;

		if (i < n && ((unsigned char)name[i] < 0x20 || name[i] == 0x7f || name[i] == '\\'))
			return "its name holds a control character or a backslash";
		if (i < n && name[i] != '/')
			continue;
		if (i == n && length == 0)
			break; /* one slash at the end: a directory */
		if (length == 0)
			return "its name is absolute or has an empty part";
		if (length > COMPONENT_MAX || ++depth > DEPTH_MAX)
			return "its name is too long or too deep";
		if (name[start] == '.' && (length == 1 || (length == 2 && name[start + 1] == '.')))
			return "its name has a part '.' or '..'";
		start = i + 1;
	}
	return NULL;
}

/* By name, '/' before everything else, so that what is below an entry follows it. */
static int compare_names(const void *a, const void *b)
{
	const struct zip_item *const *x = a, *const *y = b;
	const unsigned char *s = (const unsigned char *)(*x)->entry.name;
	const unsigned char *t = (const unsigned char *)(*y)->entry.name;

	while (*s && *s == *t) {
		s++;
		t++;
	}
	return (*s == '/' ? 1 : *s) - (*t == '/' ? 1 : *t);
}

/* Is `name` the same path as `top`, or below it? */
static bool is_within(const char *name, const char *top)
{
	size_t n = strlen(top);

	while (n > 0 && top[n - 1] == '/')
		n--;
	return strncmp(name, top, n) == 0 && (name[n] == '\0' || name[n] == '/');
}

/* Every path once, and nothing below a file. */
static int check_names(const struct zip *z, struct err *e)
{
	auto_free const struct zip_item **sorted = xcalloc(z->nitems + 1, sizeof(*sorted));
	const struct zip_item *file = NULL; /* the last one that is no directory */

	for (size_t i = 0; i < z->nitems; i++)
		sorted[i] = &z->items[i];
	if (z->nitems > 1)
		qsort(sorted, z->nitems, sizeof(struct zip_item *), compare_names);
	for (size_t i = 0; i < z->nitems; i++) {
		const struct zip_item *it = sorted[i];

		if (file && is_within(it->entry.name, file->entry.name))
			return bad_entry(e, it, "it is there twice, or below a file");
		if (i > 0 && it->entry.is_dir && sorted[i - 1]->entry.is_dir &&
		    strcmp(it->entry.name, sorted[i - 1]->entry.name) == 0)
			return bad_entry(e, it, "it is there twice");
		if (!it->entry.is_dir)
			file = it;
	}
	return 0;
}

/* --- headers ---------------------------------------------------------------------------------- */

/* The end record: the last one whose comment reaches just to the end, and no other in the comment.
 */
static int find_end(const struct zip *z, size_t *ret, struct err *e)
{
	size_t lowest = z->n > END_SIZE + UINT16_MAX ? z->n - END_SIZE - UINT16_MAX : 0;

	if (z->n < END_SIZE)
		return bad(e, "it is too short");
	for (size_t at = z->n - END_SIZE;; at--) {
		if (get32(z->p + at) == end_signature) {
			if (at + END_SIZE + get16(z->p + at + 20) != z->n)
				return bad(e, "its comment does not end where the file does");
			*ret = at;
			return 0;
		}
		if (at == lowest)
			return bad(e, "it has no end record");
	}
}

static int check_extra(const struct zip_item *it, const unsigned char *p, size_t n, struct err *e)
{
	while (n > 0) {
		size_t length;

		if (n < 4)
			return bad_entry(e, it, "its extra field is damaged");
		length = 4 + (size_t)get16(p + 2);
		if (length > n)
			return bad_entry(e, it, "its extra field is damaged");
		if (get16(p) == EXTRA_ZIP64)
			return bad_entry(e, it, "ZIP64 is not supported");
		if (get16(p) == EXTRA_UNICODE_PATH)
			return bad_entry(e, it, "it has a second name");
		p += length;
		n -= length;
	}
	return 0;
}

static int check_type(struct zip_item *it, unsigned host, uint32_t attributes, struct err *e)
{
	size_t n = strlen(it->entry.name);
	mode_t mode = host == HOST_UNIX ? (mode_t)(attributes >> 16) : 0;
	bool says_dir = S_ISDIR(mode) || ((mode & S_IFMT) == 0 && (attributes & DOS_DIRECTORY));

	it->entry.is_dir = it->entry.name[n - 1] == '/';
	if ((mode & S_IFMT) != 0 && !S_ISREG(mode) && !S_ISDIR(mode))
		return bad_entry(e, it, "it is a link or a device");
	if (says_dir && !it->entry.is_dir)
		return bad_entry(e, it, "it is a directory without '/'");
	if (S_ISREG(mode) && it->entry.is_dir)
		return bad_entry(e, it, "it is a file with '/'");
	if (it->entry.is_dir && (it->entry.size || it->packed > 2))
		return bad_entry(e, it, "it is a directory with contents");
	it->entry.executable = (mode & 0100) != 0;
	return 0;
}

static int check_features(const struct zip_item *it, unsigned version, struct err *e)
{
	if (it->flags & ~(FLAG_DESCRIPTOR | FLAGS_IGNORED))
		return bad_entry(e, it, "it is encrypted, or of a kind that is not supported");
	if (version > VERSION_MAX)
		return bad_entry(e, it, "it needs a later version of the format");
	if (it->method != METHOD_STORED && it->method != METHOD_DEFLATED)
		return bad_entry(e, it, "its compression is neither 'stored' nor 'deflate'");
	if (it->packed == UINT32_MAX || it->entry.size == UINT32_MAX || it->offset == UINT32_MAX)
		return bad_entry(e, it, "ZIP64 is not supported");
	if (it->method == METHOD_STORED && it->packed != it->entry.size)
		return bad_entry(e, it, "its two sizes differ");
	return 0;
}

/* One header of the central directory; *at moves behind it. */
static int read_central(struct zip *z, size_t *at, size_t limit, struct zip_item *it, struct err *e)
{
	const unsigned char *h = z->p + *at;
	size_t name, extra, comment;
	const char *why;
	int r;

	if (limit - *at < CENTRAL_SIZE || get32(h) != central_signature)
		return bad(e, "its central directory is damaged");
	name = get16(h + 28);
	extra = get16(h + 30);
	comment = get16(h + 32);
	if (limit - *at - CENTRAL_SIZE < name + extra + comment)
		return bad(e, "its central directory is damaged");
	why = zip_name_problem((const char *)h + CENTRAL_SIZE, name);
	it->entry.name = xstrndup((const char *)h + CENTRAL_SIZE, name);
	if (why)
		return bad_entry(e, it, why);
	it->flags = get16(h + 8);
	it->method = get16(h + 10);
	it->crc = get32(h + 16);
	it->packed = get32(h + 20);
	it->entry.size = get32(h + 24);
	it->offset = get32(h + 42);
	if (get16(h + 34) != 0)
		return bad_entry(e, it, "several disks are not supported");
	r = check_features(it, get16(h + 6) & 0xff, e);
	if (r == 0)
		r = check_extra(it, h + CENTRAL_SIZE + name, extra, e);
	if (r == 0)
		r = check_type(it, h[5], get32(h + 38), e);
	*at += CENTRAL_SIZE + name + extra + comment;
	return r;
}

/* The sizes behind the bytes: with or without a signature. Its length, or 0. */
static size_t descriptor_length(const struct zip *z, const struct zip_item *it, size_t at)
{
	for (size_t skip = 0; skip <= 4; skip += 4) {
		const unsigned char *d = z->p + at + skip;

		if (z->central - at < 12 + skip ||
		    (skip && get32(z->p + at) != descriptor_signature))
			continue;
		if (get32(d) == it->crc && get32(d + 4) == it->packed &&
		    get32(d + 8) == it->entry.size)
			return 12 + skip;
	}
	return 0;
}

/* The local header must say what the central one does. */
static int check_local(struct zip *z, struct zip_item *it, struct err *e)
{
	const unsigned char *h = z->p + it->offset;
	bool later = (it->flags & FLAG_DESCRIPTOR) != 0;
	size_t name, extra, descriptor;
	int r;

	if (it->offset > z->central || z->central - it->offset < LOCAL_SIZE ||
	    get32(h) != local_signature)
		return bad_entry(e, it, "its header is not where it should be");
	name = get16(h + 26);
	extra = get16(h + 28);
	it->data = (size_t)it->offset + LOCAL_SIZE + name + extra;
	if (it->data > z->central || z->central - it->data < it->packed)
		return bad_entry(e, it, "its bytes are not where they should be");
	if (name != strlen(it->entry.name) || memcmp(h + LOCAL_SIZE, it->entry.name, name) != 0 ||
	    get16(h + 6) != it->flags || get16(h + 8) != it->method)
		return bad_entry(e, it, "its two headers differ");
	if (get32(h + 14) != it->crc || get32(h + 18) != it->packed ||
	    get32(h + 22) != it->entry.size) {
		/* Written as a stream: nothing is known yet in front of the bytes. */
		if (!later || get32(h + 14) || get32(h + 18) || get32(h + 22))
			return bad_entry(e, it, "its two headers differ");
	}
	r = check_extra(it, h + LOCAL_SIZE + name, extra, e);
	if (r < 0)
		return r;
	it->end = it->data + it->packed;
	descriptor = later ? descriptor_length(z, it, it->end) : 0;
	if (later && descriptor == 0)
		return bad_entry(e, it, "the sizes behind its bytes are wrong");
	it->end += descriptor;
	return 0;
}

static int compare_offsets(const void *a, const void *b)
{
	const struct zip_item *const *x = a, *const *y = b;

	return (*x)->offset < (*y)->offset ? -1 : (*x)->offset > (*y)->offset;
}

/* Every byte in front of the central directory belongs to one entry. */
static int check_tiles(const struct zip *z, struct err *e)
{
	auto_free const struct zip_item **sorted = xcalloc(z->nitems + 1, sizeof(*sorted));
	size_t at = 0;

	for (size_t i = 0; i < z->nitems; i++)
		sorted[i] = &z->items[i];
	if (z->nitems > 1)
		qsort(sorted, z->nitems, sizeof(struct zip_item *), compare_offsets);
	for (size_t i = 0; i < z->nitems; i++) {
		if (sorted[i]->offset != at)
			return bad_entry(e, sorted[i],
					 "there is a gap in front of it, or it overlaps another");
		at = sorted[i]->end;
	}
	return at == z->central ? 0 : bad(e, "bytes of it belong to no entry");
}

static int read_all(struct zip *z, size_t max_entries, struct err *e)
{
	const unsigned char *end;
	size_t at, size, count, end_at;
	int r = find_end(z, &end_at, e);

	if (r < 0)
		return r;
	end = z->p + end_at;
	count = get16(end + 10);
	size = get32(end + 12);
	z->central = get32(end + 16);
	if (get16(end + 4) != 0 || get16(end + 6) != 0 || get16(end + 8) != count)
		return bad(e, "several disks are not supported");
	if (count > max_entries)
		return bad(e, "it has too many entries");
	/* What ZIP64 puts between the two makes them part, as does anything in front. */
	if (z->central > end_at || end_at - z->central != size)
		return bad(e, "its central directory is not where it should be");
	z->items = xcalloc(count + 1, sizeof(*z->items));
	at = z->central;
	for (size_t i = 0; r == 0 && i < count; i++) {
		z->nitems++; /* before it is filled: so that it is freed */
		r = read_central(z, &at, end_at, &z->items[i], e);
		if (r == 0)
			r = check_local(z, &z->items[i], e);
	}
	if (r == 0 && at != end_at)
		r = bad(e, "its central directory is damaged");
	if (r == 0)
		r = check_names(z, e);
	return r < 0 ? r : check_tiles(z, e);
}

int zip_open(const void *bytes, size_t n, size_t max_entries, struct zip **ret, struct err *e)
{
	struct zip *z = xcalloc(1, sizeof(*z));
	int r;

	z->p = bytes;
	z->n = n;
	r = read_all(z, max_entries, e);
	if (r < 0) {
		zip_close(z);
		return r;
	}
	*ret = z;
	return 0;
}

void zip_close(struct zip *z)
{
	if (!z)
		return;
	for (size_t i = 0; i < z->nitems; i++)
		free(z->items[i].entry.name);
	free(z->items);
	free(z);
}

size_t zip_count(const struct zip *z)
{
	return z->nitems;
}

const struct zip_entry *zip_at(const struct zip *z, size_t i)
{
	return &z->items[i].entry;
}

/* --- bytes ------------------------------------------------------------------------------------ */

/* Exactly it->packed bytes in, exactly it->entry.size bytes out. */
static int inflate_item(const struct zip *z, const struct zip_item *it, char *out)
{
	z_stream s = { .next_in = z->p + it->data,
		       .avail_in = it->packed,
		       .next_out = (unsigned char *)out,
		       .avail_out = (uInt)it->entry.size };
	bool ok;

	if (inflateInit2(&s, -MAX_WBITS) != Z_OK)
		mem_oom();
	ok = inflate(&s, Z_FINISH) == Z_STREAM_END && s.avail_in == 0 && s.avail_out == 0;
	inflateEnd(&s);
	return ok ? 0 : -EINVAL;
}

int zip_extract(const struct zip *z, size_t i, size_t max, struct buf *out, struct err *e)
{
	const struct zip_item *it = &z->items[i];
	auto_free char *bytes = NULL;
	size_t size = it->entry.size;

	if (size > max)
		return err_set(e, ERR_INPUT, -EFBIG, "it is larger than %zu bytes", max);
	bytes = xmalloc(size + 1);
	if (it->method == METHOD_STORED)
		memcpy(bytes, z->p + it->data, size);
	else if (inflate_item(z, it, bytes) < 0)
		return bad_entry(e, it, "its bytes are damaged");
	if (crc32(0, (const unsigned char *)bytes, (uInt)size) != it->crc)
		return bad_entry(e, it, "its checksum is wrong");
	buf_add(out, bytes, size);
	return 0;
}
