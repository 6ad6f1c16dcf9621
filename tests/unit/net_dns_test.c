/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages, hosts(5) and resolv.conf(5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "net/net_internal.h"

enum { ID = 0x1234 };

static void put16(struct buf *b, unsigned v)
{
	buf_putc(b, (char)(v >> 8));
	buf_putc(b, (char)v);
}

static void put_name(struct buf *b, const char *name)
{
	while (*name != '\0') {
		size_t n = strcspn(name, ".");

		buf_putc(b, (char)n);
		buf_add(b, name, n);
		name += n + (name[n] == '.');
	}
	buf_putc(b, '\0');
}

static struct buf reply(unsigned flags, const char *name, unsigned type, unsigned answers)
{
	struct buf b = BUF_INIT;

	put16(&b, ID);
	put16(&b, flags);
	put16(&b, 1);
	put16(&b, answers);
	put16(&b, 0);
	put16(&b, 0);
	put_name(&b, name);
	put16(&b, type);
	put16(&b, 1);
	return b;
}

/* owner NULL: a pointer to the question's name. */
static void put_rr(struct buf *b, const char *owner, unsigned type, unsigned ttl, const void *data,
		   size_t n)
{
	if (owner == NULL)
		put16(b, 0xc00c);
	else
		put_name(b, owner);
	put16(b, type);
	put16(b, 1);
	put16(b, ttl >> 16);
	put16(b, ttl);
	put16(b, (unsigned)n);
	buf_add(b, data, n);
}

static int parse(const struct buf *b, const char *name, uint16_t type, struct dns_answer *ret)
{
	return dns_answer_parse((const uint8_t *)b->data, b->len, ID, name, type, ret);
}

static void a_query(void **state)
{
	static const uint8_t want[] = { 0x12, 0x34, 1,	0,    0,    1,	 0,   0, 0, 0,	0, 1,
					1,    'a',  4,	't',  'e',  's', 't', 0, 0, 28, 0, 1,
					0,    0,    41, 0x04, 0xd0, 0,	 0,   0, 0, 0,	0 };
	uint8_t out[DNS_QUERY_MAX];
	char longest[254];
	size_t n;

	(void)state;
	assert_int_equal(dns_query_build(ID, "a.test", DNS_TYPE_AAAA, out, &n), 0);
	assert_int_equal(n, sizeof(want));
	assert_memory_equal(out, want, n);
	assert_int_equal(dns_query_build(ID, "", DNS_TYPE_A, out, &n), -EINVAL);
	assert_int_equal(dns_query_build(ID, "a..b", DNS_TYPE_A, out, &n), -EINVAL);
	memset(longest, 'a', sizeof(longest));
	longest[253] = '\0';
	assert_int_equal(dns_query_build(ID, longest, DNS_TYPE_A, out, &n), -EINVAL);
	for (size_t i = 63; i < 253; i += 64)
		longest[i] = '.';
	assert_int_equal(dns_query_build(ID, longest, DNS_TYPE_A, out, &n), 0);
	assert_true(n <= DNS_QUERY_MAX);
}

static void addresses(void **state)
{
	struct buf b = reply(0x8180, "a.test", DNS_TYPE_A, 3);
	struct dns_answer a;

	(void)state;
	put_rr(&b, NULL, DNS_TYPE_A, 300, "\1\2\3\4", 4);
	put_rr(&b, "evil.test", DNS_TYPE_A, 1, "\6\6\6\6", 4);
	put_rr(&b, "A.TEST", DNS_TYPE_A, 60, "\5\6\7\10", 4);
	assert_int_equal(parse(&b, "a.test", DNS_TYPE_A, &a), 0);
	assert_int_equal(a.count, 2);
	assert_int_equal(a.ttl, 60);
	assert_memory_equal(a.addr[1].bytes, "\5\6\7\10", 4);
	assert_false(a.addr[1].v6);
	buf_free(&b);
}

static void chains(void **state)
{
	struct buf b = reply(0x8180, "a.test", DNS_TYPE_AAAA, 3), name = BUF_INIT, loop;
	struct dns_answer a;
	static const char v6[16] = "\x20\x01";

	(void)state;
	put_name(&name, "c.test");
	put_rr(&b, "b.test", 5, 20, name.data, name.len); /* out of order on purpose */
	put_rr(&b, "c.test", DNS_TYPE_AAAA, 90, v6, 16);
	buf_reset(&name);
	put_name(&name, "b.test");
	put_rr(&b, NULL, 5, 30, name.data, name.len);
	assert_int_equal(parse(&b, "a.test", DNS_TYPE_AAAA, &a), 0);
	assert_int_equal(a.count, 1);
	assert_true(a.addr[0].v6);
	assert_int_equal(a.ttl, 20);
	buf_free(&b);
	loop = reply(0x8180, "a.test", DNS_TYPE_A, 1);
	put_rr(&loop, NULL, 5, 30, "\xc0\x0c", 2);
	assert_int_equal(parse(&loop, "a.test", DNS_TYPE_A, &a), 0);
	assert_int_equal(a.count, 0);
	buf_free(&loop);
	buf_free(&name);
}

static void no_address(void **state)
{
	struct buf b = reply(0x8183, "a.test", DNS_TYPE_A, 0);
	struct dns_answer a;

	(void)state;
	assert_int_equal(parse(&b, "a.test", DNS_TYPE_A, &a), 0);
	assert_int_equal(a.rcode, DNS_RCODE_NXDOMAIN);
	b.data[2] |= 2;
	assert_int_equal(parse(&b, "a.test", DNS_TYPE_A, &a), 0);
	assert_true(a.truncated);
	buf_free(&b);
}

static void answers_to_others(void **state)
{
	struct buf b = reply(0x8180, "a.test", DNS_TYPE_A, 0);
	struct dns_answer a;

	(void)state;
	assert_int_equal(parse(&b, "b.test", DNS_TYPE_A, &a), -EBADMSG);
	assert_int_equal(parse(&b, "a.test", DNS_TYPE_AAAA, &a), -EBADMSG);
	b.data[0] ^= 1;
	assert_int_equal(parse(&b, "a.test", DNS_TYPE_A, &a), -EBADMSG);
	b.data[0] ^= 1;
	b.data[2] = 0; /* a query, not an answer */
	assert_int_equal(parse(&b, "a.test", DNS_TYPE_A, &a), -EBADMSG);
	buf_free(&b);
}

static void cut_off_and_wrong(void **state)
{
	struct buf b = reply(0x8180, "a.test", DNS_TYPE_A, 1);
	struct dns_answer a;

	(void)state;
	put_rr(&b, NULL, DNS_TYPE_A, 300, "\1\2\3\4", 4);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(
			dns_answer_parse((const uint8_t *)b.data, n, ID, "a.test", DNS_TYPE_A, &a),
			-EBADMSG);
	buf_free(&b);
	b = reply(0x8180, "a.test", DNS_TYPE_A, 1);
	put_rr(&b, NULL, DNS_TYPE_A, 300, "\1\2\3\4\5", 5);
	assert_int_equal(parse(&b, "a.test", DNS_TYPE_A, &a), -EBADMSG);
	buf_free(&b);
	b = reply(0x8180, "a.test", DNS_TYPE_A, 1);
	put16(&b, (unsigned)(0xc000 | b.len)); /* a pointer to itself */
	buf_add(&b, "\0\1\0\1\0\0\0\0\0\4abcd", 14);
	assert_int_equal(parse(&b, "a.test", DNS_TYPE_A, &a), -EBADMSG);
	buf_free(&b);
	b = reply(0x8180, "a.test", DNS_TYPE_A, 1);
	buf_add(&b,
		"\x08"
		"a.test\0\0",
		9); /* a dot and a NUL inside of labels */
	assert_int_equal(parse(&b, "a.test", DNS_TYPE_A, &a), -EBADMSG);
	buf_free(&b);
}

static void many_addresses(void **state)
{
	struct buf b = reply(0x8180, "a.test", DNS_TYPE_A, 40);
	struct dns_answer a;

	(void)state;
	for (int i = 0; i < 40; i++)
		put_rr(&b, NULL, DNS_TYPE_A, 300, "\1\2\3\4", 4);
	assert_int_equal(parse(&b, "a.test", DNS_TYPE_A, &a), 0);
	assert_int_equal(a.count, DNS_ADDRESSES_MAX);
	b.data[7] = (char)200;
	assert_int_equal(parse(&b, "a.test", DNS_TYPE_A, &a), -EBADMSG);
	buf_free(&b);
}

static void hosts_file(void **state)
{
	static const char text[] = "# comment\n127.0.0.1 localhost # a.test\n"
				   "192.0.2.1\tA.Test. b.test\r\n::1 a.test\nbroken a.test\n"
				   "192.0.2.2 a.test a.test\n192.0.2.3";
	struct dns_answer a;

	(void)state;
	assert_int_equal(hosts_lookup(text, strlen(text), "a.test", &a), 3);
	assert_memory_equal(a.addr[0].bytes, "\xc0\0\2\1", 4);
	assert_true(a.addr[1].v6);
	assert_int_equal(hosts_lookup(text, strlen(text), "b.test", &a), 1);
	assert_int_equal(hosts_lookup(text, strlen(text), "test", &a), 0);
	assert_int_equal(hosts_lookup("", 0, "a.test", &a), 0);
}

static void resolv_conf_file(void **state)
{
	static const char text[] = "; c\nsearch x.test\nnameserver 192.0.2.53 # x\n"
				   " nameserver 2001:db8::53\nnameserver\nnameserver bad\n"
				   "nameserver 192.0.2.54\nnameserver 192.0.2.55\noptions x";
	struct resolv_conf c;
	char out[INET_ADDRSTRLEN];

	(void)state;
	resolv_conf_parse(text, strlen(text), &c);
	assert_int_equal(c.n, 3);
	assert_int_equal(c.server[1].ss_family, AF_INET6);
	assert_int_equal(((struct sockaddr_in *)&c.server[0])->sin_port, htons(53));
	inet_ntop(AF_INET, &((struct sockaddr_in *)&c.server[2])->sin_addr, out, sizeof(out));
	assert_string_equal(out, "192.0.2.54");
	resolv_conf_parse("", 0, &c);
	assert_int_equal(c.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_query),
		cmocka_unit_test(addresses),
		cmocka_unit_test(chains),
		cmocka_unit_test(no_address),
		cmocka_unit_test(answers_to_others),
		cmocka_unit_test(cut_off_and_wrong),
		cmocka_unit_test(many_addresses),
		cmocka_unit_test(hosts_file),
		cmocka_unit_test(resolv_conf_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
