/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ward-init: the executable that is PID 1 of a box; see init.c.  It is linked statically, because
 * there is no library of the host inside, and none of the box may be trusted.
 */
#include "supervise/supervise.h"

int main(int argc, char **argv)
{
	return init_main(argc, argv);
}
