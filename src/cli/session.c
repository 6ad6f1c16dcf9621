/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session: what a program in a sandbox is given by the command line, and how its end is reported.
 *
 * Environment, later entries winning: the caller's terminal and locale variables, the kit's, with
 * --credentials host the caller's keys for the agent, those given when the sandbox was made, those
 * of this command line.  The engine puts its own below.  The caller's are handed on apart, because
 * they are adjusted to what the sandbox knows.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

enum { ENV_FILE_MAX = 1 << 20, TERM_VALUE_MAX = 128, ROWS = 24, COLS = 80 };

/* Describe the terminal and the user's language; nothing else of the environment goes in. */
static const char *const terminal_names[] = {
	"TERM",	    "COLORTERM",  "LANG",	    "LANGUAGE",	   "LC_ALL",
	"LC_CTYPE", "LC_COLLATE", "LC_MESSAGES",    "LC_MONETARY", "LC_NUMERIC",
	"LC_TIME",  "LC_PAPER",	  "LC_MEASUREMENT", "TZ",	   "NO_COLOR",
};

/* Plain words only: these values reach programs that look up files by them. */
static bool harmless(const char *value)
{
	size_t n = strlen(value);

	for (size_t i = 0; i < n; i++) {
		if (value[i] <= ' ' || value[i] > '~')
			return false;
	}
	return n > 0 && n <= TERM_VALUE_MAX && !strstr(value, "..") && value[0] != '/' &&
	       value[0] != ':';
}

static int read_env_file(const char *path, struct strv *ret, struct err *e)
{
	auto_buf text = BUF_INIT;
	auto_free char *shown = text_escaped(path);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r;

	if (fd < 0)
		return err_sys(e, "--env-file %s", shown);
	r = fs_read_fd(fd, ENV_FILE_MAX, &text, e);
	if (r < 0)
		return err_prefix(e, "--env-file %s", shown);
	return envfile_parse(buf_str(&text), text.len, shown, environ, ret, e);
}

int cli_given_env(struct cli *c, struct strv *ret, struct err *e)
{
	auto_strv env = STRV_INIT;
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->v.env_file.n; i++)
		r = read_env_file(c->v.env_file.v[i], &env, e);
	for (size_t i = 0; r == 0 && i < c->v.env.n; i++) {
		r = envfile_parse_one(c->v.env.v[i], environ, &env, e);
		if (r < 0)
			err_prefix(e, "option --env");
	}
	if (r < 0)
		return r;
	strv_extend(ret, &env);
	return 0;
}

static void put_all(struct strv *env, const struct strv *more)
{
	for (size_t i = 0; i < more->n; i++) {
		size_t n = strcspn(more->v[i], "=");
		auto_free char *name = xstrndup(more->v[i], n);

		if (more->v[i][n] == '=')
			strv_env_set(env, name, more->v[i] + n + 1);
	}
}

int cli_session_env(struct cli *c, const struct spec *s, const struct kit *k, struct strv *ret,
		    struct err *e)
{
	auto_strv given = STRV_INIT;
	int r = cli_given_env(c, &given, e);

	if (r < 0)
		return r;
	if (c->engine.config)
		put_all(ret, &c->engine.config->env);
	if (k)
		put_all(ret, &k->env);
	if (k && s->credentials == SPEC_CREDENTIALS_HOST)
		engine_host_keys(k, ret);
	put_all(ret, &s->env);
	put_all(ret, &given);
	return 0;
}

void cli_caller_env(struct strv *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(terminal_names); i++) {
		const char *value = getenv(terminal_names[i]);

		if (value && harmless(value))
			strv_env_set(ret, terminal_names[i], value);
	}
}

void cli_say_credentials(const struct cli *c, const struct spec *s, const struct kit *k)
{
	auto_strv files = STRV_INIT;
	auto_strv keys = STRV_INIT;
	auto_buf list = BUF_INIT;
	struct stat st;

	if (s->credentials != SPEC_CREDENTIALS_HOST)
		return;
	engine_host_files(k, c->engine.paths.home, &files);
	engine_host_keys(k, &keys);
	for (size_t i = 0; i + 1 < files.n; i += 2)
		if (stat(files.v[i + 1], &st) == 0)
			buf_printf(&list, "%s~/%s", list.len ? ", " : "", files.v[i]);
	for (size_t i = 0; i < keys.n; i++)
		buf_printf(&list, "%s%.*s", list.len ? ", " : "", (int)strcspn(keys.v[i], "="),
			   keys.v[i]);
	term_note(c, "credentials from this machine: %s",
		  list.len ? buf_str(&list) : "none were found");
}

void cli_session_size(struct spec_session *s)
{
	struct winsize w;

	s->rows = ROWS;
	s->cols = COLS;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &w) < 0)
		return;
	if (w.ws_row && w.ws_col) {
		s->rows = w.ws_row;
		s->cols = w.ws_col;
	}
}

int cli_check_args(const struct strv *args, struct err *e)
{
	for (size_t i = 0; i < args->n; i++) {
		if (!text_is_utf8(args->v[i], strlen(args->v[i]))) {
			auto_buf shown = BUF_INIT;

			text_escape(&shown, args->v[i], strlen(args->v[i]), 60);
			return err_set(e, ERR_USAGE, -EILSEQ, "argument '%s' is not UTF-8",
				       buf_str(&shown));
		}
	}
	return 0;
}

int cli_start(struct cli *c, const struct sandbox *box, bool *ret_started, struct err *e)
{
	bool socket = false;
	int r = c->ops->start(&c->engine, box, ret_started, e);

	if (r == 0 && *ret_started && box->spec &&
	    json_get_bool(box->spec, "docker_socket", &socket) == 0 && socket)
		term_warn(
			"--mount-docker-socket: this gives the agent control of the Docker engine, "
			"which is root on this machine");
	if (r == 0 && *ret_started)
		cli_say_ports(c, box);
	return r;
}

enum { REFUSED_SHOWN = 10 };
enum { EXEC_WAIT_MS = 20000, EXEC_POLL_MS = 20 };

/*
 * The box may end between start and exec: it was idle for long, or somebody else stops it.  Then it
 * is waited for and started again; nothing was started that could be started twice.
 */
int cli_exec(struct cli *c, struct sandbox *box, struct spec_session *session, bool detach,
	     const struct engine_term *t, uint32_t *ret_id, struct engine_result *ret,
	     struct err *e)
{
	for (int waited = 0;; waited += EXEC_POLL_MS) {
		bool started = false;
		int r = c->ops->exec(&c->engine, box, session, detach, t, ret_id, ret, e);

		if ((r != -ENOTCONN && r != -ESHUTDOWN) || waited >= EXEC_WAIT_MS)
			return r;
		nanosleep(&(struct timespec){ .tv_nsec = EXEC_POLL_MS * 1000000L }, NULL);
		*e = ERR_INIT;
		r = cli_start(c, box, &started, e);
		if (r < 0) {
			/* Not the program is missing, but its sandbox. */
			if (e->kind == ERR_NOT_FOUND)
				e->kind = ERR_CONFLICT;
			return r;
		}
	}
}

/* --- what was refused ------------------------------------------------------------------------ */

static const char *member(const struct json *j, const char *key)
{
	const char *text;

	return json_get_string(j, key, &text) == 0 ? text : "";
}

/* How much of a command is in front of its one rule; 0: it has more than that. */
static size_t before_rule(const char *command)
{
	const char *last = strrchr(command, ' ');

	return last && !strpbrk(command, "'\"\\") ? (size_t)(last - command) : 0;
}

/* Rules that one command can take are in one command. */
static void tell_hints(const struct cli *c, const struct json *refused)
{
	auto_strv commands = STRV_INIT;

	for (size_t i = 0; i < json_len(refused); i++) {
		const char *hint = member(json_at(refused, i), "hint");
		size_t n = before_rule(hint), k = 0;

		while (k < commands.n && (n == 0 || strncmp(commands.v[k], hint, n + 1) != 0 ||
					  before_rule(commands.v[k]) == 0))
			k++;
		if (!hint[0])
			continue;
		if (k == commands.n) {
			strv_add(&commands, hint);
		} else {
			char *longer = xasprintf("%s%s", commands.v[k], hint + n);

			free(commands.v[k]);
			commands.v[k] = longer;
		}
	}
	for (size_t i = 0; i < commands.n; i++)
		term_hint(c, "%s", commands.v[i]);
}

/* For eyes only: what a script reads must not depend on what happened meanwhile. */
static void tell_refused(const struct cli *c, const char *name, const struct json *refused)
{
	size_t n = json_len(refused);

	if (n == 0 || c->v.quiet || !isatty(STDERR_FILENO))
		return;
	for (size_t i = 0; i < n && i < REFUSED_SHOWN; i++) {
		const struct json *j = json_at(refused, i);
		auto_buf times = BUF_INIT;
		uint64_t count = 1;

		(void)json_get_uint(j, "count", &count);
		if (count > 1)
			buf_printf(&times, " (%llu times)", (unsigned long long)count);
		term_note(c, "denied: %s%s: %s", member(j, "target"), buf_str(&times),
			  member(j, "reason"));
	}
	if (n > REFUSED_SHOWN)
		term_note(c, "and others: 'ward policy log --denied %s' tells all", name);
	tell_hints(c, refused);
}

/* --- the end ----------------------------------------------------------------------------------
 */

static int end_code(struct cli *c, const struct sandbox *s, uint32_t id,
		    const struct engine_result *r)
{
	const char *name = cli_sandbox_name(s);

	if (r->lost) {
		struct err e = ERR_INIT;

		err_set(&e, ERR_CONFLICT, -EPIPE, "sandbox '%s': it was stopped", name);
		term_error(&e);
		return CLI_EXIT_FAILED;
	}
	if (r->detached) {
		if (!c->v.quiet && isatty(STDERR_FILENO))
			term_newline(); /* the program's own line is not finished */
		term_note(c, "detached; 'ward attach %s %u' goes back", name, (unsigned)id);
		return CLI_EXIT_OK;
	}
	if (r->hung_up) {
		if (isatty(STDERR_FILENO))
			term_newline();
		return r->exit_code;
	}
	if (r->output_error) {
		struct err e = ERR_INIT;

		err_set(&e, ERR_SYSTEM, r->output_error, "standard output: %s",
			strerror(-r->output_error));
		term_error(&e);
		return CLI_EXIT_FAILED;
	}
	return r->exit_code;
}

int cli_session_end(struct cli *c, const struct sandbox *s, uint32_t id, struct engine_result *r)
{
	int code = end_code(c, s, id, r);

	tell_refused(c, cli_sandbox_name(s), r->refused);
	json_unref(steal(&r->refused));
	return code;
}

void cli_end_text(const struct json *session, const char *agent, const char *sandbox,
		  struct buf *out)
{
	uint64_t id = 0;
	int64_t at = 0, code = 0;
	const char *ended = NULL;
	char ago[32] = "";

	(void)json_get_uint(session, "id", &id);
	if (json_get_string(session, "ended_at", &ended) == 0 &&
	    text_parse_rfc3339(ended, &at) == 0)
		text_ago(at, (int64_t)time(NULL), ago);
	buf_printf(out, "session %u of %s in sandbox '%s' ended", (unsigned)id, agent, sandbox);
	if (ago[0])
		buf_printf(out, " %c%s", tolower((unsigned char)ago[0]), ago + 1);
	if (json_get_int(session, "exit_code", &code) == 0)
		buf_printf(out, " with exit code %d", (int)code);
	else
		buf_puts(out, " with its box");
}

void cli_tell_ended(struct cli *c, const struct sandbox *s, const struct spec *spec,
		    uint32_t except)
{
	auto_json list = NULL;

	/* For eyes only: what a script reads must not depend on what happened before. */
	if (c->v.quiet || !spec || !isatty(STDERR_FILENO) ||
	    c->ops->take_ended(&c->engine, s, &list, NULL) < 0)
		return;
	for (size_t i = 0; i < json_len(list); i++) {
		auto_buf text = BUF_INIT;
		uint64_t id = 0;

		if (json_get_uint(json_at(list, i), "id", &id) < 0 || id == except)
			continue;
		cli_end_text(json_at(list, i), spec->agent, spec->name, &text);
		term_note(c, "%s", buf_str(&text));
	}
}
