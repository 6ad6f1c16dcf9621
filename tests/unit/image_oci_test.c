/* SPDX-License-Identifier: Apache-2.0 */
/* Documents of images: good ones are read, and each kind of confusion or excess is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "image/image.h"

#define HEX	 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST	 "sha256:" HEX
#define OCI	 "application/vnd.oci.image."
#define DOCKER	 "application/vnd.docker."
#define M_TYPE	 OCI "manifest.v1+json"
#define I_TYPE	 OCI "index.v1+json"
#define CONFIG	 "{\"mediaType\":\"" OCI "config.v1+json\",\"digest\":\"" DIGEST "\",\"size\":10}"
#define D(t, sz) "{\"mediaType\":\"" t "\",\"digest\":\"" DIGEST "\",\"size\":" sz "}"
#define LAYER	 D(OCI "layer.v1.tar+gzip", "20")

#define MANIFEST(layers) "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" layers "]}"
#define ENTRY(os, arch, more)                                                                      \
	"{\"mediaType\":\"" M_TYPE "\",\"digest\":\"" DIGEST                                       \
	"\",\"size\":7,\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"" more "}}"
#define INDEX(entries) "{\"schemaVersion\":2,\"manifests\":[" entries "]}"

static int media(const char *text, const char *declared, enum image_media *ret, struct err *e)
{
	return image_document_media(text, strlen(text), declared, ret, e);
}

static void what_a_document_is(void **state)
{
	static const struct {
		const char *text, *declared;
		enum image_media is;
	} cases[] = {
		{ MANIFEST(LAYER), M_TYPE, IMAGE_MEDIA_MANIFEST },
		{ MANIFEST(LAYER), "application/json; charset=utf-8", IMAGE_MEDIA_MANIFEST },
		{ MANIFEST(LAYER), NULL, IMAGE_MEDIA_MANIFEST },
		{ MANIFEST(LAYER), DOCKER "distribution.manifest.v2+json; charset=utf-8",
		  IMAGE_MEDIA_MANIFEST },
		{ INDEX(""), I_TYPE, IMAGE_MEDIA_INDEX },
		{ INDEX(""), DOCKER "distribution.manifest.list.v2+json", IMAGE_MEDIA_INDEX },
	};
	enum image_media is;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(media(cases[i].text, cases[i].declared, &is, NULL), 0);
		assert_int_equal(is, cases[i].is);
	}
}

static void confusion_is_refused(void **state)
{
	static const struct {
		const char *text, *declared;
	} cases[] = {
		{ MANIFEST(LAYER), I_TYPE },
		{ INDEX(""), M_TYPE },
		{ MANIFEST(LAYER), OCI "layer.v1.tar" },
		{ "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", M_TYPE },
		{ "{\"schemaVersion\":2,\"manifests\":[],\"config\":" CONFIG "}", I_TYPE },
		{ "{\"schemaVersion\":2,\"manifests\":[],\"layers\":null}", I_TYPE },
		{ "{\"schemaVersion\":2,\"mediaType\":\"" I_TYPE "\",\"layers\":[]}", NULL },
		{ "{\"schemaVersion\":2,\"mediaType\":\"" M_TYPE "\",\"manifests\":[]}", NULL },
		{ "{\"schemaVersion\":2,\"mediaType\":\"x/y\",\"manifests\":[]}", NULL },
		{ "{\"schemaVersion\":2,\"mediaType\":7,\"manifests\":[]}", NULL },
		{ "{\"schemaVersion\":2}", M_TYPE },
		{ "{\"layers\":[]}", M_TYPE },
		{ "{\"schemaVersion\":1,\"layers\":[]}", M_TYPE },
		{ "{\"schemaVersion\":2,\"layers\":[],\"layers\":[]}", M_TYPE },
		{ "{\"schemaVersion\":2,\"fsLayers\":[]}", NULL },
		{ MANIFEST(LAYER), DOCKER "distribution.manifest.v1+prettyjws" },
		{ "[]", M_TYPE },
		{ "", M_TYPE },
		{ "{", M_TYPE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = ERR_INIT;
		enum image_media is;

		assert_true(media(cases[i].text, cases[i].declared, &is, &e) < 0);
		assert_int_equal(e.kind, ERR_INPUT);
	}
}

static void a_manifest(void **state)
{
	static const char text[] = MANIFEST(LAYER "," D(DOCKER "image.rootfs.diff.tar.gzip", "30"));
	auto_image_manifest m = { 0 };

	(void)state;
	assert_int_equal(image_manifest_parse(text, strlen(text), &m, NULL), 0);
	assert_string_equal(m.config.digest, DIGEST);
	assert_int_equal(m.nlayers, 2);
	assert_int_equal(m.layers[1].size, 30);
}

static void bad_manifests(void **state)
{
	static const char *const cases[] = {
		INDEX(""),
		MANIFEST("7"),
		MANIFEST("{}"),
		MANIFEST(D(OCI "layer.v1.tar", "-1")),
		MANIFEST(D(OCI "layer.v1.tar", "1.5")),
		MANIFEST(D(OCI "layer.v1.tar", "\"1\"")),
		MANIFEST(D(OCI "layer.v1.tar", "99999999999999")),
		MANIFEST(D(OCI "layer.v1.tar", "68719476736") "," LAYER), /* together too large */
		MANIFEST(D(OCI "layer.v1.tar+lzma", "1")),
		MANIFEST(D(OCI "layer.nondistributable.v1.tar", "1")),
		MANIFEST(D(DOCKER "image.rootfs.foreign.diff.tar.gzip", "1")),
		MANIFEST(D("a\\nb", "1")),
		MANIFEST("{\"mediaType\":\"" OCI "layer.v1.tar\",\"size\":1,\"digest\":\"" DIGEST
			 "\",\"urls\":[\"https://example.com/x\"]}"),
		MANIFEST("{\"mediaType\":\"" OCI
			 "layer.v1.tar\",\"size\":1,\"digest\":\"sha256:../../x\"}"),
		MANIFEST("{\"mediaType\":\"" OCI
			 "layer.v1.tar\",\"size\":1,\"digest\":\"sha512:" HEX HEX "\"}"),
		"{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":{}}",
		"{\"schemaVersion\":2,\"layers\":[]}",
		"{\"schemaVersion\":2,\"config\":" LAYER ",\"layers\":[]}",
		"{\"schemaVersion\":2,\"config\":" D(OCI "config.v1+json",
						     "4194305") ",\"layers\":[]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_image_manifest m = { 0 };
		struct err e = ERR_INIT;

		assert_true(image_manifest_parse(cases[i], strlen(cases[i]), &m, &e) < 0);
		assert_int_equal(e.kind, ERR_INPUT);
	}
}

static void limits(void **state)
{
	auto_image_manifest m = { 0 };
	struct err e = ERR_INIT;
	auto_buf b = BUF_INIT;

	(void)state;
	for (int n = 127; n <= 128; n++) {
		buf_reset(&b);
		buf_puts(&b, "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[");
		for (int i = 0; i < n; i++)
			buf_printf(&b, "%s%s", i ? "," : "", LAYER);
		buf_puts(&b, "]}");
		assert_int_equal(image_manifest_parse(b.data, b.len, &m, &e),
				 n == 127 ? 0 : -E2BIG);
		image_manifest_clear(&m);
	}
	buf_reset(&b);
	buf_puts(&b, MANIFEST(LAYER));
	while (b.len <= IMAGE_DOCUMENT_MAX)
		buf_puts(&b, "                                                            ");
	assert_int_equal(image_manifest_parse(b.data, b.len, &m, &e), -EFBIG);
}

static void platform_choice(void **state)
{
#define VARIANT(v) ",\"variant\":\"" v "\""
	static const struct {
		const char *index, *want;
		uint64_t size; /* 0: none fits */
	} cases[] = {
		{ INDEX(ENTRY("linux", "arm64", "") "," ENTRY("linux", "amd64", "")), "amd64", 7 },
		{ INDEX(ENTRY("windows", "amd64", "")), "linux/amd64", 0 },
		{ INDEX(ENTRY("linux", "arm64", VARIANT("v8"))), "linux/arm64", 7 },
		{ INDEX(ENTRY("linux", "arm64", VARIANT("v9"))), "linux/arm64/v8", 0 },
		{ INDEX(ENTRY("linux", "arm64", "")), "aarch64/v8", 7 },
		{ INDEX(ENTRY("unknown", "unknown", "")), "amd64", 0 },
		{ INDEX(""), "amd64", 0 },
		{ INDEX(D(M_TYPE, "9")), "amd64", 9 },
		{ INDEX(D(I_TYPE, "9")), "amd64", 9 },
		{ INDEX(D(M_TYPE, "9") "," D(M_TYPE, "8")), "amd64", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct image_platform want = { 0 };
		struct image_descriptor d = { 0 };
		struct err e = ERR_INIT;
		int r;

		assert_int_equal(image_platform_parse(cases[i].want, &want, NULL), 0);
		r = image_index_choose(cases[i].index, strlen(cases[i].index), &want, &d, &e);
		assert_int_equal(r, cases[i].size ? 0 : -ENOENT);
		assert_int_equal(d.size, cases[i].size);
		image_descriptor_clear(&d);
		image_platform_clear(&want);
	}
}

static void variants_that_all_machines_run_win(void **state)
{
	static const char text[] = INDEX("{\"mediaType\":\"" M_TYPE "\",\"digest\":\"" DIGEST
					 "\",\"size\":1,\"platform\":{\"os\":\"linux\","
					 "\"architecture\":\"amd64\",\"variant\":\"v3\"}}"
					 "," ENTRY("linux", "amd64", ""));
	struct image_platform want = { 0 };
	struct image_descriptor d = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(image_platform_parse("amd64", &want, NULL), 0);
	assert_int_equal(image_index_choose(text, strlen(text), &want, &d, NULL), 0);
	assert_int_equal(d.size, 7);
	image_descriptor_clear(&d);
	image_platform_clear(&want);
	assert_int_equal(image_platform_parse("linux/mips", &want, &e), -EINVAL);
	assert_int_equal(image_platform_parse("linux/amd64/../x", &want, &e), -EINVAL);
	assert_int_equal(image_platform_parse(NULL, &want, NULL), 0);
	image_platform_clear(&want);
}

#define CONF(run)                                                                                  \
	"{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{" run                            \
	"},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" DIGEST "\"]}}"

static int conf(const char *text, struct image_config *c, struct err *e)
{
	return image_config_parse(text, strlen(text), c, e);
}

static void a_configuration(void **state)
{
	static const char text[] =
		CONF("\"Env\":[\"HOST_SECRET\",\"=x\",\"A=b\"],\"User\":\"node:9\","
		     "\"WorkingDir\":\"a/./b/\",\"Entrypoint\":null,\"Cmd\":[\"sh\"],"
		     "\"Labels\":{\"k\":\"v\"},\"Volumes\":{\"/\":{}}");
	auto_image_config c = { 0 };

	(void)state;
	assert_int_equal(conf(text, &c, NULL), 0);
	assert_int_equal(c.env.n, 1);
	assert_string_equal(c.env.v[0], "A=b");
	assert_string_equal(c.working_dir, "/a/b");
	assert_string_equal(c.user, "node:9");
	assert_string_equal(c.cmd.v[0], "sh");
	assert_string_equal(c.diff_ids.v[0], DIGEST);
}

static void bad_configurations(void **state)
{
	static const char *const cases[] = {
		"[]",
		"{}",
		"{\"os\":\"windows\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\","
		"\"diff_ids\":[]}}",
		"{\"os\":\"linux\",\"architecture\":\"amd64\"}",
		"{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\","
		"\"diff_ids\":[\"sha256:../../x\"]}}",
		CONF("\"User\":\"1abc\""),
		CONF("\"User\":\"-1\""),
		CONF("\"User\":\"4294967296\""),
		CONF("\"User\":\"4294967295\""),
		CONF("\"User\":\"0:x\""),
		CONF("\"User\":\"0x0\""),
		CONF("\"User\":\"../../etc/passwd\""),
		CONF("\"User\":\":0\""),
		CONF("\"User\":7"),
		CONF("\"Env\":\"A=b\""),
		CONF("\"Env\":[7]"),
		CONF("\"WorkingDir\":\"/a/../b\""),
		CONF("\"WorkingDir\":\"/proc/self/fd/7\""),
		CONF("\"Labels\":{\"a\":7}"),
		CONF("\"Cmd\":{}"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_image_config c = { 0 };
		struct err e = ERR_INIT;

		assert_true(conf(cases[i], &c, &e) < 0);
		assert_int_equal(e.kind, ERR_INPUT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_document_is),
		cmocka_unit_test(confusion_is_refused),
		cmocka_unit_test(a_manifest),
		cmocka_unit_test(bad_manifests),
		cmocka_unit_test(limits),
		cmocka_unit_test(platform_choice),
		cmocka_unit_test(variants_that_all_machines_run_win),
		cmocka_unit_test(a_configuration),
		cmocka_unit_test(bad_configurations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
