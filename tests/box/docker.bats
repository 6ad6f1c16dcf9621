#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `docker sandbox ...` through the real Docker client: the documented examples of both generations of
# Docker's command work, and what the client prints and returns is what `ward` does.  No engine is needed.

load ../lib/common

setup() {
	common_setup
	need docker
	mkdir -p "$HOME/.docker/cli-plugins"
	ln -s "$(realpath "$WARD")" "$HOME/.docker/cli-plugins/docker-sandbox"
	unset DOCKER_HOST DOCKER_CONTEXT DOCKER_CONFIG
	WS="$TEST_DIR/project"
	mkdir "$WS"
	cd "$WS"
}

teardown() {
	common_teardown
}

# same ARG...: the client and ward print and return the same, but for the program's name in hints.
same() {
	local a=0 b=0
	ward "$@" >"$TEST_DIR/want" 2>"$TEST_DIR/want2" </dev/null || a=$?
	docker sandbox "$@" >"$TEST_DIR/got" 2>"$TEST_DIR/got2" </dev/null || b=$?
	assert_equal "$b" "$a"
	# Ages may differ: a second passes between the two.
	local age='s/([0-9]+|Less than a|About a) (second|minute)s? ago/AGE/'
	diff <(sed -E "$age" "$TEST_DIR/want") <(sed -E "$age" "$TEST_DIR/got")
	diff "$TEST_DIR/want2" <(sed '/^hint: /s/docker sandbox/ward/g' "$TEST_DIR/got2")
}

@test "docker sandbox does what ward does: output, errors, exit codes" {
	docker sandbox run -q --name box -t host shell -- -c 'echo kept > /tmp/kept'
	same exec box cat /tmp/kept
	same exec box sh -c 'echo out; echo err >&2; exit 42'
	same exec box sh -c 'kill -9 $$'
	same exec box /nonexistent
	same exec box /etc
	same exec nope true
	same exec -w relative box true
	same exec -e A=b -u root -w / box sh -c 'echo $A; id -u; pwd'
	same inspect nope
	same run nope
	same run --nope
	same create
	same rnu
	same stop nope
	docker sandbox create -q --name two -t host shell >out
	assert_file out two
	same ls
	same ls -q --no-trunc
	same ls --json
	same sessions two
	same logs two
	same cp two:/nope .
	same cp two:/etc/hostname -
	same version
	same version --json
	same stop two
	same inspect two
	docker sandbox rm two
	[ "$(docker sandbox ls -q | wc -l)" -eq 1 ]
}

@test "standard input and output pass through the client unchanged" {
	docker sandbox create -q --name box -t host shell
	head -c 3000000 /dev/urandom >blob
	docker sandbox exec -i box cat <blob >copy
	cmp blob copy
	docker sandbox exec -i box sh -c 'cat > made' <blob
	cmp blob made
	run bash -o pipefail -c 'docker sandbox exec box yes | head -n 1'
	assert_equal "$output" y
}

@test "the client's own options in front, and its help" {
	docker sandbox create -q --name box -t host shell
	ward ls -q >want
	docker -D sandbox ls -q | cmp want -
	docker --config "$HOME/.docker" sandbox ls -q | cmp want -
	docker -H unix:///nowhere sandbox ls -q | cmp want -
	docker --context nowhere sandbox ls -q | cmp want -
	docker sandbox -D ls -q | cmp want -
	ward help | sed 's/ward/docker sandbox/' | head -n 1 | cmp - <(docker sandbox --help | head -n 1)
	docker sandbox --help >one
	docker help sandbox | cmp one -
	docker --help sandbox | cmp one -
	docker sandbox | cmp one -
	docker sandbox run --help >one
	grep -q '^Usage: docker sandbox run ' one
	docker help sandbox run | cmp one -
	docker sandbox help run | cmp one -
	docker __complete sandbox rm "" | grep -q '^box$'
	docker __complete sandbox run --network "" | grep -q '^locked$'
}

@test "documented examples, first generation" {
	mkdir ~/app ~/datasets ~/models
	echo one >~/datasets/f
	cd ~/app
	run docker sandbox run -t host shell -c 'echo "$PWD"'
	assert_status 0
	assert_output_has "$HOME/app"
	# One for each workspace and agent, also from elsewhere.
	cd /
	run docker sandbox run --workspace ~/app shell -c 'echo "$PWD"'
	assert_equal "$output" "$HOME/app"
	[ "$(docker sandbox ls -q | wc -l)" -eq 1 ]
	# shellcheck disable=SC2046 # as it is documented
	docker sandbox rm $(docker sandbox ls -q)
	cd ~/app
	run docker sandbox run -q -t host --env NODE_ENV=development \
		--env DATABASE_URL=postgresql://localhost/myapp \
		--volume ~/datasets:/data:ro --volume ~/models:/models shell \
		-c 'echo "$NODE_ENV $DATABASE_URL"; cat /data/f; echo x >/data/g || echo refused; echo m >/models/m'
	assert_status 0
	assert_output_has "development postgresql://localhost/myapp"$'\n'"one"
	assert_output_has refused
	assert_file ~/models/m m
	# shellcheck disable=SC2046 # as it is documented
	docker sandbox rm $(docker sandbox ls -q)
	run docker sandbox run -q -t host -v ~/datasets:/data:readonly --credentials none --name my-project shell \
		-c 'echo x >/data/g || echo refused'
	assert_output_has refused
	[ ! -e ~/datasets/g ]
	docker sandbox ls | grep -q my-project
	docker sandbox ls --no-trunc -q | grep -qE '^[0-9a-f]{32}$'
	run docker sandbox inspect "$(docker sandbox ls -q)"
	assert_equal "$(jq -r '.[0].labels["com.docker.sandbox.agent"]' <<<"$output")" shell
	assert_equal "$(jq -r '.[0].labels["com.docker.sandbox.workingDirectory"]' <<<"$output")" "$HOME/app"
	assert_equal "$(docker sandbox run -q --detached shell -c true)" "$(docker sandbox ls | awk '/shell-app/ { print $2 }')"
	docker sandbox version | grep -q '^ward '
}

@test "documented examples, second generation" {
	mkdir ~/my-project ~/docs
	echo doc >~/docs/f
	docker sandbox create --quiet -t host shell ~/my-project >out
	assert_file out "$(ward ls --json | jq -r '.[0].name')"
	docker sandbox create -q --name my-sandbox -t host shell ~/my-project ~/docs:ro
	run docker sandbox run my-sandbox -- -c "cat ~/../../$HOME/docs/f; echo x >$HOME/docs/g || echo refused; pwd"
	assert_status 0
	assert_output_has refused
	assert_output_has "$HOME/my-project"
	cd ~/my-project
	run docker sandbox run -q --pull-template missing shell . -- -c 'echo "args: $0"' given
	assert_equal "$output" "args: given"
	run docker sandbox exec my-sandbox ls -la
	assert_status 0
	run docker sandbox exec --env NODE_ENV=development --env A=b --workdir /tmp --user root my-sandbox \
		sh -c 'echo "$NODE_ENV $A $PWD $(id -u)"'
	assert_equal "$output" "development b /tmp 0"
	docker sandbox exec -d my-sandbox sh -c 'echo done > done'
	made() { [ -e ~/my-project/done ]; }
	wait_for made
	docker sandbox ls --json | jq -e 'length == 2' >/dev/null
	assert_equal "$(docker sandbox stop my-sandbox)" my-sandbox
	docker sandbox ls | grep my-sandbox | grep -q stopped
	docker sandbox rm my-sandbox
	run docker sandbox run my-sandbox
	assert_status 125
}

@test "signals to the client end the program as they would with ward" {
	docker sandbox create -q --name box -t host shell
	for signal in TERM INT; do
		rm -f out
		docker sandbox exec box sh -c 'trap "echo got-it; exit 7" TERM INT; echo up; while :; do sleep 0.1; done' >out 2>err &
		local client=$! code=0
		# What the program wrote is here: from now on the client passes signals on.
		up() { grep -q up out; }
		wait_for up
		kill -s "$signal" "$client"
		wait "$client" || code=$?
		assert_equal "$code" 7
		assert_equal "$(tr '\n' ' ' <out)" "up got-it "
	done
}

@test "a killed client leaves nothing of its program" {
	docker sandbox create -q --name box -t host shell
	docker sandbox exec box sh -c 'echo > up; exec sleep 600' >out 2>err &
	local client=$!
	up() { [ -e up ]; }
	wait_for up
	kill -9 "$client"
	wait "$client" || true
	ended() { ! ward exec box pgrep -x sleep >/dev/null; }
	wait_for ended
}

@test "on a terminal: size, Ctrl-C inside, detach, exit code" {
	docker sandbox create -q --name box -t host shell
	DRIVEN="docker sandbox" python3 "$BATS_TEST_DIRNAME/session_terminal.py" size box
	DRIVEN="docker sandbox" python3 "$BATS_TEST_DIRNAME/session_terminal.py" job_control box
	DRIVEN="docker sandbox" python3 "$BATS_TEST_DIRNAME/session_terminal.py" detach box
}
