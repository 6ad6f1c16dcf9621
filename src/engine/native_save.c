/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_save: a stopped sandbox as a template: the layers of the image that it was made from, and
 * one layer of what was changed since.
 *
 * That layer is the sandbox's writable layer and its home, without
 *
 *   what Ward puts there at every start: the plan of the next start tells (files, links, mounts and
 *     the directories that are made for them; workspaces are mounts),
 *   credentials: files of every agent's login, whoever is logged in; files that kits seed, which
 *     may contain a key of the environment; the usual places of keys and tokens.  They are left out
 *     under any name that a hard link gives them,
 *   what is of one sandbox only: the agents' own directories (settings, conversations), histories,
 *     temporary files.
 *
 * Invariants: the life lock is held, so nothing changes meanwhile, with a mark that tells others
 * why; the record of the template comes last, so a kill leaves garbage only.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/engine_internal.h"

/* --- what stays here -------------------------------------------------------------------------- */

/* Of one tree; paths relative to it. */
struct omission {
	struct strv leave_out;
	struct strv secret;
	struct strv if_filled;
};
struct omissions {
	struct omission root;
	struct omission home;
	struct strv layers; /* of the image: directories */
};

static void omissions_clear(struct omissions *o)
{
	struct omission *both[] = { &o->root, &o->home };

	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		strv_free(&both[i]->leave_out);
		strv_free(&both[i]->secret);
		strv_free(&both[i]->if_filled);
	}
	strv_free(&o->layers);
}

static const char *const root_left_out[] = {
	"dev", "proc", "run", "sys", "tmp", "var/lock", "var/run", "var/tmp",
};

/* Keys and tokens of programs of all kinds, below a home. */
static const char *const home_secrets[] = {
	".aws",
	".azure",
	".cargo/credentials",
	".cargo/credentials.toml",
	".cache/huggingface/token",
	".composer/auth.json",
	".config/containers/auth.json",
	".config/doctl",
	".config/fly",
	".config/gcloud",
	".config/gh",
	".config/git/credentials",
	".config/glab-cli",
	".config/helm/registry",
	".config/hub",
	".config/rclone",
	".docker/config.json",
	".fly",
	".gem/credentials",
	".git-credentials",
	".gnupg",
	".gradle/gradle.properties",
	".huggingface",
	".kaggle",
	".kube",
	".local/share/keyrings",
	".local/share/kwalletd",
	".m2/settings.xml",
	".my.cnf",
	".netrc",
	".npmrc",
	".password-store",
	".pgpass",
	".pki",
	".pypirc",
	".s3cfg",
	".ssh",
	".terraform.d",
	".vault-token",
	".yarnrc.yml",
};

static const char *const home_left_out[] = {
	".ash_history",	      ".bash_history",
	".gitconfig", /* the user's name and address, seeded in every new home */
	".lesshst",	      ".local/share/fish/fish_history",
	".local/share/Trash", ".mysql_history",
	".node_repl_history", ".psql_history",
	".python_history",    ".rediscli_history",
	".sqlite_history",    ".viminfo",
	".wget-hsts",	      ".zsh_history",
	".zhistory",
};

/* What several programs share: the directory of one of them is what lies below. */
static const char *const shared_dirs[] = { ".cache",	   ".config",	 ".local",   ".local/share",
					   ".local/state", ".local/bin", "Documents" };

static void add_list(struct strv *to, const char *prefix, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		strv_addf(to, "%s%s", prefix, list[i]);
}

static bool is_shared(const char *path, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(shared_dirs); i++) {
		if (strlen(shared_dirs[i]) == n && memcmp(shared_dirs[i], path, n) == 0)
			return true;
	}
	return false;
}

/* A file of an agent's below a home: the directory that is all its own, or the file; and what lies
 * beside it under its name and more: copies, locks. */
static void add_own(struct omission *o, const char *home, const char *path)
{
	const char *end = path;

	do {
		end += *end == '/';
		end = strchrnul(end, '/');
	} while (*end && is_shared(path, (size_t)(end - path)));
	strv_addf(&o->secret, "%s%.*s", home, (int)(end - path), path);
	strv_addf(&o->leave_out, "%s%.*s.*", home, (int)(end - path), path);
}

/* The files and directories of one agent, in a home of the tree: "" or "root/". */
static void add_kit(struct omission *o, const char *home, const struct kit *k)
{
	auto_strv files = STRV_INIT;

	kit_credential_files(k, NATIVE_HOME, false, &files);
	for (size_t i = 0; i < files.n; i++) {
		auto_free char *temporary = supervise_credential_temporary(files.v[i]);

		strv_addf(&o->secret, "%s%s", home, files.v[i]);
		strv_addf(&o->secret, "%s%s", home, temporary);
		add_own(o, home, files.v[i]);
	}
	for (size_t i = 0; i < k->nfiles; i++) {
		if (text_starts(k->files[i].path, "~/"))
			add_own(o, home, k->files[i].path + 2);
	}
	for (size_t i = 0; i < k->nuser_config; i++)
		add_own(o, home, k->user_config[i].path);
}

static void add_agent(struct omissions *o, const struct kit *k)
{
	add_kit(&o->home, "", k);
	add_kit(&o->root, "root/", k);
}

/* Whoever the sandbox is of, any agent may have been logged in in it. */
static int add_agents(struct engine_context *c, const struct kit *own, struct omissions *o,
		      struct err *e)
{
	auto_strv names = STRV_INIT;
	int r = kit_names(c->paths.config, &names, e);

	add_agent(o, own);
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		struct kit_extras extras = { .placeholders = true };
		struct kit *k = NULL;

		/* One that is damaged has no sandboxes. */
		if (kit_load_any(names.v[i], c->paths.config, &extras, &k, NULL) == 0)
			add_agent(o, k);
		kit_free(k);
	}
	return r;
}

/* --- what Ward puts there --------------------------------------------------------------------- */

/* Made once when missing, and everybody's own from then on. */
static const char *const kept_seeds[] = {
	NATIVE_PERSISTENT,	NATIVE_HOME "/.bashrc", NATIVE_HOME "/.profile",
	NATIVE_HOME "/.zshenv", "/etc/bash.bashrc",
};

static bool is_kept(const struct box_op *op)
{
	for (size_t i = 0; i < ARRAY_SIZE(kept_seeds); i++) {
		if (strcmp(op->target, kept_seeds[i]) == 0)
			return true;
	}
	return (op->flags & BOX_F_APPEND) != 0;
}

/* Directories above a target: they may have been made for it alone. */
static void add_above(struct strv *list, const char *path)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		auto_free char *dir = xstrndup(path, (size_t)(slash - path));

		if (!strv_contains(list, dir))
			strv_add(list, dir);
	}
}

static void add_target(struct omissions *o, const char *target, bool secret)
{
	const bool in_home = fs_path_within(target, NATIVE_HOME);
	struct omission *t = in_home ? &o->home : &o->root;
	const char *path = in_home ? target + strlen(NATIVE_HOME) : target;

	path += *path == '/';
	/* The home itself is a mount. */
	if (*path == '\0') {
		t = &o->root;
		path = target + 1;
	}
	strv_add(secret ? &t->secret : &t->leave_out, path);
	add_above(&t->if_filled, path);
}

static void add_op(struct omissions *o, const struct box_op *op)
{
	switch (op->type) {
	case BOX_OP_FILE:
		if (!is_kept(op))
			add_target(o, op->target, true);
		break;
	case BOX_OP_DIR:
		/* Volumes of a kit; elsewhere a directory that is there anyway. */
		if (fs_path_within(op->target, NATIVE_HOME))
			add_target(o, op->target, false);
		else
			strv_add(&o->root.if_filled, op->target + 1);
		break;
	case BOX_OP_SYMLINK:
	case BOX_OP_BIND:
	case BOX_OP_TMPFS:
	case BOX_OP_SOCKET:
		add_target(o, op->target, false);
		break;
	case BOX_OP_OVERLAY:
	case BOX_OP_FILL:
	case BOX_OP_USER:
	case BOX_OP_PIN:
	case BOX_OP_PROC:
	case BOX_OP_SYSFS:
	case BOX_OP_DEVPTS:
	case BOX_OP_MQUEUE:
	case BOX_OP_DEVICE:
	case BOX_OP_MASK:
	case BOX_OP_READONLY:
	case BOX_OP_PIVOT:
	case BOX_OP_SYSCTL:
	case BOX_OP_HOSTNAME:
	case BOX_OP_LOOPBACK:
	case BOX_OP_LISTEN:
	case BOX_OP_CAPTURE:
	case BOX_OP_MAX:
		break;
	}
}

static int add_plan(struct engine_context *c, const struct sandbox *s,
		    const struct native_loaded *l, struct omissions *o, struct err *e)
{
	struct box_config *b = NULL;
	struct box_plan plan = { 0 };
	int r = native_config(c, l->spec, l->kit, s->dir, false, &b, e);

	if (r == 0)
		r = box_plan_make(b, &plan, e);
	for (size_t i = 0; r == 0 && i < plan.nops; i++)
		add_op(o, &plan.ops[i]);
	if (r == 0)
		strv_extend(&o->layers, &b->layers);
	box_plan_clear(&plan);
	box_config_free(b);
	return r;
}

static int find_omissions(struct engine_context *c, const struct sandbox *s,
			  const struct native_loaded *l, struct omissions *o, struct err *e)
{
	int r = add_plan(c, s, l, o, e);

	add_list(&o->root.leave_out, "", root_left_out, ARRAY_SIZE(root_left_out));
	add_list(&o->root.leave_out, "root/", home_left_out, ARRAY_SIZE(home_left_out));
	add_list(&o->root.secret, "root/", home_secrets, ARRAY_SIZE(home_secrets));
	add_list(&o->home.leave_out, "", home_left_out, ARRAY_SIZE(home_left_out));
	add_list(&o->home.secret, "", home_secrets, ARRAY_SIZE(home_secrets));
	return r == 0 ? add_agents(c, l->kit, o, e) : r;
}

/* --- links of the image -----------------------------------------------------------------------
 *
 * What must stay out is known by its path.  An image that has a link on the way there would make it
 * another one, which the directories of the sandbox alone do not tell.  (With a link in the place
 * of a directory that Ward mounts something on, no box starts.)
 */

struct lookup {
	const struct omissions *o;
	int *layers;
	size_t n;
};

/* Is a directory above the path, or with `itself` the path, a link in that layer? */
static bool leads_over_link(int layer, const char *path, bool itself, char *ret, size_t size)
{
	for (const char *end = strchr(path, '/'); end || itself;
	     end = end ? strchr(end + 1, '/') : NULL) {
		auto_close int fd = -1;
		struct stat st;

		snprintf(ret, size, "%.*s", end ? (int)(end - path) : (int)strlen(path), path);
		fd = fs_open_beneath(layer, ret, O_PATH | O_NOFOLLOW, 0);
		if (fd < 0)
			return false;
		if (fstat(fd, &st) == 0 && S_ISLNK(st.st_mode))
			return true;
		if (!end)
			return false;
	}
	return false;
}

/* In a child that may look into directories of the box's ids. */
static int look_for_links(void *arg, struct err *e)
{
	const struct lookup *l = arg;
	const struct strv *secret = &l->o->root.secret;
	char at[PATH_MAX];

	for (size_t i = 0; i < l->n; i++) {
		bool found = false;

		/* A file of Ward's own replaces a link; what programs keep in root's home follows
		 * it. */
		for (size_t k = 0; k < secret->n && !found; k++)
			found = leads_over_link(l->layers[i], secret->v[k],
						text_starts(secret->v[k], "root/"), at, sizeof(at));
		if (found) {
			auto_free char *shown = text_escaped(at);

			return err_set(
				e, ERR_REFUSED, -ELOOP,
				"its image has a link at /%.200s, so what is secret cannot be told "
				"from the rest",
				shown);
		}
	}
	return 0;
}

static int check_links(const struct omissions *o, const struct box_ids *ids, struct err *e)
{
	struct lookup l = { .o = o, .layers = xcalloc(o->layers.n + 1, sizeof(int)) };
	int r = 0;

	for (; l.n < o->layers.n && r == 0; l.n += r == 0) {
		l.layers[l.n] = open(o->layers.v[l.n], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (l.layers[l.n] < 0)
			r = err_sys(e, "%s", o->layers.v[l.n]);
	}
	if (r == 0)
		r = box_run_mapped(ids, look_for_links, &l, e);
	while (l.n > 0)
		close(l.layers[--l.n]);
	free(l.layers);
	return r;
}

/* --- the layer and the image ------------------------------------------------------------------ */

static int open_tree(const struct sandbox *s, const char *name, int *ret, struct err *e)
{
	int fd = fs_open_beneath(s->dirfd, name, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "%s", name);
	}
	*ret = fd;
	return 0;
}

static int pack(const struct image_store *store, const struct sandbox *s, const struct box_ids *ids,
		const struct omissions *o, struct image_layer *ret, struct err *e)
{
	auto_close int upper = -1, home = -1;
	struct image_tree trees[] = { IMAGE_TREE_INIT, IMAGE_TREE_INIT };
	int r = open_tree(s, "upper", &upper, e);

	if (r == 0)
		r = open_tree(s, "home", &home, e);
	if (r < 0)
		return r;
	trees[0].fd = upper;
	trees[0].leave_out = &o->root.leave_out;
	trees[0].secret = &o->root.secret;
	trees[0].if_filled = &o->root.if_filled;
	trees[1].fd = home;
	trees[1].prefix = &NATIVE_HOME[1];
	trees[1].leave_out = &o->home.leave_out;
	trees[1].secret = &o->home.secret;
	trees[1].if_filled = &o->home.if_filled;
	/* The agent's, also where everybody inside is root. */
	if (ids->mode == BOX_ID_SINGLE)
		trees[1].owner = BOX_AGENT_ID;
	return native_layer_pack(store, ids, trees, ARRAY_SIZE(trees), ret, e);
}

static int compose(const struct image_store *store, const struct spec *spec,
		   const struct image_layer *layer, const char *reference, struct image_record *ret,
		   struct err *e)
{
	auto_free char *helper = NULL;
	auto_free char *comment = xasprintf("saved from a sandbox of %s", spec->agent);
	char now[32];
	struct image_history entry = { .created = now,
				       .created_by = (char *)(uintptr_t) "ward template save",
				       .comment = comment,
				       .empty_layer = layer->entries == 0 };
	struct image_composition c = { .base = spec->tmpl.digest,
				       .layers = layer,
				       .nlayers = layer->entries > 0,
				       .history = &entry,
				       .nhistory = 1,
				       .created = now };
	int r = native_helper("ward-image", &helper, e);

	if (r < 0)
		return r;
	text_rfc3339((int64_t)time(NULL), now);
	c.helper = helper;
	return image_compose(store, &c, reference, ret, e);
}

/* --- the operation ---------------------------------------------------------------------------- */

static int check_template(const struct spec *spec, struct err *e)
{
	if (spec->tmpl.kind == SPEC_TEMPLATE_IMAGE && spec->tmpl.digest)
		return 0;
	err_set(e, ERR_REFUSED, -EOPNOTSUPP,
		spec->tmpl.kind == SPEC_TEMPLATE_HOST
			? "it uses this machine's own programs, and an image of them cannot be made"
			: "its template is a directory and no image");
	return err_hint(e, "make it from an image: ward run --recreate -t IMAGE %s", spec->agent);
}

static int save_locked(struct engine_context *c, const struct sandbox *s,
		       const struct native_loaded *l, const char *reference,
		       struct engine_saved *ret, struct err *e)
{
	auto_image_store store = { .fd = -1 };
	auto_close int content = -1;
	struct omissions o = { 0 };
	struct box_ids ids;
	int r = native_ids_read(s, &ids, e);
	bool unused = r == -ENOENT; /* it never ran: it is what its template is */

	if (r < 0 && !unused)
		return r;
	r = image_store_open(c->paths.data, &store, e);
	if (r == 0)
		r = image_store_lock(&store, IMAGE_LOCK_CONTENT, false, true, &content, e);
	if (r == 0 && !unused) {
		if (c->say)
			c->say(c->say_arg, ENGINE_SAY_PROGRESS, "writing a layer");
		r = find_omissions(c, s, l, &o, e);
		if (r == 0)
			r = check_links(&o, &ids, e);
		if (r == 0)
			r = pack(&store, s, &ids, &o, &ret->layer, e);
		omissions_clear(&o);
	}
	return r == 0 ? compose(&store, l->spec, &ret->layer, reference, &ret->record, e) : r;
}

int native_save(struct engine_context *c, const struct sandbox *s, const char *reference,
		struct engine_saved *ret, struct err *e)
{
	struct engine_saved saved = { 0 };
	struct native_loaded l = { 0 };
	auto_close int lock = -1;
	int busy = -1;
	int r = native_load(c, s, &l, e);

	if (r < 0)
		return r;
	r = check_template(l.spec, e);
	if (r == 0) {
		r = state_lock(s, &lock, e);
		if (r == -EWOULDBLOCK) {
			bool busy_now = state_busy(s, NULL);

			r = err_set(e, ERR_CONFLICT, -EBUSY, "it is %s",
				    busy_now ? "being saved already" : "running");
			if (!busy_now)
				err_hint(e, "ward stop %s", l.spec->name);
		}
	}
	if (r == 0)
		r = state_busy_begin(s, "being saved as a template", &busy, e);
	if (r == 0)
		r = save_locked(c, s, &l, reference, &saved, e);
	state_busy_end(s, &busy);
	if (r == 0)
		*ret = saved;
	else
		engine_saved_clear(&saved);
	if (r < 0)
		err_prefix(e, "sandbox '%s'", l.spec->name);
	native_loaded_clear(&l);
	return r;
}

void engine_saved_clear(struct engine_saved *s)
{
	image_record_clear(&s->record);
	image_layer_clear(&s->layer);
}
