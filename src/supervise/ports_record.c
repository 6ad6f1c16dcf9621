/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports_record: the published ports of a sandbox that is not running.
 *
 * The specification says what a sandbox starts with and never changes.  As soon as ports are
 * published or withdrawn, or a free one was found, the whole list is in ports.json, and that counts
 * from then on.  It is written by whoever holds the life lock.
 */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "supervise/supervise.h"

enum { RECORD_MAX = 65536 };
#define RECORD "ports.json"

int supervise_ports_read(const struct sandbox *s, const struct spec_ports *initial,
			 struct spec_ports *ret, struct err *e)
{
	struct err problem = ERR_INIT;
	auto_buf text = BUF_INIT;
	auto_json j = NULL;
	int r = fs_read_at(s->dirfd, RECORD, RECORD_MAX, &text, &problem);

	if (r == -ENOENT) {
		spec_ports_copy(initial, ret);
		return 0;
	}
	if (r == 0)
		r = json_parse(buf_str(&text), text.len, &j, &problem);
	if (r == 0)
		r = spec_ports_from_json(json_get(j, "ports"), ret, &problem);
	if (r == 0)
		return 0;
	*e = problem;
	err_prefix(e, "%s/" RECORD, s->dir);
	return err_hint(e, "remove the file: the ports of its creation count then");
}

int supervise_ports_write(const struct sandbox *s, const struct spec_ports *p, struct err *e)
{
	auto_json j = json_object();
	auto_buf text = BUF_INIT;

	json_set(j, "ports", spec_ports_to_json(p));
	json_write(j, true, &text);
	return fs_replace_at(s->dirfd, RECORD, text.data, text.len, 0600, false, e);
}

int supervise_ports_unknown(const struct spec_port *pattern, struct err *e)
{
	auto_buf text = BUF_INIT;

	spec_port_text(pattern, &text);
	return err_set(e, ERR_INPUT, -ENXIO, "port %s is not published", buf_str(&text));
}
