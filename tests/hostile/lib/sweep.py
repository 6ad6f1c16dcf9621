#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare what every system call answered with what the table says.

usage: sweep.py TABLE.c INSIDE OUTSIDE

INSIDE and OUTSIDE are what `attack sweep` printed in the box and outside of it.  A call that the
table lets through may be refused by the kernel itself: then it is refused outside as well, or for
want of a capability, and in no other case.  Prints each disagreement; exit status 1 when there is
one, or when the control is too weak: most denied calls must answer otherwise outside.
"""
import platform
import re
import sys

ROW = re.compile(r'\{ "(\w+)", \{ (-?\d+), (-?\d+) \}, SECCOMP_(\w+) \}')
# Let through by the filter; the kernel asks for a capability that the box lacks.
KERNEL_SAYS_EPERM = {"chroot", "setgroups", "adjtimex", "clock_adjtime", "setuid", "setgid",
                     "sched_setattr", "setpriority", "mlock", "mlockall", "mlock2", "munlockall"}


def read_table(path):
    column = 1 if platform.machine() == "aarch64" else 0
    with open(path, encoding="ascii") as f:
        rows = ROW.findall(f.read())
    if len(rows) < 300:
        sys.exit(f"{path}: {len(rows)} rows: not the table")
    return {int(r[1 + column]): (r[0], r[3]) for r in rows if int(r[1 + column]) >= 0}


def read_answers(path):
    with open(path, encoding="ascii") as f:
        answers = dict(line.split() for line in f if re.match(r"\d+ \w+$", line))
    if len(answers) != 512:
        sys.exit(f"{path}: {len(answers)} answers, not 512")
    return {int(nr): text for nr, text in answers.items()}


def wrong(name, rule, inside, outside):
    """What should have come, or None."""
    exact = {"ENOSYS": "ENOSYS", "EPERM": "EPERM", "NESTED": "EPERM", "SOCKET": "EAFNOSUPPORT"}
    if rule in exact:
        return exact[rule] if inside != exact[rule] else None
    if inside == "ENOSYS" and outside != "ENOSYS":
        return "let through"
    if inside == "EPERM" and outside != "EPERM" and name not in KERNEL_SAYS_EPERM:
        return "let through"
    return None


def main(argv):
    if len(argv) != 3:
        sys.exit(__doc__)
    table = read_table(argv[0])
    inside, outside = read_answers(argv[1]), read_answers(argv[2])
    bad = denied = differ = 0
    for nr in range(512):
        name, rule = table.get(nr, ("-", "ENOSYS"))
        want = wrong(name, rule, inside[nr], outside[nr])
        if want:
            bad += 1
            print(f"{nr} {name}: {inside[nr]}, expected {want} (outside: {outside[nr]})")
        if nr in table and rule in ("ENOSYS", "EPERM", "NESTED"):
            denied += 1
            differ += inside[nr] != outside[nr]
    if differ * 3 < denied:
        print(f"weak control: only {differ} of {denied} denied calls answer otherwise outside")
        bad += 1
    return bad > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
