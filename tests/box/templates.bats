#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Images from registries, against a stand-in that misbehaves on demand (tests/lib/registry.py) and
# against Debian's docker-registry.  What a registry was sent is read from its own log.

bats_require_minimum_version 1.5.0
load ../lib/common

setup() {
	common_setup
	need python3
	SERVERS=()
}

teardown() {
	stop_servers
	common_teardown
}

stop_servers() {
	local pid
	for pid in "${SERVERS[@]}"; do
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	SERVERS=()
}

# serve NAME [ARG...]: a stand-in with DIR $TEST_DIR/NAME; sets PORT, SERVER_PID.
serve() {
	local dir="$TEST_DIR/$1"
	mkdir -p "$dir"
	rm -f "$dir/port"
	python3 "$WARD_REPO/tests/lib/registry.py" serve "$dir" "${@:2}" </dev/null >"$dir/out" 2>&1 3>&- &
	SERVER_PID=$!
	SERVERS+=("$SERVER_PID")
	wait_for test -s "$dir/port"
	PORT=$(cat "$dir/port")
}

mode() { # NAME MODE...
	echo "${*:2}" >"$TEST_DIR/$1.mode"
	mv "$TEST_DIR/$1.mode" "$TEST_DIR/$1/mode"
}

asked() { # NAME JQ-CONDITION: how many requests fulfil it
	jq -s "[.[] | select($2)] | length" "$TEST_DIR/$1/log"
}

login() { # HOST
	mkdir -p "$HOME/.docker"
	echo "{\"auths\":{\"$1\":{\"auth\":\"$(printf 'user:pass:word' | base64)\"}}}" >"$HOME/.docker/config.json"
}

store() {
	echo "$XDG_DATA_HOME/ward/templates"
}

# Names and contents of everything in the store.
contents() {
	(cd "$(store)" && find . -printf '%y %p\n' | sort && find . -type f -print0 | sort -z | xargs -0r sha256sum)
}

# Every blob has the digest that it is named after, and nothing is left of a download.
assert_store_sound() {
	local blob
	for blob in "$(store)"/blobs/sha256/* ; do
		[ -e "$blob" ] || continue
		[[ $blob != *.partial ]] || fail "left: $blob" || return 1
		assert_equal "$(sha256sum <"$blob" | cut -d' ' -f1)" "${blob##*/}"
	done
}

@test "pull, ls, inspect, rm: an image comes, is listed with its size, and goes" {
	serve a
	run --separate-stderr ward template pull -q "127.0.0.1:$PORT/x/img:v1"
	assert_status 0
	[[ $output =~ ^sha256:[0-9a-f]{64}$ ]]
	[ -z "$stderr" ]
	local digest=$output
	assert_store_sound
	run ward template ls
	assert_output_has "127.0.0.1:$PORT/x/img   v1    ${digest:7:12}"
	ward template ls --json >list
	assert_equal "$(jq -r '.[0].digest, .[0].in_use, .[0].created_at' list | tr -d '\n')" "${digest}[]2026-01-02T03:04:05Z"
	[ "$(jq '.[0].size' list)" -gt 3000000 ]
	ward template inspect "127.0.0.1:$PORT/x/img:v1" >object
	assert_equal "$(jq -r '.[0].layers | length' object)" 2
	assert_equal "$(jq -r '.[0].config.env[0]' object)" A=b
	# The name stands for the same: one question, no download.
	: >a/log
	run ward template pull "127.0.0.1:$PORT/x/img:v1"
	assert_output_has "is up to date"
	assert_equal "$(asked a '.path | contains("/blobs/")')" 0
	run ward template rm "${digest:7:10}"
	assert_status 0
	assert_equal "$(ward template ls --json)" "$(printf '[\n]')"
	[ -z "$(find "$(store)/blobs" "$(store)/refs" -type f)" ]
	run ward template rm nosuch
	assert_status 1
	assert_output_has "no template 'nosuch:latest'"
	# What -q prints is a name, too.
	ward template pull -q "127.0.0.1:$PORT/x/img:v1"
	ward template inspect "$(ward template ls -q)" >object
	ward template rm "$(ward template ls -q)"
	assert_equal "$(ward template ls -q)" ""
	run ward template rm "$digest"
	assert_status 1
	refute_output_has pull
}

@test "pull: an index, a digest, and what is not there" {
	serve a
	run --separate-stderr ward template pull -q "localhost:$PORT/x/img:multi"
	assert_status 0
	ward template ls --json >list
	[ "$(jq -r '.[0].digest' list)" != "$(jq -r '.[0].manifest' list)" ]
	run ward template pull -q "localhost:$PORT/x/img@$(jq -r '.[0].manifest' list)"
	assert_status 0
	run ward template pull --platform linux/arm64/v9 "localhost:$PORT/x/img:multi"
	assert_status 1
	assert_output_has "not there for linux/arm64/v9; it is for linux/"
	run ward template pull "localhost:$PORT/x/img:v2"
	assert_status 1
	assert_output_has "x/img:v2: not found (manifest unknown\\x1b[31m)"
	stop_servers
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 125
	assert_output_has "it cannot be reached"
	assert_output_has "hint: check the name"
	run ward template pull "localhost:$PORT/x/img@sha512:00"
	assert_status 2
	assert_output_has "only sha256 digests are supported"
}

@test "what is wrong with an image leaves the store as it was" {
	serve a
	mkdir -p "$(store)"
	ward template pull -q "localhost:$PORT/good/img:v1"
	ward template rm "localhost:$PORT/good/img:v1"
	contents >before
	local m why
	while read -r m why; do
		mode a "$m"
		run ward template pull "localhost:$PORT/x/img:v1"
		assert_status 125 || { echo "$m"; return 1; }
		assert_output_has "$why" || { echo "$m"; return 1; }
		contents >after
		diff before after || { echo "$m"; return 1; }
	done <<-END
		wrong-digest has another digest
		truncated it ended after
		too-long it is larger than its
		big-manifest larger than the 4096 KiB
		index-loop an index within an index
		confused says that it is an index, but it is a manifest
		both members of an index and of a manifest
		sha512 only sha256 digests
		foreign foreign layer
	END
	mode a other-manifest
	run ward template pull "localhost:$PORT/x/img:multi"
	assert_output_has "it sent a manifest with the digest"
	contents >after
	diff before after
	# The positive control: the same registry, behaving.
	mode a normal
	ward template pull -q "localhost:$PORT/x/img:v1"
	assert_store_sound
}

@test "a connection that breaks is continued where it broke" {
	serve a
	mode a cut
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 0
	assert_output_has "trying again"
	assert_equal "$(asked a '.range != null')" 1
	assert_store_sound
	# A server without ranges is asked from the beginning.
	ward template rm "localhost:$PORT/x/img:v1"
	rm a/log
	serve b
	mode b stall
	"$WARD" template pull -q "localhost:$PORT/x/img:v1" </dev/null 3>&- &
	local puller=$!
	wait_for partial_is_large
	kill -9 "$puller"
	wait "$puller" || true
	mode b no-range
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 0
	assert_equal "$(asked b '.range != null')" 1
	assert_store_sound
}

@test "a registry that is killed in the middle of a blob, and started again" {
	serve a
	mode a stall
	"$WARD" template pull -q "localhost:$PORT/x/img:v1" </dev/null >digest 2>messages 3>&- &
	local puller=$! port=$PORT
	wait_for partial_is_large
	stop_servers
	mode a normal
	serve a --port "$port"
	wait "$puller"
	grep -q ^sha256: digest
	[ "$(asked a '.range != null')" -ge 1 ]
	assert_store_sound
}

partial_is_large() {
	[ "$(cat "$(store)"/blobs/sha256/*.partial | wc -c)" -gt 1000000 ]
}

# The processes below one, with this name.
below() { # PID NAME
	local pid
	for pid in $(pgrep -P "$1"); do
		[ "$(cat "/proc/$pid/comm")" != "$2" ] || echo "$pid"
		below "$pid" "$2"
	done
}

# A pattern: 64 characters.
HEX=$(printf '?%.0s' {1..64})

one_part() {
	[ "$(find "$(store)/layers" -mindepth 2 -maxdepth 2 -name '*.part' | wc -l)" -eq 1 ]
}

part_has_begun() {
	[ -n "$(find "$(store)"/layers/*/*.part/fs -name blob -size +0 2>/dev/null)" ]
}

@test "a layer is unpacked while it is being downloaded, confined, and named when it is verified" {
	serve a
	mode a stall
	"$WARD" template pull -q "localhost:$PORT/x/img:v1" </dev/null >digest 2>messages 3>&- &
	local puller=$! helper task
	wait_for part_has_begun
	# The small one is complete, this one is not.
	wait_for one_part
	assert_equal "$(find "$(store)/layers" -mindepth 2 -maxdepth 2 -name "$HEX" | wc -l)" 1
	helper=$(below "$puller" ward-image)
	[ -n "$helper" ]
	# Every thread of it has given up everything; who started it has not.
	grep -q '^Seccomp:	0$' "/proc/$puller/status"
	[ "$(find "/proc/$helper/task" -mindepth 1 -maxdepth 1 | wc -l)" -eq 3 ]
	for task in "/proc/$helper"/task/*; do
		grep -q '^Seccomp:	2$' "$task/status"
		grep -q '^NoNewPrivs:	1$' "$task/status"
	done
	mode a normal
	wait "$puller"
	grep -q ^sha256: digest
	assert_equal "$(find "$(store)/layers" -mindepth 2 -maxdepth 2 -name "$HEX" | wc -l)" 2
	[ -z "$(find "$(store)/layers" -mindepth 2 -maxdepth 2 ! -name "$HEX")" ]
	# Its file is the one that was sent.
	python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(7).randbytes(3_000_000))' |
		cmp - "$(store)"/layers/*/*/fs/blob
}

@test "a layer whose download goes wrong in the end gets no name, also when all of it was unpacked" {
	serve a
	mode a stall
	"$WARD" template pull -q "localhost:$PORT/x/img:v1" </dev/null >digest 2>messages 3>&- &
	local puller=$!
	wait_for part_has_begun
	# The rest comes, with a wrong byte at the end.
	mode a wrong-digest
	local status=0
	wait "$puller" || status=$?
	assert_equal "$status" 125
	grep -q 'another digest' messages
	[ -z "$(find "$(store)/layers" -mindepth 2 -maxdepth 2)" ]
	[ -z "$(find "$(store)/blobs" -type f)" ]
}

@test "the program that talks to registries has given up what it does not need" {
	serve a
	mode a stall
	"$WARD" template pull -q "localhost:$PORT/x/img:v1" </dev/null >/dev/null 2>&1 3>&- &
	local puller=$! helper task
	wait_for partial_is_large
	helper=$(pgrep -P "$puller" -x ward-registry)
	# The positive control: who started it has not.
	grep -q '^NoNewPrivs:	0$' "/proc/$puller/status"
	grep -q '^Seccomp:	0$' "/proc/$puller/status"
	[ "$(find "/proc/$helper/task" -mindepth 1 -maxdepth 1 | wc -l)" -gt 1 ]
	for task in "/proc/$helper"/task/*; do
		grep -q '^Seccomp:	2$' "$task/status"
	done
	grep -q '^NoNewPrivs:	1$' "/proc/$helper/status"
	grep -q '^CapEff:	0000000000000000$' "/proc/$helper/status"
	grep -q '^CapPrm:	0000000000000000$' "/proc/$helper/status"
	grep -qE '^Max open files +256 +256 ' "/proc/$helper/limits"
	grep -qE '^Max core file size +0 +0 ' "/proc/$helper/limits"
	# It dies with who started it.
	kill -9 "$puller"
	wait "$puller" || true
	wait_for gone "$helper"
}

gone() {
	! kill -0 "$1"
}

@test "kill -9 at any moment: no broken template, the next pull continues, prune leaves nothing" {
	serve a
	mode a slow
	local i puller
	for i in 1 2 3 4 5 6 7 8; do
		"$WARD" template pull -q "localhost:$PORT/x/img:v1" </dev/null >/dev/null 2>&1 3>&- &
		puller=$!
		wait_for pull_is_at "$i" "$puller"
		kill -9 "$puller" 2>/dev/null || true
		wait "$puller" || true
		ward template ls --json >list
		assert_equal "$(jq '[.[] | select(.problem)] | length' list)" 0
		# One that was quicker than the kill.
		ward template rm "localhost:$PORT/x/img:v1" 2>/dev/null || true
	done
	wait_for no_helper
	ward template prune
	assert_equal "$(ward template ls --json | jq length)" 0
	[ -z "$(find "$(store)/blobs" "$(store)/refs" -type f)" ]
	ward template pull -q "localhost:$PORT/x/img:v1"
	assert_store_sound
}

# The n-th attempt is killed when it has asked for n things, whatever of that was answered.
pull_is_at() { # N PID
	[ "$(wc -l <a/log)" -ge $(($1 * 3)) ] || ! kill -0 "$2"
}

no_helper() {
	! pgrep -u "$(id -u)" -x ward-registry >/dev/null
}

# killed_somewhere COMMAND...: it is ended at some moment of the time it takes.
killed_somewhere() {
	local pid
	"$@" </dev/null >/dev/null 2>&1 3>&- &
	pid=$!
	sleep "$(awk -v t="$TOOK" -v r="$RANDOM" 'BEGIN { printf "%.4f", t * 1.1 * r / 32768 / 1000 }')"
	kill -9 "$pid" 2>/dev/null || true
	wait "$pid" || true
}

took() { # COMMAND...
	local began
	began=$(date +%s%N)
	"$@" >/dev/null
	TOOK=$((($(date +%s%N) - began) / 1000000))
}

@test "kill -9 at random moments of pull and push: what has a name is whole, on both sides" {
	serve a
	local i from=$PORT to image name
	docker_registry
	to=$PORT
	image="localhost:$from/x/img:v1"
	took ward template pull -q "$image"
	ward template rm "$image"
	for ((i = 0; i < ${WARD_KILLS:-25}; i++)); do
		killed_somewhere "$WARD" template pull -q "$image"
		ward template ls --json >list
		assert_equal "$(jq '[.[] | select(.problem)] | length' list)" 0
		if [ "$(jq length list)" -ne 0 ]; then
			wait_for no_helper
			assert_store_sound
			ward template rm "$image"
		fi
	done
	wait_for no_helper
	ward template prune
	[ -z "$(find "$(store)/blobs" "$(store)/refs" -type f)" ]
	ward template pull -q "$image" >digest
	assert_store_sound

	contents >before
	took ward template push -q "$image" "localhost:$to/y/img:whole"
	for ((i = 0; i < ${WARD_KILLS:-25}; i++)); do
		name="localhost:$to/y$i/img:v$i"
		killed_somewhere "$WARD" template push -q "$image" "$name"
		wait_for no_helper
		# It has its name there only when all of it is there.
		if "$WARD" template pull -q --platform linux/amd64 "$name" >got 2>why; then
			assert_equal "$(cat got)" "$(cat digest)"
			ward template rm "$name"
		else
			grep -q "not found\|404\|does not have\|unknown" why
		fi
	done
	ward template push -q "$image" "$name"
	ward template prune
	contents | diff - before
	assert_equal "$(ward template pull -q "$name")" "$(cat digest)"
}

@test "four pulls of one image at once: all succeed, and each blob is asked for once" {
	serve a
	mode a slow
	local i pullers=()
	for i in 1 2 3 4; do
		# Two names, one of them twice more.
		"$WARD" template pull "localhost:$PORT/$((i % 2))/img:v1" </dev/null >"out$i" 2>"err$i" 3>&- &
		pullers+=($!)
	done
	for i in "${pullers[@]}"; do wait "$i"; done
	for i in 2 3 4; do cmp out1 "out$i"; done
	grep -qE '^sha256:[0-9a-f]{64}$' out1
	assert_equal "$(asked a '(.path | contains("/blobs/")) and .method == "GET"')" 3
	assert_store_sound
	assert_equal "$(ward template ls --json | jq length)" 2
	[ -z "$(find "$(store)/layers" -mindepth 2 -maxdepth 2 ! -name "$HEX")" ]
	assert_equal "$(find "$(store)/layers" -mindepth 2 -maxdepth 2 | wc -l)" 2
}

@test "progress: a line no wider than the terminal, that is gone at the end; none elsewhere" {
	serve a
	mode a slow
	local image="localhost:$PORT/x/img:v1" columns
	# The second one becomes narrower meanwhile.
	for columns in 80 40,24; do
		run python3 "$WARD_REPO/tests/box/progress_terminal.py" "$columns" "$WARD" template pull "$image"
		assert_status 0
		assert_output_has "/3.0MB, "
		assert_output_has " of 3"
		assert_equal "${output##*screen:}" $'\n'"ward: $image was pulled"
		[ "$columns" != 80 ] || grep -qE '^\[=+ +\] [0-9.]+[kM]B/3.0MB, [012] of 3$' <<<"$output"
		ward template rm "$image"
	done
	# What is told meanwhile stays, whole.
	mode a cut
	run python3 "$WARD_REPO/tests/box/progress_terminal.py" 40 "$WARD" template pull "$image"
	assert_status 0
	[[ "${output##*screen:}" =~ ^$'\n'"ward: sha256:"[0-9a-f]{64}": trying again in "[0-9.]+" s"$'\n'"ward: $image was pulled"$ ]]
	ward template rm "$image"
	# Quiet; and without a terminal: lines, nothing that is drawn over.
	run python3 "$WARD_REPO/tests/box/progress_terminal.py" 80 "$WARD" template pull -q "$image"
	assert_equal "$output" "screen:"
	ward template rm "$image"
	run ward template pull "$image"
	assert_output_has ": done ("
	refute_output_has $'\r'
	refute_output_has $'\033'
	ward template rm "$image"
	TERM=dumb run script -qec "stty cols 80; '$WARD' template pull '$image'" /dev/null </dev/null
	refute_output_has $'\033'
}

@test "a registry that is busy is asked again" {
	serve a
	mode a busy
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 0
	assert_output_has "trying again in 1.0 s"
}

@test "basic auth: nothing without, refused when wrong, right with docker login" {
	serve a --auth basic
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 125
	assert_output_has "access denied, or there is no such image"
	assert_output_has "hint: docker login localhost:$PORT"
	mkdir -p "$HOME/.docker"
	echo "{\"auths\":{\"localhost:$PORT\":{\"username\":\"user\",\"password\":\"no\"}}}" >"$HOME/.docker/config.json"
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 125
	assert_output_has "access denied (who are you)"
	login "localhost:$PORT"
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 0
	# Credentials of another host are not tried.
	ward template rm "localhost:$PORT/x/img:v1"
	login "localhost:1"
	rm a/log
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 125
	assert_equal "$(asked a '.authorization != null')" 0
}

@test "token auth, with a credential helper" {
	serve a --auth token
	mkdir -p "$HOME/.docker" bin
	echo "{\"credHelpers\":{\"localhost:$PORT\":\"test\"}}" >"$HOME/.docker/config.json"
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 125
	assert_output_has "docker-credential-test is not in PATH"
	cat >bin/docker-credential-test <<-'END'
		#!/bin/sh
		cat >"$HOME/asked"
		env >"$HOME/env"
		echo '{"ServerURL":"x","Username":"user","Secret":"pass:word"}'
	END
	chmod +x bin/docker-credential-test
	SECRET_OF_MINE=1 PATH="$PWD/bin:$PATH" run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 0
	assert_equal "$(cat "$HOME/asked")" "localhost:$PORT"
	run ! grep SECRET_OF_MINE "$HOME/env"
	assert_equal "$(asked a '.path | startswith("/token?service=stand-in&scope=repository%3Ax%2Fimg%3Apull")')" 1
	[ "$(asked a '.authorization == "Bearer t0ken.of-the_realm"')" -ge 4 ]
}

@test "credentials do not follow a redirect to another host, and go to no realm that may not have them" {
	serve other --address 127.0.0.2
	local other=$PORT
	serve a --auth basic
	login "localhost:$PORT"
	mode a "redirect http://127.0.0.2:$other"
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 0
	assert_equal "$(asked other 'true')" 3
	assert_equal "$(asked other '.authorization != null')" 0
	# The positive control: the registry itself was sent them.
	[ "$(asked a '.authorization != null')" -ge 4 ]

	ward template rm "localhost:$PORT/x/img:v1"
	# A challenge from there is not answered.
	serve asking --address 127.0.0.2 --auth basic
	mode a "redirect http://127.0.0.2:$PORT"
	run ward template pull "$(sed 's/.*"\(localhost:[0-9]*\)".*/\1/' "$HOME/.docker/config.json")/x/img:v1"
	assert_status 125
	assert_output_has "access denied"
	assert_equal "$(asked asking '.authorization != null')" 0

	serve b --auth token
	login "localhost:$PORT"
	rm other/log
	mode b "realm http://127.0.0.2:$other/token"
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 125
	assert_output_has "neither https nor the registry's host"
	[ ! -e other/log ]
}

# A certificate authority and a certificate for localhost.
make_certificates() {
	need openssl
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=private-ca \
		-keyout ca.key -out ca.pem >/dev/null 2>&1
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
		-keyout server.key -out server.csr >/dev/null 2>&1
	openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
		-extfile <(echo subjectAltName=DNS:localhost) -out server.pem >/dev/null 2>&1
}

@test "TLS: an unknown authority is refused; known by config.yaml it is trusted, and never left for http" {
	make_certificates
	serve plain
	local plain=$PORT
	serve a --tls server.pem server.key --auth token
	login "localhost:$PORT"
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 125
	assert_output_has "its certificate is not trusted"
	assert_output_has "hint: if it has a certificate authority of its own: registries: {localhost:$PORT:"
	[ ! -e a/log ]
	mkdir -p "$XDG_CONFIG_HOME/ward"
	printf 'registries:\n  localhost:%s: {ca: %s}\n' "$PORT" "$PWD/ca.pem" >"$XDG_CONFIG_HOME/ward/config.yaml"
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 0
	ward template rm "localhost:$PORT/x/img:v1"
	mode a "downgrade http://localhost:$plain"
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 125
	assert_output_has "it redirects from https to http"
	[ ! -e plain/log ]
}

@test "mirrors are asked first, without the host's credentials; the host itself when they fail" {
	serve m
	local mirror=$PORT
	serve a --auth basic
	login "localhost:$PORT"
	mkdir -p "$XDG_CONFIG_HOME/ward"
	printf 'registries:\n  localhost:%s: {mirrors: ["localhost:%s"]}\n' "$PORT" "$mirror" \
		>"$XDG_CONFIG_HOME/ward/config.yaml"
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 0
	[ ! -e a/log ]
	assert_equal "$(asked m '.authorization != null')" 0
	ward template rm "localhost:$PORT/x/img:v1"
	mode m wrong-digest
	run ward template pull "localhost:$PORT/x/img:v1"
	assert_status 0
	assert_output_has "asking localhost:$PORT"
	[ "$(asked a '.path | contains("/blobs/")')" -ge 1 ]
	assert_store_sound
}

# docker_registry [LINE...]: Debian's, with those lines in its configuration; sets PORT.
docker_registry() {
	need docker-registry
	PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	cat >registry.yml <<-END
		version: 0.1
		log: {level: error, accesslog: {disabled: true}}
		storage: {filesystem: {rootdirectory: $PWD/registry}}
		http: {addr: "127.0.0.1:$PORT"}
	END
	printf '%s\n' "$@" >>registry.yml
	docker-registry serve registry.yml >registry.out 2>&1 </dev/null 3>&- &
	SERVERS+=($!)
	wait_for curl -s "http://127.0.0.1:$PORT/v2/"
}

@test "docker-registry with basic auth: pushed there, pulled from there" {
	need htpasswd
	htpasswd -Bbn user pass:word >passwords 2>/dev/null
	docker_registry "auth: {htpasswd: {realm: test, path: $PWD/passwords}}"
	local port=$PORT
	python3 "$WARD_REPO/tests/lib/registry.py" push "http://127.0.0.1:$port" x/img v1 user:pass:word
	run ward template pull "127.0.0.1:$port/x/img:v1"
	assert_status 125
	assert_output_has "hint: docker login 127.0.0.1:$port"
	login "127.0.0.1:$port"
	run ward template pull "127.0.0.1:$port/x/img:v1"
	assert_status 0
	assert_store_sound
	run ward template pull "127.0.0.1:$port/x/img:v2"
	assert_status 1
	assert_output_has "not found"
	ward template push -q "127.0.0.1:$port/x/img:v1" "127.0.0.1:$port/y/img:v2"
	ward template pull -q "127.0.0.1:$port/y/img:v2"
	skopeo inspect --tls-verify=false --creds user:pass:word "docker://127.0.0.1:$port/y/img:v2" >inspected
	assert_equal "$(jq -r .Digest inspected)" "$(ward template ls --json | jq -r '.[1].digest')"
}

@test "push: to its registry, as another name, and without credentials to where it is sent" {
	serve from
	local image="localhost:$PORT/x/img:v1"
	ward template pull -q "$image" >digest
	serve to --auth token
	mode to empty
	run ward template push "$image" "localhost:$PORT/y/new:v2"
	assert_status 125
	assert_output_has "hint: docker login localhost:$PORT"
	login "localhost:$PORT"
	rm to/log
	run --separate-stderr ward template push "$image" "localhost:$PORT/y/new:v2"
	assert_status 0
	assert_equal "$output" "$(cat digest)"
	assert_equal "$(asked to '.method == "PUT" and (.path | contains("digest="))')" 3
	assert_equal "$(jq -r 'select(.method == "PUT").path' to/log | tail -n 1)" /v2/y/new/manifests/v2
	[ "$(asked to '.path | contains("pull%2Cpush")')" -eq 1 ]
	# What is there already is not sent again.
	run ward template push "$image"
	assert_status 0
	assert_equal "$(asked from '.method == "POST"')" 0
	serve other --address 127.0.0.2
	mode to "upload http://127.0.0.2:$PORT"
	run ward template push "$image" "localhost:$(cat to/port)/y/new:v2"
	assert_status 0
	assert_equal "$(asked other '.method == "PUT"')" 3
	assert_equal "$(asked other '.authorization != null')" 0
	run ward template push "$image" "localhost:$PORT/y/new@sha256:$(printf '0%.0s' {1..64})"
	assert_status 2
}

@test "-t IMAGE pulls what is missing; its template is kept as long as the sandbox" {
	need_rootfs
	serve a
	local image="localhost:$PORT/x/img:v1" ws
	ws=$(new_workspace)
	run ward create --dry-run -t "$image" shell "$ws"
	assert_status 125
	assert_output_has "hint: ward template pull $image"
	run ward create --pull-template never -t "$image" shell "$ws"
	assert_output_has "it is not on this machine"
	[ ! -e a/log ]
	run ward create --name one -t "$image" shell "$ws"
	assert_status 0
	assert_equal "$(ward template ls --json | jq -r '.[0].in_use[0]')" one
	run ward template rm "$image"
	assert_status 125
	assert_output_has "in use by one"
	assert_output_has "hint: ward rm one"
	# The tag may move: the sandbox keeps its own.
	mode a busy
	run ward create --name two --pull-template always -t "$image" shell "$ws"
	assert_status 0
	ward rm one two
	ward template rm "$image"
	ward prune -f
	[ -z "$(find "$(store)/layers" "$(store)/blobs" -mindepth 2 -type f)" ]
}

@test "bad words: usage" {
	run ward template
	assert_status 2
	run ward template frob
	assert_status 2
	assert_output_has "'frob' is none of"
	run ward template pull
	assert_status 2
	run ward template pull Upper/Case
	assert_status 2
	assert_output_has "a repository is written in lower case"
	run ward template pull dir:/usr
	assert_status 2
	assert_output_has "a directory is used as it is"
	run ward template pull x --platform linux/vax
	assert_status 2
	assert_output_has "platform 'linux/vax'"
}
