/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_provision: what a kit does in a sandbox before anybody else runs something there.
 *
 * In this order: files/home of the kits, install steps, setup.files (again: an install step may
 * have replaced one), startup steps, files/workspace.  All but the startup steps happen once in the
 * life of a sandbox, startup steps at every start of its box.
 *
 * Who starts the box leaves a record, "unprepared", in the sandbox's directory before the
 * supervisor exists.  Who wants to run a program and sees it does what it says, under a lock, and
 * removes it; so whoever is killed in the middle, the next one goes on, and nobody's program starts
 * before.  "prepared" says that what happens once has happened.
 *
 * Steps are sessions of a kind of their own, with no connection to the life of the client: one that
 * an earlier client left running is waited for, not started a second time.
 *
 * Invariants: files of a kit are unpacked by a confined process inside, with the agent's rights;
 * the record is replaced only under the lock, and a box does not start while somebody has it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/tar.h"
#include "base/tarball.h"
#include "base/text.h"
#include "engine/engine_internal.h"
#include "supervise/supervise.h"

#define RECORD_FILE "unprepared"
#define DONE_FILE   "prepared"
#define LOCK_FILE   "prepare.lock"
enum { RECORD_MAX = 4096, TAIL_BYTES = 4096, TAIL_LINES = 10, SHOWN_BYTES = 60 };
enum { QUIET_MS = 2000, STARTUP_WAIT_MS = 300000 };

static const struct tarball_limits tree_limits = { .entries = 10000, .bytes = 64 << 20 };

struct record { /* how far it is */
	bool home;
	uint64_t install; /* steps that are done */
	bool files;
	uint64_t startup;
	bool workspace;
	uint64_t session; /* of the last step that is done in this box */
};

struct job {
	struct engine_context *c;
	const struct sandbox *s;
	const struct spec *spec;
	const struct kit *kit;
	struct user_config user;
	struct record done;
};

static void say(const struct job *j, enum engine_say what, const char *text)
{
	if (j->c->say)
		j->c->say(j->c->say_arg, what, text);
}

/* --- the record -------------------------------------------------------------------------------
 */

static bool exists(const struct sandbox *s, const char *name)
{
	return faccessat(s->dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int record_write(const struct sandbox *s, const struct record *done, struct err *e)
{
	auto_json j = json_object();
	auto_buf b = BUF_INIT;

	json_set_bool(j, "home", done->home);
	json_set_uint(j, "install", done->install);
	json_set_bool(j, "files", done->files);
	json_set_uint(j, "startup", done->startup);
	json_set_bool(j, "workspace", done->workspace);
	json_set_uint(j, "session", done->session);
	json_write(j, false, &b);
	return fs_replace_at(s->dirfd, RECORD_FILE, b.data, b.len, 0600, false, e);
}

/* -ENOENT: nothing is to be done. A damaged record means from the beginning. */
static int record_read(const struct sandbox *s, struct record *ret, struct err *e)
{
	struct record done = { 0 };
	auto_buf b = BUF_INIT;
	auto_json j = NULL;
	int r = fs_read_at(s->dirfd, RECORD_FILE, RECORD_MAX, &b, e);

	if (r < 0)
		return r;
	if (json_parse(buf_str(&b), b.len, &j, NULL) == 0) {
		(void)json_get_bool(j, "home", &done.home);
		(void)json_get_uint(j, "install", &done.install);
		(void)json_get_bool(j, "files", &done.files);
		(void)json_get_uint(j, "startup", &done.startup);
		(void)json_get_bool(j, "workspace", &done.workspace);
		(void)json_get_uint(j, "session", &done.session);
	}
	*ret = done;
	return 0;
}

static int lock_open(const struct sandbox *s, int *ret_fd, struct err *e)
{
	int fd = openat(s->dirfd, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(e, "sandbox %s: " LOCK_FILE, s->id);
	*ret_fd = fd;
	return 0;
}

/* 0, or -EWOULDBLOCK when somebody has it and `wait` is false. */
static int lock_take(int fd, bool wait, struct err *e)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	while (fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &l) < 0) {
		if (!wait && (errno == EAGAIN || errno == EACCES))
			return -EWOULDBLOCK;
		if (errno != EINTR)
			return err_sys(e, LOCK_FILE);
	}
	return 0;
}

static bool has_trees(const struct kit *k)
{
	for (size_t i = 0; i < k->trees.n; i++) {
		auto_free char *dir = fs_join(k->trees.v[i], "files");

		if (access(dir, F_OK) == 0)
			return true;
	}
	return false;
}

int native_provision_begin(const struct sandbox *s, const struct spec *spec, const struct kit *k,
			   struct err *e)
{
	bool copies = spec->agent_config == SPEC_AGENT_CONFIG_COPY && k->nuser_config;
	bool once = (k->ninstall || has_trees(k) || copies) && !exists(s, DONE_FILE);
	struct record done = { 0 };
	auto_close int lock = -1;
	int r;

	if (!once && !k->nstartup) {
		if (unlinkat(s->dirfd, RECORD_FILE, 0) < 0 && errno != ENOENT)
			return err_sys(e, "sandbox %s: " RECORD_FILE, s->id);
		return 0;
	}
	r = lock_open(s, &lock, e);
	if (r == 0)
		r = lock_take(lock, true, e);
	if (r < 0)
		return r;
	r = record_read(s, &done, NULL);
	if (r < 0 && r != -ENOENT)
		return record_read(s, &done, e);
	if (!once)
		done = (struct record){
			.home = true, .install = k->ninstall, .files = true, .workspace = true
		};
	done.startup = 0;
	done.session = 0;
	return record_write(s, &done, e);
}

/* --- steps ------------------------------------------------------------------------------------
 */

struct step_kind {
	const char *name;
	bool is_shell;	   /* the last argument is a line for a shell */
	bool in_home;	   /* else in the workspace */
	uint64_t quiet_ms; /* what takes no longer needs no words */
	uint64_t limit_ms; /* 0: none */
};
static const struct step_kind install_step = { "install", .is_shell = true, .in_home = true };
static const struct step_kind startup_step = { "startup", .quiet_ms = QUIET_MS,
					       .limit_ms = STARTUP_WAIT_MS };

struct step {
	const struct step_kind *kind;
	const struct kit_command *command;
	size_t i;
	size_t n;
};

static bool same_argv(const struct json *list, const struct strv *argv)
{
	if (json_len(list) != argv->n)
		return false;
	for (size_t i = 0; i < argv->n; i++) {
		const char *text = json_str(json_at(list, i));

		if (!text || strcmp(text, argv->v[i]) != 0)
			return false;
	}
	return true;
}

enum earlier { EARLIER_NONE, EARLIER_RUNS, EARLIER_DONE };

/* What became of this very step in the hands of an earlier client: its session still runs, or has
 * ended well since the last step that is in the record. */
static enum earlier find_earlier(const struct job *j, const struct strv *argv, uint32_t *ret_id)
{
	enum earlier found = EARLIER_NONE;
	auto_close int conn = -1;
	auto_json list = NULL;

	if (control_connect(j->s, &conn, NULL) < 0 || control_sessions(conn, &list, NULL) < 0)
		return found;
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *o = json_at(list, i);
		const char *kind = "";
		bool running = false;
		int64_t code = -1;
		uint64_t id = 0;

		(void)json_get_string(o, "kind", &kind);
		(void)json_get_bool(o, "running", &running);
		(void)json_get_int(o, "exit_code", &code);
		(void)json_get_uint(o, "id", &id);
		if (id <= j->done.session || (!running && code != 0) ||
		    strcmp(kind, spec_session_kind_name(SPEC_SESSION_SETUP)) != 0 ||
		    !same_argv(json_get(o, "argv"), argv))
			continue;
		*ret_id = (uint32_t)id;
		found = running ? EARLIER_RUNS : EARLIER_DONE;
	}
	return found;
}

static bool is_agent(const char *user)
{
	return strcmp(user, "1000") == 0 || strcmp(user, "agent") == 0;
}

static int fill_session(const struct job *j, const struct step *p, struct spec_session *ret,
			struct err *e)
{
	const struct strv *more[] = { &j->kit->env, &j->spec->env };
	const struct kit_command *c = p->command;

	*ret = (struct spec_session){ .kind = SPEC_SESSION_SETUP };
	strv_extend(&ret->argv, &c->argv);
	for (size_t m = 0; m < ARRAY_SIZE(more); m++) {
		for (size_t i = 0; i < more[m]->n; i++) {
			size_t n = strcspn(more[m]->v[i], "=");
			auto_free char *key = xstrndup(more[m]->v[i], n);

			strv_env_set(&ret->env, key, more[m]->v[i] + n + 1);
		}
	}
	/* Where there is but one id, the agent has another number. */
	ret->user = is_agent(c->user) ? NULL : xstrdup(c->user);
	ret->cwd = xstrdup(p->kind->in_home ? NATIVE_HOME : j->spec->workspaces[0].path);
	return native_session_env(j->c, j->spec, ret, e);
}

/* "kit mine: install 2 of 3: npm install -g x" */
static void announce(const struct job *j, const struct step *p)
{
	const struct strv *argv = &p->command->argv;
	auto_free char *text = NULL;
	auto_buf line = BUF_INIT;
	size_t n;

	for (size_t i = p->kind->is_shell ? argv->n - 1 : 0; i < argv->n; i++)
		buf_printf(&line, "%s%s", line.len ? " " : "", argv->v[i]);
	n = strcspn(buf_str(&line), "\n");
	text = xasprintf("kit %s: %s %zu of %zu: %.*s%s", j->kit->name, p->kind->name, p->i + 1,
			 p->n, (int)(n < SHOWN_BYTES ? n : SHOWN_BYTES), buf_str(&line),
			 n > SHOWN_BYTES ? "..." : "");
	say(j, ENGINE_SAY_PROGRESS, text);
}

static void show_tail(const struct job *j, struct buf *tail)
{
	char *end = tail->data ? tail->data + tail->len : NULL;
	char *from = end;
	int lines = 0;

	buf_str(tail);
	while (from && from > tail->data) {
		if (from[-1] == '\n' && from != end && ++lines == TAIL_LINES)
			break;
		from--;
	}
	while (from && *from) {
		size_t n = strcspn(from, "\n");
		auto_free char *line = xstrndup(from, n);

		say(j, ENGINE_SAY_OUTPUT, line);
		from += n + (from[n] == '\n');
	}
}

/* id: the session, if there was one. */
static int step_error(const struct job *j, const struct step *p, uint32_t id, struct err *e)
{
	bool shared = j->spec->tmpl.kind == SPEC_TEMPLATE_HOST && !is_agent(p->command->user);

	err_prefix(e, "kit %s: %s %zu of %zu", j->kit->name, p->kind->name, p->i + 1, p->n);
	if (!id)
		return e->code;
	return err_hint(e, "ward logs %s %u shows all of it; the next start tries again%s",
			j->spec->name, id,
			shared ? " (with template host, the system "
				 "directories are read-only, also for root)"
			       : "");
}

static int wait_step(const struct job *j, const struct step *p, int conn, uint32_t id,
		     struct err *e)
{
	auto_buf tail = BUF_INIT;
	int code = 0;
	int r = -ETIMEDOUT;

	if (p->kind->quiet_ms)
		r = control_wait(conn, TAIL_BYTES, p->kind->quiet_ms, &tail, &code, e);
	if (r == -ETIMEDOUT) {
		announce(j, p);
		r = control_wait(conn, TAIL_BYTES, p->kind->limit_ms, &tail, &code, e);
	}
	if (r == -ETIMEDOUT) {
		auto_close int other = -1;

		if (control_connect(j->s, &other, NULL) == 0)
			(void)control_signal(other, id, SIGKILL, NULL);
		err_set(e, ERR_CONFLICT, r,
			"it did not end within %d seconds; what shall go on needs background: true",
			STARTUP_WAIT_MS / 1000);
	}
	if (r == 0 && code == 0)
		return 0;
	if (r == 0)
		err_set(e, ERR_CONFLICT, -ECANCELED, "it ended with exit code %d", code);
	if (r == 0 || r == -ETIMEDOUT)
		show_tail(j, &tail);
	return step_error(j, p, id, e);
}

/* Attach to the step's session if there is one already, else begin it. 1: nothing to wait for. */
static int begin_step(const struct job *j, const struct step *p, int *ret_conn, uint32_t *ret_id,
		      struct err *e)
{
	bool background = p->command->background;
	struct spec_session session;
	auto_close int conn = -1;
	enum earlier earlier;
	int r = fill_session(j, p, &session, e);

	if (r == 0) {
		earlier = find_earlier(j, &session.argv, ret_id);
		if (earlier == EARLIER_DONE || (earlier == EARLIER_RUNS && background))
			r = 1;
		else
			r = control_connect(j->s, &conn, e);
		if (r == 0 && earlier == EARLIER_RUNS)
			r = control_attach(conn, *ret_id, ret_id, e);
		else if (r == 0)
			r = control_start(conn, &session, background, ret_id, e);
	}
	spec_session_clear(&session);
	*ret_conn = steal_fd(&conn);
	return r == 0 && background ? 1 : r;
}

static int run_step(struct job *j, const struct step *p, struct err *e)
{
	auto_close int conn = -1;
	uint32_t id = 0;
	int r = begin_step(j, p, &conn, &id, e);

	if (r < 0)
		return step_error(j, p, 0, e);
	if (r == 0)
		r = wait_step(j, p, conn, id, e);
	if (r < 0)
		return r;
	j->done.session = id;
	return 0;
}

static int run_steps(struct job *j, const struct step_kind *kind, const struct kit_command *v,
		     size_t n, uint64_t *done, struct err *e)
{
	while (*done < n) {
		struct step p = { .kind = kind, .command = &v[*done], .i = *done, .n = n };
		int r = run_step(j, &p, e);

		if (r < 0)
			return r;
		++*done;
		r = record_write(j->s, &j->done, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- files ------------------------------------------------------------------------------------
 */

static int open_archive(int *ret_fd, struct err *e)
{
	int fd = memfd_create("ward-tree", MFD_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "memfd");
	*ret_fd = fd;
	return 0;
}

/* Let the confined process inside unpack it. */
static int unpack(const struct job *j, int archive, const char *target, unsigned flags,
		  struct err *e)
{
	auto_close int conn = -1;
	int r;

	if (lseek(archive, 0, SEEK_SET) < 0)
		return err_sys(e, "memfd");
	r = control_connect(j->s, &conn, e);
	if (r == 0)
		r = control_copy_in(conn, target, flags, archive, e);
	if (r == -EPIPE) /* the box ended: cured by starting it again */
		e->code = r = -ENOTCONN;
	return r;
}

int native_place_tree(struct engine_context *c, const struct sandbox *s,
		      const struct native_tree *t, struct err *e)
{
	const struct job j = { .c = c, .s = s };
	auto_close int archive = -1;
	size_t skipped = 0;
	int r = open_archive(&archive, e);

	if (r == 0)
		r = tarball_write(t->source, t->root, &t->limits, archive, &skipped, e);
	return r < 0 ? r : unpack(&j, archive, t->target, t->flags, e);
}

struct kit_tree {
	const struct kit *kit;
	size_t i;
	const char *name; /* "home", "workspace" */
};

/* The kit's arguments in a file. */
static int change_text(void *arg, const char *path, const struct buf *bytes, struct buf *out,
		       struct err *e)
{
	const struct kit_tree *t = arg;
	auto_free char *below = xasprintf("files/%s/%s", t->name, path);

	return kit_tree_text(t->kit, t->i, below, bytes->data ? bytes->data : "", bytes->len, out,
			     e);
}

/* files/home or files/workspace of every kit that has one. */
static int place_trees(const struct job *j, const char *name, const char *target, unsigned flags,
		       struct err *e)
{
	for (size_t i = 0; i < j->kit->trees.n; i++) {
		auto_free char *dir = xasprintf("%s/files/%s", j->kit->trees.v[i], name);
		struct native_tree t = { .source = dir,
					 .root = ".",
					 .target = target,
					 .flags = flags,
					 .limits = tree_limits };
		struct kit_tree tree = { .kit = j->kit, .i = i, .name = name };
		struct stat st;
		int r;

		t.limits.change = change_text;
		t.limits.arg = &tree;
		if (lstat(dir, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
			continue;
		if (!S_ISDIR(st.st_mode))
			r = err_set(e, ERR_INPUT, -ENOTDIR, "it is not a directory");
		else
			r = native_place_tree(j->c, j->s, &t, e);
		if (r < 0)
			return err_prefix(e, "kit %s: %s", j->kit->name, dir);
	}
	return 0;
}

/* One of setup.files: in the home as the agent, elsewhere as root inside. */
static int place_file(const struct job *j, const struct box_file *f, struct err *e)
{
	const char *path = f->path;
	bool home = fs_path_within(path, NATIVE_HOME);
	auto_free char *target = home ? xstrdup(NATIVE_HOME)
				      : xstrndup(path, (size_t)(strrchr(path, '/') - path) + 1);
	struct tar_entry entry = { .type = TAR_FILE,
				   .path = home ? path + sizeof(NATIVE_HOME)
						: strrchr(path, '/') + 1,
				   .size = strlen(f->content),
				   .mode = f->mode,
				   .mtime = j->spec->created_at };
	unsigned flags = (home ? 0 : COPY_AS_ROOT) | (f->only_if_missing ? COPY_MISSING : 0);
	auto_close int archive = -1;
	auto_buf b = BUF_INIT;
	int r = open_archive(&archive, e);

	if (r == 0)
		r = tar_write_header(&b, &entry, e);
	if (r < 0)
		return r;
	buf_puts(&b, f->content);
	tar_write_padding(&b, entry.size);
	tar_write_end(&b);
	r = fs_write_all(archive, b.data, b.len);
	if (r < 0)
		return err_set(e, ERR_SYSTEM, r, "memfd: %s", strerror(-r));
	r = unpack(j, archive, target, flags, e);
	return r < 0 ? err_prefix(e, "kit %s: %s", j->kit->name, path) : 0;
}

/* --- the order --------------------------------------------------------------------------------
 */

static int do_home(struct job *j, struct err *e)
{
	int r = j->done.home ? 0 : place_trees(j, "home", NATIVE_HOME, 0, e);

	return r < 0 || j->done.home ? r : user_config_copy(j->c, j->s, &j->user, e);
}

static int do_install(struct job *j, struct err *e)
{
	return run_steps(j, &install_step, j->kit->install, j->kit->ninstall, &j->done.install, e);
}

static int do_files(struct job *j, struct err *e)
{
	const struct kit *k = j->kit;
	struct box_config *b;
	int r = 0;

	/* Else they are as the start of the box left them. */
	if (j->done.files || (!k->ninstall && !has_trees(k)))
		return 0;
	b = box_config_new();
	native_kit_files(b, j->spec, k, &j->user);
	for (size_t i = 0; r == 0 && i < b->nfiles; i++)
		r = place_file(j, &b->files[i], e);
	box_config_free(b);
	return r;
}

static int do_startup(struct job *j, struct err *e)
{
	return run_steps(j, &startup_step, j->kit->startup, j->kit->nstartup, &j->done.startup, e);
}

static int do_workspace(struct job *j, struct err *e)
{
	const struct spec_workspace *w = &j->spec->workspaces[0];

	return j->done.workspace || w->readonly
		       ? 0
		       : place_trees(j, "workspace", w->path, COPY_MISSING, e);
}

static int do_all(struct job *j, struct err *e)
{
	const struct {
		int (*run)(struct job *j, struct err *e);
		bool *done;
	} parts[] = { { do_home, &j->done.home },
		      { do_install, NULL },
		      { do_files, &j->done.files },
		      { do_startup, NULL },
		      { do_workspace, &j->done.workspace } };

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		int r = parts[i].run(j, e);

		if (r == 0 && parts[i].done && !*parts[i].done) {
			*parts[i].done = true;
			r = record_write(j->s, &j->done, e);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int finish(const struct job *j, struct err *e)
{
	int r = exists(j->s, DONE_FILE)
			? 0
			: fs_replace_at(j->s->dirfd, DONE_FILE, "", 0, 0600, false, e);

	if (r == 0 && unlinkat(j->s->dirfd, RECORD_FILE, 0) < 0 && errno != ENOENT)
		r = err_sys(e, "sandbox %s: " RECORD_FILE, j->s->id);
	return r;
}

/* What failed here is not what the caller wanted to run: it says neither "not found" nor "cannot be
 * executed". A box that ended is cured by starting it again, which the caller does. */
static int not_prepared(struct err *e)
{
	if (e->code == -ENOTCONN || e->code == -ESHUTDOWN)
		return e->code;
	if (e->kind == ERR_NOT_FOUND)
		e->kind = ERR_CONFLICT;
	return e->code = -ECANCELED;
}

static int provision_locked(struct job *j, struct err *e)
{
	struct native_loaded l = { 0 };
	int r = record_read(j->s, &j->done, e);

	if (r == -ENOENT) { /* who had the lock before has done it all */
		*e = ERR_INIT;
		return 0;
	}
	if (r == 0)
		r = native_load(j->c, j->s, &l, e);
	if (r < 0)
		return r;
	j->spec = l.spec;
	j->kit = l.kit;
	user_config_find(j->c, l.spec, l.kit, &j->user);
	r = do_all(j, e);
	if (r == 0)
		r = finish(j, e);
	user_config_clear(&j->user);
	native_loaded_clear(&l);
	return r;
}

int native_provision(struct engine_context *c, const struct sandbox *s, struct err *e)
{
	struct job j = { .c = c, .s = s };
	auto_close int lock = -1;
	int r;

	if (!exists(s, RECORD_FILE))
		return 0;
	r = lock_open(s, &lock, e);
	if (r == 0)
		r = lock_take(lock, false, e);
	if (r == -EWOULDBLOCK) {
		say(&j, ENGINE_SAY_PROGRESS, "waiting: the sandbox is being prepared");
		r = lock_take(lock, true, e);
	}
	if (r == 0)
		r = provision_locked(&j, e);
	return r < 0 ? not_prepared(e) : 0;
}
