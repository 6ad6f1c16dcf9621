/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_relay: the container engine's socket inside a box (--mount-docker-socket).
 *
 * Inside is a listener of ours; each connection to it becomes one to the engine's socket outside,
 * and the bytes pass both ways as they are.  The engine's socket is not mounted: it usually belongs
 * to a group that does not exist inside, and what is mounted could be changed there.  Nothing here
 * makes the engine harmless: whoever reaches it has its power, which the user is told at every
 * start.
 *
 * A child of the supervisor, made before that confines itself: it keeps the user's groups, opens
 * nothing (Landlock leaves it no file), and dies with the supervisor.
 *
 * States of a direction: bytes are read when the block is empty, written until it is; the end of
 * one side is passed on with shutdown, which the engine's attach needs.  A connection ends when
 * both directions have, or when either fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

enum { CONNECTIONS_MAX = 64, BLOCK = 16384, LISTENER_FD = 3 };

struct direction {
	size_t at; /* bytes [at, len) of the block are still to be written */
	size_t len;
	bool ended; /* nothing more comes */
	bool done;  /* and the other side knows */
	char block[BLOCK];
};

struct connection {
	int fd[2];	       /* the box's end, the engine's end */
	struct direction d[2]; /* d[i] is read from fd[i] */
};

static void connection_free(struct connection *c)
{
	for (int i = 0; i < 2; i++) {
		if (c->fd[i] >= 0)
			close(c->fd[i]);
	}
	free(c);
}

static int connect_engine(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(a.sun_path))
		return -1;
	memcpy(a.sun_path, path, strlen(path));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -1;
	return steal_fd(&fd);
}

static struct connection *accept_one(int listener, const char *path)
{
	struct connection *c;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->fd[0] = fd;
	c->fd[1] = connect_engine(path);
	if (c->fd[1] >= 0)
		return c;
	connection_free(c); /* the engine is gone: the box sees a closed connection */
	return NULL;
}

/* What poll is asked of fd[i]. */
static short wanted(const struct connection *c, int i)
{
	const struct direction *in = &c->d[i];
	const struct direction *out = &c->d[!i];

	return (short)((!in->ended && in->at == in->len ? POLLIN : 0) |
		       (out->at < out->len ? POLLOUT : 0));
}

/* False when the connection is of no use any more. */
static bool move(struct connection *c, int i)
{
	struct direction *d = &c->d[i];
	ssize_t n;

	if (d->at == d->len && !d->ended) {
		n = read(c->fd[i], d->block, sizeof(d->block));
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		d->ended = n == 0;
		d->at = 0;
		d->len = (size_t)n;
	}
	if (d->at < d->len) {
		n = send(c->fd[!i], d->block + d->at, d->len - d->at, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		d->at += (size_t)n;
	}
	if (d->at == d->len && d->ended && !d->done) {
		shutdown(c->fd[!i], SHUT_WR);
		d->done = true;
	}
	return true;
}

/* Act on what poll said of both ends; false when the connection is over. */
static bool keep(struct connection *c, const struct pollfd *p)
{
	for (int i = 0; i < 2; i++) {
		if ((p[i].revents & POLLHUP) && c->d[i].done)
			return false;
	}
	if ((p[0].revents || p[1].revents) && !(move(c, 0) && move(c, 1)))
		return false;
	return !(c->d[0].done && c->d[1].done);
}

static _Noreturn void serve(const char *path)
{
	struct connection *all[CONNECTIONS_MAX] = { NULL };
	struct pollfd p[1 + 2 * CONNECTIONS_MAX];
	size_t n = 0;

	for (;;) {
		size_t polled = n;

		p[0] = (struct pollfd){ .fd = n < CONNECTIONS_MAX ? LISTENER_FD : -1,
					.events = POLLIN };
		for (size_t i = 0; i < 2 * n; i++) {
			const struct connection *c = all[i / 2];
			short events = wanted(c, i % 2);

			/* A hang-up cannot be masked, and is of interest only from a side whose
			 * end was passed on: then nobody is there to read either. */
			p[1 + i] = (struct pollfd){ .fd = events || c->d[i % 2].done ? c->fd[i % 2]
										     : -1,
						    .events = events };
		}
		if (poll(p, (nfds_t)(1 + 2 * n), -1) < 0)
			continue;
		if (p[0].revents) {
			struct connection *c = accept_one(LISTENER_FD, path);

			if (c)
				all[n++] = c;
		}
		for (size_t i = polled; i-- > 0;) {
			if (keep(all[i], &p[1 + 2 * i]))
				continue;
			connection_free(all[i]);
			all[i] = all[--n];
		}
	}
}

static _Noreturn void child(int listener, const char *path, pid_t parent)
{
	int fd = fcntl(listener, F_DUPFD_CLOEXEC, LISTENER_FD + 1);
	sigset_t none;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
		_exit(1);
	prctl(PR_SET_NAME, "ward-engine", 0, 0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (fd < 0 || dup2(fd, LISTENER_FD) < 0)
		_exit(1);
	syscall(SYS_close_range, LISTENER_FD + 1U, ~0U, 0U);
	/* What root needs for a socket of another user. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || harden_no_files(NULL) < 0 ||
	    harden_capabilities(1U << CAP_DAC_OVERRIDE, NULL) < 0)
		_exit(1);
	serve(path);
}

int engine_relay_start(struct supervisor *sup, struct err *e)
{
	pid_t parent = getpid();

	if (sup->box.docker_fd < 0)
		return 0;
	sup->engine_relay = fork();
	if (sup->engine_relay == 0)
		child(sup->box.docker_fd, sup->params.config->docker_socket, parent);
	if (sup->engine_relay < 0)
		return err_sys(e, "engine relay: fork");
	/* Only the relay listens: with it, connections end. */
	close(steal_fd(&sup->box.docker_fd));
	return 0;
}

void engine_relay_stop(struct supervisor *sup)
{
	if (sup->engine_relay <= 0)
		return;
	kill(sup->engine_relay, SIGKILL);
	waitpid(sup->engine_relay, NULL, 0);
	sup->engine_relay = 0;
}
