/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervise_internal: the two wires of this folder and what its files share.
 *
 * supervisor <-> init: one seqpacket pair.  box/init_wire.h has the first two messages; the rest
 * is here.  Whatever init says is treated as if a program in the box had said it: lengths, session
 * numbers and texts are checked, nothing of it is used as a path or a pid of the host.
 *
 * client <-> supervisor: packets of enum control_wire on <run_dir>/control.  Input is sent one
 * packet at a time and acknowledged when the program took it, so that the supervisor never has to
 * stop listening to a client.  Output is bounded by what a client has taken.
 */
#ifndef WARD_SUPERVISE_SUPERVISE_INTERNAL_H
#define WARD_SUPERVISE_SUPERVISE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/wire.h"
#include "box/box.h"
#include "spec/spec.h"
#include "supervise/supervise.h"

/* --- supervisor <-> init -------------------------------------------------------------------- */

/* INIT_WIRE_CONFIG's payload: struct box_ids, then NUL-terminated paths of writable workspaces. */
enum init_wire {
	/* supervisor -> init */
	INIT_WIRE_START = 16, /* arg: session; fds: request memfd, stdin, stdout, stderr */
	INIT_WIRE_SIGNAL,     /* arg: session; payload: int32_t signal number */
	INIT_WIRE_TERM,	      /* SIGTERM and SIGCONT to every process inside */
	INIT_WIRE_SWEEP,      /* arg: 1 = final */
	INIT_WIRE_LISTENS,    /* arg: a port. Does a program listen there? */
	INIT_WIRE_PORTS,      /* fds[0]: socket to ward-ports, in place of an earlier one */
	INIT_WIRE_PROXY,      /* fds[0]: the same to ward-proxy */
	/* init -> supervisor */
	INIT_WIRE_READY = 3,	/* configured; FAILED with session 0 otherwise */
	INIT_WIRE_STARTED = 32, /* arg: session; payload: uint32_t pid inside, then text: its
				   /proc/PID/status and limits */
	INIT_WIRE_FAILED,	/* arg: session; payload: struct err */
	INIT_WIRE_EXITED,	/* arg: session; payload: int32_t wait status */
	INIT_WIRE_IDLE,		/* arg: START messages seen so far; no process but init is left */
	INIT_WIRE_SWEPT,	/* arg: 1 = final; payload: lines of text */
	INIT_WIRE_BROWSER,	/* payload: what a program asks to open */
	INIT_WIRE_LISTENING,	/* arg: the port, and INIT_LISTENS if one does */
};

#define INIT_LISTENS 0x10000U

enum start_op { START_EXEC, START_TAR_OUT, START_TAR_IN, START_TAR_MISSING, START_OP_MAX };
enum { START_BYTES_MAX = 2 << 20, START_STRINGS_MAX = 32768 };

/* What init runs. The strings point into `bytes`; argv and env are NULL-terminated. */
struct start_request {
	enum start_op op;
	bool tty;
	const char *user; /* "" is the agent */
	const char *cwd;
	char **argv;
	char **env;
	char **caller; /* "K=V" of the caller's terminal and language; see surroundings.c */
	uint32_t argc; /* 0: the user's login shell */
	uint32_t envc;
	uint32_t callerc;
	char *bytes; /* owned */
};
void start_request_write(const struct spec_session *s, enum start_op op, struct buf *out);
/* Copies; -EBADMSG with e for anything but a complete request and nothing behind it. */
int start_request_parse(const void *bytes, size_t n, struct start_request *ret, struct err *e);
void start_request_clear(struct start_request *r);

/* --- terminal and language (surroundings.c) ----------------------------------------------------
 */

/* What TERM, LANG or LC_* is set to where the caller has this value: the value itself (also of any
 * other name) or a static text. Looks at the files of the box. */
const char *surroundings_fit(const char *name, const char *value);
/* A locale's name as glibc stores it: "de_DE.UTF-8@euro" is "de_DE.utf8@euro". Caller frees. */
char *locale_normalised(const char *name);
/* Does an archive of locales, of which `bytes` is the beginning, have that name? */
bool locale_archive_has(const void *bytes, size_t n, const char *name);

/* --- users inside (passwd.c) ------------------------------------------------------------------ */

enum { PASSWD_FILE_MAX = 1 << 20, PASSWD_GROUPS_MAX = 64 };

struct passwd_user {
	uint32_t uid;
	uint32_t gid;
	uint32_t ngroups;
	uint32_t groups[PASSWD_GROUPS_MAX];
	char name[64]; /* "" when the id has no entry */
	char home[1024];
	char shell[256];
};
/*
 * "NAME|UID[:GROUP|GID]" against the texts of passwd and group. A number is an id, not a name.
 * Without a GROUP: the entry's own group and supplementary groups; gid 0 for a number without
 * entry, as Docker does. -ENOENT or -EINVAL with e.
 */
int passwd_resolve(const char *user, const char *passwd, size_t passwd_len, const char *group,
		   size_t group_len, struct passwd_user *ret, struct err *e);
/* The same with the files below root_fd (the root directory of the box); absent files are empty.
 * user "": the agent's ids. */
int passwd_lookup(int root_fd, const char *user, const struct box_ids *ids, struct passwd_user *ret,
		  struct err *e);

/* --- inside: init ------------------------------------------------------------------------------
 */

struct init_child { /* what the child of a session needs */
	const struct start_request *request;
	const struct confine *confine; /* ids and nested; uid, gid and groups are filled here */
	int inner_fd;
	int stdio[3];
	int report_fd;
};
/* After fork: never returns. A failure is one struct err on report_fd and exit 127 or 126. */
_Noreturn void init_child_run(struct init_child *c);

struct sweep_dir { /* a writable workspace, opened before the first program ran */
	int fd;
	char *path; /* for the report */
};
/* Give back what programs left in the workspaces: set-id bits off, with give also foreign ids to
 * the agent. One line of text for each of the first changes and a last line with the counts. */
void init_sweep(const struct sweep_dir *dirs, size_t n, const struct box_ids *ids, bool give,
		struct buf *report);

/* Requests of ward-ports (init_ports.c). *ports_fd: -1 when there is none (any more). */
void init_ports_adopt(int *ports_fd, struct wire_msg *m);
void init_ports_answer(int *ports_fd, struct wire_msg *m);

/* Requests of ward-proxy: whose socket is it (init_programs.c). */
enum { INIT_PROGRAMS_RECENT = 8 };
struct init_programs {
	int fd; /* -1: none (any more) */
	pid_t recent[INIT_PROGRAMS_RECENT];
	size_t next;
	uint64_t credit; /* microseconds that may be spent on searches now */
	uint64_t earned_at;
};
void init_programs_adopt(struct init_programs *p, struct wire_msg *m);
void init_programs_answer(struct init_programs *p, struct wire_msg *m);

/* Requests for a browser (init_browser.c). */
#define BROWSER_PIPE "/run/ward/browser"
enum { BROWSER_URL_MAX = 4000 };
struct init_browser {
	int fd; /* -1: none */
	uint64_t next;
	size_t len;
	char line[4096];
};
void init_browser_open(struct init_browser *b);
/* Milliseconds until it is to be read again; -1: when something is there. */
int init_browser_wait(const struct init_browser *b);
/* Is there a whole line at b->line? *ret_n bytes; init_browser_done takes it away. */
bool init_browser_read(struct init_browser *b, size_t *ret_n);
void init_browser_done(struct init_browser *b, size_t n);
/* Does a program in this network namespace listen on that TCP port? */
bool init_listens(uint16_t port);

/* The confined end of `ward cp`: PATH to a tar stream on fd 1, or from one on fd 0. missing: what
 * exists stays as it is, and what is behind a link is left alone. */
int copy_pack(const char *path, int out_fd, struct err *e);
int copy_unpack(const char *path, bool missing, int in_fd, struct err *e);

/* --- client <-> supervisor ------------------------------------------------------------------- */

enum control_wire {
	CONTROL_START = 1, /* fds[0]: memfd, JSON of a spec_session; arg: CONTROL_DETACH */
	CONTROL_ATTACH,	   /* arg: session or 0 */
	CONTROL_INPUT,	   /* payload; wait for CONTROL_ACK before the next */
	CONTROL_EOF,	   /* no more input */
	CONTROL_RESIZE,	   /* payload: uint16_t rows, cols */
	CONTROL_SIGNAL,	   /* arg: session, 0 = the attached one; payload: int32_t */
	CONTROL_CLOSE_OUT, /* arg: stream; nobody reads it any more */
	CONTROL_SESSIONS,
	CONTROL_INFO,
	CONTROL_STOP,	  /* arg: grace in milliseconds, and CONTROL_STOP_IDLE */
	CONTROL_COPY_OUT, /* arg: COPY_*; payload: path */
	CONTROL_COPY_IN,
	CONTROL_LEAVE,	/* the client goes on purpose; arg: enum control_leave */
	CONTROL_POLICY, /* look at the policy files; OK when the rules are in force */
	CONTROL_PORTS,	/* arg: enum control_ports; payload: JSON of spec_ports with the one in
			   question. The answer is the document of all */
	CONTROL_REQUEST_MAX,
	/* supervisor -> client */
	CONTROL_OK = 64,
	CONTROL_ERROR,	  /* payload: struct err */
	CONTROL_STARTED,  /* arg: session; payload: uint32_t tty; copy: fds[0] is the stream */
	CONTROL_OUTPUT,	  /* arg: 1 or 2, with CONTROL_REPLAYED for the past; payload */
	CONTROL_ACK,	  /* the last CONTROL_INPUT was taken */
	CONTROL_EXITED,	  /* arg: exit code */
	CONTROL_DOCUMENT, /* fds[0]: memfd, JSON */
	CONTROL_NOTICE,	  /* payload: one line for who is attached */
	CONTROL_REFUSED,  /* arg: how often, with CONTROL_KEYS; payload: refusal_check */
	CONTROL_NO_KEYS,  /* after CONTROL_KEYS: it does not read single keys any more */
};
enum control_ports { CONTROL_PORTS_LIST, CONTROL_PORTS_PUBLISH, CONTROL_PORTS_UNPUBLISH };
enum control_leave {
	CONTROL_LEAVE_DETACH,  /* the session goes on without anybody */
	CONTROL_LEAVE_HANG_UP, /* it ends with its terminal, at once */
	CONTROL_LEAVE_MAX
};
/* Stop only a box that has nothing left but init; else the answer is an error -EBUSY. */
#define CONTROL_STOP_IDLE 0x80000000U
enum {
	CONTROL_DETACH = 1,
	CONTROL_REPLAYED = 4,
	CONTROL_KEYS = 1 << 16,	   /* the program reads single keys, and so most likely draws */
	CONTROL_CLIENTS_MAX = 256, /* above SESSIONS_MAX: there is always room for a stop */
	CONTROL_SESSION_BYTES_MAX = 2 << 20
};
#define CONTROL_SOCKET "control"

/* Is the packet one that a client may send: known type, length and descriptors as the table says?
 * 0 or -EBADMSG. Pure. */
int control_check(uint16_t type, size_t len, size_t nfds);

/* --- the user's end ----------------------------------------------------------------------------
 */

enum { FILTER_SEQUENCE_MAX = 8192, FILTER_STRING_MAX = 4 << 20 };

/* Terminal modes that programs switch on and that must not outlive them. */
enum filter_mode {
	FILTER_ALT_SCREEN = 1 << 0,
	FILTER_CURSOR_HIDDEN = 1 << 1,
	FILTER_MOUSE = 1 << 2,
	FILTER_FOCUS = 1 << 3,
	FILTER_PASTE = 1 << 4,
	FILTER_APP_KEYS = 1 << 5,
	FILTER_KITTY_KEYS = 1 << 6,
	FILTER_MODIFY_KEYS = 1 << 7,
	FILTER_SGR = 1 << 8,
	FILTER_SYNC = 1 << 9,
	FILTER_NO_WRAP = 1 << 10,
	FILTER_CHARSET = 1 << 11,
	FILTER_MARGINS = 1 << 12,
	FILTER_KEYPAD = 1 << 13,
};
/* Who switches these on draws on the screen as a whole: a line of ours would be in the way. */
#define FILTER_DRAWS                                                                               \
	((uint32_t)FILTER_ALT_SCREEN | FILTER_CURSOR_HIDDEN | FILTER_MOUSE | FILTER_FOCUS |        \
	 FILTER_KITTY_KEYS | FILTER_MODIFY_KEYS | FILTER_SYNC | FILTER_MARGINS)

/* Incremental filter of what programs write to the user's terminal; output_filter.c. */
struct output_filter {
	int state;
	unsigned utf8_left;
	unsigned utf8_seen;
	unsigned utf8_min;
	unsigned utf8_value;
	bool escape_in_string;
	bool drop;	    /* the sequence being read will not be passed on */
	size_t dropped;	    /* bytes of the string being dropped */
	uint32_t modes;	    /* enum filter_mode: what is switched on now */
	bool no_queries;    /* drop what the terminal would answer (set after init) */
	uint64_t queries;   /* sequences passed on that the terminal answers */
	struct buf pending; /* the sequence being read */
};
void output_filter_init(struct output_filter *f);
void output_filter_clear(struct output_filter *f);
void output_filter_feed(struct output_filter *f, const char *bytes, size_t n, struct buf *out);
/* What brings a terminal back from these modes. */
void output_filter_reset(uint32_t modes, struct buf *out);

/* What the policy refused while somebody was attached; refusals.c. */
enum { REFUSALS_MAX = 20, REFUSAL_BYTES_MAX = 4096 };
struct refusal { /* target, reason and hint are one allocation */
	char *target;
	const char *reason;
	const char *hint; /* the command that would allow it, or "" */
	uint64_t count;
};
struct refusals {
	struct refusal v[REFUSALS_MAX];
	size_t n;
	size_t unshown; /* the last ones: no line yet */
	uint64_t more;	/* of others */
};
/* Is it a message about one: target, reason and hint, each with its NUL? */
bool refusal_check(const char *payload, size_t n);
void refusals_clear(struct refusals *r);
/* Anything but such a message is left alone. */
void refusals_take(struct refusals *r, uint32_t count, const char *payload, size_t n);
/* A line for each that had none. */
void refusals_lines(struct refusals *r, const char *eol, struct buf *out);
/* As struct relay_result has it; NULL: there are none. */
struct json *refusals_to_json(const struct refusals *r);

enum { KEYS_MAX = 8, KEYS_HELD_MAX = 64 };

/* Detach keys: a sequence of keys, each a byte (or its long form of newer keyboard protocols). */
struct keys {
	unsigned char key[KEYS_MAX];
	size_t n;
	size_t matched;	  /* keys seen */
	size_t nheld;	  /* bytes kept back while they may be the sequence */
	size_t key_start; /* where in held the key being read starts */
	char held[KEYS_HELD_MAX];
};
int keys_parse(const char *text, struct keys *ret); /* NULL: the default; "": none */
/* Bytes to forward are appended to out. True when the sequence is complete; what follows it is
 * dropped. */
bool keys_feed(struct keys *k, const char *bytes, size_t n, struct buf *out);
/* Stop waiting for the rest of a sequence. */
void keys_flush(struct keys *k, struct buf *out);

/* The user's terminal (terminal.c). */
struct terminal {
	int fd; /* the tty, or -1 */
	struct termios saved;
	int watch_fd; /* pipe to the watchdog */
	int watch_pid;
};
#define TERMINAL_INIT ((struct terminal){ .fd = -1, .watch_fd = -1, .watch_pid = -1 })
/* Raw mode, and a child that puts everything back when this process dies. */
int terminal_open(int fd, struct terminal *ret, struct err *e);
/* Tell the watchdog which modes a program switched on. */
void terminal_modes(struct terminal *t, uint32_t modes);
/* Reset modes, drop answers that are still on their way (queries: some may be), restore. */
void terminal_close(struct terminal *t, uint32_t modes, bool queries);

/* --- credential files -------------------------------------------------------------------------
 */

/* Each has two copies: in the home of the box, and in the store (credential_rules.c). */
enum credential_state {
	CREDENTIAL_ABSENT,
	CREDENTIAL_CONTENT,
	CREDENTIAL_DAMAGED,  /* a file of its owner, but not a whole one (yet) */
	CREDENTIAL_UNUSABLE, /* something that is never taken: a link, another user's, too large */
	CREDENTIAL_STATE_MAX
};
enum credential_action {
	CREDENTIAL_NOTHING,
	CREDENTIAL_SAME, /* remember it as the base */
	CREDENTIAL_TO_STORE,
	CREDENTIAL_TO_HOME,
	CREDENTIAL_REMOVE_STORE,
	CREDENTIAL_REMOVE_HOME,
	CREDENTIAL_RENEW, /* to the host's own file, if credential_renewal allows it */
	CREDENTIAL_ACTION_MAX
};
struct credential_view {
	enum credential_state home;
	enum credential_state store;
	bool equal;	   /* both have the same content */
	bool home_is_base; /* content, and that of the base; never so without a base */
	bool store_is_base;
	bool settled;  /* the home's copy has not changed for as long as it takes */
	bool starting; /* no program of the box has run yet */
	bool seed;     /* the home's content is what the kit puts there */
	bool host;     /* the store is the user's own file */
};
enum credential_action credential_decide(const struct credential_view *v);
/*
 * May a box replace the host's document by the new one? Only when both are JSON of exactly the same
 * shape, and nothing but strings and numbers differ whose key names a token or its expiry. *out:
 * what to write. -EBADMSG: no JSON; -EPERM: something else differs; -EALREADY: nothing does.
 */
int credential_renewal(const char *old, size_t old_len, const char *new, size_t new_len,
		       struct buf *out);
/* Is this a complete credential file, as its name wants it? Why not, or NULL. */
const char *credential_check(const char *name, const char *bytes, size_t n);

enum { CREDENTIAL_BYTES_MAX = 1 << 20 };
struct credential_copy { /* as it was last read (credential_file.c) */
	enum credential_state state;
	const char *why; /* DAMAGED or UNUSABLE; static text */
	struct stat st;
	bool sure; /* it cannot have changed without its times telling */
	struct buf bytes;
	uint64_t hash;
};
struct credential_place {
	int top;    /* directory; what is below belongs to somebody hostile, or to us */
	char *path; /* below it */
	uid_t uid;  /* who must own the file, and is given it */
	gid_t gid;
};
/* Read it again; *ret_changed: it is not what it was. No link is followed, nothing blocks. */
void credential_read(const struct credential_place *p, struct credential_copy *c,
		     bool *ret_changed);
/* Replace or remove what was seen. -EAGAIN: somebody else was there meanwhile, and that stays. */
int credential_put(const struct credential_place *p, const struct credential_copy *seen,
		   const void *bytes, size_t n);
int credential_remove(const struct credential_place *p, const struct credential_copy *seen);

/* Following both while the box runs (credentials.c). */
struct credentials;
struct supervisor;
/* Open what it works on; *ret is NULL when the agent has no such files. */
int credentials_open(struct supervisor *sup, struct err *e);
/* Make both sides equal, before the first program runs, then watch. Never fails: what cannot be
 * followed is noted. */
void credentials_start(struct supervisor *sup);
/* For the last time, when the programs are gone. */
void credentials_finish(struct supervisor *sup);
/* The directory of the i-th store, for harden.c; -1 when there is none. */
int credentials_store_fd(const struct supervisor *sup, size_t i);

/* --- the supervisor's own parts ------------------------------------------------------------- */

/* Descriptors that the supervisor starts with. */
enum supervisor_fd {
	SUPERVISOR_FD_LOCK = 3,
	SUPERVISOR_FD_DIR,
	SUPERVISOR_FD_RUN,
	SUPERVISOR_FD_READY,
	SUPERVISOR_FD_PARAMS,
	SUPERVISOR_FD_END,
};
enum { PARAMS_BYTES_MAX = 16 << 20 };

struct params {			/* supervise_params as the supervisor reads them */
	struct sandbox sandbox; /* id, dir, run_dir, dirfd */
	char *name;
	struct box_config *config;
	struct spec_rules_base base;
	char *config_dir;
	char *init_path;
	char *proxy_path;
	char *upstream; /* proxies_write's text, with passwords; "": there are none */
	char *ports_path;
	struct spec_ports ports;
	uint64_t grace_seconds;
	struct supervise_credentials credentials;
};
void params_write(const struct supervise_params *p, struct buf *out);
int params_read(int fd, struct params *ret, struct err *e);
void params_clear(struct params *p);

/* Log files of one session (recorder.c): <id>.log, .log.1, .log.2 and <id>.json. */
enum { RECORDER_FILE_MAX = 10 << 20 };
struct recorder {
	int dirfd; /* borrowed */
	int fd;
	uint32_t id;
	uint64_t written;
};
/* The first session number that the log directory does not know. */
uint32_t recorder_next_id(int log_dirfd);
int recorder_open(struct recorder *r, int log_dirfd, uint32_t id, struct err *e);
void recorder_write(struct recorder *r, const char *bytes, size_t n);
void recorder_describe(const struct recorder *r, const struct json *j);
/* Leave a mark for whoever looks next (SUPERVISE_UNSEEN). */
void recorder_mark_unseen(const struct recorder *r);
void recorder_close(struct recorder *r);

struct supervisor;
struct client;

enum { SESSION_RING = 65536, SESSION_READ = 16384, SESSIONS_MAX = 128, SESSIONS_KEPT = 4 };

enum session_state {
	SESSION_STARTING, /* init has not answered */
	SESSION_RUNNING,
	SESSION_DRAINING, /* the leader is gone, its output is not read to the end */
	SESSION_SWEEPING, /* an agent's: the exit code waits for the sweep */
	SESSION_ENDED,	  /* clients have the exit code; output of the background is logged */
};

struct session_stream { /* one output: pty master or pipe */
	struct session *session;
	uint32_t number; /* 1 or 2 */
	int fd;
	struct loop_source *source;
	size_t drain_left; /* how much is still read once the leader is gone */
};

struct session {
	struct session *next;
	struct supervisor *sup;
	uint32_t id;
	enum session_state state;
	struct spec_session spec;
	bool copy; /* not a program of the user: neither listed nor recorded */
	int64_t started_at;
	int64_t ended_at;
	uint32_t pid; /* inside */
	int exit_code;
	struct session_stream out[2];
	int in_fd; /* pty master (the same as out[0].fd) or pipe; -1 when closed */
	struct loop_source *in_source;
	struct buf in; /* input that the program has not taken */
	bool in_eof;
	struct client *owner; /* who started it, while connected */
	unsigned attached;
	bool detached; /* was, at some time, on purpose: it needs nobody (session_hangup.c) */
	unsigned hangup_phase;
	struct loop_source *hangup;
	char *ring;
	size_t ring_cap;
	size_t ring_start;
	size_t ring_len;
	struct recorder rec;
	struct winsize size;
	bool told_keys; /* its clients have been told CONTROL_KEYS */
	struct loop_source *redraw;
	struct loop_source *hold; /* STARTING: bound of init's answer; SWEEPING: of the sweep */
};

/*
 * Ask init to start it; spec is taken over. The answer comes as session_started or session_failed.
 * ret_peer (copies only): the client's end of the tar stream.
 */
int session_start(struct supervisor *sup, struct spec_session *spec, enum start_op op,
		  int *ret_peer, struct session **ret, struct err *e);
struct session *session_find(struct supervisor *sup, uint32_t id);
/* 0: newest running agent session, else the newest running, else the newest. */
struct session *session_pick(struct supervisor *sup, uint32_t id);
void session_started(struct session *s, uint32_t pid);
void session_failed(struct session *s, const struct err *why);
void session_exited(struct session *s, int wait_status);
void session_input(struct session *s, struct client *c, const char *bytes, size_t n);
void session_eof(struct session *s, struct client *c);
void session_resize(struct session *s, uint16_t rows, uint16_t cols, bool redraw);
void session_close_out(struct session *s, struct client *c, uint32_t stream);
/* Recent output first; an ended session gives that and its exit code. */
void session_attached(struct session *s, struct client *c);
void session_detached(struct session *s, struct client *c); /* a client is gone */
/* Nobody is left who wants it: it is asked to end, and made to; at_once: without time to read its
 * end of input first. Nothing happens to a session that was detached on purpose. */
void session_hang_up(struct session *s, bool at_once);
void session_resume(struct session *s); /* a client took its output */
/* Among the session files: is a client behind, stop reading, send to all attached, read what was
 * written before the leader ended and then finish, tell everybody the exit code. */
bool session_blocked(const struct session *s);
void session_pause(struct session *s);
void session_broadcast(struct session *s, uint16_t type, uint32_t arg, const void *p, size_t n);
void session_drain(struct session *s);
void session_finish(struct session *s);
void session_end(struct session *s);
void session_input_close(struct session *s);
void session_stream_close(struct session_stream *o);
/* Does its program read single keys from its terminal? */
bool session_reads_keys(const struct session *s);
struct json *session_to_json(const struct session *s);
/* Close and free everything (at the end of the supervisor). */
void session_free(struct session *s);

struct client {
	struct client *next;
	struct supervisor *sup;
	int fd;
	struct loop_source *source;
	bool dead;
	bool closing;		  /* drop it when everything was sent */
	bool fresh;		  /* attached and has not said its window size */
	bool input_pending;	  /* owes it a CONTROL_ACK */
	struct session *session;  /* attached */
	struct session *starting; /* waits for init's answer */
	bool start_detached;
	bool hangs_up; /* said so when it left */
	bool waits_stop;
	bool waits_rules; /* for an answer to CONTROL_POLICY */
	struct buf
		pending; /* framed packets: uint32_t payload length, struct wire_header, payload */
};
int control_listen(struct supervisor *sup, struct err *e);
/* Send, or queue when the client is slow. Frees nothing; a broken client is marked dead. */
void client_send(struct client *c, uint16_t type, uint32_t arg, const void *payload, size_t n);
void client_error(struct client *c, const struct err *e);
bool client_blocked(const struct client *c);
/* What init answered to the client's request. */
void client_started(struct client *c, struct session *s);
void control_close(struct supervisor *sup);
/* Answer those who wait for rules; why NULL: they are in force. */
void control_rules_taken(struct supervisor *sup, const struct err *why);

/* Start NAME with one end of a socket; end it (helper_child.c). */
int helper_child_start(const char *name, int exe_fd, pid_t *ret_pid, int *ret_wire, struct err *e);
void helper_child_end(pid_t *pid, int *wire);
/* What it said about why it cannot serve, as an error. */
int helper_child_failed(const struct wire_msg *m, const char *name, struct err *e);

/* Published ports (ports.c), and ward-ports (ports_child.c). */
struct port_listen {
	uint32_t id;
	int fds[2]; /* listeners on this machine */
	size_t n;
};
struct ports {
	struct spec_ports list;
	struct port_listen *v; /* of each in the list; room for SPEC_PORTS_MAX */
	uint32_t next_id;
	int exe_fd;
	pid_t pid;
	int wire_fd; /* -1: it does not run */
	struct loop_source *source;
	struct loop_source *retry;
	uint64_t window_start;
	unsigned restarts;
	unsigned total_restarts;
	bool ready;
};
/* Open the listeners; a port that is taken is an error. */
int ports_open(struct supervisor *sup, struct err *e);
void ports_close(struct supervisor *sup);
int ports_publish(struct supervisor *sup, struct spec_port *p, struct err *e); /* takes p over */
int ports_unpublish(struct supervisor *sup, const struct spec_port *pattern, struct err *e);
/* For a while, port of 127.0.0.1 and ::1 leads to the same port inside: 0 or -errno. */
int ports_forward(struct supervisor *sup, uint16_t port, struct port_listen *ret);
void ports_forward_end(struct supervisor *sup, struct port_listen *l);
int ports_child_open(struct supervisor *sup, struct err *e);  /* before harden.c */
int ports_child_start(struct supervisor *sup, struct err *e); /* if there is a port */
/* Also starts it; l is among those that a new ward-ports gets. */
int ports_child_add(struct supervisor *sup, const struct port_listen *l, uint16_t port,
		    struct err *e);
void ports_child_drop(struct supervisor *sup, uint32_t id);
void ports_child_stop(struct supervisor *sup);

/* Pages that programs inside ask to open (browser.c, browser_url.c). */
enum { BROWSER_CALLBACKS_MAX = 4 };
struct callback {
	uint16_t port; /* 0: unused */
	uint64_t since;
	struct port_listen listen; /* n 0: nobody listens inside yet */
};
struct browser {
	unsigned notices; /* left to show now */
	uint64_t notices_at;
	struct callback callbacks[BROWSER_CALLBACKS_MAX];
	struct loop_source *timer;
};
/* May this be shown, and to which loopback port will the browser come back (0: none)? 0, -EPERM for
 * another scheme, or -EINVAL. Pure. url has a NUL behind n. */
int browser_judge(const char *url, size_t n, uint16_t *ret_port);
void browser_asked(struct supervisor *sup, const char *url, size_t n);
void browser_listening(struct supervisor *sup, uint16_t port, bool listens);
/* One line for everybody who is attached. */
void control_notice(struct supervisor *sup, const char *text);
/* The same of what the policy refused; a message of the proxy, which is checked. */
void control_refused(struct supervisor *sup, uint32_t count, const char *payload, size_t n);

/* ward-proxy (proxy_child.c). */
struct proxy_child {
	struct supervisor *sup;
	int exe_fd;
	pid_t pid;
	int wire_fd;
	struct loop_source *source;
	struct loop_source *retry;
	uint64_t window_start; /* restarts are counted per minute */
	unsigned restarts;
	unsigned total_restarts;
	bool ready;
	unsigned untaken; /* rule sets that were sent and not answered */
};
/* Blocks until it serves, at most 10 s. */
int proxy_child_start(struct supervisor *sup, struct err *e);
/* Watch it and replace it when it dies. */
int proxy_child_watch(struct supervisor *sup, struct err *e);
void proxy_child_stop(struct supervisor *sup);
/* Send it sup->rules; control_rules_taken follows. A proxy that is being replaced gets them at its
 * start. */
void proxy_child_rules(struct supervisor *sup);

/* policy_files.c: the rules that are in files. */
struct policy_files {
	int watch_fd;
	int config_fd; /* the configuration directory, or -1 */
	int target_fd; /* where a link policy.yaml leads, or -1 */
	char *target;  /* its name there */
	struct loop_source *timer;
	char *problem; /* why the files do not count as they are; NULL: they do */
};
/* Watch, and read for the first time; a bad file is an error. */
int policy_files_open(struct supervisor *sup, struct err *e);
/* Read again; with an error nothing changes. */
int policy_files_reload(struct supervisor *sup, struct err *e);

/* engine_relay.c: the way from the box's socket to the container engine's, if the spec asks for it.
 */
int engine_relay_start(struct supervisor *sup, struct err *e);
void engine_relay_stop(struct supervisor *sup);

enum stop_phase { STOP_NO, STOP_TERM, STOP_SWEEP, STOP_KILL };

struct supervisor {
	struct params params;
	struct loop *loop;
	struct box box;
	int lock_fd;
	int run_fd;
	int log_fd; /* <dir>/log */
	int ready_fd;
	struct loop_source *init_source;
	struct loop_source *init_pid_source;
	char *rules; /* the whole set, as the proxy gets it */
	struct policy_files policy;
	struct proxy_child proxy;
	struct ports ports;
	struct browser browser;
	pid_t engine_relay; /* 0: none */
	int listen_fd;
	struct loop_source *listen_source;
	struct client *clients;
	unsigned nclients;
	struct session *sessions; /* newest first */
	unsigned nsessions;
	uint32_t next_id;
	uint32_t starts; /* START messages sent */
	bool idle;
	bool dirty; /* a program ran since the last sweep */
	struct loop_source *sweep_timer;
	struct loop_source *grace;
	enum stop_phase stop;
	struct loop_source *stop_timer;
	int signal_fd;
	struct loop_source *signal_source;
	char *status; /* what init said about the newest session: control_info */
	uint32_t status_of;
	char *landlock;	   /* what the supervisor itself is confined to, for control_info */
	long landlock_abi; /* of this kernel */
	struct credentials *credentials; /* NULL: none to follow */
	int64_t started_at;
	bool init_gone;
};
/* Does nothing run but init? */
bool supervisor_is_idle(const struct supervisor *sup);
/* Begin an orderly stop; clients with waits_stop hear of it by end of file. */
void supervisor_stop(struct supervisor *sup, uint32_t grace_ms);
/* A session ended or a box became empty: sweep, grace timer. */
void supervisor_check_idle(struct supervisor *sup);
/* Sweep because s is the last one that ends; false when it is not, or the box is stopping. */
bool supervisor_sweep_now(struct supervisor *sup, const struct session *s);
int supervisor_tell_init(struct supervisor *sup, uint16_t type, uint32_t arg, const void *payload,
			 size_t n, const int *fds, size_t nfds);
/* JSON of what is in force (info.c), and the inodes of the box's namespaces. */
struct json *supervisor_info(const struct supervisor *sup);
struct json *supervisor_namespaces(const struct supervisor *sup);
/* A line for <dir>/log/supervisor.log: what went wrong while nobody watched. */
void supervisor_note(struct supervisor *sup, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Landlock and no_new_privs for the supervisor itself (harden.c). */
int supervisor_harden(struct supervisor *sup, struct err *e);
/* Landlock without any file for this process; needs no_new_privs. */
int harden_no_files(struct err *e);
/* Of root's capabilities keep only this mask of 1 << CAP_*; nobody else keeps any. */
int harden_capabilities(uint32_t keep, struct err *e);

#endif
