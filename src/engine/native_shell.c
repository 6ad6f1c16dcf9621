/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_shell: what makes a shell inside feel at home.
 *
 * `/etc/sandbox-persistent.sh` belongs to the agent and is read by every shell, so that what is
 * exported there holds in later sessions: by scripts and `bash -c` through BASH_ENV, by interactive
 * bash through the system's bashrc, by login shells through profile.d, by zsh through ~/.zshenv.
 *
 * /etc/profile of most systems sets PATH anew; profile.d/ward.sh puts the sandbox's own back in
 * front.  Files of a template are never replaced, with two exceptions that describe the machine,
 * not the template: the time zone and the name in the prompt.  The system's bashrc gets one line at
 * its end, once.
 *
 * With a single id everybody inside is root, and the sudo of a system cannot switch to anybody: a
 * script takes its place, which runs the command.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/engine_internal.h"

#define HOOK                                                                                       \
	"\n# Ward: exports that persist.  Login shells read them from profile.d.\n"                \
	"if [ -n \"$BASH_VERSION\" ] && ! shopt -q login_shell && [ -r " NATIVE_PERSISTENT         \
	" ]; then . " NATIVE_PERSISTENT "; fi\n"

struct seed {
	const char *path;
	const char *content;
	uint32_t mode;
	bool agent_owned;
	bool only_if_missing;
	bool append;
};

static const struct seed common[] = {
	{ NATIVE_PERSISTENT,
	  "# Every shell of this sandbox reads this file: what is exported here persists.\n", 0644,
	  true, true, false },
	/* Debian's way to name a root directory in the prompt. */
	{ "/etc/debian_chroot", "ward\n", 0644, false, false, false },
	/* `--disable-warning` would do, but a Node that does not know it would not start. */
	{ NATIVE_NODE_QUIET,
	  "// Made by Ward: Node is told to use the proxy (NODE_USE_ENV_PROXY), and says at each\n"
	  "// start that this is experimental. That warning is left out, and no other.\n"
	  "\"use strict\";\n"
	  "var emit = process.emit;\n"
	  "process.emit = function (name, warning) {\n"
	  "\tif (name === \"warning\" && warning && warning.code === \"UNDICI-EHPA\")\n"
	  "\t\treturn false;\n"
	  "\treturn emit.apply(this, arguments);\n"
	  "};\n",
	  0644, false, false, false },
	{ NATIVE_HOME "/.bashrc",
	  "# Made by Ward once; change it as you like.\n"
	  "case $- in *i*) ;; *) return ;; esac\n"
	  "if [ -r /etc/skel/.bashrc ]; then . /etc/skel/.bashrc; fi\n"
	  "if [ -x /usr/bin/dircolors ]; then alias ls='ls --color=auto' grep='grep "
	  "--color=auto'; fi\n"
	  "case $PS1 in *debian_chroot*) ;; *) PS1='(ward)\\u@\\h:\\w\\$ ' ;; esac\n",
	  0644, true, true, false },
	{ NATIVE_HOME "/.profile",
	  "# Made by Ward once; change it as you like.\n"
	  "if [ -n \"$BASH_VERSION\" ] && [ -r ~/.bashrc ]; then . ~/.bashrc; fi\n",
	  0644, true, true, false },
	{ NATIVE_HOME "/.zshenv",
	  "# Made by Ward once; change it as you like.\n"
	  "if [ -r " NATIVE_PERSISTENT " ]; then . " NATIVE_PERSISTENT "; fi\n",
	  0644, true, true, false },
};

/* Where bash looks for the system's bashrc, as Debian and others, Alpine, and Red Hat have it. */
static const struct seed bashrc[] = {
	{ "/etc/bash.bashrc", "", 0644, false, true, false },
	{ "/etc/bash.bashrc", HOOK, 0644, false, false, true },
	{ "/etc/bash/bashrc", HOOK, 0644, false, false, true },
	{ "/etc/bashrc", HOOK, 0644, false, false, true },
};

static const char sudo_script[] =
	"#!/bin/sh\n"
	"# Made by Ward: there is one user inside, and it is root already.\n"
	"fail() { echo \"sudo: $1\" >&2; exit 1; }\n"
	"login= shell= nothing= dir=\n"
	"while getopts :-:AbBeEHiKklnNPsSvVC:D:g:h:p:r:R:t:T:u:U: o; do\n"
	"\tv=$OPTARG\n"
	"\tif [ \"$o\" = - ]; then\n"
	"\t\tcase $v in *=*) o=${v%%=*} v=${v#*=} ;; *) o=$v v= ;; esac\n"
	"\t\tcase $o in user | group | chdir | prompt | host | other-user | chroot)\n"
	"\t\t\tcase $OPTARG in *=*) ;; *) eval \"v=\\${$OPTIND-}\" && OPTIND=$((OPTIND + 1)) ;; "
	"esac ;;\n"
	"\t\tesac\n"
	"\tfi\n"
	"\tcase $o in\n"
	"\tu | user) case $v in root | 0 | '#0') ;; *) fail \"unknown user $v: there is only root "
	"here\" ;; esac ;;\n"
	"\ti | login) login=-l shell=1 ;;\n"
	"\ts | shell) shell=1 ;;\n"
	"\tD | chdir) dir=$v ;;\n"
	"\tl | list) echo \"root may run the following commands here: (ALL : ALL) NOPASSWD: ALL\"; "
	"exit 0 ;;\n"
	"\tV | version) echo \"sudo: Ward's stand-in; everybody here is root\"; exit 0 ;;\n"
	"\tk | K | v | reset-timestamp | remove-timestamp | validate) nothing=1 ;;\n"
	"\te | edit) fail \"edit the file directly: you are root\" ;;\n"
	"\t'?' | :) fail \"invalid option -$OPTARG\" ;;\n"
	"\tesac\n"
	"done\n"
	"shift $((OPTIND - 1))\n"
	"while :; do\n"
	"\tcase ${1-} in\n"
	"\t[A-Za-z_]*=*) export \"${1%%=*}=${1#*=}\" && shift ;;\n"
	"\t*) break ;;\n"
	"\tesac\n"
	"done\n"
	"export SUDO_USER=root SUDO_UID=0 SUDO_GID=0 SUDO_COMMAND=\"$*\"\n"
	"if [ -n \"$dir\" ]; then cd \"$dir\" || exit 1; elif [ -n \"$login\" ]; then cd || exit "
	"1; fi\n"
	"if [ -n \"$shell\" ]; then\n"
	"\tif [ $# -eq 0 ]; then exec \"${SHELL:-/bin/sh}\" $login; fi\n"
	"\texec \"${SHELL:-/bin/sh}\" $login -c '\"$@\"' sh \"$@\"\n"
	"fi\n"
	"if [ $# -eq 0 ]; then\n"
	"\t[ -z \"$nothing\" ] || exit 0\n"
	"\tfail \"usage: sudo [-u root] [NAME=VALUE...] COMMAND [ARG...]\"\n"
	"fi\n"
	"command -v -- \"$1\" >/dev/null || fail \"$1: command not found\"\n"
	"exec \"$@\"\n";

/* The line goes to init (supervise/init_browser.c), which shows it outside. */
static const char browser_script[] =
	"#!/bin/sh\n"
	"# Made by Ward: shows a web page's address to who is attached; nothing is opened by "
	"itself.\n"
	"for url in \"$@\"; do\n"
	"\tcase $url in\n"
	"\thttp://* | https://*) ;;\n"
	"\t-*) continue ;;\n"
	"\t*) echo \"${0##*/}: only web pages can be shown outside of the sandbox\" >&2; exit 3 "
	";;\n"
	"\tesac\n"
	"\t[ ${#url} -le 4000 ] || { echo \"${0##*/}: the address is too long\" >&2; exit 3; }\n"
	"\t[ -p /run/ward/browser ] || exit 3\n"
	"\tprintf '%s\\n' \"$url\" >/run/ward/browser || exit 3\n"
	"done\n";
static const char *const browser_names[] = { "open", "sensible-browser", "x-www-browser",
					     "www-browser" };

static void add(struct box_config *b, const struct seed *s, char *content)
{
	b->files = xrealloc(b->files, b->nfiles + 1, sizeof(*b->files));
	b->files[b->nfiles++] = (struct box_file){ .path = xstrdup(s->path),
						   .content = content,
						   .mode = s->mode,
						   .agent_owned = s->agent_owned,
						   .only_if_missing = s->only_if_missing,
						   .append = s->append };
}

static void add_all(struct box_config *b, const struct seed *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		add(b, &s[i], xstrdup(s[i].content));
}

/* --- PATH ------------------------------------------------------------------------------------- */

/* What programs of the sandbox have as PATH, in a session that is given none of its own. */
static int path_of(struct engine_context *c, const struct spec *s, const struct kit *k, char **ret,
		   struct err *e)
{
	struct spec_session session = { 0 };
	const char *given = strv_env_get(&s->env, "PATH");
	int r;

	if (!given)
		given = strv_env_get(&k->env, "PATH");
	if (given)
		strv_env_set(&session.env, "PATH", given);
	r = native_session_env(c, s, &session, e);
	if (r == 0)
		*ret = xstrdup(strv_env_get(&session.env, "PATH"));
	spec_session_clear(&session);
	return r;
}

/* One directory a line from the last to the first, quoted for sh. */
static void quote_reversed(struct buf *out, const char *path)
{
	const char *end = path + strlen(path);

	while (end > path) {
		const char *start = end;

		while (start > path && start[-1] != ':')
			start--;
		if (start < end) {
			buf_puts(out, " \\\n\t'");
			for (const char *p = start; p < end; p++)
				buf_printf(out, *p == '\'' ? "'\\''" : "%c", *p);
			buf_putc(out, '\'');
		}
		end = start > path ? start - 1 : path;
	}
}

static void add_profile(struct box_config *b, const char *path)
{
	static const struct seed profile = { .path = "/etc/profile.d/ward.sh", .mode = 0644 };
	auto_buf out = BUF_INIT;

	buf_puts(&out,
		 "# Made by Ward at every start: what /etc/profile took from PATH, in front.\n"
		 "for ward_dir in");
	quote_reversed(&out, path);
	buf_puts(&out, "; do\n"
		       "\tcase \":$PATH:\" in *\":$ward_dir:\"*) ;; "
		       "*) PATH=\"$ward_dir:$PATH\" ;; esac\n"
		       "done\n"
		       "unset ward_dir\n"
		       "export PATH\n"
		       "if [ -r " NATIVE_PERSISTENT " ]; then . " NATIVE_PERSISTENT "; fi\n");
	add(b, &profile, buf_steal(&out));
}

/* --- time zone -------------------------------------------------------------------------------- */

/*
 * The host's zone as the template's /etc/localtime: a link to a copy that is always there, since a
 * small template has no zones.  Programs take the zone's name from the link, behind "/zoneinfo/".
 */
static void add_timezone(struct box_config *b)
{
	static const char zones[] = "/zoneinfo/";
	static const struct seed timezone = { .path = "/etc/timezone", .mode = 0644 };
	auto_free char *file = NULL;
	auto_free char *target = NULL;
	const char *name;
	struct stat st;

	if (fs_canonical("/etc/localtime", &file, NULL) < 0 || stat(file, &st) < 0 ||
	    !S_ISREG(st.st_mode))
		return;
	name = strstr(file, zones);
	name = name ? name + strlen(zones) : NULL;
	if (name && text_is_utf8(name, strlen(name)))
		add(b, &timezone, xasprintf("%s\n", name));
	target = xasprintf("/run/ward/zoneinfo/%s", name ? name : "localtime");
	b->links = xrealloc(b->links, b->nlinks + 1, sizeof(*b->links));
	b->links[b->nlinks++] = (struct box_link){ .path = xstrdup("/etc/localtime"),
						   .target = xstrdup(target),
						   .replace = true };
	b->binds = xrealloc(b->binds, b->nbinds + 1, sizeof(*b->binds));
	b->binds[b->nbinds++] = (struct box_bind){
		.source = steal(&file), .target = steal(&target), .readonly = true, .optional = true
	};
}

/* --- a browser -------------------------------------------------------------------------------- */

static void add_browser(struct box_config *b)
{
	static const struct seed script = { .path = BOX_BIN_DIR "/xdg-open", .mode = 0755 };

	add(b, &script, xstrdup(browser_script));
	for (size_t i = 0; i < ARRAY_SIZE(browser_names); i++) {
		b->links = xrealloc(b->links, b->nlinks + 1, sizeof(*b->links));
		b->links[b->nlinks++] = (struct box_link){
			.path = xasprintf("%s/%s", BOX_BIN_DIR, browser_names[i]),
			.target = xstrdup("xdg-open"),
		};
	}
}

/* --- all of it -------------------------------------------------------------------------------- */

int native_shell(struct engine_context *c, struct box_config *b, const struct spec *s,
		 const struct kit *k, struct err *e)
{
	static const struct seed sudo = { .path = BOX_BIN_DIR "/sudo", .mode = 0755 };
	auto_free char *path = NULL;
	int r = path_of(c, s, k, &path, e);

	if (r < 0)
		return r;
	add_all(b, common, ARRAY_SIZE(common));
	add_all(b, bashrc, ARRAY_SIZE(bashrc));
	add_profile(b, path);
	add_browser(b);
	if (b->ids.mode == BOX_ID_SINGLE)
		add(b, &sudo, xstrdup(sudo_script));
	if (s->tmpl.kind != SPEC_TEMPLATE_HOST)
		add_timezone(b);
	return 0;
}
