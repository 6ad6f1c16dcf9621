/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop: epoll and a heap of timers.
 *
 * A batch is one epoll_wait and the calls that follow from it: first the descriptors, then the
 * timers that are due.  Sources live in one doubly linked list.  loop_remove takes a source out of
 * epoll and out of the timer heap at once, marks it dead and moves it to the list of the dead; dead
 * ones are freed when the batch is over, because the event array of the batch may still point to
 * them.  The same holds for a timer that fired.
 *
 * Invariants: a live timer is in heap[slot]; a dead source is never called; nothing but the end of
 * a batch (or loop_free) frees a source.
 */
#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <time.h>

#include "base/mem.h"

enum { LOOP_BATCH = 64 };

struct loop_source {
	struct loop_source *prev, *next;
	bool dead;
	int fd; /* -1: a timer */
	loop_fd_fn *fd_fn;
	loop_timer_fn *timer_fn;
	void *arg;
	uint64_t due; /* timers: CLOCK_MONOTONIC in ms */
	size_t slot;  /* timers: place in the heap */
};

struct loop {
	int epfd;
	bool stopped;
	int value;
	uint64_t now;
	struct loop_source *live;
	struct loop_source *dead;
	struct loop_source **heap; /* earliest first */
	size_t nheap;
	size_t heap_cap;
};

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void list_push(struct loop_source **head, struct loop_source *s)
{
	s->prev = NULL;
	s->next = *head;
	if (*head != NULL)
		(*head)->prev = s;
	*head = s;
}

static void list_unlink(struct loop_source **head, struct loop_source *s)
{
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		*head = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
}

static void list_free(struct loop_source **head)
{
	while (*head != NULL) {
		struct loop_source *s = *head;

		*head = s->next;
		free(s);
	}
}

static void heap_put(struct loop *l, size_t slot, struct loop_source *s)
{
	l->heap[slot] = s;
	s->slot = slot;
}

static void heap_up(struct loop *l, size_t slot)
{
	struct loop_source *s = l->heap[slot];

	while (slot > 0 && l->heap[(slot - 1) / 2]->due > s->due) {
		heap_put(l, slot, l->heap[(slot - 1) / 2]);
		slot = (slot - 1) / 2;
	}
	heap_put(l, slot, s);
}

static void heap_down(struct loop *l, size_t slot)
{
	struct loop_source *s = l->heap[slot];

	for (;;) {
		size_t child = 2 * slot + 1;

		if (child >= l->nheap)
			break;
		if (child + 1 < l->nheap && l->heap[child + 1]->due < l->heap[child]->due)
			child++;
		if (l->heap[child]->due >= s->due)
			break;
		heap_put(l, slot, l->heap[child]);
		slot = child;
	}
	heap_put(l, slot, s);
}

static void heap_remove(struct loop *l, size_t slot)
{
	struct loop_source *last = l->heap[--l->nheap];

	if (slot == l->nheap)
		return;
	heap_put(l, slot, last);
	heap_up(l, slot);
	heap_down(l, last->slot);
}

int loop_new(struct loop **ret, struct err *e)
{
	int epfd = epoll_create1(EPOLL_CLOEXEC);
	struct loop *l;

	if (epfd < 0)
		return err_sys(e, "cannot make an epoll instance");
	l = xcalloc(1, sizeof(*l));
	l->epfd = epfd;
	l->now = clock_ms();
	*ret = l;
	return 0;
}

void loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	list_free(&l->live);
	list_free(&l->dead);
	free(l->heap);
	close(l->epfd);
	free(l);
}

int loop_add(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg,
	     struct loop_source **ret, struct err *e)
{
	struct loop_source *s = xcalloc(1, sizeof(*s));
	struct epoll_event ev = { .events = events, .data.ptr = s };

	s->fd = fd;
	s->fd_fn = fn;
	s->arg = arg;
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		mem_freep(&s);
		return err_sys(e, "cannot watch descriptor %d", fd);
	}
	list_push(&l->live, s);
	if (ret != NULL)
		*ret = s;
	return 0;
}

void loop_modify(struct loop *l, struct loop_source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	/* It fails only when the descriptor was closed first, which the contract forbids. */
	if (!s->dead && s->fd >= 0)
		epoll_ctl(l->epfd, EPOLL_CTL_MOD, s->fd, &ev);
}

void loop_remove(struct loop *l, struct loop_source *s)
{
	int saved = errno;

	if (s == NULL || s->dead)
		return;
	s->dead = true;
	if (s->fd >= 0)
		epoll_ctl(l->epfd, EPOLL_CTL_DEL, s->fd, NULL);
	else
		heap_remove(l, s->slot);
	list_unlink(&l->live, s);
	list_push(&l->dead, s);
	errno = saved;
}

struct loop_source *loop_after(struct loop *l, uint64_t ms, loop_timer_fn *fn, void *arg)
{
	struct loop_source *s = xcalloc(1, sizeof(*s));

	s->fd = -1;
	s->timer_fn = fn;
	s->arg = arg;
	/* From the clock, not from the start of the batch: a slow batch must not shorten it. */
	if (__builtin_add_overflow(clock_ms(), ms, &s->due))
		s->due = UINT64_MAX;
	if (l->nheap == l->heap_cap) {
		l->heap_cap = l->heap_cap != 0 ? 2 * l->heap_cap : 8;
		l->heap = xrealloc(l->heap, l->heap_cap, sizeof(struct loop_source *));
	}
	l->heap[l->nheap] = s;
	heap_up(l, l->nheap++);
	list_push(&l->live, s);
	return s;
}

/* Milliseconds that epoll_wait may sleep: until the first timer, or for ever. */
static int sleep_ms(const struct loop *l)
{
	uint64_t now = clock_ms();
	uint64_t due;

	if (l->nheap == 0)
		return -1;
	due = l->heap[0]->due;
	if (due <= now)
		return 0;
	return due - now > INT_MAX ? INT_MAX : (int)(due - now);
}

static void run_timers(struct loop *l)
{
	while (!l->stopped && l->nheap != 0 && l->heap[0]->due <= l->now) {
		struct loop_source *s = l->heap[0];

		/* One-shot: it is dead before its handler runs, which may remove it again. */
		loop_remove(l, s);
		s->timer_fn(s->arg);
	}
}

static void run_batch(struct loop *l, const struct epoll_event *events, int n)
{
	for (int i = 0; i < n && !l->stopped; i++) {
		struct loop_source *s = events[i].data.ptr;

		if (!s->dead)
			s->fd_fn(s->fd, events[i].events, s->arg);
	}
	run_timers(l);
	list_free(&l->dead);
}

int loop_run(struct loop *l)
{
	struct epoll_event events[LOOP_BATCH];

	while (!l->stopped) {
		int n = epoll_wait(l->epfd, events, LOOP_BATCH, sleep_ms(l));

		if (n < 0 && errno != EINTR)
			return -errno;
		l->now = clock_ms();
		run_batch(l, events, n > 0 ? n : 0);
	}
	l->stopped = false;
	return l->value;
}

void loop_stop(struct loop *l, int value)
{
	l->stopped = true;
	l->value = value;
}

uint64_t loop_now(const struct loop *l)
{
	return l->now;
}
