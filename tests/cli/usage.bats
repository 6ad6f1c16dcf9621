#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Wrong command lines: exit code 2, one line that names the thing, a hint; nothing is made.

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

@test "usage errors, compared with the golden file" {
	outcome rnu
	outcome zzz
	outcome claude
	outcome ''
	outcome $'\033[31mred'
	outcome -x
	outcome --nmae x run
	outcome run
	outcome run --nmae x shell
	outcome run --name
	outcome run -Z shell
	outcome run --network shut shell
	outcome run --credentials lent shell
	outcome volume
	outcome volume lend
	outcome volume ls x
	outcome volume rm
	outcome volume rm ../x
	outcome volume rm nothing
	outcome run --rm -d shell
	outcome run --json shell
	outcome run -e '=x' shell
	outcome run -e '1A=x' shell
	outcome run --env-file missing.env shell
	outcome run --hide ../other shell
	outcome run --hide /etc shell
	outcome run --hide . shell
	outcome run --allow-host 'http://x' shell
	outcome run --deny-host 'a b' shell
	outcome run claud
	outcome run ''
	outcome run ..
	outcome create --detach shell
	outcome exec
	outcome exec box
	outcome exec -t
	outcome exec -it box sh
	outcome exec --workdir rel box sh
	outcome attach
	outcome attach a b c
	outcome attach box first
	outcome sessions
	outcome ls extra
	outcome ls --filter name
	outcome ls --filter colour=red
	outcome ls --format xml
	outcome ls --json=maybe
	outcome inspect
	outcome stop
	outcome stop -t soon x
	outcome rm
	outcome rm --all x
	outcome prune --filter until=soon
	outcome prune --filter name=x
	outcome cp a
	outcome cp a b
	outcome cp a:/x b:/y
	outcome cp '' a:/x
	outcome logs
	outcome logs box 0
	outcome kit
	outcome kit new
	outcome kit inspect
	outcome kit ls claude
	outcome help nothing
	outcome version extra
	outcome completion
	golden usage.txt outcome
	no_control outcome
	[ -z "$(ls -A "$XDG_DATA_HOME/ward/sandboxes" 2>/dev/null)" ]
}

@test "a sandbox that there is not: 1 for listings, 125 for programs" {
	outcome inspect nope
	outcome sessions nope
	outcome stop nope
	outcome rm nope
	outcome rm -f nope
	outcome cp nope:/x .
	outcome logs nope
	outcome exec nope true
	outcome attach nope
	golden no-such-sandbox.txt outcome
}

@test "names that are no names: refused with exit code 2, before anything is made" {
	local name verb
	for name in .. . / a/b 'a b' '' $'a\nb' $'\033[2J' 'a;b' '$(id)' '*' ../../etc a:b \
		"$(printf 'a%.0s' {1..300})"; do
		for verb in inspect stop rm sessions logs; do
			run ward "$verb" -- "$name"
			assert_status 2
			printf '%s' "$output" >said
			no_control said
			[ "$(wc -c <said)" -lt 500 ]
		done
		run ward create --name "$name" shell
		assert_status 2
		run ward exec -- "$name" true
		assert_status 2
	done
	run ward rm -- -rf
	assert_status 2
	run ward create --name=-rf shell
	assert_status 2
	[ -z "$(ls -A "$XDG_DATA_HOME/ward/sandboxes" 2>/dev/null)" ]
}

@test "volumes that are none" {
	local v
	mkdir data
	for v in a:b:c:d "$PWD/data" "$PWD/data:" ":/data" "relative:/x" "$PWD/data:relative" "$PWD/data:/x:rx" \
		"$PWD/data:/../x" ""; do
		run ward create -v "$v" shell
		assert_status 2
		assert_output_has "option --volume"
	done
	run ward create -v "$PWD/missing:/x" shell
	[ "$status" -eq 125 ] || [ "$status" -eq 2 ]
	[ -z "$(ls -A "$XDG_DATA_HOME/ward/sandboxes" 2>/dev/null)" ]
}

@test "arguments that are not UTF-8 are refused, not changed" {
	run ward run shell -- $'\xff'
	assert_status 2
	assert_output_has "argument '\\xff' is not UTF-8"
	run ward create -e $'A=\xff' shell
	assert_status 2
	assert_output_has "variable A: its value is not UTF-8"
}

@test "results go to standard output, remarks and errors to standard error" {
	ward create shell >out 2>err
	assert_file out shell-project
	grep -q '^ward: made sandbox' err
	ward create -q --name two shell >out 2>err
	assert_file out two
	[ ! -s err ]
}

@test "a full standard output is an error" {
	[ -c /dev/full ] || skip "no /dev/full"
	local args
	for args in help version "ls" "ls --json" "completion bash"; do
		# shellcheck disable=SC2086
		run bash -c "\"\$WARD\" $args >/dev/full"
		assert_status 125
		assert_output_has "ward: standard output: No space left on device"
	done
}
