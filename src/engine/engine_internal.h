/* SPDX-License-Identifier: Apache-2.0 */
/* engine_internal: what the files of the native engine share. */
#ifndef WARD_ENGINE_ENGINE_INTERNAL_H
#define WARD_ENGINE_ENGINE_INTERNAL_H

#include "base/tarball.h"
#include "box/box.h"
#include "engine/engine.h"
#include "image/image.h"
#include "supervise/supervise.h"

#define NATIVE_HOME	"/home/agent"
#define NATIVE_LINK_DIR BOX_BIN_DIR
/* What comes first in every PATH. */
#define NATIVE_PATH_FRONT NATIVE_HOME "/.local/bin:" NATIVE_LINK_DIR
#define NATIVE_PATH                                                                                \
	NATIVE_PATH_FRONT ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define NATIVE_PERSISTENT "/etc/sandbox-persistent.sh"
#define NATIVE_NODE_QUIET "/run/ward/node-quiet.cjs"
enum { NATIVE_PROXY_PORT = 3128 };

/* In a sandbox's directory, until its home has what its template has there. */
#define NATIVE_UNFILLED "unfilled"

/* Where ward-init or ward-proxy is; ERR_HOST when it is nowhere. Owned by the caller. */
int native_helper(const char *name, char **ret, struct err *e);

/* In a child of box_run_mapped or box_run_on_tree: run a helper, and leave its answer in a file. */
int native_job_run(const struct image_job *job, int result_fd, struct err *e);
/* Afterwards, in the parent: the answer from the start of that file. */
int native_job_result(int result_fd, struct json **ret, struct err *e);

/*
 * The box configuration of a spec: ids, layers or host binds, the agent's own directory, seeds and
 * the git identity. dir is the sandbox's directory (it need not exist for a dry run). Consumes
 * nothing; the result owns copies. starts: the box is about to be made, and its authorities of
 * certificates are brought up to date there.
 */
int native_config(struct engine_context *c, const struct spec *s, const struct kit *k,
		  const char *dir, bool starts, struct box_config **ret, struct err *e);
/* Put the base environment below what the session has already: session values win. */
int native_session_env(struct engine_context *c, const struct spec *s, struct spec_session *session,
		       struct err *e);

/* native_ca.c: certificates of the user's company, in a file inside. */
#define NATIVE_CA "/run/ward/ca.pem"
/* Give the box of a configuration the file, if there is a need for it. */
int native_ca(const struct engine_context *c, struct box_config *b, bool starts, struct err *e);
/* What is in that file; empty: there is no need. dir: of the sandbox, or NULL. */
int native_ca_bundle(const struct engine_context *c, const char *dir, const struct strv *layers,
		     struct buf *ret, struct err *e);
/* The variables that name such a file, where they are not set. */
void native_ca_set(const char *path, struct strv *env);
/* The same for a sandbox whose box has the file. */
void native_ca_env(const struct engine_context *c, const struct spec *s, struct strv *env);

/* native_image.c: unpack the layers of the manifest `digest` that are not yet there. The caller
 * holds IMAGE_LOCK_CONTENT. */
int native_image_unpack(struct engine_context *c, const char *digest, const struct box_ids *ids,
			struct err *e);
/* Their directories, uppermost first; for a dry run they need not be there. */
int native_image_layers(struct engine_context *c, const char *digest, const struct box_ids *ids,
			struct strv *ret, struct err *e);
/* Before a start: the layers of the spec's template are there. */
int native_image_ready(struct engine_context *c, const struct spec *s, struct err *e);

/* native_layer.c: directories that belong to ids of a box, as a layer of the store, by ward-image
 * as root of these ids. The caller holds IMAGE_LOCK_CONTENT. */
int native_layer_pack(const struct image_store *s, const struct box_ids *ids,
		      const struct image_tree *trees, size_t n, struct image_layer *ret,
		      struct err *e);

/* native_save.c */
int native_save(struct engine_context *c, const struct sandbox *s, const char *reference,
		struct engine_saved *ret, struct err *e);

/* docker_image.c: an image of this user's container engine, as `docker save` writes it, in a file
 * without a name in spool_dir. */
int native_docker_image(struct engine_context *c, const struct image_ref *ref, int spool_dir,
			int *ret, struct err *e);

/* native_template.c */
int native_template(struct engine_context *c, struct spec_template *t, enum engine_pull pull,
		    struct err *e);
/* The image's variables below what env has. Those that describe the box are not the image's to set;
 * its PATH gets the box's own directories in front. Pure. */
void native_image_merge_env(const struct strv *image, struct strv *env);
/* The same for the template of a spec; nothing when that is no image. */
int native_image_env(struct engine_context *c, const struct spec *s, struct strv *env,
		     struct err *e);

/* native_ports.c: see engine_ops. */
int native_ports(struct engine_context *c, const struct sandbox *s, struct spec_ports *ret,
		 struct err *e);
int native_ports_change(struct engine_context *c, const struct sandbox *s,
			const struct spec_port *publish, const struct spec_port *unpublish,
			struct spec_ports *ret, struct err *e);
/* Of an error about a port that is taken: say who has it, and the cure. Returns e->code. */
int native_ports_explain(struct engine_context *c, const struct sandbox *s,
			 const struct spec_ports *ports, struct err *e);

/* native_shell.c: the files that make a shell inside feel at home, and with one id a sudo. */
int native_shell(struct engine_context *c, struct box_config *b, const struct spec *s,
		 const struct kit *k, struct err *e);

/* What of the host makes a program found there work inside. */
struct host_program {
	char *real; /* resolved path of the program */
	struct strv
		binds; /* absolute paths outside the system directories, to be shown read-only */
	char *interpreter; /* resolved path of node when the program is a node script outside /usr;
			      or NULL */
};
void host_program_clear(struct host_program *p);
int host_program_resolve(const char *path, const char *home, const struct spec *s,
			 struct host_program *ret, struct err *e);

/* The spec and the kit that a stored sandbox was made from. */
struct native_loaded {
	struct spec *spec;
	struct kit *kit;
};
int native_load(struct engine_context *c, const struct sandbox *s, struct native_loaded *ret,
		struct err *e);
void native_loaded_clear(struct native_loaded *l);

/* The ids that a sandbox's files belong to; -ENOENT before its first start. */
int native_ids_read(const struct sandbox *s, struct box_ids *ret, struct err *e);

struct user_config;
/* Append to b->files what the kit puts into the sandbox, joined with the user's own. */
void native_kit_files(struct box_config *b, const struct spec *s, const struct kit *k,
		      const struct user_config *u);

/* native_provision.c: before the supervisor starts, with the life lock in hand: note what is to be
 * done in the box. */
int native_provision_begin(const struct sandbox *s, const struct spec *spec, const struct kit *k,
			   struct err *e);
/* Do what is noted, or wait for who does it. -ENOTCONN: the box does not run (any more). */
int native_provision(struct engine_context *c, const struct sandbox *s, struct err *e);
/* A file or directory of the host, unpacked inside by a confined process. */
struct native_tree {
	const char *source;
	const char *root;   /* its name in target; "." for the contents of a directory */
	const char *target; /* a directory inside */
	unsigned flags;	    /* COPY_* */
	struct tarball_limits limits;
};
int native_place_tree(struct engine_context *c, const struct sandbox *s,
		      const struct native_tree *t, struct err *e);

/* --- user_config.c --------------------------------------------------------------------------- */

enum user_config_way {
	USER_CONFIG_BOUND,  /* shown read-only */
	USER_CONFIG_COPIED, /* unpacked once */
	USER_CONFIG_MERGED, /* some members, in the kit's seed */
	USER_CONFIG_NOTED,  /* in front of the kit's instructions */
};
struct user_config_item {
	enum user_config_way way;
	const struct kit_user_config *config; /* of the kit */
	char *source;			      /* canonical, on this machine */
	char *target;			      /* inside */
};
struct user_config {
	struct user_config_item *v;
	size_t n;
	char *instructions;  /* the file inside that the kit's instructions go to; NULL: none */
	struct strv refused; /* what is left out, and why */
};
void user_config_clear(struct user_config *u);
/* Look at the user's home. The kit must outlive the result. */
void user_config_find(const struct engine_context *c, const struct spec *s, const struct kit *k,
		      struct user_config *ret);
/* The item of just that place inside, or NULL. */
const struct user_config_item *user_config_at(const struct user_config *u, const char *target);
/*
 * The members `keys` of the JSON object `theirs` behind those of `seed` (NULL: none), which win.
 * NULL when one of them is no JSON object. Owned by the caller. Pure.
 */
char *user_config_merge(const char *theirs, size_t n, const struct strv *keys, const char *seed);
/* The same with the item's file; NULL when it cannot be read. */
char *user_config_merged(const struct user_config_item *i, const char *seed);
/* The file of instructions: the user's text, then the kit's. */
char *user_config_notes(const struct user_config *u, const char *notes);
/* Unpack what is to be copied. */
int user_config_copy(struct engine_context *c, const struct sandbox *s, const struct user_config *u,
		     struct err *e);

/* policy.c: of struct engine_ops */
int native_rules(struct engine_context *c, const struct sandbox *s, char **ret, struct err *e);
int native_policy_ask(struct engine_context *c, const struct sandbox *s, int *ret_fd,
		      struct err *e);
int native_policy_answer(struct engine_context *c, int fd, struct err *e);

/* native_logs.c */
int native_sessions(struct engine_context *c, const struct sandbox *s, struct json **ret,
		    struct err *e);
int native_take_ended(struct engine_context *c, const struct sandbox *s, struct json **ret,
		      struct err *e);
int native_logs(struct engine_context *c, const struct sandbox *s, uint32_t id, bool follow,
		int out, struct err *e);

/* credentials.c: what the supervisor is to follow; makes the volume's directories. */
int native_credentials(const struct engine_context *c, const struct spec *s, const struct kit *k,
		       struct supervise_credentials *ret, struct err *e);
/* Are there credential files in the sandbox's home? k: NULL when the kit is gone. */
bool native_has_credentials(const struct sandbox *s, const struct kit *k);
/* Remove them; the caller holds the life lock. */
int native_remove_credentials(const struct sandbox *s, const struct kit *k,
			      const struct box_ids *ids, struct err *e);

#endif
