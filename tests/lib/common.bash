# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What every bats file loads: `load ../lib/common`, then common_setup and common_teardown in setup
# and teardown.
#
# common_setup makes a private directory TEST_DIR below /tmp with HOME and the XDG directories in it,
# so that no test sees another one's sandboxes or the user's own.  common_teardown stops and removes
# what the test started, and fails the test when something of it is left.
#
# Environment, set by tests/run.sh:
#   WARD           the installed program             (default: build/src/ward of the repository)
#   WARD_REPO      the tree that the tests are from  (default: two directories up)
#   WARD_FIXTURES  directory of shared fixtures; tests that need it skip without
#   WARD_ROOTFS    root file system for `-t dir:`, unpacked for this user; the same
#   WARD_ROOTFS_TAR  the archive that it comes from; the same
#   WARD_AGENTS    directory whose bin/ has the real agents; the same
#   WAIT_SECONDS   bound of wait_for (default 20)

common_setup() {
	WARD_REPO=${WARD_REPO:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)}
	WARD=${WARD:-$WARD_REPO/build/src/ward}
	export WARD WARD_REPO
	TEST_DIR=$(mktemp -d "/tmp/ward-t.XXXXXX")
	export HOME="$TEST_DIR/home" XDG_RUNTIME_DIR="$TEST_DIR/runtime"
	export XDG_DATA_HOME="$HOME/.local/share" XDG_CONFIG_HOME="$HOME/.config"
	mkdir -p "$HOME" "$XDG_DATA_HOME" "$XDG_CONFIG_HOME"
	mkdir -m 0700 "$XDG_RUNTIME_DIR"
	export LC_ALL=C.UTF-8 TZ=UTC NO_COLOR=1
	unset CDPATH GIT_DIR GIT_WORK_TREE WARD_DEBUG
	# Ward goes through the proxy that these name; a test that wants one says so.
	unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
	PATH="$(dirname "$WARD"):$PATH"
	cd "$TEST_DIR" || return 1
}

common_teardown() {
	cd / || return 1
	[ -n "${TEST_DIR:-}" ] && [ -d "$TEST_DIR" ] || return 0
	remove_sandboxes
	local left
	left=$(processes_of_test && orphaned_helpers)
	if [ -n "$left" ]; then
		echo "left behind by this test:"
		echo "$left"
		# shellcheck disable=SC2046 # a list of process ids
		kill -9 $(echo "$left" | cut -d' ' -f1) 2>/dev/null || true
	fi
	remove_test_dir
	[ -z "$left" ]
}

# The program under test.
ward() {
	"$WARD" "$@"
}

# Stop and delete every sandbox of this test.
remove_sandboxes() {
	local data="$XDG_DATA_HOME/ward/sandboxes" id
	[ -d "$data" ] || return 0
	for id in "$data"/*; do
		[ -e "$id" ] || [ -L "$id" ] || continue
		"$WARD" rm -f "${id##*/}" >/dev/null 2>&1 </dev/null || true
	done
}

# Files that belong to ids of a box need its ids to go away.
remove_test_dir() {
	if [ -d "$XDG_DATA_HOME/ward/templates/layers" ]; then
		rm -rf "$XDG_DATA_HOME/ward/templates/refs"
		"$WARD" template prune >/dev/null 2>&1 </dev/null || true
	fi
	rm -rf "$TEST_DIR" 2>/dev/null && return 0
	chmod -R u+rwX "$TEST_DIR" 2>/dev/null || true
	rm -rf "$TEST_DIR" 2>/dev/null && return 0
	if command -v mmdebstrap >/dev/null && grep -q "^$(id -un):" /etc/subuid 2>/dev/null; then
		mmdebstrap --unshare-helper rm -rf "$TEST_DIR" 2>/dev/null || true
	fi
	rm -rf "$TEST_DIR" 2>/dev/null || true
}

# Every blob of the store has its name and is what that says; nothing is on its way there.
assert_blobs_whole() {
	local entry
	while read -r entry; do
		[[ "$entry" == */blobs/sha256/* ]] || fail "left in the store: $entry" || return 1
		assert_equal "$(sha256sum <"$entry" | cut -d' ' -f1)" "${entry##*/}" || return 1
	done < <(find "$XDG_DATA_HOME/ward/templates/blobs" -type f)
}

# "PID COMMAND" of this user's processes that still work for a sandbox of this test: those that name
# TEST_DIR in their arguments or stand in it.  Programs that the test itself runs are not meant.
processes_of_test() {
	local dir pid cwd args
	for dir in /proc/[0-9]*; do
		pid=${dir#/proc/}
		args=$(tr '\0' ' ' 2>/dev/null <"$dir/cmdline") || continue
		case $args in ward-supervisor* | ward-init* | ward-proxy* | ward-ports*) ;; *) continue ;; esac
		cwd=$(readlink "$dir/cwd" 2>/dev/null) || cwd=
		if grep -qsF -- "$TEST_DIR" "$dir/environ" || [[ $args == *"$TEST_DIR"* || $cwd == "$TEST_DIR"* ]]; then
			echo "$pid $args"
		fi
	done
}

# Is that a user id of this user, or one of the ids that are handed to him?
own_uid() { # UID
	[ "$1" = "$(id -u)" ] || awk -F: -v user="$(id -un)" -v uid="$1" \
		'$1 == user && uid >= $2 && uid < $2 + $3 { found = 1 } END { exit !found }' /etc/subuid 2>/dev/null
}

# "PID COMMAND" of helpers for images whose command is gone, though nobody but it needs them.  They hide
# their environment, so whose test they are of is not told.
orphaned_helpers() {
	local dir pid uid args again found=
	for again in 1 2 3 4 5 6 7 8 9 10; do
		found=
		for dir in /proc/[0-9]*; do
			pid=${dir#/proc/}
			args=$(tr '\0' ' ' 2>/dev/null <"$dir/cmdline") || continue
			case $args in ward-image* | ward-registry* | */ward-image* | */ward-registry*) ;; *) continue ;; esac
			uid=$(awk '/^PPid:/ && $2 != 1 { exit } /^Uid:/ { print $2 }' "$dir/status" 2>/dev/null) || continue
			if [ -n "$uid" ] && own_uid "$uid"; then
				found+="$pid $args"$'\n'
			fi
		done
		[ -n "$found" ] || return 0
		sleep 0.3
	done
	printf %s "$found"
}

# The directory of a sandbox, by the beginning of its id.
sandbox_dir() {
	local dir
	for dir in "$XDG_DATA_HOME/ward/sandboxes/$1"*; do
		echo "$dir"
	done
}

# note_box SANDBOX_ID: remember what runs for it now, before a test kills some of it: BOX_SUPERVISOR, BOX_INIT,
# BOX_PROXY (process ids on the host) and its network namespace, which every process of the box is in.
note_box() {
	local state
	state=$(sandbox_dir "$1")/state.json
	BOX_SUPERVISOR=$(jq -r .pid "$state")
	BOX_INIT=$(jq -r .init_pid "$state")
	BOX_NET="net:[$(jq -r .namespaces.net "$state")]"
	BOX_PROXY=$("$WARD" inspect "$1" | jq -r '.[0].enforcement.proxy.pid')
}

# Process ids on the host of everything that belongs to the noted box and still lives.
box_processes() {
	local dir pid
	for dir in /proc/[0-9]*; do
		pid=${dir#/proc/}
		if [ "$(readlink "$dir/ns/net" 2>/dev/null)" = "$BOX_NET" ]; then
			echo "$pid"
		fi
	done
	for pid in "$BOX_SUPERVISOR" "$BOX_PROXY"; do
		case $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") in ward-*) echo "$pid" ;; esac
	done
}

# wait_for COMMAND [ARG...]: try until it succeeds; fail after WAIT_SECONDS.
wait_for() {
	local end=$((SECONDS + ${WAIT_SECONDS:-20}))
	until "$@" >/dev/null 2>&1; do
		if [ "$SECONDS" -ge "$end" ]; then
			echo "waited ${WAIT_SECONDS:-20} s in vain for: $*"
			return 1
		fi
		# Only the pace of asking: the verdict never depends on it.
		read -rt 0.05 <> <(:) || true
	done
}

# as USER COMMAND [ARG...]: run as another user with an environment of its own. Only root, or with
# sudo that asks nothing; skips otherwise.
as() {
	local user=$1 home
	shift
	home=$(getent passwd "$user" | cut -d: -f6)
	[ -n "$home" ] || skip "there is no user $user"
	if [ "$(id -un)" = "$user" ]; then
		env -i HOME="$home" PATH="$PATH" LC_ALL=C.UTF-8 "$@"
	elif [ "$(id -u)" -eq 0 ]; then
		runuser -u "$user" -- env -i HOME="$home" PATH="$PATH" LC_ALL=C.UTF-8 "$@"
	elif sudo -n -u "$user" true 2>/dev/null; then
		sudo -n -u "$user" -- env -i HOME="$home" PATH="$PATH" LC_ALL=C.UTF-8 "$@"
	else
		skip "cannot become $user"
	fi
}

# Which kind of user this is: root, range or single.
id_mode() {
	if [ "$(id -u)" -eq 0 ]; then
		echo root
	elif grep -q "^\($(id -un)\|$(id -u)\):" /etc/subuid 2>/dev/null; then
		echo range
	else
		echo single
	fi
}

# new_workspace [NAME]: make a directory and print its path.
new_workspace() {
	local dir="$TEST_DIR/${1:-project}"
	mkdir -p "$dir"
	echo "$dir"
}

# need COMMAND...: skip when one is missing.
need() {
	local c
	for c in "$@"; do
		command -v "$c" >/dev/null || skip "$c is not installed"
	done
}

need_fixtures() {
	[ -d "${WARD_FIXTURES:-/nonexistent}" ] || skip "no shared fixtures (WARD_FIXTURES)"
}

need_rootfs() {
	[ -d "${WARD_ROOTFS:-/nonexistent}" ] || skip "no root file system (WARD_ROOTFS)"
}

fail() {
	printf '%s\n' "$*"
	return 1
}

# Assertions; each says what it saw.  status and output are those of bats' `run`.

assert_status() { # EXPECTED
	# shellcheck disable=SC2154
	[ "$status" -eq "$1" ] && return 0
	# shellcheck disable=SC2154
	printf 'exit status %s, expected %s; output:\n%s\n' "$status" "$1" "$output"
	return 1
}

assert_output_has() { # TEXT
	[[ "$output" == *"$1"* ]] && return 0
	printf 'not in the output: %s\noutput:\n%s\n' "$1" "$output"
	return 1
}

refute_output_has() { # TEXT
	[[ "$output" != *"$1"* ]] && return 0
	printf 'in the output, and must not be: %s\noutput:\n%s\n' "$1" "$output"
	return 1
}

assert_equal() { # ACTUAL EXPECTED
	[ "$1" = "$2" ] && return 0
	printf 'got:      %s\nexpected: %s\n' "$1" "$2"
	return 1
}

assert_file() { # PATH [CONTENT]
	[ -f "$1" ] || { echo "no such file: $1"; return 1; }
	[ $# -lt 2 ] || assert_equal "$(cat "$1")" "$2"
}

# A listing of a directory with types, modes, owners, sizes, times and content hashes: compare two to
# prove that nothing was touched.
snapshot() { # DIR
	(cd "$1" && find . -printf '%p %y %m %U:%G %s %T@ %l\n' | sort &&
		find . -type f -print0 | sort -z | xargs -0r sha256sum)
}
