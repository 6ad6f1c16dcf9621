# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the hostile tests share, on top of tests/lib/common.bash.
#
# Every case shows first that its attack works without the layer under test (`control`), else it
# skips; and takes its verdict from the host: a sentinel's hash, a process that lives, a token that
# came back.  TOKEN is random for each test; nothing of a box may ever know it.

# shellcheck source=tests/lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

hostile_setup() {
	common_setup
	[ -x "$ATTACK_DIR/attack" ] || skip "no C compiler to build the attackers"
	TOKEN=token-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	WS="$TEST_DIR/project"
	SENT="$TEST_DIR/sentinel"
	mkdir "$WS" "$SENT"
	echo "$TOKEN" >"$SENT/secret"
	echo "sentinel" >"$SENT/f"
	(umask 077 && echo "$TOKEN" >"$HOME/.ward-canary")
	cp "$ATTACK_DIR/attack" "$WS/attack"
	BOX=box
	cd "$WS" || return 1
}

# A sandbox with the workspace, of this machine's own programs; OPTIONS as for `ward create`.
make_box() { # [OPTIONS]
	ward create -q --name "$BOX" -t host "$@" shell >/dev/null
}

# The same with a root file system of its own, which has sudo, gdb and strace.
make_rootfs_box() {
	need_rootfs
	ward create -q --name "$BOX" -t "dir:$WARD_ROOTFS" shell >/dev/null
}

# in_box USER COMMAND...: USER agent or root; in_box_i: with the test's standard input.
in_box() {
	in_box_i "$@" </dev/null
}

in_box_i() {
	local user=$1
	shift
	if [ "$user" = agent ]; then
		ward exec -i "$BOX" "$@"
	else
		ward exec -i -u "$user" "$BOX" "$@"
	fi
}

# The users that exist inside: in single-id mode the agent is root there.
users_inside() {
	[ "$(id_mode)" = single ] && echo agent && return
	echo agent root
}

# What a box would be with one user namespace and nothing else.
plain_box() {
	unshare --user --map-root-user --mount --pid --fork --mount-proc "$@" </dev/null
}

# control COMMAND...: the attack must work here, or the test proves nothing.
control() {
	"$@" >"$TEST_DIR/control" 2>&1 && return 0
	sed 's/^/control: /' "$TEST_DIR/control"
	skip "the attack does not work here without the layer under test"
}

# Every process of a box, by its network namespace; the box must run.
box_init() {
	ward inspect "$BOX" | jq -re '.[0].enforcement.init_pid // .[0].init_pid'
}

processes_in_netns() { # INODE-LINK
	local p
	for p in /proc/[0-9]*/ns/net; do
		[ "$(readlink "$p" 2>/dev/null)" = "$1" ] && echo "$p"
	done
	return 0
}

nobody_in_netns() {
	[ -z "$(processes_in_netns "$1")" ]
}

# The token came back in no form that the box could have written or printed.
assert_no_token() { # FILE...
	local f
	for f in "$@"; do
		if grep -qaF "$TOKEN" "$f"; then
			echo "the token is in $f"
			return 1
		fi
	done
}

assert_same_snapshot() { # BEFORE DIR
	local after
	after=$(snapshot "$2")
	[ "$1" = "$after" ] && return 0
	diff <(echo "$1") <(echo "$after")
	return 1
}

# A process of the host that must live on.  Its id is in VICTIM.
start_victim() {
	tail -f /dev/null &
	VICTIM=$!
}

victim_lives() {
	kill -0 "$VICTIM" 2>/dev/null
}

hostile_teardown() {
	[ -z "${VICTIM:-}" ] || kill "$VICTIM" 2>/dev/null || true
	[ -z "${WS:-}" ] || touch "$WS/stop" 2>/dev/null || true
	common_teardown
}

# A command that must fail: `! command` alone would not fail a test.
refute() {
	if "$@"; then
		echo "succeeded, and must not: $*"
		return 1
	fi
}
