#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Make a root file system for `-t dir:`, and unpack it for one kind of user.
#
# usage: tests/setup-rootfs.sh make TARFILE        (once; root, or a user with a subuid range)
#        tests/setup-rootfs.sh unpack TARFILE DIR  (as the user whose boxes use it)
# unpack gives the files the owners that a box of that user can manage: real ids for root, the subuid
# range for a user that has one, the user alone otherwise.
set -euo pipefail

packages=apt,sudo,ca-certificates,git,curl,procps,strace,gdb,libcap2-bin,python3-minimal,less

make_tar() {
	local mode=unshare
	[ "$(id -u)" -eq 0 ] && mode=root
	mmdebstrap --quiet --mode="$mode" --variant=minbase --include="$packages" --format=tar \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$1.part"
	chmod 0644 "$1.part"
	mv "$1.part" "$1"
}

unpack_tar() {
	local tar=$1 dir=$2
	mkdir -p "$(dirname "$dir")"
	if [ "$(id -u)" -eq 0 ]; then
		mkdir -p "$dir"
		tar -C "$dir" --exclude='./dev/*' -xpf "$tar"
	elif grep -q "^$(id -un):" /etc/subuid; then
		# The top directory must belong to root inside, so root inside makes it.
		chmod 0777 "$(dirname "$dir")"
		mmdebstrap --unshare-helper mkdir "$dir"
		chmod 0755 "$(dirname "$dir")"
		mmdebstrap --unshare-helper tar -C "$dir" --exclude='./dev/*' -xpf "$tar"
	else
		mkdir -p "$dir"
		tar -C "$dir" --exclude='./dev/*' --no-same-owner -xpf "$tar"
	fi
}

case ${1:-} in
make) make_tar "${2:?TARFILE}" ;;
unpack) unpack_tar "${2:?TARFILE}" "${3:?DIR}" ;;
*)
	echo "usage: $0 make TARFILE | unpack TARFILE DIR" >&2
	exit 2
	;;
esac
