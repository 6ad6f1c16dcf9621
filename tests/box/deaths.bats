#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Terminal, client, supervisor, init and proxy die in each phase of an interactive session: the terminal is
# restored, files are saved, the next run works, nothing is orphaned.

load ../lib/common

setup() {
	common_setup
	WS="$TEST_DIR/project"
	export WS
	mkdir "$WS"
	cd "$WS"
	ward run -q --name box -t host shell -- -c true
	STATE=$(echo "$XDG_DATA_HOME"/ward/sandboxes/*/state.json)
	export STATE
}

teardown() {
	cd /
	common_teardown
}

deaths() { python3 "$BATS_TEST_DIRNAME/deaths.py" "$1" box; }

@test "before the agent runs" {
	deaths starting
}

@test "at the prompt" {
	deaths prompt
}

@test "during a flood of output" {
	deaths flood
}

@test "in the alternate screen" {
	deaths alternate
}

@test "while something is typed" {
	deaths typing
}
