/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan: from a box_config to the ordered list of operations.  Pure: it looks at nothing but its
 * argument, so the same configuration always gives the same list.
 *
 * The order carries meaning:
 *   - what users and templates name comes first, in an order in which no mount hides a later one
 *     (sorted by target, so that a directory is mounted before what lies in it);
 *   - our own file systems (/proc, /sys, /dev) follow, on real directories reached without any
 *     symbolic link, so that nothing before them can have gone there;
 *   - sysctls are written between mounting proc and covering parts of it;
 *   - masks are last before the pivot.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/boxnet.h"
#include "base/fs.h"
#include "base/mem.h"
#include "box/box_internal.h"

#define MIB (1024ULL * 1024ULL)

/* An operation whose every member is known in advance. */
struct fixed {
	enum box_op_type type;
	uint32_t flags;
	const char *target;
	const char *source;
	uint32_t mode;
	uint64_t size;
	uint64_t inodes;
};

enum { NONE = 0, SAFE = BOX_F_NOSUID | BOX_F_NODEV };

static const struct fixed early[] = {
	{ BOX_OP_OVERLAY, BOX_F_NODEV, "/", .mode = 0755 },
	{ BOX_OP_TMPFS, SAFE | BOX_F_NOFOLLOW, "/run", .mode = 0755, .size = 256 * MIB,
	  .inodes = 65536 },
	{ BOX_OP_DIR, BOX_F_NOFOLLOW, "/run/lock", .mode = 01777 },
	{ BOX_OP_DIR, BOX_F_NOFOLLOW, "/tmp", .mode = 01777 },
	{ BOX_OP_DIR, BOX_F_NOFOLLOW, "/var", .mode = 0755 },
	{ BOX_OP_DIR, BOX_F_NOFOLLOW, "/var/tmp", .mode = 01777 },
	{ BOX_OP_DIR, BOX_F_NOFOLLOW, "/etc", .mode = 0755 },
	{ BOX_OP_DIR, NONE, "/root", .mode = 0700 },
};

/* Only for the host template: what an installed system would have. */
static const struct fixed host_links[] = {
	{ BOX_OP_SYMLINK, BOX_F_IF_MISSING, "/var/run", "/run" },
	{ BOX_OP_SYMLINK, BOX_F_IF_MISSING, "/var/lock", "/run/lock" },
	{ BOX_OP_SYMLINK, BOX_F_IF_MISSING, "/etc/mtab", "/proc/self/mounts" },
};

static const struct fixed proc_ops[] = {
	{ BOX_OP_PROC, SAFE | BOX_F_NOEXEC | BOX_F_NOFOLLOW, "/proc" },
	{ BOX_OP_SYSCTL, NONE, "user/max_user_namespaces", "1" },
	{ BOX_OP_SYSCTL, NONE, "net/ipv4/ip_unprivileged_port_start", "0" },
	/* What the box watches counts for the user outside, too: leave the other half. */
	{ BOX_OP_SYSCTL, BOX_F_HALF | BOX_F_OPTIONAL, "user/max_inotify_instances",
	  "fs/inotify/max_user_instances" },
	{ BOX_OP_SYSCTL, BOX_F_HALF | BOX_F_OPTIONAL, "user/max_inotify_watches",
	  "fs/inotify/max_user_watches" },
};

static const char *const proc_masks[] = {
	"/proc/acpi",	     "/proc/asound", "/proc/interrupts", "/proc/kallsyms",
	"/proc/kcore",	     "/proc/keys",   "/proc/kmsg",	 "/proc/latency_stats",
	"/proc/sched_debug", "/proc/scsi",   "/proc/timer_list", "/proc/timer_stats",
};

static const char *const proc_readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
					     "/proc/sysrq-trigger" };

static const char *const sys_masks[] = {
	"/sys/firmware",
	"/sys/kernel/debug",
	"/sys/kernel/tracing",
	"/sys/kernel/security",
	"/sys/fs/bpf",
	"/sys/fs/selinux",
	"/sys/fs/fuse",
	"/sys/fs/cgroup",
	"/sys/devices/virtual/powercap",
	"/sys/devices/virtual/dmi",
};

static const struct fixed dev_ops[] = {
	{ BOX_OP_SYSFS, BOX_F_RO | SAFE | BOX_F_NOEXEC | BOX_F_NOFOLLOW, "/sys" },
	{ BOX_OP_TMPFS, BOX_F_NOSUID | BOX_F_NOEXEC | BOX_F_NOFOLLOW, "/dev", .mode = 0755,
	  .size = MIB, .inodes = 1024 },
};

static const struct {
	const char *path;
	unsigned major;
	unsigned minor;
} devices[] = {
	{ "/dev/null", 1, 3 },	 { "/dev/zero", 1, 5 },	   { "/dev/full", 1, 7 },
	{ "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 },
};

static const struct fixed dev_rest[] = {
	{ BOX_OP_SYMLINK, NONE, "/dev/fd", "/proc/self/fd" },
	{ BOX_OP_SYMLINK, NONE, "/dev/stdin", "/proc/self/fd/0" },
	{ BOX_OP_SYMLINK, NONE, "/dev/stdout", "/proc/self/fd/1" },
	{ BOX_OP_SYMLINK, NONE, "/dev/stderr", "/proc/self/fd/2" },
	{ BOX_OP_SYMLINK, NONE, "/dev/ptmx", "pts/ptmx" },
	{ BOX_OP_DEVPTS, BOX_F_NOSUID | BOX_F_NOEXEC | BOX_F_NOFOLLOW, "/dev/pts", .mode = 0620 },
	{ BOX_OP_TMPFS, SAFE | BOX_F_NOFOLLOW, "/dev/shm", .mode = 01777, .size = 1024 * MIB,
	  .inodes = 65536 },
	{ BOX_OP_MQUEUE, SAFE | BOX_F_NOEXEC | BOX_F_NOFOLLOW, "/dev/mqueue" },
};

struct box_op *plan_add_op(struct box_plan *p, enum box_op_type type, uint32_t flags,
			   const char *target, const char *source)
{
	struct box_op *op;

	p->ops = xrealloc(p->ops, p->nops + 1, sizeof(*p->ops));
	op = &p->ops[p->nops++];
	*op = (struct box_op){ .type = type, .flags = flags };
	op->target = target ? xstrdup(target) : NULL;
	op->source = source ? xstrdup(source) : NULL;
	return op;
}

static void add_fixed(struct box_plan *p, const struct fixed *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct box_op *op = plan_add_op(p, f[i].type, f[i].flags, f[i].target, f[i].source);

		op->mode = f[i].mode;
		op->size = f[i].size;
		op->inodes = f[i].inodes;
	}
}

void plan_add_file(struct box_plan *p, const char *path, uint32_t mode, uint32_t flags,
		   const char *content)
{
	struct box_op *op = plan_add_op(p, BOX_OP_FILE, flags, path, NULL);

	op->mode = mode;
	op->content = xstrdup(content);
}

/* --- targets -----------------------------------------------------------------------------------
 */

/* Places that are ours alone: nobody's mount may lie at or in them. */
static const char *const reserved[] = { "/proc", "/sys", "/dev" };

static int check_target(const char *what, const char *target, struct err *e)
{
	auto_free char *clean = NULL;

	if (!target || fs_normalise(target, &clean, NULL) < 0 || strcmp(clean, target) != 0)
		return err_set(e, ERR_INPUT, EINVAL, "%s '%s': not a normalised absolute path",
			       what, target ? target : "");
	if (strcmp(target, "/") == 0)
		return err_set(e, ERR_REFUSED, EINVAL, "%s: cannot replace the root directory",
			       what);
	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
		if (fs_path_within(target, reserved[i]))
			return err_set(e, ERR_REFUSED, EINVAL, "%s '%s': %s belongs to the sandbox",
				       what, target, reserved[i]);
	return 0;
}

bool plan_volume_in_home(const struct box_config *c, const struct box_volume *v)
{
	return fs_path_within(v->path, c->home);
}

static bool within_workspace(const struct spec *s, const char *target)
{
	for (size_t i = 0; i < s->nworkspaces; i++)
		if (fs_path_within(target, s->workspaces[i].path) &&
		    strcmp(target, s->workspaces[i].path) != 0)
			return true;
	return false;
}

static int compare_targets(const void *a, const void *b)
{
	const struct box_op *x = a;
	const struct box_op *y = b;

	return strcmp(x->target, y->target);
}

static int add_config_binds(struct box_plan *p, const struct box_config *c, uint32_t idmap,
			    struct err *e)
{
	for (size_t i = 0; i < c->nbinds; i++) {
		const struct box_bind *b = &c->binds[i];
		uint32_t flags =
			BOX_F_NODEV | BOX_F_ANY_TYPE | (b->readonly ? BOX_F_RO : 0) |
			(b->system ? BOX_F_RECURSIVE : BOX_F_NOSUID | BOX_F_REACHABLE | idmap);
		int r = check_target("bind", b->target, e);

		if (r < 0)
			return r;
		if (b->optional)
			flags |= BOX_F_OPTIONAL;
		if (b->yield)
			flags |= BOX_F_NOFOLLOW | BOX_F_YIELD;
		plan_add_op(p, BOX_OP_BIND, flags, b->target, b->source);
	}
	return 0;
}

char *plan_volume_name(const char *path)
{
	auto_buf b = BUF_INIT;

	for (; *path; path++) {
		if (*path == '/' || *path == '%')
			buf_puts(&b, *path == '/' ? "%s" : "%%");
		else
			buf_putc(&b, *path);
	}
	return buf_steal(&b);
}

enum { VOLUME_MODE = 0755, VOLUME_BYTES_PER_INODE = 16384 };

static void add_tmpfs_volume(struct box_plan *p, const struct box_volume *v, uint32_t flags)
{
	struct box_op *op = plan_add_op(p, BOX_OP_TMPFS, flags | SAFE | BOX_F_AGENT, v->path, NULL);

	op->size = v->size ? v->size : 1024 * MIB;
	op->inodes = 1024 + op->size / VOLUME_BYTES_PER_INODE;
	op->mode = v->mode ? v->mode : VOLUME_MODE;
}

/*
 * The directories that a kit asks for. What lasts is a directory of the sandbox beside the writable
 * layer; the home is one already, so below it no mount is needed.
 */
static int add_volumes(struct box_plan *p, const struct box_config *c, struct err *e)
{
	for (size_t i = 0; i < c->nvolumes; i++) {
		const struct box_volume *v = &c->volumes[i];
		auto_free char *name = plan_volume_name(v->path);
		auto_free char *source = xasprintf("%s/volumes/%s", c->dir, name);
		bool in_home = fs_path_within(v->path, c->home);
		/* Who writes in a workspace or the home chooses what its links name. */
		uint32_t flags = within_workspace(c->spec, v->path)
					 ? BOX_F_EXISTING | BOX_F_NOFOLLOW
				 : in_home ? BOX_F_NOFOLLOW | BOX_F_YIELD
					   : 0;
		struct box_op *op;
		int r = check_target("volume", v->path, e);

		if (r < 0)
			return r;
		if (strlen(name) > NAME_MAX)
			return err_set(e, ERR_INPUT, ENAMETOOLONG, "volume '%s': longer than %d",
				       v->path, NAME_MAX);
		if (v->tmpfs) {
			add_tmpfs_volume(p, v, flags);
		} else if (in_home) {
			op = plan_add_op(p, BOX_OP_DIR, flags | BOX_F_AGENT, v->path, NULL);
			op->mode = v->mode ? v->mode : VOLUME_MODE;
		} else {
			plan_add_op(p, BOX_OP_BIND, flags | SAFE | BOX_F_REACHABLE, v->path,
				    source);
		}
	}
	return 0;
}

static bool has_target(const struct box_plan *p, size_t first, const char *target)
{
	for (size_t i = first; i < p->nops; i++)
		if (strcmp(p->ops[i].target, target) == 0)
			return true;
	return false;
}

/* The directories between top and target, neither included. */
static void pin_between(struct box_plan *p, size_t first, const char *top, const char *target,
			uint32_t flags)
{
	auto_free char *path = xstrdup(target);
	size_t shortest = strlen(top);
	char *slash;

	if (!fs_path_within(target, top))
		return;
	while ((slash = strrchr(path, '/')) && (size_t)(slash - path) > shortest) {
		*slash = '\0';
		if (!has_target(p, first, path))
			plan_add_op(p, BOX_OP_PIN, BOX_F_OPTIONAL | BOX_F_NOFOLLOW | flags, path,
				    NULL);
	}
}

/*
 * A mount holds the name of its own directory, but not the names above: who may write in a
 * workspace could rename a directory above a read-only volume and make another one in its place, or
 * above a hidden file, which the next start would not find at its path and not hide.  So these
 * directories become mount points, too.
 */
static void add_pins_above(struct box_plan *p, size_t first, const struct spec *s,
			   const char *target)
{
	for (size_t i = 0; i < s->nworkspaces; i++)
		if (!s->workspaces[i].readonly)
			pin_between(p, first, s->workspaces[i].path, target, 0);
	for (size_t i = 0; i < s->nvolumes; i++)
		if (s->volumes[i].is_dir && !s->volumes[i].readonly)
			pin_between(p, first, s->volumes[i].target, target, 0);
}

static void add_pins(struct box_plan *p, size_t first, const struct box_config *c)
{
	const struct spec *s = c->spec;

	for (size_t i = 0; i < s->nworkspaces; i++)
		add_pins_above(p, first, s, s->workspaces[i].path);
	for (size_t i = 0; i < s->nvolumes; i++)
		add_pins_above(p, first, s, s->volumes[i].target);
	for (size_t i = 0; i < s->hide.n; i++)
		add_pins_above(p, first, s, s->hide.v[i]);
	/* In the home they are made when there are none yet. */
	for (size_t i = 0; i < c->nbinds; i++)
		if (c->binds[i].yield)
			pin_between(p, first, c->home, c->binds[i].target,
				    BOX_F_AGENT | BOX_F_YIELD);
}

/* Workspaces, volumes, the home and the configured binds, parents before children. */
static int add_binds(struct box_plan *p, const struct box_config *c, struct err *e)
{
	const struct spec *s = c->spec;
	uint32_t idmap = c->ids.mode == BOX_ID_ROOT ? BOX_F_IDMAP : 0;
	size_t first = p->nops;
	auto_free char *home = fs_join(c->dir, "home");
	int r = check_target("home", c->home, e);

	if (r < 0)
		return r;
	plan_add_op(p, BOX_OP_BIND, SAFE | BOX_F_REACHABLE, c->home, home);
	r = add_config_binds(p, c, idmap, e);
	if (r == 0)
		r = add_volumes(p, c, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < s->nworkspaces; i++) {
		const struct spec_workspace *w = &s->workspaces[i];
		uint32_t flags = SAFE | idmap | BOX_F_REACHABLE | (w->readonly ? BOX_F_RO : 0);
		struct box_op *op;

		r = check_target("workspace", w->path, e);
		if (r < 0)
			return r;
		op = plan_add_op(p, BOX_OP_BIND, flags, w->path, w->path);
		op->dev = w->dev;
		op->ino = w->ino;
	}
	for (size_t i = 0; i < s->nvolumes; i++) {
		const struct spec_volume *v = &s->volumes[i];
		uint32_t flags = SAFE | idmap | BOX_F_REACHABLE | (v->readonly ? BOX_F_RO : 0) |
				 (v->is_dir ? 0 : BOX_F_IS_FILE);
		struct box_op *op;

		r = check_target("volume", v->target, e);
		if (r < 0)
			return r;
		/* Nothing may be left behind in a workspace, not even a mount point; and what a
		 * symbolic link in it names is the repository's choice, not the user's. */
		if (within_workspace(s, v->target))
			flags |= BOX_F_EXISTING | BOX_F_NOFOLLOW;
		op = plan_add_op(p, BOX_OP_BIND, flags, v->target, v->source);
		/* Editors replace a file by rename; its inode says nothing. */
		op->dev = v->is_dir ? v->dev : 0;
		op->ino = v->is_dir ? v->ino : 0;
	}
	for (size_t i = 0; i < s->hide.n; i++) {
		r = check_target("hidden path", s->hide.v[i], e);
		if (r < 0)
			return r;
	}
	add_pins(p, first, c);
	qsort(&p->ops[first], p->nops - first, sizeof(*p->ops), compare_targets);
	for (size_t i = first + 1; i < p->nops; i++)
		if (strcmp(p->ops[i - 1].target, p->ops[i].target) == 0)
			return err_set(e, ERR_CONFLICT, EEXIST, "'%s': two mounts at one place",
				       p->ops[i].target);
	return 0;
}

static void add_hidden(struct box_plan *p, const struct spec *s)
{
	for (size_t i = 0; i < s->hide.n; i++)
		plan_add_op(p, BOX_OP_MASK, BOX_F_OPTIONAL | BOX_F_NOFOLLOW, s->hide.v[i], NULL);
}

/* --- generated files ---------------------------------------------------------------------------
 */

static void add_identity_files(struct box_plan *p, const struct box_config *c)
{
	auto_free char *hosts = xasprintf("127.0.0.1\tlocalhost %s\n"
					  "::1\tlocalhost ip6-localhost ip6-loopback\n",
					  c->hostname);
	auto_free char *name = xasprintf("%s\n", c->hostname);

	plan_add_file(p, "/etc/hostname", 0644, 0, name);
	plan_add_file(p, "/etc/hosts", 0644, 0, hosts);
	plan_add_file(p, "/etc/resolv.conf", 0644, 0,
		      "nameserver " BOXNET_NAMESERVER "\noptions ndots:0\n");
}

/* For templates with a package manager of their own. */
static void add_system_files(struct box_plan *p, const struct box_config *c)
{
	auto_free char *proxy = xasprintf("Acquire::http::Proxy \"http://127.0.0.1:%u\";\n"
					  "Acquire::https::Proxy \"http://127.0.0.1:%u\";\n",
					  c->proxy_port, c->proxy_port);

	plan_add_file(p, "/etc/apt/apt.conf.d/90ward-proxy", 0644, 0, proxy);
	if (c->ids.mode == BOX_ID_SINGLE) {
		/* apt would give up root for a user that does not exist in a map of one id. */
		plan_add_file(p, "/etc/apt/apt.conf.d/90ward-sandbox", 0644, 0,
			      "APT::Sandbox::User \"root\";\n");
		return;
	}
	plan_add_file(p, "/etc/sudoers.d/ward", 0440, 0,
		      "agent ALL=(ALL:ALL) NOPASSWD: ALL\n"
		      "Defaults:agent env_keep += \"HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY\"\n"
		      "Defaults:agent env_keep += \"http_proxy https_proxy all_proxy no_proxy\"\n"
		      "Defaults:agent env_keep += \"SSL_CERT_FILE CURL_CA_BUNDLE GIT_SSL_CAINFO\"\n"
		      "Defaults:agent env_keep += \"REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS\"\n"
		      "Defaults:agent env_keep += \"PIP_CERT CARGO_HTTP_CAINFO DENO_CERT\"\n"
		      "Defaults:agent env_keep += \"AWS_CA_BUNDLE IS_SANDBOX BASH_ENV\"\n");
}

static int add_config_files(struct box_plan *p, const struct box_config *c, struct err *e)
{
	for (size_t i = 0; i < c->nfiles; i++) {
		const struct box_file *f = &c->files[i];
		uint32_t flags = (f->agent_owned ? BOX_F_AGENT : 0) |
				 (f->only_if_missing ? BOX_F_IF_MISSING : 0) |
				 (f->append ? BOX_F_APPEND : 0);
		int r = check_target("file", f->path, e);

		if (r < 0)
			return r;
		plan_add_file(p, f->path, f->mode, flags, f->content);
	}
	return 0;
}

static int add_links(struct box_plan *p, const struct box_config *c, struct err *e)
{
	for (size_t i = 0; i < c->nlinks; i++) {
		int r = check_target("link", c->links[i].path, e);

		if (r < 0)
			return r;
		plan_add_op(p, BOX_OP_SYMLINK, c->links[i].replace ? 0 : BOX_F_IF_MISSING,
			    c->links[i].path, c->links[i].target);
	}
	return 0;
}

/* --- our own file systems ----------------------------------------------------------------------
 */

static void add_covered(struct box_plan *p, enum box_op_type type, const char *const *paths,
			size_t n)
{
	for (size_t i = 0; i < n; i++)
		plan_add_op(p, type, BOX_F_OPTIONAL | BOX_F_NOFOLLOW, paths[i], NULL);
}

static void add_devices(struct box_plan *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		struct box_op *op = plan_add_op(p, BOX_OP_DEVICE, BOX_F_NOSUID | BOX_F_NOEXEC,
						devices[i].path, devices[i].path);

		op->dev = makedev(devices[i].major, devices[i].minor);
	}
}

/*
 * ICMP echo sockets for everybody.  The kernel compares group ids as they are outside, so the ends
 * of the range are the lowest and the highest one there, whatever they are inside.
 */
static void add_ping_range(struct box_plan *p, const struct box_ids *ids)
{
	const struct box_extent *low = &ids->gid[0];
	const struct box_extent *high = &ids->gid[0];
	char range[32];

	for (uint32_t i = 1; i < ids->ngid && i < BOX_EXTENTS_MAX; i++) {
		if (ids->gid[i].outside < low->outside)
			low = &ids->gid[i];
		if (ids->gid[i].outside > high->outside)
			high = &ids->gid[i];
	}
	(void)snprintf(range, sizeof(range), "%u %u", low->inside,
		       high->count > 0 ? high->inside + high->count - 1 : high->inside);
	plan_add_op(p, BOX_OP_SYSCTL, 0, "net/ipv4/ping_group_range", range);
}

void plan_add_kernel_fs(struct box_plan *p, const struct box_config *c)
{
	add_fixed(p, proc_ops, ARRAY_SIZE(proc_ops));
	add_ping_range(p, &c->ids);
	add_covered(p, BOX_OP_READONLY, proc_readonly, ARRAY_SIZE(proc_readonly));
	add_covered(p, BOX_OP_MASK, proc_masks, ARRAY_SIZE(proc_masks));
	add_fixed(p, dev_ops, 1);
	add_covered(p, BOX_OP_MASK, sys_masks, ARRAY_SIZE(sys_masks));
	add_fixed(p, dev_ops + 1, ARRAY_SIZE(dev_ops) - 1);
	add_devices(p);
	add_fixed(p, dev_rest, ARRAY_SIZE(dev_rest));
}

void plan_add_end(struct box_plan *p, const struct box_config *c)
{
	struct box_op *op;

	plan_add_op(p, BOX_OP_PIVOT, 0, "/", NULL);
	plan_add_op(p, BOX_OP_HOSTNAME, 0, NULL, c->hostname);
	plan_add_op(p, BOX_OP_LOOPBACK, 0, NULL, NULL);
	op = plan_add_op(p, BOX_OP_LISTEN, 0, NULL, NULL);
	op->port = c->proxy_port;
	plan_add_op(p, BOX_OP_CAPTURE, 0, NULL, NULL);
}

/* Before anything that users name, so that nobody's directory gets a socket of ours. */
static void add_docker_socket(struct box_plan *p, const char *host_path)
{
	struct box_op *op;

	op = plan_add_op(p, BOX_OP_SOCKET, BOX_F_AGENT | BOX_F_NOFOLLOW, BOX_DOCKER_SOCKET,
			 host_path);
	op->mode = 0660;
	plan_add_op(p, BOX_OP_SYMLINK, BOX_F_IF_MISSING, "/var/run", "/run");
}

/* What must be set, so that a half-filled configuration is an error and not half a box. */
static int check_config(const struct box_config *c, struct err *e)
{
	if (!c->spec || !c->dir || c->dir[0] != '/' || !c->home || !c->hostname || !c->hostname[0])
		return err_set(e, ERR_INPUT, EINVAL, "box: the configuration is incomplete");
	if (strlen(c->hostname) > HOST_NAME_MAX)
		return err_set(e, ERR_INPUT, EINVAL, "host name '%s': longer than %d bytes",
			       c->hostname, HOST_NAME_MAX);
	if (c->ids.mode >= BOX_ID_MODE_MAX || c->ids.nuid == 0 || c->ids.ngid == 0 ||
	    c->ids.nuid > BOX_EXTENTS_MAX || c->ids.ngid > BOX_EXTENTS_MAX)
		return err_set(e, ERR_INPUT, EINVAL, "box: the configuration has no id maps");
	if (c->layers.n > BOX_LAYERS_MAX)
		return err_set(e, ERR_INPUT, E2BIG, "template: more than %d layers",
			       BOX_LAYERS_MAX);
	if (c->proxy_port == 0)
		return err_set(e, ERR_INPUT, EINVAL, "box: the proxy has no port");
	return 0;
}

int box_plan_make(const struct box_config *c, struct box_plan *ret, struct err *e)
{
	struct box_plan p = { 0 };
	bool host = c->layers.n == 0;
	int r = check_config(c, e);

	if (r < 0)
		return r;
	p.dir = xstrdup(c->dir);
	strv_extend(&p.layers, &c->layers);
	if (c->build) {
		plan_build(&p, c);
		*ret = p;
		return 0;
	}
	add_fixed(&p, early, ARRAY_SIZE(early));
	if (c->docker_socket)
		add_docker_socket(&p, c->docker_socket);
	if (host)
		add_fixed(&p, host_links, ARRAY_SIZE(host_links));
	r = add_links(&p, c, e);
	if (c->fill_home)
		plan_add_op(&p, BOX_OP_FILL, BOX_F_OPTIONAL, c->home, NULL);
	if (r == 0)
		r = add_binds(&p, c, e);
	if (r == 0) {
		/* Before anything is read or written: a link made inside may lead to what is
		 * hidden. */
		add_hidden(&p, c->spec);
		add_identity_files(&p, c);
		plan_add_op(&p, BOX_OP_USER, 0, c->home,
			    c->ids.mode == BOX_ID_SINGLE ? "root" : "agent");
		if (!host)
			add_system_files(&p, c);
		r = add_config_files(&p, c, e);
	}
	if (r < 0) {
		box_plan_clear(&p);
		return r;
	}
	plan_add_kernel_fs(&p, c);
	plan_add_end(&p, c);
	*ret = p;
	return 0;
}
