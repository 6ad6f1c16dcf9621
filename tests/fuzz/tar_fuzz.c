/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the tar reader. Bytes fed at once and one by one must give the same entries, within
 * the limits; every entry that was read must be accepted by the writer.
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

static void note_entry(struct outcome *o, const struct tar_entry *entry)
{
	struct buf out = BUF_INIT;

	o->entries++;
	o->hash = o->hash * 31 + text_fnv1a(entry->path, strlen(entry->path)) + entry->size;
	for (size_t i = 0; i < entry->nxattrs; i++) {
		o->hash = o->hash * 31 + text_fnv1a(entry->xattrs[i].value, entry->xattrs[i].len);
		o->hash += text_fnv1a(entry->xattrs[i].name, strlen(entry->xattrs[i].name));
	}
	/* The writer knows no special files. */
	if (entry->type > TAR_HARDLINK)
		return;
	if (strlen(entry->path) < TAR_NAME_MAX && tar_write_header(&out, entry, NULL) < 0)
		abort();
	buf_free(&out);
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
