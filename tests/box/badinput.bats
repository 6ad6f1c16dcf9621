#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Bad input: one clear line each, with the cure, and nothing left behind.

load ../lib/common

setup() {
	common_setup
	WS="$TEST_DIR/project"
	mkdir "$WS"
	cd "$WS"
}

teardown() {
	cd /
	common_teardown
}

# refused STATUS PATTERN...: the last run failed so, said each pattern, in at most two lines of ours.
refused() {
	local want=$1 pattern
	shift
	[ "$status" -eq "$want" ] || fail "status $status, not $want: $output"
	[ "$(grep -c '^ward: ' <<<"$output")" -eq 1 ] || fail "not one error line: $output"
	for pattern in "$@"; do
		grep -q -- "$pattern" <<<"$output" || fail "'$pattern' is not in: $output"
	done
	[ -z "$(ward ls -q)" ] || fail "a sandbox was left behind"
	[ -z "$(ls -A "$WS")" ] || fail "something was left in the workspace"
}

@test "a volume on a file that every sandbox makes for itself is refused" {
	echo data >"$TEST_DIR/hosts"
	run ward run -v "$TEST_DIR/hosts:/etc/hosts" shell -- -c true
	refused 125 "^ward: option --volume: volume: /etc/hosts in the sandbox is the sandbox's own$" "^hint: "
}

@test "unknown agent, with the nearest name" {
	run ward run claud
	refused 125 "claud" "hint: .*claude"
}

@test "workspace / and the home itself" {
	run ward run -w / shell
	refused 125 "workspace '/'" "hint: "
	run ward run -w "$HOME" shell
	refused 125 "home" "hint: "
}

@test "workspace that is a file, absent, unreadable, a symlink out" {
	echo x >"$TEST_DIR/file"
	run ward run -w "$TEST_DIR/file" shell
	refused 125 "not a directory"
	run ward run -w "$TEST_DIR/absent" shell
	refused 125 "absent" "hint: "
	mkdir -p "$TEST_DIR/target"
	ln -s "$TEST_DIR/target" "$TEST_DIR/link"
	run ward run -w "$TEST_DIR/link" shell
	refused 125 "symbolic link" "hint: .*$TEST_DIR/target"
	[ -z "$(ls -A "$TEST_DIR/target")" ]
	[ "$(id -u)" -ne 0 ] || return 0
	mkdir -m 0 "$TEST_DIR/closed"
	run ward run -w "$TEST_DIR/closed" shell
	refused 125 "closed" "[Pp]ermission"
}

@test "Ward's own directories are no workspace" {
	run ward run -w "$XDG_DATA_HOME/ward" shell
	refused 125 "Ward's own"
	run ward run -w "$XDG_DATA_HOME" shell
	refused 125 "Ward's own"
}

@test "a template that is no root file system, or absent" {
	mkdir "$TEST_DIR/empty"
	run ward run -t "dir:$TEST_DIR/empty" shell
	refused 2 "root file system" "hint: "
	run ward run -t "dir:$TEST_DIR/none" shell
	refused 2 "none"
	run ward run -t never.invalid/made:1 --pull-template never shell
	refused 125 "never.invalid/made:1" "hint: "
	run ward run -t never.invalid/made:1 shell
	refused 125 "never.invalid" "hint: "
}

@test "agent binary missing in the template" {
	[ -d "${WARD_ROOTFS:-/nonexistent}/usr" ] || skip "no root file system for dir: templates (WARD_ROOTFS)"
	run ward run -q -t "dir:$WARD_ROOTFS" claude
	[ "$status" -eq 127 ]
	[[ "$output" == *"the claude binary was not found in the sandbox; please check this is the correct template for this agent"* ]]
}

@test "broken kit: file, line and nearest name" {
	mkdir -p "$XDG_CONFIG_HOME/ward/kits/mine"
	cat >"$XDG_CONFIG_HOME/ward/kits/mine/spec.yaml" <<-'KIT'
		schemaVersion: "2"
		kind: sandbox
		name: mine
		sandbox:
		  entrypont: [bash]
	KIT
	run ward run mine
	refused 125 "mine/spec.yaml:5: unknown field 'entrypont'" "entrypoint"
}

@test "broken configuration: file, line and key" {
	mkdir -p "$XDG_CONFIG_HOME/ward"
	printf 'network: balanced\nnetwrok: open\n' >"$XDG_CONFIG_HOME/ward/config.yaml"
	run ward run shell
	[ "$status" -eq 125 ]
	[[ "$output" == *"config.yaml:2"*"netwrok"* ]]
}

@test "names that are no names" {
	local name
	for name in .. -rf a/b 'a b' "$(printf 'a%.0s' {1..300})" ''; do
		run ward run "--name=$name" shell
		refused 2 "name"
	done
	for v in a:b:c:d relative:/x "/tmp:$(printf 'x\ny')" /tmp; do
		run ward run -v "$v" shell
		[ "$status" -eq 2 ] || [ "$status" -eq 125 ]
		[ -z "$(ward ls -q)" ]
	done
}

@test "user namespaces forbidden: the sysctl is named with its cure" {
	unshare -Ur true 2>/dev/null || skip "no user namespaces here at all"
	# In a namespace that allows no more of them, as user.max_user_namespaces=0 does.
	run unshare -U --map-root-user sh -c 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" run shell -- -c true' "$WARD"
	[ "$status" -eq 125 ]
	[[ "$output" == *"user.max_user_namespaces"* ]]
	[[ "$output" == *"hint: "*"sysctl"* ]]
}

@test "no newuidmap for a user with a subuid range: the package is named" {
	[ "$(id_mode)" = range ] || skip "this user has no subuid range"
	run bwrap --dev-bind / / --ro-bind /dev/null /usr/bin/newuidmap "$WARD" run shell -- -c true
	[ "$status" -eq 125 ]
	[[ "$output" == *newuidmap* ]]
	[[ "$output" == *"hint: "*"uidmap"* ]]
}

# small_disk SCRIPT: run it where TEST_DIR/small is a file system of 64 KiB that is full.
small_disk() {
	local fill='head -c 100000 /dev/zero > "$1/small/fill" 2>/dev/null'
	if [ "$(id -u)" -eq 0 ]; then
		unshare -m sh -c "mount -t tmpfs -o size=64k small \"\$1/small\" || exit 99; $fill; $1" "$WARD" "$TEST_DIR"
	else
		bwrap --dev-bind / / --size 65536 --tmpfs "$TEST_DIR/small" sh -c "$fill; $1" "$WARD" "$TEST_DIR"
	fi
}

@test "a full disk for the state directory" {
	need bwrap
	mkdir "$TEST_DIR/small"
	# shellcheck disable=SC2016 # expanded by the shell that small_disk starts
	run small_disk 'XDG_DATA_HOME="$1/small" "$0" run -t host shell -- -c true; code=$?
		ls "$1/small/ward/sandboxes" 2>/dev/null
		exit $code'
	[ "$status" -eq 125 ]
	[[ "$output" == *"No space left"* ]]
	[ "$(wc -l <<<"$output")" -le 2 ]
}
