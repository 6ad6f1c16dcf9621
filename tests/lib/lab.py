#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small internet in network namespaces, for tests of a box's network.

usage: lab.py DIR [company]         as root; runs until it is killed

Two namespaces: "host", whose only way out is a cable to "internet".  The host has a private address
(10.77.0.2), a resolv.conf that names the internet's name server, and a server on its own loopback.
The internet has servers on addresses that are nobody's special ones (they never leave the
namespace), and on some that are: a neighbour in the host's network, a metadata service.

As a company's, the host has no way out but its neighbours' network and no name server that answers.  On
10.77.0.1 serve proxies (company_proxy.py) with the login me:s3cret: HTTP on port 3128, SOCKS on 1080,
HTTP over TLS on 3129.  Their log is "proxy".

DIR/ready    made when everything serves; holds the process id to enter the host's namespaces by
DIR/log/NAME one line for every connection (or datagram) that a server got; dns: every question
DIR/www      what the web servers serve, made by the test (WWW/HOST/...)
DIR/ca.pem   signs the certificates of all names
"""

import base64
import ctypes
import hashlib
import http.server
import os
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True  # the tree may be somebody else's

from company_proxy import CompanyProxy  # noqa: E402

LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWNET, BIND, PRIVATE = 0x20000, 0x40000000, 0x1000, 0x44000

ALLOWED, DENIED, GIT, OTHER = "203.0.113.10", "203.0.113.20", "203.0.113.30", "203.0.113.40"
NAMESERVER, LAN, METADATA, HOST = "203.0.113.53", "10.77.0.1", "169.254.169.254", "10.77.0.2"
ALLOWED6, DENIED6 = "2a00:77::10", "2a00:77::20"

NAMES = {
    "allowed.test": [ALLOWED, ALLOWED6], "www.allowed.test": [ALLOWED], "denied.test": [DENIED, DENIED6],
    "git.test": [GIT], "raw.test": [OTHER], "only6.test": [ALLOWED6], "lan.test": [LAN],
    "metadata.test": [METADATA], "loop.test": ["127.0.0.1"], "mixed.test": ["127.0.0.1", ALLOWED],
    "gone.test": [OTHER],  # nothing listens on its port 443
    "notallowed.test": [DENIED], "allowed.test.evil.test": [DENIED],
}
TLS_NAMES = ["proxy.company.test", "allowed.test", "www.allowed.test", "denied.test", "git.test", "only6.test", "raw.test"]


def sh(*args):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL)


def log(name, text):
    with open(os.path.join(DIR, "log", name), "a", encoding="utf-8", errors="backslashreplace") as f:
        f.write(text + "\n")


def certificate():
    """A certificate authority, and one certificate for every name."""
    os.chdir(DIR)
    sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
       "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Ward lab")
    sh("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
       "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=lab")
    with open("names", "w", encoding="ascii") as f:
        f.write("subjectAltName=" + ",".join("DNS:" + n for n in TLS_NAMES) + ",IP:" + ALLOWED + "\n")
    sh("openssl", "x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key",
       "-out", "cert.pem", "-days", "2", "-extfile", "names")


# --- servers -------------------------------------------------------------------------------------

class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


class Server6(Server):
    address_family = socket.AF_INET6


class Web(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, directory=os.path.join(DIR, "www"), **kwargs)

    def setup(self):
        super().setup()
        log(self.server.name, "connection")

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        log(self.server.name, f"{self.headers.get('Host') if hasattr(self, 'headers') else None} "
            f"{self.requestline}")

    def do_GET(self):
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self.websocket()
            return
        # What is served depends on who is asked.
        self.path = "/" + (self.headers.get("Host") or "none").split(":")[0] + self.path
        super().do_GET()

    def websocket(self):
        """Echo one short text frame."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        log(self.server.name, "websocket")
        self.wfile.write(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          f"Sec-WebSocket-Accept: {accept}\r\n\r\n").encode())
        head = self.rfile.read(2)
        mask = self.rfile.read(4)
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(head[1] & 0x7f)))
        self.wfile.write(bytes([0x81, len(data)]) + data)
        self.close_connection = True


class Banner(socketserver.BaseRequestHandler):
    """Speaks first, then echoes."""

    def handle(self):
        log(self.server.name, "connection")
        self.request.sendall(b"hello, you first\n")
        while data := self.request.recv(65536):
            log(self.server.name, "got " + repr(data[:100]))
            self.request.sendall(data)


def serve(name, address, port, handler, tls=False):
    cls = Server6 if ":" in address else Server
    server = cls((address, port), handler)
    server.name = name
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("cert.pem", "key.pem")
        context.set_alpn_protocols(["http/1.1"])
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def datagrams(name, address, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))

    def run():
        while True:
            data, _ = sock.recvfrom(65536)
            log(name, repr(data[:100]))
    threading.Thread(target=run, daemon=True).start()


# --- the name server -----------------------------------------------------------------------------

REBIND = [0]


def answer(query):
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
        at += 1 + query[at]
    at += 1
    kind = struct.unpack("!H", query[at:at + 2])[0]
    name = ".".join(labels).lower()
    log("dns", f"{name} {kind}")
    addresses = NAMES.get(name)
    if name.endswith(".wild.test"):
        addresses = [ALLOWED]
    if name == "rebind.test":  # twice public (looked up, connected), then not
        REBIND[0] += kind == 1
        addresses = [ALLOWED if REBIND[0] <= 2 else "127.0.0.1"]
    records = b""
    count = 0
    for a in addresses or []:
        v6 = ":" in a
        if kind == (28 if v6 else 1):
            data = socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, a)
            ttl = 0 if name == "rebind.test" else 60
            records += struct.pack("!HHHIH", 0xc00c, kind, 1, ttl, len(data)) + data
            count += 1
    code = 0x8180 | (3 if addresses is None else 0)
    return query[:2] + struct.pack("!HHHHH", code, 1, count, 0, 0) + query[12:at + 4] + records


def name_server():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((NAMESERVER, 53))

    def run():
        while True:
            data, peer = sock.recvfrom(4096)
            try:
                sock.sendto(answer(data), peer)
            except (IndexError, struct.error):
                log("dns", "malformed")
    threading.Thread(target=run, daemon=True).start()


# --- namespaces ----------------------------------------------------------------------------------

def child(flags, body):
    """A process in namespaces of its own; returns its pid once body() has returned, it then sleeps."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            LIBC.prctl(1, signal.SIGKILL)
            if LIBC.unshare(flags) != 0 or LIBC.mount(b"none", b"/", None, PRIVATE, None) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            sh("ip", "link", "set", "lo", "up")
            os.write(write, b"u")
            body()
            os.write(write, b"r")
            while True:
                signal.pause()
        except BaseException as e:  # pylint: disable=broad-except
            print("lab.py:", repr(e), file=sys.stderr, flush=True)
            os._exit(1)
    os.close(write)
    if os.read(read, 1) != b"u":
        sys.exit("lab.py: no namespaces")
    return pid, read


def wait_for_cable(dev):
    while subprocess.run(["ip", "link", "show", dev], capture_output=True, check=False).returncode != 0:
        time.sleep(0.01)


def company_proxies():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert.pem", "key.pem")
    for port, more in ((3128, {"blocked": ("blocked.test",)}), (1080, {"socks": True}), (3129, {"tls": context})):
        CompanyProxy(LAN, port, lambda host: (NAMES.get(host) or [host])[0], lambda text: log("proxy", text),
                     login=("me", "s3cret"), **more)


def internet():
    wait_for_cable("net0")
    for a in (ALLOWED, DENIED, GIT, OTHER, NAMESERVER, METADATA):
        sh("ip", "addr", "add", a + "/32", "dev", "lo")
    for a in (ALLOWED6, DENIED6):
        sh("ip", "addr", "add", a + "/128", "dev", "lo")
    sh("ip", "addr", "add", LAN + "/24", "dev", "net0")
    sh("ip", "addr", "add", "2a00:77:1::1/64", "dev", "net0", "nodad")
    sh("ip", "link", "set", "net0", "up")
    name_server()
    for name, address in (("allowed", ALLOWED), ("allowed", ALLOWED6), ("denied", DENIED),
                          ("denied", DENIED6), ("git", GIT)):
        serve(name, address, 80, Web)
        serve(name, address, 443, Web, tls=True)
    serve("allowed-8080", ALLOWED, 8080, Web)
    serve("allowed-22", ALLOWED, 22, Banner)
    serve("denied-22", DENIED, 22, Banner)
    serve("raw", OTHER, 7777, Banner)
    serve("raw-tls", OTHER, 7443, Web, tls=True)
    serve("other", OTHER, 7778, Banner)
    serve("metadata", METADATA, 80, Web)
    serve("lan", LAN, 80, Web)
    if COMPANY:
        company_proxies()
    for name, address, port in (("udp", ALLOWED, 443), ("udp", DENIED, 9999), ("udp", NAMESERVER, 5353)):
        datagrams(name, address, port)
    # git over ssh: a login as root whose home is the lab's.
    home = os.path.join(DIR, "ssh-home")
    if os.path.isdir(home) and LIBC.mount(home.encode(), b"/root", None, BIND, None) == 0:
        subprocess.Popen(["dropbear", "-F", "-E", "-s", "-r", os.path.join(DIR, "ssh-key"), "-p", GIT + ":22"],
                         stderr=open(os.path.join(DIR, "log", "ssh"), "w", encoding="utf-8"),
                         preexec_fn=lambda: LIBC.prctl(1, signal.SIGKILL))


def host():
    wait_for_cable("eth0")
    sh("ip", "addr", "add", HOST + "/24", "dev", "eth0")
    sh("ip", "addr", "add", "2a00:77:1::2/64", "dev", "eth0", "nodad")
    sh("ip", "link", "set", "eth0", "up")
    if not COMPANY:
        sh("ip", "route", "add", "default", "via", LAN)
        sh("ip", "-6", "route", "add", "default", "via", "2a00:77:1::1")
    for path, text in (("/etc/resolv.conf", f"nameserver {NAMESERVER}\n"),
                       ("/etc/hosts", f"127.0.0.1 localhost\n{LAN} proxy.company.test lan.company.test\n")):
        mine = os.path.join(DIR, os.path.basename(path))
        with open(mine, "w", encoding="ascii") as f:
            f.write(text)
        if LIBC.mount(mine.encode(), os.path.realpath(path).encode(), None, BIND, None) != 0:
            raise OSError(ctypes.get_errno(), "mount")
    serve("host-loopback", "127.0.0.1", 18080, Web)
    serve("host-address", HOST, 18081, Web)


def main():
    os.makedirs(os.path.join(DIR, "log"))
    certificate()
    net, net_ready = child(NEWNET | NEWNS, internet)
    box, box_ready = child(NEWNET | NEWNS, host)
    sh("ip", "link", "add", "net0", "netns", str(net), "type", "veth", "peer", "name", "eth0", "netns", str(box))
    if os.read(net_ready, 1) != b"r" or os.read(box_ready, 1) != b"r":
        sys.exit("lab.py: a namespace is not ready")
    with open(os.path.join(DIR, "ready.new"), "w", encoding="ascii") as f:
        f.write(f"{box} {net}\n")
    os.rename(os.path.join(DIR, "ready.new"), os.path.join(DIR, "ready"))
    signal.pause()


if __name__ == "__main__":
    DIR = os.path.abspath(sys.argv[1])
    COMPANY = sys.argv[2:] == ["company"]
    main()
