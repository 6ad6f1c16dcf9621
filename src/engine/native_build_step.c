/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_build_step: one step of a build that makes a layer.
 *
 *	templates/builds/ID/    as a sandbox's directory, without a record: upper, work, log, lock
 *	templates/cache/KEY     which layer a step with this key has made
 *
 * The layers of the stage lie below an empty upper directory; a box, or a helper on the same tree,
 * fills it, and ward-image makes a layer of it.  The directory lives as long as the step; what a
 * kill leaves is collected with the store's garbage, when the lock of its box is free.
 *
 * Invariants: the build holds a lease on the store, so nothing that it made or touched is collected
 * under it; a record of the cache is made when its layer is in the store.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "base/boxnet.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/build_internal.h"

enum { HISTORY_MAX = 4096 };
#define PROXY_URL "http://127.0.0.1:3128"

void build_say(const struct build *b, const char *fmt, ...)
{
	auto_buf text = BUF_INIT;
	va_list ap;

	if (!b->c->say)
		return;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	b->c->say(b->c->say_arg, ENGINE_SAY_PROGRESS, buf_str(&text));
}

void build_tell_left_out(const struct build *b, uint64_t n, const char *what)
{
	if (n > 0)
		build_say(b, "left out: %llu %s", (unsigned long long)n, what);
}

/* --- the cache -------------------------------------------------------------------------------- */

void build_key_add(struct buf *key, const char *what, const char *text)
{
	buf_printf(key, "%s %zu ", what, strlen(text));
	buf_puts(key, text);
	buf_putc(key, '\n');
}

void build_history(struct build_stage *s, const struct dockerfile_instruction *i, bool empty)
{
	struct image_history *h;

	s->history = xrealloc(s->history, s->nhistory + 1, sizeof(*s->history));
	h = &s->history[s->nhistory++];
	*h = (struct image_history){ .created = s->created ? xstrdup(s->created) : NULL,
				     .created_by = xstrndup(i->text, HISTORY_MAX),
				     .comment = xstrdup("ward template build"),
				     .empty_layer = empty };
}

/* Takes the layer; one that changes nothing leaves only its line in the history. */
static void append(struct build_stage *s, struct image_layer *l, const char *created,
		   const struct dockerfile_instruction *i)
{
	if (l->entries > 0) {
		free(s->created);
		s->created = xstrdup(created);
	}
	build_history(s, i, l->entries == 0);
	if (l->entries == 0) {
		image_layer_clear(l);
		return;
	}
	s->layers = xrealloc(s->layers, s->nlayers + 1, sizeof(*s->layers));
	s->layers[s->nlayers++] = *l;
	*l = (struct image_layer){ 0 };
}

bool build_cached(struct build *b, struct build_stage *s, const struct buf *key,
		  const struct dockerfile_instruction *i)
{
	auto_image_layer l = { 0 };
	auto_free char *created = NULL;
	auto_buf all = BUF_INIT;
	auto_close int lock = -1;

	build_key_add(&all, "parent", s->key);
	build_key_add(&all, "ids", b->ids.mode == BOX_ID_SINGLE ? "one" : "all");
	buf_add(&all, key->data, key->len);
	sha256_hex(all.data, all.len, s->key);
	if (b->q->no_cache || b->uncached ||
	    image_store_lock(&b->store, IMAGE_LOCK_CONTENT, false, true, &lock, NULL) < 0 ||
	    image_cache_find(&b->store, s->key, &l, &created) < 0)
		return false;
	image_lease_layer(&b->store, &l);
	if (!b->quiet)
		build_say(b, "CACHED [%zu/%zu]", b->step, b->steps);
	append(s, &l, created, i);
	return true;
}

/* --- its directory ---------------------------------------------------------------------------- */

static int write_file(int dirfd, const char *name, const char *text, struct err *e)
{
	return fs_replace_at(dirfd, name, text, strlen(text), 0644, false, e);
}

static int fill(int dirfd, struct err *e)
{
	auto_close int lock =
		openat(dirfd, "lock", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = lock < 0 ? err_sys(e, "lock") : 0;

	if (r == 0)
		r = fs_mkdirs_at(dirfd, "log", 0700, NULL, e);
	if (r == 0)
		r = write_file(dirfd, "hosts",
			       "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
			       e);
	if (r == 0)
		r = write_file(dirfd, "resolv.conf",
			       "nameserver " BOXNET_NAMESERVER "\noptions ndots:0\n", e);
	return r;
}

/* The directories of the stage's layers. */
static int find_layers(struct build *b, const struct build_stage *s, struct strv *ret,
		       struct err *e)
{
	auto_image_record rec = { 0 };
	int r = build_manifest(b, s, NULL, &rec, e);

	if (r < 0 || !rec.manifest)
		return r;
	r = native_image_unpack(b->c, rec.manifest, &b->ids, e);
	return r < 0 ? r : native_image_layers(b->c, rec.manifest, &b->ids, ret, e);
}

int build_step_begin(struct build *b, const struct build_stage *s, struct build_step *ret,
		     struct err *e)
{
	struct build_step p = { .box = { .dirfd = -1 } };
	auto_free char *name = NULL;
	char id[33];
	int r = build_interrupted(b, e);

	if (r == 0 && b->quiet)
		build_say(b, "step %zu of %zu: %s", b->step, b->steps, b->title);
	if (r == 0)
		r = find_layers(b, s, &p.layers, e);
	text_random_hex(id, 16);
	name = xasprintf(IMAGE_BUILDS_DIR "/%s", id);
	if (r == 0)
		r = fs_mkdirs_at(b->store.fd, name, 0700, NULL, e);
	if (r < 0) {
		strv_free(&p.layers);
		return r;
	}
	p.box.id = xstrdup(id);
	p.box.dir = fs_join(b->store.dir, name);
	p.box.run_dir = xasprintf("%s/control/%s", p.box.dir, id);
	p.box.problem = xstrdup("a step of a build"); /* it has no record */
	p.box.dirfd = fs_open_beneath(b->store.fd, name, O_RDONLY | O_DIRECTORY, 0);
	if (p.box.dirfd < 0) {
		errno = -p.box.dirfd;
		r = err_sys(e, "template store: %s", name);
	}
	if (r == 0)
		r = fill(p.box.dirfd, e);
	if (r < 0)
		build_step_end(b, &p);
	else
		*ret = p;
	return r;
}

void build_step_end(struct build *b, struct build_step *p)
{
	auto_close int builds =
		fs_open_beneath(b->store.fd, IMAGE_BUILDS_DIR, O_RDONLY | O_DIRECTORY, 0);

	if (p->box.id && builds >= 0)
		(void)box_remove_tree(&b->ids, builds, p->box.id, NULL);
	if (p->box.dirfd >= 0)
		close(p->box.dirfd);
	free(p->box.id);
	free(p->box.dir);
	free(p->box.run_dir);
	free(p->box.problem);
	strv_free(&p->layers);
	*p = (struct build_step){ .box = { .dirfd = -1 } };
}

int build_step_commit(struct build *b, struct build_stage *s, struct build_step *p,
		      const struct dockerfile_instruction *i, struct err *e)
{
	auto_strv leave_out = STRV_INIT;
	auto_strv if_filled = STRV_INIT;
	auto_image_layer l = { 0 };
	struct image_tree tree = IMAGE_TREE_INIT;
	auto_free char *path = fs_join("upper", p->subdir ? p->subdir : "");
	auto_close int upper = -1;
	char created[32];
	int r;

	box_build_leavings(&leave_out, &if_filled);
	upper = fs_open_beneath(p->box.dirfd, path, O_RDONLY | O_DIRECTORY, 0);
	if (upper < 0) {
		errno = -upper;
		return err_sys(e, "writable layer");
	}
	tree.fd = upper;
	if (i->kind == DOCKERFILE_RUN) {
		tree.leave_out = p->leave_out ? p->leave_out : &leave_out;
		tree.if_filled = p->subdir ? NULL : &if_filled;
	}
	r = native_layer_pack(&b->store, &b->ids, &tree, 1, &l, e);
	if (r < 0)
		return r;
	build_tell_left_out(b, l.names,
			    "names that begin with .wh., which mean something else in an image");
	build_tell_left_out(b, l.xattrs, "attributes of files");
	text_rfc3339((int64_t)time(NULL), created);
	if (!b->uncached)
		r = image_cache_add(&b->store, s->key, &l, created, e);
	if (r == 0)
		append(s, &l, created, i);
	return r;
}

/* --- a helper on its tree --------------------------------------------------------------------- */

struct on_tree {
	const char *verb;
	const struct json *request;
	int fd, program, result;
};

static int run_on_tree(int root_fd, void *arg, struct err *e)
{
	const struct on_tree *t = arg;
	const int fds[] = { root_fd, t->fd, t->program };

	return native_job_run(&(struct image_job){ .helper = "/proc/self/fd/5",
						   .verb = t->verb,
						   .request = t->request,
						   .fds = fds,
						   .nfds = ARRAY_SIZE(fds) },
			      t->result, e);
}

int build_step_helper(struct build *b, const struct build_step *p, const char *verb,
		      const struct json *request, int fd, struct json **ret, struct err *e)
{
	auto_close int program = open(b->image_helper, O_PATH | O_CLOEXEC);
	auto_close int result = memfd_create("result", MFD_CLOEXEC);
	struct on_tree t = {
		.verb = verb, .request = request, .fd = fd, .program = program, .result = result
	};
	int r;

	if (program < 0 || result < 0)
		return err_sys(e, "%s", b->image_helper);
	r = box_run_on_tree(&b->ids, &p->layers, p->box.dir, run_on_tree, &t, e);
	if (r < 0 || !ret)
		return r;
	return native_job_result(result, ret, e);
}

/* --- RUN -------------------------------------------------------------------------------------- */

/* "#!INTERPRETER [ARGUMENT]" of a here-document: /dev, where it lies, executes nothing. */
static void interpreter(const char *script, struct strv *argv)
{
	const char *p = script + 2 + strspn(script + 2, " \t");
	size_t n = strcspn(p, " \t\n");
	const char *arg = p + n + strspn(p + n, " \t");
	size_t len = strcspn(arg, "\n");

	strv_take(argv, xstrndup(p, n));
	if (len)
		strv_take(argv, xstrndup(arg, len));
	strv_add(argv, BUILD_STEP_FILE);
}

/* What is executed; *ret_script: what is to be in BUILD_STEP_FILE, or NULL. */
static void command(const struct build_stage *s, const struct dockerfile_instruction *i,
		    struct strv *argv, const char **ret_script)
{
	auto_buf text = BUF_INIT;
	bool alone = i->nheredocs == 1 && !strpbrk(i->args, " \t");

	*ret_script = NULL;
	if (i->exec) {
		strv_extend(argv, &i->words);
		return;
	}
	if (alone && text_starts(i->heredocs[0].content, "#!")) {
		*ret_script = i->heredocs[0].content;
		interpreter(*ret_script, argv);
		return;
	}
	if (s->shell.n) {
		strv_extend(argv, &s->shell);
	} else {
		strv_add(argv, "/bin/sh");
		strv_add(argv, "-c");
	}
	if (alone) {
		strv_add(argv, i->heredocs[0].content);
		return;
	}
	buf_puts(&text, i->args);
	for (size_t k = 0; k < i->nheredocs; k++)
		buf_printf(&text, "\n%s%s", i->heredocs[k].content, i->heredocs[k].name);
	strv_add(argv, buf_str(&text));
}

/* Of programs in the box only; the image does not get them. */
static const char *const proxy_variables[] = { "HTTP_PROXY", "HTTPS_PROXY", "http_proxy",
					       "https_proxy" };

static void environment(const struct build *b, const struct build_stage *s, struct strv *env)
{
	build_vars(s, env);
	if (!strv_env_get(env, "PATH"))
		strv_env_set(env, "PATH",
			     "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	for (size_t k = 0; k < ARRAY_SIZE(proxy_variables); k++) {
		if (!strv_env_get(env, proxy_variables[k]))
			strv_env_set(env, proxy_variables[k], PROXY_URL);
	}
	if (b->ids.mode == BOX_ID_SINGLE && !strv_env_get(env, "APT_CONFIG"))
		strv_env_set(env, "APT_CONFIG", BUILD_APT_FILE);
}

int build_run(struct build *b, struct build_stage *s, const struct dockerfile_instruction *i,
	      struct err *e)
{
	struct spec_session session = { .kind = SPEC_SESSION_EXEC };
	struct build_step p = { .box = { .dirfd = -1 } };
	auto_buf key = BUF_INIT;
	const char *script;
	int r;

	command(s, i, &session.argv, &script);
	session.cwd = xstrdup(s->workdir ? s->workdir : "/");
	session.user = xstrdup(s->user ? s->user : "0");
	build_key_add(&key, "run", session.user);
	build_key_add(&key, "in", session.cwd);
	build_key_add(&key, "script", script ? script : "");
	for (size_t k = 0; k < session.argv.n; k++)
		build_key_add(&key, "argv", session.argv.v[k]);
	build_vars(s, &session.env);
	for (size_t k = 0; k < session.env.n; k++)
		build_key_add(&key, "env", session.env.v[k]);
	strv_free(&session.env);
	session.env = STRV_INIT;
	environment(b, s, &session.env);
	if (build_cached(b, s, &key, i)) {
		spec_session_clear(&session);
		return 0;
	}
	r = build_step_begin(b, s, &p, e);
	if (r == 0)
		r = build_box_run(b, &p, script, &session, e);
	if (r == 0)
		r = build_step_commit(b, s, &p, i, e);
	build_step_end(b, &p);
	spec_session_clear(&session);
	return r;
}
