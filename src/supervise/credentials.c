/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credentials: keep an agent's credential files the same in the box's home and in the store.
 *
 * The store is the agent's volume, which the supervisors of all its boxes share, or the user's own
 * file.  Nothing is passed on directly: each supervisor compares its own home with the store, so
 * that the store is what everybody agrees on.  credential_rules.c decides, credential_file.c reads
 * and writes.
 *
 * Level-triggered: inotify only says that something happened near a file.  Then the source is
 * switched off for a moment (a box that floods it costs one look in that time, not one for each
 * event), and everything is looked at anew: which directories there are, what both copies hold,
 * what to do.  Without an inotify instance (a user has few) it is looked at twice a second.  An
 * idle box wakes nobody.
 *
 * Acting on a file is done with a lock on the directory of its store, which is held for
 * microseconds; who does not get it tries again from the event loop.  The base is kept in the
 * sandbox's directory, as a hash, so that the next start knows which side has changed since.
 *
 * Invariants: what comes from the home was complete and of the agent's own; what goes there
 * replaces only what was looked at; nothing but these files is ever opened outside of the sandbox.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

enum {
	GATHER_MS = 20,	       /* from the first event to the look */
	POLL_MS = 500,	       /* between looks without inotify */
	LOCK_RETRY_MS = 10,    /* somebody else acts on the store */
	LOCK_TRIES_START = 50, /* before the first program runs it is waited for */
	SETTLE_MS = 300,       /* a format that does not tell its end */
	GONE_MS = 1000,	       /* deleted or damaged, and not just about to be written anew */
	EVENT_BYTES = 16384,
	RECORD_MAX = 65536,
	WATCHES_MAX = SUPERVISE_CREDENTIALS_MAX * 32
};

#define DIR_EVENTS                                                                                 \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF)
/* Of the directory with the file; many programs write beside it, so what is written piece by piece
 * is asked of the file alone. */
#define PARENT_EVENTS (DIR_EVENTS | IN_CLOSE_WRITE)
#define FILE_EVENTS   IN_MODIFY

struct credential_file {
	const char *name; /* below the home; borrowed */
	struct credential_place home;
	struct credential_place store;
	struct credential_copy in_home;
	struct credential_copy in_store;
	const char *seed; /* what the kit puts there, or NULL; borrowed */
	bool have_base;
	uint64_t base;
	uint64_t since;	   /* when the home's copy became what it is */
	const char *noted; /* the last complaint */
};

struct credentials {
	struct supervisor *sup;
	bool host;
	bool started;
	int home_fd;
	struct credential_file *files;
	size_t n;
	bool record_dirty;
	int watch_fd; /* -1: polling */
	struct loop_source *source;
	struct loop_source *timer;
	uint64_t due;
	int watches[WATCHES_MAX];
	size_t nwatches;
};

enum phase { PHASE_START, PHASE_RUN, PHASE_END };

void supervise_credentials_clear(struct supervise_credentials *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->v[i].file);
		free(c->v[i].store);
	}
	free(c->v);
	*c = (struct supervise_credentials){ 0 };
}

/* Once for each reason: a box must not be able to fill the log. */
static void complain(struct credentials *c, struct credential_file *f, const char *why)
{
	if (f->noted && strcmp(f->noted, why) == 0)
		return;
	f->noted = why;
	supervisor_note(c->sup, "credentials: ~/%s: %s", f->name, why);
}

/* --- the record of the base ---------------------------------------------------------------------
 */

static void read_record(struct credentials *c)
{
	auto_buf text = BUF_INIT;
	auto_json j = NULL;
	const struct json *files;

	if (fs_read_at(SUPERVISOR_FD_DIR, SUPERVISE_CREDENTIALS_RECORD, RECORD_MAX, &text, NULL) <
		    0 ||
	    json_parse(buf_str(&text), text.len, &j, NULL) < 0)
		return;
	files = json_get(j, "files");
	for (size_t i = 0; i < c->n; i++)
		c->files[i].have_base =
			json_get_uint(files, c->files[i].name, &c->files[i].base) == 0;
}

static void write_record(struct credentials *c)
{
	auto_json j = json_object();
	struct json *files = json_object();
	struct err e = ERR_INIT;
	auto_buf text = BUF_INIT;

	for (size_t i = 0; i < c->n; i++) {
		if (c->files[i].have_base)
			json_set_uint(files, c->files[i].name, c->files[i].base);
	}
	json_set(j, "files", files);
	json_write(j, false, &text);
	if (fs_replace_at(SUPERVISOR_FD_DIR, SUPERVISE_CREDENTIALS_RECORD, text.data, text.len,
			  0600, false, &e) < 0)
		supervisor_note(c->sup, "credentials: %s", e.message);
	c->record_dirty = false;
}

static void set_base(struct credentials *c, struct credential_file *f, bool have, uint64_t base)
{
	if (f->have_base == have && (!have || f->base == base))
		return;
	f->have_base = have;
	f->base = base;
	c->record_dirty = true;
}

/* --- watching -----------------------------------------------------------------------------------
 */

static void on_timer(void *arg);

static void look_in(struct credentials *c, uint64_t ms)
{
	uint64_t due = loop_now(c->sup->loop) + ms;

	if (c->timer && c->due <= due)
		return;
	loop_remove(c->sup->loop, c->timer);
	c->timer = loop_after(c->sup->loop, ms, on_timer, c);
	c->due = due;
}

static void on_events(int fd, uint32_t events, void *arg)
{
	struct credentials *c = arg;

	(void)fd;
	(void)events;
	loop_modify(c->sup->loop, c->source, 0);
	look_in(c, GATHER_MS);
}

static void stop_watching(struct credentials *c)
{
	loop_remove(c->sup->loop, c->source);
	c->source = NULL;
	fd_closep(&c->watch_fd);
	c->watch_fd = -1;
	c->nwatches = 0;
}

static void drain(struct credentials *c)
{
	char bytes[EVENT_BYTES];

	/* What is left wakes it again; what an overflow lost does not matter. */
	if (read(c->watch_fd, bytes, sizeof(bytes)) < 0)
		return;
}

struct watch_list {
	int v[WATCHES_MAX];
	size_t n;
};

static bool has_watch(const int *v, size_t n, int wd)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] == wd)
			return true;
	return false;
}

/* -ENOSPC when the user has no watch left; what cannot be watched is passed over. */
static int add_watch(struct credentials *c, int fd, uint32_t events, struct watch_list *list)
{
	char path[32];
	int wd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	wd = inotify_add_watch(c->watch_fd, path, events | IN_MASK_ADD);
	if (wd < 0)
		return errno == ENOSPC || errno == ENOMEM ? -ENOSPC : 0;
	if (!has_watch(list->v, list->n, wd) && list->n < WATCHES_MAX)
		list->v[list->n++] = wd;
	return 0;
}

/* Every directory on the way to the file that is there, and the file. */
static int watch_path(struct credentials *c, const struct credential_place *p,
		      struct watch_list *list)
{
	auto_close int fd = fs_open_beneath(p->top, ".", O_PATH | O_DIRECTORY, 0);
	const char *at = p->path;
	int r = 0;

	while (fd >= 0 && r == 0 && at) {
		const char *slash = strchr(at, '/');
		auto_free char *name = slash ? xstrndup(at, (size_t)(slash - at)) : xstrdup(at);
		int next;

		/* First the watch: what is made from now on is an event. */
		r = add_watch(c, fd, slash ? DIR_EVENTS : PARENT_EVENTS, list);
		next = fs_open_beneath(fd, name, O_PATH | (slash ? O_DIRECTORY : 0), 0);
		close(fd);
		fd = next;
		at = slash ? slash + 1 : NULL;
	}
	return fd >= 0 && r == 0 ? add_watch(c, fd, FILE_EVENTS, list) : r;
}

static int open_watch(struct credentials *c)
{
	if (c->watch_fd >= 0)
		return 0;
	c->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (c->watch_fd < 0)
		return -errno;
	if (loop_add(c->sup->loop, c->watch_fd, EPOLLIN, on_events, c, &c->source, NULL) == 0)
		return 0;
	fd_closep(&c->watch_fd);
	c->watch_fd = -1;
	return -ENOSPC;
}

/* Watch what is there now, and nothing that was: a box must not be able to collect watches. */
static void watch(struct credentials *c)
{
	struct watch_list list = { .n = 0 };
	int r = open_watch(c);

	if (r == 0)
		drain(c);
	for (size_t i = 0; r == 0 && i < c->n; i++) {
		r = watch_path(c, &c->files[i].home, &list);
		if (r == 0)
			r = watch_path(c, &c->files[i].store, &list);
	}
	if (r < 0) {
		stop_watching(c);
		look_in(c, POLL_MS);
		return;
	}
	for (size_t i = 0; i < c->nwatches; i++)
		if (!has_watch(list.v, list.n, c->watches[i]))
			inotify_rm_watch(c->watch_fd, c->watches[i]);
	memcpy(c->watches, list.v, list.n * sizeof(list.v[0]));
	c->nwatches = list.n;
	loop_modify(c->sup->loop, c->source, EPOLLIN);
}

/* --- looking and acting -------------------------------------------------------------------------
 */

static bool same_content(const struct credential_copy *a, const struct credential_copy *b)
{
	return a->state == CREDENTIAL_CONTENT && b->state == CREDENTIAL_CONTENT &&
	       a->bytes.len == b->bytes.len &&
	       memcmp(buf_str(&a->bytes), buf_str(&b->bytes), a->bytes.len) == 0;
}

static bool is_base(const struct credential_file *f, const struct credential_copy *copy)
{
	return f->have_base && copy->state == CREDENTIAL_CONTENT && copy->hash == f->base;
}

static bool is_seed(const struct credential_file *f)
{
	return f->seed && f->in_home.state == CREDENTIAL_CONTENT &&
	       strcmp(f->seed, buf_str(&f->in_home.bytes)) == 0;
}

/* How long the home's copy must have been as it is. */
static uint64_t settle_ms(const struct credential_file *f)
{
	if (f->in_home.state != CREDENTIAL_CONTENT)
		return GONE_MS;
	return text_ends(f->name, ".json") ? 0 : SETTLE_MS;
}

static enum credential_action look_at(struct credentials *c, struct credential_file *f,
				      enum phase phase)
{
	uint64_t now = loop_now(c->sup->loop);
	struct credential_view v = { .host = c->host, .starting = phase == PHASE_START };
	bool changed;
	bool ignored;

	credential_read(&f->home, &f->in_home, &changed);
	credential_read(&f->store, &f->in_store, &ignored);
	if (changed)
		f->since = now;
	v.home = f->in_home.state;
	v.store = f->in_store.state;
	v.equal = same_content(&f->in_home, &f->in_store);
	v.home_is_base = is_base(f, &f->in_home);
	v.store_is_base = is_base(f, &f->in_store);
	v.seed = is_seed(f);
	v.settled = phase != PHASE_RUN || v.equal || now - f->since >= settle_ms(f);
	if (!v.settled)
		look_in(c, settle_ms(f) - (now - f->since));
	else if (f->in_home.why)
		complain(c, f, f->in_home.why);
	return credential_decide(&v);
}

static int renew(struct credentials *c, struct credential_file *f)
{
	auto_buf text = BUF_INIT;
	const struct buf *old = &f->in_store.bytes;
	const struct buf *new = &f->in_home.bytes;
	int r = credential_renewal(buf_str(old), old->len, buf_str(new), new->len, &text);

	if (r == -EALREADY)
		return 0;
	if (r < 0) {
		complain(c, f, "changed inside in more than its tokens: not taken to this machine");
		return 0;
	}
	r = credential_put(&f->store, &f->in_store, text.data, text.len);
	if (r < 0)
		return r;
	/* What was written is not byte for byte the home's; the home gets it at the next look. */
	set_base(c, f, true, f->in_home.hash);
	look_in(c, GATHER_MS);
	return 0;
}

static int act(struct credentials *c, struct credential_file *f, enum credential_action action)
{
	const struct credential_copy *from = NULL;
	int r = 0;

	switch (action) {
	case CREDENTIAL_TO_STORE:
		from = &f->in_home;
		r = credential_put(&f->store, &f->in_store, from->bytes.data, from->bytes.len);
		break;
	case CREDENTIAL_TO_HOME:
		from = &f->in_store;
		r = credential_put(&f->home, &f->in_home, from->bytes.data, from->bytes.len);
		break;
	case CREDENTIAL_REMOVE_STORE:
		r = credential_remove(&f->store, &f->in_store);
		break;
	case CREDENTIAL_REMOVE_HOME:
		r = credential_remove(&f->home, &f->in_home);
		break;
	case CREDENTIAL_RENEW:
		return renew(c, f);
	case CREDENTIAL_SAME:
		from = f->in_home.state == CREDENTIAL_CONTENT ? &f->in_home : NULL;
		break;
	case CREDENTIAL_NOTHING:
	case CREDENTIAL_ACTION_MAX:
		return 0;
	}
	if (r == 0)
		set_base(c, f, from != NULL, from ? from->hash : 0);
	return r;
}

/* -EWOULDBLOCK when somebody else has it. */
static int lock_store(const struct credential_file *f, enum phase phase)
{
	for (int tries = phase == PHASE_RUN ? 1 : LOCK_TRIES_START; tries > 0; tries--) {
		if (flock(f->store.top, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			return -errno;
		if (tries > 1)
			nanosleep(&(struct timespec){ .tv_nsec = LOCK_RETRY_MS * 1000000L }, NULL);
	}
	return -EWOULDBLOCK;
}

static void follow(struct credentials *c, struct credential_file *f, enum phase phase)
{
	enum credential_action action = look_at(c, f, phase);
	int r;

	if (action == CREDENTIAL_NOTHING || action == CREDENTIAL_SAME) {
		act(c, f, action);
		return;
	}
	r = lock_store(f, phase);
	if (r == 0) {
		r = act(c, f, look_at(c, f, phase));
		flock(f->store.top, LOCK_UN);
	}
	if (r == -EWOULDBLOCK)
		look_in(c, LOCK_RETRY_MS);
	else if (r < 0)
		complain(c, f, strerrordesc_np(-r));
}

static void look(struct credentials *c, enum phase phase)
{
	for (size_t i = 0; i < c->n; i++)
		follow(c, &c->files[i], phase);
	if (c->record_dirty)
		write_record(c);
}

static void on_timer(void *arg)
{
	struct credentials *c = arg;

	c->timer = NULL;
	watch(c);
	look(c, PHASE_RUN);
}

/* --- its life -----------------------------------------------------------------------------------
 */

/* The agent's ids as this process sees them. */
static uint32_t outside(const struct box_extent *x, uint32_t n, uint32_t inside)
{
	for (uint32_t i = 0; i < n; i++)
		if (inside >= x[i].inside && inside - x[i].inside < x[i].count)
			return x[i].outside + (inside - x[i].inside);
	return UINT32_MAX;
}

static const char *find_seed(const struct box_config *config, const char *name)
{
	auto_free char *path = fs_join(config->home, name);

	for (size_t i = 0; i < config->nfiles; i++)
		if (strcmp(config->files[i].path, path) == 0)
			return config->files[i].content;
	return NULL;
}

static int open_file(struct credentials *c, const struct supervise_credential *from,
		     struct credential_file *f, struct err *e)
{
	const struct box_config *config = c->sup->params.config;
	const struct box_ids *ids = &config->ids;
	const char *slash = strrchr(from->store, '/');
	auto_free char *dir = slash ? xstrndup(from->store, (size_t)(slash - from->store)) : NULL;
	int r = dir && slash[1] ? 0 : -EINVAL;
	int fd = -1;

	if (r == 0)
		r = fs_open_private_dir(dir, geteuid(), &fd, e);
	else
		err_set(e, ERR_CORRUPT, r, "supervisor parameters: %s", from->store);
	if (r < 0)
		return err_prefix(e, "credentials");
	*f = (struct credential_file){
		.name = from->file,
		.home = { .top = c->home_fd,
			  .path = xstrdup(from->file),
			  .uid = outside(ids->uid, ids->nuid, ids->agent_uid),
			  .gid = outside(ids->gid, ids->ngid, ids->agent_gid) },
		.store = { .top = fd,
			   .path = xstrdup(slash + 1),
			   .uid = geteuid(),
			   .gid = getegid() },
		.seed = find_seed(config, from->file),
	};
	return 0;
}

int credentials_open(struct supervisor *sup, struct err *e)
{
	const struct supervise_credentials *from = &sup->params.credentials;
	struct credentials *c;
	int r = 0;

	if (from->n == 0)
		return 0;
	c = xcalloc(1, sizeof(*c));
	*c = (struct credentials){ .sup = sup, .host = from->host, .watch_fd = -1 };
	c->files = xcalloc(from->n, sizeof(*c->files));
	c->home_fd = fs_open_beneath(SUPERVISOR_FD_DIR, "home", O_PATH | O_DIRECTORY, 0);
	if (c->home_fd < 0)
		r = err_set(e, ERR_CORRUPT, c->home_fd, "credentials: home: %s",
			    strerror(-c->home_fd));
	for (; r == 0 && c->n < from->n; c->n += r == 0)
		r = open_file(c, &from->v[c->n], &c->files[c->n], e);
	/* A failure ends the process, so nothing is given back. */
	sup->credentials = c;
	return r;
}

int credentials_store_fd(const struct supervisor *sup, size_t i)
{
	const struct credentials *c = sup->credentials;

	return c && i < c->n ? c->files[i].store.top : -1;
}

void credentials_start(struct supervisor *sup)
{
	struct credentials *c = sup->credentials;

	if (!c)
		return;
	read_record(c);
	c->started = true;
	watch(c);
	look(c, PHASE_START);
}

void credentials_finish(struct supervisor *sup)
{
	struct credentials *c = sup->credentials;

	if (c && c->started)
		look(c, PHASE_END);
}
