#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `ward template build AGENT`: a template from nothing but this machine's package sources, and an agent
# that installs what it needs in it.  The verdict comes from the workspace, from what `inspect` says of
# the template, and from what is left on disk.

load ../lib/common
load ../lib/cli
load ../lib/agents

# The newest is not always complete in every registry; tests/setup-agents.sh has the same.
VERSION=2.1.330

setup() {
	agents_setup
	need mmdebstrap
	need_fixtures
	STORE="$XDG_DATA_HOME/ward/templates"
}

teardown() {
	if [ -n "${BUILD_PID:-}" ]; then
		kill -9 "$BUILD_PID" 2>/dev/null || true
	fi
	agents_teardown
}

# No sandbox and no process of a step is left, and nothing that prune would free but records of the cache.
assert_nothing_left() {
	assert_equal "$(ward ls -q)" ""
	assert_equal "$(ls "$XDG_DATA_HOME/ward/sandboxes")" ""
	run ward template prune --dry-run
	assert_output_has "would be freed: 0 blobs, 0 unfinished downloads, 0 unpacked layers"
	assert_equal "$(ls -A "$STORE/builds")" ""
}

# Begin to build in the background, until a step runs.
begin_build() { # AGENT
	setsid "$WARD" template build --no-cache "$1" >"$TEST_DIR/build.out" 2>&1 </dev/null 3>&- &
	BUILD_PID=$!
	WAIT_SECONDS=60 wait_for grep -q 'extracting' "$TEST_DIR/build.out"
	# No command sees the step's box.
	assert_equal "$(ward ls -q)" ""
}

@test "claude's template is made of packages, and the agent in it installs what it needs" {
	[ "$(id_mode)" = range ] || skip "one user builds this; it takes minutes"
	cat >"$HOME/.npmrc" <<-'END'
		@acme:registry=https://npm.acme.example/all/
		//npm.acme.example/all/:_authToken=SECRET-TOKEN
		_auth=SECRET-TOKEN
	END
	run ward template build "claude@$VERSION"
	assert_status 0
	assert_output_has "step 1 of 3: the base system"
	assert_nothing_left
	run ward template ls
	assert_output_has "localhost/ward/claude"
	ward template inspect localhost/ward/claude >"$TEST_DIR/inspect"
	jq -e --arg by "npm install -g @anthropic-ai/claude-code@$VERSION" \
		'.[0] | (.layers | length) == 3 and .history[-1].created_by == $by' "$TEST_DIR/inspect"

	# It is taken although claude is installed on this machine, and the agent does its work.
	agent_prompts claude "install a package"
	assert_status 0
	assert_output_has "template localhost/ward/claude:latest, which was built for claude"
	assert_file "$WS/hello.txt" "Hello, world!"
	assert_equal "$(stat -c %u "$WS/hello.txt")" "$(id -u)"
	local box
	box=$(ward ls -q)
	assert_equal "$(ward exec "$box" id -un)" agent
	run ward exec "$box" claude --version
	assert_output_has "$VERSION"
	run ward exec "$box" sh -ec 'git --version; rg --version; jq --version; python3 --version; cc --version
		node --version; npm --version; curl --version; locale charmap'
	assert_status 0
	assert_output_has UTF-8

	# Where packages come from is in it, and who asked for them is not; nor is anything of the boxes.
	run ward exec "$box" cat /usr/local/etc/npmrc
	assert_output_has "@acme:registry=https://npm.acme.example/all/"
	run ward exec "$box" sudo grep -rl SECRET-TOKEN /etc /usr/local/etc /root /home /tmp
	assert_equal "$output" ""
	run ward exec "$box" sudo sh -c "ls -d /ward-files /ward-base /usr/local/lib/ward $XDG_DATA_HOME 2>/dev/null; ls -A /root"
	refute_output_has ward
	mkdir "$TEST_DIR/layout"
	ward template save -o - localhost/ward/claude | tar -xC "$TEST_DIR/layout"
	for blob in "$TEST_DIR"/layout/blobs/sha256/*; do
		gzip -dcf <"$blob" | tar -tf - 2>/dev/null || true
	done >"$TEST_DIR/names"
	grep -qx etc/passwd "$TEST_DIR/names"
	refute grep -xE 'etc/(hostname|hosts|resolv.conf)' "$TEST_DIR/names"

	# Whoever wants this machine's program says so.
	ward rm -f "$box" >/dev/null
	assert_equal "$(cd "$WS" && ward create -t host claude . >/dev/null && ward inspect "$(ward ls -q)" | jq -r '.[0].template.ref')" host
	ward rm -f "$(ward ls -q)" >/dev/null

	# On the same day, what agents' templates share is used again.
	run ward template build shell
	assert_status 0
	refute_output_has "the base system"
	local before
	before=$(ward template ls --json)

	# Ctrl-C: nothing of the step stays.
	begin_build shell
	kill -INT "$BUILD_PID"
	local status=0
	wait "$BUILD_PID" || status=$?
	assert_equal "$status" 130
	assert_nothing_left
	# kill -9: prune removes what it left.
	begin_build shell
	kill -9 "$BUILD_PID"
	wait "$BUILD_PID" || true
	wait_for bash -c '"$1" prune -f >/dev/null 2>&1; [ -z "$(ls -A "$2")" ]' - "$WARD" "$STORE/builds"
	assert_nothing_left
	assert_equal "$(ward template ls --json)" "$before"
}

@test "with one id, too, a template is made, and packages are installed in it" {
	[ "$(id_mode)" = single ] || skip "only where there is one id"
	run ward template build shell
	assert_status 0
	assert_nothing_left
	run ward run -w "$WS" shell -- -c 'sudo apt-get -q update && sudo apt-get -q install -y hello && hello >hello.txt'
	assert_status 0
	assert_file "$WS/hello.txt" "Hello, world!"
}

@test "agents that cannot be built, and words that are none" {
	run ward template build aider
	assert_status 125
	assert_output_has "npm does not have this agent"
	assert_output_has "pipx install aider-chat"
	run ward template build 'claude@1;id'
	assert_status 2
	assert_output_has "'1;id' is no version"
	run ward template build claud
	assert_status 1
	assert_output_has "claude"
	[ ! -e "$STORE/refs" ] || assert_equal "$(ls "$STORE/refs")" ""
}

@test "a template that is here for the agent comes before this machine's own program" {
	need busybox umoci
	python3 "$WARD_REPO/tests/lib/mklayers.py" small "$TEST_DIR/small.tar"
	python3 "$WARD_REPO/tests/lib/mkimage.py" "$TEST_DIR/small" latest "$TEST_DIR/small.tar" >/dev/null
	tar -C "$TEST_DIR/small" -cf "$TEST_DIR/archive.tar" .
	cd "$WS"
	run ward create claude
	assert_output_has "with template host"
	ward rm -f "$(ward ls -q)" >/dev/null
	ward template load -i "$TEST_DIR/archive.tar" localhost/ward/claude
	run ward create claude
	assert_output_has "with template localhost/ward/claude:latest, which was built for claude"
	# It has no claude: the message says so, and the program of this machine is not taken instead.
	run ward run claude -- --version
	assert_status 127
	assert_output_has "the claude binary was not found in the sandbox"
	run ward run --recreate -t host claude -- --version
	assert_status 0
}
