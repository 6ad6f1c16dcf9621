#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ward-proxy behind the proxy of a company (lib/company_proxy.py), as a black box.

usage: upstream_test.py PATH-TO-ward-proxy [unittest arguments]

As proxy_test.py, whose namespaces and players it uses.  Verdicts come from the log of the company's
proxy and from the name server: what is refused reaches neither, and what is allowed is asked for by
name, of the proxy only.
"""

import hashlib
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.dont_write_bytecode = True  # the tree may be somebody else's
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from company_proxy import CompanyProxy  # noqa: E402
import proxy_test as base  # noqa: E402
from proxy_test import PUBLIC, WAIT, Proxy, read_all, read_response  # noqa: E402

LOGIN = ("me", "s3cret:@/")
LOGIN_TEXT = "me:s3cret%3a%40%2f"


class UpstreamTest(base.ProxyTest):
    """Of the base class only its tools: its tests are proxy_test.py's."""

    def setUp(self):
        super().setUp()
        self.asked = []

    def company(self, **more):
        more.setdefault("address", "127.0.0.1")
        table = {"up.test": PUBLIC, "blocked.test": PUBLIC, PUBLIC: PUBLIC}
        c = CompanyProxy(port=0, resolve=table.get, log=self.asked.append, **more)
        self.cleanup.append(c.close)
        return c

    def behind(self, scheme, company, *rules, login="", more=""):
        host = "localhost" if scheme == "https" else "127.0.0.1"
        if ":" in company.address:
            host = f"[{company.address}]"
        url = f"{scheme}://{login}{host}:{company.port}"
        return self.proxy(*rules, upstream=f"http {url}\ntls {url}\nother {url}\n{more}")

    def tunnel(self, p, target):
        s = p.connect()
        self.cleanup.append(s.close)
        s.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        return (s,) + read_response(s, "CONNECT")

    def get(self, p, url, method="GET", fields="", body=b""):
        host = url.split("/")[2]
        s = p.connect()
        self.cleanup.append(s.close)
        s.sendall(f"{method} {url} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode() + body)
        return (s,) + read_response(s, method)

    def assert_echo(self, s, rest):
        while b"\n" not in rest:
            rest += s.recv(100)
        self.assertEqual(rest, b"SSH-2.0-fake\r\n")
        s.sendall(b"hello")
        self.assertEqual(s.recv(100), b"HELLO")
        s.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(s), b"END")

    # --- HTTP ------------------------------------------------------------------------------------

    def test_connect_by_name_with_login(self):
        o = self.origin(base.upper_handler)
        p = self.behind("http", self.company(login=LOGIN), f"allow up.test:{o.port}", login=LOGIN_TEXT + "@")
        s, status, _, _, rest = self.tunnel(p, f"up.test:{o.port}")
        self.assertEqual(status, 200)
        self.assert_echo(s, rest)
        self.assertEqual(self.asked, [f"CONNECT up.test:{o.port} as me"])
        self.assertEqual(self.names.asked, [])
        r = p.wait_record(lambda r: r["host"] == "up.test")
        self.assertEqual((r["verdict"], r["address"]), ("allow", None))
        self.assertRegex(r["via"], r"^http://127\.0\.0\.1:\d+$")
        p.log_file.seek(0)
        self.assertNotIn("s3cret", p.log_file.read())

    def test_first_bytes_with_the_answer_are_the_tunnel_s(self):
        o = self.origin(base.sink_handler)
        p = self.behind("http", self.company(extra=b"early"), f"allow up.test:{o.port}")
        s, status, _, _, rest = self.tunnel(p, f"up.test:{o.port}")
        self.assertEqual(status, 200)
        while len(rest) < 5:
            rest += s.recv(100)
        self.assertEqual(rest, b"early")

    def test_denied_never_reaches_it(self):
        p = self.behind("http", self.company(), "allow up.test", "allow **")
        for target in ("up.test:22", "private:443", "metadata.google.internal:443", "10.1.2.3:443",
                       "169.254.169.254:80", "[::1]:443", "localhost:443", f"{PUBLIC}:443"):
            self.assertEqual(self.tunnel(p, target)[1], 403, target)
        for url in ("http://10.1.2.3/", "http://169.254.169.254/latest", "http://localhost/", "http://x.local/"):
            self.assertEqual(self.get(p, url)[1], 403, url)
        self.assertEqual(self.asked, [])
        self.assertEqual(self.names.asked, [])
        # The control: the same proxy is asked for what is allowed.
        self.tunnel(p, "else.test:443")
        self.assertEqual(self.asked, ["CONNECT else.test:443"])

    def test_requests_in_absolute_form(self):
        o = self.origin()
        p = self.behind("http", self.company(login=LOGIN), f"allow up.test:{o.port} GET,POST /echo",
                        login=LOGIN_TEXT + "@")
        url = f"http://up.test:{o.port}/echo"
        _, status, _, body, _ = self.get(p, url, "POST", "Content-Length: 3\r\n"
                                         "Proxy-Authorization: Basic Ym94OmJveA==\r\n", b"abc")
        self.assertEqual((status, body), (200, hashlib.sha256(b"abc").hexdigest().encode()))
        self.assertEqual(self.asked, [f"POST {url} as me"])
        self.assertNotIn(b"Proxy-", o.received[0])
        # Method and path are looked at as ever.
        self.assertEqual(self.get(p, url + "/else")[1], 403)
        self.assertEqual(self.get(p, url, "DELETE")[1], 403)
        self.assertEqual(len(self.asked), 1)
        self.assertEqual(self.names.asked, [])

    def test_websocket_goes_through_connect(self):
        o = self.origin()
        p = self.behind("http", self.company(), f"allow up.test:{o.port}")
        s, status, _, _, _ = self.get(p, f"http://up.test:{o.port}/websocket",
                                      fields="Upgrade: websocket\r\nConnection: Upgrade\r\n")
        self.assertEqual(status, 101)
        s.sendall(b"over")
        self.assertEqual(s.recv(10), b"OVER")
        self.assertEqual(self.asked, [f"CONNECT up.test:{o.port}"])

    def test_its_refusals_are_told_apart_from_ours(self):
        c = self.company(login=LOGIN, blocked=("blocked.test",))
        p = self.behind("http", c, "allow **", login="me:wrong@")
        for got in (self.tunnel(p, "up.test:443"), self.get(p, "http://up.test/")):
            self.assertEqual(got[1], 502)
            self.assertNotIn(b"X-Ward-Denied", got[2])
            self.assertIn(f"the proxy http://127.0.0.1:{c.port} wants other credentials".encode(), got[3])
            self.assertNotIn(b"wrong", got[3])
        r = p.wait_record(lambda r: "407" in r["reason"])
        self.assertEqual((r["verdict"], r["host"]), ("error", "up.test"))
        q = self.behind("http", c, "allow **", login=LOGIN_TEXT + "@")
        _, status, _, body, _ = self.tunnel(q, "blocked.test:443")
        self.assertEqual(status, 502)
        self.assertIn(b"refuses it: 403 Not for you", body)
        _, status, _, body, _ = self.tunnel(q, "unknown.test:443")
        self.assertEqual(status, 502)
        self.assertIn(b"could not reach it: 502 Bad Gateway", body)
        # What it says about a request is for the client to read.
        self.assertEqual(self.get(q, "http://blocked.test/")[1:4:2], (403, b"blocked here"))
        r = q.wait_record(lambda r: r["host"] == "blocked.test")
        self.assertIn("via", r)

    def test_it_cannot_be_reached(self):
        dead = self.company()
        dead.close()
        p = self.behind("http", dead, "allow **")
        _, status, _, body, _ = self.tunnel(p, "up.test:443")
        self.assertEqual(status, 502)
        self.assertIn(b"cannot be reached: Connection refused", body)
        q = self.proxy("allow **", upstream="tls http://nobody.test:1\n")
        _, status, _, body, _ = self.tunnel(q, "up.test:443")
        self.assertEqual(status, 502)
        self.assertIn(b"its name is not known here", body)
        self.assertEqual(set(self.names.asked), {"nobody.test"})

    def raw(self, *parts):
        """Something on a port that answers so, whatever it is told."""
        def handler(conn, log):
            log += conn.recv(65536)
            for part in parts:
                conn.sendall(part)
                time.sleep(0.002)
            # Closed with something unread it would be a reset, and what was said lost.
            conn.shutdown(socket.SHUT_WR)
            read_all(conn)
        return self.origin(handler, address="127.0.0.1")

    def test_answers_in_pieces_and_nonsense(self):
        good = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\nX: y\r\n\r\nrest"
        for parts, status, body in (([bytes([b]) for b in good], 200, None),
                                    ([good], 200, None),
                                    ([b"SSH-2.0-x\r\n\r\n"], 502, b"does not answer in HTTP"),
                                    ([b"HTTP/1.1 200 OK\r\nX"], 502, b"ended the connection"),
                                    ([], 502, b"ended the connection"),
                                    ([b"HTTP/1.1 101 Switching\r\n\r\n"], 502, b"refuses it: 101"),
                                    ([b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"], 502, b"refuses it: 302"),
                                    ([b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000], 502, b"does not answer in HTTP")):
            p = self.behind("http", self.raw(*parts), "allow **:*")
            s, got, _, said, rest = self.tunnel(p, "up.test:99")
            self.assertEqual(got, status, parts[:1])
            if body:
                self.assertIn(body, said)
            else:
                self.assertEqual(rest + read_all(s), b"rest")
            s.close()

    def test_no_proxy_and_services_of_the_host_go_direct(self):
        o = self.origin(base.upper_handler)
        host = self.origin(base.upper_handler, address="127.0.0.1")
        self.names.table["direct.test"] = [PUBLIC]
        p = self.behind("http", self.company(), f"allow direct.test:{o.port}", f"allow {PUBLIC}:{o.port}",
                        f"allow localhost:{host.port}", f"allow up.test:{o.port}",
                        more="no_proxy .direct.test,10.0.0.0/8\n")
        for target in (f"direct.test:{o.port}", f"{PUBLIC}:{o.port}", f"host.ward.internal:{host.port}"):
            s, status, _, _, rest = self.tunnel(p, target)
            self.assertEqual(status, 200, target)
            self.assert_echo(s, rest)
        self.assertEqual(self.asked, [])
        self.assertEqual(set(self.names.asked), {"direct.test"})
        self.assertEqual(self.tunnel(p, f"up.test:{o.port}")[1], 200)
        self.assertEqual(len(self.asked), 1)

    def test_each_kind_has_its_own(self):
        o = self.origin()
        first, second = self.company(), self.company(socks=True)
        p = self.proxy("allow **:*", upstream=f"http http://127.0.0.1:{first.port}\n"
                       f"other socks5://127.0.0.1:{second.port}\n")
        self.names.table["up.test"] = [PUBLIC]
        self.assertEqual(self.get(p, f"http://up.test:{o.port}/")[1], 200)
        self.assertEqual(self.tunnel(p, f"up.test:{o.port}")[1], 200)
        self.assertEqual(self.asked, [f"GET http://up.test:{o.port}/", f"SOCKS up.test:{o.port}"])
        self.assertEqual(self.names.asked, [])
        # None is for port 443: that goes direct.
        self.tunnel(p, "up.test:443")
        self.assertEqual(set(self.names.asked), {"up.test"})

    def test_new_rules_cut_what_goes_through_it(self):
        o = self.origin(base.upper_handler)
        p = self.behind("http", self.company(), f"allow up.test:{o.port}")
        s, _, _, _, rest = self.tunnel(p, f"up.test:{o.port}")
        while b"\n" not in rest:
            rest += s.recv(100)
        p.send_rules(base.rules_text(["allow else.test"]))
        self.assertEqual(p.answer()[0], base.TAKEN)
        self.assertEqual(read_all(s), b"")

    def test_ipv6(self):
        o = self.origin(base.upper_handler)
        try:
            c = self.company(address="::1")
        except OSError:
            self.skipTest("no IPv6")
        p = self.behind("http", c, f"allow up.test:{o.port}")
        s, status, _, _, rest = self.tunnel(p, f"up.test:{o.port}")
        self.assertEqual(status, 200)
        self.assert_echo(s, rest)

    # --- SOCKS -----------------------------------------------------------------------------------

    def test_socks(self):
        o, web = self.origin(base.upper_handler), self.origin()
        for login in (None, LOGIN):
            self.asked.clear()
            p = self.behind("socks5h", self.company(socks=True, login=login, blocked=("blocked.test",)),
                            "allow **:*", login=LOGIN_TEXT + "@" if login else "")
            s, status, _, _, rest = self.tunnel(p, f"up.test:{o.port}")
            self.assertEqual(status, 200)
            self.assert_echo(s, rest)
            self.assertEqual(self.get(p, f"http://up.test:{web.port}/")[1], 200)
            end = " as me" if login else ""
            self.assertEqual(self.asked, [f"SOCKS up.test:{o.port}" + end, f"SOCKS up.test:{web.port}" + end])
            for host, why in (("blocked.test", b"refuses it by its rules"), ("unknown.test", b"could not reach it")):
                _, status, _, body, _ = self.tunnel(p, host + ":443")
                self.assertEqual(status, 502)
                self.assertIn(why, body)
        self.assertEqual(self.names.asked, [])

    def test_socks_login_refused(self):
        c = self.company(socks=True, login=LOGIN)
        for login, why in (("", b"wants a user and a password"), ("me:wrong@", b"wants other credentials")):
            p = self.behind("socks5", c, "allow **", login=login)
            _, status, _, body, _ = self.tunnel(p, "up.test:443")
            self.assertEqual(status, 502)
            self.assertIn(why, body)
            self.assertNotIn(b"wrong", body)
        self.assertEqual(self.asked, [])

    def test_socks_answers_in_pieces_and_nonsense(self):
        for reply, status in ((b"\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00rest", 200),
                              (b"\x05\x00\x05\x00\x00\x04" + bytes(18) + b"rest", 200),
                              (b"\x05\x00\x05\x00\x00\x03\x00\x00\x00rest", 200),
                              (b"\x05\x02", 502), (b"\x04\x5a", 502), (b"\x05\x00\x05\x00\x00\x09", 502),
                              (b"\x05\x00\x05\x09", 502), (b"\x05\x00\x05", 502)):
            for parts in ([reply], [bytes([b]) for b in reply]):
                p = self.behind("socks5", self.raw(*parts), "allow **:*")
                s, got, _, _, rest = self.tunnel(p, "up.test:99")
                self.assertEqual(got, status, reply)
                if got == 200:
                    self.assertEqual(rest + read_all(s), b"rest")

    # --- TLS to the proxy ------------------------------------------------------------------------

    @classmethod
    def certificate(cls):
        """A certificate for localhost, and a server's context; made once."""
        if not hasattr(UpstreamTest, "tls"):
            UpstreamTest.directory = tempfile.TemporaryDirectory(prefix="ward-upstream-test.")
            unittest.addModuleCleanup(cls.directory.cleanup)
            cls.pem = os.path.join(cls.directory.name, "cert.pem")
            key = os.path.join(cls.directory.name, "key.pem")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                            "-nodes", "-keyout", key, "-out", cls.pem, "-days", "2", "-subj", "/CN=localhost",
                            "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
            UpstreamTest.pem = cls.pem
            UpstreamTest.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            UpstreamTest.tls.load_cert_chain(cls.pem, key)
        return cls.tls

    def with_tls(self, *rules, ca=True, **more):
        c = self.company(tls=self.certificate(), **more)
        plain = Proxy.program
        Proxy.program = plain + "-tls"
        try:
            return self.behind("https", c, *rules, more=f"ca {self.pem}\n" if ca else "")
        finally:
            Proxy.program = plain

    def test_tls_tunnels_and_requests(self):
        o, web = self.origin(base.sink_handler), self.origin()
        p = self.with_tls("allow **:*", extra=b"early")
        s, status, _, _, rest = self.tunnel(p, f"up.test:{o.port}")
        self.assertEqual(status, 200)
        while len(rest) < 5:
            rest += s.recv(100)
        self.assertEqual(rest, b"early")
        s.sendall(b"x")
        self.assertEqual(s.recv(3), b"GOT")
        s.close()
        url = f"http://up.test:{web.port}"
        self.assertEqual(self.get(p, url + "/")[3], b"hello")
        self.assertEqual(self.get(p, url + "/until-close")[3], b"to the end")
        data = base.big_bytes(8 << 20)
        self.assertEqual(self.get(p, f"{url}/big/{len(data)}")[3], data)
        digest = hashlib.sha256(data).hexdigest().encode()
        s = p.connect()
        self.cleanup.append(s.close)
        sender = threading.Thread(target=s.sendall, args=(
            f"POST {url}/echo HTTP/1.1\r\nHost: up.test:{web.port}\r\nContent-Length: {len(data)}\r\n\r\n"
            .encode() + data,), daemon=True)
        sender.start()
        self.assertEqual(read_response(s)[2], digest)
        self.assertEqual(self.names.asked, [])

    def test_tls_through_tls(self):
        """A client's own TLS inside of a tunnel inside of TLS, and its end."""
        o = self.origin(base.sink_handler, port=443)
        p = self.with_tls("allow up.test")
        s, status, _, _, _ = self.tunnel(p, "up.test:443")
        self.assertEqual(status, 200)
        hello = base.client_hello("up.test")
        s.sendall(hello)
        self.assertEqual(s.recv(3), b"GOT")
        self.assertEqual(bytes(o.received[0]), hello)
        fds = f"/proc/{p.pid}/fd"
        s.close()
        p.wait_record(lambda r: r["host"] == "up.test")
        end = time.monotonic() + WAIT
        while any("socket" in os.readlink(f"{fds}/{f}") and int(f) > 20 for f in os.listdir(fds)):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def test_tls_certificate_is_checked(self):
        p = self.with_tls("allow **", ca=False)
        _, status, _, body, _ = self.tunnel(p, "up.test:443")
        self.assertEqual(status, 502)
        self.assertIn(b"has a certificate that is not trusted", body)
        plain = self.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        Proxy.program += "-tls"
        try:
            q = self.behind("https", plain, "allow **")
        finally:
            Proxy.program = Proxy.program.removesuffix("-tls")
        _, status, _, body, _ = self.tunnel(q, "up.test:443")
        self.assertEqual(status, 502)
        self.assertIn(b"does not speak TLS", body)
        self.assertEqual(self.asked, [])

    def test_bad_settings_are_no_start(self):
        for text in ("tls ftp://me:secret@x\n", "nonsense\n", "tls https://x\n"):
            p = Proxy(["allow **"], ready=False, upstream=text)
            kind, payload = p.receive()
            self.assertEqual(kind, base.FAILED)
            self.assertNotIn(b"secret", payload)
            p.wire.close()
            p.wait_exit()
            p.log_file.close()


def load_tests(loader, _tests, _pattern):
    """The class has its base's tests too: those are not meant."""
    own = [name for name in loader.getTestCaseNames(UpstreamTest) if name in vars(UpstreamTest)]
    return unittest.TestSuite(UpstreamTest(name) for name in own)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    Proxy.program = os.path.abspath(sys.argv[1])
    base.enter_namespaces()
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:])


if __name__ == "__main__":
    main()
