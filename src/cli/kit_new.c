/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kit_new: the kit that `ward kit new` begins with.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

/* The one %s is the name. What is commented out is valid when the marks are taken away. */
static const char template[] =
	"# A kit for Ward. docs/kits.md describes every field; check it with: ward kit validate\n"
	"schemaVersion: \"2\"\n"
	"kind: sandbox\n"
	"name: %s\n"
	"description: A coding agent of my own\n"
	"\n"
	"# Take another kit and change it. What is not given below comes from there.\n"
	"# extends: claude\n"
	"\n"
	"# Values that can be given with --kit-arg NAME=VALUE.\n"
	"# args:\n"
	"#   version:\n"
	"#     default: latest\n"
	"#     pattern: 'latest|\\d+\\.\\d+'\n"
	"\n"
	"sandbox:\n"
	"  # The program and its first arguments.\n"
	"  entrypoint: [bash]\n"
	"  command:\n"
	"    # With a terminal, and without one. Arguments of the command line follow.\n"
	"    interactive: []\n"
	"    default: []\n"
	"\n"
	"# The hosts that it needs, besides those of the network preset.\n"
	"# permissions:\n"
	"#   network:\n"
	"#     allow: [api.example.org, \"*.cdn.example.org\"]\n"
	"\n"
	"# environment:\n"
	"#   variables:\n"
	"#     EXAMPLE_UPDATE_CHECK: \"off\"\n"
	"\n"
	"# setup:\n"
	"#   # Once, when the sandbox is new.\n"
	"#   install:\n"
	"#     - command: npm install -g example-agent\n"
	"#   # At every start.\n"
	"#   startup:\n"
	"#     - command: [example-agent, serve]\n"
	"#       background: true\n"
	"#   # Files of the agent's home; onlyIfMissing: it may change them.\n"
	"#   files:\n"
	"#     - path: ~/.example/config.json\n"
	"#       onlyIfMissing: true\n"
	"#       content: |\n"
	"#         {\"trusted\": [\"${WORKDIR}\"]}\n"
	"\n"
	"# agentInstructions:\n"
	"#   filename: AGENTS.md\n"
	"#   content: |\n"
	"#     You run in a sandbox.\n"
	"\n"
	"# ward:\n"
	"#   # Files below the home that hold its login.\n"
	"#   credentialFiles: [.example/auth.json]\n"
	"#   # What it may see of your own settings for it.\n"
	"#   userConfig: [.example/instructions.md]\n"
	"#   installHint: npm install -g example-agent\n"
	"#   # Then 'ward template build NAME' makes a template that has it.\n"
	"#   npm: example-agent\n";

int cli_kit_new(const char *name, const char *dir, struct err *e)
{
	auto_free char *shown = text_escaped(dir);
	auto_buf text = BUF_INIT;
	auto_close int top = -1;
	auto_close int fd = -1;
	int r = text_check_name("kit name", name, e);

	if (r < 0)
		return r;
	/* One directory is made, not those above it: a misspelt path is found out. */
	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		return err_sys(e, "%s", shown);
	top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return err_sys(e, "%s", shown);
	fd = openat(top, "spec.yaml", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (fd < 0 && errno == EEXIST) {
		err_set(e, ERR_CONFLICT, -EEXIST, "%s/spec.yaml: it exists already", shown);
		return err_hint(e, "ward kit validate %s, or choose another directory", shown);
	}
	if (fd < 0)
		return err_sys(e, "%s/spec.yaml", shown);
	buf_printf(&text, template, name);
	r = fs_write_all(fd, buf_str(&text), text.len);
	if (r < 0) {
		unlinkat(top, "spec.yaml", 0);
		errno = -r;
		return err_sys(e, "%s/spec.yaml", shown);
	}
	return 0;
}
