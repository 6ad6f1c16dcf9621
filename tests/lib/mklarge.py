#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make an OCI image of four layers out of two root file systems.

usage: mklarge.py LOWER.tar|- UPPER.tar DIR [LAYER.tar...] [--zstd]

The lowest layer is LOWER; for "-" it is made of UPPER, as if that had been some months ago.  The second one makes UPPER of it: what is new or different, whiteouts for what is
gone.  The third removes and replaces: single files all over, whole directories, an opaque directory, files by
directories and the other way round; no library, so that programs run.  The fourth brings some of that back.
Then come the LAYERs.  The layout has the tag "latest".
"""
import argparse, concurrent.futures, hashlib, io, json, os, shutil, subprocess, sys, tarfile, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import mkimage  # noqa: E402

NOW = 1700000000


def clean(name):
    return os.path.normpath(name.lstrip("/"))


def entries(path):
    """{name: (header, digest of the content)}; of hard links the digest is the target's name."""
    found = {}
    with tarfile.open(path) as tar:
        for t in tar:
            data = t.linkname.encode()
            if t.isreg():
                data = hashlib.sha256(tar.extractfile(t).read()).digest()
            found[clean(t.name)] = (t, data)
    return found


def same(a, b):
    keys = ("type", "mode", "uid", "gid", "size", "mtime", "pax_headers")
    return a[1] == b[1] and all(getattr(a[0], k) == getattr(b[0], k) for k in keys)


def linked_names(all_of):
    """Sets of names of one file, so that none of them is left out of a layer alone."""
    groups = {}
    for name, (t, _) in all_of.items():
        if t.islnk():
            target = clean(t.linkname)
            groups.setdefault(target, {target}).add(name)
    return groups


class Layer:
    """Directories that it has something in have an entry of their own, as engines write it: that of `known`."""

    def __init__(self, path, known):
        self.tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)
        self.known, self.made = known, set()

    def parents(self, name):
        top = os.path.dirname(name)
        if top and top not in self.made:
            self.parents(top)
            t, _ = self.known.get(top, (None, None))
            if t and t.isdir():
                self.tar.addfile(t)
            self.made.add(top)

    def add(self, name, data=b"", **more):
        self.parents(name)
        t = tarfile.TarInfo(name)
        t.size, t.mtime, t.mode = len(data), NOW, 0o644
        for key, value in more.items():
            setattr(t, key, value)
        self.tar.addfile(t, io.BytesIO(data))
        self.made.add(name)

    def whiteout(self, name):
        top, last = os.path.split(name)
        self.add(os.path.join(top, ".wh." + last))

    def copy(self, source, t):
        if clean(t.name) in self.made:
            return
        self.parents(clean(t.name))
        self.made.add(clean(t.name))
        self.tar.addfile(t, source.extractfile(t) if t.isreg() else None)

    def close(self):
        self.tar.close()


def gone(lower, upper):
    """Of LOWER, what UPPER has not; not what is below something that is gone itself."""
    return sorted(n for n in lower if n not in upper and (os.path.dirname(n) in upper or "/" not in n))


def older(upper_tar, out):
    """A root file system without some files of UPPER, with others, and some with other contents or modes."""
    layer = Layer(out, {})
    with tarfile.open(upper_tar) as source:
        linked = {name for names in linked_names(entries(upper_tar)).values() for name in names}
        for at, t in enumerate(source):
            name = clean(t.name)
            plain = t.isreg() and name.startswith("usr/") and name not in linked
            if plain and at % 7 == 0:
                continue
            if plain and at % 11 == 0:
                layer.add(name, b"older\n", mode=0o600, uid=1, gid=2)
                continue
            layer.copy(source, t)
            if plain and at % 13 == 0:
                layer.add(name + ".old", b"goes\n")
            if t.isdir() and at % 3 == 0:
                layer.add(name + "/old", type=tarfile.DIRTYPE, mode=0o711)
                layer.add(name + "/old/file", b"goes, too\n")
    layer.close()


def difference(lower, upper, upper_tar, out):
    changed = {n for n in upper if n not in lower or not same(lower[n], upper[n])}
    for target, names in linked_names(upper).items():
        if names & changed:
            changed |= names | {target}
    layer = Layer(out, upper)
    for name in gone(lower, upper):
        layer.whiteout(name)
    with tarfile.open(upper_tar) as source:
        for t in source:
            if clean(t.name) in changed:
                layer.copy(source, t)
    layer.close()


def removals(upper, out):
    """Returns what to bring back."""
    layer = Layer(out, upper)
    hard = {n for target, names in linked_names(upper).items() for n in names}
    files = sorted(n for n, (t, _) in upper.items() if t.isreg() and n not in hard)
    inside = [n for n in files if n.startswith(("usr/share/", "usr/lib/"))]
    taken = ("usr/share/doc", "usr/share/locale", "usr/share/perl", "usr/share/zoneinfo", "usr/share/man",
             "usr/share/info", "usr/lib/python3")
    single = [n for n in inside if not n.startswith(taken) and ".so" not in n][::17]
    layer.add("usr/share/doc", type=tarfile.DIRTYPE, mode=0o755)
    layer.add("usr/share/doc/.wh..wh..opq")
    layer.add("usr/share/doc/README", b"opaque\n")
    layer.whiteout("usr/share/locale")
    layer.add("usr/share/info", b"a file in place of a directory\n")
    layer.add("usr/share/man", type=tarfile.SYMTYPE, linkname="doc")
    for at, name in enumerate(single):
        if at % 3 == 0:
            layer.whiteout(name)
        elif at % 3 == 1:
            layer.add(name, type=tarfile.DIRTYPE, mode=0o750)
            layer.add(name + "/in", b"a directory in place of a file\n", uid=33, gid=33)
        else:
            layer.add(name, b"replaced\n", mode=0o4755, uid=1000, gid=1000)
    layer.close()
    return single[::6]


def returns(names, upper, upper_tar, out):
    layer = Layer(out, upper)
    wanted = set(names)
    with tarfile.open(upper_tar) as source:
        for t in source:
            name = clean(t.name)
            if name in wanted or name == "usr/share/locale" or name.startswith("usr/share/locale/de"):
                layer.copy(source, t)
    layer.close()


def digest(path):
    with open(path, "rb") as f:
        h = hashlib.sha256()
        while chunk := f.read(1 << 20):
            h.update(chunk)
    return h.hexdigest()


def pack(tar, top, zstd):
    """(descriptor, digest of the archive)"""
    packed = tar + ".packed"
    if zstd:
        command = ["zstd", "-q", "-3", "-T1", "-c"]
    else:
        command = ["pigz", "-n", "-6", "-c"] if shutil.which("pigz") else ["gzip", "-n", "-6", "-c"]
    # By descriptor: zstd passes over links.
    with open(tar, "rb") as source, open(packed, "wb") as f:
        subprocess.run(command, stdin=source, stdout=f, check=True)
    hex_digest = digest(packed)
    size = os.stat(packed).st_size
    os.rename(packed, os.path.join(top, "blobs/sha256", hex_digest))
    return {"mediaType": mkimage.LAYER + ("+zstd" if zstd else "+gzip"), "digest": "sha256:" + hex_digest,
            "size": size}, "sha256:" + digest(tar)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lower")
    parser.add_argument("upper")
    parser.add_argument("dir")
    parser.add_argument("layers", nargs="*")
    parser.add_argument("--zstd", action="store_true")
    args = parser.parse_args()
    os.makedirs(os.path.join(args.dir, "blobs/sha256"))
    with tempfile.TemporaryDirectory(dir=args.dir) as tmp:
        tars = [os.path.join(tmp, str(i)) for i in range(1, 5 + len(args.layers))]
        for given, tar in [(args.lower, tars[0]), *zip(args.layers, tars[4:])]:
            if given != "-":
                os.symlink(os.path.abspath(given), tar)
        if args.lower == "-":
            older(args.upper, tars[0])
        upper = entries(args.upper)
        difference(entries(tars[0]), upper, args.upper, tars[1])
        returns(removals(upper, tars[2]), upper, args.upper, tars[3])
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            packed = list(pool.map(lambda t: pack(t, args.dir, args.zstd), tars))
    config = mkimage.put(args.dir, json.dumps({
        "os": "linux", "architecture": mkimage.ARCH, "created": "2026-01-02T03:04:05Z", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [d for _, d in packed]}}).encode())
    manifest = mkimage.put(args.dir, json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": dict(config, mediaType="application/vnd.oci.image.config.v1+json"),
        "layers": [d for d, _ in packed]}).encode())
    with open(os.path.join(args.dir, "oci-layout"), "w", encoding="utf-8") as f:
        f.write('{"imageLayoutVersion": "1.0.0"}')
    mkimage.add_index(args.dir, "latest", dict(manifest, mediaType="application/vnd.oci.image.manifest.v1+json"))
    print(manifest["digest"])


if __name__ == "__main__":
    main()
