/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verb_texts: what help and manual pages say about each verb, in paragraphs.
 */
#include "cli/verb_texts.h"

const char run_text[] =
	"Makes the sandbox of a workspace and agent when it does not exist, starts it when it is "
	"stopped, and attaches the agent to this terminal. The sandbox sees the workspace at its "
	"own absolute path and nothing else of this machine.\n\n"
	"Behind AGENT, leading arguments that name existing directories are workspaces; :ro makes "
	"one read-only. The first other argument, or --, starts the agent's own arguments, which "
	"are added to the flags that the agent is always started with. Instead of an agent, the "
	"name or id of an existing sandbox may be given.\n\n"
	"There is one sandbox for each workspace and agent: running again in the same directory "
	"uses it again, with everything that was installed in it. --name makes a further one. "
	"Settings are fixed when the sandbox is made; --recreate makes it anew.\n\n"
	"The agent ends when its terminal is closed, unless it was started with --detach or "
	"detached "
	"with the detach keys: then it goes on, and attach goes back to it.\n\n"
	"Without --template, this machine's own programs are used, read-only, if the agent is "
	"installed here.";
const char create_text[] =
	"Makes a sandbox and prints its name, without starting the agent. If the workspace already "
	"has a sandbox of that agent, its name is printed. The options are those of run.";
const char exec_text[] =
	"Runs a program in a sandbox, which is started if it is stopped. Without -i the program's "
	"standard input is empty; without -t it has no terminal. Without COMMAND, -i or -t "
	"starts the user's login shell: 'exec -it SANDBOX' opens one, 'exec -i SANDBOX' reads "
	"commands.";
const char attach_text[] =
	"Connects this terminal to a session that is still running, and shows its recent output "
	"first. Of one that has ended it shows the end of its output, says how it ended, and "
	"returns "
	"its exit code. Without SESSION it is the newest session of the agent.\n\n"
	"The session goes on when the detach keys are pressed, and from then on also when the "
	"terminal is closed. One that was never detached ends with its terminal.";
const char ls_text[] =
	"Lists the sandboxes of this user, oldest first. Nothing needs to be running. A sandbox "
	"whose record cannot be read is shown as broken, with the reason on standard error.\n\n"
	"Filters: name (part of it), id (its beginning), agent, status (running, stopped or "
	"broken), workspace (a directory) and label (KEY or KEY=VALUE). Different keys must all "
	"match; of the same key, one of the values.";
const char inspect_text[] =
	"Prints a JSON array with one object for each sandbox. The object \"enforcement\" says "
	"what was measured in the running sandbox, not what was asked for. Values of variables "
	"whose names look like secrets are not shown.";
const char stop_text[] =
	"Ends every program of the sandboxes: first asked, after the timeout forced. Files stay.";
const char rm_text[] = "Deletes sandboxes with everything in them. Workspaces are never "
		       "touched. A sandbox in which "
		       "something still runs is refused unless --force is given.";
const char prune_text[] =
	"Deletes stopped sandboxes. Workspaces are never touched; running and broken sandboxes "
	"stay. On a terminal a question is asked first, unless --force is given.";
const char cp_text[] =
	"Copies files and directories between this machine and a sandbox, which is started if it "
	"is "
	"stopped. One of SRC and DST is SANDBOX:PATH. A directory is copied into an existing "
	"directory under its own name; SRC/. copies its contents. - reads or writes a tar "
	"stream.\n\n"
	"What comes out of a sandbox is written below DST only: no symbolic link is followed, and "
	"devices, set-user-id bits and owners are not kept. What goes in belongs to the owner of "
	"the "
	"directory that it is put into.";
const char logs_text[] =
	"Prints the recorded output of a session, without SESSION of the newest. On a terminal, "
	"control sequences are left out; --raw keeps them.";
const char ports_text[] =
	"Lists the published ports of a sandbox, or changes them: at once while it runs, and for "
	"its next starts. A service that listens on the sandbox's own 127.0.0.1 or ::1 is reached "
	"as well as one that listens on every address.\n\n"
	"Without IP, a port is on 127.0.0.1 and ::1 of this machine, where nobody else reaches it. "
	"Without HOSTPORT it is one that is free, the same at every start as long as it is. Only "
	"TCP is published. --unpublish takes as much as is needed to tell a port from the others: "
	"PORT alone withdraws all that lead there.";
const char kit_text[] =
	"An agent is described by a kit, a file spec.yaml. Own kits live in "
	"~/.config/ward/kits/NAME/spec.yaml and come before the built-in ones; with 'run --kit' a "
	"kit is taken from a directory or a ZIP file.";
const char template_text[] =
	"A template is the root file system that sandboxes start from: an image from a registry, "
	"named as Docker's users write it. Credentials are those of docker login. Registries "
	"without TLS, with a certificate authority of their own, or with mirrors are told in "
	"config.yaml (registries).\n\n"
	"pull brings an image here and prints its digest; what was interrupted is continued. push "
	"sends a template to its registry, or to another one under another name. ls "
	"lists what is here. inspect prints JSON. rm removes templates; one that a sandbox uses "
	"is refused. prune frees the space of what nothing leads to any more.\n\n"
	"build -t NAME CONTEXT makes a template from a Dockerfile: each RUN runs in a sandbox of "
	"its own, which sees no files of yours, and reaches what the network preset allows. With "
	"'-f -', or '-' as CONTEXT, the Dockerfile is standard input. Steps that were built before "
	"are taken from a cache, which prune empties.\n\n"
	"build AGENT[@VERSION] makes a template that has the agent, of this machine's own package "
	"sources: the base system with git, curl, ripgrep, jq, sudo, build tools, Python and Node, "
	"by mmdebstrap and apt, and the agent by npm. It needs no registry of images, and 'run "
	"AGENT' takes it from then on.\n\n"
	"save SANDBOX NAME makes a template of a stopped sandbox: the image that it was made from, "
	"and what was changed since, in the system and in the home. Workspaces, volumes, logins, "
	"keys, conversations, histories and temporary files stay out of it.\n\n"
	"save -o FILE writes a template to a file, an OCI archive, and load brings it back, here "
	"or on another machine, under the name that the file gives it or another NAME. load also "
	"takes what docker save wrote.";
const char policy_text[] =
	"Which hosts sandboxes may reach: the preset, the kit's hosts, the options that a sandbox "
	"was made with, and the rules in two files policy.yaml, yours (~/.config/ward) and the "
	"sandbox's. All count together; deny beats allow. A rule is HOST[:PORT], *.HOST (one "
	"label), **.HOST (any depth), ** (every public name), an address or a block [:PORT], or "
	"localhost:PORT (a service of this machine, inside host.ward.internal:PORT); behind it "
	"methods and a path may follow.\n\n"
	"allow, deny and rm change a file and tell the running sandboxes, which take the rules at "
	"once: connections that are not allowed any more are cut. A file may be edited by hand; "
	"running sandboxes notice. A bad one changes nothing in them, and none is started with "
	"it.\n\n"
	"init sets the preset (open, balanced, locked or audit): of one sandbox with --sandbox, "
	"else of all that were made without --network. ls lists rules and their origin. check "
	"says what would become of a connection, and exits with 1 when it is denied. reset "
	"removes a file.\n\n"
	"log prints a record for each connection: when, where to, what became of it and by which "
	"rule, and how much went over it; of one sandbox or of all, oldest first. learn proposes "
	"the smallest rules for what a sandbox was refused, or used with the presets open and "
	"audit.";
const char volume_text[] =
	"An agent's volume holds the files of its login. They appear in every sandbox of that "
	"agent "
	"that was made with --credentials sandbox (the default), and a login or renewal in one of "
	"them appears in the others at once. Removing a sandbox does not log out; volume rm does, "
	"in running and stopped sandboxes alike. A program that runs keeps what it has read.";
const char completion_text[] = "Prints a completion script for a shell.";
