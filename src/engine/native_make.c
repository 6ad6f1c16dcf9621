/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_make: an agent's template, made from this machine's own package sources.
 *
 *   base    mmdebstrap in a box with the template `host`, as root inside; the directory that it
 *           fills becomes the first layer
 *   tools   apt-get, then Node and npm from npm's registry, in a box of that layer
 *   agent   npm in a box of those two
 *
 * So no package's script ever runs outside of a box, it works for whoever can make boxes (with a
 * range of ids, with one id, as root), and it needs nothing of this machine but mmdebstrap and the
 * apt that it comes with.  A box reaches only where the packages come from.
 *
 * It is a build as that of a Dockerfile, with the same steps, cache and boxes; only the first step
 * has a box of its own kind.  base and tools are a template of their own; they come from the cache
 * on the same day for the same sources.  The agent is asked for each time.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/tar.h"
#include "base/text.h"
#include "engine/build_internal.h"
#include "supervise/supervise.h"

enum { DAY = 24 * 3600 };

#define BASE_DIR  "ward-base"
#define WORKSPACE "workspace"
#define FILES_DIR "ward-files"

/* --- what runs inside --------------------------------------------------------------------------
 */

/*
 * $1 suite, $2 apt's options, $3 seconds since the epoch.  Its own directory, not the template's
 * notices, comes first in PATH.  Nothing can be mounted in a box: mmdebstrap is told not to try. No
 * time later than $3 is left, so that the same packages give the same layer.
 */
static const char base_script[] =
	"set -e\n"
	"export PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/tmp SOURCE_DATE_EPOCH=\"$3\"\n"
	"files=/" FILES_DIR "\n"
	"printf '%s\\n' $2 | sed 's/^-o\\([^=]*\\)=\\(.*\\)$/\\1 \"\\2\";/' >/tmp/apt.conf\n"
	/* The keys are where the template will have them, for this apt as well. */
	"mkdir -p /etc/apt\n"
	"for d in keyrings trusted.gpg.d; do\n"
	"	[ ! -d $files/root/etc/apt/$d ] || cp -R $files/root/etc/apt/$d /etc/apt/\n"
	"done\n"
	"mmdebstrap --mode=root --format=directory --variant=minbase"
	" --skip=check/canmount,check/qemu,chroot/mount,output/dev"
	" --include=ca-certificates --aptopt=/tmp/apt.conf"
	" --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*'"
	" --dpkgopt='path-include=/usr/share/doc/*/copyright'"
	" --dpkgopt='path-exclude=/usr/share/locale/*'"
	" --customize-hook='rm -f \"$1\"/etc/apt/sources.list.d/* "
	"\"$1\"/etc/apt/apt.conf.d/99mmdebstrap'"
	" --customize-hook='cp -R /" FILES_DIR "/root/. \"$1\"/'"
	" --customize-hook='chroot \"$1\" update-ca-certificates'"
	" \"$1\" /" BASE_DIR " $files/root/etc/apt/sources.list\n"
	"find /" BASE_DIR " -newermt \"@$3\" -exec touch -h -d \"@$3\" {} +\n";

/*
 * $1 apt's options, $2 npm's registry; when this machine names none, it is the one that npm itself
 * would take, which the distribution's package of npm tells.  Node is the newest of an even major
 * version, which is one with long support; the distribution's is too old for several agents.  What
 * is downloaded has the digest that the registry names.
 */
static const char tools_script[] =
	"set -e\n"
	"export DEBIAN_FRONTEND=noninteractive\n"
	"echo 'I: reading the package lists'\n"
	"apt-get -q $1 update\n"
	"echo 'I: installing git, curl, ripgrep, jq, sudo, build tools and Python'\n"
	"apt-get -q $1 -y --no-install-recommends install git curl ripgrep jq sudo build-essential"
	" python3 python3-venv python3-pip less procps openssh-client xz-utils unzip zip file\n"
	"registry=$2\n"
	"if [ -z \"$registry\" ]; then\n"
	"	mkdir /tmp/default && cd /tmp/default\n"
	"	apt-get -q $1 download npm\n"
	"	registry=$(dpkg-deb --fsys-tarfile npm_*.deb |\n"
	"		tar -xO --wildcards '*/config/definitions.js' |\n"
	"		sed -n \"/^define('registry'/,/^})/s|.*default: "
	"'\\(https://[^']*/\\)'.*|\\1|p\")\n"
	"	cd / && rm -rf /tmp/default\n"
	"	[ -n \"$registry\" ] || { echo 'npm names no registry' >&2; exit 1; }\n"
	"fi\n"
	"rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb\n"
	"echo 'I: installing Node and npm'\n"
	"case $(dpkg --print-architecture) in\n"
	"amd64) arch=x64 ;;\n"
	"arm64) arch=arm64 ;;\n"
	"*) echo 'there is no Node for this machine' >&2; exit 1 ;;\n"
	"esac\n"
	"insecure=; ca=\n"
	"grep -q '^strict-ssl=false' /usr/local/etc/npmrc && insecure=--insecure\n"
	"[ ! -f /usr/local/etc/npm-ca.pem ] || ca='--cacert /usr/local/etc/npm-ca.pem'\n"
	"[ -z \"$npm_config_https_proxy\" ] || export https_proxy=$npm_config_https_proxy\n"
	"get() { curl -fsSL --retry 3 $insecure $ca \"$@\"; }\n"
	"fetch() { # PACKAGE VERSION-FILTER\n"
	"	set -- \"$1\" $(get -H 'Accept: application/vnd.npm.install-v1+json' "
	"\"$registry$1\" |\n"
	"		jq -r \"$2 | .dist | \\\"\\(.tarball) \\(.integrity)\\\"\")\n"
	"	get -o /tmp/package.tgz \"$2\"\n"
	"	[ \"sha512-$(openssl dgst -sha512 -binary /tmp/package.tgz | base64 -w0)\" = "
	"\"$3\" ] ||\n"
	"		{ echo \"$1: the digest is wrong\" >&2; exit 1; }\n"
	"}\n"
	"fetch node-linux-$arch '[.versions | to_entries[] | select(.key | test(\"^[0-9.]+$\"))"
	" | select((.key | split(\".\")[0] | tonumber) % 2 == 0)]"
	" | max_by(.key | split(\".\") | map(tonumber)) | .value'\n"
	"tar -xzf /tmp/package.tgz -C /usr/local --no-same-owner --strip-components=1 "
	"package/bin/node\n"
	"fetch npm '.versions[.\"dist-tags\".latest]'\n"
	"mkdir -p /usr/local/lib/node_modules/npm\n"
	"tar -xzf /tmp/package.tgz -C /usr/local/lib/node_modules/npm --no-same-owner"
	" --strip-components=1\n"
	"ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm\n"
	"ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx\n"
	"node --version\n"
	"npm --version\n"
	"rm -rf /tmp/package.tgz /root/.npm\n";

/* $1 package[@version], $2 package, $3 program. Its own install script is run, no other's. */
static const char agent_script[] =
	"set -e\n"
	"export DISABLE_AUTOUPDATER=1\n"
	"echo \"I: installing $1\"\n"
	"npm install --global --no-fund --no-audit --no-update-notifier --cache=/tmp/npm"
	" --allow-scripts=\"$2\" \"$1\"\n"
	"command -v \"$3\" >/dev/null || { echo \"$1 brings no program '$3'\" >&2; exit 1; }\n"
	"rm -rf /tmp/npm /root/.npm\n";

/* --- the base system --------------------------------------------------------------------------
 */

struct make {
	struct build b;
	struct build_stage image;
	const struct engine_make *what;
	int64_t day;
};

/* The next step, which is told when it is not in the cache. */
static void next_step(struct make *m, const char *title)
{
	m->b.title = title;
	m->b.step++;
}

/* The packages' files and sources.list, below /FILES_DIR/root. */
static int send_files(const struct make *m, const struct sandbox *box, struct err *e)
{
	const struct engine_packages *p = m->what->packages;
	auto_close int archive = memfd_create("ward-files", MFD_CLOEXEC);
	auto_close int conn = -1;
	auto_buf b = BUF_INIT;
	int r = archive < 0 ? err_sys(e, "memfd") : 0;

	for (size_t i = 0; r == 0 && i <= p->nfiles; i++) {
		bool last = i == p->nfiles;
		auto_free char *path = xasprintf(FILES_DIR "/root%s",
						 last ? "/etc/apt/sources.list" : p->files[i].path);
		size_t n = last ? strlen(p->sources) : p->files[i].content.len;

		r = tar_write_header(
			&b,
			&(struct tar_entry){
				.type = TAR_FILE, .path = path, .size = n, .mode = 0644 },
			e);
		buf_add(&b, last ? p->sources : p->files[i].content.data, n);
		tar_write_padding(&b, n);
	}
	if (r < 0)
		return r;
	tar_write_end(&b);
	r = fs_write_all(archive, b.data, b.len);
	if (r < 0 || lseek(archive, 0, SEEK_SET) < 0)
		return err_set(e, ERR_SYSTEM, r < 0 ? r : -errno, "memfd");
	r = control_connect(box, &conn, e);
	return r < 0 ? r : control_copy_in(conn, "/", COPY_AS_ROOT, archive, e);
}

/* What a box needs with this machine's own programs: an empty workspace, read-only. */
static int host_spec(const struct make *m, const struct build_step *p, struct spec **ret,
		     struct err *e)
{
	struct spec *s = build_box_spec(&m->b, p);
	struct spec_workspace *w = &s->workspaces[0];
	struct stat st;
	int r = fs_mkdirs_at(p->box.dirfd, WORKSPACE, 0700, NULL, e);

	free(w->path);
	w->path = fs_join(p->box.dir, WORKSPACE);
	w->readonly = true;
	if (r == 0 && stat(w->path, &st) < 0)
		r = err_sys(e, "%s", w->path);
	if (r < 0) {
		spec_free(s);
		return r;
	}
	w->dev = st.st_dev;
	w->ino = st.st_ino;
	s->agent_config = SPEC_AGENT_CONFIG_OFF;
	s->tmpl.kind = SPEC_TEMPLATE_HOST;
	*ret = s;
	return 0;
}

static int start_host_box(const struct make *m, const struct build_step *p, const struct spec *spec,
			  struct err *e)
{
	struct box_config *config = NULL;
	struct kit *k = NULL;
	int r = kit_load("shell", m->b.c->paths.config, NULL, &k, e);

	if (r == 0)
		r = native_config(m->b.c, spec, k, p->box.dir, true, &config, e);
	if (r == 0)
		r = build_box_start(&m->b, p, config, e);
	box_config_free(config);
	kit_free(k);
	return r;
}

static int run_base(struct make *m, const struct build_step *p, const struct strv *argv,
		    struct err *e)
{
	struct spec_session session = { .kind = SPEC_SESSION_EXEC };
	struct spec *spec = NULL;
	int r = host_spec(m, p, &spec, e);

	if (r < 0)
		return r;
	strv_extend(&session.argv, argv);
	strv_extend(&session.env, &m->what->packages->env);
	strv_env_set(&session.env, "HOME", "/root");
	session.user = xstrdup("0");
	session.cwd = xstrdup("/");
	r = native_session_env(m->b.c, spec, &session, e);
	if (r == 0)
		r = start_host_box(m, p, spec, e);
	if (r == 0)
		r = send_files(m, &p->box, e);
	if (r == 0)
		r = build_box_program(&m->b, p, &session, e);
	spec_session_clear(&session);
	spec_free(spec);
	return r;
}

/* Words of `sh -c SCRIPT sh ARG...`. */
static void script_argv(struct strv *argv, const char *script, const char *const *args, size_t n)
{
	strv_add(argv, "sh");
	strv_add(argv, "-c");
	strv_add(argv, script);
	strv_add(argv, "sh");
	for (size_t i = 0; i < n; i++)
		strv_add(argv, args[i]);
}

/* What the base system is made from: another one, another layer. */
static void base_key(const struct make *m, const struct strv *argv, struct buf *key)
{
	const struct engine_packages *p = m->what->packages;

	for (size_t i = 0; i < argv->n; i++)
		build_key_add(key, "base", argv->v[i]);
	build_key_add(key, "sources", p->sources);
	for (size_t i = 0; i < p->nfiles; i++) {
		const struct buf *content = &p->files[i].content;
		char digest[SHA256_HEX + 1];

		sha256_hex(content->data, content->len, digest);
		build_key_add(key, "path", p->files[i].path);
		build_key_add(key, "content", digest);
	}
}

static int make_base(struct make *m, struct err *e)
{
	const struct engine_packages *packages = m->what->packages;
	auto_free char *seconds = xasprintf("%lld", (long long)m->day);
	auto_free char *text = xasprintf("mmdebstrap %s", packages->codename);
	const char *const args[] = { packages->codename,
				     packages->apt_options ? packages->apt_options : "", seconds };
	const struct dockerfile_instruction i = { .kind = DOCKERFILE_RUN, .text = text };
	struct build_step p = { .box = { .dirfd = -1 } };
	auto_strv argv = STRV_INIT;
	auto_strv leave_out = STRV_INIT;
	auto_buf key = BUF_INIT;
	int r;

	next_step(m, "the base system");
	script_argv(&argv, base_script, args, ARRAY_SIZE(args));
	base_key(m, &argv, &key);
	if (build_cached(&m->b, &m->image, &key, &i))
		return 0;
	r = build_step_begin(&m->b, &m->image, &p, e);
	if (r == 0)
		r = run_base(m, &p, &argv, e);
	/* mmdebstrap copies them from where it runs. */
	strv_add(&leave_out, "etc/hostname");
	strv_add(&leave_out, "etc/resolv.conf");
	p.subdir = BASE_DIR;
	p.leave_out = &leave_out;
	if (r == 0)
		r = build_step_commit(&m->b, &m->image, &p, &i, e);
	build_step_end(&m->b, &p);
	return r < 0 ? err_prefix(e, "%s", m->b.title) : 0;
}

/* --- the other steps -------------------------------------------------------------------------- */

/* text: for the history. */
static int run_step(struct make *m, const char *title, char *text, const struct strv *argv,
		    struct err *e)
{
	const struct dockerfile_instruction i = {
		.kind = DOCKERFILE_RUN, .text = text, .exec = true, .words = *argv
	};
	int r;

	next_step(m, title);
	r = build_run(&m->b, &m->image, &i, e);
	return r < 0 ? err_prefix(e, "%s", title) : 0;
}

/* Variables that every program of the template has, and those that just make it. */
static void set_env(struct make *m)
{
	const struct engine_packages *p = m->what->packages;
	struct strv *env = &m->image.env;

	strv_add(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	strv_add(env, "LANG=C.UTF-8");
	/* Node has certificates of its own and looks at no others unasked. */
	if (p->own_ca)
		strv_add(env, "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt");
	strv_extend(&m->image.args, &p->env);
}

static int add_tools(struct make *m, struct err *e)
{
	const struct engine_packages *p = m->what->packages;
	const char *const args[] = { p->apt_options ? p->apt_options : "",
				     p->registry ? p->registry : "" };
	auto_free char *text = xstrdup("apt-get install; Node and npm");
	auto_strv argv = STRV_INIT;

	script_argv(&argv, tools_script, args, ARRAY_SIZE(args));
	return run_step(m, "tools", text, &argv, e);
}

/* The newest is asked for each time, and an older one is of no use. */
static int add_agent(struct make *m, struct err *e)
{
	const struct engine_make *w = m->what;
	auto_free char *package =
		xasprintf("%s%s%s", w->npm, w->version ? "@" : "", w->version ? w->version : "");
	auto_free char *text = xasprintf("npm install -g %s", package);
	const char *const args[] = { package, w->npm, w->binary };
	auto_strv argv = STRV_INIT;

	m->b.uncached = true;
	script_argv(&argv, agent_script, args, ARRAY_SIZE(args));
	return run_step(m, package, text, &argv, e);
}

static int make_template(struct make *m, char **ret_digest, struct err *e)
{
	auto_image_record base = { 0 };
	auto_image_record rec = { 0 };
	int r;

	sha256_hex("packages", strlen("packages"), m->image.key);
	r = make_base(m, e);
	set_env(m);
	if (r == 0)
		r = add_tools(m, e);
	if (r == 0)
		r = build_manifest(&m->b, &m->image, m->what->base, &base, e);
	if (r == 0 && m->what->npm)
		r = add_agent(m, e);
	if (r == 0)
		r = build_manifest(&m->b, &m->image, m->what->reference, &rec, e);
	if (r == 0)
		r = native_image_unpack(m->b.c, rec.manifest, &m->b.ids, e);
	if (r == 0)
		*ret_digest = steal(&rec.digest);
	return r;
}

int engine_template_make(struct engine_context *c, const struct engine_make *what,
			 char **ret_digest, struct err *e)
{
	static const struct strv none = STRV_INIT;
	const struct engine_build request = { .context = -1,
					      .args = &none,
					      .no_cache = what->anew,
					      .network = POLICY_LOCKED,
					      .allow_hosts = &what->packages->allow,
					      .deny_hosts = &none };
	struct make m = { .b = BUILD_INIT(c, &request),
			  .what = what,
			  .day = (int64_t)time(NULL) / DAY * DAY };
	int r;

	m.b.quiet = true;
	m.b.interrupted = what->interrupted;
	m.b.steps = what->npm ? 3 : 2;
	r = build_open(&m.b, e);
	if (r == 0)
		r = make_template(&m, ret_digest, e);
	build_stage_clear(&m.image);
	build_close(&m.b);
	return r;
}
