/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_links: inodes of a tree that must be known again: files with several names, and files that
 * no name may bring into a layer.
 *
 * Open addressing over (device, inode); the names lie one after the other in a string.  Both are
 * bounded: of a tree with more such files, the later ones are written as files of their own.
 */
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/layer_internal.h"

enum { SLOTS_MIN = 1024, SLOTS_MAX = 1 << 18, NAMES_MAX = 12 << 20 };

struct slot {
	uint64_t dev, ino;
	uint32_t name; /* where it begins, and 1; 0: the slot is free */
};

struct layer_links {
	struct slot *slots;
	size_t cap, used;
	size_t secrets;
	struct buf names;
};

struct layer_links *layer_links_new(void)
{
	struct layer_links *l = xcalloc(1, sizeof(*l));

	l->cap = SLOTS_MIN;
	l->slots = xcalloc(l->cap, sizeof(*l->slots));
	return l;
}

void layer_links_free(struct layer_links *l)
{
	if (!l)
		return;
	free(l->slots);
	buf_free(&l->names);
	free(l);
}

/* Its slot, or the free one where it belongs. */
static struct slot *find(struct slot *slots, size_t cap, uint64_t dev, uint64_t ino)
{
	const uint64_t key[2] = { dev, ino };
	size_t i = (size_t)text_fnv1a(key, sizeof(key)) & (cap - 1);

	while (slots[i].name && (slots[i].dev != dev || slots[i].ino != ino))
		i = (i + 1) & (cap - 1);
	return &slots[i];
}

static void grow(struct layer_links *l)
{
	size_t cap = l->cap * 2;
	struct slot *slots = xcalloc(cap, sizeof(*slots));

	for (size_t i = 0; i < l->cap; i++) {
		if (l->slots[i].name)
			*find(slots, cap, l->slots[i].dev, l->slots[i].ino) = l->slots[i];
	}
	free(l->slots);
	l->slots = slots;
	l->cap = cap;
}

bool layer_links_add(struct layer_links *l, uint64_t dev, uint64_t ino, const char *name)
{
	struct slot *s;

	if (2 * l->used >= l->cap && l->cap < SLOTS_MAX)
		grow(l);
	s = find(l->slots, l->cap, dev, ino);
	if (s->name)
		return true;
	if (2 * l->used >= l->cap || l->names.len + strlen(name) + 1 > NAMES_MAX)
		return false;
	*s = (struct slot){ dev, ino, (uint32_t)l->names.len + 1 };
	buf_add(&l->names, name, strlen(name) + 1);
	l->used++;
	l->secrets += *name == '\0';
	return true;
}

static const char *name_of(const struct layer_links *l, uint64_t dev, uint64_t ino)
{
	const struct slot *s = find(l->slots, l->cap, dev, ino);

	return s->name ? l->names.data + s->name - 1 : NULL;
}

bool layer_links_find(const struct layer_links *l, uint64_t dev, uint64_t ino, const char **ret)
{
	const char *name = name_of(l, dev, ino);

	if (!name || *name == '\0')
		return false;
	*ret = name;
	return true;
}

bool layer_links_is_secret(const struct layer_links *l, uint64_t dev, uint64_t ino)
{
	const char *name = l->secrets > 0 ? name_of(l, dev, ino) : NULL;

	return name && *name == '\0';
}
