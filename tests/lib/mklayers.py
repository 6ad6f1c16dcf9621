#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make layers for tests.

usage: mklayers.py small FILE              a root file system of busybox
       mklayers.py changes FILE...         three layers on top of any root file system: whiteouts, opaque
                                           directories, replacements, links, attributes, owners
       mklayers.py file FILE PATH=TEXT...  a layer with some files (a PATH that ends in / is a directory)
       mklayers.py many FILE N             N small files
"""
import io, sys, tarfile, time

NOW = 1700000000
REG, DIR, SYM, LNK, FIFO = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE,
                            tarfile.FIFOTYPE)
CAP_NET_RAW = b"\x01\0\0\x02\0\x20\0\0" + b"\0" * 12


class Layer:
    def __init__(self, file):
        self.tar = tarfile.open(file, "w", format=tarfile.PAX_FORMAT)
        self.n = 0

    def add(self, name, data=b"", type=REG, mode=None, link="", xattrs=(), **more):
        t = tarfile.TarInfo(name)
        t.type, t.linkname = type, link
        t.mode = mode if mode is not None else 0o755 if type == DIR else 0o644
        t.mtime = NOW + self.n
        self.n += 1
        for key, value in more.items():
            setattr(t, key, value)
        for key, value in xattrs:
            t.pax_headers["SCHILY.xattr." + key] = value.decode("utf-8", "surrogateescape")
        t.size = len(data) if type == REG else 0
        self.tar.addfile(t, io.BytesIO(data) if type == REG else None)

    def close(self):
        self.tar.close()


def small(file):
    layer = Layer(file)
    for name in "bin", "etc", "home", "root", "tmp", "usr", "usr/bin", "var", "var/lib":
        layer.add(name, type=DIR)
    with open("/bin/busybox", "rb") as f:
        layer.add("bin/busybox", f.read(), mode=0o755)
    for name in ("sh ls cat id env stat test true sleep echo touch mkdir rm find head wc readlink printf grep "
                 "sort chmod getfattr ln").split():
        layer.add("bin/" + name, type=SYM, link="busybox")
    # A shell for the agent `shell`.
    layer.add("usr/bin/bash", b'#!/bin/sh\nexec /bin/sh "$@"\n', mode=0o755)
    layer.add("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    layer.add("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    layer.close()


def changes(files):
    one, two, three = (Layer(f) for f in files)
    one.add("t", type=DIR)
    for d in "gone", "opaque", "replaced", "kept":
        one.add("t/" + d, type=DIR)
        one.add(f"t/{d}/below", b"one")
    one.add("t/file-over-dir", type=DIR)
    one.add("t/file-over-dir/x", b"x")
    one.add("t/dir-over-file", b"file")
    one.add("t/link-over-dir", type=DIR)
    one.add("t/link-over-dir/x", b"x")
    one.add("t/dir-over-link", type=SYM, link="kept")
    one.add("t/removed", b"removed")
    one.add("t/back", b"one")
    one.add("t/hard1", b"hard", uid=33, gid=33)
    one.add("t/hard2", type=LNK, link="t/hard1")
    one.add("t/hard3", type=LNK, link="./t/hard1")
    one.add("t/fifo", type=FIFO, mode=0o600)
    one.add("t/setuid", b"#!/bin/sh\n", mode=0o4755)
    one.add("t/setgid", b"#!/bin/sh\n", mode=0o2755, gid=5)
    one.add("t/sticky", type=DIR, mode=0o1777, uid=1000, gid=1000)
    one.add("t/closed", type=DIR, mode=0o000)
    one.add("t/closed/in", b"in", mode=0o000)
    one.add("t/users", b"mine", uid=1000, gid=1000)
    one.add("t/high", b"high", uid=65533, gid=60000)
    one.add("t/xattr", b"x", xattrs=[("user.test", b"value"), ("user.empty", b"")])
    one.add("t/capable", b"#!/bin/sh\n", mode=0o755, xattrs=[("security.capability", CAP_NET_RAW)])
    one.add("t/" + "n" * 200, type=DIR)
    one.add("t/" + "n" * 200 + "/" + "m" * 200, b"long")
    one.add("t/umlaut-\u00e4\u4e2d", b"name")
    one.add("t/old", b"old", mtime=1)
    one.add("t/sub-second", b"s", mtime=1234567890.123456789)
    one.add("t/link", type=SYM, link="/nowhere/at/all", uid=1000, gid=1000)

    two.add("t", type=DIR)
    two.add("t/.wh.gone")
    two.add("t/opaque", type=DIR)
    two.add("t/opaque/.wh..wh..opq")
    two.add("t/opaque/new", b"two")
    two.add("t/replaced", type=DIR)
    two.add("t/replaced/below", b"two")
    two.add("t/.wh.removed")
    two.add("t/.wh.back")
    two.add("t/file-over-dir", b"two")
    two.add("t/dir-over-file", type=DIR, mode=0o700)
    two.add("t/dir-over-file/y", b"two")
    two.add("t/link-over-dir", type=SYM, link="kept")
    two.add("t/.wh.dir-over-link")
    two.add("t/xattr", b"no attributes any more")

    three.add("t", type=DIR, mode=0o751)
    three.add("t/back", b"three")
    three.add("t/dir-over-link", type=DIR)
    three.add("t/dir-over-link/z", b"three")
    three.add("t/opaque", type=DIR)
    three.add("t/opaque/newer", b"three")
    for layer in one, two, three:
        layer.close()


def some(file, args):
    layer = Layer(file)
    for arg in args:
        name, _, text = arg.partition("=")
        layer.add(name, text.encode(), type=DIR if name.endswith("/") else REG)
    layer.close()


def many(file, n):
    layer = Layer(file)
    for i in range(int(n)):
        if i % 100 == 0:
            layer.add(f"many/{i // 100}", type=DIR)
        layer.add(f"many/{i // 100}/{i}", str(i).encode() * 50)
    layer.close()


if __name__ == "__main__":
    verb, rest = sys.argv[1], sys.argv[2:]
    {"small": lambda: small(rest[0]), "changes": lambda: changes(rest), "file": lambda: some(rest[0], rest[1:]),
     "many": lambda: many(*rest)}[verb]()
