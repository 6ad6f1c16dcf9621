/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: dns_question_parse; whatever it takes is answered, and the answer is sound. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/net_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(const struct dns_question *q, const struct dns_reply *r, bool whole)
{
	uint8_t out[DNS_REPLY_MAX];
	size_t n = dns_reply_build(q, r, out);
	struct dns_answer a;

	if (n < 12 || n > DNS_REPLY_MAX)
		abort();
	/* An address that was asked for is read back by our own resolver. */
	if (whole && r->address != NULL && q->class == DNS_CLASS_IN &&
	    (dns_answer_parse(out, n, q->id, q->name, q->type, &a) != 0 || a.count != 1))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dns_address four = { .bytes = { 198, 18, 1, 2 } };
	static const struct dns_address six = { .v6 = true, .bytes = { 0xfd } };
	struct dns_question q;
	struct dns_address a;
	int r = dns_question_parse(data, size, &q);

	if (r == -ENOMSG)
		return 0;
	answer(&q, &(struct dns_reply){ .rcode = DNS_RCODE_FORMERR }, false);
	if (r != 0)
		return 0;
	if (q.size > DNS_QUESTION_MAX || memcmp(q.bytes, data + 12, q.size) != 0)
		abort();
	answer(&q, &(struct dns_reply){ .rcode = DNS_RCODE_NXDOMAIN, .why = "no rule allows it" },
	       false);
	if (q.type == DNS_TYPE_A)
		answer(&q, &(struct dns_reply){ .address = &four, .ttl = 60 }, true);
	if (q.type == DNS_TYPE_AAAA)
		answer(&q, &(struct dns_reply){ .address = &six, .ttl = 60 }, true);
	if (dns_reverse_parse(q.name, &a))
		answer(&q, &(struct dns_reply){ .name = "a.test" }, false);
	return 0;
}
