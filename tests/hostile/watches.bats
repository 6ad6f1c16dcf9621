#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a box watches is taken from the user's own share: D44.

load lib/hostile

setup() { hostile_setup; }
teardown() { hostile_teardown; }

@test "D44 a box that opens all inotify instances leaves some to the user" {
	local all
	command -v python3 >/dev/null || skip "no python3 to open them with"
	cat >"$WS/watches.py" <<-'PY'
		import ctypes, sys, time
		libc = ctypes.CDLL(None)
		n = 0
		while n < 10000 and libc.inotify_init1(0) >= 0:
		    n += 1
		print(n, flush=True)
		time.sleep(float(sys.argv[1]))
	PY
	all=$(python3 "$WS/watches.py" 0)
	[ "$all" -ge 4 ] || skip "this user has hardly any left"
	make_box
	in_box agent sh -c "python3 '$WS/watches.py' 60 >'$WS/inside' 2>&1 &"
	wait_for test -s "$WS/inside"
	[ "$(cat "$WS/inside")" -gt 0 ]
	[ "$(cat "$WS/inside")" -le "$(($(cat /proc/sys/fs/inotify/max_user_instances) / 2))" ]
	[ "$(python3 "$WS/watches.py" 0)" -gt 0 ]
}
