# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The lab of lab.py, for bats files: `load ../lib/lab` after common; lab_start in setup_file, lab_stop in
# teardown_file.  Ward runs in its "host" namespace as an ordinary user.

# A directory LAB, a user LAB_USER with a home in it, and the process ids of the namespaces.
lab_start() { # [company]
	LAB=$(mktemp -d /tmp/ward-lab.XXXXXX)
	chmod 0755 "$LAB"
	LAB_USER=wardtest
	id "$LAB_USER" >/dev/null 2>&1 || LAB_USER=nobody
	mkdir -p "$LAB/www" "$LAB/home/project" "$LAB/home/runtime"
	chmod 0700 "$LAB/home/runtime"
	chown -R "$LAB_USER" "$LAB/home"
	lab_ssh
	export LAB LAB_USER
	python3 "$BATS_TEST_DIRNAME/../lib/lab.py" "$LAB" "$@" >"$LAB/lab.log" 2>&1 3>&- &
	LAB_PID=$!
	wait_for test -e "$LAB/ready" || { cat "$LAB/lab.log" && return 1; }
	read -r LAB_HOST LAB_NET <"$LAB/ready"
	cp "$LAB/ca.pem" "$LAB/home/project/ca.pem"
	export LAB_PID LAB_HOST LAB_NET
}

# Keys for git over ssh; in the home of the server's root.
lab_ssh() {
	mkdir -p "$LAB/ssh-home/.ssh" "$LAB/home/project/.ssh"
	chmod 0700 "$LAB/ssh-home" "$LAB/ssh-home/.ssh"
	ssh-keygen -q -t ed25519 -N '' -f "$LAB/home/project/.ssh/key"
	cp "$LAB/home/project/.ssh/key.pub" "$LAB/ssh-home/.ssh/authorized_keys"
	dropbearkey -t ed25519 -f "$LAB/ssh-key" >/dev/null 2>&1
	chown -R "$LAB_USER" "$LAB/home/project/.ssh"
}

lab_stop() {
	[ -n "${LAB:-}" ] || return 0
	local id
	for id in "$LAB/home/.local/share/ward/sandboxes"/*; do
		[ ! -d "$id" ] || lab_ward rm -f "${id##*/}" >/dev/null 2>&1 || true
	done
	kill "$LAB_PID" 2>/dev/null || true
	wait "$LAB_PID" 2>/dev/null || true
	rm -rf "$LAB"
}

# Variables that lab_ward sets, "NAME=VALUE".
LAB_ENV=()

# A command on the lab's host, as the user.
lab_host() {
	nsenter -t "$LAB_HOST" -n -m -- runuser -u "$LAB_USER" -- env -i HOME="$LAB/home" \
		XDG_RUNTIME_DIR="$LAB/home/runtime" XDG_DATA_HOME="$LAB/home/.local/share" \
		XDG_CONFIG_HOME="$LAB/home/.config" PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
		LC_ALL=C.UTF-8 TERM=dumb NO_COLOR=1 sh -c 'cd "$0" && exec "$@"' "$LAB/home/project" "$@"
}

lab_ward() {
	lab_host env ${LAB_ENV[@]+"${LAB_ENV[@]}"} "$WARD" "$@" </dev/null
}

PROXY_VARIABLES='http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY NODE_USE_ENV_PROXY'

# A shell script in the sandbox `lab`, without proxy variables.
direct() {
	lab_ward exec lab bash -c "unset $PROXY_VARIABLES; $1"
}

# The same with them.
proxied() {
	lab_ward exec lab bash -c "$1"
}

# What a server of the lab got; empty when it got nothing.
lab_log() {
	cat "$LAB/log/$1" 2>/dev/null || true
}

lab_forget() {
	local f
	for f in "$LAB"/log/*; do
		case $f in */ssh) ;; *) rm -f "$f" ;; esac
	done
}

# Nobody who was not allowed heard of anything, and the name server of nothing but these names.
assert_silence() { # [NAME...]
	local server name kind
	for server in denied denied-22 metadata lan udp host-loopback host-address other; do
		[ -z "$(lab_log "$server")" ] || fail "$server got: $(lab_log "$server")"
	done
	while read -r name kind; do
		[[ " $* " == *" $name "* ]] || fail "the name server was asked for $name ($kind)"
	done < <(lab_log dns)
}

# What the web servers have, by host.
lab_web() {
	local host
	for host in allowed.test denied.test only6.test raw.test lan.test metadata.test none 203.0.113.10; do
		mkdir -p "$LAB/www/$host"
		echo "this is $host" >"$LAB/www/$host/index.html"
	done
	mkdir -p "$LAB/www/git.test" "$LAB/ssh-home/repo.git"
	git init -q --bare "$LAB/ssh-home/repo.git"
	git init -q "$LAB/work"
	git -C "$LAB/work" -c user.name=x -c user.email=x@y commit -q --allow-empty -m first
	git -C "$LAB/work" push -q "$LAB/ssh-home/repo.git" HEAD:refs/heads/main
	git -C "$LAB/ssh-home/repo.git" symbolic-ref HEAD refs/heads/main
	git -C "$LAB/ssh-home/repo.git" update-server-info
	cp -r "$LAB/ssh-home/repo.git" "$LAB/www/git.test/repo.git"
	chmod -R a+rX "$LAB/www"
}

# A package each, as static files.
lab_registries() {
	local www=$LAB/www/allowed.test
	mkdir -p "$LAB/pkg/package" "$www/npm" "$www/simple/lab-wheel"
	echo '{"name":"lab-package","version":"1.0.0","main":"index.js"}' >"$LAB/pkg/package/package.json"
	echo 'module.exports = "from the lab"' >"$LAB/pkg/package/index.js"
	tar -C "$LAB/pkg" -czf "$www/npm/lab.tgz" package
	printf '{"name":"lab-package","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"lab-package","version":"1.0.0","main":"index.js","dist":{"tarball":"https://allowed.test/npm/lab.tgz","shasum":"%s"}}}}' \
		"$(sha1sum <"$www/npm/lab.tgz" | cut -d' ' -f1)" >"$www/npm/lab-package"
	python3 - "$www/simple/lab-wheel/lab_wheel-1.0-py3-none-any.whl" <<-'PYTHON'
		import sys, zipfile
		with zipfile.ZipFile(sys.argv[1], "w") as z:
		    z.writestr("lab_wheel.py", "TEXT = 'from the lab'\n")
		    z.writestr("lab_wheel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: lab-wheel\nVersion: 1.0\n")
		    z.writestr("lab_wheel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
		    z.writestr("lab_wheel-1.0.dist-info/RECORD", "lab_wheel.py,,\nlab_wheel-1.0.dist-info/METADATA,,\n"
		               "lab_wheel-1.0.dist-info/WHEEL,,\nlab_wheel-1.0.dist-info/RECORD,,\n")
	PYTHON
	echo '<a href="lab_wheel-1.0-py3-none-any.whl">lab_wheel-1.0-py3-none-any.whl</a>' >"$www/simple/lab-wheel/index.html"
	chmod -R a+rX "$LAB/www"
}
