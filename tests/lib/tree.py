#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""List a tree for comparison: one line for each file, sorted.

usage: tree.py [--no-owners] DIR [EXCLUDED...]

Type, mode, owner, group, number of names (files), time, attributes, and for files the digest of the
content, for links the target.  EXCLUDED are paths below DIR that are left out with what is in them;
"-PATH" leaves out only the time of PATH.  Mounts are not entered.  Without owners, file capabilities are
left out, too: who has one id cannot set them outside of a namespace.
"""
import hashlib, os, stat, sys


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while True:
            chunk = f.read(1 << 20)
            if not chunk:
                return h.hexdigest()
            h.update(chunk)


def attributes(path, owners):
    ours = ("user.overlay.", "user.rootlesscontainers") + (() if owners else ("security.",))
    names = [n for n in sorted(os.listxattr(path, follow_symlinks=False)) if not n.startswith(ours)]
    return ",".join(n + "=" + os.getxattr(path, n, follow_symlinks=False).hex() for n in names)


def line(path, name, owners, timeless):
    st = os.lstat(path)
    kind = stat.S_IFMT(st.st_mode)
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        return None
    parts = [name, oct(st.st_mode)]
    if owners:
        parts.append("%d:%d" % (st.st_uid, st.st_gid))
    if kind == stat.S_IFREG:
        parts += [str(st.st_nlink), str(st.st_size), digest(path)]
    if kind == stat.S_IFLNK:
        parts.append(os.readlink(path))
    else:
        parts.append(attributes(path, owners))
    if name not in timeless:
        parts.append(str(int(st.st_mtime)))
    return " ".join(repr(p)[1:-1] for p in parts)


def walk(top, owners, excluded, timeless):
    pending = ["."]
    while pending:
        name = pending.pop()
        path = os.path.join(top, name) if name != "." else top
        if name in excluded or (name != "." and os.path.ismount(path)):
            continue
        text = line(path, name, owners, timeless)
        if text:
            yield text
        if os.path.isdir(path) and not os.path.islink(path):
            below = "" if name == "." else name + "/"
            pending += [below + n for n in os.listdir(path)]


def main():
    args = sys.argv[1:]
    owners = "--no-owners" not in args
    args = [a for a in args if a != "--no-owners"]
    excluded = {a for a in args[1:] if not a.startswith("-")}
    timeless = {a[1:] for a in args[1:] if a.startswith("-")}
    for text in sorted(walk(args[0], owners, excluded, timeless)):
        print(text)


sys.exit(main())
