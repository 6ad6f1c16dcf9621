#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# ls and inspect on prepared state directories: golden output, filters, bad records, hostile text.

load ../lib/common
load ../lib/cli

A=00112233445566778899aabbccddeeff
B=11112222333344445555666677778888
C=fedcba9876543210fedcba9876543210

setup() {
	common_setup
}

teardown() {
	common_teardown
}

three() {
	store_sandbox $A claude-web claude /srv/web 7300
	store_sandbox $B shell-tools shell /srv/tools 180
	store_sandbox $C review claude /srv/web 100000
}

@test "ls: nothing yet" {
	outcome ls
	outcome ls -q
	outcome ls --json
	outcome list
	golden ls-empty.txt outcome
}

@test "ls: three sandboxes, oldest first; list is the same" {
	three
	outcome ls
	outcome list
	outcome ls -q
	outcome ls --filter agent=claude --filter status=stopped
	outcome ls --filter name=web
	outcome ls --filter name=web --filter name=tools -q
	outcome ls -q --filter "id=1111"
	outcome ls -q --filter workspace=/srv/tools
	outcome ls -q --filter label=com.docker.sandbox.agent
	outcome ls -q --filter status=running
	golden ls-three.txt outcome
}

@test "ls --json and inspect, compared with golden files" {
	three
	ward ls --json | jq 'map(.created_at |= (fromdate | type))' >out
	golden ls.json out
	ward inspect claude-web | jq 'map(.created_at |= (fromdate | type))' >out
	golden inspect.json out
	[ "$(ward ls --format json | jq length)" -eq 3 ]
	[ "$(ward inspect $A 1111 review | jq -r 'map(.name) | join(" ")')" = "claude-web shell-tools review" ]
}

@test "inspect: those that there are, in spite of one that there is not" {
	three
	ward inspect claude-web nope review >out 2>err && status=0 || status=$?
	[ "$status" -eq 1 ]
	[ "$(jq length out)" -eq 2 ]
	[ "$(cat err)" = "ward: no sandbox named 'nope'"$'\n'"hint: ward ls" ]
}

@test "inspect: what create was given, secrets hidden" {
	mkdir project data
	touch project/.env
	ward create -q --name x -e PLAIN=1 -e API_KEY=verysecret -e github_token=sesame -v "$PWD/data:/data:ro" \
		--hide .env --network locked --allow-host '**.example.org' --deny-host x.example.org \
		--credentials none shell project data:ro
	ward inspect x | jq '.[0]' >out
	refute grep -q verysecret out
	refute grep -q sesame out
	[ "$(jq -c .env out)" = '["PLAIN=1","API_KEY=***","github_token=***"]' ]
	[ "$(jq -c .network out)" = '{"preset":"locked","allow":["**.example.org"],"deny":["x.example.org"]}' ]
	[ "$(jq -r .credentials out)" = none ]
	[ "$(jq -r .workspace.path out)" = "$PWD/project" ]
	[ "$(jq -r .workspace.inode out)" = "$(stat -c %i project)" ]
	[ "$(jq -r .workspace.dev out)" = "$(stat -c %d project)" ]
	[ "$(jq -r '.mounts | map([.type, .target, (.readonly | tostring)] | join(" ")) | join(",")' out)" = \
		"workspace $PWD/project false,workspace $PWD/data true,volume /data true,hidden $PWD/project/.env true" ]
	[ "$(jq -r '.labels["com.docker.sandbox.agent"], .labels["com.docker.sandbox.workingDirectory"]' out)" = \
		"shell"$'\n'"$PWD/project" ]
	[ "$(jq -r '.enforcement, .status' out)" = "null"$'\n'"stopped" ]
}

@test "docs/json.md documents every member" {
	three
	local member
	for member in $(ward ls --json | jq -r '.[0] | keys[]') $(ward inspect review | jq -r '.[0] | keys[]') \
		$(ward version --json | jq -r 'keys[]'); do
		grep -q "\`$member\`" "$WARD_REPO/docs/json.md" || { echo "$member"; return 1; }
	done
}

@test "broken records are listed as broken and hide nothing" {
	three
	echo '{' >"$XDG_DATA_HOME/ward/sandboxes/$B/spec.json"
	ward ls >out 2>err
	[ "$(grep -c . out)" -eq 4 ]
	grep -q '^111122223333 .*broken' out
	grep -q '^ward: ' err
	no_control out err
	[ "$(ward ls --filter status=broken -q 2>/dev/null)" = 111122223333 ]
	[ "$(ward ls --json 2>/dev/null | jq -r '.[] | select(.status == "broken") | .problem | length > 0')" = true ]
	run ward inspect $B
	assert_status 125
	assert_output_has "hint: ward rm -f 111122223333"
	run ward run $B
	assert_status 125
	ward prune -f
	# What is broken is not pruned, only removed by name.
	[ "$(ward ls -q 2>/dev/null)" = 111122223333 ]
	ward rm -f $B
	[ -z "$(ward ls -q)" ]
}

@test "records with bad members are broken, each with the member's name" {
	local dir="$XDG_DATA_HOME/ward/sandboxes/$A" edit
	store_sandbox $A x shell /srv/x
	cp "$dir/spec.json" good.json
	for edit in '.id = "../../x"' '.name = "a/b"' '.name = 7' '.agent = null' '.created_at = "yesterday"' \
		'.workspaces = []' '.workspaces[0].path = "relative"' '.network = "shut"' \
		'.template.kind = "moon"' '.version = 99' 'del(.credentials)'; do
		jq "$edit" good.json >"$dir/spec.json"
		ward ls >out 2>err
		grep -q '^001122334455 .*broken' out || { echo "$edit: $(cat out)"; return 1; }
		[ "$(grep -c '^ward: ' err)" -eq 1 ]
	done
}

@test "hostile text in records never reaches the terminal as it is" {
	# A workspace may have any name; a sandbox may not: such a record is broken.
	store_sandbox $A esc shell '/srv/\u001b[31mred\u0007\r\u009b2J\u202egnp.exe\u200b\u007f'
	store_sandbox $B 'bad\u001b[2Jname' shell /srv/x
	store_sandbox $C lab shell /srv/y
	jq '.labels = ["k\u001b[1m=v\u202e\u009d"] | .env = ["A=\u001b]0;t\u0007\u009b"]' \
		"$XDG_DATA_HOME/ward/sandboxes/$C/spec.json" >s
	cat s >"$XDG_DATA_HOME/ward/sandboxes/$C/spec.json"
	# The control: the bytes are really there, and printing them would act.
	jq -r '.workspaces[0].path' "$XDG_DATA_HOME/ward/sandboxes/$A/spec.json" >raw
	refute no_control raw
	local args
	for args in "ls" "ls --json" "inspect esc" "inspect lab" "inspect $B" "rm -- $B" "sessions esc" \
		"stop esc" "run --dry-run esc" "ls --filter label=k"; do
		# shellcheck disable=SC2086
		ward $args >out 2>err || true
		no_control out err
	done
	ward ls 2>/dev/null | grep -qF '/srv/\x1b[31mred\x07'
	# JSON keeps the value, in escapes.
	[ "$(ward inspect esc | jq -r '.[0].workspace.path' | cmp - raw && echo same)" = same ]
	ward ls --filter $'name=\033[31m' >out 2>err || true
	ward ls --filter $'\033[31m=x' >out2 2>err2 || true
	ward inspect $'\033[31m' >out3 2>err3 || true
	ward run $'\033[31m' >out4 2>err4 || true
	no_control out err out2 err2 out3 err3 out4 err4
}

@test "prune: only stopped ones, and only those that nobody used for so long" {
	three
	[ "$(ward prune --dry-run | tr '\n' ' ')" = "review claude-web shell-tools " ]
	[ "$(ward prune --dry-run --filter until=1h | tr '\n' ' ')" = "review claude-web " ]
	[ "$(ward prune --filter until=1d)" = review ]
	[ "$(ward ls -q | wc -l)" -eq 2 ]
	# Used a moment ago, though made long ago.
	echo '{}' >"$XDG_DATA_HOME/ward/sandboxes/$A/state.json"
	[ -z "$(ward prune --filter until=1h)" ]
	[ "$(ward prune -f | tr '\n' ' ')" = "claude-web shell-tools " ]
	[ -z "$(ward ls -q)" ]
}

@test "rm: several, one of them missing; the workspace stays" {
	mkdir project
	echo mine >project/file
	ward create -q --name a shell project
	ward create -q --name b shell project
	ward rm a nope b >out 2>err && status=0 || status=$?
	[ "$status" -eq 1 ]
	assert_file out "a"$'\n'"b"
	assert_file err "ward: no sandbox named 'nope'"$'\n'"hint: ward ls"
	assert_file project/file mine
	[ -z "$(ward ls -q)" ]
	ward create -q --name c shell project
	assert_equal "$(ward rm --all)" c
}
