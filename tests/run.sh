#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run the tests against an installed copy of what is built.
#
# usage: tests/run.sh [SUITE...]       SUITE: meson cli box hostile (default: all)
#
# meson  unit tests, fuzz corpora replayed and everything else that meson knows as a test
# cli, box, hostile  bats, once for each kind of user: the one who calls; with root (or with sudo that
#        asks nothing) also one with a range of ids and one without
#
# The tests run in a copy below /tmp that every user can read; nothing in the repository is written.
# Users are tested side by side, two for each processor.  One line a suite; the last line is the sum.
# Exit status 0 only when something passed and nothing failed.  With CI=true a skip that
# tests/skips.txt does not name is a failure.
#
# WARD_TEST_CACHE  where the root file system and the agents are kept between runs
# WARD_BATS        arguments for bats, such as "--filter REGEX"
# WARD_KILLS       how often the tests of kill -9 kill
# WARD_LARGE_IMAGE an OCI layout, for all users, whose tree is compared with umoci's (bench/image makes one)
set -uo pipefail
umask 022

repo=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-$repo/build}
[ "${build#/}" != "$build" ] || build=$repo/$build
cache=${WARD_TEST_CACHE:-/var/tmp/ward-test-cache.$(id -un)}
top=$(mktemp -d /tmp/ward-test.XXXXXX) || exit 1
results=$top/results
seconds_per_suite=2400

cleanup() {
	local dir
	# shellcheck disable=SC2046 # a list of process numbers
	kill $(jobs -p) 2>/dev/null
	wait
	for dir in "$top"/rootfs.*; do
		[ ! -e "$dir" ] || remove_rootfs "$dir"
	done
	rm -rf "$top"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say() {
	echo "tests/run.sh: $*" >&2
}

# become USER COMMAND...: with a clean environment and no terminal.
become() {
	local user=$1 home
	shift
	home=$(getent passwd "$user" | cut -d: -f6)
	local clean=(env -i "HOME=$home" "USER=$user" "LOGNAME=$user" LC_ALL=C.UTF-8
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
	if [ "$user" = "$(id -un)" ]; then
		"${clean[@]}" "$@"
	elif [ "$(id -u)" -eq 0 ]; then
		runuser -u "$user" -- "${clean[@]}" "$@"
	else
		sudo -n -u "$user" -- "${clean[@]}" "$@"
	fi
}

can_become() {
	id "$1" >/dev/null 2>&1 || return 1
	[ "$1" = "$(id -un)" ] || [ "$(id -u)" -eq 0 ] || sudo -n -u "$1" true 2>/dev/null
}

identities() {
	local user
	id -un
	for user in wardtest wardsolo; do
		if [ "$user" != "$(id -un)" ] && can_become "$user"; then
			echo "$user"
		fi
	done
}

# --- what the tests need -----------------------------------------------------------------------

install_copy() {
	DESTDIR=$top/root meson install -C "$build" --no-rebuild --quiet --strip >"$top/install.log" 2>&1 ||
		{ cat "$top/install.log" >&2 && return 1; }
	local prefix
	prefix=$(find "$top/root" -type f -path '*/bin/ward' -printf '%h\n' | head -n 1)
	[ -n "$prefix" ] || { say "the build installs no bin/ward" && return 1; }
	WARD=$prefix/ward
	mkdir "$top/repo"
	(cd "$repo" && tar -c --exclude=./.git --exclude='./build*' .) | tar -x -C "$top/repo"
	if [ -z "${WARD_FIXTURES:-}" ] && [ -d "$repo/../shared/fixtures" ]; then
		WARD_FIXTURES=$repo/../shared/fixtures
	fi
	if [ -n "${WARD_FIXTURES:-}" ]; then
		cp -r "$WARD_FIXTURES" "$top/fixtures"
		WARD_FIXTURES=$top/fixtures
	fi
	chmod -R a+rX,u+w "$top"
}

prepare_cache() {
	mkdir -p "$cache" && chmod 0755 "$cache"
	if [ ! -f "$cache/rootfs.tar" ]; then
		say "making a root file system"
		"$repo/tests/setup-rootfs.sh" make "$cache/rootfs.tar" >&2 || say "no root file system"
	fi
	# Without the model that they talk to, the real agents are gigabytes for nothing.
	[ -n "${WARD_FIXTURES:-}" ] || return 0
	if "$repo/tests/setup-agents.sh" "$cache/agents" >"$top/agents.log" 2>&1; then
		WARD_AGENTS=$cache/agents
	else
		tail -n 5 "$top/agents.log" >&2
		say "no agents"
	fi
}

unpack_rootfs() { # USER
	local own=$top/rootfs.$1/own
	[ -f "$cache/rootfs.tar" ] || return 0
	mkdir -m 0777 "$top/rootfs.$1"
	chmod 0777 "$top/rootfs.$1"
	become "$1" mkdir "$own"
	become "$1" "$top/repo/tests/setup-rootfs.sh" unpack "$cache/rootfs.tar" "$own/root" >&2 && echo "$own/root"
}

# As its owner, with the ids that own what is in it.
remove_rootfs() { # DIR
	local user=${1##*.}
	rm -rf "$1" 2>/dev/null && return 0
	become "$user" mmdebstrap --unshare-helper rm -rf "$1/own/root" >/dev/null 2>&1
	become "$user" rm -rf "$1/own" >/dev/null 2>&1
	rm -rf "$1" 2>/dev/null
}

# --- suites ------------------------------------------------------------------------------------

run_meson() {
	local status skips=()
	[ "${CI:-}" = true ] && skips=("$repo/tests/skips.txt")
	rm -f "$build/meson-logs/testlog.json"
	meson test -C "$build" --no-rebuild --quiet >"$top/meson.log" 2>&1
	status=$?
	touch "$build/meson-logs/testlog.json"
	python3 "$repo/tests/lib/count.py" meson "$build" "$status" "${skips[@]}" |
		tee -a "$results"
}

run_bats() { # SUITE USER ROOTFS
	local suite=$1 user=$2 files=() file status runner skips=()
	for file in "$top/repo/tests/$suite"/*.bats; do
		[ -e "$file" ] || continue
		# What the project itself promises does not depend on who looks, nor how the many agents start; the lab
		# of network.bats has a user of its own.
		case ${file##*/} in
		project.bats | more-agents.bats | network.bats | company.bats) [ "$user" = "$(id -un)" ] || continue ;;
		esac
		files+=("$file")
	done
	[ "${#files[@]}" -gt 0 ] || return 0
	[ "${CI:-}" = true ] && skips=("$repo/tests/skips.txt")
	# shellcheck disable=SC2086 # WARD_BATS is a list of arguments
	become "$user" env "WARD=$WARD" "WARD_REPO=$top/repo" ${WARD_FIXTURES:+"WARD_FIXTURES=$WARD_FIXTURES"} \
		${WARD_AGENTS:+"WARD_AGENTS=$WARD_AGENTS"} ${3:+"WARD_ROOTFS=$3"} \
		${3:+"WARD_ROOTFS_TAR=$cache/rootfs.tar"} ${WARD_LARGE_IMAGE:+"WARD_LARGE_IMAGE=$WARD_LARGE_IMAGE"} \
		${WARD_KILLS:+"WARD_KILLS=$WARD_KILLS"} ${CI:+"CI=$CI"} \
		TERM=xterm timeout --kill-after=30 "$seconds_per_suite" \
		bats --formatter tap ${WARD_BATS:-} "${files[@]}" >"$top/$suite.$user.tap" 2>&1 </dev/null &
	# In a process group of its own, so that Ctrl-C does not reach it.
	runner=$!
	trap 'kill "$runner" 2>/dev/null; exit 130' INT TERM
	wait "$runner"
	status=$?
	python3 "$repo/tests/lib/count.py" tap "$suite($user)" "$top/$suite.$user.tap" "$status" "${skips[@]}" \
		>"$top/said.$user"
	# What is said about one suite stays together.
	flock "$top" tee -a "$results" <"$top/said.$user"
}

# Every suite of one user.
run_user() { # USER
	local rootfs suite
	rootfs=$(unpack_rootfs "$1")
	for suite in "${bats_suites[@]}"; do
		run_bats "$suite" "$1" "$rootfs"
	done
	[ ! -e "$top/rootfs.$1" ] || remove_rootfs "$top/rootfs.$1"
}

# All users, a few at a time.
run_users() {
	local user running=0 lanes
	# Tests wait more than they compute.
	lanes=$(($(nproc) * 2))
	for user in $(identities); do
		if [ "$running" -ge "$lanes" ]; then
			wait -n
			running=$((running - 1))
		fi
		run_user "$user" &
		running=$((running + 1))
	done
	wait
}

# --- all ---------------------------------------------------------------------------------------

suites=("$@")
[ "${#suites[@]}" -gt 0 ] || suites=(meson cli box hostile)
[ -f "$build/build.ninja" ] || { say "nothing is built: make" && exit 1; }
chmod 0755 "$top"
: >"$results"

bats_suites=()
for suite in "${suites[@]}"; do
	case $suite in
	meson) run_meson ;;
	cli | box | hostile) bats_suites+=("$suite") ;;
	*) say "no such suite: $suite" && exit 2 ;;
	esac
done
if [ "${#bats_suites[@]}" -gt 0 ]; then
	install_copy || exit 1
	prepare_cache
	# The repository may lie where the other users cannot go.
	cd "$top" || exit 1
	run_users
fi
python3 "$repo/tests/lib/count.py" sum "$results"
