/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_cp: copy between this machine and a sandbox.
 */
#include <errno.h>

#include "cli/cli_internal.h"

int cmd_cp(struct cli *c, struct err *e)
{
	(void)c;
	return err_set(e, ERR_SYSTEM, -ENOSYS, "cp: under construction");
}
