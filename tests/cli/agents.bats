#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The built-in kits as a user sees them.

load ../lib/common

setup() {
	common_setup
}

teardown() {
	common_teardown
}

@test "every built-in kit is valid and listed" {
	need jq
	local dir name listed
	listed=$(ward kit ls --json | jq -r '.[].name')
	for dir in "$WARD_REPO"/agents/*/; do
		name=$(basename "$dir")
		run ward kit validate "$name"
		assert_status 0
		grep -qx "$name" <<<"$listed" || fail "not listed: $name"
	done
}

@test "every agent's kit says how to start, reach and install it" {
	need jq
	local name kit
	for name in $(ward kit ls --json | jq -r '.[].name'); do
		kit=$(ward kit inspect "$name" --json)
		jq -e --arg name "$name" '.name == $name and (.entrypoint | length) > 0' <<<"$kit" >/dev/null ||
			fail "$name: name or entrypoint"
		[ "$name" = shell ] || jq -e '(.network_allow | length) > 0 and (.install_hint | length) > 0' \
			<<<"$kit" >/dev/null || fail "$name: hosts or way to install"
	done
}
