#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run every fuzz target for a while, with the corpus in the tree as its start.
#
# usage: tests/fuzz/run.sh [SECONDS [NAME...]]       (default: 60 seconds each, all)
# New inputs are kept in build-fuzz/corpus; crashes in build-fuzz/crashes, and the exit status is 1.
set -euo pipefail
repo=$(cd "$(dirname "$0")/../.." && pwd)
build=$repo/build-fuzz
seconds=${1:-60}
[ $# -eq 0 ] || shift

if [ ! -f "$build/build.ninja" ]; then
	CC=clang meson setup "$build" "$repo" -Dfuzzers=true -Db_sanitize=address,undefined -Db_lundef=false \
		--buildtype=debug >/dev/null
fi
names=("$@")
if [ "${#names[@]}" -eq 0 ]; then
	for file in "$repo"/tests/fuzz/*_fuzz.c; do
		name=$(basename "$file" _fuzz.c)
		names+=("$name")
	done
fi
targets=("${names[@]/#/tests/fuzz/}")
ninja -C "$build" --quiet "${targets[@]/%/_fuzz}"
mkdir -p "$build/crashes"
bad=0
for name in "${names[@]}"; do
	mkdir -p "$build/corpus/$name"
	echo "fuzzing $name for $seconds s"
	"$build/tests/fuzz/${name}_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$build/crashes/$name-" "$build/corpus/$name" "$repo/tests/fuzz/corpus/$name" \
		>"$build/$name.log" 2>&1 || {
		echo "$name: a crash: $build/crashes"
		tail -n 40 "$build/$name.log"
		bad=1
	}
	grep -E 'stat::number_of_executed_units|stat::new_units_added' "$build/$name.log" || true
done
exit "$bad"
