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
 * base and tools are a template of their own, which is used again on the same day for the same
 * sources.  The boxes are sandboxes with names of their own and an empty, read-only workspace; what
 * a kill leaves of them, `ward prune` removes as any other.  A template is recorded when all of it
 * is there.
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
#include "engine/engine_internal.h"
#include "image/image.h"
#include "supervise/supervise.h"

enum { WAIT_MS = 250, TAIL_BYTES = 8192, TAIL_LINES = 15, STOP_MS = 2000, NAME_BYTES = 4 };
enum { DAY = 24 * 3600 };

#define KEY_LABEL "ward.made-from"
#define BASE_DIR  "ward-base"
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

/* --- a step ------------------------------------------------------------------------------------
 */

struct make {
	struct engine_context *c;
	const struct engine_make *what;
	struct image_store store;
	struct box_ids ids;
	char *workspace;
	char *helper; /* ward-image */
	char created[32];
	int64_t day;
	unsigned step, steps;
};

struct step {
	const char *title;
	const char *script;
	const char *args[4];  /* as $1, ...; NULL ends */
	const char *manifest; /* the image that it starts from; NULL: this machine */
	const char *subdir;   /* what becomes the layer; NULL: what has changed */
	bool files;	      /* the packages' files are put into FILES_DIR */
};

static void say(const struct make *m, const char *text)
{
	if (m->c->say)
		m->c->say(m->c->say_arg, ENGINE_SAY_PROGRESS, text);
}

static int interrupted(const struct make *m, struct err *e)
{
	if (!m->what->interrupted || !m->what->interrupted())
		return 0;
	return err_set(e, ERR_CONFLICT, -EINTR, "interrupted");
}

static struct spec *step_spec(const struct make *m, const struct step *p, struct err *e)
{
	struct spec *s = spec_new();
	char random[2 * NAME_BYTES + 1];
	struct stat st;

	text_random_hex(random, NAME_BYTES);
	s->name = xasprintf("build-%s-%s", m->what->agent, random);
	s->named = true;
	s->agent = xstrdup("shell");
	s->credentials = SPEC_CREDENTIALS_NONE;
	s->agent_config = SPEC_AGENT_CONFIG_OFF;
	s->network = POLICY_LOCKED;
	strv_extend(&s->allow_hosts, &m->what->packages->allow);
	s->tmpl.kind = p->manifest ? SPEC_TEMPLATE_IMAGE : SPEC_TEMPLATE_HOST;
	s->tmpl.ref = xstrdup(p->manifest ? m->what->base : "host");
	s->tmpl.digest = p->manifest ? xstrdup(p->manifest) : NULL;
	if (stat(m->workspace, &st) < 0) {
		err_sys(e, "%s", m->workspace);
		spec_free(s);
		return NULL;
	}
	s->workspaces = xcalloc(1, sizeof(*s->workspaces));
	s->nworkspaces = 1;
	s->workspaces[0] = (struct spec_workspace){
		.path = xstrdup(m->workspace), .dev = st.st_dev, .ino = st.st_ino, .readonly = true
	};
	return s;
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

/* The last line of the output that begins with "I: ", once. */
static void say_news(const struct make *m, const struct buf *tail, char **said)
{
	const char *last = NULL;
	auto_free char *line = NULL;

	for (const char *at = buf_str(tail); at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (text_starts(at, "I: ") && strchr(at, '\n') && !text_starts(at, "I: skipping") &&
		    !text_starts(at, "I: using "))
			last = at;
	}
	if (!last)
		return;
	line = xstrndup(last + 3, strcspn(last + 3, "\n"));
	if (*said && strcmp(*said, line) == 0)
		return;
	free(*said);
	say(m, line);
	*said = steal(&line);
}

static void show_tail(const struct make *m, const struct buf *tail)
{
	const char *text = buf_str(tail);
	const char *from = text + tail->len;
	int lines = 0;

	while (from > text && lines < TAIL_LINES + 1) {
		from--;
		lines += *from == '\n';
	}
	for (from += from > text; *from && m->c->say; from += strspn(from, "\n")) {
		auto_free char *line = xstrndup(from, strcspn(from, "\n"));

		m->c->say(m->c->say_arg, ENGINE_SAY_OUTPUT, line);
		from += strlen(line);
	}
}

static int wait_script(const struct make *m, int conn, struct err *e)
{
	auto_buf tail = BUF_INIT;
	auto_free char *said = NULL;
	int code = 0;
	int r;

	do {
		if (interrupted(m, e) < 0)
			return -EINTR;
		r = control_wait(conn, TAIL_BYTES, WAIT_MS, &tail, &code, e);
		say_news(m, &tail, &said);
	} while (r == -ETIMEDOUT);
	if (r == 0 && code == 0)
		return 0;
	show_tail(m, &tail);
	return r < 0 ? r : err_set(e, ERR_CONFLICT, -ECANCELED, "it ended with exit code %d", code);
}

static int run_script(const struct make *m, const struct step *p, const struct sandbox *box,
		      const struct spec *spec, struct err *e)
{
	struct spec_session session = { .kind = SPEC_SESSION_SETUP };
	auto_close int conn = -1;
	uint32_t id;
	int r;

	strv_add(&session.argv, "sh");
	strv_add(&session.argv, "-c");
	strv_add(&session.argv, p->script);
	strv_add(&session.argv, "sh");
	for (size_t i = 0; i < ARRAY_SIZE(p->args) && p->args[i]; i++)
		strv_add(&session.argv, p->args[i]);
	strv_extend(&session.env, &m->what->packages->env);
	strv_env_set(&session.env, "HOME", "/root");
	session.user = xstrdup("0");
	session.cwd = xstrdup("/");
	r = native_session_env(m->c, spec, &session, e);
	if (r == 0)
		r = control_connect(box, &conn, e);
	if (r == 0)
		r = control_start(conn, &session, false, &id, e);
	spec_session_clear(&session);
	return r < 0 ? r : wait_script(m, conn, e);
}

/* What a box has of Ward's at every start, and what is of no use to others. */
static const char *const left_out[] = {
	"dev",
	"home",
	"proc",
	"run",
	"sys",
	"tmp",
	"etc/apt/apt.conf.d/90ward-proxy",
	"etc/debian_chroot",
	"etc/hostname",
	"etc/hosts",
	"etc/localtime",
	"etc/profile.d/ward.sh",
	"etc/resolv.conf",
	"etc/sandbox-persistent.sh",
	"etc/sudoers.d/ward",
	"etc/timezone",
};

/* mmdebstrap copies them from where it runs. */
static const char *const base_left_out[] = { "etc/hostname", "etc/resolv.conf" };

static void add_list(struct strv *to, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		strv_add(to, list[i]);
}

static int pack(const struct make *m, const struct step *p, const struct sandbox *box,
		struct image_layer *ret, struct err *e)
{
	auto_free char *path = p->subdir ? fs_join("upper", p->subdir) : xstrdup("upper");
	auto_close int fd = fs_open_beneath(box->dirfd, path, O_RDONLY | O_DIRECTORY, 0);
	struct image_tree tree = IMAGE_TREE_INIT;
	auto_strv leave_out = STRV_INIT;
	auto_strv if_filled = STRV_INIT;

	if (fd < 0)
		return err_set(e, ERR_SYSTEM, fd, "its files: %s", strerror(-fd));
	tree.fd = fd;
	if (p->subdir)
		add_list(&leave_out, base_left_out, ARRAY_SIZE(base_left_out));
	else
		add_list(&leave_out, left_out, ARRAY_SIZE(left_out));
	tree.leave_out = &leave_out;
	/* Directories that were made so that the workspace could be mounted. */
	for (const char *end = m->workspace; end; end = *end ? strchrnul(end + 1, '/') : NULL)
		if (end > m->workspace)
			strv_addf(&if_filled, "%.*s", (int)(end - m->workspace - 1),
				  m->workspace + 1);
	if (!p->subdir)
		tree.if_filled = &if_filled;
	return native_layer_pack(&m->store, &m->ids, &tree, 1, ret, e);
}

/* In a sandbox of its own, which is gone afterwards. */
static int run_step(struct make *m, const struct step *p, struct image_layer *ret, struct err *e)
{
	auto_free char *title = xasprintf("step %u of %u: %s", ++m->step, m->steps, p->title);
	struct sandbox *box = NULL;
	struct err ignored = ERR_INIT;
	bool started = false;
	struct spec *spec;
	int r = interrupted(m, e);

	if (r < 0)
		return r;
	say(m, title);
	spec = step_spec(m, p, e);
	if (!spec)
		return e->code;
	r = engine_native.create(m->c, spec, NULL, &box, e);
	if (r == 0)
		r = engine_native.start(m->c, box, &started, e);
	if (r == 0 && p->files)
		r = send_files(m, box, e);
	if (r == 0)
		r = run_script(m, p, box, spec, e);
	if (r == 0)
		r = engine_native.stop(m->c, box, STOP_MS, e);
	if (r == 0)
		r = pack(m, p, box, ret, e);
	spec_free(spec);
	if (box)
		(void)engine_native.remove(m->c, box, true, &ignored);
	sandbox_free(box);
	return r < 0 ? err_prefix(e, "%s", p->title) : 0;
}

/* --- images ------------------------------------------------------------------------------------
 */

static struct json *label(const char *key, const char *value)
{
	struct json *config = json_object();
	struct json *labels = json_object();

	json_set_string(labels, key, value);
	json_set(config, "Labels", labels);
	return config;
}

struct image {
	const char *base; /* manifest or NULL */
	const struct image_layer *layer;
	const char *created_by;
	struct json *config;   /* or NULL */
	const char *reference; /* or NULL */
};

static int compose(const struct make *m, const struct image *i, struct image_record *ret,
		   struct err *e)
{
	struct image_history h = { .created_by = xstrdup(i->created_by),
				   .created = xstrdup(m->created) };
	auto_close int lock = -1;
	int r = image_store_lock(&m->store, IMAGE_LOCK_CONTENT, false, true, &lock, e);

	if (r == 0)
		r = image_compose(&m->store,
				  &(struct image_composition){ .helper = m->helper,
							       .base = i->base,
							       .layers = i->layer,
							       .nlayers = 1,
							       .history = &h,
							       .nhistory = 1,
							       .created = m->created,
							       .config = i->config },
				  i->reference, ret, e);
	if (r == 0)
		image_lease_image(&m->store, ret->manifest);
	free(h.created_by);
	free(h.created);
	return r;
}

/* What base and tools are made from; another one, another template. */
static char *base_key(const struct make *m)
{
	const struct engine_packages *p = m->what->packages;
	auto_buf all = BUF_INIT;

	buf_printf(&all, "%s\n%s\n%s\n%lld\n", base_script, tools_script, p->sources,
		   (long long)m->day);
	for (size_t i = 0; i < p->nfiles; i++) {
		buf_printf(&all, "%s %zu\n", p->files[i].path, p->files[i].content.len);
		buf_add(&all, p->files[i].content.data, p->files[i].content.len);
	}
	return xasprintf("%s-%016llx", p->codename,
			 (unsigned long long)text_fnv1a(all.data, all.len));
}

static bool is_made_from(const struct make *m, const struct image_record *rec, const char *key)
{
	auto_image_config config = { 0 };
	const char *value;

	return image_store_read(&m->store, rec->manifest, NULL, &config, NULL) == 0 &&
	       json_get_string(config.labels, KEY_LABEL, &value) == 0 && strcmp(value, key) == 0;
}

/* Variables that every program of the template has. */
static struct json *base_config(const struct make *m, const char *key)
{
	struct json *config = label(KEY_LABEL, key);
	auto_strv env = STRV_INIT;

	strv_add(&env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	strv_add(&env, "LANG=C.UTF-8");
	/* Node has certificates of its own and looks at no others unasked. */
	if (m->what->packages->own_ca)
		strv_add(&env, "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt");
	json_set_strv(config, "Env", &env);
	return config;
}

static int make_base(struct make *m, const char *key, struct image_record *ret, struct err *e)
{
	const struct engine_packages *p = m->what->packages;
	const char *options = p->apt_options ? p->apt_options : "";
	auto_free char *seconds = xasprintf("%lld", (long long)m->day);
	auto_free char *by = xasprintf("mmdebstrap %s", p->codename);
	auto_json config = base_config(m, key);
	auto_image_record first = { 0 };
	auto_image_layer base = { 0 }, tools = { 0 };
	int r = run_step(m,
			 &(struct step){ .title = "the base system",
					 .script = base_script,
					 .args = { p->codename, options, seconds },
					 .subdir = BASE_DIR,
					 .files = true },
			 &base, e);

	if (r == 0)
		r = compose(m,
			    &(struct image){ .layer = &base, .created_by = by, .config = config },
			    &first, e);
	if (r == 0)
		r = native_image_unpack(m->c, first.manifest, &m->ids, e);
	if (r == 0)
		r = run_step(m,
			     &(struct step){ .title = "tools",
					     .script = tools_script,
					     .args = { options, p->registry ? p->registry : "" },
					     .manifest = first.manifest },
			     &tools, e);
	if (r == 0)
		r = compose(m,
			    &(struct image){ .base = first.manifest,
					     .layer = &tools,
					     .created_by = "apt-get install; Node and npm",
					     .reference = m->what->base },
			    ret, e);
	return r;
}

static int find_base(struct make *m, struct image_record *ret, struct err *e)
{
	auto_free char *key = base_key(m);
	auto_image_record rec = { 0 };
	auto_close int lock = -1;
	int r = image_store_lock(&m->store, IMAGE_LOCK_CONTENT, false, true, &lock, e);

	if (r < 0)
		return r;
	r = m->what->anew ? -ENOENT : image_store_lookup(&m->store, m->what->base, &rec, NULL);

	if (r == 0 && is_made_from(m, &rec, key)) {
		image_lease_image(&m->store, rec.manifest);
		m->steps = m->what->npm ? 1 : 0;
		*ret = rec;
		rec = (struct image_record){ 0 };
		return 0;
	}
	fd_closep(&lock);
	lock = -1;
	m->steps = m->what->npm ? 3 : 2;
	return make_base(m, key, ret, e);
}

/* The agent's layer on the base, or just the base under its name. */
static int add_agent(struct make *m, const char *base, struct image_record *ret, struct err *e)
{
	const struct engine_make *w = m->what;
	auto_free char *package =
		xasprintf("%s%s%s", w->npm, w->version ? "@" : "", w->version ? w->version : "");
	auto_free char *by = xasprintf("npm install -g %s", package);
	auto_image_layer layer = { 0 };
	int r = run_step(m,
			 &(struct step){ .title = package,
					 .script = agent_script,
					 .args = { package, w->npm, w->binary },
					 .manifest = base },
			 &layer, e);

	return r < 0 ? r
		     : compose(m,
			       &(struct image){ .base = base,
						.layer = &layer,
						.created_by = by,
						.reference = w->reference },
			       ret, e);
}

static int make_template(struct make *m, char **ret_digest, struct err *e)
{
	auto_image_record base = { 0 };
	auto_image_record rec = { 0 };
	int r = find_base(m, &base, e);

	if (r == 0)
		r = native_image_unpack(m->c, base.manifest, &m->ids, e);
	if (r < 0)
		return r;
	if (m->what->npm) {
		r = add_agent(m, base.manifest, &rec, e);
	} else {
		rec = base;
		base = (struct image_record){ 0 };
		free(rec.reference);
		rec.reference = xstrdup(m->what->reference);
		r = image_store_tag(&m->store, &rec, e);
	}
	if (r == 0)
		r = native_image_unpack(m->c, rec.manifest, &m->ids, e);
	if (r == 0)
		*ret_digest = steal(&rec.digest);
	return r;
}

int engine_template_make(struct engine_context *c, const struct engine_make *what,
			 char **ret_digest, struct err *e)
{
	struct make m = { .c = c, .what = what, .store = { .fd = -1 } };
	struct image_lease lease = IMAGE_LEASE_INIT;
	int r = image_store_open(c->paths.data, &m.store, e);

	m.day = (int64_t)time(NULL) / DAY * DAY;
	text_rfc3339((int64_t)time(NULL), m.created);
	m.workspace = fs_join(c->paths.data, "build");
	/* What no record leads to yet is not collected meanwhile. */
	if (r == 0)
		r = image_lease_begin(&m.store, &lease, e);
	if (r == 0)
		r = fs_mkdirs(m.workspace, 0700, e);
	if (r == 0)
		r = box_ids_detect(getuid(), getgid(), &m.ids, e);
	if (r == 0)
		r = native_helper("ward-image", &m.helper, e);
	if (r == 0)
		r = make_template(&m, ret_digest, e);
	free(m.workspace);
	free(m.helper);
	image_lease_end(&lease);
	image_store_close(&m.store);
	return r;
}
