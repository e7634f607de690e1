"""How long the official NATS-Bench file takes to import, and how much memory: measured on a synthetic one.

    python tools/bench_nats.py 1000

writes a single file with 1,000 architectures of the topology space in the published layout (every number
another one), imports it, and projects to 15,625. Writing takes longer than reading.
"""

from __future__ import annotations

import argparse
import bz2
import itertools
import pickle
import pickletools
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from importers.official_nats import TSS, TSS_SCHEDULES, V11_SCHEDULES, architecture

from nasbench_tab.importers.nats import import_nasbench201, import_nats_tss

_ALL = 15_625


def main() -> None:
    """Write, import, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, help="architectures")
    parser.add_argument("--pth", action="store_true", help="a .pth file of NAS-Bench-201 instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        name = "NAS-Bench-201-v1_1-synthetic.pth" if options.pth else "NATS-tss.pickle.pbz2"
        path = Path(folder) / name
        size = _write(path, options.n, options.pth)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start, cpu = time.perf_counter(), time.process_time()
        read = import_nasbench201 if options.pth else import_nats_tss
        read(path, Path(folder) / "out", partial=True)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        made = sum(f.stat().st_size for f in Path(folder, "out").rglob("*") if f.is_file())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{options.n} architectures, {path.name}: {size / 1e6:.0f} MB unpacked, tables {made / 1e6:.0f} MB; "
        f"{seconds:.1f} s ({cpu:.1f} s processor time), so {seconds * _ALL / options.n / 60:.1f} minutes for "
        f"{_ALL}; peak memory {peak / 1024:.0f} MiB (before the import {before / 1024:.0f} MiB)"
    )


def _write(path: Path, n: int, pth: bool) -> int:
    """Write a file of ``n`` architectures; return how many bytes it has unpacked."""
    parts = _parts(n, pth)
    size = 0
    with path.open("wb") as file:
        squeeze = None if pth else bz2.BZ2Compressor(1)
        for part in parts:
            size += len(part)
            file.write(squeeze.compress(part) if squeeze else part)
        file.write(squeeze.flush() if squeeze else b"")
    return size


def _parts(n: int, pth: bool) -> Iterator[bytes]:
    """Yield a pickle of ``n`` architectures, whose outer dict is never whole in memory."""
    rng = np.random.default_rng(0)
    texts = [TSS.format(TSS.unindex(i)) for i in range(_ALL)]
    one = architecture(rng, 11, TSS, V11_SCHEDULES if pth else TSS_SCHEDULES)
    template = _Moved(dict(one) if pth else one, pth, texts[11])
    base = 1
    if pth:
        yield b"".join(pickle.dumps(p, 2) for p in (0x1950A86A20F9469CFC6C, 1001, {"little": True}))
    yield b"\x80\x02}q\x00(" if pth else b"\x80\x04}\x94("
    before: list[object] = ["meta_archs", texts, "total_archs", _ALL, "arch2infos", {}]
    after: list[object] = ["evaluated_indexes", set(range(n))]
    for value in before:
        part = _Moved(value, pth)
        yield part.at(base)
        base += part.n_memo
    for index in range(n):
        yield (b"" if index % 1000 else b"(") + b"M" + index.to_bytes(2, "little")
        yield template.at(base, rng, index, texts[index])
        base += template.n_memo
        if index % 1000 == 999 or index == n - 1:
            yield b"u"
    for value in after:
        part = _Moved(value, pth)
        yield part.at(base)
        base += part.n_memo
    yield b"u." + (pickle.dumps([], 2) if pth else b"")


class _Moved:
    """A pickled object whose memo can begin at any number, with other floats each time."""

    def __init__(self, value: object, pth: bool, text: str | None = None) -> None:
        data = pickle.dumps(value, 2 if pth else 4)
        found: list[tuple[Any, Any, Any]] = list(pickletools.genops(data))
        self.n_memo, after_index = 0, False
        names: dict[int, str] = {}
        name: object = None
        self._pieces: list[tuple[str, int, int]] = []  # kind, start and end; or kind, number, 0
        floats, keep, length = [], [], 0
        for (op, argument, start), (_, _, end) in itertools.pairwise(found):
            if op.name in ("PROTO", "FRAME"):
                continue
            if op.name in ("BINGET", "LONG_BINGET"):
                self._pieces.append(("get", argument, 0))
            elif op.name in ("BINPUT", "LONG_BINPUT"):
                self._pieces.append(("put", argument, 0))
                self.n_memo += 1
            elif text is not None and argument == text:
                self._pieces.append(("text", 0, 0))
            elif text is not None and after_index and op.name == "BININT1":
                self._pieces.append(("index", 0, 0))
            else:
                self.n_memo += op.name == "MEMOIZE"
                if op.name == "BINFLOAT" and 0 < argument < 99:
                    floats.append(length + 6)
                keep.append(data[start:end])
                self._pieces.append(("raw", length, length + end - start))
                length += end - start
            if op.name not in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
                name = names.get(argument) if op.name.endswith("GET") else argument
                after_index = name == "arch_index"
            elif isinstance(name, str):
                names[self.n_memo - 1] = name
        self._raw = np.frombuffer(b"".join(keep), np.uint8)
        self._floats = np.array(floats, np.intp)[:, None] + np.arange(3)
        self._pth = pth
        self._merge()

    def _merge(self) -> None:
        merged: list[tuple[str, int, int]] = []
        for piece in self._pieces:
            if piece[0] == "raw" and merged and merged[-1][0] == "raw":
                merged[-1] = ("raw", merged[-1][1], piece[2])
            else:
                merged.append(piece)
        self._pieces = merged

    def at(
        self, base: int, rng: np.random.Generator | None = None, index: int = 0, text: str = ""
    ) -> bytes:
        raw = self._raw.copy()
        if rng is not None:
            raw[self._floats] = rng.integers(0, 256, self._floats.shape, np.uint8)
        data = raw.tobytes()
        encoded = text.encode()
        other = {
            "text": b"X" + len(encoded).to_bytes(4, "little") + encoded
            if self._pth
            else b"\x8c" + bytes([len(encoded)]) + encoded,
            "index": b"M" + index.to_bytes(2, "little"),
        }
        out = []
        for kind, start, end in self._pieces:
            if kind == "raw":
                out.append(data[start:end])
            elif kind == "get":
                out.append(b"j" + (base + start).to_bytes(4, "little"))
            elif kind == "put":
                out.append(b"r" + (base + start).to_bytes(4, "little"))
            else:
                out.append(other[kind])
        return b"".join(out)


if __name__ == "__main__":
    main()
