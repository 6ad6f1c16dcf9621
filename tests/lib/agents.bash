# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Real agents against a stand-in model API on the host.  Load after common; then agents_setup and
# agents_teardown in setup and teardown.
#
# What the agents have in common is code here, in what they differ is a table: to test one more, give
# it a line in each.

# Variables that lead to the model; @ is its address.
declare -gA AGENT_ENV=(
	[claude]='ANTHROPIC_BASE_URL=@ ANTHROPIC_API_KEY=sk-test'
	[codex]='OPENAI_BASE_URL=@/v1 CODEX_API_KEY=sk-test'
	[gemini]='GOOGLE_GEMINI_BASE_URL=@ GEMINI_API_KEY=sk-test'
	[opencode]='ANTHROPIC_BASE_URL=@/v1 ANTHROPIC_API_KEY=sk-test OPENCODE_DISABLE_MODELS_FETCH=1'
	[copilot]='COPILOT_PROVIDER_BASE_URL=@ COPILOT_PROVIDER_TYPE=anthropic COPILOT_PROVIDER_API_KEY=sk-test COPILOT_MODEL=claude-sonnet-5 COPILOT_OFFLINE=true'
	[qwen]='OPENAI_BASE_URL=@/v1 OPENAI_API_KEY=sk-test OPENAI_MODEL=stand-in'
	[pi]='ANTHROPIC_BASE_URL=@ ANTHROPIC_API_KEY=sk-test'
	[kilo]='ANTHROPIC_BASE_URL=@/v1 ANTHROPIC_API_KEY=sk-test KILO_DISABLE_MODELS_FETCH=1'
	[cline]=''
	[droid]='FACTORY_API_KEY=any'
	[continue]=''
)

# What leads to a prompt without a terminal, and to one more in the last conversation.
declare -gA AGENT_PROMPT=(
	[claude]='-p' [codex]='exec' [gemini]='-p' [opencode]='run'
	[copilot]='-p' [qwen]='-p' [pi]='-p' [kilo]='run' [cline]=''
	[droid]='exec -m custom:stand-in' [continue]='-p'
)
declare -gA AGENT_RESUME=(
	[claude]='-c -p' [codex]='exec resume --last' [gemini]='--resume latest -p' [opencode]='run --continue'
)

# On a terminal: what the screen shows when a prompt can be typed, and the command that ends it.
declare -gA AGENT_READY=(
	[claude]='bypass permissions on' [codex]='permissions: YOLO mode'
	[gemini]='Type your message' [opencode]='Ask anything'
)
declare -gA AGENT_QUIT=([claude]=/exit [codex]=/quit [gemini]=/quit [opencode]=/exit)

# The host of its API, as the kit must allow it.
declare -gA AGENT_API=(
	[claude]=api.anthropic.com [codex]=api.openai.com
	[gemini]=generativelanguage.googleapis.com [opencode]=api.anthropic.com
)

agents_setup() {
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

agents_teardown() {
	[ -z "${MODEL_PID:-}" ] || kill "$MODEL_PID" 2>/dev/null || true
	common_teardown
}

# Skips the test where the agent could not be installed.
need_agent() { # COMMAND
	[ -x "$WARD_AGENTS/bin/$1" ] || skip "$1 could not be installed"
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

# Sets ARGS: options of `ward run` that connect the agent with the stand-in.
agent_args() { # AGENT
	local variable
	ARGS=(--allow-host "$ALLOW" -w "$WS")
	for variable in ${AGENT_ENV[$1]}; do
		ARGS+=(-e "${variable/@/$MODEL}")
	done
}

# Each word of the tables is an argument; the prompt is one.
agent_prompts() { # AGENT PROMPT
	local -a words
	read -ra words <<<"${AGENT_PROMPT[$1]}"
	agent_args "$1"
	run timeout 180 "$WARD" run "${ARGS[@]}" "$1" -- "${words[@]}" "$2"
}

agent_resumes() { # AGENT PROMPT
	local -a words
	read -ra words <<<"${AGENT_RESUME[$1]}"
	agent_args "$1"
	run timeout 180 "$WARD" run "${ARGS[@]}" "$1" -- "${words[@]}" "$2"
}

# Gemini hides git's global configuration from its commands, so there the repository says who commits.
expected_author() { # AGENT
	if [ "$1" = gemini ]; then
		git -C "$WS" config user.name 'Ada of the project'
		git -C "$WS" config user.email ada@project.example
		AUTHOR='Ada of the project <ada@project.example>'
	else
		AUTHOR='Ada "The Host" Lovelace <ada@host.example>'
	fi
}

# The file as the agent was told to make it, owned by the user, in a commit with the expected identity.
check_work() {
	assert_equal "$(head -n 1 "$WS/hello.txt")" "hello from agent"
	assert_equal "$(stat -c %u "$WS/hello.txt")" "$(id -u)"
	assert_equal "$(git -C "$WS" log -1 --format='%an <%ae>')" "$AUTHOR"
	assert_equal "$(git -C "$WS" log -1 --format='%s')" "add hello"
	# Nothing of Ward or of the agent's set-up is left beside the work.
	assert_equal "$(ls -A "$WS" | tr '\n' ' ')" ".git hello.txt "
}

# model_log EXPRESSION: a Python expression over `calls`, the model's log, that must be true.
model_log() {
	python3 - "$TEST_DIR/model.jsonl" "$1" <<-'PY'
		import json, sys
		calls = [json.loads(line) for line in open(sys.argv[1])]
		if not eval(sys.argv[2]):
		    for call in calls:
		        print({key: call.get(key) for key in ("path", "status", "stream", "key_ok", "reply_text", "tool_results")})
		    sys.exit("not true of the model's log: " + sys.argv[2])
	PY
}

# The proxy's records of the only sandbox.
network_log() {
	cat "$(sandbox_dir "")"/log/network.jsonl
}

network_log_has() { # TEXT
	network_log | grep -qF -- "$1"
}
