/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terminal: the user's terminal while a program of the box has it.
 *
 * Raw mode, and a watchdog: a child in a session of its own that holds the terminal's settings and
 * the modes that the program switched on, and puts everything back when the pipe to it ends without
 * a word, that is when this process was killed.
 *
 * Answers of the terminal to questions that the program asked may still be on their way when it
 * ends; they would be typed at the shell's prompt.  A last question of our own, answered after all
 * others, tells when they are through.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "supervise/supervise_internal.h"

enum { DRAIN_MS = 150 };
static const uint32_t all_is_well = UINT32_MAX;

static void write_reset(int fd, uint32_t modes)
{
	auto_buf text = BUF_INIT;

	output_filter_reset(modes, &text);
	if (text.len)
		(void)fs_write_all(fd, text.data, text.len);
}

static _Noreturn void watchdog(int tty, int pipe_fd, const struct termios *saved)
{
	uint32_t modes = 0;
	uint32_t next;
	ssize_t n;

	setsid(); /* outlive the terminal's signals; settings are then changed without SIGTTOU */
	prctl(PR_SET_NAME, "ward-terminal", 0, 0, 0);
	while ((n = read(pipe_fd, &next, sizeof(next))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n != (ssize_t)sizeof(next))
			break;
		if (next == all_is_well)
			_exit(0);
		modes = next;
	}
	write_reset(tty, modes);
	tcsetattr(tty, TCSAFLUSH, saved);
	_exit(0);
}

static int start_watchdog(struct terminal *t, struct err *e)
{
	sigset_t all;
	sigset_t before;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, "terminal watchdog");
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	t->watch_pid = fork();
	if (t->watch_pid == 0) {
		int tty = fcntl(t->fd, F_DUPFD_CLOEXEC, 10);
		int end = fcntl(p[0], F_DUPFD_CLOEXEC, 11);

		/* Nobody who waits for the end of our output shall wait for the watchdog. */
		if (tty < 0 || end < 0 || dup2(tty, 0) < 0 || dup2(end, 1) < 0)
			_exit(1);
		syscall(SYS_close_range, 2U, ~0U, 0U);
		watchdog(0, 1, &t->saved);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(p[0]);
	if (t->watch_pid < 0) {
		err_sys(e, "terminal watchdog");
		close(p[1]);
		return e->code;
	}
	t->watch_fd = p[1];
	return 0;
}

int terminal_open(int fd, struct terminal *ret, struct err *e)
{
	struct terminal t = TERMINAL_INIT;
	struct termios raw;
	int r;

	t.fd = fd;
	if (tcgetattr(fd, &t.saved) < 0)
		return err_set(e, ERR_USAGE, -ENOTTY, "standard input is not a terminal");
	r = start_watchdog(&t, e);
	if (r < 0)
		return r;
	raw = t.saved;
	cfmakeraw(&raw);
	if (tcsetattr(fd, TCSADRAIN, &raw) < 0) {
		err_sys(e, "terminal");
		terminal_close(&t, 0, false);
		return e->code;
	}
	*ret = t;
	return 0;
}

void terminal_modes(struct terminal *t, uint32_t modes)
{
	if (t->watch_fd >= 0 && write(t->watch_fd, &modes, sizeof(modes)) < 0)
		errno = 0; /* the watchdog was killed: nothing better can be done */
}

static void drain_answers(int fd)
{
	static const char question[] = "\033[5n";
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char tail = 0;

	if (fs_write_all(fd, question, sizeof(question) - 1) < 0)
		return;
	while (poll(&p, 1, DRAIN_MS) == 1) {
		char bytes[256];
		ssize_t n = read(fd, bytes, sizeof(bytes));

		if (n <= 0)
			return;
		for (ssize_t i = 0; i < n; i++) {
			if (tail == '0' && bytes[i] == 'n')
				return;
			tail = bytes[i];
		}
	}
}

void terminal_close(struct terminal *t, uint32_t modes, bool queries)
{
	if (t->fd < 0)
		return;
	if (t->watch_fd >= 0) {
		write_reset(t->fd, modes);
		if (queries)
			drain_answers(t->fd);
	}
	/* Flushes what was typed for a program that is gone. */
	tcsetattr(t->fd, TCSAFLUSH, &t->saved);
	if (t->watch_fd >= 0) {
		terminal_modes(t, all_is_well);
		close(t->watch_fd);
	}
	if (t->watch_pid > 0)
		waitpid(t->watch_pid, NULL, 0);
	*t = TERMINAL_INIT;
}
