#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in registry that serves one image, well or badly.

usage: registry.py serve DIR [--address A] [--port N] [--tls CERT KEY] [--auth basic|token]
       registry.py push URL NAME TAG [USER:PASSWORD]     the same image, to a real registry

serve writes its port to DIR/port and one JSON line for every request to DIR/log.  The file DIR/mode,
read at every request, tells how to behave; without it everything is right:

  wrong-digest    the second layer has another byte       truncated     it ends early, as if complete
  too-long        it goes on behind its end               cut           it breaks off in the middle, once
  stall           it stops in the middle and waits        slow          all blobs come slowly
  busy            429 once for every path                 no-range      Range is ignored
  big-manifest    5 MiB of manifest                       index-loop    an index within an index, for ever
  confused        a manifest that is said to be an index  both          members of both
  other-manifest  not the bytes that the digest is of     sha512        a layer with another algorithm
  foreign         a layer with urls                       redirect URL  blobs are at URL
  realm URL       tokens are made at URL                  downgrade     https redirects to http
  empty           it has no blobs                         upload URL    blobs are to be put at URL
"""
import argparse
import base64
import gzip
import hashlib
import http.server
import io
import json
import os
import random
import ssl
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.request

OCI = "application/vnd.oci.image."
USER, PASSWORD, TOKEN = "user", "pass:word", "t0ken.of-the_realm"
BIG = 3_000_000


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(files):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    tar = raw.getvalue()
    return gzip.compress(tar, 1, mtime=0), digest(tar)


def make_image():
    """Always the same bytes: (manifest, index, {digest: blob}, digest of the large layer)."""
    small = layer({"etc/hello": b"hello\n"})
    large = layer({"blob": random.Random(7).randbytes(BIG)})
    config = json.dumps({"os": "linux", "architecture": ARCH, "created": "2026-01-02T03:04:05Z",
                         "config": {"Env": ["A=b"], "Cmd": ["sh"], "Labels": {"k": "v"}},
                         "rootfs": {"type": "layers", "diff_ids": [small[1], large[1]]}}).encode()

    def describe(data, kind):
        return {"mediaType": OCI + kind, "digest": digest(data), "size": len(data)}

    manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
                "config": describe(config, "config.v1+json"),
                "layers": [describe(small[0], "layer.v1.tar+gzip"), describe(large[0], "layer.v1.tar+gzip")]}
    blobs = {digest(b): b for b in (config, small[0], large[0])}
    return manifest, blobs, digest(large[0])


ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
MANIFEST, BLOBS, LARGE = make_image()


def encode(document):
    return json.dumps(document).encode()


def index_of(data, kind="manifest.v1+json"):
    return {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": [
        {"mediaType": OCI + kind, "digest": digest(data), "size": len(data),
         "platform": {"os": "linux", "architecture": ARCH}}]}


def documents(mode):
    """What /manifests/ serves: {digest or tag: (bytes, content type)}."""
    manifest = json.loads(encode(MANIFEST))
    kind = OCI + "manifest.v1+json"
    if mode == "sha512":
        manifest["layers"][0]["digest"] = "sha512:" + "0" * 128
    if mode == "foreign":
        manifest["layers"][0]["urls"] = ["https://example.com/layer"]
    if mode == "both":
        manifest["manifests"] = []
    if mode == "big-manifest":
        manifest["annotations"] = {"a": "x" * (5 << 20)}
    if mode == "confused":
        kind = OCI + "index.v1+json"
    data = encode(manifest)
    all_of = {"v1": (data, kind), digest(data): (data, kind)}
    if mode == "index-loop":
        for _ in range(4):
            data = encode(index_of(data, "index.v1+json" if data != encode(manifest) else "manifest.v1+json"))
            all_of[digest(data)] = (data, OCI + "index.v1+json")
        all_of["v1"] = (data, OCI + "index.v1+json")
    index = encode(index_of(encode(manifest)))
    all_of["multi"] = all_of[digest(index)] = (index, OCI + "index.v1+json")
    if mode == "other-manifest":
        data = encode({**manifest, "annotations": {"evil": "yes"}})
        all_of = {name: (data if name.startswith("sha256:") else text, kind) for name, (text, kind) in all_of.items()}
    return all_of


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args):
        pass

    def mode(self):
        try:
            with open(os.path.join(self.server.dir, "mode"), encoding="utf-8") as f:
                return f.read().split() + [""]
        except FileNotFoundError:
            return ["", ""]

    def note(self):
        line = {"method": self.command, "path": self.path, "authorization": self.headers.get("Authorization"),
                "range": self.headers.get("Range")}
        with self.server.lock, open(os.path.join(self.server.dir, "log"), "a", encoding="utf-8") as f:
            f.write(json.dumps(line) + "\n")

    def answer(self, status, data=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def refuse(self, status, message, **headers):
        self.answer(status, encode({"errors": [{"code": "X", "message": message}]}), **headers)

    def own(self):
        scheme = "https" if self.server.tls else "http"
        return f"{scheme}://{self.headers['Host']}"

    def allowed(self, mode):
        sent = self.headers.get("Authorization")
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.server.auth == "basic":
            if sent != basic:
                self.refuse(401, "who are you", WWW_Authenticate='Basic realm="stand-in"')
                return False
        elif self.server.auth == "token":
            if self.path.startswith("/token"):
                if sent == basic:
                    self.answer(200, encode({"token": TOKEN}))
                else:
                    self.refuse(401, "who are you")
                return False
            if sent != "Bearer " + TOKEN:
                realm = mode[1] if mode[0] == "realm" else self.own() + "/token"
                self.refuse(401, "a token is needed",
                            WWW_Authenticate=f'Bearer realm="{realm}",service="stand-in"')
                return False
        return True

    def send_blob(self, data, mode):
        start, status, headers = 0, 200, {}
        wanted = self.headers.get("Range")
        if wanted and mode[0] != "no-range":
            start = int(wanted[len("bytes="):].rstrip("-"))
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body, size = data[start:], len(data) - start
        if mode[0] == "wrong-digest":
            body = body[:-1] + bytes([body[-1] ^ 1])
        if mode[0] == "truncated":
            body = body[:len(body) // 2]
            size = len(body)
        if mode[0] == "too-long":
            body, size = body + b"more", size + 4
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if self.command == "HEAD":
            return
        if mode[0] == "stall" or (mode[0] == "cut" and self.path not in self.server.cut):
            self.server.cut.add(self.path)
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            self.close_connection = True
            while mode[0] == "stall" and self.mode()[0] == "stall":
                time.sleep(0.05)
            return
        step = max(1, len(body) // 20) if mode[0] == "slow" else len(body)
        for at in range(0, len(body), step):
            self.wfile.write(body[at:at + step])
            if mode[0] == "slow":
                time.sleep(0.02)

    def do_GET(self):
        self.note()
        mode = self.mode()
        if mode[0] == "busy" and self.path not in self.server.cut:
            self.server.cut.add(self.path)
            self.refuse(429, "later", Retry_After="1")
            return
        if not self.allowed(mode):
            return
        name = self.path.rsplit("/", 1)[-1]
        if self.path == "/v2/":
            self.answer(200, b"{}")
        elif "/manifests/" in self.path:
            found = documents(mode[0]).get(name)
            if found:
                named = {"Docker_Content_Digest": digest(found[0])} if mode[0] != "other-manifest" else {}
                self.answer(200, found[0], Content_Type=found[1], **named)
            else:
                self.refuse(404, "manifest unknown\x1b[31m")
        elif "/blobs/" in self.path and name in BLOBS and mode[0] not in ("empty", "upload"):
            if mode[0] in ("redirect", "downgrade"):
                self.answer(307, Location=mode[1] + self.path)
            else:
                bad = name == LARGE or mode[0] in ("slow", "no-range")
                self.send_blob(BLOBS[name], mode if bad else ["", ""])
        else:
            self.refuse(404, "not here")

    do_HEAD = do_GET

    def do_POST(self):
        self.note()
        mode = self.mode()
        if self.allowed(mode):
            base = mode[1] if mode[0] == "upload" else ""
            self.answer(202, Location=f"{base}{self.path}1?state=x")

    def do_PUT(self):
        self.note()
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.allowed(self.mode()):
            if "digest=" in self.path and self.path.split("digest=")[1] != digest(data):
                self.refuse(400, "another digest")
            else:
                self.answer(201, Docker_Content_Digest=digest(data))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_args):
        pass  # clients that go away are what is tested


def serve(args):
    server = Server((args.address, args.port), Handler)
    server.dir, server.auth, server.tls = args.dir, args.auth, bool(args.tls)
    server.lock, server.cut = threading.Lock(), set()
    if args.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*args.tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    temporary = os.path.join(args.dir, "port.tmp")
    with open(temporary, "w", encoding="utf-8") as f:
        f.write(str(server.server_address[1]))
    os.rename(temporary, os.path.join(args.dir, "port"))
    server.serve_forever()


def push(args):
    def request(method, url, data=b"", kind="application/octet-stream"):
        r = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": kind})
        if args.login:
            r.add_header("Authorization", "Basic " + base64.b64encode(args.login.encode()).decode())
        return urllib.request.urlopen(r, timeout=30)

    for name, data in BLOBS.items():
        begun = request("POST", f"{args.url}/v2/{args.name}/blobs/uploads/").headers["Location"]
        request("PUT", f"{begun}{'&' if '?' in begun else '?'}digest={name}", data)
    request("PUT", f"{args.url}/v2/{args.name}/manifests/{args.tag}", encode(MANIFEST), OCI + "manifest.v1+json")


def main():
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(required=True)
    p = verbs.add_parser("serve")
    p.add_argument("dir")
    p.add_argument("--address", default="127.0.0.1")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--tls", nargs=2)
    p.add_argument("--auth", choices=["basic", "token"])
    p.set_defaults(run=serve)
    p = verbs.add_parser("push")
    p.add_argument("url")
    p.add_argument("name")
    p.add_argument("tag")
    p.add_argument("login", nargs="?")
    p.set_defaults(run=push)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    sys.exit(main())
