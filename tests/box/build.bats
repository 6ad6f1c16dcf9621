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
		RUN : > /.wh.env; env > /env; mount > /mounts 2>&1; ls -la / /etc /home /root > /ls 2>&1; echo x > /tmp/kept; mkdir -p /run/kept" | build
	# A name that a layer would take for a whiteout is left out, and said.
	grep -F 'left out: 1 names that begin with .wh.' log
	in_layers mine:1 >files
	refute grep -F .wh. files
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
	refusals=(
		"RUN --mount=type=cache,target=/x true|Dockerfile:2: RUN --mount: Ward does not have it"
		"EXPOSE 80|Dockerfile:2: EXPOSE is not an instruction"
		"RUNN true|did you mean RUN?"
		"ADD https://example.com/x /x|only local files"
		"ADD --unpack=false file /x|ADD --unpack: Ward does not have it"
		"COPY --parents file /x|COPY --parents: Ward does not have it"
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

# In the context: an archive of one file a, one of b's in it, and its forms.
archives() {
	need bzip2 xz zstd
	cd "$TEST_DIR/context"
	mkdir -p in/dir
	echo content >in/dir/file
	ln in/dir/file in/dir/hard
	ln -s dir/file in/link
	chmod 4755 in/dir/file
	chmod 1775 in/dir
	touch -d @1000000000 in/dir/file in/dir
	tar -C in --sort=name --owner=1234 --group=77 --numeric-owner -cf a.tar .
	gzip -k a.tar
	bzip2 -k a.tar
	xz -k a.tar
	zstd -q a.tar
	gzip -c a.tar >without-extension
	rm -r in
	cd "$TEST_DIR/project"
}

@test "build: ADD unpacks local archives, of every kind; the content decides, not the name" {
	archives
	echo no archive | gzip >"$TEST_DIR/context/text.tar.gz"
	: >"$TEST_DIR/context/empty.tar"
	head -c 1024 /dev/zero >"$TEST_DIR/context/zeros.tar"
	cat >df <<-EOF
		FROM $SMALL
		RUN mkdir -p /opt/real/g/dir; ln -s /opt/real /opt/way; chmod 700 /opt/real/g/dir
		ADD a.tar /plain
		ADD a.tar.gz /opt/way/g/
		ADD a.tar.bz2 a.tar.xz a.tar.zst without-extension /all/
		ADD --chown=5:6 --chmod=600 a.tar.xz /owned/
		ADD text.tar.gz empty.tar zeros.tar /files/
		COPY a.tar.gz /copied/
		ADD sparse.tar /sparse/
	EOF
	# An archive that lies on disk with holes is all of its bytes.
	(head -c 1000000 /dev/zero; echo end) >zeros
	tar -c zeros >solid.tar
	cp --sparse=always solid.tar "$TEST_DIR/context/sparse.tar"
	[ "$(stat -c %b "$TEST_DIR/context/sparse.tar")" -lt "$(stat -c %b solid.tar)" ]
	build <df
	in_layers mine:1 >files
	if one_id; then owner=0:0; else owner=1234:77; fi
	for dir in plain opt/real/g all; do
		grep -v '^1 ' files | grep -E " $dir(/|\$)" | sed -E "s|^[0-9]+ ||; s| $dir| D|g" | grep -E 'dir|link' >of
		assert_equal "$(cat of)" "$(printf '%s\n' "5 1775 $owner D/dir " "0 4755 $owner D/dir/file " \
			"1 4755 $owner D/dir/hard D/dir/file" "2 777 $owner D/link dir/file")"
	done
	one_id || owner=5:6
	assert_equal "$(grep owned files | cut -d' ' -f3,4 | sort -u)" "$(printf '%s\n' "1775 $owner" "4755 $owner" "755 $owner" "777 $owner" | sort)"
	assert_equal "$(built 'cat /all/link /opt/way/g/dir/hard; stat -c %Y /plain/dir /plain/dir/file')" \
		"$(printf 'content\ncontent\n1000000000\n1000000000')"
	assert_equal "$(built 'gunzip -c /files/text.tar.gz; stat -c %s /files/empty.tar /files/zeros.tar; gunzip -c /copied/a.tar.gz | tar -t | wc -l')" \
		"$(printf 'no archive\n0\n1024\n5')"
	assert_equal "$(built 'tail -c 4 /sparse/zeros; stat -c %s /sparse/zeros')" "$(printf 'end\n1000004')"
	# Taken from the cache, until the archive is another one.
	cp digest first
	build <df
	assert_equal "$(cat digest)" "$(cat first)"
	assert_equal "$(grep -c CACHED log)" 8
	assert_no_leftovers
}

@test "build: hostile archives: names that lead out, links, devices, whiteouts, bombs, damage" {
	python3 - "$TEST_DIR/context" <<-'PY'
		import io, sys, tarfile
		top = sys.argv[1]
		def make(name, *entries, mode="w:gz", fmt=tarfile.PAX_FORMAT):
		    with tarfile.open(f"{top}/{name}", mode, format=fmt) as t:
		        for path, kind, link in entries:
		            m = tarfile.TarInfo(path)
		            m.type, m.linkname, m.mode = kind, link or "", 0o644
		            data = b"evil\n" if kind == tarfile.REGTYPE else b""
		            m.size = len(data)
		            t.addfile(m, io.BytesIO(data))
		F, L, H, D = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
		make("up.tgz", ("a/../../../etc/up", F, None))
		make("whiteout.tgz", ("bin/.wh.busybox", F, None))
		make("opaque.tgz", ("bin/.wh..wh..opq", F, None))
		make("nolink.tgz", ("x", H, "etc/passwd"))
		make("overdir.tgz", ("sub", F, None))
		make("odd.tgz", ("x", b"V", None))
		# These are made, and lead nowhere but into the destination.
		make("links.tgz", ("/abs", F, None), ("root", L, "/"), ("root/etc/through", F, None), ("up", L, "../../../../etc"),
		     ("up/passwd", F, None), ("out", L, "/etc/group"), ("out", F, None), ("hard", H, "out"), ("mkdir", L, "/nowhere"))
		make("devices.tgz", ("null", tarfile.CHRTYPE, None), ("disk", tarfile.BLKTYPE, None), ("fifo", tarfile.FIFOTYPE, None), ("f", F, None))
		with tarfile.open(f"{top}/old.tar", "w", format=tarfile.USTAR_FORMAT) as t:
		    m = tarfile.TarInfo("f")
		    t.addfile(m, io.BytesIO(b""))
		raw = bytearray(open(f"{top}/old.tar", "rb").read())
		raw[257:265] = bytes(8)
		raw[148:156] = b" " * 8
		raw[148:156] = b"%06o\0 " % sum(raw[:512])
		open(f"{top}/v7.tar", "wb").write(raw)
		whole = open(f"{top}/links.tgz", "rb").read()
		open(f"{top}/cut.tgz", "wb").write(whole[:-20])
	PY
	(truncate -s 300M bomb; tar -cz bomb >"$TEST_DIR/context/bomb.tgz"; rm bomb)
	refusals=(
		"up.tgz|'up.tgz': layer: 'a/../../../etc/up': a name with '..'"
		"whiteout.tgz|'whiteout.tgz': 'bin/.wh.busybox': a layer cannot hold names that begin with .wh."
		"opaque.tgz|'opaque.tgz': 'bin/.wh..wh..opq': a layer cannot hold names that begin with .wh."
		"nolink.tgz|'nolink.tgz': '/x': a hard link to a file that is not there"
		"overdir.tgz|'overdir.tgz': '/sub': a directory is in the place of a file"
		"odd.tgz|'odd.tgz': "
		"v7.tar|'v7.tar': "
		"cut.tgz|'cut.tgz': "
		"bomb.tgz|'bomb.tgz': archive: far more bytes than its size tells"
	)
	for each in "${refusals[@]}"; do
		printf 'FROM %s\nRUN mkdir -p /x/sub/below\nADD %s /x/\n' "$SMALL" "${each%%|*}" >df
		run -125 ward template build -t mine:1 -f - "$TEST_DIR/context" <df
		assert_output_has "Dockerfile:3: ADD: ${each##*|}"
		refute ward template inspect mine:1
	done
	assert_no_leftovers
	cat >df <<-EOF
		FROM $SMALL
		ADD links.tgz devices.tgz /x/
	EOF
	build <df
	grep -F 'left out: 2 device nodes' log
	in_layers mine:1 >files
	assert_equal "$(sed -n 's/^1 //p' files | cut -d' ' -f1,4-)" "$(printf '%s\n' '5 x ' '0 x/abs ' '5 x/etc ' '0 x/etc/passwd ' '0 x/etc/through ' \
		'0 x/f ' '6 x/fifo ' '0 x/hard ' '2 x/mkdir /nowhere' '1 x/out x/hard' '2 x/root /' '2 x/up ../../../../etc')"
	refute built 'grep -q evil /etc/passwd /etc/group'
	# Of the host nothing was changed either: the names above are those of files that it has.
	refute grep -q evil /etc/passwd /etc/group
}

# user.* attributes of the entries of the layers: path, name, value.
attributes() { # NAME
	in_layers "$1" >/dev/null
	python3 - <<-'PY'
		import json, tarfile
		index = json.load(open("saved/index.json"))
		blob = lambda d: "saved/blobs/sha256/" + d.split(":")[1]
		manifest = json.load(open(blob(index["manifests"][0]["digest"])))
		for layer in manifest["layers"]:
		    for m in tarfile.open(blob(layer["digest"])):
		        for k, v in m.pax_headers.items():
		            if k.startswith("SCHILY.xattr."):
		                print(m.name, k[13:], len(v) if "capability" in k else v)
	PY
}

@test "build: COPY keeps hard links, attributes, holes, modes and times, from a context and from a stage" {
	cd "$TEST_DIR/context"
	mkdir -p tree/sub tree/sticky
	echo content >tree/a
	ln tree/a tree/sub/b
	ln tree/a c
	echo other >tree/sub/suid
	chmod 6711 tree/sub/suid
	chmod 1777 tree/sticky
	truncate -s 8M tree/holes
	echo end >>tree/holes
	python3 -c 'import os; os.setxattr("tree/a", "user.note", b"kept"); os.setxattr("tree/sub", "user.dir", b"too")'
	if [ "$(id -u)" -eq 0 ]; then setcap cap_net_raw+ep tree/sub/suid; fi
	touch -d @1000000000.25 tree/a tree/sticky tree/sub
	cd "$TEST_DIR/project"
	cat >df <<-EOF
		FROM $SMALL AS first
		RUN mkdir -p /d/sub && chmod 700 /d/sub
		COPY tree /d/
		COPY c tree/a /apart/
		COPY --chmod=640 tree/a /mode/new/a
		FROM $SMALL
		COPY --from=first /d /e
		COPY --from=first /apart /apart
	EOF
	build --target first <df
	in_layers mine:1 | sed 's/^[0-9]* //' >files
	grep -E '^1 644 0:0 d/sub/b d/a$' files
	grep -E '^0 6711 0:0 d/sub/suid $' files
	grep -E '^5 1777 0:0 d/sticky ' files
	# A directory that was there is as the one that was copied.
	assert_equal "$(grep -cE '^5 755 0:0 d/sub ' files)" 1
	# Other sources are other files, and what is made for a file has the usual mode.
	grep -E '^0 .* apart/a ' files
	grep -E '^0 .* apart/c ' files
	grep -E '^0 640 0:0 mode/new/a ' files
	grep -E '^5 755 0:0 mode/new ' files
	attributes mine:1 >attrs
	grep -x 'd/a user.note kept' attrs
	grep -x 'd/sub user.dir too' attrs
	[ "$(id -u)" -ne 0 ] || grep -x 'd/sub/suid security.capability 20' attrs
	build <df
	in_layers mine:1 | sed 's/^[0-9]* //' >files
	grep -E '^1 644 0:0 e/sub/b e/a$' files
	grep -E '^0 6711 0:0 e/sub/suid $' files
	attributes mine:1 >attrs
	grep -x 'e/a user.note kept' attrs
	grep -x 'e/sub user.dir too' attrs
	[ "$(id -u)" -ne 0 ] || grep -x 'e/sub/suid security.capability 20' attrs
	assert_equal "$(built 'stat -c %h /e/a /apart/a; stat -c %Y /e/a /e/sticky /e/sub; tail -c 4 /e/holes; stat -c %s /e/holes')" \
		"$(printf '%s\n' 2 1 1000000000 1000000000 1000000000 end 8388612)"
	[ "$(built 'stat -c %b /e/holes')" -lt 1024 ]
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

@test "build: COPY --link looks at nothing of the image; FROM scratch" {
	echo content >"$TEST_DIR/context/file"
	mkdir "$TEST_DIR/context/tree"
	echo content >"$TEST_DIR/context/tree/x"
	echo content >"$TEST_DIR/context/tree/y"
	tar -C "$TEST_DIR/context" -cf "$TEST_DIR/context/a.tar" tree
	cat >df <<-EOF
		FROM $SMALL
		RUN mkdir /real; ln -s /real /one; ln -s /real /two; ln -s /real /three
		COPY file /one/
		COPY --link --chown=3:4 file /two/
		COPY --link=false file /three/other
		ADD --link a.tar /added/
	EOF
	build <df
	in_layers mine:1 | sed 's/^[0-9]* //' >files
	grep -E ' real/file $' files
	grep -E ' real/other $' files
	refute grep -E ' one/' files
	if one_id; then grep -E '^0 644 0:0 two/file $' files; else grep -E '^0 644 3:4 two/file $' files; fi
	grep -E ' added/tree/y $' files
	assert_equal "$(built 'ls /real /two')" "$(printf '%s\n' /real: file other '' /two: file)"
	printf 'FROM %s\nCOPY --link=maybe file /x\n' "$SMALL" >df
	run -125 ward template build -t mine:1 -f - "$TEST_DIR/context" <df
	assert_output_has "--link=maybe: true or false is expected"
	printf 'FROM scratch\nCOPY file /x\nADD a.tar /\n' | build
	assert_equal "$(in_layers mine:1 | cut -d' ' -f2,5)" "$(printf '%s\n' '0 x' '5 tree' '0 tree/x' '0 tree/y')"
}

@test "build: template prune does not wait for a build, and takes nothing away from one" {
	local round pid
	build <<<"FROM $SMALL"
	ward template rm mine:1
	# An image of nobody's, and a step that is under way: prune ends before it does.
	printf 'FROM %s\nRUN echo x > /garbage\n' "$SMALL" | build
	ward template rm mine:1
	printf 'FROM %s\nRUN echo y > /kept\nRUN echo begun; sleep 300\n' "$SMALL" >df
	"$WARD" template build -t mine:1 -f - "$TEST_DIR/context" <df >out 2>log &
	pid=$!
	wait_for grep -qx begun log
	local before
	before=$(find "$STORE/layers" "$STORE/blobs/sha256" | wc -l)
	ward template prune
	kill -0 "$pid"
	[ "$(find "$STORE/layers" "$STORE/blobs/sha256" | wc -l)" -lt "$before" ]
	kill -TERM "$pid"
	wait "$pid" || true
	sed -i 's/sleep 300/true/' df
	build <df
	# What the first one made, before and during prune, was used again.
	assert_equal "$(grep -c CACHED log)" 1
	assert_equal "$(built 'cat /kept')" y
	# And with prune at every moment of a whole build.
	cat >df <<-END
		FROM $SMALL AS first
		ARG ROUND
		RUN echo \$ROUND >/a
		COPY file /b
		FROM $SMALL
		COPY --from=first /a /b /got/
		RUN cat /got/a /got/b >/both
	END
	echo x >"$TEST_DIR/context/file"
	(until [ -e "$TEST_DIR/enough" ]; do "$WARD" template prune >>"$TEST_DIR/prunes"; done) &
	pid=$!
	for round in 1 2 3; do
		build --build-arg "ROUND=$round" <df
		assert_equal "$(built 'cat /both')" "$round"$'\n'x
	done
	: >"$TEST_DIR/enough"
	wait "$pid"
	[ "$(wc -l <"$TEST_DIR/prunes")" -gt 3 ]
	assert_blobs_whole
	assert_no_leftovers
	assert_equal "$(ls -A "$STORE/leases")" ""
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

# config NAME KEY VALUE: an archive of an image with another configuration, as NAME:2.
reconfigured() {
	ward template save -o changed.tar "$1:1"
	python3 - "$2" "$3" <<-'PY'
		import hashlib, io, json, sys, tarfile
		old = tarfile.open("changed.tar")
		files = {m.name: old.extractfile(m).read() for m in old if m.isfile()}
		name = lambda d: "blobs/sha256/" + d.split(":")[1]
		def add(data):
		    digest = "sha256:" + hashlib.sha256(data).hexdigest()
		    files[name(digest)] = data
		    return digest, len(data)
		index = json.loads(files["index.json"])
		manifest = json.loads(files[name(index["manifests"][0]["digest"])])
		config = json.loads(files[name(manifest["config"]["digest"])])
		config["config"][sys.argv[1]] = json.loads(sys.argv[2])
		for holder, data in ((manifest["config"], config), (index["manifests"][0], manifest)):
		    holder["digest"], holder["size"] = add(json.dumps(data).encode())
		files["index.json"] = json.dumps(index).encode()
		with tarfile.open("changed.tar", "w") as t:
		    for path, data in files.items():
		        m = tarfile.TarInfo(path)
		        m.size = len(data)
		        t.addfile(m, io.BytesIO(data))
	PY
	ward template load -i changed.tar "$1:2"
}

@test "build: ONBUILD of a base image is run, once; what cannot be is refused" {
	echo content >"$TEST_DIR/context/file"
	build <<<"FROM $SMALL"
	reconfigured mine OnBuild '["COPY file /triggered/", "ENV A=b", "RUN echo $A > /ran"]'
	printf 'FROM mine:2\nRUN cat /triggered/file /ran > /both\n' >df
	build <df
	grep -F 'ONBUILD COPY file /triggered/' log
	assert_equal "$(built 'cat /both')" "$(printf 'content\nb')"
	# Not again in what is made from that, and from the cache the second time.
	cp digest first
	build <df
	assert_equal "$(cat digest)" "$(cat first)"
	assert_equal "$(grep -c CACHED log)" 3
	printf 'FROM mine:1\nRUN true\n' | build
	refute grep ONBUILD log
	for each in 'EXPOSE 80|EXPOSE is not an instruction' 'FROM other|is not one instruction' 'COPY --from=unused /x /y|that stage is not built here' \
		"RUN true\nRUN true|is not one instruction"; do
		build <<<"FROM $SMALL"
		reconfigured mine OnBuild "[\"${each%%|*}\"]"
		printf 'FROM scratch AS unused\nCOPY file /\nFROM mine:2\n' >df
		run -125 ward template build -t not:1 -f - "$TEST_DIR/context" <df
		assert_output_has "Dockerfile:3: FROM: ONBUILD of mine:2: "
		assert_output_has "${each##*|}"
	done
	assert_no_leftovers
}

@test "build: an image's PATH that leads nowhere: the shell is found behind it" {
	printf 'FROM %s\nENV PATH=/evil\n' "$SMALL" | build
	assert_equal "$(built 'echo $PATH; ls -d /bin')" "$(printf '%s\n' \
		/home/agent/.local/bin:/run/ward/bin:/evil:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /bin)"
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
