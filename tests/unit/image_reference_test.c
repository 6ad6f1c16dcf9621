/* SPDX-License-Identifier: Apache-2.0 */
/* Names of images: what Docker accepts, in the same canonical form, and every kind of bad one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "image/image.h"

#define HEX64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX64

static void names_become_canonical(void **state)
{
	static const struct {
		const char *text, *canonical, *familiar;
	} cases[] = {
		{ "python", "docker.io/library/python:latest", "python:latest" },
		{ "python:3-slim", "docker.io/library/python:3-slim", "python:3-slim" },
		{ "docker/sandbox-templates:claude-code",
		  "docker.io/docker/sandbox-templates:claude-code",
		  "docker/sandbox-templates:claude-code" },
		{ "docker.io/python", "docker.io/library/python:latest", "python:latest" },
		{ "index.docker.io/library/python", "docker.io/library/python:latest",
		  "python:latest" },
		{ "ghcr.io/x/y:tag", "ghcr.io/x/y:tag", "ghcr.io/x/y:tag" },
		{ "GHCR.io/x/y:tag", "ghcr.io/x/y:tag", "ghcr.io/x/y:tag" },
		{ "localhost/a", "localhost/a:latest", "localhost/a:latest" },
		{ "localhost:5000", "docker.io/library/localhost:5000", "localhost:5000" },
		{ "localhost:5000/a", "localhost:5000/a:latest", "localhost:5000/a:latest" },
		{ "localhost:5000/a@" DIGEST, "localhost:5000/a@" DIGEST,
		  "localhost:5000/a@" DIGEST },
		{ "a:tag@" DIGEST, "docker.io/library/a@" DIGEST, "a@" DIGEST },
		{ "a.b", "docker.io/library/a.b:latest", "a.b:latest" },
		{ "a/b.c/d__e-f--g:T_.-x", "docker.io/a/b.c/d__e-f--g:T_.-x",
		  "a/b.c/d__e-f--g:T_.-x" },
		{ "docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest" },
		{ "[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest" },
		{ "docker://alpine", "docker.io/library/alpine:latest", "alpine:latest" },
		{ "oci", "docker.io/library/oci:latest", "docker.io/oci:latest" },
		{ "oci:/d/x", "oci:/d/x", "oci:/d/x" },
		{ "oci:d/x:tag", "oci:d/x:tag", "oci:d/x:tag" },
		{ "oci-archive:x.tar:a/b:1", "oci-archive:x.tar:a/b:1", "oci-archive:x.tar:a/b:1" },
		{ "docker-archive:x.tar", "docker-archive:x.tar", "docker-archive:x.tar" },
		{ "dir:/a:b", "dir:/a:b", "dir:/a:b" },
		{ "docker-daemon:busybox", "docker-daemon:docker.io/library/busybox:latest",
		  "docker-daemon:busybox:latest" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_image_ref r = { 0 };
		auto_free char *canonical = NULL;
		auto_free char *familiar = NULL;
		struct err e = ERR_INIT;

		assert_int_equal(image_ref_parse(cases[i].text, &r, &e), 0);
		canonical = image_ref_canonical(&r);
		familiar = image_ref_familiar(&r);
		assert_string_equal(canonical, cases[i].canonical);
		assert_string_equal(familiar, cases[i].familiar);
	}
}

static void sources(void **state)
{
	auto_image_ref r = { 0 };
	auto_image_ref d = { 0 };

	(void)state;
	assert_int_equal(image_ref_parse("docker-archive:/a/x.tar:repo/n:1", &r, NULL), 0);
	assert_int_equal(r.source, IMAGE_DOCKER_ARCHIVE);
	assert_string_equal(r.path, "/a/x.tar");
	assert_string_equal(r.tag, "repo/n:1");
	assert_null(r.host);
	assert_int_equal(image_ref_parse("dir:/a:b", &d, NULL), 0);
	assert_string_equal(d.path, "/a:b");
	assert_null(d.tag);
}

static void bad_names_are_refused(void **state)
{
	static const char *const cases[] = {
		"",
		":",
		":tag",
		"@" DIGEST,
		"a:",
		"a@",
		"a@sha256:"
		"00",
		"/a",
		"a/",
		"a//b",
		"A",
		"a/B",
		"R/a",
		"-a",
		"a-",
		"a..b",
		"a___b",
		"a._b",
		".a",
		"a b",
		"a\n",
		"a\x1b[31m",
		"\xff",
		"a:b:c",
		"a:-b",
		"a:.b",
		"a:b/c:",
		"ghcr.io/",
		"-h.io/a:x/y",
		"h_.io/a",
		"h.io:0/a",
		"h.io:65536/a",
		"h.io:x/a",
		"h.io:/a",
		"[::1/a",
		"http://h.io/a",
		"https://h.io/a",
		HEX64,
		"a@" DIGEST "0",
		"a@sha256:" HEX64 "/../x",
		"a@SHA256:" HEX64,
		"../a",
		"a/../b",
		"a%2fb",
		"a?b",
		"a#b",
		"user@h.io/a",
		"oci:",
		"oci::tag",
		"oci:a:",
		"dir:",
		"docker-archive:",
		"docker-daemon:",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_image_ref r = { 0 };
		struct err e = ERR_INIT;

		assert_int_not_equal(image_ref_parse(cases[i], &r, &e), 0);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_null(strchr(e.message, '\n'));
		assert_null(strchr(e.message, '\x1b'));
	}
}

static void lengths(void **state)
{
	char name[300] = "h.io/";
	char tag[200] = "a:";
	auto_image_ref r = { 0 };
	auto_image_ref s = { 0 };

	(void)state;
	memset(name + 5, 'a', 250);
	assert_int_equal(image_ref_parse(name, &r, NULL), 0);
	name[255] = 'a';
	assert_int_equal(image_ref_parse(name, &s, NULL), -EINVAL);
	memset(tag + 2, 'b', 128);
	assert_int_equal(image_ref_parse(tag, &s, NULL), 0);
	image_ref_clear(&s);
	tag[130] = 'b';
	assert_int_equal(image_ref_parse(tag, &s, NULL), -EINVAL);
}

static void digests(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_true(image_digest_ok(DIGEST));
	assert_string_equal(image_digest_hex(DIGEST), HEX64);
	assert_false(image_digest_ok("sha256:../../x"));
	assert_int_equal(image_digest_check("layer", "sha512:" HEX64 HEX64, &e), -ENOTSUP);
	assert_non_null(strstr(e.message, "sha512"));
	assert_int_equal(image_digest_check("layer", "sha256:../../x", &e), -EINVAL);
	assert_int_equal(e.kind, ERR_INPUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_become_canonical),
		cmocka_unit_test(sources),
		cmocka_unit_test(bad_names_are_refused),
		cmocka_unit_test(lengths),
		cmocka_unit_test(digests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
