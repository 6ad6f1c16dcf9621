#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Programs inside that ask for a browser: what is shown outside, and which port the browser comes
# back to.

load ../lib/common

setup() {
	common_setup
	need python3 ss curl
	mkdir project
	cd project
	cp "$BATS_TEST_DIRNAME"/{login_dance,port_peer}.py .
	# If anything opened the page, it would be this.
	mkdir "$TEST_DIR/bin"
	printf '#!/bin/sh\necho "$@" >>"%s/opened"\n' "$TEST_DIR" >"$TEST_DIR/bin/xdg-open"
	chmod +x "$TEST_DIR/bin/xdg-open"
	PATH="$TEST_DIR/bin:$PATH"
	CHILD=
	ward create -q -t host --name box shell . >/dev/null
}

teardown() {
	[ -z "$CHILD" ] || kill "$CHILD" 2>/dev/null || true
	common_teardown
}

bound() {
	ss -ltnH "sport = :$1" | awk '{print $4}' | sort | tr '\n' ' '
}

# dance OPENER [PORT]: log in inside, in the background; what is shown is in the file "shown".
dance() {
	rm -f code shown
	ward exec box python3 login_dance.py "$@" >code 2>shown </dev/null 3>&- &
	CHILD=$!
	wait_for grep -q "to open in a browser: https://login.example.com/authorize" shown
}

ended() {
	! kill -0 "$CHILD" 2>/dev/null
}

@test "a login in a browser comes back to the program that listens inside, and only for that time" {
	for opener in xdg-open open /run/ward/bin/sensible-browser; do
		dance "$opener"
		wait_for grep -q "of this machine leads to the sandbox" shown
		port=$(sed -n 's/.*port \([0-9]*\) of this machine leads.*/\1/p' shown)
		assert_equal "$(bound "$port")" "127.0.0.1:$port [::1]:$port "
		grep -qF "localhost%3A$port%2Fcallback" shown
		run curl -s --max-time 20 "http://localhost:$port/callback?code=c-$port"
		assert_output_has "you may close this page"
		wait_for ended
		CHILD=
		assert_equal "$(cat code)" "code c-$port"
		gone() { [ -z "$(bound "$port")" ]; }
		wait_for gone
	done
	[ ! -e "$TEST_DIR/opened" ]
	# The positive control for that file.
	xdg-open page
	assert_file "$TEST_DIR/opened" page
}

@test "a port that is taken here, or that nobody listens on inside, leads nowhere" {
	port=$(python3 port_peer.py free)
	python3 port_peer.py take ::1 "$port" >taken 2>&1 3>&- &
	taker=$!
	wait_for grep -qx taken taken
	dance xdg-open "$port"
	wait_for grep -q "port $port of this machine is taken" shown
	assert_equal "$(bound "$port")" "[::1]:$port "
	kill "$taker"
	wait "$taker" || true
	kill "$CHILD"
	wait_for ended
	CHILD=
	ward stop box >/dev/null
	run ward exec box sh -c "
		xdg-open 'https://login.example.com/?redirect_uri=http://localhost:$port/'
		exec sleep 3"
	assert_output_has "redirect_uri=http://localhost:$port/"
	refute_output_has "leads to the sandbox"
	assert_equal "$(bound "$port")" ""
}

@test "on a terminal the page is shown between the lines of the program" {
	need script
	run script -qec "$(printf '%q ' "$WARD" exec -it box sh -c 'xdg-open https://example.com/page; sleep 2')" \
		/dev/null </dev/null
	assert_output_has "ward: to open in a browser: https://example.com/page"
}

@test "only web pages are shown, without control characters, and not without end" {
	run ward exec box sh -c 'xdg-open file:///etc/passwd; echo "status $?"'
	assert_output_has "status 3"
	refute_output_has "to open in a browser"
	# Also by a program that does not care for the stand-in.
	run ward exec box sh -c 'printf "https://example.com/\033]0;x\007\n" >/run/ward/browser
		printf "javascript:alert(1)\n" >/run/ward/browser; sleep 1'
	assert_output_has "no web page"
	refute_output_has $'\033'
	refute_output_has javascript
	run ward exec box sh -c 'for i in $(seq 20); do xdg-open "https://example.com/$i"; done; sleep 5'
	assert_output_has "https://example.com/1"
	[ "$(grep -c 'to open in a browser' <<<"$output")" -le 8 ] || fail "$output"
}
