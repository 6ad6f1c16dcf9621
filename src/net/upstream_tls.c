/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_tls: TLS to a proxy that speaks it.
 *
 * The rest of the program knows sockets.  So it gets one end of a pair of them, and a pump moves
 * bytes between the other end and TLS: each direction has one buffer, which is filled when it is
 * empty only.  The pump lives until both directions have ended, or one of the sockets is gone.
 *
 * It is linked into ward-proxy-tls only, which is taken when there is such a proxy: a start of
 * ward-proxy is not to wait for a TLS library that nobody uses.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/certs.h"
#include "base/mem.h"
#include "net/net_internal.h"

enum { BUFFER_SIZE = 16384, ROUNDS = 16 };

struct upstream_tls {
	SSL_CTX *ctx;
	struct upstream_handshake *pumps;
};

/* Bytes on their way in one direction. */
struct lane {
	char data[BUFFER_SIZE];
	size_t from, to; /* what is not yet written */
	bool ended;	 /* nothing more will be read */
	bool passed_on;	 /* and the other side was told so */
};

struct upstream_handshake {
	struct upstream_tls *tls;
	struct upstream_handshake *prev, *next;
	struct loop *loop;
	struct loop_source *again;
	SSL *ssl;
	struct end outer;    /* the TCP connection */
	struct end inner;    /* our end of the pair */
	int given;	     /* the other one, until it is handed on */
	upstream_tls_fn *fn; /* NULL: the handshake is over */
	void *arg;
	struct lane up, down;
};

/* --- the library ----------------------------------------------------------------------------- */

static int no_tls(struct err *e)
{
	ERR_clear_error();
	return err_set(e, ERR_SYSTEM, -EIO, "proxy: the TLS library cannot be used");
}

static int trust(SSL_CTX *ctx, const char *ca, struct err *e)
{
	for (size_t i = 0; certs_system[i]; i++) {
		if (SSL_CTX_load_verify_file(ctx, certs_system[i]) == 1)
			break;
	}
	ERR_clear_error();
	if (ca != NULL && SSL_CTX_load_verify_file(ctx, ca) != 1) {
		ERR_clear_error();
		return err_set(e, ERR_INPUT, -EINVAL, "certificates %s: none can be read", ca);
	}
	return 0;
}

int upstream_tls_new(const char *ca, struct upstream_tls **ret, struct err *e)
{
	static const unsigned char http[] = "\x08http/1.1";
	struct upstream_tls *t = xcalloc(1, sizeof(*t));
	SSL *first;
	int r;

	t->ctx = SSL_CTX_new(TLS_client_method());
	if (t->ctx == NULL) {
		upstream_tls_free(t);
		return no_tls(e);
	}
	SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_alpn_protos(t->ctx, http, sizeof(http) - 1);
	/* Many servers just close; what is inside has an end of its own. */
	SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					 SSL_MODE_RELEASE_BUFFERS);
	r = trust(t->ctx, ca, e);
	/* What the library does once, it must do before the process confines itself. */
	first = SSL_new(t->ctx);
	if (r == 0 && first == NULL)
		r = no_tls(e);
	SSL_free(first);
	if (r != 0) {
		upstream_tls_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

void upstream_tls_free(struct upstream_tls *t)
{
	if (t == NULL)
		return;
	while (t->pumps != NULL)
		upstream_tls_cancel(t->pumps);
	SSL_CTX_free(t->ctx);
	free(t);
}

/* --- the pump -------------------------------------------------------------------------------- */

void upstream_tls_cancel(struct upstream_handshake *p)
{
	if (p == NULL)
		return;
	if (p->prev != NULL)
		p->prev->next = p->next;
	else
		p->tls->pumps = p->next;
	if (p->next != NULL)
		p->next->prev = p->prev;
	loop_remove(p->loop, p->again);
	SSL_free(p->ssl);
	end_close(p->loop, &p->outer);
	end_close(p->loop, &p->inner);
	if (p->given >= 0)
		close(p->given);
	free(p);
}

static bool is_empty(const struct lane *l)
{
	return l->from == l->to;
}

/* Of a call of the library: may it be made again later? */
static bool waits(const struct upstream_handshake *p, int r)
{
	int why = SSL_get_error(p->ssl, r);

	ERR_clear_error();
	return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

/* From TLS to the inner socket. 1: something moved. 0: nothing. -1: it is over. */
static int move_down(struct upstream_handshake *p)
{
	struct lane *l = &p->down;
	ssize_t n;

	if (is_empty(l) && !l->ended) {
		int r;

		ERR_clear_error();
		r = SSL_read(p->ssl, l->data, BUFFER_SIZE);
		if (r <= 0 && SSL_get_error(p->ssl, r) == SSL_ERROR_ZERO_RETURN)
			l->ended = true;
		else if (r <= 0)
			return waits(p, r) ? 0 : -1;
		l->from = 0;
		l->to = r > 0 ? (size_t)r : 0;
	}
	if (is_empty(l)) {
		if (!l->ended || l->passed_on)
			return 0;
		l->passed_on = true;
		return shutdown(p->inner.fd, SHUT_WR) == 0 ? 1 : -1;
	}
	n = send(p->inner.fd, l->data + l->from, l->to - l->from, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	l->from += (size_t)n;
	return 1;
}

/* From the inner socket to TLS. */
static int move_up(struct upstream_handshake *p)
{
	struct lane *l = &p->up;
	int r;

	if (is_empty(l) && !l->ended) {
		ssize_t n = recv(p->inner.fd, l->data, BUFFER_SIZE, 0);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		l->ended = n == 0;
		l->from = 0;
		l->to = (size_t)n;
	}
	ERR_clear_error();
	if (is_empty(l)) {
		if (!l->ended || l->passed_on)
			return 0;
		l->passed_on = true;
		return SSL_shutdown(p->ssl) >= 0 ? 1 : -1;
	}
	r = SSL_write(p->ssl, l->data + l->from, (int)(l->to - l->from));
	if (r <= 0)
		return waits(p, r) ? 0 : -1;
	l->from += (size_t)r;
	return 1;
}

static void on_end(int fd, uint32_t events, void *arg);

static void watch(struct upstream_handshake *p)
{
	uint32_t outer = 0, inner = 0;

	if (is_empty(&p->down) && !p->down.ended)
		outer |= EPOLLIN;
	if (!is_empty(&p->up))
		outer |= EPOLLOUT;
	if (is_empty(&p->up) && !p->up.ended)
		inner |= EPOLLIN;
	if (!is_empty(&p->down))
		inner |= EPOLLOUT;
	end_want(p->loop, &p->outer, outer, on_end, p);
	end_want(p->loop, &p->inner, inner, on_end, p);
}

/* May free p. */
static void pump(void *arg)
{
	struct upstream_handshake *p = arg;
	int down = 1, up = 1;

	loop_remove(p->loop, p->again);
	p->again = NULL;
	for (int i = 0; i < ROUNDS && (down > 0 || up > 0); i++) {
		down = move_down(p);
		up = down < 0 ? -1 : move_up(p);
		if (up < 0 || (p->down.passed_on && p->up.passed_on)) {
			upstream_tls_cancel(p);
			return;
		}
	}
	watch(p);
	/* Others want their turn; what TLS has read already wakes nobody. */
	if (down > 0 || up > 0)
		p->again = loop_after(p->loop, 0, pump, p);
}

/* --- the handshake --------------------------------------------------------------------------- */

static void failed(struct upstream_handshake *p, const char *why)
{
	upstream_tls_fn *fn = p->fn;
	void *arg = p->arg;

	upstream_tls_cancel(p);
	fn(-1, why, arg);
}

/* May free p. */
static void shake_hands(struct upstream_handshake *p)
{
	upstream_tls_fn *fn = p->fn;
	char why[120];
	int r, error, fd;

	ERR_clear_error();
	r = SSL_connect(p->ssl);
	error = SSL_get_error(p->ssl, r);
	if (r == 1) {
		p->fn = NULL;
		watch(p);
		fd = steal_fd(&p->given);
		fn(fd, NULL, p->arg);
	} else if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		end_want(p->loop, &p->outer, error == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT,
			 on_end, p);
	} else if (SSL_get_verify_result(p->ssl) != X509_V_OK) {
		snprintf(why, sizeof(why), "has a certificate that is not trusted: %s",
			 X509_verify_cert_error_string(SSL_get_verify_result(p->ssl)));
		failed(p, why);
	} else {
		failed(p, "does not speak TLS with us");
	}
	ERR_clear_error();
}

static void on_end(int fd, uint32_t events, void *arg)
{
	struct upstream_handshake *p = arg;
	struct end *end = fd == p->inner.fd ? &p->inner : &p->outer;

	if (p->fn != NULL)
		shake_hands(p);
	else if (end == &p->inner && (events & (EPOLLHUP | EPOLLERR)) != 0 && is_empty(&p->up) &&
		 p->up.ended)
		upstream_tls_cancel(p); /* nobody reads what would still come */
	else if (end->want == 0)
		end_unwatch(p->loop, end);
	else
		pump(p);
}

static bool name_peer(SSL *ssl, const char *host)
{
	struct in6_addr ignored;
	auto_free char *name = xstrdup(host); /* OpenSSL's macro takes no const */

	if (inet_pton(AF_INET, host, &ignored) == 1 || inet_pton(AF_INET6, host, &ignored) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

static void on_begin(void *arg)
{
	struct upstream_handshake *p = arg;

	p->again = NULL;
	if (p->inner.fd < 0 || p->ssl == NULL)
		failed(p, "cannot be spoken to: no memory or descriptors for TLS");
	else
		shake_hands(p);
}

struct upstream_handshake *upstream_tls_start(struct loop *loop, struct upstream_tls *t,
					      const char *host, int fd, upstream_tls_fn *fn,
					      void *arg)
{
	struct upstream_handshake *p = xcalloc(1, sizeof(*p));
	int pair[2] = { -1, -1 };

	p->tls = t;
	p->loop = loop;
	p->fn = fn;
	p->arg = arg;
	p->outer.fd = fd;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		pair[0] = pair[1] = -1;
	p->inner.fd = pair[0];
	p->given = pair[1];
	p->next = t->pumps;
	if (p->next != NULL)
		p->next->prev = p;
	t->pumps = p;
	p->ssl = SSL_new(t->ctx);
	if (p->ssl != NULL && (SSL_set_fd(p->ssl, fd) != 1 || !name_peer(p->ssl, host))) {
		SSL_free(p->ssl);
		p->ssl = NULL;
	}
	p->again = loop_after(loop, 0, on_begin, p);
	return p;
}
