/* SPDX-License-Identifier: Apache-2.0 */
/*
 * detect: which id mode the invoking user gets on this machine.
 *
 * Only files are read: /etc/subuid, /etc/subgid, the helpers' mode bits.  The order is: real root
 * gets a dedicated range; a user with ranges in both files gets them; everybody else has one id.  A
 * user with ranges but without the helpers is told how to get them, because falling back silently
 * would take sudo and chown away.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "box/box_internal.h"

static const char *const uid_helper = "/usr/bin/newuidmap";
static const char *const gid_helper = "/usr/bin/newgidmap";

static int find_range(const char *path, const char *name, uint32_t id, uint32_t *ret, struct err *e)
{
	auto_buf text = BUF_INIT;
	int r = fs_read_at(AT_FDCWD, path, BOX_SUBID_MAX, &text, e);

	if (r == -ENOENT)
		return -ENOENT;
	if (r < 0)
		return r;
	return idmap_find_subid(buf_str(&text), text.len, name, id, BOX_IDS, ret);
}

/* setuid root, or capabilities on the file, as distributions ship it. */
static bool helper_works(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || access(path, X_OK) < 0)
		return false;
	return (st.st_mode & S_ISUID) || getxattr(path, "security.capability", NULL, 0) > 0;
}

/* The next word of a line of numbers; the text is changed. */
static const char *next_word(char **p)
{
	char *word = *p + strspn(*p, " \t\n");

	*p = word + strcspn(word, " \t\n");
	if (**p)
		*(*p)++ = '\0';
	return word;
}

/* Does this process's user namespace hold all ids, as the first one does? */
static bool in_initial_userns(void)
{
	static const char *const want[] = { "0", "0", "4294967295" };
	auto_buf text = BUF_INIT;
	auto_close int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
	char *p;

	if (fd < 0 || fs_read_fd(fd, 4096, &text, NULL) < 0 || text.len == 0)
		return false;
	p = text.data;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		if (strcmp(next_word(&p), want[i]) != 0)
			return false;
	return true;
}

static void user_name(uid_t uid, char *out, size_t size)
{
	struct passwd pw;
	struct passwd *found = NULL;
	char space[4096];

	out[0] = '\0';
	if (getpwuid_r(uid, &pw, space, sizeof(space), &found) == 0 && found)
		snprintf(out, size, "%s", pw.pw_name);
}

static int detect_root(struct box_ids *ids, uint32_t owner_uid, uint32_t owner_gid)
{
	uint32_t base = BOX_ROOT_BASE;
	uint32_t gbase = BOX_ROOT_BASE;
	struct err ignored = ERR_INIT;

	if (find_range("/etc/subuid", "root", 0, &base, &ignored) < 0 ||
	    find_range("/etc/subgid", "root", 0, &gbase, &ignored) < 0)
		base = gbase = BOX_ROOT_BASE;
	ids->mode = BOX_ID_ROOT;
	ids->nuid = idmap_root(ids->uid, base);
	ids->ngid = idmap_root(ids->gid, gbase);
	ids->agent_uid = BOX_AGENT_ID;
	ids->agent_gid = BOX_AGENT_ID;
	ids->host_uid = owner_uid;
	ids->host_gid = owner_gid;
	return 0;
}

static int detect_range(struct box_ids *ids, uint32_t sub_uid, uint32_t sub_gid, struct err *e)
{
	if (!helper_works(uid_helper) || !helper_works(gid_helper)) {
		err_set(e, ERR_HOST, ENOENT,
			"id maps: %s and %s are missing or not setuid root, but /etc/subuid gives "
			"this user a range",
			uid_helper, gid_helper);
		return err_hint(e, "sudo apt-get install uidmap");
	}
	ids->mode = BOX_ID_RANGE;
	ids->nuid = idmap_range(ids->uid, sub_uid, ids->host_uid);
	ids->ngid = idmap_range(ids->gid, sub_gid, ids->host_gid);
	ids->agent_uid = BOX_AGENT_ID;
	ids->agent_gid = BOX_AGENT_ID;
	return 0;
}

int box_ids_detect(uint32_t owner_uid, uint32_t owner_gid, struct box_ids *ret, struct err *e)
{
	struct box_ids ids = { .host_uid = getuid(), .host_gid = getgid() };
	char name[256];
	uint32_t sub_uid;
	uint32_t sub_gid;
	int r;

	if (ids.host_uid == 0 && in_initial_userns()) {
		detect_root(&ids, owner_uid, owner_gid);
		*ret = ids;
		return 0;
	}
	user_name(ids.host_uid, name, sizeof(name));
	r = find_range("/etc/subuid", name[0] ? name : NULL, ids.host_uid, &sub_uid, e);
	if (r == 0)
		r = find_range("/etc/subgid", name[0] ? name : NULL, ids.host_uid, &sub_gid, e);
	if (r == 0) {
		r = detect_range(&ids, sub_uid, sub_gid, e);
		if (r < 0)
			return r;
	} else if (r == -ENOENT) {
		ids.mode = BOX_ID_SINGLE;
		ids.nuid = idmap_single(ids.uid, ids.host_uid);
		ids.ngid = idmap_single(ids.gid, ids.host_gid);
	} else {
		return r;
	}
	*ret = ids;
	return 0;
}
