/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar_write: headers of entries.
 *
 * One block when everything fits; else an extended header ('x') with the values that do not, and a
 * main header with stand-ins.  The stand-ins are never used by a reader that knows pax.
 *
 * A file with holes has its map as text in front of its data: how many pieces, then offset and size
 * of each, a line each, filled up to a block.  GNU tar, libarchive and Go's archive/tar read it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/tar_internal.h"

static const char types[] = {
	[TAR_FILE] = '0', [TAR_HARDLINK] = '1', [TAR_SYMLINK] = '2',
	[TAR_DIR] = '5',  [TAR_FIFO] = '6',
};

static bool is_ascii(const char *s)
{
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s >= 0x80)
			return false;
	}
	return true;
}

/* Octal digits that fill a field but for its NUL; false when the value does not fit. */
static bool put_octal(char *field, size_t size, uint64_t value)
{
	char text[24];

	if (value >> (3 * (size - 1)) != 0)
		return false;
	snprintf(text, sizeof(text), "%0*" PRIo64, (int)(size - 1), value);
	memcpy(field, text, size);
	return true;
}

/* A pax record: its length, which counts its own digits, then "key=value\n". */
static void put_bytes_record(struct buf *pax, const char *key, const char *value, size_t n)
{
	size_t body = strlen(key) + n + 3;
	size_t total = body + 1;
	size_t digits = 1;

	for (size_t limit = 10; total >= limit; limit *= 10)
		total = body + ++digits;
	buf_printf(pax, "%zu %s=", total, key);
	buf_add(pax, value, n);
	buf_putc(pax, '\n');
}

static void put_record(struct buf *pax, const char *key, const char *value)
{
	put_bytes_record(pax, key, value, strlen(value));
}

static void put_number(char *field, size_t size, uint64_t value, const char *key, struct buf *pax)
{
	char text[24];

	if (put_octal(field, size, value))
		return;
	put_octal(field, size, 0);
	snprintf(text, sizeof(text), "%" PRIu64, value);
	put_record(pax, key, text);
}

static void put_mtime(struct tar_header *h, const struct tar_entry *entry, struct buf *pax)
{
	char text[48];
	uint64_t magnitude;
	uint32_t ns = entry->mtime_ns;

	if (entry->mtime >= 0 && ns == 0) {
		put_number(h->mtime, sizeof(h->mtime), (uint64_t)entry->mtime, "mtime", pax);
		return;
	}
	if (entry->mtime < 0 || !put_octal(h->mtime, sizeof(h->mtime), (uint64_t)entry->mtime))
		put_octal(h->mtime, sizeof(h->mtime), 0);
	magnitude = entry->mtime < 0 ? 0 - (uint64_t)entry->mtime : (uint64_t)entry->mtime;
	/* -1.5 s is second -2 and 0.5 s more. */
	if (entry->mtime < 0 && ns != 0) {
		magnitude--;
		ns = 1000000000 - ns;
	}
	snprintf(text, sizeof(text), "%s%" PRIu64 ".%09" PRIu32, entry->mtime < 0 ? "-" : "",
		 magnitude, ns);
	put_record(pax, "mtime", text);
}

/* The path into name and prefix, cut at a slash; false when it does not fit. */
static bool put_path(struct tar_header *h, const char *path, size_t n)
{
	if (n <= sizeof(h->name)) {
		memcpy(h->name, path, n);
		return true;
	}
	/* The last byte may be the slash of a directory, which belongs to the name. */
	for (size_t cut = n - 1; cut-- > 1;) {
		if (path[cut] != '/' || cut > sizeof(h->prefix))
			continue;
		if (n - cut - 1 > sizeof(h->name))
			return false;
		memcpy(h->prefix, path, cut);
		memcpy(h->name, path + cut + 1, n - cut - 1);
		return true;
	}
	return false;
}

static void seal(struct tar_header *h)
{
	char text[8];

	memcpy(h->magic,
	       "ustar\0"
	       "00",
	       sizeof(h->magic));
	snprintf(text, sizeof(text), "%06" PRIo32, tar_checksum(h));
	memcpy(h->checksum, text, 7);
	h->checksum[7] = ' ';
}

/* The extended header with the collected records, as an entry of its own. */
static void put_extended(struct buf *out, const struct buf *pax)
{
	struct tar_header h = { .name = "PaxHeader", .type = 'x' };

	put_octal(h.mode, sizeof(h.mode), 0600);
	put_octal(h.uid, sizeof(h.uid), 0);
	put_octal(h.gid, sizeof(h.gid), 0);
	put_octal(h.size, sizeof(h.size), pax->len);
	put_octal(h.mtime, sizeof(h.mtime), 0);
	seal(&h);
	buf_add(out, &h, sizeof(h));
	buf_add(out, pax->data, pax->len);
	tar_write_padding(out, pax->len);
}

/* Pieces as the reader wants them; *ret: their bytes. */
static bool pieces_ok(const struct tar_entry *entry, uint64_t *ret)
{
	uint64_t at = 0, sum = 0;

	if (entry->npieces > TAR_PIECES_MAX || entry->type != TAR_FILE)
		return false;
	for (size_t i = 0; i < entry->npieces; i++) {
		const struct tar_piece *p = &entry->pieces[i];

		if (p->offset < at || p->offset > entry->size || p->size > entry->size - p->offset)
			return false;
		at = p->offset + p->size;
		sum += p->size;
	}
	*ret = sum;
	return true;
}

static bool xattrs_ok(const struct tar_entry *entry)
{
	if (entry->nxattrs > TAR_XATTRS_MAX)
		return false;
	for (size_t i = 0; i < entry->nxattrs; i++) {
		const struct tar_xattr *x = &entry->xattrs[i];

		if (x->name[0] == '\0' || strlen(x->name) > TAR_XATTR_NAME_MAX ||
		    strchr(x->name, '=') || x->len > TAR_XATTR_VALUE_MAX)
			return false;
	}
	return true;
}

static int check(const struct tar_entry *entry, uint64_t *ret_stored, struct err *e)
{
	bool link = entry->type == TAR_SYMLINK || entry->type == TAR_HARDLINK;
	const char *why = NULL;

	*ret_stored = entry->size;
	if ((unsigned)entry->type >= ARRAY_SIZE(types))
		why = "unknown type of file";
	else if (entry->path[0] == '\0' || strlen(entry->path) >= TAR_NAME_MAX)
		why = "its name is empty or too long";
	else if (link && (entry->link == NULL || entry->link[0] == '\0' ||
			  strlen(entry->link) > TAR_NAME_MAX))
		why = "its target is empty or too long";
	else if (entry->type != TAR_FILE && entry->size != 0)
		why = "only files have data";
	else if (entry->size > INT64_MAX || entry->mtime_ns > 999999999)
		why = "a number is out of range";
	else if (entry->pieces && !pieces_ok(entry, ret_stored))
		why = "its pieces are out of order or too many";
	else if (!xattrs_ok(entry))
		why = "an attribute has no name or is too large";
	if (why == NULL)
		return 0;
	return err_set(e, ERR_INPUT, EINVAL, "cannot put a file into the archive: %s", why);
}

static void put_zeros(struct buf *out, size_t n)
{
	static const char zeros[2 * TAR_BLOCK];

	buf_add(out, zeros, n);
}

void tar_write_padding(struct buf *out, uint64_t size)
{
	put_zeros(out, (size_t)(-size % TAR_BLOCK));
}

void tar_write_end(struct buf *out)
{
	put_zeros(out, 2 * TAR_BLOCK);
}

static void put_xattrs(const struct tar_entry *entry, struct buf *pax)
{
	for (size_t i = 0; i < entry->nxattrs; i++) {
		const struct tar_xattr *x = &entry->xattrs[i];
		auto_free char *key = xasprintf("SCHILY.xattr.%s", x->name);

		put_bytes_record(pax, key, x->value, x->len);
	}
}

/* The records of a file with holes; its map goes into *map. */
static void put_holes(const struct tar_entry *entry, const char *path, struct buf *pax,
		      struct buf *map)
{
	char size[24];

	snprintf(size, sizeof(size), "%" PRIu64, entry->size);
	put_record(pax, "GNU.sparse.major", "1");
	put_record(pax, "GNU.sparse.minor", "0");
	put_record(pax, "GNU.sparse.name", path);
	put_record(pax, "GNU.sparse.realsize", size);
	buf_printf(map, "%zu\n", entry->npieces);
	for (size_t i = 0; i < entry->npieces; i++)
		buf_printf(map, "%" PRIu64 "\n%" PRIu64 "\n", entry->pieces[i].offset,
			   entry->pieces[i].size);
	tar_write_padding(map, map->len);
}

static void put_name(struct tar_header *h, const char *path, size_t n, struct buf *pax)
{
	if (is_ascii(path) && put_path(h, path, n))
		return;
	memset(h->prefix, 0, sizeof(h->prefix));
	memcpy(h->name, "long-name", 10);
	put_record(pax, "path", path);
}

static void put_link(struct tar_header *h, const char *link, struct buf *pax)
{
	size_t n = strlen(link);

	if (is_ascii(link) && n <= sizeof(h->link)) {
		memcpy(h->link, link, n);
	} else {
		memcpy(h->link, "long-name", 10);
		put_record(pax, "linkpath", link);
	}
}

int tar_write_header(struct buf *out, const struct tar_entry *entry, struct err *e)
{
	struct tar_header h = { 0 };
	auto_buf path = BUF_INIT;
	auto_buf pax = BUF_INIT;
	auto_buf map = BUF_INIT;
	uint64_t stored;
	int r = check(entry, &stored, e);

	if (r < 0)
		return r;
	buf_puts(&path, entry->path);
	while (path.len > 1 && path.data[path.len - 1] == '/')
		buf_truncate(&path, path.len - 1);
	if (entry->type == TAR_DIR && strcmp(path.data, "/") != 0)
		buf_putc(&path, '/');
	h.type = types[entry->type];
	if (entry->pieces) {
		/* Its real name is in the record that only readers of such files know. */
		memcpy(h.name, "GNUSparseFile.0", 16);
		put_holes(entry, path.data, &pax, &map);
	} else {
		put_name(&h, path.data, path.len, &pax);
	}
	if (entry->type == TAR_SYMLINK || entry->type == TAR_HARDLINK)
		put_link(&h, entry->link, &pax);
	put_octal(h.mode, sizeof(h.mode), entry->mode & 07777);
	put_number(h.uid, sizeof(h.uid), entry->uid, "uid", &pax);
	put_number(h.gid, sizeof(h.gid), entry->gid, "gid", &pax);
	put_number(h.size, sizeof(h.size), stored + map.len, "size", &pax);
	put_mtime(&h, entry, &pax);
	put_xattrs(entry, &pax);
	if (pax.len > TAR_META_MAX)
		return err_set(e, ERR_INPUT, EINVAL,
			       "cannot put a file into the archive: its attributes are too large");
	seal(&h);
	if (pax.len != 0)
		put_extended(out, &pax);
	buf_add(out, &h, sizeof(h));
	buf_add(out, map.data, map.len);
	return 0;
}
