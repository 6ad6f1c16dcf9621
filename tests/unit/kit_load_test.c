/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining kits: what extending and mixing does to each field, arguments, kits given with --kit, and
 * every way in which it is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

#define AGENT(name) "schemaVersion: \"2\"\nkind: sandbox\nname: " name "\n"
#define MIXIN(name) "schemaVersion: \"2\"\nkind: mixin\nname: " name "\n"
#define RUN	    "sandbox: {entrypoint: [prog]}\n"

/* A directory that is a configuration directory and a place for kits of --kit. */
struct fixture {
	char *dir;
	struct kit_extras extras;
	struct err e;
};

static int setup(void **state)
{
	char dir[] = "/tmp/ward-kit-load-XXXXXX";
	struct fixture *f = xcalloc(1, sizeof(*f));

	if (!mkdtemp(dir))
		return -1;
	f->dir = xstrdup(dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	auto_close int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fs_remove_tree_at(tmp, f->dir + strlen("/tmp/"), &f->e);

	kit_extras_clear(&f->extras);
	free(f->dir);
	free(f);
	return r;
}

static void put(struct fixture *f, const char *dir, const char *text)
{
	auto_free char *path = fs_join(f->dir, dir);
	auto_close int fd = -1;

	if (fs_mkdirs(path, 0700, &f->e) < 0)
		fail_msg("%s", f->e.message);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fs_replace_at(fd, "spec.yaml", text, strlen(text), 0600, false, &f->e) < 0)
		fail_msg("%s", f->e.message);
}

/* A kit of the user's, or one for --kit. */
static void user(struct fixture *f, const char *name, const char *text)
{
	auto_free char *dir = xasprintf("kits/%s", name);

	put(f, dir, text);
}

static void give(struct fixture *f, const char *dir, const char *text)
{
	put(f, dir, text);
	strv_addf(&f->extras.dirs, "%s/%s", f->dir, dir);
}

static struct kit *load(struct fixture *f, const char *name)
{
	struct kit *k = NULL;

	if (kit_load(name, f->dir, &f->extras, &k, &f->e) < 0)
		fail_msg("%s", f->e.message);
	assert_string_equal(f->e.message, "");
	return k;
}

static void refused(struct fixture *f, const char *name, const char *end)
{
	struct kit *k = NULL;

	assert_true(kit_load(name, f->dir, &f->extras, &k, &f->e) < 0);
	assert_null(k);
	if (!text_ends(f->e.message, end))
		fail_msg("%s\nnot: %s", f->e.message, end);
}

/* --- extends ---------------------------------------------------------------------------------- */

static const char base[] =
	AGENT("base") "version: \"1\"\n"
		      "displayName: Base\n"
		      "sandbox:\n"
		      "  image: base:1\n"
		      "  entrypoint: [prog, run]\n"
		      "  command: {default: [-d], interactive: [-i]}\n"
		      "  resources: {cpu: 2, memory: 1g}\n"
		      "agentInstructions: {filename: B.md, content: of base}\n"
		      "credentials:\n"
		      "  - {service: one, description: base}\n"
		      "  - {service: two}\n"
		      "permissions: {network: {allow: [a.example], deny: [d.example]}}\n"
		      "ports: [{container: 80, name: base}]\n"
		      "environment: {variables: {A: base, B: base}}\n"
		      "setup:\n"
		      "  install: [{command: one}]\n"
		      "  startup: [{command: [one]}]\n"
		      "  files: [{path: ~/a, content: base}, {path: ~/b, content: base}]\n"
		      "volumes: [{path: /v, size: 1g}]\n"
		      "ward: {credentialFiles: [.one], userConfig: [{path: .u, keys: [k]}]}\n";

static void test_extends(void **state)
{
	struct fixture *f = *state;
	struct kit *k;

	user(f, "base", base);
	user(f, "child",
	     AGENT("child") "extends: base\n"
			    "sandbox: {image: \"child:1\", command: {default: []}}\n"
			    "agentInstructions: {content: of child}\n"
			    "credentials: [{service: one, description: child}]\n"
			    "permissions: {network: {allow: [a.example, c.example]}}\n"
			    "ports: [{container: 80, name: child}, {container: 80, protocol: "
			    "udp}]\n"
			    "environment: {variables: {B: child, C: child}}\n"
			    "setup:\n"
			    "  install: [{command: two}]\n"
			    "  startup: [{command: [two]}]\n"
			    "  files: [{path: ~/b, content: child}]\n"
			    "volumes: [{path: /v, type: tmpfs}, {path: /w}]\n"
			    "ward: {credentialFiles: [.two], userConfig: [.u]}\n");
	k = load(f, "child");
	assert_string_equal(k->name, "child");
	assert_string_equal(k->extends, "base");
	assert_int_equal(k->bases.n, 1);
	assert_string_equal(k->version, "1");
	assert_string_equal(k->display_name, "Base");
	assert_string_equal(k->image, "child:1");
	assert_string_equal(k->entrypoint.v[1], "run");
	assert_string_equal(k->binary, "prog");
	assert_int_equal(k->command_default.n, 0);
	assert_string_equal(k->command_interactive.v[0], "-i");
	assert_int_equal(k->cpu_milli, 2000);
	assert_string_equal(k->instructions_file, "B.md");
	assert_string_equal(k->instructions, "of base\n\nof child");
	assert_int_equal(k->ncredentials, 2);
	assert_string_equal(k->credentials[0].description, "child");
	assert_int_equal(k->net_allow.n, 2);
	assert_int_equal(k->net_deny.n, 1);
	assert_int_equal(k->nports, 2);
	assert_string_equal(k->ports[0].name, "child");
	assert_string_equal(strv_env_get(&k->env, "A"), "base");
	assert_string_equal(strv_env_get(&k->env, "B"), "child");
	assert_string_equal(strv_env_get(&k->env, "C"), "child");
	assert_int_equal(k->ninstall, 2);
	assert_string_equal(k->install[1].argv.v[2], "two");
	assert_int_equal(k->nstartup, 2);
	assert_int_equal(k->nfiles, 2);
	assert_string_equal(k->files[1].content, "child");
	assert_int_equal(k->nvolumes, 2);
	assert_string_equal(k->volumes[0].type, "tmpfs");
	assert_int_equal(k->credential_files.n, 2);
	assert_int_equal(k->nuser_config, 1);
	assert_int_equal(k->user_config[0].keys.n, 0);
	/* Files of the base come first, so that those of the child replace them. */
	assert_int_equal(k->trees.n, 2);
	assert_true(text_ends(k->trees.v[0], "/kits/base"));
	assert_true(text_ends(k->trees.v[1], "/kits/child"));
	kit_free(k);
}

static void test_extends_its_own_name(void **state)
{
	struct fixture *f = *state;
	struct kit *k;

	user(f, "claude",
	     AGENT("claude") "extends: claude\n"
			     "environment: {variables: {MINE: \"1\"}}\n");
	k = load(f, "claude");
	assert_string_equal(k->entrypoint.v[0], "claude");
	assert_string_equal(strv_env_get(&k->env, "MINE"), "1");
	assert_non_null(strv_env_get(&k->env, "IS_SANDBOX"));
	kit_free(k);
	/* And once more on top, with --kit. */
	give(f, "given",
	     AGENT("claude") "extends: claude\n"
			     "environment: {variables: {MINE: \"2\"}}\n");
	k = load(f, "claude");
	assert_int_equal(k->bases.n, 2);
	assert_string_equal(strv_env_get(&k->env, "MINE"), "2");
	assert_non_null(strv_env_get(&k->env, "IS_SANDBOX"));
	kit_free(k);
	user(f, "nobase", AGENT("nobase") "extends: nobase\n");
	kit_extras_clear(&f->extras);
	refused(f, "nobase",
		"/kits/nobase/spec.yaml:4: 'extends': there is no such kit: nobase -> "
		"nobase");
}

static void test_chains(void **state)
{
	struct fixture *f = *state;
	struct kit *k;

	user(f, "k0", AGENT("k0") RUN);
	for (int i = 1; i <= 9; i++) {
		auto_free char *name = xasprintf("k%d", i);
		auto_free char *text = xasprintf(AGENT("k%d") "extends: k%d\n", i, i - 1);

		user(f, name, text);
	}
	k = load(f, "k8");
	assert_int_equal(k->bases.n, 8);
	assert_string_equal(k->bases.v[0], "k7");
	assert_string_equal(k->bases.v[7], "k0");
	kit_free(k);
	refused(f, "k9",
		"more than 8 kits: k9 -> k8 -> k7 -> k6 -> k5 -> k4 -> k3 -> k2 -> k1 -> k0");
	user(f, "a", AGENT("a") "extends: b\n");
	user(f, "b", AGENT("b") "extends: c\n");
	user(f, "c", AGENT("c") "extends: a\n");
	refused(f, "a",
		"/kits/c/spec.yaml:4: 'extends': a kit that extends itself: a -> b -> c -> a");
	user(f, "m", MIXIN("m"));
	user(f, "x", AGENT("x") "extends: m\n");
	refused(f, "x", "/kits/m/spec.yaml: a mixin adds to an agent and cannot be run alone");
}

static void test_locked(void **state)
{
	static const struct {
		const char *text;
		const char *end; /* NULL: fine */
	} cases[] = {
		{ AGENT("x") "extends: base\nsandbox: {image: a}\n",
		  "spec.yaml:5: 'sandbox.image' is locked by kit 'base'" },
		{ AGENT("x") "extends: base\nsandbox: {entrypoint: [a]}\n", NULL },
		{ AGENT("x") "extends: base\ncredentials: [{service: two}, {service: one}]\n",
		  "spec.yaml:5: 'credentials[service=one]' is locked by kit 'base'" },
		{ AGENT("x") "extends: base\ncredentials: [{service: two}]\n", NULL },
		{ AGENT("x") "extends: base\nenvironment: {variables: {B: \"\"}}\n", NULL },
		{ AGENT("x") "extends: base\nenvironment: {variables: {A: \"\"}}\n",
		  "spec.yaml:5: 'environment.variables.A' is locked by kit 'base'" },
		{ AGENT("x") "extends: base\nmixins: [m]\n",
		  "/kits/m/spec.yaml:5: 'environment.variables.A' is locked by kit 'x'" },
	};
	struct fixture *f = *state;

	user(f, "m", MIXIN("m") "environment:\n  variables: {A: \"1\"}\n");
	user(f, "base",
	     AGENT("base") "locked: [sandbox.image, \"credentials[service=one]\", "
			   "environment.variables.A]\n" RUN);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		user(f, "x", cases[i].text);
		if (cases[i].end)
			refused(f, "x", cases[i].end);
		else
			kit_free(load(f, "x"));
		f->e = ERR_INIT;
	}
}

/* --- mixins ----------------------------------------------------------------------------------- */

static void test_mixin_adds(void **state)
{
	struct fixture *f = *state;
	auto_strv inside = STRV_INIT;
	auto_strv host = STRV_INIT;
	struct kit *k;

	user(f, "base", base);
	give(f, "m",
	     MIXIN("m") "requires: {agent: base}\n"
			"version: \"9\"\n"
			"displayName: M\n"
			"agentInstructions: {filename: M.md, content: of m}\n"
			"permissions: {network: {allow: [m.example]}}\n"
			"environment: {variables: {A: m}}\n"
			"setup: {install: [{command: m}]}\n"
			"volumes: [{path: /m}]\n"
			"ports: [{container: 90}]\n"
			"credentials: [{service: three, apiKey: {name: M_KEY}, oauth: "
			"{credentialFile: {path: ~/.m/login.json}}}]\n");
	k = load(f, "base");
	assert_string_equal(k->name, "base");
	assert_string_equal(k->kind, "sandbox");
	assert_string_equal(k->version, "1");
	assert_string_equal(k->display_name, "Base");
	assert_null(k->requires_agent);
	assert_string_equal(k->instructions_file, "B.md");
	assert_string_equal(k->instructions, "of base\n\nof m");
	assert_int_equal(k->net_allow.n, 2);
	assert_string_equal(strv_env_get(&k->env, "A"), "m");
	assert_int_equal(k->ninstall, 2);
	assert_int_equal(k->nvolumes, 2);
	assert_int_equal(k->nports, 2);
	assert_int_equal(k->ncredentials, 3);
	assert_int_equal(k->credential_files.n, 1);
	assert_int_equal(k->nuser_config, 1);
	assert_int_equal(k->mixins.n, 1);
	assert_string_equal(k->mixins.v[0], "m");
	assert_true(text_ends(k->trees.v[1], "/m"));
	/* Its login follows between sandboxes, and is never taken from this machine. */
	kit_credential_files(k, "/home/agent", false, &inside);
	assert_true(strv_contains(&inside, ".m/login.json"));
	kit_credential_files(k, "/home/agent", true, &host);
	assert_int_equal(host.n, inside.n - 1);
	assert_false(strv_contains(&host, ".m/login.json"));
	kit_free(k);
	give(f, "n", MIXIN("n") "ward: {credentialFiles: [.aws/credentials]}\n");
	refused(f, "base", "a mixin cannot say where the agent's login is");
}

static void test_mixins_of_a_kit(void **state)
{
	struct fixture *f = *state;
	struct kit *k;

	user(f, "m1", MIXIN("m1") "environment: {variables: {A: \"1\", B: \"1\"}}\n");
	user(f, "m2", MIXIN("m2") "environment: {variables: {A: \"2\"}}\n");
	user(f, "base", AGENT("base") "mixins: [m1]\n" RUN);
	user(f, "x", AGENT("x") "extends: base\nmixins: [m1, m2]\n");
	k = load(f, "x");
	assert_int_equal(k->mixins.n, 2);
	assert_string_equal(strv_env_get(&k->env, "A"), "2");
	assert_string_equal(strv_env_get(&k->env, "B"), "1");
	kit_free(k);
	/* The one of --kit stands for the user's of that name, in its place. */
	give(f, "other", MIXIN("m1") "environment: {variables: {A: g, B: g}}\n");
	k = load(f, "x");
	assert_int_equal(k->mixins.n, 2);
	assert_string_equal(strv_env_get(&k->env, "A"), "2");
	assert_string_equal(strv_env_get(&k->env, "B"), "g");
	kit_free(k);
	kit_extras_clear(&f->extras);
	user(f, "y", AGENT("y") "mixins: [none]\n" RUN);
	refused(f, "y", "/kits/y/spec.yaml: 'mixins': there is no kit named 'none'");
	user(f, "y", AGENT("y") "mixins: [base]\n" RUN);
	refused(f, "y", "/kits/base/spec.yaml: kit 'base' is an agent, not a mixin");
}

static void test_requires(void **state)
{
	struct fixture *f = *state;

	user(f, "mine", AGENT("mine") "extends: claude\n");
	give(f, "m", MIXIN("m") "requires: {agent: claude}\n");
	kit_free(load(f, "claude"));
	kit_free(load(f, "mine"));
	refused(f, "codex", "/m/spec.yaml: mixin 'm' is for claude, not for codex");
}

/* --- --kit ------------------------------------------------------------------------------------ */

static void test_given_agent(void **state)
{
	struct fixture *f = *state;
	struct kit *k;

	user(f, "x", AGENT("x") "sandbox: {entrypoint: [users]}\n");
	give(f, "x",
	     AGENT("x") "sandbox: {entrypoint: [given]}\n"
			"ward: {userConfig: [.x]}\n");
	k = load(f, "x");
	assert_string_equal(k->entrypoint.v[0], "given");
	assert_true(k->user_config[0].given);
	kit_free(k);
	refused(f, "claude", "/x' defines the agent x, which is not the one to be run");
	assert_true(text_ends(f->e.hint, "/x x"));
	assert_int_equal(f->e.kind, ERR_USAGE);
	give(f, "y", AGENT("x") RUN);
	refused(f, "x", "/y: kit 'x' is given twice");
}

static void test_given_paths(void **state)
{
	struct fixture *f = *state;
	auto_free char *link = xasprintf("%s/l/spec.yaml", f->dir);
	auto_free char *target = xasprintf("%s/m/spec.yaml", f->dir);
	auto_free char *dir = xasprintf("%s/l", f->dir);

	strv_addf(&f->extras.dirs, "%s/none", f->dir);
	refused(f, "claude", "/none: No such file or directory");
	kit_extras_clear(&f->extras);
	/* A spec.yaml by itself. */
	give(f, "m", MIXIN("m"));
	free(f->extras.dirs.v[0]);
	f->extras.dirs.v[0] = xstrdup(target);
	kit_free(load(f, "claude"));
	kit_extras_clear(&f->extras);
	/* A link in a directory may be the work of a box. */
	assert_int_equal(fs_mkdirs(dir, 0700, &f->e), 0);
	assert_int_equal(symlink(target, link), 0);
	strv_add(&f->extras.dirs, dir);
	refused(f, "claude", "Too many levels of symbolic links");
}

static void test_load_any(void **state)
{
	struct fixture *f = *state;
	struct kit *k = NULL;

	user(f, "m", MIXIN("m"));
	user(f, "mine", AGENT("mine") "extends: claude\n");
	assert_int_equal(kit_load_any("m", f->dir, NULL, &k, &f->e), 0);
	assert_string_equal(k->kind, "mixin");
	kit_free(k);
	assert_int_equal(kit_load_any("mine", f->dir, NULL, &k, &f->e), 0);
	assert_string_equal(k->entrypoint.v[0], "claude");
	kit_free(k);
	k = NULL;
	user(f, "none", AGENT("none") "extends: nonesuch\n");
	assert_true(kit_load_any("none", f->dir, NULL, &k, &f->e) < 0);
	assert_null(k);
	f->e = ERR_INIT;
	give(f, "x", AGENT("x") "extends: mine\nargs: {n: {default: a}}\n");
	strv_add(&f->extras.args, "n=b");
	assert_int_equal(kit_load_any("x", f->dir, &f->extras, &k, &f->e), 0);
	assert_int_equal(k->bases.n, 2);
	kit_free(k);
}

/* --- arguments -------------------------------------------------------------------------------- */

static const char with_args[] =
	AGENT("x") "args:\n"
		   "  host: {required: true, pattern: '^[a-z]+(\\.[a-z]+)*$'}\n"
		   "  mode: {default: fast, enum: [fast, slow]}\n"
		   "  back: {default: \"true\"}\n"
		   "  text: {default: \"\"}\n"
		   "sandbox: {entrypoint: [x, --mode, \"${{ kit.args.mode }}\"]}\n"
		   "permissions: {network: {allow: [\"${{kit.args.host}}\"]}}\n"
		   "environment:\n"
		   "  variables:\n"
		   "    A: https://${{ kit.args.host }}/${{ kit.args.mode }}${{ kit.args.text }}\n"
		   "    B: ${{ kit.args.text }}\n"
		   "    C: ${{ other.things }} stay\n"
		   "setup:\n"
		   "  startup:\n"
		   "    - command: [a]\n"
		   "      background: \"${{ kit.args.back }}\"\n";

static void test_arguments(void **state)
{
	struct fixture *f = *state;
	struct kit *k;

	user(f, "x", with_args);
	refused(f, "x", "/kits/x/spec.yaml:5: argument 'host' needs a value");
	assert_string_equal(f->e.hint, "--kit-arg x.host=VALUE");
	f->e = ERR_INIT;
	strv_add(&f->extras.args, "x.host=api.example");
	strv_add(&f->extras.args, "host=other.example");
	strv_add(&f->extras.args, "mode=slow");
	/* background: "..." is quoted, and so no truth value. */
	refused(f, "x", "'background' must be true or false");
	f->e = ERR_INIT;
	{
		auto_free char *text = xstrdup(with_args);
		char *quoted = strstr(text, "\"${{ kit.args.back }}\"");

		memset(quoted, ' ', 1);
		memset(quoted + strlen("\"${{ kit.args.back }}"), ' ', 1);
		user(f, "x", text);
	}
	k = load(f, "x");
	assert_string_equal(k->entrypoint.v[2], "slow");
	assert_string_equal(k->net_allow.v[0], "api.example");
	assert_string_equal(strv_env_get(&k->env, "A"), "https://api.example/slow");
	assert_string_equal(strv_env_get(&k->env, "B"), "");
	assert_string_equal(strv_env_get(&k->env, "C"), "${{ other.things }} stay");
	assert_true(k->startup[0].background);
	kit_free(k);
}

static void test_argument_is_data(void **state)
{
	static const char *const values[] = {
		"a\", B: \"b",	     "]}",   "x: y",  "- a", "~", "null",
		"${{ kit.args.v }}", "# no", "&a *a",
	};
	struct fixture *f = *state;

	user(f, "x",
	     AGENT("x") RUN "args: {v: {default: d}}\n"
			    "environment:\n"
			    "  variables:\n"
			    "    A: ${{ kit.args.v }}\n"
			    "    C: \"<${{ kit.args.v }}>\"\n");
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		auto_free char *quoted = xasprintf("<%s>", values[i]);
		struct kit *k;

		kit_extras_clear(&f->extras);
		strv_addf(&f->extras.args, "v=%s", values[i]);
		k = load(f, "x");
		assert_int_equal(k->env.n, 2);
		assert_string_equal(strv_env_get(&k->env, "A"), values[i]);
		assert_string_equal(strv_env_get(&k->env, "C"), quoted);
		kit_free(k);
	}
}

static void test_bad_arguments(void **state)
{
	static const struct {
		const char *arg;
		const char *message;
	} cases[] = {
		{ "host", "option --kit-arg: 'host' is not NAME=VALUE or KIT.NAME=VALUE" },
		{ "=a", "option --kit-arg: '=a' is not NAME=VALUE or KIT.NAME=VALUE" },
		{ "X Y.host=a",
		  "option --kit-arg: 'X Y.host=a' is not NAME=VALUE or KIT.NAME=VALUE" },
		{ "hots=a", "option --kit-arg: no kit here has an argument 'hots'" },
		{ "y.host=a", "option --kit-arg: no kit here has an argument 'y.host'" },
		{ "host=A", "option --kit-arg: host is 'A'; it must match ^[a-z]+$" },
		{ "mode=no", "option --kit-arg: mode is 'no'; it can be 'fast', 'slow'" },
		{ "host=a\nb", "option --kit-arg: host is 'a\\x0ab'; it must match ^[a-z]+$" },
		{ "any=a\x1b", "option --kit-arg: any must be one line of at most 4096 bytes" },
		{ "any=\xff", "option --kit-arg: any must be one line of at most 4096 bytes" },
	};
	struct fixture *f = *state;

	user(f, "x",
	     AGENT("x") RUN "args:\n"
			    "  host: {default: a, pattern: \"^[a-z]+$\"}\n"
			    "  mode: {default: fast, enum: [fast, slow]}\n"
			    "  any: {default: a}\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kit *k = NULL;

		kit_extras_clear(&f->extras);
		strv_add(&f->extras.args, cases[i].arg);
		assert_int_equal(kit_load("x", f->dir, &f->extras, &k, &f->e), -EINVAL);
		assert_string_equal(f->e.message, cases[i].message);
		assert_int_equal(f->e.kind, ERR_USAGE);
	}
	kit_extras_clear(&f->extras);
	strv_add(&f->extras.args, "hots=a");
	refused(f, "x", "'hots'");
	assert_string_equal(f->e.hint, "there are: x.host, x.mode, x.any");
}

static void test_arguments_of_several_kits(void **state)
{
	struct fixture *f = *state;
	struct kit *k;

	user(f, "x",
	     AGENT("x") RUN "args: {v: {default: d}}\n"
			    "environment: {variables: {X: \"${{ kit.args.v }}\"}}\n");
	give(f, "m",
	     MIXIN("m.2") "args: {v: {default: d}}\n"
			  "environment: {variables: {M: \"${{ kit.args.v }}\"}}\n");
	strv_add(&f->extras.args, "v=both");
	strv_add(&f->extras.args, "m.2.v=one");
	k = load(f, "x");
	assert_string_equal(strv_env_get(&k->env, "X"), "both");
	assert_string_equal(strv_env_get(&k->env, "M"), "one");
	kit_free(k);
}

static void test_too_much(void **state)
{
	struct fixture *f = *state;
	auto_buf text = BUF_INIT;
	auto_buf arg = BUF_INIT;

	buf_puts(&text, AGENT("x") RUN "args: {v: {default: d}}\nlicenses:\n");
	for (int i = 0; i < 300; i++)
		buf_puts(&text, "  - \"${{ kit.args.v }}\"\n");
	user(f, "x", buf_str(&text));
	kit_free(load(f, "x"));
	buf_puts(&arg, "v=");
	for (int i = 0; i < 4096; i++)
		buf_putc(&arg, 'v');
	strv_add(&f->extras.args, buf_str(&arg));
	refused(f, "x", "its arguments make it larger than 1048576 bytes");
}

static void test_tree_text(void **state)
{
	struct fixture *f = *state;
	struct kit *k;
	auto_buf out = BUF_INIT;
	static const char text[] = "a ${{ kit.args.v }} ${{ github.ref }} ${HOME}";
	static const char bad[] = "${{ kit.args.w }}";
	static const char bytes[] = "\xff\x00${{ kit.args.v }}";

	give(f, "m", MIXIN("m") "args: {v: {default: d}}\n");
	k = load(f, "claude");
	assert_int_equal(k->trees.n, 1);
	assert_int_equal(kit_tree_text(k, 0, "f", text, strlen(text), &out, &f->e), 0);
	assert_string_equal(buf_str(&out), "a d ${{ github.ref }} ${HOME}");
	assert_true(kit_tree_text(k, 0, "f", bad, strlen(bad), &out, &f->e) < 0);
	assert_true(
		text_ends(f->e.message, "/m/f: '${{ kit.args.w }}': there is no such argument"));
	buf_reset(&out);
	assert_int_equal(kit_tree_text(k, 0, "f", bytes, sizeof(bytes), &out, &f->e), 0);
	assert_int_equal(out.len, sizeof(bytes));
	kit_free(k);
}

static void test_patterns(void **state)
{
	static const struct {
		const char *pattern, *value;
		int expected; /* -1: refused */
	} cases[] = {
		{ "a", "a", 1 },
		{ "a", "ba", 0 },
		{ "a|b", "ab", 0 },
		{ "a|b", "b", 1 },
		{ "^a$", "a", 1 },
		{ "", "", 1 },
		{ "\\d+\\.\\d+", "1.27", 1 },
		{ "\\d+\\.\\d+", "d.d", 0 },
		{ "[\\w.-]+", "a_9.-", 1 },
		{ "[\\w.-]+", "a b", 0 },
		{ "[\\-a]+", "-a", 1 },
		{ "[a\\]]+", "a]", 1 },
		{ "[^\\s]+", "a b", 0 },
		{ "[^\\s]+", "ab", 1 },
		{ "[[:alpha:]]+", "ab", 1 },
		{ "(?:ab){2}", "abab", 1 },
		{ "(/[a-z0-9]([a-z0-9-]*[a-z0-9])?){0,2}", "/acme/prod", 1 },
		{ "(/[a-z0-9]([a-z0-9-]*[a-z0-9])?){0,2}", "/acme/prod/x", 0 },
		{ "a)|(b", "axx", -1 },
		{ "(a", "a", -1 },
		{ "[a", "a", -1 },
		{ "a\\", "a", -1 },
		{ "(a)\\1", "aa", -1 },
		{ "\\bword", "word", -1 },
		{ "(?i)a", "A", -1 },
		{ "a*?", "a", -1 },
		{ "a{1001}", "a", -1 },
		{ "((a{100}){100}){100}", "a", -1 },
		{ "a{2", "a", -1 },
		{ "a{x}", "a", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool yes = false;
		const char *why = spec_pattern_match(cases[i].pattern, cases[i].value, &yes);

		if ((why ? -1 : yes) != cases[i].expected)
			fail_msg("%s with %s: %s", cases[i].pattern, cases[i].value,
				 why   ? why
				 : yes ? "matches"
				       : "does not match");
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_extends),
		TEST(test_extends_its_own_name),
		TEST(test_chains),
		TEST(test_locked),
		TEST(test_mixin_adds),
		TEST(test_mixins_of_a_kit),
		TEST(test_requires),
		TEST(test_given_agent),
		TEST(test_given_paths),
		TEST(test_load_any),
		TEST(test_arguments),
		TEST(test_argument_is_data),
		TEST(test_bad_arguments),
		TEST(test_arguments_of_several_kits),
		TEST(test_too_much),
		TEST(test_tree_text),
		cmocka_unit_test(test_patterns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
