/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_internal: images built from a Dockerfile.
 *
 *   native_build.c        stages and instructions, in order; the image at the end
 *   native_build_stage.c  the image of a stage
 *   native_build_files.c  WORKDIR, COPY and ADD: files of the context or of another stage
 *   native_build_step.c   what a step has in hand: its directory, its layer; the cache; RUN
 *   native_build_box.c    a step's box, and the program in it
 *   native_make.c         the same for an agent's template, without a Dockerfile
 */
#ifndef WARD_ENGINE_BUILD_INTERNAL_H
#define WARD_ENGINE_BUILD_INTERNAL_H

#include "base/sha256.h"
#include "engine/engine_internal.h"
#include "image/dockerfile.h"

/* The image of a stage as it is after an instruction. */
struct build_stage {
	char *name;	      /* AS name; NULL: none */
	const char *base_ref; /* FROM: an expanded reference; borrowed from `words` */
	struct strv words;    /* of FROM */
	size_t first, end;    /* instructions behind its FROM */
	bool needed;
	bool done;  /* it is complete */
	char *base; /* manifest; NULL: scratch */
	struct image_layer *layers;
	size_t nlayers;
	struct image_history *history;
	size_t nhistory;
	char *created; /* RFC 3339: of the newest layer */
	char key[SHA256_HEX + 1];
	struct strv args; /* ARG, "K=V" */
	struct strv env;
	struct strv shell, entrypoint, cmd;
	bool own_cmd; /* CMD was said in this stage */
	char *workdir;
	char *user;
	struct json *labels;
	struct strv on_build; /* of the base: instructions that come first */
};

struct build {
	struct engine_context *c;
	const struct engine_build *q;
	struct dockerfile *file;
	struct dockerignore ignore;
	struct image_store store;
	struct image_lease lease;
	struct box_ids ids;
	char *image_helper;
	struct build_stage *stages;
	size_t nstages;
	struct strv globals; /* ARG before FROM, and what every build has */
	struct strv unused;  /* names of --build-arg that no ARG asked for */
	size_t steps, step;  /* for people */
	bool quiet;	     /* steps have titles, and the output of programs is not shown */
	const char *title;   /* of the present one */
	bool uncached; /* the present step's layer is neither looked for nor kept in the cache */
	bool (*interrupted)(void); /* asked now and then; may be NULL */
};

#define BUILD_INIT(context, request)                                                               \
	((struct build){ .c = (context),                                                           \
			 .q = (request),                                                           \
			 .store = { .fd = -1 },                                                    \
			 .lease = IMAGE_LEASE_INIT })
/* The store and what else every build needs; after build_open, whatever it returned, comes
 * build_close. */
int build_open(struct build *b, struct err *e);
void build_close(struct build *b);

void build_say(const struct build *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line about what of a step is not in its layer, unless n is 0. */
void build_tell_left_out(const struct build *b, uint64_t n, const char *what);
/* ENV above ARG, as an instruction of the stage sees them. */
void build_vars(const struct build_stage *s, struct strv *ret);
int build_expand(const struct build *b, const struct build_stage *s, const char *text, char **ret,
		 struct err *e);
/* `path` as seen from the stage's working directory: absolute and clean. Owned by the caller. */
char *build_path(const struct build_stage *s, const char *path);
/* The stage's image so far: its manifest, or NULL of one that has no layer. */
int build_manifest(struct build *b, const struct build_stage *s, const char *reference,
		   struct image_record *ret, struct err *e);
void build_stage_clear(struct build_stage *s);
/* FROM another stage: its image, as it is at its end. */
void build_stage_inherit(struct build_stage *s, const struct build_stage *from);
/* FROM or --from=: the image in the store, as the beginning of a stage. */
int build_from_image(struct build *b, const char *ref, struct build_stage *ret, struct err *e);

/* --- native_build_step.c ---------------------------------------------------------------------- */

/* What a step depends on, as the name of its record in the cache. Parts are told apart. */
void build_key_add(struct buf *key, const char *what, const char *text);
/* The layer is in the cache: it is appended to the stage, and true. Else the stage's key is that of
 * the step. */
bool build_cached(struct build *b, struct build_stage *s, const struct buf *key,
		  const struct dockerfile_instruction *i);
struct build_step {
	struct sandbox box; /* its directory */
	struct strv layers; /* below it, uppermost first */
	/* What of its upper directory becomes the layer, and what does not; NULL: all of it but
	 * what the box had of Ward. Borrowed. */
	const char *subdir;
	const struct strv *leave_out;
};
int build_step_begin(struct build *b, const struct build_stage *s, struct build_step *ret,
		     struct err *e);
/* What is in its upper directory becomes the stage's next layer. */
int build_step_commit(struct build *b, struct build_stage *s, struct build_step *p,
		      const struct dockerfile_instruction *i, struct err *e);
/* Remove everything of it. */
void build_step_end(struct build *b, struct build_step *p);
/* A verb of ward-image as root of the step's tree; fd follows the root's. *ret may be NULL. */
int build_step_helper(struct build *b, const struct build_step *p, const char *verb,
		      const struct json *request, int fd, struct json **ret, struct err *e);
int build_run(struct build *b, struct build_stage *s, const struct dockerfile_instruction *i,
	      struct err *e);
void build_history(struct build_stage *s, const struct dockerfile_instruction *i, bool empty);

/* --- native_build_box.c ----------------------------------------------------------------------- */

#define BUILD_STEP_FILE "/dev/ward-step"
#define BUILD_APT_FILE	"/dev/ward-apt.conf"
/* What the box of a step may; its workspace is mounted by nobody. Owned by the caller. */
struct spec *build_box_spec(const struct build *b, const struct build_step *p);
int build_box_start(const struct build *b, const struct build_step *p, const struct box_config *c,
		    struct err *e);
/* Run it in the box that was started, and end the box. */
int build_box_program(const struct build *b, const struct build_step *p,
		      struct spec_session *session, struct err *e);
/* Both, over the layers of the stage. script: what is to be in BUILD_STEP_FILE; NULL: nothing. */
int build_box_run(const struct build *b, const struct build_step *p, const char *script,
		  struct spec_session *session, struct err *e);
/* -EINTR, with a message, when it is so. */
int build_interrupted(const struct build *b, struct err *e);

/* --- native_build_files.c --------------------------------------------------------------------- */

int build_copy(struct build *b, struct build_stage *s, const struct dockerfile_instruction *i,
	       struct err *e);
int build_workdir(struct build *b, struct build_stage *s, const struct dockerfile_instruction *i,
		  struct err *e);

#endif
