#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Help, manual pages and completions: made from the tables, compared with golden files, and accepted
# by the programs that read them.

load ../lib/common
load ../lib/cli

setup() {
	common_setup
}

teardown() {
	common_teardown
}

verbs() {
	ward help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

@test "help: the list of commands" {
	ward help >out
	golden help.txt out
	ward >out2
	cmp out out2
	ward --help >out2
	cmp out out2
	ward -h >out2
	cmp out out2
}

@test "help of every command: golden, the same by three ways, no wider than a terminal" {
	local verb n=0
	for verb in $(verbs); do
		ward help "$verb" >out
		golden "help-$verb.txt" out
		ward "$verb" --help >out2
		cmp out out2
		ward "$verb" -h >out2
		cmp out out2
		refute grep -E '^ {30}.{51}' out
		n=$((n + 1))
	done
	[ "$n" -ge 15 ]
}

@test "help leaves nothing behind and needs no home" {
	env -i "$WARD" help run >out
	[ -z "$(ls -A "$XDG_DATA_HOME")" ]
}

@test "every option of every command is in its help and its manual page" {
	local verb option
	for verb in $(verbs); do
		ward __man "$verb" | sed 's/\\-/-/g; s/\\f.//g' >page
		for option in $(ward help "$verb" | grep -oE '^ {2,6}(-., )?--[a-z-]+' | grep -oE -- '--[a-z-]+'); do
			grep -q -- "^.*$option" page || { echo "$verb $option"; return 1; }
		done
		grep -q '^\.SH EXIT STATUS' page
		grep -q '^\.SH SYNOPSIS' page
		grep -q '^\.SH SEE ALSO' page
	done
}

@test "manual pages: groff has nothing to complain about, and every command has one in the build" {
	need groff
	local verb
	ward __man >ward.1
	for verb in $(verbs); do
		ward __man "$verb" >"ward-$verb.1"
		grep -q "'$verb'" "$WARD_REPO/src/meson.build"
		grep -q "^\\\\fBward\\\\-$verb\\\\fR(1)" ward.1
	done
	groff -man -Tutf8 -ww -z ./*.1 >out 2>&1
	[ ! -s out ] || { cat out; false; }
}

@test "manual pages: what a reader sees" {
	need groff
	ward __man run | groff -man -Tutf8 -P-cbou -rLL=80n >out
	grep -q 'ward-run - Run an agent' out
	grep -q -- '-w, --workspace DIR' out
	grep -q 'ward run claude . ../docs:ro -- -p hi' out
	grep -q "ward run shell -- -c 'make test'" out
	ward __man kit | groff -man -Tutf8 -P-cbou -rLL=80n >out
	grep -qF -- "/.config/ward/kits/NAME/spec.yaml" out
}

@test "completion: the shells accept the scripts" {
	local shell
	for shell in bash zsh fish; do
		ward completion $shell >ward.$shell
		[ -s ward.$shell ]
		no_control ward.$shell
		command -v $shell >/dev/null || continue
		$shell -n ward.$shell
	done
	run ward completion tcsh
	assert_status 2
	assert_output_has "no completion for the shell 'tcsh'"
}

@test "completion in bash: commands, options, values, agents and sandboxes" {
	store_sandbox 0123456789abcdef0123456789abcdef one shell /srv/one
	cat >try.sh <<-'SH'
		eval "$("$WARD" completion bash)"
		compopt() { :; }
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_ward
		echo "${COMPREPLY[*]}"
	SH
	assert_equal "$(bash try.sh ward ins)" "inspect"
	assert_equal "$(bash try.sh ward inspect o)" "one"
	assert_equal "$(bash try.sh ward run cla)" "claude"
	assert_equal "$(bash try.sh ward run on)" "one"
	assert_equal "$(bash try.sh ward run --net)" "--network"
	assert_equal "$(bash try.sh ward run --network l)" "locked"
	assert_equal "$(bash try.sh ward completion z)" "zsh"
	assert_equal "$(bash try.sh ward template bui)" "build"
	assert_equal "$(bash try.sh ward template build cla)" "claude"
	mkdir "a dir"
	assert_equal "$(bash try.sh ward run -w "a ")" "a dir"
}
