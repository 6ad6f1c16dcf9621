/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_collect: `ward-image collect`: the sources of a COPY or ADD as a tar archive.
 *
 * Request: {"sources": [pattern...], "ignore": [pattern...], "root": bool, "unpack": archives are
 * marked}.  Descriptor 3 is the directory of the context or the root of another stage, 4 the file
 * that is written to.  Of a directory what is in it is written, of a file the file by its last
 * component; the archive's end is left to the caller, who may add to it.  Result: {"files", "dirs":
 * how many sources were that, an archive that will be unpacked counts as a directory, "digest": of
 * names, modes, contents, links, attributes and, of a stage, owners; not of times}.
 *
 * Within one source a file with several names is written once, and the others are hard links to it,
 * as with Docker.  Files with holes keep them, attributes are those that a layer may have.
 *
 * Sockets, FIFOs and devices are refused, and so is what changes while it is read.  Below a source
 * no symbolic link is followed: it is copied as a link.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/tar.h"
#include "base/text.h"
#include "image/build_internal.h"
#include "image/helper_confine.h"
#include "image/image_internal.h"

enum { CHUNK = 256 << 10, TREE_FD = IMAGE_FD_FIRST, OUT_FD, LINK_BYTES = 4096 };

struct collect {
	struct build_tree tree;
	EVP_MD_CTX *digest;
	bool unpack;
	uint64_t files, dirs, bytes, entries;
	char *chunk;
	struct layer_links *links; /* of the source */
	struct layer_xattrs xattrs;
	struct tar_piece *pieces;
};

static int fail(const char *path, int code, const char *why, struct err *e)
{
	auto_free char *shown = text_escaped(path);

	return err_set(e, ERR_REFUSED, code, "'%.200s': %s", shown, why);
}

static int fail_errno(const char *path, struct err *e)
{
	auto_free char *shown = text_escaped(path);

	return err_sys(e, "'%.200s'", shown);
}

static int digest(struct collect *c, const void *bytes, size_t n, struct err *e)
{
	if (EVP_DigestUpdate(c->digest, bytes, n) != 1)
		return err_set(e, ERR_SYSTEM, -EIO, "the digest cannot be computed");
	return 0;
}

static int out(const struct buf *b, struct err *e)
{
	int r = fs_write_all(OUT_FD, b->data, b->len);

	if (r == 0)
		return 0;
	errno = -r;
	return err_sys(e, "write");
}

static int put_header(struct collect *c, const struct tar_entry *t, struct err *e)
{
	auto_buf head = BUF_INIT;
	auto_buf plain = BUF_INIT;
	int r = tar_write_header(&head, t, e);

	if (r < 0)
		return r;
	if (++c->entries > IMAGE_BLOB_MAX / CHUNK)
		return err_set(e, ERR_INPUT, -E2BIG, "too many files");
	buf_printf(&plain, "%d %o %" PRIu64 " %" PRIu64 " %" PRIu64 " ", (int)t->type, t->mode,
		   t->uid, t->gid, t->size);
	buf_add(&plain, t->path, strlen(t->path) + 1);
	if (t->link)
		buf_add(&plain, t->link, strlen(t->link) + 1);
	for (size_t i = 0; i < t->nxattrs; i++) {
		buf_printf(&plain, "%s %zu ", t->xattrs[i].name, t->xattrs[i].len);
		buf_add(&plain, t->xattrs[i].value, t->xattrs[i].len);
	}
	for (size_t i = 0; t->pieces && i < t->npieces; i++)
		buf_printf(&plain, "%" PRIu64 " %" PRIu64 " ", t->pieces[i].offset,
			   t->pieces[i].size);
	r = digest(c, plain.data, plain.len, e);
	return r < 0 ? r : out(&head, e);
}

static int put_piece(struct collect *c, int fd, const char *path, const struct tar_piece *piece,
		     struct err *e)
{
	for (uint64_t done = 0; done < piece->size;) {
		uint64_t left = piece->size - done;
		ssize_t n = pread(fd, c->chunk, left < CHUNK ? (size_t)left : CHUNK,
				  (off_t)(piece->offset + done));
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(path, e);
		if (n == 0)
			return fail(path, -EAGAIN, "it changed while it was read", e);
		done += (uint64_t)n;
		c->bytes += (uint64_t)n;
		if (c->bytes > IMAGE_BLOB_MAX)
			return err_set(e, ERR_INPUT, -EFBIG, "more than 64 GiB");
		r = digest(c, c->chunk, (size_t)n, e);
		if (r == 0 && fs_write_all(OUT_FD, c->chunk, (size_t)n) < 0)
			r = err_sys(e, "write");
		if (r < 0)
			return r;
	}
	return 0;
}

static struct tar_entry entry_of(const struct collect *c, const struct stat *st, const char *name)
{
	return (struct tar_entry){ .path = name,
				   .mode = st->st_mode & 07777,
				   .uid = c->tree.is_root ? st->st_uid : 0,
				   .gid = c->tree.is_root ? st->st_gid : 0,
				   .mtime = st->st_mtim.tv_sec,
				   .mtime_ns = (uint32_t)st->st_mtim.tv_nsec };
}

/* The attributes of an open file are those of the entry. */
static void take_xattrs(struct collect *c, int fd, struct tar_entry *t)
{
	(void)layer_xattrs_read(&c->xattrs, fd);
	t->xattrs = c->xattrs.v;
	t->nxattrs = c->xattrs.n;
}

/* fd: the file, open for reading. */
static int put_file(struct collect *c, int fd, const char *path, const char *name, bool unpack,
		    struct err *e)
{
	static const struct tar_xattr mark = { BUILD_UNPACK_XATTR, "1", 1 };
	auto_buf padding = BUF_INIT;
	struct tar_entry t;
	struct stat st;
	size_t n = 0;
	int r;

	if (fstat(fd, &st) < 0)
		return fail_errno(path, e);
	t = entry_of(c, &st, name);
	if (st.st_nlink > 1 && layer_links_find(c->links, st.st_dev, st.st_ino, &t.link)) {
		t.type = TAR_HARDLINK;
		return put_header(c, &t, e);
	}
	if (st.st_nlink > 1)
		(void)layer_links_add(c->links, st.st_dev, st.st_ino, name);
	t.type = TAR_FILE;
	t.size = (uint64_t)st.st_size;
	if (unpack) {
		t.xattrs = &mark;
		t.nxattrs = 1;
		/* Its bytes, holes and all, are read one after the other. */
		c->pieces[0] = (struct tar_piece){ 0, t.size };
		n = 1;
	} else {
		take_xattrs(c, fd, &t);
		if (layer_pieces_find(fd, &st, c->pieces, &n)) {
			t.pieces = c->pieces;
			t.npieces = n;
		}
	}
	r = put_header(c, &t, e);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = put_piece(c, fd, path, &c->pieces[i], e);
	tar_write_padding(&padding, layer_pieces_size(c->pieces, n));
	return r < 0 ? r : out(&padding, e);
}

static int put_dir(struct collect *c, int dir, const char *last, const char *path,
		   struct tar_entry *t, struct err *e)
{
	auto_close int fd = fs_open_beneath(dir, last, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0) {
		errno = -fd;
		return fail_errno(path, e);
	}
	t->type = TAR_DIR;
	take_xattrs(c, fd, t);
	return put_header(c, t, e);
}

/* An entry of an open directory; *ret_dir: it is a directory, to be walked. */
static int put_entry(struct collect *c, int dir, const char *last, const char *path,
		     const char *name, bool *ret_dir, struct err *e)
{
	char link[LINK_BYTES];
	struct tar_entry t;
	struct stat st;
	ssize_t n;

	*ret_dir = false;
	if (fstatat(dir, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(path, e);
	if (text_starts(last, ".wh."))
		return fail(path, -EINVAL, "a layer cannot hold names that begin with .wh.", e);
	t = entry_of(c, &st, name);
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		*ret_dir = true;
		return put_dir(c, dir, last, path, &t, e);
	case S_IFLNK:
		n = readlinkat(dir, last, link, sizeof(link));
		if (n < 0)
			return fail_errno(path, e);
		if (n == 0 || n == (ssize_t)sizeof(link))
			return fail(path, -ENAMETOOLONG, "a link that is too long", e);
		link[n] = '\0';
		t.type = TAR_SYMLINK;
		t.link = link;
		return put_header(c, &t, e);
	case S_IFREG: {
		/* It may have been replaced meanwhile: by a FIFO, for instance. */
		auto_close int fd = fs_open_beneath(dir, last, O_RDONLY | O_NONBLOCK, 0);

		if (fd < 0) {
			errno = -fd;
			return fail_errno(path, e);
		}
		if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
			return fail(path, -EAGAIN, "it changed while it was read", e);
		return put_file(c, fd, path, name, false, e);
	}
	default:
		return fail(path, -EOPNOTSUPP,
			    "it is no file, directory or link, and cannot be copied", e);
	}
}

/* A directory on the way down. */
struct level {
	int fd;
	struct strv names;
	size_t next;
	size_t path, name; /* lengths of the paths above it */
};

static void level_clear(struct level *l)
{
	if (l->fd >= 0)
		close(l->fd);
	strv_free(&l->names);
}

static void go_down(struct buf *path, const char *name)
{
	if (path->len)
		buf_putc(path, '/');
	buf_puts(path, name);
}

/* All that is in a directory; path: of the tree; the names in the archive begin behind it. */
static int walk(struct collect *c, int top, const char *path, struct err *e)
{
	struct level *levels = xcalloc(BUILD_DEPTH_MAX, sizeof(*levels));
	auto_buf at = BUF_INIT;
	auto_buf name = BUF_INIT;
	size_t depth = 1;
	int r;

	buf_puts(&at, path);
	levels[0] = (struct level){ .fd = fs_open_beneath(top, ".", O_RDONLY | O_DIRECTORY, 0) };
	r = levels[0].fd < 0 ? fail_errno(path, e) : build_names(levels[0].fd, &levels[0].names, e);
	while (r == 0 && depth > 0) {
		struct level *l = &levels[depth - 1];
		bool is_dir = false, ignored;
		const char *last;

		buf_truncate(&at, depth > 1 ? l->path : strlen(path));
		buf_truncate(&name, depth > 1 ? l->name : 0);
		if (l->next == l->names.n) {
			level_clear(l);
			depth--;
			continue;
		}
		last = l->names.v[l->next++];
		go_down(&at, last);
		go_down(&name, last);
		ignored = dockerignore_matches(&c->tree.ignore, buf_str(&at));
		if (!ignored) {
			r = put_entry(c, l->fd, last, buf_str(&at), buf_str(&name), &is_dir, e);
		} else if (dockerignore_looks_into(&c->tree.ignore, buf_str(&at))) {
			struct stat st;

			is_dir = fstatat(l->fd, last, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
				 S_ISDIR(st.st_mode);
		}
		if (r < 0 || !is_dir)
			continue;
		if (depth == BUILD_DEPTH_MAX) {
			r = fail(buf_str(&at), -ELOOP, "directories nested too deep", e);
			continue;
		}
		levels[depth] = (struct level){ .fd = fs_open_beneath(l->fd, last,
								      O_RDONLY | O_DIRECTORY, 0),
						.path = at.len,
						.name = name.len };
		depth++;
		if (levels[depth - 1].fd < 0) {
			errno = -levels[depth - 1].fd;
			r = fail_errno(buf_str(&at), e);
		} else {
			r = build_names(levels[depth - 1].fd, &levels[depth - 1].names, e);
		}
	}
	while (depth > 0)
		level_clear(&levels[--depth]);
	free(levels);
	return r;
}

static int left_out(const char *path, struct err *e)
{
	(void)fail(path, -ENOENT, "it is left out of the context", e);
	return err_hint(e, "see .dockerignore"), -ENOENT;
}

/* Would ADD unpack it? */
static int look(int fd, const char *path, bool *ret, struct err *e)
{
	auto_free char *shown = text_escaped(path);
	int r = build_is_archive(fd, ret, e);

	if (r == -ENOTSUP)
		err_hint(e, "COPY it, and RUN tar");
	return r < 0 ? err_prefix(e, "'%.200s'", shown) : 0;
}

static int put_source(struct collect *c, const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	uint64_t before = c->entries;
	bool unpack = false;
	auto_close int what = -1, fd = -1;
	auto_free char *real = NULL;
	bool ignored;
	struct stat st;
	int r;

	what = build_tree_open(&c->tree, path, O_PATH, e);
	if (what < 0)
		return what;
	if (fstat(what, &st) < 0)
		return fail_errno(path, e);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return fail(path, -EOPNOTSUPP,
			    "it is no file, directory or link, and cannot be copied", e);
	fd = build_tree_open(&c->tree, path, O_RDONLY | O_NONBLOCK, e);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return fail_errno(path, e);
	/* A link is no way around .dockerignore: what it leads to is judged, too. */
	r = build_tree_real(&c->tree, path, &real, e);
	if (r < 0)
		return r;
	ignored = (*path && dockerignore_matches(&c->tree.ignore, path)) ||
		  (*real && dockerignore_matches(&c->tree.ignore, real));
	if (S_ISDIR(st.st_mode)) {
		c->dirs++;
		r = walk(c, fd, real, e);
		/* An exception may have brought something in it back. */
		return r == 0 && ignored && c->entries == before ? left_out(path, e) : r;
	}
	if (!S_ISREG(st.st_mode))
		return fail(path, -EAGAIN, "it changed while it was read", e);
	if (ignored)
		return left_out(path, e);
	if (c->unpack)
		r = look(fd, path, &unpack, e);
	if (r < 0)
		return r;
	c->files += !unpack;
	c->dirs += unpack;
	return put_file(c, fd, path, slash ? slash + 1 : path, unpack, e);
}

static int collect_all(struct collect *c, const struct strv *sources, struct err *e)
{
	if (!c->digest || EVP_DigestInit_ex(c->digest, EVP_sha256(), NULL) != 1)
		return err_set(e, ERR_SYSTEM, -EIO, "SHA-256 is not available");
	for (size_t i = 0; i < sources->n; i++) {
		auto_strv paths = STRV_INIT;
		int r = build_match(&c->tree, sources->v[i], &paths, e);

		for (size_t k = 0; r == 0 && k < paths.n; k++) {
			c->links = layer_links_new();
			r = put_source(c, paths.v[k], e);
			layer_links_free(c->links);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int finish(struct collect *c, struct json **ret, struct err *e)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	char text[2 * 32 + 1];
	unsigned n = 0;
	struct json *j;

	if (EVP_DigestFinal_ex(c->digest, sum, &n) != 1 || n != 32)
		return err_set(e, ERR_SYSTEM, -EIO, "the digest cannot be computed");
	for (unsigned i = 0; i < n; i++)
		(void)snprintf(text + 2 * (size_t)i, 3, "%02x", sum[i]);
	j = json_object();
	json_set_string(j, "digest", text);
	json_set_uint(j, "files", c->files);
	json_set_uint(j, "dirs", c->dirs);
	*ret = j;
	return 0;
}

int build_collect_verb(const struct json *request, struct json **ret, struct err *e)
{
	const struct helper_rule rule = { TREE_FD, HELPER_READ_TREE };
	const struct helper_confine confine = { .rules = &rule,
						.nrules = 1,
						.last_fd = OUT_FD,
						.root_fd = -1,
						.file_size = 2 * IMAGE_BLOB_MAX };
	struct collect c = { .tree = { .fd = TREE_FD },
			     .chunk = xmalloc(CHUNK),
			     .pieces = xcalloc(TAR_PIECES_MAX, sizeof(*c.pieces)) };
	auto_strv sources = STRV_INIT;
	int r = 0;

	if (json_get_strv(request, "sources", &sources) < 0 ||
	    json_get_strv(request, "ignore", &c.tree.ignore.patterns) < 0 ||
	    json_get_bool(request, "root", &c.tree.is_root) < 0 ||
	    json_get_bool(request, "unpack", &c.unpack) < 0)
		r = err_set(e, ERR_INPUT, -EINVAL, "ward-image collect: malformed request");
	if (r == 0)
		r = helper_confine(&confine, e);
	c.digest = r == 0 ? EVP_MD_CTX_new() : NULL;
	if (r == 0)
		r = collect_all(&c, &sources, e);
	if (r == 0)
		r = finish(&c, ret, e);
	EVP_MD_CTX_free(c.digest);
	dockerignore_clear(&c.tree.ignore);
	layer_xattrs_clear(&c.xattrs);
	free(c.pieces);
	free(c.chunk);
	return r;
}
