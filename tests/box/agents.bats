#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Real agents, installed from npm, do real work in a box against a stand-in model API on the host.
# The verdict comes from the workspace on the host and from the server's log.

load ../lib/common

setup() {
	common_setup
	[ -n "${WARD_AGENTS:-}" ] && [ -x "$WARD_AGENTS/bin/claude" ] || skip "no real agents installed (WARD_AGENTS)"
	[ -f "${WARD_FIXTURES:-/nonexistent}/fake_llm.py" ] || skip "no stand-in model API (WARD_FIXTURES)"
	export PATH="$WARD_AGENTS/bin:$PATH"
	git config --global user.name 'Ada "The Host" Lovelace'
	git config --global user.email ada@host.example
	WS="$TEST_DIR/project"
	mkdir "$WS"
	git -C "$WS" init -q
	start_model
}

teardown() {
	[ -z "${MODEL_PID:-}" ] || kill "$MODEL_PID" 2>/dev/null || true
	common_teardown
}

start_model() {
	python3 "$WARD_FIXTURES/fake_llm.py" --port 0 --port-file "$TEST_DIR/port" --key sk-test \
		--scenario "$BATS_TEST_DIRNAME/scenarios/work.json" --log "$TEST_DIR/model.jsonl" \
		>"$TEST_DIR/model.out" 2>&1 3>&- &
	MODEL_PID=$!
	wait_for test -s "$TEST_DIR/port"
	MODEL="http://host.ward.internal:$(cat "$TEST_DIR/port")"
	ALLOW="localhost:$(cat "$TEST_DIR/port")"
}

claude_args() {
	ARGS=(--allow-host "$ALLOW" -w "$WS" -e "ANTHROPIC_BASE_URL=$MODEL" -e ANTHROPIC_API_KEY=sk-test)
}

# The file as the agent was told to make it, owned by the user, in a commit with the host's identity.
check_work() {
	[ "$(head -n 1 "$WS/hello.txt")" = "hello from agent" ]
	[ "$(stat -c %u "$WS/hello.txt")" = "$(id -u)" ]
	[ "$(git -C "$WS" log -1 --format='%an <%ae>')" = 'Ada "The Host" Lovelace <ada@host.example>' ]
	[ "$(git -C "$WS" log -1 --format='%s')" = "add hello" ]
	# Nothing of Ward or of the agent's set-up is left beside the work.
	[ "$(ls -A "$WS" | tr '\n' ' ')" = ".git hello.txt " ]
}

@test "claude creates, edits and commits a file, without a terminal" {
	claude_args
	run timeout 120 "$WARD" run "${ARGS[@]}" claude -- -p "create hello"
	[ "$status" -eq 0 ]
	[[ "$output" == *"All is done."* ]]
	check_work
	grep -q '"key_ok": *true' "$TEST_DIR/model.jsonl"
}

@test "codex creates, edits and commits a file, without a terminal" {
	run timeout 120 "$WARD" run --allow-host "$ALLOW" -w "$WS" -e CODEX_API_KEY=sk-test \
		-e "OPENAI_BASE_URL=$MODEL/v1" codex -- exec "create hello"
	[ "$status" -eq 0 ]
	[[ "$output" == *"All is done."* ]]
	check_work
}

@test "claude runs from an npm prefix below the user's home" {
	mkdir -p "$HOME/.npm-global/bin" "$HOME/.npm-global/lib/node_modules/@anthropic-ai/claude-code"
	cp "$WARD_AGENTS/bin/claude" "$HOME/.npm-global/lib/node_modules/@anthropic-ai/claude-code/claude"
	ln -s ../lib/node_modules/@anthropic-ai/claude-code/claude "$HOME/.npm-global/bin/claude"
	export PATH="$HOME/.npm-global/bin:/usr/bin:/bin"
	claude_args
	run timeout 120 "$WARD" run "${ARGS[@]}" claude -- -p "create hello"
	[ "$status" -eq 0 ]
	check_work
	# Its own directory is there, the rest of the home is not.
	echo private >"$HOME/private.txt"
	run ward exec "$(ward ls -q)" ls -A "$HOME" "$HOME/.npm-global/lib/node_modules/@anthropic-ai"
	[[ "$output" == *claude-code* ]]
	[[ "$output" != *private.txt* ]]
}

@test "claude works on a terminal: no dialog, prompt, file, resize, /exit, and -c continues" {
	command -v tmux >/dev/null || skip "no tmux"
	claude_args
	local tmux=(tmux -L "ward-$BATS_TEST_NUMBER-$$" -f /dev/null)
	screen_has() { "${tmux[@]}" capture-pane -p | grep -qF -- "$1"; }
	local line
	line=$(printf '%q ' "$WARD" run "${ARGS[@]}" claude)
	"${tmux[@]}" new-session -d -x 110 -y 32 "$line; echo ended=\$? >$TEST_DIR/ended; sleep 600" 3>&-
	WAIT_SECONDS=60 wait_for screen_has "bypass permissions on"
	run "${tmux[@]}" capture-pane -p
	[[ "$output" != *"Do you trust"* ]]
	[[ "$output" != *"Yes, I accept"* ]]
	[[ "$output" != *"API key"*"(y/n)"* ]]
	"${tmux[@]}" send-keys "create hello" Enter
	WAIT_SECONDS=60 wait_for screen_has "All is done."
	check_work
	"${tmux[@]}" resize-window -x 84 -y 25
	box_width() { [ "$(ward exec "$(ward ls -q)" sh -c 'for f in /dev/pts/[0-9]*; do stty -F "$f" size; done' | tail -n 1)" = "25 84" ]; }
	wait_for box_width
	"${tmux[@]}" send-keys "/exit" Enter
	WAIT_SECONDS=30 wait_for test -s "$TEST_DIR/ended"
	[ "$(cat "$TEST_DIR/ended")" = "ended=0" ]
	"${tmux[@]}" kill-server

	run timeout 120 "$WARD" run "${ARGS[@]}" claude -- -c -p "append more"
	[ "$status" -eq 0 ]
	[ "$(tail -n 1 "$WS/hello.txt")" = second ]
	# The second run sent the first one's conversation along.
	python3 - "$TEST_DIR/model.jsonl" <<'PY'
import json, sys
calls = [json.loads(line) for line in open(sys.argv[1])]
last = [c for c in calls if c.get("tool_results")][-1]
assert len(last["tool_results"]) > 1, last
PY
}

@test "the model's host is refused without the rule that allows it" {
	run ward run -t host -w "$WS" shell -- \
		-c "curl -sS -o /dev/null -w '%{http_code}' $MODEL/v1/models || true"
	[[ "$output" == *403* ]]
	if grep -q '"path": *"/v1/models"' "$TEST_DIR/model.jsonl"; then false; fi
	# The same request passes with the rule, so it was the rule that stopped it.
	run ward run -t host --recreate --allow-host "$ALLOW" -w "$WS" shell -- \
		-c "curl -sS -o /dev/null -w '%{http_code}' -H 'x-api-key: sk-test' $MODEL/v1/models"
	[[ "$output" == *200* ]]
}
