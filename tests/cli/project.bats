#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the project promises about itself: the README's lines work, an installation is complete, the
# documents speak of what is there, the lints can fail and the counting is honest.

load ../lib/common

setup() {
	common_setup
}

teardown() {
	common_teardown
}

# The README's console blocks as a script of pairs: "C command", then "O line" for expected output.
readme_lines() {
	awk '/^```console$/ { on = 1; next }
		/^```/ { on = 0 }
		on && /^\$ / { print "C " substr($0, 3); next }
		on { print "O " $0 }' "$WARD_REPO/README.md"
}

@test "every console line of the README works and prints what it says" {
	local kind text command="" expected="" have_expected=0 ran=0
	mkdir "$TEST_DIR/project"
	cd "$TEST_DIR/project"
	# The company's proxy of one of them.
	python3 "$WARD_REPO/tests/lib/company_proxy.py" 8118 >"$TEST_DIR/company.log" 3>&- &
	local company=$!
	wait_for grep -q ready "$TEST_DIR/company.log"

	check() {
		[ -n "$command" ] || return 0
		ran=$((ran + 1))
		local got
		got=$(bash -c "$command" 2>"$TEST_DIR/stderr" </dev/null) || {
			echo "failed: $command"
			cat "$TEST_DIR/stderr"
			return 1
		}
		[ "$have_expected" -eq 0 ] || assert_equal "$got" "$expected" || {
			echo "of: $command"
			cat "$TEST_DIR/stderr"
			return 1
		}
	}
	while IFS=' ' read -r kind text; do
		if [ "$kind" = C ]; then
			check
			command=$text expected="" have_expected=0
		elif [ "$have_expected" -eq 1 ]; then
			expected+=$'\n'$text
		else
			expected=$text have_expected=1
		fi
	done < <(readme_lines)
	check
	kill "$company"
	[ "$ran" -ge 10 ]
	grep -qx 'GET http://github.com/' "$TEST_DIR/company.log"
}

@test "the README's two commands are targets of the Makefile" {
	local command
	for command in "make run" "make test"; do
		grep -qx "    $command" "$WARD_REPO/README.md"
		grep -qE "^${command#make }:" "$WARD_REPO/Makefile"
	done
}

@test "files that the documents name exist" {
	local doc name missing=0
	for doc in README.md CONTRIBUTING.md docs/architecture.md; do
		while read -r name; do
			compgen -G "$WARD_REPO/$name" >/dev/null || {
				echo "$doc: $name does not exist"
				missing=1
			}
		done < <(grep -oE '\b(src|tests|docs|packaging|agents)/[A-Za-z0-9_./*-]*[A-Za-z0-9]' "$WARD_REPO/$doc" |
			grep -vE 'NAME|FOLDER' | sort -u)
	done
	[ "$missing" -eq 0 ]
}

@test "the architecture page has every folder of src" {
	local dir
	for dir in "$WARD_REPO"/src/*/; do
		compgen -G "$dir*.h" >/dev/null || continue
		grep -qF "\`$(basename "$dir")/\`" "$WARD_REPO/docs/architecture.md"
	done
}

@test "an installation is complete" {
	local prefix
	prefix=$(cd "$(dirname "$WARD")/.." && pwd)
	[ -d "$prefix/bin" ]
	[ "$(basename "$(dirname "$WARD")")" = bin ] || skip "WARD is not an installed program"
	[ -x "$prefix/bin/ward" ]
	[ -x "$prefix/libexec/ward/ward-init" ]
	[ -x "$prefix/libexec/ward/ward-proxy" ]
	[ -L "$prefix/lib/docker/cli-plugins/docker-sandbox" ]
	[ -f "$prefix/share/man/man1/ward.1" ]
	[ -f "$prefix/share/man/man1/ward-run.1" ]
	[ -f "$prefix/share/bash-completion/completions/ward.bash" ]
	[ -f "$prefix/share/zsh/site-functions/_ward" ]
	[ -f "$prefix/share/fish/vendor_completions.d/ward.fish" ]
	# Nothing installed is writable by others, nothing is setuid.
	run find "$prefix" \( -perm /022 -o -perm /6000 \) ! -type l
	assert_equal "$output" ""
	run file "$prefix/libexec/ward/ward-init"
	[[ $output == *static* ]]
}

@test "the installed plugin answers the Docker CLI" {
	local plugin
	plugin=$(cd "$(dirname "$WARD")/.." && pwd)/lib/docker/cli-plugins/docker-sandbox
	[ -x "$plugin" ] || skip "WARD is not an installed program"
	run "$plugin" docker-cli-plugin-metadata
	assert_status 0
	assert_equal "$(jq -r .SchemaVersion <<<"$output")" 0.1.0
	run "$plugin" sandbox version
	assert_status 0
}

@test "the version is the same everywhere" {
	local version
	version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" "$WARD_REPO/meson.build")
	[ -n "$version" ]
	run ward version
	assert_output_has "$version"
	grep -qF "## $version" "$WARD_REPO/NEWS.md"
}

@test "installed executables are hardened" {
	need readelf
	local prefix exe
	prefix=$(cd "$(dirname "$WARD")/.." && pwd)
	for exe in "$prefix/bin/ward" "$prefix/libexec/ward/ward-proxy" "$prefix/libexec/ward/ward-init"; do
		[ -x "$exe" ] || skip "WARD is not an installed program"
		run readelf -Wlhd "$exe"
		assert_output_has "DYN "
		assert_output_has GNU_RELRO
		[[ $output != *"GNU_STACK"*"RWE"* ]]
	done
}

@test "every lint can fail" {
	need clang clang-format-14 clang-tidy cppcheck ctags pmccabe shellcheck gcc
	run "$WARD_REPO/tests/lint/selftest.sh"
	assert_equal "$output" ""
	assert_status 0
}

count() {
	python3 "$WARD_REPO/tests/lib/count.py" "$@"
}

@test "a failed test, a missing test and a dead runner are failures" {
	printf '1..2\nok 1 a\nok 2 b\n' >good
	run count tap s good 0
	assert_status 0
	assert_equal "$output" "s: 2 passed, 0 failed, 0 skipped"
	run count tap s good 1
	assert_status 1
	assert_output_has "1 failed"
	printf '1..2\nok 1 a\nnot ok 2 b\n# why\n' >bad
	run count tap s bad 1
	assert_status 1
	assert_output_has "1 passed, 1 failed"
	assert_output_has "# why"
	printf '1..2\nok 1 a\n' >short
	run count tap s short 0
	assert_status 1
	: >empty
	run count tap s empty 0
	assert_status 1
}

@test "a skip that nobody listed is a failure where the list counts" {
	printf '1..2\nok 1 a\nok 2 b # skip no moon\n' >log
	run count tap s log 0
	assert_status 0
	assert_output_has "1 passed, 0 failed, 1 skipped"
	printf '# comment\n# skip no moon$\tit is day\n' >list
	run count tap s log 0 list
	assert_status 1
	printf '^s: b # skip no moon$\tit is day\n' >list
	run count tap s log 0 list
	assert_status 0
}

@test "a sum without a single pass is a failure" {
	printf 'a: 2 passed, 0 failed, 1 skipped\nnoise\nb: 3 passed, 0 failed, 0 skipped\n' >log
	run count sum log
	assert_status 0
	assert_equal "$output" "5 passed, 0 failed, 1 skipped"
	printf 'a: 0 passed, 0 failed, 1 skipped\n' >log
	run count sum log
	assert_status 1
	printf 'a: 5 passed, 1 failed, 0 skipped\n' >log
	run count sum log
	assert_status 1
}

@test "deps asks nothing when everything is there" {
	local deps="$WARD_REPO/packaging/deps.sh"
	need dpkg-query
	run "$deps" missing build run
	assert_status 0
	[ -z "$output" ] || skip "packages are missing here"
	# Neither sudo nor apt-get can be found, and neither is wanted.
	mkdir bin
	local tool
	for tool in bash env sort dpkg-query cat tr id; do
		ln -s "$(command -v "$tool")" bin/
	done
	run env PATH="$TEST_DIR/bin" "$deps" install build run
	assert_status 0
	assert_equal "$output" ""
}

@test "deps refuses a set that it does not know" {
	run "$WARD_REPO/packaging/deps.sh" list nonsense
	[ "$status" -ne 0 ]
	assert_output_has nonsense
}
