/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of image/layer_pack.c, layer_links.c and layer_deflate.c: what is written is what our
 * own reader makes of it again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/layer_internal.h"

struct fixture {
	char dir[32];
	int fd;
	int from, to; /* directories */
	int blob;
	struct layer_pack_request q;
	struct layer_blob layer;
	struct layer_packed stats;
};

static int fresh_dir(int at, const char *name)
{
	int fd;

	assert_int_equal(fs_remove_tree_at(at, name, NULL), 0);
	assert_int_equal(mkdirat(at, name, 0755), 0);
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	umask(0);
	snprintf(f->dir, sizeof(f->dir), "/tmp/layer_pack_XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->from = fresh_dir(f->fd, "from");
	f->to = fresh_dir(f->fd, "to");
	f->blob = memfd_create("layer", MFD_CLOEXEC);
	f->q = (struct layer_pack_request){
		.trees = { { .fd = f->from, .prefix = xstrdup(""), .owner = -1 } },
		.ntrees = 1,
		.bytes = 1ULL << 40,
		.entries = 100000,
		.seconds = 60,
	};
	*state = f;
	return 0;
}

static void request_clear(struct fixture *f)
{
	for (size_t i = 0; i < f->q.ntrees; i++) {
		free(f->q.trees[i].prefix);
		strv_free(&f->q.trees[i].leave_out);
		strv_free(&f->q.trees[i].secret);
		strv_free(&f->q.trees[i].if_filled);
	}
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	request_clear(f);
	close(f->from);
	close(f->to);
	close(f->blob);
	assert_int_equal(fs_remove_tree_at(f->fd, "from", NULL), 0);
	assert_int_equal(fs_remove_tree_at(f->fd, "to", NULL), 0);
	close(f->fd);
	rmdir(f->dir);
	free(f);
	return 0;
}

static int pack(struct fixture *f)
{
	assert_int_equal(ftruncate(f->blob, 0), 0);
	assert_int_equal(lseek(f->blob, 0, SEEK_SET), 0);
	return layer_pack(&f->q, f->blob, &f->layer, &f->stats, NULL);
}

static void unpack(struct fixture *f)
{
	struct layer_request q = { .blob_size = f->layer.size,
				   .ids = 65536,
				   .limits = { 100000, 1ULL << 40, 1ULL << 40, true },
				   .stream_max = 1ULL << 40,
				   .seconds = 60 };
	struct layer_unpack *u = NULL;
	struct layer_stats stats;
	struct err e = ERR_INIT;

	memcpy(q.diff_id, f->layer.diff_id, sizeof(f->layer.diff_id));
	close(f->to);
	f->to = fresh_dir(f->fd, "to");
	assert_int_equal(lseek(f->blob, 0, SEEK_SET), 0);
	assert_int_equal(layer_unpack_new(&q, f->blob, -1, f->to, &u, NULL), 0);
	if (layer_unpack_run(u, &stats, &e) < 0)
		fail_msg("%s", e.message);
	layer_unpack_free(u);
	assert_int_equal(stats.entries, f->stats.entries);
	assert_int_equal(stats.bytes, f->stats.bytes);
}

/* --- a tree as a text ------------------------------------------------------------------------- */

static void show_xattrs(int dir, const char *name, struct buf *out)
{
	auto_free char *path = xasprintf("/proc/self/fd/%d/%s", dir, name);
	char list[4096], value[256];
	ssize_t n = llistxattr(path, list, sizeof(list));
	auto_strv sorted = STRV_INIT;

	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1) {
		ssize_t len = lgetxattr(path, list + at, value, sizeof(value));

		/* Labels of the machine are not the tree's. */
		if (len >= 0 && text_starts(list + at, "user."))
			strv_addf(&sorted, " %s=%.*s", list + at, (int)len, value);
	}
	for (size_t pass = 0; pass < sorted.n; pass++) {
		for (size_t i = 0; i + 1 < sorted.n; i++) {
			if (strcmp(sorted.v[i], sorted.v[i + 1]) > 0) {
				char *swap = sorted.v[i];

				sorted.v[i] = sorted.v[i + 1];
				sorted.v[i + 1] = swap;
			}
		}
	}
	for (size_t i = 0; i < sorted.n; i++)
		buf_puts(out, sorted.v[i]);
}

static void show_content(int dir, const char *name, const struct stat *st, struct buf *out)
{
	auto_buf text = BUF_INIT;
	char target[4097];
	ssize_t n;

	if (S_ISLNK(st->st_mode)) {
		n = readlinkat(dir, name, target, sizeof(target));
		assert_true(n > 0);
		buf_printf(out, " -> %.*s", (int)n, target);
	} else if (S_ISREG(st->st_mode)) {
		assert_int_equal(fs_read_at(dir, name, 64 << 20, &text, NULL), 0);
		buf_printf(out, " %llu:%016llx", (unsigned long long)text.len,
			   (unsigned long long)text_fnv1a(text.data, text.len));
	}
}

static void show(int dir, const char *path, struct buf *out)
{
	struct dirent **list = NULL;
	auto_free char *where = xasprintf("/proc/self/fd/%d", dir);
	int n = scandir(where, &list, NULL, alphasort);

	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;
		auto_free char *full = xasprintf("%s/%s", path, name);
		struct stat st;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
			free(list[i]);
			continue;
		}
		assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
		buf_printf(out, "%s %o %u:%u %llu", full, st.st_mode, st.st_uid, st.st_gid,
			   S_ISDIR(st.st_mode) ? 0 : (unsigned long long)st.st_nlink);
		if (!S_ISCHR(st.st_mode))
			buf_printf(out, " %lld.%09ld", (long long)st.st_mtim.tv_sec,
				   st.st_mtim.tv_nsec);
		show_content(dir, name, &st, out);
		show_xattrs(dir, name, out);
		buf_putc(out, '\n');
		if (S_ISDIR(st.st_mode)) {
			auto_close int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			show(fd, full, out);
		}
		free(list[i]);
	}
	free(list);
}

static void check_equal(struct fixture *f)
{
	auto_buf a = BUF_INIT, b = BUF_INIT;

	show(f->from, "", &a);
	show(f->to, "", &b);
	assert_string_equal(buf_str(&a), buf_str(&b));
}

/* --- making trees ----------------------------------------------------------------------------- */

static void put_file(int dir, const char *path, const char *text, mode_t mode)
{
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void put_dir(int dir, const char *path)
{
	assert_int_equal(mkdirat(dir, path, 0755), 0);
}

static void put_xattr(int dir, const char *path, const char *name, const char *value)
{
	auto_free char *full = xasprintf("/proc/self/fd/%d/%s", dir, path);

	assert_int_equal(lsetxattr(full, name, value, strlen(value), 0), 0);
}

static bool seen(struct fixture *f, const char *path)
{
	struct stat st;

	return fstatat(f->to, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void test_round_trip(void **state)
{
	struct fixture *f = *state;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { -5, 123456789 } };
	auto_buf large = BUF_INIT;
	char first[80], wide[256];
	int fd;

	put_file(f->from, "plain", "text", 04755);
	put_file(f->from, "name with\nnewline", "x", 0000);
	put_file(f->from, "h\303\266h\377", "bytes that are no UTF-8", 0644);
	memset(wide, 'w', 255);
	wide[255] = '\0';
	put_file(f->from, wide, "a long name", 0644);
	put_dir(f->from, "d");
	put_dir(f->from, "d/e");
	put_file(f->from, "d/e/f", "", 0644);
	put_xattr(f->from, "d", "user.of.directory", "1");
	put_xattr(f->from, "plain", "user.b", "2");
	put_xattr(f->from, "plain", "user.a", "with\nnewline");
	assert_int_equal(linkat(f->from, "plain", f->from, "d/link", 0), 0);
	assert_int_equal(symlinkat("../../etc/passwd", f->from, "d/symlink"), 0);
	assert_int_equal(symlinkat(wide, f->from, "d/long symlink"), 0);
	assert_int_equal(mknodat(f->from, "fifo", S_IFIFO | 0640, 0), 0);
	assert_int_equal(utimensat(f->from, "plain", times, 0), 0);
	/* What an overlay leaves. */
	put_dir(f->from, "opaque");
	put_file(f->from, "opaque/new", "n", 0644);
	put_xattr(f->from, "opaque", "user.overlay.opaque", "y");
	assert_int_equal(mknodat(f->from, "d/gone", S_IFCHR, 0), 0);
	/* A file of more than a chunk, and one with holes. */
	for (int i = 0; i < 60000; i++)
		buf_printf(&large, "%d ", i * 7919);
	put_file(f->from, "large", buf_str(&large), 0600);
	fd = openat(f->from, "holes", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(pwrite(fd, "begin", 5, 0), 5);
	assert_int_equal(pwrite(fd, "middle", 6, 5 << 20), 6);
	assert_int_equal(ftruncate(fd, 9 << 20), 0);
	close(fd);
	fd = openat(f->from, "only a hole", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);

	assert_int_equal(pack(f), 0);
	assert_true(f->stats.bytes < 2 << 20);
	unpack(f);
	check_equal(f);
	/* The same tree is the same layer. */
	memcpy(first, f->layer.digest, sizeof(f->layer.digest));
	assert_int_equal(pack(f), 0);
	assert_string_equal(f->layer.digest, first);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return *seed >> 33;
}

/* One random thing in a random directory. */
static void put_random(struct fixture *f, uint64_t *seed, struct strv *dirs, struct strv *files)
{
	const char *dir = dirs->v[next_random(seed) % dirs->n];
	unsigned n = (unsigned)next_random(seed);
	auto_free char *path =
		xasprintf("%s%c%x%s", dir, 'a' + (char)(n % 26), n, n % 7 == 0 ? "\n\xff" : "");
	auto_free char *text = xasprintf("%*x", (int)(n % 3000), n);

	switch (next_random(seed) % 8) {
	case 0:
	case 1:
		put_dir(f->from, path);
		strv_addf(dirs, "%s/", path);
		break;
	case 2:
		assert_int_equal(symlinkat(text, f->from, path), 0);
		break;
	case 3:
		assert_int_equal(mknodat(f->from, path, S_IFCHR, 0), 0);
		break;
	case 4:
		if (files->n > 0)
			assert_int_equal(linkat(f->from, files->v[n % files->n], f->from, path, 0),
					 0);
		break;
	case 5:
		assert_int_equal(mknodat(f->from, path, S_IFIFO | 0644, 0), 0);
		break;
	default:
		put_file(f->from, path, text, n & 07777);
		strv_add(files, path);
		break;
	}
}

static void test_random_trees(void **state)
{
	struct fixture *f = *state;

	for (uint64_t round = 0; round < 40; round++) {
		auto_strv dirs = STRV_INIT, files = STRV_INIT;
		uint64_t seed = round;

		close(f->from);
		f->q.trees[0].fd = f->from = fresh_dir(f->fd, "from");
		strv_add(&dirs, "");
		for (uint64_t i = 0; i < 10 + round * 4; i++)
			put_random(f, &seed, &dirs, &files);
		/* However little memory there is for names. */
		f->q.names_max = round % 2 ? 300 : 0;
		assert_int_equal(pack(f), 0);
		unpack(f);
		check_equal(f);
	}
}

static void test_many_names(void **state)
{
	struct fixture *f = *state;
	char first[80], name[32];

	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "%x", i * 2654435761U);
		put_dir(f->from, name);
	}
	assert_int_equal(pack(f), 0);
	assert_int_equal(f->stats.entries, 3000);
	memcpy(first, f->layer.diff_id, sizeof(f->layer.diff_id));
	f->q.names_max = 8 << 10;
	assert_int_equal(pack(f), 0);
	assert_string_equal(f->layer.diff_id, first);
}

static void test_left_out(void **state)
{
	struct fixture *f = *state;
	struct layer_tree *t = f->q.trees;
	struct stat st;

	put_dir(f->from, "tmp");
	put_file(f->from, "tmp/x", "x", 0644);
	put_dir(f->from, "keep");
	put_file(f->from, "keep/token", "secret", 0600);
	put_file(f->from, "keep/file", "f", 0600);
	assert_int_equal(linkat(f->from, "keep/token", f->from, "aaa", 0), 0);
	/* The same by a link that leads to it. */
	assert_int_equal(symlinkat("keep", f->from, "moved"), 0);
	put_file(f->from, "keep/other", "secret, too", 0600);
	put_dir(f->from, "keys");
	put_file(f->from, "keys/k", "secret, as well", 0600);
	assert_int_equal(linkat(f->from, "keys/k", f->from, "zzz", 0), 0);
	/* Places for mounts: one with something in it, one without. */
	put_dir(f->from, "home");
	put_dir(f->from, "home/u");
	put_dir(f->from, "home/u/project");
	put_dir(f->from, "srv");
	put_dir(f->from, "srv/data");
	put_dir(f->from, "srv/mine");
	strv_add(&t->leave_out, "tmp");
	strv_add(&t->leave_out, "home/u/project");
	strv_add(&t->leave_out, "srv/data");
	strv_add(&t->secret, "keep/token");
	strv_add(&t->secret, "moved/other");
	strv_add(&t->secret, "keys");
	strv_add(&t->secret, "missing/file");
	strv_add(&t->if_filled, "home");
	strv_add(&t->if_filled, "home/u");
	strv_add(&t->if_filled, "srv");
	/* A second tree. */
	f->q.trees[1] = (struct layer_tree){ .fd = openat(f->from, "keep", O_RDONLY | O_CLOEXEC),
					     .prefix = xstrdup("home/agent"),
					     .owner = 1000 };
	f->q.ntrees = 2;
	assert_int_equal(pack(f), 0);
	close(f->q.trees[1].fd);
	unpack(f);
	assert_true(seen(f, "keep/file"));
	assert_true(seen(f, "srv/mine"));
	assert_true(seen(f, "moved"));
	assert_true(seen(f, "home/agent/file"));
	assert_false(seen(f, "tmp"));
	assert_false(seen(f, "aaa"));
	assert_false(seen(f, "zzz"));
	assert_false(seen(f, "keys"));
	assert_false(seen(f, "keep/token"));
	assert_false(seen(f, "keep/other"));
	assert_false(seen(f, "home/agent/token"));
	assert_false(seen(f, "home/u"));
	assert_false(seen(f, "srv/data"));
	if (getuid() == 0) {
		assert_int_equal(fstatat(f->to, "home/agent/file", &st, 0), 0);
		assert_int_equal(st.st_uid, 1000);
		assert_int_equal(st.st_gid, 1000);
	}
}

static void test_what_no_layer_holds(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/from/socket", f->dir);
	assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	close(s);
	put_file(f->from, ".wh.file", "it would remove one", 0644);
	put_dir(f->from, ".wh..wh..opq");
	put_file(f->from, ".wh..wh..opq/x", "", 0644);
	put_file(f->from, "file", "", 0644);
	put_xattr(f->from, "file", "user.overlay.redirect", "/etc");
	assert_int_equal(pack(f), 0);
	assert_int_equal(f->stats.devices, 1);
	assert_int_equal(f->stats.names, 2);
	assert_int_equal(f->stats.entries, 1);
	unpack(f);
	assert_true(seen(f, "file"));
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	int dir = dup(f->from);
	char wide[256];
	int fd;

	memset(wide, 'w', 252);
	wide[252] = '\0';
	assert_int_equal(mknodat(f->from, wide, S_IFCHR, 0), 0);
	assert_int_equal(pack(f), -ENAMETOOLONG);
	assert_int_equal(unlinkat(f->from, wide, 0), 0);
	f->q.entries = 1;
	put_dir(f->from, "d");
	assert_int_equal(pack(f), 0);
	put_file(f->from, "f", "", 0644);
	assert_int_equal(pack(f), -EFBIG);
	f->q.entries = 100000;
	/* A file that is too large with its holes. */
	fd = openat(f->from, "f", O_RDWR | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	f->q.bytes = (1 << 20) - 1;
	assert_int_equal(pack(f), -EFBIG);
	f->q.bytes++;
	assert_int_equal(pack(f), 0);
	close(fd);
	for (int i = 0; i <= LAYER_DEPTH_MAX; i++) {
		put_dir(dir, "x");
		fd = openat(dir, "x", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(dir);
		dir = fd;
		if (i == LAYER_DEPTH_MAX - 1)
			assert_int_equal(pack(f), 0);
	}
	assert_int_equal(pack(f), -ENAMETOOLONG);
	close(dir);
}

/* Readers refuse a layer that grows to more than 200 times its size. */
static void test_zeros(void **state)
{
	struct fixture *f = *state;
	auto_free char *zeros = xcalloc(1, 1 << 20);
	struct layer_deflate *d = NULL;

	assert_int_equal(layer_deflate_new(f->blob, &d, NULL), 0);
	for (int i = 0; i < 300; i++)
		assert_int_equal(layer_deflate_add(d, zeros, 1 << 20, NULL), 0);
	assert_int_equal(layer_deflate_finish(d, &f->layer, NULL), 0);
	layer_deflate_free(d);
	assert_int_equal(f->layer.stream, 300 << 20);
	assert_true(f->layer.stream / f->layer.size < 110);
	assert_true(f->layer.stream / f->layer.size > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_trees, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_left_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_no_layer_holds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zeros, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
