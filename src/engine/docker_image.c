/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker_image: an image out of this user's container engine, as `docker save` would write it.
 *
 * GET /images/NAME/get over the engine's socket, by HTTP/1.0 and so without chunks: the body is the
 * archive, until the connection ends.  That it is complete shows when it is imported.  It is kept
 * in a file without a name, because an archive is read more than once.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/http1.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/engine_internal.h"

enum { CHUNK = 256 << 10, REASON_MAX = 64 << 10 };

/* As the engine knows it: "python:3-slim", "NAME@sha256:...". */
static char *name_of(const struct image_ref *ref)
{
	auto_free char *name = image_ref_name(ref, true);

	return ref->digest ? xasprintf("%s@%s", name, ref->digest)
			   : xasprintf("%s:%s", name, ref->tag ? ref->tag : "latest");
}

static int ask(const char *path, const char *name, int *ret, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	auto_free char *request =
		xasprintf("GET /images/%s/get HTTP/1.0\r\nHost: docker\r\n\r\n", name);
	int r;

	memcpy(a.sun_path, path, strlen(path));
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return err_sys(e, "the container engine");
	r = fs_write_all(fd, request, strlen(request));
	if (r < 0) {
		errno = -r;
		return err_sys(e, "the container engine");
	}
	*ret = steal_fd(&fd);
	return 0;
}

static ssize_t read_some(int fd, char *bytes, size_t n)
{
	ssize_t got;

	do {
		got = read(fd, bytes, n);
	} while (got < 0 && errno == EINTR);
	return got;
}

/* The head, and what came behind it. */
static int read_head(int fd, struct buf *bytes, struct http1_head *ret, struct err *e)
{
	char piece[4096];

	for (;;) {
		ssize_t n = read_some(fd, piece, sizeof(piece));
		int r;

		if (n < 0)
			return err_sys(e, "the container engine");
		if (n == 0)
			return err_set(e, ERR_INPUT, -EBADMSG,
				       "the container engine ended the connection");
		buf_add(bytes, piece, (size_t)n);
		r = http1_parse_response(bytes->data, bytes->len, ret, e);
		if (r < 0)
			return err_prefix(e, "the container engine");
		if (r == 1)
			return ret->body == HTTP1_BODY_CHUNKED
				       ? err_set(e, ERR_INPUT, -EBADMSG,
						 "the container engine answers in chunks")
				       : 0;
	}
}

/* What is wrong, in the engine's words: {"message": "..."}. */
static int refused(int fd, struct buf *body, int status, const char *name, struct err *e)
{
	const char *message = NULL;
	auto_free char *shown = NULL;
	auto_json j = NULL;
	char piece[4096];
	ssize_t n;

	while (body->len < REASON_MAX && (n = read_some(fd, piece, sizeof(piece))) > 0)
		buf_add(body, piece, (size_t)n);
	if (json_parse(buf_str(body), body->len, &j, NULL) < 0 ||
	    json_get_string(j, "message", &message) < 0)
		message = NULL;
	if (status == 404) {
		err_set(e, ERR_NOT_FOUND, -ENOENT, "the container engine has no image '%s'", name);
		return err_hint(e, "docker pull %s, or without the engine: -t %s", name, name);
	}
	shown = text_escaped(message ? message : "no reason is given");
	return err_set(e, ERR_SYSTEM, -EIO, "the container engine answers %d: %.300s", status,
		       shown);
}

static int copy_body(int from, const struct buf *first, int to, struct err *e)
{
	auto_free char *piece = xmalloc(CHUNK);
	uint64_t total = first->len;
	int r = fs_write_all(to, first->data, first->len);

	while (r == 0) {
		ssize_t n = read_some(from, piece, CHUNK);

		if (n < 0)
			return err_sys(e, "the container engine");
		if (n == 0)
			return 0;
		total += (uint64_t)n;
		if (total > IMAGE_BLOB_MAX)
			return err_set(e, ERR_INPUT, -EFBIG, "an image of more than 64 GiB");
		r = fs_write_all(to, piece, (size_t)n);
	}
	errno = -r;
	return err_sys(e, "template store: write");
}

int native_docker_image(struct engine_context *c, const struct image_ref *ref, int spool_dir,
			int *ret, struct err *e)
{
	auto_free char *name = name_of(ref);
	auto_free char *path = NULL;
	auto_close int fd = -1, spool = -1;
	auto_buf bytes = BUF_INIT;
	struct http1_head head;
	int r = engine_docker_socket(c->paths.home, &path, e);

	if (r == 0)
		r = ask(path, name, &fd, e);
	if (r == 0)
		r = read_head(fd, &bytes, &head, e);
	if (r < 0)
		return r;
	buf_consume(&bytes, head.size);
	if (head.status != 200)
		return refused(fd, &bytes, head.status, name, e);
	spool = openat(spool_dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (spool < 0)
		return err_sys(e, "template store: make a file");
	r = copy_body(fd, &bytes, spool, e);
	if (r == 0)
		*ret = steal_fd(&spool);
	return r;
}
