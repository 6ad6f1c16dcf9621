#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run a command in a terminal of its own and tell what became of the terminal.

usage: pty_run.py [--when FILE --hook SHELL] [--input TEXT] COMMAND [ARG...]

Prints one JSON object:
  status   exit status of the command (negative: signal)
  output   what came out of the terminal
  pending  what waits in the terminal's input queue afterwards: what the next program would read
  raw      whether the terminal's modes were others than before while the command ran
  restored whether they are as before at the end (waited for, at most 20 s)
--hook runs as soon as FILE exists, with CLIENT = the command's process id.
The command is not the leader of its session: a leader's end would hang the terminal up.
"""
import argparse
import fcntl
import json
import os
import pty
import select
import subprocess
import sys
import termios
import time


def pending_input():
    """Everything in the queue, complete lines or not."""
    modes = termios.tcgetattr(0)
    modes[3] &= ~(termios.ICANON | termios.ECHO)
    modes[6][termios.VMIN] = 0
    modes[6][termios.VTIME] = 0
    termios.tcsetattr(0, termios.TCSANOW, modes)
    os.set_blocking(0, False)
    got = b""
    while True:
        try:
            some = os.read(0, 4096)
        except BlockingIOError:
            break
        if not some:
            break
        got += some
    return got


def leader(args, result_fd):
    before = termios.tcgetattr(0)
    raw = False
    client = subprocess.Popen(args.command)
    hooked = args.when is None
    while client.poll() is None:
        raw = raw or termios.tcgetattr(0) != before
        if not hooked and os.path.exists(args.when):
            hooked = True
            # The command may set the modes a moment after what it runs has begun.
            end = time.monotonic() + 20
            while termios.tcgetattr(0) == before and time.monotonic() < end:
                time.sleep(0.01)
            raw = raw or termios.tcgetattr(0) != before
            subprocess.run(["sh", "-c", args.hook], check=False, stdin=subprocess.DEVNULL,
                           env={**os.environ, "CLIENT": str(client.pid)})
        time.sleep(0.01)
    end = time.monotonic() + 20
    while termios.tcgetattr(0) != before and time.monotonic() < end:
        time.sleep(0.01)
    restored = termios.tcgetattr(0) == before
    result = {"status": client.returncode, "raw": raw, "restored": restored,
              "pending": pending_input().decode("latin-1")}
    os.write(result_fd, json.dumps(result).encode())
    os._exit(0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--when")
    parser.add_argument("--hook")
    parser.add_argument("--input", default="")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    master, slave = pty.openpty()
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(master)
        os.close(read_fd)
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in range(3):
            os.dup2(slave, fd)
        leader(args, write_fd)
    os.close(slave)
    os.close(write_fd)
    if args.input:
        os.write(master, args.input.encode())
    output = b""
    result = b""
    while True:
        ready, _, _ = select.select([master, read_fd], [], [])
        if master in ready:
            try:
                output += os.read(master, 65536)
            except OSError:
                pass
        if read_fd in ready:
            some = os.read(read_fd, 65536)
            if not some:
                break
            result += some
    os.waitpid(pid, 0)
    answer = json.loads(result)
    answer["output"] = output.decode("latin-1")
    print(json.dumps(answer))


if __name__ == "__main__":
    sys.exit(main())
