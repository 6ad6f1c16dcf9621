#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The main agents, installed from npm, do real work in a box against a stand-in model API on the host.
# The verdict comes from the workspace on the host and from the server's log.

load ../lib/common
load ../lib/agents

setup() {
	agents_setup
	TMUX_SERVER="ward-$BATS_TEST_NUMBER-$$"
}

teardown() {
	tmux -L "$TMUX_SERVER" kill-server 2>/dev/null || true
	agents_teardown
}

# Without a terminal: writes, reads, edits, commits; then a second run that knows what the first did.
works_and_resumes() { # AGENT
	expected_author "$1"
	agent_prompts "$1" "create hello"
	assert_status 0
	assert_output_has "All is done."
	check_work
	model_log 'all(c["key_ok"] for c in calls if c.get("api"))'
	model_log 'any(c.get("stream") and "in small pieces" in str(c.get("reply_text")) for c in calls)'
	agent_resumes "$1" "append more"
	assert_status 0
	assert_equal "$(tail -n 1 "$WS/hello.txt")" second
	# It sent the first conversation along: more results than that of its only tool. ("append more" is
	# the first of the scripts.)
	model_log 'max(len(c.get("tool_results") or []) for c in calls if c.get("script") == 0) > 1'
}

# The model answers 529 first and 500 later; the agent tries again and finishes.
survives_errors() { # AGENT
	agent_prompts "$1" "survive errors"
	assert_status 0
	assert_file "$WS/hello.txt" survived
	model_log 'sorted(c["status"] for c in calls if c["status"] >= 500) == [500, 529]'
}

screen() {
	tmux -L "$TMUX_SERVER" capture-pane -p
}

screen_has() {
	screen | grep -qF -- "$1"
}

press() {
	tmux -L "$TMUX_SERVER" send-keys "$@"
}

# Typed keys first appear on the screen: an agent that is still starting loses some.
type_line() { # TEXT
	local try
	for try in 1 2 3; do
		press -l -- "$1"
		if WAIT_SECONDS=5 wait_for screen_has "$1"; then
			break
		fi
		press C-u
	done
	press Enter
}

# An Enter that comes soon after the text may have gone to a menu of suggestions alone.
quit_agent() { # AGENT
	local try
	type_line "${AGENT_QUIT[$1]}"
	for try in 1 2 3 4 5 6; do
		if WAIT_SECONDS=15 wait_for test -s "$TEST_DIR/ended"; then
			return 0
		fi
		screen
		press Enter
	done
	fail "$1 does not end"
}

box_size_is() { # "ROWS COLUMNS"
	ward exec "$(ward ls -q)" sh -c 'for f in /dev/pts/[0-9]*; do stty -F "$f" size; done' | grep -qx "$1"
}

# On a terminal: no dialog, a prompt is answered, a change of size arrives, it ends with status 0.
works_on_a_terminal() { # AGENT
	need tmux
	expected_author "$1"
	agent_args "$1"
	local line question
	line=$(printf '%q ' "$WARD" run "${ARGS[@]}" "$1")
	tmux -L "$TMUX_SERVER" -f /dev/null new-session -d -x 110 -y 32 \
		"$line; echo ended=\$? >$TEST_DIR/ended; exec sleep 600" 3>&-
	WAIT_SECONDS=180 wait_for screen_has "${AGENT_READY[$1]}"
	for question in "Do you trust" "Yes, I accept" "(y/n)" "Select" "sign in" "Log in"; do
		if screen_has "$question"; then
			screen
			fail "it asks: $question"
		fi
	done
	type_line "create hello"
	WAIT_SECONDS=240 wait_for screen_has "All is done."
	check_work
	tmux -L "$TMUX_SERVER" resize-window -x 84 -y 25
	wait_for box_size_is "25 84"
	quit_agent "$1"
	assert_file "$TEST_DIR/ended" ended=0
}

# With the API's real name, and nothing allowed but what the kit lists, no connection is refused: here
# that name does not resolve, which is not Ward's refusal.
hosts_suffice() { # AGENT
	local -a words
	read -ra words <<<"${AGENT_PROMPT[$1]}"
	local key=()
	for word in ${AGENT_ENV[$1]}; do
		case $word in *_API_KEY=*) key+=(-e "$word") ;; esac
	done
	"$WARD" run --network locked -w "$WS" "${key[@]}" "$1" -- "${words[@]}" "create hello" \
		>"$TEST_DIR/out" 2>&1 </dev/null 3>&- &
	local run=$!
	WAIT_SECONDS=90 wait_for network_log_has "\"host\":\"${AGENT_API[$1]}\""
	ward stop "$(ward ls -q)"
	wait "$run" || true
	run network_log
	refute_output_has '"verdict":"deny"'
}

@test "claude works without a terminal and continues in a second run" {
	works_and_resumes claude
}

@test "claude survives errors of the model" {
	survives_errors claude
}

@test "claude works on a terminal" {
	works_on_a_terminal claude
}

@test "claude reaches every host that it wants" {
	hosts_suffice claude
}

@test "Node does not warn at each start that the proxy is experimental, and other warnings stay" {
	local agent
	for agent in codex gemini; do
		"$WARD" run -q -w "$WS" "$agent" -- --version >"$TEST_DIR/out" 2>"$TEST_DIR/err" </dev/null
		assert_equal "$(cat "$TEST_DIR/err")" ""
		grep -q '[0-9]' "$TEST_DIR/out"
	done
	run ward exec codex-project node -e 'process.emitWarning("something else")'
	assert_status 0
	assert_output_has "something else"
	refute_output_has UNDICI
	# The warning that is left out is one that this Node has.
	run ward exec -e NODE_OPTIONS= codex-project node -e ''
	assert_output_has UNDICI
}

@test "codex works without a terminal and continues in a second run" {
	works_and_resumes codex
}

@test "codex survives errors of the model" {
	survives_errors codex
}

@test "codex works on a terminal" {
	works_on_a_terminal codex
}

@test "codex reaches every host that it wants" {
	hosts_suffice codex
}

@test "gemini works without a terminal and continues in a second run" {
	works_and_resumes gemini
}

@test "gemini survives errors of the model" {
	survives_errors gemini
}

@test "gemini works on a terminal" {
	works_on_a_terminal gemini
}

@test "gemini reaches every host that it wants" {
	hosts_suffice gemini
}

@test "opencode works without a terminal and continues in a second run" {
	works_and_resumes opencode
}

@test "opencode survives errors of the model" {
	survives_errors opencode
}

@test "opencode works on a terminal" {
	works_on_a_terminal opencode
}

@test "opencode reaches every host that it wants" {
	hosts_suffice opencode
}

@test "claude runs from an npm prefix below the user's home" {
	mkdir -p "$HOME/.npm-global/bin" "$HOME/.npm-global/lib/node_modules/@anthropic-ai/claude-code"
	cp "$WARD_AGENTS/bin/claude" "$HOME/.npm-global/lib/node_modules/@anthropic-ai/claude-code/claude"
	ln -s ../lib/node_modules/@anthropic-ai/claude-code/claude "$HOME/.npm-global/bin/claude"
	export PATH="$HOME/.npm-global/bin:/usr/bin:/bin"
	AUTHOR='Ada "The Host" Lovelace <ada@host.example>'
	agent_prompts claude "create hello"
	assert_status 0
	check_work
	# Its own directory is there, the rest of the home is not.
	echo private >"$HOME/private.txt"
	run ward exec "$(ward ls -q)" ls -A "$HOME" "$HOME/.npm-global/lib/node_modules/@anthropic-ai"
	assert_output_has claude-code
	refute_output_has private.txt
}

@test "the model's host is refused without the rule that allows it" {
	run ward run -t host -w "$WS" shell -- \
		-c "curl -sS -o /dev/null -w '%{http_code}' $MODEL/v1/models || true"
	assert_output_has 403
	if grep -q '"path": *"/v1/models"' "$TEST_DIR/model.jsonl"; then false; fi
	# The same request passes with the rule, so it was the rule that stopped it.
	run ward run -t host --recreate --allow-host "$ALLOW" -w "$WS" shell -- \
		-c "curl -sS -o /dev/null -w '%{http_code}' -H 'x-api-key: sk-test' $MODEL/v1/models"
	assert_output_has 200
}
