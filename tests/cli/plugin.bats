#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `docker sandbox VERB` is `ward VERB`.

load ../lib/common
load ../lib/cli

setup() {
	common_setup
	mkdir -p "$HOME/.docker/cli-plugins"
	ln -s "$(realpath "$WARD")" "$HOME/.docker/cli-plugins/docker-sandbox"
	PLUGIN="$HOME/.docker/cli-plugins/docker-sandbox"
}

teardown() {
	common_teardown
}

@test "metadata" {
	"$PLUGIN" docker-cli-plugin-metadata | jq -S 'del(.Version)' >out
	golden plugin-metadata.json out
	assert_equal "ward $("$PLUGIN" docker-cli-plugin-metadata | jq -r .Version)" "$(ward version)"
}

@test "verbs with docker's own options in front" {
	store_sandbox 00112233445566778899aabbccddeeff one shell /srv/one
	ward ls >want
	"$PLUGIN" sandbox ls >out
	cmp want out
	"$PLUGIN" --debug --context default -H unix:///nowhere --log-level=warn sandbox ls >out
	cmp want out
	"$PLUGIN" ls >out
	cmp want out
	"$PLUGIN" sandbox inspect one | jq -r '.[0].name' | grep -q '^one$'
	run "$PLUGIN" sandbox inspect nope
	assert_status 1
	assert_output_has "ward: no sandbox named 'nope'"
	run "$PLUGIN" sandbox rnu
	assert_status 2
	assert_output_has "hint: did you mean 'docker sandbox run'?"
	run "$PLUGIN" __complete sandbox ""
	assert_status 0
	assert_equal "$output" ":0"
}

@test "help says docker sandbox" {
	"$PLUGIN" sandbox >out
	grep -q '^Usage: docker sandbox COMMAND' out
	"$PLUGIN" help sandbox >out2
	cmp out out2
	"$PLUGIN" sandbox run --help >out
	grep -q '^Usage: docker sandbox run ' out
	grep -q '^  docker sandbox run claude$' out
	"$PLUGIN" help sandbox run >out2
	cmp out out2
}

@test "the real Docker command line accepts the plugin" {
	need docker
	unset DOCKER_HOST DOCKER_CONTEXT DOCKER_CONFIG
	docker --help 2>/dev/null | grep -q 'sandbox\*' || {
		docker --version
		docker --help | grep -i sandbox
	}
	docker --help 2>/dev/null | grep 'sandbox\*.*Run AI coding agents in isolated sandboxes'
	assert_equal "$(docker sandbox version)" "$(ward version)"
	run docker sandbox inspect nope
	assert_status 1
	docker sandbox run --help | grep -q '^Usage: docker sandbox run '
}
