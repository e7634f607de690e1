"""A surrogate behind the contract of a benchmark: means, simulated trainings, intervals, refusals."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from fitting.made_up import SETTINGS, large_space, observed, truth

from nasbench_tab.benchmarks.surrogate import SEEDS, SurrogateBenchmark
from nasbench_tab.errors import (
    InvalidArchitectureError,
    InvalidArgumentError,
    MissingValueError,
    SurrogateError,
    UnknownNameError,
)
from nasbench_tab.fitting.listing import list_answers
from nasbench_tab.fitting.make import make_surrogate
from nasbench_tab.records import Protocol
from nasbench_tab.registry import load_space
from nasbench_tab.search.run import run_search
from nasbench_tab.testing import check_benchmark


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("surrogates")
    made = {
        "small": observed(),
        "large": observed(large_space()),
        "alone": observed(repeats=0, timed=False),
    }
    for name, runs in made.items():
        make_surrogate(runs, root / name, settings=SETTINGS, jobs=1)
    return {name: root / name for name in made}


@pytest.fixture(scope="module")
def benches(folders: dict[str, Path]) -> dict[str, SurrogateBenchmark]:
    return {
        name: SurrogateBenchmark.read(folder, name, load_space) for name, folder in folders.items()
    }


@pytest.mark.parametrize("name", ["small", "large"])
def test_it_keeps_the_contract(benches: dict[str, SurrogateBenchmark], name: str) -> None:
    check_benchmark(benches[name], n=20)


@pytest.mark.parametrize("name", ["small", "large"])
def test_predictions_are_near_the_truth(benches: dict[str, SurrogateBenchmark], name: str) -> None:
    bench = benches[name]
    cells = np.array(bench.space.sample(np.random.default_rng(5), 200), np.uint8)
    off = bench.query(cells) - truth(cells)
    assert np.abs(off).mean() < 2.0  # the spread of the truth is 5 points
    assert np.corrcoef(bench.query(cells), truth(cells))[0, 1] > 0.9


@pytest.mark.parametrize("name", ["small", "large"])
def test_one_answer_however_it_is_asked(benches: dict[str, SurrogateBenchmark], name: str) -> None:
    bench = benches[name]
    cells = bench.space.sample(np.random.default_rng(1), 70)  # more than NumPy alone answers
    for epoch in (None, *bench.epochs):
        many = bench.query(cells, epoch=epoch)
        single = [bench.query(cell, epoch=epoch) for cell in cells]
        assert many.tolist() == single
        answers = [bench.lookup(cell, epoch=epoch) for cell in cells]
        assert [answer.value for answer in answers] == single
        texts = [bench.space.format(cell) for cell in cells]
        assert bench.query(texts, epoch=epoch).tolist() == single
    assert bench.query(np.array(cells)).tolist() == bench.query(cells).tolist()


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_seed_is_one_training(benches: dict[str, SurrogateBenchmark], name: str) -> None:
    bench = benches[name]
    cells = bench.space.sample(np.random.default_rng(2), 30)
    for epoch in bench.epochs:
        first = bench.query(cells, epoch=epoch, seed=7)
        assert np.array_equal(first, bench.query(cells, epoch=epoch, seed=7))
        assert first[3] == bench.query(cells[3], epoch=epoch, seed=7)
        assert first[3] == bench.lookup(cells[3], epoch=epoch, seed=7).value
        assert not np.array_equal(first, bench.query(cells, epoch=epoch, seed=8))
    ends = np.array([bench.query(cells, seed=seed) for seed in range(400)])
    answers = [bench.lookup(cell) for cell in cells]
    expected = np.array([answer.value for answer in answers])
    sd = np.array([answer.sd for answer in answers])
    assert np.abs(ends.mean(axis=0) - expected).max() < 0.3 * sd.max()
    assert np.median(ends.std(axis=0) / sd) == pytest.approx(1.0, abs=0.2)
    # The epochs of one training hang together.
    before = np.array([bench.query(cells, epoch=2, seed=seed) for seed in range(400)])
    assert np.median([np.corrcoef(a, b)[0, 1] for a, b in zip(before.T, ends.T, strict=True)]) > 0.5


def test_a_space_whose_numbers_have_gaps_is_not_listed(
    benches: dict[str, SurrogateBenchmark],
) -> None:
    surrogate = benches["small"]._surrogate
    assert list_answers(surrogate) is not None
    for name in ("nasbench-graph", "nasbench-graph-proteins"):
        assert list_answers(surrogate._replace(space=load_space(name))) is None


def test_an_answer_says_how_unsure_it_is(benches: dict[str, SurrogateBenchmark]) -> None:
    for name in ("small", "large"):
        for cell in benches[name].space.sample(np.random.default_rng(3), 30):
            answer = benches[name].lookup(cell)
            assert answer.source == "surrogate"
            assert answer.lower <= answer.value <= answer.upper
            assert answer.sd > 0
            assert answer.sd_model >= 0
            assert answer.n_seeds == 0
            assert answer.seconds > 0


def test_ready_answers_are_those_computed_anew(benches: dict[str, SurrogateBenchmark]) -> None:
    ready = benches["small"]
    anew = SurrogateBenchmark(
        ready.name,
        ready._surrogate,
        ready.fingerprint,
        dict(ready.about),
        listed=None,
        sample=ready.measured(),
    )
    for cell in ready.space.sample(np.random.default_rng(4), 20):
        for metric in ready.metrics:
            for epoch in ready.epochs:
                one, other = (b.lookup(cell, metric, epoch=epoch) for b in (ready, anew))
                assert one.novel == other.novel
                for field in ("value", "seconds", "sd", "sd_model", "lower", "upper"):
                    expected = pytest.approx(getattr(other, field), rel=1e-5, nan_ok=True)
                    assert getattr(one, field) == expected


def test_a_curve_that_was_asked_for_cannot_be_changed(
    benches: dict[str, SurrogateBenchmark],
) -> None:
    bench = benches["large"]
    cell = bench.space.example()
    curve = [bench.query(cell, epoch=epoch, seed=3) for epoch in bench.epochs]
    bench.extrapolate(cell, curve[:1], losses=[1.0])
    assert [bench.query(cell, epoch=epoch, seed=3) for epoch in bench.epochs] == curve


def test_intervals_hold_new_trainings(benches: dict[str, SurrogateBenchmark]) -> None:
    fresh = observed(networks=200, repeats=0, seed=99).runs  # other networks, other noise
    answers = [benches["small"].lookup(cell) for cell in map(tuple, fresh.cells.tolist())]
    values = fresh.curves["valid_accuracy"][:, -1]
    inside = [a.lower <= v <= a.upper for a, v in zip(answers, values, strict=True)]
    assert 0.8 < np.mean(inside) <= 1.0


def test_seconds_grow_and_are_a_metric(benches: dict[str, SurrogateBenchmark]) -> None:
    for name in ("small", "large"):
        bench = benches[name]
        cell = bench.space.example()
        times = [bench.query(cell, "train_seconds", epoch=epoch) for epoch in bench.epochs]
        assert times == sorted(times)
        assert times[0] > 0
        assert bench.lookup(cell).seconds == times[-1]
        assert bench.lookup(cell, "train_seconds").value == times[-1]


def test_without_repeats_no_seed_is_simulated(benches: dict[str, SurrogateBenchmark]) -> None:
    bench = benches["alone"]
    cell = bench.space.example()
    assert bench.seeds(cell) == ()
    assert math.isnan(bench.lookup(cell).sd)
    assert not bench.has_seconds
    assert math.isnan(bench.lookup(cell).seconds)
    with pytest.raises(MissingValueError, match="seeds='mean'"):
        bench.query(cell, seed=1)
    run = run_search("random", bench, Protocol(evaluations=10, seeds="mean"), seed=0)
    assert len(run.values) == 10


@pytest.mark.parametrize("name", ["small", "large"])
def test_bad_questions(benches: dict[str, SurrogateBenchmark], name: str) -> None:
    bench = benches[name]
    cell = bench.space.example()
    for epoch in (0, 3, 5, 10_000):
        with pytest.raises(MissingValueError, match="epoch"):
            bench.query(cell, epoch=epoch)
        with pytest.raises(MissingValueError, match="epoch"):
            bench.lookup(cell, epoch=epoch, seed=1)
    with pytest.raises(UnknownNameError, match="valid_accuracy"):
        bench.query(cell, "accuracy")
    with pytest.raises(InvalidArgumentError):
        bench.query(cell, seed=1.5)  # type: ignore[call-overload]
    with pytest.raises(InvalidArchitectureError):
        bench.query((250,) * len(cell))
    with pytest.raises(InvalidArchitectureError):
        bench.query(np.zeros((2, 2)))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["small", "large"])
@pytest.mark.parametrize("strategy", ["random", "evolution", "asha"])
def test_strategies_search_it(
    benches: dict[str, SurrogateBenchmark], name: str, strategy: str
) -> None:
    for protocol in (Protocol(evaluations=30), Protocol(seconds=300.0, workers=3)):
        run = run_search(strategy, benches[name], protocol, seed=3)
        again = run_search(strategy, benches[name], protocol, seed=3)
        assert len(run.values)
        assert np.array_equal(run.values, again.values)


def test_the_sample_of_a_large_space_holds_the_best(benches: dict[str, SurrogateBenchmark]) -> None:
    bench = benches["large"]
    cells = bench.measured()
    assert 9_000 < len(cells) <= 10_001
    values = bench.query(cells)
    best = tuple(cells[values.argmax()].tolist())
    near = bench.query(bench.space.neighbors(best))
    assert near.max() <= values.max()  # no step leads higher


def test_reading_needs_no_xgboost(folders: dict[str, Path], tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys\n"
        "sys.modules['xgboost'] = None\n"
        "from pathlib import Path\n"
        "from nasbench_tab.benchmarks.surrogate import SurrogateBenchmark\n"
        "from nasbench_tab.registry import load_space\n"
        f"bench = SurrogateBenchmark.read(Path({str(folders['large'])!r}), 'x', load_space)\n"
        "print(bench.query(bench.space.example()))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = SurrogateBenchmark.read(folders["large"], "x", load_space)
    assert float(found.stdout) == expected.query(expected.space.example())


def test_the_same_runs_give_the_same_surrogate(
    folders: dict[str, Path], benches: dict[str, SurrogateBenchmark], tmp_path: Path
) -> None:
    again = make_surrogate(observed(), tmp_path / "small", settings=SETTINGS, jobs=2)
    assert again.fingerprint == benches["small"].fingerprint
    other = make_surrogate(observed(), tmp_path / "other", settings=SETTINGS, seed=1, jobs=1)
    assert other.fingerprint != again.fingerprint


def test_parts_that_do_not_belong_together(folders: dict[str, Path], tmp_path: Path) -> None:
    from nasbench_tab.predictors.store import read_surrogate, write_surrogate

    stored = read_surrogate(folders["small"])
    known = {k: v for k, v in stored.manifest.items() if k not in ("format", "version", "arrays", "files", "hash", "manifest_hash")}  # fmt: skip
    for name, change in {
        "features": {**known, "features": {"version": 0, "names": []}},
        "epochs": {**known, "epochs": [1, 2, 3]},
        "metrics": {
            **known,
            "metrics": {**known["metrics"], "test_loss": known["metrics"]["test_accuracy"]},
        },
    }.items():
        write_surrogate(tmp_path / name, change, stored.arrays, stored.files)
        with pytest.raises(SurrogateError):
            SurrogateBenchmark.read(tmp_path / name, name, load_space)
    for lost in (
        "novelty/centre",
        "metrics/valid_accuracy/basis/mean",
        "listed/network",
        "listed/valid_accuracy/mean",
    ):
        arrays = {k: v for k, v in stored.arrays.items() if k != lost}
        where = tmp_path / lost.replace("/", "-")
        write_surrogate(where, known, arrays, stored.files)
        with pytest.raises(SurrogateError):
            SurrogateBenchmark.read(where, "x", load_space)


def test_seeds_to_draw_from(benches: dict[str, SurrogateBenchmark]) -> None:
    bench = benches["small"]
    assert bench.seeds(bench.space.example()) == SEEDS
    with pytest.raises(InvalidArchitectureError):
        bench.seeds((250, 0, 0))
