/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker_socket: where this user's container engine listens.
 *
 * In the order of Docker's own client: DOCKER_HOST, the context of DOCKER_CONTEXT or of its
 * configuration, then the usual places, the user's own engine first.  What is named must be there;
 * the usual places are tried.  Only a Unix socket of this machine that this user may connect to is
 * taken.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/engine_internal.h"

enum { DOCKER_FILE_MAX = 1 << 20, CONTEXTS_MAX = 1000 };

static int no_engine(struct err *e)
{
	err_set(e, ERR_NOT_FOUND, -ENOENT, "no container engine answers on this machine");
	return err_hint(e, "start it, or say where its socket is: DOCKER_HOST=unix:///PATH");
}

/* Does something listen there that we may connect to? */
static int try_socket(const char *path, char **ret, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_free char *real = NULL;
	auto_free char *shown = text_escaped(path);
	auto_close int fd = -1;
	struct stat st;

	if (fs_canonical(path, &real, NULL) < 0 || stat(real, &st) < 0) {
		int r = err_sys(e, "%s", shown);

		err_hint(e, "is the engine running? docker info");
		return r;
	}
	if (!S_ISSOCK(st.st_mode) || strlen(real) >= sizeof(a.sun_path))
		return err_set(e, ERR_REFUSED, -ENOTSOCK, "%s: not a socket", shown);
	memcpy(a.sun_path, real, strlen(real));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		int r = err_sys(e, "%s", shown);

		if (r == -EACCES || r == -EPERM)
			return err_hint(e, "sudo usermod -aG docker %s, and log in again",
					"\"$USER\"");
		return err_hint(e, "is the engine running? docker info");
	}
	*ret = steal(&real);
	return 0;
}

/* unix:///PATH; everything else is on another machine, or needs more than a socket. */
static int from_host(const char *what, const char *host, char **ret, struct err *e)
{
	auto_free char *shown = text_escaped(host);

	if (text_starts(host, "unix:///"))
		return try_socket(host + strlen("unix://"), ret, e);
	err_set(e, ERR_REFUSED, -ENOTSUP, "%s is %s, not a socket of this machine", what, shown);
	return err_hint(e, "DOCKER_HOST=unix:///PATH names one; hosts are allowed with "
			   "--allow-host");
}

static struct json *read_json(const char *dir, const char *name)
{
	auto_close int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_buf text = BUF_INIT;
	struct json *j = NULL;

	if (fd < 0 || fs_read_at(fd, name, DOCKER_FILE_MAX, &text, NULL) < 0 ||
	    json_parse(buf_str(&text), text.len, &j, NULL) < 0)
		return NULL;
	return j;
}

/* The host of a context: contexts/meta/HASH/meta.json, {"Name", "Endpoints": {"docker": {"Host"}}}
 */
static char *context_host(const char *config, const char *context)
{
	auto_free char *dir = fs_join(config, "contexts/meta");
	DIR *d = opendir(dir);
	char *host = NULL;
	size_t n = 0;
	struct dirent *entry;

	while (d && !host && n++ < CONTEXTS_MAX && (entry = readdir(d))) {
		auto_free char *sub = fs_join(dir, entry->d_name);
		auto_json j = entry->d_name[0] == '.' ? NULL : read_json(sub, "meta.json");
		const char *name = NULL, *text = NULL;

		if (j && json_get_string(j, "Name", &name) == 0 && strcmp(name, context) == 0 &&
		    json_get_string(json_get(json_get(j, "Endpoints"), "docker"), "Host", &text) ==
			    0)
			host = xstrdup(text);
	}
	if (d)
		closedir(d);
	return host;
}

/* 1 when no context says anything. */
static int from_context(const char *home, char **ret, struct err *e)
{
	const char *given = getenv("DOCKER_CONFIG");
	auto_free char *config =
		given && given[0] == '/' ? xstrdup(given) : fs_join(home, ".docker");
	const char *context = getenv("DOCKER_CONTEXT");
	auto_json j = read_json(config, "config.json");
	auto_free char *host = NULL;

	if (!context || !*context)
		context = NULL;
	if (!context && j && json_get_string(j, "currentContext", &context) < 0)
		context = NULL;
	if (!context || strcmp(context, "default") == 0)
		return 1;
	host = context_host(config, context);
	if (!host) {
		auto_free char *shown = text_escaped(context);

		err_set(e, ERR_NOT_FOUND, -ENOENT, "no Docker context named '%s'", shown);
		return err_hint(e, "docker context ls");
	}
	return from_host("the Docker context", host, ret, e);
}

int engine_docker_socket(const char *home, char **ret, struct err *e)
{
	static const char *const system[] = { "/var/run/docker.sock", "/run/docker.sock" };
	const char *host = getenv("DOCKER_HOST");
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int r;

	if (host && *host)
		return from_host("DOCKER_HOST", host, ret, e);
	r = from_context(home, ret, e);
	if (r <= 0)
		return r;
	if (runtime && runtime[0] == '/') {
		auto_free char *path = fs_join(runtime, "docker.sock");

		if (try_socket(path, ret, NULL) == 0)
			return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(system); i++) {
		struct stat st;

		/* What is there and cannot be used says more than that nothing is. */
		if (stat(system[i], &st) == 0)
			return try_socket(system[i], ret, e);
	}
	return no_engine(e);
}
