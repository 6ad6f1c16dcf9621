#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Templates built from a Dockerfile: what the instructions do, the cache, and that neither a context
# nor an image nor a step reaches more than it should, or leaves anything of Ward in a layer.

bats_require_minimum_version 1.5.0

load ../lib/common
load ../lib/cli

setup() {
	common_setup
	need busybox
	STORE="$XDG_DATA_HOME/ward/templates"
	mkdir project images context
	python3 "$WARD_REPO/tests/lib/mklayers.py" small "$TEST_DIR/small.tar"
	image small "$TEST_DIR/small.tar" >/dev/null
	SMALL="oci:$TEST_DIR/images/small"
	cd project
}

teardown() {
	common_teardown
}

# image NAME [OPTION...] LAYER...: an OCI layout in images/NAME.
image() {
	local name=$1
	shift
	python3 "$WARD_REPO/tests/lib/mkimage.py" "$TEST_DIR/images/$name" latest "$@"
}

one_id() {
	[ "$(id -u)" -ne 0 ] && ! grep -q "^$(id -un):" /etc/subuid
}

# build [OPTION...]: the Dockerfile on standard input, with the context; digest in digest, steps in log.
build() {
	ward template build -t mine:1 -f - "$@" "$TEST_DIR/context" >digest 2>log || {
		cat log
		return 1
	}
}

# built COMMAND: its output in a sandbox of what was built.
built() {
	ward run -q -t mine:1 --recreate shell -- -c "$1"
}

# Every file of every layer: layer, type, mode, owner, path, link.
in_layers() { # NAME
	rm -rf saved
	mkdir saved
	ward template save -o - "$1" | tar -xC saved
	python3 - <<-'PY'
		import json, tarfile
		index = json.load(open("saved/index.json"))
		blob = lambda d: "saved/blobs/sha256/" + d.split(":")[1]
		manifest = json.load(open(blob(index["manifests"][0]["digest"])))
		for n, layer in enumerate(manifest["layers"]):
		    for m in tarfile.open(blob(layer["digest"])):
		        print(n, m.type.decode(), oct(m.mode)[2:], f"{m.uid}:{m.gid}", m.name, m.linkname)
	PY
}

# Nothing of a build is left but what it made.
assert_no_leftovers() {
	assert_equal "$(ls -A "$STORE/builds" "$STORE/blobs/partial")" "$(printf '%s\n' "$STORE/blobs/partial:" '' "$STORE/builds:")"
}

@test "build: a template from a Dockerfile: RUN, COPY, ENV, stages; the second time nothing runs" {
	cd "$TEST_DIR/context"
	mkdir -p dir/sub
	echo content >file
	echo below >dir/sub/y
	ln -s y dir/sub/link
	chmod 751 dir/sub
	cd ../project
	cat >df <<-EOF
		ARG BASE=$SMALL
		FROM \$BASE AS one
		ENV GREETING="hello world" LEVEL=2
		ARG WHO=you
		WORKDIR /srv/app
		RUN <<EOS
		set -e
		echo "\$GREETING \$WHO" > out
		echo to stdout; echo to stderr >&2
		EOS
		FROM $SMALL AS unused
		RUN false
		FROM $SMALL
		COPY --from=one /srv/app/out /stage/
		COPY fil? dir /data/
		COPY --chmod=604 file /etc/renamed
		COPY <<A <<'B' /here/
		\$MISSING\${X:-default}
		A
		\$literal
		B
		ENV FROM_BUILD=yes
		RUN ["/bin/sh", "-c", "echo \$FROM_BUILD > /exec"]
		LABEL a=b
		CMD ["sh", "-l"]
		ENTRYPOINT ["/bin/env"]
		CMD x
	EOF
	build --build-arg WHO=me <df
	grep -x 'to stdout' log
	grep -x 'to stderr' log
	cp digest first
	built 'cat /stage/out /data/file /data/sub/link /etc/renamed /here/A /here/B /exec; stat -c %a /etc/renamed /data/sub
		echo $FROM_BUILD' >out
	assert_equal "$(cat out)" "$(printf '%s\n' 'hello world me' content below content default '$literal' yes 604 751 yes)"
	run -0 ward template inspect mine:1
	assert_output_has '"entrypoint": ['
	assert_output_has '"a": "b"'
	assert_output_has '"FROM_BUILD=yes"'
	# The same again, also from another place, and when all times are new.
	touch "$TEST_DIR/context/file"
	build --build-arg WHO=me <df
	assert_equal "$(cat digest)" "$(cat first)"
	refute grep 'to stdout' log
	assert_equal "$(grep -c CACHED log)" 7
	# What changed is run again, and what follows it.
	echo other >"$TEST_DIR/context/file"
	build --build-arg WHO=me <df
	refute grep 'to stdout' log
	assert_equal "$(built 'cat /data/file')" other
	build --build-arg WHO=them <df
	grep -x 'to stdout' log
	build --no-cache --build-arg WHO=them <df
	refute grep CACHED log
	build --target one --build-arg WHO=them --build-arg NOBODY=1 <df
	grep 'no ARG asks' log
	assert_equal "$(built 'cat /srv/app/out')" 'hello world them'
	assert_no_leftovers
}

@test "build: nothing of Ward, of the host or of the user is in a layer" {
	export HOST_SECRET=leaked
	echo leaked-file >"$HOME/.netrc"
	echo "FROM $SMALL
		RUN env > /env; mount > /mounts 2>&1; ls -la / /etc /home /root > /ls 2>&1; echo x > /tmp/kept; mkdir -p /run/kept" | build
	in_layers mine:1 >files
	sed -n 's/^1 //p' files | cut -d' ' -f4 | sed 's|/$||' >own
	for name in env ls mounts run/kept tmp/kept; do grep -qx "$name" own || fail "missing: $name: $(cat own)"; done
	refute grep -E '^(etc|etc/.*|home/agent.*|dev/.*|proc/.*|sys/.*|.*ward.*)$' own
	# The control: the step saw Ward's files.
	assert_equal "$(built 'grep -c /etc/resolv.conf /mounts')" 1
	built 'cat /env /ls /mounts' >seen
	refute grep -E 'leaked|HOST_SECRET|SANDBOX|agent' seen
	refute grep -F "$HOME" seen
}

@test "build: owners and users: --chown, USER, WORKDIR; with one id all files are the user's" {
	echo content >"$TEST_DIR/context/file"
	cat >df <<-EOF
		FROM $SMALL
		RUN echo 'app:x:1234:77::/app:/bin/sh' >> /etc/passwd; echo 'staff:x:50:' >> /etc/group; mkdir -m 1777 /pub
		COPY --chown=app:staff file /app/a
		COPY --chown=7 file /app/b
		WORKDIR /app/w
		WORKDIR below
		RUN pwd > /pwd
	EOF
	build <df
	assert_equal "$(built 'cat /pwd')" /app/w/below
	one_id || assert_equal "$(built 'stat -c %u:%g /app/a /app/b')" "$(printf '1234:50\n7:7')"
	(cat df; printf 'USER app\nRUN id -u > /pub/id; echo $HOME >> /pub/id\n') >df2
	if one_id; then
		run -125 ward template build -t mine:1 -f - "$TEST_DIR/context" <df2
		assert_output_has "Dockerfile:9: RUN: user 1234:77: this sandbox has no such id"
	else
		build <df2
		assert_equal "$(built 'cat /pub/id')" "$(printf '1234\n/app')"
	fi
	printf 'FROM %s\nCOPY --chown=nobodyknows file /x\n' "$SMALL" >df
	run -125 ward template build -t mine:1 -f - "$TEST_DIR/context" <df
	assert_output_has "Dockerfile:2: COPY: --chown: no 'nobodyknows' in the image's /etc/passwd"
}

@test "build: failures: the line, the cause and what to do; nothing is left, and what was built is kept" {
	build <<<"FROM $SMALL"
	cp digest before
	printf 'FROM %s\nRUN echo first > /first\nRUN echo told; exit 7\n' "$SMALL" >df
	run -125 ward template build -t mine:1 -f - "$TEST_DIR/context" <df
	assert_output_has told
	assert_output_has "Dockerfile:3: RUN: the command exited with 7"
	run -0 ward template inspect mine:1
	assert_output_has "$(cat before)"
	assert_no_leftovers
	# The step before it need not be run again.
	sed -i 's/exit 7/exit 0/' df
	build <df
	grep CACHED log
	tar -czf "$TEST_DIR/context/a.tar.gz" df
	refusals=(
		"RUN --mount=type=cache,target=/x true|Dockerfile:2: RUN --mount: Ward does not have it"
		"EXPOSE 80|Dockerfile:2: EXPOSE is not an instruction"
		"RUNN true|did you mean RUN?"
		"ADD https://example.com/x /x|only local files"
		"ADD a.tar.gz /x|ADD of an archive is not built"
		"COPY missing /x|'missing': there is no such file in the context"
		"COPY *.none /x|'*.none': it matches no file"
		"COPY ../project /x|'../project': it leads out of the context"
		"COPY --from=nowhere.invalid/x:1 /a /b|nowhere.invalid"
		"RUN /bin/nonesuch|exited with 127"
		"ENV A=\${B#c}|only :-, -, :+, + and :? may follow"
		"WORKDIR /bin/busybox|something that is no directory is in the way"
	)
	for each in "${refusals[@]}"; do
		printf 'FROM %s\n%s\n' "$SMALL" "${each%%|*}" >df
		run -125 ward template build -t mine:1 -f - "$TEST_DIR/context" <df
		assert_output_has "${each##*|}"
	done
	run -2 ward template build "$TEST_DIR/context"
	assert_output_has "-t NAME is missing"
	run -125 ward template build -t mine:1 "$TEST_DIR/context"
	assert_output_has "-f FILE"
	run -125 ward template build -t mine:1 "$TEST_DIR/nowhere"
	assert_output_has "nowhere"
	assert_no_leftovers
}

@test "build: a hostile context: links that lead out, FIFOs; what .dockerignore leaves out" {
	cd "$TEST_DIR/context"
	echo outside-of-it >"$TEST_DIR/secret"
	ln -s "$TEST_DIR/secret" out
	ln -s ../secret up
	ln -s /etc etc
	mkfifo fifo
	mkdir sub node_modules
	echo kept >sub/kept
	echo gone >sub/gone.log
	echo gone >node_modules/x
	ln -s "$TEST_DIR/secret" sub/link
	ln -s sub inside
	cd ../project
	for name in out up etc/passwd fifo; do
		printf 'FROM %s\nCOPY %s /x\n' "$SMALL" "$name" >df
		run -125 ward template build -t mine:1 -f - "$TEST_DIR/context" <df
		[[ $name = fifo ]] || assert_output_has "it leads out of the context"
		[[ $name != fifo ]] || assert_output_has "it is no file, directory or link"
	done
	printf '*\n!sub\n**/*.log\n' >"$TEST_DIR/context/.dockerignore"
	printf 'FROM %s\nCOPY . /c/\n' "$SMALL" | build
	# A link is copied as a link, and leads nowhere of the host's.
	assert_equal "$(built 'find /c | sort; cat /c/sub/link 2>&1 | grep -c "No such"; cat /c/sub/kept')" \
		"$(printf '%s\n' /c /c/sub /c/sub/kept /c/sub/link 1 kept)"
	printf 'FROM %s\nCOPY node_modules /c/\n' "$SMALL" >df
	run -125 ward template build -t mine:1 -f - "$TEST_DIR/context" <df
	assert_output_has ".dockerignore"
	# Nor is a link a way around it; what is kept is found through one.
	printf 'sub/gone.log\nnode_modules\n' >"$TEST_DIR/context/.dockerignore"
	ln -s sub/gone.log "$TEST_DIR/context/to-file"
	ln -s ./inside/../node_modules "$TEST_DIR/context/to-dir"
	for name in to-file to-dir to-dir/x inside/gone.log; do
		printf 'FROM %s\nCOPY %s /c/\n' "$SMALL" "$name" >df
		run -125 ward template build -t mine:1 -f - "$TEST_DIR/context" <df
		assert_output_has "it is left out of the context"
	done
	printf 'FROM %s\nCOPY inside /c/\n' "$SMALL" | build
	assert_equal "$(built 'ls /c')" "$(printf 'kept\nlink')"
	# A link within the context is followed.
	rm "$TEST_DIR/context/.dockerignore"
	printf 'FROM %s\nCOPY inside/kept /c/\n' "$SMALL" | build
	assert_equal "$(built 'cat /c/kept')" kept
	printf 'sub\n' >"$TEST_DIR/context/Dockerfile.dockerignore"
	printf 'FROM %s\nCOPY sub /c/\n' "$SMALL" >"$TEST_DIR/context/Dockerfile"
	run -125 ward template build -t mine:1 "$TEST_DIR/context"
	assert_output_has "it is left out of the context"
	refute grep -rqs outside-of-it "$STORE/layers"
}

@test "build: hostile images and steps: links in the destination and the source, devices, set-id bits" {
	echo canary >"$TEST_DIR/canary"
	echo new >"$TEST_DIR/context/canary"
	cat >df <<-EOF
		FROM $SMALL AS evil
		RUN mkdir -p $TEST_DIR && ln -s $TEST_DIR /dest; ln -s /etc /toetc; ln -s ../../../../../..$TEST_DIR/canary /canary; ln -s $TEST_DIR /tree
		RUN mknod /null c 1 3 || echo no device; cp /bin/busybox /suid; chmod 4755 /suid; mkfifo /fifo
		FROM evil AS second
		COPY canary /dest/
		COPY canary /canary
		COPY canary /toetc/
	EOF
	build <df
	grep -x 'no device' log
	assert_equal "$(cat "$TEST_DIR/canary")" canary
	# The image's own links are followed within the image.
	assert_equal "$(built "cat /etc/canary $TEST_DIR/canary /canary; readlink /canary")" "$(printf 'new\nnew\nnew')"
	refute grep -E '^[0-9]+ [34] ' <(in_layers mine:1)
	for path in /canary /tree/canary; do
		printf '%s\nFROM %s\nCOPY --from=evil %s /got\n' "$(head -n 3 df)" "$SMALL" "$path" >df2
		run -125 ward template build -t mine:1 -f - "$TEST_DIR/context" <df2
		assert_output_has "there is no such file in that image"
	done
	printf '%s\nFROM %s\nCOPY --from=evil /fifo /got\n' "$(head -n 3 df)" "$SMALL" >df2
	run -125 ward template build -t mine:1 -f - "$TEST_DIR/context" <df2
	assert_output_has "it is no file, directory or link"
	printf '%s\nFROM %s\nCOPY --from=evil /toetc/passwd /suid /got/\n' "$(head -n 3 df)" "$SMALL" | build
	assert_equal "$(built 'grep -c root /got/passwd; stat -c %a /got/suid')" "$(printf '1\n4755')"
}

@test "build: killed at any moment: no half template, no leftovers after prune, and the next try goes on" {
	build <<<"FROM $SMALL"
	cp digest before
	printf 'FROM %s\nRUN echo one > /one\nCOPY file /file\nRUN echo begun; sleep 60; echo two > /two\n' "$SMALL" >df
	echo x >"$TEST_DIR/context/file"
	"$WARD" template build -t mine:1 -f - "$TEST_DIR/context" <df >out 2>log &
	local pid=$!
	wait_for grep -qx begun log
	kill -9 $pid
	wait $pid || true
	run -0 ward template inspect mine:1
	assert_output_has "$(cat before)"
	# Its box ends by itself.
	wait_for bash -c '! ls -d "$1"/*/control/*/* 2>/dev/null' - "$STORE/builds"
	wait_for bash -c '"$1" prune -f >/dev/null 2>&1; [ -z "$(ls -A "$2")" ]' - "$WARD" "$STORE/builds"
	assert_no_leftovers
	sed -i 's/sleep 60; //' df
	build <df
	assert_equal "$(grep -c CACHED log)" 2
	assert_equal "$(built 'cat /one /two /file')" "$(printf 'one\ntwo\nx')"
	# template prune empties the cache and keeps what has a name.
	ward template prune
	assert_equal "$(ls -A "$STORE/cache")" ""
	assert_equal "$(built 'cat /two')" two
	build <df
	refute grep CACHED log
}

@test "build: kill -9 at any moment: no half template, nothing stays after prune, the next try works" {
	local round pid began took out
	cat >df <<-'END'
		FROM base AS first
		ARG ROUND
		RUN i=0; while [ $i -lt 50 ]; do echo $ROUND >/file$i; i=$((i + 1)); done
		COPY file /copied
		FROM base
		COPY --from=first /file49 /copied /got/
		RUN cat /got/file49 /got/copied >/both
	END
	sed -i "s|FROM base|FROM $SMALL|" df
	echo x >"$TEST_DIR/context/file"
	build <df
	began=$(date +%s%N)
	build --build-arg ROUND=0 <df
	took=$((($(date +%s%N) - began) / 1000000))
	for ((round = 1; round <= ${WARD_KILLS:-25}; round++)); do
		setsid "$WARD" template build -t killed:1 -f - --build-arg "ROUND=$round" "$TEST_DIR/context" <df >/dev/null 2>&1 3>&- &
		pid=$!
		sleep "$(awk -v t="$took" -v r="$RANDOM" 'BEGIN { printf "%.4f", t * 1.1 * r / 32768 / 1000 }')"
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
		if ward template inspect killed:1 >got 2>/dev/null; then
			assert_equal "$(jq -r '.[0].problem' got)" null
			out=$(ward run -q --name killed -t killed:1 shell -- -c 'cat /both')
			ward rm -f killed
			assert_equal "$out" "$round"$'\n'x
			ward template rm killed:1
		fi
		# What was there keeps its name.
		assert_equal "$(ward template inspect mine:1 | jq -r '.[0].digest')" "$(cat digest)"
		# The next try goes on from there, every other time.
		if ((round % 2)); then
			build --build-arg "ROUND=$round" <df
			assert_equal "$(built 'cat /both')" "$round"$'\n'x
		fi
	done
	wait_for bash -c '"$1" prune -f >/dev/null 2>&1; [ -z "$(ls -A "$2")" ]' - "$WARD" "$STORE/builds"
	assert_no_leftovers
	assert_blobs_whole
	assert_equal "$(find "$STORE/layers" -mindepth 2 -maxdepth 2 ! -name '[0-9a-f]*')" ""
	[ "$round" -gt 1 ]
}

@test "build: Ctrl-C ends the step and its box; two builds side by side" {
	printf 'FROM %s\nRUN echo begun; sleep 60\n' "$SMALL" >df
	"$WARD" template build -t mine:1 -f - "$TEST_DIR/context" <df >out 2>log &
	local pid=$!
	wait_for grep -qx begun log
	kill -TERM $pid
	# Not with run: a process of a subshell's parent cannot be waited for.
	wait $pid || true
	grep "Dockerfile:2: RUN: the command exited with 143" log
	refute ward template inspect mine:1
	assert_no_leftovers
	printf 'FROM %s\nRUN sleep 1; echo $$ > /a\n' "$SMALL" >df
	"$WARD" template build -t one:1 -f - "$TEST_DIR/context" <df >out1 2>log1 &
	pid=$!
	ward template build -t two:1 -f - "$TEST_DIR/context" <df >out2 2>log2
	wait $pid
	run ward template ls
	assert_output_has one
	assert_output_has two
	assert_no_leftovers
}

@test "build: the network policy holds for RUN, and a refusal is told" {
	need curl
	printf 'FROM %s\nRUN wget -q -O- http://refused.example.org/ || true; false\n' "$SMALL" >df
	run -125 ward template build -t mine:1 -f - "$TEST_DIR/context" <df
	assert_output_has "the network policy refused refused.example.org"
	assert_output_has "--allow-host refused.example.org"
}

@test "build: a distribution: RUN <<EOF with apt-get, ENV, and the package in a sandbox" {
	[ -f "${WARD_ROOTFS_TAR:-/nonexistent}" ] || skip "no root file system (WARD_ROOTFS)"
	image real --gzip "$WARD_ROOTFS_TAR" >/dev/null
	cat >df <<-EOF
		FROM oci:$TEST_DIR/images/real
		RUN <<EOS
		apt-get update -q
		apt-get install -q -y hello
		EOS
		ENV HELLO=/usr/bin/hello
	EOF
	build <df
	run -0 built '$HELLO'
	assert_output_has "Hello, world!"
	# Nothing that apt was told by Ward stays.
	refute grep -E 'apt.conf.d/90ward|etc/sudoers.d/ward|home/agent|etc/resolv.conf$' <(in_layers mine:1)
	refute built 'grep -q :1000: /usr/share/none'
}
