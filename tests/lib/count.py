#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Count test results.

usage: count.py tap NAME FILE EXIT [SKIPS]     results of one bats run in TAP format
       count.py meson BUILD EXIT [SKIPS]       what `meson test` logged there, one line a suite
       count.py sum FILE                       add up the lines that the others printed

Prints "NAME: N passed, N failed, N skipped" for each suite (sum: without the name, as the last line
of everything).  What went wrong is shown on standard error.  EXIT is the exit status of the runner:
a runner that failed although no test did counts as a failure, because then tests are missing.
SKIPS lists the skips that are allowed: PATTERN<TAB>REASON, matched against "NAME: test # reason"; with
it any other skip is a failure.  Exit status 1 when there was a failure, or nothing ran at all.
"""
import json
import os
import re
import subprocess
import sys

LINE = re.compile(r"^(?:(.*): )?(\d+) passed, (\d+) failed, (\d+) skipped$")


def allowed_skips(path):
    rules = []
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                rules.append(re.compile(line.rstrip("\n").split("\t")[0]))
    return rules


def report(name, passed, failed, skipped):
    print(f"{name}: {passed} passed, {failed} failed, {skipped} skipped" if name
          else f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


def tap(name, path, status, skips=None):
    passed = failed = skipped = 0
    planned = None
    rules = allowed_skips(skips) if skips else None
    show = False
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            line = line.rstrip("\n")
            plan = re.match(r"1\.\.(\d+)", line)
            result = re.match(r"(ok|not ok) \d+ ?(.*)", line)
            if plan:
                planned = int(plan.group(1))
            elif result:
                text = result.group(2)
                skip = re.search(r" # skip\b", text)
                show = False
                if result.group(1) == "not ok":
                    failed += 1
                    show = True
                elif skip and rules is not None and not any(r.search(f"{name}: {text}") for r in rules):
                    failed += 1
                    print(f"{name}: this skip is not in the list: {text}", file=sys.stderr)
                elif skip:
                    skipped += 1
                    print(f"{name}: skipped: {text}", file=sys.stderr)
                else:
                    passed += 1
            if show:
                print(f"{name}: {line}", file=sys.stderr)
    ran = passed + failed + skipped
    if planned != ran:
        failed += 1
        print(f"{name}: {ran} tests reported, {planned} planned", file=sys.stderr)
    elif int(status) != 0 and failed == 0:
        failed += 1
        print(f"{name}: the runner ended with {status}", file=sys.stderr)
    # A suite may consist of skips alone (no such user on this machine); the sum must not.
    return report(name, passed, failed, skipped) if failed else report(name, passed, 0, skipped) and 0


def meson(build, status, skips=None):
    """cmocka programs tell how many of their tests passed; other programs are one test each."""
    suites = {}
    rules = allowed_skips(skips) if skips else []
    known = json.loads(subprocess.check_output(["meson", "introspect", "--tests", build]))
    suite_of = {t["name"]: (t["suite"] or ["other"])[0].split(":")[-1] for t in known}
    with open(os.path.join(build, "meson-logs/testlog.json"), encoding="utf-8") as f:
        for line in f:
            t = json.loads(line)
            suite = suite_of.get(t["name"].split(" / ")[-1].split(":")[-1], "other")
            counts = suites.setdefault(suite, [0, 0, 0])
            text = (t.get("stdout") or "") + "\n" + (t.get("stderr") or "")
            inner = [sum(int(n) for n in re.findall(rf"\[  {word} +\] (\d+) test\(s\)[.,]", text))
                     for word in ("PASSED", "FAILED", "SKIPPED")]
            if t["result"] == "SKIP":
                names = [t["name"]]
            else:
                names = sorted(set(re.findall(r"\[  SKIPPED \] (\w+)$", text, re.M)))
            for name in names:
                print(f"{suite}: skipped: {name}", file=sys.stderr)
                if skips and not any(r.search(f"{suite}: {name}") for r in rules):
                    counts[1] += 1
                    print(f"{suite}: this skip is not in the list: {name}", file=sys.stderr)
                else:
                    counts[2] += 1
            if t["result"] == "SKIP":
                continue
            if t["result"] == "OK":
                counts[0] += inner[0] if any(inner) else 1
            else:
                counts[0] += inner[0]
                counts[1] += max(inner[1], 1)
                print(f"{suite}: {t['name']}: {t['result']}\n{text.strip()[-4000:]}", file=sys.stderr)
    failed = sum(c[1] for c in suites.values())
    if not suites or (int(status) != 0 and not failed):
        suites.setdefault("unit", [0, 0, 0])[1] += 1
        print(f"meson test ended with {status}", file=sys.stderr)
    return max([report(name, *suites[name]) for name in sorted(suites)])


def total(path):
    sums = [0, 0, 0]
    with open(path, encoding="utf-8") as f:
        for line in f:
            m = LINE.match(line.rstrip("\n"))
            if m:
                sums = [a + int(b) for a, b in zip(sums, m.groups()[1:])]
    return report("", *sums)


def main(argv):
    verbs = {"tap": (tap, 3, 4), "meson": (meson, 2, 3), "sum": (total, 1, 1)}
    if len(argv) < 2 or argv[1] not in verbs:
        sys.exit(__doc__)
    f, low, high = verbs[argv[1]]
    if not low <= len(argv) - 2 <= high:
        sys.exit(__doc__)
    return f(*argv[2:])


if __name__ == "__main__":
    sys.exit(main(sys.argv))
