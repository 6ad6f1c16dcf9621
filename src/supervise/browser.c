/* SPDX-License-Identifier: Apache-2.0 */
/*
 * browser: a program inside asks to open a page.
 *
 * The page is shown to whoever is attached and never opened: what a box says is no reason to start
 * a program outside.  When its address says that the browser will come back to a loopback port, and
 * a program of the box listens there, that port of this machine leads into the box for as long as
 * it does, CALLBACK_MS at most: never one below 1024, and never one that is taken.
 *
 *   asked --init: somebody listens--> open --init: nobody does, or too long--> gone
 *     \--(not within LISTEN_MS)--> gone
 *
 * Everything that init says here is input like any other; it is bounded in number and in time.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

enum {
	LISTEN_MS = 15000,
	CALLBACK_MS = 600000,
	POLL_MS = 1000,
	NOTICES_MAX = 5,	/* at once, */
	NOTICE_EVERY_MS = 5000, /* and then one in that time */
};

static void on_timer(void *arg);

static bool may_speak(struct browser *b, uint64_t now)
{
	uint64_t earned = (now - b->notices_at) / NOTICE_EVERY_MS;

	if (b->notices_at == 0 || earned > 0) {
		b->notices = b->notices_at == 0 || b->notices + earned > NOTICES_MAX
				     ? NOTICES_MAX
				     : b->notices + (unsigned)earned;
		b->notices_at = now;
	}
	if (b->notices == 0)
		return false;
	b->notices--;
	return true;
}

static struct callback *find(struct browser *b, uint16_t port)
{
	for (size_t i = 0; i < BROWSER_CALLBACKS_MAX; i++) {
		if (b->callbacks[i].port == port)
			return &b->callbacks[i];
	}
	return NULL;
}

static void drop(struct supervisor *sup, struct callback *c)
{
	if (c->listen.n)
		ports_forward_end(sup, &c->listen);
	*c = (struct callback){ 0 };
}

static void ask(struct supervisor *sup, uint16_t port)
{
	(void)supervisor_tell_init(sup, INIT_WIRE_LISTENS, port, NULL, 0, NULL, 0);
	if (!sup->browser.timer)
		sup->browser.timer = loop_after(sup->loop, POLL_MS, on_timer, sup);
}

/* Look after those that there are. */
static void on_timer(void *arg)
{
	struct supervisor *sup = arg;
	uint64_t now = loop_now(sup->loop);

	sup->browser.timer = NULL;
	for (size_t i = 0; i < BROWSER_CALLBACKS_MAX; i++) {
		struct callback *c = &sup->browser.callbacks[i];

		if (c->port && now - c->since > (c->listen.n ? CALLBACK_MS : LISTEN_MS))
			drop(sup, c);
		else if (c->port)
			ask(sup, c->port);
	}
}

void browser_asked(struct supervisor *sup, const char *url, size_t n)
{
	struct browser *b = &sup->browser;
	uint64_t now = loop_now(sup->loop);
	auto_buf text = BUF_INIT;
	struct callback *c;
	uint16_t port;

	if (!may_speak(b, now))
		return;
	if (browser_judge(url, n, &port) < 0) {
		control_notice(sup, "a program in the sandbox wanted to open something that is no "
				    "web page");
		return;
	}
	buf_printf(&text, "to open in a browser: %.*s", (int)n, url);
	control_notice(sup, buf_str(&text));
	if (!port || port == sup->params.config->proxy_port)
		return;
	c = find(b, port);
	if (!c)
		c = find(b, 0);
	if (!c)
		return; /* there are enough of them */
	c->port = port;
	c->since = now;
	ask(sup, port);
}

/* The program listens: let the browser reach it. */
static void open_callback(struct supervisor *sup, struct callback *c)
{
	auto_buf text = BUF_INIT;
	int r = ports_forward(sup, c->port, &c->listen);

	if (r == 0) {
		c->since = loop_now(sup->loop);
		buf_printf(&text, "port %u of this machine leads to the sandbox until that is done",
			   (unsigned)c->port);
	} else {
		buf_printf(&text,
			   "port %u of this machine is %s: the browser cannot come back to "
			   "the sandbox",
			   (unsigned)c->port, r == -EADDRINUSE ? "taken" : "not to be had");
		drop(sup, c);
	}
	control_notice(sup, buf_str(&text));
}

void browser_listening(struct supervisor *sup, uint16_t port, bool listens)
{
	struct callback *c = port ? find(&sup->browser, port) : NULL;

	if (!c)
		return;
	if (listens && !c->listen.n)
		open_callback(sup, c);
	else if (!listens && c->listen.n)
		drop(sup, c);
}
