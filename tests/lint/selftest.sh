#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every lint can fail: run on its bad example, fixtures/NAME, it must complain, and name the file.
set -uo pipefail
lint_dir=$(cd "$(dirname "$0")" && pwd)

bad=0
for script in "$lint_dir"/*.sh; do
	name=$(basename "$script" .sh)
	case $name in run | selftest) continue ;; esac
	if [ ! -d "$lint_dir/fixtures/$name" ]; then
		echo "$name: no bad example in fixtures/$name"
		bad=1
		continue
	fi
	copy=$(mktemp -d)
	cp -r "$lint_dir/fixtures/$name/." "$copy"
	# The examples end in .bad so that nobody takes them for part of the project.
	find "$copy" -name '*.bad' -exec sh -c 'mv "$1" "${1%.bad}"' sh {} \;
	if output=$("$script" "$copy" 2>&1); then
		echo "$name: does not complain about its bad example"
		bad=1
	elif [[ $output != *bad* ]]; then
		echo "$name: failed without naming the bad file:"
		echo "$output"
		bad=1
	fi
	rm -rf "$copy"
done
exit "$bad"
