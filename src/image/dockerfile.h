/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dockerfile: what a Dockerfile says, and which files a .dockerignore leaves out.  Pure: texts in,
 * values out; no descriptors, no clock.
 *
 * The language is the one that BuildKit documents, as far as Ward builds it: FROM, RUN, COPY, ADD
 * of local files, ENV, ARG, WORKDIR, USER, SHELL, LABEL, ENTRYPOINT and CMD, with line
 * continuations, here-documents, and variables.  Everything else is refused by its name, with the
 * line.
 *
 * Every size is bounded: DOCKERFILE_* below.
 */
#ifndef WARD_IMAGE_DOCKERFILE_H
#define WARD_IMAGE_DOCKERFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum {
	DOCKERFILE_BYTES_MAX = 1 << 20,
	DOCKERFILE_INSTRUCTIONS_MAX = 1000,
	DOCKERFILE_HEREDOCS_MAX = 16, /* of one instruction */
	DOCKERFILE_FLAGS_MAX = 16,
	DOCKERFILE_WORDS_MAX = 1024,	  /* of one instruction */
	DOCKERFILE_VALUE_MAX = 128 << 10, /* bytes of a text with its variables replaced */
	DOCKERFILE_NESTING_MAX = 8,	  /* ${A:-${B:-…}} */
	DOCKERIGNORE_PATTERNS_MAX = 4096,
};

enum dockerfile_kind {
	DOCKERFILE_FROM,
	DOCKERFILE_RUN,
	DOCKERFILE_COPY,
	DOCKERFILE_ADD,
	DOCKERFILE_ENV,
	DOCKERFILE_ARG,
	DOCKERFILE_WORKDIR,
	DOCKERFILE_USER,
	DOCKERFILE_SHELL,
	DOCKERFILE_LABEL,
	DOCKERFILE_ENTRYPOINT,
	DOCKERFILE_CMD,
	DOCKERFILE_KIND_MAX
};
/* "FROM", ... */
const char *dockerfile_kind_name(enum dockerfile_kind k);

struct dockerfile_heredoc {
	char *name;
	char *content; /* every line with its end; of <<- without the tabs in front */
	bool expand;   /* the delimiter was not quoted */
};
struct dockerfile_flag {
	char *name;  /* without dashes */
	char *value; /* NULL: none was given */
};
struct dockerfile_instruction {
	enum dockerfile_kind kind;
	unsigned line; /* the first one, from 1 */
	char *text;    /* as written, continuations joined, in one line: for people */
	char *args;    /* what follows the name and the flags, continuations joined */
	bool exec;     /* args are a JSON array, in `words` */
	struct strv words;
	struct dockerfile_flag flags[DOCKERFILE_FLAGS_MAX];
	size_t nflags;
	struct dockerfile_heredoc heredocs[DOCKERFILE_HEREDOCS_MAX];
	size_t nheredocs;
};
struct dockerfile {
	char escape; /* backslash or backtick */
	struct dockerfile_instruction *v;
	size_t n;
};
void dockerfile_free(struct dockerfile *d); /* takes NULL */

/*
 * name: the file in messages ("Dockerfile").  ERR_INPUT: "NAME:LINE: what is wrong", ERR_REFUSED
 * for what the language has and Ward does not.
 */
int dockerfile_parse(const char *name, const char *text, size_t n, struct dockerfile **ret,
		     struct err *e);
/* The value of a flag; NULL when it is not there ("" when it has no value). Borrowed. */
const char *dockerfile_flag(const struct dockerfile_instruction *i, const char *name);

/* --- words and variables (dockerfile_words.c) ------------------------------------------------- */

/* Split at blanks, outside of quotes; the words keep quotes and escapes. -E2BIG, -EINVAL
 * (a quote that is not closed) with e. */
int dockerfile_split(const char *text, char escape, struct strv *ret, struct err *e);
enum dockerfile_expand {
	DOCKERFILE_WORD,    /* quotes and escapes are taken away */
	DOCKERFILE_HEREDOC, /* quotes mean nothing */
};
/*
 * Replace $X, ${X}, ${X:-word}, ${X-word}, ${X:+word}, ${X+word} and ${X:?word}.  vars: "K=V"; a
 * variable that is not there is empty.  Owned by the caller.
 */
int dockerfile_expand(const char *text, char escape, enum dockerfile_expand how,
		      const struct strv *vars, char **ret, struct err *e);
/* "K=V" of ENV and LABEL: pairs, or in the old form one key and the rest of the line. Appended,
 * with variables of `vars` (those before this instruction) replaced. */
int dockerfile_pairs(const struct dockerfile_instruction *i, char escape, const struct strv *vars,
		     struct strv *ret, struct err *e);

/* --- .dockerignore (dockerignore.c) ------------------------------------------------------------
 */

struct dockerignore {
	struct strv patterns; /* cleaned; "!" in front of an exception */
};
void dockerignore_clear(struct dockerignore *d);
/* Lines that are no pattern (a range that is not closed) are an error with their number. */
int dockerignore_parse(const char *text, size_t n, struct dockerignore *ret, struct err *e);
/* Is the file or directory left out? path: relative, clean. The last pattern that matches it or one
 * of its parents decides. */
bool dockerignore_matches(const struct dockerignore *d, const char *path);
/* Could an exception bring back something below this directory, which is left out? */
bool dockerignore_looks_into(const struct dockerignore *d, const char *dir);
/* One pattern against a whole path, as Go's filepath.Match with `**` for any number of directories.
 * A pattern that is malformed matches nothing. */
bool dockerignore_glob(const char *pattern, const char *path);

#endif
