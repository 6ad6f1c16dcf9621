/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec_read: template, workspace and volume arguments, and config.yaml.
 *
 * A path that somebody gives is opened once; its canonical name, device and inode are all taken
 * from that descriptor, so they belong together whatever happens to the name meanwhile.
 *
 * Symbolic links: a path whose last component is a link is refused, with the real path as hint.
 * The name of a link tells nothing about what would be shared, and an agent can plant a link in one
 * workspace that leads out of it; the user must see, and type, what is really meant.  Links in
 * earlier components (a home or a disk reached through a link) and a linked current directory are
 * resolved.
 *
 * What may never be shared is in tables: directories that are refused with everything below them,
 * and directories that are refused themselves because they hold more than one project.  A directory
 * that contains a refused one is refused as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

/* Directories of the system, refused with everything below them. */
static const char *const system_trees[] = {
	"/bin",	   "/boot", "/dev", "/etc",  "/lib", "/lib32", "/lib64",
	"/libx32", "/proc", "/run", "/sbin", "/sys", "/usr",
};

/* Directories that hold the things of many; one project below them is all right. */
static const char *const system_tops[] = {
	"/home", "/opt", "/root", "/tmp", "/var", "/var/lib", "/var/tmp",
};

/* Below the home: what opens other machines and accounts. */
static const char *const credential_trees[] = {
	".ssh",
	".gnupg",
	".aws",
	".azure",
	".config/gcloud",
	".config/gh",
	".docker",
	".kube",
	".netrc",
	".password-store",
	".local/share/keyrings",
	".mozilla",
	".git-credentials",
	".config/git/credentials",
	".npmrc",
	".pypirc",
};

enum refusal {
	REFUSE_NOT,
	REFUSE_ROOT,
	REFUSE_HOME,
	REFUSE_ABOVE_HOME,
	REFUSE_OWN,
	REFUSE_SYSTEM,
	REFUSE_TOP,
	REFUSE_CREDENTIALS,
	REFUSE_MAX
};

static const struct {
	const char *why;
	const char *hint;
} refusals[] = {
	[REFUSE_NOT] = { "", "" },
	[REFUSE_ROOT] = { "it is the whole machine", "give a project directory" },
	[REFUSE_HOME] = { "it is your home directory, with your keys and everything else",
			  "give a project directory below it" },
	[REFUSE_ABOVE_HOME] = { "your home directory is in it", "give a project directory" },
	[REFUSE_OWN] = { "Ward's own files are in it, and a sandbox must not reach them",
			 "give another directory" },
	[REFUSE_SYSTEM] = { "it belongs to the system", "give a file or directory of your own" },
	[REFUSE_TOP] = { "it holds more than one project", "give a directory below it" },
	[REFUSE_CREDENTIALS] = { "it holds credentials",
				 "lend a key with -e NAME, or see --credentials" },
};
_Static_assert(ARRAY_SIZE(refusals) == REFUSE_MAX, "a reason for every refusal");

static bool within_or_above(const char *path, const char *other)
{
	return fs_path_within(path, other) || fs_path_within(other, path);
}

/* The same directory under another name (a bind mount)? */
static bool same_file(const struct stat *st, const char *path)
{
	struct stat other;

	return path && stat(path, &other) == 0 && other.st_dev == st->st_dev &&
	       other.st_ino == st->st_ino;
}

static enum refusal check_own(const char *path, const struct stat *st, const struct spec_paths *p)
{
	const char *const own[] = { p->data, p->runtime, p->config };

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		if (own[i] && (within_or_above(path, own[i]) || same_file(st, own[i])))
			return REFUSE_OWN;
	}
	return REFUSE_NOT;
}

static enum refusal check_credentials(const char *path, const char *home)
{
	for (size_t i = 0; home && i < ARRAY_SIZE(credential_trees); i++) {
		auto_free char *top = fs_join(home, credential_trees[i]);

		if (within_or_above(path, top))
			return REFUSE_CREDENTIALS;
	}
	return REFUSE_NOT;
}

/* The first reason not to share `path` (canonical), in the order in which they tell most. */
static enum refusal check_refusal(const char *path, const struct stat *st,
				  const struct spec_paths *p)
{
	enum refusal why;

	if (strcmp(path, "/") == 0 || same_file(st, "/"))
		return REFUSE_ROOT;
	if (p->home && strcmp(p->home, "/") != 0) {
		if (strcmp(path, p->home) == 0 || same_file(st, p->home))
			return REFUSE_HOME;
		if (fs_path_within(p->home, path))
			return REFUSE_ABOVE_HOME;
	}
	for (size_t i = 0; i < ARRAY_SIZE(system_tops); i++) {
		if (strcmp(path, system_tops[i]) == 0)
			return REFUSE_TOP;
	}
	why = check_own(path, st, p);
	if (why == REFUSE_NOT)
		why = check_credentials(path, p->home);
	for (size_t i = 0; why == REFUSE_NOT && i < ARRAY_SIZE(system_trees); i++) {
		if (fs_path_within(path, system_trees[i]))
			why = REFUSE_SYSTEM;
	}
	return why;
}

/* An opened host path: what is shared is exactly what was looked at. */
struct host_path {
	char *path; /* canonical */
	struct stat st;
};

/*
 * Refuse a link as the last component.  "x/" is x here; "x/." and "x/.." name the directory that
 * the link leads to, as they do everywhere.
 */
static int check_link(const char *what, const char *text, struct err *e)
{
	size_t n = strlen(text);
	auto_free char *trimmed = NULL;
	auto_free char *real = NULL;
	auto_free char *shown = text_escaped(text);
	auto_free char *shown_real = NULL;
	struct stat st;

	while (n > 1 && text[n - 1] == '/')
		n--;
	trimmed = xstrndup(text, n);
	if (lstat(trimmed, &st) < 0 || !S_ISLNK(st.st_mode))
		return 0; /* an error shows itself again when the path is opened */
	err_set(e, ERR_REFUSED, -ELOOP, "%s '%s': it is a symbolic link", what, shown);
	if (fs_canonical(trimmed, &real, NULL) < 0)
		return err_hint(e, "the link leads nowhere");
	shown_real = text_escaped(real);
	return err_hint(e, "give the real path: %s", shown_real);
}

/* A link was refused by name; one that took the name's place meanwhile is not followed either. */
static int open_no_link(const char *text, int flags)
{
	auto_free char *trimmed = xstrdup(text);
	size_t n = strlen(trimmed);

	/* With a slash behind it, the kernel would follow it all the same. */
	while (n > 1 && trimmed[n - 1] == '/')
		trimmed[--n] = '\0';
	return open(trimmed, O_PATH | O_NOFOLLOW | O_CLOEXEC | flags);
}

static int open_failed(const char *what, const char *text, struct err *e)
{
	auto_free char *shown = text_escaped(text);
	int code = -errno;

	switch (code) {
	case -ENOENT:
		err_set(e, ERR_INPUT, code, "%s '%s': it does not exist", what, shown);
		return err_hint(e, "mkdir -p %s", shown);
	case -ENOTDIR:
		err_set(e, ERR_INPUT, code, "%s '%s': it is not a directory", what, shown);
		return err_hint(e, "give the directory that the file is in");
	case -EACCES:
		err_set(e, ERR_INPUT, code, "%s '%s': you may not read it", what, shown);
		return err_hint(e, "check the permissions with ls -ld %s", shown);
	case -ENAMETOOLONG:
		return err_set(e, ERR_INPUT, code, "%s: the path is too long", what);
	default:
		return err_sys(e, "%s '%s'", what, shown);
	}
}

/* Canonical name, device and inode of an open file. */
static int identify(const char *what, const char *text, int fd, struct host_path *ret,
		    struct err *e)
{
	auto_free char *path = NULL;
	auto_free char *shown = text_escaped(text);
	struct stat st, named;
	int r;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "%s '%s'", what, shown);
	r = fs_fd_path(fd, &path, e);
	if (r < 0)
		return err_prefix(e, "%s '%s'", what, shown);
	/* A file that was removed or is out of our root has a name that leads elsewhere. */
	if (path[0] != '/' || lstat(path, &named) < 0 || named.st_dev != st.st_dev ||
	    named.st_ino != st.st_ino)
		return err_set(e, ERR_INPUT, -ESTALE, "%s '%s': it was moved or removed", what,
			       shown);
	if (!text_is_utf8(path, strlen(path)))
		return err_set(e, ERR_INPUT, -EILSEQ, "%s '%s': its name is not valid UTF-8", what,
			       shown);
	ret->path = steal(&path);
	ret->st = st;
	return 0;
}

static int refuse(const char *what, const char *text, enum refusal why, struct err *e)
{
	auto_free char *shown = text_escaped(text);

	err_set(e, ERR_REFUSED, -EPERM, "%s '%s': %s", what, shown, refusals[why].why);
	return err_hint(e, "%s", refusals[why].hint);
}

/* The fd of a directory says nothing about reading it when it is O_PATH, so it is asked. */
static int check_readable(const char *what, const char *text, int fd, bool is_dir, struct err *e)
{
	auto_free char *proc = xasprintf("/proc/self/fd/%d", fd);

	if (faccessat(AT_FDCWD, proc, is_dir ? R_OK | X_OK : R_OK, AT_EACCESS) == 0)
		return 0;
	return open_failed(what, text, e);
}

int spec_workspace_parse(const char *text, const struct spec_paths *p, struct spec_workspace *ret,
			 struct err *e)
{
	bool readonly = text_ends(text, ":ro");
	auto_free char *dir = xstrndup(text, strlen(text) - (readonly ? strlen(":ro") : 0));
	auto_free char *path = NULL;
	auto_close int fd = -1;
	struct host_path h = { 0 };
	enum refusal why;
	int r;

	if (dir[0] == '\0')
		return err_set(e, ERR_USAGE, -EINVAL, "workspace: the path is empty");
	r = check_link("workspace", dir, e);
	if (r < 0)
		return r;
	fd = open_no_link(dir, O_DIRECTORY);
	if (fd < 0)
		return open_failed("workspace", dir, e);
	r = identify("workspace", dir, fd, &h, e);
	if (r < 0)
		return r;
	path = h.path;
	why = check_refusal(path, &h.st, p);
	if (why != REFUSE_NOT)
		return refuse("workspace", dir, why, e);
	r = check_readable("workspace", dir, fd, true, e);
	if (r < 0)
		return r;
	*ret = (struct spec_workspace){
		.path = steal(&path), .dev = h.st.st_dev, .ino = h.st.st_ino, .readonly = readonly
	};
	return 0;
}

/* Volumes */

/* Places inside that are the box's own: a mount there would break it, or hide what guards it. */
static const char *const target_trees[] = { "/dev", "/proc", "/sys", "/run/ward" };
static const char *const target_tops[] = {
	"/",
	"/bin",
	"/etc",
	"/etc/group",
	"/etc/hostname",
	"/etc/hosts",
	"/etc/passwd",
	"/etc/resolv.conf",
	"/etc/shadow",
	"/home",
	"/home/agent",
	"/lib",
	"/lib64",
	"/run",
	"/sbin",
	"/tmp",
	"/usr",
	"/var",
};

static int volume_usage(const char *text, const char *why, struct err *e)
{
	auto_free char *shown = text_escaped(text);

	err_set(e, ERR_USAGE, -EINVAL, "volume '%s': %s", shown, why);
	return err_hint(e, "-v HOST:SANDBOX[:ro], both absolute paths");
}

int spec_target_check(const char *path, struct err *e)
{
	auto_free char *shown = NULL;
	bool refused = false;

	for (size_t i = 0; i < ARRAY_SIZE(target_trees); i++)
		refused |= fs_path_within(path, target_trees[i]);
	for (size_t i = 0; i < ARRAY_SIZE(target_tops); i++)
		refused |= strcmp(path, target_tops[i]) == 0;
	if (!refused)
		return 0;
	shown = text_escaped(path);
	err_set(e, ERR_REFUSED, -EPERM, "volume: %s in the sandbox is the sandbox's own", shown);
	return err_hint(e, "choose another path, such as /mnt/NAME");
}

static int volume_target(const char *text, const char *target, char **ret, struct err *e)
{
	auto_free char *normal = NULL;
	int r;

	if (target[0] != '/')
		return volume_usage(text, "the path in the sandbox is not absolute", e);
	if (fs_normalise(target, &normal, NULL) < 0)
		return volume_usage(text, "the path in the sandbox has a '..' in it", e);
	if (strlen(normal) >= PATH_MAX)
		return volume_usage(text, "the path in the sandbox is too long", e);
	r = spec_target_check(normal, e);
	if (r < 0)
		return r;
	*ret = steal(&normal);
	return 0;
}

/* fd: O_PATH of the source. */
static int check_source(const char *what, const char *source, int fd, const struct spec_paths *p,
			struct host_path *ret, struct err *e)
{
	auto_free char *path = NULL;
	struct host_path h = { 0 };
	enum refusal why;
	int r = identify(what, source, fd, &h, e);

	if (r < 0)
		return r;
	path = h.path;
	if (S_ISSOCK(h.st.st_mode)) {
		auto_free char *shown = text_escaped(source);

		err_set(e, ERR_REFUSED, -EPERM,
			"%s '%s': it is a socket, and who serves it trusts whoever connects", what,
			shown);
		return err_hint(e, "services of this machine are reached with --allow-host "
				   "localhost:PORT");
	}
	if (!S_ISREG(h.st.st_mode) && !S_ISDIR(h.st.st_mode)) {
		auto_free char *shown = text_escaped(source);

		return err_set(e, ERR_REFUSED, -EPERM,
			       "%s '%s': it is neither a file nor a directory", what, shown);
	}
	why = check_refusal(path, &h.st, p);
	if (why != REFUSE_NOT)
		return refuse(what, source, why, e);
	r = check_readable(what, source, fd, S_ISDIR(h.st.st_mode), e);
	if (r < 0)
		return r;
	ret->path = steal(&path);
	ret->st = h.st;
	return 0;
}

static int volume_source(const char *source, const struct spec_paths *p, struct host_path *ret,
			 struct err *e)
{
	auto_close int fd = -1;
	int r = check_link("volume", source, e);

	if (r < 0)
		return r;
	fd = open_no_link(source, 0);
	if (fd < 0)
		return open_failed("volume", source, e);
	return check_source("volume", source, fd, p, ret, e);
}

int spec_own_parse(const char *path, const struct spec_paths *p, char **ret_path, bool *ret_is_dir,
		   struct err *e)
{
	static const char what[] = "agent configuration";
	auto_close int fd = open(path, O_PATH | O_CLOEXEC);
	struct host_path h = { 0 };
	int r;

	if (fd < 0)
		return open_failed(what, path, e);
	r = check_source(what, path, fd, p, &h, e);
	if (r < 0)
		return r;
	if (!(p->home && fs_path_within(h.path, p->home)) && h.st.st_uid != geteuid()) {
		auto_free char *shown = text_escaped(path);

		free(h.path);
		err_set(e, ERR_REFUSED, -EPERM,
			"%s '%s': it leads out of the home, to what belongs to somebody else", what,
			shown);
		return -EPERM;
	}
	*ret_path = h.path;
	*ret_is_dir = S_ISDIR(h.st.st_mode);
	return 0;
}

int spec_volume_parse(const char *text, const struct spec_paths *p, struct spec_volume *ret,
		      struct err *e)
{
	const char *first = strchr(text, ':');
	const char *second = first ? strchr(first + 1, ':') : NULL;
	auto_free char *source = NULL;
	auto_free char *target_text = NULL;
	auto_free char *target = NULL;
	struct host_path h = { 0 };
	bool readonly = false;
	int r;

	if (!spec_text_is_clean(text, false))
		return volume_usage(text, "it holds a control character", e);
	if (!first)
		return volume_usage(text, "a path in the sandbox is missing", e);
	if (second) {
		/* "readonly" is the other spelling that Docker's command takes. */
		readonly = strcmp(second + 1, "ro") == 0 || strcmp(second + 1, "readonly") == 0;
		if (!readonly && strcmp(second + 1, "rw") != 0)
			return volume_usage(text, "only ':ro' or ':rw' may follow the two paths",
					    e);
	}
	source = xstrndup(text, (size_t)(first - text));
	target_text =
		second ? xstrndup(first + 1, (size_t)(second - first - 1)) : xstrdup(first + 1);
	if (source[0] != '/')
		return volume_usage(text, "the path on this machine is not absolute", e);
	r = volume_target(text, target_text, &target, e);
	if (r == 0)
		r = volume_source(source, p, &h, e);
	if (r < 0)
		return r;
	*ret = (struct spec_volume){ .source = h.path,
				     .target = steal(&target),
				     .readonly = readonly,
				     .is_dir = S_ISDIR(h.st.st_mode),
				     .dev = h.st.st_dev,
				     .ino = h.st.st_ino };
	return 0;
}

/* Templates */

static bool is_dir_at(int dir, const char *name)
{
	struct stat st;

	/* The links of a root file system ("bin" to "usr/bin") are its own business. */
	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode));
}

/* Not with the directory that was given: it may hold something of the user's. */
#define ROOT_HINT "make one in a new directory: mmdebstrap --variant=minbase bookworm DIR"

static int template_dir(const char *text, struct spec_template *ret, struct err *e)
{
	const char *dir = text + strlen("dir:");
	auto_free char *shown = text_escaped(dir);
	auto_free char *path = NULL;
	auto_close int fd = -1;
	struct host_path h = { 0 };
	int r;

	if (dir[0] == '\0')
		return err_set(e, ERR_USAGE, -EINVAL, "template 'dir:': the path is empty");
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		bool absent = errno == ENOENT;

		r = open_failed("template", dir, e);
		return absent ? err_hint(e, ROOT_HINT) : r;
	}
	r = identify("template", dir, fd, &h, e);
	if (r < 0)
		return r;
	path = h.path;
	if (strcmp(path, "/") == 0 || same_file(&h.st, "/")) {
		err_set(e, ERR_REFUSED, -EPERM, "template 'dir:/': it is the whole machine");
		return err_hint(e, "-t host gives this machine's programs without its data");
	}
	if ((!is_dir_at(fd, "usr") && !is_dir_at(fd, "bin")) || !is_dir_at(fd, "etc")) {
		err_set(e, ERR_INPUT, -EINVAL,
			"template '%s': it holds no root file system (usr or bin, and etc)", shown);
		return err_hint(e, ROOT_HINT);
	}
	*ret = (struct spec_template){ .kind = SPEC_TEMPLATE_DIR,
				       .ref = xstrdup(text),
				       .path = steal(&path) };
	return 0;
}

static const char *const local_images[] = { "oci:", "oci-archive:", "docker-archive:" };

int spec_template_parse(const char *text, struct spec_template *ret, struct err *e)
{
	static const char image_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					  "0123456789._-/:@";
	auto_free char *shown = text_escaped(text);

	if (strcmp(text, "host") == 0) {
		*ret = (struct spec_template){ .kind = SPEC_TEMPLATE_HOST, .ref = xstrdup(text) };
		return 0;
	}
	if (text_starts(text, "dir:"))
		return template_dir(text, ret, e);
	if (text[0] == '/' || text[0] == '.' || text[0] == '~') {
		err_set(e, ERR_USAGE, -EINVAL, "template '%s': a path needs to say what it is",
			shown);
		return err_hint(e, "-t dir:%s", shown);
	}
	/* The path in it is the engine's business. */
	for (size_t i = 0; i < ARRAY_SIZE(local_images); i++) {
		if (text_starts(text, local_images[i]) && strlen(text) <= PATH_MAX) {
			*ret = (struct spec_template){ .kind = SPEC_TEMPLATE_IMAGE,
						       .ref = xstrdup(text) };
			return 0;
		}
	}
	if (text[0] == '\0' || text[0] == '-' || strlen(text) > FIELD_TEXT_MAX ||
	    strspn(text, image_chars) != strlen(text)) {
		err_set(e, ERR_USAGE, -EINVAL, "template '%s': not the name of an image", shown);
		return err_hint(e, "host, dir:PATH, or an image such as python:3-slim");
	}
	*ret = (struct spec_template){ .kind = SPEC_TEMPLATE_IMAGE, .ref = xstrdup(text) };
	return 0;
}

/* config.yaml */

enum { GRACE_DEFAULT = 600 };

#define CONFIG(member) .offset = offsetof(struct spec_config, member)

static const char *const network_values[] = { "open", "balanced", "locked", "audit", NULL };
static const char *const credential_values[] = { "sandbox", "host", "none", NULL };
static const char *const agent_config_values[] = { "off", "readonly", "copy", NULL };

static const struct field config_v[] = {
	{ "template", field_text, CONFIG(template) },
	{ "network", field_choice, CONFIG(network), .values = network_values },
	{ "credentials", field_choice, CONFIG(credentials), .values = credential_values },
	{ "agentConfig", field_choice, CONFIG(agent_config), .values = agent_config_values },
	{ "grace", field_duration, CONFIG(grace_seconds) },
	{ "environment", field_env, CONFIG(env) },
	{ "registries", field_registries, CONFIG(registries) },
	{ "proxy", field_text, CONFIG(proxy) },
	{ "noProxy", field_text, CONFIG(no_proxy) },
	{ "ca", field_text, CONFIG(ca) },
};
static const struct fields config_fields = { .what = "the configuration",
					     .v = config_v,
					     .n = ARRAY_SIZE(config_v) };

int spec_config_read(const char *config_dir, struct spec_config **ret, struct err *e)
{
	auto_free char *path = fs_join(config_dir, "config.yaml");
	struct field_reader reader = { .origin = path, .e = e };
	struct spec_config *c = NULL;
	struct yaml_tree *y = NULL;
	auto_buf text = BUF_INIT;
	int r = spec_read_file(path, &text, e);

	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0) {
		r = yaml_tree_read(buf_str(&text), text.len, path, &y, e);
		if (r < 0)
			return r;
	}
	if (e)
		*e = ERR_INIT; /* a missing file is no error */
	c = xcalloc(1, sizeof(*c));
	c->grace_seconds = GRACE_DEFAULT;
	r = y && yaml_tree_root(y) ? fields_read(&reader, &config_fields, yaml_tree_root(y), c) : 0;
	yaml_tree_free(y);
	if (r < 0) {
		spec_config_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void spec_config_free(struct spec_config *c)
{
	if (!c)
		return;
	free(c->template);
	free(c->network);
	free(c->credentials);
	free(c->agent_config);
	strv_free(&c->env);
	json_unref(c->registries);
	free(c->proxy);
	free(c->no_proxy);
	free(c->ca);
	free(c);
}
