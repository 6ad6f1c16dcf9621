#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Both ends of a published port, for ports.bats.

serve ADDRESS PORT     a service: the first line of a connection says what it does with it
                       hello: answers with ADDRESS; hold: answers and waits for the end of the client;
                       echo: reads to the end of the client, then sends everything back
                       twins: sends N bytes with their digest while it reads as many
ask ADDRESS PORT WORD  one connection; prints the answer
many ADDRESS PORT N    N connections open at the same time; prints how many were answered
echo ADDRESS PORT N    N bytes out, end, the same bytes back
twins ADDRESS PORT N   N bytes each way at the same time, with digests
free                   a port that is free on both loopback addresses
take ADDRESS PORT      listen there until killed
"""

import hashlib
import os
import socket
import sys
import threading

BLOCK = 1 << 16


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def listener(address, port):
    s = socket.socket(family(address), socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ":" in address:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address, port))
    s.listen(512)
    return s


def read_all(c):
    return b"".join(iter(lambda: c.recv(BLOCK), b""))


def send_digested(c, n):
    block = os.urandom(BLOCK)
    digest = hashlib.sha256()
    while n > 0:
        piece = block[:min(n, BLOCK)]
        digest.update(piece)
        c.sendall(piece)
        n -= len(piece)
    c.sendall(digest.digest())
    c.shutdown(socket.SHUT_WR)


def check_digested(c, n):
    data = read_all(c)
    return len(data) == n + 32 and hashlib.sha256(data[:n]).digest() == data[n:]


def twins(c, n):
    t = threading.Thread(target=send_digested, args=(c, n))
    t.start()
    good = check_digested(c, n)
    t.join()
    return good


def handle(c, address):
    with c:
        line = b""
        while not line.endswith(b"\n"):
            byte = c.recv(1)
            if not byte:
                return
            line += byte
        word = line.decode().split()
        if word[0] == "hello":
            c.sendall(f"hello from {address}\n".encode())
        elif word[0] == "hold":
            c.sendall(b"held\n")
            c.recv(1)
        elif word[0] == "echo":
            c.sendall(read_all(c))
        elif word[0] == "twins" and not twins(c, int(word[1])):
            os._exit(3)


def serve(address, port):
    s = listener(address, port)
    while True:
        c, _ = s.accept()
        threading.Thread(target=handle, args=(c, address), daemon=True).start()


def connect(address, port, line):
    c = socket.create_connection((address, port), timeout=60)
    c.sendall(line.encode() + b"\n")
    return c


def main():
    what = sys.argv[1]
    if what == "free":
        while True:
            with listener("127.0.0.1", 0) as s:
                port = s.getsockname()[1]
                try:
                    listener("::1", port).close()
                except OSError as e:
                    if e.errno == 98:
                        continue
                print(port)
                return 0
    address, port = sys.argv[2], int(sys.argv[3])
    if what == "serve":
        serve(address, port)
    elif what == "take":
        s = listener(address, port)
        print("taken", flush=True)
        while True:
            s.accept()[0].close()
    elif what == "ask":
        sys.stdout.buffer.write(read_all(connect(address, port, sys.argv[4])))
    elif what == "many":
        held = [connect(address, port, "hold") for _ in range(int(sys.argv[4]))]
        print(sum(c.recv(5) == b"held\n" for c in held))
    elif what == "echo":
        c = connect(address, port, "echo")
        sent = os.urandom(int(sys.argv[4]))
        c.sendall(sent)
        c.shutdown(socket.SHUT_WR)
        print("same" if read_all(c) == sent else "different")
    elif what == "twins":
        c = connect(address, port, "twins " + sys.argv[4])
        print("same" if twins(c, int(sys.argv[4])) else "different")
    return 0


sys.exit(main())
