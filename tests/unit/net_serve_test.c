/* SPDX-License-Identifier: Apache-2.0 */
/* What the box's name server reads and writes, and the addresses that stand for names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/net_internal.h"

enum { ID = 0x1234, NAMES_EACH = NAMES_MAX + 1000 };

struct query {
	uint8_t bytes[600];
	size_t n;
};

/* A query for a name as it is written, with EDNS when edns is not NULL. */
static struct query query(const char *name, unsigned type, const char *edns, size_t edns_size)
{
	struct query q = { .bytes = { ID >> 8, ID & 0xff, 1, 0, 0, 1, [11] = edns != NULL },
			   .n = 12 };

	while (*name != '\0') {
		size_t n = strcspn(name, ".");

		q.bytes[q.n++] = (uint8_t)n;
		memcpy(q.bytes + q.n, name, n);
		q.n += n;
		name += n + (name[n] == '.');
	}
	q.bytes[q.n++] = 0;
	q.bytes[q.n++] = (uint8_t)(type >> 8);
	q.bytes[q.n++] = (uint8_t)type;
	q.bytes[q.n++] = 0;
	q.bytes[q.n++] = DNS_CLASS_IN;
	if (edns != NULL) {
		memcpy(q.bytes + q.n, edns, edns_size);
		q.n += edns_size;
	}
	return q;
}

static const char opt[] = { 0, 0, 41, 4, (char)0xd0, 0, 0, 0, 0, 0, 0 };

static void questions(void **state)
{
	struct query q = query("API.Example.com", DNS_TYPE_A, opt, sizeof(opt));
	struct dns_question r;

	(void)state;
	assert_int_equal(dns_question_parse(q.bytes, q.n, &r), 0);
	assert_string_equal(r.name, "api.example.com");
	assert_int_equal(r.id, ID);
	assert_int_equal(r.type, DNS_TYPE_A);
	assert_true(r.edns);
	/* As it came: the case of letters is somebody's secret. */
	assert_memory_equal(r.bytes, q.bytes + 12, r.size);
	q = query("", 2, NULL, 0);
	assert_int_equal(dns_question_parse(q.bytes, q.n, &r), 0);
	assert_string_equal(r.name, "");
	assert_false(r.edns);
}

/* The longest name takes 255 bytes of a message; one more is refused, not written past the end. */
static void long_names(void **state)
{
	char name[300];
	struct query q;
	struct dns_question r;

	(void)state;
	memset(name, 'a', sizeof(name));
	name[63] = name[127] = name[191] = '.';
	for (size_t n = 253; n <= 255; n++) {
		name[n] = '\0';
		q = query(name, DNS_TYPE_A, NULL, 0);
		assert_int_equal(dns_question_parse(q.bytes, q.n, &r), n == 253 ? 0 : -EBADMSG);
		name[n] = 'a';
	}
}

static void bad_questions(void **state)
{
	struct query q = query("a.test", DNS_TYPE_A, NULL, 0);
	struct dns_question r;

	(void)state;
	for (size_t n = 0; n < q.n; n++)
		assert_int_equal(dns_question_parse(q.bytes, n, &r), n < 12 ? -ENOMSG : -EBADMSG);
	q.bytes[q.n++] = 0; /* more than it says */
	assert_int_equal(dns_question_parse(q.bytes, q.n, &r), -EBADMSG);
	q = query("a.test", DNS_TYPE_A, NULL, 0);
	q.bytes[2] |= 0x80; /* an answer: answering it could go on for ever */
	assert_int_equal(dns_question_parse(q.bytes, q.n, &r), -ENOMSG);
	q.bytes[2] = 0x28; /* UPDATE */
	assert_int_equal(dns_question_parse(q.bytes, q.n, &r), -EOPNOTSUPP);
	assert_int_equal(r.id, ID);
	q = query("a.test", DNS_TYPE_A, NULL, 0);
	q.bytes[5] = 2;
	assert_int_equal(dns_question_parse(q.bytes, q.n, &r), -EBADMSG);
	q = query("a.test", DNS_TYPE_A, NULL, 0);
	q.bytes[12] = 0xc0; /* a pointer, where nothing was before */
	q.bytes[13] = 4;
	assert_int_equal(dns_question_parse(q.bytes, q.n, &r), -EBADMSG);
	q = query("a.test", DNS_TYPE_A, opt, sizeof(opt) - 1);
	assert_int_equal(dns_question_parse(q.bytes, q.n, &r), -EBADMSG);
}

static void replies(void **state)
{
	const struct dns_address four = { .bytes = { 198, 18, 1, 2 } };
	struct query q = query("a.TEST", DNS_TYPE_A, NULL, 0);
	struct dns_reply reply = { .ttl = 60, .address = &four };
	uint8_t out[DNS_REPLY_MAX];
	struct dns_question question;
	struct dns_answer answer;
	size_t n;

	(void)state;
	assert_int_equal(dns_question_parse(q.bytes, q.n, &question), 0);
	n = dns_reply_build(&question, &reply, out);
	assert_memory_equal(out + 12, q.bytes + 12, q.n - 12);
	/* Our own resolver reads it. */
	assert_int_equal(dns_answer_parse(out, n, ID, "a.test", DNS_TYPE_A, &answer), 0);
	assert_int_equal(answer.count, 1);
	assert_int_equal(answer.ttl, 60);
	assert_memory_equal(answer.addr[0].bytes, four.bytes, 4);
	assert_true((out[3] & 0x80) != 0); /* or glibc takes "no records" for a lame server */
	reply = (struct dns_reply){ .rcode = DNS_RCODE_NXDOMAIN, .why = "no rule allows it" };
	n = dns_reply_build(&question, &reply, out);
	assert_int_equal(n, q.n); /* no EDNS, so no reason */
	assert_int_equal(dns_answer_parse(out, n, ID, "a.test", DNS_TYPE_A, &answer), 0);
	assert_int_equal(answer.rcode, DNS_RCODE_NXDOMAIN);
	q = query("a.test", DNS_TYPE_A, opt, sizeof(opt));
	assert_int_equal(dns_question_parse(q.bytes, q.n, &question), 0);
	n = dns_reply_build(&question, &reply, out);
	assert_memory_equal(out + n - strlen(reply.why), reply.why, strlen(reply.why));
	assert_int_equal(dns_answer_parse(out, n, ID, "a.test", DNS_TYPE_A, &answer), 0);
}

/* The largest of everything fits. */
static void sizes(void **state)
{
	char name[DNS_NAME_MAX] = "", label[64] = "", why[300] = "";
	struct query q;
	struct dns_question question;
	struct dns_reply reply = { .rcode = DNS_RCODE_NXDOMAIN, .why = why };
	uint8_t out[DNS_REPLY_MAX];
	char longest[POLICY_HOST_MAX + 1] = "";

	(void)state;
	memset(label, 'a', 63);
	memset(why, 'w', sizeof(why) - 1);
	snprintf(name, sizeof(name), "%s.%s.%s.%.61s", label, label, label, label);
	memcpy(longest, name, strlen(name));
	q = query(name, DNS_TYPE_A, opt, sizeof(opt));
	assert_int_equal(dns_question_parse(q.bytes, q.n, &question), 0);
	assert_true(dns_reply_build(&question, &reply, out) <= DNS_REPLY_MAX);
	q = query("8.b.d.0.1.0.0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
		  DNS_TYPE_PTR, opt, sizeof(opt));
	assert_int_equal(dns_question_parse(q.bytes, q.n, &question), 0);
	reply = (struct dns_reply){ .name = longest };
	assert_true(dns_reply_build(&question, &reply, out) <= DNS_REPLY_MAX);
}

static void reverse(void **state)
{
	static const uint8_t six[16] = { 0xfd, 0x77, [15] = 0x1a };
	static const char *const bad[] = {
		"in-addr.arpa",
		"1.2.3.in-addr.arpa",
		"1.2.3.4.5.in-addr.arpa",
		"256.2.3.4.in-addr.arpa",
		"01.2.3.4.in-addr.arpa",
		".1.2.3.4.in-addr.arpa",
		"a.0.ip6.arpa",
		("g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
		 "7.7.d.f.ip6.arpa"),
		"1.2.3.4"
	};
	struct dns_address a;

	(void)state;
	assert_true(dns_reverse_parse("2.1.18.198.in-addr.arpa", &a));
	assert_false(a.v6);
	assert_memory_equal(a.bytes, ((uint8_t[]){ 198, 18, 1, 2 }), 4);
	assert_true(dns_reverse_parse(
		"a.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.7.d.f.ip6.arpa", &a));
	assert_true(a.v6);
	assert_memory_equal(a.bytes, six, 16);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(dns_reverse_parse(bad[i], &a));
}

static void names(void **state)
{
	struct names *t = names_new();
	struct names *other = names_new();
	uint8_t four[16], six[16];
	uint32_t a, b, back;

	(void)state;
	assert_int_equal(names_give(t, "a.test", &a), 0);
	assert_int_equal(names_give(t, "b.test", &b), 0);
	assert_int_not_equal(a, b);
	assert_string_equal(names_find(t, a), "a.test");
	assert_int_equal(names_give(t, "a.test", &back), 0);
	assert_int_equal(back, a);
	/* Another proxy gives the same. */
	assert_int_equal(names_give(other, "b.test", &back), 0);
	assert_int_equal(back, b);
	assert_null(names_find(other, a));
	names_address(a, false, four);
	names_address(a, true, six);
	assert_true(names_is_box_network(false, four) && names_is_box_network(true, six));
	assert_true(names_number(false, four, &back) && back == a);
	assert_true(names_number(true, six, &back) && back == a);
	/* The box's own addresses are no names. */
	assert_false(names_number(false, (const uint8_t[]){ 198, 18, 0, 1 }, &back));
	assert_false(names_number(false, (const uint8_t[]){ 198, 19, 255, 255 }, &back));
	assert_false(names_number(false, (const uint8_t[]){ 198, 20, 1, 1 }, &back));
	names_free(t);
	names_free(other);
	names_free(NULL);
}

/* More names than there is room for: used ones stay, the oldest of the others go. */
static void names_reclaimed(void **state)
{
	struct names *t = names_new();
	uint32_t used, early, number;
	char name[32];

	(void)state;
	assert_int_equal(names_give(t, "used.test", &used), 0);
	names_hold(t, used);
	assert_int_equal(names_give(t, "early.test", &early), 0);
	for (int i = 0; i < NAMES_EACH; i++) {
		snprintf(name, sizeof(name), "n%d.test", i);
		assert_int_equal(names_give(t, name, &number), 0);
		assert_string_equal(names_find(t, number), name);
	}
	assert_string_equal(names_find(t, used), "used.test");
	assert_true(names_find(t, early) == NULL ||
		    strcmp(names_find(t, early), "early.test") != 0);
	names_release(t, used);
	for (int i = 0; i < NAMES_EACH; i++) {
		snprintf(name, sizeof(name), "m%d.test", i);
		assert_int_equal(names_give(t, name, &number), 0);
	}
	assert_true(names_find(t, used) == NULL || strcmp(names_find(t, used), "used.test") != 0);
	names_free(t);
}

/* When all are in use there is no room, and nothing is taken away. */
static void names_full(void **state)
{
	struct names *t = names_new();
	uint32_t number, first = 0;
	char name[32];

	(void)state;
	for (int i = 0; i < NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "n%d.test", i);
		assert_int_equal(names_give(t, name, &number), 0);
		names_hold(t, number);
		first = i == 0 ? number : first;
	}
	assert_int_equal(names_give(t, "one-more.test", &number), -ENOSPC);
	assert_string_equal(names_find(t, first), "n0.test");
	names_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(questions),	   cmocka_unit_test(bad_questions),
		cmocka_unit_test(long_names),	   cmocka_unit_test(replies),
		cmocka_unit_test(sizes),	   cmocka_unit_test(reverse),
		cmocka_unit_test(names),	   cmocka_unit_test(names_full),
		cmocka_unit_test(names_reclaimed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
