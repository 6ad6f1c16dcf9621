/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of base/tar.c and base/tar_write.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/tar_internal.h"

static const struct tar_limits wide = { 1000, 1ULL << 40, 1ULL << 40 };

/* Read a whole archive in steps; what was seen as one text, or the failure. */
static int read_all(const struct buf *b, size_t step, const struct tar_limits *limits,
		    struct buf *seen)
{
	auto_tar_reader r = tar_reader_new(limits);
	uint64_t place = 0;

	for (size_t at = 0; at < b->len;) {
		size_t n = b->len - at < step ? b->len - at : step;
		struct tar_event ev;

		do {
			size_t used;
			int rc = tar_reader_feed(r, b->data + at, n, &used, &ev, NULL);

			if (rc < 0)
				return rc;
			at += used;
			n -= used;
			if (ev.kind == TAR_ENTRY)
				buf_printf(seen, "[%u %s>%s %o %llu:%llu %lld.%u]", ev.entry.type,
					   ev.entry.path, ev.entry.link ? ev.entry.link : "",
					   ev.entry.mode, (unsigned long long)ev.entry.uid,
					   (unsigned long long)ev.entry.size,
					   (long long)ev.entry.mtime, ev.entry.mtime_ns);
			for (size_t i = 0; ev.kind == TAR_ENTRY && i < ev.entry.nxattrs; i++) {
				buf_printf(seen, "{%s=", ev.entry.xattrs[i].name);
				buf_add(seen, ev.entry.xattrs[i].value, ev.entry.xattrs[i].len);
				buf_putc(seen, '}');
			}
			if (ev.kind == TAR_ENTRY && ev.entry.device_major)
				buf_printf(seen, "{%u:%u}", ev.entry.device_major,
					   ev.entry.device_minor);
			if (ev.kind == TAR_DATA && ev.offset != place) {
				buf_printf(seen, "@%llu:", (unsigned long long)ev.offset);
				place = ev.offset;
			}
			if (ev.kind == TAR_DATA) {
				buf_add(seen, ev.data, ev.len);
				place += ev.len;
			}
			if (ev.kind == TAR_ENTRY)
				place = 0;
			if (ev.kind == TAR_ENTRY_END)
				buf_putc(seen, ';');
		} while (ev.kind != TAR_MORE && ev.kind != TAR_END);
	}
	return tar_reader_finish(r, NULL);
}

static void add(struct buf *b, struct tar_entry entry, const char *data)
{
	entry.size = strlen(data);
	assert_int_equal(tar_write_header(b, &entry, NULL), 0);
	buf_puts(b, data);
	tar_write_padding(b, entry.size);
}

static void test_round_trip(void **state)
{
	auto_buf b = BUF_INIT, whole = BUF_INIT, single = BUF_INIT, want = BUF_INIT;
	auto_buf longest = BUF_INIT;

	(void)state;
	for (int i = 0; i < 300; i++)
		buf_puts(&longest, "dir/");
	buf_puts(&longest, "\xc3\xa4");
	add(&b, (struct tar_entry){ .type = TAR_DIR, .path = "d//", .mode = 01777, .mtime = 5 },
	    "");
	add(&b, (struct tar_entry){ .path = "d/f", .mode = 0644, .uid = 4294967294 }, "hello");
	add(&b, (struct tar_entry){ .path = longest.data, .mtime = -2, .mtime_ns = 500000000 },
	    "x");
	add(&b, (struct tar_entry){ .type = TAR_SYMLINK, .path = "s", .link = longest.data }, "");
	add(&b, (struct tar_entry){ .type = TAR_HARDLINK, .path = "h", .link = "d/f" }, "");
	add(&b, (struct tar_entry){ .path = "t", .mtime = 1LL << 40, .mtime_ns = 7 }, "");
	tar_write_end(&b);
	assert_int_equal(b.len % TAR_BLOCK, 0);
	assert_int_equal(read_all(&b, b.len, &wide, &whole), 0);
	assert_int_equal(read_all(&b, 1, &wide, &single), 0);
	buf_printf(&want,
		   "[1 d> 1777 0:0 5.0];[0 d/f> 644 4294967294:5 0.0]hello;"
		   "[0 %s> 0 0:1 -2.500000000]x;[2 s>%s 0 0:0 0.0];[3 h>d/f 0 0:0 0.0];"
		   "[0 t> 0 0:0 1099511627776.7];",
		   longest.data, longest.data);
	assert_string_equal(buf_str(&whole), want.data);
	assert_string_equal(buf_str(&single), want.data);
}

/* Every length around the limits of name and prefix. */
static void test_lengths(void **state)
{
	(void)state;
	for (size_t n = 90; n < 300; n++) {
		auto_buf b = BUF_INIT, seen = BUF_INIT, path = BUF_INIT;

		for (size_t i = 0; i < n; i++)
			buf_putc(&path, i % 50 == 49 && i + 1 < n ? '/' : 'p');
		add(&b, (struct tar_entry){ .type = TAR_DIR, .path = path.data }, "");
		tar_write_end(&b);
		assert_int_equal(read_all(&b, 512, &wide, &seen), 0);
		assert_int_equal(strncmp(seen.data + 3, path.data, n), 0);
		assert_int_equal(seen.data[3 + n], '>');
	}
}

static void test_big_size(void **state)
{
	struct tar_entry entry = { .path = "big", .size = 1ULL << 35 };
	auto_tar_reader r = tar_reader_new(&wide);
	auto_buf b = BUF_INIT;
	struct tar_event ev;
	size_t used;

	(void)state;
	assert_int_equal(tar_write_header(&b, &entry, NULL), 0);
	assert_int_equal(tar_reader_feed(r, b.data, b.len, &used, &ev, NULL), 0);
	assert_int_equal(ev.kind, TAR_ENTRY);
	assert_true(ev.entry.size == 1ULL << 35);
	assert_int_equal(tar_reader_finish(r, NULL), -EBADMSG);
}

static void test_write_refused(void **state)
{
	static const struct tar_entry bad[] = {
		{ .path = "" },
		{ .path = "x", .type = TAR_TYPE_MAX },
		{ .path = "x", .type = TAR_SYMLINK },
		{ .path = "x", .type = TAR_HARDLINK, .link = "" },
		{ .path = "x", .type = TAR_DIR, .size = 1 },
		{ .path = "x", .size = UINT64_MAX },
		{ .path = "x", .mtime_ns = 1000000000 },
	};
	auto_buf b = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(tar_write_header(&b, &bad[i], NULL), -EINVAL);
	assert_int_equal(b.len, 0);
}

/* A header made by hand, with a right checksum. */
static void raw(struct buf *b, struct tar_header h, const char *data, size_t n)
{
	if (h.magic[0] == '\0')
		memcpy(h.magic,
		       "ustar\0"
		       "00",
		       8);
	if (h.name[0] == '\0')
		h.name[0] = 'n';
	for (size_t i = 0, v = n; i < 11; i++, v /= 8)
		h.size[10 - i] = (char)('0' + v % 8);
	for (uint32_t i = 0, v = tar_checksum(&h); i < 6; i++, v /= 8)
		h.checksum[5 - i] = (char)('0' + v % 8);
	buf_add(b, &h, sizeof(h));
	buf_add(b, data, n);
	tar_write_padding(b, n);
}

static int verdict(struct buf *b, struct buf *seen)
{
	int r;

	tar_write_end(b);
	r = read_all(b, 512, &wide, seen);
	buf_reset(b);
	return r;
}

static void test_gnu(void **state)
{
	auto_buf b = BUF_INIT, seen = BUF_INIT;
	struct tar_header gnu = { .type = '0', .prefix = "not a prefix" };

	(void)state;
	memcpy(gnu.magic, "ustar  ", 8);
	raw(&b, (struct tar_header){ .type = 'L' }, "long/name\0", 10);
	raw(&b, (struct tar_header){ .type = 'K' }, "long target", 11);
	raw(&b, (struct tar_header){ .type = '2', .link = "t" }, "", 0);
	raw(&b, gnu, "", 0);
	raw(&b, (struct tar_header){ .type = 'g' }, "14 comment=ab\n", 14);
	raw(&b, (struct tar_header){ .prefix = "p", .type = '\0' }, "", 0);
	assert_int_equal(verdict(&b, &seen), 0);
	assert_string_equal(buf_str(&seen), "[2 long/name>long target 0 0:0 0.0];[0 n> 0 0:0 0.0];"
					    "[0 p/n> 0 0:0 0.0];");
}

static void test_refused_headers(void **state)
{
	static const struct {
		struct tar_header h;
		const char *data;
		int r;
	} cases[] = {
		{ { .type = 'S' }, "", -ENOTSUP },
		{ { .type = '3' }, "", -ENOTSUP },
		{ { .type = '6' }, "", -ENOTSUP },
		{ { .type = 'V' }, "", -ENOTSUP },
		{ { .type = '5' }, "data", -EBADMSG },
		{ { .type = '2', .link = "t" }, "data", -EBADMSG },
		{ { .type = '2' }, "", -EBADMSG },
		{ { .type = '0', .name = "a\0b" }, "", -EBADMSG },
		{ { .type = '0', .name = "file/" }, "", -EBADMSG },
		{ { .type = '0', .magic = "nostar" }, "", -ENOTSUP },
		{ { .type = '0', .mode = "9" }, "", -EBADMSG },
		{ { .type = '0', .uid = "1 2" }, "", -EBADMSG },
		{ { .type = 'x' }, "9 path=a\n", 0 },
		{ { .type = 'x' }, "10 path=\n", -EBADMSG },
		{ { .type = 'x' }, "8 path=\n", -EBADMSG },
		{ { .type = 'x' }, "9 path=a", -EBADMSG },
		{ { .type = 'x' }, "09 path=a\n", -EBADMSG },
		{ { .type = 'x' }, "9999999 path=a\n", -EBADMSG },
		{ { .type = 'x' }, "5 abc\n", -EBADMSG },
		{ { .type = 'x' }, "9 path=a\n9 path=b\n", -EBADMSG },
		{ { .type = 'x' }, "11 size=-1\n", -EBADMSG },
		{ { .type = 'x' }, "18 GNU.sparse.a=b\n", -ENOTSUP },
		{ { .type = 'g' }, "9 path=a\n", -ENOTSUP },
		{ { .type = 'L' }, "", -EBADMSG },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_buf b = BUF_INIT, seen = BUF_INIT;
		int r;

		raw(&b, cases[i].h, cases[i].data, strlen(cases[i].data));
		raw(&b, (struct tar_header){ .type = '0' }, "", 0);
		r = verdict(&b, &seen);
		if (r != cases[i].r)
			fail_msg("case %zu: %d", i, r);
	}
}

static void test_refused_sequences(void **state)
{
	auto_buf b = BUF_INIT, seen = BUF_INIT, longest = BUF_INIT;
	const struct tar_header x = { .type = 'x' }, f = { .type = '0' }, l = { .type = 'L' };

	(void)state;
	/* One name from each of two headers, and two extended headers. */
	raw(&b, l, "a", 1);
	raw(&b, x, "9 path=b\n", 9);
	raw(&b, f, "", 0);
	assert_int_equal(verdict(&b, &seen), -EBADMSG);
	raw(&b, x, "7 a=bc\n", 7);
	raw(&b, x, "7 a=bc\n", 7);
	raw(&b, f, "", 0);
	assert_int_equal(verdict(&b, &seen), -EBADMSG);
	/* An extended header in front of the end. */
	raw(&b, x, "9 path=b\n", 9);
	assert_int_equal(verdict(&b, &seen), -EBADMSG);
	raw(&b, x, "12 path=a\0b\n", 12);
	raw(&b, f, "", 0);
	assert_int_equal(verdict(&b, &seen), -EBADMSG);
	for (int i = 0; i < TAR_NAME_MAX; i++)
		buf_putc(&longest, 'a');
	raw(&b, l, longest.data, longest.len);
	raw(&b, f, "", 0);
	assert_int_equal(verdict(&b, &seen), 0);
	buf_putc(&longest, 'a');
	raw(&b, l, longest.data, longest.len);
	raw(&b, f, "", 0);
	assert_int_equal(verdict(&b, &seen), -EBADMSG);
	raw(&b, f, "", 0);
	b.data[0] ^= 1;
	assert_int_equal(verdict(&b, &seen), -EBADMSG);
}

/* The size of an extended header's value decides where the next header is, and nothing else does.
 */
static void test_one_length(void **state)
{
	auto_buf b = BUF_INIT, seen = BUF_INIT, inner = BUF_INIT;

	(void)state;
	raw(&inner, (struct tar_header){ .type = '0', .name = "smuggled" }, "", 0);
	raw(&b, (struct tar_header){ .type = 'x' }, "12 size=512\n", 12);
	raw(&b, (struct tar_header){ .type = '0' }, "", 0);
	buf_add(&b, inner.data, inner.len);
	assert_int_equal(verdict(&b, &seen), 0);
	assert_int_equal(strncmp(buf_str(&seen), "[0 n> 0 0:512 0.0]smuggled", 26), 0);
	assert_null(strstr(buf_str(&seen), "[0 smuggled"));
}

static void test_limits(void **state)
{
	const struct tar_limits few = { 1, 100, 100 }, small = { 9, 4, 100 }, total = { 9, 9, 9 };
	auto_buf b = BUF_INIT, seen = BUF_INIT;

	(void)state;
	add(&b, (struct tar_entry){ .path = "a" }, "12345");
	add(&b, (struct tar_entry){ .path = "b" }, "12345");
	tar_write_end(&b);
	assert_int_equal(read_all(&b, 512, &few, &seen), -EFBIG);
	assert_int_equal(read_all(&b, 512, &small, &seen), -EFBIG);
	assert_int_equal(read_all(&b, 512, &total, &seen), -EFBIG);
	buf_truncate(&b, b.len - TAR_BLOCK);
	assert_int_equal(read_all(&b, 512, &wide, &seen), -EBADMSG);
}

static void test_layer(void **state)
{
	static const char pax[] = "27 SCHILY.xattr.user.a=1\0002\n"
				  "24 SCHILY.xattr.user.b=\n"
				  "25 LIBARCHIVE.xattr.c=eA\n";
	static const char twice[] = "25 SCHILY.xattr.user.a=1\n25 SCHILY.xattr.user.a=1\n";
	static const char first[] = "[0 n> 0 0:4 0.0]{user.a=1\0002}{user.b=}data;[0 n>";
	struct tar_limits layer = wide;
	auto_buf b = BUF_INIT, seen = BUF_INIT, special = BUF_INIT;
	auto_buf bad = BUF_INIT;

	(void)state;
	layer.layer = true;
	/* Attributes belong to one entry; its end may be the end of everything. */
	raw(&b, (struct tar_header){ .type = 'x' }, pax, sizeof(pax) - 1);
	raw(&b, (struct tar_header){ .type = '0' }, "data", 4);
	raw(&b, (struct tar_header){ .type = '0' }, "", 0);
	assert_int_equal(read_all(&b, b.len, &layer, &seen), 0);
	assert_memory_equal(buf_str(&seen), first, sizeof(first) - 1);
	assert_int_equal(read_all(&b, b.len, &wide, &seen), -EBADMSG);
	buf_truncate(&b, b.len - 1);
	assert_int_equal(read_all(&b, 7, &layer, &seen), -EBADMSG);

	raw(&special, (struct tar_header){ .type = '6' }, "", 0);
	raw(&special, (struct tar_header){ .type = '3', .devmajor = "5", .devminor = "11" }, "", 0);
	buf_reset(&seen);
	assert_int_equal(read_all(&special, 1, &layer, &seen), 0);
	assert_string_equal(buf_str(&seen), "[4 n> 0 0:0 0.0];[5 n> 0 0:0 0.0]{5:9};");
	assert_int_equal(read_all(&special, 1, &wide, &seen), -ENOTSUP);

	raw(&bad, (struct tar_header){ .type = 'x' }, twice, sizeof(twice) - 1);
	raw(&bad, (struct tar_header){ .type = '0' }, "", 0);
	assert_int_equal(read_all(&bad, 512, &layer, &seen), -EBADMSG);
	/* An extended header without entry is truncation. */
	buf_reset(&bad);
	raw(&bad, (struct tar_header){ .type = 'x' }, pax, sizeof(pax) - 1);
	assert_int_equal(read_all(&bad, 512, &layer, &seen), -EBADMSG);
	buf_reset(&bad);
	assert_int_equal(read_all(&bad, 512, &layer, &seen), 0);
}

/* GNU's header of a sparse file: pieces of two fields, whether it goes on, the size. */
static void sparse_field(char *at, uint64_t value)
{
	snprintf(at, 12, "%011llo", (unsigned long long)value);
}

static int read_sparse(const struct buf *b, size_t step, struct buf *seen)
{
	struct tar_limits layer = wide;

	layer.layer = true;
	buf_reset(seen);
	return read_all(b, step, &layer, seen);
}

static void test_sparse_gnu(void **state)
{
	struct tar_header h = { .type = 'S' };
	char *bytes = (char *)&h;
	char more[TAR_BLOCK] = { 0 };
	auto_buf b = BUF_INIT, seen = BUF_INIT;
	char data[TAR_BLOCK * 2 + 14];

	(void)state;
	memcpy(h.magic, "ustar  ", 8);
	sparse_field(bytes + 386, 10);
	sparse_field(bytes + 398, 3);
	sparse_field(bytes + 410, 20);
	sparse_field(bytes + 422, 2);
	sparse_field(bytes + 483, 100);
	raw(&b, h, "abcde", 5);
	for (size_t step = 1; step < 700; step += 233) {
		assert_int_equal(read_sparse(&b, step, &seen), 0);
		if (step > 1)
			assert_string_equal(buf_str(&seen), "[0 n> 0 0:100 0.0]@10:abc@20:de;");
	}
	/* In an archive that is no layer it is not known. */
	assert_int_equal(read_all(&b, 512, &wide, &seen), -ENOTSUP);
	/* What is stored must be exactly the pieces, in order and in bounds. */
	for (size_t i = 0; i < 4; i++) {
		static const struct {
			unsigned at;
			unsigned value;
		} wrong[] = { { 398, 4 }, { 410, 12 }, { 410, 99 }, { 483, 21 } };
		struct tar_header bad = h;

		sparse_field((char *)&bad + wrong[i].at, wrong[i].value);
		buf_reset(&b);
		raw(&b, bad, "abcde", 5);
		assert_int_equal(read_sparse(&b, 512, &seen), -EBADMSG);
	}
	/* The map goes on in a block of its own, which the size does not count. */
	bytes[482] = 1;
	sparse_field(more, 50);
	sparse_field(more + 12, 1);
	buf_reset(&b);
	memset(data, 0, sizeof(data));
	raw(&b, h, data, 6);
	buf_truncate(&b, TAR_BLOCK);
	buf_add(&b, more, sizeof(more));
	buf_puts(&b, "abcdef");
	tar_write_padding(&b, 6);
	assert_int_equal(read_sparse(&b, 700, &seen), 0);
	assert_string_equal(buf_str(&seen), "[0 n> 0 0:100 0.0]@10:abc@20:de@50:f;");
}

static void sparse_pax(struct buf *b, const char *map, const char *data)
{
	static const char pax[] = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
				  "25 GNU.sparse.name=where\n28 GNU.sparse.realsize=1000\n";
	char stored[TAR_BLOCK + 100] = { 0 };

	buf_reset(b);
	raw(b, (struct tar_header){ .type = 'x' }, pax, sizeof(pax) - 1);
	memcpy(stored, map, strlen(map));
	memcpy(stored + TAR_BLOCK, data, strlen(data));
	raw(b, (struct tar_header){ .type = '0' }, stored, TAR_BLOCK + strlen(data));
}

static void test_sparse_pax(void **state)
{
	static const char *const wrong[] = {
		"2\n0\n3\n",	       /* truncated */
		"1\n0\n3\n",	       /* less than is stored */
		"2\n5\n3\n0\n2\n",     /* out of order */
		"2\n0\n3\n999\n2\n",   /* out of bounds */
		"99999999\n",	       /* too many */
		"2\n\n0\n3\n500\n2\n", /* an empty line */
		"2\n0\n-3\n500\n2\n",  /* no number */
		"2\n0\n3\n18446744073709551615\n2\n",
	};
	auto_buf b = BUF_INIT, seen = BUF_INIT;

	(void)state;
	sparse_pax(&b, "2\n0\n3\n500\n2\n", "abcde");
	assert_int_equal(read_sparse(&b, 700, &seen), 0);
	assert_string_equal(buf_str(&seen), "[0 where> 0 0:1000 0.0]abc@500:de;");
	assert_int_equal(read_sparse(&b, 1, &seen), 0);
	assert_int_equal(read_all(&b, 512, &wide, &seen), -ENOTSUP);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		sparse_pax(&b, wrong[i], "abcde");
		assert_int_equal(read_sparse(&b, 700, &seen), -EBADMSG);
	}
}

static void test_write_layer(void **state)
{
	const struct tar_xattr xattrs[] = { { "user.a", "x\ny=\0z", 6 }, { "user.b", "", 0 } };
	const struct tar_piece pieces[] = { { 512, 3 }, { 1000, 0 }, { 5000, 4 } };
	struct tar_limits layer = wide;
	struct tar_entry entry = { .path = "holes/\xc3\xa4",
				   .size = 6000,
				   .pieces = pieces,
				   .npieces = ARRAY_SIZE(pieces),
				   .xattrs = xattrs,
				   .nxattrs = ARRAY_SIZE(xattrs) };
	auto_buf b = BUF_INIT, whole = BUF_INIT, single = BUF_INIT, want = BUF_INIT;

	(void)state;
	layer.layer = true;
	add(&b, (struct tar_entry){ .type = TAR_FIFO, .path = "fifo", .mode = 0600 }, "");
	assert_int_equal(tar_write_header(&b, &entry, NULL), 0);
	buf_puts(&b, "ABCdefg");
	tar_write_padding(&b, 7);
	/* Nothing but a hole. */
	entry = (struct tar_entry){ .path = "h", .size = 1ULL << 33, .pieces = pieces };
	assert_int_equal(tar_write_header(&b, &entry, NULL), 0);
	add(&b, (struct tar_entry){ .path = "last" }, "text");
	tar_write_end(&b);
	assert_int_equal(read_all(&b, b.len, &layer, &whole), 0);
	assert_int_equal(read_all(&b, 1, &layer, &single), 0);
	buf_puts(&want, "[4 fifo> 600 0:0 0.0];"
			"[0 holes/\xc3\xa4> 0 0:6000 0.0]{user.a=x\ny=");
	buf_add(&want, "\0z}{user.b=}", 12);
	buf_puts(&want, "@512:ABC@5000:defg;[0 h> 0 0:8589934592 0.0];[0 last> 0 0:4 0.0]text;");
	assert_int_equal(whole.len, want.len);
	assert_memory_equal(whole.data, want.data, want.len);
	assert_int_equal(single.len, want.len);

	/* Out of order, beyond the end, and not of a file. */
	entry = (struct tar_entry){ .path = "x", .size = 5003, .pieces = pieces, .npieces = 3 };
	assert_int_equal(tar_write_header(&b, &entry, NULL), -EINVAL);
	entry.size = 6000;
	entry.pieces = (const struct tar_piece[]){ { 9, 2 }, { 10, 1 } };
	entry.npieces = 2;
	assert_int_equal(tar_write_header(&b, &entry, NULL), -EINVAL);
	entry = (struct tar_entry){ .type = TAR_DIR, .path = "x", .pieces = pieces };
	assert_int_equal(tar_write_header(&b, &entry, NULL), -EINVAL);
	entry = (struct tar_entry){ .path = "x", .xattrs = &(struct tar_xattr){ "a=b", "", 0 } };
	entry.nxattrs = 1;
	assert_int_equal(tar_write_header(&b, &entry, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_big_size),
		cmocka_unit_test(test_write_refused),
		cmocka_unit_test(test_gnu),
		cmocka_unit_test(test_refused_headers),
		cmocka_unit_test(test_refused_sequences),
		cmocka_unit_test(test_one_length),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_layer),
		cmocka_unit_test(test_sparse_gnu),
		cmocka_unit_test(test_sparse_pax),
		cmocka_unit_test(test_write_layer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
