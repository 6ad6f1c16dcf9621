#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The README's two commands on a machine that has only git, make and sudo.
#
# usage: tests/clean-machine.sh [--test] [USER...]     (as root; default: dev solo root)
# Makes a fresh Debian in a directory, enters it as if it were the machine (a mount namespace of its own,
# pivot_root), clones this repository there and runs `make run` as each user, with a script on the shell's stdin;
# with --test also `make test`:
#   dev   a user with sudo and a subuid range     solo  a user with sudo and without a range     root
# The verdict is a file that the shell in the sandbox made in the clone.  Takes minutes and downloads packages.
set -euo pipefail

[ "$(id -u)" -eq 0 ] || {
	echo "clean-machine.sh: must be root" >&2
	exit 2
}
with_test=
if [ "${1:-}" = --test ]; then
	with_test=yes
	shift
fi
repo=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d /var/tmp/ward-clean.XXXXXX)
root=$work/root
trap 'rm -rf "$work"' EXIT

mmdebstrap --quiet --variant=minbase --include=git,make,sudo,ca-certificates bookworm "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
git clone -q --bare "$repo" "$root/srv/ward.git"
cat >"$root/set-up.sh" <<'SETUP'
set -eu
# An installer writes it, a package does not.
[ -e /etc/hosts ] || echo "127.0.0.1 localhost $(uname -n)" >/etc/hosts
for u in dev solo; do
	useradd -m -s /bin/bash "$u"
	echo "$u ALL=(ALL) NOPASSWD: ALL" >"/etc/sudoers.d/$u"
	chmod 0440 "/etc/sudoers.d/$u"
done
grep -q ^dev: /etc/subuid 2>/dev/null || echo dev:100000:65536 | tee -a /etc/subuid >>/etc/subgid
for f in /etc/subuid /etc/subgid; do sed -i /^solo:/d "$f"; done
git config --system safe.directory '*'
SETUP
cat >"$root/try.sh" <<'TRY'
set -eu
cd
git clone -q /srv/ward.git ward
cd ward
printf 'id -un > from-the-sandbox; pwd >> from-the-sandbox; ls /sys/class/net >> from-the-sandbox; exit 7\n' | {
	code=0
	make run || code=$?
	# make reports any failing command as 2; the shell's own 7 is in its message.
	[ "$code" -eq 2 ] || { echo "make run: exit code $code"; exit 1; }
}
cat from-the-sandbox
[ "$(sed -n 2p from-the-sandbox)" = "$PWD" ]
[ "$(sed -n 3p from-the-sandbox)" = lo ]
[ "$(stat -c %u from-the-sandbox)" = "$(id -u)" ]
[ -z "${1:-}" ] || make test
TRY

# enter COMMAND...: in the new machine.
enter() {
	unshare --mount --propagation private --fork --pid bash -c '
		set -eu
		root=$1
		shift
		mount --bind "$root" "$root"
		cd "$root"
		mkdir -p old
		mount --rbind /dev dev
		mount -t sysfs sysfs sys
		mount -t tmpfs tmpfs tmp
		pivot_root . old
		mount -t proc proc /proc
		cd /
		umount -l /old
		# Not exec: as PID 1 this shell also reaps what others leave behind, as an init does.
		"$@"
		exit' enter "$root" "$@"
}

enter bash /set-up.sh
users=("$@")
[ ${#users[@]} -gt 0 ] || users=(dev solo root)
failed=0
for u in "${users[@]}"; do
	echo "== make run${with_test:+ and make test} as $u"
	if enter env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
		su - "$u" -c "bash /try.sh $with_test" </dev/null; then
		echo "ok: $u"
	else
		echo "FAILED: $u"
		failed=1
	fi
done
exit "$failed"
