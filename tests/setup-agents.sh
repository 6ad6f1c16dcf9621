#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Install the pinned real agents that the tests run, once, outside the repository.
#
# usage: tests/setup-agents.sh DIR
# DIR/bin then holds claude, codex and the others.  Needs npm; the versions are pinned because the
# newest ones are not always complete in every registry.  Prints what it did; exit status 1 when one
# of the agents that are needed cannot be had.  Of the others, what is missing is said, and the tests
# that need it skip.
set -uo pipefail

dir=${1:?usage: tests/setup-agents.sh DIR}
case $(uname -m) in
x86_64) arch=x64 ;;
aarch64) arch=arm64 ;;
*)
	echo "no agents for $(uname -m)" >&2
	exit 1
	;;
esac

# COMMAND NEED PACKAGE VERSION [PROGRAM]: the package brings the command itself, or PROGRAM is the
# program in it.  Where a vendor publishes the program of a platform as a package, that one is taken:
# half the size, and no choice of version by Node's.  "needed": tests of the main agents; "more": one
# test each.  node is newer than the distribution's, for those that want it.
agents() {
	cat <<-END
		claude	needed	@anthropic-ai/claude-code-linux-$arch	2.1.330	claude
		codex	needed	@openai/codex	0.169.0
		gemini	needed	@google/gemini-cli	0.61.0
		opencode	needed	opencode-linux-$arch	1.18.33	bin/opencode
		node	more	node-linux-$arch	22.23.2
		copilot	more	@github/copilot-linux-$arch	1.0.102	copilot
		qwen	more	@qwen-code/qwen-code	0.24.4
		pi	more	@earendil-works/pi-coding-agent	0.87.1
		kilo	more	@kilocode/cli-linux-$arch	7.7.7	bin/kilo
		cline	more	@cline/cli-linux-$arch	3.0.65	bin/cline
		droid	more	@factory/cli-linux-$arch	0.215.0	bin/droid
		cn	more	@continuedev/cli	1.5.47
		amp	more	@ampcode/cli-linux-$arch	0.0.1790142911-g7618fb	amp
	END
}

# Each attempt is bounded: a registry that hangs must not hang the tests.
install_package() { # PACKAGE VERSION
	local attempt
	for attempt in 1 2; do
		# One of them asks for a newer Node than the one that installs it.
		timeout 300 npm install --loglevel=error --no-fund --no-audit --no-update-notifier \
			--engine-strict=false --global --prefix "$dir" "$1@$2" </dev/null && return 0
		echo "attempt $attempt to install $1@$2 failed" >&2
	done
	return 1
}

# The version that is there, as its package says it: asking the program would start it.
installed_version() { # PACKAGE
	sed -n 's/^[[:space:]]*"version": *"\([^"]*\)".*/\1/p' "$dir/lib/node_modules/$1/package.json" 2>/dev/null | head -n 1
}

status=0
changed=
mkdir -p "$dir/bin"
# Two test runs that share the directory must not install into it at once.
exec 9>"$dir/.lock"
flock 9
while IFS=$'\t' read -r command need package version program; do
	if [ "$(installed_version "$package")" != "$version" ] || [ ! -x "$dir/bin/$command" ]; then
		if ! install_package "$package" "$version"; then
			echo "no $command ($need)"
			[ "$need" = more ] || status=1
			continue
		fi
		changed=yes
		[ -z "$program" ] || ln -sfn "../lib/node_modules/$package/$program" "$dir/bin/$command"
	fi
	echo "$command $version"
done < <(agents)
[ -z "$changed" ] || chmod -R a+rX "$dir"
exit "$status"
