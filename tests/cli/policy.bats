#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# policy: the files with network rules, and what commands say about them. No box is started.

load ../lib/common
load ../lib/cli

setup() {
	common_setup
	mkdir project
	cd project
	FILE="$XDG_CONFIG_HOME/ward/policy.yaml"
}

teardown() {
	common_teardown
}

# The rules of a listing, as DECISION RULE ORIGIN, without the preset's.
rules() {
	ward policy ls --json "$@" | jq -r '.[] | select(.origin | startswith("preset") | not) | "\(.decision) \(.rule) \(.origin)"'
}

@test "allow, deny, rm: in the file, in the listing, and out of both" {
	ward policy allow api.example.com '*.example.org:8443'
	ward policy deny ads.example.com
	assert_equal "$(rules)" "deny ads.example.com policy.yaml
allow api.example.com policy.yaml
allow *.example.org:8443 policy.yaml"
	grep -q '^  - "\*\.example\.org:8443"$' "$FILE"
	[ "$(stat -c %a "$FILE")" = 600 ]
	run ward policy allow API.example.com.
	assert_status 0
	assert_output_has "nothing to change"
	ward policy rm '*.example.org:8443' ads.example.com
	assert_equal "$(rules)" "allow api.example.com policy.yaml"
	run ward policy rm ads.example.com
	assert_status 1
	assert_output_has "no rule 'ads.example.com' in $FILE"
}

@test "what somebody wrote by hand stays: comments, order, mode, and a link" {
	mkdir -p "${FILE%/*}" ../dotfiles
	cat >../dotfiles/ward.yaml <<'END'
# for the CI mirror, ask Kim
allow:
    - mirror.example.com   # read only
    # old
    - "*.old.example.com"

deny:
    - ads.example.com
END
	chmod 640 ../dotfiles/ward.yaml
	ln -s "$TEST_DIR/dotfiles/ward.yaml" "$FILE"
	ward policy allow new.example.com
	ward policy rm '*.old.example.com'
	ward policy init locked
	[ -L "$FILE" ]
	[ "$(stat -c %a ../dotfiles/ward.yaml)" = 640 ]
	assert_equal "$(cat ../dotfiles/ward.yaml)" '# for the CI mirror, ask Kim
preset: locked
allow:
    - mirror.example.com   # read only
    # old
    - "new.example.com"

deny:
    - ads.example.com'
}

@test "a bad file: named with its line, nothing changed, no sandbox made of it" {
	mkdir -p "${FILE%/*}"
	printf 'allow:\n  - a.example.com\n  - "*.com"\n' >"$FILE"
	cp "$FILE" ../before
	for words in "policy ls" "policy allow b.example.com" "policy check a.example.com" "run --dry-run shell"; do
		# shellcheck disable=SC2086 # words
		run ward $words
		assert_status 125
		assert_output_has "$FILE:3: rule '*.com'"
	done
	printf 'alow: []\n' >"$FILE"
	run ward policy ls
	assert_output_has "$FILE:1: unknown field 'alow', did you mean 'allow'?"
	printf 'allow:\n  - *.example.com\n' >"$FILE"
	run ward policy ls
	assert_output_has "$FILE:2:"
	assert_output_has 'needs quotes: - "*.example.com"'
	printf 'allow: [a.example.com]\n' >"$FILE"
	run ward policy allow b.example.com
	assert_status 125
	assert_output_has "not written with one rule a line"
	assert_equal "$(cat "$FILE")" "allow: [a.example.com]"
}

@test "rules that are none are refused before anything is written" {
	for rule in '*.com' http://x a:b '' 'a.example.com get' 'a.example.com GET x' localhost; do
		run ward policy allow "$rule"
		assert_status 2
		assert_output_has "rule"
	done
	run ward policy allow
	assert_status 2
	run ward policy allow good.example.com '*.com'
	assert_status 2
	[ ! -e "$FILE" ]
	run ward policy deny '*.com'
	assert_status 0
}

@test "methods and paths: options, text, and what they cannot do" {
	run ward policy allow --method get,head --path '/repos/**' api.example.com
	assert_status 0
	assert_output_has "counts for plain HTTP"
	assert_equal "$(rules)" "allow api.example.com GET,HEAD /repos/** policy.yaml"
	run ward policy allow --method GET 'b.example.com POST'
	assert_status 2
	ward policy init locked
	run ward policy check http://api.example.com/repos/a
	assert_status 0
	for words in https://api.example.com/repos/a api.example.com http://api.example.com/other \
		http://api.example.com/repos/../x "--method POST http://api.example.com/repos/a"; do
		# shellcheck disable=SC2086 # words
		run ward policy check $words
		assert_status 1
	done
	run ward policy deny --method POST c.example.com
	assert_output_has "denies every connection with TLS there"
	ward policy rm --method GET,HEAD --path '/repos/**' api.example.com
	assert_equal "$(rules)" "deny c.example.com POST policy.yaml"
}

@test "scopes: a sandbox's own file counts for it alone, and goes with it" {
	ward create -q --name one shell
	ward create -q --name two --deny-host d.example.com --allow-host a.example.com shell
	ward policy allow --sandbox one x.example.com
	ward policy deny --sandbox one d.example.com
	ward policy allow u.example.com d.example.com
	assert_equal "$(rules one)" "allow u.example.com policy.yaml
allow d.example.com policy.yaml
deny d.example.com policy.yaml of the sandbox
allow x.example.com policy.yaml of the sandbox"
	assert_equal "$(rules two | sort)" "allow a.example.com --allow-host
allow d.example.com policy.yaml
allow u.example.com policy.yaml
deny d.example.com --deny-host"
	run ward policy check -s one d.example.com
	assert_status 1
	assert_output_has "deny d.example.com:443: rule 'd.example.com' of policy.yaml of the sandbox"
	assert_output_has "hint: ward policy rm --sandbox one d.example.com"
	run ward policy allow -s one d.example.com
	assert_status 0
	assert_output_has "'d.example.com' stays denied by a rule of policy.yaml of the sandbox"
	run ward policy rm -s one u.example.com
	assert_status 1
	assert_output_has "hint: ward policy rm u.example.com"
	run ward policy allow --sandbox none x.example.com
	assert_status 1
	run ward policy allow --sandbox one --global x.example.com
	assert_status 2
	ward rm one
	ward create -q --name one shell
	refute_output_has_rules one x.example.com
}

refute_output_has_rules() {
	if rules "$1" | grep -qF "$2"; then fail "$1 has $2"; fi
}

@test "a sandbox that is made anew keeps its own rules" {
	ward create -q shell
	ward policy allow -s shell-project x.example.com
	ward create -q --recreate --network locked shell
	assert_equal "$(rules shell-project)" "allow x.example.com policy.yaml of the sandbox"
}

@test "presets: the sandbox's file, its option, the user's file, the default" {
	preset() { ward policy ls --all --json "$1" | jq -r 'map(.origin) | map(select(startswith("preset"))) | unique | join(",")'; }
	ward create -q --name default shell
	ward create -q --name option --network balanced shell
	assert_equal "$(preset default)" "preset balanced"
	ward policy init allow-all
	assert_equal "$(preset default)" "preset open"
	assert_equal "$(preset option)" "preset balanced"
	ward policy init --sandbox option open
	assert_equal "$(preset option)" "preset open"
	ward policy init deny-all
	assert_equal "$(preset default)" ""
	assert_equal "$(preset option)" "preset open"
	ward policy init audit
	run ward policy ls default
	assert_output_has "an audit"
	run ward policy check -s default unknown.example.com
	assert_status 0
	assert_output_has "an audit lets it pass"
	run ward policy init shut
	assert_status 2
	ward policy reset --force
	[ ! -e "$FILE" ]
	assert_equal "$(preset default)" "preset balanced"
	run ward policy reset -f
	assert_status 0
	assert_output_has "there is no"
}

@test "check: hosts, ports, addresses, services of this machine" {
	run ward policy check python.org
	assert_status 0
	assert_equal "$output" "allow python.org:443: rule 'python.org' of preset balanced"
	run ward policy check python.org:22
	assert_status 1
	assert_output_has "no rule allows port 22 there, only other ports"
	assert_output_has "hint: ward policy allow python.org:22"
	run ward policy check 169.254.169.254:80
	assert_status 1
	assert_output_has "special address"
	run ward policy check localhost:3000
	assert_status 1
	assert_output_has "hint: ward policy allow localhost:3000"
	run ward policy check '[2001:db8::1]:443'
	assert_output_has "hint: ward policy allow '[2001:db8::1]:443'"
	run ward policy check 0x7f.1
	assert_status 2
	run ward policy check --json http://a.example.com/x?secret
	assert_status 1
	assert_equal "$(jq -c '[.host,.port,.method,.path,.verdict,.rule,.origin]' <<<"$output")" \
		'["a.example.com",80,"GET","/x","deny",null,null]'
}

@test "what a hint names works when it is pasted" {
	ward create -q --name box shell
	for target in a.example.com b.example.com:8443 '[2001:db8::1]:443' localhost:3000 10.1.2.3:80; do
		run ward policy check -s box "$target"
		assert_status 1
		bash -c "${lines[1]#hint: }"
		run ward policy check -s box "$target"
		assert_status 0
	done
	ward policy deny -s box '**.example.com'
	run ward policy check -s box a.example.com
	assert_status 1
	bash -c "${lines[1]#hint: }"
	run ward policy check -s box a.example.com
	assert_status 0
}

@test "words of Docker's command" {
	run ward policy set-default balanced
	assert_status 0
	ward policy allow network 'a.example.com,b.example.com:8443'
	ward policy deny network -g c.example.com
	assert_equal "$(rules)" "deny c.example.com policy.yaml
allow a.example.com policy.yaml
allow b.example.com:8443 policy.yaml"
	ward policy rm network --resource a.example.com
	ward policy rm --resource b.example.com:8443
	assert_equal "$(rules)" "deny c.example.com policy.yaml"
}

@test "commands at the same moment all count" {
	local i pids=()
	for i in 1 2 3 4 5 6 7 8; do
		ward policy allow "h$i.example.com" 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
	assert_equal "$(rules | wc -l)" 8
	assert_equal "$(find "${FILE%/*}" -type f | wc -l)" 1
}

@test "what a killed command left behind goes with the next change, and nothing else" {
	local dir="$XDG_CONFIG_HOME/ward" f
	mkdir -p "$dir/.ward-00000000000000aa.tmp"
	touch -d "2 minutes ago" "$dir/.ward-00000000000000aa.tmp"
	for f in .ward-0123456789abcdef.tmp .ward-0123456789abcdeX.tmp .ward-0123456789abcdef.tmp.mine .ward-0123.tmp mine.tmp; do
		echo x >"$dir/$f"
		touch -d '2 minutes ago' "$dir/$f"
	done
	echo x >"$dir/.ward-fedcba9876543210.tmp" # somebody may be writing it
	ward policy allow -q one.example.com
	[ ! -e "$dir/.ward-0123456789abcdef.tmp" ]
	for f in .ward-0123456789abcdeX.tmp .ward-0123456789abcdef.tmp.mine .ward-0123.tmp mine.tmp .ward-fedcba9876543210.tmp \
		.ward-00000000000000aa.tmp; do
		[ -e "$dir/$f" ] || fail "$f is gone"
	done
}

@test "a command that is killed leaves the old file or the new one" {
	local i pid
	ward policy allow first.example.com
	for i in $(seq 1 25); do
		ward policy allow "h$i.example.com" 3>&- 2>/dev/null &
		pid=$!
		read -rt "0.00$((i % 10))" <> <(:) || true
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
		rules >/dev/null
		rules | grep -q first.example.com
	done
	ward policy allow last.example.com
	rules | grep -q last.example.com
}

@test "JSON of a change" {
	ward policy allow --json a.example.com >out
	assert_equal "$(jq -c '[.file,.changed,.sandboxes]' out)" "[\"$FILE\",[\"a.example.com\"],[]]"
}

# record SANDBOX TIME HOST PORT VERDICT [MORE]: a line of its log, as the proxy writes it.
record() {
	local dir
	dir=$(sandbox_dir "$(ward inspect "$1" | jq -r '.[0].id')")
	mkdir -p "$dir/log"
	printf '{"time":"%s","entry":"connect","host":"%s","port":%s,"verdict":"%s","rule":"","origin":"","reason":"no rule allows it","bytes_up":1,"bytes_down":2,"duration_ms":3%s}\n' \
		"$2" "$3" "$4" "$5" "${6:-}" >>"$dir/log/network.jsonl"
}

@test "log: of one sandbox and of all, in order, and filters" {
	ward create -q --name one shell
	ward create -q --name two shell
	record one 2026-01-01T00:00:01.000Z a.example.com 443 deny
	record two 2026-01-01T00:00:02.000Z b.example.com 22 allow ',"address":"192.0.2.9"'
	record one 2026-01-01T00:00:03.000Z c.example.org 443 would-deny
	echo 'no record' >>"$(sandbox_dir "$(ward inspect one | jq -r '.[0].id')")/log/network.jsonl"
	record one 2026-01-01T00:00:04.000Z 'x\u001b[31m' 443 bad-request
	run ward policy log
	assert_status 0
	assert_equal "${lines[0]}" "2026-01-01T00:00:01.000Z one deny  a.example.com:443 connect: no rule allows it"
	assert_equal "${lines[1]}" "2026-01-01T00:00:02.000Z two allow b.example.com:22 (192.0.2.9) connect 1B up 2B down 3ms: no rule allows it"
	assert_equal "${#lines[@]}" 4
	refute_output_has $'\e'
	hosts() { ward policy log --json "$@" | jq -r .host | grep -v 31m | paste -sd' '; }
	assert_equal "$(hosts)" "a.example.com b.example.com c.example.org"
	assert_equal "$(hosts one)" "a.example.com c.example.org"
	assert_equal "$(hosts --sandbox two)" "b.example.com"
	assert_equal "$(hosts --denied)" "a.example.com c.example.org"
	assert_equal "$(hosts --host '**.example.com')" "a.example.com b.example.com"
	assert_equal "$(hosts --host c.example.org)" "c.example.org"
	assert_equal "$(hosts --since 2026-01-01T00:00:02Z)" "b.example.com c.example.org"
	assert_equal "$(hosts --since 1h)" ""
	assert_equal "$(hosts two --limit 1)" "b.example.com"
	assert_equal "$(ward policy log --json two | jq -r .sandbox)" two
	run ward policy log --since yesterday
	assert_status 2
	run ward policy log none
	assert_status 1
}

@test "log: the older files come first" {
	local log
	ward create -q --name one shell
	record one 2026-01-01T00:00:01.000Z first.example.com 443 deny
	log=$(sandbox_dir "")/log/network.jsonl
	mv "$log" "$log.2"
	record one 2026-01-01T00:00:01.000Z second.example.com 443 deny
	mv "$log" "$log.1"
	record one 2026-01-01T00:00:01.000Z third.example.com 443 deny
	assert_equal "$(ward policy log --json one | jq -r .host | paste -sd' ')" "first.example.com second.example.com third.example.com"
}

@test "learn: the smallest rules for what was refused, and what it leaves to people" {
	local i t=2026-01-01T00:00:01.000Z
	ward create -q --name one --deny-host bad.example.com shell
	run ward policy learn one
	assert_status 0
	assert_output_has "nothing to allow"
	record one $t api.example.com 443 deny
	record one $t api.example.com 80 deny
	record one $t git.example.com 22 would-deny
	record one $t bad.example.com 443 deny
	record one $t python.org 443 deny
	record one $t host.ward.internal 8080 deny
	record one $t 10.1.2.3 5432 deny
	record one $t 192.0.2.7 443 deny
	for i in a b c; do
		record one $t "$i.cdn.example.net" 443 deny
		record one $t "$i.github.io" 443 deny
		record one $t "$i.co.uk" 443 deny
	done
	record one $t python.org 80 deny ',"address":"10.9.9.9"'
	run ward policy learn one
	assert_status 0
	assert_equal "${lines[0]}" "ward policy allow --sandbox one api.example.com git.example.com:22 192.0.2.7:443 '*.cdn.example.net' a.github.io a.co.uk b.github.io b.co.uk c.github.io c.co.uk"
	assert_equal "${lines[2]}" "ward policy allow --sandbox one localhost:8080 10.1.2.3:5432 10.9.9.9:80"
	ward policy learn --apply one
	assert_equal "$(rules one | grep -c 'policy.yaml of the sandbox')" 10
	if rules one | grep -e localhost -e 10.1.2.3; then false; fi
	run ward policy learn --json one
	assert_equal "$(jq -c . <<<"$output")" '{"allow":[],"by_hand":["localhost:8080","10.1.2.3:5432","10.9.9.9:80"]}'
	bash -c "$(ward policy learn one | tail -n 1)"
	run ward policy learn one
	assert_output_has "nothing to allow"
}
