/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_internal: what the files of this folder share.
 *
 * record.c knows one sandbox directory, index.c the links that find it, sandbox.c the verbs.
 * A `struct store` holds the open directories; everything is done relative to them.
 */
#ifndef WARD_STATE_STATE_INTERNAL_H
#define WARD_STATE_STATE_INTERNAL_H

#include "state/state.h"

enum {
	STATE_ID_LEN = 32,
	STATE_RECORD_MAX = 1 << 20, /* bytes of spec.json and state.json */
	STATE_ORPHAN_SECONDS = 3600 /* age at which a directory without spec.json is garbage */
};

struct store {
	const struct state_paths *paths; /* borrowed */
	int data;
	int sandboxes;
	int names;
	int keys;
};
#define STORE_INIT ((struct store){ .data = -1, .sandboxes = -1, .names = -1, .keys = -1 })

/* Open the store, making what is missing. */
int store_open(const struct state_paths *p, struct store *ret, struct err *e);
void store_close(struct store *st);
#define auto_store __attribute__((cleanup(store_close))) struct store
/* The lock that serialises those who add and remove sandboxes; released by closing *ret_fd. */
int store_lock(const struct store *st, int *ret_fd, struct err *e);

/* --- record.c ------------------------------------------------------------------------------- */

/* 32 lower-case hex digits. */
bool record_is_id(const char *s);
/*
 * Open the sandbox with this id. -ENOENT (no message) when it does not exist, that is, when it has
 * no spec.json. A record that cannot be read is success with `problem` set.
 */
int record_open(const struct store *st, const char *id, struct sandbox **ret, struct err *e);
/* Members that links and order depend on; NULL or 0 when the record is bad. */
const char *record_name(const struct sandbox *s);
int64_t record_created_at(const struct sandbox *s);
/* Open the life lock's file; *ret_fd is -1 and the result -ENOENT when the sandbox is gone. */
int record_open_lock(const struct sandbox *s, int *ret_fd, struct err *e);

/* The identity of a workspace's own sandbox. */
struct record_key {
	const char *agent;
	const char *path;
	uint64_t dev;
	uint64_t ino;
};
/* The key of a specification; false when the user chose the name, or members are missing. */
bool record_key_of(const struct json *spec, struct record_key *ret);
bool record_key_equal(const struct record_key *a, const struct record_key *b);
/* Is this a name that state_free_name would make for the agent and workspace? */
bool record_name_is_made(const char *name, const char *agent, const char *workspace);
/* "<agent>-<workspace base>", cut and mapped to a valid name with room for a number. */
char *record_made_name(const char *agent, const char *workspace);

/* --- index.c -------------------------------------------------------------------------------- */

/*
 * Look up by name or by key: two system calls and one record in the normal case; a full scan, which
 * also repairs the index, when a link lies or the index is not known to be complete. `locked` tells
 * that the caller holds the store lock. -ENOENT without message when there is none.
 */
int index_find_name(const struct store *st, const char *name, bool locked, struct sandbox **ret,
		    struct err *e);
int index_find_key(const struct store *st, const struct record_key *key, bool locked,
		   struct sandbox **ret, struct err *e);
/* Add or remove the links of one sandbox (the store lock is held). */
int index_add(const struct store *st, const char *id, const struct json *spec, struct err *e);
void index_drop(const struct store *st, const struct sandbox *s);
/* Declare the index complete as the directories are now (the store lock is held). */
void index_stamp(const struct store *st);
/* Make the links anew from the records (the store lock is held). */
int index_rebuild(const struct store *st, struct sandbox *const *list, size_t n, struct err *e);
/* Every sandbox, oldest first. */
int index_scan(const struct store *st, struct sandbox ***ret, size_t *ret_n, struct err *e);

#endif
