#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# cppcheck: warnings, performance and portability. Suppressions are in cppcheck.txt with reasons.
set -uo pipefail
# shellcheck source=tests/lint/lib.bash
. "$(dirname "$0")/lib.bash"

tree_files 'src/*.c' | cppcheck --quiet --std=c11 --language=c -j "$(nproc)" --error-exitcode=1 \
	--enable=warning,performance,portability --inline-suppr \
	--suppressions-list="$lint_dir/cppcheck.txt" \
	-D_GNU_SOURCE -D__GNUC__=12 -D__x86_64__ '-DWARD_VERSION="0"' -Isrc --file-list=- 2>&1
