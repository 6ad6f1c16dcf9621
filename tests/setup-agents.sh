#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Install the pinned real agents that the tests run, once, outside the repository.
#
# usage: tests/setup-agents.sh DIR
# DIR/bin then holds claude and codex. Needs npm; the versions are pinned because the newest ones are
# not always complete in every registry.  Prints what it did; exit status 1 when an agent cannot be had.
set -euo pipefail

CLAUDE_VERSION=2.1.330
CODEX_VERSION=0.169.0

dir=${1:?usage: tests/setup-agents.sh DIR}
case $(uname -m) in
x86_64) arch=x64 ;;
aarch64) arch=arm64 ;;
*)
	echo "no agents for $(uname -m)" >&2
	exit 1
	;;
esac

install_package() { # NAME VERSION
	npm install --loglevel=error --no-fund --no-audit --no-update-notifier --global --prefix "$dir" "$1@$2" </dev/null
}

mkdir -p "$dir/bin"
# The platform package is the program itself: no Node needed, and no choice of version by Node's.
if [ "$("$dir/bin/claude" --version 2>/dev/null | cut -d' ' -f1)" != "$CLAUDE_VERSION" ]; then
	install_package "@anthropic-ai/claude-code-linux-$arch" "$CLAUDE_VERSION"
	ln -sf "../lib/node_modules/@anthropic-ai/claude-code-linux-$arch/claude" "$dir/bin/claude"
fi
if ! "$dir/bin/codex" --version 2>/dev/null | grep -q "$CODEX_VERSION"; then
	install_package "@openai/codex" "$CODEX_VERSION"
fi
chmod -R a+rX "$dir"
"$dir/bin/claude" --version
"$dir/bin/codex" --version
