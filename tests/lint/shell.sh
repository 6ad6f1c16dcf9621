#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Checks every shell script and bats file with shellcheck.
set -uo pipefail
# shellcheck source=tests/lint/lib.bash
. "$(dirname "$0")/lib.bash"

# SC1091: sourced files are checked on their own. In bats files, SC2030/SC2031: every test is a
# subshell; SC2154, SC2034: names are shared with `run` and between files; SC2164: a failing cd fails the test;
# SC2016: single quotes keep text for the shell inside; SC1083, SC2093: exec {fd[n]}<FILE is no exec.
bad=0
mapfile -t scripts < <(shell_files | grep -vE '\.(bats|bash)$')
mapfile -t bats < <(shell_files | grep -E '\.(bats|bash)$') # *.bash is loaded by those
if [ "${#scripts[@]}" -gt 0 ]; then
	shellcheck -x --severity=style --exclude=SC1091,SC2016,SC2015 "${scripts[@]}" || bad=1
fi
if [ "${#bats[@]}" -gt 0 ]; then
	shellcheck --shell=bats --severity=warning --exclude=SC1091,SC2016,SC2015,SC2030,SC2031,SC2154,SC2034,SC2012,SC2164,SC2317,SC1083,SC2093,SC2088,SC2238 "${bats[@]}" || bad=1
fi
exit "$bad"
