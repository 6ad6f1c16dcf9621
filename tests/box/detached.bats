#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Agents that work on without anybody: run -d, attach, logs -f, and who is told of their end.

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

# On a terminal of its own; what it shows goes to standard output.
on_terminal() {
	script -qec "$(printf '%q ' "$@")" /dev/null </dev/null | tr -d '\r'
}

# background TEXT: an agent that waits for the file go, says TEXT and ends with 7.
background() {
	ward run -q -d -t host shell -- -c "echo begun; until [ -e go ]; do sleep 0.05; done; echo $1; touch finished; exit 7"
}

all_ended() { ! ward sessions --json "$1" | jq -e 'any(.running)' >/dev/null; }

@test "run -d prints the name; the agent works on and ends by itself; its end is told once" {
	run background first
	assert_status 0
	local name=$output
	assert_equal "$(ward ls --json | jq -r '.[0].name')" "$name"
	jq -e '.[0].running and .[0].detached' <(ward sessions --json "$name") >/dev/null
	touch go
	finished() { [ -e finished ] && all_ended "$name"; }
	wait_for finished
	# What a script sees does not depend on it, and takes nothing away.
	refute_output_has_after() { run "$@"; refute_output_has "session 1"; }
	refute_output_has_after ward ls
	refute_output_has_after on_terminal "$WARD" ls -q
	run on_terminal "$WARD" ls
	assert_output_has "ward: session 1 of shell in sandbox '$name' ended"
	assert_output_has "with exit code 7"
	refute_output_has_after on_terminal "$WARD" ls
	# By the next run as well.
	rm -f go finished
	background second
	touch go
	wait_for finished
	run on_terminal "$WARD" run shell -c 'echo hello'
	assert_output_has "ward: session 2 of shell in sandbox '$name' ended"
	assert_output_has hello
}

@test "nobody is told of what was looked at, of what was stopped, or of programs" {
	local name
	name=$(background quiet)
	ward attach "$name" >out 2>err &
	local client=$! code=0
	begun() { grep -q begun out; }
	wait_for begun
	touch go
	wait "$client" || code=$?
	assert_equal "$code" 7
	rm go finished
	background stopped
	ward exec -d "$name" sh -c 'exit 3'
	ward stop "$name"
	run on_terminal "$WARD" ls
	refute_output_has "session "
}

@test "attach: recent output first, and of what has ended its end and its exit code" {
	local name
	name=$(background late)
	touch go
	finished() { [ -e finished ] && all_ended "$name"; }
	wait_for finished
	run ward attach "$name"
	assert_status 7
	assert_output_has "begun"$'\n'"late"$'\n'"ward: session 1 of shell in sandbox '$name' ended"
	assert_output_has "with exit code 7"
	# Also when the box is gone, and by its number; on a terminal nobody is told twice.
	ward exec "$name" sh -c 'echo other; exit 4' || true
	ward stop "$name"
	run on_terminal "$WARD" attach "$name" 1
	assert_output_has late
	assert_equal "$(grep -c 'session 1 of' <<<"$output")" 1
	run on_terminal "$WARD" ls
	refute_output_has "session 1"
	run ward attach "$name"
	assert_status 7
	run ward attach "$name" 2
	assert_status 4
	assert_output_has "session 2 of exec"
	run ward attach "$name" 3
	assert_status 125
	# Only the last part of a long output.
	ward run -q -d shell -- -c 'seq 100000'
	wait_for all_ended "$name"
	ward attach "$name" 3 >out 2>err
	assert_equal "$(tail -n 1 out)" 100000
	assert_equal "$(head -n 1 out)" "$((100001 - $(wc -l <out)))"
	[ "$(stat -c %s out)" -le 65536 ]
}

@test "logs -f follows until the end" {
	local name
	name=$(background followed)
	ward logs -f "$name" >out &
	local client=$!
	begun() { grep -q begun out; }
	wait_for begun
	touch go
	wait "$client"
	assert_file out "begun"$'\n'"followed"
}

@test "stop ends a detached agent: asked first, then forced" {
	local name
	name=$(ward run -q -d -t host shell -- -c "trap 'touch asked; exit' TERM; touch up; while :; do sleep 0.05; done")
	up() { [ -e up ]; }
	wait_for up
	ward stop "$name"
	[ -e asked ]
	rm up
	ward run -q -d shell -- -c "trap '' TERM; touch up; kill -STOP \$\$; while :; do sleep 0.05; done"
	wait_for up
	ward stop -t 1 "$name"
	assert_equal "$(ward ls --json | jq -r '.[0].status')" stopped
}

@test "two agents in one sandbox: the end of one does not show on the terminal of the other" {
	local name
	name=$(background one)
	ward run -q shell -c 'echo here; until [ -e release ]; do sleep 0.05; done; echo after' >out 2>&1 &
	local client=$!
	here() { grep -q here out; }
	wait_for here
	touch go
	one_ended() { ward sessions --json "$name" | jq -e '.[0].running | not' >/dev/null; }
	wait_for one_ended
	touch release
	wait "$client"
	assert_file out "here"$'\n'"after"
}
