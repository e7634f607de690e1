"""The table format: what goes in comes out, table and manifest."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nasbench_tab.benchmarks.tablefile import Column, Table, Training, read_manifest, write_table
from nasbench_tab.errors import TableError
from nasbench_tab.records import Metric

from .tablefiles import bits, hash_of, load

DIGEST = "sha256:1fa70e64e5c200db28dec2ce53a0f3142c1e076e7fc9b0fa209688fe9c651fd3"


# --- round trip -------------------------------------------------------------------------------


def test_round_trip(synthetic: Table, tmp_path: Path) -> None:
    digest = write_table(tmp_path / "new" / "folder", synthetic, {"title": "a table"})
    folder = tmp_path / "new" / "folder"
    assert sorted(file.name for file in folder.iterdir()) == ["manifest.toml", "table.h5"]
    assert bits(load(folder)) == bits(synthetic)
    assert digest == read_manifest(folder)["hash"] == hash_of(folder / "table.h5")


def test_hash_is_pinned(synthetic: Table, tmp_path: Path) -> None:
    """It is the identity of published results: it must not change between releases."""
    assert write_table(tmp_path, synthetic, {}) == DIGEST


def test_writing_twice_gives_the_same_bytes(synthetic: Table, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_table(tmp_path / folder, synthetic, {"title": "t"})
    for name in ("table.h5", "manifest.toml"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_order_of_columns_and_trainings_does_not_matter(synthetic: Table, tmp_path: Path) -> None:
    turned = synthetic._replace(
        trainings={
            label: training._replace(columns=dict(reversed(training.columns.items())))
            for label, training in reversed(synthetic.trainings.items())
        },
        static=dict(reversed(synthetic.static.items())),
    )
    assert write_table(tmp_path / "a", synthetic, {}) == write_table(tmp_path / "b", turned, {})


def test_writing_replaces_a_table(synthetic: Table, tmp_path: Path) -> None:
    first = write_table(tmp_path, synthetic, {"title": "first"})
    second = write_table(tmp_path, synthetic._replace(name="other"), {"title": "second"})
    assert first != second
    assert load(tmp_path).name == "other"
    assert read_manifest(tmp_path)["title"] == "second"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["manifest.toml", "table.h5"]


def test_large_arrays_are_stored_compressed_and_come_back(tmp_path: Path) -> None:
    n, epochs = 2_000, 200
    curves = np.tile(np.arange(n * epochs, dtype=np.float64).reshape(n, 1, epochs) % 91, (1, 2, 1))
    table = minimal(curves, epochs=tuple(range(1, epochs + 1)))
    write_table(tmp_path, table, {})
    assert curves.nbytes > 6_000_000
    assert (tmp_path / "table.h5").stat().st_size < curves.nbytes / 10
    assert bits(load(tmp_path)) == bits(table)


def minimal(
    values: NDArray[Any],
    epochs: tuple[int, ...],
    *,
    static: NDArray[Any] | None = None,
    note: str = "",
    name: str = "minimal",
) -> Table:
    """A table of one metric without bounds."""
    n, n_seeds, _ = values.shape
    numbers = np.arange(n)
    cells = np.stack([numbers // 5**place % 5 for place in range(6)], axis=1).astype(np.uint8)
    metric = Metric("score", "valid", "max", "")
    training = Training(
        "d",
        "score",
        "curve",
        "none",
        tuple(range(n_seeds)),
        epochs,
        {"score": Column(metric, values, note)},
    )
    columns = {} if static is None else {"size": Column(Metric("size", "none", "min", ""), static)}
    return Table(name, "nasbench201", False, cells, {"t": training}, "t", columns)


floats = st.sampled_from([np.float32, np.float64])
shapes = st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 5))
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def elements(dtype: type[np.floating[Any]]) -> st.SearchStrategy[Any]:
    """Any float but the infinities: NaN with every payload, negative zero, subnormals."""
    return hnp.from_dtype(np.dtype(dtype), allow_infinity=False, allow_nan=True)


@settings(max_examples=40)
@given(st.data(), floats, floats, shapes, texts, texts)
def test_any_numbers_and_words_come_back_bit_for_bit(
    data: st.DataObject,
    dtype: type[np.floating[Any]],
    static_dtype: type[np.floating[Any]],
    shape: tuple[int, int, int],
    note: str,
    title: str,
) -> None:
    values = data.draw(hnp.arrays(dtype, shape, elements=elements(dtype)))
    static = data.draw(hnp.arrays(static_dtype, shape[0], elements=elements(static_dtype)))
    table = minimal(values, tuple(range(1, shape[2] + 1)), static=static, note=note)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        digest = write_table(folder, table, {"title": title})
        assert bits(load(folder)) == bits(table)
        manifest = read_manifest(folder)
        assert manifest["title"] == title
        assert manifest["trainings"]["t"]["metrics"]["score"]["note"] == note
        assert write_table(folder, load(folder), {"title": title}) == digest


# --- the manifest -----------------------------------------------------------------------------


def test_manifest_tells_what_is_in_the_table(synthetic: Table, tmp_path: Path) -> None:
    about = {"title": 'A "quoted" \\ title,\nµ ✓', "lacks": ["this", "that"], "year": 2020}
    digest = write_table(tmp_path, synthetic, about)
    manifest = read_manifest(tmp_path)
    assert manifest.items() >= about.items()
    assert manifest["name"] == "synthetic"
    assert manifest["space"] == "nasbench201"
    assert manifest["hash"] == digest
    assert manifest["architectures"] == 12
    assert manifest["default_training"] == "curve"
    curve = manifest["trainings"]["curve"]
    assert curve["dataset"] == "cifar10-valid"
    assert curve["objective"] == "valid_accuracy"
    assert curve["epochs"] == [1, 2, 4]
    assert curve["epochs_kind"] == "curve"
    assert curve["train_seconds"] == "measured"
    assert curve["seeds"] == [7, -1, 3]
    assert curve["trainings_per_seed"] == [9, 10, 10]
    assert curve["metrics"]["valid_accuracy"] == {
        "split": "valid",
        "unit": "%",
        "direction": "max",
        "note": 'with "quotes" \\ ✓',
    }
    assert set(curve["metrics"]) == {"valid_accuracy", "test_accuracy", "train_seconds"}
    assert manifest["trainings"]["short"]["metrics"]["valid_loss"]["direction"] == "min"
    assert manifest["static"]["latency"]["note"] == "batch of 256"


@pytest.mark.parametrize(
    "text", ["\x7f", "\x01", "\x85", "\u2028", "#", "]", "\\u0041", "'''", '"""']
)
def test_manifest_can_hold_any_text(synthetic: Table, tmp_path: Path, text: str) -> None:
    latency = synthetic.static["latency"]._replace(note=text)
    write_table(tmp_path, synthetic._replace(static={"latency": latency}), {"title": text})
    assert read_manifest(tmp_path)["title"] == text
    assert read_manifest(tmp_path)["static"]["latency"]["note"] == text
    assert load(tmp_path).static["latency"].note == text


@pytest.mark.parametrize(
    "about",
    [
        {"title": None},
        {"title": object()},
        {"title": "\ud800"},
        {"hash": "sha256:0"},
        {"name": "another"},
        {"two words": 1},
        {"": 1},
    ],
)
def test_words_that_the_manifest_cannot_hold_are_refused(
    synthetic: Table, tmp_path: Path, about: dict[str, Any]
) -> None:
    """Or the folder could not be read again, or would contradict the table."""
    with pytest.raises(TableError):
        write_table(tmp_path / "t", synthetic, about)
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"hash = ", b"[a]\n[a]\n", b"\0"])
def test_damaged_manifest_is_refused(synthetic: Table, tmp_path: Path, content: bytes) -> None:
    write_table(tmp_path, synthetic, {})
    (tmp_path / "manifest.toml").write_bytes(content)
    with pytest.raises(TableError, match=r"manifest"):
        load(tmp_path)


def test_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"manifest\.toml cannot be read.*needs a manifest\.toml"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.toml").mkdir()
    with pytest.raises(TableError, match=r"manifest\.toml cannot be read"):
        read_manifest(tmp_path)
