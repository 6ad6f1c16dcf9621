/* SPDX-License-Identifier: Apache-2.0 */
/*
 * box: everything between fork and execve.
 *
 * A box is made in two steps.  plan.c turns a box_config (a pure value) into an ordered list of
 * typed operations, without looking at the machine; build.c makes the namespaces and applies the
 * list with one interpreter.  `--dry-run` prints the list, tests compare it.
 *
 * Order of a start (build.c):
 *   1. The supervisor clone3()s a child with NEWUSER|NEWPID|NEWNS|NEWNET|NEWIPC|NEWUTS|NEWCGROUP:
 * the OUTER user namespace owns all the others.  It writes the id maps (newuidmap in range mode).
 *   2. The child applies the plan: overlay root, mounts by fd, pivot_root, old root detached,
 *      sysctls (max_user_namespaces = 1), lo up, listeners and what leads to them.  Descriptors go
 *      to the supervisor.
 *   3. It executes ward-init (a sealed memfd) as PID 1 with one seqpacket socket on fd 3.
 *   4. init makes the INNER user namespace (the only one that the sysctl allows) and starts
 *      every program in it through confine_enter().
 *
 * Invariants: every operation of the plan succeeded or there is no box; no path from a user or an
 * image is resolved twice; no descriptor of the host reaches a program; nothing is left on the host
 * when the child dies (all mounts are in its namespace).
 */
#ifndef WARD_BOX_BOX_H
#define WARD_BOX_BOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "spec/spec.h"

/* --- ids (idmap.c) ------------------------------------------------------------------------ */

enum box_id_mode {
	BOX_ID_RANGE,  /* newuidmap: 0..65535 inside; agent = 1000 = the user, root = a subuid */
	BOX_ID_SINGLE, /* one id: 0 inside = the user; chown-like calls are pretended */
	BOX_ID_ROOT,   /* invoked by real root: a dedicated range; the workspace is id-mapped */
	BOX_ID_MODE_MAX
};
const char *box_id_mode_name(enum box_id_mode m);

enum { BOX_EXTENTS_MAX = 8, BOX_AGENT_ID = 1000, BOX_IDS = 65536 };
struct box_extent {
	uint32_t inside;
	uint32_t outside; /* in the parent user namespace */
	uint32_t count;
};
struct box_ids {       /* plain bytes: also sent to init as they are */
	uint32_t mode; /* enum box_id_mode */
	uint32_t nuid;
	uint32_t ngid;
	struct box_extent uid[BOX_EXTENTS_MAX];
	struct box_extent gid[BOX_EXTENTS_MAX];
	uint32_t agent_uid; /* inside: 1000, or 0 in single mode */
	uint32_t agent_gid;
	uint32_t host_uid; /* the invoking user outside (root mode: owner of the workspace) */
	uint32_t host_gid;
};
/*
 * Which mode this user gets, and the maps. range needs an /etc/subuid and /etc/subgid range of at
 * least 65536 and newuidmap/newgidmap setuid or with capabilities; without any range the mode is
 * single; with a range but without the tools it is ERR_HOST with the cure (apt install uidmap).
 * owner_uid/gid: owner of the workspace, used in root mode.
 */
int box_ids_detect(uint32_t owner_uid, uint32_t owner_gid, struct box_ids *ret, struct err *e);
/* A record of the ids, and back: -EINVAL with e, and *ret partly written, for anything else. */
struct json *box_ids_to_json(const struct box_ids *ids);
int box_ids_from_json(const struct json *j, struct box_ids *ret, struct err *e);
/* The inner namespace's map: identity, split at the outer map's extents ("0 0 1000\n1000 1000
 * 1\n..."). */
void box_ids_inner_map(const struct box_extent *outer, uint32_t n, struct buf *out);

/* --- what the host template shows (host_template.c): looks at the machine ----------------------
 */

/* Inside: programs of ours, in PATH before the template's. */
#define BOX_BIN_DIR "/run/ward/bin"

/* Inside: where a container engine's socket appears. /var/run leads here. */
#define BOX_DOCKER_SOCKET "/run/docker.sock"

struct box_config;
/* Append this machine's system directories, the merged-usr links and the allowed names of /etc to
 * c->binds and c->links, and to c->files what stands in for programs that cannot work there (sudo,
 * package managers). Called by the engine for a config without layers, before the plan. */
int box_host_binds(struct box_config *c, struct err *e);

/* --- plan (plan.c): pure -------------------------------------------------------------------- */

struct box_bind {     /* a host directory or file shown inside, besides workspaces and volumes */
	char *source; /* canonical host path */
	char *target;
	bool readonly;
	bool optional; /* a missing source is skipped */
	bool system;   /* part of the host template: setuid stays, mounts below come along */
	bool yield;    /* in the home: what the agent left in the way stays, and nothing is shown */
};
struct box_file { /* written into the writable layer (or the home) before the first program runs */
	char *path; /* absolute inside */
	char *content;
	uint32_t mode;
	bool agent_owned; /* else root inside */
	bool only_if_missing;
	bool append; /* content goes to the end of a file that exists, unless it has it already */
};
struct box_link {
	char *path;
	char *target;
	bool replace; /* whatever is there; else what exists stays */
};
struct box_volume {    /* a directory that a kit asks for */
	char *path;    /* absolute inside */
	bool tmpfs;    /* else it lasts as long as the sandbox */
	uint64_t size; /* tmpfs: bytes; 0: a default */
	uint32_t mode; /* 0: 0755 */
};

struct box_config {
	struct spec *spec; /* owned */
	struct box_ids ids;
	char *dir; /* the sandbox's directory on the host: holds upper, work, home */
	struct strv
		layers; /* root file system directories, uppermost first; empty: host template */
	struct box_bind *binds;
	size_t nbinds;
	struct box_file *files;
	size_t nfiles;
	struct box_link *links;
	size_t nlinks;
	struct box_volume *volumes;
	size_t nvolumes;
	char *hostname;
	char *docker_socket; /* the engine's socket on the host, or NULL: none inside */
	char *home;	     /* the agent's home inside, "/home/agent" */
	bool fill_home;	     /* it is new: it gets what the template has there */
	uint16_t proxy_port; /* the explicit proxy's port on the box's loopback: 3128 */
	/* A step of an image's build: of the root nothing is Ward's, see plan_build.c. Files must
	 * be below /dev; there are no workspaces, volumes or binds. */
	bool build;
};
void box_config_free(struct box_config *c); /* takes NULL; frees the struct too */
struct box_config *box_config_new(void);
struct json *box_config_to_json(const struct box_config *c);
int box_config_from_json(const struct json *j, struct box_config **ret, struct err *e);

enum box_op_type {
	BOX_OP_OVERLAY, /* the root: layers below, <dir>/upper and <dir>/work */
	BOX_OP_DIR,	/* make a directory (with root-owned 0755 parents) */
	BOX_OP_FILE,	/* make or replace a regular file, never through a symlink */
	BOX_OP_SYMLINK,
	BOX_OP_USER, /* passwd, group, shadow: the agent's entry exists and comes first for its id
		      */
	BOX_OP_BIND, /* source by fd, device and inode verified, then mounted */
	BOX_OP_PIN,  /* bind a directory on itself: inside, it cannot be renamed away */
	BOX_OP_TMPFS,
	BOX_OP_PROC,
	BOX_OP_SYSFS,
	BOX_OP_DEVPTS,
	BOX_OP_MQUEUE,
	BOX_OP_DEVICE,	 /* bind of a character device, rdev verified */
	BOX_OP_MASK,	 /* file: the host's /dev/null on top; directory: empty read-only tmpfs */
	BOX_OP_READONLY, /* make an existing mount or subtree read-only */
	BOX_OP_PIVOT,	 /* enter the new root, detach the old one */
	BOX_OP_SYSCTL,	 /* write to /proc/sys through a verified proc fd */
	BOX_OP_HOSTNAME,
	BOX_OP_LOOPBACK, /* lo up */
	BOX_OP_LISTEN,	 /* TCP listener on 127.0.0.1:port, handed to the supervisor */
	BOX_OP_CAPTURE,	 /* routes and rules that lead the rest to the proxy; its listeners */
	BOX_OP_SOCKET,	 /* Unix listener, handed to the supervisor */
	BOX_OP_FILL,	 /* what the template has in the home, into the sandbox's own */
	BOX_OP_MAX
};
const char *box_op_name(enum box_op_type t);

enum box_op_flags {
	BOX_F_RO = 1 << 0,
	BOX_F_NOSUID = 1 << 1,
	BOX_F_NODEV = 1 << 2,
	BOX_F_NOEXEC = 1 << 3,
	BOX_F_OPTIONAL = 1 << 4,   /* a missing source or target is skipped */
	BOX_F_AGENT = 1 << 5,	   /* owned by the agent, not by root inside */
	BOX_F_IF_MISSING = 1 << 6, /* leave what exists */
	BOX_F_IDMAP = 1 << 7,	   /* root mode: an id-mapped mount */
	BOX_F_IS_FILE = 1 << 8,	   /* BIND: the source is not a directory */
	BOX_F_RECURSIVE = 1 << 9,  /* BIND: mounts below the source come along, flags on all */
	BOX_F_EXISTING = 1 << 10,  /* BIND: never create the target (it lies in a workspace) */
	BOX_F_NOFOLLOW = 1 << 11,  /* no component of the target may be a symbolic link */
	BOX_F_ANY_TYPE = 1 << 13,  /* BIND: the source may be a directory or a file */
	BOX_F_HALF = 1 << 14,	   /* SYSCTL: the source names another one; half of its value */
	BOX_F_REACHABLE = 1 << 12, /* BIND: the agent may pass the directories above the target */
	BOX_F_YIELD = 1 << 15,	   /* what is in the way of the target stays, and nothing is made */
	BOX_F_APPEND = 1 << 16,	   /* FILE: see box_file */
};
struct box_op {
	enum box_op_type type;
	uint32_t flags;
	char *source; /* host path, link target, sysctl value, host name */
	char *target; /* path inside */
	char *content;
	uint32_t mode;
	uint64_t size;	 /* tmpfs bytes */
	uint64_t inodes; /* tmpfs */
	uint64_t dev;	 /* BIND: expected, 0 = not checked; DEVICE: rdev */
	uint64_t ino;
	uint32_t port;
};
struct box_plan {
	struct box_op *ops;
	size_t nops;
	struct strv layers;
	char *dir;
};
void box_plan_clear(struct box_plan *p);
int box_plan_make(const struct box_config *c, struct box_plan *ret, struct err *e);
/* Paths that a box with `build` may leave in its upper directory though no program made them:
 * everything at or below those of leave_out, and those of if_filled when there is nothing in them.
 */
void box_build_leavings(struct strv *leave_out, struct strv *if_filled);
void box_plan_print(const struct box_plan *p, struct buf *out); /* one line an operation */
struct json *box_plan_to_json(const struct box_plan *p);

/* --- build (build.c, mount.c, netns.c) -------------------------------------------------------- */

enum {
	BOX_NS_USER,
	BOX_NS_PID,
	BOX_NS_MNT,
	BOX_NS_NET,
	BOX_NS_IPC,
	BOX_NS_UTS,
	BOX_NS_CGROUP,
	BOX_NS_MAX
};

/*
 * The network of a box (netns.c, base/boxnet.h): ports on loopback to which connections are turned
 * (nobody else has them: RFC 6335 reserves 1011-1020), and the sockets there.
 */
enum { BOX_NET_TCP_PORT = 1011, BOX_NET_DNS_PORT = 1012 };
enum { BOX_NET_TCP, BOX_NET_DNS_UDP, BOX_NET_DNS_TCP, BOX_NET_SOCKETS };
struct box_net {
	int v4[BOX_NET_SOCKETS]; /* sockets inside, or -1: not captured */
	int v6[BOX_NET_SOCKETS];
	char reason[256]; /* why one of them is missing, or "" */
};
#define BOX_NET_INIT ((struct box_net){ .v4 = { -1, -1, -1 }, .v6 = { -1, -1, -1 } })

struct box {
	pid_t init_pid; /* in the supervisor's pid namespace */
	int pidfd;
	int init_fd;   /* seqpacket to init */
	int devpts_fd; /* O_PATH directory of the box's devpts: the supervisor opens ptmx here */
	int listen_fd; /* the explicit proxy listener inside the box's network namespace */
	int docker_fd; /* the listener at BOX_DOCKER_SOCKET inside, or -1 */
	struct box_net net;
	uint64_t ns_ino[BOX_NS_MAX];
};
#define BOX_INIT                                                                                   \
	((struct box){ .pidfd = -1,                                                                \
		       .init_fd = -1,                                                              \
		       .devpts_fd = -1,                                                            \
		       .listen_fd = -1,                                                            \
		       .docker_fd = -1,                                                            \
		       .net = BOX_NET_INIT })
/*
 * Build and start PID 1. init_exe: sealed memfd of ward-init. Blocks until init has been executed
 * and has sent its hello, or returns what failed, with the operation named ("bind /home/u/p: ...").
 * On failure nothing is left.
 */
int box_start(const struct box_config *c, const struct box_plan *p, int init_exe, struct box *ret,
	      struct err *e);
void box_clear(struct box *b); /* closes what is open; kills nothing */

/*
 * Run f(arg) in a child that is root of a user namespace with these maps (and nothing else: the
 * host's mounts, no exec), to touch files that belong to ids of the box. 0 or f's -errno with e.
 */
int box_run_mapped(const struct box_ids *ids, int (*f)(void *arg, struct err *e), void *arg,
		   struct err *e);
/*
 * The same with the tree that a box with these layers (uppermost first) and <dir>/upper has as its
 * root: root_fd is open for reading, and what is written there goes to upper.  Nobody else sees the
 * mount, and it is gone when f returns.  dir is absolute; no box may run on it meanwhile.
 */
int box_run_on_tree(const struct box_ids *ids, const struct strv *layers, const char *dir,
		    int (*f)(int root_fd, void *arg, struct err *e), void *arg, struct err *e);
/* Remove <dir>/upper, work, home and volumes of a stopped sandbox, whatever ids own them. */
int box_remove_files(const struct box_ids *ids, int sandbox_dirfd, struct err *e);

/* Remove dirfd/name, whatever ids of the box own what is in it; missing is success. */
int box_remove_tree(const struct box_ids *ids, int dirfd, const char *name, struct err *e);

/* Can this user make boxes here? 0, or ERR_HOST with the reason and its cure (sysctl, AppArmor,
 * max_user_namespaces, overlay, seccomp, Landlock). */
int box_probe(struct err *e);

/* --- confine (confine.c, seccomp.c, netns.c): run inside, by init -------------------------------
 */

/* The first Landlock ABI with scopes (Linux 6.12). From it on programs are in a scope-only domain,
 * or they do not start; before it the namespaces alone bound signals and abstract sockets. */
enum { CONFINE_LANDLOCK_ABI_SCOPE = 6 };

struct confine {
	struct box_ids ids;
	uint32_t uid; /* inside */
	uint32_t gid;
	uint32_t ngroups;
	uint32_t groups[64];
	bool nested;
};
/*
 * Make the inner user namespace: a helper child unshares, the caller writes its maps and keeps an
 * fd of it in *ret_fd. Called once by init. */
int confine_make_inner(const struct box_ids *ids, int *ret_fd, struct err *e);
/*
 * In a fresh child of init, single-threaded: enter the inner namespace, scope-only Landlock,
 * securebits, seccomp (while CAP_SYS_ADMIN is held; without no_new_privs), bounding set, groups,
 * gid, uid, no capabilities, rlimits, signal dispositions and mask, umask 022, dumpable. What
 * remains for the caller: stdio, session, cwd, execve. Every layer or an error naming the missing
 * one.
 */
int confine_enter(const struct confine *c, int inner_fd, struct err *e);
/* The seccomp program for this architecture; pretend: single-id mode. Static storage. */
struct sock_fprog;
void seccomp_program(bool pretend, bool nested, struct sock_fprog *ret);
/* The capabilities that may exist inside: bit mask of 1 << CAP_*. */
uint64_t confine_bounding_set(void);

#endif
