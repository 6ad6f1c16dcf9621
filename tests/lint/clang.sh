#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Everything builds with clang, too, without a warning.
#
# WARD_LINT_CLANG_BUILD  build directory to use (default: build-clang)
set -uo pipefail
# shellcheck source=tests/lint/lib.bash
. "$(dirname "$0")/lib.bash"

if [ ! -f meson.build ]; then # an example of the self-test
	# shellcheck disable=SC2046 # a list of flags
	tree_files 'src/*.c' | xargs -r clang $(compile_flags) -Wshadow -Werror -fsyntax-only
	exit
fi
build=${WARD_LINT_CLANG_BUILD:-$root/build-clang}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [ ! -f "$build/build.ninja" ]; then
	CC=clang meson setup "$build" -Dwerror=true >"$log" 2>&1 || { cat "$log" && exit 1; }
fi
ninja -C "$build" --quiet >"$log" 2>&1 || { grep -v '^ninja: ' "$log" && exit 1; }
