#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The network of a box, in a lab of namespaces (lib/lab.py): programs that know nothing of proxies reach what
# the policy allows, and whoever is not allowed hears nothing.  The verdict comes from the lab's servers.
# With positive controls: the same from the host's side is heard.

load ../lib/common
load ../lib/lab

RULES=(allowed.test git.test git.test:22 raw.test:7777 raw.test:7443 '**.wild.test' rebind.test mixed.test
	loop.test lan.test metadata.test only6.test gone.test)

setup_file() {
	WARD_REPO=${WARD_REPO:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)}
	export WARD="${WARD:-$WARD_REPO/build/src/ward}" WARD_REPO
	[ "$(id -u)" -eq 0 ] || return 0
	lab_start
	lab_web
	local rule args=()
	for rule in "${RULES[@]}"; do args+=(--allow-host "$rule"); done
	printf '%s\n' "${args[@]}" >"$LAB/rules"
	lab_ward run -q --name lab --network locked "${args[@]}" shell -- -c true
}

teardown_file() {
	lab_stop
}

setup() {
	[ "$(id -u)" -eq 0 ] || skip "network namespaces for a lab need root"
	lab_forget
}

# --- what is allowed works ----------------------------------------------------------------------

@test "positive control: without a box, every server of the lab answers" {
	[ "$(lab_host curl -s --cacert ca.pem https://denied.test/)" = 'this is denied.test' ]
	[ "$(lab_host curl -s http://lan.test/)" = 'this is lan.test' ]
	[ "$(lab_host curl -s http://metadata.test/)" = 'this is metadata.test' ]
	lab_host curl -s http://127.0.0.1:18080/ >/dev/null
	lab_host curl -s http://10.77.0.2:18081/ >/dev/null
	lab_host bash -c 'echo x >/dev/udp/203.0.113.20/9999; : </dev/tcp/203.0.113.20/22'
	lab_host bash -c ': </dev/tcp/203.0.113.40/7778'
	wait_for test -s "$LAB/log/udp"
	local server
	for server in denied denied-22 metadata lan host-loopback host-address other; do
		wait_for test -s "$LAB/log/$server"
	done
	grep -q '^denied.test 1$' "$LAB/log/dns"
}

@test "curl, wget and busybox reach an allowed name, over HTTP and HTTPS, IPv4 and IPv6" {
	[ "$(direct 'curl -sS http://allowed.test/')" = 'this is allowed.test' ]
	[ "$(direct 'curl -sS --cacert ca.pem https://allowed.test/')" = 'this is allowed.test' ]
	[ "$(direct 'curl -sS -4 http://allowed.test/')" = 'this is allowed.test' ]
	[ "$(direct 'curl -sS -6 http://allowed.test/')" = 'this is allowed.test' ]
	# One that has only IPv6 addresses outside, reached over IPv4 inside.
	[ "$(direct 'curl -sS -4 --cacert ca.pem https://only6.test/')" = 'this is only6.test' ]
	[ "$(direct 'wget -qO- --ca-certificate=ca.pem https://allowed.test/')" = 'this is allowed.test' ]
	[ "$(direct 'busybox wget -qO- http://allowed.test/')" = 'this is allowed.test' ]
	[ "$(proxied 'curl -sS --cacert ca.pem https://allowed.test/')" = 'this is allowed.test' ]
	# A client that looks names up itself, and asks the proxy for the address.
	[ "$(direct 'curl -sS --cacert ca.pem -x http://127.0.0.1:3128 --connect-to "allowed.test:443:$(dig +short allowed.test):443" https://allowed.test/')" = 'this is allowed.test' ]
	# Two requests on one connection, and one without a Host.
	[ "$(direct 'curl -sS http://allowed.test/ http://allowed.test/' | wc -l)" -eq 2 ]
	[ "$(direct 'curl -sS -o /dev/null -w "%{http_code}" -0 -H Host: http://allowed.test/')" = 200 ]
	assert_silence allowed.test only6.test
}

@test "Python, Node, openssl and bash reach an allowed name" {
	[ "$(direct '/usr/bin/python3 -c "
import urllib.request, ssl
c = ssl.create_default_context(cafile=\"ca.pem\")
print(urllib.request.urlopen(\"https://allowed.test/\", context=c).read().decode(), end=\"\")"')" = 'this is allowed.test' ]
	[ "$(direct '/usr/bin/python3 -c "
import asyncio
async def main():
    r, w = await asyncio.open_connection(\"raw.test\", 7777)
    print((await r.readline()).decode(), end=\"\")
    w.write(b\"ping\n\")
    print((await r.readline()).decode(), end=\"\")
asyncio.run(main())"' | tr '\n' ' ')" = 'hello, you first ping ' ]
	if command -v node >/dev/null; then
		[ "$(direct 'NODE_EXTRA_CA_CERTS=ca.pem node -e "fetch(\"https://allowed.test/\").then(r => r.text()).then(t => process.stdout.write(t))"')" = 'this is allowed.test' ]
	fi
	# Its exit status tells how the server closed the connection.
	run direct 'echo | openssl s_client -CAfile ca.pem -connect allowed.test:443 -servername allowed.test'
	assert_output_has 'Verify return code: 0 (ok)'
	[ "$(direct 'exec 3<>/dev/tcp/raw.test/7777; head -n 1 <&3')" = 'hello, you first' ]
	assert_silence allowed.test raw.test
}

@test "git over HTTPS and over ssh, netcat, a websocket" {
	direct 'git -c http.sslCAInfo=$PWD/ca.pem clone -q https://git.test/repo.git /tmp/by-https && git -C /tmp/by-https log --oneline' | grep first
	direct 'GIT_SSH_COMMAND="ssh -F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i $PWD/.ssh/key -o BatchMode=yes" \
		git clone -q ssh://root@git.test/root/repo.git /tmp/by-ssh && git -C /tmp/by-ssh log --oneline' | grep first
	[ "$(direct 'echo over and out | nc -w 5 -q 1 raw.test 7777' | tail -n 1)" = 'over and out' ]
	direct '/usr/bin/python3 -c "
import socket
s = socket.create_connection((\"allowed.test\", 80))
s.sendall(b\"GET /ws HTTP/1.1\r\nHost: allowed.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\")
data = b\"\"
while b\"\r\n\r\n\" not in data:
    data += s.recv(4096)
assert b\" 101 \" in data and b\"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\" in data, data
s.sendall(bytes([0x81, 0x85, 1, 2, 3, 4]) + bytes(b ^ m for b, m in zip(b\"hello\", (1, 2, 3, 4, 1))))
print(s.recv(100)[2:].decode())"' | grep hello
	assert_silence git.test raw.test allowed.test
}

@test "npm and pip install from registries that are allowed" {
	need npm
	lab_registries
	direct 'cd /tmp && mkdir -p n && cd n && echo "{}" >package.json &&
		npm install --silent --no-audit --no-fund --registry https://allowed.test/npm/ --cafile '"$LAB/home/project/ca.pem"' lab-package &&
		node -e "console.log(require(\"lab-package\"))"' | grep 'from the lab'
	direct '/usr/bin/python3 -m pip --version >/dev/null 2>&1 || exit 0
		/usr/bin/python3 -m pip install -q --break-system-packages --target /tmp/p --cert ca.pem --index-url https://allowed.test/simple/ lab-wheel &&
		PYTHONPATH=/tmp/p /usr/bin/python3 -c "import lab_wheel; print(lab_wheel.TEXT)" | grep "from the lab"'
	assert_silence allowed.test
}

@test "services of the box itself: loopback of both kinds, its own address, its own name" {
	local serve='/usr/bin/python3 -c "
import socket, sys, threading
family, address, port = sys.argv[1:4]
s = socket.create_server((address, int(port)), family=getattr(socket, family))
print(1, flush=True)
c, _ = s.accept()
c.sendall(b\"box\n\")"'
	local where
	for where in 'AF_INET 127.0.0.1 4001 127.0.0.1' 'AF_INET 0.0.0.0 4002 127.0.0.1' 'AF_INET6 ::1 4003 ::1' \
		'AF_INET 0.0.0.0 4004 198.18.0.1' 'AF_INET6 :: 4005 fd77:6172:64::1' 'AF_INET 127.0.0.1 53 127.0.0.1' \
		'AF_INET 127.0.0.1 443 localhost' 'AF_INET 0.0.0.0 4006 lab'; do
		# shellcheck disable=SC2086 # words
		set -- $where
		[ "$(direct "coproc S { $serve $1 $2 $3; }; read -r <&\${S[0]}; nc -w 5 $4 $3 </dev/null")" = box ]
	done
	assert_silence
}

# --- what is refused ----------------------------------------------------------------------------

@test "a refused name fails at once, for every client, and nobody hears of it" {
	local client took
	for client in 'curl -sS https://denied.test/' 'curl -sS http://denied.test/' 'wget -qO- --tries=1 http://denied.test/' \
		'busybox wget -qO- http://denied.test/' '/usr/bin/python3 -c "import socket; socket.create_connection((\"denied.test\", 443))"' \
		'git ls-remote https://denied.test/repo.git' 'ssh -o BatchMode=yes denied.test true' 'nc -w 10 denied.test 22 </dev/null' \
		'openssl s_client -connect denied.test:443 </dev/null' 'getent ahosts denied.test' ': </dev/tcp/denied.test/22' \
		'node -e "fetch(\"https://denied.test/\").then(() => process.exit(0), () => process.exit(1))"' \
		'node -e "require(\"dns\").resolve4(\"denied.test\", e => process.exit(e && e.code === \"ENOTFOUND\" ? 1 : 0))"'; do
		[[ $client != node* ]] || command -v node >/dev/null || continue
		# Timed inside: a start of the client's program is not the network's.
		took=$(direct "start=\$(date +%s%N); $client >/dev/null 2>&1 && exit 99; echo \$(((\$(date +%s%N) - start) / 1000000))") ||
			fail "it worked: $client"
		echo "# $took ms: $client" >&3
		[ "$took" -lt 5000 ]
	done
	assert_silence
	# The reason, in the record; once for A and AAAA.
	lab_host sh -c 'cat .local/share/ward/sandboxes/*/log/network.jsonl ../.local/share/ward/sandboxes/*/log/network.jsonl 2>/dev/null' |
		jq -e 'select(.entry == "dns" and .host == "denied.test" and .verdict == "deny" and .reason == "no rule allows it")' >/dev/null
	# With the proxy variables the answer itself tells.
	proxied 'curl -s http://denied.test/' | grep 'ward policy allow --sandbox [^ ]* denied.test'
	assert_silence
}

@test "D50 nothing but TCP and DNS has a way; everything else fails from the system call" {
	run direct '/usr/bin/python3 -c "
import errno, socket, time
def attempt(family, kind, protocol, address):
    s = socket.socket(family, kind, protocol)
    s.settimeout(5)
    start = time.monotonic()
    try:
        s.connect(address)
        s.send(b\"\x08\x00\x00\x00\x00\x00\x00\x00\")
        s.recv(10)
        result = \"answered\"
    except OSError as e:
        result = errno.errorcode.get(e.errno, str(e))
    print(address[0], protocol, result, \"slow\" if time.monotonic() - start > 1 else \"fast\")
U, T, R = socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_RAW
for address in (\"203.0.113.20\", \"203.0.113.10\", \"8.8.8.8\", \"10.77.0.1\", \"169.254.169.254\", \"224.0.0.251\", \"255.255.255.255\"):
    for port in (443, 5353, 9999):
        attempt(socket.AF_INET, U, 0, (address, port))
for address in (\"2a00:77::20\", \"fe80::1\", \"ff02::fb\"):
    attempt(socket.AF_INET6, U, 0, (address, 443))
for family, protocol, address in ((socket.AF_INET, 1, \"203.0.113.20\"), (socket.AF_INET6, 58, \"2a00:77::20\")):
    attempt(family, U, protocol, (address, 0))
for family, protocol in ((socket.AF_INET, 1), (socket.AF_INET, 255), (socket.AF_INET6, 58)):
    try:
        socket.socket(family, R, protocol)
        print(\"raw socket\")
    except PermissionError:
        pass
"'
	assert_status 0
	refute_output_has answered
	refute_output_has slow
	refute_output_has raw
	[[ $output == *'8.8.8.8 0 ENETUNREACH fast'* ]]
	[ "$(direct 'ls /sys/class/net')" = lo ]
	assert_silence
}

@test "D50 literal addresses: reset at once, and said why" {
	local address took
	for address in 203.0.113.20:22 203.0.113.20:443 203.0.113.10:443 10.77.0.1:443 10.77.0.2:18081 169.254.169.254:443 \
		'[2a00:77::20]:22' 198.18.9.9:443 198.19.255.255:22 203.0.113.40:7778; do
		run direct "/usr/bin/python3 -c '
import socket, time
s = socket.socket(socket.AF_INET6 if \"[\" in \"$address\" else socket.AF_INET)
s.settimeout(5)
start = time.monotonic()
try:
    s.connect((\"$address\".rpartition(\":\")[0].strip(\"[]\"), int(\"$address\".rpartition(\":\")[2])))
    print(s.recv(100))
except ConnectionResetError:
    print(\"reset\", int((time.monotonic() - start) * 1000), \"ms\")'"
		assert_status 0
		[[ $output == reset* ]] || fail "$address: $output"
		took=${output#reset }
		echo "# $took: $address" >&3
	done
	# On port 80 there is somebody to tell.
	run direct 'curl -s -w "%{http_code}" http://169.254.169.254/'
	assert_output_has 403
	assert_output_has 'special address that no rule names'
	assert_silence
}

@test "D51 rules that are missing, empty, unreadable or broken: nothing is allowed, or nothing starts" {
	local project=$LAB/home/project/empty rules=$LAB/home/.config/ward/policy.yaml text
	mkdir -p "$project" "${rules%/*}"
	chown -R "$LAB_USER" "$project" "$LAB/home/.config"
	reaches() { lab_ward exec empty bash -c "unset $PROXY_VARIABLES; curl -sS -m 10 http://allowed.test/ || exit 33"; }
	lab_ward run -q --name empty shell "$project" -- -c true
	for text in none '' '# nothing' 'allow:' 'allow: []' 'preset: locked'; do
		rm -f "$rules"
		[ "$text" = none ] || printf %s "$text" >"$rules"
		lab_ward stop empty
		run reaches
		[ "$status" -eq 33 ] || fail "$text: $status $output"
	done
	for text in 'allow: [' 'allow: allowed.test' 'allwo: [allowed.test]' 'allow: [allowed.test, "a..b"]' unreadable; do
		printf 'allow: [allowed.test]\n' >"$rules"
		if [ "$text" = unreadable ]; then chmod 0 "$rules"; else printf %s "$text" >"$rules"; fi
		lab_ward stop empty
		run reaches
		[ "$status" -eq 125 ] || fail "$text: $status $output"
		assert_output_has policy.yaml
	done
	assert_silence
	# The positive control: the same file, whole.
	chmod 0644 "$rules"
	printf 'allow: [allowed.test]\n' >"$rules"
	[ "$(reaches)" = 'this is allowed.test' ]
	rm "$rules"
	lab_ward rm -f empty >/dev/null
}

@test "D52 allowed and denied are the same on every way out, also by a relay inside and in a second request" {
	local paths='
code() { curl -s -o /dev/null -m 10 --cacert ca.pem -w "%{http_code}/%{http_connect} " "$@"; true; }
relay() { socat TCP-LISTEN:$1,fork,reuseaddr TCP:$2 2>/dev/null & until : 2>/dev/null <>/dev/tcp/127.0.0.1/$1; do :; done; }
raw() { # the statuses of requests on one connection
	printf "GET http://%s/ HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" $1 $1 $2 $2 | nc -w 5 -q 2 127.0.0.1 3128 | sed -n "s,^HTTP/1.1 \([0-9]*\).*,\1,p" | tr "\n" " "
}
relay 4128 127.0.0.1:3128
relay 4129 $1:80
for options in "" "-0" "-p" "-x http://127.0.0.1:4128"; do code $options http://$1/; done
for options in "" "-x http://127.0.0.1:4128"; do code $options https://$1/; done
unset '"$PROXY_VARIABLES"'
code http://$1/; code -0 http://$1/; code https://$1/
code -H "Host: $1" http://127.0.0.1:4129/
raw $1 $2
kill $(jobs -p)'
	assert_equal "$(lab_ward exec lab bash -c "$paths" - allowed.test denied.test)" \
		'200/000 200/000 200/200 200/000 200/200 200/200 200/000 200/000 200/000 200/000 200 403 '
	assert_silence allowed.test
	lab_forget
	assert_equal "$(lab_ward exec lab bash -c "$paths" - denied.test allowed.test)" \
		'403/000 403/000 000/403 403/000 000/403 000/403 000/000 000/000 000/000 000/000 403 200 '
	assert_silence allowed.test
}

@test "D53 D54 D55 labels, garbage and spellings of addresses" {
	local name
	for name in notallowed.test allowed.test.evil.test sub.allowed.test wild.test xallowed.test; do
		run direct "getent hosts $name"
		[ "$status" -ne 0 ]
	done
	assert_silence
	# The canonical name, however it is written.
	[ "$(direct 'curl -sS http://ALLOWED.Test./')" = 'this is allowed.test' ]
	direct 'getent hosts a.wild.test && getent hosts a.b.wild.test'
	for name in 127.1 2130706433 0x7f000001 0177.0.0.1 '[::ffff:127.0.0.1]' '[64:ff9b::7f00:1]' 0 localhost.localdomain; do
		run direct "curl -s -m 5 http://$name:18080/"
		[ "$status" -ne 0 ]
	done
	run direct 'curl -s -m 5 --resolve allowed.test:80:203.0.113.20 http://allowed.test/'
	refute_output_has 'this is'
	assert_silence allowed.test a.wild.test a.b.wild.test
}

@test "D56 names that lead to addresses of the host, of its network or to metadata" {
	local name
	for name in loop.test lan.test metadata.test; do
		run direct "curl -s -m 10 -w '%{http_code}' http://$name/"
		assert_output_has 403
		run direct "curl -s -m 10 --cacert ca.pem https://$name/"
		[ "$status" -ne 0 ]
	done
	# Of several the public one is taken; one that turns private later is not.
	[ "$(direct 'curl -sS -m 10 -o /dev/null -w "%{http_code}" http://mixed.test/')" = 404 ]
	[ "$(direct 'curl -sS -m 10 -o /dev/null -w "%{http_code}" -4 http://rebind.test/')" = 404 ]
	run direct 'for i in 1 2 3; do curl -s -m 10 -w "%{http_code}" http://rebind.test/; done'
	[[ $output != *'this is'* ]]
	assert_silence loop.test lan.test metadata.test mixed.test rebind.test
}

@test "D57 TLS must be for the name that was looked up" {
	direct 'curl -sS --cacert ca.pem https://allowed.test/' >/dev/null
	run direct 'openssl s_client -connect allowed.test:443 -servername denied.test </dev/null 2>&1'
	[[ $output == *'alert access denied'* || $output == *errno=104* ]]
	run direct 'openssl s_client -connect allowed.test:443 -noservername </dev/null 2>&1'
	[[ $output == *'alert access denied'* || $output == *errno=104* ]]
	run direct 'openssl s_client -connect raw.test:7443 -servername denied.test </dev/null 2>&1'
	refute_output_has 'BEGIN CERT'
	run direct 'openssl s_client -CAfile ca.pem -connect raw.test:7443 -servername raw.test </dev/null'
	assert_output_has 'Verify return code: 0 (ok)'
	# Neither is a login of ssh's on a port for TLS.
	run direct 'echo SSH-2.0-x | nc -w 5 allowed.test 443'
	refute_output_has SSH-
	# One connection of curl's, and none of the refused ones.
	[ "$(grep -c connection "$LAB/log/allowed")" -eq 1 ]
	assert_silence allowed.test raw.test
}

@test "D58 only the ports of the rule" {
	[ "$(direct 'head -c 5 </dev/tcp/raw.test/7777')" = hello ]
	run direct 'head -c 5 </dev/tcp/raw.test/7778'
	refute_output_has hello
	run direct 'head -c 5 </dev/tcp/allowed.test/22'
	refute_output_has hello
	[ -z "$(lab_log allowed-22)" ]
	run direct 'curl -s -m 5 http://allowed.test:8080/'
	[ -z "$(lab_log allowed-8080)" ]
	[ -z "$(lab_log other)" ]
	assert_silence raw.test allowed.test
}

@test "D59 HTTP on port 80: Host is the name, and requests are whole" {
	local head
	for head in 'GET / HTTP/1.1\r\nHost: denied.test\r\n\r\n' 'GET http://denied.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n' \
		'GET / HTTP/1.1\r\nHost: allowed.test\r\nHost: denied.test\r\n\r\n' 'GET / HTTP/1.1\r\n\r\n' \
		'POST / HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n' \
		'GET / HTTP/1.1\nHost: allowed.test\n\n' 'CONNECT denied.test:443 HTTP/1.1\r\nHost: denied.test\r\n\r\n' \
		'GET / HTTP/1.1\r\nHost : allowed.test\r\n\r\n' 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' 'TRACE / HTTP/1.1\r\nHost: allowed.test\r\n\r\n'; do
		run direct "printf '$head' | nc -w 5 -q 2 allowed.test 80"
		[[ $output == 'HTTP/1.1 4'* ]] || fail "$head: $output"
	done
	[ -z "$(lab_log allowed)" ]
	assert_silence allowed.test
}

@test "D60 the name server: answers, types, sizes, and nothing agent-made gets out" {
	direct '
set -e
answers() { dig +short +tries=1 +time=5 "$@"; }
code() { dig +tries=1 +time=5 "$@" | sed -n "s/.*status: \([A-Z]*\).*/\1/p"; }
[[ $(answers allowed.test) == 198.1[89].* ]]
[ "$(answers allowed.test)" = "$(answers ALLOWED.TEST)" ]
[[ $(answers allowed.test AAAA) == fd77:6172:64::* ]]
[ "$(answers -x $(answers allowed.test))" = allowed.test. ]
[ "$(answers -x $(answers allowed.test AAAA))" = allowed.test. ]
[ "$(answers -x 127.0.0.1)" = localhost. ]
[ "$(answers +tcp allowed.test)" = "$(answers allowed.test)" ]
[ "$(answers @8.8.8.8 allowed.test)" = "$(answers allowed.test)" ]
[ "$(answers @2001:4860:4860::8888 allowed.test)" = "$(answers allowed.test)" ]
[ "$(answers localhost)" = 127.0.0.1 ]
[ "$(answers localhost AAAA)" = ::1 ]
[ "$(answers "$(hostname)")" = 127.0.0.1 ]
for type in HTTPS SVCB TXT MX SRV NS SOA ANY NULL CAA; do
	[ "$(code allowed.test $type)" = NOERROR ]
	[ -z "$(answers allowed.test $type)" ]
	[ "$(code denied.test $type)" = NXDOMAIN ]
done
[ "$(code denied.test)" = NXDOMAIN ]
[ "$(code gone-for-good.wild.test.denied.test)" = NXDOMAIN ]
dig +tries=1 denied.test | grep "EDE: 15 (Blocked): (no rule allows it)"
[ "$(code allowed.test AXFR +tcp)" != NOERROR ]
[ "$(code version.bind TXT CH)" = REFUSED ]
[ "$(code +opcode=UPDATE allowed.test)" = NOTIMP ]
[ "$(code +edns=1 +noednsnegotiation allowed.test)" = BADVERS ]
[ "$(code -x 203.0.113.10)" = NXDOMAIN ]
for i in 1 2 3 4 5; do answers $(printf "%s." a b c d e f g h i j k l m n o p q r s t u v w x y z)secret$i.denied.test; done
dig +tries=1 secret.exfil.test @203.0.113.53 | grep NXDOMAIN
' >&2
	# Allowed names that do not exist do not exist inside either.
	assert_silence allowed.test
	run direct 'getent hosts no-such.test'
	[ "$status" -ne 0 ]
}

@test "D60 other resolvers: musl, Node's own, and a program that asks for one family" {
	need musl-gcc
	cat >"$LAB/look.c" <<-'C'
		#include <netdb.h>
		#include <stdio.h>
		#include <string.h>
		int main(int argc, char **argv)
		{
			struct addrinfo hints = { .ai_family = AF_INET, .ai_flags = AI_ADDRCONFIG }, *list;
			int r = getaddrinfo(argv[1], "443", argc > 2 ? &hints : NULL, &list);
			puts(r == 0 ? "found" : gai_strerror(r));
			return r != 0;
		}
	C
	musl-gcc -static -o "$LAB/home/project/look-musl" "$LAB/look.c"
	gcc -o "$LAB/home/project/look-glibc" "$LAB/look.c"
	local look
	for look in musl glibc; do
		[ "$(direct "./look-$look allowed.test")" = found ]
		[ "$(direct "./look-$look allowed.test one-family")" = found ]
		run direct "time -p ./look-$look denied.test"
		[ "$status" -ne 0 ]
		[[ $output == *'Name '* ]] # "does not resolve", "or service not known": for good
	done
	if command -v node >/dev/null; then
		direct 'node -e "require(\"dns\").promises.resolve4(\"allowed.test\").then(a => console.log(a))"' | grep 198.1
	fi
	assert_silence allowed.test
}

@test "D61 after stop and start, and after kill -9 of the proxy, it is all the same" {
	same() {
		[ "$(direct 'curl -sS http://allowed.test/')" = 'this is allowed.test' ]
		run direct 'curl -s -m 5 http://denied.test/ || curl -s -m 5 http://203.0.113.20:22/'
		[ "$status" -ne 0 ]
		run direct 'echo x >/dev/udp/203.0.113.20/9999'
		[ "$status" -ne 0 ]
	}
	same
	local before pid
	before=$(direct 'dig +short allowed.test')
	pid=$(lab_ward inspect lab | jq '.[0].enforcement.proxy.pid')
	kill -9 "$pid"
	replaced() { [ "$(lab_ward inspect lab | jq '.[0].enforcement.proxy | select(.serving).pid')" -ne "$pid" ]; }
	wait_for replaced
	same
	# A name keeps its address, so that what programs remember still means the same.
	[ "$(direct 'dig +short allowed.test')" = "$before" ]
	lab_ward stop lab
	same
	[ "$(direct 'dig +short allowed.test')" = "$before" ]
	assert_silence allowed.test
}

@test "D65 a box that floods its proxy harms neither the host nor another box, and recovers" {
	mkdir -p "$LAB/home/project/other"
	chown "$LAB_USER" "$LAB/home/project/other"
	# shellcheck disable=SC2046 # a list
	lab_ward run -q --name other --network locked $(cat "$LAB/rules") shell other -- -c true
	other() { lab_ward exec other bash -c "unset $PROXY_VARIABLES; curl -s -m 10 -o /dev/null -w '%{http_code} %{time_total}' http://allowed.test/"; }
	[[ $(other) == '200 '* ]]
	direct '/usr/bin/python3 -c "
import resource, socket, time
resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
addresses = [(\"allowed.test\", 80), (\"allowed.test\", 443), (\"127.0.0.1\", 3128)]
keep = []
for i in range(2000):
    s = socket.socket()
    s.settimeout(10)
    try:
        s.connect(addresses[i % 3])
        s.send(b\"GET / HTTP/1.1\r\nHo\" if i % 2 else b\"x\" * 70000)
    except OSError:
        pass
    keep.append(s)
print(\"flooded\", flush=True)
time.sleep(600)
" >/tmp/flood 2>&1 & echo $! >/tmp/flood.pid'
	flooded() { direct 'cat /tmp/flood' | grep flooded; }
	wait_for flooded
	local pid rss
	pid=$(lab_ward inspect lab | jq '.[0].enforcement.proxy.pid')
	rss=$(awk '/VmRSS/ { print $2 }' "/proc/$pid/status")
	echo "# proxy: $rss KiB with 2000 open; another box: $(other)" >&3
	[ "$rss" -lt 262144 ]
	[[ $(other) == '200 '* ]]
	direct 'kill $(cat /tmp/flood.pid)'
	served() { [ "$(direct 'curl -sS -m 5 http://allowed.test/')" = 'this is allowed.test' ]; }
	wait_for served
	lab_ward rm -f other >/dev/null
}

@test "D66 Unix sockets of the host: not by an abstract name, nor by a path that is not given" {
	local project=$LAB/home/project/sockets listener
	mkdir -p "$project"
	chown "$LAB_USER" "$project"
	# Whoever connects is logged.
	nsenter -t "$LAB_HOST" -n -m -- runuser -u "$LAB_USER" -- /usr/bin/python3 -c '
import socket, sys, threading
def serve(address, name):
    s = socket.socket(socket.AF_UNIX)
    s.bind(address)
    s.listen(8)
    def run():
        while True:
            s.accept()[0].close()
            print(name, flush=True)
    threading.Thread(target=run).start()
serve("\0ward-canary", "abstract")
for path in sys.argv[1:]:
    serve(path, path)
print("ready", flush=True)' "$LAB/home/runtime/ward-canary.sock" "$project/hidden.sock" "$project/given.sock" >"$LAB/unix" 3>&- &
	listener=$!
	wait_for grep -q ready "$LAB/unix"
	local attempt='/usr/bin/python3 -c "
import os, socket, sys
for path in sys.argv[1:]:
    try:
        socket.socket(socket.AF_UNIX).connect(path.replace(chr(64), chr(0)))
        print(path, \"connected\")
    except OSError as e:
        print(path, e.strerror)
" @ward-canary '"$LAB/home/runtime/ward-canary.sock $project/hidden.sock"' /var/run/docker.sock /run/docker.sock /run/podman/podman.sock \
		/run/user/*/bus /run/dbus/system_bus_socket /run/systemd/private'
	lab_ward run -q --name sockets --hide hidden.sock shell "$project" -- -c true
	# The positive controls: from the host all of them answer, and inside the one that is given, as SECURITY.md says.
	lab_host bash -c "$attempt" | grep -c ' connected$' | grep -qx 3
	lab_ward exec sockets bash -c "${attempt/hidden.sock/given.sock}" | grep -qx "$project/given.sock connected"
	wait_for grep -qx "$project/given.sock" "$LAB/unix"
	: >"$LAB/unix"
	run lab_ward exec sockets bash -c "$attempt"
	assert_status 0
	refute_output_has connected
	assert_output_has '@ward-canary Connection refused'
	[ ! -s "$LAB/unix" ] || fail "$(cat "$LAB/unix")"
	kill "$listener"
	rm "$project"/*.sock
	lab_ward rm -f sockets >/dev/null
}

@test "D67 a published port is on the address that is written, and on no other one" {
	local project=$LAB/home/project/published
	mkdir -p "$project"
	chown "$LAB_USER" "$project"
	outside() { nsenter -t "$LAB_NET" -n -- curl -s -m 10 "$@"; }
	echo served >"$project/index.html"
	lab_ward run -q --name published -p 127.0.0.1:8000:8000 shell "$project" -- -c true
	lab_ward exec published bash -c 'setsid /usr/bin/python3 -m http.server 8000 --bind 127.0.0.1 >log 2>&1 </dev/null &'
	served() { [ "$(lab_host curl -s -m 10 http://127.0.0.1:8000/)" = served ]; }
	wait_for served
	: >"$project/log"
	local address
	for address in 10.77.0.2 '[::1]' '[2a00:77:1::2]'; do
		run lab_host curl -s -m 10 "http://$address:8000/"
		[ "$status" -eq 7 ] || fail "$address: $status $output"
	done
	for address in 10.77.0.2 '[2a00:77:1::2]'; do
		run outside "http://$address:8000/"
		[ "$status" -eq 7 ] || fail "$address from outside: $status $output"
	done
	[ ! -s "$project/log" ] || fail "$(cat "$project/log")"
	# The positive control: where it is written, it is there, for other computers as well.
	lab_ward ports published --publish 10.77.0.2:8001:8000 >/dev/null
	[ "$(outside http://10.77.0.2:8001/)" = served ]
	run lab_host curl -s -m 10 http://127.0.0.1:8001/
	[ "$status" -eq 7 ]
	lab_ward rm -f published >/dev/null
}

# --- nobody inside changes it -------------------------------------------------------------------

@test "root inside changes neither routes nor rules nor addresses" {
	need sudo
	local as_root='sudo -n'
	direct 'sudo -n true' 2>/dev/null || as_root=
	run direct "$as_root ip link add dummy0 type dummy; $as_root ip addr add 10.9.9.9/32 dev lo; $as_root ip route add 10.0.0.0/8 dev lo;
		$as_root ip rule add pref 1 lookup main; $as_root ip link set lo down; $as_root ip route flush table 100"
	[ "$(direct 'ip -4 -br addr show lo')" = "$(direct 'ip -4 -br addr show lo' | grep -v 10.9.9.9)" ]
	[ "$(direct 'ip rule | grep -c "lookup 100"')" -eq 2 ]
	[ "$(direct 'ip route show table 100 | wc -l')" -eq 1 ]
	[ -z "$(direct 'ip route show')" ]
	# nf_tables: as the program's own syscalls, since the tool may be missing.
	run direct "$as_root /usr/bin/python3 -c '
import socket
try:
    s = socket.socket(16, socket.SOCK_RAW, 12)
    print(\"opened\")
except OSError as e:
    print(e)'"
	refute_output_has opened
	[ "$(direct 'curl -sS http://allowed.test/')" = 'this is allowed.test' ]
}

# --- where the kernel does not help -------------------------------------------------------------

@test "a kernel that refuses the rules: the box starts with the proxy variables alone, and says so" {
	local project=$LAB/home/project/plain
	mkdir -p "$project"
	chown "$LAB_USER" "$project"
	# The refusal is a system call filter that Ward and its children inherit.
	# shellcheck disable=SC2046 # a list
	nsenter -t "$LAB_HOST" -n -m -- python3 "$WARD_REPO/tests/lib/no_netfilter.py" runuser -u "$LAB_USER" -- env -i HOME="$LAB/home" \
		XDG_RUNTIME_DIR="$LAB/home/runtime" PATH=/usr/bin:/bin:/usr/sbin LC_ALL=C.UTF-8 \
		"$WARD" run -q --name plain --network locked $(cat "$LAB/rules") shell "$project" -- -c true </dev/null
	lab_ward inspect plain | jq -e '.[0].enforcement.capture | (.ipv4 == false) and (.ipv6 == false) and (.reason | test("nf_tables"))'
	grep -q 'capture' "$LAB"/home/.local/share/ward/sandboxes/*/log/supervisor.log
	[ "$(lab_ward exec plain bash -c 'curl -sS http://allowed.test/')" = 'this is allowed.test' ]
	run lab_ward exec plain bash -c "unset $PROXY_VARIABLES; curl -sS -m 10 http://allowed.test/"
	[ "$status" -ne 0 ]
	run lab_ward exec plain bash -c "unset $PROXY_VARIABLES; curl -sS -m 10 http://203.0.113.10/"
	[ "$status" -eq 7 ]
	lab_ward rm -f plain >/dev/null
	assert_silence allowed.test
}

@test "inspect says that everything is captured" {
	lab_ward inspect lab | jq -e '.[0].enforcement.capture == { "ipv4": true, "ipv6": true, "reason": null }'
}

# --- images -------------------------------------------------------------------------------------

@test "template pull: the registry's name is looked up, and TLS spoken, by a program that is confined" {
	mkdir -p "$LAB/registry" "$LAB/home/.config/ward"
	nsenter -t "$LAB_NET" -n -- python3 "$WARD_REPO/tests/lib/registry.py" serve "$LAB/registry" \
		--address 203.0.113.40 --port 5000 --tls "$LAB/cert.pem" "$LAB/key.pem" </dev/null >/dev/null 2>&1 3>&- &
	local server=$!
	wait_for test -s "$LAB/registry/port"
	echo "registries: {raw.test:5000: {ca: $LAB/ca.pem}}" >"$LAB/home/.config/ward/config.yaml"
	run lab_ward template pull -q raw.test:5000/x/img:v1
	kill "$server"
	rm "$LAB/home/.config/ward/config.yaml"
	[ "$status" -eq 0 ] || fail "$output"
	lab_log dns | grep -qx 'raw.test 1'
	lab_log dns | grep -qx 'raw.test 28'
	run lab_ward template pull -q nowhere.test/x/img:v1
	assert_status 125
	assert_output_has "its name cannot be resolved"
	lab_log dns | grep -qx 'nowhere.test 1'
	lab_ward template rm raw.test:5000/x/img:v1
}
