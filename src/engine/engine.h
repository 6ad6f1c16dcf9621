/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine: what realises a spec.  A struct of function pointers; `native` is ours.
 *
 * The command line talks to this interface only.  A spec that an engine cannot honour is refused,
 * never silently weakened: `capabilities` says what an engine can do.
 */
#ifndef WARD_ENGINE_ENGINE_H
#define WARD_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/proxy.h"
#include "image/image.h"
#include "spec/spec.h"
#include "state/state.h"

enum engine_say {
	ENGINE_SAY_PROGRESS, /* what is going on */
	ENGINE_SAY_OUTPUT,   /* a line that a step which failed has printed */
};
struct engine_context {
	struct state_paths paths;
	struct spec_config *config;
	/* Set by the caller, may be NULL: what long work tells, one line without its end. The text
	 * may come from a kit or from inside. */
	void (*say)(void *arg, enum engine_say what, const char *text);
	void *say_arg;
	/* The same, for the events of an image that is brought here (struct image_registry). */
	int (*transfer)(const char *event, const struct json *j, void *arg, struct err *e);
	void *transfer_arg;
	int template_lock; /* descriptor that keeps what engine_ops.template found; 0: none */
};
int engine_context_init(struct engine_context *ret, struct err *e);
void engine_context_clear(struct engine_context *c);

/* When to bring an image into the store that a template names. */
enum engine_pull { ENGINE_PULL_MISSING, ENGINE_PULL_ALWAYS, ENGINE_PULL_NEVER, ENGINE_PULL_MAX };

/* Remove dirfd/name, an unpacked layer, whatever ids own it. */
int engine_remove_layer(int dirfd, const char *name, struct err *e);
/*
 * Bring the only image of an archive (or its `latest`) into the store, under `name` or, when that
 * is NULL, the one that the archive gives it. *ret_reference is owned by the caller.
 */
int engine_template_load(struct engine_context *c, const char *file, const char *name,
			 char **ret_reference, struct err *e);
/* `template build`. */
struct engine_build {
	const char *reference; /* the new template's, canonical */
	const char *name;      /* of the Dockerfile, in messages */
	const char *text;      /* of it */
	size_t text_len;
	const char *ignore; /* text of .dockerignore; NULL: none */
	size_t ignore_len;
	int context;		 /* directory; -1: there is none */
	const struct strv *args; /* "K=V" */
	const char *target;	 /* a stage; NULL: the last one */
	bool no_cache;
	enum engine_pull pull;
	enum policy_preset network; /* what programs in it may reach */
	bool network_default;	    /* nobody chose it: the user's policy file may */
	const struct strv *allow_hosts;
	const struct strv *deny_hosts;
};
/*
 * Build an image: each RUN in a box of its own, with no files of the host but the context.  What is
 * in hand is gone after a failure; finished steps stay in the cache.  The program's output goes to
 * standard error. *ret_digest is owned by the caller.
 */
int engine_build(struct engine_context *c, const struct engine_build *q, char **ret_digest,
		 struct err *e);

/*
 * packages.c: where this machine installs packages from, for templates that are made of them.  No
 * password, no token is in it.
 */
struct engine_package_file {
	char *path; /* in the template, absolute */
	struct buf content;
};
struct engine_packages {
	char *codename;	      /* of the distribution's release: "bookworm" */
	char *sources;	      /* its repositories, as sources.list */
	char *registry;	      /* npm's, with a slash at the end; NULL: npm's own */
	char *apt_options;    /* for making the template only, "-oKEY=VALUE ..."; or NULL */
	struct strv env;      /* the same for npm: "K=V" */
	struct strv allow;    /* rules that let a box reach all of it */
	struct strv left_out; /* lines for people */
	bool own_ca;	      /* this machine trusts more certificates than others do */
	struct engine_package_file *files; /* keys, certificates, npmrc */
	size_t nfiles;
};
/* ERR_HOST with the cure where there is no apt, no mmdebstrap or no source. */
int engine_packages_find(const struct engine_context *c, struct engine_packages *ret,
			 struct err *e);
void engine_packages_clear(struct engine_packages *p);
#define auto_engine_packages __attribute__((cleanup(engine_packages_clear))) struct engine_packages

/* native_make.c: an agent's template out of packages. */
struct engine_make {
	const struct engine_packages *packages;
	const char *agent;	   /* name of the kit */
	const char *npm;	   /* package that is the agent */
	const char *version;	   /* of it; NULL: the newest */
	const char *binary;	   /* program in it */
	const char *reference;	   /* canonical */
	const char *base;	   /* the same, for what agents' templates share */
	bool anew;		   /* use nothing that was made before */
	bool (*interrupted)(void); /* asked now and then; true: clean up and end. May be NULL */
};
/* *ret_digest is owned by the caller. -EINTR when it was interrupted. A failure changes no
 * template. */
int engine_template_make(struct engine_context *c, const struct engine_make *what,
			 char **ret_digest, struct err *e);

/*
 * Bring an image from its registry into the store, and unpack it meanwhile as far as that goes
 * (engine_ops.template does the rest).  platform: see struct image_registry; an image for another
 * one than this machine is not unpacked.  ret_changed may be NULL; for the rest see image_pull.
 */
struct image_store;
struct image_ref;
struct image_record;
int engine_template_pull(struct engine_context *c, const struct image_store *s,
			 const struct image_ref *ref, const char *platform,
			 struct image_record *ret, bool *ret_changed, struct err *e);
/* What engine_ops.template found may be removed again. */
void engine_release_template(struct engine_context *c);

enum engine_capability {
	ENGINE_CAP_TEMPLATE_HOST = 1 << 0,
	ENGINE_CAP_TEMPLATE_DIR = 1 << 1,
	ENGINE_CAP_TEMPLATE_IMAGE = 1 << 2,
	ENGINE_CAP_READONLY_WORKSPACE = 1 << 3,
	ENGINE_CAP_DETACH = 1 << 4,
	ENGINE_CAP_COPY = 1 << 5,
	ENGINE_CAP_NETWORK_RULES = 1 << 6,
	ENGINE_CAP_PORTS = 1 << 7,
};

struct engine_term { /* the user's side of a session */
	bool tty;
	bool interactive;
	bool raw_tty;
	bool quiet;		 /* no line about what the policy refuses */
	const char *detach_keys; /* NULL: default */
};
struct engine_result {
	bool detached;
	bool hung_up;	  /* the terminal or this process had to go; exit_code tells the signal */
	bool lost;	  /* the box ended under us */
	int output_error; /* -errno when standard output could not be written, else 0 */
	int exit_code;	  /* 0..255 */
	/* What the network policy refused meanwhile: objects target, reason, hint (the command that
	 * would allow it, or ""), count. Owned by the caller; NULL: nothing. */
	struct json *refused;
};

/* A sandbox as a template. */
struct engine_saved {
	struct image_record record;
	struct image_layer layer; /* what was changed; without a digest when it never ran */
};
void engine_saved_clear(struct engine_saved *s);

struct engine_ops {
	const char *name;
	uint32_t capabilities;
	/* Can it work here? ERR_HOST with the cure when not. */
	int (*probe)(struct engine_context *c, struct err *e);
	/* What start would do, without doing it: {"spec":…, "operations":[…], "rules":[…],
	 * "command":[…]}. */
	int (*plan)(struct engine_context *c, const struct spec *s, const struct kit *k,
		    struct json **ret, struct err *e);
	/*
	 * Make an image ready to be the template of a new sandbox: find it, bring it into the store
	 * when `pull` says so, unpack it. Fills t->digest and writes t->ref in full. It cannot be
	 * removed until the sandbox is created or the context cleared.
	 */
	int (*template)(struct engine_context *c, struct spec_template *t, enum engine_pull pull,
			struct err *e);
	/* Store a new sandbox for the spec (fills id and created_at), with its copies of kits:
	 * one for each name in s->kits. Starts nothing. */
	int (*create)(struct engine_context *c, struct spec *s, struct kit_bundle *const *kits,
		      struct sandbox **ret, struct err *e);
	/* Make it run; *ret_started is false when it already did. Waits for another starter. */
	int (*start)(struct engine_context *c, const struct sandbox *s, bool *ret_started,
		     struct err *e);
	/*
	 * Run a program in a running sandbox. env in `session` holds only what the caller adds
	 * (kit, -e, TERM); the engine puts the base environment below it. cwd NULL: the workspace.
	 * detach: start and return, *ret_id is the session. Else relay until it ends.
	 */
	int (*exec)(struct engine_context *c, const struct sandbox *s, struct spec_session *session,
		    bool detach, const struct engine_term *t, uint32_t *ret_id,
		    struct engine_result *ret, struct err *e);
	int (*attach)(struct engine_context *c, const struct sandbox *s, uint32_t id,
		      const struct engine_term *t, struct engine_result *ret, struct err *e);
	int (*signal)(struct engine_context *c, const struct sandbox *s, uint32_t id, int signo,
		      struct err *e);
	/* JSON array of sessions: running ones from the supervisor, ended ones from the log
	 * directory. */
	int (*sessions)(struct engine_context *c, const struct sandbox *s, struct json **ret,
			struct err *e);
	/* JSON array of the agents' sessions that were detached and ended while nobody was
	 * attached, each returned by one call only. */
	int (*take_ended)(struct engine_context *c, const struct sandbox *s, struct json **ret,
			  struct err *e);
	/* Recorded output of a session (0: the newest) to fd; follow: until it ends. */
	int (*logs)(struct engine_context *c, const struct sandbox *s, uint32_t id, bool follow,
		    int fd, struct err *e);
	/* Measured enforcement of a running sandbox (object), or null when it is stopped. */
	int (*stats)(struct engine_context *c, const struct sandbox *s, struct json **ret,
		     struct err *e);
	/* The published ports; of a stopped sandbox, those of its next start. */
	int (*ports)(struct engine_context *c, const struct sandbox *s, struct spec_ports *ret,
		     struct err *e);
	/* Publish or withdraw one (the other is NULL), at once and for the following starts. *ret:
	 * all of them then. */
	int (*ports_change)(struct engine_context *c, const struct sandbox *s,
			    const struct spec_port *publish, const struct spec_port *unpublish,
			    struct spec_ports *ret, struct err *e);
	/* tar_fd: "out" writes PATH's tree as tar to it; "in" unpacks it below PATH. */
	int (*copy_out)(struct engine_context *c, const struct sandbox *s, const char *path,
			int tar_fd, struct err *e);
	int (*copy_in)(struct engine_context *c, const struct sandbox *s, const char *path,
		       int tar_fd, struct err *e);
	int (*stop)(struct engine_context *c, const struct sandbox *s, unsigned grace_ms,
		    struct err *e);
	/* Remove the agent's credential files from a sandbox that shares them with the agent's
	 * volume, which the caller has emptied. -EAGAIN without a message: it runs, and its
	 * supervisor has not done so yet. */
	int (*log_out)(struct engine_context *c, const struct sandbox *s, struct err *e);
	/*
	 * Make a template of a stopped sandbox whose template is an image, under a canonical
	 * reference: without workspaces, credentials, conversations, histories and temporary files.
	 * -EBUSY: it runs; -EOPNOTSUPP: its template is no image.
	 */
	int (*save)(struct engine_context *c, const struct sandbox *s, const char *reference,
		    struct engine_saved *ret, struct err *e);
	/* The network rules of a sandbox as they are now, as policy_rules_write text; the caller
	 * owns *ret. */
	int (*rules)(struct engine_context *c, const struct sandbox *s, char **ret, struct err *e);
	/*
	 * Make a running sandbox look at its policy files: ask (-ENOTCONN without a message when it
	 * does not run), and with the descriptor answer, which waits until the rules are in force.
	 */
	int (*policy_ask)(struct engine_context *c, const struct sandbox *s, int *ret_fd,
			  struct err *e);
	int (*policy_answer)(struct engine_context *c, int fd, struct err *e);
	/* Delete everything but the workspace. A box in which something runs is stopped when
	 * `force`, else refused (-EBUSY); one that only idles is stopped in any case. */
	int (*remove)(struct engine_context *c, struct sandbox *s, bool force, struct err *e);
};
extern const struct engine_ops engine_native;

/* What a new sandbox of this spec gets of the user's own configuration: lines for people. */
void engine_user_config_notes(const struct engine_context *c, const struct spec *s,
			      const struct kit *k, struct strv *ret);

/* policy.c: changes of a policy file. dir: the configuration directory or a sandbox's. */
struct engine_policy_change {
	enum spec_policy_change what;
	struct strv values;
};
/* All values or, with an error, none. *ret_done gets those that changed something. */
int engine_policy_change(const char *dir, const struct engine_policy_change *change,
			 struct strv *ret_done, struct err *e);
int engine_policy_reset(const char *dir, bool *ret_removed, struct err *e);
/* The rules for a spec and its kit with the files as they are, as policy_rules_write text. s NULL:
 * what every new sandbox gets; dir NULL: no sandbox yet. The caller owns *ret. */
int engine_policy_text(struct engine_context *c, const struct spec *s, const struct kit *k,
		       const char *dir, char **ret, struct err *e);

/* Where a helper of Ward's is installed (ward-registry, ward-image, ...). Owned by the caller. */
int engine_helper(const char *name, char **ret, struct err *e);
/*
 * The proxies of the user's company for what starts now: the configuration's, else those of our
 * environment.  A bad address is an error that names where it stands, and does not quote it.
 */
int engine_proxies(const struct engine_context *c, struct proxies *ret, struct err *e);

/*
 * The socket of this user's container engine, canonical; somebody answers there now. DOCKER_HOST,
 * the current Docker context, the usual places. Errors say what was looked at, with the cure.
 */
int engine_docker_socket(const char *home, char **ret, struct err *e);

/* Where the agent's program is on this machine (PATH of the caller, then usual places below the
 * home); NULL when absent. A link that leads out of a workspace or volume of the spec (NULL: of
 * none) is passed over. */
char *engine_find_host_agent(const struct kit *k, const char *home, const struct spec *s);

/* credentials.c: what --credentials host takes from this machine. */

/* "K=V" for each of the kit's key variables that the caller's environment has. */
void engine_host_keys(const struct kit *k, struct strv *env);
/* The kit's credential files that may be taken from the user's home, canonical, each behind its
 * path below the home: "FILE", "/home/u/FILE", ... A file need not exist, its directory does; one
 * in a directory that is not the agent's own is left out. */
void engine_host_files(const struct kit *k, const char *home, struct strv *ret);

/* The files that follow between a sandbox of this spec and the outside, below the agent's home. */
void engine_credential_files(const struct spec *s, const struct kit *k, const char *home,
			     struct strv *ret);

#endif
