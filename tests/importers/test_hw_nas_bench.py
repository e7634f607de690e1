"""HW-NAS-Bench: the published figures, both forms of the file, what is refused, and a search on it."""

from __future__ import annotations

import csv
import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Command, compare
from scipy.stats import spearmanr

from nasbench_tab import paths
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import read_manifest, read_table
from nasbench_tab.errors import FormatError, TableError, UnsafePickleError
from nasbench_tab.importers import hw_nas_bench
from nasbench_tab.importers.formats import import_official
from nasbench_tab.importers.hw_nas_bench import METRICS, SHIPPED, import_hw_nas_bench
from nasbench_tab.importers.unpickle import load_plain
from nasbench_tab.registry import table_folder
from nasbench_tab.spaces.convert.nasbench201 import from_index, to_naslib
from nasbench_tab.spaces.nasbench201 import NasBench201

from .fuzzing import refused

SPACE = NasBench201()
SIZE = 15_625

#: The publisher's example: architecture 0 on CIFAR-10.
GOLDEN = {
    "edgegpu_latency": 5.807418537139893,
    "edgegpu_energy": 24.226614330768584,
    "raspi4_latency": 10.481976820010459,
    "edgetpu_latency": 0.9571811309997429,
    "pixel3_latency": 3.6058499999999998,
    "eyeriss_latency": 3.645620000000001,
    "eyeriss_energy": 0.6872827644999999,
    "fpga_latency": 2.57296,
    "fpga_energy": 18.01072,
}


def made_up(seed: int = 0) -> dict[str, Any]:
    """A file as the official one: lists, arrays, a list of networks, another space beside it."""
    rng = np.random.default_rng(seed)
    content: dict[str, Any] = {"nasbench201": {}, "fbnet": {"edgegpu_latency": {"k3_e1": 0.5}}}
    for dataset in SHIPPED:
        metrics: dict[str, Any] = {name: rng.uniform(0.1, 9.0, SIZE).tolist() for name in METRICS}
        metrics["pixel3_latency"] = np.array(metrics["pixel3_latency"])
        metrics["edgetpu_latency"][3] = -1.0
        metrics["config"] = [
            {"name": "infer.tiny", "C": 16, "N": 5, "arch_str": SPACE.format(SPACE.unindex(index))}
            for index in range(SIZE)
        ]
        content["nasbench201"][dataset] = metrics
    return content


@cache
def small() -> bytes:
    content = made_up()
    for metrics in content["nasbench201"].values():
        for name in METRICS:
            metrics[name] = np.arange(SIZE, dtype=np.float32)
        del metrics["config"]
    return pickle.dumps(content, protocol=4)


def written(folder: Path, content: object) -> Path:
    path = folder / "HW-NAS-Bench-v1_0.pickle"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return path


def one_table() -> list[Path]:
    return [table_folder("nb201-cifar10")]


def bench_of(folder: Path) -> TableBenchmark:
    manifest = read_manifest(folder)
    return TableBenchmark(read_table(folder, manifest), SPACE, manifest["hash"], None, manifest)


def test_made_up_pickle_comes_back_exactly(tmp_path: Path) -> None:
    content, seen = made_up(), []
    source = written(tmp_path, content)
    folders = import_official(
        "hw-nas-bench", source, tmp_path / "out", progress=lambda *n: seen.append(n)
    )
    assert [folder.name for folder in folders] == [f"{name}-hw" for name in SHIPPED.values()]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    for dataset, folder in zip(SHIPPED, folders, strict=True):
        bench, plain = bench_of(folder), bench_of(table_folder(SHIPPED[dataset]))
        for name, figure in METRICS.items():
            expected = np.array(content["nasbench201"][dataset][name])
            got = bench.query(np.arange(SIZE), name, mask=True).filled(-1.0)
            assert np.array_equal(got, expected)
            metric = bench.metrics[name]
            assert (metric.split, metric.unit, metric.direction) == (
                "none",
                figure.unit,
                figure.direction,
            )
        assert np.array_equal(bench.query(np.arange(SIZE)), plain.query(np.arange(SIZE)))
        assert set(bench.metrics) == set(plain.metrics) | set(METRICS)
        assert bench.about["citation"][:2] == plain.about["citation"]
        assert "ICLR 2021" in bench.about["citation"][2]
        assert plain.fingerprint in bench.about["origin"]
        assert bench.about["lacks"] == plain.about["lacks"]


def test_published_figures(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "hw-nas-bench" / "hw_cifar10.csv"
    (folder,) = import_hw_nas_bench(source, tmp_path)
    bench = bench_of(folder)
    for name, value in GOLDEN.items():
        assert bench.query(0, name) == value
    unmeasured = bench.query(np.arange(SIZE), "edgetpu_latency", mask=True).mask
    assert int(np.sum(unmeasured)) == 4_699
    with source.open(newline="") as file:
        row = next(r for r in csv.DictReader(file) if r["net"] == "(2, 2, 0, 4, 2, 0)")
    # 0-1 conv3, 0-2 conv3, 0-3 skip, 1-2 pool, 1-3 conv3, 2-3 skip
    cell = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
    assert bench.query(cell, "raspi4_latency") == float(row["raspi4_latency"])


def test_cells_are_where_an_independent_list_has_them(shared_data: Path, tmp_path: Path) -> None:
    """Latency on a desktop GPU, published by others in the official order, goes with that on the edge GPU.

    Were edges or operations read in another order, the two would have little to do with each other.
    """
    folder = shared_data / "hw-nas-bench"
    with zipfile.ZipFile(folder / "1080ti_256.pt") as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("data.pkl"))
        desktop = load_plain(io.BytesIO(archive.read(name)))
    (made,) = import_hw_nas_bench(folder / "hw_cifar10.csv", tmp_path)
    edge = bench_of(made).query(np.arange(SIZE), "fpga_latency")
    assert spearmanr(desktop, edge).statistic > 0.85
    assert spearmanr(np.roll(desktop, 1), edge).statistic < 0.1


def test_a_search_with_a_device_as_second_objective(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path))
    import_hw_nas_bench(written(tmp_path, made_up()), tmp_path / "data", tables=one_table())
    assert "nb201-cifar10-hw" in paths.artefacts("data")
    arguments = compare("--second", "edgegpu_latency", "--runs", "3", budget="40")
    arguments[1], arguments[arguments.index("--strategies") + 1] = (
        "nb201-cifar10-hw",
        "random,nsga2",
    )
    done = command(*arguments)
    assert done.code == 0, done.out + done.err
    assert "hypervolume ratio" in done.out
    assert "edgegpu_latency" in Path("out/experiment.toml").read_text()
    arguments[arguments.index("edgegpu_latency")] = "edgetpu_latency"
    incomplete = command(*arguments)
    assert incomplete.code == 2
    assert "have no edgetpu_latency" in " ".join(incomplete.err.split())


# --- what is refused ----------------------------------------------------------------------------------


def changed(change: Any) -> dict[str, Any]:
    content = pickle.loads(small())  # noqa: S301 - made above
    change(content)
    return dict(content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("nasbench201"), "the key 'nasbench201'"),
        (lambda c: c["nasbench201"].pop("cifar100"), "'cifar100'.*none of them"),
        (lambda c: c["nasbench201"]["cifar10"].pop("fpga_energy"), "expected .*fpga_energy"),
        (lambda c: c["nasbench201"]["cifar10"].update(fpga_energy=[1.0] * 15_624), r"\(15624,\)"),
        (lambda c: c["nasbench201"]["cifar10"].update(fpga_energy={}), "got dict"),
        (lambda c: c["nasbench201"]["cifar10"].update(fpga_energy=["1.0"] * SIZE), "numbers only"),
        (lambda c: c["nasbench201"]["cifar10"].update(fpga_energy=[[1.0]] * SIZE), "numbers only"),
        (lambda c: c["nasbench201"]["cifar10"].update(fpga_energy=[10**400] * SIZE), "too large"),
        (lambda c: c["nasbench201"]["cifar10"].update(fpga_energy=[1.0, -2.0] + [1.0] * 15_623), "record 1: -2.0"),
        (lambda c: c["nasbench201"]["cifar10"].update(fpga_energy=[np.nan] * SIZE), "record 0: nan"),
        (lambda c: c["nasbench201"]["cifar10"].update(fpga_energy=[np.inf] * SIZE), "record 0: inf"),
        (lambda c: c["nasbench201"]["cifar10"].update(config=[{}] * SIZE), "record 0: expected the network"),
        (lambda c: c["nasbench201"]["cifar10"].update(config=["x"]), "a list of 15,625"),
    ],
)  # fmt: skip
def test_a_wrong_pickle_is_refused(tmp_path: Path, change: Any, words: str) -> None:
    source = written(tmp_path, changed(change))
    with pytest.raises(FormatError, match=words) as caught:
        import_hw_nas_bench(source, tmp_path / "out", tables=one_table())
    assert str(source) in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("by_index", [False, True])
def test_another_order_is_refused(tmp_path: Path, by_index: bool) -> None:
    content = made_up()
    for metrics in content["nasbench201"].values():
        metrics["config"] = metrics["config"][::-1]
        if by_index:
            metrics["config"] = dict(enumerate(metrics["config"]))
    with pytest.raises(FormatError, match="order of the official index"):
        import_hw_nas_bench(written(tmp_path, content), tmp_path / "out", tables=one_table())


def test_a_planted_global_is_refused_by_name(tmp_path: Path) -> None:
    class Planted:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("touch planted",)

    content = changed(lambda c: c.update(more=Planted()))
    with pytest.raises(UnsafePickleError, match="system"):
        import_hw_nas_bench(written(tmp_path, content), tmp_path / "out", tables=one_table())
    assert not Path("planted").exists()


def test_a_pickle_without_the_intensity_is_read(tmp_path: Path) -> None:
    def drop(content: dict[str, Any]) -> None:
        for metrics in content["nasbench201"].values():
            del metrics["eyeriss_arithmetic_intensity"]

    (folder,) = import_hw_nas_bench(
        written(tmp_path, changed(drop)), tmp_path / "out", tables=one_table()
    )
    assert set(METRICS) - set(bench_of(folder).metrics) == {"eyeriss_arithmetic_intensity"}


@cache
def lines() -> list[str]:
    return [f'"{to_naslib(from_index(i))}",{",".join(["1.5"] * len(METRICS))}' for i in range(SIZE)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t[1:], "line 1: expected the columns net"),
        (lambda t: t[:-5], "expected all 15,625 cells, got 15,620"),
        (lambda t: [*t, t[-1]], "twice"),
        (lambda t: [*t[:3], t[3] + ",1", *t[4:]], "line 4: expected 11 columns"),
        (lambda t: [*t[:3], t[3].replace("1.5", "fast", 1), *t[4:]], "line 4, edgegpu_latency: .*'fast'"),
        (lambda t: [*t[:3], t[3].replace("1.5", "nan", 1), *t[4:]], "line 4, edgegpu_latency"),
        (lambda t: [*t[:3], t[3].replace("1.5", "-2", 1), *t[4:]], "edgegpu_latency, record"),
        (lambda t: [*t[:3], t[3].replace("(", "(9, "), *t[4:]], "line 4: .* is no cell"),
        (lambda t: [*t[:3], t[3].replace("(", "f("), *t[4:]], "line 4: .* is no cell"),
        (lambda t: [*t[:3], "7" + t[3][t[3].index('",') + 1:], *t[4:]], "line 4: '7' is no cell"),
    ],
)  # fmt: skip
def test_a_wrong_csv_is_refused(tmp_path: Path, change: Any, words: str) -> None:
    path = tmp_path / "hw_cifar10.csv"
    path.write_text("\n".join(change([",".join(["net", *METRICS]), *lines()])) + "\n")
    with pytest.raises(FormatError, match=words):
        import_hw_nas_bench(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "HW-NAS-Bench-v1_0.pickle"
    with path.open("wb") as file:
        file.truncate(2**40)  # takes no room
    with pytest.raises(FormatError, match="It was not read"):
        import_hw_nas_bench(path, tmp_path / "out")


def test_files_that_are_not_there_or_have_another_name(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        import_hw_nas_bench(tmp_path / "none.pickle", tmp_path / "out")
    with pytest.raises(FormatError, match="holds none of"):
        import_hw_nas_bench(tmp_path, tmp_path / "out")
    (tmp_path / "hw_svhn.csv").write_text("net\n")
    with pytest.raises(FormatError, match="read from the name"):
        import_hw_nas_bench(tmp_path / "hw_svhn.csv", tmp_path / "out")
    (tmp_path / "hw_cifar10.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match="as CSV"):
        import_hw_nas_bench(tmp_path / "hw_cifar10.csv", tmp_path / "out")


def test_tables_that_cannot_take_the_figures(tmp_path: Path) -> None:
    source, out = written(tmp_path, small()), tmp_path / "out"
    with pytest.raises(FormatError, match="nbgraph-cora is of nasbench-graph"):
        import_hw_nas_bench(source, out, tables=[*one_table(), table_folder("nbgraph-cora")])
    assert not out.exists()
    (made,) = import_hw_nas_bench(source, out, tables=one_table())
    with pytest.raises(FormatError, match="already"):
        import_hw_nas_bench(source, out, tables=[made])
    (made / "table.h5").write_bytes(b"")
    with pytest.raises(TableError):
        import_hw_nas_bench(source, out, tables=[made])


def read_only(data: bytes, folder: Path) -> None:
    hw_nas_bench._read(written(folder, data))


@pytest.fixture
def three_cells(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A file of three cells only, so that damage hits more than numbers."""
    monkeypatch.setattr(hw_nas_bench, "_SIZE", 3)
    metrics: dict[str, Any] = {name: [1.5, -1.0, 2] for name in METRICS}
    metrics["edgegpu_energy"] = np.array([3.5, 4.5, 5.5])
    metrics["config"] = [{"arch_str": SPACE.format(SPACE.unindex(index))} for index in range(3)]
    return pickle.dumps({"nasbench201": dict.fromkeys(SHIPPED, metrics)}, protocol=4)


@pytest.mark.parametrize(
    "n", [300, pytest.param(10_000, marks=pytest.mark.slow)], ids=["300", "10000"]
)
def test_damaged_pickles_are_refused(tmp_path: Path, three_cells: bytes, n: int) -> None:
    read_only(three_cells, tmp_path)
    count = refused(
        lambda data: read_only(data, tmp_path), three_cells, n, seed=8, limit=64 * 2**20
    )
    assert count >= n // 2  # noise in the numbers themselves is not seen


def test_copies_of_one_list_do_not_fill_the_memory(tmp_path: Path) -> None:
    ordered = pickle.dumps(OrderedDict(nasbench201=OrderedDict()), 4)
    with pytest.raises(FormatError, match="edgegpu_latency"):  # read, but without figures
        read_only(ordered, tmp_path)
    pairs = b"".join(b"M" + struct.pack("<H", i) + b"N\x86" for i in range(5000))
    start = b"\x80\x02]q\x00(ccollections\nOrderedDict\nq\x01]q\x02(" + pairs + b"e"
    tracemalloc.start()
    try:
        with pytest.raises(UnsafePickleError):
            read_only(start + b"h\x01h\x02\x85R" * 400 + b"e.", tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_cut_anywhere(tmp_path: Path, three_cells: bytes) -> None:
    for end in range(len(three_cells)):
        with pytest.raises(FormatError):
            read_only(three_cells[:end], tmp_path)
