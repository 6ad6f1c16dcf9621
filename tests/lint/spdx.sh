#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every source file names its licence in its first three lines; every C file has a file comment.
set -uo pipefail
# shellcheck source=tests/lint/lib.bash
. "$(dirname "$0")/lib.bash"

bad=0
while read -r file; do
	head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' ||
		{ echo "$file: no SPDX-License-Identifier line" && bad=1; }
done < <(
	tree_files '*.c' '*.h' '*.py' '*.yaml' '*meson.build' '*Makefile'
	shell_files
)
while read -r file; do
	[ "$(sed -n 1p "$file")" = '/* SPDX-License-Identifier: Apache-2.0 */' ] ||
		{ echo "$file:1: the licence line comes first" && bad=1; }
	[[ $(sed -n 2p "$file") == '/*'* ]] || { echo "$file:2: no file comment" && bad=1; }
done < <(tree_files 'src/*.c' 'src/*.h' 'tests/*.c' 'bench/*.c')
exit "$bad"
