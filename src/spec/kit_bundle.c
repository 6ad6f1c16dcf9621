/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kit_bundle: the files of a kit in memory, from a directory or a ZIP file.
 *
 * Only what a kit is made of is taken: spec.yaml and what is below files/home and files/workspace.
 * A bundle is a snapshot: a sandbox gets it as its own copy, and what happens to the source
 * afterwards does not matter to it.
 *
 * Sources may be places that a box can write to, so a directory is read by descriptor and without
 * following a link below it; anything but directories and regular files is refused.  Number and
 * total size of files are bounded.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

enum {
	BUNDLE_FILES_MAX = 1000,
	BUNDLE_BYTES_MAX = 64 << 20,
	BUNDLE_ENTRIES_MAX = 4096, /* of a ZIP file, or of the directories that are read */
};

static const char *const trees[] = { "files/home", "files/workspace" };

struct bundle_file {
	char *path;
	bool executable;
	struct buf bytes;
};

struct kit_bundle {
	struct bundle_file *v; /* sorted by path */
	size_t n;
	size_t total;
	char *name;
};

void kit_bundle_free(struct kit_bundle *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n; i++) {
		free(b->v[i].path);
		buf_free(&b->v[i].bytes);
	}
	free(b->v);
	free(b->name);
	free(b);
}

const char *kit_bundle_name(const struct kit_bundle *b)
{
	return b->name;
}

static bool is_wanted(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(trees); i++) {
		size_t n = strlen(trees[i]);

		if (strncmp(path, trees[i], n) == 0 && path[n] == '/')
			return true;
	}
	return strcmp(path, "spec.yaml") == 0;
}

/* A place for one more file; NULL when there are too many. */
static struct bundle_file *add_file(struct kit_bundle *b, const char *path, bool executable,
				    struct err *e)
{
	struct bundle_file *f;

	if (b->n >= BUNDLE_FILES_MAX) {
		err_set(e, ERR_INPUT, -EFBIG, "it has more than %d files", BUNDLE_FILES_MAX);
		return NULL;
	}
	b->v = xrealloc(b->v, b->n + 1, sizeof(*b->v));
	f = &b->v[b->n++];
	*f = (struct bundle_file){ .path = xstrdup(path), .executable = executable };
	return f;
}

static size_t bytes_left(const struct kit_bundle *b, const char *path)
{
	size_t left = BUNDLE_BYTES_MAX - b->total;

	return strcmp(path, "spec.yaml") == 0 && left > YAML_BYTES_MAX ? YAML_BYTES_MAX : left;
}

/* --- from a directory ------------------------------------------------------------------------- */

static int take_file(struct kit_bundle *b, int fd, const char *path, bool executable, struct err *e)
{
	struct bundle_file *f = add_file(b, path, executable, e);
	int r;

	if (!f)
		return -EFBIG;
	r = fs_read_fd(fd, bytes_left(b, path), &f->bytes, e);
	b->total += f->bytes.len;
	return r;
}

/* A name in a directory: taken when it is a file, queued when it is a directory. */
static int take_name(struct kit_bundle *b, int top, const char *path, struct strv *queue,
		     struct err *e)
{
	auto_free char *shown = text_escaped(path);
	const char *why = zip_name_problem(path, strlen(path));
	auto_close int fd = -1;
	struct stat st;
	int r;

	if (why)
		return err_set(e, ERR_INPUT, -EINVAL, "'%s': %s", shown, why);
	fd = fs_open_beneath(top, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0) {
		errno = -fd;
		fd = -1;
		return errno == ELOOP ? err_set(e, ERR_REFUSED, -ELOOP,
						"'%s': a kit cannot hold symbolic links", shown)
				      : err_sys(e, "'%s'", shown);
	}
	if (fstat(fd, &st) < 0)
		return err_sys(e, "'%s'", shown);
	if (S_ISDIR(st.st_mode)) {
		strv_add(queue, path);
		return 0;
	}
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_REFUSED, -EINVAL,
			       "'%s': a kit holds only files and directories", shown);
	r = take_file(b, fd, path, (st.st_mode & 0100) != 0, e);
	return r < 0 ? err_prefix(e, "'%s'", shown) : 0;
}

static int take_directory(struct kit_bundle *b, int top, const char *path, struct strv *queue,
			  size_t *entries, struct err *e)
{
	int fd = fs_open_beneath(top, path, O_RDONLY | O_DIRECTORY, 0);
	struct dirent *d;
	DIR *dh;
	int r = 0;

	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "'%s'", path);
	}
	dh = fdopendir(fd);
	if (!dh)
		mem_oom();
	while (r == 0 && (d = readdir(dh))) {
		auto_free char *below = NULL;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		below = fs_join(path, d->d_name);
		if (++*entries > BUNDLE_ENTRIES_MAX)
			r = err_set(e, ERR_INPUT, -EFBIG, "it has more than %d files",
				    BUNDLE_FILES_MAX);
		else
			r = take_name(b, top, below, queue, e);
	}
	closedir(dh);
	return r;
}

static int read_directory(struct kit_bundle *b, int top, struct err *e)
{
	auto_strv queue = STRV_INIT;
	size_t entries = 0;
	int r = take_name(b, top, "spec.yaml", &queue, e);

	if (r == 0 && queue.n)
		return err_set(e, ERR_INPUT, -EISDIR, "'spec.yaml': it is a directory");
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(trees); i++) {
		r = take_name(b, top, trees[i], &queue, e);
		if (r == -ENOENT || r == -ENOTDIR) /* a kit need not have files */
			r = 0;
	}
	/* One after the other, not one in the other: the depth is the source's choice. */
	for (size_t i = 0; r == 0 && i < queue.n; i++)
		r = take_directory(b, top, queue.v[i], &queue, &entries, e);
	return r;
}

/* --- from a ZIP file -------------------------------------------------------------------------- */

/* The length of "TOP/" when everything is below one directory that has the spec.yaml, else 0. */
static size_t top_directory(const struct zip *z)
{
	size_t n = 0;
	bool found = false;

	for (size_t i = 0; i < zip_count(z); i++) {
		const char *name = zip_at(z, i)->name;

		if (strcmp(name, "spec.yaml") == 0)
			return 0;
		if (i == 0)
			n = strcspn(name, "/") + 1;
		if (n > strlen(name)) /* a file at the top */
			return 0;
		if (strncmp(name, zip_at(z, 0)->name, n) != 0)
			return 0;
		found = found || strcmp(name + n, "spec.yaml") == 0;
	}
	return found ? n : 0;
}

static int read_zip(struct kit_bundle *b, const struct buf *file, struct err *e)
{
	struct zip *z = NULL;
	size_t skip;
	int r = zip_open(buf_str(file), file->len, BUNDLE_ENTRIES_MAX, &z, e);

	if (r < 0)
		return r;
	skip = top_directory(z);
	for (size_t i = 0; r == 0 && i < zip_count(z); i++) {
		const struct zip_entry *entry = zip_at(z, i);
		const char *path = strlen(entry->name) >= skip ? entry->name + skip : "";
		struct bundle_file *f;

		if (entry->is_dir || !is_wanted(path))
			continue;
		f = add_file(b, path, entry->executable, e);
		r = f ? zip_extract(z, i, bytes_left(b, path), &f->bytes, e) : -EFBIG;
		b->total += entry->size;
	}
	zip_close(z);
	return r;
}

/* --- either ----------------------------------------------------------------------------------- */

static int compare_paths(const void *a, const void *b)
{
	const struct bundle_file *x = a, *y = b;

	return strcmp(x->path, y->path);
}

static const struct bundle_file *find_file(const struct kit_bundle *b, const char *path)
{
	for (size_t i = 0; i < b->n; i++) {
		if (strcmp(b->v[i].path, path) == 0)
			return &b->v[i];
	}
	return NULL;
}

const struct buf *kit_bundle_spec(const struct kit_bundle *b)
{
	return &find_file(b, "spec.yaml")->bytes;
}

static int set_name(struct kit_bundle *b, struct err *e)
{
	const struct bundle_file *spec = find_file(b, "spec.yaml");
	const struct yaml_node *name;
	struct yaml_tree *y = NULL;
	int r;

	if (!spec)
		return err_set(e, ERR_INPUT, -ENOENT,
			       "no spec.yaml at its top, or in the one directory there");
	r = yaml_tree_read(buf_str(&spec->bytes), spec->bytes.len, "spec.yaml", &y, e);
	if (r < 0)
		return r;
	name = yaml_node_get(yaml_tree_root(y), "name");
	if (!name || name->kind != YAML_SCALAR)
		r = err_set(e, ERR_INPUT, -EINVAL, "spec.yaml: a kit lacks 'name'");
	else
		r = text_check_name("spec.yaml: name", name->text, e);
	if (r == 0)
		b->name = xstrdup(name->text);
	yaml_tree_free(y);
	return r;
}

static int read_fd(struct kit_bundle *b, int fd, struct err *e)
{
	auto_buf file = BUF_INIT;
	struct bundle_file *f;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat");
	if (S_ISDIR(st.st_mode))
		return read_directory(b, fd, e);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INPUT, -EINVAL, "neither a directory nor a file");
	r = fs_read_fd(fd, BUNDLE_BYTES_MAX, &file, e);
	if (r < 0)
		return r;
	if (file.len >= 2 && memcmp(file.data, "PK", 2) == 0)
		return read_zip(b, &file, e);
	/* A spec.yaml by itself is a kit without files. */
	if (file.len > YAML_BYTES_MAX)
		return err_set(e, ERR_INPUT, -EFBIG, "neither a kit's directory nor a ZIP file");
	f = add_file(b, "spec.yaml", false, e);
	if (!f)
		return -EFBIG;
	f->bytes = file;
	file = BUF_INIT;
	return 0;
}

int kit_bundle_read(const char *path, struct kit_bundle **ret, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	auto_free char *shown = text_escaped(path);
	struct kit_bundle *b;
	int r;

	if (fd < 0)
		return err_sys(e, "kit %s", shown);
	b = xcalloc(1, sizeof(*b));
	r = read_fd(b, fd, e);
	if (r == 0)
		r = set_name(b, e);
	if (r < 0) {
		kit_bundle_free(b);
		return err_prefix(e, "kit %s", shown);
	}
	qsort(b->v, b->n, sizeof(*b->v), compare_paths);
	*ret = b;
	return 0;
}

bool kit_bundle_equal(const struct kit_bundle *a, const struct kit_bundle *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct bundle_file *x = &a->v[i], *y = &b->v[i];

		if (strcmp(x->path, y->path) != 0 || x->executable != y->executable ||
		    x->bytes.len != y->bytes.len ||
		    memcmp(buf_str(&x->bytes), buf_str(&y->bytes), x->bytes.len) != 0)
			return false;
	}
	return true;
}

static int write_file(const struct bundle_file *f, int top, struct err *e)
{
	auto_free char *parent = xstrdup(f->path);
	char *slash = strrchr(parent, '/');
	auto_close int dir = -1;
	auto_close int fd = -1;
	int r;

	if (slash)
		*slash = '\0';
	r = fs_mkdirs_at(top, slash ? parent : ".", 0755, &dir, e);
	if (r < 0)
		return r;
	fd = openat(dir, slash ? slash + 1 : f->path,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || fchmod(fd, f->executable ? 0755 : 0644) < 0)
		return err_sys(e, "%s", f->path);
	errno = -fs_write_all(fd, buf_str(&f->bytes), f->bytes.len);
	return errno ? err_sys(e, "%s", f->path) : 0;
}

int kit_bundle_write(const struct kit_bundle *b, int dirfd, struct err *e)
{
	auto_free char *dir = xasprintf("kits/%s", b->name);
	auto_close int top = -1;
	int r = fs_mkdirs_at(dirfd, dir, 0755, &top, e);

	for (size_t i = 0; r == 0 && i < b->n; i++)
		r = write_file(&b->v[i], top, e);
	return r < 0 ? err_prefix(e, "kit '%s'", b->name) : 0;
}
