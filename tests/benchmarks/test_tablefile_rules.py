"""The table format: a table that breaks a rule is neither written nor read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nasbench_tab.benchmarks import tablefile
from nasbench_tab.benchmarks.tablefile import Column, Table, write_table
from nasbench_tab.errors import InvalidArgumentError, TableError
from nasbench_tab.records import Metric, Protocol
from nasbench_tab.search.run import run_search

from .tablefiles import bits, load
from .tables import fresh


def training(table: Table, label: str = "curve", **changes: Any) -> Table:
    changed = table.trainings[label]._replace(**changes)
    return table._replace(trainings={**table.trainings, label: changed})


def column(table: Table, name: str, /, **changes: Any) -> Table:
    """Replace a column's values or fields of its metric."""
    columns = dict(table.trainings["curve"].columns)
    old = columns[name]
    values = changes.pop("values", old.values)
    columns[name] = old._replace(values=values, metric=old.metric._replace(**changes))
    return training(table, columns=columns)


def static(table: Table, **changes: Any) -> Table:
    old = table.static["latency"]
    values = changes.pop("values", old.values)
    made = old._replace(values=values, metric=old.metric._replace(**changes))
    return table._replace(static={"latency": made})


def without(table: Table, name: str) -> Table:
    columns = dict(table.trainings["curve"].columns)
    del columns[name]
    return training(table, columns=columns)


def valid(table: Table) -> NDArray[Any]:
    return table.trainings["curve"].columns["valid_accuracy"].values.copy()


def with_value(values: NDArray[Any], value: float) -> NDArray[Any]:
    changed = values.copy()
    changed.flat[0] = value
    return changed


def repeated_cell(table: Table) -> Table:
    cells = table.architectures.copy()
    cells[7] = cells[2]
    return table._replace(architectures=cells)


def static_named(name: str) -> Callable[[Table], Table]:
    made = Column(Metric(name, "none", "min", ""), np.ones(12))
    return lambda table: table._replace(static={name: made})


def training_named(name: str) -> Callable[[Table], Table]:
    return lambda table: table._replace(
        trainings={name: table.trainings["short"]}, default_training=name
    )


def with_note(text: str) -> Callable[[Table], Table]:
    return lambda table: table._replace(
        static={"latency": table.static["latency"]._replace(note=text)}
    )


def with_text(field: str, text: str) -> Callable[[Table], Table]:
    if field == "unit":
        return lambda table: static(table, unit=text)
    if field == "dataset":
        return lambda table: training(table, dataset=text)
    if field == "space":
        return lambda table: table._replace(space=text)
    return lambda table: table._replace(name=text)


RULES: dict[str, tuple[Callable[[Table], Table], str]] = {
    "no architectures": (
        lambda t: t._replace(architectures=t.architectures[:0]),
        r"architectures must be a non-empty \(n, length\) array",
    ),
    "architectures in a line": (
        lambda t: t._replace(architectures=t.architectures.ravel()),
        r"architectures must be a non-empty \(n, length\) array",
    ),
    "architectures without edges": (
        lambda t: t._replace(architectures=t.architectures[:, :0]),
        "architectures",
    ),
    "a cell twice": (repeated_cell, "1 architectures stand in the table twice"),
    "unknown default training": (
        lambda t: t._replace(default_training="another"),
        "no training 'another'",
    ),
    "no training": (lambda t: t._replace(trainings={}), "no training 'curve'"),
    "static too short": (
        lambda t: static(t, values=np.zeros(11)),
        "static 'latency' must have one value per architecture",
    ),
    "static in two dimensions": (
        lambda t: static(t, values=np.zeros((12, 1))),
        "static 'latency' must have one value per architecture",
    ),
    "unknown kind of epochs": (
        lambda t: training(t, epochs_kind="both"),
        "training 'curve': epochs_kind 'both'",
    ),
    "unknown kind of seconds": (
        lambda t: training(t, seconds_kind="guessed"),
        "training 'curve': seconds_kind 'guessed'",
    ),
    "a seed twice": (lambda t: training(t, seeds=(7, -1, 7)), "seeds must be distinct"),
    "no seed": (lambda t: training(t, seeds=()), "seeds must be distinct"),
    "epoch zero": (lambda t: training(t, epochs=(0, 1, 2)), "epochs are 1-based"),
    "no epoch": (lambda t: training(t, epochs=()), "epochs are 1-based"),
    "epochs unordered": (lambda t: training(t, epochs=(1, 4, 2)), "epochs must ascend"),
    "an epoch twice": (lambda t: training(t, epochs=(1, 2, 2)), "epochs must ascend"),
    "seconds said but missing": (
        lambda t: without(t, "train_seconds"),
        "train_seconds and its kind",
    ),
    "seconds there but denied": (
        lambda t: training(t, seconds_kind="none"),
        "train_seconds and its kind",
    ),
    "unknown objective": (
        lambda t: training(t, objective="valid_loss"),
        "no metric 'valid_loss' for the objective",
    ),
    "objective among the static metrics": (
        lambda t: training(t, objective="latency"),
        "no metric 'latency' for the objective",
    ),
    "objective on the test split": (
        lambda t: training(t, objective="test_accuracy"),
        "the objective is measured on the test split, not valid",
    ),
    "splits of the columns exchanged": (
        lambda t: column(column(t, "valid_accuracy", split="test"), "test_accuracy", split="valid"),
        "the objective is measured on the test split, not valid",
    ),
    "objective on the training split": (
        lambda t: column(t, "valid_accuracy", split="train"),
        "the objective is measured on the train split, not valid",
    ),
    "objective on valid and test": (
        lambda t: column(t, "valid_accuracy", split="valid+test"),
        r"the objective is measured on the valid\+test split, not valid",
    ),
    "a seed too few": (
        lambda t: column(t, "test_accuracy", values=valid(t)[:, :2] / 2),
        r"'test_accuracy' has shape \(12, 2, 3\), not \(12, 3, 3\)",
    ),
    "an epoch too many": (
        lambda t: training(t, epochs=(1, 2)),
        r"has shape \(12, 3, 3\), not \(12, 3, 2\)",
    ),
    "whole numbers": (
        lambda t: column(t, "valid_accuracy", values=np.ones((12, 3, 3), int)),
        "'valid_accuracy' must hold floats",
    ),
    "complex numbers": (
        lambda t: column(t, "valid_accuracy", values=np.ones((12, 3, 3), complex)),
        "'valid_accuracy' must hold floats",
    ),
    "above the bounds": (
        lambda t: column(t, "valid_accuracy", values=with_value(valid(t), 100.01)),
        r"'valid_accuracy' leaves its bounds 0\.0 to 100\.0",
    ),
    "below the bounds": (
        lambda t: column(t, "valid_accuracy", values=with_value(valid(t), -0.01)),
        r"'valid_accuracy' leaves its bounds 0\.0 to 100\.0",
    ),
    "fractions under a percent bound": (
        lambda t: column(t, "valid_accuracy", upper=1.0),
        r"'valid_accuracy' leaves its bounds 0\.0 to 1\.0",
    ),
    "test equals valid": (
        lambda t: column(t, "test_accuracy", values=valid(t)),
        r"'valid_accuracy' \(valid\) and 'test_accuracy' \(test\) hold the same numbers",
    ),
    "test equals valid in another precision": (
        lambda t: column(t, "test_accuracy", values=valid(t).astype(np.float64)),
        "hold the same numbers",
    ),
    "valid+test equals valid": (
        lambda t: column(t, "test_accuracy", values=valid(t), split="valid+test"),
        "hold the same numbers",
    ),
}

#: What a table must not hold either, since it would be read wrongly or not at all.
MORE_RULES: dict[str, tuple[Callable[[Table], Table], str]] = {
    "an infinite value": (
        lambda t: column(
            t, "valid_accuracy", values=with_value(valid(t), np.inf), lower=-np.inf, upper=np.inf
        ),
        "valid_accuracy",
    ),
    "static outside its bounds": (lambda t: static(t, values=np.full(12, -1.0)), "latency"),
    "static whole numbers": (lambda t: static(t, values=np.arange(12)), "latency"),
    "an infinite static value": (lambda t: static(t, values=np.full(12, np.inf)), "latency"),
    "unknown direction": (lambda t: column(t, "test_accuracy", direction="up"), "up"),
    "unknown split": (lambda t: column(t, "test_accuracy", split="holdout"), "holdout"),
    "key differs from the metric's name": (
        lambda t: column(t, "test_accuracy", name="test_acc"),
        "test_acc",
    ),
    "static and training share a name": (
        lambda t: t._replace(
            static={
                "train_seconds": Column(Metric("train_seconds", "none", "min", "s"), np.ones(12))
            }
        ),
        "train_seconds",
    ),
    "architectures are floats": (
        lambda t: t._replace(architectures=t.architectures.astype(float)),
        "architectures",
    ),
    "seconds of a curve that fall": (
        lambda t: column(
            t,
            "train_seconds",
            values=t.trainings["curve"].columns["train_seconds"].values[:, :, ::-1],
        ),
        "train_seconds",
    ),
    **{
        f"metric named {name!r}": (static_named(name), "name")
        for name in ("", ".", "a/b", "a.b", "a b", 'a"b', "a]b", "a\0b", "é")
    },
    **{
        f"training named {name!r}": (training_named(name), "name")
        for name in ("", ".", "a/b", "a\0b")
    },
    **{
        f"{field} {text!r}": (with_text(field, text), "")
        for field in ("name", "space", "dataset", "unit")
        for text in ("a\0b", "\ud800")
    },
    **{f"note {text!r}": (with_note(text), "note") for text in ("a\0b", "\ud800")},
}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [*RULES.values(), *MORE_RULES.values()],
    ids=[*RULES, *MORE_RULES],
)
def test_table_that_breaks_a_rule_is_not_written(
    synthetic: Table, tmp_path: Path, spoil: Callable[[Table], Table], words: str
) -> None:
    with pytest.raises(TableError, match=words or None):
        write_table(tmp_path / "t", spoil(synthetic), {"title": "t"})
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize(("spoil", "words"), RULES.values(), ids=RULES)
def test_table_that_breaks_a_rule_is_not_read(
    synthetic: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Table], Table],
    words: str,
) -> None:
    """The rules hold for files that an older or another program wrote, too."""
    manifest = tablefile._manifest
    monkeypatch.setattr(tablefile, "check_table", lambda table, where: None)
    monkeypatch.setattr(
        tablefile, "_manifest", lambda table, about, *hashes: manifest(synthetic, about, *hashes)
    )
    write_table(tmp_path, spoil(synthetic), {})
    monkeypatch.undo()
    with pytest.raises(TableError, match=words):
        load(tmp_path)


def test_message_says_where_and_what_to_do(synthetic: Table, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"^synthetic: training 'curve': .*Correct the recipe"):
        write_table(tmp_path, training(synthetic, seeds=(1, 1, 2)), {})


def test_allowed_neighbors_of_the_rules(synthetic: Table, tmp_path: Path) -> None:
    """Values on the bounds, a column of NaN, one number that tells test from valid."""
    bounds = valid(synthetic)
    bounds[0, 0, :2] = 0.0, 100.0
    nearly = valid(synthetic)
    nearly[0, 0, 0] = 1.5
    table = column(synthetic, "test_accuracy", values=nearly)
    table = column(table, "valid_accuracy", values=bounds)
    table = column(table, "train_seconds", values=np.full((12, 3, 3), np.nan))
    write_table(tmp_path, table, {})
    assert bits(load(tmp_path)) == bits(table)


def without_validation(table: Table) -> Table:
    """What was trained on the training and validation parts together."""
    return training(without(table, "valid_accuracy"), objective="test_accuracy")


def test_a_training_without_a_validation_metric_names_its_test_metric(
    synthetic: Table, tmp_path: Path
) -> None:
    write_table(tmp_path, without_validation(synthetic), {})
    assert bits(load(tmp_path)) == bits(without_validation(synthetic))
    bench = fresh(load(tmp_path), "curve")
    assert bench.objective.split == "test"


def test_no_search_sees_it(synthetic: Table) -> None:
    bench = fresh(without_validation(synthetic), "curve")
    with pytest.raises(InvalidArgumentError, match=r"no validation metric.*'curve'.*short"):
        run_search("random", bench, Protocol(evaluations=3, missing="masked"))


def test_a_metric_of_another_name_cannot_stand_in(synthetic: Table, tmp_path: Path) -> None:
    named = Column(Metric("accuracy", "test", "max", "%", 0.0, 100.0), valid(synthetic))
    columns = {
        "accuracy": named,
        "train_seconds": synthetic.trainings["curve"].columns["train_seconds"],
    }
    table = training(synthetic, columns=columns, objective="accuracy")
    with pytest.raises(TableError, match="measured on the test split, not valid"):
        write_table(tmp_path, table, {})
