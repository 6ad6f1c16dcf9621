/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_ring: a stream of bytes from one thread that makes it to LAYER_READERS that each read all
 * of it.
 *
 * A ring of slots.  The maker fills the next one when every reader is done with what was in it;
 * readers go through them at their own pace.  Whoever gives up stops all.
 *
 * Invariants: used[i] <= made <= min(used) + SLOTS; what is in a slot does not change between made
 * and the last used.
 */
#include <pthread.h>

#include "base/mem.h"
#include "image/layer_internal.h"

enum { SLOTS = 8 };

struct layer_ring {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t made;		      /* slots, ever */
	uint64_t used[LAYER_READERS]; /* the same of each reader */
	bool ended;		      /* the maker has no more */
	bool stopped;
	size_t len[SLOTS];
	char bytes[SLOTS][LAYER_CHUNK];
};

struct layer_ring *layer_ring_new(void)
{
	struct layer_ring *r = xcalloc(1, sizeof(*r));

	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	return r;
}

void layer_ring_free(struct layer_ring *r)
{
	if (!r)
		return;
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static bool is_full(const struct layer_ring *r)
{
	for (size_t i = 0; i < LAYER_READERS; i++) {
		if (r->made - r->used[i] == SLOTS)
			return true;
	}
	return false;
}

char *layer_ring_room(struct layer_ring *r)
{
	char *room;

	pthread_mutex_lock(&r->lock);
	while (!r->stopped && is_full(r))
		pthread_cond_wait(&r->changed, &r->lock);
	room = r->stopped ? NULL : r->bytes[r->made % SLOTS];
	pthread_mutex_unlock(&r->lock);
	return room;
}

void layer_ring_filled(struct layer_ring *r, size_t n)
{
	pthread_mutex_lock(&r->lock);
	r->len[r->made % SLOTS] = n;
	r->made++;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

const char *layer_ring_next(struct layer_ring *r, enum layer_reader who, size_t *ret_n)
{
	const char *bytes = NULL;

	pthread_mutex_lock(&r->lock);
	while (!r->stopped && !r->ended && r->used[who] == r->made)
		pthread_cond_wait(&r->changed, &r->lock);
	if (!r->stopped && r->used[who] < r->made) {
		bytes = r->bytes[r->used[who] % SLOTS];
		*ret_n = r->len[r->used[who] % SLOTS];
	}
	pthread_mutex_unlock(&r->lock);
	return bytes;
}

void layer_ring_used(struct layer_ring *r, enum layer_reader who)
{
	pthread_mutex_lock(&r->lock);
	r->used[who]++;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

static void set(struct layer_ring *r, bool *flag)
{
	pthread_mutex_lock(&r->lock);
	*flag = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

void layer_ring_end(struct layer_ring *r)
{
	set(r, &r->ended);
}

void layer_ring_stop(struct layer_ring *r)
{
	set(r, &r->stopped);
}
