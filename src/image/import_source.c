/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_source: files by name, of a directory or of an archive.
 *
 * An archive is scanned once with the strict tar reader; what is kept is where each file's data
 * begins.  A compressed archive is first written out to a file without a name, because its blobs
 * are read in another order than they come in.  Links in an archive (`docker save` writes a layer
 * that it has twice as a link) are followed once, by name; those of a directory are not followed.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/tar.h"
#include "base/text.h"
#include "image/import_internal.h"
#include "image/layer_internal.h"

enum { CHUNK = 256 << 10, FILES_MAX = 20000, NAMES_MAX = 4 << 20 };

struct entry {
	char *name;
	char *link; /* name that it stands for, or NULL */
	off_t offset;
	uint64_t size;
};

struct import_source {
	int fd;
	bool dir;
	int spool; /* -1, or owned and the same as fd */
	struct entry *entries;
	size_t n;
	size_t names; /* bytes */
};

void import_source_free(struct import_source *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++) {
		free(s->entries[i].name);
		free(s->entries[i].link);
	}
	free(s->entries);
	if (s->spool >= 0)
		close(s->spool);
	free(s);
}

/* --- decompressing ---------------------------------------------------------------------------- */

static bool is_compressed(int fd)
{
	unsigned char magic[4] = { 0 };

	return pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
	       ((magic[0] == 0x1f && magic[1] == 0x8b) ||
		memcmp(magic, "\x28\xb5\x2f\xfd", sizeof(magic)) == 0);
}

static int spool_chunk(struct layer_inflate *f, const char *in, size_t n, char *out, int to,
		       struct err *e)
{
	size_t got;
	int r;

	do {
		r = layer_inflate(f, &in, &n, out, CHUNK, &got, e);
		if (r < 0)
			return err_prefix(e, "archive");
		r = fs_write_all(to, out, got);
		if (r < 0) {
			errno = -r;
			return err_sys(e, "archive: write its decompressed copy");
		}
	} while (got > 0);
	return 0;
}

static int spool(struct import_source *s, int dir, struct err *e)
{
	struct layer_inflate *f = layer_inflate_new();
	auto_free char *in = xmalloc(CHUNK);
	auto_free char *out = xmalloc(CHUNK);
	auto_close int to = openat(dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	off_t at = 0;
	ssize_t n = 0;
	int r = to < 0 ? err_sys(e, "archive: make its decompressed copy") : 0;

	while (r == 0 && (n = pread(s->fd, in, CHUNK, at)) > 0) {
		at += n;
		r = spool_chunk(f, in, (size_t)n, out, to, e);
	}
	if (r == 0 && n < 0)
		r = err_sys(e, "archive: read");
	if (r == 0)
		r = layer_inflate_finish(f, e);
	layer_inflate_free(f);
	if (r == 0)
		s->fd = s->spool = steal_fd(&to);
	return r;
}

/* --- scanning --------------------------------------------------------------------------------- */

static int add(struct import_source *s, const struct tar_entry *entry, off_t at, struct err *e)
{
	const char *name = entry->path;
	struct entry *x;

	while (text_starts(name, "./"))
		name += 2;
	if (entry->type == TAR_DIR)
		return 0;
	if (entry->type > TAR_HARDLINK)
		return err_set(e, ERR_INPUT, -EINVAL, "archive: a special file in it");
	s->names += strlen(name) + (entry->link ? strlen(entry->link) : 0);
	if (s->n == FILES_MAX || s->names > NAMES_MAX)
		return err_set(e, ERR_INPUT, -EFBIG, "archive: too many files");
	if (s->n % 64 == 0)
		s->entries = xrealloc(s->entries, s->n + 64, sizeof(*s->entries));
	x = &s->entries[s->n++];
	*x = (struct entry){ .name = xstrdup(name), .offset = at, .size = entry->size };
	/* "../HEX/layer.tar", relative to a directory at the top; or the name from the top. */
	if (entry->link)
		x->link = xstrdup(text_starts(entry->link, "../") ? entry->link + 3 : entry->link);
	return 0;
}

static int scan(struct import_source *s, struct err *e)
{
	const struct tar_limits limits = { .entries = FILES_MAX,
					   .file_size = IMAGE_BLOB_MAX,
					   .total_size = IMAGE_LAYERS_MAX * IMAGE_BLOB_MAX,
					   .layer = true };
	auto_tar_reader reader = tar_reader_new(&limits);
	auto_free char *chunk = xmalloc(CHUNK);
	struct tar_event ev = { .kind = TAR_MORE };
	off_t at = 0;
	ssize_t n;

	while (ev.kind != TAR_END && (n = pread(s->fd, chunk, CHUNK, at)) > 0) {
		size_t done = 0;

		do {
			size_t used = 0;
			int r = tar_reader_feed(reader, chunk + done, (size_t)n - done, &used, &ev,
						e);

			done += used;
			if (r == 0 && ev.kind == TAR_ENTRY)
				r = add(s, &ev.entry, at + (off_t)done, e);
			if (r < 0)
				return err_prefix(e, "archive");
		} while (ev.kind != TAR_MORE && ev.kind != TAR_END);
		at += n;
	}
	if (tar_reader_finish(reader, e) < 0)
		return err_prefix(e, "archive");
	return 0;
}

int import_source_open(int fd, int spool_dir, struct import_source **ret, struct err *e)
{
	struct import_source *s;
	struct stat st;
	int r = 0;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "archive");
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(e, ERR_INPUT, -EINVAL, "neither a directory nor a file");
	s = xcalloc(1, sizeof(*s));
	s->fd = fd;
	s->spool = -1;
	s->dir = S_ISDIR(st.st_mode);
	if (!s->dir && is_compressed(fd))
		r = spool(s, spool_dir, e);
	if (r == 0 && !s->dir)
		r = scan(s, e);
	if (r < 0) {
		import_source_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

/* --- finding ---------------------------------------------------------------------------------- */

static int missing(const char *name, struct err *e)
{
	auto_free char *shown = text_escaped(name);

	return err_set(e, ERR_INPUT, -ENOENT, "'%.200s' is missing in it", shown);
}

static int find_file(struct import_source *s, const char *name, struct import_file *ret,
		     struct err *e)
{
	auto_close int fd = fs_open_beneath(s->fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return missing(name, e);
	*ret = (struct import_file){ .owned = true, .size = (uint64_t)st.st_size };
	ret->fd = steal_fd(&fd);
	return 0;
}

/* The last one of a name counts, as for whoever unpacks the archive. */
static const struct entry *find_entry(const struct import_source *s, const char *name)
{
	for (size_t i = s->n; i > 0; i--)
		if (strcmp(s->entries[i - 1].name, name) == 0)
			return &s->entries[i - 1];
	return NULL;
}

int import_source_find(struct import_source *s, const char *name, struct import_file *ret,
		       struct err *e)
{
	const struct entry *x;

	if (s->dir)
		return find_file(s, name, ret, e);
	x = find_entry(s, name);
	if (x && x->link)
		x = find_entry(s, x->link);
	if (!x || x->link)
		return missing(name, e);
	*ret = (struct import_file){ .fd = s->fd, .offset = x->offset, .size = x->size };
	return 0;
}

bool import_source_has(struct import_source *s, const char *name)
{
	struct import_file f;

	if (import_source_find(s, name, &f, NULL) < 0)
		return false;
	import_file_clear(&f);
	return true;
}

void import_file_clear(struct import_file *f)
{
	if (f->owned)
		close(f->fd);
	f->owned = false;
}
