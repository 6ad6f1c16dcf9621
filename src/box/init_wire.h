/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init_wire: message types on the socket between the supervisor and PID 1 of its box.
 *
 * The socket is made before the box exists.  While the box is built it carries the types of
 * BOX_WIRE_*; after ward-init has been executed it carries init's own, which begin with its hello.
 * Types 3..99 belong to supervise.
 */
#ifndef WARD_BOX_INIT_WIRE_H
#define WARD_BOX_INIT_WIRE_H

enum {
	INIT_WIRE_FD = 3,     /* init's end of the socket */
	INIT_WIRE_HELLO = 1,  /* init -> supervisor: executed and listening */
	INIT_WIRE_CONFIG = 2, /* supervisor -> init: what it needs to start programs */
};

enum {
	BOX_WIRE_MOUNT = 100, /* supervisor -> child: fds[0] is the id-mapped tree of operation or
				 layer arg */
	BOX_WIRE_GO,	      /* supervisor -> child: the maps are written; apply the plan */
	BOX_WIRE_FDS,	      /* child -> supervisor: fds[0] devpts, fds[1] listener, fds[2] the
				 engine's listener, if there is one */
	BOX_WIRE_NET,	      /* child -> supervisor: the sockets of struct box_net, first those of
				 IPv4; payload: its reason */
	BOX_WIRE_FAILED,      /* child -> supervisor: payload is a struct err */
};

#endif
