/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_config: what an agent gets of its user's own configuration (--agent-config).
 *
 * A kit lists what its agent may have, below the home.  What of it exists on this machine is, by
 * mode and by kind:
 *
 *   bound    readonly: the file or directory itself, read-only, at the same place in the home
 *   copied   copy; and in both modes what a kit brings files for as well: once, by a confined
 *            process inside
 *   merged   a JSON file of which only some members are named: those are added to the kit's seed of
 *            the same path, whose own members win; written once, as the agent's own file
 *   noted    the file that the kit's instructions go to: the user's text first, then the kit's
 *
 * A link at such a place is the user's own choice and is followed, on this machine and once; where
 * it leads is judged like a volume.  Links further down are shown as they are, and lead nowhere
 * inside.  What holds a login of the agent is never given, and nothing is given to a kit that was
 * only named on the command line: it may be a stranger's, and its list could name anything.
 *
 * Invariant: nothing here fails a start; what cannot be given is left out and said.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/engine_internal.h"
#include "supervise/supervise.h"

enum { FILE_BYTES_MAX = 1 << 20 };

static const struct tarball_limits copy_limits = { .entries = 10000,
						   .bytes = 64 << 20,
						   .no_links = true };

void user_config_clear(struct user_config *u)
{
	for (size_t i = 0; i < u->n; i++) {
		free(u->v[i].source);
		free(u->v[i].target);
	}
	free(u->v);
	free(u->instructions);
	strv_free(&u->refused);
	*u = (struct user_config){ 0 };
}

/* --- what there is ----------------------------------------------------------------------------
 */

static bool overlap(const char *a, const char *b)
{
	return fs_path_within(a, b) || fs_path_within(b, a);
}

/* A path of a kit, below the home: plain, without "..". */
static char *below_home(const char *path)
{
	auto_free char *joined = fs_join(NATIVE_HOME, text_starts(path, "~/") ? path + 2 : path);
	auto_free char *normal = NULL;

	if (fs_normalise(joined, &normal, NULL) < 0 || strcmp(normal, NATIVE_HOME) == 0 ||
	    !fs_path_within(normal, NATIVE_HOME))
		return NULL;
	return steal(&normal);
}

/*
 * Where agentInstructions go: what filename says when it names a directory, too; else the first
 * file of notes that the agent reads of its user's, whatever it is called there; else the home.
 */
static char *instructions_target(const struct kit *k)
{
	const char *name = k->instructions_file;

	if (!k->instructions)
		return NULL;
	for (size_t i = 0; i < k->nuser_config && !(name && strchr(name, '/')); i++) {
		const struct kit_user_config *u = &k->user_config[i];

		if (u->keys.n == 0 && text_ends(u->path, ".md"))
			return below_home(u->path);
	}
	return below_home(name ? name : "AGENTS.md");
}

/* Does a kit bring something for this place, or below it? */
static bool kit_brings(const struct kit *k, const char *path, const char *target)
{
	for (size_t i = 0; i < k->trees.n; i++) {
		auto_free char *own = xasprintf("%s/files/home/%s", k->trees.v[i], path);

		if (faccessat(AT_FDCWD, own, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return true;
	}
	for (size_t i = 0; i < k->nfiles; i++) {
		auto_free char *file = kit_path(k->files[i].path, NATIVE_HOME);

		if (fs_path_within(file, target) && strcmp(file, target) != 0)
			return true;
	}
	return false;
}

/* Somebody else's mount has the place. */
static bool is_taken(const struct user_config *u, const struct spec *s, const struct kit *k,
		     const char *target)
{
	for (size_t i = 0; i < u->n; i++) {
		if (overlap(u->v[i].target, target))
			return true;
	}
	for (size_t i = 0; i < s->nworkspaces; i++) {
		if (overlap(s->workspaces[i].path, target))
			return true;
	}
	for (size_t i = 0; i < s->nvolumes; i++) {
		if (overlap(s->volumes[i].target, target))
			return true;
	}
	for (size_t i = 0; i < k->nvolumes; i++) {
		auto_free char *path = kit_path(k->volumes[i].path, NATIVE_HOME);

		if (overlap(path, target))
			return true;
	}
	return false;
}

static bool holds_login(const struct kit *k, const char *home, const char *source)
{
	for (size_t i = 0; i < k->credential_files.n; i++) {
		auto_free char *path = fs_join(home, k->credential_files.v[i]);

		if (overlap(path, source))
			return true;
	}
	return false;
}

static void refuse(struct user_config *u, const char *path, const char *why)
{
	strv_take(&u->refused, xasprintf("agent configuration '%s': %s", path, why));
}

/* A file whose path was judged: nobody may have put a link on the way since. */
static int read_source(const char *source, struct buf *out)
{
	auto_close int fd = fs_openat2(AT_FDCWD, source, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
				       RESOLVE_NO_SYMLINKS);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	return fs_read_fd(fd, FILE_BYTES_MAX, out, NULL);
}

static bool is_mergeable(const char *source, const struct strv *keys)
{
	auto_free char *merged = NULL;
	auto_buf text = BUF_INIT;

	if (read_source(source, &text) < 0)
		return false;
	merged = user_config_merge(buf_str(&text), text.len, keys, NULL);
	return merged != NULL;
}

static void look_at(struct user_config *u, const struct spec_paths *p, const struct spec *s,
		    const struct kit *k, const struct kit_user_config *c)
{
	auto_free char *path = fs_join(p->home, c->path);
	auto_free char *target = below_home(c->path);
	auto_free char *source = NULL;
	struct err e = ERR_INIT;
	bool is_dir = false;
	enum user_config_way way;
	int r;

	if (!target || is_taken(u, s, k, target))
		return;
	r = spec_own_parse(path, p, &source, &is_dir, &e);
	if (r == -ENOENT || r == -ENOTDIR)
		return;
	if (r < 0) {
		strv_add(&u->refused, e.message);
		return;
	}
	if (c->given) {
		refuse(u, path, "a kit of --kit cannot show more of your home");
		return;
	}
	if (holds_login(k, p->home, source)) {
		refuse(u, path, "it holds the agent's login");
		return;
	}
	if (c->keys.n && !is_mergeable(source, &c->keys)) {
		refuse(u, path, "it holds no JSON object");
		return;
	}
	if (c->keys.n)
		way = USER_CONFIG_MERGED;
	else if (u->instructions && strcmp(u->instructions, target) == 0)
		way = USER_CONFIG_NOTED;
	else if (s->agent_config == SPEC_AGENT_CONFIG_COPY || kit_brings(k, c->path, target))
		way = USER_CONFIG_COPIED;
	else
		way = USER_CONFIG_BOUND;
	u->v = xrealloc(u->v, u->n + 1, sizeof(*u->v));
	u->v[u->n++] = (struct user_config_item){
		.way = way, .config = c, .source = steal(&source), .target = steal(&target)
	};
}

void user_config_find(const struct engine_context *c, const struct spec *s, const struct kit *k,
		      struct user_config *ret)
{
	const struct spec_paths p = { .home = c->paths.home,
				      .data = c->paths.data,
				      .runtime = c->paths.runtime,
				      .config = c->paths.config };

	*ret = (struct user_config){ .instructions = instructions_target(k) };
	for (size_t i = 0; s->agent_config != SPEC_AGENT_CONFIG_OFF && i < k->nuser_config; i++)
		look_at(ret, &p, s, k, &k->user_config[i]);
}

const struct user_config_item *user_config_at(const struct user_config *u, const char *target)
{
	for (size_t i = 0; i < u->n; i++) {
		if (strcmp(u->v[i].target, target) == 0)
			return &u->v[i];
	}
	return NULL;
}

/* --- contents ---------------------------------------------------------------------------------
 */

char *user_config_merge(const char *theirs, size_t n, const struct strv *keys, const char *seed)
{
	auto_json user = NULL;
	auto_json own = NULL;
	auto_buf out = BUF_INIT;

	if (json_parse(theirs, n, &user, NULL) < 0 || !json_is_object(user))
		return NULL;
	if (seed && (json_parse(seed, strlen(seed), &own, NULL) < 0 || !json_is_object(own)))
		return NULL;
	if (!own)
		own = json_object();
	for (size_t i = 0; i < keys->n; i++) {
		if (json_has(user, keys->v[i]) && !json_has(own, keys->v[i]))
			json_set(own, keys->v[i], json_ref(json_get(user, keys->v[i])));
	}
	json_write(own, true, &out);
	return buf_steal(&out);
}

char *user_config_merged(const struct user_config_item *i, const char *seed)
{
	auto_buf text = BUF_INIT;

	if (read_source(i->source, &text) < 0)
		return NULL;
	return user_config_merge(buf_str(&text), text.len, &i->config->keys, seed);
}

char *user_config_notes(const struct user_config *u, const char *notes)
{
	const struct user_config_item *i = user_config_at(u, u->instructions);
	auto_buf text = BUF_INIT;

	if (i && i->way == USER_CONFIG_NOTED && read_source(i->source, &text) == 0 &&
	    !memchr(buf_str(&text), '\0', text.len)) {
		if (text.len && text.data[text.len - 1] != '\n')
			buf_putc(&text, '\n');
		buf_putc(&text, '\n');
	} else {
		buf_reset(&text);
	}
	buf_puts(&text, notes);
	return buf_steal(&text);
}

/* --- copies, and what is said -----------------------------------------------------------------
 */

int user_config_copy(struct engine_context *c, const struct sandbox *s, const struct user_config *u,
		     struct err *e)
{
	for (size_t i = 0; i < u->n; i++) {
		struct native_tree t = { .source = u->v[i].source,
					 .root = u->v[i].target + sizeof(NATIVE_HOME),
					 .target = NATIVE_HOME,
					 .limits = copy_limits };
		int r = u->v[i].way == USER_CONFIG_COPIED ? native_place_tree(c, s, &t, e) : 0;

		if (r < 0) {
			err_prefix(e, "agent configuration: %s", u->v[i].source);
			return err_hint(e, "--recreate --agent-config off leaves it out");
		}
	}
	return 0;
}

void engine_user_config_notes(const struct engine_context *c, const struct spec *s,
			      const struct kit *k, struct strv *ret)
{
	auto_buf given = BUF_INIT;
	struct user_config u;

	user_config_find(c, s, k, &u);
	for (size_t i = 0; i < u.n; i++)
		buf_printf(&given, "%s%s", i ? ", " : "", strrchr(u.v[i].target, '/') + 1);
	if (u.n)
		strv_take(ret, xasprintf("agent configuration (%s): %s",
					 s->agent_config == SPEC_AGENT_CONFIG_COPY ? "copied"
										   : "read-only",
					 buf_str(&given)));
	for (size_t i = 0; i < u.refused.n; i++)
		strv_take(ret, xasprintf("%s; it is left out", u.refused.v[i]));
	user_config_clear(&u);
}
