/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli_internal: what the verbs share.
 */
#ifndef WARD_CLI_CLI_INTERNAL_H
#define WARD_CLI_CLI_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "cli/options.h"
#include "engine/engine.h"
#include "image/image.h"
#include "spec/spec.h"
#include "state/state.h"

enum cli_exit {
	CLI_EXIT_OK = 0,
	CLI_EXIT_NOT_FOUND = 1,	       /* no such sandbox (listing verbs) */
	CLI_EXIT_USAGE = 2,	       /* the command line is wrong */
	CLI_EXIT_FAILED = 125,	       /* Ward failed */
	CLI_EXIT_CANNOT_EXECUTE = 126, /* the program in the sandbox cannot be executed */
	CLI_EXIT_NO_PROGRAM = 127,     /* the program was not found in the sandbox */
};

/* Every option of every verb has its place here; a verb reads only those of its own table. */
struct cli_values {
	bool help;
	bool debug;
	bool quiet;
	bool json;
	bool detach;
	bool interactive;
	bool tty;
	bool raw_tty;
	bool rm;
	bool recreate;
	bool dry_run;
	bool force;
	bool all;
	bool follow;
	bool raw;
	bool no_trunc;
	bool no_cache;
	bool pull;
	bool docker_socket;
	bool denied;
	bool apply;
	bool global;
	const char *sandbox;
	const char *method;
	const char *path;
	const char *host;
	const char *since;
	const char *limit;
	const char *format;
	const char *name;
	const char *template;
	const char *pull_template;
	const char *platform;
	const char *input;
	const char *tag;
	const char *file;
	const char *target;
	const char *output;
	const char *workspace; /* run: the directory; exec: the working directory inside */
	const char *credentials;
	const char *agent_config;
	const char *network;
	const char *detach_keys;
	const char *user;
	const char *timeout;
	struct strv env;
	struct strv env_file;
	struct strv volume;
	struct strv hide;
	struct strv allow_host;
	struct strv deny_host;
	struct strv publish;
	struct strv unpublish;
	struct strv filter;
	struct strv kit;
	struct strv kit_arg;
	struct strv resource;
	struct strv build_arg;
};

struct cli;

struct verb_example {
	const char *command; /* without "ward " */
	const char *what;
};

/* Which exit codes the help of a verb lists. */
enum verb_exits { VERB_EXITS_LISTING, VERB_EXITS_THINGS, VERB_EXITS_PROGRAM, VERB_EXITS_MAX };

struct verb {
	const char *name;
	const char *alias;    /* NULL: none */
	const char *operands; /* synopsis behind the options */
	const char *summary;  /* one line, no full stop */
	const char *text;     /* paragraphs, separated by an empty line */
	const struct option *options;
	size_t noptions;
	const struct verb_example *examples;
	size_t nexamples;
	const char *see_also; /* "run create": other verbs */
	enum verb_exits exits;
	bool stop_at_operand; /* what follows the first operand belongs to a program */
	bool no_engine;	      /* works without state and configuration */
	unsigned min;	      /* operands */
	unsigned max;	      /* 0: none; UINT_MAX: any */
	enum complete complete;
	const char *words;	 /* "bash|zsh|fish": what the first operand may be */
	const char *agent_after; /* "a|b": those of them that an agent's name comes behind */
	int (*run)(struct cli *c, struct err *e);
};

struct cli {
	const char *program; /* "ward" or "docker sandbox": for usage lines */
	const struct verb *verb;
	struct cli_values v;
	struct options_operands operands;
	struct engine_context engine;
	const struct engine_ops *ops;
};

/* verbs.c */
extern const struct verb cli_verbs[];
extern const size_t cli_nverbs;
const struct verb *cli_verb_find(const char *name); /* or alias; NULL */
/* Text of an exit code for help and man pages; rows until `what` is NULL. */
struct exit_text {
	const char *code;
	const char *what;
};
const struct exit_text *cli_exit_texts(enum verb_exits x);

/* help.c */
void cli_help(const char *program, struct buf *out);
void cli_help_verb(const char *program, const struct verb *v, struct buf *out);
/* man.c: roff of ward-VERB(1), or of ward(1) when v is NULL. */
void cli_man(const struct verb *v, struct buf *out);
/* completion.c: shell is "bash", "zsh" or "fish". */
int cli_completion(const char *shell, struct buf *out, struct err *e);

/* plugin_complete.c: the answer to Docker's `__complete sandbox WORDS`; the last of the n words is
 * being typed. names: "agents", "sandboxes" or "all". */
typedef void names_fn(const char *what, struct strv *ret, void *arg);
void cli_plugin_complete(char *const *words, size_t n, names_fn *names, void *arg, struct buf *out);

/* foreign.c: what Docker's command has and this one has not (yet): the error and its hint, or
 * -ENOENT with e untouched. verb NULL: `word` is a verb, else an option of that verb without
 * dashes. */
int cli_foreign(const char *program, const char *verb, const char *word, struct err *e);
/* The command whose first operand the word is, or NULL. */
const struct verb *cli_foreign_verb(const char *word);

/* cli.c */
/* Names for completion; silent about everything that goes wrong. A names_fn. */
void cli_names(const char *what, struct strv *ret, void *unused);
int cli_run(const char *program, int argc, char **argv);
/* One word that a verb such as `kit` has behind it. */
struct cli_action {
	const char *name;
	size_t min, max;      /* operands behind it */
	const char *operands; /* what they are, for "kit new: expected is NAME [DIR]" */
	int (*run)(struct cli *c, struct err *e);
};
/* Run the action that the first operand names; another word or number of operands is a usage error.
 */
int cli_run_action(struct cli *c, const struct cli_action *actions, size_t n, struct err *e);
/* Exit code of an error: usage is 2; not found is 1 for listing verbs; everything else 125. */
int cli_exit_code(const struct cli *c, const struct err *e);
/* The exit code of several attempts: the worse one. */
int cli_worse(int a, int b);
/* Names and ids alike: letters, digits, and inside also . _ -; at most 63. */
bool cli_could_be_name(const char *s);
/* A sandbox named on the command line; a word that can be no name is a usage error. */
int cli_find(struct cli *c, const char *name, struct sandbox **ret, struct err *e);
/* Its spec; a damaged record is ERR_CORRUPT with the cure. */
int cli_spec(const struct sandbox *s, struct spec **ret, struct err *e);
/* The name of a sandbox for people: its name, or its id when the record is unreadable. Borrowed. */
const char *cli_sandbox_name(const struct sandbox *s);
/* Did the user ask for JSON (--json or --format json)? */
bool cli_wants_json(const struct cli *c);
/* Answer a yes/no question on a terminal; true when stdin is no terminal. */
bool cli_confirm(const char *question);

/* term.c: the only writers to stdout and stderr. */
/* From now on commands in messages ("ward VERB") are written with this name. Borrowed. */
void term_called_as(const char *program);
void term_error(const struct err *e);
/* "ward: ..." on stderr: a remark about what happens, suppressed by -q. */
void term_note(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "hint: ...", in the same way. */
void term_hint(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void term_newline(void); /* on stderr */
/* The same as term_note, never suppressed. */
void term_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void term_debug(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Results. Failure to write (a full disk, a closed pipe) is an error of the verb. */
int term_out(const struct buf *b, struct err *e);
int term_out_json(const struct json *j, struct err *e);
/* JSON text (UTF-8) with C1, bidirectional and invisible characters as \u escapes. Pure. */
void term_escape_json(struct buf *out, const char *text, size_t n);
bool term_colour(int fd);
enum { TERM_COLUMNS_MAX = 8 };
/* Rows of cells, aligned; the cells must be escaped already. The first row is the heading. */
struct term_table {
	size_t columns;
	struct strv cells;
};
void term_table_cell(struct term_table *t, const char *foreign); /* escapes */
void term_table_write(const struct term_table *t, struct buf *out);
void term_table_clear(struct term_table *t);
/* A message with control characters made visible; backslashes stay, so that text which was escaped
 * before is not escaped twice. */
void term_escape_message(struct buf *out, const char *s);

/* envfile.c: pure. Lines K=V, K (taken from `inherit`), empty and # comment. */
int envfile_parse(const char *text, size_t n, const char *origin, char *const *inherit,
		  struct strv *ret, struct err *e);
/* One -e value: "K=V", or "K" taken from inherit; absent there: nothing is added. */
int envfile_parse_one(const char *text, char *const *inherit, struct strv *ret, struct err *e);

/* session.c: what a program in a sandbox gets, and how its end becomes an exit code. */
/* The caller's terminal type, language and time zone. */
void cli_caller_env(struct strv *ret);
int cli_session_env(struct cli *c, const struct spec *s, const struct kit *k, struct strv *ret,
		    struct err *e);
/* One line about what --credentials host takes from this machine; nothing with other modes. */
void cli_say_credentials(const struct cli *c, const struct spec *s, const struct kit *k);
/* The -e and --env-file values of this command line. */
int cli_given_env(struct cli *c, struct strv *ret, struct err *e);
void cli_session_size(struct spec_session *s); /* rows and cols of the user's terminal */
/* Refuse arguments that are not UTF-8 (they could not be passed on unchanged). */
int cli_check_args(const struct strv *args, struct err *e);
/* engine_ops.start; what a start gives away beyond the sandbox is said each time. */
int cli_start(struct cli *c, const struct sandbox *box, bool *ret_started, struct err *e);
/*
 * engine_ops.exec of a sandbox that was just started: one that ended in between (its grace period
 * was over, somebody stopped it) is started again.
 */
int cli_exec(struct cli *c, struct sandbox *box, struct spec_session *session, bool detach,
	     const struct engine_term *t, uint32_t *ret_id, struct engine_result *ret,
	     struct err *e);
/* Print what happened and return the exit code. */
int cli_session_end(struct cli *c, const struct sandbox *s, uint32_t id, struct engine_result *r);

/* "session 3 of claude in sandbox 'x' ended 5 minutes ago with exit code 0". */
void cli_end_text(const struct json *session, const char *agent, const char *sandbox,
		  struct buf *out);
/* On a terminal: say once which agents of the sandbox ended while nobody was attached. except: a
 * session that is told of otherwise, or 0. */
void cli_tell_ended(struct cli *c, const struct sandbox *s, const struct spec *spec,
		    uint32_t except);

/* cmd_logs.c: the last part of what a session wrote, as `logs` would print it. */
int cli_print_recent(struct cli *c, struct sandbox *box, uint32_t id, struct err *e);

/* Did the program itself fail to start (126, 127), as opposed to Ward? */
bool cli_program_failed(int r, const struct err *e);
/* Sessions of a sandbox as a JSON array in the order of their numbers. */
int cli_sessions(struct cli *c, const struct sandbox *s, struct json **ret, struct err *e);
/* The number of a session on the command line. */
int cli_session_id(const char *text, uint32_t *ret, struct err *e);

/* runspec.c: the command line of run and create becomes a spec. */
struct run_kits { /* of a sandbox that is made: its copies of kits, in the order of spec.kits */
	struct kit_bundle **v;
	size_t n;
};
struct run_request {
	struct kit *kit;
	struct run_kits kits;
	struct spec_workspace *workspaces;
	size_t nworkspaces;
	struct strv agent_args;
	struct buf note;       /* which template was taken; said when the sandbox is there */
	struct strv git_notes; /* the same of git: what will be missing inside */
};
void run_request_clear(struct run_request *q);
/* Split the operands behind AGENT; all_workspaces: nothing belongs to the agent (create). */
int run_request_operands(struct cli *c, bool all_workspaces, struct run_request *q, struct err *e);
/* A spec without id and name. */
int run_spec_build(struct cli *c, struct run_request *q, struct spec **ret, struct err *e);
/* The workspaces of an existing sandbox, for the request of `run SANDBOX`. */
void run_request_workspaces_of(struct run_request *q, const struct spec *s);
/* The spec of an existing sandbox, changed by what this command line gives; without an id. */
int run_spec_override(struct cli *c, struct run_request *q, const struct sandbox *box,
		      struct spec **ret, struct err *e);
/* Names of the options whose values differ from the sandbox's, ", "-separated, or "". */
int run_spec_difference(struct cli *c, struct run_request *q, const struct sandbox *box,
			const struct spec *old, struct buf *out, struct err *e);
/* runkit.c. `box` and its spec may be NULL: there is no such sandbox yet. */
void run_kits_clear(struct run_kits *k);
/* The agent of a sandbox, which knows its own kits and arguments, or else of this command line.
 * With --recreate the command line comes first, and the sandbox's stand for what it does not give.
 */
int run_kit_load(const struct cli *c, const char *agent, const struct sandbox *box,
		 const struct spec *spec, struct kit **ret, struct err *e);
/* Read into *kits what a new sandbox is to have, and set kits and kit_args of its spec s. */
int run_kits_read(const struct cli *c, const struct sandbox *box, const struct spec *old,
		  struct run_kits *kits, struct spec *s, struct err *e);
/* Are the kits of --kit other ones than those that the sandbox was made with? */
int run_kits_differ(const struct cli *c, const struct sandbox *box, const struct spec *old,
		    bool *ret, struct err *e);
/* runspec.c: the network of the options and the configuration, into preset and hosts of s. */
int run_network(struct cli *c, struct spec *s, struct err *e);
/* The template for an agent when the command line names none. */
int run_template_choose(struct cli *c, const struct kit *k, struct spec_template *ret,
			struct buf *note, struct err *e);
/* Labels that scripts written for Docker look for. */
void run_labels(const struct spec *s, struct strv *labels);

/* What workspaces and volumes are checked against; borrowed from c. */
struct spec_paths run_spec_paths(const struct cli *c);
/* rungit.c: of workspaces that are linked worktrees or submodules, what git needs of their
 * repositories as further volumes of s; what it will miss is noted in q->git_notes. */
int run_git_volumes(struct cli *c, struct run_request *q, struct spec *s, struct err *e);

/* cmd_ports.c */
/* The values of --publish or --unpublish. */
int cli_parse_ports(const struct strv *texts, const char *option, struct spec_ports *ret,
		    struct err *e);
/* As docs/json.md has it. Caller unrefs. */
struct json *cli_ports_json(const struct spec_ports *ports);
/* "127.0.0.1:8080->3000/tcp, ..." */
void cli_ports_text(const struct spec_ports *ports, struct buf *out);
/* What somebody who starts a sandbox cannot know, and what should give pause. */
void cli_say_ports(struct cli *c, const struct sandbox *s);

/* ls.c: the sandboxes that pass --filter. */
struct listed {
	struct sandbox *sandbox; /* borrowed from the list */
	struct spec *spec;	 /* NULL: broken */
	const char *status;
	char *problem; /* why it is broken */
};
struct listing {
	struct sandbox **all;
	size_t nall;
	struct listed *v;
	size_t n;
};
int cli_list(struct cli *c, struct listing *ret, struct err *e);
void cli_list_clear(struct listing *l);

/* stream.c: an engine call that writes or reads a stream, in a child process. */
struct stream {
	int pid;
	int fd;	    /* our end of the pipe */
	int err_fd; /* its struct err, when it fails */
};
typedef int stream_fn(struct cli *c, int fd, void *arg, struct err *e);
/* writes: the child writes and we read; else the other way round. */
int stream_start(struct cli *c, bool writes, stream_fn *fn, void *arg, struct stream *ret,
		 struct err *e);
/* Close our end, wait, and give the child's error. */
int stream_finish(struct stream *s, struct err *e);

/* plain.c: recorded terminal output as plain text; pure, incremental. */
struct plain {
	int state;
	unsigned char tail[4]; /* an unfinished UTF-8 character */
	size_t ntail;
};
void plain_feed(struct plain *p, const char *bytes, size_t n, struct buf *out);
void plain_finish(struct plain *p, struct buf *out);

/* kit_new.c: DIR/spec.yaml, a commented kit; refuses to replace one. */
int cli_kit_new(const char *name, const char *dir, struct err *e);

/* progress.c: the transfer of an image, on standard error. */
struct progress_blob;
struct progress {
	bool quiet;
	bool bar;
	bool drawn;
	struct progress_blob *v;
	size_t n;
};
void progress_begin(struct progress *p, bool quiet);
image_event_fn progress_event; /* arg: the struct progress */
void progress_end(struct progress *p);
/* "12.3MB", powers of 1000 as Docker shows them. */
void cli_human_size(uint64_t bytes, char out[static 16]);

/* templates.c */
/* A reference from the command line; a path becomes absolute. */
int template_ref(const char *text, struct image_ref *ret, struct err *e);
/* By reference, or by the beginning of a digest. ERR_NOT_FOUND with the cure. */
int template_find(const struct image_store *s, const char *text, struct image_record *ret,
		  struct err *e);
/* What `template build AGENT` calls its result, and the choice of a template looks for. No registry
 * has it: the host is this machine. Owned by the caller. */
char *template_agent_name(const char *agent);
/* engine_ops.template, with progress on standard error. */
int template_ready(struct cli *c, struct spec_template *t, enum engine_pull pull, struct err *e);
/* Which sandboxes have images, and the manifests of those; the two lists go together. */
struct template_users {
	struct strv names;
	struct strv manifests;
};
int template_users(struct cli *c, struct template_users *ret, struct err *e);
void template_users_clear(struct template_users *u);
/* Add the names of those that use a manifest. */
void template_users_of(const struct template_users *u, const char *manifest, struct strv *names);
/* Collect garbage; without `wait`, -EWOULDBLOCK while somebody adds to the store. */
int template_gc(struct cli *c, const struct image_store *s, unsigned flags, bool wait,
		struct image_gc *ret, struct err *e);

/* cmd_*.c */
int cmd_run(struct cli *c, struct err *e);
int cmd_create(struct cli *c, struct err *e);
int cmd_exec(struct cli *c, struct err *e);
int cmd_attach(struct cli *c, struct err *e);
int cmd_sessions(struct cli *c, struct err *e);
int cmd_ls(struct cli *c, struct err *e);
int cmd_inspect(struct cli *c, struct err *e);
int cmd_stop(struct cli *c, struct err *e);
int cmd_rm(struct cli *c, struct err *e);
int cmd_prune(struct cli *c, struct err *e);
int cmd_cp(struct cli *c, struct err *e);
int cmd_logs(struct cli *c, struct err *e);
int cmd_ports(struct cli *c, struct err *e);
int cmd_kit(struct cli *c, struct err *e);
/*
 * runshell.c: the words that start the agent; of the agent `shell` those of the n-th shell that may
 * be there. False: there is no other.
 */
bool run_entrypoint(const struct cli *c, const struct spec *s, const struct kit *k, unsigned n,
		    struct strv *ret);
/* The image's own command, when that is a shell. Pure. */
bool run_image_shell(const struct image_config *config, struct strv *ret);
int cmd_template(struct cli *c, struct err *e);
/* cmd_template_build.c: `template build -t NAME CONTEXT` */
int template_build_file(struct cli *c, struct err *e);
/* cmd_template_agent.c: `template build AGENT[@VERSION]` */
int template_build_agent(struct cli *c, const char *word, struct err *e);
/* cmd_template_file.c: actions of cmd_template */
int template_save(struct cli *c, struct err *e);
int template_load(struct cli *c, struct err *e);
int cmd_volume(struct cli *c, struct err *e);
int cmd_policy(struct cli *c, struct err *e);
/* policy_show.c, policy_log.c, policy_learn.c: actions of cmd_policy */
int policy_ls(struct cli *c, struct err *e);
int policy_check(struct cli *c, struct err *e);
int policy_log(struct cli *c, struct err *e);
int policy_learn(struct cli *c, struct err *e);
/*
 * policy_log.c: give the records of sandboxes that pass --since, --host and --denied to fn, each
 * with its sandbox's name; with --follow a NULL between those of the past and those that come, and
 * no return but with an error of fn.
 */
typedef int policy_record_fn(void *arg, const struct json *record, struct err *e);
int policy_records(struct cli *c, struct sandbox *const *boxes, size_t n, policy_record_fn *fn,
		   void *arg, struct err *e);
/* cmd_policy.c: change the policy file of a sandbox (NULL: the user's), tell who is concerned, and
 * say what was done. Returns an exit code or -errno. */
int policy_change(struct cli *c, struct sandbox *box, const struct engine_policy_change *change,
		  struct err *e);
/* The rules of a sandbox (NULL: what every new one gets) as they are now. */
int policy_effective(struct cli *c, const struct sandbox *box, struct policy_rules **ret,
		     struct err *e);
int cmd_version(struct cli *c, struct err *e);
int cmd_help(struct cli *c, struct err *e);
int cmd_completion(struct cli *c, struct err *e);

#endif
