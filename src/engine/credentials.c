/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credentials: where an agent's login comes from, and how it is taken from a stopped sandbox.
 *
 * The agent's credential files have a second copy, the store: in the agent's volume (--credentials
 * sandbox), or they are the user's own (host).  The supervisor keeps both equal; here is decided
 * which files these are.
 *
 * A file of the user's own is taken only from a directory that belongs to the agent: the supervisor
 * is given that directory, and must not be given the user's home.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/engine_internal.h"

enum { RECORD_MAX = 65536 };

/* --- what the host has --------------------------------------------------------------------------
 */

void engine_host_keys(const struct kit *k, struct strv *env)
{
	for (size_t i = 0; i < k->ncredentials; i++) {
		const struct kit_credential *cr = &k->credentials[i];
		const char *value = cr->env_name && !cr->mixed ? getenv(cr->env_name) : NULL;

		if (value && *value)
			strv_env_set(env, cr->env_name, value);
	}
}

/* Directories below the home in which programs of all kinds keep things. */
static const char *const shared_dirs[] = { "",	     ".config",	     ".local",
					   ".cache", ".local/share", ".local/state" };

static bool is_shared(const char *dir, const char *home)
{
	for (size_t i = 0; i < ARRAY_SIZE(shared_dirs); i++) {
		auto_free char *shared =
			shared_dirs[i][0] ? fs_join(home, shared_dirs[i]) : xstrdup(home);

		/* Also what holds one of them. */
		if (fs_path_within(shared, dir))
			return true;
	}
	return false;
}

/* A directory that others may write to, or that is theirs, is no place for a login. */
static bool is_own_dir(const char *dir)
{
	auto_close int fd = -1;

	return fs_open_private_dir(dir, geteuid(), &fd, NULL) == 0;
}

/* The user's own links are followed, for directory and file alike. */
static char *host_file(const char *home, const char *file)
{
	auto_free char *path = fs_join(home, file);
	auto_free char *dir = NULL;
	auto_free char *real = NULL;
	char *slash;

	if (fs_canonical(path, &real, NULL) < 0) {
		auto_free char *parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));

		if (fs_canonical(parent, &dir, NULL) < 0)
			return NULL;
		real = fs_join(dir, strrchr(path, '/') + 1);
	}
	slash = strrchr(real, '/');
	free(dir);
	dir = slash == real ? xstrdup("/") : xstrndup(real, (size_t)(slash - real));
	return is_shared(dir, home) || !is_own_dir(dir) ? NULL : steal(&real);
}

void engine_host_files(const struct kit *k, const char *home, struct strv *ret)
{
	auto_strv files = STRV_INIT;

	kit_credential_files(k, NATIVE_HOME, true, &files);
	for (size_t i = 0; i < files.n; i++) {
		char *path = host_file(home, files.v[i]);

		if (!path)
			continue;
		strv_add(ret, files.v[i]);
		strv_take(ret, path);
	}
}

/* --- what the supervisor follows ----------------------------------------------------------------
 */

/* Takes store. */
static void add_file(struct supervise_credentials *c, const char *file, char *store)
{
	c->v = xrealloc(c->v, c->n + 1, sizeof(*c->v));
	c->v[c->n++] = (struct supervise_credential){ .file = xstrdup(file), .store = store };
}

static void host_files(const struct kit *k, const char *home, struct supervise_credentials *ret)
{
	auto_strv files = STRV_INIT;

	ret->host = true;
	engine_host_files(k, home, &files);
	for (size_t i = 0; i + 1 < files.n; i += 2)
		add_file(ret, files.v[i], xstrdup(files.v[i + 1]));
}

static int volume_files(const struct engine_context *c, const struct kit *k, const char *agent,
			struct supervise_credentials *ret, struct err *e)
{
	auto_strv files = STRV_INIT;

	kit_credential_files(k, NATIVE_HOME, false, &files);
	for (size_t i = 0; i < files.n; i++) {
		char *store = NULL;
		int r = state_volume_file(&c->paths, agent, files.v[i], &store, e);

		if (r < 0)
			return r;
		add_file(ret, files.v[i], store);
	}
	return 0;
}

int native_credentials(const struct engine_context *c, const struct spec *s, const struct kit *k,
		       struct supervise_credentials *ret, struct err *e)
{
	struct supervise_credentials list = { 0 };
	int r = 0;

	if (s->credentials == SPEC_CREDENTIALS_SANDBOX)
		r = volume_files(c, k, s->agent, &list, e);
	else if (s->credentials == SPEC_CREDENTIALS_HOST)
		host_files(k, c->paths.home, &list);
	if (r < 0) {
		supervise_credentials_clear(&list);
		return r;
	}
	*ret = list;
	return 0;
}

void engine_credential_files(const struct spec *s, const struct kit *k, const char *home,
			     struct strv *ret)
{
	auto_strv files = STRV_INIT;

	if (s->credentials == SPEC_CREDENTIALS_SANDBOX)
		kit_credential_files(k, NATIVE_HOME, false, ret);
	if (s->credentials != SPEC_CREDENTIALS_HOST)
		return;
	engine_host_files(k, home, &files);
	for (size_t i = 0; i + 1 < files.n; i += 2)
		strv_add(ret, files.v[i]);
}

/* --- logging out of a stopped sandbox -----------------------------------------------------------
 */

static int add_key(const char *key, struct json *v, void *arg)
{
	struct strv *files = arg;

	(void)v;
	if (!strv_contains(files, key))
		strv_add(files, key);
	return 0;
}

/* The kit's files, and those that were followed when the kit was another one; with what a killed
 * supervisor may have left beside each. */
static void home_files(const struct sandbox *s, const struct kit *k, struct strv *ret)
{
	auto_strv files = STRV_INIT;
	auto_buf text = BUF_INIT;
	auto_json j = NULL;

	if (k)
		kit_credential_files(k, NATIVE_HOME, false, &files);
	if (fs_read_at(s->dirfd, SUPERVISE_CREDENTIALS_RECORD, RECORD_MAX, &text, NULL) == 0 &&
	    json_parse(buf_str(&text), text.len, &j, NULL) == 0)
		json_each(json_get(j, "files"), add_key, &files);
	for (size_t i = 0; i < files.n; i++) {
		strv_add(ret, files.v[i]);
		strv_take(ret, supervise_credential_temporary(files.v[i]));
	}
}

/* The directory that a file lies in: O_PATH fd or -errno. */
static int open_parent(int home, const char *file, const char **ret_name)
{
	const char *slash = strrchr(file, '/');
	auto_free char *dir = slash ? xstrndup(file, (size_t)(slash - file)) : xstrdup(".");

	*ret_name = slash ? slash + 1 : file;
	return fs_open_beneath(home, dir, O_PATH | O_DIRECTORY, 0);
}

/* A link in the way, or something that is no file, is not what a login is read from. */
static bool is_gone(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

bool native_has_credentials(const struct sandbox *s, const struct kit *k)
{
	auto_strv files = STRV_INIT;
	auto_close int home = fs_open_beneath(s->dirfd, "home", O_PATH | O_DIRECTORY, 0);

	if (home < 0)
		return !is_gone(home);
	home_files(s, k, &files);
	for (size_t i = 0; i < files.n; i++) {
		const char *name;
		auto_close int dir = open_parent(home, files.v[i], &name);
		struct stat st;

		if (dir < 0 && is_gone(dir))
			continue;
		/* What cannot be looked at may be there. */
		if (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
			return true;
	}
	return false;
}

struct removal {
	int home;
	struct strv files;
};

static int remove_files(void *arg, struct err *e)
{
	const struct removal *m = arg;

	for (size_t i = 0; i < m->files.n; i++) {
		const char *name;
		auto_close int dir = open_parent(m->home, m->files.v[i], &name);
		int r = dir < 0 ? dir : fs_remove_tree_at(dir, name, e);

		if (r < 0 && !is_gone(r))
			return err_set(e, ERR_SYSTEM, r, "~/%s: %s", m->files.v[i], strerror(-r));
	}
	return 0;
}

int native_remove_credentials(const struct sandbox *s, const struct kit *k,
			      const struct box_ids *ids, struct err *e)
{
	auto_close int home = fs_open_beneath(s->dirfd, "home", O_PATH | O_DIRECTORY, 0);
	struct removal m = { .home = home };
	int r;

	if (home < 0)
		return is_gone(home) ? 0
				     : err_set(e, ERR_SYSTEM, home, "home: %s", strerror(-home));
	home_files(s, k, &m.files);
	/* The agent's files are the user's own, unless root inside made their directories. */
	r = ids->mode == BOX_ID_RANGE ? box_run_mapped(ids, remove_files, &m, e)
				      : remove_files(&m, e);
	strv_free(&m.files);
	if (r == 0 && unlinkat(s->dirfd, SUPERVISE_CREDENTIALS_RECORD, 0) < 0 && errno != ENOENT)
		r = err_sys(e, SUPERVISE_CREDENTIALS_RECORD);
	return r;
}
