#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the network policy refuses is told to who is attached: by a line at once where a terminal is free for one,
# later where a program draws on it, and with the commands at the end; never in a pipe or file.

load ../lib/common

setup() {
	common_setup
	need curl python3
	WS="$TEST_DIR/project"
	export WS
	mkdir "$WS"
	cd "$WS"
	ward run -q --name box --network locked shell -- -c true
}

teardown() {
	[ -z "${TMUX_SOCKET:-}" ] || tmux -S "$TMUX_SOCKET" kill-server 2>/dev/null || true
	cd /
	common_teardown
}

terminal() { python3 "$BATS_TEST_DIRNAME/session_terminal.py" "$1" box; }

@test "a line at once, one for each host, and the command at the end" {
	terminal refused_line
}

@test "a program with the alternate screen is not disturbed" {
	terminal refused_screen
}

@test "the alternate screen is seen also when its sequence comes in pieces" {
	terminal refused_split
}

@test "a program that reads single keys is not disturbed" {
	terminal refused_keys
}

@test "who detaches is told what was refused" {
	terminal refused_detach
}

screen() { tmux -S "$TMUX_SOCKET" capture-pane -p -t pane; }
screen_has() { screen | grep -qF -- "$1"; }

@test "in a real terminal the screen of a full-screen program stays as it was" {
	need tmux
	TMUX_SOCKET="$TEST_DIR/tmux"
	seq 1000 >numbers
	tmux -S "$TMUX_SOCKET" -f /dev/null new-session -d -x 80 -y 24 -s pane \
		"$(printf '%q ' "$WARD" exec -it box sh -c 'less numbers; echo it is over; read x')" 3>&-
	wait_for screen_has 23
	# Its prompt is another one after the first key.
	tmux -S "$TMUX_SOCKET" send-keys -t pane j
	wait_for screen_has 24
	screen >before
	ward exec box curl -s https://host.example.com/ || true
	wait_for grep -q host.example.com "$(sandbox_dir "$(ward ls -q)")/log/network.jsonl"
	# A key that has an effect shows that what came before it is on the screen.
	tmux -S "$TMUX_SOCKET" send-keys -t pane j
	wait_for screen_has 25
	tmux -S "$TMUX_SOCKET" send-keys -t pane k
	back() { screen >after && cmp -s before after; }
	wait_for back || fail "$(cat before after)"
	tmux -S "$TMUX_SOCKET" send-keys -t pane q
	wait_for screen_has 'it is over'
	wait_for screen_has 'ward: denied: host.example.com:443: no rule allows it'
}

@test "no line in a pipe or file, none with --quiet" {
	ward exec box curl -s https://host.example.com/ >out 2>err || true
	grep -q host.example.com "$(sandbox_dir "$(ward ls -q)")/log/network.jsonl"
	! grep -q denied err || fail "$(cat err)"
	# What the proxy itself answers to curl is no output of a CONNECT.
	[ ! -s out ] || fail "$(cat out)"
	need script
	# Standard output is a pipe, standard error a terminal.
	script -qec "$(printf '%q ' "$WARD" exec box curl -s https://host.example.com/) | cat >out" /dev/null </dev/null >seen || true
	grep -q 'ward: denied: host.example.com:443' seen
	[ ! -s out ] || fail "$(cat out)"
	script -qec "$(printf '%q ' "$WARD" run -q --name box shell -- -c 'curl -s https://host.example.com/; echo $((40 + 2))')" \
		/dev/null </dev/null >seen || true
	grep -q 42 seen
	! grep -q denied seen || fail "$(cat seen)"
}

@test "hostile names do not reach the terminal as they are" {
	need script
	cat >hostile.py <<'END'
import socket, struct
def look_up(name):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("198.18.0.2", 53))
    s.settimeout(5)
    s.send(struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + bytes([len(name)]) + name + b"\x04test\0\0\1\0\1")
    s.recv(512)
look_up(b"a\x1b]0;owned\x07\xe2\x80\xae")
look_up(b"fine")
s = socket.create_connection(("127.0.0.1", 3128))
s.sendall(b"CONNECT a\x1b[2Jb\x9b.test:443 HTTP/1.1\r\n\r\n")
s.recv(512)
s = socket.create_connection(("127.0.0.1", 3128))
s.sendall(b"CONNECT xn--a\xc2\x9bb.test:443 HTTP/1.1\r\n\r\n")
s.recv(512)
END
	script -qec "$WARD exec box /usr/bin/python3 hostile.py" /dev/null </dev/null >seen || true
	grep -q 'ward: denied: fine.test: no rule' seen || fail "$(cat -v seen)"
	refute_raw() { [ -z "$(LC_ALL=C grep $'[\x01-\x09\x0b\x0c\x0e-\x1f\x7f\x80-\xff]' seen)" ]; }
	refute_raw || fail "$(cat -v seen)"
}
