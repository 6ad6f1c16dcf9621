/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main: choose the role from argv[0]; nothing else.
 *
 * One executable has three roles: the command line, the Docker CLI's plugin (the same file, called
 * docker-sandbox), and the supervisor of a running box (this program, executed again by
 * supervise_start from a sealed copy).
 */
#include <string.h>

#include "cli/cli.h"
#include "supervise/supervise.h"

int main(int argc, char **argv)
{
	const char *name = argc > 0 ? argv[0] : "";
	const char *slash = strrchr(name, '/');

	if (strcmp(name, SUPERVISE_ARGV0) == 0)
		return supervisor_main(argc, argv);
	if (strcmp(slash ? slash + 1 : name, "docker-sandbox") == 0)
		return cli_plugin_main(argc, argv);
	return cli_main(argc, argv);
}
