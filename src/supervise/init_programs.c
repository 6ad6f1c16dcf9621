/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init_programs: which program has a socket, asked by ward-proxy for its records.
 *
 * The kernel tells the inode of a socket by its addresses (sock_diag(7)); which process has it open
 * is seen in /proc/PID/fd.  Only init can look there: it is in the outer user namespace, with
 * capabilities over every program of the box, and in their network namespace.
 *
 * Programs that made a connection lately are looked at first, then all others, the newest first.
 * However many processes and descriptors a program makes: one search takes SEARCH_US at most, and
 * all of them together a tenth of the time; what was not found by then is not known.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

enum { SEARCH_US = 10000, CREDIT_US = 100000, EARNS = 10 /* one of so many microseconds */ };
enum { PIDS_MAX = 8192, DIAG_ROUNDS = 4 };

struct search {
	char link[32]; /* what the descriptor of the socket reads as */
	uint64_t until;
};

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* --- from addresses to an inode -------------------------------------------------------------- */

struct question {
	struct nlmsghdr h;
	struct inet_diag_req_v2 r;
};

static void put_question(const struct program_socket *s, struct question *q)
{
	*q = (struct question){
		.h = { .nlmsg_len = sizeof(*q),
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST },
		.r = { .sdiag_family = (uint8_t)s->family,
		       .sdiag_protocol = (uint8_t)s->protocol,
		       .idiag_states = ~0U },
	};
	q->r.id.idiag_sport = htons(s->local_port);
	q->r.id.idiag_cookie[0] = q->r.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (s->protocol == IPPROTO_UDP) {
		/* Where it was sent to is not known any more: all sockets on that port. */
		q->h.nlmsg_flags |= NLM_F_DUMP;
		return;
	}
	q->r.id.idiag_dport = htons(s->remote_port);
	memcpy(q->r.id.idiag_src, s->local, sizeof(s->local));
	memcpy(q->r.id.idiag_dst, s->remote, sizeof(s->remote));
}

/* The first socket of an answer; 0: none. */
static uint32_t first_inode(void *bytes, size_t left, bool *ret_end)
{
	struct nlmsghdr *h = bytes;

	for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		struct inet_diag_msg m;

		*ret_end = h->nlmsg_type != SOCK_DIAG_BY_FAMILY;
		if (*ret_end || h->nlmsg_len < NLMSG_LENGTH(sizeof(m)))
			return 0;
		memcpy(&m, NLMSG_DATA(h), sizeof(m));
		if (m.idiag_inode)
			return m.idiag_inode;
	}
	return 0;
}

static uint32_t ask_kernel(const struct program_socket *s)
{
	auto_close int fd =
		socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	union {
		struct nlmsghdr align;
		char bytes[8192];
	} reply;
	struct question q;
	uint32_t inode = 0;
	bool end = false;

	put_question(s, &q);
	if (fd < 0 || send(fd, &q, sizeof(q), 0) != (ssize_t)sizeof(q))
		return 0;
	/* The kernel has answered when send returns; more of a dump comes with each read. */
	for (int i = 0; i < DIAG_ROUNDS && !inode && !end; i++) {
		ssize_t n = recv(fd, &reply, sizeof(reply), 0);

		if (n <= 0)
			break;
		inode = first_inode(&reply, (size_t)n, &end);
	}
	return inode;
}

static uint32_t find_inode(struct program_socket *s)
{
	uint32_t inode;

	if ((s->family != AF_INET && s->family != AF_INET6) ||
	    (s->protocol != IPPROTO_TCP && s->protocol != IPPROTO_UDP))
		return 0;
	inode = ask_kernel(s);
	if (!inode && s->protocol == IPPROTO_UDP) {
		/* A socket of both families sends IPv4 too. */
		s->family = s->family == AF_INET ? AF_INET6 : AF_INET;
		inode = ask_kernel(s);
	}
	return inode;
}

/* --- from an inode to a process -------------------------------------------------------------- */

static bool has_socket(const struct search *s, int proc, pid_t pid)
{
	char name[32], link[sizeof(s->link)];
	size_t want = strlen(s->link);
	struct dirent *d;
	bool found = false;
	DIR *dir;
	int fd;

	snprintf(name, sizeof(name), "%d/fd", pid);
	fd = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (!found && now_us() < s->until && (d = readdir(dir)))
		found = readlinkat(fd, d->d_name, link, sizeof(link)) == (ssize_t)want &&
			memcmp(link, s->link, want) == 0;
	closedir(dir);
	return found;
}

static int newest_first(const void *a, const void *b)
{
	return *(const pid_t *)b - *(const pid_t *)a;
}

static size_t list_processes(int proc, pid_t *pids, size_t max)
{
	int fd = openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *d;
	size_t n = 0;

	if (!dir && fd >= 0)
		close(fd);
	while (dir && n < max && (d = readdir(dir))) {
		uint64_t pid;

		if (text_u64(d->d_name, INT32_MAX, &pid) == 0 && pid > 1)
			pids[n++] = (pid_t)pid;
	}
	if (dir)
		closedir(dir);
	qsort(pids, n, sizeof(*pids), newest_first);
	return n;
}

static pid_t search_all(const struct search *s, int proc)
{
	auto_free pid_t *pids = xmalloc(PIDS_MAX * sizeof(*pids));
	size_t n = list_processes(proc, pids, PIDS_MAX);

	for (size_t i = 0; i < n && now_us() < s->until; i++) {
		if (has_socket(s, proc, pids[i]))
			return pids[i];
	}
	return 0;
}

static pid_t search_recent(const struct init_programs *p, const struct search *s, int proc)
{
	for (size_t i = 0; i < INIT_PROGRAMS_RECENT; i++) {
		if (p->recent[i] && has_socket(s, proc, p->recent[i]))
			return p->recent[i];
	}
	return 0;
}

static void remember(struct init_programs *p, pid_t pid)
{
	for (size_t i = 0; i < INIT_PROGRAMS_RECENT; i++) {
		if (p->recent[i] == pid)
			return;
	}
	p->recent[p->next++ % INIT_PROGRAMS_RECENT] = pid;
}

static pid_t find(struct init_programs *p, struct program_socket *socket, int proc)
{
	struct search s = { .until = now_us() + SEARCH_US };
	uint32_t inode = find_inode(socket);
	pid_t pid;

	if (!inode)
		return 0;
	snprintf(s.link, sizeof(s.link), "socket:[%u]", inode);
	pid = search_recent(p, &s, proc);
	if (!pid)
		pid = search_all(&s, proc);
	if (pid)
		remember(p, pid);
	return pid;
}

/* --- the wire -------------------------------------------------------------------------------- */

void init_programs_adopt(struct init_programs *p, struct wire_msg *m)
{
	int fd = wire_take_fd(m, 0);

	if (p->fd >= 0)
		close(p->fd);
	p->fd = fd;
	/* It never makes init wait. */
	if (fd >= 0 && fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		fd_closep(&p->fd);
}

/* Is there time for a search? */
static bool may_search(struct init_programs *p, uint64_t now)
{
	uint64_t earned = (now - p->earned_at) / EARNS;

	p->credit = p->credit + earned > CREDIT_US ? CREDIT_US : p->credit + earned;
	p->earned_at = now;
	return p->credit > 0;
}

static void answer(struct init_programs *p, uint32_t token, struct program_socket *socket)
{
	auto_close int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct {
		uint32_t pid;
		char exe[PROGRAM_EXE_MAX];
	} is;
	uint64_t begin = now_us(), spent;
	ssize_t n = 0;
	char name[32];

	is.pid = proc >= 0 && may_search(p, begin) ? (uint32_t)find(p, socket, proc) : 0;
	if (is.pid) {
		snprintf(name, sizeof(name), "%u/exe", is.pid);
		n = readlinkat(proc, name, is.exe, sizeof(is.exe));
		n = n < 0 ? 0 : n; /* gone meanwhile, or a path that is too long for the kernel */
	}
	spent = now_us() - begin;
	p->credit -= spent < p->credit ? spent : p->credit;
	/* Who asks for more than it takes is not answered. */
	(void)wire_send(p->fd, PROGRAM_WIRE_IS, token, &is, is.pid ? sizeof(is.pid) + (size_t)n : 0,
			NULL, 0);
}

void init_programs_answer(struct init_programs *p, struct wire_msg *m)
{
	struct program_socket socket;
	int r = wire_recv(p->fd, m);

	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r <= 0) {
		fd_closep(&p->fd);
		p->fd = -1;
		return;
	}
	if (m->h.type == PROGRAM_WIRE_ASK && m->len == sizeof(socket)) {
		memcpy(&socket, m->data, sizeof(socket));
		answer(p, m->h.arg, &socket);
	}
	wire_msg_clear(m);
}
