/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervise: the two ends that keep a box running, and the wire between them.
 *
 * Host side, one process per running box: launch.c starts it from a sealed copy of this program,
 * supervisor.c builds the box and owns its life, proxy_child.c keeps its proxy, harden.c confines
 * it, ports.c has the published ports and ports_child.c their relay, control.c serves clients,
 * session*.c own programs, their pty or pipes, their ring of recent output and their clients,
 * recorder.c writes their logs, info.c measures, credentials.c keeps the agent's login the same in
 * the box and outside (credential_rules.c decides, credential_file.c touches the files). Inside,
 * PID 1, static: init.c reaps and starts programs on request, init_child.c is the way from fork to
 * execve, passwd.c knows users, init_sweep.c puts workspaces in order, copy.c packs and unpacks.
 * What it says is untrusted. The user's end: control_client.c makes the calls below, relay.c moves
 * bytes and signals, terminal.c owns the terminal, output_filter.c and keys.c are pure.
 *
 * A client's bytes never reach the box except through a session's pty or pipe; no descriptor of the
 * host ever crosses.
 */
#ifndef WARD_SUPERVISE_SUPERVISE_H
#define WARD_SUPERVISE_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/proxy.h"
#include "box/box.h"
#include "spec/spec.h"
#include "state/state.h"

/* Files that are the same in the agent's home and outside, see credential_rules.c. */
struct supervise_credential {
	char *file;  /* below the home */
	char *store; /* absolute; its directory is the caller's own and exists */
};
struct supervise_credentials {
	bool host; /* the stores are the user's own files, not the agent's volume */
	struct supervise_credential *v;
	size_t n;
};
enum { SUPERVISE_CREDENTIALS_MAX = 16 };
/* In the sandbox's directory: what both sides held when they were last the same. */
#define SUPERVISE_CREDENTIALS_RECORD "credentials.json"
void supervise_credentials_clear(struct supervise_credentials *c);
/* What a crash may leave beside a credential file; owned by the caller. */
char *supervise_credential_temporary(const char *file);

struct supervise_params {
	const struct sandbox *sandbox;
	const struct box_config *config;
	const struct spec_rules_base *rules; /* joined with the policy files by the supervisor */
	const char *config_dir;
	const char *name;	       /* of the sandbox: what refuses says how to allow it there */
	const char *init_path;	       /* libexec/ward/ward-init */
	const char *proxy_path;	       /* libexec/ward/ward-proxy, or ward-proxy-tls */
	const struct proxies *proxies; /* of the user's company; NULL: none */
	const char *ports_path;	       /* libexec/ward/ward-ports */
	const struct spec_ports *ports;
	uint64_t grace_seconds; /* a box with nothing but init ends after this; 0: never */
	struct supervise_credentials credentials;
};
/*
 * Start the supervisor of a stopped sandbox and wait until its box runs. lock_fd: from state_lock;
 * the supervisor keeps it. The supervisor is this program, executed again from a sealed memfd with
 * argv[0] SUPERVISE_ARGV0 in a session of its own; parameters travel as sealed memfds. A failure
 * comes back as the error of whatever failed there.
 */
#define SUPERVISE_ARGV0 "ward-supervisor"
int supervise_start(const struct supervise_params *p, int lock_fd, struct err *e);
/* main() of the two roles. */
int supervisor_main(int argc, char **argv);
int init_main(int argc, char **argv);

/*
 * The published ports of a sandbox as recorded; `initial` when nothing is. Writing is for who holds
 * the life lock.
 */
int supervise_ports_read(const struct sandbox *s, const struct spec_ports *initial,
			 struct spec_ports *ret, struct err *e);
int supervise_ports_write(const struct sandbox *s, const struct spec_ports *p, struct err *e);
/* The error for a port that is not published: ERR_INPUT -ENXIO. */
int supervise_ports_unknown(const struct spec_port *pattern, struct err *e);

/* log/<session>.unseen: the agent ended, and nobody was attached. Whoever tells the user takes it
 * away. */
#define SUPERVISE_UNSEEN "unseen"

/* log/: one JSON object a line for each connection; the older ones in .1 and .2. */
#define SUPERVISE_NETWORK_LOG "network.jsonl"

/* Client calls. A connection serves one request at a time; open one per purpose. */

/* -ENOTCONN when the sandbox does not run. Checks the peer's uid (SO_PEERCRED). */
int control_connect(const struct sandbox *s, int *ret_fd, struct err *e);
/* Start a program. On success the connection is attached to the session *ret_id. A program that
 * cannot be started: ERR_NOT_FOUND -ENOENT (127), -EACCES/-ENOEXEC (126). */
int control_start(int fd, const struct spec_session *s, bool detach, uint32_t *ret_id,
		  struct err *e);
/* Attach to a session (0: the newest agent session that still runs, else the newest). Its recent
 * output comes first. */
int control_attach(int fd, uint32_t id, uint32_t *ret_id, struct err *e);
int control_signal(int fd, uint32_t id, int signo, struct err *e);
/*
 * Wait for the end of the attached session; the last `max` bytes of its output are left in *tail.
 * -ETIMEDOUT after timeout_ms (0: never): it goes on; -ENOTCONN: the box is gone.
 */
int control_wait(int fd, size_t max, uint64_t timeout_ms, struct buf *tail, int *ret_code,
		 struct err *e);
/* JSON array: id, kind, argv, tty, started_at, pid, attached, running, exit_code. */
int control_sessions(int fd, struct json **ret, struct err *e);
/* JSON object of what is in force, measured: namespaces, id mode, seccomp, landlock, capabilities,
 * limits, init pid. */
int control_info(int fd, struct json **ret, struct err *e);
/*
 * Look at the policy files now. ask sends, answer waits until the rules are in force (-ETIMEDOUT
 * after some seconds), so that several boxes can be asked at once. An error is that of a bad file:
 * the box keeps the rules it has.
 */
int control_policy_ask(int fd, struct err *e);
int control_policy_answer(int fd, struct err *e);
/* The published ports. With publish or unpublish (else NULL), after that was done. */
int control_ports(int fd, const struct spec_port *publish, const struct spec_port *unpublish,
		  struct spec_ports *ret, struct err *e);
/* Programs get SIGTERM, after grace_ms SIGKILL through the end of the pid namespace; returns when
 * nothing is left. only_idle: -EBUSY, and nothing happens, when anything runs in it. */
int control_stop(int fd, unsigned grace_ms, bool only_idle, struct err *e);
/*
 * Copy: a tar stream made or unpacked by a confined process inside. out: PATH's tree is written to
 * tar_fd as tar; in: the tar stream from tar_fd is unpacked below PATH (which must be a directory).
 * flags: COPY_*. Runs as the agent unless COPY_AS_ROOT says otherwise.
 */
enum copy_flags {
	COPY_AS_ROOT = 1 << 0, /* as root inside */
	COPY_MISSING = 1 << 1, /* in: what exists stays, and so does what is behind a link */
};
int control_copy_out(int fd, const char *path, unsigned flags, int tar_fd, struct err *e);
int control_copy_in(int fd, const char *path, unsigned flags, int tar_fd, struct err *e);

struct relay_options {
	bool tty;		 /* put the user's terminal into raw mode and forward its size */
	bool interactive;	 /* forward stdin */
	bool raw_tty;		 /* no output filter */
	bool to_stderr;		 /* what the program prints on standard output, too */
	bool quiet;		 /* no line about what the policy refuses */
	const char *detach_keys; /* NULL: "ctrl-p,ctrl-q"; "" : none */
};
enum relay_end {
	RELAY_EXITED,
	RELAY_DETACHED, /* by its keys: the session goes on */
	RELAY_HUNG_UP,	/* the terminal or this process had to go: the session ends, unless it was
			   detached before; exit_code tells the signal */
	RELAY_LOST,	/* the box is gone */
};
struct relay_result {
	enum relay_end end;
	int exit_code;	  /* 0..255; 128+N for a signal */
	int output_error; /* -errno when standard output could not be written, else 0 */
	/* What the network policy refused meanwhile: objects target, reason, hint, count. Owned by
	 * the caller; NULL: nothing. */
	struct json *refused;
};
/*
 * Relay between fds 0, 1, 2 of this process and an attached connection until the program ends, the
 * user detaches, the terminal goes away or the box is gone. Restores the terminal in every case,
 * also when this process is killed (a watchdog child).
 */
int relay_run(int fd, const struct relay_options *o, struct relay_result *ret, struct err *e);
/* Check "ctrl-p,ctrl-q" or "a,b": 0 or -EINVAL. */
int relay_check_keys(const char *keys);

#endif
