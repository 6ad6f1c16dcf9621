#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The other agents that npm installs: each makes, edits and commits a file in a box, or at least
# starts there.  What differs between kinds of user is tested with the main agents, so this file runs
# for one of them (tests/run.sh).

load ../lib/common
load ../lib/agents

setup() {
	agents_setup
	AUTHOR='Ada "The Host" Lovelace <ada@host.example>'
}

teardown() {
	agents_teardown
}

# A session without a terminal: the work is done, and nothing is left running for it.
works() { # AGENT [PROGRAM]
	need_agent "${2:-$1}"
	agent_prompts "$1" "create hello"
	assert_status 0
	check_work
}

# For agents that only a file of their own leads to another model: their box, and files in its home.
make_box() { # PROGRAM [AGENT]
	need_agent "$1"
	agent_args "${2:-$1}"
	ward create "${ARGS[@]}" "${2:-$1}"
}

home_file() { # FILE
	ward exec "$(ward ls -q)" sh -c 'cat "$HOME/$1"' sh "$1"
}

# @ stands for the model's address.
put_home_file() { # FILE CONTENT
	ward exec -i "$(ward ls -q)" sh -c 'mkdir -p "$(dirname "$HOME/$1")" && cat >"$HOME/$1"' sh "$1" \
		<<<"${2//@/$MODEL}"
}

@test "copilot does work" {
	works copilot
}

@test "qwen does work" {
	works qwen
}

@test "pi does work" {
	works pi
}

@test "kilo does work" {
	works kilo
}

@test "cline does work" {
	make_box cline
	put_home_file .cline/data/settings/providers.json '{"version": 1, "modes": {},
		"lastUsedProvider": "openai-compatible", "providers": {"openai-compatible": {
		"settings": {"provider": "openai-compatible", "apiKey": "sk-test", "model": "stand-in",
		"baseUrl": "@/v1"}, "tokenSource": "manual", "updatedAt": "2026-01-01T00:00:00.000Z"}}}'
	works cline
}

# The kit's own settings let it work: they stay.
@test "droid does work" {
	need jq
	make_box droid
	put_home_file .factory/settings.json "$(home_file .factory/settings.json | jq '. + {customModels: [
		{model: "stand-in", id: "custom:stand-in", displayName: "stand-in", baseUrl: "@/v1",
		 apiKey: "sk-test", provider: "generic-chat-completion-api", maxOutputTokens: 4096}]}')"
	works droid
}

@test "continue does work" {
	make_box cn continue
	put_home_file .continue/config.yaml '
{name: test, version: 1.0.0, schema: v1, models: [{name: stand-in, provider: openai,
 model: stand-in, apiBase: "@/v1", apiKey: sk-test, roles: [chat], capabilities: [tool_use]}]}'
	works continue cn
}

@test "amp starts" {
	need_agent amp
	run ward run -w "$WS" amp -- --version
	assert_status 0
	assert_output_has "0.0."
}

# A program of that name which says how it was started and what its home holds.
stand_in() { # PROGRAM
	mkdir -p "$TEST_DIR/bin"
	cat >"$TEST_DIR/bin/$1" <<-'SH'
		#!/bin/sh
		echo "started: ${0##*/} $*"
		find ~ -type f
	SH
	chmod +x "$TEST_DIR/bin/$1"
}

# What npm does not have starts as its kit says, with the files that answer its questions.
starts_as() { # AGENT "PROGRAM ARGUMENT..." [FILE BELOW THE HOME]
	stand_in "${2%% *}"
	run env PATH="$TEST_DIR/bin:$PATH" "$WARD" run -w "$WS" "$1" -- --more
	assert_status 0
	assert_output_has "started: $2 --more"
	[ -z "${3:-}" ] || assert_output_has "/home/agent/$3"
}

@test "agents that npm does not have are started as their kits say" {
	starts_as aider "aider --yes-always"
	starts_as cagent "cagent run --yolo"
	starts_as crush "crush --yolo"
	starts_as cursor "cursor-agent --yolo" ".cursor/projects/$(tr -cs '[:alnum:]' - <<<"${WS#/}" | sed 's/-$//')/.workspace-trusted"
	starts_as devin "devin --permission-mode dangerous --respect-workspace-trust=false"
	starts_as docker-agent "docker-agent run --yolo"
	starts_as goose "goose" .config/goose/config.yaml
	starts_as kiro "kiro-cli chat --trust-all-tools" .kiro/settings/cli.json
}

@test "an agent that is not installed is named with the way to install it" {
	local name status=0
	for name in gemini kiro aider; do
		env PATH=/usr/bin:/bin "$WARD" run -t host -w "$WS" "$name" -- --version >out 2>&1 </dev/null || status=$?
		assert_equal "$status" 127
		grep -qF -- "$(ward kit inspect "$name" --json | jq -r .install_hint)" out || fail "$(cat out)"
	done
}
