/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow: one direction of bytes, from one socket to another.
 *
 * What is read is written on at once; only what the other side does not take is kept, and then
 * nothing more is read until it is gone.  So an idle or a fast connection owns no buffer at all,
 * and a slow one FLOW_CHUNK bytes at most (plus a head).
 *
 * Bulk data of a tunnel does not even pass through this process: once a read filled the whole
 * buffer, the next ones are spliced through a pipe.  Pipes are lent by a small pool and go back
 * when they are empty; where there is none, bytes are copied.
 *
 * A flow knows where its message ends, from a length or from chunks, and takes not one byte more:
 * what follows belongs to the next request and to the next decision.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/net_internal.h"

void end_close(struct loop *loop, struct end *end)
{
	loop_remove(loop, end->source);
	if (end->fd >= 0)
		close(end->fd);
	*end = (struct end){ .fd = -1 };
}

void end_want(struct loop *loop, struct end *end, uint32_t events, loop_fd_fn *fn, void *arg)
{
	if (end->fd < 0 || (end->source != NULL && end->want == events))
		return;
	/* Unwatched because its peer is dead: only a wish to read or write brings it back. */
	if (end->source == NULL && end->want == events)
		return;
	end->want = events;
	if (end->source != NULL)
		loop_modify(loop, end->source, events);
	else
		loop_add(loop, end->fd, events, fn, arg, &end->source, NULL);
}

void end_unwatch(struct loop *loop, struct end *end)
{
	loop_remove(loop, end->source);
	end->source = NULL;
}

void flow_free(struct flow *f)
{
	flow_drop(f);
}

void flow_begin(struct flow *f, enum http1_body frame, uint64_t length)
{
	f->frame = frame;
	f->left = length;
	f->chunked = (struct http1_chunked){ 0 };
	f->done = frame == HTTP1_BODY_NONE || (frame == HTTP1_BODY_LENGTH && length == 0);
}

bool flow_wants(const struct flow *f)
{
	return !f->done && !flow_pending(f);
}

bool flow_drained(const struct flow *f)
{
	return f->done && !flow_pending(f);
}

/* How many of the bytes belong to the message; sets done. */
static int64_t frame(struct flow *f, const char *bytes, size_t n)
{
	switch (f->frame) {
	case HTTP1_BODY_UNTIL_CLOSE:
		return (int64_t)n;
	case HTTP1_BODY_CHUNKED:
		return http1_chunked_feed(&f->chunked, bytes, n, &f->done);
	case HTTP1_BODY_LENGTH:
		if (n > f->left)
			n = (size_t)f->left;
		f->left -= n;
		f->done = f->left == 0;
		return (int64_t)n;
	case HTTP1_BODY_NONE:
		break;
	}
	f->done = true;
	return 0;
}

/* Bytes written (0 when the socket is full) or -errno. */
static ssize_t write_some(int fd, const char *bytes, size_t n)
{
	ssize_t w;

	do {
		w = send(fd, bytes, n, MSG_NOSIGNAL);
	} while (w < 0 && errno == EINTR);
	if (w < 0)
		return errno == EAGAIN ? 0 : -errno;
	return w;
}

int64_t flow_take(struct flow *f, int to, const char *bytes, size_t n)
{
	int64_t taken = f->done ? 0 : frame(f, bytes, n);
	ssize_t written = 0;

	if (taken <= 0)
		return taken;
	if (to >= 0 && f->pending.len == 0) {
		written = write_some(to, bytes, (size_t)taken);
		if (written < 0)
			return written;
	}
	buf_add(&f->pending, bytes + written, (size_t)(taken - written));
	f->bytes += (uint64_t)taken;
	return taken;
}

void flow_put(struct flow *f, const char *bytes, size_t n)
{
	buf_add(&f->pending, bytes, n);
}

/* --- splicing -------------------------------------------------------------------------------- */

enum {
	PIPE_SIZE = 256 * 1024, /* asked for; a user who has many pipes gets less */
	SPLICE_SMALL = 16384,	/* below that a copy is cheaper */
};

/* An empty pipe, or NULL. */
static struct pipe *pipe_borrow(struct pipes *pool)
{
	struct pipe *p = pool->free;

	if (p != NULL) {
		pool->free = p->next;
		return p;
	}
	if (pool->n == PIPES_MAX)
		return NULL;
	p = xcalloc(1, sizeof(*p));
	if (pipe2(p->fd, O_NONBLOCK | O_CLOEXEC) != 0) {
		free(p);
		return NULL;
	}
	fcntl(p->fd[1], F_SETPIPE_SZ, PIPE_SIZE);
	p->pool = pool;
	pool->n++;
	return p;
}

static void pipe_destroy(struct pipe *p)
{
	close(p->fd[0]);
	close(p->fd[1]);
	p->pool->n--;
	free(p);
}

static void pipe_return(struct flow *f)
{
	f->pipe->next = f->pipe->pool->free;
	f->pipe->pool->free = f->pipe;
	f->pipe = NULL;
}

void pipes_free(struct pipes *pool)
{
	while (pool->free != NULL) {
		struct pipe *p = pool->free;

		pool->free = p->next;
		pipe_destroy(p);
	}
}

void flow_drop(struct flow *f)
{
	buf_free(&f->pending);
	if (f->pipe != NULL)
		pipe_destroy(f->pipe); /* with what is in it */
	f->pipe = NULL;
	f->piped = 0;
}

bool flow_pending(const struct flow *f)
{
	return f->pending.len > 0 || f->piped > 0;
}

static int pipe_flush(struct flow *f, int to)
{
	while (f->piped > 0) {
		ssize_t n = splice(f->pipe->fd[0], NULL, to, NULL, f->piped,
				   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno != EAGAIN ? -errno : 0;
		f->piped -= (size_t)n;
	}
	pipe_return(f);
	return 0;
}

bool flow_splices(struct flow *f, struct pipes *pool)
{
	if (!f->bulk || f->frame != HTTP1_BODY_UNTIL_CLOSE || flow_pending(f))
		return false;
	f->pipe = pipe_borrow(pool);
	return f->pipe != NULL;
}

ssize_t flow_splice(struct flow *f, int from, int to, int *ret_error)
{
	ssize_t n = splice(from, NULL, f->pipe->fd[1], NULL, PIPE_SIZE,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	*ret_error = 0;
	if (n <= 0) {
		int code = errno;

		pipe_return(f);
		f->bulk = false;
		errno = code;
		return n;
	}
	f->bulk = n >= SPLICE_SMALL;
	f->piped = (size_t)n;
	f->bytes += (uint64_t)n;
	*ret_error = pipe_flush(f, to);
	return n;
}

int flow_flush(struct flow *f, int to)
{
	ssize_t n;

	if (f->piped > 0)
		return pipe_flush(f, to);
	if (f->pending.len == 0)
		return 0;
	n = write_some(to, f->pending.data, f->pending.len);
	if (n < 0)
		return (int)n;
	if ((size_t)n == f->pending.len)
		buf_free(&f->pending); /* an idle connection owns no buffer */
	else
		buf_consume(&f->pending, (size_t)n);
	return 0;
}
