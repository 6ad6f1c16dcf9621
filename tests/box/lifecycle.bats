#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The life of a sandbox: one per workspace and agent, what survives stop, kill -9 and a second run,
# workspaces and volumes, and who owns what.

load ../lib/common

setup() {
	common_setup
	WS="$TEST_DIR/project"
	mkdir "$WS"
	cd "$WS"
}

teardown() {
	cd /
	common_teardown
}

sh_in() { ward run -q -t host shell -- -c "$1"; }

@test "a second run in the same directory uses the same sandbox, also through a symlink" {
	sh_in 'echo kept > /tmp/kept; echo home > ~/kept'
	run sh_in 'cat /tmp/kept ~/kept'
	[ "$output" = "kept"$'\n'"home" ]
	ln -s "$WS" "$TEST_DIR/link"
	cd "$TEST_DIR/link"
	run sh_in 'cat /tmp/kept; pwd'
	[ "$output" = "kept"$'\n'"$WS" ]
	[ "$(ward ls -q | wc -l)" -eq 1 ]
	ward run -q --name another shell -- -c 'test ! -e /tmp/kept'
	[ "$(ward ls -q | wc -l)" -eq 2 ]
}

@test "another directory under the same path is not the same sandbox" {
	sh_in 'touch /tmp/kept'
	cd /
	ward stop "$(ward ls -q)"
	mv "$WS" "$TEST_DIR/old"
	mkdir "$WS"
	cd "$WS"
	run sh_in 'test ! -e /tmp/kept && echo fresh'
	[ "$output" = fresh ]
}

@test "files made inside belong to the user outside and nothing else is left in the workspace" {
	sh_in 'echo x > made; mkdir d; echo y > d/z'
	[ "$(stat -c %u:%g made d d/z | sort -u)" = "$(id -u):$(id -g)" ]
	[ "$(ls -A | tr '\n' ' ')" = "d made " ]
	rm -r made d
}

@test "a background process goes on between runs and ends with stop" {
	sh_in 'setsid sleep 7777 >/dev/null 2>&1 </dev/null & echo $! > /tmp/pid'
	sh_in 'kill -0 $(cat /tmp/pid)'
	ward stop "$(ward ls -q)"
	run sh_in 'kill -0 $(cat /tmp/pid) 2>/dev/null && tr "\0" " " < /proc/$(cat /tmp/pid)/cmdline || echo gone'
	[[ "$output" != *7777* ]]
}

@test "files survive stop" {
	sh_in 'echo a > /tmp/a; echo b > ~/b; echo c > c'
	ward stop "$(ward ls -q)"
	run ward ls
	[[ "$output" == *stopped* ]]
	run sh_in 'cat /tmp/a ~/b c'
	[ "$output" = "a"$'\n'"b"$'\n'"c" ]
}

@test "files survive SIGKILL of every process of the sandbox, and it starts again" {
	sh_in 'echo a > /tmp/a; setsid sleep 8888 >/dev/null 2>&1 </dev/null &'
	local id pid
	id=$(ward ls -q)
	note_box "$id"
	for pid in $(box_processes); do
		kill -9 "$pid" 2>/dev/null || true
	done
	ended() { [ -z "$(box_processes)" ]; }
	wait_for ended
	run ward ls
	[[ "$output" == *stopped* ]]
	# What a reboot takes away as well.
	rm -rf "${XDG_RUNTIME_DIR:?}/ward"
	run sh_in 'cat /tmp/a; pgrep -x sleep || echo none'
	[ "$output" = "a"$'\n'"none" ]
	[ "$(ward ls -q)" = "$id" ]
}

@test "kill -9 of the supervisor alone ends the whole box at once" {
	sh_in 'setsid sleep 9999 >/dev/null 2>&1 </dev/null & echo a > /tmp/a'
	local mounts
	mounts=$(wc -l </proc/self/mountinfo)
	note_box "$(ward ls -q)"
	kill -9 "$BOX_SUPERVISOR"
	ended() { [ -z "$(box_processes)" ]; }
	wait_for ended
	[ "$(wc -l </proc/self/mountinfo)" -eq "$mounts" ]
	run sh_in 'cat /tmp/a'
	[ "$output" = a ]
}

@test "sudo apt-get install works in a dir: template, and the package is still there in the next run" {
	need_rootfs
	local t="dir:$WARD_ROOTFS"
	ward run -q -t "$t" shell -- -c 'sudo apt-get update -q && sudo apt-get install -q -y hello jq'
	[ "$(ward run -q shell -- -c 'hello; echo "{\"a\":7}" | jq .a' | tail -n 1)" = 7 ]
	ward stop "$(ward ls -q)"
	run ward run -q shell -- -c 'hello'
	[ "$output" = "Hello, world!" ]
	# The template itself did not change.
	[ ! -e "$WARD_ROOTFS/usr/bin/hello" ]
}

@test "further workspaces and :ro" {
	mkdir "$TEST_DIR/docs" "$TEST_DIR/lib"
	echo doc >"$TEST_DIR/docs/f"
	# The two streams are not in order with each other.
	run ward run -q shell . "$TEST_DIR/docs:ro" "$TEST_DIR/lib" -- -c \
		"exec 2>&1; cat $TEST_DIR/docs/f; echo x > $TEST_DIR/docs/g || echo refused; echo y > $TEST_DIR/lib/h; pwd"
	[[ "$output" == "doc"*"refused"*"$WS" ]] || { echo "$output" && false; }
	[ ! -e "$TEST_DIR/docs/g" ]
	[ "$(cat "$TEST_DIR/lib/h")" = y ]
}

@test "volumes: files and directories, read-only and not" {
	mkdir "$TEST_DIR/data"
	echo one >"$TEST_DIR/data/f"
	echo two >"$TEST_DIR/file"
	run ward run -q -v "$TEST_DIR/data:/data" -v "$TEST_DIR/file:/etc/given.conf:ro" shell -- -c \
		'cat /data/f /etc/given.conf; echo w > /data/w; echo x > /etc/given.conf || echo refused'
	[[ "$output" == "one"$'\n'"two"*"refused"* ]]
	[ "$(cat "$TEST_DIR/data/w")" = w ]
	[ "$(cat "$TEST_DIR/file")" = two ]
}

@test "only the workspace of the host is visible" {
	echo private >"$HOME/private"
	run sh_in "ls -A $HOME; cat $HOME/private; ls /home /root /srv /mnt /media 2>/dev/null"
	[[ "$output" != *private$'\n'* ]]
	run sh_in "find / -xdev -name private -not -path '/proc/*' 2>/dev/null"
	[ -z "$output" ]
}

@test "settings are fixed at creation, and the run says which were not applied" {
	sh_in true
	run ward run --network open shell -- -c true
	[ "$status" -eq 0 ]
	[[ "$output" == *network* ]]
	[[ "$output" == *--recreate* ]]
	ward run -q --recreate --network open shell -- -c true
	[ "$(ward inspect "$(ward ls -q)" | jq -r '.[0].network.preset')" = open ]
}

@test "the exit code is the program's own, 128+N for a signal, 126 and 127" {
	run sh_in 'exit 42'
	[ "$status" -eq 42 ]
	run sh_in 'kill -TERM $$'
	[ "$status" -eq 143 ]
	run ward exec "$(ward ls -q)" /nonexistent/program
	[ "$status" -eq 127 ]
	run ward exec "$(ward ls -q)" /etc
	[ "$status" -eq 126 ]
}

@test "stdin, stdout and stderr pass unchanged through pipes" {
	head -c 3000000 /dev/urandom >"$TEST_DIR/blob"
	ward run -q shell -- -c 'cat; echo err >&2' <"$TEST_DIR/blob" >"$TEST_DIR/out" 2>"$TEST_DIR/err"
	cmp "$TEST_DIR/blob" "$TEST_DIR/out"
	[ "$(cat "$TEST_DIR/err")" = err ]
}

@test "two runs at once in one directory share one sandbox" {
	sh_in 'echo a >> log' &
	local first=$!
	sh_in 'echo b >> log' &
	wait "$first"
	wait "$!"
	[ "$(sort log | tr '\n' ' ')" = "a b " ]
	[ "$(ward ls -q | wc -l)" -eq 1 ]
}

@test "rm deletes the sandbox and never the workspace" {
	sh_in 'echo w > keep; sudo -n true 2>/dev/null; mkdir -p ~/a/b; chmod 0 ~/a'
	local id dir
	id=$(ward ls -q)
	dir=$(sandbox_dir "$id")
	[ -d "$dir" ]
	ward rm -f "$id"
	[ ! -e "$dir" ]
	[ "$(cat keep)" = w ]
	[ -z "$(ward ls -q)" ]
}

@test "--rm removes the sandbox when the agent ends" {
	ward run -q --rm shell -- -c 'exit 0'
	[ -z "$(ward ls -q)" ]
	run ward run -q --rm shell -- -c 'exit 3'
	[ "$status" -eq 3 ]
	[ -z "$(ward ls -q)" ]
}

@test "enforcement in inspect is measured: two user namespaces, seccomp, no network but lo" {
	sh_in 'true'
	local json
	json=$(ward inspect "$(ward ls -q)")
	[ "$(jq -r '.[0].status' <<<"$json")" = running ]
	[ "$(jq -r '.[0].enforcement.program.seccomp' <<<"$json")" = filter ]
	[ "$(jq -r '.[0].enforcement.program.no_new_privs' <<<"$json")" = 0 ]
	[ "$(jq -r '.[0].enforcement.program.capabilities_effective' <<<"$json")" = 0000000000000000 ] ||
		[ "$(id_mode)" = single ]
	# Two levels: programs are in another user namespace than the one that owns the rest.
	local outer inner
	outer=$(jq .[0].enforcement.namespaces.user <<<"$json")
	inner=$(jq .[0].enforcement.program.user_namespace <<<"$json")
	[ "$outer" != "$inner" ]
	[ "user:[$outer]" != "$(readlink /proc/self/ns/user)" ]
	[ "$(sh_in 'ls /sys/class/net | tr "\n" " "')" = "lo " ]
	[ "$(sh_in 'grep ^Seccomp: /proc/self/status | tr -dc 0-9')" = 2 ]
}

@test "a box with nothing left but init ends after the grace period, and starts again" {
	mkdir -p "$XDG_CONFIG_HOME/ward"
	echo 'grace: 1s' >"$XDG_CONFIG_HOME/ward/config.yaml"
	sh_in 'echo a > /tmp/a'
	is_stopped() { ward ls | grep -q stopped; }
	wait_for is_stopped
	run sh_in 'cat /tmp/a'
	[ "$output" = a ]
	# Something in the background keeps it: the box that runs sleep outlives another one's grace.
	sh_in 'setsid sleep 600 >/dev/null 2>&1 </dev/null &'
	ward run -q -t host --name empty shell -- -c true
	empty_stopped() { ward ls --filter name=empty | grep -q stopped; }
	wait_for empty_stopped
	ward ls --filter agent=shell | grep -v empty | grep -q running
}

@test "an agent of the user's own kit, installed below the home, is found and alone is shown" {
	mkdir -p "$XDG_CONFIG_HOME/ward/kits/mine" "$HOME/.local/share/mine/versions" "$HOME/.local/bin"
	cat >"$XDG_CONFIG_HOME/ward/kits/mine/spec.yaml" <<-'KIT'
		schemaVersion: "2"
		kind: sandbox
		name: mine
		sandbox:
		  entrypoint: [mine]
		  command:
		    default: [--autonomous]
		setup:
		  files:
		    - path: ~/.mine.json
		      content: '{"trusted": "${WORKDIR}"}'
		ward:
		  binary: mine
	KIT
	printf '#!/bin/sh\necho "args: $*"; cat ~/.mine.json; echo; ls -A "%s"/.local/bin 2>&1; exit 0\n' "$HOME" \
		>"$HOME/.local/share/mine/versions/1.0"
	chmod 0755 "$HOME/.local/share/mine/versions/1.0"
	ln -s ../share/mine/versions/1.0 "$HOME/.local/bin/mine"
	echo secret >"$HOME/.local/bin/other"
	run ward run -q mine -- hello
	assert_status 0
	assert_output_has "args: --autonomous hello"
	assert_output_has "{\"trusted\": \"$WS\"}"
	refute_output_has other
}
