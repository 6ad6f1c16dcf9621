#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The shell inside: exports that persist, PATH, language, time zone, terminal type, prompt, sudo and
# the login shell; on this machine's userland and on a root file system of its own.

bats_require_minimum_version 1.5.0

load ../lib/common
load ../lib/cli

setup() {
	common_setup
	PROJECT=$(new_workspace)
	PERSISTENT=/etc/sandbox-persistent.sh
}

teardown() {
	common_teardown
}

# make_box TEMPLATE: the sandbox "box"; the one before is removed.
make_box() {
	ward rm -f box >/dev/null 2>&1 || true
	ward create -q -t "$1" --name box shell "$PROJECT" >/dev/null
}

templates() {
	echo host
	[ ! -d "${WARD_ROOTFS:-/nonexistent}" ] || echo "dir:$WARD_ROOTFS"
}

inside() {
	ward exec box "$@"
}

inside_root() {
	ward exec -u 0 box "$@"
}

@test "what is exported in the persistent file is there in every kind of shell, also after a restart" {
	local template
	for template in $(templates); do
		make_box "$template"
		inside bash -c "echo 'export KEPT=yes' >>$PERSISTENT"
		for _ in first restarted; do
			assert_equal "$(inside bash -c 'echo $KEPT')" yes
			assert_equal "$(inside bash -lc 'echo $KEPT')" yes
			assert_equal "$(inside sh -lc 'echo $KEPT')" yes
			assert_equal "$(inside bash -ic 'echo $KEPT' 2>/dev/null)" yes
			assert_equal "$(inside bash -lic 'echo $KEPT' 2>/dev/null)" yes
			assert_equal "$(inside sh -c 'printf "#!/bin/bash\necho \$KEPT\n" >/tmp/script && chmod +x /tmp/script && /tmp/script')" yes
			assert_equal "$(echo 'echo $KEPT' | ward exec -i box)" yes
			ward stop box >/dev/null
		done
		# The template's own files are as they were, but for one block at one end, once.
		assert_equal "$(inside grep -c 'Ward: exports that persist' /etc/bash.bashrc)" 1
	done
}

@test "zsh reads the persistent file, where it is installed" {
	make_box host
	inside sh -c 'command -v zsh' >/dev/null || skip "zsh is not installed"
	inside bash -c "echo 'export KEPT=yes' >>$PERSISTENT"
	assert_equal "$(inside zsh -c 'echo $KEPT')" yes
}

@test "a broken persistent file can be reset without a shell that reads it" {
	local template
	for template in $(templates); do
		make_box "$template"
		inside bash -c "echo 'exit 7' >>$PERSISTENT"
		run ward exec box bash -c 'echo works'
		refute_output_has works
		inside cp /dev/null "$PERSISTENT"
		assert_equal "$(inside bash -c 'echo works')" works
		# A syntax error is only complained about.
		inside sh -c "echo 'if' >>$PERSISTENT"
		run ward exec box bash -c 'echo works'
		assert_output_has works
	done
}

@test "PATH has the agent's own directories in front, also in login shells and with one of a user's own" {
	local template shell path
	for template in $(templates); do
		make_box "$template"
		for shell in "sh -c" "sh -lc" "bash -c" "bash -lc"; do
			# shellcheck disable=SC2086 # a command and its option
			path=$(inside $shell 'echo $PATH')
			[[ $path == /home/agent/.local/bin:/run/ward/bin:* ]] || fail "$template $shell: $path"
			[[ :$path: == *:/usr/bin:* && :$path: == *:/usr/sbin:* ]] || fail "$template $shell: $path"
		done
		inside sh -c "mkdir -p ~/.local/bin && printf '#!/bin/sh\necho mine\n' >~/.local/bin/tool && chmod +x ~/.local/bin/tool"
		assert_equal "$(inside bash -lc tool)" mine
	done
	ward rm -f box >/dev/null
	ward create -q --name box -e "PATH=/opt/it's:/usr/bin:/bin" shell "$PROJECT" >/dev/null
	path=$(inside bash -lc 'echo $PATH')
	[[ ":$path:" == *":/opt/it's:"*":/usr/bin:"* ]] || fail "$path"
}

@test "language: the caller's where the sandbox has it, else one that nothing complains about" {
	local template
	for template in $(templates); do
		make_box "$template"
		run env -u LC_ALL LANG=xx_XX.UTF-8 LC_TIME=yy_YY.UTF-8 "$WARD" exec box sh -c \
			'echo "$LANG $LC_TIME"; perl -e 1; bash -c true; bash -lc true'
		assert_status 0
		assert_equal "$output" "C.UTF-8 C.UTF-8"
		assert_equal "$(LC_ALL=POSIX ward exec box sh -c 'echo $LC_ALL')" POSIX
		# What is asked for is given, whether it exists or not.
		assert_equal "$(ward exec -e LC_ALL=xx_XX -e TERM=odd box sh -c 'echo $LC_ALL $TERM')" "xx_XX odd"
	done
	# One that the sandbox has, made there by root inside.
	need_rootfs
	make_box "dir:$WARD_ROOTFS"
	run ward exec -u 0 box sh -c 'test -e /usr/share/i18n/locales/de_DE && localedef -i de_DE -f UTF-8 de_DE.UTF-8'
	[ "$status" -eq 0 ] || inside_root mkdir -p /usr/lib/locale/de_DE.utf8
	assert_equal "$(LC_ALL=de_DE.UTF-8 ward exec box sh -c 'echo $LC_ALL')" de_DE.UTF-8
}

@test "time: the caller's zone, or this machine's" {
	local template
	for template in $(templates); do
		make_box "$template"
		assert_equal "$(TZ=Asia/Tokyo ward exec box date +%Z%z)" "$(TZ=Asia/Tokyo date +%Z%z)"
		assert_equal "$(env -u TZ "$WARD" exec box date +%Z%z)" "$(env -u TZ date +%Z%z)"
		assert_equal "$(env -u TZ "$WARD" exec -u 0 box date +%Z%z)" "$(env -u TZ date +%Z%z)"
	done
}

@test "terminal type: one that the sandbox knows" {
	need python3
	local template term
	for template in $(templates); do
		make_box "$template"
		for term in xterm-kitty alacritty xterm-ghostty nonsense; do
			assert_equal "$(TERM=$term COLORTERM=truecolor ward exec box sh -c 'echo $TERM $COLORTERM')" \
				"xterm-256color truecolor"
		done
		for term in xterm linux dumb tmux-256color; do
			assert_equal "$(TERM=$term ward exec box sh -c 'echo $TERM')" "$term"
		done
		TERM=alacritty run ward exec box sh -c 'command -v tput >/dev/null || exit 0; tput clear >/dev/null && tput colors'
		assert_status 0
	done
}

@test "the prompt says that this is a sandbox, and ls and grep have colours" {
	local template
	for template in $(templates); do
		make_box "$template"
		run ward exec -e TERM=xterm-256color box bash -ic 'echo "${PS1@P}"; alias ls; alias grep'
		assert_output_has "(ward)"
		assert_output_has "@box"
		assert_output_has "ls --color=auto"
		assert_output_has "grep --color=auto"
		run ward exec -u 0 box bash -ic 'echo "${PS1@P}"'
		assert_output_has "(ward)root@box"
	done
}

@test "who one is makes sense, for the agent and for root" {
	local template name id
	name=agent id=1000
	[ "$(id_mode)" != single ] || name=root id=0
	for template in $(templates); do
		make_box "$template"
		assert_equal "$(inside sh -c 'whoami; id -u; id -un; id -gn; groups; echo ~; echo $HOME $USER $LOGNAME')" \
			"$name
$id
$name
$name
$name
/home/agent
/home/agent $name $name"
		assert_equal "$(inside getent passwd "$name")" "$name:x:$id:$id::/home/agent:/bin/bash"
		assert_equal "$(inside sh -c 'echo $SHELL')" /bin/bash
		assert_equal "$(ward exec -u root box sh -c 'whoami; id -u; groups')" "root
0
root"
	done
}

@test "sudo runs a command as root, without a password, where there is a root to become" {
	local template
	for template in $(templates); do
		if [ "$template" = host ] && [ "$(id_mode)" != single ]; then
			continue # its sudo is nobody's there; the notice is tested in habits.bats
		fi
		make_box "$template"
		assert_equal "$(inside sudo id -u)" 0
		assert_equal "$(inside sudo -n -E -u root env A=b sh -c 'echo $A')" b
		assert_equal "$(inside sudo A=b sh -c 'echo $A')" b
		assert_equal "$(inside sudo -u '#0' -- id -un)" root
		assert_equal "$(inside sudo --user=root id -un)" root
		assert_equal "$(inside sudo --user root id -un)" root
		assert_equal "$(inside sudo -i printf '%s,' 'a b' 'c d')" "a b,c d,"
		assert_equal "$(inside sudo -s echo 'x  y')" "x  y"
		assert_equal "$(echo 'id -u' | ward exec -i box sudo -s)" 0
		inside sudo -v
		inside sudo -k
		inside sudo -l >/dev/null
		run ward exec box sudo sh -c 'exit 42'
		assert_status 42
		run ward exec box sudo no-such-program
		assert_status 1
		assert_output_has "command not found"
		run ward exec box sudo -u nobody-there true
		assert_status 1
		inside bash -c "echo 'export KEPT=yes' >>$PERSISTENT"
		assert_equal "$(inside sudo bash -c 'echo $KEPT')" yes
		inside sudo touch /usr/local/made-by-root 2>/dev/null || [ "$template" = host ]
	done
}

@test "exec without a command is the user's login shell, at a terminal or with commands on its input" {
	local template
	for template in $(templates); do
		make_box "$template"
		assert_equal "$(printf 'shopt -q login_shell && echo "$0"; pwd\n' | ward exec -i box)" "-bash
$PROJECT"
		run bash -c 'echo "exit 42" | "$WARD" exec -i box'
		assert_status 42
		run ward exec box
		assert_status 2
		assert_output_has "exec: too few arguments"
		run ward exec box --
		assert_status 2
	done
	run ward sessions box
	assert_output_has "login shell"
}

@test "exec -it without a command, on a terminal" {
	need python3
	make_box host
	run python3 - "$WARD" <<-'PY'
		import os, pty, sys
		pid, fd = pty.fork()
		if pid == 0:
		    os.environ["TERM"] = "alacritty"
		    os.execv(sys.argv[1], ["ward", "exec", "-it", "box"])
		os.write(fd, b"echo $0:$TERM:$((6*7)); exit 3\n")
		out = b""
		while True:
		    try:
		        got = os.read(fd, 4096)
		    except OSError:
		        break
		    if not got:
		        break
		    out += got
		print(out.decode(errors="replace"))
		sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
	PY
	assert_status 3
	assert_output_has "-bash:xterm-256color:42"
	assert_output_has "(ward)"
}
