# SPDX-License-Identifier: Apache-2.0
"""ZIP files that must be refused, and one that must not.

usage: hostile_zip.py DIR    DIR/NAME.zip and DIR/list: lines of NAME, tab, a part of the message
"""

import os
import struct
import sys
import zlib

SPEC = b'schemaVersion: "2"\nkind: mixin\nname: m\n'
UNIX_FILE = 0o100644 << 16


class Entry:
    def __init__(self, name, data=b"", **changes):
        self.name = name if isinstance(name, bytes) else name.encode()
        self.data = data
        self.set = changes

    def get(self, key, value):
        return self.set.get(key, value)


def archive(entries, gap=b"", front=b"", comment=b"", end=None, tail=b""):
    """Each Entry may change what its headers say: local_NAME and central_NAME, or NAME for both."""
    out = bytearray(front)
    central = bytearray()
    for e in entries:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        method = e.get("method", 8)
        packed = packer.compress(e.data) + packer.flush() if method == 8 else e.data
        packed = e.get("packed", packed)
        offset = e.get("offset", len(out))

        def value(where, key, default):
            return e.get(where + "_" + key, e.get(key, default))

        def fields(where):
            return struct.pack(
                "<HHHHHIII",
                value(where, "version", 20),
                value(where, "flags", 0),
                value(where, "method", method),
                0,
                0,
                value(where, "crc", zlib.crc32(e.data)),
                value(where, "packed_size", len(packed)),
                value(where, "size", len(e.data)),
            )

        name = value("local", "name", e.name)
        extra = value("local", "extra", b"")
        if "offset" not in e.set:
            out += b"PK\3\4" + fields("local") + struct.pack("<HH", len(name), len(extra))
            out += name + extra + packed + e.get("descriptor", b"") + gap
        extra = value("central", "extra", b"")
        central += b"PK\1\2" + struct.pack("<H", e.get("made_by", 3 << 8 | 20)) + fields("central")
        central += struct.pack("<HHHHHII", len(e.name), len(extra), 0, e.get("disk", 0), 0,
                               e.get("attributes", UNIX_FILE), offset) + e.name + extra
    start = len(out)
    record = dict(disk=0, count=len(entries), size=len(central), start=start, comment=len(comment))
    record.update(end or {})
    out += central
    out += b"PK\5\6" + struct.pack("<HHHHIIH", record["disk"], record["disk"], record["count"],
                                   record["count"], record["size"], record["start"],
                                   record["comment"]) + comment + tail
    return bytes(out)


def spec(**changes):
    return Entry("spec.yaml", SPEC, **changes)


def home(name, **changes):
    return Entry(name, b"data", **changes)


BAD = {
    "empty": (b"PK", "too short"),
    "no-end": (b"PK" + b"\0" * 100, "no end record"),
    "parent": (archive([spec(), home("files/home/../../x")]), "a part '.' or '..'"),
    "dot": (archive([spec(), home("./spec.yaml")]), "a part '.' or '..'"),
    "absolute": (archive([spec(), home("/etc/x")]), "absolute or has an empty part"),
    "double-slash": (archive([spec(), home("files//x")]), "absolute or has an empty part"),
    "backslash": (archive([spec(), home("files\\home\\x")]), "a backslash"),
    "nul": (archive([spec(), home(b"files/home/a\0b")]), "not UTF-8"),
    "control": (archive([spec(), home("files/home/a\x1bb")]), "a control character"),
    "latin1": (archive([spec(), home(b"files/home/\xe9")]), "not UTF-8"),
    "no-name": (archive([spec(), home("")]), "its name is empty"),
    "long-name": (archive([spec(), home("files/home/" + "x" * 300)]), "too long or too deep"),
    "deep": (archive([spec(), home("files/home/" + "x/" * 40 + "x")]), "too long or too deep"),
    "symlink": (archive([spec(), home("files/home/x", attributes=0o120777 << 16)]), "a link or a device"),
    "device": (archive([spec(), home("files/home/x", attributes=0o020666 << 16)]), "a link or a device"),
    "twice": (archive([spec(), home("files/home/x"), home("files/home/x")]), "there twice"),
    "spec-twice": (archive([spec(), spec()]), "there twice"),
    "below-file": (archive([spec(), home("files/home/x"), home("files/home/x/y")]), "below a file"),
    "file-and-dir": (archive([spec(), home("files/home/x"), Entry("files/home/x/", method=0)]), "'files/home/x/'"),
    "dir-with-data": (archive([spec(), home("files/home/x/", attributes=0)]), "a directory with contents"),
    "encrypted": (archive([spec(flags=1)]), "encrypted"),
    "strong": (archive([spec(flags=1 << 6)]), "encrypted"),
    "method": (archive([spec(method=14)]), "neither 'stored' nor 'deflate'"),
    "version": (archive([spec(version=45)]), "a later version"),
    "zip64-extra": (archive([spec(central_extra=struct.pack("<HHQ", 1, 8, 5))]), "ZIP64"),
    "zip64-size": (archive([spec(central_size=0xFFFFFFFF)]), "ZIP64"),
    "zip64-count": (archive([spec()], end={"count": 0xFFFF}), "too many entries"),
    "unicode-path": (archive([spec(central_extra=struct.pack("<HH", 0x7075, 4) + b"evil")]), "a second name"),
    "extra": (archive([spec(local_extra=b"\1")]), "extra field is damaged"),
    "names-differ": (archive([spec(local_name=b"evil.yaml")]), "two headers differ"),
    "sizes-differ": (archive([spec(local_size=5)]), "two headers differ"),
    "crc-differs": (archive([spec(local_crc=5)]), "two headers differ"),
    "flags-differ": (archive([spec(local_flags=2)]), "two headers differ"),
    "crc": (archive([spec(crc=5)]), "checksum is wrong"),
    "damaged": (archive([spec(packed=b"\7" * 20)]), "bytes are damaged"),
    "longer": (archive([spec(size=len(SPEC) + 1)]), "bytes are damaged"),
    "shorter": (archive([spec(size=len(SPEC) - 1)]), "bytes are damaged"),
    "stored-sizes": (archive([spec(method=0, packed_size=3)]), "two sizes differ"),
    "overlap": (archive([spec(), home("files/home/x", offset=0)]), "two headers differ"),
    "same-bytes": (archive([spec(), Entry("spec.yaml", SPEC, offset=0)]), "there twice"),
    "gap": (archive([spec(), home("files/home/x")], gap=b"!"), "a gap in front of it"),
    "front": (archive([spec()], front=b"PK, and more"), "a gap in front of it"),
    "far-offset": (archive([spec(), home("files/home/x", offset=0x7FFFFFFF)]), "not where it should be"),
    "descriptor": (archive([spec(flags=8, local_crc=0, local_packed_size=0, local_size=0)]), "sizes behind its bytes"),
    "central-size": (archive([spec()], end={"size": 10}), "central directory is not where"),
    "central-start": (archive([spec()], end={"start": 1}), "central directory is not where"),
    "count-less": (archive([spec(), home("files/home/x")], end={"count": 1}), "central directory is damaged"),
    "count-more": (archive([spec()], end={"count": 2}), "central directory is damaged"),
    "disk": (archive([spec()], end={"disk": 1}), "several disks"),
    "entry-disk": (archive([spec(disk=1)]), "several disks"),
    "comment": (archive([spec()], comment=b"x", end={"comment": 0}), "its comment"),
    "end-in-comment": (archive([spec()], comment=archive([spec()])[-22:] + b"x"), "its comment"),
    "tail": (archive([spec()], tail=b"x"), "its comment"),
    "bomb": (archive([spec(), Entry("files/home/x", b"\0" * (65 << 20))]), "larger than"),
    "bomb-lies": (archive([spec(), Entry("files/home/x", b"\0" * (65 << 20), size=100)]), "bytes are damaged"),
    "bomb-many": (archive([spec()] + [Entry("files/home/%d" % i, b"\0" * (8 << 20)) for i in range(9)]), "larger than"),
    "many": (archive([spec()] + [Entry("files/home/%d" % i, b"x") for i in range(1000)]), "more than 1000 files"),
    "very-many": (archive([spec()] + [Entry("x/%d" % i, b"x") for i in range(4096)]), "too many entries"),
    "no-spec": (archive([home("files/home/x")]), "no spec.yaml"),
    "one-file": (archive([home("x")]), "no spec.yaml"),
    "spec-not-yaml": (archive([Entry("spec.yaml", b"a: [")]), "not valid YAML"),
}

GOOD = archive([spec(), Entry("files/", method=0, attributes=0o040755 << 16), home("files/home/x")], comment=b"hello")


def main():
    top = sys.argv[1]
    os.makedirs(top)
    with open(os.path.join(top, "list"), "w", encoding="ascii") as names:
        for name, (data, why) in BAD.items():
            with open(os.path.join(top, name + ".zip"), "wb") as f:
                f.write(data)
            print(name, why, sep="\t", file=names)
    with open(os.path.join(top, "good.zip"), "wb") as f:
        f.write(GOOD)


main()
