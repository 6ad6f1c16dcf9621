/* SPDX-License-Identifier: Apache-2.0 */
/* The store of templates: records, reading, locks, and what the garbage collection keeps. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/mem.h"
#include "image/image.h"

#define HEX(c)	  c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define DIGEST(c) "sha256:" HEX(c)
#define MANIFEST  "11" /* pairs of digits that stand for a digest */
#define CONFIG	  "22"
#define LAYER	  "33"
#define DIFFID	  "44"
#define OTHER	  "55"

static const char manifest[] =
	"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/"
	"vnd.oci.image.config.v1+json\","
	"\"digest\":\"" DIGEST(
		CONFIG) "\",\"size\":9},\"layers\":[{\"mediaType\":"
			"\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"" DIGEST(
				LAYER) "\",\"size\":9}]}";
static const char config[] = "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":"
			     "\"layers\",\"diff_ids\":[\"" DIGEST(DIFFID) "\"]}}";

struct fixture {
	char top[32];
	struct image_store s;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	snprintf(f->top, sizeof(f->top), "/tmp/ward-image.XXXXXX");
	assert_non_null(mkdtemp(f->top));
	assert_int_equal(image_store_open(f->top, &f->s, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	auto_close int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	image_store_close(&f->s);
	assert_int_equal(fs_remove_tree_at(tmp, f->top + strlen("/tmp/"), NULL), 0);
	free(f);
	return 0;
}

static void put(const struct fixture *f, const char *path, const char *text)
{
	auto_close int fd = openat(f->s.fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

static bool there(const struct fixture *f, const char *path)
{
	return faccessat(f->s.fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void tag(const struct fixture *f, const char *reference, const char *digest)
{
	char name[80], media_type[80], d[80];
	struct image_record r = { .reference = name,
				  .digest = d,
				  .manifest = d,
				  .media_type = media_type,
				  .pulled_at = 1700000000 };
	struct err e = ERR_INIT;

	snprintf(name, sizeof(name), "%s", reference);
	snprintf(d, sizeof(d), "%s", digest);
	snprintf(media_type, sizeof(media_type), "x/y");
	assert_int_equal(image_store_tag(&f->s, &r, &e), 0);
}

static void an_image(const struct fixture *f)
{
	put(f, "blobs/sha256/" HEX(MANIFEST), manifest);
	put(f, "blobs/sha256/" HEX(CONFIG), config);
	put(f, "blobs/sha256/" HEX(LAYER), "layer");
	assert_int_equal(mkdirat(f->s.fd, "layers/ids", 0700), 0);
	assert_int_equal(mkdirat(f->s.fd, "layers/ids/" HEX(DIFFID), 0700), 0);
}

static void records(void **state)
{
	struct fixture *f = *state;
	auto_image_record r = { 0 };
	struct image_record *v;
	struct err e = ERR_INIT;
	size_t n;

	assert_int_equal(image_store_lookup(&f->s, "docker.io/library/a:1", &r, &e), -ENOENT);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	tag(f, "docker.io/library/b:1", DIGEST(OTHER));
	tag(f, "docker.io/library/a:1", DIGEST(MANIFEST));
	assert_int_equal(image_store_lookup(&f->s, "docker.io/library/a:1", &r, &e), 0);
	assert_string_equal(r.digest, DIGEST(MANIFEST));
	assert_int_equal(r.pulled_at, 1700000000);
	put(f, "refs/docker.io+bad", "{");
	put(f, "refs/.ward-0123456789abcdef.tmp", "{");
	assert_int_equal(image_store_list(&f->s, &v, &n, &e), 0);
	assert_int_equal(n, 3);
	assert_string_equal(v[0].reference, "docker.io+bad");
	assert_non_null(v[0].problem);
	assert_string_equal(v[1].reference, "docker.io/library/a:1");
	image_record_list_free(v, n);
	assert_int_equal(image_store_untag(&f->s, "docker.io/library/a:1", &e), 0);
	assert_int_equal(image_store_untag(&f->s, "docker.io/library/a:1", &e), -ENOENT);
}

static void a_record_in_anothers_place_is_damaged(void **state)
{
	struct fixture *f = *state;
	auto_image_record r = { 0 };
	struct err e = ERR_INIT;

	tag(f, "h.io/a:1", DIGEST(MANIFEST));
	assert_int_equal(renameat(f->s.fd, "refs/h.io+a:1", f->s.fd, "refs/h.io+b:1"), 0);
	assert_int_equal(image_store_lookup(&f->s, "h.io/b:1", &r, &e), -EINVAL);
	assert_int_equal(e.kind, ERR_CORRUPT);
}

static void documents(void **state)
{
	struct fixture *f = *state;
	auto_image_manifest m = { 0 };
	auto_image_config c = { 0 };
	struct err e = ERR_INIT;

	assert_int_equal(image_store_read(&f->s, DIGEST(MANIFEST), &m, &c, &e), -ENOENT);
	assert_int_equal(e.kind, ERR_CORRUPT);
	an_image(f);
	assert_int_equal(image_store_read(&f->s, DIGEST(MANIFEST), &m, &c, &e), 0);
	assert_string_equal(m.layers[0].digest, DIGEST(LAYER));
	assert_string_equal(c.diff_ids.v[0], DIGEST(DIFFID));
	assert_true(image_store_has(&f->s, DIGEST(LAYER), 5));
	assert_false(image_store_has(&f->s, DIGEST(LAYER), 6));
	assert_false(image_store_has(&f->s, "sha256:../../lock", 0));
}

static void garbage(void **state)
{
	struct fixture *f = *state;
	auto_strv in_use = STRV_INIT;
	struct image_gc sum;
	struct err e = ERR_INIT;

	an_image(f);
	tag(f, "h.io/a:1", DIGEST(MANIFEST));
	put(f, "blobs/sha256/" HEX(OTHER), "x");
	put(f, "blobs/sha256/" HEX(OTHER) ".partial", "x");
	put(f, "refs/.ward-0123456789abcdef.tmp", "{");
	assert_int_equal(mkdirat(f->s.fd, "layers/ids/" HEX(OTHER), 0700), 0);
	assert_int_equal(image_store_gc(&f->s, &in_use, IMAGE_GC_DRY_RUN, NULL, &sum, &e), 0);
	assert_int_equal(sum.blobs, 1);
	assert_int_equal(sum.layers, 1);
	assert_true(there(f, "blobs/sha256/" HEX(OTHER)));
	assert_int_equal(image_store_gc(&f->s, &in_use, IMAGE_GC_KEEP_PARTIAL, NULL, &sum, &e), 0);
	assert_false(there(f, "blobs/sha256/" HEX(OTHER)));
	assert_false(there(f, "layers/ids/" HEX(OTHER)));
	assert_false(there(f, "refs/.ward-0123456789abcdef.tmp"));
	assert_true(there(f, "blobs/sha256/" HEX(OTHER) ".partial"));
	assert_int_equal(image_store_gc(&f->s, &in_use, 0, NULL, &sum, &e), 0);
	assert_int_equal(sum.partials, 1);
	assert_false(there(f, "blobs/sha256/" HEX(OTHER) ".partial"));
	/* Without a record a sandbox keeps it. */
	assert_int_equal(image_store_untag(&f->s, "h.io/a:1", &e), 0);
	strv_add(&in_use, DIGEST(MANIFEST));
	assert_int_equal(image_store_gc(&f->s, &in_use, 0, NULL, &sum, &e), 0);
	assert_true(there(f, "blobs/sha256/" HEX(LAYER)));
	assert_true(there(f, "layers/ids/" HEX(DIFFID)));
	strv_free(&in_use);
	assert_int_equal(image_store_gc(&f->s, &in_use, 0, NULL, &sum, &e), 0);
	assert_int_equal(sum.blobs, 3);
	assert_false(there(f, "layers/ids/" HEX(DIFFID)));
}

static void locks(void **state)
{
	struct fixture *f = *state;
	int shared, again, exclusive;

	assert_int_equal(image_store_lock(&f->s, IMAGE_LOCK_REFS, false, false, &shared, NULL), 0);
	assert_int_equal(image_store_lock(&f->s, IMAGE_LOCK_REFS, false, false, &again, NULL), 0);
	assert_int_equal(image_store_lock(&f->s, IMAGE_LOCK_REFS, true, false, &exclusive, NULL),
			 -EWOULDBLOCK);
	close(shared);
	close(again);
	assert_int_equal(image_store_lock(&f->s, IMAGE_LOCK_REFS, true, false, &exclusive, NULL),
			 0);
	assert_int_equal(image_store_lock(&f->s, IMAGE_LOCK_CONTENT, true, false, &shared, NULL),
			 0);
	close(shared);
	close(exclusive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(records, setup, teardown),
		cmocka_unit_test_setup_teardown(a_record_in_anothers_place_is_damaged, setup,
						teardown),
		cmocka_unit_test_setup_teardown(documents, setup, teardown),
		cmocka_unit_test_setup_teardown(garbage, setup, teardown),
		cmocka_unit_test_setup_teardown(locks, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
