#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# clang-format 14 with the repository's .clang-format is law.
set -uo pipefail
# shellcheck source=tests/lint/lib.bash
. "$(dirname "$0")/lib.bash"

format=$(command -v clang-format-14 || command -v clang-format) || { echo "no clang-format" && exit 1; }
tree_files 'src/*.c' 'src/*.h' 'tests/*.c' 'bench/*.c' |
	xargs -r -n 20 -P "$(nproc)" "$format" --style="file:$lint_dir/../../.clang-format" --dry-run -Werror
