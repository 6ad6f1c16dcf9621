#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The relay of ports as a black box: ward-ports, with a supervisor and an init played over its sockets.

usage: ports_test.py PATH-TO-ward-ports [unittest arguments]

The init here is a hostile one: what it hands out as "a connection inside" must be a TCP socket of the
network namespace that the supervisor named, or nothing passes.  The verdict is what the far end gets.
"""

import os
import socket
import struct
import subprocess
import sys
import unittest

BOX, GO, LISTEN, CLOSE, READY, FAILED = 1, 2, 3, 4, 64, 65
CONNECT, SOCKET = 1, 2
SO_NETNS_COOKIE = 71


def message(sock, kind, arg=0, payload=b"", fds=()):
    socket.send_fds(sock, [struct.pack("=HHI", kind, 0, arg) + payload], list(fds))


class Relay(unittest.TestCase):
    def start(self, change=0):
        self.wire, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.init, init = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.service = socket.create_server(("127.0.0.1", 0))
        cookie = struct.unpack("=Q", self.service.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8))[0]
        self.child = subprocess.Popen([PROGRAM], pass_fds=[3], preexec_fn=lambda: os.dup2(theirs.fileno(), 3))
        for s in (self.wire, self.init, self.service):
            s.settimeout(20)
        message(self.wire, BOX, 0, struct.pack("=Q", cookie + change), [init.fileno()])
        message(self.wire, LISTEN, 7, struct.pack("=H", 3000), [self.listener.fileno()])
        message(self.wire, GO)
        theirs.close()
        init.close()
        self.assertEqual(struct.unpack("=HHI", self.wire.recv(65536)[:8])[0], READY)

    def tearDown(self):
        self.child.kill()
        self.child.wait()
        for s in (self.wire, self.init, self.listener, self.service):
            s.close()

    def ask(self):
        """A client connects: what init is asked for."""
        client = socket.create_connection(self.listener.getsockname(), timeout=20)
        kind, _, token, family, port = struct.unpack("=HHIHH", self.init.recv(65536))
        self.assertEqual((kind, family, port), (CONNECT, socket.AF_INET, 3000))
        return client, token

    def refused(self, client):
        with self.assertRaises(ConnectionResetError):
            client.sendall(b"x")
            client.recv(1)
            client.recv(1)
        client.close()

    def test_passes_bytes_of_the_box(self):
        self.start()
        client, token = self.ask()
        with client, socket.create_connection(self.service.getsockname()) as inside:
            message(self.init, SOCKET, token, b"", [inside.fileno()])
            far, _ = self.service.accept()
            with far:
                client.sendall(b"ping")
                self.assertEqual(far.recv(4), b"ping")
                far.sendall(b"pong")
                self.assertEqual(client.recv(4), b"pong")
                # The end of the port is the end of its connections.
                message(self.wire, CLOSE, 7)
                with self.assertRaises(ConnectionResetError):
                    client.recv(1)

    def test_takes_no_socket_of_another_namespace(self):
        self.start(change=1)
        client, token = self.ask()
        with socket.create_connection(self.service.getsockname()) as inside:
            message(self.init, SOCKET, token, b"", [inside.fileno()])
            self.refused(client)
            far, _ = self.service.accept()
        with far:
            self.assertEqual(far.recv(1), b"")

    def test_takes_nothing_but_a_stream_of_that_family(self):
        self.start()
        pair = socket.socketpair()
        others = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM), self.service, pair[0],
                  socket.socket(socket.AF_INET6, socket.SOCK_STREAM)]
        for other in others:
            client, token = self.ask()
            message(self.init, SOCKET, token, b"", [other.fileno()])
            self.refused(client)
        with open("/dev/null", "rb") as f:
            client, token = self.ask()
            message(self.init, SOCKET, token, b"", [f.fileno()])
            self.refused(client)
        for s in others[:1] + others[3:] + list(pair):
            s.close()

    def test_asks_for_ipv6_when_ipv4_is_refused_and_then_resets(self):
        self.start()
        client, token = self.ask()
        message(self.init, SOCKET, token)
        _, _, again, family, _ = struct.unpack("=HHIHH", self.init.recv(65536))
        self.assertEqual(family, socket.AF_INET6)
        message(self.init, SOCKET, token)  # an old answer means nothing
        message(self.init, SOCKET, again)
        self.refused(client)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
