#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# gcc with every warning an error and its static analyzer: each file of src/ is compiled once more
# with the commands of the build directory.
#
# analyzer.txt lists the false alarms: FILE, a regular expression for the message, the reason.
#
# WARD_LINT_BUILD  a configured and built directory (default: build)
set -uo pipefail
# shellcheck source=tests/lint/lib.bash
. "$(dirname "$0")/lib.bash"

tree_files 'src/*.c' | BUILD="${WARD_LINT_BUILD:-$root/build}" KNOWN="$lint_dir/analyzer.txt" FLAGS="$(compile_flags | tr '\n' ' ')" python3 -c '
import concurrent.futures, json, os, re, shlex, subprocess, sys

# gcc 12 does not relate a result of 0 to "*ret was written", the convention of this project, and so
# calls every such value uninitialized; -Wmaybe-uninitialized stays on.
EXTRA = ["-Werror", "-fanalyzer", "-Wno-analyzer-use-of-uninitialized-value", "-fdiagnostics-color=never"]

KNOWN = [line.split("\t")[:2] for line in open(os.environ["KNOWN"]) if line.strip() and not line.startswith("#")]

def is_known(name, message):
    return any(name == file and re.search(pattern, message) for file, pattern in KNOWN)

root, build = os.getcwd(), os.environ["BUILD"]
commands = {}
path = os.path.join(build, "compile_commands.json")
if os.path.exists(path):
    for c in json.load(open(path)):
        file = os.path.realpath(os.path.join(c["directory"], c["file"]))
        commands[file] = (c["directory"], shlex.split(c["command"]))

def check(name):
    real = os.path.realpath(os.path.join(root, name))
    cwd, argv = commands.get(real, (root, ["gcc", "-O2"] + os.environ["FLAGS"].split() + ["-c", name]))
    argv = [a for a in argv if a not in ("-MD", "-MMD")]
    for option, n in (("-o", 1), ("-MQ", 1), ("-MF", 1)):
        if option in argv:
            at = argv.index(option)
            del argv[at:at + 1 + n]
    if os.path.basename(argv[0]) == "ccache":
        argv = argv[1:]
    argv[0] = "gcc"
    p = subprocess.run(argv + EXTRA + ["-o", "/dev/null"], cwd=cwd,
                       capture_output=True, text=True)
    text = p.stdout + p.stderr
    errors = re.findall(r"^\S+: (?:fatal )?error: .*$", text, re.M)
    status = p.returncode and not (errors and all(is_known(name, e) for e in errors))
    return status, text

bad = 0
files = [f for f in sys.stdin.read().split("\n") if f]
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for status, text in pool.map(check, files):
        if status:
            bad = 1
            print(text)
sys.exit(bad)
'
