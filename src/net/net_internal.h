/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_internal: what the files of net/ share.
 *
 *   tls_hello.c, dns.c, dns_serve.c, hosts.c, forward.c   pure: bytes in, a value or a refusal out
 *   names.c     pure: which synthetic address stands for which name
 *   resolve.c   names to addresses, asynchronously
 *   own_address.c  is an address the host's own?
 *   dial.c      decide, resolve, decide again on every address, connect
 *   connect.c   to the first of some addresses that takes a connection
 *   upstream.c  through a proxy of the user's company, when there is one
 *   upstream_talk.c  what is said to it, and what its answers mean; pure
 *   upstream_tls.c   TLS to it, in ward-proxy-tls; upstream_notls.c in ward-proxy
 *   flow.c      one direction of bytes between two sockets, with back-pressure
 *   conn.c      one connection of the box: its requests and its states
 *   relay.c     the bytes of an exchange or a tunnel
 *   transparent.c  the beginning of a connection that was redirected to us
 *   stub.c      the box's name server
 *   proxy.c     listeners, the supervisor's messages, limits
 *   program.c   which program of the box has a connection
 *   notices.c   refusals, for whoever is attached
 *   log.c       records, and the texts of denials
 *   ports.c     ward-ports: from listeners of the host into the box
 *   confine.c   what the process takes away from itself
 */
#ifndef WARD_NET_NET_INTERNAL_H
#define WARD_NET_NET_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/http1.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/proxy.h"
#include "base/wire.h"
#include "policy/policy.h"

/* --- tls_hello.c ----------------------------------------------------------------------------- */

enum { TLS_HELLO_MAX = 16384, TLS_HELLO_FIRST_BYTE = 0x16 };
struct tls_hello {
	char sni[POLICY_HOST_MAX + 3]; /* as sent; NUL added */
	size_t sni_len;		       /* 0: none */
	bool ech;		       /* an encrypted ClientHello, real or imitated */
};
/*
 * The first bytes of a client. 1: a whole ClientHello, *ret filled. 0: more bytes are needed.
 * -EBADMSG: no ClientHello, or one that does not fit TLS_HELLO_MAX.
 */
int tls_hello_parse(const uint8_t *bytes, size_t n, struct tls_hello *ret);

/* --- dns.c ----------------------------------------------------------------------------------- */

enum {
	DNS_TYPE_A = 1,
	DNS_TYPE_AAAA = 28,
	DNS_RCODE_NXDOMAIN = 3,
	DNS_NAME_MAX = 254, /* as text, with its end; 255 in a message */
	DNS_QUERY_MAX = 12 + DNS_NAME_MAX + 1 + 4 + 11,
	DNS_ADDRESSES_MAX = 16,
};
struct dns_address {
	bool v6;
	uint8_t bytes[16];
};
struct dns_answer {
	unsigned rcode;
	bool truncated;
	uint32_t ttl; /* seconds; UINT32_MAX when there is no record */
	size_t count;
	struct dns_address addr[DNS_ADDRESSES_MAX];
};
/* A recursive query with EDNS. name: canonical (policy_host_parse). -EINVAL. */
int dns_query_build(uint16_t id, const char *name, uint16_t type, uint8_t out[static DNS_QUERY_MAX],
		    size_t *ret_n);
/* The answer to exactly that query, else -EBADMSG. */
int dns_answer_parse(const uint8_t *msg, size_t n, uint16_t id, const char *name, uint16_t type,
		     struct dns_answer *ret);

/*
 * The name at `at` in lower case with dots, "" for the root; returns the offset behind it in the
 * message, 0 when it is bad.  Bytes that no host name has are kept out by refusing dots and NULs
 * inside labels: the text would be ambiguous.
 */
size_t dns_read_name(const uint8_t *msg, size_t n, size_t at, char out[static DNS_NAME_MAX]);

/* --- dns_serve.c ----------------------------------------------------------------------------- */

enum {
	DNS_TYPE_PTR = 12,
	DNS_TYPE_IXFR = 251,
	DNS_TYPE_AXFR = 252,
	DNS_CLASS_IN = 1,
	DNS_RCODE_FORMERR = 1,
	DNS_RCODE_SERVFAIL = 2,
	DNS_RCODE_NOTIMP = 4,
	DNS_RCODE_REFUSED = 5,
	DNS_RCODE_BADVERS = 16,
	DNS_QUESTION_MAX = DNS_NAME_MAX + 1 + 4,
	DNS_WHY_MAX = 100,
	DNS_REPLY_MAX = 512,
};
/* A query. What a parser could not read of it stays zero: it can be answered all the same. */
struct dns_question {
	uint16_t id, flags;
	char name[DNS_NAME_MAX]; /* lower case, "" is the root */
	uint16_t type, class;
	bool edns;
	unsigned edns_version;
	size_t size; /* of the question as it came */
	uint8_t bytes[DNS_QUESTION_MAX];
};
/*
 * 0; -EBADMSG: to be answered with FORMERR; -EOPNOTSUPP: with NOTIMP; -ENOMSG: not to be answered
 * (nothing else writes no *ret).
 */
int dns_question_parse(const uint8_t *msg, size_t n, struct dns_question *ret);
struct dns_reply {
	unsigned rcode;
	uint32_t ttl;
	const struct dns_address *address; /* the record of an A or AAAA answer, */
	const char *name;		   /* or of a PTR answer; both NULL: none */
	const char *why;		   /* of a refusal, or NULL */
};
/* The answer; returns its size. */
size_t dns_reply_build(const struct dns_question *q, const struct dns_reply *r,
		       uint8_t out[static DNS_REPLY_MAX]);
/* The address that a name below in-addr.arpa or ip6.arpa stands for. */
bool dns_reverse_parse(const char *name, struct dns_address *ret);

/* --- names.c --------------------------------------------------------------------------------- */

enum { NAMES_MAX = 4096 };
struct names;
struct names *names_new(void);
void names_free(struct names *t); /* takes NULL */
/* The number of a canonical name, which it keeps as long as there is room. -ENOSPC. */
int names_give(struct names *t, const char *name, uint32_t *ret_number);
/* The name, or NULL; valid until the next names_give. */
const char *names_find(const struct names *t, uint32_t number);
/* A connection uses it: it is not given to another name. */
void names_hold(struct names *t, uint32_t number);
void names_release(struct names *t, uint32_t number);
/* Numbers and addresses (4 or 16 bytes); false: the address is not one of a name. */
void names_address(uint32_t number, bool v6, uint8_t ret[static 16]);
bool names_number(bool v6, const uint8_t *addr, uint32_t *ret);
/* Is it inside the block that the addresses are from? */
bool names_is_box_network(bool v6, const uint8_t *addr);

/* --- hosts.c --------------------------------------------------------------------------------- */

enum { RESOLV_SERVERS_MAX = 3 };
struct resolv_conf {
	size_t n;
	struct sockaddr_storage server[RESOLV_SERVERS_MAX];
};
/* Name servers of a resolv.conf(5); without any, the one on loopback as that page says. */
void resolv_conf_parse(const char *text, size_t n, struct resolv_conf *ret);
/* Addresses of a name in a hosts(5) file; returns how many. */
size_t hosts_lookup(const char *text, size_t n, const char *name, struct dns_answer *ret);

/* --- forward.c ------------------------------------------------------------------------------- */

struct forward {
	bool connect;
	struct policy_host host;
	uint16_t port;
	int minor;	 /* of the client's HTTP version */
	bool head;	 /* HEAD: the response has no body */
	bool websocket;	 /* Upgrade: websocket was asked for and is passed on */
	bool keep_alive; /* the client may send another request */
	bool wants_json; /* for our own answers */
	enum http1_body body;
	uint64_t content_length;
};
/*
 * A parsed request to the proxy -> where it goes, and (unless CONNECT) the head for the origin.
 * 0, or -EINVAL with e and the HTTP status to answer with; keep_alive, head and wants_json of *ret
 * are filled in any case.
 */
int forward_request(const struct http1_head *h, struct forward *ret, struct buf *ret_head,
		    int *ret_status, struct err *e);
/*
 * The same for a request that was not meant for a proxy, on a connection to that host and port: its
 * target is a path, and Host must mean them.
 */
int forward_origin_request(const struct http1_head *h, const struct policy_host *host,
			   uint16_t port, struct forward *ret, struct buf *ret_head,
			   int *ret_status, struct err *e);
/* What body follows a response head for that request. */
enum http1_body forward_response_body(const struct http1_head *h, const struct forward *f);
/* The head for the client. keep: the connection stays open afterwards. */
void forward_response(const struct http1_head *h, const struct forward *f, bool keep,
		      struct buf *out);

/* --- resolve.c ------------------------------------------------------------------------------- */

struct resolver;
struct lookup;
/* r: 0 and addresses, or -ENOENT (no such name), -ENODATA (no address), -ETIMEDOUT, -EIO. */
typedef void resolve_fn(int r, const struct dns_answer *answer, void *arg);

int resolver_new(struct loop *loop, struct resolver **ret, struct err *e);
void resolver_free(struct resolver *r); /* takes NULL; no lookup may be under way */
/* Look up a canonical name; fn is called once, never from within this call. */
struct lookup *resolve_start(struct resolver *r, const char *name, resolve_fn *fn, void *arg);
void resolve_cancel(struct lookup *l); /* takes NULL; fn is not called */

/* --- own_address.c --------------------------------------------------------------------------- */

int own_address_open(int *ret_fd, struct err *e);
/* Also when the kernel cannot be asked: the policy then needs a rule for exactly that address. */
bool own_address_is(int fd, const struct sockaddr *addr);

/* --- connect.c ------------------------------------------------------------------------------- */

struct connecting;
/* error: 0 and a connected fd, non-blocking, owned by the callee; else fd is -1. */
typedef void connect_fn(int fd, const struct sockaddr_storage *addr, int error, void *arg);
/* addr: of n >= 1 addresses the first that takes a connection. fn is called once, never from within
 * this call. */
struct connecting *connect_start(struct loop *loop, const struct sockaddr_storage *addr, size_t n,
				 connect_fn *fn, void *arg);
void connect_cancel(struct connecting *c); /* takes NULL; fn is not called */
/* 4 or 16 bytes and a port as a socket address. */
void connect_address(bool v6, const uint8_t *bytes, uint16_t port, struct sockaddr_storage *ret);

/* --- dial.c ---------------------------------------------------------------------------------- */

enum dial_outcome {
	DIAL_CONNECTED,
	DIAL_DENIED,
	DIAL_NO_NAME,
	DIAL_FAILED,
	DIAL_TIMEOUT,
	DIAL_OUTCOME_MAX
};
struct upstream_way;
struct dial_result {
	enum dial_outcome outcome;
	int fd; /* connected, non-blocking, owned by the callee; else -1 */
	/* Also the address that was denied. AF_UNSPEC: a proxy of the company knows it. */
	struct sockaddr_storage peer;
	const struct upstream_way *via; /* that proxy; lives as long as ours */
	bool forward;			/* and it reads the request: see upstream_request */
	struct policy_verdict verdict;
	char reason[200]; /* one clause; "" when connected */
};
typedef void dial_fn(const struct dial_result *result, void *arg);

struct proxy;
struct dial;
/* fn is called once, never from within this call. q: NULL where nothing is looked into; what it
 * points to stays until then. forward: the request may be read by an HTTP proxy on the way. */
struct dial *dial_start(struct proxy *p, const struct policy_host *host, uint16_t port,
			const struct policy_request *q, bool forward, dial_fn *fn, void *arg);
void dial_cancel(struct dial *d); /* takes NULL; fn is not called */
/* May a connection that was made under earlier rules go on? */
bool dial_still_allowed(const struct proxy *p, const struct policy_host *host, uint16_t port,
			const struct policy_request *q, const struct sockaddr_storage *peer,
			struct policy_verdict *ret);

/* --- upstream_talk.c ------------------------------------------------------------------------- */

struct upstream_talk {
	const struct proxy_url *url;
	const struct policy_host *host;
	uint16_t port;
	enum { UPSTREAM_METHODS, UPSTREAM_LOGIN, UPSTREAM_CONNECT, UPSTREAM_OPEN } step;
	char reason[160]; /* after a refusal: what the proxy does, as "refuses it" */
};
void upstream_talk_begin(struct upstream_talk *t, const struct proxy_url *url,
			 const struct policy_host *host, uint16_t port);
/* Append what is to be said in this step. */
void upstream_say(const struct upstream_talk *t, struct buf *out);
/*
 * What it answered so far.  0: more is needed.  > 0: so many bytes are an answer, and there is a
 * next step.  -ECONNREFUSED or -ETIMEDOUT: it does not want to; -EPROTO: it speaks something else.
 */
int upstream_hear(struct upstream_talk *t, const char *bytes, size_t n);
/* The head of a request (forward.c's) as an HTTP proxy wants it. */
void upstream_forward_head(const struct proxy_url *url, const struct policy_host *host,
			   uint16_t port, const struct buf *head, struct buf *out);

/* --- upstream.c ------------------------------------------------------------------------------ */

struct upstream;
/* text: proxies_write's. Before the process confines itself: may read certificates. */
int upstream_new(const char *text, size_t n, struct upstream **ret, struct err *e);
void upstream_free(struct upstream *u); /* takes NULL */
/* The proxy for a connection, or NULL. u may be NULL. */
const struct upstream_way *upstream_for(const struct upstream *u, const struct policy_host *host,
					uint16_t port, const struct policy_request *q);
/* Is a proxy the one to look the name up? */
bool upstream_resolves(const struct upstream *u, const struct policy_host *host);
/* For records and people: without user and password. */
const char *upstream_name(const struct upstream_way *w);
/* Does it read requests of plain HTTP? */
bool upstream_forwards(const struct upstream_way *w);
/* Append the head of a request as it wants it. */
void upstream_request(const struct upstream_way *w, const struct policy_host *host, uint16_t port,
		      const struct buf *head, struct buf *out);

struct upstream_dial;
typedef void upstream_fn(enum dial_outcome outcome, int fd, const char *reason, void *arg);
/* A way for bytes through the proxy, or, with forward, to it. As dial_start. */
struct upstream_dial *upstream_dial_start(struct proxy *p, const struct upstream_way *way,
					  const struct policy_host *host, uint16_t port,
					  bool forward, upstream_fn *fn, void *arg);
void upstream_dial_cancel(struct upstream_dial *d); /* takes NULL; fn is not called */

/* --- upstream_tls.c -------------------------------------------------------------------------- */

struct upstream_tls;
/* ca: a file with more authorities to trust, or NULL. */
int upstream_tls_new(const char *ca, struct upstream_tls **ret, struct err *e);
void upstream_tls_free(struct upstream_tls *t); /* takes NULL; ends what goes through it */
struct upstream_handshake;
/* fd: a socket to speak to as if there were no TLS, owned by the callee; -1: *why not. */
typedef void upstream_tls_fn(int fd, const char *why, void *arg);
/* Takes fd. fn is called once, never from within this call; afterwards the result is forgotten. */
struct upstream_handshake *upstream_tls_start(struct loop *loop, struct upstream_tls *t,
					      const char *host, int fd, upstream_tls_fn *fn,
					      void *arg);
void upstream_tls_cancel(struct upstream_handshake *h); /* takes NULL; fn is not called */

/* --- flow.c ---------------------------------------------------------------------------------- */

/* A socket and what the loop watches it for. */
struct end {
	int fd;
	uint32_t want;
	struct loop_source *source;
};
void end_close(struct loop *loop, struct end *end);
/* Watch for these events from now on; 0 keeps only the notice of a dead peer. */
void end_want(struct loop *loop, struct end *end, uint32_t events, loop_fd_fn *fn, void *arg);
/* Stop watching until the next end_want with other events. */
void end_unwatch(struct loop *loop, struct end *end);

enum { FLOW_CHUNK = 65536 };
enum { PIPES_MAX = 64 };
struct pipe {
	int fd[2];
	struct pipe *next;
	struct pipes *pool;
};
struct pipes {
	struct pipe *free;
	size_t n; /* of all, lent ones too */
};
void pipes_free(struct pipes *pool); /* none may be lent */
/* One direction: what was read from one socket and is not yet written to the other. */
struct flow {
	enum http1_body frame; /* what the bytes are; UNTIL_CLOSE for raw ones */
	uint64_t left;	       /* HTTP1_BODY_LENGTH: bytes of the message still to come */
	struct http1_chunked chunked;
	struct buf pending;
	struct pipe *pipe; /* while bytes are in it: */
	size_t piped;
	bool bulk;	/* so much comes that a pipe pays */
	uint64_t bytes; /* taken in, for the record */
	bool done;	/* the message (or the stream) has been read to its end */
};
void flow_free(struct flow *f);
void flow_begin(struct flow *f, enum http1_body frame, uint64_t length);
bool flow_pending(const struct flow *f); /* something is not yet written */
void flow_drop(struct flow *f);		 /* nor will be */
bool flow_wants(const struct flow *f);	 /* room for more */
bool flow_drained(const struct flow *f); /* done, and everything written */
/*
 * Take bytes that belong to the flow: written to `to` at once as far as it takes them (-1: kept).
 * Returns how many belonged to it (fewer than n when the message ended), or -errno.
 */
int64_t flow_take(struct flow *f, int to, const char *bytes, size_t n);
/*
 * May the next bytes be spliced? Then flow_splice comes next: what splice(2) returned for reading;
 * *ret_error: a failure to write, -errno or 0.
 */
bool flow_splices(struct flow *f, struct pipes *pool);
ssize_t flow_splice(struct flow *f, int from, int to, int *ret_error);
/* Append bytes of our own (heads). */
void flow_put(struct flow *f, const char *bytes, size_t n);
/* Write what is pending; 0 (perhaps not all) or -errno. */
int flow_flush(struct flow *f, int to);

/* --- program.c ------------------------------------------------------------------------------- */

struct proxy;
struct program {      /* as init says; for people, and for no decision */
	uint32_t pid; /* inside; 0: not known */
	char *exe;    /* any bytes */
	size_t exe_len;
};
struct programs;
struct program_ask;
/* who: NULL when it is not known. */
typedef void program_fn(const struct program *who, void *arg);

struct programs *programs_new(struct proxy *p, int init_fd); /* owns the socket to init */
void programs_free(struct programs *all);		     /* takes NULL; answers what is asked */
void programs_watch(struct programs *all);
/*
 * Whose socket is at the other end of the accepted connection fd, or, when from is given, sent a
 * datagram from there? NULL: nobody will know. Else fn is called once, soon, never from within this
 * call.
 */
struct program_ask *program_ask(struct proxy *p, int fd, const struct sockaddr_storage *from,
				program_fn *fn, void *arg);
void program_forget(struct program_ask *a); /* takes NULL; fn is not called any more */
/* A record that waits for the answer; taken over. */
void program_record(struct program_ask *a, struct json *record);

/* --- log.c ----------------------------------------------------------------------------------- */

struct record {
	const char *what;	     /* "connect" or the request's kind */
	const char *host;	     /* canonical, or what the box wrote, escaped */
	const struct sockaddr *addr; /* where it led; NULL: nowhere yet */
	uint16_t port;		     /* 0: unknown */
	const char *verdict;	     /* allow, deny, error, bad-request */
	const char *rule, *origin;   /* may be "" */
	const char *reason;
	const char *via; /* the proxy that it went through, or NULL */
	uint64_t bytes_up, bytes_down;
	uint64_t duration_ms;
	const struct program *program; /* NULL: not known, */
	struct program_ask *ask;       /* or not yet; NULL: never */
};
enum { LOG_BYTES_MAX = 4 << 20 };
/* One line, one write. Beyond LOG_BYTES_MAX the supervisor is asked for another file, once; beyond
 * twice as much nothing more is written. */
void log_record(struct proxy *p, const struct record *r);
/* A record that is complete but for its program. */
void log_write(struct proxy *p, struct json *record, const struct program *program);
/* "HOST:PORT" as people write it. */
void log_target(const struct policy_host *host, uint16_t port, struct buf *out);
/* A whole response of our own. target NULL: not about a target. */
struct reply {
	int status;
	const char *error; /* a word for programs: "denied", "bad-request", ... */
	const char *target;
	const char *message;
	const char *rule;
	const char *hint;
	bool keep, json, head, connect;
};
void log_reply(const struct reply *r, struct buf *out);

/* --- conn.c ---------------------------------------------------------------------------------- */

/* Where a redirected connection was meant to go. */
struct original {
	struct policy_host host;
	uint16_t port;
	bool named; /* the host comes from a synthetic address: */
	uint32_t number;
};
struct conn {
	struct proxy *proxy;
	struct conn *prev, *next;
	enum {
		CONN_FIRST,    /* redirected: what does the client begin with? */
		CONN_HEAD,     /* reading a request head */
		CONN_DIAL,     /* on the way to the origin */
		CONN_EXCHANGE, /* a request, and its response or our own */
		CONN_TUNNEL,   /* bytes both ways */
		CONN_WAIT,     /* refused; `then` follows when its program is known */
		CONN_LINGER,   /* all is said; taking what the client still sends, so that it reads
				  the answer before it sees a reset */
	} state;
	struct end client, up;
	size_t held;   /* bytes of the buffers below, as counted last */
	struct buf in; /* read from the client, not yet used */
	struct flow to_up, to_client;
	struct dial *dial;
	struct loop_source *timer;
	struct original *original; /* NULL: the client speaks to us as to a proxy */
	struct program_ask *ask;   /* its program is not known yet, */
	struct program program;	   /* or this */
	void (*then)(struct conn *c);
	const char *refusal; /* of a tunnel that waits */
	uint64_t deadline;   /* in ms of loop_now; 0: none */
	uint64_t active;     /* last time that bytes moved */
	bool first;	     /* no request has been read yet */
	/* the request under way */
	struct forward req;
	struct buf head;     /* for the origin; kept until the request is over */
	struct buf response; /* the origin's head, until it is complete */
	bool target_known;   /* host and port are */
	bool got_head;	     /* the final response head was passed on */
	bool keep;	     /* another request may follow */
	bool hello_pending;  /* the client's first flight was not checked yet */
	bool up_shut, client_shut;
	uint64_t started;
	struct sockaddr_storage peer;
	const struct upstream_way *via; /* through a proxy of the company, or NULL */
	bool forwarded;			/* which reads the request */
	struct policy_verdict verdict;
};
enum {
	CONN_HELLO_MS = 10000,	      /* for the first flight of a tunnel */
	CONN_HALF_CLOSED_MS = 600000, /* a tunnel that only one side still uses, without a byte */
};
struct conn *conn_new(struct proxy *p, int fd);
/* End it now, with a record when a request is under way. */
void conn_abort(struct conn *c, const char *verdict, const char *reason);
/* The rules were replaced: end what they no longer allow. */
void conn_recheck(struct conn *c);

/* For relay.c. Those that return nothing may free c. */
void conn_on_client(int fd, uint32_t events, void *arg);
void conn_on_up(int fd, uint32_t events, void *arg);
void conn_set_deadline(struct conn *c, uint64_t ms); /* from now; 0: none */
void conn_record(struct conn *c, const char *verdict, const char *reason);
void conn_answer_bad(struct conn *c, int status, const char *message);
void conn_answer_failed(struct conn *c, int status, const char *reason);
/* Count what its buffers take, after anything was added to them. */
void conn_account(struct conn *c);
/* End it because there is no memory for what it has sent. */
void conn_refuse_full(struct conn *c);
/* Before a refusal: true when its program is not known yet; `then` follows when it is. */
bool conn_wait(struct conn *c, void (*then)(struct conn *c));
/* The exchange is over: the next request, or the end. */
void conn_next_request(struct conn *c);
/* A record begins here. */
void conn_begin_request(struct conn *c);
/* Parse the request head in `in`, if it is whole. */
void conn_take_head(struct conn *c);
/* On to the origin: decide, resolve, connect. */
void conn_start_dial(struct conn *c);
/* End it with a reset, so that the program notices at once. */
void conn_reset(struct conn *c, const char *verdict, const char *reason);
/* By the policy: with a notice for people as well. */
void conn_reset_denied(struct conn *c);

/* --- transparent.c --------------------------------------------------------------------------- */

/* Where a redirected connection was meant to go; false: the kernel does not know (any more). */
bool transparent_original(int fd, struct sockaddr_storage *ret);
/* A connection that was redirected to us, just accepted. May free c. */
void transparent_begin(struct conn *c);
/* Its first bytes are there to be read. May free c. */
void transparent_read(struct conn *c);

/* --- notices.c ------------------------------------------------------------------------------- */

struct notices;
struct notices *notices_new(struct proxy *p);
void notices_free(struct notices *x); /* takes NULL */
/* Something was refused; for whoever is attached. hint: the command that would allow it, or "". */
void proxy_notice(struct proxy *p, const char *target, const char *reason, const char *hint);

/* --- stub.c ---------------------------------------------------------------------------------- */

struct stub;
struct stub *stub_new(struct proxy *p);
void stub_free(struct stub *s); /* takes NULL */
/* Serve a datagram socket, or accept on a listener; the caller owns it. */
void stub_watch(struct stub *s, struct end *end, bool datagrams);

/* --- relay.c --------------------------------------------------------------------------------- */

/* After anything happened in EXCHANGE or TUNNEL. May free c. */
void conn_step(struct conn *c);
/* Read what there is room for; false: c was freed or changed its state. */
bool conn_read_client(struct conn *c);
bool conn_read_up(struct conn *c);
/*
 * Look at the first flight of TLS in `in`. 1: it is for the host that was asked for. 0: more is
 * needed. -1: refused; *ret_why tells.
 */
int conn_check_hello(const struct conn *c, const char **ret_why);
/* Close a tunnel whose first flight is not what was allowed. May free c. */
void conn_refuse_tunnel(struct conn *c, const char *reason);

/* --- proxy.c --------------------------------------------------------------------------------- */

enum { PROXY_CONNS_MAX = 4096, PROXY_PENDING_MAX = 64, PROXY_LISTENERS_MAX = 8 };
/*
 * Bytes of the buffers of all connections.  Beyond SOFT only SMALL bytes are read at a time, which
 * bounds what slow connections can hold; beyond MAX heads of requests and responses are refused.
 */
enum {
	PROXY_HELD_SOFT = 32 << 20,
	PROXY_HELD_MAX = 64 << 20,
	PROXY_READ_SMALL = 2048,
};
struct proxy {
	struct loop *loop;
	int wire;
	int log; /* -1: no records */
	uint64_t log_bytes;
	bool log_full;		    /* and the supervisor was told */
	char sandbox[64];	    /* its name, for hints; "" when nobody said */
	struct policy_rules *rules; /* NULL denies everything */
	struct resolver *resolver;
	int routes;		   /* own_address_open */
	struct upstream *upstream; /* NULL: none */
	struct listener {
		struct end end;
		enum proxy_entry entry;
		bool datagrams, v6;
	} listeners[PROXY_LISTENERS_MAX];
	size_t nlisteners;
	struct pipes pipes;
	struct programs *programs; /* NULL: none is known */
	int init_fd;		   /* until then */
	struct names *names;
	struct stub *stub;
	char *hostname; /* the box's own, or NULL */
	bool v6;	/* connections over IPv6 come to us, too */
	struct loop_source *accept_timer;
	struct conn *conns;
	size_t nconns;
	size_t held; /* by their buffers */
	struct notices *notices;
	char scratch[FLOW_CHUNK]; /* for reads; empty between events */
};
void proxy_conn_gone(struct proxy *p, struct conn *c);

/* --- confine.c ------------------------------------------------------------------------------- */

/* At the start: dies with the parent, no core, no new privileges, no other descriptor. */
int confine_early(int wire_fd, struct err *e);
/* Before the first byte of the box is read: limits, capabilities, Landlock, seccomp. The proxy
 * makes connections and reads the resolver's configuration; the relay of ports does neither. */
enum confine_role { CONFINE_PROXY, CONFINE_PORTS };
int confine_final(enum confine_role role, struct err *e);

#endif
