/* SPDX-License-Identifier: Apache-2.0 */
/* engine_internal: what the files of the native engine share. */
#ifndef WARD_ENGINE_ENGINE_INTERNAL_H
#define WARD_ENGINE_ENGINE_INTERNAL_H

#include "base/tarball.h"
#include "box/box.h"
#include "engine/engine.h"

#define NATIVE_HOME	"/home/agent"
#define NATIVE_LINK_DIR BOX_BIN_DIR
enum { NATIVE_PROXY_PORT = 3128 };

/* Where ward-init or ward-proxy is; ERR_HOST when it is nowhere. Owned by the caller. */
int native_helper(const char *name, char **ret, struct err *e);

/*
 * The box configuration of a spec: ids, layers or host binds, the agent's own directory, seeds and
 * the git identity. dir is the sandbox's directory (it need not exist for a dry run). Consumes
 * nothing; the result owns copies.
 */
int native_config(struct engine_context *c, const struct spec *s, const struct kit *k,
		  const char *dir, struct box_config **ret, struct err *e);
/* Put the base environment below what the session has already: session values win. */
void native_session_env(const struct spec *s, const struct spec_config *config,
			struct spec_session *session);

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

/* native_logs.c */
int native_sessions(struct engine_context *c, const struct sandbox *s, struct json **ret,
		    struct err *e);
int native_logs(struct engine_context *c, const struct sandbox *s, uint32_t id, bool follow,
		int out, struct err *e);

#endif
