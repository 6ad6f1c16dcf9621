/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy: the files with network rules are changed, and running boxes are told.
 *
 * A change reads, edits and replaces the file with the directory locked (flock), so that two
 * commands at the same time both count and a killed one leaves the old file or the new one.  A link
 * is followed: the file that it leads to is replaced, and the link stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/engine_internal.h"

enum { POLICY_BYTES_MAX = 1 << 20, MODE_DEFAULT = 0600, LEFT_SECONDS = 60 };

static int lock_dir(const char *dir, int *ret_fd, struct err *e)
{
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_free char *shown = text_escaped(dir);

	if (fd < 0)
		return err_sys(e, "%s", shown);
	while (flock(fd, LOCK_EX) < 0) {
		if (errno != EINTR)
			return err_sys(e, "%s", shown);
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* The file behind links, which need not exist: its directory and its name there. */
static int real_file(const char *dir, int *ret_dirfd, char **ret_name, struct err *e)
{
	auto_free char *path = fs_join(dir, SPEC_POLICY_FILE);
	auto_free char *real = NULL;
	const char *slash;
	int r = fs_canonical(path, &real, e);

	if (r == -ENOENT && readlink(path, (char[1]){ 0 }, 1) >= 0)
		return err_prefix(e, "a link that leads nowhere");
	if (r == -ENOENT)
		real = steal(&path);
	else if (r < 0)
		return r;
	slash = strrchr(real, '/');
	path = xstrndup(real, (size_t)(slash - real));
	*ret_dirfd = open(path[0] ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_dirfd < 0)
		return err_sys(e, "%s", path);
	*ret_name = xstrdup(slash + 1);
	return 0;
}

static int replace(int dirfd, const char *name, const struct buf *text, struct err *e)
{
	struct stat st;
	mode_t mode = MODE_DEFAULT;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		mode = st.st_mode & 0777;
	/* What commands left that were killed. */
	fs_clear_temporaries(dirfd, LEFT_SECONDS);
	return fs_replace_at(dirfd, name, text->data, text->len, mode, true, e);
}

static int edit(struct buf *text, const char *dir, const struct engine_policy_change *change,
		struct strv *ret_done, struct err *e)
{
	auto_free char *path = fs_join(dir, SPEC_POLICY_FILE);
	auto_free char *shown = text_escaped(path);
	int r = 0;

	for (size_t i = 0; r == 0 && i < change->values.n; i++) {
		bool changed = false;

		r = spec_policy_edit(text, shown, change->what, change->values.v[i], &changed, e);
		if (r == 0 && changed)
			strv_add(ret_done, change->values.v[i]);
	}
	return r;
}

int engine_policy_change(const char *dir, const struct engine_policy_change *change,
			 struct strv *ret_done, struct err *e)
{
	auto_close int lock = -1;
	auto_close int dirfd = -1;
	auto_free char *name = NULL;
	auto_strv done = STRV_INIT;
	auto_buf text = BUF_INIT;
	struct err missing = ERR_INIT;
	int r = fs_mkdirs(dir, 0700, e);

	if (r == 0)
		r = lock_dir(dir, &lock, e);
	if (r == 0)
		r = real_file(dir, &dirfd, &name, e);
	if (r < 0 || !name)
		return r;
	r = fs_read_at(dirfd, name, POLICY_BYTES_MAX, &text, &missing);
	if (r < 0 && r != -ENOENT) {
		*e = missing;
		return err_prefix(e, "%s", dir);
	}
	r = edit(&text, dir, change, &done, e);
	if (r == 0 && done.n > 0)
		r = replace(dirfd, name, &text, e);
	if (r == 0)
		strv_extend(ret_done, &done);
	return r;
}

int engine_policy_reset(const char *dir, bool *ret_removed, struct err *e)
{
	auto_free char *path = fs_join(dir, SPEC_POLICY_FILE);
	auto_close int lock = -1;
	struct err why = ERR_INIT;
	int r = lock_dir(dir, &lock, &why);

	*ret_removed = false;
	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		*e = why;
		return r;
	}
	if (unlink(path) == 0)
		*ret_removed = true;
	else if (errno != ENOENT)
		return err_sys(e, "%s", path);
	return 0;
}

int engine_policy_text(struct engine_context *c, const struct spec *s, const struct kit *k,
		       const char *dir, char **ret, struct err *e)
{
	struct spec_rules_base base = { .preset = POLICY_BALANCED, .preset_default = true };
	int r = 0;

	if (s) {
		r = spec_rules_base(s, k, &base, e);
	} else {
		base.fixed = xstrdup("");
		if (c->config->network)
			(void)policy_preset_parse(c->config->network, &base.preset);
	}
	if (r == 0)
		r = spec_rules_text(&base, c->paths.config, dir, ret, e);
	spec_rules_base_clear(&base);
	return r;
}

int native_rules(struct engine_context *c, const struct sandbox *s, char **ret, struct err *e)
{
	struct native_loaded l = { 0 };
	int r = native_load(c, s, &l, e);

	if (r == 0)
		r = engine_policy_text(c, l.spec, l.kit, s->dir, ret, e);
	native_loaded_clear(&l);
	return r;
}

int native_policy_ask(struct engine_context *c, const struct sandbox *s, int *ret_fd, struct err *e)
{
	auto_close int fd = -1;
	int r;

	(void)c;
	if (!state_is_running(s))
		return -ENOTCONN;
	r = control_connect(s, &fd, e);
	if (r == 0)
		r = control_policy_ask(fd, e);
	if (r == 0)
		*ret_fd = steal_fd(&fd);
	return r;
}

int native_policy_answer(struct engine_context *c, int fd, struct err *e)
{
	(void)c;
	return control_policy_answer(fd, e);
}
