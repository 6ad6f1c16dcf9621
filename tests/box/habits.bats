#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What people and scripts do without thinking: commands that race, programs that cannot work with the
# template, an environment with nothing in it, many short programs.

bats_require_minimum_version 1.5.0

load ../lib/common
load ../lib/cli

setup() {
	common_setup
	mkdir project
	cd project
}

teardown() {
	common_teardown
}

@test "twenty runs at once in one directory make one sandbox and all succeed" {
	local i
	for i in $(seq 20); do
		ward run shell -- -c "echo $i" >"../out.$i" 2>"../err.$i" </dev/null 3>&- &
	done
	wait
	for i in $(seq 20); do
		assert_file "../out.$i" "$i"
	done
	run ward ls -q
	assert_equal "${#lines[@]}" 1
}

@test "a command that meets a stop waits for it and starts the sandbox again" {
	ward run -q --name box shell -- -c true
	# It does not end when it is asked to, so that the stop takes its time, and it says that it was
	# asked: a command that had started before would be stopped with the rest.
	ward exec -d box sh -c 'trap "echo > asked" TERM; echo > ready; while :; do sleep 1; done' >/dev/null
	wait_for test -e ready
	ward stop -t 1 box >/dev/null 3>&- &
	local stop=$!
	wait_for test -e asked
	run ward exec box echo here
	assert_status 0
	assert_equal "$output" here
	wait "$stop"
}

@test "runs, stops and removals that race never blame the program" {
	local i
	for i in $(seq 12); do
		ward run --name box shell -- -c true >"../run.$i" 2>&1 </dev/null 3>&- &
		ward stop -t 1 box >"../stop.$i" 2>&1 3>&- &
		[ $((i % 3)) -ne 0 ] || ward rm -f box >"../rm.$i" 2>&1 3>&- &
	done
	wait
	refute grep -l "was not found in the sandbox" ../run.*
	run ward ls --filter status=broken -q
	assert_equal "$output" ""
}

@test "sudo and package managers say that they do not work with this machine's system, and the cure" {
	local name found=0
	ward run -q -t host --name box shell -- -c true
	for name in apt apt-get dnf pacman sudo su; do
		command -v "$name" >/dev/null || continue
		# Where everybody is root, sudo just runs the command.
		if [ "$name" = sudo ] && [ "$(ward exec box id -u)" = 0 ]; then
			continue
		fi
		found=1
		run ward exec box "$name" install -y hello
		assert_status 1
		assert_equal "${lines[0]}" \
			"$name: does not work with the template 'host': this machine's system is shown read-only"
		[[ "${lines[1]}" == "hint: "*"ward run --recreate -t IMAGE AGENT" ]]
	done
	[ "$found" = 1 ] || skip "this machine has none of them"
}

@test "sudo and package managers of a root file system are its own" {
	need_rootfs
	run ward run -q -t "dir:$WARD_ROOTFS" shell -- -c 'command -v apt-get; apt-get --version'
	assert_status 0
	assert_equal "${lines[0]}" /usr/bin/apt-get
}

@test "an environment without PATH, HOME and TERM" {
	local program
	program=$(command -v "$WARD")
	run env -i XDG_DATA_HOME="$XDG_DATA_HOME" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" "$program" \
		run -q shell -- -c 'echo "$HOME"'
	assert_status 0
	assert_equal "$output" /home/agent
}

@test "the records of sessions are bounded, and tell the truth" {
	local i
	ward run -q --name box shell -- -c true
	for i in $(seq 205); do
		ward exec box true
	done
	ward sessions --json box >out.json
	[ "$(jq length out.json)" -le 200 ]
	[ "$(jq '[.[].id] | max' out.json)" -eq 206 ]
	assert_equal "$(jq '[.[] | select(.attached != 0)] | length' out.json)" 0
	[ "$(find "$XDG_DATA_HOME"/ward/sandboxes/*/log -name '*.log' | wc -l)" -le 200 ]
}

@test "all boxes of a user share one of the keys that the user may own" {
	own_keys() { grep -c ' keyring  *ward: ' /proc/keys; }
	[ -r /proc/keys ] || skip "this kernel has no keys"
	ward run -q -t host --name first shell -- -c true </dev/null
	local before
	before=$(own_keys)
	[ "$before" -ge 1 ]
	for name in second third fourth; do
		ward run -q -t host --name "$name" shell -- -c true </dev/null
	done
	# Others of this user may end meanwhile.
	[ "$(own_keys)" -le "$before" ]
}

@test "a sandbox in which something runs is not removed, and is called by its name" {
	ward run -q --name box shell -- -c 'setsid sleep 600 >/dev/null 2>&1 </dev/null &'
	run ward rm box
	assert_status 125
	assert_equal "$output" "ward: sandbox 'box' is running
hint: ward stop box, or ward rm -f box"
	ward exec box true
	# With nothing left in it there is nothing to lose.
	ward exec box pkill -x sleep
	nothing_runs() { ward rm box 2>/dev/null; }
	wait_for nothing_runs
	[ -z "$(ward ls -q)" ]
}

@test "a device is not copied out" {
	ward run -q --name box shell -- -c true
	run ward cp box:/dev/zero copy
	assert_status 125
	assert_equal "$output" "ward: box:/dev/zero: neither a file nor a directory"
	[ ! -e copy ]
}

@test "a hundred programs at once, and one more question" {
	local i
	mkfifo gate
	ward run -q --name box shell -- -c true
	for i in $(seq 100); do
		ward exec box sh -c 'read -r _ <gate; echo done' >"../out.$i" 2>&1 </dev/null 3>&- &
	done
	all_run() { [ "$(ward sessions --json box | jq '[.[] | select(.running)] | length')" -eq 100 ]; }
	wait_for all_run
	yes >gate &
	wait
	assert_equal "$(cat ../out.* | sort | uniq -c | tr -s ' ')" " 100 done"
}

@test "the identity of a user who keeps git's configuration elsewhere" {
	need git
	mkdir -p "$TEST_DIR/conf/git"
	git config --file "$TEST_DIR/conf/git/config" user.name "From XDG"
	git config --file "$TEST_DIR/own" user.name "From a file"
	XDG_CONFIG_HOME="$TEST_DIR/conf" run ward run -q shell -- -c 'git config user.name'
	assert_equal "$output" "From XDG"
	GIT_CONFIG_GLOBAL="$TEST_DIR/own" run ward run -q --recreate shell -- -c 'git config user.name'
	assert_equal "$output" "From a file"
}

@test "a template that is absent or no root file system: the cure harms nothing" {
	mkdir data
	run ward run -t "dir:$PWD/data" shell
	assert_status 2
	assert_equal "${lines[1]}" \
		"hint: make one in a new directory: mmdebstrap --variant=minbase bookworm DIR"
	run ward run -t "dir:$PWD/absent" shell
	assert_status 2
	assert_output_has "it does not exist"
	assert_equal "${lines[1]}" \
		"hint: make one in a new directory: mmdebstrap --variant=minbase bookworm DIR"
}

@test "one very long path leaves the other rows of the list as they are" {
	local deep
	deep=$(printf 'x%.0s' $(seq 150))
	mkdir "$deep"
	ward create -q --name short shell >/dev/null
	ward ls >before
	ward create -q --name long -w "$deep" shell >/dev/null
	ward ls >after
	assert_equal "$(grep -c -x -F -e "$(head -n 1 before)" after)" 1
	[[ "$(grep long after)" == *"$deep "* ]]
}
