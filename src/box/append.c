/* SPDX-License-Identifier: Apache-2.0 */
/*
 * append: a few lines at the end of a file that the template has.
 *
 * The file belongs to a root that may be hostile: only a regular file of bounded size, reached
 * without a symbolic link at its end and opened without blocking, is rewritten; anything else, and
 * a file that cannot be read, is left alone.  It is not written again once it has the lines.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "box/box_internal.h"

enum { APPEND_FILE_MAX = 1 << 20 };

int append_apply(struct box_build *b, const struct box_op *op, struct err *e)
{
	auto_close int fd =
		root_open(b->root_fd, op->target, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	auto_buf text = BUF_INIT;
	struct root_owner o;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    fs_read_fd(fd, APPEND_FILE_MAX, &text, NULL) < 0 ||
	    memmem(buf_str(&text), text.len, op->content, strlen(op->content)))
		return 0;
	buf_puts(&text, op->content);
	o = (struct root_owner){ users_own_id(b->c->ids.uid, b->c->ids.nuid, st.st_uid),
				 users_own_id(b->c->ids.gid, b->c->ids.ngid, st.st_gid) };
	return root_write(b->root_fd, op->target, text.data, text.len, st.st_mode & 0777, &o, false,
			  e);
}
