#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the transfer of an image looks like on a terminal.

usage: progress_terminal.py COLUMNS[,COLUMNS] COMMAND...

Runs the command with standard error on a terminal that is so wide, and becomes as wide as the second
number once something was drawn.  Prints what was drawn, one line for each time, and after "screen:" what
stays.  A drawn line that reaches the last column is an error: it may go on in the next row.
"""
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios

widths = [int(n) for n in sys.argv[1].split(",")]
master, slave = pty.openpty()


def resize(columns):
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


signal.alarm(60)
resize(widths[0])
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave,
                         env=dict(os.environ, TERM="xterm", NO_COLOR="1"))
narrow = len(widths) == 1
data = b""
while True:
    if not narrow and data.count(b"\033[K") > 3:
        resize(widths[1])
        narrow = True
        data += b"\0"  # from here on
        os.close(slave)
        slave = -1
    elif narrow and slave >= 0:
        os.close(slave)
        slave = -1
    try:
        chunk = os.read(master, 65536)
    except OSError:  # nobody has it open any more
        break
    if not chunk:
        break
    data += chunk

limit, rows, row = widths[0], [], ""
for piece in re.split("(\r\n|\r\033\\[K|\0)", data.decode()):
    if piece == "\0":
        limit = widths[-1]
    elif piece == "\r\n":
        rows.append(row)
        row = ""
    elif piece == "\r\033[K":
        row = ""
    else:
        row += piece
        if piece and not piece.startswith("ward: "):
            print(piece)
            if "\033" in piece or "\r" in piece:
                sys.exit("control characters: %r" % piece)
            # What was under way when it became narrower is forgiven.
            if len(piece) >= max(widths if limit == widths[0] else [limit]):
                sys.exit("wider than %d: %s" % (limit, piece))
print("screen:")
for text in rows + ([row] if row else []):
    print(text)
sys.exit(child.wait())
