/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names: which synthetic address stands for which name.  Pure.
 *
 * A name's number comes from its hash, so that it is the same again after the proxy was replaced,
 * and in every box; what a program remembers then still means what it meant.  Where several names
 * want one number there are PROBES places for each.  The least recently used name makes room, but
 * never one that a connection uses.
 *
 * Invariants: at most NAMES_MAX names; every entry is in the list, newest first, and by_number
 * leads to it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/boxnet.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/net_internal.h"

enum { PROBES = 8, NUMBERS = BOXNET_NAMES_TO - BOXNET_NAMES_FROM };

struct entry {
	struct entry *prev, *next;
	char *name;
	uint32_t number;
	unsigned users;
};

struct names {
	struct entry *newest, *oldest;
	size_t n;
	struct entry *by_number[NUMBERS];
};

struct names *names_new(void)
{
	return xcalloc(1, sizeof(struct names));
}

static void list_remove(struct names *t, struct entry *x)
{
	if (x->prev != NULL)
		x->prev->next = x->next;
	else
		t->newest = x->next;
	if (x->next != NULL)
		x->next->prev = x->prev;
	else
		t->oldest = x->prev;
}

static void list_add(struct names *t, struct entry *x)
{
	x->prev = NULL;
	x->next = t->newest;
	if (x->next != NULL)
		x->next->prev = x;
	else
		t->oldest = x;
	t->newest = x;
}

static void forget(struct names *t, struct entry *x)
{
	list_remove(t, x);
	t->by_number[x->number] = NULL;
	t->n--;
	free(x->name);
	free(x);
}

void names_free(struct names *t)
{
	if (t == NULL)
		return;
	while (t->newest != NULL)
		forget(t, t->newest);
	free(t);
}

static void used_now(struct names *t, struct entry *x)
{
	list_remove(t, x);
	list_add(t, x);
}

/* Where the name may go: its own entry, a free place, or the place of one that nobody uses. */
static int find_place(const struct names *t, const char *name, uint32_t *ret)
{
	uint64_t h = text_fnv1a(name, strlen(name));
	uint32_t step = (uint32_t)(h >> 32) % (NUMBERS - 1) + 1;
	uint32_t number = (uint32_t)h % NUMBERS;
	bool found = false;

	for (int i = 0; i < PROBES; i++, number = (number + step) % NUMBERS) {
		const struct entry *x = t->by_number[number];

		if (x != NULL && strcmp(x->name, name) == 0) {
			*ret = number;
			return 0;
		}
		if (!found && x == NULL) {
			*ret = number;
			found = true;
		}
	}
	if (found)
		return 0;
	for (int i = 0; i < PROBES; i++, number = (number + step) % NUMBERS) {
		if (t->by_number[number]->users == 0) {
			*ret = number;
			return 0;
		}
	}
	return -ENOSPC;
}

int names_give(struct names *t, const char *name, uint32_t *ret_number)
{
	struct entry *x;
	uint32_t number = 0;
	int r = find_place(t, name, &number);

	if (r != 0)
		return r;
	x = t->by_number[number];
	if (x != NULL && strcmp(x->name, name) == 0) {
		used_now(t, x);
		*ret_number = number;
		return 0;
	}
	if (x != NULL)
		forget(t, x);
	if (t->n == NAMES_MAX) {
		for (x = t->oldest; x != NULL && x->users > 0; x = x->prev)
			;
		if (x == NULL)
			return -ENOSPC;
		forget(t, x);
	}
	x = xcalloc(1, sizeof(*x));
	x->name = xstrdup(name);
	x->number = number;
	t->by_number[number] = x;
	list_add(t, x);
	t->n++;
	*ret_number = number;
	return 0;
}

const char *names_find(const struct names *t, uint32_t number)
{
	return number < NUMBERS && t->by_number[number] != NULL ? t->by_number[number]->name : NULL;
}

void names_hold(struct names *t, uint32_t number)
{
	struct entry *x = t->by_number[number];

	x->users++;
	used_now(t, x);
}

void names_release(struct names *t, uint32_t number)
{
	t->by_number[number]->users--;
}

void names_address(uint32_t number, bool v6, uint8_t ret[static 16])
{
	uint32_t v4 = htonl((uint32_t)BOXNET_PREFIX4 + BOXNET_NAMES_FROM + number);

	if (v6)
		memcpy(ret, boxnet_prefix6, sizeof(boxnet_prefix6));
	memcpy(v6 ? ret + sizeof(boxnet_prefix6) : ret, &v4, sizeof(v4));
}

bool names_number(bool v6, const uint8_t *addr, uint32_t *ret)
{
	uint32_t v4;

	if (v6 && memcmp(addr, boxnet_prefix6, sizeof(boxnet_prefix6)) != 0)
		return false;
	memcpy(&v4, v6 ? addr + sizeof(boxnet_prefix6) : addr, sizeof(v4));
	v4 = ntohl(v4) - (uint32_t)BOXNET_PREFIX4;
	if (v4 < BOXNET_NAMES_FROM || v4 >= BOXNET_NAMES_TO)
		return false;
	*ret = v4 - BOXNET_NAMES_FROM;
	return true;
}

bool names_is_box_network(bool v6, const uint8_t *addr)
{
	/* 198.18.0.0/15 */
	return v6 ? memcmp(addr, boxnet_prefix6, 8) == 0 : addr[0] == 198 && (addr[1] & 0xfe) == 18;
}
