/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1: a strict parser of HTTP/1.x message heads (RFC 9112, RFC 9110).  Pure.
 *
 * It refuses rather than guesses: bare LF or CR, obs-fold, space before the colon, control bytes,
 * NUL, more than HTTP1_HEADERS_MAX fields, a head above HTTP1_HEAD_MAX bytes, a target above
 * HTTP1_TARGET_MAX, versions other than 1.0 and 1.1, Content-Length together with
 * Transfer-Encoding, differing or repeated Content-Length, any Transfer-Encoding that is not
 * exactly "chunked" or comes with HTTP/1.0, a repeated Host.  Whether a Host is needed is for the
 * caller.
 */
#ifndef WARD_BASE_HTTP1_H
#define WARD_BASE_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { HTTP1_HEAD_MAX = 65536, HTTP1_TARGET_MAX = 8192, HTTP1_HEADERS_MAX = 100 };

/* Slices point into the bytes that were parsed. */
struct http1_slice {
	const char *p;
	size_t n;
};
struct http1_header {
	struct http1_slice name;
	struct http1_slice value; /* without leading and trailing white space */
};
enum http1_body { HTTP1_BODY_NONE, HTTP1_BODY_LENGTH, HTTP1_BODY_CHUNKED, HTTP1_BODY_UNTIL_CLOSE };
struct http1_head {
	size_t size; /* bytes of the head, including the empty line */
	int minor;   /* 0 or 1 */
	/* requests */
	struct http1_slice method;
	struct http1_slice target;
	/* responses */
	int status;
	struct http1_slice reason;
	size_t nheaders;
	struct http1_header headers[HTTP1_HEADERS_MAX];
	enum http1_body body; /* from Content-Length / Transfer-Encoding alone */
	uint64_t content_length;
	bool keep_alive; /* from version and Connection */
};

/* 1: complete, *ret filled. 0: more bytes are needed. -EBADMSG (bad), -E2BIG (too large) with e. */
int http1_parse_request(const char *bytes, size_t n, struct http1_head *ret, struct err *e);
int http1_parse_response(const char *bytes, size_t n, struct http1_head *ret, struct err *e);
/* First header of that name (case-insensitive), or NULL. */
const struct http1_header *http1_find(const struct http1_head *h, const char *name);
bool http1_slice_is(struct http1_slice s, const char *text);	    /* exact */
bool http1_slice_is_nocase(struct http1_slice s, const char *text); /* ASCII case folded */
/* Is `token` in the comma-separated list value (case-insensitive)? */
bool http1_list_has(struct http1_slice value, const char *token);

/*
 * Incremental validator of a chunked body: feed bytes, it tells how many belong to the body and
 * whether the body ended. Chunk size <= 2^31, extension <= 256 bytes, trailers are refused
 * unless empty. A zeroed struct is a fresh one; once it failed, it goes on failing.
 */
struct http1_chunked {
	int state;     /* private to http1.c, as is the rest */
	uint64_t left; /* of the chunk's data */
	unsigned ext;  /* digits of the size, then bytes of the extension */
};
/* Bytes consumed (>= 0) or -EBADMSG; *ret_done set when the last byte of the body was consumed. */
int64_t http1_chunked_feed(struct http1_chunked *c, const char *bytes, size_t n, bool *ret_done);

#endif
