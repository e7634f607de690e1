"""The table format: the hash follows the content, and nothing but the content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nasbench_tab.benchmarks.tablefile import Table, write_table
from nasbench_tab.errors import TableError

from .tablefiles import VALID, hash_of, load, replace


def copy(source: Path, target: Path, libver: str = "earliest", **storage: Any) -> None:
    """Write the same content another way."""
    with h5py.File(source, "r") as old, h5py.File(target, "w", libver=libver) as new:
        new.attrs.update(old.attrs)

        def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                made = new.create_dataset(name, data=item[()], **storage)
            else:
                made = new.require_group(name)
            for key in sorted(item.attrs, reverse=True):
                made.attrs[key] = item.attrs[key]

        old.visititems(visit)


@pytest.mark.parametrize(
    "storage",
    [
        {},
        {"libver": "latest"},
        {"chunks": True},
        {"chunks": True, "compression": "gzip", "compression_opts": 9, "shuffle": True},
        {"chunks": True, "compression": "lzf", "fletcher32": True},
        {"track_times": True},
    ],
)
def test_hash_does_not_depend_on_the_storage(
    synthetic: Table, tmp_path: Path, storage: dict[str, Any]
) -> None:
    digest = write_table(tmp_path, synthetic, {})
    copy(tmp_path / "table.h5", tmp_path / "other.h5", **storage)
    assert (tmp_path / "table.h5").read_bytes() != (tmp_path / "other.h5").read_bytes()
    assert hash_of(tmp_path / "other.h5") == digest


def test_hash_does_not_depend_on_the_byte_order(synthetic: Table, tmp_path: Path) -> None:
    digest = write_table(tmp_path, synthetic, {})
    with h5py.File(tmp_path / "table.h5", "r+") as file:
        for name in ("trainings/curve/metrics/train_seconds", "trainings/curve/seeds"):
            old = file[name]
            values, attributes = old[()], dict(old.attrs)
            del file[name]
            new = file.create_dataset(name, data=values.astype(values.dtype.newbyteorder(">")))
            new.attrs.update(attributes)
            assert new.dtype.byteorder == ">"
    assert hash_of(tmp_path / "table.h5") == digest


def _next_float(file: h5py.File) -> None:
    values = file[VALID][()]
    values[0, 0, 0] = np.nextafter(values[0, 0, 0], np.float32(0))
    file[VALID][()] = values


def _sign_of_zero(file: h5py.File) -> None:
    values = file["static/macs"][()]
    assert values[0] == 0
    values[0] = -0.0
    file["static/macs"][()] = values


def _fill_a_gap(file: h5py.File) -> None:
    values = file[VALID][()]
    values[6, 0, 0] = 50.0
    file[VALID][()] = values


def _swap_two_seeds(file: h5py.File) -> None:
    seeds = "trainings/curve/seeds"
    file[seeds][()] = file[seeds][()][::-1]


ALTERATIONS: dict[str, Callable[[h5py.File], None]] = {
    "next float": _next_float,
    "sign of zero": _sign_of_zero,
    "a gap filled": _fill_a_gap,
    "seeds swapped": _swap_two_seeds,
    "an architecture": lambda f: f["architectures"].write_direct(
        np.full((12, 6), 4, np.uint8), np.s_[3:4], np.s_[3:4]
    ),
    "wider floats": lambda f: replace(f, VALID, f[VALID][()].astype(np.float64)),
    "wider ints": lambda f: replace(
        f, "trainings/curve/epochs", f["trainings/curve/epochs"][()].astype(np.int64)
    ),
    "another shape": lambda f: replace(f, "static/macs", f["static/macs"][()].reshape(12, 1)),
    "a row more": lambda f: replace(f, "static/macs", np.arange(13, dtype=np.float32)),
    "metric renamed": lambda f: f.move(VALID, VALID + "2"),
    "training renamed": lambda f: f.move("trainings/curve", "trainings/curve2"),
    "static renamed": lambda f: f.move("static/macs", "static/flops"),
    "metric removed": lambda f: f.__delitem__(VALID),
    "training removed": lambda f: f.__delitem__("trainings/short"),
    "dataset added": lambda f: f.__setitem__("more", np.zeros(1)),
    "group added": lambda f: f.require_group("more") and None,
    "name": lambda f: f.attrs.__setitem__("name", "another"),
    "by_index": lambda f: f.attrs.__setitem__("by_index", True),
    "default training": lambda f: f.attrs.__setitem__("default_training", "short"),
    "dataset of a training": lambda f: f["trainings/curve"].attrs.__setitem__("dataset", "x"),
    "split": lambda f: f[VALID].attrs.__setitem__("split", "test"),
    "direction": lambda f: f[VALID].attrs.__setitem__("direction", "min"),
    "upper bound": lambda f: f[VALID].attrs.__setitem__("upper", 100.5),
    "note": lambda f: f["static/latency"].attrs.__setitem__("note", "batch of 128"),
    "unit removed": lambda f: f[VALID].attrs.__delitem__("unit"),
    "attribute added": lambda f: f[VALID].attrs.__setitem__("more", 1),
}


@pytest.mark.parametrize("alter", ALTERATIONS.values(), ids=ALTERATIONS)
def test_hash_changes_with_the_content_and_the_table_is_refused(
    synthetic: Table, tmp_path: Path, alter: Callable[[h5py.File], None]
) -> None:
    digest = write_table(tmp_path, synthetic, {})
    with h5py.File(tmp_path / "table.h5", "r+") as file:
        alter(file)
    assert hash_of(tmp_path / "table.h5") != digest
    with pytest.raises(TableError, match=r"is not the table that its manifest describes.*altered"):
        load(tmp_path)


def test_hash_in_the_manifest_must_agree(synthetic: Table, tmp_path: Path) -> None:
    digest = write_table(tmp_path, synthetic, {})
    manifest = tmp_path / "manifest.toml"
    for content in (
        manifest.read_text().replace(digest, digest[:-1] + "g"),
        manifest.read_text().replace(f'hash = "{digest}"\n', ""),
    ):
        manifest.write_text(content)
        with pytest.raises(TableError, match="is not the table that its manifest describes"):
            load(tmp_path)
