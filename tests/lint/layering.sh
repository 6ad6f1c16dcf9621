#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Which folder of src/ may include which, and that no folder reaches for another one's internals.
set -uo pipefail
# shellcheck source=tests/lint/lib.bash
. "$(dirname "$0")/lib.bash"

declare -A may=(
	[base]=""
	[policy]="base"
	[state]="base"
	[secret]="base"
	[spec]="base policy"
	[image]="base secret"
	[net]="base policy"
	[box]="base spec"
	[supervise]="base spec state box"
	[engine]="base spec state image secret box supervise"
	[cli]="base policy spec state image secret engine"
)
bad=0

complain() {
	echo "$*"
	bad=1
}

check() { # FILE LINE INCLUDED
	local from=${1#src/} to=${3%%/*}
	case $from in */*) from=${from%%/*} ;; *) from=main ;; esac
	case $3 in
	*/*) ;;
	*) complain "$1:$2: \"$3\": write the folder too" && return ;;
	esac
	[ -n "${may[$to]+x}" ] || { complain "$1:$2: \"$3\": no such folder in the table" && return; }
	# main.c chooses the role and so knows every one's main function.
	[ "$from" = main ] || [ "$from" = "$to" ] || {
		[ -n "${may[$from]+x}" ] || { complain "$1: folder '$from' is not in the table" && return; }
		[[ " ${may[$from]} " == *" $to "* ]] || complain "$1:$2: $from may not include $to"
	}
	[[ $3 == *_internal.h && $from != "$to" ]] && complain "$1:$2: \"$3\" is internal to $to"
}

while IFS=: read -r file line text; do
	included=${text#*\"}
	check "$file" "$line" "${included%%\"*}"
done < <(tree_files 'src/*.c' 'src/*.h' | xargs -r grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"')

# json-c is behind its facade, and only there.
while read -r hit; do
	complain "$hit: only src/base/json.c includes json-c"
done < <(tree_files 'src/*.c' 'src/*.h' | grep -v '^src/base/json\.c$' |
	xargs -r grep -nHoE '#[[:space:]]*include[[:space:]]*<json-c/[a-z_]+\.h>')
exit "$bad"
