#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# create and run --dry-run: which sandbox a command line means, and what is stored. No box is started.

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

@test "one sandbox for a workspace and agent; --name makes a further one" {
	assert_equal "$(ward create shell 2>/dev/null)" shell-project
	run ward create shell
	assert_status 0
	assert_output_has "sandbox 'shell-project' exists already"
	assert_equal "$(ward create -q --name two shell)" two
	assert_equal "$(ward create -q --name two shell)" two
	[ "$(ward ls -q | wc -l)" -eq 2 ]
	ln -s "$PWD" ../link
	cd ../link
	assert_equal "$(ward create -q shell)" shell-project
	mkdir ../other
	run ward create --name two shell ../other
	assert_status 125
	assert_output_has "sandbox 'two': it exists already, for shell in $TEST_DIR/project"
}

@test "two at the same moment make one sandbox" {
	local i pids=()
	for i in 1 2 3 4 5 6 7 8; do
		ward create -q shell >"../out.$i" 2>"../err.$i" 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
	cat ../err.*
	[ "$(sort -u ../out.*)" = shell-project ]
	[ "$(ward ls -q | wc -l)" -eq 1 ]
}

@test "another directory under the same path is another sandbox" {
	ward create -q shell
	cd ..
	mv project old
	mkdir project
	cd project
	assert_equal "$(ward create -q shell)" shell-project-2
}

@test "where the agent's arguments begin" {
	mkdir ../docs ../lib
	command() { ward run -q --dry-run --json "$@" 2>/dev/null | jq -r '.command | join(" ")'; }
	workspaces() { ward run -q --dry-run --json "$@" 2>/dev/null | jq -r '.spec.workspaces | map(.path + (if .readonly then ":ro" else "" end)) | join(" ")'; }
	local base
	base=$(command shell)
	assert_equal "$(command shell -c)" "$base -c"
	assert_equal "$(command shell "Add error handling")" "$base Add error handling"
	assert_equal "$(command shell --name x)" "$base --name x"
	assert_equal "$(command shell -- -p hi)" "$base -p hi"
	assert_equal "$(command shell . ../docs:ro -- -p hi)" "$base -p hi"
	assert_equal "$(workspaces shell . ../docs:ro -- -p hi)" "$PWD $TEST_DIR/docs:ro"
	assert_equal "$(workspaces -w ../lib shell --continue)" "$TEST_DIR/lib"
	assert_equal "$(command -w ../lib shell --continue)" "$base --continue"
	assert_equal "$(workspaces -w . shell ../docs ../lib:ro x)" "$PWD $TEST_DIR/docs $TEST_DIR/lib:ro"
	assert_equal "$(command shell -- ../docs)" "$base ../docs"
	assert_equal "$(command shell x ../docs -- --)" "$base x ../docs -- --"
	assert_equal "$(command shell '')" "$base "
	assert_equal "$(command -- shell)" "$base"
	run ward run --dry-run shell ./missing
	assert_output_has "'./missing' is no directory here: it is passed to the agent"
}

@test "run with the name or id of a sandbox" {
	ward create -q --name box shell
	local id base
	id=$(ward ls -q)
	base=$(ward run -q --dry-run --json shell | jq -r '.command | join(" ")')
	for name in box "$id" "${id:0:6}"; do
		assert_equal "$(ward run --dry-run --json "$name" -- -c x | jq -r '.spec.name + " " + (.command | join(" "))')" "box $base -c x"
	done
	# An agent's name comes first.
	ward create -q --name claude shell
	run ward run --dry-run claude
	refute_output_has "shell"
	run ward run -w .. box
	assert_status 2
	run ward run --name other box
	assert_status 2
}

@test "settings are fixed at creation: one line names what differs" {
	mkdir ../docs
	ward create -q --network locked -v "$PWD:/v" shell
	run ward create --network open --allow-host x.example.org --hide a -v "$PWD:/v:ro" --credentials none -t "host" shell . ../docs
	assert_status 0
	[ "${lines[0]}" = "ward: sandbox 'shell-project' keeps what it was made with for workspaces, --volume, --hide, --network, --allow-host, --credentials (--recreate applies the new values)" ]
	run ward create --network locked -e A=1 -v "$PWD:/v" -t host shell .
	refute_output_has "keeps"
	ward create -q --recreate --network open shell
	[ "$(ward inspect shell-project | jq -r '.[0].network.preset')" = open ]
	[ "$(ward ls -q | wc -l)" -eq 1 ]
	# With a sandbox's name, what is not given stays.
	ward create -q --name box --network open -e A=1 -v "$PWD:/v" shell
	ward run -q --dry-run --recreate --network locked --json box | jq -c '[.spec.network, .spec.env, (.spec.volumes | length), .spec.name]' >out
	assert_file out '["locked",["A=1"],1,"box"]'
}

@test "a dry run makes nothing" {
	ward run --dry-run --recreate shell >/dev/null
	ward create --dry-run --json shell >/dev/null
	[ -z "$(ward ls -q)" ]
	[ -z "$(ls -A)" ]
	ward run --dry-run --network locked --allow-host "localhost:8080" shell -c x >out
	grep -q '^sandbox shell-project$' out
	grep -q 'localhost:8080' out
	no_control out
}

@test "environment: -e, --env-file, inherited values" {
	cat >vars <<-'ENV'
		# comment
		FROM_FILE=two words
		BOTH=file
		INHERITED
		ABSENT
	ENV
	INHERITED=yes ward create -q --env-file vars -e BOTH=option -e EMPTY= -e INHERITED -e GONE shell
	ward inspect shell-project | jq -c '.[0].env | sort' >out
	assert_file out '["BOTH=option","EMPTY=","FROM_FILE=two words","INHERITED=yes"]'
	printf 'A=1\n2B=x\n' >bad
	run ward create --name x --env-file bad shell
	assert_status 2
	assert_output_has "bad:2: '2B' is not the name of a variable"
}

@test "workspaces with strange names: exactly that directory, or a clean refusal" {
	local dir n=0
	mkdir -p "$TEST_DIR/strange"
	for dir in 'with space' $'quote\'s "and" $(id);&|*?' $'new\nline' 'ünï✓' 'a:b,c' 'end:ro' '%s%n' '\back' $'\033[31m'; do
		mkdir "$TEST_DIR/strange/$dir"
		n=$((n + 1))
		ward create -q --name "s$n" shell "$TEST_DIR/strange/$dir/" >out 2>err && status=0 || status=$?
		no_control out err
		if [ "$status" -eq 0 ]; then
			ward inspect "s$n" | jq -j '.[0].workspace.path' >path
			printf '%s' "$TEST_DIR/strange/$dir" | cmp - path
			[ "$(ward inspect "s$n" | jq -r '.[0].workspace.inode')" = "$(stat -c %i "$TEST_DIR/strange/$dir")" ]
		else
			[ "$status" -eq 125 ] || [ "$status" -eq 2 ]
			[ "$(grep -c '^ward: ' err)" -eq 1 ]
		fi
	done
	ward ls >out
	no_control out
	# A leading dash is an option or the agent's, unless ./ or -w says otherwise.
	mkdir -- -dash
	ward create -q --name dash -w ./-dash shell
	[ "$(ward inspect dash | jq -r '.[0].workspace.path')" = "$PWD/-dash" ]
	ward create -q --name dash2 -w -dash shell
	[ "$(ward inspect dash2 | jq -r '.[0].workspace.path')" = "$PWD/-dash" ]
	# Longer than a path can be.
	run ward create --name long shell "$(printf '/a%.0s' {1..3000})"
	assert_status 125
}

@test "the current directory is gone" {
	mkdir gone
	cd gone
	rmdir ../gone
	run ward create shell
	[ "$status" -eq 125 ]
	[[ "$output" == "ward: "* ]]
	cd ..
}

@test "no template: how to get one" {
	PATH=/usr/bin:/bin run "$WARD" create claude
	[ "$status" -eq 125 ] || skip "claude is installed for everybody here"
	assert_output_has "ward: no template was found for claude: it is not installed on this machine"
	assert_output_has "hint: npm install -g @anthropic-ai/claude-code"
	assert_output_has "-t IMAGE"
	run ward create --pull-template never -t python:3-slim shell
	assert_status 125
	assert_output_has "ward: template 'python:3-slim': it is not on this machine"
	assert_output_has "hint: ward template pull python:3-slim"
}
