#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# git in a linked worktree, whose repository lies elsewhere; and a `.git` file that lies about it.

bats_require_minimum_version 1.5.0

load ../lib/common
load ../lib/cli

setup() {
	common_setup
	need git
	git config --global user.name Ada
	git config --global user.email ada@host.example
	git init -q -b main repo
	git -C repo commit -q --allow-empty -m first
	git -C repo worktree add -q "$TEST_DIR/tree" -b topic
}

teardown() {
	common_teardown
}

@test "commits made in a linked worktree are there outside" {
	run ward run -q -w tree shell -- -c \
		'git status --short && echo text >file && git add file && git commit -q -m second && git log --format=%s'
	assert_status 0
	assert_equal "$output" "second
first"
	assert_equal "$(git -C repo log -1 --format='%s %an' topic)" "second Ada"
	assert_equal "$(git -C tree status --short)" ""
	git -C repo fsck --no-dangling
	assert_equal "$(find repo/.git ! -user "$(id -un)" | wc -l)" 0
}

@test "what the user's own git would run or follow cannot be changed from a worktree" {
	ward run -q --name box -w tree shell -- -c true
	local name
	for name in config hooks/post-commit hooks/evil info/attributes HEAD \
		worktrees/tree/commondir worktrees/tree/gitdir; do
		run ward exec box sh -c "echo x >>'$TEST_DIR/repo/.git/$name'"
		refute [ "$status" -eq 0 ]
	done
	run ward exec box sh -c "rm .git || mv .git old || echo 'gitdir: /tmp' >.git"
	refute [ "$status" -eq 0 ]
	assert_file tree/.git "gitdir: $TEST_DIR/repo/.git/worktrees/tree"
	run ward exec box sh -c "mv '$TEST_DIR/repo/.git/hooks' '$TEST_DIR/repo/.git/old'"
	refute [ "$status" -eq 0 ]
	# The checkout beside it is not shown; only its repository is.
	run ward exec box ls -A "$TEST_DIR/repo"
	assert_equal "$output" .git
	# The positive control: what a commit needs can be written.
	run ward exec box touch "$TEST_DIR/repo/.git/refs/heads/x.lock"
	assert_status 0
}

@test "a .git file chooses nothing that does not name the workspace in return" {
	local secret="$TEST_DIR/other/.git/worktrees/tree"
	git init -q other
	mkdir -p "$secret" stranger
	echo private >"$secret/HEAD"
	echo "gitdir: $secret" >stranger/.git
	run ward run -q -w stranger shell -- -c "cat '$secret/HEAD'"
	refute_output_has private
	# A link on the way.
	git -C repo worktree add -q "$TEST_DIR/tree2" -b topic2
	ln -s "$TEST_DIR/repo/.git/worktrees/tree2" "$TEST_DIR/alias"
	mkdir stranger2
	echo "gitdir: $TEST_DIR/alias" >stranger2/.git
	run ward run -q -w stranger2 shell -- -c "ls '$TEST_DIR/repo/.git'"
	refute_output_has objects
	# The positive control: the same, where the repository says so too.
	echo "$TEST_DIR/stranger/.git" >"$secret/gitdir"
	echo ../.. >"$secret/commondir"
	run ward run -q --recreate -w stranger shell -- -c "cat '$secret/HEAD'"
	assert_equal "$output" private
}

@test "a read-only worktree can be read" {
	run ward run -q -w tree:ro shell -- -c "git log --format=%s; touch '$TEST_DIR/repo/.git/refs/x'"
	assert_output_has first
	assert_output_has "Read-only file system"
}
