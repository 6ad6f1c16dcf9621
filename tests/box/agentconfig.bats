#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The user's own configuration for an agent: what of it the agent gets, and that it stays the user's.
# The verdict comes from the files on the host and from what the real agent sends to a stand-in model.

bats_require_minimum_version 1.5.0

load ../lib/common
load ../lib/cli

setup() {
	common_setup
	mkdir project
	cd project
	OWN="$HOME/.claude"
	mkdir -p "$OWN/skills/greet" "$OWN/agents" "$HOME/.ssh"
	echo "MEMORY-TEXT-1: answer politely" >"$OWN/CLAUDE.md"
	printf -- '---\nname: greet\ndescription: SKILL-TEXT-2 greets people\n---\nSay hello.\n' \
		>"$OWN/skills/greet/SKILL.md"
	# What must never be seen inside, wherever it is.
	echo CANARY-SSH >"$HOME/.ssh/id_ed25519"
	ln -s "$HOME/.ssh/id_ed25519" "$OWN/skills/greet/key"
	ln -s "$HOME/.ssh" "$OWN/skills/greet/keys"
	ln -s ../.ssh "$OWN/commands"
	ln -s .credentials.json "$OWN/keybindings.json"
	echo '{"claudeAiOauth": "CANARY-LOGIN"}' >"$OWN/.credentials.json"
	echo CANARY-LOCAL >"$OWN/settings.local.json"
	cat >"$OWN/settings.json" <<-'JSON'
		{"model": "sonnet", "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "CANARY-HOOK"}]}]},
		 "env": {"ANTHROPIC_API_KEY": "CANARY-ENV"}, "apiKeyHelper": "CANARY-HELPER",
		 "permissions": {"allow": ["CANARY-PERMISSION"]}, "skipDangerousModePermissionPrompt": false}
	JSON
}

teardown() {
	[ -z "${MODEL_PID:-}" ] || kill "$MODEL_PID" 2>/dev/null || true
	common_teardown
}

# A kit like claude's that runs a shell, so that no agent is needed to look.
kit() {
	local dir="$XDG_CONFIG_HOME/ward/kits/look"
	mkdir -p "$dir"
	sed -e '/^name:/s/claude/look/' -e 's/^  entrypoint:.*/  entrypoint: [bash]/' \
		-e 's/\[--dangerously-skip-permissions\]/[]/' -e 's/^  binary:.*/  binary: bash/' \
		"$WARD_REPO/agents/claude/spec.yaml" >"$dir/spec.yaml"
	[ $# -eq 0 ] || cat >>"$dir/spec.yaml"
}

@test "a kit that was only named on the command line is shown nothing of the home" {
	local mode dir="$XDG_CONFIG_HOME/ward/kits/look"
	kit more <<-'END'
		    - path: .codex
	END
	mkdir -m 0700 "$HOME/.codex"
	echo CANARY-CODEX >"$HOME/.codex/auth.json"
	# The positive control: the same kit as one of the user's own.
	run ward run -q --name own look -c 'cat ~/.codex/auth.json ~/.claude/CLAUDE.md'
	assert_output_has CANARY-CODEX
	assert_output_has MEMORY-TEXT-1
	mv "$dir" "$TEST_DIR/look"
	for mode in readonly copy; do
		run ward run --name "$mode" --agent-config "$mode" --kit "$TEST_DIR/look" look -c \
			'cat ~/.codex/auth.json ~/.claude/CLAUDE.md'
		refute_output_has CANARY-CODEX
		refute_output_has MEMORY-TEXT-1
		assert_output_has "a kit of --kit cannot show more of your home"
	done
}

@test "claude sees its user's skill and notes, and no request holds a secret" {
	[ -n "${WARD_AGENTS:-}" ] && [ -x "$WARD_AGENTS/bin/claude" ] || skip "no real agents installed (WARD_AGENTS)"
	[ -f "${WARD_FIXTURES:-/nonexistent}/fake_llm.py" ] || skip "no stand-in model API (WARD_FIXTURES)"
	export PATH="$WARD_AGENTS/bin:$PATH"
	python3 "$WARD_FIXTURES/fake_llm.py" --port 0 --port-file "$TEST_DIR/port" --key sk-test --bodies \
		--scenario "$BATS_TEST_DIRNAME/scenarios/work.json" --log "$TEST_DIR/model.jsonl" \
		>"$TEST_DIR/model.out" 2>&1 3>&- &
	MODEL_PID=$!
	wait_for test -s "$TEST_DIR/port"
	local before port
	port=$(cat "$TEST_DIR/port")
	before=$(snapshot "$OWN")
	run timeout 120 "$WARD" run --allow-host "localhost:$port" -e "ANTHROPIC_BASE_URL=http://host.ward.internal:$port" \
		-e ANTHROPIC_API_KEY=sk-test claude -- -p "append more"
	assert_status 0
	assert_output_has "Second done."
	assert_output_has "agent configuration (read-only): CLAUDE.md, skills, agents, settings.json"
	grep -q MEMORY-TEXT-1 "$TEST_DIR/model.jsonl"
	grep -q SKILL-TEXT-2 "$TEST_DIR/model.jsonl"
	refute grep -q CANARY "$TEST_DIR/model.jsonl"
	assert_equal "$(snapshot "$OWN")" "$before"
	# The same with --agent-config off: the texts are not there, so it was the option that gave them.
	: >"$TEST_DIR/model.jsonl"
	run timeout 120 "$WARD" run --recreate --agent-config off --allow-host "localhost:$port" \
		-e "ANTHROPIC_BASE_URL=http://host.ward.internal:$port" -e ANTHROPIC_API_KEY=sk-test claude -- -p "append more"
	assert_status 0
	refute grep -q -e MEMORY-TEXT-1 -e SKILL-TEXT-2 "$TEST_DIR/model.jsonl"
}

@test "readonly: nothing can be changed, replaced or unmounted, and nothing else is readable" {
	kit
	local before
	before=$(snapshot "$OWN")
	ward run -q look -- -c true
	# The control: it is there, and the agent's own files beside it can be changed.
	run ward exec look-project sh -c 'cat ~/.claude/CLAUDE.md ~/.claude/skills/greet/SKILL.md; echo x >~/.claude/own && cat ~/.claude/own'
	assert_status 0
	assert_output_has MEMORY-TEXT-1
	assert_output_has SKILL-TEXT-2
	for user in "" "-u 0"; do
		# shellcheck disable=SC2086
		run ward exec $user look-project sh -c 'H=/home/agent/.claude
			echo spoilt >$H/CLAUDE.md; echo spoilt >>$H/skills/greet/SKILL.md; rm -rf $H/skills $H/CLAUDE.md
			mv $H $H.old; mv $H/skills $H/other; touch $H/agents/new; chmod 777 $H/CLAUDE.md
			umount $H/skills; umount -l $H/CLAUDE.md; mount -o remount,rw,bind $H/skills
			unshare -rm umount $H/skills; cat $H/CLAUDE.md $H/skills/greet/SKILL.md'
		assert_output_has MEMORY-TEXT-1
		assert_output_has SKILL-TEXT-2
		refute_output_has spoilt
	done
	assert_equal "$(snapshot "$OWN")" "$before"
	run ward exec -u 0 look-project sh -c 'grep -raI CANARY /home /root /etc /tmp /run 2>/dev/null; ls -la /home/agent/.claude/commands'
	refute_output_has CANARY
	# Only the named members of the settings, behind the kit's own.
	run ward exec look-project cat /home/agent/.claude/settings.json
	assert_equal "$(echo "$output" | jq -c .)" '{"skipDangerousModePermissionPrompt":true,"model":"sonnet"}'
	# Later changes of the user's are seen, the agent's own settings stay its own.
	echo "MEMORY-TEXT-9" >>"$OWN/CLAUDE.md"
	echo new >"$OWN/skills/greet/more"
	ward exec look-project sh -c 'echo "{}" >~/.claude/settings.json'
	ward stop look-project
	run ward exec look-project sh -c 'cat ~/.claude/CLAUDE.md ~/.claude/skills/greet/more ~/.claude/settings.json'
	assert_output_has MEMORY-TEXT-9
	assert_output_has new
	assert_output_has "{}"
}

@test "what is refused is said, with its reason" {
	kit
	run ward run look -- -c true
	assert_status 0
	assert_output_has "agent configuration '$OWN/commands': it holds credentials; it is left out"
	assert_output_has "agent configuration '$OWN/keybindings.json': it holds the agent's login; it is left out"
	# Said once.
	run ward run look -- -c true
	refute_output_has "agent configuration"
}

@test "copy: the agent may change its copy, the user's stays; links are left out" {
	kit
	local before
	before=$(snapshot "$OWN")
	run ward run --agent-config copy look -- -c 'cd ~/.claude && cat CLAUDE.md skills/greet/SKILL.md && ls skills/greet &&
		echo mine >>CLAUDE.md && echo mine >skills/greet/new && grep -raI CANARY ~'
	assert_status 1
	assert_output_has "agent configuration (copied)"
	assert_output_has MEMORY-TEXT-1
	assert_output_has SKILL-TEXT-2
	refute_output_has CANARY
	refute_output_has keys
	assert_equal "$(snapshot "$OWN")" "$before"
	# Once: neither the next run nor the next box brings it back.
	ward stop look-project
	echo later >>"$OWN/CLAUDE.md"
	run ward run -q look -- -c 'tail -n 1 ~/.claude/CLAUDE.md; rm -rf ~/.claude/skills'
	assert_equal "$output" mine
	run ward run -q look -- -c 'ls ~/.claude/skills'
	assert_output_has "No such file"
}

@test "copy is bounded, and says what is too large" {
	kit
	mkdir "$OWN/agents/many"
	(cd "$OWN/agents/many" && seq 1 10001 | xargs touch)
	run ward run --agent-config copy look -- -c 'echo AGENT'
	assert_status 125
	assert_output_has "agent configuration: $OWN/agents: more than 10000 files"
	refute_output_has AGENT
	# Shown in place, it costs nothing.
	run ward run -q --recreate --agent-config readonly look -- -c 'ls ~/.claude/agents/many | wc -l'
	assert_equal "$output" 10001
}

@test "the setting: option, configuration file, inspect, dry run, difference" {
	kit
	mkdir -p "$XDG_CONFIG_HOME/ward"
	echo "agentConfig: off" >"$XDG_CONFIG_HOME/ward/config.yaml"
	run ward run -q look -- -c 'ls -A ~/.claude'
	assert_equal "$output" settings.json
	assert_equal "$(ward inspect look-project | jq -r '.[0].agent_config')" off
	run ward run --agent-config copy look -- -c true
	assert_output_has "keeps what it was made with for --agent-config"
	run ward run --dry-run --recreate --agent-config readonly look
	assert_output_has "  settings   readonly"
	assert_output_has "bind /home/agent/.claude/skills <- $OWN/skills (ro, "
	echo "agentConfig: sometimes" >"$XDG_CONFIG_HOME/ward/config.yaml"
	run ward run look -- -c true
	assert_status 125
	assert_output_has "config.yaml:1"
}

@test "links that the agent puts in the way redirect no mount and no file, and the sandbox starts" {
	kit
	mkdir outside
	ward run -q look -- -c true
	ward stop look-project
	# A home as a hostile agent may leave it, from the next box in which nothing was mounted yet.
	mv "$OWN" "$HOME/claude.away"
	ward exec look-project sh -c "rm -rf ~/.claude; ln -s $PWD/outside ~/.claude; ls -la ~"
	mv "$HOME/claude.away" "$OWN"
	ward stop look-project
	run ward exec look-project sh -c 'cat ~/.claude/CLAUDE.md; ls -A ~/.claude/'
	refute_output_has MEMORY-TEXT-1
	# With the agent's rights, the kit's own seed went where the agent could have put it itself.
	assert_equal "$(find outside -type f ! -name settings.json)" ""
	ward stop look-project
	ward exec look-project sh -c 'rm ~/.claude; mkdir -p ~/.claude/CLAUDE.md; ln -s /etc ~/.claude/skills'
	ward stop look-project
	run ward exec look-project sh -c 'ls -d ~/.claude/CLAUDE.md; cat /etc/hostname; ls ~/.claude/agents && echo agents'
	assert_status 0
	assert_output_has agents
}

@test "a kit's instructions go behind the user's notes, in a file of the agent's" {
	kit extra <<-'KIT'
		agentInstructions:
		  filename: AGENTS.md
		  content: |
		    KIT-TEXT for ${WORKDIR}
	KIT
	run ward run -q look -- -c 'cat ~/.claude/CLAUDE.md; ls ~; echo more >>~/.claude/CLAUDE.md'
	assert_status 0
	assert_equal "$output" "MEMORY-TEXT-1: answer politely"$'\n\n'"KIT-TEXT for $PWD"
	[ -z "$(ls -A)" ]
	assert_equal "$(cat "$OWN/CLAUDE.md")" "MEMORY-TEXT-1: answer politely"
	# Written once: what the agent adds stays.
	ward stop look-project
	run ward exec look-project tail -n 1 /home/agent/.claude/CLAUDE.md
	assert_equal "$output" more
	run ward run -q --recreate --agent-config off look -- -c 'cat ~/.claude/CLAUDE.md'
	assert_equal "$output" "KIT-TEXT for $PWD"
}
