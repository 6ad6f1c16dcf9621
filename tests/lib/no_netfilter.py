#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run a command as on a kernel without nf_tables: socket(AF_NETLINK, *, NETLINK_NETFILTER) fails.

usage: no_netfilter.py COMMAND [ARGUMENT...]       as root, so that setuid programs keep working
"""

import ctypes
import errno
import os
import platform
import struct
import sys

SOCKET, AUDIT_ARCH = {"x86_64": (41, 0xc000003e), "aarch64": (198, 0xc00000b7)}[platform.machine()]
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7fff0000, 0x00050000
AF_NETLINK, NETLINK_NETFILTER = 16, 12


def main():
    code = [
        (LOAD, 0, 0, 4), (EQUAL, 0, 7, AUDIT_ARCH),
        (LOAD, 0, 0, 0), (EQUAL, 0, 5, SOCKET),
        (LOAD, 0, 0, 16), (EQUAL, 0, 3, AF_NETLINK),
        (LOAD, 0, 0, 32), (EQUAL, 0, 1, NETLINK_NETFILTER),
        (RETURN, 0, 0, ERRNO | errno.EPROTONOSUPPORT), (RETURN, 0, 0, ALLOW),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    prog = struct.pack("HxxxxxxP", len(code), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(22, 2, prog, 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        sys.exit(os.strerror(ctypes.get_errno()))
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
