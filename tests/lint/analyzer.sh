#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# gcc with every warning an error and its static analyzer: each file of src/ is compiled once more
# with the commands of the build directory.
#
# WARD_LINT_BUILD  a configured and built directory (default: build)
set -uo pipefail
# shellcheck source=tests/lint/lib.bash
. "$(dirname "$0")/lib.bash"

tree_files 'src/*.c' | BUILD="${WARD_LINT_BUILD:-$root/build}" FLAGS="$(compile_flags | tr '\n' ' ')" python3 -c '
import concurrent.futures, json, os, shlex, subprocess, sys

# False alarms of gcc 12 in files that use the cleanup attribute for descriptors and handed-on memory.
EXTRA = ["-Werror", "-fanalyzer", "-Wno-analyzer-fd-leak", "-Wno-analyzer-malloc-leak",
         "-Wno-analyzer-file-leak", "-Wno-analyzer-too-complex"]
KNOWN = {"-Wno-analyzer-fd-leak": 13}

root, build = os.getcwd(), os.environ["BUILD"]
commands = {}
path = os.path.join(build, "compile_commands.json")
if os.path.exists(path):
    for c in json.load(open(path)):
        file = os.path.realpath(os.path.join(c["directory"], c["file"]))
        commands[file] = (c["directory"], shlex.split(c["command"]))

def check(name):
    real = os.path.realpath(os.path.join(root, name))
    cwd, argv = commands.get(real, (root, ["gcc", "-O2"] + shlex.split(os.environ["FLAGS"]) + ["-c", name]))
    argv = [a for a in argv if a not in ("-MD", "-MMD")]
    for option, n in (("-o", 1), ("-MQ", 1), ("-MF", 1)):
        if option in argv:
            at = argv.index(option)
            del argv[at:at + 1 + n]
    if os.path.basename(argv[0]) == "ccache":
        argv = argv[1:]
    argv[0] = "gcc"
    p = subprocess.run(argv + [e for e in EXTRA if KNOWN.get(e, 0) <= 12] + ["-o", "/dev/null"], cwd=cwd,
                       capture_output=True, text=True)
    return p.returncode, p.stdout + p.stderr

bad = 0
files = [f for f in sys.stdin.read().split("\n") if f]
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for status, text in pool.map(check, files):
        if status:
            bad = 1
            print(text)
sys.exit(bad)
'
