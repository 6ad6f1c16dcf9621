/* SPDX-License-Identifier: Apache-2.0 */
/*
 * box_internal: what the files of box/ share among themselves.
 *
 *   idmap.c         maps as text, subordinate id files: pure
 *   detect.c        which id mode this user gets
 *   mapped.c        user namespaces made for their maps: id-mapped mounts, clean-up
 *   plan.c          box_config -> operations; plan_text.c: their names, text and JSON
 *   idmapped.c      id-mapped mounts, made by real root for the child
 *   account.c       passwd, group and shadow rewriting: pure; users.c: in the root
 *   mount.c         the mount system calls, by descriptor; the list of what was mounted
 *   root.c          directories and files inside the new root, never outside it
 *   upper.c         the writable layer before it is mounted
 *   apply.c         the interpreter of the plan; runs in the child
 *   build.c         box_start: the parent's half and the order of the child's
 *   netns.c         loopback, listeners, and the netlink batches of capture.c (pure)
 */
#ifndef WARD_BOX_BOX_INTERNAL_H
#define WARD_BOX_BOX_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "box/box.h"

/* --- idmap.c, detect.c, mapped.c ------------------------------------------------------------- */

enum {
	BOX_ROOT_BASE = 0x70000000,
	BOX_SUBID_MAX = 1 << 20, /* bytes of /etc/subuid */
	BOX_OVERFLOW_ID = 65534, /* what stat tells for an owner that has no id here */
};

/*
 * Find in the text of /etc/subuid or /etc/subgid the first range of `name` or `id` with at least
 * `need` ids that does not wrap. 0 or -ENOENT. Lines that are not NAME:START:COUNT are passed over,
 * as newuidmap does.
 */
int idmap_find_subid(const char *text, size_t n, const char *name, uint32_t id, uint32_t need,
		     uint32_t *ret_start);
/* The three shapes of a map; they return the number of extents. */
uint32_t idmap_range(struct box_extent *x, uint32_t sub, uint32_t user);
uint32_t idmap_single(struct box_extent *x, uint32_t user);
uint32_t idmap_root(struct box_extent *x, uint32_t base);
/* Lines as the kernel reads them: "INSIDE OUTSIDE COUNT\n". */
void idmap_text(const struct box_extent *x, uint32_t n, struct buf *out);
/* Outside id of an inside id, or -1 when it is not mapped. */
int64_t idmap_outside(const struct box_extent *x, uint32_t n, uint32_t inside);

/* Write the maps of the user namespace of `pid` (a child of ours that waits). */
int mapped_write(pid_t pid, const struct box_ids *ids, struct err *e);
/* What a child does in a user namespace of these ids, and further new namespaces: first with the
 * user's own rights (may be NULL), then as root of it. */
struct mapped_job {
	uint64_t namespaces; /* CLONE_NEW* */
	int (*as_user)(void *arg, struct err *e);
	int (*as_root)(void *arg, struct err *e);
	void *arg;
};
int mapped_run(const struct box_ids *ids, const struct mapped_job *j, struct err *e);
/*
 * fd of a fresh user namespace whose only use is its map, for mount_setattr: what uid and gid own
 * on disk belongs to the agent inside, and the box's other ids stay themselves. Needs real root.
 */
int mapped_owner_userns(const struct box_ids *ids, uint32_t uid, uint32_t gid, int *ret_fd,
			struct err *e);

/* --- idmapped.c ------------------------------------------------------------------------------ */

/* Root mode: make the id-mapped mounts of the plan and send them to the child `pid`. */
int idmapped_send(const struct box_config *c, const struct box_plan *p, int sock, pid_t pid,
		  struct err *e);

/* --- account.c ------------------------------------------------------------------------------- */

enum { ACCOUNT_FILE_MAX = 1 << 20 };
enum account_file { ACCOUNT_PASSWD, ACCOUNT_GROUP, ACCOUNT_SHADOW, ACCOUNT_FILE_KINDS };
struct account {
	const char *name;
	uint32_t uid;
	uint32_t gid;
	const char *home;
	const char *shell;
};
/*
 * The file's text with the account's entry in it, before every other entry of its id; an older
 * entry of the same name is dropped. Everything else stays byte for byte.
 */
void account_rewrite(enum account_file kind, const char *text, size_t n, const struct account *a,
		     struct buf *out);

/* --- plan.c ---------------------------------------------------------------------------------- */

/* Of a volume that lasts: its directory's name below <dir>/volumes. Owned by the caller. */
char *plan_volume_name(const char *path);
/* Such a volume needs no directory of its own. */
bool plan_volume_in_home(const struct box_config *c, const struct box_volume *v);
/* The result lives until the next one. */
struct box_op *plan_add_op(struct box_plan *p, enum box_op_type type, uint32_t flags,
			   const char *target, const char *source);
void plan_add_file(struct box_plan *p, const char *path, uint32_t mode, uint32_t flags,
		   const char *content);
void plan_add_kernel_fs(struct box_plan *p, const struct box_config *c); /* /proc, /sys, /dev */
void plan_add_end(struct box_plan *p, const struct box_config *c);
/* plan_build.c: the whole plan of a box_config with `build`. */
void plan_build(struct box_plan *p, const struct box_config *c);

/* --- mount.c --------------------------------------------------------------------------------- */

struct mount_list { /* ids of the mounts that the plan made */
	struct {
		uint64_t id;
		bool recursive; /* mounts below it came along */
	} * v;
	size_t n;
	size_t cap;
};
void mount_list_free(struct mount_list *l);
void mount_list_add(struct mount_list *l, uint64_t id, bool recursive);
bool mount_list_has(const struct mount_list *l, uint64_t id);

struct mount_option {
	const char *key;
	const char *value; /* NULL: a flag */
};
/* MOUNT_ATTR_* of BOX_F_*. */
uint64_t mount_attrs(uint32_t box_flags);
/* A detached instance of a file system; fd of its root or -errno with e. */
int mount_new(const char *fstype, const struct mount_option *o, size_t n, uint64_t attrs,
	      struct err *e);
/* A detached copy of the mount at an O_PATH fd with more attributes set. */
int mount_clone(int fd, bool recursive, uint64_t attrs, struct err *e);
/* Put a detached mount on a target and remember it. */
int mount_attach(struct mount_list *l, int tree_fd, int target_fd, bool recursive, struct err *e);
/* Remember the mount that an fd is the root of. */
int mount_remember(struct mount_list *l, int fd, bool recursive, struct err *e);
/*
 * Open the source of a bind: canonical path, no symlink in it, the type that the BOX_F_* flags ask
 * for, and the inode unless dev and ino are 0. O_PATH.
 */
int mount_open_source(const char *path, uint32_t flags, uint64_t dev, uint64_t ino, int *ret_fd,
		      struct err *e);
/*
 * Every mount of a mountinfo text is in the list, or below a recursive one of it. 0 or -EXDEV with
 * the first other mount point in e. Pure.
 */
int mount_check_info(const char *text, size_t n, const struct mount_list *l, struct err *e);

/* --- root.c: all paths are absolute inside the root ------------------------------------------- */

struct root_owner {
	uint32_t uid;
	uint32_t gid;
};
/* O_PATH (or other flags) open, as if root_fd were "/"; resolve: more RESOLVE_* bits. fd or -errno.
 */
int root_open(int root_fd, const char *path, int flags, uint64_t resolve);
/* mkdir -p; what exists stays as it is. *ret_fd (may be NULL): O_PATH of the last one. */
int root_mkdirs(int root_fd, const char *path, mode_t mode, const struct root_owner *o,
		bool nofollow, int *ret_fd, struct err *e);
/* O_PATH of the parent directory of path, made when missing; *ret_name points into path. */
int root_parent(int root_fd, const char *path, const struct root_owner *o, bool nofollow,
		int *ret_fd, const char **ret_name, struct err *e);
/* Replace (or, if_missing, leave) a regular file. */
int root_write(int root_fd, const char *path, const void *bytes, size_t n, mode_t mode,
	       const struct root_owner *o, bool if_missing, struct err *e);
struct root_target {
	bool is_dir;
	bool existing;			/* never made */
	bool nofollow;			/* no symbolic link in the path */
	const struct root_owner *owner; /* of what is made; NULL: root */
};
/* A mount target: an existing directory or file of the wanted type, else a new empty one. */
int root_target(int root_fd, const char *path, const struct root_target *t, int *ret_fd,
		struct err *e);
/* Everybody may pass the directories of the root above path. */
int root_make_reachable(int root_fd, const char *path, struct err *e);

/* --- apply.c --------------------------------------------------------------------------------- */

enum { BOX_LAYERS_MAX = 128 };
struct box_build { /* the child's state while it applies the plan */
	const struct box_config *c;
	const struct box_plan *p;
	int *sources;	/* per operation: opened source, or detached mount; -1: none */
	bool *detached; /* sources[i] is an id-mapped mount from the supervisor */
	int *layers;	/* per layer, the same */
	bool layers_detached;
	int upper_fd;
	int work_fd;
	int root_fd;
	int proc_fd;
	int null_fd;  /* O_PATH of the host's /dev/null, verified */
	int empty_fd; /* an empty read-only directory mount, once there is one */
	int devpts_fd;
	int listen_fd;
	int docker_fd;
	struct box_net net;
	struct mount_list mounts;
};
/* build.c: a state with nothing open, and its end. */
void build_init(struct box_build *b, const struct box_config *c, const struct box_plan *p);
void build_clear(struct box_build *b);
/* Make upper, work and home when they are missing; the first two are opened for the child. */
int build_open_dirs(const struct box_config *c, struct box_build *b, struct err *e);
/* As the user, before the id changes: open everything that lies on the host. */
int apply_open_sources(struct box_build *b, struct err *e);
/* As root inside: the operations in order. */
int apply_plan(struct box_build *b, struct err *e);
/* After the pivot: nothing is mounted that the plan did not list. */
int apply_verify(struct box_build *b, struct err *e);

/* --- fill.c ---------------------------------------------------------------------------------- */

/* BOX_OP_FILL: before the home is mounted. */
int fill_apply(struct box_build *b, size_t i, struct err *e);

/* --- users.c --------------------------------------------------------------------------------- */

/* BOX_OP_USER: passwd, group and shadow of the root name the account. */
int users_apply(struct box_build *b, size_t i, struct err *e);
/* The owner of a file that is replaced, or root when the box does not have that id. */
uint32_t users_own_id(const struct box_extent *x, uint32_t n, uint32_t id);

/* --- append.c -------------------------------------------------------------------------------- */

/* BOX_OP_FILE with BOX_F_APPEND. */
int append_apply(struct box_build *b, const struct box_op *op, struct err *e);

/* --- upper.c --------------------------------------------------------------------------------- */

/* As root inside, before the overlay is mounted: the writable layer can take what the plan makes.
 */
int upper_prepare(const struct box_build *b, struct err *e);

/* --- netns.c --------------------------------------------------------------------------------- */

int netns_loopback_up(struct err *e);
int netns_listen(uint16_t port, int *ret_fd, struct err *e);
/* Lead all TCP and DNS to listeners of the proxy, as far as this kernel can: ret tells. */
void netns_capture(struct box_net *ret);

/* --- capture.c ------------------------------------------------------------------------------- */

/* Netlink messages for NETLINK_ROUTE and NETLINK_NETFILTER; they return how many assents come. */
unsigned capture_routes(bool v6, unsigned lo, struct buf *out);
unsigned capture_rules(uint16_t tcp_port, uint16_t dns_port, struct buf *out);

/* --- probe.c --------------------------------------------------------------------------------- */

/* Why the kernel refused a user namespace (errno of clone3), with the cure. */
int probe_explain_userns(int code, struct err *e);

#endif
