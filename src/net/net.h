/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net: the proxy, a box's only way out to the network; and the relay of published ports, its only
 * way in.
 *
 * It runs on the host, one process per running box, started by the supervisor with an empty
 * environment and a SOCK_SEQPACKET on fd 3 (base/wire.h, enum proxy_wire).  It is linked into
 * ward-proxy only.
 */
#ifndef WARD_NET_NET_H
#define WARD_NET_NET_H

#include "base/err.h"

/* The descriptor on which the supervisor talks to the proxy. */
enum { NET_WIRE_FD = 3 };

/*
 * Serve until the supervisor closes its end.  Receives listeners, rules and the log, confines the
 * process, answers PROXY_WIRE_READY (or PROXY_WIRE_FAILED, and then returns -errno), serves.
 * Returns 0 after the end of file on wire_fd.
 */
int net_proxy_serve(int wire_fd, struct err *e);
/*
 * ward-ports, in the same way (enum ports_wire): relay connections from listeners of this machine
 * to the box until the supervisor or init closes its end.
 */
int net_ports_serve(int wire_fd, struct err *e);

#endif
