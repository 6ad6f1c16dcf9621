/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs: the tables behind the command line.
 *
 * One row per verb, one array per verb for its options.  Parser, help, man pages and completions
 * read them; nothing about the command line is written down a second time.  Options that several
 * verbs share are macros, so that they read the same everywhere.
 */
#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli_internal.h"
#include "cli/verb_texts.h"

#define VALUE(field)	offsetof(struct cli_values, field)
#define TABLE(array)	.options = (array), .noptions = ARRAY_SIZE(array)
#define EXAMPLES(array) .examples = (array), .nexamples = ARRAY_SIZE(array)

/* clang-format off: one option, one row. */
#define OPTION_HELP                                                                                \
	{                                                                                          \
		.name = "help", .letter = 'h', .type = OPTION_FLAG, .offset = VALUE(help),         \
		.help = "Show the help of this command"                                            \
	}
#define OPTION_DEBUG                                                                               \
	{                                                                                          \
		.name = "debug", .letter = 'D', .type = OPTION_FLAG, .offset = VALUE(debug),       \
		.help = "Say on standard error what is being done"                                 \
	}
#define OPTION_JSON                                                                                \
	{ .name = "json",                                                                          \
	  .type = OPTION_FLAG,                                                                     \
	  .offset = VALUE(json),                                                                   \
	  .help = "Print JSON instead of text" },                                                  \
	{                                                                                          \
		.name = "format", .type = OPTION_STRING, .offset = VALUE(format), .arg = "FORMAT", \
		.choices = "table|json", .help = "Print as a table or as JSON"                     \
	}
#define OPTION_ENV                                                                                 \
	{ .name = "env",                                                                           \
	  .letter = 'e',                                                                           \
	  .type = OPTION_LIST,                                                                     \
	  .offset = VALUE(env),                                                                    \
	  .arg = "NAME[=VALUE]",                                                                   \
	  .help = "Set an environment variable; without a value it is taken from here" },          \
	{                                                                                          \
		.name = "env-file", .type = OPTION_LIST, .offset = VALUE(env_file), .arg = "FILE", \
		.complete = COMPLETE_FILE, .help = "Read environment variables from a file"        \
	}
#define OPTION_DETACH_KEYS                                                                         \
	{                                                                                          \
		.name = "detach-keys", .type = OPTION_STRING, .offset = VALUE(detach_keys),        \
		.arg = "KEYS", .help = "Keys that detach from the session (default ctrl-p,ctrl-q)" \
	}
#define OPTION_RAW_TTY                                                                             \
	{                                                                                          \
		.name = "raw-tty", .type = OPTION_FLAG, .offset = VALUE(raw_tty),                  \
		.help = "Pass every terminal sequence of the program through, unfiltered"          \
	}
#define OPTION_KIT_ARG                                                                             \
	{                                                                                          \
		.name = "kit-arg", .type = OPTION_LIST, .offset = VALUE(kit_arg),                  \
		.arg = "[KIT.]NAME=VALUE", .help = "Give an argument to the kits that have it"     \
	}
#define OPTION_FORCE(text)                                                                         \
	{                                                                                          \
		.name = "force", .letter = 'f', .type = OPTION_FLAG, .offset = VALUE(force),       \
		.help = text                                                                       \
	}
#define OPTIONS_CREATE                                                                             \
	{ .name = "workspace",                                                                     \
	  .letter = 'w',                                                                           \
	  .type = OPTION_STRING,                                                                   \
	  .offset = VALUE(workspace),                                                              \
	  .arg = "DIR[:ro]",                                                                       \
	  .complete = COMPLETE_DIR,                                                                \
	  .help = "The directory to work on (default: the current one)" },                         \
		{ .name = "name",                                                                  \
		  .type = OPTION_STRING,                                                           \
		  .offset = VALUE(name),                                                           \
		  .arg = "NAME",                                                                   \
		  .help = "Name of the sandbox; makes a further one for the same workspace" },     \
		{ .name = "template",                                                              \
		  .letter = 't',                                                                   \
		  .type = OPTION_STRING,                                                           \
		  .offset = VALUE(template),                                                       \
		  .arg = "TEMPLATE",                                                               \
		  .help = "Root file system: host, dir:PATH or an image (oci:DIR)" },              \
		{ .name = "pull-template",                                                         \
		  .type = OPTION_STRING,                                                           \
		  .offset = VALUE(pull_template),                                                  \
		  .arg = "WHEN",                                                                   \
		  .choices = "always|missing|never",                                               \
		  .help = "When to fetch an image for the template (default missing)" },           \
		OPTION_ENV,                                                                        \
		{ .name = "volume",                                                                \
		  .letter = 'v',                                                                   \
		  .type = OPTION_LIST,                                                             \
		  .offset = VALUE(volume),                                                         \
		  .arg = "HOST:SANDBOX[:ro]",                                                      \
		  .complete = COMPLETE_FILE,                                                       \
		  .help = "Show a file or directory of this machine inside" },                     \
		{ .name = "hide",                                                                  \
		  .type = OPTION_LIST,                                                             \
		  .offset = VALUE(hide),                                                           \
		  .arg = "PATH",                                                                   \
		  .complete = COMPLETE_FILE,                                                       \
		  .help = "A path of the workspace that the agent must not see, such as .env" },   \
		{ .name = "network",                                                               \
		  .type = OPTION_STRING,                                                           \
		  .offset = VALUE(network),                                                        \
		  .arg = "PRESET",                                                                 \
		  .choices = "open|balanced|locked|audit",                                         \
		  .help = "Which names may be reached (default balanced); audit: as open, with a " \
			  "record of what balanced would refuse" },                                \
		{ .name = "allow-host",                                                            \
		  .type = OPTION_LIST,                                                             \
		  .offset = VALUE(allow_host),                                                     \
		  .arg = "RULE",                                                                   \
		  .help = "Also allow these hosts: host[:port], *.host, **.host, CIDR, "           \
			  "localhost:PORT" },                                                      \
		{ .name = "deny-host",                                                             \
		  .type = OPTION_LIST,                                                             \
		  .offset = VALUE(deny_host),                                                      \
		  .arg = "RULE",                                                                   \
		  .help = "Deny these hosts; a denial beats every permission" },                   \
		{ .name = "publish",                                                               \
		  .letter = 'p',                                                                   \
		  .type = OPTION_LIST,                                                             \
		  .offset = VALUE(publish),                                                        \
		  .arg = "[[IP:]HOSTPORT:]PORT",                                                   \
		  .help = "Make a port of the sandbox reachable on this machine" },                \
		{ .name = "kit",                                                                   \
		  .type = OPTION_LIST,                                                             \
		  .offset = VALUE(kit),                                                            \
		  .arg = "DIR|ZIP",                                                                \
		  .complete = COMPLETE_FILE,                                                       \
		  .help = "Add a kit: a mixin, or the definition of the agent" },                  \
		OPTION_KIT_ARG,                                                                    \
		{ .name = "credentials",                                                           \
		  .type = OPTION_STRING,                                                           \
		  .offset = VALUE(credentials),                                                    \
		  .arg = "MODE",                                                                   \
		  .choices = "sandbox|host|none",                                                  \
		  .help = "Log in inside, once for all sandboxes of the agent (sandbox, the "      \
			  "default), use "                                                         \
			  "this machine's login and keys (host), or neither (none)" },             \
		{ .name = "agent-config",                                                          \
		  .type = OPTION_STRING,                                                           \
		  .offset = VALUE(agent_config),                                                   \
		  .arg = "MODE",                                                                   \
		  .choices = "off|readonly|copy",                                                  \
		  .help = "Your own skills and settings for the agent (default readonly)" },       \
		{ .name = "mount-docker-socket",                                                   \
		  .type = OPTION_FLAG,                                                             \
		  .offset = VALUE(docker_socket),                                                  \
		  .help = "Give the sandbox this machine's container engine, and its power" },     \
		{ .name = "recreate",                                                              \
		  .type = OPTION_FLAG,                                                             \
		  .offset = VALUE(recreate),                                                       \
		  .help = "Remove the existing sandbox first, so that new settings apply" },       \
		{ .name = "dry-run",                                                               \
		  .type = OPTION_FLAG,                                                             \
		  .offset = VALUE(dry_run),                                                        \
		  .help = "Print what would be done, and do nothing" },                            \
		OPTION_JSON,                                                                       \
		{ .name = "quiet",                                                                 \
		  .letter = 'q',                                                                   \
		  .type = OPTION_FLAG,                                                             \
		  .offset = VALUE(quiet),                                                          \
		  .help = "No remarks on standard error" },                                        \
		OPTION_DEBUG, OPTION_HELP

static const struct option run_options[] = {
	OPTIONS_CREATE,
	OPTION_DETACH_KEYS,
	OPTION_RAW_TTY,
	{ .name = "detach",
	  .letter = 'd',
	  .type = OPTION_FLAG,
	  .offset = VALUE(detach),
	  .help = "Start the agent in the background and print the name of the sandbox" },
	{ .name = "detached",
	  .type = OPTION_FLAG,
	  .offset = VALUE(detach),
	  .help = "The same as --detach, as Docker's command calls it" },
	{ .name = "rm",
	  .type = OPTION_FLAG,
	  .offset = VALUE(rm),
	  .help = "Remove the sandbox when the agent ends" },
};
static const struct option create_options[] = { OPTIONS_CREATE };
static const struct option exec_options[] = {
	{ .name = "detach",
	  .letter = 'd',
	  .type = OPTION_FLAG,
	  .offset = VALUE(detach),
	  .help = "Run in the background and print the number of the session" },
	{ .name = "interactive",
	  .letter = 'i',
	  .type = OPTION_FLAG,
	  .offset = VALUE(interactive),
	  .help = "Connect standard input" },
	{ .name = "tty",
	  .letter = 't',
	  .type = OPTION_FLAG,
	  .offset = VALUE(tty),
	  .help = "Give the program a terminal" },
	OPTION_ENV,
	{ .name = "user",
	  .letter = 'u',
	  .type = OPTION_STRING,
	  .offset = VALUE(user),
	  .arg = "USER[:GROUP]",
	  .help = "User inside, by name or number (default: the agent)" },
	{ .name = "workdir",
	  .letter = 'w',
	  .type = OPTION_STRING,
	  .offset = VALUE(workspace),
	  .arg = "DIR",
	  .help = "Working directory inside (default: the workspace)" },
	OPTION_DETACH_KEYS,
	OPTION_RAW_TTY,
	OPTION_DEBUG,
	OPTION_HELP,
};
static const struct option attach_options[] = {
	OPTION_DETACH_KEYS,
	OPTION_RAW_TTY,
	OPTION_DEBUG,
	OPTION_HELP,
};
static const struct option listing_options[] = { OPTION_JSON, OPTION_DEBUG, OPTION_HELP };
static const struct option kit_options[] = { OPTION_KIT_ARG, OPTION_JSON, OPTION_DEBUG,
					     OPTION_HELP };
static const struct option ls_options[] = {
	{ .name = "quiet",
	  .letter = 'q',
	  .type = OPTION_FLAG,
	  .offset = VALUE(quiet),
	  .help = "Print only the ids" },
	{ .name = "no-trunc",
	  .type = OPTION_FLAG,
	  .offset = VALUE(no_trunc),
	  .help = "Do not shorten the ids" },
	{ .name = "filter",
	  .type = OPTION_LIST,
	  .offset = VALUE(filter),
	  .arg = "KEY=VALUE",
	  .help = "Only those with this name, id, agent, status, workspace or label" },
	OPTION_JSON,
	OPTION_DEBUG,
	OPTION_HELP,
};
static const struct option inspect_options[] = {
	{ .name = "format",
	  .type = OPTION_STRING,
	  .offset = VALUE(format),
	  .arg = "FORMAT",
	  .choices = "json",
	  .help = "Always JSON; accepted for symmetry" },
	{ .name = "json",
	  .type = OPTION_FLAG,
	  .offset = VALUE(json),
	  .help = "Always JSON; accepted for symmetry" },
	OPTION_DEBUG,
	OPTION_HELP,
};
static const struct option stop_options[] = {
	{ .name = "timeout",
	  .letter = 't',
	  .type = OPTION_STRING,
	  .offset = VALUE(timeout),
	  .arg = "SECONDS",
	  .help = "How long programs may take to end (default 10)" },
	OPTION_DEBUG,
	OPTION_HELP,
};
static const struct option rm_options[] = {
	OPTION_FORCE("Also remove running sandboxes; no question is asked"),
	{ .name = "all",
	  .letter = 'a',
	  .type = OPTION_FLAG,
	  .offset = VALUE(all),
	  .help = "Remove every sandbox" },
	OPTION_DEBUG,
	OPTION_HELP,
};
static const struct option prune_options[] = {
	OPTION_FORCE("No question is asked"),
	{ .name = "dry-run",
	  .type = OPTION_FLAG,
	  .offset = VALUE(dry_run),
	  .help = "Print what would be removed, and remove nothing" },
	{ .name = "filter",
	  .type = OPTION_LIST,
	  .offset = VALUE(filter),
	  .arg = "until=DURATION",
	  .help = "Only those that were not used for this long, such as 168h or 7d" },
	OPTION_DEBUG,
	OPTION_HELP,
};
static const struct option cp_options[] = {
	{ .name = "quiet",
	  .letter = 'q',
	  .type = OPTION_FLAG,
	  .offset = VALUE(quiet),
	  .help = "No remarks on standard error" },
	OPTION_DEBUG,
	OPTION_HELP,
};
static const struct option logs_options[] = {
	{ .name = "follow",
	  .letter = 'f',
	  .type = OPTION_FLAG,
	  .offset = VALUE(follow),
	  .help = "Go on until the session ends" },
	{ .name = "raw",
	  .type = OPTION_FLAG,
	  .offset = VALUE(raw),
	  .help = "Terminal sequences as they were recorded, also on a terminal" },
	OPTION_DEBUG,
	OPTION_HELP,
};
static const struct option ports_options[] = {
	{ .name = "publish",
	  .letter = 'p',
	  .type = OPTION_LIST,
	  .offset = VALUE(publish),
	  .arg = "[[IP:]HOSTPORT:]PORT",
	  .help = "Make a port of the sandbox reachable on this machine" },
	{ .name = "unpublish",
	  .type = OPTION_LIST,
	  .offset = VALUE(unpublish),
	  .arg = "[[IP:]HOSTPORT:]PORT",
	  .help = "Withdraw it, and end its connections" },
	OPTION_JSON,
	OPTION_DEBUG,
	OPTION_HELP,
};
static const struct option template_options[] = {
	{ .name = "platform",
	  .type = OPTION_STRING,
	  .offset = VALUE(platform),
	  .arg = "OS/ARCH",
	  .help = "pull: for another machine, such as linux/arm64" },
	{ .name = "output",
	  .letter = 'o',
	  .type = OPTION_STRING,
	  .offset = VALUE(output),
	  .arg = "FILE",
	  .help = "save: the archive; - is standard output" },
	{ .name = "input",
	  .letter = 'i',
	  .type = OPTION_STRING,
	  .offset = VALUE(input),
	  .arg = "FILE",
	  .help = "load: an OCI archive, or what docker save wrote" },
	{ .name = "tag",
	  .letter = 't',
	  .type = OPTION_STRING,
	  .offset = VALUE(tag),
	  .arg = "NAME",
	  .help = "build: the new template's name" },
	{ .name = "file",
	  .letter = 'f',
	  .type = OPTION_STRING,
	  .offset = VALUE(file),
	  .arg = "FILE",
	  .complete = COMPLETE_FILE,
	  .help = "build: the Dockerfile (default CONTEXT/Dockerfile); - is standard input" },
	{ .name = "build-arg",
	  .type = OPTION_LIST,
	  .offset = VALUE(build_arg),
	  .arg = "NAME[=VALUE]",
	  .help = "build: the value of an ARG; without =, this variable of yours" },
	{ .name = "target",
	  .type = OPTION_STRING,
	  .offset = VALUE(target),
	  .arg = "STAGE",
	  .help = "build: stop after this stage" },
	{ .name = "no-cache",
	  .type = OPTION_FLAG,
	  .offset = VALUE(no_cache),
	  .help = "build: use nothing that was made before" },
	{ .name = "pull",
	  .type = OPTION_FLAG,
	  .offset = VALUE(pull),
	  .help = "build: ask the registry for the images of FROM, also when they are here" },
	{ .name = "network",
	  .type = OPTION_STRING,
	  .offset = VALUE(network),
	  .arg = "PRESET",
	  .choices = "open|balanced|locked|audit",
	  .help = "build: which names programs may reach (default balanced)" },
	{ .name = "allow-host",
	  .type = OPTION_LIST,
	  .offset = VALUE(allow_host),
	  .arg = "RULE",
	  .help = "build: also allow these hosts, as run has it" },
	{ .name = "deny-host",
	  .type = OPTION_LIST,
	  .offset = VALUE(deny_host),
	  .arg = "RULE",
	  .help = "build: never allow these hosts" },
	{ .name = "dry-run",
	  .type = OPTION_FLAG,
	  .offset = VALUE(dry_run),
	  .help = "prune: print what would be removed, and remove nothing" },
	{ .name = "quiet",
	  .letter = 'q',
	  .type = OPTION_FLAG,
	  .offset = VALUE(quiet),
	  .help = "Print digests only" },
	OPTION_JSON,
	OPTION_DEBUG,
	OPTION_HELP,
};
static const struct option policy_options[] = {
	{ .name = "sandbox",
	  .letter = 's',
	  .type = OPTION_STRING,
	  .offset = VALUE(sandbox),
	  .arg = "SANDBOX",
	  .complete = COMPLETE_SANDBOX,
	  .help = "Rules of this sandbox only (default: of every sandbox)" },
	{ .name = "global",
	  .letter = 'g',
	  .type = OPTION_FLAG,
	  .offset = VALUE(global),
	  .help = "Rules of every sandbox; the default, as Docker's command calls it" },
	{ .name = "method",
	  .type = OPTION_STRING,
	  .offset = VALUE(method),
	  .arg = "METHOD[,METHOD]",
	  .help = "allow, deny, rm, check: only these methods of HTTP requests" },
	{ .name = "path",
	  .type = OPTION_STRING,
	  .offset = VALUE(path),
	  .arg = "PATH",
	  .help = "allow, deny, rm, check: only these paths; * is within one segment, ** any "
		  "depth" },
	{ .name = "resource",
	  .type = OPTION_LIST,
	  .offset = VALUE(resource),
	  .arg = "RULE",
	  .help = "rm: the rule, as Docker's command calls it" },
	{ .name = "all",
	  .type = OPTION_FLAG,
	  .offset = VALUE(all),
	  .help = "ls: also the rules of the preset" },
	{ .name = "denied",
	  .type = OPTION_FLAG,
	  .offset = VALUE(denied),
	  .help = "log: only what was refused, or would have been in an audit" },
	{ .name = "host",
	  .type = OPTION_STRING,
	  .offset = VALUE(host),
	  .arg = "PATTERN",
	  .help = "log, learn: only hosts that match, written as in a rule" },
	{ .name = "since",
	  .type = OPTION_STRING,
	  .offset = VALUE(since),
	  .arg = "TIME",
	  .help = "log, learn: only from then on, as 10m or 2026-01-02T03:04:05Z" },
	{ .name = "limit",
	  .type = OPTION_STRING,
	  .offset = VALUE(limit),
	  .arg = "N",
	  .help = "log: only the last N records" },
	{ .name = "apply",
	  .type = OPTION_FLAG,
	  .offset = VALUE(apply),
	  .help = "learn: also allow what is proposed" },
	{ .name = "follow",
	  .letter = 'f',
	  .type = OPTION_FLAG,
	  .offset = VALUE(follow),
	  .help = "log: go on as records come; reset: the same as --force" },
	{ .name = "force",
	  .type = OPTION_FLAG,
	  .offset = VALUE(force),
	  .help = "reset: no question is asked" },
	{ .name = "quiet",
	  .letter = 'q',
	  .type = OPTION_FLAG,
	  .offset = VALUE(quiet),
	  .help = "No remarks on standard error" },
	OPTION_JSON,
	OPTION_DEBUG,
	OPTION_HELP,
};
static const struct option volume_options[] = {
	OPTION_JSON,
	OPTION_FORCE("No question is asked; one that is not there is no error"),
	OPTION_DEBUG,
	OPTION_HELP,
};
static const struct option plain_options[] = { OPTION_HELP };
/* clang-format on */

static const struct verb_example run_examples[] = {
	{ "run claude", "start Claude Code on the current directory" },
	{ "run claude -c", "continue the last conversation: what follows the agent belongs to it" },
	{ "run claude \"Add error handling\"", "start with a prompt" },
	{ "run -w ~/project codex", "work on another directory" },
	{ "run claude . ../docs:ro -- -p hi", "two workspaces, the second one read-only" },
	{ "run shell -- -c 'make test'", "run one shell command in a sandbox" },
};
static const struct verb_example create_examples[] = {
	{ "create --name review claude .", "make a second sandbox for the same directory" },
	{ "create -t dir:/srv/rootfs shell ~/project", "use a root file system of your own" },
};
static const struct verb_example exec_examples[] = {
	{ "exec -it review", "open a login shell in the sandbox" },
	{ "exec review git status", "run a program in the workspace" },
	{ "exec -u root review apt-get update", "run a program as root inside" },
};
static const struct verb_example attach_examples[] = {
	{ "attach review", "go back to the agent after a detach" },
	{ "attach review 2", "attach to session 2" },
};
static const struct verb_example sessions_examples[] = {
	{ "sessions review", "what runs and ran in the sandbox" },
};
static const struct verb_example ls_examples[] = {
	{ "ls", "every sandbox" },
	{ "ls -q --filter status=running", "ids of the running ones" },
	{ "ls --json --filter agent=claude", "for scripts" },
};
static const struct verb_example inspect_examples[] = {
	{ "inspect review", "settings, sessions, and what is really enforced" },
};
static const struct verb_example stop_examples[] = {
	{ "stop review", "end every program in it; the next run starts it again" },
};
static const struct verb_example rm_examples[] = {
	{ "rm review", "delete a stopped sandbox" },
	{ "rm -f review docs", "stop and delete two" },
};
static const struct verb_example prune_examples[] = {
	{ "prune --dry-run", "which stopped sandboxes would go" },
	{ "prune -f --filter until=168h", "delete those that nobody used for a week" },
};
static const struct verb_example cp_examples[] = {
	{ "cp review:/home/agent/report.txt .", "out of the sandbox" },
	{ "cp fixtures/. review:/tmp/fixtures", "the contents of a directory into it" },
	{ "cp review:/var/log - | tar t", "as a tar stream" },
};
static const struct verb_example logs_examples[] = {
	{ "logs review", "output of the newest session" },
	{ "logs -f review 2", "follow session 2" },
};
static const struct verb_example ports_examples[] = {
	{ "ports review", "which ports are published, and where" },
	{ "ports review --publish 8080:3000", "http://localhost:8080 is port 3000 of the sandbox" },
	{ "ports review --publish 3000", "on any free port of this machine" },
	{ "ports review --unpublish 8080:3000", "end that" },
};
static const struct verb_example kit_examples[] = {
	{ "kit ls", "which agents can be run" },
	{ "kit new mytool ~/.config/ward/kits/mytool", "begin a kit of your own" },
	{ "kit validate ./mytool", "check it, with what it extends and mixes in" },
};
static const struct verb_example template_examples[] = {
	{ "template pull python:3-slim", "bring an image here" },
	{ "template build -t mine .", "make one from ./Dockerfile" },
	{ "template build claude", "a template that has Claude Code, from apt and npm" },
	{ "template ls", "what is here, how large it is, and who uses it" },
	{ "template rm python:3-slim", "remove one that no sandbox uses" },
	{ "template save my-sandbox my/tools:1", "a template with what was installed there" },
	{ "template save -o python.tar python:3-slim", "a file for another machine" },
};
static const struct verb_example policy_examples[] = {
	{ "policy allow api.example.com", "for every sandbox, at once also in running ones" },
	{ "policy allow --sandbox review '*.example.org:8443' localhost:5432",
	  "subdomains, and a service of this machine, for one sandbox" },
	{ "policy allow --method GET --path '/repos/**' api.example.com",
	  "only these requests, where HTTP is not encrypted" },
	{ "policy check --sandbox review registry.example.com",
	  "is it allowed, and by which rule" },
	{ "policy ls review", "the rules that count there, and where they come from" },
	{ "policy log -f --denied review", "what is refused there, as it happens" },
	{ "policy learn review", "the rules that would allow what was refused" },
	{ "policy init locked", "nothing but what a kit and your rules allow" },
};
static const struct verb_example volume_examples[] = {
	{ "volume ls", "which agents are logged in" },
	{ "volume rm claude", "log Claude Code out in every sandbox" },
};
static const struct verb_example completion_examples[] = {
	{ "completion bash > ~/.local/share/bash-completion/completions/ward", "install for bash" },
	{ "completion fish > ~/.config/fish/completions/ward.fish", "install for fish" },
};

const struct verb cli_verbs[] = {
	{ .name = "run",
	  .operands = "AGENT|SANDBOX [WORKSPACE[:ro]...] [--] [AGENT_ARG...]",
	  .summary = "Run an agent in the sandbox of a workspace",
	  .text = run_text,
	  TABLE(run_options),
	  EXAMPLES(run_examples),
	  .see_also = "create exec attach stop ls",
	  .exits = VERB_EXITS_PROGRAM,
	  .stop_at_operand = true,
	  .min = 1,
	  .max = UINT_MAX,
	  .complete = COMPLETE_AGENT_OR_SANDBOX,
	  .run = cmd_run },
	{ .name = "create",
	  .operands = "AGENT [WORKSPACE[:ro]...]",
	  .summary = "Make a sandbox without starting the agent",
	  .text = create_text,
	  TABLE(create_options),
	  EXAMPLES(create_examples),
	  .see_also = "run rm",
	  .exits = VERB_EXITS_PROGRAM,
	  .min = 1,
	  .max = UINT_MAX,
	  .complete = COMPLETE_AGENT,
	  .run = cmd_create },
	{ .name = "exec",
	  .operands = "SANDBOX [COMMAND [ARG...]]",
	  .summary = "Run a program in a sandbox",
	  .text = exec_text,
	  TABLE(exec_options),
	  EXAMPLES(exec_examples),
	  .see_also = "run attach sessions",
	  .exits = VERB_EXITS_PROGRAM,
	  .stop_at_operand = true,
	  .min = 1,
	  .max = UINT_MAX,
	  .complete = COMPLETE_SANDBOX,
	  .run = cmd_exec },
	{ .name = "attach",
	  .operands = "SANDBOX [SESSION]",
	  .summary = "Go back to a session",
	  .text = attach_text,
	  TABLE(attach_options),
	  EXAMPLES(attach_examples),
	  .see_also = "sessions logs",
	  .exits = VERB_EXITS_PROGRAM,
	  .min = 1,
	  .max = 2,
	  .complete = COMPLETE_SANDBOX,
	  .run = cmd_attach },
	{ .name = "sessions",
	  .operands = "SANDBOX",
	  .summary = "List the sessions of a sandbox",
	  .text = "Lists the programs that run or ran in a sandbox through Ward.",
	  TABLE(listing_options),
	  EXAMPLES(sessions_examples),
	  .see_also = "attach logs",
	  .exits = VERB_EXITS_LISTING,
	  .min = 1,
	  .max = 1,
	  .complete = COMPLETE_SANDBOX,
	  .run = cmd_sessions },
	{ .name = "ls",
	  .alias = "list",
	  .operands = "",
	  .summary = "List sandboxes",
	  .text = ls_text,
	  TABLE(ls_options),
	  EXAMPLES(ls_examples),
	  .see_also = "inspect",
	  .exits = VERB_EXITS_LISTING,
	  .run = cmd_ls },
	{ .name = "inspect",
	  .operands = "SANDBOX...",
	  .summary = "Show everything about sandboxes as JSON",
	  .text = inspect_text,
	  TABLE(inspect_options),
	  EXAMPLES(inspect_examples),
	  .see_also = "ls sessions",
	  .exits = VERB_EXITS_LISTING,
	  .min = 1,
	  .max = UINT_MAX,
	  .complete = COMPLETE_SANDBOX,
	  .run = cmd_inspect },
	{ .name = "stop",
	  .operands = "SANDBOX...",
	  .summary = "Stop sandboxes and keep their files",
	  .text = stop_text,
	  TABLE(stop_options),
	  EXAMPLES(stop_examples),
	  .see_also = "run rm",
	  .exits = VERB_EXITS_LISTING,
	  .min = 1,
	  .max = UINT_MAX,
	  .complete = COMPLETE_SANDBOX,
	  .run = cmd_stop },
	{ .name = "rm",
	  .operands = "SANDBOX...",
	  .summary = "Delete sandboxes, never the workspace",
	  .text = rm_text,
	  TABLE(rm_options),
	  EXAMPLES(rm_examples),
	  .see_also = "stop prune",
	  .exits = VERB_EXITS_LISTING,
	  .max = UINT_MAX,
	  .complete = COMPLETE_SANDBOX,
	  .run = cmd_rm },
	{ .name = "prune",
	  .operands = "",
	  .summary = "Delete sandboxes that are stopped",
	  .text = prune_text,
	  TABLE(prune_options),
	  EXAMPLES(prune_examples),
	  .see_also = "rm ls",
	  .exits = VERB_EXITS_LISTING,
	  .run = cmd_prune },
	{ .name = "cp",
	  .operands = "SRC DST",
	  .summary = "Copy files into or out of a sandbox",
	  .text = cp_text,
	  TABLE(cp_options),
	  EXAMPLES(cp_examples),
	  .see_also = "exec",
	  .exits = VERB_EXITS_LISTING,
	  .min = 2,
	  .max = 2,
	  .complete = COMPLETE_FILE,
	  .run = cmd_cp },
	{ .name = "logs",
	  .operands = "SANDBOX [SESSION]",
	  .summary = "Print the recorded output of a session",
	  .text = logs_text,
	  TABLE(logs_options),
	  EXAMPLES(logs_examples),
	  .see_also = "sessions attach",
	  .exits = VERB_EXITS_LISTING,
	  .min = 1,
	  .max = 2,
	  .complete = COMPLETE_SANDBOX,
	  .run = cmd_logs },
	{ .name = "ports",
	  .operands = "SANDBOX",
	  .summary = "List, publish and withdraw ports of a sandbox",
	  .text = ports_text,
	  TABLE(ports_options),
	  EXAMPLES(ports_examples),
	  .see_also = "run ls",
	  .exits = VERB_EXITS_LISTING,
	  .min = 1,
	  .max = 1,
	  .complete = COMPLETE_SANDBOX,
	  .run = cmd_ports },
	{ .name = "kit",
	  .operands = "ls | inspect NAME | validate DIR|FILE|ZIP|NAME | new NAME [DIR]",
	  .summary = "List, check and begin agent definitions",
	  .text = kit_text,
	  TABLE(kit_options),
	  EXAMPLES(kit_examples),
	  .see_also = "run",
	  .exits = VERB_EXITS_THINGS,
	  .min = 1,
	  .max = 3,
	  .words = "ls|inspect|validate|new",
	  .agent_after = "inspect",
	  .run = cmd_kit },
	{ .name = "template",
	  .operands = "pull IMAGE | push TEMPLATE [IMAGE] | ls | inspect TEMPLATE... | rm "
		      "TEMPLATE... | prune | build AGENT | build -t NAME CONTEXT | save SANDBOX "
		      "NAME | save -o "
		      "FILE TEMPLATE | load -i "
		      "FILE [NAME]",
	  .summary = "Manage the images that sandboxes start from",
	  .text = template_text,
	  TABLE(template_options),
	  EXAMPLES(template_examples),
	  .see_also = "run create",
	  .exits = VERB_EXITS_THINGS,
	  .min = 1,
	  .max = UINT_MAX,
	  .words = "pull|push|ls|inspect|rm|prune|build|save|load",
	  .agent_after = "build",
	  .run = cmd_template },
	{ .name = "policy",
	  .operands = "init [PRESET] | allow RULE... | deny RULE... | rm RULE... | ls [SANDBOX] | "
		      "check HOST[:PORT] | log [SANDBOX] | learn SANDBOX | reset",
	  .summary = "Say which hosts may be reached",
	  .text = policy_text,
	  TABLE(policy_options),
	  EXAMPLES(policy_examples),
	  .see_also = "run inspect",
	  .exits = VERB_EXITS_THINGS,
	  .min = 1,
	  .max = UINT_MAX,
	  .words = "init|allow|deny|rm|ls|check|log|learn|reset",
	  .run = cmd_policy },
	{ .name = "volume",
	  .operands = "ls | rm AGENT...",
	  .summary = "List the agents' logins, or log out",
	  .text = volume_text,
	  TABLE(volume_options),
	  EXAMPLES(volume_examples),
	  .see_also = "run kit",
	  .exits = VERB_EXITS_THINGS,
	  .min = 1,
	  .max = UINT_MAX,
	  .words = "ls|rm",
	  .run = cmd_volume },
	{ .name = "version",
	  .operands = "",
	  .summary = "Print the version",
	  .text = "Prints the version of Ward.",
	  TABLE(listing_options),
	  .see_also = "help",
	  .exits = VERB_EXITS_THINGS,
	  .no_engine = true,
	  .run = cmd_version },
	{ .name = "completion",
	  .operands = "bash|zsh|fish",
	  .summary = "Print a completion script for a shell",
	  .text = completion_text,
	  TABLE(plain_options),
	  EXAMPLES(completion_examples),
	  .see_also = "help",
	  .exits = VERB_EXITS_THINGS,
	  .no_engine = true,
	  .min = 1,
	  .max = 1,
	  .words = "bash|zsh|fish",
	  .run = cmd_completion },
	{ .name = "help",
	  .operands = "[COMMAND]",
	  .summary = "Show help",
	  .text = "Shows the list of commands, or the help of one.",
	  TABLE(plain_options),
	  .see_also = "version",
	  .exits = VERB_EXITS_THINGS,
	  .no_engine = true,
	  .max = 1,
	  .complete = COMPLETE_VERB,
	  .run = cmd_help },
};
const size_t cli_nverbs = ARRAY_SIZE(cli_verbs);

static const struct exit_text exit_texts[VERB_EXITS_MAX][8] = {
	[VERB_EXITS_LISTING] = { { "0", "done" },
				 { "1", "there is no such sandbox" },
				 { "2", "the command line is wrong" },
				 { "125", "Ward failed; the reason is on standard error" } },
	[VERB_EXITS_THINGS] = { { "0", "done" },
				{ "1", "there is nothing of that name" },
				{ "2", "the command line is wrong" },
				{ "125", "Ward failed; the reason is on standard error" } },
	[VERB_EXITS_PROGRAM] = { { "N", "the exit code of the program in the sandbox" },
				 { "128+N", "the program was ended by signal N" },
				 { "2", "the command line is wrong" },
				 { "125", "Ward failed; the reason is on standard error" },
				 { "126", "the program cannot be executed" },
				 { "127", "the program was not found in the sandbox" } },
};

const struct exit_text *cli_exit_texts(enum verb_exits x)
{
	return exit_texts[x];
}

const struct verb *cli_verb_find(const char *name)
{
	for (size_t i = 0; i < cli_nverbs; i++) {
		const struct verb *v = &cli_verbs[i];

		if (strcmp(v->name, name) == 0 || (v->alias && strcmp(v->alias, name) == 0))
			return v;
	}
	return NULL;
}
