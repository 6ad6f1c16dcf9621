#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The user's terminal: D70, D72, D73.

load lib/hostile

setup() {
	hostile_setup
	need python3 jq
}
teardown() { hostile_teardown; }

in_terminal() {
	python3 "$BATS_TEST_DIRNAME/lib/pty_run.py" "$@"
}

@test "D03 in a terminal, too, all descriptors are the box's own" {
	local result outer
	result=$(in_terminal unshare --user --map-root-user "$WS/attack" fds)
	outer=$(jq -r .output <<<"$result" | tr -d '\r' | awk '$2 == 0 { print $3 }')
	[[ $outer == *:* ]] # the control: there the terminal is the user's
	make_box
	exec 7<"$SENT/f"
	result=$(in_terminal "$WARD" exec -it "$BOX" "$WS/attack" fds)
	exec 7<&-
	jq -r .output <<<"$result" | tr -d '\r' | grep '^fd ' >"$TEST_DIR/fds"
	[ "$(cut -d' ' -f2 "$TEST_DIR/fds" | tr '\n' ' ')" = "0 1 2 " ] || { cat "$TEST_DIR/fds" && false; }
	[ "$(cut -d' ' -f3,5 "$TEST_DIR/fds" | sort -u | wc -l)" -eq 1 ]
	grep -q ' /dev/pts/[0-9]*$' "$TEST_DIR/fds"
	refute grep -q " ${outer%%:*}:" "$TEST_DIR/fds" # another devpts
}

@test "D70 nothing inside can type into the user's terminal" {
	local u result
	result=$(in_terminal unshare --user --map-root-user "$WS/attack" tty INJECTED)
	[[ $(jq -r .pending <<<"$result") == *INJECTED* ]] ||
		skip "this kernel does not let an ordinary program type (dev.tty.legacy_tiocsti)"
	make_box
	for u in $(users_inside); do
		if [ "$u" = agent ]; then
			result=$(in_terminal "$WARD" exec -it "$BOX" "$WS/attack" tty INJECTED)
		else
			result=$(in_terminal "$WARD" exec -it -u "$u" "$BOX" "$WS/attack" tty INJECTED)
		fi
		[ "$(jq -r .pending <<<"$result")" = "" ] || { echo "$result" && false; }
		[[ $(jq -r .output <<<"$result") == *"TIOCSTI: EPERM"* ]] || { echo "$result" && false; }
		[[ $(jq -r .output <<<"$result") != *": ok"* ]]
	done
	result=$(in_terminal "$WARD" run -q shell -- -c "$WS/attack tty INJECTED; exit 7")
	[ "$(jq -r .status <<<"$result")" = 7 ] || { echo "$result" && false; }
	[ "$(jq -r .pending <<<"$result")" = "" ]
}

@test "D72 the terminal is as before when the client or the supervisor is killed" {
	local result hook
	result=$(in_terminal "$WS/attack" raw)
	[ "$(jq -r '.raw or (.restored | not)' <<<"$result")" = true ] || skip "a killed program leaves the terminal alone"
	make_box
	for hook in 'kill -9 $CLIENT' 'kill -TERM $CLIENT' 'kill -HUP $CLIENT' \
		"kill -9 \$(awk '{ print \$4 }' /proc/\$('$WARD' inspect $BOX | jq -r '.[0].enforcement.init_pid')/stat)" \
		"'$WARD' stop $BOX" "'$WARD' rm -f $BOX"; do
		rm -f "$WS/up"
		result=$(in_terminal --when "$WS/up" --hook "$hook" \
			"$WARD" exec -it "$BOX" sh -c 'echo up >up; stty raw; sleep 7773')
		echo "$hook: $(jq -c 'del(.output)' <<<"$result")"
		[ "$(jq -r .raw <<<"$result")" = true ]
		[ "$(jq -r .restored <<<"$result")" = true ] || { stty -a && false; }
	done
}

# No byte of these may reach the terminal through a message of ours.
assert_printable() { # FILE
	if LC_ALL=C grep -qaP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]' "$1"; then
		od -c "$1" | head -n 40
		return 1
	fi
}

@test "D73 control characters in names are not printed" {
	local evil dir
	evil=$'x\e]0;owned\a\e[31m\r\xc2\x9bz\xe2\x80\xaey'
	dir=$TEST_DIR/$evil
	mkdir "$dir"
	printf '%s\n' "$dir" >"$TEST_DIR/control"
	refute assert_printable "$TEST_DIR/control" >/dev/null
	cd "$dir"
	{
		ward create -t host shell || true
		ward ls || true
		ward ls --json || true
		ward inspect "$(ward ls -q | head -n 1)" || true
		ward run -q shell -- -c 'pwd >/dev/null' || true
		ward audit "$(ward ls -q | head -n 1)" || true
		ward stop "$evil" || true
		ward run "$evil" || true
		ward run --name "$evil" shell || true
		ward run --network "$evil" shell || true
		ward run -e "$evil=1" -t "$evil" shell || true
		ward run -t "dir:$dir/none" shell || true
		ward run -v "$dir:$evil" shell || true
		ward run -w "$dir/none" shell || true
		ward exec "$(ward ls -q | head -n 1)" "/bin/$evil" || true
		ward exec -w "/$evil" "$(ward ls -q | head -n 1)" true || true
		ward exec -u "$evil" "$(ward ls -q | head -n 1)" true || true
		ward policy check "$evil" || true
		ward policy allow "$evil" || true
		ward "$evil" || true
		ward "--$evil" || true
		ward rm -f "$(ward ls -q | head -n 1)" || true
	} >"$TEST_DIR/out" 2>&1 </dev/null
	[ "$(wc -l <"$TEST_DIR/out")" -gt 20 ]
	grep -q owned "$TEST_DIR/out" # they did speak of it
	assert_printable "$TEST_DIR/out"
}
