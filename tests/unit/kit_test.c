/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kits: every field of the format, every refusal with its line, the kits that are built in, finding
 * one by name, and what seed files become.
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
#include "spec/spec_internal.h"

#define HEAD  "schemaVersion: \"2\"\nkind: sandbox\nname: x\n"
#define TAIL  "sandbox: {entrypoint: [x]}\n"
#define MIXIN "schemaVersion: \"2\"\nkind: mixin\nname: x\n"

static struct kit *parse(const char *text)
{
	struct kit *k = NULL;
	struct err e = ERR_INIT;

	if (kit_parse(text, strlen(text), "spec.yaml", &k, &e) < 0)
		fail_msg("%s", e.message);
	return k;
}

static const char every_field[] =
	"schemaVersion: \"2\"\n"
	"kind: sandbox\n"
	"name: x\n"
	"version: \"1.0\"\n"
	"displayName: The X\n"
	"description: |\n"
	"  two\n"
	"  lines\n"
	"sourceURL: https://example.org\n"
	"licenses: [Apache-2.0]\n"
	"locked: [sandbox.image]\n"
	"mixins: [git]\n"
	"security: {privileged: false}\n"
	"sandbox:\n"
	"  image: example.org/x:1\n"
	"  entrypoint: [/opt/x/bin/x, run]\n"
	"  command: {default: [--batch], interactive: [--yolo, -i]}\n"
	"  resources: {cpu: 1.5, memory: 4g, gpu: none}\n"
	"agentInstructions: {filename: X.md, content: \"hello\\n\"}\n"
	"credentials:\n"
	"  - service: x\n"
	"    description: key\n"
	"    required: true\n"
	"    apiKey:\n"
	"      name: X_API_KEY\n"
	"      proxyManaged: true\n"
	"      inject:\n"
	"        - {domain: api.example.org, header: x-key, format: \"%s\"}\n"
	"        - {domain: git.example.org, scheme: basic, username: u}\n"
	"    oauth:\n"
	"      tokenEndpoint: {host: auth.example.org, path: /token}\n"
	"      sentinels: [a]\n"
	"      credentialFile: {path: ~/.x/auth.json, structure: {a: {b: c}}}\n"
	"      resourceHosts: [api.example.org]\n"
	"      responseFields: {token: t}\n"
	"      passthrough: true\n"
	"  - service: y\n"
	"permissions:\n"
	"  network:\n"
	"    allow: [example.org, \"**.example.org:443\", \"10.1.0.0/16\"]\n"
	"    deny: [\"bad.example.org\", \"**.com\"]\n"
	"ports:\n"
	"  - {container: 8080, protocol: udp, name: web}\n"
	"  - {container: 80}\n"
	"environment: {variables: {A: \"1\", B: x=y}}\n"
	"setup:\n"
	"  install:\n"
	"    - {command: \"apt-get install -y x\"}\n"
	"    - {command: \"true\", user: agent}\n"
	"  startup:\n"
	"    - {command: [x, --serve], background: true}\n"
	"    - {command: \"x --line\"}\n"
	"  files:\n"
	"    - {path: ~/.x/conf, content: \"c\\n\", mode: \"0600\", onlyIfMissing: true}\n"
	"    - {path: /etc/x, content: \"\"}\n"
	"volumes:\n"
	"  - {path: ~/.cache/x, size: 2g}\n"
	"  - {path: /scratch, type: tmpfs, mode: 1777}\n"
	"ward:\n"
	"  binary: x2\n"
	"  credentialFiles: [.x/auth.json]\n"
	"  installHint: npm i -g x\n"
	"  npm: \"@x-y/x.z\"\n"
	"  userConfig:\n"
	"    - .x/notes.md\n"
	"    - {path: .x/skills}\n"
	"    - {path: .x/settings.json, keys: [model, theme]}\n";

static void test_every_field(void **state)
{
	struct kit *k = parse(every_field);

	(void)state;
	assert_string_equal(k->origin, "spec.yaml");
	assert_string_equal(k->kind, "sandbox");
	assert_string_equal(k->version, "1.0");
	assert_string_equal(k->display_name, "The X");
	assert_string_equal(k->description, "two\nlines\n");
	assert_string_equal(k->image, "example.org/x:1");
	assert_int_equal(k->entrypoint.n, 2);
	assert_string_equal(k->command_default.v[0], "--batch");
	assert_string_equal(k->command_interactive.v[1], "-i");
	assert_string_equal(k->instructions_file, "X.md");
	assert_string_equal(k->instructions, "hello\n");
	assert_int_equal(k->ncredentials, 2);
	assert_true(k->credentials[0].required);
	assert_true(k->credentials[0].proxy_managed);
	assert_string_equal(k->credentials[0].env_name, "X_API_KEY");
	assert_string_equal(k->credentials[0].credential_file, "~/.x/auth.json");
	assert_non_null(json_get(k->credentials[0].raw, "oauth"));
	assert_null(k->credentials[1].env_name);
	assert_int_equal(k->net_allow.n, 3);
	assert_int_equal(k->net_deny.n, 2);
	assert_string_equal(strv_env_get(&k->env, "B"), "x=y");
	assert_string_equal(k->binary, "x2");
	assert_string_equal(k->credential_files.v[0], ".x/auth.json");
	assert_string_equal(k->install_hint, "npm i -g x");
	assert_string_equal(k->npm, "@x-y/x.z");
	kit_free(k);
}

static void test_setup_and_volumes(void **state)
{
	struct kit *k = parse(every_field);

	(void)state;
	assert_int_equal(k->ninstall, 2);
	assert_string_equal(k->install[0].argv.v[0], "sh");
	assert_string_equal(k->install[0].argv.v[2], "apt-get install -y x");
	assert_string_equal(k->install[0].user, "0");
	assert_string_equal(k->install[1].user, "agent");
	assert_int_equal(k->nstartup, 2);
	assert_string_equal(k->startup[1].argv.v[2], "x --line");
	assert_string_equal(k->startup[0].argv.v[1], "--serve");
	assert_string_equal(k->startup[0].user, "1000");
	assert_true(k->startup[0].background);
	assert_int_equal(k->nfiles, 2);
	assert_int_equal(k->files[0].mode, 0600);
	assert_true(k->files[0].only_if_missing);
	assert_int_equal(k->files[1].mode, 0644);
	assert_string_equal(k->files[1].content, "");
	assert_int_equal(k->nvolumes, 2);
	assert_true(k->volumes[0].size == 2ULL << 30);
	assert_string_equal(k->volumes[0].type, "");
	assert_string_equal(k->volumes[1].type, "tmpfs");
	assert_int_equal(k->volumes[1].mode, 01777);
	kit_free(k);
}

static void test_resources_ports_and_user_config(void **state)
{
	struct kit *k = parse(every_field);

	(void)state;
	assert_int_equal(k->cpu_milli, 1500);
	assert_true(k->memory == 4ULL << 30);
	assert_int_equal(k->nports, 2);
	assert_int_equal(k->ports[0].container, 8080);
	assert_string_equal(k->ports[0].protocol, "udp");
	assert_string_equal(k->ports[0].name, "web");
	assert_string_equal(k->ports[1].protocol, "tcp");
	assert_null(k->ports[1].name);
	assert_int_equal(k->nuser_config, 3);
	assert_string_equal(k->user_config[0].path, ".x/notes.md");
	assert_string_equal(k->user_config[1].path, ".x/skills");
	assert_int_equal(k->user_config[1].keys.n, 0);
	assert_string_equal(k->user_config[2].path, ".x/settings.json");
	assert_string_equal(k->user_config[2].keys.v[1], "theme");
	kit_free(k);
}

static void test_cpu_and_command_shapes(void **state)
{
	struct kit *k =
		parse(HEAD "sandbox: {entrypoint: [x], command: [-l], resources: {cpu: 500m}}\n");

	(void)state;
	assert_int_equal(k->cpu_milli, 500);
	assert_int_equal(k->command_default.n, 1);
	assert_int_equal(k->command_interactive.n, 1);
	kit_free(k);
	/* Empty is given: the interactive one does not fall back. */
	k = parse(HEAD "sandbox:\n  entrypoint: [x]\n  command: {default: [-p], interactive: []}\n"
		       "  resources: {cpu: 4}\n");
	assert_int_equal(k->cpu_milli, 4000);
	assert_int_equal(k->command_default.n, 1);
	assert_int_equal(k->command_interactive.n, 0);
	kit_free(k);
	k = parse(HEAD "sandbox: {entrypoint: [x], command: {interactive: [-i]}}\n");
	assert_string_equal(k->command_default.v[0], "-i");
	kit_free(k);
}

static void test_program_from_entrypoint(void **state)
{
	struct kit *k = parse(HEAD "sandbox: {entrypoint: [/opt/x/bin/agent, run]}\n");

	(void)state;
	assert_string_equal(k->binary, "agent");
	kit_free(k);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} cases[] = {
		{ "", "spec.yaml:1: the file is empty" },
		{ "x\n", "spec.yaml:1: a kit must be a mapping of fields" },
		{ HEAD "sandbox:\n  entrypont: [x]\n",
		  "spec.yaml:5: unknown field 'entrypont', did you mean 'entrypoint'?" },
		{ HEAD TAIL "zzzzzzzz: 1\n", "spec.yaml:5: unknown field 'zzzzzzzz'" },
		{ HEAD TAIL "\"a\\eb\": 1\n", "spec.yaml:5: unknown field 'a\\x1bb'" },
		{ "kind: sandbox\nname: x\n" TAIL, "spec.yaml:1: a kit lacks 'schemaVersion'" },
		{ "schemaVersion: 1\nkind: sandbox\nname: x\n" TAIL,
		  "spec.yaml:1: 'schemaVersion' is '1'; it can be '2'" },
		{ "schemaVersion: 2\nkind: agent\nname: x\n" TAIL,
		  "spec.yaml:2: 'kind' is 'agent'; it can be 'sandbox', 'mixin'" },
		{ "schemaVersion: 2\nkind: sandbox\n" TAIL, "spec.yaml:1: a kit lacks 'name'" },
		{ HEAD, "spec.yaml:1: a kit of kind 'sandbox' needs sandbox.entrypoint" },
		{ HEAD "sandbox: {entrypoint: []}\n",
		  "spec.yaml:4: 'entrypoint' must name a program first" },
		{ HEAD "sandbox: {entrypoint: [\"\"]}\n",
		  "spec.yaml:4: 'entrypoint' must name a program first" },
		{ HEAD "sandbox: {entrypoint: x}\n", "spec.yaml:4: 'entrypoint' must be a list" },
		{ HEAD "sandbox: {entrypoint: [[x]]}\n",
		  "spec.yaml:4: 'entrypoint' must be a text" },
		{ HEAD TAIL "extends: ../claude\n",
		  "spec.yaml:5: 'extends': '../claude' is not the name of a kit" },
		{ HEAD TAIL "mixins: [git, \"git+https://example.org/x#ref=1\"]\n",
		  "spec.yaml:5: 'mixins': 'git+https://example.org/x#ref=1' is not the name of a "
		  "kit" },
		{ HEAD TAIL "requires: {agent: claude}\n",
		  "spec.yaml:5: 'requires': it is for mixins: a sandbox is an agent itself" },
		{ MIXIN TAIL, "spec.yaml:4: 'sandbox': a mixin cannot change how the agent is "
			      "launched" },
		{ MIXIN "extends: claude\n",
		  "spec.yaml:4: 'extends': a mixin cannot extend another "
		  "kit" },
		{ MIXIN "mixins: [a]\n",
		  "spec.yaml:4: 'mixins': a mixin cannot bring other mixins" },
		{ MIXIN "ward: {binary: x}\n",
		  "spec.yaml:4: 'binary': a mixin cannot change how the agent is launched" },
		{ MIXIN "ward: {npm: x}\n",
		  "spec.yaml:4: 'npm': a mixin cannot change how the agent is launched" },
#define NO_PACKAGE "spec.yaml:5: 'npm' must be the name of a package, such as @scope/name"
		{ HEAD TAIL "ward: {npm: \"\"}\n", NO_PACKAGE },
		{ HEAD TAIL "ward: {npm: \"@x\"}\n", NO_PACKAGE },
		{ HEAD TAIL "ward: {npm: \"@x/\"}\n", NO_PACKAGE },
		{ HEAD TAIL "ward: {npm: x@1}\n", NO_PACKAGE },
		{ HEAD TAIL "ward: {npm: --force}\n", NO_PACKAGE },
		{ HEAD TAIL "ward: {npm: \"x;id\"}\n", NO_PACKAGE },
		{ MIXIN "ward: {userConfig: [.x]}\n",
		  "spec.yaml:4: 'userConfig': a mixin cannot show more of the user's home" },
		{ HEAD TAIL "locked: [a..b]\n", "spec.yaml:5: 'locked': 'a..b' is not the path of "
						"a field such as sandbox.image or "
						"credentials[service=x]" },
		{ HEAD TAIL "locked: [\"a[b]\"]\n", "spec.yaml:5: 'locked': 'a[b]' is not the path "
						    "of a field such as sandbox.image or "
						    "credentials[service=x]" },
		{ HEAD TAIL "args: [n]\n",
		  "spec.yaml:5: 'args' must be a mapping of NAME: {default: ...}" },
		{ HEAD TAIL "args: {n.m: {default: a}}\n",
		  "spec.yaml:5: 'n.m' cannot name an argument" },
		{ HEAD TAIL "args: {n: {}}\n",
		  "spec.yaml:5: an argument has either 'default' or 'required: true'" },
		{ HEAD TAIL "args: {n: {default: a, required: true}}\n",
		  "spec.yaml:5: an argument has either 'default' or 'required: true'" },
		{ HEAD TAIL "args: {n: {default: a, enum: [a], pattern: a}}\n",
		  "spec.yaml:5: an argument has at most one of 'enum' and 'pattern'" },
		{ HEAD TAIL "args: {n: {default: a, enum: [b, c]}}\n",
		  "spec.yaml:5: argument 'n' is 'a'; it can be 'b', 'c'" },
		{ HEAD TAIL "args: {n: {default: ab, pattern: a}}\n",
		  "spec.yaml:5: argument 'n' is 'ab'; it must match a" },
		{ HEAD TAIL "args: {n: {default: a, pattern: \"(a\"}}\n",
		  "spec.yaml:5: 'pattern': a group is not closed" },
		{ HEAD TAIL "args: {n: {default: a, patern: b}}\n",
		  "spec.yaml:5: unknown field 'patern', did you mean 'pattern'?" },
		{ HEAD TAIL "args: {n: {required: true}}\n",
		  "spec.yaml:5: argument 'n' needs a value" },
		{ HEAD TAIL "args: {n: {default: \"${{ kit.args.m }}\"}, m: {default: a}}\n",
		  "spec.yaml:5: a default cannot refer to other arguments" },
		{ HEAD TAIL "description: a ${{ kit.args.n }}\n",
		  "spec.yaml:5: '${{ kit.args.n }}': there is no such argument" },
		{ HEAD TAIL "description: a ${{ kit.arg.n }}\n",
		  "spec.yaml:5: '${{ kit.arg.n }}': there is no such argument" },
		{ HEAD TAIL "args: {n: {default: [a]}}\n",
		  "spec.yaml:5: 'default' must be a text" },
		{ "schemaVersion: 2\nkind: mixin\nname: \"${{ kit.args.n }}\"\n",
		  "spec.yaml:3: 'name' cannot depend on arguments" },
		{ HEAD TAIL "security: {privileged: true}\n",
		  "spec.yaml:5: 'privileged' is refused: no sandbox gets privileges on the host" },
		{ HEAD "sandbox: {entrypoint: [x], build: .}\n",
		  "spec.yaml:4: 'build' is not supported: build the image first and name it in "
		  "'image'" },
		{ HEAD TAIL "version: \"a\\eb\"\n",
		  "spec.yaml:5: 'version' holds a control character" },
		{ HEAD TAIL "version: \"a\\nb\"\n",
		  "spec.yaml:5: 'version' holds a control character" },
		{ HEAD TAIL "version: \"a\\u009bb\"\n",
		  "spec.yaml:5: 'version' holds a control character" },
		{ HEAD TAIL "version:\n", "spec.yaml:5: 'version' has no value" },
		{ HEAD TAIL "security: {privileged: yes}\n",
		  "spec.yaml:5: 'privileged' must be true or false" },
		{ HEAD TAIL "security: {privileged: \"true\"}\n",
		  "spec.yaml:5: 'privileged' must be true or false" },
		{ HEAD "sandbox: {entrypoint: [x], resources: {cpu: two}}\n",
		  "spec.yaml:4: 'cpu' must be a number of processors such as 2, 1.5 or 500m" },
		{ HEAD TAIL "volumes: [{path: /a, mode: 4755}]\n",
		  "spec.yaml:5: 'mode' must be three octal digits such as 644 or 0600" },
		{ HEAD TAIL "ward: {userConfig: [{keys: [a]}]}\n",
		  "spec.yaml:5: ward.userConfig lacks 'path'" },
		{ HEAD TAIL "ward: {userConfig: [../x]}\n",
		  "spec.yaml:5: path '~/../x' must be plain, without '..', '.' or '//'" },
		{ HEAD TAIL "environment: {variables: {1A: x}}\n",
		  "spec.yaml:5: '1A' cannot name an environment variable" },
		{ HEAD TAIL "environment: {variables: {A=B: x}}\n",
		  "spec.yaml:5: 'A=B' cannot name an environment variable" },
		{ HEAD TAIL "environment:\n  variables:\n    WARD_X: x\n",
		  "spec.yaml:7: variable 'WARD_X': the prefix WARD_ is reserved" },
		{ HEAD TAIL "environment: {variables: {SBX_X: x}}\n",
		  "spec.yaml:5: variable 'SBX_X': the prefix SBX_ is reserved" },
		{ HEAD TAIL "environment: {variables: [A]}\n",
		  "spec.yaml:5: 'variables' must be a mapping of NAME: value" },
		{ HEAD TAIL "credentials: [{description: d}]\n",
		  "spec.yaml:5: a credential lacks 'service'" },
		{ HEAD TAIL "credentials: [{service: s, apiKey: {name: DOCKER_X}}]\n",
		  "spec.yaml:5: variable 'DOCKER_X': the prefix DOCKER_ is reserved" },
		{ HEAD TAIL "credentials: {service: s}\n",
		  "spec.yaml:5: 'credentials' must be a list" },
		{ HEAD TAIL "setup: {files: [{path: x, content: c}]}\n",
		  "spec.yaml:5: path 'x' must be absolute or begin with ~/" },
		{ HEAD TAIL "setup: {files: [{path: ~root/x, content: c}]}\n",
		  "spec.yaml:5: path '~root/x' must be absolute or begin with ~/" },
		{ HEAD TAIL "setup: {files: [{path: ~/../x, content: c}]}\n",
		  "spec.yaml:5: path '~/../x' must be plain, without '..', '.' or '//'" },
		{ HEAD TAIL "setup: {files: [{path: /a//b, content: c}]}\n",
		  "spec.yaml:5: path '/a//b' must be plain, without '..', '.' or '//'" },
		{ HEAD TAIL "setup: {files: [{path: /a/, content: c}]}\n",
		  "spec.yaml:5: path '/a/' must be plain, without '..', '.' or '//'" },
		{ HEAD TAIL "setup: {files: [{path: /, content: c}]}\n",
		  "spec.yaml:5: path '/' must be plain, without '..', '.' or '//'" },
		{ HEAD TAIL "setup: {files: [{path: /a, content: c, mode: \"4755\"}]}\n",
		  "spec.yaml:5: 'mode' must be three octal digits such as 644 or 0600" },
		{ HEAD TAIL "setup: {files: [{path: /a, content: c, mode: \"0888\"}]}\n",
		  "spec.yaml:5: 'mode' must be three octal digits such as 644 or 0600" },
		{ HEAD TAIL "setup: {files: [{path: /a}]}\n",
		  "spec.yaml:5: setup.files lacks 'content'" },
		{ HEAD TAIL "setup: {install: [{command: [a]}]}\n",
		  "spec.yaml:5: 'command' must be a text" },
		{ HEAD TAIL "setup: {startup: [{command: {a: b}}]}\n",
		  "spec.yaml:5: 'command' must be a list" },
		{ HEAD TAIL "setup: {startup: [{command: [a], user: \"a b\"}]}\n",
		  "spec.yaml:5: 'user' must be a user's name or number" },
		{ HEAD TAIL "ports: [{container: 0}]\n",
		  "spec.yaml:5: 'container' must be a whole number from 1 to 65535" },
		{ HEAD TAIL "ports: [{container: 80, protocol: icmp}]\n",
		  "spec.yaml:5: 'protocol' is 'icmp'; it can be 'tcp', 'udp'" },
		{ HEAD TAIL "volumes: [{path: /a, size: big}]\n",
		  "spec.yaml:5: 'size' must be a size such as 512m or 2g" },
		{ HEAD TAIL "volumes: [{path: /a, type: nfs}]\n",
		  "spec.yaml:5: 'type' is 'nfs'; it can be '', 'tmpfs'" },
		{ HEAD TAIL "ward: {binary: ../x}\n",
		  "spec.yaml:5: 'binary' must be a program's name without a directory" },
		{ HEAD TAIL "ward: {credentialFiles: [../x]}\n",
		  "spec.yaml:5: path '~/../x' must be plain, without '..', '.' or '//'" },
		{ HEAD TAIL "ward: {credentialFiles: [.ssh/id_ed25519]}\n",
		  "spec.yaml:5: '~/.ssh/id_ed25519' holds keys of the user: it is "
		  "never given to a sandbox" },
		{ HEAD TAIL "ward: {credentialFiles: [.local/share]}\n",
		  "spec.yaml:5: '~/.local/share' holds keys of the user: it is "
		  "never given to a sandbox" },
		{ HEAD TAIL "credentials: [{service: s, oauth: {credentialFile: {path: "
			    "~/.gnupg/x}}}]\n",
		  "spec.yaml:5: '~/.gnupg/x' holds keys of the user: it is "
		  "never given to a sandbox" },
		{ HEAD TAIL "ward: {credentialFiles: [/etc/shadow]}\n",
		  "spec.yaml:5: path '~//etc/shadow' must be plain, without '..', '.' or '//'" },
		{ HEAD TAIL "ward: {credentialFiles: [\"\"]}\n",
		  "spec.yaml:5: path '~/' must be plain, without '..', '.' or '//'" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kit *k = NULL;
		struct err e = ERR_INIT;

		if (kit_parse(cases[i].text, strlen(cases[i].text), "spec.yaml", &k, &e) !=
			    -EINVAL ||
		    strcmp(e.message, cases[i].message) != 0 || k)
			fail_msg("%s\ngives: %s\nnot:   %s", cases[i].text, e.message,
				 cases[i].message);
	}
}

static void test_bad_pattern(void **state)
{
	static const char text[] = HEAD TAIL "permissions:\n  network:\n    allow:\n      - a b\n";
	struct kit *k = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_true(kit_parse(text, strlen(text), "spec.yaml", &k, &e) < 0);
	assert_int_equal(strncmp(e.message, "spec.yaml:8: ", 13), 0);
	assert_non_null(strstr(e.message, "a b"));
}

static void test_known_fields_in_hint(void **state)
{
	static const char text[] = HEAD TAIL "ports: [{container: 1, zzzzzzzz: 1}]\n";
	struct kit *k = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_true(kit_parse(text, strlen(text), "spec.yaml", &k, &e) < 0);
	assert_string_equal(e.hint, "a port may have: container, protocol, name");
}

static void test_too_long(void **state)
{
	auto_buf text = BUF_INIT;
	struct kit *k = NULL;
	struct err e = ERR_INIT;

	(void)state;
	buf_puts(&text, HEAD TAIL "version: ");
	for (int i = 0; i <= FIELD_TEXT_MAX; i++)
		buf_putc(&text, 'v');
	assert_true(kit_parse(buf_str(&text), text.len, "f", &k, &e) < 0);
	assert_string_equal(e.message, "f:5: 'version' is longer than 4096 bytes");
	buf_reset(&text);
	buf_puts(&text, HEAD TAIL "licenses:\n");
	for (int i = 0; i <= FIELD_LIST_MAX; i++)
		buf_puts(&text, "  - l\n");
	assert_true(kit_parse(buf_str(&text), text.len, "f", &k, &e) < 0);
	assert_string_equal(e.message, "f:6: 'licenses' has more than 1024 entries");
}

/* Seeds of the kits that are built in */

/* The inside of a seed file of a built-in kit, rendered. */
static char *seed(const char *agent, const char *path, const struct kit_vars *v)
{
	struct kit *k = NULL;
	struct err e = ERR_INIT;
	char *text = NULL;

	assert_int_equal(kit_load(agent, NULL, NULL, &k, &e), 0);
	for (size_t i = 0; i < k->nfiles; i++) {
		if (strcmp(k->files[i].path, path) == 0)
			text = kit_file_render(&k->files[i], v);
	}
	kit_free(k);
	assert_non_null(text);
	return text;
}

static void test_claude_seed(void **state)
{
	static const char workdir[] = "/w/a\"b\\c\nd\x7f\t\xc3\xa4";
	auto_strv env = STRV_INIT;
	struct kit_vars v = { .workdir = workdir, .home = "/home/agent", .env = &env };
	auto_free char *text = NULL;
	struct err e = ERR_INIT;
	struct json *j = NULL, *approved, *project;
	bool trusted = false;

	(void)state;
	strv_env_set(&env, "ANTHROPIC_API_KEY", "sk-ant-0123456789abcdefghijklmnop");
	text = seed("claude", "~/.claude.json", &v);
	if (json_parse(text, strlen(text), &j, &e) < 0)
		fail_msg("%s", e.message);
	approved = json_get(json_get(j, "customApiKeyResponses"), "approved");
	assert_string_equal(json_str(json_at(approved, 0)), "6789abcdefghijklmnop");
	project = json_get(json_get(j, "projects"), workdir);
	assert_int_equal(json_get_bool(project, "hasTrustDialogAccepted", &trusted), 0);
	assert_true(trusted);
	json_unref(j);
}

static void test_codex_seed(void **state)
{
	auto_strv env = STRV_INIT;
	struct kit_vars v = { .workdir = "/w/a\"b", .home = "/home/agent", .env = &env };
	auto_free char *without = seed("codex", "~/.codex/config.toml", &v);
	auto_free char *with = NULL;

	(void)state;
	assert_non_null(strstr(without, "model_provider = \"openai\"\n"));
	assert_non_null(strstr(without, "base_url = \"https://api.openai.com/v1\"\n"));
	assert_non_null(strstr(without, "[projects.\"/w/a\\\"b\"]\n"));
	strv_env_set(&env, "OPENAI_API_KEY", "sk-secret");
	strv_env_set(&env, "OPENAI_BASE_URL", "http://127.0.0.1:1/v1");
	with = seed("codex", "~/.codex/config.toml", &v);
	assert_non_null(strstr(with, "model_provider = \"openai-key\"\n"));
	assert_non_null(strstr(with, "base_url = \"http://127.0.0.1:1/v1\"\n"));
	assert_null(strstr(with, "sk-secret"));
}

/* Seeds */

static void test_render(void **state)
{
	static const struct {
		const char *path, *content, *expected;
	} cases[] = {
		{ "~/f", "a ${WORKDIR} b ${HOME}", "a /w\"\\ b /h" },
		{ "~/f.json", "\"${WORKDIR}\"", "\"/w\\\"\\\\\"" },
		{ "~/f.toml", "\"${WORKDIR}\"", "\"/w\\\"\\\\\"" },
		{ "~/f.json", "${ENV:CTL}", "\\u0001\\n\\r\\t\\b\\f\\u007f" },
		{ "~/f.json", "${ENV:BAD}", "a\\ufffdb" },
		{ "~/f", "${ENV:BAD}",
		  "a\xff"
		  "b" },
		{ "~/f", "${ENV:K}|${ENV:NONE}|${ENV:}", "value||" },
		{ "~/f", "${ENV:NONE:-x}|${ENV:K:-x}|${ENV:EMPTY:-y}", "x|value|y" },
		{ "~/f", "${ENV_TAIL20:LONG}|${ENV_TAIL20:K}|${ENV_TAIL20:NONE}",
		  "56789012345678901234|value|" },
		{ "~/f", "${WHEN:NONE=a,K=b,c}|${WHEN:NONE=a,c}|${WHEN:NONE=a}|${WHEN:K=}",
		  "b|c||" },
		{ "~/f", "${OTHER} ${ $x ${WORKDIRS} ${HOME", "${OTHER} ${ $x ${WORKDIRS} ${HOME" },
		{ "~/f", "${x${HOME}", "${x/h" },
		{ "~/f", "", "" },
		/* What a value holds is not looked at again. */
		{ "~/f", "${ENV:EVIL}", "${WORKDIR}" },
	};
	auto_strv env = STRV_INIT;
	struct kit_vars v = { .workdir = "/w\"\\", .home = "/h", .env = &env };

	(void)state;
	strv_env_set(&env, "K", "value");
	strv_env_set(&env, "EMPTY", "");
	strv_env_set(&env, "CTL", "\x01\n\r\t\b\f\x7f");
	strv_env_set(&env, "BAD",
		     "a\xff"
		     "b");
	strv_env_set(&env, "LONG",
		     "012345678901234567890123456789"
		     "01234");
	strv_env_set(&env, "EVIL", "${WORKDIR}");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kit_file f = { .path = xstrdup(cases[i].path),
				      .content = xstrdup(cases[i].content) };
		auto_free char *text = kit_file_render(&f, &v);

		assert_string_equal(text, cases[i].expected);
		free(f.path);
		free(f.content);
	}
}

static void test_file_path(void **state)
{
	struct kit_vars v = { .home = "/h" };
	char home[] = "~/.x/y", absolute[] = "/etc/x";
	struct kit_file a = { .path = home }, b = { .path = absolute };
	auto_free char *pa = kit_path(a.path, v.home);
	auto_free char *pb = kit_path(b.path, v.home);

	(void)state;
	assert_string_equal(pa, "/h/.x/y");
	assert_string_equal(pb, "/etc/x");
}

/* Finding */

static int make_config(void **state)
{
	char dir[] = "/tmp/ward-kit-test-XXXXXX";

	if (!mkdtemp(dir))
		return -1;
	*state = xstrdup(dir);
	return 0;
}

static int remove_config(void **state)
{
	auto_close int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err e = ERR_INIT;
	int r = fs_remove_tree_at(tmp, (const char *)*state + strlen("/tmp/"), &e);

	free(*state);
	return r;
}

static void put_kit(const char *config, const char *name, const char *text)
{
	auto_free char *dir = xasprintf("%s/kits/%s", config, name);
	struct err e = ERR_INIT;
	auto_close int fd = -1;

	if (fs_mkdirs(dir, 0700, &e) < 0)
		fail_msg("%s", e.message);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fs_replace_at(fd, "spec.yaml", text, strlen(text), 0600, false, &e) < 0)
		fail_msg("%s", e.message);
}

static void test_user_kit(void **state)
{
	const char *config = *state;
	auto_strv names = STRV_INIT;
	struct err e = ERR_INIT;
	struct kit *k = NULL;

	put_kit(config, "x", HEAD TAIL);
	put_kit(config, "claude", "schemaVersion: 2\nkind: sandbox\nname: claude\n" TAIL);
	put_kit(config, ".hidden", HEAD TAIL);
	assert_int_equal(kit_load("x", config, NULL, &k, &e), 0);
	assert_string_equal(k->name, "x");
	kit_free(k);
	/* The user's own stands before the built-in one of the same name. */
	assert_int_equal(kit_load("claude", config, NULL, &k, &e), 0);
	assert_int_equal(strncmp(k->origin, config, strlen(config)), 0);
	kit_free(k);
	assert_int_equal(kit_load("codex", config, NULL, &k, &e), 0);
	assert_string_equal(e.message, "");
	kit_free(k);
	assert_int_equal(kit_names(config, &names, &e), 0);
	assert_true(strv_contains(&names, "x"));
	assert_false(strv_contains(&names, ".hidden"));
	for (size_t i = 1; i < names.n; i++)
		assert_true(strcmp(names.v[i - 1], names.v[i]) < 0);
}

static void test_bad_user_kits(void **state)
{
	const char *config = *state;
	struct err e = ERR_INIT;
	struct kit *k = NULL;

	put_kit(config, "broken", "a: [\n");
	assert_int_equal(kit_load("broken", config, NULL, &k, &e), -EINVAL);
	assert_non_null(strstr(e.message, "/kits/broken/spec.yaml:2: not valid YAML"));
	put_kit(config, "other", HEAD TAIL);
	assert_int_equal(kit_load("other", config, NULL, &k, &e), -EINVAL);
	assert_non_null(strstr(e.message, "the kit's name is 'x', not 'other'"));
	put_kit(config, "mix", "schemaVersion: 2\nkind: mixin\nname: mix\n");
	assert_int_equal(kit_load("mix", config, NULL, &k, &e), -EINVAL);
	assert_non_null(strstr(e.message, "a mixin"));
	assert_null(k);
}

static void test_not_a_file(void **state)
{
	const char *config = *state;
	auto_free char *dir = xasprintf("%s/kits/d/spec.yaml", config);
	auto_free char *fifo = xasprintf("%s/kits/f/spec.yaml", config);
	auto_free char *fifo_dir = xasprintf("%s/kits/f", config);
	struct err e = ERR_INIT;
	struct kit *k = NULL;

	assert_int_equal(fs_mkdirs(dir, 0700, &e), 0);
	assert_true(kit_load("d", config, NULL, &k, &e) < 0);
	assert_int_equal(fs_mkdirs(fifo_dir, 0700, &e), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_true(kit_load("f", config, NULL, &k, &e) < 0);
	assert_null(k);
}

static void test_unknown(void **state)
{
	static const char *const names[] = { "nonesuch", "", "../claude", "a/b", "-rf", "CLAUDE" };
	struct err e = ERR_INIT;
	struct kit *k = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(kit_load(names[i], *state, NULL, &k, &e), -ENOENT);
		assert_int_equal(e.kind, ERR_NOT_FOUND);
	}
	assert_int_equal(kit_load("cluade", *state, NULL, &k, &e), -ENOENT);
	assert_string_equal(e.message, "no agent named 'cluade'");
	assert_string_equal(e.hint, "did you mean 'claude'?");
	assert_null(k);
}

/* From both places, each once, and none that holds another one. */
static void test_credential_files(void **state)
{
	static const char text[] = HEAD TAIL
		"credentials:\n"
		"  - {service: a, oauth: {credentialFile: {path: ~/.x/a.json}}}\n"
		"  - {service: b, oauth: {credentialFile: {path: /home/agent/.x/b.json}}}\n"
		"  - {service: c, oauth: {credentialFile: {path: /etc/c.json}}}\n"
		"  - {service: d, oauth: {credentialFile: {path: /home/agent/.ssh/d}}}\n"
		"  - {service: e, oauth: {credentialFile: {path: ~/.x/a.json/e}}}\n"
		"ward: {credentialFiles: [.x/a.json, .y]}\n";
	auto_strv files = STRV_INIT;
	struct err e = ERR_INIT;
	struct kit *k = NULL;

	(void)state;
	assert_int_equal(kit_parse(text, strlen(text), "spec.yaml", &k, &e), 0);
	kit_credential_files(k, "/home/agent", false, &files);
	assert_int_equal(files.n, 3);
	assert_string_equal(files.v[0], ".x/a.json");
	assert_string_equal(files.v[1], ".y");
	assert_string_equal(files.v[2], ".x/b.json");
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_field),
		cmocka_unit_test(test_setup_and_volumes),
		cmocka_unit_test(test_resources_ports_and_user_config),
		cmocka_unit_test(test_cpu_and_command_shapes),
		cmocka_unit_test(test_program_from_entrypoint),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bad_pattern),
		cmocka_unit_test(test_known_fields_in_hint),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_credential_files),
		cmocka_unit_test(test_claude_seed),
		cmocka_unit_test(test_codex_seed),
		cmocka_unit_test(test_render),
		cmocka_unit_test(test_file_path),
		cmocka_unit_test_setup_teardown(test_user_kit, make_config, remove_config),
		cmocka_unit_test_setup_teardown(test_bad_user_kits, make_config, remove_config),
		cmocka_unit_test_setup_teardown(test_not_a_file, make_config, remove_config),
		cmocka_unit_test_setup_teardown(test_unknown, make_config, remove_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
