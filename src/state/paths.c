/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paths: where Ward keeps things for this user, and whether these places can be trusted.
 *
 * Data and runtime directories are made on first use.  Everything that Ward later does by path
 * below them relies on one fact that is established here: nobody but this user (and root) can
 * create, replace or rename anything in them.  So each must be a real directory of this user,
 * closed to others, with no ancestor in which another user may rename it.
 *
 * A relative XDG_* value counts as unset, as the XDG Base Directory specification says.  A
 * XDG_RUNTIME_DIR that is missing or belongs to somebody else (usual after su and in cron) is not
 * used; the data directory's run/ takes its place.  /tmp never does.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "state/state.h"

enum { PASSWD_BUFFER = 65536 };

/* An environment variable that holds an absolute path, else NULL. */
static const char *env_path(const char *name)
{
	const char *v = secure_getenv(name);

	return v && v[0] == '/' ? v : NULL;
}

static char *passwd_home(void)
{
	auto_free char *scratch = xmalloc(PASSWD_BUFFER);
	struct passwd pw, *found = NULL;

	if (getpwuid_r(geteuid(), &pw, scratch, PASSWD_BUFFER, &found) != 0 || !found)
		return NULL;
	if (!pw.pw_dir || pw.pw_dir[0] != '/')
		return NULL;
	return xstrdup(pw.pw_dir);
}

static int find_home(char **ret, struct err *e)
{
	const char *env = env_path("HOME");
	auto_free char *home = env ? xstrdup(env) : passwd_home();
	auto_free char *shown = NULL;
	struct stat st;
	int r;

	if (!home) {
		err_set(e, ERR_HOST, ENOENT, "home directory: HOME is not set and uid %u has none",
			(unsigned int)geteuid());
		return err_hint(e, "export HOME=/path/to/your/home"), -ENOENT;
	}
	shown = text_escaped(home);
	r = fs_canonical(home, ret, e);
	if (r < 0) {
		err_prefix(e, "home directory '%s'", shown);
		err_hint(e, "set HOME to an existing directory");
		return r;
	}
	/* sudo that keeps HOME: root would leave directories that the user cannot use. */
	if (stat(*ret, &st) == 0 && st.st_uid != geteuid() && st.st_uid != 0 && geteuid() == 0) {
		mem_freep(ret);
		err_set(e, ERR_REFUSED, EPERM,
			"home directory '%s': it belongs to uid %u, not to you", shown,
			(unsigned int)st.st_uid);
		err_hint(e, "sudo -H ward ..., or run ward as that user");
		return -EPERM;
	}
	return 0;
}

/* No other user may rename what lies in an ancestor: none is writable by all without sticky bit. */
static int check_ancestors(const char *path, struct err *e)
{
	auto_free char *p = xstrdup(path);
	struct stat st;
	char *slash;

	while ((slash = strrchr(p, '/')) != NULL) {
		slash[slash == p ? 1 : 0] = '\0';
		if (stat(p, &st) < 0)
			return err_sys(e, "directory '%s'", p);
		if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX)) {
			err_set(e, ERR_REFUSED, EPERM,
				"directory '%s': everybody may rename what is in it", p);
			err_hint(e, "chmod o-w '%s'", p);
			return -EPERM;
		}
		if (p[1] == '\0')
			break;
	}
	return 0;
}

/* A symlink that the user made (a larger disk) is followed; one that others made is not. */
static int check_link(const char *path, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_sys(e, "directory '%s'", path);
	}
	if (S_ISLNK(st.st_mode) && st.st_uid != geteuid() && st.st_uid != 0) {
		err_set(e, ERR_REFUSED, EPERM, "directory '%s': a symbolic link made by uid %u",
			path, (unsigned int)st.st_uid);
		err_hint(e, "rm '%s'", path);
		return -EPERM;
	}
	return 0;
}

/* Make `path` if needed, check it, close it to group and others; *ret is its canonical path. */
static int private_dir(const char *path, char **ret, struct err *e)
{
	auto_free char *canonical = NULL;
	auto_close int fd = -1;
	struct stat st;
	int r;

	r = check_link(path, e);
	if (r < 0)
		return r;
	r = fs_mkdirs(path, 0700, e);
	if (r < 0) {
		if (e && e->hint[0] == '\0' && (r == -EACCES || r == -EPERM || r == -EROFS))
			err_hint(e, "set XDG_DATA_HOME to a directory that you can write to");
		return r;
	}
	r = fs_canonical(path, &canonical, e);
	if (r < 0)
		return r;
	r = check_ancestors(canonical, e);
	if (r < 0)
		return r;
	r = fs_open_private_dir(canonical, geteuid(), &fd, e);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return err_sys(e, "directory '%s'", canonical);
	if ((st.st_mode & 07777) != 0700 && fchmod(fd, 0700) < 0)
		return err_sys(e, "directory '%s': chmod 700", canonical);
	*ret = steal(&canonical);
	return 0;
}

static char *xdg_dir(const char *variable, const char *home, const char *below_home)
{
	const char *base = env_path(variable);
	auto_free char *fallback = NULL;

	if (!base)
		base = fallback = fs_join(home, below_home);
	return fs_join(base, "ward");
}

/* XDG_RUNTIME_DIR/ward when that directory is this user's, else <data>/run. */
static char *runtime_wish(const char *data)
{
	const char *base = env_path("XDG_RUNTIME_DIR");
	struct stat st;

	if (base && stat(base, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	    !(st.st_mode & S_IWOTH) && access(base, W_OK) == 0)
		return fs_join(base, "ward");
	return fs_join(data, "run");
}

int state_paths_init(struct state_paths *ret, struct err *e)
{
	struct state_paths p = { 0 };
	auto_free char *data = NULL;
	auto_free char *runtime = NULL;
	int r;

	r = find_home(&p.home, e);
	if (r < 0)
		return r;
	data = xdg_dir("XDG_DATA_HOME", p.home, ".local/share");
	p.config = xdg_dir("XDG_CONFIG_HOME", p.home, ".config");
	r = private_dir(data, &p.data, e);
	if (r == 0) {
		runtime = runtime_wish(p.data);
		r = private_dir(runtime, &p.runtime, e);
	}
	if (r < 0) {
		state_paths_clear(&p);
		return r;
	}
	*ret = p;
	return 0;
}

void state_paths_clear(struct state_paths *p)
{
	if (!p)
		return;
	mem_freep(&p->data);
	mem_freep(&p->runtime);
	mem_freep(&p->config);
	mem_freep(&p->home);
}
