/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_driver: a running box by hand, for testing supervise/ without the command line.  Not
 * installed.
 *
 *   session_driver start BASE WORKSPACE INIT [PROXY]
 *   session_driver exec BASE [-t] [-i] [-d] [-r] [-u USER] [-w DIR] CMD [ARG...]
 *   session_driver attach BASE [ID] | sessions BASE | info BASE | stop BASE [MS]
 *   session_driver signal BASE ID SIGNO | out BASE PATH | in BASE PATH
 *
 * BASE holds the sandbox (box/) and its runtime directory (driver/).  Without PROXY the driver
 * itself plays a proxy that refuses every connection.  GRACE (seconds) is read from the
 * environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/wire.h"
#include "supervise/supervise.h"

static _Noreturn void fail(const struct err *e)
{
	fprintf(stderr, "session_driver: %s\n", e->message);
	if (e->hint[0])
		fprintf(stderr, "hint: %s\n", e->hint);
	exit(e->code == -ENOENT ? 127 : e->code == -EACCES || e->code == -ENOEXEC ? 126 : 125);
}

static int tiny_proxy(void)
{
	static struct wire_msg m;

	while (wire_recv(3, &m) == 1) {
		if (m.h.type == PROXY_WIRE_GO)
			wire_send(3, PROXY_WIRE_READY, 0, NULL, 0, NULL, 0);
		wire_msg_clear(&m);
	}
	return 0;
}

static struct sandbox sandbox_at(const char *base)
{
	struct sandbox s = { .id = xstrdup("driver") };
	struct err e = ERR_INIT;

	s.dir = fs_join(base, "box");
	s.run_dir = fs_join(base, s.id);
	if (fs_mkdirs(s.dir, 0700, &e) < 0)
		fail(&e);
	s.dirfd = open(s.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return s;
}

static struct box_config *config_of(const struct sandbox *s, const char *workspace)
{
	struct box_config *c = box_config_new();
	struct err e = ERR_INIT;
	struct stat st;

	c->spec = spec_new();
	c->spec->id = xstrdup("0123456789abcdef0123456789abcdef");
	c->spec->name = xstrdup("driver");
	c->spec->agent = xstrdup("shell");
	c->spec->tmpl.ref = xstrdup("host");
	c->dir = xstrdup(s->dir);
	c->hostname = xstrdup("driver");
	c->home = xstrdup("/home/agent");
	c->proxy_port = 3128;
	if (stat(workspace, &st) < 0) {
		err_sys(&e, "%s", workspace);
		fail(&e);
	}
	c->spec->workspaces = xcalloc(1, sizeof(*c->spec->workspaces));
	c->spec->nworkspaces = 1;
	c->spec->workspaces[0] = (struct spec_workspace){ .path = xstrdup(workspace),
							  .dev = st.st_dev,
							  .ino = st.st_ino };
	if (box_ids_detect(st.st_uid, st.st_gid, &c->ids, &e) < 0 || box_host_binds(c, &e) < 0)
		fail(&e);
	return c;
}

static int do_start(const struct sandbox *s, char **argv)
{
	struct err e = ERR_INIT;
	char self[4096] = "", fixed[] = "";
	const struct spec_ports no_ports = { 0 };
	const char *grace = getenv("GRACE");
	struct supervise_params p = { .sandbox = s,
				      .rules = &(struct spec_rules_base){ .fixed = fixed },
				      .config_dir = s->dir,
				      .name = "driver",
				      .init_path = argv[1] };
	struct box_config *c = config_of(s, argv[0]);
	int lock = -1;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 125;
	p.config = c;
	p.proxy_path = argv[2] ? argv[2] : self;
	p.ports_path = self;
	p.ports = &no_ports;
	/* A sandbox exists exactly when it has one. */
	if (fs_replace_at(s->dirfd, "spec.json", "{}", 2, 0600, false, &e) < 0)
		fail(&e);
	if (grace && text_u64(grace, 86400, &p.grace_seconds) < 0)
		return 2;
	if (state_lock(s, &lock, &e) < 0 || supervise_start(&p, lock, &e) < 0)
		fail(&e);
	box_config_free(c);
	return 0;
}

static int finish(int fd, const struct relay_options *o)
{
	struct err e = ERR_INIT;
	struct relay_result r = { 0 };

	if (relay_run(fd, o, &r, &e) < 0)
		fail(&e);
	json_unref(r.refused);
	if (r.end == RELAY_DETACHED)
		fprintf(stderr, "detached\n");
	if (r.end == RELAY_LOST)
		fprintf(stderr, "lost\n");
	return r.end == RELAY_EXITED ? r.exit_code : r.end == RELAY_LOST ? 125 : 0;
}

static int do_exec(int fd, int argc, char **argv)
{
	struct spec_session s = { .kind = SPEC_SESSION_EXEC };
	struct relay_options o = { 0 };
	struct winsize w = { 0 };
	struct err e = ERR_INIT;
	bool detach = false;
	uint32_t id = 0;
	int c;

	while ((c = getopt(argc, argv, "+tidru:w:a")) != -1) {
		if (c == 't')
			s.tty = o.tty = true;
		else if (c == 'i')
			s.interactive = o.interactive = true;
		else if (c == 'd')
			detach = true;
		else if (c == 'r')
			o.raw_tty = true;
		else if (c == 'u')
			s.user = xstrdup(optarg);
		else if (c == 'a')
			s.kind = SPEC_SESSION_AGENT;
		else if (c == 'w')
			s.cwd = xstrdup(optarg);
		else
			return 2;
	}
	for (int i = optind; i < argc; i++)
		strv_add(&s.argv, argv[i]);
	if (s.tty && ioctl(0, TIOCGWINSZ, &w) == 0) {
		s.rows = w.ws_row;
		s.cols = w.ws_col;
	}
	if (!s.cwd)
		s.cwd = xstrdup("/");
	strv_add(&s.env, "TERM=xterm-256color");
	if (control_start(fd, &s, detach, &id, &e) < 0)
		fail(&e);
	if (detach) {
		printf("%u\n", id);
		return 0;
	}
	return finish(fd, &o);
}

static int show(struct json *j)
{
	auto_buf b = BUF_INIT;

	json_write(j, true, &b);
	fputs(buf_str(&b), stdout);
	json_unref(j);
	return 0;
}

static int do_client(int fd, const char *verb, int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct json *j = NULL;
	uint64_t id = 0;
	uint64_t n = 0;
	uint32_t got;
	int r = 0;

	if (strcmp(verb, "attach") == 0) {
		struct relay_options o = { .tty = isatty(0) == 1, .interactive = true };

		if (argc > 1 && text_u64(argv[1], UINT32_MAX, &id) < 0)
			return 2;
		r = control_attach(fd, (uint32_t)id, &got, &e);
		if (r == 0)
			return finish(fd, &o);
	} else if (strcmp(verb, "sessions") == 0) {
		r = control_sessions(fd, &j, &e);
	} else if (strcmp(verb, "info") == 0) {
		r = control_info(fd, &j, &e);
	} else if (strcmp(verb, "stop") == 0) {
		if (argc > 1 && text_u64(argv[1], UINT32_MAX, &n) < 0)
			return 2;
		r = control_stop(fd, argc > 1 ? (unsigned)n : 2000, &e);
	} else if (strcmp(verb, "signal") == 0 && argc > 2) {
		if (text_u64(argv[1], UINT32_MAX, &id) < 0 || text_u64(argv[2], 64, &n) < 0)
			return 2;
		r = control_signal(fd, (uint32_t)id, (int)n, &e);
	} else if (strcmp(verb, "out") == 0 && argc > 1) {
		r = control_copy_out(fd, argv[1], COPY_AS_ROOT, 1, &e);
	} else if (strcmp(verb, "in") == 0 && argc > 1) {
		r = control_copy_in(fd, argv[1], COPY_AS_ROOT, 0, &e);
	} else {
		return 2;
	}
	if (r < 0)
		fail(&e);
	return j ? show(j) : 0;
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct sandbox s;
	int fd = -1;

	if (strcmp(argv[0], SUPERVISE_ARGV0) == 0)
		return supervisor_main(argc, argv);
	if (strcmp(argv[0], "ward-proxy") == 0)
		return tiny_proxy();
	if (argc < 3)
		return 2;
	s = sandbox_at(argv[2]);
	if (strcmp(argv[1], "start") == 0)
		return argc < 5 ? 2 : do_start(&s, argv + 3);
	if (control_connect(&s, &fd, &e) < 0)
		fail(&e);
	if (strcmp(argv[1], "exec") == 0)
		return do_exec(fd, argc - 2, argv + 2);
	return do_client(fd, argv[1], argc - 2, argv + 2);
}
