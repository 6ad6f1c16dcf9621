# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the lints share.  Each lint is a script `NAME.sh [ROOT]`: it looks at the tree ROOT (default:
# this repository), prints what is wrong, and exits non-zero if anything is.

lint_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "${1:-$lint_dir/../..}" && pwd)
cd "$root" || exit 2

# Files of the tree that match the patterns; what git would ignore and the lints' own bad examples
# are left out.
tree_files() { # PATTERN...
	if [ -e .git ]; then
		git ls-files --cached --others --exclude-standard -- "$@" | grep -v '^tests/lint/fixtures/'
	else
		local pattern
		for pattern in "$@"; do
			find . -type f -path "./$pattern" -printf '%P\n'
		done
	fi | sort -u | while read -r f; do
		[ ! -f "$f" ] || echo "$f"
	done
}

# Every shell script and bats file, whatever its name.
shell_files() {
	tree_files '*' | while read -r f; do
		case $f in
		*.sh | *.bash | *.bats) echo "$f" ;;
		*.* | */*LICENSE) ;;
		*) head -n 1 "$f" 2>/dev/null | grep -qE '^#!.*\b(ba|da)?sh\b' && echo "$f" ;;
		esac
	done
	return 0
}

# Flags to compile any file of src/ without the build directory.
compile_flags() {
	echo -std=gnu17 -D_GNU_SOURCE '-DWARD_VERSION="0"' -DWARD_LZMA=1 -DWARD_BZIP2=1 -Isrc -Wall -Wextra -Wno-missing-field-initializers
	pkg-config --cflags json-c yaml-0.1 openssl
}
