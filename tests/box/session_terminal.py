#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sessions as a user at a terminal has them; one case a call.

usage: session_terminal.py CASE SANDBOX     (WARD: the program, WS: the workspace,
                                             DRIVEN: what is typed instead of WARD)

Every case plays a terminal: a pty whose settings are compared before and after, and which answers
the status query as a terminal does.  Conditions are awaited, with a bound; nothing sleeps blindly.
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

WARD = os.environ["WARD"]
DRIVEN = os.environ.get("DRIVEN", "").split() or [WARD]
WS = os.environ.get("WS", os.getcwd())
SANDBOX = sys.argv[2]
BOUND = 20
PROMPT = rb"ward-test> "


def fail(text):
    print(text)
    sys.exit(1)


def check(condition, text):
    if not condition:
        fail(text)


def wait_for(condition, text):
    end = time.monotonic() + BOUND
    while not condition():
        check(time.monotonic() < end, "in vain: " + text)
        select.select([], [], [], 0.02)


def run(*args, **more):
    return subprocess.run([WARD, *args], capture_output=True, timeout=BOUND, **more)


class Terminal:
    def __init__(self, *args, rows=30, cols=100):
        self.master, self.slave = pty.openpty()
        self.resize(rows, cols)
        self.before = termios.tcgetattr(self.slave)
        self.bytes = b""

        def child():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [*DRIVEN, *args], stdin=self.slave, stdout=self.slave, stderr=self.slave, preexec_fn=child)

    def resize(self, rows, cols):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return
        data = os.read(self.master, 65536)
        self.bytes += data
        if b"\033[5n" in data:
            os.write(self.master, b"\033[0n")

    def expect(self, pattern):
        end = time.monotonic() + BOUND
        while True:
            found = re.search(pattern, self.bytes)
            if found:
                self.bytes = self.bytes[found.end():]
                return
            check(time.monotonic() < end, f"no {pattern!r} in {self.bytes!r}")
            self.read(0.05)

    def send(self, data):
        os.write(self.master, data)

    def wait(self):
        end = time.monotonic() + BOUND
        while self.process.poll() is None:
            check(time.monotonic() < end, f"still there: {self.bytes!r}")
            self.read(0.02)
        while select.select([self.master], [], [], 0)[0]:
            self.read(0)
        return self.process.returncode

    def restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def shell(self):
        self.expect(PROMPT)
        return self


def shell():
    return Terminal("exec", "-it", "-e", "PS1=ward-test> ", SANDBOX, "bash", "--norc").shell()


def detach(terminal):
    terminal.send(b"\x10\x11")
    check(terminal.wait() == 0, "detaching is no failure")
    check(terminal.restored(), "the terminal is not as before")


def case_size():
    t = shell()
    t.send(b"stty size\r")
    t.expect(rb"30 100")
    t.resize(40, 120)
    t.send(b"until [ \"$(stty size)\" = '40 120' ]; do :; done; echo re-sized\r")
    t.expect(rb"re-sized\r\n")
    t.send(b"exit 9\r")
    check(t.wait() == 9, "the exit code")
    check(t.restored(), "the terminal is not as before")


def case_job_control():
    t = shell()
    t.send(b"sh -c 'echo up-$((40+1)); exec cat'\r")
    t.expect(rb"up-41\r\n")
    t.send(b"\x1a")
    t.expect(rb"Stopped")
    t.send(b"kill -9 %1; sh -c 'echo up-$((40+2)); exec cat'\r")
    t.expect(rb"up-42\r\n")
    t.send(b"\x03")
    t.expect(PROMPT)  # what is typed before the shell has the terminal again may go to the dying cat
    t.send(b"echo code-$?\r")
    t.expect(rb"code-130\r\n")
    t.send(b"exit\r")
    t.wait()


def case_detach():
    t = shell()
    t.send(b"MARK=kept; echo is-$MARK\r")
    t.expect(rb"is-kept\r\n")
    detach(t)
    t = Terminal("attach", SANDBOX)
    t.expect(rb"is-kept\r\n")  # what it showed before
    t.send(b"echo still-$MARK\r")
    t.expect(rb"still-kept\r\n")
    u = Terminal("attach", SANDBOX)
    u.expect(rb"still-kept\r\n")
    t.send(b"echo both-$MARK\r")
    t.expect(rb"both-kept\r\n")
    u.expect(rb"both-kept\r\n")
    # the form in which some terminals send Ctrl-P and Ctrl-Q
    u.send(b"\033[112;5u\033[113;5u")
    check(u.wait() == 0 and u.restored(), "detaching by long keys")
    t.send(b"exit 3\r")
    check(t.wait() == 3, "the exit code")


MODES = b"printf '\\033[?1049h\\033[?25l\\033[?2004h'; MARK=kept; echo modes-$MARK\r"
BACK = (rb"\x1b\[\?2004l", rb"\x1b\[\?1049l", rb"\x1b\[\?25h")


def alive(word):
    """Does a program with this word in its arguments run inside? The word is split in the question."""
    return run("exec", SANDBOX, "pgrep", "-f", f"[{word[0]}]{word[1:]}").returncode == 0


def marked_shell():
    t = shell()
    t.send(b"exec -a mark-$((1+1)) bash --norc\r")
    t.expect(PROMPT)
    check(alive("mark-2"), "it runs")
    return t


def case_client_killed():
    t = marked_shell()
    t.send(MODES)
    t.expect(rb"modes-kept\r\n")
    t.process.kill()
    t.process.wait()
    wait_for(t.restored, "the terminal is restored after kill -9")
    for sequence in BACK:
        t.expect(sequence)
    wait_for(lambda: not alive("mark-2"), "the session ends with its client")


def case_client_killed_detached():
    t = shell()
    t.send(b"MARK=kept; echo is-$MARK\r")
    t.expect(rb"is-kept\r\n")
    detach(t)
    for number in range(2):
        t = Terminal("attach", SANDBOX)
        t.send(b"echo again-$MARK\r")
        t.expect(rb"again-kept\r\n")
        t.process.send_signal(signal.SIGKILL if number else signal.SIGHUP)
        t.process.wait()
        wait_for(t.restored, "the terminal is restored")
    t = Terminal("attach", SANDBOX)
    t.send(b"echo still-$MARK\r")
    t.expect(rb"still-kept\r\n")
    t.send(b"exit\r")
    t.wait()


def case_detach_in_flood():
    """Output that the client leaves unread must not cost its last word."""
    for number in range(5):
        t = shell()
        t.send(b"yes flood\r")
        t.expect(rb"flood\r\nflood\r\n")
        t.send(b"\x10\x11")
        check(t.wait() == 0, "detaching is no failure")
        check(run("exec", SANDBOX, "pgrep", "-x", "yes").returncode == 0, "it goes on")
        run("exec", SANDBOX, "pkill", "-x", "yes")


def case_hangup():
    t = marked_shell()
    os.close(t.slave)
    os.close(t.master)
    wait_for(lambda: t.process.poll() is not None, "the client ends with its terminal")
    wait_for(lambda: not alive("mark-2"), "the session ends with its terminal")
    for number in (signal.SIGHUP, signal.SIGTERM):
        t = marked_shell()
        t.process.send_signal(number)
        check(t.wait() == 128 + number, f"the exit code tells of the signal: {t.process.returncode}")
        check(t.restored(), "the terminal is not as before")
        wait_for(lambda: not alive("mark-2"), "the session ends with its client")


def case_stubborn():
    """Neither SIGHUP nor SIGTERM impress it, nor do they reach it while it stands still."""
    for stop in ("", "kill -STOP $$; "):
        t = Terminal("exec", "-it", SANDBOX, "bash", "-c",
                     f"trap '' HUP TERM; echo up-$((40+1)); {stop}exec -a stub-1 sleep 600")
        t.expect(rb"up-41")
        t.process.kill()
        t.process.wait()
        wait_for(lambda: not alive("stub-1") and not alive("up-"), "it is killed in the end")


def case_insist():
    """What a first signal does not end, a second one does."""
    for signals in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT),
                    (signal.SIGINT, signal.SIGINT, signal.SIGINT)):
        p = subprocess.Popen([WARD, "exec", SANDBOX, "bash", "-c", "echo $$ > pid; kill -STOP $$; sleep 600"])
        wait_for(lambda: os.path.exists(f"{WS}/pid") and os.path.getsize(f"{WS}/pid"), "it runs")
        pid = open(f"{WS}/pid", encoding="ascii").read().strip()
        state = lambda: run("exec", SANDBOX, "sed", "-n", "s/^State:.//p", f"/proc/{pid}/status").stdout
        wait_for(lambda: state().startswith(b"T"), "it stands still")
        for number in signals[:-1]:
            p.send_signal(number)
            # taken out of the queue before the next one, or they would be one
            wait_for(lambda: pending(p.pid) == 0, "the client has it")
        check(p.poll() is None, "a first signal is passed on, and no more")
        p.send_signal(signals[-1])
        check(p.wait(BOUND) == 128 + signals[-1], f"the client ends: {p.returncode}")
        wait_for(lambda: state() == b"", "and so does the program")
        os.unlink(f"{WS}/pid")


def pending(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"ShdPnd:\s*(\w+)", f.read()).group(1), 16)


def case_supervisor_killed():
    t = shell()
    state = os.environ["STATE"]
    with open(state, encoding="utf-8") as f:
        pid = int(re.search(r'"pid": ?(\d+)', f.read()).group(1))
    with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
        check(f.read().startswith("ward-supervisor"), "it is the supervisor")
    os.kill(pid, signal.SIGKILL)
    t.wait()
    check(t.restored(), "the terminal is not as before")


def case_filter():
    t = shell()
    t.send(b"printf 'A\\033]52;c;aGk=\\007B\\033[21tC\\033Pq\\033\\\\D\\005\\033[1mE\\n'\r")
    t.expect(rb"ABCD\x1b\[1mE")
    t.send(b"exit\r")
    t.wait()
    # the control: the same without the filter
    t = Terminal("exec", "-t", SANDBOX, "printf", "A\\033]52;c;aGk=\\007B")
    t.wait()
    check(b"]52" not in t.bytes, f"passed: {t.bytes!r}")
    log = run("logs", SANDBOX).stdout
    check(b"]52" in log, "the program did write it")


def case_redraw():
    # Waited for and not handled: a handler may run in the middle of a print.
    program = ("import os, signal\n"
               "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})\n"
               "print('ready', flush=True)\n"
               "while signal.sigtimedwait({signal.SIGWINCH}, 3600):\n"
               "    print('size', *os.get_terminal_size(), flush=True)\n")
    t = Terminal("exec", "-it", SANDBOX, "python3", "-c", program)
    t.expect(rb"ready")
    detach(t)
    t = Terminal("attach", SANDBOX)
    t.expect(rb"size 100 29\r\n")
    t.expect(rb"size 100 30\r\n")
    t.send(b"\x03")
    check(t.wait() != 0, "it was interrupted")


def case_tail():
    for number in range(10):
        t = Terminal("exec", "-t", SANDBOX, "sh", "-c", "head -c 30000 /dev/zero | tr '\\0' x; echo END")
        check(t.wait() == 0 and b"END" in t.bytes and t.bytes.count(b"x") >= 30000,
              f"round {number}: output was lost")
        got = run("exec", SANDBOX, "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo END")
        check(len(got.stdout) == 100004, f"round {number}: output of pipes was lost")


def case_pipes():
    got = run("exec", "-i", SANDBOX, "cat", input=b"x" * 3000000)
    check(got.returncode == 0 and len(got.stdout) == 3000000, "3 MB there and back")
    got = run("exec", SANDBOX, "sh", "-c", "echo out; echo err >&2; exit 3")
    check((got.returncode, got.stdout, got.stderr) == (3, b"out\n", b"err\n"), f"streams: {got}")
    got = run("exec", SANDBOX, "sh", "-c", "sleep 1000 & echo done")
    check(got.stdout == b"done\n", "a background process does not delay the end")
    p = subprocess.Popen([WARD, "exec", SANDBOX, "yes"], stdout=subprocess.PIPE)
    p.stdout.read(10)
    p.stdout.close()
    check(p.wait(BOUND) != 0, "a closed output ends the program")
    p = subprocess.Popen([WARD, "exec", SANDBOX, "sh", "-c",
                          "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done"],
                         stdout=subprocess.PIPE)
    p.stdout.read(3)
    p.terminate()
    check(p.wait(BOUND) == 7, "SIGTERM is passed on")
    p = subprocess.Popen([WARD, "exec", "-i", SANDBOX, "sh", "-c", "cat; echo > eof"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdin.write(b"x\n")
    p.stdin.flush()
    p.stdout.readline()
    p.kill()
    p.wait()
    wait_for(lambda: os.path.exists(f"{WS}/eof"), "end of input when the client is killed")


def case_slow_reader():
    p = subprocess.Popen([WARD, "exec", SANDBOX, "sh", "-c",
                          "head -c 5000000 /dev/zero; touch written"], stdout=subprocess.PIPE)
    check(len(p.stdout.read(1)) == 1, "it writes")
    # It cannot have written everything: buffers are smaller than that.
    check(not os.path.exists(f"{WS}/written"), "the program waits for its reader")
    check(len(p.stdout.read()) == 4999999, "all of it arrives")
    check(p.wait(BOUND) == 0, "the exit code")


def refuse(host, *programs):
    """A program of another session is refused; returns when every one of `programs` was told."""
    run("exec", SANDBOX, "curl", "-s", f"https://{host}/")
    for t in programs:
        t.expect(rb"ward: denied: " + host.encode() + rb":443: no rule allows it\r\n")


def witness():
    """Somebody else who is attached, with a terminal that is free for lines."""
    t = Terminal("exec", "-it", SANDBOX, "sh", "-c", "echo up-$((40+1)); exec sleep 1000")
    t.expect(rb"up-41\r\n")
    return t


def case_refused_line():
    t = Terminal("exec", "-it", SANDBOX, "sh", "-c",
                 "printf half; curl -s https://one.example.com/; read x; exit 7")
    t.expect(rb"half\r\nward: denied: one\.example\.com:443: no rule allows it\r\n")
    refuse("two.example.com", t)
    run("exec", SANDBOX, "curl", "-s", "https://two.example.com/")
    t.send(b"\r")
    check(t.wait() == 7, "the exit code")
    check(t.bytes.count(b"denied: two") == 1, f"once a target, and at the end: {t.bytes!r}")
    t.expect(rb"ward: denied: one\.example\.com:443: no rule allows it\r\n"
             rb"ward: denied: two\.example\.com:443( \(2 times\))?: no rule allows it\r\n"
             rb"hint: ward policy allow --sandbox box one\.example\.com two\.example\.com\r\n")
    check(t.restored(), "the terminal is not as before")


def undisturbed(enter, leave, gone=b""):
    """A program that draws is shown as it is; the line comes when it does not any more."""
    t = Terminal("exec", "-it", SANDBOX, "sh", "-c",
                 f"{enter}; printf drawn-%s $((40+1)); head -c1 >/dev/null; {leave}; "
                 "printf 'left-%s\\n' $((40+2)); read x")
    t.expect(rb"drawn-41")
    u = witness()
    refuse("host.example.com", u)
    t.send(b"\r")
    own = rb"(\x1b\[\?\d+[hl]|\r|\n|left-42)*"
    t.expect(rb"^" + own + gone + own + rb"ward: denied: host\.example\.com:443: no rule allows it\r\n")
    t.send(b"\r")
    t.wait()
    t.expect(rb"hint: ward policy allow --sandbox box host\.example\.com\r\n")
    u.process.terminate()
    u.wait()


def case_refused_screen():
    for on, off in ((b"?1049h", b"?1049l"), (b"?47h", b"?47l"), (b"?1047h", b"?1047l")):
        undisturbed(f"printf '\\033[{on.decode()}'", f"printf '\\033[{off.decode()}'",
                    rb"\x1b\[" + re.escape(off))


def case_refused_split():
    """The sequence comes in pieces, and so late that it is the last thing before the refusal."""
    undisturbed("for c in '\\033' '[' '?' 10 49 h; do printf \"$c\"; sleep 0.02; done",
                "printf '\\033[?25h\\033[?10'; sleep 0.1; printf '49l'", rb"\x1b\[\?1049l")


def case_refused_keys():
    """It reads single keys, as programs do that draw without another screen."""
    undisturbed("stty raw -echo", "stty sane")


def case_refused_detach():
    t = Terminal("exec", "-it", SANDBOX, "sh", "-c", "stty raw; printf raw-%s $((40+1)); sleep 1000")
    t.expect(rb"raw-41")
    u = witness()
    refuse("host.example.com", u)
    detach(t)
    check(t.bytes.index(b"detached") < t.bytes.index(b"ward: denied: host.example.com:443"), "all")
    t.expect(rb"hint: ward policy allow --sandbox box host\.example\.com\r\n")
    u.process.terminate()
    u.wait()


CASES = {name[5:]: f for name, f in list(globals().items()) if name.startswith("case_")}
if __name__ == "__main__":
    CASES[sys.argv[1]]()
