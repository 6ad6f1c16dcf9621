/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay: between the user's descriptors 0, 1, 2 and a session.
 *
 * With a terminal: raw mode, so that Ctrl-C and friends travel as bytes and job control happens
 * inside; window size; detach keys.  Without: standard input until its end, and signals that reach
 * this process are passed on, so that `kill` and Ctrl-C do to the program what they would have done
 * to a local one.  Who asks again because the program does not end is not sent the same way twice:
 * after a SIGTERM, or on the third SIGINT in a row, the session is hung up instead.
 *
 * When the terminal is gone, or with it this process was told to go, the session is hung up as
 * well.
 *
 * Output that goes to a terminal passes the output filter, also when the program itself has no
 * terminal.  Writing blocks: a slow reader slows the program.
 *
 * Invariant: at most one input packet is unacknowledged; the terminal is restored on every way out.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

enum { INPUT_MAX = WIRE_PAYLOAD_MAX, KEY_WAIT_MS = 1000, QUERY_RECENT_MS = 3000, NOT_OVER = -1 };
/* Asked for the end so often, a user means it: SIGTERM counts twice. */
enum { ASKED_ENOUGH = 2, ASKED_AGAIN_MS = 2000 };

static const int forwarded[] = { SIGINT,  SIGTERM, SIGHUP,   SIGQUIT,
				 SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT };

struct relay {
	const struct relay_options *o;
	int fd;
	int signal_fd;
	bool reading; /* stdin has more */
	bool eof_sent;
	bool credit; /* the supervisor took the last packet */
	struct buf in;
	struct keys keys;
	struct terminal term;
	struct output_filter filter[2];
	bool filtered[2];
	bool broken[2];	  /* nobody reads that output */
	int output_error; /* why standard output was not all written, else 0 */
	uint32_t modes;
	struct refusals refusals;
	bool reads_keys; /* the program does, one at a time */
	bool midline;	 /* what it printed last did not end a line */
	uint64_t queries;
	int64_t query_at;
	unsigned asked; /* for the end, by signals that were passed on */
	int64_t asked_at;
	bool told; /* by somebody who sent SIGINT or SIGTERM to this very process */
	int end;   /* enum relay_end or NOT_OVER */
	int exit_code;
	struct wire_msg msg;
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Also on descriptors that somebody else made non-blocking. */
static int write_out(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t w = write(fd, bytes, n);

		if (w >= 0) {
			bytes += w;
			n -= (size_t)w;
		} else if (errno == EAGAIN) {
			struct pollfd p = { .fd = fd, .events = POLLOUT };

			poll(&p, 1, -1);
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

static int output_fd(const struct relay *r, uint32_t i)
{
	return r->o->to_stderr ? STDERR_FILENO : (int)i + 1;
}

static void on_output(struct relay *r, uint32_t stream, const char *bytes, size_t n)
{
	auto_buf clean = BUF_INIT;
	uint32_t i = (stream & ~CONTROL_REPLAYED) == 2 ? 1 : 0;
	struct output_filter *f = &r->filter[i];
	int failed;

	if (r->broken[i])
		return;
	/* Nobody waits for the answers: a program without a terminal could not read them, and those
	 * to questions of the past would be typed into whatever reads the terminal now. */
	f->no_queries = !r->o->tty || (stream & CONTROL_REPLAYED);
	if (r->filtered[i]) {
		output_filter_feed(f, bytes, n, &clean);
		if (!r->o->raw_tty) {
			bytes = clean.data;
			n = clean.len;
		}
		if ((r->filter[0].modes | r->filter[1].modes) != r->modes) {
			r->modes = r->filter[0].modes | r->filter[1].modes;
			/* First tell who would have to undo it. */
			terminal_modes(&r->term, r->modes);
		}
		if (f->queries != r->queries) {
			r->queries = f->queries;
			r->query_at = now_ms();
		}
	}
	failed = write_out(output_fd(r, i), bytes, n);
	if (n && r->filtered[i])
		r->midline = bytes[n - 1] != '\n' && bytes[n - 1] != '\r';
	if (failed < 0) {
		/* The program learns it as it would from a pipe of its own. That nobody reads any
		 * more is no failure; a full disk is, and the program may not notice. */
		r->broken[i] = true;
		if (failed != -EPIPE && i == 0)
			r->output_error = failed;
		(void)wire_send(r->fd, CONTROL_CLOSE_OUT, i + 1, NULL, 0, NULL, 0);
	}
}

static void send_size(struct relay *r)
{
	struct winsize w;
	uint16_t size[2];

	if (!r->o->tty || ioctl(0, TIOCGWINSZ, &w) < 0)
		return;
	size[0] = w.ws_row ? w.ws_row : 24;
	size[1] = w.ws_col ? w.ws_col : 80;
	(void)wire_send(r->fd, CONTROL_RESIZE, 0, size, sizeof(size), NULL, 0);
}

static void send_input(struct relay *r)
{
	size_t n = r->in.len < WIRE_PAYLOAD_MAX ? r->in.len : WIRE_PAYLOAD_MAX;

	if (n && r->credit) {
		if (wire_send(r->fd, CONTROL_INPUT, 0, r->in.data, n, NULL, 0) < 0)
			return; /* its end of file comes next */
		r->credit = false;
		buf_consume(&r->in, n);
	}
	if (!r->reading && r->in.len == 0 && !r->eof_sent && r->o->interactive) {
		r->eof_sent = true;
		(void)wire_send(r->fd, CONTROL_EOF, 0, NULL, 0, NULL, 0);
	}
}

static void hang_up(struct relay *r, int signo)
{
	r->end = RELAY_HUNG_UP;
	r->exit_code = 128 + signo;
}

static void on_stdin(struct relay *r)
{
	char bytes[8192];
	ssize_t n = read(0, bytes, sizeof(bytes));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		r->reading = false;
		if (r->o->tty)
			hang_up(r, SIGHUP);
	} else if (r->o->tty) {
		if (keys_feed(&r->keys, bytes, (size_t)n, &r->in))
			r->end = RELAY_DETACHED;
	} else {
		buf_add(&r->in, bytes, (size_t)n);
	}
	send_input(r);
}

/* From the socket of Docker's client (cli/plugin.c), which heard the same as we did. */
static bool is_echo(const struct relay *r, const struct signalfd_siginfo *si)
{
	return si->ssi_code >= POLL_IN && si->ssi_code <= POLL_HUP && r->told;
}

/* Is this the signal of somebody who does not want to wait any longer? */
static bool insists(struct relay *r, int signo)
{
	int64_t now = now_ms();
	bool enough;

	if (signo != SIGINT && signo != SIGTERM)
		return false;
	/* A program may be interrupted often in its life; asked to end it is once. */
	if (r->asked < ASKED_ENOUGH && now - r->asked_at > ASKED_AGAIN_MS)
		r->asked = 0;
	enough = r->asked >= ASKED_ENOUGH;
	r->asked += signo == SIGTERM ? ASKED_ENOUGH : 1;
	r->asked_at = now;
	return enough;
}

static void on_signal(struct relay *r)
{
	struct signalfd_siginfo si;

	while (read(r->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		int32_t signo = (int32_t)si.ssi_signo;

		if (is_echo(r, &si))
			continue;
		r->told = r->told || signo == SIGINT || signo == SIGTERM;
		if (signo == SIGWINCH) {
			send_size(r);
		} else if (signo == SIGCONT) {
			struct termios raw = r->term.saved;

			if (r->term.fd < 0)
				continue;
			cfmakeraw(&raw); /* whoever stopped us had the terminal meanwhile */
			tcsetattr(r->term.fd, TCSADRAIN, &raw);
			send_size(r);
		} else if ((r->o->tty && (signo == SIGHUP || signo == SIGTERM)) ||
			   insists(r, signo)) {
			hang_up(r, signo);
		} else {
			(void)wire_send(r->fd, CONTROL_SIGNAL, 0, &signo, sizeof(signo), NULL, 0);
		}
	}
}

/*
 * A line of our own between those of the program; its parts may come from inside.  A program that
 * has the whole screen does not expect its text to move: there the line lies over the top until it
 * is drawn again.
 */
static void on_notice(struct relay *r, const char *text, size_t n)
{
	bool screen = r->modes & FILTER_ALT_SCREEN;
	auto_buf line = BUF_INIT;

	if (r->o->tty)
		buf_puts(&line, screen ? "\0337\033[H\033[0m" : "\r\n");
	buf_puts(&line, "ward: ");
	text_escape(&line, text, n, WIRE_PAYLOAD_MAX);
	if (r->o->tty)
		buf_puts(&line, screen ? "\0338" : "\r\n");
	else
		buf_putc(&line, '\n');
	(void)write_out(r->o->tty ? 1 : 2, line.data, line.len);
}

/*
 * Of what the policy refused, unless a program draws on the terminal: then they wait until it does
 * not any more, or for the end (cli/session.c).  They are for eyes only, and never in a file.
 */
static void show_refusals(struct relay *r)
{
	auto_buf lines = BUF_INIT;

	if (r->refusals.unshown == 0 || r->o->quiet || r->reads_keys || (r->modes & FILTER_DRAWS) ||
	    isatty(STDERR_FILENO) != 1)
		return;
	if (r->o->tty && r->midline)
		buf_puts(&lines, "\r\n");
	refusals_lines(&r->refusals, r->o->tty ? "\r\n" : "\n", &lines);
	r->midline = false;
	(void)write_out(STDERR_FILENO, lines.data, lines.len);
}

static void on_refused(struct relay *r, const struct wire_msg *m)
{
	r->reads_keys = m->h.arg & CONTROL_KEYS;
	refusals_take(&r->refusals, m->h.arg & (CONTROL_KEYS - 1), m->data, m->len);
	show_refusals(r);
}

static void on_packet(struct relay *r)
{
	struct wire_msg *m = &r->msg;
	int got = wire_recv(r->fd, m);

	/* A reset says that input was left unread; the last packets come all the same. */
	if (got == -EAGAIN || got == -EINTR || got == -ECONNRESET)
		return;
	if (got != 1) {
		r->end = RELAY_LOST;
		return;
	}
	switch (m->h.type) {
	case CONTROL_OUTPUT:
		on_output(r, m->h.arg, m->data, m->len);
		show_refusals(r);
		break;
	case CONTROL_REFUSED:
		on_refused(r, m);
		break;
	case CONTROL_NO_KEYS:
		r->reads_keys = false;
		show_refusals(r);
		break;
	case CONTROL_ACK:
		r->credit = true;
		send_input(r);
		break;
	case CONTROL_NOTICE:
		on_notice(r, m->data, m->len);
		break;
	case CONTROL_EXITED:
		r->end = RELAY_EXITED;
		r->exit_code = (int)(m->h.arg & 0xff);
		break;
	default:
		break;
	}
	wire_msg_clear(m);
}

static void loop(struct relay *r)
{
	while (r->end == NOT_OVER) {
		struct pollfd p[3] = {
			{ .fd = r->fd, .events = POLLIN },
			{ .fd = r->signal_fd, .events = POLLIN },
			{ .fd = r->reading && r->in.len < INPUT_MAX ? 0 : -1, .events = POLLIN },
		};
		int n = poll(p, 3, r->keys.nheld ? KEY_WAIT_MS : -1);

		if (n == 0) {
			keys_flush(&r->keys, &r->in);
			send_input(r);
		}
		if (n <= 0)
			continue;
		if (p[1].revents)
			on_signal(r);
		if (r->end == NOT_OVER && p[0].revents)
			on_packet(r);
		if (r->end == NOT_OVER && p[2].revents)
			on_stdin(r);
	}
}

/* Say what the end of the connection will mean. */
static void leave(struct relay *r)
{
	if (r->end == RELAY_DETACHED || r->end == RELAY_HUNG_UP)
		(void)wire_send(r->fd, CONTROL_LEAVE,
				r->end == RELAY_DETACHED ? CONTROL_LEAVE_DETACH
							 : CONTROL_LEAVE_HANG_UP,
				NULL, 0, NULL, 0);
}

static int set_up(struct relay *r, sigset_t *before, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	/* An output that nobody reads is reported by write(2), not by our death. */
	sigaddset(&set, SIGPIPE);
	if (sigprocmask(SIG_BLOCK, &set, before) < 0)
		return err_sys(e, "signal mask");
	sigdelset(&set, SIGPIPE);
	r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r->signal_fd < 0)
		return err_sys(e, "signalfd");
	for (int i = 0; i < 2; i++) {
		output_filter_init(&r->filter[i]);
		r->filtered[i] = isatty(output_fd(r, (uint32_t)i)) == 1;
	}
	if (keys_parse(r->o->detach_keys, &r->keys) < 0)
		return err_set(e, ERR_USAGE, -EINVAL, "detach keys '%s': not understood",
			       r->o->detach_keys);
	return r->o->tty ? terminal_open(0, &r->term, e) : 0;
}

/* A pending SIGPIPE of ours must not arrive when the mask is put back. */
static void forget_sigpipe(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	while (sigtimedwait(&set, NULL, &(struct timespec){ 0 }) == SIGPIPE)
		;
}

int relay_run(int fd, const struct relay_options *o, struct relay_result *ret, struct err *e)
{
	auto_free struct relay *r = xcalloc(1, sizeof(*r));
	sigset_t before;
	int code;

	r->o = o;
	r->fd = fd;
	r->signal_fd = -1;
	r->reading = o->interactive;
	r->credit = true;
	r->term = TERMINAL_INIT;
	r->end = NOT_OVER;
	code = set_up(r, &before, e);
	if (code == 0) {
		send_size(r);
		loop(r);
		leave(r);
		if (r->term.fd >= 0) {
			terminal_close(&r->term, r->modes,
				       r->queries && now_ms() - r->query_at < QUERY_RECENT_MS);
		} else if (r->modes) {
			auto_buf text = BUF_INIT;

			output_filter_reset(r->modes, &text);
			(void)write_out(r->filtered[0] ? output_fd(r, 0) : STDERR_FILENO, text.data,
					text.len);
		}
		*ret = (struct relay_result){ .end = (enum relay_end)r->end,
					      .exit_code = r->exit_code,
					      .output_error = r->output_error,
					      .refused = refusals_to_json(&r->refusals) };
	}
	refusals_clear(&r->refusals);
	if (r->signal_fd >= 0) {
		close(r->signal_fd);
		forget_sigpipe();
		sigprocmask(SIG_SETMASK, &before, NULL);
	}
	for (int i = 0; i < 2; i++)
		output_filter_clear(&r->filter[i]);
	buf_free(&r->in);
	return code;
}
