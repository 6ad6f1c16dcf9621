#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Processes: D36 to D38, D45.

load lib/hostile

setup() { hostile_setup; }
teardown() { hostile_teardown; }

@test "D36 processes of the host are out of reach" {
	local u out n
	start_victim
	control sh -c "tail -f /dev/null & '$WS/attack' signal \$!"
	make_box
	for u in $(users_inside); do
		# PID 1 takes no signal from inside that it has no handler for, whatever kill(2) answers.
		out=$(in_box "$u" "$WS/attack" signal "$VICTIM" "$$" "$PPID" | grep -v ' 1: ')
		[ "$(grep -c ': ESRCH' <<<"$out")" -eq 9 ] || { echo "$out" && false; }
		n=$(in_box "$u" sh -c 'ls -d /proc/[0-9]* | wc -l')
		[ "$n" -lt 12 ]
		refute grep -qa bats < <(in_box "$u" sh -c 'cat /proc/[0-9]*/cmdline')
	done
	victim_lives
}

@test "D36 killing everything ends only the box's own programs" {
	local u
	start_victim
	make_box
	for u in $(users_inside); do
		in_box "$u" sh -c 'setsid sleep 7771 >/dev/null 2>&1 & echo started'
		in_box "$u" "$WS/attack" killall || true
		victim_lives
		# PID 1 lives, so the box goes on.
		run in_box "$u" sh -c 'grep -al 7771 /proc/[0-9]*/cmdline | grep -v self | wc -l; echo alive'
		assert_status 0
		assert_output_has alive
	done
	ward ls >/dev/null
}

@test "D37 PID 1 cannot be stopped, traced or read" {
	local u out
	control plain_box "$WS/attack" init 1
	grep -q '^ptrace seize: ok' "$TEST_DIR/control"
	make_box
	for u in $(users_inside); do
		# The control inside: a program's own child can be traced.
		in_box "$u" sh -c "sleep 1000 & '$WS/attack' init \$!; kill \$!" >"$TEST_DIR/own"
		grep -q '^ptrace seize: ok' "$TEST_DIR/own"
		out=$(in_box "$u" "$WS/attack" init 1) && { echo "$out" && false; }
		! grep ': ok' <<<"$out" || { echo "$out" && false; }
		# A signal without handler does not reach PID 1 from inside even where kill(2) says yes.
		in_box "$u" "$WS/attack" signal >"$TEST_DIR/signal" || true
		[ "$(in_box "$u" sh -c 'echo lives; grep State /proc/1/status')" != "" ]
		refute in_box "$u" grep -q 'State:.T' /proc/1/status
		[ "$(in_box "$u" echo still)" = still ]
	done
}

@test "D37 taking PID 1's limits away hurts the box only, and stop still works" {
	local u before
	start_victim
	control "$WS/attack" starve "$VICTIM"
	grep -q '^NOFILE: ok' "$TEST_DIR/control"
	for u in $(users_inside); do
		BOX=box-$u
		make_box
		in_box "$u" "$WS/attack" starve >"$TEST_DIR/starve" || true
		[ "$(grep -cE '^(NOFILE|NPROC|FSIZE|STACK|AS|CPU): EPERM$' "$TEST_DIR/starve")" -eq 6 ]
		# Its priority is another matter.  Whether programs still start does not matter; nothing may start unconfined.
		run in_box agent "$WS/attack" caps
		[ "$status" -ne 0 ] || grep -q '^Seccomp:.2' <<<"$output"
		before=$SECONDS
		run ward stop "$BOX"
		assert_status 0
		[ $((SECONDS - before)) -lt 60 ]
		# The limits were that life's.
		[ "$(in_box agent echo again)" = again ]
	done
}

@test "D38 Ward's programs cannot be overwritten through /proc/PID/exe" {
	local u i before prefix
	prefix=$(dirname "$(dirname "$WARD")")
	# A copy that belongs to the user, whose id the agent has: nothing but the sandbox protects it.
	if [ -d "$prefix/libexec/ward" ]; then
		cp -r "$prefix" "$TEST_DIR/prefix"
		prefix=$TEST_DIR/prefix
		WARD=$prefix/bin/ward
	fi
	before=$(snapshot "$prefix")
	start_victim
	control "$WS/attack" init "$VICTIM"
	grep -q '^open exe: ok' "$TEST_DIR/control"
	make_box
	for u in $(users_inside); do
		rm -f "$WS/stop"
		in_box "$u" sh -c "setsid ./attack exes '$WS/stop' >looked.$u 2>&1 & echo" >/dev/null
		for ((i = 0; i < 60; i++)); do
			in_box "$u" true
			in_box agent true
		done
		touch "$WS/stop"
		wait_for grep -q '^looked:' "looked.$u"
		refute grep '^opened' "looked.$u"
		[ "$(sed -n 's/^looked: //p' "looked.$u")" -gt 100 ]
	done
	assert_same_snapshot "$before" "$prefix"
}

@test "D38 a program that is about to start cannot be caught as a copy of PID 1" {
	local u i round caught
	make_box
	for u in $(users_inside); do
		for round in 1 2 3 4 5; do
			rm -f "$WS/stop"
			in_box "$u" sh -c "setsid ./attack pounce '$WS/stop' >caught.$u 2>&1 & echo" >/dev/null
			for ((i = 0; i < 60; i++)); do
				in_box "$u" true
				in_box agent sh -c :
				ward cp "$BOX:$WS/attack" "$TEST_DIR/copy" </dev/null
			done
			touch "$WS/stop"
			wait_for grep -q '^caught:' "caught.$u"
			cat "caught.$u"
			refute grep '^opened' "caught.$u"
			caught=$(sed -n 's/^caught: \([0-9]*\),.*/\1/p' "caught.$u")
			# The control: it did see programs that had been executed. On a machine that is busy
			# it may not get its turn.
			[ "$caught" -le 10 ] || break
		done
		[ "$caught" -gt 10 ]
	done
}

supervisor_of_box() {
	local p
	for p in /proc/[0-9]*; do
		[ -r "$p/environ" ] || continue
		tr '\0' ' ' 2>/dev/null <"$p/cmdline" | grep -q '^ward-supervisor' || continue
		grep -qaF "$TEST_DIR" "$p/environ" "$p/cmdline" 2>/dev/null && echo "${p#/proc/}"
	done
	# Non-dumpable: its files in /proc may be root's.  Then: the parent of PID 1.
	awk '{ print $4 }' "/proc/$(box_init)/stat"
}

# The box with deaf children in it; NETNS is its network namespace.
full_box() {
	make_box
	in_box agent sh -c "./attack orphans ready"
	NETNS=$(readlink "/proc/$(box_init)/ns/net" 2>/dev/null) ||
		NETNS=net:[$(ward inspect "$BOX" | jq -r '.[0].enforcement.namespaces.net')]
	[[ $NETNS == net:* ]]
	[ "$NETNS" != "$(readlink /proc/self/ns/net)" ]
	CHILDREN=$(in_box agent sh -c 'ls -d /proc/[0-9]* | wc -l')
	[ "$CHILDREN" -ge 6 ]
}

gone() {
	wait_for nobody_in_netns "$NETNS"
	refute grep -F "$XDG_DATA_HOME" /proc/self/mountinfo
	wait_for sh -c "'$WARD' ls 2>/dev/null | grep '$BOX' | grep -qv running"
}

@test "D45 stop leaves no process behind" {
	full_box
	# The control: the same children outlive their parent's session elsewhere.
	control setsid "$WS/attack" orphans "$TEST_DIR/ready"
	pgrep -u "$(id -u)" -f "^$WS/attack orphans $TEST_DIR/ready" >"$TEST_DIR/orphans"
	[ "$(wc -l <"$TEST_DIR/orphans")" -eq 6 ]
	xargs kill -9 <"$TEST_DIR/orphans"
	run ward stop "$BOX"
	assert_status 0
	gone
}

@test "D45 rm -f leaves no process behind" {
	full_box
	ward rm -f "$BOX"
	wait_for nobody_in_netns "$NETNS"
	[ -z "$(ward ls -q)" ]
}

@test "D45 kill -9 of the supervisor ends the box" {
	local pid
	full_box
	pid=$(supervisor_of_box | head -n 1)
	[ "$pid" -gt 1 ]
	kill -9 "$pid"
	gone
	# And the sandbox is not lost.
	[ "$(in_box agent echo again)" = again ]
}

@test "D45 kill -9 of PID 1 ends the box" {
	full_box
	kill -9 "$(box_init)" 2>/dev/null || skip "PID 1 is another id's process: only root can"
	gone
	[ "$(in_box agent echo again)" = again ]
}

@test "D45 a client that is killed leaves a box that can be stopped" {
	local signal client
	for signal in KILL HUP; do
		BOX=box-${signal,,}
		full_box
		"$WARD" exec "$BOX" sh -c 'echo up >up; exec sleep 7772' </dev/null >/dev/null 2>&1 &
		client=$! # wait_for starts processes of its own
		wait_for test -e "$WS/up"
		kill "-$signal" "$client"
		wait "$client" || true
		ward stop "$BOX"
		gone
		rm -f "$WS/up" "$WS/ready"
	done
}

# A service of the host that counts who comes; its port is in PORT, its log in TEST_DIR/came.
start_service() {
	python3 - "$TEST_DIR/came" "$TEST_DIR/port" <<-'EOF' &
		import os, socket, sys
		s = socket.create_server(("127.0.0.1", 0))
		with open(sys.argv[2] + ".new", "w") as f:
		    f.write(str(s.getsockname()[1]))
		os.rename(sys.argv[2] + ".new", sys.argv[2])
		while True:
		    c, _ = s.accept()
		    with open(sys.argv[1], "a") as f:
		        f.write("came\n")
		    c.close()
	EOF
	SERVICE=$!
	wait_for test -e "$TEST_DIR/port"
	PORT=$(cat "$TEST_DIR/port")
}

@test "D45 kill -9 of the proxy opens nothing" {
	local p pid=
	need python3
	full_box
	start_service
	for p in $(pgrep -u "$(id -u)" -f '^[^ ]*ward-proxy'); do
		[ "$(awk '{ print $4 }' "/proc/$p/stat")" != "$(supervisor_of_box | head -n 1)" ] || pid=$p
	done
	[ -n "$pid" ] || skip "this box has no proxy"
	# The control: the service is there for everybody else.
	bash -c "exec 3<>/dev/tcp/127.0.0.1/$PORT"
	wait_for grep -q came "$TEST_DIR/came"
	: >"$TEST_DIR/came"
	kill -9 "$pid"
	in_box agent bash -c "exec 3<>/dev/tcp/127.0.0.1/$PORT" || true
	in_box agent bash -c "exec 3<>/dev/tcp/127.0.0.1/3128 && echo 'CONNECT localhost:$PORT' >&3" || true
	[ ! -s "$TEST_DIR/came" ]
	kill "$SERVICE"
	ward stop "$BOX" || true
	gone
}
