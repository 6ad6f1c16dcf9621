/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_hello: find the server name in the first flight of a TLS client.  Pure.
 *
 * A tunnel to an allowed name must not be used to talk to another name at the same address, so the
 * proxy looks at the one name that travels in the clear.  The message may be spread over several
 * records (RFC 8446, 5.1); the fragments are put together in a buffer of the caller's, whose size
 * is the limit of what a first flight may be.
 *
 * Invariants: no byte beyond n is read; whatever does not parse to its last byte is refused, so
 * that no other parser can see another name in the same bytes; the server name is non-empty and
 * given at most once, as is every extension that is looked at.
 */
#include <errno.h>
#include <string.h>

#include "net/net_internal.h"

enum {
	RECORD_HANDSHAKE = 22,
	RECORD_HEADER = 5,
	RECORD_MAX = 16384,
	HANDSHAKE_CLIENT_HELLO = 1,
	HANDSHAKE_HEADER = 4,
	EXT_SERVER_NAME = 0,
	EXT_ECH = 0xfe0d,
	EXT_ESNI = 0xffce, /* the draft before ECH */
	NAME_HOST = 0,
};

/* A cursor over bytes that may end early: once bad, always bad. */
struct cursor {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static const uint8_t *take(struct cursor *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->bad || n > c->left) {
		c->bad = true;
		return NULL;
	}
	c->p += n;
	c->left -= n;
	return p;
}

static uint32_t take_number(struct cursor *c, size_t bytes)
{
	const uint8_t *p = take(c, bytes);
	uint32_t value = 0;

	for (size_t i = 0; p != NULL && i < bytes; i++)
		value = value << 8 | p[i];
	return value;
}

/* A vector: a length of that many bytes, then as many bytes. */
static struct cursor take_vector(struct cursor *c, size_t length_bytes)
{
	size_t n = take_number(c, length_bytes);
	const uint8_t *p = take(c, n);

	return (struct cursor){ .p = p, .left = p == NULL ? 0 : n, .bad = p == NULL };
}

static bool parse_server_name(struct cursor ext, struct tls_hello *ret)
{
	struct cursor list = take_vector(&ext, 2);
	struct cursor name;

	if (ext.bad || ext.left != 0 || ret->sni_len != 0)
		return false;
	/* RFC 6066 allows one name of each type, and has one type. */
	if (take_number(&list, 1) != NAME_HOST)
		return false;
	name = take_vector(&list, 2);
	if (name.bad || list.left != 0 || name.left == 0 || name.left >= sizeof(ret->sni))
		return false;
	memcpy(ret->sni, name.p, name.left);
	ret->sni[name.left] = '\0';
	ret->sni_len = name.left;
	return true;
}

static bool parse_extensions(struct cursor exts, struct tls_hello *ret)
{
	while (exts.left > 0) {
		uint32_t type = take_number(&exts, 2);
		struct cursor ext = take_vector(&exts, 2);

		if (exts.bad || ext.bad)
			return false;
		if (type == EXT_SERVER_NAME && !parse_server_name(ext, ret))
			return false;
		if (type == EXT_ECH || type == EXT_ESNI)
			ret->ech = true;
	}
	return true;
}

/* The body of a ClientHello (RFC 8446, 4.1.2). */
static bool parse_body(struct cursor body, struct tls_hello *ret)
{
	struct cursor session, suites, compression, exts;

	take(&body, 2 + 32); /* legacy_version, random */
	session = take_vector(&body, 1);
	suites = take_vector(&body, 2);
	compression = take_vector(&body, 1);
	if (body.bad || session.left > 32 || suites.left < 2 || suites.left % 2 != 0 ||
	    compression.left < 1)
		return false;
	if (body.left == 0)
		return true; /* TLS 1.2 and older may come without extensions */
	exts = take_vector(&body, 2);
	return !body.bad && body.left == 0 && parse_extensions(exts, ret);
}

int tls_hello_parse(const uint8_t *bytes, size_t n, struct tls_hello *ret)
{
	struct tls_hello hello = { 0 };
	struct cursor in = { .p = bytes, .left = n };
	uint8_t message[TLS_HELLO_MAX] = { 0 };
	size_t have = 0, need = HANDSHAKE_HEADER;

	while (have < need) {
		size_t record;
		const uint8_t *p;

		if (in.left > 0 && in.p[0] != RECORD_HANDSHAKE)
			return -EBADMSG;
		if (in.left > 1 && in.p[1] != 3)
			return -EBADMSG;
		if (in.left < RECORD_HEADER)
			return n >= TLS_HELLO_MAX ? -EBADMSG : 0;
		take(&in, 3);
		record = take_number(&in, 2);
		if (record == 0 || record > RECORD_MAX)
			return -EBADMSG;
		if (record > in.left)
			record = in.left; /* a part of it may already tell that it is wrong */
		if (record > sizeof(message) - have)
			return -EBADMSG;
		p = take(&in, record);
		if (p != NULL && record > 0)
			memcpy(message + have, p, record);
		have += record;
		if (have > 0 && message[0] != HANDSHAKE_CLIENT_HELLO)
			return -EBADMSG;
		if (have >= HANDSHAKE_HEADER)
			need = HANDSHAKE_HEADER +
			       ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
		if (need > sizeof(message))
			return -EBADMSG;
		if (have < need && in.left == 0)
			return n >= TLS_HELLO_MAX ? -EBADMSG : 0;
	}
	/* Nothing may follow a ClientHello in its last record. */
	if (have != need)
		return -EBADMSG;
	if (!parse_body((struct cursor){ .p = message + HANDSHAKE_HEADER,
					 .left = need - HANDSHAKE_HEADER },
			&hello))
		return -EBADMSG;
	*ret = hello;
	return 1;
}
