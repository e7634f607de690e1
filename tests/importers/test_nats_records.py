"""Records of one architecture: what they hold, and what the facts they break are called."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import FormatError
from nasbench_tab.importers.nats_records import meta_of, records_of

from . import official_nats as made

SCHEDULES: dict[str, Any] = {
    "12": (12, {"cifar10-valid": (111, 777), "cifar100": (111,)}),
    "200": (200, {"cifar100": (777,)}),
}


@pytest.fixture
def raw() -> dict[str, Any]:
    return dict(made.architecture(np.random.default_rng(0), 11, made.TSS, SCHEDULES))


def first(raw: dict[str, Any]) -> dict[str, Any]:
    run: dict[str, Any] = raw["12"]["all_results"]["cifar10-valid", 111]
    return run


def test_a_record_is_what_the_file_holds(raw: dict[str, Any]) -> None:
    records = records_of(raw)
    assert list(records) == ["12", "200"]
    record = records["12"]
    assert (record.index, record.arch_str) == (11, made.TSS.format(made.TSS.unindex(11)))
    assert record.dataset_seed == {"cifar10-valid": (111, 777), "cifar100": (111,)}
    assert {d: list(runs) for d, runs in record.runs.items()} == {
        "cifar10-valid": [111, 777],
        "cifar100": [111],
    }
    run, held = record.runs["cifar10-valid"][111], first(raw)
    assert (run.params, run.flops, run.latency) == (0.8, 113.95, tuple(held["latency"]))
    assert run.arch_config == held["arch_config"]
    assert run.train_top5 is not None
    assert run.train_top5.tolist() == list(held["train_acc5es"].values())
    assert list(run.sets) == ["x-valid", "ori-test"]
    long = records["200"].runs["cifar100"][777]
    assert long.train_top5 is None
    assert list(long.sets) == ["ori-test", "x-valid", "x-test"]
    assert np.isfinite(long.sets["x-test"].accuracy).tolist() == [False] * 199 + [True]
    assert np.isfinite(long.sets["x-test"].seconds).all()


def test_seeds_may_be_digits(raw: dict[str, Any]) -> None:
    plain = records_of(raw)
    results = raw["12"]
    results["all_results"] = {
        (d, f"{s:04d}"): run for (d, s), run in results["all_results"].items()
    }
    results["dataset_seed"] = {d: [str(s) for s in ss] for d, ss in results["dataset_seed"].items()}
    again = records_of(raw)
    assert again["12"].dataset_seed == plain["12"].dataset_seed


def test_epochs_may_come_in_any_order_and_lack(raw: dict[str, Any]) -> None:
    run = first(raw)
    losses = run["train_losses"]
    run["train_losses"] = {e: losses[e] for e in (3, 0, 11)}
    run["train_times"], run["eval_times"], run["latency"] = None, {}, None
    found = records_of(raw)["12"].runs["cifar10-valid"][111]
    assert np.flatnonzero(np.isfinite(found.train_loss)).tolist() == [0, 3, 11]
    assert found.train_loss[3] == losses[3]
    assert found.train_seconds is None
    assert found.latency == ()
    assert np.isnan(found.sets["x-valid"].seconds).all()


FAULTS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda raw: raw.clear(), "a dict from schedules"),
    (
        lambda raw: raw.update({7: raw["12"]}),  # type: ignore[dict-item]
        "a dict from schedules",
    ),
    (lambda raw: raw["12"].update(arch_index=12), "one architecture"),
    (lambda raw: raw["12"].update(arch_index=-1), "arch_index"),
    (lambda raw: raw["12"].update(arch_index=True), "arch_index"),
    (lambda raw: raw["12"].update(arch_str=None), "arch_str"),
    (lambda raw: raw["12"].update(all_results=[]), "all_results, dataset_seed"),
    (lambda raw: raw["12"].update(dataset_seed={"cifar100": 111}), "lists of seeds"),
    (lambda raw: raw["12"]["dataset_seed"]["cifar100"].append(5), "the trainings of dataset_seed"),
    (
        lambda raw: raw["12"]["dataset_seed"]["cifar100"].append(111),
        "the trainings of dataset_seed",
    ),
    (lambda raw: raw["12"]["dataset_seed"]["cifar100"].append(1.5), "a seed"),
    (lambda raw: raw["12"]["all_results"].update({"x": {}}), "pairs of dataset and seed"),
    (lambda raw: raw["12"].pop("clear_net_done"), "missing clear_net_done"),
    (lambda raw: first(raw).update(name="cifar100"), "its own name"),
    (lambda raw: first(raw).update(epochs=0), "epochs"),
    (lambda raw: first(raw).update(epochs=10**9), "epochs"),
    (lambda raw: first(raw).update(eval_names=["x-valid", "y"]), "eval_names"),
    (lambda raw: first(raw).update(eval_names=["x-valid", "x-valid"]), "eval_names"),
    (lambda raw: first(raw).update(arch_config={"x": []}), "arch_config"),
    (lambda raw: first(raw).update(latency=0.1), "latency"),
    (lambda raw: first(raw).update(latency=["x"]), "latency"),
    (lambda raw: first(raw).update(params=None), "params"),
    (lambda raw: first(raw).update(flop=math.nan), "flop"),
    (lambda raw: first(raw).update(params=-1), "params"),
    (lambda raw: first(raw).update(train_losses=None), "train_losses"),
    (lambda raw: first(raw).update(train_acc1es=[1.0]), "train_acc1es: expected a dict"),
    (lambda raw: first(raw)["train_acc1es"].update({0: [1.0]}), "train_acc1es: expected numbers"),
    (lambda raw: first(raw)["train_acc1es"].update({0: "1.0"}), "train_acc1es: expected numbers"),
    (lambda raw: first(raw)["train_acc1es"].update({0: True}), "train_acc1es: expected numbers"),
    (lambda raw: first(raw)["train_acc1es"].update({12: 1.0}), "train_acc1es: expected keys"),
    (lambda raw: first(raw)["train_acc1es"].update({0: math.inf}), "from 0 to 100"),
    (lambda raw: first(raw).update(eval_losses=None), "eval_losses"),
]


@pytest.mark.parametrize("fault", range(len(FAULTS)))
def test_faults_are_named(fault: int, raw: dict[str, Any]) -> None:
    edit, message = FAULTS[fault]
    edit(raw)
    with pytest.raises(FormatError, match=message) as caught:
        records_of(raw, "some file")
    assert str(caught.value).startswith("some file")
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"meta_archs": ["a", "a"], "total_archs": 2}, "distinct"),
        ({"meta_archs": ["a", 1], "total_archs": 2}, "a list of strings"),
        ({"total_archs": 3}, "total_archs"),
        ({"evaluated_indexes": {2}}, "indices below 2"),
        ({"evaluated_indexes": 2}, "indices below 2"),
        ({"arch2infos": {0: {}}}, "architectures by number"),
        ({"more": 1}, "unknown .*more"),
    ],
)
def test_a_wrong_meta_record_is_refused(edit: dict[str, Any], message: str) -> None:
    good = {
        "meta_archs": ["a", "b"],
        "total_archs": 2,
        "arch2infos": None,
        "evaluated_indexes": [0, 1],
    }
    assert meta_of(good) == (("a", "b"), frozenset({0, 1}))
    with pytest.raises(FormatError, match=message):
        meta_of({**good, **edit})
