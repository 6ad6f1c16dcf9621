#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run every lint, and the test that every lint can fail; the last line is the count.
#
# usage: tests/lint/run.sh [NAME...]
set -uo pipefail
lint_dir=$(cd "$(dirname "$0")" && pwd)

names=("$@")
[ "${#names[@]}" -gt 0 ] || names=(spdx words layering banned length format headers shell cppcheck tidy clang analyzer selftest)
passed=0 failed=0
for name in "${names[@]}"; do
	begin=$SECONDS
	if output=$("$lint_dir/$name.sh" 2>&1); then
		echo "ok $name ($((SECONDS - begin)) s)"
		grep '^remark: ' <<<"$output" || true
		passed=$((passed + 1))
	else
		echo "not ok $name ($((SECONDS - begin)) s)"
		printf '%s\n' "${output:-it said nothing}"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
