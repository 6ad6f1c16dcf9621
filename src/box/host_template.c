/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_template: what the `host` template shows of this machine.
 *
 * The system directories are shown as they are, read-only.  /etc is another matter: it mixes what
 * programs need with secrets and with facts about the machine, so the box gets an /etc of its own
 * and only the names of an allow-list, one by one.  A name that is not in the list does not exist
 * inside.
 *
 * This file looks at the machine; the plan that is made from its result does not.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "box/box_internal.h"

/* Directories, or the links of a merged /usr. */
static const char *const system_dirs[] = { "/usr",   "/bin",	"/sbin", "/lib", "/lib32",
					   "/lib64", "/libx32", "/opt",	 "/nix" };

/* Names below /etc; patterns of fnmatch(3). No secrets, no accounts, no facts about the host. */
static const char *const etc_names[] = {
	"alternatives",
	"bash_completion",
	"bash_completion.d",
	"bashrc",
	"ca-certificates",
	"ca-certificates.conf",
	"crypto-policies",
	"debian_version",
	"fonts",
	"gai.conf",
	"ghostscript",
	"glvnd",
	"gnutls",
	"groff",
	"host.conf",
	"inputrc",
	"issue",
	"issue.net",
	"java*",
	"ld-musl-*",
	"ld.so.cache",
	"ld.so.conf",
	"ld.so.conf.d",
	"less*",
	"libpaper.d",
	"localtime",
	"locale.alias",
	"locale.conf",
	"locale.gen",
	"login.defs",
	"lsb-release",
	"magic",
	"magic.mime",
	"mailcap",
	"manpath.config",
	"maven",
	"mime.types",
	"nanorc",
	"netconfig",
	"networks",
	"nsswitch.conf",
	"OpenCL",
	"openssl",
	"os-release",
	"papersize",
	"perl",
	"php",
	"pki",
	"profile",
	"protocols",
	"python*",
	"rpc",
	"R",
	"redhat-release",
	"sensors3.conf",
	"services",
	"sgml",
	"shells",
	"skel",
	"ssl",
	"terminfo",
	"texmf",
	"timezone",
	"vim",
	"vimrc",
	"vulkan",
	"X11",
	"xdg",
	"xml",
	"zsh",
	"zshrc",
};

static void add_bind(struct box_config *c, const char *source, const char *target)
{
	c->binds = xrealloc(c->binds, c->nbinds + 1, sizeof(*c->binds));
	c->binds[c->nbinds++] = (struct box_bind){ .source = xstrdup(source),
						   .target = xstrdup(target),
						   .readonly = true,
						   .optional = true,
						   .system = true };
}

static void add_link(struct box_config *c, const char *path, const char *target)
{
	c->links = xrealloc(c->links, c->nlinks + 1, sizeof(*c->links));
	c->links[c->nlinks++] =
		(struct box_link){ .path = xstrdup(path), .target = xstrdup(target) };
}

/* Does the path lie in a directory that is shown as a whole? */
static bool is_shown(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(system_dirs); i++)
		if (fs_path_within(path, system_dirs[i]))
			return true;
	return false;
}

static int add_symlink(struct box_config *c, const char *path)
{
	char target[PATH_MAX];
	auto_free char *canonical = NULL;
	struct stat st;
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	if (n <= 0 || fs_canonical(path, &canonical, NULL) < 0)
		return 0; /* it leads nowhere */
	target[n] = '\0';
	if (fs_path_within(canonical, "/usr"))
		add_link(c, path, target);
	else if (is_shown(canonical)) /* perhaps through places that are not */
		add_link(c, path, canonical);
	else if (fs_path_within(canonical, "/etc") && stat(canonical, &st) == 0 &&
		 (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)) && access(canonical, R_OK) == 0)
		add_bind(c, canonical, path);
	return 0;
}

/*
 * Show `path` at its own place: a directory or file as a bind, a symbolic link as a link when what
 * it leads to is shown, else, within /etc, what it leads to as a bind.
 */
static int add_path(struct box_config *c, const char *path, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT || errno == EACCES ? 0 : err_sys(e, "%s", path);
	if (S_ISLNK(st.st_mode))
		return add_symlink(c, path);
	/* What this user cannot read, the box could not either. */
	if ((S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)) && access(path, R_OK) == 0)
		add_bind(c, path, path);
	return 0;
}

static bool etc_allowed(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(etc_names); i++)
		if (fnmatch(etc_names[i], name, FNM_PERIOD) == 0)
			return true;
	return false;
}

static int compare_names(const void *a, const void *b)
{
	const char *const *x = a;
	const char *const *y = b;

	return strcmp(*x, *y);
}

/* /etc/profile.d is a directory of the box's own, with the machine's files in it. */
static bool profile_allowed(const char *name)
{
	return name[0] != '.';
}

/* The allowed names that exist, sorted, so that the same machine gives the same plan. */
static int list_allowed(const char *dir, bool (*allowed)(const char *name), struct strv *names,
			struct err *e)
{
	DIR *d = opendir(dir);
	struct dirent *ent;

	if (!d)
		return err_sys(e, "%s", dir);
	while ((ent = readdir(d)))
		if (allowed(ent->d_name))
			strv_take(names, fs_join(dir, ent->d_name));
	closedir(d);
	if (names->n > 1)
		qsort(names->v, names->n, sizeof(*names->v), compare_names);
	return 0;
}

/*
 * Programs of this machine that cannot work here, where the system directories are read-only and
 * what is set-user-ID is nobody's: instead of the riddle that each would print, one line that says
 * so and one with the cure.  dpkg and rpm stay: build tools ask them harmless questions.
 */
static const char *const notice_names[] = { "apt",     "apt-get", "aptitude", "dnf",	"microdnf",
					    "yum",     "apk",	  "pacman",   "zypper", "snap",
					    "flatpak", "sudo",	  "su",	      "doas",	"pkexec" };

static const char notice[] =
	"#!/bin/sh\n"
	"echo \"${0##*/}: does not work with the template 'host': this machine's system is shown "
	"read-only\" >&2\n"
	"echo \"hint: npm, pip, cargo and the like install below \\$HOME; for system packages give "
	"the sandbox an image, on the host: ward run --recreate -t IMAGE AGENT\" >&2\n"
	"exit 1\n";

enum { BASHRC_MAX = 1 << 20 };

/* A copy, because the box puts its own lines behind it. */
static void add_bashrc(struct box_config *c)
{
	static const char path[] = "/etc/bash.bashrc";
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	auto_buf text = BUF_INIT;

	if (fd < 0 || fs_read_fd(fd, BASHRC_MAX, &text, NULL) < 0 ||
	    !text_is_utf8(buf_str(&text), text.len))
		return;
	c->files = xrealloc(c->files, c->nfiles + 1, sizeof(*c->files));
	c->files[c->nfiles++] = (struct box_file){ .path = xstrdup(path),
						   .content = xstrdup(buf_str(&text)),
						   .mode = 0644,
						   .only_if_missing = true };
}

static bool is_installed(const char *name)
{
	static const char *const dirs[] = { "/usr/bin", "/usr/sbin", "/bin", "/sbin" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		auto_free char *path = fs_join(dirs[i], name);

		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}

static void add_notices(struct box_config *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(notice_names); i++) {
		if (!is_installed(notice_names[i]) ||
		    (c->ids.mode == BOX_ID_SINGLE && strcmp(notice_names[i], "sudo") == 0))
			continue;
		c->files = xrealloc(c->files, c->nfiles + 1, sizeof(*c->files));
		c->files[c->nfiles++] = (struct box_file){
			.path = xasprintf("%s/%s", BOX_BIN_DIR, notice_names[i]),
			.content = xstrdup(notice),
			.mode = 0755,
		};
	}
}

int box_host_binds(struct box_config *c, struct err *e)
{
	auto_strv names = STRV_INIT;
	int r = 0;

	add_notices(c);

	for (size_t i = 0; i < ARRAY_SIZE(system_dirs) && r == 0; i++)
		r = add_path(c, system_dirs[i], e);
	if (r == 0)
		r = list_allowed("/etc", etc_allowed, &names, e);
	if (r == 0 && access("/etc/profile.d", R_OK | X_OK) == 0)
		r = list_allowed("/etc/profile.d", profile_allowed, &names, e);
	for (size_t i = 0; i < names.n && r == 0; i++)
		r = add_path(c, names.v[i], e);
	add_bashrc(c);
	return r;
}
