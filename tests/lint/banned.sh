#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Calls that nobody makes here: unbounded copies, shells, ambiguous number parsing, stack that grows
# with input.  Comments and string literals do not count.
set -uo pipefail
# shellcheck source=tests/lint/lib.bash
. "$(dirname "$0")/lib.bash"

tree_files 'src/*.c' 'src/*.h' 'tests/*.c' 'bench/*.c' | python3 -c '
import re, sys

BANNED = re.compile(r"(?<![\w.>])(sprintf|vsprintf|strcpy|strcat|strncpy|strncat|strtok|strtok_r|atoi|atol|"
                    r"atoll|atof|system|popen|gets|mktemp|tmpnam|tempnam|alloca|strdupa)\s*\(")
# Numbers from text go through text_u64; tests may take them from their own output as they like.
BANNED_IN_SRC = re.compile(r"(?<![\w.>])(v?f?sscanf|fscanf|strtou?ll?)\s*\(")
STRIP = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|\x27(?:\\.|[^\x27\\\n])*\x27", re.S)
bad = False
for name in sys.stdin.read().split("\n"):
    if not name:
        continue
    text = open(name, encoding="utf-8", errors="replace").read()
    code = STRIP.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)
    for n, line in enumerate(code.split("\n"), 1):
        for m in BANNED.finditer(line):
            print(f"{name}:{n}: {m.group(1)}() is banned")
            bad = True
        for m in BANNED_IN_SRC.finditer(line) if name.startswith("src/") else ():
            print(f"{name}:{n}: {m.group(1)}() is banned; use text_u64()")
            bad = True
        if name.startswith("src/") and re.match(r"\s*typedef\s+struct\b", line):
            print(f"{name}:{n}: no typedef for structs")
            bad = True
sys.exit(bad)
'
