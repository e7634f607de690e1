"""A surrogate with networks that pass messages: the same contract, and answers without PyTorch."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fitting.made_up import SETTINGS, large_space, observed

import nasbench_tab.train
from nasbench_tab.benchmarks.surrogate import SurrogateBenchmark
from nasbench_tab.errors import SurrogateError, TrainingError
from nasbench_tab.fitting import make
from nasbench_tab.fitting.assess import assess
from nasbench_tab.fitting.make import make_surrogate
from nasbench_tab.predictors.parts import runs_from, space_of, surrogate_from
from nasbench_tab.predictors.store import read_surrogate, write_surrogate
from nasbench_tab.registry import load_space
from nasbench_tab.testing import check_benchmark

pytest.importorskip("torch")

from nasbench_tab.train import dagnet

QUICK = dagnet.Settings(members=2, width=8, steps=20, passes=1)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dagnet, "train_dagnet", partial(dagnet.train_dagnet, settings=QUICK))
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("passing")
    for name, runs in {"small": observed(), "large": observed(large_space())}.items():
        make_surrogate(runs, root / name, settings=SETTINGS, message_passing=True, jobs=1)
    return {name: root / name for name in ("small", "large")}


@pytest.fixture(scope="module")
def benches(folders: dict[str, Path]) -> dict[str, SurrogateBenchmark]:
    return {
        name: SurrogateBenchmark.read(folder, name, load_space) for name, folder in folders.items()
    }


@pytest.mark.parametrize("name", ["small", "large"])
def test_it_keeps_the_contract(benches: dict[str, SurrogateBenchmark], name: str) -> None:
    check_benchmark(benches[name], n=20)


@pytest.mark.parametrize("name", ["small", "large"])
def test_one_answer_however_it_is_asked(benches: dict[str, SurrogateBenchmark], name: str) -> None:
    bench = benches[name]
    cells = bench.space.sample(np.random.default_rng(1), 70)
    for epoch in (None, *bench.epochs):
        single = [bench.query(cell, epoch=epoch) for cell in cells]
        assert bench.query(cells, epoch=epoch).tolist() == single
        assert [bench.lookup(cell, epoch=epoch).value for cell in cells] == single


def test_the_networks_have_a_say(folders: dict[str, Path], tmp_path: Path) -> None:
    plain = make_surrogate(observed(), tmp_path / "plain", settings=SETTINGS, jobs=1)
    passing = surrogate_from(read_surrogate(folders["small"]), plain.surrogate.space)
    assert passing.passes_messages
    assert not plain.surrogate.passes_messages
    objective = passing.objective
    inputs = passing.inputs(observed().runs.cells)
    net = passing.models[objective].ensemble.net
    assert net is not None
    assert inputs.graphs is not None
    with_net, without = (
        s.models[objective].ensemble.members(inputs.x, 1, inputs.graphs).mean(axis=1)[:, 0]
        for s in (passing, plain.surrogate)
    )
    assert np.allclose(with_net, (without + net.mean(inputs.graphs)) / 2, rtol=1e-6)


def test_the_manifest_says_so(folders: dict[str, Path]) -> None:
    stored = read_surrogate(folders["small"])
    assert stored.manifest["version"] == 3
    assert stored.manifest["kind"] == "trees, Gaussian process and message passing"
    assert stored.manifest["settings"]["message_passing"] is True
    assert stored.manifest["versions"]["torch"]


def test_reading_and_answering_need_neither_pytorch_nor_xgboost(
    folders: dict[str, Path], benches: dict[str, SurrogateBenchmark]
) -> None:
    code = (
        "import sys\n"
        "sys.modules['xgboost'] = sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from nasbench_tab.benchmarks.surrogate import SurrogateBenchmark\n"
        "from nasbench_tab.registry import load_space\n"
        f"bench = SurrogateBenchmark.read(Path({str(folders['large'])!r}), 'x', load_space)\n"
        "print(bench.query(bench.space.example()))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(found.stdout) == benches["large"].query(benches["large"].space.example())


def test_without_pytorch_it_is_refused_before_anything_is_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise TrainingError("Training needs PyTorch, which is not installed")

    monkeypatch.setattr(make, "need_torch", missing)
    with pytest.raises(TrainingError, match="needs PyTorch"):
        make_surrogate(observed(), tmp_path / "none", message_passing=True)
    assert not (tmp_path / "none").exists()


def test_a_lost_or_altered_part_is_told(folders: dict[str, Path], tmp_path: Path) -> None:
    stored = read_surrogate(folders["small"])
    own = "metrics/valid_accuracy/ensemble/net"
    changes = {
        "lost": {k: v for k, v in stored.arrays.items() if k != f"{own}/join"},
        "other words": {**stored.arrays, f"{own}/words": stored.arrays[f"{own}/words"][::-1]},
        "no unit": {**stored.arrays, f"{own}/unit": np.zeros(1)},
    }
    for name, arrays in changes.items():
        write_surrogate(tmp_path / name, stored.manifest, arrays, stored.files)
        with pytest.raises(SurrogateError, match="again"):
            SurrogateBenchmark.read(tmp_path / name, name, load_space)


def test_it_is_assessed_as_it_was_fitted(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = read_surrogate(folders["small"])
    space = space_of(stored, load_space)
    trained = []
    quick = dagnet.train_dagnet

    def counted(*args: Any) -> Any:
        trained.append(len(args[0].kinds))
        return quick(*args)

    monkeypatch.setattr(dagnet, "train_dagnet", counted)
    found = assess(
        runs_from(stored, space), surrogate_from(stored, space), settings=SETTINGS, draws=1
    )
    assert len(trained) >= 2 * 5 + 2 * 1  # two times five folds, and a draw of each size
    assert found["levels"]["all"]["networks"] == 80


def test_without_pytorch_it_is_not_assessed(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = read_surrogate(folders["small"])
    space = space_of(stored, load_space)
    own = runs_from(stored, space), surrogate_from(stored, space)
    monkeypatch.setattr(nasbench_tab.train, "find_spec", lambda _: None)
    with pytest.raises(TrainingError, match="needs PyTorch"):
        assess(*own, settings=SETTINGS, draws=1)


def test_too_few_networks_are_told_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagnet, "train_dagnet", lambda *_: pytest.fail("trained"))
    with pytest.raises(SurrogateError, match=r"valid_accuracy: 19 distinct networks .* need 20"):
        make_surrogate(
            observed(networks=19, repeats=19), tmp_path / "few", message_passing=True, jobs=1
        )
    few = observed()
    few.runs.curves["test_accuracy"][few.runs.groups >= 19] = np.nan
    with pytest.raises(SurrogateError, match=r"test_accuracy: 19 distinct networks .* epoch 1;"):
        make_surrogate(few, tmp_path / "few", message_passing=True, jobs=1)
