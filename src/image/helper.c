/* SPDX-License-Identifier: Apache-2.0 */
/*
 * helper: ward's side of the helpers: start one for one job, hand on its events, take its result.
 *
 * What the helper writes is input like any other: it handles bytes of strangers.  Lines are
 * bounded, parsed strictly, and mean nothing but what the reader of an event makes of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/image.h"

enum { FDS_MAX = 16, FD_FIRST = 3 };

struct running {
	pid_t pid;
	int events;	     /* our end of its descriptor 1 */
	struct buf line;     /* of which no end has come yet */
	struct json *result; /* the result event */
	bool failed;	     /* an error event came */
};

/* Copies above the numbers that the child gets, so that no dup2 overwrites a source. */
static int lift(int fd, int *ret, struct err *e)
{
	*ret = fcntl(fd, F_DUPFD_CLOEXEC, FD_FIRST + FDS_MAX);
	return *ret < 0 ? err_sys(e, "cannot copy a descriptor") : 0;
}

static int spawn_helper(const struct image_job *job, const int *fds, size_t nfds, pid_t *ret)
{
	auto_free char *name = xstrdup(job->name ? job->name : strrchr(job->helper, '/') + 1);
	auto_free char *verb = xstrdup(job->verb);
	char *argv[] = { name, verb, NULL };
	char *empty[] = { NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t set;
	int r = 0;

	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&attr, &set);
	sigfillset(&set);
	posix_spawnattr_setsigdefault(&attr, &set);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	for (size_t i = 0; i < nfds && r == 0; i++)
		r = posix_spawn_file_actions_adddup2(&files, fds[i],
						     i < 2 ? (int)i : (int)i - 2 + FD_FIRST);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(&files, (int)nfds - 2 + FD_FIRST);
	if (r == 0)
		r = posix_spawn(ret, job->helper, &files, &attr, argv, job->env ? job->env : empty);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

static int start(const struct image_job *job, struct running *run, struct err *e)
{
	int fds[FDS_MAX + 2];
	auto_close int request = -1;
	auto_close int write_end = -1;
	auto_buf text = BUF_INIT;
	int pipe_fds[2];
	size_t n = 0;
	int r;

	if (job->nfds > FDS_MAX)
		return err_set(e, ERR_SYSTEM, -E2BIG, "image helper: too many descriptors");
	json_write(job->request, false, &text);
	r = fs_sealed_memfd("ward-image-request", text.data, text.len, &request, e);
	if (r < 0)
		return r;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_sys(e, "cannot make a pipe");
	run->events = pipe_fds[0];
	write_end = pipe_fds[1];
	r = lift(request, &fds[n], e);
	if (r == 0)
		n++, r = lift(write_end, &fds[n], e);
	if (r == 0)
		n++;
	for (size_t i = 0; i < job->nfds && r == 0; i++) {
		r = lift(job->fds[i], &fds[n], e);
		if (r == 0)
			n++;
	}
	if (r == 0) {
		r = spawn_helper(job, fds, n, &run->pid);
		if (r < 0) {
			run->pid = 0;
			errno = -r;
			r = err_sys(e, "cannot run %s", job->helper);
		}
	}
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	return r;
}

static int bad_event(struct err *e)
{
	return err_set(e, ERR_SYSTEM, -EBADMSG, "image helper: it said something malformed");
}

/* {"event":"error"}: the helper's struct err. */
static int take_error(const struct json *j, struct err *e)
{
	const char *message, *hint;
	uint64_t kind;
	int64_t code;
	int r;

	if (json_get_string(j, "message", &message) < 0 || json_get_int(j, "code", &code) < 0 ||
	    json_get_uint(j, "kind", &kind) < 0 || kind >= ERR_KIND_MAX || code >= 0 ||
	    code < -4095)
		return bad_event(e);
	r = err_set(e, (enum err_kind)kind, (int)code, "%s", message);
	if (json_get_string(j, "hint", &hint) == 0 && hint[0] != '\0')
		err_hint(e, "%s", hint);
	return r;
}

static int take_line(const struct image_job *job, struct running *run, const char *line, size_t n,
		     struct err *e)
{
	auto_json j = NULL;
	const char *event;

	if (run->result || json_parse(line, n, &j, NULL) < 0 || !json_is_object(j) ||
	    json_get_string(j, "event", &event) < 0)
		return bad_event(e);
	if (strcmp(event, "error") == 0) {
		run->failed = true;
		return take_error(j, e);
	}
	if (strcmp(event, "result") == 0) {
		run->result = steal(&j);
		return 0;
	}
	return job->event ? job->event(event, j, job->arg, e) : 0;
}

static int take_bytes(const struct image_job *job, struct running *run, struct err *e)
{
	size_t used = 0;
	char *end;

	while ((end = memchr(run->line.data + used, '\n', run->line.len - used))) {
		int r = take_line(job, run, run->line.data + used,
				  (size_t)(end - run->line.data) - used, e);

		if (r < 0)
			return r;
		used = (size_t)(end - run->line.data) + 1;
	}
	buf_consume(&run->line, used);
	return run->line.len > IMAGE_EVENT_MAX ? bad_event(e) : 0;
}

/* Until its end of the pipe is closed. */
static int read_events(const struct image_job *job, struct running *run, struct err *e)
{
	char chunk[8192];

	for (;;) {
		ssize_t n = read(run->events, chunk, sizeof(chunk));
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "image helper: cannot read its events");
		if (n == 0)
			return 0;
		buf_add(&run->line, chunk, (size_t)n);
		r = take_bytes(job, run, e);
		if (r < 0)
			return r;
	}
}

static int how_it_ended(const struct running *run, int status, struct err *e)
{
	if (run->result)
		return 0;
	if (WIFSIGNALED(status))
		return err_set(e, ERR_SYSTEM, -ECHILD,
			       "image helper: it was ended by signal %d (%s)", WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	return err_set(e, ERR_SYSTEM, -ECHILD, "image helper: it ended without a result");
}

int image_helper_run(const struct image_job *job, struct json **ret_result, struct err *e)
{
	struct running run = { .events = -1 };
	int status = 0;
	int r = start(job, &run, e);

	if (r == 0)
		r = read_events(job, &run, e);
	if (run.pid > 0) {
		/* One that reported its own failure is ending anyway. */
		if (r < 0 && !run.failed)
			kill(run.pid, SIGKILL);
		while (waitpid(run.pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	if (r == 0)
		r = how_it_ended(&run, status, e);
	if (r == 0 && ret_result)
		*ret_result = steal(&run.result);
	json_unref(run.result);
	buf_free(&run.line);
	fd_closep(&run.events);
	return r;
}
