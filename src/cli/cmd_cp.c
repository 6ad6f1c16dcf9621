/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_cp: copy between this machine and a sandbox, with the rules of `docker cp`:
 *
 *   source      destination            result
 *   file        absent                 a file of that name (an error when it ends in /)
 *   file        file                   replaced
 *   file        directory              in it, under the source's name
 *   directory   absent                 a directory of that name
 *   directory   file                   an error
 *   directory   directory              in it, under the source's name; SRC/. merges the contents
 *   -           directory              a tar stream from standard input is unpacked in it
 *   any         -                      a tar stream to standard output
 *
 * Both directions are tar streams through the engine.  What a destination in the sandbox is, is
 * learned from the first entry of the stream that a copy out of it would begin with.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/tar.h"
#include "base/tarball.h"
#include "base/text.h"
#include "cli/cli_internal.h"
#include "cli/untar.h"

enum { CP_BLOCK = 64 * 1024 };

/* --- the operands ----------------------------------------------------------------------------- */

struct side {
	char *sandbox; /* NULL: this machine */
	char *path;    /* as written; in a sandbox absolute */
	bool contents; /* ends in "/." */
	bool slash;    /* ends in "/" */
};

static void side_clear(struct side *s)
{
	free(s->sandbox);
	free(s->path);
}

/* "NAME:PATH", as Docker: a text that begins with / or . is never a sandbox's. */
static void side_parse(const char *text, struct side *ret)
{
	const char *colon = strchr(text, ':');
	struct side s = { 0 };
	size_t n;

	if (colon && colon != text && text[0] != '/' && text[0] != '.' &&
	    !memchr(text, '/', (size_t)(colon - text))) {
		s.sandbox = xstrndup(text, (size_t)(colon - text));
		s.path = colon[1] == '/' ? xstrdup(colon + 1) : xasprintf("/%s", colon + 1);
	} else {
		s.path = xstrdup(text);
	}
	n = strlen(s.path);
	s.contents = text_ends(s.path, "/.") || strcmp(s.path, ".") == 0;
	s.slash = text_ends(s.path, "/");
	if (text_ends(s.path, "/."))
		s.path[--n] = '\0';
	while (n > 1 && s.path[n - 1] == '/')
		s.path[--n] = '\0';
	*ret = s;
}

static bool is_stream(const struct side *s)
{
	return !s->sandbox && strcmp(s->path, "-") == 0;
}

/* The last component; "" for / and for what ends in "..": such a tree has no name of its own. */
static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;

	return strcmp(base, ".") == 0 || strcmp(base, "..") == 0 ? "" : base;
}

static char *dir_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return xstrdup(".");
	return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

/* --- the engine's two calls as streams -------------------------------------------------------- */

struct transfer {
	struct sandbox *box;
	const char *path; /* inside */
};

static int copy_out(struct cli *c, int fd, void *arg, struct err *e)
{
	const struct transfer *t = arg;

	return c->ops->copy_out(&c->engine, t->box, t->path, fd, e);
}

static int copy_in(struct cli *c, int fd, void *arg, struct err *e)
{
	const struct transfer *t = arg;

	return c->ops->copy_in(&c->engine, t->box, t->path, fd, e);
}

/* --- out of the sandbox ----------------------------------------------------------------------- */

struct destination {
	const struct side *from;
	const struct side *to;
};

static int open_dir(const char *path, int *ret, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_free char *shown = NULL;

	if (fd >= 0) {
		*ret = fd;
		return 0;
	}
	shown = text_escaped(path);
	return err_sys(e, "%s", shown);
}

/* Decide by the table above, now that the type of the source is known. */
static int place(enum tar_type root, void *arg, int *ret_dirfd, char **ret_name, struct err *e)
{
	const struct destination *d = arg;
	const char *to = d->to->path;
	auto_free char *shown = text_escaped(to);
	auto_free char *parent = dir_name(to);
	bool is_dir = root == TAR_DIR;
	const char *name = base_name(to);
	struct stat st;
	bool there = stat(to, &st) == 0;
	int r;

	if (there && S_ISDIR(st.st_mode)) {
		r = open_dir(to, ret_dirfd, e);
		if (r == 0)
			*ret_name = xstrdup(is_dir && d->from->contents ? ""
									: base_name(d->from->path));
		return r;
	}
	if (is_dir && there)
		return err_set(e, ERR_INPUT, -ENOTDIR, "%s: it is not a directory", shown);
	if (!is_dir && !there && d->to->slash)
		return err_set(e, ERR_INPUT, -ENOENT, "%s: no such directory", shown);
	if (!*name)
		return err_set(e, ERR_INPUT, -ENOENT, "%s: no such directory", shown);
	r = open_dir(parent, ret_dirfd, e);
	if (r == 0)
		*ret_name = xstrdup(name);
	return r;
}

/* Errors of the other end are text: its program has no other way to tell. */
static bool is_absent(const struct err *e)
{
	return strstr(e->message, strerror(ENOENT)) != NULL;
}

/* Feed what the stream gives until it ends; the child's error explains a stream that was cut off.
 */
static int drain(struct stream *s, struct untar *u, struct err *e)
{
	auto_free char *block = xmalloc(CP_BLOCK);
	struct err theirs = ERR_INIT;
	int r = 0, ended;

	while (r == 0) {
		ssize_t n = read(s->fd, block, CP_BLOCK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = err_sys(e, "pipe");
		if (n <= 0)
			break;
		r = untar_feed(u, block, (size_t)n, e);
	}
	ended = stream_finish(s, &theirs);
	if (r < 0)
		return r;
	if (ended < 0) {
		*e = theirs;
		return ended;
	}
	return untar_finish(u, e);
}

static int out_to_host(struct cli *c, struct sandbox *box, const struct side *from,
		       const struct side *to, struct err *e)
{
	struct transfer t = { .box = box, .path = from->path };
	struct destination d = { .from = from, .to = to };
	struct stream s;
	struct untar *u;
	int r;

	if (is_stream(to) && isatty(STDOUT_FILENO)) {
		err_set(e, ERR_USAGE, -EINVAL, "cp: a tar stream is not written to a terminal");
		return err_hint(e, "use a pipe or a file");
	}
	if (is_stream(to))
		return copy_out(c, STDOUT_FILENO, &t, e);
	r = stream_start(c, true, copy_out, &t, &s, e);
	if (r < 0)
		return r;
	u = untar_new(place, &d);
	r = drain(&s, u, e);
	if (r < 0 && e->kind == ERR_INPUT && is_absent(e)) {
		auto_free char *shown = text_escaped(from->path);

		err_set(e, ERR_INPUT, -ENOENT, "%s:%s: no such file or directory", from->sandbox,
			shown);
	} else if (r == -ENODATA) {
		auto_free char *shown = text_escaped(from->path);

		err_prefix(e, "%s:%s", from->sandbox, shown);
	}
	if (r == 0 && untar_skipped(u))
		term_warn("%zu symbolic link%s out of the copied tree and %s left out",
			  untar_skipped(u), untar_skipped(u) == 1 ? " points" : "s point",
			  untar_skipped(u) == 1 ? "was" : "were");
	untar_free(u);
	return r;
}

/* --- into the sandbox ------------------------------------------------------------------------- */

enum inside { INSIDE_ABSENT, INSIDE_DIR, INSIDE_OTHER };

/* Read until the first entry is known. 1: *ret is set; 0: the stream ended before. */
static int first_type(int fd, enum tar_type *ret, struct err *e)
{
	static const struct tar_limits limits = { .entries = 2,
						  .file_size = UINT64_MAX,
						  .total_size = UINT64_MAX };
	auto_tar_reader reader = tar_reader_new(&limits);
	char block[TAR_BLOCK];

	for (;;) {
		ssize_t n = read(fd, block, sizeof(block));
		size_t at = 0;
		struct tar_event ev;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? err_sys(e, "pipe") : 0;
		do {
			size_t used = 0;
			int r = tar_reader_feed(reader, block + at, (size_t)n - at, &used, &ev, e);

			if (r < 0)
				return r;
			at += used;
			if (ev.kind == TAR_ENTRY) {
				*ret = ev.entry.type;
				return 1;
			}
		} while (ev.kind != TAR_MORE && ev.kind != TAR_END);
	}
}

static int look_inside(struct cli *c, struct sandbox *box, const char *path, enum inside *ret,
		       struct err *e)
{
	struct transfer t = { .box = box, .path = path };
	enum tar_type type = TAR_FILE;
	struct err theirs = ERR_INIT;
	struct stream s;
	int r = stream_start(c, true, copy_out, &t, &s, e);
	int ended;

	if (r < 0)
		return r;
	r = first_type(s.fd, &type, e);
	ended = stream_finish(&s, &theirs); /* that we stopped reading is no failure of ours */
	if (r < 0)
		return r;
	if (r == 1) {
		*ret = type == TAR_DIR ? INSIDE_DIR : INSIDE_OTHER;
		return 0;
	}
	if (ended < 0 && !is_absent(&theirs)) {
		*e = theirs;
		return ended;
	}
	*ret = INSIDE_ABSENT;
	return 0;
}

/* Where copy_in unpacks, and the name of the tree's root in the stream. */
struct target {
	char *dir;
	char *root;
};

static int choose_target(const struct side *from, const struct side *to, bool from_dir,
			 enum inside there, struct target *ret, struct err *e)
{
	auto_free char *shown = text_escaped(to->path);
	const char *name;

	if (there == INSIDE_DIR) {
		name = base_name(from->path);
		ret->dir = xstrdup(to->path);
		ret->root = xstrdup((from_dir && from->contents) || !*name ? "." : name);
		return 0;
	}
	name = base_name(to->path);
	if (there == INSIDE_OTHER && from_dir)
		return err_set(e, ERR_INPUT, -ENOTDIR, "%s:%s: it is not a directory", to->sandbox,
			       shown);
	if ((there == INSIDE_ABSENT && !from_dir && to->slash) || !*name)
		return err_set(e, ERR_INPUT, -ENOENT, "%s:%s: no such directory", to->sandbox,
			       shown);
	ret->dir = dir_name(to->path);
	ret->root = xstrdup(name);
	return 0;
}

static int send_tree(struct cli *c, struct sandbox *box, const char *path,
		     const struct target *target, struct err *e)
{
	struct transfer t = { .box = box, .path = target->dir };
	struct err theirs = ERR_INIT;
	size_t skipped = 0;
	struct stream s;
	int r = stream_start(c, false, copy_in, &t, &s, e);
	int ended;

	if (r < 0)
		return r;
	r = tarball_write(path, target->root, NULL, s.fd, &skipped, e);
	ended = stream_finish(&s, &theirs);
	/* When the other end refuses the stream, its reason is the one to tell. */
	if (ended < 0 && (r == 0 || r == -EPIPE)) {
		*e = theirs;
		return ended;
	}
	if (r == 0 && skipped)
		term_warn("%zu socket%s, FIFO or device left out", skipped,
			  skipped == 1 ? "" : "s");
	return r;
}

static int in_from_host(struct cli *c, struct sandbox *box, const struct side *from,
			const struct side *to, struct err *e)
{
	struct transfer t = { .box = box, .path = to->path };
	struct target target = { 0 };
	enum inside there = INSIDE_ABSENT;
	struct stat st;
	int r;

	if (is_stream(from))
		return copy_in(c, STDIN_FILENO, &t, e);
	if (lstat(from->path, &st) < 0) {
		auto_free char *shown = text_escaped(from->path);

		return err_sys(e, "%s", shown);
	}
	if (from->slash && !S_ISDIR(st.st_mode)) {
		auto_free char *shown = text_escaped(from->path);

		return err_set(e, ERR_INPUT, -ENOTDIR, "%s: it is not a directory", shown);
	}
	r = look_inside(c, box, to->path, &there, e);
	if (r == 0)
		r = choose_target(from, to, S_ISDIR(st.st_mode), there, &target, e);
	if (r == 0)
		r = send_tree(c, box, from->path, &target, e);
	free(target.dir);
	free(target.root);
	return r;
}

/* --- both ------------------------------------------------------------------------------------- */

static int check_sides(const struct side *from, const struct side *to, struct err *e)
{
	if (from->sandbox && to->sandbox) {
		err_set(e, ERR_USAGE, -EINVAL, "cp: only one side may be a sandbox");
		return err_hint(e, "ward cp %s:%s - | ward cp - %s:%s", from->sandbox, from->path,
				to->sandbox, to->path);
	}
	if (!from->sandbox && !to->sandbox) {
		err_set(e, ERR_USAGE, -EINVAL, "cp: one side must be SANDBOX:PATH");
		return err_hint(e, "ward ls");
	}
	if (!*from->path || !*to->path)
		return err_set(e, ERR_USAGE, -EINVAL, "cp: an empty path");
	return 0;
}

int cmd_cp(struct cli *c, struct err *e)
{
	struct side from, to;
	struct sandbox *box = NULL;
	bool started = false;
	int r;

	side_parse(c->operands.v.v[0], &from);
	side_parse(c->operands.v.v[1], &to);
	r = check_sides(&from, &to, e);
	if (r == 0)
		r = cli_find(c, from.sandbox ? from.sandbox : to.sandbox, &box, e);
	if (r == 0)
		r = cli_start(c, box, &started, e);
	if (r == 0 && from.sandbox)
		r = out_to_host(c, box, &from, &to, e);
	else if (r == 0)
		r = in_from_host(c, box, &from, &to, e);
	sandbox_free(box);
	side_clear(&from);
	side_clear(&to);
	return r;
}
