#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Directories above hidden files and volumes of a workspace, and what is swept there: D17, D21.

load lib/hostile

setup() { hostile_setup; }
teardown() { hostile_teardown; }

@test "D21 a directory above a hidden file cannot be renamed, nor the file read at the next start" {
	local u
	mkdir -p "$WS/sub/deep"
	cp "$SENT/secret" "$WS/sub/deep/key"
	make_box --hide sub/deep/key
	for u in $(users_inside); do
		in_box "$u" sh -c "cat '$WS/sub/deep/key'; mv '$WS/sub' '$WS/other'
			mv '$WS/sub/deep' '$WS/deep'; mkdir -p '$WS/sub/deep'" >"$TEST_DIR/out.$u" 2>&1 || true
		grep -q 'busy' "$TEST_DIR/out.$u"
	done
	ward stop "$BOX"
	for u in $(users_inside); do
		in_box "$u" sh -c "cat '$WS'/*/key '$WS'/*/*/key" >>"$TEST_DIR/out.$u" 2>&1 || true
		assert_no_token "$TEST_DIR/out.$u"
	done
	[ "$(cat "$WS/sub/deep/key")" = "$TOKEN" ]
}

@test "D21 what is hidden is not read at the next start by way of the account files" {
	local user=root
	need_rootfs
	[ "$(id_mode)" != single ] || user=agent
	cp "$SENT/secret" "$WS/key"
	echo seen:x:7: >"$WS/plain"
	ward create -q --name "$BOX" -t "dir:$WARD_ROOTFS" --hide key shell >/dev/null
	in_box "$user" ln -sf "$WS/key" /etc/shadow
	in_box "$user" ln -sf "$WS/plain" /etc/group
	ward stop "$BOX"
	in_box "$user" cat /etc/shadow /etc/group "$WS/key" >"$TEST_DIR/out"
	assert_no_token "$TEST_DIR/out"
	grep -q seen "$TEST_DIR/out" # the positive control
	[ "$(cat "$WS/key")" = "$TOKEN" ]
}

@test "D21 what is hidden is not replaced at the next start by way of the agent's home" {
	local dir
	mkdir -p "$WS/secrets" "$WS/plain" "$XDG_CONFIG_HOME/ward/kits/seed"
	cat >"$XDG_CONFIG_HOME/ward/kits/seed/spec.yaml" <<-'END'
		schemaVersion: "2"
		kind: sandbox
		name: seed
		sandbox:
		  entrypoint: [/bin/sh]
		setup:
		  files:
		    - path: ~/.seed/settings.json
		      content: "{}"
	END
	cp "$SENT/secret" "$WS/secrets/settings.json"
	for dir in plain secrets; do
		ward create -q --name "$dir" -t host --hide secrets seed >/dev/null
		ward exec "$dir" sh -c "rm -rf ~/.seed && ln -s '$WS/$dir' ~/.seed"
		ward stop "$dir"
		ward exec "$dir" true || [ "$dir" = secrets ]
	done
	[ "$(cat "$WS/plain/settings.json")" = "{}" ] # the positive control
	[ "$(cat "$WS/secrets/settings.json")" = "$TOKEN" ]
}

@test "D21 a directory above a read-only volume cannot be replaced" {
	local u
	mkdir -p "$WS/vendor/lib"
	echo original >"$WS/vendor/lib/f"
	make_box -v "$WS/vendor/lib:$WS/vendor/lib:ro"
	for u in $(users_inside); do
		in_box "$u" sh -c "mv '$WS/vendor' '$WS/v2'; mkdir -p '$WS/vendor/lib'
			echo evil >'$WS/vendor/lib/f'" >"$TEST_DIR/out.$u" 2>&1 || true
		grep -q 'busy' "$TEST_DIR/out.$u"
		[ "$(cat "$WS/vendor/lib/f")" = original ]
		[ ! -e "$WS/v2" ]
	done
}

@test "D17 set-id bits are removed below such directories and in volumes, however deep" {
	local deep="$WS/sub/deep" i
	mkdir -p "$deep" "$TEST_DIR/volume"
	echo x >"$deep/key"
	make_box --hide sub/deep/key -v "$TEST_DIR/volume:/volume"
	# shellcheck disable=SC2016 # for the shell inside
	in_box agent sh -c 'for d in "$0" "$0/sub" "$0/sub/deep" /volume; do
			cp /bin/true "$d/suid" && chmod 6755 "$d/suid"
		done
		cd "$0" && for i in $(seq 300); do mkdir d && cd d || exit 1; done
		cp /bin/true suid && chmod 6755 suid' "$WS"
	ward stop "$BOX"
	[ "$(find "$WS" "$TEST_DIR/volume" -name suid | grep -c .)" -eq 5 ]
	[ -z "$(find "$WS" "$TEST_DIR/volume" -name suid -perm /6000)" ]
}
