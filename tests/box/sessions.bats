#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Sessions: terminals, detaching, lost clients, pipes, signals, and what is left of them.

load ../lib/common

setup() {
	common_setup
	WS="$TEST_DIR/project"
	export WS
	mkdir "$WS"
	cd "$WS"
	ward run -q --name box -t host shell -- -c true
}

teardown() {
	cd /
	common_teardown
}

terminal() { python3 "$BATS_TEST_DIRNAME/session_terminal.py" "$1" box; }

@test "window size, its changes, the exit code" {
	terminal size
}

@test "job control: Ctrl-Z and Ctrl-C act inside" {
	terminal job_control
}

@test "detach, attach again with recent output, two clients at once" {
	terminal detach
}

@test "a client killed with SIGKILL leaves the terminal as it was, and takes its session along" {
	terminal client_killed
}

@test "a session that was detached once stays when a later client is lost" {
	terminal client_killed_detached
}

@test "detaching in the middle of a flood of output" {
	terminal detach_in_flood
}

@test "a closed terminal, SIGHUP and SIGTERM end the session and restore the terminal" {
	terminal hangup
}

@test "a program that does not care that its terminal is gone is killed" {
	terminal stubborn
}

@test "a second request to end is not waited for" {
	terminal insist
}

@test "a killed supervisor: the terminal is restored, nothing is left, it starts again" {
	STATE=$(echo "$XDG_DATA_HOME"/ward/sandboxes/*/state.json)
	export STATE
	terminal supervisor_killed
	run ward exec box echo again
	[ "$output" = again ]
}

@test "dangerous sequences do not reach the terminal" {
	terminal filter
}

@test "attaching makes a full-screen program draw again" {
	terminal redraw
}

@test "nothing that was written before the end is lost" {
	terminal tail
}

@test "pipes: input, both outputs, closed output, signals, lost client" {
	terminal pipes
}

@test "a slow reader slows the program" {
	terminal slow_reader
}

@test "set-id bits and owners in the workspace are in order when the agent ends" {
	ward run -q box -- -c 'cp /bin/sh set-id && chmod 6755 set-id'
	[ "$(stat -c %a set-id)" = 755 ]
	ward exec -u root box touch by-root
	ward stop box
	[ "$(stat -c %u by-root)" = "$(id -u)" ]
	rm by-root set-id
}

@test "root inside cannot hide the workspace from the sweep" {
	[ "$(id -u)" -eq 0 ] || grep -q "^$(id -un):" /etc/subuid || skip "needs a root inside"
	ward exec -u root box sh -c 'cp /bin/sh set-id && chmod 6755 set-id && mv "$1" "$1.moved"' \
		sh "$TEST_DIR"
	ward stop box
	[ "$(stat -c %a set-id)" = 755 ]
}

@test "user names are read strictly" {
	local name
	for name in 1abc -1 0x0 4294967295 4294967296 nobody-here root:nogroup-here; do
		run ward exec -u "$name" box true
		[ "$status" -eq 125 ]
	done
}
