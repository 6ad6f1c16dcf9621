#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The verbs on a running box: exit codes, sessions, attach, logs, cp, stop, rm. What needs no box is in
# tests/cli.

bats_require_minimum_version 1.5.0

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

start() {
	ward run -q --name box shell -- -c true
}

# term COMMAND...: run on a terminal of its own; its input comes from the file "keys", one line each
# time the program has been silent for a moment. Output goes to "screen".
term() {
	python3 - "$@" <<-'PY'
		import os, pty, select, sys, fcntl, termios, struct
		lines = open("keys", "rb").read().split(b"\n") if os.path.exists("keys") else []
		keys = [line.decode("unicode_escape").encode("latin-1") for line in lines if line]
		pid, fd = pty.fork()
		if pid == 0:
		    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
		    os.execvp(sys.argv[1], sys.argv[1:])
		screen = b""
		while True:
		    ready, _, _ = select.select([fd], [], [], 0.5 if keys else 20)
		    if not ready and not keys:
		        os.kill(pid, 9)
		    if ready:
		        try:
		            data = os.read(fd, 65536)
		        except OSError:
		            break
		        if not data:
		            break
		        screen += data
		    elif keys:
		        os.write(fd, keys.pop(0))
		open("screen", "wb").write(screen)
		_, status = os.waitpid(pid, 0)
		sys.exit(os.waitstatus_to_exitcode(status) & 255)
	PY
}

@test "exit codes: the program's own, signals, 126, 127, 125" {
	run ward run -q shell -- -c 'exit 7'
	assert_status 7
	run ward run -q shell -- -c 'kill -TERM $$'
	assert_status 143
	local box
	box=$(ward ls -q)
	run ward exec "$box" sh -c 'exit 3'
	assert_status 3
	run ward exec "$box" sh -c 'kill -9 $$'
	assert_status 137
	run -127 ward exec "$box" no-such-program
	assert_status 127
	assert_equal "$output" "ward: 'no-such-program' was not found in the sandbox"
	echo data >data
	run ward exec "$box" "$PWD/data"
	assert_status 126
	run ward exec -w /no/such/dir "$box" true
	assert_status 125
	assert_output_has "/no/such/dir"
	run ward exec -u nobody-at-all "$box" true
	assert_status 125
	assert_output_has "nobody-at-all"
}

@test "exec: standard input only with -i, the environment, the directory, the workspace by default" {
	start
	assert_equal "$(echo given | ward exec -i box cat)" given
	assert_equal "$(echo given | ward exec box cat)" ""
	assert_equal "$(ward exec box pwd)" "$PWD"
	assert_equal "$(ward exec -w /tmp box pwd)" /tmp
	assert_equal "$(ward exec -e A='two words' box sh -c 'echo "$A"')" "two words"
	assert_equal "$(ward exec box -- sh -c 'echo "$0 $1"' a b)" "a b"
	assert_equal "$(LC_ALL=C.UTF-8 TZ=Europe/Oslo ward exec box sh -c 'echo $LC_ALL $TZ')" "C.UTF-8 Europe/Oslo"
	SECRET_OF_HOST=1 ward exec box env >variables
	refute grep -q SECRET_OF_HOST variables
	printf 'a\0b' | ward exec -i box cat >bytes
	printf 'a\0b' | cmp - bytes
	ward exec box sh -c 'echo out; echo err >&2' >out 2>err
	assert_file out out
	assert_file err err
}

@test "variables given at creation reach every session; -e on a later run reaches that one" {
	ward run -q --name box -e MADE=yes shell -- -c true
	assert_equal "$(ward run -q --name box -e LATER=1 shell -- -c 'echo $MADE$LATER')" yes1
	assert_equal "$(ward exec box sh -c 'echo $MADE$LATER')" yes
}

@test "exec starts a stopped sandbox" {
	ward create -q --name box shell
	[ "$(ward inspect box | jq -r '.[0].status')" = stopped ]
	assert_equal "$(ward exec box echo hi)" hi
	[ "$(ward inspect box | jq -r '.[0].status')" = running ]
	[ "$(ward ls -q --filter status=running | wc -l)" -eq 1 ]
	ward stop box
	[ "$(ward ls -q --filter status=running | wc -l)" -eq 0 ]
	assert_equal "$(ward exec box echo hi)" hi
}

@test "exec while somebody stops the sandbox: it is started again, or ended; never a missing program" {
	start
	local i stopper code
	for i in 1 2 3 4 5 6; do
		ward stop -t 0 box >/dev/null 2>&1 3>&- &
		stopper=$!
		code=0
		ward exec box true 2>err || code=$?
		wait "$stopper"
		case $code in 0 | 125 | 137 | 143) ;; *) cat err && fail "exit code $code" ;; esac
	done
	assert_equal "$(ward exec box echo still)" still
}

@test "a second agent in the same sandbox, at the same time" {
	ward run -q -d --name box shell -- -c 'echo first; sleep 1000' >name
	assert_file name box
	assert_equal "$(ward run -q box -- -c 'echo second')" second
	[ "$(ward sessions box --json | jq 'map(select(.kind == "agent")) | length')" -eq 2 ]
}

@test "detached: sessions, logs, attach" {
	start
	local n
	n=$(ward exec -d box sh -c 'echo started; read -r x; echo "got $x"; exit 5' </dev/null)
	finished() { ward sessions box --json | jq -e ".[] | select(.id == $n) | .running == false"; }
	wait_for finished
	assert_equal "$(ward logs box "$n")" "started"$'\n'"got "
	ward sessions box >out
	grep -Eq "^$n +exec +exited \(5\) +no " out
	run ward attach box "$n"
	assert_status 5
	assert_output_has "session $n of exec in sandbox 'box' ended"
	run ward attach box 999
	assert_status 125
	assert_output_has "no session 999"
	run ward logs box 999
	assert_status 1
	ward stop box
	# What ended is still told.
	assert_equal "$(ward logs box "$n")" "started"$'\n'"got "
	run ward attach box
	assert_status 0
	assert_output_has "session 1 of shell in sandbox 'box' ended"
	ward create -q --name fresh shell
	run ward attach fresh
	assert_status 125
	assert_output_has "nothing runs in it"
	assert_output_has "hint: ward run fresh"
}

@test "logs -f goes on until the session ends" {
	start
	local n
	n=$(ward exec -d box sh -c 'for i in 1 2 3; do echo line $i; sleep 0.3; done')
	assert_equal "$(ward logs -f box "$n" | tail -n 1)" "line 3"
}

@test "on a terminal: its size, a tty inside, detach and attach again" {
	printf '%s\n' 'stty size; test -t 0 && echo is-a-tty\n' '\x10\x11' >keys
	run term "$WARD" run -q --name box shell
	assert_status 0
	grep -q '31 97' screen
	grep -q 'is-a-tty' screen
	ward sessions box | grep -Eq '^1 +agent +running +yes '
	printf '%s\n' 'echo again-$((20+3))\n' 'exit 9\n' >keys
	run term "$WARD" attach box
	assert_status 9
	grep -q 'is-a-tty' screen
	grep -q 'again-23' screen
	printf '%s\n' 'echo x\n' >keys
	rm keys
	run term "$WARD" exec -it box sh -c 'test -t 1 && exit 4'
	assert_status 4
}

@test "logs on a terminal are plain text; in a pipe they are as recorded" {
	start
	local n
	n=$(ward exec -d box sh -c 'printf "\033[31mred\033]52;c;aGk=\007 \302\233x\n"')
	finished() { ward sessions box --json | jq -e ".[] | select(.id == $n) | .running == false"; }
	wait_for finished
	ward logs box "$n" >raw
	# The control: the recording holds the bytes that would act.
	grep -q $'\033\[31m' raw
	run term "$WARD" logs box "$n"
	assert_status 0
	tr -d '\r' <screen >plain
	no_control plain
	grep -q '^red ' plain
}

@test "cp out: files, directories, contents, streams" {
	start
	ward exec box sh -c 'mkdir -p /tmp/d/sub && cd /tmp/d && echo a >a && echo b >sub/b && ln -s a link && chmod 6755 a'
	mkdir out
	ward cp box:/tmp/d/a out
	assert_file out/a a
	[ "$(stat -c %a out/a)" = 755 ]
	[ "$(stat -c %u:%g out/a)" = "$(id -u):$(id -g)" ]
	ward cp box:/tmp/d/a out/renamed
	assert_file out/renamed a
	ward cp box:/tmp/d out
	assert_file out/d/sub/b b
	[ "$(readlink out/d/link)" = a ]
	ward cp box:/tmp/d new
	assert_file new/sub/b b
	ward cp box:/tmp/d/. out
	assert_file out/sub/b b
	ward cp box:/tmp/d - | tar t | sort >list
	assert_file list "d/"$'\n'"d/a"$'\n'"d/link"$'\n'"d/sub/"$'\n'"d/sub/b"
	run ward cp box:/tmp/missing out
	assert_status 125
	assert_equal "$output" "ward: box:/tmp/missing: no such file or directory"
	run ward cp box:/tmp/d out/a
	assert_status 125
	assert_output_has "not a directory"
	run ward cp box:/tmp/d/a no/such/dir/
	assert_status 125
	[ -z "$(find . -name '.ward-cp-*')" ]
}

@test "cp in: files, directories, contents, streams" {
	start
	mkdir -p src/sub
	echo a >src/a
	echo b >src/sub/b
	ln -s a src/link
	mkfifo src/fifo
	ward exec box mkdir /tmp/in
	ward cp src/a box:/tmp/in
	ward cp src/a box:/tmp/in/renamed
	ward cp src box:/tmp/in 2>err
	grep -q 'left out' err
	ward cp src box:/tmp/fresh 2>/dev/null
	ward cp src/. box:/tmp/in/renamed-dir 2>/dev/null
	tar c src/a | ward cp - box:/tmp/in/src/sub
	ward exec box sh -c 'cd /tmp && find in fresh -type f | sort | while read -r f; do echo "$f $(cat "$f")"; done' >list
	assert_file list "fresh/a a
fresh/sub/b b
in/a a
in/renamed a
in/renamed-dir/a a
in/renamed-dir/sub/b b
in/src/a a
in/src/sub/b b
in/src/sub/src/a a"
	run ward cp src box:/tmp/in/a
	assert_status 125
	assert_output_has "not a directory"
	run ward cp src/a box:/tmp/none/
	assert_status 125
	assert_output_has "no such directory"
	run ward cp missing box:/tmp
	assert_status 125
	run ward cp src/a "box:$PWD/from-cp"
	assert_status 0
	[ "$(stat -c %u:%g from-cp)" = "$(id -u):$(id -g)" ]
}

@test "cp out never leaves the destination, whatever the sandbox holds" {
	start
	mkdir out victim
	echo mine >victim/file
	ln -s "$PWD/victim" out/way
	ward exec box sh -c "mkdir -p /tmp/d/way && cd /tmp/d && echo evil >way/file && ln -s $PWD/victim abs && ln -s ../../victim rel"
	run ward cp box:/tmp/d/. out
	assert_status 125
	assert_file victim/file mine
	rm out/way
	run ward cp box:/tmp/d/. out
	assert_status 0
	assert_output_has "2 symbolic links point out of the copied tree and were left out"
	assert_file out/way/file evil
	[ ! -e out/abs ] && [ ! -L out/abs ] && [ ! -L out/rel ]
	# A file is replaced, not written through.
	ln "$PWD/victim/file" out/hard
	ln -s "$PWD/victim/file" out/soft
	ward exec box sh -c 'mkdir /tmp/e; echo new >/tmp/e/hard; echo new >/tmp/e/soft'
	ward cp box:/tmp/e/. out
	assert_file victim/file mine
	assert_file out/hard new
	assert_file out/soft new
	[ ! -L out/soft ]
}

@test "cp keeps what is in a large and a deep tree" {
	start
	mkdir src
	head -c 5000000 /dev/urandom >src/big
	mkdir -p "src/$(printf 'd/%.0s' {1..100})"
	echo deep >"src/$(printf 'd/%.0s' {1..100})file"
	ward cp src box:/tmp/src
	ward cp box:/tmp/src back
	diff -r src back
}

@test "run --rm removes what it made, and nothing else" {
	assert_equal "$(ward run -q --rm shell -- -c 'echo hi; exit 0')" hi
	[ -z "$(ward ls -q)" ]
	run ward run -q --rm shell -- -c 'exit 6'
	assert_status 6
	[ -z "$(ward ls -q)" ]
	start
	run ward run --rm box -- -c true
	assert_status 0
	assert_output_has "existed before this run"
	[ -n "$(ward ls -q)" ]
}

@test "rm of a running sandbox needs -f; stop of several" {
	start
	ward run -q --name two shell -- -c true
	ward exec -d box sleep 600
	run ward rm box
	assert_status 125
	assert_output_has "is running"
	assert_output_has "hint: "
	ward stop box nope two >out 2>err && status=0 || status=$?
	[ "$status" -eq 1 ]
	assert_file out "box"$'\n'"two"
	ward exec box true
	assert_equal "$(ward rm -f box two)" "box"$'\n'"two"
	[ -z "$(ward ls -q)" ]
}

@test "prune leaves running sandboxes" {
	start
	ward create -q --name idle shell
	assert_equal "$(ward prune)" idle
	[ "$(ward inspect box | jq -r '.[0].status')" = running ]
}

@test "inspect of a running sandbox: sessions and enforcement, each member documented" {
	start
	ward inspect box | jq '.[0]' >out
	[ "$(jq -r .status out)" = running ]
	[ "$(jq '.sessions | length' out)" -eq 1 ]
	[ "$(jq -r '.sessions[0].kind, .sessions[0].exit_code' out)" = "agent"$'\n'"0" ]
	jq -e '.enforcement.id_mode and .enforcement.namespaces.user' out
	local member
	for member in $(jq -r '.sessions[0] | keys[]' out); do
		grep -q "\`$member\`" "$WARD_REPO/docs/json.md" || { echo "$member"; return 1; }
	done
}
