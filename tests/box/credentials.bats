#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Credentials: an agent's login follows into its other sandboxes, and nothing else goes in or out.
#
# Secrets are passed to programs inside on standard input: arguments are recorded in the data directory.

# bats file_tags=credentials
load ../lib/common

setup() {
	common_setup
	need jq
	make_kit tool "credentialFiles: [.tool/auth.json, .tool/plain]"
	VOLUME=$XDG_DATA_HOME/ward/volumes/tool
	STORED=$VOLUME/.tool/auth.json
}

teardown() {
	[ -z "${HOLDER:-}" ] || kill "$HOLDER" 2>/dev/null || true
	common_teardown
}

make_kit() { # NAME LINE-BELOW-WARD [MORE-YAML]
	mkdir -p "$XDG_CONFIG_HOME/ward/kits/$1"
	cat >"$XDG_CONFIG_HOME/ward/kits/$1/spec.yaml" <<-YAML
		schemaVersion: "2"
		kind: sandbox
		name: $1
		sandbox: {entrypoint: [sh]}
		credentials:
		  - service: $1
		    apiKey: {name: TOOL_API_KEY}
		ward:
		  $2
		${3:-}
	YAML
}

# box NAME [OPTION...]: a running sandbox of the agent in a workspace of its own.
box() {
	local name=$1
	shift
	mkdir -p "$TEST_DIR/ws-$name"
	(cd "$TEST_DIR/ws-$name" && ward run -q -t host --name "$name" "$@" "${AGENT:-tool}" -- -c true)
}

id_of() { ward inspect "$1" | jq -r '.[0].id'; }
dir_of() { sandbox_dir "$(id_of "$1")"; }
in_home() { echo "$(dir_of "$1")/home/.tool/auth.json"; }
log_of() { cat "$(dir_of "$1")/log/supervisor.log" 2>/dev/null || true; }

# Standard input becomes the file, as most agents write it.
by_rename() { # BOX
	ward exec -i "$1" sh -c 'umask 077; mkdir -p ~/.tool; cat >~/.tool/new; mv ~/.tool/new ~/.tool/auth.json'
}
in_place() { # BOX
	ward exec -i "$1" sh -c 'umask 077; mkdir -p ~/.tool; cat >~/.tool/auth.json'
}

holds() { # FILE TEXT
	[ "$(cat "$1" 2>/dev/null)" = "$2" ]
}
gone() { [ ! -e "$1" ] && [ ! -L "$1" ]; }
logged() { # BOX TEXT LINES
	[ "$(log_of "$1" | grep -c -- "$2")" -ge "${3:-1}" ]
}

# Well above what it takes, and a bound all the same.
soon() { WAIT_SECONDS=3 wait_for "$@"; }

@test "a login appears in running and in new sandboxes, both ways, and outlives them" {
	box a
	box b
	by_rename a <<<'{"token":"one"}'
	soon holds "$STORED" '{"token":"one"}'
	soon holds "$(in_home b)" '{"token":"one"}'
	[ "$(stat -c %a "$STORED" "$(in_home b)" "$VOLUME" | sort -u | tr '\n' ' ')" = "600 700 " ]
	[ "$(ward exec b sh -c 'cat ~/.tool/auth.json; echo >>~/.tool/auth.json; stat -c %a ~/.tool/auth.json')" = \
		'{"token":"one"}
600' ]
	box c
	[ "$(ward exec c cat /home/agent/.tool/auth.json)" = '{"token":"one"}' ]

	by_rename b <<<'{"token":"two"}'
	soon holds "$(in_home a)" '{"token":"two"}'
	soon holds "$(in_home c)" '{"token":"two"}'

	in_place c <<<'{"token":"three"}'
	soon holds "$(in_home a)" '{"token":"three"}'
	soon holds "$(in_home b)" '{"token":"three"}'

	ward rm -f a b c
	holds "$STORED" '{"token":"three"}'
	box d
	[ "$(ward exec d cat /home/agent/.tool/auth.json)" = '{"token":"three"}' ]
	run ward inspect d
	[ "$(jq -r '.[0].credentials' <<<"$output")" = sandbox ]
	[ "$(jq -c '.[0].credential_files' <<<"$output")" = '["~/.tool/auth.json","~/.tool/plain"]' ]
}

@test "what was written just before the end, or while stopped, is not lost" {
	box a
	# Stopped at once: the last look is at the end.
	by_rename a <<<'{"token":"last"}'
	ward stop a
	holds "$STORED" '{"token":"last"}'
	box b
	by_rename b <<<'{"token":"later"}'
	soon holds "$STORED" '{"token":"later"}'
	ward exec a true
	holds "$(in_home a)" '{"token":"later"}'
}

@test "a file that tells no end is taken when it has come to rest" {
	box a
	box b
	ward exec -i a sh -c 'mkdir -p ~/.tool; cat >~/.tool/plain' <<<secret
	soon holds "$VOLUME/.tool/plain" secret
	soon holds "$(dirname "$(in_home b)")/plain" secret
}

@test "fifty refreshes in two boxes at once end with one valid file everywhere" {
	local i
	box a
	box b
	refresh() { # BOX
		for i in $(seq 50); do
			by_rename "$1" <<<"{\"token\":\"$1$i\",\"pad\":\"$(printf '%0*d' $((i * 37)) 0)\"}" || return 1
		done
	}
	refresh a &
	refresh b
	wait $!
	all_equal() {
		cmp -s "$STORED" "$(in_home a)" && cmp -s "$STORED" "$(in_home b)"
	}
	soon all_equal
	jq -e .token "$STORED"
	[[ "$(jq -r .token "$STORED")" =~ ^[ab]50$ ]]
	# And it stays so: another change goes round.
	by_rename a <<<'{"token":"end"}'
	soon holds "$(in_home b)" '{"token":"end"}'
	all_equal
}

@test "logging out inside logs out; a file that is deleted and written again does not" {
	box a
	box b
	by_rename a <<<'{"token":"one"}'
	soon holds "$(in_home b)" '{"token":"one"}'
	ward exec -i b sh -c 'rm ~/.tool/auth.json; cat >~/.tool/auth.json' <<<'{"token":"two"}'
	soon holds "$(in_home a)" '{"token":"two"}'
	ward exec a rm /home/agent/.tool/auth.json
	soon gone "$STORED"
	soon gone "$(in_home b)"
	# The whole directory, and a new one.
	by_rename a <<<'{"token":"three"}'
	soon holds "$(in_home b)" '{"token":"three"}'
	ward exec a sh -c 'mv ~/.tool ~/.old'
	soon gone "$(in_home b)"
	by_rename a <<<'{"token":"four"}'
	soon holds "$(in_home b)" '{"token":"four"}'
}

@test "what is not a plain complete file of the agent's own is refused, and followed nowhere" {
	local before n=0 what why
	echo '{"token":"canary"}' >"$TEST_DIR/canary"
	mkdir "$TEST_DIR/canaries"
	cp "$TEST_DIR/canary" "$TEST_DIR/canaries/auth.json"
	before=$(cd "$TEST_DIR" && snapshot canaries && sha256sum canary && stat -c '%a %h %Y' canary)
	box a
	box b
	by_rename b <<<'{"token":"good"}'
	soon holds "$(in_home a)" '{"token":"good"}'
	# In one step: were there nothing for a moment, and the moment long, that would be a logout.
	cat >"$TEST_DIR/ws-a/swap.py" <<-'SWAP'
		import ctypes, os, sys
		libc, exchange, here = ctypes.CDLL(None, use_errno=True), 2, -100
		if libc.renameat2(here, sys.argv[1].encode(), here, sys.argv[2].encode(), exchange) != 0:
		    sys.exit(os.strerror(ctypes.get_errno()))
	SWAP
	while IFS='|' read -r what why; do
		ward exec a sh -ec "swap() { python3 $TEST_DIR/ws-a/swap.py \"\$@\"; }; cd ~/.tool; $what; rm -rf bad"
		n=$((n + 1))
		soon logged a "$why" 1
		holds "$STORED" '{"token":"good"}'
		holds "$(in_home b)" '{"token":"good"}'
	done <<-KINDS
		ln -s $TEST_DIR/canary bad; swap bad auth.json|a symbolic link leads to it
		mkfifo bad; swap bad auth.json|it is no regular file
		head -c 2M /dev/zero >bad; swap bad auth.json|it is too large
		printf '{"half":' >bad; swap bad auth.json|it is not a complete JSON document
		echo '{}' >other; ln other bad; swap bad auth.json|it has a second name
		mkdir bad; swap bad auth.json|it is no regular file
		cd ..; ln -s $TEST_DIR/canaries bad; swap bad .tool|a symbolic link leads to it
	KINDS
	[ "$n" -eq 7 ]
	# Nothing is written through a link either.
	by_rename b <<<'{"token":"better"}'
	soon holds "$STORED" '{"token":"better"}'
	[ "$(cd "$TEST_DIR" && snapshot canaries && sha256sum canary && stat -c '%a %h %Y' canary)" = "$before" ]
	run grep -q canary "$STORED"
	assert_status 1
	# The control: the same place, with a plain file.
	ward exec a rm /home/agent/.tool
	by_rename a <<<'{"token":"best"}'
	soon holds "$(in_home b)" '{"token":"best"}'
}

@test "a half-written file waits until it is whole" {
	box a
	box b
	by_rename a <<<'{"token":"one"}'
	soon holds "$(in_home b)" '{"token":"one"}'
	ward exec -d a sh -c 'exec 3>~/.tool/auth.json; printf "{\"token\":" >&3
		until [ -e ~/go ]; do sleep 0.05; done; echo "\"two\"}" >&3; until [ -e ~/end ]; do sleep 0.05; done'
	soon logged a "not a complete JSON document"
	holds "$STORED" '{"token":"one"}'
	holds "$(in_home b)" '{"token":"one"}'
	# Taken although the program still has it open.
	ward exec a touch /home/agent/go
	soon holds "$(in_home b)" '{"token":"two"}'
	ward exec a touch /home/agent/end
}

@test "a file of another user inside is refused" {
	[ "$(id_mode)" != single ] || skip "only where there is one id"
	box a
	ward exec -i -u root a sh -c 'umask 077; mkdir -p /home/agent/.tool; cat >/home/agent/.tool/auth.json' <<<'{"token":"root"}'
	soon logged a "it belongs to another user\|it cannot be read"
	gone "$STORED"
}

@test "none: nothing goes in or out" {
	box a
	by_rename a <<<'{"token":"shared"}'
	soon holds "$STORED" '{"token":"shared"}'
	box n --credentials none
	gone "$(in_home n)"
	by_rename n <<<'{"token":"private"}'
	# What is written later elsewhere has arrived, and this has not.
	by_rename a <<<'{"token":"shared again"}'
	soon holds "$STORED" '{"token":"shared again"}'
	holds "$(in_home n)" '{"token":"private"}'
	ward stop n
	holds "$STORED" '{"token":"shared again"}'
	[ "$(ward inspect n | jq -c '.[0].credential_files')" = '[]' ]
}

host_login() {
	mkdir -p "$HOME/.tool"
	(umask 077 && cat >"$HOME/.tool/auth.json")
}

@test "host: file and key of this machine, and a renewal goes back" {
	local mine=$HOME/.tool/auth.json
	host_login <<<'{"accessToken":"a1","expiresAt":1,"account":"me"}'
	export TOOL_API_KEY=key-of-the-host
	mkdir "$TEST_DIR/ws"
	cd "$TEST_DIR/ws"
	run ward run -t host --name h --credentials host tool -- -c 'cat ~/.tool/auth.json; echo "$TOOL_API_KEY"'
	assert_status 0
	assert_output_has 'ward: credentials from this machine: ~/.tool/auth.json, TOOL_API_KEY'
	assert_output_has '"accessToken":"a1"'
	assert_output_has key-of-the-host
	[ "$(ward exec h sh -c 'echo "$TOOL_API_KEY"')" = key-of-the-host ]
	# Whoever starts the box says it, an exec that finds it running does not.
	ward stop h >/dev/null
	ward exec h true 2>err
	grep -q 'ward: credentials from this machine: ~/.tool/auth.json, TOOL_API_KEY' err
	ward exec h true 2>err
	assert_file err ""
	# Only in the output that the program itself printed.
	grep -rls key-of-the-host "$(dir_of h)" >"$TEST_DIR/where" || true
	[ -s "$TEST_DIR/where" ]
	run grep -v '/log/[0-9]*.log$' "$TEST_DIR/where"
	[ -z "$output" ]
	gone "$STORED"

	# The host's own change goes in.
	host_login <<<'{"accessToken":"a2","expiresAt":2,"account":"me"}'
	soon holds "$(in_home h)" '{"accessToken":"a2","expiresAt":2,"account":"me"}'
	# A renewal comes back.
	by_rename h <<<'{"accessToken":"a3","expiresAt":3,"account":"me"}'
	renewed() { [ "$(jq -r .accessToken "$mine")" = "$1" ]; }
	soon renewed a3
	[ "$(jq -c 'del(.accessToken,.expiresAt)' "$mine")" = '{"account":"me"}' ]
	[ "$(stat -c %a "$mine")" = 600 ]

	# Nothing else does.
	for changed in '{"accessToken":"a4","expiresAt":4,"account":"other"}' \
		'{"accessToken":"a4","expiresAt":4,"account":"me","hooks":{}}' '{"accessToken":"https://x/","expiresAt":4,"account":"me"}'; do
		by_rename h <<<"$changed"
		soon logged h "changed inside in more than its tokens"
		soon holds "$(in_home h)" "$changed"
		renewed a3
	done
	ward stop h
	renewed a3
	# And what the box deletes stays on the host.
	ward exec h rm /home/agent/.tool/auth.json
	ward stop h
	renewed a3
	ls -A "$HOME/.tool" >left
	[ "$(cat left)" = auth.json ]
}

@test "host: nothing is made on this machine, and nothing but the agent's own directory is used" {
	mkdir -p "$HOME/.tool" "$TEST_DIR/ws"
	cd "$TEST_DIR/ws"
	make_kit top "credentialFiles: [.top-auth.json, .config/top.json]"
	echo '{"token":"x"}' | tee "$HOME/.top-auth.json" >"$HOME/.config/top.json"
	run ward run -t host --name t --credentials host top -- -c 'ls -A ~ ~/.config 2>/dev/null'
	assert_output_has "credentials from this machine: none were found"
	refute_output_has top
	run ward run -t host --name h --credentials host tool -- -c 'mkdir -p ~/.tool && echo "{\"token\":\"inside\"}" >~/.tool/auth.json'
	assert_status 0
	assert_output_has "credentials from this machine: none were found"
	ward stop h
	holds "$(in_home h)" '{"token":"inside"}'
	[ -z "$(ls -A "$HOME/.tool")" ]
}

@test "volume ls and rm: logged out everywhere" {
	local token=token-to-be-forgotten
	box a
	box b
	box c
	by_rename a <<<"{\"token\":\"$token\"}"
	soon holds "$(in_home b)" "{\"token\":\"$token\"}"
	soon holds "$(in_home c)" "{\"token\":\"$token\"}"
	ward stop c
	box n --credentials none
	if [ "$(id_mode)" != single ]; then
		# Of root inside, so that the user may not even look into it.
		ward exec c true
		ward exec -u root c sh -c 'chown root /home/agent/.tool; chmod 700 /home/agent/.tool'
		ward stop c
	fi
	run ward volume ls
	assert_output_has "AGENT"
	[[ "${lines[1]}" =~ ^tool\ +1\ +[0-9]+\ B\ .*\ 3\ sandboxes$ ]]
	[ "$(ward volume ls --json | jq -c '.[] | [.agent, .files, .sandboxes]')" = '["tool",1,3]' ]
	# The control: it is there, in several places.
	[ "$(grep -rl "$token" "$XDG_DATA_HOME" 2>/dev/null | wc -l)" -ge 3 ]

	[ "$(ward volume rm tool)" = tool ]
	[ -z "$(grep -rl "$token" "$XDG_DATA_HOME" 2>/dev/null)" ]
	gone "$(in_home a)"
	gone "$(in_home b)"
	run ward exec -u root c ls -A /home/agent/.tool
	assert_status 0
	[ -z "$output" ]
	ward stop c
	[ "$(ward volume ls --json | jq length)" = 0 ]
	run ward volume rm tool
	assert_status 1
	assert_output_has "no volume of an agent 'tool'"
	ward volume rm -f tool
	# Logging in again works in boxes that ran all the time.
	by_rename b <<<'{"token":"new"}'
	soon holds "$(in_home a)" '{"token":"new"}'
}

@test "a supervisor that is killed leaves one valid file" {
	local i
	box a
	box b
	by_rename a <<<'{"token":"0"}'
	soon holds "$(in_home b)" '{"token":"0"}'
	for i in 1 2 3; do
		note_box "$(id_of a)"
		(for n in $(seq 30); do by_rename a <<<"{\"token\":\"$i-$n\"}" || exit 0; done) >/dev/null 2>&1 &
		changed() { [ "$(jq -r .token "$STORED")" != "$1" ]; }
		wait_for changed "$(jq -r .token "$STORED")"
		kill -9 "$BOX_SUPERVISOR"
		wait $! || true
		jq -e .token "$STORED"
		ward exec a true
		both() { cmp -s "$STORED" "$(in_home a)" && cmp -s "$STORED" "$(in_home b)"; }
		soon both
		jq -e .token "$STORED"
	done
}

@test "what the kit puts there itself is no login" {
	AGENT=seeded
	make_kit seeded "credentialFiles: [.tool/auth.json]" 'setup: {files: [{path: ~/.tool/auth.json, content: "{}"}]}'
	STORED=$XDG_DATA_HOME/ward/volumes/seeded/.tool/auth.json
	box a
	box b
	holds "$(in_home a)" '{}'
	gone "$STORED"
	by_rename a <<<'{"token":"one"}'
	soon holds "$(in_home b)" '{"token":"one"}'
	box c
	holds "$(in_home c)" '{"token":"one"}'
	# The seed comes again with every start.
	ward stop b
	ward exec b true
	holds "$(in_home b)" '{"token":"one"}'
	holds "$STORED" '{"token":"one"}'
}

@test "without an inotify instance left it is followed all the same" {
	[ "$(id -u)" -ne 0 ] || skip "would take them from everybody on this machine"
	command -v python3 >/dev/null || skip "no python3 to open them with"
	python3 -c '
import ctypes, signal
libc = ctypes.CDLL(None)
while libc.inotify_init1(0) >= 0: pass
print("full", flush=True)
signal.pause()' >"$TEST_DIR/full" &
	HOLDER=$!
	wait_for test -s "$TEST_DIR/full"
	box a
	box b
	by_rename a <<<'{"token":"one"}'
	soon holds "$(in_home b)" '{"token":"one"}'
	kill "$HOLDER"
	by_rename b <<<'{"token":"two"}'
	soon holds "$(in_home a)" '{"token":"two"}'
}
