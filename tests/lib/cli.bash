# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For the tests of the command line that need no box: golden files and prepared state directories.
# Load after common.

# golden NAME FILE: compare FILE with tests/cli/golden/NAME. With GOLDEN_UPDATE=1 the golden file is
# written instead; look at the difference before you commit it.
golden() {
	local want="$WARD_REPO/tests/cli/golden/$1"
	if [ "${GOLDEN_UPDATE:-}" = 1 ]; then
		mkdir -p "$(dirname "$want")"
		cp "$2" "$want"
		return 0
	fi
	diff -u "$want" "$2" || { echo "differs from the golden file $1 (GOLDEN_UPDATE=1 writes it)"; return 1; }
}

# outcome ARG...: run ward and write what it said and how it ended to the file "outcome".
outcome() {
	local status=0
	"$WARD" "$@" >out 2>err </dev/null || status=$?
	{
		printf '$ ward'
		printf ' %q' "$@"
		printf '\n'
		cat out
		sed 's/^/[stderr] /' err
		echo "[exit $status]"
	} >>outcome
}

# refute COMMAND...: it must fail. (A plain `!` is not looked at by bats.)
refute() {
	if "$@"; then
		echo "succeeded, and must not: $*"
		return 1
	fi
}

# store_sandbox ID NAME AGENT WORKSPACE [SECONDS_OLD]: a stopped sandbox, as an earlier run left it.
# NAME and WORKSPACE are put into the JSON text as they are: escape them for JSON.
store_sandbox() {
	local dir="$XDG_DATA_HOME/ward/sandboxes/$1"
	# The program makes its own directories, with the modes that it wants.
	"$WARD" ls >/dev/null
	mkdir -p "$XDG_DATA_HOME/ward/sandboxes"
	mkdir -m 0700 "$dir" "$dir/log" "$dir/home" "$dir/upper" "$dir/work"
	: >"$dir/lock"
	chmod 0600 "$dir/lock"
	cat >"$dir/spec.json" <<-JSON
		{"version": 1, "id": "$1", "name": "$2", "named": true, "agent": "$3",
		 "created_at": $(($(date +%s) - ${5:-180})),
		 "template": {"kind": "host", "ref": "host", "path": null, "digest": null},
		 "workspaces": [{"path": "$4", "dev": 7, "ino": 8, "readonly": false}],
		 "volumes": [], "hide": [], "env": [], "credentials": "sandbox", "network": "balanced",
		 "allow_hosts": [], "deny_hosts": [], "labels": [],
		 "limits": {"cpu_milli": 0, "memory": 0, "pids": 0, "disk": 0}}
	JSON
	chmod 0600 "$dir/spec.json"
}

# no_control FILE...: nothing in it acts on a terminal. C0 but \n and \t, DEL, C1 (also as UTF-8), the
# bidirectional and the invisible format characters.
no_control() {
	python3 - "$@" <<-'PY'
		import re, sys
		acts = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
		bad = 0
		for name in sys.argv[1:]:
		    text = open(name, "rb").read().decode("utf-8", "surrogateescape")
		    for m in acts.finditer(text):
		        print(f"{name}: {m.group()!r} at {m.start()}: {text[max(0, m.start() - 30):m.end() + 10]!r}")
		        bad = 1
		    if re.search("[\udc80-\udcff]", text):
		        print(f"{name}: not UTF-8")
		        bad = 1
		sys.exit(bad)
	PY
}
