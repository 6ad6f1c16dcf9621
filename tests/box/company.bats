#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Behind the proxy of a company, in a lab of namespaces (lib/lab.py company): the host reaches nothing but the
# proxy and its neighbours, and no name server.  The verdict comes from the proxy's log: what is allowed is asked
# for by name, what is refused never gets there.

load ../lib/common
load ../lib/lab

LOGIN=me:s3cret
PROXY=http://$LOGIN@proxy.company.test:3128
RULES=(allowed.test git.test git.test:22 raw.test:7777 blocked.test lan.company.test 10.77.0.1)

setup_file() {
	WARD_REPO=${WARD_REPO:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)}
	export WARD="${WARD:-$WARD_REPO/build/src/ward}" WARD_REPO
	[ "$(id -u)" -eq 0 ] || return 0
	lab_start company
	lab_web
}

teardown_file() {
	lab_stop
}

setup() {
	[ "$(id -u)" -eq 0 ] || skip "network namespaces for a lab need root"
	lab_forget
	LAB_ENV=()
}

teardown() {
	[ "$(id -u)" -ne 0 ] || lab_ward rm -f lab >/dev/null 2>&1 || true
}

# with VARIABLE=VALUE...: a sandbox that is made with these in the user's environment.
with() {
	local rule args=()
	for rule in "${RULES[@]}"; do args+=(--allow-host "$rule"); done
	LAB_ENV=("$@")
	lab_ward run -q --name lab --network locked "${args[@]}" shell -- -c true
	LAB_ENV=()
}

# What the proxy was asked for.
assert_asked() {
	assert_equal "$(lab_log proxy | sort -u)" "$(printf '%s\n' "$@" | sort -u)"
}

assert_nobody_else() {
	local server
	for server in denied denied-22 metadata udp host-loopback host-address other dns; do
		[ -z "$(lab_log "$server")" ] || fail "$server got: $(lab_log "$server")"
	done
}

@test "positive control: the host itself gets out through the proxy, and in no other way" {
	run lab_host curl -sS -m 5 http://allowed.test/
	[ "$status" -ne 0 ]
	run lab_host curl -sS -m 5 http://203.0.113.10/
	[ "$status" -ne 0 ]
	[ "$(lab_host curl -sS -x "$PROXY" http://allowed.test/)" = 'this is allowed.test' ]
	[ "$(lab_host curl -sS -x "$PROXY" --cacert ca.pem https://denied.test/)" = 'this is denied.test' ]
	assert_asked 'GET http://allowed.test/ as me' 'CONNECT denied.test:443 as me'
	# A box without a proxy gets nowhere.
	with NOTHING=
	run direct 'curl -s -m 20 http://allowed.test/'
	[ "$status" -ne 0 ]
	[ "$(lab_log proxy | wc -l)" -eq 2 ]
}

@test "curl, git, Python and raw TCP reach what is allowed, whether they know of proxies or not" {
	with "https_proxy=$PROXY" "http_proxy=$PROXY"
	local as
	for as in direct proxied; do
		[ "$($as 'curl -sS http://allowed.test/')" = 'this is allowed.test' ]
		[ "$($as 'curl -sS --cacert ca.pem https://allowed.test/')" = 'this is allowed.test' ]
		$as 'git -c http.sslCAInfo=$PWD/ca.pem clone -q https://git.test/repo.git /tmp/'$as' && git -C /tmp/'$as' log --oneline' | grep first
	done
	[ "$(direct '/usr/bin/python3 -c "
import urllib.request, ssl
c = ssl.create_default_context(cafile=\"ca.pem\")
print(urllib.request.urlopen(\"https://allowed.test/\", context=c).read().decode(), end=\"\")"')" = 'this is allowed.test' ]
	[ "$(direct 'exec 3<>/dev/tcp/raw.test/7777; head -n 1 <&3')" = 'hello, you first' ]
	direct 'GIT_SSH_COMMAND="ssh -F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i $PWD/.ssh/key -o BatchMode=yes" \
		git clone -q ssh://root@git.test/root/repo.git /tmp/by-ssh && git -C /tmp/by-ssh log --oneline' | grep first
	assert_asked 'GET http://allowed.test/ as me' 'CONNECT allowed.test:443 as me' 'CONNECT git.test:443 as me' \
		'CONNECT raw.test:7777 as me' 'CONNECT git.test:22 as me'
	assert_nobody_else
}

@test "npm and pip install through the proxy" {
	need npm
	lab_registries
	with "https_proxy=$PROXY"
	direct 'cd /tmp && mkdir -p n && cd n && echo "{}" >package.json &&
		npm install --silent --no-audit --no-fund --registry https://allowed.test/npm/ --cafile '"$LAB/home/project/ca.pem"' lab-package &&
		node -e "console.log(require(\"lab-package\"))"' | grep 'from the lab'
	proxied '/usr/bin/python3 -m pip --version >/dev/null 2>&1 || exit 0
		/usr/bin/python3 -m pip install -q --break-system-packages --target /tmp/p --cert ca.pem --index-url https://allowed.test/simple/ lab-wheel &&
		PYTHONPATH=/tmp/p /usr/bin/python3 -c "import lab_wheel; print(lab_wheel.TEXT)" | grep "from the lab"'
	assert_asked 'CONNECT allowed.test:443 as me'
}

@test "what is refused never reaches the proxy, and says so at once" {
	with "https_proxy=$PROXY" "http_proxy=$PROXY"
	local target
	for target in http://denied.test/ https://denied.test/ http://169.254.169.254/ http://203.0.113.20/ \
		http://proxy.company.test:3128/ http://10.77.0.9/ https://allowed.test:8443/; do
		run proxied "curl -s -m 5 -o /dev/null -w '%{http_connect}%{http_code}' $target"
		[[ $output == *403* ]] || fail "$target: $output"
		run direct "curl -s -m 5 $target"
		[ "$status" -ne 0 ] || [[ $output == *denied* ]] || fail "$target: $output"
	done
	run direct 'getent hosts denied.test'
	[ "$status" -ne 0 ]
	[ -z "$(lab_log proxy)" ]
	assert_nobody_else
	direct 'curl -sS http://allowed.test/'
	assert_asked 'GET http://allowed.test/ as me'
}

@test "what the proxy refuses is told apart from what Ward refuses" {
	with "https_proxy=http://me:wrong@proxy.company.test:3128" "http_proxy=$PROXY"
	run proxied 'curl -s http://allowed.test:80/ >/dev/null; curl -sv https://allowed.test/ 2>&1'
	assert_output_has '502 Bad Gateway'
	run proxied "printf 'CONNECT allowed.test:443 HTTP/1.1\r\n\r\n' | nc -q 2 127.0.0.1 3128"
	assert_output_has 'the proxy http://proxy.company.test:3128 wants other credentials'
	refute_output_has wrong
	run proxied 'curl -s http://blocked.test/'
	assert_output_has 'blocked here'
	run direct 'curl -sS --cacert ca.pem https://allowed.test/'
	[ "$status" -ne 0 ]
	lab_ward policy log --json lab >"$LAB/records"
	jq -es 'any(.verdict == "error" and .host == "allowed.test" and .via == "http://proxy.company.test:3128" and (.reason | test("407")))' "$LAB/records"
	jq -es 'any(.verdict == "allow" and .host == "blocked.test" and .via)' "$LAB/records"
	[ -z "$(lab_ward policy log --denied lab)" ]
}

@test "SOCKS, and TLS to the proxy" {
	with "all_proxy=socks5h://$LOGIN@10.77.0.1"
	[ "$(direct 'curl -sS --cacert ca.pem https://allowed.test/')" = 'this is allowed.test' ]
	[ "$(proxied 'curl -sS http://allowed.test/')" = 'this is allowed.test' ]
	assert_asked 'SOCKS allowed.test:443 as me' 'SOCKS allowed.test:80 as me'
	lab_ward rm -f lab
	lab_forget
	mkdir -p "$LAB/home/.config/ward"
	printf '%s\n' "proxy: https://$LOGIN@proxy.company.test:3129" "ca: $LAB/home/project/ca.pem" >"$LAB/home/.config/ward/config.yaml"
	# The configuration counts more than the environment.
	with "https_proxy=http://nobody.company.test:1"
	rm "$LAB/home/.config/ward/config.yaml"
	[ "$(direct 'curl -sS https://allowed.test/')" = 'this is allowed.test' ]
	[ "$(proxied 'curl -sS http://allowed.test/')" = 'this is allowed.test' ]
	assert_asked 'CONNECT allowed.test:443 as me' 'GET http://allowed.test/ as me'
	assert_nobody_else
}

@test "no_proxy: neighbours are reached without it" {
	with "https_proxy=$PROXY" "http_proxy=$PROXY" 'no_proxy=.company.test,10.0.0.0/8'
	[ "$(proxied 'curl -sS -o /dev/null -w "%{http_code}" http://10.77.0.1/')" = 404 ]
	[ "$(direct 'curl -sS -o /dev/null -w "%{http_code}" http://10.77.0.1/')" = 404 ]
	[ "$(proxied 'curl -sS -o /dev/null -w "%{http_code}" http://lan.company.test/')" = 404 ]
	[ -z "$(lab_log proxy)" ]
	[ -n "$(lab_log lan)" ]
}

@test "the company's certificates are trusted inside, by every kind of program" {
	with "https_proxy=$PROXY" "SSL_CERT_FILE=$LAB/home/project/ca.pem"
	[ "$(direct 'curl -sS https://allowed.test/')" = 'this is allowed.test' ]
	direct 'git ls-remote -q https://git.test/repo.git' | grep HEAD
	[ "$(direct '/usr/bin/python3 -c "import urllib.request; print(urllib.request.urlopen(\"https://allowed.test/\").read().decode(), end=\"\")"')" = 'this is allowed.test' ]
	if command -v node >/dev/null; then
		[ "$(direct 'node -e "fetch(\"https://allowed.test/\").then(r => r.text()).then(t => process.stdout.write(t))"')" = 'this is allowed.test' ]
	fi
	# The system's own count as well, nothing but certificates is inside, and nobody writes there.
	[ "$(direct 'grep -c "^-----BEGIN CERT" $SSL_CERT_FILE')" -gt 10 ]
	run direct 'echo x >$SSL_CERT_FILE'
	[ "$status" -ne 0 ]
	# Without them it is not trusted, also in a sandbox that had them.
	lab_ward stop lab
	LAB_ENV=("https_proxy=$PROXY")
	run direct 'curl -sS https://allowed.test/'
	[ "$status" -eq 60 ]
}

@test "the password is in no file, no environment, no command line and no log" {
	with "https_proxy=$PROXY" "http_proxy=$PROXY"
	direct 'curl -sS http://allowed.test/' >/dev/null
	run grep -rl s3cret "$LAB/home/.local" "$LAB/home/runtime" "$LAB/home/.config"
	assert_equal "$output" ""
	run lab_ward inspect lab
	refute_output_has s3cret
	local pid
	for pid in $(pgrep -u "$LAB_USER" 'ward'); do
		run grep -slz s3cret "/proc/$pid/cmdline" "/proc/$pid/environ"
		assert_equal "$output" ""
	done
	run direct 'env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr "\0" "\n"; grep -r "s3[c]ret" /run /tmp /etc "$HOME" 2>/dev/null'
	refute_output_has s3cret
	[ "$(proxied 'echo $https_proxy')" = http://127.0.0.1:3128 ]
}

@test "a bad address is an error before the start, which does not show it" {
	local bad
	for bad in ftp://me:s3cret@x http://me:s3cret@x:99999 'http://me:s3cret%zz@x'; do
		LAB_ENV=("https_proxy=$bad")
		run lab_ward run -q --name lab shell -- -c true
		[ "$status" -eq 125 ]
		assert_output_has 'https_proxy'
		refute_output_has s3cret
	done
}

@test "a killed proxy process comes back with the same settings" {
	with "https_proxy=$PROXY" "http_proxy=$PROXY"
	local pid
	pid=$(lab_ward inspect lab | jq '.[0].enforcement.proxy.pid')
	kill -9 "$pid"
	replaced() { [ "$(lab_ward inspect lab | jq '.[0].enforcement.proxy | select(.serving).pid')" -ne "$pid" ]; }
	wait_for replaced
	[ "$(direct 'curl -sS http://allowed.test/')" = 'this is allowed.test' ]
	assert_asked 'GET http://allowed.test/ as me'
}

@test "template pull goes through the proxy too, over HTTP and SOCKS, and trusts the company's certificates" {
	mkdir -p "$LAB/registry" "$LAB/home/.config/ward"
	nsenter -t "$LAB_NET" -n -- python3 "$WARD_REPO/tests/lib/registry.py" serve "$LAB/registry" \
		--address 203.0.113.40 --port 5000 --tls "$LAB/cert.pem" "$LAB/key.pem" </dev/null >/dev/null 2>&1 3>&- &
	local server=$! way
	wait_for test -s "$LAB/registry/port"
	for way in "$PROXY" "socks5h://$LOGIN@proxy.company.test"; do
		lab_forget
		printf '%s\n' "proxy: $way" "ca: $LAB/home/project/ca.pem" >"$LAB/home/.config/ward/config.yaml"
		run lab_ward template pull -q raw.test:5000/x/img:v1
		rm "$LAB/home/.config/ward/config.yaml"
		[ "$status" -eq 0 ] || { kill "$server" && fail "$way: $output"; }
		lab_log proxy | grep -E '^(CONNECT|SOCKS) raw.test:5000 as me$'
		lab_ward template rm raw.test:5000/x/img:v1
	done
	kill "$server"
	assert_nobody_else
}
