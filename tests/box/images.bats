#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Templates that are images: what the box shows of them, what of their configuration counts, and that
# hostile ones reach nothing and leave nothing.

bats_require_minimum_version 1.5.0

load ../lib/common
load ../lib/cli

setup() {
	common_setup
	need busybox umoci
	STORE="$XDG_DATA_HOME/ward/templates"
	mkdir project images
	cd project
}

teardown() {
	common_teardown
}

layers() {
	python3 "$WARD_REPO/tests/lib/mklayers.py" "$@"
}

# image NAME [OPTION...] LAYER...: an OCI layout in images/NAME.
image() {
	local name=$1
	shift
	python3 "$WARD_REPO/tests/lib/mkimage.py" "$TEST_DIR/images/$name" latest "$@"
}

# A root file system of busybox in images/small.tar.
small() {
	layers small "$TEST_DIR/small.tar"
	image small "$TEST_DIR/small.tar" "$@" >/dev/null
}

need_rootfs_tar() {
	[ -f "${WARD_ROOTFS_TAR:-/nonexistent}" ] || skip "no root file system (WARD_ROOTFS)"
}

one_id() {
	[ "$(id -u)" -ne 0 ] && ! grep -q "^$(id -un):" /etc/subuid
}

# Unpacked layers, and what is no complete one.
unpacked() {
	find "$STORE/layers" -mindepth 2 -maxdepth 2 2>/dev/null
}

# Nothing in the store is half there: every layer has its name, nothing is on its way.
assert_store_whole() {
	local entry
	for entry in $(unpacked); do
		[[ "${entry##*/}" =~ ^[0-9a-f]{64}$ ]] || fail "left in the store: $entry" || return 1
		[ -f "$entry/layer.json" ] && [ -d "$entry/fs" ] || fail "half a layer: $entry" || return 1
	done
	assert_blobs_whole
}

@test "an image: its programs, its environment below everybody's, and nothing of the host's" {
	export HOST_SECRET=leaked
	small --config '{"config": {"Env": ["FROM_IMAGE=yes", "HOST_SECRET", "A=b=c", "MINE=image", "HOME=/nowhere",
		"HTTP_PROXY=http://192.0.2.1", "PATH=/opt/image:/usr/bin:/bin"], "WorkingDir": "/var/lib",
		"User": "nobody", "Entrypoint": ["/bin/false"], "Labels": {"x": "--privileged"},
		"ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}}}'
	ward run -q -e MINE=user -t "oci:$TEST_DIR/images/small" shell -- -c 'id -un; pwd; env' >out
	# It is listed under the name that it is asked for by.
	run ward template ls
	assert_output_has "oci:$TEST_DIR/images/small "
	assert_equal "$(sed -n 2p out)" "$PWD"
	grep -x FROM_IMAGE=yes out
	grep -x A=b=c out
	grep -x MINE=user out
	grep -x HOME=/home/agent out
	grep -x HTTP_PROXY=http://127.0.0.1:3128 out
	# The image's own come first; the usual ones that it lacks behind them, so that a shell is always found.
	grep -x PATH=/home/agent/.local/bin:/run/ward/bin:/opt/image:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin out
	refute grep HOST_SECRET out
	one_id || assert_equal "$(sed -n 1p out)" agent
	# The control: a variable that is given by name does come in.
	assert_equal "$(ward run -q -e HOST_SECRET shell -- -c 'echo $HOST_SECRET')" leaked
	# The image asked for a volume and a port; there is neither.
	refute ward exec "$(ward ls -q)" test -e /data
}

@test "layers on layers: removed, replaced, opaque" {
	small
	layers changes "$TEST_DIR"/{1,2,3}.tar
	image big --gzip "$TEST_DIR"/{small,1,2,3}.tar >/dev/null
	ward run -q -t "oci:$TEST_DIR/images/big" shell -- -c '
		cd /t && ls -d gone removed 2>/dev/null; ls opaque; cat replaced/below file-over-dir back dir-over-link/z
		echo; ls dir-over-link; readlink link-over-dir; stat -c "%a" .; stat -c "%a %h" hard1 hard2 hard3' >out
	assert_equal "$(cat out)" "$(printf '%s\n' new newer twotwothreethree z kept 751 '644 3' '644 3' '644 3')"
}

# What Ward itself writes into a box, mounts over it, or fills in; of a directory ("-") only the time.
OWN=(dev proc sys run tmp home etc/apt/apt.conf.d/90ward-proxy etc/apt/apt.conf.d/90ward-sandbox etc/bash.bashrc
	etc/debian_chroot etc/group etc/hostname etc/hosts etc/localtime etc/passwd etc/profile.d/ward.sh etc/resolv.conf
	etc/sandbox-persistent.sh etc/shadow etc/sudoers.d -. -etc -etc/apt/apt.conf.d -etc/profile.d
	-var/tmp)

# umoci_tree LAYOUT ARG...: what umoci unpacks, listed by tree.py.
umoci_tree() {
	local at="$TEST_DIR/umoci" as=() how=()
	case $(id_mode) in
	single) how=(--rootless) ;;
	range)
		# Root of that namespace is somebody else.
		chmod 0755 "$TEST_DIR"
		mkdir -m 0777 "$TEST_DIR/theirs"
		at="$TEST_DIR/theirs/umoci" as=(mmdebstrap --unshare-helper)
		;;
	esac
	"${as[@]}" umoci unpack "${how[@]}" --image "$1:latest" "$at" >/dev/null
	"${as[@]}" python3 tree.py "$at/rootfs" "${@:2}"
}

# assert_same_tree LAYOUT LINES: names, types, modes, owners, links, times, attributes and contents that a box
# shows of an image are those that umoci unpacks, in so many lines at least.  Leaves a box of the image.
assert_same_tree() {
	local args=("${OWN[@]}")
	# Below one id every owner is the same, and outside what nobody may read is not read.
	one_id && args+=(--no-owners t/closed)
	cp "$WARD_REPO/tests/lib/tree.py" .
	ward run -q -t "oci:$1" shell -- -c true
	# Whose attributes and modes one id may not read, root inside may.
	ward exec -u root "$(ward ls -q)" python3 "$PWD/tree.py" / "${args[@]}" >inside
	umoci_tree "$1" "${args[@]}" >outside
	[ "$(wc -l <outside)" -gt "$2" ]
	diff outside inside
	assert_store_whole
	# Each layer in little memory.
	local peak
	peak=$(cat "$STORE"/layers/*/*/layer.json | jq -s 'map(.memory_kib) | max')
	echo "peak $peak KiB"
	[ "$peak" -lt 65536 ]
}

@test "a whole distribution that was changed in every way: its tree is the one that umoci unpacks" {
	need jq
	# The user with a range compares it, in CI; everybody with WARD_LARGE_IMAGE, a layout with the tag latest.
	local large=${WARD_LARGE_IMAGE:-}
	if [ -z "$large" ]; then
		[ "$(id_mode)" = range ] || skip "one user compares the large tree"
		need_rootfs_tar
		large="$TEST_DIR/images/large"
		layers changes "$TEST_DIR"/{1,2,3}.tar
		python3 "$WARD_REPO/tests/lib/mklarge.py" - "$WARD_ROOTFS_TAR" "$large" "$TEST_DIR"/{1,2,3}.tar
	fi
	assert_same_tree "$large" 8000
}

@test "a whole distribution: its tree is the one that umoci unpacks, and sudo apt-get works in it" {
	need_rootfs_tar
	need jq
	layers changes "$TEST_DIR"/{1,2,3}.tar
	image real --gzip "$WARD_ROOTFS_TAR" "$TEST_DIR"/{1,2,3}.tar >/dev/null
	assert_same_tree "$TEST_DIR/images/real" 8000

	# Where there is one id there is no root to become.
	if one_id; then return 0; fi
	ward run -q shell -- -c 'sudo apt-get update -q && sudo apt-get install -q -y hello' >log 2>&1 ||
		fail "$(cat log)"
	run ward run -q shell -- -c hello
	assert_output_has "Hello, world!"
	# The layers did not change.
	[ -z "$(find "$STORE"/layers/*/*/fs/usr/bin -name hello)" ]
}

@test "archives: what skopeo and docker save write, compressed or not" {
	small --docker "$TEST_DIR/saved.tar"
	tar -C "$TEST_DIR/images/small" -cf "$TEST_DIR/oci.tar" .
	gzip -k "$TEST_DIR/saved.tar"
	local t
	for t in "oci-archive:$TEST_DIR/oci.tar" "docker-archive:$TEST_DIR/saved.tar" \
		"docker-archive:$TEST_DIR/saved.tar.gz" "oci:$TEST_DIR/images/small:latest"; do
		run ward run -q --rm -t "$t" shell -- -c 'echo from image'
		assert_status 0
		assert_equal "$output" "from image"
	done
	# The same layers: one unpacked directory.
	assert_equal "$(unpacked | wc -l)" 1
	assert_store_whole
}

@test "template load and save: an image travels by file and keeps its digest" {
	small --docker "$TEST_DIR/saved.tar"
	tar -C "$TEST_DIR/images/small" -cf "$TEST_DIR/oci.tar" .
	# Its tag alone is no name.
	run ward template load -i "$TEST_DIR/oci.tar"
	assert_status 2
	assert_output_has "hint: give it a name: ward template load -i FILE NAME"
	run ward template load -i "$TEST_DIR/oci.tar" example.com/small:1
	assert_status 0
	assert_equal "$output" example.com/small:1
	local digest
	digest=$(ward template inspect example.com/small:1 | jq -r '.[0].digest')
	assert_equal "$digest" "$(jq -r '.manifests[0].digest' "$TEST_DIR/images/small/index.json")"
	run ward run -q --rm --pull-template never -t example.com/small:1 shell -- -c 'echo ran'
	assert_equal "$output" ran

	ward template save -o "$TEST_DIR/out.tar" example.com/small:1
	ward template save -o - example.com/small:1 | cmp - "$TEST_DIR/out.tar"
	mkdir "$TEST_DIR/layout"
	tar -C "$TEST_DIR/layout" -xf "$TEST_DIR/out.tar"
	umoci unpack --rootless --image "$TEST_DIR/layout:1" "$TEST_DIR/unpacked" >/dev/null
	[ -x "$TEST_DIR/unpacked/rootfs/bin/busybox" ]
	# On another machine, under its own name.
	XDG_DATA_HOME="$TEST_DIR/other" run ward template load -i "$TEST_DIR/out.tar"
	assert_equal "$output" example.com/small:1
	assert_equal "$(XDG_DATA_HOME="$TEST_DIR/other" ward template inspect example.com/small:1 |
		jq -r '.[0].digest')" "$digest"
	# What docker save wrote names itself.
	run ward template load -i "$TEST_DIR/saved.tar"
	assert_equal "$output" docker.io/library/test:latest
	run ward template load -i /etc/passwd x:y
	assert_status 125
	[ ! -e "$TEST_DIR/out.tar.part" ]
	assert_store_whole
}

@test "a tag that moves does not move the sandbox" {
	small
	layers file "$TEST_DIR/v1.tar" v=1
	layers file "$TEST_DIR/v2.tar" v=2
	image moving "$TEST_DIR"/{small,v1}.tar >/dev/null
	ward run -q --name box -t "oci:$TEST_DIR/images/moving" shell -- -c true
	ward stop box
	image moving "$TEST_DIR"/{small,v2}.tar >/dev/null
	assert_equal "$(ward exec box cat /v)" 1
	ward run -q --name new -t "oci:$TEST_DIR/images/moving" shell -- -c true
	assert_equal "$(ward exec new cat /v)" 2
	ward stop box
	rm -r "$TEST_DIR/images/moving"
	assert_equal "$(ward exec box cat /v)" 1
	[[ "$(ward inspect box | jq -r '.[0].template.digest')" == sha256:* ]]
}

@test "127 layers" {
	small
	local i all=()
	for i in $(seq 126); do
		layers file "$TEST_DIR/l$i.tar" "d/$i=$i"
		all+=("$TEST_DIR/l$i.tar")
	done
	image many "$TEST_DIR/small.tar" "${all[@]}" >/dev/null
	run ward run -q -t "oci:$TEST_DIR/images/many" shell -- -c 'ls /d | wc -l; cat /d/1 /d/126'
	assert_status 0
	assert_equal "$output" $'126\n1126'
	image toomany "$TEST_DIR/small.tar" "${all[@]}" "$TEST_DIR/small.tar" >/dev/null
	run ward create -t "oci:$TEST_DIR/images/toomany" --name other shell
	assert_status 125
	assert_output_has 127
}

@test "a layer whose top is opaque hides everything below it" {
	small
	layers file "$TEST_DIR/below.tar" below=1
	python3 - "$TEST_DIR" <<-'PY'
		import io, sys, tarfile
		with tarfile.open(sys.argv[1] + "/opaque.tar", "w") as out:
		    out.addfile(tarfile.TarInfo(".wh..wh..opq"), io.BytesIO(b""))
		    with tarfile.open(sys.argv[1] + "/small.tar") as small:
		        for t in small:
		            out.addfile(t, small.extractfile(t) if t.isreg() else None)
	PY
	image control "$TEST_DIR"/{below,small}.tar >/dev/null
	image opaque "$TEST_DIR"/{below,opaque}.tar >/dev/null
	ward run -q --rm -t "oci:$TEST_DIR/images/control" shell -- -c 'test -e /below'
	run ward run -q --rm -t "oci:$TEST_DIR/images/opaque" shell -- -c 'test -e /below'
	assert_status 1
}

@test "hostile layers reach nothing outside and leave nothing half made" {
	need_fixtures
	small
	export SENTINEL="$TEST_DIR/sentinel"
	mkdir "$SENTINEL"
	echo keep >"$SENTINEL/secret"
	python3 "$WARD_FIXTURES/mkhostile.py" "$TEST_DIR/hostile" >/dev/null
	local before after name expect files count=0
	before=$(snapshot "$SENTINEL")
	while IFS=$'\t' read -r name expect files; do
		local paths=("$TEST_DIR/small.tar")
		for file in $files; do paths+=("$TEST_DIR/hostile/$file"); done
		image "h-$name" --config '{"config": {"WorkingDir": "/work/sub"}}' "${paths[@]}" >/dev/null
		status=0
		output=$(ward run -q --rm --name "h-$name" -t "oci:$TEST_DIR/images/h-$name" shell -- \
			-c 'test -c /dev/null && echo ran' 2>&1 </dev/null) || status=$?
		echo "$name ($expect): $status $output"
		# A box that runs has a /dev/null that is one, whatever the image made of /dev.
		case $expect in
		reject | limit-or-reject) [ "$status" -ne 0 ] ;;
		*) [ "$status" -ne 0 ] || [ "$output" = ran ] ;;
		esac
		# Whoever is refused is told, in words and not by a signal.
		[ "$status" -eq 0 ] || [[ "$output" == *"ward: "* ]]
		after=$(snapshot "$SENTINEL")
		assert_equal "$after" "$before"
		assert_store_whole
		ward rm -f "h-$name" >/dev/null 2>&1 || true
		count=$((count + 1))
	done < <(jq -r '.[] | [.name, .expect, (.layers | join(" "))] | @tsv' "$TEST_DIR/hostile/manifest.json")
	[ "$count" -ge 44 ]
	# The control: the same layers in the way of a careless program do reach it.
	mkdir careless
	tar -C careless -xf "$TEST_DIR/hostile/sym-then-write.0.tar" 2>/dev/null || true
	tar -P -C careless -xf "$TEST_DIR/hostile/absolute.0.tar"
	[ "$(snapshot "$SENTINEL")" != "$before" ]
}

@test "images that are not what they say are refused, and the store stays as it was" {
	small
	local good="$TEST_DIR/images/small" bad="$TEST_DIR/images/bad" before kind
	ward run -q --rm -t "oci:$good" shell -- -c true
	before=$(cd "$STORE" && find . -type f -path './blobs/*' | sort)
	for kind in digest size escape index loop big truncated user; do
		rm -rf "$bad"
		cp -r "$good" "$bad"
		python3 - "$bad" "$kind" <<-'PY'
			import hashlib, json, os, sys
			top, kind = sys.argv[1:]
			def path(d): return os.path.join(top, "blobs/sha256", d.split(":")[1])
			def put(data):
			    d = "sha256:" + hashlib.sha256(data).hexdigest()
			    open(path(d), "wb").write(data)
			    return {"digest": d, "size": len(data)}
			index = json.load(open(top + "/index.json"))
			entry = index["manifests"][0]
			manifest = json.load(open(path(entry["digest"])))
			layer = manifest["layers"][0]
			# Other bytes than in the good image, so that nothing of it is in the store.
			data = open(path(layer["digest"]), "rb").read() + b"\0" * 512
			layer.update(put(data))
			config = json.load(open(path(manifest["config"]["digest"])))
			config["rootfs"]["diff_ids"] = [layer["digest"]]
			if kind == "digest": open(path(layer["digest"]), "r+b").write(b"x")
			if kind == "size": layer["size"] += 1
			if kind == "truncated": open(path(layer["digest"]), "r+b").truncate(1000)
			if kind == "escape": layer["digest"] = "sha256:../../x"
			if kind == "user": config["config"]["User"] = "1abc"
			manifest["config"].update(put(json.dumps(config).encode()))
			if kind == "big": manifest["annotations"] = {"x": "y" * (5 << 20)}
			entry.update(put(json.dumps(manifest).encode()))
			if kind == "index":
			    # A manifest that is called an index.
			    entry["mediaType"] = "application/vnd.oci.image.index.v1+json"
			if kind == "loop":
			    inner = dict(entry)
			    for _ in range(6):
			        inner = dict(mediaType="application/vnd.oci.image.index.v1+json",
			            **put(json.dumps({"schemaVersion": 2, "manifests": [inner]}).encode()))
			    entry.update(inner)
			json.dump(index, open(top + "/index.json", "w"))
		PY
		run ward create --name bad -t "oci:$bad" shell
		echo "$kind: $output"
		assert_status 125
		[[ "${lines[0]}" == "ward: template 'oci:"* ]]
		refute ward inspect bad
		assert_store_whole
	done
	[ ! -e "$XDG_DATA_HOME/ward/x" ] && [ ! -e "$STORE/x" ]
	ward run -q --rm -t "oci:$good" shell -- -c true
}

@test "users that an image cannot have" {
	local user
	layers small "$TEST_DIR/small.tar"
	for user in 1abc -1 4294967296 0:x ../../etc/passwd; do
		image user --config "{\"config\": {\"User\": \"$user\"}}" "$TEST_DIR/small.tar" >/dev/null
		run ward create --name bad -t "oci:$TEST_DIR/images/user" shell
		[ "$user" = 0:x ] && [ "$status" -eq 0 ] && { ward rm -f bad; continue; }
		echo "$user: $output"
		assert_status 125
		assert_output_has "User"
	done
	for user in "" root 0 1000:1000 node www-data:33; do
		image user --config "{\"config\": {\"User\": \"$user\"}}" "$TEST_DIR/small.tar" >/dev/null
		ward create -q --name good -t "oci:$TEST_DIR/images/user" shell >/dev/null
		ward rm -f good
	done
}

@test "who unpacks the same image at the same time waits" {
	small
	layers many "$TEST_DIR/many.tar" 3000
	image busy --gzip "$TEST_DIR"/{small,many}.tar >/dev/null
	local i
	for i in 1 2 3 4; do
		ward run -q --name "box$i" -t "oci:$TEST_DIR/images/busy" shell -- -c 'cat /many/29/2999 | wc -c' \
			>"out$i" 2>"err$i" </dev/null 3>&- &
	done
	wait
	for i in 1 2 3 4; do
		assert_equal "$(cat "err$i")" ""
		assert_file "out$i" 200
	done
	assert_equal "$(unpacked | wc -l)" 2
	assert_store_whole
}

@test "killed at any moment: no half layer has a name, and the next try completes it" {
	small
	layers many "$TEST_DIR/many.tar" 2000
	image victim --gzip "$TEST_DIR"/{small,many}.tar >/dev/null
	local i ms entry
	for i in $(seq 50); do
		ms=$((i * 7 % 100 * 5))
		timeout -s KILL "0.$(printf %03d "$ms")" \
			"$WARD" create -q --name victim -t "oci:$TEST_DIR/images/victim" shell >/dev/null 2>&1 </dev/null || true
		for entry in $(unpacked); do
			[[ "${entry##*/}" =~ ^[0-9a-f]{64}$ ]] || continue
			[ -f "$entry/layer.json" ]
			[ ! -d "$entry/fs/many" ] || [ "$(find "$entry/fs/many" -type f | wc -l)" -eq 2000 ]
		done
		ward rm -f victim >/dev/null 2>&1 || true
		# Start anew as soon as everything is there.
		if [ "$(unpacked | grep -cE '/[0-9a-f]{64}$')" -eq 2 ]; then
			ward template rm "oci:$TEST_DIR/images/victim" >/dev/null 2>&1 || true
			ward template prune >/dev/null
			[ -z "$(unpacked)" ]
		fi
	done
	[ -z "$(pgrep -u "$(id -u)" -x ward-image)" ] || wait_for refute pgrep -u "$(id -u)" -x ward-image
	# What the last one left goes with the garbage, or with the next try.
	ward template prune >/dev/null
	[ -z "$(unpacked | grep -vE '/[0-9a-f]{64}$')" ]
	timeout -s KILL 0.1 "$WARD" create -q --name victim -t "oci:$TEST_DIR/images/victim" shell \
		>/dev/null 2>&1 </dev/null || true
	ward run -q --name victim -t "oci:$TEST_DIR/images/victim" shell -- -c 'cat /many/19/1999 | wc -c' >out
	assert_file out 200
	[ -z "$(unpacked | grep -vE '/[0-9a-f]{64}$')" ]
	# And a template that nobody uses any more, with its layers.
	ward rm -f victim
	ward template rm "oci:$TEST_DIR/images/victim"
	ward template prune >/dev/null
	[ -z "$(unpacked)" ]
}

@test "docker-daemon: what the engine has, by its socket" {
	need python3
	small --docker "$TEST_DIR/saved.tar"
	python3 "$WARD_REPO/tests/box/stand_in_engine.py" "$TEST_DIR/engine" "$TEST_DIR/requests" "$TEST_DIR/saved.tar" \
		>/dev/null 2>&1 3>&- &
	local engine=$!
	wait_for test -S "$TEST_DIR/engine"
	export DOCKER_HOST="unix://$TEST_DIR/engine"
	run ward run -q --rm -t docker-daemon:test shell -- -c 'echo from the engine'
	assert_equal "$output" "from the engine"
	# What is here is not asked for again, unless it is told.
	ward run -q --rm -t docker-daemon:test:latest shell -- -c true
	assert_equal "$(grep -c '/images/test:latest/get' "$TEST_DIR/requests")" 1
	ward run -q --rm --pull-template always -t docker-daemon:test shell -- -c true
	ward template pull docker-daemon:test >digest
	assert_equal "$(grep -c '/images/test:latest/get' "$TEST_DIR/requests")" 3
	assert_equal "$(ward template inspect docker-daemon:test | jq -r '.[0].digest')" "$(cat digest)"

	run ward template pull docker-daemon:none:1
	assert_status 1
	assert_output_has "ward: template 'docker-daemon:docker.io/library/none:1': the container engine has no image 'none:1'"
	assert_output_has "hint: docker pull none:1, or without the engine: -t none:1"
	run ward template pull docker-daemon:broken
	assert_status 125
	run ward template pull docker-daemon:odd
	assert_status 125
	assert_output_has 'the container engine answers 500: it is\x1b[31m broken'
	assert_store_whole
	kill "$engine"
	wait "$engine" || true
	run ward template pull docker-daemon:test
	assert_status 125
	assert_output_has "hint: is the engine running? docker info"
	DOCKER_HOST=tcp://192.0.2.1:2375 run ward template pull docker-daemon:test
	assert_status 125
	assert_output_has "DOCKER_HOST is tcp://192.0.2.1:2375, not a socket of this machine"
}

# shell_layer FILE: no bash, and two shells that say who they are.
shell_layer() {
	python3 - "$1" <<-'PY'
		import io, sys, tarfile
		tar = tarfile.open(sys.argv[1], "w")
		tar.addfile(tarfile.TarInfo("usr/bin/.wh.bash"))
		for name in "ash", "fish":
		    text = f'#!/bin/sh\necho this is {name} "$@"\n'.encode()
		    t = tarfile.TarInfo("bin/" + name)
		    t.size, t.mode = len(text), 0o755
		    tar.addfile(t, io.BytesIO(text))
		tar.close()
	PY
}

@test "the agent shell: the image's own shell, else bash, else sh" {
	layers small "$TEST_DIR/small.tar"
	shell_layer "$TEST_DIR/shells.tar"
	run_image() { # NAME WANTED CONFIG
		image "$1" "$TEST_DIR/small.tar" "$TEST_DIR/shells.tar" --config "{\"config\": $3}" >/dev/null
		run ward run -q --rm -t "oci:$TEST_DIR/images/$1" shell -- -c 'echo sh of $0'
		assert_status 0
		assert_equal "$output" "$2"
	}
	# The control: bash, where there is one.
	small --config '{"config": {"Cmd": ["/bin/true"]}}'
	run ward run -q --rm -t "oci:$TEST_DIR/images/small" shell -- -c 'echo sh of $0'
	assert_equal "$output" "sh of /bin/sh"
	ward run -q --dry-run --json -t "oci:$TEST_DIR/images/small" shell | jq -e '.command == ["bash"]'
	run_image none "sh of sh" '{}'
	run_image ash "this is ash -c echo sh of \$0" '{"Cmd": ["/bin/ash"]}'
	run_image login "this is fish -l -c echo sh of \$0" '{"Entrypoint": ["fish"], "Cmd": ["-l"]}'
	# Not a shell for people, one that is not there, one of the directory where it starts.
	run_image server "sh of sh" '{"Cmd": ["ash", "-c", "exec server"]}'
	run_image gone "sh of sh" '{"Cmd": ["/opt/zsh"]}'
	run_image relative "sh of sh" '{"Cmd": ["./ash"]}'
	run_image other "sh of sh" '{"Entrypoint": ["/bin/true"], "Cmd": ["/bin/ash"]}'
	# The login shell of exec, and what other agents need is not made up for.
	ward run -q -t "oci:$TEST_DIR/images/none" --name box shell -- -c true
	run ward exec -i box <<<'echo "login $0"'
	assert_equal "$output" "login -sh"
	run ward run -q --rm -t "oci:$TEST_DIR/images/none" claude
	assert_status 127
	assert_output_has "the claude binary was not found"
}

@test "templates that are not here: every command says so, and how to get them" {
	local action
	for action in "rm" "inspect" "push" "save -o x.tar"; do
		# shellcheck disable=SC2086 # words
		run ward template $action example.com/missing:1
		assert_status 1
		assert_output_has "ward: no template 'example.com/missing:1'"
		assert_output_has "hint: ward template ls, or: ward template pull example.com/missing:1"
	done
	run ward template push "oci:$TEST_DIR/nothing" localhost:5000/x:1
	assert_status 1
	assert_output_has "no template"
}
