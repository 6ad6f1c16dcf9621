/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin: the Docker CLI's side door, so that `docker sandbox VERB` is `ward VERB`.
 *
 * The Docker CLI finds an executable docker-sandbox in its plugin directories, calls it with
 * `docker-cli-plugin-metadata` and reads one JSON object, and for every use calls it with its own
 * complete arguments: `[docker's options] sandbox VERB ...`.  Docker's options in front of the word
 * `sandbox` choose a daemon or a context; Ward has neither and skips them.  `docker help sandbox
 * [VERB]` arrives as it is written.  `__complete` is the completion protocol of Docker's command
 * line: candidates, then a line with a directive.
 */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/cli_internal.h"

/* Docker's options that take a value as the next word. */
static const char *const with_value[] = {
	"--config", "-c",	   "--context",	  "-H",	       "--host",
	"-l",	    "--log-level", "--tlscacert", "--tlscert", "--tlskey",
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

/* Index of the first word that is no option of Docker's. */
static int skip_docker_options(int argc, char **argv)
{
	int i = 0;

	while (i < argc && argv[i][0] == '-') {
		int step = 1;

		for (size_t k = 0; k < ARRAY_SIZE(with_value); k++) {
			if (strcmp(argv[i], with_value[k]) == 0)
				step = 2;
		}
		i += step;
	}
	return i < argc ? i : argc;
}

/* docker help sandbox [VERB] */
static int help(int argc, char **argv)
{
	static char word[] = "help";
	char *args[] = { word, argc > 2 ? argv[2] : NULL, NULL };

	return cli_run("docker sandbox", argc > 2 ? 2 : 1, args);
}

int cli_plugin_main(int argc, char **argv)
{
	int i;

	fs_fill_stdio();
	if (argc > 1 && strcmp(argv[1], "docker-cli-plugin-metadata") == 0)
		return metadata();
	argc--;
	argv++;
	if (argc > 0 && strcmp(argv[0], "__complete") == 0) {
		auto_buf b = BUF_INIT;
		struct err e = ERR_INIT;

		buf_puts(&b, ":0\n");
		return term_out(&b, &e) < 0 ? CLI_EXIT_FAILED : CLI_EXIT_OK;
	}
	if (argc > 1 && strcmp(argv[0], "help") == 0 && strcmp(argv[1], "sandbox") == 0)
		return help(argc, argv);
	i = skip_docker_options(argc, argv);
	if (i < argc && strcmp(argv[i], "sandbox") == 0)
		i++;
	else
		i = 0; /* started by hand, as docker-sandbox VERB */
	return cli_run("docker sandbox", argc - i, argv + i);
}
