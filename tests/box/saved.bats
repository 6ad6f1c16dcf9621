#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A sandbox as a template (template save SANDBOX NAME): what was installed travels, what is secret or
# of one sandbox only does not, and other programs take the result.

bats_require_minimum_version 1.5.0

load ../lib/common
load ../lib/cli

setup() {
	common_setup
	need busybox umoci jq
	STORE="$XDG_DATA_HOME/ward/templates"
	mkdir project images
	cd project
	python3 "$WARD_REPO/tests/lib/mklayers.py" small "$TEST_DIR/small.tar"
	python3 "$WARD_REPO/tests/lib/mkimage.py" "$TEST_DIR/images/small" latest "$TEST_DIR/small.tar" \
		--config '{"config": {"Env": ["FROM_IMAGE=yes"], "Labels": {"x": "y"}},
			"history": [{"created_by": "the base"}], "author": "somebody"}' >/dev/null
	SMALL="oci:$TEST_DIR/images/small"
}

teardown() {
	[ -z "${SERVER:-}" ] || kill "$SERVER" 2>/dev/null || true
	common_teardown
}

# box NAME [OPTION...]: a running sandbox of the small image in a workspace of its own.
box() {
	local name=$1
	shift
	mkdir -p "$TEST_DIR/ws-$name"
	(cd "$TEST_DIR/ws-$name" && ward run -q -t "${IMAGE:-$SMALL}" --name "$name" "$@" "${AGENT:-shell}" -- -c true)
}

one_id() {
	[ "$(id -u)" -ne 0 ] && ! grep -q "^$(id -un):" /etc/subuid
}

# The template as an OCI layout in $TEST_DIR/layout, with all that is in its blobs, decompressed, in
# $TEST_DIR/content.
open_template() { # NAME
	rm -rf "$TEST_DIR/layout" "$TEST_DIR/out.tar"
	mkdir "$TEST_DIR/layout"
	ward template save -o "$TEST_DIR/out.tar" "$1"
	tar -C "$TEST_DIR/layout" -xf "$TEST_DIR/out.tar"
	for blob in "$TEST_DIR"/layout/blobs/sha256/*; do
		gzip -dcf <"$blob"
	done >"$TEST_DIR/content"
}

last_layer() {
	local manifest
	manifest=$(jq -r '.manifests[0].digest' "$TEST_DIR/layout/index.json")
	echo "$TEST_DIR/layout/blobs/sha256/$(jq -r '.layers[-1].digest' \
		"$TEST_DIR/layout/blobs/sha256/${manifest#*:}" | cut -d: -f2)"
}

# What the last layer has, a name a line.
last_names() {
	tar -tzf "$(last_layer)"
}

@test "what was installed is in the template, what was removed is not, and other programs read it" {
	box a
	ward exec -u root a sh -c '
		mkdir -p /opt/tool/bin && echo "echo tool runs" >/opt/tool/bin/tool && chmod 755 /opt/tool/bin/tool
		rm /bin/sort; rm /bin/head && mkdir /bin/head; ln /opt/tool/bin/tool /opt/hard
		ln -s tool /opt/tool/bin/link; chmod 750 /var/lib'
	ward exec a sh -c 'mkdir -p ~/.cargo/bin && echo "echo cargo runs" >~/.cargo/bin/cargo && chmod 755 ~/.cargo/bin/cargo
		echo "export FROM_RC=1" >>~/.bashrc; echo work >result'
	# It must not change meanwhile.
	run ward template save a example.com/mine:1
	assert_status 125
	assert_output_has "sandbox 'a': it is running"
	assert_output_has "hint: ward stop a"
	ward stop a
	run --separate-stderr ward template save a example.com/mine:1
	assert_status 0
	assert_equal "$output" "$(ward template inspect example.com/mine:1 | jq -r '.[0].digest')"
	[[ "$stderr" == *"example.com/mine:1 was saved, with a layer of "* ]]
	assert_blobs_whole

	# Its layers are the base's and one more; its configuration is the base's.
	ward template inspect example.com/mine:1 >inspected
	assert_equal "$(jq -c '.[0] | [(.layers | length), .config.env, .config.labels,
		.history[0].created_by, .history[1].created_by, .history[1].comment]' inspected)" \
		'[2,["FROM_IMAGE=yes"],{"x":"y"},"the base","ward template save","saved from a sandbox of shell"]'
	open_template example.com/mine:1
	grep -q '"author":"somebody"' "$TEST_DIR/content"
	assert_equal "$(skopeo inspect "oci:$TEST_DIR/layout:1" | jq -r '.Layers | length')" 2
	umoci unpack --rootless --image "$TEST_DIR/layout:1" "$TEST_DIR/bundle" >/dev/null
	local root="$TEST_DIR/bundle/rootfs"
	[ -x "$root/opt/tool/bin/tool" ] && [ -d "$root/bin/head" ] && [ -x "$root/home/agent/.cargo/bin/cargo" ]
	[ ! -e "$root/bin/sort" ] && [ ! -L "$root/bin/sort" ]
	assert_equal "$(stat -c '%h %a' "$root/opt/hard")" "2 755"
	assert_equal "$(stat -c %a "$root/var/lib")" 750
	# Of the workspace not even the place.
	refute grep -q "ws-a" "$TEST_DIR/content"
	last_names | sort >names
	refute grep -E '^(tmp|run|proc|sys|dev|etc/(hosts|resolv.conf|hostname))(/|$)' names

	# In another sandbox, of another directory.
	IMAGE=example.com/mine:1 box b --pull-template never
	run ward exec b sh -c '/opt/tool/bin/tool; /home/agent/.cargo/bin/cargo; . ~/.bashrc; grep FROM_RC ~/.bashrc
		stat -c %U:%G ~/.cargo/bin/cargo; ls /bin/sort 2>/dev/null; pwd; cat result 2>/dev/null; id -un'
	if one_id; then
		assert_equal "$output" "$(printf '%s\n' 'tool runs' 'cargo runs' 'export FROM_RC=1' root:root \
			"$TEST_DIR/ws-b" root)"
	else
		assert_equal "$output" "$(printf '%s\n' 'tool runs' 'cargo runs' 'export FROM_RC=1' agent:agent \
			"$TEST_DIR/ws-b" agent)"
	fi
	# What is removed there stays removed: the home was filled once.
	ward exec b rm -r /home/agent/.cargo
	ward stop b
	refute ward exec b test -e /home/agent/.cargo
	# A template of a sandbox of a template.
	ward exec -u root b sh -c 'echo 2 >/opt/second'
	ward stop b
	ward template save b example.com/mine:2
	assert_equal "$(ward template inspect example.com/mine:2 | jq '.[0].layers | length')" 3
	run ward run -q --rm -t example.com/mine:2 shell -- -c 'cat /opt/second; /opt/tool/bin/tool'
	assert_equal "$output" "$(printf '2\ntool runs')"
}

@test "a saved template, pushed to docker-registry: skopeo inspects it, podman runs it, and it comes back" {
	need docker-registry curl
	box a
	ward exec -u root a sh -c 'mkdir -p /opt && printf "#!/bin/sh\\necho tool runs\\n" >/opt/tool && chmod 755 /opt/tool
		rm /bin/sort; echo x >/opt/owned && chmod 4750 /opt/owned'
	ward stop a
	ward template save a example.com/mine:1 >digest
	local port
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	cat >registry.yml <<-END
		version: 0.1
		log: {level: error, accesslog: {disabled: true}}
		storage: {filesystem: {rootdirectory: $PWD/registry}}
		http: {addr: "127.0.0.1:$port"}
	END
	docker-registry serve registry.yml >registry.out 2>&1 </dev/null 3>&- &
	SERVER=$!
	wait_for curl -s "http://127.0.0.1:$port/v2/"
	local name="127.0.0.1:$port/my/tools:1"
	ward template push -q example.com/mine:1 "$name"
	skopeo inspect --tls-verify=false "docker://$name" >inspected
	assert_equal "$(jq -r .Digest inspected)" "$(cat digest)"
	assert_equal "$(jq -c '[(.Layers | length), .Labels.x, .Os]' inspected)" '[2,"y","linux"]'
	# Back from there, in another store.
	XDG_DATA_HOME="$TEST_DIR/other" run ward run -q --rm -t "$name" shell -- -c '/opt/tool; ls /bin/sort; stat -c %a /opt/owned'
	assert_output_has "tool runs"
	assert_output_has 4750
	# Without a service manager, and whatever the machine's control groups are: root's podman.
	if [ "$(id -u)" -eq 0 ]; then
		need podman
		PODMAN="podman --root $TEST_DIR/podman --runroot $TEST_DIR/podman-run --storage-driver vfs
			--cgroup-manager cgroupfs --events-backend none"
		NAME=$name PODMAN=$PODMAN unshare -m sh -c 'mount -t tmpfs none /sys/fs/cgroup
			$PODMAN pull -q --tls-verify=false "$NAME"
			$PODMAN run --rm --cgroups=disabled --network=none --ulimit nofile=256:256 --ulimit nproc=1000:1000 "$NAME" \
				sh -c "/opt/tool; ls /bin/sort; stat -c %a:%u /opt/owned; echo \$FROM_IMAGE"' >podman.out 2>podman.err ||
			fail "$(cat podman.err)"
		assert_equal "$(tail -n 3 podman.out)" "$(printf '%s\n' 'tool runs' 4750:0 yes)"
	fi
}

@test "no login, no key of the environment, no secret of a kit is in any blob" {
	mkdir -p "$XDG_CONFIG_HOME/ward/kits/tool"
	cat >"$XDG_CONFIG_HOME/ward/kits/tool/spec.yaml" <<-'YAML'
		schemaVersion: "2"
		kind: sandbox
		name: tool
		sandbox: {entrypoint: [sh]}
		credentials:
		  - service: tool
		    apiKey: {name: TOOL_API_KEY}
		ward:
		  binary: sh
		  credentialFiles: [.tool/auth.json]
		setup:
		  files:
		    - {path: ~/.toolrc, content: "key ${ENV:TOOL_API_KEY}"}
		    - {path: /etc/tool.conf, content: "key ${ENV:TOOL_API_KEY}"}
	YAML
	AGENT=tool box a -e TOOL_API_KEY=canary-kit-key -e PLAIN=canary-environment
	ward exec -i a sh -c 'umask 077; mkdir -p ~/.tool ~/.claude ~/.ssh ~/.config/gh; cat >~/.tool/auth.json' \
		<<<'{"token":"canary-login"}'
	ward exec a sh -c 'echo canary-claude >~/.claude/.credentials.json; echo canary-ssh >~/.ssh/id_ed25519
		echo canary-gh >~/.config/gh/hosts.yml; echo canary-history >~/.bash_history
		mkdir -p ~/.claude/projects && echo canary-conversation >~/.claude/projects/x.jsonl
		echo canary-npm >~/.npmrc; echo canary-control >~/installed
		mkdir -p ~/deep/er; for f in .tool/auth.json .claude/.credentials.json .ssh/id_ed25519 .toolrc; do
			ln ~/$f ~/deep/er/$(echo $f | tr -d /.); done
		echo canary-workspace >work; env >/dev/null'
	ward exec -u root a sh -c 'mkdir -p /root/.ssh && echo canary-root >/root/.ssh/id
		mkdir -p /root/.claude /root/.codex && echo canary-sudo >/root/.claude/.credentials.json
		echo canary-sudo >/root/.codex/auth.json; echo canary-sudo >/root/.claude.json; echo canary-rooted >/root/tool
		echo canary-tmp >/tmp/x; mkdir -p /opt; ln /etc/tool.conf /opt/copy; echo canary-opt >/opt/x'
	# It was there: the value of the environment came into the files of the kit.
	[ "$(ward exec a cat /home/agent/.toolrc)" = "key canary-kit-key" ]
	[ "$(ward exec a cat /opt/copy)" = "key canary-kit-key" ]
	ward stop a
	ward template save a example.com/clean:1
	open_template example.com/clean:1
	# The control: what is no secret is there, and found in this way.
	local canary
	for canary in canary-control canary-rooted canary-opt; do
		grep -q "$canary" "$TEST_DIR/content" || fail "missing: $canary"
	done
	for canary in login kit-key environment claude ssh gh history conversation npm tmp workspace sudo 'root$'; do
		refute grep -a "canary-$canary" "$TEST_DIR/content"
	done
	last_names >names
	grep -x home/agent/installed names
	# And the sandbox still has them.
	[ "$(ward exec a cat /home/agent/.ssh/id_ed25519)" = canary-ssh ]
}

@test "secrets behind links stay out, and what was removed along with them stays removed" {
	python3 "$WARD_REPO/tests/lib/mklayers.py" file "$TEST_DIR/keys.tar" root/.ssh/id=base root/.npmrc=base \
		opt/a=a opt/b=b opt/c=c
	python3 "$WARD_REPO/tests/lib/mkimage.py" "$TEST_DIR/images/keys" latest "$TEST_DIR/small.tar" \
		"$TEST_DIR/keys.tar" >/dev/null
	IMAGE="oci:$TEST_DIR/images/keys" box a
	# Of the removed files of a layer the kernel makes one inode.
	ward exec -u root a sh -c 'rm -r /root/.ssh /root/.npmrc /opt/a /opt/b
		mkdir -p /data/claude /data/config/gh /data/mine && chmod -R 777 /data'
	# As people keep their dotfiles: absolute and relative, inside the home and outside of it.
	ward exec a sh -c 'cd && mkdir -p dot/ssh && echo canary-ssh >dot/ssh/id && ln -s /home/agent/dot/ssh .ssh
		echo canary-npm >dot/npmrc && ln -s dot/npmrc .npmrc && echo canary-net >/data/netrc
		ln -s ../../data/netrc .netrc; echo canary-gh >/data/config/gh/hosts.yml; ln -s /data/config .config
		echo canary-claude >/data/claude/.credentials.json; rm -rf .claude; ln -s /data/claude .claude
		echo canary-chat >/data/claude/history.jsonl; echo canary-state >.claude.json.backup
		ln -s .kube .kube; ln -s / .vault-token; echo canary-control >dot/other; echo canary-mine >/data/mine/x'
	ward stop a
	ward template save a example.com/linked:1
	open_template example.com/linked:1
	local canary
	for canary in control mine; do
		grep -q "canary-$canary" "$TEST_DIR/content" || fail "missing: $canary"
	done
	for canary in ssh npm net gh claude chat state; do
		refute grep -a "canary-$canary" "$TEST_DIR/content"
	done
	run ward run -q --rm -t example.com/linked:1 shell -- -c 'cd /opt && echo *'
	assert_equal "$output" "c"
	last_names | sort >names
	for f in opt/.wh.a opt/.wh.b root/.wh..ssh root/.wh..npmrc; do
		grep -x "$f" names
	done
}

@test "an image whose links move what is secret is not saved from, and others are" {
	local link
	for link in root/.claude=/opt root/.config=../opt etc/mtab=/opt; do
		rm -rf layer
		mkdir -p "layer/$(dirname "${link%=*}")"
		ln -s "${link#*=}" "layer/${link%=*}"
		tar -C layer --owner=0 --group=0 -cf "$TEST_DIR/link.tar" .
		rm -rf "$TEST_DIR/images/linked"
		python3 "$WARD_REPO/tests/lib/mkimage.py" "$TEST_DIR/images/linked" latest "$TEST_DIR/small.tar" \
			"$TEST_DIR/link.tar" >/dev/null
		IMAGE="oci:$TEST_DIR/images/linked" box a
		ward stop a
		run ward template save a example.com/linked:1
		case $link in
		etc/*)
			assert_status 0
			;;
		*)
			assert_status 125
			assert_output_has "sandbox 'a': its image has a link at /${link%=*}, so"
			;;
		esac
		ward rm -f a
	done
}

@test "a hostile sandbox: nothing outside of it is read, and what comes out is harmless" {
	echo canary-outside >"$TEST_DIR/outside"
	box a
	ward exec -u root a sh -c "
		mkdir /evil && cd /evil
		ln -s $TEST_DIR/outside link; ln -s $TEST_DIR dirlink; ln -s ../../../../../../../../etc/passwd up
		cp /bin/busybox suid && chmod 6755 suid
		echo 1 >'new
line'; echo 2 >.wh.passwd; mkdir .wh..wh..opq; echo 3 >.wh..wh..opq/x; mkdir .wh.d
		mknod dev c 1 3 2>/dev/null; mknod wh c 0 0 2>/dev/null; mkfifo fifo 2>/dev/null
		/bin/busybox truncate -s 40G sparse"
	ward stop a
	[ "$(id -u)" -ne 0 ] || echo "as root"
	ward template save a example.com/evil:1 2>said
	grep "left out: 3 names that begin with .wh." said
	open_template example.com/evil:1
	refute grep -qa canary-outside "$TEST_DIR/content"
	last_names >names
	refute grep -F .wh. names
	grep -x evil/link names
	[ "$(stat -c %s "$(last_layer)")" -lt 5000000 ]
	run ward run -q --rm -t example.com/evil:1 shell -- -c 'cd /evil; cat "new
line"; cat link 2>/dev/null; stat -c %s sparse; ls -ld /etc/passwd suid | cut -c1-10'
	assert_equal "$output" "$(printf '%s\n' 1 42949672960 -rw-r--r-- -rwsr-sr-x)"

	# Deeper than a layer can be: refused, and nothing stays.
	ward exec -u root a sh -c 'cd /evil; i=0; while [ $i -lt 300 ]; do mkdir d && cd d || exit; i=$((i + 1)); done'
	ward stop a
	run ward template save a example.com/deep:1
	assert_status 125
	assert_output_has "nested too deep for a layer"
	assert_blobs_whole
	run ward template inspect example.com/deep:1
	assert_status 1
}

@test "who wants a sandbox that is being saved waits, and is told for what" {
	local save run
	box mine
	ward exec mine sh -c 'head -c 100000000 /dev/urandom >~/large'
	ward stop mine
	"$WARD" template save mine my/large:1 >save 2>saved.log &
	save=$!
	wait_for grep -q 'writing a layer' saved.log
	# It takes as long as this test wants.
	kill -STOP "$save"
	assert_equal "$(ward ls --json | jq -r '.[0].status')" stopped
	run -0 ward stop mine
	run -125 ward template save mine my/other:1
	assert_output_has "being saved already"
	"$WARD" run mine -- -c 'echo it runs' >out 2>run.log &
	run=$!
	wait_for grep -qF "waiting: sandbox 'mine' is being saved as a template" run.log
	kill -0 "$run"
	kill -CONT "$save"
	wait "$save"
	wait "$run"
	assert_equal "$(cat out)" 'it runs'
	assert_equal "$(grep -c waiting run.log)" 1
	ward template inspect my/large:1 >/dev/null
	assert_equal "$(ls "$XDG_DATA_HOME"/ward/sandboxes/*/busy 2>/dev/null)" ""
}

@test "kill -9 at any moment of save: no half template, nothing stays after prune, the next try works" {
	box a
	ward exec -u root a sh -c 'i=0; while [ $i -lt 300 ]; do echo $i >/opt$i; i=$((i + 1)); done
		cat /bin/busybox /bin/busybox /bin/busybox >/large'
	ward stop a
	ward template save a example.com/ref:1 >want
	local i pid began took
	began=$(date +%s%N)
	ward template save a example.com/killed:1 >/dev/null
	took=$((($(date +%s%N) - began) / 1000000))
	ward template rm example.com/killed:1 >/dev/null
	for ((i = 0; i < ${WARD_KILLS:-25}; i++)); do
		setsid "$WARD" template save a example.com/killed:1 >/dev/null 2>&1 &
		pid=$!
		sleep "$(awk -v t="$took" -v r="$RANDOM" 'BEGIN { printf "%.4f", t * 1.1 * r / 32768 / 1000 }')"
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
		if ward template inspect example.com/killed:1 >got 2>/dev/null; then
			assert_equal "$(jq -r '.[0].problem' got)" null
			ward run -q --rm -t example.com/killed:1 shell -- -c 'cat /opt299' >out
			assert_equal "$(cat out)" 299
			ward template rm example.com/killed:1 >/dev/null
		fi
		setsid "$WARD" template save -o "$TEST_DIR/file.tar" example.com/ref:1 >/dev/null 2>&1 &
		pid=$!
		sleep "0.00$((RANDOM % 9))"
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
		# A file that has its name is whole.
		[ ! -e "$TEST_DIR/file.tar" ] || tar -tf "$TEST_DIR/file.tar" >/dev/null
	done
	ward template prune >/dev/null
	assert_blobs_whole
	[ -z "$(ls "$STORE/blobs/partial")" ]
	ward template save a example.com/killed:1 >got
	ward template save -o "$TEST_DIR/file.tar" example.com/ref:1
	tar -tf "$TEST_DIR/file.tar" >/dev/null
	run ward run -q --rm -t example.com/killed:1 shell -- -c 'cat /opt299'
	assert_equal "$output" 299
}

@test "what cannot be saved, under which name, and how it is said" {
	ward run -q -t host --name h shell -- -c true
	ward stop h
	run ward template save h x/y:1
	assert_status 125
	assert_output_has "sandbox 'h': it uses this machine's own programs, and an image of them cannot be made"
	assert_output_has "hint: make it from an image: ward run --recreate -t IMAGE shell"
	run ward template save nobody x/y:1
	assert_status 1
	assert_output_has "nobody"
	box a
	ward stop a
	run ward template save a "oci:$TEST_DIR/images/small"
	assert_status 2
	assert_output_has "hint: write a name as of images"
	run ward template save a
	assert_status 2
	assert_output_has "ward template save SANDBOX NAME:TAG"
	run ward template save a "x/y@sha256:$(printf '%064d' 0)"
	assert_status 2
	# One that never ran is its template.
	mkdir "$TEST_DIR/ws-n"
	(cd "$TEST_DIR/ws-n" && ward create -q -t "$SMALL" --name n shell >/dev/null)
	run --separate-stderr ward template save --json n x/n:1
	assert_status 0
	assert_equal "$(jq -c '[.reference, .layer]' <<<"$output")" '["docker.io/x/n:1",null]'
	# Docker's word; a name that is there is replaced, and a file is written as well.
	run --separate-stderr ward save a x/n:1 -o "$TEST_DIR/file.tar" --json
	assert_status 0
	assert_equal "$(jq -c '.left_out' <<<"$output")" '{"sockets":0,"whiteout_names":0,"attributes":0}'
	tar -tf "$TEST_DIR/file.tar" | grep -x index.json
	assert_equal "$(ward template inspect x/n:1 | jq -r '.[0].digest')" "$(jq -r .digest <<<"$output")"
}
