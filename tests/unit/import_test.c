/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of image/import.c: which image of a layout is meant; of image/compose_verb.c: the
 * configuration of an image that is made out of another one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "image/import_internal.h"

#define ENTRY(digit, name)                                                                         \
	"{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"size\":2,"                \
	"\"digest\":\"sha256:" digit "\",\"annotations\":{"                                        \
	"\"org.opencontainers.image.ref.name\":\"" name "\"}}"
#define NAMELESS    "{\"mediaType\":\"x\",\"size\":2,\"digest\":\"sha256:n\"}"
#define INDEX(list) "{\"schemaVersion\":2,\"manifests\":[" list "]}"

/* The digests of what is chosen, or the failure. */
static int choose(const char *text, const char *tag, struct buf *ret, struct err *e)
{
	auto_buf out = BUF_INIT;
	auto_json j = NULL;
	const struct json *list;
	int r = import_choose(text, strlen(text), tag, &out, e);

	buf_reset(ret);
	if (r < 0)
		return r;
	assert_int_equal(json_parse(out.data, out.len, &j, NULL), 0);
	list = json_get(j, "manifests");
	for (size_t i = 0; i < json_len(list); i++) {
		const char *digest;

		assert_int_equal(json_get_string(json_at(list, i), "digest", &digest), 0);
		buf_puts(ret, digest + strlen("sha256:"));
	}
	return 0;
}

static void test_choose(void **state)
{
	static const struct {
		const char *index;
		const char *tag;
		const char *chosen; /* NULL: -ENOENT */
	} cases[] = {
		{ INDEX(ENTRY("1", "a")), NULL, "1" },
		{ INDEX(ENTRY("1", "a")), "a", "1" },
		{ INDEX(ENTRY("1", "a")), "b", NULL },
		{ INDEX(ENTRY("1", "a") "," ENTRY("2", "latest")), NULL, "2" },
		{ INDEX(ENTRY("1", "a") "," ENTRY("2", "b")), NULL, NULL },
		{ INDEX(ENTRY("1", "a") "," ENTRY("2", "b")), "b", "2" },
		{ INDEX(ENTRY("1", "docker.io/library/x:a")), "a", "1" },
		{ INDEX(ENTRY("1", "a") "," ENTRY("2", "a")), NULL, "12" },
		{ INDEX(NAMELESS "," NAMELESS), NULL, "nn" },
		{ INDEX(NAMELESS), "a", NULL },
		{ INDEX(""), NULL, NULL },
	};
	auto_buf seen = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = choose(cases[i].index, cases[i].tag, &seen, NULL);

		assert_int_equal(r, cases[i].chosen ? 0 : -ENOENT);
		assert_string_equal(buf_str(&seen), cases[i].chosen ? cases[i].chosen : "");
	}
}

static void test_refused(void **state)
{
	struct err e = ERR_INIT;
	auto_buf seen = BUF_INIT;

	(void)state;
	assert_int_equal(choose(INDEX(ENTRY("1", "a\\u001b") "," ENTRY("2", "b")), "c", &seen, &e),
			 -ENOENT);
	assert_string_equal(e.message, "no image in it has the tag 'c'");
	assert_string_equal(e.hint, "it has: a\\x1b, b");
	assert_true(choose("{\"schemaVersion\":2,\"layers\":[],\"config\":{}}", NULL, &seen, NULL) <
		    0);
	assert_true(choose("[]", NULL, &seen, NULL) < 0);
	assert_true(choose("{\"schemaVersion\":2,\"manifests\":{}}", "a", &seen, NULL) < 0);
}

#define DIFF_ID "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* The configuration as text, or the failure. */
static int composed(const char *base, const char *request, struct buf *ret)
{
	auto_json b = NULL;
	auto_json q = NULL;
	auto_json out = NULL;
	int r;

	if (base)
		assert_int_equal(json_parse(base, strlen(base), &b, NULL), 0);
	assert_int_equal(json_parse(request, strlen(request), &q, NULL), 0);
	r = compose_config(b, q, &out, NULL);
	buf_reset(ret);
	if (r == 0)
		json_write(out, false, ret);
	return r;
}

static void test_compose(void **state)
{
	static const char layer[] = "{\"created\":\"T\",\"platform\":\"linux/arm64/"
				    "v8\",\"layers\":[{\"diff_id\":\"" DIFF_ID
				    "\"}],\"history\":[{\"created_by\":\"RUN "
				    "x\"}],\"config\":{\"Cmd\":[\"sh\"],\"User\":null}}";
	static const char none[] = "{\"created\":\"T\",\"platform\":\"linux/amd64\",\"layers\":[],"
				   "\"history\":[],\"config\":null}";
	auto_buf out = BUF_INIT;

	(void)state;
	assert_int_equal(composed(NULL, layer, &out), 0);
	assert_string_equal(
		buf_str(&out),
		"{\"architecture\":\"arm64\",\"os\":\"linux\",\"variant\":\"v8\",\"config\":{"
		"\"Cmd\":"
		"[\"sh\"],\"User\":null},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" DIFF_ID
		"\"]},\"history\":[{\"created_by\":\"RUN x\"}],\"created\":\"T\"}");
	/* What is not known stays; layers and history are brought to the same number. */
	assert_int_equal(
		composed("{\"config\":{\"Env\":[\"A=b\"],\"Cmd\":null},\"x\":[1.5],\"rootfs\":{"
			 "\"diff_ids\":[\"a\"]},\"history\":[{\"empty_layer\":true}]}",
			 layer, &out),
		0);
	assert_string_equal(buf_str(&out),
			    "{\"config\":{\"Env\":[\"A=b\"],\"Cmd\":[\"sh\"],\"User\":null},\"x\":["
			    "1.5],\"rootfs\":{"
			    "\"diff_ids\":[\"a\",\"" DIFF_ID
			    "\"]},\"history\":[{\"empty_layer\":true},{\"created\":"
			    "\"T\",\"comment\":\"layer was added\"},{\"created_by\":\"RUN "
			    "x\"}],\"created\":\"T\"}");
	assert_int_equal(composed("{\"rootfs\":{\"diff_ids\":[]}}", none, &out), 0);
	assert_int_equal(composed(NULL, "{}", &out), -EINVAL);
	assert_int_equal(composed(NULL,
				  "{\"created\":\"T\",\"platform\":\"linux/amd64\",\"layers\":"
				  "[{\"diff_id\":\"md5:0\"}],\"history\":[]}",
				  &out),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_compose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
