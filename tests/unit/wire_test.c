/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of base/wire.c and base/loop.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/loop.h"
#include "base/mem.h"
#include "base/wire.h"

static struct wire_msg m;

static void test_wire(void **state)
{
	static char big[WIRE_PAYLOAD_MAX + 1];
	int sv[2], fds[2] = { STDIN_FILENO, STDERR_FILENO };

	(void)state;
	assert_int_equal(wire_pair(sv, NULL), 0);
	assert_int_equal(wire_send(sv[0], 7, 9, "abc", 3, fds, 2), 0);
	assert_int_equal(wire_recv(sv[1], &m), 1);
	assert_int_equal(m.h.type, 7);
	assert_int_equal(m.h.arg, 9);
	assert_string_equal(m.data, "abc");
	assert_int_equal(m.nfds, 2);
	assert_int_equal(fcntl(m.fds[0], F_GETFD), FD_CLOEXEC);

	int taken = wire_take_fd(&m, 1), other = m.fds[0];

	assert_int_equal(wire_take_fd(&m, 1), -1);
	assert_int_equal(wire_take_fd(&m, 2), -1);
	wire_msg_clear(&m);
	assert_int_equal(fcntl(other, F_GETFD), -1);
	assert_int_equal(close(taken), 0);
	assert_int_equal(wire_send(sv[0], 1, 0, big, WIRE_PAYLOAD_MAX, NULL, 0), 0);
	assert_int_equal(wire_recv(sv[1], &m), 1);
	assert_int_equal(m.len, WIRE_PAYLOAD_MAX);
	assert_int_equal(wire_send(sv[0], 1, 0, big, sizeof(big), NULL, 0), -EMSGSIZE);
	assert_int_equal(wire_send(sv[0], 1, 0, NULL, 0, fds, WIRE_FDS_MAX + 1), -EINVAL);
	fcntl(sv[1], F_SETFL, O_NONBLOCK);
	assert_int_equal(wire_recv(sv[1], &m), -EAGAIN);
	close(sv[0]);
	assert_int_equal(wire_recv(sv[1], &m), 0);
	assert_int_equal(wire_send(sv[1], 1, 0, NULL, 0, NULL, 0), -EPIPE);
	close(sv[1]);
}

/* Packets as a hostile peer would make them; none may leave a descriptor behind. */
static void test_wire_hostile(void **state)
{
	static char big[8 + WIRE_PAYLOAD_MAX + 1];
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 20)];
	} control = { 0 };
	struct iovec iov = { .iov_base = big, .iov_len = 9 };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.space,
			     .msg_controllen = sizeof(control.space) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
	int sv[2], probe, after;

	(void)state;
	assert_int_equal(wire_pair(sv, NULL), 0);
	probe = dup(0);
	close(probe);
	assert_int_equal(send(sv[0], "short", 5, 0), 5);
	assert_int_equal(wire_recv(sv[1], &m), -EBADMSG);
	assert_int_equal(send(sv[0], big, sizeof(big), 0), sizeof(big));
	assert_int_equal(wire_recv(sv[1], &m), -EBADMSG);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * 20);
	memset(CMSG_DATA(c), 0, sizeof(int) * 20);
	assert_int_equal(sendmsg(sv[0], &mh, 0), 9);
	assert_int_equal(wire_recv(sv[1], &m), -EBADMSG);
	assert_int_equal(m.nfds, 0);
	after = dup(0);
	assert_int_equal(after, probe);
	close(after);
	close(sv[0]);
	close(sv[1]);
}

struct ctx {
	struct loop *l;
	struct loop_source *self, *other;
	int calls;
	char order[8];
	int n;
};

static void on_remove_both(int fd, uint32_t events, void *arg)
{
	struct ctx *c = arg;

	(void)fd;
	assert_true((events & EPOLLOUT) != 0);
	c->calls++;
	loop_remove(c->l, c->other);
	loop_remove(c->l, c->self);
	loop_remove(c->l, c->self);
}

static void on_stop(void *arg)
{
	loop_stop(((struct ctx *)arg)->l, 42);
}

/* Two sources are ready in one batch and each removes both: only one of them may be called. */
static void test_loop_remove(void **state)
{
	struct ctx a = { 0 }, b = { 0 };
	int sv[2];

	(void)state;
	assert_int_equal(wire_pair(sv, NULL), 0);
	assert_int_equal(loop_new(&a.l, NULL), 0);
	b.l = a.l;
	assert_int_equal(loop_add(a.l, sv[0], EPOLLOUT, on_remove_both, &a, &a.self, NULL), 0);
	assert_int_equal(loop_add(a.l, sv[1], EPOLLOUT, on_remove_both, &b, &b.self, NULL), 0);
	a.other = b.self;
	b.other = a.self;
	loop_after(a.l, 5, on_stop, &a);
	assert_int_equal(loop_run(a.l), 42);
	assert_int_equal(a.calls + b.calls, 1);
	assert_true(loop_now(a.l) > 0);
	assert_int_equal(loop_add(a.l, 9999, EPOLLIN, on_remove_both, &a, NULL, NULL), -EBADF);
	loop_free(a.l);
	loop_free(NULL);
	close(sv[0]);
	close(sv[1]);
}

static void on_a(void *arg)
{
	struct ctx *c = arg;

	c->order[c->n++] = 'a';
	loop_remove(c->l, c->other);
}

static void on_b(void *arg)
{
	struct ctx *c = arg;

	c->order[c->n++] = 'b';
}

static void test_loop_timers(void **state)
{
	struct ctx c = { 0 };
	struct loop_source *many[50];

	(void)state;
	assert_int_equal(loop_new(&c.l, NULL), 0);
	for (size_t i = 0; i < 50; i++)
		many[i] = loop_after(c.l, 1 + (i * 7) % 50, on_b, &c);
	for (size_t i = 0; i < 50; i++)
		loop_remove(c.l, many[(i * 3) % 50]);
	loop_after(c.l, 20, on_stop, &c);
	c.other = loop_after(c.l, 10, on_b, &c);
	loop_after(c.l, 2, on_b, &c);
	loop_after(c.l, 5, on_a, &c);
	loop_after(c.l, UINT64_MAX, on_b, &c);
	assert_int_equal(loop_run(c.l), 42);
	assert_string_equal(c.order, "ba");
	loop_stop(c.l, 3);
	assert_int_equal(loop_run(c.l), 3);
	loop_free(c.l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_wire_hostile),
		cmocka_unit_test(test_loop_remove),
		cmocka_unit_test(test_loop_timers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
