#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a program inside is connected to: descriptors that the caller closed, output that cannot be
# written, pipes of any size, recent output on a terminal.

bats_require_minimum_version 1.5.0

load ../lib/common

setup() {
	common_setup
	mkdir project
	cd project
	ward run -q --name box shell -- -c true
}

teardown() {
	common_teardown
}

@test "a closed standard input is an empty one" {
	run bash -c 'timeout 10 "$0" exec -i box cat <&-' "$WARD"
	assert_status 0
	assert_equal "$output" ""
	# The positive control: the same program waits for an input that is open.
	run bash -c 'timeout 1 "$0" exec -i box cat < <(sleep 5)' "$WARD"
	assert_status 124
}

@test "results are never written into a file that took the place of a closed standard output" {
	run bash -c '"$0" exec box echo text >&-' "$WARD"
	assert_status 125
	assert_output_has "standard output"
	run bash -c '"$0" ls >&-' "$WARD"
	assert_status 125
	run bash -c '"$0" ls >&- 2>&-' "$WARD"
	assert_status 125
	run bash -c '"$0" ls -q' "$WARD"
	assert_status 0
	assert_equal "${#lines[@]}" 1
	# Nor by a command that makes files.
	mkdir ../other
	run bash -c '"$0" run -w ../other shell -- -c "echo text; echo more >&2" <&- >&- 2>&-' "$WARD"
	assert_status 125
	run ward ls --filter status=broken -q
	assert_equal "$output" ""
	if grep -rsl 'text' "$XDG_DATA_HOME"/ward/sandboxes/*/*.json; then false; fi
}

@test "output that a full disk does not take is an error" {
	run bash -c '"$0" exec box echo text >/dev/full' "$WARD"
	assert_status 125
	assert_output_has "standard output: No space left on device"
	run bash -c '"$0" exec box true >/dev/full' "$WARD"
	assert_status 0
	run bash -c '"$0" inspect box >/dev/full' "$WARD"
	assert_status 125
}

@test "a reader that has enough ends the program as in a pipe, and is no error of ours" {
	run bash -c '"$0" exec box yes | head -n 1; echo "${PIPESTATUS[0]}"' "$WARD"
	assert_equal "$output" "y
141"
}

@test "three megabytes of any bytes pass both ways unchanged" {
	head -c 3000000 /dev/urandom >bytes
	ward exec -i box cat <bytes | cmp - bytes
	ward exec -i box sh -c 'cat >&2' <bytes 2>&1 >/dev/null | cmp - bytes
}

@test "recent output that is shown again asks the terminal nothing" {
	# The program asks for the terminal's name and position, then waits.
	python3 - "$WARD" <<-'PY'
		import os, pty, select, subprocess, sys, time
		ward = sys.argv[1]
		def run(args, until, keys):
		    pid, fd = pty.fork()
		    if pid == 0:
		        os.environ["TERM"] = "xterm-256color"
		        os.execvp(ward, [ward] + args)
		    screen, end, sent = b"", time.time() + 20, False
		    while time.time() < end:
		        ready, _, _ = select.select([fd], [], [], 0.2)
		        if ready:
		            try:
		                data = os.read(fd, 65536)
		            except OSError:
		                break
		            if not data:
		                break
		            screen += data
		        if not sent and until in screen:
		            os.write(fd, keys)
		            sent = True
		    os.waitpid(pid, 0)
		    assert sent, screen
		    return screen
		asks = r"printf '\033[c\033[6n\033[>qready\n'; cat"
		first = run(["exec", "-it", "box", "sh", "-c", asks], b"ready", b"\x10\x11")
		assert b"\x1b[6n" in first and b"\x1b[c" in first, first
		again = run(["attach", "box"], b"ready", b"\x10\x11")
		assert b"\x1b[6n" not in again and b"\x1b[c" not in again and b"\x1b[>q" not in again, again
	PY
}
