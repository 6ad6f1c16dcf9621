/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_build_files: the instructions of a build that put files into the image: COPY, ADD,
 * WORKDIR.
 *
 * Two helpers do the work.  `collect` reads the context with the user's own rights, or another
 * stage's tree as root of that, and writes an archive; its digest is part of the step's key.  On a
 * miss, `place` unpacks the archive in the tree of the stage.  Neither follows a link out of its
 * tree, and here no file of either is opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/tar.h"
#include "base/text.h"
#include "engine/build_internal.h"

enum { MODE_MAX = 07777 };

/* What a COPY or ADD is about. */
struct copy {
	struct strv sources; /* patterns */
	struct strv names;   /* of here-documents */
	char *dest;	     /* as written */
	char *path;	     /* absolute */
	const char *chown;
	char *owner;
	int64_t mode; /* -1: as it is */
	bool link;    /* into a layer that knows nothing of those below */
	int spool;
	uint64_t files, dirs;
	char *digest;
};

static void copy_clear(struct copy *c)
{
	strv_free(&c->sources);
	strv_free(&c->names);
	free(c->dest);
	free(c->path);
	free(c->owner);
	free(c->digest);
	if (c->spool >= 0)
		close(c->spool);
}

/* --- what is said ----------------------------------------------------------------------------- */

static bool is_marker(const struct dockerfile_instruction *i, const char *word)
{
	return i->nheredocs && text_starts(word + strspn(word, "0123456789"), "<<");
}

static bool is_remote(const char *s)
{
	static const char *const schemes[] = { "http://", "https://", "ftp://",
					       "git://",  "git@",     "ssh://" };

	for (size_t k = 0; k < ARRAY_SIZE(schemes); k++) {
		if (text_starts(s, schemes[k]))
			return true;
	}
	return false;
}

static int take_source(const struct dockerfile_instruction *i, struct copy *c, const char *word,
		       struct err *e)
{
	auto_free char *shown = text_escaped(word);

	if (is_remote(word)) {
		(void)err_set(e, ERR_REFUSED, -EOPNOTSUPP, "%s '%.200s': only local files",
			      dockerfile_kind_name(i->kind), shown);
		return err_hint(e, "RUN curl -fsSLO URL, in an image that has curl"), -EOPNOTSUPP;
	}
	strv_add(&c->sources, word);
	return 0;
}

/* --chmod=755, in octal. */
static int take_mode(const char *text, int64_t *ret, struct err *e)
{
	auto_free char *shown = text_escaped(text);
	unsigned mode = 0;

	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '7' || p - text > 4)
			mode = MODE_MAX + 1;
		else
			mode = mode * 8 + (unsigned)(*p - '0');
		if (mode > MODE_MAX)
			return err_set(e, ERR_INPUT, -EINVAL,
				       "--chmod=%.60s: an octal number is expected", shown);
	}
	*ret = mode;
	return 0;
}

static int take_link(const char *text, bool *ret, struct err *e)
{
	auto_free char *shown = text_escaped(text);

	*ret = strcmp(text, "true") == 0;
	if (*ret || strcmp(text, "false") == 0)
		return 0;
	return err_set(e, ERR_INPUT, -EINVAL, "--link=%.60s: true or false is expected", shown);
}

static int take_flags(const struct build *b, const struct build_stage *s,
		      const struct dockerfile_instruction *i, struct copy *c, struct err *e)
{
	const char *chmod = dockerfile_flag(i, "chmod");
	const char *chown = dockerfile_flag(i, "chown");
	const char *link = dockerfile_flag(i, "link");
	auto_free char *mode = NULL;
	int r = chown ? build_expand(b, s, chown, &c->owner, e) : 0;

	if (r == 0 && chmod)
		r = build_expand(b, s, chmod, &mode, e);
	if (r == 0 && link)
		r = take_link(link, &c->link, e);
	return r == 0 && mode ? take_mode(mode, &c->mode, e) : r;
}

static int take_words(const struct build *b, const struct build_stage *s,
		      const struct dockerfile_instruction *i, struct copy *c, struct err *e)
{
	auto_strv words = STRV_INIT;
	int r = 0;

	if (i->exec)
		strv_extend(&words, &i->words);
	else
		r = dockerfile_split(i->args, b->file->escape, &words, e);
	if (r == 0 && words.n < 2)
		r = err_set(e, ERR_INPUT, -EINVAL, "%s needs a source and a destination",
			    dockerfile_kind_name(i->kind));
	for (size_t k = 0; r == 0 && k < words.n; k++) {
		auto_free char *word = NULL;

		if (is_marker(i, words.v[k]) && k + 1 < words.n)
			continue;
		r = build_expand(b, s, words.v[k], &word, e);
		if (r == 0 && k + 1 < words.n)
			r = take_source(i, c, word, e);
		else if (r == 0)
			c->dest = steal(&word);
	}
	for (size_t k = 0; k < i->nheredocs; k++)
		strv_add(&c->names, i->heredocs[k].name);
	if (r < 0)
		return r;
	if (!*c->dest)
		return err_set(e, ERR_INPUT, -EINVAL, "the destination is empty");
	c->path = build_path(s, c->dest);
	return take_flags(b, s, i, c, e);
}

/* Does the destination say that it is a directory? */
static bool is_directory(const char *dest)
{
	return text_ends(dest, "/") || strcmp(dest, ".") == 0 || strcmp(dest, "..") == 0 ||
	       text_ends(dest, "/.") || text_ends(dest, "/..");
}

/* --- collect ---------------------------------------------------------------------------------- */

static int open_spool(const struct build *b, int *ret, struct err *e)
{
	auto_close int dir =
		fs_open_beneath(b->store.fd, "blobs/partial", O_RDONLY | O_DIRECTORY, 0);
	int fd = dir < 0 ? dir : openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(e, "template store: a temporary file");
	*ret = fd;
	return 0;
}

static struct json *collect_request(const struct copy *c, const struct strv *ignore, bool root,
				    bool unpack)
{
	static const struct strv none = STRV_INIT;
	struct json *j = json_object();

	json_set_strv(j, "sources", &c->sources);
	json_set_strv(j, "ignore", ignore ? ignore : &none);
	json_set_bool(j, "root", root);
	json_set_bool(j, "unpack", unpack);
	return j;
}

static int from_context(struct build *b, const struct copy *c, bool unpack, struct json **ret,
			struct err *e)
{
	const int fds[] = { b->q->context, c->spool };
	auto_json request = collect_request(c, &b->ignore.patterns, false, unpack);

	if (b->q->context < 0) {
		(void)err_set(e, ERR_INPUT, -ENOENT, "there is no context to copy from");
		return err_hint(e, "name a directory: ward template build -t NAME -f - DIR"),
		       -ENOENT;
	}
	return image_helper_run(&(struct image_job){ .helper = b->image_helper,
						     .verb = "collect",
						     .request = request,
						     .fds = fds,
						     .nfds = ARRAY_SIZE(fds) },
				ret, e);
}

static int from_tree(struct build *b, const struct build_stage *from, const struct copy *c,
		     struct json **ret, struct err *e)
{
	auto_json request = collect_request(c, NULL, true, false);
	struct build_step p = { .box = { .dirfd = -1 } };
	int r = build_step_begin(b, from, &p, e);

	if (r == 0)
		r = build_step_helper(b, &p, "collect", request, c->spool, ret, e);
	build_step_end(b, &p);
	return r;
}

/* --from=: a stage by name or number, else an image. */
static int from_other(struct build *b, const struct build_stage *s, const char *name,
		      const struct copy *c, struct json **ret, struct err *e)
{
	struct build_stage image = { 0 };
	uint64_t number;
	int r;

	for (struct build_stage *from = b->stages; from < s; from++) {
		if ((from->name && strcasecmp(from->name, name) == 0) ||
		    (text_u64(name, b->nstages, &number) == 0 && from == b->stages + number))
			return from->done
				       ? from_tree(b, from, c, ret, e)
				       : err_set(e, ERR_REFUSED, -EINVAL,
						 "--from=%s: that stage is not built here", name);
	}
	r = build_from_image(b, name, &image, e);
	if (r == 0)
		r = from_tree(b, &image, c, ret, e);
	build_stage_clear(&image);
	return r;
}

/* A here-document as a file of the archive. */
static int add_heredoc(const struct build *b, const struct build_stage *s,
		       const struct dockerfile_heredoc *h, struct copy *c, struct buf *key,
		       struct err *e)
{
	auto_free char *content = NULL;
	auto_strv vars = STRV_INIT;
	auto_buf out = BUF_INIT;
	struct tar_entry t = { .type = TAR_FILE, .path = h->name, .mode = 0644 };
	int r = 0;

	if (strchr(h->name, '/') || strcmp(h->name, ".") == 0 || strcmp(h->name, "..") == 0)
		return err_set(e, ERR_INPUT, -EINVAL, "here-document: its name is no file name");
	build_vars(s, &vars);
	if (h->expand)
		r = dockerfile_expand(h->content, b->file->escape, DOCKERFILE_HEREDOC, &vars,
				      &content, e);
	else
		content = xstrdup(h->content);
	if (r < 0)
		return r;
	t.size = strlen(content);
	build_key_add(key, "name", h->name);
	build_key_add(key, "content", content);
	r = tar_write_header(&out, &t, e);
	buf_puts(&out, content);
	tar_write_padding(&out, t.size);
	if (r == 0 && fs_write_all(c->spool, out.data, out.len) < 0)
		r = err_sys(e, "write");
	c->files++;
	return r;
}

static int collect(struct build *b, const struct build_stage *s,
		   const struct dockerfile_instruction *i, struct copy *c, struct buf *key,
		   struct err *e)
{
	const char *from = dockerfile_flag(i, "from");
	const char *digest = "";
	auto_json result = NULL;
	auto_buf end = BUF_INIT;
	int r = open_spool(b, &c->spool, e);

	if (r == 0 && c->sources.n && from)
		r = from_other(b, s, from, c, &result, e);
	else if (r == 0 && c->sources.n)
		r = from_context(b, c, i->kind == DOCKERFILE_ADD, &result, e);
	if (r < 0)
		return r;
	if (result && (json_get_uint(result, "files", &c->files) < 0 ||
		       json_get_uint(result, "dirs", &c->dirs) < 0 ||
		       json_get_string(result, "digest", &digest) < 0))
		return err_set(e, ERR_SYSTEM, -EBADMSG, "ward-image: a malformed answer");
	build_key_add(key, "files", digest);
	for (size_t k = 0; r == 0 && k < i->nheredocs; k++)
		r = add_heredoc(b, s, &i->heredocs[k], c, key, e);
	tar_write_end(&end);
	if (r == 0 && fs_write_all(c->spool, end.data, end.len) < 0)
		r = err_sys(e, "write");
	return r;
}

/* --- place ------------------------------------------------------------------------------------ */

static int place(struct build *b, struct build_stage *s, const struct dockerfile_instruction *i,
		 const struct copy *c, bool dir, struct err *e)
{
	static const struct build_stage scratch = { 0 };
	struct build_step p = { .box = { .dirfd = -1 } };
	auto_json request = json_object();
	auto_json result = NULL;
	uint64_t devices = 0, xattrs = 0;
	int r = lseek(c->spool, 0, SEEK_SET) < 0
			? err_sys(e, "archive")
			: build_step_begin(b, c->link ? &scratch : s, &p, e);

	json_set_string(request, "dest", c->path);
	json_set_bool(request, "dir", dir);
	json_set_uint(request, "ids", b->ids.mode == BOX_ID_SINGLE ? 1 : BOX_IDS);
	json_set_string(request, "chown", c->owner);
	if (c->mode >= 0)
		json_set_int(request, "chmod", c->mode);
	if (r == 0)
		r = build_step_helper(b, &p, "place", request, c->spool, &result, e);
	if (r == 0) {
		(void)json_get_uint(result, "devices", &devices);
		(void)json_get_uint(result, "xattrs", &xattrs);
		build_tell_left_out(b, devices, "device nodes");
		build_tell_left_out(b, xattrs, "attributes of files");
		r = build_step_commit(b, s, &p, i, e);
	}
	build_step_end(b, &p);
	return r;
}

static int copy_step(struct build *b, struct build_stage *s, const struct dockerfile_instruction *i,
		     struct copy *c, struct err *e)
{
	auto_buf key = BUF_INIT;
	auto_free char *mode = NULL;
	bool dir;
	int r = take_words(b, s, i, c, e);

	if (r == 0)
		r = collect(b, s, i, c, &key, e);
	if (r < 0)
		return r;
	dir = is_directory(c->dest) || c->dirs > 0;
	if (!dir && c->files != 1) {
		(void)err_set(e, ERR_INPUT, -EINVAL,
			      "several files go into a directory: its name must end with a slash");
		return err_hint(e, "%s … %s/", dockerfile_kind_name(i->kind), c->dest), -EINVAL;
	}
	mode = c->mode >= 0 ? xasprintf("%o", (unsigned)c->mode) : xstrdup("");
	build_key_add(&key, "copy", c->path);
	build_key_add(&key, "dir", dir ? "yes" : "no");
	build_key_add(&key, "owner", c->owner ? c->owner : "");
	build_key_add(&key, "mode", mode);
	build_key_add(&key, "link", c->link ? "yes" : "no");
	return build_cached(b, s, &key, i) ? 0 : place(b, s, i, c, dir, e);
}

int build_copy(struct build *b, struct build_stage *s, const struct dockerfile_instruction *i,
	       struct err *e)
{
	struct copy c = { .mode = -1, .spool = -1 };
	int r = copy_step(b, s, i, &c, e);

	copy_clear(&c);
	return r;
}

/* The directory is made when the image lacks it. */
int build_workdir(struct build *b, struct build_stage *s, const struct dockerfile_instruction *i,
		  struct err *e)
{
	struct copy c = { .mode = -1, .spool = -1 };
	auto_free char *text = NULL;
	auto_buf key = BUF_INIT;
	auto_buf end = BUF_INIT;
	int r = build_expand(b, s, i->args, &text, e);

	if (r < 0)
		return r;
	if (!*text)
		return err_set(e, ERR_INPUT, -EINVAL, "the directory's name is empty");
	c.path = build_path(s, text);
	free(s->workdir);
	s->workdir = xstrdup(c.path);
	build_key_add(&key, "workdir", c.path);
	if (!build_cached(b, s, &key, i)) {
		tar_write_end(&end);
		r = open_spool(b, &c.spool, e);
		if (r == 0 && fs_write_all(c.spool, end.data, end.len) < 0)
			r = err_sys(e, "write");
		if (r == 0)
			r = place(b, s, i, &c, true, e);
	}
	copy_clear(&c);
	return r;
}
