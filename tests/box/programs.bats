#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Which program of a box had a connection: in the records of `policy log`, whatever it is called, for
# programs that use the proxy and for those that know nothing of it.

load ../lib/common

PROXY_VARIABLES='http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY NODE_USE_ENV_PROXY'

setup() {
	common_setup
	need curl python3 jq
	mkdir project
	cd project
	ward run -q --name box --network locked shell -- -c true
}

teardown() {
	[ -z "${SERVER:-}" ] || kill "$SERVER" 2>/dev/null || true
	common_teardown
}

# in_box COMMAND: a shell command inside; how it ends does not matter.
in_box() {
	ward exec box bash -c "$1" >/dev/null 2>&1 || true
}

direct() {
	in_box "unset $PROXY_VARIABLES; $1"
}

# program_of HOST: what the records about a host say, "EXE PID" or "null" a line.
program_of() {
	ward policy log --json --host "$1" box |
		jq -r '.program | if . == null then "null" else "\(.exe) \(.pid)" end'
}

# was EXE HOST COMMAND...: COMMAND connects, and a record about HOST names EXE.  Init may be busy for longer than
# the proxy waits: then it is tried again.
was() {
	local exe=$1 host=$2
	shift 2
	again() { "$@" && program_of "$host" | grep -qE "^($exe) [0-9]+$"; }
	wait_for again "$@" || fail "$host: $(program_of "$host" | tail -n 3)"
}

@test "curl, node and python are named, by the proxy and without it" {
	was '.*/curl' curl.example.com in_box 'curl -s https://curl.example.com/'
	was '.*/python3[.0-9]*' python.example.com in_box '/usr/bin/python3 -c "
import urllib.request
urllib.request.urlopen(\"http://python.example.com/\")"'
	was '.*/curl' 203.0.113.7 direct 'curl -s https://203.0.113.7/'
	was '.*/curl' direct.example.com direct 'curl -s https://direct.example.com/'
	was '.*/python3[.0-9]*' 203.0.113.8 direct '/usr/bin/python3 -c "
import socket
socket.create_connection((\"203.0.113.8\", 22))"'
	was '.*/bash' 203.0.113.9 direct ': </dev/tcp/203.0.113.9/5432'
	if ward exec box node --version >/dev/null 2>&1; then
		was '.*/node' node.example.com direct 'node -e "fetch(\"https://node.example.com/\").catch(() => 0)"'
		was '.*/node' 203.0.113.10 direct 'node -e "require(\"net\").connect(443, \"203.0.113.10\").on(\"error\", () => 0)"'
	fi
	run ward policy log --host curl.example.com box
	assert_output_has ' connect curl['
}

@test "the pid is the one inside" {
	again() {
		direct 'echo $$ >pid; : </dev/tcp/203.0.113.7/22'
		[ "$(program_of 203.0.113.7 | tail -n 1 | cut -d' ' -f2)" = "$(cat pid)" ]
	}
	wait_for again
}

@test "an allowed connection has its program too, also after it ended" {
	python3 -c '
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1], "w") as f:
    f.write(str(server.server_port))
server.serve_forever()' "$TEST_DIR/port" 3>&- 2>/dev/null &
	SERVER=$!
	wait_for test -s "$TEST_DIR/port"
	local port
	port=$(cat "$TEST_DIR/port")
	ward policy allow -q --sandbox box "localhost:$port"
	was '.*/curl' host.ward.internal in_box "curl -s http://host.ward.internal:$port/"
	was '.*/curl' host.ward.internal direct "curl -s http://host.ward.internal:$port/"
	assert_equal "$(ward policy log --json box | jq -r .verdict | sort -u)" allow
}

@test "hostile names of programs are escaped and cut off" {
	direct 'name=$(printf "/tmp/a\nb\033]0;owned\007\342\200\256c"); cp "$(command -v curl)" "$name"
		"$name" -s https://203.0.113.7/'
	was_named() {
		direct 'name=$(printf "/tmp/a\nb\033]0;owned\007\342\200\256c"); "$name" -s https://203.0.113.7/'
		[ "$(ward policy log --json --host 203.0.113.7 box | jq -c 'select(.program) | .program.exe' | tail -n 1)" = \
			'"/tmp/a\nb\u001b]0;owned\u0007‮c"' ]
	}
	wait_for was_named
	ward policy log --host 203.0.113.7 box >text
	grep -F 'a\x0ab\x1b]0;owned\x07\u{202e}c[' text
	[ -z "$(LC_ALL=C grep $'[\x01-\x09\x0b-\x1f\x7f\x80-\xff]' text)" ]
	# One of nearly 4 KiB; the longest that can be run.
	local deep='d=/tmp; for i in $(seq 15); do d=$d/$(printf "%0250d" 7); done; d=$d/$(printf "%0200d" 8); mkdir -p "$d"
		cp "$(command -v curl)" "$d/curl"; cd "$d" && ./curl -s https://203.0.113.8/'
	was_deep() {
		direct "$deep"
		[ "$(ward policy log --json --host 203.0.113.8 box | jq 'select(.program) | .program.exe | length' | tail -n 1)" = 512 ]
	}
	wait_for was_deep
}

@test "programs with many descriptors and processes do not hide others" {
	ward exec -d box bash -c 'for i in $(seq 20); do sleep 1000 & done; exec 9</dev/null
		for i in $(seq 10 1000); do eval "exec $i<&9" 2>/dev/null || break; done; touch ready; exec sleep 1000'
	wait_for test -e ready
	was '.*/curl' 203.0.113.7 direct 'curl -s https://203.0.113.7/'
}

@test "a proxy that was replaced knows the programs again" {
	note_box "$(ward ls -q)"
	kill -9 "$BOX_PROXY"
	was '.*/curl' curl.example.com in_box 'curl -s https://curl.example.com/'
}
