#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# clang-tidy: patterns that are nearly always bugs.
set -uo pipefail
# shellcheck source=tests/lint/lib.bash
. "$(dirname "$0")/lib.bash"

checks='-*,bugprone-*,cert-env33-c,cert-err34-c,cert-fio38-c,cert-flp30-c,cert-msc30-c,cert-msc32-c,cert-pos44-c'
# Matters of taste, or contrary to the house style.
checks+=',-bugprone-easily-swappable-parameters,-bugprone-narrowing-conversions,-bugprone-reserved-identifier'
checks+=',-bugprone-macro-parentheses,-bugprone-assignment-in-if-condition,-bugprone-implicit-widening-of-multiplication-result'
checks+=',-bugprone-sizeof-expression,-bugprone-branch-clone,-bugprone-suspicious-string-compare,-bugprone-signal-handler'
checks+=',-bugprone-not-null-terminated-result'
FLAGS=$(compile_flags | tr '\n' ' ')
export checks FLAGS
# The flags are words without blanks.
# shellcheck disable=SC2016 # expanded there
tree_files 'src/*.c' | xargs -r -n 4 -P "$(nproc)" sh -fc '
	out=$(clang-tidy --quiet --warnings-as-errors="*" --checks="$checks" "$@" -- $FLAGS 2>/dev/null) ||
		{ printf "%s\n" "$out" | grep -E "(warning|error):"; exit 1; }
' sh
