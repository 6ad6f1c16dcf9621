/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_main: the main program of the helpers that touch images' bytes, ward-registry and
 * ward-image.  `ward` starts one for one job; image.h tells the protocol.  Each has its own table
 * of verbs, needs libraries that `ward` must not load, and is confined to its job.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "image/image_internal.h"

void image_event_send(const char *event, struct json *j)
{
	auto_json owned = j;
	auto_buf line = BUF_INIT;

	json_set_string(owned, "event", event);
	json_write(owned, false, &line);
	buf_putc(&line, '\n');
	if (fs_write_all(STDOUT_FILENO, line.data, line.len) < 0)
		_exit(1);
}

static void send_error(const struct err *e)
{
	struct json *j = json_object();

	json_set_uint(j, "kind", (uint64_t)e->kind);
	json_set_int(j, "code", e->code);
	json_set_string(j, "message", e->message);
	json_set_string(j, "hint", e->hint);
	image_event_send("error", j);
}

/* It never outlives who started it, and leaves no core with credentials in it. */
static int tie(struct err *e)
{
	spawn_die_with_parent(STDOUT_FILENO);
	if (prctl(PR_SET_DUMPABLE, 0) != 0 || setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }) != 0)
		return err_sys(e, "image helper: cannot set itself up");
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

static int run(const char *verb, struct json **ret, struct err *e)
{
	auto_buf text = BUF_INIT;
	auto_json request = NULL;
	int r = tie(e);

	if (r == 0)
		r = fs_read_sealed(STDIN_FILENO, IMAGE_REQUEST_MAX, &text, e);
	if (r == 0)
		r = json_parse(buf_str(&text), text.len, &request, e);
	if (r < 0)
		return r;
	for (const struct image_verb *v = image_verbs; v->name; v++) {
		if (strcmp(v->name, verb) == 0)
			return v->run(request, ret, e);
	}
	return err_set(e, ERR_USAGE, -EINVAL, "image helper: unknown verb");
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct json *result = NULL;

	fs_fill_stdio();
	/* It may have been executed through a descriptor, whose number is no name. */
	if (argc > 0)
		(void)prctl(PR_SET_NAME, argv[0]);
	if (run(argc > 1 ? argv[1] : "", &result, &e) < 0) {
		send_error(&e);
		return 1;
	}
	image_event_send("result", result ? result : json_object());
	return 0;
}
