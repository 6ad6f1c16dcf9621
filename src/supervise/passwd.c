/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passwd: which ids a user name of the box means.
 *
 * The texts are the box's own /etc/passwd and /etc/group: foreign bytes.  They are read in-root,
 * as regular files of at most PASSWD_FILE_MAX bytes, never through NSS.  A line that is not well
 * formed is skipped; numbers are strict decimals, so "1abc", "-1", "0x0" and "4294967295" never
 * become an id.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

enum { LINE_MAX_BYTES = 4096, ID_MAX = 4294967294 };

struct fields { /* slices of one line */
	const char *p[7];
	size_t n[7];
	size_t count;
};

/* Split the line at `:`; false when it has more or fewer than `want` fields or is over-long. */
static bool split(const char *line, size_t len, size_t want, struct fields *f)
{
	const char *p = line;
	const char *end = line + len;

	f->count = 0;
	if (len > LINE_MAX_BYTES || memchr(line, '\0', len))
		return false;
	for (;;) {
		const char *colon = memchr(p, ':', (size_t)(end - p));
		const char *stop = colon ? colon : end;

		if (f->count == want)
			return false;
		f->p[f->count] = p;
		f->n[f->count++] = (size_t)(stop - p);
		if (!colon)
			break;
		p = colon + 1;
	}
	return f->count == want;
}

static bool number(const char *p, size_t n, uint32_t *ret)
{
	char text[16];
	uint64_t u;

	if (n == 0 || n >= sizeof(text))
		return false;
	memcpy(text, p, n);
	text[n] = '\0';
	if (text_u64(text, ID_MAX, &u) < 0)
		return false;
	*ret = (uint32_t)u;
	return true;
}

/* Calls f for every well-formed line until it returns true. */
static bool each_line(const char *text, size_t len, size_t want,
		      bool (*f)(const struct fields *, void *), void *arg)
{
	const char *p = text;
	const char *end = text + len;

	while (p && p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *stop = nl ? nl : end;
		struct fields fields;

		if (split(p, (size_t)(stop - p), want, &fields) && f(&fields, arg))
			return true;
		p = nl ? nl + 1 : NULL;
	}
	return false;
}

static bool is(const struct fields *f, size_t i, const char *s, size_t n)
{
	return f->n[i] == n && memcmp(f->p[i], s, n) == 0;
}

static void copy_field(char *out, size_t size, const struct fields *f, size_t i)
{
	size_t n = f->n[i] < size ? f->n[i] : 0;

	memcpy(out, f->p[i], n);
	out[n] = '\0';
}

struct lookup {
	const char *name;
	size_t name_len;
	bool by_id;
	uint32_t id;
	struct passwd_user *user;
	uint32_t gid;
};

static bool match_passwd(const struct fields *f, void *arg)
{
	struct lookup *l = arg;
	uint32_t uid;
	uint32_t gid;

	if (!number(f->p[2], f->n[2], &uid) || !number(f->p[3], f->n[3], &gid) || f->n[0] == 0)
		return false;
	if (l->by_id ? uid != l->id : !is(f, 0, l->name, l->name_len))
		return false;
	l->user->uid = uid;
	l->user->gid = gid;
	copy_field(l->user->name, sizeof(l->user->name), f, 0);
	copy_field(l->user->home, sizeof(l->user->home), f, 5);
	copy_field(l->user->shell, sizeof(l->user->shell), f, 6);
	return true;
}

static bool match_group(const struct fields *f, void *arg)
{
	struct lookup *l = arg;

	return f->n[0] && is(f, 0, l->name, l->name_len) && number(f->p[2], f->n[2], &l->gid);
}

static bool member(const char *list, size_t n, const char *name)
{
	size_t len = strlen(name);
	const char *p = list;
	const char *end = list + n;

	while (p <= end) {
		const char *comma = p < end ? memchr(p, ',', (size_t)(end - p)) : NULL;
		const char *stop = comma ? comma : end;

		if ((size_t)(stop - p) == len && memcmp(p, name, len) == 0)
			return true;
		if (!comma)
			break;
		p = comma + 1;
	}
	return false;
}

static bool collect_group(const struct fields *f, void *arg)
{
	struct passwd_user *u = ((struct lookup *)arg)->user;
	uint32_t gid;

	if (!number(f->p[2], f->n[2], &gid) || gid == u->gid || !member(f->p[3], f->n[3], u->name))
		return false;
	for (uint32_t i = 0; i < u->ngroups; i++) {
		if (u->groups[i] == gid)
			return false;
	}
	u->groups[u->ngroups++] = gid;
	return u->ngroups == PASSWD_GROUPS_MAX;
}

static int resolve_group(const char *text, const char *group, size_t group_len, uint32_t *ret,
			 struct err *e)
{
	struct lookup l = { .name = text, .name_len = strlen(text) };
	auto_free char *shown = NULL;

	if (number(text, l.name_len, ret))
		return 0;
	if (l.name_len && each_line(group, group_len, 4, match_group, &l)) {
		*ret = l.gid;
		return 0;
	}
	shown = text_escaped(text);
	return err_set(e, ERR_INPUT, -EINVAL, "no group '%s' in the sandbox", shown);
}

int passwd_resolve(const char *user, const char *passwd, size_t passwd_len, const char *group,
		   size_t group_len, struct passwd_user *ret, struct err *e)
{
	struct passwd_user u = { 0 };
	const char *colon = strchr(user, ':');
	size_t len = colon ? (size_t)(colon - user) : strlen(user);
	struct lookup l = { .name = user, .name_len = len, .user = &u };
	bool found;

	l.by_id = number(user, len, &l.id);
	u.uid = l.id;
	found = len && each_line(passwd, passwd_len, 7, match_passwd, &l);
	if (!found && !l.by_id) {
		auto_free char *name = xstrndup(user, len);
		auto_free char *shown = text_escaped(name);

		return err_set(e, ERR_INPUT, -EINVAL, "no user '%s' in the sandbox", shown);
	}
	if (colon) {
		int r = resolve_group(colon + 1, group, group_len, &u.gid, e);

		if (r < 0)
			return r;
	} else if (found && u.name[0]) {
		each_line(group, group_len, 4, collect_group, &l);
	}
	*ret = u;
	return 0;
}

static int read_file(int root_fd, const char *path, struct buf *out, struct err *e)
{
	auto_close int fd = fs_open_in_root(root_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return err_set(e, ERR_INPUT, fd, "/%s in the sandbox: %s", path, strerror(-fd));
	if (fs_read_fd(fd, PASSWD_FILE_MAX, out, e) < 0)
		return err_prefix(e, "/%s in the sandbox", path);
	return 0;
}

int passwd_lookup(int root_fd, const char *user, const struct box_ids *ids, struct passwd_user *ret,
		  struct err *e)
{
	auto_buf passwd = BUF_INIT;
	auto_buf group = BUF_INIT;
	struct passwd_user u;
	char agent[32];
	int r = read_file(root_fd, "etc/passwd", &passwd, e);

	if (r == 0)
		r = read_file(root_fd, "etc/group", &group, e);
	if (r < 0)
		return r;
	if (user[0] == '\0')
		snprintf(agent, sizeof(agent), "%u", ids->agent_uid);
	r = passwd_resolve(user[0] ? user : agent, buf_str(&passwd), passwd.len, buf_str(&group),
			   group.len, &u, e);
	if (r < 0)
		return r;
	if (user[0] == '\0')
		u.gid = ids->agent_gid;
	*ret = u;
	return 0;
}
