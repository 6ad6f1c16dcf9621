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
	assert_output_has "hint: docker sandbox ls"
	run "$PLUGIN" sandbox run nope
	assert_output_has "hint: 'docker sandbox kit ls' lists the agents, 'docker sandbox ls' the sandboxes"
	# Only commands: what is called ward otherwise keeps its name.
	run "$PLUGIN" sandbox create --name 'ward x' shell
	assert_output_has "'ward x'"
	run ward inspect nope
	assert_output_has "hint: ward ls"
	run "$PLUGIN" sandbox rnu
	assert_status 2
	assert_output_has "hint: did you mean 'docker sandbox run'?"
	run "$PLUGIN" --debug sandbox --context x -D ls
	assert_status 0
	run "$PLUGIN" sandbox --nope ls
	assert_status 2
	assert_output_has "unknown option '--nope' before the command"
	run "$PLUGIN" sandbox --version
	assert_equal "$output" "$(ward version)"
}

@test "completion in the way of Docker's command line" {
	store_sandbox 00112233445566778899aabbccddeeff one shell /srv/one
	complete() { "$PLUGIN" "${1:-__complete}" "${@:2}"; }
	complete __complete sandbox r >out
	grep -q $'^run\tRun an agent' out
	grep -q $'^rm\t' out
	refute grep -q '^ls' out
	assert_equal "$(tail -n 1 out)" ":4"
	assert_equal "$(complete __complete -D --context x sandbox inspect "")" "one"$'\n'":4"
	assert_equal "$(complete __complete sandbox inspect one o)" "one"$'\n'":4"
	assert_equal "$(complete __complete sandbox run on)" "one"$'\n'":4"
	complete __complete sandbox run "" | grep -q '^claude$'
	complete __complete sandbox template build "" | grep -q '^claude$'
	assert_equal "$(complete __complete sandbox template pull "")" ":0"
	assert_equal "$(complete __complete sandbox run claude "")" ":16"
	assert_equal "$(complete __complete sandbox run --credentials "")" $'sandbox\nhost\nnone\n:4'
	assert_equal "$(complete __complete sandbox run --credentials=h)" $'host\n:4'
	assert_equal "$(complete __complete sandbox run --env-file "")" ":0"
	assert_equal "$(complete __complete sandbox ls --no)" $'--no-trunc\tDo not shorten the ids\n:4'
	# Behind the agent options are the agent's.
	assert_equal "$(complete __complete sandbox run claude --no)" ":16"
	assert_equal "$(complete __complete sandbox nope "")" ":4"
	complete __completeNoDesc sandbox help ins | grep -q '^inspect'
	complete __complete sandbox >/dev/null
	complete __complete >/dev/null
}

@test "what Docker's command has and this one calls differently" {
	refused() { # HINT ARG...
		run "$PLUGIN" sandbox "${@:2}"
		assert_status 2
		assert_equal "${#lines[@]}" 2
		assert_equal "${lines[1]}" "hint: $1"
	}
	refused "docker sandbox rm --all --force" reset -f
	refused "docker sandbox policy allow|deny --sandbox SANDBOX HOST, policy init --sandbox SANDBOX PRESET" \
		network proxy one --allow-host example.com
	refused "docker save IMAGE -o FILE, then -t docker-archive:FILE" create --load-local-template shell .
	refused "root inside: docker sandbox exec -u root SANDBOX COMMAND" exec --privileged one id
	# Only what is unknown is looked up, and what belongs to the agent never.
	run "$WARD" exec --nope one
	assert_output_has "unknown option '--nope'"
	run "$WARD" reset
	assert_output_has "hint: ward rm --all --force"
}

@test "--pull-template: nothing is pulled where no image is" {
	mkdir project
	cd project
	ward create -q --pull-template missing -t host shell . >out
	ward create -q --name two --pull-template never -t host shell . >>out
	ward create -q --name three --pull-template always -t host shell . >>out
	assert_equal "$(ward ls --no-trunc -q | wc -L)" 32
	ward ls --no-trunc | grep -q "^$(ward ls --no-trunc -q | head -n 1) "
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
