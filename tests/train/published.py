"""Small files in the layout of the published datasets, and a way to make them the published ones."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.train import datasets


def publish(monkeypatch: pytest.MonkeyPatch, name: str, contents: dict[str, bytes]) -> None:
    """Make these files and members the published ones; others keep their checksums."""
    source = datasets._SOURCES[name]
    files = []
    for file in source.files:
        members = {
            path: f"{old.partition(':')[0]}:{checksum(old.partition(':')[0], contents[path])}"
            if path in contents
            else old
            for path, old in file.members.items()
        }
        md5 = checksum("md5", contents[file.name]) if file.name in contents else file.md5
        files.append(file._replace(md5=md5, members=members))
    new = source._replace(files=tuple(files), system=())
    monkeypatch.setitem(datasets._SOURCES, name, new)


def checksum(algorithm: str, data: bytes) -> str:
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()


def lay(folder: Path, contents: dict[str, bytes]) -> None:
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


NAMES = [
    f"{part}-{kind}-ubyte"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
]  # fmt: skip


def idx(array: np.ndarray[Any, Any]) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def small_fashion() -> dict[str, bytes]:
    """Three training and two test images, unpacked."""
    pixels = np.random.default_rng(1).integers(0, 256, (5, 28, 28))
    labels = np.array([9, 0, 3, 1, 2])
    return dict(zip(NAMES, map(idx, [pixels[:3], labels[:3], pixels[3:], labels[3:]]), strict=True))


def packed(contents: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in contents.items()}


def python2(value: Any) -> bytes:
    """Return the opcodes that Python 2 wrote for a value with protocol 2."""
    match value:
        case bytes():
            return b"T" + struct.pack("<i", len(value)) + value
        case int():
            return b"J" + struct.pack("<i", value)
        case list():
            return b"](" + b"".join(map(python2, value)) + b"e"
        case tuple():
            return b"(" + b"".join(map(python2, value)) + b"t"
        case dict():
            return b"}(" + b"".join(python2(v) for item in value.items() for v in item) + b"u"
    code, order = value.dtype.str[1:].encode(), value.dtype.str[:1].encode()
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        + python2(value.shape)
        + b"cnumpy\ndtype\n(" + python2(code) + b"K\x00K\x01tR(K\x03" + python2(order)
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + python2(value.tobytes()) + b"tb"
    )  # fmt: skip


def pickled(value: Any) -> bytes:
    return b"\x80\x02" + python2(value) + b"."


CIFAR10 = [f"cifar-10-batches-py/{b}" for b in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")]  # fmt: skip
CIFAR100 = ["cifar-100-python/train", "cifar-100-python/test"]
ARCHIVE = {"cifar10": "cifar-10-python.tar.gz", "cifar100": "cifar-100-python.tar.gz"}
PIXELS = np.random.default_rng(2).integers(0, 256, (12, 3072)).astype(np.uint8)


def small_cifar(name: str) -> dict[str, bytes]:
    """Two images in each batch, in the layout and with the keys of the published files."""
    members = {}
    for i, path in enumerate(CIFAR10 if name == "cifar10" else CIFAR100):
        batch: dict[bytes, Any] = {b"batch_label": b"batch \xe9", b"data": PIXELS[2 * i :][:2]}
        if name == "cifar10":
            batch[b"labels"] = [i, 9]
        else:
            batch |= {b"coarse_labels": [0, 1], b"fine_labels": [i, 99]}
        members[path] = pickled({**batch, b"filenames": [b"a.png", b"b.png"]})
    return members


def tarred(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path, data in {**members, "cifar/readme.html": b"hello"}.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
