#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Network rules of running sandboxes: changes by commands and by hand, at once and in every sandbox
# that they concern; bad files; what refusals say, pasted.  The verdict is what a server of the host
# has seen.

load ../lib/common

setup() {
	common_setup
	need curl python3
	mkdir project
	cd project
	FILE="$XDG_CONFIG_HOME/ward/policy.yaml"
	cat >"$TEST_DIR/server.py" <<'END'
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        with open(sys.argv[2], "a") as log:
            log.write(self.command + " " + self.path + "\n")
        self.send_response(200)
        if self.path == "/stream":
            self.end_headers()
            while True:
                self.wfile.write(b"x\n")
                self.wfile.flush()
                time.sleep(0.02)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")
    do_POST = do_GET
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
with open(sys.argv[1] + ".new", "w") as f:
    f.write(str(server.server_port))
import os
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
END
	: >"$TEST_DIR/seen"
	python3 "$TEST_DIR/server.py" "$TEST_DIR/port" "$TEST_DIR/seen" 3>&- 2>"$TEST_DIR/server.err" &
	SERVER=$!
	wait_for test -s "$TEST_DIR/port"
	PORT=$(cat "$TEST_DIR/port")
}

teardown() {
	kill "$SERVER" 2>/dev/null || true
	common_teardown
}

start() { # NAME [OPTION...]
	local name=$1
	shift
	ward run -q --name "$name" "$@" shell -- -c true
}

# The status of a request from inside; 000 when the connection ended without an answer.
get() { # SANDBOX [PATH [CURL_OPTION...]]
	local box=$1 path=${2:-/}
	shift 2 || shift
	ward exec "$box" curl -s -o /dev/null -w '%{http_code}' "$@" "http://host.ward.internal:$PORT$path" || true
}

gets() { # STATUS SANDBOX
	[ "$(get "$2")" = "$1" ]
}

seen() {
	wc -l <"$TEST_DIR/seen"
}

@test "allow and rm act at once in the sandbox, and only there" {
	start one
	start two
	assert_equal "$(get one)" 403
	assert_equal "$(seen)" 0
	run ward policy allow --sandbox one "localhost:$PORT"
	assert_status 0
	assert_output_has "in force in one"
	assert_equal "$(get one)" 200
	assert_equal "$(get two)" 403
	assert_equal "$(seen)" 1
	ward policy rm --sandbox one "localhost:$PORT"
	assert_equal "$(get one)" 403
	assert_equal "$(seen)" 1
}

@test "rules for all reach every running sandbox, stopped ones at their start, new ones at once" {
	start one
	start two
	start off
	ward stop off
	run ward policy allow --json "localhost:$PORT"
	assert_status 0
	assert_output_has '"in_force": true'
	assert_equal "$(jq -c '[.sandboxes[].name] | sort' < <(ward policy allow -q --json "localhost:$PORT"))" '["one","two"]'
	for box in one two off; do
		assert_equal "$(get "$box")" 200
	done
	start new
	assert_equal "$(get new)" 200
	# A denial of the sandbox's own beats it.
	ward policy deny -s two "localhost:$PORT"
	assert_equal "$(get two)" 403
	assert_equal "$(get one)" 200
}

@test "a connection that is not allowed any more is cut" {
	start box --allow-host "localhost:$PORT"
	ward exec box curl -sN "http://host.ward.internal:$PORT/stream" >"$TEST_DIR/out" 3>&- &
	local pid=$!
	wait_for test -s "$TEST_DIR/out"
	ward policy deny "localhost:$PORT"
	# It ends by itself: nobody asked the program to.
	ended() { ! kill -0 "$pid" 2>/dev/null; }
	wait_for ended
	wait_for test -s "$(sandbox_dir "")/log/network.jsonl"
	jq -e 'select(.reason == "the rules changed")' "$(sandbox_dir "")/log/network.jsonl"
}

@test "edits by hand are noticed: in place, by rename, and the first file of all" {
	start box
	[ ! -e "$FILE" ]
	printf 'allow:\n  - localhost:%s\n' "$PORT" >"$FILE"
	wait_for gets 200 box
	printf '# none\n' >"$FILE.new"
	mv "$FILE.new" "$FILE"
	wait_for gets 403 box
	printf 'allow:\n  - localhost:%s\n' "$PORT" >"$(sandbox_dir "")/policy.yaml"
	wait_for gets 200 box
	rm "$(sandbox_dir "")/policy.yaml"
	wait_for gets 403 box
}

@test "an edit by hand of what a link leads to is noticed" {
	mkdir -p "$XDG_CONFIG_HOME/ward" "$TEST_DIR/dotfiles"
	printf '# none\n' >"$TEST_DIR/dotfiles/ward.yaml"
	ln -s "$TEST_DIR/dotfiles/ward.yaml" "$FILE"
	start box
	assert_equal "$(get box)" 403
	printf 'allow:\n  - localhost:%s\n' "$PORT" >"$TEST_DIR/dotfiles/ward.yaml"
	wait_for gets 200 box
}

@test "a bad file: running sandboxes keep their rules and say so, none is started with it" {
	start box
	ward policy allow "localhost:$PORT"
	printf 'allow:\n  - "*.com"\n' >"$FILE"
	problem() { ward inspect box | jq -e '.[0].enforcement.policy_problem | contains("policy.yaml:2: rule")'; }
	wait_for problem
	assert_equal "$(get box)" 200
	grep -q "policy: the rules stay as they were: $FILE:2: rule '\*.com'" "$(sandbox_dir "")/log/supervisor.log"
	# A change elsewhere cannot be taken either, and that is said.
	run ward policy deny --sandbox box "localhost:$PORT"
	assert_status 125
	assert_output_has "sandbox 'box' keeps the rules that it has: $FILE:2:"
	ward stop box
	run ward exec box true
	assert_status 125
	assert_output_has "$FILE:2: rule '*.com'"
	printf 'allow:\n  - localhost:%s\n' "$PORT" >"$FILE"
	assert_equal "$(get box)" 403
	ward policy rm -s box "localhost:$PORT"
	assert_equal "$(get box)" 200
	refute_problem
}

refute_problem() {
	assert_equal "$(ward inspect box | jq -c '.[0].enforcement.policy_problem')" null
}

@test "the refusal's own command, pasted, makes the same request work in the running sandbox" {
	start box
	ward exec box curl -s -H 'Accept: application/json' "http://host.ward.internal:$PORT/json" >answer
	assert_equal "$(jq -r .error answer)" denied
	assert_equal "$(seen)" 0
	bash -c "$(jq -r .hint answer)"
	assert_equal "$(get box /json)" 200
	# Of a rule that denies, the command that removes it.
	ward policy deny --sandbox box "localhost:$PORT GET /json"
	ward exec box curl -s -H 'Accept: application/json' "http://host.ward.internal:$PORT/json" >answer
	assert_equal "$(jq -r .rule answer)" "localhost:$PORT GET /json"
	bash -c "$(jq -r .hint answer)"
	assert_equal "$(get box /json)" 200
}

@test "methods and paths of plain HTTP" {
	start box
	ward policy allow -q --sandbox box --method GET --path '/repos/**' "localhost:$PORT"
	assert_equal "$(get box /repos/a)" 200
	assert_equal "$(get box /repos/a -X POST)" 403
	assert_equal "$(get box /other)" 403
	assert_equal "$(get box /repos/../other --path-as-is)" 403
	assert_equal "$(cat "$TEST_DIR/seen")" "GET /repos/a"
}

@test "a replaced proxy has the rules of now" {
	start box
	ward policy allow -s box "localhost:$PORT"
	note_box "$(ward inspect box | jq -r '.[0].id')"
	kill -9 "$BOX_PROXY"
	wait_for gets 200 box
	ward policy rm -s box "localhost:$PORT"
	assert_equal "$(get box)" 403
}

@test "several commands at the same moment: all are in force afterwards" {
	local i pids=()
	start box
	for i in 1 2 3 4 5; do
		ward policy allow -q -s box "h$i.example.com" 3>&- &
		pids+=($!)
	done
	ward policy allow -q "localhost:$PORT"
	wait "${pids[@]}"
	assert_equal "$(get box)" 200
	assert_equal "$(ward policy ls box --json | jq '[.[] | select(.origin | startswith("policy.yaml"))] | length')" 6
}

@test "a supervisor that does not answer is named, and the command ends" {
	start one
	start two
	note_box "$(ward inspect one | jq -r '.[0].id')"
	kill -STOP "$BOX_SUPERVISOR"
	run ward policy allow "localhost:$PORT"
	kill -CONT "$BOX_SUPERVISOR"
	assert_status 125
	assert_output_has "sandbox 'one' keeps the rules that it has: its supervisor does not answer"
	assert_output_has "in force in two"
	assert_equal "$(get two)" 200
	wait_for gets 200 one
}

@test "log: a record for each connection, followed, also while the file is rotated" {
	local log
	start box
	log=$(sandbox_dir "")/log/network.jsonl
	# A file that is as long as it may get: the next record is the last one there.
	python3 -c 'import sys
line = "{\"time\":\"2020-01-01T00:00:00.000Z\",\"host\":\"old.example.com\",\"verdict\":\"deny\"}\n"
sys.stdout.write(line * (4 * 1024 * 1024 // len(line) + 1))' >>"$log"
	note_box "$(ward inspect box | jq -r '.[0].id')"
	kill -9 "$BOX_PROXY" # its successor looks how long the file is
	"$WARD" policy log -f --json --since 1h box >"$TEST_DIR/followed" 2>/dev/null 3>&- &
	local follower=$!
	wait_for gets 403 box
	wait_for test -e "$log.1"
	ward policy allow -q --sandbox box "localhost:$PORT"
	assert_equal "$(get box /one)" 200
	followed() { grep -q '"verdict": *"allow"' "$TEST_DIR/followed"; }
	wait_for followed
	kill "$follower"
	jq -c . "$TEST_DIR/followed" | grep -c '"deny"'
	[ "$(stat -c %s "$log")" -lt 100000 ]
	[ ! -e "$log.new" ]
	assert_equal "$(jq -r 'select(.verdict == "allow") | "\(.sandbox) \(.address) \(.rule) \(.origin)"' "$TEST_DIR/followed" | tail -n 1)" \
		"box 127.0.0.1 localhost:$PORT policy.yaml of the sandbox"
}

@test "learn and its command: what was refused works afterwards in the running sandbox" {
	start box
	assert_equal "$(get box)" 403
	wait_for test -s "$(sandbox_dir "")/log/network.jsonl"
	ward policy learn box >learned
	bash -c "$(tail -n 1 learned)"
	assert_equal "$(get box)" 200
}
