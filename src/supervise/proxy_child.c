/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_child: the ward-proxy of a box.
 *
 * It gets the listener of the box, the rules and a log file over its socket, confines itself and
 * says that it serves.  When it dies it is replaced, with a growing pause and at most RESTARTS_MAX
 * times a minute; the listener and the rules stay here, so that in the meantime connections wait or
 * fail, and never go anywhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "supervise/supervise_internal.h"

enum { READY_WAIT_MS = 10000, RESTARTS_MAX = 20, WINDOW_MS = 60000, PAUSE_MS = 100 };

static int give_sockets(const struct box *box, int fd)
{
	static const uint32_t entries[BOX_NET_SOCKETS] = {
		[BOX_NET_TCP] = PROXY_ENTRY_TRANSPARENT,
		[BOX_NET_DNS_UDP] = PROXY_ENTRY_DNS,
		[BOX_NET_DNS_TCP] = PROXY_ENTRY_DNS,
	};
	int r = wire_send(fd, PROXY_WIRE_LISTEN, PROXY_ENTRY_EXPLICIT, NULL, 0, &box->listen_fd, 1);

	for (size_t i = 0; i < BOX_NET_SOCKETS && r == 0; i++) {
		if (box->net.v4[i] >= 0)
			r = wire_send(fd, PROXY_WIRE_LISTEN, entries[i], NULL, 0, &box->net.v4[i],
				      1);
		if (r == 0 && box->net.v6[i] >= 0)
			r = wire_send(fd, PROXY_WIRE_LISTEN, entries[i], NULL, 0, &box->net.v6[i],
				      1);
	}
	return r;
}

/* One end of a new socket to init, which leaves its earlier one; without it no program is known. */
static int give_init(struct supervisor *sup, int fd)
{
	struct err e = ERR_INIT;
	int pair[2];
	int r = wire_pair(pair, &e);

	if (r < 0)
		return r;
	r = supervisor_tell_init(sup, INIT_WIRE_PROXY, 0, NULL, 0, &pair[1], 1);
	/* An init that is busy stays without. */
	r = r == 0 ? wire_send(fd, PROXY_WIRE_INIT, 0, NULL, 0, &pair[0], 1) : 0;
	close(pair[0]);
	close(pair[1]);
	return r;
}

/*
 * The log of connections is rotated in an order that loses no record for somebody who follows it:
 * the proxy gets a new file under another name, and only when it writes to that one are the names
 * changed.  A follower that finds another file under the name has all of the old one.
 */
#define LOG_NAME SUPERVISE_NETWORK_LOG
#define LOG_NEXT LOG_NAME ".new"

static int open_log(struct supervisor *sup, const char *name, int flags)
{
	return openat(sup->log_fd, name,
		      O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
}

static void rename_logs(struct supervisor *sup)
{
	static const char *const names[] = { LOG_NAME ".2", LOG_NAME ".1", LOG_NAME, LOG_NEXT };

	if (faccessat(sup->log_fd, LOG_NEXT, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	for (size_t i = 0; i + 1 < ARRAY_SIZE(names); i++)
		(void)renameat(sup->log_fd, names[i + 1], sup->log_fd, names[i]);
}

static void next_log(struct supervisor *sup)
{
	auto_close int log = open_log(sup, LOG_NEXT, O_TRUNC);

	if (log < 0 || wire_send(sup->proxy.wire_fd, PROXY_WIRE_LOG, 0, sup->params.name,
				 strlen(sup->params.name), &log, 1) < 0)
		supervisor_note(sup, "network log: %s", strerror(errno));
}

/* With passwords: in sealed memory, which nobody else has. */
static int give_upstream(const struct supervisor *sup, int fd, struct err *e)
{
	const char *text = sup->params.upstream;
	auto_close int memory = -1;
	int r;

	if (text[0] == '\0')
		return 0;
	r = fs_sealed_memfd("ward-upstream", text, strlen(text), &memory, e);
	return r < 0 ? r : wire_send(fd, PROXY_WIRE_UPSTREAM, 0, NULL, 0, &memory, 1);
}

static int give(struct supervisor *sup, int fd, struct err *e)
{
	auto_close int rules = -1;
	auto_close int log = -1;
	int r;

	rename_logs(sup); /* what an earlier proxy could not finish */
	log = open_log(sup, LOG_NAME, 0);
	if (log < 0)
		return err_sys(e, "network log");
	r = fs_sealed_memfd("ward-rules", sup->rules, strlen(sup->rules), &rules, e);
	if (r < 0)
		return r;
	r = give_sockets(&sup->box, fd);
	if (r == 0)
		r = give_init(sup, fd);
	if (r == 0)
		r = wire_send(fd, PROXY_WIRE_HOSTNAME, 0, sup->params.config->hostname,
			      strlen(sup->params.config->hostname), NULL, 0);
	if (r == 0)
		r = wire_send(fd, PROXY_WIRE_RULES, 0, NULL, 0, &rules, 1);
	if (r == 0)
		r = wire_send(fd, PROXY_WIRE_LOG, 0, sup->params.name, strlen(sup->params.name),
			      &log, 1);
	if (r == 0)
		r = give_upstream(sup, fd, e);
	if (r == 0)
		r = wire_send(fd, PROXY_WIRE_GO, 0, NULL, 0, NULL, 0);
	return r < 0 ? err_set(e, ERR_SYSTEM, r, "proxy: %s", strerror(-r)) : 0;
}

static int spawn(struct supervisor *sup, struct err *e)
{
	struct proxy_child *p = &sup->proxy;
	int r;

	p->ready = false;
	r = helper_child_start("ward-proxy", p->exe_fd, &p->pid, &p->wire_fd, e);
	return r < 0 ? r : give(sup, p->wire_fd, e);
}

/* What it said about why it cannot serve. */
static int failed(const struct wire_msg *m, struct err *e)
{
	if (m->h.type != PROXY_WIRE_FAILED)
		return err_set(e, ERR_SYSTEM, -EPROTO, "proxy: unexpected answer");
	return helper_child_failed(m, "proxy", e);
}

int proxy_child_start(struct supervisor *sup, struct err *e)
{
	struct proxy_child *p = &sup->proxy;
	struct wire_msg *m;
	struct pollfd poll_fd;
	int r;

	p->exe_fd = open(sup->params.proxy_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (p->exe_fd < 0)
		return err_sys(e, "%s", sup->params.proxy_path);
	r = spawn(sup, e);
	if (r < 0)
		return r;
	m = xcalloc(1, sizeof(*m));
	poll_fd = (struct pollfd){ .fd = p->wire_fd, .events = POLLIN };
	r = poll(&poll_fd, 1, READY_WAIT_MS);
	r = r == 1 ? wire_recv(p->wire_fd, m) : r == 0 ? -ETIMEDOUT : -errno;
	if (r == 1 && m->h.type == PROXY_WIRE_READY) {
		p->ready = true;
		r = 0;
	} else if (r == 1) {
		r = failed(m, e);
	} else {
		r = err_set(e, ERR_SYSTEM, r ? r : -EPIPE, "proxy did not start: %s",
			    r ? strerror(-r) : "it ended");
	}
	wire_msg_clear(m);
	free(m);
	return r;
}

static void lost(struct supervisor *sup);

static void on_retry(void *arg)
{
	struct supervisor *sup = arg;
	struct err e = ERR_INIT;

	sup->proxy.retry = NULL;
	if (spawn(sup, &e) < 0 || proxy_child_watch(sup, &e) < 0) {
		supervisor_note(sup, "%s", e.message);
		lost(sup);
	}
}

static void lost(struct supervisor *sup)
{
	struct proxy_child *p = &sup->proxy;
	uint64_t now = loop_now(sup->loop);
	uint64_t pause;

	loop_remove(sup->loop, p->source);
	p->source = NULL;
	helper_child_end(&p->pid, &p->wire_fd);
	p->ready = false;
	p->untaken = 0;
	/* Nothing gets through until its successor serves, with the rules of now. */
	control_rules_taken(sup, NULL);
	if (now - p->window_start > WINDOW_MS) {
		p->window_start = now;
		p->restarts = 0;
	}
	pause = p->restarts < RESTARTS_MAX ? (uint64_t)PAUSE_MS * p->restarts : WINDOW_MS;
	p->restarts++;
	p->total_restarts++;
	supervisor_note(sup, "proxy ended; starting it again in %llu ms",
			(unsigned long long)pause);
	p->retry = loop_after(sup->loop, pause, on_retry, sup);
}

static void answered(struct supervisor *sup, const struct err *why)
{
	struct proxy_child *p = &sup->proxy;

	if (p->untaken > 0)
		p->untaken--;
	if (p->untaken == 0 || why)
		control_rules_taken(sup, why);
}

static void on_proxy(int fd, uint32_t events, void *arg)
{
	struct supervisor *sup = arg;
	struct wire_msg *m = xcalloc(1, sizeof(*m));
	struct err e = ERR_INIT;
	int r = wire_recv(fd, m);

	(void)events;
	if (r == 1) {
		if (m->h.type == PROXY_WIRE_READY) {
			sup->proxy.ready = true;
		} else if (m->h.type == PROXY_WIRE_FAILED) {
			failed(m, &e);
			supervisor_note(sup, "%s", e.message);
			answered(sup, &e);
		} else if (m->h.type == PROXY_WIRE_TAKEN && m->h.arg == PROXY_WIRE_RULES) {
			answered(sup, NULL);
		} else if (m->h.type == PROXY_WIRE_TAKEN && m->h.arg == PROXY_WIRE_LOG) {
			rename_logs(sup);
		} else if (m->h.type == PROXY_WIRE_LOG_FULL) {
			next_log(sup);
		} else if (m->h.type == PROXY_WIRE_DENIED) {
			control_refused(sup, m->h.arg, m->data, m->len);
		}
		wire_msg_clear(m);
	} else if (r != -EAGAIN && r != -EINTR) {
		lost(sup);
	}
	free(m);
}

int proxy_child_watch(struct supervisor *sup, struct err *e)
{
	fcntl(sup->proxy.wire_fd, F_SETFL, O_NONBLOCK);
	return loop_add(sup->loop, sup->proxy.wire_fd, EPOLLIN, on_proxy, sup, &sup->proxy.source,
			e);
}

void proxy_child_rules(struct supervisor *sup)
{
	struct proxy_child *p = &sup->proxy;
	auto_close int rules = -1;
	struct err e = ERR_INIT;

	if (p->wire_fd < 0)
		return;
	if (fs_sealed_memfd("ward-rules", sup->rules, strlen(sup->rules), &rules, &e) == 0 &&
	    wire_send(p->wire_fd, PROXY_WIRE_RULES, 0, NULL, 0, &rules, 1) == 0) {
		p->untaken++;
		return;
	}
	/* Old rules must not stay in force: its successor starts with the new ones. */
	lost(sup);
}

void proxy_child_stop(struct supervisor *sup)
{
	struct proxy_child *p = &sup->proxy;

	helper_child_end(&p->pid, &p->wire_fd);
}
