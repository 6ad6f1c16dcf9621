/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program: which program of the box has a connection.
 *
 * This process sees sockets and no processes.  Init, which is inside, knows whose they are; it is
 * asked over a socket of its own and answers when it can.  Nothing allowed waits for that: a record
 * that is finished earlier lies here until the answer comes, WAIT_MS at most.  A refusal does wait,
 * because a program that is told so at once closes its socket before anybody could look.
 *
 * Asking is bounded: ASKS_MAX at a time, and RATE a second.  Beyond, the program is not known.
 *
 * What init says came from inside: a program chooses the path that it runs, may look like another
 * one, and may have passed its socket on.  It is for people to read, and nothing is decided by it.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/net_internal.h"

enum { ASKS_MAX = 64, RATE = 100 /* a second */, BURST = 100, WAIT_MS = 40 };

struct program_ask {
	struct programs *all;
	uint32_t token; /* 0: free; its place in the table and a number of its own */
	program_fn *fn; /* NULL: nobody waits */
	void *arg;
	struct json *records; /* those that are finished but for it, or NULL */
	struct loop_source *timer;
};

struct programs {
	struct proxy *proxy;
	struct end init;
	uint32_t asked;
	unsigned left; /* that may be asked now */
	uint64_t earned_at;
	struct program_ask asks[ASKS_MAX];
};

struct programs *programs_new(struct proxy *p, int init_fd)
{
	struct programs *all = xcalloc(1, sizeof(*all));

	all->proxy = p;
	all->init.fd = init_fd;
	all->left = BURST;
	all->earned_at = loop_now(p->loop);
	return all;
}

static void answer(struct program_ask *a, const struct program *who)
{
	program_fn *fn = a->fn;
	void *arg = a->arg;
	struct json *records = a->records;
	struct programs *all = a->all;

	loop_remove(all->proxy->loop, a->timer);
	*a = (struct program_ask){ 0 };
	for (size_t i = 0; i < json_len(records); i++)
		log_write(all->proxy, json_at(records, i), who);
	json_unref(records);
	if (fn != NULL)
		fn(who, arg);
}

static void answer_all(struct programs *all)
{
	for (size_t i = 0; i < ASKS_MAX; i++) {
		if (all->asks[i].token != 0)
			answer(&all->asks[i], NULL);
	}
}

void programs_free(struct programs *all)
{
	if (all == NULL)
		return;
	answer_all(all);
	end_close(all->proxy->loop, &all->init);
	free(all);
}

static void on_timeout(void *arg)
{
	struct program_ask *a = arg;

	a->timer = NULL;
	answer(a, NULL);
}

/* --- init's answers -------------------------------------------------------------------------- */

static void take(struct programs *all, struct wire_msg *m)
{
	struct program_ask *a = &all->asks[m->h.arg % ASKS_MAX];
	struct program who = { 0 };

	if (m->h.type != PROGRAM_WIRE_IS || m->h.arg == 0 || a->token != m->h.arg)
		return; /* too late, or nonsense */
	if (m->len < sizeof(who.pid) || m->len > sizeof(who.pid) + PROGRAM_EXE_MAX) {
		answer(a, NULL);
		return;
	}
	memcpy(&who.pid, m->data, sizeof(who.pid));
	who.exe_len = m->len - sizeof(who.pid);
	who.exe = m->data + sizeof(who.pid);
	answer(a, who.pid > 0 ? &who : NULL);
}

static void on_init(int fd, uint32_t events, void *arg)
{
	static struct wire_msg m; /* too large for the stack's taste */
	struct programs *all = arg;
	int r = wire_recv(fd, &m);

	(void)events;
	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r <= 0) {
		end_close(all->proxy->loop, &all->init);
		answer_all(all);
		return;
	}
	take(all, &m);
	wire_msg_clear(&m);
}

void programs_watch(struct programs *all)
{
	if (fcntl(all->init.fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0)
		end_want(all->proxy->loop, &all->init, EPOLLIN, on_init, all);
	else
		end_close(all->proxy->loop, &all->init);
}

/* --- asking ---------------------------------------------------------------------------------- */

static bool may_ask(struct programs *all)
{
	uint64_t now = loop_now(all->proxy->loop);
	uint64_t earned = (now - all->earned_at) * RATE / 1000;

	if (earned > 0) {
		all->left = all->left + earned > BURST ? BURST : all->left + (unsigned)earned;
		all->earned_at = now;
	}
	return all->left > 0;
}

static struct program_ask *free_place(struct programs *all)
{
	for (size_t i = 0; i < ASKS_MAX; i++) {
		uint32_t token;

		if (all->asks[i].token != 0)
			continue;
		do {
			token = all->asked++ * ASKS_MAX + (uint32_t)i;
		} while (token == 0);
		all->asks[i] = (struct program_ask){ .all = all, .token = token };
		return &all->asks[i];
	}
	return NULL;
}

static void put_address(const struct sockaddr_storage *a, uint8_t out[static 16],
			uint16_t *ret_port)
{
	const struct sockaddr_in *in = (const void *)a;
	const struct sockaddr_in6 *in6 = (const void *)a;

	if (a->ss_family == AF_INET6)
		memcpy(out, &in6->sin6_addr, 16);
	else
		memcpy(out, &in->sin_addr, 4);
	*ret_port = ntohs(a->ss_family == AF_INET6 ? in6->sin6_port : in->sin_port);
}

/* The socket at the other end of an accepted connection. */
static bool other_end(int fd, struct program_socket *s)
{
	struct sockaddr_storage from = { 0 }, to = { 0 };
	socklen_t from_size = sizeof(from), to_size = sizeof(to);

	if (getpeername(fd, (struct sockaddr *)&from, &from_size) != 0)
		return false;
	if (!transparent_original(fd, &to) &&
	    getsockname(fd, (struct sockaddr *)&to, &to_size) != 0)
		return false;
	s->family = from.ss_family;
	s->protocol = IPPROTO_TCP;
	put_address(&from, s->local, &s->local_port);
	put_address(&to, s->remote, &s->remote_port);
	return true;
}

struct program_ask *program_ask(struct proxy *p, int fd, const struct sockaddr_storage *from,
				program_fn *fn, void *arg)
{
	struct programs *all = p->programs;
	struct program_socket s = { 0 };
	struct program_ask *a;

	if (all == NULL || all->init.fd < 0 || !may_ask(all))
		return NULL;
	if (from != NULL) {
		s.family = from->ss_family;
		s.protocol = IPPROTO_UDP;
		put_address(from, s.local, &s.local_port);
	} else if (!other_end(fd, &s)) {
		return NULL;
	}
	a = free_place(all);
	if (a == NULL)
		return NULL;
	if (wire_send(all->init.fd, PROGRAM_WIRE_ASK, a->token, &s, sizeof(s), NULL, 0) != 0) {
		*a = (struct program_ask){ 0 };
		return NULL;
	}
	all->left--;
	a->fn = fn;
	a->arg = arg;
	a->timer = loop_after(p->loop, WAIT_MS, on_timeout, a);
	return a;
}

void program_forget(struct program_ask *a)
{
	if (a != NULL)
		a->fn = NULL;
}

void program_record(struct program_ask *a, struct json *record)
{
	if (a->records == NULL)
		a->records = json_array();
	json_append(a->records, record);
}
