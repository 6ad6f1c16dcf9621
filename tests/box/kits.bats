#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a kit makes of a sandbox: install and startup steps, its files, its volumes, its instructions.

bats_require_minimum_version 1.5.0

load ../lib/common
load ../lib/cli

setup() {
	common_setup
	mkdir project
	cd project
}

teardown() {
	[ -z "${CLIENT:-}" ] || kill -9 "$CLIENT" 2>/dev/null || true
	common_teardown
}

# kit NAME: a kit of the user's that runs bash; the rest of it comes from standard input.
kit() {
	KIT="$XDG_CONFIG_HOME/ward/kits/$1"
	mkdir -p "$KIT"
	{
		printf 'schemaVersion: "2"\nkind: sandbox\nname: %s\nsandbox:\n  entrypoint: [bash]\n' "$1"
		cat
	} >"$KIT/spec.yaml"
}

# How often a line is in a file of the workspace.
times() { # LINE FILE
	grep -cxF -- "$1" "$2" || true
}

@test "install runs once as root, then the agent finds what it made; both templates" {
	kit mine <<-'KIT'
		environment:
		  variables: {FLAVOUR: sweet}
		setup:
		  install:
		    - command: |
		        echo "install by $(id -u) in $PWD: $FLAVOUR $http_proxy" >>"$WORKSPACE_DIR/log"
		        chmod 0666 "$WORKSPACE_DIR/log"
		        mkdir -p /var/lib/mine && echo made >/var/lib/mine/file
		    - command: echo "second by $(id -un)" >>"$WORKSPACE_DIR/log"; echo mine >~/own
		      user: "1000"
	KIT
	run --separate-stderr ward run mine -- -c 'cat /var/lib/mine/file; ls -l ~/own | cut -d" " -f3'
	assert_status 0
	local me
	me=$([ "$(id_mode)" = single ] && echo root || echo agent)
	assert_equal "$output" "made"$'\n'"$me"
	# shellcheck disable=SC2154
	[[ "$stderr" == *"kit mine: install 1 of 2: "* && "$stderr" == *"install 2 of 2: "* ]]
	assert_equal "$(cat log)" "install by 0 in /home/agent: sweet http://127.0.0.1:3128"$'\n'"second by $me"
	# Not again: neither in this box nor in the next one.
	ward run -q mine -- -c true
	ward stop mine-project
	run --separate-stderr ward run mine -- -c 'cat /var/lib/mine/file'
	assert_equal "$output" made
	refute_output_has install
	assert_equal "$(wc -l <log)" 2
	ward sessions mine-project | grep -q ' setup '
	need_rootfs
	mkdir other
	run ward run -q -t "dir:$WARD_ROOTFS" -w other mine -- -c 'cat /var/lib/mine/file'
	assert_status 0
	assert_output_has made
}

@test "install as root can add programs to an image, and is told why it cannot with template host" {
	kit mine <<-'KIT'
		setup:
		  install:
		    - command: printf '#!/bin/sh\necho tool works\n' >/usr/local/bin/tool && chmod +x /usr/local/bin/tool
	KIT
	run ward run mine -- -c tool
	assert_status 125
	assert_output_has "kit mine: install 1 of 1: it ended with exit code"
	assert_output_has "Read-only file system"
	assert_output_has "with template host, the system directories are read-only"
	need_rootfs
	run ward run -q --recreate -t "dir:$WARD_ROOTFS" mine -- -c tool
	assert_status 0
	assert_equal "$output" "tool works"
}

@test "a failing install is shown, keeps the agent out, and goes on where it failed" {
	kit mine <<-'KIT'
		setup:
		  install:
		    - command: echo one >>"$WORKSPACE_DIR/log"
		      user: "1000"
		    - command: |
		        echo two >>"$WORKSPACE_DIR/log"
		        for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo "line $i"; done
		        test -e "$WORKSPACE_DIR/go"
		      user: "1000"
		    - command: echo three >>"$WORKSPACE_DIR/log"
		      user: "1000"
	KIT
	run ward run mine -- -c 'echo AGENT >>log'
	assert_status 125
	assert_output_has "| line 12"
	assert_output_has "| line 3"
	refute_output_has "| line 2"
	assert_output_has "hint: ward logs mine-project 2"
	run ward logs mine-project 2
	assert_output_has "line 1"
	# exec is kept out, too, and tries again.
	run ward exec mine-project sh -c 'echo EXEC >>log'
	assert_status 125
	assert_equal "$(tr '\n' ' ' <log)" "one two two "
	: >go
	ward run -q mine -- -c 'echo AGENT >>log'
	assert_equal "$(tr '\n' ' ' <log)" "one two two two three AGENT "
}

@test "a step whose program is missing is an error of Ward's, not of the agent's" {
	kit mine <<-'KIT'
		setup:
		  startup:
		    - command: [nonesuch-program]
	KIT
	run ward run mine -- -c 'echo AGENT'
	assert_status 125
	assert_output_has "kit mine: startup 1 of 1: nonesuch-program: not found in the sandbox"
	refute_output_has AGENT
	run ward exec mine-project true
	assert_status 125
}

@test "startup runs at every start of the box; what is in the background goes on" {
	kit mine <<-'KIT'
		setup:
		  startup:
		    - command: [sh, -c, 'echo "start by $(id -u) in $PWD" >>log']
		    - command: [sh, -c, 'echo $$ >>"$HOME/pid"; exec sleep 1000']
		      background: true
		    - command: [sh, -c, 'id -u >>root']
		      user: "0"
	KIT
	local me
	me=$([ "$(id_mode)" = single ] && echo 0 || echo 1000)
	run ward run -q mine -- -c 'kill -0 "$(cat ~/pid)" && cat /proc/$(cat ~/pid)/comm'
	assert_status 0
	assert_equal "$output" sleep
	assert_equal "$(cat log)" "start by $me in $PWD"
	# The same box: nothing is started again.
	ward exec mine-project true
	assert_equal "$(wc -l <log)" 1
	ward sessions mine-project | grep -q 'setup *running'
	ward stop mine-project
	run ward exec mine-project sh -c 'wc -l <~/pid; cat /proc/$(tail -n 1 ~/pid)/comm'
	assert_equal "$output" "2"$'\n'"sleep"
	assert_equal "$(wc -l <log)" 2
	assert_equal "$(cat root)" "0"$'\n'"0"
}

@test "the client is killed during a step: the next one waits for that very step and goes on" {
	kit mine <<-'KIT'
		setup:
		  install:
		    - command: |
		        echo begun >>"$WORKSPACE_DIR/log"
		        while [ ! -e "$WORKSPACE_DIR/go" ]; do sleep 0.1; done
		        echo ended >>"$WORKSPACE_DIR/log"
		      user: "1000"
		    - command: echo second >>"$WORKSPACE_DIR/log"
		      user: "1000"
		  startup:
		    - command: [sh, -c, 'echo startup >>log']
	KIT
	"$WARD" run -q mine -- -c true >out 2>&1 </dev/null 3>&- &
	CLIENT=$!
	wait_for grep -q begun log
	kill -9 "$CLIENT"
	wait "$CLIENT" || true
	"$WARD" run -q mine -- -c 'echo AGENT >>log' >out 2>&1 </dev/null 3>&- &
	CLIENT=$!
	wait_for sh -c '[ "$(readlink /proc/'"$CLIENT"'/exe)" ]'
	[ "$(cat log)" = begun ]
	: >go
	wait "$CLIENT"
	assert_equal "$(tr '\n' ' ' <log)" "begun ended second startup AGENT "
	CLIENT=
}

@test "the box is killed during a step: the next start does it again" {
	kit mine <<-'KIT'
		setup:
		  install:
		    - command: echo first >>"$WORKSPACE_DIR/log"
		      user: "1000"
		    - command: |
		        echo begun >>"$WORKSPACE_DIR/log"
		        while [ ! -e "$WORKSPACE_DIR/go" ]; do sleep 0.1; done
		        echo ended >>"$WORKSPACE_DIR/log"
		      user: "1000"
	KIT
	"$WARD" run -q mine -- -c 'echo AGENT >>log' >out 2>&1 </dev/null 3>&- &
	CLIENT=$!
	wait_for grep -q begun log
	note_box "$(ward ls -q)"
	kill -9 "$BOX_SUPERVISOR"
	wait_for test "$(box_processes | wc -l)" = 0
	: >go
	wait "$CLIENT"
	CLIENT=
	assert_equal "$(times first log)" 1
	assert_equal "$(times begun log)" 2
	assert_equal "$(tail -n 2 log | tr '\n' ' ')" "ended AGENT "
}

@test "two clients at once: one prepares, the other waits, both run" {
	kit mine <<-'KIT'
		setup:
		  install:
		    - command: |
		        echo begun >>"$WORKSPACE_DIR/log"
		        while [ ! -e "$WORKSPACE_DIR/go" ]; do sleep 0.1; done
		        echo ended >>"$WORKSPACE_DIR/log"
		      user: "1000"
	KIT
	"$WARD" run mine -- -c 'echo AGENT >>log' >out 2>&1 </dev/null 3>&- &
	CLIENT=$!
	wait_for grep -q begun log
	"$WARD" exec mine-project sh -c 'echo EXEC >>log' >second 2>&1 </dev/null 3>&- &
	local other=$!
	wait_for grep -q "waiting: the sandbox is being prepared" second
	: >go
	wait "$CLIENT"
	CLIENT=
	wait "$other"
	assert_equal "$(head -n 2 log | tr '\n' ' ')" "begun ended "
	assert_equal "$(sort log | tr '\n' ' ')" "AGENT EXEC begun ended "
}

@test "setup.files are in place after install, and keep what an install step made if they say so" {
	kit mine <<-'KIT'
		setup:
		  install:
		    - command: |
		        echo installer >/home/agent/config; echo installer >/etc/mine.conf
		        rm -f /home/agent/sub/deep; echo kept >/home/agent/kept
		  files:
		    - {path: ~/config, content: "of the kit"}
		    - {path: ~/sub/deep, content: "in ${WORKDIR}"}
		    - {path: ~/kept, content: "of the kit", onlyIfMissing: true}
		    - {path: /etc/mine.conf, content: "of the kit", mode: "0640"}
	KIT
	run ward run -q mine -- -c 'head -v -n 9 ~/config ~/sub/deep ~/kept; stat -c "%a %U" ~/config'
	assert_status 0
	assert_output_has "==> /home/agent/config <=="$'\n'"of the kit"
	assert_output_has "in $PWD"
	assert_output_has "==> /home/agent/kept <=="$'\n'"kept"
	run ward exec -u 0 mine-project sh -c 'cat /etc/mine.conf; stat -c " %a %U" /etc/mine.conf'
	assert_equal "$output" "of the kit 640 root"
}

@test "volumes last outside and inside the home, tmpfs does not; the sandbox's places are refused" {
	kit mine <<-'KIT'
		volumes:
		  - {path: /var/lib/mine, mode: "0750"}
		  - {path: ~/.cache/mine, mode: "0700"}
		  - {path: /scratch/deep, type: tmpfs, size: 4m, mode: "0711"}
	KIT
	run ward run -q mine -- -c 'cd /; stat -c "%a %u %n" /var/lib/mine ~/.cache/mine /scratch/deep
		echo "$(id -u)"; for d in /var/lib/mine ~/.cache/mine /scratch/deep; do echo x >$d/file; done
		stat -f -c "%T %b %S" /scratch/deep; head -c 5000000 /dev/zero >/scratch/deep/big'
	assert_status 1
	local me
	me=$([ "$(id_mode)" = single ] && echo 0 || echo 1000)
	assert_output_has "750 $me /var/lib/mine"$'\n'"700 $me /home/agent/.cache/mine"$'\n'"711 $me /scratch/deep"
	assert_output_has "tmpfs 1024 4096"
	ward stop mine-project
	run ward exec mine-project sh -c 'cat /var/lib/mine/file ~/.cache/mine/file; ls /scratch/deep'
	assert_status 0
	assert_equal "$output" "x"$'\n'"x"
	# Outside the overlay, and gone with the sandbox.
	local dir
	dir=$(sandbox_dir "$(ward ls -q)")
	[ -d "$dir/volumes" ]
	ward rm -f mine-project
	[ ! -e "$dir" ]
	for place in /etc /proc/x /tmp /run/ward/y; do
		kit mine <<-KIT
			volumes: [{path: $place}]
		KIT
		run ward run -q mine -- -c true
		assert_status 125
		assert_output_has "$place in the sandbox is the sandbox's own"
	done
}

@test "what an agent leaves in the way of a volume in its home redirects nothing" {
	kit mine <<-'KIT'
		volumes:
		  - {path: ~/cache/mine}
		  - {path: ~/memory/mine, type: tmpfs}
	KIT
	ward run -q mine -- -c 'mv ~/cache ~/cache.old; ln -s /etc ~/cache; mv ~/memory ~/memory.old; ln -s /var ~/memory'
	ward stop mine-project
	run ward exec -u 0 mine-project sh -c 'ls -d /etc/mine /var/mine; grep -c "/mine " /proc/self/mounts'
	assert_output_has "cannot access '/etc/mine'"
	assert_output_has "cannot access '/var/mine'"
	assert_output_has 0
}

@test "files/home goes to the home, files/workspace only where nothing is, and never through a link" {
	kit mine <<-'KIT'
		args: {who: {default: nobody}}
		setup:
		  install:
		    - {command: 'test -w "$WORKSPACE_DIR" || exit 0; (cat ~/.mine/deep/config; ls ~/.mine) >>"$WORKSPACE_DIR/log"', user: "1000"}
		  files:
		    - {path: ~/.mine/seed, content: "of setup.files"}
	KIT
	mkdir -p "$KIT/files/home/.mine/deep" "$KIT/files/workspace/docs/sub" "$KIT/files/workspace/linked" outside
	# shellcheck disable=SC2016
	echo 'hello ${{ kit.args.who }}' >"$KIT/files/home/.mine/deep/config"
	printf '#!/bin/sh\necho ran\n' >"$KIT/files/home/.mine/run"
	chmod 0755 "$KIT/files/home/.mine/run"
	echo seed >"$KIT/files/home/.mine/seed"
	for f in README docs/new docs/sub/deep linked/file dangling; do echo kit >"$KIT/files/workspace/$f"; done
	mkdir docs
	echo user >README
	ln -s outside linked
	ln -s nowhere dangling
	run ward run -q mine -- -c 'cat ~/.mine/deep/config ~/.mine/seed; ~/.mine/run; stat -c %U:%a ~/.mine/deep/config'
	assert_status 0
	local me
	me=$([ "$(id_mode)" = single ] && echo root || echo agent)
	assert_equal "$output" "hello nobody"$'\n'"of setup.filesran"$'\n'"$me:644"
	assert_equal "$(tr '\n' ' ' <log)" "hello nobody deep run seed "
	assert_equal "$(cat README docs/new docs/sub/deep)" "user"$'\n'"kit"$'\n'"kit"
	assert_equal "$(stat -c %u docs/new)" "$(id -u)"
	[ -L linked ] && [ -L dangling ] && [ ! -e nowhere ]
	[ -z "$(ls -A outside)" ]
	# Once: what was removed or changed stays so.
	rm docs/new
	ward exec mine-project sh -c 'echo changed >~/.mine/deep/config'
	ward stop mine-project
	run ward exec mine-project cat /home/agent/.mine/deep/config
	assert_equal "$output" changed
	[ ! -e docs/new ]
	# A workspace that is shown read-only gets nothing.
	mkdir ../second
	ward run -q -w ../second:ro mine -- -c true
	[ -z "$(ls -A ../second)" ]
}

@test "a mixin given with --kit adds its steps, files, notes and volumes to the agent's" {
	kit mine <<-'KIT'
		agentInstructions: {filename: .mine/NOTES.md, content: "notes of mine"}
		setup:
		  install:
		    - {command: echo mine >>~/steps, user: "1000"}
	KIT
	mkdir -p ../extra/files/home/.extra
	echo "of extra" >../extra/files/home/.extra/file
	cat >../extra/spec.yaml <<-'KIT'
		schemaVersion: "2"
		kind: mixin
		name: extra
		agentInstructions: {filename: OTHER.md, content: "notes of extra"}
		setup:
		  install:
		    - {command: echo extra >>~/steps, user: "1000"}
		volumes:
		  - {path: /extra}
	KIT
	run ward run -q --kit ../extra mine -- -c 'cat ~/steps ~/.extra/file ~/.mine/NOTES.md; touch /extra/x'
	assert_status 0
	assert_output_has "mine"$'\n'"extra"$'\n'"of extra"$'\n'"notes of mine"
	assert_output_has "notes of extra"
	# The sandbox keeps its own copy of the mixin.
	rm -rf ../extra
	ward stop mine-project
	run ward exec mine-project ls /extra
	assert_equal "$output" x
}
