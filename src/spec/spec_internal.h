/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec_internal: what the files of spec/ share: the YAML tree, the field tables that turn a tree
 * into a struct, and the embedded kits.
 *
 * A file of the user goes through three stages: yaml_tree_read makes a small tree with line
 * numbers, fields_read walks it along const tables of fields, and the file's own checks look at
 * what several fields mean together.  Only the tables know which fields exist.
 */
#ifndef WARD_SPEC_SPEC_INTERNAL_H
#define WARD_SPEC_SPEC_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "spec/spec.h"

/* YAML. The names end in _tree and _node: libyaml exports yaml_free and others of its own. */

enum { YAML_BYTES_MAX = 1 << 20, YAML_DEPTH_MAX = 32, YAML_NODES_MAX = 10000 };

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAPPING, YAML_KIND_MAX };

struct yaml_node {
	enum yaml_kind kind;
	unsigned line; /* from 1 */
	bool plain;    /* scalar: without quotes, so that `true` and `~` may be more than text */
	char *text;    /* scalar */
	size_t n;      /* list, mapping: members */
	size_t cap;
	struct yaml_node **keys; /* mapping: scalars, all different; list: NULL */
	struct yaml_node **items;
};

struct yaml_tree; /* owns every node */

/*
 * Read one YAML document of a strict subset: no anchors, aliases, tags, merge keys, directives,
 * second documents, duplicate or composite keys; bounded in bytes, depth and nodes.  Errors are
 * -EINVAL, "ORIGIN:LINE: WHY".
 */
int yaml_tree_read(const char *text, size_t n, const char *origin, struct yaml_tree **ret,
		   struct err *e);
void yaml_tree_free(struct yaml_tree *y);			   /* takes NULL */
const struct yaml_node *yaml_tree_root(const struct yaml_tree *y); /* NULL: the document is empty */
/* An unquoted nothing: empty, `~` or `null`. */
bool yaml_node_is_null(const struct yaml_node *v);
/* A member of a mapping; NULL when it is missing or v is no mapping (v may be NULL). */
const struct yaml_node *yaml_node_get(const struct yaml_node *v, const char *key);
/*
 * Give every scalar that is a value (no key, not the root) to `fill`, which may set *ret to its new
 * text, owned. The new text counts as quoted unless it is true or false. Stops at an error.
 */
typedef int yaml_fill(void *arg, const struct yaml_node *v, char **ret);
int yaml_tree_fill(struct yaml_tree *y, yaml_fill *fill, void *arg);
/* The same tree as JSON; plain true, false, null and whole numbers become such. Caller unrefs. */
struct json *yaml_node_to_json(const struct yaml_node *v);

/* Fields */

enum { FIELD_LIST_MAX = 1024, FIELD_TEXT_MAX = 4096, FIELD_BODY_MAX = 256 * 1024 };
#define FIELD_DROP SIZE_MAX /* checked, and not kept */

struct field_reader {
	const char *origin; /* the file, for messages */
	struct err *e;
};

struct fields;
struct field {
	const char *name;
	/* Check `v` and write it to `out`, which is NULL when the value is not kept. */
	int (*read)(const struct field_reader *r, const struct field *f, const struct yaml_node *v,
		    void *out);
	size_t offset;		   /* in the object; FIELD_DROP */
	size_t count;		   /* field_objects: offset of the size_t that counts them */
	const struct fields *sub;  /* field_section, field_objects */
	const char *const *values; /* field_choice: NULL-terminated */
	const char *reason;	   /* field_refused: why */
	uint64_t min, max;	   /* field_uint; field_mode: max, 0 means 0777 */
	bool required;
};

struct fields {
	const char *what; /* the section's name in messages */
	const struct field *v;
	size_t n;
	size_t size;		  /* of an object, for field_objects */
	const struct field *bare; /* field_objects: what a text in place of a mapping is; or NULL */
	/* Checks an object as a whole, after its fields; may be NULL. */
	int (*finish)(const struct field_reader *r, const struct yaml_node *v, void *object);
};

/* Read a mapping into `object` along the table. object NULL: only check. */
int fields_read(const struct field_reader *r, const struct fields *t, const struct yaml_node *v,
		void *object);
/* "ORIGIN:LINE: message", ERR_INPUT, -EINVAL. */
int field_error(const struct field_reader *r, const struct yaml_node *v, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define FIELD_READER(name)                                                                         \
	int name(const struct field_reader *r, const struct field *f, const struct yaml_node *v,   \
		 void *out)
FIELD_READER(field_text);	/* char *: one line */
FIELD_READER(field_body);	/* char *: lines */
FIELD_READER(field_name);	/* char *: text_check_name */
FIELD_READER(field_choice);	/* char *: one of values */
FIELD_READER(field_bool);	/* bool */
FIELD_READER(field_uint);	/* uint64_t within min..max */
FIELD_READER(field_size);	/* uint64_t, "512m" */
FIELD_READER(field_duration);	/* uint64_t seconds, "10m" */
FIELD_READER(field_mode);	/* unsigned, octal permission bits up to max */
FIELD_READER(field_texts);	/* struct strv: a list of one-line texts */
FIELD_READER(field_bodies);	/* struct strv: a list of texts that may have lines */
FIELD_READER(field_allow);	/* struct strv: network patterns to allow */
FIELD_READER(field_deny);	/* struct strv: to deny, which may be wider */
FIELD_READER(field_env);	/* struct strv "K=V": a mapping of variables */
FIELD_READER(field_section);	/* a mapping whose fields go into the same object */
FIELD_READER(field_objects);	/* T * and a count: a list of mappings */
FIELD_READER(field_registries); /* struct json *: a list, see registries.c */
FIELD_READER(field_any);	/* whatever it is; not kept */
FIELD_READER(field_refused);	/* an error with `reason` */

/* Checks for the texts of one field, used by tables' finish functions and by spec_read.c. */

/* No C0 or C1 control character and no DEL; `lines` lets newline and tab pass. */
bool spec_text_is_clean(const char *s, bool lines);
/* An IP address in its canonical form? 0 or -EINVAL. */
int spec_port_check_ip(const char *ip);
/* [A-Za-z_][A-Za-z0-9_]* of at most 256 bytes; n is the length. */
bool spec_env_name_ok(const char *name, size_t n);

/* Read a whole file of the user's (symlinks are followed: the configuration directory is theirs).
 * -ENOENT when it is missing. */
int spec_read_file(const char *path, struct buf *out, struct err *e);

/*
 * The last value of SECTION.NAME (no subsection) in the n bytes of a git configuration file: owned
 * by the caller, NULL when there is none, "true" for a name alone.  Includes are not followed.
 * -EINVAL for what git would refuse.
 */
int gitconfig_get(const char *text, size_t n, const char *section, const char *name, char **ret,
		  struct err *e);

/*
 * Does a regular expression match the whole of `value`?  Groups, brackets, repetitions, alternation
 * and \d \w \s. NULL and *ret, or why the pattern cannot be used. Pure.
 */
const char *spec_pattern_match(const char *pattern, const char *value, bool *ret);

/* Kits */

struct kit_given { /* --kit-arg */
	const struct strv *args;
	bool *used; /* of args: which of them some kit has */
	bool placeholders;
};
/*
 * Read the declarations below `args` of a kit, take values from `given` (may be NULL) or defaults,
 * and replace ${{ kit.args.NAME }} in all values of the tree. *values gets "NAME=VALUE" of each.
 */
int kit_args_apply(const struct field_reader *r, struct yaml_tree *y, struct kit_given *given,
		   struct strv *values);
bool kit_arg_name_ok(const char *name);
/*
 * Append `text` with its references replaced. -EINVAL: a reference to what `values` does not have;
 * *ret_bad is the inside of its brackets.
 */
int kit_args_replace(const char *text, const struct strv *values, struct buf *out, char **ret_bad);

/* The text of a bundle's spec.yaml. Borrowed. */
const struct buf *kit_bundle_spec(const struct kit_bundle *b);

/* ZIP archives */

struct zip;
struct zip_entry {
	char *name;    /* UTF-8, relative, no "." or ".." */
	uint64_t size; /* of what it unpacks to */
	bool is_dir;   /* the name ends in '/' */
	bool executable;
};
/*
 * Check a whole archive in memory, which must stay there: every name, header and offset; see zip.c
 * for what is refused. Pure. -EINVAL saying what is wrong.
 */
int zip_open(const void *bytes, size_t n, size_t max_entries, struct zip **ret, struct err *e);
void zip_close(struct zip *z); /* takes NULL */
size_t zip_count(const struct zip *z);
const struct zip_entry *zip_at(const struct zip *z, size_t i);
/* Append the contents of an entry of at most max bytes; nothing on failure. */
int zip_extract(const struct zip *z, size_t i, size_t max, struct buf *out, struct err *e);
/* What is wrong with a name in an archive or a kit's directory; NULL: nothing. */
const char *zip_name_problem(const char *name, size_t n);

/* One spec.yaml, checked by itself, before it is joined with others. */
struct kit_part {
	struct kit kit; /* first: the tables' offsets are within it */
	struct yaml_tree *tree;
	struct strv mixins;
	struct strv locked;
	struct strv args; /* "NAME=VALUE" */
	bool has_default; /* sandbox.command.default is there, be it empty */
	bool has_interactive;
};
void kit_part_free(struct kit_part *p); /* takes NULL */
int kit_part_parse(const char *text, size_t n, const char *origin, struct kit_given *given,
		   struct kit_part **ret, struct err *e);
/*
 * Join `over`, which is consumed in any case, into `base`: as a kit that extends it, or as a mixin,
 * which does not touch how the agent is launched. An error when base locks what over gives.
 */
int kit_part_extend(struct kit_part *base, struct kit_part *over, struct err *e);
int kit_part_mix(struct kit_part *base, struct kit_part *over, struct err *e);
/* Can this name a field: "sandbox.image", "credentials[service=x]"? */
bool kit_path_ok(const char *path);
/* Does `over` give a field that `base` locks? -EINVAL naming both. */
int kit_check_locked(const struct kit_part *base, const struct kit_part *over, struct err *e);
void kit_add_tree(struct kit *k, const char *dir, const struct strv *args);
/* The finished kit of a part, which is consumed. */
struct kit *kit_part_finish(struct kit_part *p);

struct kit_embedded {
	const char *name;
	const char *text;
	size_t n;
};
/* Sorted by name; made by embed.py from agents/<name>/spec.yaml. */
extern const struct kit_embedded kit_embedded[];
extern const size_t kit_embedded_n;

/* kit_credentials.c: keys of the user (ssh, gnupg, browsers) that a kit may not name; path is below
 * the home. */
bool kit_credential_refused(const char *path);

#endif
