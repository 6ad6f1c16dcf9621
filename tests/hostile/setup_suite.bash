# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Build the attackers once for all files of this directory, into a directory that others can read.

setup_suite() {
	local src cc=${CC:-cc}
	src=$(dirname "${BASH_SOURCE[0]}")/src
	chmod 0755 "$BATS_RUN_TMPDIR"
	ATTACK_DIR=$BATS_RUN_TMPDIR/attackers
	mkdir "$ATTACK_DIR"
	export ATTACK_DIR
	command -v "$cc" >/dev/null || return 0
	"$cc" -std=gnu17 -O1 -D_GNU_SOURCE -static -o "$ATTACK_DIR/attack" \
		"$src"/{attack,calls,processes,files,devices}.c
	"$cc" -std=gnu17 -O1 -D_GNU_SOURCE -o "$ATTACK_DIR/attack-dynamic" \
		"$src"/{attack,calls,processes,files,devices}.c
	# Not every machine has a 32-bit assembler.
	"$cc" -m32 -O1 -static -nostdlib -ffreestanding -fno-stack-protector -fno-pie -no-pie \
		-fcf-protection=none -o "$ATTACK_DIR/ia32" "$src/ia32.c" 2>/dev/null || true
	if [ -f "${WARD_FIXTURES:-/nonexistent}/sysprobe.c" ]; then
		"$cc" -static -O1 -w -o "$ATTACK_DIR/sysprobe" "$WARD_FIXTURES/sysprobe.c"
	fi
	chmod -R a+rX "$ATTACK_DIR"
}
