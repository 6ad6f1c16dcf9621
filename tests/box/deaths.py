#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Deaths in the middle of an interactive session: who dies, and in which phase.

usage: deaths.py PHASE SANDBOX     (WARD: the program, WS: the workspace, STATE: state.json)

After each: the terminal is as before, no process has it open or is left of the session, no mount of
the host has changed, what the session wrote is there, and the next one works.
"""
import glob
import json
import os
import signal
import sys

import session_terminal as st
from session_terminal import SANDBOX, WS, Terminal, check, run, wait_for

STATE = os.environ["STATE"]
MODES = b"printf '\\033[?1049h\\033[?25l\\033[?2004h'"
BACK = (rb"\x1b\[\?2004l", rb"\x1b\[\?1049l", rb"\x1b\[\?25h")


def mounts():
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        return len(f.readlines())


def holders(path):
    """Processes other than this one that have the terminal open."""
    found = []
    for fd in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(fd) == path and int(fd.split("/")[2]) != os.getpid():
                found.append(fd.split("/")[2])
        except OSError:
            pass
    return found


def in_box(namespace):
    found = []
    for link in glob.glob("/proc/[0-9]*/ns/net"):
        try:
            if os.readlink(link) == namespace:
                found.append(link)
        except OSError:
            pass
    return found


def box():
    with open(STATE, encoding="utf-8") as f:
        state = json.load(f)
    proxy = json.loads(run("inspect", SANDBOX).stdout)[0]["enforcement"]["proxy"]["pid"]
    return state["pid"], state["init_pid"], proxy, f"net:[{state['namespaces']['net']}]"


def start():
    t = st.shell()
    t.send(b"exec -a mark-$((1+1)) bash --norc\r")
    t.expect(st.PROMPT)
    t.send(b"echo saved > saved; echo is-$((40+3))\r")
    t.expect(rb"is-43\r\n")
    t.expect(st.PROMPT)
    return t


def at_prompt(t):
    pass


def in_flood(t):
    t.send(b"yes flood\r")
    t.expect(rb"flood\r\nflood\r\n")


def in_alternate_screen(t):
    t.send(MODES + b"; echo in-$((40+4))\r")
    t.expect(rb"in-44\r\n")


def while_typing(t):
    typed = os.path.join(WS, "typed")
    if os.path.exists(typed):
        os.unlink(typed)
    t.send(b"cat > typed\r")
    wait_for(lambda: os.path.exists(typed), "the program has the terminal")
    t.send(b"a line that is typed\r" * 20)


PHASES = {"prompt": at_prompt, "flood": in_flood, "alternate": in_alternate_screen, "typing": while_typing}


def drain_until_gone(t):
    """The client may have to write before it can end; a closed terminal takes nothing."""
    def gone():
        while st.select.select([t.master], [], [], 0)[0]:
            t.read(0)
        return t.process.poll() is not None
    wait_for(gone, "the client ends")


def survived(t, path, phase, before, signo=None):
    """What holds after every death; the box may live or not."""
    wait_for(t.restored, "the terminal is as before")
    if phase == "alternate":
        for sequence in BACK:
            t.expect(sequence)
    settled(path, before)
    if signo:
        check(t.process.returncode == 128 + signo, f"exit code {t.process.returncode}")


def settled(path, before):
    wait_for(lambda: not holders(path), f"nobody has the terminal open: {holders(path)}")
    got = run("exec", SANDBOX, "cat", "saved")
    check(got.stdout == b"saved\n", f"the next one works, and files are there: {got}")
    wait_for(lambda: run("exec", SANDBOX, "pgrep", "-f", "mark-[2]").returncode == 1, "nothing is left of the session")
    check(mounts() == before, "mounts of the host")


def deaths_of_client(phase, begin, before):
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP):
        t = start()
        path = os.ttyname(t.slave)
        begin(t)
        t.process.send_signal(number)
        drain_until_gone(t)
        survived(t, path, phase, before, None if number == signal.SIGKILL else number)
    t = start()
    path = os.ttyname(t.slave)
    begin(t)
    os.close(t.slave)
    os.close(t.master)
    wait_for(lambda: t.process.poll() is not None, "the client ends with its terminal")
    settled(path, before)


def deaths_of_box(phase, begin, before):
    for which in (0, 1):
        t = start()
        path = os.ttyname(t.slave)
        begin(t)
        pids = box()
        try:
            os.kill(pids[which], signal.SIGKILL)
        except PermissionError:  # init has another id where there is a range of them
            check(which == 1, "the supervisor is the user's")
            t.process.kill()
            continue
        drain_until_gone(t)
        wait_for(lambda: not in_box(pids[3]), "nothing is left of the box")
        survived(t, path, phase, before)


def death_of_proxy(phase, begin, before):
    t = start()
    begin(t)
    old = box()[2]
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: box()[2] not in (0, old), "another proxy")
    t.send(b"\x03" if phase in ("flood", "typing") else b"\r")
    t.expect(st.PROMPT)
    t.send(b"echo on-$((40+5))\r")
    t.expect(rb"on-45\r\n")
    path = os.ttyname(t.slave)
    t.send(b"exit 6\r")
    check(t.wait() == 6, "the exit code")
    survived(t, path, phase, before)


def starting(before):
    """At any moment of a start, the first of a stopped sandbox: the moments are spread over it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP):
        for moment in range(6):
            run("stop", "-t", "0", SANDBOX)
            t = Terminal("run", SANDBOX, "--", "-c", "exec -a mark-2 sleep 600")
            path = os.ttyname(t.slave)
            st.select.select([], [], [], moment * 0.03)
            t.process.send_signal(number)
            if number == signal.SIGINT:  # once it runs, a SIGINT is the program's, and it ends by it
                drain_until_gone(t)
            drain_until_gone(t)
            wait_for(t.restored, "the terminal is as before")
            settled(path, before)
    # Killed supervisors: the client says so or starts it again, and never waits for ever.
    for moment in range(6):
        run("stop", "-t", "0", SANDBOX)
        t = Terminal("run", SANDBOX, "--", "-c", "exec -a mark-2 sleep 600")
        path = os.ttyname(t.slave)
        st.select.select([], [], [], moment * 0.03)
        for pid in supervisors(os.path.dirname(STATE)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        t.process.send_signal(signal.SIGTERM)
        drain_until_gone(t)
        wait_for(t.restored, "the terminal is as before")
        settled(path, before)


def supervisors(directory):
    """Those of this sandbox, which they hold open; one that serves already shows that only to root."""
    found = set()
    for fd in glob.glob("/proc/[0-9]*/fd/*"):
        pid = fd.split("/")[2]
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().startswith(b"ward-supervisor") and os.readlink(fd).startswith(directory):
                    found.add(int(pid))
        except OSError:
            continue
    return found


def main():
    phase = sys.argv[1]
    run("exec", SANDBOX, "sh", "-c", "echo saved > saved")
    before = mounts()
    if phase == "starting":
        starting(before)
        return
    begin = PHASES[phase]
    deaths_of_client(phase, begin, before)
    deaths_of_box(phase, begin, before)
    death_of_proxy(phase, begin, before)


main()
