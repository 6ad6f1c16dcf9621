/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports_main: the executable ward-ports.  It has no command line and no environment; everything
 * comes from the supervisor (net/net.h).
 */
#include "net/net.h"

int main(void)
{
	struct err e = ERR_INIT;

	return net_ports_serve(NET_WIRE_FD, &e) == 0 ? 0 : 1;
}
