/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli: the verbs, as the user types them.
 *
 * A verb is a row of the table in verbs.c: name, options, operands, text for help, man page and
 * completion, and the function that does it (cmd_*.c).  cli.c finds the row, parses the options,
 * calls the function and turns its result into messages and an exit code.  The same table serves
 * `ward VERB` and the Docker CLI plugin `docker sandbox VERB` (plugin.c).
 *
 * cli speaks to struct engine_ops only; it knows nothing of namespaces, sockets or the proxy.
 */
#ifndef WARD_CLI_CLI_H
#define WARD_CLI_CLI_H

/* `ward ...`: returns the exit code. */
int cli_main(int argc, char **argv);

/* `docker-sandbox ...`, called by the Docker CLI: metadata, or `[docker options] sandbox ...`. */
int cli_plugin_main(int argc, char **argv);

#endif
