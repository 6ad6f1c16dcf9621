/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec: what the user asked for, as a value.  No side effects except reading kit files.
 *
 * A `struct spec` is made once, when a sandbox is created, from the command line, the kit and the
 * configuration; it is stored as spec.json and never changes (settings are fixed at creation).
 * A `struct kit` describes an agent: agents/<name>/spec.yaml, embedded or the user's.
 */
#ifndef WARD_SPEC_SPEC_H
#define WARD_SPEC_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "policy/policy.h"

enum { SPEC_VERSION = 1 };

enum spec_template_kind {
	SPEC_TEMPLATE_HOST,
	SPEC_TEMPLATE_DIR,
	SPEC_TEMPLATE_IMAGE,
	SPEC_TEMPLATE_KIND_MAX
};
enum spec_credentials {
	SPEC_CREDENTIALS_SANDBOX,
	SPEC_CREDENTIALS_HOST,
	SPEC_CREDENTIALS_NONE,
	SPEC_CREDENTIALS_MAX
};

/* What the agent gets of the user's own configuration for it (kit: ward.userConfig). */
enum spec_agent_config {
	SPEC_AGENT_CONFIG_READONLY, /* shown read-only where the agent only reads it */
	SPEC_AGENT_CONFIG_COPY,	    /* copied into the home once */
	SPEC_AGENT_CONFIG_OFF,
	SPEC_AGENT_CONFIG_MAX
};

struct spec_template {
	enum spec_template_kind kind;
	char *ref;    /* as written: "host", "dir:/srv/rootfs", "python:3-slim" */
	char *path;   /* dir: canonical directory; else NULL */
	char *digest; /* image: manifest digest; else NULL */
};

struct spec_workspace {
	char *path; /* canonical, absolute; the same inside */
	uint64_t dev;
	uint64_t ino;
	bool readonly;
};

struct spec_volume {
	char *source; /* canonical, absolute host path */
	char *target; /* absolute, normalised path inside */
	bool readonly;
	bool is_dir;
	uint64_t dev; /* of source, at creation */
	uint64_t ino;
};

/* A port of the box that can be reached on this machine; see port.c. */
struct spec_port {
	char *ip;	   /* of this machine, in its canonical form; NULL: 127.0.0.1 and ::1 */
	uint16_t host;	   /* 0: any that is free */
	uint16_t port;	   /* in the box */
	uint16_t assigned; /* the one that was free last time; 0: none yet */
	char *name;	   /* what the kit calls it, or NULL */
};
struct spec_ports {
	struct spec_port *v;
	size_t n;
};
enum { SPEC_PORTS_MAX = 64 };

struct spec_limits { /* 0: the default */
	uint64_t cpu_milli;
	uint64_t memory;
	uint64_t pids;
	uint64_t disk;
};

struct spec {
	char *id; /* 32 hex digits */
	char *name;
	bool named; /* the user chose the name: not the workspace's own sandbox (see state_create)
		     */
	char *agent;
	int64_t created_at; /* seconds since the epoch */
	struct spec_template tmpl;
	struct spec_workspace *workspaces; /* [0] is the agent's directory */
	size_t nworkspaces;
	struct spec_volume *volumes;
	size_t nvolumes;
	struct strv hide; /* workspace paths, absolute, that the box sees empty */
	struct strv env;  /* "K=V" given with -e / --env-file */
	enum spec_credentials credentials;
	enum spec_agent_config agent_config;
	struct strv kits;     /* names of directories below <sandbox>/kits: given with --kit */
	struct strv kit_args; /* "NAME=VALUE" or "KIT.NAME=VALUE": given with --kit-arg */
	bool docker_socket;   /* --mount-docker-socket */
	enum policy_preset network;
	bool network_default; /* nobody chose it: the user's policy file may */
	struct strv allow_hosts;
	struct strv deny_hosts;
	struct spec_ports ports; /* what it starts with: --publish, and the kit's */
	struct spec_limits limits;
	struct strv labels; /* "K=V" */
};

void spec_free(struct spec *s); /* takes NULL; frees the struct too */
struct spec *spec_new(void);
struct json *spec_to_json(const struct spec *s); /* caller unrefs */
/* Strict on types and values, tolerant of unknown members; -EINVAL with e naming the member. */
int spec_from_json(const struct json *j, struct spec **ret, struct err *e);
const char *spec_credentials_name(enum spec_credentials c);
int spec_credentials_parse(const char *s, enum spec_credentials *ret);
const char *spec_agent_config_name(enum spec_agent_config c);
int spec_agent_config_parse(const char *s, enum spec_agent_config *ret); /* -EINVAL */

/*
 * Parse "host", "dir:PATH" or an image: a reference, or oci:, oci-archive: or docker-archive: with
 * a path. dir: PATH is made canonical and must be a directory that holds a root file system (usr or
 * bin, and etc); anything else is refused with a hint.
 */
int spec_template_parse(const char *text, struct spec_template *ret, struct err *e);

/* "[[IP:]HOSTPORT:]PORT[/tcp]". -EINVAL with e. */
int spec_port_parse(const char *text, struct spec_port *ret, struct err *e);
void spec_port_clear(struct spec_port *p);
/* The port of this machine that it has, or had last; 0: none yet. */
uint16_t spec_port_host(const struct spec_port *p);
/* "127.0.0.1:80", "[::1]:80". */
void spec_port_address(const char *ip, uint16_t port, struct buf *out);
/* As spec_port_parse takes it, and as listings show it: "127.0.0.1:8080->3000/tcp". */
void spec_port_text(const struct spec_port *p, struct buf *out);
void spec_port_shown(const struct spec_port *p, struct buf *out);
/* On every address of this machine? */
bool spec_port_is_public(const struct spec_port *p);
/* What the pattern leaves open (address, port of this machine) matches all. */
bool spec_port_matches(const struct spec_port *p, const struct spec_port *pattern);
bool spec_port_equal(const struct spec_port *a, const struct spec_port *b); /* as asked for */
/* Takes p over, also when it fails: -EEXIST, -E2BIG. */
int spec_ports_add(struct spec_ports *list, struct spec_port *p, struct err *e);
/* Returns how many matched. */
size_t spec_ports_remove(struct spec_ports *list, const struct spec_port *pattern);
void spec_ports_copy(const struct spec_ports *from, struct spec_ports *ret);
void spec_ports_clear(struct spec_ports *p);
/* An array of objects; reading is as strict as spec_from_json. */
struct json *spec_ports_to_json(const struct spec_ports *p);
int spec_ports_from_json(const struct json *j, struct spec_ports *ret, struct err *e);

struct spec_paths {	  /* what workspaces and volumes are checked against */
	const char *home; /* the user's home, canonical */
	const char *data; /* Ward's data directory, canonical */
	const char *runtime;
	const char *config;
};
/*
 * A workspace argument "DIR[:ro]" (cwd-relative allowed): canonical path, device, inode. Refuses
 * "/", $HOME itself, Ward's own directories and their ancestors, system directories (/etc /usr
 * /proc /sys /dev /run /boot ...), a path that is missing, no directory or unreadable; each with
 * its reason and cure.
 */
int spec_workspace_parse(const char *text, const struct spec_paths *p, struct spec_workspace *ret,
			 struct err *e);
/* A volume "HOST:SANDBOX[:ro|:rw]"; source must exist; same refusals plus credential directories
 * (~/.ssh, ~/.gnupg,
 * ~/.aws, ~/.config/gcloud, ...) and engine sockets. */
int spec_volume_parse(const char *text, const struct spec_paths *p, struct spec_volume *ret,
		      struct err *e);
/*
 * What git needs besides the workspace; see gitdir.c.  A `.git` that is a file is taken at its word
 * only when the repository says the same.
 */
struct spec_git {
	struct spec_volume *volumes; /* the file `.git` itself first, when there are any */
	size_t nvolumes;
	struct strv alternates; /* absolute object directories that objects are borrowed from */
	const char *refused;	/* static: why the repository is not shown; continues ".git ..." */
	char *missing;		/* refused: what has to be there first, or NULL */
};
/* Looks; with `make`, a submodule's repository that is shown gets its `commondir`. 0 for a
 * workspace without git, too. */
int spec_git_look(const struct spec_workspace *w, const struct spec_paths *paths, bool make,
		  struct spec_git *ret, struct err *e);
void spec_git_clear(struct spec_git *g);
/*
 * Something of the user's own that is lent to a sandbox because it is at a known place. Unlike a
 * volume it may be a link there: *ret_path is what it leads to. It must lie in the home or belong
 * to the user; the refusals are those of volumes. -ENOENT when there is nothing. *ret_path is owned
 * by the caller.
 */
int spec_own_parse(const char *path, const struct spec_paths *p, char **ret_path, bool *ret_is_dir,
		   struct err *e);
/* May something be mounted at this normalised path inside? -EPERM with e for the sandbox's own
 * places. */
int spec_target_check(const char *path, struct err *e);
void spec_template_clear(struct spec_template *t);
void spec_workspace_clear(struct spec_workspace *w);
void spec_volume_clear(struct spec_volume *v);

/* Kits */

struct kit_file {
	char *path;    /* absolute inside, or ~/... for the agent's home */
	char *content; /* with ${WORKDIR} and friends not yet replaced */
	unsigned mode;
	bool only_if_missing;
};
struct kit_command {
	struct strv argv; /* install: {"sh","-c",...} */
	char *user;	  /* "0", "1000" */
	bool background;
};
struct kit_volume {
	char *path;
	char *type; /* "" or "tmpfs" */
	uint64_t size;
	unsigned mode;
};
struct kit_port {
	uint64_t container;
	char *protocol; /* "tcp" or "udp" */
	char *name;	/* may be NULL */
};
/* ward.userConfig[]: one thing of the user's own home that the agent may have. */
struct kit_user_config {
	char *path;	  /* below the home, on the host and inside: ".claude/skills" */
	struct strv keys; /* a JSON file: only these top-level members, merged into the seed of the
			     same path; empty: the file or directory as it is */
	bool given;	  /* by a kit of --kit, which is not one of the user's own */
};
struct kit_credential {
	char *service;
	char *description;
	bool required;
	char *env_name; /* apiKey.name */
	bool proxy_managed;
	char *credential_file; /* oauth.credentialFile.path */
	struct json *raw;      /* the whole item, for later use */
	bool mixed;	       /* brought by a mixin: nothing of this machine's is taken for it */
};
struct kit {
	char *origin; /* "built-in" or the file it was read from */
	char *kind;   /* "sandbox" or "mixin" */
	char *name;
	char *version;
	char *display_name;
	char *description;
	char *image;
	char *extends;	      /* name of the kit that this one was made from, or NULL */
	struct strv bases;    /* that kit and those that it was made from, nearest first */
	struct strv mixins;   /* names of the mixins that were added, in their order */
	char *requires_agent; /* mixin: the only agent that it is for, or NULL */
	uint64_t cpu_milli;   /* sandbox.resources; 0: not given */
	uint64_t memory;
	struct strv trees; /* directories of kits that may hold files/home and files/workspace, in
			      the order in which they apply */
	struct strv *tree_args; /* of each tree: "NAME=VALUE", see kit_tree_text */
	struct strv entrypoint;
	struct strv command_default;	 /* without a terminal */
	struct strv command_interactive; /* with a terminal */
	char *instructions_file;
	char *instructions;
	struct kit_credential *credentials;
	size_t ncredentials;
	struct strv net_allow;
	struct strv net_deny;
	struct strv env; /* "K=V" */
	struct kit_command *install;
	size_t ninstall;
	struct kit_command *startup;
	size_t nstartup;
	struct kit_file *files;
	size_t nfiles;
	struct kit_volume *volumes;
	size_t nvolumes;
	struct kit_port *ports;
	size_t nports;
	/* below the key `ward:` */
	struct kit_user_config *user_config;
	size_t nuser_config;
	char *binary;		      /* program to look for on the host and in the template */
	struct strv credential_files; /* below ~ */
	char *install_hint;	      /* a command that installs the agent on the host */
	char *npm;		      /* the package of npm that is the agent, or NULL */
};

void kit_free(struct kit *k); /* takes NULL */
/* Parse YAML text; origin is used in messages ("FILE:LINE: unknown field 'x', did you mean 'y'?").
 */
int kit_parse(const char *text, size_t n, const char *origin, struct kit **ret, struct err *e);
/*
 * What a file below trees.v[tree] becomes in a sandbox: its arguments, ${{ kit.args.NAME }},
 * replaced in a text; other bytes are taken as they are. Appends to *out.
 */
int kit_tree_text(const struct kit *k, size_t tree, const char *path, const char *bytes, size_t n,
		  struct buf *out, struct err *e);

struct kit_extras {	  /* what --kit and --kit-arg add */
	struct strv dirs; /* directories or ZIP files */
	struct strv args; /* "NAME=VALUE" or "KIT.NAME=VALUE" */
	/* Only to look at kits: a required argument that nobody gave is its first choice, or its
	 * own name. */
	bool placeholders;
};
void kit_extras_clear(struct kit_extras *x);
/* The extras of a stored sandbox: its own copies, below the directory of the sandbox. */
void kit_extras_of(const struct spec *s, const char *sandbox_dir, struct kit_extras *ret);
/*
 * By name: first a kit of kind sandbox among the extras, then <config_dir>/kits/NAME/spec.yaml,
 * then the embedded ones. An unknown name is ERR_NOT_FOUND with the nearest name as hint.
 * extras NULL: none.
 */
int kit_load(const char *name, const char *config_dir, const struct kit_extras *extras,
	     struct kit **ret, struct err *e);
/* The same, but a mixin by itself will do: for looking at kits. */
int kit_load_any(const char *name, const char *config_dir, const struct kit_extras *extras,
		 struct kit **ret, struct err *e);
/* Every member of a kit, see docs/json.md. Caller unrefs. */
struct json *kit_to_json(const struct kit *k);
/*
 * The files of a kit, read from a directory, a ZIP file or a spec.yaml: at most 1,000 files of
 * together 64 MiB, no links.  What a sandbox keeps of a kit that is given with --kit.
 */
struct kit_bundle;
int kit_bundle_read(const char *path, struct kit_bundle **ret, struct err *e);
void kit_bundle_free(struct kit_bundle *b); /* takes NULL */
const char *kit_bundle_name(const struct kit_bundle *b);
bool kit_bundle_equal(const struct kit_bundle *a, const struct kit_bundle *b);
/* Make kits/NAME/... below dirfd, which has none. A failure leaves a part. */
int kit_bundle_write(const struct kit_bundle *b, int dirfd, struct err *e);
/* All names, built-in and the user's, sorted, each once. */
int kit_names(const char *config_dir, struct strv *ret, struct err *e);

enum { KIT_CREDENTIAL_FILES_MAX = 16 };
/* Append the files that hold the agent's login, as paths below its home (home inside), each once;
 * at most KIT_CREDENTIAL_FILES_MAX in all. host: only those that may come from this machine's own,
 * which a mixin cannot name. */
void kit_credential_files(const struct kit *k, const char *home, bool host, struct strv *ret);

struct kit_vars { /* what ${...} in seeds means */
	const char *workdir;
	const char *home;
	const struct strv *env; /* the sandbox's environment: ${ENV:NAME} value, ${ENV_TAIL20:NAME}
				   its last 20 bytes; empty when unset */
};
/* Replace ${WORKDIR}, ${HOME}, ${ENV:..}, ${ENV_TAIL20:..}; values are escaped as JSON string
 * content when the path ends in .json or .toml. Other ${...} stay. */
char *kit_file_render(const struct kit_file *f, const struct kit_vars *v);
/* Path inside: ~ replaced by home. */
char *kit_path(const char *path, const char *home);

/* The TCP ports that a kit declares and the list does not have: on any free port of this machine.
 */
void spec_ports_of_kit(const struct kit *k, struct spec_ports *list);

/*
 * Network rules in files, policy.yaml: the user's in the configuration directory, and one in a
 * sandbox's directory.  See policy_file.c.
 */
#define SPEC_POLICY_FILE "policy.yaml"
struct spec_policy {
	bool has_preset;
	enum policy_preset preset;
	struct strv allow; /* as written */
	struct strv deny;
};
void spec_policy_clear(struct spec_policy *p);
/* -EINVAL, "ORIGIN:LINE: WHY". */
int spec_policy_parse(const char *text, size_t n, const char *origin, struct spec_policy *ret,
		      struct err *e);
/* DIR/policy.yaml; a missing one is empty. */
int spec_policy_read(const char *dir, struct spec_policy *ret, struct err *e);
enum spec_policy_change {
	SPEC_POLICY_ALLOW,  /* value: a canonical rule */
	SPEC_POLICY_DENY,   /* the same */
	SPEC_POLICY_REMOVE, /* one line with that rule, of allow before deny */
	SPEC_POLICY_PRESET, /* value: its name */
};
/*
 * Change the text of a policy file, which keeps its comments and order. *ret_changed is false when
 * nothing was to be done. -EINVAL, and the text stays, for a bad file or one that is not written
 * line by line. Pure.
 */
int spec_policy_edit(struct buf *text, const char *origin, enum spec_policy_change what,
		     const char *value, bool *ret_changed, struct err *e);

/* What of a sandbox's rules does not change while it lives. */
struct spec_rules_base {
	enum policy_preset preset;
	bool preset_default;
	char *fixed; /* of its kit and its options, as policy_rules_write text */
};
int spec_rules_base(const struct spec *s, const struct kit *k, struct spec_rules_base *ret,
		    struct err *e);
void spec_rules_base_clear(struct spec_rules_base *b);
/* The preset that counts. */
enum policy_preset spec_rules_preset(const struct spec_rules_base *b,
				     const struct spec_policy *user, const struct spec_policy *own);
/* Append the whole rule set as policy_rules_write text. */
int spec_rules_join(const struct spec_rules_base *b, const struct spec_policy *user,
		    const struct spec_policy *own, struct buf *out, struct err *e);
/* The same with the files as they are now. sandbox_dir may be NULL. *ret is owned by the caller. */
int spec_rules_text(const struct spec_rules_base *b, const char *config_dir,
		    const char *sandbox_dir, char **ret, struct err *e);

/*
 * A program to run in a sandbox: what `run`, `exec` and `attach` ask for.  argv[0] is looked up in
 * the PATH of env, inside.
 */
enum spec_session_kind {
	SPEC_SESSION_AGENT,
	SPEC_SESSION_EXEC,
	SPEC_SESSION_SETUP, /* a step of a kit */
	SPEC_SESSION_KIND_MAX
};
const char *spec_session_kind_name(enum spec_session_kind k);
struct spec_session {
	enum spec_session_kind kind;
	struct strv argv; /* empty with login */
	struct strv env;  /* complete: nothing is inherited */
	/* "K=V" of the caller's terminal and language: they count where env does not have K, and as
	 * far as the box knows them. */
	struct strv caller_env;
	bool login; /* the user's login shell, from the box's password file */
	char *cwd;  /* absolute inside */
	char *user; /* "NAME|UID[:GROUP|GID]"; NULL: the agent */
	bool tty;
	bool interactive; /* stdin is connected; else it is at end of file */
	uint16_t rows;
	uint16_t cols;
};
void spec_session_clear(struct spec_session *s);
struct json *spec_session_to_json(const struct spec_session *s);
int spec_session_from_json(const struct json *j, struct spec_session *ret, struct err *e);

/*
 * config.yaml of the user: template, network, credentials, ... defaults; NULL members when unset.
 * A missing file is an empty configuration; an unknown key or a bad value names file and line.
 */
struct spec_config {
	char *template;
	char *network;
	char *credentials;
	char *agent_config;
	uint64_t grace_seconds; /* how long an empty box lives; default 600 */
	struct strv env;
	/* [{"host", "insecure", "ca", "mirrors": [...]}] or NULL */
	struct json *registries;
	/* The company's proxy, in place of the variables of the environment (base/proxy.h); the
	 * file with its certificate authorities, absolute. */
	char *proxy;
	char *no_proxy;
	char *ca;
};
int spec_config_read(const char *config_dir, struct spec_config **ret, struct err *e);
void spec_config_free(struct spec_config *c);

#endif
