/* SPDX-License-Identifier: Apache-2.0 */
/*
 * foreign: commands and options that people bring along from Docker's two generations of
 * `docker sandbox`, and that are called differently here or do not exist.
 *
 * An unknown word is looked up here before it is called unknown, so that the answer names what
 * does the same.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

struct foreign {
	const char *verb; /* NULL: the word is a command itself */
	const char *word;
	const char *why;  /* behind the word */
	const char *cure; /* %P is the name of this program; NULL: none */
};

static const struct foreign words[] = {
	{ NULL, "reset", "there is no state besides the sandboxes", "%P rm --all --force" },
	{ NULL, "port", "ports are listed and changed with one command",
	  "%P ports SANDBOX --publish HOSTPORT:PORT, or --unpublish" },
	{ NULL, "network", "rules are kept by policy",
	  "%P policy allow|deny --sandbox SANDBOX HOST, policy init --sandbox SANDBOX PRESET" },
	{ NULL, "diagnose", "every start checks this machine and names the cure",
	  "%P run shell -- -c true" },
	{ "run", "load-local-template", "images come from files and registries",
	  "docker save IMAGE -o FILE, then -t docker-archive:FILE" },
	{ "create", "load-local-template", "images come from files and registries",
	  "docker save IMAGE -o FILE, then -t docker-archive:FILE" },
	{ "run", "patch-settings", "settings of the agent are seeded by its kit",
	  "%P kit inspect AGENT" },
	{ "exec", "privileged", "nothing in a sandbox has privileges on this machine",
	  "root inside: %P exec -u root SANDBOX COMMAND" },
	{ "rm", "volumes", "everything in a sandbox goes with it", "%P rm SANDBOX" },
};

/* Commands of Docker's that are the first word of a command here. */
static const struct {
	const char *word;
	const char *verb;
} actions[] = {
	{ "save", "template" },
};

const struct verb *cli_foreign_verb(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (strcmp(actions[i].word, word) == 0)
			return cli_verb_find(actions[i].verb);
	}
	return NULL;
}

static void cure(const char *text, const char *program, struct err *e)
{
	auto_buf b = BUF_INIT;
	const char *at = strstr(text, "%P");

	if (at)
		buf_printf(&b, "%.*s%s%s", (int)(at - text), text, program, at + 2);
	else
		buf_puts(&b, text);
	err_hint(e, "%s", buf_str(&b));
}

int cli_foreign(const char *program, const char *verb, const char *word, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const struct foreign *f = &words[i];

		if (strcmp(f->word, word) != 0 || !f->verb != !verb ||
		    (f->verb && verb && strcmp(f->verb, verb) != 0))
			continue;
		err_set(e, ERR_USAGE, -EINVAL, verb ? "option --%s: %s" : "'%s': %s", word, f->why);
		cure(f->cure, program, e);
		return e->code;
	}
	return -ENOENT;
}
