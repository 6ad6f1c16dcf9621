/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options: the one parser of command-line options, driven by const tables.
 *
 * A verb describes its options as an array of `struct option`; the parser stores what it finds at
 * the given offsets of one values struct.  Help, man pages and completions read the same tables, so
 * an option cannot exist without its documentation.  Pure functions: nothing is printed, no file is
 * looked at.
 *
 * Accepted spellings: --name=value, --name value, -n value, -nvalue, -abc for flags, --flag=true
 * and
 * --flag=false, and `--` as the end of options.
 */
#ifndef WARD_CLI_OPTIONS_H
#define WARD_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum option_type {
	OPTION_FLAG,   /* bool */
	OPTION_STRING, /* const char *, borrowed from argv; the last one wins */
	OPTION_LIST,   /* struct strv, in the order of the command line */
	OPTION_TYPE_MAX
};

/* What a shell may offer as completion of a value or an operand. */
enum complete {
	COMPLETE_NONE,
	COMPLETE_FILE,
	COMPLETE_DIR,
	COMPLETE_SANDBOX,
	COMPLETE_AGENT,
	COMPLETE_AGENT_OR_SANDBOX,
	COMPLETE_VERB,
	COMPLETE_MAX
};

struct option {
	const char *name; /* long name without dashes */
	char letter;	  /* 0: none */
	enum option_type type;
	size_t offset;	     /* into the values struct */
	const char *arg;     /* name of the value in help; NULL for flags */
	const char *choices; /* "a|b|c": the only accepted values; NULL: any */
	enum complete complete;
	const char *help; /* one sentence without a full stop */
};

struct options_operands {
	struct strv v;
	bool dashes;	      /* `--` was seen */
	size_t before_dashes; /* operands before it; == v.n without it */
};
void options_operands_clear(struct options_operands *o);

/*
 * Parse args[0..n) (without program and verb).  stop_at_operand: the first operand ends the options
 * and everything behind it, `--` included, is kept as it is.  `values` must be zeroed or hold
 * defaults.  Unknown options, missing or unwanted values and values outside `choices` are
 * ERR_USAGE;
 * a long option that the table does not have is -ENOPROTOOPT.
 */
int options_parse(const struct option *table, size_t ntable, bool stop_at_operand,
		  char *const *args, size_t n, void *values, struct options_operands *ret,
		  struct err *e);

/* Free every OPTION_LIST of the table in values. */
void options_clear(const struct option *table, size_t ntable, void *values);

/* Was the value `s` one of "a|b|c"? */
bool options_is_choice(const char *choices, const char *s);

#endif
