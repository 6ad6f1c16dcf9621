#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every header can be included first and alone, and has a guard with the name of its path.
set -uo pipefail
# shellcheck source=tests/lint/lib.bash
. "$(dirname "$0")/lib.bash"

bad=0
mapfile -t flags < <(compile_flags | xargs -n 1)
while read -r header; do
	out=$(printf '#include "%s"\n' "${header#src/}" | gcc "${flags[@]}" -Werror -fsyntax-only -x c - 2>&1) ||
		{ echo "$header: cannot be included alone" && echo "$out" && bad=1; }
	guard=WARD_$(echo "${header#src/}" | tr 'a-z/.-' 'A-Z___')
	grep -q "^#ifndef $guard\$" "$header" || { echo "$header: no include guard $guard" && bad=1; }
done < <(tree_files 'src/*.h')
exit "$bad"
