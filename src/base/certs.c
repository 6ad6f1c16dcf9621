/* SPDX-License-Identifier: Apache-2.0 */
/* certs: certificates of authorities in files.  See certs.h. */
#include <fcntl.h>
#include <string.h>

#include "base/certs.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"

const char *const certs_system[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
	NULL,
};

int certs_read_file(const char *path, struct buf *out, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	auto_free char *shown = text_escaped(path);
	int r;

	if (fd < 0)
		return err_sys(e, "certificates '%s'", shown);
	r = fs_read_fd(fd, CERTS_FILE_MAX, out, e);
	return r < 0 ? err_prefix(e, "certificates '%s'", shown) : 0;
}

void certs_add(const char *text, size_t n, struct buf *out)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	static const char end[] = "-----END CERTIFICATE-----";
	const char *stop = text + n;

	for (const char *at = text; (at = memmem(at, (size_t)(stop - at), begin, strlen(begin)));) {
		const char *last = memmem(at, (size_t)(stop - at), end, strlen(end));

		if (!last)
			return;
		last += strlen(end);
		buf_add(out, at, (size_t)(last - at));
		buf_putc(out, '\n');
		at = last;
	}
}
