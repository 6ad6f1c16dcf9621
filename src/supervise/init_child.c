/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init_child: from init's fork to the program.
 *
 * Order: session and terminal, stdio, the user's ids (the last thing that reads files as root
 * inside), confinement, working directory, descriptors, execve.  What comes after confine_enter has
 * the rights of the user only, so a path chosen by the box cannot reach what the user could not.
 *
 * Invariants: the program starts with exactly the descriptors 0, 1 and 2, in a directory below its
 * root; every failure is one struct err on the report pipe, success is its end of file (close on
 * exec).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

static const char default_path[] =
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
enum { EXIT_CANNOT = 126, EXIT_NOT_FOUND = 127, PATH_BYTES = 4096, ADDED_ENV = 6 };

static _Noreturn void fail(int report_fd, const struct err *e)
{
	if (write(report_fd, e, sizeof(*e)) < 0)
		_exit(EXIT_CANNOT);
	_exit(e->code == -ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT);
}

/* 0, 1 and 2 from wherever they are, without treading on each other. */
static int place_stdio(int stdio[3], struct err *e)
{
	int fd[3];

	for (int i = 0; i < 3; i++) {
		fd[i] = fcntl(stdio[i], F_DUPFD_CLOEXEC, 10);
		if (fd[i] < 0)
			return err_sys(e, "stdio");
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(fd[i], i) < 0)
			return err_sys(e, "stdio");
	}
	return 0;
}

static bool mapped(const struct box_extent *x, uint32_t n, uint32_t id)
{
	for (uint32_t i = 0; i < n && i < BOX_EXTENTS_MAX; i++) {
		if (id >= x[i].inside && id - x[i].inside < x[i].count)
			return true;
	}
	return false;
}

static int choose_user(const struct init_child *c, struct passwd_user *u, struct confine *ret,
		       struct err *e)
{
	auto_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct box_ids *ids = &c->confine->ids;
	int r = root < 0 ? err_sys(e, "/") : passwd_lookup(root, c->request->user, ids, u, e);

	if (r < 0)
		return r;
	if (!mapped(ids->uid, ids->nuid, u->uid) || !mapped(ids->gid, ids->ngid, u->gid)) {
		err_set(e, ERR_REFUSED, -EINVAL, "user %u:%u: this sandbox has no such id", u->uid,
			u->gid);
		return err_hint(e, "a range in /etc/subuid and /etc/subgid gives it all of them");
	}
	*ret = *c->confine;
	ret->uid = u->uid;
	ret->gid = u->gid;
	ret->ngroups = 0;
	for (uint32_t i = 0; i < u->ngroups && ids->mode != BOX_ID_SINGLE; i++) {
		if (mapped(ids->gid, ids->ngid, u->groups[i]) &&
		    ret->ngroups < ARRAY_SIZE(ret->groups))
			ret->groups[ret->ngroups++] = u->groups[i];
	}
	return 0;
}

/* The user must be able to open /dev/stdout and its terminal again, as everywhere else. What
 * belongs to an id that the box does not know stays as it is. */
static void own_stdio(const struct passwd_user *u, bool tty)
{
	for (int i = 0; i < 3; i++) {
		if (fchown(i, u->uid, tty ? (gid_t)-1 : u->gid) < 0)
			continue;
		if (tty)
			break;
	}
}

static int enter_directory(const char *cwd, struct err *e)
{
	char here[PATH_MAX];
	auto_free char *shown = text_escaped(cwd);

	if (strcmp(cwd, "/proc") == 0 || text_starts(cwd, "/proc/"))
		return err_set(e, ERR_REFUSED, -EINVAL, "directory %s: not below /proc", shown);
	if (chdir(cwd) < 0) {
		int code = errno;

		return err_set(e, ERR_INPUT, -EINVAL, "directory %s in the sandbox: %s", shown,
			       strerror(code));
	}
	if (!getcwd(here, sizeof(here)) || here[0] != '/' || text_starts(here, "/proc/"))
		return err_set(e, ERR_REFUSED, -EINVAL, "directory %s: outside of the sandbox",
			       shown);
	return 0;
}

static bool has_env(char *const *env, const char *key)
{
	size_t n = strlen(key);

	for (; *env; env++) {
		if (strncmp(*env, key, n) == 0 && (*env)[n] == '=')
			return true;
	}
	return false;
}

/* An entry of the caller's surroundings, as far as the box knows it. */
static char *fitted(const char *entry)
{
	const char *eq = strchr(entry, '=');
	auto_free char *name = xstrndup(entry, (size_t)(eq - entry));

	return xasprintf("%s=%s", name, surroundings_fit(name, eq + 1));
}

/* The request's environment, and what a login would set when it is absent. */
static char **complete_env(const struct start_request *r, const struct passwd_user *u)
{
	char **env = xcalloc((size_t)r->envc + r->callerc + ADDED_ENV + 1, sizeof(*env));
	size_t n = r->envc;

	if (n)
		memcpy(env, r->env, n * sizeof(*env));
	for (uint32_t i = 0; i < r->callerc; i++) {
		auto_free char *name = xstrndup(r->caller[i], strcspn(r->caller[i], "="));

		if (!has_env(r->env, name))
			env[n++] = fitted(r->caller[i]);
	}
	if (!has_env(env, "LANG"))
		env[n++] = xstrdup("LANG=C.UTF-8");
	if (!has_env(r->env, "PATH"))
		env[n++] = xstrdup(default_path);
	if (!has_env(r->env, "HOME"))
		env[n++] = xasprintf("HOME=%s", u->home[0] ? u->home : "/");
	if (!has_env(r->env, "USER") && u->name[0])
		env[n++] = xasprintf("USER=%s", u->name);
	if (!has_env(r->env, "LOGNAME") && u->name[0])
		env[n++] = xasprintf("LOGNAME=%s", u->name);
	if (!has_env(r->env, "SHELL") && u->shell[0])
		env[n++] = xasprintf("SHELL=%s", u->shell);
	env[n] = NULL;
	return env;
}

static const char *path_of(char *const *env)
{
	for (; *env; env++) {
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	}
	return "";
}

/* One candidate. Remembers in *worst the failure that says most. */
static void try_exec(const char *file, char *const *argv, char *const *env, int *worst)
{
	int code;

	execve(file, argv, env);
	code = errno;
	if ((code == ENOENT || code == ENOTDIR) && access(file, F_OK) == 0)
		code = ELIBBAD; /* it is there; its interpreter or loader is not */
	if (code == ENOENT || code == ENOTDIR)
		return;
	if (*worst == ENOENT || *worst == EACCES)
		*worst = code;
}

static int run(char *const *argv, char *const *env, struct err *e)
{
	const char *p = path_of(env);
	auto_free char *shown = text_escaped(argv[0]);
	int worst = ENOENT;

	if (strchr(argv[0], '/')) {
		try_exec(argv[0], argv, env, &worst);
		p = NULL;
	}
	while (p) {
		const char *colon = strchrnul(p, ':');
		char file[PATH_BYTES];
		int n = snprintf(file, sizeof(file), "%.*s/%s", (int)(colon - p), p, argv[0]);

		/* An empty element would mean the working directory: never searched. */
		if (colon != p && n > 0 && (size_t)n < sizeof(file))
			try_exec(file, argv, env, &worst);
		p = *colon ? colon + 1 : NULL;
	}
	switch (worst) {
	case ENOENT:
		return err_set(e, ERR_NOT_FOUND, -ENOENT, "%s: not found in the sandbox", shown);
	case ELIBBAD:
		return err_set(e, ERR_INPUT, -ENOEXEC,
			       "%s: its interpreter or loader is not in the sandbox", shown);
	case E2BIG:
		return err_set(e, ERR_INPUT, -E2BIG, "%s: arguments and environment are too long",
			       shown);
	default:
		return err_set(e, ERR_INPUT, worst == EACCES ? -EACCES : -ENOEXEC,
			       "%s: cannot be executed: %s", shown, strerror(worst));
	}
}

/* As login(1) starts it: argv[0] is the shell's name with a dash. */
static int run_login_shell(const struct passwd_user *u, char *const *env, struct err *e)
{
	const char *const shells[] = { u->shell, "/bin/bash", "/bin/sh" };
	int worst = ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		const char *slash = strrchr(shells[i], '/');
		auto_free char *name = xasprintf("-%s", slash ? slash + 1 : shells[i]);
		char *argv[] = { name, NULL };

		if (slash)
			try_exec(shells[i], argv, env, &worst);
	}
	return err_set(e, ERR_NOT_FOUND, -ENOENT, "no shell was found in the sandbox");
}

static _Noreturn void run_copy(const struct start_request *r)
{
	struct err e = ERR_INIT;
	int code;

	/* The code below is init's own: programs of the same user shall not look into it. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	code = r->op == START_TAR_OUT ? copy_pack(r->argv[0], 1, &e)
				      : copy_unpack(r->argv[0], r->op == START_TAR_MISSING, 0, &e);
	if (code < 0)
		dprintf(2, "%s\n", e.message);
	_exit(code < 0 ? 1 : 0);
}

_Noreturn void init_child_run(struct init_child *c)
{
	struct err e = ERR_INIT;
	struct passwd_user user;
	struct confine confine;
	char **env;
	int report = fcntl(c->report_fd, F_DUPFD_CLOEXEC, 20);

	if (report < 0)
		_exit(EXIT_CANNOT);
	if (setsid() < 0)
		err_sys(&e, "setsid");
	if (e.code || place_stdio(c->stdio, &e) < 0)
		fail(report, &e);
	if (c->request->tty && ioctl(0, TIOCSCTTY, 0) < 0) {
		err_sys(&e, "controlling terminal");
		fail(report, &e);
	}
	if (choose_user(c, &user, &confine, &e) < 0)
		fail(report, &e);
	own_stdio(&user, c->request->tty);
	if (confine_enter(&confine, c->inner_fd, &e) < 0 ||
	    enter_directory(c->request->cwd, &e) < 0)
		fail(report, &e);
	if (dup3(report, 3, O_CLOEXEC) < 0 || syscall(SYS_close_range, 4U, ~0U, 0U) < 0) {
		err_sys(&e, "descriptors");
		fail(report, &e);
	}
	if (c->request->op != START_EXEC) {
		close(3);
		run_copy(c->request);
	}
	env = complete_env(c->request, &user);
	if (c->request->argc == 0)
		run_login_shell(&user, env, &e);
	else
		run(c->request->argv, env, &e);
	fail(3, &e);
}
