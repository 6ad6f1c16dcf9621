#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Make the users that tests run as; what exists is left as it is.
#
# usage: tests/setup-users.sh [--if-possible]
#   wardtest   with a range of 65536 subordinate ids: the usual case
#   wardsolo   without any: one id
#   wardother  a stranger, who must not see anything of theirs
# Needs root, or sudo that asks nothing; --if-possible: otherwise it does nothing.
set -euo pipefail

if [ "$(id -u)" -ne 0 ]; then
	if sudo -n true 2>/dev/null; then
		exec sudo -n "$0" "$@"
	fi
	[ "${1:-}" = --if-possible ] && exit 0
	echo "tests/setup-users.sh: it needs root or sudo" >&2
	exit 1
fi

make_user() { # NAME
	id "$1" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$1"
}

has_range() { # FILE NAME
	awk -F: -v name="$2" '$1 == name && $3 >= 65536 { found = 1 } END { exit !found }' "$1" 2>/dev/null
}

# The first start above every range that the file knows.
next_start() { # FILE
	awk -F: 'BEGIN { top = 100000 } NF == 3 && $2 + $3 > top { top = $2 + $3 } END { print top }' "$1"
}

drop_ranges() { # NAME: useradd may have given one
	local file
	for file in /etc/subuid /etc/subgid; do
		sed -i "/^$1:/d" "$file"
	done
}

touch /etc/subuid /etc/subgid
make_user wardtest
for file in /etc/subuid /etc/subgid; do
	has_range "$file" wardtest || echo "wardtest:$(next_start "$file"):65536" >>"$file"
done
for user in wardsolo wardother; do
	make_user "$user"
	drop_ranges "$user"
done
