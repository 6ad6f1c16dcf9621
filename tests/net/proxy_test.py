#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The proxy as a black box: ward-proxy, a supervisor played over its socket, and a fake internet.

usage: proxy_test.py PATH-TO-ward-proxy [unittest arguments]

It runs in user, mount and network namespaces of its own, so that it can have a name server on port
53, origins on 80 and 443, and its own /etc/hosts; nothing leaves the machine.  Verdicts come from
what the origins and the name server received, not only from what the proxy answers.  Exit status 77
(skipped) when such namespaces cannot be made.
"""

import ctypes
import fcntl
import hashlib
import json
import os
import re
import select
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time
import unittest

LISTEN, RULES, LOG, GO, READY, FAILED, DENIED, TAKEN = range(1, 9)
INIT = 11
ENTRY_DNS = 2
PROGRAM_ASK, PROGRAM_IS = 1, 2
UPSTREAM = 12
PUBLIC = "203.0.113.10"  # an address of our own that is nobody's special one
OTHER = "203.0.113.20"
WAIT = 20  # seconds until something that must come is given up
TAG = "WARD_PROXY_TEST_INSIDE"


# --- namespaces ----------------------------------------------------------------------------------

def enter_namespaces():
    libc = ctypes.CDLL(None, use_errno=True)
    newns, newuser, newnet = 0x20000, 0x10000000, 0x40000000
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(newuser | newns | newnet) != 0:
        print("SKIP: cannot make user, mount and network namespaces")
        sys.exit(77)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as f:
            f.write(text)
    if libc.mount(b"none", b"/", None, 0x44000, None) != 0:
        sys.exit("cannot make mounts private")
    directory = tempfile.mkdtemp(prefix="ward-proxy-test.")
    for name, text in (
        ("hosts", f"127.0.0.1 localhost\n{PUBLIC} origin.test allowed.test  # comment\n"
                  f"{PUBLIC} DENIED.test\n10.1.2.3 private.test\n{PUBLIC} single\n"),
        ("resolv.conf", "# ours\nsearch wrong.test\nnameserver 127.0.0.1\n"),
    ):
        path = os.path.join(directory, name)
        with open(path, "w") as f:
            f.write(text)
        target = os.path.realpath(f"/etc/{name}")
        if libc.mount(path.encode(), target.encode(), None, 0x1000, None) != 0:
            sys.exit(f"cannot mount over {target}")
        os.unlink(path)
    os.rmdir(directory)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for label, address in (("lo:1", PUBLIC), ("lo:2", OTHER)):
            packed = struct.pack("16sH2x4s8x", label.encode(), socket.AF_INET,
                                 socket.inet_aton(address))
            fcntl.ioctl(s, 0x8916, packed)  # SIOCSIFADDR
        fcntl.ioctl(s, 0x8914, struct.pack("16sh22x", b"lo", 0x49))  # SIOCSIFFLAGS: up, loopback


# --- a fake internet -----------------------------------------------------------------------------

class Origin:
    """Accepts connections, keeps every byte, answers with handler(connection, log)."""

    def __init__(self, address, port, handler):
        self.sock = socket.create_server((address, port), backlog=64)
        self.address, self.port = self.sock.getsockname()[:2]
        self.handler = handler
        self.received = []  # one bytearray per connection
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            log = bytearray()
            self.received.append(log)
            threading.Thread(target=self.serve, args=(conn, log), daemon=True).start()

    def serve(self, conn, log):
        try:
            self.handler(conn, log)
        except OSError:
            pass
        finally:
            conn.close()

    def close(self):
        # A thread in accept() keeps the socket alive: wake it up.
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


def read_head(conn, log, buf=b""):
    while b"\r\n\r\n" not in buf:
        data = conn.recv(65536)
        if not data:
            return None, buf
        log += data
        buf += data
    head, rest = buf.split(b"\r\n\r\n", 1)
    return head, rest


def header(head, name):
    m = re.search(rb"(?im)^" + name.encode() + rb": *(.*?)\r?$", head)
    return m.group(1).decode() if m else None


def read_body(conn, log, head, rest):
    if (header(head, "Transfer-Encoding") or "") == "chunked":
        body = b""
        while True:
            while b"\r\n" not in rest:
                rest += receive(conn, log)
            size, rest = rest.split(b"\r\n", 1)
            size = int(size.split(b";")[0], 16)
            while len(rest) < size + 2:
                rest += receive(conn, log)
            body, rest = body + rest[:size], rest[size + 2:]
            if size == 0:
                return body
    want = int(header(head, "Content-Length") or 0)
    while len(rest) < want:
        rest += receive(conn, log)
    return rest[:want]


def receive(conn, log):
    data = conn.recv(1 << 20)
    if not data:
        raise ConnectionError("ended early")
    log += data
    return data


def big_bytes(n):
    block = hashlib.sha256(b"block").digest() * 128
    return (block * (n // len(block) + 1))[:n]


GATE = threading.Event()  # opened by a test: lets an origin go on


def http_handler(conn, log):
    head, rest = read_head(conn, log)
    if head is None:
        return
    method, target, version = head.split(b"\r\n")[0].decode().split(" ")
    ok = b"HTTP/1.1 200 OK\r\n"
    if target == "/early":
        conn.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        return
    if header(head, "Expect"):
        conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = read_body(conn, log, head, rest)
    if target == "/echo":
        digest = hashlib.sha256(body).hexdigest().encode()
        conn.sendall(ok + b"Content-Length: 64\r\nKeep-Alive: timeout=9\r\n"
                     b"Proxy-Thing: x\r\nX-End: y\r\n\r\n" + digest)
    elif target.startswith("/big"):
        data = big_bytes(int(target[5:]))
        conn.sendall(ok + b"Content-Length: %d\r\n\r\n" % len(data) + data)
    elif target == "/until-close":
        conn.sendall(b"HTTP/1.0 200 OK\r\n\r\nto the end")
    elif target == "/chunked":
        conn.sendall(ok + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    elif target == "/bad-chunk":
        conn.sendall(ok + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n\r\n")
    elif target == "/204":
        conn.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    elif target == "/304":
        conn.sendall(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n")
    elif target == "/both":
        conn.sendall(ok + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    elif target == "/interim":
        conn.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + ok +
                     b"Content-Length: 2\r\n\r\nok")
    elif target == "/sse":
        conn.sendall(ok + b"Content-Type: text/event-stream\r\n\r\ndata: one\n\n")
        GATE.wait(WAIT)
        conn.sendall(b"data: two\n\n")
    elif target == "/nothing":
        return
    elif target == "/short":
        conn.sendall(ok + b"Content-Length: 100\r\n\r\nonly this")
    elif target == "/websocket" or target == "/fake101":
        conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     b"Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n")
        while data := conn.recv(65536):
            conn.sendall(data.upper())
    else:
        text = b"" if method == "HEAD" else b"hello"
        conn.sendall(ok + b"Content-Length: 5\r\n\r\n" + text)


def upper_handler(conn, log):
    """Greets first, as ssh does, then echoes in upper case until the end."""
    conn.sendall(b"SSH-2.0-fake\r\n")
    while data := conn.recv(65536):
        log += data
        conn.sendall(data.upper())
    conn.sendall(b"END")


def sink_handler(conn, log):
    """Keeps what comes, says so once it is something."""
    while data := conn.recv(65536):
        log += data
        conn.sendall(b"GOT")


class NameServer:
    """Answers A and AAAA from a table; keeps the names that it was asked for."""

    def __init__(self):
        self.table = {}
        self.asked = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 53))
        self.tcp = socket.create_server(("127.0.0.1", 53))
        threading.Thread(target=self.run_udp, daemon=True).start()
        threading.Thread(target=self.run_tcp, daemon=True).start()

    def answer(self, query, tcp):
        qid, at, labels = query[:2], 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        name = ".".join(labels).lower()
        qtype = struct.unpack(">H", query[at + 1:at + 3])[0]
        question = query[12:at + 5]
        self.asked.append(name)
        entry = self.table.get(name)
        if callable(entry):
            entry = entry(qtype)
        if entry is None:
            return qid + struct.pack(">HHHHH", 0x8183, 1, 0, 0, 0) + question
        if entry == "drop":
            return None
        if entry == "servfail":
            return qid + struct.pack(">HHHHH", 0x8182, 1, 0, 0, 0) + question
        if len(entry) > 10 and not tcp:
            return qid + struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + question
        records, count = b"", 0
        for value in entry:
            if value.startswith("cname:"):
                target = b"".join(bytes([len(x)]) + x.encode()
                                  for x in value[6:].split(".")) + b"\0"
                records += b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 60, len(target)) + target
                count += 1
                address, owner = self.table[value[6:]][0], target
            else:
                address, owner = value, b"\xc0\x0c"
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            if qtype != (28 if ":" in address else 1):
                continue
            data = socket.inet_pton(family, address)
            records += owner + struct.pack(">HHIH", qtype, 1, 0, len(data)) + data
            count += 1
        return qid + struct.pack(">HHHHH", 0x8180, 1, count, 0, 0) + question + records

    def run_udp(self):
        while True:
            query, peer = self.udp.recvfrom(4096)
            reply = self.answer(query, False)
            if reply is not None:
                self.udp.sendto(reply, peer)

    def run_tcp(self):
        while True:
            conn, _ = self.tcp.accept()
            with conn:
                size = struct.unpack(">H", conn.recv(2))[0]
                reply = self.answer(conn.recv(size), True)
                conn.sendall(struct.pack(">H", len(reply)) + reply)


# --- the supervisor's side -----------------------------------------------------------------------

def sealed(text):
    fd = os.memfd_create("rules", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, text.encode())
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW |
                fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return fd


def rules_text(rules):
    return "".join(f"{rule}\ttest\n" for rule in rules)


class Proxy:
    program = None

    def __init__(self, rules, ready=True, raw_rules=None, init=None, upstream=None):
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.wire = mine
        self.wire.settimeout(WAIT)
        high = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, 10)
        theirs.close()
        actions = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
        self.pid = os.posix_spawn(self.program, ["ward-proxy"], {},
                                  file_actions=actions + [(os.POSIX_SPAWN_DUP2, high, 3)])
        os.close(high)
        self.log_file = tempfile.TemporaryFile(mode="a+")
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = listener.getsockname()[1]
        self.send(LISTEN, 0, [listener.fileno()])
        listener.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dns:
            dns.bind(("127.0.0.1", 0))
            self.dns_port = dns.getsockname()[1]
            self.send(LISTEN, ENTRY_DNS, [dns.fileno()])
        self.send_rules(rules_text(rules) if raw_rules is None else raw_rules)
        self.send(LOG, 0, [self.log_file.fileno()])
        if init is not None:
            self.send(INIT, 0, [init.fileno()])
            init.close()
        if upstream is not None:
            fd = sealed(upstream)
            self.send(UPSTREAM, 0, [fd])
            os.close(fd)
        self.send(GO)
        self.notices = []
        if ready:
            kind, payload = self.receive()
            if kind != READY:
                raise AssertionError(f"not ready: {kind} {payload!r}")

    def send(self, kind, arg=0, fds=(), payload=b""):
        socket.send_fds(self.wire, [struct.pack("<HHI", kind, 0, arg) + payload], list(fds))

    def send_rules(self, text):
        fd = sealed(text)
        self.send(RULES, 0, [fd])
        os.close(fd)

    def receive(self):
        data = self.wire.recv(65536)
        if not data:
            return None, b""
        return struct.unpack("<HHI", data[:8])[0], data[8:]

    def answer(self):
        """What it says about the last new rules or log."""
        kind = DENIED
        while kind == DENIED:
            kind, payload = self.receive()
        return kind, payload

    def records(self):
        self.log_file.seek(0)
        return [json.loads(line) for line in self.log_file]

    def wait_record(self, test):
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            for r in self.records():
                if test(r):
                    return r
            time.sleep(0.005)
        raise AssertionError(f"no such record in {self.records()}")

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT)
        return s

    def look_up(self, name):
        """The IPv4 address that its name server gives, or None."""
        query = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"".join(
            bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0\0\1\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(WAIT)
            s.sendto(query, ("127.0.0.1", self.dns_port))
            reply = s.recv(4096)
        return socket.inet_ntoa(reply[-4:]) if struct.unpack(">H", reply[6:8])[0] else None

    def wait_exit(self):
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = None
                return status
            time.sleep(0.005)
        raise AssertionError("still running")

    def stop(self):
        self.wire.close()
        if self.pid is not None:
            status = self.wait_exit()
            if status != 0:
                raise AssertionError(f"exit status {status}")
        self.log_file.close()


def read_all(s):
    data = b""
    while True:
        try:
            more = s.recv(1 << 20)
        except ConnectionResetError:
            return data
        if not more:
            return data
        data += more


def read_response(s, method="GET", rest=b""):
    """(status, head, body, rest) of one response on a connection that may go on."""
    while b"\r\n\r\n" not in rest:
        data = s.recv(65536)
        if not data:
            raise AssertionError(f"connection ended in the head: {rest!r}")
        rest += data
    head, rest = rest.split(b"\r\n\r\n", 1)
    status = int(head.split(b" ")[1])
    if 100 <= status < 200 or method in ("HEAD", "CONNECT") and status < 300 or \
            method == "HEAD" or status in (204, 304):
        return status, head, b"", rest
    if (header(head, "Transfer-Encoding") or "") == "chunked":
        log = bytearray()
        body = b""
        while True:
            while b"\r\n" not in rest:
                rest += receive(s, log)
            size, rest = rest.split(b"\r\n", 1)
            size = int(size, 16)
            while len(rest) < size + 2:
                rest += receive(s, log)
            body, rest = body + rest[:size], rest[size + 2:]
            if size == 0:
                return status, head, body, rest
    length = header(head, "Content-Length")
    if length is None:
        return status, head, rest + read_all(s), b""
    while len(rest) < int(length):
        data = s.recv(1 << 20)
        if not data:
            raise AssertionError("connection ended in the body")
        rest += data
    return status, head, rest[:int(length)], rest[int(length):]


def client_hello(name):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def add_extension(hello, kind, data):
    """The same ClientHello with one extension more (the extensions are its last part)."""
    body = bytearray(hello[9:])
    at = 2 + 32
    at += 1 + body[at]
    at += 2 + struct.unpack(">H", body[at:at + 2])[0]
    at += 1 + body[at]
    extensions = bytes(body[at + 2:]) + struct.pack(">HH", kind, len(data)) + data
    body = bytes(body[:at]) + struct.pack(">H", len(extensions)) + extensions
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return hello[:3] + struct.pack(">H", len(message)) + message


# --- the tests -----------------------------------------------------------------------------------

class ProxyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.names = getattr(ProxyTest, "names", None) or NameServer()
        ProxyTest.names = cls.names

    def setUp(self):
        self.names.table.clear()
        self.names.asked.clear()
        GATE.clear()
        self.cleanup = []

    def tearDown(self):
        GATE.set()
        for thing in reversed(self.cleanup):
            thing()

    def origin(self, handler=http_handler, port=0, address=PUBLIC):
        o = Origin(address, port, handler)
        self.cleanup.append(o.close)
        return o

    def proxy(self, *rules, **more):
        p = Proxy(rules, **more)
        self.cleanup.append(p.stop)
        return p

    def web(self):
        """An origin on port 80 under allowed.test, and a proxy that allows it."""
        return self.origin(port=80), self.proxy("allow allowed.test", f"allow {PUBLIC}:80",
                                                f"allow {PUBLIC}:443")

    def client(self, proxy):
        s = proxy.connect()
        self.cleanup.append(s.close)
        return s

    def ask(self, proxy, request, method="GET"):
        s = self.client(proxy)
        s.sendall(request)
        return read_response(s, method)

    def get(self, proxy, url, *headers, version="1.1", method="GET"):
        authority = url.split("/")[2]
        lines = [f"{method} {url} HTTP/{version}", f"Host: {authority}", *headers, "", ""]
        return self.ask(proxy, "\r\n".join(lines).encode(), method)

    def connect(self, proxy, target):
        s = self.client(proxy)
        s.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        status, head, body, rest = read_response(s, "CONNECT")
        return s, status, head, body, rest

    # -- who may go where

    def test_allowed_and_denied(self):
        origin, proxy = self.web()
        status, head, body, _ = self.get(proxy, "http://allowed.test/x?y=1")
        self.assertEqual((status, body), (200, b"hello"))
        self.assertTrue(origin.received[0].startswith(b"GET /x?y=1 HTTP/1.1\r\n"
                                                      b"Host: allowed.test\r\n"))
        status, head, body, _ = self.get(proxy, "http://denied.test/")
        self.assertEqual(status, 403)
        self.assertEqual(header(head, "X-Ward-Denied"), "denied.test:80")
        self.assertIn(b"hint: ward policy allow denied.test\n", body)
        self.assertIn(b"no rule", body)
        s, status, head, body, _ = self.connect(proxy, "denied.test:443")
        self.assertEqual((status, header(head, "X-Ward-Denied")), (403, "denied.test:443"))
        self.assertEqual(len(origin.received), 1)
        self.assertEqual(self.names.asked, [])
        kind, text = proxy.receive()
        self.assertEqual(kind, DENIED)
        self.assertIn(b"denied.test:80", text)

    def test_json_denial(self):
        proxy = self.proxy()
        status, head, body, _ = self.get(proxy, "http://denied.test:8080/",
                                         "Accept: application/json")
        self.assertEqual((status, header(head, "Content-Type")), (403, "application/json"))
        answer = json.loads(body)
        self.assertEqual(answer["target"], "denied.test:8080")
        self.assertEqual(answer["hint"], "ward policy allow denied.test:8080")

    def test_no_rules_deny_everything(self):
        origin = self.origin(port=80)
        proxy = self.proxy()
        self.assertEqual(self.get(proxy, "http://allowed.test/")[0], 403)
        self.assertEqual(self.connect(proxy, f"{PUBLIC}:80")[1], 403)
        self.assertEqual(origin.received, [])

    def test_deny_beats_allow(self):
        proxy = self.proxy("allow **", "deny bad.example")
        status, _, body, _ = self.get(proxy, "http://bad.example/")
        self.assertEqual(status, 403)
        self.assertIn(b"rule: bad.example", body)
        self.assertEqual(self.names.asked, [])

    def test_label_boundaries(self):
        origin, proxy = self.web()
        for name in ("allowed.test.evil.test", "notallowed.test", "x.allowed.test"):
            self.assertEqual(self.get(proxy, f"http://{name}/")[0], 403, name)
        for name in ("ALLOWED.TEST", "allowed.test."):
            self.assertEqual(self.get(proxy, f"http://{name}/")[0], 200, name)
        self.assertIn(b"Host: allowed.test\r\n", origin.received[-1])

    def test_ports(self):
        proxy = self.proxy("allow allowed.test:8000-8001", f"allow {PUBLIC}")
        origin = self.origin(port=8001)
        self.assertEqual(self.get(proxy, "http://allowed.test:8001/")[0], 200)
        for port, want in (("22", 403), ("0", 400), ("65536", 400), ("443abc", 400), ("", 400),
                           ("+80", 400), ("080", 400)):
            self.assertEqual(self.connect(proxy, f"allowed.test:{port}")[1], want, port)
        self.assertEqual(len(origin.received), 1)

    def test_address_spellings(self):
        listener = self.origin(port=80, address="127.0.0.1")
        proxy = self.proxy("allow **:*", "allow 0.0.0.0/0", "allow ::/0")
        for host in ("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]",
                     "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "0", "localhost",
                     "localhost.localdomain", "[2002:7f00:1::]", "169.254.169.254"):
            self.assertEqual(self.get(proxy, f"http://{host}/")[0], 403, host)
            self.assertEqual(self.connect(proxy, f"{host}:80")[1], 403, host)
        self.assertEqual(listener.received, [])
        self.assertEqual(self.names.asked, [])

    def test_host_garbage(self):
        proxy = self.proxy("allow **:*")
        for host in (b"a\0b.test", b"a\rb.test", b"a b.test", b"a\tb.test", b"a%00.test",
                     b"u@a.test", b"a\\b.test", b"a" * 300 + b".test", "b\u00fccher.test".encode(),
                     b"", b"a..test", b"-a.test", b"[::1", b"[fe80::1%25lo]", b"a.test#x"):
            for request in (b"CONNECT " + host + b":443 HTTP/1.1\r\n\r\n",
                            b"GET http://" + host + b"/ HTTP/1.1\r\nHost: a.test\r\n\r\n"):
                self.assertEqual(self.ask(proxy, request)[0], 400, request)
        self.assertEqual(self.names.asked, [])

    def test_single_label_is_for_hosts_only(self):
        self.origin(port=80)
        proxy = self.proxy("allow single", "allow unknown", f"allow {PUBLIC}")
        self.assertEqual(self.get(proxy, "http://single/")[0], 200)
        self.assertEqual(self.get(proxy, "http://unknown/")[0], 502)
        self.assertEqual(self.names.asked, [])

    # -- resolving

    def test_name_to_private_address(self):
        listener = self.origin(port=80, address="127.0.0.1")
        proxy = self.proxy("allow **", f"allow {PUBLIC}")
        self.names.table["rebind.test"] = ["127.0.0.1"]
        self.names.table["meta.test"] = ["169.254.169.254"]
        self.names.table["six.test"] = ["::1"]
        for name in ("rebind.test", "meta.test", "six.test", "private.test"):
            status, _, body, _ = self.get(proxy, f"http://{name}/")
            self.assertEqual(status, 403, name)
            self.assertIn(b"private", body)
            self.assertRegex(body.decode(),
                             rf"ward policy allow {name} '?[][0-9a-f:.]+:80'?\n")
        self.assertEqual(listener.received, [])

    def test_mixed_answers_use_the_good_one(self):
        bad = self.origin(port=80, address="127.0.0.1")
        good = self.origin(port=80)
        proxy = self.proxy("allow **", f"allow {PUBLIC}")
        self.names.table["mixed.test"] = ["127.0.0.1", PUBLIC, "::1"]
        self.assertEqual(self.get(proxy, "http://mixed.test/")[0], 200)
        self.assertEqual((len(bad.received), len(good.received)), (0, 1))

    def test_rebinding_between_requests(self):
        bad = self.origin(port=80, address="127.0.0.1")
        good = self.origin(port=80)
        proxy = self.proxy("allow **", f"allow {PUBLIC}")
        answers = iter([[PUBLIC], [PUBLIC], ["127.0.0.1"], ["127.0.0.1"]])
        self.names.table["rebind.test"] = lambda qtype: next(answers)
        s = self.client(proxy)
        request = b"GET http://rebind.test/ HTTP/1.1\r\nHost: rebind.test\r\n\r\n"
        s.sendall(request)
        self.assertEqual(read_response(s)[0], 200)
        s.sendall(request)
        self.assertEqual(read_response(s)[0], 403)
        self.assertEqual((len(bad.received), len(good.received)), (0, 1))

    def test_own_addresses_of_the_host(self):
        listener = self.origin(port=80, address=OTHER)
        proxy = self.proxy("allow **", "allow 203.0.113.0/24")
        self.names.table["self.test"] = [OTHER]
        status, _, body, _ = self.get(proxy, "http://self.test/")
        self.assertEqual(status, 403)
        self.assertIn(b"host itself", body)
        self.assertEqual(self.get(proxy, f"http://{OTHER}/")[0], 403)
        self.assertEqual(listener.received, [])
        proxy = self.proxy("allow **", f"allow {OTHER}")
        self.assertEqual(self.get(proxy, "http://self.test/")[0], 200)

    def test_resolver(self):
        self.origin(port=80)
        proxy = self.proxy("allow **", f"allow {PUBLIC}")
        self.names.table["alias.test"] = ["cname:target.test"]
        self.names.table["target.test"] = [PUBLIC]
        self.names.table["many.test"] = [PUBLIC] * 12
        self.names.table["empty.test"] = []
        calls = []
        self.names.table["lost.test"] = lambda q: calls.append(q) or \
            ("drop" if len(calls) <= 2 else [PUBLIC])
        for name in ("alias.test", "many.test", "lost.test"):
            self.assertEqual(self.get(proxy, f"http://{name}/")[0], 200, name)
        status, _, body, _ = self.get(proxy, "http://nowhere.test/")
        self.assertEqual(status, 502)
        self.assertIn(b"no such name", body)
        status, _, body, _ = self.get(proxy, "http://empty.test/")
        self.assertEqual(status, 502)
        self.assertIn(b"no address", body)
        self.assertNotIn("nowhere.test.wrong.test", self.names.asked)

    def test_connect_refused(self):
        proxy = self.proxy("allow allowed.test:81", f"allow {PUBLIC}")
        status, _, body, _ = self.get(proxy, "http://allowed.test:81/")
        self.assertEqual(status, 502)
        self.assertIn(b"refused", body)

    # -- services of the host

    def test_host_service(self):
        origin = self.origin(address="127.0.0.1")
        proxy = self.proxy(f"allow localhost:{origin.port}")
        for name in ("host.ward.internal", "host.docker.internal"):
            self.assertEqual(self.get(proxy, f"http://{name}:{origin.port}/")[0], 200, name)
        self.assertEqual(self.get(proxy, f"http://host.ward.internal:{origin.port + 1}/")[0], 403)
        for name in ("localhost", "127.0.0.1", "[::1]"):
            self.assertEqual(self.get(proxy, f"http://{name}:{origin.port}/")[0], 403, name)
        self.assertEqual(len(origin.received), 2)

    def test_literal_address_rule(self):
        origin = self.origin(address="127.0.0.1")
        proxy = self.proxy(f"allow 127.0.0.1:{origin.port}")
        self.assertEqual(self.get(proxy, f"http://127.0.0.1:{origin.port}/")[0], 200)
        self.assertEqual(self.get(proxy, "http://127.0.0.1:1/")[0], 403)

    # -- HTTP

    def test_keep_alive_decides_anew(self):
        origin, proxy = self.web()
        s = self.client(proxy)
        rest = b""
        for name, want in (("allowed.test", 200), ("denied.test", 403), ("allowed.test", 200)):
            s.sendall(f"GET http://{name}/ HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            status, _, _, rest = read_response(s, rest=rest)
            self.assertEqual(status, want)
        self.assertEqual(len(origin.received), 2)

    def test_pipelining(self):
        origin, proxy = self.web()
        s = self.client(proxy)
        one = b"GET http://allowed.test/%d HTTP/1.1\r\nHost: allowed.test\r\n\r\n"
        body = b"POST http://allowed.test/echo HTTP/1.1\r\nHost: allowed.test\r\n" \
               b"Content-Length: 3\r\n\r\nabc"
        s.sendall(one % 1 + body + one % 2 +
                  b"GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n" + one % 3)
        rest = b""
        for want in (200, 200, 200, 403, 200):
            status, _, _, rest = read_response(s, rest=rest)
            self.assertEqual(status, want)
        self.assertEqual([bytes(r.split(b" ")[1]) for r in origin.received],
                         [b"/1", b"/echo", b"/2", b"/3"])
        self.assertTrue(origin.received[1].endswith(b"\r\n\r\nabc"))

    def test_http10(self):
        origin, proxy = self.web()
        s = self.client(proxy)
        s.sendall(b"GET http://allowed.test/ HTTP/1.0\r\n\r\n")
        self.assertTrue(read_all(s).endswith(b"\r\n\r\nhello"))
        self.assertTrue(origin.received[0].startswith(b"GET / HTTP/1.0\r\nHost: allowed.test\r\n"))
        self.assertEqual(self.get(proxy, "http://denied.test/", version="1.0")[0], 403)
        status = self.get(proxy, "http://allowed.test/chunked", version="1.0")[0]
        self.assertEqual(status, 502)

    def test_headers_for_the_next_hop_are_dropped(self):
        origin, proxy = self.web()
        _, head, _, _ = self.get(
            proxy, "http://allowed.test/echo", "Proxy-Authorization: Basic x",
            "Proxy-Connection: keep-alive", "Connection: X-Mine, keep-alive", "X-Mine: 1",
            "Keep-Alive: 5", "TE: trailers", "Upgrade: h2c", "HTTP2-Settings: x", "X-Other: 2",
            "content-LENGTH: 0")
        sent = bytes(origin.received[0]).lower()
        for gone in (b"proxy-", b"x-mine", b"keep-alive", b"\r\nte:", b"upgrade", b"http2"):
            self.assertNotIn(gone, sent)
        self.assertIn(b"x-other: 2", sent)
        self.assertEqual(sent.count(b"content-length"), 1)
        self.assertEqual(sent.count(b"connection: close"), 1)
        self.assertIsNone(header(head, "Keep-Alive"))
        self.assertIsNone(header(head, "Proxy-Thing"))
        self.assertEqual(header(head, "X-End"), "y")

    def test_bodies(self):
        origin, proxy = self.web()
        data = big_bytes(8 << 20)
        digest = hashlib.sha256(data).hexdigest().encode()
        s = self.client(proxy)
        s.sendall(b"POST http://allowed.test/echo HTTP/1.1\r\nHost: allowed.test\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(data))
        s.sendall(data)
        self.assertEqual(read_response(s)[2], digest)
        s.sendall(b"POST http://allowed.test/echo HTTP/1.1\r\nHost: allowed.test\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n")
        for i in range(0, len(data), 100000):
            part = data[i:i + 100000]
            s.sendall(b"%x\r\n" % len(part) + part + b"\r\n")
        s.sendall(b"0\r\n\r\n")
        self.assertEqual(read_response(s)[2], digest)
        status, _, body, _ = self.get(proxy, f"http://allowed.test/big/{len(data)}")
        self.assertEqual((status, hashlib.sha256(body).hexdigest().encode()), (200, digest))

    def test_slow_reader(self):
        _, proxy = self.web()
        data = big_bytes(6 << 20)
        s = self.client(proxy)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)
        s.sendall(f"GET http://allowed.test/big/{len(data)} HTTP/1.1\r\n"
                  f"Host: allowed.test\r\n\r\n".encode())
        self.assertEqual(read_response(s)[2], data)

    def test_responses_without_a_body(self):
        _, proxy = self.web()
        s = self.client(proxy)
        rest = b""
        for method, path, want in (("HEAD", "/", 200), ("GET", "/204", 204), ("GET", "/304", 304),
                                   ("GET", "/", 200)):
            s.sendall(f"{method} http://allowed.test{path} HTTP/1.1\r\n"
                      f"Host: allowed.test\r\n\r\n".encode())
            status, head, body, rest = read_response(s, method, rest)
            self.assertEqual((status, rest), (want, b""))
        self.assertEqual(body, b"hello")

    def test_framing_of_responses(self):
        _, proxy = self.web()
        self.assertEqual(self.get(proxy, "http://allowed.test/chunked")[2], b"hello")
        self.assertEqual(self.get(proxy, "http://allowed.test/until-close")[2], b"to the end")
        self.assertEqual(self.get(proxy, "http://allowed.test/both")[0], 502)
        self.assertEqual(self.get(proxy, "http://allowed.test/nothing")[0], 502)
        self.assertEqual(self.get(proxy, "http://allowed.test/fake101")[0], 502)
        for path in ("/short", "/bad-chunk"):
            with self.assertRaises((AssertionError, ConnectionError, ValueError), msg=path):
                self.get(proxy, f"http://allowed.test{path}")

    def test_interim_responses(self):
        origin, proxy = self.web()
        s = self.client(proxy)
        s.sendall(b"GET http://allowed.test/interim HTTP/1.1\r\nHost: allowed.test\r\n\r\n")
        status, head, _, rest = read_response(s)
        self.assertEqual((status, header(head, "Link")), (103, "<x>"))
        self.assertEqual(read_response(s, rest=rest)[2], b"ok")
        s.sendall(b"POST http://allowed.test/echo HTTP/1.1\r\nHost: allowed.test\r\n"
                  b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        status, _, _, rest = read_response(s)
        self.assertEqual(status, 100)
        s.sendall(b"abc")
        self.assertEqual(read_response(s, rest=rest)[2],
                         hashlib.sha256(b"abc").hexdigest().encode())

    def test_early_answer(self):
        _, proxy = self.web()
        s = self.client(proxy)
        s.sendall(b"POST http://allowed.test/early HTTP/1.1\r\nHost: allowed.test\r\n"
                  b"Content-Length: 1000000\r\n\r\nsome")
        status, head, body, _ = read_response(s)
        self.assertEqual((status, body, header(head, "Connection")), (413, b"big", "close"))
        self.assertEqual(s.recv(1), b"")

    def test_events_come_when_they_are_sent(self):
        _, proxy = self.web()
        s = self.client(proxy)
        s.sendall(b"GET http://allowed.test/sse HTTP/1.1\r\nHost: allowed.test\r\n\r\n")
        data = b""
        while b"data: one" not in data:
            more = s.recv(65536)
            self.assertTrue(more)
            data += more
        self.assertNotIn(b"two", data)
        GATE.set()
        self.assertIn(b"data: two", data + read_all(s))

    def test_websocket(self):
        origin, proxy = self.web()
        s = self.client(proxy)
        s.sendall(b"GET http://allowed.test/websocket HTTP/1.1\r\nHost: allowed.test\r\n"
                  b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
                  b"Sec-WebSocket-Key: k\r\n\r\n")
        status, head, _, _ = read_response(s)
        self.assertEqual((status, header(head, "Sec-WebSocket-Accept")), (101, "x"))
        s.sendall(b"frame")
        self.assertEqual(s.recv(100), b"FRAME")
        self.assertIn(b"Sec-WebSocket-Key: k", origin.received[0])

    def test_smuggling(self):
        origin, proxy = self.web()
        host = b"Host: allowed.test\r\n"
        start = b"POST http://allowed.test/echo HTTP/1.1\r\n"
        cases = {
            "CL and TE": start + host + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
                         b"0\r\n\r\nGET http://denied.test/ HTTP/1.1\r\n\r\n",
            "two CL": start + host + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            "CL list": start + host + b"Content-Length: 3, 3\r\n\r\nabc",
            "xchunked": start + host + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "TE list": start + host + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "bare LF": b"GET http://allowed.test/ HTTP/1.1\nHost: allowed.test\n\n",
            "obs-fold": start + host + b"X: a\r\n b\r\n\r\n",
            "space before colon": start + host + b"Content-Length : 3\r\n\r\nabc",
            "Host differs": b"GET http://allowed.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n",
            "Host port differs": b"GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test:81\r\n"
                                 b"\r\n",
            "two Hosts": b"GET http://allowed.test/ HTTP/1.1\r\n" + host + host + b"\r\n",
            "no Host": b"GET http://allowed.test/ HTTP/1.1\r\n\r\n",
            "origin-form": b"GET / HTTP/1.1\r\n" + host + b"\r\n",
            "https": b"GET https://allowed.test/ HTTP/1.1\r\n" + host + b"\r\n",
            "HTTP/0.9": b"GET http://allowed.test/\r\n\r\n",
            "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "CONNECT with a body": b"CONNECT allowed.test:443 HTTP/1.1\r\nContent-Length: 3\r\n"
                                   b"\r\nabc",
            "CONNECT Host differs": b"CONNECT allowed.test:443 HTTP/1.1\r\nHost: denied.test:443"
                                    b"\r\n\r\n",
            "NUL in a value": start + host + b"X: a\0b\r\n\r\n",
            "101 headers": start + host + b"X: y\r\n" * 101 + b"\r\n",
            "user name": b"GET http://u:p@allowed.test/ HTTP/1.1\r\n" + host + b"\r\n",
            "fragment": b"GET http://allowed.test/a#b HTTP/1.1\r\n" + host + b"\r\n",
        }
        for what, request in cases.items():
            status, head, _, _ = self.ask(proxy, request)
            self.assertIn(status, (400, 431), what)
            self.assertEqual(header(head, "Connection"), "close", what)
        self.assertEqual(origin.received, [])
        status = self.ask(proxy, b"TRACE http://allowed.test/ HTTP/1.1\r\n" + host + b"\r\n")[0]
        self.assertEqual(status, 405)
        self.assertEqual(origin.received, [])
        # The body decides where the next request begins, and that one is decided like any other.
        s = self.client(proxy)
        s.sendall(start + host + b"Content-Length: 5\r\n\r\nGET /"
                  b"GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n")
        status, _, _, rest = read_response(s)
        self.assertEqual(status, 200)
        self.assertEqual(read_response(s, rest=rest)[0], 403)
        self.assertEqual(len(origin.received), 1)
        self.assertTrue(origin.received[0].endswith(b"\r\n\r\nGET /"))

    def test_broken_chunks(self):
        origin, proxy = self.web()
        start = b"POST http://allowed.test/echo HTTP/1.1\r\nHost: allowed.test\r\n" \
                b"Transfer-Encoding: chunked\r\n\r\n"
        for body in (b"xyz\r\n", b"5\r\nhelloX", b"-1\r\n", b"ffffffffffffffff\r\n",
                     b"0\r\nTrailer: x\r\n\r\n", b"5;" + b"e" * 300 + b"\r\n", b"5\nhello\n0\n\n"):
            self.assertEqual(self.ask(proxy, start + body)[0], 400, body)

    # -- tunnels

    def tunnel_443(self, first, name="allowed.test"):
        origin = self.origin(sink_handler, port=443)
        proxy = self.proxy("allow allowed.test", f"allow {PUBLIC}:443")
        s, status, _, _, rest = self.connect(proxy, f"{name}:443")
        self.assertEqual(status, 200)
        for part in first:
            s.sendall(part)
        return s, origin, proxy, rest

    def test_hello_with_the_right_name(self):
        hello = client_hello("Allowed.test")
        s, origin, _, _ = self.tunnel_443([hello[:1], hello[1:7], hello[7:]])
        self.assertEqual(s.recv(100)[:3], b"GOT")
        self.assertEqual(bytes(origin.received[0]), hello)

    def test_hello_in_two_records(self):
        hello = client_hello("allowed.test")
        body = hello[5:]
        split = b"".join(hello[:3] + struct.pack(">H", len(p)) + p for p in (body[:9], body[9:]))
        s, origin, _, _ = self.tunnel_443([split])
        self.assertEqual(s.recv(100)[:3], b"GOT")
        self.assertEqual(bytes(origin.received[0]), split)

    def test_hello_sent_with_the_request(self):
        origin = self.origin(sink_handler, port=443)
        proxy = self.proxy("allow allowed.test", f"allow {PUBLIC}:443")
        hello = client_hello("allowed.test")
        s = self.client(proxy)
        s.sendall(b"CONNECT allowed.test:443 HTTP/1.1\r\n\r\n" + hello)
        status, _, _, rest = read_response(s, "CONNECT")
        self.assertEqual(status, 200)
        while len(rest) < 3:
            rest += s.recv(100)
        self.assertEqual(bytes(origin.received[0]), hello)

    def test_hello_refused(self):
        good = client_hello("allowed.test")
        for what, hello in (
            ("another name", client_hello("denied.test")),
            ("no name", client_hello(None)),
            ("ECH", add_extension(good, 0xfe0d, b"\0" * 40)),
            ("two names", add_extension(good, 0, b"\0\x09\0\0\x06d.test")),
            ("ssh", b"SSH-2.0-OpenSSH_9\r\n"),
            ("http", b"GET / HTTP/1.1\r\nHost: denied.test\r\n\r\n"),
            ("too long", b"\x16\x03\x01\x40\x00\x01\x00\x50\x00" + b"\0" * 20000),
        ):
            with self.subTest(what):
                s, origin, proxy, rest = self.tunnel_443([hello])
                data = rest + read_all(s)
                self.assertTrue(data == b"" or data[0] == 21, data)  # an alert, or nothing
                record = proxy.wait_record(lambda r: r["verdict"] == "deny")
                self.assertEqual((record["host"], record["port"]), ("allowed.test", 443))
                self.assertEqual(b"".join(bytes(r) for r in origin.received), b"")
                while self.cleanup:
                    self.cleanup.pop()()

    def test_tls_on_another_port_is_checked_too(self):
        origin = self.origin(sink_handler)
        proxy = self.proxy(f"allow allowed.test:{origin.port}", f"allow {PUBLIC}")
        for name, want in (("denied.test", b""), ("allowed.test", b"GOT")):
            s, status, _, _, _ = self.connect(proxy, f"allowed.test:{origin.port}")
            self.assertEqual(status, 200)
            s.sendall(client_hello(name))
            data = s.recv(100)
            self.assertEqual(data[:3] if data[:1] != b"\x15" else b"", want)

    def test_raw_tunnel_and_half_close(self):
        origin = self.origin(upper_handler, port=22)
        proxy = self.proxy("allow allowed.test:22", f"allow {PUBLIC}:22")
        s, status, _, _, rest = self.connect(proxy, "allowed.test:22")
        self.assertEqual(status, 200)
        while b"\r\n" not in rest:  # the server speaks first
            rest += s.recv(100)
        self.assertEqual(rest, b"SSH-2.0-fake\r\n")
        s.sendall(b"hello")
        s.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(s), b"HELLOEND")
        record = proxy.wait_record(lambda r: r["entry"] == "connect")
        self.assertEqual((record["host"], record["port"], record["verdict"], record["bytes_up"],
                          record["bytes_down"]), ("allowed.test", 22, "allow", 5, 22))
        self.assertRegex(record["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_client_that_only_listens(self):
        origin = self.origin(upper_handler)
        proxy = self.proxy(f"allow allowed.test:{origin.port}", f"allow {PUBLIC}")
        s, status, _, _, rest = self.connect(proxy, f"allowed.test:{origin.port}")
        s.shutdown(socket.SHUT_WR)
        self.assertEqual(rest + read_all(s), b"SSH-2.0-fake\r\nEND")

    def test_large_tunnel(self):
        def echo(conn, log):
            while data := conn.recv(1 << 16):
                conn.sendall(data)

        origin = self.origin(echo)
        proxy = self.proxy(f"allow allowed.test:{origin.port}", f"allow {PUBLIC}")
        s, status, _, _, rest = self.connect(proxy, f"allowed.test:{origin.port}")
        data = big_bytes(16 << 20)

        def send():
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)

        threading.Thread(target=send, daemon=True).start()
        self.assertEqual(hashlib.sha256(rest + read_all(s)).digest(),
                         hashlib.sha256(data).digest())

    # -- rules and life

    def wait_status(self, proxy, url, want):
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            status = self.get(proxy, url)[0]
            if status == want:
                return
        self.fail(f"never {want}")

    def test_rules_are_replaced(self):
        origin = self.origin(upper_handler)
        web, proxy = self.web()
        port = origin.port
        proxy.send_rules(rules_text([f"allow origin.test:{port}", f"allow {PUBLIC}"]))
        self.assertEqual(proxy.answer()[0], TAKEN)
        self.assertEqual(self.get(proxy, "http://allowed.test/")[0], 403)
        s, status, _, _, rest = self.connect(proxy, f"origin.test:{port}")
        self.assertEqual(status, 200)
        # A set that does not parse changes nothing.
        proxy.send_rules("allow **\ttest\nallow nonsense here\ttest\n")
        kind, text = proxy.answer()
        self.assertEqual(kind, FAILED)
        self.assertIn(b"line 2", text)
        self.assertEqual(self.get(proxy, "http://allowed.test/")[0], 403)
        # What the new rules do not allow is ended.
        proxy.send_rules(rules_text(["allow allowed.test", f"allow {PUBLIC}:80"]))
        self.assertIn(read_all(s), (b"", b"SSH-2.0-fake\r\n"))
        self.assertEqual(proxy.answer()[0], TAKEN)
        self.assertEqual(self.get(proxy, "http://allowed.test/")[0], 200)
        proxy.wait_record(lambda r: r["reason"] == "the rules changed")

    def test_another_log(self):
        _, proxy = self.web()
        self.assertEqual(self.get(proxy, "http://allowed.test/one")[0], 200)
        proxy.wait_record(lambda r: r["verdict"] == "allow")
        with tempfile.TemporaryFile(mode="a+") as new:
            proxy.send(LOG, 0, [new.fileno()], b"box")
            self.assertEqual(proxy.answer()[0], TAKEN)
            status, _, body, _ = self.get(proxy, "http://denied.test/two")
            self.assertEqual(status, 403)
            self.assertIn(b"ward policy allow --sandbox box denied.test\n", body)
            self.assertEqual(len(proxy.records()), 1)
            new.seek(0)
            self.assertEqual(json.loads(new.read())["host"], "denied.test")

    def test_methods_and_paths(self):
        origin, proxy = self.web()
        for rules in (["allow allowed.test:80 GET,HEAD /repos/**"],
                      ["allow allowed.test", "deny allowed.test POST", "deny allowed.test /x/**",
                       "deny allowed.test /"]):
            proxy.send_rules(rules_text([*rules, f"allow {PUBLIC}:80"]))
            self.assertEqual(proxy.answer()[0], TAKEN)
            before = len(origin.received)
            for method, path, want in (
                ("GET", "/repos/a?q=/../x", 200), ("HEAD", "/repos/a", 200),
                ("POST", "/repos/a", 403), ("GET", "/x/y", 403), ("GET", "/", 403),
                ("GET", "", 403), ("GET", "/repos/../x", 403),
                ("GET", "/repos/%2e%2e/x", 403), ("GET", "/repos//x", 403),
            ):
                status = self.get(proxy, f"http://allowed.test{path}", method=method)[0]
                self.assertEqual(status, want, (rules, method, path))
            self.assertEqual(len(origin.received) - before, 2)
            # What is in a tunnel cannot be seen.
            _, status, _, body, _ = self.connect(proxy, "allowed.test:80")
            self.assertEqual(status, 403)

    def test_rules_about_requests_cut(self):
        """A request under way is judged by its own method and path."""
        _, proxy = self.web()
        GATE.clear()
        s = self.client(proxy)
        s.sendall(b"GET http://allowed.test/sse HTTP/1.1\r\nHost: allowed.test\r\n\r\n")
        while b"one" not in s.recv(65536):
            pass
        proxy.send_rules(rules_text(["allow allowed.test GET /sse", f"allow {PUBLIC}:80"]))
        self.assertEqual(proxy.answer()[0], TAKEN)
        proxy.send_rules(rules_text(["allow allowed.test GET /other", f"allow {PUBLIC}:80"]))
        self.assertEqual(proxy.answer()[0], TAKEN)
        read_all(s)
        GATE.set()
        record = proxy.wait_record(lambda r: r["reason"] == "the rules changed")
        self.assertEqual(record["verdict"], "deny")

    def test_audit(self):
        origin, proxy = self.web()
        proxy.send_rules("audit\nallow allowed.test\tt\ndeny origin.test\tt\n"
                         f"allow {PUBLIC}:80\tt\n")
        self.assertEqual(proxy.answer()[0], TAKEN)
        self.assertEqual(self.get(proxy, "http://allowed.test/")[0], 200)
        self.assertEqual(self.get(proxy, "http://denied.test/")[0], 200)
        self.assertEqual(self.get(proxy, "http://origin.test/")[0], 403)
        self.assertEqual(self.get(proxy, "http://private.test/")[0], 403)
        self.assertEqual(self.get(proxy, "http://single/")[0], 403)
        proxy.wait_record(lambda r: r["host"] == "single")
        verdicts = [(r["host"], r["verdict"]) for r in proxy.records()]
        self.assertEqual(verdicts[:3], [("allowed.test", "allow"), ("denied.test", "would-deny"),
                                        ("origin.test", "deny")])
        self.assertEqual(len(origin.received), 2)

    def test_bad_rules_at_the_start(self):
        proxy = Proxy([], ready=False, raw_rules="allow *.com\ttest\n")
        self.cleanup.append(proxy.stop)
        kind, text = proxy.receive()
        self.assertEqual(kind, FAILED)
        self.assertIn(b"*.com", text)
        self.assertEqual(os.waitstatus_to_exitcode(proxy.wait_exit()), 1)

    def test_end_of_the_supervisor(self):
        origin = self.origin(upper_handler)
        proxy = Proxy([f"allow allowed.test:{origin.port}", f"allow {PUBLIC}"])
        s, status, _, _, _ = self.connect(proxy, f"allowed.test:{origin.port}")
        self.assertEqual(status, 200)
        proxy.wire.close()
        self.assertEqual(os.waitstatus_to_exitcode(proxy.wait_exit()), 0)
        self.assertEqual(proxy.records()[-1]["reason"], "the sandbox was stopped")
        read_all(s)
        proxy.log_file.close()

    def test_confinement(self):
        proxy = self.proxy()
        with open(f"/proc/{proxy.pid}/status") as f:
            status = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
        self.assertEqual(status["Seccomp"].strip(), "2")
        self.assertEqual(status["NoNewPrivs"].strip(), "1")
        self.assertEqual(int(status["CapEff"], 16) | int(status["CapPrm"], 16), 0)

    # -- which program it was

    def program_proxy(self, *rules):
        """A proxy, and the socket on which it asks init whose connections these are."""
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mine.settimeout(WAIT)
        self.cleanup.append(mine.close)
        return self.proxy(*rules, init=theirs), mine

    def asked(self, init):
        data = init.recv(4096)
        kind, _, token, family, protocol, local, remote = struct.unpack("<HHIHHHH", data[:16])
        self.assertEqual((kind, family, len(data)), (PROGRAM_ASK, socket.AF_INET, 48))
        return token, protocol, local, remote

    @staticmethod
    def tell(init, token, pid=None, exe=b"", kind=PROGRAM_IS):
        init.send(struct.pack("<HHI", kind, 0, token) +
                  (b"" if pid is None else struct.pack("<I", pid) + exe))

    def in_time(self, attempt):
        """Until attempt's answer came before the proxy stopped waiting: its record."""
        for _ in range(50):
            record = attempt()
            if record["program"] is not None:
                return record
        raise AssertionError("never in time")

    def test_program_of_a_refusal(self):
        """The refusal comes after the answer, because the program may end with it."""
        exe = b"/tmp/\xff\n\x1b]0;title\x07" + b"x" * 480

        def attempt():
            proxy, init = self.program_proxy()
            s = self.client(proxy)
            s.sendall(b"GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n")
            token, protocol, local, remote = self.asked(init)
            self.assertEqual((protocol, local, remote),
                             (socket.IPPROTO_TCP, s.getsockname()[1], proxy.port))
            self.tell(init, token, 7, exe)
            self.assertEqual(read_response(s)[0], 403)
            # Not asked again for the same connection.
            s.sendall(b"GET http://denied.test/2 HTTP/1.1\r\nHost: denied.test\r\n\r\n")
            self.assertEqual(read_response(s)[0], 403)
            first, second = (r["program"] for r in proxy.records())
            self.assertEqual(first, second)
            return proxy.records()[0]

        program = self.in_time(attempt)["program"]
        self.assertEqual(program, {"pid": 7, "exe": exe.decode(errors="replace")})

    def test_program_of_a_refused_lookup(self):
        def attempt():
            proxy, init = self.program_proxy()
            found = []
            thread = threading.Thread(target=lambda: found.append(proxy.look_up("denied.test")))
            thread.start()
            token, protocol, _, _ = self.asked(init)
            self.assertEqual(protocol, socket.IPPROTO_UDP)
            self.tell(init, token, 9, b"/usr/bin/dig")
            thread.join()
            self.assertEqual(found, [None])
            return proxy.wait_record(lambda r: r["entry"] == "dns")

        program = self.in_time(attempt)["program"]
        self.assertEqual(program, {"pid": 9, "exe": "/usr/bin/dig"})

    def test_program_that_is_told_late(self):
        """What is allowed does not wait for the answer; its record does, and not for ever."""
        self.origin(port=80)
        proxy, init = self.program_proxy("allow allowed.test", f"allow {PUBLIC}:80")
        s = self.client(proxy)
        s.sendall(b"GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n")
        self.assertEqual(read_response(s)[0], 200)
        token, _, _, _ = self.asked(init)
        self.assertIsNone(proxy.wait_record(lambda r: r["host"] == "allowed.test")["program"])
        # Too late, about nothing, too long, of another kind: nothing of it counts.
        self.tell(init, token, 1, b"/late")
        self.tell(init, 0, 1, b"/zero")
        self.tell(init, 0xffffffff, 1, b"/x")
        self.tell(init, token, 1, b"y" * 5000)
        self.tell(init, token, 1, b"z", kind=77)
        s.sendall(b"GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n")
        self.assertEqual(read_response(s)[0], 403)
        self.assertIsNone(proxy.wait_record(lambda r: r["host"] == "denied.test")["program"])

    def test_program_when_init_is_broken(self):
        for broken in (lambda init, token: init.close(),
                       lambda init, token: self.tell(init, token),
                       lambda init, token: self.tell(init, token, 0, b"/nobody"),
                       lambda init, token: self.tell(init, token, 1, b"y" * 513)):
            proxy, init = self.program_proxy()
            s = self.client(proxy)
            s.sendall(b"GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n")
            broken(init, self.asked(init)[0])
            self.assertEqual(read_response(s)[0], 403)
            self.assertIsNone(proxy.wait_record(lambda r: r["host"] == "denied.test")["program"])

    def test_program_is_asked_for_a_few_only(self):
        """However many connections there are, and however slow init is."""
        proxy, init = self.program_proxy()
        for _ in range(300):
            self.client(proxy)
        self.assertEqual(self.get(proxy, "http://denied.test/")[0], 403)
        init.setblocking(False)
        asked = 0
        try:
            while init.recv(4096):
                asked += 1
        except BlockingIOError:
            pass
        self.assertGreater(asked, 0)
        self.assertLess(asked, 200)

    # -- limits

    def test_names_outlive_refusals(self):
        """What an address stands for is not forgotten when something is refused later."""
        _, proxy = self.web()
        address = proxy.look_up("allowed.test")
        self.assertIsNotNone(address)
        time.sleep(2.1)  # what earns another notice is time, and nothing else
        self.assertEqual(self.get(proxy, "http://denied.test/")[0], 403)
        self.assertIsNone(proxy.look_up("denied.test"))
        self.connect(proxy, f"{address}:443")
        proxy.wait_record(lambda r: r["host"] == "allowed.test" and r["port"] == 443)

    def test_many_connections(self):
        origin, proxy = self.web()
        idle = [self.client(proxy) for _ in range(300)]
        for _ in range(3):
            self.assertEqual(self.get(proxy, "http://allowed.test/")[0], 200)
        self.assertEqual(len(idle), 300)

    def test_resets_leave_nothing(self):
        """Connections reset in every state: descriptors go back to what they were, and nothing
        spins."""
        raw = self.origin(upper_handler)
        _, proxy = self.web()
        proxy.send_rules(rules_text(["allow allowed.test:*", f"allow {PUBLIC}", "allow **"]))
        self.names.table["slow.test"] = "drop"
        self.wait_status(proxy, f"http://allowed.test:{raw.port}/", 502)

        def descriptors():
            return len(os.listdir(f"/proc/{proxy.pid}/fd"))

        def cpu():
            with open(f"/proc/{proxy.pid}/stat") as f:
                return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))

        # Sockets that linger after earlier answers go when their clients do.
        while self.cleanup[-1].__self__.__class__ is socket.socket:
            self.cleanup.pop()()
        end = time.monotonic() + WAIT
        before = descriptors()
        requests = (
            b"", b"GET http://al",
            b"GET http://slow.test/ HTTP/1.1\r\nHost: slow.test\r\n\r\n",
            b"GET http://allowed.test/sse HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
            b"GET http://allowed.test/big/9000000 HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
            b"POST http://allowed.test/echo HTTP/1.1\r\nHost: allowed.test\r\n"
            b"Content-Length: 100\r\n\r\nabc",
            b"CONNECT allowed.test:%d HTTP/1.1\r\n\r\n" % raw.port,
            b"CONNECT allowed.test:%d HTTP/1.1\r\n\r\nhello" % raw.port,
            b"GET http://denied.local/ HTTP/1.1\r\nHost: denied.local\r\n\r\n",
        )
        for i in range(40):
            for request in requests:
                s = proxy.connect()
                s.sendall(request)
                if i % 2:
                    select.select([s], [], [], 0.01)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.close()
        GATE.set()
        self.names.table["slow.test"] = None
        while descriptors() > before and time.monotonic() < end:
            time.sleep(0.01)
        self.assertLessEqual(descriptors(), before)
        used = cpu()
        self.assertEqual(self.get(proxy, "http://allowed.test/")[0], 200)
        self.assertLess(cpu() - used, 50)

    def memory(self, proxy, key):
        with open(f"/proc/{proxy.pid}/status") as f:
            return int(re.search(rf"{key}:\s+(\d+) kB", f.read()).group(1)) >> 10

    def slow_client(self, proxy, request):
        s = socket.socket()
        self.cleanup.append(s.close)
        s.settimeout(WAIT)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", proxy.port))
        s.sendall(request)
        return s

    def test_slow_readers_are_bounded(self):
        """What a thousand connections do not read is not kept for each as for one, and all of it
        comes when they read."""
        size = 3 << 20
        body = bytes(size)

        def handler(conn, log):
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            read_head(conn, log)
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            conn.sendall(body)
            conn.recv(1)  # the kernel drops what is left of a closed socket that nobody reads

        self.origin(handler, port=80)
        proxy = self.proxy("allow allowed.test", f"allow {PUBLIC}:80")
        request = b"GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n"
        slow = [self.slow_client(proxy, request) for _ in range(1600)]
        for s in slow:
            s.recv(1, socket.MSG_PEEK)
        # Others are served meanwhile.
        self.assertEqual(self.get(proxy, "http://denied.test/")[0], 403)
        self.assertLess(self.memory(proxy, "VmHWM"), 46)
        for s in slow[:3]:
            self.assertEqual(read_response(s)[2], body)

    def test_heads_that_never_end_are_bounded(self):
        """Beyond the limit requests are refused, and the record says why."""
        _, proxy = self.web()
        denied = b"GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n"
        for _ in range(1100):
            s = self.client(proxy)
            s.sendall(denied)
            if read_response(s)[0] == 503:
                break
            s.sendall(b"GET http://allowed.test/ HTTP/1.1\r\nX: " + b"y" * 65300)
        proxy.wait_record(lambda r: r["verdict"] == "error" and "too many bytes" in r["reason"])
        self.assertLess(self.memory(proxy, "VmHWM"), 100)
        # It recovers.
        while self.cleanup[-1].__self__.__class__ is socket.socket:
            self.cleanup.pop()()
        self.wait_status(proxy, "http://allowed.test/", 200)

    def test_huge_head(self):
        _, proxy = self.web()
        s = self.client(proxy)
        data = b"GET http://allowed.test/ HTTP/1.1\r\n" + b"X: " + b"y" * (1 << 20) + b"\r\n\r\n"
        try:
            s.sendall(data)
        except ConnectionError:
            pass
        self.assertTrue(read_all(s)[:12] in (b"HTTP/1.1 431", b"HTTP/1.1 400"))
        self.assertEqual(self.get(proxy, "http://allowed.test/")[0], 200)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    Proxy.program = os.path.abspath(sys.argv[1])
    enter_namespaces()
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:])


if __name__ == "__main__":
    main()
