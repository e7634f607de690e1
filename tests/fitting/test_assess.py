"""A whole assessment: the same again and in many processes, plain data, and what is missing has its reason."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import InvalidArgumentError, SurrogateError
from nasbench_tab.fitting import assess_splits
from nasbench_tab.fitting.assess import assess
from nasbench_tab.fitting.assess_parts import only
from nasbench_tab.fitting.fit import fit_surrogate
from nasbench_tab.fitting.make import make_surrogate
from nasbench_tab.predictors.base import Runs
from nasbench_tab.predictors.model import Surrogate
from nasbench_tab.predictors.trees import Settings
from nasbench_tab.report.assessed import assess_folder

from .made_up import observed

TINY = Settings(members=2, rounds=4, depth=2, rate=0.5)
PARTS = {"sizes", "intervals", "levels", "origins", "regions", "seeds", "epochs", "partial", "cost"}


def fitted(runs: Runs) -> Surrogate:
    return fit_surrogate(runs, np.random.default_rng(0), settings=TINY)[0]


def lean(runs: Runs, networks: int, origins: str | None = None) -> Runs:
    """Return the runs of the first networks, with the objective alone."""
    runs = only(runs, np.flatnonzero(runs.groups < networks))
    return runs if origins is None else runs._replace(origins=(origins,) * len(runs.cells))


@pytest.fixture(scope="module")
def few() -> Iterator[None]:
    """Leave out draws that every size repeats."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(assess_splits, "NESTED", 1)
        yield


@pytest.fixture(scope="module")
def runs() -> Runs:
    return lean(observed(networks=70, repeats=60).runs, 70)


@pytest.fixture(scope="module")
def surrogate(runs: Runs) -> Surrogate:
    return fitted(runs)


@pytest.fixture(scope="module")
def steps() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def whole(
    runs: Runs, surrogate: Surrogate, few: None, steps: list[tuple[int, int]]
) -> dict[str, Any]:
    def step(done: int, of: int) -> None:
        steps.append((done, of))

    return assess(runs, surrogate, settings=TINY, draws=1, progress=step)


def numbers(known: Any) -> Iterator[Any]:
    if isinstance(known, dict):
        for key, part in known.items():
            assert isinstance(key, str)
            yield from numbers(part)
    elif isinstance(known, list):
        for part in known:
            yield from numbers(part)
    else:
        yield known


def test_it_is_plain_data_with_all_parts(
    whole: dict[str, Any], steps: list[tuple[int, int]]
) -> None:
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole
    assert {type(number) for number in numbers(whole)} <= {int, float, str}
    assert all(math.isfinite(n) for n in numbers(whole) if isinstance(n, float))
    assert set(whole) >= PARTS
    assert whole["left_out"] == {}
    assert (whole["runs"], whole["networks"], whole["draws"], whole["seed"]) == (130, 70, 1, 0)
    assert whole["epochs_known"] == [1, 2, 4]
    assert steps == [(i + 1, len(steps)) for i in range(len(steps))]


def test_a_fit_depends_on_no_other(
    runs: Runs, surrogate: Surrogate, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many processes would: copies of what is to be fitted, in any order."""

    def parallel(**_: Any) -> Any:
        def run(tasks: Any) -> list[Any]:
            copies = [pickle.loads(pickle.dumps(task)) for task in tasks]  # noqa: S301 - our own
            back = [function(*args, **named) for function, args, named in reversed(copies)]
            return back[::-1]

        return run

    monkeypatch.setattr("nasbench_tab.fitting.assess.Parallel", parallel)
    assert assess(runs, surrogate, settings=TINY, draws=1) == whole


@pytest.mark.slow
def test_many_processes_say_the_same(
    runs: Runs, surrogate: Surrogate, whole: dict[str, Any], few: None
) -> None:
    assert assess(runs, surrogate, settings=TINY, draws=1, jobs=2) == whole


def test_another_seed_draws_otherwise(
    runs: Runs, surrogate: Surrogate, whole: dict[str, Any], few: None
) -> None:
    again = assess(runs, surrogate, settings=TINY, draws=1, seed=1)
    assert again["sizes"]["32"]["mae"] != whole["sizes"]["32"]["mae"]
    assert again["sizes"]["32"]["ceiling"] == whole["sizes"]["32"]["ceiling"]


def test_one_origin_no_repeats_no_curves_no_times(few: None) -> None:
    made = observed(networks=50, repeats=0, timed=False).runs
    bare = only(made, np.arange(50), final=True)._replace(origins=("",) * 50)
    found = assess(bare, fitted(bare), settings=TINY, draws=1)
    assert set(found["left_out"]) == {"origins", "seeds", "cost", "epochs", "partial"}
    assert "0 networks were trained with a second seed" in found["left_out"]["seeds"]
    assert "not known where any came from" in found["left_out"]["origins"]
    assert "0 runs have times" in found["left_out"]["cost"]
    assert "Only epoch 4 is known" in found["left_out"]["epochs"]
    assert "two epochs" in found["left_out"]["partial"]
    assert "regret_at_1_in_seed_sd" not in found["sizes"]["32"]
    assert found["levels"]["all"]["ceiling"]["repeated_networks"] == 0
    json.dumps(found, allow_nan=False)


def test_intervals_that_cannot_be_held_out_take_nothing_else_along(few: None) -> None:
    # A surrogate needs 20 networks for its intervals; without a fold of them there are 17.
    small = lean(observed(networks=21, repeats=21).runs, 21, "random")
    found = assess(small, fitted(small), settings=TINY, draws=1)
    assert set(found["left_out"]) == {"intervals", "levels", "epochs", "origins"}
    assert found["seeds"]["networks"] == found["partial"]["networks"] == 21


def test_three_networks_and_runs_of_something_else_are_refused(
    runs: Runs, surrogate: Surrogate
) -> None:
    with pytest.raises(SurrogateError, match=r"3 networks .*at least 10"):
        assess(lean(runs, 3), surrogate, settings=TINY)
    with pytest.raises(SurrogateError, match="expected space, objective and epochs"):
        assess(only(runs, np.arange(130), final=True), surrogate, settings=TINY)
    nothing = runs._replace(curves={"valid_accuracy": np.full((130, 3), np.nan)})
    with pytest.raises(SurrogateError, match="None of 130 runs has a final valid_accuracy"):
        assess(nothing, surrogate, settings=TINY)
    with pytest.raises(InvalidArgumentError, match="draws must be at least 1; got 0"):
        assess(runs, surrogate, draws=0)


def test_a_surrogate_without_its_runs_cannot_be_assessed(tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    make_surrogate(observed(networks=30, repeats=0), folder, settings=TINY, keep_runs=False, jobs=1)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(SurrogateError, match="runs"):
        assess_folder(folder, jobs=1)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
