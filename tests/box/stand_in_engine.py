#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A container engine as far as its socket goes.

usage: stand_in_engine.py SOCKET LOG [ARCHIVE]

Answers /_ping and /version; POST /echo sends everything back that comes until the end of input, and
says so then; GET /images/test:latest/get sends ARCHIVE, what docker save wrote, and of other images says
that there is none; every request is a line in LOG, with the user and group that connected.
"""
import os
import socket
import struct
import sys
import threading

VERSION = (b'{"Platform":{"Name":"stand-in"},"Version":"9.9.9","ApiVersion":"1.41","MinAPIVersion":"1.12",'
           b'"Os":"linux","Arch":"amd64","KernelVersion":"0","GoVersion":"none","GitCommit":"none",'
           b'"BuildTime":"never","Components":[{"Name":"Engine","Version":"9.9.9","Details":{}}]}')


def answer(body, kind=b"application/json"):
    return (b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: " + kind +
            b"\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)


def serve(conn, log, archive):
    pid, uid, gid = struct.unpack("iII", conn.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    data = b""
    while b"\r\n\r\n" not in data:
        more = conn.recv(65536)
        if not more:
            conn.close()
            return
        data += more
    line, rest = data.split(b"\r\n")[0], data.split(b"\r\n\r\n", 1)[1]
    log.write(f"{uid} {line.decode()}\n")
    log.flush()
    if line.startswith(b"POST /echo"):
        while True:
            if rest:
                conn.sendall(rest)
            rest = conn.recv(65536)
            if not rest:
                break
        conn.sendall(b"end of input\n")
    elif line.startswith(b"GET /images/test:latest/get ") and archive:
        with open(archive, "rb") as f:
            conn.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/x-tar\r\n\r\n")
            conn.sendfile(f)
    elif line.startswith(b"GET /images/broken:latest/get ") and archive:
        with open(archive, "rb") as f:
            conn.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/x-tar\r\n\r\n" + f.read(100000))
    elif line.startswith(b"GET /images/odd:latest/get "):
        conn.sendall(b'HTTP/1.0 500 Internal Server Error\r\n\r\n{"message":"it is\\u001b[31m broken"}')
    elif line.startswith(b"GET /images/"):
        conn.sendall(b'HTTP/1.0 404 Not Found\r\n\r\n{"message":"No such image"}')
    elif b"/version" in line:
        conn.sendall(answer(VERSION))
    else:
        conn.sendall(answer(b"OK" if line.startswith(b"GET") else b"", b"text/plain"))
    conn.close()


def main():
    path, log = sys.argv[1:3]
    archive = sys.argv[3] if len(sys.argv) > 3 else None
    listener = socket.socket(socket.AF_UNIX)
    if os.path.exists(path):
        os.unlink(path)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(64)
    with open(log, "a", encoding="utf-8") as f:
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0], f, archive), daemon=True).start()


main()
