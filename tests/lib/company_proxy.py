#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the proxy of a company: HTTP (CONNECT, and requests in absolute-form) or SOCKS 5, with
or without a login, with or without TLS to the proxy itself.

usage: company_proxy.py PORT     serves http on 127.0.0.1:PORT and answers every request itself

What it was asked for is its log: "CONNECT host:port", "GET http://host/path", "SOCKS host:port", each
with " as USER" behind it when there was a login.
"""

import base64
import encodings.idna  # noqa: F401 - for names in getaddrinfo; the lab may not see its file later
import select
import socket
import ssl
import struct
import sys
import threading


class CompanyProxy:
    """resolve: a function from a host to an address, or None for a name that is not known."""

    def __init__(self, address, port, resolve, log, login=None, tls=None, socks=False, blocked=(),
                 extra=b"", answer=None):
        self.resolve, self.log, self.login, self.tls, self.socks = resolve, log, login, tls, socks
        self.blocked, self.extra, self.answer = blocked, extra, answer
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.sock = socket.create_server((address, port), family=family, backlog=128)
        self.address, self.port = self.sock.getsockname()[:2]
        threading.Thread(target=self.run, daemon=True).start()

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def run(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        try:
            if self.tls:
                conn = self.tls.wrap_socket(conn, server_side=True)
            (self.serve_socks if self.socks else self.serve_http)(conn)
        except (OSError, EOFError, ValueError):
            pass
        finally:
            conn.close()

    # --- HTTP ------------------------------------------------------------------------------------

    def serve_http(self, conn):
        data = b""
        while b"\r\n\r\n" not in data:
            data += some(conn)
        head, rest = data.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        fields = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
        user = None
        if self.login:
            expected = "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
            if fields.get("proxy-authorization") != expected:
                self.log(f"407 {method} {target}")
                conn.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n"
                             b'Proxy-Authenticate: Basic realm="company"\r\n\r\n')
                return
            user = self.login[0]
        self.log(f"{method} {target}" + (f" as {user}" if user else ""))
        if method == "CONNECT":
            host, port = target.rsplit(":", 1)
        else:
            if not target.startswith("http://"):
                conn.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                return
            authority, _, path = target[7:].partition("/")
            host, port = authority.rsplit(":", 1) if ":" in authority else (authority, "80")
        if self.answer is not None and method != "CONNECT":
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.answer) + self.answer)
            return
        if host in self.blocked:
            conn.sendall(b"HTTP/1.1 403 Not for you\r\nContent-Length: 12\r\n\r\nblocked here")
            return
        up = self.connect(host.strip("[]"), int(port))
        if up is None:
            conn.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with up:
            if method == "CONNECT":
                conn.sendall(b"HTTP/1.1 200 Connection established\r\nVia: company\r\n\r\n" + self.extra)
                up.sendall(rest)
            else:
                kept = [x for x in lines[1:] if not x.lower().startswith(("proxy-", "host:"))]
                up.sendall("\r\n".join([f"{method} /{path} HTTP/1.1", f"Host: {authority}"] + kept)
                           .encode("latin-1") + b"\r\n\r\n" + rest)
            pump(conn, up)

    # --- SOCKS 5 ---------------------------------------------------------------------------------

    def serve_socks(self, conn):
        version, count = exactly(conn, 2)
        methods = exactly(conn, count)
        if version != 5:
            return
        user = None
        if self.login:
            if 2 not in methods:
                conn.sendall(b"\x05\xff")
                return
            conn.sendall(b"\x05\x02")
            exactly(conn, 1)
            user = exactly(conn, exactly(conn, 1)[0]).decode()
            password = exactly(conn, exactly(conn, 1)[0]).decode()
            if (user, password) != tuple(self.login):
                conn.sendall(b"\x01\x01")
                return
            conn.sendall(b"\x01\x00")
        else:
            conn.sendall(b"\x05\x00")
        _, _, _, kind = exactly(conn, 4)
        if kind == 3:
            host = exactly(conn, exactly(conn, 1)[0]).decode()
        else:
            host = socket.inet_ntop(*((socket.AF_INET, exactly(conn, 4)) if kind == 1
                                      else (socket.AF_INET6, exactly(conn, 16))))
        port = struct.unpack(">H", exactly(conn, 2))[0]
        self.log(f"SOCKS {host}:{port}" + (f" as {user}" if user else ""))
        up = None if host in self.blocked else self.connect(host, port)
        if up is None:
            conn.sendall(bytes([5, 2 if host in self.blocked else 4, 0, 1]) + bytes(6))
            return
        with up:
            conn.sendall(b"\x05\x00\x00\x03\x07company\x00\x00" + self.extra)
            pump(conn, up)

    def connect(self, host, port):
        address = self.resolve(host)
        if address is None:
            return None
        try:
            return socket.create_connection((address, port), timeout=20)
        except OSError:
            return None


def some(conn):
    data = conn.recv(65536)
    if not data:
        raise EOFError
    return data


def exactly(conn, n):
    data = b""
    while len(data) < n:
        more = conn.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def pump(a, b):
    """Bytes both ways until both have ended."""
    ends = {a: b, b: a}
    while ends:
        ready = [s for s in ends if isinstance(s, ssl.SSLSocket) and s.pending()]
        for s in ready or select.select(list(ends), [], [])[0]:
            data = s.recv(65536)
            if data:
                ends[s].sendall(data)
                continue
            other = ends.pop(s)
            if isinstance(other, ssl.SSLSocket):
                # Its library cannot close one direction only.
                return
            other.shutdown(socket.SHUT_WR)


def main():
    def log(text):
        print(text, flush=True)

    CompanyProxy("127.0.0.1", int(sys.argv[1]), lambda host: None, log, answer=b"hello\n")
    log("ready")
    threading.Event().wait()


if __name__ == "__main__":
    main()
