#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# git at work inside: submodules, borrowed objects, sparse and partial clones, signing; and that the
# repository is outside what it was.  Linked worktrees: worktree.bats.

bats_require_minimum_version 1.5.0

load ../lib/common
load ../lib/cli

setup() {
	common_setup
	need git
	git config --global user.name Ada
	git config --global user.email ada@host.example
	git config --global protocol.file.allow always
	git config --global init.defaultBranch main
}

teardown() {
	common_teardown
}

# upstream: two files in two directories, two commits.  super: has it as the submodule libs/one, which
# has another one, inner, in it.
make_upstream() {
	git init -q inner
	git -C inner commit -q --allow-empty -m inner
	git init -q upstream
	mkdir upstream/a upstream/b
	echo one >upstream/a/one
	echo two >upstream/b/two
	git -C upstream add -A
	git -C upstream commit -q -m first
	git -C upstream commit -q --allow-empty -m second
}

make_super() {
	make_upstream
	git -C upstream submodule add -q "$TEST_DIR/inner" inner
	git -C upstream commit -q -m inner
	git init -q super
	git -C super submodule add -q "$TEST_DIR/upstream" libs/one
	git -C super commit -q -m super
	git -C super submodule update -q --init --recursive
}

refute_matches() { # TEXT PART
	[[ "$1" != *"$2"* ]] || fail "$1"
}

not_mine() { # DIR: files that belong to somebody else
	find "$1" ! -user "$(id -un)"
}

commit='echo text >file && git add file && git commit -q -m inside && git log -1 --format=%s,%an && git status --short'

@test "commits made in a submodule are there outside" {
	make_super
	run ward run -w super/libs/one shell -- -c "$commit"
	assert_status 0
	assert_output_has "inside,Ada"
	refute_output_has "git will not work"
	assert_equal "$(git -C super/libs/one log -1 --format=%s)" inside
	assert_equal "$(git -C super status --short)" " M libs/one"
	git -C super/libs/one fsck --no-dangling
	assert_equal "$(not_mine super)" ""
}

@test "so are those in a submodule of a submodule, and in both from the outer one" {
	make_super
	run ward run -q -w super/libs/one/inner shell -- -c "$commit"
	assert_status 0
	assert_equal "$(git -C super/libs/one/inner log -1 --format=%s)" inside
	run ward run -q -w super/libs/one shell -- -c "cd inner && $commit"
	assert_status 1 # nothing to commit: the file is there already
	run ward exec "$(ward ls -q | head -n 1)" true
	run ward run -q -w super/libs/one shell -- -c "cd inner && rm file && git commit -q -a -m again"
	assert_status 0
	assert_equal "$(git -C super/libs/one/inner log -1 --format=%s)" again
	git -C super/libs/one/inner fsck --no-dangling
}

@test "and in a submodule of a linked worktree, and in a superproject with its submodules" {
	make_super
	git -C super worktree add -q "$TEST_DIR/tree"
	git -C tree submodule update -q --init --recursive
	run ward run -q -w tree/libs/one shell -- -c "$commit"
	assert_status 0
	assert_equal "$(git -C tree/libs/one log -1 --format=%s)" inside
	run ward run -q -w tree shell -- -c "cd libs/one && git commit -q --allow-empty -m further && git status --short"
	assert_status 0
	assert_equal "$(git -C tree/libs/one log -1 --format=%s)" further
	run ward run -q -w super shell -- -c "cd libs/one && $commit && cd ../.. && git commit -q -a -m bump"
	assert_status 0
	assert_equal "$(git -C super/libs/one log -1 --format=%s)" inside
	assert_equal "$(git -C super log -1 --format=%s)" bump
	assert_equal "$(git -C super status --short)" ""
}

@test "what the user's own git would run or follow cannot be changed from a submodule" {
	make_super
	local module="$TEST_DIR/super/.git/modules/libs/one" name
	ward run -q --name box -w super/libs/one shell -- -c true
	for name in config hooks/post-commit info/attributes modules/inner/config modules/inner/hooks/post-commit; do
		run ward exec box sh -c "echo x >>'$module/$name'"
		refute [ "$status" -eq 0 ]
	done
	for name in hooks info config modules modules/inner; do
		run ward exec box mv "$module/$name" "$module/old"
		refute [ "$status" -eq 0 ]
	done
	run ward exec box sh -c "rm .git || mv .git old || echo 'gitdir: /tmp' >.git"
	refute [ "$status" -eq 0 ]
	assert_file super/libs/one/.git "gitdir: ../../.git/modules/libs/one"
	# The superproject is not shown.
	run ward exec box ls -A "$TEST_DIR/super/.git" "$TEST_DIR/super"
	refute_output_has objects
	refute_output_has .gitmodules
	# The positive control: what a commit needs can be written.
	run ward exec box touch "$module/index.lock" "$module/refs/heads/x.lock"
	assert_status 0
	assert_file "$module/index.lock"
}

@test "the repository of a submodule cannot be led to another configuration from inside" {
	make_super
	local module="$TEST_DIR/super/.git/modules/libs/one" before name
	git -C super/libs/one config user.name Eve
	ward run -q --dry-run -w super/libs/one shell -- -c true >/dev/null
	[ ! -e "$module/commondir" ]
	mkdir -p super/libs/one/evil/refs super/libs/one/evil/objects
	printf '[core]\n\trepositoryformatversion = 0\n\tfsmonitor = "touch %s; false"\n' \
		"$TEST_DIR/ran" >super/libs/one/evil/config
	# The positive control: git outside follows it.
	echo "$TEST_DIR/super/libs/one/evil" >"$module/commondir"
	git -C super/libs/one status >/dev/null
	assert_file "$TEST_DIR/ran"
	rm "$TEST_DIR/ran" "$module/commondir"
	before=$(git -C super/libs/one status)
	for name in "$module" "$module/modules/inner"; do
		run ward run -q -w super/libs/one shell -- -c \
			"mv '$name/commondir' '$name/old'; rm '$name/commondir'; echo '$TEST_DIR/super/libs/one/evil' >'$name/commondir'"
		refute [ "$status" -eq 0 ]
		assert_file "$name/commondir" .
	done
	assert_equal "$(git -C super/libs/one status)" "$before"
	git -C super submodule status --recursive
	[ ! -e "$TEST_DIR/ran" ]
	assert_equal "$(git -C super/libs/one config user.name)" Eve
	# One that leads elsewhere already is not Ward's to judge.
	echo "$TEST_DIR/super/.git" >"$module/commondir"
	run ward run --recreate -w super/libs/one shell -- -c true
	assert_output_has "a part that must be protected is missing: $module/commondir"
}

@test "a repository without the places that must be protected is not shown, and what cures it" {
	make_super
	local module="$TEST_DIR/super/.git/modules/libs/one"
	rm -r "$module/hooks"
	run ward run -w super/libs/one shell -- -c "ls '$module'"
	refute [ "$status" -eq 0 ]
	assert_output_has "its .git names a repository in which a part that must be protected is missing: $module/hooks"
	mkdir "$module/hooks"
	run ward run --recreate -w super/libs/one shell -- -c "git log -1 --format=%s"
	assert_status 0
	refute_output_has "will not work"
	# Configuration of a worktree, which git reads only where it is switched on.
	git -C super/libs/one config extensions.worktreeConfig true
	run ward run --recreate -w super/libs/one shell -- -c true
	assert_output_has "$module/config.worktree"
	touch "$module/config.worktree"
	run ward run --recreate -w super/libs/one shell -- -c "git log -1 --format=%s; echo x >>'$module/config.worktree'"
	refute [ "$status" -eq 0 ]
	assert_output_has "inner"
	assert_file "$module/config.worktree" ""
}

@test "a separate git directory is shown once it names the workspace" {
	make_upstream
	git clone -q --separate-git-dir "$TEST_DIR/apart.git" upstream clone
	run ward run -w clone shell -- -c "$commit"
	refute [ "$status" -eq 0 ]
	assert_output_has "its .git names a repository that does not name this directory in return"
	git -C clone config core.worktree "$TEST_DIR/clone"
	run ward run -q --recreate -w clone shell -- -c "rm -f file; $commit"
	assert_status 0
	assert_equal "$(git -C clone log -1 --format=%s)" inside
}

@test "a hostile .git chooses nothing, and its bytes are not repeated" {
	mkdir -p home/.ssh other stranger real/x
	echo private >home/.ssh/id_test
	git init -q other
	git -C other commit -q --allow-empty -m private
	local other="$TEST_DIR/other/.git" way
	ln -s "$other" alias
	hostile() {
		rm -rf stranger
		mkdir stranger
		case $1 in
		ssh) echo "gitdir: ../home/.ssh" >stranger/.git ;;
		absolute) echo "gitdir: $other" >stranger/.git ;;
		alias) echo "gitdir: ../alias" >stranger/.git ;;
		link) ln -s "$other" stranger/.git ;;
		back) # names another directory
			git -C other config core.worktree "$TEST_DIR/real/x"
			echo "gitdir: $other" >stranger/.git
			;;
		huge) { echo "gitdir: $other"; head -c 1000000 /dev/zero | tr '\0' x; } >stranger/.git ;;
		fifo) mkfifo stranger/.git ;;
		lines) printf 'gitdir: %s\ngitdir: %s\n' "$other" "$other" >stranger/.git ;;
		escape) printf 'gitdir: /\033]0;owned\007\n' >stranger/.git ;;
		nul) printf 'gitdir: %s\0x\n' "$other" >stranger/.git ;;
		missing) echo "gitdir: $TEST_DIR/nothing" >stranger/.git ;;
		esac
	}
	for way in ssh absolute alias link back huge fifo lines escape nul missing; do
		hostile "$way"
		run ward run --recreate -w stranger shell -- -c \
			"cat '$TEST_DIR/home/.ssh/id_test'; ls '$other'; git log -1 --format=%s; true"
		assert_status 0
		refute_output_has private
		refute_output_has objects
		assert_output_has "ward: git will not work in $TEST_DIR/stranger: its .git "
		assert_equal "$(grep -c 'will not work' <<<"$output")" 1
		refute_matches "$(grep '^ward:' <<<"$output")" owned
		# Said once, when the sandbox is made.
		run ward run -w stranger shell -- -c true
		refute_output_has "will not work"
	done
	# The positive control: the same where the repository says so too.
	git -C other config core.worktree "$TEST_DIR/stranger"
	hostile absolute
	run ward run -q --recreate -w stranger shell -- -c "git log -1 --format=%s"
	assert_equal "$output" private
}

@test "objects borrowed from elsewhere are shown with the option that is named, and only then" {
	make_upstream
	git clone -q --shared upstream clone
	run ward run -w clone shell -- -c "git log -1 --format=%s 2>&1; ls '$TEST_DIR/upstream'"
	refute [ "$status" -eq 0 ]
	local option="-v $TEST_DIR/upstream/.git/objects:$TEST_DIR/upstream/.git/objects:ro"
	assert_output_has "$option"
	refute_output_has second
	# shellcheck disable=SC2086 # as the user would paste it
	run ward run --recreate $option -w clone shell -- -c "$commit"
	assert_status 0
	refute_output_has "borrows"
	assert_equal "$(git -C clone log -1 --format=%s)" inside
	git -C clone fsck --no-dangling
	git -C upstream fsck --no-dangling
}

@test "objects borrowed within the workspaces need nothing" {
	make_upstream
	git clone -q --shared upstream clone
	run ward run -w clone shell upstream:ro -- -c "$commit"
	assert_status 0
	refute_output_has "borrows"
	assert_equal "$(git -C clone log -1 --format=%s)" inside
}

@test "sparse checkout: status and commit inside, seen outside" {
	make_upstream
	git clone -q --no-local upstream clone
	git -C clone sparse-checkout set a
	refute [ -e clone/b ]
	run ward run -q -w clone shell -- -c "git status --short && echo more >>a/one && git commit -q -a -m inside && git status --short && ls"
	assert_status 0
	assert_equal "$output" a
	assert_equal "$(git -C clone log -1 --format=%s)" inside
	assert_equal "$(git -C clone show HEAD:b/two)" two
	assert_equal "$(git -C clone status --short)" ""
	# Made inside, it is there outside.
	ward run -q -w clone shell -- -c "git sparse-checkout disable"
	assert_file clone/b/two two
	assert_equal "$(git -C clone status --short)" ""
}

@test "partial clone: what is missing is fetched inside, from a repository that is given" {
	make_upstream
	git -C upstream config uploadpack.allowFilter true
	git -C upstream config uploadpack.allowAnySHA1InWant true
	git clone -q --no-checkout --filter=blob:none "file://$TEST_DIR/upstream" clone
	git -C clone sparse-checkout set a
	git -C clone checkout -q main
	missing() { git -C clone rev-list --objects --missing=print HEAD | grep -c '^?'; }
	assert_equal "$(missing)" 1
	run ward run -q -v "$TEST_DIR/upstream:$TEST_DIR/upstream:ro" -w clone shell -- -c \
		"git status --short && git show HEAD:b/two && echo more >>a/one && git commit -q -a -m inside"
	assert_status 0
	assert_equal "$output" two
	assert_equal "$(git -C clone rev-list --objects --missing=print HEAD~1 | grep -c '^?' || true)" 0
	assert_equal "$(git -C clone log -1 --format=%s)" inside
	assert_equal "$(not_mine clone)" ""
}

@test "commits are not signed inside, whatever the repository or the user wants" {
	local project
	project=$(new_workspace)
	git config --global commit.gpgSign true
	git config --global user.signingKey NOBODY
	git init -q "$project"
	git -C "$project" config commit.gpgSign true
	git -C "$project" config tag.gpgSign true
	# The positive control: outside there is no such key.
	run git -C "$project" commit -q --allow-empty -m outside
	refute [ "$status" -eq 0 ]
	run ward run -q -w "$project" shell -- -c "$commit && git tag -a -m annotated v1"
	assert_status 0
	assert_equal "$(git -C "$project" log -1 --format='%s %G?')" "inside N"
	assert_equal "$(git -C "$project" tag)" v1
	# What is given wins.
	run ward run -q -e GIT_CONFIG_COUNT=0 -w "$project" shell -- -c "git commit -q --allow-empty -m signed"
	refute [ "$status" -eq 0 ]
}

@test "an idle run changes nothing that git outside shows, and looking inside nothing but its cache" {
	make_upstream
	echo changed >upstream/a/one
	echo new >upstream/untracked
	local before
	before=$(snapshot upstream)
	ward run -q -w upstream shell -- -c true
	assert_equal "$(snapshot upstream)" "$before"
	local status_before
	status_before=$(git -C upstream status --porcelain=v2 --branch)
	run ward run -q -w upstream shell -- -c "git status --porcelain=v2 --branch"
	assert_equal "$output" "$status_before"
	assert_equal "$(not_mine upstream)" ""
	assert_equal "$(git -C upstream diff --name-only)" a/one
	assert_equal "$(git -C upstream status --porcelain=v2 --branch)" "$status_before"
}
