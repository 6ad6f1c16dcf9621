#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Functions of at most 100 lines (a remark from 60), files of at most 1000 (a remark from 600),
# cyclomatic complexity of at most 40.
set -uo pipefail
# shellcheck source=tests/lint/lib.bash
. "$(dirname "$0")/lib.bash"

mapfile -t files < <(tree_files 'src/*.c' 'src/*.h')
[ "${#files[@]}" -gt 0 ] || exit 0
bad=0

while IFS=$'\t' read -r name file _ _ fields; do
	start=${fields#*line:} end=${fields#*end:}
	start=${start%%[!0-9]*} end=${end%%[!0-9]*}
	n=$((end - start + 1))
	if [ "$n" -gt 100 ]; then
		echo "$file:$start: $name() has $n lines, more than 100"
		bad=1
	elif [ "$n" -gt 60 ]; then
		echo "remark: $file:$start: $name() has $n lines, more than 60"
	fi
done < <(ctags -f - --languages=C --langmap=C:.c.h --kinds-C=f --fields=+ne "${files[@]}" 2>/dev/null)

for file in "${files[@]}"; do
	n=$(wc -l <"$file")
	if [ "$n" -gt 1000 ]; then
		echo "$file: $n lines, more than 1000"
		bad=1
	elif [ "$n" -gt 600 ]; then
		echo "remark: $file: $n lines, more than 600"
	fi
done

while read -r complexity _ _ _ _ place name; do
	[ "$complexity" -gt 40 ] || continue
	echo "$place $name(): cyclomatic complexity $complexity, more than 40"
	bad=1
done < <(pmccabe "${files[@]}" 2>/dev/null)
exit "$bad"
