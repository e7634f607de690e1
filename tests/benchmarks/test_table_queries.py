"""Queries of a table: metrics, epochs and seeds, one training or their mean, and what is missing."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest

import nasbench_tab as nbt
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import Table, read_manifest
from nasbench_tab.errors import (
    InvalidArgumentError,
    MissingValueError,
    NasbenchTabError,
    UnknownNameError,
)
from nasbench_tab.records import Protocol
from nasbench_tab.registry import table_folder
from nasbench_tab.search.run import run_search

from .tables import SEEDS, SIZE, SPACE, fresh, present, values

# --- what it is -------------------------------------------------------------------------------


def test_surface_of_a_shipped_table(bench: Benchmark) -> None:
    assert bench.name == "nb201-cifar10"
    assert bench.space.name == "nasbench201"
    assert bench.dataset == "cifar10-valid"
    assert bench.epochs == (200,)
    assert bench.objective.name == "valid_accuracy"
    assert bench.objective.split == "valid"
    assert bench.has_seconds
    assert not bench.resumable
    assert bench.fingerprint == read_manifest(table_folder("nb201-cifar10"))["hash"]
    assert set(bench.metrics) == {
        "valid_accuracy",
        "train_seconds",
        "recorded_parameters",
        "latency",
        "parameters",
        "macs",
    }


def test_surface_follows_the_training(synthetic: Table) -> None:
    curve, short = fresh(synthetic), fresh(synthetic, "short")
    assert (curve.epochs, short.epochs) == ((1, 2, 4), (12,))
    assert (curve.resumable, short.resumable) == (True, False)
    assert (curve.has_seconds, short.has_seconds) == (True, False)
    assert (curve.objective.name, short.objective.name) == ("valid_accuracy", "valid_loss")
    assert (curve.dataset, short.dataset) == ("cifar10-valid", "cifar10")
    assert set(short.metrics) == {"valid_loss", "latency", "macs"}
    assert isinstance(short, TableBenchmark)
    assert (short.training, short.trainings) == ("short", ("curve", "short"))


def test_unknown_training_is_refused(synthetic: Table) -> None:
    with pytest.raises(
        UnknownNameError,
        match=r"Unknown training of synthetic 'shrt'\. Did you mean short\? Known: curve, short\.",
    ):
        fresh(synthetic, "shrt")
    with pytest.raises(
        UnknownNameError, match=r"training of nb201-cifar10 '12-epochs'.*200-epochs"
    ):
        nbt.load("nb201-cifar10", training="12-epochs")


# --- metrics, epochs, seeds -------------------------------------------------------------------


def test_epochs_and_seeds_select_the_stored_number(synthetic: Table, small: Benchmark) -> None:
    for metric in ("valid_accuracy", "test_accuracy", "train_seconds"):
        for place, epoch in enumerate((1, 2, 4)):
            for number, seed in enumerate((7, -1, 3)):
                expected = values(synthetic, metric)[:, number, place].astype(float)
                answer = small.query(
                    synthetic.architectures, metric, epoch=epoch, seed=seed, mask=True
                )
                np.testing.assert_array_equal(answer.filled(np.nan), expected)
    assert small.query((0, 0, 1, 2, 3, 4), seed=3) == values(synthetic)[0, 2, 2]
    assert small.query((0, 0, 1, 2, 3, 4), None, epoch=4) == small.query((0, 0, 1, 2, 3, 4))


@pytest.mark.parametrize("kind", ["i1", "i2", "u1", "i8", "u8"])
def test_numpy_epochs_and_seeds_work(small: Benchmark, kind: str) -> None:
    number = np.dtype(kind).type
    cell = (0, 0, 1, 2, 3, 4)
    assert small.query(cell, epoch=number(2), seed=number(3)) == small.query(cell, epoch=2, seed=3)
    assert repr(small.lookup(cell, seed=number(7))) == repr(small.lookup(cell, seed=7))
    assert len(small.measured(number(3))) == len(small.measured(3))


def test_static_metrics_do_not_depend_on_epoch_and_seed(small: Benchmark) -> None:
    cell = (1, 0, 1, 2, 3, 4)
    assert small.query(cell, "macs") == 1.0
    assert small.query(cell, "macs", epoch=1) == 1.0
    assert small.query(cell, "macs", seed=-1) == 1.0


@pytest.mark.parametrize("metric", ["valid_accuracy", "macs"])
def test_unknown_epochs_are_refused(small: Benchmark, metric: str) -> None:
    cell = (0, 0, 1, 2, 3, 4)
    epochs: list[Any] = [0, -1, 3, 5, 10**30, np.int8(3)]
    for epoch in epochs:
        for ask in (small.query, small.lookup):
            with pytest.raises(
                MissingValueError,
                match=rf"no values at epoch {epoch}\. It has 1, 2, 4 \(1-based; training 'curve'\)",
            ):
                ask(cell, metric, epoch=epoch)


@pytest.mark.parametrize("metric", ["valid_accuracy", "macs"])
def test_unknown_seeds_are_refused(small: Benchmark, metric: str) -> None:
    cell = (0, 0, 1, 2, 3, 4)
    seeds: list[Any] = [0, 777, -7, 10**30, np.uint8(8)]
    for seed in seeds:
        for ask in (small.query, small.lookup):
            with pytest.raises(
                MissingValueError, match=rf"no training seed {seed}\. It has 7, -1, 3; .*seeds\("
            ):
                ask(cell, metric, seed=seed)
    with pytest.raises(MissingValueError, match=r"no training seed 8\. It has 7, -1, 3"):
        small.measured(8)


@pytest.mark.parametrize("wrong", ["7", "mean", 7.5, math.nan, b"7", (7,), [7], {7: 7}, {7}])
@pytest.mark.parametrize("name", ["epoch", "seed"])
def test_epochs_and_seeds_that_are_no_integers_are_refused(
    small: Benchmark, name: str, wrong: Any
) -> None:
    cell = (0, 0, 1, 2, 3, 4)
    for ask in (small.query, small.lookup):
        with pytest.raises(InvalidArgumentError, match=f"{name} must be an integer or None, not "):
            ask(cell, **{name: wrong})


@pytest.mark.parametrize("arguments", [{"seed": 7.0}, {"epoch": 2.0}, {"epoch": True}])
def test_answers_do_not_depend_on_earlier_questions(
    synthetic: Table, arguments: dict[str, Any]
) -> None:
    """An argument that equals a good one is taken or refused, the same way every time."""

    cell = (0, 0, 1, 2, 3, 4)

    def outcome(bench: Benchmark) -> object:
        try:
            return bench.query(cell, **arguments)
        except NasbenchTabError as err:
            return str(err)

    fresh_one, warm = fresh(synthetic), fresh(synthetic)
    good: dict[str, Any] = {name: int(value) for name, value in arguments.items()}
    warm.query(cell, **good)
    assert outcome(warm) == outcome(fresh_one)


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("valid_acuracy", "'valid_acuracy'. Did you mean valid_accuracy"),
        ("parameter", "'parameter'. Did you mean parameters"),
        ("", "Known: latency, macs, parameters, recorded_parameters, train_seconds, valid_acc"),
        ("test_accuracy", "Unknown metric of nb201-cifar10 'test_accuracy'"),
        ("VALID_ACCURACY", "Known: latency"),
        (7, "Unknown metric of nb201-cifar10 7"),
        (("latency",), "Unknown metric of nb201-cifar10"),
        (["latency"], "Unknown metric of nb201-cifar10"),
    ],
)
def test_unknown_metrics_are_refused(bench: Benchmark, metric: Any, words: str) -> None:
    for ask in (bench.query, bench.lookup):
        with pytest.raises(UnknownNameError, match=words):
            ask(0, metric)
    with pytest.raises(UnknownNameError, match=words):
        bench.query([0, 1], metric, mask=True)


# --- missing values ---------------------------------------------------------------------------


def test_missing_value_says_what_exists(small: Benchmark) -> None:
    partly, nothing, hole = (0, 1, 1, 2, 3, 4), (1, 1, 1, 2, 3, 4), (2, 0, 1, 2, 3, 4)
    text = r"\|none~0\|\+\|skip_connect~0\|skip_connect~1\|"
    for ask in (small.query, small.lookup):
        with pytest.raises(
            MissingValueError,
            match=rf"synthetic has no valid_accuracy of {text}.* at epoch 4 for training seed 7"
            r"\. Trainings that exist for this cell: -1\. Ask for one of them",
        ):
            ask(partly, seed=7)
        with pytest.raises(
            MissingValueError, match=r"no valid_accuracy of .* at epoch 2\. .* for this cell: none"
        ):
            ask(nothing, epoch=2)
        with pytest.raises(
            MissingValueError, match=r"no latency of .* at epoch 4\. .* this cell: 7, -1, 3"
        ):
            ask(hole, "latency")


def test_missing_in_a_batch_names_the_first_and_counts_the_rest(
    synthetic: Table, small: Benchmark
) -> None:
    with pytest.raises(
        MissingValueError,
        match=r"valid_accuracy of \|none~0\|\+\|skip.* for training seed 7 \(and 1 more of those",
    ):
        small.query(synthetic.architectures[[0, 5, 6]], seed=7)
    with pytest.raises(MissingValueError, match=r"at epoch 4\. Trainings"):
        small.query(synthetic.architectures[[0, 6]])


def test_mask_instead_of_an_error(synthetic: Table, small: Benchmark) -> None:
    answer = small.query(synthetic.architectures, seed=7, mask=True)
    assert isinstance(answer, np.ma.MaskedArray)
    assert answer.dtype == np.float64
    assert np.nonzero(answer.mask)[0].tolist() == [3, 5, 6]
    expected = values(synthetic)[:, 0, 2]
    assert answer.compressed().tolist() == expected[np.isfinite(expected)].tolist()
    whole = small.query(synthetic.architectures, "macs", mask=True)
    assert whole.mask.tolist() == [False] * 12
    forms = [SPACE.format(tuple(cell)) for cell in synthetic.architectures.tolist()]
    again = small.query(forms, seed=7, mask=True)
    np.testing.assert_array_equal(again.mask, answer.mask)


def test_mask_does_not_hide_a_single_missing_value(small: Benchmark) -> None:
    with pytest.raises(MissingValueError, match="Trainings that exist for this cell: none"):
        small.query((1, 1, 1, 2, 3, 4), mask=True)  # type: ignore[call-overload]


# --- lookup, seeds, measured ------------------------------------------------------------------


def test_lookup_against_hand_computation(synthetic: Table, small: Benchmark) -> None:
    for row, cell in enumerate(map(tuple, synthetic.architectures.tolist())):
        for place, epoch in enumerate((1, 2, 4)):
            full = np.isfinite(values(synthetic)[row, :, -1])  # the same trainings at every epoch
            counted = full if full.any() else ~full
            trained = present(values(synthetic)[row, counted, place])
            seconds = present(values(synthetic, "train_seconds")[row, counted, place])
            if not trained:
                assert row == 6
                continue
            answer = small.lookup(cell, epoch=epoch)
            assert answer.value == pytest.approx(statistics.fmean(trained), rel=1e-14)
            assert answer.value == small.query(cell, epoch=epoch)
            assert answer.seconds == pytest.approx(statistics.fmean(seconds), rel=1e-14)
            assert answer.source == "table"
            assert answer.n_seeds == len(trained)
            if len(trained) > 1:
                assert answer.sd == pytest.approx(statistics.stdev(trained), rel=1e-9)
            else:
                assert math.isnan(answer.sd)
            assert [type(field) for field in answer[:5]] == [float, float, str, float, int]


def test_lookup_of_one_training(synthetic: Table, small: Benchmark) -> None:
    answer = small.lookup((1, 0, 1, 2, 3, 4), "test_accuracy", epoch=2, seed=-1)
    assert answer.value == values(synthetic, "test_accuracy")[1, 1, 1]
    assert answer.seconds == values(synthetic, "train_seconds")[1, 1, 1]
    assert (answer.source, answer.n_seeds) == ("table", 1)
    assert math.isnan(answer.sd)
    assert [type(field) for field in answer[:5]] == [float, float, str, float, int]


def test_lookup_of_a_static_metric(small: Benchmark) -> None:
    answer = small.lookup((1, 0, 1, 2, 3, 4), "macs")
    assert (answer.value, answer.n_seeds) == (1.0, 1)
    assert math.isnan(answer.sd)


def test_lookup_without_times(synthetic: Table) -> None:
    short = fresh(synthetic, "short")
    answer = short.lookup((0, 0, 1, 2, 3, 4))
    assert answer.value == values(synthetic, "valid_loss", "short")[0, 0, 0]
    assert math.isnan(answer.seconds)


def test_seeds_are_those_of_the_full_training(synthetic: Table, small: Benchmark) -> None:
    found = [small.seeds(tuple(cell)) for cell in synthetic.architectures.tolist()]
    expected: list[tuple[int, ...]] = [(7, -1, 3)] * 12
    expected[3], expected[4], expected[5], expected[6] = (-1, 3), (7, 3), (-1,), ()
    assert found == expected
    assert {type(seed) for seeds in found for seed in seeds} == {int}


def test_seeds_of_a_shipped_table(bench: Benchmark) -> None:
    counts: dict[tuple[int, ...], int] = {}
    for index in range(SIZE):
        counts[bench.seeds(index)] = counts.get(bench.seeds(index), 0) + 1
    assert counts == {(777, 888, 999): 8_169, (-1, -2): 7_456}


def test_every_seed_that_is_named_has_a_value(synthetic: Table, small: Benchmark) -> None:
    for cell in map(tuple, synthetic.architectures.tolist()):
        for seed in (7, -1, 3):
            if seed in small.seeds(cell):
                assert small.lookup(cell, seed=seed).value == small.query(cell, seed=seed)
            else:
                with pytest.raises(MissingValueError, match=f"for training seed {seed}"):
                    small.query(cell, seed=seed)


def test_measured(synthetic: Table, small: Benchmark) -> None:
    everything = synthetic.architectures
    for seed, without in ((None, [6]), (7, [3, 5, 6]), (-1, [4, 6])):
        own = np.delete(everything, without, axis=0).tolist()
        found = small.measured(seed).tolist()
        assert found[: len(own)] == own
        same = {tuple(cell) for cell in own}  # then the cells that are one of these networks
        assert all(SPACE.canonical(tuple(cell)) in same for cell in found[len(own) :])
        assert len({tuple(cell) for cell in found}) == len(found)
    assert small.measured(7).dtype == np.uint8


def test_measured_of_a_shipped_table(bench: Benchmark) -> None:
    assert bench.measured().tolist() == [list(SPACE.unindex(index)) for index in range(SIZE)]
    sizes = {seed: len(bench.measured(seed)) for seed in SEEDS}
    assert sizes == {777: 8_169, 888: 8_169, 999: 8_169, -1: 7_456, -2: 7_456}


def test_epochs_without_the_objective_are_not_searched(synthetic: Table) -> None:
    """A source may hold losses at every epoch, and validation values at the last only."""
    training = synthetic.trainings["curve"]
    column = training.columns["valid_accuracy"]
    values = column.values.copy()
    values[:, :, :2] = np.nan
    columns = {**training.columns, "valid_accuracy": column._replace(values=values)}
    table = synthetic._replace(
        trainings={**synthetic.trainings, "curve": training._replace(columns=columns)}
    )
    bench = fresh(table, "curve")
    assert bench.epochs == (1, 2, 4)
    assert bench.objective_epochs == (4,)
    protocol = Protocol(evaluations=20, missing="masked", repeats="reuse")
    run = run_search("hyperband", bench, protocol)
    assert set(run.epochs.tolist()) == {4}
    with pytest.raises(InvalidArgumentError, match="has values after epoch 4; the protocol's"):
        run_search("random", bench, protocol._replace(epoch=2))
    assert fresh(synthetic, "curve").objective_epochs == (1, 2, 4)
