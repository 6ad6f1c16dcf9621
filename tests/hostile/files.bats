#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Files and mounts: D01 to D09, D14 to D18.

load lib/hostile

setup() { hostile_setup; }
teardown() { hostile_teardown; }

@test "D01 a file of the host's home is not there" {
	local u
	control plain_box cat "$HOME/.ward-canary"
	grep -qF "$TOKEN" "$TEST_DIR/control"
	make_box
	for u in $(users_inside); do
		in_box "$u" sh -c "cat '$HOME/.ward-canary' '$SENT/secret' /root/.ward-canary;
			find / -xdev -name .ward-canary -exec cat {} +; grep -r token- '$TEST_DIR' | cat" \
			>"$TEST_DIR/out.$u" 2>&1 || true
		[ -s "$TEST_DIR/out.$u" ]
		assert_no_token "$TEST_DIR/out.$u"
	done
	[ "$(cat "$HOME/.ward-canary")" = "$TOKEN" ]
}

@test "D02 no way out through /proc/PID/root, cwd and fd" {
	local u out
	# With one user namespace, root inside looks into every process that it sees.
	control unshare --user --map-root-user "$WS/attack" walk "$SENT/secret"
	grep -q "^found .*$SENT/secret" "$TEST_DIR/control" || skip "the walk finds nothing outside either"
	control plain_box "$WS/attack" init 1
	grep -q 'open root/: ok' "$TEST_DIR/control"
	make_box
	for u in $(users_inside); do
		out=$(in_box "$u" "$WS/attack" walk "$SENT/secret")
		[[ $out == *processes:* ]]
		[[ $out != *found* ]] || { echo "$out" && false; }
		out=$(in_box "$u" "$WS/attack" init 1) && { echo "$out" && false; }
		# What PID 1 is made of: not even its names.
		[ "$(grep -c ': E' <<<"$out")" -eq 20 ] || { echo "$out" && false; }
	done
}

@test "D03 exactly the descriptors 0, 1 and 2, none of the host" {
	local u n inode line
	local -a fd
	for n in $(seq 0 20); do
		exec {fd[n]}<"$SENT/f"
	done
	exec {fd[21]}<"$SENT" {fd[22]}>>"$SENT/log"
	control unshare --user --map-root-user "$WS/attack" fds
	grep -q "$SENT/f" "$TEST_DIR/control"
	make_box
	for u in $(users_inside); do
		in_box "$u" "$WS/attack" fds <"$SENT/f" >"$TEST_DIR/out.$u" 2>"$TEST_DIR/err.$u"
	done
	ward run -q --name other -t host shell -- -c "$WS/attack fds" <"$SENT/f" >>"$TEST_DIR/out.run"
	for n in "${fd[@]}"; do
		exec {n}<&-
	done
	for line in "$TEST_DIR"/out.*; do
		[ "$(cut -d' ' -f2 "$line" | tr '\n' ' ')" = "0 1 2 " ] || { cat "$line" && false; }
		for inode in "$SENT/f" "$SENT" "$SENT/log" "$TEST_DIR/out.agent" "$TEST_DIR/err.agent"; do
			! grep -q "$(stat -c %d:%i "$inode") " "$line" || { cat "$line" && false; }
		done
		refute grep -q "$TEST_DIR/" "$line"
	done
}

@test "D04 a file given as standard input cannot be written or changed" {
	local u before
	cp "$SENT/f" "$SENT/g"
	chmod 444 "$SENT/g"
	# Root writes what it may not; an ordinary user first changes the mode of his own file.
	control sh -c "unshare --user --map-root-user '$WS/attack' reopen <'$SENT/f'"
	[ "$(cat "$SENT/f")" = overwritten ] || skip "the attack does not work without the layer"
	echo sentinel >"$SENT/f"
	chmod 400 "$SENT/f"
	before=$(snapshot "$SENT")
	make_box
	for u in $(users_inside); do
		in_box_i "$u" "$WS/attack" reopen <"$SENT/f" >"$TEST_DIR/out" 2>&1
		in_box_i "$u" sh -c 'echo x >/proc/self/fd/0; chmod 777 /proc/self/fd/0; cat' \
			<"$SENT/g" >"$TEST_DIR/out2" 2>&1 || true
		in_box_i "$u" "$WS/attack" reopen <"$SENT" >"$TEST_DIR/out3" 2>&1 || true
		grep -q sentinel "$TEST_DIR/out2" # the bytes do arrive
		refute grep -q 'host' "$TEST_DIR/out" "$TEST_DIR/out3"
	done
	ward run -q shell -- -c "$WS/attack reopen; cat" <"$SENT/f" >"$TEST_DIR/out" 2>&1 || true
	assert_same_snapshot "$before" "$SENT"
}

@test "D05 earlier bytes of a file given as standard output stay" {
	local u
	echo "earlier" >"$SENT/log"
	control sh -c "unshare --user --map-root-user sh -c ': >/proc/self/fd/1' >>'$SENT/log'"
	[ ! -s "$SENT/log" ]
	echo "earlier" >"$SENT/log"
	make_box
	for u in $(users_inside); do
		in_box "$u" sh -c ': >/proc/self/fd/1; : >/proc/self/fd/2; echo later' \
			>>"$SENT/log" 2>>"$SENT/log" || true
		in_box "$u" "$WS/attack" reopen >>"$SENT/log" 2>&1 || true
	done
	ward run -q shell -- -c ': >/proc/self/fd/1; echo later' >>"$SENT/log" 2>&1 </dev/null || true
	[ "$(head -n 1 "$SENT/log")" = earlier ] || { cat "$SENT/log" && false; }
	[ "$(grep -c later "$SENT/log")" -ge 2 ]
}

@test "D06 a symlink out of the workspace leads nowhere" {
	local u before
	before=$(snapshot "$SENT")
	ln -s "$SENT/f" l
	ln -s ../sentinel d
	control cat l
	make_box
	for u in $(users_inside); do
		refute in_box "$u" sh -c "cat l d/secret" >"$TEST_DIR/out" 2>&1
		assert_no_token "$TEST_DIR/out"
		refute grep -q '^sentinel$' "$TEST_DIR/out"
		in_box "$u" sh -c "echo x >l; ln -s '$SENT' m; echo x >m/new; echo x >d/new" \
			>"$TEST_DIR/out" 2>&1 || true
	done
	assert_same_snapshot "$before" "$SENT"
}

@test "D06 what is copied out of the box is written below its destination only" {
	local before
	before=$(snapshot "$SENT")
	make_box
	mkdir "$TEST_DIR/to"
	in_box agent sh -c "mkdir /tmp/d && ln -s '$SENT' /tmp/d/l && ln -s '$SENT/f' /tmp/d/f"
	ward cp "$BOX:/tmp/d" "$TEST_DIR/to" </dev/null || true
	# The control: there are links now that a naive second copy would follow.
	[ -L "$TEST_DIR/to/d/l" ] || ln -s "$SENT" "$TEST_DIR/to/d/l"
	[ -L "$TEST_DIR/to/d/f" ] || ln -s "$SENT/f" "$TEST_DIR/to/d/f"
	[ "$(cat "$TEST_DIR/to/d/f")" = sentinel ]
	in_box agent sh -c 'rm /tmp/d/*; mkdir /tmp/d/l; echo x >/tmp/d/l/new; echo x >/tmp/d/l/f; echo x >/tmp/d/f'
	ward cp "$BOX:/tmp/d" "$TEST_DIR/to" </dev/null || true
	ward cp "$BOX:/tmp/d/l" "$TEST_DIR/to/d" </dev/null || true
	ward cp "$BOX:/tmp/d/f" "$TEST_DIR/to/d" </dev/null || true
	assert_same_snapshot "$before" "$SENT"
	# And in: a link inside leads nowhere on the host, and what it hides is not read from there.
	in_box agent sh -c "ln -s '$SENT' /tmp/in"
	ward cp "$TEST_DIR/to/d/f" "$BOX:/tmp/in/" </dev/null || true
	ward cp "$BOX:/tmp/in/secret" "$TEST_DIR/got" </dev/null || true
	[ ! -e "$TEST_DIR/got" ]
	assert_same_snapshot "$before" "$SENT"
}

@test "D07 a working directory that is a symlink out of the workspace" {
	local before u as
	before=$(snapshot "$SENT")
	ln -s "$SENT" sub
	control sh -c 'cd sub && cat secret'
	make_box
	for u in $(users_inside); do
		as=()
		[ "$u" = agent ] || as=(-u "$u")
		run ward exec "${as[@]}" -w "$WS/sub" "$BOX" sh -c 'cat secret; echo x >new'
		[ "$status" -ne 0 ] || { echo "$output" && false; }
		[[ $output != *"$TOKEN"* ]]
		run ward exec "${as[@]}" -w /proc/self/fd/3 "$BOX" pwd
		[ "$status" -ne 0 ]
		run ward exec "${as[@]}" -w /proc/1/cwd "$BOX" pwd
		[ "$status" -ne 0 ]
	done
	run ward run -q -w "$WS/sub" shell -- -c 'echo x >new'
	[ "$status" -ne 0 ] || { echo "$output" && false; }
	assert_same_snapshot "$before" "$SENT"
}

@test "D08 a volume's source that changes into a symlink meanwhile" {
	local i before pid made=0
	mkdir "$WS/v" "$TEST_DIR/lured"
	ln -s "$TEST_DIR/lured" "$WS/link"
	"$WS/attack" swap "$WS/v" "$WS/link" "$TEST_DIR/stop" >"$TEST_DIR/swapped" &
	pid=$!
	# A naive program follows what is there at the moment.
	for ((i = 0; i < 5000; i++)); do
		echo x >"$WS/v/naive" 2>/dev/null || true
		[ ! -e "$TEST_DIR/lured/naive" ] || break
	done
	if [ ! -e "$TEST_DIR/lured/naive" ]; then
		touch "$TEST_DIR/stop"
		skip "the race is not won by a naive program either"
	fi
	rm "$TEST_DIR/lured/naive"
	before=$(snapshot "$TEST_DIR/lured")
	for ((i = 0; i < 30; i++)); do
		if ward run -q --rm --name "race$i" -t host -v "$WS/v:/mnt/v" shell -- \
			-c "echo x >/mnt/v/run$i" >"$TEST_DIR/out" 2>&1 </dev/null; then
			made=$((made + 1))
		else
			grep -q '^ward: ' "$TEST_DIR/out" || { cat "$TEST_DIR/out" && false; }
			tail -n 2 "$TEST_DIR/out" >"$TEST_DIR/refusal"
		fi
	done
	touch "$TEST_DIR/stop"
	wait "$pid"
	echo "bound $made of 30 times"
	cat "$TEST_DIR/refusal" || true
	assert_same_snapshot "$before" "$TEST_DIR/lured"
}

@test "D08 a volume's source with a link of the workspace on its way" {
	local before source
	mkdir -p "$SENT/sub" "$WS/good/sub"
	before=$(snapshot "$SENT")
	ln -s "$SENT" "$WS/a"
	ln -s ../sentinel/sub "$WS/good/b"
	control sh -c "cd '$WS/a/sub' && pwd -P | grep -q sentinel"
	for source in "$WS/a" "$WS/a/" "$WS/a/sub" "$WS/a/f" "$WS/good/b" "$WS/good/b/" "$WS/good/../a/sub" \
		"$WS/./a/sub"; do
		run ward run -q --rm -t host -v "$source:/mnt/v" shell -- -c 'echo x >/mnt/v/new; echo x >/mnt/v' </dev/null
		[ "$status" -ne 0 ] || { echo "$source" && false; }
		assert_output_has "symbolic link"
	done
	ward run -q --rm -t host -v "$WS/good/sub/:/mnt/v" shell -- -c 'echo x >/mnt/v/new' </dev/null
	[ -e "$WS/good/sub/new" ]
	assert_same_snapshot "$before" "$SENT"
}

# A root file system of one program.
tiny_rootfs() { # DIR
	mkdir -p "$1/bin" "$1/etc" "$1/usr/bin"
	cp "$ATTACK_DIR/attack" "$1/bin/attack"
	cp "$ATTACK_DIR/attack" "$1/bin/sh"
	printf 'root:x:0:0::/root:/bin/sh\nagent:x:1000:1000::/home/agent:/bin/sh\n' >"$1/etc/passwd"
	printf 'root:x:0:\nagent:x:1000:\n' >"$1/etc/group"
}

@test "D09 mount points that are symlinks in the image" {
	local case before dir n=0
	before=$(snapshot "$SENT")
	for case in dev proc sys tmp run home etc/resolv.conf etc/hosts etc/passwd etc/group dev/null \
		dev/pts dev/shm proc/sys root mnt usr; do
		dir=$TEST_DIR/rootfs.$((n += 1))
		tiny_rootfs "$dir"
		rm -rf "${dir:?}/$case"
		mkdir -p "$dir/$(dirname "$case")"
		case $case in
		etc/*) ln -s "$SENT/secret" "$dir/$case" ;;
		dev/null) ln -s /proc/sys/kernel/core_pattern "$dir/$case" ;;
		*) ln -s "$SENT" "$dir/$case" ;;
		esac
		if ward create -q --name "box$n" -t "dir:$dir" shell >"$TEST_DIR/out" 2>&1 </dev/null &&
			ward exec "box$n" /bin/attack is-device /dev/null 1:3 >"$TEST_DIR/out" 2>&1 </dev/null; then
			ward exec "box$n" /bin/attack masks >"$TEST_DIR/out" 2>&1 </dev/null || true
			assert_no_token "$TEST_DIR/out"
			refute grep -q '^read /proc/kcore: content' "$TEST_DIR/out"
			echo "$case: contained"
		else
			grep -q '^ward: ' "$TEST_DIR/out" || { echo "$case:" && cat "$TEST_DIR/out" && false; }
			echo "$case: refused: $(head -n 1 "$TEST_DIR/out")"
		fi
		assert_same_snapshot "$before" "$SENT"
		ward rm -f "box$n" >/dev/null 2>&1 </dev/null || true
		rm -rf "$dir"
	done
	# The control: whoever writes by path follows the link.
	tiny_rootfs "$TEST_DIR/rootfs.c"
	ln -sf "$SENT/secret" "$TEST_DIR/rootfs.c/etc/hosts"
	echo naive >"$TEST_DIR/rootfs.c/etc/hosts"
	[ "$(cat "$SENT/secret")" = naive ]
}

@test "D14 no mount, umount or remount from inside" {
	local u out init before
	control plain_box "$WS/attack" mounts
	grep -q 'mount tmpfs: ok' "$TEST_DIR/control"
	make_box
	in_box agent true
	init=$(box_init)
	before=$(sha256sum <"/proc/$init/mountinfo")
	for u in $(users_inside); do
		out=$(in_box "$u" "$WS/attack" mounts "$SENT/secret") || true
		# chroot(2) alone is allowed to root; it must not lead out.
		! grep -v '^chroot' <<<"$out" | grep ': ok' || { echo "$out" && false; }
		[[ $out != *found* ]]
		[ "$(grep -c ': EPERM' <<<"$out")" -ge 17 ] || { echo "$out" && false; }
	done
	[ "$(sha256sum <"/proc/$init/mountinfo")" = "$before" ]
}

@test "D15 the kernel's files are masked or read-only" {
	local u out pattern modprobe name
	pattern=$(cat /proc/sys/kernel/core_pattern)
	modprobe=$(cat /proc/sys/kernel/modprobe 2>/dev/null || true)
	name=$(cat /proc/sys/kernel/hostname)
	if [ "$(id -u)" -ne 0 ]; then
		control sh -c "grep -q . /proc/keys && '$WS/attack' masks"
		grep -q 'read /proc/keys: content' "$TEST_DIR/control"
	fi
	make_box
	for u in $(users_inside); do
		out=$(in_box "$u" "$WS/attack" masks)
		! grep '^read .*: content' <<<"$out" || { echo "$out" && false; }
		! grep '^write .*: ok' <<<"$out" || { echo "$out" && false; }
		[ "$(grep -c '^write' <<<"$out")" -eq 11 ]
	done
	[ "$(cat /proc/sys/kernel/core_pattern)" = "$pattern" ]
	[ "$(cat /proc/sys/kernel/modprobe 2>/dev/null || true)" = "$modprobe" ]
	[ "$(cat /proc/sys/kernel/hostname)" = "$name" ]
}

@test "D16 no device nodes, and /dev holds what it should" {
	local u out path
	if [ "$(id -u)" -eq 0 ]; then
		mkdir "$TEST_DIR/dev"
		control "$WS/attack" nodes "$TEST_DIR/dev"
	fi
	make_box
	for u in $(users_inside); do
		for path in /tmp "$WS" /dev /dev/shm; do
			out=$(in_box "$u" "$WS/attack" nodes "$path") && { echo "$out" && false; }
			! grep -E '^(mknod|open).*: ok' <<<"$out" || { echo "$out" && false; }
		done
		# The control inside: making nodes as such works.
		grep -q 'mkfifo: ok' < <(in_box "$u" "$WS/attack" nodes /tmp)
		[ "$(in_box "$u" sh -c 'cd /dev && ls -A' | LC_ALL=C sort | tr '\n' ' ')" = \
			"$(tr '\n' ' ' <"$BATS_TEST_DIRNAME/golden/dev")" ]
	done
	[ -z "$(find "$WS" -type b -o -type c)" ]
}

@test "D17 a setuid program in the workspace gives nothing, and does not outlive the box" {
	local out
	[ "$(id_mode)" = single ] || make_rootfs_box
	[ "$(id_mode)" != single ] || make_box
	if [ "$(id_mode)" != single ]; then
		# Elsewhere in the box setuid works, or sudo would not.
		in_box root sh -c "cp '$WS/attack' /usr/local/su && chmod 6755 /usr/local/su"
		control in_box agent /usr/local/su caps
		grep -q 'uid 1000 euid 0' "$TEST_DIR/control"
		in_box root sh -c "cp '$WS/attack' '$WS/su' && chmod 6755 '$WS/su'"
		out=$(in_box agent "$WS/su" caps)
		grep -q 'uid 1000 euid 1000' <<<"$out" || { echo "$out" && false; }
	fi
	in_box agent sh -c "cp '$WS/attack' '$WS/mine' && chmod 6755 '$WS/mine'"
	run ward stop "$BOX"
	assert_status 0
	echo "$output"
	[ -z "$(find "$WS" -perm /6000)" ] || { find "$WS" -perm /6000 -ls && false; }
}

@test "D18 files made in the workspace belong to the user and can be removed" {
	make_box
	in_box agent sh -c 'mkdir -p made/by/agent && echo x >made/by/agent/f && ln made/by/agent/f made/h'
	[ -z "$(find made ! -user "$(id -un)")" ]
	rm -r made
	if [ "$(id_mode)" = single ]; then
		in_box agent sh -c 'touch g && chown 1234:1234 g && chown -R 33 attack'
		[ -z "$(find . ! -user "$(id -un)")" ] || { ls -ln && false; }
	else
		in_box root sh -c 'echo x >by-root && chown 1234:1234 by-root'
		# Not one of the host's ids, and the directory is the user's.
		[ "$(stat -c %u by-root)" -ge 65536 ] || [ "$(stat -c %u by-root)" -eq "$(id -u)" ]
	fi
	rm -rf "${WS:?}"/*
	[ -z "$(ls -A "$WS")" ]
}
