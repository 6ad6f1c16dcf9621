/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin: the Docker CLI's side door, so that `docker sandbox VERB` is `ward VERB`.
 *
 * The Docker CLI finds an executable docker-sandbox in its plugin directories, calls it with
 * `docker-cli-plugin-metadata` and reads one JSON object, and for every use calls it with its own
 * complete arguments: `[docker's options] sandbox VERB ...`.  Docker's options choose a daemon or a
 * context; Ward has neither and skips them, in front of the word `sandbox` and behind it, but for
 * --help and --debug, which mean the same here.  `docker help sandbox [VERB]` arrives as it is
 * written; `__complete sandbox WORDS` is answered by plugin_complete.c.
 *
 * The plugin is a child of the client, in its process group, with the terminal as its own.  Signals
 * of the terminal reach both.  Others reach the client only: newer ones name a socket in
 * DOCKER_CLI_PLUGIN_SOCKET and close it when they are asked to end, or when they die.  The kernel
 * turns that into SIGTERM for us, so that every verb ends as it would have for `kill`.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/cli_internal.h"

/* Docker's options. */
static const struct {
	const char *name;
	bool value; /* it takes the next word, unless that is attached with = */
} docker_table[] = {
	{ "--config", true }, { "--context", true },   { "-c", true },
	{ "--host", true },   { "-H", true },	       { "--log-level", true },
	{ "-l", true },	      { "--tlscacert", true }, { "--tlscert", true },
	{ "--tlskey", true }, { "--tls", false },      { "--tlsverify", false },
	{ "--debug", false }, { "-D", false },	       { "--help", false },
	{ "-h", false },
};

static int metadata(void)
{
	auto_json j = json_object();
	struct err e = ERR_INIT;

	json_set_string(j, "SchemaVersion", "0.1.0");
	json_set_string(j, "Vendor", "The Ward project");
	json_set_string(j, "Version", WARD_VERSION);
	json_set_string(j, "ShortDescription", "Run AI coding agents in isolated sandboxes");
	if (term_out_json(j, &e) < 0) {
		term_error(&e);
		return CLI_EXIT_FAILED;
	}
	return CLI_EXIT_OK;
}

/* What Docker's options in front of the verb ask of us. */
struct docker_options {
	bool help;
	bool debug;
};

/* Number of words of Docker's options at the beginning; strict: of those in the table. */
static int docker_options(int argc, char **argv, bool strict, struct docker_options *o)
{
	int i = 0;

	while (i < argc && argv[i][0] == '-') {
		size_t n = strcspn(argv[i], "=");
		int step = strict ? 0 : 1;

		for (size_t k = 0; k < ARRAY_SIZE(docker_table); k++) {
			if (strlen(docker_table[k].name) == n &&
			    memcmp(argv[i], docker_table[k].name, n) == 0)
				step = docker_table[k].value && !argv[i][n] ? 2 : 1;
		}
		if (step == 0)
			break;
		o->help = o->help || strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
		o->debug =
			o->debug || strcmp(argv[i], "--debug") == 0 || strcmp(argv[i], "-D") == 0;
		i += step;
	}
	return i < argc ? i : argc;
}

/* A client that is older or gone already is none of our business. */
static void follow_client(void)
{
	const char *name = getenv("DOCKER_CLI_PLUGIN_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = name ? strlen(name) : 0;
	char byte;
	int fd;

	if (n == 0 || n >= sizeof(a.sun_path))
		return;
	memcpy(a.sun_path, name, n);
	if (name[0] == '@')
		a.sun_path[0] = '\0'; /* an abstract one */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (struct sockaddr *)&a,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0 ||
	    fcntl(fd, F_SETOWN, getpid()) < 0 || fcntl(fd, F_SETSIG, SIGTERM) < 0 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC) < 0) {
		close(fd);
		return;
	}
	/* Closed before the signal was asked for. */
	if (recv(fd, &byte, 1, MSG_PEEK) == 0)
		(void)raise(SIGTERM);
	/* The descriptor stays open: it is what the signal comes from. */
}

/* docker help sandbox [VERB] */
static int help(const char *verb)
{
	static char word[] = "help";
	auto_free char *copy = verb ? xstrdup(verb) : NULL;
	char *args[] = { word, copy, NULL };

	return cli_run("docker sandbox", verb ? 2 : 1, args);
}

static bool takes_debug(const char *word)
{
	const struct verb *v = cli_verb_find(word);

	for (size_t i = 0; v && i < v->noptions; i++) {
		if (strcmp(v->options[i].name, "debug") == 0)
			return true;
	}
	return false;
}

/* VERB [ARG...], with --debug behind the verb when it stood in front. */
static int run(int argc, char **argv, const struct docker_options *o)
{
	static char debug[] = "--debug";
	auto_free char **args = xcalloc((size_t)argc + 2, sizeof(*args));
	int n = 0;

	if (o->help)
		return help(argc > 0 ? argv[0] : NULL);
	for (int i = 0; i < argc; i++) {
		args[n++] = argv[i];
		if (i == 0 && o->debug && takes_debug(argv[0]))
			args[n++] = debug;
	}
	return cli_run("docker sandbox", n, args);
}

/* The words behind `sandbox`; the last one is being typed. */
static int complete(int argc, char **argv)
{
	struct docker_options o = { 0 };
	auto_buf b = BUF_INIT;
	struct err e = ERR_INIT;
	int i = docker_options(argc, argv, false, &o);

	if (i < argc && strcmp(argv[i], "sandbox") == 0)
		i++;
	cli_plugin_complete(argv + i, (size_t)(argc - i), cli_names, NULL, &b);
	return term_out(&b, &e) < 0 ? CLI_EXIT_FAILED : CLI_EXIT_OK;
}

int cli_plugin_main(int argc, char **argv)
{
	struct docker_options o = { 0 };
	const char *word = argc > 1 ? argv[1] : "";
	int i;

	fs_fill_stdio();
	if (strcmp(word, "docker-cli-plugin-metadata") == 0)
		return metadata();
	if (strcmp(word, "__complete") == 0 || strcmp(word, "__completeNoDesc") == 0)
		return complete(argc - 2, argv + 2);
	follow_client();
	argc--;
	argv++;
	if (argc > 1 && strcmp(word, "help") == 0 && strcmp(argv[1], "sandbox") == 0)
		return help(argc > 2 ? argv[2] : NULL);
	i = docker_options(argc, argv, false, &o);
	if (i < argc && strcmp(argv[i], "sandbox") == 0) {
		i++;
		i += docker_options(argc - i, argv + i, true, &o);
	} else if (!o.help) {
		i = 0; /* started by hand, as docker-sandbox VERB */
	}
	return run(argc - i, argv + i, &o);
}
