#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A program that logs in as agents do, for browser.bats: it listens on loopback, asks for a page that
names this place, waits to be called back, and prints the code that it was given.

usage: login_dance.py OPENER [PORT]
"""

import http.server
import subprocess
import sys
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        self.server.code = query.get("code", [""])[0]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"you may close this page\n")

    def log_message(self, *args):
        pass


server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Handler)
server.code = None
back = urllib.parse.quote(f"http://localhost:{server.server_port}/callback", safe="")
subprocess.run([sys.argv[1], f"https://login.example.com/authorize?client_id=1&redirect_uri={back}&state=x"],
               check=True)
while server.code is None:
    server.handle_request()
server.server_close()
print("code", server.code, flush=True)
