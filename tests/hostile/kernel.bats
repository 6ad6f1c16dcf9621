#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the kernel answers inside: D30 to D35, D39, D41, D46.

load lib/hostile

setup() { hostile_setup; }
teardown() { hostile_teardown; }

# Outside, without what makes root root: the probes refuse to run as root of the host.
as_nobody() {
	if [ "$(id -u)" -eq 0 ]; then
		setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
	else
		"$@"
	fi
}

golden() { # PROGRAM USER
	local mode
	mode=$(id_mode)
	echo "$BATS_TEST_DIRNAME/golden/$1.$mode.$2.$(uname -m)"
}

matches_golden() { # FILE PROGRAM USER
	if [ -n "${WARD_UPDATE_GOLDEN:-}" ]; then
		cp "$1" "$WARD_UPDATE_GOLDEN/$(basename "$(golden "$2" "$3")")"
		return
	fi
	[ -f "$(golden "$2" "$3")" ] || skip "no golden file for $(uname -m)"
	diff -u "$(golden "$2" "$3")" "$1"
}

@test "D30 the calls that matter answer as they should, however the program was started" {
	local u how
	control as_nobody "$ATTACK_DIR/attack" probe
	[ "$(grep -c allowed "$TEST_DIR/control")" -gt 25 ]
	cp "$ATTACK_DIR/attack-dynamic" dynamic
	make_box
	for u in $(users_inside); do
		in_box "$u" "$WS/attack" probe >"$TEST_DIR/probe"
		matches_golden "$TEST_DIR/probe" probe "$u"
		in_box "$u" sh -c 'sh -c "setsid ./attack probe"' >"$TEST_DIR/nested"
		diff "$TEST_DIR/probe" "$TEST_DIR/nested"
		in_box "$u" sh -c './dynamic probe' >"$TEST_DIR/dynamic"
		diff "$TEST_DIR/probe" "$TEST_DIR/dynamic"
	done
	for how in "$WS/attack probe" "exec $WS/attack probe" "$WS/dynamic probe"; do
		ward run -q shell -- -c "$how" >"$TEST_DIR/run" </dev/null
		in_box agent "$WS/attack" probe >"$TEST_DIR/probe"
		diff "$TEST_DIR/probe" "$TEST_DIR/run"
	done
}

@test "D30 a setuid program and sudo are under the same filter" {
	[ "$(id_mode)" != single ] || skip "one id: there is nobody to become"
	make_rootfs_box
	in_box agent sudo -n "$WS/attack" probe >"$TEST_DIR/sudo"
	matches_golden "$TEST_DIR/sudo" probe root
	in_box agent sudo -n grep -c 1 /proc/self/status >/dev/null
	[ "$(in_box agent sudo -n grep Seccomp_filters /proc/self/status)" = \
		"$(in_box agent grep Seccomp_filters /proc/self/status)" ]
}

@test "D30 the wider probe of the shared fixtures" {
	local u
	[ -x "$ATTACK_DIR/sysprobe" ] || skip "no shared fixtures (WARD_FIXTURES)"
	control as_nobody "$ATTACK_DIR/sysprobe"
	cp "$ATTACK_DIR/sysprobe" .
	make_box
	for u in $(users_inside); do
		in_box "$u" ./sysprobe >"$TEST_DIR/probe"
		matches_golden "$TEST_DIR/probe" sysprobe "$u"
	done
}

@test "D31 every call from 0 to 511 answers as the table says" {
	local u
	as_nobody "$ATTACK_DIR/attack" sweep >"$TEST_DIR/outside"
	make_box
	for u in $(users_inside); do
		in_box "$u" "$WS/attack" sweep >"$TEST_DIR/inside"
		python3 "$BATS_TEST_DIRNAME/lib/sweep.py" "$WARD_REPO/src/box/seccomp_table.c" \
			"$TEST_DIR/inside" "$TEST_DIR/outside"
	done
}

@test "D32 no further user namespace" {
	local u program
	control unshare --user true
	make_box
	for u in $(users_inside); do
		for program in "unshare -U true" "unshare -Ur true" "unshare -Urm true" "unshare -n true" \
			"unshare -p -f true" "nsenter -t 1 -U true" "nsenter -t 1 -m true" \
			"nsenter -t 1 -a true" "bwrap --ro-bind / / --unshare-all true" "setarch -R unshare -U true"; do
			! in_box "$u" sh -c "$program && echo WORKED" >"$TEST_DIR/out" 2>&1 ||
				{ echo "$u: $program" && cat "$TEST_DIR/out" && false; }
			refute grep -q WORKED "$TEST_DIR/out"
		done
	done
}

@test "D33 no socket by io_uring" {
	local u out
	control as_nobody "$ATTACK_DIR/attack" uring
	make_box
	for u in $(users_inside); do
		out=$(in_box "$u" "$WS/attack" uring) && { echo "$out" && false; }
		[ "$out" = "io_uring_setup: ENOSYS" ]
	done
}

@test "D34 no socket through the 32-bit entries" {
	local u
	[ -x "$ATTACK_DIR/ia32" ] || skip "no 32-bit programs can be built here"
	# 42 and 43: it got a socket.
	control sh -c "'$ATTACK_DIR/ia32'; [ \$? -eq 42 ] || [ \$? -eq 43 ]"
	cp "$ATTACK_DIR/ia32" .
	make_box
	for u in $(users_inside); do
		run in_box "$u" ./ia32
		[ "$status" -gt 44 ] || { echo "status $status: $output" && false; }
		run in_box "$u" ./attack probe
		grep -q '^int80 socketcall *denied ENOSYS' <<<"$output"
	done
}

@test "D35 keys of the user's session cannot be read" {
	local u key
	control as_nobody "$ATTACK_DIR/attack" with-key "$TOKEN" \
		sh -c "$ATTACK_DIR"'/attack keys $WARD_TEST_KEY'
	grep -q "$TOKEN" "$TEST_DIR/control"
	# The whole life of the sandbox below that session.
	cat >"$TEST_DIR/session" <<-EOF
		"$WARD" create -q --name box -t host shell >/dev/null </dev/null
		echo \$WARD_TEST_KEY
		"$WARD" exec box "$WS/attack" keys \$WARD_TEST_KEY </dev/null
		[ "$(id_mode)" = single ] || "$WARD" exec -u root box "$WS/attack" keys \$WARD_TEST_KEY </dev/null
		"$WARD" run -q shell -- -c "$WS/attack keys \$WARD_TEST_KEY" </dev/null
		"$ATTACK_DIR/attack" keys \$WARD_TEST_KEY >"$TEST_DIR/after"
		true
	EOF
	"$ATTACK_DIR/attack" with-key "$TOKEN" sh "$TEST_DIR/session" >"$TEST_DIR/out" 2>&1
	cat "$TEST_DIR/out"
	assert_no_token "$TEST_DIR/out"
	grep -q "$TOKEN" "$TEST_DIR/after" # it was there all the time
	refute grep ': ok' "$TEST_DIR/out"
	[ "$(grep -c ': EPERM' "$TEST_DIR/out")" -ge 10 ]
}

# Capability sets of a process, all within the bounding set of SECURITY.md, none of it inheritable.
assert_caps() { # FILE
	local name value
	while IFS=$': \t' read -r name value; do
		case $name in
		CapInh | CapAmb) [ "$((16#$value))" -eq 0 ] ;;
		Cap*) [ $((16#$value & ~0xa00405fb)) -eq 0 ] ;;
		NoNewPrivs) [ "$value" -eq 0 ] ;;
		Seccomp) [ "$value" -eq 2 ] ;;
		Seccomp_filters) [ "$value" -eq 1 ] ;;
		esac || { cat "$1" && return 1; }
	done <"$1"
	grep -q '^CapBnd' "$1"
	grep -q '^raise ambient CHOWN: EPERM' "$1"
}

@test "D37 every program is in the one Landlock domain, and can signal the others" {
	local u outside
	outside=$("$ATTACK_DIR/attack" layers) || skip "no Landlock here"
	make_box
	in_box agent sh -c 'setsid sleep 1000 >/dev/null 2>&1 & echo $! >sleeper'
	for u in $(users_inside); do
		[ "$(in_box "$u" "$WS/attack" layers)" = "free layers: $((${outside##* } - 1))" ]
		# A domain for each program would keep sessions from signalling each other.
		in_box "$u" sh -c 'kill -0 $(cat sleeper)'
	done
	in_box agent sh -c 'kill $(cat sleeper)'
}

@test "D39 capabilities stay within the bounding set" {
	local u
	control plain_box "$WS/attack" caps
	! assert_caps "$TEST_DIR/control" >/dev/null || skip "a namespace's root has no more than that here"
	make_box
	for u in $(users_inside); do
		in_box "$u" "$WS/attack" caps >"$TEST_DIR/caps"
		assert_caps "$TEST_DIR/caps"
		[ "$u" = root ] || [ "$(id_mode)" = single ] || grep -q '^CapEff:.0*$' "$TEST_DIR/caps"
	done
}

@test "D39 also for setuid programs and programs with file capabilities" {
	[ "$(id_mode)" != single ] || skip "one id: there is nobody to become"
	make_rootfs_box
	in_box root sh -c "cp '$WS/attack' /usr/local/su && chmod 4755 /usr/local/su &&
		cp '$WS/attack' /usr/local/fcap && setcap all=ep /usr/local/fcap"
	in_box agent /usr/local/su caps >"$TEST_DIR/su"
	grep -q 'euid 0' "$TEST_DIR/su"
	assert_caps "$TEST_DIR/su"
	in_box agent sudo -n "$WS/attack" caps >"$TEST_DIR/sudo"
	assert_caps "$TEST_DIR/sudo"
	# More than the bounding set in a file: the kernel refuses to run it, or cuts it down.
	if in_box agent /usr/local/fcap caps >"$TEST_DIR/fcap" 2>&1; then
		assert_caps "$TEST_DIR/fcap"
	fi
	in_box root setcap cap_net_bind_service=ep /usr/local/fcap
	in_box agent /usr/local/fcap caps >"$TEST_DIR/fcap"
	assert_caps "$TEST_DIR/fcap"
	grep -q '^CapEff:.*400$' "$TEST_DIR/fcap"
}

@test "D40 one id: a package whose files have other owners installs, and says so to nobody" {
	[ "$(id_mode)" = single ] || skip "only where there is one id"
	need_rootfs
	# The control: the kernel refuses these owners.
	control plain_box sh -c 'touch f && ! chown 6:8 f'
	make_rootfs_box
	cat >package.sh <<-'EOF'
		set -e
		mkdir -p /tmp/p/DEBIAN /tmp/p/opt
		printf 'Package: demo\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: d\n' >/tmp/p/DEBIAN/control
		printf '#!/bin/sh\nset -e\nuseradd -r demo\nchown -R demo:mail /opt\n' >/tmp/p/DEBIAN/postinst
		printf 'install -o demo -g mail -m 600 /opt/f /opt/g\nchgrp 8 /opt/g\n' >>/tmp/p/DEBIAN/postinst
		chmod 755 /tmp/p/DEBIAN/postinst
		echo content >/tmp/p/opt/f
		dpkg-deb -b /tmp/p /tmp/demo.deb
		dpkg -i /tmp/demo.deb
		cat /opt/f /opt/g
		# What is not there is still an error, and devices are not pretended.
		! chown 0:0 /nonexistent
		! mknod /tmp/null c 1 3
	EOF
	run in_box agent sh "$WS/package.sh"
	assert_status 0
	[ "$(grep -c '^content$' <<<"$output")" -eq 2 ]
}

@test "D41 debuggers work, performance counters do not" {
	local u
	need gdb strace
	make_box
	for u in $(users_inside); do
		run in_box "$u" strace -f -e trace=execve sh -c 'true; /bin/true'
		[ "$status" -eq 0 ] || { echo "$output" && false; }
		grep -q 'execve("/bin/true"' <<<"$output"
		run in_box "$u" gdb -q -batch -ex 'break main' -ex run -ex kill "$WS/attack"
		grep -q 'Breakpoint 1, ' <<<"$output" || { echo "$output" && false; }
		run in_box "$u" sh -c 'sleep 1000 & p=$!; gdb -q -batch -p $p -ex detach; kill $p'
		grep -q 'detached\]' <<<"$output" || { echo "$output" && false; }
		in_box "$u" "$WS/attack" probe | grep -q '^perf_event_open *denied EPERM'
	done
}

@test "D46 a crash leaves no core file and wakes no crash handler" {
	local u limit=1
	[ "$(ulimit -Hc)" != 0 ] || limit=0
	case $(cat /proc/sys/kernel/core_pattern) in
	"|"* | /*) ;;
	*)
		mkdir "$TEST_DIR/crash"
		control sh -c "cd '$TEST_DIR/crash' && ulimit -c unlimited && { '$ATTACK_DIR/attack' core; ls core*; }"
		;;
	esac
	make_box
	for u in $(users_inside); do
		(ulimit -c unlimited && in_box "$u" "$WS/attack" core) >"$TEST_DIR/out" 2>&1 || true
		# 1 keeps a core_pattern that names a program from running it; 0, which is what remains
		# where the user has no more, does not.
		grep -q "^core limit $limit\$" "$TEST_DIR/out" || { cat "$TEST_DIR/out" && false; }
		grep -q '^raise the core limit: EPERM' "$TEST_DIR/out"
	done
	[ -z "$(find "$TEST_DIR" -name 'core*' ! -path "$TEST_DIR/crash/*")" ]
}
