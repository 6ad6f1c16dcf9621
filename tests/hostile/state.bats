#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Environment, other users, records, names and paths: D74 to D78, D82.

load lib/hostile

setup() { hostile_setup; }
teardown() { hostile_teardown; }

@test "D74 the user's environment stays outside" {
	local u f
	export HOST_SECRET=$TOKEN AWS_SECRET_ACCESS_KEY=$TOKEN SSH_AUTH_SOCK=/tmp/$TOKEN GITHUB_TOKEN=$TOKEN
	export DBUS_SESSION_BUS_ADDRESS=unix:path=/$TOKEN LD_PRELOAD_X=$TOKEN NODE_OPTIONS=--x=$TOKEN
	export BASH_ENV=/$TOKEN GIT_ASKPASS=$TOKEN KUBECONFIG=$TOKEN DOCKER_HOST=$TOKEN XAUTHORITY=$TOKEN
	control plain_box env
	grep -qF "$TOKEN" "$TEST_DIR/control"
	make_box
	for u in $(users_inside); do
		in_box "$u" sh -c 'env; cat /proc/[0-9]*/environ 2>/dev/null; true' >"$TEST_DIR/out.$u" 2>&1
	done
	ward run -q shell -- -c 'env; cat /proc/*/environ 2>/dev/null; true' >"$TEST_DIR/out.run" 2>&1 </dev/null
	for f in "$TEST_DIR"/out.*; do
		grep -q '^PATH=' "$f"
		assert_no_token "$f"
		# These two are the box's own files, and nothing of the user's.
		sed -i -e '/^BASH_ENV=\/etc\/sandbox-persistent.sh$/d' -e '/^AWS_CA_BUNDLE=\/run\/ward\/ca.pem$/d' "$f"
		refute grep -aE '^(HOST_SECRET|AWS_|SSH_AUTH_SOCK|GITHUB_TOKEN|DBUS_|LD_|BASH_ENV|GIT_ASK|KUBE|XAUTH)' "$f"
	done
	# Nor in what is kept.
	refute grep -raqF "$TOKEN" "$XDG_DATA_HOME/ward" "$XDG_RUNTIME_DIR"
	# The control: what is asked for does arrive.
	[ "$(ward exec -e "GIVEN=$TOKEN" "$BOX" sh -c 'echo $GIVEN' </dev/null)" = "$TOKEN" ]
}

@test "D75 another user of the machine sees and reaches nothing" {
	local stranger init path
	[ "$(id -un)" = wardother ] && skip "this is the stranger"
	stranger=wardother
	id "$stranger" >/dev/null 2>&1 || stranger=nobody
	# Skips here when this user cannot become another one.
	as "$stranger" true
	make_box
	in_box agent sh -c 'echo secret >/tmp/f'
	init=$(box_init)
	chmod 755 "$TEST_DIR" "$HOME"
	echo open >"$TEST_DIR/open"
	[ "$(as "$stranger" cat "$TEST_DIR/open")" = open ] # the control: the way there is open
	for path in "$XDG_DATA_HOME/ward" "$XDG_RUNTIME_DIR"; do
		run as "$stranger" find "$path" -mindepth 1
		[ -z "$(grep -v 'Permission denied' <<<"$output")" ] || { echo "$output" && false; }
	done
	while read -r path; do
		run as "$stranger" socat -u OPEN:/dev/null "UNIX-CONNECT:$path"
		[ "$status" -ne 0 ]
		run as "$stranger" cat "$path"
		[ "$status" -ne 0 ]
	done < <(find "$XDG_DATA_HOME/ward" "$XDG_RUNTIME_DIR" -type s -o -type f -size -1M | head -n 50)
	# Nothing with a guessable name in a shared directory, nothing abstract.
	[ -z "$(find /tmp /var/tmp /dev/shm -maxdepth 1 -user "$(id -un)" -name '*ward*' ! -name 'ward-t.*' \
		! -name 'ward-test*' -newer "$SENT/f")" ]
	refute grep -q '@.*ward' /proc/net/unix
	run as "$stranger" ls "/proc/$init/root/"
	[ "$status" -ne 0 ]
	run as "$stranger" cat "/proc/$init/environ" "/proc/$init/mem"
	[ "$status" -ne 0 ]
	run as "$stranger" nsenter -t "$init" -U true
	[ "$status" -ne 0 ]
}

record() { # NAME: the directory of a sandbox
	echo "$XDG_DATA_HOME/ward/sandboxes/$(ward inspect "$1" | jq -r '.[0].id')"
}

@test "D76 one bad record never hides the others, and is never followed" {
	local kind dir n=0
	need jq timeout
	mkdir "$TEST_DIR/good"
	ward create -q -w "$TEST_DIR/good" --name good -t host shell >/dev/null
	for kind in empty garbage truncated huge symlink fifo directory deep wrong-types dotdot-id missing; do
		mkdir "$TEST_DIR/w.$kind"
		ward create -q -w "$TEST_DIR/w.$kind" --name "bad-$kind" -t host shell >/dev/null
		dir=$(record "bad-$kind")
		n=$((n + 1))
		cp "$dir/spec.json" "$TEST_DIR/spec.json"
		case $kind in
		empty) : >"$dir/spec.json" ;;
		garbage) head -c 4096 /dev/urandom >"$dir/spec.json" ;;
		truncated) truncate -s 40 "$dir/spec.json" ;;
		huge) truncate -s 8G "$dir/spec.json" ;;
		symlink) ln -sf "$SENT/secret" "$dir/spec.json" ;;
		fifo) rm "$dir/spec.json" && mkfifo "$dir/spec.json" ;;
		directory) rm "$dir/spec.json" && mkdir "$dir/spec.json" ;;
		deep) python3 -c 'print("[" * 100000)' >"$dir/spec.json" ;;
		wrong-types) jq 'map_values(7)' "$TEST_DIR/spec.json" >"$dir/spec.json" ;;
		dotdot-id) jq '.id = "../../../sentinel"' "$TEST_DIR/spec.json" >"$dir/spec.json" ;;
		missing) rm "$dir/spec.json" ;;
		esac
		run timeout 20 "$WARD" ls </dev/null
		[ "$status" -ne 124 ] || { echo "$kind: it hangs" && false; }
		grep -q 'good' <<<"$output" || { echo "$kind: $output" && false; }
		[[ $output != *"$TOKEN"* ]]
		run timeout 20 "$WARD" exec good true </dev/null
		assert_status 0
		run timeout 20 "$WARD" exec "bad-$kind" true </dev/null
		[ "$status" -ne 0 ] && [ "$status" -ne 124 ] || { echo "$kind: $status $output" && false; }
		run timeout 20 "$WARD" rm -f "bad-$kind" </dev/null
		[ "$status" -ne 124 ]
		[ "$(cat "$SENT/secret")" = "$TOKEN" ]
		rm -rf "$dir" 2>/dev/null || true
	done
	run ward exec good echo fine </dev/null
	[ "$output" = fine ]
}

@test "D76 a directory of records that is not ours is refused" {
	need timeout
	ward create -q --name "$BOX" -t host shell >/dev/null
	mv "$XDG_DATA_HOME/ward" "$TEST_DIR/real"
	ln -s "$TEST_DIR/real" "$XDG_DATA_HOME/ward"
	run timeout 20 "$WARD" ls </dev/null
	# A link of the user's own may be followed or refused; what is open to others may not.
	rm "$XDG_DATA_HOME/ward"
	mv "$TEST_DIR/real" "$XDG_DATA_HOME/ward"
	chmod 0777 "$XDG_DATA_HOME/ward"
	run timeout 20 "$WARD" exec "$BOX" true </dev/null
	if [ "$status" -eq 0 ]; then
		[ "$(stat -c %a "$XDG_DATA_HOME/ward")" = 700 ]
	else
		assert_output_has "ward: "
	fi
	chmod 0700 "$XDG_DATA_HOME/ward"
	if [ "$(id -u)" -eq 0 ]; then
		chown 65534 "$XDG_DATA_HOME/ward"
		run timeout 20 "$WARD" exec "$BOX" true </dev/null
		[ "$status" -ne 0 ]
		chown 0 "$XDG_DATA_HOME/ward"
	fi
}

@test "D77 a record that names a foreign process does not get it killed" {
	local dir f
	need jq
	make_box
	in_box agent true
	dir=$(record "$BOX")
	start_victim
	ward stop "$BOX"
	# The control: the numbers are really in the record while it runs.
	in_box agent true
	for f in "$dir"/state.json "$dir"/*.json; do
		[ -f "$f" ] && [ "${f##*/}" != spec.json ] || continue
		jq --argjson pid "$VICTIM" 'walk(if type == "object" then with_entries(if (.key | test("pid")) and
			(.value | type) == "number" then .value = $pid else . end) else . end)' "$f" >"$TEST_DIR/state.json"
		cp "$TEST_DIR/state.json" "$f"
	done
	ward ls >/dev/null
	ward exec "$BOX" true </dev/null || true
	ward stop "$BOX" || true
	victim_lives
	# And with the sandbox stopped: a record that says it runs.
	[ ! -f "$TEST_DIR/state.json" ] || cp "$TEST_DIR/state.json" "$dir/state.json"
	run ward stop "$BOX"
	victim_lives
	run ward exec "$BOX" echo up </dev/null
	victim_lives
	run ward rm -f "$BOX"
	victim_lives
	[ -z "$(ward ls -q)" ]
}

@test "D77 a listener that only looks like a sandbox's is not talked to for long" {
	local dir run
	need socat timeout
	make_box
	in_box agent true
	ward stop "$BOX"
	run=$XDG_RUNTIME_DIR/ward/$(basename "$(record "$BOX")")
	mkdir -p "$run"
	timeout 60 socat "UNIX-LISTEN:$run/control.sock,fork,type=5" EXEC:'cat' 2>/dev/null &
	run timeout 30 "$WARD" exec "$BOX" echo mine </dev/null
	[ "$status" -ne 124 ]
	[ "$status" -ne 0 ] || [ "$output" = mine ]
	kill %% 2>/dev/null || true
}

refused() { # STATUS COMMAND...
	local want=$1
	shift
	run ward "$@"
	[ "$status" -eq "$want" ] || [ "$status" -eq 125 ] || { echo "status $status: ward $*" && echo "$output" && return 1; }
	grep -q '^ward: ' <<<"$output" || { echo "no message: ward $*: $output" && return 1; }
	[ -z "$(ward ls -q)" ] || { echo "a sandbox was made: ward $*" && return 1; }
}

@test "D78 names and volumes that mean something to a path or a shell" {
	local name before
	before=$(snapshot "$SENT")
	for name in .. . -rf a/b 'a b' '' "$(printf 'x%.0s' {1..300})" $'a\nb' '$(touch x)' '`touch x`' A \
		../../sentinel /etc '*' 'a;b' '.hidden' $'\xff' 'ü'; do
		refused 2 run --name "$name" -t host shell -- -c true </dev/null
	done
	for name in a:b:c:d relative:/x /nonexistent-source:/x "$SENT:relative" "$SENT:/x:rw:ro" "$SENT:/../x:zz" \
		$'/a\nb:/x' ":/x" "$SENT:" ":" "/:/x" "$HOME:/x" "$SENT:/proc/x" "$SENT:/" "$SENT:/x/../../proc"; do
		refused 2 run -v "$name" -t host shell -- -c true </dev/null
	done
	for name in .. ../sentinel "$SENT" '*' '' -- '-x'; do
		run ward rm -f "$name" </dev/null
		[ "$status" -ne 0 ]
	done
	[ ! -e x ]
	assert_same_snapshot "$before" "$SENT"
}

@test "D78 users, environment and directories of exec" {
	local value
	make_box
	in_box agent true
	for value in 1abc -1 4294967295 4294967296 0x0 0:x ../../etc/passwd 'a b' $'a\nb' 99999999999999999999; do
		run ward exec -u "$value" "$BOX" id </dev/null
		[ "$status" -ne 0 ] || { echo "-u '$value': $output" && false; }
	done
	run ward exec -e $'A=b\nc' "$BOX" sh -c 'echo "$A"' </dev/null
	[ "$status" -ne 0 ] || [ "$output" = $'b\nc' ]
	run ward exec -e =x "$BOX" true </dev/null
	[ "$status" -ne 0 ]
	for value in relative /nonexistent /proc/1/root "$SENT" ''; do
		run ward exec -w "$value" "$BOX" pwd </dev/null
		[ "$status" -ne 0 ] || { echo "-w '$value': $output" && false; }
	done
}

@test "D82 workspaces with weird names are mounted as they are, or refused" {
	local name dir long
	long=$(printf 'd%.0s' {1..200})
	for name in 'with space' "quote'\"double" 'dollar$(touch x)`id`' 'amp&;|*?<>' $'new\nline' 'ümläut-日本' \
		'-rf' '--help' 'a:b' 'a,b' 'tab	x' 'back\slash' 'percent%s%n' '.hidden' 'lower=up,x' \
		"$long/$long/$long/$long/$long/$long/$long/$long/$long/$long/$long/$long/$long/$long"; do
		dir=$TEST_DIR/weird/$name
		mkdir -p "$dir"
		cd "$dir"
		echo "$TOKEN" >mark
		if ward run -q -t host shell -- -c 'pwd >here && cat mark && echo made >made' \
			>"$TEST_DIR/out" 2>"$TEST_DIR/err" </dev/null; then
			[ "$(cat "$TEST_DIR/out")" = "$TOKEN" ]
			[ "$(cat here)" = "$dir" ] || { cat here && false; }
			[ "$(cat made)" = made ]
		else
			grep -q '^ward: ' "$TEST_DIR/err" || { echo "$name" && cat "$TEST_DIR/err" && false; }
			echo "refused: ${name:0:40}: $(head -n 1 "$TEST_DIR/err")"
			[ ! -e made ]
		fi
		cd "$TEST_DIR"
		remove_sandboxes
	done
	[ -z "$(find "$TEST_DIR" -name x)" ]
}

@test "D82 a trailing slash and a symlink on the way lead to the same directory" {
	mkdir -p real/project
	ln -s real way
	cd way/project
	ward run -q -t host shell -- -c 'pwd >here' </dev/null
	[ "$(cat "$WS/real/project/here")" = "$WS/real/project" ]
	cd "$WS"
	ward run -q -w "$WS/real/project/" shell -- -c 'pwd >again' </dev/null
	[ "$(cat real/project/again)" = "$WS/real/project" ]
	[ "$(ward ls -q | wc -l)" -eq 1 ]
}
