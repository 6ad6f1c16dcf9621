/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the tar reader. Bytes fed at once and one by one must give the same entries, within
 * the limits; every entry that was read must be accepted by the writer and then read as the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/tar.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	int r;
	uint64_t hash;
	uint64_t entries;
	uint64_t bytes;
};

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_xattrs(const struct tar_entry *a, const struct tar_entry *b)
{
	bool same = a->nxattrs == b->nxattrs;

	for (size_t i = 0; same && i < a->nxattrs; i++)
		same = same_text(a->xattrs[i].name, b->xattrs[i].name) &&
		       a->xattrs[i].len == b->xattrs[i].len &&
		       memcmp(a->xattrs[i].value, b->xattrs[i].value, a->xattrs[i].len) == 0;
	return same;
}

/* Write the header of an entry, and read it. */
static void write_again(const struct tar_entry *a)
{
	const struct tar_limits limits = { 1, INT64_MAX, INT64_MAX, true };
	struct tar_reader *rd = tar_reader_new(&limits);
	struct buf out = BUF_INIT;
	struct tar_event ev = { 0 };
	size_t used;

	if (tar_write_header(&out, a, NULL) < 0 ||
	    tar_reader_feed(rd, out.data, out.len, &used, &ev, NULL) < 0 || ev.kind != TAR_ENTRY)
		abort();
	if (a->type != ev.entry.type || !same_text(a->path, ev.entry.path) ||
	    !same_text(a->link, ev.entry.link) || a->size != ev.entry.size ||
	    a->mode != ev.entry.mode || a->uid != ev.entry.uid || a->gid != ev.entry.gid ||
	    a->mtime != ev.entry.mtime || a->mtime_ns != ev.entry.mtime_ns ||
	    !same_xattrs(a, &ev.entry))
		abort();
	buf_free(&out);
	tar_reader_free(rd);
}

static void note_entry(struct outcome *o, const struct tar_entry *entry)
{
	o->entries++;
	o->hash = o->hash * 31 + text_fnv1a(entry->path, strlen(entry->path)) + entry->size;
	for (size_t i = 0; i < entry->nxattrs; i++) {
		o->hash = o->hash * 31 + text_fnv1a(entry->xattrs[i].value, entry->xattrs[i].len);
		o->hash += text_fnv1a(entry->xattrs[i].name, strlen(entry->xattrs[i].name));
	}
	/* The writer knows no devices. */
	if (entry->type <= TAR_FIFO && strlen(entry->path) < TAR_NAME_MAX)
		write_again(entry);
}

static struct outcome run(const char *p, size_t size, size_t step, bool layer)
{
	const struct tar_limits limits = { 1000, 1 << 20, 1 << 22, layer };
	struct tar_reader *rd = tar_reader_new(&limits);
	struct outcome o = { 0 };

	while (size > 0 && o.r == 0) {
		size_t n = size < step ? size : step;
		struct tar_event ev = { 0 };

		do {
			size_t used = 0;

			o.r = tar_reader_feed(rd, p, n, &used, &ev, NULL);
			if (o.r < 0)
				break;
			if (used > n)
				abort();
			if (ev.kind == TAR_DATA) {
				if (ev.data < p || ev.data + ev.len > p + used)
					abort();
				o.bytes += ev.len;
			}
			if (ev.kind == TAR_ENTRY)
				note_entry(&o, &ev.entry);
			p += used;
			n -= used;
			size -= used;
		} while (ev.kind != TAR_MORE && ev.kind != TAR_END);
	}
	if (o.r == 0)
		o.r = tar_reader_finish(rd, NULL);
	if (o.entries > limits.entries || o.bytes > limits.total_size)
		abort();
	tar_reader_free(rd);
	return o;
}

static void compare(const char *p, size_t size, bool layer)
{
	struct outcome a = run(p, size, size, layer);
	struct outcome b = run(p, size, 1, layer);

	if (a.r != b.r || a.hash != b.hash || a.entries != b.entries || a.bytes != b.bytes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	compare((const char *)data, size, false);
	compare((const char *)data, size, true);
	return 0;
}
