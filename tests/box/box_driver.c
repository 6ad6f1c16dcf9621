/* SPDX-License-Identifier: Apache-2.0 */
/*
 * box_driver: makes a box by hand, for testing box/ without a supervisor.  Not installed.
 *
 *   box_driver INIT DIR WORKSPACE [-l LAYER] [-v HOST:INSIDE] [-h HIDE] [-u UID] [-p] [-t] [-R]
 * [CMD]
 *
 * INIT is tiny_init; DIR is where upper, work and home are made.  -p prints the plan, -t the time
 * of box_start, -R removes DIR's contents instead.  The command's descriptors are the caller's own:
 * that is what a real supervisor must never do.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/wire.h"
#include "box/box.h"
#include "box/init_wire.h"

static _Noreturn void fail(const struct err *e)
{
	fprintf(stderr, "box_driver: %s\n", e->message);
	if (e->hint[0])
		fprintf(stderr, "hint: %s\n", e->hint);
	exit(125);
}

static struct box_config *base_config(const char *dir, const char *workspace, struct err *e)
{
	struct box_config *c = box_config_new();
	struct stat st;

	c->spec = spec_new();
	c->dir = xstrdup(dir);
	c->hostname = xstrdup("driver");
	c->home = xstrdup("/home/agent");
	c->proxy_port = 3128;
	if (stat(workspace, &st) < 0) {
		err_sys(e, "%s", workspace);
		fail(e);
	}
	c->spec->workspaces = xcalloc(1, sizeof(*c->spec->workspaces));
	c->spec->nworkspaces = 1;
	c->spec->workspaces[0] = (struct spec_workspace){ .path = xstrdup(workspace),
							  .dev = st.st_dev,
							  .ino = st.st_ino };
	if (box_ids_detect(st.st_uid, st.st_gid, &c->ids, e) < 0)
		fail(e);
	return c;
}

static void add_volume(struct box_config *c, char *text)
{
	char *colon = strchr(text, ':');
	struct spec *s = c->spec;
	struct spec_volume *v;
	struct stat st = { 0 };

	if (!colon)
		exit(2);
	*colon = '\0';
	s->volumes = xrealloc(s->volumes, s->nvolumes + 1, sizeof(*s->volumes));
	v = &s->volumes[s->nvolumes++];
	*v = (struct spec_volume){ .source = xstrdup(text), .target = xstrdup(colon + 1) };
	if (stat(text, &st) == 0) {
		v->is_dir = S_ISDIR(st.st_mode);
		v->dev = st.st_dev;
		v->ino = st.st_ino;
	}
}

static int run_in(struct box *b, long uid, const char *command)
{
	auto_free char *text = xasprintf("%ld %s", uid, command);
	static struct wire_msg m;
	int fds[3] = { 0, 1, 2 };

	if (wire_send(b->init_fd, INIT_WIRE_CONFIG, 0, text, strlen(text) + 1, fds, 3) < 0 ||
	    wire_recv(b->init_fd, &m) <= 0)
		return 125;
	return WIFEXITED((int)m.h.arg) ? WEXITSTATUS((int)m.h.arg) : 128 + WTERMSIG((int)m.h.arg);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct box_plan plan = { 0 };
	struct box box = BOX_INIT;
	struct box_config *c;
	bool print = false;
	bool timing = false;
	bool removing = false;
	long uid = 0;
	double start;
	int init_fd;
	int fd;
	int o;
	int r;

	if (argc < 4)
		return 2;
	c = base_config(argv[2], argv[3], &e);
	optind = 4;
	while ((o = getopt(argc, argv, "+l:v:h:u:ptR")) != -1) {
		if (o == 'l')
			strv_add(&c->layers, optarg);
		else if (o == 'v')
			add_volume(c, optarg);
		else if (o == 'h')
			strv_add(&c->spec->hide, optarg);
		else if (o == 'u')
			uid = strtol(optarg, NULL, 10);
		else if (o == 'p')
			print = true;
		else if (o == 't')
			timing = true;
		else
			removing = true;
	}
	if (removing) {
		fd = open(c->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (box_remove_files(&c->ids, fd, &e) < 0)
			fail(&e);
		return 0;
	}
	if (c->layers.n == 0 && box_host_binds(c, &e) < 0)
		fail(&e);
	if (box_plan_make(c, &plan, &e) < 0)
		fail(&e);
	if (print) {
		auto_buf text = BUF_INIT;

		box_plan_print(&plan, &text);
		fputs(buf_str(&text), stdout);
		return 0;
	}
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fs_seal_copy(fd, "ward-init", &init_fd, &e) < 0)
		fail(&e);
	start = now_ms();
	if (box_start(c, &plan, init_fd, &box, &e) < 0)
		fail(&e);
	if (timing)
		fprintf(stderr, "box_start: %.2f ms, %zu operations\n", now_ms() - start,
			plan.nops);
	r = run_in(&box, uid, optind < argc ? argv[optind] : "exec /bin/sh -i");
	waitpid(box.init_pid, NULL, 0);
	box_clear(&box);
	box_plan_clear(&plan);
	box_config_free(c);
	return r;
}
