/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state: the directories of sandboxes, their locks and their lookup.
 *
 * $XDG_DATA_HOME/ward (0700) holds sandboxes/<id>/{spec.json,state.json,lock,upper,work,home,log/}
 * and names/<name> and keys/<key>, symlinks to an id that are hints only: they are verified against
 * spec.json and rebuilt when they lie.  $XDG_RUNTIME_DIR/ward/<id>/ (else <data>/run/<id>/) holds
 * the control socket.
 *
 * Invariants: a sandbox exists exactly when sandboxes/<id>/spec.json does (it is renamed in last);
 * it is running exactly when somebody holds the lock on its lock file; one unreadable record never
 * hides the others; nothing here follows a symlink that was planted in these directories.
 *
 * state knows sandboxes as JSON documents; spec.json's meaning belongs to spec/.
 */
#ifndef WARD_STATE_STATE_H
#define WARD_STATE_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

struct state_paths {
	char *data;    /* absolute, canonical, exists, 0700, ours */
	char *runtime; /* the same */
	char *config;  /* absolute; may not exist */
	char *home;    /* the user's home, canonical */
};
/*
 * From XDG_*, HOME and the password database; creates data and runtime. A directory that is a
 * symlink planted by others, foreign-owned or writable by others is refused, with the cure.
 */
int state_paths_init(struct state_paths *ret, struct err *e);
void state_paths_clear(struct state_paths *p);

struct sandbox { /* one sandbox directory */
	char *id;
	char *dir;     /* <data>/sandboxes/<id> */
	char *run_dir; /* <runtime>/<id> */
	int dirfd;
	struct json *spec; /* spec.json; NULL when it could not be read (see problem) */
	char *problem;	   /* why, escaped text; NULL when fine */
};
void sandbox_free(struct sandbox *s); /* takes NULL */

/* Puts more into the directory of a sandbox that is being made. */
typedef int state_fill(int dirfd, void *arg, struct err *e);
/*
 * Make a sandbox: directories, what `more` (may be NULL) adds to them, then spec.json by rename.
 * spec must hold string members id, name, agent and the object array workspaces[0]{path,dev,ino}.
 * The boolean `named` tells that the user chose the name: such a sandbox is not its workspace's own
 * (without the member: any name that state_free_name would not make). The name must be free, and
 * the workspace have none of its own for this agent: else -EEXIST (ERR_CONFLICT). Serialised
 * against other creators by a lock on the data directory. Not synced to disk: see state_sync.
 * upper, work, home and log belong to the caller's user at first.
 */
int state_create(const struct state_paths *p, struct json *spec, state_fill *more, void *arg,
		 struct sandbox **ret, struct err *e);
/* By exact name, id, or unambiguous id prefix of at least 4 digits. ERR_NOT_FOUND: "no sandbox
 * named 'x'", hint "ward ls". */
int state_find(const struct state_paths *p, const char *name_or_id, struct sandbox **ret,
	       struct err *e);
/* The unnamed-by-user sandbox of a workspace and agent: path, device and inode equal. -ENOENT
 * without message when there is none; ERR_CORRUPT when there is one and its record is bad. */
int state_find_key(const struct state_paths *p, const char *agent, const char *workspace,
		   uint64_t dev, uint64_t ino, struct sandbox **ret, struct err *e);
/* Every sandbox, bad records included, oldest first. Raises RLIMIT_NOFILE when there are many. */
int state_list(const struct state_paths *p, struct sandbox ***ret, size_t *ret_n, struct err *e);
void state_list_free(struct sandbox **list, size_t n);

/* Make a new sandbox survive a power failure; to be called when its box runs. */
int state_sync(const struct sandbox *s, struct err *e);

/*
 * The life lock. state_lock: 0 and *ret_fd when nobody runs it (pass the fd to the supervisor: the
 * lock lives as long as any copy of it); -EWOULDBLOCK when it is held; ERR_NOT_FOUND when the
 * sandbox was removed meanwhile.
 */
int state_lock(const struct sandbox *s, int *ret_fd, struct err *e);
/* Is there a box? Not, while the life lock's holder is busy with something else. */
bool state_is_running(const struct sandbox *s);
/*
 * The life lock's holder says that it is no box, and what it is at ("being saved as a template"),
 * which may take long.  The mark lives as long as the descriptor, which is for state_busy_end.
 */
int state_busy_begin(const struct sandbox *s, const char *what, int *ret_fd, struct err *e);
void state_busy_end(const struct sandbox *s, int *fd); /* -1: nothing */
/* Is it so? *ret_what (owned by the caller; may be NULL): with what. */
bool state_busy(const struct sandbox *s, char **ret_what);
/* Run-time record state.json: replaced atomically. */
int state_write(const struct sandbox *s, const struct json *record, struct err *e);
int state_read(const struct sandbox *s, struct json **ret, struct err *e); /* -ENOENT when none */
/* Make and open the runtime directory (0700), removing what an earlier life left. */
int state_run_dir(const struct sandbox *s, int *ret_dirfd, struct err *e);
/*
 * Forget a stopped sandbox whose upper, work and home were removed by the caller: drops spec.json
 * first, then the rest and the index links. The caller holds the life lock.
 */
int state_remove(const struct state_paths *p, struct sandbox *s, struct err *e);
/* Finish what a crash left: directories without spec.json older than an hour, stale links and
 * runtime directories. */
int state_gc(const struct state_paths *p, struct err *e);

/* Free name of the form <agent>-<workspace base>[-N], valid as a name. */
int state_free_name(const struct state_paths *p, const char *agent, const char *workspace,
		    char **ret, struct err *e);

/*
 * The volume of an agent: its credential files outside of any sandbox, below <data>/volumes/<agent>
 * under the names that they have below the agent's home.
 */
struct state_volume {
	char *agent;
	uint64_t files;
	uint64_t size;	  /* bytes */
	int64_t modified; /* the newest file's time */
};
/* Absolute path of a file of the volume, whose directory is made; the file may be missing. */
int state_volume_file(const struct state_paths *p, const char *agent, const char *file, char **ret,
		      struct err *e);
/* Those that hold something, by name. */
int state_volumes(const struct state_paths *p, struct state_volume **ret, size_t *ret_n,
		  struct err *e);
void state_volumes_free(struct state_volume *list, size_t n);
/* Remove every file, keep the directories: running boxes watch them. *ret_removed: how many. */
int state_volume_clear(const struct state_paths *p, const char *agent, uint64_t *ret_removed,
		       struct err *e);

#endif
