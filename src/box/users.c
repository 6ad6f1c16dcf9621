/* SPDX-License-Identifier: Apache-2.0 */
/*
 * users: the operation that gives the box its account.
 *
 * passwd, group and shadow are read from the new root (which may be hostile: only regular files, of
 * bounded size, opened without blocking), rewritten by account.c and put back as new files.  A
 * template without them, or whose files cannot be read with the box's ids, gets minimal ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "box/box_internal.h"

static const struct {
	enum account_file kind;
	const char *path;
	const char *base; /* when the template has none */
	mode_t mode;
} account_files[] = {
	{ ACCOUNT_PASSWD, "/etc/passwd",
	  "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
	  0644 },
	{ ACCOUNT_GROUP, "/etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n", 0644 },
	{ ACCOUNT_SHADOW, "/etc/shadow", "root:*:19000:0:99999:7:::\n", 0640 },
};

/* A regular file of the root into *text, with its mode and owner; -ENOENT when there is none. */
static int read_account_file(struct box_build *b, const char *path, struct buf *text,
			     struct stat *st, struct err *e)
{
	auto_close int fd = root_open(b->root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);

	/* A template of foreign ids keeps its shadow to itself; the box gets one of its own. */
	if (fd == -ENOENT || fd == -ELOOP || fd == -EACCES)
		return -ENOENT;
	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "%s", path);
	}
	if (fstat(fd, st) < 0)
		return err_sys(e, "%s", path);
	if (!S_ISREG(st->st_mode))
		return -ENOENT;
	return fs_read_fd(fd, ACCOUNT_FILE_MAX, text, e);
}

uint32_t users_own_id(const struct box_extent *x, uint32_t n, uint32_t id)
{
	return id == BOX_OVERFLOW_ID || idmap_outside(x, n, id) < 0 ? 0 : id;
}

static bool root_has(struct box_build *b, const char *path)
{
	auto_close int fd = root_open(b->root_fd, path, O_PATH, 0);

	return fd >= 0;
}

int users_apply(struct box_build *b, size_t i, struct err *e)
{
	const struct box_op *op = &b->p->ops[i];
	const struct account a = { .name = op->source,
				   .uid = b->c->ids.agent_uid,
				   .gid = b->c->ids.agent_gid,
				   .home = op->target,
				   .shell = root_has(b, "/bin/bash") ? "/bin/bash" : "/bin/sh" };

	for (size_t k = 0; k < ARRAY_SIZE(account_files); k++) {
		auto_buf old = BUF_INIT;
		auto_buf new = BUF_INIT;
		struct stat st = { .st_mode = account_files[k].mode };
		struct root_owner o;
		int r = read_account_file(b, account_files[k].path, &old, &st, e);

		if (r == -ENOENT)
			buf_puts(&old, account_files[k].base);
		else if (r < 0)
			return r;
		account_rewrite(account_files[k].kind, buf_str(&old), old.len, &a, &new);
		if (r == 0 && new.len == old.len && memcmp(new.data, old.data, new.len) == 0)
			continue; /* as at the last start */
		o = (struct root_owner){ users_own_id(b->c->ids.uid, b->c->ids.nuid, st.st_uid),
					 users_own_id(b->c->ids.gid, b->c->ids.ngid, st.st_gid) };
		r = root_write(b->root_fd, account_files[k].path, buf_str(&new), new.len,
			       st.st_mode & 0777, &o, false, e);
		if (r < 0)
			return err_prefix(e, "%s", account_files[k].path);
	}
	return 0;
}
