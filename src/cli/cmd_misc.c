/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_misc: version, help and completion.
 */
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

int cmd_version(struct cli *c, struct err *e)
{
	auto_buf b = BUF_INIT;

	if (cli_wants_json(c)) {
		auto_json j = json_object();
		struct utsname u;

		json_set_string(j, "version", WARD_VERSION);
		json_set_string(j, "engine", "native");
		if (uname(&u) == 0) {
			json_set_string(j, "kernel", u.release);
			json_set_string(j, "machine", u.machine);
		}
		return term_out_json(j, e);
	}
	buf_puts(&b, "ward " WARD_VERSION "\n");
	return term_out(&b, e);
}

int cmd_help(struct cli *c, struct err *e)
{
	auto_buf b = BUF_INIT;
	auto_buf shown = BUF_INIT;
	const struct verb *v;
	const char *word;

	if (c->operands.v.n == 0) {
		cli_help(c->program, &b);
		return term_out(&b, e);
	}
	word = c->operands.v.v[0];
	v = cli_verb_find(word);
	if (!v) {
		text_escape(&shown, word, strlen(word), 80);
		err_set(e, ERR_USAGE, -EINVAL, "unknown command '%s'", buf_str(&shown));
		return err_hint(e, "%s help", c->program);
	}
	cli_help_verb(c->program, v, &b);
	return term_out(&b, e);
}

int cmd_completion(struct cli *c, struct err *e)
{
	auto_buf b = BUF_INIT;
	int r = cli_completion(c->operands.v.v[0], &b, e);

	return r < 0 ? r : term_out(&b, e);
}
