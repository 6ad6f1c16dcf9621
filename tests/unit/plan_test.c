/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_test: plans against golden files, refused configurations, order of mounts.
 *
 * The golden files are in tests/unit/golden (the test's working directory is the source tree);
 * UPDATE_GOLDEN=1 in the environment writes them anew, for a human to read and commit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "box/box_internal.h"

static void add_workspace(struct spec *s, const char *path, bool readonly)
{
	s->workspaces = xrealloc(s->workspaces, s->nworkspaces + 1, sizeof(*s->workspaces));
	s->workspaces[s->nworkspaces++] = (struct spec_workspace){
		.path = xstrdup(path), .dev = 2049, .ino = 1234, .readonly = readonly
	};
}

static void add_volume(struct spec *s, const char *source, const char *target, bool is_dir)
{
	s->volumes = xrealloc(s->volumes, s->nvolumes + 1, sizeof(*s->volumes));
	s->volumes[s->nvolumes++] = (struct spec_volume){ .source = xstrdup(source),
							  .target = xstrdup(target),
							  .readonly = true,
							  .is_dir = is_dir,
							  .dev = 2049,
							  .ino = 99 };
}

static void set_ids(struct box_ids *ids, enum box_id_mode mode)
{
	*ids = (struct box_ids){ .mode = mode, .host_uid = 1001, .host_gid = 1001 };
	if (mode == BOX_ID_SINGLE) {
		ids->nuid = idmap_single(ids->uid, 1001);
		ids->ngid = idmap_single(ids->gid, 1001);
		return;
	}
	ids->agent_uid = ids->agent_gid = BOX_AGENT_ID;
	if (mode == BOX_ID_RANGE) {
		ids->nuid = idmap_range(ids->uid, 100000, 1001);
		ids->ngid = idmap_range(ids->gid, 100000, 1001);
	} else {
		ids->nuid = idmap_root(ids->uid, BOX_ROOT_BASE);
		ids->ngid = idmap_root(ids->gid, BOX_ROOT_BASE);
	}
}

/* A configuration with one of everything. */
static struct box_config *make_config(enum box_id_mode mode, bool host)
{
	struct box_config *c = box_config_new();

	c->spec = spec_new();
	set_ids(&c->ids, mode);
	c->dir = xstrdup("/home/u/.local/share/ward/sandboxes/0123");
	c->hostname = xstrdup("proj");
	c->home = xstrdup("/home/agent");
	c->proxy_port = 3128;
	add_workspace(c->spec, "/home/u/proj", false);
	add_workspace(c->spec, "/home/u/docs", true);
	add_volume(c->spec, "/srv/data", "/data", true);
	add_volume(c->spec, "/home/u/.toolrc", "/home/agent/.toolrc", false);
	add_volume(c->spec, "/srv/cache", "/home/u/proj/cache", true);
	strv_add(&c->spec->hide, "/home/u/proj/.env");
	if (!host)
		strv_add(&c->layers, "/srv/root fs");
	c->binds = xcalloc(2, sizeof(*c->binds));
	c->nbinds = 2;
	c->binds[0] = (struct box_bind){ .source = xstrdup("/usr"),
					 .target = xstrdup("/usr"),
					 .readonly = true,
					 .system = true,
					 .optional = true };
	c->binds[1] = (struct box_bind){ .source = xstrdup("/etc/os-release"),
					 .target = xstrdup("/etc/os-release"),
					 .readonly = true,
					 .optional = true };
	c->links = xcalloc(1, sizeof(*c->links));
	c->nlinks = 1;
	c->links[0] = (struct box_link){ xstrdup("/bin"), xstrdup("usr/bin") };
	c->volumes = xcalloc(3, sizeof(*c->volumes));
	c->nvolumes = 3;
	c->volumes[0] = (struct box_volume){ .path = xstrdup("/var/lib/tool"), .mode = 0700 };
	c->volumes[1] = (struct box_volume){ .path = xstrdup("/home/agent/.cache/tool") };
	c->volumes[2] =
		(struct box_volume){ .path = xstrdup("/scratch"), .tmpfs = true, .size = 16 << 20 };
	c->files = xcalloc(1, sizeof(*c->files));
	c->nfiles = 1;
	c->files[0] = (struct box_file){ .path = xstrdup("/home/agent/.settings.json"),
					 .content = xstrdup("{}"),
					 .mode = 0600,
					 .agent_owned = true,
					 .only_if_missing = true };
	return c;
}

static void compare_golden(const char *name, const struct buf *text)
{
	auto_free char *path = xasprintf("tests/unit/golden/%s.plan", name);
	auto_buf want = BUF_INIT;
	struct err e = ERR_INIT;

	if (getenv("UPDATE_GOLDEN")) {
		auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

		assert_true(fd >= 0);
		assert_int_equal(fs_write_all(fd, buf_str(text), text->len), 0);
		return;
	}
	assert_int_equal(fs_read_at(AT_FDCWD, path, 1 << 20, &want, &e), 0);
	assert_string_equal(buf_str(text), buf_str(&want));
}

static void golden(enum box_id_mode mode, bool host)
{
	auto_free char *name = xasprintf("%s-%s", host ? "host" : "dir", box_id_mode_name(mode));
	struct box_config *c = make_config(mode, host);
	struct box_plan p = { 0 };
	auto_buf text = BUF_INIT;
	struct err e = ERR_INIT;

	assert_int_equal(box_plan_make(c, &p, &e), 0);
	box_plan_print(&p, &text);
	compare_golden(name, &text);
	box_plan_clear(&p);
	box_config_free(c);
}

static void golden_files(void **state)
{
	(void)state;
	for (int mode = 0; mode < BOX_ID_MODE_MAX; mode++) {
		golden((enum box_id_mode)mode, true);
		golden((enum box_id_mode)mode, false);
	}
}

static size_t find_op(const struct box_plan *p, enum box_op_type type, const char *target)
{
	for (size_t i = 0; i < p->nops; i++)
		if (p->ops[i].type == type &&
		    (!target || (p->ops[i].target && strcmp(p->ops[i].target, target) == 0)))
			return i;
	return SIZE_MAX;
}

/* What hides what: a parent is mounted before its children, ours come last. */
static void order(void **state)
{
	struct box_config *c = make_config(BOX_ID_RANGE, false);
	struct box_plan p = { 0 };
	struct err e = ERR_INIT;
	size_t home;
	size_t proc;
	size_t sysctl;

	(void)state;
	assert_int_equal(box_plan_make(c, &p, &e), 0);
	assert_int_equal(p.ops[0].type, BOX_OP_OVERLAY);
	home = find_op(&p, BOX_OP_BIND, "/home/agent");
	proc = find_op(&p, BOX_OP_PROC, "/proc");
	sysctl = find_op(&p, BOX_OP_SYSCTL, "user/max_user_namespaces");
	assert_true(home < find_op(&p, BOX_OP_BIND, "/home/agent/.toolrc"));
	assert_true(find_op(&p, BOX_OP_BIND, "/home/u/proj") <
		    find_op(&p, BOX_OP_BIND, "/home/u/proj/cache"));
	assert_true(find_op(&p, BOX_OP_BIND, "/home/u/proj") <
		    find_op(&p, BOX_OP_MASK, "/home/u/proj/.env"));
	/* Whatever is read or written in the root may be a link to what is hidden. */
	for (size_t i = find_op(&p, BOX_OP_MASK, "/home/u/proj/.env"); i > 0; i--)
		assert_true(p.ops[i].type != BOX_OP_FILE && p.ops[i].type != BOX_OP_USER);
	assert_true(find_op(&p, BOX_OP_FILE, "/home/agent/.settings.json") > home);
	for (size_t i = 0; i < p.nops; i++)
		if (p.ops[i].type == BOX_OP_BIND)
			assert_true(i < proc);
	/* proc's own files are written before /proc/sys becomes read-only. */
	assert_true(proc < sysctl && sysctl < find_op(&p, BOX_OP_READONLY, "/proc/sys"));
	assert_true(find_op(&p, BOX_OP_PIVOT, NULL) < find_op(&p, BOX_OP_LOOPBACK, NULL));
	assert_true(find_op(&p, BOX_OP_LOOPBACK, NULL) < find_op(&p, BOX_OP_LISTEN, NULL));
	box_plan_clear(&p);
	box_config_free(c);
}

/* What is above a mount or a hidden file in a writable workspace keeps its name; nothing else. */
static void pins(void **state)
{
	static const char *const wanted[] = { "/home/u/proj/a", "/home/u/proj/a/b",
					      "/home/u/proj/s", "/home/u/proj/s/t" };
	struct box_config *c = make_config(BOX_ID_SINGLE, true);
	struct box_plan p = { 0 };
	struct err e = ERR_INIT;
	size_t n = 0;

	(void)state;
	add_volume(c->spec, "/srv/lib", "/home/u/proj/a/b/lib", true);
	add_volume(c->spec, "/srv/lib2", "/home/u/proj/a/b/lib2", true);
	add_volume(c->spec, "/srv/x", "/home/u/docs/x/y", true);
	strv_add(&c->spec->hide, "/home/u/proj/s/t/key");
	assert_int_equal(box_plan_make(c, &p, &e), 0);
	for (size_t i = 0; i < p.nops; i++)
		n += p.ops[i].type == BOX_OP_PIN;
	assert_int_equal(n, ARRAY_SIZE(wanted));
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		size_t pin = find_op(&p, BOX_OP_PIN, wanted[i]);

		assert_true(find_op(&p, BOX_OP_BIND, "/home/u/proj") < pin);
		assert_true(pin < find_op(&p, BOX_OP_MASK, "/home/u/proj/s/t/key"));
	}
	assert_true(find_op(&p, BOX_OP_PIN, wanted[1]) <
		    find_op(&p, BOX_OP_BIND, "/home/u/proj/a/b/lib"));
	box_plan_clear(&p);
	box_config_free(c);
}

/* The user's configuration in the agent's home: what the agent did there decides nothing. */
static void binds_that_yield(void **state)
{
	struct box_config *c = make_config(BOX_ID_RANGE, true);
	struct box_plan p = { 0 };
	struct err e = ERR_INIT;
	size_t pin, bind;

	(void)state;
	free(c->binds[1].target);
	c->binds[1].target = xstrdup("/home/agent/.tool/deep/skills");
	c->binds[1].yield = true;
	assert_int_equal(box_plan_make(c, &p, &e), 0);
	bind = find_op(&p, BOX_OP_BIND, "/home/agent/.tool/deep/skills");
	pin = find_op(&p, BOX_OP_PIN, "/home/agent/.tool/deep");
	assert_int_equal(p.ops[bind].flags & (BOX_F_RO | BOX_F_NOFOLLOW | BOX_F_YIELD),
			 BOX_F_RO | BOX_F_NOFOLLOW | BOX_F_YIELD);
	assert_true(find_op(&p, BOX_OP_PIN, "/home/agent/.tool") < pin && pin < bind);
	assert_int_equal(find_op(&p, BOX_OP_PIN, "/home/agent"), SIZE_MAX);
	assert_true(p.ops[pin].flags & BOX_F_AGENT && p.ops[pin].flags & BOX_F_YIELD);
	box_plan_clear(&p);
	box_config_free(c);
}

static void workspace_flags(void **state)
{
	struct box_config *c = make_config(BOX_ID_ROOT, false);
	struct box_plan p = { 0 };
	struct err e = ERR_INIT;
	const struct box_op *w;
	const struct box_op *v;

	(void)state;
	assert_int_equal(box_plan_make(c, &p, &e), 0);
	w = &p.ops[find_op(&p, BOX_OP_BIND, "/home/u/docs")];
	assert_int_equal(w->flags & (BOX_F_RO | BOX_F_NOSUID | BOX_F_NODEV | BOX_F_IDMAP),
			 BOX_F_RO | BOX_F_NOSUID | BOX_F_NODEV | BOX_F_IDMAP);
	assert_int_equal(w->ino, 1234);
	/* Nothing is made in a workspace; a file's inode is not checked, editors replace it. */
	v = &p.ops[find_op(&p, BOX_OP_BIND, "/home/u/proj/cache")];
	assert_true(v->flags & BOX_F_EXISTING);
	v = &p.ops[find_op(&p, BOX_OP_BIND, "/home/agent/.toolrc")];
	assert_int_equal(v->ino, 0);
	assert_true(v->flags & BOX_F_IS_FILE);
	box_plan_clear(&p);
	box_config_free(c);
}

/* A kit's directories: beside the writable layer, in the home, in memory. */
static void volumes(void **state)
{
	struct box_config *c = make_config(BOX_ID_RANGE, true);
	struct box_plan p = { 0 };
	struct err e = ERR_INIT;
	const struct box_op *op;

	(void)state;
	c->volumes[0].path[0] = '\0';
	assert_int_equal(box_plan_make(c, &p, &e), -EINVAL);
	c->volumes[0].path[0] = '/';
	assert_int_equal(box_plan_make(c, &p, &e), 0);
	op = &p.ops[find_op(&p, BOX_OP_BIND, "/var/lib/tool")];
	assert_string_equal(op->source,
			    "/home/u/.local/share/ward/sandboxes/0123/volumes/%svar%slib%stool");
	assert_false(op->flags & BOX_F_RO);
	op = &p.ops[find_op(&p, BOX_OP_DIR, "/home/agent/.cache/tool")];
	assert_int_equal(op->flags, BOX_F_AGENT | BOX_F_YIELD | BOX_F_NOFOLLOW);
	op = &p.ops[find_op(&p, BOX_OP_TMPFS, "/scratch")];
	assert_int_equal(op->size, 16 << 20);
	assert_int_equal(op->mode, 0755);
	assert_true(op->flags & BOX_F_NOSUID && op->flags & BOX_F_AGENT);
	box_plan_clear(&p);
	/* In a workspace nothing is made for it. */
	free(c->volumes[2].path);
	c->volumes[2].path = xstrdup("/home/u/proj/tmp");
	assert_int_equal(box_plan_make(c, &p, &e), 0);
	op = &p.ops[find_op(&p, BOX_OP_TMPFS, "/home/u/proj/tmp")];
	assert_true(op->flags & BOX_F_EXISTING);
	box_plan_clear(&p);
	box_config_free(c);
}

static void refused_targets(void **state)
{
	static const char *const bad[] = { "/",	     "/proc", "/proc/self/x", "/sys/fs",
					   "/dev/x", "data",  "/a/../b",      "/a//b",
					   "/a/",    "",      "/a/./b",	      "/home/u/proj" };
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct box_config *c = make_config(BOX_ID_RANGE, true);
		struct box_plan p = { 0 };
		struct err e = ERR_INIT;

		add_volume(c->spec, "/srv/x", bad[i], true);
		assert_true(box_plan_make(c, &p, &e) < 0);
		assert_true(e.message[0] != '\0');
		assert_int_equal(p.nops, 0);
		box_config_free(c);
	}
}

static void incomplete(void **state)
{
	struct box_config *c = make_config(BOX_ID_RANGE, true);
	struct box_plan p = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	c->ids.nuid = 0;
	assert_int_equal(box_plan_make(c, &p, &e), -EINVAL);
	set_ids(&c->ids, BOX_ID_SINGLE);
	c->proxy_port = 0;
	assert_int_equal(box_plan_make(c, &p, &e), -EINVAL);
	c->proxy_port = 1;
	for (int i = 0; i <= BOX_LAYERS_MAX; i++)
		strv_add(&c->layers, "/l");
	assert_int_equal(box_plan_make(c, &p, &e), -E2BIG);
	box_config_free(c);
}

static void config_round_trip(void **state)
{
	struct box_config *c = make_config(BOX_ID_RANGE, false);
	struct box_config *back = NULL;
	struct err e = ERR_INIT;
	auto_buf one = BUF_INIT;
	auto_buf two = BUF_INIT;
	auto_json j = NULL;
	auto_json k = NULL;

	(void)state;
	c->spec->id = xstrdup("0123456789abcdef0123456789abcdef");
	c->spec->name = xstrdup("proj");
	c->spec->agent = xstrdup("shell");
	c->spec->tmpl.ref = xstrdup("host");
	j = box_config_to_json(c);
	json_write(j, true, &one);
	assert_int_equal(box_config_from_json(j, &back, &e), 0);
	k = box_config_to_json(back);
	json_write(k, true, &two);
	assert_string_equal(buf_str(&one), buf_str(&two));
	assert_memory_equal(&c->ids, &back->ids, sizeof(c->ids));
	box_config_free(back);
	box_config_free(c);
}

static void config_members(void **state)
{
	static const char *const keys[] = { "spec",  "ids",	   "dir",    "layers",
					    "binds", "files",	   "links",  "hostname",
					    "home",  "proxy_port", "volumes" };
	struct box_config *c = make_config(BOX_ID_RANGE, false);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		auto_json j = box_config_to_json(c);
		struct box_config *back = NULL;
		struct err e = ERR_INIT;

		json_set(j, keys[i], json_bool(true));
		assert_true(box_config_from_json(j, &back, &e) < 0);
		assert_null(back);
	}
	box_config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_files),	    cmocka_unit_test(order),
		cmocka_unit_test(binds_that_yield), cmocka_unit_test(workspace_flags),
		cmocka_unit_test(volumes),	    cmocka_unit_test(refused_targets),
		cmocka_unit_test(incomplete),	    cmocka_unit_test(config_round_trip),
		cmocka_unit_test(config_members),   cmocka_unit_test(pins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
