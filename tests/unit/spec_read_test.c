/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template, workspace and volume arguments, and config.yaml: what is accepted and what it becomes,
 * and each refusal with its reason and cure.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/mem.h"
#include "spec/spec_internal.h"

/* A home with a project in it and Ward's directories, all below one temporary directory. */
struct fixture {
	char *top, *home, *project, *data, *runtime, *config;
	struct spec_paths paths;
	struct err e;
	char *cwd;
};

static char *make_dir(const char *top, const char *below)
{
	char *path = fs_join(top, below);
	struct err e = ERR_INIT;

	if (fs_mkdirs(path, 0755, &e) < 0)
		fail_msg("%s", e.message);
	return path;
}

static void put_file(const char *dir, const char *name, const char *text)
{
	auto_free char *path = fs_join(dir, name);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

static int setup(void **state)
{
	char dir[] = "/var/tmp/ward-spec-test-XXXXXX";
	struct fixture *f = xcalloc(1, sizeof(*f));

	if (!mkdtemp(dir))
		return -1;
	f->top = xstrdup(dir);
	f->home = make_dir(f->top, "home/u");
	f->project = make_dir(f->top, "home/u/project");
	f->data = make_dir(f->top, "home/u/.local/share/ward");
	f->runtime = make_dir(f->top, "run/ward");
	f->config = make_dir(f->top, "home/u/.config/ward");
	f->paths = (struct spec_paths){ f->home, f->data, f->runtime, f->config };
	f->cwd = getcwd(NULL, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	auto_close int tmp = open("/var/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = chdir(f->cwd);

	if (r == 0)
		r = fs_remove_tree_at(tmp, f->top + strlen("/var/tmp/"), &f->e);
	free(f->top);
	free(f->home);
	free(f->project);
	free(f->data);
	free(f->runtime);
	free(f->config);
	free(f->cwd);
	free(f);
	return r;
}

static void expect_workspace(struct fixture *f, const char *text, const char *path, bool readonly)
{
	struct spec_workspace w = { 0 };
	struct stat st;

	f->e = ERR_INIT;
	if (spec_workspace_parse(text, &f->paths, &w, &f->e) < 0)
		fail_msg("%s: %s", text, f->e.message);
	assert_string_equal(w.path, path);
	assert_int_equal(w.readonly, readonly);
	assert_int_equal(stat(path, &st), 0);
	assert_true(w.dev == st.st_dev && w.ino == st.st_ino);
	spec_workspace_clear(&w);
}

/* Refused, with `why` in the message, and a hint. */
static void expect_refused(struct fixture *f, const char *text, const char *why)
{
	struct spec_workspace w = { 0 };

	f->e = ERR_INIT;
	if (spec_workspace_parse(text, &f->paths, &w, &f->e) >= 0)
		fail_msg("workspace %s was accepted", text);
	assert_null(w.path);
	if (!strstr(f->e.message, why))
		fail_msg("%s: '%s' says nothing of '%s'", text, f->e.message, why);
	assert_null(strchr(f->e.message, '\n'));
	assert_true(f->e.hint[0] != '\0');
}

static void test_workspace(void **state)
{
	struct fixture *f = *state;
	auto_free char *slash = xasprintf("%s//./", f->project);
	auto_free char *dots = xasprintf("%s/../project", f->project);
	auto_free char *ro = xasprintf("%s:ro", f->project);

	expect_workspace(f, f->project, f->project, false);
	expect_workspace(f, slash, f->project, false);
	expect_workspace(f, dots, f->project, false);
	expect_workspace(f, ro, f->project, true);
	assert_int_equal(chdir(f->project), 0);
	expect_workspace(f, ".", f->project, false);
	expect_workspace(f, ".:ro", f->project, true);
	expect_workspace(f, "../project", f->project, false);
}

static void test_workspace_odd_names(void **state)
{
	static const char *const names[] = {
		"a b", "'\"$;&|*?`", "$(touch x)", "new\nline",	  "\xc3\xa4\xe2\x82\xac",
		"-rf", "a:b",	     "a,b",	   "back\\slash", "..x",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		auto_free char *path = make_dir(f->project, names[i]);

		expect_workspace(f, path, path, false);
	}
	assert_int_equal(chdir(f->project), 0);
	auto_free char *dash = fs_join(f->project, "-rf");
	expect_workspace(f, "-rf", dash, false);
}

static void test_workspace_long(void **state)
{
	struct fixture *f = *state;
	auto_buf deep = BUF_INIT;

	buf_puts(&deep, f->project);
	while (deep.len < 3000)
		buf_puts(&deep, "/0123456789abcdefghijklmnopqrstuvwxyz");
	assert_int_equal(fs_mkdirs(buf_str(&deep), 0755, &f->e), 0);
	expect_workspace(f, buf_str(&deep), buf_str(&deep), false);
	while (deep.len < 5000)
		buf_puts(&deep, "/x");
	struct spec_workspace w = { 0 };
	assert_true(spec_workspace_parse(buf_str(&deep), &f->paths, &w, &f->e) < 0);
	assert_string_equal(f->e.message, "workspace: the path is too long");
}

static void test_workspace_not_utf8(void **state)
{
	struct fixture *f = *state;
	auto_free char *path = make_dir(f->project, "\xff");
	struct spec_workspace w = { 0 };

	assert_true(spec_workspace_parse(path, &f->paths, &w, &f->e) < 0);
	assert_non_null(strstr(f->e.message, "not valid UTF-8"));
	assert_null(strchr(f->e.message, '\xff'));
}

static void test_workspace_system(void **state)
{
	static const struct {
		const char *path, *why;
	} cases[] = {
		{ "/", "whole machine" },
		{ "/etc", "belongs to the system" },
		{ "/usr/share", "belongs to the system" },
		{ "/proc/self", "symbolic link" },
		{ "/proc", "belongs to the system" },
		{ "/sys/kernel", "belongs to the system" },
		{ "/dev", "belongs to the system" },
		{ "/dev/shm", "belongs to the system" },
		{ "/run", "Ward's own files" },
		{ "/home", "more than one project" },
		{ "/tmp", "more than one project" },
		{ "/var/tmp", "home directory is in it" },
		{ "/var", "home directory is in it" },
		{ "/opt", "more than one project" },
		{ "/nonexistent", "does not exist" },
		{ "/etc/passwd", "not a directory" },
		{ "/etc/passwd/x", "not a directory" },
	};
	struct fixture *f = *state;

	f->paths.runtime = "/run/user/1000/ward";
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect_refused(f, cases[i].path, cases[i].why);
	struct spec_workspace w = { 0 };
	assert_int_equal(spec_workspace_parse("", &f->paths, &w, &f->e), -EINVAL);
	assert_int_equal(f->e.kind, ERR_USAGE);
	assert_int_equal(spec_workspace_parse(":ro", &f->paths, &w, &f->e), -EINVAL);
}

static void test_workspace_own(void **state)
{
	struct fixture *f = *state;
	auto_free char *above_home = fs_join(f->top, "home");
	auto_free char *share = fs_join(f->home, ".local/share");
	auto_free char *inside = make_dir(f->data, "sandboxes/x");
	auto_free char *ssh = make_dir(f->home, ".ssh/keys");
	auto_free char *dot_config = fs_join(f->home, ".config");
	auto_free char *run = fs_join(f->top, "run");

	expect_refused(f, f->home, "your home directory");
	expect_refused(f, above_home, "your home directory is in it");
	expect_refused(f, f->top, "your home directory is in it");
	expect_refused(f, f->data, "Ward's own files");
	expect_refused(f, inside, "Ward's own files");
	expect_refused(f, share, "Ward's own files");
	expect_refused(f, f->config, "Ward's own files");
	expect_refused(f, dot_config, "Ward's own files");
	expect_refused(f, f->runtime, "Ward's own files");
	expect_refused(f, run, "Ward's own files");
	expect_refused(f, ssh, "credentials");
	/* A name that only begins like one of ours is another directory. */
	auto_free char *beside = xasprintf("%s-other", f->data);
	assert_int_equal(mkdir(beside, 0755), 0);
	expect_workspace(f, beside, beside, false);
}

static void test_workspace_symlinks(void **state)
{
	struct fixture *f = *state;
	auto_free char *secret = make_dir(f->top, "secret/deep");
	auto_free char *link = fs_join(f->project, "sub");
	auto_free char *link_slash = fs_join(link, "");
	auto_free char *through = fs_join(link, "deep");
	auto_free char *secret_top = fs_join(f->top, "secret");
	auto_free char *dangling = fs_join(f->project, "dangling");

	assert_int_equal(symlink(secret_top, link), 0);
	assert_int_equal(symlink("/nonexistent", dangling), 0);
	expect_refused(f, link, "symbolic link");
	assert_non_null(strstr(f->e.hint, secret_top));
	assert_int_equal(f->e.kind, ERR_REFUSED);
	expect_refused(f, link_slash, "symbolic link");
	expect_refused(f, dangling, "symbolic link");
	/* An earlier component and a linked current directory are resolved. */
	expect_workspace(f, through, secret, false);
	assert_int_equal(chdir(link), 0);
	expect_workspace(f, ".", secret_top, false);
	/* ... and cannot hide what is refused. */
	auto_free char *home_link = fs_join(f->top, "h");
	auto_free char *home_through = fs_join(home_link, ".");
	assert_int_equal(symlink(f->home, home_link), 0);
	expect_refused(f, home_through, "your home directory");
}

/* As nobody, when the test runs as root: permissions do not bind root. */
static int run_unreadable(struct fixture *f, const char *path)
{
	struct spec_workspace w = { 0 };
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		if (geteuid() == 0 &&
		    (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0))
			_exit(2);
		f->e = ERR_INIT;
		if (spec_workspace_parse(path, &f->paths, &w, &f->e) >= 0)
			_exit(3);
		_exit(strstr(f->e.message, "you may not read it") && f->e.hint[0] ? 0 : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_workspace_unreadable(void **state)
{
	struct fixture *f = *state;
	auto_free char *closed = make_dir(f->top, "closed");
	auto_free char *below = make_dir(f->top, "closed/below");
	auto_free char *no_search = make_dir(f->top, "nosearch");

	assert_int_equal(chmod(f->top, 0755), 0);
	assert_int_equal(chmod(closed, 0700), 0);
	assert_int_equal(chmod(no_search, 0644), 0);
	if (geteuid() != 0)
		assert_int_equal(chmod(closed, 0), 0);
	assert_int_equal(run_unreadable(f, closed), 0);
	assert_int_equal(run_unreadable(f, below), 0);
	assert_int_equal(run_unreadable(f, no_search), 0);
	assert_int_equal(chmod(closed, 0700), 0);
	assert_int_equal(chmod(no_search, 0700), 0);
}

/* Volumes */

static void expect_volume(struct fixture *f, const char *text, const char *source,
			  const char *target, bool readonly, bool is_dir)
{
	struct spec_volume v = { 0 };
	struct stat st;

	f->e = ERR_INIT;
	if (spec_volume_parse(text, &f->paths, &v, &f->e) < 0)
		fail_msg("%s: %s", text, f->e.message);
	assert_string_equal(v.source, source);
	assert_string_equal(v.target, target);
	assert_int_equal(v.readonly, readonly);
	assert_int_equal(v.is_dir, is_dir);
	assert_int_equal(stat(source, &st), 0);
	assert_true(v.dev == st.st_dev && v.ino == st.st_ino);
	spec_volume_clear(&v);
}

static void expect_no_volume(struct fixture *f, const char *text, enum err_kind kind,
			     const char *why)
{
	struct spec_volume v = { 0 };

	f->e = ERR_INIT;
	if (spec_volume_parse(text, &f->paths, &v, &f->e) >= 0)
		fail_msg("volume %s was accepted", text);
	assert_null(v.source);
	assert_null(v.target);
	if (!strstr(f->e.message, why) || f->e.kind != kind)
		fail_msg("%s: '%s' (%s), expected '%s'", text, f->e.message,
			 err_kind_name(f->e.kind), why);
	assert_null(strchr(f->e.message, '\n'));
}

static void test_volume(void **state)
{
	struct fixture *f = *state;
	auto_free char *file = fs_join(f->project, "file");
	auto_free char *a = xasprintf("%s:/mnt/x", f->project);
	auto_free char *b = xasprintf("%s:/mnt//x/./y/:ro", f->project);
	auto_free char *c = xasprintf("%s:/etc/x.conf:rw", file);

	put_file(f->project, "file", "x");
	expect_volume(f, a, f->project, "/mnt/x", false, true);
	expect_volume(f, b, f->project, "/mnt/x/y", true, true);
	expect_volume(f, c, file, "/etc/x.conf", false, false);
}

static void test_volume_usage(void **state)
{
	static const char *const texts[] = {
		"",	   ":",		 "::",	      "a",	  "a:b:c:d",
		"rel:/x",  "./rel:/x",	 "/x",	      "/x:",	  "/x:rel",
		"/x:../y", "/x:/y/../z", "/x:/y:",    "/x:/y:no", "/x:/y:ro:ro",
		"/x\n:/y", "/x:/y\n",	 "/x:/y\x7f", ":/y",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		expect_no_volume(f, texts[i], ERR_USAGE, "volume");
		assert_true(f->e.hint[0] != '\0');
	}
}

static void test_volume_refused(void **state)
{
	static const struct {
		const char *source, *why;
	} cases[] = {
		{ "/", "whole machine" },
		{ "/etc/passwd", "belongs to the system" },
		{ "/proc/version", "belongs to the system" },
		{ "/dev/null", "neither a file nor a directory" },
		{ "/root", "more than one project" },
	};
	static const char *const credentials[] = {
		".ssh", ".gnupg", ".aws", ".config/gcloud", ".docker", ".kube",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *text = xasprintf("%s:/mnt/x", cases[i].source);

		expect_no_volume(f, text, ERR_REFUSED, cases[i].why);
	}
	for (size_t i = 0; i < ARRAY_SIZE(credentials); i++) {
		auto_free char *dir = make_dir(f->home, credentials[i]);
		auto_free char *text = xasprintf("%s:/mnt/x:ro", dir);
		auto_free char *below = xasprintf("%s/config:/mnt/x:ro", dir);

		put_file(dir, "config", "x");
		expect_no_volume(f, text, ERR_REFUSED, "credentials");
		expect_no_volume(f, below, ERR_REFUSED, "credentials");
	}
	auto_free char *missing = xasprintf("%s/none:/mnt/x", f->project);
	expect_no_volume(f, missing, ERR_INPUT, "does not exist");
}

static void test_volume_socket_and_link(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	auto_free char *text = xasprintf("%s/docker.sock:/mnt/s", f->project);
	auto_free char *link = xasprintf("%s/link:/mnt/s", f->project);
	auto_free char *link_path = fs_join(f->project, "link");

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/docker.sock", f->project);
	assert_int_equal(bind(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
	expect_no_volume(f, text, ERR_REFUSED, "it is a socket");
	assert_int_equal(symlink("/etc/passwd", link_path), 0);
	expect_no_volume(f, link, ERR_REFUSED, "symbolic link");
	assert_string_equal(f->e.hint, "give the real path: /etc/passwd");
}

static void test_volume_targets(void **state)
{
	static const char *const targets[] = {
		"/",	"//",	"/.",	      "/proc",	     "/proc/sys",
		"/sys", "/dev", "/dev/shm/x", "/etc",	     "/usr",
		"/bin", "/tmp", "/run",	      "/run/ward/x", "/home/agent",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		auto_free char *text = xasprintf("%s:%s", f->project, targets[i]);

		expect_no_volume(f, text, ERR_REFUSED, "the sandbox's own");
	}
}

/* Templates */

static void test_templates(void **state)
{
	struct fixture *f = *state;
	auto_free char *root = make_dir(f->top, "rootfs");
	auto_free char *usr = fs_join(root, "usr");
	auto_free char *etc = fs_join(root, "etc");
	auto_free char *text = xasprintf("dir:%s/", root);
	struct spec_template t = { 0 };

	assert_int_equal(mkdir(usr, 0755), 0);
	assert_int_equal(spec_template_parse("host", &t, &f->e), 0);
	assert_int_equal(t.kind, SPEC_TEMPLATE_HOST);
	assert_string_equal(t.ref, "host");
	spec_template_clear(&t);
	assert_int_equal(spec_template_parse("python:3-slim", &t, &f->e), 0);
	assert_int_equal(t.kind, SPEC_TEMPLATE_IMAGE);
	spec_template_clear(&t);
	assert_true(spec_template_parse(text, &t, &f->e) < 0);
	assert_non_null(strstr(f->e.message, "no root file system"));
	assert_non_null(strstr(f->e.hint, "mmdebstrap"));
	assert_int_equal(mkdir(etc, 0755), 0);
	assert_int_equal(spec_template_parse(text, &t, &f->e), 0);
	assert_int_equal(t.kind, SPEC_TEMPLATE_DIR);
	assert_string_equal(t.path, root);
	assert_string_equal(t.ref, text);
	spec_template_clear(&t);
}

static void test_bad_templates(void **state)
{
	static const struct {
		const char *text, *why, *hint;
	} cases[] = {
		{ "", "not the name of an image", "" },
		{ "-x", "not the name of an image", "" },
		{ "a b", "not the name of an image", "" },
		{ "a\nb", "not the name of an image", "" },
		{ "/srv/x", "a path needs to say what it is", "-t dir:/srv/x" },
		{ "./x", "a path needs to say what it is", "-t dir:./x" },
		{ "dir:", "the path is empty", "" },
		{ "dir:/nonexistent", "does not exist", "" },
		{ "dir:/etc/passwd", "not a directory", "" },
		{ "dir:/", "whole machine", "-t host" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct spec_template t = { 0 };

		f->e = ERR_INIT;
		assert_true(spec_template_parse(cases[i].text, &t, &f->e) < 0);
		assert_null(t.ref);
		if (!strstr(f->e.message, cases[i].why) || !strstr(f->e.hint, cases[i].hint))
			fail_msg("%s: %s / %s", cases[i].text, f->e.message, f->e.hint);
	}
}

/* config.yaml */

static void test_config(void **state)
{
	struct fixture *f = *state;
	struct spec_config *c = NULL;
	auto_buf text = BUF_INIT;

	assert_int_equal(spec_config_read(f->config, &c, &f->e), 0);
	assert_null(c->template);
	assert_null(c->registries);
	assert_null(c->network);
	assert_int_equal(c->grace_seconds, 600);
	assert_string_equal(f->e.message, "");
	spec_config_free(c);
	put_file(f->config, "config.yaml", "# nothing yet\n");
	assert_int_equal(spec_config_read(f->config, &c, &f->e), 0);
	spec_config_free(c);
	put_file(f->config, "config.yaml",
		 "template: host\nnetwork: locked\ncredentials: none\ngrace: 1m30s\n"
		 "environment:\n  EDITOR: vi\n  EMPTY: \"\"\n"
		 "registries:\n  h.io:5000: {insecure: true, ca: /a.pem}\n"
		 "  docker.io: {mirrors: [m.io, localhost:5000]}\n");
	assert_int_equal(spec_config_read(f->config, &c, &f->e), 0);
	assert_string_equal(c->template, "host");
	assert_string_equal(c->network, "locked");
	assert_string_equal(c->credentials, "none");
	assert_int_equal(c->grace_seconds, 90);
	assert_string_equal(strv_env_get(&c->env, "EDITOR"), "vi");
	assert_string_equal(strv_env_get(&c->env, "EMPTY"), "");
	json_write(c->registries, false, &text);
	assert_string_equal(buf_str(&text),
			    "[{\"host\":\"h.io:5000\",\"insecure\":true,\"ca\":\"/a.pem\","
			    "\"mirrors\":[]},{\"host\":\"docker.io\",\"insecure\":false,"
			    "\"mirrors\":[\"m.io\",\"localhost:5000\"]}]");
	spec_config_free(c);
}

static void test_bad_config(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "tempalte: host\n",
		  "config.yaml:1: unknown field 'tempalte', did you mean 'template'?" },
		{ "\nnetwork: lokced\n", "config.yaml:2: 'network' is 'lokced'; it can be 'open'" },
		{ "grace: soon\n", "config.yaml:1: 'grace' must be a duration" },
		{ "- a\n", "config.yaml:1: the configuration must be a mapping" },
		{ "environment: {\"A B\": x}\n", "config.yaml:1: 'A B' cannot name" },
		{ "a: [\n", "not valid YAML" },
		{ "registries: [a]\n", "config.yaml:1: 'registries' must be a mapping" },
		{ "registries: {\"a/b\": {}}\n", "config.yaml:1: a registry must be HOST" },
		{ "registries: {a.io: {insecure: 1}}\n", "'insecure' must be true or false" },
		{ "registries: {a.io: {ca: x.pem}}\n", "'ca' must be an absolute path" },
		{ "registries: {a.io: {mirrors: [\"http://m\"]}}\n", "a mirror must be HOST" },
		{ "registries: {a.io: {secure: true}}\n", "unknown field 'secure'" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct spec_config *c = NULL;

		put_file(f->config, "config.yaml", cases[i].text);
		f->e = ERR_INIT;
		assert_true(spec_config_read(f->config, &c, &f->e) < 0);
		assert_null(c);
		if (!strstr(f->e.message, cases[i].why))
			fail_msg("%s: %s", cases[i].text, f->e.message);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_workspace),
		TEST(test_workspace_odd_names),
		TEST(test_workspace_long),
		TEST(test_workspace_not_utf8),
		TEST(test_workspace_system),
		TEST(test_workspace_own),
		TEST(test_workspace_symlinks),
		TEST(test_workspace_unreadable),
		TEST(test_volume),
		TEST(test_volume_usage),
		TEST(test_volume_refused),
		TEST(test_volume_socket_and_link),
		TEST(test_volume_targets),
		TEST(test_templates),
		TEST(test_bad_templates),
		TEST(test_config),
		TEST(test_bad_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
