/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of image/layer_*.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <zlib.h>
#include <zstd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "image/build_internal.h"
#include "image/layer_internal.h"

static void test_names(void **state)
{
	static const struct {
		const char *name;
		enum layer_name_kind kind;
		const char *path;
	} good[] = {
		{ ".", LAYER_NAME_ROOT, "" },
		{ "./", LAYER_NAME_ROOT, "" },
		{ "///", LAYER_NAME_ROOT, "" },
		{ "/etc/passwd", LAYER_NAME_PLAIN, "etc/passwd" },
		{ "./a//b/./c", LAYER_NAME_PLAIN, "a/b/c" },
		{ "...", LAYER_NAME_PLAIN, "..." },
		{ "a/.wh", LAYER_NAME_PLAIN, "a/.wh" },
		{ "a\nb", LAYER_NAME_PLAIN, "a\nb" },
		{ ".wh.x", LAYER_NAME_WHITEOUT, "x" },
		{ "a/b/.wh.x", LAYER_NAME_WHITEOUT, "a/b/x" },
		{ "a/.wh....", LAYER_NAME_WHITEOUT, "a/..." },
		{ "/.wh..wh..opq", LAYER_NAME_OPAQUE, "" },
		{ "a/b/.wh..wh..opq", LAYER_NAME_OPAQUE, "a/b" },
		{ ".wh..wh.plnk", LAYER_NAME_IGNORED, NULL },
		{ ".wh..wh.plnk/123.456", LAYER_NAME_IGNORED, NULL },
		{ "a/.wh..wh.aufs", LAYER_NAME_IGNORED, NULL },
	};
	static const char *const bad[] = {
		"..",	   "../x",   "a/../b",		"a/..",	       "/../x",
		".wh.",	   ".wh..",  ".wh...",		"a/.wh.",      "a/.wh...",
		".wh.x/b", ".wh./b", "d/.wh.../secret", "a/.wh.x/c/d", ".wh..wh..opq/x",
	};
	struct layer_name n = { 0 };
	auto_buf deep = BUF_INIT;
	char wide[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(layer_name_parse(good[i].name, &n, NULL), 0);
		assert_int_equal(n.kind, good[i].kind);
		if (good[i].path)
			assert_string_equal(buf_str(&n.path), good[i].path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(layer_name_parse(bad[i], &n, NULL), -EINVAL);
	for (size_t i = 0; i < LAYER_DEPTH_MAX; i++)
		buf_puts(&deep, i ? "/d" : "d");
	assert_int_equal(layer_name_parse(deep.data, &n, NULL), 0);
	buf_puts(&deep, "/d");
	assert_int_equal(layer_name_parse(deep.data, &n, NULL), -EINVAL);
	memset(wide, 'w', sizeof(wide));
	wide[LAYER_COMPONENT_MAX] = '\0';
	assert_int_equal(layer_name_parse(wide, &n, NULL), 0);
	wide[LAYER_COMPONENT_MAX] = 'w';
	wide[LAYER_COMPONENT_MAX + 1] = '\0';
	assert_int_equal(layer_name_parse(wide, &n, NULL), -EINVAL);
	buf_free(&n.path);
}

static void test_attributes(void **state)
{
	static const char v2[] = "\1\0\0\2"
				 "0123456789abcdef";
	static const char v3[] = "\1\0\0\3"
				 "0123456789abcdef"
				 "\350\3\0\0";
	static const char v1[] = "\1\0\0\1"
				 "01234567";
	char out[LAYER_CAPABILITY_SIZE];
	uint32_t id;

	(void)state;
	assert_int_equal(layer_xattr_class("user.x"), LAYER_XATTR_KEEP);
	assert_int_equal(layer_xattr_class("user.overlay"), LAYER_XATTR_KEEP);
	assert_int_equal(layer_xattr_class("user.overlay.opaque"), LAYER_XATTR_DROP);
	assert_int_equal(layer_xattr_class("user."), LAYER_XATTR_DROP);
	assert_int_equal(layer_xattr_class("trusted.overlay.opaque"), LAYER_XATTR_DROP);
	assert_int_equal(layer_xattr_class("security.selinux"), LAYER_XATTR_DROP);
	assert_int_equal(layer_xattr_class("system.posix_acl_access"), LAYER_XATTR_DROP);
	assert_int_equal(layer_xattr_class("security.capability"), LAYER_XATTR_CAPABILITY);

	assert_int_equal(layer_capability(v2, sizeof(v2) - 1, out), 0);
	assert_memory_equal(out, v2, sizeof(out));
	assert_int_equal(layer_capability(v3, sizeof(v3) - 1, out), 0);
	assert_memory_equal(out, v2, sizeof(out));
	assert_int_equal(layer_capability(v1, sizeof(v1) - 1, out), -EINVAL);
	assert_int_equal(layer_capability(v3, sizeof(out), out), -EINVAL);
	assert_int_equal(layer_capability(v2, 0, out), -EINVAL);

	assert_int_equal(layer_owner(65535, 65536, &id), 0);
	assert_int_equal(id, 65535);
	assert_int_equal(layer_owner(65536, 65536, &id), 0);
	assert_int_equal(id, 65534);
	assert_int_equal(layer_owner(UINT32_MAX, 65536, &id), -EINVAL);
	assert_int_equal(layer_owner(1ULL << 32, 65536, &id), -EINVAL);
}

/* Inflate in steps of input and output. */
static int inflate_by(struct layer_inflate *f, const struct buf *b, size_t step, size_t cap,
		      struct buf *out)
{
	int r = 0;

	buf_reset(out);
	for (size_t at = 0; at < b->len && r == 0; at += step) {
		const char *in = b->data + at;
		size_t n = b->len - at < step ? b->len - at : step;
		size_t got;

		do {
			char piece[64];

			r = layer_inflate(f, &in, &n, piece, cap, &got, NULL);
			buf_add(out, piece, got);
		} while (r == 0 && got > 0);
		if (r == 0)
			assert_int_equal(n, 0);
	}
	if (r == 0)
		r = layer_inflate_finish(f, NULL);
	layer_inflate_free(f);
	return r;
}

static int inflate_steps(const struct buf *b, size_t step, size_t cap, struct buf *out)
{
	return inflate_by(layer_inflate_new(), b, step, cap, out);
}

static void add_gzip(struct buf *b, const char *text)
{
	unsigned char out[1024];
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (unsigned char *)(uintptr_t)text;
	z.avail_in = (unsigned)strlen(text);
	z.next_out = out;
	z.avail_out = sizeof(out);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	buf_add(b, out, sizeof(out) - z.avail_out);
	deflateEnd(&z);
}

static void add_zstd(struct buf *b, const char *text)
{
	char out[1024];
	size_t n = ZSTD_compress(out, sizeof(out), text, strlen(text), 3);

	assert_false(ZSTD_isError(n));
	buf_add(b, out, n);
}

/* Every way to cut it gives the text; every way to cut it short is an error. */
static void check_stream(const struct buf *b, const char *want)
{
	auto_buf out = BUF_INIT;

	for (size_t step = 1; step < 40; step++) {
		assert_int_equal(inflate_steps(b, step, 1 + step % 64, &out), 0);
		assert_string_equal(buf_str(&out), want);
	}
}

static void test_inflate(void **state)
{
	auto_buf gz = BUF_INIT, zst = BUF_INIT, plain = BUF_INIT, out = BUF_INIT, window = BUF_INIT;
	static const char skippable[] = "\x5a\x2a\x4d\x18\3\0\0\0abc";
	/* A frame whose window is 64 MiB. */
	static const char wide[] = "\x28\xb5\x2f\xfd\0\x80\1\0\0";

	(void)state;
	add_gzip(&gz, "hello ");
	add_gzip(&gz, "");
	add_gzip(&gz, "world, world, world, world, world, world, world");
	check_stream(&gz, "hello world, world, world, world, world, world, world");
	buf_add(&gz, "\0\0\0", 3);
	check_stream(&gz, "hello world, world, world, world, world, world, world");
	buf_putc(&gz, 'x');
	assert_int_equal(inflate_steps(&gz, 5, 9, &out), -EBADMSG);
	buf_truncate(&gz, gz.len - 5);
	assert_int_equal(inflate_steps(&gz, 5, 9, &out), -EBADMSG);

	buf_add(&zst, skippable, sizeof(skippable) - 1);
	add_zstd(&zst, "hello ");
	add_zstd(&zst, "world, world, world, world, world, world, world");
	buf_add(&zst, skippable, sizeof(skippable) - 1);
	check_stream(&zst, "hello world, world, world, world, world, world, world");
	buf_truncate(&zst, zst.len - sizeof(skippable) - 1);
	assert_int_equal(inflate_steps(&zst, 5, 9, &out), -EBADMSG);
	buf_add(&window, wide, sizeof(wide) - 1);
	assert_int_equal(inflate_steps(&window, 5, 9, &out), -EBADMSG);

	buf_puts(&plain, "neither of them");
	check_stream(&plain, "neither of them");
	buf_reset(&plain);
	assert_int_equal(inflate_steps(&plain, 5, 9, &out), 0);
}

/* Two streams of "hello " and "world". */
static const char bzip2_streams[] =
	"\102\132\150\071\061\101\131\046\123\131\166\151\340\324\000\000\001\021\000\100"
	"\000\002\104\240\000\060\315\000\303\106\051\227\027\162\105\070\120\220\166\151"
	"\340\324\102\132\150\071\061\101\131\046\123\131\131\316\173\313\000\000\002\001"
	"\200\004\004\220\200\040\000\060\315\000\301\244\300\161\167\044\123\205\011\005"
	"\234\347\274\260";
static const char xz_streams[] =
	"\375\067\172\130\132\000\000\004\346\326\264\106\002\000\041\001\026\000\000\000"
	"\164\057\345\243\001\000\005\150\145\154\154\157\040\000\000\000\012\260\257\004"
	"\272\005\357\030\000\001\036\006\301\057\244\035\037\266\363\175\001\000\000\000"
	"\000\004\131\132\375\067\172\130\132\000\000\004\346\326\264\106\002\000\041\001"
	"\026\000\000\000\164\057\345\243\001\000\004\167\157\162\154\144\000\000\000\000"
	"\370\130\341\124\372\374\020\076\000\001\035\005\270\055\200\257\037\266\363\175"
	"\001\000\000\000\000\004\131\132";

static void test_inflate_archive(void **state)
{
	static const struct {
		enum layer_more_kind kind;
		const char *bytes;
		size_t n;
	} all[] = {
		{ LAYER_MORE_BZIP2, bzip2_streams, sizeof(bzip2_streams) - 1 },
		{ LAYER_MORE_XZ, xz_streams, sizeof(xz_streams) - 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		auto_buf in = BUF_INIT, out = BUF_INIT;

		buf_add(&in, all[i].bytes, all[i].n);
		/* Of a layer it is not taken away. */
		assert_int_equal(inflate_steps(&in, 7, 9, &out), 0);
		assert_memory_equal(out.data, in.data, in.len);
		if (!layer_more_is_there(all[i].kind)) {
			assert_int_equal(inflate_by(layer_inflate_new_archive(), &in, 7, 9, &out),
					 -ENOTSUP);
			continue;
		}
		for (size_t step = 1; step < 40; step++) {
			assert_int_equal(inflate_by(layer_inflate_new_archive(), &in, step,
						    1 + step % 64, &out),
					 0);
			assert_string_equal(buf_str(&out), "hello world");
		}
		in.data[in.len / 2] ^= 1;
		assert_int_equal(inflate_by(layer_inflate_new_archive(), &in, 7, 9, &out),
				 -EBADMSG);
		in.data[in.len / 2] ^= 1;
		buf_truncate(&in, in.len - 1);
		assert_int_equal(inflate_by(layer_inflate_new_archive(), &in, 7, 9, &out),
				 -EBADMSG);
	}
}

/* The first block of an archive, and what is none. */
static void test_is_tar(void **state)
{
	auto_buf head = BUF_INIT;
	char zeros[TAR_BLOCK] = { 0 };

	(void)state;
	assert_int_equal(tar_write_header(&head, &(struct tar_entry){ .path = "a" }, NULL), 0);
	assert_int_equal(head.len, TAR_BLOCK);
	assert_true(build_is_tar(head.data));
	head.data[0] = 'b';
	assert_false(build_is_tar(head.data));
	assert_false(build_is_tar(zeros));
	memset(head.data, ' ', TAR_BLOCK);
	assert_false(build_is_tar(head.data));
}

/* --- unpacking, with one id and without confinement ------------------------------------------- */

struct layer_fixture {
	char dir[32];
	int root;
	struct buf tar;
	struct layer_request q;
};

static int setup_layer(void **state)
{
	struct layer_fixture *f = xcalloc(1, sizeof(*f));

	memcpy(f->dir, "/tmp/ward-layer.XXXXXX", 23);
	assert_non_null(mkdtemp(f->dir));
	f->root = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->q = (struct layer_request){ .ids = 1,
				       .limits = { 100, 1 << 20, 1 << 20, true },
				       .stream_max = 1 << 20,
				       .seconds = 60 };
	*state = f;
	return 0;
}

static int teardown_layer(void **state)
{
	struct layer_fixture *f = *state;

	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	close(f->root);
	assert_int_equal(fs_remove_tree_at(tmp, f->dir + strlen("/tmp/"), NULL), 0);
	close(tmp);
	buf_free(&f->tar);
	free(f);
	return 0;
}

static void put(struct layer_fixture *f, enum tar_type type, const char *path, const char *text)
{
	const bool link = type == TAR_SYMLINK || type == TAR_HARDLINK;
	const struct tar_entry entry = { .type = type,
					 .path = path,
					 .link = link ? text : NULL,
					 .size = type == TAR_FILE ? strlen(text) : 0,
					 .mode = type == TAR_DIR ? 0755 : 0640,
					 .uid = 33,
					 .mtime = 1000 };

	assert_int_equal(tar_write_header(&f->tar, &entry, NULL), 0);
	if (type == TAR_FILE) {
		buf_puts(&f->tar, text);
		tar_write_padding(&f->tar, entry.size);
	}
}

/* The digest is right unless a test has set one. */
static void set_request(struct layer_fixture *f)
{
	unsigned char sum[32];

	f->q.blob_size = f->tar.len;
	if (!f->q.diff_id[0]) {
		EVP_Digest(f->tar.data, f->tar.len, sum, NULL, EVP_sha256(), NULL);
		memcpy(f->q.diff_id, "sha256:", 8);
		for (size_t i = 0; i < sizeof(sum); i++)
			snprintf(f->q.diff_id + 7 + 2 * i, 3, "%02x", sum[i]);
	}
}

/* Unpack what was put. */
static int unpack(struct layer_fixture *f, struct layer_stats *stats)
{
	int blob = memfd_create("layer", MFD_CLOEXEC);
	struct layer_unpack *u = NULL;
	int r;

	assert_int_equal(fs_write_all(blob, f->tar.data, f->tar.len), 0);
	assert_int_equal(lseek(blob, 0, SEEK_SET), 0);
	set_request(f);
	assert_int_equal(layer_unpack_new(&f->q, blob, -1, f->root, &u, NULL), 0);
	r = layer_unpack_run(u, stats, NULL);
	layer_unpack_free(u);
	close(blob);
	return r;
}

static char *content(struct layer_fixture *f, const char *path)
{
	struct buf b = BUF_INIT;

	assert_int_equal(fs_read_at(f->root, path, 100, &b, NULL), 0);
	return buf_steal(&b);
}

/* --- a blob that grows ------------------------------------------------------------------------ */

/* What a download does: the file has other bytes than the blob until the counter says so. */
struct growing {
	struct layer_fixture *f;
	int blob;
	int counter;
	size_t step;
	uint64_t last; /* what the counter gets when all bytes are there */
};

static void count(int counter, uint64_t n)
{
	assert_int_equal(write(counter, &n, sizeof(n)), sizeof(n));
}

static void *grow(void *arg)
{
	const struct growing *g = arg;
	const struct buf *tar = &g->f->tar;

	for (size_t at = 0; at < tar->len; at += g->step) {
		size_t n = tar->len - at < g->step ? tar->len - at : g->step;

		assert_int_equal(pwrite(g->blob, tar->data + at, n, (off_t)at), (ssize_t)n);
		count(g->counter, n);
	}
	count(g->counter, g->last);
	return NULL;
}

static int unpack_growing(struct layer_fixture *f, size_t step, uint64_t last)
{
	struct growing g = { f, memfd_create("layer", MFD_CLOEXEC), eventfd(0, EFD_CLOEXEC), step,
			     last };
	struct layer_unpack *u = NULL;
	struct layer_stats stats;
	auto_free char *other = xmalloc(f->tar.len);
	pthread_t thread;
	int r;

	memset(other, 0xff, f->tar.len);
	assert_int_equal(pwrite(g.blob, other, f->tar.len, 0), (ssize_t)f->tar.len);
	set_request(f);
	assert_int_equal(layer_unpack_new(&f->q, g.blob, g.counter, f->root, &u, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, grow, &g), 0);
	r = layer_unpack_run(u, &stats, NULL);
	pthread_join(thread, NULL);
	layer_unpack_free(u);
	close(g.counter);
	close(g.blob);
	return r;
}

static void test_growing(void **state)
{
	struct layer_fixture *f = *state;
	auto_free char *text = NULL;

	put(f, TAR_DIR, "d", NULL);
	put(f, TAR_FILE, "d/a", "one");
	put(f, TAR_FILE, "d/b", "two");
	tar_write_end(&f->tar);
	assert_int_equal(unpack_growing(f, 1, 1), 0);
	text = content(f, "d/b");
	assert_string_equal(text, "two");
	assert_int_equal(fs_remove_tree_at(f->root, "d", NULL), 0);
	assert_int_equal(unpack_growing(f, 700, 1), 0);
	assert_int_equal(fs_remove_tree_at(f->root, "d", NULL), 0);
	assert_int_equal(unpack_growing(f, f->tar.len, 1), 0);
	assert_int_equal(fs_remove_tree_at(f->root, "d", NULL), 0);
	/* Every byte was right, and still the download failed: its digest was wrong. */
	assert_int_equal(unpack_growing(f, 700, UINT64_MAX / 2), -ECANCELED);
}

/* Threads that were never let go end. */
static void test_unused(void **state)
{
	struct layer_fixture *f = *state;
	struct layer_unpack *u = NULL;

	assert_int_equal(layer_unpack_new(&f->q, -1, -1, f->root, &u, NULL), 0);
	layer_unpack_free(u);
	layer_unpack_free(NULL);
}

static void test_place(void **state)
{
	struct layer_fixture *f = *state;
	struct layer_stats stats;
	auto_free char *text = NULL;
	struct stat st;
	char mark[4];

	put(f, TAR_DIR, "d", "");
	put(f, TAR_FILE, "d/f", "hello");
	put(f, TAR_HARDLINK, "d/g", "/d/f");
	/* A name is never resolved: the link gives way to a directory. */
	put(f, TAR_SYMLINK, "away", "/tmp");
	put(f, TAR_FILE, "away/file", "here");
	put(f, TAR_FILE, ".wh.gone", "");
	put(f, TAR_FILE, "d/.wh..wh..opq", "");
	/* What was hidden comes back empty. */
	put(f, TAR_FILE, ".wh.back", "");
	put(f, TAR_DIR, "back", "");
	tar_write_end(&f->tar);
	assert_int_equal(unpack(f, &stats), 0);
	assert_int_equal(stats.entries, 9);
	assert_int_equal(stats.bytes, 9);
	text = content(f, "away/file");
	assert_string_equal(text, "here");
	assert_int_equal(fstatat(f->root, "d/g", &st, 0), 0);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_mtime, 1000);
	assert_int_equal(fstatat(f->root, "d", &st, 0), 0);
	assert_int_equal(st.st_mtime, 1000);
	assert_int_equal(fstatat(f->root, "gone", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
	for (size_t i = 0; i < 2; i++) {
		int fd = openat(f->root, i ? "back" : "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		assert_int_equal(fgetxattr(fd, "user.overlay.opaque", mark, sizeof(mark)), 1);
		close(fd);
	}
}

static void test_refused_entries(void **state)
{
	static const struct {
		enum tar_type type;
		const char *path;
		const char *link;
		int code;
	} cases[] = {
		{ TAR_SYMLINK, ".", "/tmp", -ENOTDIR },	  { TAR_HARDLINK, "h", "missing", -ENOENT },
		{ TAR_HARDLINK, "h", "../x", -EINVAL },	  { TAR_HARDLINK, "h", "h", -EINVAL },
		{ TAR_HARDLINK, "h", "dir", -EINVAL },	  { TAR_HARDLINK, "h", ".wh.x", -EINVAL },
		{ TAR_HARDLINK, "h", "link/f", -ENOENT }, { TAR_HARDLINK, "h", "x", -EINVAL },
		{ TAR_FILE, "a/../b", "", -EINVAL },
	};
	struct layer_fixture *f = *state;
	struct layer_stats stats;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_reset(&f->tar);
		f->q.diff_id[0] = '\0';
		put(f, TAR_DIR, "dir", "");
		put(f, TAR_FILE, "dir/f", "");
		put(f, TAR_SYMLINK, "link", "dir");
		put(f, TAR_FILE, ".wh.x", "");
		put(f, cases[i].type, cases[i].path, cases[i].link);
		assert_int_equal(unpack(f, &stats), cases[i].code);
	}
}

static void test_budgets(void **state)
{
	static const struct {
		struct tar_limits limits;
		uint64_t stream;
		int code;
	} cases[] = {
		{ { 3, 100, 100, true }, 1 << 20, 0 },
		{ { 2, 100, 100, true }, 1 << 20, -EFBIG },
		{ { 3, 9, 100, true }, 1 << 20, -EFBIG },
		{ { 3, 100, 19, true }, 1 << 20, -EFBIG },
		{ { 3, 100, 100, true }, 2047, -EFBIG },
	};
	struct layer_fixture *f = *state;
	struct layer_stats stats;

	put(f, TAR_FILE, "deep/in/it", "0123456789");
	put(f, TAR_FILE, "b", "0123456789");
	put(f, TAR_DIR, "c", "");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		f->q.limits = cases[i].limits;
		f->q.stream_max = cases[i].stream;
		assert_int_equal(unpack(f, &stats), cases[i].code);
	}
	/* Directories that have no entry count, too. */
	buf_reset(&f->tar);
	f->q.diff_id[0] = '\0';
	put(f, TAR_FILE, "1/2/3/4/5", "");
	f->q.limits = (struct tar_limits){ 3, 100, 100, true };
	assert_int_equal(unpack(f, &stats), -EFBIG);
}

static void test_digest(void **state)
{
	struct layer_fixture *f = *state;
	struct layer_stats stats;

	put(f, TAR_FILE, "a", "text");
	assert_int_equal(unpack(f, &stats), 0);
	f->tar.data[600] ^= 1;
	assert_int_equal(unpack(f, &stats), -EBADMSG);
	buf_truncate(&f->tar, 600);
	f->q.diff_id[0] = '\0';
	assert_int_equal(unpack(f, &stats), -EBADMSG);
	/* What follows the end of the archive is part of what was promised. */
	buf_reset(&f->tar);
	tar_write_end(&f->tar);
	f->q.diff_id[0] = '\0';
	assert_int_equal(unpack(f, &stats), 0);
	buf_puts(&f->tar, "more");
	assert_int_equal(unpack(f, &stats), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_inflate),
		cmocka_unit_test(test_inflate_archive),
		cmocka_unit_test(test_is_tar),
		cmocka_unit_test_setup_teardown(test_growing, setup_layer, teardown_layer),
		cmocka_unit_test_setup_teardown(test_unused, setup_layer, teardown_layer),
		cmocka_unit_test_setup_teardown(test_place, setup_layer, teardown_layer),
		cmocka_unit_test_setup_teardown(test_refused_entries, setup_layer, teardown_layer),
		cmocka_unit_test_setup_teardown(test_budgets, setup_layer, teardown_layer),
		cmocka_unit_test_setup_teardown(test_digest, setup_layer, teardown_layer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
