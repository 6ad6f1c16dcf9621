/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: one packet, one message.
 *
 * The peer may be hostile (the init process of a box): every length, flag and descriptor count is
 * checked before the message is handed on, and whatever is refused takes its descriptors with it.
 * SOCK_SEQPACKET keeps message boundaries, so there is no partial read or write to resume.
 */
#include "base/wire.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/mem.h"

_Static_assert(sizeof(struct wire_header) == 8, "the header is the wire format");

/* Aligned room for the one control message that we use. */
union wire_control {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int) * WIRE_FDS_MAX)];
};

int wire_pair(int ret[2], struct err *e)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(e, "cannot make a socket pair");
	ret[0] = sv[0];
	ret[1] = sv[1];
	return 0;
}

static void put_fds(struct msghdr *mh, union wire_control *control, const int *fds, size_t nfds)
{
	struct cmsghdr *c;

	mh->msg_control = control->space;
	mh->msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
	c = CMSG_FIRSTHDR(mh);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
}

int wire_send(int fd, uint16_t type, uint32_t arg, const void *payload, size_t n, const int *fds,
	      size_t nfds)
{
	struct wire_header h = { .type = type, .arg = arg };
	union wire_control control = { 0 };
	struct iovec iov[2] = {
		{ .iov_base = &h, .iov_len = sizeof(h) },
		{ .iov_len = n },
	};
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = n != 0 ? 2 : 1 };
	ssize_t sent;

	if (n > WIRE_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (nfds > WIRE_FDS_MAX)
		return -EINVAL;
	/* sendmsg only reads; struct iovec has no const variant. */
	memcpy(&iov[1].iov_base, &payload, sizeof(payload));
	if (nfds != 0)
		put_fds(&mh, &control, fds, nfds);
	do {
		sent = sendmsg(fd, &mh, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

/* Collect every descriptor of a received packet, so that none is lost when it is refused. */
static bool take_control(struct msghdr *mh, struct wire_msg *m)
{
	bool good = true;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
			good = false;
			continue;
		}
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (m->nfds < WIRE_FDS_MAX) {
				m->fds[m->nfds++] = fd;
			} else {
				close(fd);
				good = false;
			}
		}
	}
	return good;
}

int wire_recv(int fd, struct wire_msg *m)
{
	union wire_control control;
	struct iovec iov[2] = {
		{ .iov_base = &m->h, .iov_len = sizeof(m->h) },
		{ .iov_base = m->data, .iov_len = WIRE_PAYLOAD_MAX },
	};
	struct msghdr mh = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	ssize_t got;
	bool good;

	m->h = (struct wire_header){ 0 };
	m->len = 0;
	m->data[0] = '\0';
	m->nfds = 0;
	for (size_t i = 0; i < WIRE_FDS_MAX; i++)
		m->fds[i] = -1;
	do {
		got = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	good = take_control(&mh, m);
	/* An empty packet cannot be told from the end of the stream: both end the conversation. */
	if (got == 0) {
		wire_msg_clear(m);
		return 0;
	}
	if (!good || (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || (size_t)got < sizeof(m->h)) {
		wire_msg_clear(m);
		return -EBADMSG;
	}
	m->len = (size_t)got - sizeof(m->h);
	m->data[m->len] = '\0';
	return 1;
}

int wire_take_fd(struct wire_msg *m, size_t i)
{
	return i < m->nfds ? steal_fd(&m->fds[i]) : -1;
}

void wire_msg_clear(struct wire_msg *m)
{
	for (size_t i = 0; i < m->nfds; i++)
		fd_closep(&m->fds[i]);
	m->nfds = 0;
}
