/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notices: what the policy refused, for whoever is attached to the sandbox.
 *
 * The supervisor is told of a target when it is refused for the first time, and then how often
 * more.  A program may be refused thousands of times a second: at most RATE messages a second are
 * sent, what happens between is counted and told with the next.  TARGETS are told apart; when there
 * are more, those of long ago make room.
 */
#include <string.h>

#include "base/mem.h"
#include "net/net_internal.h"

enum { TARGETS = 32, RATE = 8, AGAIN_MS = 250 };

struct notices {
	struct proxy *proxy;
	unsigned left; /* to send now */
	uint64_t earned_at;
	struct loop_source *timer;
	size_t n; /* with something to tell */
	struct {
		char *text; /* target, reason, hint, each with its NUL; NULL: unused */
		size_t len;
		uint32_t untold;
		uint64_t at;
	} v[TARGETS];
};

struct notices *notices_new(struct proxy *p)
{
	struct notices *x = xcalloc(1, sizeof(*x));

	x->proxy = p;
	x->left = RATE;
	x->earned_at = loop_now(p->loop);
	return x;
}

void notices_free(struct notices *x)
{
	if (x == NULL)
		return;
	loop_remove(x->proxy->loop, x->timer);
	for (size_t i = 0; i < TARGETS; i++)
		free(x->v[i].text);
	free(x);
}

static void send_some(struct notices *x);

static void on_timer(void *arg)
{
	struct notices *x = arg;

	x->timer = NULL;
	send_some(x);
}

static void send_some(struct notices *x)
{
	uint64_t now = loop_now(x->proxy->loop);
	uint64_t earned = (now - x->earned_at) * RATE / 1000;

	if (earned > 0) {
		x->left = x->left + earned > RATE ? RATE : x->left + (unsigned)earned;
		x->earned_at = now;
	}
	for (size_t i = 0; i < TARGETS && x->left > 0 && x->n > 0; i++) {
		if (x->v[i].untold == 0)
			continue;
		/* A supervisor that is busy is told later. */
		if (wire_send(x->proxy->wire, PROXY_WIRE_DENIED, x->v[i].untold, x->v[i].text,
			      x->v[i].len, NULL, 0) != 0)
			break;
		x->v[i].untold = 0;
		x->left--;
		x->n--;
	}
	if (x->n > 0 && x->timer == NULL)
		x->timer = loop_after(x->proxy->loop, AGAIN_MS, on_timer, x);
}

/* The place of this text; a new one takes that of the oldest. */
static size_t place_of(struct notices *x, const struct buf *text)
{
	size_t oldest = 0;

	for (size_t i = 0; i < TARGETS; i++) {
		if (x->v[i].text == NULL)
			return i;
		if (x->v[i].len == text->len && memcmp(x->v[i].text, text->data, text->len) == 0)
			return i;
		if (x->v[i].at < x->v[oldest].at)
			oldest = i;
	}
	free(x->v[oldest].text);
	x->v[oldest].text = NULL;
	x->n -= x->v[oldest].untold > 0;
	x->v[oldest].untold = 0;
	return oldest;
}

void proxy_notice(struct proxy *p, const char *target, const char *reason, const char *hint)
{
	struct notices *x = p->notices;
	struct buf text = BUF_INIT;
	size_t i;

	buf_add(&text, target, strlen(target) + 1);
	buf_add(&text, reason, strlen(reason) + 1);
	buf_add(&text, hint, strlen(hint) + 1);
	i = place_of(x, &text);
	x->v[i].at = loop_now(p->loop);
	x->n += x->v[i].untold == 0;
	x->v[i].untold += x->v[i].untold < UINT16_MAX;
	if (x->v[i].text == NULL) {
		x->v[i].len = text.len;
		x->v[i].text = buf_steal(&text);
	}
	buf_free(&text);
	send_some(x);
}
