/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_login: the user's credentials for a registry, where `docker login` put them.
 *
 * Runs before the process is confined: helpers are the user's own programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/text.h"
#include "image/registry_internal.h"

enum { CONFIG_MAX = 1 << 20, ANSWER_MAX = 64 << 10, HELPER_TIMEOUT_MS = 60000 };

/* What keyrings and password stores need to be found. */
static const char *const helper_env[] = {
	"HOME",
	"PATH",
	"USER",
	"LOGNAME",
	"LANG",
	"LC_ALL",
	"DISPLAY",
	"WAYLAND_DISPLAY",
	"XDG_RUNTIME_DIR",
	"XDG_CONFIG_HOME",
	"XDG_DATA_HOME",
	"DBUS_SESSION_BUS_ADDRESS",
	"GNUPGHOME",
	"GPG_TTY",
	"PASSWORD_STORE_DIR",
	"DOCKER_CONFIG",
};

static char *find_in_path(const char *program)
{
	const char *path = getenv("PATH");

	while (path && *path) {
		size_t n = strcspn(path, ":");
		auto_free char *dir = xstrndup(path, n);
		auto_free char *file = fs_join(dir, program);

		if (dir[0] == '/' && access(file, X_OK) == 0)
			return steal(&file);
		path += n + (path[n] == ':');
	}
	return NULL;
}

/* Ask a helper; that it knows nothing is no error. */
static int ask_helper(const char *name, const char *host, struct registry_login *ret, struct err *e)
{
	auto_free char *program = xasprintf("docker-credential-%s", name);
	auto_free char *path = find_in_path(program);
	char get[] = "get";
	char *argv[] = { program, get, NULL };
	const char *key = registry_login_key(host);
	auto_strv env = STRV_INIT;
	auto_buf out = BUF_INIT;
	int status = 0;
	int r;

	if (!path) {
		err_set(e, ERR_HOST, -ENOENT, "registry credentials: %s is not in PATH", program);
		return err_hint(e, "install it, or remove it from ~/.docker/config.json");
	}
	for (size_t i = 0; i < ARRAY_SIZE(helper_env); i++) {
		if (getenv(helper_env[i]))
			strv_env_set(&env, helper_env[i], getenv(helper_env[i]));
	}
	r = spawn_run(&(struct spawn){ .path = path,
				       .argv = argv,
				       .env = strv_argv(&env),
				       .input = key,
				       .input_len = strlen(key),
				       .output_max = ANSWER_MAX,
				       .timeout_ms = HELPER_TIMEOUT_MS },
		      &out, NULL, &status, e);
	if (r == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		r = registry_helper_answer(buf_str(&out), out.len, ret, e);
	else if (r == 0 && !strstr(buf_str(&out), "not found"))
		r = err_set(e, ERR_HOST, -EACCES, "registry credentials: %s failed", program);
	if (out.data)
		explicit_bzero(out.data, out.len);
	return r;
}

static char *config_path(void)
{
	const char *dir = getenv("DOCKER_CONFIG");
	const char *home = getenv("HOME");

	if (dir && dir[0] == '/')
		return fs_join(dir, "config.json");
	return home && home[0] == '/' ? xasprintf("%s/.docker/config.json", home) : NULL;
}

int registry_login_find(const char *host, struct registry_login *ret, struct err *e)
{
	auto_free char *path = config_path();
	auto_free char *helper = NULL;
	struct registry_login asked = { 0 };
	auto_buf text = BUF_INIT;
	auto_close int fd = -1;
	int r;

	/* A link is fine here: the file is the user's. */
	fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
	if (fd < 0)
		return 0;
	r = fs_read_fd(fd, CONFIG_MAX, &text, e);
	if (r == 0)
		r = registry_config_find(buf_str(&text), text.len, host, &helper, ret, e);
	if (r == 0 && helper)
		r = ask_helper(helper, host, &asked, e);
	if (asked.user || asked.token) {
		registry_login_clear(ret);
		*ret = asked;
	}
	if (text.data)
		explicit_bzero(text.data, text.len);
	return r;
}
