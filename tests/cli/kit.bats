#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Kits: listed, shown, begun and checked; every published shape; directories and ZIP files, also
# hostile ones.

load ../lib/common
load ../lib/cli

setup() {
	common_setup
	kits="$WARD_REPO/tests/kits"
	cd "$TEST_DIR"
}

teardown() {
	common_teardown
}

# own NAME: make a kit of the user's from standard input.
own() {
	mkdir -p "$XDG_CONFIG_HOME/ward/kits/$1"
	cat >"$XDG_CONFIG_HOME/ward/kits/$1/spec.yaml"
}

# mixin NAME [DIR]: a directory with a mixin.
mixin() {
	mkdir -p "${2:-$1}"
	printf 'schemaVersion: "2"\nkind: mixin\nname: %s\n' "$1" >"${2:-$1}/spec.yaml"
}

# refused WORDS COMMAND...: it fails and says so in one line.
refused() {
	local words=$1
	shift
	refute "$@" >out 2>err
	grep -qF -- "$words" err || { cat err; return 1; }
	[ "$(grep -c '^ward: ' err)" -eq 1 ]
}

@test "every built-in kit and every example of a published shape is valid" {
	local kit n=0
	local -a given
	own shared-tools <"$kits/shared-tools/spec.yaml"
	for kit in "$WARD_REPO"/agents/*/ "$kits"/*/; do
		given=()
		[ ! -e "$kit/arguments" ] || given=(--kit-arg "$(cat "$kit/arguments")")
		ward kit validate "${given[@]}" "$kit" >out 2>err || { cat err; return 1; }
		grep -q ' is valid$' out
		n=$((n + 1))
	done
	[ "$n" -ge 8 ]
}

@test "kit new: valid as it is and with everything in it; refuses to replace" {
	ward kit new mytool >out
	assert_equal "$(cat out)" "mytool/spec.yaml"
	ward kit validate mytool
	# Sentences begin with a capital letter, fields do not.
	sed -E '/^# [A-Z]/!s/^# //' mytool/spec.yaml >all.yaml
	[ "$(grep -c '^#' all.yaml)" -lt "$(grep -c '^#' mytool/spec.yaml)" ]
	ward kit validate all.yaml
	cp mytool/spec.yaml before
	refused "mytool/spec.yaml: it exists already" ward kit new mytool
	cmp before mytool/spec.yaml
	ward kit new other there
	grep -q '^name: other$' there/spec.yaml
	refused "kit name 'A b'" ward kit new 'A b'
	refused "No such file or directory" ward kit new x no/such/dir
	# As the help says it, where no kit was before.
	ward kit new mine "$XDG_CONFIG_HOME/ward/kits/mine"
	ward kit validate mine
	ln -s "$TEST_DIR/planted" link
	mkdir linked
	ln -s "$TEST_DIR/planted" linked/spec.yaml
	refused "it exists already" ward kit new x linked
	[ ! -e planted ]
}

@test "kit ls: where each comes from; one bad kit does not hide the others" {
	own mine <<<$'schemaVersion: "2"\nkind: sandbox\nname: mine\nextends: claude'
	own tools <<<$'schemaVersion: "2"\nkind: mixin\nname: tools'
	own bad <<<$'schemaVersion: "3"'
	own wants <<'YAML'
schemaVersion: "2"
kind: mixin
name: wants
args: {region: {required: true, enum: [eu, us]}, word: {required: true}}
environment:
  variables: {REGION: "${{ kit.args.region }}-${{ kit.args.word }}"}
YAML
	ward kit ls >out 2>err
	grep -Eq '^wants +mixin +user ' out
	refute grep -q "needs a value" err
	grep -Eq '^claude +sandbox +built-in +Claude Code' out
	grep -Eq '^mine +sandbox +user +Claude Code' out
	grep -Eq '^tools +mixin +user ' out
	grep -q "schemaVersion" err
	ward kit ls --json >out 2>err
	jq -e 'map(select(.name == "mine"))[0].extends == ["claude"]' out
	jq -e 'map(select(.name == "wants"))[0].env == ["REGION=eu-word"]' out
	refused "argument 'region' needs a value" ward kit inspect wants
}

@test "kit inspect: the whole resolved kit" {
	own base <"$kits/everything/spec.yaml"
	sed -i 's/^name: .*/name: base/' "$XDG_CONFIG_HOME/ward/kits/base/spec.yaml"
	own child <<'YAML'
schemaVersion: "2"
kind: sandbox
name: child
extends: base
args: {level: {default: low, enum: [low, high]}}
environment:
  variables: {LEVEL: "${{ kit.args.level }}"}
ports: [{container: 9}]
YAML
	ward kit inspect child >out
	jq -e '.extends == ["base"] and .entrypoint[0] == "example-agent" and .memory == 4294967296' out
	jq -e '.ports | map(.container) | contains([9, 8080])' out
	jq -e '.env | contains(["LEVEL=low"])' out
	ward kit inspect --kit-arg level=high child >high
	jq -e '.env | contains(["LEVEL=high"])' high
	refused "level is 'no'; it can be 'low', 'high'" ward kit inspect --kit-arg level=no child
	# Every member is documented, and every documented one is there.
	sed -n '/^## `ward kit inspect/,/^## `ward version/p' "$WARD_REPO/docs/json.md" |
		grep '^| `' | cut -d'|' -f2 | grep -o '[a-z_]*' | sort >documented
	jq -r 'keys[]' high | sort | diff documented -
}

@test "kit validate follows names, and names what is missing" {
	own mine <<<$'schemaVersion: "2"\nkind: sandbox\nname: mine\nextends: nonesuch'
	refused "'extends': there is no such kit: mine -> nonesuch" ward kit validate mine
	own mine <<<$'schemaVersion: "2"\nkind: sandbox\nname: mine\nextends: claude\nmixins: [nonesuch]'
	refused "there is no kit named 'nonesuch'" ward kit validate mine
	refused "no agent named 'nonesuch'" ward kit validate nonesuch
	mixin m
	printf 'args:\n  host:\n    required: true\n' >>m/spec.yaml
	refused "m/spec.yaml:6: argument 'host' needs a value" ward kit validate m
	ward kit validate --kit-arg host=x m
	mkdir claude
	refused "kit claude:" ward kit validate claude
}

@test "a directory with a link, a FIFO, or too much is refused" {
	mixin m
	mkdir -p m/files/home
	ln -s /etc/passwd m/files/home/x
	refused "'files/home/x': a kit cannot hold symbolic links" ward kit validate m
	rm m/files/home/x
	ward kit validate m
	mkfifo m/files/home/x
	refused "'files/home/x': a kit holds only files and directories" ward kit validate m
	rm m/files/home/x
	mkdir -p m/files/home/many
	(cd m/files/home/many && seq 1001 | xargs touch)
	refused "it has more than 1000 files" ward kit validate m
	rm -r m/files/home/many
	truncate -s 65M m/files/home/big
	refused "kit m: 'files/home/big'" ward kit validate m
	rm m/files/home/big
	mv m/spec.yaml real
	ln -s ../real m/spec.yaml
	refused "'spec.yaml': a kit cannot hold symbolic links" ward kit validate m
	# What is no part of the kit does not matter.
	rm m/spec.yaml
	mv real m/spec.yaml
	ln -s /etc m/other
	ward kit validate m
}

@test "a ZIP file: spec.yaml at its top or in its one directory" {
	mixin m
	mkdir -p m/files/home/.x
	echo data >m/files/home/.x/f
	python3 - <<'PY'
import os, zipfile
def make(name, prefix, method):
    with zipfile.ZipFile(name, "w", method) as z:
        for top, dirs, files in os.walk("m"):
            for f in files:
                path = os.path.join(top, f)
                z.write(path, prefix + os.path.relpath(path, "m"))
make("top.zip", "", zipfile.ZIP_DEFLATED)
make("stored.zip", "", zipfile.ZIP_STORED)
make("dir.zip", "m-1.0/", zipfile.ZIP_DEFLATED)
make("two.zip", "a/b/", zipfile.ZIP_DEFLATED)
class Pipe:                     # not seekable: sizes follow the bytes
    def __init__(self, f): self.f = f
    def write(self, b): return self.f.write(b)
    def flush(self): self.f.flush()
with open("stream.zip", "wb") as f, zipfile.ZipFile(Pipe(f), "w", zipfile.ZIP_DEFLATED) as z:
    z.write("m/spec.yaml", "spec.yaml")
PY
	for zip in top stored dir stream; do
		ward kit validate $zip.zip
	done
	refused "no spec.yaml at its top" ward kit validate two.zip
	if command -v git >/dev/null; then
		git init -q repo && cp -r m/. repo
		git -C repo add . && git -C repo -c user.name=x -c user.email=x@example.org commit -qm x
		git -C repo archive --format=zip --prefix=m/ -o ../git.zip HEAD
		ward kit validate git.zip
	fi
}

@test "hostile ZIP files are refused, each for its reason" {
	python3 "$WARD_REPO/tests/lib/hostile_zip.py" zips
	ward kit validate zips/good.zip
	local line name why n=0
	while IFS=$'\t' read -r name why; do
		refused "$why" ward kit validate "zips/$name.zip" || { echo "$name: $why"; return 1; }
		n=$((n + 1))
	done <zips/list
	[ "$n" -ge 20 ]
}

@test "run --dry-run shows kits and refuses bad ones" {
	mixin m
	printf 'environment: {variables: {FROM_M: "1"}}\n' >>m/spec.yaml
	mkdir ws
	ward run --dry-run -t host --kit m shell ws >out
	grep -Eq '^  kits +m$' out
	ward run --dry-run --json -t host --kit m --kit m2 shell ws >out 2>err && return 1
	grep -q 'kit m2: No such file' err
	ward run --dry-run --json -t host --kit m shell ws >out
	jq -e '.spec.kits == ["m"]' out
	refused "kit 'm' is given twice" ward run --dry-run -t host --kit m --kit m shell ws
	refused "no kit here has an argument 'x'" ward run --dry-run -t host --kit m --kit-arg x=1 shell ws
	printf 'requires: {agent: codex}\n' >>m/spec.yaml
	refused "mixin 'm' is for codex, not for shell" ward run --dry-run -t host --kit m shell ws
	[ -z "$(ls -A "$XDG_DATA_HOME/ward/sandboxes" 2>/dev/null)" ]
}

@test "create: the sandbox has its own copy, wholly, and keeps it" {
	mixin m
	mkdir -p m/files/home/bin ws
	echo tool >m/files/home/bin/tool
	chmod +x m/files/home/bin/tool
	ward create -q -t host --name box --kit m shell ws
	local copy
	copy=$(echo "$XDG_DATA_HOME"/ward/sandboxes/*/kits/m)
	diff -r m "$copy"
	[ -x "$copy/files/home/bin/tool" ]
	ward inspect box | jq -e '.[0].kits == ["m"]'
	echo changed >m/files/home/bin/tool
	grep -q tool "$copy/files/home/bin/tool"
	ward create -t host --name box --kit m shell ws >out 2>err
	grep -q "keeps what it was made with for --kit " err
	# The same contents are the same kit, wherever they are.
	cp -r "$copy" same
	ward create -t host --name box --kit same shell ws 2>err
	refute grep -q "keeps what" err
	# Without the source, from its own copy.
	rm -r m
	ward create -q -t host --recreate --kit same --name box shell ws
	ward run --dry-run -t host --recreate box >out
	grep -Eq '^  kits +m$' out
	ward rm -f box
	[ -z "$(ls -A "$XDG_DATA_HOME/ward/sandboxes")" ]
}
