/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_place: `ward-image place`: an archive of `collect` in the tree of an image.
 *
 * Request: {"dest", "dir": bool, "chown": "USER[:GROUP]" or null, "chmod": number or null, "ids"}.
 * Descriptor 3 is the root of the tree, 4 the archive.  dest is absolute.  dir: it is a directory,
 * made when it is missing; else it is the name of the archive's only file, unless a directory has
 * that name.  An entry with BUILD_UNPACK_XATTR is an archive itself, whose entries go into dest;
 * as with Docker --chown is for them, too, and --chmod is not.  Result: {"devices", "xattrs": how
 * many were left out}.
 *
 * This process is in a chroot of the tree and has nothing else; how things are made there,
 * build_put.c says.
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
#include "image/build_internal.h"
#include "image/helper_confine.h"
#include "image/image_internal.h"

enum {
	CHUNK = 256 << 10,
	ROOT_FD = IMAGE_FD_FIRST,
	ARCHIVE_FD,
	PASSWD_MAX = 1 << 20,
	ID_MAX = 65535,
};

struct place {
	const char *dest;
	bool dir;
	struct build_put put;
	char *rename; /* the only file's name, or NULL */
	char *base;   /* directory that the names of the archive are below; absolute */
	/* an archive that is being unpacked */
	struct build_unpack *unpack;
	struct build_put archive;
	char *name;
};

/* --- owners ----------------------------------------------------------------------------------- */

/* The number in the third field of the line whose first one is `name`. */
static int lookup(const char *file, const char *name, int64_t *ret, struct err *e)
{
	auto_close int fd = fs_open_in_root(ROOT_FD, file, O_RDONLY | O_NONBLOCK, 0);
	auto_buf text = BUF_INIT;
	auto_free char *shown = text_escaped(name);
	size_t n = strlen(name);
	uint64_t id;

	if (text_u64(name, ID_MAX, &id) == 0) {
		*ret = (int64_t)id;
		return 0;
	}
	if (fd >= 0 && fs_read_fd(fd, PASSWD_MAX, &text, e) < 0)
		return err_prefix(e, "/%s", file);
	for (const char *p = buf_str(&text); *p;) {
		size_t line = strcspn(p, "\n");
		const char *second = line > n && p[n] == ':' && memcmp(p, name, n) == 0
					     ? memchr(p + n + 1, ':', line - n - 1)
					     : NULL;

		if (second) {
			auto_free char *number = xstrndup(second + 1, strcspn(second + 1, ":\n"));

			if (text_u64(number, ID_MAX, &id) == 0) {
				*ret = (int64_t)id;
				return 0;
			}
		}
		p += line;
		p += *p == '\n';
	}
	return err_set(e, ERR_INPUT, -EINVAL, "no '%.100s' in the image's /%s", shown, file);
}

/* "USER[:GROUP]"; without a group the user's number is the group's, too. */
static int read_owner(struct place *p, const char *text, struct err *e)
{
	size_t n = strcspn(text, ":");
	auto_free char *user = xstrndup(text, n);
	int r = lookup("etc/passwd", user, &p->put.uid, e);

	if (r < 0)
		return err_prefix(e, "--chown");
	p->put.gid = p->put.uid;
	if (text[n])
		r = lookup("etc/group", text + n + 1, &p->put.gid, e);
	return r < 0 ? err_prefix(e, "--chown") : 0;
}

/* --- entries ---------------------------------------------------------------------------------- */

static char *path_of(const struct place *p, const char *name)
{
	auto_free char *raw = fs_join(p->base, name);
	char *path = NULL;

	return fs_normalise(raw, &path, NULL) < 0 ? NULL : path;
}

static bool is_unpacked(const struct tar_entry *t)
{
	for (size_t i = 0; i < t->nxattrs; i++) {
		if (strcmp(t->xattrs[i].name, BUILD_UNPACK_XATTR) == 0)
			return true;
	}
	return false;
}

/* An archive, whose entries go into the destination. */
static int begin_archive(struct place *p, const struct tar_entry *t, struct err *e)
{
	p->archive = BUILD_PUT_INIT;
	p->archive.root = build_put_dirs(&p->put, p->base, e);
	if (p->archive.root < 0)
		return p->archive.root;
	p->archive.ids = p->put.ids;
	p->archive.uid = p->put.uid;
	p->archive.gid = p->put.gid;
	p->unpack = build_unpack_new(t->size, &p->archive);
	p->name = xstrdup(t->path);
	return 0;
}

static void end_archive(struct place *p)
{
	build_unpack_free(p->unpack);
	p->unpack = NULL;
	p->put.devices += p->archive.devices;
	p->put.xattrs += p->archive.xattrs;
	fd_closep(&p->archive.root);
	p->archive.root = -1;
	build_put_clear(&p->archive);
	free(p->name);
	p->name = NULL;
}

static int on_archive(struct place *p, const struct tar_event *ev, struct err *e)
{
	int r = 0;

	if (ev->kind == TAR_DATA)
		r = build_unpack_feed(p->unpack, ev->data, ev->len, e);
	else if (ev->kind == TAR_ENTRY_END)
		r = build_unpack_finish(p->unpack, e);
	if (r < 0) {
		auto_free char *shown = text_escaped(p->name);

		return err_prefix(e, "'%.200s'", shown);
	}
	if (ev->kind == TAR_ENTRY_END)
		end_archive(p);
	return 0;
}

static int on_event(struct place *p, const struct tar_event *ev, struct err *e)
{
	auto_free char *path = NULL;
	auto_free char *link = NULL;

	if (p->unpack)
		return on_archive(p, ev, e);
	if (ev->kind != TAR_ENTRY)
		return build_put_data(&p->put, ev, e);
	if (is_unpacked(&ev->entry))
		return begin_archive(p, &ev->entry, e);
	path = path_of(p, p->rename ? p->rename : ev->entry.path);
	link = ev->entry.link ? path_of(p, ev->entry.link) : NULL;
	if (!path || (ev->entry.type == TAR_HARDLINK && !link))
		return err_set(e, ERR_INPUT, -EINVAL, "ward-image place: malformed archive");
	return build_put_entry(&p->put, &ev->entry, path, link, e);
}

static int unpack(struct place *p, struct err *e)
{
	const struct tar_limits limits = { .entries = IMAGE_ENTRIES_MAX,
					   .file_size = IMAGE_BLOB_MAX,
					   .total_size = IMAGE_BLOB_MAX,
					   .layer = true };
	auto_tar_reader reader = tar_reader_new(&limits);
	auto_free char *chunk = xmalloc(CHUNK);
	struct tar_event ev = { .kind = TAR_MORE };

	while (ev.kind != TAR_END) {
		ssize_t n = read(ARCHIVE_FD, chunk, CHUNK);
		const char *at = chunk;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "archive");
		if (n == 0)
			return tar_reader_finish(reader, e);
		do {
			size_t used = 0;
			int r = tar_reader_feed(reader, at, (size_t)n, &used, &ev, e);

			if (r == 0)
				r = on_event(p, &ev, e);
			if (r < 0)
				return r;
			at += used;
			n -= (ssize_t)used;
		} while (ev.kind != TAR_MORE && ev.kind != TAR_END);
	}
	return 0;
}

/* Where the archive's names are, and that the directory is there. */
static int find_base(struct place *p, struct err *e)
{
	auto_close int fd = fs_open_in_root(ROOT_FD, p->dest, O_PATH | O_DIRECTORY, 0);
	const char *slash = strrchr(p->dest, '/');

	if (fd >= 0 || p->dir) {
		p->base = xstrdup(p->dest);
		fd_closep(&fd);
		fd = build_put_dirs(&p->put, p->dest, e);
		return fd < 0 ? fd : 0;
	}
	p->base = slash == p->dest ? xstrdup("/") : xstrndup(p->dest, (size_t)(slash - p->dest));
	p->rename = xstrdup(slash + 1);
	return 0;
}

static int read_request(const struct json *j, struct place *ret, struct err *e)
{
	uint64_t ids = 0;

	if (json_get_string(j, "dest", &ret->dest) < 0 || ret->dest[0] != '/' ||
	    json_get_bool(j, "dir", &ret->dir) < 0 || json_get_uint(j, "ids", &ids) < 0 ||
	    ids == 0 || ids > UINT32_MAX ||
	    (json_get(j, "chmod") && (json_get_int(j, "chmod", &ret->put.mode) < 0 ||
				      ret->put.mode < 0 || ret->put.mode > 07777)))
		return err_set(e, ERR_INPUT, -EINVAL, "ward-image place: malformed request");
	ret->put.ids = (uint32_t)ids;
	return 0;
}

static struct json *result(const struct place *p)
{
	struct json *j = json_object();

	json_set_uint(j, "devices", p->put.devices);
	json_set_uint(j, "xattrs", p->put.xattrs);
	return j;
}

int build_place_verb(const struct json *request, struct json **ret, struct err *e)
{
	const struct helper_rule rule = { ROOT_FD, HELPER_MAKE_TREE | HELPER_READ_FILE };
	const struct helper_confine confine = { .rules = &rule,
						.nrules = 1,
						.last_fd = ARCHIVE_FD,
						.root_fd = ROOT_FD,
						.file_size = IMAGE_BLOB_MAX };
	struct place p = { .put = BUILD_PUT_INIT, .archive = BUILD_PUT_INIT };
	const char *chown = json_str(json_get(request, "chown"));
	int r = read_request(request, &p, e);

	p.put.root = ROOT_FD;
	if (r == 0)
		r = helper_confine(&confine, e);
	if (r == 0 && chown)
		r = read_owner(&p, chown, e);
	if (r == 0)
		r = find_base(&p, e);
	if (r == 0)
		r = unpack(&p, e);
	if (r == 0)
		build_put_finish(&p.put);
	if (r == 0)
		*ret = result(&p);
	end_archive(&p);
	build_put_clear(&p.put);
	free(p.base);
	free(p.rename);
	return r;
}
