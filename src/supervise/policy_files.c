/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_files: the rules of a running box follow the policy files.
 *
 * The supervisor joins the files with what the sandbox was made with, at the start and whenever one
 * of them changes: inotify tells of changes by any program, CONTROL_POLICY asks for a look at once
 * (and works without an inotify instance, of which a user has few).  Both do the same: read
 * everything, compare, give the proxy a new set.  A file that is bad changes nothing: the box keeps
 * the rules that it has, and whoever asks is told why.
 *
 * Editors replace files in several steps, so that an event is looked at a moment later: a file that
 * is gone for that moment must not cut connections.
 *
 * The configuration directory is opened before the supervisor confines itself, and is what it may
 * read afterwards; when policy.yaml is a link, so may the directory that it leads to, unless that
 * is one in which everything of the user lies.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "supervise/supervise_internal.h"

enum { SETTLE_MS = 30, EVENT_BYTES = 4096 };
#define EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR)

/* *ret_changed: the set is another one. */
static int join(struct supervisor *sup, bool *ret_changed, struct err *e)
{
	const struct params *p = &sup->params;
	auto_free char *text = NULL;
	int r = spec_rules_text(&p->base, p->config_dir, p->sandbox.dir, &text, e);

	free(steal(&sup->policy.problem));
	if (r < 0) {
		sup->policy.problem = xstrdup(e ? e->message : "?");
		return r;
	}
	*ret_changed = !sup->rules || strcmp(sup->rules, text) != 0;
	if (*ret_changed) {
		free(sup->rules);
		sup->rules = steal(&text);
	}
	return 0;
}

int policy_files_reload(struct supervisor *sup, struct err *e)
{
	bool changed = false;
	int r = join(sup, &changed, e);

	if (r == 0 && changed)
		proxy_child_rules(sup);
	return r;
}

static void on_settled(void *arg)
{
	struct supervisor *sup = arg;
	struct err e = ERR_INIT;

	sup->policy.timer = NULL;
	if (policy_files_reload(sup, &e) < 0)
		supervisor_note(sup, "policy: the rules stay as they were: %s", e.message);
}

/* Is it about one of the files? */
static bool concerns(const struct policy_files *f, const struct inotify_event *ev)
{
	if (ev->mask & IN_Q_OVERFLOW)
		return true;
	return ev->len && (strcmp(ev->name, SPEC_POLICY_FILE) == 0 ||
			   (f->target && strcmp(ev->name, f->target) == 0));
}

static void on_events(int fd, uint32_t events, void *arg)
{
	struct supervisor *sup = arg;
	_Alignas(struct inotify_event) char bytes[EVENT_BYTES];
	ssize_t n = read(fd, bytes, sizeof(bytes));
	bool look = false;

	(void)events;
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *ev = (const void *)(bytes + at);

		look = look || concerns(&sup->policy, ev);
		at += (ssize_t)(sizeof(*ev) + ev->len);
	}
	if (look && !sup->policy.timer)
		sup->policy.timer = loop_after(sup->loop, SETTLE_MS, on_settled, sup);
}

/* Where a link policy.yaml leads: its directory, or the file itself. */
static void open_target(struct supervisor *sup)
{
	struct policy_files *f = &sup->policy;
	auto_free char *path = fs_join(sup->params.config_dir, SPEC_POLICY_FILE);
	auto_free char *real = NULL;
	auto_free char *config = NULL;
	char *slash;

	if (fs_canonical(path, &real, NULL) < 0 ||
	    fs_canonical(sup->params.config_dir, &config, NULL) < 0)
		return;
	slash = strrchr(real, '/');
	if (!slash || slash == real)
		return;
	*slash = '\0';
	if (strcmp(real, config) == 0)
		return;
	f->target = xstrdup(slash + 1);
	if (fs_path_within(sup->params.sandbox.dir, real) || fs_path_within(config, real))
		*slash = '/'; /* the file alone: an edit that replaces it is not seen */
	f->target_fd = open(real, O_PATH | O_CLOEXEC);
}

static int watch_dir(const struct policy_files *f, int fd)
{
	char path[32];

	if (fd < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return inotify_add_watch(f->watch_fd, path, EVENTS) < 0 && errno != ENOTDIR ? -errno : 0;
}

static int watch(struct supervisor *sup)
{
	struct policy_files *f = &sup->policy;
	int r;

	f->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	r = f->watch_fd < 0 ? -errno : watch_dir(f, f->config_fd);
	if (r == 0)
		r = watch_dir(f, f->target_fd);
	if (r == 0)
		r = watch_dir(f, SUPERVISOR_FD_DIR);
	return r == 0 ? loop_add(sup->loop, f->watch_fd, EPOLLIN, on_events, sup, NULL, NULL) : r;
}

int policy_files_open(struct supervisor *sup, struct err *e)
{
	struct policy_files *f = &sup->policy;
	bool changed;
	int r;

	/* It has to be there to be watched, and to be read later. */
	(void)fs_mkdirs(sup->params.config_dir, 0700, NULL);
	f->config_fd = open(sup->params.config_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	open_target(sup);
	r = watch(sup);
	if (r < 0)
		supervisor_note(sup,
				"policy: changes of the files by hand are seen at the next "
				"'ward policy' command only: %s",
				strerror(-r));
	return join(sup, &changed, e);
}
