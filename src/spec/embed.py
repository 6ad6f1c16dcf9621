#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turn agents/<name>/spec.yaml into the C table kit_embedded.

usage: embed.py AGENTS_DIR OUTPUT.c

The table is sorted by name.  The output is written only when it differs, so that the build may run
this every time and a new folder below AGENTS_DIR needs no other change.
"""
import pathlib
import sys


def c_bytes(data: bytes) -> str:
    lines = []
    for at in range(0, len(data), 16):
        lines.append("\t" + " ".join(f"{byte - 256 if byte > 127 else byte}," for byte in data[at : at + 16]))
    return "\n".join(lines)


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: embed.py AGENTS_DIR OUTPUT.c", file=sys.stderr)
        return 2
    agents, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    kits = sorted(p for p in agents.glob("*/spec.yaml"))
    if not kits:
        print(f"embed.py: {agents}: no spec.yaml below it", file=sys.stderr)
        return 1
    parts = ["/* Made by embed.py from agents/NAME/spec.yaml; do not edit. */"]
    parts.append('#include "spec/spec_internal.h"\n')
    for i, kit in enumerate(kits):
        parts.append(f"static const char kit_text_{i}[] = {{\n{c_bytes(kit.read_bytes())}\n\t0\n}};\n")
    parts.append("const struct kit_embedded kit_embedded[] = {")
    for i, kit in enumerate(kits):
        parts.append(f'\t{{ "{kit.parent.name}", kit_text_{i}, sizeof(kit_text_{i}) - 1 }},')
    parts.append("};")
    parts.append("const size_t kit_embedded_n = sizeof(kit_embedded) / sizeof(kit_embedded[0]);\n")
    text = "\n".join(parts)
    if not output.exists() or output.read_text() != text:
        output.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
