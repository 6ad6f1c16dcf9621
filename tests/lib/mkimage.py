#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make an OCI image layout of layers, for tests.

usage: mkimage.py DIR TAG [--gzip] [--config JSON] [--docker FILE] LAYER...

LAYER is a tar archive, as it is or compressed (gzip), the lowest first.  --gzip compresses those that
are not.  --config is merged into the image's configuration, whose "config" and "rootfs" members exist.
--docker writes what `docker save` would to FILE as well.  Prints the manifest's digest.
"""
import argparse, gzip, hashlib, io, json, os, platform, sys, tarfile, zlib

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
LAYER = "application/vnd.oci.image.layer.v1.tar"


def put(top, data):
    digest = hashlib.sha256(data).hexdigest()
    path = os.path.join(top, "blobs/sha256", digest)
    if not os.path.exists(path):
        with open(path, "wb") as f:
            f.write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def diff_id(data):
    if data[:2] == b"\x1f\x8b":
        data = zlib.decompressobj(31).decompress(data)  # one member, possibly truncated
    return "sha256:" + hashlib.sha256(data).hexdigest()


def merge(into, more):
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def add_index(top, tag, manifest):
    path = os.path.join(top, "index.json")
    index = {"schemaVersion": 2, "manifests": []}
    if os.path.exists(path):
        with open(path) as f:
            index = json.load(f)
    name = {"org.opencontainers.image.ref.name": tag}
    index["manifests"] = [m for m in index["manifests"] if m.get("annotations") != name]
    index["manifests"].append(dict(manifest, annotations=name))
    with open(path, "w") as f:
        json.dump(index, f)


def save_docker(file, tag, config, layers):
    with tarfile.open(file, "w") as out:
        def add(name, data):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
        names = []
        for i, data in enumerate(layers):
            names.append(f"{i:064x}/layer.tar")
            add(names[-1], gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        add("config.json", config)
        add("manifest.json", json.dumps([{"Config": "config.json", "RepoTags": ["test:" + tag],
                                          "Layers": names}]).encode())


def main():
    p = argparse.ArgumentParser()
    p.add_argument("dir")
    p.add_argument("tag")
    p.add_argument("--gzip", action="store_true")
    p.add_argument("--config", default="{}")
    p.add_argument("--docker")
    p.add_argument("layers", nargs="+")
    a = p.parse_args()
    os.makedirs(os.path.join(a.dir, "blobs/sha256"), exist_ok=True)
    with open(os.path.join(a.dir, "oci-layout"), "w") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    layers, diffs, blobs = [], [], []
    for name in a.layers:
        with open(name, "rb") as f:
            data = f.read()
        diffs.append(diff_id(data))
        if a.gzip and data[:2] != b"\x1f\x8b":
            data = gzip.compress(data, 1, mtime=0)
        blobs.append(data)
        kind = LAYER + ("+gzip" if data[:2] == b"\x1f\x8b" else "")
        layers.append(dict(mediaType=kind, **put(a.dir, data)))
    config = {"architecture": ARCH, "os": "linux", "config": {},
              "rootfs": {"type": "layers", "diff_ids": diffs}}
    merge(config, json.loads(a.config))
    text = json.dumps(config).encode()
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": dict(mediaType="application/vnd.oci.image.config.v1+json", **put(a.dir, text)),
                "layers": layers}
    d = put(a.dir, json.dumps(manifest).encode())
    add_index(a.dir, a.tag, dict(mediaType=manifest["mediaType"], **d))
    if a.docker:
        save_docker(a.docker, a.tag, text, blobs)
    print(d["digest"])


if __name__ == "__main__":
    sys.exit(main())
