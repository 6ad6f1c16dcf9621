#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The one list of Debian and Ubuntu packages that Ward is built, run and tested with.
#
# usage: packaging/deps.sh list build|run|test...      print the names
#        packaging/deps.sh missing build|run|test...   print those that are not installed
#        packaging/deps.sh install build|run|test...   install those, with sudo when not root
#
# When everything is there, install asks nothing and needs neither root nor network.
set -euo pipefail

build=(gcc libc6-dev make meson ninja-build pkg-config
	libcurl4-openssl-dev libjson-c-dev libyaml-dev zlib1g-dev libisal-dev libzstd-dev liblzma-dev libbz2-dev
	libssl-dev libseccomp-dev libcmocka-dev)
# newuidmap and newgidmap: the mode with a range of ids.
run=(uidmap)
test=(bats shellcheck cppcheck clang clang-format-14 clang-tidy pmccabe universal-ctags libcmocka-dev
	mmdebstrap tmux expect uidmap sudo bubblewrap crun gdb strace git python3 libseccomp-dev
	iproute2 socat file jq procps curl openssl docker-registry apache2-utils ca-certificates man-db
	umoci skopeo podman pigz zstd xz-utils bzip2 busybox-static zsh dropbear-bin openssh-client bind9-dnsutils
	netcat-openbsd musl-tools wget)

die() {
	echo "packaging/deps.sh: $*" >&2
	exit 1
}

names() { # SET...
	local set
	for set in "$@"; do
		case $set in
		build) printf '%s\n' "${build[@]}" ;;
		run) printf '%s\n' "${run[@]}" ;;
		test)
			printf '%s\n' "${test[@]}"
			# Whatever brought npm here is kept: distributions of Node conflict.
			command -v npm >/dev/null || printf '%s\n' nodejs npm
			;;
		*) die "no such set: $set" ;;
		esac
	done | sort -u
}

installed() { # NAME
	local status
	status=$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) || return 1
	case $status in *installed*) [[ $status != *not-installed* ]] ;; *) return 1 ;; esac
}

missing() { # SET...
	local name
	command -v dpkg-query >/dev/null ||
		die "this is neither Debian nor Ubuntu; install what provides: $(names "$@" | tr '\n' ' ')"
	while read -r name; do
		installed "$name" || echo "$name"
	done < <(names "$@")
}

install() { # SET...
	local need sudo=()
	mapfile -t need < <(missing "$@")
	[ "${#need[@]}" -gt 0 ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || die "sudo is missing; as root: apt-get install ${need[*]}"
		sudo=(sudo)
	fi
	echo "installing: ${need[*]}" >&2
	local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive
		apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
	# The lists may be absent or old; only a failure makes a second download worth it.
	"${apt[@]}" install --no-install-recommends "${need[@]}" >&2 ||
		{ "${apt[@]}" update >&2 && "${apt[@]}" install --no-install-recommends "${need[@]}" >&2; } ||
		die "apt-get could not install: ${need[*]}"
}

[ $# -ge 2 ] || die "usage: packaging/deps.sh list|missing|install build|run|test..."
verb=$1
shift
case $verb in
list) names "$@" ;;
missing) missing "$@" ;;
install) install "$@" ;;
*) die "no such verb: $verb" ;;
esac
