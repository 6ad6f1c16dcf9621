/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_main: the executable ward-proxy.  It has no command line and no environment; everything
 * comes from the supervisor (net/net.h).
 */
#include "net/net.h"

int main(void)
{
	struct err e = ERR_INIT;

	return net_proxy_serve(NET_WIRE_FD, &e) == 0 ? 0 : 1;
}
