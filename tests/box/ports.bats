#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Published ports: who is reached, from where, and for how long. The verdict is what a client on this
# machine gets, and which sockets listen here.

load ../lib/common

setup() {
	common_setup
	need python3 ss jq
	mkdir project
	cd project
	cp "$BATS_TEST_DIRNAME/port_peer.py" .
	PEER="$TEST_DIR/project/port_peer.py"
	TAKER=
}

teardown() {
	[ -z "$TAKER" ] || kill "$TAKER" 2>/dev/null || true
	common_teardown
}

peer() {
	timeout 60 python3 "$PEER" "$@"
}

# make NAME [OPTION...]: a sandbox, not started.
make() {
	local name=$1
	shift
	ward create -q -t host --name "$name" "$@" shell . >/dev/null
}

# serve SANDBOX ADDRESS PORT: a service inside.
serve() {
	ward exec -d "$1" python3 "$PEER" serve "$2" "$3" >/dev/null
	listens() { ward exec "$1" ss -ltnH "sport = :$2" | grep -q .; }
	wait_for listens "$1" "$3"
}

# host_port SANDBOX PORT: where it is published.
host_port() {
	ward ports --json "$1" | jq -r --argjson p "$2" 'first(.[] | select(.sandbox_port == $p)).host_port'
}

# bound PORT: the addresses of this machine on which it listens.
bound() {
	ss -ltnH "sport = :$1" | awk '{print $4}' | sort | tr '\n' ' '
}

answers() {
	[ "$(peer ask 127.0.0.1 "$1" hello 2>/dev/null)" = "hello from $2" ]
}

# take ADDRESS PORT: somebody else listens there.
take() {
	python3 "$PEER" take "$1" "$2" >taken 2>&1 3>&- &
	TAKER=$!
	wait_for grep -qx taken taken
}

@test "a service is reached wherever it listens inside, over both loopback addresses" {
	make box -p 3001 -p 3002 -p 3003
	serve box 127.0.0.1 3001
	serve box 0.0.0.0 3002
	serve box ::1 3003
	for pair in 3001=127.0.0.1 3002=0.0.0.0 3003=::1; do
		port=$(host_port box "${pair%=*}")
		assert_equal "$(peer ask 127.0.0.1 "$port" hello)" "hello from ${pair#*=}"
		assert_equal "$(peer ask ::1 "$port" hello)" "hello from ${pair#*=}"
	done
}

@test "it is on the loopback addresses only, unless another one is written" {
	make box -p 3000
	serve box 127.0.0.1 3000
	port=$(host_port box 3000)
	assert_equal "$(bound "$port")" "127.0.0.1:$port [::1]:$port "
	other=$(ip -4 -o addr show scope global 2>/dev/null | awk '{sub("/.*", "", $4); print $4; exit}')
	[ -n "$other" ] || skip "this machine has no address but loopback"
	run peer ask "$other" "$port" hello
	assert_status 1
	assert_output_has "Connection refused"
	# The positive control: written, it is reached there, and only there.
	run ward ports box --publish "$other:0:3000"
	assert_status 0
	port=$(ward ports --json box | jq -r --arg ip "$other" '.[] | select(.host_ip == $ip).host_port')
	assert_equal "$(peer ask "$other" "$port" hello)" "hello from 127.0.0.1"
	assert_equal "$(bound "$port")" "$other:$port "
}

@test "publishing on every address is done with a warning" {
	port=$(peer free)
	run ward run -q -t host -p "0.0.0.0:$port:3000" --name box shell -- -c true
	assert_status 0
	assert_output_has "0.0.0.0:$port->3000/tcp: every computer that reaches this one"
	assert_equal "$(bound "$port")" "0.0.0.0:$port "
}

@test "where nothing listens, a connection ends at once" {
	make box -p 3000
	ward exec box true
	port=$(host_port box 3000)
	run timeout 5 python3 "$PEER" ask 127.0.0.1 "$port" hello
	assert_status 1
	assert_output_has "Connection reset"
	serve box 127.0.0.1 3000
	assert_equal "$(peer ask 127.0.0.1 "$port" hello)" "hello from 127.0.0.1"
}

@test "ports are published and withdrawn while the sandbox runs, with their connections" {
	make box
	serve box 127.0.0.1 3000
	run ward ports box
	assert_equal "${#lines[@]}" 1
	port=$(peer free)
	run ward ports box --publish "$port:3000"
	assert_status 0
	assert_equal "$output" "127.0.0.1:$port->3000/tcp"
	run ward ls
	assert_output_has "127.0.0.1:$port->3000/tcp"
	assert_equal "$(ward inspect box | jq -c '.[0].ports[1] | [.host_ip, .host_port, .sandbox_port]')" "[\"::1\",$port,3000]"
	python3 -c 'import socket, sys
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
c.sendall(b"hold\n")
print(c.recv(5).decode().strip(), flush=True)
try:
    print("end", len(c.recv(1)), flush=True)
except ConnectionResetError:
    print("reset", flush=True)' "$port" >held 2>&1 3>&- &
	TAKER=$!
	wait_for grep -qx held held
	run ward ports box --unpublish "$port:3000"
	assert_status 0
	wait_for grep -qx reset held
	assert_equal "$(bound "$port")" ""
	run ward ports box --unpublish "$port:3000"
	assert_status 125
	assert_output_has "port $port:3000 is not published"
}

@test "ports survive a restart, a free one keeps its number, and a stopped sandbox can be changed" {
	make box -p 3000
	ward exec box true
	port=$(host_port box 3000)
	ward stop box >/dev/null
	assert_equal "$(bound "$port")" ""
	other=$(peer free)
	ward ports box --publish "$other:4000" >/dev/null
	assert_equal "$(bound "$other")" ""
	serve box 127.0.0.1 4000
	assert_equal "$(host_port box 3000)" "$port"
	assert_equal "$(bound "$port")" "127.0.0.1:$port [::1]:$port "
	assert_equal "$(peer ask ::1 "$other" hello)" "hello from 127.0.0.1"
	# Withdrawn for good, too.
	ward ports box --unpublish 3000 >/dev/null
	ward stop box >/dev/null
	ward exec box true
	assert_equal "$(ward ports --json box | jq -c '[.[].sandbox_port]')" "[4000,4000]"
	assert_equal "$(bound "$port")" ""
	# The number is taken meanwhile: another one.
	ward ports box --publish 3000 >/dev/null
	port=$(host_port box 3000)
	ward stop box >/dev/null
	take ::1 "$port"
	ward exec box true
	[ "$(host_port box 3000)" != "$port" ]
}

@test "a port that is taken is told before anything is built" {
	port=$(peer free)
	for address in 127.0.0.1 ::1; do
		take "$address" "$port"
		run ward run -q -t host -p "$port:3000" --name box shell -- -c true
		assert_status 125
		assert_output_has "sandbox 'box': port 3000 of the sandbox cannot be published: "
		assert_output_has ":$port of this machine is taken"
		assert_output_has "hint: ss -ltnp"
		run ward ls -q
		assert_equal "$output" ""
		kill "$TAKER"
		wait "$TAKER" 2>/dev/null || true
		TAKER=
	done
	run ward run -q -t host -p "$port:3000" --name box shell -- -c true
	assert_status 0
}

@test "of two sandboxes with the same port the second is told which one has it" {
	port=$(peer free)
	make one -p "$port:3000"
	make two -p "$port:3000"
	serve one 127.0.0.1 3000
	run ward exec two true
	assert_status 125
	assert_output_has "sandbox 'two': port 3000 of the sandbox cannot be published: 127.0.0.1:$port of this machine is taken"
	assert_output_has "sandbox 'one' has it"
	assert_equal "$(peer ask 127.0.0.1 "$port" hello)" "hello from 127.0.0.1"
	# The hint's cure.
	ward ports two --unpublish "$port:3000" --publish 3000 >/dev/null
	ward exec two true
	run ward ports two --publish "$port:4000"
	assert_status 125
	assert_output_has "sandbox 'one' has it"
	assert_equal "$(ward ports --json two | jq length)" 2
}

@test "two hundred connections at once, half-closed ones, and much data both ways" {
	make box -p 3000
	serve box 127.0.0.1 3000
	port=$(host_port box 3000)
	assert_equal "$(peer many 127.0.0.1 "$port" 200)" 200
	assert_equal "$(peer echo ::1 "$port" 20000000)" same
	assert_equal "$(peer twins 127.0.0.1 "$port" 100000000)" same
	# More than are relayed at once wait for their turn.
	assert_equal "$(peer many 127.0.0.1 "$port" 200)" 200
}

@test "the relay is confined, and when it is killed connections end, which is told, and the next ones work" {
	make box -p 3000
	serve box 127.0.0.1 3000
	port=$(host_port box 3000)
	relay=$(ward inspect box | jq .[0].enforcement.ports.pid)
	grep -qx "Seccomp:.2" "/proc/$relay/status"
	grep -qx "NoNewPrivs:.1" "/proc/$relay/status"
	grep -qx "CapEff:.0*" "/proc/$relay/status"
	peer ask 127.0.0.1 "$port" hold >held 2>&1 3>&- &
	TAKER=$!
	relays() { ss -tnH state established "sport = :$port" | grep -q .; }
	wait_for relays
	kill -9 "$relay"
	ended() { ! kill -0 "$TAKER" 2>/dev/null; }
	wait_for ended
	TAKER=
	wait_for answers "$port" 127.0.0.1
	assert_equal "$(ward inspect box | jq .[0].enforcement.ports.restarts)" 1
	grep -q "ward-ports ended" "$XDG_DATA_HOME"/ward/sandboxes/*/log/supervisor.log
}

@test "a kit's ports are on free ones, unless the command line places them" {
	mkdir kit
	cat >kit/spec.yaml <<-'YAML'
		schemaVersion: "2"
		kind: mixin
		name: web
		ports:
		  - {container: 3000, protocol: tcp, name: web}
		  - {container: 4000}
		  - {container: 53, protocol: udp}
	YAML
	port=$(peer free)
	run ward run -t host --name box --kit ./kit -p "$port:4000" shell -- -c true
	assert_status 0
	web=$(host_port box 3000)
	assert_output_has "127.0.0.1:$web->3000/tcp"
	assert_equal "$(ward ports --json box | jq -c 'map([.sandbox_port, .ephemeral, .name]) | unique')" \
		'[[3000,true,"web"],[4000,false,null]]'
	assert_equal "$(bound "$web")" "127.0.0.1:$web [::1]:$web "
	assert_equal "$(bound "$port")" "127.0.0.1:$port [::1]:$port "
}

@test "a port that is asked for later is not silently ignored" {
	make box -p 3000
	run ward run -t host --name box -p 3000 shell -- -c true
	assert_status 0
	refute_output_has "--publish"
	run ward run -t host --name box -p 4000 shell -- -c true
	assert_output_has "keeps what it was made with for --publish"
	run ward run -q --recreate -t host --name box -p 4000 shell -- -c true
	assert_status 0
	assert_equal "$(ward ports --json box | jq -c '[.[].sandbox_port] | unique')" "[4000]"
}

@test "the port of the sandbox's own proxy is not published" {
	make box
	ward exec box true
	run ward ports box --publish 3128
	assert_status 125
	assert_output_has "its proxy listens there"
}

@test "ports below 1024 are root's" {
	make box
	ward exec box true
	port=997
	[ -z "$(bound $port)" ] || skip "port $port of this machine is in use"
	run ward ports box --publish "127.0.0.1:$port:3000"
	if [ "$(id -u)" -eq 0 ] || [ "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" -le $port ]; then
		assert_status 0
		assert_equal "$(bound $port)" "127.0.0.1:$port "
	else
		assert_status 125
		assert_output_has "port $port of this machine needs root"
		assert_equal "$(ward ports --json box | jq length)" 0
	fi
}
