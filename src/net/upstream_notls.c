/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_notls: in the place of upstream_tls.c, for the ward-proxy that needs no TLS library.
 * ward-proxy-tls has the other one, and this stays in the archive.
 */
#include <errno.h>

#include "net/net_internal.h"

int upstream_tls_new(const char *ca, struct upstream_tls **ret, struct err *e)
{
	(void)ca;
	(void)ret;
	return err_set(e, ERR_SYSTEM, -ENOTSUP, "proxy: TLS to a proxy is ward-proxy-tls's");
}

void upstream_tls_free(struct upstream_tls *t)
{
	(void)t;
}

struct upstream_handshake *upstream_tls_start(struct loop *loop, struct upstream_tls *t,
					      const char *host, int fd, upstream_tls_fn *fn,
					      void *arg)
{
	(void)loop;
	(void)t;
	(void)host;
	(void)fd;
	(void)fn;
	(void)arg;
	return NULL; /* without a struct upstream_tls nobody gets here */
}

void upstream_tls_cancel(struct upstream_handshake *h)
{
	(void)h;
}
