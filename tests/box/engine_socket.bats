#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# --mount-docker-socket: the engine's socket inside, by a relay; with a stand-in for the engine.

load ../lib/common
load ../lib/cli

setup() {
	common_setup
	need python3
	WS="$TEST_DIR/project"
	mkdir "$WS"
	cd "$WS"
	unset DOCKER_HOST DOCKER_CONTEXT DOCKER_CONFIG
	ENGINE=
}

teardown() {
	cd /
	[ -z "$ENGINE" ] || kill "$ENGINE" 2>/dev/null || true
	common_teardown
}

# engine SOCKET: start a stand-in.
engine() {
	python3 "$BATS_TEST_DIRNAME/stand_in_engine.py" "$1" "$TEST_DIR/requests" >/dev/null 2>&1 3>&- &
	ENGINE=$!
	there() { [ -S "$1" ] && python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$1"; }
	wait_for there "$1"
}

# A program inside that speaks with the engine at $DOCKER_HOST.
ask='import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(os.environ["DOCKER_HOST"].removeprefix("unix://"))
s.sendall(b"POST /echo HTTP/1.1\r\n\r\n")
n = int(sys.argv[1])
got = 0
import threading
def send():
    left = n
    while left:
        k = min(left, 65536)
        s.sendall(b"x" * k)
        left -= k
    s.shutdown(socket.SHUT_WR)
t = threading.Thread(target=send)
t.start()
data = b""
while True:
    more = s.recv(65536)
    if not more:
        break
    got += more.count(b"x")
    data = (data + more)[-13:]
t.join()
print(got, data.decode().strip())'

@test "the engine is reached by its socket, both ways, with half-closed connections" {
	engine "$XDG_RUNTIME_DIR/docker.sock"
	run ward create -q --mount-docker-socket --name box -t host shell
	assert_status 0
	assert_equal "$(ward inspect box | jq '.[0].docker_socket')" true
	run ward exec box python3 -c "$ask" 3000000
	assert_status 0
	assert_equal "$output" "ward: --mount-docker-socket: this gives the agent control of the Docker engine, which is root on this machine
3000000 end of input"
	# The engine sees the user, not an id of the box.
	assert_equal "$(sort -u "$TEST_DIR/requests")" "$(id -u) POST /echo HTTP/1.1"
	# Said once a start, and at every one.
	run ward exec box sh -c 'echo $DOCKER_HOST; ls -l /var/run/docker.sock >/dev/null && echo there'
	assert_equal "$output" $'unix:///run/docker.sock\nthere'
	ward stop box
	run ward run -q box -- -c true
	assert_output_has "control of the Docker engine"
	# More at once than the relay takes at a time.
	run ward exec box bash -c 'for i in $(seq 90); do python3 -c "$0" 1000 & done; wait' "$ask"
	assert_equal "$(sort -u <<<"$output")" "1000 end of input"
	# Root inside as well.
	run ward exec -u root box python3 -c "$ask" 7
	assert_equal "$output" "7 end of input"
	# Nothing of it is left when the box is gone.
	note_box "$(ward ls -q)"
	kill -9 "$BOX_SUPERVISOR"
	no_relay() { ! pgrep -u "$(id -u)" -x ward-engine >/dev/null; }
	wait_for no_relay
}

@test "the real Docker client works inside" {
	need docker
	engine "$XDG_RUNTIME_DIR/docker.sock"
	run ward run -q --mount-docker-socket -t host shell -c 'docker version --format "{{.Server.Version}}"'
	assert_status 0
	assert_output_has 9.9.9
	grep -q ' GET /.*version' "$TEST_DIR/requests"
}

@test "without the option there is no socket; an engine that comes back is reached again" {
	engine "$XDG_RUNTIME_DIR/docker.sock"
	# The control: the same question where it is allowed.
	ward create -q --mount-docker-socket --name with -t host shell
	ward exec with python3 -c "$ask" 5 2>/dev/null | grep -q '^5 '
	run ward run -q -t host shell -c 'echo "${DOCKER_HOST:-none}"; ls /run/docker.sock /var/run/docker.sock 2>&1'
	assert_output_has none
	refute_output_has_line() { refute grep -qx "$1" <<<"$output"; }
	refute_output_has_line /run/docker.sock
	run ward run --mount-docker-socket shell -c true
	assert_output_has "keeps what it was made with for --mount-docker-socket"
	run ward run -q --recreate --mount-docker-socket shell -c 'test -S /run/docker.sock && echo there'
	assert_output_has there
	kill "$ENGINE"
	wait "$ENGINE" || true
	run ward exec with python3 -c "$ask" 5
	[ "$status" -ne 0 ]
	engine "$XDG_RUNTIME_DIR/docker.sock"
	ward exec with python3 -c "$ask" 6 | grep -q '^6 '
}

@test "which socket: DOCKER_HOST, the context, the usual places; refusals name the cure" {
	create() { ward create -q --mount-docker-socket --dry-run -t host shell; }
	if [ ! -e /var/run/docker.sock ]; then
		run create
		assert_status 125
		assert_output_has "ward: --mount-docker-socket: no container engine answers on this machine"
		assert_output_has "hint: start it, or say where its socket is: DOCKER_HOST=unix:///PATH"
		[ -z "$(ward ls -q)" ]
	fi
	engine "$TEST_DIR/mine.sock"
	export DOCKER_HOST="unix://$TEST_DIR/mine.sock"
	run create
	assert_status 0
	assert_output_has "socket /run/docker.sock <- $TEST_DIR/mine.sock"
	ln -s mine.sock "$TEST_DIR/link.sock"
	DOCKER_HOST="unix://$TEST_DIR/link.sock" run create
	assert_output_has "socket /run/docker.sock <- $TEST_DIR/mine.sock"
	DOCKER_HOST=tcp://192.0.2.1:2375 run create
	assert_status 125
	assert_output_has "DOCKER_HOST is tcp://192.0.2.1:2375, not a socket of this machine"
	touch "$TEST_DIR/file"
	DOCKER_HOST="unix://$TEST_DIR/file" run create
	assert_output_has "not a socket"
	DOCKER_HOST="unix://$TEST_DIR/nope" run create
	assert_output_has "nope: No such file or directory"
	unset DOCKER_HOST
	local meta="$HOME/.docker/contexts/meta"
	mkdir -p "$meta/0123" "$meta/4567"
	echo '{"Name": "far", "Endpoints": {"docker": {"Host": "ssh://there"}}}' >"$meta/0123/meta.json"
	echo "{\"Name\": \"near\", \"Endpoints\": {\"docker\": {\"Host\": \"unix://$TEST_DIR/mine.sock\"}}}" \
		>"$meta/4567/meta.json"
	echo '{"currentContext": "near"}' >"$HOME/.docker/config.json"
	run create
	assert_output_has "socket /run/docker.sock <- $TEST_DIR/mine.sock"
	DOCKER_CONTEXT=far run create
	assert_output_has "the Docker context is ssh://there, not a socket of this machine"
	DOCKER_CONTEXT=nope run create
	assert_output_has "no Docker context named 'nope'"
	rm -r "$HOME/.docker"
	kill "$ENGINE"
	wait "$ENGINE" || true
	DOCKER_HOST="unix://$TEST_DIR/mine.sock" run create
	assert_status 125
	assert_output_has "Connection refused"
	# A start is refused as well when the engine went away since.
	engine "$XDG_RUNTIME_DIR/docker.sock"
	ward create -q --mount-docker-socket --name box -t host shell
	rm "$XDG_RUNTIME_DIR/docker.sock"
	if [ ! -e /var/run/docker.sock ]; then
		run ward run -q box -- -c true
		assert_status 125
		assert_output_has "no container engine answers"
	fi
}

@test "a socket that this user may not open is refused, and said why" {
	[ "$(id -u)" -ne 0 ] || skip "root opens every socket"
	engine "$TEST_DIR/mine.sock"
	chmod 0 "$TEST_DIR/mine.sock"
	DOCKER_HOST="unix://$TEST_DIR/mine.sock" run ward create -q --mount-docker-socket -t host shell
	assert_status 125
	assert_output_has "Permission denied"
	assert_output_has "usermod -aG docker"
}
