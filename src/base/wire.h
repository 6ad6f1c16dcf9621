/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: messages between our own processes over SOCK_SEQPACKET, with file descriptors.
 *
 * One packet is a fixed header followed by at most WIRE_PAYLOAD_MAX bytes.  Bodies that may be
 * larger (a command line, a rule set) travel as sealed memfds.  A packet that is short, over-long,
 * truncated (MSG_TRUNC, MSG_CTRUNC) or carries more descriptors than WIRE_FDS_MAX is -EBADMSG, and
 * its descriptors are closed.  Received descriptors are O_CLOEXEC.
 */
#ifndef WARD_BASE_WIRE_H
#define WARD_BASE_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum { WIRE_PAYLOAD_MAX = 32768, WIRE_FDS_MAX = 8 };

struct wire_header {
	uint16_t type;
	uint16_t flags;
	uint32_t arg; /* meaning depends on the type */
};

struct wire_msg {
	struct wire_header h;
	size_t len;
	char data[WIRE_PAYLOAD_MAX + 1]; /* NUL added behind len */
	int fds[WIRE_FDS_MAX];
	size_t nfds;
};

/* socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC). */
int wire_pair(int ret[2], struct err *e);
/* 0, -EAGAIN (non-blocking socket is full), -EPIPE, or another -errno. Never raises SIGPIPE. */
int wire_send(int fd, uint16_t type, uint32_t arg, const void *payload, size_t n, const int *fds,
	      size_t nfds);
/* 1: a message. 0: end of file. -EAGAIN, -EBADMSG or another -errno. Fill *m completely. */
int wire_recv(int fd, struct wire_msg *m);
/* Take descriptor i out of the message (the caller owns it), or -1. */
int wire_take_fd(struct wire_msg *m, size_t i);
/* Close what was not taken. */
void wire_msg_clear(struct wire_msg *m);

/* supervisor -> proxy and back; the proxy's end is fd 3. */
enum proxy_wire {
	PROXY_WIRE_LISTEN = 1, /* fds[0]: socket inside the box; arg: enum proxy_entry */
	PROXY_WIRE_RULES,  /* fds[0]: sealed memfd with a rule set (policy_rules_read); replaces all
			    */
	PROXY_WIRE_LOG,	   /* fds[0]: append-only file for connection records; payload: the name of
			      the sandbox, for what people are told */
	PROXY_WIRE_GO,	   /* everything given: confine yourself and serve */
	PROXY_WIRE_READY,  /* proxy -> supervisor: confined and serving */
	PROXY_WIRE_FAILED, /* proxy -> supervisor: payload is a struct err */
	PROXY_WIRE_DENIED, /* proxy -> supervisor, for the user's terminal; arg: how often since the
			      last time; payload: target, reason and the command that would allow it
			      or nothing, each with a NUL */
	PROXY_WIRE_TAKEN,  /* proxy -> supervisor, after READY: new RULES or LOG are in force; arg:
			      the type of the message */
	PROXY_WIRE_LOG_FULL, /* proxy -> supervisor: the log has got long; answered with LOG */
	PROXY_WIRE_HOSTNAME, /* payload: the box's own name */
	PROXY_WIRE_INIT,     /* fds[0]: a socket to init (enum program_wire); without it no program
				is known */
	PROXY_WIRE_UPSTREAM, /* fds[0]: sealed memfd with proxies_write's text, passwords included
			      */
};
enum proxy_entry {
	PROXY_ENTRY_EXPLICIT = 0, /* a listener: CONNECT and absolute-form HTTP */
	PROXY_ENTRY_TRANSPARENT,  /* a listener to which connections were redirected */
	PROXY_ENTRY_DNS,	  /* a listener or a datagram socket: queries */
	PROXY_ENTRY_MAX
};

/* supervisor -> ward-ports and back; its end is fd 3 too. */
enum ports_wire {
	PORTS_WIRE_BOX = 1, /* fds[0]: a socket to init; payload: uint64_t, SO_NETNS_COOKIE of the
			       box */
	PORTS_WIRE_GO,	    /* everything given: confine yourself and serve */
	PORTS_WIRE_LISTEN,  /* also later; arg: id; payload: uint16_t, the port inside; fds:
			       listeners of this machine */
	PORTS_WIRE_CLOSE,   /* later; arg: id */
	PORTS_WIRE_READY = 64,
	PORTS_WIRE_FAILED, /* payload is a struct err */
};
/* ward-ports -> init and back. */
enum ports_init_wire {
	PORTS_INIT_CONNECT = 1, /* arg: token; payload: struct ports_target */
	PORTS_INIT_SOCKET, /* arg: that token; fds[0]: connected or on the way; none: refused */
};
struct ports_target {
	uint16_t family; /* AF_INET or AF_INET6: its loopback address */
	uint16_t port;
};

/* ward-proxy -> init and back: whose socket is it? */
enum program_wire {
	PROGRAM_WIRE_ASK = 1, /* arg: token; payload: struct program_socket */
	PROGRAM_WIRE_IS, /* arg: that token; payload: uint32_t pid, then the path of what it runs,
			    cut off at PROGRAM_EXE_MAX bytes; nothing: not known */
};
enum { PROGRAM_EXE_MAX = 512 };
struct program_socket { /* as its program sees it; ports in host order */
	uint16_t family;
	uint16_t protocol; /* IPPROTO_TCP, or IPPROTO_UDP: then only local_port counts */
	uint16_t local_port;
	uint16_t remote_port;
	uint8_t local[16];
	uint8_t remote[16];
};

#endif
