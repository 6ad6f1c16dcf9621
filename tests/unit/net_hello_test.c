/* SPDX-License-Identifier: Apache-2.0 */
/* The server name in a ClientHello, whole, in pieces, and wrong in every field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "net/net_internal.h"

static void put(struct buf *b, unsigned v, size_t bytes)
{
	while (bytes-- > 0)
		buf_putc(b, (char)(v >> (8 * bytes)));
}

static void put_vector(struct buf *b, size_t length_bytes, const void *data, size_t n)
{
	put(b, (unsigned)n, length_bytes);
	buf_add(b, data, n);
}

static void put_extension(struct buf *exts, unsigned type, const void *data, size_t n)
{
	put(exts, type, 2);
	put_vector(exts, 2, data, n);
}

static void put_sni(struct buf *exts, const char *name)
{
	struct buf list = BUF_INIT, ext = BUF_INIT;

	put(&list, 0, 1);
	put_vector(&list, 2, name, strlen(name));
	put_vector(&ext, 2, list.data, list.len);
	put_extension(exts, 0, ext.data, ext.len);
	buf_free(&list);
	buf_free(&ext);
}

/* The handshake message with these extensions (NULL: none at all). */
static struct buf message(const struct buf *exts)
{
	struct buf body = BUF_INIT, msg = BUF_INIT;
	static const char random[32] = "r";

	put(&body, 0x0303, 2);
	buf_add(&body, random, 32);
	put_vector(&body, 1, random, 32);
	put_vector(&body, 2, "\x13\x01\x13\x02", 4);
	put_vector(&body, 1, "", 1);
	if (exts != NULL)
		put_vector(&body, 2, exts->data, exts->len);
	put(&msg, 1, 1);
	put_vector(&msg, 3, body.data, body.len);
	buf_free(&body);
	return msg;
}

/* In records of at most `size` bytes. */
static struct buf records(const struct buf *msg, size_t size)
{
	struct buf out = BUF_INIT;

	for (size_t i = 0; i < msg->len; i += size) {
		size_t n = msg->len - i < size ? msg->len - i : size;

		put(&out, 0x160301, 3);
		put_vector(&out, 2, msg->data + i, n);
	}
	return out;
}

static int parse(const struct buf *b, struct tls_hello *ret)
{
	return tls_hello_parse((const uint8_t *)b->data, b->len, ret);
}

static struct buf hello_of(const struct buf *exts)
{
	struct buf msg = message(exts), out = records(&msg, 16384);

	buf_free(&msg);
	return out;
}

static void the_name_is_found(void **state)
{
	struct buf exts = BUF_INIT, all;
	struct tls_hello h;

	(void)state;
	put_extension(&exts, 43, "\x02\x03\x04", 3);
	put_sni(&exts, "api.example.com");
	put_extension(&exts, 0x0a0a, "", 0);
	all = hello_of(&exts);
	assert_int_equal(parse(&all, &h), 1);
	assert_string_equal(h.sni, "api.example.com");
	assert_int_equal(h.sni_len, 15);
	assert_false(h.ech);
	buf_free(&exts);
	buf_free(&all);
}

static void every_prefix_needs_more(void **state)
{
	struct buf exts = BUF_INIT, msg;
	static const size_t sizes[] = { 16384, 40, 5, 1 };

	(void)state;
	put_sni(&exts, "a.test");
	msg = message(&exts);
	for (size_t i = 0; i < 4; i++) {
		struct buf all = records(&msg, sizes[i]);
		struct tls_hello h;

		for (size_t n = 0; n < all.len; n++)
			assert_int_equal(tls_hello_parse((const uint8_t *)all.data, n, &h), 0);
		assert_int_equal(parse(&all, &h), 1);
		assert_string_equal(h.sni, "a.test");
		buf_free(&all);
	}
	buf_free(&exts);
	buf_free(&msg);
}

static void no_name(void **state)
{
	struct buf empty = BUF_INIT, with = hello_of(&empty), without = hello_of(NULL);
	struct tls_hello h;

	(void)state;
	assert_int_equal(parse(&with, &h), 1);
	assert_int_equal(h.sni_len, 0);
	assert_int_equal(parse(&without, &h), 1);
	assert_int_equal(h.sni_len, 0);
	buf_free(&with);
	buf_free(&without);
}

static void ech_is_seen(void **state)
{
	static const unsigned types[] = { 0xfe0d, 0xffce };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct buf exts = BUF_INIT, all;
		struct tls_hello h;

		put_sni(&exts, "a.test");
		put_extension(&exts, types[i], "xyz", 3);
		all = hello_of(&exts);
		assert_int_equal(parse(&all, &h), 1);
		assert_true(h.ech);
		buf_free(&exts);
		buf_free(&all);
	}
}

static void check_bad_extensions(struct buf *exts)
{
	struct buf all = hello_of(exts);
	struct tls_hello h;

	assert_int_equal(parse(&all, &h), -EBADMSG);
	buf_free(&all);
	buf_free(exts);
}

static void bad_names(void **state)
{
	struct buf exts = BUF_INIT;
	char big[400];

	(void)state;
	put_sni(&exts, "a.test");
	put_sni(&exts, "b.test");
	check_bad_extensions(&exts);
	put_sni(&exts, "");
	check_bad_extensions(&exts);
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	put_sni(&exts, big);
	check_bad_extensions(&exts);
	put_extension(&exts, 0, "\0\x04\1\0\1a", 6); /* another type of name */
	check_bad_extensions(&exts);
	put_extension(&exts, 0, "\0\x08\0\0\1a\0\0\1b", 10); /* two names in one list */
	check_bad_extensions(&exts);
	put_extension(&exts, 0, "\0\x04\0\0\1aX", 7); /* something behind the list */
	check_bad_extensions(&exts);
	put_extension(&exts, 0, "\0\x09\0\0\1a", 6); /* a list longer than its extension */
	check_bad_extensions(&exts);
	put_extension(&exts, 0, "", 0);
	check_bad_extensions(&exts);
	put(&exts, 0, 2); /* an extension that is cut off */
	put(&exts, 9, 2);
	check_bad_extensions(&exts);
}

static void other_protocols(void **state)
{
	static const char *const firsts[] = { "SSH-2.0-x\r\n", "GET / HTTP/1.1\r\n", "\x80\x2e\x01",
					      "\x17\x03\x03", "\x16\x02\x01" };
	struct tls_hello h;
	struct buf msg = BUF_INIT, all;

	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(tls_hello_parse((const uint8_t *)firsts[i], strlen(firsts[i]), &h),
				 -EBADMSG);
	assert_int_equal(tls_hello_parse((const uint8_t *)"\x16\x03\x01\0\0", 5, &h), -EBADMSG);
	assert_int_equal(tls_hello_parse((const uint8_t *)"\x16\x03\x01\x41\0", 5, &h), -EBADMSG);
	put(&msg, 2, 1); /* a ServerHello */
	put(&msg, 40, 3);
	all = records(&msg, 100);
	assert_int_equal(parse(&all, &h), -EBADMSG);
	buf_free(&msg);
	buf_free(&all);
}

static void bytes_behind_the_message(void **state)
{
	struct buf exts = BUF_INIT, msg, all;
	struct tls_hello h;

	(void)state;
	put_sni(&exts, "a.test");
	msg = message(&exts);
	buf_putc(&msg, 1);
	all = records(&msg, 16384);
	assert_int_equal(parse(&all, &h), -EBADMSG);
	buf_free(&exts);
	buf_free(&msg);
	buf_free(&all);
}

static void too_long(void **state)
{
	static char pad[20000];
	struct buf exts = BUF_INIT, msg, all;
	struct tls_hello h;

	(void)state;
	put_sni(&exts, "a.test");
	put_extension(&exts, 21, pad, sizeof(pad));
	msg = message(&exts);
	all = records(&msg, 16384);
	for (size_t n = 10; n < all.len; n += 500)
		assert_int_equal(tls_hello_parse((const uint8_t *)all.data, n, &h), -EBADMSG);
	buf_free(&exts);
	buf_free(&msg);
	buf_free(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_name_is_found),
		cmocka_unit_test(every_prefix_needs_more),
		cmocka_unit_test(no_name),
		cmocka_unit_test(ech_is_seen),
		cmocka_unit_test(bad_names),
		cmocka_unit_test(other_protocols),
		cmocka_unit_test(bytes_behind_the_message),
		cmocka_unit_test(too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
