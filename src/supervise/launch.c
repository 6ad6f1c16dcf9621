/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch: from the client to the supervisor.
 *
 * The client forks twice and starts a session of its own, so that the supervisor has nothing to do
 * with the user's terminal or shell; the grandchild executes a sealed memfd copy of this program
 * (a box must not be able to overwrite the binary that the user owns) with an empty environment,
 * /dev/null as stdio and exactly the descriptors of enum supervisor_fd.  Parameters travel as JSON
 * in a sealed memfd.
 *
 * The child between fork and exec only makes system calls on what was prepared before.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "supervise/supervise_internal.h"

/* --- parameters ------------------------------------------------------------------------------ */

static struct json *credentials_to_json(const struct supervise_credentials *c)
{
	struct json *j = json_object();
	struct json *files = json_array();

	for (size_t i = 0; i < c->n; i++) {
		struct json *f = json_object();

		json_set_string(f, "file", c->v[i].file);
		json_set_string(f, "store", c->v[i].store);
		json_append(files, f);
	}
	json_set_bool(j, "host", c->host);
	json_set(j, "files", files);
	return j;
}

void params_write(const struct supervise_params *p, struct buf *out)
{
	auto_json j = json_object();
	auto_buf upstream = BUF_INIT;

	json_set_string(j, "id", p->sandbox->id);
	json_set_string(j, "dir", p->sandbox->dir);
	json_set_string(j, "run_dir", p->sandbox->run_dir);
	json_set_string(j, "name", p->name);
	json_set_string(j, "preset", policy_preset_name(p->rules->preset));
	json_set_bool(j, "preset_default", p->rules->preset_default);
	json_set_string(j, "rules", p->rules->fixed);
	json_set_string(j, "config_dir", p->config_dir);
	json_set_string(j, "init_path", p->init_path);
	json_set_string(j, "proxy_path", p->proxy_path);
	if (p->proxies && proxies_any(p->proxies))
		proxies_write(p->proxies, &upstream);
	json_set_string(j, "upstream", buf_str(&upstream));
	json_set_string(j, "ports_path", p->ports_path);
	json_set(j, "ports", spec_ports_to_json(p->ports));
	json_set_uint(j, "grace_seconds", p->grace_seconds);
	json_set(j, "credentials", credentials_to_json(&p->credentials));
	json_set(j, "config", box_config_to_json(p->config));
	json_write(j, false, out);
}

static int get(const struct json *j, const char *key, char **ret, struct err *e)
{
	const char *s;

	if (json_get_string(j, key, &s) < 0)
		return err_set(e, ERR_CORRUPT, -EINVAL, "supervisor parameters: no %s", key);
	*ret = xstrdup(s);
	return 0;
}

static int credentials_from_json(const struct json *j, struct supervise_credentials *ret,
				 struct err *e)
{
	const struct json *files = json_get(j, "files");
	size_t n = json_len(files);
	int r = 0;

	if (json_get_bool(j, "host", &ret->host) < 0 || n > SUPERVISE_CREDENTIALS_MAX)
		return err_set(e, ERR_CORRUPT, -EINVAL, "supervisor parameters: credentials");
	ret->v = xcalloc(n + 1, sizeof(*ret->v));
	for (; r == 0 && ret->n < n; ret->n++) {
		const struct json *f = json_at(files, ret->n);

		r = get(f, "file", &ret->v[ret->n].file, e);
		if (r == 0)
			r = get(f, "store", &ret->v[ret->n].store, e);
	}
	return r;
}

static int rules_from_json(const struct json *j, struct spec_rules_base *ret, struct err *e)
{
	const char *preset;

	if (json_get_string(j, "preset", &preset) < 0 ||
	    policy_preset_parse(preset, &ret->preset) < 0 ||
	    json_get_bool(j, "preset_default", &ret->preset_default) < 0)
		return err_set(e, ERR_CORRUPT, -EINVAL, "supervisor parameters: no preset");
	return get(j, "rules", &ret->fixed, e);
}

int params_read(int fd, struct params *ret, struct err *e)
{
	struct params p = { .sandbox = { .dirfd = SUPERVISOR_FD_DIR } };
	auto_buf text = BUF_INIT;
	auto_json j = NULL;
	int r = fs_read_sealed(fd, PARAMS_BYTES_MAX, &text, e);

	if (r == 0)
		r = json_parse(buf_str(&text), text.len, &j, e);
	if (r == 0)
		r = get(j, "id", &p.sandbox.id, e);
	if (r == 0)
		r = get(j, "dir", &p.sandbox.dir, e);
	if (r == 0)
		r = get(j, "run_dir", &p.sandbox.run_dir, e);
	if (r == 0)
		r = get(j, "name", &p.name, e);
	if (r == 0)
		r = rules_from_json(j, &p.base, e);
	if (r == 0)
		r = get(j, "config_dir", &p.config_dir, e);
	if (r == 0)
		r = get(j, "init_path", &p.init_path, e);
	if (r == 0)
		r = get(j, "proxy_path", &p.proxy_path, e);
	if (r == 0)
		r = get(j, "upstream", &p.upstream, e);
	if (r == 0)
		r = get(j, "ports_path", &p.ports_path, e);
	if (r == 0)
		r = spec_ports_from_json(json_get(j, "ports"), &p.ports, e);
	if (r == 0 && json_get_uint(j, "grace_seconds", &p.grace_seconds) < 0)
		r = err_set(e, ERR_CORRUPT, -EINVAL, "supervisor parameters: no grace_seconds");
	if (r == 0)
		r = credentials_from_json(json_get(j, "credentials"), &p.credentials, e);
	if (r == 0)
		r = box_config_from_json(json_get(j, "config"), &p.config, e);
	if (r < 0) {
		params_clear(&p);
		return r;
	}
	*ret = p;
	return 0;
}

void params_clear(struct params *p)
{
	free(p->sandbox.id);
	free(p->sandbox.dir);
	free(p->sandbox.run_dir);
	free(p->name);
	spec_rules_base_clear(&p->base);
	free(p->config_dir);
	free(p->init_path);
	free(p->proxy_path);
	free(p->upstream);
	free(p->ports_path);
	spec_ports_clear(&p->ports);
	supervise_credentials_clear(&p->credentials);
	box_config_free(p->config);
	*p = (struct params){ 0 };
}

/* --- the grandchild -------------------------------------------------------------------------- */

struct launch {
	int exe;
	int fds[SUPERVISOR_FD_END]; /* what goes to 3, 4, ... */
	int null_fd;
	int ready_fd; /* never moved: for a failure before exec */
};

/* A caller that is protected from the OOM killer does not pass that on. */
static void reset_oom(void)
{
	auto_close int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	char score[16] = "";

	if (fd >= 0 && pread(fd, score, sizeof(score) - 1, 0) > 0 && score[0] == '-' &&
	    pwrite(fd, "0", 1, 0) < 0)
		errno = 0; /* raising is always allowed; nothing to do about it otherwise */
}

/* Signals as a fresh process has them: the client may have been started with some ignored. */
static void reset_process(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(077);
	personality(0);
	/* Not 0: for that value a core_pattern with a program still runs it, as the host's root. */
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 1, 1 });
}

static int place_fds(struct launch *l)
{
	int high[SUPERVISOR_FD_END];

	for (int i = 3; i < SUPERVISOR_FD_END; i++) {
		high[i] = fcntl(l->fds[i], F_DUPFD_CLOEXEC, 32);
		if (high[i] < 0)
			return -errno;
	}
	l->ready_fd = high[SUPERVISOR_FD_READY];
	l->exe = fcntl(l->exe, F_DUPFD_CLOEXEC, 32);
	l->null_fd = fcntl(l->null_fd, F_DUPFD_CLOEXEC, 32);
	if (l->exe < 0 || l->null_fd < 0)
		return -errno;
	for (int i = 0; i < 3; i++) {
		if (dup2(l->null_fd, i) < 0)
			return -errno;
	}
	for (int i = 3; i < SUPERVISOR_FD_END; i++) {
		if (dup2(high[i], i) < 0)
			return -errno;
	}
	if (syscall(SYS_close_range, (unsigned)SUPERVISOR_FD_END, ~0U, 4U) < 0)
		return -errno;
	return 0;
}

static _Noreturn void grandchild(struct launch *l)
{
	static char name[] = SUPERVISE_ARGV0;
	char *argv[] = { name, NULL };
	char *env[] = { NULL };
	struct err e = ERR_INIT;
	int r;

	reset_process();
	reset_oom();
	r = chdir("/") < 0 ? -errno : place_fds(l);
	if (r == 0) {
		syscall(SYS_execveat, l->exe, "", argv, env, AT_EMPTY_PATH);
		r = -errno;
	}
	err_set(&e, ERR_SYSTEM, r, "supervisor: %s", strerror(-r));
	if (write(l->ready_fd, &e, sizeof(e)) < 0)
		_exit(126);
	_exit(125);
}

static int spawn(struct launch *l, struct err *e)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return err_sys(e, "supervisor: fork");
	if (pid == 0) {
		pid_t inner;

		if (setsid() < 0)
			_exit(125);
		inner = fork();
		if (inner == 0)
			grandchild(l);
		_exit(inner < 0 ? 125 : 0);
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return err_sys(e, "supervisor: wait");
	}
	if (status != 0)
		return err_set(e, ERR_SYSTEM, -EAGAIN, "supervisor: cannot be started");
	return 0;
}

static int wait_ready(int fd, struct err *e)
{
	struct err answer = ERR_INIT;
	ssize_t n;

	do {
		n = read(fd, &answer, sizeof(answer));
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(answer))
		return err_set(e, ERR_SYSTEM, -EPIPE, "the supervisor ended without a word");
	answer.message[ERR_MESSAGE_MAX - 1] = '\0';
	answer.hint[ERR_HINT_MAX - 1] = '\0';
	if (answer.code < 0 && e)
		*e = answer;
	return answer.code < 0 ? answer.code : 0;
}

int supervise_start(const struct supervise_params *p, int lock_fd, struct err *e)
{
	auto_buf text = BUF_INIT;
	auto_close int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	auto_close int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	auto_close int exe = -1;
	auto_close int params = -1;
	auto_close int run_dir = -1;
	int ready[2];
	struct launch l;
	int r;

	if (self < 0 || null_fd < 0)
		return err_sys(e, "supervisor");
	params_write(p, &text);
	r = fs_seal_copy(self, SUPERVISE_ARGV0, &exe, e);
	if (r == 0)
		r = fs_sealed_memfd("ward-params", text.data, text.len, &params, e);
	if (r == 0)
		r = state_run_dir(p->sandbox, &run_dir, e);
	if (r < 0)
		return r;
	if (pipe2(ready, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	l = (struct launch){ .exe = exe, .null_fd = null_fd, .ready_fd = ready[1] };
	l.fds[SUPERVISOR_FD_LOCK] = lock_fd;
	l.fds[SUPERVISOR_FD_DIR] = p->sandbox->dirfd;
	l.fds[SUPERVISOR_FD_RUN] = run_dir;
	l.fds[SUPERVISOR_FD_READY] = ready[1];
	l.fds[SUPERVISOR_FD_PARAMS] = params;
	r = spawn(&l, e);
	close(ready[1]);
	if (r == 0)
		r = wait_ready(ready[0], e);
	close(ready[0]);
	return r;
}
