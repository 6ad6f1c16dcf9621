/* SPDX-License-Identifier: Apache-2.0 */
/*
 * info: what is really in force in a running box.
 *
 * The numbers come from the kernel: the namespaces as box_start saw them, and /proc/PID/status and
 * limits of the newest program, read by init at the moment it had been executed.  Nothing here
 * repeats what the code meant to do.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

/* The rest of the line that starts with key, without leading blanks; "" when absent. */
static char *field(const char *text, const char *key)
{
	size_t n = strlen(key);

	while (text && *text) {
		if (strncmp(text, key, n) == 0) {
			const char *p = text + n;

			p += strspn(p, " \t:");
			return xstrndup(p, strcspn(p, "\n"));
		}
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return xstrdup("");
}

static void set_number(struct json *j, const char *name, const char *text, const char *key)
{
	auto_free char *value = field(text, key);
	uint64_t u;

	value[strcspn(value, " \t")] = '\0';
	if (text_u64(value, UINT64_MAX, &u) == 0)
		json_set_uint(j, name, u);
	else
		json_set(j, name, value[0] ? json_string(value) : NULL);
}

static void set_text(struct json *j, const char *name, const char *text, const char *key)
{
	auto_free char *value = field(text, key);

	json_set(j, name, value[0] ? json_string(value) : NULL);
}

static struct json *program(const struct supervisor *sup)
{
	struct json *j = json_object();
	auto_free char *seccomp = field(sup->status, "Seccomp:");

	json_set_uint(j, "session", sup->status_of);
	json_set_string(j, "seccomp",
			strcmp(seccomp, "2") == 0   ? "filter"
			: strcmp(seccomp, "0") == 0 ? "off"
						    : seccomp);
	set_number(j, "seccomp_filters", sup->status, "Seccomp_filters:");
	set_number(j, "no_new_privs", sup->status, "NoNewPrivs:");
	set_text(j, "capabilities_bounding", sup->status, "CapBnd:");
	set_text(j, "capabilities_effective", sup->status, "CapEff:");
	set_text(j, "capabilities_inheritable", sup->status, "CapInh:");
	set_text(j, "capabilities_ambient", sup->status, "CapAmb:");
	set_text(j, "uid", sup->status, "Uid:");
	set_text(j, "gid", sup->status, "Gid:");
	set_number(j, "user_namespace", sup->status, "UserNamespace:");
	json_set_string(j, "landlock",
			sup->landlock_abi >= CONFINE_LANDLOCK_ABI_SCOPE ? "scope" : "no scopes");
	return j;
}

static struct json *limits(const struct supervisor *sup)
{
	static const struct {
		const char *name;
		const char *key;
	} table[] = {
		{ "processes", "Max processes" },
		{ "open_files", "Max open files" },
		{ "core_file_size", "Max core file size" },
		{ "locked_memory", "Max locked memory" },
		{ "file_size", "Max file size" },
	};
	struct json *j = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		set_number(j, table[i].name, sup->status, table[i].key);
	return j;
}

/* Which connections get to the proxy although the program does not know of it. */
static struct json *capture(const struct box_net *net)
{
	struct json *j = json_object();

	json_set_bool(j, "ipv4", net->v4[0] >= 0);
	json_set_bool(j, "ipv6", net->v6[0] >= 0);
	json_set(j, "reason", net->reason[0] ? json_string(net->reason) : NULL);
	return j;
}

struct json *supervisor_info(const struct supervisor *sup)
{
	struct json *j = json_object();
	struct json *proxy = json_object();
	const struct box_ids *ids = &sup->params.config->ids;
	char when[32];

	json_set_int(j, "init_pid", sup->box.init_pid);
	text_rfc3339(sup->started_at, when);
	json_set_string(j, "started_at", when);
	json_set_string(j, "id_mode", box_id_mode_name((enum box_id_mode)ids->mode));
	json_set(j, "namespaces", supervisor_namespaces(sup));
	/* Measured on a program; null until one ran. */
	json_set(j, "program", sup->status ? program(sup) : NULL);
	json_set(j, "limits", sup->status ? limits(sup) : NULL);
	json_set_string(j, "supervisor_landlock", sup->landlock);
	json_set_bool(proxy, "serving", sup->proxy.ready);
	json_set_int(proxy, "pid", sup->proxy.pid);
	json_set_uint(proxy, "restarts", sup->proxy.total_restarts);
	json_set(j, "proxy", proxy);
	json_set(j, "capture", capture(&sup->box.net));
	json_set(j, "policy_problem",
		 sup->policy.problem ? json_string(sup->policy.problem) : NULL);
	if (sup->ports.list.n || sup->ports.total_restarts) {
		struct json *ports = json_object();

		json_set_bool(ports, "serving", sup->ports.ready);
		json_set_int(ports, "pid", sup->ports.pid);
		json_set_uint(ports, "restarts", sup->ports.total_restarts);
		json_set(j, "ports", ports);
	}
	json_set_uint(j, "sessions_started", sup->starts);
	return j;
}
